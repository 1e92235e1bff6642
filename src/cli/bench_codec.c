/* bench_codec.c - `swage bench codec`: the codec's tables beside SZ3, SPERR and zfp.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "bench/codec.h"
#include "cli/bench_out.h"

/* "fields,octants" as bits */
static swg_status read_tables(cli *c, unsigned *bits) {
    const char *list = cli_value(c, "tables");
    for (const char *at = list; at && *at;) {
        size_t length = strcspn(at, ",");
        unsigned bit = 0;
        for (int i = 0; swg__codec_table_name(i); i++)
            if (strlen(swg__codec_table_name(i)) == length && strncmp(swg__codec_table_name(i), at, length) == 0)
                bit = 1u << i;
        if (!bit)
            return cli_fail(c, SWG_EUSAGE, "--tables %s: expected a list of fields, blocks, chunks, octants, uniform, efforts, learned, speed", list);
        *bits |= bit;
        at += length + (at[length] == ',');
    }
    return SWG_OK;
}

swg_status cli_bench_codec(cli *c) {
    swg__codec_opts opts = {.data = cli_value(c, "data"), .samples = "samples", .model = cli_value(c, "model"), .quick = cli_flag(c, "quick"),
                            .stop = cli_signal_flag(), .progress = cli_bench_progress};
    int64_t effort = 0;
    const char *against = cli_value(c, "against");
    if (c->positional_count > 1 || c->override_count)
        return cli_fail(c, SWG_EUSAGE, "bench codec: %s: takes options only", c->positional_count > 1 ? c->positional[1] : c->overrides[0]);
    if (against && strcmp(against, "hdf5plugin") != 0 && strcmp(against, "all") != 0)
        return cli_fail(c, SWG_EUSAGE, "bench codec: --against %s: there is hdf5plugin (SZ3, SPERR and zfp)", against);
    opts.peers = against != NULL;
    SWG__TRY(read_tables(c, &opts.tables));
    SWG__TRY(cli_without(c, &opts.without));
    SWG__TRY(cli_integer(c, "effort", 1, 9, &effort));
    opts.effort = (int)effort;
    cli_signals_catch();
    cli_progress progress;
    cli_progress_open(&progress, 2);
    opts.user = &progress;
    swg__codec_bench bench;
    swg_status status = swg__codec_bench_run(c->ctx, &opts, &bench);
    cli_progress_close(&progress);
    double worst;
    if (status == SWG_OK) {
        swg__text text;
        swg__text_init(&text, c->ctx);
        swg__codec_print(&bench, cli_flag(c, "markdown"), &text);
        status = cli_bench_print(c, swg__codec_json(&bench), &text);
    }
    if (status == SWG_OK && swg__codec_violations(&bench, -1, &worst) > 0)
        status = cli_fail(c, SWG_EBOUND, "bench codec: values of ours are outside their bound; see the tables");
    swg__codec_bench_free(&bench);
    return status;
}
