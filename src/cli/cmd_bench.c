/* cmd_bench.c - `swage bench`: how fast this build is on this machine, against the machine's own limits and against others.
 * In: names of rows. Out: a table, or one JSON object, also into a file.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include "bench/compare.h"
#include "cli/bench_out.h"

static const cli_option options[] = {
    {"quick", 0, NULL, "about 20 seconds: shorter measurements, wider spread"},
    {"against", 0, "PEERS", "also run these, if they are installed: pytorch, pytorch-compile, onnxruntime, or all; codec: hdf5plugin; tfswa: pytorch, onnxruntime"},
    {"list", 0, NULL, "list the rows"},
    {"explain", 0, NULL, "say what each pass and the planner did for every row"},
    {"compare-opts", 0, NULL, "of a recipe: all speed switches off, then on one after the other; cyto: each alone, then all (default)"},
    {"each", 0, NULL, "of a recipe: every speed switch alone"},
    {"batch-sizes", 0, "LIST", "of a recipe, and of cyto: over batch sizes such as 1,16,256; kan: default 2,4,6,8,12,16"},
    {"output", 'o', "FILE", "write the JSON object into FILE; with --report: an HTML page"},
    {"data", 0, "DIR", "codec: folder with fields/ and bssn/; what it lacks is replaced by samples/"},
    {"tables", 0, "LIST", "codec: fields, blocks, chunks, octants, uniform, efforts, learned, speed (default: all)"},
    {"model", 'm', "RUN", "codec: run folder or checkpoint of a network for the BSSN tables"},
    {"without", 0, "LIST", "codec: ways of coding not to try"},
    {"effort", 0, "N", "codec: of every table but that of efforts, 1 (fast) to 9 (small); default 5"},
    {"works", 0, "LIST", "kan: layer, kan/dae, kan/dae-opt (default: all)"},
    {"forms", 0, "LIST", "kan: of the layer: naive, patches, once, optimised (default: all)"},
    {"size", 0, "N", "kan: side of the layer's input; default 64"},
    {"channels", 0, "N", "kan: of the layer's input and result; default 64"},
    {"grid", 0, "N", "kan: intervals of the layer's splines; default 5"},
    {"order", 0, "N", "kan: of the layer's splines; default 3"},
    {"image", 0, "N", "kan: side of the networks' images; default 128"},
    {"experiment", 0, "NAME", "cyto: segmentation, labelfree or gan_superres; also as cyto/NAME"},
    {"net", 0, "NAME", "tfswa: unet (default) or small"},
    {"training", 0, NULL, "tfswa: training steps in place of inference"},
    {"input-shape", 0, "LIST", "cyto: N,C,z,y,x or N,C,y,x; default 1,1,64,64,64, gan_superres 1,1,16,32,32; tfswa: N,C,F,T, default 1,2,1025,259, small 1,2,128,64"},
    {"iterations", 0, "N", "cyto, tfswa: calls of each row; default 100, with --quick 6 and 3"},
    {"warmup", 0, "N", "tfswa: calls before them; default 10, with --quick 1"},
    {"chart", 0, "FILE", "cyto: write an SVG of speed-ups, or over the batch sizes, and of planned peaks"},
    {"report", 0, NULL, "measure nothing: print the table of JSON objects written before, side by side"},
    {"markdown", 0, NULL, "with --report, and of codec, cyto and tfswa: as Markdown"},
    CLI_RECIPES, CLI_THREADS, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

static void print_id(void *user, const char *id) { fprintf(user, "%s\n", id); }

void cli_bench_progress(void *user, const char *text) { cli_progress_show(user, "%s", text); }

/* Takes json and text over. */
swg_status cli_bench_print(cli *c, char *json, swg__text *text) {
    swg_status status = json && !text->failed ? SWG_OK : cli_fail(c, SWG_ENOMEM, "out of memory");
    const char *path = cli_value(c, "output");
    if (status == SWG_OK && path)
        status = swg__file_write(c->ctx, path, json, strlen(json));
    if (json && !text->failed)
        fputs(cli_flag(c, "json") ? json : text->data, stdout);
    if (json && cli_flag(c, "json"))
        puts("");
    cJSON_free(json);
    swg__text_free(text);
    return status;
}

static swg_status check_rows(cli *c, const swg__bench *bench) {
    int failed = 0;
    for (int i = 0; i < bench->row_count; i++)
        failed += *bench->rows[i].failure != 0;
    return failed ? cli_fail(c, SWG_EBOUND, "bench: %d of %d rows failed; their messages stand in the table", failed, bench->row_count) : SWG_OK;
}

/* ---- switches and batch sizes of a recipe ---- */

swg_status cli_batches(cli *c, int64_t *out, int most, int *count) {
    const char *text = cli_value(c, "batch-sizes"), *at = text;
    for (*count = 0; *at && *count < most; ++*count) {
        char *end;
        long long value = strtoll(at, &end, 10);
        if (end == at || value < 1 || value > 1 << 24 || (*end && (*end != ',' || !end[1])))
            return cli_fail(c, SWG_EUSAGE, "--batch-sizes %s: expected numbers from 1 to 16777216 with commas between, such as 1,16,256", text);
        out[*count] = value;
        at = *end ? end + 1 : end;
    }
    return *count && !*at ? SWG_OK : cli_fail(c, SWG_EUSAGE, "--batch-sizes %s: between 1 and %d numbers", text, most);
}

static swg_status check_settings(cli *c, const swg__comparison *compared) {
    int failed = 0;
    for (int i = 0; i < compared->row_count; i++)
        failed += *compared->rows[i].failure && !compared->rows[i].absent && compared->opts.kind != SWG__COMPARE_BATCHES;
    return failed ? cli_fail(c, SWG_EBOUND, "bench: %d of %d rows failed; their messages stand in the table", failed, compared->row_count) : SWG_OK;
}

static swg_status compare(cli *c) {
    const char *list = cli_value(c, "batch-sizes");
    bool opts = cli_flag(c, "compare-opts"), each = cli_flag(c, "each");
    int64_t batches[SWG__COMPARE_ROWS];
    int batch_count = 0;
    if (opts + each + (list != NULL) > 1 || c->positional_count != 1)
        return cli_fail(c, SWG_EUSAGE, "bench: one of --compare-opts, --each and --batch-sizes, and one recipe");
    if (list)
        SWG__TRY(cli_batches(c, batches, SWG__COMPARE_ROWS, &batch_count));
    setenv("OMP_PROC_BIND", "true", 0); /* oneDNN's threads, each on a processor of its own as ours are */
    setenv("OMP_PLACES", "threads", 0);
    cli_signals_catch();
    cli_progress progress;
    cli_progress_open(&progress, 2);
    swg__comparison compared;
    const swg__compare_opts o = {.kind = list ? SWG__COMPARE_BATCHES : each ? SWG__COMPARE_EACH : SWG__COMPARE_OPTS, .recipe = c->positional[0],
                                 .config = {.recipes = cli_value(c, "recipes"), .overrides = (const char *const *)c->overrides,
                                            .override_count = c->override_count},
                                 .batches = batches, .batch_count = batch_count, .quick = cli_flag(c, "quick"), .stop = cli_signal_flag(),
                                 .progress = cli_bench_progress, .user = &progress};
    swg_status status = swg__compare_run(c->ctx, &o, &compared);
    cli_progress_close(&progress);
    if (status == SWG_OK) {
        swg__text text;
        swg__text_init(&text, c->ctx);
        swg__compare_table(&compared, &text);
        status = cli_bench_print(c, swg__compare_json(&compared), &text);
    }
    if (status == SWG_OK)
        status = check_settings(c, &compared);
    swg__compare_free(&compared);
    return status;
}

/* ---- rows ---- */

/* "pytorch,onnxruntime" as bits; "ort" is short for the latter. */
static swg_status read_peers(cli *c, unsigned *bits) {
    const char *at = cli_value(c, "against");
    while (at && *at) {
        size_t length = strcspn(at, ",");
        unsigned found = length == 3 && strncmp(at, "all", length) == 0 ? ~0u : 0;
        bool ort = length == 3 && strncmp(at, "ort", length) == 0;
        for (int i = 0; swg__peer_key(i); i++) {
            const char *key = swg__peer_key(i);
            if (ort ? strcmp(key, "onnxruntime") == 0 : strlen(key) == length && strncmp(at, key, length) == 0)
                found |= 1u << i;
        }
        if (!found) {
            const char *names[8] = {"all"};
            char word[32], near[64];
            size_t count = 1;
            for (int i = 0; swg__peer_key(i) && count < sizeof names / sizeof *names; i++)
                names[count++] = swg__peer_key(i);
            snprintf(word, sizeof word, "%.*s", (int)length, at);
            return cli_fail(c, SWG_EUSAGE, "--against %s: no such peer; there are pytorch, pytorch-compile and onnxruntime, or all (oneDNN is always "
                            "run where it is built in)%s", word, swg__did_you_mean(word, names, count, near, sizeof near));
        }
        *bits |= found;
        at += length + (at[length] == ',');
    }
    return SWG_OK;
}

static swg_status report(cli *c) {
    swg__text text;
    swg__text_init(&text, c->ctx);
    swg_status status = swg__bench_files(c->ctx, (const char *const *)c->positional, c->positional_count, cli_flag(c, "markdown"), cli_value(c, "output"), &text);
    if (status == SWG_OK)
        fputs(text.data, stdout);
    swg__text_free(&text);
    return status;
}

/* Options that only one kind of run takes. */
/* What has a bench of its own, named by the first word. */
typedef struct subject { const char *name; swg_status (*run)(cli *c); } subject;
enum { CODEC, KAN, CYTO, TFSWA, SUBJECTS };
static const subject subjects[SUBJECTS] = {{"codec", cli_bench_codec}, {"kan", cli_bench_kan}, {"cyto", cli_bench_cyto}, {"tfswa", cli_bench_tfswa}};

/* SUBJECTS: none. Recipes kan/dae and others are none; cyto/... are. */
static int subject_of(const cli *c) {
    const char *word = c->positional_count ? c->positional[0] : "";
    int i = 0;
    while (i < SUBJECTS && !(strcmp(word, subjects[i].name) == 0 || (i == CYTO && strncmp(word, "cyto/", 5) == 0)))
        i++;
    return i == KAN && c->positional_count > 1 ? SUBJECTS : i;
}

static swg_status check_options(cli *c, int which) {
    enum { OF_CODEC = 1 << CODEC, OF_KAN = 1 << KAN, OF_CYTO = 1 << CYTO, OF_TFSWA = 1 << TFSWA };
    static const struct { const char *name; int of; } own[] = {
        {"data", OF_CODEC}, {"tables", OF_CODEC}, {"model", OF_CODEC}, {"without", OF_CODEC}, {"effort", OF_CODEC}, {"works", OF_KAN}, {"forms", OF_KAN},
        {"size", OF_KAN}, {"channels", OF_KAN}, {"grid", OF_KAN}, {"order", OF_KAN}, {"image", OF_KAN}, {"experiment", OF_CYTO}, {"chart", OF_CYTO},
        {"input-shape", OF_CYTO | OF_TFSWA}, {"iterations", OF_CYTO | OF_TFSWA}, {"net", OF_TFSWA}, {"training", OF_TFSWA}, {"warmup", OF_TFSWA}};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (cli_value(c, own[i].name) && !(own[i].of >> which & 1))
            return cli_fail(c, SWG_EUSAGE, "bench: --%s goes with `swage bench %s`", own[i].name, subjects[__builtin_ctz((unsigned)own[i].of)].name);
    if (cli_flag(c, "markdown") && which != CODEC && which != CYTO && which != TFSWA)
        return cli_fail(c, SWG_EUSAGE, "bench: --markdown goes with --report, codec, cyto and tfswa");
    return SWG_OK;
}

static swg_status run(cli *c) {
    if (cli_flag(c, "report"))
        return report(c);
    const int which = subject_of(c);
    SWG__TRY(check_options(c, which));
    if (which < SUBJECTS)
        return subjects[which].run(c);
    if (cli_flag(c, "compare-opts") || cli_flag(c, "each") || cli_value(c, "batch-sizes"))
        return compare(c);
    if (c->override_count)
        return cli_fail(c, SWG_EUSAGE, "bench: %s: settings go with a recipe and --compare-opts, --each or --batch-sizes", c->overrides[0]);
    if (cli_flag(c, "list")) {
        swg__bench_list(print_id, stdout);
        return SWG_OK;
    }
    unsigned against = 0;
    SWG__TRY(read_peers(c, &against));
    int64_t threads = 0;
    swg_status status = cli_integer(c, "threads", 1, 4096, &threads);
    if (status != SWG_OK)
        return status;
    /* OpenMP threads of peers, each on a processor of its own as ours are; read when their library is loaded. */
    setenv("OMP_PROC_BIND", "true", 0);
    setenv("OMP_PLACES", "threads", 0);
    cli_signals_catch();
    cli_progress progress;
    cli_progress_open(&progress, 2);
    swg__bench bench;
    const swg__bench_opts opts = {.patterns = (const char *const *)c->positional, .pattern_count = c->positional_count,
                                  .threads = (int)threads, .quick = cli_flag(c, "quick"), .against = against,
                                  .explain = cli_flag(c, "explain") ? stderr : NULL, .stop = cli_signal_flag(), .progress = cli_bench_progress, .user = &progress};
    status = swg__bench_run(c->ctx, &opts, &bench);
    cli_progress_close(&progress);
    if (status == SWG_OK) {
        swg__text text;
        swg__text_init(&text, c->ctx);
        swg__bench_table(&bench, &text);
        status = cli_bench_print(c, swg__bench_json(&bench), &text);
    }
    if (status == SWG_OK)
        status = check_rows(c, &bench);
    swg__bench_free(&bench);
    return status;
}

const cli_command cli_cmd_bench = {
    .name = "bench",
    .usage = "[ROW ...] | codec | kan | cyto[/EXPERIMENT] | tfswa | RECIPE [key=value ...] --compare-opts | --each | --batch-sizes LIST | --report FILE ...",
    .help = "measure this machine's limits, and this build against them and against others",
    .details = "ROW is a name or a pattern such as 'matmul-*'; none: all rows. Every row is checked against the f64 reference before it\n"
               "is timed. With a recipe: what its speed switches do, or which batch size suits it; --quick gives a first impression.\n"
               "  swage bench swae/mlp-deep --compare-opts\n"
               "codec: ratios, bounds and speed of the codec beside SZ3, SPERR and zfp; docs/codec.md.\n"
               "kan: forms of a KAN convolution and training steps of the KAN networks beside the published ones in PyTorch, if it is installed.\n"
               "cyto: training step and inference of a microscopy network with each performance switch and with all, beside PyTorch; docs/cyto.md.\n"
               "tfswa: TFSWA-UNet in f32 and bf16; --against all: beside PyTorch and ONNX Runtime.\n"
               "docs/benchmarks.md tells what the rows and columns mean.",
    .options = options,
    .least = 0,
    .most = -1,
    .overrides = true,
    .run = run,
};
