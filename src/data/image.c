/* image.c - images whatever their format: rows and windows, stored numbers to values, checks, limits.
 * In: a PNG or TIFF file, or its bytes. Out: (channels, h, w) floats or stored numbers.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <string.h>
#include "data/image_format.h"

enum { BAND_BYTES = 4 << 20 };          /* scratch of a window, and of rows kept */
#define MOST_PIXELS ((int64_t)1 << 40)
#define STANDARD_BYTES ((int64_t)1 << 32)

/* ---- opening ---- */

swg_status swg__image_missing(swg_context *ctx, const char *name, const char *library) {
    return swg__fail(ctx, SWG_EUNSUPPORTED, "%s: this build has no %s; install its development package and build again", name, library);
}

swg_status swg__image_check_size(const swg_image *image, int64_t height, int64_t width, int64_t samples, int64_t sample_bytes) {
    int64_t pixels, row;
    if (height < 1 || width < 1)
        return swg__fail(image->ctx, SWG_ESHAPE, "%s: %lld x %lld pixels: the image is empty", image->name, (long long)width, (long long)height);
    if (swg__mul_overflow(height, width, &pixels) || pixels > MOST_PIXELS || swg__mul_overflow(width, samples * sample_bytes, &row) ||
        row > image->max_bytes)
        return swg__fail(image->ctx, SWG_ESHAPE, "%s: %lld x %lld pixels are more than an image may have here (2^40 pixels, %lld bytes a row)",
                         image->name, (long long)width, (long long)height, (long long)image->max_bytes);
    return SWG_OK;
}

static swg_status tell_format(swg_image *image) {
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', 13, 10, 26, 10};
    uint8_t head[8] = {0};
    int64_t got = swg__stream_read(&image->stream, head, sizeof head);
    image->stream.at = 0;
    if (got < 0)
        return swg__fail(image->ctx, SWG_EIO, "%s: cannot read: %s", image->name, strerror(errno));
    if (got == 0)
        return swg__fail(image->ctx, SWG_EFORMAT, "%s: the file is empty", image->name);
    bool little = head[0] == 'I' && head[1] == 'I' && (head[2] == 42 || head[2] == 43) && head[3] == 0;
    bool big = head[0] == 'M' && head[1] == 'M' && head[2] == 0 && (head[3] == 42 || head[3] == 43);
    if (got == 8 && memcmp(head, png, 8) == 0)
        image->format = &swg__image_png;
    else if (little || big)
        image->format = &swg__image_tiff;
    else if (head[0] == 0xff && head[1] == 0xd8)
        return swg__fail(image->ctx, SWG_EFORMAT, "%s: is JPEG, which is not read; convert it to PNG or TIFF", image->name);
    else
        return swg__fail(image->ctx, SWG_EFORMAT, "%s: neither PNG nor TIFF", image->name);
    return SWG_OK;
}

static swg_status settle_channels(swg_image *image, int wanted) {
    image->info.channels = wanted ? wanted : image->colours;
    image->info.grey_repeated = wanted == 3 && image->colours == 1;
    if (image->info.channels != image->colours && !image->info.grey_repeated)
        return swg__fail(image->ctx, SWG_ESHAPE, "%s: the image has %d channel%s, %d are wanted", image->name, image->colours,
                         image->colours == 1 ? "" : "s", wanted);
    return SWG_OK;
}

static swg_status open_stream(swg_image *image, const swg_image_opts *opts) {
    const char *word = opts->nonfinite ? opts->nonfinite : "error";
    image->zero_nonfinite = strcmp(word, "zero") == 0;
    if (!image->zero_nonfinite && strcmp(word, "error") != 0)
        return swg__fail(image->ctx, SWG_EINVAL, "data.nonfinite=%s: expected error or zero", word);
    if (opts->channels < 0 || opts->max_bytes < 0 || opts->page < 0 || !isfinite(opts->scale))
        return swg__fail(image->ctx, SWG_EINVAL, "%s: channels, page and limit of an image are 0 or more, its scale is finite", image->name);
    image->scale = opts->scale;
    image->max_bytes = opts->max_bytes ? opts->max_bytes : STANDARD_BYTES;
    SWG__TRY(tell_format(image));
    image->info.format = image->format->name;
    image->info.pages = 1;
    image->band = 1;
    SWG__TRY(image->format->open(image, opts->page));
    return settle_channels(image, opts->channels);
}

static swg_status open_image(swg_context *ctx, const char *name, swg__stream stream, bool as_stored, const swg_image_opts *opts, swg_image **out) {
    *out = NULL;
    swg_image *image = swg__calloc(ctx, 1, sizeof *image);
    if (!image) {
        swg__stream_close(&stream);
        return swg__fail_memory(ctx, sizeof *image, name);
    }
    image->ctx = ctx;
    image->stream = stream;
    image->as_stored = as_stored;
    image->name = swg__strdup(ctx, name);
    swg_status status = image->name ? open_stream(image, opts ? opts : &(swg_image_opts){0}) : swg__fail_memory(ctx, strlen(name), name);
    if (status != SWG_OK) {
        swg_image_close(image);
        return status;
    }
    *out = image;
    return SWG_OK;
}

swg_status swg_image_open(swg_context *ctx, const char *path, const swg_image_opts *opts, swg_image **out) {
    *out = NULL;
    swg__stream stream;
    SWG__TRY(swg__stream_open(ctx, path, &stream));
    return open_image(ctx, path, stream, false, opts, out);
}

swg_status swg__image_open_stored(swg_context *ctx, const char *name, swg__stream stream, int64_t max_bytes, swg_image **out) {
    return open_image(ctx, name, stream, true, &(swg_image_opts){.max_bytes = max_bytes}, out);
}

swg_status swg_image_open_memory(swg_context *ctx, const void *data, int64_t bytes, const char *name, const swg_image_opts *opts, swg_image **out) {
    return open_image(ctx, name, (swg__stream){.fd = -1, .data = data, .size = bytes}, false, opts, out);
}

void swg_image_close(swg_image *image) {
    if (!image)
        return;
    if (image->state)
        image->format->close(image);
    swg__stream_close(&image->stream);
    swg__free(image->ctx, image->kept);
    swg__free(image->ctx, image->kept_row);
    swg__free(image->ctx, image->name);
    swg__free(image->ctx, image);
}

const swg_image_info *swg_image_about(const swg_image *image) { return &image->info; }

/* ---- stored numbers ---- */

void swg__image_planes(int bytes, const void *from, int64_t w, int samples, int channels, void *to, int64_t plane) {
#define PLANES(type)                                              \
    for (int c = 0; c < channels; c++) {                          \
        const type *in = (const type *)from + c;                  \
        type *out = (type *)to + c * plane;                       \
        for (int64_t i = 0; i < w; i++)                           \
            out[i] = in[i * samples];                             \
    }
    if (bytes == 1) {
        PLANES(uint8_t)
    } else if (bytes == 2) {
        PLANES(uint16_t)
    } else if (bytes == 4) {
        PLANES(uint32_t)
    } else {
        PLANES(uint64_t)
    }
#undef PLANES
}

/* Makes room to keep `rows` rows, or as many as BAND_BYTES allow. */
static swg_status keep_rows(swg_image *image, int64_t rows, int64_t row_bytes) {
    int64_t most = BAND_BYTES / row_bytes > 1 ? BAND_BYTES / row_bytes : 1;
    rows = rows < most ? rows : most;
    if (rows <= image->kept_rows)
        return SWG_OK;
    image->kept_rows = 0;
    swg__free(image->ctx, image->kept);
    swg__free(image->ctx, image->kept_row);
    image->kept = swg__alloc(image->ctx, (size_t)(rows * row_bytes));
    image->kept_row = swg__alloc(image->ctx, (size_t)rows * sizeof *image->kept_row);
    if (!image->kept || !image->kept_row)
        return swg__fail_memory(image->ctx, (size_t)(rows * row_bytes), image->name);
    for (int64_t i = 0; i < rows; i++)
        image->kept_row[i] = -1;
    image->kept_rows = rows;
    return SWG_OK;
}

/* Colours of a window, (colours, h, w) with `plane` numbers from one channel to the next. */
static swg_status read_by_rows(swg_image *image, int64_t y, int64_t x, int64_t h, int64_t w, uint8_t *out, int64_t plane) {
    const int bytes = swg_element_bytes(image->info.element);
    const int64_t row_bytes = image->info.width * image->samples * bytes;
    SWG__TRY(keep_rows(image, h, row_bytes));
    for (int64_t r = y; r < y + h; r++) {
        int64_t slot = r % image->kept_rows;
        uint8_t *row = image->kept + slot * row_bytes;
        if (image->kept_row[slot] != r) {
            image->kept_row[slot] = -1;
            SWG__TRY(image->format->row(image, r, row));
            image->kept_row[slot] = r;
        }
        swg__image_planes(bytes, row + x * image->samples * bytes, w, image->samples, image->colours, out + (r - y) * w * bytes, plane);
    }
    return SWG_OK;
}

/* Looks at floats: replaces what is not finite, refuses or counts what is outside [0,1]. (colours, h, w) at (y, x). */
static swg_status check_floats(swg_image *image, int64_t y, int64_t x, int64_t h, int64_t w, float *values) {
    for (int64_t i = 0; i < image->colours * h * w; i++) {
        double v = (double)values[i] * (image->scale != 0 ? image->scale : 1);
        if (v >= 0 && v <= 1)
            continue;
        long long channel = i / (h * w), row = y + i / w % h, column = x + i % w;
        if (!isfinite(v)) {
            if (!image->zero_nonfinite)
                return swg__fail(image->ctx, SWG_ENONFINITE, "%s: channel %lld, row %lld, column %lld is %g; data.nonfinite=zero replaces such "
                                 "values by 0", image->name, channel, row, column, (double)values[i]);
            values[i] = 0;
            image->info.nonfinite++;
        } else if (image->scale != 0) {
            image->info.outside++;
        } else {
            return swg__fail(image->ctx, SWG_EINVAL, "%s: channel %lld, row %lld, column %lld is %g, outside [0,1]; give data.scale, by which "
                             "stored numbers are multiplied", image->name, channel, row, column, v);
        }
    }
    return SWG_OK;
}

static swg_status check_window(const swg_image *image, int64_t y, int64_t x, int64_t h, int64_t w) {
    const swg_image_info *info = &image->info;
    if (y >= 0 && x >= 0 && h > 0 && w > 0 && h <= info->height && w <= info->width && y <= info->height - h && x <= info->width - w)
        return SWG_OK;
    return swg__fail(image->ctx, SWG_EINVAL, "%s: %lld x %lld pixels at row %lld, column %lld are not inside an image of %lld x %lld", image->name,
                     (long long)w, (long long)h, (long long)y, (long long)x, (long long)info->width, (long long)info->height);
}

/* Colours only, without repetition: (colours, h, w). */
static swg_status read_colours(swg_image *image, int64_t y, int64_t x, int64_t h, int64_t w, void *out) {
    const swg__image_format *format = image->format;
    if (format->by_window && format->by_window(image))
        SWG__TRY(format->window(image, y, x, h, w, out));
    else
        SWG__TRY(read_by_rows(image, y, x, h, w, out, h * w));
    return image->info.element == SWG_ELEMENT_F32 ? check_floats(image, y, x, h, w, out) : SWG_OK;
}

swg_status swg_image_read_stored(swg_image *image, int64_t y, int64_t x, int64_t h, int64_t w, void *out) {
    SWG__TRY(check_window(image, y, x, h, w));
    SWG__TRY(read_colours(image, y, x, h, w, out));
    size_t plane = (size_t)(h * w) * (size_t)swg_element_bytes(image->info.element);
    for (int c = 1; image->info.grey_repeated && c < 3; c++)
        memcpy((uint8_t *)out + (size_t)c * plane, out, plane);
    return SWG_OK;
}

/* ---- values ---- */

void swg__image_values(swg_element element, const void *stored, int64_t count, double scale, float *out) {
    if (element == SWG_ELEMENT_F32 && scale == 0) {
        memcpy(out, stored, (size_t)count * sizeof *out);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        if (element == SWG_ELEMENT_F32) {
            out[i] = (float)((double)((const float *)stored)[i] * scale);
        } else if (element == SWG_ELEMENT_U8) {
            uint8_t v = ((const uint8_t *)stored)[i];
            out[i] = scale != 0 ? (float)(v * scale) : (float)v / 255.f;
        } else {
            uint16_t v = ((const uint16_t *)stored)[i];
            out[i] = scale != 0 ? (float)(v * scale) : (float)v / 65535.f;
        }
    }
}

/* Counts what a given scale takes out of [0,1]; floats were counted when they were checked. */
static void count_outside(swg_image *image, const float *values, int64_t count) {
    if (image->scale == 0 || image->info.element == SWG_ELEMENT_F32)
        return;
    for (int64_t i = 0; i < count; i++)
        image->info.outside += values[i] < 0 || values[i] > 1;
}

swg_status swg_image_read_window(swg_image *image, int64_t y, int64_t x, int64_t h, int64_t w, float *out) {
    SWG__TRY(check_window(image, y, x, h, w));
    const int64_t row = w * image->colours * swg_element_bytes(image->info.element), plane = h * w;
    int64_t rows = BAND_BYTES / row < image->band ? image->band : BAND_BYTES / row / image->band * image->band;
    size_t scratch = (size_t)((rows < h ? rows : h) * row);
    uint8_t *stored = swg__alloc(image->ctx, scratch);
    swg_status status = stored ? SWG_OK : swg__fail_memory(image->ctx, scratch, image->name);
    for (int64_t r = 0; status == SWG_OK && r < h;) {
        int64_t n = rows - (y + r) % image->band; /* bands end where tiles end, so that none is decoded twice */
        n = n < h - r ? n : h - r;
        status = read_colours(image, y + r, x, n, w, stored);
        for (int c = 0; status == SWG_OK && c < image->colours; c++) {
            float *to = out + c * plane + r * w;
            swg__image_values(image->info.element, stored + c * n * w * swg_element_bytes(image->info.element), n * w, image->scale, to);
            count_outside(image, to, n * w);
        }
        r += n;
    }
    swg__free(image->ctx, stored);
    for (int c = 1; status == SWG_OK && image->info.grey_repeated && c < 3; c++)
        memcpy(out + c * plane, out, (size_t)plane * sizeof *out);
    return status;
}

swg_status swg_image_read_rows(swg_image *image, int64_t first, int64_t count, float *out) {
    return swg_image_read_window(image, first, 0, count, image->info.width, out);
}

swg_status swg_image_read(swg_context *ctx, const char *path, const swg_image_opts *opts, swg_image_pixels *out, swg_image_info *info) {
    *out = (swg_image_pixels){0};
    swg_image *image = NULL;
    SWG__TRY(swg_image_open(ctx, path, opts, &image));
    const swg_image_info *about = &image->info;
    swg_image_pixels pixels = {.channels = about->channels, .height = about->height, .width = about->width};
    int64_t bytes;
    swg_status status = SWG_OK;
    if (swg__mul_overflow(about->height * about->width, about->channels * (int64_t)sizeof(float), &bytes) || bytes > image->max_bytes)
        status = swg__fail(ctx, SWG_ESHAPE, "%s: %lld x %lld pixels of %d channels do not fit into %lld bytes; read it by rows", path,
                           (long long)about->width, (long long)about->height, about->channels, (long long)image->max_bytes);
    else if (!(pixels.values = swg__alloc(ctx, (size_t)bytes)))
        status = swg__fail_memory(ctx, (size_t)bytes, path);
    else
        status = swg_image_read_rows(image, 0, about->height, pixels.values);
    if (info)
        *info = *about;
    swg_image_close(image);
    if (status == SWG_OK)
        *out = pixels;
    else
        swg__free(ctx, pixels.values);
    return status;
}

void swg_image_pixels_free(swg_context *ctx, swg_image_pixels *pixels) {
    swg__free(ctx, pixels->values);
    *pixels = (swg_image_pixels){0};
}
