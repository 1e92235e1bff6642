/* fft.inc.h - one pass of a complex Fourier transform of eight sequences side by side.
 * SPDX-License-Identifier: Apache-2.0 */

typedef float eight __attribute__((vector_size(SWG__FFT_SIDE * 4), aligned(4), may_alias));
#define EIGHT(p) (*(eight *)(p))
#define OF_EIGHT(p) (*(const eight *)(p))

/* Four elements of stride `gap` to four of stride `step`, turned by c + i s. */
INLINE void fft_four(float *u, float *v, const float *x, const float *y, int64_t gap, int64_t step, const float c[4], const float s[4]) {
    eight xa = OF_EIGHT(x), xb = OF_EIGHT(x + gap), xc = OF_EIGHT(x + 2 * gap), xd = OF_EIGHT(x + 3 * gap);
    eight ya = OF_EIGHT(y), yb = OF_EIGHT(y + gap), yc = OF_EIGHT(y + 2 * gap), yd = OF_EIGHT(y + 3 * gap);
    eight ar = xa + xc, ai = ya + yc, br = xa - xc, bi = ya - yc, cr = xb + xd, ci = yb + yd, dr = yb - yd, di = xd - xb;
    eight er = br + dr, ei = bi + di, fr = ar - cr, fi = ai - ci, gr = br - dr, gi = bi - di;
    EIGHT(u) = ar + cr;
    EIGHT(v) = ai + ci;
    EIGHT(u + step) = er * c[1] + ei * s[1];
    EIGHT(v + step) = ei * c[1] - er * s[1];
    EIGHT(u + 2 * step) = fr * c[2] + fi * s[2];
    EIGHT(v + 2 * step) = fi * c[2] - fr * s[2];
    EIGHT(u + 3 * step) = gr * c[3] + gi * s[3];
    EIGHT(v + 3 * step) = gi * c[3] - gr * s[3];
}

INLINE void fft_two(float *u, float *v, const float *x, const float *y, int64_t gap, int64_t step, float c, float s) {
    eight ar = OF_EIGHT(x), ai = OF_EIGHT(y), br = OF_EIGHT(x + gap), bi = OF_EIGHT(y + gap), cr = ar - br, ci = ai - bi;
    EIGHT(u) = ar + br;
    EIGHT(v) = ai + bi;
    EIGHT(u + step) = cr * c + ci * s;
    EIGHT(v + step) = ci * c - cr * s;
}

/* to += from turned; to = where `first`. */
INLINE void fft_add(float *u, float *v, const float *x, const float *y, float c, float s, bool first) {
    eight re = OF_EIGHT(x) * c + OF_EIGHT(y) * s, im = OF_EIGHT(y) * c - OF_EIGHT(x) * s;
    if (!first) {
        re += OF_EIGHT(u);
        im += OF_EIGHT(v);
    }
    EIGHT(u) = re;
    EIGHT(v) = im;
}

/* Stockham's form: input and output in natural order, one radix a pass. The sequences' numbers i lie at 8 i. Elements q + stride
 * (p + j m) for j < radix become q + stride (radix p + j), with m = n / (stride radix). */
static void fft_pass(const swg__fft_pass *f, float *to_re, float *to_im, const float *re, const float *im) {
    const int64_t radix = f->radix, stride = f->stride, m = f->n / (stride * radix), step = stride * SWG__FFT_SIDE, gap = m * step;
    for (int64_t p = 0; p < m; p++) {
        const float *x = re + p * step, *y = im + p * step;
        float *u = to_re + p * radix * step, *v = to_im + p * radix * step;
        if (radix == 4) {
            float c[4], s[4];
            for (int j = 1; j < 4; j++) {
                c[j] = f->cosine[j * p * stride];
                s[j] = f->sine[j * p * stride];
            }
            for (int64_t q = 0; q < step; q += SWG__FFT_SIDE)
                fft_four(u + q, v + q, x + q, y + q, gap, step, c, s);
        } else if (radix == 2) {
            for (int64_t q = 0; q < step; q += SWG__FFT_SIDE)
                fft_two(u + q, v + q, x + q, y + q, gap, step, f->cosine[p * stride], f->sine[p * stride]);
        } else {
            for (int64_t j = 0; j < radix; j++)
                for (int64_t i = 0; i < radix; i++) { /* both rotations in one: w_n^(p j) w_radix^(i j) */
                    const int64_t turn = (i * j % radix * (f->n / radix) + p * j * stride) % f->n;
                    for (int64_t q = 0; q < step; q += SWG__FFT_SIDE)
                        fft_add(u + j * step + q, v + j * step + q, x + i * gap + q, y + i * gap + q, f->cosine[turn], f->sine[turn], i == 0);
                }
        }
    }
}
