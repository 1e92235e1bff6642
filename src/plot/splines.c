/* splines.c - small multiples of the learned functions of KAN layers.
 * In: the weights of a model. Out: splines-LAYER.svg.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "plot/plot.h"

enum { POINTS = 241, EDGES = 12, ACROSS = 4, TITLE = 192 };

/* What a chart of an edge points to. */
typedef struct drawing {
    double x[POINTS], phi[POINTS], base[POINTS], spline[POINTS];
    char title[TITLE];
    swg_series series[3];
} drawing;

/* "4, 2 (0, 1)": channel, and row and column of a patch. */
static void name_edge(const swg_kan_edges *l, const swg_kan_edge *e, char out[TITLE]) {
    int64_t tap = e->in % l->taps, side = (int64_t)(sqrt((double)l->taps) + .5);
    if (l->taps == 1)
        snprintf(out, TITLE, "out %lld, in %lld", (long long)e->out, (long long)e->in);
    else
        snprintf(out, TITLE, "out %lld, in %lld, tap (%lld, %lld)", (long long)e->out, (long long)(e->in / l->taps), (long long)(tap / side),
                 (long long)(tap % side));
    snprintf(out + strlen(out), TITLE - strlen(out), ", mean |c| %.3g", e->magnitude);
}

/* Over all knots, where the splines fade out on both sides of the grid. */
static swg_status draw_edge(swg__plot *p, const swg__kan_layer *names, const swg_kan_opts *opts, const swg_kan_edges *l, const swg_kan_edge *e,
                            drawing *d, double *knots, swg_chart *chart) {
    swg_weights *w = swg_model_weights(p->model);
    SWG__TRY(swg_kan_knots_of(w, names->layer, opts, l->taps, e->in, knots));
    for (int i = 0; i < POINTS; i++)
        d->x[i] = knots[0] + (knots[l->knots - 1] - knots[0]) * i / (POINTS - 1);
    SWG__TRY(swg_kan_curve(w, names->layer, opts, l->taps, e->out, e->in, POINTS, d->x, d->phi, d->base));
    for (int i = 0; i < POINTS; i++)
        d->spline[i] = d->phi[i] - d->base[i];
    name_edge(l, e, d->title);
    d->series[0] = (swg_series){opts->conv_then_silu ? "spline" : "learned function", POINTS, d->x, d->phi};
    d->series[1] = (swg_series){"of it SiLU", POINTS, d->x, d->base};
    d->series[2] = (swg_series){"of it spline", POINTS, d->x, d->spline};
    *chart = (swg_chart){.title = d->title, .x_label = "x", .count = opts->conv_then_silu ? 1 : 3, .series = d->series, .band_low = knots[l->order],
                         .band_high = knots[l->order + l->intervals], .marks = l->knots, .mark = knots};
    return SWG_OK;
}

static void describe(const swg__plot *p, const swg__kan_layer *names, const swg_kan_opts *opts, const swg_kan_edges *l, int64_t count, char *out,
                     size_t capacity) {
    char column[64];
    snprintf(out, capacity, "%s: %lld of %lld edges, those with the largest mean |c|; %lld intervals of order %lld%s; shaded: the grid%s", names->layer,
             (long long)count, (long long)(l->outputs * l->inputs), (long long)l->intervals, (long long)l->order,
             l->adaptive ? ", adaptive" : "", opts->conv_then_silu ? "; SiLU acts on the sum of all edges and is not drawn" : "");
    for (int part = 0; part < 2; part++) {
        snprintf(column, sizeof column, "%s_%s", part ? "val" : "train", names->outside);
        double share = swg__plot_cell(p, p->row, column);
        if (!isnan(share))
            snprintf(out + strlen(out), capacity - strlen(out), "; %.2f %% of %s inputs outside", 100 * share, part ? "validation" : "training");
    }
}

static swg_status draw_layer(swg__plot *p, int layer, int64_t most, swg_kan_edge *edges, drawing *drawings, swg_chart *charts) {
    const swg__kan_layer *names = &swg__kan_layers[layer];
    const swg_kan_opts *opts = &swg__model_recipe(p->model)->kan.network.kan[layer];
    const int64_t taps = layer == SWG_KAN_DAE_OUTPUT ? 1 : 9; /* 3-wide convolutions, but for the last */
    char caption[600], file[128], path[2048];
    swg_kan_edges l;
    int64_t count;
    SWG__TRY(swg_kan_edges_of(swg_model_weights(p->model), names->layer, opts, taps, &l));
    SWG__TRY(swg_kan_strongest(swg_model_weights(p->model), names->layer, opts, taps, most, edges, &count));
    double *knots = swg__calloc(p->ctx, (size_t)(count * l.knots), sizeof *knots);
    swg_status status = knots ? SWG_OK : swg__fail_memory(p->ctx, (size_t)(count * l.knots) * sizeof *knots, "knots");
    for (int64_t i = 0; i < count && status == SWG_OK; i++)
        status = draw_edge(p, names, opts, &l, &edges[i], &drawings[i], knots + i * l.knots, &charts[i]);
    describe(p, names, opts, &l, count, caption, sizeof caption);
    snprintf(file, sizeof file, "splines-%s.svg", names->layer);
    swg__plot_path(p, file, path);
    if (status == SWG_OK) {
        swg_report_charts(p->page, caption, charts, count);
        status = swg_charts_write(p->ctx, path, caption, charts, count, ACROSS);
    }
    swg__free(p->ctx, knots);
    return status == SWG_OK ? swg__plot_wrote(p, path) : status;
}

swg_status swg__plot_splines(swg__plot *p) {
    const int64_t most = p->opts->edges ? p->opts->edges : EDGES;
    swg_kan_edge *edges = swg__calloc(p->ctx, (size_t)most, sizeof *edges);
    drawing *drawings = swg__calloc(p->ctx, (size_t)most, sizeof *drawings);
    swg_chart *charts = swg__calloc(p->ctx, (size_t)most, sizeof *charts);
    swg_status status = edges && drawings && charts ? SWG_OK : swg__fail_memory(p->ctx, (size_t)most * sizeof *drawings, "splines");
    swg_report_heading(p->page, "Learned splines");
    for (int i = 0; i < SWG_KAN_DAE_LAYERS && status == SWG_OK; i++)
        status = draw_layer(p, i, most, edges, drawings, charts);
    swg__free(p->ctx, charts);
    swg__free(p->ctx, drawings);
    swg__free(p->ctx, edges);
    return status;
}
