/* quantise.c - inference with 8-bit numbers: which products get them, and how a pair of quantise_dequantise before a product becomes a product
 * of the codes themselves.
 * In: a graph. Out: a new one, and for each value its like there; or, folding, the same graph changed in place.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "context.h"
#include "ir/conv.h"
#include "kernel/int8.h"
#include "pass/pass.h"
#include "swage/quantise.h"

/* ---- insertion ---- */

int swg__quantise_axis(const swg__node *n) {
    if (n->op == SWG__MATMUL || n->op == SWG__LINEAR)
        return n->attr.trans_b ? 0 : 1;
    return n->op == SWG__CONV ? 0 : 1;
}

/* Multiply-adds of one result, and what keeps a convolution from being one of codes. */
static const char *conv_not(const swg_graph *g, const swg__node *n) {
    swg__conv c = swg__conv_of(g, n);
    bool transposed = n->op == SWG__CONV_TRANSPOSE;
    int64_t k = (transposed ? c.out_channels : c.in_channels) / c.groups;
    if (k == 1)
        return "one input channel";
    if (transposed && c.groups > 1)
        return "transposed in groups";
    return k * c.taps > SWG__CODES_K ? "a sum too long for 32 bits" : NULL;
}

/* A parameter, or one that a norm was folded into. */
static bool is_parameter(const swg_graph *g, swg_value v) {
    while (g->nodes[v].op == SWG__MUL || g->nodes[v].op == SWG__RESHAPE || g->nodes[v].op == SWG__PERMUTE)
        v = g->nodes[v].in[0];
    return g->nodes[v].op == SWG__PARAM;
}

void swg__keep_precise(swg_graph *g, const char *patterns) {
    for (const char *at = patterns; at && *at;) {
        char pattern[256], *dot;
        size_t length = strcspn(at, ",");
        snprintf(pattern, sizeof pattern, "%.*s", (int)length, at);
        while ((dot = strchr(pattern, '.')))
            *dot = '/';
        for (int64_t v = 1; v < g->count; v++)
            if (swg__ops[g->nodes[v].op].class == SWG__CONTRACTION && swg__glob(pattern, g->nodes[v].name))
                g->nodes[v].precise = 1;
        at += length + (at[length] == ',');
    }
}

static bool is_conv(const swg__node *n) { return n->op == SWG__CONV || n->op == SWG__CONV_TRANSPOSE; }

const char *swg__quantise_not(const swg_graph *g, const uint8_t *fixed, const swg__node *n) {
    if (n->op != SWG__MATMUL && !is_conv(n))
        return "no product with weights";
    const swg__node *x = &g->nodes[n->in[0]], *w = &g->nodes[n->in[1]];
    if (!fixed[n->in[1]] || fixed[n->in[0]])
        return "its second operand is no weight";
    if (n->precise)
        return "asked to stay f32";
    if (!is_parameter(g, n->in[1]))
        return "its weights are computed from parameters";
    if (is_conv(n))
        return conv_not(g, n);
    if (n->ndim != 2 || w->ndim != 2 || n->attr.trans_a)
        return "rows are no rows of memory";
    return x->shape[1] > SWG__CODES_K ? "a sum too long for 32 bits" : NULL;
}

swg_status swg__pass_quantise(const swg_graph *from, swg_graph *to, swg_code rows, swg_code weights, swg_value *like) {
    size_t count = (size_t)from->count;
    int most = 1, products = 0;
    for (int64_t v = 1; v < from->count; v++)
        most = from->nodes[v].inputs > most ? from->nodes[v].inputs : most;
    swg_value *in = swg__calloc(from->ctx, (size_t)most, sizeof *in);
    uint8_t *fixed = swg__calloc(from->ctx, count, 1);
    swg_status status = in && fixed ? SWG_OK : swg__fail_memory(from->ctx, count, "quantising");
    if (status == SWG_OK)
        swg__mark_fixed(from, fixed);
    like[0] = SWG_NONE;
    for (swg_value v = 1; status == SWG_OK && v < from->count; v++) {
        const swg__node *n = &from->nodes[v];
        for (int j = 0; j < n->inputs; j++)
            in[j] = like[n->in[j]];
        if (n->inputs > 1 && !swg__quantise_not(from, fixed, n)) {
            if (rows)
                in[0] = swg_quantise_dequantise(to, in[0], rows, is_conv(n) ? 0 : SWG_CODE_ROWS);
            if (weights)
                in[1] = swg_quantise_dequantise(to, in[1], weights, swg__quantise_axis(n));
            products++;
        }
        like[v] = to->status == SWG_OK ? swg__append_like(to, n, (swg__op)n->op, n->dtype, n->ndim, n->shape, n->inputs, in, &n->attr) : SWG_NONE;
        status = to->status;
    }
    swg__explain(to, "quantise: %d products of %s by %s", products, rows ? swg_code_name(rows) : "f32", swg_code_name(weights));
    to->span = from->span;
    to->state_span = from->state_span;
    swg__free(from->ctx, in);
    swg__free(from->ctx, fixed);
    return status;
}

/* ---- folding ---- */

static bool is_code(const swg_graph *g, swg_value v, swg_code code) { return g->nodes[v].op == SWG__QDQ && g->nodes[v].attr.update == code; }

/* Is it a product that the kernel of codes computes, once its operands are codes? */
static bool folds(const swg_graph *g, const swg__node *n) {
    if ((n->op != SWG__MATMUL && n->op != SWG__LINEAR && !is_conv(n)) || n->attr.gate || n->dtype != SWG_F32)
        return false;
    if (!is_code(g, n->in[0], SWG_CODE_U8) || !is_code(g, n->in[1], SWG_CODE_S8))
        return false;
    const swg__node *a = &g->nodes[n->in[0]], *b = &g->nodes[n->in[1]];
    if (b->attr.axis != swg__quantise_axis(n))
        return false;
    if (is_conv(n))
        return a->attr.axis == 0 && !conv_not(g, n);
    return n->ndim == 2 && b->ndim == 2 && !n->attr.trans_a && a->attr.axis <= 0 && a->shape[1] <= SWG__CODES_K;
}

/* Runs of channels that the product reads per position. */
static int32_t runs_of(const swg__node *n) { return is_conv(n) ? n->attr.groups : 1; }

swg_status swg__pass_codes(swg__work *w) {
    swg_graph *g = w->g;
    int *folding = swg__calloc(g->ctx, (size_t)g->count, sizeof *folding); /* per value: readers that fold */
    int products = 0;
    if (!folding)
        return swg__fail_memory(g->ctx, (size_t)g->count * sizeof *folding, "folding codes");
    for (swg_value v = 1; v < g->count; v++)
        if (w->readers[v] && folds(g, &g->nodes[v])) {
            swg__node *rows = &g->nodes[g->nodes[v].in[0]];
            int32_t runs = runs_of(&g->nodes[v]);
            rows->attr.groups = rows->attr.groups ? rows->attr.groups : runs;
            folding[g->nodes[v].in[0]] += rows->attr.groups == runs; /* all readers agree, or none folds */
        }
    for (swg_value v = 1; v < g->count; v++) {
        swg__node *n = &g->nodes[v];
        if (!w->readers[v] || n->op == SWG__QDQ || !n->inputs)
            continue;
        swg_value rows = n->in[0];
        if (folding[rows] == 0 || folding[rows] != w->readers[rows])
            continue;
        g->nodes[rows].dtype = SWG__CODES;
        g->nodes[rows].attr.stride[0] = swg__int8_table_of(g->ctx->isa)->code_bytes;
        n->in[1] = g->nodes[n->in[1]].in[0];
        products++;
    }
    swg__free(g->ctx, folding);
    swg__work_count(w);
    if (products)
        swg__explain(g, "codes: %d products of 8-bit codes", products);
    return SWG_OK;
}
