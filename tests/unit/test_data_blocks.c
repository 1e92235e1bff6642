/* test_data_blocks.c - proves: blocks cut from octants and grids hold the right values in z-major order, every value is covered exactly
 * once, joining gives the array back, and the three file layouts give the same blocks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"
#include "data/prepare.h"
#include "swage/data.h"

static void counts(void **state) {
    swg_context *ctx = *state;
    swg_blocks b;
    /* Axes 64, 100, 11, 3 give 13, 20, 3, 1 blocks. */
    assert_ok(ctx, swg_blocks_plan(ctx, 3, (int64_t[]){64, 100, 11}, SWG_CUT_CENTER, 5, &b));
    assert_int_equal(b.tiles[0] * 10000 + b.tiles[1] * 100 + b.tiles[2], 132003);
    assert_int_equal(b.count, 13 * 20 * 3);
    assert_ok(ctx, swg_blocks_plan(ctx, 3, (int64_t[]){3, 5, 10}, SWG_CUT_CENTER, 5, &b));
    assert_int_equal(b.count, 2);
    assert_ok(ctx, swg_blocks_plan(ctx, 4, (int64_t[]){9, 7, 7, 7}, SWG_CUT_CENTER, 5, &b));
    assert_int_equal(b.count, 9);
    assert_ok(ctx, swg_blocks_plan(ctx, 4, (int64_t[]){9, 7, 7, 7}, SWG_CUT_TILE, 5, &b));
    assert_int_equal(b.count, 72);
    assert_ok(ctx, swg_blocks_plan(ctx, 4, (int64_t[]){9, 7, 7, 7}, SWG_CUT_FULL, 7, &b));
    assert_int_equal(b.count, 9);
}

static void refuses(void **state) {
    swg_context *ctx = *state;
    swg_blocks b;
    swg_cut cut;
    assert_int_equal(swg_blocks_plan(ctx, 4, (int64_t[]){9, 7, 7, 7}, SWG_CUT_FULL, 5, &b), SWG_ESHAPE);
    assert_message(ctx, "data.block=full", "7 values per axis", "takes 5");
    assert_int_equal(swg_blocks_plan(ctx, 4, (int64_t[]){9, 3, 3, 3}, SWG_CUT_CENTER, 5, &b), SWG_ESHAPE);
    assert_int_equal(swg_blocks_plan(ctx, 2, (int64_t[]){9, 9}, SWG_CUT_CENTER, 5, &b), SWG_ESHAPE);
    assert_int_equal(swg_blocks_plan(ctx, 3, (int64_t[]){9, 0, 9}, SWG_CUT_CENTER, 5, &b), SWG_ESHAPE);
    assert_int_equal(swg_blocks_plan(ctx, 3, (int64_t[]){9, 9, 9}, SWG_CUT_CENTER, 17, &b), SWG_EINVAL);
    assert_int_equal(swg_blocks_plan(ctx, 3, (int64_t[]){9, 9, 9}, SWG_CUT_CENTER, 1, &b), SWG_EINVAL);
    assert_int_equal(swg_blocks_plan(ctx, 3, (int64_t[]){INT64_MAX / 8, 1 << 20, 1 << 20}, SWG_CUT_CENTER, 5, &b), SWG_ESHAPE);
    assert_int_equal(swg_cut_parse(ctx, "middle", &cut), SWG_EINVAL);
    assert_message(ctx, "data.block=middle", "center, tile or full");
    assert_ok(ctx, swg_cut_parse(ctx, NULL, &cut));
    assert_int_equal(cut, SWG_CUT_CENTER);
    assert_ok(ctx, swg_cut_parse(ctx, "tile", &cut));
    assert_int_equal(cut, SWG_CUT_TILE);
}

static void center_takes_the_interior(void **state) {
    swg_context *ctx = *state;
    static float octants[2][7][7][7], blocks[2][5][5][5], back[2][7][7][7];
    for (int i = 0; i < 2 * 343; i++)
        (&octants[0][0][0][0])[i] = (float)i;
    swg_blocks plan;
    assert_ok(ctx, swg_blocks_plan(ctx, 4, (int64_t[]){2, 7, 7, 7}, SWG_CUT_CENTER, 5, &plan));
    swg_blocks_cut(&plan, SWG_ELEMENT_F32, octants, 0, 2, blocks);
    for (int b = 0; b < 2; b++)
        for (int z = 0; z < 5; z++)
            for (int y = 0; y < 5; y++)
                assert_memory_equal(blocks[b][z][y], &octants[b][z + 1][y + 1][1], sizeof blocks[b][z][y]);
    swg_blocks_join(&plan, SWG_ELEMENT_F32, blocks, 0, 2, back);
    assert_close((double)back[1][5][5][5], (double)octants[1][5][5][5], 0, 0);
    assert_close((double)back[1][6][5][5], 0, 0, 0); /* the shell stays as it was */
}

static void tile_repeats_the_last_plane(void **state) {
    swg_context *ctx = *state;
    static double octant[7][7][7], blocks[8][5][5][5], back[7][7][7];
    for (int i = 0; i < 343; i++)
        (&octant[0][0][0])[i] = i;
    swg_blocks plan;
    assert_ok(ctx, swg_blocks_plan(ctx, 4, (int64_t[]){1, 7, 7, 7}, SWG_CUT_TILE, 5, &plan));
    swg_blocks_cut(&plan, SWG_ELEMENT_F64, octant, 0, 8, blocks);
    for (int b = 0; b < 8; b++) {
        for (int i = 0; i < 125; i++) {
            int z = b / 4 * 5 + i / 25, y = b / 2 % 2 * 5 + i / 5 % 5, x = b % 2 * 5 + i % 5;
            assert_close((&blocks[b][0][0][0])[i], octant[z < 6 ? z : 6][y < 6 ? y : 6][x < 6 ? x : 6], 0, 0);
        }
    }
    for (int b = 0; b < 8; b++) /* one at a time is the same as all at once */
        swg_blocks_join(&plan, SWG_ELEMENT_F64, blocks[b], b, 1, back);
    assert_memory_equal(back, octant, sizeof octant);
}

static void grids_come_back(void **state) {
    swg_context *ctx = *state;
    static const int64_t shapes[][3] = {{11, 7, 64}, {3, 3, 3}, {5, 10, 15}, {1, 1, 1}, {6, 1, 17}};
    static const int64_t edges[] = {5, 7, 2};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (size_t e = 0; e < 3; e++) {
            int64_t n = shapes[s][0] * shapes[s][1] * shapes[s][2];
            swg_blocks plan;
            assert_ok(ctx, swg_blocks_plan(ctx, 3, shapes[s], SWG_CUT_CENTER, edges[e], &plan));
            size_t volume = (size_t)(edges[e] * edges[e] * edges[e]);
            float *grid = malloc((size_t)n * 4), *back = malloc((size_t)n * 4), *blocks = malloc((size_t)plan.count * volume * 4);
            int *times = calloc((size_t)n, sizeof *times);
            for (int64_t i = 0; i < n; i++) {
                grid[i] = (float)i;
                back[i] = -1;
            }
            swg_blocks_cut(&plan, SWG_ELEMENT_F32, grid, 0, plan.count, blocks);
            for (int64_t b = 0; b < plan.count; b++) { /* how often is each value written by joining? */
                swg_blocks_join(&plan, SWG_ELEMENT_F32, blocks + (size_t)b * volume, b, 1, back);
                for (int64_t i = 0; i < n; i++) {
                    times[i] += back[i] >= 0;
                    back[i] = -1;
                }
            }
            for (int64_t i = 0; i < n; i++)
                assert_int_equal(times[i], 1);
            swg_blocks_join(&plan, SWG_ELEMENT_F32, blocks, 0, plan.count, back);
            assert_memory_equal(back, grid, (size_t)n * 4);
            free(times), free(blocks), free(back), free(grid);
        }
    }
}

/* The same 14 x 7 x 7 values as one grid, as two octants in `blocks` and as two octants in `vars`, in both precisions. */
static void layouts_agree(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    static const struct {
        const char *file, *path;
        int ndim;
        int64_t dims[5];
    } forms[] = {{"a.h5", "U_K", 3, {14, 7, 7}}, {"b.h5", "U_K", 4, {2, 7, 7, 7}}, {"c.h5", "var_data", 5, {1, 2, 7, 7, 7}}};
    static float narrow[686];
    static double wide[686], blocks[3][2][343], read[686];
    for (int i = 0; i < 686; i++) {
        wide[i] = i / 7.0 - 20;
        narrow[i] = (float)wide[i];
    }
    for (int element = SWG_ELEMENT_F32; element <= SWG_ELEMENT_F64; element++) {
        size_t bytes = (size_t)swg_element_bytes((swg_element)element);
        const void *values = element == SWG_ELEMENT_F32 ? (const void *)narrow : wide;
        for (int f = 0; f < 3; f++) {
            swg_sink *sink;
            assert_ok(ctx, swg_sink_open(ctx, scratch_path(&s, forms[f].file), &sink));
            assert_ok(ctx, swg_sink_put(sink, forms[f].path, (swg_element)element, forms[f].ndim, forms[f].dims, values, &(swg_sink_opts){.deflate = 1, .big_endian = f == 1}));
            if (f == 2)
                assert_ok(ctx, swg_sink_put_names(sink, "vars", (const char *const[]){"U_K"}, 1));
            assert_ok(ctx, swg_sink_commit(sink));
            swg_source *source;
            swg_blocks plan;
            assert_ok(ctx, swg_source_open(ctx, s.path, NULL, &source));
            const swg_array *array = swg_source_array(source, 0);
            assert_int_equal(array->element, element);
            assert_ok(ctx, swg_blocks_plan(ctx, array->ndim, array->dims, SWG_CUT_FULL, 7, &plan));
            assert_int_equal(plan.count, 2);
            assert_ok(ctx, swg_source_read(source, 0, read));
            swg_blocks_cut(&plan, array->element, read, 0, 2, blocks[f]);
            swg_source_close(source);
            assert_memory_equal(blocks[f], values, 686 * bytes);
        }
    }
    scratch_close(&s, ctx, 3);
}

static void mirrors(void **state) {
    (void)state;
    for (int64_t edge = 2; edge <= 5; edge++)
        for (unsigned axes = 0; axes < 8; axes++) {
            float block[125];
            for (int64_t i = 0; i < edge * edge * edge; i++)
                block[i] = (float)i;
            swg__block_mirror(block, edge, axes);
            for (int64_t z = 0; z < edge; z++)
                for (int64_t y = 0; y < edge; y++)
                    for (int64_t x = 0; x < edge; x++) {
                        int64_t from[3] = {axes & 1 ? edge - 1 - z : z, axes & 2 ? edge - 1 - y : y, axes & 4 ? edge - 1 - x : x};
                        assert_float_equal(block[(z * edge + y) * edge + x], (float)((from[0] * edge + from[1]) * edge + from[2]), 0);
                    }
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counts, testing_open, testing_close),
        cmocka_unit_test(mirrors),
        cmocka_unit_test_setup_teardown(refuses, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(center_takes_the_interior, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(tile_repeats_the_last_plane, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(grids_come_back, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(layouts_agree, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
