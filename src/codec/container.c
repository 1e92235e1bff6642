/* container.c - writes and checks header, sections, index entries and footer of a .swz stream.
 * In: structures. Out: bytes at fixed places; and back, with a reason for every refusal.
 * SPDX-License-Identifier: Apache-2.0 */
#include "container.h"
#include "powers.h"

static const uint8_t magic[8] = {0x89, 'S', 'W', 'Z', '\r', '\n', 0x1A, '\n'};
static const uint8_t end_magic[4] = {0x1A, 'S', 'W', 'Z'};
enum { TLV_NAME = 1, TLV_ATTRIBUTES = 2, TLV_PSNR = 3, TLV_CRITICAL = 1 };

/* ---- geometry ---- */

bool swg__layout_make(const swg__header *header, swg__layout *layout) {
    int seen = 0;
    int64_t stride[4] = {1, 1, 1, 1};
    *layout = (swg__layout){.values = 1, .count = 1};
    /* Right-aligned: a 2-D dataset has its axes in places 2 and 3 of four. */
    int64_t dims[4] = {1, 1, 1, 1}, chunk[4] = {1, 1, 1, 1};
    for (int i = 0; i < header->ndim; i++) {
        dims[4 - header->ndim + i] = header->dims[i];
        chunk[4 - header->ndim + i] = header->chunk[i];
    }
    for (int i = 3; i >= 0; i--) {
        stride[i] = layout->values;
        if (swg__mul_overflow(layout->values, dims[i], &layout->values) || layout->values > SWG__MOST_VALUES)
            return false;
    }
    for (int i = 0; i < 4; i++)
        seen |= 1 << (header->axis_map >> 2 * i & 3);
    if (seen != 15)
        return false;
    for (int i = 0; i < 4; i++) {
        int axis = header->axis_map >> 2 * i & 3;
        layout->dims[i] = dims[axis];
        layout->chunk[i] = chunk[axis];
        layout->stride[i] = stride[axis];
        layout->chunks[i] = dims[axis] / chunk[axis] + (dims[axis] % chunk[axis] != 0);
        layout->count *= layout->chunks[i]; /* <= values */
    }
    return true;
}

void swg__layout_chunk(const swg__layout *layout, const swg__header *header, int64_t chunk, int64_t origin[4], int64_t extent[4]) {
    for (int axis = 3; axis >= 0; axis--) /* by dataset axis, last fastest */
        for (int i = 0; i < 4; i++)
            if ((header->axis_map >> 2 * i & 3) == axis) {
                origin[i] = chunk % layout->chunks[i] * layout->chunk[i];
                chunk /= layout->chunks[i];
                int64_t left = layout->dims[i] - origin[i];
                extent[i] = left < layout->chunk[i] ? left : layout->chunk[i];
            }
}

/* ---- header ---- */

static void put_tlv(swg__text *out, unsigned type, const char *text) {
    if (!text || !*text)
        return;
    size_t bytes = strlen(text), start = out->length;
    swg__put16(out, type);
    swg__put16(out, 0);
    swg__put32(out, (uint32_t)bytes);
    swg__put(out, text, bytes);
    swg__put_padding(out, start);
}

static void put_f64(swg__text *out, double v) {
    uint8_t b[8];
    swg__store_f64(b, v);
    swg__put(out, b, 8);
}

void swg__header_write(const swg__header *h, const char *name, const char *attributes, swg__text *out) {
    size_t start = out->length;
    swg__put(out, magic, sizeof magic);
    swg__put16(out, 1);
    swg__put16(out, 0);
    swg__put32(out, 0); /* header_bytes, below */
    swg__put32(out, h->incompat);
    swg__put32(out, h->compat);
    swg__put8(out, (unsigned)h->type);
    swg__put8(out, h->ndim);
    swg__put8(out, (unsigned)h->bound);
    swg__put8(out, (unsigned)h->layout);
    swg__put8(out, h->axis_map);
    swg__put8(out, h->fill.mode == SWG_FILL_NONE ? 0 : (unsigned)h->fill.mode);
    swg__put8(out, h->source_order);
    swg__put8(out, (unsigned)h->grid.sig);
    for (int i = 0; i < 4; i++)
        swg__put64(out, (uint64_t)h->dims[i]);
    for (int i = 0; i < 4; i++)
        swg__put32(out, (uint32_t)h->chunk[i]);
    put_f64(out, h->value);
    put_f64(out, h->grid.eb);
    put_f64(out, h->grid.step);
    put_f64(out, h->grid.base);
    put_f64(out, h->range_min);
    put_f64(out, h->range_max);
    swg__put64(out, h->grid.pw_h);
    swg__put64(out, h->fill.bits);
    put_f64(out, h->fill.threshold);
    swg__put64(out, h->n_chunks);
    swg__put64(out, h->off_models);
    swg__put32(out, h->n_models);
    swg__put32(out, h->encoder_id);
    swg__put64(out, h->user_tag);
    swg__put64(out, 0);
    put_tlv(out, TLV_NAME, name);
    put_tlv(out, TLV_ATTRIBUTES, attributes);
    if (h->bound == SWG_BOUND_PSNR && h->psnr != 0) {
        swg__put16(out, TLV_PSNR);
        swg__put16(out, 0);
        swg__put32(out, 8);
        put_f64(out, h->psnr);
    }
    if (out->failed)
        return;
    size_t bytes = out->length - start + 4;
    swg__store32((uint8_t *)out->data + start + 12, (uint32_t)bytes);
    swg__put32(out, swg__crc32c(0, out->data + start, bytes - 4));
}

static const char *parse_extensions(swg__cursor *in, swg__header *h, swg_status *status) {
    while (swg__left(in)) {
        uint32_t type = swg__take16(in), flags = swg__take16(in), bytes = swg__take32(in);
        const uint8_t *data = swg__take(in, bytes);
        (void)swg__take(in, (4 - (bytes & 3)) & 3);
        if (in->bad)
            return "extension passes the end of the header";
        if (type == TLV_NAME)
            h->name = (swg__span){data, bytes};
        else if (type == TLV_ATTRIBUTES)
            h->attributes = (swg__span){data, bytes};
        else if (type == TLV_PSNR && bytes == 8)
            h->psnr = swg__load_f64(data);
        else if (flags & TLV_CRITICAL) {
            *status = SWG_EUNSUPPORTED;
            return "an extension that must be understood is unknown";
        }
    }
    return NULL;
}

/* The step of a float grid: positive, finite, at most sig significant bits. */
const char *swg__grid_check(const swg__header *h) {
    const int sig = h->grid.sig;
    const swg__grid *g = &h->grid;
    if (!isfinite(g->eb) || g->eb < 0 || !isfinite(g->base) || !isfinite(g->step) || g->step < 0)
        return "bound, step or base is not a finite number";
    if (g->pw_h || h->bound == SWG_BOUND_PW_REL) {
        if (h->bound != SWG_BOUND_PW_REL || !swg__is_float(g->type) || (g->eb > 0) != (g->pw_h > 0) || g->eb >= 0.5 ||
            g->pw_h > SWG__POWER_STEP_MOST || g->step > 0 || g->base != 0)
            return "point-wise relative bound is impossible";
        return sig == 0 ? NULL : "significant bits without a grid";
    }
    if ((g->step > 0) != (g->eb > 0))
        return "bound and step do not go together";
    if (h->bound == SWG_BOUND_LOSSLESS && g->eb > 0)
        return "a lossless stream has a bound";
    if (g->step == 0)
        return sig == 0 ? NULL : "significant bits without a grid";
    if (!swg__is_float(g->type))
        return sig == 0 && g->step >= 1 && g->step <= 0x1p53 && floor(g->step) == g->step ? NULL : "integer step is impossible";
    if (sig < 12 || sig > 24)
        return "number of significant bits is impossible";
    if (g->eb < 0x1p-1000 || g->eb > 0x1p1000 || g->step < 0x1p-1001 || g->step > 0x1p1003)
        return "bound or step is out of range";
    return swg__short_step(g->step / 2, sig) == g->step ? NULL : "step has too many significant bits";
}

static const char *check_fill(const swg__header *h) {
    const swg__fill *f = &h->fill;
    int bytes = swg_element_bytes(h->type);
    if (bytes < 8 && f->bits >> 8 * bytes)
        return "fill value has more bits than its type";
    if (f->mode == SWG_FILL_ABOVE ? !(f->threshold > 0) : f->threshold != 0)
        return "fill threshold is impossible";
    return NULL;
}

static const char *check_shape(swg__header *h) {
    if (h->ndim < 1 || h->ndim > 4)
        return "number of dimensions is not 1..4";
    int64_t values = 1, chunk = 1;
    for (int i = 0; i < 4; i++) {
        bool used = i < h->ndim, growing = i == 0 && (h->compat & SWG__COMPAT_APPEND);
        if (h->dims[i] < (growing ? 0 : 1) || h->dims[i] > (int64_t)1 << 48 || (!used && h->dims[i] != 1))
            return "dimension is 0 or too large";
        if (h->chunk[i] < 1 || (!growing && h->chunk[i] > h->dims[i]))
            return "chunk is empty or larger than the array";
        if (swg__mul_overflow(values, h->dims[i] ? h->dims[i] : 1, &values) || values > SWG__MOST_VALUES)
            return "too many values";
        if (swg__mul_overflow(chunk, h->chunk[i], &chunk) || chunk > SWG__CHUNK_VALUES)
            return "chunk has more than 2^24 values";
    }
    if (h->layout != SWG_CODEC_GRID && h->layout != SWG_CODEC_BLOCKS)
        return "layout is unknown";
    if (h->layout == SWG_CODEC_BLOCKS &&
        (h->ndim != 4 || h->dims[1] < 3 || h->dims[1] > 9 || h->dims[2] != h->dims[1] || h->dims[3] != h->dims[1] ||
         h->chunk[1] != h->dims[1] || h->chunk[2] != h->dims[1] || h->chunk[3] != h->dims[1]))
        return "blocks are not cubes of edge 3..9";
    swg__layout layout;
    return swg__layout_make(h, &layout) ? NULL : "axis map is not a permutation";
}

const char *swg__header_parse(const uint8_t *data, size_t bytes, swg__header *h, swg_status *status) {
    *h = (swg__header){0};
    *status = SWG_EFORMAT;
    if (bytes == 0)
        return "is empty";
    if (bytes < 8 ? memcmp(data, magic, bytes) != 0 : memcmp(data, magic, 8) != 0) {
        if (bytes >= 7 && memcmp(data + 1, "SWZ", 3) == 0)
            return "was damaged by a transfer in text mode or by the loss of its eighth bit";
        return "is not a .swz stream";
    }
    *status = SWG_ECORRUPT;
    if (bytes < SWG__HEADER_BYTES)
        return "ends inside its header";
    swg__cursor in = {.at = data + 8, .end = data + bytes};
    uint32_t major = swg__take16(&in);
    (void)swg__take16(&in);
    h->header_bytes = swg__take32(&in);
    if (major != 1) {
        *status = SWG_EUNSUPPORTED;
        return "has another major version than 1: a newer swage reads it";
    }
    if (h->header_bytes < SWG__HEADER_BYTES || h->header_bytes > 65536 || (h->header_bytes & 3) || h->header_bytes > bytes)
        return "header length is impossible";
    if (swg__load32(data + h->header_bytes - 4) != swg__crc32c(0, data, h->header_bytes - 4))
        return "checksum of the header is wrong";
    in.end = data + h->header_bytes - 4;
    h->incompat = swg__take32(&in);
    h->compat = swg__take32(&in);
    h->type = (swg_element)swg__take8(&in);
    h->ndim = (uint8_t)swg__take8(&in);
    h->bound = (swg_bound_mode)swg__take8(&in);
    h->layout = (swg_codec_layout)swg__take8(&in);
    h->axis_map = (uint8_t)swg__take8(&in);
    uint32_t fill_mode = swg__take8(&in);
    h->source_order = (uint8_t)swg__take8(&in);
    int sig = (int)swg__take8(&in);
    for (int i = 0; i < 4; i++) {
        uint64_t extent = swg__take64(&in);
        h->dims[i] = extent > INT64_MAX ? -1 : (int64_t)extent;
    }
    for (int i = 0; i < 4; i++)
        h->chunk[i] = swg__take32(&in);
    double *const numbers[] = {&h->value, &h->grid.eb, &h->grid.step, &h->grid.base, &h->range_min, &h->range_max};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        *numbers[i] = swg__load_f64(swg__take(&in, 8));
    h->grid.pw_h = swg__take64(&in);
    h->fill = (swg__fill){fill_mode ? (swg_fill_mode)fill_mode : SWG_FILL_NONE, swg__take64(&in), 0};
    h->fill.threshold = swg__load_f64(swg__take(&in, 8));
    h->n_chunks = swg__take64(&in);
    h->off_models = swg__take64(&in);
    h->n_models = swg__take32(&in);
    h->encoder_id = swg__take32(&in);
    h->user_tag = swg__take64(&in);
    (void)swg__take64(&in);
    h->grid.type = h->type;
    h->grid.sig = sig;
    if (h->incompat & ~(uint32_t)(SWG__INCOMPAT_ZSTD | SWG__INCOMPAT_MODE_T | SWG__INCOMPAT_ENCLOSED)) {
        *status = SWG_EUNSUPPORTED;
        return "uses a feature this version does not know";
    }
    if (!swg_element_bytes(h->type))
        return "element type is unknown";
    if (h->bound > SWG_BOUND_PSNR)
        return "bound mode is unknown";
    if (fill_mode > 2)
        return "fill mode is unknown";
    const char *why = check_shape(h);
    if (!why && (!isfinite(h->value) || h->value < 0))
        why = "bound is not a number >= 0";
    if (!why)
        why = swg__grid_check(h);
    if (!why)
        why = check_fill(h);
    if (!why && h->n_models > SWG__MODELS)
        why = "more than 64 models";
    return why ? why : parse_extensions(&in, h, status);
}

/* ---- sections ---- */

void swg__section_begin(swg__text *out, const char tag[4], uint64_t payload_bytes) {
    swg__put(out, tag, 4);
    swg__put32(out, 0);
    swg__put64(out, payload_bytes);
}

void swg__section_end(swg__text *out, size_t start) {
    if (!out->failed)
        swg__put32(out, swg__crc32c(0, out->data + start, out->length - start));
}

const char *swg__section_parse(const uint8_t *data, size_t bytes, const char tag[4], swg__span *payload) {
    *payload = (swg__span){0};
    if (bytes < SWG__FRAME_BYTES || memcmp(data, tag, 4) != 0)
        return "section is not where it should be";
    if (swg__load32(data + 4) != 0)
        return "section has an unknown version";
    if (swg__load64(data + 8) != bytes - SWG__FRAME_BYTES)
        return "section has the wrong length";
    if (swg__load32(data + bytes - 4) != swg__crc32c(0, data, bytes - 4))
        return "checksum of a section is wrong";
    *payload = (swg__span){data + 16, bytes - SWG__FRAME_BYTES};
    return NULL;
}

/* ---- footer and index ---- */

void swg__footer_write(const swg__footer *f, swg__text *out) {
    size_t start = out->length;
    swg__put(out, "SWFT", 4);
    swg__put32(out, SWG__FOOTER_BYTES);
    swg__put64(out, f->off_index);
    swg__put64(out, f->index_bytes);
    swg__put64(out, f->n_chunks);
    swg__put64(out, f->dims0);
    swg__put64(out, f->prev_footer);
    swg__put64(out, f->file_bytes);
    if (!out->failed)
        swg__put32(out, swg__crc32c(0, out->data + start, 56));
    swg__put(out, end_magic, 4);
}

const char *swg__footer_parse(const uint8_t *at, uint64_t file_bytes, swg__footer *f) {
    if (memcmp(at + 60, end_magic, 4) != 0 || memcmp(at, "SWFT", 4) != 0 || swg__load32(at + 4) != SWG__FOOTER_BYTES)
        return "has no footer: it was cut off, or something was appended; swage verify --recover may help";
    if (swg__load32(at + 56) != swg__crc32c(0, at, 56))
        return "checksum of the footer is wrong";
    *f = (swg__footer){swg__load64(at + 8),  swg__load64(at + 16), swg__load64(at + 24),
                       swg__load64(at + 32), swg__load64(at + 40), swg__load64(at + 48)};
    uint64_t own = file_bytes - SWG__FOOTER_BYTES;
    if (f->file_bytes != file_bytes)
        return "length differs from the one in its footer";
    if (f->prev_footer >= own)
        return "footer points forward";
    if (f->off_index >= own || f->index_bytes > own - f->off_index)
        return "index is outside the file";
    return NULL;
}

void swg__index_write(const swg__index_entry *e, swg__text *out) {
    swg__put64(out, e->offset);
    swg__put32(out, e->record_bytes);
    swg__put8(out, e->mode);
    swg__put8(out, e->submode);
    swg__put16(out, e->flags);
    uint8_t ratio[4];
    swg__store_f32(ratio, e->max_ratio);
    swg__put(out, ratio, 4);
    swg__put32(out, e->crc);
}

void swg__index_read(const uint8_t *payload, int64_t chunk, swg__index_entry *e) {
    const uint8_t *p = payload + 8 + (size_t)chunk * SWG__INDEX_ENTRY;
    *e = (swg__index_entry){swg__load64(p), swg__load32(p + 8), swg__load32(p + 20), p[12], p[13], swg__load16(p + 14), swg__load_f32(p + 16)};
}
