/* fft.c - the passes of a Fourier transform of any length, and their tables.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "kernel/fft.h"

bool swg__fft_make(swg__arena *arena, int64_t n, swg__fft *out) {
    *out = (swg__fft){.n = n, .cosine = swg__arena_alloc(arena, (size_t)n * sizeof(float)), .sine = swg__arena_alloc(arena, (size_t)n * sizeof(float))};
    if (!out->cosine || !out->sine)
        return false;
    for (int64_t i = 0; i < n; i++) {
        out->cosine[i] = (float)cos(6.283185307179586477 * (double)i / (double)n);
        out->sine[i] = (float)sin(6.283185307179586477 * (double)i / (double)n);
    }
    int64_t left = n;
    for (int64_t p = 4; left > 1; p = p == 4 ? 2 : p + 1 + (p > 2)) /* 4, 2, 3, 5, 7, ...: what is left at last is prime */
        for (p = p > 4 && p * p > left ? left : p; left % p == 0; left /= p)
            out->radix[out->passes++] = p;
    return true;
}

/* The inverse is the transform with real and imaginary parts exchanged. */
void swg__fft_run(const swg__isa_table *isa, const swg__fft *fft, swg__fft_work *w, bool back) {
    int64_t stride = 1;
    for (int i = 0; i < fft->passes; i++) {
        const swg__fft_pass f = {.n = fft->n, .radix = fft->radix[i], .stride = stride, .cosine = fft->cosine, .sine = fft->sine};
        if (back)
            isa->fft_pass(&f, w->next_im, w->next_re, w->im, w->re);
        else
            isa->fft_pass(&f, w->next_re, w->next_im, w->re, w->im);
        *w = (swg__fft_work){w->next_re, w->next_im, w->re, w->im};
        stride *= fft->radix[i];
    }
}
