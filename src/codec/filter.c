/* filter.c - parameters of the HDF5 filter in both forms, one chunk to one record and back.
 * In: words of cd_values, a chunk of values. Out: words, a record; nothing here calls HDF5 or trusts a word.
 * SPDX-License-Identifier: Apache-2.0 */
#include "encode.h"
#include "filter.h"

enum { MAGIC = 0x315A5753, AT_HEADER = 4, AT_MODEL_BYTES = 53, AT_MODELS = 54, EFFORT = 5, UNKNOWN_REACH_BITS = 12 };

/* ---- words and bytes: lowest byte first, by value ---- */

static void words_to_bytes(const uint32_t *words, size_t count, uint8_t *bytes) {
    for (size_t i = 0; i < count; i++)
        swg__store32(bytes + 4 * i, words[i]);
}

static void bytes_to_words(const uint8_t *bytes, size_t count, uint32_t *words) {
    for (size_t i = 0; i < count; i++)
        words[i] = swg__load32(bytes + 4 * i);
}

static double words_to_f64(const uint32_t *w) {
    uint8_t bytes[8];
    words_to_bytes(w, 2, bytes);
    return swg__load_f64(bytes);
}

static void f64_to_words(double value, uint32_t *w) {
    uint8_t bytes[8];
    swg__store_f64(bytes, value);
    bytes_to_words(bytes, 2, w);
}

/* ---- geometry ---- */

swg_status swg__filter_geometry(swg_context *ctx, const swg__filter_shape *s, swg__header *h) {
    int64_t kept[4], product = 1;
    int ndim = 0, cubes = 0;
    if (!swg_element_bytes(s->type))
        return swg__fail(ctx, SWG_EDTYPE, "element type %d is not one the codec knows", (int)s->type);
    for (int i = 0; i < s->rank; i++) {
        if (s->chunk[i] < 1 || swg__mul_overflow(product, s->chunk[i], &product) || product > SWG__CHUNK_VALUES)
            return swg__fail(ctx, SWG_ESHAPE, "a chunk must have 1 to 2^24 values; choose smaller chunks");
        if (s->chunk[i] == 1)
            continue;
        if (ndim == 4)
            return swg__fail(ctx, SWG_ESHAPE, "chunks may extend along 4 axes at most; give the others the extent 1");
        kept[ndim++] = s->chunk[i];
    }
    /* Blocks: (m, n, n, n), and no block is cut. The last three axes of dataset and chunk are whole. */
    for (int i = s->rank - 3; ndim == 4 && s->rank > 3 && i < s->rank; i++)
        cubes += s->chunk[i] == kept[3] && kept[3] >= 3 && kept[3] <= 9 && (!s->dims || s->dims[i] == kept[3]);
    h->type = h->grid.type = s->type;
    h->source_order = s->big_endian;
    h->ndim = (uint8_t)(ndim ? ndim : 1);
    h->layout = cubes == 3 ? SWG_CODEC_BLOCKS : SWG_CODEC_GRID;
    h->axis_map = SWG__IDENTITY_MAP;
    h->fill.mode = h->fill.mode == SWG_FILL_AUTO ? SWG_FILL_NONE : h->fill.mode;
    for (int i = 0; i < 4; i++)
        h->dims[i] = h->chunk[i] = i < ndim ? kept[i] : 1;
    return SWG_OK;
}

/* ---- the user's form ---- */

swg_status swg__filter_user_read(swg_context *ctx, const uint32_t *words, size_t count, swg_codec_opts *opts, int *effort) {
    uint32_t w[SWG__FILTER_USER_WORDS] = {0};
    *opts = (swg_codec_opts){0};
    *effort = EFFORT;
    if (count > SWG__FILTER_USER_WORDS)
        return swg__fail(ctx, SWG_EINVAL, "%zu filter parameters given, at most %d are known; `swage h5args` prints them", count, SWG__FILTER_USER_WORDS);
    for (size_t i = 0; i < count; i++)
        w[i] = words[i];
    if (w[0] > SWG_BOUND_PSNR || w[3] > 9 || w[6])
        return swg__fail(ctx, SWG_EINVAL, "filter parameters %u, ..., %u, ..., %u: expected a bound mode 0..4, an effort 0..9 and 0; `swage h5args` prints them",
                         w[0], w[3], w[6]);
    double value = words_to_f64(w + 1), range = words_to_f64(w + 4);
    opts->bound = (swg_bound_mode)w[0];
    opts->value = value;
    *effort = w[3] ? (int)w[3] : EFFORT;
    if (opts->bound == SWG_BOUND_LOSSLESS)
        return SWG_OK;
    if (count < 3 || !isfinite(value) || value < 0)
        return swg__fail(ctx, SWG_EINVAL, "filter parameters: the bound is missing or not a number >= 0; `swage h5args` prints them");
    if (!isfinite(range) || range < 0)
        return swg__fail(ctx, SWG_EINVAL, "filter parameters: a value range of %g", range);
    opts->has_range = range > 0;
    opts->range_max = range;
    if ((opts->bound == SWG_BOUND_REL || opts->bound == SWG_BOUND_PSNR) && !opts->has_range)
        return swg__fail(ctx, SWG_EINVAL, "a %s needs the value range of the whole dataset, and the filter sees one chunk at a time: give the range "
                         "(swage h5args --range), or an absolute bound, or use `swage compress --hdf5`",
                         opts->bound == SWG_BOUND_REL ? "bound relative to the range" : "PSNR");
    return SWG_OK;
}

void swg__filter_user_write(const swg_codec_opts *opts, int effort, uint32_t w[SWG__FILTER_USER_WORDS]) {
    w[0] = (uint32_t)opts->bound;
    f64_to_words(opts->bound == SWG_BOUND_LOSSLESS ? 0 : opts->value, w + 1);
    w[3] = (uint32_t)effort;
    f64_to_words(opts->has_range ? opts->range_max - opts->range_min : 0, w + 4);
    w[6] = 0;
}

/* The grid for data nobody has seen: the step gets so few significant bits (at the price of 2^-11 of the bound) that 2^37 levels fit
 * on either side of 0; what lies beyond is stored verbatim. */
static swg_status resolve_user(swg_context *ctx, swg__header *h, const swg_codec_opts *opts) {
    swg_codec_opts o = *opts;
    if (o.bound == SWG_BOUND_PSNR) { /* cannot miss: the mean square error is at most the square of the bound */
        o.bound = SWG_BOUND_ABS;
        o.value = o.range_max * pow(10, -o.value / 20);
    }
    swg_codec_array array = {.type = h->type, .layout = h->layout, .ndim = h->ndim};
    memcpy(array.dims, h->dims, sizeof array.dims);
    if (swg__is_float(h->type) && o.bound != SWG_BOUND_LOSSLESS) /* NaN as on land and ice; chunks without pay nothing */
        h->fill = (swg__fill){SWG_FILL_ABOVE, h->type == SWG_ELEMENT_F32 ? 0x7FC00000 : 0x7FF8000000000000, INFINITY};
    SWG__TRY(swg__grid_resolve(ctx, &array, 0, &o, &h->fill, 0, 0, &h->grid));
    h->bound = opts->bound;
    h->value = opts->bound == SWG_BOUND_LOSSLESS ? 0 : opts->value;
    if (swg__is_float(h->type) && h->grid.step > 0 && opts->bound != SWG_BOUND_PW_REL) {
        h->grid.sig = UNKNOWN_REACH_BITS;
        h->grid.step = swg__short_step(h->grid.eb, h->grid.sig);
    }
    return SWG_OK;
}

/* ---- the resolved form ---- */

size_t swg__filter_words(swg_context *ctx, const swg__header *header, int effort, swg__span models, uint32_t *words) {
    swg__header h = *header;
    swg__text bytes;
    size_t padded = (models.bytes + 3) / 4, count = SWG__FILTER_FIXED_WORDS + padded;
    uint8_t last[4] = {0};
    memcpy(h.chunk, h.dims, sizeof h.chunk);
    h.n_chunks = 1;
    h.psnr = 0; /* an extension has no place */
    h.off_models = h.incompat = 0;
    h.n_models = models.bytes ? swg__load32(models.data) : 0;
    swg__text_init(&bytes, ctx);
    swg__header_write(&h, NULL, NULL, &bytes);
    swg__put32(&bytes, (uint32_t)models.bytes);
    swg__put(&bytes, models.bytes ? (const void *)models.data : "", models.bytes);
    swg__put(&bytes, last, 4 * padded - models.bytes);
    if (!bytes.failed) {
        words[0] = MAGIC;
        words[1] = 1u << 16;
        words[2] = (uint32_t)count;
        words[3] = (uint32_t)effort;
        bytes_to_words((const uint8_t *)bytes.data, count - AT_HEADER - 1, words + AT_HEADER);
        bytes.length = 0;
        for (size_t i = 0; i < count - 1; i++)
            swg__put32(&bytes, words[i]);
        words[count - 1] = bytes.failed ? 0 : swg__crc32c(0, bytes.data, bytes.length);
    }
    size_t written = bytes.failed ? 0 : count;
    swg__text_free(&bytes);
    return written;
}

static const char *check_words(const uint32_t *words, size_t count) {
    if (count < 3 || words[0] != MAGIC)
        return "not the parameters of a swage filter";
    if (words[2] != count || count < SWG__FILTER_FIXED_WORDS || count > SWG__FILTER_WORDS)
        return "fewer or more words than they count";
    if ((words[AT_MODEL_BYTES] + 3ull) / 4 != count - SWG__FILTER_FIXED_WORDS)
        return "the models have another length than stated";
    return NULL;
}

static const char *open_bytes(swg_context *ctx, const uint8_t *bytes, size_t size, swg__filter *f, swg_status *status) {
    const uint8_t *header = bytes + 4 * AT_HEADER;
    if (swg__load32(bytes + size - 4) != swg__crc32c(0, bytes, size - 4))
        return "their checksum is wrong";
    const char *why = swg__header_parse(header, SWG__HEADER_BYTES, &f->header, status);
    if (why)
        return why;
    swg__header *h = &f->header;
    *status = SWG_ECORRUPT;
    if (h->header_bytes != SWG__HEADER_BYTES || memcmp(h->dims, h->chunk, sizeof h->dims) != 0 || h->n_chunks != 1 || h->off_models ||
        h->incompat || (h->compat & SWG__COMPAT_APPEND) || h->source_order > 1 || !swg__layout_make(h, &f->layout))
        return "the header is not one of a single chunk";
    size_t models = swg__load32(bytes + 4 * AT_MODEL_BYTES);
    if ((models > 0) != (h->n_models > 0))
        return "the header counts other models";
    f->effort = (int)(swg__load32(bytes + 12) <= 9 ? swg__load32(bytes + 12) : EFFORT);
    swg__grid_reopen(&h->grid);
    if (!models)
        return NULL;
    uint8_t *copy = swg__alloc(ctx, models);
    if (!copy)
        return swg__why_memory;
    memcpy(copy, bytes + 4 * AT_MODELS, models);
    f->payload = (swg__span){copy, models};
    return swg__models_read(ctx, f->payload, h->n_models, &f->models);
}

swg_status swg__filter_open(swg_context *ctx, const uint32_t *words, size_t count, swg__filter *filter) {
    *filter = (swg__filter){0};
    swg_status status = SWG_ECORRUPT;
    const char *why = check_words(words, count);
    if (!why) {
        uint8_t *bytes = swg__alloc(ctx, 4 * count);
        if (!bytes)
            return swg__fail_memory(ctx, 4 * count, "filter parameters");
        words_to_bytes(words, count, bytes);
        why = open_bytes(ctx, bytes, 4 * count, filter, &status);
        swg__free(ctx, bytes);
    }
    if (!why)
        return SWG_OK;
    swg__filter_close(ctx, filter);
    return swg__fail(ctx, why == swg__why_memory ? SWG_ENOMEM : status, "filter parameters: %s", why);
}

void swg__filter_close(swg_context *ctx, swg__filter *filter) {
    swg_codec_model_free(ctx, filter->models);
    swg__free(ctx, (void *)(uintptr_t)filter->payload.data);
    *filter = (swg__filter){0};
}

/* What a copy keeps may not change: the bound in the array's units and its grid hang on it. */
static swg_status check_same_type(swg_context *ctx, const swg__header *old, const swg__header *now) {
    if (old->type == now->type && old->source_order == now->source_order)
        return SWG_OK;
    return swg__fail(ctx, SWG_EDTYPE, "the filter's parameters are for %s %s-endian and the dataset is %s %s-endian: give them anew, as `swage h5args` prints them",
                     swg_element_name(old->type), old->source_order ? "big" : "little", swg_element_name(now->type), now->source_order ? "big" : "little");
}

/* A form that HDF5 shows only the beginning of: nothing of it can be written anew. */
static swg_status keep_models(swg_context *ctx, const uint32_t *words, const swg__filter_shape *shape) {
    uint8_t bytes[SWG__HEADER_BYTES];
    swg__header old, now;
    swg_status status;
    words_to_bytes(words + AT_HEADER, SWG__HEADER_BYTES / 4, bytes);
    const char *why = swg__header_parse(bytes, SWG__HEADER_BYTES, &old, &status);
    if (why)
        return swg__fail(ctx, status, "filter parameters: %s", why);
    now = old;
    SWG__TRY(swg__filter_geometry(ctx, shape, &now));
    SWG__TRY(check_same_type(ctx, &old, &now));
    if (now.ndim != old.ndim || memcmp(now.dims, old.dims, sizeof now.dims) != 0)
        return swg__fail(ctx, SWG_ESHAPE, "the filter's parameters hold a network and are for chunks of another shape: keep the chunks, or give the parameters anew");
    return SWG_OK;
}

swg_status swg__filter_resolve(swg_context *ctx, const uint32_t *words, size_t seen, size_t count, const swg__filter_shape *shape, uint32_t *out,
                               size_t *written) {
    swg__filter old = {0};
    swg__header h = {0};
    int effort;
    swg_status status;
    *written = 0;
    if (count > seen) {
        if (seen < SWG__FILTER_FIXED_WORDS || words[0] != MAGIC || words[2] != count)
            return swg__fail(ctx, SWG_EINVAL, "%zu filter parameters are not the parameters of a swage filter", count);
        return keep_models(ctx, words, shape);
    }
    if (count && words[0] == MAGIC) { /* a copy: only the extents may change */
        SWG__TRY(swg__filter_open(ctx, words, count, &old));
        h = old.header;
        effort = old.effort;
        status = swg__filter_geometry(ctx, shape, &h);
        if (status == SWG_OK)
            status = check_same_type(ctx, &old.header, &h);
    } else {
        swg_codec_opts opts;
        status = swg__filter_user_read(ctx, words, count, &opts, &effort);
        if (status == SWG_OK)
            status = swg__filter_geometry(ctx, shape, &h);
        if (status == SWG_OK)
            status = resolve_user(ctx, &h, &opts);
    }
    if (status == SWG_OK) {
        *written = swg__filter_words(ctx, &h, effort, old.payload, out);
        status = *written ? SWG_OK : swg__fail_memory(ctx, 4 * SWG__FILTER_SEEN, "filter parameters");
    }
    swg__filter_close(ctx, &old);
    return status;
}

/* ---- one chunk ---- */

size_t swg__filter_chunk_bytes(const swg__filter *f) { return (size_t)f->layout.values * (size_t)swg_element_bytes(f->header.type); }

swg_status swg__filter_encode(swg_context *ctx, const swg__filter *f, const void *values, size_t bytes, swg__text *record) {
    const swg__header *h = &f->header;
    if (bytes != swg__filter_chunk_bytes(f))
        return swg__fail(ctx, SWG_ESHAPE, "%zu bytes given for a chunk of %zu", bytes, swg__filter_chunk_bytes(f));
    void *swapped = h->source_order ? swg__alloc(ctx, bytes) : NULL;
    if (h->source_order && !swapped)
        return swg__fail_memory(ctx, bytes, "a chunk");
    if (swapped) {
        memcpy(swapped, values, bytes);
        swg__swap_bytes(swapped, f->layout.values, swg_element_bytes(h->type));
    }
    swg_codec_array array = {.type = h->type, .layout = h->layout, .ndim = h->ndim, .data = swapped ? swapped : values};
    memcpy(array.dims, h->dims, sizeof array.dims);
    swg__encoded coded;
    swg_status status = swg__encode_chunks(ctx, &array, h, swg__choice_of(0, f->effort), &coded);
    if (status == SWG_OK) {
        swg__put(record, coded.chunk[0].plain.record.data, coded.chunk[0].plain.record.length);
        status = record->failed ? swg__fail_memory(ctx, coded.chunk[0].plain.record.length, "a chunk record") : SWG_OK;
    }
    swg__encoded_free(&coded);
    swg__free(ctx, swapped);
    return status;
}

swg_status swg__filter_decode(swg_context *ctx, const swg__filter *f, const void *record, size_t bytes, void *values, size_t size) {
    const swg__header *h = &f->header;
    if (size != swg__filter_chunk_bytes(f))
        return swg__fail(ctx, SWG_ESHAPE, "%zu bytes given for a chunk of %zu", size, swg__filter_chunk_bytes(f));
    /* HDF5 may hand over more than the record. */
    size_t own = bytes >= SWG__RECORD_HEAD ? swg__load32((const uint8_t *)record + 4) : 0;
    const char *why = own > bytes ? "the record is cut off" : swg__decode_alone(ctx, h, &f->layout, f->models, (swg__span){record, own}, values);
    if (why)
        return swg__fail(ctx, why == swg__why_memory ? SWG_ENOMEM : why == swg__why_unsupported ? SWG_EUNSUPPORTED : SWG_ECORRUPT, "chunk: %s", why);
    if (h->source_order)
        swg__swap_bytes(values, f->layout.values, swg_element_bytes(h->type));
    return SWG_OK;
}
