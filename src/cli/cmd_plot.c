/* cmd_plot.c - `swage plot`: pictures of a training run and a page that shows them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <string.h>
#include "base.h"
#include "cli/cli.h"
#include "swage/plot.h"

static const cli_option options[] = {
    {"output", 'o', "FOLDER", "where the pictures go (default: RUN/plots)"},
    {"edges", 0, "N", "learned functions drawn of each KAN layer (default: 12)"},
    {"tiles", 0, "N", "validation tiles drawn (default: 8)"},
    CLI_THREADS, CLI_ISA, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

/* Where the data are, not what the network is. */
#define CHANGEABLE "data.path data.column data.cache data.unreadable"

enum { EDGES_MOST = 256, TILES_MOST = 256 };

static void on_note(void *user, const char *text) {
    (void)user;
    cli_say("%s", text);
}

/* Takes what= out of the changes, which is no setting. */
static swg_status take_what(cli *c, unsigned *what) {
    int kept = 0;
    *what = 0;
    for (int i = 0; i < c->override_count; i++) {
        if (strncmp(c->overrides[i], "what=", 5) != 0) {
            c->overrides[kept++] = c->overrides[i];
            continue;
        }
        *what = swg_plot_find(c->overrides[i] + 5);
        if (!*what)
            return cli_fail(c, SWG_EUSAGE, "%s: expected curves, splines, samples or z, a list of them with commas, or all", c->overrides[i]);
    }
    c->override_count = kept;
    return cli_only_keys(c, CHANGEABLE);
}

static swg_status give_json(cli *c, const swg_plot_files *files) {
    cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "files");
    bool good = list != NULL;
    for (int64_t i = 0; i < files->count && good; i++)
        good = cJSON_AddItemToArray(list, cJSON_CreateString(files->path[i]));
    char *text = good ? cJSON_Print(root) : NULL;
    if (text)
        puts(text);
    cJSON_free(text);
    cJSON_Delete(root);
    return text ? SWG_OK : cli_fail(c, SWG_ENOMEM, "out of memory");
}

static swg_status run(cli *c) {
    swg_plot_opts opts = {.folder = cli_value(c, "output"), .note = on_note};
    swg_plot_files files = {0};
    swg_model *model = NULL;
    swg_config *config = NULL;
    SWG__TRY(take_what(c, &opts.what));
    SWG__TRY(cli_integer(c, "edges", 1, EDGES_MOST, &opts.edges));
    SWG__TRY(cli_integer(c, "tiles", 1, TILES_MOST, &opts.tiles));
    swg_status status = SWG_OK;
    if (c->override_count) { /* else the run's own configuration serves */
        status = swg_model_open(c->ctx, c->positional[0], &model);
        if (status == SWG_OK)
            status = cli_open_model_config(c, model, &config);
        opts.config = config;
    }
    if (status == SWG_OK)
        status = swg_plot_run(c->ctx, c->positional[0], &opts, &files);
    if (status == SWG_OK && cli_flag(c, "json"))
        status = give_json(c, &files);
    else
        for (int64_t i = 0; i < files.count; i++)
            printf("%s\n", files.path[i]);
    swg_plot_files_free(c->ctx, &files);
    swg_config_close(config);
    swg_model_close(model);
    return status;
}

const cli_command cli_cmd_plot = {
    .name = "plot",
    .usage = "RUN [what=curves|splines|samples|z|all] [-o FOLDER]",
    .help = "draw a training run: curves, learned splines, reconstructions, latents",
    .details = "RUN is a run folder (its best checkpoint) or a checkpoint. report.html shows all that is drawn; every picture is a file, too. Curves are\n"
               "drawn of every run; splines, samples and z of family kan.\n"
               "  swage plot runs/dae\n"
               "  swage plot runs/dae what=splines --edges 24 -o pictures",
    .options = options,
    .least = 1,
    .most = 1,
    .overrides = true,
    .keys = CHANGEABLE,
    .run = run,
};
