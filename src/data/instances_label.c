/* instances_label.c - connected parts of a mask by runs along x, and what follows from them: holes, small objects.
 * In: masks or labels of (Z, Y, X). Out: labels, masks.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "data/instances.h"

enum { Z, Y, X, ROWS = 32, CHUNK = 1 << 16 };

swg_status swg__volume_check(swg_context *ctx, const int64_t extent[3], const double spacing[3], int64_t *voxels) {
    *voxels = 1;
    for (int a = 0; a < 3; a++)
        if (extent[a] < 1 || swg__mul_overflow(*voxels, extent[a], voxels) || *voxels >= UINT32_MAX)
            return swg__fail(ctx, SWG_ESHAPE, "a volume of %lld x %lld x %lld: expected 1 to 2^32 - 2 voxels", (long long)extent[Z], (long long)extent[Y],
                             (long long)extent[X]);
    for (int a = 0; a < 3 && spacing; a++)
        if (!(spacing[a] > 0) || !(spacing[a] < 1e30))
            return swg__fail(ctx, SWG_EINVAL, "spacing %g along axis %d: expected a length above 0", spacing[a], a);
    return SWG_OK;
}

/* ---- runs ---- */

typedef struct run_work {
    swg__runs *r;
    const uint8_t *mask;
    uint8_t zero;           /* 1: runs of zeros */
    uint32_t *labels;
} run_work;

static int64_t rows_of(const swg__runs *r) { return r->extent[Z] * r->extent[Y]; }
static int64_t row_tasks(const swg__runs *r) { return (rows_of(r) + ROWS - 1) / ROWS; }

static int64_t last_row(const swg__runs *r, int64_t task) {
    int64_t end = (task + 1) * ROWS;
    return end < rows_of(r) ? end : rows_of(r);
}

/* first[row + 1] = runs in the row. */
static void count_runs(void *arg, int64_t task, int worker) {
    const run_work *w = arg;
    const int64_t n = w->r->extent[X];
    (void)worker;
    for (int64_t row = task * ROWS; row < last_row(w->r, task); row++) {
        const uint8_t *m = w->mask + row * n;
        uint32_t count = (m[0] == 0) == w->zero;
        for (int64_t x = 1; x < n; x++)
            count += ((m[x] == 0) == w->zero) & ((m[x - 1] == 0) != w->zero);
        w->r->first[row + 1] = count;
    }
}

static void find_runs(void *arg, int64_t task, int worker) {
    const run_work *w = arg;
    const int64_t n = w->r->extent[X];
    (void)worker;
    for (int64_t row = task * ROWS; row < last_row(w->r, task); row++) {
        const uint8_t *m = w->mask + row * n;
        uint32_t at = w->r->first[row];
        for (int64_t x = 0; at < w->r->first[row + 1]; at++) {
            while ((m[x] == 0) != w->zero)
                x++;
            w->r->begin[at] = (uint32_t)x;
            while (x < n && (m[x] == 0) == w->zero)
                x++;
            w->r->end[at] = (uint32_t)x;
        }
    }
}

static uint32_t root_of(uint32_t *parent, uint32_t i) {
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

/* Joins the parts of runs of two rows that touch; `reach` 1: also at a corner. */
static void join_rows(swg__runs *r, int64_t row, int64_t other, uint32_t reach) {
    uint32_t a = r->first[row], b = r->first[other];
    const uint32_t a_end = r->first[row + 1], b_end = r->first[other + 1];
    while (a < a_end && b < b_end) {
        if (r->begin[a] < r->end[b] + reach && r->begin[b] < r->end[a] + reach) {
            uint32_t i = root_of(r->part, a), j = root_of(r->part, b);
            if (i < j)
                r->part[j] = i;
            else
                r->part[i] = j;
        }
        if (r->end[a] < r->end[b])
            a++;
        else
            b++;
    }
}

/* A part's root is its first run. */
static void join_runs(swg__runs *r, swg_neighbours neighbours) {
    const int64_t height = r->extent[Y];
    const bool all = neighbours == SWG_NEIGHBOURS_ALL;
    for (uint32_t i = 0; i < r->count; i++)
        r->part[i] = i;
    for (int64_t row = 0; row < rows_of(r); row++) {
        const int64_t y = row % height, above = row - height;
        if (r->first[row] == r->first[row + 1])
            continue;
        if (y > 0)
            join_rows(r, row, row - 1, all);
        if (above < 0)
            continue;
        join_rows(r, row, above, all);
        if (all && y > 0)
            join_rows(r, row, above - 1, 1);
        if (all && y + 1 < height)
            join_rows(r, row, above + 1, 1);
    }
    for (uint32_t i = 0; i < r->count; i++) /* a parent has its number before its children */
        r->part[i] = r->part[i] == i ? (uint32_t)++r->parts : r->part[r->part[i]];
}

static void sum_up(swg__runs *r) {
    r->first[0] = 0;
    for (int64_t row = 0; row < rows_of(r); row++) /* fewer runs than voxels */
        r->first[row + 1] += r->first[row];
    r->count = r->first[rows_of(r)];
}

swg_status swg__runs_open(swg_context *ctx, const int64_t extent[3], const uint8_t *mask, bool of_zero, swg_neighbours neighbours, swg__runs *r) {
    int64_t voxels;
    run_work w = {.r = r, .mask = mask, .zero = of_zero};
    *r = (swg__runs){.ctx = ctx};
    SWG__TRY(swg__volume_check(ctx, extent, NULL, &voxels));
    memcpy(r->extent, extent, sizeof r->extent);
    r->first = swg__alloc(ctx, (size_t)(rows_of(r) + 1) * sizeof *r->first);
    if (!r->first)
        return swg__fail_memory(ctx, (size_t)(rows_of(r) + 1) * sizeof *r->first, "the rows of a volume");
    swg__parallel(ctx, row_tasks(r), count_runs, &w);
    sum_up(r);
    const size_t bytes = (size_t)r->count * sizeof *r->begin;
    r->begin = swg__alloc(ctx, bytes);
    r->end = swg__alloc(ctx, bytes);
    r->part = swg__alloc(ctx, bytes);
    if (!r->begin || !r->end || !r->part)
        return swg__fail_memory(ctx, 3 * bytes, "the runs of a mask");
    swg__parallel(ctx, row_tasks(r), find_runs, &w);
    join_runs(r, neighbours);
    return SWG_OK;
}

void swg__runs_close(swg__runs *r) {
    swg__free(r->ctx, r->first);
    swg__free(r->ctx, r->begin);
    swg__free(r->ctx, r->end);
    swg__free(r->ctx, r->part);
}

static void paint_rows(void *arg, int64_t task, int worker) {
    const run_work *w = arg;
    const swg__runs *r = w->r;
    (void)worker;
    for (int64_t row = task * ROWS; row < last_row(r, task); row++) {
        uint32_t *to = w->labels + row * r->extent[X];
        memset(to, 0, (size_t)r->extent[X] * sizeof *to);
        for (uint32_t i = r->first[row]; i < r->first[row + 1]; i++)
            for (uint32_t x = r->begin[i]; x < r->end[i]; x++)
                to[x] = r->part[i];
    }
}

void swg__runs_paint(const swg__runs *r, uint32_t *labels) {
    run_work w = {.r = (swg__runs *)r, .labels = labels};
    swg__parallel(r->ctx, row_tasks(r), paint_rows, &w);
}

swg_status swg_instances_label(swg_context *ctx, const int64_t extent[3], const uint8_t *mask, swg_neighbours neighbours, uint32_t *labels, int64_t *count) {
    swg__runs r;
    swg_status status = swg__runs_open(ctx, extent, mask, false, neighbours, &r);
    if (status == SWG_OK) {
        swg__runs_paint(&r, labels);
        if (count)
            *count = r.parts;
    }
    swg__runs_close(&r);
    return status;
}

/* ---- holes ---- */

/* A row at the border of the array; the border of an axis of one voxel is none. */
static bool outer_row(const swg__runs *r, int64_t row) {
    const int64_t z = row / r->extent[Y], y = row % r->extent[Y];
    return (r->extent[Z] > 1 && (z == 0 || z + 1 == r->extent[Z])) || (r->extent[Y] > 1 && (y == 0 || y + 1 == r->extent[Y]));
}

static int64_t fill_runs(const swg__runs *r, bool *open, uint8_t *mask) {
    int64_t filled = 0;
    for (int64_t row = 0; row < rows_of(r); row++)
        for (uint32_t i = r->first[row]; i < r->first[row + 1]; i++)
            if (outer_row(r, row) || r->begin[i] == 0 || r->end[i] == r->extent[X])
                open[r->part[i] - 1] = true;
    for (int64_t row = 0; row < rows_of(r); row++)
        for (uint32_t i = r->first[row]; i < r->first[row + 1]; i++)
            if (!open[r->part[i] - 1]) {
                memset(mask + row * r->extent[X] + r->begin[i], 1, r->end[i] - r->begin[i]);
                filled += r->end[i] - r->begin[i];
            }
    return filled;
}

swg_status swg_instances_fill(swg_context *ctx, const int64_t extent[3], uint8_t *mask, swg_neighbours neighbours, int64_t *filled) {
    swg__runs r;
    bool *open = NULL;
    swg_status status =
        swg__runs_open(ctx, extent, mask, true, neighbours == SWG_NEIGHBOURS_ALL ? SWG_NEIGHBOURS_FACES : SWG_NEIGHBOURS_ALL, &r);
    if (status == SWG_OK && !(open = swg__calloc(ctx, (size_t)r.parts, sizeof *open)))
        status = swg__fail_memory(ctx, (size_t)r.parts, "the holes of a mask");
    if (status == SWG_OK) {
        int64_t count = fill_runs(&r, open, mask);
        if (filled)
            *filled = count;
    }
    swg__free(ctx, open);
    swg__runs_close(&r);
    return status;
}

/* ---- small objects ---- */

typedef struct prune_work {
    uint32_t *labels;
    const uint32_t *number;     /* (count + 1) new number of each */
    int64_t voxels;
} prune_work;

static void renumber(void *arg, int64_t task, int worker) {
    const prune_work *w = arg;
    const int64_t from = task * CHUNK, to = from + CHUNK < w->voxels ? from + CHUNK : w->voxels;
    (void)worker;
    for (int64_t i = from; i < to; i++)
        w->labels[i] = w->number[w->labels[i]];
}

static swg_status number_anew(swg_context *ctx, const prune_work *w, int64_t *sizes, uint32_t *number, int64_t min_voxels, int64_t *count) {
    int64_t kept = 0;
    for (int64_t i = 0; i < w->voxels;) {
        const uint32_t label = w->labels[i];
        int64_t end = i + 1;
        if (label > *count)
            return swg__fail(ctx, SWG_EINVAL, "label %u of %lld", label, (long long)*count);
        while (end < w->voxels && w->labels[end] == label)
            end++;
        sizes[label] += end - i;
        i = end;
    }
    number[0] = 0;
    for (int64_t label = 1; label <= *count; label++)
        number[label] = sizes[label] > 0 && sizes[label] >= min_voxels ? (uint32_t)++kept : 0;
    *count = kept;
    return SWG_OK;
}

swg_status swg_instances_prune(swg_context *ctx, int64_t voxels, uint32_t *labels, int64_t min_voxels, int64_t *count) {
    if (*count < 0 || *count >= UINT32_MAX || voxels < 0)
        return swg__fail(ctx, SWG_EINVAL, "%lld labels in %lld voxels", (long long)*count, (long long)voxels);
    int64_t *sizes = swg__calloc(ctx, (size_t)*count + 1, sizeof *sizes);
    uint32_t *number = swg__alloc(ctx, ((size_t)*count + 1) * sizeof *number);
    prune_work w = {.labels = labels, .number = number, .voxels = voxels};
    swg_status status = sizes && number ? number_anew(ctx, &w, sizes, number, min_voxels, count)
                                        : swg__fail_memory(ctx, ((size_t)*count + 1) * sizeof *sizes, "the sizes of objects");
    if (status == SWG_OK)
        swg__parallel(ctx, (voxels + CHUNK - 1) / CHUNK, renumber, &w);
    swg__free(ctx, number);
    swg__free(ctx, sizes);
    return status;
}
