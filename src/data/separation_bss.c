/* separation_bss.c - BSSEval: an estimate is taken apart into what filters of its target, and of all sources, explain, and the rest.
 * From: E. Vincent, R. Gribonval, C. Fevotte, "Performance measurement in blind audio source separation" (2006); E. Vincent et al., "First stereo
 * audio source separation evaluation campaign" (2007), for images; F.-R. Stoeter, A. Liutkus, N. Ito, "The 2018 signal separation evaluation campaign",
 * for filters of the whole signals (v4).
 * In: references and estimates. Out: ratios in dB of each source and window.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "fourier.h"
#include "normal.h"
#include "separation.h"

enum { MOST_COLUMNS = SWG_SEPARATION_SOURCES * SWG_SEPARATION_CHANNELS, MOST_UNKNOWNS = 16384, MOST_PERMUTED = 8 };
static const double DEPENDENT = 1e-12;

/* A stretch of time, its filters, and the windows that are measured with them. */
typedef struct bss {
    swg_context *ctx;
    swg_bss_opts o;
    int sources, channels, lines;           /* lines: channels of all estimates */
    int64_t samples, taps;
    const float *const *reference, *const *estimate;
    swg__fourier f;
    int64_t first, count;                   /* the stretch */
    /* channels of references that are neither silent nor the copy of one before of the same source, by sources */
    int columns, begin[SWG_SEPARATION_SOURCES + 1];
    const float *column[MOST_COLUMNS];
    /* correlations */
    int64_t at, core;                       /* block of samples */
    double *spectra;                        /* (columns + lines, core and extended, bins, 2) of a block */
    double *products;                       /* (pairs, bins, 2) */
    double *correlation;                    /* (pairs, 2 taps - 1) */
    double *matrix;                         /* (unknowns, unknowns) */
    double *all, *own;                      /* (lines, columns, taps) filters of all sources; of one */
    double *filters;                        /* (lines, targets, columns, re and im, n): spectra of all + sqrt(-1) own */
    /* windows */
    int64_t window, hop, windows, first_window;
    double *work;                           /* of each worker */
    int64_t work_size;
    swg_separation *figures;                /* (windows, estimates, targets) */
} bss;

static int64_t pairs_of(const bss *b) { return (int64_t)b->columns * (b->columns + 1) / 2 + (int64_t)b->columns * b->lines; }
static int64_t pair_of(int low, int high) { return (int64_t)high * (high + 1) / 2 + low; }
static int64_t pair_of_line(const bss *b, int column, int line) { return pair_of(0, b->columns) + (int64_t)line * b->columns + column; }
static int targets_of(const bss *b) { return b->o.permute ? b->sources : 1; }
static const float *line_of(const bss *b, int line) { return b->estimate[line / b->channels] + line % b->channels * b->samples; }
static int64_t work_of(const bss *b, int64_t signals) { return (2 * signals + 4) * b->f.n; }

/* ---- correlations ---- */

/* A block of a signal, and the same with taps - 1 samples more on each side, all within the stretch. */
static void transform_block(void *arg, int64_t task, int worker) {
    const bss *b = arg;
    const int64_t n = b->f.n, bins = n / 2 + 1, side = b->taps - 1, end = b->first + b->count;
    const float *x = task < b->columns ? b->column[task] : line_of(b, (int)task - b->columns);
    double *re = b->work + worker * b->work_size, *im = re + n, *out = b->spectra + task * 4 * bins;
    for (int64_t i = 0; i < n; i++) {
        const int64_t t = b->at + i, u = t - side;
        re[i] = i < b->core && t < end ? (double)x[t] : 0;
        im[i] = i < b->core + 2 * side && u >= b->first && u < end ? (double)x[u] : 0;
    }
    swg__fourier_run(&b->f, re, im, im + n);
    for (int64_t k = 0; k < bins; k++)
        swg__fourier_pair(&b->f, re, im, k, out + 2 * k, out + 2 * (bins + k));
}

static void signals_of_pair(const bss *b, int64_t pair, int *core, int *extended) {
    const int64_t lines = pair - pair_of(0, b->columns);
    if (lines >= 0) {
        *core = (int)(lines % b->columns);
        *extended = b->columns + (int)(lines / b->columns);
        return;
    }
    for (*extended = 0; pair_of(0, *extended + 1) <= pair;)
        ++*extended;
    *core = (int)(pair - pair_of(0, *extended));
}

static void add_product(void *arg, int64_t task, int worker) {
    (void)worker;
    const bss *b = arg;
    const int64_t bins = b->f.n / 2 + 1;
    int core, extended;
    signals_of_pair(b, task, &core, &extended);
    const double *restrict x = b->spectra + core * 4 * bins, *restrict y = b->spectra + extended * 4 * bins + 2 * bins;
    double *restrict sum = b->products + task * 2 * bins;
    for (int64_t k = 0; k < 2 * bins; k += 2) { /* conj(x) y */
        sum[k] += x[k] * y[k] + x[k + 1] * y[k + 1];
        sum[k + 1] += x[k] * y[k + 1] - x[k + 1] * y[k];
    }
}

/* Sum over u of x[u] y[u + lag] for lags -(taps - 1) .. taps - 1. */
static void correlation_of_pair(void *arg, int64_t task, int worker) {
    const bss *b = arg;
    const int64_t n = b->f.n, bins = n / 2 + 1, lags = 2 * b->taps - 1;
    const double *sum = b->products + task * 2 * bins;
    double *re = b->work + worker * b->work_size, *im = re + n, *out = b->correlation + task * lags;
    for (int64_t k = 0; k < n; k++) {
        const int64_t at = k < bins ? k : n - k;
        re[k] = sum[2 * at];
        im[k] = k < bins ? sum[2 * at + 1] : -sum[2 * at + 1];
    }
    swg__fourier_run(&b->f, im, re, im + n);
    for (int64_t i = 0; i < lags; i++)
        out[i] = re[i] / (double)n;
}

static void correlate(bss *b) {
    memset(b->products, 0, (size_t)(pairs_of(b) * (b->f.n + 2)) * sizeof(double));
    b->core = b->f.n - 2 * (b->taps - 1);
    for (b->at = b->first; b->at < b->first + b->count + b->taps - 1; b->at += b->core) {
        swg__parallel(b->ctx, b->columns + b->lines, transform_block, b);
        swg__parallel(b->ctx, pairs_of(b), add_product, b);
    }
    swg__parallel(b->ctx, pairs_of(b), correlation_of_pair, b);
}

/* ---- filters ---- */

/* The lower half of the Gram matrix of columns [from, to), each delayed by 0 .. taps - 1: <(a, i), (c, j)> is the correlation of c and a at lag j - i. */
static void fill_matrix(bss *b, int from, int to) {
    const int64_t taps = b->taps, lags = 2 * taps - 1, n = (to - from) * taps;
    for (int a = from; a < to; a++)
        for (int64_t i = 0; i < taps; i++)
            for (int c = from; c <= a; c++)
                memcpy(b->matrix + ((a - from) * taps + i) * n + (c - from) * taps, b->correlation + pair_of(c, a) * lags + taps - 1 - i,
                       (size_t)taps * sizeof(double));
}

/* Filters of columns [from, to) that bring their sum nearest to each line; sides: (lines, to - from, taps). */
static swg_status solve(bss *b, int from, int to, double *sides) {
    const int64_t taps = b->taps, lags = 2 * taps - 1, width = to - from;
    fill_matrix(b, from, to);
    for (int line = 0; line < b->lines; line++)
        for (int c = from; c < to; c++)
            memcpy(sides + (line * width + c - from) * taps, b->correlation + pair_of_line(b, c, line) * lags + taps - 1, (size_t)taps * sizeof(double));
    return swg__normal_solve(b->ctx, width * taps, b->matrix, b->lines, sides, DEPENDENT);
}

typedef struct filter_job {
    bss *b;
    int target;
} filter_job;

static void transform_filter(void *arg, int64_t task, int worker) {
    const filter_job *job = arg;
    bss *b = job->b;
    const int column = (int)(task % b->columns), line = (int)(task / b->columns), from = b->begin[job->target], to = b->begin[job->target + 1];
    const int64_t n = b->f.n, slot = b->o.permute ? job->target : 0;
    if (!b->o.permute && line / b->channels != job->target)
        return;
    double *re = b->filters + ((line * targets_of(b) + slot) * b->columns + column) * 2 * n, *im = re + n;
    memset(re, 0, (size_t)(2 * n) * sizeof *re);
    memcpy(re, b->all + task * b->taps, (size_t)b->taps * sizeof *re);
    if (column >= from && column < to)
        memcpy(im, b->own + (line * (to - from) + column - from) * b->taps, (size_t)b->taps * sizeof *im);
    swg__fourier_run(&b->f, re, im, b->work + worker * b->work_size);
}

static swg_status make_filters(bss *b) {
    if (!b->columns)
        return SWG_OK;
    correlate(b);
    SWG__TRY(solve(b, 0, b->columns, b->all));
    for (int target = 0; target < b->sources; target++) {
        if (b->begin[target] < b->begin[target + 1])
            SWG__TRY(solve(b, b->begin[target], b->begin[target + 1], b->own));
        swg__parallel(b->ctx, (int64_t)b->lines * b->columns, transform_filter, &(filter_job){b, target});
    }
    return SWG_OK;
}

/* The columns of a stretch. */
static void choose_columns(bss *b) {
    b->columns = 0;
    for (int s = 0; s < b->sources; s++) {
        b->begin[s] = b->columns;
        for (int c = 0; c < b->channels; c++) {
            const float *x = b->reference[s] + c * b->samples;
            bool use = !swg__silent(x, 1, b->samples, b->first, b->count);
            for (int before = b->begin[s]; use && before < b->columns; before++)
                use = memcmp(x + b->first, b->column[before] + b->first, (size_t)b->count * sizeof *x) != 0;
            if (use)
                b->column[b->columns++] = x;
        }
    }
    b->begin[b->sources] = b->columns;
}

/* ---- windows ---- */

typedef struct energies {
    double s, error, spatial;           /* |s|^2, |y - s|^2, |own - s|^2 */
    double own, own_error;              /* |own|^2, |y - own|^2 */
    double interference, all, artifacts; /* |all - own|^2, |all|^2, |y - all|^2 */
} energies;

/* One block of a window, from output sample `at`: z is all + sqrt(-1) own. Beyond its end the window is silent. */
static void add_block(const bss *b, const float *s, const float *y, int64_t at, int64_t count, const double *all, const double *own, energies *e) {
    for (int64_t i = 0; i < count; i++) {
        const bool inside = at + i < b->window;
        const double target = inside ? (double)s[at + i] : 0, estimate = inside ? (double)y[at + i] : 0;
        const double error = estimate - target, spatial = own[i] - target, rest = estimate - own[i], between = all[i] - own[i], artifact = estimate - all[i];
        e->s += target * target;
        e->error += error * error;
        e->spatial += spatial * spatial;
        e->own += own[i] * own[i];
        e->own_error += rest * rest;
        e->interference += between * between;
        e->all += all[i] * all[i];
        e->artifacts += artifact * artifact;
    }
}

/* The estimate's channels block by block. */
static energies energies_of(const bss *b, int64_t first, int estimate, int target, double *work) {
    const int64_t n = b->f.n, side = b->taps - 1, block = n - side, length = b->window + side, slot = b->o.permute ? target : 0;
    double *z = work + 2 * n * b->columns, *room = z + 2 * n;
    energies e = {0};
    for (int64_t at = 0; at < length; at += block) {
        for (int c = 0; c < b->columns; c++) {
            double *re = work + 2 * n * c, *im = re + n;
            for (int64_t i = 0; i < n; i++) {
                const int64_t t = at - side + i;
                re[i] = t >= 0 && t < b->window ? (double)b->column[c][first + t] : 0;
            }
            memset(im, 0, (size_t)n * sizeof *im);
            swg__fourier_run(&b->f, re, im, room);
        }
        for (int channel = 0; channel < b->channels; channel++) {
            const double *filter = b->filters + ((estimate * b->channels + channel) * targets_of(b) + slot) * b->columns * 2 * n;
            double *re = z, *im = z + n;
            memset(z, 0, (size_t)(2 * n) * sizeof *z);
            for (int c = 0; c < b->columns; c++, filter += 2 * n) {
                const double *x = work + 2 * n * c;
                for (int64_t k = 0; k < n; k++) {
                    re[k] += filter[k] * x[k] - filter[n + k] * x[n + k];
                    im[k] += filter[k] * x[n + k] + filter[n + k] * x[k];
                }
            }
            swg__fourier_run(&b->f, im, re, room);
            for (int64_t i = side; i < n; i++) {
                re[i] /= (double)n;
                im[i] /= (double)n;
            }
            add_block(b, b->reference[target] + channel * b->samples + first, b->estimate[estimate] + channel * b->samples + first, at,
                      at + block < length ? block : length - at, re + side, im + side, &e);
        }
    }
    return e;
}

typedef struct sounding {
    bool target, others, all;   /* the target's reference; one of the others; all references and estimates */
} sounding;

static sounding sounding_of(const bss *b, int64_t first, int target) {
    sounding is = {.all = true};
    for (int s = 0; s < b->sources; s++) {
        const bool here = !swg__silent(b->reference[s], b->channels, b->samples, first, b->window);
        is.target = is.target || (here && s == target);
        is.others = is.others || (here && s != target);
        is.all = is.all && here && !swg__silent(b->estimate[s], b->channels, b->samples, first, b->window);
    }
    return is;
}

static void measure_pair(void *arg, int64_t task, int worker) {
    const bss *b = arg;
    const int targets = targets_of(b), estimate = (int)(task / targets % b->sources), target = b->o.permute ? (int)(task % targets) : estimate;
    const int64_t window = b->first_window + task / targets / b->sources, first = window * b->hop;
    swg_separation *out = b->figures + (window * b->sources + estimate) * targets + (b->o.permute ? target : 0);
    const sounding is = sounding_of(b, first, target);
    for (int i = 0; i < SWG_SEPARATION_FIGURES; i++)
        out->db[i] = (double)NAN;
    if (!is.target || (b->o.all_sources && !is.all))
        return;
    const energies e = energies_of(b, first, estimate, target, b->work + worker * b->work_size);
    out->db[SWG_SEPARATION_SDR] = b->o.images ? swg__decibels(e.s, e.error, 0) : swg__decibels(e.own, e.own_error, 0);
    if (b->o.images)
        out->db[SWG_SEPARATION_ISR] = swg__decibels(e.s, e.spatial, 0);
    if (is.others)
        out->db[SWG_SEPARATION_SIR] = swg__decibels(e.own, e.interference, 0);
    out->db[SWG_SEPARATION_SAR] = swg__decibels(e.all, e.artifacts, 0);
}

/* ---- permutations ---- */

static void exchange(int *a, int *b) {
    const int old = *a;
    *a = *b;
    *b = old;
}

/* The next one in the order of words; false after the last. */
static bool next_order(int *order, int count) {
    int i = count - 2, j = count - 1;
    while (i >= 0 && order[i] >= order[i + 1])
        i--;
    if (i < 0)
        return false;
    while (order[j] <= order[i])
        j--;
    exchange(order + i, order + j);
    for (int low = i + 1, high = count - 1; low < high;)
        exchange(order + low++, order + high--);
    return true;
}

/* The estimate of each target with the largest mean SIR; n/a counts for nothing. */
static void best_order(const bss *b, const swg_separation *figures, int *best) {
    int order[SWG_SEPARATION_SOURCES];
    double most = -(double)INFINITY;
    for (int s = 0; s < b->sources; s++)
        order[s] = best[s] = s;
    do {
        double sum = 0;
        for (int s = 0; s < b->sources; s++) {
            const double sir = figures[order[s] * b->sources + s].db[SWG_SEPARATION_SIR];
            sum += isnan(sir) ? 0 : sir;
        }
        if (sum > most) {
            most = sum;
            memcpy(best, order, sizeof order);
        }
    } while (next_order(order, b->sources));
}

static void hand_out(const bss *b, swg_separation *out, int *order) {
    for (int64_t w = 0; w < b->windows; w++) {
        const swg_separation *figures = b->figures + w * b->sources * targets_of(b);
        int best[SWG_SEPARATION_SOURCES];
        for (int s = 0; s < b->sources; s++)
            best[s] = s;
        if (b->o.permute)
            best_order(b, figures, best);
        for (int s = 0; s < b->sources; s++) {
            out[s * b->windows + w] = b->o.permute ? figures[best[s] * b->sources + s] : figures[s];
            if (order)
                order[s * b->windows + w] = best[s];
        }
    }
}

/* ---- all of it ---- */

static swg_status allocate(bss *b) {
    const int64_t n = b->f.n, columns = (int64_t)b->sources * b->channels, unknowns = columns * b->taps;
    b->columns = (int)columns;
    const int64_t pairs = pairs_of(b);
    b->work_size = work_of(b, columns);
    struct {
        double **out;
        int64_t count;
    } rooms[] = {{&b->spectra, 2 * columns * 2 * (n + 2)}, {&b->products, pairs * (n + 2)}, {&b->correlation, pairs * (2 * b->taps - 1)},
                 {&b->matrix, unknowns * unknowns}, {&b->all, columns * unknowns}, {&b->own, columns * b->channels * b->taps},
                 {&b->filters, columns * targets_of(b) * columns * 2 * n}, {&b->work, b->work_size * swg_context_threads(b->ctx)}};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        if (!(*rooms[i].out = swg__alloc(b->ctx, (size_t)rooms[i].count * sizeof(double))))
            return swg__fail_memory(b->ctx, (size_t)rooms[i].count * sizeof(double), "BSSEval");
    b->figures = swg__alloc(b->ctx, (size_t)(b->windows * b->sources * targets_of(b)) * sizeof *b->figures);
    return b->figures ? SWG_OK : swg__fail_memory(b->ctx, (size_t)(b->windows * b->sources * targets_of(b)) * sizeof *b->figures, "BSSEval");
}

static swg_status run(bss *b) {
    const int64_t stretches = b->o.whole_filters ? 1 : b->windows, share = b->windows / stretches;
    SWG__TRY(allocate(b));
    for (int64_t i = 0; i < stretches; i++) {
        b->first = b->o.whole_filters ? 0 : i * b->hop;
        b->count = b->o.whole_filters ? b->samples : b->window;
        b->first_window = i;
        choose_columns(b);
        SWG__TRY(make_filters(b));
        swg__parallel(b->ctx, share * b->sources * targets_of(b), measure_pair, b);
    }
    return SWG_OK;
}

int64_t swg_bss_windows(int64_t samples, const swg_bss_opts *opts) {
    const int64_t hop = opts->hop ? opts->hop : opts->window;
    return opts->window < 1 || samples < opts->window ? 1 : (samples - opts->window) / hop + 1;
}

swg_status swg_bss_eval(swg_context *ctx, int sources, int channels, int64_t samples, const float *const *reference, const float *const *estimate,
                        const swg_bss_opts *opts, swg_separation *out, int *order) {
    static const swg_bss_opts none;
    bss b = {.ctx = ctx, .o = opts ? *opts : none, .sources = sources, .channels = channels, .lines = sources * channels, .samples = samples,
             .reference = reference, .estimate = estimate};
    SWG__TRY(swg__check_signals(ctx, sources, channels, samples, reference, estimate));
    if (b.o.taps < 0 || b.o.taps > MOST_UNKNOWNS || b.o.window < 0 || b.o.hop < 0)
        return swg__fail(ctx, SWG_EINVAL, "BSSEval: taps %d, window %lld, hop %lld", b.o.taps, (long long)b.o.window, (long long)b.o.hop);
    b.taps = b.o.taps ? b.o.taps : 512;
    if (b.lines * b.taps > MOST_UNKNOWNS)
        return swg__fail(ctx, SWG_ESHAPE, "BSSEval: %d sources x %d channels x %lld taps; %d unknowns at most", sources, channels, (long long)b.taps, MOST_UNKNOWNS);
    if (b.o.permute && sources > MOST_PERMUTED)
        return swg__fail(ctx, SWG_ESHAPE, "BSSEval: %d sources in any order; %d at most", sources, MOST_PERMUTED);
    b.windows = swg_bss_windows(samples, &b.o);
    b.window = b.o.window && b.o.window <= samples ? b.o.window : samples;
    b.hop = b.o.hop ? b.o.hop : b.window;
    int64_t n = 64;
    while (n < 16 * b.taps)
        n *= 2;
    swg_status status = swg__fourier_open(ctx, n, &b.f);
    if (status == SWG_OK)
        status = run(&b);
    if (status == SWG_OK)
        hand_out(&b, out, order);
    double *const rooms[] = {b.spectra, b.products, b.correlation, b.matrix, b.all, b.own, b.filters, b.work};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        swg__free(ctx, rooms[i]);
    swg__free(ctx, b.figures);
    swg__fourier_close(ctx, &b.f);
    return status;
}
