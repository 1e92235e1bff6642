/* cmd_train.c - `swage train`: trains a recipe; progress on a terminal, log.jsonl and checkpoints in the run folder.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include "base.h"
#include "cli/cli.h"
#include "swage/train.h"

static const cli_option options[] = {
    {"quiet", 'q', NULL, "print nothing but failures"},
    {"explain", 0, NULL, "before the first step, say what each pass and the planner did"},
    CLI_RECIPES, CLI_THREADS, CLI_ISA, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

typedef struct screen {
    cli_progress progress;
    bool quiet, terminal;
    int64_t last_line_ns;
} screen;

/* 4096 -> "4.1 k" */
static const char *short_number(double value, char *out, size_t capacity) {
    static const char *const units[] = {"", " k", " M", " G"};
    int unit = 0;
    while (value >= 1000 && unit < 3) {
        value /= 1000;
        unit++;
    }
    snprintf(out, capacity, unit ? "%.1f%s" : value < 10 ? "%.2f%s" : "%.0f%s", value, units[unit]);
    return out;
}

/* Without a terminal: a line now and then, not a line per step. */
enum { LINE_NS = 2000000000 };

static void on_progress(void *user, const swg_train_progress *p) {
    screen *s = user;
    if (s->quiet)
        return;
    double done = ((double)p->epoch + (double)p->batch / (double)p->batches) / (double)p->epochs;
    double eta = done > 0 ? p->seconds * (1 - done) / done : 0;
    char rate[32], line[448], val[32] = "";
    if (!isnan(p->val_loss))
        snprintf(val, sizeof val, "  val %.5g", p->val_loss);
    snprintf(line, sizeof line, "epoch %lld/%lld  step %lld/%lld  %.0f%%  loss %.5g%s  lr %.1e  %s %s/s  data %.1f%%  mem %.0fM%s%s  eta %02d:%02d",
             (long long)p->epoch + 1, (long long)p->epochs, (long long)p->batch, (long long)p->batches, 100 * done, p->loss, val,
             p->lr, short_number(p->samples_per_s, rate, sizeof rate), p->samples, 100 * p->data_share, (double)p->memory_bytes / 1048576,
             *p->detail ? "  " : "", p->detail, (int)(eta / 60), (int)fmod(eta, 60));
    int64_t now = swg__now_ns();
    if (s->terminal) {
        cli_progress_show(&s->progress, "%s", line);
    } else if (now - s->last_line_ns > LINE_NS || (p->epoch_end && p->epoch + 1 == p->epochs)) {
        s->last_line_ns = now;
        fprintf(stderr, "%s\n", line);
    }
}

static void on_note(void *user, const char *text) {
    screen *s = user;
    cli_progress_close(&s->progress);
    if (!s->quiet)
        cli_say("%s", text);
}

static void on_switches(void *user, const swg_train_switch *rows, int count) {
    screen *s = user;
    if (s->quiet)
        return;
    fprintf(stderr, "%-30s %-16s %-16s %s\n", "key", "requested", "effective", "why");
    for (int i = 0; i < count; i++)
        fprintf(stderr, "%-30s %-16s %-16s %s\n", rows[i].key, rows[i].requested, rows[i].effective, rows[i].why);
}

static void print_result(const cli *c, const swg_train_result *r) {
    if (cli_flag(c, "json")) {
        cJSON *root = cJSON_CreateObject();
        cJSON_AddStringToObject(root, "run", r->run_dir);
        cJSON_AddStringToObject(root, "best", r->best);
        cJSON_AddStringToObject(root, "last", r->last);
        if (isfinite(r->best_loss))
            cJSON_AddNumberToObject(root, "best_loss", r->best_loss);
        else
            cJSON_AddNullToObject(root, "best_loss");
        cJSON_AddNumberToObject(root, "best_epoch", (double)r->best_epoch);
        cJSON_AddNumberToObject(root, "epochs", (double)r->epochs);
        cJSON_AddNumberToObject(root, "steps", (double)r->steps);
        cJSON_AddNumberToObject(root, "skipped", (double)r->skipped);
        cJSON_AddBoolToObject(root, "early_stop", r->early_stop);
        cJSON_AddNumberToObject(root, "seconds", r->seconds);
        cJSON_AddNumberToObject(root, "planned_bytes", (double)r->planned_bytes);
        cJSON_AddNumberToObject(root, "measured_bytes", (double)r->measured_bytes);
        char *text = cJSON_Print(root);
        puts(text ? text : "{}");
        cJSON_free(text);
        cJSON_Delete(root);
        return;
    }
    if (cli_flag(c, "quiet"))
        return;
    printf("%lld epochs, %lld steps, %.1f s; best %s loss %.6g in epoch %lld\n", (long long)r->epochs, (long long)r->steps, r->seconds,
           r->validated ? "validation" : "training", r->best_loss, (long long)r->best_epoch + 1);
    printf("memory of a step: planned %.1f MiB, measured %.1f MiB\n", (double)r->planned_bytes / 1048576,
           (double)r->measured_bytes / 1048576);
    printf("run folder %s\n", r->run_dir);
}

static swg_status train(cli *c) {
    swg_config *config;
    swg_context *own, *frame = c->ctx;
    swg_status status = cli_open_work(c, 0, &config, &own);
    if (status == SWG_OK && swg_config_has(config, "codec.models")) {
        status = cli_train_codec(c, config);
        if (status != SWG_OK && own && !c->message[0])
            cli_fail(c, status, "%s", swg_context_message(own));
        swg_config_close(config);
        c->ctx = frame;
        swg_context_close(own);
        return status;
    }
    screen s = {.quiet = cli_flag(c, "quiet"), .terminal = isatty(2)};
    cli_progress_open(&s.progress, 2);
    cli_signals_catch();
    swg_train_result result = {0};
    if (status == SWG_OK)
        status = swg_train(c->ctx, config, &(swg_train_hooks){.progress = on_progress, .note = on_note, .switches = on_switches,
                                                              .explain = cli_flag(c, "explain") ? stderr : NULL, .stop = cli_signal_flag(), .user = &s},
                           &result);
    cli_progress_close(&s.progress);
    int signal_number = *cli_signal_flag();
    if (status == SWG_EINTERRUPTED && signal_number && signal_number != SIGINT) {
        cli_say("%s", swg_context_message(c->ctx)); /* asked to make room (Slurm): saved, and that is success */
        status = SWG_OK;
    }
    if (status == SWG_OK)
        print_result(c, &result);
    else if (own)
        cli_fail(c, status, "%s", swg_context_message(own));
    swg_config_close(config);
    c->ctx = frame;
    swg_context_close(own);
    return status;
}

const cli_command cli_cmd_train = {
    .name = "train",
    .usage = "RECIPE [key=value ...] [--explain]",
    .help = "train a network",
    .details = "RECIPE is a name (`swage config --list`), a .yaml file or a run folder.\n"
               "  swage train swae/mlp data.path=samples/bssn trainer.epochs=20\n"
               "  swage train codec/law data.path=samples/bssn bound=rel:1e-4        # models for swage compress -m\n"
               "Ctrl-C saves and ends with 130; resume=auto run.dir=... run.name=... goes on bit for bit.",
    .options = options,
    .least = 1,
    .most = 1,
    .overrides = true,
    .keys = "*",
    .run = train,
};
