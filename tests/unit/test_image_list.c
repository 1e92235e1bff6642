/* test_image_list.c - proves: CSV as RFC 4180 says, with the row and line of every fault; folders in the order of their bytes, lists and single
 * images; what is missing is named; a failed allocation leaves nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>
#include "scratch.h"
#include "data/image_list.h"

static swg_status parse(swg_context *ctx, const char *text, swg__table *table) { return swg__table_parse(ctx, text, strlen(text), "t.csv", table); }

static void cells(void **state) {
    swg_context *ctx = *state;
    swg__table t;
    assert_ok(ctx, parse(ctx, "\xef\xbb\xbf" "Image,\"the, label\",x\r\n\n\"a \"\"b\"\".png\",\"two\r\nlines\",\r\n\r\nc,d e ,\"\"\nlast,\"\"\"\",z\"z", &t));
    assert_int_equal(t.columns, 3);
    assert_int_equal(t.rows, 3);
    static const char *const want[] = {"a \"b\".png", "two\r\nlines", "", "c", "d e ", "", "last", "\"", "z\"z"};
    for (int i = 0; i < 9; i++)
        assert_string_equal(t.cells[i], want[i]);
    assert_string_equal(t.header[1], "the, label");
    assert_int_equal(t.line[0], 3);
    assert_int_equal(t.line[1], 6);
    assert_int_equal(t.line[2], 7);
    assert_int_equal(swg__table_column(&t, "x"), 2);
    assert_int_equal(swg__table_column(&t, "image"), -1);
    swg__table_free(&t);
    assert_ok(ctx, parse(ctx, "a\n\"x\"", &t)); /* ends behind a quote */
    assert_string_equal(t.cells[0], "x");
    swg__table_free(&t);
}

static void faults(void **state) {
    swg_context *ctx = *state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"", "t.csv: is empty"},
        {"\r\n\n", "t.csv: is empty"},
        {"Image,label\n", "no rows"},
        {"Image,label\na,b\nc\n", "row 2 (line 3) has 1 cells, the header has 2"},
        {"Image,label\n\"a\n\",b\nc,d,e", "row 2 (line 4) has 3 cells"},
        {"Image,,x\n1,2,3\n", "no name for column 2"},
        {"Image,x,Image\n1,2,3\n", "two columns are called \"Image\""},
        {"Image\n\"abc\n", "line 2: a quote is left open"},
        {"Image\n\"abc\"d\n", "line 2: text behind a closing quote"},
        {"Image\n\xff\n", "not UTF-8"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        swg__table t;
        assert_int_equal(parse(ctx, bad[i].text, &t), SWG_EFORMAT);
        assert_message(ctx, bad[i].words);
    }
    swg__table t;
    assert_int_equal(swg__table_parse(ctx, "a\nb\0\n", 5, "t.csv", &t), SWG_EFORMAT);
    assert_message(ctx, "NUL");
}

static void put(swg_context *ctx, scratch *s, const char *name, const char *text) {
    assert_ok(ctx, swg__file_write(ctx, scratch_path(s, name), text, strlen(text)));
}

static void csv(void **state) {
    swg_context *ctx = *state;
    scratch s;
    swg__image_list index;
    char want[400];
    scratch_open(&s);
    put(ctx, &s, "a.csv", "slide,Image,label\ns1,x/a.png,he\ns2,/abs/b.png,ihc\n");
    assert_ok(ctx, swg__image_list_read(ctx, scratch_path(&s, "a.csv"), NULL, &index));
    assert_int_equal(index.count, 2);
    assert_int_equal(index.image_column, 1);
    assert_int_equal(index.label_column, 2);
    assert_false(index.folder);
    snprintf(want, sizeof want, "%s/x/a.png", s.folder);
    assert_string_equal(index.path[0], want);
    assert_string_equal(index.name[0], "x/a.png");
    assert_string_equal(index.path[1], "/abs/b.png");
    swg__image_list_free(&index);
    assert_int_equal(swg__image_list_read(ctx, scratch_path(&s, "a.csv"), "image", &index), SWG_ENOTFOUND);
    assert_message(ctx, "a.csv", "no column \"image\"", "slide, Image, label", "did you mean Image?");
    put(ctx, &s, "b.csv", "Image,label\na.png,x\n,y\n");
    assert_int_equal(swg__image_list_read(ctx, scratch_path(&s, "b.csv"), NULL, &index), SWG_EFORMAT);
    assert_message(ctx, "b.csv", "row 2 (line 3)", "column \"Image\"");
    put(ctx, &s, "c.csv", "");
    assert_int_equal(swg__image_list_read(ctx, scratch_path(&s, "c.csv"), NULL, &index), SWG_EFORMAT);
    assert_message(ctx, "c.csv", "is empty");
    assert_int_equal(swg__image_list_read(ctx, scratch_path(&s, "none.csv"), NULL, &index), SWG_ENOTFOUND);
    assert_message(ctx, "none.csv");
    put(ctx, &s, "d.json", "{}");
    assert_int_equal(swg__image_list_read(ctx, scratch_path(&s, "d.json"), NULL, &index), SWG_EINVAL);
    assert_message(ctx, "d.json", ".csv");
    scratch_close(&s, ctx, 4);
}

static void lists(void **state) {
    swg_context *ctx = *state;
    scratch s;
    swg__image_list index;
    scratch_open(&s);
    put(ctx, &s, "l.txt", "# tiles\nb.png \r\n\n/abs/a b.tif\n");
    assert_ok(ctx, swg__image_list_read(ctx, scratch_path(&s, "l.txt"), NULL, &index));
    assert_int_equal(index.count, 2);
    assert_string_equal(index.path[1], "/abs/a b.tif");
    assert_string_equal(index.name[0], "b.png");
    assert_int_equal(index.label_column, -1);
    swg__image_list_free(&index);
    put(ctx, &s, "e.txt", "# nothing\n\n");
    assert_int_equal(swg__image_list_read(ctx, scratch_path(&s, "e.txt"), NULL, &index), SWG_EFORMAT);
    assert_message(ctx, "e.txt", "names no image");
    put(ctx, &s, "x.TIF", "");
    assert_ok(ctx, swg__image_list_read(ctx, scratch_path(&s, "x.TIF"), NULL, &index));
    assert_int_equal(index.count, 1);
    assert_string_equal(index.path[0], scratch_path(&s, "x.TIF"));
    swg__image_list_free(&index);
    scratch_close(&s, ctx, 3);
}

static void folders(void **state) {
    swg_context *ctx = *state;
    scratch s;
    swg__image_list index;
    scratch_open(&s);
    assert_int_equal(swg__image_list_read(ctx, s.folder, NULL, &index), SWG_ENOTFOUND);
    assert_message(ctx, s.folder, "holds no");
    static const char *const folder[] = {"b", "b/c", "a"};
    for (int i = 0; i < 3; i++)
        assert_int_equal(mkdir(scratch_path(&s, folder[i]), 0777), 0);
    char loop[400];
    snprintf(loop, sizeof loop, "%s/a/loop", s.folder);
    assert_int_equal(symlink(s.folder, loop), 0);
    static const char *const files[] = {"z.png", "b/2.tiff", "b/10.PNG", "b/c/x.tif", "a/1.png", "b.png", "a/note.txt", "a/.hidden.png"};
    for (int i = 0; i < 8; i++)
        put(ctx, &s, files[i], "");
    assert_ok(ctx, swg__image_list_read(ctx, s.folder, NULL, &index));
    static const char *const want[][2] = {{"a/1.png", "a"}, {"b.png", "."}, {"b/10.PNG", "b"}, {"b/2.tiff", "b"}, {"b/c/x.tif", "b/c"}, {"z.png", "."}};
    assert_int_equal(index.count, 6);
    assert_true(index.folder);
    for (int i = 0; i < 6; i++) {
        assert_string_equal(index.name[i], want[i][0]);
        assert_string_equal(index.path[i], scratch_path(&s, want[i][0]));
        assert_string_equal(index.table.cells[2 * i + swg__table_column(&index.table, "folder")], want[i][1]);
    }
    swg__image_list_free(&index);
    for (int i = 0; i < 8; i++)
        unlink(scratch_path(&s, files[i]));
    unlink(loop);
    static const char *const gone[] = {"b/c", "b", "a"};
    for (int i = 0; i < 3; i++)
        rmdir(scratch_path(&s, gone[i]));
    scratch_close(&s, ctx, 0);
}

static void allocation_failures(void **state) {
    (void)state;
    scratch s;
    scratch_open(&s);
    swg_context *plain;
    assert_int_equal(swg_context_open(NULL, &plain), SWG_OK);
    put(plain, &s, "a.csv", "Image,label\n\"a,b\",1\nb,2\n");
    put(plain, &s, "a.txt", "x.png\ny.png\n");
    put(plain, &s, "x.png", "");
    const char *const sources[] = {"a.csv", "a.txt", "x.png", ""};
    for (int k = 0; k < 4; k++) {
        bool done = false;
        for (int64_t n = 0; n < 200 && !done; n++) {
            testing_allocator counter = {.fail_at = n};
            swg_context *ctx;
            if (swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &counter}}, &ctx) != SWG_OK)
                continue;
            swg__image_list index;
            swg_status status = swg__image_list_read(ctx, scratch_path(&s, sources[k]), NULL, &index);
            done = counter.calls <= n;
            assert_int_equal(status, done ? SWG_OK : SWG_ENOMEM);
            swg__image_list_free(&index);
            swg_context_close(ctx);
            assert_int_equal(counter.live, 0);
        }
        assert_true(done);
    }
    scratch_close(&s, plain, 3);
    swg_context_close(plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cells, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(faults, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(csv, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(lists, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(folders, testing_open, testing_close),
        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
