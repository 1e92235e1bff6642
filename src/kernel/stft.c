/* stft.c - short-time Fourier transform and its inverse; each is also the other's gradient.
 * In: signals (batch, channels, samples) or spectra (batch, 2 channels, bins, frames). Out: the other. Sixteen frames at a time: two
 * real frames make one complex sequence, and eight of these stand side by side, so that every step is one of vectors and a bin's
 * sixteen frames are neighbours in memory. The frames of a signal are added in order.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "ir/stft.h"
#include "kernel/fft.h"
#include "kernel/kernel.h"

enum { SIDE = SWG__FFT_SIDE, FRAMES = 2 * SIDE };

typedef struct layout {
    swg__stft s;
    swg__fft fft;
    float *window;                  /* (n) */
    float *weight;                  /* inverse: 1 / envelope of each sample; else NULL */
} layout;

static const void *prepare(swg__arena *arena, const swg__call *call) {
    layout *l = swg__arena_alloc(arena, sizeof *l);
    if (!l)
        return NULL;
    *l = (layout){.s = swg__stft_of(call->g, call->node)};
    const swg__stft *s = &l->s;
    l->window = swg__arena_alloc(arena, (size_t)s->n * sizeof(float));
    l->weight = s->inverse ? swg__arena_alloc(arena, (size_t)s->samples * sizeof(float)) : NULL;
    if (!l->window || (s->inverse && !l->weight) || !swg__fft_make(arena, s->n, &l->fft))
        return NULL;
    for (int64_t i = 0; i < s->n; i++)
        l->window[i] = (float)swg__stft_window(s, i);
    for (int64_t i = 0; l->weight && i < s->samples; i++)
        l->weight[i] = (float)(1 / swg__stft_envelope(s, i));
    return l;
}

static int64_t scratch(const swg__call *call, bool *per_worker) {
    swg__stft s = swg__stft_of(call->g, call->node);
    *per_worker = true;
    return 4 * swg__fft_floats(s.n) * (int64_t)sizeof(float);
}

static swg__fft_work work_of(const swg__call *call, const layout *l, int worker) {
    return swg__fft_work_of((float *)((char *)call->scratch + worker * call->worker_bytes), l->s.n);
}

static float *bin_at(const swg__stft *s, const void *spectrum, int64_t signal, int part, int64_t k, int64_t frame) {
    int64_t b = signal / s->channels, c = signal % s->channels;
    return (float *)(uintptr_t)spectrum + (((b * 2 + part) * s->channels + c) * s->bins + k) * s->frames + frame;
}

static float bin_weight(const swg__stft *s, int64_t k) {
    return !s->inverse ? 1 : (k > 0 && 2 * k != s->n ? 2.f : 1.f) / (float)s->n;
}

/* ---- to a spectrum: a unit is FRAMES frames of a signal ---- */

static int64_t forward_units(const swg__call *call) {
    swg__stft s = swg__stft_of(call->g, call->node);
    return s.batch * s.channels * swg__ceil_div(s.frames, FRAMES);
}

static int64_t one(const swg__call *call) { return (void)call, 1; }

static void forward_unit(const swg__call *call, const layout *l, int64_t signal, int64_t first, int64_t count, swg__fft_work w) {
    const swg__stft *s = &l->s;
    const float *x = (const float *)call->in[0] + signal * s->samples;
    int64_t start = first * s->hop - s->n / 2;
    bool inside = !l->weight && count == FRAMES && start >= 0 && start + (FRAMES - 1) * s->hop + s->n <= s->samples;
    const float *from = inside ? x + start : x;
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t j = 0; j < SIDE; j++) {
            const float window = l->window[i];
            if (inside) {
                w.re[i * SIDE + j] = from[2 * j * s->hop + i] * window;
                w.im[i * SIDE + j] = from[(2 * j + 1) * s->hop + i] * window;
                continue;
            }
            for (int64_t f = 2 * j; f < 2 * j + 2; f++) {
                int64_t at = f < count ? swg__stft_at(s, first + f, i) : -1;
                (f % 2 ? w.im : w.re)[i * SIDE + j] = at < 0 ? 0 : x[at] * window * (l->weight ? l->weight[at] : 1);
            }
        }
    swg__fft_run(call->isa, &l->fft, &w, false);
    for (int64_t k = 0; k < s->bins; k++) {
        const int64_t a = k * SIDE, b = (s->n - k) % s->n * SIDE;
        float *re = bin_at(s, call->out, signal, 0, k, first), *im = bin_at(s, call->out, signal, 1, k, first);
        const float half = .5f * bin_weight(s, k);
        const bool mirrored = k > 0 && 2 * k != s->n;
        for (int64_t j = 0; 2 * j < count; j++) { /* even and odd parts of the sequence's transform are its two frames */
            re[2 * j] = half * (w.re[a + j] + w.re[b + j]);
            im[2 * j] = mirrored ? half * (w.im[a + j] - w.im[b + j]) : 0;
            if (2 * j + 1 == count)
                break;
            re[2 * j + 1] = half * (w.im[a + j] + w.im[b + j]);
            im[2 * j + 1] = mirrored ? half * (w.re[b + j] - w.re[a + j]) : 0;
        }
    }
}

static void forward_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    const layout *l = call->layout;
    int64_t blocks = swg__ceil_div(l->s.frames, FRAMES);
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t first = unit % blocks * FRAMES;
        forward_unit(call, l, unit / blocks, first, swg__min64(FRAMES, l->s.frames - first), work_of(call, l, worker));
    }
}

const swg__kernel swg__kernel_stft = {.name = "stft", .units = forward_units, .grain = one, .run = forward_run, .scratch = scratch,
                                      .prepare = prepare};

/* ---- to a signal: a unit is a signal ---- */

static int64_t back_units(const swg__call *call) {
    swg__stft s = swg__stft_of(call->g, call->node);
    return s.batch * s.channels;
}

static void back_frames(const swg__call *call, const layout *l, int64_t signal, int64_t first, int64_t count, swg__fft_work w) {
    const swg__stft *s = &l->s;
    for (int64_t k = 0; k < s->bins; k++) {
        const int64_t a = k * SIDE, b = (s->n - k) % s->n * SIDE;
        const float *re = bin_at(s, call->in[0], signal, 0, k, first), *im = bin_at(s, call->in[0], signal, 1, k, first);
        const bool mirrored = k > 0 && 2 * k != s->n;
        const float weight = bin_weight(s, k) * (mirrored ? .5f : 1);
        for (int64_t j = 0; j < SIDE; j++) { /* even frame + i odd frame */
            const int64_t even = 2 * j, odd = even + 1;
            const float ar = even < count ? re[even] * weight : 0, ai = even < count && mirrored ? im[even] * weight : 0;
            const float br = odd < count ? re[odd] * weight : 0, bi = odd < count && mirrored ? im[odd] * weight : 0;
            w.re[a + j] = ar - bi;
            w.im[a + j] = ai + br;
            if (mirrored) {
                w.re[b + j] = ar + bi;
                w.im[b + j] = br - ai;
            }
        }
    }
    swg__fft_run(call->isa, &l->fft, &w, true);
    float *x = (float *)call->out + signal * s->samples;
    for (int64_t f = 0; f < count; f++)
        for (int64_t i = 0; i < s->n; i++) {
            int64_t at = swg__stft_at(s, first + f, i);
            if (at >= 0)
                x[at] += (f % 2 ? w.im : w.re)[i * SIDE + f / 2] * l->window[i];
        }
}

static void back_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    const layout *l = call->layout;
    const swg__stft *s = &l->s;
    for (int64_t signal = begin; signal < end; signal++) {
        float *x = (float *)call->out + signal * s->samples;
        memset(x, 0, (size_t)s->samples * sizeof *x);
        for (int64_t first = 0; first < s->frames; first += FRAMES)
            back_frames(call, l, signal, first, swg__min64(FRAMES, s->frames - first), work_of(call, l, worker));
        for (int64_t i = 0; l->weight && i < s->samples; i++)
            x[i] *= l->weight[i];
    }
}

const swg__kernel swg__kernel_istft = {.name = "istft", .units = back_units, .grain = one, .run = back_run, .scratch = scratch,
                                       .prepare = prepare};
