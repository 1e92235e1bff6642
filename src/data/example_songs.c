/* example_songs.c - made-up songs for trying separation: a voice with vibrato, drums, a bass and plucked chords in one key and tempo.
 * In: a seed. Out: a folder of stems for each song.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base.h"
#include "philox.h"
#include "swage/audio.h"
#include "swage/example.h"

enum { VOCALS, DRUMS, BASS, OTHER, STEMS, MIXTURE = STEMS, FILES, BEATS_PER_CHORD = 4, HARMONICS = 12 };
static const char *const names[FILES] = {"vocals", "drums", "bass", "other", "mixture"};
static const double level = 0.6; /* the sum stays below full scale */
static const double pi = 3.14159265358979323846;
static const int chords[4][3] = {{0, 4, 7}, {9, 12, 16}, {5, 9, 12}, {7, 11, 14}}, melody[5] = {12, 14, 16, 19, 21}; /* semitones over the key */

typedef struct song {
    swg_context *ctx;
    uint64_t seed;
    int64_t number, samples, rate;
    double tempo, key;          /* beats a second; Hz */
    float *stem[FILES];         /* (2, samples) each */
} song;

static double uniform(const song *s, uint32_t what, uint64_t which) {
    return (double)swg__philox(s->seed, which, (uint32_t)s->number, what).w[0] * 0x1p-32;
}

static double pitch(const song *s, double semitones) { return s->key * pow(2, semitones / 12); }

/* Swells within a few milliseconds and fades with the time constant given. */
static double envelope(double t, double decay) { return t < 0 ? 0 : (1 - exp(-t / 0.004)) * exp(-t / decay); }

/* A syllable for each beat, some of them rests: harmonics of a gliding pitch, stronger around two formants. */
static double voice(const song *s, double t, double *phase) {
    const int64_t beat = (int64_t)(t * s->tempo);
    const double in = t * s->tempo - (double)beat, length = 0.85;
    const int note = melody[(int)(5 * uniform(s, 1, (uint64_t)beat))], before = melody[(int)(5 * uniform(s, 1, (uint64_t)(beat ? beat - 1 : 0)))];
    const double glide = fmin(1, in / 0.15), wobble = 0.25 * sin(2 * pi * 5.5 * t);
    const double f = pitch(s, before + glide * (note - before) + wobble);
    *phase += f / (double)s->rate;
    if (uniform(s, 2, (uint64_t)beat) < 0.25 || in > length)
        return 0;
    const double first = 500 + 400 * uniform(s, 3, (uint64_t)beat), second = 1200 + 1200 * uniform(s, 4, (uint64_t)beat);
    double sum = 0;
    for (int h = 1; h <= HARMONICS && h * f < 0.45 * (double)s->rate; h++) {
        const double at = h * f, near = exp(-pow((at - first) / 250, 2)) + 0.5 * exp(-pow((at - second) / 350, 2)) + 0.05;
        sum += near * sin(2 * pi * h * *phase);
    }
    return 0.22 * sum * fmin(1, in / 0.05) * fmin(1, (length - in) / 0.1);
}

/* A thump on every other beat, a crack between them, a tick on every half. */
static double drum(const song *s, double t, uint64_t sample) {
    const double noise = 2 * uniform(s, 5, sample) - 1, beat = 1 / s->tempo;
    const double thump = fmod(t, 2 * beat), crack = fmod(t + beat, 2 * beat), tick = fmod(t, beat / 2);
    return 0.6 * envelope(thump, 0.09) * sin(2 * pi * (50 * thump + 6 * (1 - exp(-thump / 0.03)))) + 0.3 * envelope(crack, 0.06) * noise +
           0.08 * envelope(tick, 0.015) * noise;
}

static double bass(const song *s, double t) {
    const int64_t beat = (int64_t)(t * s->tempo);
    const double in = (t * s->tempo - (double)beat) / s->tempo, f = pitch(s, chords[beat / BEATS_PER_CHORD % 4][0] - 24);
    double sum = 0;
    for (int h = 1; h <= 5; h++)
        sum += sin(2 * pi * h * f * in) / h;
    return 0.25 * envelope(in, 0.3) * sum;
}

static double chord(const song *s, double t, int channel) {
    const int64_t half = (int64_t)(2 * t * s->tempo), beat = half / 2;
    const double in = (2 * t * s->tempo - (double)half) / (2 * s->tempo);
    double sum = 0;
    for (int k = 0; k < 3; k++)
        for (int h = 1; h <= 4; h++)
            sum += (channel == k % 2 ? 1 : 0.6) * sin(2 * pi * h * pitch(s, chords[beat / BEATS_PER_CHORD % 4][k]) * in) / (h * h);
    return 0.07 * envelope(in, 0.18) * sum;
}

static void fill(void *arg, int64_t stem, int worker) {
    const song *s = arg;
    double phase = 0;
    (void)worker;
    for (int64_t i = 0; i < s->samples; i++) {
        const double t = (double)i / (double)s->rate;
        const double one = stem == VOCALS ? voice(s, t, &phase) : stem == DRUMS ? drum(s, t, (uint64_t)i) : stem == BASS ? bass(s, t) : 0;
        for (int c = 0; c < 2; c++)
            s->stem[stem][c * s->samples + i] = (float)(level * (stem == OTHER ? chord(s, t, c) : one));
    }
}

static swg_status write_song(song *s, const char *folder) {
    char path[4096];
    const size_t bytes = 2 * FILES * (size_t)s->samples * sizeof(float);
    float *memory = swg__alloc(s->ctx, bytes);
    if (!memory)
        return swg__fail_memory(s->ctx, bytes, "a song");
    for (int k = 0; k < FILES; k++)
        s->stem[k] = memory + 2 * k * s->samples;
    s->tempo = 1.5 + uniform(s, 6, 0);
    s->key = 220 * pow(2, floor(12 * uniform(s, 7, 0)) / 12);
    swg__parallel(s->ctx, STEMS, fill, s);
    for (int64_t i = 0; i < 2 * s->samples; i++)
        s->stem[MIXTURE][i] = s->stem[VOCALS][i] + s->stem[DRUMS][i] + s->stem[BASS][i] + s->stem[OTHER][i];
    snprintf(path, sizeof path, "%s/song-%lld", folder, (long long)s->number);
    swg_status status = swg__make_folders(s->ctx, path);
    for (int k = 0; k < FILES && status == SWG_OK; k++) {
        snprintf(path, sizeof path, "%s/song-%lld/%s.wav", folder, (long long)s->number, names[k]);
        status = swg_audio_write(s->ctx, path, &(swg_audio_write_opts){.format = SWG_AUDIO_WAV16, .rate = s->rate, .channels = 2}, s->stem[k], s->samples, NULL, NULL);
    }
    swg__free(s->ctx, memory);
    return status;
}

/* A folder that holds anything but such songs is of somebody else. */
static swg_status check_folder(swg_context *ctx, const char *folder) {
    char **found;
    size_t count;
    bool foreign = false;
    if (!swg__exists(folder))
        return SWG_OK;
    SWG__TRY(swg__list_folder(ctx, folder, &found, &count));
    for (size_t i = 0; i < count; i++)
        foreign = foreign || (found[i][0] != '.' && strncmp(found[i], "song-", 5) != 0);
    swg__list_free(ctx, found, count);
    return foreign ? swg__fail(ctx, SWG_EINVAL, "%s holds other things than songs of an example; choose another folder", folder) : SWG_OK;
}

swg_status swg_example_songs(swg_context *ctx, const char *folder, const swg_example_songs_opts *opts) {
    const swg_example_songs_opts o = opts ? *opts : (swg_example_songs_opts){0};
    song s = {.ctx = ctx, .seed = o.seed, .rate = o.rate ? o.rate : 44100};
    const double seconds = o.seconds != 0 ? o.seconds : 10;
    if (o.songs < 0 || s.rate < 1000 || s.rate > 768000 || !(seconds > 0 && seconds <= 3600))
        return swg__fail(ctx, SWG_EINVAL, "an example of %lld songs of %g s at %lld Hz: expected 1 or more, up to 3600 s, 1000 to 768000 Hz", (long long)o.songs, seconds,
                         (long long)s.rate);
    s.samples = (int64_t)ceil(seconds * (double)s.rate);
    SWG__TRY(swg__make_folders(ctx, folder));
    SWG__TRY(check_folder(ctx, folder));
    for (s.number = 0; s.number < (o.songs ? o.songs : 4); s.number++)
        SWG__TRY(write_song(&s, folder));
    return SWG_OK;
}
