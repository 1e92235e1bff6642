/* cmd_diagram.c - `swage diagram`: draws the network of a recipe or of a trained model.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "base.h"
#include "cli/cli.h"
#include "swage/diagram.h"
#include "swage/train.h"

static const cli_option options[] = {
    {"output", 'o', "FILE", "drawing to write: .svg, or .mmd for a Mermaid flow chart"},
    CLI_RECIPES,
    {NULL, 0, NULL, NULL},
};

static bool ends_in(const char *path, const char *ending) {
    size_t length = strlen(path), n = strlen(ending);
    return length > n && strcmp(path + length - n, ending) == 0;
}

static swg_status layers_of_model(cli *c, const char *path, swg_layers *out) {
    swg_model *model;
    if (c->override_count)
        return cli_fail(c, SWG_EUSAGE, "%s is a trained model; settings (%s) are for recipes", path, c->overrides[0]);
    SWG__TRY(swg_model_open(c->ctx, path, &model));
    swg_status status = swg_model_layers(model, out);
    swg_model_close(model);
    return status;
}

static swg_status layers_of_recipe(cli *c, swg_layers *out) {
    swg_config *config;
    SWG__TRY(cli_open_config(c, 0, &config));
    swg_status status = swg_train_layers(c->ctx, config, out);
    swg_config_close(config);
    return status;
}

static swg_status diagram(cli *c) {
    const char *source = c->positional[0], *path = cli_value(c, "output");
    char title[256];
    swg_layers layers;
    bool svg = path && ends_in(path, ".svg");
    if (!path)
        return cli_fail(c, SWG_EUSAGE, "say where to: -o FILE.svg or -o FILE.mmd");
    if (!svg && !ends_in(path, ".mmd"))
        return cli_fail(c, SWG_EUSAGE, "%s: the name must end in .svg or .mmd", path);
    SWG__TRY(cli_names_model(source) ? layers_of_model(c, source, &layers) : layers_of_recipe(c, &layers));
    cli_clean(source, title, sizeof title);
    swg_status status = svg ? swg_diagram_svg(c->ctx, &layers, title, path) : swg_diagram_mermaid(c->ctx, &layers, title, path);
    swg_layers_free(c->ctx, &layers);
    return status;
}

const cli_command cli_cmd_diagram = {
    .name = "diagram",
    .usage = "RECIPE [key=value ...] | RUN | CHECKPOINT",
    .help = "draw a network: layers, shapes, parameters",
    .details = "Drawn from the graph that runs: a box per layer, a column per half.\n"
               "  swage diagram swae/conv -o conv.svg",
    .options = options,
    .least = 1,
    .most = 1,
    .overrides = true,
    .keys = "model.*",
    .run = diagram,
};
