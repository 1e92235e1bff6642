/* test_archive.c - proves: what is stored beside an array brings its file back, a hostile .swz cannot leave the folder it is restored
 * to or be read past its end, figures add up to what a recount gives, a stop or a failing allocation leaves nothing behind.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <sys/stat.h>
#include "archive/archive.h"
#include "scratch.h"
#include "swage/train.h"

/* ---- files ---- */

enum { NX = 8, COUNT = NX * NX * NX };

/* A wave of amplitude `size` around it, as f32. */
static void wave(float *out, int count, double size) {
    for (int i = 0; i < count; i++)
        out[i] = (float)(size * (1 + 0.5 * sin(0.3 * i) * cos(0.011 * i)));
}

/* A file of cubes of NX^3 f32. */
static void make_cubes(swg_context *ctx, const char *path, const char *const *names, float (*const values)[COUNT], int count) {
    swg_sink *sink;
    assert_ok(ctx, swg_sink_open(ctx, path, &sink));
    for (int i = 0; i < count; i++)
        assert_ok(ctx, swg_sink_put(sink, names[i], SWG_ELEMENT_F32, 3, (int64_t[]){NX, NX, NX}, values[i], NULL));
    assert_ok(ctx, swg_sink_commit(sink));
}

/* A folder with folders in it. */
static void remove_tree(const char *folder) {
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

static size_t files_in(swg_context *ctx, const char *folder) {
    char **names;
    size_t count;
    assert_ok(ctx, swg__list_folder(ctx, folder, &names, &count));
    swg__list_free(ctx, names, count);
    return count;
}

typedef struct member {
    const char *source, *name, *attributes;
    int ndim;
    int64_t dims[4];
    const float *data;
} member;

static void write_members(swg_context *ctx, const char *path, const member *members, int count) {
    swg_codec_writer *writer;
    assert_ok(ctx, swg_codec_writer_open(ctx, path, NULL, &writer));
    for (int i = 0; i < count; i++) {
        swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = members[i].ndim, .data = members[i].data};
        memcpy(a.dims, members[i].dims, sizeof a.dims);
        assert_ok(ctx, swg_codec_writer_add(writer, members[i].source, &a,
                                            &(swg_codec_opts){.name = members[i].name, .attributes = members[i].attributes}, NULL));
    }
    assert_ok(ctx, swg_codec_writer_commit(writer, NULL));
}

/* ---- texts ---- */

static void facts(void **state) {
    swg_context *ctx = *state;
    static char path[3001]; /* a path as long as HDF5 allows must come back */
    memset(path, 'p', sizeof path - 1);
    const swg_array arrays[] = {
        {.path = "U_CHI", .layout = SWG_LAYOUT_GRID},
        {.path = "var_data", .layout = SWG_LAYOUT_VARS, .big_endian = true, .row = 17, .has_time = true, .time = 0.1},
        {.path = "a;layout=vars;time=3/path=x;row=2", .layout = SWG_LAYOUT_BLOCKS, .has_time = true, .time = -1e300},
        {.path = path, .layout = SWG_LAYOUT_GRID, .has_time = true, .time = NAN}};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        const swg_array *a = &arrays[i];
        swg__member_facts f;
        swg__text text;
        swg__text_init(&text, ctx);
        swg__facts_write(a, &text);
        swg__facts_read(text.data, &f);
        assert_string_equal(f.path, a->path);
        assert_int_equal(f.layout, a->layout);
        assert_int_equal(f.big_endian, a->big_endian);
        assert_int_equal(f.row, a->row);
        assert_int_equal(f.has_time, a->has_time);
        assert_true(f.time == a->time || (isnan(f.time) && isnan(a->time)));
        swg__text_free(&text);
    }
    static const char *const foreign[] = {"", "hello", ";;;", "layout=gridx;endian=bigger;row=;time", "=", "units=km;layout=cube"};
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        swg__member_facts f;
        swg__facts_read(foreign[i], &f);
        assert_int_equal(f.layout, SWG_LAYOUT_GRID);
        assert_false(f.big_endian);
        assert_false(f.has_time);
        assert_int_equal(f.row, 0);
        assert_string_equal(f.path, "");
    }
}

static void sources(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"run", "run/a.h5", "a.h5"},    {"run/", "run/a.h5", "a.h5"},  {"run//", "run//a.h5", "a.h5"}, {"a.h5", "a.h5", "a.h5"},
        {"x/a.h5", "x/a.h5", "a.h5"},   {"/", "/a.h5", "a.h5"},        {".", "./a.h5", "a.h5"},        {"run", "runs/a.h5", "a.h5"},
        {"run", "run/sub/a.h5", "sub/a.h5"}, {"", "a.h5", "a.h5"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(swg__relative_source(cases[i][0], cases[i][1]), cases[i][2]);
}

static void bounds(void **state) {
    swg_context *ctx = *state;
    static const struct { const char *text; swg_bound_mode mode; double value; } good[] = {
        {"lossless", SWG_BOUND_LOSSLESS, 0}, {"abs:1e-6", SWG_BOUND_ABS, 1e-6}, {"rel:0.5", SWG_BOUND_REL, 0.5},
        {"abs:0x1p-4", SWG_BOUND_ABS, 0.0625}, {"pw:1e-2", SWG_BOUND_PW_REL, 1e-2}, {"psnr:80", SWG_BOUND_PSNR, 80}};
    static const char *const bad[] = {"", "abs", "abs:", "abs:x", "abs:1x", "abs:0", "abs:-1", "abs:nan", "abs:inf", "rel:1e999", "1e-3", "lossless ",
                                      "Abs:1", "abs:1:2"};
    swg_bound_mode mode;
    double value;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_ok(ctx, swg_bound_parse(ctx, good[i].text, &mode, &value));
        assert_int_equal(mode, good[i].mode);
        assert_true(value == good[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(swg_bound_parse(ctx, bad[i], &mode, &value), SWG_EUSAGE);
        assert_message(ctx, "bound", "expected");
        assert_true(value == 0);
    }
}

/* ---- restoring what somebody else wrote ---- */

static void stays_in_the_folder(void **state) {
    swg_context *ctx = *state;
    static const char *const outside[] = {"../x.h5", "/x.h5", "a/../../x.h5", "..", "a/..", "a/../x.h5", "./../x.h5", "a//../x.h5"};
    static const char *const inside[] = {"x.h5", "a/x.h5", "..x/..y.h5", "a..", "./x.h5", "a//b/x.h5"};
    float values[COUNT];
    char folder[160];
    scratch s;
    scratch_open(&s);
    wave(values, COUNT, 1);
    snprintf(folder, sizeof folder, "%s/out/in", s.folder);
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        write_members(ctx, scratch_path(&s, "x.swz"), &(member){outside[i], "U", NULL, 3, {NX, NX, NX}, values}, 1);
        assert_int_equal(swg_archive_restore(ctx, s.path, folder, true, NULL, NULL), SWG_EFORMAT);
        assert_message(ctx, "outside the folder", outside[i]);
        assert_int_equal(files_in(ctx, s.folder), 1);
    }
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        char path[400];
        write_members(ctx, scratch_path(&s, "x.swz"), &(member){inside[i], "U", NULL, 3, {NX, NX, NX}, values}, 1);
        assert_ok(ctx, swg_archive_restore(ctx, s.path, folder, true, NULL, NULL));
        snprintf(path, sizeof path, "%s/%s", folder, inside[i]);
        assert_true(swg__exists(path));
        snprintf(path, sizeof path, "%s/out", s.folder);
        assert_int_equal(files_in(ctx, path), 1);
        remove_tree(folder);
    }
    /* A name that is a folder is refused by the file system; nothing is left over. */
    write_members(ctx, scratch_path(&s, "x.swz"), &(member){"a/", "U", NULL, 3, {NX, NX, NX}, values}, 1);
    assert_int_not_equal(swg_archive_restore(ctx, s.path, folder, true, NULL, NULL), SWG_OK);
    snprintf(folder, sizeof folder, "%s/out/in/a", s.folder);
    assert_int_equal(files_in(ctx, folder), 0);
    remove_tree(s.folder);
}

/* Opens restored/<name>, reads the only array of a variable, compares it with COUNT or fewer values. */
static void expect_array(swg_context *ctx, const char *file, const char *variable, const float *values, int ndim, const int64_t *dims) {
    swg_source *source;
    float got[2 * COUNT];
    assert_ok(ctx, swg_source_open(ctx, file, &(swg_source_opts){.vars = variable}, &source));
    assert_int_equal(swg_source_count(source), 1);
    const swg_array *a = swg_source_array(source, 0);
    assert_int_equal(a->ndim, ndim);
    assert_memory_equal(a->dims, dims, (size_t)ndim * sizeof *dims);
    assert_in_range(a->count, 1, 2 * COUNT);
    assert_ok(ctx, swg_source_read(source, 0, got));
    assert_memory_equal(got, values, (size_t)a->count * sizeof *got);
    swg_source_close(source);
}

static void restores_foreign_streams(void **state) {
    swg_context *ctx = *state;
    static const int64_t cube[3] = {NX, NX, NX};
    float values[COUNT];
    char folder[160], path[300];
    scratch s;
    scratch_open(&s);
    wave(values, COUNT, 3);
    snprintf(folder, sizeof folder, "%s/out", s.folder);
    snprintf(path, sizeof path, "%s/restored.h5", folder);
    static const struct { const char *name, *attributes, *dataset; } cases[] = {
        {NULL, NULL, "data"}, {"U_A", NULL, "U_A"}, {"U_A", "units=km", "U_A"}, {"U_A", "path=deep/U_B", "U_B"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) { /* one array on its own knows no file */
        swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {NX, NX, NX}, .data = values};
        assert_ok(ctx, swg_codec_compress_file(ctx, &a, &(swg_codec_opts){.name = cases[i].name, .attributes = cases[i].attributes},
                                               scratch_path(&s, "one.swz"), NULL));
        assert_ok(ctx, swg_archive_restore(ctx, s.path, folder, true, NULL, NULL));
        expect_array(ctx, path, cases[i].dataset, values, 3, cube);
        assert_ok(ctx, swg_archive_verify(ctx, s.path, NULL, NULL, NULL));
    }
    /* Two members under one path, members of one var_data that do not fit together: refused, and no file. */
    static const member clash[] = {{"a.h5", "U_A", "path=same", 3, {NX, NX, NX}, NULL}, {"a.h5", "U_B", "path=same", 3, {NX, NX, NX}, NULL}};
    static const member misfits[][2] = {
        {{"a.h5", "U_A", "layout=vars", 4, {2, 5, 5, 5}, NULL}, {"a.h5", "U_B", "layout=vars", 4, {4, 5, 5, 5}, NULL}},
        {{"a.h5", "U_A", "layout=vars", 4, {2, 4, 4, 4}, NULL}, {"a.h5", "U_B", "layout=vars", 3, {8, 4, 4, 0}, NULL}}};
    for (int c = 0; c < 3; c++) {
        member two[2];
        memcpy(two, c == 0 ? clash : misfits[c - 1], sizeof two);
        two[0].data = two[1].data = values;
        write_members(ctx, scratch_path(&s, "two.swz"), two, 2);
        assert_int_equal(swg_archive_restore(ctx, s.path, folder, true, NULL, NULL), c == 0 ? SWG_EIO : SWG_EFORMAT);
        assert_int_equal(files_in(ctx, folder), 1);
    }
    /* A grid of the same file comes before the rows of var_data, which are out of order: each finds its place. */
    float rows[3][250];
    for (int i = 0; i < 3; i++)
        wave(rows[i], 250, i + 1);
    write_members(ctx, scratch_path(&s, "mixed.swz"),
                  (member[]){{"restored.h5", "U_G", "layout=grid;path=U_G", 3, {NX, NX, NX}, values},
                             {"restored.h5", "U_C", "layout=vars;endian=big;row=9;time=1;path=var_data", 4, {2, 5, 5, 5}, rows[2]},
                             {"restored.h5", "U_A", "layout=vars;endian=big;row=1;time=1;path=var_data", 4, {2, 5, 5, 5}, rows[0]},
                             {"restored.h5", "U_B", "layout=vars;endian=big;row=4;time=1;path=var_data", 4, {2, 5, 5, 5}, rows[1]}},
                  4);
    assert_ok(ctx, swg_archive_restore(ctx, s.path, folder, true, NULL, NULL));
    swg_source *source;
    assert_ok(ctx, swg_source_open(ctx, path, &(swg_source_opts){.layout = "vars"}, &source));
    assert_int_equal(swg_source_count(source), 3);
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"U_A", "U_B", "U_C"};
        float got[250];
        assert_string_equal(swg_source_array(source, i)->variable, names[i]);
        assert_true(swg_source_array(source, i)->big_endian);
        assert_true(swg_source_array(source, i)->time == 1);
        assert_ok(ctx, swg_source_read(source, i, got));
        assert_memory_equal(got, rows[i], sizeof got);
    }
    swg_source_close(source);
    remove_tree(s.folder);
}

/* ---- figures ---- */

static void compress(swg_context *ctx, const char *input, const char *path, const char *bound, swg_archive_report **report) {
    swg_archive_opts opts = {0};
    assert_ok(ctx, swg_bound_parse(ctx, bound, &opts.bound, &opts.value));
    opts.source.missing = "skip";
    assert_ok(ctx, swg_archive_compress(ctx, input, path, &opts, NULL, report));
}

/* Two files, U_A in both, U_B in one; the second U_A is all NaN. Every figure is counted again from the restored values. */
static void sums(void **state) {
    swg_context *ctx = *state;
    static float values[3][COUNT], back[COUNT];
    static const char *const names[] = {"U_A", "U_B"};
    scratch s;
    scratch_open(&s);
    wave(values[0], COUNT, 1000);
    wave(values[1], COUNT, -1);
    values[1][7] = NAN;
    for (int i = 0; i < COUNT; i++)
        values[2][i] = NAN;
    char folder[100], path[100];
    snprintf(folder, sizeof folder, "%s/in", s.folder);
    snprintf(path, sizeof path, "%s/x.swz", s.folder);
    assert_int_equal(mkdir(folder, 0777), 0);
    make_cubes(ctx, scratch_path(&s, "in/a.h5"), names, values, 2);
    make_cubes(ctx, scratch_path(&s, "in/b.h5"), names, values + 2, 1);
    swg_archive_report *r;
    compress(ctx, folder, path, "abs:0.01", &r);
    assert_int_equal(r->count, 3);
    assert_int_equal(r->variable_count, 2);
    const swg_archive_row *a = &r->variables[0], *b = &r->variables[1];
    assert_string_equal(a->variable, "U_A");
    assert_string_equal(b->variable, "U_B");
    assert_int_equal(a->arrays, 2);
    assert_int_equal(b->arrays, 1);
    assert_int_equal(a->values, 2 * COUNT);
    assert_int_equal(a->finite, COUNT);
    assert_int_equal(b->finite, COUNT - 1);
    assert_int_equal(r->total.values, 3 * COUNT);
    assert_int_equal(r->total.bytes_in, 3 * COUNT * 4);
    assert_int_equal(r->total.bytes_out, r->file_bytes);
    assert_true(r->total.compress_s > 0 && r->total.decompress_s > 0);
    assert_close(r->total.compress_s, a->compress_s + b->compress_s, 0, 1e-12);
    swg_swz *swz;
    assert_ok(ctx, swg_swz_open(ctx, path, &swz));
    int64_t stored = 0;
    for (int m = 0; m < 3; m++) {
        const swg_archive_row *row = &r->rows[m];
        bool is_a = strcmp(row->variable, "U_A") == 0, first = strcmp(row->source, "a.h5") == 0;
        const float *x = values[!first ? 2 : is_a ? 0 : 1];
        double worst = 0, squares = 0, low = INFINITY, high = -INFINITY;
        int64_t finite = 0;
        assert_ok(ctx, swg_swz_read(swz, swg_swz_find(swz, row->source, row->variable), back, sizeof back));
        for (int i = 0; i < COUNT; i++) {
            if (!isfinite(x[i]))
                continue;
            double gap = fabs((double)back[i] - (double)x[i]);
            worst = fmax(worst, gap);
            squares += gap * gap;
            low = fmin(low, (double)x[i]);
            high = fmax(high, (double)x[i]);
            finite++;
        }
        assert_int_equal(row->finite, finite);
        assert_int_equal(row->violations, 0);
        assert_close(row->bound, first ? 0.01 : row->bound, 0, 0);
        assert_close(row->max_abs_error, worst, 0, 0);
        assert_close(row->max_ratio, worst / 0.01, 0, 1e-12);
        assert_true(row->compress_s > 0);
        if (finite) {
            double psnr = 10 * log10((high - low) * (high - low) / (squares / (double)finite));
            assert_close(row->psnr_db, psnr, 1e-9, 0);
            assert_close(is_a ? a->psnr_db : b->psnr_db, psnr, 1e-9, 0); /* the NaN array adds no range and no error */
        } else {
            assert_true(isnan(row->psnr_db));
        }
        stored += row->bytes_out;
    }
    assert_int_equal(a->bytes_out + b->bytes_out, stored);
    assert_true(stored < r->file_bytes);
    swg_swz_close(swz);
    swg_archive_report_free(r);
    /* Without a check: sizes, bounds and the encoder's audit, no comparison. */
    swg_archive_opts opts = {.bound = SWG_BOUND_ABS, .value = 0.01, .source.missing = "skip", .no_check = true};
    assert_ok(ctx, swg_archive_compress(ctx, folder, path, &opts, NULL, &r));
    assert_int_equal(r->total.bytes_out, r->file_bytes);
    assert_close(r->variables[0].bound, 0.01, 0, 0);
    assert_in_range((int64_t)(1e6 * r->variables[0].max_ratio), 1, 1000000);
    assert_true(isnan(r->variables[0].psnr_db));
    assert_true(r->total.compress_s > 0 && r->total.decompress_s == 0);
    swg_archive_report_free(r);
    remove_tree(s.folder);
}

static void verdicts(void **state) {
    swg_context *ctx = *state;
    static float values[2][COUNT];
    static const char *const names[] = {"U_A", "U_B"};
    scratch s;
    scratch_open(&s);
    char folder[100], path[100], other[100];
    snprintf(folder, sizeof folder, "%s/in", s.folder);
    snprintf(path, sizeof path, "%s/x.swz", s.folder);
    snprintf(other, sizeof other, "%s/other.h5", s.folder);
    assert_int_equal(mkdir(folder, 0777), 0);
    wave(values[0], COUNT, 1);
    wave(values[1], COUNT, 2);
    make_cubes(ctx, scratch_path(&s, "in/a.h5"), names, values, 2);
    swg_archive_report *r;
    compress(ctx, folder, path, "abs:1e-3", NULL);
    assert_ok(ctx, swg_archive_verify(ctx, path, folder, NULL, NULL));
    assert_ok(ctx, swg_archive_verify(ctx, path, s.path, NULL, NULL));
    values[1][5] += 0.01f; /* exactly three values beyond the bound */
    values[1][100] = INFINITY;
    values[1][COUNT - 1] = NAN;
    make_cubes(ctx, other, names, values, 2); /* one file against one file: the name does not matter */
    assert_int_equal(swg_archive_verify(ctx, path, other, NULL, &r), SWG_EBOUND);
    assert_message(ctx, "3 values are outside the bound");
    assert_int_equal(r->total.violations, 3);
    assert_int_equal(r->variables[0].violations, 0);
    swg_archive_report_free(r);
    assert_int_equal(swg_archive_verify(ctx, path, other, NULL, NULL), SWG_EBOUND);
    make_cubes(ctx, other, names, values, 1); /* U_B is not there */
    assert_int_equal(swg_archive_verify(ctx, path, other, NULL, &r), SWG_ENOTFOUND);
    assert_null(r);
    swg_sink *sink;
    assert_ok(ctx, swg_sink_open(ctx, other, &sink));
    for (int i = 0; i < 2; i++)
        assert_ok(ctx, swg_sink_put(sink, names[i], SWG_ELEMENT_F32, 3, (int64_t[]){NX / 2, NX, 2 * NX}, values[i], NULL));
    assert_ok(ctx, swg_sink_commit(sink));
    assert_int_equal(swg_archive_verify(ctx, path, other, NULL, NULL), SWG_ESHAPE);
    assert_message(ctx, "another type or shape", "other.h5");
    make_cubes(ctx, scratch_path(&s, "in/b.h5"), names, values, 2); /* two files now: names count */
    assert_ok(ctx, swg_archive_verify(ctx, path, folder, NULL, NULL));
    swg_codec_array one = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {NX, NX, NX}, .data = values[0]};
    assert_ok(ctx, swg_codec_compress_file(ctx, &one, &(swg_codec_opts){.name = "U_A"}, path, NULL));
    assert_int_equal(swg_archive_verify(ctx, path, folder, NULL, NULL), SWG_EINVAL);
    assert_message(ctx, "2 times", "give one file");
    assert_ok(ctx, swg_archive_verify(ctx, path, s.path, NULL, NULL));
    /* A collection without members is whole, and empty. */
    write_members(ctx, path, NULL, 0);
    assert_ok(ctx, swg_archive_verify(ctx, path, NULL, NULL, &r));
    assert_int_equal(r->count, 0);
    swg_archive_report_free(r);
    assert_ok(ctx, swg_archive_restore(ctx, path, folder, true, NULL, NULL));
    assert_int_not_equal(swg_archive_verify(ctx, path, folder, NULL, NULL), SWG_ENOMEM);
    remove_tree(s.folder);
}

/* Names that mean something in a list of patterns. */
static void odd_names(void **state) {
    swg_context *ctx = *state;
    static float values[3][COUNT];
    static const char *const names[] = {"a,b", " c ", "*"};
    scratch s;
    scratch_open(&s);
    for (int i = 0; i < 3; i++)
        wave(values[i], COUNT, i + 1);
    make_cubes(ctx, scratch_path(&s, "a.h5"), names, values, 3);
    swg_archive_opts opts = {.source.vars = "*"};
    char path[100], folder[100];
    snprintf(path, sizeof path, "%s/x.swz", s.folder);
    snprintf(folder, sizeof folder, "%s/out", s.folder);
    assert_ok(ctx, swg_archive_compress(ctx, s.path, path, &opts, NULL, NULL));
    assert_ok(ctx, swg_archive_verify(ctx, path, s.path, NULL, NULL));
    assert_ok(ctx, swg_archive_restore(ctx, path, folder, true, NULL, NULL));
    assert_ok(ctx, swg_archive_verify(ctx, path, scratch_path(&s, "out/a.h5"), NULL, NULL));
    assert_int_equal(swg_archive_restore(ctx, path, folder, false, NULL, NULL), SWG_EINVAL); /* what stands there is kept */
    assert_non_null(strstr(swg_context_message(ctx), "--force"));
    remove_tree(s.folder);
}

/* ---- hooks ---- */

typedef struct watch {
    volatile sig_atomic_t stop;
    int64_t seen, stop_at, total;
} watch;

static void on_progress(void *user, int64_t done, int64_t total, const char *source, const char *variable) {
    watch *w = user;
    assert_non_null(source);
    assert_int_equal(strncmp(variable, "U_", 2), 0);
    assert_int_equal(done, w->seen++);
    w->total = total;
    if (w->seen == w->stop_at)
        w->stop = 1;
}

static void hooks(void **state) {
    swg_context *ctx = *state;
    static float values[3][COUNT];
    static const char *const names[] = {"U_A", "U_B", "U_C"};
    char input[100], path[100], folder[100];
    scratch s;
    scratch_open(&s);
    snprintf(input, sizeof input, "%s/a.h5", s.folder);
    snprintf(path, sizeof path, "%s/x.swz", s.folder);
    snprintf(folder, sizeof folder, "%s/out", s.folder);
    for (int i = 0; i < 3; i++)
        wave(values[i], COUNT, i + 1);
    make_cubes(ctx, input, names, values, 3);
    for (int64_t stop_at = 0; stop_at <= 6; stop_at++) { /* 0: never */
        watch w = {.stop_at = stop_at};
        swg_archive_hooks h = {.progress = on_progress, .stop = &w.stop, .user = &w};
        swg_archive_report *r;
        swg_status status = swg_archive_compress(ctx, input, path, &(swg_archive_opts){0}, &h, &r);
        assert_int_equal(status, stop_at ? SWG_EINTERRUPTED : SWG_OK);
        assert_int_equal(w.seen, stop_at ? stop_at : 6);
        assert_int_equal(w.total, 6);
        assert_int_equal(r != NULL, !stop_at);
        /* Of the first, complete round; and what is complete of this one, with its journal. */
        size_t files = files_in(ctx, s.folder);
        assert_true(files == 2 || (files == 4 && stop_at > 1));
        assert_true(files == 4 || stop_at < 4);
        if (files == 4) { /* goes on there */
            assert_ok(ctx, swg_archive_compress(ctx, input, path, &(swg_archive_opts){0}, NULL, NULL));
            assert_int_equal(files_in(ctx, s.folder), 2);
        }
        swg_archive_report_free(r);
    }
    for (int64_t stop_at = 0; stop_at <= 3; stop_at++) {
        watch w = {.stop_at = stop_at};
        swg_archive_hooks h = {.progress = on_progress, .stop = &w.stop, .user = &w};
        assert_int_equal(swg_archive_verify(ctx, path, input, &h, NULL), stop_at ? SWG_EINTERRUPTED : SWG_OK);
        assert_int_equal(w.seen, stop_at ? stop_at : 3);
        w = (watch){.stop_at = stop_at};
        assert_int_equal(swg_archive_restore(ctx, path, folder, true, &h, NULL), stop_at ? SWG_EINTERRUPTED : SWG_OK);
        assert_int_equal(w.seen, stop_at ? stop_at : 3);
        assert_int_equal(files_in(ctx, folder), !stop_at);
        remove_tree(folder);
    }
    remove_tree(s.folder);
}

/* ---- a failing allocation anywhere ---- */

#ifndef __SANITIZE_THREAD__ /* a thousand contexts of one thread: slow there, and nothing to find */

static void train_model(swg_context *ctx, const char *folder, const char *data) {
    char dir[400], path[400];
    snprintf(dir, sizeof dir, "run.dir=%s", folder);
    snprintf(path, sizeof path, "data.path=%s", data);
    const char *const overrides[] = {dir, path, "run.name=run", "trainer.max_epochs=1", "model.hidden=[8]", "model.latent=2", "loss.directions=2",
                                     "data.batch_size=16"};
    swg_config *config;
    swg_train_result result;
    assert_ok(ctx, swg_config_open(ctx, "codec/swae-mlp",
                                   &(swg_config_opts){.overrides = overrides, .override_count = sizeof overrides / sizeof overrides[0]}, &config));
    assert_ok(ctx, swg_train(ctx, config, NULL, &result));
    swg_config_close(config);
}

enum { STEPS = 4 };

/* One step of a life; what it needs is there already. */
static swg_status live(swg_context *ctx, int step, const char *folder) {
    char input[100], path[100], out[100], run[100];
    snprintf(input, sizeof input, "%s/a.h5", folder);
    snprintf(path, sizeof path, "%s/x.swz", folder);
    snprintf(out, sizeof out, "%s/out", folder);
    snprintf(run, sizeof run, "%s/run", folder);
    swg_archive_opts opts = {.bound = SWG_BOUND_ABS, .value = 1e-3, .without = 1u << SWG_MODE_STENCIL | 1u << SWG_MODE_PLANES};
    swg_archive_report *r = NULL;
    swg_status status = SWG_OK;
    if (step == 0) {
        status = swg_model_open(ctx, run, &opts.model);
        if (status == SWG_OK)
            status = swg_archive_compress(ctx, input, path, &opts, NULL, &r);
        swg_model_close(opts.model);
    } else if (step == 1) {
        status = swg_archive_restore(ctx, path, out, true, NULL, &r);
    } else {
        status = swg_archive_verify(ctx, path, input, NULL, &r);
        if (status == SWG_OK && step == 3) {
            snprintf(out, sizeof out, "%s/r.html", folder);
            status = swg_archive_html(ctx, out, path, input, run, r, 2);
        }
    }
    swg_archive_report_free(r);
    return status;
}

static void allocation_fails(void **state) {
    (void)state;
    static float values[2][COUNT];
    static const char *const names[] = {"U_A", "U_B"};
    swg_context *ctx;
    scratch s;
    scratch_open(&s);
    assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1}, &ctx), SWG_OK);
    wave(values[0], COUNT, 1);
    wave(values[1], COUNT, 2);
    make_cubes(ctx, scratch_path(&s, "a.h5"), names, values, 2);
    train_model(ctx, s.folder, s.path);
    for (int step = 0; step < STEPS; step++)
        assert_ok(ctx, live(ctx, step, s.folder));
    size_t files = files_in(ctx, s.folder);
    char out[100];
    snprintf(out, sizeof out, "%s/out", s.folder);
    for (int step = 0; step < STEPS; step++) {
        bool done = false;
        int64_t refused = 0;
        for (int64_t n = 0; !done; n += TESTING_SLOW ? 7 : 1) {
            testing_allocator t = {.fail_at = n};
            swg_context *poor;
            if (swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &t}}, &poor) != SWG_OK)
                continue;
            swg_status status = live(poor, step, s.folder);
            if (status != SWG_OK && status != SWG_ENOMEM)
                fail_msg("step %d, allocation %lld: %s: %s", step, (long long)n, swg_status_name(status), swg_context_message(poor));
            done = t.calls <= n;
            refused += status == SWG_ENOMEM;
            if (done)
                assert_int_equal(status, SWG_OK);
            swg_context_close(poor);
            if (t.live)
                fail_msg("step %d, allocation %lld: %lld blocks were not released", step, (long long)n, (long long)t.live);
            size_t left = files_in(ctx, s.folder); /* the job can go on, or nothing of it is there */
            assert_true(left == files || (step == 0 && left == files + 2));
            unlink(scratch_path(&s, "x.swz.partial"));
            unlink(scratch_path(&s, "x.swz.partial.journal"));
            assert_int_equal(files_in(ctx, s.folder), files);
            assert_int_equal(files_in(ctx, out), 1);
        }
        assert_true(refused > (TESTING_SLOW ? 2 : 10));
    }
    remove_tree(s.folder);
    swg_context_close(ctx);
}

#endif

/* ---- training codec models ---- */

static volatile sig_atomic_t stop_now;

static void stop_at_third(void *user, int64_t done, int64_t total, const char *source, const char *variable) {
    (void)user, (void)total, (void)source, (void)variable;
    stop_now = done >= 200; /* a hundred parts of each variable */
}

/* Stopped in the third variable: the first two are in the file and in the set; the same call goes on to the set of an uninterrupted one. */
static void training_stops_and_goes_on(void **state) {
    swg_context *ctx = *state;
    scratch s;
    char path[320];
    scratch_open(&s);
    strcpy(path, scratch_path(&s, "m.swm"));
    const char *const input = SWG_SOURCE_DIR "/samples/bssn";
    const swg_archive_opts opts = {.bound = SWG_BOUND_REL, .value = 1e-2, .source = {.vars = "U_GT*,U_CHI"}};
    const swg_archive_train_opts how = {.kinds = "law", .save = path};
    swg_codec_model *whole, *parts, *saved;
    swg_archive_training *t;
    assert_ok(ctx, swg_codec_model_new(ctx, &whole));
    assert_ok(ctx, swg_archive_train(ctx, input, &opts, &(swg_archive_train_opts){.kinds = "law"}, NULL, whole, &t));
    assert_int_equal(t->count, 4);
    for (int64_t i = 0; i < t->count; i++) {
        assert_int_equal(t->rows[i].trained, 3);
        assert_int_equal(t->rows[i].tested, 1);
        assert_true(t->rows[i].held_out);
        assert_true(t->rows[i].bytes_with <= t->rows[i].bytes_without && t->rows[i].bytes_with > 0);
        assert_int_equal(t->rows[i].model_bytes, 424);
    }
    swg_archive_training_free(t);
    assert_int_equal(swg_codec_model_count(whole), 5); /* one of all variables together */
    assert_ok(ctx, swg_codec_model_new(ctx, &parts));
    stop_now = 0;
    const swg_archive_hooks hooks = {.progress = stop_at_third, .stop = &stop_now};
    assert_int_equal(swg_archive_train(ctx, input, &opts, &how, &hooks, parts, &t), SWG_EINTERRUPTED);
    assert_null(t);
    swg_codec_model_free(ctx, parts);
    assert_ok(ctx, swg_codec_model_load(ctx, path, &saved));
    assert_int_equal(swg_codec_model_count(saved), 3);
    assert_ok(ctx, swg_archive_train(ctx, input, &opts, &how, NULL, saved, &t));
    assert_int_equal(t->rows[0].trained, 0); /* was there */
    assert_int_equal(t->rows[3].trained, 3);
    swg_archive_training_free(t);
    assert_int_equal(swg_codec_model_count(saved), 5);
    for (int i = 0; i < 5; i++) {
        uint8_t sha[2][32];
        size_t bytes;
        (void)swg_codec_model_blob(whole, i, &bytes, sha[0]);
        (void)swg_codec_model_blob(saved, i, &bytes, sha[1]);
        assert_memory_equal(sha[0], sha[1], 32);
    }
    swg_codec_model_free(ctx, saved);
    swg_codec_model_free(ctx, whole);
    scratch_close(&s, ctx, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(facts, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(training_stops_and_goes_on, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(sources, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(bounds, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(stays_in_the_folder, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(restores_foreign_streams, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(sums, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(verdicts, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(odd_names, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(hooks, testing_open, testing_close),
#ifndef __SANITIZE_THREAD__
        cmocka_unit_test(allocation_fails),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
