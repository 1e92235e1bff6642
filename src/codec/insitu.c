/* insitu.c - batches of small arrays to messages and back, inside memory of the caller.
 * In: items of one shape. Out: a head of 64 bytes and one chunk record (docs/format.md, "In-situ message"). The chunk coder is the codec's; its
 * memory comes from a region that was sized at setup, and where that is too small after all the items are stored as they are.
 * SPDX-License-Identifier: Apache-2.0 */
#include "context.h"
#include "container.h"
#include "encode.h"
#include "insitu.h"
#include "swz.h"

enum { HEAD = 64, VERSION = 1, LONGEST = 1 << 16 };

struct swg_insitu {
    swg_context *ctx;
    swg_insitu_opts opts;
    int64_t item_values;
    swg__region region;
};

const swg__region *swg__insitu_region(const swg_insitu *coder) { return &coder->region; }

/* ---- setup ---- */

static swg_status check(swg_context *ctx, const swg_insitu_opts *o, int64_t *item_values) {
    int64_t all;
    *item_values = 1;
    if (!swg_element_bytes(o->type))
        return swg__fail(ctx, SWG_EDTYPE, "element type %d is not one the codec knows", (int)o->type);
    if (o->ndim < 1 || o->ndim > 3)
        return swg__fail(ctx, SWG_ESHAPE, "an item has 1 to 3 axes, not %d", o->ndim);
    for (int i = 0; i < o->ndim; i++)
        if (o->dims[i] < 1 || o->dims[i] > LONGEST || swg__mul_overflow(*item_values, o->dims[i], item_values))
            return swg__fail(ctx, SWG_ESHAPE, "axis %d of an item has %lld values: expected 1 to %d", i, (long long)o->dims[i], LONGEST);
    if (o->items < 1 || swg__mul_overflow(*item_values, o->items, &all) || all > SWG__CHUNK_VALUES)
        return swg__fail(ctx, SWG_EINVAL, "%lld items of %lld values: expected 1 to 2^24 values in all", (long long)o->items, (long long)*item_values);
    if (o->bound != SWG_BOUND_LOSSLESS && o->bound != SWG_BOUND_ABS && o->bound != SWG_BOUND_REL)
        return swg__fail(ctx, SWG_EUNSUPPORTED, "in situ only absolute, range-relative and no error are possible");
    if (!(o->value >= 0) || !isfinite(o->value))
        return swg__fail(ctx, SWG_EINVAL, "an error bound of %g is not a number >= 0", o->value);
    if (o->effort < 0 || o->effort > SWG__EFFORT_MOST)
        return swg__fail(ctx, SWG_EINVAL, "effort %d: must be 1..9, or 0 for the usual one", o->effort);
    if (o->bound == SWG_BOUND_REL && !(o->range_min <= o->range_max && isfinite(o->range_min) && isfinite(o->range_max)))
        return swg__fail(ctx, SWG_EINVAL, "the range %g .. %g is not one", o->range_min, o->range_max);
    return SWG_OK;
}

/* What the chunk coder holds at most at one time, per value and in all; test_insitu drives it there. */
static size_t work_bytes(const swg_insitu_opts *o, int64_t item_values) {
    const size_t values = (size_t)(item_values * o->items), rows = values / (size_t)o->dims[o->ndim - 1], sample = values < 8192 ? values : 8192;
    return ((size_t)2048 << 10) + values * (96 + 6 * (size_t)swg_element_bytes(o->type)) + rows * 64 + sample * 320 + (size_t)o->dims[o->ndim - 1] * 64;
}

size_t swg_insitu_memory(const swg_insitu_opts *opts) {
    int64_t values;
    return check(NULL, opts, &values) == SWG_OK ? sizeof(swg_insitu) + 128 + work_bytes(opts, values) : 0;
}

static size_t record_worst(size_t raw) { return (SWG__RECORD_HEAD + 8 + raw + 3) / 4 * 4 + 4; }

size_t swg_insitu_worst(const swg_insitu_opts *opts, int64_t items) {
    int64_t values;
    if (check(NULL, opts, &values) != SWG_OK || items < 0 || items > opts->items)
        return 0;
    return HEAD + record_worst((size_t)(items * values) * (size_t)swg_element_bytes(opts->type)) + 1; /* texts have a byte behind them */
}

swg_status swg_insitu_open(const swg_insitu_opts *opts, void *memory, size_t bytes, swg_insitu **out) {
    int64_t values;
    *out = NULL;
    swg_status status = check(NULL, opts, &values);
    if (status != SWG_OK)
        return status;
    if (!memory || bytes < swg_insitu_memory(opts))
        return SWG_ENOMEM;
    char *at = (char *)memory + (64 - (uintptr_t)memory % 64) % 64;
    swg_insitu *coder = (swg_insitu *)(void *)at;
    *coder = (swg_insitu){.opts = *opts, .item_values = values};
    coder->opts.isa = NULL;
    swg__region_open(&coder->region, at + sizeof *coder, bytes - (size_t)(at - (char *)memory) - sizeof *coder);
    const swg_context_opts how = {.threads = 1, .isa = opts->isa, .allocator = {swg__region_alloc, swg__region_release, &coder->region}};
    status = swg_context_open(&how, &coder->ctx);
    if (status == SWG_OK)
        *out = coder;
    return status;
}

void swg_insitu_close(swg_insitu *coder) {
    if (coder)
        swg_context_close(coder->ctx);
}

const char *swg_insitu_message(const swg_insitu *coder) { return swg_context_message(coder->ctx); }

/* ---- one batch as a chunk: items along w, coded one after the other with shared weights ---- */

static void open_chunk(const swg_insitu *coder, int64_t count, void *values, swg__chunk *chunk) {
    const swg_insitu_opts *o = &coder->opts;
    *chunk = (swg__chunk){.ctx = coder->ctx, .kernels = swg__codec_kernels_for(coder->ctx->isa), .extent = {count, 1, 1, 1},
                          .count = count * coder->item_values, .values = values};
    for (int i = 0; i < o->ndim; i++)
        chunk->extent[4 - o->ndim + i] = o->dims[i];
}

static swg_status resolve(const swg_insitu *coder, const swg__chunk *chunk, swg__grid *grid) {
    const swg_insitu_opts *o = &coder->opts;
    const swg_codec_array array = {.type = o->type, .ndim = 1, .dims = {chunk->count}, .data = chunk->values};
    const swg_codec_opts how = {.bound = o->bound, .value = o->value, .has_range = o->bound == SWG_BOUND_REL, .range_min = o->range_min,
                                .range_max = o->range_max};
    const swg__fill none = {.mode = SWG_FILL_NONE};
    double least, most;
    bool any;
    swg__range(coder->ctx, o->type, chunk->values, chunk->count, &none, &least, &most, &any, NULL);
    return swg__grid_resolve(coder->ctx, &array, chunk->count, &how, &none, least, most, grid);
}

/* Mode R0, without any memory of its own. */
static size_t store(const swg__chunk *chunk, uint8_t *out) {
    const int size = swg_element_bytes(chunk->grid.type);
    const size_t raw = (size_t)chunk->count * (size_t)size, bytes = record_worst(raw);
    memset(out, 0, SWG__RECORD_HEAD + 8);
    memcpy(out, "SWCK", 4);
    swg__store32(out + 4, (uint32_t)bytes);
    swg__store32(out + 16, (uint32_t)chunk->count);
    out[20] = SWG__MODE_R;
    swg__store16(out + 24, SWG__NO_MODEL);
    swg__store16(out + 32, 1);
    out[36] = SWG__PARAM;
    swg__store32(out + 40, (uint32_t)raw);
    swg__copy_values(out + SWG__RECORD_HEAD + 8, chunk->values, chunk->count, size);
    memset(out + SWG__RECORD_HEAD + 8 + raw, 0, bytes - 4 - SWG__RECORD_HEAD - 8 - raw);
    swg__store32(out + bytes - 4, swg__crc32c(0, out, bytes - 4));
    return bytes;
}

/* The shortest record, straight into the caller's buffer. */
static swg_status code(const swg_insitu *coder, const swg__chunk *chunk, uint8_t *out, size_t capacity, size_t *bytes) {
    swg__draft draft;
    swg_status status = swg__plain_encode(chunk, swg__choice_of(coder->opts.without, coder->opts.effort), &draft);
    draft.head.n_values = (uint32_t)chunk->count;
    if (status == SWG_OK && swg__draft_bytes(&draft) + 1 <= capacity) {
        /* A text that has all the room it will ask for never reaches for memory. */
        swg__text text = {.ctx = coder->ctx, .data = (char *)out, .capacity = capacity};
        status = swg__draft_write(&draft, coder->ctx, &text);
        *bytes = text.length;
    } else if (status == SWG_OK) {
        status = swg__fail(coder->ctx, SWG_ESHAPE, "a message of %zu bytes does not fit", HEAD + swg__draft_bytes(&draft) + 1);
    } else if (status == SWG_ENOMEM && record_worst((size_t)chunk->count * (size_t)swg_element_bytes(chunk->grid.type)) <= capacity) {
        *bytes = store(chunk, out);
        status = SWG_OK;
    }
    swg__draft_free(&draft);
    return status;
}

swg_status swg_insitu_compress(swg_insitu *coder, const void *items, int64_t count, void *out, size_t capacity, size_t *bytes) {
    const swg_insitu_opts *o = &coder->opts;
    uint8_t *head = out;
    swg__chunk chunk;
    *bytes = 0;
    if (!items || !out || count < 1 || count > o->items)
        return swg__fail(coder->ctx, SWG_EINVAL, "%lld items: expected 1 to %lld", (long long)count, (long long)o->items);
    if (capacity <= HEAD)
        return swg__fail(coder->ctx, SWG_ESHAPE, "%zu bytes are too few for a message", capacity);
    open_chunk(coder, count, (void *)(uintptr_t)items, &chunk); /* the encoder only reads */
    SWG__TRY(resolve(coder, &chunk, &chunk.grid));
    size_t record = 0;
    SWG__TRY(code(coder, &chunk, head + HEAD, capacity - HEAD, &record));
    memset(head, 0, HEAD);
    memcpy(head, "SWIM", 4);
    head[4] = VERSION;
    head[5] = (uint8_t)o->type;
    head[6] = (uint8_t)o->ndim;
    head[7] = (uint8_t)chunk.grid.sig;
    swg__store32(head + 8, (uint32_t)count);
    swg__store32(head + 12, (uint32_t)(HEAD + record));
    for (int i = 0; i < 3; i++)
        swg__store32(head + 16 + 4 * i, i < o->ndim ? (uint32_t)o->dims[i] : 1);
    swg__store_f64(head + 32, chunk.grid.eb);
    swg__store_f64(head + 40, chunk.grid.step);
    swg__store_f64(head + 48, chunk.grid.base);
    swg__store32(head + 60, swg__crc32c(0, head, 60));
    *bytes = HEAD + record;
    return SWG_OK;
}

/* ---- back ---- */

int64_t swg_insitu_items(const void *message, size_t bytes) {
    const uint8_t *m = message;
    if (bytes < HEAD || memcmp(m, "SWIM", 4) != 0 || swg__load32(m + 60) != swg__crc32c(0, m, 60))
        return -1;
    return swg__load32(m + 8);
}

/* Head to chunk and record. NULL, or the reason and its status. */
static const char *parse(const swg_insitu *coder, const uint8_t *m, size_t bytes, int64_t count, swg__chunk *chunk, swg__record *record,
                         swg_status *status) {
    const swg_insitu_opts *o = &coder->opts;
    *status = SWG_EFORMAT;
    if (bytes < HEAD || memcmp(m, "SWIM", 4) != 0)
        return "is not a message of swg_insitu_compress";
    *status = SWG_ECORRUPT;
    if (swg__load32(m + 60) != swg__crc32c(0, m, 60))
        return "checksum of the head is wrong";
    *status = SWG_EUNSUPPORTED;
    if (m[4] != VERSION)
        return "has another version: a newer swage reads it";
    *status = SWG_ESHAPE;
    bool same = m[5] == (uint8_t)o->type && m[6] == (uint8_t)o->ndim && swg__load32(m + 8) == (uint64_t)count;
    for (int i = 0; i < o->ndim; i++)
        same = same && swg__load32(m + 16 + 4 * i) == (uint64_t)o->dims[i];
    if (!same)
        return "holds other items, or another number of them";
    *status = SWG_ECORRUPT;
    if (swg__load32(m + 12) != bytes)
        return "length differs from the one in its head";
    swg__header h = {.bound = SWG_BOUND_ABS, .grid = {.type = o->type, .sig = m[7], .eb = swg__load_f64(m + 32), .step = swg__load_f64(m + 40),
                                                      .base = swg__load_f64(m + 48)}};
    const char *why = swg__grid_check(&h);
    if (why)
        return why;
    chunk->grid = h.grid;
    return swg__record_parse(m + HEAD, bytes - HEAD, (uint32_t)chunk->count, 0, record);
}

swg_status swg_insitu_decompress(swg_insitu *coder, const void *message, size_t bytes, void *items, int64_t count) {
    swg__chunk chunk;
    swg__record record;
    swg_status status;
    if (!message || !items || count < 1 || count > coder->opts.items)
        return swg__fail(coder->ctx, SWG_EINVAL, "%lld items: expected 1 to %lld", (long long)count, (long long)coder->opts.items);
    open_chunk(coder, count, items, &chunk);
    const char *why = parse(coder, message, bytes, count, &chunk, &record, &status);
    if (!why) {
        why = swg__record_decode(&chunk, NULL, &record);
        status = why == swg__why_memory ? SWG_ENOMEM : why == swg__why_unsupported ? SWG_EUNSUPPORTED : SWG_ECORRUPT;
    }
    if (!why)
        return SWG_OK;
    memset(items, 0, (size_t)chunk.count * (size_t)swg_element_bytes(coder->opts.type));
    return swg__fail(coder->ctx, status, "message: %s", why);
}
