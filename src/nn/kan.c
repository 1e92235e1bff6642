/* kan.c - Kolmogorov-Arnold layers as contractions: every number becomes SiLU and B-splines of it, as planes in front of the channels, and
 * coefficients times scalers are the weights.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "ir/ir.h"
#include "swage/nn.h"

/* What a layer is made of: `in` numbers per patch are `channels` by `taps`. */
typedef struct kan {
    int64_t out, channels, taps, bases;
    bool joint;             /* SiLU is a plane among the splines */
    int spatial;
    int64_t kernel[3];
    swg_kan_opts opts;
} kan;

static bool open_kan(swg_graph *g, const char *what, const char *name, const swg_kan_opts *opts, int64_t out, kan *k) {
    static const swg_kan_opts none = {0};
    k->opts = opts ? *opts : none;
    k->opts.intervals = k->opts.intervals ? k->opts.intervals : 5;
    k->opts.order = k->opts.order ? k->opts.order : 3;
    k->out = out;
    k->bases = k->opts.intervals + k->opts.order;
    k->joint = !k->opts.conv_then_silu;
    if (out < 1)
        swg__graph_fail(g, SWG_ESHAPE, "%s \"%s\": %lld results, expected 1 or more", what, name ? name : "", (long long)out);
    else if (k->opts.scaler > SWG_KAN_NO_SCALER)
        swg__graph_fail(g, SWG_EINVAL, "%s \"%s\": no such scaler", what, name ? name : "");
    return g->status == SWG_OK;
}

/* Planes of x (..., c): (..., [SiLU,] bases, c). */
static swg_value planes_of(swg_graph *g, const kan *k, swg_value x) {
    swg_value planes = swg_spline_basis(g, x, &(swg_spline_opts){.intervals = k->opts.intervals, .order = k->opts.order, .low = k->opts.low,
                                                                 .high = k->opts.high, .silu = k->joint, .planes = true});
    swg_remat_drop(g, planes);
    return planes;
}

/* Weights of the planes: (out, [1 +] bases, channels * taps), and of the base by itself. */
static swg_value weights_of(swg_graph *g, const kan *k, swg_value *base) {
    int64_t in = k->channels * k->taps, n = k->out;
    double bound = 1 / sqrt((double)in);
    *base = swg_param(g, "base_weight", 2, (int64_t[]){n, in}, (swg_init){.bound = bound});
    swg_value c = swg_param(g, "spline_weight", 3, (int64_t[]){n, in, k->bases}, (swg_init){.bound = bound / sqrt((double)k->bases)});
    c = swg_permute(g, swg_reshape(g, c, 4, (int64_t[]){1, n, in, k->bases}), (int[]){0, 1, 3, 2}); /* no layout of images */
    c = swg_reshape(g, c, 3, (int64_t[]){n, k->bases, in});
    if (k->opts.scaler == SWG_KAN_EDGE)
        c = swg_mul(g, c, swg_reshape(g, swg_param(g, "spline_scaler", 2, (int64_t[]){n, in}, (swg_init){.value = 1}), 3, (int64_t[]){n, 1, in}));
    else if (k->opts.scaler == SWG_KAN_CHANNEL)
        c = swg_mul(g, c, swg_reshape(g, swg_param(g, "spline_scaler", 1, &n, (swg_init){.value = 1}), 3, (int64_t[]){n, 1, 1}));
    return k->joint ? swg_concat(g, (swg_value[]){swg_reshape(g, *base, 3, (int64_t[]){n, 1, in}), c}, 2, 1) : c;
}

swg_value swg_kan_linear(swg_graph *g, swg_value x, int64_t n, const swg_kan_opts *opts, const char *name) {
    kan k = {.taps = 1};
    if (!swg__check(g, "kan_linear", x) || !open_kan(g, "kan_linear", name, opts, n, &k))
        return SWG_NONE;
    int ndim = swg_ndim(g, x);
    int64_t shape[SWG_MAX_DIMS];
    if (ndim < 1)
        return swg__graph_fail(g, SWG_ESHAPE, "kan_linear \"%s\": a number without axes", name ? name : "");
    memcpy(shape, swg_shape(g, x), (size_t)ndim * sizeof *shape);
    k.channels = shape[ndim - 1];
    int64_t rows = swg_elements(g, x) / k.channels, wide = (k.bases + k.joint) * k.channels;
    shape[ndim - 1] = n;
    swg_scope_push(g, name);
    swg__block_begin(g, true);
    swg_value base, w = swg_reshape(g, weights_of(g, &k, &base), 2, (int64_t[]){n, wide});
    swg_value flat = swg_reshape(g, x, 2, (int64_t[]){rows, k.channels});
    swg_value y = swg_matmul(g, swg_reshape(g, planes_of(g, &k, flat), 2, (int64_t[]){rows, wide}), w, &(swg_matmul_opts){.trans_b = true});
    if (!k.joint)
        y = swg_add(g, y, swg_silu(g, swg_matmul(g, flat, base, &(swg_matmul_opts){.trans_b = true})));
    swg_block_end(g);
    y = swg_reshape(g, y, ndim, shape);
    swg_scope_pop(g);
    return y;
}

/* x with zeros on either side of its spatial axes, channels last. */
static swg_value padded(swg_graph *g, swg_value x, const swg_conv_opts *conv) {
    int ndim = swg_ndim(g, x);
    int64_t before[SWG_MAX_DIMS] = {0};
    bool any = false;
    for (int axis = 0; axis < ndim - 2; axis++) {
        before[axis + 1] = conv->padding[axis];
        any = any || conv->padding[axis];
    }
    return any ? swg_pad(g, x, before, before) : x;
}

/* Channels behind the spatial axes, or back. */
static swg_value turned(swg_graph *g, swg_value x, bool last) {
    int ndim = swg_ndim(g, x), axes[SWG_MAX_DIMS] = {0};
    for (int axis = 1; axis < ndim; axis++)
        axes[axis] = last ? axis % (ndim - 1) + 1 : axis == 1 ? ndim - 1 : axis - 1;
    return swg_permute(g, x, axes);
}

static swg_value convolve(swg_graph *g, const kan *k, swg_value x, int64_t in, swg_value w, const swg_conv_opts *opts) {
    int64_t shape[5] = {k->out, in};
    for (int axis = 0; axis < k->spatial; axis++)
        shape[axis + 2] = k->kernel[axis];
    return swg_convolution(g, x, swg_reshape(g, w, k->spatial + 2, shape), SWG_NONE, opts);
}

swg_value swg_kan_conv(swg_graph *g, swg_value x, int64_t channels, int64_t kernel, const swg_kan_opts *opts, const swg_conv_opts *conv,
                       const char *name) {
    static const swg_conv_opts none = {0};
    conv = conv ? conv : &none;
    kan k = {.taps = 1};
    if (!swg__check(g, "kan_conv", x) || !open_kan(g, "kan_conv", name, opts, channels, &k))
        return SWG_NONE;
    int ndim = swg_ndim(g, x);
    if (ndim < 3 || ndim > 5)
        return swg__graph_fail(g, SWG_ESHAPE, "kan_conv \"%s\": input of %d dimensions, expected 3 to 5", name ? name : "", ndim);
    if (conv->groups > 1)
        return swg__graph_fail(g, SWG_EUNSUPPORTED, "kan_conv \"%s\": %lld groups; splines connect all channels", name ? name : "",
                               (long long)conv->groups);
    k.channels = swg_shape(g, x)[conv->channels_last ? ndim - 1 : 1];
    k.spatial = ndim - 2;
    for (int axis = 0; axis < k.spatial; axis++) {
        k.kernel[axis] = conv->kernel[axis] ? conv->kernel[axis] : kernel;
        if (k.kernel[axis] < 1 || conv->padding[axis] < 0)
            return swg__graph_fail(g, SWG_EINVAL, "kan_conv \"%s\": kernel %lld, padding %lld along spatial axis %d", name ? name : "",
                                   (long long)k.kernel[axis], (long long)conv->padding[axis], axis);
        k.taps *= k.kernel[axis];
    }
    swg_scope_push(g, name);
    swg__block_begin(g, true);
    swg_conv_opts inner = *conv; /* what is padded is padded before the bases are made */
    memset(inner.padding, 0, sizeof inner.padding);
    inner.channels_last = true;
    swg_value base, w = weights_of(g, &k, &base), own = padded(g, conv->channels_last ? x : turned(g, x, true), conv);
    swg_value planes = planes_of(g, &k, own);
    if (g->status != SWG_OK)
        return SWG_NONE;
    int64_t shape[SWG_MAX_DIMS], wide = (k.bases + k.joint) * k.channels;
    memcpy(shape, swg_shape(g, own), (size_t)ndim * sizeof *shape);
    shape[ndim - 1] = wide;
    swg_value y = convolve(g, &k, swg_reshape(g, planes, ndim, shape), wide, w, &inner);
    if (!k.joint)
        y = swg_add(g, y, swg_silu(g, convolve(g, &k, own, k.channels, base, &inner)));
    swg_block_end(g);
    y = conv->channels_last ? y : turned(g, y, false);
    swg_scope_pop(g);
    return y;
}
