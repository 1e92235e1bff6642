/* checkpoint.c - saving and restoring a run. Numbers that must return bit for bit are written as hexadecimal floats.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/checkpoint.h"
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "base.h"

/* One table for writing and reading. */
typedef enum kind { INTEGER, REAL } kind;
/* `since`: later than the first checkpoints; where an older file lacks it, what the state began with stands. */
static const struct { const char *key; kind kind; size_t offset; bool since; } fields[] = {
#define I(name) {"run." #name, INTEGER, offsetof(swg__run_state, name), false}
#define R(name) {"run." #name, REAL, offsetof(swg__run_state, name), false}
#define I2(name) {"run." #name, INTEGER, offsetof(swg__run_state, name), true}
#define R2(name) {"run." #name, REAL, offsetof(swg__run_state, name), true}
    I(epoch), I(batch), I(step), I(skipped), I(skipped_in_row), R(b1_power), R(b2_power), R(loss_sum), R(reconstruction_sum),
    R(distance_sum), I(loss_blocks), R(best), R(best_loss), R(last_loss), R(last_norm), R(last_lr),
    I(bad), I(best_epoch), I(log_bytes), R(seconds), I(batch_size),
    I2(accumulate), R2(plateau.lr), R2(plateau.best), I2(plateau.bad), I2(plateau.cooldown),
#undef I
#undef R
#undef I2
#undef R2
};
enum { FIELDS = sizeof fields / sizeof fields[0] };

static const struct { const char *prefix; void *(*at)(swg_weights *, int); } spans[] = {
    {"param.", swg_weights_value}, {"opt.m.", swg_weights_moment1}, {"opt.v.", swg_weights_moment2}, {"opt.vmax.", swg_weights_moment2_largest}};
enum { SPANS = sizeof spans / sizeof spans[0] };
static const char average_prefix[] = "state.ema.";

/* One span of all parameters that has data, under a prefix. */
static swg_status save_span(swg_safetensors_writer *w, const char *prefix, swg_weights *weights, void *(*at)(swg_weights *, int)) {
    char name[600];
    for (int i = 0; i < swg_weights_count(weights); i++) {
        void *data = at(weights, i);
        if (!data)
            continue;
        snprintf(name, sizeof name, "%s%s", prefix, swg_weights_name(weights, i));
        SWG__TRY(swg_safetensors_writer_add(w, name, SWG_STORED_F32, swg_weights_ndim(weights, i), swg_weights_shape(weights, i), data));
    }
    return SWG_OK;
}

swg_status swg__checkpoint_save(swg_context *ctx, const char *path, swg_weights *weights, swg_weights *average, const swg__run_state *state,
                                const swg__run_notes *run) {
    swg_safetensors_writer *w;
    char text[64];
    SWG__TRY(swg_safetensors_writer_open(ctx, &(swg_safetensors_opts){.crc = true, .keep_order = true}, &w));
    swg_status status = SWG_OK;
    for (int s = 0; s < SPANS && status == SWG_OK; s++)
        status = save_span(w, spans[s].prefix, weights, spans[s].at);
    if (average && status == SWG_OK)
        status = save_span(w, average_prefix, average, swg_weights_value);
    snprintf(text, sizeof text, "%" PRIu64, run->seed);
    const char *notes[][2] = {{"swage.version", swg_version()}, {"swage.isa", swg_context_isa(ctx)}, {"swage.provider", run->provider},
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

static bool same_shape(const swg_tensor *t, swg_weights *w, int i) {
    if (t->dtype != SWG_STORED_F32 || t->ndim != swg_weights_ndim(w, i))
        return false;
    return memcmp(t->shape, swg_weights_shape(w, i), (size_t)t->ndim * sizeof t->shape[0]) == 0;
}

static swg_status load_span(swg_context *ctx, const swg_safetensors *file, const char *path, const char *prefix, swg_weights *w,
                            void *(*at)(swg_weights *, int)) {
    char name[600];
    for (int i = 0; i < swg_weights_count(w) && at(w, i); i++) {
        snprintf(name, sizeof name, "%s%s", prefix, swg_weights_name(w, i));
        const swg_tensor *t = swg_safetensors_find(file, name);
        if (!t)
            return swg__fail(ctx, SWG_ESHAPE, "%s: tensor \"%s\" is missing: this checkpoint is of another network%s", path, name,
                             at == swg_weights_value ? "" : " or optimiser");
        if (!same_shape(t, w, i))
            return swg__fail(ctx, SWG_ESHAPE, "%s: tensor \"%s\" has another shape or type than the network the configuration describes",
                             path, name);
        memcpy(at(w, i), t->data, (size_t)t->bytes);
    }
    return SWG_OK;
}

swg_status swg__checkpoint_weights(swg_context *ctx, const swg_safetensors *file, const char *path, swg_weights *weights) {
    SWG__TRY(load_span(ctx, file, path, "param.", weights, swg_weights_value));
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

swg_status swg__checkpoint_average(swg_context *ctx, const swg_safetensors *file, const char *path, swg_weights *average) {
    for (int64_t i = 0; i < swg_safetensors_count(file); i++)
        if (strncmp(swg_safetensors_at(file, i)->name, average_prefix, sizeof average_prefix - 1) == 0)
            return load_span(ctx, file, path, average_prefix, average, swg_weights_value);
    return swg__checkpoint_weights(ctx, file, path, average);
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
    return SWG_OK;
}

swg_status swg__checkpoint_restore(swg_context *ctx, const swg_safetensors *file, const char *path, swg_weights *weights,
                                   swg__run_state *state, const char *provider) {
    SWG__TRY(swg__checkpoint_weights(ctx, file, path, weights));
    for (int s = 1; s < SPANS; s++)
        SWG__TRY(load_span(ctx, file, path, spans[s].prefix, weights, spans[s].at));
    SWG__TRY(read_state(ctx, file, path, state));
    const char *now[][2] = {{"swage.version", swg_version()}, {"swage.isa", swg_context_isa(ctx)}, {"swage.provider", provider}};
    for (size_t i = 0; i < sizeof now / sizeof now[0]; i++) {
        const char *then = swg_safetensors_note(file, now[i][0]);
        if (!then || strcmp(then, now[i][1]) != 0)
            swg__log(ctx, SWG_LOG_WARNING, "%s was made with %s %s, this is %s: the run goes on, but not bit for bit", path,
                     now[i][0] + 6, then ? then : "unknown", now[i][1]);
    }
    return SWG_OK;
}
