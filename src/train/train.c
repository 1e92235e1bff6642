/* train.c - the training loop: batches in a fixed order, one planned step each, validation, checkpoints, log, resume.
 * In: a configuration. Out: a run folder. Every number but times is a function of the configuration alone.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/profiling.h"
#include "train/record.h"
#include <math.h>
#include <string.h>
#include "philox.h"

enum { SKIPS_MOST = 10 };
/* Validation draws its directions and prior from a seed of its own, so that epochs compare. */
static const uint64_t validation_seed = 0x76616c6964617465u;

static bool asked_to_stop(const swg__run *r) { return r->hooks && r->hooks->stop && *r->hooks->stop; }

/* ---- steps ---- */

static float scalar_of(swg_plan *plan, swg_value v) { return *(const float *)swg_plan_data(plan, v); }

/* Batches first, first + 1, ... of these samples come next. */
static void begin_feed(swg__run *r, const int64_t *indices, int64_t count, int64_t first, bool training) {
    swg__loader_stop(r->loader);
    r->feed.draw = (swg__draw){.training = training, .seed = r->recipe.seed, .epoch = r->state.epoch, .epochs = r->recipe.max_epochs};
    r->feed.indices = indices;
    r->feed.count = count;
    swg__loader_begin(r->loader, first, swg__run_batches(r, count));
}

/* The next batch, of `count` samples, into a plan's inputs, and what the family sets beside it. */
static swg_status next_batch(swg__run *r, swg__stage *s, int64_t count) {
    int64_t before = swg__now_ns();
    swg_status status = swg__run_next(r, s, count);
    swg__run_control(r, s, &r->feed.draw);
    r->data_ns += swg__now_ns() - before;
    return status;
}

/* "; first NaN in encoder/fc1 (linear, backward), 12 of 64 values" */
static void describe_anomaly(const swg__run *r, char *out, size_t capacity) {
    const swg_anomaly_at *const both[2] = {&r->anomaly.nan, &r->anomaly.infinite};
    static const char *const names[2] = {"NaN", "infinity"};
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < 2; i++)
        if (both[i]->found && used < capacity)
            used += (size_t)snprintf(out + used, capacity - used, "; first %s in %s (%s, %s), %lld of %lld values", names[i],
                                     *both[i]->scope ? both[i]->scope : "the top level", both[i]->op, both[i]->backward ? "backward" : "forward",
                                     (long long)both[i]->bad, (long long)both[i]->elements);
    if (!r->recipe.detect_anomaly)
        snprintf(out, capacity, "; trainer.detect_anomaly=true names the layer");
}

static swg_status bad_step(swg__run *r, int64_t batch, double last_finite) {
    char where[400];
    describe_anomaly(r, where, sizeof where);
    r->state.skipped++;
    r->state.skipped_in_row++;
    if (!r->recipe.skip_nonfinite || (r->recipe.check_finite && r->state.skipped_in_row >= SKIPS_MOST))
        return swg__fail(r->ctx, SWG_ENONFINITE,
                         "epoch %lld, batch %lld: loss %g, gradient norm %g (last finite loss %g); %lld steps skipped%s. A smaller "
                         "optimizer.lr or loss.lambda may help; trainer.nonfinite=skip drops such batches",
                         (long long)r->state.epoch, (long long)batch, r->step_loss, r->state.last_norm, last_finite, (long long)r->state.skipped, where);
    return SWG_OK;
}

typedef swg__losses losses;

static int64_t batch_size(const swg__run *r, int64_t samples, int64_t batch) {
    int64_t left = samples - batch * r->recipe.batch;
    return left < r->recipe.batch ? left : r->recipe.batch;
}

/* What a micro-batch counts: by its size, a full one being 1, or every one the same. */
static double weight_of(const swg__run *r, int64_t count) {
    return r->recipe.accumulate_by_batches ? 1 : (double)count / (double)r->recipe.batch;
}

/* Adds the losses of a stage that has run, weighted by samples. */
static void add_losses(losses *sum, const swg__stage *s, int64_t count) {
    sum->loss += (double)scalar_of(s->plan, s->graph.loss) * (double)count;
    for (int i = 0; i < s->graph.terms; i++)
        sum->term[i] += (double)scalar_of(s->plan, s->graph.term[i]) * (double)count;
}

/* Mean over `samples`. */
static losses mean_of(losses sum, int64_t samples) {
    double total = samples ? (double)samples : NAN;
    sum.loss /= total;
    for (int i = 0; i < SWG__STEP_TERMS; i++)
        sum.term[i] /= total;
    return sum;
}

static losses epoch_losses(const swg__run *r) {
    losses sum = {.loss = r->state.loss_sum};
    memcpy(sum.term, r->state.term_sum, sizeof sum.term);
    return mean_of(sum, r->state.loss_samples);
}

static void show(const swg__run *r, double loss, bool epoch_end) {
    if (!r->hooks || !r->hooks->progress)
        return;
    int64_t count = swg__run_used(r), batch = r->recipe.batch;
    double elapsed = (double)(swg__now_ns() - r->epoch_ns) * 1e-9;
    const swg__step_graph *graph = &(r->train.plan ? &r->train : &r->train_rest)->graph;
    const losses means = epoch_losses(r);
    char detail[160] = "";
    for (int i = 0; i < graph->terms; i++)
        if (graph->term_shown[i])
            snprintf(detail + strlen(detail), sizeof detail - strlen(detail), "%s%s %.4g", *detail ? "  " : "", graph->term_name[i], means.term[i]);
    r->hooks->progress(r->hooks->user, &(swg_train_progress){
        .run_dir = r->dir, .epoch = r->state.epoch, .epochs = r->recipe.max_epochs, .batch = r->state.batch,
        .batches = (count + batch - 1) / batch, .step = r->state.step, .loss = loss,
        .val_loss = r->state.best_epoch >= 0 ? r->state.best_loss : NAN, .lr = r->state.last_lr,
        .samples_per_s = elapsed > 0 ? (double)r->epoch_samples / elapsed : 0, .samples = r->recipe.family->samples,
        .data_share = elapsed > 0 ? (double)r->data_ns * 1e-9 / elapsed : 0, .seconds = swg__run_seconds(r),
        .memory_bytes = r->planned_bytes, .detail = detail, .epoch_end = epoch_end});
}

/* Runs micro-batch i of a group; the last one updates. Its losses are added to *sum, weighted by blocks. */
static swg_status micro_batch(swg__run *r, int64_t i, int64_t group, int64_t count, const float *hyper, losses *sum) {
    swg__stage *s = count == r->recipe.batch ? &r->train : &r->train_rest;
    float *rows = swg_plan_data(s->plan, s->graph.hyper);
    memcpy(rows, hyper, (size_t)swg_elements(s->graph.g, s->graph.hyper) * sizeof *rows);
    swg_hyper_micro(i == 0, i == group - 1, weight_of(r, count), SWG_F32, rows);
    swg__run_profile_begin(r, s);
    SWG__TRY(next_batch(r, s, count));
    swg__run_profile_ready(r);
    SWG__TRY(swg_plan_run(s->plan, r->recipe.seed, (uint32_t)(r->state.step * r->recipe.accumulate + i)));
    swg__run_profile_end(r);
    add_losses(sum, s, count);
    if (i == group - 1)
        r->state.last_norm = (double)scalar_of(s->plan, s->graph.norm);
    return SWG_OK;
}

/* One optimiser step: the group of micro-batches that begins with batch r->state.batch of the epoch. *done: how many they were. The last
 * group of an epoch may be smaller. */
static swg_status step(swg__run *r, int64_t *done) {
    int64_t n = swg__run_used(r), first = r->state.batch, left = swg__run_batches(r, n) - first;
    int64_t group = left < r->recipe.accumulate ? left : r->recipe.accumulate, blocks = 0;
    double last_finite = r->step_loss, b1 = r->state.b1_power, b2 = r->state.b2_power, weight = 0;
    float hyper[(SWG__PARAMETER_GROUPS + 1) * SWG_HYPER_COUNT];
    losses sum = {0};
    r->anomaly = (swg_anomaly){0};
    for (int64_t i = 0; i < group; i++) {
        int64_t count = batch_size(r, n, first + i);
        blocks += count;
        weight += r->recipe.accumulate > 1 ? weight_of(r, count) : 1; /* without accumulation a short batch is as good as any */
    }
    const swg__optimiser *optimiser = &r->recipe.optimiser;
    int64_t counted = r->recipe.schedule_by_step ? r->state.step : r->state.epoch;
    double momentum = optimiser->update.kind == SWG_UPDATE_SGD ? optimiser->momentum : optimiser->adam.beta1;
    r->state.last_lr = swg__schedule_lr(&r->recipe.schedule, &r->state.plateau, counted);
    swg__optimiser_fill(optimiser, r->state.last_lr, swg__schedule_momentum(&r->recipe.schedule, momentum, counted), 1 / weight, &b1, &b2, SWG_F32, hyper);
    for (*done = 0; *done < group;) {
        SWG__TRY(micro_batch(r, *done, group, batch_size(r, n, first + *done), hyper, &sum));
        ++*done;
        r->step_loss = sum.loss / (double)blocks;
        if (!isfinite(sum.loss) && !r->recipe.skip_nonfinite)
            break;
        if (!isfinite(sum.loss)) /* of an earlier micro-batch: the norm becomes NaN, and the group is skipped whole */
            hyper[SWG_HYPER_GRAD_SCALE] = NAN;
    }
    if (*done < group)
        r->state.last_norm = NAN; /* it never came to the norm */
    r->epoch_samples += blocks;
    r->epoch_steps++;
    if (!isfinite(r->step_loss) || !isfinite(r->state.last_norm)) /* the update left everything as it was */
        return bad_step(r, first + *done - 1, last_finite);
    r->state.skipped_in_row = 0;
    r->state.b1_power = b1;
    r->state.b2_power = b2;
    r->state.step++;
    r->state.loss_sum += sum.loss;
    for (int i = 0; i < SWG__STEP_TERMS; i++)
        r->state.term_sum[i] += sum.term[i];
    r->state.loss_samples += blocks;
    if (r->average)
        SWG__TRY(swg_weights_blend(r->average, r->weights, 1 - swg__optimiser_average_momentum(optimiser, r->state.epoch, r->recipe.max_epochs)));
    const swg__stage *last = batch_size(r, n, first + group - 1) == r->recipe.batch ? &r->train : &r->train_rest;
    return r->recipe.family->step_end ? r->recipe.family->step_end(r, last->plan, &last->graph) : SWG_OK;
}

/* Losses of the validation part; with `judge`, also the family's figures. */
static swg_status validate(swg__run *r, losses *out, void *judge) {
    const swg_split *split = r->data.split;
    int64_t n = swg__run_validated(r);
    *out = (losses){0};
    begin_feed(r, split->indices[SWG_VAL], n, 0, false);
    for (int64_t first = 0, batch = 0; first < n; first += r->recipe.batch, batch++) {
        int64_t count = batch_size(r, n, batch);
        swg__stage *s = count == r->recipe.batch ? &r->val : &r->val_rest;
        SWG__TRY(next_batch(r, s, count));
        SWG__TRY(swg_plan_run(s->plan, validation_seed, (uint32_t)batch));
        add_losses(out, s, count);
        if (judge)
            SWG__TRY(r->recipe.family->judge_add(r, judge, s->plan, &s->graph, split->indices[SWG_VAL] + first, count));
    }
    *out = mean_of(*out, n);
    return SWG_OK;
}

static swg_status log_losses(swg__run *r, const char *phase, losses l, bool training) {
    swg__run_log_begin(&r->log, phase);
    swg__run_log_integer(&r->log, "epoch", r->state.epoch);
    swg__run_log_integer(&r->log, "step", r->state.step);
    swg__run_log_number(&r->log, "loss", l.loss);
    const swg__step_graph *graph = &(r->train.plan ? &r->train : &r->train_rest)->graph;
    for (int i = 0; i < graph->terms; i++)
        swg__run_log_number(&r->log, graph->term_name[i], l.term[i]);
    if (training) {
        double elapsed = (double)(swg__now_ns() - r->epoch_ns) * 1e-9;
        swg__run_log_number(&r->log, "lr", r->state.last_lr);
        swg__run_log_number(&r->log, "grad_norm", r->state.last_norm);
        swg__run_log_integer(&r->log, "skipped", r->state.skipped);
        swg__run_log_number(&r->log, "samples_per_s", elapsed > 0 ? (double)r->epoch_samples / elapsed : 0);
        swg__run_log_number(&r->log, "data_ms", (double)r->data_ns * 1e-6 / (double)(r->epoch_steps ? r->epoch_steps : 1));
        swg__run_log_number(&r->log, "seconds", swg__run_seconds(r));
    }
    return swg__run_log_end(&r->log);
}

/* Validation losses, and every trainer.eval_every epochs (*evaluated) the figures of the reconstruction itself. */
static swg_status validate_and_log(swg__run *r, losses *val, bool *evaluated, double figures[SWG__FIGURES]) {
    const swg__family *family = r->recipe.family;
    bool quality = *evaluated = (r->state.epoch + 1) % r->recipe.eval_every == 0;
    void *judge = NULL;
    swg_status status = quality ? family->judge_open(r, &judge) : SWG_OK;
    if (status == SWG_OK)
        status = validate(r, val, judge);
    if (status == SWG_OK)
        status = log_losses(r, "val", *val, false);
    if (!quality)
        return status;
    family->judge_end(r, judge, status, figures);
    SWG__TRY(status);
    swg__run_log_begin(&r->log, "quality");
    swg__run_log_integer(&r->log, "epoch", r->state.epoch);
    for (int i = 0; i < SWG__FIGURES && family->figures[i]; i++)
        swg__run_log_number(&r->log, family->figures[i], figures[i]);
    return swg__run_log_end(&r->log);
}

/* ---- epochs ---- */

static swg_status interrupted(swg__run *r) {
    SWG__TRY(swg__run_save(r, "last"));
    return swg__fail(r->ctx, SWG_EINTERRUPTED, "stopped in epoch %lld after batch %lld; saved. Go on with resume=auto run.dir=... run.name=... "
                     "(run folder %s)", (long long)r->state.epoch, (long long)r->state.batch, r->dir);
}

static bool steps_done(const swg__run *r) { return r->recipe.max_steps && r->state.step >= r->recipe.max_steps; }

/* Pictures are good to have, but their failure is none of the run. */
static swg_status draw(swg__run *r) {
    if (!r->recipe.pictures || !r->recipe.family->pictures)
        return SWG_OK;
    if (r->recipe.family->pictures(r) != SWG_OK)
        swg__run_note(r, "no pictures of samples: %s", swg_context_message(r->ctx));
    else
        SWG__TRY(swg__record_pictures(r));
    return SWG_OK;
}

/* After the last batch: means, validation, best, checkpoints. *stop: no further epoch. */
static swg_status finish_epoch(swg__run *r, bool *stop) {
    losses train = epoch_losses(r), val = {.loss = NAN};
    double figures[SWG__FIGURES];
    const int64_t done = r->state.epoch + 1;
    const bool judged = done % r->recipe.validate_every == 0 || done >= r->recipe.max_epochs || steps_done(r);
    const bool validated = judged && r->data.split->count[SWG_VAL]; /* else the best is the one of the lowest training loss */
    bool evaluated = false, improved = false;
    swg__record_speed(r);
    SWG__TRY(log_losses(r, "train", train, true));
    if (validated)
        SWG__TRY(validate_and_log(r, &val, &evaluated, figures));
    SWG__TRY(swg__record_epoch(r, &train, validated ? &val : NULL, evaluated ? figures : NULL));
    if (r->recipe.check_finite && validated && isnan(val.loss))
        return swg__fail(r->ctx, SWG_ENONFINITE, "epoch %lld: the validation loss is NaN", (long long)r->state.epoch);
    const double loss = validated ? val.loss : train.loss;
    *stop = judged && swg__early_stop_check(&r->early, loss, &improved) && done >= r->recipe.min_epochs;
    if (judged && r->recipe.schedule.kind == SWG__LR_PLATEAU && swg__plateau_check(&r->recipe.schedule, &r->state.plateau, loss))
        swg__run_note(r, "plateau: learning rate %g from epoch %lld on", r->state.plateau.lr, (long long)r->state.epoch + 1);
    if (improved) {
        r->state.best_epoch = r->state.epoch;
        r->state.best_loss = loss;
    }
    r->state.last_loss = train.loss;
    show(r, train.loss, true);
    r->state.epoch++;
    r->state.batch = 0;
    r->state.loss_sum = 0;
    memset(r->state.term_sum, 0, sizeof r->state.term_sum);
    r->state.loss_samples = 0;
    if (improved && r->recipe.save_top)
        SWG__TRY(swg__run_save(r, "best"));
    SWG__TRY(swg__record_top(r, judged ? loss : NAN));
    if (r->state.epoch % r->recipe.keep_every == 0) {
        char name[32];
        snprintf(name, sizeof name, "epoch-%04lld", (long long)r->state.epoch);
        SWG__TRY(swg__run_save(r, name));
    }
    if (*stop)
        swg__run_note(r, "early stop: no better validation loss for %lld epochs", (long long)r->early.patience);
    r->result->early_stop = *stop;
    SWG__TRY(swg__run_save(r, "last"));
    if (r->recipe.pictures_every && r->state.epoch % r->recipe.pictures_every == 0 && r->state.epoch < r->recipe.max_epochs && !*stop)
        SWG__TRY(draw(r));
    return swg__record_tidy(r);
}

static swg_status epochs(swg__run *r) {
    const swg_split *split = r->data.split;
    int64_t n = split->count[SWG_TRAIN], used = swg__run_used(r), batches = swg__run_batches(r, used), done;
    bool stop = r->early.enabled && r->early.bad >= r->early.patience && r->state.epoch >= r->recipe.min_epochs;
    r->step_loss = NAN;
    /* An epoch that was left in its middle is finished even if the steps are done: a run that was not stopped does so, too. */
    while (r->state.epoch < r->recipe.max_epochs && !stop && (!steps_done(r) || r->state.batch)) {
        swg__loader_stop(r->loader); /* nobody reads the order while it changes */
        swg__shuffle(r->recipe.seed, (uint32_t)r->state.epoch, r->order, n);
        for (int64_t i = 0; i < n; i++) /* ranks in the training part -> samples */
            r->order[i] = split->indices[SWG_TRAIN][r->order[i]];
        r->epoch_ns = swg__now_ns();
        r->epoch_samples = r->epoch_steps = r->data_ns = 0;
        begin_feed(r, r->order, used, r->state.batch, true);
        while (r->state.batch < batches && !steps_done(r)) {
            SWG__TRY(step(r, &done));
            r->state.batch += done;
            if (r->state.step % r->recipe.log_every == 0) {
                losses so_far = epoch_losses(r);
                so_far.loss = r->step_loss;
                SWG__TRY(log_losses(r, "step", so_far, true));
            }
            show(r, r->step_loss, false);
            if (asked_to_stop(r))
                return interrupted(r);
        }
        SWG__TRY(finish_epoch(r, &stop));
    }
    return SWG_OK;
}

static void fill_result(swg__run *r) {
    swg_train_result *out = r->result;
    swg__run_checkpoint(r, "best", out->best, sizeof out->best);
    swg__run_checkpoint(r, "last", out->last, sizeof out->last);
    if (!swg__exists(out->best))
        out->best[0] = 0;
    if (!swg__exists(out->last))
        out->last[0] = 0;
    out->best_loss = r->state.best_loss;
    out->validated = r->data.split && r->data.split->count[SWG_VAL] > 0;
    out->last_loss = r->state.last_loss;
    out->best_epoch = r->state.best_epoch;
    out->epochs = r->state.epoch;
    out->steps = r->state.step;
    out->skipped = r->state.skipped;
    out->seconds = swg__run_seconds(r);
    out->planned_bytes = r->planned_bytes;
    out->measured_bytes = swg_context_peak_rss_growth(r->ctx);
}

/* What is written when training ends. */
static swg_status write_beside(swg__run *r) {
    SWG__TRY(swg__record_perf(r));
    SWG__TRY(swg__run_profile_write(r));
    return draw(r);
}

static void announce(swg__run *r) {
    swg_train_switch rows[SWG_TRAIN_SWITCHES];
    if (r->hooks && r->hooks->switches)
        r->hooks->switches(r->hooks->user, rows, swg__run_switches(r, rows));
    if (r->hooks && r->hooks->explain)
        swg_plan_explain(r->train.plan ? r->train.plan : r->train_rest.plan, r->hooks->explain);
}

swg_status swg_train_arrays(swg_context *ctx, swg_config *config, const swg_train_array *arrays, int count, const swg_train_hooks *hooks,
                            swg_train_result *result) {
    swg_train_result ignored;
    swg__run r = {.ctx = ctx, .config = config, .hooks = hooks, .arrays = count ? arrays : NULL, .array_count = count, .result = result ? result : &ignored, .began_ns = swg__now_ns()};
    *r.result = (swg_train_result){.best_loss = NAN, .last_loss = NAN, .best_epoch = -1};
    swg_status status = swg__run_prepare(&r);
    if (status == SWG_OK)
        status = swg__run_profile_open(&r);
    if (status == SWG_OK)
        announce(&r);
    if (status == SWG_OK)
        status = epochs(&r);
    if (r.dir[0])
        fill_result(&r);
    if (status == SWG_OK)
        status = write_beside(&r);
    swg__run_release(&r);
    return status;
}

swg_status swg_train(swg_context *ctx, swg_config *config, const swg_train_hooks *hooks, swg_train_result *result) {
    return swg_train_arrays(ctx, config, NULL, 0, hooks, result);
}

/* ---- plans without data ---- */

static void keep_plan_note(void *user, const char *text) { snprintf(user, sizeof((swg_train_plan *)0)->note, "%s", text); }

/* What the training step keeps, and what it would take if it kept everything. */
static swg_status describe_recompute(swg__run *r, swg_train_plan *out) {
    swg_saved_value saved[SWG_TRAIN_PLAN_SAVED];
    swg__stage plain = {0};
    swg_recompute asked = r->recipe.recompute, budget = r->recipe.budget;
    out->policy = swg_plan_recompute_of(r->train.plan);
    out->saved_count = swg_plan_saved(r->train.plan, saved, SWG_TRAIN_PLAN_SAVED);
    for (int i = 0; i < out->saved_count; i++) {
        snprintf(out->saved[i].name, sizeof out->saved[i].name, "%s%s%s", saved[i].scope, *saved[i].scope ? "/" : "", saved[i].op);
        out->saved[i].bytes = saved[i].bytes;
    }
    r->recipe.recompute = (swg_recompute){.policy = SWG_RECOMPUTE_OFF};
    r->recipe.budget = (swg_recompute){0};
    swg_status status = swg__stage_make(r, &plain, out->batch, true);
    r->recipe.recompute = asked;
    r->recipe.budget = budget;
    if (status == SWG_OK) {
        out->without_peak_bytes = swg_plan_memory_of(plain.plan).peak_bytes;
        out->without_flops = swg_plan_flops(plain.plan);
    }
    swg__stage_free(&plain);
    return status;
}

/* Training and inference of a recipe, planned for `batch` blocks (0: as configured). The run is released by the caller. */
static swg_status plan_both(swg__run *r, int64_t batch) {
    SWG__TRY(swg__recipe_read(r->ctx, r->config, &r->recipe));
    r->recipe.batch = batch ? batch : r->recipe.batch;
    r->plans_only = true;
    SWG__TRY(swg__run_tuning(r));
    if (!r->recipe.batch)
        SWG__TRY(swg__run_choose_batch(r, INT64_MAX));
    SWG__TRY(swg__stage_make(r, &r->train, r->recipe.batch, true));
    SWG__TRY(swg__step_graph_build(r->ctx, &r->recipe, r->recipe.batch, false, &r->val.graph));
    const swg_plan_opts opts = swg__recipe_plan_opts(&r->recipe, r->val.graph.out, r->val.graph.outputs, true);
    return swg__run_plan(r, r->val.graph.g, &opts, &r->val.plan);
}

static void free_both(swg__run *r) {
    swg__stage_free(&r->train);
    swg__stage_free(&r->val);
    swg_tuning_close(r->tuning);
}

swg_status swg_train_explain(swg_context *ctx, swg_config *config, int64_t batch, FILE *file) {
    swg__run r = {.ctx = ctx, .config = config};
    swg_status status = plan_both(&r, batch);
    if (status == SWG_OK) {
        fprintf(file, "training\n");
        swg_plan_explain(r.train.plan, file);
        fprintf(file, "inference\n");
        swg_plan_explain(r.val.plan, file);
    }
    free_both(&r);
    return status;
}

swg_status swg_train_tune(swg_context *ctx, swg_config *config, int64_t batch, swg_tuning *tuning, const swg_tune_opts *opts) {
    swg__run r = {.ctx = ctx, .config = config};
    swg_status status = plan_both(&r, batch);
    for (int i = 0; i < 2 && status == SWG_OK; i++) {
        const swg__step_graph *s = i ? &r.val.graph : &r.train.graph;
        swg_value outputs[SWG__STAGE_OUTPUTS];
        int count = swg__stage_outputs(s, true, outputs);
        const swg_plan_opts plan = swg__recipe_plan_opts(&r.recipe, i ? s->out : outputs, i ? s->outputs : count, i);
        status = swg_tune(tuning, s->g, &plan, opts);
    }
    free_both(&r);
    return status;
}

swg_status swg_train_layers(swg_context *ctx, swg_config *config, swg_layers *out) {
    swg__recipe recipe;
    *out = (swg_layers){0};
    SWG__TRY(swg__recipe_read(ctx, config, &recipe));
    return recipe.family->layers(ctx, &recipe, out);
}

swg_status swg_train_plan_of(swg_context *ctx, swg_config *config, int64_t batch, swg_train_plan *out) {
    const swg_train_hooks hooks = {.note = keep_plan_note, .user = out->note};
    swg__run r = {.ctx = ctx, .config = config, .hooks = &hooks};
    swg_layers layers = {0};
    *out = (swg_train_plan){0};
    swg_status status = plan_both(&r, batch);
    if (status == SWG_OK)
        status = r.recipe.family->layers(ctx, &r.recipe, &layers);
    if (status == SWG_OK) {
        out->family = r.recipe.family->name;
        out->sample = r.recipe.family->sample;
        out->network = r.recipe.swae.network;
        snprintf(out->name, sizeof out->name, "%s", swg_config_string(config, "model.name"));
        r.recipe.family->describe(&r.recipe, out->title, sizeof out->title);
        out->batch = r.recipe.batch;
        out->precision = swg__recipe_precision(&r.recipe);
        out->inference_precision = swg_inference_name((swg_inference)r.recipe.inference);
        out->parameters = swg_graph_parameters(r.val.graph.g);
        out->macs_per_block = layers.total.macs;
        out->macs_by_output = layers.total.macs_by_output;
        out->training = swg_plan_memory_of(r.train.plan);
        out->inference = swg_plan_memory_of(r.val.plan);
        out->training_flops = swg_plan_flops(r.train.plan);
        int64_t average = swg__run_average_bytes(&r.recipe, out->training.parameters_bytes + out->training.state_bytes), ring = swg__run_loader_bytes(&r.recipe, out->batch);
        out->training.optimiser_bytes += average;
        out->training.io_bytes += ring;
        out->training.peak_bytes += average + ring;
        snprintf(out->peak_at, sizeof out->peak_at, "%s", out->training.peak_at ? out->training.peak_at : "");
        status = describe_recompute(&r, out);
        out->without_peak_bytes += average + ring;
        out->training.peak_at = out->inference.peak_at = NULL; /* those names end with the plans */
    }
    free_both(&r);
    swg_layers_free(ctx, &layers);
    return status;
}
