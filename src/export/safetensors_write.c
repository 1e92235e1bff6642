/* safetensors_write.c - writes tensors and metadata as one safetensors file.
 * In: names, types, shapes, pointers, text. Out: the same bytes for the same content, under the final name only when complete.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "export/safetensors.h"

struct swg_safetensors_writer {
    swg_context *ctx;
    swg_safetensors_opts opts;
    swg__arena arena;           /* names, keys, values */
    swg_tensor *tensors;
    swg__note *notes;
    int64_t tensor_count, tensor_room, note_count, note_room;
};

swg_status swg_safetensors_writer_open(swg_context *ctx, const swg_safetensors_opts *opts, swg_safetensors_writer **out) {
    *out = NULL;
    swg_safetensors_writer *w = swg__calloc(ctx, 1, sizeof *w);
    if (!w)
        return swg__fail_memory(ctx, sizeof *w, "a safetensors writer");
    w->ctx = ctx;
    if (opts)
        w->opts = *opts;
    if (w->opts.align == 0)
        w->opts.align = 64;
    swg__arena_init(&w->arena, ctx);
    if (w->opts.align < 0 || w->opts.align % 8 || w->opts.align > 1 << 20) {
        swg_status status = swg__fail(ctx, SWG_EINVAL, "safetensors: alignment %" PRId64 " is not a multiple of 8 up to 1 MiB", w->opts.align);
        swg_safetensors_writer_close(w);
        return status;
    }
    *out = w;
    return SWG_OK;
}

void swg_safetensors_writer_close(swg_safetensors_writer *w) {
    if (!w)
        return;
    swg__free(w->ctx, w->tensors);
    swg__free(w->ctx, w->notes);
    swg__arena_free(&w->arena);
    swg__free(w->ctx, w);
}

/* Room for one more item of `size` bytes in an array. */
static swg_status reserve(swg_context *ctx, void **items, int64_t count, int64_t *room, size_t size) {
    if (count < *room)
        return SWG_OK;
    int64_t larger = *room ? 2 * *room : 32;
    void *grown = swg__grow(ctx, *items, (size_t)larger * size);
    if (!grown)
        return swg__fail_memory(ctx, (size_t)larger * size, "safetensors entries");
    *items = grown;
    *room = larger;
    return SWG_OK;
}

swg_status swg_safetensors_writer_add(swg_safetensors_writer *w, const char *name, swg_stored dtype, int ndim, const int64_t *shape,
                                      const void *data) {
    swg_tensor t = {.dtype = dtype, .ndim = ndim, .data = data, .bytes = swg_stored_bytes(dtype)};
    if (!swg__utf8_valid(name, strlen(name)) || strcmp(name, "__metadata__") == 0)
        return swg__fail(w->ctx, SWG_EINVAL, "safetensors: '%.100s' cannot be the name of a tensor", name);
    if (t.bytes == 0 || ndim < 0 || ndim > SWG_SAFETENSORS_MAX_DIMS)
        return swg__fail(w->ctx, SWG_EINVAL, "safetensors: tensor '%.100s': element type %d or %d dimensions", name, (int)dtype, ndim);
    for (int d = 0; d < ndim; d++) {
        t.shape[d] = shape[d];
        if (shape[d] < 0 || swg__mul_overflow(t.bytes, shape[d], &t.bytes))
            return swg__fail(w->ctx, SWG_ESHAPE, "safetensors: tensor '%.100s': extent %" PRId64 " of dimension %d", name, shape[d], d);
    }
    if (t.bytes && !data)
        return swg__fail(w->ctx, SWG_EINVAL, "safetensors: tensor '%.100s': no data", name);
    void *items = w->tensors;
    SWG__TRY(reserve(w->ctx, &items, w->tensor_count, &w->tensor_room, sizeof t));
    w->tensors = items;
    if (!(t.name = swg__arena_strdup(&w->arena, name)))
        return swg__fail_memory(w->ctx, strlen(name), "a tensor's name");
    w->tensors[w->tensor_count++] = t;
    return SWG_OK;
}

swg_status swg_safetensors_writer_note(swg_safetensors_writer *w, const char *key, const char *value) {
    if (!swg__utf8_valid(key, strlen(key)) || !swg__utf8_valid(value, strlen(value)))
        return swg__fail(w->ctx, SWG_EINVAL, "safetensors: metadata '%.100s' is not UTF-8", key);
    if (strcmp(key, SWG__CRC_KEY) == 0)
        return swg__fail(w->ctx, SWG_EINVAL, "safetensors: metadata '%s' is written by the crc option", key);
    for (int64_t i = 0; i < w->note_count; i++)
        if (strcmp(w->notes[i].key, key) == 0)
            return swg__fail(w->ctx, SWG_EINVAL, "safetensors: metadata '%.100s' is given twice", key);
    void *items = w->notes;
    SWG__TRY(reserve(w->ctx, &items, w->note_count, &w->note_room, sizeof *w->notes));
    w->notes = items;
    swg__note note = {swg__arena_strdup(&w->arena, key), swg__arena_strdup(&w->arena, value)};
    if (!note.key || !note.value)
        return swg__fail_memory(w->ctx, strlen(value), "metadata");
    w->notes[w->note_count++] = note;
    return SWG_OK;
}

static void add_string(swg__text *out, const char *text) {
    swg__text_puts(out, "\"");
    for (const char *p = text; *p; p++)
        if (*p == '"' || *p == '\\')
            swg__text_printf(out, "\\%c", *p);
        else if (*p == '\n')
            swg__text_puts(out, "\\n");
        else if ((unsigned char)*p < 32)
            swg__text_printf(out, "\\u%04x", (unsigned)*p);
        else
            swg__text_add(out, p, 1);
    swg__text_puts(out, "\"");
}

static int by_name(const void *a, const void *b) { return strcmp(((const swg_tensor *)a)->name, ((const swg_tensor *)b)->name); }

/* Larger elements first: every tensor is then aligned to its elements without gaps. */
static int by_size_and_name(const void *a, const void *b) {
    int64_t left = swg_stored_bytes(((const swg_tensor *)a)->dtype), right = swg_stored_bytes(((const swg_tensor *)b)->dtype);
    return left != right ? (left < right ? 1 : -1) : by_name(a, b);
}

/* Tensors in the order of the file, checked for names given twice. Free with swg__free. */
static swg_status order(const swg_safetensors_writer *w, swg_tensor **sorted) {
    size_t bytes = (size_t)w->tensor_count * sizeof **sorted;
    swg_status status = SWG_OK;
    if (!(*sorted = swg__alloc(w->ctx, bytes)))
        return swg__fail_memory(w->ctx, bytes, "safetensors entries");
    if (!w->tensor_count)
        return SWG_OK;
    memcpy(*sorted, w->tensors, bytes);
    qsort(*sorted, (size_t)w->tensor_count, sizeof **sorted, by_name);
    for (int64_t i = 1; i < w->tensor_count; i++)
        if (strcmp((*sorted)[i - 1].name, (*sorted)[i].name) == 0)
            status = swg__fail(w->ctx, SWG_EINVAL, "safetensors: tensor '%.100s' is given twice", (*sorted)[i].name);
    if (w->opts.keep_order)
        memcpy(*sorted, w->tensors, bytes);
    else
        qsort(*sorted, (size_t)w->tensor_count, sizeof **sorted, by_size_and_name);
    return status;
}

static void add_metadata(swg__text *out, const swg_safetensors_writer *w, const char *crc) {
    swg__text_puts(out, "\"__metadata__\":{");
    for (int64_t i = 0; i < w->note_count; i++) {
        swg__text_puts(out, i ? "," : "");
        add_string(out, w->notes[i].key);
        swg__text_puts(out, ":");
        add_string(out, w->notes[i].value);
    }
    if (crc) {
        swg__text_puts(out, w->note_count ? ",\"" SWG__CRC_KEY "\":" : "\"" SWG__CRC_KEY "\":");
        add_string(out, crc);
    }
    swg__text_puts(out, "}");
}

static swg_status make_header(const swg_safetensors_writer *w, const swg_tensor *sorted, const char *crc, swg__text *out) {
    int64_t offset = 0;
    swg__text_puts(out, "{");
    if (w->note_count || crc)
        add_metadata(out, w, crc);
    for (int64_t i = 0; i < w->tensor_count; i++) {
        const swg_tensor *t = &sorted[i];
        if (t->bytes > INT64_MAX / 2 - offset)
            return swg__fail(w->ctx, SWG_ESHAPE, "safetensors: more than 2^62 bytes");
        swg__text_puts(out, i || w->note_count || crc ? "," : "");
        add_string(out, t->name);
        swg__text_printf(out, ":{\"dtype\":\"%s\",\"shape\":[", swg_stored_name(t->dtype));
        for (int d = 0; d < t->ndim; d++)
            swg__text_printf(out, "%s%" PRId64, d ? "," : "", t->shape[d]);
        swg__text_printf(out, "],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}", offset, offset + t->bytes);
        offset += t->bytes;
    }
    swg__text_puts(out, "}");
    while (!out->failed && (8 + (int64_t)out->length) % w->opts.align)
        swg__text_puts(out, " ");
    if (out->failed)
        return swg__fail_memory(w->ctx, out->length, "a safetensors header");
    return out->length <= SWG__HEADER_MOST ? SWG_OK : swg__fail(w->ctx, SWG_EINVAL, "safetensors: a header of more than 100 MB");
}

static swg_status write_file(const swg_safetensors_writer *w, const swg_tensor *sorted, const swg__text *header, const char *path) {
    swg__writer file;
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)header->length >> (8 * i));
    SWG__TRY(swg__writer_open(&file, w->ctx, path));
    swg_status status = swg__writer_write(&file, length, 8);
    if (status == SWG_OK)
        status = swg__writer_write(&file, header->data, header->length);
    for (int64_t i = 0; status == SWG_OK && i < w->tensor_count; i++)
        status = swg__writer_write(&file, sorted[i].data, (size_t)sorted[i].bytes);
    if (status == SWG_OK)
        return swg__writer_commit(&file);
    swg__writer_abort(&file);
    return status;
}

swg_status swg_safetensors_writer_write(swg_safetensors_writer *w, const char *path) {
    swg_tensor *sorted = NULL;
    swg__text header, crc;
    swg__text_init(&header, w->ctx);
    swg__text_init(&crc, w->ctx);
    swg_status status = order(w, &sorted);
    if (status == SWG_OK && w->opts.crc) {
        swg__safetensors_crc(&crc, sorted, w->tensor_count, w->notes, w->note_count);
        if (crc.failed)
            status = swg__fail_memory(w->ctx, crc.length, "checksums");
    }
    if (status == SWG_OK)
        status = make_header(w, sorted, crc.data, &header);
    if (status == SWG_OK)
        status = write_file(w, sorted, &header, path);
    swg__text_free(&crc);
    swg__text_free(&header);
    swg__free(w->ctx, sorted);
    return status;
}
