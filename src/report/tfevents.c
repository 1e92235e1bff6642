/* tfevents.c - tensorflow.Event messages in protocol buffers' wire format, framed as TFRecord: length (u64), masked CRC32C of it, the message, masked
 * CRC32C of it, all little-endian. Field numbers are those of event.proto, summary.proto and tensor.proto.
 * In: scalars, texts, PNG files. Out: a file that only grows.
 * SPDX-License-Identifier: Apache-2.0 */
#include "report/tfevents.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- wire format ---- */

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 }; /* wire types */

static void put_varint(swg__text *out, uint64_t value) {
    for (; value >= 128; value >>= 7)
        swg__text_add(out, &(char){(char)((value & 127) | 128)}, 1);
    swg__text_add(out, &(char){(char)value}, 1);
}

static void put_little(swg__text *out, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        swg__text_add(out, &(char){(char)((value >> 8 * i) & 255)}, 1);
}

static void put_integer(swg__text *out, unsigned field, int64_t value) {
    put_varint(out, field << 3 | VARINT);
    put_varint(out, (uint64_t)value);
}

static void put_bytes(swg__text *out, unsigned field, const void *data, size_t bytes) {
    put_varint(out, field << 3 | BYTES);
    put_varint(out, bytes);
    swg__text_add(out, data, bytes);
}

static void put_text(swg__text *out, unsigned field, const char *text) { put_bytes(out, field, text, strlen(text)); }

static void put_float(swg__text *out, unsigned field, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_varint(out, field << 3 | FIXED32);
    put_little(out, bits, 4);
}

static void put_double(swg__text *out, unsigned field, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_varint(out, field << 3 | FIXED64);
    put_little(out, bits, 8);
}

/* ---- records ---- */

static uint32_t masked(const void *data, size_t bytes) {
    uint32_t crc = swg__crc32c(0, data, bytes);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

/* events->event as one record; the file ends with a whole record whenever the program does. */
static swg_status write_record(swg__events *e) {
    swg__text record;
    swg__text_init(&record, e->ctx);
    put_little(&record, e->event.length, 8);
    if (!record.failed)
        put_little(&record, masked(record.data, 8), 4);
    swg__text_add(&record, e->event.data, e->event.length);
    put_little(&record, masked(e->event.data, e->event.length), 4);
    swg_status status = SWG_OK;
    if (record.failed || e->event.failed)
        status = swg__fail_memory(e->ctx, e->event.length, e->path);
    else if (fwrite(record.data, 1, record.length, e->file) != record.length || fflush(e->file) != 0)
        status = swg__fail(e->ctx, SWG_EIO, "%s: cannot write: %s", e->path, strerror(errno));
    swg__text_free(&record);
    return status;
}

static void begin_event(swg__events *e, double wall_time, int64_t step) {
    e->event.length = 0;
    put_double(&e->event, 1, wall_time);
    if (step)
        put_integer(&e->event, 2, step);
}

/* ---- the file ---- */

static const char prefix[] = "events.out.tfevents.";

/* Seconds and number for a name behind all that are there. */
static swg_status find_name(swg_context *ctx, const char *folder, int64_t *seconds, int64_t *number) {
    char **names;
    size_t count;
    SWG__TRY(swg__list_folder(ctx, folder, &names, &count));
    for (size_t i = 0; i < count; i++) {
        if (strncmp(names[i], prefix, sizeof prefix - 1) != 0)
            continue;
        int64_t there = strtoll(names[i] + sizeof prefix - 1, NULL, 10);
        *seconds = there > *seconds ? there : *seconds; /* the clock was set back */
        ++*number;
    }
    swg__list_free(ctx, names, count);
    return SWG_OK;
}

static swg_status open_file(swg__events *e, const char *folder, int64_t seconds) {
    swg__text path;
    int64_t number = 0;
    SWG__TRY(swg__make_folders(e->ctx, folder));
    SWG__TRY(find_name(e->ctx, folder, &seconds, &number));
    swg__text_init(&path, e->ctx);
    swg__text_printf(&path, "%s/%s%010lld.swage.%06lld", folder, prefix, (long long)seconds, (long long)number);
    e->path = path.failed ? NULL : swg__strdup(e->ctx, path.data);
    swg__text_free(&path);
    if (!e->path)
        return swg__fail_memory(e->ctx, strlen(folder), "an event file");
    e->file = fopen(e->path, "wxe");
    return e->file ? SWG_OK : swg__fail(e->ctx, SWG_EIO, "%s: cannot write: %s", e->path, strerror(errno));
}

swg_status swg__events_open(swg__events *e, swg_context *ctx, const char *folder, double wall_time, int64_t from) {
    enum { FILE_VERSION = 3, SESSION_LOG = 7, STATUS = 1, START = 1 };
    *e = (swg__events){.ctx = ctx};
    swg__text_init(&e->values, ctx);
    swg__text_init(&e->value, ctx);
    swg__text_init(&e->event, ctx);
    SWG__TRY(open_file(e, folder, (int64_t)wall_time));
    begin_event(e, wall_time, 0);
    put_text(&e->event, FILE_VERSION, "brain.Event:2");
    SWG__TRY(write_record(e));
    if (from < 0)
        return SWG_OK;
    begin_event(e, wall_time, from);
    e->value.length = 0;
    put_integer(&e->value, STATUS, START);
    put_bytes(&e->event, SESSION_LOG, e->value.data, e->value.length);
    return write_record(e);
}

void swg__events_close(swg__events *e) {
    if (e->file)
        fclose(e->file);
    if (e->ctx) {
        swg__text_free(&e->values);
        swg__text_free(&e->value);
        swg__text_free(&e->event);
        swg__free(e->ctx, e->path);
    }
    *e = (swg__events){0};
}

/* ---- values ---- */

enum { TAG = 1, SIMPLE_VALUE = 2, IMAGE = 4, TENSOR = 8, METADATA = 9 }; /* of Summary.Value */

void swg__events_begin(swg__events *e, double wall_time, int64_t step) {
    e->wall_time = wall_time;
    e->step = step;
    e->values.length = 0;
    e->status = SWG_OK;
}

static void begin_value(swg__events *e, const char *tag) {
    e->value.length = 0;
    put_text(&e->value, TAG, tag);
}

static void end_value(swg__events *e) {
    put_bytes(&e->values, 1, e->value.data, e->value.length);
    e->values.failed = e->values.failed || e->value.failed;
}

void swg__events_scalar(swg__events *e, const char *tag, double value) {
    if (!e->file)
        return;
    begin_value(e, tag);
    put_float(&e->value, SIMPLE_VALUE, (float)value);
    end_value(e);
}

void swg__events_text(swg__events *e, const char *tag, const char *markdown) {
    enum { PLUGIN_DATA = 1, PLUGIN_NAME = 1, DTYPE = 1, SHAPE = 2, DIM = 2, SIZE = 1, STRING_VAL = 8, DT_STRING = 7 };
    swg__text part, inner;
    if (!e->file)
        return;
    begin_value(e, tag);
    swg__text_init(&part, e->ctx);
    swg__text_init(&inner, e->ctx);
    swg__text dims;
    swg__text_init(&dims, e->ctx);
    put_integer(&inner, SIZE, 1);
    put_bytes(&dims, DIM, inner.data, inner.length);
    put_integer(&part, DTYPE, DT_STRING);
    put_bytes(&part, SHAPE, dims.data, dims.length);
    put_text(&part, STRING_VAL, markdown);
    put_bytes(&e->value, TENSOR, part.data, part.length);
    part.length = inner.length = 0;
    put_text(&inner, PLUGIN_NAME, "text");
    put_bytes(&part, PLUGIN_DATA, inner.data, inner.length);
    put_bytes(&e->value, METADATA, part.data, part.length);
    e->value.failed = e->value.failed || part.failed || inner.failed || dims.failed;
    swg__text_free(&dims);
    swg__text_free(&inner);
    swg__text_free(&part);
    end_value(e);
}

static uint32_t big_endian(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

void swg__events_png(swg__events *e, const char *tag, const uint8_t *png, size_t bytes) {
    enum { HEIGHT = 1, WIDTH = 2, COLORSPACE = 3, ENCODED = 4 };
    static const uint8_t magic[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, channels[7] = {1, 0, 3, 3, 2, 0, 4}; /* by colour type */
    if (!e->file)
        return;
    if (bytes < 33 || memcmp(png, magic, sizeof magic) != 0 || memcmp(png + 12, "IHDR", 4) != 0 || png[25] > 6 || !channels[png[25]]) {
        e->status = swg__fail(e->ctx, SWG_EFORMAT, "%s: not a PNG", tag);
        return;
    }
    swg__text image;
    swg__text_init(&image, e->ctx);
    put_integer(&image, HEIGHT, big_endian(png + 20));
    put_integer(&image, WIDTH, big_endian(png + 16));
    put_integer(&image, COLORSPACE, channels[png[25]]);
    put_bytes(&image, ENCODED, png, bytes);
    begin_value(e, tag);
    put_bytes(&e->value, IMAGE, image.data, image.length);
    e->value.failed = e->value.failed || image.failed;
    swg__text_free(&image);
    end_value(e);
}

swg_status swg__events_end(swg__events *e) {
    enum { SUMMARY = 5 };
    if (!e->file || e->status != SWG_OK)
        return e->status;
    begin_event(e, e->wall_time, e->step);
    put_bytes(&e->event, SUMMARY, e->values.data, e->values.length);
    e->event.failed = e->event.failed || e->values.failed;
    return write_record(e);
}
