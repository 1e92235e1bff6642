/* interp_estimate.c - what mode G would need for a chunk, from small bricks all over it.
 * The bricks are coded as the slices of one chunk, which share all parameters. The faces of a brick do to the points beside them what the faces
 * of the chunk do, so costs are summed apart by level and by along how many axes a point is near a face, and weighted by how many such points
 * the chunk has.
 * SPDX-License-Identifier: Apache-2.0 */
#include "interp_coder.h"

enum { BRICKS = 8, MORE_BRICKS = 40, BRICK = 1728, REACH = 3, FACES = 4 };

/* Sums, then means, of the cost of points in 1/256 bit, by stride (the last: all larger ones) and by axes along which a face is within reach. */
enum { STRIDES = 4 };
typedef struct tally {
    double cost[STRIDES][FACES];
    int64_t count[STRIDES][FACES];
} tally;

/* A box of z, y and x with about `values` values, or all that the axes have: shortest axis first, what it does not use is left to others. */
static void brick_extent(const int64_t extent[4], int64_t values, int64_t out[4]) {
    bool taken[4] = {false};
    for (int left = 3; left; left--) {
        int a = -1;
        for (int i = 1; i < 4; i++)
            if (!taken[i] && (a < 0 || extent[i] < extent[a]))
                a = i;
        const int64_t room = (int64_t)floor(pow((double)values, 1.0 / left) + 0.5);
        out[a] = extent[a] > room ? room : extent[a];
        values = values / out[a] > 1 ? values / out[a] : 1;
        taken[a] = true;
    }
}

/* The values of bricks all over the chunk, one behind the other. Turns of this sequence fill a cube evenly; the first brick is in the middle. */
static void cut_out(const swg__chunk *chunk, const swg__chunk *part) {
    static const double turn[4] = {0.6180339887, 0.8191725134, 0.6710436067, 0.5497004779};
    const size_t size = (size_t)swg_element_bytes(chunk->grid.type), row = (size_t)part->extent[3] * size;
    char *to = part->values;
    for (int64_t b = 0; b < part->extent[0]; b++) {
        int64_t origin[4];
        for (int a = 0; a < 4; a++) {
            const double place = 0.5 + (double)b * turn[a];
            origin[a] = (int64_t)((place - floor(place)) * (double)(chunk->extent[a] - (a ? part->extent[a] : 1) + 1));
        }
        for (int64_t z = 0; z < part->extent[1]; z++)
            for (int64_t y = 0; y < part->extent[2]; y++, to += row) {
                int64_t at = ((origin[0] * chunk->extent[1] + origin[1] + z) * chunk->extent[2] + origin[2] + y) * chunk->extent[3] + origin[3];
                memcpy(to, (const char *)chunk->values + (size_t)at * size, row);
            }
    }
}

static bool near_face(int64_t at, int64_t n, int64_t stride) { return at < REACH * stride || at + REACH * stride >= n; }

/* Points of one axis at start, start + step, ...: away from faces, near them. */
static void count_axis(int64_t n, int64_t start, int64_t step, int64_t stride, bool on, int64_t out[2]) {
    out[0] = out[1] = 0;
    for (int64_t at = start; at < n; at += step)
        out[on && near_face(at, n, stride)]++;
}

/* Start and step of the targets of a pass along an axis. */
static void targets(int axes, int odd, int a, int64_t stride, int64_t *start, int64_t *step) {
    *start = odd >> a & 1 ? stride : 0;
    *step = axes >> a & 1 ? 2 * stride : 1;
}

static int class_of(int64_t stride) { return stride >= 8 ? 3 : stride >= 4 ? 2 : stride >= 2 ? 1 : 0; }

/* Adds up the residuals, in the order of the stream. */
static void add_residuals(const swg__interp_coder *c, tally *t) {
    const swg__chunk *part = c->f.chunk;
    const int64_t *n = part->extent + 1;
    int64_t i = c->anchors;
    for (int l = 0; l < c->model.levels; l++)
        for (int k = 0; k < SWG__INTERP_PASSES; k++) {
            const int odd = swg__interp_odd[k], axes = c->model.axes;
            const int64_t stride = (int64_t)1 << (c->model.levels - 1 - l);
            int64_t start[3], step[3];
            if (odd & ~axes)
                continue;
            for (int a = 0; a < 3; a++)
                targets(axes, odd, a, stride, &start[a], &step[a]);
            for (int64_t w = 0; w < part->extent[0]; w++)
                for (int64_t z = start[0]; z < n[0]; z += step[0])
                    for (int64_t y = start[1]; y < n[1]; y += step[1]) {
                        const int rows = (axes & 1 && near_face(z, n[0], stride)) + (axes & 2 && near_face(y, n[1], stride));
                        for (int64_t x = start[2]; x < n[2]; x += step[2], i++) {
                            const int faces = rows + (axes & 4 && near_face(x, n[2], stride)), at = class_of(stride);
                            t->cost[at][faces] += swg__residual_cost(c->model.bucket[c->context[i] / 3][c->context[i] % 3], 0,
                                                                     swg__interp_get(c->residual, c->f.wide, i));
                            t->count[at][faces]++;
                        }
                    }
        }
}

/* Fills in what no brick has: the cost of a point with as many faces near as the nearest kind has that there is, times what the difference is
 * worth one stride below; strides that are in no brick cost what those below do. */
static void complete(tally *t) {
    for (int s = 0; s < STRIDES; s++) {
        bool there[FACES], any = false;
        for (int f = 0; f < FACES; f++) {
            there[f] = t->count[s][f] > 0;
            any = any || there[f];
            t->cost[s][f] /= there[f] ? (double)t->count[s][f] : 1;
        }
        for (int f = 0; f < FACES; f++) {
            int known = f;
            for (int far = 1; far < FACES && !there[known] && any; far++)
                known = f + far < FACES && there[f + far] ? f + far : f - far >= 0 && there[f - far] ? f - far : known;
            if (!any)
                t->cost[s][f] = s ? t->cost[s - 1][f] : 0;
            else if (known != f && s && t->cost[s - 1][known] > 0)
                t->cost[s][f] = 0.5 * (t->cost[s][known] * t->cost[s - 1][f] / t->cost[s - 1][known] +
                                       fmax(t->cost[s][known] - t->cost[s - 1][known] + t->cost[s - 1][f], 0));
            else
                t->cost[s][f] = t->cost[s][known];
        }
    }
}

static double whole_cost(const swg__chunk *chunk, const tally *t, int axes) {
    const int levels = swg__interp_levels_for(chunk, axes);
    double cost = 0;
    for (int l = 0; l < levels; l++)
        for (int k = 0; k < SWG__INTERP_PASSES; k++) {
            const int64_t stride = (int64_t)1 << (levels - 1 - l);
            int64_t points[3][2], start, step;
            if (swg__interp_odd[k] & ~axes)
                continue;
            for (int a = 0; a < 3; a++) {
                targets(axes, swg__interp_odd[k], a, stride, &start, &step);
                count_axis(chunk->extent[a + 1], start, step, stride, axes >> a & 1, points[a]);
            }
            for (int near = 0; near < 8; near++)
                cost += t->cost[class_of(stride)][(near & 1) + (near >> 1 & 1) + (near >> 2)] * (double)chunk->extent[0] *
                        (double)(points[0][near & 1] * points[1][near >> 1 & 1] * points[2][near >> 2]);
        }
    return cost;
}

/* The estimate from so many bricks, or from the chunk itself where they are as many values. */
static swg_status estimate(const swg__chunk *chunk, int64_t most, int64_t *bytes) {
    swg__chunk part = *chunk;
    part.mask = NULL; /* substitutes are as good as values here */
    part.masked = 0;
    if (chunk->count > most * BRICK) {
        brick_extent(chunk->extent, BRICK, part.extent);
        const int64_t slice = part.extent[1] * part.extent[2] * part.extent[3], bricks = chunk->count / slice;
        part.extent[0] = bricks < most ? bricks : most;
        part.count = part.extent[0] * slice;
    }
    const size_t size = (size_t)part.count * (size_t)swg_element_bytes(chunk->grid.type);
    void *values = NULL;
    if (part.count < chunk->count) {
        part.values = values = swg__alloc(chunk->ctx, size);
        if (!values)
            return swg__fail_memory(chunk->ctx, size, "a sample");
        cut_out(chunk, &part);
    }
    swg__interp_coder c;
    swg__text param;
    tally t = {.count = {{0}}};
    swg_status status = swg__interp_code(&part, &c);
    swg__text_init(&param, chunk->ctx);
    if (status == SWG_OK) {
        swg__interp_write(&c.model, &param);
        status = param.failed ? swg__fail_memory(chunk->ctx, param.length, "parameters") : SWG_OK;
    }
    if (status == SWG_OK) {
        const double whole = (double)chunk->count / (double)part.count, coded = 1 - (double)chunk->masked / (double)chunk->count;
        add_residuals(&c, &t);
        complete(&t);
        *bytes = (int64_t)(whole_cost(chunk, &t, c.model.axes) * coded / 2048) +
                 (int64_t)((double)c.outliers.count * whole) * (swg_element_bytes(chunk->grid.type) + 1) + SWG__RECORD_HEAD + 24 + (int64_t)param.length;
    }
    swg__text_free(&param);
    swg__interp_coder_close(&c);
    swg__free(chunk->ctx, values);
    return status;
}

swg_status swg__interp_estimate(const swg__chunk *chunk, int64_t *bytes) {
    *bytes = INT64_MAX;
    if (!swg__interp_possible(chunk))
        return SWG_OK;
    swg_status status = estimate(chunk, BRICKS, bytes);
    if (status == SWG_OK && *bytes < chunk->count / 40 && chunk->count > BRICKS * BRICK) /* all there is may lie between the bricks */
        status = estimate(chunk, MORE_BRICKS, bytes);
    return status;
}
