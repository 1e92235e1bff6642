/* family.h - what a family of networks brings to the trainer: its settings, its graph, its data and the figures it is judged by. The loop, the
 * optimiser, plans, checkpoints and the log are the same for all.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TRAIN_FAMILY_H
#define SWAGE_TRAIN_FAMILY_H

#include "base.h"
#include "data/prepare.h"
#include "swage/graph.h"
#include "swage/layers.h"
#include "swage/train.h"

struct swg__recipe;
struct swg__run;
struct swg__run_log;

enum { SWG__STEP_INPUTS = 6, SWG__STEP_TERMS = 8, SWG__STEP_OUTPUTS = 4, SWG__FIGURES = 12 };

/* Graph of one training step or of a validation pass over a batch. */
typedef struct swg__step_graph {
    swg_graph *g;
    int inputs, terms, outputs;
    swg_value in[SWG__STEP_INPUTS];         /* filled from the data, one after the other; first axis: samples */
    swg_value hyper, norm;                  /* training only; set by the trainer */
    swg_value control;                      /* numbers that the family sets before each step, or SWG_NONE */
    swg_value loss, term[SWG__STEP_TERMS];  /* {1} each; terms are logged beside the loss */
    const char *term_name[SWG__STEP_TERMS];
    bool term_shown[SWG__STEP_TERMS];       /* also in the line of progress */
    int kept;                               /* training only: values that step_end reads, kept to the end of the step */
    swg_value keep[SWG__STEP_TERMS];
    swg_value out[SWG__STEP_OUTPUTS];       /* the reconstruction or prediction, then what there is; a validation pass delivers `outputs` of them */
} swg__step_graph;

/* Samples of a run, wherever they come from. */
typedef struct swg__dataset {
    const swg_split *split;
    char digest[SWG__DIGEST_CHARS];         /* of the data and their split: a run is not resumed on others */
    char *note;                             /* text kept in checkpoints as "norm": what inference must know about the data; of the context */
    void *own;                              /* the family's */
} swg__dataset;

/* How a batch is drawn. What comes out depends on this and the indices alone. */
typedef struct swg__draw {
    bool training;                          /* augment; else every epoch sees the same */
    uint64_t seed;
    int64_t epoch, epochs;
} swg__draw;

typedef struct swg__family {
    const char *name;                       /* model.family */
    const char *sample, *samples;           /* "block", "blocks" */
    /* Reads its keys into the recipe, whose general part is read later. */
    swg_status (*read)(swg_context *ctx, swg_config *config, struct swg__recipe *out);
    /* Batch norm and the like: fewer samples than so many are no batch. */
    int64_t (*least_batch)(const struct swg__recipe *recipe);
    /* f32 numbers of one sample over all inputs of the step. */
    int64_t (*sample_values)(const struct swg__recipe *recipe);
    /* Sets the keys that give the network an input of this shape, batch first; the batch itself is set by the caller. */
    swg_status (*set_input)(swg_context *ctx, swg_config *config, const struct swg__recipe *recipe, int ndim, const int64_t *shape);
    /* Adds inputs, network, loss and terms to s->g for `batch` samples. */
    void (*build)(const struct swg__recipe *recipe, int64_t batch, bool training, swg__step_graph *s);
    /* Network in use on one sample, which has all parameters in the order of `build`. */
    void (*network)(const struct swg__recipe *recipe, swg_graph *g);
    /* Networks of images: x (N, C, spatial...) of any extents the network takes; out as in the step. NULL: not of images. */
    void (*apply)(const struct swg__recipe *recipe, swg_graph *g, swg_value x, swg_value out[SWG__STEP_OUTPUTS]);
    swg_status (*layers)(swg_context *ctx, const struct swg__recipe *recipe, swg_layers *out);  /* of one sample */
    /* "mlp, blocks of 125 values, latent 16" */
    void (*describe)(const struct swg__recipe *recipe, char *out, size_t capacity);

    swg_status (*open)(struct swg__run *run, swg__dataset *out);
    void (*close)(struct swg__run *run, swg__dataset *data);
    /* Batch of the samples `indices`: each input of the step in turn, (count, values of a sample). On any thread. */
    swg_status (*fetch)(const swg__dataset *data, const swg__draw *draw, const int64_t *indices, int64_t count, float *out, char *message,
                        size_t capacity);
    /* Before the first step of a run that is not resumed: may change the weights. NULL: nothing. */
    swg_status (*start)(struct swg__run *run);
    void (*log_data)(struct swg__run *run);     /* fields of its own in the line "start"; NULL: none */
    /* Values of `control` for an epoch; NULL: no control. */
    void (*control)(const struct swg__recipe *recipe, const swg__draw *draw, float *values);

    /* Figures of a validation pass, beside the losses: open, a batch whose outputs are in the plan, end (fills in a number per name, NaN: there is
     * none, and frees; status not SWG_OK: only frees). */
    const char *figures[SWG__FIGURES];          /* names, up to a NULL; columns of metrics.csv */
    swg_status (*judge_open)(struct swg__run *run, void **judge);
    swg_status (*judge_add)(struct swg__run *run, void *judge, swg_plan *plan, const swg__step_graph *s, const int64_t *indices, int64_t count);
    void (*judge_end)(struct swg__run *run, void *judge, swg_status status, double *figures);
    /* After an optimiser step, whose last micro-batch ran in this plan: may change weights. NULL: nothing. */
    swg_status (*step_end)(struct swg__run *run, swg_plan *plan, const swg__step_graph *s);
    /* At the end of training: pictures into the run folder. NULL: none. */
    swg_status (*pictures)(struct swg__run *run);
} swg__family;

extern const swg__family swg__family_swae, swg__family_kan, swg__family_cyto, swg__family_tfswa;

/* NULL: no such family. */
const swg__family *swg__family_find(const char *name);

#endif
