/* windows.c - cuts windows out of a band of rows, runs them in batches and blends what comes back.
 * In: an image by rows. Out: a result by rows. Memory: one band, whatever the height.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/windows.h"
#include <math.h>
#include <string.h>

static int64_t interval(int64_t n, int64_t window, double overlap) {
    if (n == window)
        return window;
    int64_t step = (int64_t)((double)window * (1 - overlap));
    return step < 1 ? 1 : step;
}

int64_t swg__windows_count(int64_t n, int64_t window, double overlap) {
    if (n <= window)
        return 1;
    int64_t step = interval(n, window, overlap);
    return (n - window + step - 1) / step + 1;
}

int64_t swg__windows_start(int64_t n, int64_t window, double overlap, int64_t k) {
    if (n <= window)
        return 0;
    int64_t start = k * interval(n, window, overlap);
    return start < n - window ? start : n - window;
}

void swg__windows_gaussian(int64_t window, double *out) {
    double centre = (double)(window - 1) / 2, sigma = 0.125 * (double)window;
    for (int64_t i = 0; i < window; i++) {
        double d = ((double)i - centre) / sigma;
        out[i] = exp(-0.5 * d * d);
    }
}

int64_t swg__reflected(int64_t i, int64_t n) {
    if (n == 1)
        return 0;
    int64_t period = 2 * (n - 1), r = i % period;
    r = r < 0 ? r + period : r;
    return r < n ? r : period - r;
}

typedef struct stitcher {
    const swg__stitch *s;
    swg_context *ctx;
    int64_t band, across, down, done;   /* rows of the band in memory; windows per band, bands */
    float *in;                          /* (in_channels, band, width); then rows of the result */
    double *sum;                        /* (out_channels, band, width): weighted results; hundreds may meet in a pixel */
    double *weight;                     /* (band, width) */
    float *windows;                     /* (batch, in_channels, window_height, window_width) */
    float *kernel;                      /* (window_height, window_width): weights of a window */
} stitcher;

static int widest(const swg__stitch *s) { return s->in_channels > s->out_channels ? s->in_channels : s->out_channels; }
static int64_t window_values(const swg__stitch *s) { return s->window_height * s->window_width; }
static int64_t band_of(const swg__stitch *s) { return s->height < s->window_height ? s->height : s->window_height; }

int64_t swg__stitch_windows(const swg__stitch *s) {
    return swg__windows_count(s->height, s->window_height, s->overlap) * swg__windows_count(s->width, s->window_width, s->overlap);
}

int64_t swg__stitch_bytes(const swg__stitch *s) {
    return (int64_t)sizeof(float) * (band_of(s) * s->width * (widest(s) + 2 * s->out_channels + 2) +
                                     window_values(s) * (s->batch * s->in_channels + 1));
}

static swg_status make_kernel(stitcher *t) {
    const swg__stitch *s = t->s;
    double *axis[2];
    const int64_t extent[2] = {s->window_height, s->window_width};
    for (int a = 0; a < 2; a++) {
        axis[a] = swg__alloc(t->ctx, (size_t)extent[a] * sizeof(double));
        if (axis[a])
            swg__windows_gaussian(extent[a], axis[a]);
    }
    bool good = axis[0] && axis[1];
    if (good) {
        for (int64_t y = 0; y < extent[0]; y++) /* a floor per axis: one of the product would make all weights equal along the image's border, and a seam */
            for (int64_t x = 0; x < extent[1]; x++)
                t->kernel[y * extent[1] + x] = s->constant ? 1 : (float)(fmax(axis[0][y], 1e-3) * fmax(axis[1][x], 1e-3));
    }
    swg__free(t->ctx, axis[0]);
    swg__free(t->ctx, axis[1]);
    return good ? SWG_OK : swg__fail_memory(t->ctx, 0, "the weights of a window");
}

static swg_status open_stitcher(stitcher *t) {
    const swg__stitch *s = t->s;
    const int64_t plane = t->band * s->width;
    t->in = swg__alloc(t->ctx, (size_t)(widest(s) * plane) * sizeof(float));
    t->sum = swg__calloc(t->ctx, (size_t)(s->out_channels * plane), sizeof *t->sum);
    t->weight = swg__calloc(t->ctx, (size_t)plane, sizeof *t->weight);
    t->windows = swg__alloc(t->ctx, (size_t)(s->batch * s->in_channels * window_values(s)) * sizeof(float));
    t->kernel = swg__alloc(t->ctx, (size_t)window_values(s) * sizeof(float));
    if (!t->in || !t->sum || !t->weight || !t->windows || !t->kernel)
        return swg__fail_memory(t->ctx, (size_t)swg__stitch_bytes(s), "a band of rows");
    return make_kernel(t);
}

static void cut_window(const stitcher *t, int64_t x, float *to) {
    const swg__stitch *s = t->s;
    for (int c = 0; c < s->in_channels; c++)
        for (int64_t r = 0; r < s->window_height; r++, to += s->window_width) {
            const float *row = t->in + (c * t->band + swg__reflected(r, t->band)) * s->width;
            int64_t inside = s->width - x < s->window_width ? s->width - x : s->window_width;
            memcpy(to, row + x, (size_t)inside * sizeof *to);
            for (int64_t i = inside; i < s->window_width; i++)
                to[i] = row[swg__reflected(x + i, s->width)];
        }
}

static void add_window(stitcher *t, int64_t x, const float *from) {
    const swg__stitch *s = t->s;
    const int64_t columns = s->width < s->window_width ? s->width : s->window_width;
    for (int64_t r = 0; r < t->band; r++) {
        const float *kernel = t->kernel + r * s->window_width;
        double *weight = t->weight + r * s->width + x;
        for (int64_t i = 0; i < columns; i++)
            weight[i] += (double)kernel[i];
        for (int c = 0; c < s->out_channels; c++) {
            const float *row = from + (c * s->window_height + r) * s->window_width;
            double *sum = t->sum + (c * t->band + r) * s->width + x;
            for (int64_t i = 0; i < columns; i++)
                sum[i] += (double)kernel[i] * (double)row[i];
        }
    }
}

static swg_status run_band(stitcher *t) {
    const swg__stitch *s = t->s;
    const int64_t values = window_values(s);
    for (int64_t k = 0; k < t->across; k += s->batch) {
        int64_t count = t->across - k < s->batch ? t->across - k : s->batch;
        const float *out;
        if (s->stop && *s->stop)
            return swg__fail(t->ctx, SWG_EINTERRUPTED, "stopped after %lld of %lld windows; nothing of this image was written", (long long)t->done,
                             (long long)(t->across * t->down));
        for (int64_t i = 0; i < count; i++)
            cut_window(t, swg__windows_start(s->width, s->window_width, s->overlap, k + i), t->windows + i * s->in_channels * values);
        SWG__TRY(s->run(s->user, t->done, count, t->windows, &out));
        for (int64_t i = 0; i < count; i++)
            add_window(t, swg__windows_start(s->width, s->window_width, s->overlap, k + i), out + i * s->out_channels * values);
        t->done += count;
        if (s->progress)
            s->progress(s->user, t->done, t->across * t->down);
    }
    return SWG_OK;
}

/* The first `rows` of the band are final: they go, the others move up. */
static swg_status finish_rows(stitcher *t, int64_t rows) {
    const swg__stitch *s = t->s;
    const int64_t plane = t->band * s->width, done = rows * s->width;
    for (int c = 0; c < s->out_channels; c++) {
        double *sum = t->sum + c * plane;
        float *to = t->in + c * done;
        for (int64_t i = 0; i < done; i++)
            to[i] = (float)(sum[i] / t->weight[i]);
        memmove(sum, sum + done, (size_t)(plane - done) * sizeof *sum);
        memset(sum + plane - done, 0, (size_t)done * sizeof *sum);
    }
    memmove(t->weight, t->weight + done, (size_t)(plane - done) * sizeof *t->weight);
    memset(t->weight + plane - done, 0, (size_t)done * sizeof *t->weight);
    return s->write(s->user, rows, t->in);
}

static swg_status run_bands(stitcher *t) {
    const swg__stitch *s = t->s;
    for (int64_t k = 0; k < t->down; k++) {
        int64_t first = swg__windows_start(s->height, s->window_height, s->overlap, k);
        int64_t next = k + 1 < t->down ? swg__windows_start(s->height, s->window_height, s->overlap, k + 1) : s->height;
        SWG__TRY(s->read(s->user, first, t->band, t->in));
        SWG__TRY(run_band(t));
        SWG__TRY(finish_rows(t, next - first));
    }
    return SWG_OK;
}

swg_status swg__stitch_run(swg_context *ctx, const swg__stitch *s) {
    stitcher t = {.s = s, .ctx = ctx, .band = band_of(s), .across = swg__windows_count(s->width, s->window_width, s->overlap),
                  .down = swg__windows_count(s->height, s->window_height, s->overlap)};
    swg_status status = open_stitcher(&t);
    if (status == SWG_OK)
        status = run_bands(&t);
    void *const all[] = {t.in, t.sum, t.weight, t.windows, t.kernel};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        swg__free(ctx, all[i]);
    return status;
}
