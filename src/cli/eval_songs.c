/* eval_songs.c - `swage eval` of networks of songs: a table per stem, JSON or CSV.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/eval_songs.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "cli/eval_out.h"
#include "swage/evaluate.h"

static void on_progress(void *user, int64_t done, int64_t total) {
    cli_progress_show(user, "%.0f%% of %lld samples", 100.0 * (double)done / (double)(total ? total : 1), (long long)total);
}

static void on_note(void *user, const char *text) {
    cli_progress_close(user);
    cli_say("%s", text);
}

/* ---- table ---- */

static const struct { swg_score_view view; swg_separation_figure figure; const char *title; } columns[] = {
    {SWG_SCORE_TRACK, SWG_SEPARATION_SDR, "SDR"},        {SWG_SCORE_TRACK, SWG_SEPARATION_SI_SDR, "SI-SDR"},
    {SWG_SCORE_TRACK, SWG_SEPARATION_SIR, "SIR"},        {SWG_SCORE_TRACK, SWG_SEPARATION_SAR, "SAR"},
    {SWG_SCORE_SEGMENTS, SWG_SEPARATION_SDR, "SDR 10 s"}, {SWG_SCORE_WINDOWS, SWG_SEPARATION_SDR, "SDR 1 s"},
    {SWG_SCORE_BSS4, SWG_SEPARATION_SDR, "SDR v4"},      {SWG_SCORE_BSS3, SWG_SEPARATION_SDR, "SDR v3"},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

static void print_table(const void *figures) {
    const swg_song_evaluation *e = figures;
    const bool bss = e->count && e->rows[0].score.at[SWG_SCORE_BSS4][SWG_SEPARATION_SDR].windows;
    const int shown = bss ? COLUMNS : COLUMNS - 2;
    char name[256], text[24];
    printf("%s\n%s\n", e->data, e->split);
    for (int k = 0; k < e->stems; k++) {
        printf("\n%-28s%-11s", e->stem[k], "dB");
        for (int i = 0; i < shown; i++)
            printf(" %9s", columns[i].title);
        printf("\n");
        for (int64_t r = 0; r < e->count; r++) {
            const swg_song_row *row = &e->rows[r];
            if (row->stem != k)
                continue;
            printf("%-28s%-11s", row->estimate ? "" : cli_clean(row->song, name, sizeof name), swg_song_estimate_name(row->estimate));
            for (int i = 0; i < shown; i++)
                printf(" %9s", swg_decibel_text(row->score.at[columns[i].view][columns[i].figure].db, text, sizeof text));
            printf("\n");
        }
    }
    printf("\n\"all\": medians over songs that have a figure, of %lld. %.1f s of audio in %.1f s: real-time factor %.2f. %.1f MiB planned\n", (long long)e->songs,
           e->audio_seconds, e->compute_seconds, e->compute_seconds / e->audio_seconds, (double)e->planned_bytes / 1048576);
}

/* ---- JSON, CSV ---- */

static cJSON *score_object(const swg_song_evaluation *e, const swg_song_row *row) {
    const char *name = e->stem[row->stem];
    const int64_t length = swg_song_score_json(1, &name, &row->score, NULL, 0);
    char *text = malloc((size_t)length + 1);
    if (text)
        swg_song_score_json(1, &name, &row->score, text, length + 1);
    cJSON *object = text ? cJSON_Parse(text) : NULL;
    free(text);
    cJSON *views = cJSON_DetachItemFromObject(object, name);
    cJSON_Delete(object);
    return views;
}

/* {"stems": {"vocals": {"separated": {"track": ...}, "mixture": ..., "ratio_mask": ...}}} of one song, from row `first` on. */
static void add_song(cJSON *to, const swg_song_evaluation *e, int64_t first) {
    cJSON *stems = cJSON_AddObjectToObject(to, "stems");
    for (int k = 0; k < e->stems; k++) {
        cJSON *stem = cJSON_AddObjectToObject(stems, e->stem[k]);
        for (int64_t r = first; r < first + (int64_t)SWG_SONG_ESTIMATES * e->stems; r++)
            if (e->rows[r].stem == k)
                cJSON_AddItemToObject(stem, swg_song_estimate_name(e->rows[r].estimate), score_object(e, &e->rows[r]));
    }
}

static char *json_of(const cli *c, swg_model *model, const swg_song_evaluation *e) {
    const char *part = cli_value(c, "part");
    const int64_t per_song = (int64_t)SWG_SONG_ESTIMATES * e->stems;
    const size_t capacity = strlen(e->split) + 1;
    char name[4096], *split = swg__alloc(c->ctx, capacity);     /* it lists songs, whose names may be any bytes; cleaned text is never longer */
    cJSON *root = cJSON_CreateObject();
    if (!split) {
        cJSON_Delete(root);
        return NULL;
    }
    cJSON_AddStringToObject(root, "model", cli_clean(swg_model_path(model), name, sizeof name));
    cJSON_AddNumberToObject(root, "epoch", (double)swg_model_epoch(model));
    cJSON_AddStringToObject(root, "part", part ? part : "test");
    cJSON_AddStringToObject(root, "data", e->data);
    cJSON_AddStringToObject(root, "split", cli_clean(e->split, split, capacity));
    swg__free(c->ctx, split);
    cJSON_AddNumberToObject(root, "audio_seconds", e->audio_seconds);
    cJSON_AddNumberToObject(root, "compute_seconds", e->compute_seconds);
    cJSON_AddNumberToObject(root, "real_time_factor", e->compute_seconds / e->audio_seconds);
    cJSON_AddNumberToObject(root, "planned_bytes", (double)e->planned_bytes);
    cJSON *songs = cJSON_AddArrayToObject(root, "songs");
    for (int64_t s = 0; s < e->songs; s++) {
        cJSON *song = cJSON_CreateObject();
        cJSON_AddItemToArray(songs, song);
        cJSON_AddStringToObject(song, "song", cli_clean(e->rows[s * per_song].song, name, sizeof name));
        add_song(song, e, s * per_song);
    }
    add_song(root, e, e->songs * per_song);
    char *text = cJSON_Print(root);
    cJSON_Delete(root);
    return text;
}

static void csv_of(const void *figures, swg__text *text) {
    const swg_song_evaluation *e = figures;
    swg__text_puts(text, "song,stem,estimate");
    for (int view = 0; view < SWG_SCORE_VIEWS; view++)
        for (int f = 0; f < SWG_SEPARATION_FIGURES; f++)
            swg__text_printf(text, ",%s_%s", swg_score_key((swg_score_view)view), swg_separation_key((swg_separation_figure)f));
    for (int64_t r = 0; r < e->count; r++) {
        const swg_song_row *row = &e->rows[r];
        swg__text_puts(text, "\n");
        swg__text_csv(text, row->song);
        swg__text_printf(text, ",%s,%s", e->stem[row->stem], swg_song_estimate_name(row->estimate));
        for (int view = 0; view < SWG_SCORE_VIEWS; view++)
            for (int f = 0; f < SWG_SEPARATION_FIGURES; f++) {
                const swg_score_value *value = &row->score.at[view][f];
                swg__text_printf(text, !value->windows || isnan(value->db) ? "," : ",%.17g", value->db);
            }
    }
    swg__text_puts(text, "\n");
}

swg_status cli_eval_songs(cli *c, swg_model *model, swg_config *config) {
    swg_song_evaluation e;
    cli_progress progress;
    swg_song_evaluate_opts opts = {.part = cli_value(c, "part"), .bss = cli_flag(c, "bss"),
                                   .floor = swg_config_is(config, "metric.floor", "published") ? 1e-10 : 0,
                                   .progress = on_progress, .note = on_note, .stop = cli_signal_flag(), .user = &progress};
    static const char *const others[] = {"speed", "arrays", "percentiles", "batch", "relative-floor"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (i < 3 ? cli_flag(c, others[i]) : cli_value(c, others[i]) != NULL)
            return cli_fail(c, SWG_EUSAGE, "--%s is of other networks; songs have --part, --segment, --bss, --csv and -o", others[i]);
    SWG__TRY(cli_number(c, "segment", .01, 600, &opts.segment_seconds));
    cli_progress_open(&progress, 2);
    cli_signals_catch();
    swg_status status = swg_evaluate_songs(c->ctx, model, config, &opts, &e);
    cli_progress_close(&progress);
    if (status != SWG_OK)
        return status;
    status = cli_give_evaluation(c, &(cli_evaluation){&e, json_of(c, model, &e), csv_of, print_table});
    swg_song_evaluation_free(c->ctx, &e);
    return status;
}
