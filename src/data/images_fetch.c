/* images_fetch.c - samples of a data set of images as floats: cut or resized, augmented, with noise.
 * In: indices and how to draw. Out: (count, channels, tile, tile) f32. From images in memory nothing is allocated.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "data/image_format.h"
#include "data/images_inside.h"
#include "data/transform.h"
#include "philox.h"

/* Where a window comes from: memory, or a file opened for it. */
struct source {
    const swg__images *images;
    const swg__images_item *item;
    swg_image *file;            /* NULL: item->pixels */
};

static swg_status source_open(const swg__images *images, const swg__images_item *item, struct source *source) {
    *source = (struct source){.images = images, .item = item};
    if (item->pixels)
        return SWG_OK;
    SWG__TRY(swg_image_open(images->ctx, item->file.path, &images->reading, &source->file));
    const swg_image_info *info = swg_image_about(source->file);
    if (info->height == item->file.height && info->width == item->file.width && info->element == item->element)
        return SWG_OK;
    swg_image_close(source->file);
    return swg__fail(images->ctx, SWG_EIO, "%s: has changed since the data set was opened", item->file.path);
}

/* (channels, h, w), with `stride` numbers from one row of `out` to the next and `plane` from one channel. Rows lie apart only in memory. */
static void copy_window(const struct source *source, int64_t y, int64_t x, int64_t h, int64_t w, float *out, int64_t stride, int64_t plane) {
    const swg__images_item *item = source->item;
    const int bytes = swg_element_bytes(item->element);
    for (int c = 0; c < source->images->reading.channels; c++)
        for (int64_t r = 0; r < h; r++)
            swg__image_values(item->element, (const uint8_t *)item->pixels + ((c * item->file.height + y + r) * item->file.width + x) * bytes, w,
                              source->images->reading.scale, out + c * plane + r * stride);
}

/* The same from a file: read closely packed at the end of `out`, which has room for (channels, plane), then spread. */
static swg_status read_window(const struct source *source, int64_t y, int64_t x, int64_t h, int64_t w, float *out, int64_t stride, int64_t plane) {
    const int channels = source->images->reading.channels;
    if (!source->file) {
        copy_window(source, y, x, h, w, out, stride, plane);
        return SWG_OK;
    }
    float *packed = out + channels * (plane - h * w);
    SWG__TRY(swg_image_read_window(source->file, y, x, h, w, packed));
    for (int c = 0; c < channels; c++) /* a row's place is never behind where it lies packed */
        for (int64_t r = 0; r < h; r++)
            memmove(out + c * plane + r * stride, packed + (c * h + r) * w, (size_t)w * sizeof *out);
    return SWG_OK;
}

/* ---- cutting ---- */

/* Fills what lies beyond (h, w) of (channels, tile, tile) by reflection. */
static void pad(int channels, int64_t tile, int64_t h, int64_t w, float *image) {
    for (int c = 0; c < channels; c++, image += tile * tile) {
        for (int64_t y = 0; y < h; y++)
            for (int64_t x = w; x < tile; x++)
                image[y * tile + x] = image[y * tile + swg__reflect(x, w)];
        for (int64_t y = h; y < tile; y++)
            memcpy(image + y * tile, image + swg__reflect(y, h) * tile, (size_t)tile * sizeof *image);
    }
}

static swg_status cut(const struct source *source, int64_t y, int64_t x, float *out) {
    const int64_t tile = source->images->tile, height = source->item->file.height, width = source->item->file.width;
    const int64_t h = height - y < tile ? height - y : tile, w = width - x < tile ? width - x : tile;
    SWG__TRY(read_window(source, y, x, h, w, out, tile, tile * tile));
    if (h < tile || w < tile)
        pad(source->images->reading.channels, tile, h, w, out);
    return SWG_OK;
}

/* ---- resizing: bilinear between pixel centres, (i + 1/2) n / m - 1/2 ---- */

struct tap {
    int64_t low, high;
    float share;                /* of high */
};

static struct tap tap_of(int64_t i, int64_t from, int64_t to) {
    double at = ((double)i + .5) * (double)from / (double)to - .5;
    at = at < 0 ? 0 : at;
    int64_t low = (int64_t)at;
    low = low < from - 1 ? low : from - 1;
    return (struct tap){.low = low, .high = low + 1 < from ? low + 1 : low, .share = (float)(at - (double)low)};
}

static void blend_row(const float *upper, const float *lower, float share, int64_t width, int64_t tile, float *out) {
    for (int64_t x = 0; x < tile; x++) {
        const struct tap t = tap_of(x, width, tile);
        const float a = upper[t.low] + t.share * (upper[t.high] - upper[t.low]), b = lower[t.low] + t.share * (lower[t.high] - lower[t.low]);
        out[x] = a + share * (b - a);
    }
}

/* From a file: two rows at a time. */
static swg_status resize_file(const struct source *source, float *out) {
    const int64_t tile = source->images->tile, height = source->item->file.height, width = source->item->file.width;
    const int channels = source->images->reading.channels;
    const size_t bytes = (size_t)(2 * channels * width) * sizeof(float);
    float *rows = swg__alloc(source->images->ctx, bytes);
    swg_status status = rows ? SWG_OK : swg__fail_memory(source->images->ctx, bytes, source->item->file.path);
    for (int64_t y = 0; status == SWG_OK && y < tile; y++) {
        const struct tap t = tap_of(y, height, tile);
        const int64_t count = t.high - t.low + 1;
        status = swg_image_read_rows(source->file, t.low, count, rows);
        for (int c = 0; status == SWG_OK && c < channels; c++)
            blend_row(rows + c * count * width, rows + (c * count + count - 1) * width, t.share, width, tile, out + (c * tile + y) * tile);
    }
    swg__free(source->images->ctx, rows);
    return status;
}

static float value_at(const struct source *source, int c, int64_t y, int64_t x) {
    const swg__images_item *item = source->item;
    float v;
    swg__image_values(item->element, (const uint8_t *)item->pixels + ((c * item->file.height + y) * item->file.width + x) * swg_element_bytes(item->element), 1,
                      source->images->reading.scale, &v);
    return v;
}

static void resize_memory(const struct source *source, float *out) {
    const int64_t tile = source->images->tile, height = source->item->file.height, width = source->item->file.width;
    for (int c = 0; c < source->images->reading.channels; c++)
        for (int64_t y = 0; y < tile; y++) {
            const struct tap v = tap_of(y, height, tile);
            for (int64_t x = 0; x < tile; x++) {
                const struct tap t = tap_of(x, width, tile);
                const float upper[2] = {value_at(source, c, v.low, t.low), value_at(source, c, v.low, t.high)};
                const float lower[2] = {value_at(source, c, v.high, t.low), value_at(source, c, v.high, t.high)};
                const float a = upper[0] + t.share * (upper[1] - upper[0]), b = lower[0] + t.share * (lower[1] - lower[0]);
                *out++ = a + v.share * (b - a);
            }
        }
}

/* ---- one sample ---- */

static int64_t draw_start(uint32_t word, int64_t extent, int64_t tile) {
    return extent > tile ? (int64_t)(((uint64_t)word * (uint64_t)(extent - tile + 1)) >> 32) : 0;
}

/* The clean sample, augmented. */
static swg_status take(const swg__images *images, int64_t index, const swg__images_draw *draw, uint64_t key, float *out) {
    const swg__images_sample *sample = &images->samples[index];
    const swg__images_file *file = &images->items[sample->image].file;
    struct source source;
    int64_t y = sample->y, x = sample->x;
    if (images->mode == SWG__IMAGES_CROP && draw->training) {
        const swg__philox_words w = swg__philox(key, 0, 0, swg__fnv1a("crop"));
        y = draw_start(w.w[0], file->height, images->tile);
        x = draw_start(w.w[1], file->width, images->tile);
    } else if (images->mode == SWG__IMAGES_CROP) {
        y = file->height > images->tile ? (file->height - images->tile) / 2 : 0;
        x = file->width > images->tile ? (file->width - images->tile) / 2 : 0;
    }
    SWG__TRY(source_open(images, &images->items[sample->image], &source));
    swg_status status = SWG_OK;
    if (images->mode != SWG__IMAGES_RESIZE)
        status = cut(&source, y, x, out);
    else if (source.file)
        status = resize_file(&source, out);
    else
        resize_memory(&source, out);
    swg_image_close(source.file);
    if (status == SWG_OK && draw->training && draw->augment)
        swg__augment_apply(draw->augment, key, images->reading.channels, images->tile, out);
    return status;
}

swg_status swg__images_fetch(const swg__images *images, const int64_t *indices, int64_t count, const swg__images_draw *draw, float *noisy,
                             float *clean, char *message, size_t capacity) {
    const int64_t tile = images->tile, values = images->reading.channels * tile * tile;
    swg_status status = SWG_OK;
    for (int64_t i = 0; status == SWG_OK && i < count; i++) {
        if (indices[i] < 0 || indices[i] >= images->count) {
            status = swg__fail(images->ctx, SWG_EINVAL, "sample %lld: there are %lld", (long long)indices[i], (long long)images->count);
            break;
        }
        float *out = clean ? clean + i * values : noisy + i * values;
        const uint64_t key = swg__noise_key(draw->seed, (uint64_t)indices[i], draw->training ? draw->epoch : UINT32_MAX);
        status = take(images, indices[i], draw, key, out);
        if (status != SWG_OK || !noisy)
            continue;
        if (clean)
            memcpy(noisy + i * values, out, (size_t)values * sizeof *out);
        swg__noise_apply(images->ctx, &draw->noise, key, draw->training ? draw->progress : 1, images->reading.channels, tile, tile, noisy + i * values);
    }
    if (status != SWG_OK && capacity)
        snprintf(message, capacity, "%s", swg__own_message());
    return status;
}
