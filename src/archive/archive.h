/* archive.h (internal) - what compress, restore and verify share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_ARCHIVE_INTERNAL_H
#define SWAGE_ARCHIVE_INTERNAL_H

#include "base.h"
#include "swage/archive.h"

/* Text stored with each member, so that a file can be restored as it was: "layout=grid;path=U_CHI;time=0x1.4p+2". */
typedef struct swg__member_facts {
    swg_layout layout;
    char path[512];
    bool has_time, big_endian;
    double time;
} swg__member_facts;
void swg__facts_write(const swg_array *array, char *out, size_t capacity);
swg_status swg__facts_read(swg_context *ctx, const char *text, swg__member_facts *out);

/* The part of an array's file path that is kept: below `root`, or the file's name. */
const char *swg__relative_source(const char *root, const char *file);

/* A report with room for `count` arrays and names. */
swg_status swg__report_make(swg_context *ctx, int64_t count, size_t name_bytes, swg_archive_report **out);
const char *swg__report_name(swg_archive_report *report, size_t *used, const char *text);
/* Adds up variables and total from the rows. */
swg_status swg__report_sum(swg_archive_report *report);
/* Puts a comparison into a row. */
void swg__row_compare(swg_archive_row *row, const swg_codec_gap *gap, double eb_abs, double low, double high);

bool swg__archive_stopped(const swg_archive_hooks *hooks);
void swg__archive_progress(const swg_archive_hooks *hooks, int64_t done, int64_t total, const char *source, const char *variable);

swg_codec_array swg__codec_array_of(const swg_array *array, const void *data);

/* From a trained network to the codec's integer predictor. *calibration blocks come from `source`. */
swg_status swg__archive_predictor(swg_context *ctx, swg_model *model, swg_source *source, swg_codec_model **out);

#endif
