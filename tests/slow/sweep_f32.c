/* sweep_f32.c - proves, by trying them all: for every one of the 2^32 f32 patterns and several bounds, the restored value is inside the
 * bound, NaN and infinity come back bit for bit, and the hash of all outputs is the one every build must print.
 * Usage: sweep_f32 [/STEP] [abs:EB | pw:P ...]; without arguments the eight bounds of the specification, about three minutes each on two
 * cores. /STEP takes every STEP-th pattern (a power of two up to 1024), a sample of all exponents for the tests of every day.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "swage/codec.h"

enum { BLOCK = 1 << 22 };

/* Exact: both values are f32, so their difference fits 113 bits unless they are so far apart that the sign decides, and the product of
 * an f64 and an f32 fits them, too. */
static bool inside(swg_bound_mode mode, float value, float x, double eb) {
    __extension__ typedef __float128 wide;
    wide gap = (wide)value - (wide)x, bound = mode == SWG_BOUND_PW_REL ? (wide)eb * (wide)fabsf(x) : (wide)eb;
    return (gap < 0 ? -gap : gap) <= bound;
}

/* A zero under a point-wise relative bound keeps its sign; NaN and infinities keep everything. */
static bool right(swg_bound_mode mode, float value, float x, double eb) {
    if (!isfinite(x) || (mode == SWG_BOUND_PW_REL && x == 0))
        return memcmp(&x, &value, sizeof x) == 0;
    return isfinite(value) && inside(mode, value, x, eb);
}

static int sweep(swg_context *ctx, swg_bound_mode mode, double eb, int64_t step, float *x, float *back) {
    const char *name = mode == SWG_BOUND_PW_REL ? "pw" : "abs";
    const int64_t count = BLOCK / step; /* an array spans the same half of a binade whatever the step */
    const size_t bytes_raw = (size_t)count * sizeof *back;
    uint32_t hash = 0;
    int64_t outliers = 0, bytes = 0, start = swg__now_ns();
    for (int64_t first = 0; first < ((int64_t)1 << 32) / step; first += count) {
        for (int64_t i = 0; i < count; i++) {
            uint32_t bits = (uint32_t)((first + i) * step + step / 3);
            memcpy(&x[i], &bits, sizeof bits);
        }
        swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {count}, .data = x};
        swg_codec_buffer out;
        swg_codec_stats stats;
        swg_swz *swz;
        if (swg_codec_compress(ctx, &a, &(swg_codec_opts){.bound = mode, .value = eb}, &out, &stats) != SWG_OK ||
            swg_swz_open_memory(ctx, out.data, out.bytes, &swz) != SWG_OK || swg_swz_read(swz, 0, back, bytes_raw) != SWG_OK) {
            printf("%s:%g at %08llx: %s\n", name, eb, (unsigned long long)first, swg_context_message(ctx));
            return 1;
        }
        for (int64_t i = 0; i < count; i++)
            if (!right(mode, back[i], x[i], eb)) {
                printf("%s:%g: %08llx = %a came back as %a\n", name, eb, (unsigned long long)((first + i) * step + step / 3), (double)x[i], (double)back[i]);
                return 1;
            }
        hash = swg__crc32c(hash, back, bytes_raw);
        outliers += stats.outliers;
        bytes += (int64_t)out.bytes;
        swg_swz_close(swz);
        swg_codec_buffer_free(ctx, &out);
    }
    printf("%3s:%-12g 0 violations, %lld outliers, ratio %.3f, hash %08x, %.0f s\n", name, eb, (long long)outliers, 0x1p34 / (double)step / (double)bytes, hash,
           (double)(swg__now_ns() - start) * 1e-9);
    return 0;
}

int main(int argc, char **argv) {
    static const struct { swg_bound_mode mode; double value; } bounds[] = {
        {SWG_BOUND_ABS, 1e-3},  {SWG_BOUND_ABS, 1.0 / 3},   {SWG_BOUND_ABS, 0x1p-20},   {SWG_BOUND_ABS, 1e-30},
        {SWG_BOUND_ABS, 1e30},  {SWG_BOUND_PW_REL, 1e-1},   {SWG_BOUND_PW_REL, 1e-3},   {SWG_BOUND_PW_REL, 1e-6}};
    swg_context *ctx;
    if (swg_context_open(NULL, &ctx) != SWG_OK)
        return 1;
    float *x = malloc(BLOCK * sizeof *x), *back = malloc(BLOCK * sizeof *back);
    int failed = !x || !back;
    int64_t step = 1;
    if (argc > 1 && argv[1][0] == '/') {
        step = atoll(argv[1] + 1);
        failed |= step < 1 || step > 1024 || (step & (step - 1));
        argc--;
        argv++;
    }
    for (int i = 0; i < (argc > 1 ? argc - 1 : 8) && !failed; i++) {
        bool relative = argc > 1 && strncmp(argv[i + 1], "pw:", 3) == 0;
        const char *number = argc > 1 && strchr(argv[i + 1], ':') ? strchr(argv[i + 1], ':') + 1 : argc > 1 ? argv[i + 1] : "";
        swg_bound_mode mode = argc > 1 ? relative ? SWG_BOUND_PW_REL : SWG_BOUND_ABS : bounds[i].mode;
        failed = sweep(ctx, mode, argc > 1 ? atof(number) : bounds[i].value, step, x, back);
        fflush(stdout);
    }
    free(back);
    free(x);
    swg_context_close(ctx);
    return failed;
}
