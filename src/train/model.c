/* model.c - a checkpoint as a network: configuration, weights, normaliser, and plans for a few batch sizes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "train/checkpoint.h"
#include "train/recipe.h"

/* Batches are cut into these sizes; what is left of the smallest is padded with zeros. */
static const int64_t sizes[] = {4096, 256, 16, 1};
enum { SIZES = sizeof sizes / sizeof sizes[0], HALVES = 2 };

typedef struct half {
    swg_plan *plan;
    swg_value in, out;
} half;

struct swg_model {
    swg_context *ctx;
    char *path, *data, *note;       /* note: what the family keeps about its data */
    swg_config *config;
    swg__recipe recipe;
    swg_weights *weights;
    swg_norm *norm;
    int64_t epoch;
    half plans[HALVES][SIZES];      /* made on first use */
    pthread_mutex_t lock;           /* plans have one arena each: one caller at a time */
};

static swg_status locate(swg_context *ctx, const char *path, char *out, size_t capacity) {
    static const char *const names[] = {"best", "last"};
    if (!swg__is_folder(path)) {
        snprintf(out, capacity, "%s", path);
        return SWG_OK;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(out, capacity, "%s/ckpt/%s.safetensors", path, names[i]);
        if (swg__exists(out))
            return SWG_OK;
    }
    return swg__fail(ctx, SWG_ENOTFOUND, "%s: has neither ckpt/best.safetensors nor ckpt/last.safetensors; is it a run folder?", path);
}

/* The graph of one half of the network for `batch` blocks. */
static swg_status build_half(swg_model *m, int which, int64_t batch, swg_graph **g, half *out) {
    const swg_swae *n = &m->recipe.swae.network;
    SWG__TRY(swg_graph_create(m->ctx, &(swg_graph_opts){.inference = true}, g));
    swg_value x = swg_input(*g, which ? "z" : "x", 2, (int64_t[]){batch, which ? n->latent : n->input});
    /* Both halves are built, so that every graph has all parameters in one order; only one is computed. */
    swg_value z = swg_swae_encode(*g, which ? swg_input(*g, "x", 2, (int64_t[]){batch, n->input}) : x, n);
    swg_value y = swg_swae_decode(*g, which ? x : z, n);
    out->in = x;
    out->out = which ? y : z;
    return swg_graph_status(*g);
}

static swg_status read_checkpoint(swg_model *m, const char *path, swg_safetensors *file) {
    swg_context *ctx = m->ctx;
    SWG__TRY(swg_safetensors_check(file));
    const char *config = swg_safetensors_note(file, "config"), *norm = swg_safetensors_note(file, "norm");
    if (!config || !norm)
        return swg__fail(ctx, SWG_EFORMAT, "%s: holds no configuration or normaliser: not a checkpoint of swage train", path);
    SWG__TRY(swg_config_open_text(ctx, config, path, NULL, &m->config));
    SWG__TRY(swg__recipe_read(ctx, m->config, &m->recipe));
    m->note = swg__strdup(ctx, norm);
    if (!m->note)
        return swg__fail_memory(ctx, strlen(norm), "a model");
    if (m->recipe.family == &swg__family_swae)
        SWG__TRY(swg_norm_from_json(ctx, norm, &m->norm));
    const char *data = swg_safetensors_note(file, "data");
    if (data && !(m->data = swg__strdup(ctx, data)))
        return swg__fail_memory(ctx, strlen(data), "a model");
    const char *epoch = swg_safetensors_note(file, "run.epoch");
    m->epoch = epoch ? strtoll(epoch, NULL, 10) : 0;
    swg_graph *g;
    SWG__TRY(swg_model_graph(m, &g));
    swg_status status = swg_weights_create(g, false, &m->weights);
    swg_graph_destroy(g);
    SWG__TRY(status);
    SWG__TRY(swg__checkpoint_weights(ctx, file, path, m->weights));
    /* The weights that validation judged. */
    return m->recipe.optimiser.average_validates ? swg__checkpoint_average(ctx, file, path, m->weights) : SWG_OK;
}

swg_status swg_model_open(swg_context *ctx, const char *path, swg_model **out) {
    char found[1200];
    *out = NULL;
    SWG__TRY(locate(ctx, path, found, sizeof found));
    swg_safetensors *file;
    SWG__TRY(swg_safetensors_open(ctx, found, &file));
    swg_model *m = swg__calloc(ctx, 1, sizeof *m);
    swg_status status = m ? SWG_OK : swg__fail_memory(ctx, sizeof *m, "a model");
    if (m) {
        m->ctx = ctx;
        pthread_mutex_init(&m->lock, NULL);
        m->path = swg__strdup(ctx, found);
        status = m->path ? read_checkpoint(m, found, file) : swg__fail_memory(ctx, strlen(found), "a model");
    }
    swg_safetensors_close(file);
    if (status != SWG_OK) {
        swg_model_close(m);
        return status;
    }
    *out = m;
    return SWG_OK;
}

static void drop_plans(swg_model *m) {
    for (int h = 0; h < HALVES; h++)
        for (int s = 0; s < SIZES; s++) {
            swg_plan_destroy(m->plans[h][s].plan);
            m->plans[h][s] = (half){0};
        }
}

void swg_model_close(swg_model *m) {
    if (!m)
        return;
    drop_plans(m);
    swg_weights_destroy(m->weights);
    swg_norm_close(m->norm);
    swg_config_close(m->config);
    pthread_mutex_destroy(&m->lock);
    swg__free(m->ctx, m->data);
    swg__free(m->ctx, m->note);
    swg__free(m->ctx, m->path);
    swg__free(m->ctx, m);
}

const char *swg_model_path(const swg_model *m) { return m->path; }
swg_config *swg_model_config(swg_model *m) { return m->config; }
const char *swg_model_family(const swg_model *m) { return m->recipe.family->name; }
const char *swg_model_sample(const swg_model *m) { return m->recipe.family->sample; }
swg_context *swg__model_context(const swg_model *m) { return m->ctx; }
const swg__recipe *swg__model_recipe(const swg_model *m) { return &m->recipe; }
const swg_swae *swg_model_network(const swg_model *m) { return &m->recipe.swae.network; }
const swg_norm *swg_model_norm(const swg_model *m) { return m->norm; }
swg_weights *swg_model_weights(swg_model *m) { return m->weights; }
const char *swg_model_data(const swg_model *m) { return m->data; }
const char *swg__model_note(const swg_model *m) { return m->note; }
int64_t swg_model_edge(const swg_model *m) { return m->recipe.swae.edge; }
int64_t swg_model_epoch(const swg_model *m) { return m->epoch; }

void swg_model_describe(const swg_model *m, char *out, size_t capacity) { m->recipe.family->describe(&m->recipe, out, capacity); }
swg_status swg_model_layers(swg_model *m, swg_layers *out) { return m->recipe.family->layers(m->ctx, &m->recipe, out); }

const char *swg_inference_name(swg_inference inference) {
    static const char *const names[] = {
#define X(id, name) name,
        SWG_INFERENCE_TABLE(X)
#undef X
    };
    return names[inference];
}

bool swg_inference_find(const char *name, swg_inference *out) {
    for (int i = 0; i < SWG_INFERENCES; i++)
        if (strcmp(name, swg_inference_name((swg_inference)i)) == 0) {
            *out = (swg_inference)i;
            return true;
        }
    return false;
}

swg_inference swg_model_inference(const swg_model *m) { return (swg_inference)m->recipe.inference; }

swg_status swg_model_set_inference(swg_model *m, swg_inference inference, const char *keep_f32) {
    if (keep_f32 && strlen(keep_f32) >= sizeof m->recipe.keep_f32)
        return swg__fail(m->ctx, SWG_EINVAL, "layers that stay f32: the list is too long");
    pthread_mutex_lock(&m->lock);
    m->recipe.inference = (int)inference;
    snprintf(m->recipe.keep_f32, sizeof m->recipe.keep_f32, "%s", keep_f32 ? keep_f32 : "");
    drop_plans(m);
    pthread_mutex_unlock(&m->lock);
    return SWG_OK;
}

swg_status swg_model_graph(swg_model *m, swg_graph **g) {
    SWG__TRY(swg_graph_create(m->ctx, &(swg_graph_opts){.inference = true}, g));
    m->recipe.family->network(&m->recipe, *g);
    swg_status status = swg_graph_status(*g);
    if (status != SWG_OK) {
        swg_graph_destroy(*g);
        *g = NULL;
    }
    return status;
}

static swg_status refuse_other(const swg_model *m, const char *family) {
    if (strcmp(m->recipe.family->name, family) == 0)
        return SWG_OK;
    return swg__fail(m->ctx, SWG_EUNSUPPORTED, "%s: a network of family %s; one of family %s is needed here", m->path, m->recipe.family->name, family);
}

swg_status swg_model_open_as(swg_context *ctx, const char *path, const char *family, swg_model **out) {
    SWG__TRY(swg_model_open(ctx, path, out));
    swg_status status = refuse_other(*out, family);
    if (status != SWG_OK) {
        swg_model_close(*out);
        *out = NULL;
    }
    return status;
}

static swg_status plan_of(swg_model *m, int which, int size, half **out) {
    *out = &m->plans[which][size];
    if ((*out)->plan)
        return SWG_OK;
    swg_graph *g = NULL;
    half made = {0};
    swg_status status = build_half(m, which, sizes[size], &g, &made);
    const swg_plan_opts opts = swg__recipe_plan_opts(&m->recipe, &made.out, 1, true);
    if (status == SWG_OK)
        status = swg_plan_make(g, &opts, &made.plan);
    swg_graph_destroy(g);
    if (status == SWG_OK)
        status = swg_plan_open(made.plan, m->weights, NULL);
    if (status != SWG_OK) {
        swg_plan_destroy(made.plan);
        return status;
    }
    **out = made;
    return SWG_OK;
}

static swg_status run_half(swg_model *m, int which, int64_t count, const float *in, float *out) {
    int64_t in_row = which ? m->recipe.swae.network.latent : m->recipe.swae.network.input;
    int64_t out_row = which ? m->recipe.swae.network.input : m->recipe.swae.network.latent;
    swg_status status = refuse_other(m, swg__family_swae.name);
    if (status != SWG_OK)
        return status;
    pthread_mutex_lock(&m->lock);
    for (int64_t done = 0; done < count && status == SWG_OK;) {
        int size = 0;
        while (size < SIZES - 1 && count - done < sizes[size])
            size++;
        size -= size == SIZES - 1 && count - done > 1; /* a few go together */
        int64_t rows = count - done < sizes[size] ? count - done : sizes[size];
        half *h;
        status = plan_of(m, which, size, &h);
        if (status != SWG_OK)
            break;
        float *x = swg_plan_data(h->plan, h->in);
        memcpy(x, in + done * in_row, (size_t)(rows * in_row) * sizeof *x);
        memset(x + rows * in_row, 0, (size_t)((sizes[size] - rows) * in_row) * sizeof *x);
        status = swg_plan_run(h->plan, 0, 0);
        if (status == SWG_OK)
            memcpy(out + done * out_row, swg_plan_data(h->plan, h->out), (size_t)(rows * out_row) * sizeof *out);
        done += rows;
    }
    pthread_mutex_unlock(&m->lock);
    return status;
}

swg_status swg_model_encode(swg_model *m, int64_t count, const float *blocks, float *latents) { return run_half(m, 0, count, blocks, latents); }
swg_status swg_model_decode(swg_model *m, int64_t count, const float *latents, float *blocks) { return run_half(m, 1, count, latents, blocks); }
