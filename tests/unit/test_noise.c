/* test_noise.c - proves: every kind of noise has the distribution it names, the sides of rectangles follow the curriculum, a key gives one
 * result on every instruction set, augmentation moves pixels without losing one.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "testing.h"
#include "data/noise.h"

enum { SIDE = 64, PIXELS = SIDE * SIDE, COUNT = 3 * PIXELS };

static void paint(float *image, float value) {
    for (int i = 0; i < COUNT; i++)
        image[i] = value;
}

static void words(void **state) {
    swg_context *ctx = *state;
    swg__noise_kind kind;
    unsigned flags;
    static const char *const names[] = {"none", "gauss", "rect", "rect+gauss", "poisson", "saltpepper"};
    for (int i = 0; i < 6; i++) {
        assert_ok(ctx, swg__noise_parse(ctx, names[i], &kind));
        assert_string_equal(swg__noise_name(kind), names[i]);
    }
    assert_ok(ctx, swg__noise_parse(ctx, NULL, &kind));
    assert_int_equal(kind, SWG__NOISE_NONE);
    assert_int_equal(swg__noise_parse(ctx, "blur", &kind), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(ctx), "noise=blur: expected one of none gauss rect"));
    assert_ok(ctx, swg__augment_parse(ctx, "stain,flip", &flags));
    assert_int_equal(flags, SWG__AUGMENT_STAIN | SWG__AUGMENT_FLIP);
    assert_ok(ctx, swg__augment_parse(ctx, "none", &flags));
    assert_int_equal(flags, 0);
    assert_int_equal(swg__augment_parse(ctx, "flip,rot", &flags), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(ctx), "\"rot\""));
    assert_ok(ctx, swg__noise_check(ctx, &(swg__noise){SWG__NOISE_STANDARD}));
    assert_int_equal(swg__noise_check(ctx, &(swg__noise){.sigma = -1, .peak = 30}), SWG_EINVAL);
    assert_int_equal(swg__noise_check(ctx, &(swg__noise){.peak = 30, .amount = 1.5}), SWG_EINVAL);
    assert_int_equal(swg__noise_check(ctx, &(swg__noise){.peak = NAN}), SWG_EINVAL);
}

/* Over many keys: sides reach 10 % and (30 + 20 p) % of the shorter side, each as often as the others; positions reach both edges. */
static void rectangles(void **state) {
    (void)state;
    static const double progress[] = {0, .5, 1};
    static const int64_t upper[] = {30, 40, 50};
    enum { H = 100, W = 160, KEYS = 20000 };
    for (int p = 0; p < 3; p++) {
        int seen[2][H] = {{0}};
        double at[4] = {0}; /* rectangles at the four edges */
        for (uint64_t k = 0; k < KEYS; k++) {
            swg__rectangle r = swg__noise_rectangle(swg__noise_key(42, k, 0), progress[p], H, W);
            assert_in_range(r.height, 10, upper[p]);
            assert_in_range(r.width, 10, upper[p]);
            assert_true(r.y >= 0 && r.x >= 0 && r.y + r.height <= H && r.x + r.width <= W);
            seen[0][r.height]++;
            seen[1][r.width]++;
            at[0] += r.y == 0;
            at[1] += r.x == 0;
            at[2] += r.y + r.height == H;
            at[3] += r.x + r.width == W;
        }
        const double each = (double)KEYS / (double)(upper[p] - 9);
        for (int axis = 0; axis < 2; axis++)
            for (int64_t side = 10; side <= upper[p]; side++)
                assert_close(seen[axis][side], each, 6 * sqrt(each), 0);
        for (int e = 0; e < 4; e++)
            assert_true(at[e] > 50);
    }
    swg__rectangle tiny = swg__noise_rectangle(1, 1, 1, 3);
    assert_true(tiny.height == 1 && tiny.width == 1 && tiny.y == 0);
}

static void covered(void **state) {
    swg_context *ctx = *state;
    static float image[COUNT];
    paint(image, .5f);
    const uint64_t key = swg__noise_key(7, 3, 2);
    swg__noise_apply(ctx, &(swg__noise){SWG__NOISE_STANDARD, .kind = SWG__NOISE_RECT}, key, 1, 3, SIDE, SIDE, image);
    const swg__rectangle r = swg__noise_rectangle(key, 1, SIDE, SIDE);
    for (int i = 0; i < COUNT; i++) {
        int64_t y = i % PIXELS / SIDE, x = i % SIDE;
        bool inside = y >= r.y && y < r.y + r.height && x >= r.x && x < r.x + r.width;
        assert_true(image[i] == (inside ? 0 : .5f));
    }
}

/* Mean and standard deviation of (image - base) over 24 keys. */
static void moments(swg_context *ctx, const swg__noise *noise, float base, double *mean, double *sd) {
    static float image[COUNT];
    double sum = 0, square = 0, n = 24. * COUNT;
    for (uint64_t k = 0; k < 24; k++) {
        paint(image, base);
        swg__noise_apply(ctx, noise, swg__noise_key(42, k, 0), 0, 3, SIDE, SIDE, image);
        for (int i = 0; i < COUNT; i++) {
            double e = (double)(image[i] - base);
            sum += e;
            square += e * e;
        }
    }
    *mean = sum / n;
    *sd = sqrt(square / n - *mean * *mean);
}

static void distributions(void **state) {
    swg_context *ctx = *state;
    const double root = sqrt(24. * COUNT);
    double mean, sd;
    moments(ctx, &(swg__noise){SWG__NOISE_STANDARD, .kind = SWG__NOISE_GAUSS}, .5f, &mean, &sd);
    assert_close(mean, 0, 5 * .2 / root, 0);
    assert_close(sd, .2, 5 * .2 / root, 0);
    moments(ctx, &(swg__noise){.kind = SWG__NOISE_GAUSS, .sigma = .05}, .5f, &mean, &sd);
    assert_close(sd, .05, 5 * .05 / root, 0);
    moments(ctx, &(swg__noise){.kind = SWG__NOISE_GAUSS, .peak = 30}, .5f, &mean, &sd); /* 0 is 0, not the default */
    assert_true(mean == 0 && sd == 0);
    moments(ctx, &(swg__noise){.kind = SWG__NOISE_SALT_PEPPER, .peak = 30}, .5f, &mean, &sd);
    assert_true(mean == 0 && sd == 0);
    static const double peaks[] = {5, 30, 59, 70, 1000}; /* means of 2.5 to 500: both methods */
    for (int i = 0; i < 5; i++) {
        const double want = sqrt(.5 / peaks[i]);
        moments(ctx, &(swg__noise){.kind = SWG__NOISE_POISSON, .peak = peaks[i]}, .5f, &mean, &sd);
        assert_close(mean, 0, 5 * want / root, 0);
        assert_close(sd, want, 0, .01);
    }
    static float image[COUNT];
    paint(image, 0);
    swg__noise_apply(ctx, &(swg__noise){SWG__NOISE_STANDARD, .kind = SWG__NOISE_POISSON}, 5, 0, 3, SIDE, SIDE, image);
    for (int i = 0; i < COUNT; i++)
        assert_true(image[i] == 0);
}

static void poisson_tail(void **state) {
    swg_context *ctx = *state;
    static float image[COUNT];
    static const double means[] = {4, 40};
    for (int m = 0; m < 2; m++) { /* frequencies of all counts against the law: chi square below its mean plus six deviations */
        enum { MOST = 100 };
        double seen[MOST] = {0}, total = 0, chi = 0;
        int cells = 0;
        for (uint64_t k = 0; k < 24; k++) {
            paint(image, 1);
            swg__noise_apply(ctx, &(swg__noise){.kind = SWG__NOISE_POISSON, .peak = means[m]}, swg__noise_key(1, k, 0), 0, 3, SIDE, SIDE, image);
            for (int i = 0; i < COUNT; i++, total++)
                seen[(int)floor((double)image[i] * means[m] + .5)]++;
        }
        double p = exp(-means[m]);
        for (int k = 0; k < MOST; p *= means[m] / ++k) {
            if (p * total < 20)
                continue;
            chi += (seen[k] - p * total) * (seen[k] - p * total) / (p * total);
            cells++;
        }
        assert_true(cells > 10);
        if (!(chi < cells + 6 * sqrt(2. * cells)))
            fail_msg("mean %g: chi square %g over %d counts", means[m], chi, cells);
    }
}

static void salt(void **state) {
    swg_context *ctx = *state;
    static float image[COUNT];
    double black = 0, white = 0;
    for (uint64_t k = 0; k < 24; k++) {
        paint(image, .5f);
        swg__noise_apply(ctx, &(swg__noise){.kind = SWG__NOISE_SALT_PEPPER, .amount = .2}, swg__noise_key(42, k, 0), 0, 3, SIDE, SIDE, image);
        for (int i = 0; i < PIXELS; i++) {
            assert_true(image[i] == image[PIXELS + i] && image[i] == image[2 * PIXELS + i]);
            black += image[i] == 0;
            white += image[i] == 1;
        }
    }
    const double n = 24. * PIXELS, deviation = sqrt(n * .1 * .9);
    assert_close(black, .1 * n, 5 * deviation, 0);
    assert_close(white, .1 * n, 5 * deviation, 0);
}

/* rect+gauss: noise inside the rectangle too, and the same everywhere as gauss alone outside; clipping. */
static void together(void **state) {
    swg_context *ctx = *state;
    static float both[COUNT], gauss[COUNT];
    const uint64_t key = swg__noise_key(9, 1, 0);
    const swg__rectangle r = swg__noise_rectangle(key, 0, SIDE, SIDE);
    paint(both, .5f);
    paint(gauss, .5f);
    swg__noise_apply(ctx, &(swg__noise){SWG__NOISE_STANDARD, .kind = SWG__NOISE_RECT_GAUSS}, key, 0, 3, SIDE, SIDE, both);
    swg__noise_apply(ctx, &(swg__noise){SWG__NOISE_STANDARD, .kind = SWG__NOISE_GAUSS}, key, 0, 3, SIDE, SIDE, gauss);
    int beyond = 0;
    for (int i = 0; i < COUNT; i++) {
        int64_t y = i % PIXELS / SIDE, x = i % SIDE;
        bool inside = y >= r.y && y < r.y + r.height && x >= r.x && x < r.x + r.width;
        assert_close((double)(gauss[i] - both[i]), inside ? .5 : 0, 1e-6, 0);
        beyond += both[i] < 0 || both[i] > 1;
    }
    assert_true(beyond > 0); /* not clipped unless asked */
    swg__noise_apply(ctx, &(swg__noise){SWG__NOISE_STANDARD, .kind = SWG__NOISE_RECT_GAUSS, .clip = true}, key, 0, 3, SIDE, SIDE, both);
    for (int i = 0; i < COUNT; i++)
        assert_true(both[i] >= 0 && both[i] <= 1);
}

/* The same key: the same bits, on every instruction set; another sample, seed or epoch: others. */
static void one_result(void **state) {
    swg_context *ctx = *state;
    static float first[COUNT], other[COUNT];
    static const char *const sets[] = {"scalar", "sse2", "avx2", "avx512"};
    const swg__noise noise = {SWG__NOISE_STANDARD, .kind = SWG__NOISE_RECT_GAUSS};
    const uint64_t key = swg__noise_key(42, 5, 3);
    paint(first, .25f);
    swg__noise_apply(ctx, &noise, key, .5, 3, SIDE, SIDE, first);
    for (int i = 0; i < 4; i++) {
        swg_context *c;
        if (swg_context_open(&(swg_context_opts){.isa = sets[i], .threads = 1}, &c) != SWG_OK)
            continue;
        paint(other, .25f);
        swg__noise_apply(c, &noise, key, .5, 3, SIDE, SIDE, other);
        assert_memory_equal(first, other, sizeof first);
        swg_context_close(c);
    }
    assert_true(swg__noise_key(42, 5, 4) != key && swg__noise_key(42, 6, 3) != key && swg__noise_key(43, 5, 3) != key);
}

static void augmentation(void **state) {
    (void)state;
    enum { N = 5 };
    float in[2 * N * N], out[2 * N * N];
    int forms[16] = {0}, distinct = 0;
    for (int i = 0; i < 2 * N * N; i++)
        in[i] = (float)(i + 1) / 60;
    for (uint64_t k = 0; k < 400; k++) {
        memcpy(out, in, sizeof in);
        swg__augment_apply(SWG__AUGMENT_FLIP | SWG__AUGMENT_ROT90, swg__noise_key(1, k, 0), 2, N, out);
        double sum = 0;
        for (int i = 0; i < 2 * N * N; i++)
            sum += (double)(out[i] - in[i]);
        assert_close(sum, 0, 1e-5, 0);
        for (int i = 0; i < N * N; i++) /* the same move in both channels; neighbours stay neighbours */
            assert_close((double)(out[N * N + i] - out[i]), 25. / 60, 1e-6, 0);
        for (int y = 0; y < N; y++)
            for (int x = 1; x < N; x++) {
                double step = fabs((double)(out[y * N + x] - out[y * N + x - 1])) * 60;
                assert_true(fabs(step - 1) < 1e-4 || fabs(step - N) < 1e-4);
            }
        int corner = (int)floor((double)out[0] * 60 + .5), next = (int)floor((double)out[1] * 60 + .5);
        forms[(corner == 1 ? 0 : corner == N ? 1 : corner == N * N ? 2 : 3) * 4 + (abs(next - corner) == 1)]++;
    }
    for (int i = 0; i < 16; i++)
        distinct += forms[i] > 20; /* of 400, 50 each */
    assert_int_equal(distinct, 8);
    double low = 2, high = 0;
    for (uint64_t k = 0; k < 400; k++) {
        memcpy(out, in, sizeof in);
        swg__augment_apply(SWG__AUGMENT_STAIN, swg__noise_key(1, k, 0), 2, N, out);
        for (int c = 0; c < 2; c++) {
            double gain = log((double)out[c * N * N]) / log((double)in[c * N * N]);
            low = gain < low ? gain : low;
            high = gain > high ? gain : high;
            for (int i = 0; i < N * N; i++)
                assert_close((double)out[c * N * N + i], pow((double)in[c * N * N + i], gain), 1e-5, 0);
        }
    }
    assert_true(low >= .9 - 1e-5 && low < .91 && high <= 1.1 + 1e-5 && high > 1.09);
    memcpy(out, in, sizeof in);
    swg__augment_apply(0, 1, 2, N, out);
    assert_memory_equal(in, out, sizeof in);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(words, testing_open, testing_close),
        cmocka_unit_test(rectangles),
        cmocka_unit_test_setup_teardown(covered, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(distributions, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(poisson_tail, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(salt, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(together, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(one_result, testing_open, testing_close),
        cmocka_unit_test(augmentation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
