/* bench_kan.c - `swage bench kan`: KAN convolutions and networks beside the published formulation in PyTorch.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "bench/kan.h"
#include "cli/bench_out.h"

enum { CHANNELS_MOST = 256 };

/* "once,patches" or "all" as bits of the names that name_of gives. */
static swg_status read_names(cli *c, const char *option, const char *(*name_of)(int), unsigned *bits) {
    const char *list = cli_value(c, option);
    *bits = list && strcmp(list, "all") != 0 ? 0 : ~0u;
    for (const char *at = list; at && *bits != ~0u && *at;) {
        size_t length = strcspn(at, ",");
        unsigned bit = 0;
        swg__text names;
        swg__text_init(&names, c->ctx);
        for (int i = 0; name_of(i); i++) {
            if (strlen(name_of(i)) == length && strncmp(name_of(i), at, length) == 0)
                bit = 1u << i;
            swg__text_printf(&names, "%s, ", name_of(i));
        }
        swg_status status = bit ? SWG_OK : cli_fail(c, SWG_EUSAGE, "--%s %s: expected a list of %sor all", option, list, names.data ? names.data : "");
        swg__text_free(&names);
        SWG__TRY(status);
        *bits |= bit;
        at += length + (at[length] == ',');
    }
    return SWG_OK;
}

static swg_status check_sides(cli *c, const swg__kan_bench *bench) {
    int failed = 0;
    for (int i = 0; i < bench->group_count; i++)
        for (int j = 0; j < bench->groups[i].count; j++)
            failed += *bench->groups[i].sides[j].failure && !bench->groups[i].sides[j].form;
    return failed ? cli_fail(c, SWG_EBOUND, "bench kan: %d rows of ours failed; their messages stand in the table", failed) : SWG_OK;
}

swg_status cli_bench_kan(cli *c) {
    swg__kan_opts opts = {.batches = {2, 4, 6, 8, 12, 16}, .batch_count = 6, .size = 64, .channels = 64, .grid = 5, .order = 3, .image = 128,
                          .quick = cli_flag(c, "quick"), .stop = cli_signal_flag(), .progress = cli_bench_progress};
    const char *against = cli_value(c, "against");
    if (c->override_count)
        return cli_fail(c, SWG_EUSAGE, "bench kan: %s: takes options only", c->overrides[0]);
    if (against && strcmp(against, "pytorch") != 0 && strcmp(against, "all") != 0)
        return cli_fail(c, SWG_EUSAGE, "bench kan: --against %s: there is pytorch, which is run where it is found", against);
    if (cli_value(c, "batch-sizes"))
        SWG__TRY(cli_batches(c, opts.batches, SWG__KAN_BATCHES, &opts.batch_count));
    SWG__TRY(read_names(c, "forms", swg__kan_form_name, &opts.forms));
    SWG__TRY(read_names(c, "works", swg__kan_work_name, &opts.works));
    SWG__TRY(cli_integer(c, "size", 1, 4096, &opts.size));
    SWG__TRY(cli_integer(c, "channels", 1, CHANNELS_MOST, &opts.channels));
    SWG__TRY(cli_integer(c, "grid", 1, 64, &opts.grid));
    SWG__TRY(cli_integer(c, "order", 1, 3, &opts.order));
    SWG__TRY(cli_integer(c, "image", 8, 4096, &opts.image));
    if (opts.image % 8)
        return cli_fail(c, SWG_EUSAGE, "--image %lld: the networks take sides that divide by 8", (long long)opts.image);
    cli_signals_catch();
    cli_progress progress;
    cli_progress_open(&progress, 2);
    opts.user = &progress;
    swg__kan_bench bench;
    swg_status status = swg__kan_bench_run(c->ctx, &opts, &bench);
    cli_progress_close(&progress);
    if (status == SWG_OK) {
        swg__text text;
        swg__text_init(&text, c->ctx);
        swg__kan_table(&bench, &text);
        status = cli_bench_print(c, swg__kan_json(&bench), &text);
    }
    if (status == SWG_OK)
        status = check_sides(c, &bench);
    swg__kan_bench_free(&bench);
    return status;
}
