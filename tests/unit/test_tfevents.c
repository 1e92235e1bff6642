/* test_tfevents.c - proves: event files are the bytes TensorBoard's own messages and record writer give (tests/golden/make_events.py); names follow each
 * other; a picture that is none, a full disk and a missing folder are told; memory that runs out is told and leaks nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "report/tfevents.h"
#include "scratch.h"

/* 3 x 2, 8-bit RGB */
static const uint8_t png[] = {0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00,
                              0x02, 0x08, 0x02, 0x00, 0x00, 0x00, 0x12, 0x0d, 0xd4, 0xf6, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0x60, 0x60,
                              0x80, 0x03, 0x00, 0x00, 0x0d, 0x00, 0x01, 0xab, 0xc8, 0xa2, 0x29, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};

static swg_status write_all(swg_context *ctx, const char *folder, swg__events *e) {
    static const struct { const char *tag; double value; } numbers[] = {
        {"train/loss", 0.1}, {"val/loss", 0}, {"lr", -1e-30}, {"bad", HUGE_VAL}, {"large", 123456789}};
    SWG__TRY(swg__events_open(e, ctx, folder, 1700000000.25, SWG__EVENTS_NEW));
    swg__events_begin(e, 1700000001, 0);
    swg__events_text(e, "config", "| a |\n");
    SWG__TRY(swg__events_end(e));
    swg__events_begin(e, 1700000002, 300);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        swg__events_scalar(e, numbers[i].tag, numbers[i].value);
    SWG__TRY(swg__events_end(e));
    swg__events_begin(e, 1700000003, (int64_t)1 << 40);
    swg__events_png(e, "samples/x", png, sizeof png);
    return swg__events_end(e);
}

/* CRC32C, a bit at a time. */
static uint32_t plain_crc(const uint8_t *data, size_t bytes) {
    uint32_t crc = ~0u;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static uint32_t little(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }

/* Walks the records; returns how many. */
static int walk(const uint8_t *data, size_t bytes) {
    int records = 0;
    for (size_t at = 0; at < bytes; records++) {
        assert_true(at + 12 <= bytes);
        const size_t length = little(data + at);
        assert_int_equal(little(data + at + 4), 0);
        const uint32_t crc[2] = {plain_crc(data + at, 8), plain_crc(data + at + 12, length)};
        assert_int_equal(little(data + at + 8), (uint32_t)((crc[0] >> 15 | crc[0] << 17) + 0xa282ead8u));
        assert_int_equal(little(data + at + 12 + length), (uint32_t)((crc[1] >> 15 | crc[1] << 17) + 0xa282ead8u));
        at += length + 16;
    }
    return records;
}

/* The session's start has its own wall time in the golden file, so it is compared in a file of its own. */
static void golden(void **state) {
    swg_context *ctx = *state;
    scratch s;
    swg__events e;
    uint8_t *ours, *theirs;
    size_t our_bytes, their_bytes;
    scratch_open(&s);
    assert_ok(ctx, swg__file_read(ctx, SWG_SOURCE_DIR "/tests/golden/events.tfevents", &theirs, &their_bytes));
    assert_int_equal(walk(theirs, their_bytes), 5);
    const size_t first = little(theirs) + 16, second = little(theirs + first) + 16;
    assert_ok(ctx, write_all(ctx, s.folder, &e));
    assert_string_equal(strrchr(e.path, '/'), "/events.out.tfevents.1700000000.swage.000000");
    assert_ok(ctx, swg__file_read(ctx, e.path, &ours, &our_bytes));
    assert_int_equal(walk(ours, our_bytes), 4);
    assert_int_equal(our_bytes, their_bytes - second);
    assert_memory_equal(ours, theirs, first);
    assert_memory_equal(ours + first, theirs + first + second, our_bytes - first);
    swg__free(ctx, ours);
    unlink(e.path);
    swg__events_close(&e);

    assert_ok(ctx, swg__events_open(&e, ctx, s.folder, 1700000000.5, 41));
    assert_ok(ctx, swg__file_read(ctx, e.path, &ours, &our_bytes));
    assert_int_equal(walk(ours, our_bytes), 2);
    assert_int_equal(our_bytes, first + second);
    assert_memory_equal(ours + first, theirs + first, second);
    swg__free(ctx, ours);
    unlink(e.path);
    swg__events_close(&e);
    swg__free(ctx, theirs);
    scratch_close(&s, ctx, 0);
}

static void names(void **state) {
    swg_context *ctx = *state;
    scratch s;
    swg__events e[3];
    const double times[3] = {1700000000, 1700000000, 1600000000}; /* twice in a second; the clock was set back */
    scratch_open(&s);
    for (int i = 0; i < 3; i++) {
        assert_ok(ctx, swg__events_open(&e[i], ctx, s.folder, times[i], i ? i : SWG__EVENTS_NEW));
        if (i)
            assert_true(strcmp(e[i - 1].path, e[i].path) < 0);
    }
    for (int i = 0; i < 3; i++) {
        unlink(e[i].path);
        swg__events_close(&e[i]);
    }
    scratch_close(&s, ctx, 0);
}

static void failures(void **state) {
    swg_context *ctx = *state;
    scratch s;
    swg__events e;
    uint8_t bad[sizeof png];
    scratch_open(&s);
    assert_ok(ctx, swg__events_open(&e, ctx, s.folder, 1700000000, SWG__EVENTS_NEW));
    for (int i = 0; i < 3; i++) {
        memcpy(bad, png, sizeof bad);
        bad[(int[]){1, 13, 25}[i]] = 1; /* signature, IHDR, a colour type there is not */
        swg__events_begin(&e, 1700000000, 1);
        swg__events_scalar(&e, "a", 1);
        swg__events_png(&e, "samples/y", bad, sizeof bad);
        assert_int_equal(swg__events_end(&e), SWG_EFORMAT);
        assert_non_null(strstr(swg_context_message(ctx), "samples/y"));
    }
    swg__events_begin(&e, 1700000000, 1);
    swg__events_png(&e, "short", png, 32);
    assert_int_equal(swg__events_end(&e), SWG_EFORMAT);
    unlink(e.path);
    fclose(e.file);
    e.file = fopen("/dev/full", "wb");
    swg__events_begin(&e, 1700000000, 1);
    swg__events_scalar(&e, "a", 1);
    assert_int_equal(swg__events_end(&e), SWG_EIO);
    swg__events_close(&e);
    swg__events_begin(&e, 1700000000, 1); /* closed: nothing happens */
    swg__events_scalar(&e, "a", 1);
    swg__events_text(&e, "a", "b");
    swg__events_png(&e, "a", bad, sizeof bad);
    assert_ok(ctx, swg__events_end(&e));
    assert_int_not_equal(swg__events_open(&e, ctx, "/proc/nowhere", 1700000000, SWG__EVENTS_NEW), SWG_OK);
    swg__events_close(&e);
    scratch_close(&s, ctx, 0);
}

/* Told wherever memory runs out, and no record is left half written. */
static void memory(void **state) {
    (void)state;
    for (int64_t n = 0;; n++) {
        testing_allocator t = {.fail_at = -1};
        swg_context *ctx;
        swg__events e;
        scratch s;
        uint8_t *data;
        size_t bytes;
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &t}}, &ctx), SWG_OK);
        scratch_open(&s);
        t.fail_at = t.calls + n;
        swg_status status = write_all(ctx, s.folder, &e);
        bool never = t.calls <= t.fail_at;
        t.fail_at = -1;
        assert_true(status == SWG_OK || status == SWG_ENOMEM);
        if (e.file) {
            assert_ok(ctx, swg__file_read(ctx, e.path, &data, &bytes));
            walk(data, bytes);
            swg__free(ctx, data);
            unlink(e.path);
        }
        swg__events_close(&e);
        scratch_close(&s, ctx, 0);
        swg_context_close(ctx);
        assert_int_equal(t.live, 0);
        if (never) {
            assert_int_equal(status, SWG_OK);
            assert_true(n > 10);
            return;
        }
        assert_int_equal(status, SWG_ENOMEM);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(golden, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(names, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(failures, testing_open, testing_close),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
