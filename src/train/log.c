/* log.c - JSON lines.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/log.h"
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

swg_status swg__run_log_open(swg__run_log *log, swg_context *ctx, const char *path, int64_t keep) {
    *log = (swg__run_log){.ctx = ctx, .bytes = keep};
    swg__text_init(&log->line, ctx);
    log->path = swg__strdup(ctx, path);
    if (!log->path)
        return swg__fail_memory(ctx, strlen(path), "the log");
    log->file = fopen(path, "ae");
    struct stat there;
    if (!log->file || fstat(fileno(log->file), &there) != 0)
        return swg__fail(ctx, SWG_EIO, "%s: cannot write: %s", path, strerror(errno));
    if (there.st_size < keep) /* the checkpoint came from another folder, or the log was lost: never fill it up with zeros */
        log->bytes = there.st_size;
    if (ftruncate(fileno(log->file), (off_t)log->bytes) != 0)
        return swg__fail(ctx, SWG_EIO, "%s: cannot write: %s", path, strerror(errno));
    return SWG_OK;
}

void swg__run_log_close(swg__run_log *log) {
    if (log->file)
        fclose(log->file);
    if (log->ctx) {
        swg__text_free(&log->line);
        swg__free(log->ctx, log->path);
    }
    *log = (swg__run_log){0};
}

void swg__run_log_begin(swg__run_log *log, const char *phase) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    log->line.length = 0;
    swg__text_printf(&log->line, "{\"t\":%.3f,\"phase\":\"%s\"", (double)now.tv_sec + 1e-9 * (double)now.tv_nsec, phase);
}

void swg__run_log_number(swg__run_log *log, const char *key, double value) {
    if (isnan(value) || isinf(value))
        swg__text_printf(&log->line, ",\"%s\":\"%s\"", key, isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
    else
        swg__text_printf(&log->line, ",\"%s\":%.17g", key, value);
}

void swg__run_log_integer(swg__run_log *log, const char *key, int64_t value) {
    swg__text_printf(&log->line, ",\"%s\":%lld", key, (long long)value);
}

void swg__run_log_text(swg__run_log *log, const char *key, const char *value) {
    swg__text_printf(&log->line, ",\"%s\":\"", key);
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == '"' || *p == '\\')
            swg__text_printf(&log->line, "\\u%04x", (unsigned)(unsigned char)*p);
        else
            swg__text_add(&log->line, p, 1);
    swg__text_puts(&log->line, "\"");
}

swg_status swg__run_log_end(swg__run_log *log) {
    swg__text_puts(&log->line, "}\n");
    if (log->line.failed)
        return swg__fail_memory(log->ctx, 0, "a line of the log");
    if (fwrite(log->line.data, 1, log->line.length, log->file) != log->line.length || fflush(log->file) != 0)
        return swg__fail(log->ctx, SWG_EIO, "%s: cannot write: %s", log->path, strerror(errno));
    log->bytes += (int64_t)log->line.length;
    return SWG_OK;
}
