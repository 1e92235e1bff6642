/* predictor.c - a trained autoencoder as the codec's predictor: decoder layers, and blocks to calibrate the integers on.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "archive/archive.h"

enum { CALIBRATION = 4096, ARRAYS = 64 }; /* blocks, and arrays they are taken from */

static swg_status encode(void *user, int64_t count, const float *blocks, float *latents) {
    return swg_model_encode(user, count, blocks, latents);
}

static swg_status check_model(swg_context *ctx, swg_model *model) {
    const swg_swae *network = swg_model_network(model);
    if (strcmp(swg_model_family(model), "swae") != 0)
        return swg__fail(ctx, SWG_EUNSUPPORTED, "%s: a network of family %s; the codec takes networks of family swae, whose integer decoder is exact. "
                         "Compress without -m, or train codec/swae-mlp", swg_model_path(model), swg_model_family(model));
    if (network->kind != SWG_SWAE_MLP || network->gdn || network->latent_int8)
        return swg__fail(ctx, SWG_EUNSUPPORTED,
                         "%s: a network of model.name=%s%s; the codec's integer decoder is made of linear layers (model.name=mlp, model.act=relu or "
                         "gelu, model.latent_quant=none). Compress without -m, or train codec/swae-mlp", swg_model_path(model),
                         swg_swae_kind_name(network->kind), network->gdn ? ", model.act=gdn" : network->latent_int8 ? ", model.latent_quant=int8" : "");
    const char *norm = swg_norm_name(swg_model_norm(model));
    if (strcmp(norm, "block_scale") != 0)
        return swg__fail(ctx, SWG_EINVAL,
                         "%s was trained with data.norm=%s, which has no exact integer inverse; a network for the bounded codec is trained "
                         "with data.norm=block_scale (for example `swage train codec/swae-mlp data.path=...`)", swg_model_path(model), norm);
    return SWG_OK;
}

static swg_status activation_of(swg_context *ctx, swg_model *model, swg_codec_activation *out) {
    switch (swg_model_network(model)->activation) {
    case SWG_ACT_RELU: *out = SWG_CODEC_RELU; return SWG_OK;
    case SWG_ACT_GELU: *out = SWG_CODEC_GELU; return SWG_OK;
    default: break;
    }
    return swg__fail(ctx, SWG_EUNSUPPORTED, "%s: the integer decoder has model.act=relu and gelu only", swg_model_path(model));
}

/* Decoder layers in the order fc1, fc2, ...: weight and bias follow each other in the span's order of creation. */
static swg_status fill_layers(swg_context *ctx, swg_model *model, swg_codec_network *network) {
    swg_codec_activation activation = SWG_CODEC_NONE;
    SWG__TRY(activation_of(ctx, model, &activation));
    swg_weights *w = swg_model_weights(model);
    for (int i = 0; i + 1 < swg_weights_count(w); i++) {
        if (strncmp(swg_weights_name(w, i), "decoder.", 8) != 0 || swg_weights_ndim(w, i) != 2)
            continue;
        if (network->layer_count == (int)(sizeof network->layers / sizeof network->layers[0]))
            return swg__fail(ctx, SWG_EUNSUPPORTED, "%s: more decoder layers than a .swz can hold", swg_model_path(model));
        const int64_t *shape = swg_weights_shape(w, i);
        network->layers[network->layer_count++] = (swg_codec_layer){.in = (int)shape[1], .out = (int)shape[0], .activation = activation,
                                                                    .weight = swg_weights_value(w, i), .bias = swg_weights_value(w, i + 1)};
    }
    if (!network->layer_count)
        return swg__fail(ctx, SWG_EUNSUPPORTED, "%s: has no decoder of linear layers", swg_model_path(model));
    network->layers[network->layer_count - 1].activation = SWG_CODEC_NONE;
    return SWG_OK;
}

/* Adds at most `most` blocks of one array, evenly spaced and normalised; constant and non-finite ones are left out. */
static swg_status sample_array(swg_context *ctx, swg_model *model, swg_source *source, int64_t index, int64_t most, float *out, int64_t *count) {
    int64_t edge = swg_model_edge(model), values = edge * edge * edge;
    const swg_array *array = swg_source_array(source, index);
    bool blocks_of = array->layout != SWG_LAYOUT_GRID || array->ndim == 3;
    if (!blocks_of || (array->element != SWG_ELEMENT_F32 && array->element != SWG_ELEMENT_F64))
        return SWG_OK;
    size_t size = (size_t)swg_element_bytes(array->element);
    swg_blocks blocks;
    SWG__TRY(swg_blocks_plan(ctx, array->ndim, array->dims, SWG_CUT_TILE, edge, &blocks));
    char *data = swg__alloc(ctx, (size_t)array->count * size), *block = swg__alloc(ctx, (size_t)values * size);
    swg_status status = data && block ? swg_source_read(source, index, data) : swg__fail_memory(ctx, (size_t)array->count * size, array->variable);
    int64_t taken = blocks.count < most ? blocks.count : most;
    for (int64_t k = 0; k < taken && status == SWG_OK; k++) {
        double low = INFINITY, high = -INFINITY;
        bool finite = true;
        swg_blocks_cut(&blocks, array->element, data, k * (blocks.count / taken), 1, block);
        for (int64_t i = 0; i < values; i++) {
            double x = array->element == SWG_ELEMENT_F64 ? ((const double *)block)[i] : (double)((const float *)block)[i];
            low = x < low ? x : low;
            high = x > high ? x : high;
            finite = finite && isfinite(x);
        }
        swg_side side = {0};
        if (finite && low < high)
            swg_norm_forward(swg_model_norm(model), 0, array->element, block, values, &side, out + *count * values);
        *count += finite && low < high && side.flag == SWG_BLOCK_NORMAL;
    }
    swg__free(ctx, block);
    swg__free(ctx, data);
    return status;
}

/* Blocks of up to ARRAYS arrays, evenly chosen: a series of thousands of files is not read twice. */
static swg_status sample_blocks(swg_context *ctx, swg_model *model, swg_source *source, float *out, int64_t *count) {
    int64_t arrays = swg_source_count(source), taken = arrays < ARRAYS ? arrays : ARRAYS;
    *count = 0;
    for (int64_t k = 0; k < taken; k++)
        SWG__TRY(sample_array(ctx, model, source, k * arrays / taken, CALIBRATION / taken, out, count));
    return SWG_OK;
}

swg_status swg__archive_predictor(swg_context *ctx, swg_model *model, swg_source *source, swg_codec_model **out) {
    *out = NULL;
    SWG__TRY(check_model(ctx, model));
    int64_t edge = swg_model_edge(model), values = edge * edge * edge, count = 0;
    swg_codec_network network = {.edge = (int)edge, .latents = (int)swg_model_network(model)->latent, .encode = encode, .user = model};
    SWG__TRY(fill_layers(ctx, model, &network));
    float *sample = swg__alloc(ctx, (size_t)(CALIBRATION * values) * sizeof *sample);
    if (!sample)
        return swg__fail_memory(ctx, (size_t)(CALIBRATION * values) * sizeof *sample, "calibration blocks");
    swg_status status = sample_blocks(ctx, model, source, sample, &count);
    if (status == SWG_OK && count) /* nothing but constants or NaN: no network is needed */
        status = swg_codec_model_make(ctx, &network, sample, count, out, NULL);
    swg__free(ctx, sample);
    return status;
}

swg_status swg__archive_models(swg_context *ctx, swg_source *source, const swg_archive_opts *opts, const swg_archive_hooks *hooks,
                               swg_codec_model **own, const swg_codec_model **model) {
    swg_status status = SWG_OK;
    *own = NULL;
    *model = opts->models;
    if (opts->models)
        return SWG_OK;
    if (opts->train) {
        const swg_archive_train_opts how = {.kinds = opts->train};
        status = swg_codec_model_new(ctx, own);
        if (status == SWG_OK)
            status = swg__archive_learn(ctx, source, opts, &how, hooks, *own, NULL);
    } else if (opts->model) {
        status = swg__archive_predictor(ctx, opts->model, source, own);
    }
    *model = *own;
    return status;
}
