/* stencil.c - mode W-LS: quantises a chunk, trains 27 weights and a bucket table on it, codes residuals front by front.
 * In: dense values. Out: PARAM, RANS, RAW and OUTLIERS of a record; and back. Slices of a 4-D chunk follow each other.
 * SPDX-License-Identifier: Apache-2.0 */
#include "stencil.h"

const int8_t swg__tap_offset[SWG__TAPS][3] = {
    {0, 0, -1},
    {-2, -1, 0}, {-2, 0, -1}, {-2, 0, 0}, {-2, 0, 1}, {-2, 1, 0},
    {-1, -2, 0}, {-1, -1, -1}, {-1, -1, 0}, {-1, -1, 1}, {-1, 0, -2}, {-1, 0, -1}, {-1, 0, 0}, {-1, 0, 1}, {-1, 0, 2},
    {-1, 1, -1}, {-1, 1, 0}, {-1, 1, 1}, {-1, 2, 0},
    {0, -2, -1}, {0, -2, 0}, {0, -2, 1}, {0, -1, -2}, {0, -1, -1}, {0, -1, 0}, {0, -1, 1}, {0, -1, 2}, {0, 0, -2},
};

enum { RING = 32, SAMPLE_RUN = 32, SAMPLES = 6144 };
#define WIDE_LIMIT ((int64_t)1 << 30)

static const char beyond[] = "level beyond 2^45";

/* Smallest i >= 0 with i * step >= v. */
static int64_t first_at_least(int64_t v, int64_t step) { return v <= 0 ? 0 : (v + step - 1) / step; }

#define LEVEL int32_t
#define LEVEL_MOST INT32_MAX
#define NAME(x) x##_narrow
#define DIFFERENCE(a, b) ((int64_t)(int32_t)((uint32_t)(a) - (uint32_t)(b)))
#define WRAPPED_SUM(a, b) ((int32_t)((uint32_t)(a) + (uint32_t)(b)))
#define ROW_SUMS(tap, n, sums, sizes, least, most, outside) outside |= chunk->kernels->stencil_narrow(tap, model->w, n, sums, sizes)
#include "stencil.inc.h"
#undef LEVEL
#undef LEVEL_MOST
#undef NAME
#undef DIFFERENCE
#undef WRAPPED_SUM
#undef ROW_SUMS

#define LEVEL int64_t
#define LEVEL_MOST ((int64_t)1 << 47)
#define NAME(x) x##_wide
#define DIFFERENCE(a, b) ((a) - (b))
#define WRAPPED_SUM(a, b) ((a) + (b))
#define ROW_SUMS(tap, n, sums, sizes, least, most, outside) chunk->kernels->stencil_wide(tap, model->w, least, most, n, sums, sizes)
#include "stencil.inc.h"

/* ---- quantising into the padded field ---- */

/* The whole chunk as levels; one of the two fields has data. */
typedef struct levels {
    field_narrow narrow;
    field_wide wide;
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
static bool fast_row(const swg__chunk *chunk, int64_t position, int64_t n, bool wide, void *u, swg__row_extent *extent) {
    const swg__codec_kernels *k = chunk->kernels;
    swg__row_extent row = *extent;
    bool ok = false;
    if (chunk->grid.step > 0 && chunk->grid.type == SWG_ELEMENT_F32) {
        const float *x = (const float *)chunk->values + position;
        ok = wide ? k->quantise_f32_64(x, n, &chunk->grid, u, &row) : k->quantise_f32_32(x, n, &chunk->grid, u, &row);
    } else if (chunk->grid.step > 0 && chunk->grid.type == SWG_ELEMENT_F64) {
        const double *x = (const double *)chunk->values + position;
        ok = wide ? k->quantise_f64_64(x, n, &chunk->grid, u, &row) : k->quantise_f64_32(x, n, &chunk->grid, u, &row);
    }
    if (ok)
        *extent = row;
    return ok;
}

/* Fills the field. *possible false: values this mode cannot hold. */
static swg_status quantise(const swg__chunk *chunk, bool wide, levels *out, bool *possible) {
    const int64_t nx = chunk->extent[3], rows = chunk->extent[1] * chunk->extent[2], stride = nx + 4;
    out->slice_step = rows * stride;
    int64_t *row_levels = swg__alloc(chunk->ctx, (size_t)nx * sizeof *row_levels), previous = 0;
    size_t bytes = (size_t)(out->slices * out->slice_step) * (wide ? 8 : 4);
    void *data = swg__alloc(chunk->ctx, bytes);
    out->first = swg__alloc(chunk->ctx, (size_t)out->slices * sizeof *out->first);
    out->narrow = (field_narrow){chunk->extent[1], chunk->extent[2], nx, stride, wide ? NULL : data};
    out->wide = (field_wide){chunk->extent[1], chunk->extent[2], nx, stride, wide ? data : NULL};
    out->extent = (swg__row_extent){INFINITY, -INFINITY, 0};
    out->outliers = (swg__outliers){.ctx = chunk->ctx};
    *possible = row_levels && data && out->first;
    swg_status status = *possible ? SWG_OK : swg__fail_memory(chunk->ctx, bytes, "levels");
    for (int64_t r = 0; *possible && r < out->slices * rows; r++) {
        int32_t *narrow = wide ? NULL : out->narrow.data + r * stride + 2;
        int64_t *full = wide ? out->wide.data + r * stride + 2 : NULL;
        if (!fast_row(chunk, r * nx, nx, wide, wide ? (void *)full : (void *)narrow, &out->extent)) {
            *possible = slow_row(chunk, r * nx, nx, previous, row_levels, out);
            for (int64_t x = 0; *possible && x < nx; x++) {
                if (wide)
                    full[x] = row_levels[x];
                else
                    narrow[x] = (int32_t)(uint32_t)row_levels[x];
            }
            previous = row_levels[nx - 1];
        }
        if (wide) {
            full[-2] = full[-1] = full[0];
            full[nx] = full[nx + 1] = full[nx - 1];
        } else {
            narrow[-2] = narrow[-1] = narrow[0];
            narrow[nx] = narrow[nx + 1] = narrow[nx - 1];
        }
    }
    *possible = *possible && out->extent.highest - out->extent.lowest < (wide ? 0x1p46 : 0x1p30);
    int64_t lowest = *possible ? (int64_t)out->extent.lowest : 0;
    for (int64_t s = 0; *possible && s < out->slices; s++) {
        int64_t at = s * out->slice_step + 2;
        out->first[s] = wide ? out->wide.data[at] : lowest + (int64_t)((uint32_t)out->narrow.data[at] - (uint32_t)lowest);
    }
    swg__free(chunk->ctx, row_levels);
    return status;
}

static void levels_free(swg_context *ctx, levels *l) {
    swg__free(ctx, l->narrow.data);
    swg__free(ctx, l->wide.data);
    swg__free(ctx, l->first);
    swg__outliers_free(&l->outliers);
    *l = (levels){.slices = l->slices};
}

/* ---- training ---- */

/* Cost-optimal buckets per activity class and class of the residual before; returns the sample's code length in 1/256 bit. */
static uint64_t train_buckets(const double *d, const double *target, const uint8_t *run_start, int64_t count, int64_t total,
                              swg__stencil *model) {
    enum { AROUND = 3, TRIES = 2 * AROUND + 1 };
    const int most = model->wide ? SWG__WIDE_BUCKETS - 1 : SWG__BUCKETS - 1;
    const double least = model->wide ? -(double)WIDE_LIMIT : -8192, top = model->wide ? (double)WIDE_LIMIT : 8191;
    double sum[128][3] = {0};
    int32_t seen[128][3] = {0};
    int start[128][3];
    uint64_t cost[128][3][TRIES] = {0}, all = 0;
    model->c_min = 127;
    model->c_max = 0;
    for (int pass = 0; pass < 2; pass++) { /* mean magnitudes give a first bucket, its neighbours are then priced */
        int before = 2;
        for (int64_t i = 0; i < count; i++) {
            int64_t acc = 0, size = 0;
            for (int k = 0; k < SWG__TAPS - 1; k++) {
                double v = d[i * (SWG__TAPS - 1) + k];
                int64_t part = (int64_t)(v < least ? least : v > top ? top : v);
                acc += model->w[k + 1] * part;
                size += part < 0 ? -part : part;
            }
            int64_t mu = (acc + 256) >> 9, half = (mu + 8) >> 4, e = (int64_t)target[i] - half;
            int phase = (int)(mu - 16 * half), c = swg__activity_class(4 * size + 27, model->wide);
            before = run_start[i] ? 2 : before;
            if (pass == 0) {
                sum[c][before] += fabs((double)e - phase / 16.0);
                seen[c][before]++;
                model->c_min = c < model->c_min ? c : model->c_min;
                model->c_max = c > model->c_max ? c : model->c_max;
            } else {
                for (int j = 0; j < TRIES; j++) {
                    int b = start[c][before] + j - AROUND;
                    cost[c][before][j] += swg__residual_cost(b < 0 ? 0 : b > most ? most : b, phase, e);
                }
            }
            before = e == 0 ? 0 : e == 1 || e == -1 ? 1 : 2;
        }
        if (pass == 0) {
            if (count == 0)
                model->c_min = 0;
            else if (total > 32 * count) /* rare classes the sample missed; a class is a quarter octave, like a bucket */
                model->c_max = model->c_max + 8 < (model->wide ? 127 : 63) ? model->c_max + 8 : model->wide ? 127 : 63;
            for (int c = model->c_min; c <= model->c_max; c++)
                for (int r = 0; r < 3; r++) {
                    int below = c > model->c_min ? start[c - 1][r] + 1 : r ? start[c][r - 1] : 4;
                    start[c][r] = seen[c][r] ? swg__bucket_for(sum[c][r] / seen[c][r], most) : below < most ? below : most;
                }
        }
    }
    for (int c = model->c_min; c <= model->c_max; c++)
        for (int r = 0; r < 3; r++) {
            int best = AROUND;
            for (int j = 0; j < TRIES; j++)
                best = cost[c][r][j] < cost[c][r][best] ? j : best;
            int b = start[c][r] + best - AROUND;
            model->bucket[c][r] = (uint8_t)(b < 0 ? 0 : b > most ? most : b);
            all += cost[c][r][best];
        }
    return all;
}

/* Classes beyond the stored ones use the nearest end. */
static void spread_buckets(swg__stencil *model) {
    for (int c = 0; c < 128; c++)
        if (c < model->c_min || c > model->c_max)
            memcpy(model->bucket[c], model->bucket[c < model->c_min ? model->c_min : model->c_max], 3);
}

/* Weights and buckets from the chunk itself; *bytes: estimate for the whole chunk. */
static swg_status train(const swg__chunk *chunk, const levels *l, bool wide, swg__stencil *model, int64_t *bytes) {
    *model = (swg__stencil){.wide = wide};
    double *d = swg__alloc(chunk->ctx, SAMPLES * (SWG__TAPS - 1) * sizeof *d), *target = swg__alloc(chunk->ctx, SAMPLES * sizeof *target);
    uint8_t *run_start = swg__alloc(chunk->ctx, SAMPLES);
    swg_status status = d && target && run_start ? SWG_OK : swg__fail_memory(chunk->ctx, SAMPLES * SWG__TAPS * sizeof *d, "a training sample");
    if (status == SWG_OK) {
        int64_t count = wide ? sample_wide(&l->wide, l->slices, l->slice_step, SAMPLES, d, target, run_start)
                             : sample_narrow(&l->narrow, l->slices, l->slice_step, SAMPLES, d, target, run_start);
        status = swg__stencil_weights(chunk->ctx, d, target, count, model->w);
        uint64_t cost = train_buckets(d, target, run_start, count, chunk->count, model);
        spread_buckets(model);
        *bytes = 60 + 3 * (model->c_max - model->c_min + 1) + l->outliers.count * 5 +
                 (count ? (int64_t)((double)cost * (double)chunk->count / (double)count / 2048) : chunk->count * 8);
    }
    swg__free(chunk->ctx, run_start);
    swg__free(chunk->ctx, target);
    swg__free(chunk->ctx, d);
    return status;
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
    spread_buckets(model);
    return NULL;
}

/* ---- encoder ---- */

static swg_status write_record(const swg__chunk *chunk, levels *l, const swg__stencil *model, swg__symbols *symbols, swg__draft *draft) {
    swg__bits_finish(&symbols->bits);
    swg__stencil_write(model, &draft->stream[SWG__PARAM]);
    if (symbols->raw.length)
        swg__put(&draft->stream[SWG__RAW], symbols->raw.data, symbols->raw.length);
    swg__record_head *head = &draft->head;
    head->mode = SWG__MODE_W;
    head->flags = (uint16_t)(SWG__FLAG_LOCAL | (model->wide ? SWG__FLAG_WIDE : 0));
    head->max_ratio = chunk->grid.step > 0 ? swg__ratio_up(l->extent.error, chunk->grid.eb) : 0;
    int64_t estimate = swg__rans_estimate(symbols->code, symbols->count);
    head->lanes_log2 = (uint8_t)swg__lanes_for(estimate + (int64_t)(symbols->raw.length + draft->stream[SWG__PARAM].length));
    SWG__TRY(swg__rans_encode(symbols->code, symbols->count, head->lanes_log2, chunk->ctx, &draft->stream[SWG__RANS]));
    SWG__TRY(swg__outliers_write(&l->outliers, chunk, draft));
    for (int k = 1; k < SWG__STREAM_KINDS; k++)
        if (draft->stream[k].failed || symbols->raw.failed)
            return swg__fail_memory(chunk->ctx, symbols->raw.length, "a chunk");
    return SWG_OK;
}

/* Predicts and codes everything. *outside: a difference saturated although the model is narrow. */
static swg_status code_levels(const swg__chunk *chunk, levels *l, const swg__stencil *model, swg__draft *draft, bool *outside) {
    const int64_t slice = chunk->count / l->slices, nx = chunk->extent[3];
    const size_t size = model->wide ? 8 : 4;
    swg__symbols symbols;
    swg_status status = swg__symbols_open(&symbols, chunk->ctx, chunk->count);
    void *e = swg__alloc(chunk->ctx, (size_t)slice * size), *sums = swg__alloc(chunk->ctx, (size_t)nx * size * 2);
    uint16_t *context = swg__alloc(chunk->ctx, (size_t)slice * sizeof *context);
    if (status == SWG_OK && !(e && sums && context))
        status = swg__fail_memory(chunk->ctx, (size_t)slice * size, "residuals");
    *outside = false;
    for (int64_t s = 0; status == SWG_OK && !*outside && s < l->slices; s++) {
        if (model->wide) {
            field_wide f = l->wide;
            f.data += s * l->slice_step;
            predict_wide(chunk, &f, model, sums, (int64_t *)sums + nx, e, context);
            emit_wide(&f, e, context, l->first[s], &symbols);
        } else {
            field_narrow f = l->narrow;
            f.data += s * l->slice_step;
            *outside = predict_narrow(chunk, &f, model, sums, (int32_t *)sums + nx, e, context);
            if (!*outside)
                emit_narrow(&f, e, context, l->first[s], &symbols);
        }
    }
    if (status == SWG_OK && !*outside)
        status = write_record(chunk, l, model, &symbols, draft);
    swg__free(chunk->ctx, context);
    swg__free(chunk->ctx, sums);
    swg__free(chunk->ctx, e);
    swg__symbols_close(&symbols);
    return status;
}

swg_status swg__stencil_encode(const swg__chunk *chunk, int64_t limit, swg__draft *draft, bool *coded) {
    *coded = false;
    const swg__grid *grid = &chunk->grid;
    if (grid->step == 0 && grid->type == SWG_ELEMENT_F64)
        return SWG_OK;
    levels l = {.slices = chunk->extent[0]};
    swg_status status = SWG_OK;
    for (int wide = 0; wide < 2 && status == SWG_OK && !*coded; wide++) {
        bool possible, outside = false;
        swg__stencil model;
        int64_t bytes = 0;
        status = quantise(chunk, wide, &l, &possible);
        if (status == SWG_OK && possible && l.extent.lowest == l.extent.highest && !l.outliers.count) {
            swg__put64(&draft->stream[SWG__PARAM], (uint64_t)(int64_t)l.extent.lowest);
            draft->head.mode = SWG__MODE_C;
            draft->head.submode = 1;
            draft->head.max_ratio = grid->step > 0 ? swg__ratio_up(l.extent.error, grid->eb) : 0;
            *coded = true;
        } else if (status == SWG_OK && possible) {
            status = train(chunk, &l, wide, &model, &bytes);
            if (status == SWG_OK && bytes > limit)
                wide = 2;
            else if (status == SWG_OK)
                status = code_levels(chunk, &l, &model, draft, &outside);
            *coded = status == SWG_OK && wide < 2 && !outside;
        }
        levels_free(chunk->ctx, &l);
    }
    return status;
}

/* ---- decoder ---- */

/* All slices with levels of one width. Stores the values slice by slice. */
static const char *decode_width(const swg__chunk *chunk, const swg__record *record, const swg__stencil *model, bool wide) {
    const int64_t nz = chunk->extent[1], ny = chunk->extent[2], nx = chunk->extent[3], slice = nz * ny * nx;
    const size_t size = wide ? 8 : 4, front = (size_t)(nz * ny), ring = (size_t)(nz * RING * (ny + 4));
    swg__rans in;
    const swg__span *stream = record->stream;
    const char *why = swg__rans_open(&in, record->head.lanes_log2, stream[SWG__RANS].data, stream[SWG__RANS].bytes, stream[SWG__RAW].data,
                                     stream[SWG__RAW].bytes);
    if (why)
        return why;
    uint8_t *cells = swg__calloc(chunk->ctx, ring, size), *u = swg__alloc(chunk->ctx, (size_t)slice * size);
    uint8_t *sums = swg__alloc(chunk->ctx, 3 * front * size), *bucket = swg__alloc(chunk->ctx, 3 * front);
    int64_t *e = swg__alloc(chunk->ctx, front * sizeof *e), *row = swg__alloc(chunk->ctx, (size_t)nx * sizeof *row);
    rings_narrow narrow = {nz, ny, nx, ny + 4, wide ? NULL : (int32_t *)(void *)cells, {{0}}, {{0}}};
    rings_wide full = {nz, ny, nx, ny + 4, wide ? (int64_t *)(void *)cells : NULL, {{0}}, {{0}}};
    why = cells && u && sums && bucket && e && row ? NULL : swg__why_memory;
    offsets_narrow(&narrow);
    offsets_wide(&full);
    for (int64_t s = 0; !why && s < chunk->extent[0]; s++) {
        int64_t first = 0;
        if (wide) {
            int64_t *v = (int64_t *)(void *)sums;
            front_wide f = {v, v + front, v + 2 * front, bucket, (int8_t *)bucket + front, e};
            why = decode_slice_wide(chunk, &full, model, &in, &f, bucket + 2 * front, (int64_t *)(void *)u, &first);
        } else {
            int32_t *v = (int32_t *)(void *)sums;
            front_narrow f = {v, v + front, v + 2 * front, bucket, (int8_t *)bucket + front, e};
            why = decode_slice_narrow(chunk, &narrow, model, &in, &f, bucket + 2 * front, (int32_t *)(void *)u, &first);
        }
        for (int64_t at = 0; !why && at < slice; at += nx) {
            for (int64_t x = 0; x < nx; x++)
                row[x] = first + (wide ? ((int64_t *)(void *)u)[at + x] : ((int32_t *)(void *)u)[at + x]);
            why = swg__levels_store(chunk, 0, row, s * slice + at, nx);
        }
    }
    if (!why)
        why = swg__rans_finish(&in);
    swg__free(chunk->ctx, row);
    swg__free(chunk->ctx, e);
    swg__free(chunk->ctx, bucket);
    swg__free(chunk->ctx, sums);
    swg__free(chunk->ctx, u);
    swg__free(chunk->ctx, cells);
    return why;
}

const char *swg__stencil_decode(const swg__chunk *chunk, const swg__record *record) {
    swg__stencil model;
    if (!(record->head.flags & SWG__FLAG_LOCAL))
        return swg__why_unsupported; /* weights from a model of kind 1 */
    if (!record->stream[SWG__PARAM].data || !record->stream[SWG__RANS].data)
        return "stencil parameters or symbols are missing";
    if (chunk->grid.type == SWG_ELEMENT_F64 && chunk->grid.step == 0)
        return "lossless f64 cannot be in mode W";
    const char *why = swg__stencil_read(record->stream[SWG__PARAM], (record->head.flags & SWG__FLAG_WIDE) != 0, &model);
    if (!why)
        why = decode_width(chunk, record, &model, model.wide);
    if (why == beyond && !model.wide)
        why = decode_width(chunk, record, &model, true);
    return why;
}
