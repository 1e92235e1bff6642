/* evaluate_songs.c - a network of family tfswa over songs: its stems against the true ones, beside the mixture and the ideal ratio mask.
 * In: an opened model, folders of stems. Out: figures per song, stem and estimate.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "swage/evaluate.h"
#include "swage/separate.h"
#include "train/run.h"

enum { ALL = SWG_PARTS };
static const char *const part_names[] = {"train", "val", "test", "all"};

typedef struct work {
    swg_context *ctx;
    swg_model *model;
    const swg__recipe_tfswa *recipe;
    const swg_song_evaluate_opts *opts;
    swg_song_evaluation *out;
    swg__stems *songs;
    swg_separator *separator;
    int part, stems, sources;       /* sources: the stems, and what is left of the mixture where that is not silent */
    int64_t samples, values;        /* of the song in work: per channel, of all channels */
    float *memory, *mixture, *reference[SWG__STEMS_MOST + 1], *estimate[SWG__STEMS_MOST + 1], *ideal[SWG__STEMS_MOST + 1];
    int64_t done, total;            /* samples of all songs */
} work;

static swg_status find_part(work *w) {
    const char *name = w->opts->part ? w->opts->part : part_names[SWG_TEST];
    for (w->part = 0; w->part <= ALL; w->part++)
        if (strcmp(name, part_names[w->part]) == 0)
            return SWG_OK;
    return swg__fail(w->ctx, SWG_EUSAGE, "part \"%s\": expected train, val, test or all", name);
}

static void note(void *user, const char *text) {
    const work *w = user;
    if (w->opts->note)
        w->opts->note(w->opts->user, text);
}

static swg_status open_songs(work *w, swg_config *config) {
    swg__stems_opts opts;
    swg__tfswa_lists *lists = swg__calloc(w->ctx, 1, sizeof *lists);
    swg_status status = lists ? swg__tfswa_songs(w->ctx, config, swg__model_recipe(w->model), lists, &opts) : swg__fail_memory(w->ctx, sizeof *lists, "names of songs");
    if (status == SWG_OK) {
        opts.use = w->part == ALL ? SWG__STEMS_ALL : w->part == SWG_TEST ? SWG__STEMS_EVAL : SWG__STEMS_TRAIN;
        opts.cache = "none"; /* every song is read once */
        opts.note = note;
        opts.note_user = w;
        status = swg__stems_open(w->ctx, &opts, &w->songs);
    }
    if (status == SWG_OK && w->part == SWG_TEST && !opts.leave_out)
        note(w, "no song was kept out of training by data.leave_out; where these are the songs of the training run, figures are of songs it knows");
    swg__free(w->ctx, lists);
    return status;
}

const char *swg_song_estimate_name(swg_song_estimate estimate) {
    static const char *const names[SWG_SONG_ESTIMATES] = {"separated", "mixture", "ratio_mask"};
    return estimate >= 0 && estimate < SWG_SONG_ESTIMATES ? names[estimate] : NULL;
}

/* ---- a song ---- */

static swg_status reserve(work *w, int64_t samples) {
    const int slots = 1 + 3 * (w->stems + 1);
    w->samples = samples;
    w->values = samples * w->recipe->channels;
    const size_t bytes = (size_t)w->values * (size_t)slots * sizeof(float);
    swg__free(w->ctx, w->memory);
    w->memory = swg__alloc(w->ctx, bytes);
    if (!w->memory)
        return swg__fail_memory(w->ctx, bytes, "a song with its stems");
    w->mixture = w->memory;
    for (int k = 0; k <= w->stems; k++) {
        w->reference[k] = w->memory + (1 + k) * w->values;
        w->estimate[k] = w->reference[k] + (w->stems + 1) * w->values;
        w->ideal[k] = w->estimate[k] + (w->stems + 1) * w->values;
    }
    return SWG_OK;
}

/* What the mixture has beyond the stems, in `rest`. Returns whether there is anything that is heard. */
static bool subtract(const work *w, float *const *stems, float *rest) {
    float loudest = 0, most = 0;
    for (int64_t i = 0; i < w->values; i++) {
        float left = w->mixture[i];
        for (int k = 0; k < w->stems; k++)
            left -= stems[k][i];
        rest[i] = left;
        most = fmaxf(most, fabsf(left));
        loudest = fmaxf(loudest, fabsf(w->mixture[i]));
    }
    return most > 1e-5f * loudest;
}

static swg_status add_rows(work *w, const char *song, swg_song_estimate kind, const swg_source_score *scores) {
    for (int k = 0; k < w->stems; k++) {
        swg_song_row *row = &w->out->rows[w->out->count++];
        *row = (swg_song_row){.song = swg__strdup(w->ctx, song), .stem = k, .estimate = kind, .score = scores[k]};
        if (!row->song)
            return swg__fail_memory(w->ctx, strlen(song), "a name");
    }
    return SWG_OK;
}

static swg_status score(work *w, const char *song, swg_song_estimate kind, float *const *estimates) {
    swg_source_score scores[SWG__STEMS_MOST + 1];
    const swg_score_opts opts = {.floor = w->opts->floor, .bss = w->opts->bss};
    SWG__TRY(swg_song_score(w->ctx, w->sources, w->recipe->channels, w->samples, w->recipe->rate, (const float *const *)w->reference,
                            (const float *const *)estimates, &opts, scores));
    return add_rows(w, song, kind, scores);
}

static void on_separated(void *user, int64_t done, int64_t total) {
    work *w = user;
    (void)total;
    if (w->opts->progress)
        w->opts->progress(w->opts->user, w->done + done, w->total);
}

static swg_status evaluate(work *w, int64_t track) {
    const swg__stems_track *t = swg__stems_track_at(w->songs, track);
    float *mixtures[SWG__STEMS_MOST + 1];
    SWG__TRY(reserve(w, t->frames));
    SWG__TRY(swg__stems_read(w->songs, track, 0, t->frames, w->mixture, w->reference[0]));
    w->sources = w->stems + (subtract(w, w->reference, w->reference[w->stems]) ? 1 : 0);
    const int64_t begin = swg__now_ns();
    SWG__TRY(swg_separate_array(w->ctx, w->separator, w->samples, w->mixture, w->estimate[0],
                                &(swg_separate_opts){.overlap = w->opts->overlap, .progress = on_separated, .stop = w->opts->stop, .user = w}));
    w->out->compute_seconds += (double)(swg__now_ns() - begin) * 1e-9;
    w->out->audio_seconds += (double)w->samples / (double)w->recipe->rate;
    subtract(w, w->estimate, w->estimate[w->stems]);
    SWG__TRY(score(w, t->name, SWG_SONG_SEPARATED, w->estimate));
    for (int k = 0; k <= w->stems; k++)
        mixtures[k] = w->mixture;
    SWG__TRY(score(w, t->name, SWG_SONG_MIXTURE, mixtures));
    const swg_ideal_opts ideal = {.mask = SWG_MASK_RATIO, .n_fft = 2048, .hop = 512};
    SWG__TRY(swg_ideal_estimates(w->ctx, w->sources, w->recipe->channels, w->samples, (const float *const *)w->reference, w->mixture, &ideal, w->ideal));
    SWG__TRY(score(w, t->name, SWG_SONG_RATIO_MASK, w->ideal));
    w->done += w->samples;
    w->out->songs++;
    return SWG_OK;
}

/* ---- all of them ---- */

/* Of a figure of all songs: the median of those that have one. */
static void combine(work *w, int stem, swg_song_estimate kind, double *db, swg_source_score *out) {
    *out = (swg_source_score){0};
    for (int view = 0; view < SWG_SCORE_VIEWS; view++)
        for (int f = 0; f < SWG_SEPARATION_FIGURES; f++) {
            swg_score_value *value = &out->at[view][f];
            int64_t count = 0;
            for (int64_t i = 0; i < w->out->count; i++) {
                const swg_song_row *row = &w->out->rows[i];
                if (row->stem != stem || row->estimate != kind || !row->score.at[view][f].windows)
                    continue;
                const double one = row->score.at[view][f].db;
                value->absent += isnan(one);
                value->perfect += isinf(one) && one > 0;
                db[count++] = one;
            }
            value->windows = count;
            value->db = count ? swg_decibel_median(db, count) : NAN;
        }
}

static swg_status add_all(work *w) {
    swg_source_score all[SWG_SONG_ESTIMATES][SWG__STEMS_MOST];
    double *db = swg__calloc(w->ctx, (size_t)w->out->songs + 1, sizeof *db);
    if (!db)
        return swg__fail_memory(w->ctx, (size_t)w->out->songs * sizeof *db, "figures");
    for (int kind = 0; kind < SWG_SONG_ESTIMATES; kind++)
        for (int k = 0; k < w->stems; k++)
            combine(w, k, (swg_song_estimate)kind, db, &all[kind][k]);
    swg__free(w->ctx, db);
    for (int kind = 0; kind < SWG_SONG_ESTIMATES; kind++)
        SWG__TRY(add_rows(w, "all", (swg_song_estimate)kind, all[kind]));
    return SWG_OK;
}

static bool wanted(const work *w, int64_t track) { return w->part == ALL || swg__stems_track_at(w->songs, track)->part == w->part; }

static swg_status run(work *w, swg_config *config) {
    SWG__TRY(open_songs(w, config));
    const int64_t tracks = swg__stems_tracks(w->songs);
    int64_t songs = 0;
    for (int64_t i = 0; i < tracks; i++)
        if (wanted(w, i)) {
            w->total += swg__stems_track_at(w->songs, i)->frames;
            songs++;
        }
    if (!songs)
        return swg__fail(w->ctx, SWG_EINVAL, "no song in the part \"%s\": %s", part_names[w->part], swg__stems_split(w->songs)->description);
    const size_t rows = (size_t)((songs + 1) * SWG_SONG_ESTIMATES * w->stems);
    w->out->rows = swg__calloc(w->ctx, rows, sizeof *w->out->rows);
    w->out->data = swg__strdup(w->ctx, swg__stems_summary(w->songs));
    w->out->split = swg__strdup(w->ctx, swg__stems_split(w->songs)->description);
    if (!w->out->rows || !w->out->data || !w->out->split)
        return swg__fail_memory(w->ctx, rows * sizeof *w->out->rows, "figures of songs");
    SWG__TRY(swg_separator_open(w->model, (int64_t)ceil(w->opts->segment_seconds * (double)w->recipe->rate), &w->separator));
    w->out->planned_bytes = w->separator->planned_bytes;
    for (int64_t i = 0; i < tracks; i++)
        if (wanted(w, i))
            SWG__TRY(evaluate(w, i));
    return add_all(w);
}

swg_status swg_evaluate_songs(swg_context *ctx, swg_model *model, swg_config *config, const swg_song_evaluate_opts *opts, swg_song_evaluation *out) {
    static const swg_song_evaluate_opts none = {0};
    work w = {.ctx = ctx, .model = model, .opts = opts ? opts : &none, .out = out};
    *out = (swg_song_evaluation){0};
    if (strcmp(swg_model_family(model), "tfswa") != 0)
        return swg__fail(ctx, SWG_EUNSUPPORTED, "%s: a network of family %s; one of family tfswa is needed here", swg_model_path(model), swg_model_family(model));
    SWG__TRY(find_part(&w));
    if (!(w.opts->segment_seconds >= 0 && w.opts->segment_seconds <= 3600 && w.opts->overlap <= .75))
        return swg__fail(ctx, SWG_EINVAL, "segments of %g s that share %g: expected 0 to 3600 s, at most 0.75", w.opts->segment_seconds, w.opts->overlap);
    w.recipe = &swg__model_recipe(model)->tfswa;
    w.stems = out->stems = w.recipe->stems;
    for (int k = 0; k < w.stems; k++)
        snprintf(out->stem[k], sizeof out->stem[k], "%s", w.recipe->stem[k]);
    swg_status status = run(&w, config ? config : swg_model_config(model));
    swg_separator_close(w.separator);
    swg__stems_close(w.songs);
    swg__free(ctx, w.memory);
    if (status != SWG_OK)
        swg_song_evaluation_free(ctx, out);
    return status;
}

void swg_song_evaluation_free(swg_context *ctx, swg_song_evaluation *e) {
    for (int64_t i = 0; i < e->count; i++)
        swg__free(ctx, e->rows[i].song);
    swg__free(ctx, e->rows);
    swg__free(ctx, e->data);
    swg__free(ctx, e->split);
    *e = (swg_song_evaluation){0};
}
