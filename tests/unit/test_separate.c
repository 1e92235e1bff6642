/* test_separate.c - proves: a song of any length is covered by segments as defined and gives just as many samples; what returns its input returns the song to 1e-6,
 * also where three segments overlap, and so do masks of one between transform and inverse; stems of files have the song's rate, length and sum; mono, stereo and other rates are as documented; interruption and failure leave no file.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "scratch.h"
#include "swage/features.h"
#include "swage/separate.h"
#include "swage/tfswa.h"

enum { SEGMENT = 400 };

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

/* Stem 0 is `share` of the mixture with its channels swapped where there are two, stem 1 the rest. */
typedef struct splitter {
    swg_separator s;
    double share;
    int64_t calls;
    int64_t fail_at;            /* call that fails; -1: none */
    sig_atomic_t stop;          /* raised by call stop_at */
    int64_t stop_at;
} splitter;

static swg_status split(void *user, const float *mixture, float *stems) {
    splitter *p = user;
    const int64_t n = p->s.segment, channels = p->s.channels;
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < n; i++) {
            const float x = mixture[c * n + i];
            stems[(channels - 1 - c) * n + i] = (float)p->share * x;
            stems[(channels + c) * n + i] = x - (float)p->share * x;
        }
    if (p->calls == p->stop_at)
        p->stop = 1;
    return p->calls++ == p->fail_at ? SWG_EBOUND : SWG_OK;
}

static void splitter_make(splitter *p, int channels, int64_t segment, int64_t rate, double share) {
    *p = (splitter){.share = share, .fail_at = -1, .stop_at = -1};
    p->s = (swg_separator){.rate = rate, .channels = channels, .segment = segment, .stems = 2, .names = {"vocals", "other"}, .separate = split, .user = p};
}

static float noise(int64_t i) { return (float)((double)((uint32_t)(i * 2654435761u) >> 8) / (1 << 24) * 1.8 - .9); }

static void test_counts(void **state) {
    (void)state;
    const int64_t s = 441000, h = 220500;
    assert_int_equal(swg_separate_segments(0, s, h), 0);
    assert_int_equal(swg_separate_segments(1, s, h), 1);
    assert_int_equal(swg_separate_segments(s, s, h), 1);
    assert_int_equal(swg_separate_segments(s + 1, s, h), 2);
    assert_int_equal(swg_separate_start(1, s + 1, s, h), 1);
    assert_int_equal(swg_separate_segments(1102500, s, h), 4); /* 25 s */
    assert_int_equal(swg_separate_segments(1102501, s, h), 5);
    assert_int_equal(swg_separate_start(4, 1102501, s, h), 661501);
    for (int i = 0; i < 4; i++)
        assert_int_equal(swg_separate_start(i, 1102501, s, h), i * h);
}

static void test_lengths(void **state) {
    static const int64_t lengths[] = {1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 5 * SEGMENT / 2, 5 * SEGMENT / 2 + 1, 7 * SEGMENT, 7 * SEGMENT + 13};
    static const double overlaps[] = {0, -1, .25, .5, .75, 1. / 3};
    swg_context *ctx = *state;
    for (size_t o = 0; o < sizeof overlaps / sizeof *overlaps; o++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
            for (int channels = 1; channels <= 2; channels++) {
                enum { MOST = 8 * SEGMENT };
                static float x[2 * MOST], y[4 * MOST + 1];
                const int64_t n = lengths[l];
                splitter p;
                splitter_make(&p, channels, SEGMENT, 8000, .25);
                for (int64_t i = 0; i < channels * n; i++)
                    x[i] = noise(i);
                y[2 * channels * n] = 77;
                assert_ok(ctx, swg_separate_array(ctx, &p.s, n, x, y, &(swg_separate_opts){.overlap = overlaps[o]}));
                const double share = overlaps[o] < 0 ? 0 : overlaps[o] > 0 ? overlaps[o] : .5;
                const int64_t hop = SEGMENT - llround(SEGMENT * share);
                assert_int_equal(p.calls, n <= SEGMENT ? 1 : (n - SEGMENT + hop - 1) / hop + 1);
                for (int64_t c = 0; c < channels; c++)
                    for (int64_t i = 0; i < n; i++) {
                        assert_close((double)y[(channels - 1 - c) * n + i], .25 * (double)x[c * n + i], 1e-6, 0);
                        assert_close((double)y[(channels + c) * n + i], .75 * (double)x[c * n + i], 1e-6, 0);
                    }
                assert_true(y[2 * channels * n] == 77);
            }
}

/* A number of its own in every segment: what comes out is the sum with half Hann windows where two overlap. */
static swg_status number(void *user, const float *mixture, float *stems) {
    splitter *p = user;
    (void)mixture;
    for (int64_t i = 0; i < 2 * p->s.segment; i++)
        stems[i] = (float)p->calls;
    p->calls++;
    return SWG_OK;
}

static void test_weights(void **state) {
    enum { COUNT = 3 * SEGMENT / 2 };
    static float x[COUNT], y[2 * COUNT];
    swg_context *ctx = *state;
    splitter p;
    splitter_make(&p, 1, SEGMENT, 8000, 0);
    p.s.separate = number;
    assert_ok(ctx, swg_separate_array(ctx, &p.s, COUNT, x, y, NULL));
    for (int i = 0; i < COUNT; i++) {
        const double t = i - SEGMENT / 2 + .5, want = i < SEGMENT / 2 ? 0 : i < SEGMENT ? .5 - .5 * cos(M_PI * t / (SEGMENT / 2.)) : 1;
        assert_close((double)y[i], want, 1e-6, 0);
    }
}

static void test_refused(void **state) {
    swg_context *ctx = *state;
    float x[SEGMENT] = {0}, y[2 * SEGMENT];
    splitter p;
    splitter_make(&p, 1, SEGMENT, 8000, .5);
    assert_int_equal(swg_separate_array(ctx, &p.s, SEGMENT, x, y, &(swg_separate_opts){.overlap = .8}), SWG_EINVAL);
    assert_int_equal(swg_separate_array(ctx, &p.s, SEGMENT, x, y, &(swg_separate_opts){.overlap = NAN}), SWG_EINVAL);
    assert_int_equal(swg_separate_array(ctx, &p.s, -1, x, y, NULL), SWG_EINVAL);
    p.fail_at = 0;
    assert_int_equal(swg_separate_array(ctx, &p.s, SEGMENT, x, y, NULL), SWG_EBOUND);
    p.s.names[1] = "rest";
    assert_int_equal(swg_separate_array(ctx, &p.s, SEGMENT, x, y, &(swg_separate_opts){.residual = true}), SWG_EINVAL);
    assert_message(ctx, "other");
    p.s.segment = 0;
    assert_int_equal(swg_separate_array(ctx, &p.s, SEGMENT, x, y, NULL), SWG_EINVAL);
    assert_ok(ctx, swg_separate_array(ctx, &(swg_separator){.rate = 1, .channels = 1, .segment = 1, .stems = 1, .names = {"a"}, .separate = split, .user = &p}, 0, x, y, NULL));
}

/* The network leaves a quarter of the mixture: "other" takes it. */
static swg_status leave(void *user, const float *mixture, float *stems) {
    const splitter *p = user;
    for (int64_t i = 0; i < p->s.channels * p->s.segment; i++) {
        stems[i] = .5F * mixture[i];
        stems[p->s.channels * p->s.segment + i] = .25F * mixture[i];
    }
    return SWG_OK;
}

static void test_residual(void **state) {
    enum { COUNT = 1000 };
    static float x[2 * COUNT], y[4 * COUNT];
    swg_context *ctx = *state;
    splitter p;
    splitter_make(&p, 2, SEGMENT, 8000, 0);
    p.s.separate = leave;
    for (int i = 0; i < 2 * COUNT; i++)
        x[i] = noise(i);
    assert_ok(ctx, swg_separate_array(ctx, &p.s, COUNT, x, y, &(swg_separate_opts){.residual = true}));
    for (int i = 0; i < 2 * COUNT; i++) {
        assert_close((double)y[i], .5 * (double)x[i], 1e-6, 0);
        assert_close((double)y[i] + (double)y[2 * COUNT + i], (double)x[i], 1e-7, 0);
    }
}

/* Transform, mask and inverse transform of each segment, with the same mask everywhere. */
typedef struct masked {
    swg_separator s;
    swg_plan *plan;
    swg_value in, out;
} masked;

static swg_status apply_mask(void *user, const float *mixture, float *stems) {
    masked *m = user;
    const size_t bytes = (size_t)(m->s.channels * m->s.segment) * sizeof *mixture;
    memcpy(swg_plan_data(m->plan, m->in), mixture, bytes);
    const swg_status status = swg_plan_run(m->plan, 0, 0);
    memcpy(stems, swg_plan_data(m->plan, m->out), (size_t)m->s.stems * bytes);
    return status;
}

/* Masks of one return the song to 1e-6, masks of zero are silence, whatever the length. */
static void test_masks(void **state) {
    enum { LONG = 2000, MOST = 5 * LONG / 2 };
    static const int64_t lengths[] = {1, LONG - 1, LONG, LONG + 1, MOST};
    static float x[2 * MOST], y[2 * 2 * MOST];
    swg_context *ctx = *state;
    swg_graph *g;
    swg_weights *weights;
    const swg_stft_opts stft = {.n = 512};
    swg_tfswa model = swg_tfswa_small();
    masked m = {.s = {.rate = 8000, .channels = 2, .segment = LONG, .stems = 2, .names = {"vocals", "other"}, .separate = apply_mask}};
    m.s.user = &m;
    model.in = model.out = 4;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g));
    m.in = swg_input(g, "mixture", 3, (int64_t[]){1, 2, LONG});
    swg_value mixture = swg_stft(g, m.in, &stft);
    const int64_t *shape = swg_shape(g, mixture);
    const int64_t mask_shape[] = {1, 4, shape[2], shape[3]}, mask_values = 2 * shape[2] * shape[3];
    swg_value mask = swg_input(g, "mask", 4, mask_shape);
    m.out = swg_tfswa_waves(g, swg_tfswa_apply(g, &model, mask, mixture), LONG, &stft);
    assert_ok(ctx, swg_graph_status(g));
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &m.out, .output_count = 1}, &m.plan));
    assert_ok(ctx, swg_weights_create(g, false, &weights));
    assert_ok(ctx, swg_plan_open(m.plan, weights, NULL));
    for (int64_t i = 0; i < 2 * mask_values; i++)
        ((float *)swg_plan_data(m.plan, mask))[i] = i < mask_values; /* stem 0: ones */
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        const int64_t n = lengths[l];
        for (int64_t i = 0; i < 2 * n; i++)
            x[i] = noise(i);
        assert_ok(ctx, swg_separate_array(ctx, &m.s, n, x, y, NULL));
        for (int64_t i = 0; i < 2 * n; i++) {
            assert_close((double)y[i], (double)x[i], 1e-6, 0);
            assert_true(y[2 * n + i] == 0);
        }
    }
    swg_plan_destroy(m.plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
}

/* ---- files ---- */

static void write_song(swg_context *ctx, const char *path, int64_t rate, int channels, int64_t samples, double gain) {
    float *x = malloc(sizeof *x * (size_t)(channels * samples + 1));
    for (int64_t i = 0; i < channels * samples; i++)
        x[i] = (float)(gain * .5 * sin(2 * M_PI * (300 + 200 * (double)(i / samples)) * (double)(i % samples) / (double)rate));
    assert_ok(ctx, swg_audio_write(ctx, path, &(swg_audio_write_opts){.format = SWG_AUDIO_WAV_FLOAT, .rate = rate, .channels = channels}, x, samples, false, NULL));
    free(x);
}

static float *read_stem(swg_context *ctx, scratch *s, const char *name, swg_audio_info *info) {
    float *x;
    assert_ok(ctx, swg_audio_load(ctx, scratch_path(s, name), NULL, &x, info));
    return x;
}

/* Lengths from nothing on, of songs with one and two channels, for networks of one and two. */
static void test_files(void **state) {
    static const int64_t lengths[] = {0, 1, SEGMENT + 1, 2600};
    swg_context *ctx = *state;
    scratch s;
    NEEDS("libsndfile")
    scratch_open(&s);
    for (int net = 1; net <= 2; net++)
        for (int channels = 1; channels <= 2; channels++)
            for (int l = 0; l < 4; l++) {
                const int64_t n = lengths[l];
                char song[320];
                splitter p;
                swg_audio_info info;
                swg_separate_result r;
                splitter_make(&p, net, SEGMENT, 8000, .25);
                snprintf(song, sizeof song, "%s", scratch_path(&s, "song.wav"));
                write_song(ctx, song, 8000, channels, n, 1);
                assert_ok(ctx, swg_separate_file(ctx, &p.s, song, s.folder, &(swg_separate_opts){.format = SWG_AUDIO_WAV_FLOAT}, &r));
                const int64_t stems = channels > net ? channels : net;
                assert_int_equal(r.channels, stems);
                assert_int_equal(r.segments, swg_separate_segments(n, SEGMENT, SEGMENT / 2));
                assert_int_equal(p.calls, r.segments * (stems / net));
                assert_close(r.audio_seconds, (double)n / 8000, 0, 0);
                float *x = read_stem(ctx, &s, "song.wav", &info), *a = read_stem(ctx, &s, "vocals.wav", &info), *b = read_stem(ctx, &s, "other.wav", NULL);
                assert_int_equal(info.samples, n);
                assert_int_equal(info.channels, stems);
                for (int64_t c = 0; c < stems; c++)
                    for (int64_t i = 0; i < n; i++) {
                        const double want = (double)x[(channels == 1 ? 0 : c) * n + i];
                        assert_close((double)a[(net == 2 ? 1 - c : c) * n + i], .25 * want, 1e-6, 0);
                        assert_close((double)b[c * n + i], .75 * want, 1e-6, 0);
                    }
                swg_audio_free(ctx, x);
                swg_audio_free(ctx, a);
                swg_audio_free(ctx, b);
            }
    scratch_close(&s, ctx, 3);
}

/* A song of another rate: refused, or its stems are its own length and rate and add up to it. */
static void test_rates(void **state) {
    static const int64_t rates[] = {8000, 22050, 96000, 192000};
    swg_context *ctx = *state;
    scratch s;
    NEEDS("libsndfile")
    NEEDS("libsoxr")
    scratch_open(&s);
    for (int k = 0; k < 4; k++) {
        const int64_t n = rates[k] / 4 + 3;
        char song[320];
        splitter p;
        swg_audio_info info;
        swg_separate_result r;
        splitter_make(&p, 2, 4000, 44100, .25);
        snprintf(song, sizeof song, "%s", scratch_path(&s, "song.wav"));
        write_song(ctx, song, rates[k], 2, n, 1);
        assert_int_equal(swg_separate_file(ctx, &p.s, song, s.folder, NULL, NULL), SWG_EINVAL);
        assert_message(ctx, "--resample");
        assert_ok(ctx, swg_separate_file(ctx, &p.s, song, s.folder, &(swg_separate_opts){.format = SWG_AUDIO_WAV_FLOAT, .resample = true}, &r));
        assert_close(r.audio_seconds, (double)n / (double)rates[k], 1e-12, 0);
        float *x = read_stem(ctx, &s, "song.wav", &info), *a = read_stem(ctx, &s, "vocals.wav", &info), *b = read_stem(ctx, &s, "other.wav", NULL);
        assert_int_equal(info.samples, n);
        assert_int_equal(info.rate, rates[k]);
        const int64_t edge = rates[k] / 20; /* a tone that begins at once holds more than the lower rate has */
        for (int64_t i = edge; i < n - edge; i++) {
            assert_close((double)a[n + i], .25 * (double)x[i], 1e-4, 0); /* channels are swapped */
            assert_close((double)b[i], .75 * (double)x[i], 1e-4, 0);
        }
        swg_audio_free(ctx, x);
        swg_audio_free(ctx, a);
        swg_audio_free(ctx, b);
    }
    scratch_close(&s, ctx, 3);
}

/* A song that clips, and one whose stems do: one gain for all, and the stems still add up. */
static void test_loud(void **state) {
    swg_context *ctx = *state;
    scratch s;
    char song[320];
    splitter p;
    swg_audio_info info;
    swg_separate_result r;
    NEEDS("libsndfile")
    scratch_open(&s);
    enum { COUNT = 2000 };
    splitter_make(&p, 1, SEGMENT, 8000, 3); /* stems of 3 and -2 times the song */
    snprintf(song, sizeof song, "%s", scratch_path(&s, "song.wav"));
    write_song(ctx, song, 8000, 1, COUNT, 1);
    assert_ok(ctx, swg_separate_file(ctx, &p.s, song, s.folder, NULL, &r));
    assert_close(r.peak, 1.5, .01, 0);
    assert_close(r.gain, 1 / r.peak, 1e-4, 0);
    assert_int_equal(r.clipped, 0);
    float *x = read_stem(ctx, &s, "song.wav", &info), *a = read_stem(ctx, &s, "vocals.wav", &info), *b = read_stem(ctx, &s, "other.wav", NULL);
    assert_int_equal(info.bits, 16);
    for (int i = 0; i < COUNT; i++)
        assert_close((double)a[i] + (double)b[i], r.gain * (double)x[i], 1.1 / 32768, 0);
    swg_audio_free(ctx, x);
    swg_audio_free(ctx, a);
    swg_audio_free(ctx, b);
    assert_ok(ctx, swg_separate_file(ctx, &p.s, song, s.folder, &(swg_separate_opts){.clip = true}, &r));
    assert_true(r.gain == 1 && r.clipped > COUNT / 10);
    scratch_close(&s, ctx, 3);
}

static void test_silence(void **state) {
    swg_context *ctx = *state;
    scratch s;
    char song[320];
    splitter p;
    swg_audio_info info;
    swg_separate_result r;
    NEEDS("libsndfile")
    scratch_open(&s);
    splitter_make(&p, 2, SEGMENT, 8000, .25);
    snprintf(song, sizeof song, "%s", scratch_path(&s, "song.wav"));
    write_song(ctx, song, 8000, 2, 900, 0);
    assert_ok(ctx, swg_separate_file(ctx, &p.s, song, s.folder, &(swg_separate_opts){.residual = true}, &r));
    assert_true(r.gain == 1 && r.peak == 0);
    float *a = read_stem(ctx, &s, "vocals.wav", &info);
    for (int i = 0; i < 1800; i++)
        assert_true(a[i] == 0);
    swg_audio_free(ctx, a);
    scratch_close(&s, ctx, 3);
}

static void test_no_half_files(void **state) {
    swg_context *ctx = *state;
    scratch s;
    char song[320];
    splitter p;
    NEEDS("libsndfile")
    scratch_open(&s);
    snprintf(song, sizeof song, "%s", scratch_path(&s, "song.wav"));
    write_song(ctx, song, 8000, 2, 3000, 1);
    splitter_make(&p, 2, SEGMENT, 8000, .25);
    p.stop_at = 3;
    assert_int_equal(swg_separate_file(ctx, &p.s, song, s.folder, &(swg_separate_opts){.stop = &p.stop}, NULL), SWG_EINTERRUPTED);
    assert_int_equal(p.calls, 4);
    splitter_make(&p, 2, SEGMENT, 8000, .25);
    p.fail_at = 5;
    assert_int_equal(swg_separate_file(ctx, &p.s, song, s.folder, NULL, NULL), SWG_EBOUND);
    splitter_make(&p, 2, SEGMENT, 8000, NAN);
    assert_int_equal(swg_separate_file(ctx, &p.s, song, s.folder, NULL, NULL), SWG_ENONFINITE);
    assert_int_equal(swg_separate_file(ctx, &p.s, "none.wav", s.folder, NULL, NULL), SWG_ENOTFOUND);
    scratch_close(&s, ctx, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test_setup_teardown(test_lengths, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_weights, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_refused, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_residual, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_masks, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_files, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_rates, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_loud, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_silence, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_no_half_files, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
