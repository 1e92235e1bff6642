/* causal_reference.h - mode W-MLP written a second time from docs/format.md, plain and slow: code lengths of a chunk's points with the
 * model of a blob of kind 2, its network on or off. Checks and measures what training makes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CAUSAL_REFERENCE_H
#define CAUSAL_REFERENCE_H

#include "codec/stencil.h"

typedef struct reference_model {
    int32_t w[27];
    int c_min, c_max;
    const uint8_t *bucket;  /* (classes, 3) */
    const uint8_t *net;     /* its layers */
} reference_model;

static int reference_byte(const uint8_t *p) { return (int8_t)*p; }
static int32_t reference_int(const uint8_t *p) { return (int32_t)swg__load32(p); }

static reference_model reference_open(const uint8_t *blob) {
    reference_model m;
    const uint8_t *at = blob + 16;
    for (int k = 0; k < 27; k++, at += 2)
        m.w[k] = (int16_t)swg__load16(at);
    m.c_min = at[2];
    m.c_max = at[3];
    m.bucket = at + 6;
    m.net = blob + 16 + (60 + 3 * (m.c_max - m.c_min + 1) + 3) / 4 * 4;
    return m;
}

/* The two sums of the last layer. */
static void reference_network(const reference_model *m, const int8_t features[28], int64_t sums[2]) {
    int64_t x[1024], z[1024];
    const int layers = m->net[0];
    const uint8_t *at = m->net + 4;
    for (int i = 0; i < 28; i++)
        x[i] = features[i];
    for (int l = 0; l < layers; l++) {
        const int in = swg__load16(at), out = swg__load16(at + 2), shift = at[4], row = (in + 3) / 4 * 4;
        const uint8_t *bias = at + 8, *weight = bias + 4 * out;
        for (int j = 0; j < out; j++) {
            z[j] = reference_int(bias + 4 * j);
            for (int i = 0; i < in; i++)
                z[j] += reference_byte(weight + j * row + i) * x[i];
        }
        for (int j = 0; j < out && l < layers - 1; j++) {
            int64_t h = (z[j] + ((int64_t)1 << (shift - 1))) >> shift;
            x[j] = h < 0 ? 0 : h > 255 ? 255 : h;
        }
        at = weight + out * row;
    }
    sums[0] = z[0];
    sums[1] = z[1];
}

static int64_t reference_clamp(int64_t v, int64_t least, int64_t most) { return v < least ? least : v > most ? most : v; }

typedef struct reference_length {
    const reference_model *model;
    bool network;
    int64_t points, inner_points; /* inner: with all their neighbours */
    double bits, inner_bits;
} reference_length;

/* A swg__row_fn. */
static swg_status reference_row(void *user, int64_t row, const swg__training *t) {
    (void)row;
    reference_length *out = user;
    const reference_model *m = out->model;
    int before = 2;
    for (int64_t i = 0; i < t->count; i++) {
        int64_t sum = 0, size = 0;
        int8_t x[28];
        for (int k = 0; k < 27; k++) {
            int64_t d = (int64_t)t->d[i * 27 + k];
            sum += m->w[k] * d;
            size += d < 0 ? -d : d;
        }
        const int64_t s = 4 * size + 27;
        int e = 0;
        while (s >> (e + 1))
            e++;
        const int64_t lead = (s * 256 >> e) & 255;
        const int c = (int)reference_clamp(4 * (e - 4) + (lead >> 6), 0, 127);
        for (int k = 0; k < 27; k++) {
            const int64_t g = (int64_t)floor(110592 * 256.0 / (256 + (double)lead) + 0.5);
            x[k] = (int8_t)reference_clamp(((int64_t)t->d[i * 27 + k] * g + ((int64_t)1 << (e + 5))) >> (e + 6), -127, 127);
        }
        x[27] = (int8_t)reference_clamp(2 * c - 64, -127, 127);
        int64_t mu = (sum + 256) >> 9;
        int b = m->bucket[3 * (reference_clamp(c, m->c_min, m->c_max) - m->c_min) + before];
        if (out->network) {
            int64_t o[2];
            reference_network(m, x, o);
            b = (int)reference_clamp((2048 * b + 4 * o[1] + 1024) >> 11, 0, 127);
            const int64_t scale = (int64_t)floor(256 * exp2((b - 20) / 4.0) + 0.5);
            mu += (reference_clamp((o[0] + 16) >> 5, -512, 511) * scale + 512) >> 10;
        }
        const int64_t guess = (mu + 8) >> 4, residual = (int64_t)t->target[i] - guess;
        if (!(t->mark[i] & SWG__SAMPLE_MASKED)) {
            const double bits_here = swg__residual_cost(b, (int)(mu - 16 * guess), residual) / 256.0;
            const bool inner = !(t->mark[i] & SWG__SAMPLE_BORDER);
            out->bits += bits_here;
            out->points++;
            out->inner_bits += inner ? bits_here : 0;
            out->inner_points += inner;
        }
        before = t->mark[i] & SWG__SAMPLE_MASKED ? 2 : residual == 0 ? 0 : residual == 1 || residual == -1 ? 1 : 2;
    }
    return SWG_OK;
}

#endif
