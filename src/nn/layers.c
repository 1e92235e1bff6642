/* layers.c - linear layer and activations.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "ir/ir.h"
#include "swage/nn.h"

swg_value swg_linear(swg_graph *g, swg_value x, int64_t n, const char *name) {
    if (!swg__check(g, "linear", x))
        return SWG_NONE;
    int64_t k = swg_shape(g, x)[swg_ndim(g, x) - 1];
    swg_scope_push(g, name);
    swg_init init = {.bound = 1.0 / sqrt((double)k)};
    swg_value weight = swg_param(g, "weight", 2, (int64_t[]){n, k}, init);
    swg_value bias = swg_param(g, "bias", 1, &n, init);
    swg_value y = swg_add(g, swg_matmul(g, x, weight, &(swg_matmul_opts){.trans_b = true}), bias);
    swg_scope_pop(g);
    return y;
}

static swg_value leaky_relu(swg_graph *g, swg_value x) { return swg_leaky_relu(g, x, .01); }
static swg_value elu(swg_graph *g, swg_value x) { return swg_elu(g, x, 1); }

static const struct { const char *name; swg_activation activation; swg_value (*apply)(swg_graph *, swg_value); } activations[] = {
    {"none", SWG_ACT_NONE, NULL},         {"relu", SWG_ACT_RELU, swg_relu}, {"gelu", SWG_ACT_GELU, swg_gelu},
    {"silu", SWG_ACT_SILU, swg_silu},     {"tanh", SWG_ACT_TANH, swg_tanh}, {"sigmoid", SWG_ACT_SIGMOID, swg_sigmoid},
    {"gelu_tanh", SWG_ACT_GELU_TANH, swg_gelu_tanh},          {"softplus", SWG_ACT_SOFTPLUS, swg_softplus},
    {"leaky_relu", SWG_ACT_LEAKY_RELU, leaky_relu},           {"elu", SWG_ACT_ELU, elu},
    {"hard_sigmoid", SWG_ACT_HARD_SIGMOID, swg_hard_sigmoid}, {"hard_swish", SWG_ACT_HARD_SWISH, swg_hard_swish},
};

swg_value swg_activate(swg_graph *g, swg_value x, swg_activation activation) {
    for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++)
        if (activations[i].activation == activation)
            return activations[i].apply ? activations[i].apply(g, x) : x;
    return swg__graph_fail(g, SWG_EINVAL, "activate: there is no activation number %d", (int)activation);
}

bool swg_activation_find(const char *name, swg_activation *out) {
    for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++)
        if (strcmp(name, activations[i].name) == 0) {
            *out = activations[i].activation;
            return true;
        }
    return false;
}
