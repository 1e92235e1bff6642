/* song_hour.c - proves: swage separate takes a stereo song of one hour within 2 GB of resident memory, a minute of it within a few MB of the same, and its stems are as
 * long and add up to it; a WAV file beyond 4 GiB reads back. Needs swage beside it, 8 GB of disk in TMPDIR (default: /tmp).
 * In: nothing. Out: resident bytes and real-time factor; exit status 0, 1, or 77 where libsndfile is missing.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base.h"
#include "swage/audio.h"
#include "swage/features.h"

enum { RATE = 44100, CHANNELS = 2, BLOCK = RATE, HOUR = 3600, MOST = 4096, LARGE_CHANNELS = 8 };

static float noise(uint64_t i) {
    i = (i ^ i >> 31) * UINT64_C(0x9e3779b97f4a7c15);
    return (float)((double)(i >> 40) * 0x1p-24 - .5);
}

/* Tones that change every second, and noise. */
static float sample(int64_t i, int64_t c) {
    const double second = (double)(i / RATE), t = (double)(i % RATE) / RATE;
    return (float)(.4 * sin(2 * 3.14159265358979 * (220 + 7 * fmod(second, 50) + 110 * (double)c) * t)) + .3F * noise((uint64_t)(CHANNELS * i + c));
}

static swg_status write_song(swg_context *ctx, const char *path, int64_t seconds, int channels, swg_audio_format format) {
    swg_audio_writer *w;
    swg_status status = swg_audio_create(ctx, path, &(swg_audio_write_opts){.format = format, .rate = RATE, .channels = channels}, &w);
    float *x = malloc((size_t)channels * BLOCK * sizeof *x);
    for (int64_t s = 0; s < seconds && status == SWG_OK; s++) {
        for (int64_t c = 0; c < channels; c++)
            for (int64_t i = 0; i < BLOCK; i++)
                x[c * BLOCK + i] = format == SWG_AUDIO_WAV16 ? sample(s * BLOCK + i, c) : noise((uint64_t)(c + channels * (s * BLOCK + i)));
        status = swg_audio_append(w, x, BLOCK, BLOCK);
    }
    free(x);
    return status == SWG_OK ? swg_audio_finish(&w, 1, false, NULL) : status;
}

static int failed(swg_context *ctx, const char *what) {
    fprintf(stderr, "FAILED: %s: %s\n", what, swg_context_message(ctx));
    return 1;
}

/* Runs swage; its largest resident set in bytes, -1 if it failed. */
static int64_t run_swage(const char *swage, char *const *arguments) {
    struct rusage used;
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        execv(swage, arguments);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &used) != pid || status != 0)
        return -1;
    return (int64_t)used.ru_maxrss * 1024;
}

/* The stems of `folder` are as long as the song and add up to it, every ten seconds for a tenth of one. */
static int check_sum(swg_context *ctx, const char *song, const char *folder) {
    const char *const names[] = {song, "vocals.wav", "other.wav"};
    enum { COUNT = RATE / 10, FILES = 3 };
    static float x[FILES][CHANNELS * COUNT];
    swg_audio *audio[FILES] = {NULL};
    int wrong = 0;
    char path[3 * MOST];
    for (int f = 0; f < FILES && !wrong; f++) {
        snprintf(path, sizeof path, "%s%s%s", f ? folder : "", f ? "/" : "", names[f]);
        if (swg_audio_open(ctx, path, NULL, &audio[f]) != SWG_OK)
            wrong = failed(ctx, path);
        else if (swg_audio_about(audio[f])->samples != swg_audio_about(audio[0])->samples)
            wrong = fprintf(stderr, "FAILED: %s: %lld samples\n", path, (long long)swg_audio_about(audio[f])->samples);
    }
    for (int64_t at = 0; !wrong && at + COUNT <= swg_audio_about(audio[0])->samples; at += 10 * RATE) {
        int64_t got;
        for (int f = 0; f < FILES && !wrong; f++)
            if (swg_audio_seek(audio[f], at) != SWG_OK || swg_audio_read(audio[f], COUNT, x[f], COUNT, &got) != SWG_OK)
                wrong = failed(ctx, names[f]);
        for (int i = 0; i < CHANNELS * COUNT && !wrong; i++)
            if (!(fabsf(x[1][i] + x[2][i] - x[0][i]) < 1e-6F))
                wrong = fprintf(stderr, "FAILED: sample %lld: %g + %g, expected %g\n", (long long)(at + i % COUNT), (double)x[1][i], (double)x[2][i], (double)x[0][i]);
    }
    for (int f = 0; f < FILES; f++)
        swg_audio_close(audio[f]);
    return wrong != 0;
}

/* Separates a song of so many seconds; its largest resident set, or -1. */
static int64_t separate(swg_context *ctx, const char *swage, const char *folder, int64_t seconds) {
    char song[2 * MOST], model[2 * MOST], out[2 * MOST], stems[2 * MOST];
    snprintf(song, sizeof song, "%s/song.wav", folder);
    snprintf(model, sizeof model, "%s/runs/tiny", folder);
    snprintf(out, sizeof out, "%s/stems", folder);
    snprintf(stems, sizeof stems, "%s/stems/song", folder);
    if (write_song(ctx, song, seconds, CHANNELS, SWG_AUDIO_WAV16) != SWG_OK)
        return -failed(ctx, song);
    char *arguments[] = {"swage", "separate", song, "-m", model, "-o", out, "--format", "float", "--residual", "--force", "--overlap", "0.25", NULL};
    const int64_t bytes = run_swage(swage, arguments);
    if (bytes < 0 || check_sum(ctx, song, stems))
        return -1;
    printf("%lld s of stereo: %lld bytes resident at the peak\n", (long long)seconds, (long long)bytes);
    return bytes;
}

static int large_file(swg_context *ctx, const char *folder) {
    char path[2 * MOST];
    static float x[LARGE_CHANNELS * 100];
    swg_audio *audio;
    int64_t got;
    snprintf(path, sizeof path, "%s/large.wav", folder);
    const int64_t seconds = HOUR;
    if (write_song(ctx, path, seconds, LARGE_CHANNELS, SWG_AUDIO_WAV_FLOAT) != SWG_OK || swg_audio_open(ctx, path, NULL, &audio) != SWG_OK)
        return failed(ctx, path);
    const int64_t samples = swg_audio_about(audio)->samples, at = samples - 100;
    int wrong = samples != seconds * RATE || swg_audio_seek(audio, at) != SWG_OK || swg_audio_read(audio, 100, x, 100, &got) != SWG_OK;
    for (int64_t i = 0; i < 100 * LARGE_CHANNELS && !wrong; i++)
        wrong = x[i] != noise((uint64_t)(i / 100 + LARGE_CHANNELS * (at + i % 100)));
    swg_audio_close(audio);
    unlink(path);
    printf("%lld samples of %d floats, %.2f GB: %s\n", (long long)samples, LARGE_CHANNELS, (double)samples * LARGE_CHANNELS * 4e-9, wrong ? "WRONG" : "as written");
    return wrong;
}

/* A network small enough for an hour to take minutes. */
static int train(const char *swage, const char *folder) {
    char command[6 * MOST];
    snprintf(command, sizeof command, "cd '%s' && '%s' example songs --songs 3 --seconds 2 >/dev/null && '%s' train tfswa/small data.path=songs 'model.dims=[4,4,4,4]' "
             "model.attention_heads=1 model.mlp_ratio=1 data.n_fft=2048 data.hop=1024 data.segment=16384 'data.stems=[vocals,other]' model.in=4 model.out=4 "
             "trainer.max_epochs=1 trainer.max_steps=1 run.dir=runs run.name=tiny -q", folder, swage, swage);
    return system(command) != 0;
}

static bool has_sndfile(void) {
    for (int64_t i = 0; swg_feature_at(i); i++)
        if (strcmp(swg_feature_at(i)->name, "libsndfile") == 0)
            return swg_feature_at(i)->version != NULL;
    return false;
}

int main(int argc, char **argv) {
    char folder[MOST], swage[MOST], command[2 * MOST];
    swg_context *ctx;
    const char *temporary = getenv("TMPDIR"), *slash = argc ? strrchr(argv[0], '/') : NULL;
    snprintf(folder, sizeof folder, "%s/swage-hour-XXXXXX", temporary ? temporary : "/tmp");
    snprintf(command, sizeof command, "%.*s/swage", slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
    if (!has_sndfile()) {
        puts("this build has no libsndfile: skipped");
        return 77;
    }
    if (!realpath(command, swage) || !mkdtemp(folder) || swg_context_open(NULL, &ctx) != SWG_OK)
        return 1;
    int wrong = train(swage, folder) || large_file(ctx, folder);
    const int64_t minute = wrong ? -1 : separate(ctx, swage, folder, 60), hour = minute < 0 ? -1 : separate(ctx, swage, folder, HOUR);
    wrong |= minute < 0 || hour < 0 || hour > INT64_C(2000000000) || hour > minute + (8 << 20);
    swg_context_close(ctx);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) != 0 || wrong;
}
