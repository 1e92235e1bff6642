/* subset.c - parts of a .swz's members, as Python would slice them, to HDF5, .npy or raw bytes; only the chunks touched are read.
 * In: "U_CHI[10:20,:,5],U_GT*[...,0]". Out: one file, there whole or not at all.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "archive/archive.h"
#include "data/npy.h"

/* One entry between the brackets. */
typedef struct range {
    enum { SLICE, INDEX, ELLIPSIS } kind;
    bool has_from, has_to;
    int64_t from, to;       /* as written, may be negative */
} range;

enum { MOST_RANGES = 8, PATTERN = 512 };

/* One item of the list: a pattern over names, or over source:name, and its ranges. */
typedef struct selection {
    char pattern[PATTERN];
    range range[MOST_RANGES];
    int ranges;
} selection;

/* What is taken of one member. */
typedef struct part {
    int64_t member;
    int64_t origin[4], extent[4];
    int ndim;
    int64_t dims[4];        /* without the axes that have an index */
    int64_t values;
} part;

/* ---- the words ---- */

static const char *skip_blanks(const char *p) { return p + strspn(p, " "); }

/* An integer, or nothing. *text moves on. */
static swg_status read_number(swg_context *ctx, const char *spec, const char **text, bool *has, int64_t *value) {
    char *end;
    *text = skip_blanks(*text);
    *has = strchr("+-0123456789", **text) && **text;
    if (!*has)
        return SWG_OK;
    errno = 0;
    *value = strtoll(*text, &end, 10);
    if (end == *text || errno)
        return swg__fail(ctx, SWG_EUSAGE, "slice \"%s\": expected an integer at \"%.12s\"", spec, *text);
    *text = skip_blanks(end);
    return SWG_OK;
}

/* "10:20", ":", "-1", "..."; stops before "," or "]". */
static swg_status read_range(swg_context *ctx, const char *spec, const char **text, range *r) {
    *r = (range){0};
    *text = skip_blanks(*text);
    if (strncmp(*text, "...", 3) == 0) {
        r->kind = ELLIPSIS;
        *text = skip_blanks(*text + 3);
        return SWG_OK;
    }
    SWG__TRY(read_number(ctx, spec, text, &r->has_from, &r->from));
    if (**text != ':') {
        r->kind = INDEX;
        return r->has_from ? SWG_OK : swg__fail(ctx, SWG_EUSAGE, "slice \"%s\": expected FROM:TO, an index or ... at \"%.12s\"", spec, *text);
    }
    ++*text;
    SWG__TRY(read_number(ctx, spec, text, &r->has_to, &r->to));
    if (**text == ':') {
        bool has = false;
        int64_t step = 1;
        ++*text;
        SWG__TRY(read_number(ctx, spec, text, &has, &step));
        if (has && step != 1)
            return swg__fail(ctx, SWG_EUSAGE, "slice \"%s\": steps are not supported; take FROM:TO and thin the result out", spec);
    }
    return SWG_OK;
}

/* One item of the list; *text moves on to the next one. */
static swg_status read_selection(swg_context *ctx, const char *spec, const char **text, selection *s) {
    *s = (selection){0};
    const char *start = skip_blanks(*text);
    size_t length = strcspn(start, "[,");
    *text = start + length;
    while (length && start[length - 1] == ' ')
        length--;
    if (!length || length >= PATTERN)
        return swg__fail(ctx, SWG_EUSAGE, "slice \"%s\": expected the name of a variable at \"%.12s\", as in U_CHI[10:20,:,5]", spec, start);
    memcpy(s->pattern, start, length);
    if (**text == '[') {
        bool ellipsis = false;
        do {
            ++*text;
            if (s->ranges == MOST_RANGES)
                return swg__fail(ctx, SWG_EUSAGE, "slice \"%s\": too many axes", spec);
            SWG__TRY(read_range(ctx, spec, text, &s->range[s->ranges]));
            if (s->range[s->ranges].kind == ELLIPSIS && ellipsis)
                return swg__fail(ctx, SWG_EUSAGE, "slice \"%s\": only one ... is possible", spec);
            ellipsis = ellipsis || s->range[s->ranges].kind == ELLIPSIS;
            s->ranges++;
        } while (**text == ',');
        if (**text != ']')
            return swg__fail(ctx, SWG_EUSAGE, "slice \"%s\": expected , or ] at \"%.12s\"", spec, *text);
        *text = skip_blanks(*text + 1);
    }
    if (**text && **text != ',')
        return swg__fail(ctx, SWG_EUSAGE, "slice \"%s\": expected a comma at \"%.12s\"", spec, *text);
    *text += **text == ',';
    return SWG_OK;
}

/* ---- from words to a box ---- */

static int64_t clamped(int64_t at, int64_t n) {
    at = at < 0 ? at + n : at;
    return at < 0 ? 0 : at > n ? n : at;
}

static swg_status resolve(swg_context *ctx, const char *spec, const selection *s, const swg_swz_info *info, part *out) {
    int given = s->ranges, axis = 0;
    for (int i = 0; i < s->ranges; i++)
        given -= s->range[i].kind == ELLIPSIS;
    if (given > info->ndim)
        return swg__fail(ctx, SWG_EUSAGE, "slice \"%s\": %d axes given, \"%s\" has %d", spec, given, info->name, info->ndim);
    out->ndim = 0;
    out->values = 1;
    for (int i = 0; i <= s->ranges; i++) {
        const range whole = {.kind = SLICE}, *r = i < s->ranges ? &s->range[i] : &whole;
        /* "..." stands for the axes not given; so does the end of the list. */
        int count = i == s->ranges ? info->ndim - axis : r->kind == ELLIPSIS ? info->ndim - given : 1;
        for (int k = 0; k < count; k++, axis++) {
            const int64_t n = info->dims[axis];
            int64_t from = r->has_from ? r->from : 0, to;
            if (r->kind == INDEX) {
                from = from < 0 ? from + n : from;
                if (from < 0 || from >= n)
                    return swg__fail(ctx, SWG_EUSAGE, "slice \"%s\": index %lld is outside axis %d of \"%s\", which has %lld", spec, (long long)r->from, axis,
                                     info->name, (long long)n);
                to = from + 1;
            } else {
                from = clamped(from, n);
                to = r->has_to ? clamped(r->to, n) : n;
                if (to <= from)
                    return swg__fail(ctx, SWG_EUSAGE, "slice \"%s\": nothing is left of axis %d of \"%s\", which has %lld", spec, axis, info->name, (long long)n);
                out->dims[out->ndim++] = to - from;
            }
            out->origin[axis] = from;
            out->extent[axis] = to - from;
            out->values *= to - from;
        }
    }
    return SWG_OK;
}

/* Does the pattern mean this member? With a colon it is over source:name. */
static bool means(const selection *s, const swg_swz_info *info) {
    char full[PATTERN * 2];
    if (swg__glob(s->pattern, info->name))
        return true;
    return snprintf(full, sizeof full, "%s:%s", info->source, info->name) < (int)sizeof full && swg__glob(s->pattern, full);
}

/* All parts a list selects, in its order; free with swg__free. */
static swg_status select_parts(swg_context *ctx, const swg_swz *swz, const char *spec, part **out, int64_t *count) {
    int64_t members = swg_swz_count(swz);
    part *parts = swg__calloc(ctx, (size_t)members + 1, sizeof *parts);
    *out = parts;
    *count = 0;
    if (!parts)
        return swg__fail_memory(ctx, (size_t)members * sizeof *parts, "slices");
    if (!*skip_blanks(spec))
        return swg__fail(ctx, SWG_EUSAGE, "slice \"\": expected the name of a variable, as in U_CHI[10:20,:,5]");
    for (const char *text = spec; *text;) {
        selection s;
        bool any = false;
        SWG__TRY(read_selection(ctx, spec, &text, &s));
        for (int64_t m = 0; m < members; m++) {
            if (!means(&s, swg_swz_member(swz, m)))
                continue;
            any = true;
            for (int64_t i = 0; i < *count; i++)
                if (parts[i].member == m)
                    return swg__fail(ctx, SWG_EUSAGE, "slice \"%s\": \"%s\" is selected twice", spec, swg_swz_member(swz, m)->name);
            parts[*count].member = m;
            SWG__TRY(resolve(ctx, spec, &s, swg_swz_member(swz, m), &parts[*count]));
            ++*count;
        }
        if (!any)
            return swg__fail(ctx, SWG_ENOTFOUND, "slice \"%s\": nothing is called \"%s\"; `swage info` lists what there is", spec, s.pattern);
    }
    return SWG_OK;
}

/* ---- output ---- */

static swg_status read_part(swg_context *ctx, const swg_swz *swz, const part *p, void **data, size_t *bytes) {
    const swg_swz_info *info = swg_swz_member(swz, p->member);
    *bytes = (size_t)(p->values * swg_element_bytes(info->type));
    *data = swg__alloc(ctx, *bytes);
    if (!*data)
        return swg__fail_memory(ctx, *bytes, info->name);
    return swg_swz_read_box(swz, p->member, p->origin, p->extent, *data, *bytes);
}

/* Name of the dataset: as it was, below the name of its file where several files are in play. */
static swg_status put_part(swg_context *ctx, const swg_swz *swz, const part *p, bool files, swg_sink *sink) {
    static const int64_t one[1] = {1};
    const swg_swz_info *info = swg_swz_member(swz, p->member);
    swg__member_facts facts;
    swg__text name;
    void *data = NULL;
    size_t bytes = 0;
    swg__text_init(&name, ctx);
    swg__facts_read(info->attributes, &facts);
    const char *own = *facts.path && facts.layout != SWG_LAYOUT_VARS ? facts.path : *info->name ? info->name : "data";
    swg__text_printf(&name, "%s%s%s", files ? info->source : "", files && *info->source ? "/" : "", own);
    swg_status status = name.failed ? swg__fail_memory(ctx, strlen(own), "a name") : read_part(ctx, swz, p, &data, &bytes);
    if (status == SWG_OK)
        status = swg_sink_put(sink, name.data, info->type, p->ndim ? p->ndim : 1, p->ndim ? p->dims : one, data,
                              &(swg_sink_opts){.big_endian = facts.big_endian});
    if (status == SWG_OK)
        status = swg_sink_integers(sink, name.data, "origin", p->origin, info->ndim);
    if (status == SWG_OK && facts.has_time)
        status = swg_sink_number(sink, name.data, "time", facts.time);
    swg__free(ctx, data);
    swg__text_free(&name);
    return status;
}

static swg_status write_hdf5(swg_context *ctx, const swg_swz *swz, const part *parts, int64_t count, const char *output) {
    swg_sink *sink;
    bool files = false;
    for (int64_t i = 1; i < count; i++)
        files = files || strcmp(swg_swz_member(swz, parts[i].member)->source, swg_swz_member(swz, parts[0].member)->source) != 0;
    SWG__TRY(swg_sink_open(ctx, output, &sink));
    swg_status status = SWG_OK;
    for (int64_t i = 0; i < count && status == SWG_OK; i++)
        status = put_part(ctx, swz, &parts[i], files, sink);
    if (status == SWG_OK)
        return swg_sink_commit(sink);
    swg_sink_abort(sink);
    return status;
}

static swg_status write_plain(swg_context *ctx, const swg_swz *swz, const part *p, bool numpy, const char *output) {
    swg__writer writer;
    swg__text head;
    void *data = NULL;
    size_t bytes = 0;
    swg__text_init(&head, ctx);
    if (numpy)
        swg__npy_head(swg_swz_member(swz, p->member)->type, p->ndim, p->dims, &head);
    swg_status status = head.failed ? swg__fail_memory(ctx, 128, output) : read_part(ctx, swz, p, &data, &bytes);
    if (status == SWG_OK)
        status = swg__writer_open(&writer, ctx, output);
    if (status == SWG_OK) {
        status = swg__writer_write(&writer, head.data, head.length);
        if (status == SWG_OK)
            status = swg__writer_write(&writer, data, bytes);
        if (status == SWG_OK)
            status = swg__writer_commit(&writer);
        else
            swg__writer_abort(&writer);
    }
    swg__free(ctx, data);
    swg__text_free(&head);
    return status;
}

static bool ends_in(const char *text, const char *ending) {
    size_t length = strlen(text), n = strlen(ending);
    return length > n && strcmp(text + length - n, ending) == 0;
}

static swg_status write_parts(swg_context *ctx, const swg_swz *swz, const part *parts, int64_t count, const char *output, bool replace) {
    bool numpy = ends_in(output, ".npy"), raw = ends_in(output, ".raw") || ends_in(output, ".bin");
    if (!numpy && !raw && !ends_in(output, ".h5") && !ends_in(output, ".hdf5"))
        return swg__fail(ctx, SWG_EUSAGE, "%s: expected a name that ends in .h5, .hdf5, .npy, .raw or .bin", output);
    if ((numpy || raw) && count != 1)
        return swg__fail(ctx, SWG_EUSAGE, "%s: holds one array, %lld are selected; write .h5", output, (long long)count);
    if (!replace && swg__exists(output))
        return swg__fail(ctx, SWG_EINVAL, "%s stands there already; choose another name, or say --force", output);
    return numpy || raw ? write_plain(ctx, swz, parts, numpy, output) : write_hdf5(ctx, swz, parts, count, output);
}

swg_status swg_archive_slice(swg_context *ctx, const char *path, const char *spec, const char *output, bool replace, swg_archive_subset *out) {
    swg_swz *swz;
    part *parts = NULL;
    swg_archive_subset sums = {0};
    SWG__TRY(swg_swz_open(ctx, path, &swz));
    swg_status status = select_parts(ctx, swz, spec, &parts, &sums.arrays);
    if (status == SWG_OK)
        status = write_parts(ctx, swz, parts, sums.arrays, output, replace);
    for (int64_t i = 0; i < sums.arrays && status == SWG_OK; i++) {
        sums.values += parts[i].values;
        sums.bytes += parts[i].values * swg_element_bytes(swg_swz_member(swz, parts[i].member)->type);
    }
    sums.bytes_read = swg_swz_bytes_read(swz);
    if (out)
        *out = sums;
    swg__free(ctx, parts);
    swg_swz_close(swz);
    return status;
}
