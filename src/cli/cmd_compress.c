/* cmd_compress.c - `swage compress`: HDF5 file or folder into one .swz, restored and checked before it is called done.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "cli/archive_out.h"

static const cli_option options[] = {
    {"error", 'e', "BOUND", "abs:NUMBER (in the data's units), rel:NUMBER (of each array's value range), pw:NUMBER (of each value) or lossless"},
    {"target-psnr", 0, "DB", "instead of -e: the loosest absolute bound with which each array reaches this PSNR"},
    {"target-ratio", 0, "R", "instead of -e: the tightest absolute bound with which each array becomes R times smaller"},
    {"fill", 0, "VALUE", "values equal to this are no data: kept bit for bit, apart from the rest; none: take every value as data (default: "
                         "the attribute _FillValue or missing_value of a dataset, and NaN)"},
    {"fill-above", 0, "T", "the same for all |x| >= T and NaN"},
    {"model", 'm', "RUN", "run folder of `swage train codec/...` (or a checkpoint, or a .swm file): its models are candidates beside everything else"},
    {"train", 0, "[=LIST]", "train models on the data themselves first, of these kinds (default: stencil,law,blocks); they go into the file where they pay"},
    {"output", 'o', "FILE", "file to write (default: the input's name with .swz)"},
    {"append", 0, "FILE", "add to a growing .swz of one variable, or FOLDER/ with one for each; a grid is one step of it"},
    {"range", 0, "LOW:HIGH", "value range a rel: bound is of, in the data's units, instead of each array's own; rel: with --append needs it"},
    {"hdf5", 0, NULL, "write an HDF5 file that reads the same through the filter, instead of a .swz"},
    {"vars", 0, "LIST", "variables to take, with * and ? (default: U_*; with --hdf5: all); those named otherwise than * may have 1 to 4 axes and be integers"},
    {"layout", 0, "NAME", "auto, vars, blocks or grid (default: auto)"},
    {"skip-missing", 0, NULL, "take the files that have a variable, where others lack it"},
    {"without", 0, "LIST", "modes not to try, such as poly, stencil, planes (to see what each is worth)"},
    {"effort", 0, "N", "1 (fast, no models) to 9 (small); default 5"},
    {"jobs", 'j', "N", "arrays worked on at the same time (default: as many as keep the threads busy, large ones alone)"},
    {"no-check", 0, NULL, "do not restore and compare after writing"},
    {"report", 0, "WHERE", "also write a report: PAGE.html with PAGE.json beside it, or a folder"},
    {"slices", 0, "N", "variables shown as slices in the report (default: 4)"},
    CLI_THREADS, CLI_ISA, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

/* "run/" -> "run.swz", "x.h5" -> "x.swz", "." -> "./archive.swz" */
static swg_status default_output(cli *c, const char *input, char *out, size_t capacity) {
    static const char *const endings[] = {".h5", ".hdf5"};
    size_t length = strlen(input);
    while (length > 1 && input[length - 1] == '/')
        length--;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t end = strlen(endings[i]);
        if (length > end && strncmp(input + length - end, endings[i], end) == 0)
            length -= end;
    }
    bool nameless = length && (input[length - 1] == '.' || input[length - 1] == '/');
    if (snprintf(out, capacity, "%.*s%s.swz", (int)length, input, nameless ? "/archive" : "") >= (int)capacity)
        return cli_fail(c, SWG_EUSAGE, "%s: the name is too long; say where to write with -o", input);
    return SWG_OK;
}

/* "-1:2.5" */
static swg_status read_range(cli *c, swg_archive_opts *opts) {
    const char *text = cli_value(c, "range");
    char *end;
    if (!text)
        return SWG_OK;
    opts->range_min = strtod(text, &end);
    bool good = end != text && *end == ':';
    const char *high = good ? end + 1 : text;
    opts->range_max = strtod(high, &end);
    if (!good || end == high || *end || !(opts->range_min <= opts->range_max) || !isfinite(opts->range_min) || !isfinite(opts->range_max))
        return cli_fail(c, SWG_EUSAGE, "--range %s: expected LOW:HIGH, two numbers", text);
    opts->has_range = true;
    return SWG_OK;
}

static swg_status append(cli *c, swg_archive_opts *opts) {
    const char *path = cli_value(c, "append");
    if (cli_value(c, "output") || cli_value(c, "report") || cli_value(c, "model") || cli_value(c, "train"))
        return cli_fail(c, SWG_EUSAGE, "--append goes with neither -o, -m, --train nor --report");
    opts->as_before = !cli_value(c, "error");
    cli_progress progress;
    swg_archive_hooks hooks = cli_archive_hooks(&progress);
    swg_archive_growth g = {0};
    swg_status status = swg_archive_append(c->ctx, c->positional[0], path, opts, &hooks, &g);
    cli_progress_close(&progress);
    if (status != SWG_OK)
        return status;
    if (cli_flag(c, "json"))
        printf("{\"streams\": %lld, \"steps_added\": %lld, \"steps\": %lld, \"bytes_in\": %lld, \"bytes_added\": %lld, \"bytes\": %lld}\n",
               (long long)g.streams, (long long)g.steps_added, (long long)g.steps, (long long)g.bytes_in, (long long)g.bytes_added, (long long)g.bytes);
    else
        printf("%lld steps added to %s, which has %lld now: %lld bytes in, %lld bytes more (ratio %.2f)\n", (long long)g.steps_added, path,
               (long long)g.steps, (long long)g.bytes_in, (long long)g.bytes_added, (double)g.bytes_in / (double)g.bytes_added);
    return SWG_OK;
}

/* One of -e, --target-psnr, --target-ratio. */
static swg_status read_bound(cli *c, swg_archive_opts *opts) {
    static const struct { const char *option, *prefix; } targets[] = {{"error", ""}, {"target-psnr", "psnr:"}, {"target-ratio", "ratio:"}};
    char text[128];
    int given = 0;
    for (int i = 0; i < 3; i++) {
        const char *value = cli_value(c, targets[i].option);
        if (!value)
            continue;
        given++;
        snprintf(text, sizeof text, "%s%s", targets[i].prefix, value);
        SWG__TRY(swg_bound_parse(c->ctx, text, &opts->bound, &opts->value));
    }
    if (given == 1 || (!given && cli_value(c, "append")))
        return SWG_OK;
    return cli_fail(c, SWG_EUSAGE, given ? "-e, --target-psnr and --target-ratio exclude each other"
                                         : "say how large an error may be: -e abs:NUMBER, -e rel:NUMBER, -e pw:NUMBER, -e lossless, "
                                           "--target-psnr DB or --target-ratio R");
}

static swg_status read_fill(cli *c, swg_archive_opts *opts) {
    const char *above = cli_value(c, "fill-above");
    char *end = NULL;
    opts->fill = cli_value(c, "fill");
    opts->fill_above = above ? strtod(above, &end) : 0;
    if (above && opts->fill)
        return cli_fail(c, SWG_EUSAGE, "--fill and --fill-above exclude each other");
    if (above && (end == above || *end || !(opts->fill_above > 0)))
        return cli_fail(c, SWG_EUSAGE, "--fill-above %s: expected a number above 0", above);
    return SWG_OK;
}

/* What excludes models is said before any work is done. */
static swg_status check_models(cli *c, const swg_archive_opts *opts) {
    const bool model = cli_value(c, "model") != NULL;
    if (opts->train && model)
        return cli_fail(c, SWG_EUSAGE, "--train and -m exclude each other");
    if ((opts->train || model) && opts->effort && opts->effort < 5)
        return cli_fail(c, SWG_EUSAGE, "--effort %d tries no models: leave out %s, or take 5 and more", opts->effort, model ? "-m" : "--train");
    if (opts->train && (opts->bound == SWG_BOUND_PSNR || opts->bound == SWG_BOUND_RATIO))
        return cli_fail(c, SWG_EUSAGE, "--train: models are trained for a bound (-e), not for a target of quality or size");
    return SWG_OK;
}

static swg_status run(cli *c) {
    const char *input = c->positional[0], *model_path = cli_value(c, "model"), *html = cli_value(c, "report");
    char named[4096];
    const char *output = cli_value(c, "output") ? cli_value(c, "output") : named;
    swg_archive_opts opts = {.no_check = cli_flag(c, "no-check")};
    int64_t slices = 4;
    int64_t jobs = 0, effort = 0;
    SWG__TRY(read_bound(c, &opts));
    SWG__TRY(read_fill(c, &opts));
    SWG__TRY(cli_integer(c, "slices", 0, 64, &slices));
    SWG__TRY(cli_without(c, &opts.without));
    SWG__TRY(cli_integer(c, "effort", 1, 9, &effort));
    opts.effort = (int)effort;
    SWG__TRY(cli_integer(c, "jobs", 1, 1024, &jobs));
    opts.jobs = (int)jobs;
    SWG__TRY(read_range(c, &opts));
    bool hdf5 = cli_flag(c, "hdf5");
    if (hdf5 && cli_value(c, "append"))
        return cli_fail(c, SWG_EUSAGE, "--hdf5 and --append: an HDF5 file does not grow; leave one of them out");
    if (hdf5 && (output == named || html))
        return cli_fail(c, SWG_EUSAGE, html ? "--report is of a .swz; swage verify OUT.h5 %s compares the files" : "--hdf5 %s: say where to write with -o OUT.h5", input);
    opts.source = (swg_source_opts){.vars = cli_value(c, "vars"), .layout = cli_value(c, "layout"),
                                    .missing = cli_flag(c, "skip-missing") ? "skip" : NULL};
    if (cli_value(c, "append"))
        return append(c, &opts);
    if (output == named)
        SWG__TRY(default_output(c, input, named, sizeof named));
    swg_codec_model *models = NULL;
    opts.train = cli_value(c, "train");
    SWG__TRY(check_models(c, &opts));
    if (model_path)
        SWG__TRY(swg_archive_open_models(c->ctx, model_path, &models, &opts.model));
    opts.models = models;
    cli_progress progress;
    swg_archive_hooks hooks = cli_archive_hooks(&progress);
    swg_archive_report *report = NULL;
    swg_status status = hdf5 ? swg_archive_compress_hdf5(c->ctx, input, output, &opts, &hooks, &report)
                             : swg_archive_compress(c->ctx, input, output, &opts, &hooks, &report);
    cli_progress_close(&progress);
    if (report && cli_flag(c, "json"))
        cli_archive_json(report, !opts.no_check);
    else if (report)
        cli_archive_table(report, !opts.no_check);
    bool talk = status == SWG_OK && !cli_flag(c, "json");
    if (talk)
        printf("wrote %s\n", output);
    if (status == SWG_OK && html)
        status = swg_archive_html(c->ctx, html, output, input, models ? NULL : model_path, report, (int)slices);
    if (talk && html && status == SWG_OK)
        printf("report %s\n", html);
    swg_archive_report_free(report);
    swg_codec_model_free(c->ctx, models);
    swg_model_close(opts.model);
    return status;
}

const cli_command cli_cmd_compress = {
    .name = "compress",
    .usage = "FILE_OR_FOLDER -e BOUND | --target-psnr DB | --target-ratio R [-m RUN | --train] [-o FILE | --append FILE] [--hdf5]",
    .help = "compress HDF5 data within a guaranteed error bound",
    .details = "Every array is restored and compared before the command succeeds.\n"
               "  swage compress samples/bssn -e rel:1e-4 -m runs/a -o bssn.swz\n"
               "  swage compress run/ -e rel:1e-4 --train=stencil,law -o run.swz\n"
               "  swage compress step7.h5 -e abs:1e-5 --vars U_CHI --append chi.swz\n"
               "  swage compress --hdf5 samples/bssn/t0.h5 -e rel:1e-4 -o t0_small.h5",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run,
};
