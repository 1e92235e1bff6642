/* pictures.c - validation patches beside what a network makes of them.
 * In: an open data set, a trained network. Out: PNG files.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/pictures.h"
#include <math.h>
#include <string.h>
#include "swage/image.h"

enum { ROWS = 8, ACROSS = 3, GAP = 4 };

/* Grey planes side by side. */
typedef struct sheet {
    swg_context *ctx;
    int64_t height, width;      /* of a picture of the row: the largest of the three */
    int64_t rows;
    float *pixels;              /* (rows, ACROSS, height, width) */
} sheet;

/* The first channel's middle plane of `extent`, stretched to [0, 1] and enlarged by whole numbers. */
static void place(sheet *s, int64_t row, int column, const int64_t extent[3], const float *values) {
    const float *plane = values + extent[0] / 2 * extent[1] * extent[2];
    float low = INFINITY, high = -INFINITY, *to = s->pixels + (row * ACROSS + column) * s->height * s->width;
    for (int64_t i = 0; i < extent[1] * extent[2]; i++) {
        low = plane[i] < low ? plane[i] : low;
        high = plane[i] > high ? plane[i] : high;
    }
    for (int64_t y = 0; y < s->height; y++)
        for (int64_t x = 0; x < s->width; x++)
            to[y * s->width + x] = high > low ? (plane[y * extent[1] / s->height * extent[2] + x * extent[2] / s->width] - low) / (high - low) : 0;
}

static swg_status write_rows(const sheet *s, int64_t first, int64_t count, const char *path) {
    const int64_t height = count * (s->height + GAP) - GAP, width = ACROSS * (s->width + GAP) - GAP;
    float *out = swg__alloc(s->ctx, (size_t)(height * width) * sizeof *out);
    if (!out)
        return swg__fail_memory(s->ctx, (size_t)(height * width) * sizeof *out, path);
    for (int64_t i = 0; i < height * width; i++)
        out[i] = 1;
    for (int64_t r = 0; r < count; r++)
        for (int64_t k = 0; k < ACROSS; k++)
            for (int64_t y = 0; y < s->height; y++)
                memcpy(out + (r * (s->height + GAP) + y) * width + k * (s->width + GAP), s->pixels + (((first + r) * ACROSS + k) * s->height + y) * s->width,
                       (size_t)s->width * sizeof *out);
    swg_status status = swg_image_write(s->ctx, path, 1, height, width, out, NULL);
    swg__free(s->ctx, out);
    return status;
}

static void spatial(const swg_graph *g, swg_value v, int axes, int64_t extent[3]) {
    const int64_t *shape = swg_shape(g, v);
    extent[0] = axes == 3 ? shape[2] : 1;
    extent[1] = shape[axes];
    extent[2] = shape[axes + 1];
}

/* One patch through the validation's plan. */
static swg_status run_patch(swg__run *run, swg__stage *stage, int64_t sample, float *batch) {
    char message[256] = "";
    const swg__draw draw = {.seed = run->recipe.seed};
    if (run->recipe.family->fetch(&run->data, &draw, &sample, 1, batch, message, sizeof message) != SWG_OK)
        return swg__fail(run->ctx, SWG_EIO, "%s", message);
    for (int k = 0; k < stage->graph.inputs; k++) {
        const int64_t n = swg_elements(stage->graph.g, stage->graph.in[k]);
        void *to = swg_plan_data(stage->plan, stage->graph.in[k]);
        if (to)
            memcpy(to, batch, (size_t)n * sizeof *batch);
        batch += n;
    }
    return swg_plan_run(stage->plan, 0, 0);
}

static void place_row(sheet *s, int64_t row, const swg__recipe_cyto *c, const swg__stage *stage, const float *batch) {
    const swg_graph *g = stage->graph.g;
    int64_t source[3], target[3], made[3];
    const float *out = swg_plan_data(stage->plan, stage->graph.out[0]);
    spatial(g, stage->graph.in[0], c->axes, source);
    spatial(g, stage->graph.out[0], c->axes, made);
    place(s, row, 0, source, batch);
    place(s, row, 2, made, out);
    if (c->network == SWG__CYTO_MAE) { /* visible voxels; the mask is 1 where they are not */
        const float *mask = swg_plan_data(stage->plan, stage->graph.out[1]);
        float *seen = s->pixels + (s->rows * ACROSS) * s->height * s->width;
        for (int64_t i = 0; i < source[0] * source[1] * source[2]; i++)
            seen[i] = mask[i] > 0 ? 0 : batch[i];
        place(s, row, 1, source, seen);
        return;
    }
    spatial(g, stage->graph.in[1], c->axes, target);
    place(s, row, 1, target, batch + swg_elements(g, stage->graph.in[0]));
}

static swg_status draw_all(swg__run *run, swg__stage *stage, float *batch, sheet *s, const char *folder) {
    const swg_split *split = run->data.split;
    const int part = split->count[SWG_VAL] ? SWG_VAL : SWG_TRAIN;
    char path[1200];
    for (int64_t r = 0; r < s->rows; r++) {
        SWG__TRY(run_patch(run, stage, split->indices[part][r * split->count[part] / s->rows], batch));
        place_row(s, r, &run->recipe.cyto, stage, batch);
    }
    SWG__TRY(swg__make_folders(run->ctx, folder));
    snprintf(path, sizeof path, "%s/samples.png", folder);
    SWG__TRY(write_rows(s, 0, s->rows, path));
    for (int64_t r = 0; r < s->rows; r++) {
        snprintf(path, sizeof path, "%s/sample-%lld.png", folder, (long long)r + 1);
        SWG__TRY(write_rows(s, r, 1, path));
    }
    return SWG_OK;
}

swg_status swg__patch_pictures(swg__run *run, const swg__volumes *volumes, swg_model *model, const char *folder) {
    const swg_split *split = run->data.split;
    const int64_t there = split->count[SWG_VAL] ? split->count[SWG_VAL] : split->count[SWG_TRAIN];
    sheet s = {.ctx = run->ctx, .rows = there < ROWS ? there : ROWS};
    swg__stage stage = {0};
    int64_t source[3], patch[3];
    swg__volumes_patch(volumes, 0, source);
    for (int key = 0; key < swg__volumes_keys(volumes); key++) {
        swg__volumes_patch(volumes, key, patch);
        s.height = patch[1] > s.height ? patch[1] : s.height;
        s.width = patch[2] > s.width ? patch[2] : s.width;
    }
    /* One patch more: what is visible to a masked autoencoder. */
    const size_t pixels = (size_t)(s.rows * ACROSS * s.height * s.width + source[0] * source[1] * source[2]) * sizeof(float);
    const size_t bytes = (size_t)swg__run_batch_bytes(&run->recipe, 1);
    float *batch = swg__alloc(run->ctx, bytes);
    s.pixels = swg__alloc(run->ctx, pixels);
    swg_status status = batch && s.pixels ? swg__stage_make(run, &stage, 1, false) : swg__fail_memory(run->ctx, bytes + pixels, "pictures of patches");
    if (status == SWG_OK)
        status = swg_plan_open(stage.plan, swg_model_weights(model), NULL);
    if (status == SWG_OK)
        status = draw_all(run, &stage, batch, &s, folder);
    swg__stage_free(&stage);
    swg__free(run->ctx, s.pixels);
    swg__free(run->ctx, batch);
    return status;
}
