/* stretch.c - the phase vocoder: frames in, peaks turned on, frames added, and read at another pace.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "context.h"
#include "data/stretch.h"
#include "kernel/fft.h"

enum {
    N = 2048, HOP = N / 4, BINS = N / 2 + 1, SIDE = SWG__FFT_SIDE,
    PHASES = 256, REACH = 16, TAPS = 2 * REACH  /* of the reader: positions between two samples; samples on each side */
};

static const double pi = 3.14159265358979323846;

struct swg__stretch {
    swg_context *ctx;
    int channels;
    swg__arena arena;
    swg__fft fft;
    float window[N];
};

swg_status swg__stretch_open(swg_context *ctx, int channels, swg__stretch **out) {
    *out = NULL;
    swg__stretch *s = swg__calloc(ctx, 1, sizeof *s);
    if (!s)
        return swg__fail_memory(ctx, sizeof *s, "the phase vocoder");
    s->ctx = ctx;
    s->channels = channels;
    swg__arena_init(&s->arena, ctx);
    if (!swg__fft_make(&s->arena, N, &s->fft)) {
        swg__stretch_close(s);
        return swg__fail_memory(ctx, 2 * N * sizeof(float), "the phase vocoder");
    }
    for (int i = 0; i < N; i++)
        s->window[i] = (float)(.5 - .5 * cos(2 * pi * i / N));
    *out = s;
    return SWG_OK;
}

void swg__stretch_close(swg__stretch *stretch) {
    if (!stretch)
        return;
    swg__arena_free(&stretch->arena);
    swg__free(stretch->ctx, stretch);
}

int64_t swg__stretch_input(double speed, int64_t count) { return (int64_t)ceil((double)count * speed); }

/* ---- frames ---- */

/* A frame's spectrum, per channel. */
typedef struct spectrum { float re[2][BINS], im[2][BINS]; } spectrum;

typedef struct work {
    const swg__stretch *s;
    const float *x;                 /* of the first channel; sample 0 of the piece */
    int64_t stride;                 /* between channels */
    int64_t low, high;              /* samples that may be read: [low, high) */
    double factor;                  /* output samples of the vocoder per input sample */
    swg__fft_work here, back;       /* frames at their time, and HOP before it; both channels as one complex sequence */
    spectrum frame[SIDE + 1];       /* [0]: the last one of the eight before */
    float power[BINS];
    int16_t peak[BINS], edge[BINS + 1]; /* peaks, and where the bins of each begin */
    float memory[];
} work;

/* Input sample under the middle of output frame u. */
static int64_t centre_of(const work *w, int64_t u) { return llround((double)(u * HOP) / w->factor); }

/* Frames of SIDE positions, one behind the other in time, windowed and transformed. */
static void analyse(const work *w, int64_t first, int64_t shift, swg__fft_work *f) {
    const swg__stretch *s = w->s;
    for (int j = 0; j < SIDE; j++) {
        const int64_t start = centre_of(w, first + j) - shift - N / 2;
        for (int64_t i = 0; i < N; i++) {
            const int64_t at = start + i;
            const bool inside = at >= w->low && at < w->high;
            f->re[i * SIDE + j] = inside ? w->x[at] * s->window[i] : 0;
            f->im[i * SIDE + j] = inside && s->channels == 2 ? w->x[at + w->stride] * s->window[i] : 0;
        }
    }
    swg__fft_run(swg__isa_table_of(s->ctx->isa), &s->fft, f, false);
}

/* Bin k of channel c of frame j, out of the transform of both channels. */
static void bin_of(const swg__fft_work *f, int c, int64_t k, int j, float *re, float *im) {
    const int64_t a = k * SIDE + j, b = (N - k) % N * SIDE + j;
    *re = .5f * (c ? f->im[a] + f->im[b] : f->re[a] + f->re[b]);
    *im = .5f * (c ? f->re[b] - f->re[a] : f->im[a] - f->im[b]);
}

/* Largest of five neighbours. Bins from the middle between two peaks on belong to the second. */
static int find_peaks(work *w) {
    const float *p = w->power;
    int count = 0;
    for (int k = 0; k < BINS; k++) {
        if (!(p[k] > 0) || (k > 0 && p[k - 1] >= p[k]) || (k > 1 && p[k - 2] >= p[k]) || (k + 1 < BINS && p[k + 1] > p[k]) ||
            (k + 2 < BINS && p[k + 2] > p[k]))
            continue;
        w->edge[count] = (int16_t)(count ? (w->peak[count - 1] + k + 1) / 2 : 0);
        w->peak[count++] = (int16_t)k;
    }
    w->edge[count] = BINS;
    return count;
}

/* Turns frame j, from the input, on from the output frame before it. */
static void turn_on(work *w, int j) {
    const int channels = w->s->channels;
    spectrum *now = &w->frame[j + 1];
    const spectrum *before = &w->frame[j];
    for (int k = 0; k < BINS; k++)
        w->power[k] = now->re[0][k] * now->re[0][k] + now->im[0][k] * now->im[0][k];
    for (int k = 0; channels == 2 && k < BINS; k++)
        w->power[k] += now->re[1][k] * now->re[1][k] + now->im[1][k] * now->im[1][k];
    const int peaks = find_peaks(w);
    for (int i = 0; i < peaks; i++) {
        const int p = w->peak[i];
        float c = 0, s = 0;
        for (int ch = 0; ch < channels; ch++) { /* phase of the output before, less that of the input so long before */
            float re, im;
            bin_of(&w->back, ch, p, j, &re, &im);
            c += before->re[ch][p] * re + before->im[ch][p] * im;
            s += before->im[ch][p] * re - before->re[ch][p] * im;
        }
        const double size = sqrt((double)c * c + (double)s * s);
        if (!(size > 1e-30)) /* out of silence: as it is */
            continue;
        c = (float)(c / size);
        s = (float)(s / size);
        for (int ch = 0; ch < channels; ch++)
            for (int k = w->edge[i]; k < w->edge[i + 1]; k++) {
                const float re = now->re[ch][k], im = now->im[ch][k];
                now->re[ch][k] = re * c - im * s;
                now->im[ch][k] = re * s + im * c;
            }
    }
}

/* Eight frames from the input's time to the output's, as samples in w->here. */
static void make_frames(work *w, int64_t first, bool start) {
    const int channels = w->s->channels;
    analyse(w, first, 0, &w->here);
    analyse(w, first, HOP, &w->back);
    w->frame[0] = w->frame[SIDE];
    for (int c = 0; c < channels; c++)
        for (int64_t k = 0; k < BINS; k++)
            for (int j = 0; j < SIDE; j++)
                bin_of(&w->here, c, k, j, &w->frame[j + 1].re[c][k], &w->frame[j + 1].im[c][k]);
    for (int j = start ? 1 : 0; j < SIDE; j++)
        turn_on(w, j);
    for (int64_t k = 0; k < BINS; k++) {
        const bool mirrored = k > 0 && 2 * k != N;
        for (int j = 0; j < SIDE; j++) { /* left + i right */
            const spectrum *f = &w->frame[j + 1];
            const float lr = f->re[0][k], li = mirrored ? f->im[0][k] : 0, rr = channels == 2 ? f->re[1][k] : 0, ri = channels == 2 && mirrored ? f->im[1][k] : 0;
            w->here.re[k * SIDE + j] = lr - ri;
            w->here.im[k * SIDE + j] = li + rr;
            if (mirrored) {
                w->here.re[(N - k) * SIDE + j] = lr + ri;
                w->here.im[(N - k) * SIDE + j] = rr - li;
            }
        }
    }
    swg__fft_run(swg__isa_table_of(w->s->ctx->isa), &w->s->fft, &w->here, true);
}

/* Adds eight frames to y, of samples [low, high) of the vocoder's output, per channel `length` apart. */
static void add_frames(const work *w, int64_t first, float *y, int64_t low, int64_t high) {
    const float scale = 1.f / (1.5f * N); /* of the transform, and of four squared windows over each other */
    for (int j = 0; j < SIDE; j++)
        for (int64_t i = 0; i < N; i++) {
            const int64_t at = (first + j) * HOP - N / 2 + i;
            if (at < low || at >= high)
                continue;
            const float weight = w->s->window[i] * scale;
            y[at - low] += w->here.re[i * SIDE + j] * weight;
            if (w->s->channels == 2)
                y[at - low + high - low] += w->here.im[i * SIDE + j] * weight;
        }
}

/* y (channels, high - low): the input stretched by factor. */
static swg_status vocode(const swg__stretch *s, double factor, const float *x, int64_t input, int64_t low, int64_t high, float *y) {
    const size_t floats = (size_t)(8 * swg__fft_floats(N));
    work *w = swg__alloc(s->ctx, sizeof *w + floats * sizeof(float));
    if (!w)
        return swg__fail_memory(s->ctx, sizeof *w + floats * sizeof(float), "the phase vocoder");
    w->s = s;
    w->x = x + SWG__STRETCH_MARGIN;
    w->stride = 2 * SWG__STRETCH_MARGIN + input;
    w->low = -SWG__STRETCH_MARGIN;
    w->high = input + SWG__STRETCH_MARGIN;
    w->factor = factor;
    w->here = swg__fft_work_of(w->memory, N);
    w->back = swg__fft_work_of(w->memory + 4 * swg__fft_floats(N), N);
    memset(w->frame, 0, sizeof w->frame);
    memset(y, 0, (size_t)(s->channels * (high - low)) * sizeof *y);
    const int64_t begin = -((N / 2 - low) / HOP + 1), end = (high + N / 2) / HOP + 1;
    for (int64_t u = begin; u < end; u += SIDE) {
        make_frames(w, u, u == begin);
        add_frames(w, u, y, low, high);
    }
    swg__free(s->ctx, w);
    return SWG_OK;
}

/* ---- reading at another pace ---- */

/* Kaiser's window, 0 <= x <= 1. */
static double kaiser(double x) {
    const double z = 7 * sqrt(1 - x * x), quarter = z * z / 4;
    double sum = 1, term = 1;
    for (int i = 1; i < 40; i++)
        sum += term *= quarter / ((double)i * i);
    return sum / 168.593908510289; /* I0(7) */
}

/* Row p: weights of samples -REACH + 1 .. REACH about a position p / PHASES behind sample 0; passes what lies below 0.95 of both Nyquist frequencies. */
static void fill_reader(double pace, float *table) {
    const double cut = .95 * (pace > 1 ? 1 / pace : 1);
    for (int p = 0; p <= PHASES; p++) {
        double sum = 0, weight[TAPS];
        for (int i = 0; i < TAPS; i++) {
            const double at = (double)p / PHASES - (i - REACH + 1), t = pi * cut * at;
            sum += weight[i] = fabs(at) < REACH ? (fabs(t) < 1e-9 ? 1 : sin(t) / t) * kaiser(fabs(at) / REACH) : 0;
        }
        for (int i = 0; i < TAPS; i++)
            table[p * TAPS + i] = (float)(weight[i] / sum);
    }
}

/* out (channels, count): y (channels, each) at j * pace; y[0] lies REACH samples before 0. */
static void read_at(const float *table, double pace, int channels, const float *y, int64_t each, int64_t count, float *out) {
    for (int64_t j = 0; j < count; j++) {
        const double at = (double)j * pace, phase = (at - floor(at)) * PHASES;
        const float *from = y + (int64_t)floor(at) + 1, *row = table + (int64_t)phase * TAPS;
        const float part = (float)(phase - floor(phase));
        float weight[TAPS];
        for (int i = 0; i < TAPS; i++)
            weight[i] = row[i] + part * (row[TAPS + i] - row[i]);
        for (int c = 0; c < channels; c++, from += each) {
            float lane[8] = {0};
            for (int i = 0; i < TAPS; i += 8)
                for (int l = 0; l < 8; l++)
                    lane[l] += weight[i + l] * from[i + l];
            out[c * count + j] = (lane[0] + lane[4]) + (lane[1] + lane[5]) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
        }
    }
}

swg_status swg__stretch_run(const swg__stretch *stretch, double speed, double semitones, const float *x, int64_t count, float *out) {
    const double pace = exp2(semitones / 12), factor = pace / speed;
    if (!(speed >= .5 && speed <= 2 && factor >= .75 && factor <= 1.35))
        return swg__fail(stretch->ctx, SWG_EINVAL, "stretch: speed %g with %g semitones is beyond its range", speed, semitones);
    const int64_t input = swg__stretch_input(speed, count);
    if (semitones == 0)
        return vocode(stretch, factor, x, input, 0, count, out);
    const int64_t low = -REACH, high = (int64_t)ceil((double)count * pace) + REACH + 1, each = high - low;
    const size_t bytes = (size_t)(stretch->channels * each + (PHASES + 1) * TAPS) * sizeof(float);
    float *y = swg__alloc(stretch->ctx, bytes);
    if (!y)
        return swg__fail_memory(stretch->ctx, bytes, "the pitch shift");
    float *table = y + stretch->channels * each;
    swg_status status = vocode(stretch, factor, x, input, low, high, y);
    if (status == SWG_OK) {
        fill_reader(pace, table);
        read_at(table, pace, stretch->channels, y, each, count, out);
    }
    swg__free(stretch->ctx, y);
    return status;
}
