/* bench_cyto.c - `swage bench cyto`: the microscopy networks with the published performance switches, beside PyTorch.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "bench/cyto.h"
#include "cli/bench_out.h"

enum { ITERATIONS = 100, WARMUP = 10, ITERATIONS_QUICK = 6, WARMUP_QUICK = 1, EXTENT_MOST = 4096 };

/* "cyto", "cyto/labelfree", or what --experiment says. */
static swg_status read_experiment(cli *c, int *experiment) {
    const char *word = c->positional[0] + strlen("cyto"), *option = cli_value(c, "experiment");
    word += *word == '/';
    if (*word && option && strcmp(word, option) != 0)
        return cli_fail(c, SWG_EUSAGE, "bench %s: and --experiment %s; one of them is enough", c->positional[0], option);
    word = *word ? word : option ? option : swg__cyto_name(0);
    for (*experiment = 0; swg__cyto_name(*experiment); ++*experiment)
        if (strcmp(swg__cyto_name(*experiment), word) == 0)
            return SWG_OK;
    return cli_fail(c, SWG_EUSAGE, "bench: cyto/%s: expected segmentation, labelfree or gan_superres", word);
}

/* N,C,z,y,x or N,C,y,x. */
static swg_status read_shape(cli *c, swg__cyto_opts *o) {
    const char *text = cli_value(c, "input-shape"), *at = text;
    swg__cyto_shape(o->experiment, o->shape);
    o->ndim = 5;
    if (!text)
        return SWG_OK;
    for (o->ndim = 0; at && o->ndim < 5; o->ndim++) {
        char *end;
        long long value = strtoll(at, &end, 10);
        if (end == at || value < 1 || value > EXTENT_MOST || (*end && *end != ','))
            break;
        o->shape[o->ndim] = value;
        at = *end ? end + 1 : NULL;
    }
    if (at || o->ndim < 4)
        return cli_fail(c, SWG_EUSAGE, "--input-shape %s: expected N,C,z,y,x or N,C,y,x, numbers from 1 to %d, such as 1,1,64,64,64", text, EXTENT_MOST);
    if (o->shape[1] != 1)
        return cli_fail(c, SWG_EUSAGE, "--input-shape %s: these networks have one channel", text);
    return SWG_OK;
}

static swg_status check_sides(cli *c, const swg__cyto_bench *bench) {
    int failed = 0;
    for (int i = 0; i < bench->group_count; i++)
        for (int j = 0; j < bench->groups[i].count; j++)
            failed += *bench->groups[i].sides[j].failure && !bench->groups[i].sides[j].form;
    return failed ? cli_fail(c, SWG_EBOUND, "bench cyto: %d rows of ours failed; their messages stand in the table", failed) : SWG_OK;
}

static swg_status show(cli *c, const swg__cyto_bench *bench) {
    const char *chart = cli_value(c, "chart");
    swg__text text;
    if (chart)
        SWG__TRY(swg__cyto_chart(bench, chart));
    swg__text_init(&text, c->ctx);
    swg__cyto_table(bench, cli_flag(c, "markdown"), &text);
    return cli_bench_print(c, swg__cyto_json(bench), &text);
}

swg_status cli_bench_cyto(cli *c) {
    const bool quick = cli_flag(c, "quick");
    int64_t iterations = quick ? ITERATIONS_QUICK : ITERATIONS;
    swg__cyto_opts opts = {.warmup = quick ? WARMUP_QUICK : WARMUP, .stop = cli_signal_flag(), .progress = cli_bench_progress};
    if (c->override_count)
        return cli_fail(c, SWG_EUSAGE, "bench cyto: %s: takes options only", c->overrides[0]);
    if (c->positional_count != 1 || cli_flag(c, "each") || (cli_flag(c, "compare-opts") && cli_value(c, "batch-sizes")))
        return cli_fail(c, SWG_EUSAGE, "bench cyto: one experiment, and --compare-opts or --batch-sizes");
    SWG__TRY(read_experiment(c, &opts.experiment));
    SWG__TRY(read_shape(c, &opts));
    SWG__TRY(cli_integer(c, "iterations", 1, 1000, &iterations));
    opts.iterations = (int)iterations;
    opts.compare = !cli_value(c, "batch-sizes");
    if (!opts.compare)
        SWG__TRY(cli_batches(c, opts.batches, SWG__CYTO_BATCHES, &opts.batch_count));
    cli_signals_catch();
    cli_progress progress;
    cli_progress_open(&progress, 2);
    opts.user = &progress;
    swg__cyto_bench bench;
    swg_status status = swg__cyto_bench_run(c->ctx, &opts, &bench);
    cli_progress_close(&progress);
    if (status == SWG_OK)
        status = show(c, &bench);
    if (status == SWG_OK)
        status = check_sides(c, &bench);
    swg__cyto_bench_free(&bench);
    return status;
}
