/* execute.c - one run of a search: trained, measured, written down.
 * In: a run's settings. Out: runs/<name>/ with result-<part>.json as its last file.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "search/search.h"
#include "swage/evaluate.h"

enum { PATH_MOST = 2048 };

static void path_of(const swg_search *s, int64_t index, const char *file, char *out) {
    snprintf(out, PATH_MOST, "%.1500s/runs/%.128s%s%s", s->folder, s->runs[index].view.name, *file ? "/" : "", file);
}

/* Of the part that is measured: another part is measured again, but not trained again. */
static void result_path(const swg_search *s, int64_t index, char *out) {
    char name[32];
    snprintf(name, sizeof name, "result-%.10s.json", s->part);
    path_of(s, index, name, out);
}

/* ---- measuring ---- */

/* Mean of the variables that have the figure. */
static double mean_of(const swg_evaluation *e, swg_metric metric) {
    double sum = 0;
    int64_t used = 0;
    for (int64_t i = 0; i + 1 < e->count; i++)
        if (e->rows[i].original.has[metric] && isfinite(e->rows[i].original.value[metric])) {
            sum += e->rows[i].original.value[metric];
            used++;
        }
    return used ? sum / (double)used : NAN;
}

static double value_of(const swg_metrics *m, swg_metric metric) { return m->has[metric] ? m->value[metric] : NAN; }

/* Element sizes may differ between files: values are counted, not bytes. */
static double bits_of(const swg_evaluation_row *row, int64_t volume) {
    double values = (double)row->blocks * (double)volume, bytes = (double)(row->latent_bytes + row->side_bytes + row->raw_bytes);
    return values > 0 ? 8 * bytes / values : NAN;
}

static swg_status measure(swg_search *s, const swg_train_result *trained, swg_search_run *out) {
    swg_model *model;
    swg_evaluation e;
    swg_speed speed;
    swg_train_plan plan;
    SWG__TRY(swg_model_open_as(s->ctx, trained->run_dir, "swae", &model));
    swg_status status = swg_evaluate(s->ctx, model, NULL, &(swg_evaluate_opts){.part = s->part}, &e);
    if (status == SWG_OK) {
        const swg_evaluation_row *all = &e.rows[e.count - 1];
        out->bits_per_value = bits_of(all, swg_model_network(model)->input);
        out->psnr_db = mean_of(&e, SWG_METRIC_PSNR_DB);
        out->psnr_norm_db = value_of(&all->normalised, SWG_METRIC_PSNR_DB);
        out->mse = value_of(&all->original, SWG_METRIC_MSE);
        swg_evaluation_free(s->ctx, &e);
        status = swg_model_speed(s->ctx, model, SWG_SEARCH_BATCH, &speed);
    }
    if (status == SWG_OK) {
        out->encode_blocks_s = SWG_SEARCH_BATCH / speed.encode_s;
        out->decode_blocks_s = SWG_SEARCH_BATCH / speed.decode_s;
        out->threads = speed.threads;
        status = swg_train_plan_of(s->ctx, swg_model_config(model), 16, &plan);
    }
    if (status == SWG_OK) {
        out->parameters = plan.parameters;
        out->macs = plan.macs_per_block;
        out->epochs = trained->epochs;
        out->val_loss = trained->best_loss;
        out->train_s = trained->seconds;
    }
    swg_model_close(model);
    return status;
}

/* ---- the result ---- */

/* One table for writing and reading. */
#define FIGURES(X)                                                                                                                     \
    X(parameters) X(macs) X(epochs) X(bits_per_value) X(psnr_db) X(psnr_norm_db) X(mse) X(val_loss) X(encode_blocks_s) X(decode_blocks_s) \
    X(train_s) X(threads)

static swg_status write_result(swg_search *s, int64_t index, const swg_search_run *run) {
    char path[PATH_MOST];
    cJSON *root = cJSON_CreateObject();
    bool good = root && cJSON_AddStringToObject(root, "recipe", s->recipe) && cJSON_AddStringToObject(root, "settings", run->settings) &&
                cJSON_AddStringToObject(root, "part", s->part);
#define X(field) good = good && (isfinite((double)run->field) ? cJSON_AddNumberToObject(root, #field, (double)run->field) : cJSON_AddNullToObject(root, #field));
    FIGURES(X)
#undef X
    char *text = good ? cJSON_Print(root) : NULL;
    cJSON_Delete(root);
    if (!text)
        return swg__fail_memory(s->ctx, 0, "the result of a run");
    result_path(s, index, path);
    swg_status status = swg__file_write(s->ctx, path, text, strlen(text));
    cJSON_free(text);
    return status;
}

/* Not there, or cut off: not done. */
static swg_status read_result(swg_search *s, int64_t index) {
    char path[PATH_MOST];
    uint8_t *data;
    size_t bytes;
    swg_search_run *run = &s->runs[index].view;
    *run = (swg_search_run){.name = run->name, .settings = run->settings};
    result_path(s, index, path);
    if (!swg__exists(path))
        return SWG_OK;
    SWG__TRY(swg__file_read(s->ctx, path, &data, &bytes));
    cJSON *root = cJSON_Parse((const char *)data), *item;
    swg__free(s->ctx, data);
    run->done = root != NULL;
#define X(field)                                                                           \
    item = cJSON_GetObjectItemCaseSensitive(root, #field);                                 \
    run->done = run->done && (cJSON_IsNumber(item) || cJSON_IsNull(item));                 \
    run->field = cJSON_IsNumber(item) ? (__typeof__(run->field))item->valuedouble : (__typeof__(run->field))NAN_OR_0(run->field);
#define NAN_OR_0(field) _Generic((field), double: NAN, default: 0)
    FIGURES(X)
#undef X
    cJSON_Delete(root);
    return SWG_OK;
}

/* ---- public ---- */

swg_status swg_search_execute(swg_search *s, int64_t index, const swg_train_hooks *hooks) {
    if (index < 0 || index >= s->count)
        return swg__fail(s->ctx, SWG_EINVAL, "run %lld: the search has %lld", (long long)index, (long long)s->count);
    swg__search_run *run = &s->runs[index];
    SWG__TRY(read_result(s, index));
    if (run->view.done)
        return SWG_OK;
    char folder[PATH_MOST], place[3][PATH_MOST + 16];
    const char **overrides = swg__calloc(s->ctx, (size_t)run->count + 3, sizeof *overrides);
    if (!overrides)
        return swg__fail_memory(s->ctx, (size_t)(run->count + 3) * sizeof *overrides, "the settings of a run");
    snprintf(folder, sizeof folder, "%.1500s/runs", s->folder);
    snprintf(place[0], sizeof place[0], "run.dir=%s", folder);
    snprintf(place[1], sizeof place[1], "run.name=%s", run->view.name);
    snprintf(place[2], sizeof place[2], "resume=auto");
    for (int64_t i = 0; i < run->count; i++)
        overrides[i] = run->overrides[i];
    for (int i = 0; i < 3; i++)
        overrides[run->count + i] = place[i];
    swg_config *config = NULL;
    swg_train_result trained;
    swg_status status = swg_config_open(s->ctx, s->recipe, &(swg_config_opts){.recipes = s->recipes, .overrides = overrides,
                                                                              .override_count = run->count + 3}, &config);
    if (status == SWG_OK)
        status = swg_train(s->ctx, config, hooks, &trained);
    if (status == SWG_OK)
        status = measure(s, &trained, &run->view);
    if (status == SWG_OK)
        status = write_result(s, index, &run->view);
    run->view.done = status == SWG_OK;
    swg_config_close(config);
    swg__free(s->ctx, overrides);
    return status;
}

/* No worse in both and better in one. */
static bool beats(double a_cost, double a_gain, double b_cost, double b_gain) {
    return a_cost <= b_cost && a_gain >= b_gain && (a_cost < b_cost || a_gain > b_gain);
}

swg_status swg_search_collect(swg_search *s, int64_t *done) {
    int64_t finished = 0;
    for (int64_t i = 0; i < s->count; i++) {
        SWG__TRY(read_result(s, i));
        finished += s->runs[i].view.done;
    }
    for (int64_t i = 0; i < s->count; i++) {
        swg_search_run *a = &s->runs[i].view;
        a->front_ratio = a->front_speed = a->done && !isnan(a->psnr_db);
        for (int64_t k = 0; k < s->count; k++) {
            const swg_search_run *b = &s->runs[k].view;
            if (k == i || !b->done || isnan(b->psnr_db))
                continue;
            a->front_ratio = a->front_ratio && !beats(b->bits_per_value, b->psnr_db, a->bits_per_value, a->psnr_db);
            a->front_speed = a->front_speed && !beats(-b->encode_blocks_s, b->psnr_db, -a->encode_blocks_s, a->psnr_db);
        }
    }
    if (done)
        *done = finished;
    return SWG_OK;
}
