/* compress.c - HDF5 arrays into one collection, each restored and compared before the file gets its name.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "archive/archive.h"

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
static swg_status choose_fill(swg_context *ctx, const swg_array *array, const swg_archive_opts *opts, swg_codec_opts *codec) {
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
        if (!isnan(number) && !swg_fill_bits(array->element, number, &codec->fill_bits))
            return swg__fail(ctx, SWG_EINVAL, "fill value %s: \"%s\" is of type %s, which cannot hold it", opts->fill, array->variable,
                             swg_element_name(array->element));
    } else if (array->fill) {
        bool nan = (array->element == SWG_ELEMENT_F32 && (array->fill_bits & 0x7FFFFFFF) > 0x7F800000) ||
                   (array->element == SWG_ELEMENT_F64 && (array->fill_bits & INT64_MAX) > 0x7FF0000000000000);
        codec->fill = nan ? SWG_FILL_AUTO : SWG_FILL_VALUE;
        codec->fill_bits = array->fill_bits;
    }
    return SWG_OK;
}

static swg_status add_array(swg_context *ctx, swg_source *source, int64_t index, const char *root, const swg_archive_opts *opts,
                            swg_codec_writer *writer, double *seconds) {
    const swg_array *array = swg_source_array(source, index);
    size_t bytes = (size_t)(array->count * swg_element_bytes(array->element));
    void *data = swg__alloc(ctx, bytes);
    if (!data)
        return swg__fail_memory(ctx, bytes, array->variable);
    swg__text facts;
    swg__text_init(&facts, ctx);
    swg__facts_write(array, &facts);
    swg_status status = facts.failed ? swg__fail_memory(ctx, 0, array->variable) : swg_source_read(source, index, data);
    if (status == SWG_OK) {
        swg_codec_array a = swg__codec_array_of(array, data);
        swg_codec_opts codec = {.bound = opts->bound, .value = opts->value, .has_range = opts->has_range, .range_min = opts->range_min,
                                .range_max = opts->range_max, .without = opts->without, .name = array->variable, .attributes = facts.data};
        status = choose_fill(ctx, array, opts, &codec);
        int64_t before = swg__now_ns();
        if (status == SWG_OK)
            status = swg_codec_writer_add(writer, swg__relative_source(root, array->file), &a, &codec, NULL);
        *seconds = (double)(swg__now_ns() - before) * 1e-9;
    }
    swg__text_free(&facts);
    swg__free(ctx, data);
    return status;
}

/* Work that the writer leaves for the end belongs to all arrays by size. */
static void share_commit(const swg_source *source, double commit_s, double *seconds) {
    double all = 0;
    for (int64_t i = 0; i < swg_source_count(source); i++)
        all += (double)swg_source_array(source, i)->count * swg_element_bytes(swg_source_array(source, i)->element);
    for (int64_t i = 0; i < swg_source_count(source); i++)
        seconds[i] += commit_s * (double)swg_source_array(source, i)->count * swg_element_bytes(swg_source_array(source, i)->element) / all;
}

static swg_status write_all(swg_context *ctx, swg_source *source, const char *root, const char *path, const swg_archive_opts *opts,
                            const swg_codec_model *model, const swg_archive_hooks *hooks, double *seconds) {
    swg_codec_writer *writer;
    int64_t count = swg_source_count(source), total = opts->no_check ? count : 2 * count;
    SWG__TRY(swg_codec_writer_open(ctx, path, model, &writer));
    swg_status status = SWG_OK;
    for (int64_t i = 0; i < count && status == SWG_OK; i++) {
        const swg_array *array = swg_source_array(source, i);
        swg__archive_progress(hooks, i, total, swg__relative_source(root, array->file), array->variable);
        status = swg__archive_stopped(hooks) ? swg__fail(ctx, SWG_EINTERRUPTED, "stopped")
                                             : add_array(ctx, source, i, root, opts, writer, &seconds[i]);
    }
    if (status != SWG_OK) {
        swg_codec_writer_abort(writer);
        return status;
    }
    int64_t before = swg__now_ns();
    status = swg_codec_writer_commit(writer, NULL);
    share_commit(source, (double)(swg__now_ns() - before) * 1e-9, seconds);
    return status;
}

/* Writes under another name, checks, and only then gives the file its name: what stood there before stays if anything fails. */
static swg_status write_checked(swg_context *ctx, swg_source *source, const char *root, const char *path, const char *unchecked,
                                const swg_archive_opts *opts, const swg_codec_model *model, const swg_archive_hooks *hooks,
                                swg_archive_report **report) {
    int64_t count = swg_source_count(source);
    double *seconds = swg__calloc(ctx, (size_t)count, sizeof *seconds);
    if (!seconds)
        return swg__fail_memory(ctx, (size_t)count * sizeof *seconds, "times");
    swg__check how = {.source = source, .root = root, .compress_s = seconds, .headers_only = opts->no_check, .done = count, .hooks = hooks};
    swg_status status = write_all(ctx, source, root, unchecked, opts, model, hooks, seconds);
    if (status == SWG_OK)
        status = swg__archive_check(ctx, unchecked, &how, report);
    if (status == SWG_EINTERRUPTED)
        status = swg__fail(ctx, status, "stopped; nothing was written");
    if (status == SWG_OK)
        status = swg__file_rename(ctx, unchecked, path);
    if (status != SWG_OK)
        unlink(unchecked);
    swg__free(ctx, seconds);
    return status;
}

swg_status swg_archive_compress(swg_context *ctx, const char *input, const char *path, const swg_archive_opts *opts,
                                const swg_archive_hooks *hooks, swg_archive_report **report) {
    swg_source *source = NULL;
    swg_codec_model *model = NULL;
    swg_archive_report *r = NULL;
    swg__text unchecked;
    swg_source_opts wide = opts->source;
    wide.any = true;
    if (report)
        *report = NULL;
    swg__text_init(&unchecked, ctx);
    swg__text_printf(&unchecked, "%s.%ld.unchecked", path, (long)getpid());
    swg_status status = unchecked.failed ? swg__fail_memory(ctx, strlen(path), "a path") : swg_source_open(ctx, input, &wide, &source);
    if (status == SWG_OK)
        status = check_output(ctx, path, source);
    if (status == SWG_OK && opts->model)
        status = swg__archive_predictor(ctx, opts->model, source, &model);
    if (status == SWG_OK)
        status = write_checked(ctx, source, input, path, unchecked.data, opts, model, hooks, &r);
    swg_codec_model_free(ctx, model);
    swg_source_close(source);
    swg__text_free(&unchecked);
    if (report && (status == SWG_OK || status == SWG_EBOUND)) {
        *report = r;
        return status;
    }
    swg_archive_report_free(r);
    return status;
}
