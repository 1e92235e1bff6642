/* train.c - codec models of each variable of a source: which arrays are learned from, and what the models save on others.
 * In: HDF5 arrays. Out: models added to a set, bits per value before and after.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "archive/archive.h"
#include "codec/fit.h"

enum { TESTS = 4, PARTS = 100 };                   /* arrays tested; steps of progress per variable */
#define LEARN_VALUES ((int64_t)1 << 24)            /* of one variable at a time in memory, one array at least */

void swg_archive_training_free(swg_archive_training *t) {
    if (!t)
        return;
    swg__free(t->ctx, t->rows);
    swg__free(t->ctx, t->names);
    swg__free(t->ctx, t);
}

/* One variable at work. */
typedef struct lesson {
    swg_context *ctx;
    swg_source *source;
    const swg_archive_opts *opts;
    const swg_archive_train_opts *how;
    const swg_archive_hooks *hooks;
    const char *variable;
    int64_t *index, count;         /* its arrays in the source, by time */
    int64_t place, places;         /* of the variable among all, for progress */
} lesson;

static swg_status read_array(const lesson *l, int64_t index, swg_codec_array *array, swg_codec_opts *codec) {
    const swg_array *a = swg_source_array(l->source, index);
    const size_t bytes = (size_t)(a->count * swg_element_bytes(a->element));
    void *data = swg__alloc(l->ctx, bytes);
    *array = swg__codec_array_of(a, data);
    *codec = (swg_codec_opts){.bound = l->opts->bound, .value = l->opts->value, .has_range = l->opts->has_range, .range_min = l->opts->range_min,
                              .range_max = l->opts->range_max, .without = l->opts->without, .name = l->variable};
    if (!data)
        return swg__fail_memory(l->ctx, bytes, a->variable);
    SWG__TRY(swg__archive_fill(l->ctx, a->variable, a->element, a->fill ? &a->fill_bits : NULL, l->opts, codec));
    return swg_source_read(l->source, index, data);
}

static void tell(void *user, double done, double bits) {
    const lesson *l = user;
    char what[64] = "training";
    if (isfinite(bits))
        snprintf(what, sizeof what, "training, %.3f bits per value", bits);
    int64_t part = (int64_t)(PARTS * (done < 0 ? 0 : done > 1 ? 1 : done));
    swg__archive_progress(l->hooks, l->place * PARTS + (part < PARTS ? part : PARTS - 1), l->places * PARTS, what, l->variable);
}

/* Trains on the first `most` arrays, thinned out evenly to what memory allows. kinds, name: of the models. */
static swg_status learn(const lesson *l, int64_t most, const char *kinds, const char *name, swg_codec_model *model, int64_t *taken) {
    int64_t largest = 1;
    for (int64_t i = 0; i < most; i++)
        largest = swg_source_array(l->source, l->index[i])->count > largest ? swg_source_array(l->source, l->index[i])->count : largest;
    const int64_t room = LEARN_VALUES / largest, count = most < room ? most : room > 1 ? room : 1;
    swg_codec_array *arrays = swg__calloc(l->ctx, (size_t)count, sizeof *arrays);
    swg_codec_opts codec = {0};
    swg_status status = arrays ? SWG_OK : swg__fail_memory(l->ctx, (size_t)count * sizeof *arrays, "arrays");
    *taken = 0;
    for (int64_t i = 0; i < count && status == SWG_OK; i++)
        status = read_array(l, l->index[(2 * i + 1) * most / (2 * count)], &arrays[(*taken)++], &codec);
    codec.name = name;
    const swg_codec_fit_opts fit = {.kinds = kinds, .seed = l->how->seed, .seconds = l->how->seconds, .progress = tell, .user = (void *)(uintptr_t)l,
                                    .stop = l->hooks ? l->hooks->stop : NULL};
    if (status == SWG_OK)
        status = swg_codec_fit(l->ctx, arrays, count, &codec, &fit, model);
    for (int64_t i = 0; arrays && i < *taken; i++)
        swg__free(l->ctx, (void *)(uintptr_t)arrays[i].data);
    swg__free(l->ctx, arrays);
    return status;
}

/* Codes one array; every model that shortens it counts, whether it would pay in a file of this array alone or not. */
static swg_status test(const lesson *l, int64_t index, const swg_codec_model *model, swg_archive_training_row *row) {
    swg_codec_array array;
    swg_codec_opts codec;
    swg__encoded coded = {0};
    int all[SWG__MODELS];
    for (int i = 0; i < swg_codec_model_count(model); i++)
        all[i] = i;
    swg_status status = read_array(l, index, &array, &codec);
    if (status == SWG_OK)
        status = swg__encode_array(l->ctx, &array, &codec, model, &coded);
    if (status == SWG_OK) {
        row->bytes_without += coded.bytes;
        row->bytes_with += swg__encoded_with(&coded, all, swg_codec_model_count(model));
        row->values += swg_source_array(l->source, index)->count;
        row->tested++;
    }
    swg__encoded_free(&coded);
    swg__free(l->ctx, (void *)(uintptr_t)array.data);
    return status;
}

/* Arrays at the end that are not trained on. */
static int64_t held_back(const lesson *l, bool tested) { return tested && l->count > 1 ? (l->count + 3) / 4 : 0; }

static swg_status train_variable(lesson *l, swg_codec_model *model, swg_archive_training_row *row) {
    const int before = swg_codec_model_count(model);
    const int64_t held = held_back(l, row != NULL), begun = swg__now_ns();
    int64_t trained;
    SWG__TRY(learn(l, l->count - held, l->how->kinds, l->variable, model, &trained));
    if (!row)
        return SWG_OK;
    row->trained = trained;
    row->held_out = held > 0;
    row->seconds = (double)(swg__now_ns() - begun) * 1e-9;
    for (int i = before; i < swg_codec_model_count(model); i++) {
        swg_codec_model_info info;
        swg_codec_model_describe(model, i, &info);
        row->model_bytes += (int64_t)info.bytes;
    }
    const int64_t first = held ? l->count - held : 0, tests = l->count - first < TESTS ? l->count - first : TESTS;
    for (int64_t i = 0; i < tests; i++)
        SWG__TRY(test(l, l->index[first + (2 * i + 1) * (l->count - first) / (2 * tests)], model, row));
    return SWG_OK;
}

/* Arrays of a variable by time; of equal or unknown times, as the source has them. */
static void sort_arrays(lesson *l) {
    for (int64_t i = 1; i < l->count; i++) {
        int64_t moved = l->index[i], k = i;
        const swg_array *a = swg_source_array(l->source, moved);
        while (k > 0 && a->has_time && swg_source_array(l->source, l->index[k - 1])->time > a->time) {
            l->index[k] = l->index[k - 1];
            k--;
        }
        l->index[k] = moved;
    }
}

static bool has_models(const swg_codec_model *model, const char *variable) {
    swg_codec_model_info info;
    for (int i = 0; i < swg_codec_model_count(model); i++) {
        swg_codec_model_describe(model, i, &info);
        if (strcmp(info.name, variable) == 0)
            return true;
    }
    return false;
}

static swg_archive_training *new_training(swg_context *ctx, const swg_source *source) {
    size_t bytes = 1;
    const int64_t variables = swg_source_variables(source);
    for (int64_t v = 0; v < variables; v++)
        bytes += strlen(swg_source_variable(source, v)) + 1;
    swg_archive_training *t = swg__calloc(ctx, 1, sizeof *t);
    if (!t)
        return NULL;
    t->ctx = ctx;
    t->rows = swg__calloc(ctx, (size_t)variables + 1, sizeof *t->rows);
    t->names = swg__calloc(ctx, 1, bytes);
    if (!t->rows || !t->names) {
        swg_archive_training_free(t);
        return NULL;
    }
    char *at = t->names;
    for (int64_t v = 0; v < variables; v++) {
        size_t length = strlen(swg_source_variable(source, v)) + 1;
        memcpy(at, swg_source_variable(source, v), length);
        t->rows[t->count++].variable = at;
        at += length;
    }
    return t;
}

/* Takes the arrays of the variable at work, by time. */
static void take_arrays(lesson *l) {
    l->count = 0;
    for (int64_t i = 0; i < swg_source_count(l->source); i++) {
        const swg_array *a = swg_source_array(l->source, i);
        if (a->variable_index == l->place && (a->element == SWG_ELEMENT_F32 || a->element == SWG_ELEMENT_F64))
            l->index[l->count++] = i;
    }
    sort_arrays(l);
}

/* The arrays of all variables that may be trained on, as far as their fill values are the same. */
static int64_t take_all(lesson *l, bool tested, int64_t *out) {
    const swg_array *first = NULL;
    int64_t count = 0;
    for (l->place = 0; l->place < l->places; l->place++) {
        take_arrays(l);
        for (int64_t i = 0; i < l->count - held_back(l, tested); i++) {
            const swg_array *a = swg_source_array(l->source, l->index[i]);
            first = first ? first : a;
            if (!first->fill == !a->fill && (!a->fill || a->fill_bits == first->fill_bits))
                out[count++] = l->index[i];
        }
    }
    l->place = 0;
    return count;
}

/* Models of all variables together, of the kinds that pool: what no variable could pay for by itself. */
static swg_status train_together(lesson *l, bool tested, swg_codec_model *model) {
    char kinds[128] = "";
    int64_t trained;
    lesson all = *l;
    for (int i = 0; i < swg__trainer_count; i++)
        if (swg__trainers[i].pools && swg__trainer_named(l->how->kinds, i) && strlen(kinds) + strlen(swg__trainers[i].name) + 2 < sizeof kinds)
            snprintf(kinds + strlen(kinds), sizeof kinds - strlen(kinds), "%s%s", *kinds ? "," : "", swg__trainers[i].name);
    all.variable = "all variables";
    all.index = swg__alloc(l->ctx, ((size_t)swg_source_count(l->source) + 1) * sizeof *all.index);
    if (!all.index)
        return swg__fail_memory(l->ctx, (size_t)swg_source_count(l->source) * sizeof *all.index, "arrays");
    all.count = take_all(l, tested, all.index);
    swg_status status = *kinds && all.count && l->places > 1 && !has_models(model, "") ? learn(&all, all.count, kinds, NULL, model, &trained) : SWG_OK;
    swg__free(l->ctx, all.index);
    return status;
}

swg_status swg__archive_learn(swg_context *ctx, swg_source *source, const swg_archive_opts *opts, const swg_archive_train_opts *how,
                              const swg_archive_hooks *hooks, swg_codec_model *model, swg_archive_training *training) {
    lesson l = {.ctx = ctx, .source = source, .opts = opts, .how = how, .hooks = hooks, .places = swg_source_variables(source)};
    int kinds = 0;
    for (int i = 0; i < swg__trainer_count; i++)
        kinds += swg__trainer_named(how->kinds, i);
    l.index = swg__alloc(ctx, ((size_t)swg_source_count(source) + 1) * sizeof *l.index);
    swg_status status = l.index ? SWG_OK : swg__fail_memory(ctx, (size_t)swg_source_count(source) * sizeof *l.index, "arrays");
    if (status == SWG_OK)
        status = train_together(&l, training != NULL, model);
    for (; l.place < l.places && status == SWG_OK; l.place++) {
        l.variable = swg_source_variable(source, l.place);
        take_arrays(&l);
        if (!l.count || has_models(model, l.variable))
            continue;
        if (swg_codec_model_count(model) + kinds > SWG__MODELS) {
            swg__log(ctx, SWG_LOG_WARNING, "a set holds 64 models: none for variable %s and those behind it", l.variable);
            break;
        }
        status = train_variable(&l, model, training ? &training->rows[l.place] : NULL);
        if (status == SWG_OK && how->save)
            status = swg_codec_model_save(ctx, model, how->save);
        if (status == SWG_OK && swg__archive_stopped(hooks)) /* a kind that keeps the best so far went through */
            status = swg__fail(ctx, SWG_EINTERRUPTED, "stopped");
    }
    swg__free(ctx, l.index);
    return status;
}

swg_status swg_archive_train(swg_context *ctx, const char *input, const swg_archive_opts *opts, const swg_archive_train_opts *how,
                             const swg_archive_hooks *hooks, swg_codec_model *model, swg_archive_training **training) {
    swg_source *source = NULL;
    swg_archive_training *t = NULL;
    if (training)
        *training = NULL;
    SWG__TRY(swg_source_open(ctx, input, &opts->source, &source));
    swg_status status = SWG_OK;
    if (training) {
        t = new_training(ctx, source);
        status = t ? SWG_OK : swg__fail_memory(ctx, sizeof *t, "a training");
    }
    if (status == SWG_OK)
        status = swg__archive_learn(ctx, source, opts, how, hooks, model, t);
    swg_source_close(source);
    if (status == SWG_OK && training)
        *training = t;
    else
        swg_archive_training_free(t);
    return status;
}

swg_status swg_archive_open_models(swg_context *ctx, const char *path, swg_codec_model **models, swg_model **network) {
    char file[4096];
    const size_t length = strlen(path);
    const bool given = length > 4 && strcmp(path + length - 4, ".swm") == 0;
    *models = NULL;
    *network = NULL;
    if (snprintf(file, sizeof file, given ? "%s" : "%s/model.swm", path) >= (int)sizeof file)
        return swg__fail(ctx, SWG_EINVAL, "%s: the path is too long", path);
    return given || swg__exists(file) ? swg_codec_model_load(ctx, file, models) : swg_model_open(ctx, path, network);
}
