/* safetensors_read.c - reads safetensors files; trusts nothing in them.
 * In: bytes. Out: tensors that lie inside those bytes, metadata, or a message that names what is wrong.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "export/safetensors.h"

typedef struct entry {
    swg_tensor tensor;
    int64_t begin, end;         /* relative to the first byte after the header */
} entry;

struct swg_safetensors {
    swg_context *ctx;
    char *path;
    uint8_t *loaded;            /* NULL: the bytes belong to the caller */
    const uint8_t *bytes;
    size_t size;
    swg__arena arena;           /* names, metadata, copies of tensors that lie askew */
    entry *entries;             /* in file order */
    swg_tensor *tensors;        /* the same, for checksums and the public */
    const swg_tensor **by_name; /* sorted */
    swg__note *notes;
    int64_t count, note_count;
};

static swg_status out_of_memory(const swg_safetensors *f, size_t bytes) { return swg__fail_memory(f->ctx, bytes, f->path); }

static swg_status malformed(const swg_safetensors *f, const char *name, const char *what) {
    return swg__fail(f->ctx, SWG_EFORMAT, "%s: safetensors header: '%.100s': %s", f->path, name ? name : "", what);
}

/* ---- header ---- */

/* A whole number from 0 to 2^53, the largest up to which JSON's numbers are exact. */
static bool read_integer(const cJSON *item, int64_t *value) {
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= 9007199254740992.0))
        return false;
    *value = (int64_t)item->valuedouble;
    return (double)*value == item->valuedouble;
}

static swg_status read_dtype(const swg_safetensors *f, const cJSON *item, swg_tensor *t) {
    if (!cJSON_IsString(item))
        return malformed(f, t->name, "dtype is not text");
    for (int i = 0; i < SWG_STORED_COUNT; i++)
        if (strcmp(swg_stored_name((swg_stored)i), item->valuestring) == 0) {
            t->dtype = (swg_stored)i;
            return SWG_OK;
        }
    return swg__fail(f->ctx, SWG_EUNSUPPORTED, "%s: tensor '%.100s': element type '%.32s' is not known here", f->path, t->name,
                     item->valuestring);
}

static swg_status read_shape(const swg_safetensors *f, const cJSON *item, swg_tensor *t) {
    if (!cJSON_IsArray(item))
        return malformed(f, t->name, "shape is not a list");
    t->bytes = swg_stored_bytes(t->dtype);
    for (const cJSON *extent = item->child; extent; extent = extent->next) {
        if (t->ndim == SWG_SAFETENSORS_MAX_DIMS)
            return swg__fail(f->ctx, SWG_EUNSUPPORTED, "%s: tensor '%.100s': more than %d dimensions", f->path, t->name,
                             SWG_SAFETENSORS_MAX_DIMS);
        int64_t *value = &t->shape[t->ndim++];
        if (!read_integer(extent, value) || swg__mul_overflow(t->bytes, *value, &t->bytes))
            return malformed(f, t->name, "an extent of its shape is no whole number, or too large");
    }
    return SWG_OK;
}

static swg_status read_offsets(const swg_safetensors *f, const cJSON *item, entry *e) {
    const cJSON *first = cJSON_IsArray(item) ? item->child : NULL;
    if (!first || !first->next || first->next->next || !read_integer(first, &e->begin) || !read_integer(first->next, &e->end))
        return malformed(f, e->tensor.name, "data_offsets are not two whole numbers");
    if (e->begin > e->end || e->end - e->begin != e->tensor.bytes)
        return swg__fail(f->ctx, SWG_ECORRUPT, "%s: tensor '%.100s': offsets %" PRId64 " to %" PRId64 ", but its shape needs %" PRId64
                         " bytes", f->path, e->tensor.name, e->begin, e->end, e->tensor.bytes);
    return SWG_OK;
}

static swg_status read_tensor(swg_safetensors *f, const cJSON *item, entry *e) {
    const cJSON *dtype = NULL, *shape = NULL, *offsets = NULL;
    if (!(e->tensor.name = swg__arena_strdup(&f->arena, item->string)))
        return out_of_memory(f, strlen(item->string));
    if (!cJSON_IsObject(item))
        return malformed(f, item->string, "not an object");
    for (const cJSON *field = item->child; field; field = field->next) {
        const cJSON **slot = strcmp(field->string, "dtype") == 0 ? &dtype
            : strcmp(field->string, "shape") == 0                ? &shape
            : strcmp(field->string, "data_offsets") == 0         ? &offsets
                                                                 : NULL;
        if (!slot || *slot)
            return malformed(f, item->string, "a field that is unknown or given twice");
        *slot = field;
    }
    SWG__TRY(read_dtype(f, dtype, &e->tensor));
    SWG__TRY(read_shape(f, shape, &e->tensor));
    return read_offsets(f, offsets, e);
}

static int compare_keys(const void *a, const void *b) { return strcmp(((const swg__note *)a)->key, ((const swg__note *)b)->key); }

static swg_status read_notes(swg_safetensors *f, const cJSON *object) {
    if (!cJSON_IsObject(object))
        return malformed(f, "__metadata__", "not an object");
    for (const cJSON *item = object->child; item; item = item->next)
        f->note_count++;
    size_t bytes = (size_t)(f->note_count + 1) * sizeof *f->notes;
    swg__note *sorted = NULL;
    if (!(f->notes = swg__arena_alloc(&f->arena, bytes)) || !(sorted = swg__arena_alloc(&f->arena, bytes)))
        return out_of_memory(f, bytes);
    int64_t n = 0;
    for (const cJSON *item = object->child; item; item = item->next, n++) {
        if (!cJSON_IsString(item))
            return malformed(f, item->string, "metadata that is not text");
        f->notes[n] = (swg__note){swg__arena_strdup(&f->arena, item->string), swg__arena_strdup(&f->arena, item->valuestring)};
        if (!f->notes[n].key || !f->notes[n].value)
            return out_of_memory(f, strlen(item->valuestring));
    }
    memcpy(sorted, f->notes, bytes);
    qsort(sorted, (size_t)n, sizeof *sorted, compare_keys);
    for (int64_t i = 1; i < n; i++)
        if (strcmp(sorted[i - 1].key, sorted[i].key) == 0)
            return malformed(f, sorted[i].key, "metadata given twice");
    return SWG_OK;
}

static int compare_offsets(const void *a, const void *b) {
    const entry *left = a, *right = b;
    if (left->begin != right->begin)
        return left->begin < right->begin ? -1 : 1;
    return left->end < right->end ? -1 : left->end > right->end ? 1 : strcmp(left->tensor.name, right->tensor.name);
}

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const swg_tensor *const *)a)->name, (*(const swg_tensor *const *)b)->name);
}

/* Every byte behind the header belongs to exactly one tensor. */
static swg_status check_tiling(swg_safetensors *f, int64_t data_bytes) {
    int64_t at = 0;
    if (f->count)
        qsort(f->entries, (size_t)f->count, sizeof *f->entries, compare_offsets);
    for (int64_t i = 0; i < f->count; i++) {
        const entry *e = &f->entries[i];
        if (e->begin != at)
            return swg__fail(f->ctx, SWG_ECORRUPT, "%s: tensor '%.100s': begins at byte %" PRId64 ", but the one before ends at %" PRId64,
                             f->path, e->tensor.name, e->begin, at);
        at = e->end;
    }
    if (at != data_bytes)
        return swg__fail(f->ctx, SWG_ECORRUPT, "%s: header describes %" PRId64 " bytes of tensors, the file has %" PRId64
                         "; it is cut off or has a tail", f->path, at, data_bytes);
    return SWG_OK;
}

/* Views into the bytes; a tensor that is not aligned to its elements gets a copy. */
static swg_status make_views(swg_safetensors *f, const uint8_t *data) {
    f->tensors = swg__arena_alloc(&f->arena, (size_t)(f->count + 1) * sizeof *f->tensors);
    f->by_name = swg__arena_alloc(&f->arena, (size_t)(f->count + 1) * sizeof *f->by_name);
    if (!f->tensors || !f->by_name)
        return out_of_memory(f, (size_t)f->count * sizeof *f->tensors);
    for (int64_t i = 0; i < f->count; i++) {
        swg_tensor *t = &f->tensors[i];
        *t = f->entries[i].tensor;
        t->data = data + f->entries[i].begin;
        f->by_name[i] = t;
        if ((uintptr_t)t->data % (uintptr_t)swg_stored_bytes(t->dtype) == 0)
            continue;
        void *copy = swg__arena_alloc(&f->arena, (size_t)t->bytes);
        if (!copy)
            return out_of_memory(f, (size_t)t->bytes);
        t->data = memcpy(copy, t->data, (size_t)t->bytes);
    }
    if (f->count)
        qsort(f->by_name, (size_t)f->count, sizeof *f->by_name, compare_names);
    for (int64_t i = 1; i < f->count; i++)
        if (strcmp(f->by_name[i - 1]->name, f->by_name[i]->name) == 0)
            return malformed(f, f->by_name[i]->name, "tensor given twice");
    return SWG_OK;
}

static swg_status read_entries(swg_safetensors *f, const cJSON *root, int64_t data_bytes, const uint8_t *data) {
    const cJSON *metadata = NULL;
    if (!cJSON_IsObject(root))
        return malformed(f, NULL, "not an object");
    for (const cJSON *item = root->child; item; item = item->next)
        f->count++;
    if (!(f->entries = swg__arena_alloc(&f->arena, (size_t)(f->count + 1) * sizeof *f->entries)))
        return out_of_memory(f, (size_t)f->count * sizeof *f->entries);
    f->count = 0;
    for (const cJSON *item = root->child; item; item = item->next) {
        if (strcmp(item->string, "__metadata__") != 0) {
            SWG__TRY(read_tensor(f, item, &f->entries[f->count++]));
            continue;
        }
        if (metadata)
            return malformed(f, item->string, "given twice");
        metadata = item;
        SWG__TRY(read_notes(f, item));
    }
    SWG__TRY(check_tiling(f, data_bytes));
    return make_views(f, data);
}

static swg_status read_header(swg_safetensors *f) {
    uint64_t length = 0;
    for (int i = 0; i < 8 && f->size >= 8; i++)
        length |= (uint64_t)f->bytes[i] << (8 * i);
    const char *text = (const char *)f->bytes + 8, *end = NULL;
    if (f->size < 10 || length < 2 || length > SWG__HEADER_MOST)
        return swg__fail(f->ctx, SWG_EFORMAT, "%s: not a safetensors file", f->path);
    if (length > f->size - 8)
        return swg__fail(f->ctx, SWG_ECORRUPT, "%s: header of %" PRIu64 " bytes in a file of %zu; it is cut off, or no safetensors file",
                         f->path, length, f->size);
    size_t bytes = (size_t)length;
    if (*text != '{' || memchr(text, 0, bytes) || !swg__utf8_valid(text, bytes))
        return swg__fail(f->ctx, SWG_EFORMAT, "%s: safetensors header is not a JSON object in UTF-8", f->path);
    cJSON *root = cJSON_ParseWithLengthOpts(text, bytes, &end, 0);
    bool padded = root != NULL;
    for (const char *p = end; padded && p < text + bytes; p++)
        padded = *p == ' ';
    swg_status status = padded ? read_entries(f, root, (int64_t)(f->size - 8 - bytes), f->bytes + 8 + bytes)
                               : swg__fail(f->ctx, SWG_EFORMAT, "%s: safetensors header is not JSON", f->path);
    cJSON_Delete(root);
    return status;
}

/* ---- opening ---- */

/* Takes over `loaded` in any case. */
static swg_status open_either(swg_context *ctx, uint8_t *loaded, const void *data, size_t bytes, const char *name,
                              swg_safetensors **out) {
    swg_safetensors *f = swg__calloc(ctx, 1, sizeof *f);
    if (!f) {
        swg__free(ctx, loaded);
        return swg__fail_memory(ctx, sizeof *f, name);
    }
    *f = (swg_safetensors){.ctx = ctx, .loaded = loaded, .bytes = loaded ? loaded : data, .size = bytes};
    swg__arena_init(&f->arena, ctx);
    f->path = swg__arena_strdup(&f->arena, name);
    swg_status status = f->path ? read_header(f) : swg__fail_memory(ctx, strlen(name), name);
    if (status != SWG_OK)
        swg_safetensors_close(f);
    else
        *out = f;
    return status;
}

swg_status swg_safetensors_open(swg_context *ctx, const char *path, swg_safetensors **out) {
    uint8_t *data;
    size_t bytes;
    *out = NULL;
    SWG__TRY(swg__file_read(ctx, path, &data, &bytes));
    return open_either(ctx, data, NULL, bytes, path, out);
}

swg_status swg_safetensors_open_memory(swg_context *ctx, const void *data, size_t bytes, const char *name, swg_safetensors **out) {
    *out = NULL;
    if (!data)
        return swg__fail(ctx, SWG_EINVAL, "%s: no data", name);
    return open_either(ctx, NULL, data, bytes, name, out);
}

void swg_safetensors_close(swg_safetensors *file) {
    if (!file)
        return;
    swg_context *ctx = file->ctx;
    swg__free(ctx, file->loaded);
    swg__arena_free(&file->arena);
    swg__free(ctx, file);
}

/* ---- access ---- */

int64_t swg_safetensors_count(const swg_safetensors *file) { return file->count; }

const swg_tensor *swg_safetensors_at(const swg_safetensors *file, int64_t index) {
    return index >= 0 && index < file->count ? &file->tensors[index] : NULL;
}

const swg_tensor *swg_safetensors_find(const swg_safetensors *file, const char *name) {
    for (int64_t low = 0, high = file->count; low < high;) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(name, file->by_name[middle]->name);
        if (order == 0)
            return file->by_name[middle];
        *(order < 0 ? &high : &low) = order < 0 ? middle : middle + 1;
    }
    return NULL;
}

const char *swg_safetensors_note(const swg_safetensors *file, const char *key) {
    for (int64_t i = 0; i < file->note_count; i++)
        if (strcmp(file->notes[i].key, key) == 0)
            return file->notes[i].value;
    return NULL;
}

swg_status swg_safetensors_check(const swg_safetensors *file) {
    const char *kept = swg_safetensors_note(file, SWG__CRC_KEY);
    if (!kept)
        return swg__fail(file->ctx, SWG_ENOTFOUND, "%s: has no checksums (metadata " SWG__CRC_KEY ")", file->path);
    swg__text computed;
    swg__text_init(&computed, file->ctx);
    swg__safetensors_crc(&computed, file->tensors, file->count, file->notes, file->note_count);
    if (computed.failed) {
        swg__text_free(&computed);
        return swg__fail_memory(file->ctx, 0, "checksums");
    }
    int64_t line = 0;
    const char *a = computed.data, *b = kept;
    for (; *a && *a == *b; a++, b++)
        line += *a == '\n';
    bool same = !*a && !*b;
    swg__text_free(&computed);
    if (same)
        return SWG_OK;
    return swg__fail(file->ctx, SWG_ECORRUPT, "%s: damaged: checksum of %s%.100s does not match", file->path,
                     line < file->count ? "tensor " : "the header", line < file->count ? file->tensors[line].name : "");
}
