/* layers.h - a graph as the layers it was built from: names, shapes, parameters and work of each, and who reads whom.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_LAYERS_H
#define SWAGE_LAYERS_H

#include "swage/graph.h"

/* A layer is a scope that holds parameters of its own, with all nodes below it; or a scope without any parameter below it; or a single
 * node outside of both, such as an activation (not a reshape, which is another shape of what it reads). Three ways to count multiply-adds, for the whole batch: */
typedef struct swg_layer {
    const char *name;           /* scope: "encoder/stage1/conv1"; of an input its name */
    const char *kind;           /* "conv", "deconv", "linear", "norm", "gelu", ..., "input" */
    int ndim;
    int64_t shape[SWG_MAX_DIMS];        /* of the result */
    int64_t parameters;
    int64_t macs;               /* with the padding's zeros; transposed convolutions per input position (swae.md, section 3) */
    int64_t macs_by_output;     /* transposed convolutions per output position, as is often published */
    int64_t macs_run;           /* what is computed: taps that meet data */
    int64_t kernel, stride;     /* of convolutions, along the last axis; else 0 */
    int input_count;
    const int64_t *inputs;      /* layers it reads, as rows of the table; every one once */
} swg_layer;

typedef struct swg_layers {
    int64_t count;
    const swg_layer *rows;      /* in the order in which they were built */
    swg_layer total;            /* sums; its name is "" */
    void *memory;
} swg_layers;

/* Of everything `outputs` depend on. */
swg_status swg_layers_of(const swg_graph *g, const swg_value *outputs, int count, swg_layers *out);
void swg_layers_free(swg_context *ctx, swg_layers *layers);
/* Sums over the layers below a scope ("encoder"). */
swg_layer swg_layers_below(const swg_layers *layers, const char *scope);

#endif
