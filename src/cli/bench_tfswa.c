/* bench_tfswa.c - `swage bench tfswa`: TFSWA-UNet in f32 and bf16, beside PyTorch and ONNX Runtime.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "bench/tfswa.h"
#include "cli/bench_out.h"

enum { ITERATIONS = 100, WARMUP = 10, ITERATIONS_QUICK = 3, WARMUP_QUICK = 1, EXTENT_MOST = 1 << 20, HOP = 512 };

static swg_status read_net(cli *c, int *net) {
    const char *word = cli_value(c, "net");
    for (*net = 0; word && swg__tfswa_name(*net); ++*net)
        if (strcmp(swg__tfswa_name(*net), word) == 0)
            return SWG_OK;
    return word ? cli_fail(c, SWG_EUSAGE, "--net %s: expected unet or small", word) : SWG_OK;
}

static swg_status read_shape(cli *c, int net, int64_t shape[4]) {
    const char *text = cli_value(c, "input-shape"), *at = text;
    swg__tfswa_shape(net, shape);
    for (int axis = 0; at && axis < 4; axis++) {
        char *end;
        long long value = strtoll(at, &end, 10);
        bool last = axis == 3;
        if (end == at || value < 1 || value > EXTENT_MOST || (last ? *end : *end != ',' && *end != 'x'))
            return cli_fail(c, SWG_EUSAGE, "--input-shape %s: expected N,C,F,T, numbers from 1 to %d, such as 1,2,1025,259", text, EXTENT_MOST);
        shape[axis] = value;
        at = end + 1;
    }
    if (shape[1] != 2 && shape[1] != 4)
        return cli_fail(c, SWG_EUSAGE, "--input-shape %s: 2 channels (mono) or 4 (stereo)", text);
    return SWG_OK;
}

static swg_status read_peers(cli *c, bool peers[SWG__TFSWA_SYSTEMS]) {
    const char *at = cli_value(c, "against");
    while (at && *at) {
        const size_t length = strcspn(at, ",");
        const bool all = length == 3 && strncmp(at, "all", 3) == 0, torch = length == 7 && strncmp(at, "pytorch", 7) == 0;
        const bool ort = (length == 3 && strncmp(at, "ort", 3) == 0) || (length == 11 && strncmp(at, "onnxruntime", 11) == 0);
        if (!all && !torch && !ort)
            return cli_fail(c, SWG_EUSAGE, "--against %s: of tfswa there are pytorch and onnxruntime, or all", cli_value(c, "against"));
        peers[SWG__TFSWA_PYTORCH] = peers[SWG__TFSWA_PYTORCH] || all || torch;
        peers[SWG__TFSWA_ONNXRUNTIME] = peers[SWG__TFSWA_ONNXRUNTIME] || all || ort;
        at += length + (at[length] == ',');
    }
    return SWG_OK;
}

static swg_status check_sides(cli *c, const swg__tfswa_bench *bench) {
    int failed = 0;
    for (int i = 0; i < bench->count; i++)
        failed += *bench->sides[i].failure && bench->sides[i].system == SWG__TFSWA_OWN;
    return failed ? cli_fail(c, SWG_EBOUND, "bench tfswa: %d rows of ours failed; their messages stand in the table", failed) : SWG_OK;
}

swg_status cli_bench_tfswa(cli *c) {
    const bool quick = cli_flag(c, "quick");
    int64_t iterations = quick ? ITERATIONS_QUICK : ITERATIONS, warmup = quick ? WARMUP_QUICK : WARMUP;
    swg__tfswa_opts opts = {.sample_rate = 44100, .hop = HOP, .stop = cli_signal_flag(), .progress = cli_bench_progress, .task.training = cli_flag(c, "training")};
    if (c->override_count)
        return cli_fail(c, SWG_EUSAGE, "bench tfswa: %s: takes options only", c->overrides[0]);
    if (c->positional_count != 1 || cli_flag(c, "each") || cli_flag(c, "compare-opts") || cli_value(c, "batch-sizes"))
        return cli_fail(c, SWG_EUSAGE, "bench tfswa: neither rows nor switches; of those a recipe has: swage bench tfswa/unet --compare-opts");
    SWG__TRY(read_net(c, &opts.task.net));
    SWG__TRY(read_shape(c, opts.task.net, opts.task.shape));
    SWG__TRY(read_peers(c, opts.peers));
    SWG__TRY(cli_integer(c, "iterations", 1, 1000, &iterations));
    SWG__TRY(cli_integer(c, "warmup", 0, 1000, &warmup));
    opts.iterations = (int)iterations;
    opts.warmup = (int)warmup;
    cli_signals_catch();
    cli_progress progress;
    cli_progress_open(&progress, 2);
    opts.user = &progress;
    swg__tfswa_bench bench;
    swg_status status = swg__tfswa_bench_run(c->ctx, &opts, &bench);
    cli_progress_close(&progress);
    if (status != SWG_OK)
        return status;
    swg__text text;
    swg__text_init(&text, c->ctx);
    swg__tfswa_table(&bench, cli_flag(c, "markdown"), &text);
    SWG__TRY(cli_bench_print(c, swg__tfswa_json(&bench), &text));
    return check_sides(c, &bench);
}
