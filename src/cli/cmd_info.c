/* cmd_info.c - `swage info`: what a .swz, a checkpoint or a stack of images holds.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>
#include "base.h"
#include "cli/cli.h"
#include "cli/layers_out.h"
#include "cli/stack_out.h"
#include "swage/archive.h"
#include "swage/model.h"

static const cli_option options[] = {
    CLI_JSON,
    {"layout", 0, "AXES", "a stack of images: its axes, slowest first, as TC3ZYX (default: what the file says)"},
    {NULL, 0, NULL, NULL},
};

static const char *const bounds[] = {"lossless", "abs", "rel", "pw", "psnr"};

/* null where it does not apply; JSON has no infinity. */
static void add_number(cJSON *object, const char *key, bool applies, double value) {
    if (!applies)
        cJSON_AddNullToObject(object, key);
    else if (isfinite(value))
        cJSON_AddNumberToObject(object, key, value);
    else
        cJSON_AddStringToObject(object, key, isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
}

static void print_json(cJSON *root) {
    char *text = cJSON_Print(root);
    puts(text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

static swg_status show_swz(cli *c, const char *path) {
    swg_swz *swz;
    SWG__TRY(swg_swz_open(c->ctx, path, &swz));
    bool json = cli_flag(c, "json");
    cJSON *root = json ? cJSON_CreateObject() : NULL, *members = json ? cJSON_AddArrayToObject(root, "members") : NULL;
    if (json)
        cJSON_AddNumberToObject(root, "model_bytes", (double)swg_swz_model_bytes(swz));
    else
        printf("%-28s %-10s %-5s %-18s %-14s %10s %10s %7s\n", "file", "variable", "type", "shape", "bound", "raw", "stored", "ratio");
    for (int64_t i = 0; i < swg_swz_count(swz); i++) {
        const swg_swz_info *m = swg_swz_member(swz, i);
        char shape[96] = "", bound[48], source[4096], name[4096];
        cli_clean(m->source, source, sizeof source);
        cli_clean(m->name, name, sizeof name);
        for (int d = 0; d < m->ndim; d++)
            snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "%s%lld", d ? "x" : "", (long long)m->dims[d]);
        snprintf(bound, sizeof bound, m->bound == SWG_BOUND_LOSSLESS ? "%s" : "%s:%g", bounds[m->bound], m->value);
        if (!json) {
            printf("%-28s %-10s %-5s %-18s %-14s %10lld %10lld %7.2f\n", *source ? source : "-", *name ? name : "-",
                   swg_element_name(m->type), shape, bound, (long long)m->bytes_raw, (long long)m->bytes_stored,
                   (double)m->bytes_raw / (double)m->bytes_stored);
            continue;
        }
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "source", source);
        cJSON_AddStringToObject(o, "variable", name);
        cJSON_AddStringToObject(o, "type", swg_element_name(m->type));
        cJSON_AddStringToObject(o, "shape", shape);
        cJSON_AddStringToObject(o, "bound_as_given", bound);
        cJSON_AddNumberToObject(o, "bound", m->eb_abs);
        cJSON_AddNumberToObject(o, "bytes_in", (double)m->bytes_raw);
        cJSON_AddNumberToObject(o, "bytes_out", (double)m->bytes_stored);
        cJSON_AddNumberToObject(o, "max_error_over_bound", m->max_ratio);
        add_number(o, "psnr_db", m->bound == SWG_BOUND_PSNR, m->psnr_db);
        add_number(o, "fill_value", m->fill == SWG_FILL_VALUE, swg_fill_number(m->type, m->fill_bits));
        add_number(o, "fill_above", m->fill == SWG_FILL_ABOVE, m->fill_threshold);
        cJSON *modes = cJSON_AddObjectToObject(o, "chunks");
        for (int k = 0; k < SWG_MODE_COUNT; k++)
            cJSON_AddNumberToObject(modes, swg_codec_mode_name((swg_codec_mode)k), (double)m->mode_chunks[k]);
        cJSON_AddItemToArray(members, o);
    }
    if (json)
        print_json(root);
    else
        printf("models in the file: %lld bytes\n", (long long)swg_swz_model_bytes(swz));
    swg_swz_close(swz);
    return SWG_OK;
}

static void print_model(swg_model *model, const swg_layers *layers) {
    char title[128];
    swg_model_describe(model, title, sizeof title);
    printf("checkpoint  %s\nnetwork     %s\n", swg_model_path(model), title);
    if (swg_model_norm(model))
        printf("normalised  %s\n", swg_norm_name(swg_model_norm(model)));
    printf("trained     %lld epochs\n", (long long)swg_model_epoch(model));
    printf("computes    %s\n", swg_inference_name(swg_model_inference(model)));
    cli_print_work(layers, swg_model_sample(model));
    printf("\n");
    cli_print_layers(layers);
}

static void print_model_json(swg_model *model, const swg_layers *layers) {
    const swg_swae *n = swg_model_network(model);
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "checkpoint", swg_model_path(model));
    cJSON_AddStringToObject(root, "precision", swg_inference_name(swg_model_inference(model)));
    cJSON_AddStringToObject(root, "family", swg_model_family(model));
    cJSON_AddStringToObject(root, "network", swg_config_string(swg_model_config(model), "model.name"));
    if (swg_model_norm(model)) {
        cJSON_AddNumberToObject(root, "input", (double)n->input);
        cJSON_AddNumberToObject(root, "latent", (double)n->latent);
        cJSON_AddStringToObject(root, "norm", swg_norm_name(swg_model_norm(model)));
    }
    cJSON_AddNumberToObject(root, "epochs", (double)swg_model_epoch(model));
    cli_json_layers(root, layers);
    print_json(root);
}

/* A set of models of the codec. */
static void show_models(cli *c, const swg_codec_model *models) {
    cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "models");
    const bool json = cli_flag(c, "json");
    if (!json)
        printf("%-28s %-20s %12s %10s\n", "kind", "variable", "rel. bound", "bytes");
    for (int i = 0; i < swg_codec_model_count(models); i++) {
        swg_codec_model_info info;
        char name[256];
        swg_codec_model_describe(models, i, &info);
        cli_clean(info.name, name, sizeof name);
        if (!json) {
            printf("%-28s %-20s %12.3g %10zu\n", info.kind, *name ? name : "any", info.bound, info.bytes);
            continue;
        }
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "kind", info.kind);
        cJSON_AddStringToObject(o, "variable", name);
        cJSON_AddNumberToObject(o, "relative_bound", info.bound);
        cJSON_AddNumberToObject(o, "bytes", (double)info.bytes);
        cJSON_AddItemToArray(list, o);
    }
    if (json)
        print_json(root);
    else
        cJSON_Delete(root);
}

static swg_status show_model(cli *c, const char *path) {
    swg_model *model;
    swg_codec_model *models;
    swg_layers layers;
    SWG__TRY(swg_archive_open_models(c->ctx, path, &models, &model));
    if (models) {
        show_models(c, models);
        swg_codec_model_free(c->ctx, models);
        return SWG_OK;
    }
    swg_status status = swg_model_layers(model, &layers);
    if (status == SWG_OK && cli_flag(c, "json"))
        print_model_json(model, &layers);
    else if (status == SWG_OK)
        print_model(model, &layers);
    swg_layers_free(c->ctx, &layers);
    swg_model_close(model);
    return status;
}

static swg_status run(cli *c) {
    const char *path = c->positional[0];
    const size_t length = strlen(path);
    if (cli_names_stack(path))
        return cli_show_stack(c, path);
    if (cli_value(c, "layout"))
        return cli_fail(c, SWG_EUSAGE, "--layout is for a stack of images: .tif, .png, .npy or file.h5:/name");
    return cli_names_model(path) || (length > 4 && strcmp(path + length - 4, ".swm") == 0) ? show_model(c, path) : show_swz(c, path);
}

const cli_command cli_cmd_info = {
    .name = "info",
    .usage = "FILE.swz | RUN | CHECKPOINT | MODELS.swm | STACK.tif",
    .help = "show what a compressed file, a checkpoint or a stack of images holds",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run,
};
