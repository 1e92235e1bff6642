/* model.c - a trained network as codes: which weights, how much is lost, and the file.
 * In: a model. Out: rows of a report, and a checkpoint that swg_model_open reads.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include "base.h"
#include "pass/pass.h"
#include "quant/stored.h"
#include "swage/quantise_model.h"

typedef struct work {
    swg_context *ctx;
    swg_model *model;
    const swg_quantise_opts *opts;
    swg_stored type;
    swg_safetensors_writer *writer;
    swg_quantised *out;
    void **codes;               /* per parameter, with scales behind them; NULL: stays f32. Until the file is written */
} work;

/* ---- which weights ---- */

/* Of the product that multiplies parameter `p` of the graph: why it is not quantised, or NULL and the axis of its results. */
static const char *verdict(const swg_graph *g, const uint8_t *fixed, const char *name, int *axis) {
    const char *why = "no weight of a product";
    for (int64_t v = 1; v < g->count; v++) {
        const swg__node *n = &g->nodes[v];
        if (swg__ops[n->op].class != SWG__CONTRACTION || n->inputs < 2 || g->nodes[n->in[1]].op != SWG__PARAM ||
            !swg__same_name(g->nodes[n->in[1]].name, name))
            continue;
        why = swg__quantise_not(g, fixed, n);
        *axis = swg__quantise_axis(n);
    }
    return why;
}

/* ---- one tensor ---- */

static void range_of(const float *x, int64_t n, swg_quantised_row *row) {
    for (int64_t i = 0; i < n; i++) {
        row->low = i == 0 || (double)x[i] < row->low ? (double)x[i] : row->low;
        row->high = i == 0 || (double)x[i] > row->high ? (double)x[i] : row->high;
    }
}

static swg_status add_row(work *w, const char *name, int64_t elements, const float *values, swg_quantised_row **out) {
    swg_quantised_row *row = &w->out->rows[w->out->count];
    *row = (swg_quantised_row){.name = swg__strdup(w->ctx, name), .elements = elements, .original_bytes = elements * 4, .quantised_bytes = elements * 4};
    if (!row->name)
        return swg__fail_memory(w->ctx, strlen(name), "the rows of a quantisation");
    range_of(values, elements, row);
    w->out->count++;
    *out = row;
    return SWG_OK;
}

static swg_status put(work *w, const char *prefix, const char *name, swg_stored type, int ndim, const int64_t *shape, const void *data) {
    char full[600];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return w->writer ? swg_safetensors_writer_add(w->writer, full, type, ndim, shape, data) : SWG_OK;
}

static swg_status encode(work *w, int index, int axis, swg_quantised_row *row) {
    swg_weights *weights = swg_model_weights(w->model);
    const float *x = swg_weights_value(weights, index);
    const char *name = swg_weights_name(weights, index);
    int ndim = swg_weights_ndim(weights, index);
    const int64_t *shape = swg_weights_shape(weights, index), channels = shape[axis], size = swg_stored_bytes(w->type);
    bool scaled = w->type != SWG_STORED_BF16;
    size_t code_bytes = (size_t)(row->elements * size + 3) / 4 * 4;
    char *codes = w->codes[index] = swg__alloc(w->ctx, code_bytes + (size_t)channels * sizeof(float));
    if (!codes)
        return swg__fail_memory(w->ctx, code_bytes, "codes");
    float *scale = (float *)(codes + code_bytes);
    swg__stored_encode(w->type, ndim, shape, axis, x, codes, scaled ? scale : NULL);
    int64_t wide[SWG_MAX_DIMS], inner = 1;
    for (int i = 0; i < ndim; i++) {
        wide[i] = i == axis ? channels : 1;
        inner *= i > axis ? shape[i] : 1;
    }
    double error = 0, power = 0;
    for (int64_t i = 0; i < row->elements; i++) {
        double d = (double)swg__stored_value(w->type, codes, i, scaled ? scale[i / inner % channels] : 1) - (double)x[i];
        error += d * d;
        power += (double)x[i] * (double)x[i];
    }
    row->sqnr_db = power > 0 ? 10 * log10(power / error) : 0;
    row->quantised_bytes = row->elements * size + (scaled ? channels * 4 : 0);
    SWG__TRY(put(w, "param.", name, w->type, ndim, shape, codes));
    return scaled ? put(w, "scale.", name, SWG_STORED_F32, ndim, wide, scale) : SWG_OK;
}

static int64_t elements_of(int ndim, const int64_t *shape) { return swg__shape_elements(ndim, shape); }

static swg_status parameters(work *w, const swg_graph *g, const uint8_t *fixed) {
    swg_weights *weights = swg_model_weights(w->model);
    for (int i = 0; i < swg_weights_count(weights); i++) {
        const char *name = swg_weights_name(weights, i);
        int axis = 0, ndim = swg_weights_ndim(weights, i);
        const int64_t *shape = swg_weights_shape(weights, i);
        swg_quantised_row *row;
        SWG__TRY(add_row(w, name, elements_of(ndim, shape), swg_weights_value(weights, i), &row));
        row->stays_f32 = verdict(g, fixed, name, &axis);
        if (!row->stays_f32)
            SWG__TRY(encode(w, i, axis, row));
        else
            SWG__TRY(put(w, "param.", name, SWG_STORED_F32, ndim, shape, swg_weights_value(weights, i)));
    }
    for (int i = 0; i < swg_weights_states(weights); i++) {
        int ndim = swg_weights_state_ndim(weights, i);
        const int64_t *shape = swg_weights_state_shape(weights, i);
        swg_quantised_row *row;
        SWG__TRY(add_row(w, swg_weights_state_name(weights, i), elements_of(ndim, shape), swg_weights_state(weights, i), &row));
        row->stays_f32 = "running statistics";
        SWG__TRY(put(w, "state.", swg_weights_state_name(weights, i), SWG_STORED_F32, ndim, shape, swg_weights_state(weights, i)));
    }
    for (int64_t i = 0; i < w->out->count; i++) {
        w->out->elements += w->out->rows[i].elements;
        w->out->original_bytes += w->out->rows[i].original_bytes;
        w->out->quantised_bytes += w->out->rows[i].quantised_bytes;
    }
    return SWG_OK;
}

/* ---- the file ---- */

/* The configuration with the precision in it. */
static swg_status note_config(work *w) {
    char precision[64], keep[700];
    const char *yaml, *overrides[2] = {precision, keep};
    int count = 1;
    snprintf(precision, sizeof precision, "inference.precision=%s", swg_inference_name(w->opts->inference));
    if (w->opts->keep_f32 && *w->opts->keep_f32) {
        int n = snprintf(keep, sizeof keep, "inference.keep_f32=[%s]", w->opts->keep_f32);
        if (n < 0 || n >= (int)sizeof keep)
            return swg__fail(w->ctx, SWG_EINVAL, "layers that stay f32: the list is too long");
        count++;
    }
    SWG__TRY(swg_config_yaml(swg_model_config(w->model), &yaml));
    swg_config *config;
    SWG__TRY(swg_config_open_text(w->ctx, yaml, swg_model_path(w->model), &(swg_config_opts){.overrides = overrides, .override_count = count}, &config));
    swg_status status = swg_config_yaml(config, &yaml);
    if (status == SWG_OK)
        status = swg_safetensors_writer_note(w->writer, "config", yaml);
    swg_config_close(config);
    return status;
}

/* Notes as the model's own file has them. */
static swg_status notes(work *w) {
    static const char *const keys[] = {"norm", "data", "run.epoch"};
    swg_safetensors *file;
    SWG__TRY(note_config(w));
    SWG__TRY(swg_safetensors_writer_note(w->writer, "swage.version", swg_version()));
    SWG__TRY(swg_safetensors_open(w->ctx, swg_model_path(w->model), &file));
    swg_status status = SWG_OK;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && status == SWG_OK; i++) {
        const char *text = swg_safetensors_note(file, keys[i]);
        if (text)
            status = swg_safetensors_writer_note(w->writer, keys[i], text);
    }
    swg_safetensors_close(file);
    return status;
}

static swg_status write_file(work *w) {
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/ckpt", w->opts->folder);
    if (n < 0 || n > (int)sizeof path - 32)
        return swg__fail(w->ctx, SWG_EINVAL, "%s: the path is too long", w->opts->folder);
    SWG__TRY(swg__make_folders(w->ctx, path));
    snprintf(path + n, sizeof path - (size_t)n, "/last.safetensors");
    if (swg__exists(path)) /* its best checkpoint would be lost */
        return swg__fail(w->ctx, SWG_EINVAL, "%s is the folder of a training run; say another", w->opts->folder);
    snprintf(path + n, sizeof path - (size_t)n, "/best.safetensors");
    SWG__TRY(swg_safetensors_writer_write(w->writer, path));
    struct stat file;
    w->out->file_bytes = stat(path, &file) == 0 ? (int64_t)file.st_size : 0;
    w->out->path = swg__strdup(w->ctx, path);
    return w->out->path ? SWG_OK : swg__fail_memory(w->ctx, strlen(path), "a path");
}

static swg_status quantise(work *w) {
    swg_weights *weights = swg_model_weights(w->model);
    swg_graph *g = NULL;
    uint8_t *fixed = NULL;
    SWG__TRY(swg_model_graph(w->model, &g));
    swg__keep_precise(g, w->opts->keep_f32);
    w->codes = swg__calloc(w->ctx, (size_t)swg_weights_count(weights) + 1, sizeof *w->codes);
    w->out->rows = swg__calloc(w->ctx, (size_t)(swg_weights_count(weights) + swg_weights_states(weights)) + 1, sizeof *w->out->rows);
    fixed = swg__calloc(w->ctx, (size_t)g->count, 1);
    swg_status status = w->codes && w->out->rows && fixed ? SWG_OK : swg__fail_memory(w->ctx, (size_t)g->count, "a quantisation");
    if (status == SWG_OK && w->opts->folder)
        status = swg_safetensors_writer_open(w->ctx, &(swg_safetensors_opts){.crc = true}, &w->writer);
    if (status == SWG_OK) {
        swg__mark_fixed(g, fixed);
        status = parameters(w, g, fixed);
    }
    if (status == SWG_OK && w->writer)
        status = notes(w);
    if (status == SWG_OK && w->writer)
        status = write_file(w);
    swg__free(w->ctx, fixed);
    swg_graph_destroy(g);
    return status;
}

swg_status swg_model_quantise(swg_context *ctx, swg_model *model, const swg_quantise_opts *opts, swg_quantised *out) {
    *out = (swg_quantised){0};
    work w = {.ctx = ctx, .model = model, .opts = opts, .type = swg__stored_type(opts->inference), .out = out};
    if (opts->inference == SWG_INFERENCE_F32)
        return swg__fail(ctx, SWG_EINVAL, "f32 is what the model has");
    if (!swg_config_is(swg_model_config(model), "inference.precision", "f32"))
        return swg__fail(ctx, SWG_EINVAL, "%s is of %s already: quantise the run it was made from", swg_model_path(model),
                         swg_config_string(swg_model_config(model), "inference.precision"));
    swg_status status = quantise(&w);
    swg_safetensors_writer_close(w.writer);
    for (int i = 0; w.codes && i < swg_weights_count(swg_model_weights(model)); i++)
        swg__free(ctx, w.codes[i]);
    swg__free(ctx, w.codes);
    if (status != SWG_OK)
        swg_quantised_free(ctx, out);
    return status;
}

void swg_quantised_free(swg_context *ctx, swg_quantised *quantised) {
    for (int64_t i = 0; i < quantised->count; i++)
        swg__free(ctx, quantised->rows[i].name);
    swg__free(ctx, quantised->rows);
    swg__free(ctx, quantised->path);
    *quantised = (swg_quantised){0};
}
