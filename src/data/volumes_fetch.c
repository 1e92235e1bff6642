/* volumes_fetch.c - patches and whole images of a data set of stacks.
 * In: indices and how to draw. Out: (count, channels, z, y, x) f32. From images that are kept nothing is allocated.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "data/transform.h"
#include "data/volumes_inside.h"
#include "philox.h"

/* ---- whole images ---- */

static swg_status check_index(const swg__volumes *v, int64_t item, int key) {
    if (item >= 0 && item < v->item_count && key >= 0 && key < v->keys)
        return SWG_OK;
    return swg__fail(v->ctx, SWG_EINVAL, "image %lld, key %d: there are %lld images and %d keys", (long long)item, key, (long long)v->item_count, v->keys);
}

swg_status swg__volumes_extent(const swg__volumes *volumes, int64_t item, int key, int64_t dims[4]) {
    SWG__TRY(check_index(volumes, item, key));
    memcpy(dims, volumes->items[item].entry[key]->dims, 4 * sizeof *dims);
    return SWG_OK;
}

swg_status swg__volumes_whole(const swg__volumes *volumes, int64_t item, int key, swg__volume *out) {
    *out = (swg__volume){0};
    SWG__TRY(check_index(volumes, item, key));
    const swg__volume_item *row = &volumes->items[item];
    const swg__volume_entry *e = row->entry[key];
    memcpy(out->dims, e->dims, sizeof out->dims);
    out->values = e->values;
    if (e->values)
        return SWG_OK;
    swg__volume_facts facts;
    swg_status status = swg__volume_load(volumes, e, &out->values, &out->map, &facts, NULL);
    out->loaded = status == SWG_OK;
    if (status == SWG_OK)
        return SWG_OK;
    char place[512], message[1024];
    snprintf(message, sizeof message, "%s", swg__own_message());
    swg__volumes_place(volumes, &volumes->rows[row->row], key, place, sizeof place);
    return swg__fail(volumes->ctx, status, "%s%s", place, message);
}

void swg__volumes_release(const swg__volumes *volumes, swg__volume *volume) {
    if (volume->loaded)
        swg__volume_unload(volumes, volume->values, volume->map);
    *volume = (swg__volume){0};
}

/* ---- one sample ---- */

/* What is drawn for a sample depends on this alone. */
static uint64_t key_of(const swg__volumes_draw *draw, int64_t sample) {
    const swg__philox_words w = swg__philox(draw->seed, (uint64_t)sample, draw->training ? draw->epoch : UINT32_MAX, swg__fnv1a("volume"));
    return w.w[0] | (uint64_t)w.w[1] << 32;
}

/* Uniform in [0, extent - patch], both ends included. */
static int64_t draw_start(uint32_t word, int64_t extent, int64_t patch) {
    return extent > patch ? (int64_t)(((uint64_t)word * (uint64_t)(extent - patch + 1)) >> 32) : 0;
}

swg_status swg__volumes_start(const swg__volumes *volumes, int64_t sample, const swg__volumes_draw *draw, int64_t out[3]) {
    if (sample < 0 || sample >= volumes->count)
        return swg__fail(volumes->ctx, SWG_EINVAL, "sample %lld: there are %lld", (long long)sample, (long long)volumes->count);
    const swg__volume_entry *source = volumes->items[sample / volumes->crops].entry[0];
    const swg__philox_words w = swg__philox(key_of(draw, sample), 0, 0, swg__fnv1a("crop"));
    for (int axis = 0; axis < 3; axis++)
        out[axis] = draw_start(w.w[axis], source->dims[axis + 1] / swg__volume_scale(volumes, 0, axis), volumes->patch[axis]);
    return SWG_OK;
}

/* Index in the image of position i of a patch that begins at `start`, in an axis of n; -1: outside, 0 there. */
static int64_t source_index(const swg__volumes *v, int64_t start, int64_t i, int64_t n) {
    return start + i < n ? start + i : v->pad == SWG__PAD_REFLECT ? swg__reflect(start + i, n) : -1;
}

/* Rows of x: what lies inside is copied, the rest extended. */
static void copy_row(const swg__volumes *v, const float *row, int64_t start, int64_t n, int64_t extent, float *out) {
    const int64_t inside = n - start < extent ? n - start : extent;
    memcpy(out, row + start, (size_t)inside * sizeof *out);
    for (int64_t x = inside; x < extent; x++) {
        const int64_t at = source_index(v, start, x, n);
        out[x] = at < 0 ? 0 : row[at];
    }
}

/* The patch of a key at `start` of scale 1. */
static void cut(const swg__volumes *v, int key, const swg__volume *image, const int64_t start[3], float *out) {
    int64_t first[3], extent[3], n[3];
    swg__volumes_patch(v, key, extent);
    for (int axis = 0; axis < 3; axis++) {
        const int64_t scale = swg__volume_scale(v, key, axis);
        first[axis] = start[axis] * scale;
        n[axis] = image->dims[axis + 1] / scale * scale; /* what the keys have in common */
    }
    for (int64_t c = 0; c < image->dims[0]; c++)
        for (int64_t z = 0; z < extent[0]; z++) {
            const int64_t from_z = source_index(v, first[0], z, n[0]);
            for (int64_t y = 0; y < extent[1]; y++, out += extent[2]) {
                const int64_t from_y = source_index(v, first[1], y, n[1]);
                if (from_z < 0 || from_y < 0)
                    memset(out, 0, (size_t)extent[2] * sizeof *out);
                else
                    copy_row(v, image->values + ((c * image->dims[1] + from_z) * image->dims[2] + from_y) * image->dims[3], first[2], n[2], extent[2], out);
            }
        }
}

/* Flips and turns of a key's patch: the same for all keys. Patches that are not square turn by half. */
static void move_about(const swg__volumes *v, int key, uint64_t draw, float *patch) {
    const swg__philox_words w = swg__philox(draw, 0, 0, swg__fnv1a("move"));
    int64_t extent[3];
    swg__volumes_patch(v, key, extent);
    const int64_t planes = v->channels[key] * extent[0];
    const unsigned turns = v->augment & SWG__AUGMENT_TURN ? w.w[2] >> 30 : 0;
    const bool square = extent[1] == extent[2], half = !square && turns >= 2;
    if ((v->augment & SWG__AUGMENT_MIRROR && w.w[0] >> 31) != half)
        swg__flip_x(patch, planes, extent[1], extent[2]);
    if ((v->augment & SWG__AUGMENT_MIRROR && w.w[1] >> 31) != half)
        swg__flip_y(patch, planes, extent[1], extent[2]);
    for (unsigned t = 0; square && t < turns; t++)
        swg__turn(patch, planes, extent[1]);
}

/* Each with a chance of 0.1. */
static void change_values(const swg__volumes *v, uint64_t draw, int64_t count, float *patch) {
    const swg__philox_words chance = swg__philox(draw, 0, 0, swg__fnv1a("chance")), how = swg__philox(draw, 0, 0, swg__fnv1a("how"));
    if (v->augment & SWG__AUGMENT_HISTOGRAM && swg__uniform(chance.w[0]) < .1f) {
        double points[SWG__HISTOGRAM_POINTS];
        swg__histogram_shift(patch, count, points, swg__histogram_points(draw, points));
    }
    if (v->augment & SWG__AUGMENT_SD && swg__uniform(chance.w[1]) < .1f)
        swg__sd_shift(patch, count, -.1 + .2 * (double)swg__uniform(how.w[1]));
    if (v->augment & SWG__AUGMENT_GAMMA && swg__uniform(chance.w[2]) < .1f)
        swg__gamma(patch, count, .9 + .6 * (double)swg__uniform(how.w[2]));
}

static swg_status take(const swg__volumes *v, int64_t sample, const swg__volumes_draw *draw, int key, float *out) {
    const uint64_t drawn = key_of(draw, sample);
    const int64_t item = sample / v->crops;
    int64_t start[3];
    swg__volume image;
    SWG__TRY(swg__volumes_start(v, sample, draw, start));
    const int64_t *dims = v->items[item].entry[0]->dims;
    for (int axis = 0; axis < 3; axis++)
        if (v->pad == SWG__PAD_NONE && dims[axis + 1] / swg__volume_scale(v, 0, axis) < v->patch[axis])
            return swg__fail(v->ctx, SWG_EINVAL, "%s: less than the patch; data.pad=reflect or zero extends it", v->items[item].about.path);
    SWG__TRY(swg__volumes_whole(v, item, key, &image));
    cut(v, key, &image, start, out);
    swg__volumes_release(v, &image);
    if (!draw->training || !v->augment)
        return SWG_OK;
    move_about(v, key, drawn, out);
    if (key == 0)
        change_values(v, drawn, swg__volumes_values(v, 0), out);
    return SWG_OK;
}

swg_status swg__volumes_fetch(const swg__volumes *volumes, const int64_t *indices, int64_t count, const swg__volumes_draw *draw, float *const *out,
                              char *message, size_t capacity) {
    swg_status status = volumes->patch[0] ? SWG_OK : swg__fail(volumes->ctx, SWG_EINVAL, "the data set was opened without a patch");
    for (int64_t i = 0; status == SWG_OK && i < count; i++)
        for (int key = 0; status == SWG_OK && key < volumes->keys; key++)
            if (out[key])
                status = take(volumes, indices[i], draw, key, out[key] + i * swg__volumes_values(volumes, key));
    if (status != SWG_OK && capacity)
        snprintf(message, capacity, "%s", swg__own_message());
    return status;
}
