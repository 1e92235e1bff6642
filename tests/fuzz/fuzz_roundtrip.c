/* fuzz_roundtrip.c - libFuzzer target: any bytes as an array with options; it must come back inside its bound, bit for bit where it
 * is not finite, is a fill value or the bound is lossless, must not grow by more than 1 KiB, and must reach its PSNR.
 * Bytes: type, ndim and layout, 4 extents, bound mode, f64 bound, chunk and fill mode, chunk. Then the values, repeated as needed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "codec/bytes.h"
#include "swage/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok, const char *what, swg_context *ctx) {
    if (ok)
        return;
    fprintf(stderr, "%s: %s\n", what, swg_context_message(ctx));
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { HEAD = 20, MOST = 4096 };
    static const swg_element types[10] = {SWG_ELEMENT_F32, SWG_ELEMENT_F64, SWG_ELEMENT_I8,  SWG_ELEMENT_U8,  SWG_ELEMENT_I16,
                                             SWG_ELEMENT_U16, SWG_ELEMENT_I32, SWG_ELEMENT_U32, SWG_ELEMENT_I64, SWG_ELEMENT_U64};
    static swg_context *ctx;
    if (!ctx && swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK)
        abort();
    if (size <= HEAD)
        return 0;
    swg_codec_array a = {.type = types[data[0] % 10], .ndim = 1 + data[1] % 4, .dims = {1, 1, 1, 1}};
    swg_codec_opts o = {.bound = (swg_bound_mode)(data[6] % 6), .value = fabs(swg__load_f64(data + 7))};
    if (!isfinite(o.value))
        return 0;
    bool is_float = a.type == SWG_ELEMENT_F32 || a.type == SWG_ELEMENT_F64;
    if (o.bound == SWG_BOUND_PW_REL && !is_float)
        o.bound = SWG_BOUND_ABS;
    if (o.bound == SWG_BOUND_PW_REL)
        o.value = o.value < 0.5 ? o.value : fmod(o.value, 0.499);
    if (o.bound == SWG_BOUND_PSNR || o.bound == SWG_BOUND_RATIO)
        o.value = 1 + fmod(o.value, 150);
    int64_t values = 1;
    for (int i = 0; i < a.ndim; i++) {
        a.dims[i] = 1 + data[2 + i] % (a.ndim == 1 ? 255 : a.ndim == 2 ? 60 : 15);
        values *= a.dims[i];
        o.chunk[i] = data[15] & 1 ? 1 + data[16 + i] % a.dims[i] : 0;
    }
    if (a.ndim == 4 && (data[1] & 8)) {
        a.layout = SWG_CODEC_BLOCKS;
        a.dims[1] = a.dims[2] = a.dims[3] = 3 + data[3] % 7;
        values = a.dims[0] * a.dims[1] * a.dims[1] * a.dims[1];
        memset(o.chunk, 0, sizeof o.chunk);
    }
    if (values > MOST)
        return 0;
    size_t bytes = (size_t)values * (size_t)swg_element_bytes(a.type);
    uint8_t *original = malloc(bytes), *restored = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        original[i] = data[HEAD + i % (size - HEAD)];
    a.data = original;
    o.fill = (swg_fill_mode)(data[15] >> 1 & 3);
    if (o.fill == SWG_FILL_VALUE) /* the first value stands for no data */
        for (int b = swg_element_bytes(a.type); b-- > 0;)
            o.fill_bits = o.fill_bits << 8 | original[b];
    o.fill_threshold = o.fill == SWG_FILL_ABOVE ? ldexp(1, data[15] - 128) : 0;
    swg_codec_buffer out;
    swg_codec_gap gap;
    swg_swz *swz;
    require(swg_codec_compress(ctx, &a, &o, &out, NULL) == SWG_OK, "compress", ctx);
    require(out.bytes <= bytes + 1024, "grew", ctx);
    require(swg_swz_open_memory(ctx, out.data, out.bytes, &swz) == SWG_OK, "open", ctx);
    require(swg_swz_read(swz, 0, restored, bytes) == SWG_OK, "read", ctx);
    const swg_swz_info *info = swg_swz_member(swz, 0);
    double eb = info->eb_abs;
    require(swg_codec_audit(ctx, &a, restored, info, &gap) == SWG_OK, "audit", ctx);
    require(gap.violations == 0, "outside the bound", ctx);
    require(o.bound != SWG_BOUND_ABS || eb <= o.value, "another bound", ctx);
    require(o.bound != SWG_BOUND_PSNR || gap.psnr_db >= o.value * (1 - 1e-9) || !isfinite(info->range_max - info->range_min), "PSNR missed", ctx);
    swg_swz_close(swz);
    swg_codec_buffer_free(ctx, &out);
    free(restored);
    free(original);
    require(swg_context_bytes(ctx) == 0, "leak", ctx);
    return 0;
}
