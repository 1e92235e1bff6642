/* restore.c - the filtered datasets of an HDF5 file: checked alone or against the originals, or written out plain again.
 * In: a file that reads through the filter. Out: a report; a file that needs no filter.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "h5file/h5file.h"

swg_status swg__h5_check_output(swg_context *ctx, const char *path, const char *input) {
    char folder[4096];
    const char *slash = strrchr(path, '/');
    struct stat a, b;
    if (snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".") >= (int)sizeof folder)
        return swg__fail(ctx, SWG_EINVAL, "%s: the path is too long", path);
    if (!swg__is_folder(folder))
        return swg__fail(ctx, SWG_ENOTFOUND, "%s: there is no folder %s to write it to", path, folder);
    if (swg__is_folder(path))
        return swg__fail(ctx, SWG_EINVAL, "%s: is a folder; give the name of a file", path);
    if (stat(path, &a) == 0 && stat(input, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return swg__fail(ctx, SWG_EINVAL, "%s: is the file to read; give another name", path);
    return SWG_OK;
}

swg_status swg__h5_report_open(swg_context *ctx, const swg__h5_tree *tree, const char *path, swg_archive_report **out) {
    size_t names = 1, used = 1;
    int64_t count = 0;
    for (int64_t i = 0; i < tree->count; i++)
        if (tree->items[i].taken) {
            names += strlen(tree->items[i].path) + 1;
            count++;
        }
    SWG__TRY(swg__report_alloc(ctx, path, count, names, out));
    swg_archive_report *r = *out;
    count = 0;
    for (int64_t i = 0; i < tree->count; i++) {
        const swg__h5_item *item = &tree->items[i];
        if (!item->taken)
            continue;
        size_t bytes = strlen(item->path) + 1;
        memcpy(r->names + used, item->path, bytes);
        r->rows[count++] = (swg_archive_row){.source = r->names, .variable = r->names + used + 1, .arrays = 1, .values = item->array.values, /* without the first slash */
                                             .bytes_in = item->array.values * swg_element_bytes(item->array.type), .square_sum = NAN};
        used += bytes;
    }
    return SWG_OK;
}

/* ---- checking ---- */

/* A file that was opened, with its objects. */
typedef struct opened {
    const char *path;
    hid_t file;
    swg__h5_tree tree;
} opened;

static swg_status open_tree(swg_context *ctx, const char *path, opened *o) {
    swg__h5 session;
    *o = (opened){.path = path, .file = -1};
    swg__h5_enter(&session);
    swg_status status = swg__h5_open_file(ctx, path, &o->file);
    if (status == SWG_OK)
        status = swg__h5_walk(ctx, path, o->file, &o->tree);
    swg__h5_leave(&session);
    return status;
}

static void close_tree(opened *o) {
    swg__h5 session;
    swg__h5_enter(&session);
    if (o->file >= 0)
        H5Fclose(o->file);
    swg__h5_leave(&session);
    swg__h5_tree_free(&o->tree);
}

static const swg__h5_item *find_array(const swg__h5_tree *tree, const char *path) {
    for (int64_t i = 0; i < tree->count; i++)
        if (strcmp(tree->items[i].path, path) == 0) {
            const swg__h5_item *item = tree->items[i].kind == SWG__H5_AGAIN ? &tree->items[tree->items[i].first] : &tree->items[i];
            return item->is_array ? item : NULL;
        }
    return NULL;
}

/* Range of the finite values, for the PSNR: a header stores what it was given. */
static void add_range(swg_archive_row *row, const swg__h5_array *a, const void *values, swg_context *ctx) {
    bool any;
    swg__range(ctx, a->type, values, a->values, &(swg__fill){.mode = SWG_FILL_NONE}, &row->range_min, &row->range_max, &any, NULL);
    if (!any)
        row->range_min = row->range_max = NAN;
}

static swg_status compare(swg_context *ctx, const opened *original, const swg__h5_item *item, const swg__h5_facts *facts, const void *restored,
                          swg_archive_row *row) {
    const swg__h5_item *other = find_array(&original->tree, item->path);
    const swg__h5_array *a = &item->array;
    if (!other)
        return swg__fail(ctx, SWG_ENOTFOUND, "%s has no dataset \"%s\" to compare with", original->path, item->path);
    if (other->array.type != a->type || other->array.rank != a->rank || memcmp(other->array.dims, a->dims, sizeof a->dims) != 0)
        return swg__fail(ctx, SWG_ESHAPE, "dataset \"%s\" has another type or shape than the original in %s", item->path, original->path);
    const size_t bytes = (size_t)row->bytes_in;
    void *values = swg__alloc(ctx, bytes);
    if (!values)
        return swg__fail_memory(ctx, bytes, item->path);
    swg__h5 session;
    swg__h5_enter(&session);
    swg_status status = swg__h5_read_plain(ctx, original->path, original->file, other->path, a->type, values);
    swg__h5_leave(&session);
    swg_codec_array flat = {.type = a->type, .ndim = 1, .dims = {a->values}, .data = values};
    swg_codec_gap gap;
    if (status == SWG_OK)
        status = swg_codec_audit(ctx, &flat, restored, &facts->info, &gap);
    if (status == SWG_OK) {
        swg__row_compare(row, &gap, &facts->info);
        add_range(row, a, values, ctx);
    }
    swg__free(ctx, values);
    return status;
}

/* original NULL: nothing but the dataset itself. */
static swg_status check_one(swg_context *ctx, const opened *file, const opened *original, const swg__h5_item *item, swg_archive_row *row,
                            int64_t *model_bytes) {
    swg__h5_facts facts;
    const size_t bytes = (size_t)row->bytes_in;
    void *restored = original ? swg__alloc(ctx, bytes) : NULL;
    if (original && !restored)
        return swg__fail_memory(ctx, bytes, item->path);
    int64_t before = swg__now_ns();
    swg_status status = swg__h5_read_filtered(ctx, file->path, file->file, item->path, &item->array, restored, &facts);
    row->decompress_s = (double)(swg__now_ns() - before) * 1e-9;
    row->bound = facts.info.eb_abs;
    row->max_ratio = facts.max_ratio;
    row->max_abs_error = facts.info.bound == SWG_BOUND_PW_REL && facts.info.eb_abs > 0 ? NAN : facts.max_ratio * facts.info.eb_abs;
    row->bytes_out = facts.stored + 4 * SWG__FILTER_FIXED_WORDS + facts.model_bytes;
    memcpy(row->mode_chunks, facts.mode_chunks, sizeof row->mode_chunks);
    *model_bytes += facts.model_bytes;
    if (status == SWG_OK && original)
        status = compare(ctx, original, item, &facts, restored, row);
    swg__free(ctx, restored);
    return status;
}

static swg_status check_all(swg_context *ctx, const opened *file, const opened *original, const swg__h5_tree *tree, const swg_archive_hooks *hooks,
                            int64_t done, swg_archive_report *report) {
    int64_t row = 0, violations = 0;
    report->model_bytes = 0;
    for (int64_t i = 0; i < tree->count; i++) {
        if (!tree->items[i].taken)
            continue;
        swg__archive_progress(hooks, done + row, done + report->count, "", tree->items[i].path);
        if (swg__archive_stopped(hooks))
            return swg__fail(ctx, SWG_EINTERRUPTED, "stopped");
        const swg__h5_item *item = find_array(&file->tree, tree->items[i].path);
        if (!item || !item->array.filtered)
            return swg__fail(ctx, SWG_ECORRUPT, "%s: dataset \"%s\" is not what was written", file->path, tree->items[i].path);
        SWG__TRY(check_one(ctx, file, original, item, &report->rows[row], &report->model_bytes));
        violations += report->rows[row++].violations;
    }
    return violations ? swg__fail(ctx, SWG_EBOUND, "%s: %lld values are outside the bound", file->path, (long long)violations) : SWG_OK;
}

swg_status swg__h5_check(swg_context *ctx, const char *path, const char *original, const swg__h5_tree *tree, const swg_archive_hooks *hooks, int64_t done,
                         swg_archive_report *report) {
    opened file, other = {.file = -1};
    swg_status status = open_tree(ctx, path, &file);
    if (status == SWG_OK && original)
        status = open_tree(ctx, original, &other);
    if (status == SWG_OK)
        status = check_all(ctx, &file, original ? &other : NULL, tree, hooks, done, report);
    close_tree(&other);
    close_tree(&file);
    return status;
}

/* ---- verify ---- */

/* Takes the filtered datasets. SWG_EFORMAT: there are none. */
static swg_status take_filtered(swg_context *ctx, opened *o) {
    int64_t taken = 0;
    for (int64_t i = 0; i < o->tree.count; i++)
        taken += o->tree.items[i].taken = o->tree.items[i].is_array && o->tree.items[i].array.filtered;
    return taken ? SWG_OK : swg__fail(ctx, SWG_EFORMAT, "%s: an HDF5 file without a dataset that the swage filter has compressed", o->path);
}

swg_status swg__h5_verify(swg_context *ctx, const char *path, const char *original, const swg_archive_hooks *hooks, swg_archive_report **report) {
    opened file;
    swg_archive_report *r = NULL;
    swg_status status = open_tree(ctx, path, &file);
    if (status == SWG_OK)
        status = take_filtered(ctx, &file);
    if (status == SWG_OK)
        status = swg__h5_report_open(ctx, &file.tree, path, &r);
    if (status == SWG_OK)
        status = swg__h5_check(ctx, path, original, &file.tree, hooks, 0, r);
    close_tree(&file);
    if (status != SWG_OK && status != SWG_EBOUND) {
        swg_archive_report_free(r);
        return status;
    }
    swg__report_sum(r);
    if (report)
        *report = r;
    else
        swg_archive_report_free(r);
    return status;
}

/* ---- restore ---- */

static swg_status put_plain(const swg__h5_copier *c, const swg__h5_item *item, const void *values) {
    hid_t old = H5Dopen2(c->from, item->path, H5P_DEFAULT), was = old >= 0 ? H5Dget_create_plist(old) : -1, space = old >= 0 ? H5Dget_space(old) : -1;
    hsize_t chunk[SWG__FILTER_AXES];
    for (int i = 0; i < item->array.rank; i++)
        chunk[i] = (hsize_t)item->array.chunk[i];
    hid_t list = was >= 0 ? swg__h5_list_like(was, &item->array, chunk) : -1, made = -1;
    bool good = list >= 0 && space >= 0 &&
                (made = H5Dcreate2(c->to, item->path, swg__h5_stored(item->array.type, item->array.big_endian), space, H5P_DEFAULT, list, H5P_DEFAULT)) >= 0 &&
                H5Dwrite(made, swg__h5_native(item->array.type), H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0;
    swg_status status = good ? SWG_OK : swg__h5_copy_fail(c, "write dataset", item->path);
    if (made >= 0)
        H5Dclose(made);
    if (list >= 0)
        H5Pclose(list);
    if (space >= 0)
        H5Sclose(space);
    if (was >= 0)
        H5Pclose(was);
    if (old >= 0)
        H5Dclose(old);
    return status;
}

static swg_status restore_item(swg__h5_copier *c, int64_t index, swg_archive_row *row) {
    const swg__h5_item *item = &c->tree->items[index];
    swg__h5_facts facts = {0};
    swg_status status = SWG_OK;
    void *values = NULL;
    if (item->taken) {
        values = swg__alloc(c->ctx, (size_t)row->bytes_in);
        if (!values)
            return swg__fail_memory(c->ctx, (size_t)row->bytes_in, item->path);
        int64_t before = swg__now_ns();
        status = swg__h5_read_filtered(c->ctx, c->from_path, c->from, item->path, &item->array, values, &facts);
        row->decompress_s = (double)(swg__now_ns() - before) * 1e-9;
        row->bound = facts.info.eb_abs;
        row->bytes_out = facts.stored + 4 * SWG__FILTER_FIXED_WORDS + facts.model_bytes;
    }
    swg__h5 session;
    swg__h5_enter(&session);
    if (status == SWG_OK)
        status = item->taken ? put_plain(c, item, values) : swg__h5_copy_item(c, index);
    if (status == SWG_OK && item->taken)
        status = swg__h5_copy_attributes(c, index);
    swg__h5_leave(&session);
    swg__free(c->ctx, values);
    return status;
}

static swg_status restore_all(swg_context *ctx, const opened *from, const char *path, const swg_archive_hooks *hooks, swg_archive_report *report) {
    swg_sink *sink;
    swg__h5_copier c = {.ctx = ctx, .from_path = from->path, .to_path = path, .from = from->file, .to = -1, .tree = &from->tree};
    SWG__TRY(swg__h5_copy_open(&c, &sink));
    swg_status status = SWG_OK;
    for (int64_t i = 0, row = 0; i < from->tree.count && status == SWG_OK; i++) {
        bool taken = from->tree.items[i].taken;
        if (taken)
            swg__archive_progress(hooks, row, report->count, "", from->tree.items[i].path);
        if (swg__archive_stopped(hooks))
            status = swg__fail(ctx, SWG_EINTERRUPTED, "stopped; nothing was written");
        if (status == SWG_OK)
            status = restore_item(&c, i, taken ? &report->rows[row] : NULL);
        if (status == SWG_OK)
            status = swg__direct_check(sink);
        row += taken;
    }
    if (status == SWG_OK) {
        swg__h5 session;
        swg__h5_enter(&session);
        status = swg__h5_copy_references(&c);
        swg__h5_leave(&session);
    }
    if (status == SWG_OK)
        return swg_sink_commit(sink);
    swg_sink_abort(sink);
    return status;
}

static swg_status restore_to(swg_context *ctx, opened *file, const char *folder, bool replace, const swg_archive_hooks *hooks, swg_archive_report **r) {
    const char *slash = strrchr(file->path, '/');
    swg__text output;
    SWG__TRY(take_filtered(ctx, file));
    SWG__TRY(swg__make_folders(ctx, folder));
    swg__text_init(&output, ctx);
    swg__text_printf(&output, "%s/%s", folder, slash ? slash + 1 : file->path);
    swg_status status = output.failed ? swg__fail_memory(ctx, strlen(folder), "a path") : swg__h5_check_output(ctx, output.data, file->path);
    if (status == SWG_OK && !replace && swg__exists(output.data))
        status = swg__fail(ctx, SWG_EINVAL, "%s stands there already and may be an original; choose another folder, or say --force", output.data);
    if (status == SWG_OK)
        status = swg__h5_report_open(ctx, &file->tree, file->path, r);
    if (status == SWG_OK)
        status = restore_all(ctx, file, output.data, hooks, *r);
    swg__text_free(&output);
    return status;
}

swg_status swg__h5_restore(swg_context *ctx, const char *path, const char *folder, bool replace, const swg_archive_hooks *hooks,
                           swg_archive_report **report) {
    opened file;
    swg_archive_report *r = NULL;
    swg_status status = open_tree(ctx, path, &file);
    if (status == SWG_OK)
        status = restore_to(ctx, &file, folder, replace, hooks, &r);
    close_tree(&file);
    if (status == SWG_OK)
        swg__report_sum(r);
    if (report && status == SWG_OK)
        *report = r;
    else
        swg_archive_report_free(r);
    return status;
}
