/* test_stretch.c - the phase vocoder against ground truth: sines keep or move their frequency, size and place between the channels, clicks move in
 * time, noise keeps its power, and nothing done is nothing changed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <complex.h>
#include <math.h>
#include "testing.h"
#include "data/stretch.h"
#include "philox.h"

enum { RATE = 44100, COUNT = 66150, WINDOW = 16384 };
static const double pi = 3.14159265358979323846;

typedef double (*sound_fn)(int channel, double at);

/* Stretches `fn`, whose time runs from the margin on, into out (channels, COUNT). */
static void stretch(swg_context *ctx, sound_fn fn, int channels, double speed, double semitones, float *out) {
    swg__stretch *s;
    assert_ok(ctx, swg__stretch_open(ctx, channels, &s));
    const int64_t input = swg__stretch_input(speed, COUNT), each = input + 2 * SWG__STRETCH_MARGIN;
    float *x = malloc((size_t)(channels * each) * sizeof *x);
    for (int c = 0; c < channels; c++)
        for (int64_t i = 0; i < each; i++)
            x[c * each + i] = (float)fn(c, (double)(i - SWG__STRETCH_MARGIN));
    assert_ok(ctx, swg__stretch_run(s, speed, semitones, x, COUNT, out));
    free(x);
    swg__stretch_close(s);
}

/* Amplitude and phase of a sine of `frequency` about sample `at`. */
static double complex line(const float *x, int64_t at, double frequency) {
    double complex sum = 0;
    double weight = 0;
    for (int i = 0; i < WINDOW; i++) {
        const double w = .5 - .5 * cos(2 * pi * i / WINDOW);
        sum += w * (double)x[at + i] * cexp(-2 * I * pi * frequency * i / RATE);
        weight += w;
    }
    return 2 * sum / weight;
}

/* The true frequency of a sine near `frequency`, by its phase at two places. */
static double measured(const float *x, double frequency) {
    const int64_t gap = 2048, at = 20000;
    const double complex turn = line(x, at + gap, frequency) / line(x, at, frequency) * cexp(-2 * I * pi * frequency * (double)gap / RATE);
    return frequency + carg(turn) * RATE / (2 * pi * (double)gap);
}

static double size_of(const float *x, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum / (double)count);
}

static double tone(int c, double at) { return (c ? .2 : .5) * cos(2 * pi * 437.3 * at / RATE + (c ? 1.1 : 0)); }

static const struct { double speed, semitones; } cases[] = {{.9, 0}, {1.1, 0}, {1, 2}, {1, -2}, {1, .37}, {.93, -1.7}, {1.1, 2}, {.9, -2}, {.9, 2}, {1.1, -2}};

static void sines(void **state) {
    float *out = malloc(2 * COUNT * sizeof *out);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stretch(*state, tone, 2, cases[i].speed, cases[i].semitones, out);
        const double wanted = 437.3 * exp2(cases[i].semitones / 12);
        assert_close(measured(out, wanted), wanted, 0, 2e-5);
        assert_close(measured(out + COUNT, wanted), wanted, 0, 2e-5);
        const double complex left = line(out, 20000, wanted), right = line(out + COUNT, 20000, wanted);
        assert_close(cabs(left), .5, 0, .01);
        assert_close(cabs(right), .2, 0, .01);
        assert_close(carg(right / left), 1.1, .01, 0);  /* where it sounds from */
        for (int64_t at = 0; at + 4096 <= COUNT; at += 4096) /* to the ends */
            assert_close(size_of(out + at, 4096), .5 / sqrt(2), 0, .02);
    }
    free(out);
}

/* Lines of a chord stay apart, and what is between them stays low. */
static double chord(int c, double at) {
    (void)c;
    return .3 * cos(2 * pi * 330 * at / RATE) + .1 * cos(2 * pi * 880 * at / RATE + 1) + .02 * cos(2 * pi * 5000 * at / RATE + 2);
}

static void chords(void **state) {
    float *out = malloc(COUNT * sizeof *out);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double up = exp2(cases[i].semitones / 12);
        stretch(*state, chord, 1, cases[i].speed, cases[i].semitones, out);
        assert_close(cabs(line(out, 20000, 330 * up)), .3, 0, .02);
        assert_close(cabs(line(out, 20000, 880 * up)), .1, 0, .02);
        assert_close(cabs(line(out, 20000, 5000 * up)), .02, 0, .02);
        assert_close(cabs(line(out, 20000, 600 * up)), 0, 3e-4, 0);
        assert_close(cabs(line(out, 20000, 2000 * up)), 0, 3e-4, 0);
    }
    free(out);
}

static double click(int c, double at) {
    (void)c;
    return at == 10000 || at == 40000 ? 1 : 0;
}

/* Middle of the energy of a stretch of sound. */
static double middle(const float *x, int64_t from, int64_t to) {
    double sum = 0, at = 0;
    for (int64_t i = from; i < to; i++) {
        sum += (double)x[i] * (double)x[i];
        at += (double)x[i] * (double)x[i] * (double)i;
    }
    return at / sum;
}

static void clicks(void **state) {
    float *out = malloc(COUNT * sizeof *out);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stretch(*state, click, 1, cases[i].speed, cases[i].semitones, out);
        const double first = 10000 / cases[i].speed, second = 40000 / cases[i].speed, half = (first + second) / 2;
        assert_close(middle(out, 0, (int64_t)half), first, 256, 0); /* 6 ms */
        assert_close(middle(out, (int64_t)half, COUNT), second, 256, 0);
    }
    free(out);
}

static double noise(int c, double at) {
    const swg__philox_words w = swg__philox(7, (uint64_t)(at + 1e6), 0, (uint32_t)c);
    return .4 * ((double)swg__uniform(w.w[0]) + (double)swg__uniform(w.w[1]) + (double)swg__uniform(w.w[2]) - 1.5);
}

static void power(void **state) {
    float *out = malloc(2 * COUNT * sizeof *out);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stretch(*state, noise, 2, cases[i].speed, cases[i].semitones, out);
        for (int c = 0; c < 2; c++) {
            const double decibel = 20 * log10(size_of(out + c * COUNT, COUNT) / .2); /* .4 times the deviation of three uniform numbers, a half */
            if (!(fabs(decibel) < 2))
                fail_msg("noise at speed %g, %g semitones: %.2f dB", cases[i].speed, cases[i].semitones, decibel);
        }
    }
    free(out);
}

static double mixed(int c, double at) { return noise(c, at) + tone(c, at) + click(c, at); }

static void nothing_changed(void **state) {
    float *out = malloc(2 * COUNT * sizeof *out);
    stretch(*state, mixed, 2, 1, 0, out);
    for (int c = 0; c < 2; c++)
        for (int64_t i = 0; i < COUNT; i++)
            assert_close((double)out[c * COUNT + i], (double)(float)mixed(c, (double)i), 3e-6, 0);
    free(out);
}

/* What would rise beyond half the sample rate is 30 dB down where it is folded back: 20.8 kHz lies in the reader's slope. */
static double high(int c, double at) { return (void)c, .5 * cos(2 * pi * 20800 * at / RATE); }

static void no_aliases(void **state) {
    float *out = malloc(COUNT * sizeof *out);
    stretch(*state, high, 1, 1, 0, out);
    assert_close(size_of(out, COUNT), .5 / sqrt(2), 0, .01);
    stretch(*state, high, 1, 1, 2, out);
    assert_close(size_of(out, COUNT), 0, .011, 0);
    free(out);
}

static double silence(int c, double at) { return (void)c, (void)at, 0; }

static void silent(void **state) {
    float *out = malloc(2 * COUNT * sizeof *out);
    stretch(*state, silence, 2, 1.1, 2, out);
    for (int64_t i = 0; i < 2 * COUNT; i++)
        assert_true(out[i] == 0);
    free(out);
}

static void refused(void **state) {
    swg_context *ctx = *state;
    swg__stretch *s;
    float x = 0;
    assert_ok(ctx, swg__stretch_open(ctx, 1, &s));
    const double bad[][2] = {{.4, 0}, {2.1, 0}, {1, 13}, {1.5, -3}, {NAN, 0}, {1, NAN}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(swg__stretch_run(s, bad[i][0], bad[i][1], &x, 1, &x), SWG_EINVAL);
    swg__stretch_close(s);
    swg__stretch_close(NULL);
}

static void out_of_memory(void **state) {
    (void)state;
    float *out = malloc(1000 * sizeof *out), *x = calloc(2 * SWG__STRETCH_MARGIN + 1100, sizeof *x);
    for (int64_t fail = 0;; fail++) {
        testing_allocator memory = {.fail_at = -1};
        swg_context *ctx;
        assert_int_equal(swg_context_open(&(swg_context_opts){.allocator = {.alloc = testing_alloc, .release = testing_release, .user = &memory}, .threads = 1}, &ctx),
                         SWG_OK);
        memory.fail_at = memory.calls + fail;
        swg__stretch *s;
        swg_status status = swg__stretch_open(ctx, 1, &s);
        if (status == SWG_OK)
            status = swg__stretch_run(s, 1.1, 2, x, 1000, out);
        swg__stretch_close(s);
        assert_int_equal(swg_context_bytes(ctx), 0);
        swg_context_close(ctx);
        assert_int_equal(memory.live, 0);
        if (status == SWG_OK)
            break;
        assert_int_equal(status, SWG_ENOMEM);
    }
    free(out);
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sines, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(chords, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(clicks, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(power, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(nothing_changed, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(no_aliases, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(silent, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
