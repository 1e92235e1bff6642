/* checkpoint.c - saving and restoring a run. Numbers that must return bit for bit are written as hexadecimal floats.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/checkpoint.h"
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "quant/stored.h"

/* One table for writing and reading. */
typedef enum kind { INTEGER, REAL } kind;
/* `since`: later than the first checkpoints; where an older file lacks it, what the state began with stands. */
static const struct { const char *key; kind kind; size_t offset; bool since; } fields[] = {
#define I(name) {"run." #name, INTEGER, offsetof(swg__run_state, name), false}
#define R(name) {"run." #name, REAL, offsetof(swg__run_state, name), false}
#define I2(name) {"run." #name, INTEGER, offsetof(swg__run_state, name), true}
#define R2(name) {"run." #name, REAL, offsetof(swg__run_state, name), true}
    I(epoch), I(batch), I(step), I(skipped), I(skipped_in_row), R(b1_power), R(b2_power), R(loss_sum),
    /* These three were named when there was one family. */
    {"run.reconstruction_sum", REAL, offsetof(swg__run_state, term_sum[0]), false},
    {"run.distance_sum", REAL, offsetof(swg__run_state, term_sum[1]), false},
    {"run.loss_blocks", INTEGER, offsetof(swg__run_state, loss_samples), false},
    R2(term_sum[2]), R2(term_sum[3]), R2(term_sum[4]), R2(term_sum[5]), R2(term_sum[6]), R2(term_sum[7]), R(best), R(best_loss), R(last_loss), R(last_norm), R(last_lr),
    I(bad), I(best_epoch), I(log_bytes), R(seconds), I(batch_size),
    I2(accumulate), R2(plateau.lr), R2(plateau.best), I2(plateau.bad), I2(plateau.cooldown), I2(top_count),
    I2(top_epoch[0]), I2(top_epoch[1]), I2(top_epoch[2]), I2(top_epoch[3]), I2(top_epoch[4]), I2(top_epoch[5]), I2(top_epoch[6]), I2(top_epoch[7]),
    R2(top_loss[0]), R2(top_loss[1]), R2(top_loss[2]), R2(top_loss[3]), R2(top_loss[4]), R2(top_loss[5]), R2(top_loss[6]), R2(top_loss[7]),
#undef I
#undef R
#undef I2
#undef R2
};
enum { FIELDS = sizeof fields / sizeof fields[0] };

/* What a file holds of the weights: parameters in several spans, states in one. */
typedef struct list {
    int (*count)(const swg_weights *);
    const char *(*name)(const swg_weights *, int);
    int (*ndim)(const swg_weights *, int);
    const int64_t *(*shape)(const swg_weights *, int);
} list;
typedef struct span { const char *prefix; const list *of; void *(*at)(swg_weights *, int); } span;

static const list parameters = {swg_weights_count, swg_weights_name, swg_weights_ndim, swg_weights_shape};
static const list states = {swg_weights_states, swg_weights_state_name, swg_weights_state_ndim, swg_weights_state_shape};
static const span values = {"param.", &parameters, swg_weights_value}, running = {"state.", &states, swg_weights_state};
static const span average_values = {"state.ema.", &parameters, swg_weights_value};
static const span moments[] = {{"opt.m.", &parameters, swg_weights_moment1}, {"opt.v.", &parameters, swg_weights_moment2},
                               {"opt.vmax.", &parameters, swg_weights_moment2_largest}};
enum { MOMENTS = sizeof moments / sizeof moments[0] };

static swg_status save_span(swg_safetensors_writer *w, const span *s, swg_weights *weights) {
    char name[600];
    for (int i = 0; i < s->of->count(weights) && s->at(weights, i); i++) {
        snprintf(name, sizeof name, "%s%s", s->prefix, s->of->name(weights, i));
        SWG__TRY(swg_safetensors_writer_add(w, name, SWG_STORED_F32, s->of->ndim(weights, i), s->of->shape(weights, i), s->at(weights, i)));
    }
    return SWG_OK;
}

swg_status swg__checkpoint_save(swg_context *ctx, const char *path, swg_weights *weights, swg_weights *average, const swg__run_state *state,
                                const swg__run_notes *run) {
    swg_safetensors_writer *w;
    char text[64];
    SWG__TRY(swg_safetensors_writer_open(ctx, &(swg_safetensors_opts){.crc = true, .keep_order = true}, &w));
    swg_status status = save_span(w, &values, weights);
    for (int i = 0; i < MOMENTS && status == SWG_OK; i++)
        status = save_span(w, &moments[i], weights);
    if (status == SWG_OK)
        status = save_span(w, &running, weights);
    if (average && status == SWG_OK)
        status = save_span(w, &average_values, average);
    snprintf(text, sizeof text, "%" PRIu64, run->seed);
    const char *notes[][2] = {{"swage.version", swg_version()}, {"swage.isa", swg_context_isa(ctx)}, {"swage.provider", run->provider},
                              {"swage.precision", run->precision},
                              {"swage.seed", text}, {"config", run->config}, {"norm", run->norm}, {"data", run->data}};
    for (size_t i = 0; i < sizeof notes / sizeof notes[0] && status == SWG_OK; i++)
        status = swg_safetensors_writer_note(w, notes[i][0], notes[i][1]);
    for (int i = 0; i < FIELDS && status == SWG_OK; i++) {
        const char *at = (const char *)state + fields[i].offset;
        if (fields[i].kind == INTEGER)
            snprintf(text, sizeof text, "%" PRId64, *(const int64_t *)at);
        else
            snprintf(text, sizeof text, "%a", *(const double *)at);
        status = swg_safetensors_writer_note(w, fields[i].key, text);
    }
    if (status == SWG_OK)
        status = swg_safetensors_writer_write(w, path);
    swg_safetensors_writer_close(w);
    return status;
}

static bool same_shape(const swg_tensor *t, const span *s, const swg_weights *w, int i) {
    if (t->ndim != s->of->ndim(w, i) || (t->dtype != SWG_STORED_F32 && (s != &values || !swg__stored_code(t->dtype))))
        return false;
    return memcmp(t->shape, s->of->shape(w, i), (size_t)t->ndim * sizeof t->shape[0]) == 0;
}

static swg_status load_span(swg_context *ctx, const swg_safetensors *file, const char *path, const span *s, swg_weights *w) {
    char name[600];
    for (int i = 0; i < s->of->count(w) && s->at(w, i); i++) {
        snprintf(name, sizeof name, "%s%s", s->prefix, s->of->name(w, i));
        const swg_tensor *t = swg_safetensors_find(file, name);
        if (!t)
            return swg__fail(ctx, SWG_ESHAPE, "%s: tensor \"%s\" is missing: this checkpoint is of another network%s", path, name,
                             strncmp(name, "opt.", 4) == 0 ? " or optimiser" : "");
        if (!same_shape(t, s, w, i))
            return swg__fail(ctx, SWG_ESHAPE, "%s: tensor \"%s\" has another shape or type than the network the configuration describes",
                             path, name);
        if (t->dtype == SWG_STORED_F32)
            memcpy(s->at(w, i), t->data, (size_t)t->bytes);
        else
            SWG__TRY(swg__stored_decode(ctx, file, path, t, s->at(w, i)));
    }
    return SWG_OK;
}

swg_status swg__checkpoint_weights(swg_context *ctx, const swg_safetensors *file, const char *path, swg_weights *weights) {
    SWG__TRY(load_span(ctx, file, path, &values, weights));
    SWG__TRY(load_span(ctx, file, path, &running, weights));
    for (int64_t i = 0; i < swg_safetensors_count(file); i++) {
        const char *name = swg_safetensors_at(file, i)->name;
        bool known = strncmp(name, "param.", 6) != 0;
        for (int j = 0; j < swg_weights_count(weights) && !known; j++)
            known = strcmp(name + 6, swg_weights_name(weights, j)) == 0;
        if (!known)
            return swg__fail(ctx, SWG_ESHAPE, "%s: tensor \"%s\" is not part of the network the configuration describes", path, name);
    }
    return SWG_OK;
}

void swg__weights_take(swg_weights *from, const char *prefix, swg_weights *to, int *taken) {
    *taken = 0;
    for (int i = 0; i < swg_weights_count(from); i++)
        for (int j = 0; j < swg_weights_count(to) && strncmp(swg_weights_name(from, i), prefix, strlen(prefix)) == 0; j++) {
            const int ndim = swg_weights_ndim(from, i);
            const size_t shape_bytes = (size_t)ndim * sizeof(int64_t);
            size_t bytes = sizeof(float);
            if (strcmp(swg_weights_name(from, i), swg_weights_name(to, j)) != 0 || ndim != swg_weights_ndim(to, j) ||
                memcmp(swg_weights_shape(from, i), swg_weights_shape(to, j), shape_bytes) != 0)
                continue;
            for (int axis = 0; axis < ndim; axis++)
                bytes *= (size_t)swg_weights_shape(from, i)[axis];
            memcpy(swg_weights_value(to, j), swg_weights_value(from, i), bytes);
            ++*taken;
        }
}

swg_status swg__checkpoint_average(swg_context *ctx, const swg_safetensors *file, const char *path, swg_weights *average) {
    SWG__TRY(swg__checkpoint_weights(ctx, file, path, average));
    for (int64_t i = 0; i < swg_safetensors_count(file); i++)
        if (strncmp(swg_safetensors_at(file, i)->name, average_values.prefix, strlen(average_values.prefix)) == 0)
            return load_span(ctx, file, path, &average_values, average);
    return SWG_OK;
}

static swg_status read_state(swg_context *ctx, const swg_safetensors *file, const char *path, swg__run_state *state) {
    for (int i = 0; i < FIELDS; i++) {
        const char *text = swg_safetensors_note(file, fields[i].key);
        char *at = (char *)state + fields[i].offset, *end = NULL;
        errno = 0;
        if (!text && fields[i].since)
            continue;
        if (text && fields[i].kind == INTEGER)
            *(int64_t *)at = strtoll(text, &end, 10);
        else if (text)
            *(double *)at = strtod(text, &end);
        if (!text || end == text || *end || (fields[i].kind == INTEGER && (errno || *(int64_t *)at < -1)))
            return swg__fail(ctx, SWG_EFORMAT, "%s: \"%s\" is missing or not a number: this is not a checkpoint of a run", path, fields[i].key);
    }
    if (state->top_count < 0 || state->top_count > SWG__TOP_MOST)
        return swg__fail(ctx, SWG_EFORMAT, "%s: \"run.top_count\" is %" PRId64 ", expected 0 to %d", path, state->top_count, SWG__TOP_MOST);
    return SWG_OK;
}

swg_status swg__checkpoint_restore(swg_context *ctx, const swg_safetensors *file, const char *path, swg_weights *weights,
                                   swg__run_state *state, const char *provider, const char *precision) {
    SWG__TRY(swg__checkpoint_weights(ctx, file, path, weights));
    for (int i = 0; i < MOMENTS; i++)
        SWG__TRY(load_span(ctx, file, path, &moments[i], weights));
    SWG__TRY(read_state(ctx, file, path, state));
    const char *now[][2] = {{"swage.version", swg_version()}, {"swage.isa", swg_context_isa(ctx)}, {"swage.provider", provider},
                            {"swage.precision", precision}};
    for (size_t i = 0; i < sizeof now / sizeof now[0]; i++) {
        const char *then = swg_safetensors_note(file, now[i][0]);
        if (!then && strcmp(now[i][0], "swage.precision") == 0)
            then = "32"; /* all there was before it was noted */
        if (!then || strcmp(then, now[i][1]) != 0)
            swg__log(ctx, SWG_LOG_WARNING, "%s was made with %s %s, this is %s: the run goes on, but not bit for bit", path,
                     now[i][0] + 6, then ? then : "unknown", now[i][1]);
    }
    return SWG_OK;
}
