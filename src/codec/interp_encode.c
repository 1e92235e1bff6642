/* interp_encode.c - mode G, forth: codes the levels of a chunk pass after pass against what the decoder will have, and writes the record.
 * In: dense float values. Out: PARAM, RANS, RAW and OUTLIERS of a record.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bucket.h"
#include "interp_coder.h"

/* Codes the value at `place` as guess + e * step. Returns e; outliers code 0. *level: guess + e * step. */
static int64_t code_value(swg__interp_coder *c, int64_t place, int64_t guess, int64_t step, int64_t *level) {
    const swg__grid *grid = &c->f.chunk->grid;
    const double x = swg__load_value(grid->type, c->f.chunk->values, place), wanted = swg__interp_level_of(c, place);
    bool good = !isnan(wanted), usable;
    int64_t e = good ? llrint((wanted - (double)guess) / (double)step) : 0, u = guess + e * step;
    if (good) {
        double error = fabs(swg__typed_value(grid, 4, u, &usable) - x);
        if (!(usable && error < grid->eb)) {
            good = swg__level_find(grid, 4, step, x, &u, &error);
            e = good ? (u - guess) / step : 0;
        }
        good = good && swg__interp_fits(true, u);
        if (good)
            c->worst = error > c->worst ? error : c->worst;
    }
    if (!good) {
        swg__outlier_add(&c->outliers, place);
        e = 0;
    }
    *level = guess + e * step;
    return e;
}

/* Anchors: phase 0 of the first level. False: a level is beyond what the field holds. */
static bool code_anchors(swg__interp_coder *c) {
    swg__interp_field *f = &c->f;
    const swg__chunk *chunk = f->chunk;
    const int64_t *extent = chunk->extent, step[3] = {f->axes & 1 ? 2 * f->stride : 1, f->axes & 2 ? 2 * f->stride : 1, f->axes & 4 ? 2 * f->stride : 1};
    int64_t before = 0;
    bool any = false;
    for (int64_t w = 0; w < extent[0]; w++)
        for (int64_t z = 0; z < f->even[0]; z++)
            for (int64_t y = 0; y < f->even[1]; y++) {
                const int64_t row = ((w * extent[1] + z * step[0]) * extent[2] + y * step[1]) * extent[3], at = swg__interp_row(f, 0, w, z, y);
                for (int64_t x = 0; x < f->even[2]; x++) {
                    const int64_t place = row + x * step[2];
                    if (!chunk->mask || !chunk->mask[place]) {
                        const int64_t e = code_value(c, place, before, SWG__INTERP_FINE, &before);
                        if (!f->wide && (e > INT32_MAX || e < INT32_MIN))
                            return false;
                        swg__interp_set(c->residual, f->wide, c->done++, e);
                    }
                    if (!any)
                        f->first = f->wide ? 0 : before;
                    any = true;
                    if (!swg__interp_fits(f->wide, before - f->first))
                        return false;
                    swg__interp_set(f->u, f->wide, at + x, before - f->first);
                }
                swg__interp_pad(f, 0, at);
            }
    c->anchors = c->done;
    return f->wide || (f->first < SWG__LEVEL_LIMIT / 2 && f->first > -SWG__LEVEL_LIMIT / 2);
}

/* One row value by value, with every rule. Masked values take their guess. */
static bool slow_row(swg__interp_coder *c, const swg__interp_pass *p, int64_t row, int64_t place, int64_t step, int64_t at) {
    swg__interp_field *f = &c->f;
    const uint8_t *mask = f->chunk->mask;
    bool ok = true;
    for (int64_t x = 0; x < p->count[2]; x++) {
        const int64_t guess = swg__interp_get(f->guess, f->wide, row * p->count[2] + x);
        int64_t e = 0, level = f->first + guess;
        if (!mask || !mask[place + x * step]) {
            e = code_value(c, place + x * step, level, SWG__INTERP_FINE >> p->t, &level);
            swg__interp_set(c->residual, f->wide, c->done, e);
            c->context[c->done++] = f->context[row * p->count[2] + x];
        }
        ok = ok && swg__interp_fits(f->wide, level - f->first);
        swg__interp_set(f->u, f->wide, at + x, level - f->first);
        f->size[at + x] = swg__interp_size(e, p->t);
    }
    return ok;
}

/* Every step-th value from `place` on, as f64. */
static void load_row(const swg__chunk *chunk, int64_t place, int64_t step, int64_t n, double *x) {
    const float *single = (const float *)chunk->values + place;
    const double *twice = (const double *)chunk->values + place;
    if (chunk->grid.type == SWG_ELEMENT_F64)
        for (int64_t i = 0; i < n; i++)
            x[i] = twice[i * step];
    else if (step == 2)
        for (int64_t i = 0; i < n; i++)
            x[i] = (double)single[i * 2];
    else
        for (int64_t i = 0; i < n; i++)
            x[i] = (double)single[i * step];
}

/* One row of targets. False: beyond what the field holds. */
static bool code_row(swg__interp_coder *c, const swg__interp_pass *p, int64_t row, int64_t place, int64_t step, int64_t at) {
    swg__interp_field *f = &c->f;
    const swg__chunk *chunk = f->chunk;
    const int64_t n = p->count[2];
    if (f->wide)
        return slow_row(c, p, row, place, step, at);
    const int32_t *guess = (const int32_t *)f->guess + row * n;
    int32_t *e = (int32_t *)c->residual + c->done;
    load_row(chunk, place, step, n, c->x);
    if (chunk->mask) /* a value that is its own guess leaves no trace */
        for (int64_t x = 0; x < n; x++)
            if (chunk->mask[place + x * step]) {
                const double value = swg__grid_value(chunk->grid.base, swg__grid_step(&chunk->grid, 4), (double)(f->first + guess[x]));
                c->x[x] = chunk->grid.type == SWG_ELEMENT_F32 ? (double)(float)value : value;
            }
    if (!chunk->kernels->interp_code(c->x, guess, n, &chunk->grid, (double)f->first, 4 - p->t, e, (int32_t *)f->u + at, f->size + at, &c->worst))
        return slow_row(c, p, row, place, step, at);
    if (!chunk->mask) {
        memcpy(c->context + c->done, f->context + row * n, (size_t)n * sizeof *c->context);
        c->done += n;
        return true;
    }
    for (int64_t x = 0, from = c->done; x < n; x++)
        if (!chunk->mask[place + x * step]) {
            ((int32_t *)c->residual)[c->done] = ((int32_t *)c->residual)[from + x];
            c->context[c->done++] = f->context[row * n + x];
        }
    return true;
}

static bool code_pass(swg__interp_coder *c, int index) {
    swg__interp_field *f = &c->f;
    swg__interp_pass p;
    if (!swg__interp_pass_open(f, &c->model, index, &p))
        return true;
    swg__interp_train(c, &p, index);
    const int64_t most = swg__interp_block_rows(&p);
    for (int64_t w = 0; w < f->chunk->extent[0]; w++)
        for (int64_t z = 0; z < p.count[0]; z++)
            for (int64_t y = 0, rows; y < p.count[1]; y += rows) {
                rows = p.count[1] - y < most ? p.count[1] - y : most;
                if (!swg__interp_predict_rows(&p, w, z, y, rows))
                    return false;
                for (int64_t r = 0; r < rows; r++) {
                    const int64_t at = swg__interp_row(f, p.odd, w, z, y + r);
                    int64_t step, place = swg__interp_place(&p, w, z, y + r, &step);
                    if (!code_row(c, &p, r, place, step, at))
                        return false;
                    swg__interp_pad(f, p.odd, at);
                }
            }
    return true;
}

/* Buckets of least code length for the residuals of each context. */
static swg_status choose_buckets(swg__interp_coder *c) {
    enum { CELLS = SWG__HISTOGRAM(1) };
    swg__interp *m = &c->model;
    uint32_t *histogram = swg__calloc(c->f.chunk->ctx, (SWG__INTERP_CONTEXTS + 1) * CELLS, sizeof *histogram);
    uint8_t seen[SWG__INTERP_CONTEXTS + 1] = {0};
    if (!histogram)
        return swg__fail_memory(c->f.chunk->ctx, SWG__INTERP_CONTEXTS * CELLS * sizeof *histogram, "a histogram");
    for (int64_t i = 0; i < c->done; i++) {
        const int at = i < c->anchors ? SWG__INTERP_CONTEXTS : c->context[i];
        swg__histogram_add(histogram + at * CELLS, 1, 0, swg__interp_get(c->residual, c->f.wide, i), 1);
        seen[at] = 1;
    }
    m->anchor_bucket = (uint8_t)swg__bucket_best(histogram + SWG__INTERP_CONTEXTS * CELLS, 1, SWG__WIDE_BUCKETS - 1, NULL);
    m->c_min = m->c_max = 2;
    int last = -1;
    for (int class = 0; class < 128; class++) {
        const bool any = seen[3 * class] || seen[3 * class + 1] || seen[3 * class + 2];
        if (any) {
            m->c_min = last < 0 ? class : m->c_min;
            m->c_max = class;
        }
        for (int r = 0; r < 3; r++) {
            const int at = 3 * class + r;
            if (seen[at])
                m->bucket[class][r] = (uint8_t)swg__bucket_best(histogram + at * CELLS, 1, SWG__WIDE_BUCKETS - 1, NULL);
            else /* as in the class below */
                m->bucket[class][r] = last < 0 ? 0 : m->bucket[class - 1][r];
        }
        last = any ? class : last;
    }
    swg__free(c->f.chunk->ctx, histogram);
    return SWG_OK;
}

/* One try with levels of one width; *beyond: it does not hold them. */
static swg_status code_width(const swg__chunk *chunk, swg__interp_coder *c, bool wide, bool *beyond) {
    const size_t width = wide ? sizeof(int64_t) : sizeof(int32_t);
    *c = (swg__interp_coder){.f.chunk = chunk, .outliers.ctx = chunk->ctx, .inverse = 1 / swg__grid_step(&chunk->grid, 4),
                             .reach = chunk->grid.reach * 16};
    swg__interp *m = &c->model;
    m->axes = swg__interp_choose_axes(c);
    m->levels = swg__interp_levels_for(chunk, m->axes);
    swg_status status = swg__interp_field_open(&c->f, chunk, m->axes, m->levels, wide);
    c->residual = swg__alloc(chunk->ctx, (size_t)(chunk->count + SWG__INTERP_SLACK) * width);
    c->context = swg__alloc(chunk->ctx, (size_t)chunk->count * sizeof *c->context);
    c->x = swg__alloc(chunk->ctx, (size_t)c->f.block * sizeof *c->x);
    c->d = swg__alloc(chunk->ctx, SWG__INTERP_FEATURES * sizeof *c->d);
    if (status == SWG_OK && !(c->residual && c->context && c->x && c->d))
        status = swg__fail_memory(chunk->ctx, (size_t)chunk->count * (width + 2), "residuals");
    *beyond = status == SWG_OK && !code_anchors(c);
    while (status == SWG_OK && !*beyond && c->f.level < c->f.levels) {
        for (int i = 0; i < SWG__INTERP_PASSES && !*beyond; i++)
            *beyond = !code_pass(c, i);
        swg__interp_refine(&c->f);
    }
    return status;
}

swg_status swg__interp_code(const swg__chunk *chunk, swg__interp_coder *c) {
    bool beyond;
    swg_status status = code_width(chunk, c, false, &beyond);
    if (beyond) {
        swg__interp_coder_close(c);
        status = code_width(chunk, c, true, &beyond);
    }
    return status == SWG_OK ? choose_buckets(c) : status;
}

void swg__interp_coder_close(swg__interp_coder *c) {
    swg_context *ctx = c->f.chunk->ctx;
    swg__outliers_free(&c->outliers);
    swg__free(ctx, c->d);
    swg__free(ctx, c->x);
    swg__free(ctx, c->context);
    swg__free(ctx, c->residual);
    swg__interp_field_close(&c->f);
}

bool swg__interp_possible(const swg__chunk *chunk) { return swg__is_float(chunk->grid.type) && chunk->grid.step > 0 && chunk->grid.fine; }

swg_status swg__interp_encode(const swg__chunk *chunk, swg__draft *draft, bool *coded) {
    *coded = false;
    if (!swg__interp_possible(chunk))
        return SWG_OK;
    swg__interp_coder c;
    swg__symbols symbols = {0};
    uint8_t flat[SWG__INTERP_CONTEXTS];
    swg_status status = swg__interp_code(chunk, &c);
    if (status == SWG_OK)
        status = swg__symbols_open(&symbols, chunk->ctx, chunk->count);
    for (int i = 0; i < SWG__INTERP_CONTEXTS; i++)
        flat[i] = c.model.bucket[i / 3][i % 3];
    for (int64_t i = 0; status == SWG_OK && i < c.done; i++)
        swg__residual_put(&symbols, i < c.anchors ? c.model.anchor_bucket : flat[c.context[i]], 0, swg__interp_get(c.residual, c.f.wide, i));
    if (status == SWG_OK) {
        swg__record_head *head = &draft->head;
        swg__bits_finish(&symbols.bits);
        swg__interp_write(&c.model, &draft->stream[SWG__PARAM]);
        head->mode = SWG__MODE_G;
        head->sub_shift = 4;
        head->flags = SWG__FLAG_LOCAL;
        head->max_ratio = swg__ratio_up(c.worst, chunk->grid.eb);
        status = swg__outliers_write(&c.outliers, chunk, draft);
    }
    if (status == SWG_OK)
        status = swg__symbols_write(chunk, &symbols, (int64_t)(symbols.raw.length + draft->stream[SWG__PARAM].length), draft);
    *coded = status == SWG_OK;
    swg__symbols_close(&symbols);
    swg__interp_coder_close(&c);
    return status;
}
