/* instances_distance.c - exact Euclidean distances to the background, and a Gaussian filter: both line by line along each axis.
 * In: (Z, Y, X). Out: the same. Lines across rows are taken sixteen at a time, so that whole cache lines move.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "data/instances.h"

enum { Z, Y, X, LANES = 16, ROWS = 16 };

/* ---- lines of an axis ---- */

/* Lines along `axis`: `outer` blocks of `stride` lines side by side; elements of a line are `stride` apart. */
typedef struct lines {
    int64_t n, stride, outer, tiles;    /* tiles: groups of LANES lines in a block */
} lines;

static lines lines_of(const int64_t extent[3], int axis) {
    lines l = {.n = extent[axis], .stride = axis == Z ? extent[Y] * extent[X] : extent[X], .outer = axis == Z ? 1 : extent[Z]};
    l.tiles = (l.stride + LANES - 1) / LANES;
    return l;
}

/* A tile: LANES lines, or fewer at the end of a block. */
static int64_t tile_at(const lines *l, int64_t task, int64_t *lanes) {
    const int64_t first = task % l->tiles * LANES;
    *lanes = l->stride - first < LANES ? l->stride - first : LANES;
    return task / l->tiles * l->n * l->stride + first;
}

/* ---- distances: Felzenszwalb and Huttenlocher, "Distance transforms of sampled functions" (2012) ---- */

typedef struct distance_work {
    const uint8_t *mask;
    float *d;               /* squares, infinite where no background is known yet */
    int64_t extent[3];
    double spacing[3], diagonal;
    lines l;
    double square;          /* of the spacing along the axis */
    void *scratch;          /* of each worker: bytes_each */
    size_t bytes_each;
} distance_work;

/* Squares along x: to the nearest zero of the row. */
static void rows_of_x(void *arg, int64_t task, int worker) {
    const distance_work *w = arg;
    const int64_t n = w->extent[X], rows = w->extent[Z] * w->extent[Y], end = (task + 1) * ROWS < rows ? (task + 1) * ROWS : rows;
    (void)worker;
    for (int64_t row = task * ROWS; row < end; row++) {
        const uint8_t *m = w->mask + row * n;
        float *d = w->d + row * n;
        for (int64_t x = 0; x < n;) {
            const int64_t first = x;
            while (x < n && m[x])
                x++;
            for (int64_t i = first; i < x; i++) { /* a run of foreground: its ends are what counts */
                const int64_t left = first > 0 ? i - first + 1 : INT64_MAX, right = x < n ? x - i : INT64_MAX, near = left < right ? left : right;
                d[i] = near == INT64_MAX ? INFINITY : (float)((double)near * (double)near * w->square);
            }
            while (x < n && !m[x])
                d[x++] = 0;
        }
    }
}

/* One parabola of the lower envelope. */
typedef struct parabola {
    double height, begin;   /* least value; where it becomes the lowest */
    int64_t at;
} parabola;

/* Squares d[first..end) of one line, all above 0, whose neighbours outside are 0 or the line's ends: zeros hide what is behind them. */
static void envelope(double *d, int64_t n, int64_t first, int64_t end, double square, parabola *p) {
    int64_t count = 0;
    for (int64_t q = first > 0 ? first - 1 : first; q < (end < n ? end + 1 : end); q++) {
        double begin = -INFINITY;
        if (d[q] == INFINITY)
            continue;
        while (count) {
            const parabola *top = &p[count - 1];
            begin = .5 * ((double)(q + top->at) + (d[q] - top->height) / (square * (double)(q - top->at)));
            if (begin > top->begin)
                break;
            count--;
        }
        p[count] = (parabola){.height = d[q], .begin = count ? begin : -INFINITY, .at = q};
        count++;
    }
    for (int64_t q = end - 1; q >= first && count; q--) {
        while (p[count - 1].begin > (double)q)
            count--;
        const double away = (double)(q - p[count - 1].at);
        d[q] = p[count - 1].height + away * away * square;
    }
}

static void lines_across(void *arg, int64_t task, int worker) {
    const distance_work *w = arg;
    const lines *l = &w->l;
    int64_t lanes;
    float *tile = w->d + tile_at(l, task, &lanes);
    parabola *p = (parabola *)((char *)w->scratch + (size_t)worker * w->bytes_each);
    double *line = (double *)(p + l->n);
    for (int64_t lane = 0; lane < lanes; lane++) {
        float *d = tile + lane;
        int64_t q = 0;
        while (q < l->n && d[q * l->stride] == 0)
            q++;
        if (q == l->n)
            continue;
        for (int64_t i = 0; i < l->n; i++)
            line[i] = (double)d[i * l->stride];
        while (q < l->n) {
            int64_t end = q;
            while (end < l->n && line[end] > 0)
                end++;
            envelope(line, l->n, q, end, w->square, p);
            for (int64_t i = q; i < end; i++)
                d[i * l->stride] = (float)line[i];
            for (q = end; q < l->n && !(line[q] > 0);)
                q++;
        }
    }
}

static void roots(void *arg, int64_t task, int worker) {
    const distance_work *w = arg;
    const int64_t n = w->extent[X], rows = w->extent[Z] * w->extent[Y], end = (task + 1) * ROWS < rows ? (task + 1) * ROWS : rows;
    (void)worker;
    for (int64_t i = task * ROWS * n; i < end * n; i++)
        w->d[i] = w->d[i] < INFINITY ? sqrtf(w->d[i]) : (float)w->diagonal;
}

static void unit_spacing(const double spacing[3], double out[3]) {
    for (int a = 0; a < 3; a++)
        out[a] = spacing ? spacing[a] : 1;
}

swg_status swg_instances_distance(swg_context *ctx, const int64_t extent[3], const double spacing[3], const uint8_t *mask, float *distance) {
    distance_work w = {.mask = mask, .d = distance};
    int64_t voxels, longest = extent[Z] > extent[Y] ? extent[Z] : extent[Y];
    SWG__TRY(swg__volume_check(ctx, extent, spacing, &voxels));
    unit_spacing(spacing, w.spacing);
    memcpy(w.extent, extent, sizeof w.extent);
    for (int a = 0; a < 3; a++)
        w.diagonal += (double)extent[a] * (double)extent[a] * w.spacing[a] * w.spacing[a];
    w.diagonal = sqrt(w.diagonal);
    w.bytes_each = ((size_t)longest * (sizeof(parabola) + sizeof(double)) + 63) / 64 * 64;
    w.scratch = swg__alloc(ctx, w.bytes_each * (size_t)swg_context_threads(ctx));
    if (!w.scratch)
        return swg__fail_memory(ctx, w.bytes_each * (size_t)swg_context_threads(ctx), "lines of a volume");
    const int64_t rows = (extent[Z] * extent[Y] + ROWS - 1) / ROWS;
    w.square = w.spacing[X] * w.spacing[X];
    swg__parallel(ctx, rows, rows_of_x, &w);
    for (int a = Y; a >= Z; a--)
        if (extent[a] > 1) {
            w.l = lines_of(extent, a);
            w.square = w.spacing[a] * w.spacing[a];
            swg__parallel(ctx, w.l.outer * w.l.tiles, lines_across, &w);
        }
    swg__parallel(ctx, rows, roots, &w);
    swg__free(ctx, w.scratch);
    return SWG_OK;
}

/* ---- Gaussian filter ---- */

typedef struct smooth_work {
    float *values;
    int64_t extent[3];
    lines l;
    int64_t radius;
    const float *taps;      /* (radius + 1) from the centre outwards */
    float *scratch;         /* of each worker: (longest + 2 radius) tiles */
    size_t values_each;
} smooth_work;

/* Position i of an axis reflected at both ends, its ends repeated: the array may be shorter than the filter. */
static int64_t mirrored(int64_t i, int64_t n) {
    const int64_t period = 2 * n, r = (i % period + period) % period;
    return r < n ? r : period - 1 - r;
}

static void smooth_rows(void *arg, int64_t task, int worker) {
    const smooth_work *w = arg;
    const int64_t n = w->extent[X], r = w->radius, rows = w->extent[Z] * w->extent[Y], end = (task + 1) * ROWS < rows ? (task + 1) * ROWS : rows;
    float *line = w->scratch + (size_t)worker * w->values_each + r;
    for (int64_t row = task * ROWS; row < end; row++) {
        float *restrict v = w->values + row * n;
        memcpy(line, v, (size_t)n * sizeof *v);
        for (int64_t i = 1; i <= r; i++) {
            line[-i] = v[mirrored(-i, n)];
            line[n - 1 + i] = v[mirrored(n - 1 + i, n)];
        }
        for (int64_t x = 0; x < n; x++)
            v[x] = w->taps[0] * line[x];
        for (int64_t k = 1; k <= r; k++)
            for (int64_t x = 0; x < n; x++)
                v[x] += w->taps[k] * (line[x - k] + line[x + k]);
    }
}

static void smooth_across(void *arg, int64_t task, int worker) {
    const smooth_work *w = arg;
    const lines *l = &w->l;
    const int64_t r = w->radius;
    int64_t lanes;
    float *tile = w->values + tile_at(l, task, &lanes), (*in)[LANES] = (float(*)[LANES])(w->scratch + (size_t)worker * w->values_each);
    bool any = false;
    for (int64_t i = 0; i < l->n; i++) {
        memset(in[r + i], 0, sizeof *in);
        memcpy(in[r + i], tile + i * l->stride, (size_t)lanes * sizeof *tile);
        for (int64_t j = 0; j < LANES; j++)
            any |= in[r + i][j] != 0;
    }
    if (!any)
        return;
    for (int64_t i = 1; i <= r; i++) {
        memcpy(in[r - i], in[r + mirrored(-i, l->n)], sizeof *in);
        memcpy(in[r + l->n - 1 + i], in[r + mirrored(l->n - 1 + i, l->n)], sizeof *in);
    }
    for (int64_t i = 0; i < l->n; i++) {
        float sum[LANES];
        for (int64_t j = 0; j < LANES; j++)
            sum[j] = w->taps[0] * in[r + i][j];
        for (int64_t k = 1; k <= r; k++)
            for (int64_t j = 0; j < LANES; j++)
                sum[j] += w->taps[k] * (in[r + i - k][j] + in[r + i + k][j]);
        memcpy(tile + i * l->stride, sum, (size_t)lanes * sizeof *sum);
    }
}

static void gauss_taps(double sigma, int64_t radius, float *taps) {
    double sum = 1;
    for (int64_t k = 1; k <= radius; k++)
        sum += 2 * exp(-.5 * (double)(k * k) / (sigma * sigma));
    for (int64_t k = 0; k <= radius; k++)
        taps[k] = (float)(exp(-.5 * (double)(k * k) / (sigma * sigma)) / sum);
}

swg_status swg_instances_smooth(swg_context *ctx, const int64_t extent[3], const double spacing[3], double sigma, float *values) {
    smooth_work w = {.values = values};
    int64_t voxels, widest = 0, longest = 0;
    double unit[3];
    SWG__TRY(swg__volume_check(ctx, extent, spacing, &voxels));
    unit_spacing(spacing, unit);
    if (!(sigma >= 0))
        return swg__fail(ctx, SWG_EINVAL, "sigma %g: expected 0 or more", sigma);
    for (int a = 0; a < 3; a++) {
        if (!(sigma / unit[a] < 1e4))
            return swg__fail(ctx, SWG_EINVAL, "sigma %g is %g voxels along axis %d: expected less than 10000", sigma, sigma / unit[a], a);
        const int64_t radius = (int64_t)(4 * sigma / unit[a] + .5);
        widest = radius > widest ? radius : widest;
        longest = extent[a] > longest ? extent[a] : longest;
    }
    memcpy(w.extent, extent, sizeof w.extent);
    w.values_each = (size_t)(longest + 2 * widest) * LANES;
    const size_t bytes = (w.values_each * (size_t)swg_context_threads(ctx) + (size_t)widest + 1) * sizeof(float);
    if (!(w.scratch = swg__alloc(ctx, bytes)))
        return swg__fail_memory(ctx, bytes, "lines of a volume");
    float *taps = w.scratch + w.values_each * (size_t)swg_context_threads(ctx);
    w.taps = taps;
    for (int a = X; a >= Z; a--) {
        w.radius = (int64_t)(4 * sigma / unit[a] + .5);
        if (extent[a] == 1 || w.radius == 0)
            continue;
        gauss_taps(sigma / unit[a], w.radius, taps);
        w.l = lines_of(extent, a);
        if (a == X)
            swg__parallel(ctx, (extent[Z] * extent[Y] + ROWS - 1) / ROWS, smooth_rows, &w);
        else
            swg__parallel(ctx, w.l.outer * w.l.tiles, smooth_across, &w);
    }
    swg__free(ctx, w.scratch);
    return SWG_OK;
}
