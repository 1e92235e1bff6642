/* stack_words.c - what the description of a TIFF says about its pages: ImageJ's lines, tifffile's JSON, the caller's layout; units.
 * In: the ImageDescription and the facts of the first page. Out: axes of the pages, voxel size.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "data/stack_format.h"

typedef struct unit {
    const char *name;
    double size;
} unit;

static double of_table(const unit *table, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0)
            return table[i].size;
    return 0;
}

double swg__unit_um(const char *name) {
    static const unit table[] = {{"\xc2\xb5m", 1}, {"\xce\xbcm", 1}, {"\xb5m", 1}, {"\\u00B5m", 1}, {"um", 1},      {"micron", 1},     {"microns", 1}, {"micrometer", 1},
                                 {"nm", 1e-3},     {"pm", 1e-6},     {"\xc3\x85", 1e-4}, {"mm", 1e3},   {"cm", 1e4}, {"m", 1e6}, {"inch", 25400}, {"in", 25400}};
    return of_table(table, sizeof table / sizeof *table, name);
}

double swg__unit_s(const char *name) {
    static const unit table[] = {{"s", 1}, {"sec", 1}, {"ms", 1e-3}, {"\xc2\xb5s", 1e-6}, {"us", 1e-6}, {"ns", 1e-9}, {"min", 60}, {"h", 3600}, {"d", 86400}};
    return of_table(table, sizeof table / sizeof *table, name);
}

static void add_axis(swg__axes *axes, char letter, int64_t extent) {
    axes->letter[axes->count] = letter;
    axes->extent[axes->count++] = extent;
}

/* ---- ImageJ: "ImageJ=1.53f\nimages=34\nchannels=2\n..." ---- */

/* The value of a key that begins a line; false if there is none or it does not fit. */
static bool line_value(const char *text, const char *key, char *out, size_t capacity) {
    const size_t length = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, key, length) != 0 || line[length] != '=')
            continue;
        size_t n = strcspn(line + length + 1, "\r\n");
        if (n >= capacity)
            return false;
        memcpy(out, line + length + 1, n);
        out[n] = 0;
        return true;
    }
    return false;
}

static swg_status line_count(swg_stack *stack, const char *text, const char *key, int64_t *out) {
    char word[32], *end;
    *out = 1;
    if (!line_value(text, key, word, sizeof word))
        return SWG_OK;
    long long value = strtoll(word, &end, 10);
    if (*end || end == word || value < 1 || value > INT32_MAX)
        return swg__fail(stack->ctx, SWG_ECORRUPT, "%s: ImageJ's description says %s=%s", stack->name, key, word);
    *out = value;
    return SWG_OK;
}

static double line_number(const char *text, const char *key) {
    char word[64];
    double value = line_value(text, key, word, sizeof word) ? fabs(strtod(word, NULL)) : 0;
    return isfinite(value) ? value : 0;
}

static void imagej_sizes(const char *text, const swg__page_facts *facts, swg__planes *out) {
    char word[32];
    const double um = line_value(text, "unit", word, sizeof word) ? swg__unit_um(word) : 0;
    out->size_um[0] = um * line_number(text, "spacing");
    out->size_um[1] = facts->y_resolution > 0 ? um / (double)facts->y_resolution : 0;
    out->size_um[2] = facts->x_resolution > 0 ? um / (double)facts->x_resolution : 0;
    const double second = line_value(text, "tunit", word, sizeof word) ? swg__unit_s(word) : 1.;
    out->interval_s = second * line_number(text, "finterval");
}

static swg_status of_imagej(swg_stack *stack, const char *text, const swg__page_facts *facts, swg__planes *out) {
    int64_t images, extent[3], all; /* extent: T, Z, C as pages lie */
    out->order_from = "ImageJ";
    SWG__TRY(line_count(stack, text, "images", &images));
    SWG__TRY(line_count(stack, text, "frames", &extent[0]));
    SWG__TRY(line_count(stack, text, "slices", &extent[1]));
    SWG__TRY(line_count(stack, text, "channels", &extent[2]));
    const int64_t pages = facts->pages - facts->copies;
    if (images == 1 && pages > 1)
        images = pages;
    if (images == 1 && extent[2] == facts->samples)
        extent[2] = 1; /* they are the samples of a pixel */
    bool fits = !swg__mul_overflow(extent[0], extent[1], &all) && !swg__mul_overflow(all, extent[2], &all);
    if (fits && all == 1)
        all = extent[1] = images;
    if (!fits || all != images)
        return swg__fail(stack->ctx, SWG_EFORMAT, "%s: ImageJ's description tells of %lld images, as %lld times, %lld slices and %lld channels; say the axes by layout",
                         stack->name, (long long)images, (long long)extent[0], (long long)extent[1], (long long)extent[2]);
    out->behind = images > 1 && pages == 1 && facts->plain;
    if (!out->behind && images != pages)
        return swg__fail(stack->ctx, images > pages ? SWG_ECORRUPT : SWG_EFORMAT, "%s: ImageJ's description tells of %lld images, the file has %lld",
                         stack->name, (long long)images, (long long)pages);
    for (int i = 0; i < 3; i++)
        if (extent[i] > 1)
            add_axis(&out->axes, "TZC"[i], extent[i]);
    imagej_sizes(text, facts, out);
    return SWG_OK;
}

/* ---- tifffile: {"shape": [31, 61, 57], "axes": "ZYX"} ---- */

enum { MOST_SHAPE = 16 };

/* The extents and letters that are pages: those before Y, X and the samples. -1: the shape is not that of the first page. */
static int page_axes(const int64_t *dims, int ndim, const swg__page_facts *facts) {
    const int64_t h = facts->height, w = facts->width;
    if (facts->samples == 1 && ndim >= 2 && dims[ndim - 2] == h && dims[ndim - 1] == w)
        return ndim - 2;
    if (ndim >= 3 && dims[ndim - 3] == h && dims[ndim - 2] == w && dims[ndim - 1] == facts->samples)
        return ndim - 3;
    if (ndim >= 3 && dims[ndim - 3] == facts->samples && dims[ndim - 2] == h && dims[ndim - 1] == w)
        return ndim - 3;
    return -1;
}

static int read_shape(const cJSON *shape, int64_t dims[MOST_SHAPE]) {
    int ndim = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, shape) {
        if (ndim == MOST_SHAPE || !cJSON_IsNumber(item) || !(item->valuedouble >= 1 && item->valuedouble <= INT32_MAX) || floor(item->valuedouble) != item->valuedouble)
            return 0;
        dims[ndim++] = (int64_t)item->valuedouble;
    }
    return ndim;
}

static swg_status unclear(swg_stack *stack, const char *what) {
    return swg__fail(stack->ctx, SWG_EFORMAT, "%s: %s; say the axes by layout, as TC3ZYX, slowest first", stack->name, what);
}

/* letters: of tifffile, as many as there are extents; NULL: none. */
static swg_status shape_axes(swg_stack *stack, const int64_t *dims, int count, const char *letters, swg__planes *out) {
    char what[64];
    for (int i = 0; i < count; i++) {
        if (dims[i] == 1)
            continue;
        char letter = letters ? letters[i] : 'Z';
        if (!strchr("TCZ", letter)) {
            snprintf(what, sizeof what, "tifffile's description has an axis %c", letter);
            return unclear(stack, what);
        }
        if (swg__axes_find(&out->axes, letter) >= 0)
            return unclear(stack, "tifffile's description does not tell which axes are time, channel and z");
        add_axis(&out->axes, letter, dims[i]);
    }
    return SWG_OK;
}

static swg_status of_json(swg_stack *stack, const cJSON *root, const swg__page_facts *facts, swg__planes *out) {
    int64_t dims[MOST_SHAPE], all = 1;
    const int ndim = read_shape(cJSON_GetObjectItemCaseSensitive(root, "shape"), dims), count = page_axes(dims, ndim, facts);
    const cJSON *axes = cJSON_GetObjectItemCaseSensitive(root, "axes");
    out->order_from = "tifffile";
    bool fits = count >= 0;
    for (int i = 0; i < count; i++)
        fits = fits && !swg__mul_overflow(all, dims[i], &all) && all <= INT32_MAX;
    const int64_t pages = facts->pages - facts->copies;
    out->behind = fits && all > 1 && pages == 1 && facts->plain;
    if (!fits || (all != pages && !out->behind))
        return unclear(stack, "tifffile's description is not that of the pages");
    const bool told = cJSON_IsString(axes) && strlen(axes->valuestring) == (size_t)ndim;
    if (stack->layout) { /* it needs the number of planes only */
        add_axis(&out->axes, 'Z', all);
        return SWG_OK;
    }
    return shape_axes(stack, dims, count, told ? axes->valuestring : NULL, out);
}

/* ---- the caller's layout ---- */

/* Extents that the layout leaves out: the one that remains of `planes`. */
static swg_status of_layout(swg_stack *stack, const swg__page_facts *facts, int64_t planes, swg__axes *out) {
    swg__axes given;
    int64_t told = 1;
    int open = -1;
    SWG__TRY(swg__axes_parse(stack->ctx, stack->name, stack->layout, &given));
    out->count = 0;
    for (int i = 0; i < given.count; i++) {
        const char letter = given.letter[i];
        const int64_t here = letter == 'Y' ? facts->height : letter == 'X' ? facts->width : facts->colours; /* C behind X: samples */
        if (letter != 'Y' && letter != 'X' && i < swg__axes_find(&given, 'Y')) {
            if (!given.extent[i] && open >= 0)
                return swg__fail(stack->ctx, SWG_EINVAL, "%s: layout=%s: the extents of %c and %c are not told; write them behind the letters, as TC3ZYX, for all but one",
                                 stack->name, stack->layout, out->letter[open], letter);
            open = given.extent[i] ? open : out->count;
            if (given.extent[i] && swg__mul_overflow(told, given.extent[i], &told))
                told = INT64_MAX;
            add_axis(out, letter, given.extent[i]);
        } else if (given.extent[i] && given.extent[i] != here) {
            return swg__fail(stack->ctx, SWG_EINVAL, "%s: layout=%s: axis %c has extent %lld in the file", stack->name, stack->layout, letter, (long long)here);
        }
    }
    if (open >= 0 ? told > planes || planes % told != 0 : told != planes)
        return swg__fail(stack->ctx, SWG_EINVAL, "%s: layout=%s does not fit a file of %lld plane%s", stack->name, stack->layout, (long long)planes, planes == 1 ? "" : "s");
    if (open >= 0)
        out->extent[open] = planes / told;
    return SWG_OK;
}

static swg_status of_words(swg_stack *stack, const char *text, const swg__page_facts *facts, swg__planes *out) {
    out->order_from = "pages";
    if (text && strncmp(text, "ImageJ=", 7) == 0)
        return of_imagej(stack, text, facts, out);
    cJSON *root = text && *text == '{' ? cJSON_Parse(text) : NULL;
    if (root && cJSON_HasObjectItem(root, "shape")) {
        swg_status status = of_json(stack, root, facts, out);
        cJSON_Delete(root);
        return status;
    }
    cJSON_Delete(root);
    if (facts->pages - facts->copies > 1)
        add_axis(&out->axes, 'Z', facts->pages - facts->copies);
    return SWG_OK;
}

swg_status swg__planes_settle(swg_stack *stack, const char *text, const swg__page_facts *facts, swg__planes *out) {
    *out = (swg__planes){.images = 1};
    if (text && swg__is_ome(text)) {
        if (!stack->layout)
            return swg__planes_of_ome(stack, text, facts, out);
        text = NULL;
    }
    swg_status status = of_words(stack, text, facts, out);
    if (!stack->layout)
        return status;
    int64_t planes = 1;
    if (status != SWG_OK) { /* words that do not fit are what a layout is given against */
        out->axes.count = 0;
        planes = facts->pages - facts->copies;
    }
    for (int i = 0; i < out->axes.count; i++)
        planes *= out->axes.extent[i]; /* the number of pages, or one that was checked */
    out->order_from = "layout";
    return of_layout(stack, facts, planes, &out->axes);
}
