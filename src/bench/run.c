/* run.c - the list of workloads, and a whole run: machine, limits, rows, peers, floors.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "bench/bench.h"
#include "bench/conv.h"
#include "bench/layers.h"
#include "kernel/isa.h"
#include "provider/provider.h"

enum { MOST_WORKLOADS = 128 + SWG__BENCH_LAYERS };

/* ---- the list: products of the networks, convolutions, the networks, their training, the update, memory ---- */

static const int64_t products[][2] = {{125, 512}, {512, 256}, {256, 16}, {16, 256}, {256, 512}, {512, 125}, {512, 16}, {16, 512}};
static const int64_t batches[] = {1, 16, 256, 4096};
static const struct { const char *model, *name; } models[] = {{"swae/mlp", "mlp1"}, {"swae/mlp-deep", "mlp"}};
/* Networks whose training step has a row. */
static const struct { const char *model, *name; } trained[] = {
    {"swae/mlp", "mlp1"}, {"swae/mlp-deep", "mlp"}, {"swae/conv", "conv"}, {"swae/conv-opt", "conv-opt"}, {"swae/conv7", "conv7"}};
/* Batches whose plans take more than 64 MiB or close to it, of every kind of network. */
static const struct { const char *model, *name; int64_t train, infer; } memories[] = {
    {"swae/mlp", "mlp1", 4096, 65536}, {"swae/mlp-deep", "mlp", 4096, 65536}, {"swae/gmlp", "gmlp", 4096, 16384}, {"swae/conv-opt", "conv-opt", 512, 2048}};
enum { PRODUCT_BATCH = 4096, TRAIN_BATCH = 256, UNET_EXTENT = 64 };
static const struct { const char *model, *name, *policy; } recomputed[] = {
    {"unet3d", "off", "off"}, {"unet3d", "default", "none"}, {"unet3d", "blocks", "blocks"}, {"unet3d", "budget90", "budget:90%"}, {"unet3d", "budget75", "budget:75%"},
    {"dynunet", "off", "off"}, {"dynunet", "default", "none"}, {"dynunet", "blocks", "blocks"}, {"dynunet", "segments3", "segments:3"}};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The rows from `first` to `end` once more, in bf16, behind them. Returns how many. */
static int in_bf16(swg__workload *out, int first, int end) {
    for (int i = first; i < end; i++) {
        swg__workload *w = &out[end + i - first];
        *w = out[i];
        w->bf16 = true;
        snprintf(w->id + strlen(w->id), sizeof w->id - strlen(w->id), "-bf16");
    }
    return end - first;
}

static int list(swg__workload *out) {
    int count = 0;
    for (size_t i = 0; i < COUNT(products); i++) {
        swg__workload *w = &out[count++];
        *w = (swg__workload){.kind = SWG__WORK_MATMUL, .batch = PRODUCT_BATCH, .k = products[i][0], .n = products[i][1]};
        snprintf(w->id, sizeof w->id, "matmul-%dx%lldx%lld", PRODUCT_BATCH, (long long)w->k, (long long)w->n);
    }
    count += swg__bench_conv_list(out + count);
    count += in_bf16(out, 0, count);
    count += swg__bench_layer_list(out + count);
    int first = count;
    for (size_t m = 0; m < COUNT(models); m++)
        for (size_t i = 0; i < COUNT(batches); i++) {
            swg__workload *w = &out[count++];
            *w = (swg__workload){.kind = SWG__WORK_INFER, .model = models[m].model, .batch = batches[i]};
            snprintf(w->id, sizeof w->id, "%s-b%lld", models[m].name, (long long)batches[i]);
        }
    for (size_t m = 0; m < COUNT(trained); m++) {
        swg__workload *w = &out[count++];
        *w = (swg__workload){.kind = SWG__WORK_TRAIN, .model = trained[m].model, .batch = TRAIN_BATCH};
        snprintf(w->id, sizeof w->id, "%s-train-b%d", trained[m].name, TRAIN_BATCH);
    }
    count += in_bf16(out, first, count);
    out[count++] = (swg__workload){.id = "pool-busy", .kind = SWG__WORK_BUSY, .model = "swae/mlp-deep", .batch = TRAIN_BATCH};
    out[count++] = (swg__workload){.id = "adamw-400013", .kind = SWG__WORK_ADAMW, .model = "swae/mlp-deep", .batch = 1};
    for (size_t m = 0; m < COUNT(memories); m++) {
        swg__workload *train = &out[count++], *infer = &out[count++];
        *train = (swg__workload){.kind = SWG__WORK_MEMORY_TRAIN, .model = memories[m].model, .batch = memories[m].train};
        *infer = (swg__workload){.kind = SWG__WORK_MEMORY_INFER, .model = memories[m].model, .batch = memories[m].infer};
        snprintf(train->id, sizeof train->id, "memory-%s-train-b%lld", memories[m].name, (long long)train->batch);
        snprintf(infer->id, sizeof infer->id, "memory-%s-b%lld", memories[m].name, (long long)infer->batch);
    }
    for (size_t i = 0; i < COUNT(recomputed); i++) {
        swg__workload *w = &out[count++];
        *w = (swg__workload){.kind = SWG__WORK_MEMORY_TRAIN, .model = recomputed[i].model, .batch = 1, .k = UNET_EXTENT, .recompute = recomputed[i].policy};
        snprintf(w->id, sizeof w->id, "recompute-%s-%s", recomputed[i].model, recomputed[i].name);
    }
    return count;
}

void swg__bench_list(void (*each)(void *user, const char *id), void *user) {
    swg__workload all[MOST_WORKLOADS];
    int count = list(all);
    for (int i = 0; i < count; i++)
        each(user, all[i].id);
}

static bool wanted(const swg__bench_opts *opts, const char *id) {
    bool found = opts->pattern_count == 0;
    for (int i = 0; i < opts->pattern_count; i++)
        found = found || swg__glob(opts->patterns[i], id);
    return found;
}

static swg_status list_rows(swg__bench *b) {
    swg__workload all[MOST_WORKLOADS];
    int count = list(all);
    b->rows = swg__calloc(b->ctx, (size_t)count * 2, sizeof *b->rows);
    if (!b->rows)
        return swg__fail_memory(b->ctx, (size_t)count * 2 * sizeof *b->rows, "rows");
    for (int i = 0; i < count; i++) {
        bool once = all[i].kind == SWG__WORK_MEMORY_TRAIN || all[i].kind == SWG__WORK_MEMORY_INFER || all[i].kind == SWG__WORK_BUSY;
        for (int t = once ? b->team_count - 1 : 0; t < b->team_count && wanted(&b->opts, all[i].id); t++)
            b->rows[b->row_count++] = (swg__row){.work = all[i], .threads = b->teams[t].threads, .measured_bytes = -1, .allocations = -1};
    }
    if (b->row_count == 0) {
        const char *names[MOST_WORKLOADS];
        char near[96];
        for (int i = 0; i < count; i++)
            names[i] = all[i].id;
        return swg__fail(b->ctx, SWG_EUSAGE, "bench: no row is called \"%s\"; `swage bench --list` shows them%s", b->opts.patterns[0],
                         swg__did_you_mean(b->opts.patterns[0], names, (size_t)count, near, sizeof near));
    }
    return SWG_OK;
}

/* ---- floors ---- */

static void find_floor(const swg__bench *b, const swg__team *team, swg__row *row) {
    /* Peaks only fall when others use the machine: the better of the two ends of the run is the truer one. */
    double gain = fmax(1, b->peak_end / b->peak_start);
    const swg__demand work = {.flop = row->flop, .bytes = row->bytes, .working_set_bytes = row->working_set_bytes, .updates = row->updates,
                              .calls = row->parallel_calls};
    double peak = row->work.bf16 && team->limits.bf16 > 0 ? team->limits.bf16 : team->limits.f32[team->isa];
    row->floor_ns = swg__floor_of(&b->machine, team, peak * gain, &work, &row->floor_by);
}

/* ---- a run ---- */

static swg_status measure_limits(swg__bench *b) {
    int64_t bytes = 0;
    for (int t = 0; t < b->team_count; t++) {
        int64_t need = swg__peaks_bytes(&b->machine, b->teams[t].threads);
        bytes = need > bytes ? need : bytes;
    }
    float *spare = swg__calloc(b->ctx, (size_t)bytes, 1);
    if (!spare)
        return swg__fail_memory(b->ctx, (size_t)bytes, "measuring memory bandwidth");
    for (int t = 0; t < b->team_count; t++)
        swg__peaks_measure(&b->teams[t], &b->machine, spare, bytes);
    swg__free(b->ctx, spare);
    b->peak_start = b->teams[0].limits.f32[b->teams[0].isa];
    return SWG_OK;
}

static double moved(double a, double b) { return fabs(a / b - 1); }

/* One row between two looks at the peak. Repeated once if the machine changed its pace by more than 15 %. */
static swg_status run_row(swg__bench *b, swg__row *row) {
    const swg__row fresh = *row;
    swg__team *team = &b->teams[row->threads > 1 && b->team_count > 1 ? 1 : 0];
    for (int attempt = 0; attempt < 2; attempt++) {
        *row = fresh;
        double before = swg__peaks_probe(&b->teams[0]);
        bool memory = row->work.kind == SWG__WORK_MEMORY_TRAIN || row->work.kind == SWG__WORK_MEMORY_INFER;
        swg_status status = memory                               ? swg__bench_memory(b, row)
                            : row->work.kind == SWG__WORK_BUSY  ? swg__bench_busy(b, row)
                            : row->work.kind == SWG__WORK_CONV  ? swg__bench_conv(b, team, row)
                            : row->work.kind == SWG__WORK_LAYER ? swg__bench_layer(b, team, row)
                                                                : swg__bench_time(b, team, row);
        if (status == SWG_ENOMEM)
            return swg__fail(b->ctx, status, "%s: %s", row->work.id, row->failure);
        double after = swg__peaks_probe(&b->teams[0]);
        row->noisy = moved(after, before) > .05 || row->times.spread > .3;
        if (memory || moved(after, before) <= .15)
            break;
    }
    return SWG_OK;
}

static swg_status run_rows(swg__bench *b) {
    for (int i = 0; i < b->row_count; i++) {
        if (b->opts.stop && *b->opts.stop)
            return swg__fail(b->ctx, SWG_EINTERRUPTED, "bench: interrupted");
        char text[96];
        snprintf(text, sizeof text, "%d/%d %s, %d thread%s", i + 1, b->row_count, b->rows[i].work.id, b->rows[i].threads,
                 b->rows[i].threads > 1 ? "s" : "");
        if (b->opts.progress)
            b->opts.progress(b->opts.user, text);
        SWG__TRY(run_row(b, &b->rows[i]));
        if (b->rows[i].measured_bytes < 0 && b->rows[i].work.kind != SWG__WORK_BUSY)
            swg__peers_row(b, b->rows[i].threads > 1 && b->team_count > 1, &b->rows[i]);
    }
    return SWG_OK;
}

static void find_onednn(swg__bench *b) {
    char version[48];
    b->peers[0] = (swg__peer){.name = "oneDNN", .version = "absent", .options = "C API; primitives once, weights in its own format; OpenMP"};
    if (swg__provider_version(version, sizeof version))
        snprintf(b->peers[0].version, sizeof b->peers[0].version, "%s", version + strlen("oneDNN "));
}

static swg_status open_teams(swg__bench *b) {
    int threads = b->opts.threads > 0 ? b->opts.threads : b->machine.allowed;
    b->team_count = threads > 1 ? 2 : 1;
    for (int t = 0; t < b->team_count; t++) {
        swg_status status = swg__team_open(&b->teams[t], t ? threads : 1, &b->cpus);
        if (status != SWG_OK)
            return swg__fail(b->ctx, status, "bench: cannot open a context with %d threads", t ? threads : 1);
    }
    return SWG_OK;
}

static swg_status run(swg__bench *b) {
    SWG__TRY(open_teams(b));
    SWG__TRY(list_rows(b));
    if (b->opts.progress)
        b->opts.progress(b->opts.user, b->opts.against ? "starting peers" : "peaks of this machine");
    SWG__TRY(swg__peers_open(b));
    SWG__TRY(measure_limits(b));
    SWG__TRY(run_rows(b));
    b->peak_end = swg__peaks_probe(&b->teams[0]);
    for (int i = 0; i < b->row_count; i++) {
        swg__row *row = &b->rows[i];
        row->noisy = row->noisy || moved(b->peak_end, b->peak_start) > .05;
        if (!*row->failure)
            find_floor(b, &b->teams[row->threads > 1 && b->team_count > 1 ? 1 : 0], row);
    }
    b->machine.load_after = swg__machine_load();
    return SWG_OK;
}

swg_status swg__bench_run(swg_context *ctx, const swg__bench_opts *opts, swg__bench *b) {
    *b = (swg__bench){.ctx = ctx, .opts = *opts};
    if (sched_getaffinity(0, sizeof b->cpus, &b->cpus) != 0)
        return swg__fail(ctx, SWG_EIO, "bench: cannot read the affinity mask");
    swg__machine_look(&b->machine);
    find_onednn(b);
    swg_status status = run(b);
    swg__peers_close(b);
    sched_setaffinity(0, sizeof b->cpus, &b->cpus);
    for (int t = 0; t < b->team_count; t++) /* the limits stay for the report */
        swg__team_close(&b->teams[t]);
    return status;
}

void swg__bench_free(swg__bench *b) {
    swg__free(b->ctx, b->rows);
    b->rows = NULL;
    b->row_count = 0;
}
