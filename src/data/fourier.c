/* fourier.c - the discrete Fourier transform of powers of two in f64.
 * Stockham's form: input and output in natural order, passes of radix 4 and, for odd powers, one of radix 2.
 * SPDX-License-Identifier: Apache-2.0 */
#include "fourier.h"
#include <math.h>
#include <string.h>

swg_status swg__fourier_open(swg_context *ctx, int64_t n, swg__fourier *out) {
    *out = (swg__fourier){.n = n};
    out->cosine = swg__alloc(ctx, (size_t)n * sizeof(double));
    out->sine = swg__alloc(ctx, (size_t)n * sizeof(double));
    if (!out->cosine || !out->sine) {
        swg__fourier_close(ctx, out);
        return swg__fail_memory(ctx, 2 * (size_t)n * sizeof(double), "a Fourier transform");
    }
    for (int64_t k = 0; k < n; k++) {
        const double angle = 2 * 3.14159265358979323846 * (double)k / (double)n;
        out->cosine[k] = cos(angle);
        out->sine[k] = sin(angle);
    }
    return SWG_OK;
}

void swg__fourier_close(swg_context *ctx, swg__fourier *f) {
    swg__free(ctx, f->cosine);
    swg__free(ctx, f->sine);
    *f = (swg__fourier){0};
}

/* Elements q + stride (p + j m) become q + stride (4 p + j), with m = n / (4 stride). */
static void pass_four(const swg__fourier *f, int64_t stride, const double *restrict re, const double *restrict im, double *restrict to_re,
                      double *restrict to_im) {
    const int64_t m = f->n / (4 * stride), gap = m * stride;
    for (int64_t p = 0; p < m; p++) {
        const int64_t w = p * stride;
        const double c1 = f->cosine[w], s1 = f->sine[w], c2 = f->cosine[2 * w], s2 = f->sine[2 * w], c3 = f->cosine[3 * w], s3 = f->sine[3 * w];
        const double *restrict x = re + w, *restrict y = im + w;
        double *restrict u = to_re + 4 * w, *restrict v = to_im + 4 * w;
        for (int64_t q = 0; q < stride; q++) {
            const double ar = x[q] + x[q + 2 * gap], ai = y[q] + y[q + 2 * gap], br = x[q] - x[q + 2 * gap], bi = y[q] - y[q + 2 * gap];
            const double cr = x[q + gap] + x[q + 3 * gap], ci = y[q + gap] + y[q + 3 * gap];
            const double dr = y[q + gap] - y[q + 3 * gap], di = x[q + 3 * gap] - x[q + gap]; /* -i (x1 - x3) */
            const double er = br + dr, ei = bi + di, fr = ar - cr, fi = ai - ci, gr = br - dr, gi = bi - di;
            u[q] = ar + cr;
            v[q] = ai + ci;
            u[q + stride] = er * c1 + ei * s1;
            v[q + stride] = ei * c1 - er * s1;
            u[q + 2 * stride] = fr * c2 + fi * s2;
            v[q + 2 * stride] = fi * c2 - fr * s2;
            u[q + 3 * stride] = gr * c3 + gi * s3;
            v[q + 3 * stride] = gi * c3 - gr * s3;
        }
    }
}

/* The last pass: stride n / 2, no turn. */
static void pass_two(int64_t half, const double *restrict re, const double *restrict im, double *restrict to_re, double *restrict to_im) {
    for (int64_t q = 0; q < half; q++) {
        to_re[q] = re[q] + re[q + half];
        to_im[q] = im[q] + im[q + half];
        to_re[q + half] = re[q] - re[q + half];
        to_im[q + half] = im[q] - im[q + half];
    }
}

void swg__fourier_run(const swg__fourier *f, double *re, double *im, double *room) {
    double *from[2] = {re, im}, *to[2] = {room, room + f->n};
    for (int64_t stride = 1; stride < f->n;) {
        if (4 * stride <= f->n)
            pass_four(f, stride, from[0], from[1], to[0], to[1]);
        else
            pass_two(stride, from[0], from[1], to[0], to[1]);
        stride *= 4 * stride <= f->n ? 4 : 2;
        for (int part = 0; part < 2; part++) {
            double *swap = from[part];
            from[part] = to[part];
            to[part] = swap;
        }
    }
    if (from[0] != re) {
        memcpy(re, from[0], (size_t)f->n * sizeof *re);
        memcpy(im, from[1], (size_t)f->n * sizeof *im);
    }
}
