/* fuzz_append.c - libFuzzer target: a growing stream under any sequence of steps, flushes, reopenings, crashes and flipped bits.
 * Byte 0: bit 0: the rest is a file as it stands, to be recovered and grown; else type, shape and bound. Then operations of two bytes.
 * Finds crashes, leaks, and streams that are not what their last surviving flush held.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base.h"
#include "swage/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_STEPS = 40, STEP = 24, MOST_FLUSHES = 64 };

static char folder[64], path[96];
static float values[MOST_STEPS * STEP];

static void clean_up(void) {
    unlink(path);
    rmdir(folder);
}

static swg_context *open_once(void) {
    static swg_context *ctx;
    if (ctx)
        return ctx;
    if (swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK)
        abort();
    strcpy(folder, access("/dev/shm", W_OK) == 0 ? "/dev/shm/swage-fuzz-XXXXXX" : "/tmp/swage-fuzz-XXXXXX");
    if (!mkdtemp(folder))
        abort();
    snprintf(path, sizeof path, "%s/x.swz", folder);
    atexit(clean_up);
    for (int i = 0; i < MOST_STEPS * STEP; i++)
        values[i] = i % 97 == 13 ? NAN : i % 53 == 7 ? 1e20f : (float)sin(i * 0.1) * (float)(1 + i / STEP % 5);
    return ctx;
}

/* Whatever the file is: opening, recovering and growing it must not crash, and what is said to hold must hold. */
static void grow_any(swg_context *ctx, const uint8_t *data, size_t size) {
    swg_codec_appender *a;
    int64_t dropped;
    if (swg__file_write(ctx, path, data, size) != SWG_OK)
        abort();
    (void)swg_swz_recover(ctx, path, &dropped);
    if (swg_codec_append_open(ctx, path, NULL, NULL, &a) != SWG_OK)
        return;
    swg_codec_append_abort(a);
}

/* The file must hold the first `steps` steps within its bound. */
static void check(swg_context *ctx, int64_t steps) {
    static float restored[MOST_STEPS * STEP];
    swg_swz *swz;
    swg_codec_gap gap;
    if (swg_swz_open(ctx, path, &swz) != SWG_OK || swg_swz_member(swz, 0)->dims[0] != steps)
        abort();
    swg_codec_array original = {.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {steps * STEP}, .data = values};
    if (swg_swz_read(swz, 0, restored, (size_t)steps * STEP * sizeof *restored) != SWG_OK ||
        swg_codec_compare(ctx, &original, restored, swg_swz_member(swz, 0)->eb_abs, &gap) != SWG_OK || gap.violations)
        abort();
    swg_swz_close(swz);
}

/* Cuts the file and puts bytes behind it, as a crash may; *flushes falls to those that are left. */
static int64_t crash(swg_context *ctx, unsigned how, const int64_t *ends, const int64_t *steps, int *flushes) {
    uint8_t *file;
    size_t bytes;
    int64_t dropped;
    if (swg__file_read(ctx, path, &file, &bytes) != SWG_OK)
        abort();
    size_t cut = bytes - bytes * (how & 63) / 64;
    FILE *f = fopen(path, "wb");
    if (!f)
        abort();
    fwrite(file, 1, cut, f);
    for (unsigned i = 0; i < how >> 6; i++)
        fputc((int)(how * 31 + i), f);
    fclose(f);
    swg__free(ctx, file);
    while (*flushes && ends[*flushes - 1] > (int64_t)cut)
        --*flushes;
    swg_status status = swg_swz_recover(ctx, path, &dropped);
    if ((status == SWG_OK) != (*flushes > 0))
        abort();
    return *flushes ? steps[*flushes - 1] : 0;
}

static void run(swg_context *ctx, const uint8_t *data, size_t size) {
    static const swg_codec_array shapes[4] = {{.type = SWG_ELEMENT_F32, .ndim = 2, .dims = {0, STEP}}, {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {0, 1, STEP}},
        {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {0, 4, 6}}, {.type = SWG_ELEMENT_F32, .ndim = 4, .dims = {0, 2, 3, 4}}};
    const swg_codec_array *shape = &shapes[data[0] >> 1 & 3];
    swg_codec_opts opts = {.bound = data[0] & 8 ? SWG_BOUND_LOSSLESS : data[0] & 16 ? SWG_BOUND_REL : SWG_BOUND_ABS, .value = 1e-3,
                           .has_range = data[0] & 16, .range_min = -5, .range_max = 5};
    if (opts.bound == SWG_BOUND_LOSSLESS)
        opts.value = 0;
    for (int i = 0; i < shape->ndim && data[0] & 32; i++)
        opts.chunk[i] = i ? (shape->dims[i] + 1) / 2 : 3;
    int64_t done = 0, ends[MOST_FLUSHES], steps[MOST_FLUSHES];
    int flushes = 0;
    swg_codec_appender *a = NULL;
    for (size_t i = 1; i + 1 < size && flushes < MOST_FLUSHES; i += 2) {
        if (!a && swg_codec_append_open(ctx, path, shape, &opts, &a) != SWG_OK)
            abort();
        int64_t n = data[i + 1] % 7;
        switch (data[i] % 4) {
        case 0:
            n = n < MOST_STEPS - done ? n : MOST_STEPS - done;
            if (swg_codec_append_put(a, values + done * STEP, n) != SWG_OK)
                abort();
            done += n;
            continue;
        case 1:
            if (swg_codec_append_flush(a) != SWG_OK)
                abort();
            break;
        case 2:
            if (swg_codec_append_close(a) != SWG_OK)
                abort();
            a = NULL;
            break;
        default: /* the process dies: nothing is flushed; what it wrote is cut and continued by the system as it likes */
            swg_codec_append_abort(a);
            a = NULL;
            done = swg__exists(path) ? crash(ctx, data[i + 1], ends, steps, &flushes) : 0;
            if (!done)
                unlink(path);
            else
                check(ctx, done);
            continue;
        }
        if (done && (!flushes || steps[flushes - 1] != done)) {
            uint8_t *file;
            size_t bytes;
            if (swg__file_read(ctx, path, &file, &bytes) != SWG_OK)
                abort();
            swg__free(ctx, file);
            steps[flushes] = done;
            ends[flushes++] = (int64_t)bytes;
            check(ctx, done);
        }
    }
    swg_codec_append_abort(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    swg_context *ctx = open_once();
    if (size < 2)
        return 0;
    unlink(path);
    if (data[0] & 1)
        grow_any(ctx, data + 1, size - 1);
    else
        run(ctx, data, size);
    if (swg_context_bytes(ctx) != 0)
        abort();
    return 0;
}
