/* sweep_f32.c - proves, by trying them all: for every one of the 2^32 f32 patterns and several bounds, the restored value is inside the
 * bound, NaN and infinity come back bit for bit, and the hash of all outputs is the one every build must print.
 * Usage: sweep_f32 [bound ...]; without arguments the five bounds of the specification. About three minutes each on two cores.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "swage/codec.h"

enum { BLOCK = 1 << 22 };

/* Exact: both values are f32, so their difference fits 113 bits unless they are so far apart that the sign decides. */
static bool inside(float value, float x, double eb) {
    __extension__ typedef __float128 wide;
    wide gap = (wide)value - (wide)x;
    return (gap < 0 ? -gap : gap) <= (wide)eb;
}

static int sweep(swg_context *ctx, double eb, float *x, float *back) {
    uint32_t hash = 0;
    int64_t outliers = 0, bytes = 0, start = swg__now_ns();
    for (int64_t first = 0; first < (int64_t)1 << 32; first += BLOCK) {
        for (int64_t i = 0; i < BLOCK; i++) {
            uint32_t bits = (uint32_t)(first + i);
            memcpy(&x[i], &bits, sizeof bits);
        }
        swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {BLOCK}, .data = x};
        swg_codec_buffer out;
        swg_codec_stats stats;
        swg_swz *swz;
        if (swg_codec_compress(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = eb}, &out, &stats) != SWG_OK ||
            swg_swz_open_memory(ctx, out.data, out.bytes, &swz) != SWG_OK || swg_swz_read(swz, 0, back, BLOCK * sizeof *back) != SWG_OK) {
            printf("eb %g at %08llx: %s\n", eb, (unsigned long long)first, swg_context_message(ctx));
            return 1;
        }
        for (int64_t i = 0; i < BLOCK; i++)
            if (isfinite(x[i]) ? !isfinite(back[i]) || !inside(back[i], x[i], eb) : memcmp(&x[i], &back[i], sizeof *x) != 0) {
                printf("eb %g: %08llx = %a came back as %a\n", eb, (unsigned long long)(first + i), (double)x[i], (double)back[i]);
                return 1;
            }
        hash = swg__crc32c(hash, back, BLOCK * sizeof *back);
        outliers += stats.outliers;
        bytes += (int64_t)out.bytes;
        swg_swz_close(swz);
        swg_codec_buffer_free(ctx, &out);
    }
    printf("eb %-12g 0 violations, %lld outliers, ratio %.3f, hash %08x, %.0f s\n", eb, (long long)outliers, 0x1p34 / (double)bytes, hash,
           (double)(swg__now_ns() - start) * 1e-9);
    return 0;
}

int main(int argc, char **argv) {
    static const double bounds[] = {1e-3, 1.0 / 3, 0x1p-20, 1e-30, 1e30};
    swg_context *ctx;
    if (swg_context_open(NULL, &ctx) != SWG_OK)
        return 1;
    float *x = malloc(BLOCK * sizeof *x), *back = malloc(BLOCK * sizeof *back);
    int failed = !x || !back;
    for (int i = 0; i < (argc > 1 ? argc - 1 : 5) && !failed; i++) {
        failed = sweep(ctx, argc > 1 ? atof(argv[i + 1]) : bounds[i], x, back);
        fflush(stdout);
    }
    free(back);
    free(x);
    swg_context_close(ctx);
    return failed;
}
