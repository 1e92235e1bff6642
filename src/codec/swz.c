/* swz.c - opens .swz streams and collections, decodes chunks, boxes and members.
 * In: bytes of any origin. Out: checked tables, then values; damaged chunks are zero and named, nothing is trusted. Of a file only
 * what is needed is read: heads, tables and models when it is opened, then the records asked for.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include "collection.h"
#include "context.h"
#include "encode.h"
#include "filter.h"
#include "input.h"
#include "interp.h"
#include "poly.h"
#include "raw.h"
#include "relative.h"
#include "split.h"
#include "stencil.h"
#include "swz.h"

typedef struct swz_member {
    uint64_t offset, bytes;      /* of the stream in the input */
    swg__piece table;            /* the INDX section */
    swg__span index;             /* its payload */
    swg__header header;
    swg__layout layout;
    swg_codec_model *own;                 /* NULL: none, or those of the collection */
    char *source, *name, *attributes;
    swg_swz_info info;
} swz_member;

struct swg_swz {
    swg_context *ctx;
    swg__input here, *input;     /* input: &here, whose count of bytes read changes in a file that does not */
    swg_codec_model *shared;              /* of a collection */
    swz_member *members;
    int64_t count, model_bytes;
};

/* ---- models ---- */

static const char *models_parse(swg_context *ctx, const uint8_t *data, size_t bytes, uint32_t expected, swg_codec_model **out) {
    swg__span payload;
    *out = NULL;
    const char *why = swg__section_parse(data, bytes, "MODL", &payload);
    return why ? why : swg__models_read(ctx, payload, expected, out);
}

/* ---- opening ---- */

static void member_free(swg_swz *swz, swz_member *m) {
    swg_codec_model_free(swz->ctx, m->own);
    swg__piece_free(swz->input, &m->table);
    swg__free(swz->ctx, m->source);
    swg__free(swz->ctx, m->name);
    swg__free(swz->ctx, m->attributes);
}

void swg_swz_close(swg_swz *swz) {
    if (!swz)
        return;
    for (int64_t i = 0; i < swz->count; i++)
        member_free(swz, &swz->members[i]);
    swg__free(swz->ctx, swz->members);
    swg_codec_model_free(swz->ctx, swz->shared);
    swg__input_close(swz->input);
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
                           .range_max = h->range_max, .user_tag = h->user_tag, .fill = h->fill.mode, .fill_bits = h->fill.bits,
                           .fill_threshold = h->fill.threshold, .psnr_db = h->psnr};
    for (int i = 0; i < 4; i++) {
        info->dims[i] = h->dims[i];
        info->chunk[i] = h->chunk[i];
    }
    info->bytes_raw = info->values * swg_element_bytes(h->type);
    info->bytes_stored = (int64_t)m->bytes;
    for (int64_t i = 0; i < m->layout.count; i++) {
        swg__index_entry e;
        swg__index_read(m->index.data, i, &e);
        swg_codec_mode mode = swg__mode_of(e.mode, e.submode);
        if (mode < SWG_MODE_COUNT)
            info->mode_chunks[mode]++;
        info->max_ratio = (double)e.max_ratio > info->max_ratio ? (double)e.max_ratio : info->max_ratio;
    }
}

/* The header of the stream at `offset`, of at most `bytes` bytes. Its texts point into *piece. */
static const char *take_header(swg__input *input, uint64_t offset, uint64_t bytes, swg__piece *piece, swg__header *h, swg_status *status) {
    enum { USUAL = 1024 };
    const char *why = swg__input_take(input, offset, bytes < USUAL ? bytes : USUAL, piece);
    uint64_t length = !why && piece->span.bytes >= 16 ? swg__load32(piece->span.data + 12) : 0;
    if (length > USUAL && length <= 65536 && length <= bytes) {
        swg__piece_free(input, piece);
        why = swg__input_take(input, offset, length, piece);
    }
    return why ? why : swg__header_parse(piece->span.data, piece->span.bytes, h, status);
}

/* The models at `at`, before `end`, both from the start of the stream. *length: of the section. */
static const char *take_models(swg_swz *swz, swz_member *m, uint64_t at, uint64_t end, uint64_t *length) {
    swg__piece piece;
    if (at < m->header.header_bytes || at > end || end - at < SWG__FRAME_BYTES)
        return "models have an impossible place";
    const char *why = swg__input_take(swz->input, m->offset + at, 16, &piece);
    uint64_t payload = why ? 0 : swg__load64(piece.span.data + 8);
    swg__piece_free(swz->input, &piece);
    if (why)
        return why;
    if (payload > end - at - SWG__FRAME_BYTES)
        return "models pass the end of the file";
    *length = payload + SWG__FRAME_BYTES;
    why = swg__input_take(swz->input, m->offset + at, *length, &piece);
    if (!why)
        why = models_parse(swz->ctx, piece.span.data, piece.span.bytes, m->header.n_models, &m->own);
    swg__piece_free(swz->input, &piece);
    return why;
}

/* Footer, index and models of a stream whose header is known. */
static const char *take_tables(swg_swz *swz, swz_member *m) {
    swg__header *h = &m->header;
    swg__footer footer;
    swg__piece piece;
    if (m->bytes < SWG__HEADER_BYTES + SWG__FOOTER_BYTES)
        return "ends before its footer";
    const char *why = swg__input_take(swz->input, m->offset + m->bytes - SWG__FOOTER_BYTES, SWG__FOOTER_BYTES, &piece);
    if (!why)
        why = swg__footer_parse(piece.span.data, m->bytes, &footer);
    swg__piece_free(swz->input, &piece);
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
    why = swg__input_take(swz->input, m->offset + footer.off_index, footer.index_bytes, &m->table);
    if (!why)
        why = swg__section_parse(m->table.span.data, m->table.span.bytes, "INDX", &m->index);
    if (!why && swg__load64(m->index.data) != count)
        why = "index counts other chunks than the header";
    uint64_t records = h->header_bytes, length = 0;
    if (!why && (h->incompat & SWG__INCOMPAT_ENCLOSED)) {
        if (!swz->shared || h->n_models > (uint32_t)swz->shared->count || h->off_models)
            why = "models of the enclosing collection are missing";
    } else if (!why && h->n_models) {
        why = take_models(swz, m, h->off_models, footer.off_index, &length);
        records += h->off_models == h->header_bytes ? length : 0;
    }
    return why ? why : check_index(swz->ctx, m, records, footer.off_index);
}

/* One complete stream. entry: what a directory says of it; name NULL: there is none. */
static const char *member_parse(swg_swz *swz, const swg__directory_entry *entry, swz_member *m, swg_status *status) {
    swg_context *ctx = swz->ctx;
    swg__piece head;
    m->offset = entry->offset;
    m->bytes = entry->bytes;
    const char *why = take_header(swz->input, m->offset, m->bytes, &head, &m->header, status);
    swg__header *h = &m->header;
    if (!why) {
        *status = SWG_ECORRUPT;
        m->source = copy_text(ctx, entry->source);
        m->name = copy_text(ctx, h->name);
        m->attributes = copy_text(ctx, h->attributes);
        bool same = h->name.bytes == entry->name.bytes && (!h->name.bytes || memcmp(h->name.data, entry->name.data, h->name.bytes) == 0);
        if (!m->source || !m->name || !m->attributes)
            why = swg__why_memory;
        else if (entry->name.data && !same)
            why = "name differs from the one in the directory";
    }
    h->name = h->attributes = (swg__span){0};
    swg__piece_free(swz->input, &head);
    if (!why)
        why = take_tables(swz, m);
    if (!why)
        fill_info(m);
    return why;
}

static swg_status fail_open(swg_context *ctx, swg_status status, const char *path, const char *where, const char *why) {
    if (why == swg__why_memory)
        return swg__fail(ctx, SWG_ENOMEM, "%s: out of memory", path);
    return swg__fail(ctx, why == swg__why_io ? SWG_EIO : status, "%s%s%s: %s", path, *where ? ", " : "", where, why);
}

static swg_status open_members(swg_swz *swz, swg__directory *directory, const char *path) {
    swg_status status = SWG_ECORRUPT;
    const char *why = NULL;
    if (directory->models.span.data)
        why = models_parse(swz->ctx, directory->models.span.data, directory->models.span.bytes, 0, &swz->shared);
    if (why)
        return fail_open(swz->ctx, status, path, "", why);
    swz->model_bytes = (int64_t)directory->models.span.bytes;
    swz->members = swg__calloc(swz->ctx, (size_t)directory->count, sizeof *swz->members);
    if (!swz->members)
        return swg__fail_memory(swz->ctx, (size_t)directory->count * sizeof *swz->members, "members");
    swg__cursor in = {.at = directory->entries.data, .end = directory->entries.data + directory->entries.bytes};
    for (int64_t i = 0; i < (int64_t)directory->count; i++) {
        swg__directory_entry e;
        why = swg__directory_next(&in, directory, &e);
        swz->count = i + 1;
        if (!why)
            why = member_parse(swz, &e, &swz->members[i], &status);
        if (why) {
            char where[64];
            snprintf(where, sizeof where, "member %lld", (long long)i);
            return fail_open(swz->ctx, status, path, where, why);
        }
    }
    return swg__left(&in) ? fail_open(swz->ctx, SWG_ECORRUPT, path, "", "bytes left over in the directory") : SWG_OK;
}

static swg_status open_collection(swg_swz *swz, const char *path) {
    swg__directory directory;
    swg_status status = SWG_ECORRUPT;
    const char *why = swg__directory_open(swz->input, &directory, &status);
    status = why ? fail_open(swz->ctx, status, path, "", why) : open_members(swz, &directory, path);
    swg__directory_close(swz->input, &directory);
    return status;
}

static swg_status open_input(swg_swz *swz, const char *path) {
    swg__piece magic;
    const char *why = swg__input_take(swz->input, 0, swz->input->bytes < 8 ? swz->input->bytes : 8, &magic);
    bool collection = !why && swg__is_collection(magic.span.data, magic.span.bytes);
    swg__piece_free(swz->input, &magic);
    if (collection)
        return open_collection(swz, path);
    swg_status status = SWG_EFORMAT;
    swz->members = swg__calloc(swz->ctx, 1, sizeof *swz->members);
    if (!swz->members)
        return swg__fail_memory(swz->ctx, sizeof *swz->members, path);
    swz->count = 1;
    if (!why)
        why = member_parse(swz, &(swg__directory_entry){.bytes = swz->input->bytes}, &swz->members[0], &status);
    return why ? fail_open(swz->ctx, status, path, "", why) : SWG_OK;
}

swg_status swg__swz_open(swg_context *ctx, swg__input *input, const char *path, swg_swz **out) {
    *out = NULL;
    swg_swz *swz = swg__calloc(ctx, 1, sizeof *swz);
    if (!swz) {
        swg__input_close(input);
        return swg__fail_memory(ctx, sizeof *swz, path);
    }
    swz->ctx = ctx;
    swz->here = *input;
    swz->input = &swz->here;
    swg_status status = open_input(swz, path);
    if (status != SWG_OK) {
        swg_swz_close(swz);
        return status;
    }
    *out = swz;
    return SWG_OK;
}

swg_status swg_swz_open(swg_context *ctx, const char *path, swg_swz **out) {
    swg__input input;
    *out = NULL;
    SWG__TRY(swg__input_file(&input, ctx, path));
    return swg__swz_open(ctx, &input, path, out);
}

swg_status swg_swz_open_memory(swg_context *ctx, const void *data, size_t bytes, swg_swz **out) {
    swg__input input;
    *out = NULL;
    swg__input_memory(&input, ctx, data, bytes);
    return swg__swz_open(ctx, &input, "stream in memory", out);
}

const swg__header *swg__swz_header(const swg_swz *swz, int64_t member, const uint8_t **index) {
    *index = swz->members[member].index.data;
    return &swz->members[member].header;
}

uint64_t swg__swz_end(const swg_swz *swz) { return swz->input->bytes; }

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

int64_t swg_swz_bytes_read(const swg_swz *swz) { return (int64_t)atomic_load_explicit(&swz->input->taken, memory_order_relaxed); }

swg_codec_mode swg_swz_chunk_mode(const swg_swz *swz, int64_t member, int64_t chunk, int64_t *bytes) {
    swg__index_entry e = {0};
    bool known = member >= 0 && member < swz->count && chunk >= 0 && chunk < swz->members[member].layout.count;
    if (known)
        swg__index_read(swz->members[member].index.data, chunk, &e);
    if (bytes)
        *bytes = e.record_bytes;
    return known && e.record_bytes ? swg__mode_of(e.mode, e.submode) : SWG_MODE_COUNT;
}

/* ---- decoding ---- */

/* The first value everywhere. */
static void repeat_first(const swg__chunk *chunk) {
    const size_t bytes = (size_t)swg_element_bytes(chunk->grid.type);
    char *values = chunk->values;
    for (size_t done = 1, all = (size_t)chunk->count; done < all; done *= 2)
        memcpy(values + done * bytes, values, (done < all - done ? done : all - done) * bytes);
}

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
    repeat_first(chunk);
    return NULL;
}

static const char *decode_with_model(const swg__chunk *chunk, const swg_codec_model *m, const swg__record *record) {
    const swg__record_head *head = &record->head;
    if (!m || head->model_ref >= m->count)
        return "model is not in the file";
    const swg__blob *b = &m->blob[head->model_ref];
    if (!b->kind)
        return swg__why_unsupported;
    if (b->kind->mode != head->mode || b->kind->submode != head->submode)
        return "model is of another mode than its chunk";
    return b->kind->decode(chunk, b->parsed, record);
}

/* What the mode of a record coded, into dense values. */
static const char *decode_mode(const swg__chunk *chunk, const swg_codec_model *m, const swg__record *record) {
    const swg__record_head *head = &record->head;
    const int64_t nx = chunk->extent[3], rows = chunk->count / nx;
    const swg__span param = record->stream[SWG__PARAM];
    const char *why = NULL;
    if (head->model_ref != SWG__NO_MODEL)
        return decode_with_model(chunk, m, record);
    if (!param.data)
        return "parameters are missing";
    switch (head->mode) {
    case SWG__MODE_C: why = decode_constant(chunk, record); break;
    case SWG__MODE_W: why = swg__stencil_decode(chunk, NULL, record); break;
    case SWG__MODE_G: why = swg__interp_decode(chunk, record); break;
    case SWG__MODE_B: why = "model is not in the file"; break;
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
    return why;
}

/* A chunk whose mode coded the indices of a point-wise relative bound. */
static const char *decode_relative(const swg__chunk *chunk, const swg_codec_model *m, const swg__record *record) {
    swg__chunk inner = *chunk;
    if (!chunk->grid.pw_h)
        return "signs without a point-wise relative bound";
    inner.grid = (swg__grid){.type = SWG_ELEMENT_I64};
    inner.values = swg__alloc(chunk->ctx, (size_t)chunk->count * sizeof(int64_t));
    const char *why = inner.values ? decode_mode(&inner, m, record) : swg__why_memory;
    if (!why)
        why = swg__relative_store(chunk, chunk->mask, inner.values, record->stream[SWG__SIGN]);
    swg__free(chunk->ctx, inner.values);
    return why;
}

/* A chunk whose mode coded high words. */
static const char *decode_split(const swg__chunk *chunk, const swg_codec_model *m, const swg__record *record) {
    swg__chunk inner = *chunk;
    if (!swg__splits(chunk))
        return "low words of an array that is not lossless or has no 64 bits";
    inner.grid = (swg__grid){.type = SWG_ELEMENT_I64};
    inner.values = swg__alloc(chunk->ctx, (size_t)chunk->count * sizeof(int64_t));
    const char *why = inner.values ? decode_mode(&inner, m, record) : swg__why_memory;
    if (!why)
        why = swg__split_store(chunk, inner.values, record->stream[SWG__LOW]);
    swg__free(chunk->ctx, inner.values);
    return why;
}

/* A record into dense values: mask, mode, outliers, fill values. */
static const char *decode_record(const swg__chunk *given, const swg_codec_model *m, const swg__record *record) {
    swg__chunk chunk = *given;
    swg__span filled = {0};
    uint8_t *mask = NULL;
    const char *why = NULL;
    if (record->stream[SWG__MASK].data) {
        mask = swg__calloc(chunk.ctx, (size_t)chunk.count, 1);
        why = mask ? swg__mask_read(&chunk, record, mask, &filled) : swg__why_memory;
    }
    chunk.mask = mask;
    if (!why && chunk.grid.pw_h && !record->stream[SWG__SIGN].data && record->head.mode != SWG__MODE_R &&
        (record->head.mode != SWG__MODE_C || record->head.submode != 0))
        why = "signs of a point-wise relative bound are missing";
    if (!why)
        why = record->stream[SWG__SIGN].data  ? decode_relative(&chunk, m, record)
              : record->stream[SWG__LOW].data ? decode_split(&chunk, m, record)
                                              : decode_mode(&chunk, m, record);
    if (!why && record->stream[SWG__OUTLIERS].data)
        why = swg__outliers_read(&chunk, record->stream[SWG__OUTLIERS]);
    if (!why && mask)
        why = swg__mask_apply(&chunk, mask, filled);
    swg__free(chunk.ctx, mask);
    return why;
}

const char *swg__record_decode(const swg__chunk *chunk, const swg_codec_model *model, const swg__record *record) {
    return decode_record(chunk, model, record);
}

/* Decodes chunk `index` of a member into chunk->values, zeroed on failure. extent and count are set by the caller. */
static const char *decode_chunk(const swg_swz *swz, const swz_member *m, int64_t index, const swg__chunk *chunk) {
    swg__index_entry e;
    swg__record record;
    swg__piece piece;
    const size_t bytes = (size_t)chunk->count * (size_t)swg_element_bytes(chunk->grid.type);
    swg__index_read(m->index.data, index, &e);
    if (e.offset == 0 && e.record_bytes == 0) { /* a chunk never written: fill values, or zeros */
        swg__bits_store(chunk->grid.type, chunk->values, 0, chunk->fill.bits);
        repeat_first(chunk);
        return NULL;
    }
    const char *why = swg__input_take(swz->input, m->offset + e.offset, e.record_bytes, &piece);
    if (!why)
        why = swg__record_parse(piece.span.data, piece.span.bytes, (uint32_t)chunk->count, (uint64_t)index, &record);
    if (!why && (record.head.crc != e.crc || record.head.mode != e.mode || record.head.submode != e.submode ||
                 record.head.flags != e.flags || memcmp(&record.head.max_ratio, &e.max_ratio, sizeof e.max_ratio) != 0))
        why = "record differs from its index entry";
    if (!why)
        why = decode_record(chunk, m->own ? m->own : m->header.incompat & SWG__INCOMPAT_ENCLOSED ? swz->shared : NULL, &record);
    swg__piece_free(swz->input, &piece);
    if (why)
        memset(chunk->values, 0, bytes);
    return why;
}

static void open_chunk(const swg_swz *swz, const swz_member *m, int64_t index, int64_t origin[4], swg__chunk *chunk) {
    *chunk = (swg__chunk){.ctx = swz->ctx, .kernels = swg__codec_kernels_for(swz->ctx->isa), .grid = m->header.grid,
                          .fill = m->header.fill};
    swg__layout_chunk(&m->layout, &m->header, index, origin, chunk->extent);
    chunk->count = chunk->extent[0] * chunk->extent[1] * chunk->extent[2] * chunk->extent[3];
}

/* A part of the dataset, by coder axis, and the chunks it touches. */
typedef struct box {
    int64_t origin[4], extent[4], stride[4]; /* stride: of each axis in the box's own C order, in values */
    int64_t first[4], chunks[4];             /* places in the chunk grid */
    int64_t count;                           /* chunks */
    size_t bytes;
} box;

/* origin, extent: by dataset axis; NULL: everything. False: not inside the dataset. */
static bool box_make(const swz_member *m, const int64_t *origin, const int64_t *extent, box *b) {
    const swg__layout *l = &m->layout;
    const int unused = 4 - m->header.ndim;
    int64_t stride = 1;
    *b = (box){.count = 1};
    for (int axis = 3; axis >= 0; axis--) /* by dataset axis, last fastest */
        for (int i = 0; i < 4; i++) {
            if ((m->header.axis_map >> 2 * i & 3) != axis)
                continue;
            bool given = origin && axis >= unused;
            b->origin[i] = given ? origin[axis - unused] : 0;
            b->extent[i] = given ? extent[axis - unused] : l->dims[i];
            if (b->origin[i] < 0 || b->extent[i] < 1 || b->origin[i] > l->dims[i] - b->extent[i])
                return false;
            b->stride[i] = stride;
            stride *= b->extent[i];
            b->first[i] = b->origin[i] / l->chunk[i];
            b->chunks[i] = (b->origin[i] + b->extent[i] - 1) / l->chunk[i] - b->first[i] + 1;
            b->count *= b->chunks[i];
        }
    b->bytes = (size_t)stride * (size_t)swg_element_bytes(m->header.type);
    return true;
}

/* Number of the task-th chunk of a box in the chunk grid of its dataset. */
static int64_t box_chunk(const swz_member *m, const box *b, int64_t task) {
    int64_t number = 0, step = 1;
    for (int axis = 3; axis >= 0; axis--)
        for (int i = 0; i < 4; i++)
            if ((m->header.axis_map >> 2 * i & 3) == axis) {
                number += (b->first[i] + task % b->chunks[i]) * step;
                task /= b->chunks[i];
                step *= m->layout.chunks[i];
            }
    return number;
}

/* What of a dense chunk lies inside the box, to its place there. */
static void scatter(const box *b, const int64_t origin[4], const swg__chunk *chunk, char *out) {
    const size_t bytes = (size_t)swg_element_bytes(chunk->grid.type);
    int64_t low[4], high[4];
    for (int i = 0; i < 4; i++) {
        low[i] = origin[i] > b->origin[i] ? origin[i] : b->origin[i];
        high[i] = origin[i] + chunk->extent[i] < b->origin[i] + b->extent[i] ? origin[i] + chunk->extent[i] : b->origin[i] + b->extent[i];
    }
    for (int64_t w = low[0]; w < high[0]; w++)
        for (int64_t z = low[1]; z < high[1]; z++)
            for (int64_t y = low[2]; y < high[2]; y++) {
                const char *from = (const char *)chunk->values + (size_t)((((w - origin[0]) * chunk->extent[1] + z - origin[1]) * chunk->extent[2] +
                                                                           y - origin[2]) * chunk->extent[3] + low[3] - origin[3]) * bytes;
                int64_t at = (w - b->origin[0]) * b->stride[0] + (z - b->origin[1]) * b->stride[1] + (y - b->origin[2]) * b->stride[2] +
                             (low[3] - b->origin[3]) * b->stride[3];
                if (b->stride[3] == 1) {
                    memcpy(out + (size_t)at * bytes, from, (size_t)(high[3] - low[3]) * bytes);
                    continue;
                }
                for (int64_t x = low[3]; x < high[3]; x++, from += bytes, at += b->stride[3])
                    memcpy(out + (size_t)at * bytes, from, bytes);
            }
}

typedef struct read_job {
    const swg_swz *swz;
    const swz_member *m;
    box box;
    char *out;               /* NULL: check only */
    const char **why;        /* of each chunk of the box */
} read_job;

static void read_one(void *arg, int64_t task, int worker) {
    (void)worker;
    read_job *job = arg;
    swg__chunk chunk;
    int64_t origin[4], index = box_chunk(job->m, &job->box, task);
    open_chunk(job->swz, job->m, index, origin, &chunk);
    chunk.values = swg__alloc(job->swz->ctx, (size_t)chunk.count * (size_t)swg_element_bytes(chunk.grid.type));
    if (!chunk.values) {
        job->why[task] = swg__why_memory;
        return;
    }
    job->why[task] = decode_chunk(job->swz, job->m, index, &chunk);
    if (job->out)
        scatter(&job->box, origin, &chunk, job->out);
    swg__free(job->swz->ctx, chunk.values);
}

static swg_status fail_chunk(const swg_swz *swz, const swz_member *m, int64_t index, const char *why) {
    swg_status status = why == swg__why_memory ? SWG_ENOMEM : why == swg__why_io ? SWG_EIO :
                        why == swg__why_unsupported ? SWG_EUNSUPPORTED : SWG_ECORRUPT;
    return swg__fail(swz->ctx, status, "%s%s%schunk %lld: %s", m->source, *m->source ? " " : "", *m->name ? m->name : "", (long long)index, why);
}

/* Chunks of a box in parallel; out NULL: check only. */
static swg_status read_box(const swg_swz *swz, const swz_member *m, const box *b, char *out) {
    read_job job = {.swz = swz, .m = m, .box = *b, .out = out, .why = swg__calloc(swz->ctx, (size_t)b->count, sizeof *job.why)};
    if (!job.why)
        return swg__fail_memory(swz->ctx, (size_t)b->count * sizeof *job.why, "chunks");
    swg__parallel(swz->ctx, b->count, read_one, &job);
    swg_status status = SWG_OK;
    for (int64_t i = 0; i < b->count && status == SWG_OK; i++)
        if (job.why[i])
            status = fail_chunk(swz, m, box_chunk(m, b, i), job.why[i]);
    swg__free(swz->ctx, job.why);
    return status;
}

static swg_status check_member(const swg_swz *swz, int64_t index) {
    if (index >= 0 && index < swz->count)
        return SWG_OK;
    return swg__fail(swz->ctx, SWG_EINVAL, "member %lld of %lld does not exist", (long long)index, (long long)swz->count);
}

swg_status swg_swz_read_box(const swg_swz *swz, int64_t index, const int64_t *origin, const int64_t *extent, void *out, size_t bytes) {
    box b;
    SWG__TRY(check_member(swz, index));
    const swz_member *m = &swz->members[index];
    if (!box_make(m, origin, extent, &b))
        return swg__fail(swz->ctx, SWG_EINVAL, "the box is empty or not inside \"%s\"", m->name);
    if (bytes != b.bytes)
        return swg__fail(swz->ctx, SWG_ESHAPE, "%zu bytes given for a box of %zu", bytes, b.bytes);
    return read_box(swz, m, &b, out);
}

swg_status swg_swz_read(const swg_swz *swz, int64_t index, void *out, size_t bytes) {
    return swg_swz_read_box(swz, index, NULL, NULL, out, bytes);
}

swg_status swg_swz_verify(const swg_swz *swz, int64_t index) {
    box b;
    SWG__TRY(check_member(swz, index));
    (void)box_make(&swz->members[index], NULL, NULL, &b);
    return read_box(swz, &swz->members[index], &b, NULL);
}

swg_status swg_swz_read_chunk(const swg_swz *swz, int64_t index, int64_t number, void *out, size_t bytes, int64_t origin[4],
                              int64_t extent[4]) {
    SWG__TRY(check_member(swz, index));
    const swz_member *m = &swz->members[index];
    if (number < 0 || number >= m->layout.count)
        return swg__fail(swz->ctx, SWG_EINVAL, "chunk %lld of %lld does not exist", (long long)number, (long long)m->layout.count);
    swg__chunk chunk;
    int64_t from[4], corner[4] = {0, 0, 0, 0}, extents[4] = {1, 1, 1, 1};
    open_chunk(swz, m, number, from, &chunk);
    for (int i = 0; i < 4; i++) {
        int axis = (m->header.axis_map >> 2 * i & 3) - (4 - m->header.ndim);
        if (axis >= 0) {
            corner[axis] = from[i];
            extents[axis] = chunk.extent[i];
        }
    }
    if (origin)
        memcpy(origin, corner, sizeof corner);
    if (extent)
        memcpy(extent, extents, sizeof extents);
    return swg_swz_read_box(swz, index, corner, extents, out, bytes);
}

const char *swg__decode_alone(swg_context *ctx, const swg__header *header, const swg__layout *layout, const swg_codec_model *m, swg__span bytes,
                              void *out) {
    static const int64_t corner[4] = {0, 0, 0, 0};
    const size_t size = (size_t)layout->values * (size_t)swg_element_bytes(header->type);
    const swz_member whole = {.header = *header, .layout = *layout};
    box all;
    swg__chunk chunk = {.ctx = ctx, .kernels = swg__codec_kernels_for(ctx->isa), .grid = header->grid, .fill = header->fill, .count = layout->values};
    swg__record record;
    memcpy(chunk.extent, layout->dims, sizeof chunk.extent);
    memset(out, 0, size);
    const char *why = swg__record_parse(bytes.data, bytes.bytes, (uint32_t)chunk.count, 0, &record);
    if (why)
        return why;
    bool direct = header->axis_map == SWG__IDENTITY_MAP;
    chunk.values = direct ? out : swg__alloc(ctx, size);
    if (!chunk.values)
        return swg__why_memory;
    why = decode_record(&chunk, m, &record);
    if (direct) {
        if (why)
            memset(out, 0, size);
        return why;
    }
    if (!why && box_make(&whole, NULL, NULL, &all))
        scatter(&all, corner, &chunk, out);
    swg__free(ctx, chunk.values);
    return why;
}
