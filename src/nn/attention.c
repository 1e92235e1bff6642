/* attention.c - multi-head self- and cross-attention: projections around swg_attention.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "ir/ir.h"
#include "swage/nn.h"

enum { QUERY, KEY, VALUE, PARTS };

static double glorot(int64_t in, int64_t out) { return sqrt(6 / (double)(in + out)); }

/* Rows [part * e, (part + 1) * e) of a stack of three. Slicing weights costs less than slicing what they project. */
static swg_value part_of(swg_graph *g, swg_value stack, int part, int64_t e) {
    if (!stack)
        return stack;
    return swg_slice(g, stack, (int64_t[]){part * e, 0}, (int64_t[]){e, swg_ndim(g, stack) > 1 ? swg_shape(g, stack)[1] : 0});
}

static swg_value project(swg_graph *g, swg_value x, swg_value weight, swg_value bias) {
    swg_value y = swg_matmul(g, x, weight, &(swg_matmul_opts){.trans_b = true});
    return bias ? swg_add(g, y, bias) : y;
}

swg_value swg_multihead_attention(swg_graph *g, swg_value query, swg_value key_value, int64_t heads, const swg_multihead_opts *opts,
                                  const char *name) {
    static const swg_multihead_opts none = {0};
    opts = opts ? opts : &none;
    key_value = key_value ? key_value : query;
    if (!swg__check(g, "multihead_attention", query) || !swg__check(g, "multihead_attention", key_value))
        return SWG_NONE;
    const swg__node *nq = &g->nodes[query], *nkv = &g->nodes[key_value];
    char left[224], right[224];
    if (nq->ndim != 3 || nkv->ndim != 3 || nq->shape[0] != nkv->shape[0])
        return swg__graph_fail(g, SWG_ESHAPE, "multihead_attention \"%s\": query %s, key and value %s; expected (batch, n, e) and (batch, m, c)",
                               name ? name : "", swg__value_text(g, query, left, sizeof left), swg__value_text(g, key_value, right, sizeof right));
    int64_t e = nq->shape[2], c = nkv->shape[2];
    if (heads < 1 || e % heads)
        return swg__graph_fail(g, SWG_ESHAPE, "multihead_attention \"%s\": %lld columns do not split into %lld heads", name ? name : "",
                               (long long)e, (long long)heads);
    swg_scope_push(g, name);
    swg_block_begin(g);
    swg_value weight[PARTS], bias = SWG_NONE, x[PARTS] = {query, key_value, key_value};
    if (c == e) {
        swg_value stack = swg_param(g, "in_proj_weight", 2, (int64_t[]){3 * e, e}, (swg_init){.bound = glorot(e, 3 * e)});
        for (int i = 0; i < PARTS; i++)
            weight[i] = part_of(g, stack, i, e);
    } else {
        static const char *const names[PARTS] = {"q_proj_weight", "k_proj_weight", "v_proj_weight"};
        for (int i = 0; i < PARTS; i++) {
            int64_t in = i == QUERY ? e : c;
            weight[i] = swg_param(g, names[i], 2, (int64_t[]){e, in}, (swg_init){.bound = glorot(in, e)});
        }
    }
    if (!opts->no_bias)
        bias = swg_param(g, "in_proj_bias", 1, (int64_t[]){3 * e}, (swg_init){0});
    for (int i = 0; i < PARTS; i++)
        x[i] = project(g, x[i], weight[i], part_of(g, bias, i, e));
    swg_value y = swg_attention(g, x[QUERY], x[KEY], x[VALUE], opts->mask, &(swg_attention_opts){.heads = heads});
    swg_scope_push(g, "out_proj");
    swg_value out = swg_param(g, "weight", 2, (int64_t[]){e, e}, (swg_init){.bound = 1 / sqrt((double)e)});
    y = project(g, y, out, opts->no_bias ? SWG_NONE : swg_param(g, "bias", 1, &e, (swg_init){0}));
    swg_scope_pop(g);
    swg_block_end(g);
    swg_scope_pop(g);
    return y;
}
