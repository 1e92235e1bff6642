/* grad.c - reverse mode: appends the backward graph of a scalar; one short rule per operation.
 * In: a graph, a loss, parameters. Out: a value per parameter; swg_adam adds the update of the whole span.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ir/ir.h"

/* What a rule sees: the node (a copy: appending may move the array), its value and the gradient of its result. */
typedef struct rule_args {
    swg_graph *g;
    swg__node n;
    swg_value y, dy;
    const swg_value *x;   /* inputs */
    swg_value *dx;        /* out: gradient per input, SWG_NONE where nothing flows */
} rule_args;

#define RULE(name) static void grad_##name(rule_args *r)
#define G r->g
#define DY r->dy
#define X r->x[0]
#define ONE(expr) (r->dx[0] = (expr))

RULE(zero) { (void)r; }
RULE(neg) { ONE(swg_neg(G, DY)); }
RULE(abs) { ONE(swg_mul(G, DY, swg_sign(G, X))); }
RULE(square) { ONE(swg_mul(G, DY, swg_affine(G, X, 2, 0))); }
RULE(sqrt) { ONE(swg_div(G, swg_affine(G, DY, .5, 0), r->y)); }
RULE(rsqrt) { ONE(swg_mul(G, swg_affine(G, DY, -.5, 0), swg_mul(G, r->y, swg_square(G, r->y)))); }
RULE(recip) { ONE(swg_neg(G, swg_mul(G, DY, swg_square(G, r->y)))); }
RULE(exp) { ONE(swg_mul(G, DY, r->y)); }
RULE(log) { ONE(swg_div(G, DY, X)); }
RULE(log1p) { ONE(swg_div(G, DY, swg_affine(G, X, 1, 1))); }
RULE(relu) { ONE(swg__ew(G, SWG__GATE, 0, 0, 2, DY, r->y, 0)); }
RULE(gelu) { ONE(swg_mul(G, DY, swg__ew(G, SWG__DGELU, 0, 0, 1, X, 0, 0))); }
RULE(tanh) { ONE(swg_mul(G, DY, swg_affine(G, swg_square(G, r->y), -1, 1))); }
RULE(sigmoid) { ONE(swg_mul(G, DY, swg_mul(G, r->y, swg_affine(G, r->y, -1, 1)))); }
RULE(softplus) { ONE(swg_mul(G, DY, swg_sigmoid(G, X))); }
RULE(affine) { ONE(swg_affine(G, DY, r->n.attr.f[0], 0)); }
RULE(clamp) { ONE(swg_mul(G, DY, swg__ew(G, SWG__INSIDE, r->n.attr.f[0], r->n.attr.f[1], 1, X, 0, 0))); }

/* Gradient of a broadcast input: summed to the input's own shape. */
static swg_value fit(rule_args *r, swg_value gradient, int i) {
    if (!gradient)
        return SWG_NONE;
    const swg__node *in = &G->nodes[r->x[i]];
    return swg__sum_to(G, gradient, in->ndim, in->shape);
}
#define TWO(a, b) (r->dx[0] = fit(r, a, 0), r->dx[1] = fit(r, b, 1))

RULE(add) { TWO(DY, DY); }
RULE(sub) { TWO(DY, swg_neg(G, DY)); }
RULE(mul) { TWO(swg_mul(G, DY, r->x[1]), swg_mul(G, DY, X)); }
RULE(div) {
    swg_value da = swg_div(G, DY, r->x[1]);
    TWO(da, swg_neg(G, swg_mul(G, da, r->y)));
}
RULE(max) {
    swg_value to_b = swg_greater(G, r->x[1], X);
    TWO(swg_mul(G, DY, swg_affine(G, to_b, -1, 1)), swg_mul(G, DY, to_b));
}
RULE(min) {
    swg_value to_b = swg_greater(G, X, r->x[1]);
    TWO(swg_mul(G, DY, swg_affine(G, to_b, -1, 1)), swg_mul(G, DY, to_b));
}
RULE(gate) { r->dx[0] = swg__ew(G, SWG__GATE, 0, 0, 2, DY, r->x[1], 0); }
RULE(where) {
    swg_value none = swg_constant(G, 0);
    r->dx[1] = fit(r, swg_where(G, X, DY, none), 1);
    r->dx[2] = fit(r, swg_where(G, X, none, DY), 2);
}

RULE(reshape) { ONE(swg_reshape(G, DY, swg_ndim(G, X), swg_shape(G, X))); }
RULE(permute) {
    int inverse[SWG_MAX_DIMS];
    for (int i = 0; i < r->n.ndim; i++)
        inverse[r->n.attr.begin[i]] = i;
    ONE(swg_permute(G, DY, inverse));
}
RULE(expand) { ONE(fit(r, DY, 0)); }
RULE(slice) {
    const swg__node *in = &G->nodes[X];
    int64_t after[SWG_MAX_DIMS];
    for (int i = 0; i < r->n.ndim; i++)
        after[i] = in->shape[i] - r->n.attr.begin[i] - r->n.shape[i];
    ONE(swg_pad(G, DY, r->n.attr.begin, after));
}
RULE(pad) { ONE(swg_slice(G, DY, r->n.attr.begin, swg_shape(G, X))); }
RULE(concat) {
    int64_t begin[SWG_MAX_DIMS] = {0};
    for (int i = 0; i < r->n.inputs; i++) {
        const int64_t *extent = swg_shape(G, r->x[i]);
        r->dx[i] = swg_slice(G, DY, begin, extent);
        begin[r->n.attr.axis] += extent[r->n.attr.axis];
    }
}
/* dy has extent 1 on the reduced axes; multiplying by a tensor of ones is what expand is for. */
RULE(sum) { ONE(swg_expand(G, swg_affine(G, DY, r->n.attr.f[0], 0), r->n.ndim, swg_shape(G, X))); }
RULE(reduce_max) {
    swg_value at = swg__ew(G, SWG__EQUAL, 0, 0, 2, X, r->y, 0);
    ONE(swg_mul(G, at, swg_div(G, DY, swg_sum(G, at, r->n.attr.axes))));
}
RULE(softmax) {
    swg_value weighted = swg_mul(G, DY, r->y);
    ONE(swg_sub(G, weighted, swg_mul(G, r->y, swg_sum(G, weighted, 1u << (r->n.ndim - 1)))));
}
RULE(log_softmax) { ONE(swg_sub(G, DY, swg_mul(G, swg_exp(G, r->y), swg_sum(G, DY, 1u << (r->n.ndim - 1))))); }
RULE(take) { ONE(swg__put_along(G, DY, r->x[1], r->n.attr.axis)); }
RULE(put) { ONE(swg_take_along(G, DY, r->x[1], r->n.attr.axis)); }
RULE(matmul) {
    bool ta = r->n.attr.trans_a, tb = r->n.attr.trans_b;
    swg_value a = X, b = r->x[1];
    r->dx[0] = ta ? swg__matmul(G, b, DY, tb, true) : swg__matmul(G, DY, b, false, !tb);
    r->dx[1] = tb ? swg__matmul(G, DY, a, true, ta) : swg__matmul(G, a, DY, !ta, false);
}

typedef void (*rule_fn)(rule_args *);
#define grad_none NULL
static const rule_fn rules[SWG__OP_COUNT] = {
#define OP(id, text, class, inputs, gradient, kernel) [SWG__##id] = grad_##gradient,
#include "ir/op.def"
#undef OP
};

/* depends[v] = 1 where v is computed from one of the parameters asked for. */
static void mark_dependent(const swg_graph *g, swg_value loss, const swg_value *params, int count, uint8_t *depends) {
    for (int i = 0; i < count; i++)
        depends[params[i]] = 1;
    for (swg_value v = 1; v <= loss; v++) {
        const swg__node *n = &g->nodes[v];
        for (int j = 0; j < n->inputs && n->op != SWG__DETACH; j++)
            depends[v] |= depends[n->in[j]];
    }
}

static swg_status check_asked(swg_graph *g, swg_value loss, const swg_value *params, int count) {
    if (loss == SWG_NONE || loss >= g->count || swg_elements(g, loss) != 1)
        return swg__fail(g->ctx, SWG_EINVAL, "gradients: the loss must be one number");
    for (int i = 0; i < count; i++)
        if (params[i] == SWG_NONE || params[i] > loss)
            return swg__fail(g->ctx, SWG_EINVAL, "gradients: parameter %d \"%s\" is no value, or was made after the loss", i,
                             params[i] < g->count ? g->nodes[params[i]].name : "");
    return SWG_OK;
}

swg_status swg_gradients(swg_graph *g, swg_value loss, const swg_value *params, int count, swg_value *grads) {
    SWG__TRY(swg_graph_status(g));
    SWG__TRY(check_asked(g, loss, params, count));
    size_t nodes = (size_t)loss + 1;
    uint8_t *depends = swg__calloc(g->ctx, nodes, 1);
    swg_value *adjoint = swg__calloc(g->ctx, nodes, sizeof *adjoint);
    swg_status status = SWG_OK;
    if (!depends || !adjoint) {
        status = swg__fail_memory(g->ctx, nodes * 5, "the gradient");
        goto done;
    }
    mark_dependent(g, loss, params, count, depends);
    g->in_backward = true;
    adjoint[loss] = swg_reshape(g, swg_constant(g, 1), swg_ndim(g, loss), swg_shape(g, loss));
    for (swg_value v = loss; v > 0 && g->status == SWG_OK; v--) {
        if (!depends[v] || !adjoint[v] || g->nodes[v].inputs == 0)
            continue;
        swg__node n = g->nodes[v];
        if (!rules[n.op]) {
            swg__graph_fail(g, SWG_EGRAD, "%s%s%s has no gradient; detach it if none should flow", n.name, *n.name ? ": " : "",
                            swg__ops[n.op].text);
            break;
        }
        swg_value *dx = swg__arena_alloc(&g->arena, (size_t)n.inputs * sizeof *dx);
        if (!dx) {
            swg__graph_fail(g, SWG_ENOMEM, "out of memory for gradients");
            break;
        }
        rules[n.op](&(rule_args){.g = g, .n = n, .y = v, .dy = adjoint[v], .x = n.in, .dx = dx});
        for (int j = 0; j < n.inputs; j++)
            if (dx[j] && depends[n.in[j]])
                adjoint[n.in[j]] = adjoint[n.in[j]] ? swg_add(g, adjoint[n.in[j]], dx[j]) : dx[j];
    }
    g->in_backward = false;
    status = g->status;
    for (int i = 0; i < count && status == SWG_OK; i++) {
        grads[i] = adjoint[params[i]];
        if (!grads[i])
            status = swg__fail(g->ctx, SWG_EGRAD, "parameter \"%s\" does not influence the loss", g->nodes[params[i]].name);
    }
done:
    swg__free(g->ctx, depends);
    swg__free(g->ctx, adjoint);
    return status;
}

/* Every gradient is written to a place of its own: one that is a leaf, or that of an earlier parameter too, is copied. */
static void give_places(swg_graph *g, swg_value *grads, int count) {
    for (int i = 0; i < count; i++) {
        swg_value base = swg__base_of(g, grads[i]);
        bool shared = g->nodes[base].inputs == 0;
        for (int j = 0; j < i && !shared; j++)
            shared = swg__base_of(g, grads[j]) == base;
        if (shared)
            grads[i] = swg__ew(g, SWG__DETACH, 0, 0, 1, grads[i], 0, 0);
    }
}

/* ADAM's inputs: norm, hyper, then one gradient per parameter in order of creation; the planner places each gradient
 * in the gradient span at its parameter's offset, so the kernel sees three spans and no list. */
swg_value swg_adam(swg_graph *g, swg_value loss, swg_value hyper, const swg_adam_opts *opts) {
    static const swg_adam_opts none = {0};
    int count = g->param_count;
    if (g->status != SWG_OK)
        return SWG_NONE;
    if (swg_elements(g, hyper) != SWG_HYPER_COUNT || g->nodes[hyper].op != SWG__INPUT)
        return swg__graph_fail(g, SWG_EINVAL, "adam: hyper must be an input of %d numbers", SWG_HYPER_COUNT);
    for (int64_t v = 1; v < g->count; v++)
        if (g->nodes[v].op == SWG__ADAM)
            return swg__graph_fail(g, SWG_EINVAL, "adam: the graph updates its parameters already");
    swg_value *in = swg__arena_alloc(&g->arena, (size_t)(count + 2) * sizeof *in);
    if (!in)
        return swg__graph_fail(g, SWG_ENOMEM, "out of memory for the optimiser");
    swg_status status = swg_gradients(g, loss, g->params, count, in + 2);
    if (status != SWG_OK)
        return swg__graph_fail(g, status, "%s", swg_context_message(g->ctx));
    g->in_backward = true;
    in[1] = hyper;
    give_places(g, in + 2, count);
    swg__attr attr = {.decoupled = (opts ? opts : &none)->decoupled, .clip = (opts ? opts : &none)->clip};
    in[0] = swg__append(g, SWG__GRAD_NORM, g->dtype, 1, (int64_t[]){1}, count + 1, in + 1, &attr);
    swg_value token = in[0] ? swg__append(g, SWG__ADAM, g->dtype, 1, (int64_t[]){1}, count + 2, in, &attr) : SWG_NONE;
    g->in_backward = false;
    return token;
}
