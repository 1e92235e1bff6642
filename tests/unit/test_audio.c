/* test_audio.c - proves: every kind of file gives the numbers it was made from, from any sample on; damaged, cut and foreign files are refused with the reason; mono,
 * stereo and more channels become what is asked for; other rates keep tones, times and lengths; what is written is read back, integers to the bit, and
 * nothing clips unless it is told.
 * Inputs: tests/golden/make_audio.py.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "scratch.h"
#include "swage/audio.h"
#include "swage/features.h"

#define FOLDER SWG_SOURCE_DIR "/tests/fuzz/corpus/fuzz_audio/"
enum { N = 50 };

static bool built_with(const char *library) {
    for (int64_t i = 0; swg_feature_at(i); i++)
        if (strcmp(swg_feature_at(i)->name, library) == 0)
            return swg_feature_at(i)->version != NULL;
    return false;
}

#define NEEDS(library)                                        \
    if (!built_with(library)) {                               \
        print_message("this build has no %s: ", library);     \
        skip();                                               \
    }

/* A build without the library says so. */
static void test_missing(void **state) {
    swg_context *ctx = *state;
    swg_audio *audio;
    const swg_status status = swg_audio_open(ctx, FOLDER "wav_16.wav", NULL, &audio);
    if (built_with("libsndfile")) {
        assert_ok(ctx, status);
    } else {
        assert_int_equal(status, SWG_EUNSUPPORTED);
        assert_message(ctx, "wav_16.wav", "no libsndfile");
    }
    swg_audio_close(audio);
}

static double integer(int bits, int64_t c, int64_t i) {
    const int64_t range = (int64_t)1 << bits, k = ((7919 * i + 3571 * c) << bits >> 16) + (bits > 16 ? 37 * i : 0);
    return (double)(k % range - range / 2) / (double)(range / 2);
}

static double real(int64_t c, int64_t i) { return (double)((37 * i + 11 * c) % 201 - 100) / 64; }

static float *load(swg_context *ctx, const char *name, const swg_audio_opts *opts, swg_audio_info *info) {
    char path[512];
    float *x;
    snprintf(path, sizeof path, "%s%s", *name == '/' ? "" : FOLDER, name);
    assert_ok(ctx, swg_audio_load(ctx, path, opts, &x, info));
    return x;
}

static void test_kinds(void **state) {
    static const struct { const char *name, *format; int bits, channels; bool floats; int64_t samples, rate; } files[] = {
        {"wav_u8.wav", "WAV", 8, 1, false, N, 8000},        {"wav_16.wav", "WAV", 16, 2, false, N, 8000},  {"wav_24.wav", "WAV", 24, 2, false, N, 8000},
        {"wav_24_odd.wav", "WAV", 24, 1, false, 7, 8000},   {"wav_32.wav", "WAV", 32, 2, false, N, 8000},  {"wav_f32.wav", "WAV", 32, 2, true, N, 8000},
        {"wav_f64.wav", "WAV", 64, 1, true, N, 8000},       {"wav_chunks.wav", "WAV", 16, 2, false, N, 8000}, {"wav_3ch.wav", "WAV", 16, 3, false, N, 8000},
        {"wav_7ch.wav", "WAV", 16, 7, false, N, 8000},      {"wav_empty.wav", "WAV", 16, 1, false, 0, 8000}, {"wav_one.wav", "WAV", 16, 1, false, 1, 8000},
        {"wav_piped.wav", "WAV", 16, 2, false, N, 8000},    {"wav_192k.wav", "WAV", 16, 1, false, N, 192000}, {"rf64.wav", "WAV", 16, 2, false, N, 8000},
        {"w64.w64", "WAV", 16, 2, false, N, 8000},          {"flac_16.flac", "FLAC", 16, 2, false, N, 8000}, {"flac_24.flac", "FLAC", 24, 2, false, N, 8000},
        {"flac_tag.flac", "FLAC", 24, 2, false, N, 8000},
    };
    swg_context *ctx = *state;
    NEEDS("libsndfile")
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        swg_audio_info info;
        float *x = load(ctx, files[f].name, NULL, &info);
        if (strcmp(info.format, files[f].format) != 0 || info.bits != files[f].bits || info.channels != files[f].channels || info.floating != files[f].floats ||
            info.samples != files[f].samples || info.rate != files[f].rate)
            fail_msg("%s: %s, %d bits, %d channels, %lld samples at %lld Hz", files[f].name, info.format, info.bits, info.channels, (long long)info.samples,
                     (long long)info.rate);
        for (int64_t c = 0; c < info.channels; c++)
            for (int64_t i = 0; i < info.samples; i++)
                assert_close((double)x[c * info.samples + i], files[f].floats ? real(c, i) : integer(info.bits, c, i), 1e-7, 0); /* 32 bits: rounded to f32 */
        swg_audio_free(ctx, x);
    }
}

static void test_vorbis(void **state) {
    swg_context *ctx = *state;
    swg_audio_info info;
    NEEDS("libsndfile")
    float *x = load(ctx, "ogg.ogg", NULL, &info);
    assert_string_equal(info.format, "OGG Vorbis");
    assert_int_equal(info.samples, 1500);
    assert_int_equal(info.channels, 2);
    for (int64_t c = 0; c < 2; c++) {
        double error = 0;
        for (int64_t i = 0; i < 1500; i++) {
            const double want = sin(2 * M_PI * 440 * (double)i / 8000) / (2 + 2 * (double)c), gap = (double)x[c * 1500 + i] - want;
            error += gap * gap / 1500;
        }
        assert_true(sqrt(error) < .02);
    }
    swg_audio_free(ctx, x);
}

/* Pieces of any size, from any sample on, are those of the whole. */
static void test_pieces(void **state) {
    static const char *const names[] = {"wav_24.wav", "flac_16.flac", "ogg.ogg"};
    swg_context *ctx = *state;
    NEEDS("libsndfile")
    for (int f = 0; f < 3; f++) {
        char path[512];
        swg_audio_info info;
        swg_audio *audio;
        float *whole = load(ctx, names[f], NULL, &info), piece[2 * 40];
        const int64_t n = info.samples;
        snprintf(path, sizeof path, FOLDER "%s", names[f]);
        assert_ok(ctx, swg_audio_open(ctx, path, NULL, &audio));
        static const int64_t starts[] = {0, 17, 3, 49, 11, 50};
        for (size_t s = 0; s < sizeof starts / sizeof *starts; s++) {
            int64_t at = starts[s], got;
            assert_ok(ctx, swg_audio_seek(audio, at));
            for (int64_t size = 1; size < 40; size += 12) {
                assert_ok(ctx, swg_audio_read(audio, size, piece, 40, &got));
                assert_int_equal(got, size < n - at ? size : n - at);
                for (int c = 0; c < 2; c++)
                    assert_memory_equal(piece + c * 40, whole + c * n + at, (size_t)got * sizeof *piece);
                at += got;
            }
        }
        assert_int_equal(swg_audio_seek(audio, n + 1), SWG_EINVAL);
        assert_int_equal(swg_audio_seek(audio, -1), SWG_EINVAL);
        swg_audio_close(audio);
        swg_audio_free(ctx, whole);
    }
}

static void test_refused(void **state) {
    static const struct { const char *name; swg_status status; const char *word; } files[] = {
        {"bad_cut.wav", SWG_ECORRUPT, "cut short"},           {"bad_cut_head.wav", SWG_ECORRUPT, "cut short"},  {"bad_rf64_cut.wav", SWG_ECORRUPT, "cut short"},
        {"bad_w64_cut.w64", SWG_ECORRUPT, "cut short"},       {"bad_flac_cut.flac", SWG_ECORRUPT, "cut short"}, {"bad_flac_byte.flac", SWG_ECORRUPT, "damaged"},
        {"bad_flac_long.flac", SWG_ECORRUPT, "damaged"},      {"bad_flac_length.flac", SWG_EUNSUPPORTED, "how many samples"},
        {"bad_ogg_cut.ogg", SWG_ECORRUPT, "last page"},       {"bad_ogg_byte.ogg", SWG_ECORRUPT, ""},           {"bad_opus.ogg", SWG_EUNSUPPORTED, "Opus"},
        {"bad_nan.wav", SWG_ENONFINITE, "sample 31 of channel 1 is"}, {"bad_inf.wav", SWG_ENONFINITE, "sample 0 of channel 0 is -inf"},
        {"bad_large.wav", SWG_ENONFINITE, "sample 1 of channel 0 is 10001"}, {"bad_ulaw.wav", SWG_EUNSUPPORTED, "coding"},
        {"bad_channels.wav", SWG_ESHAPE, "65 channels"},      {"bad_chunk_size.wav", SWG_ECORRUPT, "no chunk of samples"},
        {"bad_big_endian.wav", SWG_EFORMAT, "neither WAV nor"}, {"bad_empty.wav", SWG_EFORMAT, "empty"}, {"bad_stem.mp4", SWG_EFORMAT, "ffmpeg"},
        {"bad_mp3.mp3", SWG_EFORMAT, "MP3"},                  {"bad_aiff.aiff", SWG_EFORMAT, "AIFF"},           {"bad_kind.wav", SWG_EFORMAT, "neither WAV nor"},
        {"no_such.wav", SWG_ENOTFOUND, "cannot open"},        {"bad_rate.wav", SWG_ECORRUPT, "cannot be opened"},
    };
    swg_context *ctx = *state;
    NEEDS("libsndfile")
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        char path[512];
        float *x;
        snprintf(path, sizeof path, FOLDER "%s", files[f].name);
        const swg_status status = swg_audio_load(ctx, path, NULL, &x, NULL);
        if (status != files[f].status)
            fail_msg("%s gave %s (%s), expected %s", files[f].name, swg_status_name(status), swg_context_message(ctx), swg_status_name(files[f].status));
        assert_message(ctx, files[f].name, files[f].word);
        assert_null(x);
    }
    float *x;
    assert_int_equal(swg_audio_load(ctx, SWG_SOURCE_DIR, NULL, &x, NULL), SWG_EIO);
}

/* What is good before and behind a bad sample can be read. */
static void test_after_failure(void **state) {
    swg_context *ctx = *state;
    swg_audio *audio;
    float x[2 * N];
    int64_t got;
    NEEDS("libsndfile")
    assert_ok(ctx, swg_audio_open(ctx, FOLDER "bad_nan.wav", NULL, &audio));
    assert_ok(ctx, swg_audio_seek(audio, 20));
    assert_int_equal(swg_audio_read(audio, 20, x, N, &got), SWG_ENONFINITE);
    for (int way = 0; way < 2; way++) {
        if (way)
            assert_ok(ctx, swg_audio_seek(audio, 20));
        assert_ok(ctx, swg_audio_read(audio, 11, x, N, &got));
        for (int64_t i = 0; i < 11; i++)
            assert_close((double)x[i], real(0, 20 + i), 0, 0);
        assert_int_equal(swg_audio_read(audio, 1, x, N, &got), SWG_ENONFINITE);
    }
    assert_ok(ctx, swg_audio_seek(audio, 32));
    assert_ok(ctx, swg_audio_read(audio, N, x, N, &got));
    assert_int_equal(got, N - 32);
    assert_close((double)x[0], real(0, 32), 0, 0);
    swg_audio_close(audio);
}

static void test_channels(void **state) {
    swg_context *ctx = *state;
    swg_audio_info info;
    float *x;
    NEEDS("libsndfile")
    x = load(ctx, "wav_u8.wav", &(swg_audio_opts){.channels = 2}, &info); /* mono stands twice */
    assert_true(info.repeated && !info.mixed_down && info.channels == 2);
    for (int64_t i = 0; i < 2 * N; i++)
        assert_close((double)x[i], integer(8, 0, i % N), 0, 0);
    swg_audio_free(ctx, x);
    x = load(ctx, "wav_16.wav", &(swg_audio_opts){.channels = 1}, &info); /* the mean of two */
    assert_true(!info.repeated && info.mixed_down && info.channels == 1);
    for (int64_t i = 0; i < N; i++)
        assert_close((double)x[i], (integer(16, 0, i) + integer(16, 1, i)) / 2, 1e-7, 0);
    swg_audio_free(ctx, x);

    for (int n = 3; n <= 7; n++) {
        char name[512];
        snprintf(name, sizeof name, FOLDER "wav_%dch.wav", n);
        assert_int_equal(swg_audio_load(ctx, name, &(swg_audio_opts){.channels = 2}, &x, NULL), SWG_ESHAPE);
        assert_message(ctx, "channels", "--downmix");
    }
}

static void test_downmix(void **state) {
    /* weights of the left side by channels of the file; the right side has them mirrored */
    static const double h = 0.70710678118654752;
    static const double left[4][6] = {{1, 0, 0.70710678118654752}, {1, 0, 0.70710678118654752, 0}, {1, 0, 0.70710678118654752, 0.70710678118654752, 0},
                                      {1, 0, 0.70710678118654752, 0, 0.70710678118654752, 0}};
    static const double right[4][6] = {{0, 1, 0.70710678118654752}, {0, 1, 0, 0.70710678118654752}, {0, 1, 0.70710678118654752, 0, 0.70710678118654752},
                                       {0, 1, 0.70710678118654752, 0, 0, 0.70710678118654752}};
    static const double sums[4] = {1 + h, 1 + h, 1 + 2 * h, 1 + 2 * h};
    swg_context *ctx = *state;
    NEEDS("libsndfile")
    for (int n = 3; n <= 6; n++) {
        char name[64];
        swg_audio_info info;
        snprintf(name, sizeof name, "wav_%dch.wav", n);
        float *itu = load(ctx, name, &(swg_audio_opts){.channels = 2, .downmix = SWG_DOWNMIX_ITU}, &info);
        float *one = load(ctx, name, &(swg_audio_opts){.channels = 1, .downmix = SWG_DOWNMIX_ITU}, NULL);
        float *mean = load(ctx, name, &(swg_audio_opts){.channels = 2, .downmix = SWG_DOWNMIX_MEAN}, NULL);
        assert_int_equal(info.channels, 2);
        assert_int_equal(info.file_channels, n);
        for (int64_t i = 0; i < N; i++) {
            double l = 0, r = 0, m = 0;
            for (int c = 0; c < n; c++) {
                l += left[n - 3][c] / sums[n - 3] * integer(16, c, i);
                r += right[n - 3][c] / sums[n - 3] * integer(16, c, i);
                m += integer(16, c, i) / n;
            }
            assert_close((double)itu[i], l, 1e-6, 0);
            assert_close((double)itu[N + i], r, 1e-6, 0);
            assert_close((double)one[i], (l + r) / 2, 1e-6, 0);
            assert_close((double)mean[i], m, 1e-6, 0);
            assert_close((double)mean[N + i], m, 1e-6, 0);
        }
        swg_audio_free(ctx, itu);
        swg_audio_free(ctx, one);
        swg_audio_free(ctx, mean);
    }
    float *x;
    assert_int_equal(swg_audio_load(ctx, FOLDER "wav_7ch.wav", &(swg_audio_opts){.channels = 2, .downmix = SWG_DOWNMIX_ITU}, &x, NULL), SWG_ESHAPE);
    assert_int_equal(swg_audio_load(ctx, FOLDER "wav_16.wav", &(swg_audio_opts){.channels = 6}, &x, NULL), SWG_ESHAPE);
}

/* ---- other rates ---- */

static double tone(double seconds) { return .6 * sin(2 * M_PI * 440 * seconds) + .2 * sin(2 * M_PI * 3000 * seconds + 1); }

static void write_tone(swg_context *ctx, const char *path, int64_t rate, int64_t samples) {
    float *x = malloc(sizeof *x * (size_t)(2 * samples));
    for (int64_t i = 0; i < samples; i++) {
        x[i] = (float)tone((double)i / (double)rate);
        x[samples + i] = -x[i] / 2;
    }
    assert_ok(ctx, swg_audio_write(ctx, path, &(swg_audio_write_opts){.format = SWG_AUDIO_WAV_FLOAT, .rate = rate, .channels = 2}, x, samples, false, NULL));
    free(x);
}

static void test_rates(void **state) {
    static const int64_t rates[] = {8000, 22050, 48000, 96000, 192000};
    swg_context *ctx = *state;
    scratch s;
    NEEDS("libsndfile")
    scratch_open(&s);
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
        char path[320];
        swg_audio_info info;
        swg_audio *audio;
        float *x, y[512];
        int64_t got;
        const int64_t n = rates[r] / 2 + 7;
        snprintf(path, sizeof path, "%s", scratch_path(&s, "tone.wav"));
        write_tone(ctx, path, rates[r], n);
        assert_int_equal(swg_audio_open(ctx, path, &(swg_audio_opts){.rate = 44100}, &audio), SWG_EINVAL);
        assert_message(ctx, "44100", "--resample", "data.resample=true");
        if (!built_with("libsoxr")) {
            assert_int_equal(swg_audio_open(ctx, path, &(swg_audio_opts){.rate = 44100, .resample = true}, &audio), SWG_EUNSUPPORTED);
            assert_message(ctx, "libsoxr");
            continue;
        }
        x = load(ctx, path, &(swg_audio_opts){.rate = 44100, .resample = true}, &info);
        assert_int_equal(info.samples, (n * 44100 + rates[r] - 1) / rates[r]);
        assert_true(info.resampled && info.file_samples == n);
        for (int64_t i = 2000; i < info.samples - 2000; i++) { /* away from the ends, where the tone begins at once */
            assert_close((double)x[i], tone((double)i / 44100), 2e-5, 0);
            assert_close((double)x[info.samples + i], -tone((double)i / 44100) / 2, 2e-5, 0);
        }
        /* from any sample on, forwards and backwards */
        assert_ok(ctx, swg_audio_open(ctx, path, &(swg_audio_opts){.rate = 44100, .resample = true}, &audio));
        static const int64_t starts[] = {20000, 100, 0, 15001, 22000};
        for (int k = 0; k < 5; k++) {
            assert_ok(ctx, swg_audio_seek(audio, starts[k]));
            assert_ok(ctx, swg_audio_read(audio, 256, y, 256, &got));
            assert_int_equal(got, starts[k] + 256 < info.samples ? 256 : info.samples - starts[k]);
            for (int64_t i = 0; i < got; i++)
                assert_close((double)y[i], (double)x[starts[k] + i], 1e-5, 0);
        }
        swg_audio_close(audio);
        swg_audio_free(ctx, x);
    }
    scratch_close(&s, ctx, 1);
}

/* A song taken to another rate and back has its own length and its own samples. */
static void test_round_trip(void **state) {
    swg_context *ctx = *state;
    scratch s;
    NEEDS("libsndfile")
    NEEDS("libsoxr")
    scratch_open(&s);
    char in[320], out[320];
    static const int64_t counts[] = {1, 2, 479, 30011};
    for (int k = 0; k < 4; k++) {
        const int64_t n = counts[k];
        swg_audio_info info;
        snprintf(in, sizeof in, "%s", scratch_path(&s, "in.wav"));
        snprintf(out, sizeof out, "%s", scratch_path(&s, "out.wav"));
        write_tone(ctx, in, 48000, n);
        float *x = load(ctx, in, &(swg_audio_opts){.rate = 44100, .resample = true}, &info);
        const swg_audio_write_opts opts = {.format = SWG_AUDIO_WAV_FLOAT, .rate = 48000, .from_rate = 44100, .channels = 2, .samples = n};
        assert_ok(ctx, swg_audio_write(ctx, out, &opts, x, info.samples, false, NULL));
        swg_audio_free(ctx, x);
        x = load(ctx, out, NULL, &info);
        assert_int_equal(info.rate, 48000);
        assert_int_equal(info.samples, n);
        for (int64_t i = 3000; i < n - 3000; i++)
            assert_close((double)x[i], tone((double)i / 48000), 5e-5, 0);
        swg_audio_free(ctx, x);
    }
    scratch_close(&s, ctx, 2);
}

/* ---- writing ---- */

static void test_integers_stay(void **state) {
    static const struct { swg_audio_format format; int bits; const char *name; } kinds[] = {
        {SWG_AUDIO_WAV16, 16, "a.wav"}, {SWG_AUDIO_WAV24, 24, "b.wav"}, {SWG_AUDIO_FLAC, 24, "c.flac"}, {SWG_AUDIO_WAV_FLOAT, 32, "d.wav"},
    };
    swg_context *ctx = *state;
    scratch s;
    NEEDS("libsndfile")
    scratch_open(&s);
    for (int k = 0; k < 4; k++)
        for (int channels = 1; channels <= 3; channels += 2) {
            enum { COUNT = 10007 };
            static float x[3 * COUNT];
            char path[320];
            swg_audio_info info;
            swg_audio_finished finished;
            const int bits = kinds[k].bits < 32 ? kinds[k].bits : 24;
            for (int64_t i = 0; i < channels * COUNT; i++)
                x[i] = (float)integer(bits, i / COUNT, i % COUNT);
            x[0] = -1;
            x[1] = 1 - (float)ldexp(1, 1 - bits);
            snprintf(path, sizeof path, "%s", scratch_path(&s, kinds[k].name));
            assert_ok(ctx, swg_audio_write(ctx, path, &(swg_audio_write_opts){.format = kinds[k].format, .rate = 44100, .channels = channels}, x, COUNT, false,
                                           &finished));
            assert_true(finished.gain == 1 && finished.clipped == 0 && finished.peak == 1);
            float *y = load(ctx, path, NULL, &info);
            assert_int_equal(info.bits, kinds[k].bits);
            assert_int_equal(info.channels, channels);
            assert_int_equal(info.samples, COUNT);
            assert_int_equal(info.rate, 44100);
            assert_memory_equal(x, y, sizeof *x * (size_t)(channels * COUNT));
            swg_audio_free(ctx, y);
        }
    scratch_close(&s, ctx, 4);
}

/* Two stems, one of which is too loud: both get one gain, or numbers are clipped and counted, or floats stay. */
static void test_loudness(void **state) {
    enum { COUNT = 6000 };
    static float loud[COUNT], soft[COUNT];
    swg_context *ctx = *state;
    scratch s;
    NEEDS("libsndfile")
    scratch_open(&s);
    int64_t beyond = 0;
    for (int i = 0; i < COUNT; i++) {
        loud[i] = (float)(1.6 * sin(.01 * i));
        soft[i] = (float)(.25 * cos(.013 * i));
        beyond += nearbyint((double)loud[i] * 32768) > 32767 || nearbyint((double)loud[i] * 32768) < -32768;
    }
    for (int way = 0; way < 4; way++) {
        char a[320], b[320];
        swg_audio_writer *w[2];
        swg_audio_finished f;
        swg_audio_info info;
        const swg_audio_write_opts opts = {.format = way == 2 ? SWG_AUDIO_WAV_FLOAT : way == 3 ? SWG_AUDIO_FLAC : SWG_AUDIO_WAV16, .rate = 44100, .channels = 1};
        snprintf(a, sizeof a, "%s", scratch_path(&s, "loud"));
        snprintf(b, sizeof b, "%s", scratch_path(&s, "soft"));
        assert_ok(ctx, swg_audio_create(ctx, a, &opts, &w[0]));
        assert_ok(ctx, swg_audio_create(ctx, b, &opts, &w[1]));
        for (int i = 0; i < COUNT; i += 1000) {
            assert_ok(ctx, swg_audio_append(w[0], loud + i, 1000, COUNT));
            assert_ok(ctx, swg_audio_append(w[1], soft + i, 1000, COUNT));
        }
        assert_ok(ctx, swg_audio_finish(w, 2, way == 1, &f));
        assert_null(w[0]);
        float *x = load(ctx, a, NULL, &info), *y = load(ctx, b, NULL, NULL), most = 0;
        assert_close(f.peak, 1.6, 1e-3, 0);
        assert_int_equal(f.clipped, way == 1 ? beyond : 0);
        const double step = way == 3 ? ldexp(1, -23) : ldexp(1, -15), gain = f.gain;
        for (int i = 0; i < COUNT; i++) {
            const double want = gain * (double)loud[i];
            assert_close((double)x[i], way == 1 ? fmin(1 - step, fmax(-1, want)) : want, way == 2 ? 0 : step / 2 + 1e-7, 0);
            assert_close((double)y[i], gain * (double)soft[i], way == 2 ? 0 : step / 2 + 1e-7, 0);
            most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
        }
        if (way == 0 || way == 3) {
            assert_true(gain < 1 / 1.59 && gain > 1 / 1.61);
            assert_close((double)most, 1, 1.01 * step, 0); /* as loud as it can be */
        } else {
            assert_true(gain == 1);
        }
        swg_audio_free(ctx, x);
        swg_audio_free(ctx, y);
    }
    scratch_close(&s, ctx, 2);
}

/* The least numbers that clip, and those that do not. */
static void test_edges(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    static const struct { double x; bool clips; } edges[] = {
        {32767. / 32768, false}, {32767.49 / 32768, false}, {32767.5 / 32768, true}, {1, true}, {-1, false}, {-32768.5 / 32768, false}, {-32768.6 / 32768, true},
    };
    for (size_t k = 0; k < sizeof edges / sizeof *edges; k++) {
        swg_audio_finished f;
        const float x = (float)edges[k].x;
        const swg_audio_write_opts opts = {.format = SWG_AUDIO_WAV16, .rate = 8000, .channels = 1};
        assert_ok(ctx, swg_audio_write(ctx, scratch_path(&s, "x.wav"), &opts, &x, 1, false, &f));
        assert_int_equal(f.gain < 1, edges[k].clips);
        assert_ok(ctx, swg_audio_write(ctx, scratch_path(&s, "x.wav"), &opts, &x, 1, true, &f));
        assert_int_equal(f.clipped, edges[k].clips);
        assert_true(f.gain == 1);
    }
    scratch_close(&s, ctx, 1);
}

static void test_writer_refuses(void **state) {
    swg_context *ctx = *state;
    scratch s;
    swg_audio_writer *w;
    char path[320];
    float x[4] = {0, 0, NAN, 0};
    scratch_open(&s);
    snprintf(path, sizeof path, "%s", scratch_path(&s, "x.wav"));
    assert_int_equal(swg_audio_create(ctx, path, &(swg_audio_write_opts){.rate = 44100}, &w), SWG_EINVAL);
    assert_int_equal(swg_audio_create(ctx, path, &(swg_audio_write_opts){.rate = 44100, .channels = 9}, &w), SWG_EINVAL);
    assert_int_equal(swg_audio_create(ctx, path, &(swg_audio_write_opts){.channels = 1}, &w), SWG_EINVAL);
    assert_int_equal(swg_audio_create(ctx, "/no/such/folder/x.wav", &(swg_audio_write_opts){.rate = 8000, .channels = 1}, &w), SWG_ENOTFOUND);
    assert_ok(ctx, swg_audio_create(ctx, path, &(swg_audio_write_opts){.rate = 44100, .channels = 1}, &w));
    assert_ok(ctx, swg_audio_append(w, x, 2, 4));
    assert_int_equal(swg_audio_append(w, x + 1, 3, 4), SWG_ENONFINITE);
    assert_message(ctx, path, "sample 3 of channel 0");
    swg_audio_abort(w);
    scratch_close(&s, ctx, 0); /* nothing is left */
}

/* Lengths that are asked for: cut or filled. */
static void test_lengths(void **state) {
    swg_context *ctx = *state;
    scratch s;
    float x[100];
    NEEDS("libsndfile")
    scratch_open(&s);
    for (int i = 0; i < 100; i++)
        x[i] = .5F;
    for (int64_t n = 60; n <= 9000; n += 8940) {
        char path[320];
        swg_audio_info info;
        snprintf(path, sizeof path, "%s", scratch_path(&s, "x.wav"));
        assert_ok(ctx, swg_audio_write(ctx, path, &(swg_audio_write_opts){.rate = 8000, .channels = 1, .samples = n}, x, 100, false, NULL));
        float *y = load(ctx, path, NULL, &info);
        assert_int_equal(info.samples, n);
        for (int64_t i = 0; i < n; i++)
            assert_true(y[i] == (i < 100 ? .5F : 0));
        swg_audio_free(ctx, y);
    }
    scratch_close(&s, ctx, 1);
}

static void test_names(void **state) {
    (void)state;
    assert_true(swg_audio_named("a/b.WAV") && swg_audio_named("x.flac") && swg_audio_named("x.ogg") && swg_audio_named("x.w64"));
    assert_false(swg_audio_named("x.mp3") || swg_audio_named(".wav") || swg_audio_named("wav") || swg_audio_named(""));
}

/* The n-th allocation fails: an error, and nothing is left. */
static void test_memory_runs_out(void **state) {
    (void)state;
    NEEDS("libsndfile")
    bool done = false;
    for (int64_t fail_at = 0; !done; fail_at++) {
        testing_allocator allocator = {.fail_at = -1};
        swg_context *ctx;
        float *x = NULL;
        assert_true(fail_at < 100);
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &allocator}}, &ctx), SWG_OK);
        allocator.fail_at = allocator.calls + fail_at;
        const swg_status status = swg_audio_load(ctx, FOLDER "wav_16.wav", &(swg_audio_opts){.channels = 1}, &x, NULL);
        done = status == SWG_OK;
        assert_true(done || status == SWG_ENOMEM);
        swg_audio_free(ctx, x);
        swg_context_close(ctx);
        assert_int_equal(allocator.live, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_missing, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_kinds, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_vorbis, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_pieces, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_refused, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_after_failure, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_channels, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_downmix, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_rates, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_round_trip, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_integers_stay, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_loudness, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_edges, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_writer_refuses, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_lengths, testing_open, testing_close),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
