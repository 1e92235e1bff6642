/* codec_testing.h - what the codec's tests share: arrays with given characters, a round trip that checks every promise.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_TESTING_H
#define SWAGE_CODEC_TESTING_H

#include <math.h>
#include "swage/codec.h"
#include "testing.h"

/* xorshift64*: the same numbers on every machine */
static inline uint64_t noise(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Du;
}

static inline int64_t array_values(const swg_codec_array *a) {
    int64_t n = 1;
    for (int i = 0; i < a->ndim; i++)
        n *= a->dims[i];
    return n;
}

/* A smooth field with a little noise, in any type. */
static inline void fill_smooth(const swg_codec_array *a, void *data, uint64_t seed) {
    int64_t n = array_values(a), inner = a->dims[a->ndim - 1];
    for (int64_t i = 0; i < n; i++) {
        double x = (double)(i % inner), y = (double)(i / inner);
        double v = 40 * sin(0.11 * x + 0.3) * cos(0.07 * y) + 0.01 * (double)(noise(&seed) >> 40) / 0x1p24;
        switch (a->type) {
        case SWG_ELEMENT_F32: ((float *)data)[i] = (float)v; break;
        case SWG_ELEMENT_F64: ((double *)data)[i] = v; break;
        case SWG_ELEMENT_I8: ((int8_t *)data)[i] = (int8_t)v; break;
        case SWG_ELEMENT_U8: ((uint8_t *)data)[i] = (uint8_t)(v + 100); break;
        case SWG_ELEMENT_I16: ((int16_t *)data)[i] = (int16_t)(100 * v); break;
        case SWG_ELEMENT_U16: ((uint16_t *)data)[i] = (uint16_t)(100 * v + 20000); break;
        case SWG_ELEMENT_I32: ((int32_t *)data)[i] = (int32_t)(1e5 * v); break;
        case SWG_ELEMENT_U32: ((uint32_t *)data)[i] = (uint32_t)(1e5 * v + 1e7); break;
        case SWG_ELEMENT_I64: ((int64_t *)data)[i] = (int64_t)(1e9 * v); break;
        case SWG_ELEMENT_U64: ((uint64_t *)data)[i] = (uint64_t)(1e9 * v + 1e11); break;
        }
    }
}

/* Compresses, opens, reads, verifies; fails unless the bound holds in exact arithmetic and the size promise is kept.
 * Returns the bytes of the stream; stats may be NULL. */
static inline size_t round_trip(swg_context *ctx, const swg_codec_array *a, const swg_codec_opts *opts, swg_codec_stats *stats) {
    swg_codec_buffer out;
    swg_codec_stats own;
    swg_codec_gap gap;
    swg_swz *swz = NULL;
    assert_ok(ctx, swg_codec_compress(ctx, a, opts, &out, &own));
    assert_ok(ctx, swg_swz_open_memory(ctx, out.data, out.bytes, &swz));
    assert_int_equal(swg_swz_count(swz), 1);
    const swg_swz_info *info = swg_swz_member(swz, 0);
    assert_int_equal(info->values, array_values(a));
    assert_int_equal(info->type, a->type);
    assert_int_equal(own.bytes_out, out.bytes);
    size_t bytes = (size_t)info->bytes_raw;
    void *restored = malloc(bytes);
    memset(restored, 0x5A, bytes);
    assert_ok(ctx, swg_swz_read(swz, 0, restored, bytes));
    assert_ok(ctx, swg_swz_verify(swz, 0));
    assert_ok(ctx, swg_codec_audit(ctx, a, restored, info, &gap));
    if (gap.violations)
        fail_msg("%s: %lld of %lld values outside the bound %g, first %lld, largest error %.17g", swg_element_name(a->type),
                 (long long)gap.violations, (long long)gap.values, info->eb_abs, (long long)gap.first, gap.max_abs_error);
    if (info->bound != SWG_BOUND_PW_REL && info->eb_abs > 0 && !(gap.max_abs_error <= info->max_ratio * info->eb_abs * (1 + 1e-6)))
        fail_msg("largest error %.17g, the file says at most %.9g of %.17g", gap.max_abs_error, info->max_ratio, info->eb_abs);
    if (out.bytes > bytes + 1024)
        fail_msg("%zu bytes became %zu", bytes, out.bytes);
    int64_t chunks = 0;
    for (int m = 0; m < SWG_MODE_COUNT; m++)
        chunks += own.mode_chunks[m];
    assert_int_equal(chunks, info->chunks);
    if (stats)
        *stats = own;
    size_t stored = out.bytes;
    free(restored);
    swg_swz_close(swz);
    swg_codec_buffer_free(ctx, &out);
    return stored;
}

/* A network that is right for smooth blocks: the encoder projects on the lowest `latents` cosines of a cube, the decoder
 * expands them again; z = a(z) - a(-z) holds for both activations, so a hidden layer of twice the latents passes them on. */
typedef struct cosine_network {
    int edge, latents;
    float *basis;                 /* (edge^3, latents), orthonormal columns */
    float *weight[2], *bias[2];
    int64_t calls, blocks;
    int64_t fail_at;              /* call that fails, -1 never */
} cosine_network;

static inline swg_status cosine_encode(void *user, int64_t count, const float *blocks, float *latents) {
    cosine_network *n = user;
    int values = n->edge * n->edge * n->edge;
    n->blocks += count;
    if (n->calls++ == n->fail_at)
        return SWG_EINTERRUPTED;
    for (int64_t r = 0; r < count; r++)
        for (int j = 0; j < n->latents; j++) {
            float sum = 0;
            for (int i = 0; i < values; i++)
                sum += blocks[r * values + i] * n->basis[i * n->latents + j];
            latents[r * n->latents + j] = sum;
        }
    return SWG_OK;
}

static inline void cosine_open(cosine_network *n, int edge, int latents, swg_codec_activation activation, swg_codec_network *out) {
    int values = edge * edge * edge, k = latents;
    *n = (cosine_network){.edge = edge, .latents = k, .fail_at = -1};
    n->basis = malloc((size_t)(values * k) * sizeof(float));
    n->weight[0] = calloc((size_t)(2 * k * k), sizeof(float));
    n->weight[1] = malloc((size_t)(values * 2 * k) * sizeof(float));
    n->bias[0] = calloc((size_t)(2 * k), sizeof(float));
    n->bias[1] = calloc((size_t)values, sizeof(float));
    int mode = 0;
    for (int degree = 1; mode < k; degree++) /* by total degree; the mean is not the network's business */
        for (int a = 0; a <= degree && mode < k; a++)
            for (int b = 0; a + b <= degree && mode < k; b++) {
                int c = degree - a - b;
                double norm = 0;
                for (int pass = 0; pass < 2; pass++)
                    for (int i = 0; i < values; i++) {
                        double z = i / (edge * edge) + 0.5, y = i / edge % edge + 0.5, x = i % edge + 0.5, pi = 3.14159265358979;
                        double v = cos(pi * a * z / edge) * cos(pi * b * y / edge) * cos(pi * c * x / edge);
                        if (pass)
                            n->basis[i * k + mode] = (float)(v / sqrt(norm));
                        else
                            norm += v * v;
                    }
                mode++;
            }
    for (int j = 0; j < k; j++) {
        n->weight[0][j * k + j] = 1;
        n->weight[0][(k + j) * k + j] = -1;
        for (int i = 0; i < values; i++) {
            n->weight[1][i * 2 * k + j] = n->basis[i * k + j];
            n->weight[1][i * 2 * k + k + j] = -n->basis[i * k + j];
        }
    }
    *out = (swg_codec_network){.edge = edge, .latents = k, .layer_count = 2, .encode = cosine_encode, .user = n};
    out->layers[0] = (swg_codec_layer){k, 2 * k, activation, n->weight[0], n->bias[0]};
    out->layers[1] = (swg_codec_layer){2 * k, values, SWG_CODEC_NONE, n->weight[1], n->bias[1]};
}

static inline void cosine_close(cosine_network *n) {
    free(n->basis);
    for (int i = 0; i < 2; i++) {
        free(n->weight[i]);
        free(n->bias[i]);
    }
}

/* Smooth normalised blocks: a few random low cosines, largest magnitude 1. */
static inline float *cosine_sample(int edge, int64_t count, uint64_t seed) {
    int values = edge * edge * edge;
    float *blocks = malloc((size_t)(count * values) * sizeof(float));
    for (int64_t r = 0; r < count; r++) {
        double f[3], g[3], most = 0, mean = 0;
        for (int i = 0; i < 3; i++) {
            f[i] = (double)(noise(&seed) >> 11) / 0x1p53 - 0.5;
            g[i] = (double)(noise(&seed) >> 11) / 0x1p53 * 6;
        }
        float *b = blocks + r * values;
        for (int i = 0; i < values; i++) {
            b[i] = (float)(sin(f[0] * (i / (edge * edge)) + g[0]) * cos(f[1] * (i / edge % edge) + g[1]) + sin(f[2] * (i % edge) + g[2]));
            mean += (double)b[i] / values;
        }
        for (int i = 0; i < values; i++)
            most = fmax(most, fabs((double)b[i] - mean));
        for (int i = 0; i < values; i++)
            b[i] = (float)(((double)b[i] - mean) / fmax(most, 1e-9));
    }
    return blocks;
}

#endif
