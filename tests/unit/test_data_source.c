/* test_data_source.c - proves: HDF5 files of the three layouts are listed and read back bit for bit in either precision and byte
 * order; every unusable file is refused with a message that names what is wrong; the sink leaves a whole file or none.
 * SPDX-License-Identifier: Apache-2.0 */
#include <hdf5.h>
#include <signal.h>
#include <sys/resource.h>
#include "scratch.h"
#include "swage/data.h"

/* ---- making files ---- */

struct field {
    const char *path;
    swg_element element;
    int ndim;
    int64_t dims[5];
};

/* A file of the given arrays, filled with 0.25 i + number of the array; time < 0: no time. */
static void make_file(swg_context *ctx, const char *path, const struct field *fields, int count, double time, const swg_sink_opts *opts) {
    swg_sink *sink;
    assert_ok(ctx, swg_sink_open(ctx, path, &sink));
    for (int f = 0; f < count; f++) {
        int64_t n = 1;
        for (int i = 0; i < fields[f].ndim; i++)
            n *= fields[f].dims[i];
        double *wide = calloc((size_t)n + 1, sizeof *wide);
        float *narrow = calloc((size_t)n + 1, sizeof *narrow);
        int32_t *whole = calloc((size_t)n + 1, sizeof *whole);
        for (int64_t i = 0; i < n; i++) {
            wide[i] = 0.25 * (double)i + f;
            narrow[i] = (float)wide[i];
            whole[i] = (int32_t)i;
        }
        const void *data = fields[f].element == SWG_ELEMENT_F32 ? (void *)narrow : fields[f].element == SWG_ELEMENT_F64 ? (void *)wide : (void *)whole;
        assert_ok(ctx, swg_sink_put(sink, fields[f].path, fields[f].element, fields[f].ndim, fields[f].dims, data, opts));
        free(whole);
        free(narrow);
        free(wide);
    }
    if (time >= 0)
        assert_ok(ctx, swg_sink_number(sink, "/", "time", time));
    assert_ok(ctx, swg_sink_commit(sink));
}

static const swg_sink_opts deflated = {.deflate = 4}, big = {.big_endian = true}, big_deflated = {.deflate = 1, .big_endian = true};

#define GRID(path) {path, SWG_ELEMENT_F32, 3, {4, 5, 6}}

/* Opening must fail with this status and these words. */
#define refuse(ctx, path, opts, status, ...)                              \
    do {                                                                  \
        swg_source *refused;                                              \
        assert_int_equal(swg_source_open(ctx, path, opts, &refused), status); \
        assert_null(refused);                                             \
        assert_message(ctx, __VA_ARGS__);                                 \
    } while (0)

/* ---- reading ---- */

static void reads_grids(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    const struct field fields[] = {{"U_K", SWG_ELEMENT_F32, 3, {4, 5, 6}}, {"deep/er/U_CHI", SWG_ELEMENT_F64, 3, {4, 5, 6}},
                                   {"mesh/level", SWG_ELEMENT_I32, 1, {7}}, {"C_HAM", SWG_ELEMENT_F32, 3, {4, 5, 6}}};
    static const swg_sink_opts *const ways[] = {NULL, &deflated, &big, &big_deflated};
    for (int w = 0; w < 4; w++) {
        make_file(ctx, scratch_path(&s, "a.h5"), fields, 4, 2.5, ways[w]);
        swg_source *source;
        assert_ok(ctx, swg_source_open(ctx, s.path, NULL, &source));
        assert_int_equal(swg_source_count(source), 2);
        assert_int_equal(swg_source_files(source), 1);
        assert_int_equal(swg_source_variables(source), 2);
        assert_null(swg_source_array(source, 2));
        assert_null(swg_source_array(source, -1));
        const swg_array *k = swg_source_array(source, 0), *chi = swg_source_array(source, 1);
        assert_string_equal(k->variable, "U_K");
        assert_string_equal(chi->variable, "U_CHI");
        assert_string_equal(chi->path, "deep/er/U_CHI");
        assert_string_equal(swg_source_variable(source, chi->variable_index), "U_CHI");
        assert_string_equal(swg_source_file(source, 0), s.path);
        assert_int_equal(k->layout, SWG_LAYOUT_GRID);
        assert_int_equal(k->element, SWG_ELEMENT_F32);
        assert_int_equal(chi->element, SWG_ELEMENT_F64);
        assert_int_equal(k->big_endian, w >= 2);
        assert_int_equal(k->ndim, 3);
        assert_int_equal(k->dims[0] * 100 + k->dims[1] * 10 + k->dims[2], 456);
        assert_int_equal(k->count, 120);
        assert_true(k->has_time);
        assert_close(k->time, 2.5, 0, 0);
        float narrow[120];
        double wide[120];
        assert_ok(ctx, swg_source_read(source, 0, narrow));
        assert_ok(ctx, swg_source_read(source, 1, wide));
        for (int i = 0; i < 120; i++) {
            assert_close((double)narrow[i], 0.25 * i, 0, 0);
            assert_close(wide[i], 0.25 * i + 1, 0, 0);
        }
        assert_int_equal(swg_source_read(source, 2, wide), SWG_EINVAL);
        swg_source_close(source);
    }
    swg_source *source;
    assert_ok(ctx, swg_source_open(ctx, s.path, &(swg_source_opts){.vars = "*"}, &source)); /* mesh/level is stepped over */
    assert_int_equal(swg_source_count(source), 3);
    swg_source_close(source);
    assert_ok(ctx, swg_source_open(ctx, s.path, &(swg_source_opts){.vars = "C_?AM , U_K", .layout = "grid"}, &source));
    assert_int_equal(swg_source_count(source), 2);
    assert_string_equal(swg_source_array(source, 0)->variable, "C_HAM");
    swg_source_close(source);
    scratch_close(&s, ctx, 1);
}

static void reads_vars(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    static const char *const names[] = {"U_K", "C_HAM", "U_ALPHA"};
    float data[3][2][27];
    for (int i = 0; i < 162; i++)
        (&data[0][0][0])[i] = (float)i;
    swg_sink *sink;
    assert_ok(ctx, swg_sink_open(ctx, scratch_path(&s, "v.hdf5"), &sink));
    assert_ok(ctx, swg_sink_put(sink, "var_data", SWG_ELEMENT_F32, 5, (int64_t[]){3, 2, 3, 3, 3}, data, &deflated));
    assert_ok(ctx, swg_sink_put_names(sink, "vars", names, 3));
    assert_ok(ctx, swg_sink_number(sink, "/", "time", 1));
    assert_ok(ctx, swg_sink_number(sink, "var_data", "time", 9)); /* the dataset's own time wins */
    assert_ok(ctx, swg_sink_commit(sink));
    swg_source *source;
    assert_ok(ctx, swg_source_open(ctx, s.path, NULL, &source));
    assert_int_equal(swg_source_count(source), 2);
    const swg_array *alpha = swg_source_array(source, 1);
    assert_string_equal(alpha->variable, "U_ALPHA");
    assert_int_equal(alpha->layout, SWG_LAYOUT_VARS);
    assert_int_equal(alpha->ndim, 4);
    assert_int_equal(alpha->dims[0], 2);
    assert_int_equal(alpha->dims[3], 3);
    assert_close(alpha->time, 9, 0, 0);
    float got[54];
    assert_ok(ctx, swg_source_read(source, 1, got));
    assert_memory_equal(got, data[2], sizeof got);
    assert_ok(ctx, swg_source_read(source, 0, got));
    assert_memory_equal(got, data[0], sizeof got);
    swg_source_close(source);
    scratch_close(&s, ctx, 1);
}

/* Names of variable length, as h5py writes them, and names padded with spaces, as Fortran does. */
static void reads_foreign_names(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    for (int padded = 0; padded < 2; padded++) {
        hid_t file = H5Fcreate(scratch_path(&s, "n.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
        hid_t type = H5Tcopy(H5T_C_S1), one = H5Screate_simple(1, &(hsize_t){2}, NULL);
        H5Tset_size(type, padded ? 8 : H5T_VARIABLE);
        H5Tset_strpad(type, padded ? H5T_STR_SPACEPAD : H5T_STR_NULLTERM);
        hid_t vars = H5Dcreate2(file, "vars", type, one, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        const char *const strings[] = {"U_K", "U_CHI"};
        assert_true(H5Dwrite(vars, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, padded ? (const void *)"U_K     U_CHI   " : strings) >= 0);
        hid_t five = H5Screate_simple(5, (hsize_t[]){2, 1, 3, 3, 3}, NULL);
        hid_t data = H5Dcreate2(file, "var_data", H5T_IEEE_F64BE, five, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        double values[54];
        for (int i = 0; i < 54; i++)
            values[i] = i / 7.0;
        assert_true(H5Dwrite(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
        H5Dclose(data), H5Sclose(five), H5Dclose(vars), H5Sclose(one), H5Tclose(type), H5Fclose(file);
        swg_source *source;
        assert_ok(ctx, swg_source_open(ctx, s.path, NULL, &source));
        assert_string_equal(swg_source_array(source, 1)->variable, "U_CHI");
        assert_false(swg_source_array(source, 1)->has_time);
        double got[27];
        assert_ok(ctx, swg_source_read(source, 1, got));
        assert_memory_equal(got, values + 27, sizeof got);
        swg_source_close(source);
    }
    scratch_close(&s, ctx, 1);
}

static void reads_folders(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    const struct field both[] = {GRID("U_A"), GRID("U_B")}, blocks[] = {{"U_A", SWG_ELEMENT_F32, 4, {2, 7, 7, 7}}, {"U_B", SWG_ELEMENT_F32, 4, {3, 7, 7, 7}}};
    refuse(ctx, s.folder, NULL, SWG_ENOTFOUND, s.folder, "no *.h5 or *.hdf5");
    make_file(ctx, scratch_path(&s, "b.h5"), both, 2, 3, NULL);
    make_file(ctx, scratch_path(&s, "a.hdf5"), both, 2, 1, NULL);
    make_file(ctx, scratch_path(&s, "B.h5"), blocks, 2, 2, NULL); /* a layout of its own is fine in a file of its own */
    assert_ok(ctx, swg__file_write(ctx, scratch_path(&s, "notes.txt"), "x", 1));
    swg_source *source;
    assert_ok(ctx, swg_source_open(ctx, s.folder, NULL, &source));
    assert_int_equal(swg_source_files(source), 3);
    assert_int_equal(swg_source_count(source), 6);
    assert_int_equal(swg_source_variables(source), 2);
    static const double times[] = {2, 2, 1, 1, 3, 3}; /* B.h5, a.hdf5, b.h5: sorted by bytes */
    float values[3 * 343];
    for (int i = 0; i < 6; i++) {
        assert_close(swg_source_array(source, i)->time, times[i], 0, 0);
        assert_int_equal(swg_source_array(source, i)->file_index, i / 2);
        assert_ok(ctx, swg_source_read(source, i, values));
        assert_close((double)values[1], 0.25 + i % 2, 0, 0);
    }
    assert_int_equal(swg_source_array(source, 0)->layout, SWG_LAYOUT_BLOCKS);
    swg_source_close(source);
    /* A fourth file lacks U_B. */
    make_file(ctx, scratch_path(&s, "c.h5"), both, 1, 4, NULL);
    refuse(ctx, s.folder, NULL, SWG_ENOTFOUND, "c.h5", "U_B", "missing", "data.missing=skip");
    assert_ok(ctx, swg_source_open(ctx, s.folder, &(swg_source_opts){.missing = "skip"}, &source));
    assert_int_equal(swg_source_count(source), 7);
    swg_source_close(source);
    refuse(ctx, s.folder, (&(swg_source_opts){.layout = "grid", .vars = "U_A"}), SWG_ENOTFOUND, "B.h5", "U_A");
    assert_ok(ctx, swg_source_open(ctx, s.folder, &(swg_source_opts){.layout = "grid", .vars = "U_A", .missing = "skip"}, &source));
    assert_int_equal(swg_source_count(source), 3);
    swg_source_close(source);
    scratch_close(&s, ctx, 5);
}

/* ---- bad input ---- */

static void refuses_files(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    refuse(ctx, "", NULL, SWG_EINVAL, "data.path");
    refuse(ctx, scratch_path(&s, "nowhere.h5"), NULL, SWG_ENOTFOUND, "nowhere.h5", "no such file");
    assert_ok(ctx, swg__file_write(ctx, scratch_path(&s, "text.h5"), "not at all HDF5, but long enough to be looked at", 48));
    refuse(ctx, s.path, NULL, SWG_EFORMAT, "text.h5", "cannot open as HDF5", "signature", "var_data");
    const struct field grid[] = {GRID("U_A"), GRID("density")};
    make_file(ctx, scratch_path(&s, "good.h5"), grid, 2, 0, NULL);
    refuse(ctx, s.path, &(swg_source_opts){.layout = "cubes"}, SWG_EINVAL, "data.layout=cubes", "vars, blocks or grid");
    refuse(ctx, s.path, &(swg_source_opts){.missing = "never"}, SWG_EINVAL, "data.missing=never");
    refuse(ctx, s.path, &(swg_source_opts){.vars = "U_A,,U_B"}, SWG_EINVAL, "empty pattern");
    refuse(ctx, s.path, &(swg_source_opts){.vars = "U_A,U_phi"}, SWG_ENOTFOUND, "good.h5", "U_phi", "present: U_A, density");
    refuse(ctx, s.path, &(swg_source_opts){.layout = "vars"}, SWG_ENOTFOUND, "good.h5", "U_*", "present: U_A");
    /* Half of it: the reason is HDF5's own. */
    uint8_t *bytes;
    size_t count;
    assert_ok(ctx, swg__file_read(ctx, s.path, &bytes, &count));
    assert_ok(ctx, swg__file_write(ctx, scratch_path(&s, "half.h5"), bytes, count / 2));
    swg__free(ctx, bytes);
    refuse(ctx, s.path, NULL, SWG_EFORMAT, "half.h5", "truncated file");
    scratch_close(&s, ctx, 3);
}

static void refuses_contents(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    static const struct {
        struct field fields[3];
        int count;
        const char *vars, *layout;
        swg_status status;
        const char *words[3];
    } cases[] = {
        {{{"mesh/x", SWG_ELEMENT_F32, 1, {9}}, {"n", SWG_ELEMENT_I32, 2, {2, 3}}}, 2, NULL, NULL, SWG_EFORMAT,
         {"no usable dataset", "mesh/x (9) f32", "n (2, 3) integer of 4 bytes"}},
        {{{"x", SWG_ELEMENT_F32, 1, {9}}}, 0, NULL, NULL, SWG_EFORMAT, {"no usable dataset", "holds no dataset", ".h5"}},
        {{GRID("rho")}, 1, NULL, NULL, SWG_ENOTFOUND, {"nothing matches \"U_*\"", "present: rho", ".h5"}},
        {{GRID("U_A"), {"U_K", SWG_ELEMENT_I32, 3, {4, 4, 4}}}, 2, NULL, NULL, SWG_EDTYPE, {"\"U_K\"", "integer of 4 bytes", "f32 and f64"}},
        {{{"U_K", SWG_ELEMENT_F32, 2, {4, 4}}}, 1, NULL, NULL, SWG_ESHAPE, {"\"U_K\"", "2 axes (4, 4)", "expected 3"}},
        {{GRID("U_A"), {"U_K", SWG_ELEMENT_F32, 1, {4}}}, 2, "U_A,U_K", NULL, SWG_ESHAPE, {"\"U_K\"", "1 axes (4)", "expected 3"}},
        {{{"U_K", SWG_ELEMENT_F32, 5, {1, 2, 7, 7, 7}}}, 1, NULL, NULL, SWG_ESHAPE, {"\"U_K\"", "5 axes", "(1, 2, 7, 7, 7)"}},
        {{{"U_K", SWG_ELEMENT_F32, 4, {2, 7, 7, 5}}}, 1, NULL, NULL, SWG_ESHAPE, {"\"U_K\"", "(2, 7, 7, 5)", "must be equal"}},
        {{{"U_K", SWG_ELEMENT_F32, 4, {2, 12, 12, 12}}}, 1, "*", NULL, SWG_ESHAPE, {"\"U_K\"", "3..9", "must be equal"}},
        {{{"U_K", SWG_ELEMENT_F32, 4, {0, 7, 7, 7}}}, 1, NULL, NULL, SWG_ESHAPE, {"\"U_K\"", "empty", "0 blocks"}},
        {{{"U_K", SWG_ELEMENT_F32, 3, {3, 0, 3}}}, 1, NULL, NULL, SWG_ESHAPE, {"\"U_K\"", "empty", "(3, 0, 3)"}},
        {{GRID("U_A"), {"U_B", SWG_ELEMENT_F32, 4, {2, 7, 7, 7}}}, 2, NULL, NULL, SWG_EFORMAT, {"two layouts", "U_A", "data.layout=grid"}},
        {{GRID("one/U_A"), GRID("two/U_A")}, 2, NULL, NULL, SWG_EFORMAT, {"twice", "one/U_A", "two/U_A"}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        make_file(ctx, scratch_path(&s, "bad.h5"), cases[c].fields, cases[c].count, 0, NULL);
        swg_source_opts opts = {.vars = cases[c].vars, .layout = cases[c].layout};
        refuse(ctx, s.path, &opts, cases[c].status, "bad.h5", cases[c].words[0], cases[c].words[1], cases[c].words[2]);
    }
    /* Two layouts are two choices once data.layout is set. */
    const struct field two[] = {GRID("U_A"), {"U_B", SWG_ELEMENT_F64, 4, {2, 7, 7, 7}}};
    make_file(ctx, s.path, two, 2, 0, NULL);
    static const char *const words[] = {"grid", "blocks"};
    for (int i = 0; i < 2; i++) {
        swg_source *source;
        assert_ok(ctx, swg_source_open(ctx, s.path, &(swg_source_opts){.layout = words[i]}, &source));
        assert_int_equal(swg_source_count(source), 1);
        assert_string_equal(swg_source_array(source, 0)->variable, i ? "U_B" : "U_A");
        swg_source_close(source);
    }
    scratch_close(&s, ctx, 1);
}

static void refuses_vars(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    static const float zeros[5000] = {0};
    static const struct {
        int names, ndim;
        int64_t dims[5];
        const char *first, *second; /* names */
        swg_element element;
        swg_status status;
        const char *words[2];
    } cases[] = {
        {2, 5, {3, 2, 7, 7, 7}, "U_A", "U_B", SWG_ELEMENT_F32, SWG_ESHAPE, {"names 2 variables", "(3, 2, 7, 7, 7)"}},
        {2, 5, {2, 2, 7, 7, 5}, "U_A", "U_B", SWG_ELEMENT_F32, SWG_ESHAPE, {"(2, 2, 7, 7, 5)", "variables, blocks, n, n, n"}},
        {2, 4, {2, 7, 7, 7}, "U_A", "U_B", SWG_ELEMENT_F32, SWG_ESHAPE, {"var_data", "(2, 7, 7, 7)"}},
        {2, 5, {2, 0, 7, 7, 7}, "U_A", "U_B", SWG_ELEMENT_F32, SWG_ESHAPE, {"var_data", "0 blocks"}},
        {2, 5, {2, 2, 7, 7, 7}, "U_A", "U_A", SWG_ELEMENT_F32, SWG_EFORMAT, {"U_A", "twice"}},
        {2, 5, {2, 2, 7, 7, 7}, "U_A", "", SWG_ELEMENT_F32, SWG_EFORMAT, {"entry 1", "empty"}},
        {2, 5, {2, 2, 7, 7, 7}, "U_A", "U_B", SWG_ELEMENT_I32, SWG_EDTYPE, {"var_data", "integer"}},
        {2, 5, {2, 2, 7, 7, 7}, "alpha", "beta", SWG_ELEMENT_F32, SWG_ENOTFOUND, {"U_*", "present: alpha, beta"}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        swg_sink *sink;
        assert_ok(ctx, swg_sink_open(ctx, scratch_path(&s, "bad.h5"), &sink));
        assert_ok(ctx, swg_sink_put(sink, "var_data", cases[c].element, cases[c].ndim, cases[c].dims, zeros, NULL));
        assert_ok(ctx, swg_sink_put_names(sink, "vars", (const char *const[]){cases[c].first, cases[c].second}, cases[c].names));
        assert_ok(ctx, swg_sink_commit(sink));
        refuse(ctx, s.path, NULL, cases[c].status, "bad.h5", cases[c].words[0], cases[c].words[1]);
    }
    /* vars that is no list of names; and vars + var_data beside a grid. */
    swg_sink *sink;
    assert_ok(ctx, swg_sink_open(ctx, s.path, &sink));
    assert_ok(ctx, swg_sink_put(sink, "var_data", SWG_ELEMENT_F32, 5, (int64_t[]){2, 2, 7, 7, 7}, zeros, NULL));
    assert_ok(ctx, swg_sink_put(sink, "vars", SWG_ELEMENT_F32, 1, (int64_t[]){2}, zeros, NULL));
    assert_ok(ctx, swg_sink_commit(sink));
    refuse(ctx, s.path, NULL, SWG_EFORMAT, "\"vars\"", "one string per variable");
    assert_ok(ctx, swg_sink_open(ctx, s.path, &sink));
    assert_ok(ctx, swg_sink_put(sink, "var_data", SWG_ELEMENT_F32, 5, (int64_t[]){2, 2, 7, 7, 7}, zeros, NULL));
    assert_ok(ctx, swg_sink_put_names(sink, "vars", (const char *const[]){"U_A", "U_B"}, 2));
    assert_ok(ctx, swg_sink_put(sink, "U_A", SWG_ELEMENT_F32, 3, (int64_t[]){2, 2, 2}, zeros, NULL));
    assert_ok(ctx, swg_sink_commit(sink));
    refuse(ctx, s.path, NULL, SWG_EFORMAT, "two layouts", "var_data", "data.layout=vars");
    scratch_close(&s, ctx, 1);
}

/* A file damaged inside its data, and one exchanged while it was open. */
static void refuses_reads(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    const struct field grid[] = {{"U_A", SWG_ELEMENT_F32, 3, {64, 64, 64}}}, other[] = {{"U_A", SWG_ELEMENT_F32, 3, {64, 64, 65}}};
    make_file(ctx, scratch_path(&s, "a.h5"), grid, 1, 0, &deflated);
    uint8_t *bytes;
    size_t count;
    assert_ok(ctx, swg__file_read(ctx, s.path, &bytes, &count));
    memset(bytes + count / 2, 0x5a, 200); /* in the middle of the one chunk */
    assert_ok(ctx, swg__file_write(ctx, s.path, bytes, count));
    swg__free(ctx, bytes);
    swg_source *source;
    static float values[64 * 64 * 65];
    assert_ok(ctx, swg_source_open(ctx, s.path, NULL, &source));
    assert_int_equal(swg_source_read(source, 0, values), SWG_EIO);
    assert_message(ctx, "a.h5", "\"U_A\"", "inflate");
    swg_source_close(source);
    make_file(ctx, s.path, grid, 1, 0, NULL);
    assert_ok(ctx, swg_source_open(ctx, s.path, NULL, &source));
    make_file(ctx, s.path, other, 1, 0, NULL);
    assert_int_equal(swg_source_read(source, 0, values), SWG_EIO);
    assert_message(ctx, "a.h5", "changed");
    swg_source_close(source);
    assert_ok(ctx, swg_source_open(ctx, s.path, NULL, &source));
    unlink(s.path);
    assert_int_equal(swg_source_read(source, 0, values), SWG_ENOTFOUND);
    swg_source_close(source);
    scratch_close(&s, ctx, 0);
}

/* ---- the sink ---- */

static void sink_writes_attributes(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    swg_sink *sink;
    assert_ok(ctx, swg_sink_open(ctx, scratch_path(&s, "w.h5"), &sink));
    assert_ok(ctx, swg_sink_put(sink, "U_K/block_flag", SWG_ELEMENT_U8, 1, (int64_t[]){3}, (uint8_t[]){0, 1, 2}, &deflated));
    assert_ok(ctx, swg_sink_put(sink, "U_K/block_scale_exp", SWG_ELEMENT_I8, 1, (int64_t[]){3}, (int8_t[]){-3, 0, 9}, NULL));
    assert_ok(ctx, swg_sink_put(sink, "U_K/raw", SWG_ELEMENT_F64, 2, (int64_t[]){0, 125}, NULL, &deflated)); /* no raw blocks */
    assert_ok(ctx, swg_sink_text(sink, "/", "model_arch", "swae/mlp"));
    assert_ok(ctx, swg_sink_number(sink, "U_K", "psnr", 61.5));
    assert_ok(ctx, swg_sink_integers(sink, "new_group", "shape", (int64_t[]){32, 64, 96}, 3));
    assert_int_equal(swg_sink_put(sink, "U_K/raw", SWG_ELEMENT_F64, 1, (int64_t[]){1}, &(double){1}, NULL), SWG_EIO);
    assert_message(ctx, "w.h5", "U_K/raw", "name already exists");
    assert_int_equal(swg_sink_put(sink, "x", SWG_ELEMENT_F64, 9, (int64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1}, &(double){1}, NULL), SWG_EINVAL);
    assert_int_equal(swg_sink_put(sink, "x", SWG_ELEMENT_F64, 1, (int64_t[]){-1}, &(double){1}, NULL), SWG_EINVAL);
    assert_int_equal(swg_sink_put(sink, "x", SWG_ELEMENT_F64, 1, (int64_t[]){1}, &(double){1}, &(swg_sink_opts){.deflate = 10}), SWG_EINVAL);
    assert_int_equal(swg_sink_put_names(sink, "none", NULL, 0), SWG_EINVAL);
    assert_int_equal(swg_sink_integers(sink, "/", "none", NULL, 0), SWG_EINVAL);
    assert_false(swg__exists(s.path)); /* nothing under the final name before the commit */
    assert_ok(ctx, swg_sink_commit(sink));
    hid_t file = H5Fopen(s.path, H5F_ACC_RDONLY, H5P_DEFAULT), attribute = H5Aopen_by_name(file, "U_K", "psnr", H5P_DEFAULT, H5P_DEFAULT);
    double psnr;
    assert_true(H5Aread(attribute, H5T_NATIVE_DOUBLE, &psnr) >= 0);
    assert_close(psnr, 61.5, 0, 0);
    H5Aclose(attribute);
    int64_t shape[3];
    attribute = H5Aopen_by_name(file, "new_group", "shape", H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Aread(attribute, H5T_NATIVE_INT64, shape) >= 0);
    assert_int_equal(shape[2], 96);
    H5Aclose(attribute);
    char text[16] = "";
    attribute = H5Aopen(file, "model_arch", H5P_DEFAULT);
    hid_t type = H5Aget_type(attribute), data = H5Dopen2(file, "U_K/block_scale_exp", H5P_DEFAULT);
    assert_true(H5Tget_size(type) <= sizeof text && H5Aread(attribute, type, text) >= 0);
    assert_string_equal(text, "swae/mlp");
    int8_t exponents[3];
    assert_true(H5Dread(data, H5T_NATIVE_INT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, exponents) >= 0);
    assert_int_equal(exponents[0], -3);
    assert_int_equal(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_FILE) > 0, 1);
    H5Dclose(data), H5Tclose(type), H5Aclose(attribute), H5Fclose(file);
    assert_int_equal(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL), 0); /* no handle of ours is left */
    scratch_close(&s, ctx, 1);
}

static void sink_is_reproducible_and_atomic(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    const struct field grid[] = {{"U_A", SWG_ELEMENT_F32, 3, {64, 64, 64}}};
    uint8_t *bytes[2];
    size_t count[2];
    for (int i = 0; i < 2; i++) {
        make_file(ctx, scratch_path(&s, "a.h5"), grid, 1, 1, &deflated);
        assert_ok(ctx, swg__file_read(ctx, s.path, &bytes[i], &count[i]));
    }
    assert_int_equal(count[0], count[1]);
    assert_memory_equal(bytes[0], bytes[1], count[0]);
    swg__free(ctx, bytes[0]);
    swg__free(ctx, bytes[1]);
    swg_sink *sink;
    assert_int_equal(swg_sink_open(ctx, "/nowhere/at/all/x.h5", &sink), SWG_ENOTFOUND);
    assert_null(sink);
    assert_message(ctx, "/nowhere/at/all/x.h5", "cannot create", "No such file");
    assert_ok(ctx, swg_sink_open(ctx, scratch_path(&s, "dropped.h5"), &sink));
    swg_sink_abort(sink);
    /* A full disk, played by a limit on the size of files: the old file stays, no half of the new one. */
    struct rlimit old, tight = {100000, 0};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    tight.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    static float values[1 << 18];
    assert_ok(ctx, swg_sink_open(ctx, scratch_path(&s, "a.h5"), &sink));
    setrlimit(RLIMIT_FSIZE, &tight);
    assert_ok(ctx, swg_sink_put(sink, "U_B", SWG_ELEMENT_F32, 1, (int64_t[]){1 << 18}, values, NULL));
    swg_status commit = swg_sink_commit(sink);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(commit, SWG_EIO);
    assert_message(ctx, "a.h5", "cannot write");
    swg_source *source;
    assert_ok(ctx, swg_source_open(ctx, s.path, NULL, &source));
    assert_string_equal(swg_source_array(source, 0)->variable, "U_A");
    swg_source_close(source);
    scratch_close(&s, ctx, 1);
}

/* ---- real data ---- */

static void check_bssn(swg_context *ctx, const char *path, const char *vars, int64_t arrays, double time, int ndim, int64_t first) {
    swg_source *source;
    assert_ok(ctx, swg_source_open(ctx, path, &(swg_source_opts){.vars = vars}, &source));
    assert_int_equal(swg_source_count(source), arrays);
    for (int64_t i = 0; i < arrays; i++) {
        const swg_array *a = swg_source_array(source, i);
        assert_true(a->has_time);
        assert_close(a->time, time, 1e-9, 0);
        assert_int_equal(a->ndim, ndim);
        assert_int_equal(a->dims[0], first);
        assert_int_equal(a->element, SWG_ELEMENT_F32);
        float *values = malloc((size_t)a->count * sizeof *values);
        assert_ok(ctx, swg_source_read(source, i, values));
        double largest = 0;
        for (int64_t v = 0; v < a->count; v++)
            largest = values[v] > largest ? (double)values[v] : -values[v] > largest ? -(double)values[v] : largest;
        if (strcmp(a->variable, "U_ALPHA") == 0)
            assert_true(largest > 0.5 && largest < 1);
        assert_true(largest > 1e-4 && largest < 2);
        free(values);
    }
    swg_source_close(source);
}

static void reads_the_samples(void **state) {
    swg_context *ctx = *state;
    static const int times[] = {1, 3, 5};
    char path[512];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/samples/bssn/bbh_q1_uniform_32_t%d.h5", SWG_SOURCE_DIR, times[i]);
        check_bssn(ctx, path, NULL, 24, times[i], 3, 32);
    }
    snprintf(path, sizeof path, "%s/samples/bssn/bbh_q1_blocks_64_t5.h5", SWG_SOURCE_DIR);
    check_bssn(ctx, path, "*", 24, 5, 4, 64);
    snprintf(path, sizeof path, "%s/samples/bssn", SWG_SOURCE_DIR);
    swg_source *source;
    assert_ok(ctx, swg_source_open(ctx, path, NULL, &source));
    assert_int_equal(swg_source_count(source), 96);
    assert_int_equal(swg_source_variables(source), 24);
    swg_source_close(source);
}

static void reads_the_large_set(void **state) {
    char path[512];
    snprintf(path, sizeof path, "%s/../shared/data/bssn/q1_blocks_t0.h5", SWG_SOURCE_DIR);
    if (!swg__exists(path)) {
        printf("             %s is absent: skipped\n", path);
        skip();
    }
    swg_context *ctx = *state;
    swg_source *source;
    assert_ok(ctx, swg_source_open(ctx, path, &(swg_source_opts){.vars = "*"}, &source));
    assert_int_equal(swg_source_count(source), 28); /* 24 variables and 4 constraints */
    assert_string_equal(swg_source_array(source, 0)->path, "U_ALPHA");
    assert_string_equal(swg_source_array(source, 27)->path, "constraints/C_MOM2");
    swg_source_close(source);
}

/* ---- memory ---- */

static void survives_failing_allocations(void **state) {
    scratch s;
    (void)state;
    scratch_open(&s);
    swg_context *ctx;
    assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1}, &ctx), SWG_OK);
    const struct field grid[] = {GRID("U_A"), GRID("g/U_B"), GRID("rho")};
    make_file(ctx, scratch_path(&s, "a.h5"), grid, 3, 1, NULL);
    swg_sink *sink;
    static const float zeros[54] = {0};
    assert_ok(ctx, swg_sink_open(ctx, scratch_path(&s, "b.h5"), &sink));
    assert_ok(ctx, swg_sink_put(sink, "var_data", SWG_ELEMENT_F32, 5, (int64_t[]){2, 1, 3, 3, 3}, zeros, NULL));
    assert_ok(ctx, swg_sink_put_names(sink, "vars", (const char *const[]){"U_A", "U_B"}, 2));
    assert_ok(ctx, swg_sink_commit(sink));
    swg_context_close(ctx);
    bool finished = false;
    for (int64_t n = 0; !finished; n++) {
        testing_allocator t = {.fail_at = n};
        swg_context_opts opts = {.threads = 1, .allocator = {testing_alloc, testing_release, &t}};
        if (swg_context_open(&opts, &ctx) != SWG_OK)
            continue;
        swg_source *source;
        swg_status status = swg_source_open(ctx, s.folder, NULL, &source);
        assert_true(status == SWG_OK || status == SWG_ENOMEM);
        if (status == SWG_OK)
            swg_source_close(source);
        swg_status written = swg_sink_open(ctx, scratch_path(&s, "c.h5"), &sink);
        if (written == SWG_OK) {
            swg_status names = swg_sink_put_names(sink, "vars", (const char *const[]){"U_A", "U_B"}, 2);
            written = swg_sink_commit(sink);
            written = names != SWG_OK ? names : written;
        }
        assert_true(written == SWG_OK || written == SWG_ENOMEM);
        finished = status == SWG_OK && written == SWG_OK && t.calls <= n;
        swg_context_close(ctx);
        assert_int_equal(t.live, 0);
        unlink(scratch_path(&s, "c.h5"));
    }
    assert_int_equal(swg_context_open(NULL, &ctx), SWG_OK);
    scratch_close(&s, ctx, 2);
    swg_context_close(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_grids, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(reads_vars, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(reads_foreign_names, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(reads_folders, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refuses_files, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refuses_contents, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refuses_vars, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refuses_reads, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(sink_writes_attributes, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(sink_is_reproducible_and_atomic, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(reads_the_samples, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(reads_the_large_set, testing_open, testing_close),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
