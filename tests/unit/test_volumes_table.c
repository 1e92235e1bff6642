/* test_volumes_table.c - proves, on files: every form of the table is read and split as documented; every bad input of the table in docs/cyto.md is met as it says,
 * with row and column; frames, planes and areas of rows; prepared images come back from the cache with the same bits, without an image read,
 * damaged ones are made again, and threads may write it side by side; running out of memory leaves nothing behind.
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/stat.h>
#include "swage/stack.h"
#include "volumes_testing.h"

static swg_status open_path(swg_context *ctx, const char *path, const char *source, const char *target, const swg__volumes_opts *more, swg__volumes **out) {
    swg__volumes_opts opts = more ? *more : (swg__volumes_opts){0};
    opts.path = path;
    opts.source = source;
    opts.targets = &target;
    opts.target_count = target != NULL;
    return swg__volumes_open(ctx, &opts, out);
}

/* ---- forms of the table ---- */

static void folders_of_tables(void **state) {
    swg_context *ctx = *state;
    scratch s;
    swg__volumes *v;
    scratch_open(&s);
    put_places(ctx, &s, "a.npy", 1, 4, 5, 6);
    put_places(ctx, &s, "b.npy", 1, 3, 8, 7);
    put_text(ctx, &s, "train.csv", "raw,seg\na.npy,b.npy\n");
    assert_int_equal(open_path(ctx, s.folder, "raw", NULL, NULL, &v), SWG_ENOTFOUND);
    assert_message(ctx, "valid.csv", "no such table", "has train.csv");
    char absolute[600];
    snprintf(absolute, sizeof absolute, "raw,seg\n%s/./b.npy,b.npy\nb.npy,a.npy\n", s.folder);
    put_text(ctx, &s, "valid.csv", absolute);
    assert_ok(ctx, open_path(ctx, s.folder, "raw", NULL, NULL, &v)); /* test.csv may be missing; sizes may differ */
    assert_string_equal(swg__volumes_split(v)->description, "split: by the table (train 1, val 2, test 0 images)");
    assert_string_equal(swg__volumes_summary(v), "3 images of 3x5x6 to 4x8x7; raw 1 channel");
    assert_string_equal(swg__volumes_item_at(v, 0)->stem, "a");
    assert_string_equal(swg__volumes_item_at(v, 1)->stem, "b");
    assert_string_equal(swg__volumes_item_at(v, 2)->stem, "b_3");
    assert_int_equal(swg__volumes_item_at(v, 2)->row, 2);
    assert_int_equal(swg__volumes_reads(v), 2); /* by two paths, b.npy is one file */
    swg__volumes_close(v);
    assert_int_equal(open_path(ctx, s.folder, "raw", NULL, &(swg__volumes_opts){.use = SWG__VOLUMES_EVAL}, &v), SWG_ENOTFOUND);
    assert_message(ctx, "test.csv");
    put_text(ctx, &s, "test.csv", "raw\nb.npy\n");
    assert_ok(ctx, open_path(ctx, s.folder, "raw", NULL, &(swg__volumes_opts){.use = SWG__VOLUMES_ALL}, &v));
    assert_string_equal(swg__volumes_split(v)->description, "split: by the table (train 1, val 2, test 1 images)");
    assert_int_equal(swg__volumes_reads(v), 0);
    swg__volumes_close(v);
    assert_ok(ctx, open_path(ctx, s.folder, "raw", NULL, &(swg__volumes_opts){.use = SWG__VOLUMES_EVAL}, &v));
    assert_int_equal(swg__volumes_items(v), 1);
    assert_string_equal(swg__volumes_split(v)->description, "split: by the table (test 1 images)");
    assert_int_equal(swg__volumes_reads(v), 0);
    swg__volumes_close(v);
    assert_int_equal(open_path(ctx, s.folder, "raw", NULL, &(swg__volumes_opts){.use = SWG__VOLUMES_PREDICT}, &v), SWG_ENOTFOUND);
    assert_message(ctx, "predict.csv", "train.csv, valid.csv, test.csv");
    scratch_close(&s, ctx, 5);
}

static void split_column(void **state) {
    swg_context *ctx = *state;
    scratch s;
    swg__volumes *v;
    scratch_open(&s);
    put_places(ctx, &s, "a.npy", 1, 4, 5, 6);
    put_text(ctx, &s, "t.csv", "split,raw\ntraining,a.npy\nvalidation,a.npy\nvalid,a.npy\ntest,a.npy\nTrain,a.npy\n");
    assert_ok(ctx, open_path(ctx, scratch_path(&s, "t.csv"), "raw", NULL, &(swg__volumes_opts){.crops = 3}, &v));
    const swg_split *split = swg__volumes_split(v);
    assert_int_equal(split->count[SWG_TRAIN], 6);
    assert_int_equal(split->count[SWG_VAL], 6);
    assert_int_equal(split->count[SWG_TEST], 3);
    assert_int_equal(split->indices[SWG_TRAIN][5], 14);
    assert_int_equal(swg__volumes_reads(v), 1); /* one file in five rows is prepared once */
    swg__volumes_close(v);
    put_text(ctx, &s, "t.csv", "split,raw\ntrain,a.npy\n\nother,a.npy\n");
    assert_int_equal(open_path(ctx, scratch_path(&s, "t.csv"), "raw", NULL, NULL, &v), SWG_EFORMAT);
    assert_message(ctx, "row 2 (line 4)", "\"split\"", "\"other\"", "train, valid or test");
    assert_ok(ctx, open_path(ctx, scratch_path(&s, "t.csv"), "raw", NULL, &(swg__volumes_opts){.use = SWG__VOLUMES_PREDICT}, &v)); /* every row */
    assert_int_equal(swg__volumes_items(v), 2);
    swg__volumes_close(v);
    put_text(ctx, &s, "t.csv", "split,raw\ntrain,a.npy\ntrain,a.npy\n");
    assert_int_equal(open_path(ctx, scratch_path(&s, "t.csv"), "raw", NULL, NULL, &v), SWG_EINVAL);
    assert_message(ctx, "t.csv", "none of its rows", "validation");
    assert_int_equal(open_path(ctx, scratch_path(&s, "t.csv"), "raw", NULL, &(swg__volumes_opts){.use = SWG__VOLUMES_EVAL}, &v), SWG_EINVAL);
    assert_message(ctx, "none of its rows", "test");
    scratch_close(&s, ctx, 2);
}

static void random_split(void **state) {
    swg_context *ctx = *state;
    scratch s;
    swg__volumes *v, *w;
    notes n = {""};
    char table[1024] = "raw\n";
    scratch_open(&s);
    put_places(ctx, &s, "a.npy", 1, 4, 5, 6);
    for (int i = 0; i < 40; i++)
        strcat(table, "a.npy\n");
    put_text(ctx, &s, "t.csv", table);
    assert_ok(ctx, open_path(ctx, scratch_path(&s, "t.csv"), "raw", NULL, &(swg__volumes_opts){.note = take_note, .note_user = &n}, &v));
    assert_note(n, "split: random by row, 80/15/5, seed 12345 (train 32, val 6, test 2 images)");
    assert_ok(ctx, open_path(ctx, scratch_path(&s, "t.csv"), "raw", NULL, &(swg__volumes_opts){.split_seed = 7}, &w));
    int64_t apart = 0;
    for (int64_t i = 0; i < 40; i++)
        apart += swg__volumes_item_at(v, i)->part != swg__volumes_item_at(w, i)->part;
    assert_true(apart > 0);
    swg__volumes_close(w);
    assert_ok(ctx, open_path(ctx, scratch_path(&s, "t.csv"), "raw", NULL, &(swg__volumes_opts){.use = SWG__VOLUMES_EVAL}, &w));
    assert_int_equal(swg__volumes_items(w), 2); /* the test part of the same split */
    for (int64_t i = 0, t = 0; i < 40; i++)
        if (swg__volumes_item_at(v, i)->part == SWG_TEST)
            assert_int_equal(swg__volumes_item_at(w, t++)->row, i + 1);
    swg__volumes_close(v);
    swg__volumes_close(w);
    put_text(ctx, &s, "t.csv", "raw\na.npy\na.npy\n");
    assert_int_equal(open_path(ctx, scratch_path(&s, "t.csv"), "raw", NULL, NULL, &v), SWG_EINVAL);
    assert_message(ctx, "2 images cannot be split", "column \"split\"");
    assert_ok(ctx, open_path(ctx, scratch_path(&s, "t.csv"), "raw", NULL, &(swg__volumes_opts){.use = SWG__VOLUMES_ALL}, &v));
    assert_string_equal(swg__volumes_split(v)->description, "split: none (all images)");
    assert_int_equal(swg__volumes_split(v)->count[SWG_TEST], 2);
    swg__volumes_close(v);
    scratch_close(&s, ctx, 2);
}

static void images_without_a_table(void **state) {
    swg_context *ctx = *state;
    scratch s;
    swg__volumes *v;
    scratch_open(&s);
    assert_int_equal(open_path(ctx, s.folder, "raw", NULL, NULL, &v), SWG_ENOTFOUND);
    assert_message(ctx, "holds no file of", "*.npy");
    put_places(ctx, &s, "b.npy", 1, 4, 5, 6);
    put_places(ctx, &s, "a.npy", 1, 4, 5, 6);
    put_places(ctx, &s, "c.npy", 1, 4, 5, 6);
    assert_ok(ctx, open_path(ctx, s.folder, "raw", "raw normalise", NULL, &v)); /* both keys read it, as mae does */
    assert_int_equal(swg__volumes_items(v), 3);
    assert_string_equal(swg__volumes_item_at(v, 0)->stem, "a");
    swg__volumes_close(v);
    assert_int_equal(open_path(ctx, s.folder, "raw", "seg", NULL, &v), SWG_EINVAL);
    assert_message(ctx, "\"seg\" needs a table");
    assert_ok(ctx, open_path(ctx, scratch_path(&s, "b.npy"), "x", "seg", &(swg__volumes_opts){.use = SWG__VOLUMES_PREDICT}, &v));
    assert_int_equal(swg__volumes_items(v), 1);
    swg__volumes_close(v);
    assert_int_equal(open_path(ctx, scratch_path(&s, "none"), "x", NULL, &(swg__volumes_opts){.use = SWG__VOLUMES_PREDICT}, &v), SWG_ENOTFOUND);
    put_text(ctx, &s, "train.parquet", "PAR1");
    assert_int_equal(open_path(ctx, scratch_path(&s, "train.parquet"), "x", NULL, NULL, &v), SWG_EFORMAT);
    assert_message(ctx, "Parquet", "to_csv");
    assert_int_equal(open_path(ctx, s.folder, "x", NULL, NULL, &v), SWG_EFORMAT);
    assert_message(ctx, "Parquet", "to_csv");
    scratch_close(&s, ctx, 4);
}

/* ---- columns of rows ---- */

static void frames_and_areas(void **state) {
    swg_context *ctx = *state;
    scratch s;
    swg__volumes *v;
    swg__volume image;
    notes n = {""};
    scratch_open(&s);
    float *values = make_places((int64_t[]){5, 3, 4, 6}); /* read as frames of Z, Y, X */
    put_npy(ctx, &s, "movie.npy", SWG_ELEMENT_F32, 4, (int64_t[]){5, 3, 4, 6}, values);
    free(values);
    put_places(ctx, &s, "still.npy", 2, 3, 4, 6);
    const struct {
        const char *table;
        int items;
        float first[3];
    } cases[] = {{"raw,t\nmovie.npy,all\n", 5, {0, 1e6f, 2e6f}}, {"raw,t\nmovie.npy,1:3\n", 3, {1e6f, 2e6f, 3e6f}}, {"raw,t\nmovie.npy,4\nmovie.npy,\n", 2, {4e6f, 0}},
                 {"raw,start,stop\nmovie.npy,0,0\n", 1, {0}}, {"raw,start,stop\nmovie.npy,0,-1\nmovie.npy,2,3\n", 7, {0, 1e6f, 2e6f}},
                 {"raw,z\nmovie.npy,1:2\nmovie.npy,2\n", 2, {10000, 20000}}, {"raw,crop_y,crop_x\nmovie.npy,1:3,2:5\n", 1, {102}}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        put_text(ctx, &s, "t.csv", cases[c].table);
        assert_ok(ctx, open_path(ctx, scratch_path(&s, "t.csv"), "raw layout=TZYX", NULL, &(swg__volumes_opts){.use = SWG__VOLUMES_PREDICT, .note = take_note, .note_user = &n}, &v));
        assert_int_equal(swg__volumes_items(v), cases[c].items);
        assert_int_equal(strstr(n.text, "of several frames: the first is taken") != NULL, c == 2 || c > 4); /* where a row does not say which */
        n.text[0] = 0;
        for (int i = 0; i < cases[c].items && i < 3; i++) {
            assert_ok(ctx, swg__volumes_whole(v, i, 0, &image));
            assert_true(image.values[0] == cases[c].first[i]);
            swg__volumes_release(v, &image);
        }
        if (c == 1)
            assert_string_equal(swg__volumes_item_at(v, 2)->stem, "movie_t3");
        if (c == 6) {
            int64_t extent[4];
            assert_ok(ctx, swg__volumes_extent(v, 0, 0, extent));
            assert_memory_equal(extent, ((int64_t[]){1, 3, 3, 4}), sizeof extent);
        }
        swg__volumes_close(v);
    }
    /* the target of a movie: as many frames, or one for all */
    put_text(ctx, &s, "t.csv", "raw,seg,split\nmovie.npy,movie.npy,train\nmovie.npy,movie.npy,val\n");
    assert_ok(ctx, open_path(ctx, scratch_path(&s, "t.csv"), "raw layout=TZYX t=1:2", "seg layout=TZYX t=3", NULL, &v));
    assert_int_equal(swg__volumes_items(v), 4);
    assert_ok(ctx, swg__volumes_whole(v, 1, 1, &image));
    assert_true(image.values[0] == 3e6f);
    swg__volumes_release(v, &image);
    swg__volumes_close(v);
    assert_int_equal(open_path(ctx, scratch_path(&s, "t.csv"), "raw layout=TZYX t=1:2", "seg layout=TZYX t=all", NULL, &v), SWG_EINVAL);
    assert_message(ctx, "row 1", "\"seg\"", "5 frames", "source has 2");
    /* column channel is of the keys that read the source's column and name none */
    put_text(ctx, &s, "t.csv", "raw,channel\nstill.npy,1\nstill.npy,0\n");
    assert_ok(ctx, open_path(ctx, scratch_path(&s, "t.csv"), "raw", NULL, &(swg__volumes_opts){.use = SWG__VOLUMES_PREDICT}, &v));
    assert_ok(ctx, swg__volumes_whole(v, 0, 0, &image));
    assert_true(image.values[0] == 1e6f && image.dims[0] == 1);
    swg__volumes_release(v, &image);
    swg__volumes_close(v);
    const struct {
        const char *table, *word;
    } bad[] = {{"raw,t\nmovie.npy,last\n", "\"t\": \"last\""}, {"raw,z\nmovie.npy,2:1\n", "\"z\": \"2:1\""}, {"raw,start,stop\nmovie.npy,3,1\n", "\"stop\": \"1\""},
               {"raw,crop_x\nmovie.npy,half\n", "\"crop_x\": \"half\""}, {"raw,t\nmovie.npy,5\n", "t=5: there are 5"}, {"raw,crop_x\nmovie.npy,0:6\n", "x=6: there are 6"},
               {"raw,channel\nmovie.npy,1\n", "channel 1: there is 1"}};
    for (size_t c = 0; c < sizeof bad / sizeof *bad; c++) {
        put_text(ctx, &s, "t.csv", bad[c].table);
        assert_true(open_path(ctx, scratch_path(&s, "t.csv"), "raw layout=TZYX", NULL, &(swg__volumes_opts){.use = SWG__VOLUMES_PREDICT}, &v) != SWG_OK);
        assert_message(ctx, "t.csv: row 1 (line 2)", bad[c].word);
    }
    scratch_close(&s, ctx, 3);
}

/* ---- bad input ---- */

static void put_values(swg_context *ctx, scratch *s, const char *name, swg_element element, const void *values) {
    put_npy(ctx, s, name, element, 4, (int64_t[]){1, 1, 4, 4}, values);
}

static void bad_input(void **state) {
    swg_context *ctx = *state;
    scratch s;
    swg__volumes *v;
    float flat[16], hurt[16];
    uint32_t ids[16] = {0, 70000, 16777216};
    const uint8_t none[16] = {0};
    for (int i = 0; i < 16; i++) {
        flat[i] = .1f;
        hurt[i] = i == 3 || i == 7 ? NAN : i == 9 ? INFINITY : (float)i;
    }
    scratch_open(&s);
    put_places(ctx, &s, "good.npy", 1, 1, 4, 4);
    put_values(ctx, &s, "flat.npy", SWG_ELEMENT_F32, flat);
    put_values(ctx, &s, "hurt.npy", SWG_ELEMENT_F32, hurt);
    put_values(ctx, &s, "ids.npy", SWG_ELEMENT_U32, ids);
    put_values(ctx, &s, "none.npy", SWG_ELEMENT_U8, none);
    put_places(ctx, &s, "wide.npy", 1, 1, 4, 9);
    put_places(ctx, &s, "two.npy", 2, 1, 4, 4);
    put_text(ctx, &s, "broken.npy", "\x93NUMPY");
    const struct {
        const char *rows, *source, *target, *words[4];
    } cases[] = {
        {"", "raw", NULL, {"t.csv", "no rows"}},
        {"good.npy,good.npy\n", "rav", NULL, {"no column \"rav\" (data.source)", "present: raw, seg", "did you mean raw?"}},
        {"good.npy,good.npy\n", "raw", "mask", {"no column \"mask\" (data.target)", "present: raw, seg"}},
        {"good.npy,good.npy\n,good.npy\n", "raw", NULL, {"row 2 (line 3)", "column \"raw\"", "expected a path"}},
        {"good.npy,missing.npy\n", "raw", "seg", {"row 1 (line 2)", "column \"seg\"", "missing.npy"}},
        {"good.npy,good.npy\nbroken.npy,good.npy\n", "raw", NULL, {"row 2 (line 3)", "column \"raw\"", "broken.npy"}},
        {"good.npy,good.npy\nhurt.npy,good.npy\n", "raw", NULL, {"row 2", "hurt.npy", "3 values are NaN or infinite", "data.nonfinite=zero"}},
        {"good.npy,good.npy\n", "raw channel=3", NULL, {"row 1", "channel 3: there is 1"}},
        {"good.npy,good.npy\n", "raw channel=DAPI", NULL, {"row 1", "channel \"DAPI\"", "no names"}},
        {"good.npy,two.npy\ngood.npy,good.npy\n", "raw", "seg", {"row 2", "\"seg\"", "1 channels; the first image has 2"}},
        {"good.npy,good.npy\ngood.npy,wide.npy\n", "raw", "seg", {"row 2", "\"seg\"", "1x4x9", "1x4x4"}},
        {"good.npy,good.npy\n", "raw", "seg scale=2", {"row 1", "scale 2"}},
        {"good.npy,hurt.npy\n", "raw", "seg labels", {"row 1", "\"seg\"", "hurt.npy"}},
        {"good.npy,good.npy\n", "raw zoom=0.2", NULL, {"row 1", "zoom=0.2 leaves nothing of 4"}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char table[256];
        snprintf(table, sizeof table, "raw,seg,split\n");
        for (const char *p = cases[c].rows; *p; p++) /* every row trains; one more validates */
            snprintf(table + strlen(table), sizeof table - strlen(table), *p == '\n' ? ",train\n" : "%c", *p);
        if (*cases[c].rows)
            strcat(table, "good.npy,good.npy,val\n");
        put_text(ctx, &s, "t.csv", table);
        if (open_path(ctx, scratch_path(&s, "t.csv"), cases[c].source, cases[c].target, &(swg__volumes_opts){.dims = 2}, &v) == SWG_OK)
            fail_msg("case %zu was taken", c);
        for (int w = 0; w < 4 && cases[c].words[w]; w++)
            assert_message(ctx, cases[c].words[w]);
    }
    /* what is taken, with a note */
    notes n = {""};
    put_text(ctx, &s, "t.csv", "raw,seg,split\nflat.npy,none.npy,train\nhurt.npy,ids.npy,train\nwide.npy,wide.npy,val\n");
    const swg__volumes_opts opts = {.dims = 2, .nonfinite = "zero", .note = take_note, .note_user = &n, .patch = {0, 4, 4}};
    assert_ok(ctx, open_path(ctx, scratch_path(&s, "t.csv"), "raw normalise", "seg labels", &opts, &v));
    assert_note(n, "3 values that are not finite became 0, in 1 image");
    assert_note(n, "warning: 1 image is constant: 0 everywhere after normalise");
    assert_note(n, "flat.npy");
    assert_note(n, "1 of 6 prepared images are masks without an object");
    swg__volume image;
    assert_ok(ctx, swg__volumes_whole(v, 0, 0, &image));
    for (int i = 0; i < 16; i++)
        assert_true(image.values[i] == 0);
    swg__volumes_release(v, &image);
    assert_ok(ctx, swg__volumes_whole(v, 1, 1, &image)); /* ids above 65535 stay what they are */
    assert_true(image.values[1] == 70000 && image.values[2] == 16777216);
    swg__volumes_release(v, &image);
    swg__volumes_close(v);
    /* a patch larger than an image: the row is named */
    assert_int_equal(open_path(ctx, scratch_path(&s, "t.csv"), "raw", NULL, &(swg__volumes_opts){.dims = 2, .nonfinite = "zero", .patch = {0, 4, 8}}, &v), SWG_EINVAL);
    assert_message(ctx, "row 1", "column \"raw\"", "1x4x4", "1x4x8", "data.pad=reflect");
    assert_ok(ctx, open_path(ctx, scratch_path(&s, "t.csv"), "raw", NULL, &(swg__volumes_opts){.dims = 2, .nonfinite = "zero", .pad = "zero", .patch = {0, 4, 8}}, &v));
    swg__volumes_close(v);
    assert_int_equal(open_path(ctx, scratch_path(&s, "t.csv"), "raw", NULL, &(swg__volumes_opts){.pad = "mirror"}, &v), SWG_EINVAL);
    assert_message(ctx, "data.pad=mirror", "none reflect zero");
    scratch_close(&s, ctx, 9);
}

static bool has_tiff(void) {
    swg_context *ctx;
    swg_stack_writer *writer;
    char path[] = "/tmp/swage-tiff-XXXXXX";
    const int file = mkstemp(path);
    if (file < 0 || swg_context_open(NULL, &ctx) != SWG_OK)
        return false;
    close(file);
    const bool there = swg_stack_create(ctx, path, 1, 1, 1, 1, 1, NULL, &writer) == SWG_OK;
    if (there)
        swg_stack_abort(writer);
    unlink(path);
    swg_context_close(ctx);
    return there;
}

/* Channels by the names that OME-XML gives them. */
static void channels_by_name(void **state) {
    swg_context *ctx = *state;
    scratch s;
    swg__volumes *v;
    swg__volume image;
    swg_stack_writer *writer;
    if (!has_tiff())
        skip();
    scratch_open(&s);
    const char *const names[] = {"DAPI", "GFP", "brightfield"};
    float *values = make_places((int64_t[]){3, 1, 4, 6});
    assert_ok(ctx, swg_stack_create(ctx, scratch_path(&s, "cells.ome.tif"), 1, 3, 1, 4, 6, &(swg_stack_write_opts){.channel_names = names}, &writer));
    assert_ok(ctx, swg_stack_append_f32(writer, values, 3));
    assert_ok(ctx, swg_stack_finish(writer));
    free(values);
    const swg__volumes_opts predict = {.use = SWG__VOLUMES_PREDICT};
    assert_ok(ctx, open_path(ctx, scratch_path(&s, "cells.ome.tif"), "raw channel=brightfield+gfp", NULL, &predict, &v));
    assert_string_equal(swg__volumes_item_at(v, 0)->stem, "cells");
    assert_ok(ctx, swg__volumes_whole(v, 0, 0, &image));
    assert_int_equal(image.dims[0], 2);
    assert_true(image.values[0] == 2e6f && image.values[24] == 1e6f);
    swg__volumes_release(v, &image);
    swg__volumes_close(v);
    assert_int_equal(open_path(ctx, scratch_path(&s, "cells.ome.tif"), "raw channel=brightfeld", NULL, &predict, &v), SWG_ENOTFOUND);
    assert_message(ctx, "no channel \"brightfeld\" among its 3", "DAPI, GFP, brightfield", "did you mean brightfield?");
    scratch_close(&s, ctx, 1);
}

/* ---- the cache ---- */

/* Opens the table with a cache, checks its values, and says how many images were read. */
static int64_t reads_with(swg_context *ctx, const char *table, const swg__volumes_opts *opts, const char *source, float *expected, bool first) {
    swg__volumes *v;
    assert_ok(ctx, open_path(ctx, table, source, "seg", opts, &v));
    const int64_t reads = swg__volumes_reads(v);
    for (int64_t i = 0; i < 3; i++)
        for (int k = 0; k < 2; k++, expected += 48) {
            swg__volume image;
            assert_ok(ctx, swg__volumes_whole(v, i, k, &image));
            assert_memory_equal(image.dims, ((int64_t[]){1, 2, 4, 6}), sizeof image.dims);
            if (first)
                memcpy(expected, image.values, 48 * sizeof(float));
            assert_memory_equal(image.values, expected, 48 * sizeof(float));
            swg__volumes_release(v, &image);
        }
    assert_int_equal(swg__volumes_reads(v), reads + (opts->cache && strcmp(opts->cache, "none") == 0 ? 6 : 0));
    swg__volumes_close(v);
    return reads;
}

static void cache(void **state) {
    swg_context *ctx = *state;
    scratch s, kept;
    float expected[6 * 48], other[6 * 48];
    notes n = {""};
    char table[400], file[400], inner[300];
    scratch_open(&s);
    scratch_open(&kept);
    for (int i = 0; i < 6; i++) {
        char name[16];
        float *values = make_places((int64_t[]){1, 2, 4, 6});
        snprintf(name, sizeof name, "%d.npy", i);
        values[i] += .5f;
        put_npy(ctx, &s, name, SWG_ELEMENT_F32, 4, (int64_t[]){1, 2, 4, 6}, values);
        free(values);
    }
    put_text(ctx, &s, "t.csv", "raw,seg,split\n0.npy,1.npy,train\n2.npy,3.npy,train\n4.npy,5.npy,val\n");
    snprintf(table, sizeof table, "%s", scratch_path(&s, "t.csv"));
    swg__volumes_opts opts = {.note = take_note, .note_user = &n}, disk = opts, none = opts;
    assert_int_equal(reads_with(ctx, table, &opts, "raw normalise", expected, true), 6);
    none.cache = "none";
    assert_int_equal(reads_with(ctx, table, &none, "raw normalise", expected, false), 6); /* and six more when used */
    disk.cache = "disk";
    disk.cache_dir = kept.folder;
    assert_int_equal(reads_with(ctx, table, &disk, "raw normalise", expected, false), 6);
    assert_int_equal(reads_with(ctx, table, &disk, "raw normalise", expected, false), 0);
    opts.cache_dir = kept.folder;
    assert_int_equal(reads_with(ctx, table, &opts, "raw normalise", expected, false), 0);
    opts.cache_bytes = 400; /* two of six in memory; the others are mapped */
    assert_int_equal(reads_with(ctx, table, &opts, "raw normalise", expected, false), 0);
    assert_note(n, "4 of 6 prepared images do not fit");
    swg__volumes *v;
    assert_ok(ctx, open_path(ctx, table, "raw normalise", "seg", &opts, &v));
    assert_true(swg__volumes_bytes(v) == 2 * 192 && swg__volumes_mapped(v) == 4 * 192);
    swg__volumes_close(v);
    opts.cache_dir = NULL; /* nor on disk: they are prepared again */
    assert_ok(ctx, open_path(ctx, table, "raw normalise", "seg", &opts, &v));
    assert_true(swg__volumes_bytes(v) == 2 * 192 && swg__volumes_mapped(v) == 0 && swg__volumes_reads(v) == 6);
    swg__volumes_close(v);
    opts.cache_dir = kept.folder;
    opts.cache_bytes = 0;
    assert_int_equal(reads_with(ctx, table, &disk, "raw percentile=1:99", other, true), 3); /* another transform: other files, the targets' stay */
    assert_ok(ctx, open_path(ctx, table, "raw normalise", "seg", &disk, &v));
    assert_int_equal(swg__volumes_bytes(v), 0);
    assert_int_equal(swg__volumes_mapped(v), 6 * 48 * 4);
    swg__volumes_close(v);
    assert_ok(ctx, open_path(ctx, table, "raw normalise", "seg", &opts, &v));
    assert_int_equal(swg__volumes_bytes(v), 6 * 48 * 4);
    swg__volumes_close(v);

    /* a file that changed is read again: by its time, or its size */
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, scratch_path(&s, "0.npy"), times, 0), 0);
    assert_int_equal(reads_with(ctx, table, &disk, "raw normalise", expected, false), 1);
    assert_int_equal(reads_with(ctx, table, &disk, "raw percentile=1:99", other, false), 1);

    /* damage: a byte of the head, a byte of the values, a lost tail, an empty file */
    char **names;
    size_t count;
    assert_ok(ctx, swg__list_folder(ctx, kept.folder, &names, &count));
    assert_int_equal(count, 11);
    for (int damage = 0; damage < 4; damage++) {
        int64_t made = 0;
        for (size_t i = 0; i < count; i++) {
            uint8_t *bytes;
            size_t length;
            snprintf(file, sizeof file, "%s", scratch_path(&kept, names[i]));
            assert_ok(ctx, swg__file_read(ctx, file, &bytes, &length));
            bytes[damage == 0 ? 30 : length - 5] ^= 1;
            assert_ok(ctx, swg__file_write(ctx, file, bytes, damage == 3 ? 0 : damage == 2 ? length - 4 : length));
            swg__free(ctx, bytes);
        }
        n.text[0] = 0;
        made += reads_with(ctx, table, damage % 2 ? &opts : &disk, "raw normalise", expected, false);
        assert_note(n, "6 damaged files of the cache made again");
        made += reads_with(ctx, table, &disk, "raw percentile=1:99", other, false);
        assert_int_equal(made, 9);
        assert_int_equal(reads_with(ctx, table, &disk, "raw normalise", expected, false), 0);
    }
    swg__list_free(ctx, names, count);
    disk.cache_dir = NULL; /* beside the table */
    assert_int_equal(reads_with(ctx, table, &disk, "raw normalise", expected, false), 6);
    assert_int_equal(reads_with(ctx, table, &disk, "raw normalise", expected, false), 0);
    assert_ok(ctx, swg__list_folder(ctx, scratch_path(&s, ".swage-cache"), &names, &count));
    assert_int_equal(count, 6);
    for (size_t i = 0; i < count; i++) {
        snprintf(inner, sizeof inner, ".swage-cache/%.200s", names[i]);
        unlink(scratch_path(&s, inner));
    }
    assert_int_equal(rmdir(scratch_path(&s, ".swage-cache")), 0);
    swg__list_free(ctx, names, count);
    scratch_close(&kept, ctx, 11);
    scratch_close(&s, ctx, 7);
}

struct side_by_side {
    swg__volumes *v;
    bool good[48];
};

static void take_whole(void *arg, int64_t task, int worker) {
    struct side_by_side *s = arg;
    swg__volume image;
    (void)worker;
    s->good[task] = swg__volumes_whole(s->v, task / 8, 0, &image) == SWG_OK && image.values[image.dims[3] + 1] == place_value(0, 0, 1, 1);
    swg__volumes_release(s->v, &image);
}

/* Several threads meet images that are in no cache yet: each prepares them, all write the same files. */
static void threads_and_cache(void **state) {
    swg_context *ctx = *state, *threads;
    scratch s, kept;
    swg__volumes *v;
    scratch_open(&s);
    scratch_open(&kept);
    assert_ok(ctx, swg_context_open(&(swg_context_opts){.threads = 8}, &threads));
    for (int i = 0; i < 6; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d.npy", i);
        put_places(ctx, &s, name, 1, 8, 60, 60);
    }
    assert_ok(ctx, open_path(ctx, s.folder, "raw", NULL, &(swg__volumes_opts){.use = SWG__VOLUMES_PREDICT, .cache = "disk", .cache_dir = kept.folder}, &v));
    int64_t reads = 0;
    for (int round = 0; round < 2; round++) {
        struct side_by_side side = {.v = v};
        swg__parallel(threads, 48, take_whole, &side);
        for (int i = 0; i < 48; i++)
            assert_true(side.good[i]);
        assert_true(round ? swg__volumes_reads(v) == reads : swg__volumes_reads(v) >= 6);
        reads = swg__volumes_reads(v);
    }
    swg__volumes_close(v);
    swg_context_close(threads);
    scratch_close(&kept, ctx, 6);
    scratch_close(&s, ctx, 6);
}

/* Every allocation fails once: nothing is left behind. Where the cache could not be read for it, the image is prepared again. */
static void out_of_memory(void **state) {
    swg_context *plain = *state;
    scratch s, kept;
    char table[400];
    if (TESTING_RACES)
        skip();
    scratch_open(&s);
    scratch_open(&kept);
    put_places(plain, &s, "a.npy", 2, 4, 5, 6);
    put_text(plain, &s, "t.csv", "raw,split,t\na.npy,train,all\na.npy,val,0\n");
    snprintf(table, sizeof table, "%s", scratch_path(&s, "t.csv"));
    for (int cached = 0; cached < 2; cached++) {
        const swg__volumes_opts opts = {.cache = cached ? "disk" : NULL, .cache_dir = cached ? kept.folder : NULL};
        bool done = false;
        int64_t failed = 0;
        for (int64_t n = 0; n < 600 && !done; n++) {
            testing_allocator counter = {.fail_at = n};
            swg_context *ctx;
            swg__volumes *v;
            if (swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &counter}}, &ctx) != SWG_OK)
                continue;
            const swg_status status = open_path(ctx, table, "raw zoom=0.5 percentile=1:99", "raw channel=0 binary zoom=0.5", &opts, &v);
            done = counter.calls <= n;
            failed += status != SWG_OK;
            if (status != SWG_OK && status != SWG_ENOMEM)
                fail_msg("%d %lld: %s %s", cached, (long long)n, swg_status_name(status), swg_context_message(ctx));
            assert_true(status == SWG_OK || (!done && status == SWG_ENOMEM));
            assert_true(cached || done == (status == SWG_OK));
            swg__volumes_close(v);
            swg_context_close(ctx);
            assert_int_equal(counter.live, 0);
        }
        assert_true(done && failed > 20);
    }
    scratch_close(&kept, plain, 2);
    scratch_close(&s, plain, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(folders_of_tables, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(split_column, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(random_split, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(images_without_a_table, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(frames_and_areas, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(bad_input, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(channels_by_name, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(cache, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(threads_and_cache, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(out_of_memory, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
