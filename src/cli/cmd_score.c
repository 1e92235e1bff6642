/* cmd_score.c - `swage score`: folders of separated stems against their references, beside what the mixture and ideal masks would score.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "cli/cli.h"
#include "swage/audio.h"
#include "swage/separation.h"

static const cli_option options[] = {
    {"stems", 0, "LIST", "sources, as vocals,other (default: all files of the reference but mixture); other is the sum of all that are not listed"},
    {"mono", 0, NULL, "score the mean of the channels"},
    {"bounds", 0, NULL, "beside them the mixture as the estimate of each stem, and ideal masks: ratio of magnitudes and of energies, real, complex"},
    {"n-fft", 0, "N", "window of the masks' spectrograms, a power of two (default: 2048); hop is a quarter"},
    {"bss", 0, NULL, "BSSEval v3 and v4 too: seconds per song"},
    {"floor", 0, "KIND", "none (default), or published: no ratio below 1e-10"},
    CLI_THREADS, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

enum { MOST = SWG_SEPARATION_SOURCES, TRIALS = 6 };

/* What is scored: the estimates given, or made of the references. */
static const struct {
    const char *key, *title;
    bool ideal;
    swg_ideal_opts mask;
} trials[TRIALS] = {
    {"estimate", "estimate", false, {0}},
    {"mixture", "mixture", true, {.mask = SWG_MASK_MIXTURE}},
    {"ratio", "ideal ratio mask", true, {.mask = SWG_MASK_RATIO}},
    {"ratio2", "ideal ratio mask of energies", true, {.mask = SWG_MASK_RATIO, .power = 2}},
    {"phase", "ideal real mask in [0, 1]", true, {.mask = SWG_MASK_PHASE}},
    {"complex", "ideal complex mask, |m| <= 1", true, {.mask = SWG_MASK_COMPLEX}},
};

typedef struct job {
    cli *c;
    char *stems[MOST];              /* given; count 0: those of the folder */
    int stem_count;
    swg_score_opts score;
    int64_t n_fft;
    bool mono, json;
    int64_t songs;
    /* over songs: SDR of the whole song by stem name */
    char *names[MOST];
    int name_count;
    double *sdr[MOST][TRIALS];      /* (songs) */
    int64_t room;
} job;

typedef struct song {
    char *names[MOST];
    float *reference[MOST], *estimate[MOST], *made[MOST], *mixture;
    int sources;
    swg_audio_info about;
    bool estimated;
} song;

static char *path_of(job *j, const char *folder, const char *name) {
    swg__text path;
    swg__text_init(&path, j->c->ctx);
    swg__text_printf(&path, "%s/%s", folder, name);
    return path.failed ? NULL : path.data;
}

/* The name of a file without its kind. */
static int64_t stem_length(const char *file) {
    const char *dot = strrchr(file, '.');
    return dot ? dot - file : (int64_t)strlen(file);
}

static bool is_stem(const char *file, const char *stem) { return stem_length(file) == (int64_t)strlen(stem) && strncmp(file, stem, strlen(stem)) == 0; }

/* Reads one file; all of a song have one rate, length and number of channels. */
static swg_status read_signal(job *j, song *s, const char *folder, const char *file, float **out) {
    char *path = path_of(j, folder, file);
    if (!path)
        return swg__fail_memory(j->c->ctx, strlen(folder), file);
    const bool first = s->about.rate == 0;
    swg_audio_info info;
    swg_status status = swg_audio_load(j->c->ctx, path, &(swg_audio_opts){.channels = j->mono ? 1 : 0}, out, &info);
    if (status == SWG_OK && first)
        s->about = info;
    else if (status == SWG_OK && (info.rate != s->about.rate || info.channels != s->about.channels || info.samples != s->about.samples))
        status = cli_fail(j->c, SWG_ESHAPE, "%s: %lld samples in %d channels at %lld Hz, but the files before it have %lld in %d at %lld", path,
                          (long long)info.samples, info.channels, (long long)info.rate, (long long)s->about.samples, s->about.channels, (long long)s->about.rate);
    swg__free(j->c->ctx, path);
    return status;
}

static void add_signal(const song *s, float *to, const float *from) {
    for (int64_t i = 0; i < s->about.samples * s->about.channels; i++)
        to[i] += from[i];
}

/* The source that a file of the reference belongs to; -1: none. */
static int source_of(const song *s, const char *file) {
    int other = -1;
    for (int k = 0; k < s->sources; k++) {
        if (is_stem(file, s->names[k]))
            return k;
        other = strcmp(s->names[k], "other") == 0 ? k : other;
    }
    return other;
}

static swg_status add_name(job *j, song *s, const char *name, int64_t length) {
    if (s->sources == MOST)
        return cli_fail(j->c, SWG_EUSAGE, "more than %d stems", MOST);
    char *copy = swg__alloc(j->c->ctx, (size_t)length + 1);
    if (!copy)
        return swg__fail_memory(j->c->ctx, (size_t)length, name);
    memcpy(copy, name, (size_t)length);
    copy[length] = 0;
    s->names[s->sources++] = copy;
    return SWG_OK;
}

static swg_status choose_names(job *j, song *s, const char *folder, char **files, size_t count) {
    for (int k = 0; k < j->stem_count; k++)
        SWG__TRY(add_name(j, s, j->stems[k], (int64_t)strlen(j->stems[k])));
    for (size_t i = 0; i < count && !j->stem_count; i++)
        if (swg_audio_named(files[i]) && !is_stem(files[i], "mixture"))
            SWG__TRY(add_name(j, s, files[i], stem_length(files[i])));
    return s->sources ? SWG_OK : cli_fail(j->c, SWG_ENOTFOUND, "%s: no stems (WAV, FLAC or OGG)", folder);
}

/* No stem is there twice, as vocals.wav and vocals.flac. */
static swg_status check_files(job *j, const char *folder, char *const *files, size_t count) {
    for (size_t i = 1; i < count; i++)
        for (size_t k = 0; k < i && swg_audio_named(files[i]); k++)
            if (stem_length(files[i]) == stem_length(files[k]) && strncmp(files[i], files[k], (size_t)stem_length(files[i])) == 0 && swg_audio_named(files[k]))
                return cli_fail(j->c, SWG_EINVAL, "%s: holds %s and %s: one of them must go", folder, files[k], files[i]);
    return SWG_OK;
}

static swg_status read_references(job *j, song *s, const char *folder, char **files, size_t count) {
    SWG__TRY(check_files(j, folder, files, count));
    SWG__TRY(choose_names(j, s, folder, files, count));
    for (size_t i = 0; i < count; i++) {
        const int k = !swg_audio_named(files[i]) || is_stem(files[i], "mixture") ? -1 : source_of(s, files[i]);
        if (swg_audio_named(files[i]) && is_stem(files[i], "mixture"))
            SWG__TRY(read_signal(j, s, folder, files[i], &s->mixture));
        if (k < 0)
            continue;
        float *read = NULL;
        const swg_status status = read_signal(j, s, folder, files[i], &read);
        if (status == SWG_OK && s->reference[k])
            add_signal(s, s->reference[k], read);
        if (status != SWG_OK || s->reference[k])
            swg_audio_free(j->c->ctx, read);
        else
            s->reference[k] = read;
        SWG__TRY(status);
    }
    for (int k = 0; k < s->sources; k++)
        if (!s->reference[k])
            return cli_fail(j->c, SWG_ENOTFOUND, "%s: no stem \"%s\"", folder, s->names[k]);
    return SWG_OK;
}

static swg_status read_estimates(job *j, song *s, const char *folder) {
    char **files = NULL;
    size_t count = 0;
    swg_status status = swg__list_folder(j->c->ctx, folder, &files, &count);
    if (status == SWG_OK)
        status = check_files(j, folder, files, count);
    for (int k = 0; status == SWG_OK && k < s->sources; k++) {
        for (size_t i = 0; i < count && status == SWG_OK && !s->estimate[k]; i++)
            if (swg_audio_named(files[i]) && is_stem(files[i], s->names[k]))
                status = read_signal(j, s, folder, files[i], &s->estimate[k]);
        if (status == SWG_OK && !s->estimate[k])
            status = cli_fail(j->c, SWG_ENOTFOUND, "%s: no estimate of \"%s\"", folder, s->names[k]);
    }
    swg__list_free(j->c->ctx, files, count);
    s->estimated = true;
    return status;
}

/* ---- figures ---- */

static swg_status score(job *j, song *s, int trial, swg_source_score *out) {
    float *const *estimate = s->estimate;
    if (trials[trial].ideal) {
        const size_t bytes = (size_t)(s->about.samples * s->about.channels) * sizeof(float);
        swg_ideal_opts mask = trials[trial].mask;
        mask.n_fft = j->n_fft;
        for (int k = 0; k < s->sources; k++)
            if (!s->made[k] && !(s->made[k] = swg__alloc(j->c->ctx, bytes)))
                return swg__fail_memory(j->c->ctx, bytes, "estimates");
        SWG__TRY(swg_ideal_estimates(j->c->ctx, s->sources, s->about.channels, s->about.samples, (const float *const *)s->reference, s->mixture, &mask, s->made));
        estimate = s->made;
    }
    return swg_song_score(j->c->ctx, s->sources, s->about.channels, s->about.samples, s->about.rate, (const float *const *)s->reference,
                          (const float *const *)estimate, &j->score, out);
}

/* Keeps the song's SDR for the summary. */
static swg_status keep(job *j, const song *s, int trial, const swg_source_score *scores) {
    for (int k = 0; k < s->sources; k++) {
        int at = 0;
        while (at < j->name_count && strcmp(j->names[at], s->names[k]) != 0)
            at++;
        if (at == MOST)
            continue;
        if (at == j->name_count && !(j->names[j->name_count++] = swg__strdup(j->c->ctx, s->names[k])))
            return swg__fail_memory(j->c->ctx, strlen(s->names[k]), "a name");
        double **list = &j->sdr[at][trial];
        if (!*list) {
            *list = swg__alloc(j->c->ctx, (size_t)j->room * sizeof **list);
            if (!*list)
                return swg__fail_memory(j->c->ctx, (size_t)j->room * sizeof **list, "figures");
            for (int64_t i = 0; i < j->room; i++)
                (*list)[i] = (double)NAN;
        }
        (*list)[j->songs] = scores[k].at[SWG_SCORE_TRACK][SWG_SEPARATION_SDR].db;
    }
    return SWG_OK;
}

/* ---- output ---- */

static void print_value(double db) {
    char text[32];
    printf(" %7s", swg_decibel_text(db, text, sizeof text));
}

static void print_head(const job *j, const song *s, const char *name) {
    char clean[512];
    printf("%s: %d stems, %d channel%s, %.1f s at %lld Hz\n", cli_clean(name, clean, sizeof clean), s->sources, s->about.channels, s->about.channels > 1 ? "s" : "",
           (double)s->about.samples / (double)s->about.rate, (long long)s->about.rate);
    printf("%-40s %7s %7s %7s %7s  %7s %7s %7s", "  dB", "SDR", "SI-SDR", "SIR", "SAR", "10 s", "1 s", "n/a");
    printf("%s\n", j->score.bss ? "   v3 SDR     SIR     SAR   v4 SDR     ISR     SIR     SAR" : "");
}

/* SDR, SI-SDR, SIR, SAR of the song; medians of SDR over segments and windows; windows without a figure. */
static void print_row(const job *j, const char *stem, const char *trial, const swg_source_score *score) {
    static const swg_separation_figure whole[] = {SWG_SEPARATION_SDR, SWG_SEPARATION_SI_SDR, SWG_SEPARATION_SIR, SWG_SEPARATION_SAR};
    static const swg_separation_figure v3[] = {SWG_SEPARATION_SDR, SWG_SEPARATION_SIR, SWG_SEPARATION_SAR};
    static const swg_separation_figure v4[] = {SWG_SEPARATION_SDR, SWG_SEPARATION_ISR, SWG_SEPARATION_SIR, SWG_SEPARATION_SAR};
    char clean[512];
    printf("  %-8s %-29s", cli_clean(stem, clean, sizeof clean), trial);
    for (int i = 0; i < 4; i++)
        print_value(score->at[SWG_SCORE_TRACK][whole[i]].db);
    const swg_score_value *windows = &score->at[SWG_SCORE_WINDOWS][SWG_SEPARATION_SDR];
    putchar(' ');
    print_value(score->at[SWG_SCORE_SEGMENTS][SWG_SEPARATION_SDR].db);
    print_value(windows->db);
    printf(" %3lld/%-3lld", (long long)windows->absent, (long long)windows->windows);
    for (int i = 0; i < 3 && j->score.bss; i++)
        print_value(score->at[SWG_SCORE_BSS3][v3[i]].db);
    for (int i = 0; i < 4 && j->score.bss; i++)
        print_value(score->at[SWG_SCORE_BSS4][v4[i]].db);
    putchar('\n');
}

static swg_status add_json(job *j, const song *s, cJSON *root, int trial, const swg_source_score *scores) {
    char *names[MOST] = {0};
    swg_status status = SWG_OK;
    for (int k = 0; k < s->sources && status == SWG_OK; k++) {
        char clean[512];
        if (!(names[k] = swg__strdup(j->c->ctx, cli_clean(s->names[k], clean, sizeof clean))))
            status = swg__fail_memory(j->c->ctx, sizeof clean, "a name");
    }
    const int64_t length = status == SWG_OK ? swg_song_score_json(s->sources, (const char *const *)names, scores, NULL, 0) : 0;
    char *text = status == SWG_OK ? swg__alloc(j->c->ctx, (size_t)length + 1) : NULL;
    if (status == SWG_OK && !text)
        status = swg__fail_memory(j->c->ctx, (size_t)length + 1, "figures");
    if (status == SWG_OK) {
        swg_song_score_json(s->sources, (const char *const *)names, scores, text, length + 1);
        cJSON_AddRawToObject(root, trials[trial].key, text);
    }
    swg__free(j->c->ctx, text);
    for (int k = 0; k < s->sources; k++)
        swg__free(j->c->ctx, names[k]);
    return status;
}

static void print_song_json(const song *s, const char *name, cJSON *results) {
    char clean[512];
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "song", cli_clean(name, clean, sizeof clean));
    cJSON_AddNumberToObject(root, "rate", (double)s->about.rate);
    cJSON_AddNumberToObject(root, "channels", s->about.channels);
    cJSON_AddNumberToObject(root, "samples", (double)s->about.samples);
    while (results->child) {
        cJSON *item = cJSON_DetachItemViaPointer(results, results->child);
        char *key = item->string;
        item->string = NULL;
        cJSON_AddItemToObject(root, key, item);
        cJSON_free(key);
    }
    char *text = cJSON_PrintUnformatted(root);
    puts(text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

static swg_status score_all(job *j, song *s, const char *name) {
    static swg_source_score scores[TRIALS][MOST];
    const bool bounds = cli_flag(j->c, "bounds");
    cJSON *results = cJSON_CreateObject();
    swg_status status = SWG_OK;
    for (int t = 0; t < TRIALS && status == SWG_OK; t++) {
        if (trials[t].ideal ? !bounds : !s->estimated)
            continue;
        status = score(j, s, t, scores[t]);
        if (status == SWG_OK)
            status = keep(j, s, t, scores[t]);
        if (status == SWG_OK && j->json)
            status = add_json(j, s, results, t, scores[t]);
    }
    if (status == SWG_OK && j->json) {
        print_song_json(s, name, results);
    } else if (status == SWG_OK) {
        print_head(j, s, name);
        for (int k = 0; k < s->sources; k++)
            for (int t = 0, first = 1; t < TRIALS; t++)
                if (trials[t].ideal ? bounds : s->estimated) {
                    print_row(j, first ? s->names[k] : "", trials[t].title, &scores[t][k]);
                    first = 0;
                }
    }
    cJSON_Delete(results);
    return status;
}

static swg_status score_song(job *j, const char *reference, const char *estimate, const char *name) {
    song s = {0};
    char **files = NULL;
    size_t count = 0;
    swg_status status = swg__list_folder(j->c->ctx, reference, &files, &count);
    if (status == SWG_OK)
        status = read_references(j, &s, reference, files, count);
    if (status == SWG_OK && estimate)
        status = read_estimates(j, &s, estimate);
    if (status == SWG_OK)
        status = score_all(j, &s, name);
    for (int k = 0; k < s.sources; k++) {
        swg_audio_free(j->c->ctx, s.reference[k]);
        swg_audio_free(j->c->ctx, s.estimate[k]);
        swg__free(j->c->ctx, s.made[k]);
        swg__free(j->c->ctx, s.names[k]);
    }
    swg_audio_free(j->c->ctx, s.mixture);
    swg__list_free(j->c->ctx, files, count);
    j->songs += status == SWG_OK;
    return status;
}

/* Median and mean of the songs' SDR. */
static void print_summary(const job *j) {
    printf("\n%lld songs: SDR in dB of whole songs\n%-40s %7s %7s %7s\n", (long long)j->songs, "", "median", "mean", "n/a");
    for (int k = 0; k < j->name_count; k++)
        for (int t = 0; t < TRIALS; t++) {
            double *list = j->sdr[k][t], sum = 0, used = 0;
            if (!list)
                continue;
            for (int64_t i = 0; i < j->songs; i++)
                if (!isnan(list[i])) {
                    sum += list[i];
                    used++;
                }
            char clean[512];
            printf("  %-8s %-29s", cli_clean(j->names[k], clean, sizeof clean), trials[t].title);
            print_value(swg_decibel_median(list, j->songs));
            print_value(used > 0 ? sum / used : (double)NAN);
            printf(" %3lld/%-3lld\n", (long long)((double)j->songs - used), (long long)j->songs);
        }
}

/* ---- the command ---- */

static swg_status read_stems(job *j) {
    const char *list = cli_value(j->c, "stems");
    while (list && *list) {
        const size_t length = strcspn(list, ",");
        if (!length || j->stem_count == MOST)
            return cli_fail(j->c, SWG_EUSAGE, "--stems %s: up to %d names with commas between", cli_value(j->c, "stems"), MOST);
        char *name = swg__alloc(j->c->ctx, length + 1);
        if (!name)
            return swg__fail_memory(j->c->ctx, length, "a name");
        memcpy(name, list, length);
        name[length] = 0;
        j->stems[j->stem_count++] = name;
        list += length + (list[length] == ',');
    }
    return SWG_OK;
}

static swg_status read_options(job *j) {
    cli *c = j->c;
    const char *floor = cli_value(c, "floor");
    if (floor && strcmp(floor, "none") != 0 && strcmp(floor, "published") != 0)
        return cli_fail(c, SWG_EUSAGE, "--floor %s: none or published", floor);
    j->score = (swg_score_opts){.floor = floor && strcmp(floor, "published") == 0 ? 1e-10 : 0, .bss = cli_flag(c, "bss")};
    j->mono = cli_flag(c, "mono");
    j->json = cli_flag(c, "json");
    j->n_fft = 2048;
    if (c->positional_count < 2 && !cli_flag(c, "bounds"))
        return cli_fail(c, SWG_EUSAGE, "a folder of estimates, or --bounds");
    SWG__TRY(cli_integer(c, "n-fft", 16, 65536, &j->n_fft));
    return read_stems(j);
}

/* Files in the folder itself: one song; else its folders are songs. */
static swg_status score_folder(job *j, const char *reference, const char *estimate) {
    char **names = NULL;
    size_t count = 0;
    swg_status status = swg__list_folder(j->c->ctx, reference, &names, &count);
    bool one = false;
    for (size_t i = 0; i < count; i++)
        one = one || swg_audio_named(names[i]);
    j->room = one ? 1 : (int64_t)count;
    if (status == SWG_OK && one)
        status = score_song(j, reference, estimate, reference);
    for (size_t i = 0; i < count && status == SWG_OK && !one; i++) {
        char *from = path_of(j, reference, names[i]), *to = estimate ? path_of(j, estimate, names[i]) : NULL;
        if (!from || (estimate && !to))
            status = swg__fail_memory(j->c->ctx, 1024, names[i]);
        else if (swg__is_folder(from))
            status = score_song(j, from, to, names[i]);
        swg__free(j->c->ctx, from);
        swg__free(j->c->ctx, to);
    }
    if (status == SWG_OK && !j->songs)
        status = cli_fail(j->c, SWG_ENOTFOUND, "%s: neither stems nor folders of stems", reference);
    swg__list_free(j->c->ctx, names, count);
    return status;
}

static swg_status run(cli *c) {
    job j = {.c = c};
    swg_status status = read_options(&j);
    if (status == SWG_OK)
        status = score_folder(&j, c->positional[0], c->positional_count > 1 ? c->positional[1] : NULL);
    if (status == SWG_OK && j.songs > 1 && !j.json)
        print_summary(&j);
    for (int k = 0; k < MOST; k++) {
        swg__free(c->ctx, j.stems[k]);
        swg__free(c->ctx, j.names[k]);
        for (int t = 0; t < TRIALS; t++)
            swg__free(c->ctx, j.sdr[k][t]);
    }
    return status;
}

const cli_command cli_cmd_score = {
    .name = "score",
    .usage = "REFERENCE [ESTIMATE]",
    .help = "how well stems were separated: SDR, SI-SDR, SIR, SAR, BSSEval",
    .details = "Both are folders of stems (vocals.wav ...), or of songs that are such folders. docs/separation.md defines the figures.\n"
               "  swage score songs/one separated/one\n"
               "  swage score songs --bounds",
    .options = options,
    .least = 1,
    .most = 2,
    .run = run,
};
