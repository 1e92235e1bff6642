/* test_windows.c - proves: places and weights of windows are those of the specification; an image through windows that change nothing comes
 * back, whatever the overlap, the batch and the size; what a window does is blended without a step; latents of several batches fit together.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/windows.h"
#include "scratch.h"
#include <math.h>

static void places(void **state) {
    (void)state;
    static const struct { int64_t n, window; double overlap; int64_t count, start[4]; } cases[] = {
        {70, 32, .25, 3, {0, 24, 38}}, {70, 32, 0, 3, {0, 32, 38}}, {40, 16, .5, 4, {0, 8, 16, 24}}, {33, 32, .9, 2, {0, 1}}, {20, 32, .25, 1, {0}},
        {32, 32, .25, 1, {0}},         {1, 8, 0, 1, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(swg__windows_count(cases[i].n, cases[i].window, cases[i].overlap), cases[i].count);
        for (int64_t k = 0; k < cases[i].count; k++)
            assert_int_equal(swg__windows_start(cases[i].n, cases[i].window, cases[i].overlap, k), cases[i].start[k]);
    }
    static const int64_t reflected[] = {0, 1, 2, 1, 0, 1, 2};
    for (int64_t i = 0; i < 7; i++)
        assert_int_equal(swg__reflected(i, 3), reflected[i]);
    assert_int_equal(swg__reflected(5, 1), 0);
}

static void weights(void **state) {
    (void)state;
    static const double four[] = {0.0111089965382, 0.606530659713}, eight[] = {0.00218749111818, 0.0439369336234, 0.324652467358, 0.882496902585};
    double w[8];
    swg__windows_gaussian(4, w);
    for (int i = 0; i < 4; i++)
        assert_close(w[i], four[i < 2 ? i : 3 - i], 1e-11, 0);
    swg__windows_gaussian(8, w);
    for (int i = 0; i < 8; i++)
        assert_close(w[i], eight[i < 4 ? i : 7 - i], 1e-11, 0);
}

/* ---- images ---- */

typedef struct image {
    int64_t height, width, rows_read, rows_written, windows;
    int channels_in, channels_out, window_height, window_width;
    bool shade;                 /* windows add a ramp of their own: 0 on the left, 1 on the right */
    float *values, *out, *result;
} image;

static float value_at(int64_t c, int64_t y, int64_t x) { return (float)((c * 131 + y * 17 + x * 7) % 64) / 64; }

static swg_status read_rows(void *user, int64_t first, int64_t count, float *rows) {
    image *m = user;
    assert_true(first >= 0 && count > 0 && first + count <= m->height);
    for (int64_t c = 0; c < m->channels_in; c++)
        for (int64_t y = 0; y < count; y++)
            for (int64_t x = 0; x < m->width; x++)
                *rows++ = value_at(c, first + y, x);
    m->rows_read = first + count;
    return SWG_OK;
}

/* Result channel c is input channel c mod channels_in. */
static swg_status run_windows(void *user, int64_t first, int64_t count, const float *windows, const float **out) {
    image *m = user;
    const int64_t plane = (int64_t)m->window_height * m->window_width;
    assert_int_equal(first, m->windows);
    m->windows += count;
    for (int64_t i = 0; i < count; i++)
        for (int64_t c = 0; c < m->channels_out; c++)
            for (int64_t p = 0; p < plane; p++)
                m->result[(i * m->channels_out + c) * plane + p] = windows[(i * m->channels_in + c % m->channels_in) * plane + p] +
                                                                  (m->shade ? (float)(p % m->window_width) / (float)(m->window_width - 1) : 0);
    *out = m->result;
    return SWG_OK;
}

static swg_status write_rows(void *user, int64_t count, const float *rows) {
    image *m = user;
    for (int64_t c = 0; c < m->channels_out; c++)
        memcpy(m->out + (c * m->height + m->rows_written) * m->width, rows + c * count * m->width, (size_t)(count * m->width) * sizeof *rows);
    m->rows_written += count;
    return SWG_OK;
}

static void stitch(swg_context *ctx, image *m, double overlap, bool constant, int64_t batch) {
    swg__stitch s = {.in_channels = m->channels_in, .out_channels = m->channels_out, .height = m->height, .width = m->width,
                     .window_height = m->window_height, .window_width = m->window_width, .overlap = overlap, .constant = constant, .batch = batch,
                     .read = read_rows, .run = run_windows, .write = write_rows, .user = m};
    m->rows_written = m->windows = 0;
    assert_ok(ctx, swg__stitch_run(ctx, &s));
    assert_int_equal(m->rows_written, m->height);
    assert_int_equal(m->rows_read, m->height);
    assert_int_equal(m->windows, swg__stitch_windows(&s));
}

static void open_image(image *m) {
    m->out = calloc((size_t)(m->channels_out * m->height * m->width), sizeof(float));
    m->result = calloc((size_t)(8 * m->channels_out * m->window_height * m->window_width), sizeof(float));
    assert_true(m->out && m->result);
}

static void close_image(image *m) {
    free(m->out);
    free(m->result);
}

static void unchanged(void **state) {
    swg_context *ctx = *state;
    static const struct { int64_t height, width; int window[2], in, out; } sizes[] = {
        {70, 33, {16, 16}, 3, 3}, {16, 16, {16, 16}, 1, 1}, {5, 40, {8, 16}, 2, 5}, {1, 1, {8, 8}, 1, 2}, {31, 7, {16, 8}, 3, 1},
    };
    static const double overlaps[] = {0, .25, .5, .9};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        image m = {.height = sizes[i].height, .width = sizes[i].width, .window_height = sizes[i].window[0], .window_width = sizes[i].window[1],
                   .channels_in = sizes[i].in, .channels_out = sizes[i].out};
        open_image(&m);
        for (int o = 0; o < 4; o++)
            for (int constant = 0; constant < 2; constant++) {
                stitch(ctx, &m, overlaps[o], constant, 1);
                for (int64_t c = 0; c < m.channels_out; c++)
                    for (int64_t y = 0; y < m.height; y++)
                        for (int64_t x = 0; x < m.width; x++)
                            assert_close(m.out[(c * m.height + y) * m.width + x], value_at(c % m.channels_in, y, x), 1e-6, 0);
                const size_t bytes = (size_t)(m.channels_out * m.height * m.width) * sizeof(float);
                float *alone = malloc(bytes);
                memcpy(alone, m.out, bytes);
                stitch(ctx, &m, overlaps[o], constant, 8); /* several windows at a time: the same bits */
                assert_memory_equal(alone, m.out, bytes);
                free(alone);
            }
        close_image(&m);
    }
}

/* Neighbouring windows that disagree by 1 where they meet: cut off they make a step of that height, blended it is spread over the overlap. */
static void seams(void **state) {
    swg_context *ctx = *state;
    image m = {.height = 32, .width = 112, .window_height = 32, .window_width = 32, .channels_in = 1, .channels_out = 1, .shade = true};
    double step[2] = {0};
    open_image(&m);
    for (int blended = 0; blended < 2; blended++) {
        stitch(ctx, &m, blended ? .5 : 0, false, 4);
        for (int64_t y = 0; y < m.height; y++)
            for (int64_t x = 1; x < m.width; x++) {
                double here = (double)(m.out[y * m.width + x] - value_at(0, y, x)), before = (double)(m.out[y * m.width + x - 1] - value_at(0, y, x - 1));
                step[blended] = fmax(step[blended], fabs(here - before));
            }
    }
    assert_true(step[0] > .9 && step[1] < .2);
    close_image(&m);
}

static const volatile sig_atomic_t stopped = 1;

static void stopping(void **state) {
    swg_context *ctx = *state;
    image m = {.height = 20, .width = 20, .window_height = 8, .window_width = 8, .channels_in = 1, .channels_out = 1};
    open_image(&m);
    swg__stitch s = {.in_channels = 1, .out_channels = 1, .height = 20, .width = 20, .window_height = 8, .window_width = 8, .batch = 1, .read = read_rows,
                     .run = run_windows, .write = write_rows, .stop = &stopped, .user = &m};
    assert_int_equal(swg__stitch_run(ctx, &s), SWG_EINTERRUPTED);
    close_image(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places),
        cmocka_unit_test(weights),
        cmocka_unit_test_setup_teardown(unchanged, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(seams, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(stopping, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
