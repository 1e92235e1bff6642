/* swz.c - opens .swz streams and collections, decodes chunks and members.
 * In: bytes of any origin. Out: checked tables, then values; damaged chunks are zero and named, nothing is trusted.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include "collection.h"
#include "context.h"
#include "poly.h"
#include "raw.h"
#include "stencil.h"
#include "tiles.h"

/* Models of one MODL section. */
typedef struct models {
    int count;
    swg__net net[SWG__MODELS];   /* layers 0: of a kind this version does not run */
} models;

typedef struct swz_member {
    swg__span stream, index;     /* index: payload */
    swg__header header;
    swg__layout layout;
    models *own;                 /* NULL: none, or those of the collection */
    char *source, *name, *attributes;
    swg_swz_info info;
} swz_member;

struct swg_swz {
    swg_context *ctx;
    uint8_t *owned;              /* the file's bytes, NULL if borrowed */
    swg__span file;
    models *shared;              /* of a collection */
    swz_member *members;
    int64_t count, model_bytes;
};

/* ---- models ---- */

static void models_free(swg_context *ctx, models *m) {
    for (int i = 0; m && i < m->count; i++)
        swg__net_free(&m->net[i]);
    swg__free(ctx, m);
}

/* A MODL section. *out NULL after a failure. */
static const char *models_parse(swg_context *ctx, const uint8_t *data, size_t bytes, uint32_t expected, models **out) {
    swg__span payload;
    *out = NULL;
    const char *why = swg__section_parse(data, bytes, "MODL", &payload);
    if (why)
        return why;
    swg__cursor in = {.at = payload.data, .end = payload.data + payload.bytes};
    uint32_t count = swg__take32(&in);
    if (in.bad || count != expected || count < 1 || count > SWG__MODELS)
        return "number of models differs from the header";
    models *m = swg__calloc(ctx, 1, sizeof *m);
    if (!m)
        return swg__why_memory;
    for (; !why && m->count < (int)count; m->count += !why) {
        const uint8_t *sha = swg__take(&in, 32);
        uint32_t kind = swg__take16(&in), version = swg__take16(&in), length = swg__take32(&in);
        const uint8_t *blob = swg__take(&in, length);
        (void)swg__take(&in, (4 - (length & 3)) & 3);
        uint8_t digest[32];
        if (in.bad || length < 16 || length > SWG__BLOB_BYTES) {
            why = "model passes the end of its section";
            break;
        }
        swg__sha256(blob, length, digest);
        if (memcmp(digest, sha, 32) != 0 || swg__load16(blob + 4) != kind)
            why = "hash or kind of a model is wrong";
        else if (kind == SWG__KIND_SWAE && version == 0)
            why = swg__net_parse(ctx, blob, length, &m->net[m->count]);
    }
    if (!why && swg__left(&in))
        why = "bytes left over behind the models";
    if (why)
        models_free(ctx, m);
    else
        *out = m;
    return why;
}

/* ---- opening ---- */

static void member_free(swg_context *ctx, swz_member *m) {
    models_free(ctx, m->own);
    swg__free(ctx, m->source);
    swg__free(ctx, m->name);
    swg__free(ctx, m->attributes);
}

void swg_swz_close(swg_swz *swz) {
    if (!swz)
        return;
    for (int64_t i = 0; i < swz->count; i++)
        member_free(swz->ctx, &swz->members[i]);
    swg__free(swz->ctx, swz->members);
    models_free(swz->ctx, swz->shared);
    swg__free(swz->ctx, swz->owned);
    swg__free(swz->ctx, swz);
}

/* A terminated copy; texts with a zero byte inside end there. */
static char *copy_text(swg_context *ctx, swg__span text) {
    char *copy = swg__alloc(ctx, text.bytes + 1);
    if (copy) {
        if (text.bytes)
            memcpy(copy, text.data, text.bytes);
        copy[text.bytes] = 0;
    }
    return copy;
}

typedef struct place {
    uint64_t begin, end;
} place;

static int by_begin(const void *a, const void *b) {
    uint64_t x = ((const place *)a)->begin, y = ((const place *)b)->begin;
    return (x > y) - (x < y);
}

/* Every record lies between header and index, none over another; in files that never grew they stand in order. */
static const char *check_index(swg_context *ctx, swz_member *m, uint64_t least, uint64_t most) {
    place *places = swg__alloc(ctx, (size_t)m->layout.count * sizeof *places);
    if (!places)
        return swg__why_memory;
    const char *why = NULL;
    int64_t used = 0;
    for (int64_t i = 0; i < m->layout.count && !why; i++) {
        swg__index_entry e;
        swg__index_read(m->index.data, i, &e);
        if (e.offset == 0 && e.record_bytes == 0)
            continue;
        bool ordered = (m->header.compat & SWG__COMPAT_APPEND) || !used || e.offset >= places[used - 1].end;
        if (e.record_bytes < SWG__RECORD_HEAD + 4 || e.offset < least || e.offset > most || e.record_bytes > most - e.offset || !ordered)
            why = "index points outside the records, backwards or twice to one place";
        else if (!(e.max_ratio >= 0 && e.max_ratio <= 1))
            why = "index holds an error larger than the bound";
        else
            places[used++] = (place){e.offset, e.offset + e.record_bytes};
    }
    if (!why && (m->header.compat & SWG__COMPAT_APPEND) && used)
        qsort(places, (size_t)used, sizeof *places, by_begin);
    for (int64_t i = 1; i < used && !why; i++)
        why = places[i].begin < places[i - 1].end ? "records overlap" : NULL;
    swg__free(ctx, places);
    return why;
}

/* What swg_swz_member shows. */
static void fill_info(swz_member *m) {
    const swg__header *h = &m->header;
    swg_swz_info *info = &m->info;
    *info = (swg_swz_info){.source = m->source, .name = m->name, .attributes = m->attributes, .type = h->type, .layout = h->layout,
                           .ndim = h->ndim, .values = m->layout.values, .chunks = m->layout.count, .bound = h->bound, .value = h->value,
                           .eb_abs = h->grid.eb, .step = h->grid.step, .base = h->grid.base, .range_min = h->range_min,
                           .range_max = h->range_max, .user_tag = h->user_tag};
    for (int i = 0; i < 4; i++) {
        info->dims[i] = h->dims[i];
        info->chunk[i] = h->chunk[i];
    }
    info->bytes_raw = info->values * swg_element_bytes(h->type);
    info->bytes_stored = (int64_t)m->stream.bytes;
    for (int64_t i = 0; i < m->layout.count; i++) {
        swg__index_entry e;
        swg__index_read(m->index.data, i, &e);
        swg_codec_mode mode = swg__mode_of(e.mode, e.submode);
        if (mode < SWG_MODE_COUNT)
            info->mode_chunks[mode]++;
        info->max_ratio = (double)e.max_ratio > info->max_ratio ? (double)e.max_ratio : info->max_ratio;
    }
}

/* One complete stream. shared: models of the collection around it, or NULL. */
static const char *member_parse(swg_context *ctx, swg__span stream, swg__span source, models *shared, swz_member *m,
                                swg_status *status) {
    m->stream = stream;
    const char *why = swg__header_parse(stream.data, stream.bytes, &m->header, status);
    if (why)
        return why;
    swg__header *h = &m->header;
    *status = SWG_ECORRUPT;
    m->source = copy_text(ctx, source);
    m->name = copy_text(ctx, h->name);
    m->attributes = copy_text(ctx, h->attributes);
    if (!m->source || !m->name || !m->attributes)
        return swg__why_memory;
    swg__footer footer;
    why = swg__footer_parse(stream.data, stream.bytes, &footer);
    if (why)
        return why;
    if (h->compat & SWG__COMPAT_APPEND)
        h->dims[0] = footer.dims0 > (uint64_t)1 << 48 ? 0 : (int64_t)footer.dims0;
    if ((uint64_t)h->dims[0] != footer.dims0 || h->dims[0] < 1 || !swg__layout_make(h, &m->layout))
        return "length of the first axis is impossible or differs from the footer";
    uint64_t count = (uint64_t)m->layout.count;
    if (footer.n_chunks != count || (h->n_chunks && h->n_chunks != count))
        return "number of chunks differs from the dimensions";
    if (footer.off_index < h->header_bytes || footer.index_bytes < SWG__FRAME_BYTES + 8 ||
        (footer.index_bytes - SWG__FRAME_BYTES - 8) / SWG__INDEX_ENTRY != count ||
        (footer.index_bytes - SWG__FRAME_BYTES - 8) % SWG__INDEX_ENTRY != 0)
        return "index has the wrong place or length";
    why = swg__section_parse(stream.data + footer.off_index, footer.index_bytes, "INDX", &m->index);
    if (!why && swg__load64(m->index.data) != count)
        why = "index counts other chunks than the header";
    uint64_t records = h->header_bytes;
    if (!why && (h->incompat & SWG__INCOMPAT_ENCLOSED)) {
        if (!shared || h->n_models > (uint32_t)shared->count || h->off_models)
            why = "models of the enclosing collection are missing";
    } else if (!why && h->n_models) {
        uint64_t at = h->off_models;
        if (at < h->header_bytes || at > footer.off_index || footer.off_index - at < SWG__FRAME_BYTES)
            return "models have an impossible place";
        uint64_t length = swg__load64(stream.data + at + 8);
        if (length > footer.off_index - at - SWG__FRAME_BYTES)
            return "models pass the end of the file";
        why = models_parse(ctx, stream.data + at, (size_t)length + SWG__FRAME_BYTES, h->n_models, &m->own);
        records = at == h->header_bytes ? at + length + SWG__FRAME_BYTES : records;
    }
    if (!why)
        why = check_index(ctx, m, records, footer.off_index);
    if (!why)
        fill_info(m);
    return why;
}

static swg_status fail_open(swg_context *ctx, swg_status status, const char *path, const char *where, const char *why) {
    if (why == swg__why_memory)
        return swg__fail(ctx, SWG_ENOMEM, "%s: out of memory", path);
    return swg__fail(ctx, status, "%s%s%s: %s", path, *where ? ", " : "", where, why);
}

static swg_status open_collection(swg_swz *swz, const char *path) {
    swg__directory directory;
    swg_status status = SWG_ECORRUPT;
    const char *why = swg__directory_parse(swz->file.data, swz->file.bytes, &directory, &status);
    if (!why && directory.models.data)
        why = models_parse(swz->ctx, directory.models.data, directory.models.bytes, 1, &swz->shared);
    if (why)
        return fail_open(swz->ctx, status, path, "", why);
    swz->model_bytes = (int64_t)directory.models.bytes;
    swz->members = swg__calloc(swz->ctx, (size_t)directory.count, sizeof *swz->members);
    if (!swz->members)
        return swg__fail_memory(swz->ctx, (size_t)directory.count * sizeof *swz->members, "members");
    swg__cursor in = {.at = directory.entries.data, .end = directory.entries.data + directory.entries.bytes};
    for (int64_t i = 0; i < (int64_t)directory.count; i++) {
        swg__directory_entry e;
        why = swg__directory_next(&in, &directory, &e);
        swz->count = i + 1;
        if (!why)
            why = member_parse(swz->ctx, (swg__span){swz->file.data + e.offset, (size_t)e.bytes}, e.source, swz->shared, &swz->members[i], &status);
        if (!why && (swz->members[i].header.name.bytes != e.name.bytes ||
                     (e.name.bytes && memcmp(swz->members[i].header.name.data, e.name.data, e.name.bytes) != 0)))
            why = "name differs from the one in the directory";
        if (why) {
            char where[64];
            snprintf(where, sizeof where, "member %lld", (long long)i);
            return fail_open(swz->ctx, status, path, where, why);
        }
    }
    return swg__left(&in) ? fail_open(swz->ctx, SWG_ECORRUPT, path, "", "bytes left over in the directory") : SWG_OK;
}

static swg_status open_bytes(swg_swz *swz, const char *path) {
    if (swg__is_collection(swz->file.data, swz->file.bytes))
        return open_collection(swz, path);
    swg_status status = SWG_EFORMAT;
    swz->members = swg__calloc(swz->ctx, 1, sizeof *swz->members);
    if (!swz->members)
        return swg__fail_memory(swz->ctx, sizeof *swz->members, path);
    swz->count = 1;
    const char *why = member_parse(swz->ctx, swz->file, (swg__span){0}, NULL, &swz->members[0], &status);
    return why ? fail_open(swz->ctx, status, path, "", why) : SWG_OK;
}

static swg_status open_swz(swg_context *ctx, uint8_t *owned, swg__span file, const char *path, swg_swz **out) {
    swg_swz *swz = swg__calloc(ctx, 1, sizeof *swz);
    if (!swz) {
        swg__free(ctx, owned);
        return swg__fail_memory(ctx, sizeof *swz, path);
    }
    *swz = (swg_swz){.ctx = ctx, .owned = owned, .file = file};
    swg_status status = open_bytes(swz, path);
    if (status != SWG_OK) {
        swg_swz_close(swz);
        return status;
    }
    *out = swz;
    return SWG_OK;
}

swg_status swg_swz_open(swg_context *ctx, const char *path, swg_swz **out) {
    uint8_t *data;
    size_t bytes;
    *out = NULL;
    SWG__TRY(swg__file_read(ctx, path, &data, &bytes));
    return open_swz(ctx, data, (swg__span){data, bytes}, path, out);
}

swg_status swg_swz_open_memory(swg_context *ctx, const void *data, size_t bytes, swg_swz **out) {
    *out = NULL;
    return open_swz(ctx, NULL, (swg__span){data, bytes}, "stream in memory", out);
}

int64_t swg_swz_count(const swg_swz *swz) { return swz->count; }

const swg_swz_info *swg_swz_member(const swg_swz *swz, int64_t member) {
    return member >= 0 && member < swz->count ? &swz->members[member].info : NULL;
}

int64_t swg_swz_find(const swg_swz *swz, const char *source, const char *name) {
    for (int64_t i = 0; i < swz->count; i++)
        if (strcmp(swz->members[i].name, name) == 0 && (!source || strcmp(swz->members[i].source, source) == 0))
            return i;
    return -1;
}

int64_t swg_swz_model_bytes(const swg_swz *swz) { return swz->model_bytes; }

/* ---- decoding ---- */

static const char *decode_constant(const swg__chunk *chunk, const swg__record *record) {
    const swg__span param = record->stream[SWG__PARAM];
    const size_t bytes = (size_t)swg_element_bytes(chunk->grid.type);
    if (record->head.submode == 1) {
        if (param.bytes != 8)
            return "constant has the wrong length";
        int64_t u = (int64_t)swg__load64(param.data);
        const char *why = swg__levels_store(chunk, record->head.sub_shift, &u, 0, 1);
        if (why)
            return why;
    } else {
        if (param.bytes != bytes)
            return "constant has the wrong length";
        swg__copy_values(chunk->values, param.data, 1, (int)bytes);
    }
    char *values = chunk->values;
    for (size_t done = 1, all = (size_t)chunk->count; done < all; done *= 2)
        memcpy(values + done * bytes, values, (done < all - done ? done : all - done) * bytes);
    return NULL;
}

/* A record into dense values. */
static const char *decode_record(const swg__chunk *chunk, const models *m, const swg__record *record) {
    const swg__record_head *head = &record->head;
    const int64_t nx = chunk->extent[3], rows = chunk->count / nx;
    const swg__span param = record->stream[SWG__PARAM];
    const char *why = NULL;
    if (!param.data)
        return "parameters are missing";
    switch (head->mode) {
    case SWG__MODE_C: why = decode_constant(chunk, record); break;
    case SWG__MODE_W: why = swg__stencil_decode(chunk, record); break;
    case SWG__MODE_B:
        if (!m || head->model_ref >= m->count)
            return "model is not in the file";
        if (!m->net[head->model_ref].layers)
            return swg__why_unsupported;
        why = swg__tiles_decode(chunk, &m->net[head->model_ref], record);
        break;
    case SWG__MODE_P: why = swg__poly_decode(chunk, &swg__poly_built_in, record); break;
    default:
        if (head->submode == 1) {
            why = swg__planes_decode(chunk->ctx, chunk->grid.type, param, rows, nx, chunk->values);
        } else {
            const int bytes = swg_element_bytes(chunk->grid.type);
            if (param.bytes != (size_t)chunk->count * (size_t)bytes)
                return "stored values have the wrong length";
            swg__copy_values(chunk->values, param.data, chunk->count, bytes);
        }
    }
    if (!why && record->stream[SWG__OUTLIERS].data)
        why = swg__outliers_read(chunk, record->stream[SWG__OUTLIERS]);
    return why;
}

/* Decodes chunk `index` of a member into chunk->values, zeroed on failure. extent and count are set by the caller. */
static const char *decode_chunk(const swg_swz *swz, const swz_member *m, int64_t index, const swg__chunk *chunk) {
    swg__index_entry e;
    swg__record record;
    const size_t bytes = (size_t)chunk->count * (size_t)swg_element_bytes(chunk->grid.type);
    swg__index_read(m->index.data, index, &e);
    const char *why = NULL;
    if (e.offset == 0 && e.record_bytes == 0) { /* a chunk never written */
        memset(chunk->values, 0, bytes);
        return NULL;
    }
    why = swg__record_parse(m->stream.data + e.offset, e.record_bytes, (uint32_t)chunk->count, (uint64_t)index, &record);
    if (!why && (record.head.crc != e.crc || record.head.mode != e.mode || record.head.submode != e.submode ||
                 record.head.flags != e.flags || memcmp(&record.head.max_ratio, &e.max_ratio, sizeof e.max_ratio) != 0))
        why = "record differs from its index entry";
    if (!why)
        why = decode_record(chunk, m->own ? m->own : m->header.incompat & SWG__INCOMPAT_ENCLOSED ? swz->shared : NULL, &record);
    if (why)
        memset(chunk->values, 0, bytes);
    return why;
}

static void open_chunk(const swg_swz *swz, const swz_member *m, int64_t index, int64_t origin[4], swg__chunk *chunk) {
    *chunk = (swg__chunk){.ctx = swz->ctx, .kernels = swg__codec_kernels_for(swz->ctx->isa), .grid = m->header.grid};
    swg__layout_chunk(&m->layout, &m->header, index, origin, chunk->extent);
    chunk->count = chunk->extent[0] * chunk->extent[1] * chunk->extent[2] * chunk->extent[3];
}

/* Dense chunk to its place in the dataset. */
static void scatter(const swz_member *m, const int64_t origin[4], const swg__chunk *chunk, char *out) {
    const swg__layout *l = &m->layout;
    const size_t bytes = (size_t)swg_element_bytes(m->header.type);
    const char *from = chunk->values;
    for (int64_t w = 0; w < chunk->extent[0]; w++)
        for (int64_t z = 0; z < chunk->extent[1]; z++)
            for (int64_t y = 0; y < chunk->extent[2]; y++) {
                int64_t at = (origin[0] + w) * l->stride[0] + (origin[1] + z) * l->stride[1] + (origin[2] + y) * l->stride[2] +
                             origin[3] * l->stride[3];
                if (l->stride[3] == 1) {
                    memcpy(out + (size_t)at * bytes, from, (size_t)chunk->extent[3] * bytes);
                    from += (size_t)chunk->extent[3] * bytes;
                    continue;
                }
                for (int64_t x = 0; x < chunk->extent[3]; x++, from += bytes)
                    memcpy(out + (size_t)(at + x * l->stride[3]) * bytes, from, bytes);
            }
}

typedef struct read_job {
    const swg_swz *swz;
    const swz_member *m;
    char *out;               /* NULL: check only */
    const char **why;        /* of each chunk */
} read_job;

static void read_one(void *arg, int64_t index, int worker) {
    (void)worker;
    read_job *job = arg;
    swg__chunk chunk;
    int64_t origin[4];
    open_chunk(job->swz, job->m, index, origin, &chunk);
    chunk.values = swg__alloc(job->swz->ctx, (size_t)chunk.count * (size_t)swg_element_bytes(chunk.grid.type));
    if (!chunk.values) {
        job->why[index] = swg__why_memory;
        return;
    }
    job->why[index] = decode_chunk(job->swz, job->m, index, &chunk);
    if (job->out)
        scatter(job->m, origin, &chunk, job->out);
    swg__free(job->swz->ctx, chunk.values);
}

static swg_status fail_chunk(const swg_swz *swz, const swz_member *m, int64_t index, const char *why) {
    swg_status status = why == swg__why_memory ? SWG_ENOMEM : why == swg__why_unsupported ? SWG_EUNSUPPORTED : SWG_ECORRUPT;
    return swg__fail(swz->ctx, status, "%s%s%schunk %lld: %s", m->source, *m->source ? " " : "", *m->name ? m->name : "", (long long)index, why);
}

static swg_status read_member(const swg_swz *swz, int64_t index, char *out) {
    const swz_member *m = &swz->members[index];
    read_job job = {.swz = swz, .m = m, .out = out, .why = swg__calloc(swz->ctx, (size_t)m->layout.count, sizeof *job.why)};
    if (!job.why)
        return swg__fail_memory(swz->ctx, (size_t)m->layout.count * sizeof *job.why, "chunks");
    swg__parallel(swz->ctx, m->layout.count, read_one, &job);
    swg_status status = SWG_OK;
    for (int64_t i = 0; i < m->layout.count && status == SWG_OK; i++)
        if (job.why[i])
            status = fail_chunk(swz, m, i, job.why[i]);
    swg__free(swz->ctx, job.why);
    return status;
}

static swg_status check_member(const swg_swz *swz, int64_t index) {
    if (index >= 0 && index < swz->count)
        return SWG_OK;
    return swg__fail(swz->ctx, SWG_EINVAL, "member %lld of %lld does not exist", (long long)index, (long long)swz->count);
}

swg_status swg_swz_read(const swg_swz *swz, int64_t index, void *out, size_t bytes) {
    SWG__TRY(check_member(swz, index));
    if (bytes != (size_t)swz->members[index].info.bytes_raw)
        return swg__fail(swz->ctx, SWG_ESHAPE, "%zu bytes given for a member of %lld", bytes, (long long)swz->members[index].info.bytes_raw);
    return read_member(swz, index, out);
}

swg_status swg_swz_verify(const swg_swz *swz, int64_t index) {
    SWG__TRY(check_member(swz, index));
    return read_member(swz, index, NULL);
}

swg_status swg_swz_read_chunk(const swg_swz *swz, int64_t index, int64_t number, void *out, size_t bytes, int64_t origin[4],
                              int64_t extent[4]) {
    SWG__TRY(check_member(swz, index));
    const swz_member *m = &swz->members[index];
    if (number < 0 || number >= m->layout.count)
        return swg__fail(swz->ctx, SWG_EINVAL, "chunk %lld of %lld does not exist", (long long)number, (long long)m->layout.count);
    swg__chunk chunk;
    int64_t from[4];
    const size_t size = (size_t)swg_element_bytes(m->header.type);
    open_chunk(swz, m, number, from, &chunk);
    if (bytes != (size_t)chunk.count * size)
        return swg__fail(swz->ctx, SWG_ESHAPE, "%zu bytes given for a chunk of %lld", bytes, (long long)chunk.count * (long long)size);
    chunk.values = swg__alloc(swz->ctx, bytes);
    if (!chunk.values)
        return swg__fail_memory(swz->ctx, bytes, "a chunk");
    /* The box as a dataset of its own, to bring the coder's axes back into the dataset's order. */
    static const int64_t corner[4] = {0, 0, 0, 0};
    swz_member box = {.header = m->header};
    for (int axis = 0; axis < 4; axis++) {
        box.header.dims[axis] = box.header.chunk[axis] = 1;
        if (origin)
            origin[axis] = 0;
    }
    for (int i = 0; i < 4; i++) {
        int axis = (m->header.axis_map >> 2 * i & 3) - (4 - m->header.ndim);
        if (axis < 0)
            continue;
        box.header.dims[axis] = box.header.chunk[axis] = chunk.extent[i];
        if (origin)
            origin[axis] = from[i];
    }
    if (extent)
        memcpy(extent, box.header.dims, sizeof box.header.dims);
    (void)swg__layout_make(&box.header, &box.layout); /* a part of a layout that was accepted */
    const char *why = decode_chunk(swz, m, number, &chunk);
    scatter(&box, corner, &chunk, out);
    swg__free(swz->ctx, chunk.values);
    return why ? fail_chunk(swz, m, number, why) : SWG_OK;
}
