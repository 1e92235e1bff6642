/* kan.c - Kolmogorov-Arnold layers as contractions: every number becomes SiLU and B-splines of it, as planes in front of the channels, and
 * coefficients times scalers are the weights.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "nn/kan.h"
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
    swg_kan_opts *o = &k->opts;
    bool splines = o->basis == SWG_KAN_BSPLINE, ranged = o->low != 0 || o->high != 0;
    o->intervals = o->intervals ? o->intervals : splines ? 5 : 7;
    o->order = o->order ? o->order : 3;
    o->high = ranged ? o->high : splines ? 1 : 2;
    o->low = ranged ? o->low : -o->high;
    o->scale_base = o->scale_base == 0 ? 1 : o->scale_base;
    o->scale_spline = o->scale_spline == 0 ? 1 : o->scale_spline;
    k->out = out;
    k->joint = splines && !o->conv_then_silu;
    name = name ? name : "";
    if (out < 1)
        return swg__graph_fail(g, SWG_ESHAPE, "%s \"%s\": %lld results, expected 1 or more", what, name, (long long)out);
    if (o->basis > SWG_KAN_CHEB || o->scaler > SWG_KAN_NO_SCALER || o->init > SWG_KAN_KAIMING)
        return swg__graph_fail(g, SWG_EINVAL, "%s \"%s\": no such basis, scaler or start", what, name);
    if (!splines && (o->adaptive || o->conv_then_silu))
        return swg__graph_fail(g, SWG_EINVAL, "%s \"%s\": only B-splines have a grid that adapts and a base whose order can change", what, name);
    if (o->intervals < 1 || o->intervals > INT32_MAX || o->order < 1 || o->order > (splines ? SWG__SPLINE_ORDER : INT16_MAX))
        return swg__graph_fail(g, SWG_EINVAL, "%s \"%s\": %lld intervals of order %lld", what, name, (long long)o->intervals, (long long)o->order);
    if (!(o->low < o->high) || !isfinite(o->high - o->low) || !isfinite(o->scale_base) || !isfinite(o->scale_spline))
        return swg__graph_fail(g, SWG_EINVAL, "%s \"%s\": range [%g, %g], scales %g and %g; expected an ascending range and finite numbers", what,
                               name, o->low, o->high, o->scale_base, o->scale_spline);
    k->bases = splines ? o->intervals + o->order : o->basis == SWG_KAN_RBF ? o->intervals + 1 : o->order + 1;
    return g->status == SWG_OK;
}

/* ---- bases: planes of x (..., c), (..., [SiLU,] bases, c) ---- */

/* Knots of every channel, (c, intervals + 2 order + 1). */
static swg_value knots_of(swg_graph *g, const kan *k) {
    int64_t shape[2] = {k->channels, k->opts.intervals + 2 * k->opts.order + 1};
    double *row = swg__calloc(g->ctx, (size_t)shape[1], sizeof *row);
    if (!row)
        return swg__graph_fail(g, SWG_ENOMEM, "out of memory for %lld knots", (long long)shape[1]);
    swg__kan_grid(k->opts.intervals, (int)k->opts.order, k->opts.low, k->opts.high, row);
    swg_value knots = swg_state_rows(g, "knots", 2, shape, row);
    swg__free(g->ctx, row);
    return knots;
}

/* x with an axis of extent 1 before the last one. */
static swg_value one_plane(swg_graph *g, swg_value x) {
    int ndim = swg_ndim(g, x);
    int64_t shape[SWG_MAX_DIMS] = {0};
    if (g->status != SWG_OK || ndim >= SWG_MAX_DIMS)
        return SWG_NONE;
    memcpy(shape, swg_shape(g, x), (size_t)ndim * sizeof *shape);
    shape[ndim] = shape[ndim - 1];
    shape[ndim - 1] = 1;
    return swg_reshape(g, x, ndim + 1, shape);
}

/* T_0 .. T_degree of tanh(x): T_(n+1) = 2 u T_n - T_(n-1). */
static swg_value chebyshev_planes(swg_graph *g, const kan *k, swg_value x) {
    swg_value u = one_plane(g, swg_tanh(g, x)), *t = swg__arena_alloc(&g->arena, (size_t)k->bases * sizeof *t);
    if (!t)
        return swg__graph_fail(g, SWG_ENOMEM, "out of memory for %lld polynomials", (long long)k->bases);
    t[0] = swg_affine(g, u, 0, 1); /* NaN stays NaN */
    t[1] = u;
    for (int64_t n = 2; n < k->bases; n++)
        t[n] = swg_sub(g, swg_mul(g, swg_affine(g, u, 2, 0), t[n - 1]), t[n - 2]);
    return g->status == SWG_OK ? swg_concat(g, t, (int)k->bases, swg_ndim(g, u) - 2) : SWG_NONE;
}

/* exp(-((x - mu) / d)^2), mu from low to high in steps of d. */
static swg_value gaussian_planes(swg_graph *g, const kan *k, swg_value x) {
    double step = (k->opts.high - k->opts.low) / (double)k->opts.intervals, *mu = swg__calloc(g->ctx, (size_t)k->bases, sizeof *mu);
    if (!mu)
        return swg__graph_fail(g, SWG_ENOMEM, "out of memory for %lld Gaussians", (long long)k->bases);
    for (int64_t j = 0; j < k->bases; j++)
        mu[j] = k->opts.low + (double)j * step;
    swg_value away = swg_sub(g, one_plane(g, x), swg_constant_array(g, 2, (int64_t[]){k->bases, 1}, mu));
    swg__free(g->ctx, mu);
    return swg_exp(g, swg_affine(g, swg_square(g, swg_affine(g, away, 1 / step, 0)), -1, 0));
}

/* Share of x (..., c) below the range or above it; knots: those of every channel, or SWG_NONE. */
static swg_value share_outside(swg_graph *g, const kan *k, swg_value x, swg_value knots) {
    const swg_kan_opts *o = &k->opts;
    if (o->basis == SWG_KAN_CHEB)
        return swg_constant(g, 0);
    swg_value low, high;
    if (knots) {
        const int64_t row[2] = {1, k->channels};
        knots = swg_permute(g, knots, (int[]){1, 0});
        low = swg_slice(g, knots, (int64_t[]){o->order, 0}, row);
        high = swg_slice(g, knots, (int64_t[]){o->order + o->intervals, 0}, row);
    } else {
        low = swg_constant(g, o->low);
        high = swg_constant(g, o->high);
    }
    x = swg_detach(g, x);
    return swg_reshape(g, swg_mean(g, swg_add(g, swg_greater(g, low, x), swg_greater(g, x, high)), 0), 1, (int64_t[]){1});
}

/* Planes of x (..., c). own: the part of x that is no padding. Bases are f32 in plans of any precision. */
static swg_value planes_of(swg_graph *g, const kan *k, swg_value x, swg_value own) {
    const swg_kan_opts *o = &k->opts;
    bool precise = swg_graph_precise(g, true);
    swg_value planes, knots = o->adaptive ? knots_of(g, k) : SWG_NONE;
    if (o->basis == SWG_KAN_CHEB)
        planes = chebyshev_planes(g, k, x);
    else if (o->basis == SWG_KAN_RBF)
        planes = gaussian_planes(g, k, x);
    else
        planes = swg_spline_basis(g, x, &(swg_spline_opts){.intervals = o->intervals, .order = o->order, .low = o->low, .high = o->high,
                                                           .knots = knots, .silu = k->joint, .planes = true});
    if (o->parts)
        o->parts->outside = share_outside(g, k, own, knots);
    swg_graph_precise(g, precise);
    swg_remat_drop(g, planes);
    return planes;
}

/* ---- weights ---- */

/* Uniform numbers that noise-fit gives weights of `in` terms; PyTorch's kaiming_uniform_ with a = sqrt(5) scale. */
static double bound_of(double scale, int64_t in) { return sqrt(6 / ((1 + 5 * scale * scale) * (double)in)); }

/* Coefficients that begin as the smallest ones whose curve goes through noise at the knots. */
static swg_value noise_fit(swg_graph *g, const kan *k, const int64_t shape[3]) {
    const swg_kan_opts *o = &k->opts;
    double *map = NULL, scale = o->scaler == SWG_KAN_NO_SCALER ? o->scale_spline : 1;
    if (g->status != SWG_OK)
        return SWG_NONE;
    swg_status status = swg__kan_noise_map(g->ctx, o->intervals, (int)o->order, o->low, o->high, scale, &map);
    if (status != SWG_OK)
        return swg__graph_fail(g, status, "%s", swg_context_message(g->ctx));
    swg_value c = swg_param(g, "spline_weight", 3, shape, (swg_init){.bound = .05 / (double)o->intervals, .map = map, .columns = o->intervals + 1});
    swg__free(g->ctx, map);
    return c;
}

/* The parameter itself. */
static swg_value coefficients_of(swg_graph *g, const kan *k) {
    int64_t in = k->channels * k->taps, shape[3] = {k->out, in, k->bases};
    if (k->opts.basis == SWG_KAN_CHEB) {
        shape[0] = in;
        shape[1] = k->out;
        return swg_param(g, "spline_weight", 3, shape, (swg_init){.deviation = 1 / (double)(in * k->bases)});
    }
    if (k->opts.basis == SWG_KAN_RBF)
        return swg_param(g, "spline_weight", 3, shape, (swg_init){.deviation = .1});
    if (k->opts.init == SWG_KAN_NOISE_FIT)
        return noise_fit(g, k, shape);
    return swg_param(g, "spline_weight", 3, shape, (swg_init){.bound = 1 / sqrt((double)(in * k->bases))});
}

/* (out, bases, in); through four axes in an order that is none of images. */
static swg_value turned_weights(swg_graph *g, const kan *k, swg_value c) {
    int64_t in = k->channels * k->taps, n = k->out;
    if (k->opts.basis == SWG_KAN_CHEB)
        c = swg_permute(g, swg_reshape(g, c, 4, (int64_t[]){in, 1, n, k->bases}), (int[]){2, 1, 3, 0});
    else
        c = swg_permute(g, swg_reshape(g, c, 4, (int64_t[]){1, n, in, k->bases}), (int[]){0, 1, 3, 2});
    return swg_reshape(g, c, 3, (int64_t[]){n, k->bases, in});
}

/* Weights of the planes: (out, [1 +] bases, channels * taps), and those of the base of a spline by itself. */
static swg_value weights_of(swg_graph *g, const kan *k, swg_value *base) {
    const swg_kan_opts *o = &k->opts;
    int64_t in = k->channels * k->taps, n = k->out;
    bool fit = o->init == SWG_KAN_NOISE_FIT;
    *base = SWG_NONE;
    if (o->basis == SWG_KAN_BSPLINE)
        *base = swg_param(g, "base_weight", 2, (int64_t[]){n, in}, (swg_init){.bound = bound_of(fit ? o->scale_base : 1, in)});
    swg_value own = coefficients_of(g, k), c = turned_weights(g, k, own);
    if (o->parts)
        o->parts->coefficients = own;
    const swg_init start = fit ? (swg_init){.bound = bound_of(o->scale_spline, in)} : (swg_init){.value = 1};
    if (o->basis == SWG_KAN_BSPLINE && o->scaler == SWG_KAN_EDGE)
        c = swg_mul(g, c, swg_reshape(g, swg_param(g, "spline_scaler", 2, (int64_t[]){n, in}, start), 3, (int64_t[]){n, 1, in}));
    else if (o->basis == SWG_KAN_BSPLINE && o->scaler == SWG_KAN_CHANNEL)
        c = swg_mul(g, c, swg_reshape(g, swg_param(g, "spline_scaler", 1, &n, start), 3, (int64_t[]){n, 1, 1}));
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
    swg_value place = k.opts.basis == SWG_KAN_RBF ? swg_layer_norm(g, flat, 1, "norm", NULL) : flat;
    swg_value y = swg_matmul(g, swg_reshape(g, planes_of(g, &k, place, place), 2, (int64_t[]){rows, wide}), w, &(swg_matmul_opts){.trans_b = true});
    if (k.opts.basis == SWG_KAN_RBF)
        y = swg_add(g, y, swg_linear(g, swg_silu(g, flat), n, "base"));
    else if (base && !k.joint)
        y = swg_add(g, y, swg_silu(g, swg_matmul(g, flat, base, &(swg_matmul_opts){.trans_b = true})));
    if (k.opts.parts)
        k.opts.parts->inputs = flat;
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
    if (k.opts.basis == SWG_KAN_RBF)
        return swg__graph_fail(g, SWG_EUNSUPPORTED, "kan_conv \"%s\": Gaussians stand behind a norm over all inputs, so a patch cannot be made of "
                               "bases of its elements", name ? name : "");
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
    swg_value last = conv->channels_last ? x : turned(g, x, true), own = padded(g, last, conv);
    swg_value base, w = weights_of(g, &k, &base), planes = planes_of(g, &k, own, last);
    if (g->status != SWG_OK)
        return SWG_NONE;
    int64_t shape[SWG_MAX_DIMS], wide = (k.bases + k.joint) * k.channels;
    memcpy(shape, swg_shape(g, own), (size_t)ndim * sizeof *shape);
    shape[ndim - 1] = wide;
    swg_value y = convolve(g, &k, swg_reshape(g, planes, ndim, shape), wide, w, &inner);
    if (base && !k.joint)
        y = swg_add(g, y, swg_silu(g, convolve(g, &k, own, k.channels, base, &inner)));
    if (k.opts.parts)
        k.opts.parts->inputs = swg_reshape(g, own, 2, (int64_t[]){-1, k.channels});
    swg_block_end(g);
    y = conv->channels_last ? y : turned(g, y, false);
    swg_scope_pop(g);
    return y;
}
