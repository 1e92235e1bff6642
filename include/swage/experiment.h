/* experiment.h - a whole experiment in a few calls: load a default one, change keys, train, predict on arrays in memory. What the Python tools of the
 * field offer as a model object (docs/cyto.md, Published names, has the table of names).
 *
 *     swg_experiment *e;
 *     const char *changes[] = {"trainer.max_epochs=20", "data.source=raw normalise", "data.target=[seg]"};
 *     swg_experiment_default(ctx, "cyto/segmentation", "out", changes, 3, &e);
 *     swg_experiment_train(e, arrays, 2, NULL, NULL);
 *     swg_experiment_predict(e, dims, image, NULL, &prediction);
 *     swg_experiment_close(e);
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_EXPERIMENT_H
#define SWAGE_EXPERIMENT_H

#include <stdio.h>
#include "swage/config.h"
#include "swage/predict.h"
#include "swage/train.h"

typedef struct swg_experiment swg_experiment;

/* A recipe by name ("cyto/segmentation", "cyto/mae", "kan/dae", ...), with changes as on the command line ("key=value", "group=name"). The run folder is
 * FOLDER/<last part of the name>; folder NULL: run.dir and run.name of the recipe hold. On failure *out is NULL; errors as swg_config_open. */
swg_status swg_experiment_default(swg_context *ctx, const char *name, const char *folder, const char *const *changes, int count, swg_experiment **out);
/* From a YAML file or run folder; from YAML text. */
swg_status swg_experiment_file(swg_context *ctx, const char *path, swg_experiment **out);
swg_status swg_experiment_text(swg_context *ctx, const char *yaml, swg_experiment **out);
void swg_experiment_close(swg_experiment *experiment); /* NULL is allowed */

/* More changes, `key=value`; on failure the experiment is as it was. */
swg_status swg_experiment_override(swg_experiment *experiment, const char *const *changes, int count);
swg_status swg_experiment_print(swg_experiment *experiment, FILE *file);                /* every key, as YAML */
swg_status swg_experiment_save(swg_experiment *experiment, const char *path);           /* the same to a file, atomically; opens again */
swg_config *swg_experiment_config(swg_experiment *experiment);                          /* to be read; until the next change */

/* Trains. arrays: in place of data.path (NULL, 0: files), of family cyto; they must live during the call. hooks, result may be NULL. */
swg_status swg_experiment_train(swg_experiment *experiment, const swg_train_array *arrays, int count, const swg_train_hooks *hooks,
                                swg_train_result *result);
/* The network that predict uses: a run folder or checkpoint; by default what this experiment trained last, or finds in its run folder. */
swg_status swg_experiment_model(swg_experiment *experiment, const char *path);
/* swg_predict_stack with the experiment's predict.overlap, .blend, .batch, .roi and .box where opts is NULL. dims: C, Z, Y, X. SWG_ENOTFOUND: nothing is trained yet. */
swg_status swg_experiment_predict(swg_experiment *experiment, const int64_t dims[4], const float *x, const swg_predict_stacks_opts *opts,
                                  swg_prediction *out);

#endif
