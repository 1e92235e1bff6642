/* log.h - log.jsonl of a run folder: one JSON object per line, cut back to a known length when a run is resumed.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TRAIN_LOG_H
#define SWAGE_TRAIN_LOG_H

#include <stdio.h>
#include "base.h"

typedef struct swg__run_log {
    swg_context *ctx;
    FILE *file;
    char *path;
    swg__text line;
    int64_t bytes;
} swg__run_log;

/* Opens for appending after the first `keep` bytes; what follows is dropped. */
swg_status swg__run_log_open(swg__run_log *log, swg_context *ctx, const char *path, int64_t keep);
void swg__run_log_close(swg__run_log *log);

/* One line: begin, any number of fields, end (written and flushed). NaN and infinities become the strings "nan", "inf", "-inf". */
void swg__run_log_begin(swg__run_log *log, const char *phase);
void swg__run_log_number(swg__run_log *log, const char *key, double value);
void swg__run_log_integer(swg__run_log *log, const char *key, int64_t value);
void swg__run_log_text(swg__run_log *log, const char *key, const char *value);
swg_status swg__run_log_end(swg__run_log *log);

#endif
