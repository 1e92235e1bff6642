/* plot.h - pictures of a training run: curves of its epochs, learned splines, validation tiles, latents, and one page of all of it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_PLOT_H
#define SWAGE_PLOT_H

#include "swage/model.h"
#include "swage/nn.h"

/* ---- learned functions of the edges of a KAN layer of B-splines: phi(x) = Wb SiLU(x) + s sum_j c_j B_j(x) ---- */

/* A layer in the weights by its name ("encoder.kan"). */
typedef struct swg_kan_edges {
    int64_t outputs, inputs;    /* edges are outputs * inputs; an input of a convolution is (channel, row, column) of its patches */
    int64_t taps;               /* inputs of a channel: 1, 9 for a 3-wide convolution of images */
    int64_t intervals, order, knots;
    bool adaptive;              /* every channel has knots of its own */
} swg_kan_edges;
/* opts: how the layer was made; of it order, low, high and conv_then_silu count (0: defaults), the rest is in the weights. taps: 1 for linear layers.
 * SWG_EINVAL: there is no such layer, or it does not fit opts and taps. */
swg_status swg_kan_edges_of(swg_weights *weights, const char *layer, const swg_kan_opts *opts, int64_t taps, swg_kan_edges *out);

typedef struct swg_kan_edge {
    int64_t out, in;
    double magnitude;           /* mean |c_j| */
} swg_kan_edge;
/* The `most` edges of the largest magnitude, largest first, the earlier one of equals; *count: how many they are. */
swg_status swg_kan_strongest(swg_weights *weights, const char *layer, const swg_kan_opts *opts, int64_t taps, int64_t most, swg_kan_edge *edges,
                             int64_t *count);

/* Curve of one edge at x (count): phi and, if not NULL, its part base = Wb SiLU(x), in f64. With conv_then_silu, where SiLU acts on a sum of
 * edges, phi is the spline alone and base is 0. */
swg_status swg_kan_curve(swg_weights *weights, const char *layer, const swg_kan_opts *opts, int64_t taps, int64_t out, int64_t in, int64_t count,
                         const double *x, double *phi, double *base);
/* Knots of an input's channel, edges.knots of them; the grid itself lies between number `order` and number `order + intervals`. */
swg_status swg_kan_knots_of(swg_weights *weights, const char *layer, const swg_kan_opts *opts, int64_t taps, int64_t in, double *knots);

/* ---- a run ---- */

#define SWG_PLOT_TABLE(X)                                                                                                \
    X(CURVES, "curves", "loss and figures over the epochs, from metrics.csv")                                             \
    X(SAMPLES, "samples", "family kan: validation tiles, clean, noisy and decoded")                                       \
    X(SPLINES, "splines", "family kan: the strongest edges of every KAN layer")                                           \
    X(Z, "z", "family kan: channels of the latent of validation tiles, mean and sd of each channel")
typedef enum swg_plot {
#define X(id, name, help) SWG_PLOT_##id,
    SWG_PLOT_TABLE(X)
#undef X
    SWG_PLOTS
} swg_plot;
const char *swg_plot_name(swg_plot plot);
/* "splines" or "curves,z" or "all" as bits 1 << SWG_PLOT_...; 0: a name is none. */
unsigned swg_plot_find(const char *names);

typedef struct swg_plot_opts {
    unsigned what;              /* bits; 0: all that the run has */
    const char *folder;         /* NULL: RUN/plots */
    swg_config *config;         /* where the data are, if not where the run had them; NULL: the run's own */
    int64_t edges;              /* of a layer; 0: 12 */
    int64_t tiles;              /* samples; 0: 8 */
    void (*note)(void *user, const char *text); /* what all left out, and why */
    void *user;
} swg_plot_opts;

/* Paths, in the order of writing. */
typedef struct swg_plot_files {
    int64_t count;
    char **path;
} swg_plot_files;

/* Draws a run folder (its best checkpoint) into opts->folder, always with report.html, which shows all that is drawn in this call. Asked for by
 * name, what the run does not have is an error: SWG_EUNSUPPORTED, another family; SWG_ENOTFOUND, no metrics.csv. opts may be NULL.
 * *files is to be freed also after a failure. */
swg_status swg_plot_run(swg_context *ctx, const char *run, const swg_plot_opts *opts, swg_plot_files *files);
void swg_plot_files_free(swg_context *ctx, swg_plot_files *files);

#endif
