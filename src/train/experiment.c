/* experiment.c - recipe, training and prediction held together, for programs.
 * In: a recipe and changes. Out: a run folder, a network, predictions.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/experiment.h"
#include <string.h>
#include "base.h"
#include "train/whole.h"

struct swg_experiment {
    swg_context *ctx;
    swg_config *config;
    swg_model *model;           /* that predict uses; NULL: not opened yet */
    char path[1088];            /* it is opened from here; "" : the run folder of the recipe */
};

static swg_status wrap(swg_context *ctx, swg_status status, swg_config *config, swg_experiment **out) {
    *out = NULL;
    if (status != SWG_OK)
        return status;
    if (!(*out = swg__calloc(ctx, 1, sizeof **out))) {
        swg_config_close(config);
        return swg__fail_memory(ctx, sizeof **out, "an experiment");
    }
    (*out)->ctx = ctx;
    (*out)->config = config;
    return SWG_OK;
}

swg_status swg_experiment_default(swg_context *ctx, const char *name, const char *folder, const char *const *changes, int count, swg_experiment **out) {
    char run_dir[1100], run_name[160];
    const char *last = strrchr(name, '/');
    swg_config *config = NULL;
    const char **all = swg__calloc(ctx, (size_t)count + 2, sizeof *all);
    *out = NULL;
    if (!all)
        return swg__fail_memory(ctx, ((size_t)count + 2) * sizeof *all, "changes of a recipe");
    int n = 0;
    if (folder) { /* first: the caller's own have the last word */
        snprintf(run_dir, sizeof run_dir, "run.dir=%s", folder);
        snprintf(run_name, sizeof run_name, "run.name=%.128s", last ? last + 1 : name);
        all[n++] = run_dir;
        all[n++] = run_name;
    }
    for (int i = 0; i < count; i++)
        all[n++] = changes[i];
    swg_status status = swg_config_open(ctx, name, &(swg_config_opts){.overrides = all, .override_count = n}, &config);
    swg__free(ctx, all);
    return wrap(ctx, status, config, out);
}

swg_status swg_experiment_file(swg_context *ctx, const char *path, swg_experiment **out) {
    swg_config *config = NULL;
    swg_status status = swg_config_open(ctx, path, NULL, &config);
    return wrap(ctx, status, config, out);
}

swg_status swg_experiment_text(swg_context *ctx, const char *yaml, swg_experiment **out) {
    swg_config *config = NULL;
    swg_status status = swg_config_open_text(ctx, yaml, "text", NULL, &config);
    return wrap(ctx, status, config, out);
}

void swg_experiment_close(swg_experiment *e) {
    if (!e)
        return;
    swg_model_close(e->model);
    swg_config_close(e->config);
    swg__free(e->ctx, e);
}

swg_status swg_experiment_override(swg_experiment *e, const char *const *changes, int count) {
    swg_config *changed;
    const char *text;
    SWG__TRY(swg_config_yaml(e->config, &text));
    SWG__TRY(swg_config_open_text(e->ctx, text, "experiment", &(swg_config_opts){.overrides = changes, .override_count = count}, &changed));
    swg_config_close(e->config);
    e->config = changed;
    return SWG_OK;
}

swg_status swg_experiment_print(swg_experiment *e, FILE *file) {
    const char *text;
    SWG__TRY(swg_config_yaml(e->config, &text));
    return fputs(text, file) >= 0 ? SWG_OK : swg__fail(e->ctx, SWG_EIO, "the configuration could not be printed");
}

swg_status swg_experiment_save(swg_experiment *e, const char *path) {
    const char *text;
    SWG__TRY(swg_config_yaml(e->config, &text));
    return swg__file_write(e->ctx, path, text, strlen(text));
}

swg_config *swg_experiment_config(swg_experiment *e) { return e->config; }

swg_status swg_experiment_model(swg_experiment *e, const char *path) {
    swg_model *model;
    SWG__TRY(swg_model_open(e->ctx, path, &model));
    swg_model_close(e->model);
    e->model = model;
    return SWG_OK;
}

swg_status swg_experiment_train(swg_experiment *e, const swg_train_array *arrays, int count, const swg_train_hooks *hooks, swg_train_result *result) {
    swg_train_result own, *r = result ? result : &own;
    swg_model_close(e->model);
    e->model = NULL;
    SWG__TRY(swg_train_arrays(e->ctx, e->config, arrays, count, hooks, r));
    snprintf(e->path, sizeof e->path, "%s", r->run_dir);
    return SWG_OK;
}

/* The run folder that the recipe names, where nothing was trained by this experiment. */
static swg_status open_model(swg_experiment *e) {
    if (e->model)
        return SWG_OK;
    if (!*e->path) {
        if (!swg_config_has(e->config, "run.name"))
            return swg__fail(e->ctx, SWG_ENOTFOUND, "nothing is trained yet; train, or name a run with swg_experiment_model");
        snprintf(e->path, sizeof e->path, "%.512s/%.500s", swg_config_string(e->config, "run.dir"), swg_config_string(e->config, "run.name"));
    }
    return swg_experiment_model(e, e->path);
}

swg_status swg_experiment_predict(swg_experiment *e, const int64_t dims[4], const float *x, const swg_predict_stacks_opts *opts, swg_prediction *out) {
    swg_config *c = e->config;
    *out = (swg_prediction){0};
    SWG__TRY(open_model(e));
    if (opts)
        return swg_predict_stack(e->ctx, e->model, dims, x, opts, out);
    swg_predict_stacks_opts own = {.overlap = swg_config_float(c, "predict.overlap"), .constant = swg_config_is(c, "predict.blend", "constant"),
                                   .batch = swg_config_int(c, "predict.batch")};
    SWG__TRY(swg__whole_windows(e->ctx, c, own.roi, &own.boxed, own.box));
    return swg_predict_stack(e->ctx, e->model, dims, x, &own, out);
}
