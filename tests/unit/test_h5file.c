/* test_h5file.c - proves: an HDF5 file compressed into HDF5 has the same objects, links, attributes, references, types and extents, its
 * arrays within the bound, the same bytes for any number of threads; it is verified, restored without the filter, and refused when it is
 * damaged; nothing is left behind by what fails.
 * SPDX-License-Identifier: Apache-2.0 */
#include <hdf5.h>
#include "codec_testing.h"
#include "data/hdf5.h"
#include "scratch.h"
#include "swage/archive.h"
#include "swage/data.h"

enum { NX = 37, NY = 29, NZ = 41, N = NZ * NY * NX };

static float field[N];
static uint8_t noise_bytes[40000];

static void put(hid_t file, const char *path, hid_t stored, hid_t native, int rank, const hsize_t *dims, const hsize_t *most, const hsize_t *chunk,
                const void *data) {
    hid_t space = H5Screate_simple(rank, dims, most), list = H5Pcreate(H5P_DATASET_CREATE);
    if (chunk)
        H5Pset_chunk(list, rank, chunk);
    if (chunk && rank == 3) {
        H5Pset_shuffle(list);
        H5Pset_deflate(list, 2);
        H5Pset_fill_value(list, H5T_NATIVE_DOUBLE, &(double){-9e9});
    }
    H5Pset_obj_track_times(list, strstr(path, "small") != NULL); /* a time of modification that must stay */
    hid_t set = H5Dcreate2(file, path, stored, space, H5P_DEFAULT, list, H5P_DEFAULT);
    assert_true(set >= 0 && (!data || H5Dwrite(set, native, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0));
    H5Dclose(set);
    H5Pclose(list);
    H5Sclose(space);
}

static void put_attribute(hid_t file, const char *object, const char *name, hid_t type, int64_t count, const void *value) {
    hid_t owner = H5Oopen(file, object, H5P_DEFAULT), space = count ? H5Screate_simple(1, &(hsize_t){(hsize_t)count}, NULL) : H5Screate(H5S_SCALAR);
    hid_t item = H5Acreate2(owner, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(item >= 0 && H5Awrite(item, type, value) >= 0);
    H5Aclose(item);
    H5Sclose(space);
    H5Oclose(owner);
}

/* One of everything. Groups and links in an order that is not that of their names. */
static void make_file(const char *path) {
    uint64_t seed = 5;
    int32_t index[3000];
    double time[700];
    for (int i = 0; i < N; i++)
        field[i] = 40 * sinf(0.002f * (float)i) + 0.01f * (float)(noise(&seed) >> 40) / 0x1p24f;
    field[17] = NAN;
    field[N / 2] = INFINITY;
    for (size_t i = 0; i < sizeof noise_bytes; i++)
        noise_bytes[i] = (uint8_t)(noise(&seed) >> 56);
    for (int i = 0; i < 3000; i++)
        index[i] = i % 777;
    for (int i = 0; i < 700; i++)
        time[i] = 0.25 * i;
    hid_t create = H5Pcreate(H5P_FILE_CREATE), text = H5Tcopy(H5T_C_S1), word = H5Tcopy(H5T_C_S1);
    H5Pset_link_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    H5Tset_size(text, H5T_VARIABLE);
    H5Tset_size(word, 16);
    hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, create, H5P_DEFAULT);
    assert_true(f >= 0);
    H5Gclose(H5Gcreate2(f, "zebra", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Gclose(H5Gcreate2(f, "apple", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    static const hsize_t grid[3] = {NZ, NY, NX}, grows[3] = {H5S_UNLIMITED, NY, NX}, chunk[3] = {5, NY, NX}, five[5] = {2, 60, 5, 5, 5}, sparse[2] = {500, 500};
    static const hsize_t piece[2] = {100, 100}, bytes[1] = {sizeof noise_bytes}, many[1] = {3000}, steps[1] = {700}, four[1] = {4}, none[2] = {0, 3};
    put(f, "zebra/field", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 3, grid, NULL, NULL, field);
    put(f, "zebra/big", H5T_IEEE_F64BE, H5T_NATIVE_FLOAT, 3, grid, grows, chunk, field);
    put(f, "apple/five", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 5, five, NULL, NULL, field);
    put(f, "apple/noise", H5T_STD_U8LE, H5T_NATIVE_UINT8, 1, bytes, NULL, NULL, noise_bytes);
    put(f, "apple/wide noise", H5T_STD_I64BE, H5T_NATIVE_UINT8, 1, bytes, NULL, NULL, noise_bytes);
    put(f, "apple/index", H5T_STD_I32BE, H5T_NATIVE_INT32, 1, many, NULL, NULL, index);
    put(f, "apple/sparse", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 2, sparse, NULL, piece, NULL);
    put(f, "apple/small", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 1, four, NULL, NULL, field);
    put(f, "apple/empty", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 2, none, (const hsize_t[]){H5S_UNLIMITED, 3}, (const hsize_t[]){8, 3}, NULL);
    put(f, "time", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 1, steps, NULL, NULL, time);
    put_attribute(f, "time", "CLASS", word, 0, "DIMENSION_SCALE");
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t pair = H5Tcreate(H5T_COMPOUND, 16), named = H5Tcopy(H5T_IEEE_F64LE), list = H5Tvlen_create(H5T_STD_REF_OBJ);
    H5Tinsert(pair, "object", 0, H5T_STD_REF_OBJ);
    H5Tinsert(pair, "axis", 8, H5T_NATIVE_INT32);
    H5Tcommit2(f, "type", named, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    put(f, "of type", named, H5T_NATIVE_DOUBLE, 1, four, NULL, NULL, time);
    struct { hobj_ref_t object; int32_t axis; } owner = {.axis = 2};
    hobj_ref_t to_field, refs[3] = {0};
    hdset_reg_ref_t region;
    H5Rcreate(&to_field, f, "zebra/field", H5R_OBJECT, -1);
    H5Rcreate(&refs[0], f, "zebra/field", H5R_OBJECT, -1);
    H5Rcreate(&refs[2], f, "apple", H5R_OBJECT, -1);
    owner.object = to_field;
    hid_t selected = H5Screate_simple(3, grid, NULL);
    H5Sselect_hyperslab(selected, H5S_SELECT_SET, (const hsize_t[]){1, 2, 3}, NULL, (const hsize_t[]){4, 5, 6}, NULL);
    H5Rcreate(&region, f, "zebra/field", H5R_DATASET_REGION, selected);
    put(f, "refs", H5T_STD_REF_OBJ, H5T_STD_REF_OBJ, 1, (const hsize_t[]){3}, NULL, NULL, refs);
    put(f, "regions", H5T_STD_REF_DSETREG, H5T_STD_REF_DSETREG, 1, (const hsize_t[]){1}, NULL, NULL, &region);
    put_attribute(f, "/", "title", text, 1, &(const char *){"one of everything"});
    put_attribute(f, "/", "points to", H5T_STD_REF_OBJ, 0, &to_field);
    put_attribute(f, "apple/small", "units", word, 0, "metre\0\0\0\0\0\0\0\0\0\0");
    put_attribute(f, "zebra/field", "units", word, 0, "kelvin\0\0\0\0\0\0\0\0\0");
    put_attribute(f, "zebra/field", "scales", list, 1, &(hvl_t){1, &refs[2]});
    put_attribute(f, "time", "used by", pair, 1, &owner);
    H5Lcreate_hard(f, "zebra/field", f, "hard", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(f, "/", f, "apple/up", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/zebra/field", f, "soft", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/nowhere", f, "dangling", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("other.h5", "/x", f, "apple/external", H5P_DEFAULT, H5P_DEFAULT);
    H5Sclose(selected);
    H5Sclose(space);
    hid_t types[] = {list, named, pair, word, text};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        H5Tclose(types[i]);
    H5Fclose(f);
    H5Pclose(create);
}

/* ---- what stands in a file, as text ---- */

static void describe_attribute_value(hid_t file, hid_t item, hid_t type, swg__text *out) {
    char name[256] = "";
    if (H5Tequal(type, H5T_STD_REF_OBJ) > 0) {
        hobj_ref_t ref;
        H5Aread(item, type, &ref);
        H5Rget_name(file, H5R_OBJECT, &ref, name, sizeof name);
        swg__text_printf(out, " -> %s", name);
    } else if (H5Tget_class(type) == H5T_VLEN) {
        hvl_t list;
        hid_t space = H5Aget_space(item);
        H5Aread(item, type, &list);
        for (size_t i = 0; i < list.len; i++) {
            H5Rget_name(file, H5R_OBJECT, (hobj_ref_t *)list.p + i, name, sizeof name);
            swg__text_printf(out, " -> [%s]", name);
        }
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, &list);
        H5Sclose(space);
    } else if (H5Tget_class(type) == H5T_COMPOUND) {
        struct { hobj_ref_t object; int32_t axis; } owner;
        H5Aread(item, type, &owner);
        H5Rget_name(file, H5R_OBJECT, &owner.object, name, sizeof name);
        swg__text_printf(out, " -> (%s, %d)", name, owner.axis);
    } else if (H5Tis_variable_str(type) > 0) {
        char *text;
        H5Aread(item, type, &text);
        swg__text_printf(out, " \"%s\"", text);
        H5free_memory(text);
    } else {
        H5Aread(item, type, name);
        swg__text_printf(out, " \"%s\"", name);
    }
}

static void describe_attributes(hid_t file, const char *path, swg__text *out) {
    hid_t object = H5Oopen(file, path, H5P_DEFAULT);
    int count = H5Aget_num_attrs(object);
    for (int i = 0; i < count; i++) {
        char name[64];
        hid_t item = H5Aopen_by_idx(object, ".", H5_INDEX_NAME, H5_ITER_INC, (hsize_t)i, H5P_DEFAULT, H5P_DEFAULT), type = H5Aget_type(item);
        H5Aget_name(item, sizeof name, name);
        swg__text_printf(out, "\n    @%s", name);
        describe_attribute_value(file, item, type, out);
        H5Tclose(type);
        H5Aclose(item);
    }
    H5Oclose(object);
}

typedef struct listing {
    hid_t file;
    swg__text *out;
} listing;

static herr_t list_link(hid_t group, const char *name, const H5L_info_t *info, void *data) {
    listing *l = data;
    char path[256];
    size_t length = (size_t)H5Iget_name(group, path, sizeof path);
    snprintf(path + length, sizeof path - length, "%s%s", length > 1 ? "/" : "", name);
    swg__text_printf(l->out, "\n%s", path);
    if (info->type != H5L_TYPE_HARD) {
        char value[128] = "";
        H5Lget_val(group, name, value, sizeof value, H5P_DEFAULT);
        swg__text_printf(l->out, " link %d %s", (int)info->type, info->type == H5L_TYPE_SOFT ? value : value + 1);
        return 0;
    }
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    if (H5Iget_type(object) == H5I_DATASET) {
        hid_t type = H5Dget_type(object), space = H5Dget_space(object);
        hsize_t dims[8] = {0}, most[8] = {0};
        int rank = H5Sget_simple_extent_dims(space, dims, most);
        swg__text_printf(l->out, " dataset class %d size %zu order %d named %d:", (int)H5Tget_class(type), H5Tget_size(type), (int)H5Tget_order(type), H5Tcommitted(type));
        for (int i = 0; i < rank; i++)
            swg__text_printf(l->out, " %llu/%lld", (unsigned long long)dims[i], (long long)most[i]);
        if (strcmp(name, "refs") == 0) {
            hobj_ref_t refs[3];
            H5Dread(object, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, refs);
            for (int i = 0; i < 3; i++) {
                char target[64] = "nothing";
                if (refs[i])
                    H5Rget_name(l->file, H5R_OBJECT, &refs[i], target, sizeof target);
                swg__text_printf(l->out, " -> %s", target);
            }
        }
        if (strcmp(name, "regions") == 0) {
            hdset_reg_ref_t region;
            H5Dread(object, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &region);
            hid_t selected = H5Rget_region(l->file, H5R_DATASET_REGION, &region);
            hsize_t low[3], high[3];
            H5Sget_select_bounds(selected, low, high);
            swg__text_printf(l->out, " region %llu..%llu %llu..%llu", (unsigned long long)low[0], (unsigned long long)high[0], (unsigned long long)low[2], (unsigned long long)high[2]);
            H5Sclose(selected);
        }
        H5Sclose(space);
        H5Tclose(type);
    }
    H5Oclose(object);
    describe_attributes(l->file, path, l->out);
    return 0;
}

static void describe_file(swg_context *ctx, const char *path, swg__text *out) {
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    listing l = {file, out};
    swg__text_init(out, ctx);
    describe_attributes(file, "/", out);
    static const char *const groups[] = {"/", "/zebra", "/apple"};
    for (int g = 0; g < 3; g++) { /* the root in its own order */
        hid_t group = H5Gopen2(file, groups[g], H5P_DEFAULT);
        assert_true(H5Literate(group, g ? H5_INDEX_NAME : H5_INDEX_CRT_ORDER, H5_ITER_INC, NULL, list_link, &l) >= 0);
        H5Gclose(group);
    }
    H5Fclose(file);
}

static void read_floats(const char *path, const char *name, float *out) {
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), set = H5Dopen2(file, name, H5P_DEFAULT);
    assert_true(H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) >= 0);
    H5Dclose(set);
    H5Fclose(file);
}

static bool is_filtered(const char *path, const char *name) {
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), set = H5Dopen2(file, name, H5P_DEFAULT), list = H5Dget_create_plist(set);
    unsigned flags;
    size_t none = 0;
    bool is = H5Pget_nfilters(list) == 1 && H5Pget_filter2(list, 0, &flags, &none, NULL, 0, NULL, NULL) == 32789 && flags == H5Z_FLAG_MANDATORY;
    H5Pclose(list);
    H5Dclose(set);
    H5Fclose(file);
    return is;
}

static void same_file(swg_context *ctx, const char *a, const char *b) {
    uint8_t *x, *y;
    size_t m, n;
    assert_ok(ctx, swg__file_read(ctx, a, &x, &m));
    assert_ok(ctx, swg__file_read(ctx, b, &y, &n));
    assert_int_equal(m, n);
    assert_memory_equal(x, y, m);
    swg__free(ctx, x);
    swg__free(ctx, y);
}

/* The context of the tests registers the filter; HDF5 must not have to search for it. */
static void use_filter(void) {
    swg__h5 session;
    swg__h5_enter(&session);
    swg__h5_leave(&session);
}

static const char *in_folder(const scratch *s, const char *name, char out[320]) {
    snprintf(out, 320, "%s/%s", s->folder, name);
    return out;
}

static void there_and_back(void **state) {
    swg_context *ctx = *state;
    scratch s;
    char a[320], b[320], c[320], out[320];
    swg_archive_report *report;
    swg__text before, after;
    static float back[N];
    scratch_open(&s);
    in_folder(&s, "a.h5", a);
    in_folder(&s, "b.h5", b);
    in_folder(&s, "c.h5", c);
    use_filter();
    make_file(a);
    swg_archive_opts opts = {.bound = SWG_BOUND_ABS, .value = 1e-2};
    assert_ok(ctx, swg_archive_compress_hdf5(ctx, a, b, &opts, NULL, &report));
    assert_int_equal(report->count, 7); /* all but small, empty, the scale, references */
    assert_int_equal(report->total.violations, 0);
    assert_true(report->total.max_abs_error > 0 && report->total.max_abs_error <= 1e-2);
    assert_true(report->total.mode_chunks[SWG_MODE_STORED] >= 1);
    swg_archive_report_free(report);
    describe_file(ctx, a, &before);
    describe_file(ctx, b, &after);
    assert_string_equal(before.data, after.data);
    assert_non_null(strstr(after.data, "@used by -> (/"));
    static const char *const taken[] = {"zebra/field", "zebra/big", "apple/five", "apple/noise", "apple/wide noise", "apple/index", "apple/sparse", "hard"};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        assert_true(is_filtered(b, taken[i]));
    assert_false(is_filtered(b, "time"));
    assert_false(is_filtered(b, "apple/small"));
    read_floats(b, "zebra/field", back);
    swg_codec_array original = {.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {N}, .data = field};
    swg_codec_gap gap;
    assert_ok(ctx, swg_codec_compare(ctx, &original, back, 1e-2, &gap));
    assert_int_equal(gap.violations, 0);
    /* other numbers of threads */
    static const int threads[] = {1, 2, 7};
    for (int t = 0; t < 3; t++) {
        swg_context *other;
        if (t == 1)
            sleep(1); /* another time of day */
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads[t]}, &other), SWG_OK);
        assert_ok(other, swg_archive_compress_hdf5(other, a, c, &opts, NULL, NULL));
        swg_context_close(other);
        same_file(ctx, b, c);
    }
    /* verify, restore */
    assert_ok(ctx, swg_archive_verify(ctx, b, a, NULL, NULL));
    assert_ok(ctx, swg_archive_verify(ctx, b, NULL, NULL, &report));
    assert_true(report->total.max_ratio > 0 && report->total.max_ratio <= 1);
    swg_archive_report_free(report);
    in_folder(&s, "out", out);
    assert_ok(ctx, swg_archive_restore(ctx, b, out, false, NULL, NULL));
    assert_int_equal(swg_archive_restore(ctx, b, out, false, NULL, NULL), SWG_EINVAL);
    assert_message(ctx, "stands there already");
    strcat(out, "/b.h5");
    swg__text_free(&after);
    describe_file(ctx, out, &after);
    assert_string_equal(before.data, after.data);
    assert_false(is_filtered(out, "zebra/field"));
    static float restored[N];
    read_floats(out, "zebra/field", restored);
    assert_memory_equal(back, restored, sizeof back);
    assert_int_equal(swg_archive_verify(ctx, out, NULL, NULL, NULL), SWG_EFORMAT);
    assert_message(ctx, "without a dataset");
    unlink(out);
    *strrchr(out, '/') = 0;
    rmdir(out);
    swg__text_free(&before);
    swg__text_free(&after);
    scratch_close(&s, ctx, 3);
}

static void refuses(void **state) {
    swg_context *ctx = *state;
    scratch s;
    char a[320], b[320];
    scratch_open(&s);
    in_folder(&s, "a.h5", a);
    in_folder(&s, "b.h5", b);
    use_filter();
    make_file(a);
    swg_archive_opts opts = {.bound = SWG_BOUND_ABS, .value = 1e-2};
    assert_int_equal(swg_archive_compress_hdf5(ctx, a, a, &opts, NULL, NULL), SWG_EINVAL);
    assert_int_equal(swg_archive_compress_hdf5(ctx, a, s.folder, &opts, NULL, NULL), SWG_EINVAL);
    assert_int_equal(swg_archive_compress_hdf5(ctx, "/nowhere.h5", b, &opts, NULL, NULL), SWG_ENOTFOUND);
    opts.source.vars = "nothing*,none";
    assert_int_equal(swg_archive_compress_hdf5(ctx, a, b, &opts, NULL, NULL), SWG_ENOTFOUND);
    assert_message(ctx, "nothing*");
    opts.source.vars = " zeb*/field , noise";
    swg_archive_report *report;
    assert_ok(ctx, swg_archive_compress_hdf5(ctx, a, b, &opts, NULL, &report));
    assert_int_equal(report->count, 2);
    swg_archive_report_free(report);
    /* interrupted: what was there stays */
    volatile sig_atomic_t stop = 1;
    const swg_archive_hooks hooks = {.stop = &stop};
    assert_int_equal(swg_archive_compress_hdf5(ctx, a, b, &opts, &hooks, NULL), SWG_EINTERRUPTED);
    assert_ok(ctx, swg_archive_verify(ctx, b, a, NULL, NULL));
    /* any damaged byte of a record: found, and named */
    uint8_t *bytes;
    size_t size, found = 0;
    assert_ok(ctx, swg__file_read(ctx, b, &bytes, &size));
    for (size_t at = 0; at + 4 < size; at++)
        if (memcmp(bytes + at, "SWCK", 4) == 0) {
            bytes[at + 60] ^= 1;
            assert_ok(ctx, swg__file_write(ctx, b, bytes, size));
            bytes[at + 60] ^= 1;
            assert_int_equal(swg_archive_verify(ctx, b, NULL, NULL, NULL), SWG_ECORRUPT);
            assert_message(ctx, "chunk ", "checksum");
            found++;
            break;
        }
    assert_int_equal(found, 1);
    swg__free(ctx, bytes);
    /* not within the bound: an original that is another */
    opts.value = 1e-6;
    assert_ok(ctx, swg_archive_compress_hdf5(ctx, a, b, &opts, NULL, NULL));
    hid_t file = H5Fopen(a, H5F_ACC_RDWR, H5P_DEFAULT), set = H5Dopen2(file, "zebra/field", H5P_DEFAULT);
    field[100] += 1;
    H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, field);
    H5Dclose(set);
    H5Fclose(file);
    assert_int_equal(swg_archive_verify(ctx, b, a, NULL, &report), SWG_EBOUND);
    assert_int_equal(report->total.violations, 1);
    swg_archive_report_free(report);
    scratch_close(&s, ctx, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(there_and_back, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refuses, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
