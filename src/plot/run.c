/* run.c - what there is of a run folder, drawn into files and one page.
 * In: a run folder. Out: SVG, PNG, CSV and report.html.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "plot/plot.h"
#include "train/recipe.h"

static const struct {
    const char *name;
    bool kan;                               /* of family kan alone */
    swg_status (*draw)(swg__plot *p);
} plots[SWG_PLOTS] = {
    [SWG_PLOT_CURVES] = {"curves", false, swg__plot_curves},
    [SWG_PLOT_SAMPLES] = {"samples", true, swg__plot_samples},
    [SWG_PLOT_SPLINES] = {"splines", true, swg__plot_splines},
    [SWG_PLOT_Z] = {"z", true, swg__plot_latents},
};
enum { ALL = (1 << SWG_PLOTS) - 1, TILES = 1 << SWG_PLOT_SAMPLES | 1 << SWG_PLOT_Z };

const char *swg_plot_name(swg_plot plot) { return plot < SWG_PLOTS ? plots[plot].name : NULL; }

unsigned swg_plot_find(const char *names) {
    unsigned bits = 0;
    for (const char *at = names; ; at++) {
        size_t length = strcspn(at, ",");
        unsigned bit = length == 3 && strncmp(at, "all", length) == 0 ? ALL : 0;
        for (int i = 0; i < SWG_PLOTS; i++)
            if (strlen(plots[i].name) == length && strncmp(at, plots[i].name, length) == 0)
                bit = 1u << i;
        if (!bit)
            return 0;
        bits |= bit;
        at += length;
        if (!*at)
            return bits;
    }
}

/* ---- what they share ---- */

void swg__plot_path(const swg__plot *p, const char *name, char out[2048]) { snprintf(out, 2048, "%s/%s", p->folder, name); }

swg_status swg__plot_wrote(swg__plot *p, const char *path) {
    swg_plot_files *f = p->files;
    char **list = swg__grow(p->ctx, f->path, (size_t)(f->count + 1) * sizeof *list), *own = list ? swg__strdup(p->ctx, path) : NULL;
    f->path = list ? list : f->path;
    if (!own)
        return swg__fail_memory(p->ctx, strlen(path), "a list of files");
    f->path[f->count++] = own;
    return SWG_OK;
}

void swg_plot_files_free(swg_context *ctx, swg_plot_files *files) {
    for (int64_t i = 0; i < files->count; i++)
        swg__free(ctx, files->path[i]);
    swg__free(ctx, files->path);
    *files = (swg_plot_files){0};
}

void swg__plot_note(const swg__plot *p, const char *format, ...) {
    char text[1200];
    va_list args;
    if (!p->opts->note)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    p->opts->note(p->opts->user, text);
}

double swg__plot_cell(const swg__plot *p, int64_t row, const char *column) {
    int64_t c = swg__table_column(&p->metrics, column);
    const char *text = c >= 0 && row >= 0 && row < p->metrics.rows ? p->metrics.cells[row * p->metrics.columns + c] : "";
    char *end;
    double value = strtod(text, &end);
    return *text && !*end ? value : NAN;
}

swg_status swg__plot_tiles(swg__plot *p) {
    if (p->set.count)
        return SWG_OK;
    if (!p->data.ctx) {
        p->hooks = (swg_train_hooks){.note = p->opts->note, .user = p->opts->user};
        p->data = (swg__run){.ctx = p->ctx, .config = p->opts->config ? p->opts->config : swg_model_config(p->model), .hooks = &p->hooks,
                             .recipe = *swg__model_recipe(p->model)};
        SWG__TRY(swg__run_data(&p->data));
        const char *trained = swg_model_data(p->model);
        if (!trained || strcmp(trained, p->data.data.digest) != 0)
            swg__plot_note(p, "the data or their split are not those of the training run: tiles may have been trained on");
    }
    return swg__sample_set_make(&p->data, p->model, p->opts->tiles ? p->opts->tiles : 8, &p->set);
}

/* ---- opening ---- */

/* RUN of RUN, RUN/ckpt/x.safetensors; of another file its folder. */
static swg_status find_folder(swg__plot *p, const char *run) {
    size_t length = strlen(run);
    while (length > 1 && run[length - 1] == '/')
        length--;
    if (!swg__is_folder(run)) {
        for (int level = 0; level < 2; level++) {
            size_t end = length;
            while (end > 0 && run[end - 1] != '/')
                end--;
            if (level == 1 && (length - end != 4 || strncmp(run + end, "ckpt", 4) != 0))
                break;
            length = end > 1 ? end - 1 : end;
        }
    }
    if (snprintf(p->run, sizeof p->run, "%.*s", length ? (int)length : 1, length ? run : ".") >= (int)sizeof p->run - 16)
        return swg__fail(p->ctx, SWG_EUSAGE, "%s: the path is too long", run);
    const char *folder = p->opts->folder;
    if (snprintf(p->folder, sizeof p->folder, "%s%s", folder ? folder : p->run, folder ? "" : "/plots") >= (int)sizeof p->folder)
        return swg__fail(p->ctx, SWG_EUSAGE, "%s: the path is too long", folder);
    return SWG_OK;
}

/* metrics.csv up to its last whole line; without rows, as if it were not there. */
static swg_status read_metrics(swg__plot *p) {
    char path[2048];
    uint8_t *data;
    size_t bytes;
    p->row = -1;
    snprintf(path, sizeof path, "%s/metrics.csv", p->run);
    if (!swg__exists(path))
        return SWG_OK;
    SWG__TRY(swg__file_read(p->ctx, path, &data, &bytes));
    while (bytes && data[bytes - 1] != '\n')
        bytes--;
    const uint8_t *line = memchr(data, '\n', bytes);
    swg_status status = line && line + 1 < data + bytes ? swg__table_parse(p->ctx, (const char *)data, bytes, path, &p->metrics) : SWG_OK;
    swg__free(p->ctx, data);
    for (int64_t i = 0; i < p->metrics.rows; i++)
        if (p->row < 0 || swg__plot_cell(p, i, "epoch") < (double)swg_model_epoch(p->model))
            p->row = i;
    return status;
}

/* ---- all of it ---- */

/* Leaves out what the run does not have; asked for by name, that is an error. */
static swg_status choose(swg__plot *p, unsigned *what) {
    bool kan = strcmp(swg_model_family(p->model), "kan") == 0, all = *what == ALL;
    for (int i = 0; i < SWG_PLOTS; i++) {
        unsigned bit = 1u << i;
        if (!(*what & bit))
            continue;
        if (plots[i].kan && !kan && !all)
            return swg__fail(p->ctx, SWG_EUNSUPPORTED, "%s: what=%s is drawn of family kan; this is of family %s", p->run, plots[i].name,
                             swg_model_family(p->model));
        if (i == SWG_PLOT_SPLINES && kan && swg__model_recipe(p->model)->kan.network.plain) {
            if (!all)
                return swg__fail(p->ctx, SWG_EUNSUPPORTED, "%s: what=splines: the network has no KAN layers (kan/dae-plain)", p->run);
            *what &= ~bit;
        }
        if (i == SWG_PLOT_CURVES && !p->metrics.rows && !all)
            return swg__fail(p->ctx, SWG_ENOTFOUND, "%s/metrics.csv: no epochs to draw: not there, or no epoch is done", p->run);
    }
    if (all && !kan)
        *what = 1u << SWG_PLOT_CURVES;
    if (*what & 1u << SWG_PLOT_CURVES && !p->metrics.rows) {
        swg__plot_note(p, "%s/metrics.csv holds no epochs: no curves", p->run);
        *what &= ~(1u << SWG_PLOT_CURVES);
    }
    if (*what & TILES) { /* data that are no longer where they were must not keep the rest from being drawn */
        swg_status status = swg__plot_tiles(p);
        if (status == SWG_ENOMEM || (status != SWG_OK && !all))
            return status;
        if (status != SWG_OK) {
            swg__plot_note(p, "no samples and no z: %s; data.path=... says where the data are", swg_context_message(p->ctx));
            *what &= ~(unsigned)TILES;
        }
    }
    return SWG_OK;
}

static swg_status draw(swg__plot *p, const char *run, unsigned what) {
    char title[1200], path[2048];
    SWG__TRY(find_folder(p, run));
    SWG__TRY(swg_model_open(p->ctx, run, &p->model));
    SWG__TRY(read_metrics(p));
    SWG__TRY(choose(p, &what));
    SWG__TRY(swg__make_folders(p->ctx, p->folder));
    const char *name = strrchr(p->run, '/');
    snprintf(title, sizeof title, "%s/%s: run %s", swg_model_family(p->model), swg_config_string(swg_model_config(p->model), "model.name"),
             name && name[1] ? name + 1 : p->run);
    SWG__TRY(swg_report_open(p->ctx, title, &p->page));
    SWG__TRY(swg__plot_head(p));
    for (int i = 0; i < SWG_PLOTS; i++)
        if (what & 1u << i)
            SWG__TRY(plots[i].draw(p));
    swg__plot_path(p, "report.html", path);
    SWG__TRY(swg_report_write(p->page, path));
    return swg__plot_wrote(p, path);
}

swg_status swg_plot_run(swg_context *ctx, const char *run, const swg_plot_opts *opts, swg_plot_files *files) {
    static const swg_plot_opts none = {0};
    *files = (swg_plot_files){0};
    swg__plot *p = swg__calloc(ctx, 1, sizeof *p);
    if (!p)
        return swg__fail_memory(ctx, sizeof *p, "pictures of a run");
    p->ctx = ctx;
    p->opts = opts ? opts : &none;
    p->files = files;
    swg_status status = draw(p, run, p->opts->what ? p->opts->what & ALL : ALL);
    swg_report_close(p->page);
    swg__sample_set_free(ctx, &p->set);
    if (p->data.ctx)
        p->data.recipe.family->close(&p->data, &p->data.data);
    swg__table_free(&p->metrics);
    swg_model_close(p->model);
    swg__free(ctx, p);
    return status;
}
