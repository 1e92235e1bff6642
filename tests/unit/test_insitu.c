/* test_insitu.c - proves: batches of lines, faces and octants of every type go through caller-owned memory within the bound and the size
 * promised; after setup nothing is allocated, not even by the C library; the memory asked for is enough whatever the values are, and where
 * less is left than it takes nothing but size suffers; coders on several threads give the bytes of one; damage is found.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include "codec/insitu.h"
#include "codec_testing.h"

/* ---- every call of the heap, the C library's own included; not where a sanitiser has it ---- */

static atomic_llong heap_calls;
#if defined(__GLIBC__) && !defined(SWG_SANITISED)
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *old, size_t bytes);
extern void *__libc_memalign(size_t align, size_t bytes);
void *malloc(size_t bytes) {
    atomic_fetch_add(&heap_calls, 1);
    return __libc_malloc(bytes);
}
void *calloc(size_t count, size_t bytes) {
    atomic_fetch_add(&heap_calls, 1);
    return __libc_calloc(count, bytes);
}
void *realloc(void *old, size_t bytes) {
    atomic_fetch_add(&heap_calls, 1);
    return __libc_realloc(old, bytes);
}
int posix_memalign(void **out, size_t align, size_t bytes) {
    atomic_fetch_add(&heap_calls, 1);
    *out = __libc_memalign(align, bytes);
    return *out ? 0 : 12;
}
void *aligned_alloc(size_t align, size_t bytes) {
    atomic_fetch_add(&heap_calls, 1);
    return __libc_memalign(align, bytes);
}
static const bool heap_counted = true;
#else
static const bool heap_counted = false;
#endif

typedef enum pattern { SMOOTH, NOISE, BITS, JUMPS, CONSTANT, HOLES, ALTERNATING, PATTERNS } pattern;

static void fill(const swg_insitu_opts *o, int64_t values, pattern p, void *data, uint64_t seed) {
    swg_codec_array a = {.type = o->type, .ndim = 2, .dims = {values / o->dims[o->ndim - 1], o->dims[o->ndim - 1]}};
    size_t size = (size_t)swg_element_bytes(o->type);
    fill_smooth(&a, data, seed);
    for (int64_t i = 0; i < values; i++) {
        char *at = (char *)data + (size_t)i * size;
        uint64_t bits = noise(&seed);
        double v = (double)(int64_t)(bits >> 11) / 0x1p52 - 1;
        v = p == JUMPS ? ldexp(v, (int)(bits & 127) - 64) : p == ALTERNATING ? (i & 1 ? 1e15 : -1e15) * v : v;
        if (p == BITS || (p == NOISE && !(o->type == SWG_ELEMENT_F32 || o->type == SWG_ELEMENT_F64)))
            memcpy(at, &bits, size);
        else if (p == CONSTANT)
            memset(at, 0, size);
        else if (p != SMOOTH && o->type == SWG_ELEMENT_F32)
            *(float *)(void *)at = p == HOLES && bits % 3 == 0 ? NAN : (float)v;
        else if (p != SMOOTH && o->type == SWG_ELEMENT_F64)
            *(double *)(void *)at = p == HOLES && bits % 3 == 0 ? INFINITY : v;
    }
}

static const struct { swg_element type; int ndim; int64_t dims[3], items; } shapes[] = {
    {SWG_ELEMENT_F64, 3, {5, 5, 5}, 40},  {SWG_ELEMENT_F32, 3, {7, 7, 7}, 64}, {SWG_ELEMENT_F32, 2, {7, 7}, 200}, {SWG_ELEMENT_F64, 2, {9, 13}, 30},
    {SWG_ELEMENT_F32, 1, {1000}, 3},      {SWG_ELEMENT_I32, 3, {4, 4, 4}, 17}, {SWG_ELEMENT_U8, 2, {16, 16}, 9},  {SWG_ELEMENT_I64, 1, {1}, 50},
    {SWG_ELEMENT_F32, 3, {32, 32, 32}, 2}, {SWG_ELEMENT_F64, 3, {32, 32, 32}, 1}, {SWG_ELEMENT_F32, 2, {1, 1}, 1},
};

static void keeps_promises(void **state) {
    swg_context *ctx = *state;
    static const struct { swg_bound_mode mode; double value; } bounds[] = {{SWG_BOUND_ABS, 1e-3}, {SWG_BOUND_LOSSLESS, 0}, {SWG_BOUND_REL, 1e-5}, {SWG_BOUND_ABS, 1e-12}};
    double fullest = 0;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s += TESTING_RACES ? 4 : 1)
        for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++) {
            swg_insitu_opts o = {.type = shapes[s].type, .ndim = shapes[s].ndim, .items = shapes[s].items, .bound = bounds[b].mode, .value = bounds[b].value,
                                 .range_min = -1, .range_max = 1};
            memcpy(o.dims, shapes[s].dims, sizeof o.dims);
            int64_t values = o.items;
            for (int i = 0; i < o.ndim; i++)
                values *= o.dims[i];
            size_t raw = (size_t)values * (size_t)swg_element_bytes(o.type), memory = swg_insitu_memory(&o), worst = swg_insitu_worst(&o, o.items);
            assert_true(memory > 0);
            assert_true(worst >= raw && worst <= raw + 120);
            void *work = malloc(memory), *data = malloc(raw), *message = malloc(worst), *restored = malloc(raw);
            swg_insitu *coder;
            assert_int_equal(swg_insitu_open(&o, work, memory, &coder), SWG_OK);
            for (int p = 0; p < PATTERNS; p++) {
                size_t bytes = 0;
                swg_codec_gap gap;
                fill(&o, values, (pattern)p, data, 7 + (uint64_t)p);
                memset(restored, 0x5A, raw);
                long long before = atomic_load(&heap_calls);
                swg_status there = swg_insitu_compress(coder, data, o.items, message, worst, &bytes);
                swg_status back = there == SWG_OK ? swg_insitu_decompress(coder, message, bytes, restored, o.items) : there;
                long long calls = atomic_load(&heap_calls) - before;
                if (there != SWG_OK || back != SWG_OK)
                    fail_msg("shape %zu, pattern %d: %s", s, p, swg_insitu_message(coder));
                assert_int_equal(calls, 0);
                assert_int_equal(swg__insitu_region(coder)->refused, 0); /* the memory asked for is enough */
                assert_true(bytes <= worst);
                assert_int_equal(swg_insitu_items(message, bytes), o.items);
                double eb = o.bound == SWG_BOUND_REL ? o.value * 2 : o.value;
                swg_codec_array a = {.type = o.type, .ndim = 1, .dims = {values}, .data = data};
                assert_ok(ctx, swg_codec_compare(ctx, &a, restored, eb, &gap));
                if (gap.violations)
                    fail_msg("shape %zu, bound %zu, pattern %d: %lld violations, largest error %.17g", s, b, p, (long long)gap.violations, gap.max_abs_error);
                if (p == CONSTANT)
                    assert_true(bytes <= 64 + 60);
                if (p == SMOOTH && values > 3000 && o.bound == SWG_BOUND_ABS && b == 0 && o.type == SWG_ELEMENT_F64)
                    assert_true(bytes < raw / 3);
            }
            double used = (double)swg__insitu_region(coder)->peak / (double)(memory - sizeof(swg__region));
            fullest = used > fullest ? used : fullest;
            swg_insitu_close(coder);
            free(restored);
            free(message);
            free(data);
            free(work);
        }
    print_message("fullest region: %.0f %%\n", 100 * fullest);
    assert_true(fullest < 1);
    if (heap_counted)
        assert_true(atomic_load(&heap_calls) > 0); /* the counter counts */
}

/* With a coder's memory cut short inside, items are stored: the bound and the size stay. */
static void short_of_memory(void **state) {
    swg_context *ctx = *state;
    swg_insitu_opts o = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {7, 7, 7}, .items = 64, .bound = SWG_BOUND_ABS, .value = 1e-3};
    enum { VALUES = 64 * 343 };
    static float data[VALUES], restored[VALUES];
    size_t memory = swg_insitu_memory(&o), worst = swg_insitu_worst(&o, o.items), bytes;
    char *work = malloc(memory), *message = malloc(worst);
    swg_insitu *coder;
    swg_codec_gap gap;
    fill(&o, VALUES, SMOOTH, data, 3);
    assert_int_equal(swg_insitu_open(&o, work, memory, &coder), SWG_OK);
    assert_int_equal(swg_insitu_compress(coder, data, o.items, message, worst, &bytes), SWG_OK);
    assert_true(bytes < sizeof data / 2);
    swg__region *region = (swg__region *)(uintptr_t)swg__insitu_region(coder);
    void *taken[64];
    int count = 0;
    while (count < 64 && (taken[count] = swg__region_alloc(region, 64, memory / 40)))
        count++;
    assert_int_equal(swg_insitu_compress(coder, data, o.items, message, worst, &bytes), SWG_OK);
    assert_true(region->refused > 0);
    assert_true(bytes >= sizeof data && bytes <= worst);
    assert_int_equal(swg_insitu_decompress(coder, message, bytes, restored, o.items), SWG_OK);
    swg_codec_array a = {.type = o.type, .ndim = 1, .dims = {VALUES}, .data = data};
    assert_ok(ctx, swg_codec_compare(ctx, &a, restored, 1e-3, &gap));
    assert_int_equal(gap.violations, 0);
    while (count)
        swg__region_release(region, taken[--count]);
    swg_insitu_close(coder);
    /* Too little to begin with is refused; an odd address is not. */
    assert_int_equal(swg_insitu_open(&o, work, memory - 1, &coder), SWG_ENOMEM);
    assert_null(coder);
    char *odd = malloc(memory + 7);
    assert_int_equal(swg_insitu_open(&o, odd + 7, memory, &coder), SWG_OK);
    assert_int_equal(swg_insitu_compress(coder, data, o.items, message, worst, &bytes), SWG_OK);
    assert_int_equal(swg_insitu_compress(coder, data, o.items, message, 200, &bytes), SWG_ESHAPE);
    assert_int_equal(swg_insitu_compress(coder, data, o.items + 1, message, worst, &bytes), SWG_EINVAL);
    assert_int_equal(swg_insitu_compress(coder, data, 0, message, worst, &bytes), SWG_EINVAL);
    swg_insitu_close(coder);
    free(odd);
    free(message);
    free(work);
}

static void wrong_options(void **state) {
    (void)state;
    const swg_insitu_opts good = {.type = SWG_ELEMENT_F32, .ndim = 2, .dims = {7, 7}, .items = 4, .bound = SWG_BOUND_ABS, .value = 1};
    swg_insitu_opts o[8];
    for (int i = 0; i < 8; i++)
        o[i] = good;
    o[0].type = (swg_element)99;
    o[1].ndim = 4;
    o[2].dims[1] = 0;
    o[3].items = 0;
    o[4].items = 1 << 24;
    o[5].value = -1;
    o[6].bound = SWG_BOUND_PSNR;
    o[7].isa = "abacus";
    static char memory[1 << 20];
    for (int i = 0; i < 8; i++) {
        swg_insitu *coder;
        assert_true(swg_insitu_open(&o[i], memory, sizeof memory, &coder) != SWG_OK);
        assert_null(coder);
        assert_true(i == 7 || (swg_insitu_memory(&o[i]) == 0 && swg_insitu_worst(&o[i], 1) == 0));
    }
    assert_int_equal(swg_insitu_worst(&good, 5), 0);
}

/* Cut and changed messages: refused, zeros; never other values without a word. */
static void damage(void **state) {
    (void)state;
    swg_insitu_opts o = {.type = SWG_ELEMENT_F64, .ndim = 2, .dims = {7, 7}, .items = 30, .bound = SWG_BOUND_ABS, .value = 1e-4};
    enum { VALUES = 30 * 49 };
    static double data[VALUES], restored[VALUES];
    size_t memory = swg_insitu_memory(&o), worst = swg_insitu_worst(&o, 30), bytes;
    char *work = malloc(memory), *message = malloc(worst);
    swg_insitu *coder;
    uint64_t seed = 9;
    fill(&o, VALUES, SMOOTH, data, 3);
    assert_int_equal(swg_insitu_open(&o, work, memory, &coder), SWG_OK);
    assert_int_equal(swg_insitu_compress(coder, data, 30, message, worst, &bytes), SWG_OK);
    for (size_t cut = 0; cut < bytes; cut += 1 + cut / 8) {
        restored[5] = 1;
        assert_true(swg_insitu_decompress(coder, message, cut, restored, 30) != SWG_OK);
        assert_true(restored[5] == 0);
    }
    for (int i = 0; i < 300; i++) {
        size_t at = noise(&seed) % bytes;
        char was = message[at];
        message[at] = (char)(was ^ 1 << (noise(&seed) & 7));
        assert_true(swg_insitu_decompress(coder, message, bytes, restored, 30) != SWG_OK);
        message[at] = was;
    }
    assert_int_equal(swg_insitu_decompress(coder, message, bytes, restored, 29), SWG_ESHAPE);
    assert_int_equal(swg_insitu_decompress(coder, message, bytes, restored, 30), SWG_OK);
    assert_int_equal(swg_insitu_items(message, 63), -1);
    swg_insitu_close(coder);
    free(message);
    free(work);
}

/* ---- one coder per thread ---- */

typedef struct rank {
    pthread_t thread;
    const float *data;
    swg_insitu_opts opts;
    char *message;
    size_t bytes;
    bool good;
} rank;

static void *work_alone(void *arg) {
    rank *r = arg;
    size_t memory = swg_insitu_memory(&r->opts), worst = swg_insitu_worst(&r->opts, 50);
    void *work = malloc(memory);
    float *restored = malloc(50 * 343 * sizeof *restored);
    swg_insitu *coder;
    r->good = swg_insitu_open(&r->opts, work, memory, &coder) == SWG_OK;
    for (int i = 0; i < 20 && r->good; i++) /* the last message is kept */
        r->good = swg_insitu_compress(coder, r->data + (i % 2 == 0 ? 343 : 0), 50 - (i % 2 == 0), r->message, worst, &r->bytes) == SWG_OK &&
                  swg_insitu_decompress(coder, r->message, r->bytes, restored, 50 - (i % 2 == 0)) == SWG_OK;
    swg_insitu_close(coder);
    free(restored);
    free(work);
    return NULL;
}

static void threads(void **state) {
    (void)state;
    enum { RANKS = 4 };
    static float data[50 * 343];
    rank r[RANKS];
    swg_insitu_opts o = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {7, 7, 7}, .items = 50, .bound = SWG_BOUND_ABS, .value = 1e-3};
    fill(&o, 50 * 343, SMOOTH, data, 3);
    for (int i = 0; i < RANKS; i++) {
        r[i] = (rank){.data = data, .opts = o, .message = malloc(swg_insitu_worst(&o, 50))};
        assert_int_equal(pthread_create(&r[i].thread, NULL, work_alone, &r[i]), 0);
    }
    for (int i = 0; i < RANKS; i++)
        pthread_join(r[i].thread, NULL);
    for (int i = 0; i < RANKS; i++) {
        assert_true(r[i].good);
        assert_int_equal(r[i].bytes, r[0].bytes);
        assert_memory_equal(r[i].message, r[0].message, r[0].bytes);
    }
    for (int i = 0; i < RANKS; i++)
        free(r[i].message);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keeps_promises, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(short_of_memory, testing_open, testing_close),
        cmocka_unit_test(wrong_options),
        cmocka_unit_test(damage),
        cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
