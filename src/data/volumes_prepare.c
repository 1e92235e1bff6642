/* volumes_prepare.c - the part of a transform that is the same in every epoch: read, pick, resample, scale values.
 * In: a file or array, plane by plane, and a key. Out: (C, Z, Y, X) f32.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "data/transform.h"
#include "data/volumes_inside.h"
#include "swage/stack.h"

/* ---- where planes come from ---- */

enum { T, C, Z, Y, X, AXES };

struct reader {
    const swg__volumes *volumes;
    const swg__volume_entry *entry;
    swg_stack *stack;                   /* NULL: the entry's array */
    int64_t extent[AXES], stride[AXES]; /* strides of an array, in elements */
    int64_t base;                       /* its first element */
};

static const char *layout_of(const swg__volumes *volumes, const swg__volume_array *array) {
    return array->layout ? array->layout : array->ndim == 4 ? "CZYX" : array->ndim == 3 && volumes->dims == 2 ? "CYX" : NULL;
}

static swg_status open_array(struct reader *r) {
    static const char letters[] = "BCZYX";
    const swg__volume_entry *entry = r->entry;
    const swg__volume_array *array = entry->array;
    swg_context *ctx = r->volumes->ctx;
    const char *layout = layout_of(r->volumes, array);
    int64_t stride = 1;
    unsigned seen = 0;
    if (!layout)
        return swg__fail(ctx, SWG_EINVAL, "%s: %d axes: say what they are with layout, such as ZYX or BCZYX", entry->path, array->ndim);
    bool good = strlen(layout) == (size_t)array->ndim && array->ndim >= 2 && array->ndim <= 5;
    for (int i = 0; i < AXES; i++)
        r->extent[i] = 1;
    for (int i = array->ndim - 1; good && i >= 0; i--) {
        const char *letter = strchr(letters, layout[i]);
        const int axis = letter ? (int)(letter - letters) : 0;
        good = letter && !(seen >> axis & 1);
        seen |= 1u << axis;
        if (good && array->dims[i] < 1)
            return swg__fail(ctx, SWG_ESHAPE, "%s: its axis %c has no extent", entry->path, layout[i]);
        if (axis == 0)
            r->base = entry->array_row * stride;
        else
            r->extent[axis] = array->dims[i];
        r->stride[axis] = stride;
        if (good && swg__mul_overflow(stride, array->dims[i], &stride))
            return swg__fail(ctx, SWG_ESHAPE, "%s: is too large to address", entry->path);
    }
    if (!good || !(seen >> Y & 1) || !(seen >> X & 1))
        return swg__fail(ctx, SWG_EINVAL, "%s: layout=%s of %d axes: expected a letter per axis of B C Z Y X, each once, Y and X among them", entry->path, layout,
                         array->ndim);
    return SWG_OK;
}

static swg_status reader_open(const swg__volumes *volumes, const swg__volume_entry *entry, struct reader *r) {
    *r = (struct reader){.volumes = volumes, .entry = entry};
    if (entry->array)
        return open_array(r);
    const swg_stack_opts opts = {.layout = *entry->key.layout ? entry->key.layout : NULL, .nonfinite = "zero"};
    SWG__TRY(swg_stack_open(volumes->ctx, entry->path, &opts, &r->stack));
    const swg_stack_info *info = swg_stack_about(r->stack);
    const int64_t extent[AXES] = {info->t, info->c, info->z, info->y, info->x};
    memcpy(r->extent, extent, sizeof extent);
    return SWG_OK;
}

static float array_value(swg_element element, const void *values, int64_t i) {
    switch (element) {
    case SWG_ELEMENT_F32: return ((const float *)values)[i];
    case SWG_ELEMENT_F64: return (float)((const double *)values)[i];
    case SWG_ELEMENT_I8: return (float)((const int8_t *)values)[i];
    case SWG_ELEMENT_U8: return (float)((const uint8_t *)values)[i];
    case SWG_ELEMENT_I16: return (float)((const int16_t *)values)[i];
    case SWG_ELEMENT_U16: return (float)((const uint16_t *)values)[i];
    case SWG_ELEMENT_I32: return (float)((const int32_t *)values)[i];
    case SWG_ELEMENT_U32: return (float)((const uint32_t *)values)[i];
    case SWG_ELEMENT_I64: return (float)((const int64_t *)values)[i];
    case SWG_ELEMENT_U64: return (float)((const uint64_t *)values)[i];
    }
    return 0;
}

/* ---- what is taken ---- */

struct box {
    int channels[SWG__VOLUME_CHANNELS];
    int channel_count;              /* read */
    bool all, mean;                 /* all of the file; their mean is one channel */
    int64_t first[3], count[3];     /* z, y, x as read */
    bool maximum;                   /* over z */
};

/* Index of a channel by number or name. */
static swg_status find_channel(const struct reader *r, const char *word, int *out) {
    swg_context *ctx = r->volumes->ctx;
    const char *path = r->entry->path;
    const long long count = (long long)r->extent[C];
    if (strspn(word, "0123456789") == strlen(word)) {
        int64_t index = 0;
        for (const char *p = word; *p && index <= count; p++)
            index = 10 * index + (*p - '0');
        *out = (int)index;
        if (index < count)
            return SWG_OK;
        return swg__fail(ctx, SWG_ENOTFOUND, "%s: channel %s: there %s %lld, from 0", path, word, count == 1 ? "is" : "are", count);
    }
    const char *names[64];
    char near[80];
    size_t named = 0;
    for (int64_t c = 0; c < r->extent[C]; c++) {
        const char *name = r->stack ? swg_stack_channel(r->stack, c) : NULL;
        if (name && strcasecmp(name, word) == 0) {
            *out = (int)c;
            return SWG_OK;
        }
        if (name && named < 64)
            names[named++] = name;
    }
    if (!named)
        return swg__fail(ctx, SWG_ENOTFOUND, "%s: channel \"%s\": its %lld channels have no names; say a number, from 0", path, word, count);
    char list[300] = "";
    for (size_t i = 0; i < named; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%.40s", i ? ", " : "", names[i]);
    swg__did_you_mean(word, names, named, near, sizeof near);
    return swg__fail(ctx, SWG_ENOTFOUND, "%s: there is no channel \"%s\" among its %lld: %s%s", path, word, count, list, near);
}

static swg_status pick_channels(const struct reader *r, struct box *box) {
    const char *text = r->entry->key.channel;
    box->mean = strcmp(text, "mean") == 0;
    box->all = box->mean || !*text;
    if (box->all) {
        box->channel_count = (int)r->extent[C];
        return r->extent[C] <= INT16_MAX ? SWG_OK : swg__fail(r->volumes->ctx, SWG_ESHAPE, "%s: %lld channels are more than 32767", r->entry->path,
                                                               (long long)r->extent[C]);
    }
    while (*text) {
        char word[SWG__VOLUME_WORD];
        const size_t length = strcspn(text, "+");
        if (length >= sizeof word || box->channel_count == SWG__VOLUME_CHANNELS) /* of a cell of the table: a key is checked when it is read */
            return swg__fail(r->volumes->ctx, SWG_EINVAL, "%s: channel \"%s\" is too long", r->entry->path, r->entry->key.channel);
        snprintf(word, sizeof word, "%.*s", (int)length, text);
        SWG__TRY(find_channel(r, word, &box->channels[box->channel_count++]));
        text += length + (text[length] == '+');
    }
    return SWG_OK;
}

static swg_status pick_axis(const struct reader *r, const char *name, int64_t extent, const swg__pick *pick, int64_t *first, int64_t *count) {
    *first = 0;
    *count = extent;
    if (pick->kind != SWG__PICK_RANGE)
        return SWG_OK;
    *first = pick->first;
    *count = pick->last - pick->first + 1;
    if (pick->last < extent)
        return SWG_OK;
    return swg__fail(r->volumes->ctx, SWG_EINVAL, "%s: %s=%lld: there %s %lld, from 0", r->entry->path, name, (long long)pick->last,
                     extent == 1 ? "is" : "are", (long long)extent);
}

static swg_status pick_box(const struct reader *r, struct box *box) {
    const swg__volumes *v = r->volumes;
    swg__pick z = r->entry->key.z;
    int64_t frame, frames;
    *box = (struct box){0};
    SWG__TRY(pick_channels(r, box));
    SWG__TRY(pick_axis(r, "t", r->extent[T], &r->entry->key.t, &frame, &frames));
    const bool plane = v->dims == 2 && z.kind == SWG__PICK_DEFAULT && r->extent[Z] > 1 && v->plane >= 0;
    if (plane && v->plane >= r->extent[Z])
        return swg__fail(v->ctx, SWG_EINVAL, "%s: data.z=%lld: there are %lld planes, from 0; say data.z=N, or z=N or z=max in the key", r->entry->path,
                         (long long)v->plane, (long long)r->extent[Z]);
    if (plane)
        z = (swg__pick){SWG__PICK_RANGE, v->plane, v->plane};
    SWG__TRY(pick_axis(r, "z", r->extent[Z], &z, &box->first[0], &box->count[0]));
    SWG__TRY(pick_axis(r, "y", r->extent[Y], &r->entry->y, &box->first[1], &box->count[1]));
    SWG__TRY(pick_axis(r, "x", r->extent[X], &r->entry->x, &box->first[2], &box->count[2]));
    box->maximum = z.kind == SWG__PICK_MAX;
    if (v->dims == 2 && box->count[0] > 1 && !box->maximum)
        return swg__fail(v->ctx, SWG_EINVAL, "%s: %lld planes; a 2-D experiment takes one: z=N or z=max in the key, or data.z", r->entry->path,
                         (long long)box->count[0]);
    return SWG_OK;
}

/* Extents z, y, x after resampling. */
static swg_status resampled(const struct reader *r, const struct box *box, int64_t out[3]) {
    const swg__volume_key *key = &r->entry->key;
    for (int i = 0; i < 3; i++) {
        const int64_t n = i == 0 && box->maximum ? 1 : box->count[i];
        const bool plane = i == 0 && (r->volumes->dims == 2 || box->maximum);
        out[i] = key->zoom_axes && !plane ? swg__zoom_extent(key->zoom[i], n) : key->resize[0] && !plane ? key->resize[i] : n;
        if (out[i] < 1)
            return swg__fail(r->volumes->ctx, SWG_ESHAPE, "%s: zoom=%g leaves nothing of %lld along %c", r->entry->path, key->zoom[i], (long long)n, "zyx"[i]);
    }
    return SWG_OK;
}

swg_status swg__volume_frames(const swg__volumes *volumes, const swg__volume_entry *entry, int64_t *out) {
    struct reader r;
    SWG__TRY(reader_open(volumes, entry, &r));
    *out = r.extent[T];
    swg_stack_close(r.stack);
    return SWG_OK;
}

static swg_status settle(const struct reader *r, struct box *box, int64_t dims[4]) {
    SWG__TRY(pick_box(r, box));
    SWG__TRY(resampled(r, box, dims + 1));
    dims[0] = box->mean ? 1 : box->channel_count;
    int64_t bytes = (int64_t)sizeof(float);
    for (int i = 0; i < 4; i++)
        if (swg__mul_overflow(bytes, dims[i], &bytes))
            return swg__fail(r->volumes->ctx, SWG_ESHAPE, "%s: is too large to address", r->entry->path);
    return SWG_OK;
}

swg_status swg__volume_probe(const swg__volumes *volumes, swg__volume_entry *entry) {
    struct reader r;
    struct box box;
    SWG__TRY(reader_open(volumes, entry, &r));
    swg_status status = settle(&r, &box, entry->dims);
    entry->facts.frames = r.extent[T];
    swg_stack_close(r.stack);
    return status;
}

/* ---- reading ---- */

/* Plane z of every channel of the box: out (channels, h, w). ids: room for as many numbers, where the key holds labels. */
static swg_status read_plane(struct reader *r, const struct box *box, int64_t z, int32_t *ids, float *out) {
    const int64_t h = box->count[1], w = box->count[2], count = box->channel_count * h * w;
    const bool labels = r->entry->key.labels;
    if (r->stack) {
        const swg_stack_box part = {.t = r->entry->key.t.first, .channels = box->all ? NULL : box->channels, .channel_count = box->all ? 0 : box->channel_count,
                                    .z = z, .y = box->first[1], .x = box->first[2], .d = 1, .h = h, .w = w};
        if (!labels)
            return swg_stack_read(r->stack, &part, out);
        SWG__TRY(swg_stack_read_labels(r->stack, &part, ids));
        for (int64_t i = 0; i < count; i++)
            out[i] = (float)ids[i];
    } else {
        for (int c = 0; c < box->channel_count; c++)
            for (int64_t y = 0; y < h; y++) {
                const int64_t at = r->base + (box->all ? c : box->channels[c]) * r->stride[C] + z * r->stride[Z] + (box->first[1] + y) * r->stride[Y] +
                                   box->first[2] * r->stride[X];
                for (int64_t x = 0; x < w; x++)
                    *out++ = array_value(r->entry->array->element, r->entry->array->values, at + x * r->stride[X]);
            }
        out -= count;
    }
    for (int64_t i = 0; labels && i < count; i++)
        if (!(out[i] >= 0 && out[i] <= 0x1p24f && out[i] == floorf(out[i])))
            return swg__fail(r->volumes->ctx, SWG_EINVAL, "%s: label %.9g: ids are whole numbers, 0 to 16777216", r->entry->path, (double)out[i]);
    return SWG_OK;
}

/* The mean over channels of (channels, n), into the first. */
static void average_channels(int channels, int64_t n, float *plane) {
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int c = 0; c < channels; c++)
            sum += (double)plane[c * n + i];
        plane[i] = (float)(sum / channels);
    }
}

static bool widen(int64_t *bytes, int64_t by) { return !swg__mul_overflow(*bytes, by, bytes); }

/* Memory of one image while it is read. */
struct work {
    float *plane;                   /* (channels, h, w) as read */
    int32_t *ids;
    float *peak;                    /* (C, h, w): the maximum so far; NULL */
    float *thin;                    /* (C, depth, y, x): resampled in y and x */
};

/* All planes, each resampled in y and x, into work->thin. */
static swg_status read_planes(struct reader *r, const struct box *box, const int64_t dims[4], int64_t depth, struct work *work, int64_t *nonfinite) {
    const int64_t n = box->count[1] * box->count[2], small = dims[2] * dims[3];
    for (int64_t z = 0; z < box->count[0]; z++) {
        float *plane = work->plane;
        SWG__TRY(read_plane(r, box, box->first[0] + z, work->ids, plane));
        if (!r->stack)
            *nonfinite += swg__zero_nonfinite(plane, box->channel_count * n);
        if (box->mean)
            average_channels(box->channel_count, n, plane);
        if (r->entry->key.binary)
            swg__binary(plane, dims[0] * n);
        if (box->maximum) {
            for (int64_t i = 0; i < dims[0] * n; i++)
                work->peak[i] = z && work->peak[i] > plane[i] ? work->peak[i] : plane[i];
            if (z + 1 < box->count[0])
                continue;
            plane = work->peak;
        }
        for (int64_t c = 0; c < dims[0]; c++)
            SWG__TRY(swg__resample_volume(r->volumes->ctx, plane + c * n, (int64_t[]){1, 1, box->count[1], box->count[2]}, (int64_t[]){1, dims[2], dims[3]},
                                          r->entry->key.labels, work->thin + (c * depth + (box->maximum ? 0 : z)) * small));
    }
    *nonfinite += r->stack ? swg_stack_about(r->stack)->nonfinite : 0;
    return SWG_OK;
}

/* Reads and resamples: *out (dims). */
static swg_status read_image(struct reader *r, const struct box *box, const int64_t dims[4], float **out, int64_t *nonfinite) {
    swg_context *ctx = r->volumes->ctx;
    const int64_t depth = box->maximum ? 1 : box->count[0];
    int64_t plane = (int64_t)sizeof(float), thin = (int64_t)sizeof(float);
    struct work work = {0};
    if (!widen(&plane, box->channel_count) || !widen(&plane, box->count[1]) || !widen(&plane, box->count[2]) || !widen(&thin, dims[0]) ||
        !widen(&thin, depth) || !widen(&thin, dims[2]) || !widen(&thin, dims[3]))
        return swg__fail(ctx, SWG_ESHAPE, "%s: is too large to address", r->entry->path);
    work.plane = swg__alloc(ctx, (size_t)plane);
    work.ids = r->entry->key.labels ? swg__alloc(ctx, (size_t)plane) : NULL;
    work.peak = box->maximum ? swg__alloc(ctx, (size_t)plane) : NULL;
    work.thin = swg__alloc(ctx, (size_t)thin);
    const bool lacking = !work.plane || !work.thin || (r->entry->key.labels && !work.ids) || (box->maximum && !work.peak);
    swg_status status = lacking ? swg__fail_memory(ctx, (size_t)(plane + thin), r->entry->path) : read_planes(r, box, dims, depth, &work, nonfinite);
    swg__free(ctx, work.plane);
    swg__free(ctx, work.ids);
    swg__free(ctx, work.peak);
    if (status == SWG_OK && depth != dims[1]) {
        const size_t bytes = (size_t)(dims[0] * dims[1] * dims[2] * dims[3]) * sizeof(float);
        float *whole = swg__alloc(ctx, bytes);
        status = whole ? swg__resample_volume(ctx, work.thin, (int64_t[]){dims[0], depth, dims[2], dims[3]}, dims + 1, r->entry->key.labels, whole)
                       : swg__fail_memory(ctx, bytes, r->entry->path);
        swg__free(ctx, work.thin);
        work.thin = whole;
    }
    if (status == SWG_OK)
        *out = work.thin;
    else
        swg__free(ctx, work.thin);
    return status;
}

/* ---- values ---- */

static void scale_values(const swg__volume_key *key, const int64_t dims[4], float *values, swg__volume_facts *facts) {
    const int64_t count = dims[1] * dims[2] * dims[3];
    float low, high;
    for (int64_t c = 0; c < dims[0]; c++) {
        float *channel = values + c * count;
        const bool varied = key->normalise ? swg__normalise(channel, count)
                            : key->percentile ? swg__percentile_scale(channel, count, key->low, key->high) : true;
        facts->constant += !varied;
        if (key->threshold)
            swg__threshold(channel, count, key->level);
    }
    swg__extremes(values, dims[0] * count, &low, &high);
    facts->empty = (key->binary || key->labels || key->threshold) && high <= 0;
}

swg_status swg__volume_prepare(const swg__volumes *volumes, const swg__volume_entry *entry, float **out, swg__volume_facts *facts) {
    struct reader r;
    struct box box;
    int64_t dims[4];
    *out = NULL;
    *facts = (swg__volume_facts){0};
    atomic_fetch_add(volumes->reads, 1);
    SWG__TRY(reader_open(volumes, entry, &r));
    facts->frames = r.extent[T];
    swg_status status = settle(&r, &box, dims);
    if (status == SWG_OK && memcmp(dims, entry->dims, sizeof dims) != 0)
        status = swg__fail(volumes->ctx, SWG_EIO, "%s: has changed since the data set was opened", entry->path);
    if (status == SWG_OK)
        status = read_image(&r, &box, dims, out, &facts->nonfinite);
    if (status == SWG_OK && facts->nonfinite && !volumes->zero_nonfinite)
        status = swg__fail(volumes->ctx, SWG_ENONFINITE, "%s: %lld value%s NaN or infinite; data.nonfinite=zero makes them 0", entry->path,
                           (long long)facts->nonfinite, facts->nonfinite == 1 ? " is" : "s are");
    if (status == SWG_OK)
        scale_values(&entry->key, dims, *out, facts);
    swg_stack_close(r.stack);
    if (status != SWG_OK) {
        swg__free(volumes->ctx, *out);
        *out = NULL;
    }
    return status;
}
