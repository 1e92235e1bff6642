/* stack_axes.c - which axis of a file is time, channel, z, y, x.
 * In: a layout word, or the rank of an array. Out: letters and extents, slowest first.
 * SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "data/stack_format.h"

int swg__axes_find(const swg__axes *axes, char letter) {
    for (int i = 0; i < axes->count; i++)
        if (axes->letter[i] == letter)
            return i;
    return -1;
}

int64_t swg__axes_extent(const swg__axes *axes, char letter) {
    int i = swg__axes_find(axes, letter);
    return i < 0 ? 1 : axes->extent[i];
}

/* T, C, Z in any order, then YX, then C where it did not come before. */
static bool in_order(const swg__axes *axes) {
    int y = swg__axes_find(axes, 'Y');
    return y >= 0 && y + 1 < axes->count && axes->letter[y + 1] == 'X' && (y + 2 == axes->count || (y + 3 == axes->count && axes->letter[y + 2] == 'C'));
}

swg_status swg__axes_parse(swg_context *ctx, const char *name, const char *layout, swg__axes *out) {
    *out = (swg__axes){0};
    for (const char *p = layout; *p;) {
        char letter = (char)toupper((unsigned char)*p++);
        letter = letter == 'B' ? 'T' : letter;
        if (!strchr("TCZYX", letter) || swg__axes_find(out, letter) >= 0)
            return swg__fail(ctx, SWG_EINVAL, "%s: layout=%s: each of the letters T (or B), C, Z, Y, X once at most", name, layout);
        int64_t extent = 0;
        const bool told = isdigit((unsigned char)*p);
        for (; isdigit((unsigned char)*p); p++)
            if ((extent = 10 * extent + (*p - '0')) > INT32_MAX)
                return swg__fail(ctx, SWG_EINVAL, "%s: layout=%s: the extent of %c is too large", name, layout, letter);
        if (told && extent == 0)
            return swg__fail(ctx, SWG_EINVAL, "%s: layout=%s: the extent of %c is 0", name, layout, letter);
        out->letter[out->count] = letter;
        out->extent[out->count++] = extent;
    }
    if (!in_order(out))
        return swg__fail(ctx, SWG_EINVAL, "%s: layout=%s: axes are given slowest first and end in YX or YXC, as TCZYX", name, layout);
    return SWG_OK;
}

static swg_status by_rank(swg_context *ctx, const char *name, int ndim, const int64_t *dims, swg__axes *out) {
    char shape[128] = "";
    for (int i = 0; i < ndim; i++)
        snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "%s%lld", i ? " x " : "", (long long)dims[i]);
    if (ndim == 2)
        return swg__axes_parse(ctx, name, "YX", out);
    if (ndim == 4)
        return swg__axes_parse(ctx, name, "CZYX", out);
    if (ndim == 3)
        return swg__fail(ctx, SWG_EFORMAT, "%s: an array of %s may be slices or channels of an image; say which by layout: ZYX, CYX, TYX or YXC", name, shape);
    if (ndim == 5)
        return swg__fail(ctx, SWG_EFORMAT, "%s: the axes of an array of %s are not told; say them by layout, as TCZYX", name, shape);
    return swg__fail(ctx, SWG_ESHAPE, "%s: an array of %d axes; stacks have two to five", name, ndim);
}

swg_status swg__axes_of_array(swg_context *ctx, const char *name, const char *layout, int ndim, const int64_t *dims, swg__axes *out, const char **order_from) {
    *order_from = layout ? "layout" : "rank";
    SWG__TRY(layout ? swg__axes_parse(ctx, name, layout, out) : by_rank(ctx, name, ndim, dims, out));
    if (out->count != ndim)
        return swg__fail(ctx, SWG_EINVAL, "%s: layout=%s has %d axes, the array %d", name, layout, out->count, ndim);
    for (int i = 0; i < ndim; i++) {
        if (out->extent[i] && out->extent[i] != dims[i])
            return swg__fail(ctx, SWG_EINVAL, "%s: layout=%s: axis %c of the array has extent %lld", name, layout, out->letter[i], (long long)dims[i]);
        out->extent[i] = dims[i];
    }
    return SWG_OK;
}
