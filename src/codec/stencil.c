/* stencil.c - mode W: quantises a chunk, trains 27 weights and a bucket table on it or takes a model's, codes residuals front by front.
 * In: dense values. Out: PARAM, RANS, RAW and OUTLIERS of a record; and back. Slices of a 4-D chunk follow each other.
 * SPDX-License-Identifier: Apache-2.0 */
#include "causal.h"
#include "stencil.h"

const int8_t swg__tap_offset[SWG__TAPS][3] = {
    {0, 0, -1},
    {-2, -1, 0}, {-2, 0, -1}, {-2, 0, 0}, {-2, 0, 1}, {-2, 1, 0},
    {-1, -2, 0}, {-1, -1, -1}, {-1, -1, 0}, {-1, -1, 1}, {-1, 0, -2}, {-1, 0, -1}, {-1, 0, 0}, {-1, 0, 1}, {-1, 0, 2},
    {-1, 1, -1}, {-1, 1, 0}, {-1, 1, 1}, {-1, 2, 0},
    {0, -2, -1}, {0, -2, 0}, {0, -2, 1}, {0, -1, -2}, {0, -1, -1}, {0, -1, 0}, {0, -1, 1}, {0, -1, 2}, {0, 0, -2},
};

enum { RUN_START = SWG__SAMPLE_START, BORDER = SWG__SAMPLE_BORDER };
enum { NO_SYMBOL = 0xFFFF }; /* context of a masked value */
enum { RING = 32, SAMPLE_RUN = 32 };
#define WIDE_LIMIT SWG__WIDE_LIMIT

static const char beyond[] = "level beyond 2^45";

/* Smallest i >= 0 with i * step >= v. */
static int64_t first_at_least(int64_t v, int64_t step) { return v <= 0 ? 0 : (v + step - 1) / step; }

/* Levels that span less are kept as int32: their differences fit, those to the first one stay below 2^29. */
#define SHORT_SPAN ((int64_t)1 << 29)

/* Points on their way to a prediction. x (words, stride): inputs of the network. */
typedef struct batch {
    int64_t *sums, *sizes, stride;
    uint32_t *x;
    int32_t *sum0, *sum1; /* what the network says */
    void *scratch;
    int32_t *residual;    /* of a row of at most CHOICES points, for three cases, and what goes with them */
    swg__choice_tables tables;
} batch;

enum { CHOICES = 256, GATHER = 96, SLACK = SWG__TAP_SLACK }; /* of arrays that vectors are written to */

/* Room for n points. SWG_ENOMEM. */
static swg_status batch_open(swg_context *ctx, const swg__stencil *model, int64_t n, batch *b) {
    const swg__causal *net = model->net;
    n += SLACK;
    int64_t stride = net ? swg__causal_stride(net, n) : 0, words = net ? (swg__causal_words(net) + 2) * stride : 0;
    const size_t choices = 3 * (CHOICES + SLACK) * (sizeof(int32_t) + sizeof(uint16_t) + 1);
    size_t bytes = 2 * (size_t)n * sizeof *b->sums + choices + (size_t)words * sizeof *b->x + (net ? swg__causal_scratch(net) : 0);
    *b = (batch){.sums = swg__calloc(ctx, bytes, 1), .stride = stride}; /* what lies behind the points is read, never used */
    if (!b->sums)
        return swg__fail_memory(ctx, bytes, "predictions");
    b->sizes = b->sums + n;
    b->residual = (int32_t *)(b->sizes + n);
    b->x = (uint32_t *)(void *)((char *)b->residual + choices);
    if (net) {
        b->sum0 = (int32_t *)(b->x + (words - 2 * stride));
        b->sum1 = b->sum0 + stride;
        b->scratch = b->sum1 + stride;
    }
    for (int i = 0; i < 64; i++) {
        for (int r = 0; r < 3; r++)
            b->tables.bucket[r][i] = model->bucket[i][r];
        b->tables.scale[0][i] = (uint16_t)swg__scale[i];
        b->tables.scale[1][i] = (uint16_t)(swg__scale[i] >> 16);
    }
    return SWG_OK;
}

/* Place 0 for the first point of a slice. */
static void no_neighbours(const swg__stencil *model, const batch *b) {
    b->sums[0] = 0;
    b->sizes[0] = 27;
    for (int64_t k = 0; model->net && k < swg__causal_words(model->net); k++)
        b->x[k * b->stride] = 0;
}

static void lay_features(const swg__stencil *model, const int64_t d[SWG__TAPS], const batch *b, int64_t i) {
    int8_t features[SWG__FEATURES];
    swg__causal_features(d, b->sizes[i], model->wide, features);
    swg__causal_lay(model->net, features, b->x + i, b->stride);
}

/* first: place 0 is the first point of a slice, of which the network says nothing. */
static void run_network(const swg__stencil *model, const batch *b, int64_t n, bool first) {
    if (!model->net)
        return;
    model->net->kernels->run(model->net, b->x, b->stride, n, b->scratch, b->sum0, b->sum1);
    if (first)
        b->sum0[0] = b->sum1[0] = 0;
}

/* Bucket and, in 1/16 levels, prediction (relative to the anchor) of place i, whose residual before is of class r. */
static int64_t predict_place(const swg__stencil *model, const batch *b, int64_t i, int r, int *bucket) {
    int64_t mu = (b->sums[i] + 256) >> 9;
    *bucket = model->bucket[swg__activity_class(b->sizes[i], model->wide)][r];
    return model->net ? mu + swg__causal_apply(b->sum0[i], b->sum1[i], model->wide, bucket) : mu;
}

static int residual_class(int64_t e) { return (e != 0) + ((uint64_t)e + 1 > 2); }

/* The points of one front of the decoder. */
typedef struct fronts {
    batch points;
    int64_t *guess; /* the anchor, then the whole prediction */
    int64_t *e;
    uint8_t *bucket, *before, *masked; /* before: class of the residual */
    int8_t *phase;
    int32_t *gathered;    /* (SWG__TAPS, GATHER + SLACK): taps of runs of points too short for the kernels' vectors, one behind the other */
} fronts;

/* Sums of the gathered points into places `from` .. `to` - 1. Returns whether a difference was out of range. */
static bool sum_gathered(const swg__chunk *chunk, const swg__stencil *model, const fronts *f, int64_t from, int64_t to) {
    const batch *b = &f->points;
    const int32_t *tap[SWG__TAPS];
    if (from == to)
        return false;
    for (int k = 0; k < SWG__TAPS; k++)
        tap[k] = f->gathered + k * (GATHER + SLACK);
    if (model->net)
        return model->net->kernels->features(tap, model->w, to - from, b->sums + from, b->sizes + from, b->x + from, b->stride);
    return chunk->kernels->stencil_narrow(tap, model->w, to - from, b->sums + from, b->sizes + from);
}

/* Masked points have no symbol and stay at their anchors, which e holds. Returns how many symbols are left. */
static int64_t leave_masked(const fronts *f, int64_t n) {
    int64_t symbols = 0;
    for (int64_t i = 0; i < n; i++) {
        if (f->masked[i]) {
            f->guess[i] = f->e[i];
            continue;
        }
        f->bucket[symbols] = f->bucket[i];
        f->phase[symbols++] = f->phase[i];
    }
    return symbols;
}

#define DIFFERENCE_SHORT(a, b) ((int64_t)(int32_t)((uint32_t)(a) - (uint32_t)(b)))
#define LEVEL int32_t
#define LEVEL_MOST (SHORT_SPAN - 1)
#define NAME(x) x##_short
#define FAST_CHOICES(model) (!(model)->wide)
#define GATHER_RUN(tap, n, f, at) chunk->kernels->stencil_gather(tap, n, f->gathered + at, GATHER + SLACK)
#define DIFFERENCE(a, b) DIFFERENCE_SHORT(a, b)
#define ROW_SUMS(tap, n, b, i, least, most, outside)                                                                              \
    do {                                                                                                                           \
        if (model->wide)                                                                                                           \
            chunk->kernels->stencil_middle(tap, model->w, n, b->sums + i, b->sizes + i);                                           \
        else if (model->net)                                                                                                       \
            outside |= model->net->kernels->features(tap, model->w, n, b->sums + i, b->sizes + i, b->x + i, b->stride);            \
        else                                                                                                                       \
            outside |= chunk->kernels->stencil_narrow(tap, model->w, n, b->sums + i, b->sizes + i);                                \
    } while (0)
#include "stencil.inc.h"
#undef LEVEL
#undef LEVEL_MOST
#undef NAME
#undef DIFFERENCE
#undef ROW_SUMS
#undef FAST_CHOICES
#undef GATHER_RUN

#define LEVEL int64_t
#define LEVEL_MOST ((int64_t)1 << 47)
#define NAME(x) x##_long
#define FAST_CHOICES(model) false
#define GATHER_RUN(tap, n, f, at) (void)(at) /* never */
#define DIFFERENCE(a, b) ((a) - (b))
#define ROW_SUMS(tap, n, b, i, least, most, outside) chunk->kernels->stencil_wide(tap, model->w, least, most, n, b->sums + i, b->sizes + i)
#include "stencil.inc.h"

/* ---- quantising into the padded field ---- */

/* The whole chunk as levels; one of the two fields has data. */
typedef struct levels {
    field_short brief;
    field_long full;
    int64_t slices, slice_step;    /* of a 4-D chunk; padded levels per slice */
    int64_t *first;                /* level of the first value of each slice */
    swg__row_extent extent;
    swg__outliers outliers;
} levels;

/* Levels of row values[0..n) one by one, with every rule. False: an integer does not fit the grid. */
static bool slow_row(const swg__chunk *chunk, int64_t position, int64_t n, int64_t substitute, int64_t *u, levels *out) {
    const swg__grid *grid = &chunk->grid;
    int64_t known = -1;
    for (int64_t x = 0; x < n; x++) {
        double error = 0;
        bool accepted = true;
        if (!swg__is_float(grid->type)) {
            if (!swg__integer_level(grid->type, chunk->values, position + x, grid->step > 0 ? (int64_t)grid->step : 1, &u[x]))
                return false;
            if (grid->step > 1) { /* at most half a step, so the difference modulo 2^64 is the true one; clamping only shrinks it */
                bool above;
                uint64_t value = (uint64_t)swg__integer_load(grid->type, chunk->values, position + x, &above);
                error = fabs((double)(int64_t)(value - (uint64_t)u[x] * (uint64_t)grid->step));
            }
        } else if (grid->step == 0) {
            u[x] = swg__key32(((const uint32_t *)chunk->values)[position + x]);
        } else {
            double value = swg__load_value(grid->type, chunk->values, position + x), t = (value - grid->base) / grid->step;
            accepted = fabs(t) <= grid->reach;
            u[x] = accepted ? (int64_t)rint(t) : 0;
            accepted = accepted && swg__level_find(grid, 0, 1, value, &u[x], &error);
        }
        if (accepted) {
            if (known < 0)
                for (int64_t before = 0; before < x; before++)
                    u[before] = u[x];
            known = x;
            out->extent.error = error > out->extent.error ? error : out->extent.error;
        } else {
            if (!(chunk->mask && chunk->mask[position + x]))
                swg__outlier_add(&out->outliers, position + x);
            u[x] = known < 0 ? substitute : u[known];
        }
    }
    for (int64_t x = 0; x < n; x++) {
        out->extent.lowest = (double)u[x] < out->extent.lowest ? (double)u[x] : out->extent.lowest;
        out->extent.highest = (double)u[x] > out->extent.highest ? (double)u[x] : out->extent.highest;
    }
    return true;
}

/* The fast pass over a row; false sends it to slow_row. */
static bool fast_row(const swg__chunk *chunk, int64_t position, int64_t n, bool full, void *u, swg__row_extent *extent) {
    const swg__codec_kernels *k = chunk->kernels;
    swg__row_extent row = *extent;
    bool ok = false;
    if (chunk->grid.step > 0 && chunk->grid.type == SWG_ELEMENT_F32) {
        const float *x = (const float *)chunk->values + position;
        ok = full ? k->quantise_f32_64(x, n, &chunk->grid, u, &row) : k->quantise_f32_32(x, n, &chunk->grid, u, &row);
    } else if (chunk->grid.step > 0 && chunk->grid.type == SWG_ELEMENT_F64) {
        const double *x = (const double *)chunk->values + position;
        ok = full ? k->quantise_f64_64(x, n, &chunk->grid, u, &row) : k->quantise_f64_32(x, n, &chunk->grid, u, &row);
    }
    if (ok)
        *extent = row;
    return ok;
}

/* Fills one of the two fields. *possible false: levels too far apart for it, or integers beyond the grid. */
static swg_status quantise(const swg__chunk *chunk, bool full, levels *out, bool *possible) {
    const int64_t nx = chunk->extent[3], rows = chunk->extent[1] * chunk->extent[2], stride = nx + 4;
    const size_t size = full ? sizeof(int64_t) : sizeof(int32_t);
    out->slice_step = rows * stride;
    int64_t *row_levels = swg__alloc(chunk->ctx, (size_t)nx * sizeof *row_levels), previous = 0;
    size_t bytes = (size_t)(out->slices * out->slice_step + SWG__TAP_SLACK) * size;
    char *data = swg__alloc(chunk->ctx, bytes);
    out->first = swg__alloc(chunk->ctx, (size_t)out->slices * sizeof *out->first);
    out->brief = (field_short){chunk->extent[1], chunk->extent[2], nx, stride, full ? NULL : (int32_t *)(void *)data, {0}};
    out->full = (field_long){chunk->extent[1], chunk->extent[2], nx, stride, full ? (int64_t *)(void *)data : NULL, {0}};
    for (int k = 0; k < SWG__TAPS; k++)
        out->brief.inner[k] = out->full.inner[k] = (swg__tap_offset[k][0] * chunk->extent[2] + swg__tap_offset[k][1]) * stride + swg__tap_offset[k][2];
    out->extent = (swg__row_extent){INFINITY, -INFINITY, 0};
    out->outliers = (swg__outliers){.ctx = chunk->ctx};
    *possible = row_levels && data && out->first;
    if (!*possible) {
        swg__free(chunk->ctx, row_levels);
        return swg__fail_memory(chunk->ctx, bytes, "levels");
    }
    memset(data + bytes - SWG__TAP_SLACK * size, 0, SWG__TAP_SLACK * size); /* read, never used */
    for (int64_t r = 0; *possible && r < out->slices * rows; r++) {
        int32_t *u32 = full ? NULL : out->brief.data + r * stride + 2;
        int64_t *u64 = full ? out->full.data + r * stride + 2 : NULL;
        if (!fast_row(chunk, r * nx, nx, full, full ? (void *)u64 : (void *)u32, &out->extent)) {
            *possible = slow_row(chunk, r * nx, nx, previous, row_levels, out);
            for (int64_t x = 0; *possible && x < nx; x++) {
                if (full)
                    u64[x] = row_levels[x];
                else
                    u32[x] = (int32_t)(uint32_t)row_levels[x];
            }
            previous = row_levels[nx - 1];
        }
        if (chunk->mask && full)
            mask_row_long(&out->full, u64, chunk->mask + r * nx, r % rows);
        else if (chunk->mask)
            mask_row_short(&out->brief, u32, chunk->mask + r * nx, r % rows);
        if (full) {
            u64[-2] = u64[-1] = u64[0];
            u64[nx] = u64[nx + 1] = u64[nx - 1];
        } else {
            u32[-2] = u32[-1] = u32[0];
            u32[nx] = u32[nx + 1] = u32[nx - 1];
        }
        *possible = *possible && out->extent.highest - out->extent.lowest < (full ? 0x1p46 : (double)SHORT_SPAN);
    }
    int64_t lowest = *possible ? (int64_t)out->extent.lowest : 0;
    for (int64_t s = 0; *possible && s < out->slices; s++) { /* the int32 are low words: the lowest level tells the rest */
        int64_t at = s * out->slice_step + 2;
        out->first[s] = full ? out->full.data[at] : lowest + (int64_t)((uint32_t)out->brief.data[at] - (uint32_t)lowest);
    }
    swg__free(chunk->ctx, row_levels);
    return SWG_OK;
}

static void levels_free(swg_context *ctx, levels *l) {
    swg__free(ctx, l->brief.data);
    swg__free(ctx, l->full.data);
    swg__free(ctx, l->first);
    swg__outliers_free(&l->outliers);
    *l = (levels){.slices = l->slices};
}

/* ---- training ---- */

void swg__training_close(swg_context *ctx, swg__training *t) {
    swg__free(ctx, t->point);
    swg__free(ctx, t->mark);
    swg__free(ctx, t->target);
    swg__free(ctx, t->d);
}

/* Room for `most` points. Returns SWG_ENOMEM; close in any case. */
static swg_status training_room(swg_context *ctx, int64_t most, swg__training *t) {
    t->d = swg__alloc(ctx, (size_t)most * (SWG__TAPS - 1) * sizeof *t->d);
    t->target = swg__alloc(ctx, (size_t)most * sizeof *t->target);
    t->mark = swg__alloc(ctx, (size_t)most);
    t->point = swg__alloc(ctx, (size_t)most * sizeof *t->point);
    return t->d && t->target && t->mark && t->point ? SWG_OK : swg__fail_memory(ctx, (size_t)most * SWG__TAPS * sizeof *t->d, "a training sample");
}

/* Samples the levels. Returns SWG_ENOMEM; close in any case. */
static swg_status training_open(const swg__chunk *chunk, const levels *l, int64_t most, swg__training *t) {
    most = chunk->count < most ? chunk->count : most;
    SWG__TRY(training_room(chunk->ctx, most, t));
    t->count = l->full.data ? sample_long(&l->full, chunk->mask, l->slices, l->slice_step, most, t->d, t->target, t->mark)
                            : sample_short(&l->brief, chunk->mask, l->slices, l->slice_step, most, t->d, t->target, t->mark);
    return SWG_OK;
}

bool swg__training_wide(const swg__training *t) {
    const int64_t count = t->count * (SWG__TAPS - 1);
    int64_t outside = 0; /* of the width of a double, so that the loop is done with vectors */
    for (int64_t i = 0; i < count; i++)
        outside |= (t->d[i] < -8192) | (t->d[i] > 8191);
    return outside != 0;
}

/* Buckets for the weights at hand; the estimated bytes of the whole chunk. */
static int64_t finish_training(const swg__chunk *chunk, const levels *l, swg__training *t, swg__stencil *model) {
    uint64_t cost = swg__stencil_buckets(chunk->kernels, t, chunk->count, model);
    return 60 + 3 * (model->c_max - model->c_min + 1) + l->outliers.count * 5 +
           (t->count ? (int64_t)((double)cost * (double)chunk->count / (double)t->count / 2048) : (chunk->count - chunk->masked) * 8);
}

/* ---- the parameters in the record ---- */

void swg__stencil_write(const swg__stencil *model, swg__text *out) {
    size_t start = out->length;
    for (int k = 1; k < SWG__TAPS; k++)
        swg__put16(out, (uint32_t)model->w[k] & 0xFFFF);
    swg__put16(out, 0);
    swg__put8(out, (unsigned)model->c_min);
    swg__put8(out, (unsigned)model->c_max);
    swg__put16(out, 0);
    for (int c = model->c_min; c <= model->c_max; c++)
        swg__put(out, model->bucket[c], 3);
    swg__put_padding(out, start);
}

const char *swg__stencil_read(swg__span param, bool wide, swg__stencil *model) {
    swg__cursor in = {.at = param.data, .end = param.data + param.bytes};
    *model = (swg__stencil){.wide = wide};
    int64_t sum = 0;
    for (int k = 1; k < SWG__TAPS; k++) {
        model->w[k] = (int16_t)swg__take16(&in);
        sum += model->w[k] < 0 ? -model->w[k] : model->w[k];
    }
    (void)swg__take16(&in);
    model->c_min = (int)swg__take8(&in);
    model->c_max = (int)swg__take8(&in);
    (void)swg__take16(&in);
    if (in.bad || model->c_min > model->c_max || model->c_max > 127)
        return "stencil parameters are too short or their classes impossible";
    if (sum > 262143)
        return "stencil weights are too large";
    for (int c = model->c_min; c <= model->c_max; c++)
        for (int r = 0; r < 3; r++) {
            uint32_t bucket = swg__take8(&in);
            if (bucket > 127)
                return "bucket above 127";
            model->bucket[c][r] = (uint8_t)bucket;
        }
    if (in.bad || swg__left(&in) > 3)
        return "stencil parameters have the wrong length";
    swg__stencil_spread(model);
    return NULL;
}

/* ---- encoder ---- */

/* local: the weights are the chunk's own. */
static swg_status write_record(const swg__chunk *chunk, levels *l, const swg__stencil *model, bool local, swg__symbols *symbols,
                               swg__draft *draft) {
    if (local)
        swg__stencil_write(model, &draft->stream[SWG__PARAM]);
    swg__record_head *head = &draft->head;
    head->mode = SWG__MODE_W;
    head->submode = model->net != NULL;
    head->flags = (uint16_t)((local ? SWG__FLAG_LOCAL : 0) | (model->wide ? SWG__FLAG_WIDE : 0));
    head->max_ratio = chunk->grid.step > 0 ? swg__ratio_up(l->extent.error, chunk->grid.eb) : 0;
    swg__bits_finish(&symbols->bits);
    SWG__TRY(swg__outliers_write(&l->outliers, chunk, draft));
    return swg__symbols_write(chunk, symbols, (int64_t)(symbols->raw.length + draft->stream[SWG__PARAM].length), draft);
}

/* Where the symbols of each front begin. at: (most + 1), most: how many there are. */
static void lay_fronts(const field_short *f, int64_t most, uint32_t *at) {
    memset(at, 0, (size_t)(most + 1) * sizeof *at);
    for (int64_t z = 0; z < f->nz; z++)
        for (int64_t y = 0; y < f->ny; y++) { /* a row takes part in nx fronts */
            at[7 * z + 3 * y]++;
            if (7 * z + 3 * y + f->nx <= most)
                at[7 * z + 3 * y + f->nx]--;
        }
    uint32_t rows = 0, sum = 0;
    for (int64_t t = 0; t < most; t++) {
        rows += at[t];
        at[t] = sum;
        sum += rows;
    }
}

/* What a symbol leaves to raw bits, in lists by front. */
enum { LIST_END = (1 << 25) - 1, ESCAPED = 64 };
typedef struct leftover {
    int32_t value;
    uint32_t next : 25, low_bits : 7; /* and ESCAPED */
} leftover;

/* Work of code_short. at, head, tail: (fronts); rest: (slice); own: (2, nx + 2 + SWG__TAP_SLACK). */
typedef struct front_work {
    uint32_t *at, *head, *tail, count;
    leftover *rest;
    int32_t *own;
} front_work;

static void put_leftover(bool escape, int64_t value, int low_bits, swg__symbols *out) {
    const int64_t shifted = value + ((int64_t)1 << low_bits >> 1);
    if (escape)
        swg__symbols_escape(out, shifted >> low_bits);
    if (low_bits)
        swg__bits_put(&out->bits, (uint64_t)shifted & (((uint64_t)1 << low_bits) - 1), low_bits);
}

/* Appends to the list of a front. */
static void add_leftover(front_work *w, int64_t front, bool escape, int32_t value, int low_bits) {
    w->rest[w->count] = (leftover){value, LIST_END, (uint32_t)(low_bits | (escape ? ESCAPED : 0)) & 127};
    if (w->head[front] == LIST_END)
        w->head[front] = w->count;
    else
        w->rest[w->tail[front]].next = w->count & LIST_END;
    w->tail[front] = w->count++;
}

/* Taps of a whole row, its first point included, which has neither of the two in its own row: these come from `own`. False: the row is near
 * a border, where more taps are stand-ins. */
static bool whole_row(const field_short *f, int64_t z, int64_t y, int32_t *own, const int32_t *tap[SWG__TAPS]) {
    if (z < 2 || y < 2 || y + 2 >= f->ny)
        return false;
    const int32_t *row = row_short(f, z, y), anchor = row_short(f, z, y - 1)[0];
    int32_t *before = own + f->nx + SWG__TAP_SLACK;
    taps_short(f, z, y, false, tap);
    memcpy(own + 1, row, (size_t)(f->nx - 1) * sizeof *own);
    memcpy(before + 1, row - 1, (size_t)(f->nx - 1) * sizeof *before);
    own[0] = before[0] = anchor;
    tap[0] = own;
    tap[SWG__TAPS - 1] = before;
    return true;
}

/* Symbols of a slice without a mask under a model that is not wide and has no network, right where the wavefront has them: rows come in the
 * order in which a front has them. Returns whether a difference was out of range. */
static bool code_short(const swg__chunk *chunk, const field_short *f, const swg__stencil *model, int64_t first, const batch *b, front_work *w, swg__symbols *out) {
    enum { RAW = 32 * 252 };     /* from here on symbols leave low bits */
    const int64_t slice = f->nz * f->ny * f->nx, all = f->nx + 3 * (f->ny - 1) + 7 * (f->nz - 1);
    uint32_t table[192];
    uint16_t *symbol = out->code + out->count, *code = (uint16_t *)(void *)b->sums; /* the room of a row's sums */
    uint8_t *low = (uint8_t *)(code + f->nx);
    int32_t *value = (int32_t *)(void *)b->sizes;
    bool outside = false;
    for (int i = 0; i < 192; i++)
        table[i] = swg__bucket_code(model->bucket[i / 3][i % 3]);
    lay_fronts(f, all, w->at);
    for (int64_t t = 0; t < all; t++)
        w->head[t] = LIST_END;
    w->count = 0;
    for (int64_t z = 0; z < f->nz; z++)
        for (int64_t y = 0; y < f->ny; y++) {
            const int32_t *tap[SWG__TAPS], *row = row_short(f, z, y);
            if (whole_row(f, z, y, w->own, tap)) {
                outside |= chunk->kernels->stencil_codes(tap, model->w, row, f->nx, table, 2, code, value, low);
            } else {
                int64_t sum = 0, size = 27, h;
                int32_t anchor = 0;
                if (taps_short(f, z, y, true, tap)) {
                    point_short(tap, 0, model, b, 0, &outside);
                    sum = b->sums[0];
                    size = b->sizes[0];
                    anchor = tap[0][0];
                }
                const int64_t mu = (sum + 256) >> 9, half = (mu + 8) >> 4, phase = mu - 16 * half;
                const int64_t e = z || y ? DIFFERENCE_SHORT(row[0], anchor) - half : first;
                const uint32_t t = table[3 * swg__activity_class(size, false) + 2];
                code[0] = (uint16_t)swg__residual_code(t, (int)phase, e, &h);
                low[0] = (uint8_t)(t >> 16);
                value[0] = (int32_t)(low[0] ? e : h);
                if (f->nx > 1) {
                    taps_short(f, z, y, false, tap);
                    for (int k = 0; k < SWG__TAPS; k++)
                        tap[k]++;
                    outside |= chunk->kernels->stencil_codes(tap, model->w, row + 1, f->nx - 1, table, residual_class(e), code + 1, value + 1, low + 1);
                }
            }
            const int64_t t = 7 * z + 3 * y;
            for (int64_t x = 0; x < f->nx; x++) {
                symbol[w->at[t + x]++] = code[x];
                if ((code[x] & 31) == SWG__ESCAPE || code[x] >= RAW)
                    add_leftover(w, t + x, (code[x] & 31) == SWG__ESCAPE, value[x], low[x]);
            }
        }
    out->count += slice;
    for (int64_t t = 0; t < all; t++)
        for (uint32_t i = w->head[t]; i != LIST_END; i = w->rest[i].next)
            put_leftover(w->rest[i].low_bits & ESCAPED, t ? w->rest[i].value : first, w->rest[i].low_bits & (ESCAPED - 1), out);
    return outside;
}

/* Whether in most contexts residuals are so large that they have low bits: then symbol by symbol is faster. */
static bool mostly_raw(const swg__stencil *model) {
    int raw = 0;
    for (int c = model->c_min; c <= model->c_max; c++)
        for (int r = 0; r < 3; r++)
            raw += model->bucket[c][r] >= 28;
    return 2 * raw > 3 * (model->c_max - model->c_min + 1);
}

/* Predicts and codes everything. *outside: a difference saturated although the model is not wide; nothing is coded then. */
static swg_status code_levels(const swg__chunk *chunk, levels *l, const swg__stencil *model, bool local, swg__draft *draft, bool *outside) {
    const int64_t slice = chunk->count / l->slices, nx = chunk->extent[3];
    const int64_t most = nx + 3 * (chunk->extent[2] - 1) + 7 * (chunk->extent[1] - 1);
    const size_t size = l->full.data ? sizeof(int64_t) : sizeof(int32_t);
    const bool brief = !l->full.data && !model->wide && !chunk->mask && !model->net && !mostly_raw(model);
    swg__symbols symbols;
    swg_status status = swg__symbols_open(&symbols, chunk->ctx, chunk->count);
    void *e = swg__alloc(chunk->ctx, (size_t)slice * (brief ? sizeof(leftover) : size));
    batch b = {0};
    const int64_t own = 2 * (nx + SWG__TAP_SLACK);
    uint16_t *context = swg__alloc(chunk->ctx, (size_t)(brief ? 2 * (3 * (most + 1) + own) : slice) * sizeof *context);
    uint32_t *at = (uint32_t *)(void *)context;
    if (status == SWG_OK)
        status = batch_open(chunk->ctx, model, nx, &b);
    if (status == SWG_OK && !(e && context))
        status = swg__fail_memory(chunk->ctx, (size_t)slice * size, "residuals");
    *outside = false;
    for (int64_t s = 0; status == SWG_OK && !*outside && s < l->slices; s++) {
        const uint8_t *mask = chunk->mask ? chunk->mask + s * slice : NULL;
        field_long f = l->full;
        field_short g = l->brief;
        if (l->full.data) {
            f.data += s * l->slice_step;
            (void)predict_long(chunk, &f, model, mask, l->first[s], &b, e, context);
            emit_long(&f, e, context, l->first[s], &symbols);
            continue;
        }
        g.data += s * l->slice_step;
        if (brief) {
            front_work work = {.at = at, .head = at + (most + 1), .tail = at + 2 * (most + 1), .own = (int32_t *)at + 3 * (most + 1), .rest = e};
            *outside = code_short(chunk, &g, model, l->first[s], &b, &work, &symbols);
        } else {
            *outside = predict_short(chunk, &g, model, mask, l->first[s], &b, e, context) && !model->wide;
            if (!*outside)
                emit_short(&g, e, context, l->first[s], &symbols);
        }
    }
    if (status == SWG_OK && !*outside)
        status = write_record(chunk, l, model, local, &symbols, draft);
    swg__free(chunk->ctx, context);
    swg__free(chunk->ctx, b.sums);
    swg__free(chunk->ctx, e);
    swg__symbols_close(&symbols);
    return status;
}

/* Estimated bytes of the coded chunk, from 1/16 of its rows. */
static swg_status estimate(const swg__chunk *chunk, const levels *l, const swg__stencil *model, int64_t *bytes) {
    const int64_t nx = chunk->extent[3], rows = chunk->count / nx, wanted = rows / 16 + 16, step = rows > wanted ? rows / wanted : 1;
    batch b;
    uint64_t cost = 0;
    int64_t values = 0;
    SWG__TRY(batch_open(chunk->ctx, model, nx, &b));
    void *e = swg__alloc(chunk->ctx, (size_t)nx * (sizeof(int64_t) + sizeof(uint16_t)));
    for (int64_t s = 0; e && s < l->slices; s++) {
        const uint8_t *mask = chunk->mask ? chunk->mask + s * (chunk->count / l->slices) : NULL;
        field_short brief = l->brief;
        field_long full = l->full;
        uint16_t *context = (uint16_t *)((int64_t *)e + nx);
        if (full.data)
            full.data += s * l->slice_step;
        else
            brief.data += s * l->slice_step;
        cost += full.data ? sample_cost_long(chunk, &full, model, mask, l->first[s], step, &b, e, context, &values)
                          : sample_cost_short(chunk, &brief, model, mask, l->first[s], step, &b, e, context, &values);
    }
    *bytes = values ? (int64_t)((double)cost * (double)chunk->count / (double)values / 2048) + l->outliers.count * 5 : INT64_MAX;
    swg__free(chunk->ctx, b.sums);
    swg__free(chunk->ctx, e);
    return e ? SWG_OK : swg__fail_memory(chunk->ctx, (size_t)nx * 10, "residuals");
}

/* All levels of a chunk. *possible false: too large. Free them in any case. */
static swg_status open_levels(const swg__chunk *chunk, levels *l, bool *possible) {
    swg_status status = SWG_OK;
    *possible = false;
    *l = (levels){.slices = chunk->extent[0]};
    if (chunk->grid.step == 0 && chunk->grid.type == SWG_ELEMENT_F64)
        return SWG_OK;
    for (int full = 0; full < 2 && status == SWG_OK && !*possible; full++) {
        levels_free(chunk->ctx, l);
        status = quantise(chunk, full, l, possible);
    }
    return status;
}

static bool one_level(const levels *l) { return l->extent.lowest == l->extent.highest && !l->outliers.count; }

struct swg__stencil_plan {
    const swg__chunk *chunk;
    levels levels;
    swg__training training;
    swg__stencil model;
    bool possible;
};

void swg__stencil_plan_close(swg__stencil_plan *p) {
    if (!p)
        return;
    swg__training_close(p->chunk->ctx, &p->training);
    levels_free(p->chunk->ctx, &p->levels);
    swg__free(p->chunk->ctx, p);
}

/* The chunk's levels, unless they are there already. */
static swg_status plan_levels(const swg__chunk *chunk, swg__stencil_plan **plan) {
    if (*plan)
        return SWG_OK;
    *plan = swg__calloc(chunk->ctx, 1, sizeof **plan);
    if (!*plan)
        return swg__fail_memory(chunk->ctx, sizeof **plan, "a stencil");
    (*plan)->chunk = chunk;
    return open_levels(chunk, &(*plan)->levels, &(*plan)->possible);
}

static swg_status prepare(swg__stencil_plan *p, int64_t samples, int64_t *bytes) {
    const swg__chunk *chunk = p->chunk;
    levels *l = &p->levels;
    if (!p->possible)
        return SWG_OK;
    if (one_level(l)) {
        *bytes = 64;
        return SWG_OK;
    }
    p->model.wide = l->full.data != NULL;
    SWG__TRY(training_open(chunk, l, samples, &p->training));
    SWG__TRY(swg__stencil_weights(chunk->ctx, chunk->kernels, &p->training, p->model.w));
    p->model.wide = p->model.wide || (l->extent.highest - l->extent.lowest > 8191 && swg__training_wide(&p->training));
    *bytes = finish_training(chunk, l, &p->training, &p->model);
    return SWG_OK;
}

swg_status swg__stencil_plan_open(const swg__chunk *chunk, int64_t samples, swg__stencil_plan **plan, int64_t *bytes) {
    *bytes = INT64_MAX;
    *plan = NULL;
    SWG__TRY(plan_levels(chunk, plan));
    return prepare(*plan, samples, bytes);
}

swg_status swg__stencil_plan_code(swg__stencil_plan *p, swg__draft *draft, bool *coded) {
    const swg__chunk *chunk = p->chunk;
    levels *l = &p->levels;
    bool outside = true;
    *coded = false;
    if (!p->possible)
        return SWG_OK;
    if (one_level(l)) {
        swg__put64(&draft->stream[SWG__PARAM], (uint64_t)(int64_t)l->extent.lowest);
        draft->head.mode = SWG__MODE_C;
        draft->head.submode = 1;
        draft->head.max_ratio = chunk->grid.step > 0 ? swg__ratio_up(l->extent.error, chunk->grid.eb) : 0;
        *coded = true;
        return SWG_OK;
    }
    SWG__TRY(code_levels(chunk, l, &p->model, true, draft, &outside));
    if (outside) { /* the sample missed a large difference: once more */
        p->model.wide = true;
        (void)finish_training(chunk, l, &p->training, &p->model);
        SWG__TRY(code_levels(chunk, l, &p->model, true, draft, &outside));
    }
    *coded = true;
    return SWG_OK;
}

swg_status swg__stencil_encode(const swg__chunk *chunk, int64_t limit, swg__draft *draft, bool *coded) {
    swg__stencil_plan *plan;
    int64_t bytes;
    *coded = false;
    swg_status status = swg__stencil_plan_open(chunk, SWG__STENCIL_SAMPLES, &plan, &bytes);
    if (status == SWG_OK && plan && bytes <= limit)
        status = swg__stencil_plan_code(plan, draft, coded);
    swg__stencil_plan_close(plan);
    return status;
}

/* ---- with a trained model ---- */

swg_status swg__training_open(const swg__chunk *chunk, int64_t most, swg__training *t) {
    levels l;
    bool possible;
    swg_status status = open_levels(chunk, &l, &possible);
    *t = (swg__training){0};
    if (status == SWG_OK && possible && !one_level(&l))
        status = training_open(chunk, &l, most, t);
    levels_free(chunk->ctx, &l);
    return status;
}

swg_status swg__stencil_rows(const swg__chunk *chunk, int64_t first, int64_t step, swg__row_fn fn, void *user) {
    const int64_t length = chunk->extent[3], rows = chunk->count / length;
    levels l;
    bool possible;
    swg_status status = open_levels(chunk, &l, &possible);
    swg__training t = {.count = length};
    if (status == SWG_OK && possible)
        status = training_room(chunk->ctx, length, &t);
    for (int64_t r = first; status == SWG_OK && possible && r < rows; r += step) {
        if (l.full.data)
            sample_row_long(&l.full, chunk->mask, l.slice_step, r, 0, length, t.d, t.target, t.mark);
        else
            sample_row_short(&l.brief, chunk->mask, l.slice_step, r, 0, length, t.d, t.target, t.mark);
        status = fn(user, r, &t);
    }
    swg__training_close(chunk->ctx, &t);
    levels_free(chunk->ctx, &l);
    return status;
}

swg_status swg__stencil_estimate_trained(const swg__chunk *chunk, const swg__stencil *trained, swg__stencil_plan **plan, int64_t *bytes) {
    swg__stencil model = *trained;
    *bytes = INT64_MAX;
    SWG__TRY(plan_levels(chunk, plan));
    model.wide = (*plan)->levels.full.data != NULL;
    return (*plan)->possible ? estimate(chunk, &(*plan)->levels, &model, bytes) : SWG_OK;
}

swg_status swg__stencil_encode_trained(const swg__chunk *chunk, const swg__stencil *trained, swg__stencil_plan **plan, swg__draft *draft, bool *coded) {
    swg__stencil model = *trained;
    bool outside = true;
    *coded = false;
    SWG__TRY(plan_levels(chunk, plan));
    model.wide = (*plan)->levels.full.data != NULL;
    for (int tries = 0; tries < 2 && outside && (*plan)->possible; tries++) {
        SWG__TRY(code_levels(chunk, &(*plan)->levels, &model, false, draft, &outside));
        model.wide = true;
    }
    *coded = !outside;
    return SWG_OK;
}

/* ---- decoder ---- */

/* Points of a front, at most: those of a plane are 3 apart along x, planes are 7 apart. */
static int64_t most_points(int64_t nz, int64_t ny, int64_t nx) {
    int64_t rows = (nx - 1) / 3 + 1, planes = (nx - 1 + 3 * (ny - 1)) / 7 + 1;
    return (rows < ny ? rows : ny) * (planes < nz ? planes : nz);
}

/* Planes kept, a power of two less one: when plane z + planes begins, plane z + 2, the last to look at z, has ended. */
static int64_t planes_kept(int64_t nz, int64_t ny, int64_t nx) {
    const int64_t busy = (nx - 1 + 3 * (ny - 1)) / 7 + 3;
    int64_t planes = 1;
    while (planes < busy && planes < nz)
        planes *= 2;
    return planes - 1;
}

/* All slices with levels of one width. Stores the values slice by slice. */
static const char *decode_width(const swg__chunk *chunk, const swg__record *record, const swg__stencil *model, bool full) {
    const int64_t nz = chunk->extent[1], ny = chunk->extent[2], nx = chunk->extent[3], slice = nz * ny * nx;
    const size_t size = full ? sizeof(int64_t) : sizeof(int32_t), rows = (size_t)(nz * ny), front = (size_t)most_points(nz, ny, nx);
    swg__rans in;
    const swg__span *stream = record->stream;
    const char *why = swg__rans_open(&in, record->head.lanes_log2, stream[SWG__RANS].data, stream[SWG__RANS].bytes, stream[SWG__RAW].data,
                                     stream[SWG__RAW].bytes);
    if (why)
        return why;
    const int64_t turn = planes_kept(nz, ny, nx);
    void *cells = swg__calloc(chunk->ctx, (size_t)(turn < nz ? turn + 1 : nz) * RING * (size_t)(ny + 4) + SWG__TAP_SLACK, size);
    void *u = swg__alloc(chunk->ctx, (size_t)slice * size);
    const size_t room = front + SLACK;
    int64_t *guess = swg__calloc(chunk->ctx, 2 * room, sizeof *guess), *row = swg__alloc(chunk->ctx, (size_t)nx * sizeof *row);
    uint8_t *bytes = swg__calloc(chunk->ctx, 4 * room + rows, 1);
    int32_t *gathered = swg__calloc(chunk->ctx, SWG__TAPS * (GATHER + SLACK), sizeof *gathered);
    fronts at = {.gathered = gathered, .guess = guess, .e = guess + room, .bucket = bytes, .before = bytes + room, .masked = bytes + 2 * room,
                 .phase = (int8_t *)bytes + 3 * room};
    rings_short brief = {.nz = nz, .ny = ny, .nx = nx, .width = ny + 4, .turn = turn, .data = full ? NULL : cells};
    rings_long whole = {.nz = nz, .ny = ny, .nx = nx, .width = ny + 4, .turn = turn, .data = full ? cells : NULL};
    bool opened = batch_open(chunk->ctx, model, (int64_t)front, &at.points) == SWG_OK;
    why = cells && u && opened && guess && gathered && bytes && row ? NULL : swg__why_memory;
    offsets_short(&brief);
    offsets_long(&whole);
    for (int64_t s = 0; !why && s < chunk->extent[0]; s++) {
        const uint8_t *mask = chunk->mask ? chunk->mask + s * slice : NULL;
        int64_t first = 0;
        why = full ? decode_slice_long(chunk, &whole, model, mask, &in, &at, bytes + 4 * room, u, &first)
                   : decode_slice_short(chunk, &brief, model, mask, &in, &at, bytes + 4 * room, u, &first);
        for (int64_t from = 0; !why && from < slice; from += nx) {
            for (int64_t x = 0; x < nx; x++)
                row[x] = first + (full ? ((const int64_t *)u)[from + x] : ((const int32_t *)u)[from + x]);
            why = swg__levels_store(chunk, 0, row, s * slice + from, nx);
        }
    }
    if (!why)
        why = swg__rans_finish(&in);
    swg__free(chunk->ctx, bytes);
    swg__free(chunk->ctx, row);
    swg__free(chunk->ctx, at.points.sums);
    swg__free(chunk->ctx, guess);
    swg__free(chunk->ctx, gathered);
    swg__free(chunk->ctx, u);
    swg__free(chunk->ctx, cells);
    return why;
}

const char *swg__stencil_decode(const swg__chunk *chunk, const swg__stencil *trained, const swg__record *record) {
    const bool local = record->head.flags & SWG__FLAG_LOCAL;
    swg__stencil model;
    if (!local && !trained)
        return "weights are neither in the record nor in a model";
    if (!record->stream[SWG__RANS].data || local != (record->stream[SWG__PARAM].data != NULL))
        return "stencil parameters or symbols are missing";
    if (chunk->grid.type == SWG_ELEMENT_F64 && chunk->grid.step == 0)
        return "lossless f64 cannot be in mode W";
    const char *why = NULL;
    if (local)
        why = swg__stencil_read(record->stream[SWG__PARAM], false, &model);
    else
        model = *trained;
    model.wide = record->head.flags & SWG__FLAG_WIDE;
    if (!why && (record->head.submode == 1) != (model.net != NULL))
        return "chunk and model disagree about a network";
    if (!why)
        why = decode_width(chunk, record, &model, false);
    return why == beyond ? decode_width(chunk, record, &model, true) : why;
}
