/* kan_curve.c - learned functions of the edges of KAN layers, to be drawn.
 * In: weights, the name of a layer. Out: values in f64.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "nn/kan.h"
#include "plan/plan.h"
#include "swage/plot.h"

typedef struct layer {
    swg_kan_edges of;
    swg_dtype dtype;
    const void *c, *s, *b, *t;      /* coefficients, scalers or NULL, base, knots or NULL */
    int64_t bases;
    bool edge, conv_then_silu;      /* a scaler per edge, else per result */
    double low, high;
} layer;

/* Value of "<layer>.<part>" among parameters or states; NULL: there is none. */
static const void *find(swg_weights *w, const char *name, const char *part, const struct swg__weight **about) {
    char want[512];
    snprintf(want, sizeof want, "%s%s%s", name, *name ? "." : "", part);
    for (int i = 0; i < w->count; i++)
        if (strcmp(w->items[i].name, want) == 0) {
            *about = &w->items[i];
            return swg_weights_value(w, i);
        }
    for (int i = 0; i < w->state_count; i++)
        if (strcmp(w->states[i].name, want) == 0) {
            *about = &w->states[i];
            return swg_weights_state(w, i);
        }
    return NULL;
}

static swg_status open_layer(swg_weights *w, const char *name, const swg_kan_opts *opts, int64_t taps, layer *l) {
    static const swg_kan_opts none = {0};
    const swg_kan_opts *o = opts ? opts : &none;
    const struct swg__weight *c = NULL, *s = NULL, *b = NULL, *t = NULL;
    bool ranged = o->low != 0 || o->high != 0;
    *l = (layer){.dtype = w->dtype, .conv_then_silu = o->conv_then_silu, .low = ranged ? o->low : -1, .high = ranged ? o->high : 1};
    l->c = find(w, name, "spline_weight", &c);
    l->s = find(w, name, "spline_scaler", &s);
    l->b = find(w, name, "base_weight", &b);
    l->t = find(w, name, "knots", &t);
    if (!l->c || !l->b || o->basis != SWG_KAN_BSPLINE)
        return swg__fail(w->ctx, SWG_EINVAL, "kan: layer \"%s\": there is no such layer of B-splines", name);
    l->bases = c->shape[2];
    l->edge = s && s->ndim == 2;
    l->of = (swg_kan_edges){.outputs = c->shape[0], .inputs = c->shape[1], .taps = taps, .order = o->order ? o->order : 3, .adaptive = t != NULL};
    l->of.intervals = l->bases - l->of.order;
    l->of.knots = l->bases + l->of.order + 1;
    if (l->of.order < 1 || l->of.order > SWG__SPLINE_ORDER || l->of.intervals < 1 || taps < 1 || l->of.inputs % taps ||
        (t && (t->shape[0] != l->of.inputs / taps || t->shape[1] != l->of.knots)))
        return swg__fail(w->ctx, SWG_EINVAL, "kan: layer \"%s\" has %lld inputs and %lld bases; they do not fit order %lld and %lld taps", name,
                         (long long)l->of.inputs, (long long)l->bases, (long long)l->of.order, (long long)taps);
    return SWG_OK;
}

static void knots_of(const layer *l, int64_t in, double *knots) {
    if (!l->t)
        swg__kan_grid(l->of.intervals, (int)l->of.order, l->low, l->high, knots);
    for (int64_t i = 0; l->t && i < l->of.knots; i++)
        knots[i] = swg__load(l->t, l->dtype, in / l->of.taps * l->of.knots + i);
}

static swg_status check_edge(const swg_weights *w, const char *name, const layer *l, int64_t out, int64_t in) {
    if (out >= 0 && out < l->of.outputs && in >= 0 && in < l->of.inputs)
        return SWG_OK;
    return swg__fail(w->ctx, SWG_EINVAL, "kan: layer \"%s\" has %lld results and %lld inputs: no edge from %lld to %lld", name,
                     (long long)l->of.outputs, (long long)l->of.inputs, (long long)in, (long long)out);
}

swg_status swg_kan_edges_of(swg_weights *weights, const char *name, const swg_kan_opts *opts, int64_t taps, swg_kan_edges *out) {
    layer l;
    SWG__TRY(open_layer(weights, name, opts, taps, &l));
    *out = l.of;
    return SWG_OK;
}

swg_status swg_kan_knots_of(swg_weights *weights, const char *name, const swg_kan_opts *opts, int64_t taps, int64_t in, double *knots) {
    layer l;
    SWG__TRY(open_layer(weights, name, opts, taps, &l));
    SWG__TRY(check_edge(weights, name, &l, 0, in));
    knots_of(&l, in, knots);
    return SWG_OK;
}

swg_status swg_kan_strongest(swg_weights *weights, const char *name, const swg_kan_opts *opts, int64_t taps, int64_t most, swg_kan_edge *edges,
                             int64_t *count) {
    layer l;
    *count = 0;
    SWG__TRY(open_layer(weights, name, opts, taps, &l));
    for (int64_t e = 0; e < l.of.outputs * l.of.inputs; e++) {
        double sum = 0;
        for (int64_t j = 0; j < l.bases; j++)
            sum += fabs(swg__load(l.c, l.dtype, e * l.bases + j));
        sum /= (double)l.bases;
        int64_t at = *count;
        while (at > 0 && sum > edges[at - 1].magnitude)
            at--;
        if (at >= most)
            continue;
        *count += *count < most;
        memmove(edges + at + 1, edges + at, (size_t)(*count - 1 - at) * sizeof *edges);
        edges[at] = (swg_kan_edge){.out = e / l.of.inputs, .in = e % l.of.inputs, .magnitude = sum};
    }
    return SWG_OK;
}

swg_status swg_kan_curve(swg_weights *weights, const char *name, const swg_kan_opts *opts, int64_t taps, int64_t out, int64_t in, int64_t count,
                         const double *x, double *phi, double *base) {
    layer l;
    double w[SWG__SPLINE_ORDER + 1];
    SWG__TRY(open_layer(weights, name, opts, taps, &l));
    SWG__TRY(check_edge(weights, name, &l, out, in));
    double *knots = swg__calloc(weights->ctx, (size_t)l.of.knots, sizeof *knots);
    if (!knots)
        return swg__fail_memory(weights->ctx, (size_t)l.of.knots * sizeof *knots, "knots");
    knots_of(&l, in, knots);
    const int64_t e = out * l.of.inputs + in;
    const double scaler = l.s ? swg__load(l.s, l.dtype, l.edge ? e : out) : 1, weight = l.conv_then_silu ? 0 : swg__load(l.b, l.dtype, e);
    for (int64_t i = 0; i < count; i++) {
        int64_t first;
        double sum = 0, silu = weight == 0 ? 0 : weight * x[i] / (1 + exp(-x[i]));
        if (swg__kan_bases(knots, l.of.knots, (int)l.of.order, x[i], &first, w))
            for (int64_t j = 0; j <= l.of.order; j++)
                if (first + j >= 0 && first + j < l.bases)
                    sum += w[j] * swg__load(l.c, l.dtype, e * l.bases + first + j);
        phi[i] = silu + scaler * sum;
        if (base)
            base[i] = silu;
    }
    swg__free(weights->ctx, knots);
    return SWG_OK;
}
