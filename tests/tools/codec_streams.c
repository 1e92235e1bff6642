/* codec_streams.c - the codec's bits as files and as hashes: proof that every build decodes the same.
 * In: codec_streams write FOLDER      small streams of every mode, type, rank and mask, and list.txt with the CRC32C of what they hold
 *     codec_streams check FOLDER      decodes every stream of list.txt with every instruction set of this machine; 1 if any differs
 *     codec_streams hash              encodes and decodes the same arrays anew; prints the CRC32C of all streams and of all values
 * Arrays are made with integers only, so they are the same on every machine. Needs nothing but src/base and src/codec.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../codec_causal.h"
#include "base.h"
#include "codec/encode.h"
#include "swage/codec.h"

enum { MOST_VALUES = 1 << 13, MOST_BYTES = 4096, EDGE = 5, LATENTS = 4 };

/* ---- arrays ---- */

typedef enum pattern {
    SMOOTH,  /* a few triangle waves and a little noise */
    ROUGH,   /* the same and rare large steps: wide differences */
    NOISE,   /* random bits of the type */
    SAME,    /* one value */
    LEVEL,   /* one value and noise below the bound */
    BIG,     /* integers beyond 2^53 */
    SPARSE,  /* mostly one byte */
    DECADES  /* both signs, zeros, many orders of magnitude; floats */
} pattern;

typedef enum spoil { CLEAN, HOLES, SPECIALS, PAYLOADS } spoil; /* fill of 1e20 or 99; NaN, infinities, subnormals; several NaNs */

typedef struct stream_case {
    const char *name;
    swg_element type;
    pattern pattern;
    spoil spoil;
    int64_t dims[4]; /* 0: no such axis */
    swg_codec_opts opts;
    bool blocks;
    enum { NO_MODEL, NETWORK, CAUSAL, MODELS } model;
    const char *train; /* kinds of models trained on the array itself; they are in the stream whether they pay or not */
} stream_case;

#define PLANES_OFF (1u << SWG_MODE_PLANES)
#define STENCIL_OFF (1u << SWG_MODE_STENCIL)
#define INTERP_ONLY (~(1u << SWG_MODE_INTERPOLATION))
#define OTHERS_OFF (STENCIL_OFF | PLANES_OFF)
#define BLOCKS_ONLY (~(1u << SWG_MODE_BLOCKS))
#define LOSSLESS .opts = {.bound = SWG_BOUND_LOSSLESS}
#define ABS(v) .opts = {.bound = SWG_BOUND_ABS, .value = (v)}
#define REL(v) .opts = {.bound = SWG_BOUND_REL, .value = (v)}
#define PW(v) .opts = {.bound = SWG_BOUND_PW_REL, .value = (v)}
#define GRID2 {20, 30}
#define GRID3 {7, 9, 11}
#define GRID4 {2, 5, 6, 9}

static const stream_case cases[] = {
    /* modes C and R */
    {"constant_f32", SWG_ELEMENT_F32, SAME, CLEAN, GRID3, ABS(0.5)},
    {"constant_u8", SWG_ELEMENT_U8, SAME, CLEAN, {700}, LOSSLESS},
    {"level_f64", SWG_ELEMENT_F64, LEVEL, CLEAN, GRID3, ABS(4)},
    {"level_i32", SWG_ELEMENT_I32, LEVEL, CLEAN, GRID3, ABS(40)},
    {"stored_f32", SWG_ELEMENT_F32, NOISE, CLEAN, {300}, LOSSLESS},
    {"planes_f32", SWG_ELEMENT_F32, SMOOTH, CLEAN, GRID3, .opts = {.without = STENCIL_OFF}},
    {"planes_f64", SWG_ELEMENT_F64, SPARSE, CLEAN, GRID3, .opts = {.without = STENCIL_OFF}},
    {"planes_u16", SWG_ELEMENT_U16, SMOOTH, CLEAN, GRID3, .opts = {.without = STENCIL_OFF}},
    /* mode W: types, ranks, widths */
    {"stencil_f32_1d", SWG_ELEMENT_F32, SMOOTH, CLEAN, {900}, ABS(0.5)},
    {"stencil_f32_2d", SWG_ELEMENT_F32, SMOOTH, CLEAN, GRID2, ABS(0.5)},
    {"stencil_f32_3d", SWG_ELEMENT_F32, SMOOTH, CLEAN, GRID3, ABS(0.25)},
    {"stencil_f32_4d", SWG_ELEMENT_F32, SMOOTH, CLEAN, GRID4, ABS(0.25)},
    {"stencil_f32_rel", SWG_ELEMENT_F32, SMOOTH, CLEAN, GRID3, REL(1e-3)},
    {"stencil_f32_chunks", SWG_ELEMENT_F32, SMOOTH, CLEAN, GRID3, .opts = {.bound = SWG_BOUND_ABS, .value = 2, .chunk = {4, 5, 6}}},
    {"stencil_f32_wide", SWG_ELEMENT_F32, ROUGH, CLEAN, GRID3, ABS(0.25)},
    {"stencil_f32_lossless", SWG_ELEMENT_F32, SMOOTH, CLEAN, GRID3, .opts = {.without = PLANES_OFF}},
    {"stencil_f32_outliers", SWG_ELEMENT_F32, SMOOTH, SPECIALS, GRID3, .opts = {.bound = SWG_BOUND_ABS, .value = 0.5, .fill = SWG_FILL_NONE}},
    {"stencil_f64_1d", SWG_ELEMENT_F64, SMOOTH, CLEAN, {900}, ABS(0.5)},
    {"stencil_f64_3d", SWG_ELEMENT_F64, SMOOTH, CLEAN, GRID3, ABS(0.25)},
    {"stencil_f64_tiny_bound", SWG_ELEMENT_F64, SMOOTH, CLEAN, {6, 7, 8}, .opts = {.bound = SWG_BOUND_ABS, .value = 1e-9, .without = PLANES_OFF}},
    {"split_f64", SWG_ELEMENT_F64, SMOOTH, CLEAN, {5, 6, 9}, .opts = {.without = PLANES_OFF}},
    {"split_f64_zeros", SWG_ELEMENT_F64, LEVEL, CLEAN, GRID3, LOSSLESS},
    {"split_f64_fill", SWG_ELEMENT_F64, SMOOTH, HOLES, {9, 30}, .opts = {.without = PLANES_OFF, .fill = SWG_FILL_VALUE}},
    {"split_u64", SWG_ELEMENT_U64, BIG, CLEAN, {6, 8, 10}, .opts = {.without = PLANES_OFF}},
    {"stencil_i8", SWG_ELEMENT_I8, SMOOTH, CLEAN, GRID3, .opts = {.without = PLANES_OFF}},
    {"stencil_u8_abs", SWG_ELEMENT_U8, SMOOTH, CLEAN, GRID3, ABS(2)},
    {"stencil_i16", SWG_ELEMENT_I16, SMOOTH, CLEAN, GRID3, .opts = {.without = PLANES_OFF}},
    {"stencil_u16_abs", SWG_ELEMENT_U16, SMOOTH, CLEAN, GRID3, ABS(10)},
    {"stencil_i32_abs", SWG_ELEMENT_I32, SMOOTH, CLEAN, GRID3, ABS(100)},
    {"stencil_u32", SWG_ELEMENT_U32, SMOOTH, CLEAN, GRID3, .opts = {.without = PLANES_OFF}},
    {"stencil_i64_abs", SWG_ELEMENT_I64, SMOOTH, CLEAN, GRID3, ABS(1e6)},
    {"stencil_u64_abs", SWG_ELEMENT_U64, SMOOTH, CLEAN, GRID4, ABS(1e6)},
    /* mode G */
    {"interp_f32_3d", SWG_ELEMENT_F32, SMOOTH, CLEAN, {10, 18, 21}, .opts = {.bound = SWG_BOUND_ABS, .value = 2, .without = INTERP_ONLY}},
    {"interp_f64_2d", SWG_ELEMENT_F64, SMOOTH, CLEAN, {40, 70}, .opts = {.bound = SWG_BOUND_ABS, .value = 1, .without = INTERP_ONLY}},
    {"interp_f32_1d", SWG_ELEMENT_F32, SMOOTH, SPECIALS, {900}, .opts = {.bound = SWG_BOUND_ABS, .value = 1, .without = INTERP_ONLY, .fill = SWG_FILL_NONE}},
    {"interp_f64_4d_fill", SWG_ELEMENT_F64, SMOOTH, HOLES, {3, 7, 8, 9}, .opts = {.bound = SWG_BOUND_ABS, .value = 2, .without = INTERP_ONLY, .fill = SWG_FILL_VALUE}},
    {"interp_f32_rough", SWG_ELEMENT_F32, ROUGH, CLEAN, GRID3, .opts = {.bound = SWG_BOUND_ABS, .value = 1, .without = INTERP_ONLY}},
    /* masks */
    {"fill_f32", SWG_ELEMENT_F32, SMOOTH, HOLES, GRID3, .opts = {.bound = SWG_BOUND_ABS, .value = 0.5, .fill = SWG_FILL_VALUE}},
    {"fill_f64_4d", SWG_ELEMENT_F64, SMOOTH, HOLES, GRID4, .opts = {.bound = SWG_BOUND_ABS, .value = 0.5, .fill = SWG_FILL_VALUE}},
    {"fill_i16", SWG_ELEMENT_I16, SMOOTH, HOLES, GRID2, .opts = {.bound = SWG_BOUND_ABS, .value = 5, .fill = SWG_FILL_VALUE}},
    {"fill_u64_1d", SWG_ELEMENT_U64, SMOOTH, HOLES, {800}, .opts = {.bound = SWG_BOUND_ABS, .value = 1e6, .fill = SWG_FILL_VALUE}},
    {"fill_f32_lossless", SWG_ELEMENT_F32, SMOOTH, HOLES, GRID3, .opts = {.without = PLANES_OFF, .fill = SWG_FILL_VALUE}},
    {"fill_f32_planes", SWG_ELEMENT_F32, SMOOTH, HOLES, GRID3, .opts = {.without = STENCIL_OFF, .fill = SWG_FILL_VALUE}},
    {"fill_f32_wide", SWG_ELEMENT_F32, ROUGH, HOLES, GRID3, .opts = {.bound = SWG_BOUND_ABS, .value = 0.5, .fill = SWG_FILL_ABOVE, .fill_threshold = 1e19}},
    {"nan_f32", SWG_ELEMENT_F32, SMOOTH, SPECIALS, GRID3, ABS(0.5)},
    {"nan_payloads_f64", SWG_ELEMENT_F64, SMOOTH, PAYLOADS, GRID3, ABS(0.5)},
    /* point-wise relative */
    {"relative_f32", SWG_ELEMENT_F32, DECADES, CLEAN, GRID3, PW(1e-2)},
    {"relative_f32_smooth", SWG_ELEMENT_F32, SMOOTH, CLEAN, GRID3, PW(1e-3)},
    {"relative_f64", SWG_ELEMENT_F64, DECADES, SPECIALS, GRID2, PW(1e-3)},
    {"relative_f64_fine", SWG_ELEMENT_F64, SMOOTH, HOLES, {9, 40}, .opts = {.bound = SWG_BOUND_PW_REL, .value = 1e-9, .fill = SWG_FILL_VALUE}},
    {"relative_f32_specials", SWG_ELEMENT_F32, DECADES, SPECIALS, GRID4, .opts = {.bound = SWG_BOUND_PW_REL, .value = 0.1, .fill = SWG_FILL_NONE}},
    /* mode P */
    {"poly_f32_grid", SWG_ELEMENT_F32, SMOOTH, CLEAN, {16, 17, 18}, .opts = {.bound = SWG_BOUND_ABS, .value = 8, .without = STENCIL_OFF | PLANES_OFF}},
    {"poly_f64_blocks", SWG_ELEMENT_F64, SMOOTH, CLEAN, {8, 7, 7, 7}, .opts = {.bound = SWG_BOUND_ABS, .value = 8, .without = STENCIL_OFF | PLANES_OFF}, .blocks = true},
    {"poly_f32_fill", SWG_ELEMENT_F32, SMOOTH, HOLES, {16, 17, 18}, .opts = {.bound = SWG_BOUND_ABS, .value = 8, .without = STENCIL_OFF | PLANES_OFF, .fill = SWG_FILL_VALUE}},
    /* mode G */
    {"interpolation_f32_grid", SWG_ELEMENT_F32, SMOOTH, CLEAN, {16, 17, 18}, .opts = {.bound = SWG_BOUND_ABS, .value = 8, .without = STENCIL_OFF | PLANES_OFF}},
    {"interpolation_f64_2d", SWG_ELEMENT_F64, SMOOTH, CLEAN, {60, 50}, .opts = {.bound = SWG_BOUND_ABS, .value = 8, .without = STENCIL_OFF | PLANES_OFF}},
    {"interpolation_f32_fill", SWG_ELEMENT_F32, SMOOTH, HOLES, {16, 17, 18}, .opts = {.bound = SWG_BOUND_ABS, .value = 8, .without = STENCIL_OFF | PLANES_OFF, .fill = SWG_FILL_VALUE}},
    /* mode B-causal */
    {"blocks_f32", SWG_ELEMENT_F32, SMOOTH, CLEAN, {40, 5, 5, 5}, .opts = {.bound = SWG_BOUND_ABS, .value = 8, .without = BLOCKS_ONLY}, .blocks = true},
    {"blocks_f64_specials", SWG_ELEMENT_F64, SMOOTH, SPECIALS, {60, 3, 3, 3}, .opts = {.bound = SWG_BOUND_ABS, .value = 1, .without = BLOCKS_ONLY, .fill = SWG_FILL_NONE}, .blocks = true},
    {"blocks_f32_fill", SWG_ELEMENT_F32, SMOOTH, HOLES, {20, 4, 4, 4}, .opts = {.bound = SWG_BOUND_ABS, .value = 2, .without = BLOCKS_ONLY, .fill = SWG_FILL_VALUE}, .blocks = true},
    {"blocks_f32_groups", SWG_ELEMENT_F32, SMOOTH, CLEAN, {270, 3, 3, 3}, .opts = {.bound = SWG_BOUND_ABS, .value = 20, .without = BLOCKS_ONLY}, .blocks = true},
    /* mode B-SWAE */
    {"network_f32_grid", SWG_ELEMENT_F32, SMOOTH, CLEAN, {11, 12, 13}, .opts = {.bound = SWG_BOUND_ABS, .value = 2, .without = STENCIL_OFF | PLANES_OFF}, .model = NETWORK},
    {"network_f64_blocks", SWG_ELEMENT_F64, SMOOTH, CLEAN, {20, 5, 5, 5}, .opts = {.bound = SWG_BOUND_ABS, .value = 2, .without = STENCIL_OFF | PLANES_OFF}, .blocks = true, .model = NETWORK},
    {"network_f32_fill", SWG_ELEMENT_F32, SMOOTH, HOLES, {11, 12, 13}, .opts = {.bound = SWG_BOUND_ABS, .value = 2, .without = STENCIL_OFF | PLANES_OFF, .fill = SWG_FILL_VALUE}, .model = NETWORK},
    /* mode W-MLP */
    {"mlp_f32_1d", SWG_ELEMENT_F32, SMOOTH, CLEAN, {2000}, .opts = {.bound = SWG_BOUND_ABS, .value = 4, .without = OTHERS_OFF}, .model = CAUSAL},
    {"mlp_f32_2d", SWG_ELEMENT_F32, SMOOTH, CLEAN, {40, 50}, .opts = {.bound = SWG_BOUND_ABS, .value = 4, .without = OTHERS_OFF}, .model = CAUSAL},
    {"mlp_f32_chunks", SWG_ELEMENT_F32, SMOOTH, CLEAN, {11, 12, 13}, .opts = {.bound = SWG_BOUND_ABS, .value = 4, .chunk = {6, 7, 13}, .without = OTHERS_OFF}, .model = CAUSAL},
    {"mlp_f32_wide", SWG_ELEMENT_F32, ROUGH, CLEAN, {11, 12, 9}, .opts = {.bound = SWG_BOUND_ABS, .value = 0.25, .without = OTHERS_OFF}, .model = CAUSAL},
    {"mlp_f64_4d_fill", SWG_ELEMENT_F64, SMOOTH, HOLES, {3, 7, 8, 9}, .opts = {.bound = SWG_BOUND_ABS, .value = 4, .without = OTHERS_OFF, .fill = SWG_FILL_VALUE}, .model = CAUSAL},
    {"mlp_f64_specials", SWG_ELEMENT_F64, SMOOTH, SPECIALS, {9, 9, 9}, .opts = {.bound = SWG_BOUND_ABS, .value = 4, .without = OTHERS_OFF, .fill = SWG_FILL_NONE}, .model = CAUSAL},
    {"mlp_i16", SWG_ELEMENT_I16, SMOOTH, CLEAN, {10, 11, 12}, .opts = {.bound = SWG_BOUND_ABS, .value = 8, .without = OTHERS_OFF}, .model = CAUSAL},
    /* models of kinds 1 and 9 */
    {"trained_stencil_f32", SWG_ELEMENT_F32, SMOOTH, CLEAN, {16, 17, 18}, .opts = {.bound = SWG_BOUND_ABS, .value = 1, .chunk = {8, 6, 9}, .without = PLANES_OFF}, .train = "stencil"},
    {"trained_stencil_f64_wide", SWG_ELEMENT_F64, ROUGH, HOLES, {6, 17, 18}, .opts = {.bound = SWG_BOUND_ABS, .value = 1, .chunk = {6, 6, 9}, .without = PLANES_OFF, .fill = SWG_FILL_VALUE}, .train = "stencil"},
    {"poly_law_f32", SWG_ELEMENT_F32, SMOOTH, CLEAN, {16, 17, 18}, .opts = {.bound = SWG_BOUND_ABS, .value = 8, .without = STENCIL_OFF | PLANES_OFF}, .train = "law"},
    {"poly_law_f64_blocks", SWG_ELEMENT_F64, SMOOTH, CLEAN, {16, 7, 7, 7}, .opts = {.bound = SWG_BOUND_ABS, .value = 8, .without = STENCIL_OFF | PLANES_OFF}, .blocks = true, .train = "law"},
};

static uint64_t next(uint64_t *state) { /* xorshift64* */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Du;
}

/* 0..period/2..0 */
static int64_t triangle(int64_t x, int64_t period) {
    int64_t r = ((x % period) + period) % period;
    return r < period - r ? r : period - r;
}

/* A whole number of the pattern at (w, z, y, x), -1500..1500 or so. */
static int64_t whole(const stream_case *c, const int64_t at[4], uint64_t *state) {
    int64_t v = 23 * triangle(at[3] + 2 * at[0], 26) + 17 * triangle(at[2] + at[3] / 3, 30) + 11 * triangle(3 * at[1] - at[2], 44) - 600;
    uint64_t r = next(state);
    switch (c->pattern) {
    case SAME: return 42;
    case LEVEL: return 40 + (int64_t)(r >> 62);
    case SPARSE: return (r >> 59) == 0 ? 3 : 0;
    case ROUGH: return v + (int64_t)(r >> 62) + ((r & 31) == 0 ? 70000 * (int64_t)((r >> 8 & 7) - 3) : 0);
    case NOISE: return (int64_t)r;
    default: return v + (int64_t)(r >> 62);
    }
}

static void store(swg_element type, void *data, int64_t i, uint64_t bits) {
    switch (swg_element_bytes(type)) {
    case 1: ((uint8_t *)data)[i] = (uint8_t)bits; break;
    case 2: ((uint16_t *)data)[i] = (uint16_t)bits; break;
    case 4: ((uint32_t *)data)[i] = (uint32_t)bits; break;
    default: ((uint64_t *)data)[i] = bits;
    }
}

static double as_float(const stream_case *c, int64_t v, uint64_t r) {
    if (c->pattern != DECADES)
        return (double)v * 0.125 + (double)(r & 63) * 0x1p-12;
    return (r >> 58) == 0 ? (r & 1 ? -0.0 : 0.0) : ldexp((r & 1 ? -1.0 : 1.0) * (1 + (double)(r >> 40 & 0xFFFFF) * 0x1p-20), (int)(v / 16));
}

static void make_array(const stream_case *c, swg_codec_array *a, void *data, uint64_t fill) {
    static const int64_t shift[] = {[SWG_ELEMENT_I8] = 4, [SWG_ELEMENT_U8] = 4};
    *a = (swg_codec_array){.type = c->type, .layout = c->blocks ? SWG_CODEC_BLOCKS : SWG_CODEC_GRID, .data = data};
    while (a->ndim < 4 && c->dims[a->ndim])
        a->dims[a->ndim] = c->dims[a->ndim], a->ndim++;
    int64_t extent[4] = {1, 1, 1, 1}, values = 1;
    for (int i = 0; i < a->ndim; i++) {
        extent[4 - a->ndim + i] = a->dims[i];
        values *= a->dims[i];
    }
    uint64_t state = 0x9E3779B97F4A7C15u;
    bool is_float = c->type == SWG_ELEMENT_F32 || c->type == SWG_ELEMENT_F64;
    for (int64_t i = 0; i < values; i++) {
        int64_t at[4] = {i / (extent[1] * extent[2] * extent[3]), i / (extent[2] * extent[3]) % extent[1], i / extent[3] % extent[2], i % extent[3]};
        int64_t v = whole(c, at, &state);
        uint64_t r = next(&state), bits = (uint64_t)v;
        if (is_float && c->pattern != NOISE) {
            double x = as_float(c, v, c->pattern == SAME || c->pattern == SPARSE || c->pattern == LEVEL ? 0 : r);
            float f = (float)x;
            uint32_t low;
            memcpy(&low, &f, sizeof low);
            memcpy(&bits, &x, sizeof bits);
            bits = c->type == SWG_ELEMENT_F32 ? low : bits;
        } else if (c->pattern != NOISE) {
            bool small = c->pattern == LEVEL || c->pattern == SAME;
            int64_t scale = c->pattern == BIG ? 4000000000000001 : small ? 1 : swg_element_bytes(c->type) == 8 ? 10000000 : swg_element_bytes(c->type) == 4 ? 1000 : 1;
            bits = (uint64_t)(swg_element_bytes(c->type) == 1 ? v >> shift[c->type] : (v + 2000) * scale);
        }
        static const uint64_t special[6] = {0x7fc00000, 0x7f800000, 0xff800000, 0x7fc00123, 0x00000001, 0x80000000};
        static const uint64_t special64[6] = {0x7ff8000000000000, 0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000123, 1, (uint64_t)1 << 63};
        bool hole = (at[3] - 5) * (at[3] - 5) + (at[2] - 4) * (at[2] - 4) < 10 || i % 101 == 7 || i == 0;
        if (c->spoil == HOLES && hole)
            bits = fill;
        if (c->spoil == SPECIALS && i % 17 == 3)
            bits = c->type == SWG_ELEMENT_F32 ? special[i / 17 % 6] : special64[i / 17 % 6];
        if (c->spoil == PAYLOADS && hole)
            bits = c->type == SWG_ELEMENT_F32 ? special[i % 2 * 3] : special64[i % 2 * 3];
        store(c->type, data, i, bits);
    }
}

/* ---- a network with a few numbers, right for blocks that are nearly linear ---- */

static float basis[EDGE * EDGE * EDGE][LATENTS], weight[EDGE * EDGE * EDGE * LATENTS];

static swg_status encode(void *user, int64_t count, const float *blocks, float *latents) {
    (void)user;
    for (int64_t b = 0; b < count; b++)
        for (int k = 0; k < LATENTS; k++) {
            float sum = 0;
            for (int i = 0; i < EDGE * EDGE * EDGE; i++)
                sum += blocks[b * EDGE * EDGE * EDGE + i] * basis[i][k];
            latents[b * LATENTS + k] = sum;
        }
    return SWG_OK;
}

static swg_status open_network(swg_context *ctx, swg_codec_model **model) {
    enum { SAMPLE = 64, VALUES = EDGE * EDGE * EDGE };
    static float sample[SAMPLE][VALUES], bias[VALUES];
    for (int i = 0; i < VALUES; i++)
        for (int k = 0; k < LATENTS; k++) { /* z, y, x and xy, each of norm 1 */
            float p[3] = {(float)(i / (EDGE * EDGE) - 2), (float)(i / EDGE % EDGE - 2), (float)(i % EDGE - 2)};
            basis[i][k] = k < 3 ? p[k] / sqrtf(250) : p[1] * p[2] / sqrtf(500);
            weight[i * LATENTS + k] = basis[i][k];
        }
    uint64_t state = 1;
    memset(sample, 0, sizeof sample);
    for (int s = 0; s < SAMPLE; s++)
        for (int k = 0; k < LATENTS; k++) {
            float a = (float)(int64_t)(next(&state) >> 56) / 128 - 1;
            for (int i = 0; i < VALUES; i++)
                sample[s][i] += a * basis[i][k] * 2;
        }
    swg_codec_network n = {.edge = EDGE, .latents = LATENTS, .layer_count = 1, .encode = encode};
    n.layers[0] = (swg_codec_layer){LATENTS, VALUES, SWG_CODEC_NONE, weight, bias};
    return swg_codec_model_make(ctx, &n, sample[0], SAMPLE, model, NULL);
}

/* Sets of models: one by kind of case. */
static swg_status open_models(swg_context *ctx, swg_codec_model *model[MODELS]) {
    static const int width[] = {28, 8, 4, 2};
    swg__text blob;
    SWG__TRY(open_network(ctx, &model[NETWORK]));
    SWG__TRY(swg_codec_model_new(ctx, &model[CAUSAL]));
    swg__text_init(&blob, ctx);
    causal_blob(&blob, width, 3);
    const char *why = swg__model_add(model[CAUSAL], (const uint8_t *)blob.data, blob.length, NULL, 0, true);
    swg__text_free(&blob);
    return why ? swg__fail(ctx, SWG_EINVAL, "%s", why) : SWG_OK;
}

static void close_models(swg_context *ctx, swg_codec_model *model[MODELS]) {
    for (int i = NETWORK; i < MODELS; i++)
        swg_codec_model_free(ctx, model[i]);
}

/* ---- the three commands ---- */

static uint64_t data[MOST_VALUES], restored[MOST_VALUES];

static int complain(swg_context *ctx, const char *name, const char *what) {
    fprintf(stderr, "%s: %s: %s\n", name, what, swg_context_message(ctx));
    return 1;
}

/* CRC32C of the values as they would stand in a file. */
static uint32_t value_crc(swg_element type, const void *values, int64_t count, uint32_t crc) {
    int bytes = swg_element_bytes(type);
    for (int64_t i = 0; i < count; i++) {
        uint8_t little[8];
        uint64_t bits = bytes == 1 ? ((const uint8_t *)values)[i] : bytes == 2 ? ((const uint16_t *)values)[i]
                      : bytes == 4 ? ((const uint32_t *)values)[i] : ((const uint64_t *)values)[i];
        for (int b = 0; b < bytes; b++)
            little[b] = (uint8_t)(bits >> 8 * b);
        crc = swg__crc32c(crc, little, (size_t)bytes);
    }
    return crc;
}

/* Trains on the array and writes the stream with all of the models. */
static swg_status compress_trained(swg_context *ctx, const swg_codec_array *a, const swg_codec_opts *o, const char *kinds, swg_codec_buffer *out, swg_codec_stats *stats) {
    swg_codec_model *model;
    swg__encoded coded = {0};
    swg__text text;
    int all[SWG__MODELS];
    for (int i = 0; i < SWG__MODELS; i++)
        all[i] = i;
    swg__text_init(&text, ctx);
    SWG__TRY(swg_codec_model_new(ctx, &model));
    swg_status status = swg_codec_fit(ctx, a, 1, o, &(swg_codec_fit_opts){.kinds = kinds}, model);
    if (status == SWG_OK)
        status = swg__encode_array(ctx, a, o, model, &coded);
    const swg__model_use use = {all, swg_codec_model_count(model), false};
    if (status == SWG_OK && !swg__encoded_uses(&coded, use.blob, use.count))
        status = swg__fail(ctx, SWG_EINVAL, "no chunk uses a model");
    if (status == SWG_OK)
        status = swg__encoded_write(&coded, use, &text, stats);
    *out = (swg_codec_buffer){(uint8_t *)text.data, text.length};
    swg__encoded_free(&coded);
    swg_codec_model_free(ctx, model);
    return status;
}

static int encode_case(swg_context *ctx, const stream_case *c, swg_codec_model *const model[MODELS], swg_codec_buffer *out, swg_codec_stats *stats) {
    swg_codec_array a;
    swg_codec_opts o = c->opts;
    bool is_float = c->type == SWG_ELEMENT_F32 || c->type == SWG_ELEMENT_F64;
    if (!swg_fill_bits(c->type, is_float ? 1e20 : 99, &o.fill_bits))
        return complain(ctx, c->name, "fill");
    make_array(c, &a, data, o.fill_bits);
    o.fill_bits = o.fill == SWG_FILL_VALUE ? o.fill_bits : 0;
    o.model = model[c->model];
    if (strncmp(c->name, "poly", 4) != 0) /* a name says which mode the case is about */
        o.without |= 1u << SWG_MODE_POLY;
    if (strncmp(c->name, "blocks", 6) != 0)
        o.without |= 1u << SWG_MODE_BLOCKS;
    o.without |= strncmp(c->name, "interp", 6) != 0 ? 1u << SWG_MODE_INTERPOLATION : 1u << SWG_MODE_POLY;
    return (c->train ? compress_trained(ctx, &a, &o, c->train, out, stats) : swg_codec_compress(ctx, &a, &o, out, stats)) == SWG_OK ? 0 : complain(ctx, c->name, "compress");
}

static int decode(swg_context *ctx, const char *name, const void *bytes, size_t count, uint32_t *crc) {
    swg_swz *swz;
    if (swg_swz_open_memory(ctx, bytes, count, &swz) != SWG_OK)
        return complain(ctx, name, "open");
    const swg_swz_info *info = swg_swz_member(swz, 0);
    swg_status status = (size_t)info->bytes_raw > sizeof restored ? SWG_ESHAPE : swg_swz_read(swz, 0, restored, (size_t)info->bytes_raw);
    *crc = status == SWG_OK ? value_crc(info->type, restored, info->values, *crc) : *crc;
    swg_swz_close(swz);
    return status == SWG_OK ? 0 : complain(ctx, name, "read");
}

static int write_streams(swg_context *ctx, const char *folder) {
    char path[1024];
    swg_codec_model *model[MODELS] = {0};
    if (open_models(ctx, model) != SWG_OK)
        return complain(ctx, "models", "open");
    snprintf(path, sizeof path, "%s/list.txt", folder);
    FILE *list = fopen(path, "w");
    int failed = !list;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0] && !failed; i++) {
        const stream_case *c = &cases[i];
        swg_codec_buffer out = {0};
        swg_codec_stats stats;
        uint32_t crc = 0;
        failed = encode_case(ctx, c, model, &out, &stats) || decode(ctx, c->name, out.data, out.bytes, &crc);
        snprintf(path, sizeof path, "%s/%s.swz", folder, c->name);
        FILE *file = failed ? NULL : fopen(path, "wb");
        failed = failed || !file || fwrite(out.data, 1, out.bytes, file) != out.bytes;
        if (file)
            failed |= fclose(file) != 0;
        if (!failed && out.bytes > MOST_BYTES)
            failed = fprintf(stderr, "%s has %zu bytes, more than %d\n", c->name, out.bytes, MOST_BYTES) > 0;
        if (!failed) {
            fprintf(list, "%08x %s", crc, c->name);
            for (int m = 0; m < SWG_MODE_COUNT; m++)
                if (stats.mode_chunks[m])
                    fprintf(list, " %s", swg_codec_mode_name((swg_codec_mode)m));
            fprintf(list, "\n");
        }
        swg_codec_buffer_free(ctx, &out);
    }
    if (list)
        failed |= fclose(list) != 0;
    close_models(ctx, model);
    return failed;
}

static int check_streams(swg_context *ctx, const char *folder, uint32_t *all) {
    static uint8_t bytes[MOST_BYTES + 1];
    char path[1024], line[256], name[128];
    unsigned expected;
    int failed = 0, count = 0;
    snprintf(path, sizeof path, "%s/list.txt", folder);
    FILE *list = fopen(path, "r");
    if (!list)
        return complain(ctx, path, "cannot be read");
    while (fgets(line, sizeof line, list)) {
        uint32_t crc = 0;
        if (sscanf(line, "%8x %127s", &expected, name) != 2) {
            failed = 1;
            fprintf(stderr, "%s: line \"%s\"\n", path, line);
            break;
        }
        snprintf(path, sizeof path, "%s/%s.swz", folder, name);
        FILE *file = fopen(path, "rb");
        size_t length = file ? fread(bytes, 1, sizeof bytes, file) : 0;
        if (file)
            fclose(file);
        if (decode(ctx, name, bytes, length, &crc) || crc != expected) {
            fprintf(stderr, "%s: values have CRC32C %08x, expected %08x\n", name, crc, expected);
            failed = 1;
        }
        *all = swg__crc32c(*all, &(uint8_t[4]){(uint8_t)crc, (uint8_t)(crc >> 8), (uint8_t)(crc >> 16), (uint8_t)(crc >> 24)}, 4);
        count++;
    }
    fclose(list);
    if (count < 40)
        failed = fprintf(stderr, "%s: only %d streams\n", folder, count) > 0;
    return failed;
}

static int hash_streams(swg_context *ctx, uint32_t *encoded, uint32_t *decoded) {
    swg_codec_model *model[MODELS] = {0};
    if (open_models(ctx, model) != SWG_OK)
        return complain(ctx, "models", "open");
    int failed = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0] && !failed; i++) {
        swg_codec_buffer out = {0};
        failed = encode_case(ctx, &cases[i], model, &out, NULL) || decode(ctx, cases[i].name, out.data, out.bytes, decoded);
        *encoded = failed ? *encoded : swg__crc32c(*encoded, out.data, out.bytes);
        swg_codec_buffer_free(ctx, &out);
    }
    close_models(ctx, model);
    return failed;
}

int main(int argc, char **argv) {
    static const char *const isas[] = {"scalar", "sse2", "avx2", "avx512", "avx512_vnni"};
    bool write = argc == 3 && strcmp(argv[1], "write") == 0, check = argc == 3 && strcmp(argv[1], "check") == 0;
    if (!write && !check && !(argc == 2 && strcmp(argv[1], "hash") == 0)) {
        fprintf(stderr, "usage: codec_streams write FOLDER | check FOLDER | hash\n");
        return 2;
    }
    int failed = 0, tried = 0;
    for (size_t i = 0; i < sizeof isas / sizeof isas[0] && !failed; i++) {
        swg_context *ctx;
        uint32_t encoded = 0, decoded = 0;
        if (swg_context_open(&(swg_context_opts){.threads = 1, .isa = isas[i]}, &ctx) != SWG_OK)
            continue; /* not on this machine */
        tried++;
        failed = write ? write_streams(ctx, argv[2]) : check ? check_streams(ctx, argv[2], &decoded) : hash_streams(ctx, &encoded, &decoded);
        if (!failed && check)
            printf("%s streams %08x\n", isas[i], decoded);
        if (!failed && !check && !write)
            printf("%s encoded %08x decoded %08x\n", isas[i], encoded, decoded);
        swg_context_close(ctx);
        if (write)
            break;
    }
    return failed || !tried;
}
