/* compress.c - HDF5 arrays into one collection, each restored and compared before the file gets its name's promise.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>
#include "archive/archive.h"

swg_codec_array swg__codec_array_of(const swg_array *array, const void *data) {
    swg_codec_array a = {.type = array->element, .layout = array->ndim == 4 ? SWG_CODEC_BLOCKS : SWG_CODEC_GRID,
                         .ndim = array->ndim, .data = data};
    memcpy(a.dims, array->dims, sizeof a.dims);
    return a;
}

static swg_status interrupted(swg_context *ctx) {
    return swg__fail(ctx, SWG_EINTERRUPTED, "stopped; nothing was written");
}

static swg_status add_array(swg_context *ctx, swg_source *source, int64_t index, const char *root, const swg_archive_opts *opts,
                            swg_codec_writer *writer, swg_archive_row *row) {
    const swg_array *array = swg_source_array(source, index);
    size_t bytes = (size_t)(array->count * swg_element_bytes(array->element));
    void *data = swg__alloc(ctx, bytes);
    if (!data)
        return swg__fail_memory(ctx, bytes, array->variable);
    char facts[1024];
    swg__facts_write(array, facts, sizeof facts);
    swg_status status = swg_source_read(source, index, data);
    if (status == SWG_OK) {
        swg_codec_array a = swg__codec_array_of(array, data);
        swg_codec_opts codec = {.bound = opts->bound, .value = opts->value, .without = opts->without, .name = array->variable, .attributes = facts};
        int64_t before = swg__now_ns();
        status = swg_codec_writer_add(writer, swg__relative_source(root, array->file), &a, &codec, NULL);
        row->compress_s = (double)(swg__now_ns() - before) * 1e-9;
    }
    swg__free(ctx, data);
    return status;
}

/* Work that the writer leaves for the end belongs to all arrays by size. */
static void share_commit(swg_archive_report *r, double commit_s) {
    int64_t all = 0;
    for (int64_t i = 0; i < r->count; i++)
        all += r->rows[i].bytes_in;
    for (int64_t i = 0; i < r->count; i++)
        r->rows[i].compress_s += commit_s * (double)r->rows[i].bytes_in / (double)(all ? all : 1);
}

swg_status swg_archive_compress(swg_context *ctx, const char *input, const char *path, const swg_archive_opts *opts,
                                const swg_archive_hooks *hooks, swg_archive_report **report) {
    swg_source *source = NULL;
    swg_codec_model *model = NULL;
    swg_codec_writer *writer = NULL;
    swg_archive_report *r = NULL, *checked = NULL;
    if (report)
        *report = NULL;
    swg_status status = swg_source_open(ctx, input, &opts->source, &source);
    if (status == SWG_OK && opts->model)
        status = swg__archive_predictor(ctx, opts->model, source, &model);
    int64_t count = status == SWG_OK ? swg_source_count(source) : 0;
    size_t names = 0, used = 0;
    for (int64_t i = 0; i < count; i++)
        names += strlen(swg_source_array(source, i)->file) + strlen(swg_source_array(source, i)->variable) + 2;
    if (status == SWG_OK)
        status = swg__report_make(ctx, count, names, &r);
    if (status == SWG_OK)
        status = swg_codec_writer_open(ctx, path, model, &writer);
    for (int64_t i = 0; i < count && status == SWG_OK; i++) {
        const swg_array *array = swg_source_array(source, i);
        swg_archive_row *row = &r->rows[r->count++];
        *row = (swg_archive_row){.source = swg__report_name(r, &used, swg__relative_source(input, array->file)),
                                 .variable = swg__report_name(r, &used, array->variable), .arrays = 1, .values = array->count,
                                 .bytes_in = array->count * swg_element_bytes(array->element)};
        swg__archive_progress(hooks, i, count, row->source, row->variable);
        status = swg__archive_stopped(hooks) ? interrupted(ctx) : add_array(ctx, source, i, input, opts, writer, row);
    }
    if (status == SWG_OK) {
        int64_t before = swg__now_ns();
        status = swg_codec_writer_commit(writer, NULL);
        writer = NULL;
        share_commit(r, (double)(swg__now_ns() - before) * 1e-9);
    }
    swg_codec_writer_abort(writer);
    swg_codec_model_free(ctx, model);
    swg_source_close(source);
    if (status == SWG_OK && !opts->no_check) {
        status = swg_archive_verify(ctx, path, input, hooks, &checked);
        for (int64_t i = 0; checked && i < checked->count && i < r->count; i++)
            checked->rows[i].compress_s = r->rows[i].compress_s;
        for (int64_t v = 0; checked && v < checked->variable_count; v++)
            for (int64_t i = 0; i < r->count; i++)
                if (strcmp(checked->variables[v].variable, r->rows[i].variable) == 0)
                    checked->variables[v].compress_s += r->rows[i].compress_s;
        for (int64_t i = 0; checked && i < r->count; i++)
            checked->total.compress_s += r->rows[i].compress_s;
        if (status == SWG_EBOUND)
            unlink(path); /* a file that breaks its promise is worse than none */
        swg_archive_report_free(r);
        r = checked;
    } else if (status == SWG_OK) {
        status = swg__report_sum(r);
    }
    if (report)
        *report = r;
    else
        swg_archive_report_free(r);
    return status;
}
