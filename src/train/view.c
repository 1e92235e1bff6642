/* view.c - one variable before and after a network, as volumes, figures and image data.
 * In: a model and a source. Out: four volumes; a .vti and two .svg.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base.h"
#include "data/normalise.h"
#include "data/prepare.h"
#include "data/source.h"
#include "swage/evaluate.h"
#include "swage/report.h"
#include "train/recipe.h"

enum { ITEMS_MOST = 64, BATCH = 1024, VOLUMES = 4, PLANE_MOST = 1024, FIGURE_ROWS = 6, NAME_MOST = 401 };

typedef struct work {
    swg_context *ctx;
    swg_model *model;
    swg__block_rules rules;
    const swg_array *array;
    int64_t norm_variable;
    int64_t dims[4];            /* of what is shown: the grid, or (items, n, n, n) */
    swg_blocks blocks;
    void *values;
    float *volume[VOLUMES];     /* of the same dims: original, restored, normalised, normalised restored */
    int64_t count;              /* blocks of the batch; those that go through the network stand first in x, y, z */
    swg_side side[BATCH];
    float *x, *y, *z;
    char *block;                /* one block in the array's type */
} work;

/* The last grid of the variable, else its last block array: files are sorted, and later times come later. */
static int64_t choose_array(const swg_source *source, int64_t variable) {
    int64_t chosen = -1;
    for (int64_t a = 0; a < swg_source_count(source); a++) {
        const swg_array *array = swg_source_array(source, a);
        if (array->variable_index == variable && (chosen < 0 || array->ndim == 3 || swg_source_array(source, chosen)->ndim == 4))
            chosen = a;
    }
    return chosen;
}

static swg_status read_values(work *w, swg_source *source, int64_t index) {
    const swg_array *array = w->array;
    memcpy(w->dims, array->dims, sizeof w->dims);
    if (array->ndim == 4 && w->dims[0] > ITEMS_MOST)
        w->dims[0] = ITEMS_MOST;
    const int64_t item = array->ndim == 4 ? w->dims[1] * w->dims[2] * w->dims[3] : 0, all = array->ndim == 4 ? w->dims[0] * item : array->count;
    const size_t bytes = (size_t)swg_element_bytes(array->element), values = (size_t)(BATCH * swg_model_network(w->model)->input);
    w->values = swg__alloc(w->ctx, (size_t)all * bytes);
    w->x = swg__alloc(w->ctx, values * sizeof *w->x);
    w->y = swg__alloc(w->ctx, values * sizeof *w->y);
    w->z = swg__alloc(w->ctx, (size_t)(BATCH * swg_model_network(w->model)->latent) * sizeof *w->z);
    w->block = swg__alloc(w->ctx, (size_t)swg_model_network(w->model)->input * sizeof(double));
    bool good = w->values && w->x && w->y && w->z && w->block;
    for (int v = 0; v < VOLUMES && good; v++) {
        good = (w->volume[v] = swg__alloc(w->ctx, (size_t)all * sizeof(float))) != NULL;
        for (int64_t i = 0; i < all && good; i++)
            w->volume[v][i] = NAN;
    }
    if (!good)
        return swg__fail_memory(w->ctx, (size_t)all * (bytes + VOLUMES * sizeof(float)), "a picture");
    if (array->ndim == 3)
        return swg_source_read(source, index, w->values);
    for (int64_t k = 0; k < w->dims[0]; k++) {
        const int64_t first[4] = {k * array->dims[0] / w->dims[0]}, extent[4] = {1, w->dims[1], w->dims[2], w->dims[3]};
        SWG__TRY(swg__source_read_part(source, index, first, extent, (char *)w->values + (size_t)(k * item) * bytes));
    }
    return SWG_OK;
}

static void put_block(work *w, int volume, int64_t index, const float *block) {
    swg_blocks_join(&w->blocks, SWG_ELEMENT_F32, block, index, 1, w->volume[volume]);
}

static void put_wide(work *w, int volume, int64_t index, const void *block) {
    float narrow[SWG__BLOCK_VALUES];
    for (int64_t i = 0; i < swg_model_network(w->model)->input; i++)
        narrow[i] = w->array->element == SWG_ELEMENT_F32 ? ((const float *)block)[i] : (float)((const double *)block)[i];
    put_block(w, volume, index, narrow);
}

/* Blocks first..first+count-1. */
static swg_status show_blocks(work *w, int64_t first, int64_t count) {
    const int64_t volume = swg_model_network(w->model)->input;
    const swg_norm *norm = swg_model_norm(w->model);
    int64_t index[BATCH], normal = 0;
    for (int64_t b = first; b < first + count; b++) {
        double wide[SWG__BLOCK_VALUES];
        swg__block_scan scan = swg__block_load(w->array, &w->blocks, w->values, b, wide);
        swg_side side = {.flag = swg__block_judge(&w->rules, &scan)};
        if (side.flag == SWG__BLOCK_REFUSED)
            return swg__block_refuse(w->ctx, w->array, b, &scan);
        swg_blocks_cut(&w->blocks, w->array->element, w->values, b, 1, w->block);
        put_wide(w, 0, b, w->block);
        put_wide(w, 1, b, w->block); /* constant and raw blocks are kept exactly */
        if (side.flag == SWG_BLOCK_NORMAL)
            swg__norm_forward_f32(norm, w->norm_variable, w->array->element, wide, volume, &side, w->x + normal * volume);
        if (side.flag != SWG_BLOCK_NORMAL)
            continue;
        w->side[normal] = side;
        index[normal++] = b;
    }
    if (!normal)
        return SWG_OK;
    SWG__TRY(swg_model_encode(w->model, normal, w->x, w->z));
    SWG__TRY(swg_model_decode(w->model, normal, w->z, w->y));
    for (int64_t i = 0; i < normal; i++) {
        put_block(w, 2, index[i], w->x + i * volume);
        put_block(w, 3, index[i], w->y + i * volume);
        swg_norm_inverse(norm, w->norm_variable, &w->side[i], w->y + i * volume, volume, w->array->element, w->block);
        put_wide(w, 1, index[i], w->block);
    }
    return SWG_OK;
}

/* Items of one array put side by side; of each, the cube that blocks cover. */
static swg_status arrange(work *w, swg_view *out) {
    const int64_t n = w->dims[1], start = w->blocks.start, cell = w->rules.cut == SWG_CUT_CENTER ? w->rules.edge : n;
    out->items = w->dims[0];
    while (out->side * out->side * out->side < out->items)
        out->side++;
    const int64_t layer = out->side * out->side, layers = (out->items + layer - 1) / layer;
    out->shape[0] = layers * cell;
    out->shape[1] = out->shape[2] = out->side * cell;
    int64_t all = out->shape[0] * out->shape[1] * out->shape[2];
    float **to[VOLUMES] = {&out->original, &out->restored, &out->normalised, &out->normalised_restored};
    for (int v = 0; v < VOLUMES; v++) {
        float *view = *to[v] = swg__alloc(w->ctx, (size_t)all * sizeof *view);
        if (!view)
            return swg__fail_memory(w->ctx, (size_t)all * sizeof *view, "a picture");
        for (int64_t i = 0; i < all; i++)
            view[i] = NAN;
        for (int64_t k = 0; k < out->items; k++)
            for (int64_t z = 0; z < cell; z++)
                for (int64_t y = 0; y < cell; y++)
                    memcpy(view + ((k / layer * cell + z) * out->shape[1] + k / out->side % out->side * cell + y) * out->shape[2] + k % out->side * cell,
                           w->volume[v] + ((k * n + start + z) * n + start + y) * n + start, (size_t)cell * sizeof *view);
    }
    return SWG_OK;
}

static swg_status make(work *w, swg_config *config, swg_source *source, int64_t variable, swg_view *out) {
    swg__recipe recipe;
    swg_samples_opts samples;
    SWG__TRY(swg__recipe_read(w->ctx, swg_model_config(w->model), &recipe));
    swg__recipe_samples(swg_model_config(w->model), &recipe, &samples);
    samples.constant = swg_config_string(config, "data.constant");
    samples.nonfinite = swg_config_string(config, "data.nonfinite");
    SWG__TRY(swg_config_status(config));
    SWG__TRY(swg__block_rules_read(w->ctx, &samples, &w->rules));
    int64_t index = choose_array(source, variable);
    if (index < 0)
        return swg__fail(w->ctx, SWG_EINVAL, "variable %lld: the source has %lld", (long long)variable, (long long)swg_source_variables(source));
    w->array = swg_source_array(source, index);
    w->norm_variable = swg_norm_variable(swg_model_norm(w->model), w->array->variable);
    if (w->norm_variable < 0)
        return swg__fail(w->ctx, SWG_ENOTFOUND, "variable \"%s\": the normaliser of the model was fitted without it", w->array->variable);
    out->variable = swg__strdup(w->ctx, w->array->variable);
    out->file = swg__strdup(w->ctx, w->array->file);
    if (!out->variable || !out->file)
        return swg__fail_memory(w->ctx, strlen(w->array->file), "a picture");
    swg_blocks whole;
    SWG__TRY(swg__block_plan(w->ctx, w->array, &w->rules, &whole));
    SWG__TRY(read_values(w, source, index));
    SWG__TRY(swg_blocks_plan(w->ctx, w->array->ndim, w->dims, w->rules.cut, w->rules.edge, &w->blocks));
    for (int64_t b = 0; b < w->blocks.count; b += BATCH)
        SWG__TRY(show_blocks(w, b, w->blocks.count - b < BATCH ? w->blocks.count - b : BATCH));
    if (w->array->ndim == 4)
        return arrange(w, out);
    memcpy(out->shape, w->dims, sizeof out->shape);
    float **to[VOLUMES] = {&out->original, &out->restored, &out->normalised, &out->normalised_restored};
    for (int v = 0; v < VOLUMES; v++) {
        *to[v] = w->volume[v];
        w->volume[v] = NULL;
    }
    return SWG_OK;
}

swg_status swg_evaluate_source(swg_context *ctx, swg_config *config, swg_source **out) { return swg__recipe_source(ctx, config, out); }

swg_status swg_view_make(swg_context *ctx, swg_model *model, swg_config *config, swg_source *source, int64_t variable, swg_view *out) {
    *out = (swg_view){0};
    work *w = swg__calloc(ctx, 1, sizeof *w);
    if (!w)
        return swg__fail_memory(ctx, sizeof *w, "a picture");
    w->ctx = ctx;
    w->model = model;
    swg_status status = make(w, config ? config : swg_model_config(model), source, variable, out);
    void *const all[] = {w->values, w->volume[0], w->volume[1], w->volume[2], w->volume[3], w->x, w->y, w->z, w->block, w};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        swg__free(ctx, all[i]);
    if (status != SWG_OK)
        swg_view_free(ctx, out);
    return status;
}

void swg_view_free(swg_context *ctx, swg_view *view) {
    void *const all[] = {view->variable, view->file, view->original, view->restored, view->normalised, view->normalised_restored};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        swg__free(ctx, all[i]);
    *view = (swg_view){0};
}

/* ---- files ---- */

/* Plane `at` of an axis, every step-th value. */
static void take_plane(const swg_view *view, const float *volume, int axis, int64_t at, int64_t step, swg_report_slice *slice, float *out) {
    const int rows = axis == 0 ? 1 : 0, columns = axis == 2 ? 1 : 2;
    int64_t i[3];
    i[axis] = at;
    slice->rows = (view->shape[rows] - 1) / step + 1;
    slice->columns = (view->shape[columns] - 1) / step + 1;
    slice->values = out;
    for (int64_t r = 0; r < slice->rows; r++)
        for (int64_t c = 0; c < slice->columns; c++) {
            i[rows] = r * step;
            i[columns] = c * step;
            *out++ = volume[(i[0] * view->shape[1] + i[1]) * view->shape[2] + i[2]];
        }
}

static void find_range(const float *values, int64_t count, double *low, double *high) {
    *low = INFINITY;
    *high = -INFINITY;
    for (int64_t i = 0; i < count; i++)
        if (isfinite(values[i])) {
            *low = fmin(*low, (double)values[i]);
            *high = fmax(*high, (double)values[i]);
        }
    if (!(*low <= *high))
        *low = *high = 0;
}

static swg_status write_figure(swg_context *ctx, const swg_view *view, const char *path, const char *title, const float *before, const float *after) {
    swg_report_slice slices[FIGURE_ROWS * 3] = {{0}};
    char titles[FIGURE_ROWS * 3][64];
    int64_t longest = view->shape[0], step = 1;
    for (int a = 1; a < 3; a++)
        longest = view->shape[a] > longest ? view->shape[a] : longest;
    while ((longest - 1) / step + 1 > PLANE_MOST)
        step++;
    const int64_t side = (longest - 1) / step + 1;
    float *planes = swg__alloc(ctx, (size_t)(FIGURE_ROWS * 3 * side * side) * sizeof *planes);
    if (!planes)
        return swg__fail_memory(ctx, (size_t)(FIGURE_ROWS * 3 * side * side) * sizeof *planes, path);
    for (int row = 0; row < FIGURE_ROWS; row++) {
        int axis = row / 2;
        int64_t at = row % 2 ? view->shape[axis] / 2 : view->shape[axis] / 3;
        swg_report_slice *s = slices + 3 * row;
        float *plane[3];
        for (int c = 0; c < 3; c++) {
            static const char *const names[] = {"original", "reconstruction", "error"};
            plane[c] = planes + (3 * row + c) * side * side;
            take_plane(view, c == 1 ? after : before, axis, at, step, &s[c], plane[c]);
            snprintf(titles[3 * row + c], sizeof titles[0], "%c = %lld: %s", "zyx"[axis], (long long)at, names[c]);
            s[c].title = titles[3 * row + c];
        }
        find_range(plane[0], s[0].rows * s[0].columns, &s[0].low, &s[0].high);
        s[1].low = s[0].low;
        s[1].high = s[0].high;
        for (int64_t i = 0; i < s[2].rows * s[2].columns; i++)
            plane[2][i] = plane[1][i] - plane[0][i];
        s[2].diverging = true;
    }
    swg_status status = swg_figure_write(ctx, path, title, slices, FIGURE_ROWS, 3);
    swg__free(ctx, planes);
    return status;
}

swg_status swg_view_names(swg_context *ctx, const swg_source *source) {
    char name[NAME_MOST], other[NAME_MOST];
    for (int64_t v = 1; v < swg_source_variables(source); v++) {
        swg__file_name(swg_source_variable(source, v), name, sizeof name);
        for (int64_t w = 0; w < v; w++) {
            swg__file_name(swg_source_variable(source, w), other, sizeof other);
            if (strcmp(name, other) == 0)
                return swg__fail(ctx, SWG_EINVAL, "variables \"%s\" and \"%s\" would both be written to %s.vti; choose one with data.vars",
                                 swg_source_variable(source, w), swg_source_variable(source, v), name);
        }
    }
    return SWG_OK;
}

swg_status swg_view_write(swg_context *ctx, const swg_view *view, const char *folder) {
    char path[2048], title[1024], recon[600], name[NAME_MOST];
    swg__file_name(view->variable, name, sizeof name);
    snprintf(path, sizeof path, "%.1500s/%s.vti", folder, name);
    snprintf(recon, sizeof recon, "%.500s_recon", view->variable);
    const swg_vti_array arrays[] = {{view->variable, view->original}, {recon, view->restored}, {"Variable_Normalized_LogPos", view->normalised}};
    SWG__TRY(swg_vti_write(ctx, path, view->shape, arrays, 3));
    const struct { const char *scale; const float *before, *after; } figures[] = {
        {"original", view->original, view->restored}, {"normalised", view->normalised, view->normalised_restored}};
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        snprintf(path, sizeof path, "%.1500s/%s_%s.svg", folder, name, figures[i].scale);
        if (view->items)
            snprintf(title, sizeof title, "%.300s, %s scale, %lld blocks of %.400s", view->variable, figures[i].scale, (long long)view->items, view->file);
        else
            snprintf(title, sizeof title, "%.300s, %s scale, %.400s", view->variable, figures[i].scale, view->file);
        SWG__TRY(write_figure(ctx, view, path, title, figures[i].before, figures[i].after));
    }
    return SWG_OK;
}
