/* test_stack_write.c - proves: a stack that is written is read back with its axes, numbers, sizes and names, of every element, compressed or not; floats are
 * rounded and clipped; a file that is not finished, or cannot be, is not there; nothing is left where memory is short.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "scratch.h"
#include "swage/features.h"
#include "swage/stack.h"

static bool has_tiff(void) {
    const swg_feature *feature;
    for (int64_t i = 0; (feature = swg_feature_at(i)); i++)
        if (strcmp(feature->name, "libtiff") == 0)
            return feature->version != NULL;
    return false;
}

enum { T = 2, C = 3, Z = 2, H = 30, W = 21, PLANE = H * W, PLANES = T * C * Z };

/* Number i of the file, whole and within all elements' ranges; u32 goes beyond what f32 holds. */
static double number(swg_element element, int64_t i) {
    const int64_t v = i * 7919 % 65521;
    return element == SWG_ELEMENT_U8 ? (double)(v % 256) : element == SWG_ELEMENT_U32 ? (double)(v * 32000 + 1) : element == SWG_ELEMENT_F32 ? (double)v / 8 - 4000 : (double)v;
}

static void *make_planes(swg_element element) {
    const int64_t count = PLANES * PLANE;
    void *planes = malloc((size_t)(count * swg_element_bytes(element)));
    for (int64_t i = 0; i < count; i++) {
        const double v = number(element, i);
        if (element == SWG_ELEMENT_U8)
            ((uint8_t *)planes)[i] = (uint8_t)v;
        else if (element == SWG_ELEMENT_U16)
            ((uint16_t *)planes)[i] = (uint16_t)v;
        else if (element == SWG_ELEMENT_U32)
            ((uint32_t *)planes)[i] = (uint32_t)v;
        else
            ((float *)planes)[i] = (float)v;
    }
    return planes;
}

static void check_back(swg_context *ctx, const char *path, swg_element element, bool deflate) {
    swg_stack *stack;
    float values[C * Z * PLANE];
    int32_t labels[C * Z * PLANE];
    assert_ok(ctx, swg_stack_open(ctx, path, NULL, &stack));
    const swg_stack_info *i = swg_stack_about(stack);
    assert_true(i->t == T && i->c == C && i->z == Z && i->y == H && i->x == W);
    assert_int_equal(i->element, element);
    assert_string_equal(i->order, "TCZYX");
    assert_string_equal(i->order_from, "OME-XML");
    assert_string_equal(i->compression, deflate ? "deflate" : "none");
    assert_true(i->size_um[0] == 2.5 && i->size_um[1] == .1 && i->size_um[2] == .1 && i->interval_s == 30);
    assert_string_equal(swg_stack_channel(stack, 0), "nuclei <\"&'> \xc2\xb5");
    assert_null(swg_stack_channel(stack, 1));
    assert_string_equal(swg_stack_channel(stack, 2), "two");
    for (int64_t t = 0; t < T; t++) {
        assert_ok(ctx, swg_stack_read(stack, &(swg_stack_box){.t = t}, values));
        if (element != SWG_ELEMENT_F32)
            assert_ok(ctx, swg_stack_read_labels(stack, &(swg_stack_box){.t = t}, labels));
        for (int64_t k = 0; k < C * Z * PLANE; k++) {
            const double want = number(element, t * C * Z * PLANE + k);
            if (values[k] != (float)want || (element != SWG_ELEMENT_F32 && (double)labels[k] != want))
                fail_msg("%s, value %lld of time %lld is %.9g, expected %.17g", swg_element_name(element), (long long)k, (long long)t, (double)values[k], want);
        }
    }
    swg_stack_close(stack);
}

static void round_trips(void **state) {
    swg_context *ctx = *state;
    static const swg_element elements[] = {SWG_ELEMENT_U8, SWG_ELEMENT_U16, SWG_ELEMENT_U32, SWG_ELEMENT_F32};
    static const char *const names[C] = {"nuclei <\"&'> \xc2\xb5", NULL, "two"};
    scratch s;
    if (!has_tiff())
        skip();
    scratch_open(&s);
    for (int i = 0; i < 8; i++) {
        const swg_element element = elements[i / 2];
        swg_stack_write_opts opts = {.element = element, .deflate = i % 2, .size_um = {2.5, .1, .1}, .interval_s = 30, .channel_names = names};
        swg_stack_writer *writer;
        assert_ok(ctx, swg_stack_create(ctx, scratch_path(&s, "a.tif"), T, C, Z, H, W, &opts, &writer));
        uint8_t *planes = make_planes(element);
        const int64_t bytes = PLANE * swg_element_bytes(element);
        assert_ok(ctx, swg_stack_append(writer, planes, 1));
        assert_ok(ctx, swg_stack_append(writer, planes + bytes, 0));
        assert_ok(ctx, swg_stack_append(writer, planes + bytes, PLANES - 2));
        if (element == SWG_ELEMENT_F32)
            assert_ok(ctx, swg_stack_append_f32(writer, (const float *)(const void *)(planes + (PLANES - 1) * bytes), 1));
        else
            assert_ok(ctx, swg_stack_append(writer, planes + (PLANES - 1) * bytes, 1));
        assert_int_equal(swg_stack_append(writer, planes, 1), SWG_EINVAL);
        assert_message(ctx, "a.tif", "1 planes after 12: the stack has 12");
        assert_int_equal(swg__exists(scratch_path(&s, "a.tif.part")), 1);
        assert_ok(ctx, swg_stack_finish(writer));
        free(planes);
        check_back(ctx, scratch_path(&s, "a.tif"), element, i % 2);
    }
    scratch_close(&s, ctx, 1);
}

static void rounds_and_clips(void **state) {
    swg_context *ctx = *state;
    scratch s;
    static const float from[] = {-1, -.5f, .49f, .5f, 254.5f, 255.4f, 300, 65535.4f, 1e20f, -INFINITY, INFINITY, 12};
    static const struct {
        swg_element element;
        double want[12];
    } cases[] = {{SWG_ELEMENT_U8, {0, 0, 0, 1, 255, 255, 255, 255, 255, 0, 255, 12}},
                 {SWG_ELEMENT_U16, {0, 0, 0, 1, 255, 255, 300, 65535, 65535, 0, 65535, 12}},
                 {SWG_ELEMENT_U32, {0, 0, 0, 1, 255, 255, 300, 65535, 4294967295., 0, 4294967295., 12}}};
    if (!has_tiff())
        skip();
    scratch_open(&s);
    for (int i = 0; i < 3; i++) {
        swg_stack_writer *writer;
        swg_stack *stack;
        float values[12];
        assert_ok(ctx, swg_stack_create(ctx, scratch_path(&s, "a.tif"), 1, 1, 1, 3, 4, &(swg_stack_write_opts){.element = cases[i].element}, &writer));
        assert_ok(ctx, swg_stack_append_f32(writer, from, 1));
        assert_ok(ctx, swg_stack_finish(writer));
        assert_ok(ctx, swg_stack_open(ctx, scratch_path(&s, "a.tif"), NULL, &stack));
        assert_ok(ctx, swg_stack_read(stack, &(swg_stack_box){0}, values));
        for (int k = 0; k < 12; k++)
            if ((double)values[k] != (double)(float)cases[i].want[k])
                fail_msg("%s of %g is %g, expected %g", swg_element_name(cases[i].element), (double)from[k], (double)values[k], cases[i].want[k]);
        swg_stack_close(stack);
    }
    scratch_close(&s, ctx, 1);
}

static void refusals(void **state) {
    swg_context *ctx = *state;
    scratch s;
    swg_stack_writer *writer, *second;
    static const float plane[2] = {0, NAN};
    if (!has_tiff())
        skip();
    scratch_open(&s);
    const char *path = scratch_path(&s, "a.tif");
    static const char *const bad_name[] = {"\xff"};
    static const struct {
        int64_t t, c, z, y, x;
        swg_stack_write_opts opts;
        const char *words;
    } bad[] = {{0, 1, 1, 1, 1, {0}, "0 times"},
               {1, -1, 1, 1, 1, {0}, "-1 channels"},
               {1, 1, 1, 1, INT64_MAX, {0}, "cannot be written"},
               {1, 1, (int64_t)1 << 40, 1, 1, {0}, "cannot be written"},
               {1, 1, 1, 1, 1, {.element = SWG_ELEMENT_F64}, "stacks of f64 are not written"},
               {1, 1, 1, 1, 1, {.size_um = {0, -1, 0}}, "no size of a voxel"},
               {1, 1, 1, 1, 1, {.interval_s = NAN}, "no size of a voxel"},
               {1, 1, 1, 1, 1, {.channel_names = bad_name}, "channel 0 is not UTF-8"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(swg_stack_create(ctx, path, bad[i].t, bad[i].c, bad[i].z, bad[i].y, bad[i].x, &bad[i].opts, &writer), SWG_EINVAL);
        assert_message(ctx, "a.tif", bad[i].words);
        assert_null(writer);
    }
    assert_int_equal(swg_stack_create(ctx, "/there/is/none.tif", 1, 1, 1, 1, 1, NULL, &writer), SWG_ENOTFOUND);
    /* not finished, or given up: no file */
    assert_ok(ctx, swg_stack_create(ctx, path, 1, 1, 2, 1, 2, NULL, &writer));
    assert_ok(ctx, swg_stack_append(writer, plane, 1));
    assert_int_equal(swg_stack_create(ctx, path, 1, 1, 1, 1, 1, NULL, &second), SWG_EIO);
    assert_message(ctx, "a.tif.part", "somebody else");
    assert_int_equal(swg_stack_finish(writer), SWG_EINVAL);
    assert_message(ctx, "1 of 2 planes were written");
    assert_ok(ctx, swg_stack_create(ctx, path, 1, 1, 1, 1, 2, &(swg_stack_write_opts){.element = SWG_ELEMENT_U8}, &writer));
    assert_int_equal(swg_stack_append_f32(writer, plane, 1), SWG_ENONFINITE);
    assert_message(ctx, "plane 0, y 0, x 1 is NaN");
    assert_int_equal(swg_stack_append(writer, plane, -1), SWG_EINVAL);
    swg_stack_abort(writer);
    swg_stack_abort(NULL);
    /* what a killed run left is written over */
    assert_ok(ctx, swg__file_write(ctx, scratch_path(&s, "a.tif.part"), "rest of an earlier run, longer than the file that comes now", 58));
    path = scratch_path(&s, "a.tif");
    assert_ok(ctx, swg_stack_create(ctx, path, 1, 1, 1, 1, 2, NULL, &writer));
    assert_ok(ctx, swg_stack_append(writer, plane, 1));
    assert_ok(ctx, swg_stack_finish(writer));
    swg_stack *stack;
    assert_ok(ctx, swg_stack_open(ctx, path, &(swg_stack_opts){.nonfinite = "zero"}, &stack));
    swg_stack_close(stack);
    scratch_close(&s, ctx, 1);
}

/* Many small pages: neither writing nor reading may walk the chain again for each of them. */
static void many_pages(void **state) {
    swg_context *ctx = *state;
    enum { MANY = TESTING_SLOW ? 500 : 4000 };
    scratch s;
    swg_stack_writer *writer;
    swg_stack *stack;
    uint16_t plane[12];
    float values[12];
    if (!has_tiff())
        skip();
    scratch_open(&s);
    assert_ok(ctx, swg_stack_create(ctx, scratch_path(&s, "a.tif"), MANY / 10, 2, 5, 3, 4, &(swg_stack_write_opts){.element = SWG_ELEMENT_U16, .deflate = true}, &writer));
    for (int k = 0; k < MANY; k++) {
        for (int i = 0; i < 12; i++)
            plane[i] = (uint16_t)(k + 5 * i);
        assert_ok(ctx, swg_stack_append(writer, plane, 1));
    }
    assert_ok(ctx, swg_stack_finish(writer));
    assert_ok(ctx, swg_stack_open(ctx, scratch_path(&s, "a.tif"), NULL, &stack));
    assert_int_equal(swg_stack_about(stack)->t, MANY / 10);
    for (int i = 0; i < MANY; i++) {
        const int k = (int)((int64_t)i * 2741 % MANY), channel = k / 5 % 2;
        assert_ok(ctx, swg_stack_read(stack, &(swg_stack_box){.t = k / 10, .channels = &channel, .channel_count = 1, .z = k % 5, .d = 1}, values));
        assert_true((int)values[11] == k + 55 && (int)values[0] == k);
    }
    swg_stack_close(stack);
    scratch_close(&s, ctx, 1);
}

/* A file that may pass 4 GB by its pixels is a BigTIFF from its first byte. */
static void large_files(void **state) {
    swg_context *ctx = *state;
    scratch s;
    swg_stack_writer *writer;
    uint8_t head[4] = {0};
    if (!has_tiff())
        skip();
    scratch_open(&s);
    assert_ok(ctx, swg_stack_create(ctx, scratch_path(&s, "a.tif"), 1, 1, 64, 8192, 8192, NULL, &writer));
    FILE *file = fopen(scratch_path(&s, "a.tif.part"), "rb");
    assert_non_null(file);
    assert_int_equal(fread(head, 1, 4, file), 4);
    fclose(file);
    assert_true(head[2] == 43 || head[3] == 43);
    swg_stack_abort(writer);
    scratch_close(&s, ctx, 0);
}

static void starved(void **state) {
    (void)state;
    scratch s;
    static const float plane[2] = {1, 2};
    static const char *const name = "DNA";
    if (!has_tiff())
        skip();
    scratch_open(&s);
    swg_status status = SWG_ENOMEM;
    for (int64_t fail_at = 0; status == SWG_ENOMEM; fail_at++) {
        testing_allocator allocator = {.fail_at = -1};
        swg_context *ctx;
        swg_stack_writer *writer;
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &allocator}}, &ctx), SWG_OK);
        allocator.fail_at = allocator.calls + fail_at;
        status = swg_stack_create(ctx, scratch_path(&s, "a.tif"), 1, 1, 1, 1, 2, &(swg_stack_write_opts){.element = SWG_ELEMENT_U8, .channel_names = &name}, &writer);
        if (status == SWG_OK && (status = swg_stack_append_f32(writer, plane, 1)) == SWG_OK)
            status = swg_stack_finish(writer);
        else
            swg_stack_abort(writer);
        assert_true(status == SWG_OK || status == SWG_ENOMEM);
        assert_int_equal(swg__exists(scratch_path(&s, "a.tif.part")), 0);
        assert_int_equal(swg__exists(scratch_path(&s, "a.tif")), status == SWG_OK);
        swg_context_close(ctx);
        assert_int_equal(allocator.live, 0);
    }
    assert_int_equal(status, SWG_OK);
    swg_context *ctx;
    assert_int_equal(swg_context_open(NULL, &ctx), SWG_OK);
    scratch_close(&s, ctx, 1);
    swg_context_close(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trips, testing_open, testing_close), cmocka_unit_test_setup_teardown(rounds_and_clips, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refusals, testing_open, testing_close),    cmocka_unit_test_setup_teardown(many_pages, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(large_files, testing_open, testing_close), cmocka_unit_test(starved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
