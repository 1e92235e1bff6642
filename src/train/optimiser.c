/* optimiser.c - from configuration keys to the numbers of an update.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/optimiser.h"
#include <stdlib.h>
#include <string.h>
#include "base.h"

/* "lr=0.1" or "wd=0"; false if it is neither. */
static bool read_word(const char *word, swg__parameter_group *group) {
    static const struct { const char *name; size_t offset; } words[] = {
        {"lr=", offsetof(swg__parameter_group, lr_factor)}, {"wd=", offsetof(swg__parameter_group, weight_decay)}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t length = strlen(words[i].name);
        if (strncmp(word, words[i].name, length) != 0)
            continue;
        char *end;
        double value = strtod(word + length, &end);
        *(double *)((char *)group + words[i].offset) = value;
        return end != word + length && !*end && value >= 0 && value <= 1e3;
    }
    return false;
}

/* "*.bias lr=0.5 wd=0" */
static swg_status read_group(swg_context *ctx, const char *text, double weight_decay, swg__parameter_group *group) {
    char copy[256], *save = NULL;
    *group = (swg__parameter_group){.lr_factor = 1, .weight_decay = weight_decay};
    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy)
        return swg__fail(ctx, SWG_EUSAGE, "optimizer.groups: an entry is longer than %zu characters", sizeof copy - 1);
    const char *pattern = strtok_r(copy, " ", &save), *word = strtok_r(NULL, " ", &save);
    if (!pattern || !word || snprintf(group->pattern, sizeof group->pattern, "%s", pattern) >= (int)sizeof group->pattern)
        return swg__fail(ctx, SWG_EUSAGE, "optimizer.groups: \"%s\" is not a pattern of fewer than %d characters followed by lr=FACTOR or wd=DECAY, "
                         "as in \"*.bias wd=0\"", text, SWG__PATTERN_CHARS);
    for (; word; word = strtok_r(NULL, " ", &save))
        if (!read_word(word, group))
            return swg__fail(ctx, SWG_EUSAGE, "optimizer.groups: \"%s\" in \"%s\" is neither lr=FACTOR nor wd=DECAY with a number from 0 to 1000",
                             word, text);
    return SWG_OK;
}

static swg_status read_groups(swg_context *ctx, swg_config *c, swg__optimiser *o) {
    if (!swg_config_has(c, "optimizer.groups"))
        return SWG_OK;
    int64_t count = swg_config_count(c, "optimizer.groups");
    if (count > SWG__PARAMETER_GROUPS)
        return swg__fail(ctx, SWG_EUSAGE, "optimizer.groups: %lld groups, there can be %d", (long long)count, SWG__PARAMETER_GROUPS);
    for (; o->group_count < count; o->group_count++) {
        const char *text = swg_config_string_at(c, "optimizer.groups", o->group_count);
        SWG__TRY(read_group(ctx, text ? text : "", o->adam.weight_decay, &o->groups[o->group_count]));
    }
    return SWG_OK;
}

swg_status swg__optimiser_read(swg_context *ctx, swg_config *c, swg__optimiser *o) {
    *o = (swg__optimiser){0};
    o->adam = (swg_adam_hyper){.lr = swg_config_float(c, "optimizer.lr"), .beta1 = swg_config_float_at(c, "optimizer.betas", 0),
                               .beta2 = swg_config_float_at(c, "optimizer.betas", 1), .eps = swg_config_float(c, "optimizer.eps"),
                               .weight_decay = swg_config_float(c, "optimizer.weight_decay"),
                               .clip_norm = swg_config_float(c, "trainer.clip_norm"), .grad_scale = 1};
    const bool sgd = swg_config_is(c, "optimizer.name", "sgd");
    const bool adamw = swg_config_is(c, "optimizer.name", "adamw") || swg_config_is(c, "optimizer.name", "adamw_fused");
    o->momentum = sgd ? swg_config_float(c, "optimizer.momentum") : 0;
    o->update = (swg_update_opts){.kind = sgd ? SWG_UPDATE_SGD : adamw ? SWG_UPDATE_ADAMW : SWG_UPDATE_ADAM,
                                  .clip = o->adam.clip_norm > 0, .amsgrad = swg_config_bool(c, "optimizer.amsgrad"),
                                  .momentum = o->momentum > 0, .nesterov = swg_config_bool(c, "optimizer.nesterov"),
                                  .accumulate = swg_config_int(c, "trainer.accumulate") > 1};
    if (o->update.amsgrad && sgd)
        return swg__fail(ctx, SWG_EUSAGE, "optimizer.amsgrad: sgd has no second moment; it goes with adam and adamw");
    if (o->update.nesterov && !o->update.momentum)
        return swg__fail(ctx, SWG_EUSAGE, "optimizer.nesterov: it needs optimizer.name=sgd and optimizer.momentum above 0");
    SWG__TRY(read_groups(ctx, c, o));
    o->update.groups = 1 + o->group_count;
    o->average = swg_config_has(c, "ema.momentum");
    o->average_momentum = o->average ? swg_config_float(c, "ema.momentum") : 0;
    o->average_ramp = swg_config_is(c, "ema.course", "ramp");
    o->average_validates = swg_config_bool(c, "ema.validate");
    if (o->average_validates && !o->average)
        return swg__fail(ctx, SWG_EUSAGE, "ema.validate: there is no average of the weights; set ema.momentum, e.g. to 0.998");
    return swg_config_status(c);
}

swg_status swg__optimiser_group(swg_context *ctx, const swg__optimiser *o, swg_weights *weights) {
    for (int i = o->group_count - 1; i >= 0; i--) { /* backwards: the first pattern has the last word */
        int matched;
        SWG__TRY(swg_weights_group(weights, o->groups[i].pattern, i + 1, &matched));
        if (!matched)
            return swg__fail(ctx, SWG_EUSAGE, "optimizer.groups: no parameter is called \"%s\"; there is \"%s\" and %d more", o->groups[i].pattern,
                             swg_weights_name(weights, 0), swg_weights_count(weights) - 1);
    }
    return SWG_OK;
}

void swg__optimiser_fill(const swg__optimiser *o, double lr, double momentum, double grad_scale, double *b1_power, double *b2_power, swg_dtype dtype,
                         void *rows) {
    const double b1 = *b1_power, b2 = *b2_power;
    const size_t row_bytes = SWG_HYPER_COUNT * (dtype == SWG_F64 ? sizeof(double) : sizeof(float));
    for (int i = 0; i <= o->group_count; i++) {
        void *row = (char *)rows + (size_t)i * row_bytes;
        double own_lr = lr * (i ? o->groups[i - 1].lr_factor : 1), decay = i ? o->groups[i - 1].weight_decay : o->adam.weight_decay;
        if (o->update.kind == SWG_UPDATE_SGD) {
            swg_hyper_sgd(&(swg_sgd_hyper){.lr = own_lr, .momentum = momentum, .weight_decay = decay, .clip_norm = o->adam.clip_norm,
                                           .grad_scale = grad_scale}, dtype, row);
            continue;
        }
        swg_adam_hyper hyper = o->adam;
        hyper.lr = own_lr;
        hyper.beta1 = momentum;
        hyper.weight_decay = decay;
        hyper.grad_scale = grad_scale;
        *b1_power = b1;
        *b2_power = b2;
        swg_hyper_adam(&hyper, b1_power, b2_power, dtype, row);
    }
}

double swg__optimiser_average_momentum(const swg__optimiser *o, int64_t epoch, int64_t epochs) {
    return o->average_momentum + (o->average_ramp ? (1 - o->average_momentum) * (double)epoch / (double)epochs : 0);
}
