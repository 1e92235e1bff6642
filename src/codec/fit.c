/* fit.c - the table of trainers, and the chunks they learn from.
 * In: arrays and a bound. Out: models added to a set.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "fit.h"

const swg__trainer swg__trainers[] = {
    {"stencil", SWG__KIND_STENCIL, swg__fit_stencil, true, false, "weights and buckets of the stencil, shared by all chunks"},
    {"law", SWG__KIND_LAW, swg__fit_law, true, false, "scales of the polynomial mode's coefficients"},
    {"causal", SWG__KIND_CAUSAL, swg__fit_causal, false, true, "a stencil corrected by a small network, 28-16-8-2 (mode W-MLP); ten seconds each, where asked for by name"},
    {"causal-deep", SWG__KIND_CAUSAL, swg__fit_causal_deep, false, true, "the same with 28-64-32-2; half a minute each"},
    {"blocks", SWG__KIND_BLOCK_CAUSAL, swg__fit_block_causal, false, false, "variances of differences inside isolated blocks, by displacement"},
    {"blocks", SWG__KIND_BLOCK_CAUSAL, swg__fit_block_pairs, false, false, "the same, of each pair of positions"},
};
const int swg__trainer_count = sizeof swg__trainers / sizeof swg__trainers[0];

/* ---- lessons ---- */

enum { FEW = 16, SHARE = 8 }; /* chunks that are all taken; else one of so many */

void swg__lessons_close(swg__lessons *l) {
    if (!l->ctx)
        return;
    swg__free(l->ctx, l->chunk);
    swg__free(l->ctx, l->lesson);
    *l = (swg__lessons){0};
}

static swg_status choose_chunks(swg__lessons *l, int64_t chunks, int64_t values, int64_t most) {
    int64_t wanted = chunks <= FEW ? chunks : chunks / SHARE < FEW ? FEW : chunks / SHARE;
    if (most && values > most) {
        int64_t fitting = (int64_t)((double)chunks * ((double)most / (double)values));
        wanted = fitting < wanted ? fitting : wanted;
    }
    wanted = wanted < 1 && chunks ? 1 : wanted;
    l->chunk = swg__calloc(l->ctx, (size_t)(wanted ? wanted : 1), sizeof *l->chunk);
    if (!l->chunk)
        return swg__fail_memory(l->ctx, (size_t)wanted * sizeof *l->chunk, "a sample of chunks");
    int64_t before = 0, at = 0;
    for (int64_t i = 0; i < wanted; i++) { /* chunk (i + 1/2) of all arrays' chunks in a row */
        int64_t number = (2 * i + 1) * chunks / (2 * wanted);
        while (number >= before + l->lesson[at].layout.count)
            before += l->lesson[at++].layout.count;
        l->chunk[l->count++] = (struct swg__lesson_chunk){at, number - before};
        int64_t origin[4], extent[4];
        swg__layout_chunk(&l->lesson[at].layout, &l->lesson[at].header, number - before, origin, extent);
        l->values += extent[0] * extent[1] * extent[2] * extent[3];
    }
    return SWG_OK;
}

swg_status swg__lessons_open(swg_context *ctx, const swg_codec_array *arrays, int64_t count, const swg_codec_opts *bound, int64_t most, swg__lessons *out) {
    int64_t chunks = 0, values = 0;
    *out = (swg__lessons){.ctx = ctx};
    out->lesson = swg__calloc(ctx, (size_t)(count ? count : 1), sizeof *out->lesson);
    if (!out->lesson)
        return swg__fail_memory(ctx, (size_t)count * sizeof *out->lesson, "lessons");
    for (int64_t i = 0; i < count; i++) {
        struct swg__lesson *lesson = &out->lesson[out->arrays];
        lesson->array = &arrays[i];
        SWG__TRY(swg__encode_look(ctx, &arrays[i], bound, &lesson->header, &lesson->layout));
        if (lesson->header.grid.step == 0 || !swg__is_float(arrays[i].type))
            continue;
        out->arrays++;
        chunks += lesson->layout.count;
        values += lesson->layout.values;
    }
    return choose_chunks(out, chunks, values, most);
}

swg_status swg__lessons_take(const swg__lessons *l, int64_t i, swg__chunk *chunk) {
    const struct swg__lesson *lesson = &l->lesson[l->chunk[i].lesson];
    return swg__chunk_take(l->ctx, lesson->array->data, &lesson->header, &lesson->layout, l->chunk[i].chunk, chunk);
}

double swg__lessons_bound(const swg__lessons *l) {
    double sum = 0;
    int64_t known = 0;
    for (int64_t i = 0; i < l->arrays; i++) {
        const swg__header *h = &l->lesson[i].header;
        double range = h->range_max - h->range_min, relative = range > 0 ? h->grid.eb / range : 0;
        if (relative > 0 && isfinite(relative)) {
            sum += log(relative);
            known++;
        }
    }
    return known ? exp(sum / (double)known) : 0;
}

swg_status swg__fit_tick(swg_context *ctx, const swg__fit_opts *opts, double done, double bits) {
    if (opts->progress)
        opts->progress(opts->user, done, bits);
    return opts->stop && *opts->stop ? swg__fail(ctx, SWG_EINTERRUPTED, "stopped") : SWG_OK;
}

/* ---- public ---- */

/* Whether `name` is in a list with commas; an empty list names everything. */
static bool listed(const char *list, const char *name) {
    const size_t length = strlen(name);
    bool found = !list || !*list;
    for (const char *at = list; at && *at && !found;) {
        size_t word = strcspn(at, ",");
        found = word == length && memcmp(at, name, length) == 0;
        at += word + (at[word] == ',');
    }
    return found;
}

bool swg__trainer_named(const char *list, int trainer) {
    return listed(list, swg__trainers[trainer].name) && !(swg__trainers[trainer].named && !(list && *list));
}

static swg_status check_kinds(swg_context *ctx, const char *list) {
    for (const char *at = list; at && *at;) {
        char word[32];
        size_t length = strcspn(at, ",");
        snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word - 1), at);
        bool known = false;
        for (int i = 0; i < swg__trainer_count; i++)
            known = known || strcmp(swg__trainers[i].name, word) == 0;
        if (!known) {
            char names[256] = "";
            for (int i = 0; i < swg__trainer_count; i++)
                if (i == 0 || strcmp(swg__trainers[i].name, swg__trainers[i - 1].name) != 0)
                    snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "", swg__trainers[i].name);
            return swg__fail(ctx, SWG_EINVAL, "\"%s\" is no kind of codec model; there are: %s", word, names);
        }
        at += length + (at[length] == ',');
    }
    return SWG_OK;
}

swg_status swg_codec_fit(swg_context *ctx, const swg_codec_array *arrays, int64_t count, const swg_codec_opts *bound,
                         const swg_codec_fit_opts *opts, swg_codec_model *model) {
    static const swg_codec_fit_opts usual = {0};
    const swg_codec_fit_opts *o = opts ? opts : &usual;
    SWG__TRY(check_kinds(ctx, o->kinds));
    swg__lessons lessons;
    swg_status status = swg__lessons_open(ctx, arrays, count, bound, 1, &lessons);
    const double relative = status == SWG_OK ? swg__lessons_bound(&lessons) : 0;
    swg__lessons_close(&lessons);
    for (int i = 0; i < swg__trainer_count && status == SWG_OK; i++) {
        const swg__trainer *t = &swg__trainers[i];
        if (!swg__trainer_named(o->kinds, i))
            continue;
        const swg__fit_opts inner = {o->seed, o->seconds, o->progress, o->user, o->stop};
        swg__text blob;
        swg__text_init(&blob, ctx);
        status = t->fit(ctx, arrays, count, bound, &inner, &blob);
        if (status == SWG_OK && blob.failed)
            status = swg__fail_memory(ctx, blob.length, "a model");
        const char *why = status == SWG_OK && blob.length ? swg__model_add(model, (const uint8_t *)blob.data, blob.length, bound->name, relative, true) : NULL;
        if (why)
            status = swg__fail(ctx, why == swg__why_memory ? SWG_ENOMEM : SWG_EINVAL, "the model %s cannot be used: %s", t->name, why);
        swg__text_free(&blob);
    }
    return status;
}

const char *swg_codec_trainer(int index, const char **help) {
    bool there = index >= 0 && index < swg__trainer_count;
    if (there && help)
        *help = swg__trainers[index].help;
    return there ? swg__trainers[index].name : NULL;
}
