/* fft.h - Fourier transforms of eight complex sequences side by side, of any length.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_KERNEL_FFT_H
#define SWAGE_KERNEL_FFT_H

#include "base.h"
#include "kernel/isa.h"

enum { SWG__FFT_MOST_PASSES = 32 };

/* Tables of a length; in an arena. */
typedef struct swg__fft {
    int64_t n;
    int passes;
    int64_t radix[SWG__FFT_MOST_PASSES];
    float *cosine, *sine;           /* (n): of 2 pi i / n */
} swg__fft;

/* Four buffers of swg__fft_floats(n) numbers: number i of sequence j lies at i * SWG__FFT_SIDE + j of re and im. */
typedef struct swg__fft_work { float *re, *im, *next_re, *next_im; } swg__fft_work;

/* n >= 1. False: out of memory. */
bool swg__fft_make(swg__arena *arena, int64_t n, swg__fft *out);
/* What keeps the buffers off each other's cache sets is counted. */
static inline int64_t swg__fft_floats(int64_t n) { return n * SWG__FFT_SIDE + 80; }
/* The four of them in 4 * swg__fft_floats(n) floats. */
static inline swg__fft_work swg__fft_work_of(float *memory, int64_t n) {
    const int64_t each = swg__fft_floats(n);
    return (swg__fft_work){memory, memory + each, memory + 2 * each, memory + 3 * each};
}
/* w's first pair becomes its transform, sum of x_i exp(-2 pi i k / n); back: exp(+...), not divided by n. The pairs may change places. */
void swg__fft_run(const swg__isa_table *isa, const swg__fft *fft, swg__fft_work *w, bool back);

#endif
