/* append.c - HDF5 files as further steps of growing streams, one stream per variable.
 * In: a file or a folder of files in order of time, and a .swz or a folder of them. Out: the streams with the steps of this call, all or none.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "archive/archive.h"

static int64_t file_bytes(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 ? (int64_t)info.st_size : 0;
}

/* A grid is one step of a longer array; blocks are added to the blocks that are there. */
static swg_codec_array step_of(const swg_array *array, const void *data, int64_t *steps) {
    swg_codec_array a = swg__codec_array_of(array, data);
    *steps = a.dims[0];
    if (a.layout == SWG_CODEC_GRID && a.ndim == 3) {
        memmove(a.dims + 1, a.dims, 3 * sizeof a.dims[0]);
        a.dims[0] = *steps = 1;
        a.ndim = 4;
    }
    return a;
}

static swg_status open_stream(swg_context *ctx, const char *path, const swg_array *array, const swg_archive_opts *opts, swg_codec_appender **out) {
    swg__text facts;
    int64_t steps;
    swg_codec_array step = step_of(array, NULL, &steps);
    swg_array untimed = *array;
    untimed.has_time = false; /* its time is that of one step */
    swg__text_init(&facts, ctx);
    swg__facts_write(&untimed, &facts);
    swg_codec_opts codec = {.bound = opts->bound, .value = opts->value, .has_range = opts->has_range, .range_min = opts->range_min,
                            .range_max = opts->range_max, .without = opts->without, .effort = opts->effort, .name = array->variable, .attributes = facts.data};
    swg_status status = facts.failed ? swg__fail_memory(ctx, 0, array->variable)
                                     : swg_codec_append_open(ctx, path, &step, opts->as_before ? NULL : &codec, out);
    swg__text_free(&facts);
    return status;
}

/* Restores what was just appended and compares. first: its first step. */
static swg_status check_steps(swg_context *ctx, const char *path, swg_source *source, int64_t variable, int64_t first) {
    swg_swz *swz;
    int64_t violations = 0;
    SWG__TRY(swg_swz_open(ctx, path, &swz));
    const swg_swz_info *info = swg_swz_member(swz, 0);
    swg_status status = SWG_OK;
    for (int64_t i = 0; i < swg_source_count(source) && status == SWG_OK; i++) {
        const swg_array *array = swg_source_array(source, i);
        size_t bytes = (size_t)(array->count * swg_element_bytes(array->element));
        swg_codec_gap gap = {0};
        if (array->variable_index != variable)
            continue;
        void *data = swg__alloc(ctx, bytes), *restored = swg__alloc(ctx, bytes);
        int64_t steps, origin[4] = {first, 0, 0, 0}, extent[4];
        swg_codec_array original = step_of(array, data, &steps);
        memcpy(extent, original.dims, sizeof extent);
        status = data && restored ? swg_source_read(source, i, data) : swg__fail_memory(ctx, bytes, array->variable);
        if (status == SWG_OK)
            status = swg_swz_read_box(swz, 0, origin, extent, restored, bytes);
        if (status == SWG_OK)
            status = swg_codec_compare(ctx, &original, restored, info->eb_abs, &gap);
        violations += gap.violations;
        first += steps;
        swg__free(ctx, restored);
        swg__free(ctx, data);
    }
    swg_swz_close(swz);
    return status == SWG_OK && violations ? swg__fail(ctx, SWG_EBOUND, "%s: %lld values are outside the bound", path, (long long)violations) : status;
}

/* All arrays of one variable. */
static swg_status append_variable(swg_context *ctx, swg_source *source, int64_t variable, const char *path, const swg_archive_opts *opts,
                                  const swg_archive_hooks *hooks, swg_archive_growth *g) {
    swg_codec_appender *appender = NULL;
    swg_status status = SWG_OK;
    int64_t before = file_bytes(path), had = 0, added = 0;
    swg_codec_array shape = {0};
    for (int64_t i = 0; i < swg_source_count(source) && status == SWG_OK; i++) {
        const swg_array *array = swg_source_array(source, i);
        size_t bytes = (size_t)(array->count * swg_element_bytes(array->element));
        if (array->variable_index != variable)
            continue;
        swg__archive_progress(hooks, i, swg_source_count(source), array->file, array->variable);
        if (swg__archive_stopped(hooks))
            status = swg__fail(ctx, SWG_EINTERRUPTED, "stopped; nothing was appended to %s", path);
        int64_t steps = 0;
        void *data = status == SWG_OK ? swg__alloc(ctx, bytes) : NULL;
        swg_codec_array step = step_of(array, data, &steps);
        if (status == SWG_OK && !data)
            status = swg__fail_memory(ctx, bytes, array->variable);
        if (status == SWG_OK && !appender) {
            shape = step;
            status = open_stream(ctx, path, array, opts, &appender);
            had = status == SWG_OK ? swg_codec_append_steps(appender) : 0;
        }
        if (status == SWG_OK && (step.type != shape.type || step.ndim != shape.ndim || memcmp(step.dims + 1, shape.dims + 1, 3 * sizeof step.dims[0]) != 0))
            status = swg__fail(ctx, SWG_ESHAPE, "%s: \"%s\" has another shape or type than in the first file", array->file, array->variable);
        if (status == SWG_OK)
            status = swg_source_read(source, i, data);
        if (status == SWG_OK)
            status = swg_codec_append_put(appender, data, steps);
        swg__free(ctx, data);
        added += steps;
        g->bytes_in += (int64_t)bytes;
    }
    if (status == SWG_OK && appender) {
        status = swg_codec_append_close(appender);
        appender = NULL;
    }
    swg_codec_append_abort(appender);
    if (status == SWG_OK && !opts->no_check)
        status = check_steps(ctx, path, source, variable, had);
    g->streams++;
    g->steps_added += added;
    g->steps += had + added;
    g->bytes_added += file_bytes(path) - before;
    g->bytes += file_bytes(path);
    return status;
}

/* "FOLDER/U_CHI.swz" */
static swg_status stream_path(swg_context *ctx, const char *folder, const char *variable, char *out, size_t capacity) {
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/')
        length--;
    if (strchr(variable, '/') || *variable == '.' || snprintf(out, capacity, "%.*s/%s.swz", (int)length, folder, variable) >= (int)capacity)
        return swg__fail(ctx, SWG_EINVAL, "%s: \"%s\" cannot be the name of a file", folder, variable);
    return SWG_OK;
}

/* Which variables: those asked for, or the one a stream that is there holds. */
static swg_status open_source(swg_context *ctx, const char *input, const char *path, const swg_archive_opts *opts, swg_source **out) {
    swg_source_opts how = opts->source;
    char *name = NULL;
    if (!how.vars && swg__exists(path) && !swg__is_folder(path)) {
        swg_swz *swz;
        SWG__TRY(swg_swz_open(ctx, path, &swz));
        const swg_swz_info *info = swg_swz_member(swz, 0);
        name = swg__strdup(ctx, info && *info->name ? info->name : "*");
        swg_swz_close(swz);
        if (!name)
            return swg__fail_memory(ctx, 64, "a name");
        how.vars = name;
    }
    swg_status status = swg_source_open(ctx, input, &how, out);
    swg__free(ctx, name);
    return status;
}

swg_status swg_archive_append(swg_context *ctx, const char *input, const char *path, const swg_archive_opts *opts, const swg_archive_hooks *hooks,
                              swg_archive_growth *growth) {
    swg_source *source;
    swg_archive_growth g = {0};
    size_t length = strlen(path);
    bool folder = swg__is_folder(path) || (length && path[length - 1] == '/');
    if (opts->model)
        return swg__fail(ctx, SWG_EUNSUPPORTED, "%s: a growing stream takes no network; leave -m away", path);
    SWG__TRY(open_source(ctx, input, path, opts, &source));
    swg_status status = folder ? swg__make_folders(ctx, path) : SWG_OK;
    if (!folder && swg_source_variables(source) > 1)
        status = swg__fail(ctx, SWG_EINVAL, "%s holds one variable and %s has %lld: take one with --vars, or give a folder (%s/) for a stream of each", path, input,
                           (long long)swg_source_variables(source), path);
    for (int64_t v = 0; v < swg_source_variables(source) && status == SWG_OK; v++) {
        char stream[4096];
        if (folder)
            status = stream_path(ctx, path, swg_source_variable(source, v), stream, sizeof stream);
        if (status == SWG_OK)
            status = append_variable(ctx, source, v, folder ? stream : path, opts, hooks, &g);
    }
    swg_source_close(source);
    if (growth)
        *growth = g;
    return status;
}
