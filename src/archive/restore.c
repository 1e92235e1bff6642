/* restore.c - a collection back to HDF5 files, and its verification with or without the originals.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "archive/archive.h"

/* ---- what restore and verify share: members, rows ---- */

static swg_status make_report(swg_context *ctx, const swg_swz *swz, swg_archive_report **out) {
    size_t names = 0, used = 0;
    int64_t count = swg_swz_count(swz);
    for (int64_t i = 0; i < count; i++)
        names += strlen(swg_swz_member(swz, i)->source) + strlen(swg_swz_member(swz, i)->name) + 2;
    SWG__TRY(swg__report_make(ctx, count, names, out));
    swg_archive_report *r = *out;
    for (int64_t i = 0; i < count; i++) {
        const swg_swz_info *info = swg_swz_member(swz, i);
        swg_archive_row *row = &r->rows[r->count++];
        *row = (swg_archive_row){.source = swg__report_name(r, &used, info->source), .variable = swg__report_name(r, &used, info->name),
                                 .arrays = 1, .values = info->values, .bytes_in = info->bytes_raw, .bytes_out = info->bytes_stored,
                                 .bound = info->eb_abs, .range_min = info->range_min, .range_max = info->range_max};
        memcpy(row->mode_chunks, info->mode_chunks, sizeof row->mode_chunks);
        /* Without originals: what the encoder measured and stored. */
        row->max_ratio = info->max_ratio;
        row->max_abs_error = info->max_ratio * info->eb_abs;
        row->square_sum = NAN;
    }
    r->model_bytes = swg_swz_model_bytes(swz);
    return SWG_OK;
}

static swg_status file_size(swg_context *ctx, const char *path, int64_t *bytes) {
    FILE *file = fopen(path, "rbe");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        if (file)
            fclose(file);
        return swg__fail(ctx, SWG_EIO, "%s: cannot read its size", path);
    }
    *bytes = ftell(file);
    fclose(file);
    return SWG_OK;
}

static swg_status read_member(swg_context *ctx, const swg_swz *swz, int64_t i, void **data, swg_archive_row *row) {
    const swg_swz_info *info = swg_swz_member(swz, i);
    *data = swg__alloc(ctx, (size_t)info->bytes_raw);
    if (!*data)
        return swg__fail_memory(ctx, (size_t)info->bytes_raw, info->name);
    int64_t before = swg__now_ns();
    swg_status status = swg_swz_read(swz, i, *data, (size_t)info->bytes_raw);
    row->decompress_s = (double)(swg__now_ns() - before) * 1e-9;
    return status;
}

/* ---- restore ---- */

/* A name from a file must stay below the folder it is restored to. */
static bool safe_path(const char *path) {
    if (!*path || *path == '/')
        return false;
    for (const char *p = path; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || !p[2]))
            return false;
    return true;
}

static swg_status output_path(swg_context *ctx, const char *folder, const swg_swz_info *info, char *out, size_t capacity) {
    const char *name = *info->source ? info->source : "restored.h5";
    if (!safe_path(name))
        return swg__fail(ctx, SWG_EFORMAT, "member \"%s\" of \"%s\" would be restored outside the folder", info->name, info->source);
    if (snprintf(out, capacity, "%s/%s", folder, name) >= (int)capacity)
        return swg__fail(ctx, SWG_EINVAL, "%s/%s: the path is too long", folder, name);
    char *slash = strrchr(out, '/');
    *slash = 0;
    swg_status status = swg__make_folders(ctx, out);
    *slash = '/';
    return status;
}

/* All members of one source from `first` on into one file. The layout `vars` becomes one 5-D dataset again. */
static swg_status restore_source(swg_context *ctx, const swg_swz *swz, int64_t first, const char *folder, const swg_archive_hooks *hooks,
                                 swg_archive_report *r) {
    const swg_swz_info *head = swg_swz_member(swz, first);
    swg__member_facts facts;
    char path[4096];
    SWG__TRY(output_path(ctx, folder, head, path, sizeof path));
    int64_t total = swg_swz_count(swz), vars = 0, member_bytes = 0;
    for (int64_t i = first; i < total; i++) {
        const swg_swz_info *info = swg_swz_member(swz, i);
        SWG__TRY(swg__facts_read(ctx, info->attributes, &facts));
        if (strcmp(info->source, head->source) != 0 || facts.layout != SWG_LAYOUT_VARS)
            continue;
        if (vars++ && (info->bytes_raw != member_bytes || info->type != head->type))
            return swg__fail(ctx, SWG_EFORMAT, "%s: the variables of one `var_data` differ in size", head->source);
        member_bytes = info->bytes_raw;
    }
    swg_sink *sink;
    SWG__TRY(swg_sink_open(ctx, path, &sink));
    char *joined = vars ? swg__alloc(ctx, (size_t)(vars * member_bytes)) : NULL;
    const char **names = swg__calloc(ctx, (size_t)vars + 1, sizeof *names);
    swg_status status = (joined || !vars) && names ? SWG_OK : swg__fail_memory(ctx, (size_t)(vars * member_bytes), path);
    int64_t at = 0;
    for (int64_t i = first; i < total && status == SWG_OK; i++) {
        const swg_swz_info *info = swg_swz_member(swz, i);
        if (strcmp(info->source, head->source) != 0)
            continue;
        void *data = NULL;
        swg__archive_progress(hooks, i, total, info->source, info->name);
        status = swg__archive_stopped(hooks) ? swg__fail(ctx, SWG_EINTERRUPTED, "stopped; %s was not written", path)
                                             : read_member(ctx, swz, i, &data, &r->rows[i]);
        if (status == SWG_OK)
            status = swg__facts_read(ctx, info->attributes, &facts);
        const char *dataset = facts.path[0] ? facts.path : *info->name ? info->name : "data";
        if (status == SWG_OK && facts.layout == SWG_LAYOUT_VARS && vars) {
            memcpy(joined + at * member_bytes, data, (size_t)member_bytes);
            names[at++] = info->name;
            if (facts.has_time && at == 1)
                status = swg_sink_number(sink, "/", "time", facts.time);
        } else if (status == SWG_OK) {
            status = swg_sink_put(sink, dataset, info->type, info->ndim, info->dims, data, &(swg_sink_opts){.big_endian = facts.big_endian});
            if (status == SWG_OK && facts.has_time)
                status = swg_sink_number(sink, dataset, "time", facts.time);
        }
        swg__free(ctx, data);
    }
    if (status == SWG_OK && vars) {
        int64_t dims[8] = {vars};
        memcpy(dims + 1, head->dims, (size_t)head->ndim * sizeof dims[0]);
        status = swg_sink_put_names(sink, "vars", names, vars);
        if (status == SWG_OK)
            status = swg_sink_put(sink, "var_data", head->type, head->ndim + 1, dims, joined, NULL);
    }
    swg__free(ctx, joined);
    swg__free(ctx, names);
    if (status == SWG_OK)
        return swg_sink_commit(sink);
    swg_sink_abort(sink);
    return status;
}

swg_status swg_archive_restore(swg_context *ctx, const char *path, const char *folder, const swg_archive_hooks *hooks,
                               swg_archive_report **report) {
    swg_swz *swz;
    swg_archive_report *r = NULL;
    if (report)
        *report = NULL;
    SWG__TRY(swg_swz_open(ctx, path, &swz));
    swg_status status = make_report(ctx, swz, &r);
    if (status == SWG_OK)
        status = file_size(ctx, path, &r->file_bytes);
    for (int64_t i = 0; i < swg_swz_count(swz) && status == SWG_OK; i++) {
        bool seen = false;
        for (int64_t j = 0; j < i && !seen; j++)
            seen = strcmp(swg_swz_member(swz, i)->source, swg_swz_member(swz, j)->source) == 0;
        if (!seen)
            status = restore_source(ctx, swz, i, folder, hooks, r);
    }
    swg_swz_close(swz);
    if (status == SWG_OK)
        status = swg__report_sum(r);
    if (report && status == SWG_OK)
        *report = r;
    else
        swg_archive_report_free(r);
    return status;
}

/* ---- verify ---- */

static int64_t find_array(const swg_source *source, const char *root, const swg_swz_info *info) {
    for (int64_t i = 0; i < swg_source_count(source); i++) {
        const swg_array *a = swg_source_array(source, i);
        if (strcmp(a->variable, info->name) == 0 && (!*info->source || strcmp(swg__relative_source(root, a->file), info->source) == 0))
            return i;
    }
    return -1;
}

static swg_status compare_member(swg_context *ctx, const swg_swz_info *info, swg_source *source, const char *root, const void *restored,
                                 swg_archive_row *row) {
    int64_t index = find_array(source, root, info);
    if (index < 0)
        return swg__fail(ctx, SWG_ENOTFOUND, "%s has no \"%s\" of file \"%s\" to compare with", root, info->name, info->source);
    const swg_array *array = swg_source_array(source, index);
    void *data = swg__alloc(ctx, (size_t)info->bytes_raw);
    if (!data)
        return swg__fail_memory(ctx, (size_t)info->bytes_raw, info->name);
    swg_codec_array original = swg__codec_array_of(array, data);
    swg_status status = SWG_OK;
    if (original.type != info->type || array->count != info->values)
        status = swg__fail(ctx, SWG_ESHAPE, "\"%s\" of \"%s\" has another type or shape than the original", info->name, info->source);
    if (status == SWG_OK)
        status = swg_source_read(source, index, data);
    swg_codec_gap gap;
    if (status == SWG_OK)
        status = swg_codec_compare(ctx, &original, restored, info->eb_abs, &gap);
    if (status == SWG_OK)
        swg__row_compare(row, &gap, info->eb_abs, info->range_min, info->range_max);
    swg__free(ctx, data);
    return status;
}

/* All names a collection holds, as a pattern list for the reader. */
static swg_status patterns_of(swg_context *ctx, const swg_swz *swz, swg__text *out) {
    swg__text_init(out, ctx);
    for (int64_t i = 0; i < swg_swz_count(swz); i++) {
        bool seen = false;
        for (int64_t j = 0; j < i && !seen; j++)
            seen = strcmp(swg_swz_member(swz, i)->name, swg_swz_member(swz, j)->name) == 0;
        if (!seen)
            swg__text_printf(out, "%s%s", out->length ? "," : "", swg_swz_member(swz, i)->name);
    }
    return out->failed ? swg__fail_memory(ctx, 0, "names") : SWG_OK;
}

swg_status swg_archive_verify(swg_context *ctx, const char *path, const char *original, const swg_archive_hooks *hooks,
                              swg_archive_report **report) {
    swg_swz *swz;
    swg_source *source = NULL;
    swg_archive_report *r = NULL;
    swg__text names = {.ctx = ctx};
    if (report)
        *report = NULL;
    SWG__TRY(swg_swz_open(ctx, path, &swz));
    swg_status status = make_report(ctx, swz, &r);
    if (status == SWG_OK)
        status = file_size(ctx, path, &r->file_bytes);
    if (status == SWG_OK && original)
        status = patterns_of(ctx, swz, &names);
    if (status == SWG_OK && original)
        status = swg_source_open(ctx, original, &(swg_source_opts){.vars = names.data, .missing = "skip"}, &source);
    int64_t count = swg_swz_count(swz);
    for (int64_t i = 0; i < count && status == SWG_OK; i++) {
        const swg_swz_info *info = swg_swz_member(swz, i);
        void *data = NULL;
        swg__archive_progress(hooks, i, count, info->source, info->name);
        status = swg__archive_stopped(hooks) ? swg__fail(ctx, SWG_EINTERRUPTED, "stopped") : read_member(ctx, swz, i, &data, &r->rows[i]);
        if (status == SWG_OK)
            status = swg_swz_verify(swz, i);
        if (status == SWG_OK && original)
            status = compare_member(ctx, info, source, original, data, &r->rows[i]);
        swg__free(ctx, data);
    }
    swg__text_free(&names);
    swg_source_close(source);
    swg_swz_close(swz);
    if (status == SWG_OK)
        status = swg__report_sum(r);
    bool broken = status == SWG_OK && (r->total.violations > 0 || r->total.max_ratio > 1);
    if (broken)
        status = swg__fail(ctx, SWG_EBOUND, "%s: %lld values are outside the bound", path, (long long)r->total.violations);
    if (report && (status == SWG_OK || broken))
        *report = r;
    else
        swg_archive_report_free(r);
    return status;
}
