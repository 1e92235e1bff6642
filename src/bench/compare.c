/* compare.c - rows of settings, each measured in a child process, turn by turn over the rounds.
 * In: a recipe. Out: times, memory and the first losses of every row, held against the baseline.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/compare.h"
#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "swage/profile.h"
#include "swage/train.h"
#include "train/trial.h"

/* ---- the switches: a row each. `off` together are the baseline ---- */

enum { CUMULATIVE = 1, ALONE = 2 };

typedef struct option_switch {
    const char *name, *off, *on;    /* off "": what the recipe says */
    double tolerance;               /* of the first losses, relative */
    int where;                      /* CUMULATIVE: a row of --compare-opts, and part of "all"; ALONE: a row of --each */
} option_switch;

static const option_switch switches[] = {
    {"bf16", "trainer.precision=32", "trainer.precision=bf16-mixed", 2e-2, CUMULATIVE | ALONE},
    {"channels-last", "performance.channels_last=false", "performance.channels_last=true", 1e-4, CUMULATIVE | ALONE},
    {"fusion", "performance.fusion=false", "performance.fusion=true", 1e-4, CUMULATIVE | ALONE},
    {"fused optimiser", "performance.fused_optimizer=false", "performance.fused_optimizer=true", 1e-4, CUMULATIVE | ALONE},
    {"reduce-overhead", "performance.mode=default", "performance.mode=reduce-overhead", 1e-4, CUMULATIVE | ALONE},
    {"autotune", "performance.mode=default", "performance.mode=max-autotune", 1e-4, CUMULATIVE | ALONE},
    {"loader threads", "data.workers=0", "data.workers=2", 0, CUMULATIVE | ALONE},
    {"oneDNN", "performance.provider=swage", "performance.provider=onednn", 1e-4, ALONE},
    {"checkpointing", "gradient_checkpointing=off", "gradient_checkpointing=blocks", 0, ALONE},
};
enum { SWITCHES = sizeof switches / sizeof *switches };

static size_t key_length(const char *setting) { return strcspn(setting, "="); }

/* Settings of a row: every switch on or off. Of two that are values of one key the last that is on holds. */
static void settings_of(swg__compare_row *row, const bool on[SWITCHES]) {
    size_t used = 0;
    row->settings[0] = 0;
    for (int i = 0; i < SWITCHES; i++) {
        const char *setting = on[i] ? switches[i].on : switches[i].off;
        bool overruled = !*setting;
        for (int j = 0; j < SWITCHES && !overruled; j++)
            overruled = j != i && on[j] && (!on[i] || j > i) && key_length(switches[j].on) == key_length(setting) &&
                        strncmp(switches[j].on, setting, key_length(setting)) == 0;
        if (!overruled)
            used += (size_t)snprintf(row->settings + used, sizeof row->settings - used, "%s%s", used ? " " : "", setting);
        row->tolerance = on[i] && switches[i].tolerance > row->tolerance ? switches[i].tolerance : row->tolerance;
    }
}

/* The recipe with the row's settings behind the user's own. */
static swg_status open_config(swg_context *ctx, const swg__compare_opts *opts, const swg__compare_row *row, swg_config **out) {
    enum { MOST = SWITCHES + 1 };
    char text[sizeof row->settings], *save = NULL;
    const char **all = swg__alloc(ctx, (size_t)(opts->config.override_count + MOST) * sizeof *all);
    *out = NULL;
    if (!all)
        return swg__fail_memory(ctx, (size_t)opts->config.override_count * sizeof *all, "settings");
    swg_config_opts config = opts->config;
    memcpy(text, row->settings, sizeof text);
    for (int64_t i = 0; i < config.override_count; i++)
        all[i] = config.overrides[i];
    for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save))
        all[config.override_count++] = word;
    config.overrides = all;
    swg_status status = swg_config_open(ctx, opts->recipe, &config, out);
    swg__free(ctx, all);
    return status;
}

/* Is the switch built? A row with it alone is opened; *absent says why not. */
static swg_status probe(swg__comparison *c, int i, swg__compare_row *absent) {
    bool on[SWITCHES] = {false};
    swg__compare_row row = {.batch = 0};
    swg_config *config;
    *absent = row;
    on[i] = true;
    settings_of(&row, on);
    swg_status status = open_config(c->ctx, &c->opts, &row, &config);
    swg_config_close(config);
    if (status == SWG_EUNSUPPORTED) {
        absent->absent = true;
        snprintf(absent->failure, sizeof absent->failure, "absent: %.300s", swg_context_message(c->ctx));
        status = SWG_OK;
    }
    return status;
}

static swg_status list_switches(swg__comparison *c) {
    bool each = c->opts.kind == SWG__COMPARE_EACH, on[SWITCHES] = {false}, all[SWITCHES] = {false};
    swg__compare_row *row = &c->rows[c->row_count++], *last = row;
    snprintf(row->name, sizeof row->name, "baseline");
    settings_of(row, on);
    for (int i = 0; i < SWITCHES; i++) {
        if (!(switches[i].where & (each ? ALONE : CUMULATIVE)))
            continue;
        row = &c->rows[c->row_count++];
        SWG__TRY(probe(c, i, row));
        snprintf(row->name, sizeof row->name, "%s%s", each ? "" : "+ ", switches[i].name);
        if (row->absent)
            continue;
        on[i] = true;
        all[i] = switches[i].where & CUMULATIVE;
        settings_of(row, on);
        on[i] = !each;
        last = row;
    }
    if (each) {
        row = &c->rows[c->row_count++];
        snprintf(row->name, sizeof row->name, "all");
        settings_of(row, all);
    } else if (last != c->rows) { /* the last one has all of them on */
        char name[sizeof row->name];
        snprintf(name, sizeof name, "%s", last->name);
        snprintf(last->name, sizeof last->name, "all (%.40s)", name);
    }
    return SWG_OK;
}

/* ---- one measurement, in a child ---- */

typedef struct side_answer {
    swg__times times;
    int64_t planned, measured, parameters, io_bytes, calls;
    double flop;
} side_answer;

typedef struct answer {
    swg_status status;
    bool synthetic;
    int64_t batch;
    side_answer sides[SWG__COMPARE_SIDES];
    double losses[SWG__COMPARE_LOSSES];
    char message[256];
} answer;

typedef struct timed_trial { swg__trial *trial; swg_status status; } timed_trial;

static void step(void *arg) {
    timed_trial *t = arg;
    if (t->status == SWG_OK)
        t->status = swg__trial_step(t->trial);
}

static int64_t parallel_calls(const swg_plan *plan) {
    int64_t calls = 0;
    int group = -1;
    for (int i = 0; i < swg_plan_steps(plan); i++) {
        swg_step_info info;
        swg_plan_step(plan, i, &info);
        calls += !info.frozen && info.tasks > 1 && (info.group < 0 || info.group != group);
        group = info.group;
    }
    return calls;
}

static swg_status measure_side(swg_context *ctx, swg_config *config, int side, bool quick, answer *a) {
    swg__trial t;
    side_answer *s = &a->sides[side];
    swg_status status = swg__trial_open(ctx, config, side == SWG__INFERENCE, &t);
    for (int i = 0; status == SWG_OK && i < SWG__COMPARE_LOSSES; i++) {
        status = swg__trial_step(&t);
        if (side == SWG__TRAINING && status == SWG_OK)
            a->losses[i] = swg__trial_loss(&t);
    }
    timed_trial timed = {.trial = &t, .status = status};
    if (status == SWG_OK)
        status = swg__measure(ctx, &(swg__side){.call = step, .arg = &timed}, 1, quick, &s->times, NULL);
    if (status == SWG_OK)
        status = timed.status;
    if (status == SWG_OK) {
        const swg_plan *plan = t.stage->plan;
        a->synthetic = t.synthetic;
        a->batch = t.run.recipe.batch;
        s->measured = swg_context_peak_rss_growth(ctx);
        s->planned = swg__trial_planned_bytes(&t);
        s->flop = (double)swg_plan_flops(plan);
        s->parameters = swg_graph_parameters(t.stage->graph.g);
        s->io_bytes = swg__run_batch_bytes(&t.run.recipe, a->batch);
        s->calls = parallel_calls(plan);
    }
    swg__trial_close(&t);
    malloc_trim(0);
    return status;
}

static void run_child(const swg__compare_opts *opts, const swg__compare_row *row, answer *a) {
    swg_context *ctx;
    swg_config *config = NULL;
    cpu_set_t cpus;
    swg__team team;
    sched_getaffinity(0, sizeof cpus, &cpus);
    a->status = swg_context_open(&(swg_context_opts){.threads = opts->threads}, &ctx);
    if (a->status != SWG_OK)
        return;
    swg__team_wrap(&team, ctx, &cpus);
    a->status = open_config(ctx, opts, row, &config);
    for (int side = 0; side < SWG__COMPARE_SIDES && a->status == SWG_OK; side++)
        a->status = measure_side(ctx, config, side, opts->quick, a);
    if (a->status != SWG_OK)
        snprintf(a->message, sizeof a->message, "%.255s", swg_context_message(ctx));
    swg_config_close(config);
    swg_context_close(ctx);
}

/* ---- rounds ---- */

typedef struct job { const swg__compare_opts *opts; const swg__compare_row *row; } job;

static void measure(const void *arg, void *answered) {
    const job *j = arg;
    run_child(j->opts, j->row, answered);
}

static void take_side(swg__comparison *c, swg__compare_side *side, int which, const side_answer *from, int round) {
    double parameters = (double)from->parameters, io = (double)from->io_bytes;
    bool trains = which == SWG__TRAINING;
    side->times[round] = from->times;
    side->planned_bytes = from->planned;
    side->measured_bytes = from->measured;
    side->flop = from->flop;
    /* Training: the update, and weights read once forward and once backward; inference: weights, input and output. */
    const swg__demand work = {.flop = from->flop, .bytes = trains ? 36 * parameters + io : 4 * parameters + 2 * io,
                              .working_set_bytes = trains ? (double)from->planned : 4 * parameters + 2 * io, .calls = (int)from->calls};
    side->floor_ns = swg__floor_of(&c->machine, &c->team, c->team.limits.f32[c->team.isa], &work, &side->floor_by);
}

static swg_status measure_row(swg__comparison *c, const cpu_set_t *cpus, swg__compare_row *row, int round) {
    answer a = {.status = SWG_EIO};
    bool heard;
    SWG__TRY(swg__child_run(c->ctx, cpus, measure, &(job){&c->opts, row}, &a, sizeof a, &heard));
    if (!heard || a.status != SWG_OK) {
        row->absent = heard && a.status == SWG_EUNSUPPORTED;
        snprintf(row->failure, sizeof row->failure, "%s%s", row->absent ? "absent: " : "",
                 heard ? a.message : "the measuring process ended early (out of memory?)");
        return SWG_OK;
    }
    row->batch = a.batch;
    c->synthetic = a.synthetic;
    memcpy(row->losses, a.losses, sizeof row->losses);
    for (int s = 0; s < SWG__COMPARE_SIDES; s++)
        take_side(c, &row->sides[s], s, &a.sides[s], round);
    return SWG_OK;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double rate(const swg__compare_row *row, int side, int round) { return (double)row->batch / row->sides[side].times[round].median_ns * 1e9; }

/* Medians over the rounds; gains round by round. */
static void sum_up(const swg__comparison *c, int at) {
    swg__compare_row *row = &c->rows[at];
    const swg__compare_row *base = &c->rows[0], *above = at ? &c->rows[at - 1] : base;
    while (above > base && *above->failure)
        above--;
    for (int s = 0; s < SWG__COMPARE_SIDES; s++) {
        swg__compare_side *side = &row->sides[s];
        double median[SWG__COMPARE_ROUNDS], gain[SWG__COMPARE_ROUNDS];
        side->min_ns = INFINITY;
        for (int r = 0; r < c->rounds; r++) {
            median[r] = side->times[r].median_ns;
            gain[r] = *base->failure ? NAN : rate(row, s, r) / rate(base, s, r);
            side->min_ns = fmin(side->min_ns, side->times[r].min_ns);
        }
        qsort(median, (size_t)c->rounds, sizeof *median, ascending);
        qsort(gain, (size_t)c->rounds, sizeof *gain, ascending);
        side->median_ns = median[c->rounds / 2];
        side->samples_per_s = (double)row->batch / side->median_ns * 1e9;
        side->gain = (swg__ratio){gain[c->rounds / 2], gain[0], gain[c->rounds - 1]};
        side->gain_above = *above->failure ? NAN : side->samples_per_s / above->sides[s].samples_per_s;
    }
}

/* Where a switch may round otherwise, means are compared: a step that amplifies a rounding is followed by one that takes it back. */
void swg__compare_losses(const swg__compare_row *base, swg__compare_row *row) {
    double gap = 0, most = 0, size = 0;
    for (int i = 0; i < SWG__COMPARE_LOSSES; i++) {
        double d = row->losses[i] - base->losses[i];
        gap += d;
        most = fmax(most, isfinite(d) ? fabs(d) : INFINITY);
        size += fabs(base->losses[i]);
    }
    row->loss_difference = row->tolerance > 0 ? fabs(gap) / size : most * SWG__COMPARE_LOSSES / size;
    if (most == 0 || !isfinite(most))
        row->loss_difference = most;
    if (!(row->loss_difference <= row->tolerance))
        snprintf(row->failure, sizeof row->failure, "the losses of the first %d steps differ by %.1e from the baseline's, at most %.0e allowed",
                 SWG__COMPARE_LOSSES, row->loss_difference, row->tolerance);
}

static swg_status run_rounds(swg__comparison *c, const cpu_set_t *cpus) {
    for (int round = 0; round < c->rounds; round++)
        for (int i = 0; i < c->row_count; i++) {
            char text[128];
            if (c->opts.stop && *c->opts.stop)
                return swg__fail(c->ctx, SWG_EINTERRUPTED, "bench: interrupted");
            if (*c->rows[i].failure)
                continue;
            snprintf(text, sizeof text, "round %d/%d, row %d/%d: %s", round + 1, c->rounds, i + 1, c->row_count, c->rows[i].name);
            if (c->opts.progress)
                c->opts.progress(c->opts.user, text);
            SWG__TRY(measure_row(c, cpus, &c->rows[i], round));
        }
    for (int i = 0; i < c->row_count; i++) {
        if (*c->rows[i].failure)
            continue;
        sum_up(c, i);
        if (c->opts.kind != SWG__COMPARE_BATCHES && !*c->rows[0].failure)
            swg__compare_losses(&c->rows[0], &c->rows[i]);
    }
    return SWG_OK;
}

/* ---- batch sizes ---- */

/* Stops at the first batch whose plan exceeds the memory there is: arithmetic, not an allocation that fails. */
static swg_status list_batches(swg__comparison *c) {
    c->budget_bytes = swg__available_bytes() / 10 * 9;
    for (int i = 0; i < c->opts.batch_count; i++) {
        swg__compare_row *row = &c->rows[c->row_count++];
        swg_config *config;
        swg_train_plan plan;
        row->batch = c->opts.batches[i];
        snprintf(row->name, sizeof row->name, "batch %lld", (long long)row->batch);
        snprintf(row->settings, sizeof row->settings, "data.batch_size=%lld", (long long)row->batch);
        SWG__TRY(open_config(c->ctx, &c->opts, row, &config));
        swg_status status = swg_train_plan_of(c->ctx, config, row->batch, &plan);
        swg_config_close(config);
        SWG__TRY(status);
        if (c->budget_bytes && plan.training.peak_bytes > c->budget_bytes) {
            snprintf(row->failure, sizeof row->failure, "not run: planned %.1f MiB, %.1f MiB are available; larger ones are left out",
                     (double)plan.training.peak_bytes * 0x1p-20, (double)c->budget_bytes * 0x1p-20);
            break;
        }
    }
    return SWG_OK;
}

static void find_best(swg__comparison *c) {
    double most = 0;
    c->best = -1;
    for (int i = 0; i < c->row_count; i++)
        if (!*c->rows[i].failure)
            most = fmax(most, c->rows[i].sides[SWG__TRAINING].samples_per_s);
    for (int i = 0; i < c->row_count; i++)
        if (!*c->rows[i].failure && c->rows[i].sides[SWG__TRAINING].samples_per_s >= .95 * most &&
            (c->best < 0 || c->rows[i].batch < c->rows[c->best].batch))
            c->best = i;
}

/* ---- a run ---- */

/* Wrong settings are told once, before anything is measured. */
static swg_status check_config(swg__comparison *c) {
    swg_config *config;
    swg__recipe recipe;
    for (int i = 0; i < c->row_count; i++) {
        if (c->rows[i].absent)
            continue;
        SWG__TRY(open_config(c->ctx, &c->opts, &c->rows[i], &config));
        swg_status status = swg__recipe_read(c->ctx, config, &recipe);
        swg_config_close(config);
        SWG__TRY(status);
    }
    return SWG_OK;
}

swg_status swg__compare_run(swg_context *ctx, const swg__compare_opts *opts, swg__comparison *c) {
    cpu_set_t cpus;
    *c = (swg__comparison){.ctx = ctx, .opts = *opts, .rounds = opts->quick ? 1 : SWG__COMPARE_ROUNDS, .best = -1};
    swg__machine_look(&c->machine);
    if (sched_getaffinity(0, sizeof cpus, &cpus) != 0)
        return swg__fail(ctx, SWG_EIO, "bench: cannot read the affinity mask");
    c->opts.threads = ctx->threads;
    c->rows = swg__calloc(ctx, SWG__COMPARE_ROWS, sizeof *c->rows);
    if (!c->rows)
        return swg__fail_memory(ctx, SWG__COMPARE_ROWS * sizeof *c->rows, "rows");
    if (opts->kind == SWG__COMPARE_BATCHES)
        SWG__TRY(list_batches(c));
    else
        SWG__TRY(list_switches(c));
    SWG__TRY(check_config(c));
    swg__team_wrap(&c->team, ctx, &cpus);
    int64_t bytes = swg__peaks_bytes(&c->machine, c->team.threads);
    float *spare = swg__calloc(ctx, (size_t)bytes, 1);
    if (!spare)
        return swg__fail_memory(ctx, (size_t)bytes, "measuring memory bandwidth");
    swg__peaks_measure(&c->team, &c->machine, spare, bytes);
    swg__free(ctx, spare);
    SWG__TRY(run_rounds(c, &cpus));
    find_best(c);
    c->machine.load_after = swg__machine_load();
    return SWG_OK;
}

void swg__compare_free(swg__comparison *c) {
    swg__free(c->ctx, c->rows);
    c->rows = NULL;
}
