/* test_stems.c - the data set of stems: what is read from which file, what is refused and in which words, parts without leaks, segments that cover,
 * draws that depend on seed, epoch and sample alone, augmentations within their bounds, and the songs of the shared data.
 * SPDX-License-Identifier: Apache-2.0 */
#include <ftw.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>
#include "scratch.h"
#include "data/stems.h"
#include "data/stretch.h"
#include "philox.h"
#include "swage/audio.h"

enum { SEGMENT = 4000, FRAMES = 10000, FFT = 256, HOP = 64, BINS = FFT / 2 + 1, TIMES = SEGMENT / HOP + 1 };

/* ---- songs on disk ---- */

static char root[64];

static const char *at(const char *name) {
    static char path[8][400];
    static int turn;
    turn = (turn + 1) % 8;
    snprintf(path[turn], sizeof path[0], "%s/%s", root, name);
    return path[turn];
}

static void put(uint8_t *to, uint32_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> 8 * i);
}

/* x (channels, frames) as 16-bit numbers, or as floats of any value. */
static void write_wav(const char *path, int rate, int channels, int64_t frames, bool floats, const float *x) {
    const uint32_t each = floats ? 4 : 2, bytes = (uint32_t)(frames * channels) * each;
    uint8_t head[44] = "RIFF....WAVEfmt ";
    put(head + 4, 36 + bytes, 4);
    put(head + 16, 16, 4);
    put(head + 20, floats ? 3 : 1, 2);
    put(head + 22, (uint32_t)channels, 2);
    put(head + 24, (uint32_t)rate, 4);
    put(head + 28, (uint32_t)(rate * channels) * each, 4);
    put(head + 32, (uint32_t)channels * each, 2);
    put(head + 34, 8 * each, 2);
    memcpy(head + 36, "data", 4);
    put(head + 40, bytes, 4);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(head, 1, 44, f), 44);
    for (int64_t i = 0; i < frames; i++)
        for (int c = 0; c < channels; c++) {
            const float v = x[c * frames + i];
            const int16_t k = floats ? 0 : (int16_t)lrintf(v * 32768);
            assert_int_equal(fwrite(floats ? (const void *)&v : (const void *)&k, each, 1, f), 1);
        }
    assert_int_equal(fclose(f), 0);
}

static const char *const stems[] = {"vocals", "drums", "bass", "other"};

/* A number for every sample of every stem: k / 32768, |k| < 4096, so that four add up exactly. */
static float value_of(int track, int stem, int channel, int64_t i) {
    const swg__philox_words w = swg__philox(1, (uint64_t)i, (uint32_t)channel, (uint32_t)(16 * track + stem));
    return (float)((int)(w.w[0] % 8191) - 4095) / 32768;
}

static float sum_of(int track, int first, int last, int channel, int64_t i) {
    float sum = 0;
    for (int k = first; k <= last; k++)
        sum += value_of(track, k, channel, i);
    return sum;
}

typedef struct song {
    int track, rate, channels;
    int64_t frames;
    bool floats;
    float scale;                /* of the mixture; 0: 1 */
} song;

/* A folder of five files. */
static void write_song(const char *name, const song *how) {
    const int channels = how->channels ? how->channels : 2, rate = how->rate ? how->rate : 44100;
    const int64_t frames = how->frames ? how->frames : FRAMES;
    float *x = malloc((size_t)(channels * frames) * sizeof *x);
    char path[200];
    mkdir(at(name), 0777);
    for (int k = 0; k < 5; k++) {
        for (int c = 0; c < channels; c++)
            for (int64_t i = 0; i < frames; i++)
                x[c * frames + i] = k < 4 ? value_of(how->track, k, c, i) : sum_of(how->track, 0, 3, c, i) * (how->scale != 0 ? how->scale : 1);
        snprintf(path, sizeof path, "%s/%s.wav", name, k < 4 ? stems[k] : "mixture");
        write_wav(at(path), rate, channels, frames, how->floats, x);
    }
    free(x);
}

/* Replaces one file by `frames` of a constant. */
static void write_flat(const char *file, int rate, int channels, int64_t frames, float value) {
    float *x = malloc((size_t)(channels * frames) * sizeof *x);
    for (int64_t i = 0; i < channels * frames; i++)
        x[i] = value;
    write_wav(at(file), rate, channels, frames, true, x);
    free(x);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where) { return (void)info, (void)kind, (void)where, remove(path); }

static char notes[8000];

static void keep_note(void *user, const char *text) {
    (void)user;
    strncat(notes, text, sizeof notes - strlen(notes) - 2);
    strcat(notes, "\n");
}

static int open_all(void **state) {
    strcpy(root, "/tmp/swage-test-XXXXXX");
    *notes = 0;
    return mkdtemp(root) ? testing_open(state) : -1;
}

static int close_all(void **state) { return testing_close(state) | nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

/* Options of the tests: short segments, a small transform. */
static swg__stems_opts options(void) {
    return (swg__stems_opts){.path = root, .segment = SEGMENT, .per_track = 3, .n_fft = FFT, .hop = HOP, .note = keep_note};
}

static swg__stems *open_set(swg_context *ctx, const swg__stems_opts *opts) {
    swg__stems *set = NULL;
    assert_ok(ctx, swg__stems_open(ctx, opts, &set));
    return set;
}

/* One sample, for as long as the next is not taken. */
typedef struct taken {
    float mixture[2 * SEGMENT], stems[5 * 2 * SEGMENT], bins[BINS], frames[TIMES];
} taken;

static void take(swg_context *ctx, const swg__stems *set, int64_t sample, const swg__stems_draw *draw, taken *out) {
    char message[300];
    assert_ok(ctx, swg__stems_fetch(set, &sample, 1, draw, &(swg__stems_batch){out->mixture, out->stems, out->bins, out->frames}, message, sizeof message));
}

static const swg__stems_draw evaluation = {.seed = 5};

#define assert_note(...)                                                                                   \
    do {                                                                                                   \
        const char *const note_words[] = {__VA_ARGS__};                                                    \
        for (size_t note_i = 0; note_i < sizeof note_words / sizeof *note_words; note_i++)                 \
            if (!strstr(notes, note_words[note_i]))                                                        \
                fail_msg("\"%s\" is not in the notes:\n%s", note_words[note_i], notes);                    \
    } while (0)

/* ---- what is read ---- */

static void files_and_stems(void **state) {
    swg_context *ctx = *state;
    taken t;
    static const char *const names[] = {"a", "b", "c"};
    write_song("b", &(song){.track = 1});
    write_song("a", &(song){.track = 0});
    write_song("c", &(song){.track = 2, .floats = true});
    static const struct { const char *list; int count, first[4], last[4]; } cases[] = {
        {NULL, 2, {0, 1}, {0, 3}}, {"vocals,drums,bass,other", 4, {0, 1, 2, 3}, {0, 1, 2, 3}}, {" other , vocals ", 2, {1, 0}, {3, 0}},
        {"drums", 1, {1}, {1}}, {"other", 1, {0}, {3}}, {"vocals,drums,other", 3, {0, 1, 2}, {0, 1, 3}}};
    for (size_t k = 0; k < 2 * sizeof cases / sizeof *cases; k++) {
        swg__stems_opts opts = options();
        opts.stems = cases[k / 2].list;
        opts.use = SWG__STEMS_ALL;
        opts.mixture = k % 2 ? "file" : NULL;
        swg__stems *set = open_set(ctx, &opts);
        assert_int_equal(swg__stems_tracks(set), 3);
        assert_int_equal(swg__stems_number(set), cases[k / 2].count);
        for (int track = 0; track < 3; track++) {
            assert_string_equal(swg__stems_track_at(set, track)->name, names[track]);
            take(ctx, set, 3 * track + 1, &evaluation, &t);
            for (int c = 0; c < 2; c++)
                for (int i = 0; i < SEGMENT; i++) {
                    assert_true(t.mixture[c * SEGMENT + i] == sum_of(track, 0, 3, c, SEGMENT + i));
                    for (int s = 0; s < cases[k / 2].count; s++)
                        assert_true(t.stems[(2 * s + c) * SEGMENT + i] == sum_of(track, cases[k / 2].first[s], cases[k / 2].last[s], c, SEGMENT + i));
                }
        }
        swg__stems_close(set);
    }
}

/* Segments of tracks that are not trained on follow each other, the last flush with the end. */
static void segments_cover(void **state) {
    swg_context *ctx = *state;
    static const int64_t lengths[] = {1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 2 * SEGMENT + 7};
    taken t;
    for (int k = 0; k < 6; k++) {
        char name[2] = {(char)('a' + k), 0};
        write_song(name, &(song){.track = k, .frames = lengths[k]});
    }
    swg__stems_opts opts = options();
    opts.use = SWG__STEMS_ALL;
    swg__stems *set = open_set(ctx, &opts);
    assert_note("2 tracks are shorter than a segment of 4000 samples: zeros follow them");
    assert_int_equal(swg__stems_count(set), 1 + 1 + 1 + 2 + 2 + 3);
    assert_int_equal(swg__stems_split(set)->count[SWG_TEST], 10);
    for (int64_t sample = 0; sample < 10; sample++) {
        const int64_t track = swg__stems_track_of(set, sample), n = lengths[track], k = sample - swg__stems_track_at(set, track)->first_sample;
        const int64_t start = (k + 1) * SEGMENT <= n || n < SEGMENT ? k * SEGMENT : n - SEGMENT;
        take(ctx, set, sample, &evaluation, &t);
        for (int c = 0; c < 2; c++)
            for (int i = 0; i < SEGMENT; i++)
                assert_true(t.mixture[c * SEGMENT + i] == (start + i < n ? sum_of((int)track, 0, 3, c, start + i) : 0));
        for (int i = 0; i < BINS; i++)
            assert_true(t.bins[i] == 1);
        for (int i = 0; i < TIMES; i++)
            assert_true(t.frames[i] == 1);
    }
    assert_int_equal(swg__stems_track_of(set, -1), -1);
    assert_int_equal(swg__stems_track_of(set, 10), -1);
    swg__stems_close(set);
}

/* Any piece of a track, over its ends too. */
static void pieces(void **state) {
    swg_context *ctx = *state;
    write_song("a", &(song){.track = 3});
    swg__stems_opts opts = options();
    opts.valid_fraction = -1;
    for (int k = 0; k < 4; k++) {
        opts.cache = k & 1 ? "none" : "memory";
        opts.stems = k & 2 ? "vocals" : NULL;
        swg__stems *set = open_set(ctx, &opts);
        assert_true(swg__stems_track_at(set, 0)->cached == !(k & 1));
        assert_int_equal(swg__stems_bytes(set), k & 1 ? 0 : 2 * 2 * 2 * FRAMES); /* 16-bit numbers; the mixture is the sum of both */
        static const int64_t where[][2] = {{0, FRAMES}, {-50, 100}, {FRAMES - 30, 100}, {-5, FRAMES + 10}, {-200, 100}, {FRAMES, 10}, {777, 1}, {3, 0}};
        for (size_t w = 0; w < sizeof where / sizeof *where; w++) {
            const int64_t start = where[w][0], n = where[w][1];
            float *mixture = malloc((size_t)(2 * n + 1) * sizeof *mixture), *out = malloc((size_t)(4 * n + 1) * sizeof *out);
            assert_ok(ctx, swg__stems_read(set, 0, start, n, mixture, NULL));
            for (int64_t i = 0; i < 2 * n; i++)
                assert_true(mixture[i] == (start + i % n < 0 || start + i % n >= FRAMES ? 0 : sum_of(3, 0, 3, (int)(i / n), start + i % n)));
            assert_ok(ctx, swg__stems_read(set, 0, start, n, NULL, out));
            for (int64_t i = 0; i < 2 * n; i++)
                assert_true(out[i] == (start + i % n < 0 || start + i % n >= FRAMES ? 0 : value_of(3, 0, (int)(i / n), start + i % n)));
            free(mixture);
            free(out);
        }
        assert_int_equal(swg__stems_read(set, 1, 0, 1, NULL, NULL), SWG_EINVAL);
        assert_int_equal(swg__stems_read(set, 0, 0, -1, NULL, NULL), SWG_EINVAL);
        swg__stems_close(set);
    }
}

/* ---- bad input: every row of the table of the documentation ---- */

static void refuse(swg_context *ctx, const swg__stems_opts *opts, swg_status wanted, const char *word, const char *second) {
    swg__stems *set = (swg__stems *)(uintptr_t)1;
    const swg_status status = swg__stems_open(ctx, opts, &set);
    if (status != wanted)
        fail_msg("%s instead of %s: %s", swg_status_name(status), swg_status_name(wanted), swg_context_message(ctx));
    assert_null(set);
    assert_message(ctx, word, second);
}

static void folders(void **state) {
    swg_context *ctx = *state;
    swg__stems_opts opts = options();
    opts.path = NULL;
    refuse(ctx, &opts, SWG_EINVAL, "data.path", "not given");
    opts.path = at("nowhere");
    refuse(ctx, &opts, SWG_ENOTFOUND, "nowhere", "no such folder");
    opts.path = root;
    refuse(ctx, &opts, SWG_ENOTFOUND, root, "holds no track");
    mkdir(at("empty"), 0777);
    mkdir(at(".hidden"), 0777);
    write_song(".hidden/a", &(song){.track = 0}); /* not looked into */
    refuse(ctx, &opts, SWG_ENOTFOUND, root, "holds no track");
    write_song("a", &(song){.track = 0});
    assert_int_equal(symlink(at("a"), at("link")), 0);
    assert_int_equal(symlink("/nowhere", at("dangling")), 0);
    write_flat("lost.wav", 44100, 2, 10, 0);
    write_flat("a/guitar.wav", 8000, 2, 10, 0);
    *notes = 0;
    swg__stems *set = open_set(ctx, &opts);
    assert_int_equal(swg__stems_tracks(set), 1);
    assert_note("1 folder without stems left alone", "empty", "1 symbolic link");
    swg__stems_close(set);
    write_flat("empty/song.stem.mp4", 44100, 2, 10, 0);
    refuse(ctx, &opts, SWG_EUNSUPPORTED, "song.stem.mp4", "ffmpeg");
    assert_int_equal(rename(at("empty/song.stem.mp4"), at("song.stem.mp4")), 0);
    refuse(ctx, &opts, SWG_EUNSUPPORTED, "song.stem.mp4", "-map 0:4 vocals.wav");
}

static void missing_files(void **state) {
    swg_context *ctx = *state;
    swg__stems_opts opts = options();
    write_song("a", &(song){.track = 0});
    write_song("b", &(song){.track = 1});
    remove(at("b/bass.wav"));
    refuse(ctx, &opts, SWG_ENOTFOUND, "/b/bass.wav", "every stem");
    write_song("b", &(song){.track = 1});
    remove(at("b/mixture.wav"));
    opts.mixture = "file";
    refuse(ctx, &opts, SWG_ENOTFOUND, "/b/mixture.wav", "data.mixture=sum");
    opts.mixture = NULL;
    swg__stems_close(open_set(ctx, &opts));
    opts.stems = "guitar,other";
    refuse(ctx, &opts, SWG_ENOTFOUND, "/a/guitar.wav", "every stem");
    opts.stems = NULL;
    write_flat("a/vocals.WAV", 44100, 2, FRAMES, 0);
    refuse(ctx, &opts, SWG_EINVAL, "vocals.WAV and vocals.wav", "one of them must go");
    remove(at("a/vocals.wav"));
    swg__stems_close(open_set(ctx, &opts));
    FILE *f = fopen(at("b/drums.wav"), "wb"); /* nothing that audio files begin with */
    fputs("this is no sound", f);
    fclose(f);
    refuse(ctx, &opts, SWG_EFORMAT, "b/drums.wav", "");
}

static void rates(void **state) {
    swg_context *ctx = *state;
    swg__stems_opts opts = options();
    write_song("a", &(song){.track = 0});
    write_song("b", &(song){.track = 1, .rate = 48000});
    refuse(ctx, &opts, SWG_EINVAL, "48000", "data.resample=true");
    assert_message(ctx, "/b/", "44100");
    opts.resample = true;
    opts.use = SWG__STEMS_TRAIN;
    opts.valid_fraction = -1;
    swg__stems *set = NULL;
    if (swg__stems_open(ctx, &opts, &set) == SWG_EUNSUPPORTED) {
        assert_message(ctx, "soxr");
        return;
    }
    assert_non_null(set);
    assert_note("files resampled to 44100 Hz");
    assert_int_equal(swg__stems_track_at(set, 0)->frames, FRAMES);
    assert_int_equal(swg__stems_track_at(set, 1)->frames, (FRAMES * 44100 + 47999) / 48000);
    swg__stems_close(set);
    opts.mixture = "file";
    /* A sine keeps its frequency, and a piece that is read from the file is the piece in memory. */
    const int64_t n = 48000;
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = .5f * (float)sin(2 * 3.14159265358979 * 1000 * (double)i / 48000);
    for (int k = 0; k < 5; k++) {
        char path[40];
        snprintf(path, sizeof path, "b/%s.wav", k < 4 ? stems[k] : "mixture");
        write_wav(at(path), 48000, 1, n, true, x);
    }
    free(x);
    float piece[2][2 * 1000];
    for (int k = 0; k < 2; k++) {
        opts.cache = k ? "none" : NULL;
        set = open_set(ctx, &opts);
        assert_int_equal(swg__stems_track_at(set, 1)->frames, 44100);
        assert_ok(ctx, swg__stems_read(set, 1, 20000, 1000, piece[k], NULL));
        for (int i = 0; i < 1000; i++) {
            assert_close((double)piece[k][i], .5 * sin(2 * 3.14159265358979 * 1000 * (20000 + i) / 44100.), 1e-4, 0);
            assert_close((double)piece[k][i], (double)piece[0][i], 1e-5, 0);
        }
        swg__stems_close(set);
    }
}

static void channels(void **state) {
    swg_context *ctx = *state;
    taken t;
    write_song("a", &(song){.track = 0, .channels = 1});
    swg__stems_opts opts = options();
    opts.use = SWG__STEMS_ALL;
    swg__stems *set = open_set(ctx, &opts);
    assert_note("warning: 4 mono files: repeated in two channels", "/a");
    take(ctx, set, 0, &evaluation, &t);
    for (int i = 0; i < 2 * SEGMENT; i++)
        assert_true(t.stems[i] == value_of(0, 0, 0, i % SEGMENT));
    swg__stems_close(set);
    write_song("a", &(song){.track = 0});
    opts.channels = 1;
    set = open_set(ctx, &opts);
    take(ctx, set, 0, &evaluation, &t);
    for (int i = 0; i < SEGMENT; i++)
        assert_close((double)t.stems[i], .5 * ((double)value_of(0, 0, 0, i) + (double)value_of(0, 0, 1, i)), 1e-8, 0);
    swg__stems_close(set);
    write_song("a", &(song){.track = 0, .channels = 3});
    for (opts.channels = 1; opts.channels < 3; opts.channels++)
        refuse(ctx, &opts, SWG_ESHAPE, "/a/", "3 channels");
}

static void lengths(void **state) {
    swg_context *ctx = *state;
    swg__stems_opts opts = options();
    write_song("a", &(song){.track = 0});
    write_flat("a/bass.wav", 44100, 2, FRAMES - 100, .25f);
    opts.mixture = "file";
    refuse(ctx, &opts, SWG_EINVAL, "vocals 10000, other 10000, drums 10000, bass 9900, mixture 10000", "data.trim=true");
    opts.stems = "vocals,drums,bass,other";
    opts.trim = true;
    opts.valid_fraction = -1;
    swg__stems *set = open_set(ctx, &opts);
    assert_note("1 track cut to the shortest file, by up to 100 samples");
    assert_int_equal(swg__stems_track_at(set, 0)->frames, FRAMES - 100);
    float x[2 * 2];
    assert_ok(ctx, swg__stems_read(set, 0, FRAMES - 101, 2, x, NULL));
    assert_true(x[0] == sum_of(0, 0, 3, 0, FRAMES - 101) && x[1] == 0);
    swg__stems_close(set);
    write_flat("a/bass.wav", 44100, 2, 0, 0);
    refuse(ctx, &opts, SWG_ESHAPE, "a/bass.wav", "no samples");
}

static void not_the_sum(void **state) {
    swg_context *ctx = *state;
    taken t;
    write_song("a", &(song){.track = 0, .scale = .97f, .floats = true});
    write_song("b", &(song){.track = 1, .scale = .995f, .floats = true});
    swg__stems_opts opts = options();
    opts.valid_fraction = -1;
    opts.mixture = "file";
    swg__stems *set = open_set(ctx, &opts);
    assert_note("warning", "/a: the mixture is not the sum of the stems (relative error 0.0309)");
    assert_null(strstr(notes, "/b: the mixture"));
    assert_close(swg__stems_track_at(set, 0)->sum_error, .03 / .97, 0, 1e-5);
    assert_close(swg__stems_track_at(set, 1)->sum_error, .005 / .995, 0, 1e-4);
    take(ctx, set, 0, &evaluation, &t);
    for (int i = 0; i < SEGMENT; i++)
        assert_true(t.mixture[i] == sum_of(0, 0, 3, 0, i) * .97f);
    swg__stems_close(set);
    opts.mixture = "sum";
    *notes = 0;
    set = open_set(ctx, &opts);
    assert_note("/a: the mixture is not the sum of the stems (relative error 0.0309); the sum is taken");
    take(ctx, set, 0, &evaluation, &t);
    for (int i = 0; i < SEGMENT; i++)
        assert_true(t.mixture[i] == sum_of(0, 0, 3, 0, i));
    swg__stems_close(set);
    opts.mixture = "song";
    refuse(ctx, &opts, SWG_EINVAL, "data.mixture=song", "sum file");
    /* With the sum, a mixture file does no harm, whatever is wrong with it. */
    opts.mixture = NULL;
    float *x = calloc(2 * FRAMES, sizeof *x);
    x[5] = NAN;
    for (int k = 0; k < 5; k++) {
        write_wav(at("a/mixture.wav"), k == 0 ? 8000 : 44100, k == 1 ? 3 : 2, k == 1 ? FRAMES / 2 : FRAMES - (k == 2), true, x);
        if (k == 4)
            fclose(fopen(at("a/mixture.wav"), "wb"));
        set = open_set(ctx, &opts);
        assert_true(isnan(swg__stems_track_at(set, 0)->sum_error) && swg__stems_track_at(set, 1)->sum_error < .006);
        swg__stems_close(set);
    }
    free(x);
}

static void not_finite(void **state) {
    swg_context *ctx = *state;
    swg__stems_opts opts = options();
    const float bad[] = {NAN, INFINITY, -INFINITY, 1.0001e4f};
    write_song("a", &(song){.track = 0});
    float *x = calloc(2 * FRAMES, sizeof *x);
    for (int k = 0; k < 4; k++)
        for (int all = 0; all < 2; all++) {
            memset(x, 0, 2 * FRAMES * sizeof *x);
            x[FRAMES + 7777] = bad[k];
            write_wav(at("a/drums.wav"), 44100, 2, FRAMES, true, x);
            opts.use = all ? SWG__STEMS_ALL : SWG__STEMS_TRAIN;
            if (!all) {
                refuse(ctx, &opts, SWG_ENONFINITE, "a/drums.wav", "7777");
                continue;
            }
            swg__stems *set = open_set(ctx, &opts); /* only heads are read: met when it is fetched */
            taken t;
            char message[300];
            assert_int_equal(swg__stems_fetch(set, &(int64_t){1}, 1, &evaluation, &(swg__stems_batch){.mixture = t.mixture, .stems = t.stems}, message,
                                              sizeof message), SWG_ENONFINITE);
            assert_non_null(strstr(message, "a/drums.wav"));
            assert_non_null(strstr(message, "7777"));
            take(ctx, set, 0, &evaluation, &t);
            swg__stems_close(set);
        }
    x[FRAMES + 7777] = 1e4f;
    write_wav(at("a/drums.wav"), 44100, 2, FRAMES, true, x);
    opts.use = SWG__STEMS_TRAIN;
    opts.valid_fraction = -1;
    swg__stems_close(open_set(ctx, &opts));
    free(x);
}

static void bad_options(void **state) {
    swg_context *ctx = *state;
    write_song("a", &(song){.track = 0});
    static const struct { const char *list, *word; } lists[] = {{"", "no stem"}, {"vocals,vocals", "listed twice"}, {"mixture", "add up"}, {"a/b", "no name"},
                                                              {"a,b,c,d,e,f,g,h,i", "more than 8"}};
    swg__stems_opts opts;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        opts = options();
        opts.stems = lists[i].list;
        refuse(ctx, &opts, SWG_EINVAL, "data.stems", lists[i].word);
    }
#define BAD(field, value, word) (opts = options(), opts.field = (value), refuse(ctx, &opts, SWG_EINVAL, word, "expected"))
    BAD(channels, 3, "data.channels=3");
    BAD(rate, -1, "data.rate=-1");
    BAD(segment, -5, "data.segment=-5");
    BAD(per_track, -1, "data.segments_per_track=-1");
    BAD(valid_fraction, 1, "data.valid_fraction=1");
    BAD(valid_fraction, (double)NAN, "data.valid_fraction");
    BAD(n_fft, 1, "n_fft 1");
    BAD(hop, FFT + 1, "hop 257");
    BAD(augment, "gain,reverb", "data.augment=reverb");
    BAD(cache, "disk", "data.cache=disk");
#undef BAD
    opts = options();
    opts.valid_fraction = -1;
    swg__stems *set = open_set(ctx, &opts);
    char message[300];
    assert_int_equal(swg__stems_fetch(set, &(int64_t){3}, 1, &evaluation, &(swg__stems_batch){0}, message, sizeof message), SWG_EINVAL);
    assert_non_null(strstr(message, "sample 3: there are 3"));
    assert_int_equal(swg__stems_fetch(set, &(int64_t){-1}, 1, &evaluation, &(swg__stems_batch){0}, message, sizeof message), SWG_EINVAL);
    assert_null(swg__stems_name(set, 2));
    assert_null(swg__stems_name(set, -1));
    assert_null(swg__stems_track_at(set, 1));
    swg__stems_close(set);
    swg__stems_close(NULL);
}

/* ---- parts ---- */

/* Names of a part, and that its samples are of these tracks alone. */
static const char *part_names(const swg__stems *set, int part) {
    static char text[3][400];
    char *out = text[part];
    const swg_split *split = swg__stems_split(set);
    int64_t samples = 0;
    *out = 0;
    for (int64_t i = 0; i < swg__stems_tracks(set); i++) {
        const swg__stems_track *t = swg__stems_track_at(set, i);
        if (t->part != part)
            continue;
        strcat(out, t->name);
        for (int64_t k = 0; k < t->samples; k++, samples++)
            assert_int_equal(split->indices[part][samples], t->first_sample + k);
    }
    assert_int_equal(samples, split->count[part]);
    for (int64_t i = 0; i < samples; i++)
        assert_int_equal(swg__stems_track_at(set, swg__stems_track_of(set, split->indices[part][i]))->part, part);
    return out;
}

static void parts(void **state) {
    swg_context *ctx = *state;
    char drawn[400];
    for (int k = 0; k < 7; k++) {
        char name[2] = {(char)('a' + k), 0};
        write_song(name, &(song){.track = k, .frames = 50});
    }
    swg__stems_opts opts = options();
    swg__stems *set = open_set(ctx, &opts); /* 14 % of 7 are one: the last of the shuffled names */
    assert_int_equal(strlen(part_names(set, SWG_TRAIN)), 6);
    assert_int_equal(swg__stems_split(set)->count[SWG_TRAIN], 18);
    strcpy(drawn, part_names(set, SWG_VAL));
    assert_string_equal(drawn, "g"); /* numpy.random.RandomState(42).permutation(7) is 0 1 5 2 4 3 6 */
    assert_string_equal(part_names(set, SWG_TEST), "");
    assert_string_equal(swg__stems_split(set)->description, "split: whole tracks (train 6; val 1: g; test 0)");
    swg__stems_close(set);

    opts.leave_out = "d";
    opts.valid_fraction = .34; /* of 6: two */
    set = open_set(ctx, &opts);
    assert_string_equal(part_names(set, SWG_TEST), "d");
    assert_int_equal(strlen(part_names(set, SWG_VAL)), 2);
    assert_int_equal(strlen(part_names(set, SWG_TRAIN)), 4);
    assert_null(strchr(part_names(set, SWG_TRAIN), 'd'));
    swg__stems_close(set);
    opts.use = SWG__STEMS_EVAL; /* the same test part, alone */
    set = open_set(ctx, &opts);
    assert_int_equal(swg__stems_tracks(set), 1);
    assert_string_equal(part_names(set, SWG_TEST), "d");
    swg__stems_close(set);
    opts.use = SWG__STEMS_ALL;
    set = open_set(ctx, &opts);
    assert_string_equal(part_names(set, SWG_TEST), "abcdefg");
    swg__stems_close(set);
    opts.use = SWG__STEMS_EVAL;
    opts.leave_out = NULL;
    set = open_set(ctx, &opts);
    assert_string_equal(part_names(set, SWG_TEST), "abcdefg");
    swg__stems_close(set);

    opts = options();
    opts.valid_list = "b, f";
    set = open_set(ctx, &opts);
    assert_string_equal(part_names(set, SWG_VAL), "bf");
    assert_string_equal(part_names(set, SWG_TRAIN), "acdeg");
    swg__stems_close(set);
    FILE *f = fopen(at("list.txt"), "w");
    fputs("# these\n\nc\r\ne", f);
    fclose(f);
    opts.valid_list = at("list.txt");
    set = open_set(ctx, &opts);
    assert_string_equal(part_names(set, SWG_VAL), "ce");
    swg__stems_close(set);

    opts.valid_list = "bb";
    refuse(ctx, &opts, SWG_EINVAL, "data.valid_list: there is no track bb", "did you mean b");
    opts.valid_list = "c";
    opts.leave_out = "c";
    refuse(ctx, &opts, SWG_EINVAL, "data.valid_list", "c is a test track");
    opts = options();
    opts.leave_out = "a,b,c,d,e,f,g";
    refuse(ctx, &opts, SWG_EINVAL, root, "none is left to train on");
    opts.leave_out = " , ";
    refuse(ctx, &opts, SWG_EINVAL, "data.leave_out", "names no track");
    opts.leave_out = NULL;
    opts.path = at("c"); /* one track: to overfit on */
    set = open_set(ctx, &opts);
    assert_string_equal(part_names(set, SWG_TRAIN), "c");
    assert_string_equal(part_names(set, SWG_VAL), "");
    swg__stems_close(set);
}

static void train_and_test_folders(void **state) {
    swg_context *ctx = *state;
    mkdir(at("train"), 0777);
    mkdir(at("test"), 0777);
    write_song("train/a", &(song){.track = 0, .frames = 50});
    write_song("train/b", &(song){.track = 1, .frames = 50});
    write_song("train/c", &(song){.track = 2, .frames = 50});
    write_song("test/a", &(song){.track = 3, .frames = 50});
    write_song("stray", &(song){.track = 3, .frames = 50});
    swg__stems_opts opts = options();
    opts.valid_list = "c";
    swg__stems *set = open_set(ctx, &opts);
    assert_string_equal(part_names(set, SWG_TRAIN), "ab");
    assert_string_equal(part_names(set, SWG_VAL), "c");
    assert_string_equal(part_names(set, SWG_TEST), "a");
    assert_true(isnan(swg__stems_track_at(set, 3)->sum_error) && !swg__stems_track_at(set, 3)->cached && swg__stems_track_at(set, 0)->cached);
    taken t;
    take(ctx, set, swg__stems_split(set)->indices[SWG_TEST][0], &evaluation, &t);
    assert_true(t.mixture[7] == sum_of(3, 0, 3, 0, 7));
    swg__stems_close(set);
    opts.valid_list = NULL;
    opts.use = SWG__STEMS_EVAL;
    set = open_set(ctx, &opts);
    assert_int_equal(swg__stems_tracks(set), 1);
    assert_non_null(strstr(swg__stems_track_at(set, 0)->path, "/test/a"));
    swg__stems_close(set);
    opts.path = at("test");
    set = open_set(ctx, &opts);
    assert_int_equal(swg__stems_tracks(set), 1);
    swg__stems_close(set);
}

/* ---- digest ---- */

static void digest_of(swg_context *ctx, const swg__stems_opts *opts, char out[65]) {
    swg__stems *set = open_set(ctx, opts);
    strcpy(out, swg__stems_digest(set));
    assert_int_equal(strlen(out), 64);
    swg__stems_close(set);
}

static void digests(void **state) {
    swg_context *ctx = *state;
    char first[65], other[65];
    write_song("a", &(song){.track = 0});
    write_song("b", &(song){.track = 1});
    swg__stems_opts opts = options();
    digest_of(ctx, &opts, first);
    opts.cache = "none";
    digest_of(ctx, &opts, other);
    assert_string_equal(first, other);
    opts.segment = SEGMENT + 1;
    digest_of(ctx, &opts, other);
    assert_string_not_equal(first, other);
    opts = options();
    opts.stems = "other,vocals";
    digest_of(ctx, &opts, other);
    assert_string_not_equal(first, other);
    opts = options();
    opts.augment = "gain";
    digest_of(ctx, &opts, other);
    assert_string_not_equal(first, other);
    opts.augment = NULL;
    opts.valid_fraction = -1;
    digest_of(ctx, &opts, other);
    assert_string_not_equal(first, other);
    opts = options();
    assert_int_equal(rename(at("b"), at("c")), 0);
    digest_of(ctx, &opts, other);
    assert_string_not_equal(first, other);
    assert_int_equal(rename(at("c"), at("b")), 0);
    digest_of(ctx, &opts, other);
    assert_string_equal(first, other);
    FILE *f = fopen(at("a/other.wav"), "r+b"); /* one bit of one sample */
    fseek(f, 44 + 4 * 9000, SEEK_SET);
    const int byte = fgetc(f);
    fseek(f, 44 + 4 * 9000, SEEK_SET);
    fputc(byte ^ 1, f);
    fclose(f);
    digest_of(ctx, &opts, other);
    assert_string_not_equal(first, other);
}

/* ---- draws ---- */

static void six_songs(void) {
    for (int k = 0; k < 6; k++) {
        char name[2] = {(char)('a' + k), 0};
        write_song(name, &(song){.track = k, .floats = k == 4, .frames = FRAMES + 100 * k});
    }
}

/* Starts are uniform, other in every epoch, and evaluation does not depend on seed or epoch. */
static void starts(void **state) {
    swg_context *ctx = *state;
    swg__stems_drawn d;
    taken t = {0}, u = {0};
    six_songs();
    swg__stems_opts opts = options();
    opts.per_track = 50;
    opts.min_mean_abs = -1;
    opts.valid_fraction = -1;
    swg__stems *set = open_set(ctx, &opts);
    double sum = 0;
    int64_t low = FRAMES, high = 0, same = 0;
    for (uint32_t epoch = 0; epoch < 4; epoch++)
        for (int64_t i = 0; i < 50; i++) {
            const swg__stems_draw draw = {.training = true, .seed = 3, .epoch = epoch};
            static int64_t before[50];
            assert_ok(ctx, swg__stems_drawn_of(set, i, &draw, &d));
            assert_int_equal(d.track, 0);
            assert_true(d.start >= 0 && d.start <= FRAMES - SEGMENT && d.speed == 1 && d.semitones == 0 && d.mixed_track == -1 && d.gain[0] == 1);
            sum += (double)d.start / 200;
            low = d.start < low ? d.start : low;
            high = d.start > high ? d.start : high;
            same += epoch && before[i] == d.start;
            before[i] = d.start;
            if (i == 0) {
                take(ctx, set, i, &draw, &t);
                for (int k = 0; k < SEGMENT; k++)
                    assert_true(t.stems[k] == value_of(0, 0, 0, d.start + k));
            }
        }
    assert_true(low < 300 && high > FRAMES - SEGMENT - 300 && same < 5);
    assert_close(sum, (FRAMES - SEGMENT) / 2., 500, 0);
    for (int64_t i = 0; i < 50; i += 7) { /* evaluation of training tracks: spread evenly */
        take(ctx, set, i, &(swg__stems_draw){.seed = 1, .epoch = 9}, &t);
        take(ctx, set, i, &(swg__stems_draw){.seed = 2}, &u);
        assert_memory_equal(&t, &u, sizeof t);
        assert_true(t.stems[5] == value_of(0, 0, 0, (FRAMES - SEGMENT) * i / 49 + 5));
    }
    swg__stems_close(set);
}

static void silence(void **state) {
    swg_context *ctx = *state;
    swg__stems_drawn d;
    mkdir(at("half"), 0777);
    mkdir(at("none"), 0777);
    const int64_t n = 8 * SEGMENT;
    float *x = calloc((size_t)(2 * n), sizeof *x);
    for (int pass = 0; pass < 2; pass++)
        for (int k = 0; k < 5; k++) {
            char path[40];
            for (int64_t i = 0; i < n / 8; i++) /* an eighth is loud, or nothing is */
                x[i] = x[n + i] = pass ? 9e-4f : k < 4 ? .1f : .4f;
            snprintf(path, sizeof path, "%s/%s.wav", pass ? "none" : "half", k < 4 ? stems[k] : "mixture");
            write_wav(at(path), 44100, 2, n, true, x);
        }
    free(x);
    swg__stems_opts opts = options();
    opts.per_track = 200;
    opts.mixture = "file";
    opts.valid_fraction = -1;
    swg__stems *set = open_set(ctx, &opts);
    int redrawn = 0, silent = 0;
    for (int64_t i = 0; i < 200; i++) {
        const swg__stems_draw draw = {.training = true, .epoch = 1};
        assert_ok(ctx, swg__stems_drawn_of(set, i, &draw, &d));
        assert_true(d.redrawn <= 10 && (d.redrawn == 10 || !d.silent) && d.silent == (d.start >= SEGMENT - 10));
        redrawn += d.redrawn > 0;
        silent += d.silent;
        assert_ok(ctx, swg__stems_drawn_of(set, 200 + i, &draw, &d));
        assert_true(d.redrawn == 10 && d.silent && d.track == 1);
    }
    assert_true(redrawn > 120 && redrawn < 198);    /* six of seven starts are silent */
    assert_true(silent > 10 && silent < 80);        /* (6/7)^11 = 0.18 */
    swg__stems_close(set);
    opts.min_mean_abs = -1;
    set = open_set(ctx, &opts);
    assert_ok(ctx, swg__stems_drawn_of(set, 250, &(swg__stems_draw){.training = true}, &d));
    assert_true(!d.redrawn && !d.silent);
    swg__stems_close(set);
}

/* Bits depend neither on the batch, nor on threads, nor on where tracks are held. */
struct many {
    const swg__stems *set;
    const swg__stems_draw *draw;
    taken *out;
    swg_status status[18];
};

static void fetch_task(void *arg, int64_t task, int worker) {
    (void)worker;
    struct many *m = arg;
    char message[300];
    taken *t = &m->out[task];
    m->status[task] = swg__stems_fetch(m->set, &task, 1, m->draw, &(swg__stems_batch){t->mixture, t->stems, t->bins, t->frames}, message, sizeof message);
}

static void same_bits(void **state) {
    swg_context *ctx = *state, *threads;
    six_songs();
    assert_ok(NULL, swg_context_open(&(swg_context_opts){.threads = 4}, &threads));
    enum { COUNT = 18 };
    taken *one = calloc(COUNT, sizeof *one), *many = calloc(COUNT, sizeof *many);
    float *mixture = malloc(COUNT * 2 * SEGMENT * sizeof *mixture), *parts_out = malloc(COUNT * 2 * 2 * SEGMENT * sizeof *parts_out);
    swg__stems_opts opts = options();
    opts.augment = "all,remix";
    opts.valid_fraction = -1;
    const swg__stems_draw draw = {.training = true, .seed = 11, .epoch = 2};
    for (int k = 0; k < 3; k++) {
        opts.cache = k == 1 ? "none" : "memory";
        opts.cache_bytes = k == 2 ? 3 * 2 * 2 * 2 * (FRAMES + 300) : 0;    /* room for some */
        swg__stems *set = open_set(threads, &opts);
        if (k == 2) {
            assert_note("of 6 tracks do not fit into data.cache_bytes");
            assert_true(swg__stems_bytes(set) > 0 && swg__stems_bytes(set) <= opts.cache_bytes && !swg__stems_track_at(set, 5)->cached);
        }
        struct many m = {.set = set, .draw = &draw, .out = many};
        swg__parallel(threads, COUNT, fetch_task, &m);
        for (int64_t i = COUNT; i-- > 0;) {
            assert_int_equal(m.status[i], SWG_OK);
            if (!k)
                take(threads, set, i, &draw, &one[i]);
        }
        assert_memory_equal(one, many, COUNT * sizeof *one);
        int64_t indices[COUNT];
        char message[300];
        for (int64_t i = 0; i < COUNT; i++)
            indices[i] = COUNT - 1 - i;
        assert_ok(threads, swg__stems_fetch(set, indices, COUNT, &draw, &(swg__stems_batch){.mixture = mixture, .stems = parts_out}, message, sizeof message));
        for (int64_t i = 0; i < COUNT; i++) {
            assert_memory_equal(mixture + i * 2 * SEGMENT, one[COUNT - 1 - i].mixture, 2 * SEGMENT * sizeof *mixture);
            assert_memory_equal(parts_out + i * 4 * SEGMENT, one[COUNT - 1 - i].stems, 4 * SEGMENT * sizeof *mixture);
        }
        swg__stems_close(set);
    }
    (void)ctx;
    free(one);
    free(many);
    free(mixture);
    free(parts_out);
    assert_int_equal(swg_context_bytes(threads), 0);
    swg_context_close(threads);
}

/* ---- augmentation ---- */

/* How often each happens, and within which bounds. */
static void draws(void **state) {
    swg_context *ctx = *state;
    six_songs();
    swg__stems_opts opts = options();
    opts.augment = "all";
    opts.per_track = TESTING_SLOW ? 50 : 200;
    opts.valid_fraction = -1;
    swg__stems *set = open_set(ctx, &opts);
    enum { KINDS = 6 };
    double often[KINDS] = {0}, low[KINDS], high[KINDS], beta_squares = 0;
    for (int k = 0; k < KINDS; k++) {
        low[k] = 1e9;
        high[k] = -1e9;
    }
    const int64_t count = swg__stems_count(set);
    for (int64_t i = 0; i < count; i++) {
        swg__stems_drawn d;
        assert_ok(ctx, swg__stems_drawn_of(set, i, &(swg__stems_draw){.training = true, .seed = 8}, &d));
        const bool on[KINDS] = {d.speed != 1, d.semitones != 0, d.gain[0] != 1, d.bins_count > 0, d.frames_count > 0, d.mixed_track >= 0};
        const double value[KINDS] = {d.speed, d.semitones, (double)d.gain[1], (double)d.bins_count, (double)d.frames_count, d.mixed};
        for (int k = 0; k < KINDS; k++) {
            often[k] += on[k] / (double)count;
            low[k] = on[k] && value[k] < low[k] ? value[k] : low[k];
            high[k] = on[k] && value[k] > high[k] ? value[k] : high[k];
        }
        assert_true(d.bins_first >= 0 && d.bins_first + d.bins_count <= BINS && d.frames_first >= 0 && d.frames_first + d.frames_count <= TIMES);
        assert_true(d.from[0] == d.track && d.from[1] == d.track && d.from_start[1] == d.start);
        assert_true((d.gain[0] != d.gain[1]) == on[2]);
        beta_squares += on[5] ? (d.mixed - .5) * (d.mixed - .5) / (double)count : 0;
    }
    const double wide = TESTING_SLOW ? .15 : .06;
    for (int k = 0; k < KINDS; k++)
        assert_close(often[k], .5, wide, 0);
    static const double bounds[KINDS][2] = {{.9, 1.1}, {-2, 2}, {.7, 1.3}, {1, 64}, {1, 31}, {0, 1}}; /* masks: 80 and 40, but no more than half of 129, 63 */
    for (int k = 0; k < KINDS; k++) {
        const double near = (bounds[k][1] - bounds[k][0]) * (TESTING_SLOW ? .08 : .03);
        assert_true(low[k] >= bounds[k][0] && high[k] <= bounds[k][1]);
        assert_close(low[k], bounds[k][0], near, 0);
        assert_close(high[k], bounds[k][1], near, 0);
    }
    assert_close(beta_squares / often[5], 1 / (4 * 1.8), wide / 2, 0);              /* variance of Beta(a, a): 1 / (4 (2 a + 1)) */
    swg__stems_close(set);
}

/* Each alone does what it says. */
static void changes(void **state) {
    swg_context *ctx = *state;
    taken t;
    six_songs();
    static const char *const words[] = {"gain", "fmask,tmask", "mixup", "remix", "stretch,pitch", "all,remix"};
    for (size_t w = 0; w < sizeof words / sizeof *words; w++)
        for (int sum = 0; sum < 2; sum++) {
            swg__stems_opts opts = options();
            opts.augment = words[w];
            opts.valid_fraction = -1;
            opts.mixture = sum ? NULL : "file";
            opts.stems = "vocals,drums,bass,other";
            swg__stems *set = open_set(ctx, &opts);
            int changed = 0;
            for (int64_t i = 0; i < swg__stems_count(set); i++) {
                const swg__stems_draw draw = {.training = true, .seed = 21, .epoch = (uint32_t)i};
                swg__stems_drawn d;
                assert_ok(ctx, swg__stems_drawn_of(set, i, &draw, &d));
                take(ctx, set, i, &draw, &t);
                for (int k = 0; k < BINS; k++)
                    assert_true(t.bins[k] == (k < d.bins_first || k >= d.bins_first + d.bins_count));
                for (int k = 0; k < TIMES; k++)
                    assert_true(t.frames[k] == (k < d.frames_first || k >= d.frames_first + d.frames_count));
                for (int k = 0; k < 2 * SEGMENT; k++) /* whatever is done, the mixture is the sum of the stems */
                    assert_close((double)t.mixture[k], (double)t.stems[k] + (double)t.stems[2 * SEGMENT + k] + (double)t.stems[4 * SEGMENT + k] +
                                 (double)t.stems[6 * SEGMENT + k], 2e-7, 0);
                if (w >= 4) {
                    changed += d.speed != 1;
                    continue;
                }
                for (int s = 0; s < 4; s++)
                    for (int c = 0; c < 2; c++)
                        for (int k = 0; k < SEGMENT; k++) {
                            double wanted = (double)(value_of((int)d.from[s], s, c, d.from_start[s] + k) * d.gain[s]);
                            if (d.mixed_track >= 0)
                                wanted = d.mixed * wanted + (1 - d.mixed) * (double)value_of((int)d.mixed_track, s, c, d.mixed_start + k);
                            assert_close((double)t.stems[(2 * s + c) * SEGMENT + k], wanted, 1e-8, 1e-6);
                        }
                changed += d.gain[0] != 1 || d.bins_count || d.mixed_track >= 0 || d.from[1] != d.from[2];
            }
            assert_true(changed >= 3);
            swg__stems_close(set);
        }
}

/* A long segment that is slowed is cut from fewer samples than it has; what is mixed in must not lie over them. */
static void slowed_and_mixed(void **state) {
    enum { LONG = 120000, STEMS = 4 };
    swg_context *ctx = *state;
    const song how = {.track = 3, .channels = 1, .frames = LONG + 20000};
    write_song("a", &how);
    swg__stems_opts opts = options();
    opts.augment = "stretch,mixup";
    opts.stems = "vocals,drums,bass,other";
    opts.channels = 1;
    opts.segment = LONG;
    swg__stems *set = open_set(ctx, &opts);
    swg__stems_draw draw = {.training = true, .seed = 4};
    swg__stems_drawn d = {.speed = 1};
    for (; d.speed > .92 || d.mixed_track < 0; draw.epoch++)
        assert_ok(ctx, swg__stems_drawn_of(set, 0, &draw, &d));
    draw.epoch--;
    float *mixture = malloc((1 + STEMS) * LONG * sizeof *mixture), *x = mixture + LONG;
    const int64_t index = 0;
    char message[200] = "";
    assert_int_equal(swg__stems_fetch(set, &index, 1, &draw, &(swg__stems_batch){.mixture = mixture, .stems = x}, message, sizeof message), SWG_OK);
    for (int64_t i = 0; i < LONG; i++)
        assert_close((double)mixture[i], (double)x[i] + (double)x[LONG + i] + (double)x[2 * LONG + i] + (double)x[3 * LONG + i], 3e-7, 0);
    free(mixture);
    swg__stems_close(set);
}

/* Sines through the data set: all stems move alike, what no stem holds does so too. */
static void sines(void **state) {
    swg_context *ctx = *state;
    const int64_t n = 40000;
    mkdir(at("a"), 0777);
    float *x = malloc((size_t)n * sizeof *x), *mix = calloc((size_t)n, sizeof *x);
    static const double tones[] = {500, 1500, 3000, 6000};
    for (int k = 0; k < 5; k++) {
        char path[40];
        for (int64_t i = 0; i < n && k < 4; i++)
            mix[i] += x[i] = .1f * (float)sin(2 * 3.14159265358979 * tones[k] * (double)i / 44100);
        snprintf(path, sizeof path, "a/%s.wav", k < 4 ? stems[k] : "mixture");
        write_wav(at(path), 44100, 1, n, true, k < 4 ? x : mix);
    }
    free(x);
    free(mix);
    swg__stems_opts opts = options();
    opts.augment = "stretch,pitch";
    opts.channels = 1;
    opts.stems = "vocals,drums"; /* bass and other are in the mixture only */
    opts.per_track = 12;
    swg__stems *set = open_set(ctx, &opts);
    taken t;
    for (int64_t i = 0; i < 12; i++) {
        const swg__stems_draw draw = {.training = true, .seed = 2};
        swg__stems_drawn d;
        assert_ok(ctx, swg__stems_drawn_of(set, i, &draw, &d));
        take(ctx, set, i, &draw, &t);
        const int64_t margin = d.start < SWG__STRETCH_MARGIN || d.start + SEGMENT + SEGMENT / 10 + SWG__STRETCH_MARGIN > n ? 1200 : 0; /* silence is near */
        for (int k = 0; k < 4; k++) {
            const float *from = k < 2 ? t.stems + k * SEGMENT : t.mixture;
            double re = 0, im = 0, weight = 0, f = tones[k] * exp2(d.semitones / 12);
            for (int64_t j = margin; j < SEGMENT - margin; j++) {
                const double w = .5 - .5 * cos(2 * 3.14159265358979 * (double)(j - margin) / (double)(SEGMENT - 2 * margin));
                re += w * (double)from[j] * cos(2 * 3.14159265358979 * f * (double)j / 44100);
                im += w * (double)from[j] * sin(2 * 3.14159265358979 * f * (double)j / 44100);
                weight += w;
            }
            assert_close(2 * sqrt(re * re + im * im) / weight, .1, 0, .03);
        }
    }
    swg__stems_close(set);
}

/* ---- memory that runs out ---- */

static void out_of_memory(void **state) {
    (void)state;
    strcpy(root, "/tmp/swage-test-XXXXXX");
    assert_non_null(mkdtemp(root));
    write_song("a", &(song){.track = 0, .frames = 300});
    write_song("b", &(song){.track = 1, .frames = 300, .floats = true, .scale = .9f});
    taken *t = malloc(sizeof *t);
    int64_t failures = 0;
    for (int64_t fail = 0;; fail++) {
        testing_allocator memory = {.fail_at = -1};
        swg_context *ctx;
        assert_int_equal(swg_context_open(&(swg_context_opts){.allocator = {.alloc = testing_alloc, .release = testing_release, .user = &memory}, .threads = 1}, &ctx),
                         SWG_OK);
        swg__stems *set = NULL;
        swg__stems_opts opts = options();
        opts.segment = 200;
        opts.augment = "all";
        opts.note = NULL;
        opts.leave_out = "b";
        memory.fail_at = memory.calls + fail;
        swg_status status = swg__stems_open(ctx, &opts, &set);
        for (int64_t i = 0; status == SWG_OK && i < 4; i++) {
            char message[300];
            status = swg__stems_fetch(set, &i, 1, &(swg__stems_draw){.training = true, .seed = 1}, &(swg__stems_batch){.mixture = t->mixture, .stems = t->stems},
                                      message, sizeof message);
        }
        swg__stems_close(set);
        assert_int_equal(swg_context_bytes(ctx), 0);
        swg_context_close(ctx);
        assert_int_equal(memory.live, 0);
        if (status == SWG_OK)
            break;
        assert_int_equal(status, SWG_ENOMEM);
        failures++;
    }
    assert_true(failures > 50);
    free(t);
    assert_int_equal(nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* ---- songs ---- */

static void real_songs(void **state) {
    swg_context *ctx = *state;
    char path[600];
    snprintf(path, sizeof path, "%s/../shared/data/audio/stems", SWG_SOURCE_DIR);
    if (!swg__is_folder(path)) {
        printf("             %s is absent: skipped\n", path);
        skip();
    }
    swg__stems_opts opts = {.path = path, .augment = "all,remix", .leave_out = "ccmix_a", .note = keep_note};
    swg__stems *set = open_set(ctx, &opts), *files;
    opts.cache = "none";
    assert_ok(ctx, swg__stems_open(ctx, &opts, &files));
    printf("             %s\n             %s\n", swg__stems_summary(set), swg__stems_split(set)->description);
    assert_int_equal(swg__stems_tracks(set), 7);
    assert_int_equal(swg__stems_split(set)->count[SWG_TRAIN], 50);
    for (int64_t i = 0; i < 6; i++)
        assert_true(swg__stems_track_at(set, i)->sum_error == 0);  /* as their description says */
    const int64_t values = 2 * swg__stems_segment(set);
    float *x = malloc((size_t)(6 * values) * sizeof *x);
    char message[300];
    for (int64_t i = 0; i < 50; i += TESTING_SLOW ? 17 : 7) { /* FLAC is sought to the sample: read from files or from memory, the same bits */
        const swg__stems_draw draw = {.training = true, .seed = 4, .epoch = 1};
        assert_ok(ctx, swg__stems_fetch(set, &i, 1, &draw, &(swg__stems_batch){.mixture = x, .stems = x + values}, message, sizeof message));
        assert_ok(ctx, swg__stems_fetch(files, &i, 1, &draw, &(swg__stems_batch){.mixture = x + 3 * values, .stems = x + 4 * values}, message, sizeof message));
        assert_memory_equal(x, x + 3 * values, (size_t)(3 * values) * sizeof *x);
    }
    free(x);
    swg__stems_close(set);
    swg__stems_close(files);
}

/* Without a library that reads audio files there is nothing to test. */
static int probe(void **state) {
    swg_context *ctx;
    swg__stems *set = NULL;
    (void)state;
    if (open_all((void **)&ctx))
        return -1;
    write_song("a", &(song){.track = 0, .frames = 10});
    swg__stems_opts opts = options();
    opts.valid_fraction = -1;
    const swg_status status = swg__stems_open(ctx, &opts, &set);
    if (status == SWG_EUNSUPPORTED)
        printf("             %s: all skipped\n", swg_context_message(ctx));
    swg__stems_close(set);
    return close_all((void **)&ctx) ? -1 : status == SWG_EUNSUPPORTED ? 77 : 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(files_and_stems), TEST(segments_cover), TEST(pieces), TEST(folders), TEST(missing_files), TEST(rates), TEST(channels), TEST(lengths),
        TEST(not_the_sum), TEST(not_finite), TEST(bad_options), TEST(parts), TEST(train_and_test_folders), TEST(digests), TEST(starts), TEST(silence),
        TEST(same_bits), TEST(draws), TEST(changes), TEST(slowed_and_mixed), TEST(sines), cmocka_unit_test(out_of_memory), TEST(real_songs),
    };
    const int missing = probe(NULL);
    return missing == 77 ? 0 : missing ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
