/* build_pool.c - builders of pooling and resize: separable maps over one to three spatial axes.
 * Averages, adaptive averages, nearest and linear resize and the gradients of all of them are one operation, `resample`. Maxima are
 * a search for indices, then a gather.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ir.h"

swg__resample swg__resample_of(const swg_graph *g, const swg__node *n) {
    const swg__node *small = n, *x = &g->nodes[n->in[0]];
    if (n->attr.trans_a) {
        small = x;
        x = n;
    }
    int spatial = n->ndim - 2, first = n->attr.axis;
    swg__resample r = {.outer = 1, .inner = 1, .in = {1, 1, 1}, .out = {1, 1, 1}, .attr = &n->attr};
    for (int i = 0; i < n->ndim; i++) {
        if (i < first)
            r.outer *= x->shape[i];
        else if (i >= first + spatial)
            r.inner *= x->shape[i];
        else {
            r.in[3 - spatial + i - first] = x->shape[i];
            r.out[3 - spatial + i - first] = small->shape[i];
        }
    }
    return r;
}

/* Where element o of an axis of `out` linear elements lies in one of `in`. */
static double source(const swg__resample *r, int axis, int64_t o) {
    double in = (double)r->in[axis], out = (double)r->out[axis];
    if (r->attr->begin[0] == SWG__LINEAR_CORNERS)
        return out > 1 ? (double)o * ((in - 1) / (out - 1)) : 0;
    double at = ((double)o + .5) * (in / out) - .5;
    return at > 0 ? at : 0;
}

int64_t swg__resample_window(const swg__resample *r, int axis, int64_t o, int64_t *first) {
    const swg__attr *a = r->attr;
    int64_t in = r->in[axis], out = r->out[axis], begin, end;
    switch ((swg__resample_kind)a->begin[0]) {
    case SWG__WINDOW:
        begin = o * a->stride[axis] - a->before[axis];
        end = begin + a->begin[3 + axis];
        break;
    case SWG__ADAPTIVE:
        begin = o * in / out;
        end = ((o + 1) * in + out - 1) / out;
        break;
    case SWG__NEAREST:
        begin = o * in / out;
        end = begin + 1;
        break;
    default:
        begin = (int64_t)source(r, axis, o);
        end = begin + 2;
    }
    *first = begin < 0 ? 0 : begin;
    return end > in ? in : end;
}

double swg__resample_weight(const swg__resample *r, int axis, int64_t o, int64_t i) {
    int64_t first, end = swg__resample_window(r, axis, o, &first);
    switch ((swg__resample_kind)r->attr->begin[0]) {
    case SWG__WINDOW: return 1. / (double)(r->attr->f[0] != 0 ? end - first : r->attr->begin[3 + axis]);
    case SWG__ADAPTIVE: return 1. / (double)(end - first);
    case SWG__NEAREST: return 1;
    default: break;
    }
    double high = source(r, axis, o) - (double)first;
    return end - first == 1 ? 1 : i == first ? 1 - high : high;
}

/* The shape of the result, for the spatial extents given; fills in attr->axis. False: an error is latched. */
static bool shape_of(swg_graph *g, const char *what, swg_value x, const int64_t *extent, bool channels_last, int64_t *shape, swg__attr *attr) {
    int ndim = swg_ndim(g, x), spatial = ndim - 2;
    attr->axis = channels_last ? 1 : 2;
    for (int i = 0; i < ndim; i++)
        shape[i] = swg_shape(g, x)[i];
    for (int i = 0; i < spatial; i++) {
        if (extent[i] < 1) {
            swg__graph_fail(g, SWG_ESHAPE, "%s: extent %lld along spatial axis %d, expected 1 or more", what, (long long)extent[i], i);
            return false;
        }
        shape[attr->axis + i] = extent[i];
    }
    return true;
}

static bool spatial_of(swg_graph *g, const char *what, swg_value x, const void *opts, int *spatial) {
    if (!swg__check(g, what, x))
        return false;
    *spatial = swg_ndim(g, x) - 2;
    if (*spatial < 1 || *spatial > 3)
        swg__graph_fail(g, SWG_ESHAPE, "%s: %d axes, expected 3 to 5: samples, channels, one to three spatial axes", what, *spatial + 2);
    else if (!opts)
        swg__graph_fail(g, SWG_EINVAL, "%s: NULL where the %s stand", what, "options or extents");
    return g->status == SWG_OK;
}

/* Windows of opts: extents of the result and attributes. */
static bool windows_of(swg_graph *g, const char *what, swg_value x, const swg_pool_opts *opts, int64_t *extent, swg__attr *attr) {
    int spatial;
    if (!spatial_of(g, what, x, opts, &spatial))
        return false;
    *attr = (swg__attr){.begin = {SWG__WINDOW, 0, 0, 1, 1, 1}, .f = {opts->exclude_padding}, .stride = {1, 1, 1}};
    for (int i = 0; i < spatial; i++) {
        int to = 3 - spatial + i;
        int64_t in = swg_shape(g, x)[i + (opts->channels_last ? 1 : 2)], k = opts->kernel[i], stride = opts->stride[i] ? opts->stride[i] : k;
        int64_t padding = opts->padding[i];
        if (k < 1 || k > INT32_MAX || stride < 1 || stride > INT32_MAX || padding < 0 || padding > k / 2) {
            swg__graph_fail(g, SWG_EINVAL, "%s: kernel %lld, stride %lld, padding %lld along spatial axis %d; padding is at most half the kernel",
                            what, (long long)k, (long long)stride, (long long)padding, i);
            return false;
        }
        if (k > in + 2 * padding) {
            swg__graph_fail(g, SWG_ESHAPE, "%s: kernel %lld exceeds padded input %lld along spatial axis %d", what, (long long)k,
                            (long long)(in + 2 * padding), i);
            return false;
        }
        attr->begin[3 + to] = k;
        attr->stride[to] = (int32_t)stride;
        attr->before[to] = (int32_t)padding;
        extent[i] = (in + 2 * padding - k) / stride + 1;
    }
    return true;
}

static swg_value resample(swg_graph *g, const char *what, swg_value x, const int64_t *extent, bool channels_last, swg__attr attr) {
    int64_t shape[SWG_MAX_DIMS];
    if (!shape_of(g, what, x, extent, channels_last, shape, &attr))
        return SWG_NONE;
    return swg__append(g, SWG__RESAMPLE, g->dtype, swg_ndim(g, x), shape, 1, &x, &attr);
}

/* The index of each window's maximum among the spatial positions, then what lies there. */
static swg_value maxima(swg_graph *g, const char *what, swg_value x, const int64_t *extent, bool channels_last, swg__attr attr) {
    int64_t shape[SWG_MAX_DIMS], positions = 1;
    if (!shape_of(g, what, x, extent, channels_last, shape, &attr))
        return SWG_NONE;
    int ndim = swg_ndim(g, x);
    for (int i = 0; i < ndim - 2; i++)
        positions *= swg_shape(g, x)[attr.axis + i];
    if (positions > INT32_MAX)
        return swg__graph_fail(g, SWG_ESHAPE, "%s: more than 2^31 - 1 positions", what);
    swg_value index = swg__append(g, SWG__MAX_INDEX, SWG_I32, ndim, shape, 1, &x, &attr);
    return swg__spatial_gather(g, x, index, attr.axis);
}

swg_value swg_max_pool(swg_graph *g, swg_value x, const swg_pool_opts *opts) {
    int64_t extent[3];
    swg__attr attr;
    return windows_of(g, "max_pool", x, opts, extent, &attr) ? maxima(g, "max_pool", x, extent, opts->channels_last, attr) : SWG_NONE;
}

swg_value swg_avg_pool(swg_graph *g, swg_value x, const swg_pool_opts *opts) {
    int64_t extent[3];
    swg__attr attr;
    return windows_of(g, "avg_pool", x, opts, extent, &attr) ? resample(g, "avg_pool", x, extent, opts->channels_last, attr) : SWG_NONE;
}

swg_value swg_adaptive_max_pool(swg_graph *g, swg_value x, const int64_t *extent, bool channels_last) {
    int spatial;
    if (!spatial_of(g, "adaptive_max_pool", x, extent, &spatial))
        return SWG_NONE;
    return maxima(g, "adaptive_max_pool", x, extent, channels_last, (swg__attr){.begin = {SWG__ADAPTIVE}});
}

swg_value swg_adaptive_avg_pool(swg_graph *g, swg_value x, const int64_t *extent, bool channels_last) {
    int spatial;
    if (!spatial_of(g, "adaptive_avg_pool", x, extent, &spatial))
        return SWG_NONE;
    return resample(g, "adaptive_avg_pool", x, extent, channels_last, (swg__attr){.begin = {SWG__ADAPTIVE}});
}

swg_value swg_resize(swg_graph *g, swg_value x, const int64_t *extent, const swg_resize_opts *opts) {
    static const swg_resize_opts none = {0};
    int spatial;
    opts = opts ? opts : &none;
    if (!spatial_of(g, "resize", x, extent, &spatial))
        return SWG_NONE;
    if (opts->nearest && opts->align_corners)
        return swg__graph_fail(g, SWG_EINVAL, "resize: align_corners goes with linear interpolation only");
    swg__resample_kind kind = opts->nearest ? SWG__NEAREST : opts->align_corners ? SWG__LINEAR_CORNERS : SWG__LINEAR_CENTRES;
    return resample(g, "resize", x, extent, opts->channels_last, (swg__attr){.begin = {kind}});
}
