/* build_gather.c - builders of constant arrays, gather and scatter along an axis, roll, and the windows of Swin.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ir.h"
#include <string.h>

/* ---- arrays ---- */

swg_value swg_input_index(swg_graph *g, const char *name, int ndim, const int64_t *shape) {
    swg_value v = swg_input(g, name, ndim, shape);
    if (v)
        g->nodes[v].dtype = SWG_I32;
    return v;
}

static swg_value array(swg_graph *g, swg_dtype dtype, int ndim, const int64_t *shape, const void *given, const void *data) {
    if (g->status == SWG_OK && (!shape || !given || ndim < 1 || ndim > SWG_MAX_DIMS))
        return swg__graph_fail(g, SWG_EINVAL, "array: %d dimensions, expected 1 to %d, or NULL where numbers are needed", ndim, SWG_MAX_DIMS);
    swg__attr attr = {0};
    memcpy(&attr.data, &data, sizeof data); /* swg__append makes a copy of it */
    return swg__append(g, SWG__ARRAY, dtype, ndim, shape, 0, NULL, &attr);
}

swg_value swg_constant_array(swg_graph *g, int ndim, const int64_t *shape, const double *values) {
    swg_value v = array(g, g->dtype, ndim, shape, values, g->dtype == SWG_F64 ? values : NULL);
    for (int64_t i = 0; v && g->dtype == SWG_F32 && i < swg_elements(g, v); i++)
        ((float *)g->nodes[v].attr.data)[i] = (float)values[i];
    return v;
}

swg_value swg_constant_index(swg_graph *g, int ndim, const int64_t *shape, const int32_t *values) {
    return array(g, SWG_I32, ndim, shape, values, values);
}

/* ---- gather and scatter ---- */

/* Is the index (m), (leading..., m) or like x but for the axis? */
static bool index_fits(const swg__node *x, const swg__node *index, int axis) {
    if (index->ndim == 1)
        return true;
    bool fits = index->ndim == axis + 1 || index->ndim == x->ndim;
    for (int i = 0; fits && i < index->ndim; i++)
        fits = i == axis || index->shape[i] == x->shape[i];
    return fits;
}

static bool check_index(swg_graph *g, swg__op op, swg_value x, swg_value index, int axis) {
    if (!swg__check(g, swg__ops[op].text, x))
        return false;
    if (index == SWG_NONE || index >= g->count || g->nodes[index].dtype != SWG_I32) {
        swg__graph_fail(g, SWG_EDTYPE, "%s: the index must be of SWG_I32: an argsort, an index input or array", swg__ops[op].text);
        return false;
    }
    char left[224], right[224];
    if (axis < 0 || axis >= swg_ndim(g, x) || !index_fits(&g->nodes[x], &g->nodes[index], axis))
        swg__graph_fail(g, SWG_ESHAPE, "%s: index %s does not fit %s along axis %d", swg__ops[op].text,
                        swg__value_text(g, index, left, sizeof left), swg__value_text(g, x, right, sizeof right), axis);
    return g->status == SWG_OK;
}

/* Arrays are known now, so what lies outside of them is an error now. */
static bool check_array(swg_graph *g, swg__op op, swg_value index, int64_t extent) {
    const swg__node *n = &g->nodes[swg__base_of(g, index)];
    const int32_t *at = n->op == SWG__ARRAY ? n->attr.data : NULL;
    for (int64_t i = 0; at && i < swg__shape_elements(n->ndim, n->shape); i++)
        if (at[i] < 0 || at[i] >= extent) {
            swg__graph_fail(g, SWG_EINVAL, "%s: index %d at position %lld, the extent is %lld", swg__ops[op].text, at[i], (long long)i,
                            (long long)extent);
            return false;
        }
    return true;
}

swg_value swg_gather(swg_graph *g, swg_value x, swg_value index, int axis) {
    if (!check_index(g, SWG__GATHER, x, index, axis) || !check_array(g, SWG__GATHER, index, swg_shape(g, x)[axis]))
        return SWG_NONE;
    int64_t shape[SWG_MAX_DIMS];
    int ndim = swg_ndim(g, x), index_ndim = swg_ndim(g, index);
    memcpy(shape, swg_shape(g, x), (size_t)ndim * sizeof *shape);
    shape[axis] = swg_shape(g, index)[index_ndim == 1 ? 0 : axis];
    return swg__append(g, SWG__GATHER, g->dtype, ndim, shape, 2, (swg_value[]){x, index}, &(swg__attr){.axis = axis});
}

swg_value swg_scatter_add(swg_graph *g, swg_value x, swg_value index, int axis, int64_t extent) {
    if (!check_index(g, SWG__SCATTER, x, index, axis) || !check_array(g, SWG__SCATTER, index, extent))
        return SWG_NONE;
    int64_t shape[SWG_MAX_DIMS], count = swg_shape(g, index)[swg_ndim(g, index) == 1 ? 0 : axis];
    int ndim = swg_ndim(g, x);
    memcpy(shape, swg_shape(g, x), (size_t)ndim * sizeof *shape);
    if (count != shape[axis])
        return swg__graph_fail(g, SWG_ESHAPE, "scatter_add: %lld indices for %lld slices", (long long)count, (long long)shape[axis]);
    shape[axis] = extent;
    return swg__append(g, SWG__SCATTER, g->dtype, ndim, shape, 2, (swg_value[]){x, index}, &(swg__attr){.axis = axis});
}

swg_value swg__spatial_gather(swg_graph *g, swg_value x, swg_value index, int axis) {
    if (g->status != SWG_OK)
        return SWG_NONE;
    int ndim = swg_ndim(g, x);
    return swg__append(g, SWG__GATHER, g->dtype, ndim, swg_shape(g, index), 2, (swg_value[]){x, index},
                       &(swg__attr){.axis = axis, .begin = {ndim - 2}});
}

swg_value swg__spatial_scatter(swg_graph *g, swg_value x, swg_value index, int axis, const int64_t *to) {
    if (g->status != SWG_OK)
        return SWG_NONE;
    int ndim = swg_ndim(g, x);
    return swg__append(g, SWG__SCATTER, g->dtype, ndim, to, 2, (swg_value[]){x, index}, &(swg__attr){.axis = axis, .begin = {ndim - 2}});
}

swg__gather swg__gather_of(const swg_graph *g, const swg__node *n) {
    const swg__node *x = &g->nodes[n->in[0]], *index = &g->nodes[n->in[1]];
    bool gathers = n->op == SWG__GATHER;
    int64_t flat = n->attr.begin[0] ? n->attr.begin[0] : 1; /* axes taken as one */
    const swg__node *picked = gathers ? n : x, *from = gathers ? x : n;
    swg__gather v = {.outer = 1, .inner = 1, .n = 1, .m = 1};
    for (int i = 0; i < n->ndim; i++) {
        if (i >= n->attr.axis && i < n->attr.axis + flat) {
            v.n *= from->shape[i];
            v.m *= picked->shape[i];
        } else {
            *(i < n->attr.axis ? &v.outer : &v.inner) *= n->shape[i];
        }
    }
    bool full = index->ndim == n->ndim && n->ndim > 1;
    v.index_inner = full && v.inner > 1 ? 1 : 0;
    v.index_m = full ? v.inner : 1;
    v.index_outer = index->ndim == 1 ? 0 : v.m * v.index_m;
    return v;
}

/* ---- roll ---- */

swg_value swg_roll(swg_graph *g, swg_value x, const int64_t *shift) {
    if (!swg__check(g, "roll", x))
        return SWG_NONE;
    if (!shift)
        return swg__graph_fail(g, SWG_EINVAL, "roll: NULL where the shifts stand");
    const swg__node *n = &g->nodes[x];
    swg__attr attr = {0};
    bool any = false;
    for (int i = 0; i < n->ndim; i++) {
        attr.begin[i] = (shift[i] % n->shape[i] + n->shape[i]) % n->shape[i];
        any = any || attr.begin[i];
    }
    return any ? swg__append(g, SWG__ROLL, n->dtype, n->ndim, n->shape, 1, &x, &attr) : x;
}

/* ---- windows: reshape to (N, count, window, ...) and permute ---- */

static bool windows_fit(swg_graph *g, const char *what, int spatial, const int64_t *extent, const int64_t *window) {
    if (g->status == SWG_OK && (spatial < 1 || spatial > 3 || !extent || !window))
        swg__graph_fail(g, SWG_ESHAPE, "%s: %d spatial axes, expected 1 to 3, with an extent and a window each", what, spatial);
    for (int i = 0; g->status == SWG_OK && i < spatial; i++)
        if (window[i] < 1 || extent[i] < 1 || extent[i] % window[i])
            swg__graph_fail(g, SWG_ESHAPE, "%s: windows of %lld do not divide extent %lld of spatial axis %d; pad it", what,
                            (long long)window[i], (long long)extent[i], i);
    return g->status == SWG_OK;
}

static swg_value rolled(swg_graph *g, swg_value x, int spatial, const int64_t *shift, int sign) {
    int64_t by[SWG_MAX_DIMS] = {0};
    for (int i = 0; shift && i < spatial; i++)
        by[1 + i] = sign * shift[i];
    return shift ? swg_roll(g, x, by) : x;
}

/* Six axes hold samples, channels and two spatial axes cut in two: a third one is cut before, with the samples. Windows of sample b are
 * in order; axis 0 becomes b, then windows along the axes. */
static swg_value cut(swg_graph *g, swg_value x, int spatial, const int64_t *extent, const int64_t *window, int64_t samples, int64_t channels,
                     bool merge) {
    int64_t count[3] = {1, 1, 1}, size[3] = {1, 1, 1};
    for (int i = 0; i < spatial; i++) {
        count[3 - spatial + i] = extent[i] / window[i];
        size[3 - spatial + i] = window[i];
    }
    /* (N, a0 s0, rest) with a0 s0 the first of three: planes (N a0, s0, a1 s1, a2 s2, C), rows gathered inside. */
    int64_t planes[6] = {samples * count[0] * size[0], count[1], size[1], count[2], size[2], channels};
    int64_t swapped[6] = {samples * count[0] * size[0], count[1], count[2], size[1], size[2], channels};
    int64_t before[4] = {samples * count[0], size[0], count[1] * count[2], size[1] * size[2] * channels};
    int64_t after[4] = {samples * count[0], count[1] * count[2], size[0], size[1] * size[2] * channels};
    const int inner[6] = {0, 1, 3, 2, 4, 5}, outer[4] = {0, 2, 1, 3};
    if (!merge) {
        x = swg_permute(g, swg_reshape(g, x, 6, planes), inner);
        return size[0] == 1 ? x : swg_permute(g, swg_reshape(g, x, 4, before), outer);
    }
    if (size[0] > 1)
        x = swg_permute(g, swg_reshape(g, x, 4, after), outer);
    return swg_permute(g, swg_reshape(g, x, 6, swapped), inner);
}

swg_value swg_window_partition(swg_graph *g, swg_value x, const int64_t *window, const int64_t *shift) {
    if (!swg__check(g, "window_partition", x))
        return SWG_NONE;
    int spatial = swg_ndim(g, x) - 2;
    int64_t extent[SWG_MAX_DIMS] = {0}, positions = 1, channels = swg_shape(g, x)[swg_ndim(g, x) - 1], samples = swg_shape(g, x)[0];
    for (int i = 0; i < spatial; i++)
        extent[i] = swg_shape(g, x)[1 + i];
    if (!windows_fit(g, "window_partition", spatial, extent, window))
        return SWG_NONE;
    for (int i = 0; i < spatial; i++)
        positions *= window[i];
    x = cut(g, rolled(g, x, spatial, shift, -1), spatial, extent, window, samples, channels, false);
    return x ? swg_reshape(g, x, 3, (int64_t[]){-1, positions, channels}) : SWG_NONE;
}

swg_value swg_window_merge(swg_graph *g, swg_value windows, int spatial, const int64_t *extent, const int64_t *window, const int64_t *shift) {
    if (!swg__check(g, "window_merge", windows) || !windows_fit(g, "window_merge", spatial, extent, window))
        return SWG_NONE;
    int64_t shape[SWG_MAX_DIMS], positions = 1, count = 1;
    const swg__node *n = &g->nodes[windows];
    for (int i = 0; i < spatial; i++) {
        positions *= window[i];
        count *= extent[i] / window[i];
        shape[1 + i] = extent[i];
    }
    if (n->ndim != 3 || n->shape[0] % count || n->shape[1] != positions) {
        char text[96];
        return swg__graph_fail(g, SWG_ESHAPE, "window_merge: %s, expected (samples * %lld windows, %lld positions, channels)",
                               swg__shape_text(n, text, sizeof text), (long long)count, (long long)positions);
    }
    shape[0] = n->shape[0] / count;
    shape[1 + spatial] = n->shape[2];
    swg_value x = cut(g, windows, spatial, extent, window, shape[0], shape[1 + spatial], true);
    return x ? rolled(g, swg_reshape(g, x, spatial + 2, shape), spatial, shift, 1) : SWG_NONE;
}

/* After a roll by -shift, positions from extent - shift on came from the other side: along each axis there are up to three regions, and
 * positions of one window may attend to each other if their regions agree. */
swg_value swg_window_mask(swg_graph *g, int spatial, const int64_t *extent, const int64_t *window, const int64_t *shift, double masked) {
    if (g->status != SWG_OK || !windows_fit(g, "window_mask", spatial, extent, window))
        return SWG_NONE;
    int64_t count = 1, positions = 1;
    for (int i = 0; i < spatial; i++) {
        count *= extent[i] / window[i];
        positions *= window[i];
    }
    int64_t elements;
    if (swg__mul_overflow(positions, positions, &elements) || swg__mul_overflow(elements, count, &elements) || elements > INT32_MAX)
        return swg__graph_fail(g, SWG_ESHAPE, "window_mask: more than 2^31 - 1 elements");
    int *region = swg__alloc(g->ctx, (size_t)positions * sizeof *region);
    double *mask = swg__alloc(g->ctx, (size_t)elements * sizeof *mask);
    swg_value v = SWG_NONE;
    if (!region || !mask) {
        swg__graph_fail(g, SWG_ENOMEM, "out of memory for a window mask of %lld elements", (long long)elements);
        goto done;
    }
    for (int64_t w = 0; w < count; w++) {
        for (int64_t p = 0; p < positions; p++) {
            int64_t window_left = w, place_left = p;
            region[p] = 0;
            for (int i = spatial - 1, base = 1; i >= 0; i--, base *= 3) {
                int64_t at = window_left % (extent[i] / window[i]) * window[i] + place_left % window[i], s = shift ? shift[i] : 0;
                window_left /= extent[i] / window[i];
                place_left /= window[i];
                region[p] += base * (s && at >= extent[i] - s ? 2 : s && at >= extent[i] - window[i] ? 1 : 0);
            }
        }
        for (int64_t p = 0; p < positions; p++)
            for (int64_t q = 0; q < positions; q++)
                mask[(w * positions + p) * positions + q] = region[p] == region[q] ? 0 : masked;
    }
    v = swg_constant_array(g, 3, (int64_t[]){count, positions, positions}, mask);
done:
    swg__free(g->ctx, region);
    swg__free(g->ctx, mask);
    return v;
}
