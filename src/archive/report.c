/* report.c - figures of arrays added up by variable and in all; the facts stored with each member.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "archive/archive.h"

swg_status swg__report_make(swg_context *ctx, int64_t count, size_t name_bytes, swg_archive_report **out) {
    swg_archive_report *r = swg__calloc(ctx, 1, sizeof *r);
    *out = r;
    if (r) {
        r->ctx = ctx;
        r->rows = swg__calloc(ctx, (size_t)count + 1, sizeof *r->rows);
        r->variables = swg__calloc(ctx, (size_t)count + 1, sizeof *r->variables);
        r->names = swg__calloc(ctx, 1, name_bytes + 1);
    }
    if (r && r->rows && r->variables && r->names)
        return SWG_OK;
    swg_archive_report_free(r);
    *out = NULL;
    return swg__fail_memory(ctx, name_bytes, "a report");
}

void swg_archive_report_free(swg_archive_report *r) {
    if (!r)
        return;
    swg__free(r->ctx, r->rows);
    swg__free(r->ctx, r->variables);
    swg__free(r->ctx, r->names);
    swg__free(r->ctx, r);
}

const char *swg__report_name(swg_archive_report *report, size_t *used, const char *text) {
    char *at = report->names + *used;
    size_t length = strlen(text) + 1;
    memcpy(at, text, length);
    *used += length;
    return at;
}

void swg__row_compare(swg_archive_row *row, const swg_codec_gap *gap, double eb_abs, double low, double high) {
    row->max_abs_error = gap->max_abs_error;
    row->max_ratio = eb_abs > 0 ? gap->max_abs_error / eb_abs : 0;
    row->violations = gap->violations;
    row->square_sum = gap->rmse * gap->rmse * (double)gap->values;
    row->range_min = low;
    row->range_max = high;
}

static double psnr(const swg_archive_row *row) {
    double range = row->range_max - row->range_min, mse = row->square_sum / (double)row->values;
    if (!(range > 0))
        return NAN;
    return mse > 0 ? 20 * log10(range) - 10 * log10(mse) : INFINITY;
}

static void add(swg_archive_row *to, const swg_archive_row *from) {
    bool first = to->arrays == 0;
    to->arrays += from->arrays;
    to->values += from->values;
    to->bytes_in += from->bytes_in;
    to->bytes_out += from->bytes_out;
    to->bound = fmax(to->bound, from->bound);
    to->max_abs_error = fmax(to->max_abs_error, from->max_abs_error);
    to->max_ratio = fmax(to->max_ratio, from->max_ratio);
    to->violations += from->violations;
    to->square_sum += from->square_sum;
    to->range_min = first ? from->range_min : fmin(to->range_min, from->range_min);
    to->range_max = first ? from->range_max : fmax(to->range_max, from->range_max);
    to->compress_s += from->compress_s;
    to->decompress_s += from->decompress_s;
    to->outliers += from->outliers;
    for (int i = 0; i < SWG_MODE_COUNT; i++)
        to->mode_chunks[i] += from->mode_chunks[i];
}

swg_status swg__report_sum(swg_archive_report *r) {
    for (int64_t i = 0; i < r->count; i++) {
        swg_archive_row *row = &r->rows[i];
        int64_t v = 0;
        row->psnr_db = psnr(row);
        while (v < r->variable_count && strcmp(r->variables[v].variable, row->variable) != 0)
            v++;
        if (v == r->variable_count)
            r->variables[r->variable_count++] = (swg_archive_row){.variable = row->variable};
        add(&r->variables[v], row);
        add(&r->total, row);
    }
    for (int64_t v = 0; v < r->variable_count; v++)
        r->variables[v].psnr_db = psnr(&r->variables[v]);
    r->total.psnr_db = NAN; /* units differ: a PSNR over variables means nothing */
    r->total.variable = "all";
    if (r->file_bytes)
        r->total.bytes_out = r->file_bytes;
    return SWG_OK;
}

/* ---- facts ---- */

void swg__facts_write(const swg_array *array, char *out, size_t capacity) {
    int n = snprintf(out, capacity, "layout=%s;endian=%s", swg_layout_name(array->layout), array->big_endian ? "big" : "little");
    if (array->has_time && n > 0 && (size_t)n < capacity)
        n += snprintf(out + n, capacity - (size_t)n, ";time=%a", array->time);
    if (n > 0 && (size_t)n < capacity)
        snprintf(out + n, capacity - (size_t)n, ";path=%s", array->path); /* last: a path may hold any character */
}

swg_status swg__facts_read(swg_context *ctx, const char *text, swg__member_facts *out) {
    *out = (swg__member_facts){.layout = SWG_LAYOUT_GRID};
    static const swg_layout layouts[] = {SWG_LAYOUT_VARS, SWG_LAYOUT_BLOCKS, SWG_LAYOUT_GRID};
    const char *p = text;
    while (*p) {
        size_t length = strncmp(p, "path=", 5) == 0 ? strlen(p) : strcspn(p, ";");
        if (strncmp(p, "layout=", 7) == 0) {
            for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++)
                if (strlen(swg_layout_name(layouts[i])) == length - 7 && strncmp(swg_layout_name(layouts[i]), p + 7, length - 7) == 0)
                    out->layout = layouts[i];
        } else if (strncmp(p, "endian=big", 10) == 0) {
            out->big_endian = true;
        } else if (strncmp(p, "time=", 5) == 0) {
            out->has_time = true;
            out->time = strtod(p + 5, NULL);
        } else if (strncmp(p, "path=", 5) == 0) {
            if (length - 5 >= sizeof out->path)
                return swg__fail(ctx, SWG_EFORMAT, "a member's dataset path is longer than %zu bytes", sizeof out->path - 1);
            memcpy(out->path, p + 5, length - 5);
        }
        p += length + (p[length] == ';');
    }
    return SWG_OK;
}

const char *swg__relative_source(const char *root, const char *file) {
    size_t length = strlen(root);
    while (length && root[length - 1] == '/')
        length--;
    if (strncmp(root, file, length) == 0 && file[length] == '/')
        return file + length + 1;
    const char *slash = strrchr(file, '/');
    return slash ? slash + 1 : file;
}

/* ---- hooks ---- */

bool swg__archive_stopped(const swg_archive_hooks *hooks) { return hooks && hooks->stop && *hooks->stop; }

void swg__archive_progress(const swg_archive_hooks *hooks, int64_t done, int64_t total, const char *source, const char *variable) {
    if (hooks && hooks->progress)
        hooks->progress(hooks->user, done, total, source, variable);
}

/* ---- bound ---- */

swg_status swg_bound_parse(swg_context *ctx, const char *text, swg_bound_mode *mode, double *value) {
    static const struct { const char *prefix; swg_bound_mode mode; } table[] = {
        {"abs:", SWG_BOUND_ABS}, {"rel:", SWG_BOUND_REL}, {"pw:", SWG_BOUND_PW_REL}, {"psnr:", SWG_BOUND_PSNR}};
    *value = 0;
    if (strcmp(text, "lossless") == 0) {
        *mode = SWG_BOUND_LOSSLESS;
        return SWG_OK;
    }
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        size_t length = strlen(table[i].prefix);
        if (strncmp(text, table[i].prefix, length) != 0)
            continue;
        char *end;
        *mode = table[i].mode;
        *value = strtod(text + length, &end);
        if (end == text + length || *end || !(*value > 0) || isinf(*value))
            return swg__fail(ctx, SWG_EUSAGE, "bound \"%s\": expected a number above 0 behind %s", text, table[i].prefix);
        return SWG_OK;
    }
    return swg__fail(ctx, SWG_EUSAGE, "bound \"%s\": expected abs:NUMBER (in the data's units), rel:NUMBER (of the value range) or lossless", text);
}
