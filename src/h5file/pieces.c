/* pieces.c - arrays cut into chunks of full size and back, filtered datasets read chunk by chunk and decoded by all threads.
 * In: arrays, HDF5 datasets. Out: bricks, arrays; what the records say of themselves.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "codec/encode.h"
#include "h5file/h5file.h"

enum { CHUNK_LEAST = 1 << 17, CHUNK_MOST = 1 << 22, BATCH_BYTES = 64 << 20 };

/* ---- cutting ---- */

/* The codec's usual chunk for the last axes that have an extent at all; whole cubes where the array ends in them. */
static swg_status choose(swg_context *ctx, const swg__h5_array *a, int64_t *chunk) {
    swg__header h = {.type = a->type, .layout = SWG_CODEC_GRID};
    int axes[4], first = a->rank;
    while (first > 0 && h.ndim < 4) {
        first--;
        chunk[first] = 1;
        h.ndim = (uint8_t)(h.ndim + (a->dims[first] > 1));
    }
    for (int i = 0; i < a->rank; i++)
        chunk[i] = 1;
    h.ndim = 0;
    for (int i = first; i < a->rank; i++)
        if (a->dims[i] > 1) {
            axes[h.ndim] = i;
            h.dims[h.ndim++] = a->dims[i];
        }
    if (h.ndim == 0)
        return SWG_OK;
    int64_t n = h.dims[3];
    if (h.ndim == 4 && n >= 3 && n <= 9 && h.dims[1] == n && h.dims[2] == n)
        h.layout = SWG_CODEC_BLOCKS;
    for (int i = h.ndim; i < 4; i++)
        h.dims[i] = 1;
    swg__chunk_choose(&h, 0);
    for (int i = 0; i < h.ndim; i++) {
        if (h.chunk[i] > INT32_MAX)
            return swg__fail(ctx, SWG_ESHAPE, "a chunk of %lld values along one axis", (long long)h.chunk[i]);
        chunk[axes[i]] = h.chunk[i];
    }
    return SWG_OK;
}

/* Chunks as they are, unless they are too small to compress or too large to be read alone. */
static bool keeps_chunks(const swg__h5_array *a) {
    int64_t values = 1;
    int axes = 0;
    for (int i = 0; i < a->rank; i++) {
        if (a->chunk[i] < 1 || swg__mul_overflow(values, a->chunk[i], &values))
            return false;
        axes += a->chunk[i] > 1;
    }
    return axes <= 4 && values >= CHUNK_LEAST && values <= CHUNK_MOST;
}

swg_status swg__h5_cut_make(swg_context *ctx, const swg__h5_array *a, const int64_t *chunk, swg__h5_cut *cut) {
    swg__filter_shape shape = {.type = a->type, .big_endian = a->big_endian, .rank = a->rank, .dims = a->dims, .chunk = cut->chunk};
    *cut = (swg__h5_cut){.chunks = 1, .chunk_values = 1};
    if (!chunk && !keeps_chunks(a))
        SWG__TRY(choose(ctx, a, cut->chunk));
    else
        memcpy(cut->chunk, chunk ? chunk : a->chunk, (size_t)a->rank * sizeof *chunk);
    SWG__TRY(swg__filter_geometry(ctx, &shape, &cut->shape));
    for (int i = 0; i < a->rank; i++) {
        cut->count[i] = (a->dims[i] + cut->chunk[i] - 1) / cut->chunk[i];
        cut->chunk_values *= cut->chunk[i];
        if (swg__mul_overflow(cut->chunks, cut->count[i], &cut->chunks))
            return swg__fail(ctx, SWG_ESHAPE, "too many chunks");
    }
    return SWG_OK;
}

void swg__h5_origin(const swg__h5_array *a, const swg__h5_cut *cut, int64_t chunk, hsize_t *origin) {
    for (int i = a->rank - 1; i >= 0; i--) {
        origin[i] = (hsize_t)(chunk % cut->count[i] * cut->chunk[i]);
        chunk /= cut->count[i];
    }
}

/* Rows of a chunk: for each, where it begins in the array (clamped into it), and whether it lies inside. */
typedef struct rows {
    const swg__h5_array *array;
    const swg__h5_cut *cut;
    hsize_t origin[SWG__FILTER_AXES];
    int64_t at[SWG__FILTER_AXES], row, start, inside_values;
    bool inside;
} rows;

static void rows_place(rows *r) {
    const swg__h5_array *a = r->array;
    r->start = 0;
    r->inside = true;
    for (int i = 0; i < a->rank; i++) {
        int64_t p = (int64_t)r->origin[i] + (i == a->rank - 1 ? 0 : r->at[i]);
        r->inside = r->inside && p < a->dims[i];
        r->start = r->start * a->dims[i] + (p < a->dims[i] ? p : a->dims[i] - 1);
    }
}

static void rows_begin(rows *r, const swg__h5_array *array, const swg__h5_cut *cut, int64_t chunk) {
    int last = array->rank - 1;
    *r = (rows){.array = array, .cut = cut};
    swg__h5_origin(array, cut, chunk, r->origin);
    int64_t left = array->dims[last] - (int64_t)r->origin[last];
    r->inside_values = left < cut->chunk[last] ? left : cut->chunk[last];
    rows_place(r);
}

static bool rows_next(rows *r) {
    for (int i = r->array->rank - 2; i >= 0; i--) {
        if (++r->at[i] < r->cut->chunk[i]) {
            r->row++;
            rows_place(r);
            return true;
        }
        r->at[i] = 0;
    }
    return false;
}

typedef struct gather_job {
    const swg__h5_array *array;
    const swg__h5_cut *cut;
    const char *values;
    char *bricks;
} gather_job;

static void gather_one(void *arg, int64_t chunk, int worker) {
    (void)worker;
    const gather_job *j = arg;
    const size_t bytes = (size_t)swg_element_bytes(j->array->type), length = (size_t)j->cut->chunk[j->array->rank - 1];
    char *to = j->bricks + (size_t)(chunk * j->cut->chunk_values) * bytes;
    rows r;
    rows_begin(&r, j->array, j->cut, chunk);
    do {
        const char *from = j->values + (size_t)r.start * bytes;
        memcpy(to, from, (size_t)r.inside_values * bytes);
        for (size_t x = (size_t)r.inside_values; x < length; x++)
            memcpy(to + x * bytes, from + (size_t)(r.inside_values - 1) * bytes, bytes);
        to += length * bytes;
    } while (rows_next(&r));
}

void swg__h5_gather(swg_context *ctx, const swg__h5_array *array, const swg__h5_cut *cut, const void *values, void *bricks) {
    swg__parallel(ctx, cut->chunks, gather_one, &(gather_job){array, cut, values, bricks});
}

/* The part of one brick that lies inside the array. */
static void scatter_one(const swg__h5_array *array, const swg__h5_cut *cut, int64_t chunk, const char *brick, char *values) {
    const size_t bytes = (size_t)swg_element_bytes(array->type), length = (size_t)cut->chunk[array->rank - 1];
    rows r;
    rows_begin(&r, array, cut, chunk);
    do
        if (r.inside)
            memcpy(values + (size_t)r.start * bytes, brick + (size_t)r.row * length * bytes, (size_t)r.inside_values * bytes);
    while (rows_next(&r));
}

/* ---- reading ---- */

swg_status swg__h5_read_plain(swg_context *ctx, const char *path, hid_t file, const char *name, swg_element type, void *values) {
    char what[400];
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    swg_status status = SWG_OK;
    snprintf(what, sizeof what, "cannot read dataset \"%.300s\"", name);
    if (dataset < 0 || H5Dread(dataset, swg__h5_native(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
        status = swg__h5_fail(ctx, SWG_EIO, path, what);
    if (dataset >= 0)
        H5Dclose(dataset);
    return status;
}

/* Chunks of one batch as they lie in the file. */
typedef struct stored_chunk {
    uint8_t *data;       /* NULL: never written, all fill value */
    size_t bytes;
    bool raw;            /* the filter was passed over: plain values in the file's byte order */
    const char *why;
    int mode;            /* swg_codec_mode, SWG_MODE_COUNT unknown */
    double max_ratio;
} stored_chunk;

typedef struct reader {
    swg_context *ctx;
    const char *path, *name;
    const swg__h5_array *array;
    swg__h5_cut cut;
    swg__filter filter;
    uint64_t fill;       /* native */
    int64_t first;       /* chunk of the batch's first */
    stored_chunk *batch;
    char *values;
} reader;

static swg_status fail_dataset(const reader *r, const char *what) {
    char text[400];
    snprintf(text, sizeof text, "cannot %s dataset \"%.300s\"", what, r->name);
    return swg__h5_fail(r->ctx, SWG_EIO, r->path, text);
}

/* Parameters as they lie in the file. HDF5's own query shows 256 words; the list as HDF5 encodes it shows all. */
static swg_status read_words(reader *r, hid_t list, uint32_t **words, size_t *count) {
    unsigned flags = 0;
    size_t given = SWG__FILTER_SEEN;
    *words = swg__calloc(r->ctx, SWG__FILTER_WORDS, sizeof **words);
    if (!*words)
        return swg__fail_memory(r->ctx, SWG__FILTER_WORDS * sizeof **words, "filter parameters");
    if (H5Pget_filter_by_id2(list, SWG__FILTER_ID, &flags, &given, *words, 0, NULL, NULL) < 0)
        return fail_dataset(r, "read the filter of");
    *count = given;
    if (given <= SWG__FILTER_SEEN)
        return SWG_OK;
    if (given > SWG__FILTER_WORDS)
        return swg__fail(r->ctx, SWG_ECORRUPT, "%s: dataset \"%s\": filter parameters of %zu words", r->path, r->name, given);
    size_t bytes = 0, found = 0;
    if (H5Pencode(list, NULL, &bytes) < 0)
        return fail_dataset(r, "read the filter of");
    uint8_t *encoded = swg__alloc(r->ctx, bytes), head[16];
    if (!encoded)
        return swg__fail_memory(r->ctx, bytes, "filter parameters");
    bool good = H5Pencode(list, encoded, &bytes) >= 0;
    for (int i = 0; i < 4; i++)
        swg__store32(head + 4 * i, (*words)[i]);
    for (size_t at = 0; good && at + 4 * given <= bytes && !found; at++) /* the first four words are ours alone; the checksum decides */
        if (memcmp(encoded + at, head, sizeof head) == 0) {
            for (size_t i = 0; i < given; i++)
                (*words)[i] = swg__load32(encoded + at + 4 * i);
            found = 1;
        }
    swg__free(r->ctx, encoded);
    return found ? SWG_OK : fail_dataset(r, "read the filter of");
}

/* Everything but the chunks. */
static swg_status open_reader(reader *r, hid_t dataset, int64_t *model_bytes) {
    hid_t list = H5Dget_create_plist(dataset);
    uint32_t *words = NULL;
    size_t count = 0;
    H5D_fill_value_t defined = H5D_FILL_VALUE_UNDEFINED;
    swg_status status = list < 0 ? fail_dataset(r, "describe") : read_words(r, list, &words, &count);
    if (status == SWG_OK)
        status = swg__filter_open(r->ctx, words, count, &r->filter);
    if (status == SWG_OK)
        status = swg__h5_cut_make(r->ctx, r->array, r->array->chunk, &r->cut);
    if (status == SWG_OK) {
        const swg__header *h = &r->filter.header;
        if (h->type != r->array->type || h->source_order != r->array->big_endian || r->filter.layout.values != r->cut.chunk_values)
            status = swg__fail(r->ctx, SWG_ECORRUPT, "%s: dataset \"%s\": the filter's parameters are not of this dataset", r->path, r->name);
        *model_bytes = (int64_t)r->filter.payload.bytes;
    }
    if (status == SWG_OK && H5Pfill_value_defined(list, &defined) >= 0 && defined != H5D_FILL_VALUE_UNDEFINED)
        (void)H5Pget_fill_value(list, swg__h5_native(r->array->type), &r->fill);
    swg__free(r->ctx, words);
    if (list >= 0)
        H5Pclose(list);
    return status;
}

static swg_status read_chunk(reader *r, hid_t dataset, int64_t chunk, stored_chunk *out) {
    hsize_t origin[SWG__FILTER_AXES], bytes = 0;
    uint32_t mask = 0;
    *out = (stored_chunk){.mode = SWG_MODE_COUNT};
    swg__h5_origin(r->array, &r->cut, chunk, origin);
    herr_t found = H5Dget_chunk_storage_size(dataset, origin, &bytes);
    if (found < 0 || bytes == 0)
        return SWG_OK;
    if (bytes > (hsize_t)r->cut.chunk_values * 8 + 4096)
        return swg__fail(r->ctx, SWG_ECORRUPT, "%s: dataset \"%s\": chunk %lld is larger than it could be", r->path, r->name, (long long)chunk);
    out->data = swg__alloc(r->ctx, (size_t)bytes);
    if (!out->data)
        return swg__fail_memory(r->ctx, (size_t)bytes, "a chunk");
    out->bytes = (size_t)bytes;
    if (H5Dread_chunk(dataset, H5P_DEFAULT, origin, &mask, out->data) < 0)
        return fail_dataset(r, "read a chunk of");
    out->raw = mask & 1;
    return SWG_OK;
}

static const char *decode_into(const reader *r, stored_chunk *c, char *brick) {
    const int bytes = swg_element_bytes(r->array->type);
    if (!c->data) {
        for (int64_t i = 0; i < r->cut.chunk_values; i++)
            memcpy(brick + i * bytes, &r->fill, (size_t)bytes);
        return NULL;
    }
    if (c->raw) {
        if (c->bytes != (size_t)r->cut.chunk_values * (size_t)bytes)
            return "stored values have the wrong length";
        memcpy(brick, c->data, c->bytes);
        if (r->array->big_endian)
            swg__swap_bytes(brick, r->cut.chunk_values, bytes);
        c->mode = SWG_MODE_STORED;
        return NULL;
    }
    size_t own = c->bytes >= SWG__RECORD_HEAD ? swg__load32(c->data + 4) : 0;
    if (own > c->bytes || own < SWG__RECORD_HEAD)
        return "the record is cut off";
    const char *why = swg__decode_alone(r->ctx, &r->filter.header, &r->filter.layout, r->filter.models, (swg__span){c->data, own}, brick);
    c->mode = (int)swg__mode_of(c->data[20], c->data[21]);
    c->max_ratio = (double)swg__load_f32(c->data + 28);
    return why;
}

static void decode_one(void *arg, int64_t task, int worker) {
    (void)worker;
    reader *r = arg;
    stored_chunk *c = &r->batch[task];
    char *brick = swg__alloc(r->ctx, (size_t)r->cut.chunk_values * (size_t)swg_element_bytes(r->array->type));
    c->why = brick ? decode_into(r, c, brick) : swg__why_memory;
    if (brick && r->values)
        scatter_one(r->array, &r->cut, r->first + task, brick, r->values);
    swg__free(r->ctx, brick);
}

/* Reads chunks from r->first on until the batch is full; returns how many. */
static swg_status fill_batch(reader *r, hid_t file, int64_t room, int64_t *count) {
    swg__h5 session;
    swg_status status = SWG_OK;
    size_t bytes = 0;
    *count = 0;
    swg__h5_enter(&session);
    hid_t dataset = H5Dopen2(file, r->name, H5P_DEFAULT);
    if (dataset < 0)
        status = fail_dataset(r, "open");
    while (status == SWG_OK && *count < room && r->first + *count < r->cut.chunks && bytes < BATCH_BYTES) {
        stored_chunk *c = &r->batch[*count];
        status = read_chunk(r, dataset, r->first + *count, c);
        bytes += c->bytes;
        (*count)++;
    }
    if (dataset >= 0)
        H5Dclose(dataset);
    swg__h5_leave(&session);
    return status;
}

static swg_status read_batch(reader *r, hid_t file, int64_t room, swg__h5_facts *facts) {
    int64_t count;
    swg_status status = fill_batch(r, file, room, &count);
    if (status == SWG_OK)
        swg__parallel(r->ctx, count, decode_one, r);
    for (int64_t i = 0; i < count; i++) {
        const stored_chunk *c = &r->batch[i];
        if (status == SWG_OK && c->why)
            status = swg__fail(r->ctx, c->why == swg__why_memory ? SWG_ENOMEM : c->why == swg__why_unsupported ? SWG_EUNSUPPORTED : SWG_ECORRUPT,
                               "%s: dataset \"%s\": chunk %lld: %s", r->path, r->name, (long long)(r->first + i), c->why);
        if (c->mode < SWG_MODE_COUNT)
            facts->mode_chunks[c->mode]++;
        facts->max_ratio = fmax(facts->max_ratio, c->max_ratio);
        facts->stored += (int64_t)c->bytes;
        swg__free(r->ctx, c->data);
    }
    r->first += count;
    return status;
}

/* Other filters stand behind ours: HDF5 must run them all. */
static swg_status read_pipeline(reader *r, hid_t file, swg__h5_facts *facts) {
    const size_t bytes = (size_t)r->array->values * (size_t)swg_element_bytes(r->array->type);
    void *values = r->values ? r->values : swg__alloc(r->ctx, bytes);
    if (!values)
        return swg__fail_memory(r->ctx, bytes, r->name);
    swg__h5 session;
    swg__h5_enter(&session);
    swg_status status = swg__h5_read_plain(r->ctx, r->path, file, r->name, r->array->type, values);
    hid_t dataset = H5Dopen2(file, r->name, H5P_DEFAULT);
    if (dataset >= 0) {
        facts->stored = (int64_t)H5Dget_storage_size(dataset);
        H5Dclose(dataset);
    }
    swg__h5_leave(&session);
    if (values != r->values)
        swg__free(r->ctx, values);
    return status;
}

swg_status swg__h5_read_filtered(swg_context *ctx, const char *path, hid_t file, const char *name, const swg__h5_array *array, void *values,
                                 swg__h5_facts *facts) {
    enum { BATCH = 4096 };
    reader r = {.ctx = ctx, .path = path, .name = name, .array = array, .values = values};
    swg__h5 session;
    *facts = (swg__h5_facts){0};
    swg__h5_enter(&session);
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    swg_status status = dataset < 0 ? fail_dataset(&r, "open") : open_reader(&r, dataset, &facts->model_bytes);
    if (dataset >= 0)
        H5Dclose(dataset);
    swg__h5_leave(&session);
    const swg__header *h = &r.filter.header;
    facts->info = (swg_swz_info){.bound = h->bound, .eb_abs = h->grid.eb, .fill = h->fill.mode, .fill_bits = h->fill.bits, .fill_threshold = h->fill.threshold,
                                 .range_min = h->range_min, .range_max = h->range_max};
    int64_t room = r.cut.chunks < BATCH ? r.cut.chunks : BATCH;
    if (status == SWG_OK && array->alone) {
        r.batch = swg__calloc(ctx, (size_t)room, sizeof *r.batch);
        if (!r.batch)
            status = swg__fail_memory(ctx, (size_t)room * sizeof *r.batch, name);
        while (status == SWG_OK && r.first < r.cut.chunks)
            status = read_batch(&r, file, room, facts);
        swg__free(ctx, r.batch);
    } else if (status == SWG_OK) {
        status = read_pipeline(&r, file, facts);
    }
    swg__filter_close(ctx, &r.filter);
    return status;
}
