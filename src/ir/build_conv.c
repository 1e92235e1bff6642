/* build_conv.c - builders and shape rules of convolutions. Nodes are channels-last; what is asked for channels-first gets a
 * permute on either side, which pass/layout.c removes again between neighbours.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "conv.h"

swg__conv swg__conv_of(const swg_graph *g, const swg__node *n) {
    const swg__node *a = &g->nodes[n->in[0]], *b = &g->nodes[n->in[1]];
    const swg__node *x = n->op == SWG__CONV_TRANSPOSE ? n : a;
    const swg__node *w = n->op == SWG__CONV_WEIGHTS ? n : b;
    const swg__node *y = n->op == SWG__CONV ? n : n->op == SWG__CONV_WEIGHTS ? b : a;
    swg__conv c = {.batch = x->shape[0], .groups = n->attr.groups, .in_channels = x->shape[x->ndim - 1],
                   .out_channels = y->shape[y->ndim - 1], .taps = 1};
    for (int axis = 0; axis < 3; axis++) {
        int own = axis - (5 - x->ndim); /* of the node's spatial axes */
        c.in[axis] = own < 0 ? 1 : x->shape[own + 1];
        c.out[axis] = own < 0 ? 1 : y->shape[own + 1];
        c.kernel[axis] = own < 0 ? 1 : w->shape[own + 2];
        c.stride[axis] = n->attr.stride[axis];
        c.dilation[axis] = n->attr.dilation[axis];
        c.before[axis] = n->attr.before[axis];
        c.taps *= c.kernel[axis];
    }
    return c;
}

void swg__conv_valid(const swg__conv *c, int axis, int64_t t, int64_t *first, int64_t *end) {
    int64_t shift = c->before[axis] - t * c->dilation[axis], stride = c->stride[axis], last = c->in[axis] - 1 + shift;
    *first = shift > 0 ? (shift + stride - 1) / stride : 0;
    *end = last < 0 ? 0 : last / stride + 1;
    *end = *end < c->out[axis] ? *end : c->out[axis];
    *first = *first < *end ? *first : *end;
}

int64_t swg__conv_macs(const swg_graph *g, const swg__node *n) {
    swg__conv c = swg__conv_of(g, n);
    int64_t macs = c.batch;
    bool fits = !swg__mul_overflow(macs, c.in_channels / c.groups, &macs) && !swg__mul_overflow(macs, c.out_channels, &macs);
    for (int axis = 0; axis < 3 && fits; axis++) {
        int64_t pairs = 0, first, end;
        for (int64_t t = 0; t < c.kernel[axis]; t++) {
            swg__conv_valid(&c, axis, t, &first, &end);
            pairs = swg__add_most(pairs, end - first);
        }
        fits = !swg__mul_overflow(macs, pairs, &macs);
    }
    return fits ? macs : INT64_MAX;
}

/* ---- shape rules ---- */

/* What the options say of one spatial axis, defaults filled in. */
typedef struct along { int64_t stride, dilation, padding, output_padding; } along;

static const char *axis_name(int spatial, int axis) { return (const char *[]){"z", "y", "x"}[3 - spatial + axis]; }

static bool read_axis(swg_graph *g, const char *what, const swg_conv_opts *opts, int spatial, int axis, bool transposed, along *out) {
    *out = (along){opts->stride[axis] ? opts->stride[axis] : 1, opts->dilation[axis] ? opts->dilation[axis] : 1, opts->padding[axis],
                   opts->output_padding[axis]};
    const char *name = axis_name(spatial, axis);
    if (out->stride < 1 || out->dilation < 1 || out->padding < 0 || out->stride > INT32_MAX || out->dilation > INT32_MAX ||
        out->padding > INT32_MAX)
        swg__graph_fail(g, SWG_EINVAL, "%s: stride %lld, dilation %lld, padding %lld along axis %s; expected at least 1, 1, 0", what,
                        (long long)out->stride, (long long)out->dilation, (long long)out->padding, name);
    else if (!transposed && out->output_padding != 0)
        swg__graph_fail(g, SWG_EINVAL, "%s: output padding is for transposed convolutions", what);
    else if (out->output_padding < 0 || (out->output_padding >= out->stride && out->output_padding >= out->dilation && out->output_padding > 0))
        swg__graph_fail(g, SWG_EINVAL, "%s: output padding %lld along axis %s must be below stride %lld or dilation %lld", what,
                        (long long)out->output_padding, name, (long long)out->stride, (long long)out->dilation);
    return g->status == SWG_OK;
}

/* Result extent of one axis. */
static bool extent_of(swg_graph *g, const char *what, const along *a, int64_t in, int64_t kernel, const char *name, bool transposed,
                      int64_t *out) {
    int64_t reach;
    if (kernel > INT32_MAX || swg__mul_overflow(a->dilation, kernel - 1, &reach))
        return swg__graph_fail(g, SWG_ESHAPE, "%s: kernel %lld is too large along axis %s", what, (long long)kernel, name), false;
    if (transposed) {
        *out = (in - 1) * a->stride - 2 * a->padding + reach + a->output_padding + 1;
        if (*out < 1)
            swg__graph_fail(g, SWG_ESHAPE, "%s: input %lld gives an empty result along axis %s", what, (long long)in, name);
    } else {
        if (reach + 1 > in + 2 * a->padding)
            swg__graph_fail(g, SWG_ESHAPE, "%s: kernel %lld exceeds padded input %lld along axis %s", what, (long long)(reach + 1),
                            (long long)(in + 2 * a->padding), name);
        *out = (in + 2 * a->padding - reach - 1) / a->stride + 1;
    }
    return g->status == SWG_OK;
}

/* Channels to the end or back to axis 1. */
static swg_value move_channels(swg_graph *g, swg_value x, bool last) {
    int ndim = swg_ndim(g, x), axes[SWG_MAX_DIMS] = {0};
    for (int i = 1; i < ndim; i++)
        axes[i] = last ? (i == ndim - 1 ? 1 : i + 1) : (i == 1 ? ndim - 1 : i - 1);
    return swg_permute(g, x, axes);
}

static swg_value build(swg_graph *g, swg__op op, swg_value x, swg_value w, swg_value bias, const swg_conv_opts *opts) {
    const char *what = swg__ops[op].text;
    static const swg_conv_opts none = {0};
    opts = opts ? opts : &none;
    if (!swg__check(g, what, x) || !swg__check(g, what, w) || (bias && !swg__check(g, what, bias)))
        return SWG_NONE;
    bool transposed = op == SWG__CONV_TRANSPOSE;
    char left[224], right[224];
    int ndim = swg_ndim(g, x), spatial = ndim - 2;
    int64_t groups = opts->groups ? opts->groups : 1;
    if (spatial < 1 || spatial > 3 || swg_ndim(g, w) != ndim)
        return swg__graph_fail(g, SWG_ESHAPE, "%s: input %s and weights %s; expected 3 to 5 dimensions, the same", what,
                               swg__value_text(g, x, left, sizeof left), swg__value_text(g, w, right, sizeof right));
    const int64_t *w_shape = swg_shape(g, w), *x_shape = swg_shape(g, x);
    int64_t channels = x_shape[opts->channels_last ? ndim - 1 : 1];
    int64_t wanted = transposed ? w_shape[0] : w_shape[1] * groups;
    if (groups < 1 || groups > INT32_MAX || w_shape[0] % groups != 0 || channels != wanted)
        return swg__graph_fail(g, SWG_ESHAPE, "%s: %lld channels in, input %s; weights %s in %lld groups take %lld", what, (long long)channels,
                               swg__value_text(g, x, left, sizeof left), swg__value_text(g, w, right, sizeof right), (long long)groups,
                               (long long)wanted);
    int64_t results = transposed ? w_shape[1] * groups : w_shape[0];
    if (bias && (swg_ndim(g, bias) != 1 || swg_shape(g, bias)[0] != results))
        return swg__graph_fail(g, SWG_ESHAPE, "%s: the bias must be (%lld), one for each channel", what, (long long)results);
    swg__attr attr = {.groups = (int32_t)groups, .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
    int64_t shape[SWG_MAX_DIMS] = {x_shape[0]};
    for (int axis = 0; axis < spatial; axis++) {
        along a;
        if (!read_axis(g, what, opts, spatial, axis, transposed, &a) ||
            !extent_of(g, what, &a, x_shape[opts->channels_last ? axis + 1 : axis + 2], w_shape[axis + 2], axis_name(spatial, axis),
                       transposed, &shape[axis + 1]))
            return SWG_NONE;
        attr.stride[3 - spatial + axis] = (int32_t)a.stride;
        attr.dilation[3 - spatial + axis] = (int32_t)a.dilation;
        attr.before[3 - spatial + axis] = (int32_t)a.padding;
    }
    shape[ndim - 1] = results;
    if (!opts->channels_last)
        x = move_channels(g, x, true);
    swg_value y = swg__append(g, op, g->dtype, ndim, shape, 2, (swg_value[]){x, w}, &attr);
    if (bias)
        y = swg_add(g, y, bias);
    return opts->channels_last || !y ? y : move_channels(g, y, false);
}

swg_value swg_convolution(swg_graph *g, swg_value x, swg_value w, swg_value bias, const swg_conv_opts *opts) {
    return build(g, SWG__CONV, x, w, bias, opts);
}

swg_value swg_convolution_transpose(swg_graph *g, swg_value x, swg_value w, swg_value bias, const swg_conv_opts *opts) {
    return build(g, SWG__CONV_TRANSPOSE, x, w, bias, opts);
}
