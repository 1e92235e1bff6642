/* verify.c - checks a .swz: checksums and streams, the stored audit, and every value against the originals where they are given.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "archive/archive.h"
#include "h5file/h5file.h"

/* ---- originals ---- */

/* All names a .swz holds, as a pattern list for the reader; what means something in a pattern stands for any character. */
static swg_status name_patterns(swg_context *ctx, const swg_swz *swz, swg__text *out) {
    swg__text_init(out, ctx);
    for (int64_t i = 0; i < swg_swz_count(swz); i++) {
        const char *name = swg_swz_member(swz, i)->name;
        if (swg_swz_find(swz, NULL, name) != i)
            continue;
        size_t start = out->length + (out->length > 0), length = strlen(name);
        swg__text_printf(out, "%s%s", out->length ? "," : "", length ? name : "*");
        for (size_t c = 0; c < length && !out->failed; c++)
            if (name[c] == ',' || ((c == 0 || c + 1 == length) && name[c] == ' '))
                out->data[start + c] = '?';
    }
    return out->failed ? swg__fail_memory(ctx, 0, "names") : SWG_OK;
}

swg_status swg__originals_open(swg_context *ctx, const swg_swz *swz, const char *original, swg_source **out) {
    swg__member_facts facts, first;
    swg__text names;
    *out = NULL;
    bool one_layout = swg_swz_count(swz) > 0;
    for (int64_t i = 0; i < swg_swz_count(swz); i++) {
        swg__facts_read(swg_swz_member(swz, i)->attributes, i ? &facts : &first);
        one_layout = one_layout && *swg_swz_member(swz, i)->attributes && (i == 0 || facts.layout == first.layout);
    }
    swg_status status = name_patterns(ctx, swz, &names);
    if (status == SWG_OK) {
        swg_source_opts opts = {.vars = names.data, .missing = "skip", .any = true, .layout = one_layout ? swg_layout_name(first.layout) : NULL};
        status = swg_source_open(ctx, original, &opts, out);
    }
    swg__text_free(&names);
    return status;
}

static bool one_source(const swg_swz *swz) {
    for (int64_t i = 1; i < swg_swz_count(swz); i++)
        if (strcmp(swg_swz_member(swz, i)->source, swg_swz_member(swz, 0)->source) != 0)
            return false;
    return true;
}

swg_status swg__original_find(swg_context *ctx, const swg_swz *swz, const swg_swz_info *info, const swg_source *source, const char *root,
                              int64_t *from, int64_t *index) {
    int64_t count = swg_source_count(source), found = 0;
    /* A stream on its own knows no file; one file against one file may have been renamed. */
    bool any_file = !*info->source || (swg_source_files(source) == 1 && one_source(swz));
    for (int64_t k = 0; k < count && (found == 0 || any_file); k++) {
        int64_t i = (*from + k) % count;
        const swg_array *a = swg_source_array(source, i);
        if ((strcmp(a->variable, info->name) == 0 || !*info->name) &&
            (any_file || strcmp(swg__relative_source(root, a->file), info->source) == 0)) {
            *index = i;
            found++;
        }
    }
    if (found == 0)
        return swg__fail(ctx, SWG_ENOTFOUND, "%s has no \"%s\" of file \"%s\" to compare with", root, info->name, info->source);
    if (found > 1)
        return swg__fail(ctx, SWG_EINVAL, "%s has \"%s\" %lld times and the .swz does not say which it is; give one file", root, info->name,
                         (long long)found);
    *from = *index + 1;
    return SWG_OK;
}

/* ---- one member ---- */

/* A member on its way through the check. */
typedef struct member {
    int64_t original;         /* in the source, -1 none: then nothing but the streams is checked and no memory for the values is needed */
    swg_status status;
    char message[512];        /* of a failure */
} member;

typedef struct job {
    swg_context *ctx;
    const swg_swz *swz;
    const swg__check *how;
    swg_archive_report *report;
    pthread_mutex_t lock;     /* of the source and the hooks, while members are worked on side by side */
    member *members;
    double *took;             /* of each member of the batch */
    int64_t first, begun;
} job;

static swg_status compare(job *j, const swg_swz_info *info, int64_t index, const void *restored, swg_archive_row *row) {
    const swg_array *array = swg_source_array(j->how->source, index);
    if (array->element != info->type || array->ndim != info->ndim || memcmp(array->dims, info->dims, (size_t)info->ndim * sizeof info->dims[0]) != 0)
        return swg__fail(j->ctx, SWG_ESHAPE, "\"%s\" of \"%s\" has another type or shape than the original %s", info->name, info->source, array->file);
    void *data = swg__alloc(j->ctx, (size_t)info->bytes_raw);
    if (!data)
        return swg__fail_memory(j->ctx, (size_t)info->bytes_raw, info->name);
    swg_codec_array original = swg__codec_array_of(array, data);
    swg_codec_gap gap;
    pthread_mutex_lock(&j->lock);
    swg_status status = swg_source_read(j->how->source, index, data);
    pthread_mutex_unlock(&j->lock);
    if (status == SWG_OK)
        status = swg_codec_audit(j->ctx, &original, restored, info, &gap);
    if (status == SWG_OK)
        swg__row_compare(row, &gap, info);
    swg__free(j->ctx, data);
    return status;
}

static swg_status check_member(job *j, int64_t i, double *took) {
    const swg_swz_info *info = swg_swz_member(j->swz, i);
    const int64_t index = j->members[i].original;
    pthread_mutex_lock(&j->lock);
    if (!swg__archive_stopped(j->how->hooks))
        swg__archive_progress(j->how->hooks, j->how->done + j->begun++, j->how->done + j->report->count, info->source, info->name);
    bool stopped = swg__archive_stopped(j->how->hooks);
    pthread_mutex_unlock(&j->lock);
    if (stopped)
        return SWG_EINTERRUPTED;
    void *data = index < 0 ? NULL : swg__alloc(j->ctx, (size_t)info->bytes_raw);
    if (index >= 0 && !data)
        return swg__fail_memory(j->ctx, (size_t)info->bytes_raw, info->name);
    int64_t before = swg__now_ns();
    swg_status status = data ? swg_swz_read(j->swz, i, data, (size_t)info->bytes_raw) : swg_swz_verify(j->swz, i);
    *took = (double)(swg__now_ns() - before) * 1e-9;
    if (status == SWG_OK && data)
        status = compare(j, info, index, data, &j->report->rows[i]);
    swg__free(j->ctx, data);
    return status;
}

static void check_task(void *arg, int64_t task, int worker) {
    (void)worker;
    job *j = arg;
    member *m = &j->members[j->first + task];
    m->status = check_member(j, j->first + task, &j->took[task]);
    if (m->status != SWG_OK)
        snprintf(m->message, sizeof m->message, "%s", swg__own_message());
}

/* ---- all ---- */

/* Members of a batch side by side, the first failure in their order. */
static swg_status check_batch(job *j, int64_t count) {
    for (int64_t k = 0; k < count; k++)
        j->took[k] = 0;
    swg__batch_run(j->ctx, count, check_task, j, j->took);
    for (int64_t k = 0; k < count; k++) {
        const member *m = &j->members[j->first + k];
        j->report->rows[j->first + k].decompress_s = j->took[k];
        if (m->status != SWG_OK)
            return m->status == SWG_EINTERRUPTED ? swg__fail(j->ctx, m->status, "stopped") : swg__fail(j->ctx, m->status, "%s", m->message);
    }
    return SWG_OK;
}

static swg_status find_originals(job *j) {
    int64_t from = 0;
    for (int64_t i = 0; i < j->report->count; i++) {
        j->members[i].original = -1;
        if (j->how->source)
            SWG__TRY(swg__original_find(j->ctx, j->swz, swg_swz_member(j->swz, i), j->how->source, j->how->root, &from, &j->members[i].original));
        if (j->how->compress_s)
            j->report->rows[i].compress_s = j->how->compress_s[j->members[i].original];
    }
    return SWG_OK;
}

static swg_status check_all(swg_context *ctx, const swg_swz *swz, const swg__check *how, swg_archive_report *r) {
    job j = {.ctx = ctx, .swz = swz, .how = how, .report = r};
    j.members = swg__calloc(ctx, (size_t)r->count + 1, sizeof *j.members);
    j.took = swg__calloc(ctx, (size_t)r->count + 1, sizeof *j.took);
    int64_t *sizes = swg__calloc(ctx, 2 * (size_t)r->count + 1, sizeof *sizes), *bytes = sizes ? sizes + r->count : NULL;
    pthread_mutex_init(&j.lock, NULL);
    swg_status status = j.members && j.took && sizes ? find_originals(&j) : swg__fail_memory(ctx, (size_t)r->count * sizeof *j.members, "members");
    for (int64_t i = 0; i < r->count && status == SWG_OK; i++) {
        sizes[i] = swg_swz_member(swz, i)->values;
        bytes[i] = 2 * swg_swz_member(swz, i)->bytes_raw; /* restored and original */
    }
    for (int64_t n; j.first < r->count && status == SWG_OK && !how->headers_only; j.first += n) {
        n = swg__batch_count(ctx, how->jobs, r->count - j.first, sizes + j.first, bytes + j.first);
        status = check_batch(&j, n);
    }
    pthread_mutex_destroy(&j.lock);
    swg__free(ctx, sizes);
    swg__free(ctx, j.took);
    swg__free(ctx, j.members);
    return status;
}

static swg_status check_open(swg_context *ctx, const char *path, const swg_swz *swz, const swg__check *how, swg_archive_report **out) {
    swg_archive_report *r;
    SWG__TRY(swg__report_open(ctx, path, swz, &r));
    swg_status status = check_all(ctx, swz, how, r);
    if (status != SWG_OK) {
        swg_archive_report_free(r);
        return status;
    }
    swg__report_sum(r);
    *out = r;
    if (r->total.violations > 0)
        return swg__fail(ctx, SWG_EBOUND, "%s: %lld values are outside the bound", path, (long long)r->total.violations);
    return SWG_OK;
}

swg_status swg__archive_check(swg_context *ctx, const char *path, const swg__check *how, swg_archive_report **report) {
    swg_swz *swz;
    *report = NULL;
    SWG__TRY(swg_swz_open(ctx, path, &swz));
    swg_status status = check_open(ctx, path, swz, how, report);
    swg_swz_close(swz);
    return status;
}

swg_status swg_archive_verify(swg_context *ctx, const char *path, const char *original, const swg_archive_hooks *hooks,
                              swg_archive_report **report) {
    swg_swz *swz;
    swg_archive_report *r = NULL;
    swg__check how = {.root = original, .hooks = hooks};
    if (report)
        *report = NULL;
    if (swg__h5_is_file(path))
        return swg__h5_verify(ctx, path, original, hooks, report);
    SWG__TRY(swg_swz_open(ctx, path, &swz));
    swg_status status = original ? swg__originals_open(ctx, swz, original, &how.source) : SWG_OK;
    if (status == SWG_OK)
        status = check_open(ctx, path, swz, &how, &r);
    swg_source_close(how.source);
    swg_swz_close(swz);
    if (report)
        *report = r;
    else
        swg_archive_report_free(r);
    return status;
}
