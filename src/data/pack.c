/* pack.c - collects rows per dataset, packs full chunks in parallel, writes them in order.
 * In: rows in memory. Out: chunks in a direct sink; the same bytes for any number of threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "pack.h"
#include <string.h>

typedef struct column {
    int64_t dataset, lead;
    int axis, ndim;
    size_t row_bytes, element_bytes;
    int64_t chunk_rows;
    int64_t rows;              /* in the end; 0: not known */
    int64_t written;           /* rows in whole chunks on disk */
    int64_t pending;           /* rows in the buffer */
    size_t capacity;
    char *buffer;
    bool done;
} column;

typedef struct chunk {
    int64_t column, first;     /* row of the dataset, row of the buffer: first - written */
    char *packed;
    size_t bytes;
} chunk;

struct swg__packer {
    swg_context *ctx;
    swg_sink *sink;
    int level;
    column *columns;
    int64_t count;
    chunk *chunks;
    int64_t chunk_capacity;
    char *work;                /* per thread: a shuffled chunk */
    char *out;                 /* packed chunks */
    size_t work_bytes, work_capacity, out_capacity;
};

swg_status swg__packer_open(swg_context *ctx, swg_sink *sink, int level, swg__packer **out) {
    *out = swg__calloc(ctx, 1, sizeof **out);
    if (!*out)
        return swg__fail_memory(ctx, sizeof **out, "a packer");
    (*out)->ctx = ctx;
    (*out)->sink = sink;
    (*out)->level = level;
    return SWG_OK;
}

void swg__packer_close(swg__packer *p) {
    if (!p)
        return;
    for (int64_t i = 0; i < p->count; i++)
        swg__free(p->ctx, p->columns[i].buffer);
    swg__free(p->ctx, p->columns);
    swg__free(p->ctx, p->chunks);
    swg__free(p->ctx, p->work);
    swg__free(p->ctx, p->out);
    swg__free(p->ctx, p);
}

swg_status swg__packer_column(swg__packer *p, const swg__column_opts *opts, int64_t *number) {
    column *grown = swg__grow(p->ctx, p->columns, (size_t)(p->count + 1) * sizeof *grown);
    if (!grown)
        return swg__fail_memory(p->ctx, (size_t)(p->count + 1) * sizeof *grown, "the columns of a packer");
    p->columns = grown;
    column c = {.dataset = opts->number, .lead = opts->lead, .axis = opts->axis, .ndim = opts->ndim, .chunk_rows = opts->chunk_rows,
                .rows = opts->rows, .element_bytes = (size_t)swg_element_bytes(opts->element)};
    c.row_bytes = c.element_bytes;
    int64_t dims[SWG__SINK_AXES], shape[SWG__SINK_AXES];
    for (int i = 0; i < opts->ndim; i++) {
        dims[i] = i == 0 && opts->axis == 0 ? 0 : opts->dims[i];
        shape[i] = i == opts->axis ? opts->chunk_rows : i < opts->axis ? 1 : opts->dims[i];
        c.row_bytes *= i > opts->axis ? (size_t)opts->dims[i] : 1;
    }
    if (opts->number < 0)
        SWG__TRY(swg__sink_chunked(p->sink, opts->dataset, opts->element, opts->ndim, dims, shape, opts->axis == 0, &c.dataset));
    *number = p->count;
    p->columns[p->count++] = c;
    return SWG_OK;
}

int64_t swg__packer_dataset(const swg__packer *p, int64_t number) { return p->columns[number].dataset; }
int64_t swg__packer_rows(const swg__packer *p, int64_t number) { return p->columns[number].written + p->columns[number].pending; }

void *swg__packer_add(swg__packer *p, int64_t number, int64_t rows) {
    column *c = &p->columns[number];
    /* Whole chunks, so that the last one can be padded where it stands. */
    int64_t chunks = (c->pending + rows + c->chunk_rows - 1) / c->chunk_rows;
    size_t bytes = (size_t)(chunks * c->chunk_rows) * c->row_bytes;
    if (bytes > c->capacity) {
        char *grown = swg__grow(p->ctx, c->buffer, bytes);
        if (!grown)
            return NULL;
        c->buffer = grown;
        c->capacity = bytes;
    }
    void *at = c->buffer + (size_t)c->pending * c->row_bytes;
    c->pending += rows;
    return at;
}

void *swg__packer_at(const swg__packer *p, int64_t number, int64_t row) {
    const column *c = &p->columns[number];
    return c->buffer + (size_t)(row - c->written) * c->row_bytes;
}

static void pack_task(void *arg, int64_t task, int worker) {
    swg__packer *p = arg;
    chunk *k = &p->chunks[task];
    const column *c = &p->columns[k->column];
    k->bytes = swg__pack(c->buffer + (size_t)(k->first - c->written) * c->row_bytes, (size_t)c->chunk_rows * c->row_bytes, c->element_bytes, p->level,
                         p->work + (size_t)worker * p->work_bytes, k->packed);
}

/* Nothing will be added any more. */
static bool is_last(const column *c, bool end) { return end || (c->rows && c->written + c->pending == c->rows); }

/* Lists the chunks to be packed; *total: room their packed forms may need. */
static swg_status list_chunks(swg__packer *p, bool end, int64_t *count, size_t *total) {
    *count = 0;
    *total = 0;
    p->work_bytes = 0;
    for (int64_t i = 0; i < p->count; i++) {
        column *c = &p->columns[i];
        size_t bytes = (size_t)c->chunk_rows * c->row_bytes;
        bool last = is_last(c, end);
        int64_t chunks = last ? (c->pending + c->chunk_rows - 1) / c->chunk_rows : c->pending / c->chunk_rows;
        if (!chunks)
            continue;
        if (last && chunks * c->chunk_rows > c->pending)
            memset(c->buffer + (size_t)c->pending * c->row_bytes, 0, (size_t)(chunks * c->chunk_rows - c->pending) * c->row_bytes);
        if (*count + chunks > p->chunk_capacity) {
            int64_t larger = 2 * (*count + chunks);
            chunk *grown = swg__grow(p->ctx, p->chunks, (size_t)larger * sizeof *grown);
            if (!grown)
                return swg__fail_memory(p->ctx, (size_t)larger * sizeof *grown, "the chunks of a packer");
            p->chunks = grown;
            p->chunk_capacity = larger;
        }
        for (int64_t k = 0; k < chunks; k++)
            p->chunks[(*count)++] = (chunk){.column = i, .first = c->written + k * c->chunk_rows};
        *total += (size_t)chunks * ((swg__pack_bound(bytes) + 63) & ~(size_t)63);
        p->work_bytes = bytes > p->work_bytes ? bytes : p->work_bytes;
    }
    p->work_bytes = (p->work_bytes + 63) & ~(size_t)63;
    return SWG_OK;
}

static swg_status reserve(swg_context *ctx, char **buffer, size_t *capacity, size_t bytes) {
    if (bytes <= *capacity)
        return SWG_OK;
    swg__free(ctx, *buffer);
    *capacity = 0;
    if (!(*buffer = swg__alloc(ctx, bytes)))
        return swg__fail_memory(ctx, bytes, "packed chunks");
    *capacity = bytes;
    return SWG_OK;
}

/* What was written leaves the buffer. */
static swg_status leave(swg__packer *p, column *c, bool end) {
    bool last = is_last(c, end);
    int64_t gone = last ? c->pending : c->pending / c->chunk_rows * c->chunk_rows;
    if (gone && gone < c->pending)
        memmove(c->buffer, c->buffer + (size_t)gone * c->row_bytes, (size_t)(c->pending - gone) * c->row_bytes);
    c->written += gone;
    c->pending -= gone;
    if (!last || c->done)
        return SWG_OK;
    c->done = true;
    swg__free(p->ctx, c->buffer);
    c->buffer = NULL;
    c->capacity = 0;
    if (c->axis > 0)
        return SWG_OK;
    swg_status status = swg__sink_grow(p->sink, c->dataset, c->written);
    swg__sink_chunked_close(p->sink, c->dataset);
    return status;
}

swg_status swg__packer_flush(swg__packer *p, bool end) {
    int64_t count;
    size_t total, at = 0;
    SWG__TRY(list_chunks(p, end, &count, &total));
    SWG__TRY(reserve(p->ctx, &p->work, &p->work_capacity, p->work_bytes * (size_t)swg_context_threads(p->ctx)));
    SWG__TRY(reserve(p->ctx, &p->out, &p->out_capacity, total));
    for (int64_t i = 0; i < count; i++) {
        const column *c = &p->columns[p->chunks[i].column];
        p->chunks[i].packed = p->out + at;
        at += (swg__pack_bound((size_t)c->chunk_rows * c->row_bytes) + 63) & ~(size_t)63;
    }
    swg__parallel(p->ctx, count, pack_task, p);
    for (int64_t i = 0; i < count; i++) {
        const chunk *k = &p->chunks[i];
        const column *c = &p->columns[k->column];
        int64_t first[SWG__SINK_AXES] = {0};
        if (!k->bytes)
            return swg__fail_memory(p->ctx, (size_t)c->chunk_rows * c->row_bytes, "deflate");
        first[0] = c->lead;
        first[c->axis] = k->first;
        if (c->axis == 0)
            SWG__TRY(swg__sink_grow(p->sink, c->dataset, k->first + c->chunk_rows));
        SWG__TRY(swg__sink_chunk(p->sink, c->dataset, first, k->packed, k->bytes));
    }
    for (int64_t i = 0; i < p->count; i++)
        SWG__TRY(leave(p, &p->columns[i], end));
    return SWG_OK;
}
