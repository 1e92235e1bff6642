/* conv.c - convolution layers: parameters with PyTorch's default start, then the operation.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "ir/ir.h"
#include "swage/nn.h"

static swg_value layer(swg_graph *g, swg_value x, int64_t channels, int64_t kernel, const swg_conv_opts *opts, const char *name,
                       bool transposed) {
    static const swg_conv_opts none = {0};
    opts = opts ? opts : &none;
    const char *what = transposed ? "conv_transpose" : "conv";
    if (!swg__check(g, what, x))
        return SWG_NONE;
    int ndim = swg_ndim(g, x);
    int64_t groups = opts->groups ? opts->groups : 1;
    if (ndim < 3 || ndim > 5)
        return swg__graph_fail(g, SWG_ESHAPE, "%s \"%s\": input of %d dimensions, expected 3 to 5", what, name ? name : "", ndim);
    int64_t in = swg_shape(g, x)[opts->channels_last ? ndim - 1 : 1];
    if (groups < 1 || channels < 1 || in % groups != 0 || channels % groups != 0)
        return swg__graph_fail(g, SWG_ESHAPE, "%s \"%s\": %lld channels in and %lld out do not split into %lld groups", what,
                               name ? name : "", (long long)in, (long long)channels, (long long)groups);
    int64_t shape[SWG_MAX_DIMS] = {transposed ? in : channels, (transposed ? channels : in) / groups};
    double fan_in = (double)shape[1];
    for (int axis = 0; axis < ndim - 2; axis++) {
        shape[axis + 2] = opts->kernel[axis] ? opts->kernel[axis] : kernel;
        fan_in *= (double)shape[axis + 2];
    }
    swg_scope_push(g, name);
    swg_init init = {.bound = fan_in > 0 ? 1 / sqrt(fan_in) : 0};
    swg_value weight = swg_param(g, "weight", ndim, shape, init);
    swg_value bias = opts->no_bias ? SWG_NONE : swg_param(g, "bias", 1, &channels, init);
    swg_value y = transposed ? swg_convolution_transpose(g, x, weight, bias, opts) : swg_convolution(g, x, weight, bias, opts);
    swg_scope_pop(g);
    return y;
}

swg_value swg_conv(swg_graph *g, swg_value x, int64_t channels, int64_t kernel, const swg_conv_opts *opts, const char *name) {
    return layer(g, x, channels, kernel, opts, name, false);
}

swg_value swg_conv_transpose(swg_graph *g, swg_value x, int64_t channels, int64_t kernel, const swg_conv_opts *opts, const char *name) {
    return layer(g, x, channels, kernel, opts, name, true);
}
