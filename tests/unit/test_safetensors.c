/* test_safetensors.c - proves: the bytes are those of the format's description, the same content gives the same bytes, files of
 * other writers load, every malformed header is refused, every single flipped bit and every cut is detected, and no failed
 * allocation crashes or leaks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>
#include "swage/safetensors.h"

static char folder[] = "/tmp/swage-safetensors-XXXXXX";
static char path[128];

static int make_folder(void **state) {
    (void)state;
    bool made = mkdtemp(folder) != NULL;
    snprintf(path, sizeof path, "%s/t.safetensors", folder);
    return made ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails if anything else was left there */
}

/* The example of export-formats.md, section 4. */
static void known_bytes(void **state) {
    swg_context *ctx = *state;
    static const char expected[] = "\x38\0\0\0\0\0\0\0{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}  \0\0\x80\x3f\0\0\0\xc0";
    const float values[2] = {1, -2};
    swg_safetensors_writer *w;
    assert_ok(ctx, swg_safetensors_writer_open(ctx, &(swg_safetensors_opts){.align = 8}, &w));
    assert_ok(ctx, swg_safetensors_writer_add(w, "w", SWG_STORED_F32, 1, (int64_t[]){2}, values));
    assert_ok(ctx, swg_safetensors_writer_write(w, path));
    swg_safetensors_writer_close(w);
    uint8_t *data;
    size_t bytes;
    assert_ok(ctx, swg__file_read(ctx, path, &data, &bytes));
    assert_int_equal(bytes, sizeof expected - 1);
    assert_memory_equal(data, expected, bytes);
    swg__free(ctx, data);
}

/* Writes three tensors and two notes. */
static void write_sample(swg_context *ctx, const swg_safetensors_opts *opts) {
    static const uint8_t flags[3] = {1, 2, 3};
    static const double one = 0.5;
    static const float matrix[2][3] = {{1, 2, 3}, {4, 5, 6}};
    swg_safetensors_writer *w;
    assert_ok(ctx, swg_safetensors_writer_open(ctx, opts, &w));
    assert_ok(ctx, swg_safetensors_writer_note(w, "text", "a \"b\"\n\x01\\ \xc3\xa4"));
    assert_ok(ctx, swg_safetensors_writer_note(w, "a", ""));
    assert_ok(ctx, swg_safetensors_writer_add(w, "flags", SWG_STORED_U8, 1, (int64_t[]){3}, flags));
    assert_ok(ctx, swg_safetensors_writer_add(w, "m", SWG_STORED_F32, 2, (int64_t[]){2, 3}, matrix));
    assert_ok(ctx, swg_safetensors_writer_add(w, "none", SWG_STORED_BF16, 2, (int64_t[]){0, 7}, NULL));
    assert_ok(ctx, swg_safetensors_writer_add(w, "\xc3\xa4/\"one\"", SWG_STORED_F64, 0, NULL, &one));
    assert_ok(ctx, swg_safetensors_writer_write(w, path));
    uint8_t *first, *second;
    size_t bytes, again;
    assert_ok(ctx, swg__file_read(ctx, path, &first, &bytes));
    assert_ok(ctx, swg_safetensors_writer_write(w, path));
    assert_ok(ctx, swg__file_read(ctx, path, &second, &again));
    assert_int_equal(bytes, again);
    assert_memory_equal(first, second, bytes);
    swg__free(ctx, first);
    swg__free(ctx, second);
    swg_safetensors_writer_close(w);
}

static void check_sample(const swg_safetensors *f) {
    assert_int_equal(swg_safetensors_count(f), 4);
    const swg_tensor *t = swg_safetensors_find(f, "m");
    assert_non_null(t);
    assert_int_equal(t->dtype, SWG_STORED_F32);
    assert_int_equal(t->ndim, 2);
    assert_int_equal(t->shape[0], 2);
    assert_int_equal(t->shape[1], 3);
    assert_int_equal(t->bytes, 24);
    assert_int_equal((uintptr_t)t->data % 4, 0);
    assert_close(((const float *)t->data)[5], 6, 0, 0);
    t = swg_safetensors_find(f, "\xc3\xa4/\"one\"");
    assert_int_equal(t->ndim, 0);
    assert_int_equal((uintptr_t)t->data % 8, 0);
    assert_close(*(const double *)t->data, 0.5, 0, 0);
    assert_int_equal(swg_safetensors_find(f, "none")->bytes, 0);
    assert_int_equal(((const uint8_t *)swg_safetensors_find(f, "flags")->data)[2], 3);
    assert_null(swg_safetensors_find(f, "fla"));
    assert_null(swg_safetensors_at(f, 4));
    assert_null(swg_safetensors_at(f, -1));
    assert_string_equal(swg_safetensors_note(f, "text"), "a \"b\"\n\x01\\ \xc3\xa4");
    assert_string_equal(swg_safetensors_note(f, "a"), "");
    assert_null(swg_safetensors_note(f, "b"));
}

static void round_trip(void **state) {
    swg_context *ctx = *state;
    static const swg_safetensors_opts variants[] = {{.crc = true}, {.crc = false}, {.crc = true, .keep_order = true}, {.align = 8}};
    static const char *const firsts[] = {"\xc3\xa4/\"one\"", "\xc3\xa4/\"one\"", "flags", "\xc3\xa4/\"one\""};
    for (int i = 0; i < 4; i++) {
        swg_safetensors *f;
        write_sample(ctx, &variants[i]);
        assert_ok(ctx, swg_safetensors_open(ctx, path, &f));
        check_sample(f);
        assert_string_equal(swg_safetensors_at(f, 0)->name, firsts[i]); /* in the given order U8 comes first, and F32 lies askew */
        assert_int_equal(swg_safetensors_check(f), variants[i].crc ? SWG_OK : SWG_ENOTFOUND);
        swg_safetensors_close(f);
        uint8_t *data;
        size_t bytes;
        assert_ok(ctx, swg__file_read(ctx, path, &data, &bytes));
        assert_int_equal((8 + data[0] + 256 * data[1]) % (variants[i].align ? variants[i].align : 64), 0);
        swg__free(ctx, data);
    }
}

/* Opens bytes: what open and check say together. */
static swg_status verdict(swg_context *ctx, const uint8_t *data, size_t bytes) {
    swg_safetensors *f;
    uint8_t *copy = malloc(bytes + 1); /* exactly these bytes, so that a sanitiser sees a read beyond them */
    assert_non_null(copy);
    memcpy(copy, data, bytes);
    swg_status status = swg_safetensors_open_memory(ctx, copy, bytes, "test", &f);
    if (status == SWG_OK)
        status = swg_safetensors_check(f);
    swg_safetensors_close(f);
    free(copy);
    return status;
}

static void damage(void **state) {
    swg_context *ctx = *state;
    uint8_t *data;
    size_t bytes;
    write_sample(ctx, &(swg_safetensors_opts){.crc = true});
    assert_ok(ctx, swg__file_read(ctx, path, &data, &bytes));
    assert_int_equal(verdict(ctx, data, bytes), SWG_OK);
    for (size_t i = 0; i < bytes; i++)
        for (int bit = 0; bit < 8; bit++) {
            data[i] ^= (uint8_t)(1 << bit);
            if (verdict(ctx, data, bytes) == SWG_OK)
                fail_msg("bit %d of byte %zu flipped, and nothing noticed", bit, i);
            data[i] ^= (uint8_t)(1 << bit);
        }
    for (size_t cut = 0; cut < bytes; cut++)
        if (verdict(ctx, data, cut) == SWG_OK)
            fail_msg("cut to %zu bytes, and nothing noticed", cut);
    uint8_t *longer = malloc(bytes + 1);
    memcpy(longer, data, bytes);
    longer[bytes] = 0;
    assert_int_equal(verdict(ctx, longer, bytes + 1), SWG_ECORRUPT);
    free(longer);
    data[bytes - 1] ^= 1;
    assert_int_equal(verdict(ctx, data, bytes), SWG_ECORRUPT);
    assert_non_null(strstr(swg_context_message(ctx), "checksum of tensor flags"));
    swg__free(ctx, data);
}

static void headers(void **state) {
    swg_context *ctx = *state;
    static const struct { const char *header; swg_status status; int64_t data_bytes; } rows[] = {
        {"{}", SWG_OK, 0},
        {"{}   ", SWG_OK, 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", SWG_OK, 8},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8],\"dtype\":\"F32\"}}", SWG_OK, 8},
        {"{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]},\"a\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[0,2]}}", SWG_OK, 3},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0,9],\"data_offsets\":[0,0]}}", SWG_OK, 0},
        {"{\"__metadata__\":{}}", SWG_OK, 0},
        {"{}x", SWG_EFORMAT, 0},
        {"{}\n", SWG_EFORMAT, 0},
        {" {}", SWG_EFORMAT, 0},
        {"[]", SWG_EFORMAT, 0},
        {"{", SWG_EFORMAT, 0},
        {"{\"a\":1}", SWG_EFORMAT, 0},
        {"{\"a\xff\":1}", SWG_EFORMAT, 0},
        {"{\"__metadata__\":[]}", SWG_EFORMAT, 0},
        {"{\"__metadata__\":{\"a\":1}}", SWG_EFORMAT, 0},
        {"{\"__metadata__\":{\"a\":\"1\",\"b\":\"2\",\"a\":\"1\"}}", SWG_EFORMAT, 0},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", SWG_EFORMAT, 0},
        {"{\"a\":{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}}", SWG_EUNSUPPORTED, 8},
        {"{\"a\":{\"dtype\":4,\"shape\":[2],\"data_offsets\":[0,8]}}", SWG_EFORMAT, 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", SWG_EFORMAT, 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.5],\"data_offsets\":[0,10]}}", SWG_EFORMAT, 10},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", SWG_EFORMAT, 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[\"2\"],\"data_offsets\":[0,8]}}", SWG_EFORMAT, 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", SWG_EFORMAT, 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1e300],\"data_offsets\":[0,8]}}", SWG_EFORMAT, 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", SWG_EUNSUPPORTED, 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", SWG_EFORMAT, 8},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", SWG_EFORMAT, 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", SWG_EFORMAT, 8},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", SWG_EFORMAT, 8},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", SWG_EFORMAT, 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", SWG_EFORMAT, 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]}}", SWG_EFORMAT, 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", SWG_ECORRUPT, 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", SWG_ECORRUPT, 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", SWG_ECORRUPT, 7},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", SWG_ECORRUPT, 9},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", SWG_ECORRUPT, 12},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}", SWG_EFORMAT, 4},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}", SWG_ECORRUPT, 4},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}", SWG_ECORRUPT, 4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t length = strlen(rows[i].header), bytes = 8 + length + (size_t)rows[i].data_bytes;
        uint8_t *file = calloc(1, bytes);
        assert_non_null(file);
        file[0] = (uint8_t)length;
        memcpy(file + 8, rows[i].header, length);
        swg_status status = verdict(ctx, file, bytes);
        if (status == SWG_ENOTFOUND)
            status = SWG_OK; /* it opened; it has no checksums */
        if (status != rows[i].status)
            fail_msg("%s gave %s: %s", rows[i].header, swg_status_name(status), swg_context_message(ctx));
        free(file);
    }
    /* lengths that lie */
    uint8_t huge[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}'};
    assert_int_equal(verdict(ctx, huge, 16), SWG_EFORMAT);
    memset(huge, 0, 8);
    assert_int_equal(verdict(ctx, huge, 16), SWG_EFORMAT);
    huge[2] = 1;
    assert_int_equal(verdict(ctx, huge, 16), SWG_ECORRUPT);
    assert_int_equal(verdict(ctx, huge, 0), SWG_EFORMAT);
    /* nesting deeper than any parser's stack */
    size_t deep = 1 << 20;
    uint8_t *nested = malloc(deep);
    assert_non_null(nested);
    memset(nested, '[', deep);
    memcpy(nested, "\xf8\xff\x0f\0\0\0\0\0{\"a\":", 13);
    assert_int_equal(verdict(ctx, nested, deep), SWG_EFORMAT);
    free(nested);
}

/* A file as Python's safetensors writes it, and the golden vectors of this repository. */
static void other_writers(void **state) {
    swg_context *ctx = *state;
    swg_safetensors *f;
    assert_ok(ctx, swg_safetensors_open(ctx, SWG_SOURCE_DIR "/tests/fuzz/corpus/fuzz_safetensors/python.safetensors", &f));
    assert_int_equal(swg_safetensors_count(f), 2);
    assert_string_equal(swg_safetensors_note(f, "format"), "pt");
    assert_int_equal(((const int64_t *)swg_safetensors_find(f, "bias")->data)[1], -2);
    assert_close(((const float *)swg_safetensors_find(f, "weight")->data)[3], 4, 0, 0);
    swg_safetensors_close(f);
    assert_ok(ctx, swg_safetensors_open(ctx, SWG_SOURCE_DIR "/tests/golden/swae_mlp.safetensors", &f));
    assert_string_equal(swg_safetensors_note(f, "preset"), "swae/mlp");
    assert_true(swg_safetensors_count(f) > 10);
    swg_safetensors_close(f);
}

static void misuse(void **state) {
    swg_context *ctx = *state;
    swg_safetensors_writer *w;
    swg_safetensors *f;
    const float one = 1;
    assert_int_equal(swg_safetensors_writer_open(ctx, &(swg_safetensors_opts){.align = 12}, &w), SWG_EINVAL);
    assert_null(w);
    assert_ok(ctx, swg_safetensors_writer_open(ctx, NULL, &w));
    assert_int_equal(swg_safetensors_writer_add(w, "a\xff", SWG_STORED_F32, 0, NULL, &one), SWG_EINVAL);
    assert_int_equal(swg_safetensors_writer_add(w, "__metadata__", SWG_STORED_F32, 0, NULL, &one), SWG_EINVAL);
    assert_int_equal(swg_safetensors_writer_add(w, "a", (swg_stored)99, 0, NULL, &one), SWG_EINVAL);
    assert_int_equal(swg_safetensors_writer_add(w, "a", SWG_STORED_F32, 9, NULL, &one), SWG_EINVAL);
    assert_int_equal(swg_safetensors_writer_add(w, "a", SWG_STORED_F32, 1, (int64_t[]){-1}, &one), SWG_ESHAPE);
    assert_int_equal(swg_safetensors_writer_add(w, "a", SWG_STORED_F32, 2, (int64_t[]){INT64_MAX, 2}, &one), SWG_ESHAPE);
    assert_int_equal(swg_safetensors_writer_add(w, "a", SWG_STORED_F32, 0, NULL, NULL), SWG_EINVAL);
    assert_int_equal(swg_safetensors_writer_note(w, "swage.crc", "x"), SWG_EINVAL);
    assert_int_equal(swg_safetensors_writer_note(w, "k", "\xff"), SWG_EINVAL);
    assert_ok(ctx, swg_safetensors_writer_note(w, "k", "v"));
    assert_int_equal(swg_safetensors_writer_note(w, "k", "v"), SWG_EINVAL);
    assert_ok(ctx, swg_safetensors_writer_add(w, "a", SWG_STORED_F32, 0, NULL, &one));
    assert_int_equal(swg_safetensors_writer_write(w, "/nowhere/at/all"), SWG_ENOTFOUND);
    assert_ok(ctx, swg_safetensors_writer_add(w, "a", SWG_STORED_F32, 0, NULL, &one));
    assert_int_equal(swg_safetensors_writer_write(w, path), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(ctx), "tensor 'a' is given twice"));
    swg_safetensors_writer_close(w);
    assert_int_equal(swg_safetensors_open(ctx, "/nowhere/at/all", &f), SWG_ENOTFOUND);
    assert_null(f);
    assert_int_equal(swg_safetensors_open_memory(ctx, NULL, 0, "x", &f), SWG_EINVAL);
    swg_safetensors_close(NULL);
    swg_safetensors_writer_close(NULL);
    assert_string_equal(swg_stored_name((swg_stored)99), "?");
    assert_int_equal(swg_stored_bytes(SWG_STORED_F8_E5M2), 1);
}

/* No room on the disk, played by a limit on the size of files: the old file stands, no other file is left (see remove_folder). */
static void full_disk(void **state) {
    swg_context *ctx = *state;
    enum { FLOATS = 1 << 18 };
    float *values = calloc(FLOATS, sizeof *values);
    struct rlimit before, small;
    swg_safetensors_writer *w;
    swg_safetensors *f;
    assert_non_null(values);
    write_sample(ctx, NULL);
    assert_ok(ctx, swg_safetensors_writer_open(ctx, NULL, &w));
    assert_ok(ctx, swg_safetensors_writer_add(w, "a", SWG_STORED_F32, 1, (int64_t[]){FLOATS}, values));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = 4096, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    swg_status status = swg_safetensors_writer_write(w, path);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, SWG_EIO);
    swg_safetensors_writer_close(w);
    free(values);
    assert_ok(ctx, swg_safetensors_open(ctx, path, &f));
    check_sample(f);
    swg_safetensors_close(f);
}

static swg_status write_and_read(swg_context *ctx) {
    static const uint8_t flags[3] = {1, 2, 3};
    static const float matrix[2] = {1, 2};
    swg_safetensors_writer *w;
    swg_safetensors *f = NULL;
    SWG__TRY(swg_safetensors_writer_open(ctx, &(swg_safetensors_opts){.crc = true, .keep_order = true}, &w));
    swg_status status = swg_safetensors_writer_note(w, "k", "v");
    if (status == SWG_OK)
        status = swg_safetensors_writer_add(w, "flags", SWG_STORED_U8, 1, (int64_t[]){3}, flags);
    if (status == SWG_OK)
        status = swg_safetensors_writer_add(w, "m", SWG_STORED_F32, 1, (int64_t[]){2}, matrix);
    if (status == SWG_OK)
        status = swg_safetensors_writer_write(w, path);
    swg_safetensors_writer_close(w);
    if (status == SWG_OK)
        status = swg_safetensors_open(ctx, path, &f);
    if (status == SWG_OK)
        status = swg_safetensors_check(f);
    swg_safetensors_close(f);
    return status;
}

static void memory(void **state) {
    (void)state;
    for (int64_t n = 0;; n++) {
        testing_allocator t = {.fail_at = -1};
        swg_context *ctx;
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &t}}, &ctx), SWG_OK);
        t.fail_at = t.calls + n;
        swg_status status = write_and_read(ctx);
        assert_true(status == SWG_OK || status == SWG_ENOMEM);
        swg_context_close(ctx);
        assert_int_equal(t.live, 0);
        if (status == SWG_OK && t.calls <= t.fail_at) {
            assert_true(n > 10);
            return;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(known_bytes, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(round_trip, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(damage, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(headers, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(other_writers, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(misuse, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(full_disk, testing_open, testing_close),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
