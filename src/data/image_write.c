/* image_write.c - floats to rows of PNG and TIFF files.
 * In: (channels, rows, width). Out: a file of 8, 16 or 32 bits a number, there whole or not at all.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include <strings.h>
#include "data/image_format.h"

static const struct {
    const char *ending;
    const swg__image_writing *format;
} endings[] = {{".png", &swg__png_writing}, {".tif", &swg__tiff_writing}, {".tiff", &swg__tiff_writing}};

static swg_status choose_format(swg_context *ctx, const char *path, const char *word, const swg__image_writing **out) {
    *out = NULL;
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (word ? strcmp(word, endings[i].format->name) == 0 : dot && strcasecmp(dot, endings[i].ending) == 0)
            *out = endings[i].format;
    if (*out)
        return SWG_OK;
    return word ? swg__fail(ctx, SWG_EINVAL, "%s: format %s: expected png or tiff", path, word)
                : swg__fail(ctx, SWG_EINVAL, "%s: the name of an image ends in .png, .tif or .tiff", path);
}

static swg_status check(const swg_image_writer *w) {
    const bool png = w->format == &swg__png_writing;
    int64_t row, bytes;
    if (w->bits != 8 && w->bits != 16 && (png || w->bits != 32))
        return swg__fail(w->ctx, SWG_EINVAL, "%s: %d bits: %s", w->path, w->bits, png ? "PNG takes 8 or 16" : "TIFF takes 8, 16 or 32");
    if (w->channels < 1 || w->channels > (png ? 3 : 256) || (png && w->channels == 2))
        return swg__fail(w->ctx, SWG_EINVAL, "%s: %d channels: %s", w->path, w->channels, png ? "PNG takes 1 or 3" : "1 to 256 are written");
    if (w->height < 1 || w->width < 1 || w->height > INT32_MAX || w->width > INT32_MAX ||
        swg__mul_overflow(w->width, (int64_t)w->channels * w->bits / 8, &row) || row > ((int64_t)1 << 30) || swg__mul_overflow(row, w->height, &bytes))
        return swg__fail(w->ctx, SWG_EINVAL, "%s: an image of %lld x %lld pixels cannot be written", w->path, (long long)w->width, (long long)w->height);
    return SWG_OK;
}

swg_status swg_image_create(swg_context *ctx, const char *path, int channels, int64_t height, int64_t width, const swg_image_write_opts *opts,
                            swg_image_writer **out) {
    *out = NULL;
    const swg__image_writing *format;
    SWG__TRY(choose_format(ctx, path, opts ? opts->format : NULL, &format));
    swg_image_writer *w = swg__calloc(ctx, 1, sizeof *w);
    if (!w)
        return swg__fail_memory(ctx, sizeof *w, path);
    *w = (swg_image_writer){.ctx = ctx, .format = format, .channels = channels, .height = height, .width = width,
                            .bits = opts && opts->bits ? opts->bits : 8, .path = swg__strdup(ctx, path)};
    swg_status status = w->path ? check(w) : swg__fail_memory(ctx, strlen(path), path);
    if (status == SWG_OK) {
        size_t bytes = (size_t)(width * channels * w->bits / 8);
        status = (w->row = swg__alloc(ctx, bytes)) ? format->open(w) : swg__fail_memory(ctx, bytes, path);
    }
    if (status != SWG_OK) {
        swg_image_abort(w);
        return status;
    }
    *out = w;
    return SWG_OK;
}

/* One row of all channels, interleaved and rounded. `plane` numbers from one channel to the next. */
static swg_status pack_row(swg_image_writer *w, const float *row, int64_t plane) {
    const double top = w->bits == 8 ? 255 : 65535;
    for (int c = 0; c < w->channels; c++)
        for (int64_t x = 0; x < w->width; x++) {
            const float v = row[c * plane + x];
            const int64_t i = x * w->channels + c;
            if (w->bits == 32) {
                ((float *)w->row)[i] = v;
                continue;
            }
            if (isnan(v))
                return swg__fail(w->ctx, SWG_ENONFINITE, "%s: channel %d, row %lld, column %lld is NaN", w->path, c, (long long)w->rows, (long long)x);
            double level = floor((double)(v < 0 ? 0 : v > 1 ? 1 : v) * top + .5);
            if (w->bits == 8)
                w->row[i] = (uint8_t)level;
            else
                ((uint16_t *)w->row)[i] = (uint16_t)level;
        }
    return SWG_OK;
}

swg_status swg_image_append(swg_image_writer *writer, const float *rows, int64_t count) {
    if (count < 0 || count > writer->height - writer->rows)
        return swg__fail(writer->ctx, SWG_EINVAL, "%s: %lld rows after %lld: the image has %lld", writer->path, (long long)count,
                         (long long)writer->rows, (long long)writer->height);
    for (int64_t r = 0; r < count; r++, writer->rows++) {
        SWG__TRY(pack_row(writer, rows + r * writer->width, count * writer->width));
        SWG__TRY(writer->format->row(writer));
    }
    return SWG_OK;
}

swg_status swg_image_finish(swg_image_writer *writer) {
    swg_status status = writer->rows == writer->height
                            ? writer->format->finish(writer)
                            : swg__fail(writer->ctx, SWG_EINVAL, "%s: %lld of %lld rows were written", writer->path, (long long)writer->rows,
                                        (long long)writer->height);
    swg_image_abort(writer);
    return status;
}

void swg_image_abort(swg_image_writer *writer) {
    if (!writer)
        return;
    writer->format->abort(writer);
    swg__free(writer->ctx, writer->row);
    swg__free(writer->ctx, writer->path);
    swg__free(writer->ctx, writer);
}

swg_status swg_image_write(swg_context *ctx, const char *path, int channels, int64_t height, int64_t width, const float *pixels,
                           const swg_image_write_opts *opts) {
    swg_image_writer *writer;
    SWG__TRY(swg_image_create(ctx, path, channels, height, width, opts, &writer));
    swg_status status = swg_image_append(writer, pixels, height);
    if (status == SWG_OK)
        return swg_image_finish(writer);
    swg_image_abort(writer);
    return status;
}
