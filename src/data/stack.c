/* stack.c - stacks whatever their format: which one it is, boxes in bands of bounded size, stored numbers to floats and to label ids.
 * In: a TIFF, PNG, NPY or HDF5 file. Out: (channels, d, h, w) floats or ids.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "data/stack_format.h"

enum { BAND_BYTES = 8 << 20, MOST_CHANNELS = 1 << 20 };
#define MOST_BYTES ((int64_t)1 << 56)   /* of all numbers of a stack */
#define MOST_PIXELS ((int64_t)1 << 40)  /* of a plane */
#define STANDARD_BYTES ((int64_t)1 << 32)

/* ---- opening ---- */

static swg_status tell_format(swg_stack *stack) {
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', 13, 10, 26, 10}, hdf5[8] = {0x89, 'H', 'D', 'F', 13, 10, 26, 10};
    uint8_t head[8] = {0};
    int64_t got = swg__stream_read(&stack->stream, head, sizeof head);
    stack->stream.at = 0;
    if (got < 0)
        return swg__fail(stack->ctx, SWG_EIO, "%s: cannot read: %s", stack->name, strerror(errno));
    if (got == 0)
        return swg__fail(stack->ctx, SWG_EFORMAT, "%s: the file is empty", stack->name);
    const bool little = head[0] == 'I' && head[1] == 'I' && (head[2] == 42 || head[2] == 43) && head[3] == 0;
    const bool big = head[0] == 'M' && head[1] == 'M' && head[2] == 0 && (head[3] == 42 || head[3] == 43);
    if (little || big)
        stack->format = &swg__stack_tiff;
    else if (memcmp(head, png, 8) == 0)
        stack->format = &swg__stack_png;
    else if (memcmp(head, "\x93NUMPY", 6) == 0)
        stack->format = &swg__stack_npy;
    else if (memcmp(head, hdf5, 8) == 0)
        return swg__fail(stack->ctx, SWG_EFORMAT, "%s: name the dataset behind the file, as %s:/raw", stack->name, stack->name);
    else
        return swg__fail(stack->ctx, SWG_EFORMAT, "%s: neither TIFF, PNG, NPY nor HDF5", stack->name);
    return SWG_OK;
}

static swg_status open_format(swg_stack *stack, const swg_stack_opts *opts) {
    const char *word = opts->nonfinite ? opts->nonfinite : "error";
    stack->zero_nonfinite = strcmp(word, "zero") == 0;
    if (!stack->zero_nonfinite && strcmp(word, "error") != 0)
        return swg__fail(stack->ctx, SWG_EINVAL, "data.nonfinite=%s: expected error or zero", word);
    if (opts->max_bytes < 0)
        return swg__fail(stack->ctx, SWG_EINVAL, "%s: the limit of a stack is 0 or more", stack->name);
    stack->max_bytes = opts->max_bytes ? opts->max_bytes : STANDARD_BYTES;
    stack->layout = opts->layout && *opts->layout ? opts->layout : NULL;
    if (!stack->format)
        SWG__TRY(tell_format(stack));
    swg_status status = stack->format->open(stack);
    stack->layout = NULL;
    return status;
}

/* Takes over the stream. */
static swg_status open_stack(swg_context *ctx, const char *name, swg__stream stream, const swg__stack_format *format, const swg_stack_opts *opts,
                             swg_stack **out) {
    *out = NULL;
    swg_stack *stack = swg__calloc(ctx, 1, sizeof *stack);
    if (!stack) {
        swg__stream_close(&stream);
        return swg__fail_memory(ctx, sizeof *stack, name);
    }
    *stack = (swg_stack){.ctx = ctx, .stream = stream, .format = format, .name = swg__strdup(ctx, name), .together = 1, .band_z = 1, .band_y = 1};
    stack->info = (swg_stack_info){.t = 1, .c = 1, .z = 1, .y = 1, .x = 1, .pages = 1, .compression = "none", .order = stack->order};
    swg__arena_init(&stack->arena, ctx);
    swg_status status = stack->name ? open_format(stack, opts ? opts : &(swg_stack_opts){0}) : swg__fail_memory(ctx, strlen(name), name);
    if (status != SWG_OK) {
        swg_stack_close(stack);
        return status;
    }
    *out = stack;
    return SWG_OK;
}

swg_status swg_stack_open(swg_context *ctx, const char *path, const swg_stack_opts *opts, swg_stack **out) {
    *out = NULL;
    swg__stream stream = {.fd = -1};
    if (swg__stack_dataset(ctx, path))
        return open_stack(ctx, path, stream, &swg__stack_hdf5, opts, out);
    SWG__TRY(swg__stream_open(ctx, path, &stream));
    return open_stack(ctx, path, stream, NULL, opts, out);
}

swg_status swg_stack_open_memory(swg_context *ctx, const void *data, int64_t bytes, const char *name, const swg_stack_opts *opts, swg_stack **out) {
    return open_stack(ctx, name, (swg__stream){.fd = -1, .data = data, .size = bytes}, NULL, opts, out);
}

void swg_stack_close(swg_stack *stack) {
    if (!stack)
        return;
    if (stack->state)
        stack->format->close(stack);
    swg__stream_close(&stack->stream);
    swg__arena_free(&stack->arena);
    swg__free(stack->ctx, stack->name);
    swg__free(stack->ctx, stack);
}

const swg_stack_info *swg_stack_about(const swg_stack *stack) { return &stack->info; }

const char *swg_stack_channel(const swg_stack *stack, int64_t c) { return stack->channels && c >= 0 && c < stack->info.c ? stack->channels[c] : NULL; }

char **swg__stack_names(swg_stack *stack) {
    return stack->channels = swg__arena_alloc(&stack->arena, (size_t)stack->info.c * sizeof *stack->channels);
}

swg_status swg__stack_take_axes(swg_stack *stack, const swg__axes *axes, const char *order_from) {
    swg_stack_info *info = &stack->info;
    int64_t bytes = swg_element_bytes(info->element), plane = 1;
    bool fits = true;
    for (int i = 0; i < axes->count; i++) {
        if (axes->extent[i] < 1)
            return swg__fail(stack->ctx, SWG_ESHAPE, "%s: axis %c has extent %lld: the stack is empty", stack->name, axes->letter[i], (long long)axes->extent[i]);
        stack->order[i] = axes->letter[i];
        fits = fits && !swg__mul_overflow(bytes, axes->extent[i], &bytes) && bytes <= MOST_BYTES;
    }
    stack->order[axes->count] = 0;
    info->order_from = order_from;
    info->t = swg__axes_extent(axes, 'T');
    info->z = swg__axes_extent(axes, 'Z');
    info->y = swg__axes_extent(axes, 'Y');
    info->x = swg__axes_extent(axes, 'X');
    fits = fits && !swg__mul_overflow(swg__axes_extent(axes, 'C'), swg__axes_extent(axes, 'S'), &info->c) && info->c <= MOST_CHANNELS &&
           !swg__mul_overflow(info->y, info->x, &plane) && plane <= MOST_PIXELS;
    return fits ? SWG_OK
                : swg__fail(stack->ctx, SWG_ESHAPE, "%s: %s of %lld x %lld pixels are more than a stack may have here (2^40 pixels a plane, %d channels)",
                            stack->name, stack->order, (long long)info->x, (long long)info->y, MOST_CHANNELS);
}

/* ---- boxes ---- */

static swg_status settle_axis(const swg_stack *stack, const char *axis, int64_t extent, int64_t first, int64_t *count) {
    if (first >= 0 && first < extent && *count == 0)
        *count = extent - first;
    if (first >= 0 && *count > 0 && *count <= extent && first <= extent - *count)
        return SWG_OK;
    return swg__fail(stack->ctx, SWG_EINVAL, "%s: %s from %lld on, %lld of them, is not inside 0 .. %lld", stack->name, axis, (long long)first, (long long)*count,
                     (long long)extent - 1);
}

swg_status swg_stack_settle(const swg_stack *stack, swg_stack_box *box) {
    const swg_stack_info *info = &stack->info;
    int64_t one = 1;
    SWG__TRY(settle_axis(stack, "time", info->t, box->t, &one));
    SWG__TRY(settle_axis(stack, "z", info->z, box->z, &box->d));
    SWG__TRY(settle_axis(stack, "y", info->y, box->y, &box->h));
    SWG__TRY(settle_axis(stack, "x", info->x, box->x, &box->w));
    if (!box->channels)
        box->channel_count = (int)info->c;
    for (int i = 0; box->channels && i < box->channel_count; i++)
        if (box->channels[i] < 0 || box->channels[i] >= info->c)
            return swg__fail(stack->ctx, SWG_EINVAL, "%s: channel %d: the stack has %lld channel%s, counted from 0", stack->name, box->channels[i],
                             (long long)info->c, info->c == 1 ? "" : "s");
    return box->channel_count > 0 ? SWG_OK : swg__fail(stack->ctx, SWG_EINVAL, "%s: no channel is wanted", stack->name);
}

/* ---- values ---- */

/* Where the numbers of a run go, and what was wrong with them. */
typedef struct delivery {
    swg_stack *stack;
    const swg_stack_box *box;   /* the whole, settled */
    float *values;              /* one of the two: (channels, d, h, w) */
    int32_t *labels;
    int64_t bad;                /* values that are not finite */
    int64_t bad_at[4];          /* channel, z, y, x of the first */
    double bad_value;
    swg_status status;
} delivery;

static float from_half(uint16_t h) {
    const int exponent = h >> 10 & 31;
    const float fraction = (float)(h & 1023), sign = h & 0x8000 ? -1.f : 1.f;
    return exponent == 31 ? sign * (fraction != 0 ? NAN : INFINITY)
                          : sign * (exponent ? ldexpf(fraction + 1024, exponent - 25) : ldexpf(fraction, -24));
}

static double stored_number(const swg_stack *stack, const void *from, int64_t i) {
    if (stack->half)
        return (double)from_half(((const uint16_t *)from)[i]);
    switch (stack->info.element) {
    case SWG_ELEMENT_F32: return (double)((const float *)from)[i];
    case SWG_ELEMENT_F64: return ((const double *)from)[i];
    case SWG_ELEMENT_I8: return ((const int8_t *)from)[i];
    case SWG_ELEMENT_U8: return ((const uint8_t *)from)[i];
    case SWG_ELEMENT_I16: return ((const int16_t *)from)[i];
    case SWG_ELEMENT_U16: return ((const uint16_t *)from)[i];
    case SWG_ELEMENT_I32: return ((const int32_t *)from)[i];
    case SWG_ELEMENT_U32: return ((const uint32_t *)from)[i];
    case SWG_ELEMENT_I64: return (double)((const int64_t *)from)[i]; /* beyond 2^53 it is rounded, and no label either way */
    case SWG_ELEMENT_U64: return (double)((const uint64_t *)from)[i];
    }
    return NAN;
}

/* The common types in loops of their own. False: there are values to be looked at one by one. */
static bool convert_fast(const swg_stack *stack, const void *from, int64_t n, float *to) {
    bool finite = true;
    switch (stack->half ? (swg_element)0 : stack->info.element) {
    case SWG_ELEMENT_U8:
        for (int64_t i = 0; i < n; i++)
            to[i] = ((const uint8_t *)from)[i];
        return true;
    case SWG_ELEMENT_U16:
        for (int64_t i = 0; i < n; i++)
            to[i] = ((const uint16_t *)from)[i];
        return true;
    case SWG_ELEMENT_F32:
        memcpy(to, from, (size_t)n * sizeof *to);
        for (int64_t i = 0; i < n; i++)
            finite &= isfinite(to[i]) != 0;
        return finite;
    default:
        for (int64_t i = 0; i < n; i++) {
            to[i] = (float)stored_number(stack, from, i);
            finite &= isfinite(to[i]) != 0;
        }
        return finite;
    }
}

static void note_bad(delivery *d, double value, const int64_t at[4]) {
    if (d->bad++ == 0) {
        d->bad_value = value;
        memcpy(d->bad_at, at, sizeof d->bad_at);
    }
}

/* n numbers of one row, the first at channel c, plane z, row y, column x of the stack; `to`: their place in the box. */
static void deliver_row(delivery *d, const uint8_t *from, int64_t n, const int64_t at[4], int64_t to) {
    swg_stack *stack = d->stack;
    if (d->values) {
        float *out = d->values + to;
        if (convert_fast(stack, from, n, out))
            return;
        for (int64_t i = 0; i < n; i++) {
            if (isfinite(out[i]))
                continue;
            note_bad(d, stored_number(stack, from, i), (int64_t[]){at[0], at[1], at[2], at[3] + i});
            out[i] = 0;
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        double v = stored_number(stack, from, i);
        const int64_t place[4] = {at[0], at[1], at[2], at[3] + i};
        if (!isfinite(v)) {
            note_bad(d, v, place);
            v = 0;
        }
        if (v < 0 || v > INT32_MAX || v != floor(v)) {
            d->status = swg__fail(stack->ctx, SWG_EINVAL, "%s: channel %lld, z %lld, y %lld, x %lld is %.12g; label ids are whole numbers from 0 to 2147483647",
                                  stack->name, (long long)place[0], (long long)place[1], (long long)place[2], (long long)place[3], v);
            return;
        }
        d->labels[to + i] = (int32_t)v;
    }
}

/* One band: part of the box, of channels that lie together, the first of them number `first` of the box. */
static swg_status deliver_band(delivery *d, const swg_stack_box *part, int first, uint8_t *scratch) {
    const swg_stack_box *box = d->box;
    const int bytes = d->stack->half ? 2 : swg_element_bytes(d->stack->info.element);
    SWG__TRY(d->stack->format->read(d->stack, part, scratch));
    const uint8_t *from = scratch;
    for (int c = 0; c < part->channel_count; c++)
        for (int64_t z = part->z; z < part->z + part->d; z++)
            for (int64_t y = part->y; y < part->y + part->h; y++, from += part->w * bytes) {
                int64_t to = (((first + c) * box->d + z - box->z) * box->h + y - box->y) * box->w;
                deliver_row(d, from, part->w, (int64_t[]){part->channels[c], z, y, part->x}, to);
                if (d->status != SWG_OK)
                    return d->status;
            }
    return SWG_OK;
}

/* `most` if it reaches the end, else a step from `at` that ends where a band of the format ends. */
static int64_t step(int64_t at, int64_t left, int64_t most, int64_t band) {
    if (most >= left)
        return left;
    int64_t n = most - (at + most) % band;
    return n > 0 ? n : band - at % band < left ? band - at % band : left;
}

/* Bands of planes, or of rows where a plane is too large. */
static swg_status deliver_channels(delivery *d, const int *channels, int count, int first) {
    const swg_stack *stack = d->stack;
    const swg_stack_box *box = d->box;
    const int64_t row = count * box->w * (stack->half ? 2 : swg_element_bytes(stack->info.element)), plane = row * box->h;
    const int64_t planes = BAND_BYTES / plane > stack->band_z ? BAND_BYTES / plane : stack->band_z;
    const int64_t deep = planes < box->d ? planes : box->d;
    int64_t rows = BAND_BYTES / (row * deep) > stack->band_y ? BAND_BYTES / (row * deep) : stack->band_y;
    rows = rows < box->h ? rows : box->h;
    uint8_t *scratch = swg__alloc(stack->ctx, (size_t)(row * rows * deep));
    swg_status status = scratch ? SWG_OK : swg__fail_memory(stack->ctx, (size_t)(row * rows * deep), stack->name);
    swg_stack_box part = *box;
    part.channels = channels;
    part.channel_count = count;
    for (part.z = box->z; status == SWG_OK && part.z < box->z + box->d; part.z += part.d) {
        part.d = step(part.z, box->z + box->d - part.z, deep, stack->band_z);
        for (part.y = box->y; status == SWG_OK && part.y < box->y + box->h; part.y += part.h) {
            part.h = step(part.y, box->y + box->h - part.y, rows, stack->band_y);
            status = deliver_band(d, &part, first, scratch);
        }
    }
    swg__free(stack->ctx, scratch);
    return status;
}

static swg_status deliver(swg_stack *stack, const swg_stack_box *wanted, float *values, int32_t *labels) {
    swg_stack_box box = *wanted;
    SWG__TRY(swg_stack_settle(stack, &box));
    delivery d = {.stack = stack, .box = &box, .values = values, .labels = labels};
    int all[64]; /* channels of a box that names none, some at a time */
    for (int first = 0; first < box.channel_count;) {
        const int *channels = box.channels ? box.channels + first : all;
        int count = 0, left = box.channel_count - first;
        do {
            if (!box.channels)
                all[count] = first + count;
            count++;
        } while (count < left && count < 64 && (box.channels ? channels[count] : first + count) / stack->together == channels[0] / stack->together);
        SWG__TRY(deliver_channels(&d, channels, count, first));
        first += count;
    }
    if (d.bad && !stack->zero_nonfinite)
        return swg__fail(stack->ctx, SWG_ENONFINITE, "%s: %lld value%s NaN, infinite or beyond 32 bits, the first at channel %lld, z %lld, y %lld, x %lld "
                         "(%g); data.nonfinite=zero replaces such values by 0", stack->name, (long long)d.bad, d.bad == 1 ? " is" : "s are",
                         (long long)d.bad_at[0], (long long)d.bad_at[1], (long long)d.bad_at[2], (long long)d.bad_at[3], d.bad_value);
    stack->info.nonfinite += d.bad;
    return SWG_OK;
}

swg_status swg_stack_read(swg_stack *stack, const swg_stack_box *box, float *out) { return deliver(stack, box, out, NULL); }

swg_status swg_stack_read_labels(swg_stack *stack, const swg_stack_box *box, int32_t *out) { return deliver(stack, box, NULL, out); }
