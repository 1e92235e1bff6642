/* slices.c - pictures for the report: original, restored, error, and what the network alone makes of the same plane.
 * In: a .swz, its originals, a model. Out: figures on a page.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "archive/quality.h"

/* ---- what the network alone makes of an array: encode, decode, no residual, no bound ---- */

static swg_status network_alone(swg_context *ctx, swg_model *model, const swg_array *array, const void *original, void *restored) {
    int64_t edge = swg_model_edge(model), values = edge * edge * edge;
    size_t size = (size_t)swg_element_bytes(array->element);
    const swg_norm *norm = swg_model_norm(model);
    int64_t variable = swg_norm_variable(norm, array->variable);
    swg_blocks blocks;
    if (variable < 0)
        return swg__fail(ctx, SWG_ENOTFOUND, "the network's normaliser does not know variable \"%s\"", array->variable);
    SWG__TRY(swg_blocks_plan(ctx, array->ndim, array->dims, SWG_CUT_TILE, edge, &blocks));
    char *cut = swg__alloc(ctx, (size_t)(blocks.count * values) * size);
    float *y = swg__alloc(ctx, (size_t)(blocks.count * values) * sizeof *y);
    float *z = swg__alloc(ctx, (size_t)(blocks.count * swg_model_network(model)->latent) * sizeof *z);
    swg_side *sides = swg__calloc(ctx, (size_t)blocks.count, sizeof *sides);
    swg_status status = cut && y && z && sides ? SWG_OK : swg__fail_memory(ctx, (size_t)(blocks.count * values) * size, "blocks");
    if (status == SWG_OK) {
        swg_blocks_cut(&blocks, array->element, original, 0, blocks.count, cut);
        for (int64_t b = 0; b < blocks.count; b++)
            swg_norm_forward(norm, variable, array->element, cut + (size_t)(b * values) * size, values, &sides[b], y + b * values);
        status = swg_model_encode(model, blocks.count, y, z);
    }
    if (status == SWG_OK)
        status = swg_model_decode(model, blocks.count, z, y);
    for (int64_t b = 0; b < blocks.count && status == SWG_OK; b++)
        if (sides[b].flag == SWG_BLOCK_NORMAL)
            swg_norm_inverse(norm, variable, &sides[b], y + b * values, values, array->element, cut + (size_t)(b * values) * size);
    if (status == SWG_OK)
        swg_blocks_join(&blocks, array->element, cut, 0, blocks.count, restored);
    swg__free(ctx, sides);
    swg__free(ctx, z);
    swg__free(ctx, y);
    swg__free(ctx, cut);
    return status;
}

/* ---- pictures ---- */

enum { SIDE_MOST = 512, MOSAIC = 8 }; /* pixels of a slice; blocks per side of a mosaic */

/* Where the pixels of a picture come from. */
typedef struct picture {
    const swg_swz_info *info;
    int64_t rows, columns;
    int64_t step;    /* grid: every step-th value */
    int64_t side;    /* blocks: side x side of them, with a pixel between; 0: a grid */
    int64_t count;   /* blocks shown */
} picture;

static picture plan_picture(const swg_swz_info *info) {
    picture p = {.info = info, .step = 1};
    const int64_t *dims = info->dims + info->ndim - 2;
    if (info->layout == SWG_CODEC_BLOCKS) {
        p.count = info->dims[0] < MOSAIC * MOSAIC ? info->dims[0] : MOSAIC * MOSAIC;
        while (p.side * p.side < p.count)
            p.side++;
        p.rows = p.columns = p.side * (dims[0] + 1) - 1;
        return p;
    }
    while ((dims[0] - 1) / p.step >= SIDE_MOST || (dims[1] - 1) / p.step >= SIDE_MOST)
        p.step++;
    p.rows = (dims[0] - 1) / p.step + 1;
    p.columns = (dims[1] - 1) / p.step + 1;
    return p;
}

/* Index of the value at a pixel: the middle plane of the grid, or of each of the chosen blocks; -1 between blocks. */
static int64_t value_index(const picture *p, int64_t row, int64_t column) {
    const swg_swz_info *info = p->info;
    int64_t ny = info->dims[info->ndim - 2], nx = info->dims[info->ndim - 1], planes = info->values / (ny * nx);
    if (!p->side)
        return planes / 2 * ny * nx + row * p->step * nx + column * p->step;
    int64_t tile = row / (ny + 1) * p->side + column / (nx + 1), y = row % (ny + 1), x = column % (nx + 1);
    if (tile >= p->count || y == ny || x == nx)
        return -1;
    int64_t block = tile * info->dims[0] / p->count;
    return ((block * info->dims[1] + info->dims[1] / 2) * ny + y) * nx + x;
}

static double value_at(swg_element element, const void *data, int64_t i) {
    return element == SWG_ELEMENT_F64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

/* `unit`: what errors are divided by, 0: nothing. */
static void draw(swg_report *page, const picture *p, const void *original, const void *restored, double unit, const char *what, float *planes) {
    const swg_swz_info *info = p->info;
    const int64_t pixels = p->rows * p->columns;
    double low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < pixels; i++) {
        int64_t at = value_index(p, i / p->columns, i % p->columns);
        double a = at < 0 ? NAN : value_at(info->type, original, at), b = at < 0 ? NAN : value_at(info->type, restored, at);
        planes[i] = (float)a;
        planes[pixels + i] = (float)b;
        planes[2 * pixels + i] = (float)(unit > 0 ? (b - a) / unit : b - a);
        low = isfinite(a) ? fmin(low, a) : low;
        high = isfinite(a) ? fmax(high, a) : high;
    }
    bool any = low <= high;
    const swg_report_slice slices[3] = {
        {.title = "original", .rows = p->rows, .columns = p->columns, .values = planes, .low = any ? low : 0, .high = any ? high : 0},
        {.title = "restored", .rows = p->rows, .columns = p->columns, .values = planes + pixels, .low = any ? low : 0, .high = any ? high : 0},
        {.title = unit > 0 ? "error / bound" : "error", .rows = p->rows, .columns = p->columns, .values = planes + 2 * pixels,
         .low = unit > 0 ? -1 : 0, .high = unit > 0 ? 1 : 0, .diverging = true}};
    char caption[400];
    if (p->side)
        snprintf(caption, sizeof caption, "%.120s of %.120s, middle planes of %lld of %lld blocks: %s", info->name, info->source, (long long)p->count,
                 (long long)info->dims[0], what);
    else
        snprintf(caption, sizeof caption, "%.120s of %.120s, middle plane: %s", info->name, info->source, what);
    swg_report_slices(page, caption, slices, 3);
}

/* Original, restored and error of a grid as image data for ParaView. */
static swg_status write_volume(swg_context *ctx, const char *folder, const swg_swz_info *info, const void *original, const void *restored) {
    char path[4600], name[401];
    size_t count = (size_t)info->values;
    float *volumes = swg__alloc(ctx, 3 * count * sizeof *volumes);
    if (!volumes)
        return swg__fail_memory(ctx, 3 * count * sizeof *volumes, info->name);
    for (size_t i = 0; i < count; i++) {
        double a = value_at(info->type, original, (int64_t)i), b = value_at(info->type, restored, (int64_t)i);
        volumes[i] = (float)a;
        volumes[count + i] = (float)b;
        volumes[2 * count + i] = (float)(b - a);
    }
    swg__file_name(info->name, name, sizeof name);
    snprintf(path, sizeof path, "%.4000s/%s.vti", folder, name);
    const swg_vti_array arrays[] = {{"original", volumes}, {"restored", volumes + count}, {"error", volumes + 2 * count}};
    swg_status status = swg_vti_write(ctx, path, info->dims, arrays, 3);
    swg__free(ctx, volumes);
    return status;
}

static swg_status add_slice(swg_context *ctx, const swg__gallery *g, int64_t member, swg_source *source, int64_t index, swg__quality *quality,
                            swg__curve_point *curve, int *points) {
    const swg_swz *swz = g->swz;
    swg_model *model = g->model;
    swg_report *page = g->page;
    const swg_swz_info *info = swg_swz_member(swz, member);
    const swg_array *array = swg_source_array(source, index);
    if (array->element != info->type || array->ndim != info->ndim || memcmp(array->dims, info->dims, (size_t)info->ndim * sizeof info->dims[0]) != 0)
        return swg__fail(ctx, SWG_ESHAPE, "\"%s\" of \"%s\" has another type or shape than the original %s", info->name, info->source, array->file);
    picture p = plan_picture(info);
    char *restored = swg__alloc(ctx, (size_t)info->bytes_raw), *original = swg__alloc(ctx, (size_t)info->bytes_raw);
    float *planes = swg__alloc(ctx, (size_t)(3 * p.rows * p.columns) * sizeof *planes);
    swg_status status = restored && original && planes ? SWG_OK : swg__fail_memory(ctx, (size_t)info->bytes_raw, "slices");
    if (status == SWG_OK)
        status = swg_swz_read(swz, member, restored, (size_t)info->bytes_raw);
    if (status == SWG_OK)
        status = swg_source_read(source, index, original);
    if (status == SWG_OK)
        draw(page, &p, original, restored, info->eb_abs, "the compressed file", planes);
    if (status == SWG_OK && g->folder && info->layout == SWG_CODEC_GRID && info->ndim == 3)
        status = write_volume(ctx, g->folder, info, original, restored);
    if (status == SWG_OK) {
        swg__quality_measure(info, original, restored, quality);
        status = swg__quality_curve(ctx, info, original, curve, points);
    }
    if (status == SWG_OK) {
        const swg__shown shown = {swz, member, quality, curve, *points};
        swg__quality_html(page, &shown);
        swg__quality_json(&shown, g->list);
    }
    if (status == SWG_OK && model)
        status = network_alone(ctx, model, array, original, restored);
    if (status == SWG_OK && model)
        draw(page, &p, original, restored, 0, "the autoencoder alone, without residual and without a bound", planes);
    swg__free(ctx, planes);
    swg__free(ctx, original);
    swg__free(ctx, restored);
    return status;
}

/* The last grid of a variable (the latest time); its last blocks if it has no grid. */
static int64_t choose_member(const swg_swz *swz, const char *variable) {
    int64_t chosen = -1;
    for (int64_t i = 0; i < swg_swz_count(swz); i++) {
        const swg_swz_info *info = swg_swz_member(swz, i);
        bool grid = info->layout == SWG_CODEC_GRID;
        if (strcmp(info->name, variable) == 0 && (chosen < 0 || grid || swg_swz_member(swz, chosen)->layout != SWG_CODEC_GRID))
            chosen = i;
    }
    return chosen;
}

swg_status swg__html_slices(swg_context *ctx, const swg__gallery *g, swg_source *source, const swg_archive_report *r, int most) {
    int64_t count = r->variable_count < most ? r->variable_count : most, from = 0, index, shown = 0;
    if (count < 1)
        return SWG_OK;
    swg__quality *quality = swg__alloc(ctx, sizeof *quality);
    swg__curve_point (*curves)[SWG__CURVE] = swg__calloc(ctx, (size_t)count, sizeof *curves);
    int *points = swg__calloc(ctx, (size_t)count, sizeof *points);
    const char **names = swg__calloc(ctx, (size_t)count, sizeof *names);
    swg_status status = quality && curves && points && names ? SWG_OK : swg__fail_memory(ctx, sizeof *quality, "the report");
    if (status == SWG_OK)
        swg_report_heading(g->page, "Slices and errors");
    for (int64_t k = 0; k < count && status == SWG_OK; k++) {
        int64_t member = choose_member(g->swz, r->variables[k * r->variable_count / count].variable);
        if (member < 0)
            continue;
        status = swg__original_find(ctx, g->swz, swg_swz_member(g->swz, member), source, g->original, &from, &index);
        if (status == SWG_OK)
            status = add_slice(ctx, g, member, source, index, quality, curves[shown], &points[shown]);
        names[shown++] = swg_swz_member(g->swz, member)->name;
    }
    if (status == SWG_OK)
        swg__curves_html(g->page, names, (const swg__curve_point (*)[SWG__CURVE])curves, points, shown);
    swg__free(ctx, names);
    swg__free(ctx, points);
    swg__free(ctx, curves);
    swg__free(ctx, quality);
    return status;
}
