/* restore.c - a .swz back to HDF5 files, one per source, each there whole or not at all.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "archive/archive.h"
#include "h5file/h5file.h"

/* A member on its way into a file. */
typedef struct item {
    const swg_swz_info *info;
    swg__member_facts facts;
    int64_t member;
} item;

enum { WINDOW_BYTES = 64 << 20 }; /* small arrays are decompressed together, so that every core has a chunk */

typedef struct restorer {
    swg_context *ctx;
    const swg_swz *swz;
    const item *items;            /* in the order of restoring */
    int64_t count;
    const item *window;           /* items that are decompressed already, one behind the other */
    int64_t in_window;
    char *values;
    bool *damaged;
    const swg_archive_hooks *hooks;
    swg_archive_report *report;
    int64_t done;
    bool replace;
    swg_archive_damage *damage;   /* NULL: damage ends the work */
} restorer;

/* By file; the rows of one `var_data` first, in their old order. */
static int by_place(const void *a, const void *b) {
    const item *x = a, *y = b;
    int order = strcmp(x->info->source, y->info->source);
    bool vars = x->facts.layout == SWG_LAYOUT_VARS;
    if (order)
        return order;
    if (vars != (y->facts.layout == SWG_LAYOUT_VARS))
        return vars ? -1 : 1;
    if (vars && x->facts.row != y->facts.row)
        return x->facts.row < y->facts.row ? -1 : 1;
    return x->member < y->member ? -1 : 1;
}

/* A name from a file must stay below the folder it is restored to. */
static bool safe_path(const char *path) {
    for (const char *p = path; p; p = strchr(p, '/'), p = p ? p + 1 : NULL)
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || !p[2]))
            return false;
    return *path && *path != '/';
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

/* Decompresses the items from `first` on: as many as fit the window, one at least. */
static swg_status fill_window(restorer *w, const item *first) {
    int64_t bytes = 0, count = 0, most = w->count - (first - w->items);
    for (; count < most && (!count || bytes + first[count].info->bytes_raw <= WINDOW_BYTES); count++)
        bytes += first[count].info->bytes_raw;
    swg__free(w->ctx, w->values);
    w->values = swg__alloc(w->ctx, (size_t)bytes);
    int64_t *members = swg__calloc(w->ctx, (size_t)count, sizeof *members);
    void **out = swg__calloc(w->ctx, (size_t)count, sizeof *out);
    swg_status status = w->values && members && out ? SWG_OK : swg__fail_memory(w->ctx, (size_t)bytes, first->info->name);
    char *at = w->values;
    for (int64_t i = 0; i < count && status == SWG_OK; at += first[i++].info->bytes_raw) {
        members[i] = first[i].member;
        out[i] = at;
    }
    int64_t before = swg__now_ns();
    if (status == SWG_OK)
        status = swg_swz_read_many(w->swz, count, members, out, w->damaged + (first - w->items));
    if (status == SWG_ECORRUPT && w->damage)
        status = SWG_OK; /* told array by array */
    double seconds = (double)(swg__now_ns() - before) * 1e-9;
    for (int64_t i = 0; i < count; i++)
        w->report->rows[first[i].member].decompress_s = seconds * (double)first[i].info->bytes_raw / (double)(bytes ? bytes : 1);
    swg__free(w->ctx, out);
    swg__free(w->ctx, members);
    w->window = first;
    w->in_window = status == SWG_OK ? count : 0;
    return status;
}

/* The values of an item, which stand until those of another one are asked for. */
static swg_status take_values(restorer *w, const item *m, const char **data) {
    swg__archive_progress(w->hooks, w->done++, w->report->count, m->info->source, m->info->name);
    if (swg__archive_stopped(w->hooks))
        return swg__fail(w->ctx, SWG_EINTERRUPTED, "stopped; \"%s\" was not written", m->info->source);
    if (m - w->window >= w->in_window)
        SWG__TRY(fill_window(w, m));
    *data = w->values;
    for (const item *i = w->window; i < m; i++)
        *data += i->info->bytes_raw;
    if (w->damaged[m - w->items] && w->damage) { /* what is damaged is zero, the rest is right */
        (void)swg_swz_verify(w->swz, m->member); /* once more, for the reason */
        swg__log(w->ctx, SWG_LOG_WARNING, "%s; its values are zero", swg_context_message(w->ctx));
        w->damage->arrays++;
    }
    return SWG_OK;
}

/* Layout `vars`: all members become one dataset `var_data` again, and their names `vars`. */
static swg_status put_vars(restorer *w, swg_sink *sink, const item *first, int64_t count) {
    const swg_swz_info *head = first->info;
    int64_t bytes, dims[5] = {count};
    for (int64_t i = 1; i < count; i++)
        if (first[i].info->type != head->type || first[i].info->ndim != head->ndim || memcmp(first[i].info->dims, head->dims, sizeof head->dims) != 0)
            return swg__fail(w->ctx, SWG_EFORMAT, "%s: the variables of one `var_data` differ in type or shape", head->source);
    if (swg__mul_overflow(count, head->bytes_raw, &bytes))
        return swg__fail(w->ctx, SWG_EFORMAT, "%s: `var_data` is too large to address", head->source);
    char *joined = swg__alloc(w->ctx, (size_t)bytes);
    const char **names = swg__calloc(w->ctx, (size_t)count, sizeof *names);
    swg_status status = joined && names ? SWG_OK : swg__fail_memory(w->ctx, (size_t)bytes, head->source);
    for (int64_t i = 0; i < count && status == SWG_OK; i++) {
        const char *values;
        names[i] = first[i].info->name;
        status = take_values(w, &first[i], &values);
        if (status == SWG_OK)
            memcpy(joined + i * head->bytes_raw, values, (size_t)head->bytes_raw);
    }
    memcpy(dims + 1, head->dims, sizeof head->dims);
    if (status == SWG_OK)
        status = swg_sink_put_names(sink, "vars", names, count);
    if (status == SWG_OK)
        status = swg_sink_put(sink, "var_data", head->type, head->ndim + 1, dims, joined, &(swg_sink_opts){.big_endian = first->facts.big_endian});
    if (status == SWG_OK && first->facts.has_time)
        status = swg_sink_number(sink, "/", "time", first->facts.time);
    swg__free(w->ctx, names);
    swg__free(w->ctx, joined);
    return status;
}

static swg_status put_array(restorer *w, swg_sink *sink, const item *m) {
    const char *dataset = *m->facts.path ? m->facts.path : *m->info->name ? m->info->name : "data";
    const char *data;
    swg_status status = take_values(w, m, &data);
    if (status == SWG_OK)
        status = swg_sink_put(sink, dataset, m->info->type, m->info->ndim, m->info->dims, data, &(swg_sink_opts){.big_endian = m->facts.big_endian});
    if (status == SWG_OK && m->facts.has_time)
        status = swg_sink_number(sink, dataset, "time", m->facts.time);
    if (status == SWG_OK && m->facts.fill)
        status = swg_sink_number(sink, dataset, m->facts.fill, swg_fill_number(m->info->type, m->facts.fill_bits));
    return status;
}

/* All members of one source into one file. */
static swg_status restore_file(restorer *w, const char *folder, const item *first, int64_t count) {
    char path[4096];
    swg_sink *sink;
    int64_t vars = 0;
    while (vars < count && first[vars].facts.layout == SWG_LAYOUT_VARS)
        vars++;
    SWG__TRY(output_path(w->ctx, folder, first->info, path, sizeof path));
    if (!w->replace && swg__exists(path))
        return swg__fail(w->ctx, SWG_EINVAL, "%s stands there already and may be an original; choose another folder, or say --force", path);
    SWG__TRY(swg_sink_open(w->ctx, path, &sink));
    swg_status status = vars ? put_vars(w, sink, first, vars) : SWG_OK;
    for (int64_t i = vars; i < count && status == SWG_OK; i++)
        status = put_array(w, sink, &first[i]);
    if (status == SWG_OK)
        return swg_sink_commit(sink);
    swg_sink_abort(sink);
    return status;
}

static swg_status restore_all(restorer *w, const char *folder) {
    int64_t count = w->report->count;
    item *items = swg__calloc(w->ctx, (size_t)count + 1, sizeof *items);
    w->damaged = swg__calloc(w->ctx, (size_t)count + 1, sizeof *w->damaged);
    w->items = w->window = items;
    w->count = count;
    swg_status status = items && w->damaged ? SWG_OK : swg__fail_memory(w->ctx, (size_t)count * sizeof *items, "members");
    for (int64_t i = 0; i < count && status == SWG_OK; i++) {
        items[i] = (item){.info = swg_swz_member(w->swz, i), .member = i};
        swg__facts_read(items[i].info->attributes, &items[i].facts);
    }
    if (status == SWG_OK)
        qsort(items, (size_t)count, sizeof *items, by_place);
    for (int64_t begin = 0, end; begin < count && status == SWG_OK; begin = end) {
        for (end = begin + 1; end < count && strcmp(items[begin].info->source, items[end].info->source) == 0;)
            end++;
        status = restore_file(w, folder, items + begin, end - begin);
    }
    swg__free(w->ctx, w->values);
    swg__free(w->ctx, w->damaged);
    swg__free(w->ctx, items);
    return status;
}

static swg_status restore(swg_context *ctx, const char *path, const char *folder, bool replace, const swg_archive_hooks *hooks,
                          swg_archive_damage *damage, swg_archive_report **report) {
    swg_swz *swz;
    swg_archive_report *r = NULL;
    if (report)
        *report = NULL;
    if (!damage && swg__h5_is_file(path))
        return swg__h5_restore(ctx, path, folder, replace, hooks, report);
    SWG__TRY(damage ? swg_swz_open_last(ctx, path, &swz, &damage->bytes) : swg_swz_open(ctx, path, &swz));
    swg_status status = swg__report_open(ctx, path, swz, &r);
    if (status == SWG_OK)
        status = restore_all(&(restorer){.ctx = ctx, .swz = swz, .hooks = hooks, .report = r, .replace = replace, .damage = damage}, folder);
    swg_swz_close(swz);
    if (status == SWG_OK)
        swg__report_sum(r);
    if (report && status == SWG_OK)
        *report = r;
    else
        swg_archive_report_free(r);
    return status;
}

swg_status swg_archive_restore(swg_context *ctx, const char *path, const char *folder, bool replace, const swg_archive_hooks *hooks,
                               swg_archive_report **report) {
    return restore(ctx, path, folder, replace, hooks, NULL, report);
}

swg_status swg_archive_salvage(swg_context *ctx, const char *path, const char *folder, bool replace, const swg_archive_hooks *hooks,
                               swg_archive_damage *damage, swg_archive_report **report) {
    *damage = (swg_archive_damage){0};
    return restore(ctx, path, folder, replace, hooks, damage, report);
}
