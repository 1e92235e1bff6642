/* grad.c - reverse mode: appends the backward graph of a scalar by the rules of op.def.
 * In: a graph, a loss, parameters. Out: a value per parameter; swg_update adds the update of the whole span.
 * SPDX-License-Identifier: Apache-2.0 */
#include "grad/rules.h"

static void (*const rules[SWG__OP_COUNT])(swg__rule *) = {
#define OP(id, text, class, inputs, gradient, kernel, reference, bf16) [SWG__##id] = swg__grad_##gradient,
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

/* What a rule appends stands in the scope of the node it is the gradient of: profiles and messages then name the layer. */
static void enter(swg_graph *g, const char *scope) {
    g->scope.length = 0;
    swg__text_puts(&g->scope, scope);
    if (g->scope.failed)
        swg__graph_fail(g, SWG_ENOMEM, "out of memory for the scope \"%s\"", scope);
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
    swg__text outer = g->scope;
    swg__text_init(&g->scope, g->ctx);
    adjoint[loss] = swg_reshape(g, swg_constant(g, 1), swg_ndim(g, loss), swg_shape(g, loss));
    for (swg_value v = loss; v > 0 && g->status == SWG_OK; v--) {
        if (!depends[v] || !adjoint[v] || g->nodes[v].inputs == 0)
            continue;
        swg__node n = g->nodes[v];
        swg_value *dx = swg__arena_alloc(&g->arena, (size_t)n.inputs * sizeof *dx);
        if (!dx) {
            swg__graph_fail(g, SWG_ENOMEM, "out of memory for gradients");
            break;
        }
        enter(g, n.name);
        bool before = swg_graph_precise(g, n.precise);
        rules[n.op](&(swg__rule){.g = g, .n = n, .y = v, .dy = adjoint[v], .x = n.in, .dx = dx});
        for (int j = 0; j < n.inputs; j++)
            if (dx[j] && depends[n.in[j]])
                adjoint[n.in[j]] = adjoint[n.in[j]] ? swg_add(g, adjoint[n.in[j]], dx[j]) : dx[j];
        swg_graph_precise(g, before);
    }
    swg__text_free(&g->scope);
    g->scope = outer;
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

/* UPDATE's inputs: norm, hyper, then one gradient per parameter in order of creation; the planner places each gradient
 * in the gradient span at its parameter's offset, so the kernel sees three spans and no list. */
swg_value swg_update(swg_graph *g, swg_value loss, swg_value hyper, const swg_update_opts *opts) {
    static const swg_update_opts none = {0};
    const swg_update_opts *o = opts ? opts : &none;
    int count = g->param_count, groups = o->groups ? o->groups : 1;
    if (g->status != SWG_OK)
        return SWG_NONE;
    if (groups < 1 || swg_elements(g, hyper) != (int64_t)groups * SWG_HYPER_COUNT || g->nodes[hyper].op != SWG__INPUT)
        return swg__graph_fail(g, SWG_EINVAL, "update: hyper must be an input of %d x %d numbers", groups, SWG_HYPER_COUNT);
    bool sgd = o->kind == SWG_UPDATE_SGD;
    if ((sgd && o->amsgrad) || (!sgd && (o->momentum || o->nesterov)) || (o->nesterov && !o->momentum))
        return swg__graph_fail(g, SWG_EINVAL, "update: amsgrad goes with adam and adamw, momentum with sgd, nesterov with momentum");
    for (int64_t v = 1; v < g->count; v++)
        if (g->nodes[v].op == SWG__UPDATE)
            return swg__graph_fail(g, SWG_EINVAL, "update: the graph updates its parameters already");
    swg_value *in = swg__arena_alloc(&g->arena, (size_t)(count + 2) * sizeof *in);
    if (!in)
        return swg__graph_fail(g, SWG_ENOMEM, "out of memory for the optimiser");
    swg_status status = swg_gradients(g, loss, g->params, count, in + 2);
    if (status != SWG_OK)
        return swg__graph_fail(g, status, "%s", swg_context_message(g->ctx));
    g->in_backward = true;
    in[1] = hyper;
    give_places(g, in + 2, count);
    swg__attr attr = {.update = (uint8_t)o->kind,
                      .update_flags = (uint8_t)((o->clip ? SWG__UPDATE_CLIP : 0) | (o->momentum ? SWG__UPDATE_MOMENTUM : 0) |
                                                (o->nesterov ? SWG__UPDATE_NESTEROV : 0) | (o->amsgrad ? SWG__UPDATE_AMSGRAD : 0) |
                                                (o->accumulate ? SWG__UPDATE_ACCUMULATE : 0))};
    in[0] = swg__append(g, SWG__GRAD_NORM, g->dtype, 1, (int64_t[]){1}, count + 1, in + 1, &attr);
    /* A loss that is not finite must not move the weights, even where its gradients are finite: 0 x loss is NaN then. */
    in[0] = swg_add(g, in[0], swg_reshape(g, swg_affine(g, loss, 0, 0), 1, (int64_t[]){1}));
    swg_value token = in[0] ? swg__append(g, SWG__UPDATE, g->dtype, 1, (int64_t[]){1}, count + 2, in, &attr) : SWG_NONE;
    token = token ? swg__update_states(g, token, in[0]) : SWG_NONE;
    g->in_backward = false;
    return token;
}

swg_value swg_adam(swg_graph *g, swg_value loss, swg_value hyper, const swg_adam_opts *opts) {
    return swg_update(g, loss, hyper, &(swg_update_opts){.kind = opts && opts->decoupled ? SWG_UPDATE_ADAMW : SWG_UPDATE_ADAM,
                                                         .clip = opts && opts->clip});
}
