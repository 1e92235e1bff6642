/* encode.c - an array to coded chunks: grid, cutting, competition between models and everything else.
 * In: array, options, models. Out: swg__encoded. Chunks are coded in parallel; the bytes do not depend on it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "encoding.h"
#include "fit.h"
#include "mask.h"
#include "poly.h"
#include "stencil.h"
#include "swz.h"
#include "target.h"

enum {
    CHUNK_TARGET = 1 << 18,   /* values */
    COARSE_TARGET = 1 << 21,  /* of arrays that take less than half a bit per value */
    BLOCKS_TARGET = 1 << 19,  /* of blocks: the more of them, the more mirror images */
    NEAR_TIE = 100            /* candidates whose estimate is longer by no more than this part of the shortest are coded as well */
};

/* ---- cutting ---- */

/* Largest slabs of at most 2^24 values: for data that do not compress. */
static void slabs(swg__header *h) {
    int64_t room = SWG__CHUNK_VALUES;
    for (int i = h->ndim - 1; i >= 0; i--) {
        h->chunk[i] = h->dims[i] < room ? h->dims[i] : room;
        room /= h->chunk[i];
    }
}

static void choose_chunk(swg__header *h, int edge, int64_t usual) {
    int first = h->layout == SWG_CODEC_BLOCKS ? 1 : h->ndim > 3 ? h->ndim - 3 : 0; /* axes cut like space */
    const int64_t target = h->layout == SWG_CODEC_BLOCKS ? BLOCKS_TARGET : usual;
    int64_t start = h->ndim - first >= 3 ? 64 : h->ndim == 2 ? 512 : usual, product = 1, values = 1;
    if (usual == COARSE_TARGET)
        start *= h->ndim - first >= 3 ? 2 : h->ndim == 2 ? 3 : 1;
    for (int i = first; i < h->ndim && values <= usual; i++)
        values *= h->dims[i];
    if (values <= usual) /* small enough to stay whole */
        start = usual;
    for (int i = 0; i < 4; i++) {
        h->chunk[i] = i < first || i >= h->ndim || h->layout == SWG_CODEC_BLOCKS ? 1 : h->dims[i] < start ? h->dims[i] : start;
        if (h->layout == SWG_CODEC_BLOCKS && i > 0)
            h->chunk[i] = h->dims[i];
        product *= h->chunk[i];
    }
    /* Thin arrays: lengthen the other axes, last first, until a chunk has its usual size. */
    for (int i = h->ndim - 1; i >= 0; i--)
        while (2 * product <= target && h->chunk[i] < h->dims[i]) {
            int64_t longer = 2 * h->chunk[i] < h->dims[i] ? 2 * h->chunk[i] : h->dims[i];
            product = product / h->chunk[i] * longer;
            h->chunk[i] = longer;
        }
    /* Even pieces instead of a thin rest; whole tiles where a network is in play. */
    for (int i = 0; i < h->ndim; i++) {
        int64_t pieces = (h->dims[i] + h->chunk[i] / 2) / h->chunk[i], even = (h->dims[i] + pieces - 1) / pieces;
        if (i >= first && edge && pieces > 1 && h->layout == SWG_CODEC_GRID)
            even = (even + edge - 1) / edge * edge;
        h->chunk[i] = even < h->dims[i] ? even : h->dims[i];
    }
}

/* Edge of an autoencoder's tiles, 0: there is none. */
static int edge_of(const swg_codec_model *model) {
    for (int i = 0; model && i < model->count; i++)
        if (model->blob[i].kind && model->blob[i].kind->code == SWG__KIND_SWAE)
            return ((const swg__swae *)model->blob[i].parsed)->net.edge;
    return 0;
}

static swg_status check_array(swg_context *ctx, const swg_codec_array *a, const swg_codec_opts *opts, swg__header *h) {
    if (!swg_element_bytes(a->type))
        return swg__fail(ctx, SWG_EDTYPE, "element type %d is not one the codec knows", (int)a->type);
    if (a->ndim < 1 || a->ndim > 4)
        return swg__fail(ctx, SWG_ESHAPE, "the codec takes 1 to 4 dimensions, not %d", a->ndim);
    if (!a->data)
        return swg__fail(ctx, SWG_EINVAL, "no data to compress");
    *h = (swg__header){.type = a->type, .layout = a->layout, .ndim = (uint8_t)a->ndim, .axis_map = SWG__IDENTITY_MAP, .fill = {.mode = SWG_FILL_NONE}};
    int64_t values = 1, chunk = 1, given = 0;
    for (int i = 0; i < 4; i++) {
        h->dims[i] = i < a->ndim ? a->dims[i] : 1;
        if (h->dims[i] == 0)
            return swg__fail(ctx, SWG_ESHAPE, "the array is empty: dimension %d is 0", i);
        if (h->dims[i] < 0 || h->dims[i] > (int64_t)1 << 48 || swg__mul_overflow(values, h->dims[i], &values) || values > SWG__MOST_VALUES)
            return swg__fail(ctx, SWG_ESHAPE, "dimension %d is %lld: the array would have more than 2^56 values", i, (long long)h->dims[i]);
        h->chunk[i] = i < a->ndim ? opts->chunk[i] : 1;
        given += i < a->ndim && opts->chunk[i] != 0;
    }
    if (a->layout == SWG_CODEC_BLOCKS &&
        (a->ndim != 4 || a->dims[1] < 3 || a->dims[1] > 9 || a->dims[2] != a->dims[1] || a->dims[3] != a->dims[1]))
        return swg__fail(ctx, SWG_ESHAPE, "blocks must be (N, n, n, n) with n in 3..9");
    if (!given)
        choose_chunk(h, edge_of(opts->model), CHUNK_TARGET);
    for (int i = 0; i < a->ndim; i++)
        if (h->chunk[i] < 1 || h->chunk[i] > h->dims[i] || swg__mul_overflow(chunk, h->chunk[i], &chunk) || chunk > SWG__CHUNK_VALUES ||
            (a->layout == SWG_CODEC_BLOCKS && i && h->chunk[i] != h->dims[i]))
            return swg__fail(ctx, SWG_EINVAL, "chunk %lld along axis %d: must be 1..%lld, whole blocks, and 2^24 values at most in all",
                             (long long)h->chunk[i], i, (long long)h->dims[i]);
    if (opts->effort < 0 || opts->effort > SWG__EFFORT_MOST)
        return swg__fail(ctx, SWG_EINVAL, "effort %d: must be 1..9, or 0 for the usual one", opts->effort);
    if ((opts->name ? strlen(opts->name) : 0) + (opts->attributes ? strlen(opts->attributes) : 0) > SWG__TEXT_BYTES)
        return swg__fail(ctx, SWG_EINVAL, "name and attributes are longer than %d bytes", SWG__TEXT_BYTES);
    return SWG_OK;
}

static swg_status resolve_fill(swg_context *ctx, const swg_codec_array *a, int64_t count, const swg_codec_opts *opts, swg__fill *fill) {
    *fill = (swg__fill){.mode = opts->fill == SWG_FILL_AUTO ? SWG_FILL_NONE : opts->fill};
    int bytes = swg_element_bytes(a->type);
    if ((unsigned)opts->fill > SWG_FILL_NONE)
        return swg__fail(ctx, SWG_EINVAL, "fill mode %d does not exist", (int)opts->fill);
    if (fill->mode == SWG_FILL_VALUE) {
        if (bytes < 8 && opts->fill_bits >> 8 * bytes)
            return swg__fail(ctx, SWG_EINVAL, "the fill value has more bits than %s", swg_element_name(a->type));
        fill->bits = opts->fill_bits;
    } else if (fill->mode == SWG_FILL_ABOVE) {
        if (!(opts->fill_threshold > 0))
            return swg__fail(ctx, SWG_EINVAL, "a fill threshold of %g is not above 0", opts->fill_threshold);
        fill->threshold = opts->fill_threshold;
        for (int64_t i = 0; i < count; i++)
            if (swg__is_fill(fill, a->type, a->data, i)) { /* the first one speaks for all: nearly always they are equal */
                fill->bits = swg__bits_of(a->type, a->data, i);
                break;
            }
    }
    return SWG_OK;
}

/* Unit axes go to the slow end of the coder's axes: the fast ones should have neighbours. */
static uint8_t map_axes(const swg__header *h) {
    unsigned map = 0;
    int place = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int axis = 0; axis < 4; axis++) {
            int64_t extent = axis < 4 - h->ndim ? 1 : h->dims[axis - (4 - h->ndim)];
            if ((extent == 1) == (pass == 0))
                map |= (unsigned)axis << 2 * place++;
        }
    return (uint8_t)map;
}

/* ---- one chunk ---- */

/* Copies from the dataset into a dense chunk. */
static void gather(const char *data, const swg__layout *l, const int64_t origin[4], swg__chunk *chunk) {
    const size_t bytes = (size_t)swg_element_bytes(chunk->grid.type);
    char *to = chunk->values;
    for (int64_t w = 0; w < chunk->extent[0]; w++)
        for (int64_t z = 0; z < chunk->extent[1]; z++)
            for (int64_t y = 0; y < chunk->extent[2]; y++) {
                int64_t at = (origin[0] + w) * l->stride[0] + (origin[1] + z) * l->stride[1] + (origin[2] + y) * l->stride[2] +
                             origin[3] * l->stride[3];
                if (l->stride[3] == 1) {
                    memcpy(to, data + (size_t)at * bytes, (size_t)chunk->extent[3] * bytes);
                    to += (size_t)chunk->extent[3] * bytes;
                    continue;
                }
                for (int64_t x = 0; x < chunk->extent[3]; x++, to += bytes)
                    memcpy(to, data + (size_t)(at + x * l->stride[3]) * bytes, bytes);
            }
}

swg_status swg__chunk_take(swg_context *ctx, const void *data, const swg__header *header, const swg__layout *layout, int64_t index, swg__chunk *chunk) {
    *chunk = (swg__chunk){.ctx = ctx, .kernels = swg__codec_kernels_for(ctx->isa), .grid = header->grid, .fill = header->fill};
    int64_t origin[4];
    swg__layout_chunk(layout, header, index, origin, chunk->extent);
    chunk->count = chunk->extent[0] * chunk->extent[1] * chunk->extent[2] * chunk->extent[3];
    size_t bytes = (size_t)chunk->count * (size_t)swg_element_bytes(chunk->grid.type);
    chunk->values = swg__alloc(ctx, bytes);
    if (!chunk->values)
        return swg__fail_memory(ctx, bytes, "a chunk");
    gather(data, layout, origin, chunk);
    return swg__mask_open(chunk, chunk->values);
}

void swg__chunk_drop(swg__chunk *chunk) {
    swg__mask_free(chunk);
    swg__free(chunk->ctx, chunk->values);
}

swg_status swg__encoding_open(const swg__encoding *j, int64_t index, swg__chunk *chunk) {
    return swg__chunk_take(j->ctx, j->data, &j->out->header, &j->out->layout, index, chunk);
}

/* A finished draft as a form. */
static swg_status finish_form(const swg__encoding *j, const swg__chunk *chunk, int64_t index, int blob, swg__draft *draft, swg__form *form) {
    draft->head.chunk_index = (uint64_t)index;
    draft->head.n_values = (uint32_t)chunk->count;
    if (blob >= 0)
        draft->head.model_ref = (uint16_t)blob;
    swg__text_init(&form->record, j->ctx);
    swg_status status = swg__draft_write(draft, j->ctx, &form->record);
    form->head = draft->head;
    form->outliers = draft->outliers;
    form->blob = blob;
    return status;
}

swg_status swg__encoding_add(const swg__encoding *j, const swg__chunk *chunk, int64_t index, int blob, swg__draft *draft) {
    swg__coded *coded = &j->out->chunk[index];
    swg__form *grown = swg__grow(j->ctx, coded->other, (size_t)(coded->others + 1) * sizeof *grown);
    if (!grown)
        return swg__fail_memory(j->ctx, sizeof *grown, "a chunk");
    coded->other = grown;
    grown[coded->others] = (swg__form){0};
    return finish_form(j, chunk, index, blob, draft, &grown[coded->others++]);
}

/* Bytes of a chunk once a model of one variable alone is paid for by the array's chunks. */
static int64_t with_model(const swg__encoding *j, int c, int64_t bytes) {
    const swg__model_pair models = swg__encoded_models(j->out);
    return bytes + (*swg__blob_of(models, j->candidate[c])->name ? (int64_t)swg__blob_cost(models, j->candidate[c]) / j->out->layout.count : 0);
}

/* Which candidates are worth coding by their estimates: at the highest effort all below the limit, else the shortest, what comes near it, and what is
 * shortest with its model. */
static void choose_candidates(const swg__encoding *j, int64_t limit, const int64_t bytes[SWG__MODELS], bool wanted[SWG__MODELS]) {
    const int64_t most = limit + limit / 32; /* an estimate may be wrong by so much */
    int64_t least = most, least_paid = INT64_MAX;
    for (int c = 0; c < j->candidates; c++) {
        wanted[c] = bytes[c] < most;
        least = bytes[c] < least ? bytes[c] : least;
        least_paid = wanted[c] && with_model(j, c, bytes[c]) < least_paid ? with_model(j, c, bytes[c]) : least_paid;
    }
    for (int c = 0; c < j->candidates && j->choice.effort < SWG__EFFORT_MOST; c++)
        wanted[c] = wanted[c] && (bytes[c] <= least + least / NEAR_TIE || with_model(j, c, bytes[c]) == least_paid);
}

/* One candidate, if it is shorter than the limit. */
static swg_status code_candidate(const swg__encoding *j, const swg__chunk *chunk, int64_t index, const swg__trial *trial, int blob) {
    const swg__blob *b = swg__blob_of(swg__encoded_models(j->out), blob);
    swg__draft draft;
    bool done = false;
    swg__draft_init(&draft, j->ctx);
    swg_status status = b->kind->encode(chunk, b->parsed, trial, &draft, &done);
    if (status == SWG_OK && done)
        status = swg__mask_write(chunk, chunk->mask, &draft);
    if (status == SWG_OK && done && (int64_t)swg__draft_bytes(&draft) < trial->limit)
        status = swg__encoding_add(j, chunk, index, blob, &draft);
    swg__draft_free(&draft);
    return status;
}

/* The models that code a chunk by themselves. */
static swg_status code_candidates(const swg__encoding *j, const swg__chunk *chunk, int64_t index) {
    const swg__coded *coded = &j->out->chunk[index];
    const swg__text *record = &coded->plain.record;
    swg__record plain;
    swg__stencil_plan *plan = NULL;
    swg__trial trial = {.without = j->choice.without | (j->choice.effort < SWG__EFFORT_MOST ? SWG__WITHOUT_TRIALS : 0), .limit = swg__coded_limit(coded),
                        .plain = &plain, .plan = &plan};
    int64_t bytes[SWG__MODELS];
    bool wanted[SWG__MODELS];
    if (!j->candidates || coded->plain.head.mode == SWG__MODE_C)
        return SWG_OK;
    const char *why = swg__record_parse((const uint8_t *)record->data, record->length, (uint32_t)chunk->count, (uint64_t)index, &plain);
    swg_status status = why ? swg__fail(j->ctx, SWG_ECORRUPT, "a chunk just coded: %s", why) : SWG_OK;
    for (int c = 0; c < j->candidates && status == SWG_OK; c++) {
        const swg__blob *b = swg__blob_of(swg__encoded_models(j->out), j->candidate[c]);
        bytes[c] = INT64_MAX;
        if (b->kind->estimate)
            status = b->kind->estimate(chunk, b->parsed, &trial, &bytes[c]);
        else
            status = code_candidate(j, chunk, index, &trial, j->candidate[c]);
    }
    if (status == SWG_OK)
        choose_candidates(j, trial.limit, bytes, wanted);
    for (int c = 0; c < j->candidates && status == SWG_OK; c++)
        if (wanted[c])
            status = code_candidate(j, chunk, index, &trial, j->candidate[c]);
    swg__stencil_plan_close(plan);
    return status;
}

static void code_plain(void *arg, int64_t task, int worker) {
    (void)worker;
    swg__encoding *j = arg;
    int64_t index = swg__encoding_chunk(j, task);
    swg__coded *coded = &j->out->chunk[index];
    swg__chunk chunk;
    swg__draft draft;
    swg__draft_init(&draft, j->ctx);
    swg_status status = swg__encoding_open(j, index, &chunk);
    if (status == SWG_OK)
        status = swg__plain_encode(&chunk, j->choice, &draft);
    if (status == SWG_OK)
        status = finish_form(j, &chunk, index, -1, &draft, &coded->plain);
    coded->filled = chunk.masked;
    if (status == SWG_OK)
        status = code_candidates(j, &chunk, index);
    swg__draft_free(&draft);
    swg__chunk_drop(&chunk);
    j->status[task] = status;
}

/* ---- measuring ---- */

/* Sum of squared errors of a record over the finite values of a chunk that are no fill. */
static swg_status measure_record(const swg__chunk *chunk, const swg_codec_model *model, const swg__text *bytes, const void *original, double *squares,
                                 int64_t *count) {
    const swg_element type = chunk->grid.type;
    swg__record record;
    const char *why = swg__record_parse((const uint8_t *)bytes->data, bytes->length, (uint32_t)chunk->count, swg__load64((const uint8_t *)bytes->data + 8), &record);
    why = why ? why : swg__record_decode(chunk, model, &record);
    if (why)
        return swg__fail(chunk->ctx, why == swg__why_memory ? SWG_ENOMEM : SWG_ECORRUPT, "a chunk just coded: %s", why);
    *squares = 0;
    *count = 0;
    for (int64_t i = 0; i < chunk->count; i++) {
        if (swg__is_fill(&chunk->fill, type, original, i))
            continue;
        double a = swg__number(type, original, i), gap = swg__number(type, chunk->values, i) - a;
        if (isfinite(a)) {
            *squares += gap * gap;
            ++*count;
        }
    }
    return SWG_OK;
}

static void measure_chunk(void *arg, int64_t task, int worker) {
    (void)worker;
    swg__encoding *j = arg;
    swg__coded *coded = &j->out->chunk[swg__encoding_chunk(j, task)];
    swg__chunk chunk;
    swg_status status = swg__encoding_open(j, swg__encoding_chunk(j, task), &chunk);
    swg__chunk back = chunk;
    if (status == SWG_OK) {
        back.values = swg__alloc(j->ctx, (size_t)chunk.count * (size_t)swg_element_bytes(chunk.grid.type));
        status = back.values ? SWG_OK : swg__fail_memory(j->ctx, (size_t)chunk.count * 8, "a chunk");
        if (status == SWG_OK)
            status = measure_record(&back, NULL, &coded->plain.record, swg__original(&chunk), &coded->plain.squares, &coded->measured);
        for (int i = 0; i < coded->others && status == SWG_OK; i++)
            status = measure_record(&back, j->out->model, &coded->other[i].record, swg__original(&chunk), &coded->other[i].squares, &coded->measured);
        swg__free(j->ctx, back.values);
    }
    swg__chunk_drop(&chunk);
    j->status[task] = status;
}

swg_status swg__encoding_step(swg__encoding *j, swg__task_fn fn, void *arg) {
    swg__parallel(j->ctx, j->chunks, fn, arg);
    for (int64_t i = 0; i < j->chunks; i++)
        if (j->status[i] != SWG_OK)
            return j->status[i];
    return SWG_OK;
}

/* Codes the chunks of a group: plain everywhere, the autoencoder where it pays. */
static swg_status code_group(swg__encoding *j) {
    swg_status status = SWG_OK;
    j->status = swg__calloc(j->ctx, (size_t)j->chunks, sizeof *j->status);
    if (!j->status)
        status = swg__fail_memory(j->ctx, (size_t)j->chunks * sizeof *j->status, "a group of chunks");
    if (status == SWG_OK)
        status = swg__encoding_step(j, code_plain, j);
    if (status == SWG_OK && j->swae)
        status = swg__swae_code(j);
    if (status == SWG_OK && j->measure)
        status = swg__encoding_step(j, measure_chunk, j);
    swg__free(j->ctx, j->status);
    return status;
}

/* ---- the array ---- */

static swg_status code_all(swg_context *ctx, const swg__request *request, swg__choice choice, swg__encoded *out) {
    if (!swg__layout_make(&out->header, &out->layout))
        return swg__fail(ctx, SWG_ESHAPE, "the array is too large");
    out->chunk = swg__calloc(ctx, (size_t)out->layout.count, sizeof *out->chunk);
    if (!out->chunk)
        return swg__fail_memory(ctx, (size_t)out->layout.count * sizeof *out->chunk, "chunks");
    for (int64_t i = 0; i < out->layout.count; i++)
        swg__text_init(&out->chunk[i].plain.record, ctx);
    swg__encoding j = {.ctx = ctx, .out = out, .data = request->array->data, .choice = choice, .stride = request->stride, .measure = request->measure};
    out->stride = request->stride;
    const int64_t tasks = (out->layout.count - j.stride / 2 + j.stride - 1) / j.stride;
    int candidate[SWG__MODELS];
    const double range = out->header.range_max - out->header.range_min;
    j.candidate = candidate;
    const swg_codec_model *model = choice.effort < SWG__EFFORT_SAMPLE ? NULL : out->model;
    if (out->header.grid.eb > 0 && !out->header.grid.pw_h)
        j.candidates = swg__model_candidates(model, request->opts.name, range > 0 ? out->header.grid.eb / range : 0, choice.without, candidate);
    for (int i = 0; model && i < model->count && !j.swae && out->header.grid.fine && !(choice.without >> SWG_MODE_NETWORK & 1); i++) {
        const swg__blob *b = &model->blob[i]; /* the first one that can encode */
        j.swae = b->kind && b->kind->code == SWG__KIND_SWAE && ((const swg__swae *)b->parsed)->encode ? b->parsed : NULL;
        j.swae_blob = i;
    }
    swg_status status = SWG_OK;
    for (; j.first < tasks && status == SWG_OK; j.first += j.chunks) {
        j.chunks = tasks - j.first;
        if (j.swae)
            j.chunks = swg__swae_group(&j, j.chunks);
        status = code_group(&j);
    }
    out->bytes = SWG__HEADER_BYTES + SWG__FRAME_BYTES + 8 + SWG__FOOTER_BYTES;
    for (int64_t i = 0; status == SWG_OK && i < out->layout.count; i++)
        out->bytes += (int64_t)out->chunk[i].plain.record.length + SWG__INDEX_ENTRY;
    return status;
}

swg_status swg__encode_try(swg_context *ctx, const swg__request *request, swg__encoded *out) {
    const swg_codec_opts *o = &request->opts;
    const int64_t raw = request->count * swg_element_bytes(request->array->type);
    out->header.bound = o->bound;
    out->header.value = o->bound == SWG_BOUND_LOSSLESS ? 0 : o->value;
    swg_status status = swg__grid_resolve(ctx, request->array, request->count, o, &out->header.fill, request->least, request->most,
                                          &out->header.grid);
    if (status == SWG_OK)
        status = code_all(ctx, request, swg__choice_of(o->without, o->effort), out);
    if (status == SWG_OK && request->stride == 1 && swg__encoded_bytes(out) > raw + 1024 && !o->keep_chunk) { /* noise: the promise is raw + 1 KiB, so as few chunks as there can be */
        swg__header header = out->header;
        slabs(&header);
        if (memcmp(header.chunk, out->header.chunk, sizeof header.chunk) != 0) {
            swg__encoded_free(out);
            *out = (swg__encoded){.ctx = ctx, .header = header, .name = o->name, .attributes = o->attributes};
            status = code_all(ctx, request, (swg__choice){.without = ~0u, .effort = SWG__EFFORT_LEAST}, out);
        }
    }
    if (status != SWG_OK)
        swg__encoded_free(out);
    return status;
}

swg_status swg__encode_chunks(swg_context *ctx, const swg_codec_array *array, const swg__header *header, swg__choice choice, swg__encoded *out) {
    *out = (swg__encoded){.ctx = ctx, .header = *header};
    swg_status status = code_all(ctx, &(swg__request){.array = array, .stride = 1}, choice, out);
    if (status != SWG_OK)
        swg__encoded_free(out);
    return status;
}

swg_status swg__encode_shape(swg_context *ctx, const swg_codec_array *array, const swg_codec_opts *opts, swg__header *h) {
    SWG__TRY(check_array(ctx, array, opts, h));
    h->bound = opts->bound;
    h->value = opts->bound == SWG_BOUND_LOSSLESS ? 0 : opts->value;
    h->user_tag = opts->user_tag;
    h->axis_map = map_axes(h);
    return SWG_OK;
}

/* A chunk of its own costs about 250 bytes: of the usual effort, where that is much of it. */
static bool worth_coarser(swg__choice choice, const swg__encoded *out) {
    enum { SMALL_RECORD = 12288 };
    return choice.effort >= SWG__EFFORT_MOST || (choice.effort >= SWG__EFFORT_SAMPLE && swg__encoded_bytes(out) < SMALL_RECORD * out->layout.count);
}

/* Where so little is left of an array that what each chunk costs by itself counts, larger chunks are tried. The shorter stays. */
static swg_status try_coarser(swg_context *ctx, const swg__request *r, swg__encoded *out) {
    const swg_codec_opts *o = &r->opts;
    if (o->chunk[0] || o->chunk[1] || o->chunk[2] || o->chunk[3] || o->keep_chunk || out->header.layout != SWG_CODEC_GRID ||
        out->layout.count == 1 || swg__encoded_bytes(out) > r->count / 16 || !worth_coarser(swg__choice_of(o->without, o->effort), out))
        return SWG_OK;
    swg__encoded coarse = {.ctx = ctx, .header = out->header, .name = o->name, .attributes = o->attributes, .model = o->model};
    choose_chunk(&coarse.header, edge_of(o->model), COARSE_TARGET);
    swg_status status = code_all(ctx, r, swg__choice_of(o->without, o->effort), &coarse);
    bool better = status == SWG_OK && swg__encoded_bytes(&coarse) < swg__encoded_bytes(out);
    swg__encoded_free(better ? out : &coarse);
    if (better)
        *out = coarse;
    return status;
}

/* ---- a stencil of the array's own ---- */

static void code_shared(void *arg, int64_t task, int worker) {
    (void)worker;
    swg__encoding *j = arg;
    swg__chunk chunk;
    if (j->out->chunk[task].plain.head.mode != SWG__MODE_W)
        return;
    j->status[task] = swg__encoding_open(j, task, &chunk);
    if (j->status[task] == SWG_OK)
        j->status[task] = code_candidates(j, &chunk, task);
    swg__chunk_drop(&chunk);
}

/* Whether chunks are so many and so small that the parameters in each of them count. */
static bool worth_sharing(const swg__request *r, const swg__encoded *e) {
    enum { CHUNKS = 8, BYTES = 12 << 10 };
    int64_t chunks = 0, bytes = 0;
    if (!swg__is_float(e->header.type) || e->header.grid.step == 0 || (r->opts.without >> SWG_MODE_STENCIL & 1) ||
        swg__choice_of(r->opts.without, r->opts.effort).effort < SWG__EFFORT_SAMPLE)
        return false;
    for (int64_t i = 0; i < e->layout.count; i++) {
        if (e->chunk[i].plain.head.mode == SWG__MODE_W) {
            chunks++;
            bytes += (int64_t)e->chunk[i].plain.record.length;
        }
    }
    return chunks >= CHUNKS && bytes / chunks < BYTES;
}

/* Small chunks may share a stencil that is fitted to all of them and stands in the file once. */
static swg_status try_shared(swg_context *ctx, const swg__request *r, swg__encoded *e) {
    if (!worth_sharing(r, e))
        return SWG_OK;
    swg_codec_opts opts = r->opts;
    memcpy(opts.chunk, e->header.chunk, sizeof opts.chunk);
    swg__text blob;
    swg__text_init(&blob, ctx);
    swg_status status = swg__model_new(ctx, &e->own);
    if (status == SWG_OK)
        status = swg__fit_stencil(ctx, r->array, 1, &opts, &(swg__fit_opts){0}, &blob);
    if (status == SWG_OK && blob.length && (blob.failed || swg__model_add(e->own, (const uint8_t *)blob.data, blob.length, NULL, 0, true)))
        status = swg__fail_memory(ctx, blob.length, "a stencil");
    swg__encoding j = {.ctx = ctx, .out = e, .data = r->array->data, .choice = swg__choice_of(r->opts.without, r->opts.effort), .stride = 1,
             .chunks = e->layout.count, .candidate = &(int){SWG__OWN}, .candidates = e->own ? e->own->count : 0};
    j.status = swg__calloc(ctx, (size_t)j.chunks, sizeof *j.status);
    if (status == SWG_OK && !j.status)
        status = swg__fail_memory(ctx, (size_t)j.chunks * sizeof *j.status, "chunks");
    if (status == SWG_OK && j.candidates)
        status = swg__encoding_step(&j, code_shared, &j);
    swg__free(ctx, j.status);
    swg__text_free(&blob);
    return status;
}

/* Header without bound and grid, and what the request says of the values. */
static swg_status look(swg_context *ctx, swg__request *r, swg__header *h) {
    const swg_codec_array *array = r->array;
    bool any;
    int64_t nan;
    SWG__TRY(swg__encode_shape(ctx, array, &r->opts, h));
    r->count = h->dims[0] * h->dims[1] * h->dims[2] * h->dims[3];
    SWG__TRY(resolve_fill(ctx, array, r->count, &r->opts, &h->fill));
    swg__range(ctx, array->type, array->data, r->count, &h->fill, &r->least, &r->most, &any, &nan);
    if (r->opts.fill == SWG_FILL_AUTO && nan >= 0) /* NaNs are in no range: it stands */
        h->fill = (swg__fill){SWG_FILL_ABOVE, swg__bits_of(array->type, array->data, nan), INFINITY};
    h->compat = any ? SWG__COMPAT_RANGE : 0;
    h->range_min = r->least;
    h->range_max = r->most;
    return SWG_OK;
}

swg_status swg__encode_look(swg_context *ctx, const swg_codec_array *array, const swg_codec_opts *opts, swg__header *h, swg__layout *layout) {
    swg__request r = {.array = array, .opts = *opts, .stride = 1};
    SWG__TRY(look(ctx, &r, h));
    if (opts->bound == SWG_BOUND_PSNR || opts->bound == SWG_BOUND_RATIO)
        return swg__fail(ctx, SWG_EINVAL, "a model is trained for a bound, not for a target of quality or size");
    SWG__TRY(swg__grid_resolve(ctx, array, r.count, opts, &h->fill, r.least, r.most, &h->grid));
    return swg__layout_make(h, layout) ? SWG_OK : swg__fail(ctx, SWG_ESHAPE, "the array is too large");
}

swg_status swg__encode_array(swg_context *ctx, const swg_codec_array *array, const swg_codec_opts *opts, const swg_codec_model *model,
                             swg__encoded *out) {
    static const swg_codec_opts none = {0};
    swg__request r = {.array = array, .opts = opts ? *opts : none, .stride = 1};
    r.opts.model = model;
    *out = (swg__encoded){.ctx = ctx, .name = r.opts.name, .attributes = r.opts.attributes, .model = model};
    SWG__TRY(look(ctx, &r, &out->header));
    if (r.opts.bound == SWG_BOUND_PSNR || r.opts.bound == SWG_BOUND_RATIO)
        return swg__target_encode(ctx, &r, out);
    SWG__TRY(swg__encode_try(ctx, &r, out));
    swg_status status = try_coarser(ctx, &r, out);
    if (status == SWG_OK)
        status = try_shared(ctx, &r, out);
    if (status != SWG_OK)
        swg__encoded_free(out);
    return status;
}

void swg__chunk_choose(swg__header *header, int edge) { choose_chunk(header, edge, CHUNK_TARGET); }
