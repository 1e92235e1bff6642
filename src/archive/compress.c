/* compress.c - HDF5 arrays into one collection, each restored and compared before the file gets its name. What is complete survives an
 * interruption in FILE.partial, with a journal beside it, and the same command goes on there.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "archive/archive.h"
#include "codec/collection.h"

/* Refused before any work is done: no folder for the file, a folder in its place, an input in its place. */
static swg_status check_output(swg_context *ctx, const char *path, const swg_source *source) {
    char folder[4096];
    const char *slash = strrchr(path, '/');
    struct stat output, input;
    if (snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".") >= (int)sizeof folder)
        return swg__fail(ctx, SWG_EINVAL, "%s: the path is too long", path);
    if (!swg__is_folder(folder))
        return swg__fail(ctx, SWG_ENOTFOUND, "%s: there is no folder %s to write it to", path, folder);
    if (swg__is_folder(path))
        return swg__fail(ctx, SWG_EINVAL, "%s: is a folder; give the name of a file", path);
    for (int64_t i = 0; i < swg_source_files(source); i++)
        if (stat(path, &output) == 0 && stat(swg_source_file(source, i), &input) == 0 && output.st_dev == input.st_dev &&
            output.st_ino == input.st_ino)
            return swg__fail(ctx, SWG_EINVAL, "%s: is one of the files to compress; give another name", path);
    return SWG_OK;
}

/* What of an array is fill: as asked for, else as its attribute says, else NaNs. */
swg_status swg__archive_fill(swg_context *ctx, const char *variable, swg_element element, const uint64_t *attribute, const swg_archive_opts *opts,
                             swg_codec_opts *codec) {
    if (opts->fill_above > 0) {
        codec->fill = SWG_FILL_ABOVE;
        codec->fill_threshold = opts->fill_above;
    } else if (opts->fill && strcmp(opts->fill, "none") == 0) {
        codec->fill = SWG_FILL_NONE;
    } else if (opts->fill) {
        char *end;
        double number = strtod(opts->fill, &end);
        if (end == opts->fill || *end)
            return swg__fail(ctx, SWG_EINVAL, "fill value \"%s\": expected a number or none", opts->fill);
        codec->fill = isnan(number) ? SWG_FILL_AUTO : SWG_FILL_VALUE;
        if (!isnan(number) && !swg_fill_bits(element, number, &codec->fill_bits))
            return swg__fail(ctx, SWG_EINVAL, "fill value %s: \"%s\" is of type %s, which cannot hold it", opts->fill, variable,
                             swg_element_name(element));
    } else if (attribute) {
        bool nan = (element == SWG_ELEMENT_F32 && (*attribute & 0x7FFFFFFF) > 0x7F800000) ||
                   (element == SWG_ELEMENT_F64 && (*attribute & INT64_MAX) > 0x7FF0000000000000);
        codec->fill = nan ? SWG_FILL_AUTO : SWG_FILL_VALUE;
        codec->fill_bits = *attribute;
    }
    return SWG_OK;
}

/* One array on its way. */
typedef struct item {
    int64_t index;            /* in the source */
    void *data;
    swg__text facts;
    swg__encoded coded;       /* refers to facts */
    swg_status status;
    char message[512];        /* of a failure */
} item;

typedef struct job {
    swg_context *ctx;
    swg_source *source;
    const char *root, *path;
    const swg_archive_opts *opts;
    const swg_codec_model *model;
    const swg_archive_hooks *hooks;
    swg_codec_writer *writer;
    int64_t saved;            /* bytes, by models */
    pthread_mutex_t lock;     /* of the source and the hooks, while arrays are worked on side by side */
    int64_t begun, total;     /* arrays, for progress */
    double *seconds;          /* of each array of the source */
    item *items;              /* of the batch */
    double *took;             /* of each item */
    int64_t *values, *bytes;  /* of arrays still to do */
} job;

/* ---- what a partial file belongs to ---- */

/* Everything that the bytes depend on, and whether the inputs are still the same files: 8 bytes of its SHA-256. */
static swg_status job_key(const job *j, uint64_t *key) {
    swg__text text;
    uint8_t digest[32] = {0};
    size_t blob;
    struct stat info;
    swg__text_init(&text, j->ctx);
    swg__text_printf(&text, "%s %d %a %d %a %a %u %d %s %a ", swg_version(), (int)j->opts->bound, j->opts->value, j->opts->has_range, j->opts->range_min,
                     j->opts->range_max, (unsigned)j->opts->without, j->opts->effort, j->opts->fill ? j->opts->fill : "", j->opts->fill_above);
    for (int i = 0; j->model && i < swg_codec_model_count(j->model); i++) {
        (void)swg_codec_model_blob(j->model, i, &blob, digest);
        swg__text_add(&text, (const char *)digest, sizeof digest);
    }
    for (int64_t i = 0; i < swg_source_files(j->source); i++) {
        const bool known = stat(swg_source_file(j->source, i), &info) == 0;
        swg__text_printf(&text, "%s %lld %lld.%09ld\n", swg__relative_source(j->root, swg_source_file(j->source, i)), known ? (long long)info.st_size : -1LL,
                         known ? (long long)info.st_mtim.tv_sec : 0LL, known ? info.st_mtim.tv_nsec : 0L);
    }
    for (int64_t i = 0; i < swg_source_count(j->source); i++) {
        const swg_array *a = swg_source_array(j->source, i);
        swg__text_printf(&text, "%lld %s %s %d %lld\n", (long long)a->file_index, a->variable, a->path, (int)a->layout, (long long)a->count);
    }
    swg_status status = text.failed ? swg__fail_memory(j->ctx, text.length, "a key") : SWG_OK;
    if (status == SWG_OK)
        swg__sha256(text.data, text.length, digest);
    memcpy(key, digest, sizeof *key);
    swg__text_free(&text);
    return status;
}

/* ---- one array ---- */

static swg_status code_array(job *j, item *it, double *seconds) {
    const swg_array *array = swg_source_array(j->source, it->index);
    const swg_archive_opts *opts = j->opts;
    size_t bytes = (size_t)(array->count * swg_element_bytes(array->element));
    it->data = swg__alloc(j->ctx, bytes);
    swg__facts_write(array, &it->facts);
    if (!it->data || it->facts.failed)
        return swg__fail_memory(j->ctx, bytes, array->variable);
    pthread_mutex_lock(&j->lock);
    if (!swg__archive_stopped(j->hooks))
        swg__archive_progress(j->hooks, j->begun++, j->total, swg__relative_source(j->root, array->file), array->variable);
    swg_status status = swg__archive_stopped(j->hooks) ? SWG_EINTERRUPTED : swg_source_read(j->source, it->index, it->data);
    pthread_mutex_unlock(&j->lock);
    if (status != SWG_OK)
        return status;
    swg_codec_array a = swg__codec_array_of(array, it->data);
    swg_codec_opts codec = {.bound = opts->bound, .value = opts->value, .has_range = opts->has_range, .range_min = opts->range_min,
                            .range_max = opts->range_max, .without = opts->without, .effort = opts->effort, .name = array->variable, .attributes = it->facts.data};
    SWG__TRY(swg__archive_fill(j->ctx, array->variable, array->element, array->fill ? &array->fill_bits : NULL, opts, &codec));
    int64_t before = swg__now_ns();
    status = swg__encode_array(j->ctx, &a, &codec, j->model, &it->coded);
    *seconds = (double)(swg__now_ns() - before) * 1e-9;
    return status;
}

static void code_task(void *arg, int64_t task, int worker) {
    (void)worker;
    job *j = arg;
    item *it = &j->items[task];
    it->status = code_array(j, it, &j->took[task]);
    if (it->status != SWG_OK)
        snprintf(it->message, sizeof it->message, "%s", swg__own_message());
    swg__free(j->ctx, it->data);
    it->data = NULL;
}

/* Codes the arrays of a batch side by side and writes them in their order: the file does not depend on who was first. */
static swg_status add_batch(job *j, int64_t count) {
    swg_status status = SWG_OK;
    swg__batch_run(j->ctx, count, code_task, j, j->took);
    for (int64_t k = 0; k < count; k++) {
        item *it = &j->items[k];
        const swg_array *array = swg_source_array(j->source, it->index);
        if (status == SWG_OK && it->status != SWG_OK)
            status = it->status == SWG_EINTERRUPTED ? swg__fail(j->ctx, it->status, "stopped") : swg__fail(j->ctx, it->status, "%s", it->message);
        if (status == SWG_OK) {
            int64_t before = swg__now_ns();
            status = swg__codec_writer_put(j->writer, swg__relative_source(j->root, array->file), array->variable, &it->coded, j->took[k], NULL);
            j->seconds[it->index] = j->took[k] + (double)(swg__now_ns() - before) * 1e-9;
        }
        swg__encoded_free(&it->coded);
        swg__text_free(&it->facts);
    }
    return status;
}

/* ---- all arrays ---- */

/* Work that the writer leaves for the end belongs to all arrays by size. */
static void share_commit(const swg_source *source, double commit_s, double *seconds) {
    double all = 0;
    for (int64_t i = 0; i < swg_source_count(source); i++)
        all += (double)swg_source_array(source, i)->count * swg_element_bytes(swg_source_array(source, i)->element);
    for (int64_t i = 0; i < swg_source_count(source); i++)
        seconds[i] += commit_s * (double)swg_source_array(source, i)->count * swg_element_bytes(swg_source_array(source, i)->element) / all;
}

static swg_status add_all(job *j, const int64_t *todo, int64_t count) {
    for (int64_t at = 0, n; at < count; at += n) {
        n = swg__batch_count(j->ctx, j->opts->jobs, count - at, j->values + at, j->bytes + at);
        for (int64_t k = 0; k < n; k++) {
            j->items[k] = (item){.index = todo[at + k]};
            swg__text_init(&j->items[k].facts, j->ctx);
            j->took[k] = 0;
        }
        SWG__TRY(add_batch(j, n));
    }
    return SWG_OK;
}

static swg_status write_all(job *j, const char *journal) {
    const int64_t count = swg_source_count(j->source);
    uint64_t key = 0;
    int64_t left = 0, *todo = swg__calloc(j->ctx, (size_t)count, sizeof *todo);
    j->items = swg__calloc(j->ctx, (size_t)count, sizeof *j->items);
    j->took = swg__calloc(j->ctx, (size_t)count, sizeof *j->took);
    j->values = swg__calloc(j->ctx, 2 * (size_t)count, sizeof *j->values);
    swg_status status = todo && j->items && j->took && j->values ? job_key(j, &key) : swg__fail_memory(j->ctx, (size_t)count * sizeof *j->items, "arrays");
    if (status == SWG_OK)
        status = swg__codec_writer_resume(j->ctx, j->path, journal, j->model, key, &j->writer);
    for (int64_t i = 0; i < count && status == SWG_OK; i++) {
        const swg_array *array = swg_source_array(j->source, i);
        if (swg__codec_writer_has(j->writer, swg__relative_source(j->root, array->file), array->variable, &j->seconds[i]))
            continue;
        j->bytes = j->values + count;
        j->values[left] = array->count;
        j->bytes[left] = array->count * swg_element_bytes(array->element);
        todo[left++] = i;
    }
    if (status == SWG_OK) {
        j->begun = count - left;
        if (left < count)
            swg__log(j->ctx, SWG_LOG_INFO, "%lld of %lld arrays are there from before", (long long)(count - left), (long long)count);
        status = add_all(j, todo, left);
    }
    /* A full disk wants its space back. */
    bool kept = j->writer && !swg__codec_writer_broken(j->writer) && swg__codec_writer_count(j->writer) > 0;
    if (status == SWG_OK) {
        int64_t before = swg__now_ns();
        status = swg__codec_writer_finish(j->writer, NULL, &j->saved);
        share_commit(j->source, (double)(swg__now_ns() - before) * 1e-9, j->seconds);
    } else if (j->writer) {
        swg_codec_writer_abort(j->writer);
        if (!kept) {
            unlink(j->path);
            unlink(journal);
        }
        if (status == SWG_EINTERRUPTED)
            status = kept ? swg__fail(j->ctx, status, "stopped; the same command goes on from %s", j->path) : swg__fail(j->ctx, status, "stopped; nothing was written");
    }
    swg__free(j->ctx, j->values);
    swg__free(j->ctx, j->took);
    swg__free(j->ctx, j->items);
    swg__free(j->ctx, todo);
    return status;
}

/* Writes under another name, checks, and only then gives the file its name: what stood there before stays if anything fails. */
static swg_status write_checked(job *j, const char *path, const char *journal, swg_archive_report **report) {
    const int64_t count = swg_source_count(j->source);
    j->seconds = swg__calloc(j->ctx, (size_t)count, sizeof *j->seconds);
    if (!j->seconds)
        return swg__fail_memory(j->ctx, (size_t)count * sizeof *j->seconds, "times");
    swg__check how = {.source = j->source, .root = j->root, .compress_s = j->seconds, .headers_only = j->opts->no_check, .done = count,
                      .jobs = j->opts->jobs, .hooks = j->hooks};
    swg_status status = write_all(j, journal), check = SWG_OK;
    if (status == SWG_OK)
        check = swg__archive_check(j->ctx, j->path, &how, report);
    if (*report)
        (*report)->model_saved = j->saved;
    if (check == SWG_EINTERRUPTED) {
        status = swg__fail(j->ctx, check, "stopped; the same command goes on from %s", j->path);
    } else if (check != SWG_OK) {
        status = check;
        unlink(j->path);
        unlink(journal);
    }
    if (status == SWG_OK)
        status = swg__file_rename(j->ctx, j->path, path);
    if (status == SWG_OK)
        unlink(journal);
    swg__free(j->ctx, j->seconds);
    return status;
}

swg_status swg_archive_compress(swg_context *ctx, const char *input, const char *path, const swg_archive_opts *opts,
                                const swg_archive_hooks *hooks, swg_archive_report **report) {
    swg_source *source = NULL;
    swg_codec_model *own = NULL;
    const swg_codec_model *model = NULL;
    swg_archive_report *r = NULL;
    swg__text partial, journal;
    swg_source_opts wide = opts->source;
    wide.any = true;
    if (report)
        *report = NULL;
    swg__text_init(&partial, ctx);
    swg__text_init(&journal, ctx);
    swg__text_printf(&partial, "%s.partial", path);
    swg__text_printf(&journal, "%s.partial.journal", path);
    swg_status status = partial.failed || journal.failed ? swg__fail_memory(ctx, strlen(path), "a path") : swg_source_open(ctx, input, &wide, &source);
    if (status == SWG_OK)
        status = check_output(ctx, path, source);
    if (status == SWG_OK)
        status = swg__archive_models(ctx, source, opts, hooks, &own, &model);
    if (status == SWG_OK) {
        job j = {.ctx = ctx, .source = source, .root = input, .path = partial.data, .opts = opts, .model = model, .hooks = hooks,
                 .total = (opts->no_check ? 1 : 2) * swg_source_count(source)};
        pthread_mutex_init(&j.lock, NULL);
        status = write_checked(&j, path, journal.data, &r);
        pthread_mutex_destroy(&j.lock);
    }
    swg_codec_model_free(ctx, own);
    swg_source_close(source);
    swg__text_free(&journal);
    swg__text_free(&partial);
    if (report && (status == SWG_OK || status == SWG_EBOUND)) {
        *report = r;
        return status;
    }
    swg_archive_report_free(r);
    return status;
}
