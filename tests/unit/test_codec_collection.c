/* test_codec_collection.c - proves: many arrays share one file and one network, the network is in it only if it pays, every
 * member comes back, damage and malformed directories are refused by name.
 * SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>
#include "codec/bytes.h"
#include "codec_testing.h"

typedef struct place {
    char folder[32], file[64];
} place;

static void open_place(place *p) {
    snprintf(p->folder, sizeof p->folder, "/tmp/swage_coll_XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->file, sizeof p->file, "%s/all.swz", p->folder);
}

static void close_place(const place *p) {
    remove(p->file);
    assert_int_equal(rmdir(p->folder), 0); /* nothing else was left behind */
}

enum { BLOCKS = TESTING_RACES ? 1500 : 3000 };

static void fill_blocks(float *x, uint64_t seed) {
    float *b = cosine_sample(5, BLOCKS, seed);
    memcpy(x, b, BLOCKS * 125 * sizeof *x);
    free(b);
}

static void members_and_network(void **state) {
    swg_context *ctx = *state;
    place p;
    cosine_network n;
    swg_codec_network network;
    swg_codec_model *model;
    swg_codec_model_report report;
    swg_codec_writer *w;
    swg_swz *swz;
    open_place(&p);
    float *sample = cosine_sample(5, 600, 1), *x = malloc(BLOCKS * 125 * sizeof *x), *back = malloc(BLOCKS * 125 * sizeof *x);
    cosine_open(&n, 5, 16, SWG_CODEC_RELU, &network);
    assert_ok(ctx, swg_codec_model_make(ctx, &network, sample, 600, &model, &report));
    assert_ok(ctx, swg_codec_writer_open(ctx, p.file, model, &w));
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .layout = SWG_CODEC_BLOCKS, .ndim = 4, .dims = {BLOCKS, 5, 5, 5}, .data = x};
    int64_t sum = 0, bytes;
    for (int i = 0; i < 6; i++) {
        char source[16];
        swg_codec_stats stats;
        snprintf(source, sizeof source, "t%d.h5", i / 2);
        fill_blocks(x, (uint64_t)i + 1);
        assert_ok(ctx, swg_codec_writer_add(w, source, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 0.02, .name = i & 1 ? "U_CHI" : "U_K", .without = 1u << SWG_MODE_POLY | 1u << SWG_MODE_INTERPOLATION | 1u << SWG_MODE_BLOCKS}, &stats));
        sum += stats.bytes_out;
    }
    int32_t whole[4] = {1, 2, 3, 4};
    swg_codec_array b = {.type = SWG_ELEMENT_I32, .ndim = 1, .dims = {4}, .data = whole};
    assert_ok(ctx, swg_codec_writer_add(w, "grid.h5", &b, NULL, NULL));
    assert_int_equal(swg_codec_writer_add(w, "grid.h5", &b, NULL, NULL), SWG_EINVAL);
    b.dims[0] = 0;
    assert_int_equal(swg_codec_writer_add(w, "empty.h5", &b, NULL, NULL), SWG_ESHAPE);
    assert_int_equal(access(p.file, F_OK), -1); /* no name before it is complete */
    assert_ok(ctx, swg_codec_writer_commit(w, &bytes));
    assert_ok(ctx, swg_swz_open(ctx, p.file, &swz));
    assert_int_equal(swg_swz_count(swz), 7);
    assert_true(swg_swz_model_bytes(swz) > (int64_t)report.blob_bytes && swg_swz_model_bytes(swz) < (int64_t)report.blob_bytes + 80);
    assert_true(bytes < sum + swg_swz_model_bytes(swz) + 1000);
    int64_t networked = 0;
    for (int i = 0; i < 6; i++) {
        char source[16];
        swg_codec_gap gap;
        snprintf(source, sizeof source, "t%d.h5", i / 2);
        int64_t m = swg_swz_find(swz, source, i & 1 ? "U_CHI" : "U_K");
        assert_true(m >= 0);
        const swg_swz_info *info = swg_swz_member(swz, m);
        assert_string_equal(info->source, source);
        networked += info->mode_chunks[SWG_MODE_NETWORK];
        fill_blocks(x, (uint64_t)i + 1);
        assert_ok(ctx, swg_swz_read(swz, m, back, BLOCKS * 125 * sizeof *x));
        assert_ok(ctx, swg_codec_compare(ctx, &a, back, 0.02, &gap));
        assert_int_equal(gap.violations, 0);
        assert_ok(ctx, swg_swz_verify(swz, m));
    }
    assert_true(networked > 0);
    int32_t again[4];
    assert_ok(ctx, swg_swz_read(swz, swg_swz_find(swz, NULL, ""), again, sizeof again));
    assert_memory_equal(again, whole, sizeof whole);
    swg_swz_close(swz);
    swg_codec_model_free(ctx, model);
    cosine_close(&n);
    free(back);
    free(x);
    free(sample);
    close_place(&p);
}

/* One member that the network shortens by less than its own size: the file must not hold it. */
static void network_that_does_not_pay(void **state) {
    swg_context *ctx = *state;
    place p;
    cosine_network n;
    swg_codec_network network;
    swg_codec_model *model;
    swg_codec_writer *w;
    swg_swz *swz;
    open_place(&p);
    float *x = cosine_sample(5, 300, 1);
    cosine_open(&n, 5, 16, SWG_CODEC_RELU, &network);
    assert_ok(ctx, swg_codec_model_make(ctx, &network, x, 300, &model, NULL));
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .layout = SWG_CODEC_BLOCKS, .ndim = 4, .dims = {60, 5, 5, 5}, .data = x};
    swg_codec_opts o = {.bound = SWG_BOUND_ABS, .value = 0.02, .name = "x"};
    swg_codec_buffer alone;
    int64_t bytes;
    assert_ok(ctx, swg_codec_compress(ctx, &a, &o, &alone, NULL));
    assert_ok(ctx, swg_codec_writer_open(ctx, p.file, model, &w));
    assert_ok(ctx, swg_codec_writer_add(w, "a", &a, &o, NULL));
    assert_ok(ctx, swg_codec_writer_commit(w, &bytes));
    assert_ok(ctx, swg_swz_open(ctx, p.file, &swz));
    assert_int_equal(swg_swz_model_bytes(swz), 0);
    assert_int_equal(swg_swz_member(swz, 0)->bytes_stored, alone.bytes);
    assert_int_equal(bytes, 16 + (int64_t)alone.bytes + 20 + 8 + 20 + 2 + 64);
    swg_swz_close(swz);
    swg_codec_buffer_free(ctx, &alone);
    swg_codec_model_free(ctx, model);
    cosine_close(&n);
    free(x);
    close_place(&p);
}

/* Many members at once are what each is alone; damage stays in its member and is told. */
static void many_at_once(void **state) {
    enum { COUNT = 5 };
    swg_context *ctx = *state;
    place p;
    swg_codec_writer *w;
    swg_swz *swz;
    open_place(&p);
    float x[COUNT][600], alone[600], back[COUNT][600];
    const int64_t members[COUNT] = {4, 0, 3, 1, 2};
    void *out[COUNT];
    bool damaged[COUNT];
    assert_ok(ctx, swg_codec_writer_open(ctx, p.file, NULL, &w));
    for (int m = 0; m < COUNT; m++) {
        char name[16];
        snprintf(name, sizeof name, "v%d", m);
        for (int i = 0; i < 600; i++)
            x[m][i] = sinf(0.1f * (float)(i + 40 * m)) + 0.01f * (float)(i * 7919 % 13);
        swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 2, .dims = {20 + 10 * (m % 2), m % 2 ? 20 : 30}, .data = x[m]};
        assert_ok(ctx, swg_codec_writer_add(w, "a.h5", &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 1e-3, .name = name, .chunk = {10, 10}}, NULL));
        out[m] = back[m];
    }
    assert_ok(ctx, swg_codec_writer_commit(w, NULL));
    uint8_t *d;
    size_t bytes;
    assert_ok(ctx, swg__file_read(ctx, p.file, &d, &bytes));
    for (int broken = 0; broken < 2; broken++) {
        if (broken) /* a byte of the first record of the second member */
            for (size_t i = 0, seen = 0; i + 4 < bytes && seen < 7; i++)
                if (memcmp(d + i, "SWCK", 4) == 0 && ++seen == 7)
                    d[i + 50] ^= 1;
        assert_ok(ctx, swg_swz_open_memory(ctx, d, bytes, &swz));
        assert_int_equal(swg_swz_read_many(swz, COUNT, members, out, damaged), broken ? SWG_ECORRUPT : SWG_OK);
        for (int i = 0; i < COUNT; i++) {
            swg_status status = swg_swz_read(swz, members[i], alone, sizeof alone);
            assert_int_equal(status, broken && members[i] == 1 ? SWG_ECORRUPT : SWG_OK);
            assert_int_equal(damaged[i], status != SWG_OK);
            assert_memory_equal(alone, back[i], sizeof alone);
        }
        assert_int_equal(swg_swz_read_many(swz, 1, &(int64_t){COUNT}, out, NULL), SWG_EINVAL);
        assert_ok(ctx, swg_swz_read_many(swz, 0, NULL, NULL, NULL));
        swg_swz_close(swz);
    }
    swg__free(ctx, d);
    close_place(&p);
}

static void empty_and_aborted(void **state) {
    swg_context *ctx = *state;
    place p;
    swg_codec_writer *w;
    swg_swz *swz;
    open_place(&p);
    assert_ok(ctx, swg_codec_writer_open(ctx, p.file, NULL, &w));
    swg_codec_writer_abort(w);
    assert_int_equal(access(p.file, F_OK), -1);
    assert_ok(ctx, swg_codec_writer_open(ctx, p.file, NULL, &w));
    assert_ok(ctx, swg_codec_writer_commit(w, NULL));
    assert_ok(ctx, swg_swz_open(ctx, p.file, &swz));
    assert_int_equal(swg_swz_count(swz), 0);
    assert_null(swg_swz_member(swz, 0));
    swg_swz_close(swz);
    assert_int_equal(swg_codec_writer_open(ctx, "/nowhere/at/all.swz", NULL, &w), SWG_ENOTFOUND);
    assert_null(w);
    swg_codec_writer_abort(NULL);
    close_place(&p);
}

/* ---- malformed collections ---- */

static uint8_t *small_collection(swg_context *ctx, size_t *bytes) {
    place p;
    swg_codec_writer *w;
    static const float x[3] = {1, 2, 3};
    uint8_t *data, *copy;
    open_place(&p);
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {3}, .data = x};
    assert_ok(ctx, swg_codec_writer_open(ctx, p.file, NULL, &w));
    assert_ok(ctx, swg_codec_writer_add(w, "one", &a, &(swg_codec_opts){.name = "x"}, NULL));
    assert_ok(ctx, swg_codec_writer_add(w, "two", &a, &(swg_codec_opts){.name = "y"}, NULL));
    assert_ok(ctx, swg_codec_writer_commit(w, NULL));
    assert_ok(ctx, swg__file_read(ctx, p.file, &data, bytes));
    copy = malloc(*bytes);
    memcpy(copy, data, *bytes);
    swg__free(ctx, data);
    close_place(&p);
    return copy;
}

static void fix_crc(uint8_t *d, size_t bytes) {
    uint8_t *footer = d + bytes - 64;
    size_t directory = (size_t)swg__load64(footer + 8);
    swg__store32(d + 12, swg__crc32c(0, d, 12));
    swg__store32(footer + 56, swg__crc32c(0, footer, 56));
    if (directory < bytes - 84)
        swg__store32(footer - 4, swg__crc32c(0, d + directory, bytes - 68 - directory));
}

static void malformed(void **state) {
    swg_context *ctx = *state;
    size_t bytes;
    uint8_t *good = small_collection(ctx, &bytes), *bad = malloc(bytes);
    swg_swz *swz;
    assert_ok(ctx, swg_swz_open_memory(ctx, good, bytes, &swz));
    swg_swz_close(swz);
    const size_t footer = bytes - 64, directory = (size_t)swg__load64(good + footer + 8);
    const struct { size_t at; int width; uint64_t value; swg_status status; const char *reason; } changes[] = {
        {8, 2, 2, SWG_EUNSUPPORTED, "newer swage"},
        {footer, 1, 0, SWG_ECORRUPT, "no footer"},
        {footer + 63, 1, 0, SWG_ECORRUPT, "no footer"},
        {footer + 8, 8, 5, SWG_ECORRUPT, "directory is outside"},
        {footer + 16, 8, 5, SWG_ECORRUPT, "directory is outside"},
        {footer + 24, 8, 5, SWG_ECORRUPT, "models are outside"},
        {footer + 24, 8, 1 << 20, SWG_ECORRUPT, "models are outside"},
        {footer + 40, 8, 3, SWG_ECORRUPT, "counts other members"},
        {footer + 40, 8, UINT64_MAX, SWG_ECORRUPT, "counts other members"},
        {footer + 48, 8, 3, SWG_ECORRUPT, "length differs"},
        {directory, 1, 'X', SWG_ECORRUPT, "section is not where"},
        {directory + 16, 8, 1, SWG_ECORRUPT, "counts other members"},
        {directory + 24, 8, 8, SWG_ECORRUPT, "member 0: place is outside"},
        {directory + 24, 8, 1 << 20, SWG_ECORRUPT, "member 0: place is outside"},
        {directory + 32, 8, 1 << 20, SWG_ECORRUPT, "member 0: place is outside"},
        {directory + 32, 8, 3, SWG_ECORRUPT, "member 0: ends inside its header"},
        {directory + 40, 2, 60000, SWG_ECORRUPT, "directory ends inside an entry"},
        {directory + 47, 1, 'z', SWG_ECORRUPT, "name differs"},
        {directory + 48, 8, 20, SWG_ECORRUPT, "member 1: place is outside the members or overlaps"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        memcpy(bad, good, bytes);
        for (int b = 0; b < changes[i].width; b++)
            bad[changes[i].at + (size_t)b] = (uint8_t)(changes[i].value >> 8 * b);
        fix_crc(bad, bytes);
        swg_status status = swg_swz_open_memory(ctx, bad, bytes, &swz);
        if (status != changes[i].status || !strstr(swg_context_message(ctx), changes[i].reason))
            fail_msg("change %zu: %s: %s; expected \"%s\"", i, swg_status_name(status), swg_context_message(ctx), changes[i].reason);
    }
    for (size_t n = 0; n < bytes; n++) {
        uint8_t *cut = malloc(n ? n : 1);
        memcpy(cut, good, n);
        assert_int_not_equal(swg_swz_open_memory(ctx, cut, n, &swz), SWG_OK);
        free(cut);
    }
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        memcpy(bad, good, bytes);
        bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
        swg_status status = swg_swz_open_memory(ctx, bad, bytes, &swz);
        for (int64_t m = 0; status == SWG_OK && m < 2; m++) {
            float x[3];
            status = swg_swz_read(swz, m, x, sizeof x);
        }
        swg_swz_close(swz);
        assert_int_not_equal(status, SWG_OK);
    }
    free(bad);
    free(good);
}

static void allocation_failures(void **state) {
    (void)state;
    place p;
    open_place(&p);
    float *sample = cosine_sample(3, 400, 1);
    cosine_network n;
    swg_codec_network network;
    cosine_open(&n, 3, 3, SWG_CODEC_GELU, &network);
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .layout = SWG_CODEC_BLOCKS, .ndim = 4, .dims = {400, 3, 3, 3}, .data = sample};
    int64_t fail_at = 0;
    for (bool done = false; !done; fail_at += TESTING_SLOW ? 23 : 1) {
        testing_allocator t = {.fail_at = -1};
        swg_context *ctx;
        swg_codec_model *model;
        swg_codec_writer *w;
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &t}}, &ctx), SWG_OK);
        t.fail_at = t.calls + fail_at;
        swg_status status = swg_codec_model_make(ctx, &network, sample, 100, &model, NULL);
        if (status == SWG_OK)
            status = swg_codec_writer_open(ctx, p.file, model, &w);
        if (status == SWG_OK) {
            for (int i = 0; status == SWG_OK && i < 3; i++)
                status = swg_codec_writer_add(w, i == 0 ? "a" : i == 1 ? "b" : "c", &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 0.05}, NULL);
            if (status == SWG_OK)
                status = swg_codec_writer_commit(w, NULL);
            else
                swg_codec_writer_abort(w);
        }
        swg_swz *swz;
        if (status == SWG_OK)
            status = swg_swz_open(ctx, p.file, &swz);
        if (status == SWG_OK) {
            float *back = malloc(400 * 27 * sizeof *back);
            status = swg_swz_read(swz, 1, back, 400 * 27 * sizeof *back);
            swg_swz_close(swz);
            free(back);
        }
        swg_codec_model_free(ctx, model);
        done = t.calls <= t.fail_at;
        assert_int_equal(status, done ? SWG_OK : SWG_ENOMEM);
        assert_int_equal(swg_context_bytes(ctx), 0);
        swg_context_close(ctx);
        assert_int_equal(t.live, 0);
    }
    assert_true(fail_at > 100);
    cosine_close(&n);
    free(sample);
    close_place(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(members_and_network, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(network_that_does_not_pay, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(many_at_once, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(empty_and_aborted, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(malformed, testing_open, testing_close),
        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
