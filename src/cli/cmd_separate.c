/* cmd_separate.c - `swage separate`: songs into stems by a trained network.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base.h"
#include "cli/cli.h"
#include "swage/separate.h"

static const cli_option options[] = {
    {"model", 'm', "RUN", "run folder of `swage train tfswa/...`, or a checkpoint"},
    {"output", 'o', "DIR", "folder of the stems: DIR/SONG/STEM.wav"},
    {"overlap", 0, "SHARE", "share of a segment that two have in common, 0 to 0.75 (default: 0.5)"},
    {"segment", 0, "SECONDS", "length of a segment (default: 10); shorter ones take less memory, and less time: attention along time grows with the square"},
    {"format", 0, "NAME", "wav16, wav24, float or flac (24 bits); default: wav16"},
    {"residual", 0, NULL, "what the stems leave of the song is added to \"other\", so that they add up to it"},
    {"resample", 0, NULL, "take songs of another rate than the network's; stems come back at the song's own"},
    {"downmix", 0, "HOW", "songs of more than two channels: itu (ITU-R BS.775) or mean, to two; else they are refused"},
    {"clip", 0, NULL, "cut numbers beyond the range of integers instead of making all stems of the song quieter"},
    {"force", 0, NULL, "replace stems that are there; else such songs are left out"},
    {"skip-unreadable", 0, NULL, "go on with the next song where one cannot be read"},
    {"quiet", 'q', NULL, "print nothing but failures"},
    CLI_THREADS, CLI_ISA, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

#define CHANGEABLE "inference.*"
enum { PATH_MOST = 4096 };

typedef struct song { const char *path, *name; } song;

typedef struct work {
    cli *c;
    swg_separator *separator;
    swg_separate_opts opts;
    const char *folder;
    swg__arena arena;               /* of the songs' texts */
    song *songs;
    int64_t count, capacity, at, separated, skipped, unreadable;
    double seconds, audio_seconds;  /* of all that were separated */
    int64_t begun;
    bool quiet;
    cli_progress progress;
    cJSON *list;
} work;

/* ---- which songs ---- */

static swg_status add_song(work *w, const char *path, const char *named) {
    const char *slash = strrchr(named, '/'), *last = slash ? slash + 1 : named, *dot = strrchr(last, '.');
    char name[256], whole[256];
    if (w->count == w->capacity) {
        const int64_t capacity = w->capacity ? 2 * w->capacity : 16;
        song *grown = swg__grow(w->c->ctx, w->songs, (size_t)capacity * sizeof *grown);
        if (!grown)
            return cli_fail(w->c, SWG_ENOMEM, "out of memory");
        w->songs = grown;
        w->capacity = capacity;
    }
    const bool ending = swg_audio_named(last) && dot;
    snprintf(whole, sizeof whole, "%.*s", ending ? (int)(dot - last) : (int)strlen(last), last);
    swg__file_name(whole, name, sizeof name);
    w->songs[w->count] = (song){swg__arena_strdup(&w->arena, path), swg__arena_strdup(&w->arena, name)};
    if (!w->songs[w->count].path || !w->songs[w->count].name)
        return cli_fail(w->c, SWG_ENOMEM, "out of memory");
    w->count++;
    return SWG_OK;
}

/* The mixture of a folder of stems; "" if there is none. */
static void find_mixture(const char *folder, char *out, size_t capacity) {
    static const char *const endings[] = {"wav", "flac", "ogg"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (snprintf(out, capacity, "%s/mixture.%s", folder, endings[i]) < (int)capacity && swg__exists(out))
            return;
    *out = 0;
}

/* A folder of stems is one song, its mixture; any other is all songs in it, and those of folders of stems in it. */
static swg_status add_folder(work *w, const char *folder) {
    char path[PATH_MOST], mixture[PATH_MOST], whole[PATH_MOST];
    size_t length = strlen(folder), names_count;
    char **names;
    while (length > 1 && folder[length - 1] == '/')
        length--;
    snprintf(whole, sizeof whole, "%.*s", (int)length, folder);
    find_mixture(whole, mixture, sizeof mixture);
    if (*mixture)
        return add_song(w, mixture, whole);
    const int64_t before = w->count;
    swg_status status = swg__list_folder(w->c->ctx, whole, &names, &names_count);
    if (status != SWG_OK)
        return status;
    for (size_t i = 0; i < names_count && status == SWG_OK; i++) {
        if (snprintf(path, sizeof path, "%s/%s", whole, names[i]) >= (int)sizeof path)
            status = cli_fail(w->c, SWG_EUSAGE, "%s: the path is too long", names[i]);
        else if (swg__is_folder(path))
            find_mixture(path, mixture, sizeof mixture);
        else
            snprintf(mixture, sizeof mixture, "%s", swg_audio_named(path) ? path : "");
        if (status == SWG_OK && *mixture)
            status = add_song(w, mixture, path);
    }
    swg__list_free(w->c->ctx, names, names_count);
    if (status == SWG_OK && w->count == before)
        status = cli_fail(w->c, SWG_ENOTFOUND, "%s: has no songs: .wav, .flac or .ogg, or folders with a mixture", whole);
    return status;
}

static int by_name(const void *a, const void *b) { return strcmp(((const song *)a)->name, ((const song *)b)->name); }

/* Two songs whose stems would lie in one folder are told before anything is computed. */
static swg_status check_names(work *w) {
    song *sorted = swg__alloc(w->c->ctx, (size_t)w->count * sizeof *sorted);
    swg_status status = sorted ? SWG_OK : cli_fail(w->c, SWG_ENOMEM, "out of memory");
    if (sorted) {
        memcpy(sorted, w->songs, (size_t)w->count * sizeof *sorted);
        qsort(sorted, (size_t)w->count, sizeof *sorted, by_name);
    }
    for (int64_t i = 1; i < w->count && status == SWG_OK; i++)
        if (strcmp(sorted[i - 1].name, sorted[i].name) == 0)
            status = cli_fail(w->c, SWG_EINVAL, "%s and %s would both be written to %s/%s; rename one, or separate them one by one", sorted[i - 1].path,
                              sorted[i].path, w->folder, sorted[i].name);
    swg__free(w->c->ctx, sorted);
    return status;
}

static swg_status find_songs(work *w) {
    for (int i = 0; i < w->c->positional_count; i++) {
        const char *path = w->c->positional[i];
        SWG__TRY(swg__is_folder(path) ? add_folder(w, path) : add_song(w, path, path));
    }
    return check_names(w);
}

/* ---- one song ---- */

static const char *ending_of(const work *w) { return w->opts.format == SWG_AUDIO_FLAC ? "flac" : "wav"; }

/* How many stems of the folder are there. */
static int stems_there(const work *w, const char *folder) {
    char path[PATH_MOST + 300], name[256];
    int there = 0;
    for (int k = 0; k < w->separator->stems; k++) {
        swg__file_name(w->separator->names[k], name, sizeof name);
        snprintf(path, sizeof path, "%s/%s.%s", folder, name, ending_of(w));
        there += swg__exists(path);
    }
    return there;
}

static void on_progress(void *user, int64_t done, int64_t total) {
    work *w = user;
    const double seconds = (double)(swg__now_ns() - w->begun) * 1e-9, audio = (double)done / (double)w->separator->rate;
    if (w->quiet || !done)
        return;
    const int64_t left = llround(seconds / (double)done * (double)(total - done));
    cli_progress_show(&w->progress, "%lld/%lld %s  %.0f%%  real-time factor %.2f  %lld:%02lld left", (long long)w->at + 1, (long long)w->count,
                      w->songs[w->at].name, 100 * (double)done / (double)total, seconds / audio, (long long)(left / 60), (long long)(left % 60));
}

/* What was done to the song that the user did not ask for by name. */
static void say_notes(const work *w, const char *path, const swg_separate_result *r) {
    if (w->quiet)
        return;
    if (r->song.repeated)
        cli_say("%s: mono; both channels of the stems come from it", path);
    if (r->gain < 1)
        cli_say("%s: the stems reach %.3f of full scale: all are %.2f dB quieter, so that none clips (--format float keeps them as they are)", path, r->peak,
                -20 * log10(r->gain));
    if (r->clipped)
        cli_say("%s: %lld numbers of the stems were clipped", path, (long long)r->clipped);
}

static double factor(double seconds, double audio_seconds) { return audio_seconds > 0 ? seconds / audio_seconds : 0; }

static void tell(work *w, const song *s, const char *folder, const swg_separate_result *r) {
    char clean[PATH_MOST];
    if (!w->list) {
        if (!w->quiet)
            printf("%s: %.2f s of %d channel%s at %lld Hz in %lld segment%s, %.2f s, real-time factor %.3f; wrote %s/*.%s\n",
                   cli_clean(s->path, clean, sizeof clean), r->audio_seconds, r->song.file_channels, r->song.file_channels == 1 ? "" : "s",
                   (long long)r->song.file_rate, (long long)r->segments, r->segments == 1 ? "" : "s", r->seconds, factor(r->seconds, r->audio_seconds), folder,
                   ending_of(w));
        return;
    }
    cJSON *o = cJSON_CreateObject(), *stems;
    cJSON_AddStringToObject(o, "song", cli_clean(s->path, clean, sizeof clean));
    cJSON_AddStringToObject(o, "folder", cli_clean(folder, clean, sizeof clean));
    stems = cJSON_AddArrayToObject(o, "stems");
    for (int k = 0; k < w->separator->stems; k++)
        cJSON_AddItemToArray(stems, cJSON_CreateString(w->separator->names[k]));
    const struct { const char *key; double value; } numbers[] = {
        {"rate", (double)r->song.file_rate}, {"samples", (double)r->song.file_samples}, {"song_channels", r->song.file_channels}, {"channels", r->channels},
        {"segments", (double)r->segments}, {"seconds", r->seconds}, {"audio_seconds", r->audio_seconds}, {"peak", r->peak}, {"gain", r->gain},
        {"clipped", (double)r->clipped}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        cJSON_AddNumberToObject(o, numbers[i].key, numbers[i].value);
    if (r->audio_seconds > 0)
        cJSON_AddNumberToObject(o, "real_time_factor", r->seconds / r->audio_seconds);
    cJSON_AddItemToArray(w->list, o);
}

/* Whether the folder holds the song itself, whose stems there may be the originals. */
static bool holds_song(const char *folder, const char *path) {
    char own[PATH_MOST];
    const char *slash = strrchr(path, '/');
    struct stat a, b;
    return snprintf(own, sizeof own, "%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".") < (int)sizeof own && stat(own, &a) == 0 &&
           stat(folder, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static swg_status separate_one(work *w, const song *s) {
    char folder[PATH_MOST];
    swg_separate_result r;
    if (snprintf(folder, sizeof folder, "%s/%s", w->folder, s->name) >= (int)sizeof folder)
        return cli_fail(w->c, SWG_EUSAGE, "%s: the path is too long", w->folder);
    const bool force = cli_flag(w->c, "force");
    const int there = stems_there(w, folder);
    if (there && force && holds_song(folder, s->path))
        return cli_fail(w->c, SWG_EIO, "%s: the song itself lies here, and --force would replace stems beside it; choose another folder", folder);
    if (there && !force && there < w->separator->stems) /* all or none are ours: a song of somebody's stems */
        return cli_fail(w->c, SWG_EIO, "%s: holds other files of the names of stems; choose another folder, or replace them with --force", folder);
    if (there && !force) {
        w->skipped++;
        if (!w->quiet)
            cli_say("%s: the stems in %s are there already; --force replaces them", s->path, folder);
        return SWG_OK;
    }
    w->begun = swg__now_ns();
    swg_status status = swg_separate_file(w->c->ctx, w->separator, s->path, folder, &w->opts, &r);
    cli_progress_close(&w->progress);
    if (status != SWG_OK)
        return status;
    w->separated++;
    w->seconds += r.seconds;
    w->audio_seconds += r.audio_seconds;
    say_notes(w, s->path, &r);
    tell(w, s, folder, &r);
    return SWG_OK;
}

static swg_status separate_all(work *w) {
    for (w->at = 0; w->at < w->count; w->at++) {
        swg_status status = separate_one(w, &w->songs[w->at]);
        const bool unreadable = status == SWG_ENOTFOUND || status == SWG_EFORMAT || status == SWG_ECORRUPT || status == SWG_ESHAPE || status == SWG_ENONFINITE ||
                                status == SWG_EUNSUPPORTED || status == SWG_EINVAL;
        if (unreadable && cli_flag(w->c, "skip-unreadable")) {
            cli_say("skipped: %s", swg_context_message(w->c->ctx));
            w->unreadable++;
        } else if (status != SWG_OK) {
            return status;
        }
    }
    return SWG_OK;
}

/* ---- options ---- */

/* The place of an option's word in a list; 0 where it is not given. */
static swg_status word(cli *c, const char *name, const char *const *words, int count, int *place) {
    const char *text = cli_value(c, name);
    char near[64];
    for (*place = 0; text && *place < count; ++*place)
        if (strcmp(text, words[*place]) == 0)
            return SWG_OK;
    return text ? cli_fail(c, SWG_EUSAGE, "--%s %s: unknown%s", name, text, swg__did_you_mean(text, words, (size_t)count, near, sizeof near)) : SWG_OK;
}

static swg_status read_options(work *w, double *segment) {
    static const char *const formats[] = {"wav16", "wav24", "float", "flac"}, *const mixes[] = {"refuse", "itu", "mean"};
    cli *c = w->c;
    int format, mix;
    double overlap = .5;
    if (!cli_value(c, "model") || !cli_value(c, "output"))
        return cli_fail(c, SWG_EUSAGE, "separate: say -m RUN and -o DIR");
    SWG__TRY(cli_number(c, "overlap", 0, .75, &overlap));
    SWG__TRY(cli_number(c, "segment", .01, 600, segment));
    SWG__TRY(word(c, "format", formats, 4, &format));
    SWG__TRY(word(c, "downmix", mixes, 3, &mix));
    w->folder = cli_value(c, "output");
    w->opts = (swg_separate_opts){.overlap = overlap > 0 ? overlap : -1, .residual = cli_flag(c, "residual"), .format = (swg_audio_format)format,
                                  .clip = cli_flag(c, "clip"), .resample = cli_flag(c, "resample"), .downmix = (swg_audio_downmix)mix,
                                  .progress = on_progress, .stop = cli_signal_flag(), .user = w};
    return SWG_OK;
}

static swg_status open_network(work *w, double segment, swg_model **model) {
    swg_config *config = NULL;
    SWG__TRY(cli_only_keys(w->c, CHANGEABLE));
    SWG__TRY(swg_model_open_as(w->c->ctx, cli_value(w->c, "model"), "tfswa", model));
    swg_status status = cli_open_model_config(w->c, *model, &config);
    if (status == SWG_OK)
        status = cli_set_inference(w->c, *model, config);
    const int64_t rate = status == SWG_OK ? swg_config_int(config, "data.rate") : 0;
    if (status == SWG_OK)
        status = swg_config_status(config);
    swg_config_close(config);
    SWG__TRY(status);
    return swg_separator_open(*model, llround(segment * (double)rate), &w->separator);
}

static void print_json(work *w) {
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "separated", (double)w->separated);
    cJSON_AddNumberToObject(root, "skipped", (double)w->skipped);
    cJSON_AddNumberToObject(root, "unreadable", (double)w->unreadable);
    cJSON_AddNumberToObject(root, "planned_bytes", (double)w->separator->planned_bytes);
    cJSON_AddNumberToObject(root, "segment", (double)w->separator->segment);
    cJSON_AddItemToObject(root, "songs", w->list);
    w->list = NULL;
    char *text = cJSON_Print(root);
    puts(text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

static swg_status run(cli *c) {
    work w = {.c = c, .quiet = cli_flag(c, "quiet") || cli_flag(c, "json")};
    swg_model *model = NULL;
    double segment = 10;
    swg__arena_init(&w.arena, c->ctx);
    cli_progress_open(&w.progress, 2);
    swg_status status = read_options(&w, &segment);
    if (status == SWG_OK)
        status = find_songs(&w);
    if (status == SWG_OK)
        status = open_network(&w, segment, &model);
    if (status == SWG_OK && !w.quiet)
        printf("segments of %.2f s, %.1f MiB planned for the network\n", (double)w.separator->segment / (double)w.separator->rate,
               (double)w.separator->planned_bytes / 1048576);
    cli_signals_catch();
    w.list = cli_flag(c, "json") ? cJSON_CreateArray() : NULL;
    if (status == SWG_OK)
        status = separate_all(&w);
    cli_progress_close(&w.progress);
    if (status == SWG_OK && w.list)
        print_json(&w);
    else if (status == SWG_OK && !w.quiet && w.count > 1)
        printf("%lld songs, %lld separated, %lld there already, %lld unreadable; real-time factor %.3f\n", (long long)w.count, (long long)w.separated,
               (long long)w.skipped, (long long)w.unreadable, factor(w.seconds, w.audio_seconds));
    cJSON_Delete(w.list);
    swg_separator_close(w.separator);
    swg_model_close(model);
    swg__free(c->ctx, w.songs);
    swg__arena_free(&w.arena);
    return status;
}

const cli_command cli_cmd_separate = {
    .name = "separate",
    .usage = "SONG_OR_FOLDER ... -m RUN -o DIR [inference.precision=bf16]",
    .help = "separate songs into their stems with a trained network",
    .details = "Writes DIR/SONG/STEM.wav, in memory that does not grow with the song. Songs are WAV, FLAC or OGG; of a folder all in it, and of a folder of stems\n"
               "its mixture. Numbers that would clip make all stems of the song quieter by one gain, which is told.\n"
               "  swage separate song.flac -m runs/vocals -o stems          # stems/song/vocals.wav, stems/song/other.wav\n"
               "  swage separate album -m runs/vocals -o stems --format float --residual --resample",
    .options = options,
    .least = 1,
    .most = -1,
    .overrides = true,
    .keys = CHANGEABLE,
    .run = run,
};
