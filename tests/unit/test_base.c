/* test_base.c - proves: memory is counted and released, checksums give the published answers, the pool runs every
 * task once whatever the number of threads, files are written atomically, names are matched as promised.
 * SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>
#include "testing.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void checksums(void **state) {
    (void)state;
    uint8_t zeros[32] = {0}, digest[32];
    assert_int_equal(swg__crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(swg__crc32c(0, zeros, 32), 0x8a9136aau);
    assert_int_equal(swg__crc32c(swg__crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
    swg__sha256("abc", 3, digest);
    static const uint8_t abc[4] = {0xba, 0x78, 0x16, 0xbf};
    assert_memory_equal(digest, abc, 4);
    char long_text[200];
    memset(long_text, 'a', sizeof long_text);
    swg__sha256(long_text, 119, digest); /* two final blocks */
    static const uint8_t a119[4] = {0x31, 0xeb, 0xa5, 0x1c};
    assert_memory_equal(digest, a119, 4);
    assert_int_equal(swg__fnv1a("shuffle"), 0x790c294eu);
    assert_int_equal(swg__fnv1a("init:encoder.fc1.weight"), 0x05ca27d5u);
}

static void memory(void **state) {
    swg_context *ctx = *state;
    uint64_t bytes = swg_context_bytes(ctx), calls = swg_context_allocations(ctx);
    char *a = swg__alloc(ctx, 100);
    assert_int_equal((uintptr_t)a % 64, 0);
    assert_int_equal(swg_context_bytes(ctx), bytes + 100);
    assert_int_equal(swg_context_allocations(ctx), calls + 1);
    strcpy(a, "kept");
    a = swg__grow(ctx, a, 4000);
    assert_string_equal(a, "kept");
    swg__free(ctx, a);
    assert_int_equal(swg_context_bytes(ctx), bytes);
    assert_null(swg__calloc(ctx, SIZE_MAX / 2, 3));
    int64_t product;
    assert_true(swg__mul_overflow(INT64_MAX / 2, 3, &product));
    assert_true(swg__mul_overflow(-1, 3, &product));
    assert_false(swg__mul_overflow(1 << 20, 1 << 20, &product));
    assert_int_equal(product, (int64_t)1 << 40);
    swg__arena arena;
    swg__arena_init(&arena, ctx);
    char *last = NULL;
    for (int i = 0; i < 1000; i++) {
        char *p = swg__arena_alloc(&arena, (size_t)(i * 37 % 500) + 1);
        assert_non_null(p);
        assert_int_equal(p[0], 0);
        *p = (char)i;
        last = p;
    }
    assert_int_equal((uint8_t)*last, (uint8_t)999);
    assert_non_null(swg__arena_alloc(&arena, 1 << 20));
    swg__arena_free(&arena);
    assert_int_equal(swg_context_bytes(ctx), bytes);
}

static void text(void **state) {
    swg_context *ctx = *state;
    swg__text t;
    swg__text_init(&t, ctx);
    for (int i = 0; i < 300; i++)
        swg__text_printf(&t, "%d,", i);
    assert_false(t.failed);
    assert_memory_equal(t.data, "0,1,2,", 6);
    assert_int_equal(strlen(t.data), t.length);
    swg__text_free(&t);
    static const char *const keys[] = {"optimizer.lr", "optimizer.name", "trainer.epochs"};
    assert_string_equal(swg__nearest("optimiser.lr", keys, 3), "optimizer.lr");
    assert_string_equal(swg__nearest("trainer.epohcs", keys, 3), "trainer.epochs");
    assert_null(swg__nearest("quite.else", keys, 3));
    assert_true(swg__glob("U_*", "U_CHI"));
    assert_true(swg__glob("*_?HI", "U_CHI"));
    assert_true(swg__glob("*", ""));
    assert_false(swg__glob("U_*", "C_HAM"));
    static const char *const good[] = {"", "a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80", "\xc3", "\xc3(", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xff"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(swg__utf8_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(swg__utf8_valid(bad[i], strlen(bad[i])));
    const char *euro = good[3];
    assert_int_equal(swg__utf8_next(&euro, euro + 3), 0x20ac);
    assert_ptr_equal(euro, good[3] + 3);
}

static void files(void **state) {
    swg_context *ctx = *state;
    char folder[] = "/tmp/swage-test-XXXXXX", path[128];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a/b", folder);
    assert_int_equal(swg__make_folders(ctx, path), SWG_OK);
    snprintf(path, sizeof path, "%s/a/b/c.bin", folder);
    assert_int_equal(swg__file_write(ctx, path, "old", 3), SWG_OK);
    swg__writer writer;
    assert_int_equal(swg__writer_open(&writer, ctx, path), SWG_OK);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(swg__writer_write(&writer, "0123456789", 10), SWG_OK);
    uint8_t *data;
    size_t bytes;
    assert_int_equal(swg__file_read(ctx, path, &data, &bytes), SWG_OK);
    assert_int_equal(bytes, 3); /* the old file stands until commit */
    swg__free(ctx, data);
    assert_int_equal(swg__writer_commit(&writer), SWG_OK);
    assert_int_equal(swg__file_read(ctx, path, &data, &bytes), SWG_OK);
    assert_int_equal(bytes, 1000000);
    assert_int_equal(data[999999], '9');
    swg__free(ctx, data);
    assert_int_equal(swg__writer_open(&writer, ctx, path), SWG_OK);
    swg__writer_abort(&writer);
    char **names;
    size_t count;
    snprintf(path, sizeof path, "%s/a/b", folder);
    assert_int_equal(swg__list_folder(ctx, path, &names, &count), SWG_OK);
    assert_int_equal(count, 1); /* no temporary file left */
    assert_string_equal(names[0], "c.bin");
    swg__list_free(ctx, names, count);
    assert_int_equal(swg__file_read(ctx, "/nowhere/at/all", &data, &bytes), SWG_ENOTFOUND);
    assert_non_null(strstr(swg_context_message(ctx), "/nowhere/at/all"));
    /* A full disk: the write fails, and so does the commit; no half file under the final name. */
    if (access("/dev/full", W_OK) == 0) {
        assert_int_equal(swg__file_read(ctx, "/dev/full", &data, &bytes), SWG_EIO);
    }
    snprintf(path, sizeof path, "rm -rf %s", folder);
    assert_int_equal(system(path), 0);
}

struct counted {
    atomic_int hits[1000];
    swg_context *ctx;
    atomic_int nested;
};

static void nested_task(void *arg, int64_t task, int worker) {
    struct counted *c = arg;
    (void)task;
    (void)worker;
    atomic_fetch_add(&c->nested, 1);
}

static void task(void *arg, int64_t index, int worker) {
    struct counted *c = arg;
    assert_in_range(worker, 0, swg_context_threads(c->ctx) - 1);
    atomic_fetch_add(&c->hits[index], 1);
    if (index % 100 == 0)
        swg__parallel(c->ctx, 3, nested_task, c);
}

static void pool(void **state) {
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        swg_context *ctx;
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads}, &ctx), SWG_OK);
        assert_int_equal(swg_context_threads(ctx), threads);
        for (int round = 0; round < 200; round++) {
            static struct counted c;
            memset(&c, 0, sizeof c);
            c.ctx = ctx;
            swg__parallel(ctx, 1000, task, &c);
            for (int i = 0; i < 1000; i++)
                assert_int_equal(c.hits[i], 1);
            assert_int_equal(c.nested, 30);
            if (round % 50 == 49)
                usleep(1000); /* let the workers fall asleep */
        }
        swg_context_close(ctx);
    }
}

/* A file with a number, its folder made if need be. */
static void put_number(const char *folder, const char *name, long long number) {
    char path[512];
    for (size_t i = 1; i <= strlen(folder); i++)
        if (folder[i] == '/' || !folder[i]) {
            snprintf(path, sizeof path, "%.*s", (int)i, folder);
            mkdir(path, 0700);
        }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%lld\n", number);
    fclose(file);
}

/* The smallest room of the own group and of those around it, in either version of control groups; "max" is no limit. */
static void control_groups(void **state) {
    (void)state;
    char root[] = "/tmp/swage-groups-XXXXXX", path[256], list[256];
    assert_non_null(mkdtemp(root));
    snprintf(list, sizeof list, "%s/list", root);
    FILE *file = fopen(list, "w");
    fprintf(file, "4:memory:/job/step\n3:cpuset:/\n0::/slice/unit\n");
    fclose(file);
    assert_int_equal(swg__group_room(list, root, 1000), 1000);
    snprintf(path, sizeof path, "%s/slice", root);
    put_number(path, "memory.max", 900);
    put_number(path, "memory.current", 100);
    assert_int_equal(swg__group_room(list, root, 1000), 800);
    assert_int_equal(swg__group_room(list, root, 500), 500);
    snprintf(path, sizeof path, "%s/memory/job/step", root);
    put_number(path, "memory.limit_in_bytes", 700);
    put_number(path, "memory.usage_in_bytes", 650);
    assert_int_equal(swg__group_room(list, root, 1000), 50);
    put_number(path, "memory.usage_in_bytes", 750);
    assert_int_equal(swg__group_room(list, root, 1000), 0);
    snprintf(path, sizeof path, "rm -rf %s", root);
    assert_int_equal(system(path), 0);
    assert_true(swg__available_bytes() > 0);
}

static void bad_input(void **state) {
    (void)state;
    swg_context *ctx = NULL;
    assert_int_equal(swg_context_open(&(swg_context_opts){.isa = "mmx"}, &ctx), SWG_EINVAL);
    assert_null(ctx);
    assert_int_equal(swg_context_open(NULL, NULL), SWG_EINVAL);
    assert_string_equal(swg_status_name((swg_status)999), "SWG_?");
    assert_string_equal(swg_status_name(SWG_ESHAPE), "SWG_ESHAPE");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums),
        cmocka_unit_test_setup_teardown(memory, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(text, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(files, testing_open, testing_close),
        cmocka_unit_test(pool),
        cmocka_unit_test(control_groups),
        cmocka_unit_test(bad_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
