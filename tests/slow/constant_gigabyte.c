/* constant_gigabyte.c - proves that what holds nothing costs nothing: 1 GiB of one value, of NaN, and of a sea that is all fill but for
 * one value become at most 0.01 % of their size and come back bit for bit.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "swage/codec.h"

enum { SIDE = 512, CASES = 3 };

int main(void) {
    const int64_t values = (int64_t)2 * SIDE * SIDE * SIDE;
    const size_t bytes = (size_t)values * sizeof(float);
    swg_context *ctx;
    float *x = malloc(bytes), *back = malloc(bytes);
    if (!x || !back || swg_context_open(NULL, &ctx) != SWG_OK) {
        printf("not enough memory\n");
        return 1;
    }
    int failed = 0;
    for (int c = 0; c < CASES && !failed; c++) {
        static const float held[CASES] = {-7.25f, NAN, 1e20f};
        swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {2 * SIDE, SIDE, SIDE}, .data = x};
        swg_codec_opts o = {.bound = SWG_BOUND_REL, .value = 1e-3, .fill = c == 2 ? SWG_FILL_VALUE : SWG_FILL_AUTO};
        swg_codec_buffer out;
        swg_swz *swz = NULL;
        for (int64_t i = 0; i < values; i++)
            x[i] = held[c];
        if (c == 2) {
            x[values / 3] = 4;
            (void)swg_fill_bits(SWG_ELEMENT_F32, 1e20, &o.fill_bits);
        }
        failed = swg_codec_compress(ctx, &a, &o, &out, NULL) != SWG_OK || swg_swz_open_memory(ctx, out.data, out.bytes, &swz) != SWG_OK ||
                 swg_swz_read(swz, 0, back, bytes) != SWG_OK || memcmp(x, back, bytes) != 0 || out.bytes > bytes / 10000;
        printf("case %d: %zu of %zu bytes, %s%s\n", c, out.bytes, bytes, failed ? "FAILED " : "the same bits", failed ? swg_context_message(ctx) : "");
        swg_swz_close(swz);
        swg_codec_buffer_free(ctx, &out);
    }
    free(back);
    free(x);
    swg_context_close(ctx);
    return failed;
}
