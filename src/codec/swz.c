/* swz.c - opens .swz streams and collections.
 * In: bytes of any origin. Out: checked heads, tables and models; nothing is trusted. Records are read later, by read.c.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include "collection.h"
#include "context.h"
#include "encode.h"
#include "input.h"
#include "swz.h"

/* ---- models ---- */

static const char *models_parse(swg_context *ctx, const uint8_t *data, size_t bytes, uint32_t expected, swg_codec_model **out) {
    swg__span payload;
    *out = NULL;
    const char *why = swg__section_parse(data, bytes, "MODL", &payload);
    return why ? why : swg__models_read(ctx, payload, expected, out);
}

/* ---- opening ---- */

static void member_free(swg_swz *swz, swg__member *m) {
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
static const char *check_index(swg_context *ctx, swg__member *m, uint64_t least, uint64_t most) {
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
static void fill_info(swg__member *m) {
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
static const char *take_models(swg_swz *swz, swg__member *m, uint64_t at, uint64_t end, uint64_t *length) {
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
static const char *take_tables(swg_swz *swz, swg__member *m) {
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
static const char *member_parse(swg_swz *swz, const swg__directory_entry *entry, swg__member *m, swg_status *status) {
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
