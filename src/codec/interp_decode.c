/* interp_decode.c - mode G, back: anchors, then pass after pass predictions and residuals to levels.
 * In: PARAM, RANS and RAW of a record. Out: values.
 * SPDX-License-Identifier: Apache-2.0 */
#include "interp_field.h"

static const char beyond[] = "level beyond 2^45"; /* told from damage by its address: then a wider field is tried */

typedef struct decoder {
    swg__interp_field f;
    swg__interp model;
    swg__rans in;
    uint8_t *bucket;            /* (block) of the symbols */
    int64_t *e;                 /* (block) residuals, 0 where masked */
    uint8_t flat[3 * 128];      /* bucket by context */
} decoder;

/* Residuals of `rows` rows of n targets into e; buckets are there for all. place, step: where their mask is. */
static void read_residuals(decoder *d, const swg__interp_pass *p, int64_t w, int64_t z, int64_t y, int64_t rows) {
    const swg__chunk *chunk = d->f.chunk;
    const int64_t n = p->count[2];
    if (!chunk->mask) {
        chunk->kernels->residuals(&d->in, d->bucket, NULL, rows * n, d->e);
        return;
    }
    int64_t symbols = 0, step;
    for (int64_t r = 0; r < rows; r++) {
        const uint8_t *mask = chunk->mask + swg__interp_place(p, w, z, y + r, &step);
        for (int64_t x = 0; x < n; x++)
            if (!mask[x * step])
                d->bucket[symbols++] = d->bucket[r * n + x];
    }
    chunk->kernels->residuals(&d->in, d->bucket, NULL, symbols, d->e);
    for (int64_t r = rows - 1; r >= 0; r--) {
        const uint8_t *mask = chunk->mask + swg__interp_place(p, w, z, y + r, &step);
        for (int64_t x = n - 1; x >= 0; x--)
            d->e[r * n + x] = mask[x * step] ? 0 : d->e[--symbols];
    }
}

/* One row of targets to levels. */
static bool place_row(decoder *d, const swg__interp_pass *p, int64_t row, int64_t at) {
    swg__interp_field *f = &d->f;
    const int64_t n = p->count[2], first = row * n;
    bool ok = true;
    if (!f->wide)
        return f->chunk->kernels->interp_place((const int32_t *)f->guess + first, d->e + first, n, 4 - p->t, (int32_t *)f->u + at, f->size + at);
    for (int64_t x = 0; x < n; x++) {
        const int64_t e = d->e[first + x], u = ((const int64_t *)f->guess)[first + x] + e * (SWG__INTERP_FINE >> p->t);
        ok = ok && swg__interp_fits(true, u);
        ((int64_t *)f->u)[at + x] = u;
        f->size[at + x] = swg__interp_size(e, p->t);
    }
    return ok;
}

static const char *decode_pass(decoder *d, int index) {
    swg__interp_field *f = &d->f;
    swg__interp_pass p;
    if (!swg__interp_pass_open(f, &d->model, index, &p))
        return NULL;
    const int64_t most = swg__interp_block_rows(&p);
    for (int64_t w = 0; w < f->chunk->extent[0]; w++)
        for (int64_t z = 0; z < p.count[0]; z++)
            for (int64_t y = 0, rows; y < p.count[1]; y += rows) {
                rows = p.count[1] - y < most ? p.count[1] - y : most;
                if (!swg__interp_predict_rows(&p, w, z, y, rows))
                    return beyond;
                for (int64_t i = 0; i < rows * p.count[2]; i++)
                    d->bucket[i] = d->flat[f->context[i]];
                read_residuals(d, &p, w, z, y, rows);
                for (int64_t r = 0; r < rows; r++) {
                    const int64_t at = swg__interp_row(f, p.odd, w, z, y + r);
                    if (!place_row(d, &p, r, at))
                        return beyond;
                    swg__interp_pad(f, p.odd, at);
                }
            }
    return NULL;
}

/* Anchors: phase 0 of the first level. */
static const char *decode_anchors(decoder *d) {
    swg__interp_field *f = &d->f;
    const swg__chunk *chunk = f->chunk;
    const int64_t *extent = chunk->extent, step[3] = {f->axes & 1 ? 2 * f->stride : 1, f->axes & 2 ? 2 * f->stride : 1, f->axes & 4 ? 2 * f->stride : 1};
    int64_t before = 0;
    bool any = false;
    for (int64_t w = 0; w < extent[0]; w++)
        for (int64_t z = 0; z < f->even[0]; z++)
            for (int64_t y = 0; y < f->even[1]; y++) {
                const int64_t place = ((w * extent[1] + z * step[0]) * extent[2] + y * step[1]) * extent[3], at = swg__interp_row(f, 0, w, z, y);
                for (int64_t x = 0; x < f->even[2]; x++) {
                    if (!chunk->mask || !chunk->mask[place + x * step[2]]) {
                        chunk->kernels->residuals(&d->in, &d->model.anchor_bucket, NULL, 1, d->e);
                        before += SWG__INTERP_FINE * d->e[0];
                        if (!swg__interp_fits(true, before))
                            return "level beyond 2^45";
                    }
                    if (!any)
                        f->first = f->wide ? 0 : before;
                    any = true;
                    if (!swg__interp_fits(f->wide, before - f->first))
                        return beyond;
                    swg__interp_set(f->u, f->wide, at + x, before - f->first);
                }
                swg__interp_pad(f, 0, at);
            }
    return f->wide || (f->first < SWG__LEVEL_LIMIT / 2 && f->first > -SWG__LEVEL_LIMIT / 2) ? NULL : beyond;
}

/* The whole chunk with levels of one width. */
static const char *decode_width(decoder *d, const swg__chunk *chunk, const swg__record *record, bool wide) {
    const swg__span rans = record->stream[SWG__RANS], raw = record->stream[SWG__RAW];
    const char *why = swg__rans_open(&d->in, record->head.lanes_log2, rans.data, rans.bytes, raw.data, raw.bytes);
    if (why)
        return why;
    swg_status status = swg__interp_field_open(&d->f, chunk, d->model.axes, d->model.levels, wide);
    d->e = swg__alloc(chunk->ctx, (size_t)(d->f.block + SWG__INTERP_SLACK) * sizeof *d->e);
    d->bucket = swg__alloc(chunk->ctx, (size_t)d->f.block);
    why = status == SWG_OK && d->e && d->bucket ? decode_anchors(d) : swg__why_memory;
    while (!why && d->f.level < d->f.levels) {
        for (int i = 0; i < SWG__INTERP_PASSES && !why; i++)
            why = decode_pass(d, i);
        swg__interp_refine(&d->f);
    }
    if (!why)
        why = swg__rans_finish(&d->in);
    if (!why)
        why = swg__interp_store(&d->f);
    swg__free(chunk->ctx, d->bucket);
    swg__free(chunk->ctx, d->e);
    swg__interp_field_close(&d->f);
    return why;
}

const char *swg__interp_decode(const swg__chunk *chunk, const swg__record *record) {
    decoder d;
    const swg__span *stream = record->stream;
    if (!(record->head.flags & SWG__FLAG_LOCAL))
        return swg__why_unsupported; /* weights from a model of kind 3 */
    if (!stream[SWG__PARAM].data || !stream[SWG__RANS].data)
        return "interpolation parameters or symbols are missing";
    if (!swg__is_float(chunk->grid.type) || chunk->grid.step == 0 || record->head.sub_shift != 4)
        return "mode G needs a float grid with sub-grid bits";
    const char *why = swg__interp_read(stream[SWG__PARAM], &d.model);
    if (why)
        return why;
    for (int c = 0; c < 128; c++)
        memcpy(d.flat + 3 * c, d.model.bucket[c], 3);
    why = decode_width(&d, chunk, record, false);
    return why == beyond ? decode_width(&d, chunk, record, true) : why;
}
