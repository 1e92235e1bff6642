/* test_quality.c - proves: correlation, gradients, spectrum and histogram of an error that is known are what they must be, of every layout and with
 * values that are not finite; a rate-distortion curve falls; determinant and trace of BSSN matrices that are known come out; the mode of a chunk
 * is told; a map of modes that cannot be drawn is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "archive/quality.h"
#include "codec_testing.h"
#include "scratch.h"

enum { NZ = 4, NY = 6, NX = 16, COUNT = NZ * NY * NX };

static swg_swz_info info_of(int ndim, const int64_t *dims, swg_codec_layout layout, double bound) {
    swg_swz_info info = {.type = SWG_ELEMENT_F64, .layout = layout, .ndim = ndim, .dims = {1, 1, 1, 1}, .values = 1, .eb_abs = bound, .name = "U"};
    for (int i = 0; i < ndim; i++) {
        info.dims[i] = dims[i];
        info.values *= dims[i];
    }
    return info;
}

/* Error +-0.5 bound, alternating along x. The original rises by 2 bounds per step of x. */
static void alternating(void **state) {
    (void)state;
    static const int64_t dims[3] = {NZ, NY, NX};
    double original[COUNT], restored[COUNT];
    const double bound = 0.25;
    for (int i = 0; i < COUNT; i++) {
        original[i] = 2 * bound * (i % NX);
        restored[i] = original[i] + (i % 2 ? .5 : -.5) * bound;
    }
    swg_swz_info info = info_of(3, dims, SWG_CODEC_GRID, bound);
    swg__quality q;
    swg__quality_measure(&info, original, restored, &q);
    assert_int_equal(q.finite, COUNT);
    assert_true(q.mean == 0 && q.deviation == .5);
    assert_true(q.lag1[0] == 1 && q.lag1[1] == 1 && q.lag1[2] == -1);
    assert_true(isnan(q.gradient[0]) && isnan(q.gradient[1])); /* the original does not change there */
    assert_true(fabs(q.gradient[2] - .5) < 1e-14);             /* differences of the error 1, of the original 2 */
    assert_int_equal(q.histogram[SWG__BINS / 4], COUNT / 2);
    assert_int_equal(q.histogram[3 * SWG__BINS / 4], COUNT / 2);
    assert_int_equal(q.waves, NX / 2 + 1);
    assert_true(fabs(q.power_error[NX / 2] - .25 * bound * bound) < 1e-15); /* everything in the shortest wave */
    for (int w = 0; w < NX / 2; w++)
        assert_true(fabs(q.power_error[w]) < 1e-15);
    assert_true(q.power[1] > q.power[2] && q.power[2] > q.power[3]);
}

/* (N, 4, 4, 4) blocks: the error jumps from block to block and is constant inside. Values that are not finite are left out. */
static void blocks(void **state) {
    (void)state;
    static const int64_t dims[4] = {6, 4, 4, 4};
    double original[384], restored[384];
    for (int i = 0; i < 384; i++) {
        original[i] = i % 7;
        restored[i] = original[i] + (i / 64 % 2 ? 1 : -1);
    }
    swg_swz_info info = info_of(4, dims, SWG_CODEC_BLOCKS, 2);
    swg__quality q;
    swg__quality_measure(&info, original, restored, &q);
    assert_true(q.outer == 6 && q.extent[0] == 4 && q.extent[2] == 4);
    for (int a = 0; a < 3; a++) /* no pair crosses blocks */
        assert_true(q.lag1[a] == 1 && q.gradient[a] == 0);
    original[5] = NAN;
    restored[5] = NAN;
    restored[70] = INFINITY;
    swg__quality_measure(&info, original, restored, &q);
    assert_int_equal(q.finite, 382);
    assert_true(q.deviation > .49 && q.deviation < .51 && isfinite(q.lag1[2]) && isfinite(q.power[1]));
}

static void edges(void **state) {
    (void)state;
    static const int64_t one[1] = {1}, line[1] = {9};
    double original[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, restored[9];
    swg__quality q;
    memcpy(restored, original, sizeof restored);
    swg_swz_info info = info_of(1, one, SWG_CODEC_GRID, 1);
    swg__quality_measure(&info, original, restored, &q);
    assert_true(q.finite == 1 && q.waves == 0 && isnan(q.lag1[2]) && isnan(q.gradient[2]));
    info = info_of(1, line, SWG_CODEC_GRID, 0); /* lossless: no histogram, errors in the array's unit */
    swg__quality_measure(&info, original, restored, &q);
    assert_true(q.unit == 1 && q.mean == 0 && q.histogram[SWG__BINS / 2] == 0 && isnan(q.lag1[2]) && q.gradient[2] == 0);
    for (int i = 0; i < 9; i++)
        original[i] = NAN;
    swg__quality_measure(&info, original, restored, &q);
    assert_true(q.finite == 0 && isnan(q.mean));
}

static void curve(void **state) {
    swg_context *ctx = *state;
    static const int64_t dims[3] = {16, 16, 32};
    float *data = swg__alloc(ctx, 16 * 16 * 32 * sizeof *data);
    swg_codec_array array = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {16, 16, 32}, .data = data};
    fill_smooth(&array, data, 7);
    swg_swz_info info = info_of(3, dims, SWG_CODEC_GRID, 1e-3);
    info.type = SWG_ELEMENT_F32;
    info.range_min = -40;
    info.range_max = 40;
    swg__curve_point points[SWG__CURVE];
    int count;
    assert_ok(ctx, swg__quality_curve(ctx, &info, data, points, &count));
    assert_int_equal(count, SWG__CURVE);
    for (int i = 1; i < count; i++) {
        assert_true(points[i].bound < points[i - 1].bound && points[i].bits_per_value > points[i - 1].bits_per_value && points[i].psnr_db > points[i - 1].psnr_db);
        assert_true(fabs(points[i].bound_rel * 80 - points[i].bound) < 1e-12);
    }
    info.range_max = -40; /* a constant has no curve */
    assert_ok(ctx, swg__quality_curve(ctx, &info, data, points, &count));
    assert_int_equal(count, 0);
    swg__free(ctx, data);
}

/* ---- BSSN: metric diag(2, 1, 1) + 0.5 in xy: det 1.75; curvature 3 in xx and 1 in xy: trace of inverse times it (3 - 2 * .5) / 1.75 ---- */

static void constraints(void **state) {
    enum { SIDE = 4, VALUES = SIDE * SIDE * SIDE };
    static const int64_t dims[3] = {SIDE, SIDE, SIDE};
    static const double parts[12] = {2, .5, 0, 1, 0, 1, 3, 1, 0, 0, 0, 0};
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    char input[512], path[512];
    double values[VALUES];
    snprintf(input, sizeof input, "%s/a.h5", s.folder);
    snprintf(path, sizeof path, "%s/a.swz", s.folder);
    swg_sink *sink;
    assert_ok(ctx, swg_sink_open(ctx, input, &sink));
    for (int k = 0; k < 12; k++) {
        char name[16];
        for (int i = 0; i < VALUES; i++)
            values[i] = i == 3 ? parts[k] : k < 6 ? (double)(k == 0 || k == 3 || k == 5) : 0; /* one bad point, flat elsewhere */
        snprintf(name, sizeof name, "U_SYM%s%d", k < 6 ? "GT" : "AT", k % 6);
        assert_ok(ctx, swg_sink_put(sink, name, SWG_ELEMENT_F64, 3, dims, values, NULL));
    }
    assert_ok(ctx, swg_sink_commit(sink));
    swg_archive_opts opts = {.bound = SWG_BOUND_LOSSLESS};
    assert_ok(ctx, swg_archive_compress(ctx, input, path, &opts, NULL, NULL));
    swg_swz *swz;
    swg_source *source;
    swg__bssn_check *checks;
    int64_t count;
    assert_ok(ctx, swg_swz_open(ctx, path, &swz));
    assert_ok(ctx, swg__originals_open(ctx, swz, input, &source));
    assert_ok(ctx, swg__bssn_checks(ctx, swz, source, input, &checks, &count));
    assert_int_equal(count, 1);
    for (int restored = 0; restored < 2; restored++) {
        assert_true(fabs(checks[0].det[restored] - .75) < 1e-14);
        assert_true(fabs(checks[0].trace[restored] - 2 / 1.75) < 1e-14);
    }
    swg__free(ctx, checks);
    swg_source_close(source);
    swg_swz_close(swz);
    scratch_close(&s, ctx, 2);
}

static void modes(void **state) {
    enum { SIDE = 32 };
    swg_context *ctx = *state;
    float *data = swg__calloc(ctx, SIDE * SIDE * 2 * SIDE, sizeof *data);
    uint64_t seed = 3;
    swg_codec_array array = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {2 * SIDE, SIDE, SIDE}, .data = data};
    for (int i = 0; i < SIDE * SIDE * SIDE; i++) /* noise over zeros */
        data[i] = (float)(noise(&seed) >> 40);
    swg_codec_buffer out;
    swg_swz *swz;
    int64_t bytes;
    swg_codec_opts opts = {.bound = SWG_BOUND_ABS, .value = 1e-3, .chunk = {SIDE, SIDE, SIDE}};
    assert_ok(ctx, swg_codec_compress(ctx, &array, &opts, &out, NULL));
    assert_ok(ctx, swg_swz_open_memory(ctx, out.data, out.bytes, &swz));
    assert_true(swg_swz_chunk_mode(swz, 0, 0, &bytes) != SWG_MODE_CONSTANT && bytes > SIDE * SIDE * SIDE);
    assert_int_equal(swg_swz_chunk_mode(swz, 0, 1, &bytes), SWG_MODE_CONSTANT);
    assert_true(bytes > 0 && bytes < 128);
    assert_int_equal(swg_swz_chunk_mode(swz, 0, 2, &bytes), SWG_MODE_COUNT);
    assert_int_equal(bytes, 0);
    assert_int_equal(swg_swz_chunk_mode(swz, 1, 0, NULL), SWG_MODE_COUNT);
    assert_int_equal(swg_swz_chunk_mode(swz, 0, -1, NULL), SWG_MODE_COUNT);
    swg_swz_close(swz);
    swg_codec_buffer_free(ctx, &out);
    swg__free(ctx, data);
}

static void maps(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    char path[512];
    snprintf(path, sizeof path, "%s/m.html", s.folder);
    static const char *const kinds[2] = {"left <", "zebra"};
    const uint8_t cells[6] = {0, 255, 0, 0, 255, 0};
    const double values[6] = {1.5, 0, 2.5, 3.5, 0, 4.5};
    swg_report *page;
    assert_ok(ctx, swg_report_open(ctx, "maps", &page));
    swg_report_map(page, &(swg_map){.title = "m", .rows = 2, .columns = 3, .kinds = 2, .kind_names = kinds, .cells = cells, .values = values, .unit = "bits"});
    assert_ok(ctx, swg_report_write(page, path));
    uint8_t *text;
    size_t bytes;
    assert_ok(ctx, swg__file_read(ctx, path, &text, &bytes));
    assert_non_null(strstr((char *)text, "left &lt;, 2.5 bits</title>"));
    assert_null(strstr((char *)text, "zebra")); /* in no cell, so not in the key */
    int rects = 0;
    for (const char *p = (char *)text; (p = strstr(p, "<rect")); p++)
        rects++;
    assert_int_equal(rects, 4);
    swg__free(ctx, text);
    swg_report_map(page, &(swg_map){.rows = 129, .columns = 1, .kinds = 2, .kind_names = kinds, .cells = cells});
    assert_int_equal(swg_report_write(page, path), SWG_ESHAPE);
    swg_report_close(page);
    scratch_close(&s, ctx, 1);
}

int main(void) {
#define WITH_CONTEXT(test) cmocka_unit_test_setup_teardown(test, testing_open, testing_close)
    const struct CMUnitTest tests[] = {cmocka_unit_test(alternating), cmocka_unit_test(blocks), cmocka_unit_test(edges), WITH_CONTEXT(curve),
                                       WITH_CONTEXT(constraints),     WITH_CONTEXT(modes),      WITH_CONTEXT(maps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
