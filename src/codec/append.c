/* append.c - streams whose first axis grows: steps in, whole chunk rows out at once, an index and a footer at every flush.
 * In: steps of one shape. Out: a file that is valid up to its last footer at every moment; nothing before that is ever touched.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include "encode.h"
#include "swz.h"

/* Steps of a chunk, unless the caller says how many: with a neighbour in time a predictor uses, up to 64; three-dimensional steps are each
 * coded alone, so that only very small ones gain by company. Few steps in a chunk also mean few written twice. */
enum { MOST_STEPS = 64, ROW_VALUES = 1 << 18, SMALL_STEP = 1 << 12 };

/* Modes that restore values on the grid itself. Coded again from what was restored they give the same bits, so a chunk row that is
 * written unfinished, and finished after the file was closed, stays within the bound. */
#define EXACT_ONLY (~(1u << SWG_MODE_CONSTANT | 1u << SWG_MODE_LEVEL | 1u << SWG_MODE_STENCIL | 1u << SWG_MODE_PLANES | 1u << SWG_MODE_STORED))

struct swg_codec_appender {
    swg_context *ctx;
    char *path, *name, *attributes;
    swg_codec_opts opts;
    int fd;                    /* -1: not there yet */
    swg__header header;        /* dims[0]: steps so far */
    bool gridded;              /* bound and grid are fixed */
    uint64_t end;              /* of the last valid footer, 0 before the first flush */
    uint64_t footer;           /* its offset */
    uint64_t at;               /* where the next byte goes */
    int64_t flushed;           /* steps behind the last footer */
    size_t step_bytes;
    int64_t per_row;           /* chunks of a row */
    char *row;                 /* steps of the unfinished chunk row */
    int64_t held;              /* how many */
    float *ratio;              /* (per_row) stored errors of what of them was restored from the file; 0 */
    bool restored;             /* some of them were */
    swg__text index;           /* entries of the finished rows */
    swg_status broken;         /* a write failed: only abort is left */
};

static void appender_free(swg_codec_appender *a) {
    if (a->fd >= 0)
        close(a->fd);
    swg__text_free(&a->index);
    swg__free(a->ctx, a->ratio);
    swg__free(a->ctx, a->row);
    swg__free(a->ctx, a->attributes);
    swg__free(a->ctx, a->name);
    swg__free(a->ctx, a->path);
    swg__free(a->ctx, a);
}

/* ---- the file ---- */

static swg_status fail_errno(swg_codec_appender *a, const char *what) {
    return swg__fail(a->ctx, SWG_EIO, "%s: cannot %s: %s", a->path, what, strerror(errno));
}

static swg_status write_bytes(swg_codec_appender *a, const void *data, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pwrite(a->fd, (const char *)data + done, bytes - done, (off_t)(a->at + done));
        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR)
            return fail_errno(a, "write");
    }
    a->at += bytes;
    return SWG_OK;
}

static swg_status sync_file(swg_codec_appender *a) {
    return fdatasync(a->fd) == 0 || errno == EINVAL || errno == EROFS ? SWG_OK : fail_errno(a, "write");
}

static swg_status lock_file(swg_codec_appender *a) {
    if (flock(a->fd, LOCK_EX | LOCK_NB) == 0)
        return SWG_OK;
    return errno == EWOULDBLOCK ? swg__fail(a->ctx, SWG_EIO, "%s: another process is appending to it", a->path) : SWG_OK;
}

/* ---- bound and grid ---- */

/* The grid must hold what is still to come: the range given, or eight times what the first steps reach (beyond it values are stored
 * verbatim: larger, never wrong). data: (steps) of the first put. */
static swg_status fix_grid(swg_codec_appender *a, const void *data, int64_t steps) {
    swg_codec_array first = {.type = a->header.type, .layout = a->header.layout, .ndim = a->header.ndim, .data = data};
    memcpy(first.dims, a->header.dims, sizeof first.dims);
    first.dims[0] = steps;
    int64_t count = steps * (int64_t)(a->step_bytes / (size_t)swg_element_bytes(first.type));
    double least = a->opts.range_min, most = a->opts.range_max;
    if (!a->opts.has_range) {
        bool any;
        swg__range(a->ctx, first.type, data, count, &a->header.fill, &least, &most, &any, NULL);
        double top = fmin(8 * fmax(fabs(least), fabs(most)), first.type == SWG_ELEMENT_F32 ? 0x1p127 : 0x1p1023);
        least = -top;
        most = top;
    }
    SWG__TRY(swg__grid_resolve(a->ctx, &first, count, &a->opts, &a->header.fill, least, most, &a->header.grid));
    if (a->opts.has_range) {
        a->header.compat |= SWG__COMPAT_RANGE;
        a->header.range_min = a->opts.range_min;
        a->header.range_max = a->opts.range_max;
    }
    a->gridded = true;
    return SWG_OK;
}

/* ---- opening ---- */

/* Sizes that follow from the header. */
static swg_status measure(swg_codec_appender *a) {
    const swg__header *h = &a->header;
    int64_t values = 1, bytes;
    a->per_row = 1;
    for (int i = 1; i < 4; i++) {
        values *= h->dims[i];
        a->per_row *= (h->dims[i] + h->chunk[i] - 1) / h->chunk[i];
    }
    a->step_bytes = (size_t)(values * swg_element_bytes(h->type));
    if (swg__mul_overflow(h->chunk[0], (int64_t)a->step_bytes, &bytes))
        return swg__fail(a->ctx, SWG_ESHAPE, "%s: a row of chunks is too large", a->path);
    a->row = swg__alloc(a->ctx, (size_t)bytes);
    a->ratio = swg__calloc(a->ctx, (size_t)a->per_row, sizeof *a->ratio);
    return a->row && a->ratio ? SWG_OK : swg__fail_memory(a->ctx, (size_t)bytes, "a row of chunks");
}

/* step: its dims[0] is not read. */
static swg_status create(swg_codec_appender *a, const swg_codec_array *step, const swg_codec_opts *opts) {
    if (!step || !opts)
        return swg__fail(a->ctx, SWG_ENOTFOUND, "%s: is not there, and without a shape and a bound it cannot be made", a->path);
    if (opts->model)
        return swg__fail(a->ctx, SWG_EUNSUPPORTED, "%s: a growing stream takes no network", a->path);
    if (opts->bound != SWG_BOUND_LOSSLESS && opts->bound != SWG_BOUND_ABS && opts->bound != SWG_BOUND_REL)
        return swg__fail(a->ctx, SWG_EUNSUPPORTED, "%s: a growing stream has an absolute bound, one relative to a range, or none", a->path);
    if (opts->bound == SWG_BOUND_REL && !opts->has_range)
        return swg__fail(a->ctx, SWG_EINVAL, "%s: a bound relative to the range needs the range of the whole series before its first step", a->path);
    if (opts->has_range && !(opts->range_min <= opts->range_max && isfinite(opts->range_min) && isfinite(opts->range_max)))
        return swg__fail(a->ctx, SWG_EINVAL, "%s: the range %g .. %g is not one", a->path, opts->range_min, opts->range_max);
    static const char any_data[1];
    swg_codec_array shape = *step;
    a->opts = *opts;
    shape.dims[0] = opts->chunk[0] > 1 ? opts->chunk[0] : 2; /* cut and axes as of a series */
    shape.data = any_data;
    if (shape.ndim >= 1 && shape.ndim <= 4 && !opts->chunk[0] && !opts->chunk[1] && !opts->chunk[2] && !opts->chunk[3]) {
        int64_t values = 1, most = step->layout == SWG_CODEC_GRID ? MOST_STEPS : INT64_MAX;
        for (int i = 1; i < shape.ndim; i++)
            if (swg__mul_overflow(values, shape.dims[i], &values) || !values)
                return swg__fail(a->ctx, SWG_ESHAPE, "%s: axis %d has %lld values", a->path, i, (long long)shape.dims[i]);
        shape.dims[0] = (shape.ndim == 4 && step->layout == SWG_CODEC_GRID ? SMALL_STEP : ROW_VALUES) / values;
        shape.dims[0] = shape.dims[0] < 1 ? 1 : shape.dims[0] > most ? most : shape.dims[0];
        int64_t steps = shape.dims[0];
        SWG__TRY(swg__encode_shape(a->ctx, &shape, &a->opts, &a->header)); /* whole steps: the other axes are cut as usual */
        memcpy(a->opts.chunk, a->header.chunk, sizeof a->opts.chunk);
        shape.dims[0] = steps > 1 ? steps : 2;
    }
    SWG__TRY(swg__encode_shape(a->ctx, &shape, &a->opts, &a->header));
    a->header.compat = SWG__COMPAT_APPEND;
    a->header.dims[0] = 0;
    a->name = swg__strdup(a->ctx, opts->name ? opts->name : "");
    a->attributes = swg__strdup(a->ctx, opts->attributes ? opts->attributes : "");
    if (!a->name || !a->attributes)
        return swg__fail_memory(a->ctx, 64, "a name");
    return measure(a);
}

/* A file that stands there: its last, unfinished chunk row comes back into memory. */
static swg_status reopen(swg_codec_appender *a, const swg_codec_array *step, const swg_codec_opts *opts) {
    swg_swz *swz = NULL;
    SWG__TRY(lock_file(a));
    SWG__TRY(swg_swz_open(a->ctx, a->path, &swz));
    const uint8_t *index = NULL;
    const swg__header *h = swg_swz_count(swz) == 1 ? swg__swz_header(swz, 0, &index) : NULL;
    swg_status status = SWG_OK;
    if (!h || !(h->compat & SWG__COMPAT_APPEND))
        status = swg__fail(a->ctx, SWG_EINVAL, "%s: is not a stream that was made to grow", a->path);
    else if (h->n_models)
        status = swg__fail(a->ctx, SWG_EUNSUPPORTED, "%s: holds a network; this version cannot append to it", a->path);
    else if (step && (step->type != h->type || step->ndim != h->ndim || step->layout != h->layout ||
                      memcmp(step->dims + 1, h->dims + 1, (size_t)(h->ndim - 1) * sizeof h->dims[0]) != 0))
        status = swg__fail(a->ctx, SWG_ESHAPE, "%s: holds steps of another shape or type", a->path);
    else if (opts && (opts->bound != h->bound || (opts->bound != SWG_BOUND_LOSSLESS && opts->value != h->value)))
        status = swg__fail(a->ctx, SWG_EINVAL, "%s: was made with another bound; its steps all have one", a->path);
    if (status == SWG_OK) {
        a->header = *h;
        swg__grid_reopen(&a->header.grid);
        a->gridded = true;
        a->end = a->at = swg__swz_end(swz);
        a->footer = a->end - SWG__FOOTER_BYTES;
        a->flushed = h->dims[0];
        a->opts.without = opts ? opts->without : 0;
        a->opts.effort = opts ? opts->effort : 0;
        status = measure(a);
    }
    if (status == SWG_OK) {
        const int64_t rows = h->dims[0] / h->chunk[0];
        a->held = h->dims[0] % h->chunk[0];
        swg__put(&a->index, index + 8, (size_t)(rows * a->per_row) * SWG__INDEX_ENTRY);
        status = a->index.failed ? swg__fail_memory(a->ctx, a->index.length, "an index") : SWG_OK;
        for (int64_t i = 0; a->held && i < a->per_row; i++) {
            swg__index_entry e;
            swg__index_read(index, rows * a->per_row + i, &e);
            a->ratio[i] = e.max_ratio;
        }
        if (status == SWG_OK && a->held) {
            int64_t origin[4] = {rows * h->chunk[0], 0, 0, 0}, extent[4] = {a->held, h->dims[1], h->dims[2], h->dims[3]};
            a->restored = true;
            status = swg_swz_read_box(swz, 0, origin, extent, a->row, (size_t)a->held * a->step_bytes);
        }
    }
    swg_swz_close(swz);
    return status;
}

swg_status swg_codec_append_open(swg_context *ctx, const char *path, const swg_codec_array *step, const swg_codec_opts *opts,
                                 swg_codec_appender **out) {
    *out = NULL;
    swg_codec_appender *a = swg__calloc(ctx, 1, sizeof *a);
    if (!a)
        return swg__fail_memory(ctx, sizeof *a, path);
    a->ctx = ctx;
    swg__text_init(&a->index, ctx);
    a->path = swg__strdup(ctx, path);
    a->fd = open(path, O_RDWR | O_CLOEXEC);
    swg_status status = a->path ? SWG_OK : swg__fail_memory(ctx, strlen(path), "a path");
    if (status == SWG_OK && a->fd < 0 && errno != ENOENT)
        status = fail_errno(a, "open");
    if (status == SWG_OK)
        status = a->fd >= 0 ? reopen(a, step, opts) : create(a, step, opts);
    if (status != SWG_OK) {
        appender_free(a);
        return status;
    }
    *out = a;
    return SWG_OK;
}

int64_t swg_codec_append_steps(const swg_codec_appender *a) { return a->header.dims[0]; }

/* ---- steps ---- */

/* The file, with its header in front. */
static swg_status start_file(swg_codec_appender *a) {
    swg__text head;
    if (a->fd >= 0)
        return SWG_OK;
    a->fd = open(a->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (a->fd < 0)
        return swg__fail(a->ctx, errno == ENOENT ? SWG_ENOTFOUND : SWG_EIO, "%s: cannot create: %s", a->path, strerror(errno));
    SWG__TRY(lock_file(a));
    swg__text_init(&head, a->ctx);
    swg__header h = a->header;
    h.dims[0] = 0; /* the footer knows */
    swg__header_write(&h, a->name, a->attributes, &head);
    a->header.header_bytes = (uint32_t)head.length;
    swg_status status = head.failed ? swg__fail_memory(a->ctx, head.length, "a header") : write_bytes(a, head.data, head.length);
    swg__text_free(&head);
    return status;
}

/* Codes the row as far as it goes, writes its records, puts their entries into `index`. */
static swg_status write_row(swg_codec_appender *a, bool unfinished, swg__text *index) {
    swg__encoded coded;
    swg__header h = a->header;
    const int64_t first = (a->header.dims[0] - a->held) / h.chunk[0] * a->per_row;
    h.dims[0] = a->held;
    swg_codec_array row = {.type = h.type, .layout = h.layout, .ndim = h.ndim, .data = a->row};
    memcpy(row.dims, h.dims, sizeof row.dims);
    swg__choice choice = swg__choice_of(a->opts.without, a->opts.effort);
    choice.without |= unfinished || a->restored ? EXACT_ONLY : 0;
    SWG__TRY(swg__encode_chunks(a->ctx, &row, &h, choice, &coded));
    swg_status status = start_file(a);
    for (int64_t i = 0; status == SWG_OK && i < a->per_row; i++) {
        swg__record_head *head = &coded.chunk[i].plain.head;
        uint8_t *record = (uint8_t *)coded.chunk[i].plain.record.data;
        const size_t bytes = coded.chunk[i].plain.record.length;
        /* Coded as chunks of a row on its own: number, error of what was restored, checksum. */
        head->max_ratio = head->max_ratio > a->ratio[i] ? head->max_ratio : a->ratio[i];
        swg__store64(record + 8, (uint64_t)(first + i));
        swg__store_f32(record + 28, head->max_ratio);
        head->crc = swg__crc32c(0, record, bytes - 4);
        swg__store32(record + bytes - 4, head->crc);
        swg__index_write(&(swg__index_entry){a->at, head->record_bytes, head->crc, head->mode, head->submode, head->flags, head->max_ratio}, index);
        status = write_bytes(a, record, bytes);
    }
    if (status == SWG_OK && index->failed)
        status = swg__fail_memory(a->ctx, index->length, "an index");
    swg__encoded_free(&coded);
    return status;
}

static swg_status put(swg_codec_appender *a, const char *data, int64_t steps) {
    if (!a->gridded)
        SWG__TRY(fix_grid(a, data, steps));
    while (steps) {
        int64_t n = a->header.chunk[0] - a->held < steps ? a->header.chunk[0] - a->held : steps;
        memcpy(a->row + (size_t)a->held * a->step_bytes, data, (size_t)n * a->step_bytes);
        a->held += n;
        a->header.dims[0] += n;
        data += (size_t)n * a->step_bytes;
        steps -= n;
        if (a->held == a->header.chunk[0]) {
            SWG__TRY(write_row(a, false, &a->index));
            a->held = 0;
            a->restored = false;
            memset(a->ratio, 0, (size_t)a->per_row * sizeof *a->ratio);
        }
    }
    return SWG_OK;
}

swg_status swg_codec_append_put(swg_codec_appender *a, const void *data, int64_t steps) {
    int64_t values;
    if (a->broken != SWG_OK)
        return swg__fail(a->ctx, a->broken, "%s: an earlier step could not be written", a->path);
    if (steps < 0 || !data || a->header.dims[0] > ((int64_t)1 << 48) - steps ||
        swg__mul_overflow(a->header.dims[0] + steps, (int64_t)a->step_bytes, &values) || values > SWG__MOST_VALUES)
        return swg__fail(a->ctx, SWG_EINVAL, "%s: %lld more steps are not possible", a->path, (long long)steps);
    a->broken = steps ? put(a, data, steps) : SWG_OK;
    return a->broken;
}

/* ---- flush ---- */

static swg_status write_tail(swg_codec_appender *a) {
    swg__text tail;
    const uint64_t count = (uint64_t)((a->header.dims[0] + a->header.chunk[0] - 1) / a->header.chunk[0] * a->per_row);
    swg_status status = SWG_OK;
    swg__text_init(&tail, a->ctx);
    swg__section_begin(&tail, "INDX", 8 + count * SWG__INDEX_ENTRY);
    swg__put64(&tail, count);
    if (a->index.length)
        swg__put(&tail, a->index.data, a->index.length);
    if (a->held)
        status = write_row(a, true, &tail);
    swg__section_end(&tail, 0);
    swg__footer footer = {.off_index = a->at, .index_bytes = tail.length, .n_chunks = count, .dims0 = (uint64_t)a->header.dims[0],
                          .prev_footer = a->footer, .file_bytes = a->at + tail.length + SWG__FOOTER_BYTES};
    swg__footer_write(&footer, &tail);
    if (status == SWG_OK && tail.failed)
        status = swg__fail_memory(a->ctx, tail.length, "an index");
    /* The footer comes last, and only once all it stands for is on the disk. */
    if (status == SWG_OK)
        status = write_bytes(a, tail.data, tail.length - SWG__FOOTER_BYTES);
    if (status == SWG_OK)
        status = sync_file(a);
    if (status == SWG_OK)
        status = write_bytes(a, tail.data + tail.length - SWG__FOOTER_BYTES, SWG__FOOTER_BYTES);
    if (status == SWG_OK)
        status = sync_file(a);
    if (status == SWG_OK) {
        a->end = a->at;
        a->footer = a->at - SWG__FOOTER_BYTES;
        a->flushed = a->header.dims[0];
    }
    swg__text_free(&tail);
    return status;
}

swg_status swg_codec_append_flush(swg_codec_appender *a) {
    if (a->broken != SWG_OK)
        return swg__fail(a->ctx, a->broken, "%s: an earlier step could not be written", a->path);
    if (a->header.dims[0] == a->flushed)
        return SWG_OK;
    a->broken = write_tail(a);
    return a->broken;
}

/* Back to the last footer; a file without one goes. */
static void drop_unflushed(swg_codec_appender *a) {
    if (a->fd < 0 || a->at == a->end)
        return;
    if (a->end == 0)
        unlink(a->path);
    else if (ftruncate(a->fd, (off_t)a->end) != 0)
        swg__log(a->ctx, SWG_LOG_WARNING, "%s: cannot be cut back to its last footer; swage verify --recover does it", a->path);
}

void swg_codec_append_abort(swg_codec_appender *a) {
    if (!a)
        return;
    drop_unflushed(a);
    appender_free(a);
}

swg_status swg_codec_append_close(swg_codec_appender *a) {
    swg_status status = swg_codec_append_flush(a);
    swg_codec_append_abort(a);
    return status;
}
