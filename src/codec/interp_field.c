/* interp_field.c - the levels of a chunk under mode G by phases, and the predictions of its passes.
 * In: restored levels. Out: predictions, contexts; in the end values. Off axes and w are slices that share all parameters.
 * SPDX-License-Identifier: Apache-2.0 */
#include "interp_field.h"

const uint8_t swg__interp_odd[SWG__INTERP_PASSES] = {1, 2, 4, 3, 5, 6, 7};

/* ---- what a pass predicts from ---- */

/* Appends the feature of all points at +-size[0..n) along axis[0..n). */
static void add_feature(swg__interp_shape *s, int n, const int *axis, const int *size) {
    int at = s->first[s->features];
    for (int signs = 0; signs < 1 << n; signs++, at++) {
        s->tap[at][0] = s->tap[at][1] = s->tap[at][2] = 0;
        for (int i = 0; i < n; i++)
            s->tap[at][axis[i]] = (int8_t)(signs >> i & 1 ? size[i] : -size[i]);
    }
    s->first[++s->features] = at;
}

/* Order: inner pairs, outer pairs, pairs seen from a row beside, diagonals, corners. */
void swg__interp_shape_of(int axes, int odd, swg__interp_shape *s) {
    *s = (swg__interp_shape){0};
    for (int a = 0; a < 3; a++)
        if (odd >> a & 1) {
            s->odd++;
            add_feature(s, 1, &a, &(int){1});
        }
    for (int a = 0; a < 3; a++)
        if (odd >> a & 1)
            add_feature(s, 1, &a, &(int){3});
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++)
            if ((odd >> a & 1) && (axes >> b & 1) && !(odd >> b & 1))
                add_feature(s, 2, (int[]){a, b}, (int[]){1, 2});
    for (int a = 0; a < 3; a++)
        for (int b = a + 1; b < 3; b++)
            if ((odd >> a & 1) && (odd >> b & 1))
                add_feature(s, 2, (int[]){a, b}, (int[]){1, 1});
    if (odd == 7)
        add_feature(s, 3, (int[]){0, 1, 2}, (int[]){1, 1, 1});
}

void swg__interp_built_in(int kind, int odd, int features, int16_t *w) {
    for (int i = 1; i < features; i++) {
        int mean = kind == SWG__INTERP_CUBIC ? (9216 + odd / 2) / odd : (8192 + odd / 2) / odd;
        w[i - 1] = (int16_t)(i < odd ? mean : kind == SWG__INTERP_CUBIC && i < 2 * odd ? -(1024 / odd) : 0);
    }
}

int64_t swg__interp_predict(const int64_t *g, int count, const int16_t *w) {
    const int64_t most = (int64_t)1 << 30;
    int64_t sum = 0;
    for (int i = 1; i < count; i++) {
        int64_t d = g[i] - g[0];
        sum += w[i - 1] * (d > most ? most : d < -most ? -most : d);
    }
    int64_t p = (g[0] * 8192 + sum + 32768) >> 16;
    return p > SWG__LEVEL_LIMIT ? SWG__LEVEL_LIMIT : p < -SWG__LEVEL_LIMIT ? -SWG__LEVEL_LIMIT : p;
}

/* ---- phases ---- */

/* Points before and behind a row along x that repeat its ends, where x is interpolated along. */
enum { BEFORE = 1, BEHIND = 2 };

static int64_t slices_of(const swg__interp_field *f) { return f->chunk->extent[0]; }

/* Extents of a level. Returns its elements. */
static int64_t measure(swg__interp_field *f, int level) {
    f->level = level;
    f->stride = (int64_t)1 << (f->levels - 1 - level);
    for (int a = 0; a < 3; a++) {
        const int64_t n = f->chunk->extent[a + 1], points = (n + f->stride - 1) / f->stride;
        const bool on = f->axes >> a & 1;
        f->even[a] = on ? (points + 1) / 2 : n;
        f->odd[a] = on ? points / 2 : 0;
    }
    f->pitch = f->even[2] + (f->axes & 4 ? BEFORE + BEHIND : 0);
    f->rows = slices_of(f) * f->even[0] * f->even[1];
    int64_t phases = 0;
    for (int odd = 0; odd < 8; odd++) { /* phases without points, as along an axis of one, take no room */
        const bool any = (!(odd & 1) || f->odd[0]) && (!(odd & 2) || f->odd[1]) && (!(odd & 4) || f->odd[2]);
        f->start[odd] = (any ? f->rows * f->pitch * phases : 0) + (f->axes & 4 ? BEFORE : 0);
        phases += any;
    }
    return phases * f->rows * f->pitch + SWG__INTERP_SLACK;
}

static void use_store(swg__interp_field *f) {
    const int which = (f->levels - 1 - f->level) & 1;
    f->u = f->u_store[which];
    f->size = f->size_store[which];
}

swg_status swg__interp_field_open(swg__interp_field *f, const swg__chunk *chunk, int axes, int levels, bool wide) {
    *f = (swg__interp_field){.chunk = chunk, .axes = axes, .levels = levels, .wide = wide};
    const size_t width = wide ? sizeof(int64_t) : sizeof(int32_t);
    for (int i = 0; i < 2 && i < levels; i++) { /* the finest level and the one before it take turns */
        const size_t elements = (size_t)measure(f, levels - 1 - i);
        f->u_store[i] = swg__calloc(chunk->ctx, elements, width);
        f->size_store[i] = swg__calloc(chunk->ctx, elements, sizeof *f->size);
        if (!f->u_store[i] || !f->size_store[i])
            return swg__fail_memory(chunk->ctx, elements * (width + 2), "levels");
        if (i == 0) { /* no row is longer later on */
            f->block = f->even[2] > SWG__INTERP_BLOCK ? f->even[2] : SWG__INTERP_BLOCK;
            f->guess = swg__alloc(chunk->ctx, (size_t)(f->block + SWG__INTERP_SLACK) * width);
            f->context = swg__alloc(chunk->ctx, (size_t)(f->block + SWG__INTERP_SLACK) * sizeof *f->context);
            if (!f->guess || !f->context)
                return swg__fail_memory(chunk->ctx, (size_t)f->block * (width + 2), "predictions");
        }
    }
    (void)measure(f, 0);
    use_store(f);
    return SWG_OK;
}

void swg__interp_field_close(swg__interp_field *f) {
    swg_context *ctx = f->chunk->ctx;
    swg__free(ctx, f->context);
    swg__free(ctx, f->guess);
    for (int i = 1; i >= 0; i--) {
        swg__free(ctx, f->size_store[i]);
        swg__free(ctx, f->u_store[i]);
    }
}

void swg__interp_pad(swg__interp_field *f, int odd, int64_t at) {
    if (!(f->axes & 4) || (odd & 4))
        return;
    const int64_t last = at + f->even[2] - 1;
    swg__interp_set(f->u, f->wide, at - 1, swg__interp_get(f->u, f->wide, at));
    f->size[at - 1] = f->size[at];
    for (int64_t i = last + 1; i <= last + BEHIND; i++) {
        swg__interp_set(f->u, f->wide, i, swg__interp_get(f->u, f->wide, last));
        f->size[i] = f->size[last];
    }
}

/* Two rows, every other point each, as one; odd ones fewer by 0 or 1. */
#define INTERLEAVE(name, type)                                                                           \
    static void name(const type *even, int64_t n_even, const type *odd, int64_t n_odd, type *to) {       \
        for (int64_t i = 0; i < n_odd; i++) {                                                            \
            to[2 * i] = even[i];                                                                         \
            to[2 * i + 1] = odd[i];                                                                      \
        }                                                                                                \
        if (n_even > n_odd)                                                                              \
            memcpy(to + 2 * n_odd, even + n_odd, (size_t)(n_even - n_odd) * sizeof *to);                 \
    }
INTERLEAVE(interleave_16, uint16_t)
INTERLEAVE(interleave_32, int32_t)
INTERLEAVE(interleave_64, int64_t)

static void interleave(const swg__interp_field *f, int64_t even, int64_t odd, void *to, int64_t at) {
    if (f->wide)
        interleave_64((const int64_t *)f->u + even, f->even[2], (const int64_t *)f->u + odd, f->odd[2], (int64_t *)to + at);
    else
        interleave_32((const int32_t *)f->u + even, f->even[2], (const int32_t *)f->u + odd, f->odd[2], (int32_t *)to + at);
}

/* Where the points of row (z, y) of the whole level lie: two rows of it, one for each phase along x. */
static void rows_at(const swg__interp_field *f, int64_t w, int64_t z, int64_t y, int64_t *even, int64_t *odd) {
    int phase = 0;
    if (f->axes & 1) {
        phase |= (int)(z & 1);
        z >>= 1;
    }
    if (f->axes & 2) {
        phase |= (int)(y & 1) << 1;
        y >>= 1;
    }
    *even = swg__interp_row(f, phase, w, z, y);
    *odd = f->axes & 4 ? swg__interp_row(f, phase | 4, w, z, y) : *even;
}

void swg__interp_refine(swg__interp_field *f) {
    const swg__interp_field old = *f;
    if (f->level + 1 == f->levels) {
        f->level++;
        return;
    }
    (void)measure(f, old.level + 1);
    use_store(f);
    for (int64_t w = 0; w < slices_of(f); w++)
        for (int64_t z = 0; z < f->even[0]; z++)
            for (int64_t y = 0; y < f->even[1]; y++) {
                int64_t even, odd, to = swg__interp_row(f, 0, w, z, y);
                rows_at(&old, w, z, y, &even, &odd);
                interleave(&old, even, odd, f->u, to);
                interleave_16(old.size + even, old.even[2], old.size + odd, old.odd[2], f->size + to);
                swg__interp_pad(f, 0, to);
            }
}

const char *swg__interp_store(swg__interp_field *f) {
    const swg__chunk *chunk = f->chunk;
    const int64_t *extent = chunk->extent, n = extent[3];
    int64_t *row = swg__alloc(chunk->ctx, 2 * (size_t)n * sizeof *row), at = 0;
    const char *why = row ? NULL : swg__why_memory;
    for (int64_t w = 0; w < extent[0] && !why; w++)
        for (int64_t z = 0; z < extent[1] && !why; z++)
            for (int64_t y = 0; y < extent[2] && !why; y++, at += n) {
                int64_t even, odd;
                rows_at(f, w, z, y, &even, &odd);
                if (f->wide) {
                    interleave(f, even, odd, row, 0);
                } else {
                    int32_t *brief = (int32_t *)(void *)(row + n);
                    interleave(f, even, odd, brief, 0);
                    for (int64_t x = 0; x < n; x++)
                        row[x] = f->first + brief[x];
                }
                why = swg__levels_store(chunk, 4, row, at, n);
            }
    swg__free(chunk->ctx, row);
    return why;
}

/* ---- a pass ---- */

void swg__interp_weigh(swg__interp_pass *p, const int16_t *w) {
    int64_t sum = 1;
    for (int i = 1; i < p->shape.features; i++) {
        p->taps.w[i] = w[i - 1];
        sum += w[i - 1] < 0 ? -w[i - 1] : w[i - 1];
    }
    uint32_t limit = (uint32_t)SWG__INTERP_NARROW;
    while (limit * sum > INT32_MAX - 131072) /* 32768 and what the anchor does not fill of 8 are added */
        limit /= 2;
    p->taps.limit = limit;
    p->rough = false;
}

bool swg__interp_pass_open(const swg__interp_field *f, const swg__interp *model, int index, swg__interp_pass *p) {
    const swg__interp_level *level = &model->level[f->level];
    const int odd = swg__interp_odd[index];
    *p = (swg__interp_pass){.f = f, .odd = odd, .t = level->t};
    if (odd & ~f->axes)
        return false;
    for (int a = 0; a < 3; a++) {
        p->count[a] = odd >> a & 1 ? f->odd[a] : f->even[a];
        if (!p->count[a])
            return false;
    }
    swg__interp_shape_of(f->axes, odd, &p->shape);
    for (int j = 0; j < p->shape.first[p->shape.features]; j++) {
        int phase = odd, beside[3]; /* odd points have taps beside them in the even phase, d strides from 2 i + 1 */
        for (int a = 0; a < 3; a++) {
            const int d = p->shape.tap[j][a];
            phase ^= (d & 1) << a;
            beside[a] = d & 1 ? (d + 1) / 2 : d / 2;
        }
        p->from[j].start = f->start[phase] + beside[2];
        p->from[j].z = (int8_t)beside[0];
        p->from[j].y = (int8_t)beside[1];
    }
    swg__interp_taps *t = &p->taps;
    const int taps = p->shape.first[p->shape.features], differences = 8 * (p->shape.features - 1);
    t->features = p->shape.features;
    memcpy(t->first, p->shape.first, sizeof t->first);
    for (int i = 0; i < t->features; i++)
        t->scale[i] = t->first[i + 1] - t->first[i] == 2 ? 2 : t->first[i + 1] - t->first[i] == 4 ? 1 : 0;
    t->busy = (48 * taps + 9) / 10;
    t->shift = 18 - level->t;
    t->difference_weight = (65536 + differences / 2) / differences;
    t->size_weight = (3 * 65536 + taps / 2) / taps;
    t->difference_scale = ldexp(27 * (double)t->difference_weight, -t->shift);
    t->size_scale = ldexp(27 * (double)t->size_weight, -t->shift);
    int16_t w[SWG__INTERP_FEATURES - 1];
    swg__interp_built_in(level->kind[index], p->shape.odd, p->shape.features, w);
    swg__interp_weigh(p, level->kind[index] == SWG__INTERP_LEARNED ? level->w[index] : w);
    return true;
}

/* Inside the chunk, in steps of two strides: rows of the even phase. */
static int64_t inside(int64_t i, int d, int64_t n) { return !d ? i : i + d < 0 ? 0 : i + d >= n ? n - 1 : i + d; }

void swg__interp_point(swg__interp_pass *p, int64_t w, int64_t z, int64_t y) {
    const swg__interp_field *f = p->f;
    for (int j = 0; j < p->shape.first[p->shape.features]; j++) {
        const int64_t row = (w * f->even[0] + inside(z, p->from[j].z, f->even[0])) * f->even[1] + inside(y, p->from[j].y, f->even[1]);
        const int64_t at = p->from[j].start + row * f->pitch;
        p->taps.u[j] = f->wide ? (const void *)((const int64_t *)f->u + at) : (const void *)((const int32_t *)f->u + at);
        p->taps.size[j] = f->size + at;
    }
}

/* Rows from y on that the same pointers are good for. */
static int64_t rows_alike(const swg__interp_pass *p, int64_t y) {
    if (!(p->f->axes & 2))
        return p->count[1] - y;
    const int64_t before = 1, behind = p->odd & 2 ? 2 : 1, end = p->f->even[1] - behind;
    if (y < before || y >= end)
        return 1;
    return (end < p->count[1] ? end : p->count[1]) - y;
}

bool swg__interp_predict_rows(swg__interp_pass *p, int64_t w, int64_t z, int64_t y, int64_t rows) {
    const swg__interp_field *f = p->f;
    const swg__codec_kernels *kernels = f->chunk->kernels;
    const int64_t n = p->count[2];
    for (int64_t done = 0, now; done < rows; done += now) {
        now = rows_alike(p, y + done);
        now = now < rows - done ? now : rows - done;
        uint16_t *context = f->context + done * n;
        swg__interp_point(p, w, z, y + done);
        if (f->wide) {
            kernels->interp_wide(&p->taps, now, n, f->pitch, (int64_t *)f->guess + done * n, context);
            continue;
        }
        int32_t *guess = (int32_t *)f->guess + done * n;
        p->rough = p->rough || !kernels->interp_narrow(&p->taps, now, n, f->pitch, guess, context);
        if (p->rough && !kernels->interp_middle(&p->taps, now, n, f->pitch, guess, context))
            return false;
    }
    return true;
}

int64_t swg__interp_place(const swg__interp_pass *p, int64_t w, int64_t z, int64_t y, int64_t *step) {
    const swg__interp_field *f = p->f;
    const int64_t *extent = f->chunk->extent, at[3] = {z, y, 0};
    int64_t place = w;
    for (int a = 0; a < 3; a++) {
        const int64_t i = f->axes >> a & 1 ? (2 * at[a] + (p->odd >> a & 1)) * f->stride : at[a];
        place = place * extent[a + 1] + i;
    }
    *step = f->axes & 4 ? 2 * f->stride : 1;
    return place;
}
