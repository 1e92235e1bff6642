/* test_vti.c - proves: the header of a .vti is the one VTK reads (golden), its first axis is ours, names with markup cannot break it; a figure is one
 * SVG with all its slices; views hold what was read, what the network makes of it, and NaN where there is nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include "training.h"
#include "swage/evaluate.h"
#include "swage/report.h"

static const char golden[] =
    "<?xml version=\"1.0\"?>\n"
    "<VTKFile type=\"ImageData\" version=\"1.0\" byte_order=\"LittleEndian\" header_type=\"UInt64\">\n"
    "  <ImageData WholeExtent=\"0 1 0 2 0 3\" Origin=\"0 0 0\" Spacing=\"1 1 1\">\n"
    "    <Piece Extent=\"0 1 0 2 0 3\">\n"
    "      <PointData Scalars=\"U_A\">\n"
    "        <DataArray type=\"Float32\" Name=\"U_A\" format=\"appended\" offset=\"0\"/>\n"
    "        <DataArray type=\"Float32\" Name=\"a_b__\" format=\"appended\" offset=\"104\"/>\n"
    "      </PointData>\n"
    "    </Piece>\n"
    "  </ImageData>\n"
    "  <AppendedData encoding=\"raw\">\n"
    "   _";

static void test_vti(void **state) {
    swg_context *ctx = *state;
    char path[] = "/tmp/swage-vti-XXXXXX";
    float values[24], other[24];
    close(mkstemp(path));
    for (int i = 0; i < 24; i++) {
        values[i] = (float)i;
        other[i] = (float)-i;
    }
    assert_ok(ctx, swg_vti_write(ctx, path, (int64_t[]){2, 3, 4}, (swg_vti_array[]){{"U_A", values}, {"a<b>\"", other}}, 2));
    uint8_t *data;
    size_t bytes, head = sizeof golden - 1;
    assert_ok(ctx, swg__file_read(ctx, path, &data, &bytes));
    assert_memory_equal(data, golden, head);
    uint64_t count;
    float first[5];
    memcpy(&count, data + head, sizeof count);
    memcpy(first, data + head + 8, sizeof first);
    assert_int_equal(count, 96);
    assert_true(first[0] == 0 && first[1] == 12 && first[2] == 4 && first[3] == 16 && first[4] == 8); /* (0,0,0) (1,0,0) (0,1,0) (1,1,0) (0,2,0) */
    memcpy(first, data + head + 104 + 8, sizeof first);
    assert_true(first[1] == -12);
    assert_string_equal((char *)data + head + 208, "\n  </AppendedData>\n</VTKFile>\n");
    swg__free(ctx, data);
    assert_int_equal(swg_vti_write(ctx, path, (int64_t[]){2, 0, 4}, (swg_vti_array[]){{"U_A", values}}, 1), SWG_ESHAPE);
    assert_int_equal(swg_vti_write(ctx, "/nowhere/x.vti", (int64_t[]){2, 3, 4}, (swg_vti_array[]){{"U_A", values}}, 1), SWG_ENOTFOUND);
    unlink(path);
}

static void test_figure(void **state) {
    swg_context *ctx = *state;
    char path[] = "/tmp/swage-svg-XXXXXX";
    float values[6] = {0, 1, 2, 3, NAN, 5};
    close(mkstemp(path));
    const swg_report_slice slices[2] = {{.title = "a & b", .rows = 2, .columns = 3, .values = values},
                                        {.title = "second", .rows = 3, .columns = 2, .values = values, .diverging = true}};
    assert_ok(ctx, swg_figure_write(ctx, path, "<title>", slices, 2, 1));
    uint8_t *data;
    size_t bytes;
    assert_ok(ctx, swg__file_read(ctx, path, &data, &bytes));
    const char *text = (const char *)data;
    assert_true(strncmp(text, "<svg xmlns=\"http://www.w3.org/2000/svg\"", 39) == 0);
    assert_non_null(strstr(text, "a &amp; b"));
    assert_non_null(strstr(text, "&lt;title&gt;"));
    assert_non_null(strstr(text, "second"));
    assert_int_equal(strcmp(text + bytes - 7, "</svg>\n"), 0);
    swg__free(ctx, data);
    assert_int_equal(swg_figure_write(ctx, path, "t", &(swg_report_slice){.title = "x"}, 1, 1), SWG_ESHAPE);
    unlink(path);
}

/* ---- views ---- */

static void one_odd(double *values, int variable, int octant) {
    if (variable == 1 && octant == 3)
        values[171] = NAN;
}

static void test_view(void **state) {
    swg_context *ctx = *state;
    char folder[] = "/tmp/swage-view-XXXXXX", data[64], run[400];
    assert_non_null(mkdtemp(folder));
    snprintf(data, sizeof data, "%s/a.h5", folder);
    write_octants(ctx, data, &(octants){.count = 70, .variables = 2, .constant_every = 10, .change = one_odd});
    assert_ok(ctx, train(ctx, folder, "run", data, MORE("data.nonfinite=raw", "trainer.epochs=1"), NULL, NULL));
    swg_model *model;
    swg_source *source;
    swg_view view;
    snprintf(run, sizeof run, "%s/run", folder);
    assert_ok(ctx, swg_model_open(ctx, run, &model));
    assert_ok(ctx, swg_evaluate_source(ctx, swg_model_config(model), &source));
    int64_t index = strcmp(swg_source_variable(source, 0), "U_K") == 0 ? 0 : 1;
    assert_ok(ctx, swg_view_make(ctx, model, NULL, source, index, &view));
    assert_string_equal(view.variable, "U_K");
    assert_int_equal(view.items, 64);
    assert_int_equal(view.side, 4);
    assert_int_equal(view.shape[0], 20);
    assert_int_equal(view.shape[2], 20);
    /* Item k is octant 70 k / 64; the first one is constant. */
    int different = 0, odd = 0;
    for (int64_t k = 0; k < 64; k++) {
        int octant = (int)(k * 70 / 64);
        for (int i = 0; i < 125; i++) {
            int z = i / 25, y = i / 5 % 5, x = i % 5;
            int64_t at = ((k / 16 * 5 + z) * 20 + k / 4 % 4 * 5 + y) * 20 + k % 4 * 5 + x;
            double want = octant % 10 == 0 ? 0.25 * octant : octant_value(1, octant, (z + 1) * 49 + (y + 1) * 7 + x + 1);
            if (octant == 3 && isnan(view.original[at]))
                odd++;
            else
                assert_close(view.original[at], (double)(float)want, 0, 0);
            bool kept = octant % 10 == 0 || octant == 3;
            if (kept)
                assert_true(memcmp(&view.restored[at], &view.original[at], 4) == 0 && isnan(view.normalised[at]));
            else
                assert_true(isfinite(view.normalised[at]) && isfinite(view.normalised_restored[at]));
            different += !kept && view.restored[at] != view.original[at];
        }
    }
    assert_int_equal(odd, 1);
    assert_true(different > 1000);
    assert_ok(ctx, swg_view_write(ctx, &view, folder));
    snprintf(run, sizeof run, "%s/U_K_normalised.svg", folder);
    assert_true(swg__exists(run));
    /* A name that would lead out of the folder does not. */
    static const struct { const char *variable, *file; } names[] = {
        {"../up", "_._up"}, {".hidden", "_hidden"}, {"/a\\b\n\177", "_a_b__"}, {"", "_"}, {"a.b \303\251", "a.b \303\251"}, {"\377\302\205x", "__x"}};
    char *variable = view.variable;
    snprintf(data, sizeof data, "%s/deep", folder);
    assert_ok(ctx, swg__make_folders(ctx, data));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char copy[32];
        snprintf(copy, sizeof copy, "%s", names[i].variable);
        view.variable = copy;
        assert_ok(ctx, swg_view_write(ctx, &view, data));
        snprintf(run, sizeof run, "%s/%s.vti", data, names[i].file);
        assert_true(swg__exists(run));
        snprintf(run, sizeof run, "%s/%s_original.svg", data, names[i].file);
        assert_true(swg__exists(run));
    }
    snprintf(run, sizeof run, "%s/up.vti", folder);
    assert_false(swg__exists(run));
    view.variable = variable;
    assert_ok(ctx, swg_view_names(ctx, source));
    swg_view_free(ctx, &view);
    assert_int_equal(swg_view_make(ctx, model, NULL, source, 2, &view), SWG_EINVAL);
    swg_source_close(source);
    swg_speed speed;
    assert_ok(ctx, swg_model_speed(ctx, model, 100, &speed));
    assert_true(speed.encode_gb_s > 0 && speed.decode_gb_s > 0 && speed.batch == 100);
    assert_close(speed.encode_gb_s * speed.encode_s, 100 * 125 * 4e-9, 0, 1e-12);
    assert_int_equal(swg_model_speed(ctx, model, 0, &speed), SWG_EINVAL);
    swg_model_close(model);
    remove_tree(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_vti, testing_open, testing_close),
                                       cmocka_unit_test_setup_teardown(test_figure, testing_open, testing_close),
                                       cmocka_unit_test_setup_teardown(test_view, testing_open, testing_close)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
