/* test_h5_filter.c - proves: libhdf5 loads the plug-in and, through H5Pset_filter alone, writes and reads datasets of every type, byte
 * order, rank and kind of bound within that bound; refusals arrive on the HDF5 error stack in words; damage is found; the callbacks may
 * run in many threads at once; the plug-in exports two symbols and needs no libhdf5 of its own.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <hdf5.h>
#include <pthread.h>
#include "codec/filter.h"
#include "codec_testing.h"
#include "data/hdf5.h"

/* A file in memory; what is written to it is read through the filter again. */
static hid_t open_file(void) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    assert_true(H5Pset_fapl_core(access, 1 << 16, false) >= 0);
    hid_t file = H5Fcreate("memory", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    assert_true(file >= 0);
    H5Pclose(access);
    return file;
}

static hid_t make(hid_t file, const char *name, hid_t type, int rank, const hsize_t *dims, const hsize_t *chunk, const swg_codec_opts *opts) {
    uint32_t words[SWG__FILTER_USER_WORDS];
    swg__filter_user_write(opts, 5, words);
    hid_t list = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(rank, dims, NULL);
    assert_true(H5Pset_chunk(list, rank, chunk) >= 0);
    assert_true(H5Pset_filter(list, SWG__FILTER_ID, H5Z_FLAG_MANDATORY, SWG__FILTER_USER_WORDS, words) >= 0);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    H5Sclose(space);
    H5Pclose(list);
    return set;
}

/* Opens without a chunk cache, which would keep what was written. */
static hid_t open_uncached(hid_t file, const char *name) {
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_chunk_cache(access, 0, 0, 0);
    hid_t set = H5Dopen2(file, name, access);
    H5Pclose(access);
    return set;
}

static herr_t read_back(hid_t file, const char *name, hid_t type, void *out) {
    hid_t set = open_uncached(file, name);
    herr_t result = H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out);
    H5Dclose(set);
    return result;
}

static void every_type_and_order(void **state) {
    swg_context *ctx = *state;
    static const swg_element types[] = {SWG_ELEMENT_F32, SWG_ELEMENT_F64, SWG_ELEMENT_I8, SWG_ELEMENT_U8, SWG_ELEMENT_I16, SWG_ELEMENT_U16,
                                        SWG_ELEMENT_I32, SWG_ELEMENT_U32, SWG_ELEMENT_I64, SWG_ELEMENT_U64};
    static const hsize_t dims[3] = {11, 23, 37}, chunk[3] = {8, 1, 16}; /* cut at every edge */
    enum { N = 11 * 23 * 37 };
    uint64_t *x = malloc(N * sizeof *x), *back = malloc(N * sizeof *back);
    hid_t file = open_file();
    for (size_t t = 0; t < sizeof types / sizeof *types; t += TESTING_RACES ? 9 : 1)
        for (int way = 0; way < 4; way++) {
            const bool big = way & 1, lossy = way & 2;
            swg_codec_array a = {.type = types[t], .ndim = 3, .dims = {11, 23, 37}, .data = x};
            swg_codec_opts opts = {.bound = lossy ? SWG_BOUND_ABS : SWG_BOUND_LOSSLESS, .value = swg__is_float(types[t]) ? 1e-2 : 5};
            swg_codec_gap gap;
            char name[32];
            fill_smooth(&a, x, t + 1);
            snprintf(name, sizeof name, "%s-%d", swg_element_name(types[t]), way);
            hid_t set = make(file, name, swg__h5_stored(types[t], big), 3, dims, chunk, &opts);
            assert_true(set >= 0);
            assert_true(H5Dwrite(set, swg__h5_native(types[t]), H5S_ALL, H5S_ALL, H5P_DEFAULT, x) >= 0);
            H5Dclose(set);
            H5Fflush(file, H5F_SCOPE_GLOBAL);
            assert_true(read_back(file, name, swg__h5_native(types[t]), back) >= 0);
            assert_ok(ctx, swg_codec_compare(ctx, &a, back, lossy ? opts.value : 0, &gap));
            assert_int_equal(gap.violations, 0);
            if (lossy && swg__is_float(types[t]))
                assert_true(gap.max_abs_error > 0);
        }
    H5Fclose(file);
    free(back);
    free(x);
}

/* Noise, constants, NaN, one value, blocks; range-relative with the range; a signal-to-noise ratio. */
static void every_kind_of_data(void **state) {
    swg_context *ctx = *state;
    enum { N = 6 * 343 };
    float x[N], back[N];
    static const hsize_t dims[4] = {6, 7, 7, 7}, chunk[4] = {4, 7, 7, 7};
    static const struct { swg_bound_mode mode; double value, range, eb; } bounds[] = {
        {SWG_BOUND_ABS, 1e-3, 0, 1e-3}, {SWG_BOUND_REL, 1e-3, 2, 2e-3}, {SWG_BOUND_PSNR, 60, 2, 2e-3}, {SWG_BOUND_PW_REL, 1e-3, 0, 1e-3}, {SWG_BOUND_LOSSLESS, 0, 0, 0}};
    hid_t file = open_file();
    for (int kind = 0; kind < 4; kind++)
        for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++) {
            uint64_t seed = 9;
            for (int i = 0; i < N; i++)
                x[i] = kind == 0 ? 3.5f : kind == 1 ? (float)(noise(&seed) >> 40) : sinf(0.01f * (float)i);
            if (kind == 3) {
                x[0] = NAN;
                x[342] = INFINITY;
                x[343] = -0.0f;
            }
            char name[32];
            snprintf(name, sizeof name, "%d-%zu", kind, b);
            swg_codec_opts opts = {.bound = bounds[b].mode, .value = bounds[b].value, .has_range = bounds[b].range > 0, .range_max = bounds[b].range};
            hid_t set = make(file, name, H5T_IEEE_F32LE, 4, dims, chunk, &opts);
            assert_true(set >= 0 && H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, x) >= 0);
            H5Dclose(set);
            H5Fflush(file, H5F_SCOPE_GLOBAL);
            assert_true(read_back(file, name, H5T_NATIVE_FLOAT, back) >= 0);
            swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {N}, .data = x};
            swg_codec_gap gap;
            const swg_swz_info info = {.bound = bounds[b].mode, .eb_abs = bounds[b].eb, .fill = SWG_FILL_NONE};
            assert_ok(ctx, swg_codec_audit(ctx, &a, back, &info, &gap));
            assert_int_equal(gap.violations, 0);
            set = H5Dopen2(file, name, H5P_DEFAULT);
            hsize_t stored = H5Dget_storage_size(set);
            H5Dclose(set);
            assert_true(stored <= 2 * (4 * 343 * 4 + 52)); /* two chunks of full size */
            if (kind == 0)
                assert_true(stored < 800); /* one chunk of a constant, one with the fill value at the edge */
        }
    H5Fclose(file);
}

/* The whole HDF5 error stack as one text. */
static herr_t add_line(unsigned n, const H5E_error2_t *e, void *text) {
    (void)n;
    strncat(text, e->desc, 3000 - strlen(text));
    return 0;
}

#define assert_refused(handle, word)                                            \
    do {                                                                        \
        char refused[4096] = "";                                                \
        assert_true((handle) < 0);                                              \
        H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, add_line, refused);            \
        if (!strstr(refused, word))                                             \
            fail_msg("\"%s\" is not in \"%s\"", word, refused);                 \
    } while (0)

static hid_t make_words(hid_t file, hid_t type, int rank, const hsize_t *chunk, size_t count, const unsigned *words) {
    hid_t list = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(rank, chunk, NULL);
    H5Pset_chunk(list, rank, chunk);
    H5Pset_filter(list, SWG__FILTER_ID, H5Z_FLAG_MANDATORY, count, words);
    hid_t set = H5Dcreate2(file, "refused", type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    return set; /* the lists stay open: closing them would clear the error stack; H5close takes them */
}

static void refusals_are_said(void **state) {
    (void)state;
    static const hsize_t one[1] = {64}, five[5] = {2, 2, 2, 2, 2}, large[2] = {4097, 4096};
    static const unsigned abs_words[3] = {1, 3539053052u, 1062232653u};
    hid_t file = open_file(), text = H5Tcopy(H5T_C_S1), half = H5Tcopy(H5T_IEEE_F32LE), enumeration = H5Tenum_create(H5T_NATIVE_INT8);
    assert_true(H5Tenum_insert(enumeration, "yes", &(int8_t){1}) >= 0);
    H5Tset_size(text, 8);
    H5Tset_fields(half, 15, 10, 5, 0, 10);
    H5Tset_size(half, 2);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    assert_refused(make_words(file, H5T_IEEE_F32LE, 1, one, 3, ((unsigned[]){2, 3539053052u, 1062232653u})), "swage filter: a bound relative to the range needs");
    assert_refused(make_words(file, H5T_IEEE_F32LE, 1, one, 1, ((unsigned[]){1})), "the bound is missing");
    assert_refused(make_words(file, H5T_IEEE_F32LE, 1, one, 1, ((unsigned[]){9})), "bound mode 0..4");
    assert_refused(make_words(file, H5T_IEEE_F32LE, 1, one, 8, ((unsigned[8]){0})), "at most 7");
    assert_refused(make_words(file, H5T_IEEE_F32LE, 1, one, 300, ((unsigned[300]){0})), "300 filter parameters");
    assert_refused(make_words(file, H5T_IEEE_F32LE, 1, one, 3, ((unsigned[]){0x315A5753, 0x10000, 55})), "fewer or more words");
    assert_refused(make_words(file, text, 1, one, 3, abs_words), "only f32, f64 and integers");
    assert_refused(make_words(file, half, 1, one, 3, abs_words), "only f32, f64 and integers");
    assert_refused(make_words(file, enumeration, 1, one, 3, abs_words), "only f32, f64 and integers");
    assert_refused(make_words(file, H5T_IEEE_F32LE, 5, five, 3, abs_words), "4 axes");
    assert_refused(make_words(file, H5T_IEEE_F32LE, 2, large, 3, abs_words), "2^24");
    H5Tclose(enumeration);
    H5Tclose(half);
    H5Tclose(text);
    H5Fclose(file);
}

static void damage_is_found(void **state) {
    (void)state;
    enum { N = 1000 };
    static const hsize_t dims[1] = {N}, first[1] = {0};
    float x[N], back[N];
    for (int i = 0; i < N; i++)
        x[i] = sinf(0.1f * (float)i);
    hid_t file = open_file(), set = make(file, "x", H5T_IEEE_F32LE, 1, dims, dims, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 1e-3});
    assert_true(H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, x) >= 0);
    H5Dclose(set);
    set = open_uncached(file, "x");
    uint32_t mask;
    uint8_t record[8 * N];
    hsize_t bytes;
    assert_true(H5Dget_chunk_storage_size(set, first, &bytes) >= 0 && bytes < sizeof record);
    assert_true(H5Dread_chunk(set, H5P_DEFAULT, first, &mask, record) >= 0);
    assert_int_equal(mask, 0);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    for (hsize_t at = 0; at < bytes; at += 5) {
        record[at] ^= 0x40;
        assert_true(H5Dwrite_chunk(set, H5P_DEFAULT, 0, first, (size_t)bytes, record) >= 0);
        record[at] ^= 0x40;
        assert_refused(H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, back), "swage filter: chunk: ");
    }
    assert_true(H5Dwrite_chunk(set, H5P_DEFAULT, 0, first, (size_t)bytes - 4, record) >= 0);
    assert_refused(H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, back), "cut off");
    /* the mask: values as they are */
    assert_true(H5Dwrite_chunk(set, H5P_DEFAULT, 1, first, sizeof x, x) >= 0);
    H5Dclose(set); /* HDF5 1.10 remembers the mask of the chunk it met last */
    set = open_uncached(file, "x");
    assert_true(H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, back) >= 0);
    assert_memory_equal(x, back, sizeof x);
    H5Dclose(set);
    H5Fclose(file);
}

/* A copy of the creation list: the bound stays though shape and chunk are others; another type does not go. */
static void a_copy_keeps_the_bound(void **state) {
    (void)state;
    static const hsize_t dims[2] = {40, 50}, chunk[2] = {20, 50}, other[1] = {300};
    hid_t file = open_file(), set = make(file, "a", H5T_IEEE_F32LE, 2, dims, chunk, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 0.5});
    hid_t list = H5Dget_create_plist(set), space = H5Screate_simple(1, other, NULL);
    unsigned words[256], flags, was[256];
    size_t count = 256, was_count = 256;
    assert_true(H5Pget_filter_by_id2(list, SWG__FILTER_ID, &flags, &was_count, was, 0, NULL, NULL) >= 0);
    assert_true(H5Pset_chunk(list, 1, other) >= 0);
    hid_t copy = H5Dcreate2(file, "b", H5T_IEEE_F32LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
    assert_true(copy >= 0);
    hid_t made = H5Dget_create_plist(copy);
    assert_true(H5Pget_filter_by_id2(made, SWG__FILTER_ID, &flags, &count, words, 0, NULL, NULL) >= 0);
    assert_int_equal(count, was_count);
    assert_int_equal(words[12], 300);
    assert_memory_equal(words + 24, was + 24, 18 * sizeof *words); /* bound, step, base, range */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    assert_refused(H5Dcreate2(file, "c", H5T_IEEE_F64LE, space, H5P_DEFAULT, list, H5P_DEFAULT), "are for f32");
    H5Pclose(made);
    H5Dclose(copy);
    H5Sclose(space);
    H5Pclose(list);
    H5Dclose(set);
    H5Fclose(file);
}

/* ---- the callbacks themselves, from many threads: nothing is shared ---- */

enum { THREADS = TESTING_SLOW ? 4 : 8, VALUES = 32 * 32 * 8 };

typedef struct worker {
    H5Z_func_t filter;
    const uint32_t *words;
    size_t count;
    int number;
    bool good;
} worker;

static void *work(void *arg) {
    worker *w = arg;
    for (int round = 0; round < (TESTING_SLOW ? 1 : 20); round++) {
        size_t capacity = VALUES * sizeof(float);
        float *x = malloc(capacity);
        void *buffer = malloc(capacity);
        for (int i = 0; i < VALUES; i++)
            x[i] = sinf(0.02f * (float)(i * (w->number + 1)));
        memcpy(buffer, x, capacity);
        size_t stored = w->filter(0, w->count, w->words, capacity, &capacity, &buffer);
        size_t restored = stored ? w->filter(H5Z_FLAG_REVERSE, w->count, w->words, stored, &capacity, &buffer) : 0;
        w->good = w->good && restored == VALUES * sizeof(float) && stored < restored;
        for (int i = 0; w->good && i < VALUES; i++)
            w->good = fabs((double)((float *)buffer)[i] - (double)x[i]) <= 1e-3;
        free(buffer);
        free(x);
    }
    return NULL;
}

static void threads_at_once(void **state) {
    swg_context *ctx = *state;
    void *library = dlopen(SWG_PLUGIN_DIR "/libh5swage.so", RTLD_NOW | RTLD_LOCAL);
    assert_non_null(library);
    void *symbol = dlsym(library, "H5PLget_plugin_info");
    const void *(*info)(void);
    memcpy(&info, &symbol, sizeof info);
    const H5Z_class2_t *record = info();
    assert_int_equal(record->id, 32789);
    assert_int_equal(record->version, H5Z_CLASS_T_VERS);
    assert_null(dlsym(library, "swg_codec_compress"));
    uint32_t words[SWG__FILTER_WORDS], user[SWG__FILTER_USER_WORDS];
    swg_codec_opts opts = {.bound = SWG_BOUND_ABS, .value = 1e-3};
    size_t count;
    swg__filter_user_write(&opts, 5, user);
    swg__filter_shape shape = {.type = SWG_ELEMENT_F32, .rank = 3, .chunk = (const int64_t[]){8, 32, 32}};
    assert_ok(ctx, swg__filter_resolve(ctx, user, 7, 7, &shape, words, &count));
    pthread_t threads[THREADS];
    worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){record->filter, words, count, i, true};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(workers[i].good);
    }
    dlclose(library);
}

/* HDF5 finds the plug-in by its own search. */
static int load(void **state) {
    (void)state;
    return H5open() < 0 || H5PLprepend(SWG_PLUGIN_DIR) < 0 || H5Zfilter_avail(SWG__FILTER_ID) <= 0 ? -1 : 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_type_and_order, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(every_kind_of_data, testing_open, testing_close),
        cmocka_unit_test(refusals_are_said),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(a_copy_keeps_the_bound),
        cmocka_unit_test_setup_teardown(threads_at_once, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
