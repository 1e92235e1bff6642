/* test_separation.c - proves: SDR, SI-SDR, SIR, SAR, BSSEval v3 and v4 and estimates by ideal masks agree with NumPy's least squares and transforms
 * (tests/golden/separation.safetensors), with the specification's numbers, and on the eight sets of mir_eval with its figures; silence, perfect
 * estimates and orthogonal ones have the states that separation.h says, in medians, text and JSON; threads change no bit; what cannot be is refused; memory
 * that runs out leaves nothing behind; least squares pass over unknowns that depend on others, on every instruction set.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/separation.h"
#include <cjson/cJSON.h>
#include <math.h>
#include "golden.h"
#include "context.h"
#include "data/normal.h"
#include "swage/audio.h"

enum { MOST = SWG_SEPARATION_SOURCES, FIGURES = SWG_SEPARATION_FIGURES };
static const double ABSENT = -1000; /* stands for n/a in the golden file */

typedef struct signals {
    int sources, channels;
    int64_t samples;
    const float *reference[MOST], *estimate[MOST];
} signals;

static void assert_db(const char *what, double got, double want, double tolerance) {
    if (isnan(want) ? !isnan(got) : isinf(want) ? got != want : !(fabs(got - want) <= tolerance))
        fail_msg("%s is %.12g dB, expected %.12g to %g", what, got, want, tolerance);
}

static signals golden_signals(const swg_safetensors *file, const char *name) {
    const swg_tensor *r = golden_find(file, name, "reference"), *e = golden_find(file, name, "estimate");
    assert_non_null(r);
    assert_int_equal(r->ndim, 3);
    signals x = {.sources = (int)r->shape[0], .channels = (int)r->shape[1], .samples = r->shape[2]};
    for (int s = 0; s < x.sources; s++) {
        x.reference[s] = (const float *)r->data + s * x.channels * x.samples;
        x.estimate[s] = (const float *)e->data + s * x.channels * x.samples;
    }
    return x;
}

static void compare(const char *name, const char *field, const swg_tensor *want, const swg_separation *got, int64_t count) {
    assert_non_null(want);
    assert_int_equal(golden_count(want), count * FIGURES);
    for (int64_t i = 0; i < count * FIGURES; i++) {
        char what[96];
        snprintf(what, sizeof what, "%s.%s, %lld, %s", name, field, (long long)(i / FIGURES), swg_separation_title((swg_separation_figure)(i % FIGURES)));
        assert_db(what, got[i / FIGURES].db[i % FIGURES], golden_at(want, i) == ABSENT ? (double)NAN : golden_at(want, i), 1e-8);
    }
}

static const struct {
    const char *name, *field;
    swg_bss_opts opts;
} runs[] = {
    {"mono", "sources", {.taps = 16}},
    {"mono", "framewise", {.taps = 16, .window = 300, .hop = 150}},
    {"mono", "images", {.taps = 16, .images = true}},
    {"stereo", "images", {.taps = 8, .images = true}},
    {"stereo", "framewise", {.taps = 8, .images = true, .window = 350}},
    {"stereo", "v4", {.taps = 8, .images = true, .window = 200, .whole_filters = true}},
    {"stereo", "v4_sources", {.taps = 8, .window = 200, .hop = 100, .whole_filters = true}},
    {"centre", "images", {.taps = 8, .images = true}},
    {"centre", "v4", {.taps = 8, .images = true, .window = 250, .whole_filters = true}},
};

static void against_least_squares(void **state) {
    swg_context *ctx = *state;
    swg_safetensors *file = golden_open(ctx, "separation.safetensors");
    for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
        const signals x = golden_signals(file, runs[r].name);
        swg_separation out[64];
        const int64_t windows = swg_bss_windows(x.samples, &runs[r].opts);
        assert_true(x.sources * windows <= 64);
        assert_ok(ctx, swg_bss_eval(ctx, x.sources, x.channels, x.samples, x.reference, x.estimate, &runs[r].opts, out, NULL));
        compare(runs[r].name, runs[r].field, golden_find(file, runs[r].name, runs[r].field), out, x.sources * windows);
    }
    swg_safetensors_close(file);
}

static void without_filters(void **state) {
    static const char *const names[] = {"mono", "stereo", "centre"};
    swg_context *ctx = *state;
    swg_safetensors *file = golden_open(ctx, "separation.safetensors");
    for (int n = 0; n < 3; n++) {
        const signals x = golden_signals(file, names[n]);
        swg_separation out[MOST];
        for (int s = 0; s < x.sources; s++)
            assert_ok(ctx, swg_separation_measure(ctx, x.sources, x.channels, x.samples, x.samples, x.reference, s, x.estimate[s], 0, &out[s]));
        compare(names[n], "plain", golden_find(file, names[n], "plain"), out, x.sources);
    }
    swg_safetensors_close(file);
}

static void masks(void **state) {
    static const struct {
        const char *name, *field;
        swg_ideal_opts opts;
    } cases[] = {{"mono", "ratio", {.mask = SWG_MASK_RATIO}}, {"mono", "ratio2", {.mask = SWG_MASK_RATIO, .power = 2}}, {"mono", "phase", {.mask = SWG_MASK_PHASE}},
                 {"mono", "complex", {.mask = SWG_MASK_COMPLEX}}, {"stereo", "ratio", {.mask = SWG_MASK_RATIO}}, {"stereo", "phase", {.mask = SWG_MASK_PHASE}}};
    swg_context *ctx = *state;
    swg_safetensors *file = golden_open(ctx, "separation.safetensors");
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const signals x = golden_signals(file, cases[c].name);
        const swg_tensor *want = golden_find(file, cases[c].name, cases[c].field);
        float *made[MOST], *all = malloc((size_t)(x.sources * x.channels * x.samples) * sizeof *all);
        swg_ideal_opts o = cases[c].opts;
        o.n_fft = 64;
        for (int s = 0; s < x.sources; s++)
            made[s] = all + s * x.channels * x.samples;
        assert_ok(ctx, swg_ideal_estimates(ctx, x.sources, x.channels, x.samples, x.reference, NULL, &o, made));
        golden_near(cases[c].name, cases[c].field, want, all, SWG_F32, 1e-6);
        free(all);
    }
    swg_safetensors_close(file);
}

/* Masks that add up to 1 give estimates that add up to the mixture: transform and inverse are exact at both ends, for any length. */
static void masks_of_any_length(void **state) {
    static const int64_t lengths[] = {1, 7, 33, 64, 65, 1000, 70001};
    swg_context *ctx = *state;
    for (int n = 0; n < 7; n++) {
        const int64_t samples = lengths[n];
        float *x = malloc((size_t)(4 * samples) * sizeof *x);
        for (int64_t i = 0; i < 2 * samples; i++)
            x[i] = (float)(sin((double)(i * i % 977)) * .5);
        assert_ok(ctx, swg_ideal_estimates(ctx, 2, 1, samples, (const float *const[]){x, x + samples}, NULL, &(swg_ideal_opts){.mask = SWG_MASK_RATIO, .n_fft = 64},
                                           (float *const[]){x + 2 * samples, x + 3 * samples}));
        for (int64_t i = 0; i < samples; i++)
            if (!(fabs((double)x[2 * samples + i] + (double)x[3 * samples + i] - (double)x[i] - (double)x[samples + i]) <= 2e-7))
                fail_msg("%lld samples: sample %lld is %g, expected %g", (long long)samples, (long long)i, (double)(x[2 * samples + i] + x[3 * samples + i]),
                         (double)(x[i] + x[samples + i]));
        free(x);
    }
}

static void specification(void **state) {
    swg_context *ctx = *state;
    const float s[] = {1, -2, 3, .5f}, y[] = {.9f, -1.8f, 3.3f, .4f};
    float twice[4];
    swg_separation out;
    assert_ok(ctx, swg_separation_measure(ctx, 1, 1, 4, 4, (const float *const[]){s}, 0, y, 0, &out));
    assert_db("SDR", out.db[SWG_SEPARATION_SDR], 19.7772360529, 2e-6); /* .9 and the others are f32 here */
    assert_db("SI-SDR", out.db[SWG_SEPARATION_SI_SDR], 20.1606783867, 2e-6);
    const double before = out.db[SWG_SEPARATION_SI_SDR];
    for (int i = 0; i < 4; i++)
        twice[i] = 2 * y[i];
    assert_ok(ctx, swg_separation_measure(ctx, 1, 1, 4, 4, (const float *const[]){s}, 0, twice, 0, &out));
    assert_true(out.db[SWG_SEPARATION_SI_SDR] == before);
}

/* ---- zero cases ---- */

static swg_separation measured(swg_context *ctx, const float *const reference[2], int target, const float *estimate, double floor) {
    swg_separation out;
    assert_ok(ctx, swg_separation_measure(ctx, 2, 1, 4, 4, reference, target, estimate, floor, &out));
    return out;
}

static void expect(const char *what, swg_separation got, double sdr, double si_sdr, double sir, double sar) {
    char text[96];
    const double want[FIGURES] = {sdr, si_sdr, (double)NAN, sir, sar};
    for (int f = 0; f < FIGURES; f++) {
        snprintf(text, sizeof text, "%s: %s", what, swg_separation_title((swg_separation_figure)f));
        assert_db(text, got.db[f], want[f], 1e-12);
    }
}

static void zero_cases(void **state) {
    swg_context *ctx = *state;
    static const float a[] = {1, -1, 1, -1}, b[] = {1, 1, -1, -1}, silent[4], across[] = {1, -1, -1, 1}, constant[] = {1, 1, 1, 1};
    const double na = (double)NAN, inf = (double)INFINITY;
    const float *const both[] = {a, b}, *const alone[] = {a, silent}, *const level[] = {constant, b};
    expect("perfect", measured(ctx, both, 0, a, 0), inf, inf, inf, inf);
    expect("silent target", measured(ctx, alone, 1, a, 0), na, na, na, na);
    expect("silent target, floor", measured(ctx, alone, 1, a, 1e-10), na, na, na, na);
    expect("both silent", measured(ctx, alone, 1, silent, 0), na, na, na, na);
    expect("silent estimate", measured(ctx, both, 0, silent, 0), 0, na, na, na);
    expect("the others silent", measured(ctx, alone, 0, a, 0), inf, inf, na, inf);
    expect("the other one", measured(ctx, both, 0, b, 0), 10 * log10(.5), -inf, -inf, inf);
    expect("the other one, floor", measured(ctx, both, 0, b, 1e-10), 10 * log10(.5), -100, -100, inf);
    expect("neither", measured(ctx, both, 0, across, 0), 10 * log10(.5), -inf, na, -inf);
    expect("constant target", measured(ctx, level, 0, constant, 0), inf, na, inf, inf);
    double mixed[] = {na, 3, inf, 1, na}, none[] = {na}, ends[] = {inf, -inf};
    assert_true(swg_decibel_median(mixed, 5) == 3);
    assert_true(isnan(swg_decibel_median(none, 1)));
    assert_true(swg_decibel_median(ends, 2) == -inf);
    assert_true(swg_decibel_median((double[]){1, 4}, 2) == 2.5);
}

/* Silent where the target pauses, perfect where it plays: both are counted, the median is of the rest, and JSON stays JSON. */
static void song_with_silence(void **state) {
    swg_context *ctx = *state;
    enum { RATE = 800, SECONDS = 25, SAMPLES = RATE * SECONDS };
    static float r[2][2 * SAMPLES], e[2][2 * SAMPLES];
    for (int i = 0; i < 2 * SAMPLES; i++) {
        const int second = i % SAMPLES / RATE;
        r[0][i] = second < 5 ? 0 : (float)sin(.1 * i);
        r[1][i] = (float)cos(.37 * i);
        e[0][i] = r[0][i] + (second < 8 ? 0 : .1f * (float)(second % 3 + 1) * r[1][i]);
        e[1][i] = r[1][i];
    }
    swg_source_score out[2];
    const float *const reference[] = {r[0], r[1]}, *const estimate[] = {e[0], e[1]};
    assert_ok(ctx, swg_song_score(ctx, 2, 2, SAMPLES, RATE, reference, estimate, &(swg_score_opts){.bss = true}, out));
    const swg_score_value *v = &out[0].at[SWG_SCORE_WINDOWS][SWG_SEPARATION_SDR];
    assert_int_equal(v->windows, 25);
    assert_int_equal(v->absent, 5);
    assert_int_equal(v->perfect, 3);
    assert_db("median", v->db, -20 * log10(.2), .1);
    assert_int_equal(out[0].at[SWG_SCORE_SEGMENTS][SWG_SEPARATION_SDR].windows, 2);
    assert_int_equal(out[0].at[SWG_SCORE_TRACK][SWG_SEPARATION_SDR].windows, 1);
    assert_int_equal(out[0].at[SWG_SCORE_BSS4][SWG_SEPARATION_SDR].absent, 5);
    assert_db("v4 has the SDR of windows", out[0].at[SWG_SCORE_BSS4][SWG_SEPARATION_SDR].db, v->db, 1e-12);
    assert_db("perfect", out[1].at[SWG_SCORE_TRACK][SWG_SEPARATION_SDR].db, (double)INFINITY, 0);
    char text[4096];
    const char *const names[] = {"voc\"als", "other"};
    const int64_t length = swg_song_score_json(2, names, out, text, sizeof text);
    assert_int_equal(length, strlen(text));
    cJSON *root = cJSON_Parse(text);
    assert_non_null(root);
    const cJSON *track = cJSON_GetObjectItem(cJSON_GetObjectItem(root, "other"), "track"), *windows = cJSON_GetObjectItem(cJSON_GetObjectItem(root, "voc\"als"), "windows");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(track, "sdr")), "inf");
    assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(windows, "absent")) == 5);
    assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(windows, "sdr")) == v->db);
    cJSON_Delete(root);
    char small[8];
    assert_int_equal(swg_song_score_json(2, names, out, small, sizeof small), length);
    assert_int_equal(strlen(small), 7);
    assert_ok(ctx, swg_song_score(ctx, 2, 2, SAMPLES, RATE, reference, estimate, NULL, out));
    assert_int_equal(out[0].at[SWG_SCORE_BSS4][SWG_SEPARATION_SDR].windows, 0);
    swg_song_score_json(1, names, out, text, sizeof text);
    assert_null(strstr(text, "bss"));
    assert_string_equal(swg_decibel_text((double)NAN, small, sizeof small), "n/a");
    assert_string_equal(swg_decibel_text(12.345, small, sizeof small), "12.35");
}

/* Windows as BSSEval's authors count them: one in which anything is silent counts for nobody. */
static void silence_in_bss(void **state) {
    swg_context *ctx = *state;
    swg_safetensors *file = golden_open(ctx, "separation.safetensors");
    const signals x = golden_signals(file, "centre"); /* its third source is silent */
    swg_separation out[3];
    swg_bss_opts o = {.taps = 8, .images = true, .all_sources = true};
    assert_ok(ctx, swg_bss_eval(ctx, x.sources, x.channels, x.samples, x.reference, x.estimate, &o, out, NULL));
    for (int s = 0; s < 3; s++)
        assert_true(isnan(out[s].db[SWG_SEPARATION_SDR]));
    o.all_sources = false;
    assert_ok(ctx, swg_bss_eval(ctx, 1, x.channels, x.samples, x.reference, x.estimate, &o, out, NULL));
    assert_true(isnan(out[0].db[SWG_SEPARATION_SIR]) && isfinite(out[0].db[SWG_SEPARATION_SAR]));
    swg_safetensors_close(file);
}

static void any_order(void **state) {
    static const int shuffled[] = {2, 0, 1};
    swg_context *ctx = *state;
    swg_safetensors *file = golden_open(ctx, "separation.safetensors");
    const signals x = golden_signals(file, "mono");
    const float *estimate[3];
    swg_separation out[3], want[3];
    int order[3];
    swg_bss_opts o = {.taps = 16};
    assert_ok(ctx, swg_bss_eval(ctx, 3, 1, x.samples, x.reference, x.estimate, &o, want, order));
    for (int s = 0; s < 3; s++) {
        assert_int_equal(order[s], s);
        estimate[shuffled[s]] = x.estimate[s];
    }
    o.permute = true;
    assert_ok(ctx, swg_bss_eval(ctx, 3, 1, x.samples, x.reference, estimate, &o, out, order));
    for (int s = 0; s < 3; s++) {
        assert_int_equal(order[s], shuffled[s]);
        assert_db("SDR", out[s].db[SWG_SEPARATION_SDR], want[s].db[SWG_SEPARATION_SDR], 1e-9);
        assert_db("SIR", out[s].db[SWG_SEPARATION_SIR], want[s].db[SWG_SEPARATION_SIR], 1e-9);
    }
    swg_safetensors_close(file);
}

/* ---- the sets of mir_eval ---- */

static bool load_set(swg_context *ctx, const char *part, const char *name, int *count, int64_t *samples, float **out) {
    for (*count = 0; *count < MOST; ++*count) {
        char path[700];
        swg_audio_info info;
        snprintf(path, sizeof path, "%s/../shared/data/audio/bss_eval_fixtures/%s%s/%d.wav", SWG_SOURCE_DIR, part, name, *count);
        if (!swg__exists(path))
            return true;
        const swg_status status = swg_audio_load(ctx, path, &(swg_audio_opts){.channels = 1}, &out[*count], &info);
        if (status == SWG_EUNSUPPORTED)
            return false;
        assert_ok(ctx, status);
        *samples = info.samples;
    }
    return true;
}

/* Images: every channel behind the first of the references is a copy, of the estimates `gain` times it. (sources, channels, samples) */
static float *channels_of(float *const *mono, int sources, int channels, int64_t samples, double gain, const float **out) {
    float *all = malloc((size_t)(sources * channels * samples) * sizeof *all);
    for (int s = 0; s < sources; s++) {
        out[s] = all + s * channels * samples;
        for (int c = 0; c < channels; c++)
            for (int64_t i = 0; i < samples; i++)
                all[(s * channels + c) * samples + i] = (float)((c ? gain : 1) * (double)mono[s][i]);
    }
    return all;
}

/* A figure of one source and window; infinity is Infinity. */
static double figure_of(const cJSON *part, const char *key, int source, int64_t window) {
    const cJSON *at = cJSON_GetArrayItem(cJSON_GetObjectItem(part, key), source);
    at = cJSON_IsArray(at) ? cJSON_GetArrayItem(at, (int)window) : at;
    assert_non_null(at);
    return cJSON_IsNumber(at) ? at->valuedouble : (double)NAN;
}

static double number_of(const cJSON *part, const char *key, double missing) {
    const cJSON *at = cJSON_GetObjectItem(part, key);
    return cJSON_IsNumber(at) ? at->valuedouble : missing;
}

/* mir_eval's figures of images come of singular equations (its channels are copies): where they differ from its own figures of sources, ours do not. */
static void check_part(swg_context *ctx, const char *set, const cJSON *part, const char *name, float *const *ref, float *const *est, int sources, int64_t samples) {
    static const struct {
        const char *key;
        swg_separation_figure figure;
    } figures[] = {{"Source to Distortion", SWG_SEPARATION_SDR}, {"Image to Spatial", SWG_SEPARATION_ISR}, {"Source to Interference", SWG_SEPARATION_SIR}, {"Source to Artifact", SWG_SEPARATION_SAR}};
    const bool images = strstr(name, "Images") != NULL;
    const int channels = (int)number_of(part, "nchan", 1);
    const swg_bss_opts o = {.images = images, .window = (int64_t)number_of(part, "win", 0), .hop = (int64_t)number_of(part, "hop", 0),
                            .permute = strstr(name, "Framewise") == NULL, .all_sources = true};
    const int64_t windows = swg_bss_windows(samples, &o);
    const float *reference[MOST], *estimate[MOST];
    float *r = channels_of(ref, sources, channels, samples, 1, reference), *e = channels_of(est, sources, channels, samples, number_of(part, "gain", 1), estimate);
    swg_separation *out = malloc((size_t)(sources * windows) * sizeof *out);
    int *order = malloc((size_t)(sources * windows) * sizeof *order);
    assert_ok(ctx, swg_bss_eval(ctx, sources, channels, samples, reference, estimate, &o, out, order));
    for (int64_t i = 0; i < sources * windows; i++) {
        const int source = (int)(i / windows);
        assert_int_equal(order[i], (int)figure_of(part, "Source permutation", source, i % windows));
        for (int f = 0; f < 4; f++) {
            char what[128];
            const double got = out[i].db[figures[f].figure], want = images || f != 1 ? figure_of(part, figures[f].key, source, i % windows) : (double)NAN;
            snprintf(what, sizeof what, "set %s, %s, %s, source %d, window %lld", set, name, figures[f].key, source, (long long)(i % windows));
            if (sources == 1 && figures[f].figure == SWG_SEPARATION_SIR)
                assert_true(isnan(got)); /* it says infinity: no other source, no interference */
            else
                assert_db(what, got, want, images ? 5e-4 : 1e-6);
        }
    }
    free(order);
    free(out);
    free(e);
    free(r);
}

static void check_set(swg_context *ctx, const char *set, char *text, float *const *ref, float *const *est, int sources, int64_t samples) {
    static const char *const parts[] = {"Sources", "Framewise", "Images", "Images Framewise"};
    for (char *at; (at = strstr(text, "Infinity")) != NULL;) /* no JSON */
        memcpy(at, "null    ", 8);
    cJSON *root = cJSON_Parse(text);
    assert_non_null(root);
    for (int p = 0; p < 4; p++) {
        const cJSON *part = cJSON_GetObjectItem(root, parts[p]);
        const bool large = sources * number_of(part, "nchan", 1) > (p % 2 ? 3 : 6); /* seconds each */
        assert_non_null(part);
        if (p < (TESTING_SLOW ? 1 : 4) && !large)
            check_part(ctx, set, part, parts[p], ref, est, sources, samples);
    }
    cJSON_Delete(root);
}

static void sets_of_mir_eval(void **state) {
    static const char *const sets[] = {"01", "02", "03", "05", "06", "07", "08", "09"};
    swg_context *ctx = *state;
    for (int n = 0; n < 8; n++) {
        char path[700];
        uint8_t *text;
        size_t bytes;
        float *ref[MOST], *est[MOST];
        int sources = 0, estimates = 0;
        int64_t samples = 0;
        snprintf(path, sizeof path, "%s/../shared/data/audio/bss_eval_fixtures/output%s.json", SWG_SOURCE_DIR, sets[n]);
        if (!swg__exists(path) || !load_set(ctx, "ref", sets[n], &sources, &samples, ref)) {
            printf("             %s is absent, or this build reads no audio: skipped\n", path);
            skip();
        }
        assert_true(load_set(ctx, "est", sets[n], &estimates, &samples, est));
        assert_int_equal(sources, estimates);
        assert_ok(ctx, swg__file_read(ctx, path, &text, &bytes));
        check_set(ctx, sets[n], (char *)text, ref, est, sources, samples);
        swg__free(ctx, text);
        for (int s = 0; s < sources; s++) {
            swg_audio_free(ctx, ref[s]);
            swg_audio_free(ctx, est[s]);
        }
    }
}

/* ---- least squares ---- */

/* Gram equations of random columns, some of which are sums of others: the solution gives the right side back, on every instruction set. */
static void normal_equations(void **state) {
    enum { MEASURED = 260, MOST_N = 203 };
    static const int sizes[] = {1, 7, 64, 131, MOST_N};
    static double columns[MOST_N][MEASURED], gram[MOST_N * MOST_N], factor[MOST_N * MOST_N], side[2][MOST_N], x[2][MOST_N];
    (void)state;
    for (int i = 0; i < MOST_N; i++)
        for (int t = 0; t < MEASURED; t++) {
            columns[i][t] = sin(1e3 * sin(i * 977. + t * 31.7 + 1));
            if (i % 20 == 13)
                columns[i][t] = columns[i - 5][t] - 2 * columns[i - 9][t];
            else if (i % 50 == 41)
                columns[i][t] = 0;
        }
    for (int s = 0; s < 5; s++) {
        const int n = sizes[s];
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < n; j++) {
                gram[i * n + j] = 0;
                for (int t = 0; t < MEASURED; t++)
                    gram[i * n + j] += columns[i][t] * columns[j][t];
            }
            side[0][i] = gram[i * n]; /* what column 0 has with all others: solved by itself */
            side[1][i] = 0;
            for (int t = 0; t < MEASURED; t++)
                side[1][i] += columns[i][t] * cos(.01 * t * t);
        }
        for (int isa = 0; isa <= (int)swg__isa_best(); isa++) {
            swg_context *ctx;
            assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 2, .isa = swg__isa_name((swg__isa)isa)}, &ctx), SWG_OK);
            memcpy(factor, gram, sizeof(double) * (size_t)(n * n));
            for (int r = 0; r < 2; r++)
                memcpy((double *)x + r * n, side[r], sizeof(double) * (size_t)n);
            assert_ok(ctx, swg__normal_solve(ctx, n, factor, 2, (double *)x, 1e-12));
            for (int r = 0; r < 2; r++)
                for (int i = 0; i < n; i++) {
                    double got = 0;
                    for (int j = 0; j < n; j++)
                        got += gram[i * n + j] * ((double *)x)[r * n + j];
                    assert_close(got, side[r][i], 1e-8, 0);
                }
            if (n > 13)
                assert_true(((double *)x)[n + 13] == 0); /* depends on those before it */
            swg_context_close(ctx);
        }
    }
}

/* ---- the rest ---- */

static void threads_change_nothing(void **state) {
    swg_context *ctx = *state, *other;
    swg_safetensors *file = golden_open(ctx, "separation.safetensors");
    const signals x = golden_signals(file, "stereo");
    swg_source_score one[2], three[2];
    const swg_score_opts o = {.bss = true, .window_seconds = 20, .segment_seconds = 50};
    assert_ok(ctx, swg_context_open(&(swg_context_opts){.threads = 3}, &other));
    assert_ok(ctx, swg_song_score(ctx, 2, 2, x.samples, 10, x.reference, x.estimate, &o, one));
    assert_ok(other, swg_song_score(other, 2, 2, x.samples, 10, x.reference, x.estimate, &o, three));
    assert_memory_equal(one, three, sizeof one);
    swg_context_close(other);
    swg_safetensors_close(file);
}

static void refused(void **state) {
    swg_context *ctx = *state;
    float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, bad[8] = {1, 2, (float)NAN, 4};
    const float *const r[] = {x, x + 4}, *const e[] = {x, bad}, *none[17] = {x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
    float *const to[] = {x, x + 4};
    swg_separation out[32];
    swg_source_score scores[2];
    assert_int_equal(swg_bss_eval(ctx, 2, 1, 4, r, e, NULL, out, NULL), SWG_ENONFINITE);
    assert_non_null(strstr(swg_context_message(ctx), "estimate 1, channel 0, sample 2"));
    assert_int_equal(swg_song_score(ctx, 2, 1, 4, 44100, r, e, NULL, scores), SWG_ENONFINITE);
    assert_int_equal(swg_separation_measure(ctx, 2, 1, 4, 4, r, 2, x, 0, out), SWG_EINVAL);
    assert_int_equal(swg_separation_measure(ctx, 2, 1, 4, 3, r, 1, x, 0, out), SWG_EINVAL);
    assert_int_equal(swg_bss_eval(ctx, 17, 1, 4, none, none, NULL, out, NULL), SWG_EINVAL);
    assert_int_equal(swg_bss_eval(ctx, 2, 1, 0, r, r, NULL, out, NULL), SWG_ESHAPE);
    assert_int_equal(swg_bss_eval(ctx, 2, 1, 4, r, r, &(swg_bss_opts){.taps = 9000}, out, NULL), SWG_ESHAPE);
    assert_int_equal(swg_bss_eval(ctx, 9, 1, 4, none, none, &(swg_bss_opts){.permute = true, .taps = 2}, out, NULL), SWG_ESHAPE);
    assert_int_equal(swg_bss_eval(ctx, 2, 1, 4, r, r, &(swg_bss_opts){.window = -1}, out, NULL), SWG_EINVAL);
    assert_int_equal(swg_song_score(ctx, 2, 1, 4, 0, r, r, NULL, scores), SWG_EINVAL);
    assert_int_equal(swg_ideal_estimates(ctx, 2, 1, 4, r, NULL, &(swg_ideal_opts){.n_fft = 1000}, to), SWG_EINVAL);
    assert_int_equal(swg_ideal_estimates(ctx, 2, 1, 4, r, NULL, &(swg_ideal_opts){.n_fft = 64, .hop = 48}, to), SWG_EINVAL);
    assert_int_equal(swg_ideal_estimates(ctx, 2, 1, 0, r, NULL, NULL, to), SWG_ESHAPE);
}

/* Every call of the allocator fails once: the status says so, and nothing is left. */
static void out_of_memory(void **state) {
    swg_safetensors *file = golden_open(*state, "separation.safetensors");
    const signals x = golden_signals(file, "centre");
    testing_allocator t = {.fail_at = -1};
    swg_context *ctx;
    swg_source_score scores[3];
    float *made[3];
    const swg_score_opts o = {.bss = true, .window_seconds = 25, .segment_seconds = 50};
    assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &t}}, &ctx), SWG_OK);
    for (int s = 0; s < 3; s++)
        made[s] = malloc((size_t)(x.channels * x.samples) * sizeof(float));
    const int64_t live = t.live;
    int failed = 0;
    for (bool done = false; !done; failed++) {
        t.fail_at = t.calls + failed;
        swg_status status = swg_ideal_estimates(ctx, 3, x.channels, x.samples, x.reference, NULL, NULL, made);
        if (status == SWG_OK)
            status = swg_song_score(ctx, 3, x.channels, x.samples, 10, x.reference, x.estimate, &o, scores);
        done = status == SWG_OK;
        assert_true(done || status == SWG_ENOMEM);
        assert_int_equal(t.live, live);
        if (failed > 8 && !done)
            failed += TESTING_SLOW ? 4 : 0;
    }
    assert_true(failed > 10);
    for (int s = 0; s < 3; s++)
        free(made[s]);
    swg_context_close(ctx);
    swg_safetensors_close(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(against_least_squares, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(without_filters, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(masks, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(masks_of_any_length, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(specification, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(zero_cases, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(song_with_silence, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(silence_in_bss, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(any_order, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(sets_of_mir_eval, testing_open, testing_close),
        cmocka_unit_test(normal_equations),
        cmocka_unit_test_setup_teardown(threads_change_nothing, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(out_of_memory, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
