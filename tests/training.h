/* training.h - small data sets and small training runs for tests: written with swg_sink, trained with a few overrides, compared
 * tensor by tensor and line by line.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TRAINING_H
#define SWAGE_TRAINING_H

#include <cjson/cJSON.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include "scratch.h"
#include "swage/safetensors.h"
#include "swage/train.h"

/* ---- data: octants (n, 7, 7, 7) of smooth waves, one dataset per variable ---- */

enum { OCTANT = 343 };

typedef struct octants {
    int count;                      /* per variable; at most 256 */
    int variables;                  /* at most 3: U_CHI, U_K, U_ALPHA */
    swg_element element;            /* 0: f32 */
    double time;                    /* of the file; 0: none */
    int constant_every;             /* every so many octants are constant, starting with the first; 0: none */
    void (*change)(double *values, int variable, int octant); /* last word on an octant's values; NULL: none */
} octants;

static const char *const octant_names[3] = {"U_CHI", "U_K", "U_ALPHA"};

static inline double octant_value(int variable, int octant, int i) {
    int z = i / 49, y = i / 7 % 7, x = i % 7;
    return (variable + 1) * (1 + 0.3 * sin(0.4 * x + 0.7 * octant) * cos(0.3 * y - 0.2 * octant) + 0.1 * sin(0.5 * z + 0.05 * octant * octant));
}

static inline void write_octants(swg_context *ctx, const char *path, const octants *o) {
    static double wide[256 * OCTANT];
    static float narrow[256 * OCTANT];
    swg_element element = o->element ? o->element : SWG_ELEMENT_F32;
    swg_sink *sink;
    assert_ok(ctx, swg_sink_open(ctx, path, &sink));
    for (int v = 0; v < o->variables; v++) {
        for (int b = 0; b < o->count; b++) {
            bool constant = o->constant_every && b % o->constant_every == 0;
            for (int i = 0; i < OCTANT; i++)
                wide[b * OCTANT + i] = constant ? 0.25 * b : octant_value(v, b, i);
            if (o->change)
                o->change(wide + b * OCTANT, v, b);
        }
        for (int i = 0; i < o->count * OCTANT; i++)
            narrow[i] = (float)wide[i];
        assert_ok(ctx, swg_sink_put(sink, octant_names[v], element, 4, (int64_t[]){o->count, 7, 7, 7},
                                    element == SWG_ELEMENT_F32 ? (void *)narrow : (void *)wide, NULL));
    }
    if (o->time > 0)
        assert_ok(ctx, swg_sink_number(sink, "/", "time", o->time));
    assert_ok(ctx, swg_sink_commit(sink));
}

/* ---- runs ---- */

/* 80 blocks, 64 of them to train. */
static const octants usual = {.count = 40, .variables = 2};

/* 64 training blocks, batches of 15: four full ones and one of 4; five steps and one epoch_end call per epoch. */
#define STOPPED "data.batch_size=15", "checkpoint.every=2", "scheduler=cosine", "optimizer=adamw"

enum { MAX_OVERRIDES = 40 };

/* A small network on the data at data_path, in folder/name; `more` is a NULL-terminated list that may override anything. */
static inline swg_status open_training(swg_context *ctx, const char *folder, const char *name, const char *data_path, const char *const *more,
                                       swg_config **config) {
    static char own[3][400];
    const char *overrides[MAX_OVERRIDES] = {"model.hidden=[16]", "model.latent=4", "loss.directions=8", "data.batch_size=16", "trainer.epochs=3",
                                            "trainer.log_every=1", "trainer.eval_every=2", "optimizer.lr=1e-3", "resume=auto"};
    int count = 9;
    snprintf(own[0], sizeof own[0], "run.dir=%s", folder);
    snprintf(own[1], sizeof own[1], "run.name=%s", name);
    snprintf(own[2], sizeof own[2], "data.path=%s", data_path);
    for (int i = 0; i < 3; i++)
        overrides[count++] = own[i];
    for (; more && *more; more++)
        overrides[count++] = *more;
    return swg_config_open(ctx, "swae/mlp", &(swg_config_opts){.overrides = overrides, .override_count = count}, config);
}

static inline swg_status train(swg_context *ctx, const char *folder, const char *name, const char *data_path, const char *const *more,
                               const swg_train_hooks *hooks, swg_train_result *result) {
    swg_config *config;
    swg_train_result ignored;
    swg_status status = open_training(ctx, folder, name, data_path, more, &config);
    if (status == SWG_OK)
        status = swg_train(ctx, config, hooks, result ? result : &ignored);
    swg_config_close(config);
    return status;
}

#define MORE(...) ((const char *const[]){__VA_ARGS__, NULL})

/* "folder/name/file"; valid until the fourth call after it. */
static inline const char *in_run(const char *folder, const char *name, const char *file) {
    static char paths[4][400];
    static int next;
    next = (next + 1) % 4;
    snprintf(paths[next], sizeof paths[next], "%s/%s/%s", folder, name, file);
    return paths[next];
}

/* ---- stopping ---- */

typedef struct halt {
    volatile sig_atomic_t flag;
    int64_t at;                     /* progress call at which the flag is raised */
    int64_t calls;
    bool killed;                    /* do not ask: kill the process */
} halt;

static inline void halt_progress(void *user, const swg_train_progress *progress) {
    (void)progress;
    halt *h = user;
    if (h->calls++ != h->at)
        return;
    if (h->killed)
        raise(SIGKILL);
    h->flag = 1;
}

/* ---- comparing ---- */

/* Every tensor has the same name, shape and bits, and so has the state of the run, but for times and the length of the log. */
static inline void assert_same_checkpoint(swg_context *ctx, const char *a_path, const char *b_path) {
    static const char *const state[] = {"run.epoch", "run.batch", "run.step", "run.skipped", "run.b1_power", "run.b2_power", "run.best", "run.bad",
                                        "run.best_loss", "run.last_loss", "run.loss_sum", "run.best_epoch", "run.last_lr", "run.last_norm", "run.plateau.lr",
                                        "run.plateau.best", "run.plateau.bad", "run.plateau.cooldown", "run.top_count", "run.top_epoch[0]", "run.top_epoch[1]",
                                        "run.top_loss[0]", "run.top_loss[1]", "norm"};
    swg_safetensors *a, *b;
    assert_ok(ctx, swg_safetensors_open(ctx, a_path, &a));
    assert_ok(ctx, swg_safetensors_open(ctx, b_path, &b));
    assert_ok(ctx, swg_safetensors_check(a));
    assert_ok(ctx, swg_safetensors_check(b));
    assert_int_equal(swg_safetensors_count(a), swg_safetensors_count(b));
    for (int64_t i = 0; i < swg_safetensors_count(a); i++) {
        const swg_tensor *x = swg_safetensors_at(a, i), *y = swg_safetensors_at(b, i);
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->bytes, y->bytes);
        if (memcmp(x->data, y->data, (size_t)x->bytes) != 0)
            fail_msg("tensor %s differs between %s and %s", x->name, a_path, b_path);
    }
    for (size_t i = 0; i < sizeof state / sizeof *state; i++) {
        assert_non_null(swg_safetensors_note(a, state[i]));
        if (strcmp(swg_safetensors_note(a, state[i]), swg_safetensors_note(b, state[i])) != 0)
            fail_msg("%s: %s in %s, %s in %s", state[i], swg_safetensors_note(a, state[i]), a_path, swg_safetensors_note(b, state[i]), b_path);
    }
    swg_safetensors_close(a);
    swg_safetensors_close(b);
}

/* Cuts "key":number out of a line of JSON, with the comma before or behind it. As text, so that every digit of the rest stays. */
static inline void cut_number(char *line, const char *key) {
    char want[64];
    snprintf(want, sizeof want, "\"%s\":", key);
    char *at = strstr(line, want);
    if (!at)
        return;
    char *end = at + strcspn(at, ",}");
    if (*end == ',')
        end++;
    else
        at -= at[-1] == ',';
    memmove(at, end, strlen(end) + 1);
}

/* The log without times, threads and memory, and without the lines that say that a run was resumed. Free with swg__text_free. */
static inline swg__text read_log(swg_context *ctx, const char *path) {
    static const char *const left_out[] = {"t", "seconds", "samples_per_s", "data_ms", "threads", "planned_bytes", "workers", "loader_bytes"};
    uint8_t *data;
    size_t bytes;
    swg__text text;
    swg__text_init(&text, ctx);
    assert_ok(ctx, swg__file_read(ctx, path, &data, &bytes));
    for (char *line = (char *)data, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end); /* whole lines only */
        *end = 0;
        cJSON *object = cJSON_Parse(line);
        if (!object)
            fail_msg("%s: not JSON: %s", path, line);
        const char *phase = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "phase"));
        assert_non_null(phase);
        bool kept = strcmp(phase, "resume") != 0;
        cJSON_Delete(object);
        for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
            cut_number(line, left_out[i]);
        if (kept) {
            swg__text_puts(&text, line);
            swg__text_puts(&text, "\n");
        }
    }
    swg__free(ctx, data);
    assert_false(text.failed);
    return text;
}

static inline void assert_same_log(swg_context *ctx, const char *a_path, const char *b_path) {
    swg__text a = read_log(ctx, a_path), b = read_log(ctx, b_path);
    assert_non_null(a.data);
    assert_non_null(b.data);
    assert_string_equal(a.data, b.data);
    swg__text_free(&a);
    swg__text_free(&b);
}

/* Number `key` in the n-th line (from 0) of a phase; NaN if there is none. */
static inline double logged(swg_context *ctx, const char *path, const char *phase, int n, const char *key) {
    swg__text log = read_log(ctx, path);
    double value = NAN;
    char want[64];
    snprintf(want, sizeof want, "{\"phase\":\"%s\"", phase);
    for (char *line = log.data; line && *line; line = strchr(line, '\n') + 1)
        if (strncmp(line, want, strlen(want)) == 0 && n-- == 0) {
            cJSON *object = cJSON_ParseWithLength(line, strcspn(line, "\n"));
            value = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(object, key));
            cJSON_Delete(object);
        }
    swg__text_free(&log);
    return value;
}

/* metrics.csv without its last five columns, which are times and memory. Free with swg__text_free. */
static inline swg__text read_metrics(swg_context *ctx, const char *path) {
    enum { LEFT_OUT = 5 };
    uint8_t *data;
    size_t bytes;
    swg__text text;
    swg__text_init(&text, ctx);
    assert_ok(ctx, swg__file_read(ctx, path, &data, &bytes));
    for (char *line = (char *)data, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end); /* whole lines only */
        *end = 0;
        for (int i = 0; i < LEFT_OUT; i++) {
            assert_non_null(strrchr(line, ','));
            *strrchr(line, ',') = 0;
        }
        swg__text_puts(&text, line);
        swg__text_puts(&text, "\n");
    }
    swg__free(ctx, data);
    assert_false(text.failed);
    return text;
}

static inline void assert_same_metrics(swg_context *ctx, const char *a_path, const char *b_path) {
    swg__text a = read_metrics(ctx, a_path), b = read_metrics(ctx, b_path);
    assert_string_equal(a.data, b.data);
    swg__text_free(&a);
    swg__text_free(&b);
}

/* The same checkpoints, tables and logs, but for times. */
static inline void assert_same_run(swg_context *ctx, const char *folder, const char *a, const char *b) {
    char **names[2], file[300];
    size_t count[2];
    assert_ok(ctx, swg__list_folder(ctx, in_run(folder, a, "ckpt"), &names[0], &count[0]));
    assert_ok(ctx, swg__list_folder(ctx, in_run(folder, b, "ckpt"), &names[1], &count[1]));
    assert_int_equal(count[0], count[1]);
    assert_true(count[0] >= 3); /* best, last, epoch-0002 */
    for (size_t i = 0; i < count[0]; i++) {
        assert_string_equal(names[0][i], names[1][i]);
        snprintf(file, sizeof file, "ckpt/%s", names[0][i]);
        assert_same_checkpoint(ctx, in_run(folder, a, file), in_run(folder, b, file));
    }
    for (int i = 0; i < 2; i++)
        swg__list_free(ctx, names[i], count[i]);
    assert_same_metrics(ctx, in_run(folder, a, "metrics.csv"), in_run(folder, b, "metrics.csv"));
    assert_same_log(ctx, in_run(folder, a, "log.jsonl"), in_run(folder, b, "log.jsonl"));
}

/* ---- tidying up ---- */

static inline int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *where) {
    (void)about;
    (void)kind;
    (void)where;
    return remove(path);
}

/* Removes a folder and all in it; one that is not there is no failure. */
static inline void remove_tree(const char *path) {
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
