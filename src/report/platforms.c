/* platforms.c - the table of platforms. What is tested where: docs/limitations.md.
 * SPDX-License-Identifier: Apache-2.0 */
#include "report/platforms.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "context.h"
#include "cpu.h"
#include "swage/features.h"

static const char *library(const char *name) {
    const swg_feature *f;
    for (int64_t i = 0; (f = swg_feature_at(i)); i++)
        if (strcmp(f->name, name) == 0)
            return f->version;
    return NULL;
}

static const char yes[] = "yes", built[] = "builds, untested", slow[] = "one lane, untested", no[] = "no", unported[] = "not ported";

static void here(swg__platform_row *row, const char *format, ...) SWG__PRINTF(2, 3);
static void here(swg__platform_row *row, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(row->here, sizeof row->here, format, args);
    va_end(args);
}

void swg__platforms(swg_context *ctx, swg__platform_row rows[SWG__PLATFORM_ROWS]) {
    static const swg__platform_row all[SWG__PLATFORM_ROWS] = {
        {.feature = "training, inference", .linux_x86 = yes, .linux_other = slow, .elsewhere = unported},
        {.feature = "vector kernels, f32", .linux_x86 = "sse2 to avx512", .linux_other = no, .elsewhere = unported},
        {.feature = "bf16 products", .linux_x86 = "avx512_bf16, else emulated", .linux_other = "emulated", .elsewhere = unported},
        {.feature = "int8 products", .linux_x86 = "sse2 to avx512_vnni", .linux_other = slow, .elsewhere = unported},
        {.feature = "compile, autotune, replay", .linux_x86 = yes, .linux_other = built, .elsewhere = unported},
        {.feature = "channels-last, checkpointing", .linux_x86 = yes, .linux_other = built, .elsewhere = unported},
        {.feature = "fused optimisers", .linux_x86 = yes, .linux_other = built, .elsewhere = unported},
        {.feature = "loader threads", .linux_x86 = yes, .linux_other = built, .elsewhere = unported},
        {.feature = "GPU, TF32, f16, CUDA graphs", .linux_x86 = no, .linux_other = no, .elsewhere = no},
        {.feature = "error-bounded codec", .linux_x86 = yes, .linux_other = "yes, the same bits", .elsewhere = unported},
        {.feature = "oneDNN as provider", .linux_x86 = "yes, optional", .linux_other = built, .elsewhere = unported},
        {.feature = "PNG, TIFF", .linux_x86 = "yes, optional", .linux_other = built, .elsewhere = unported},
        {.feature = "songs, other rates", .linux_x86 = "yes, optional", .linux_other = built, .elsewhere = unported}};
    const swg__isa best = swg__isa_best();
    const char *onednn = library("oneDNN"), *png = library("libpng"), *tiff = library("libtiff");
    const char *sndfile = library("libsndfile"), *soxr = library("libsoxr");
    memcpy(rows, all, sizeof all);
    here(&rows[0], "%d thread%s", swg_context_threads(ctx), swg_context_threads(ctx) == 1 ? "" : "s");
    here(&rows[1], "%s", swg_context_isa(ctx));
    here(&rows[2], "%s", best >= SWG__AVX512_BF16 ? "a unit for it" : "emulated, slower than f32");
    here(&rows[3], "%s", swg__isa_name(best < SWG__AVX512_VNNI ? best : SWG__AVX512_VNNI));
    for (int i = 4; i < 8; i++)
        here(&rows[i], "yes");
    here(&rows[8], "no: `performance.tf32` and the like say so in the table of a run");
    here(&rows[9], "yes");
    here(&rows[10], "%s", onednn ? onednn : "absent");
    here(&rows[11], "%s, %s", png ? png : "no PNG", tiff ? tiff : "no TIFF");
    here(&rows[12], "%s, %s", sndfile ? sndfile : "no songs", soxr ? soxr : "no other rates");
}
