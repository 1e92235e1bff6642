/* test_codec_causal.c - proves: the network of mode W-MLP has the published features and sums; its kernels give the same bits as plain
 * loops on every instruction set, also with weights, biases and levels at their limits; malformed models are refused by name; models
 * make whole files that are the same bytes everywhere, and cost nothing where they do not fit.
 * SPDX-License-Identifier: Apache-2.0 */
#include "codec/model.h"
#include "codec/stencil.h"
#include "codec_causal.h"
#include "codec_testing.h"
#include "context.h"

static const int light[] = {28, 16, 8, 2}, heavy[] = {28, 64, 32, 2};

/* ---- the definition, slowly ---- */

static void slow_features(const int64_t d[SWG__TAPS], bool wide, int x[SWG__FEATURES]) {
    int64_t s = 27;
    for (int k = 1; k < SWG__TAPS; k++)
        s += 4 * llabs(d[k]);
    int e = 0;
    while (s >> (e + 1))
        e++;
    int m = (int)((double)(s - ((int64_t)1 << e)) * 256 / (double)((int64_t)1 << e)), c = 4 * (e - 4) + m / 64, most = wide ? 127 : 63;
    int64_t g = (2 * 110592 * 256 + 256 + m) / (2 * (256 + m)), unit = (int64_t)1 << (e + 6);
    for (int k = 1; k < SWG__TAPS; k++) {
        int64_t v = d[k] * g + unit / 2;
        v = v >= 0 ? v / unit : -((-v + unit - 1) / unit);
        x[k - 1] = (int)(v < -127 ? -127 : v > 127 ? 127 : v);
    }
    c = 2 * (c > most ? most : c) - 64;
    x[SWG__FEATURES - 1] = c > 127 ? 127 : c;
}

/* The two sums of a NET. */
static void slow_run(const uint8_t *at, const int *features, int64_t out[2]) {
    int64_t x[1024] = {0}, y[1024] = {0};
    int layers = at[0];
    for (int i = 0; i < SWG__FEATURES; i++)
        x[i] = features[i];
    at += 4;
    for (int l = 0; l < layers; l++) {
        int in = swg__load16(at), outs = swg__load16(at + 2), shift = at[4], row = (in + 3) / 4 * 4;
        const uint8_t *bias = at + 8, *w = bias + 4 * outs;
        for (int j = 0; j < outs; j++) {
            int64_t sum = (int32_t)swg__load32(bias + 4 * j), unit = (int64_t)1 << shift;
            for (int i = 0; i < in; i++)
                sum += x[i] * (int8_t)w[j * row + i];
            int64_t v = sum + unit / 2;
            v = v >= 0 ? v / unit : -((-v + unit - 1) / unit);
            y[j] = l == layers - 1 ? sum : v < 0 ? 0 : v > 255 ? 255 : v;
        }
        memcpy(x, y, sizeof x);
        at = w + outs * row;
    }
    out[0] = x[0];
    out[1] = x[1];
}

/* ---- published values ---- */

typedef struct known_point { int d[6], every, step; int s, c; int x[SWG__FEATURES]; } known_point; /* d of taps 1..6, or every + step k */

static const known_point known[] = {
    {{0}, 0, 0, 27, 2, {[27] = -60}},
    {{1}, 0, 0, 31, 3, {56, [27] = -58}},
    {{-1}, 0, 0, 31, 3, {-56, [27] = -58}},
    {{3, -2, 5, -7, 11, -13}, 0, 0, 191, 13, {27, -18, 45, -63, 100, -118, [27] = -38}},
    {{0}, -13, 1, 755, 21, {-30, -28, -25, -23, -21, -18, -16, -14, -11, -9, -7, -5, -2, 0, 2, 5, 7, 9, 11, 14, 16, 18, 21, 23, 25, 28, 30, -22}},
    {{0}, 8191, 0, 884655, 62, {16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 60}},
};

static int64_t known_difference(const known_point *p, int k) {
    return p->every || p->step ? p->every + (k - 1) * p->step : k <= 6 ? p->d[k - 1] : 0;
}

static void published_features(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        int64_t d[SWG__TAPS] = {0};
        int8_t x[SWG__FEATURES];
        int slow[SWG__FEATURES];
        for (int k = 1; k < SWG__TAPS; k++)
            d[k] = known_difference(&known[i], k);
        swg__causal_features(d, known[i].s, false, x);
        slow_features(d, false, slow);
        assert_int_equal(swg__activity_class(known[i].s, false), known[i].c);
        for (int k = 0; k < SWG__FEATURES; k++) {
            assert_int_equal(x[k], known[i].x[k]);
            assert_int_equal(slow[k], known[i].x[k]);
        }
    }
    static const struct { int m; uint32_t g; } g[] = {{0, 110592}, {1, 110162}, {64, 88474}, {127, 73921}, {128, 73728}, {255, 55404}};
    for (int i = 0; i < 6; i++)
        assert_int_equal(swg__reciprocal[g[i].m], g[i].g);
    static const int64_t first[8] = {8, 10, 11, 13, 16, 19, 23, 27};
    assert_memory_equal(swg__scale, first, sizeof first);
    assert_int_equal(swg__scale[20], 256);
    assert_int_equal(swg__scale[28], 1024);
    assert_int_equal(swg__scale[63], 440872);
    uint8_t words[128 * 8];
    for (int i = 0; i < 256; i++)
        swg__store32(words + 4 * i, swg__reciprocal[i]);
    assert_int_equal(swg__crc32c(0, words, 1024), 0xEC2435A0);
    for (int i = 0; i < 64; i++)
        swg__store32(words + 4 * i, (uint32_t)swg__scale[i]);
    assert_int_equal(swg__crc32c(0, words, 256), 0xCB5F9D9A);
    for (int i = 0; i < 128; i++)
        swg__store64(words + 8 * i, (uint64_t)swg__scale[i]);
    assert_int_equal(swg__crc32c(0, words, 1024), 0xBB521D69);
}

static swg__stencil open_model(swg_context *ctx, swg__isa isa, const swg__text *blob) {
    swg__stencil model;
    const char *why = causal_open(ctx, isa, blob->data, blob->length, &model);
    if (why)
        fail_msg("%s", why);
    return model;
}

static void published_sums(void **state) {
    swg_context *ctx = *state;
    swg__text blob;
    swg__text_init(&blob, ctx);
    causal_blob(&blob, light, 3);
    assert_int_equal(blob.length, CAUSAL_NET + 4 + 24 + 104 + 592);
    int64_t slow[2];
    slow_run((const uint8_t *)blob.data + CAUSAL_NET, known[4].x, slow);
    assert_int_equal(slow[0], 612);
    assert_int_equal(slow[1], 260);
    int bucket = 18;
    assert_int_equal(4 + swg__causal_apply(612, 260, false, &bucket), 8);
    assert_int_equal(bucket, 19);
    for (int isa = 0; isa <= (int)ctx->isa; isa++) {
        swg__stencil model = open_model(ctx, (swg__isa)isa, &blob);
        int64_t stride = swg__causal_stride(model.net, 1);
        uint32_t *x = swg__calloc(ctx, (size_t)(swg__causal_words(model.net) * stride), sizeof *x);
        int32_t *sums = swg__alloc(ctx, 2 * (size_t)stride * sizeof *sums);
        void *scratch = swg__alloc(ctx, swg__causal_scratch(model.net));
        int8_t features[SWG__FEATURES];
        for (int k = 0; k < SWG__FEATURES; k++)
            features[k] = (int8_t)known[4].x[k];
        swg__causal_lay(model.net, features, x, stride);
        model.net->kernels->run(model.net, x, stride, 1, scratch, sums, sums + stride);
        assert_int_equal(sums[0], 612);
        assert_int_equal(sums[stride], 260);
        swg__free(ctx, scratch);
        swg__free(ctx, sums);
        swg__free(ctx, x);
        swg__causal_close(ctx, &model);
    }
    swg__text_free(&blob);
}

/* ---- kernels against plain loops ---- */

enum { MOST_POINTS = 70 };

/* Levels of n points: small, at the limits, or only zeros. */
static void make_levels(int32_t level[SWG__TAPS][MOST_POINTS + 2 * SWG__TAP_SLACK], int kind, uint64_t *seed) {
    for (int k = 0; k < SWG__TAPS; k++)
        for (int i = 0; i < MOST_POINTS + 2 * SWG__TAP_SLACK; i++) {
            int32_t r = (int32_t)(noise(seed) >> 40);
            level[k][i] = kind == 0 ? r % 40 : kind == 1 ? r % 8192 : kind == 2 ? (k ? (r & 1 ? 8191 : -8192) : 0) : kind == 3 ? 5 : i % (k + 1) * (r % 300);
        }
}

static void check_points(swg_context *ctx, const swg__stencil *model, const uint8_t *net, int64_t n, int kind, uint64_t *seed) {
    static int32_t level[SWG__TAPS][MOST_POINTS + 2 * SWG__TAP_SLACK];
    const int32_t *tap[SWG__TAPS];
    int64_t sums[MOST_POINTS], sizes[MOST_POINTS], stride = swg__causal_stride(model->net, n);
    uint32_t *x = swg__alloc(ctx, (size_t)(swg__causal_words(model->net) * stride) * sizeof *x), word[SWG__FEATURES];
    int32_t *found = swg__alloc(ctx, 2 * (size_t)stride * sizeof *found);
    void *scratch = swg__alloc(ctx, swg__causal_scratch(model->net));
    make_levels(level, kind, seed);
    for (int k = 0; k < SWG__TAPS; k++)
        tap[k] = level[k];
    assert_false(model->net->kernels->features(tap, model->w, n, sums, sizes, x, stride));
    model->net->kernels->run(model->net, x, stride, n, scratch, found, found + stride);
    for (int64_t i = 0; i < n; i++) {
        int64_t d[SWG__TAPS], sum = 0, size = 27, slow[2];
        int features[SWG__FEATURES];
        int8_t codes[SWG__FEATURES];
        for (int k = 1; k < SWG__TAPS; k++) {
            d[k] = level[k][i] - level[0][i];
            sum += model->w[k] * d[k];
            size += 4 * llabs(d[k]);
        }
        assert_int_equal(sums[i], sum);
        assert_int_equal(sizes[i], size);
        slow_features(d, false, features);
        for (int k = 0; k < SWG__FEATURES; k++)
            codes[k] = (int8_t)features[k];
        swg__causal_lay(model->net, codes, word, 1);
        for (int64_t k = 0; k < swg__causal_words(model->net); k++)
            assert_int_equal(x[k * stride + i], word[k]);
        slow_run(net, features, slow);
        assert_int_equal(found[i], slow[0]);
        assert_int_equal(found[stride + i], slow[1]);
    }
    swg__free(ctx, scratch);
    swg__free(ctx, found);
    swg__free(ctx, x);
}

static void same_bits_everywhere(void **state) {
    swg_context *ctx = *state;
    static const int single[] = {28, 2}, odd[] = {28, 5, 1, 7, 2}, long_net[] = {28, 9, 33, 130, 6, 3, 11, 4, 2};
    static const struct { const int *width; int layers; } nets[] = {{light, 3}, {heavy, 3}, {single, 1}, {odd, 4}, {long_net, 8}};
    uint64_t seed = 5;
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++)
        for (int extreme = 0; extreme < 2; extreme++) {
            swg__text blob;
            swg__text_init(&blob, ctx);
            causal_blob(&blob, nets[i].width, 0);
            swg__store16((uint8_t *)blob.data + 4, SWG__KIND_CAUSAL);
            causal_put_net(&blob, nets[i].width, nets[i].layers, extreme);
            swg__store32((uint8_t *)blob.data + 8, (uint32_t)blob.length);
            for (int isa = 0; isa <= (int)ctx->isa; isa++) {
                swg__stencil model = open_model(ctx, (swg__isa)isa, &blob);
                for (int kind = 0; kind < 5; kind++)
                    for (int64_t n = 1; n <= MOST_POINTS; n += n < 4 ? 1 : 13)
                        check_points(ctx, &model, (const uint8_t *)blob.data + CAUSAL_NET, n, kind, &seed);
                swg__causal_close(ctx, &model);
            }
            swg__text_free(&blob);
        }
}

/* A difference outside -8192..8191 is reported, one behind the end is not. */
static void reports_far_levels(void **state) {
    swg_context *ctx = *state;
    static int32_t level[SWG__TAPS][MOST_POINTS + 2 * SWG__TAP_SLACK];
    const int32_t *tap[SWG__TAPS];
    for (int k = 0; k < SWG__TAPS; k++)
        tap[k] = level[k];
    for (int isa = 0; isa <= (int)ctx->isa; isa++) {
        const swg__causal_kernels *kernels = swg__causal_kernels_for((swg__isa)isa);
        uint32_t x[SWG__FEATURES * 128];
        const int32_t w[SWG__TAPS] = {0};
        int64_t sums[MOST_POINTS], sizes[MOST_POINTS];
        for (int64_t n = 1; n < 40; n += 3) {
            level[9][n] = INT32_MIN;
            assert_false(kernels->features(tap, w, n, sums, sizes, x, 128));
            level[9][n] = 0;
            level[27][n - 1] = n & 1 ? 8192 : -8193;
            assert_true(kernels->features(tap, w, n, sums, sizes, x, 128));
            level[27][n - 1] = 0;
        }
    }
}

/* The model with one byte changed (value above 255: with four bytes of it) must be refused for this reason. */
static void refuse(swg_context *ctx, const swg__text *blob, size_t at, uint32_t value, const char *reason) {
    uint8_t *copy = malloc(blob->length);
    swg__stencil model;
    memcpy(copy, blob->data, blob->length);
    if (value > 255)
        swg__store32(copy + at, value);
    else
        copy[at] = (uint8_t)value;
    const char *why = causal_open(ctx, ctx->isa, copy, blob->length, &model);
    if (!why || strcmp(why, reason) != 0)
        fail_msg("byte %zu = %u: expected \"%s\", found \"%s\"", at, (unsigned)value, reason, why ? why : "accepted");
    assert_null(model.net);
    free(copy);
}

static void malformed_models(void **state) {
    swg_context *ctx = *state;
    enum { LAYER = CAUSAL_NET + 4, SECOND = LAYER + 8 + 4 * 16 + 16 * 28, LAST = SECOND + 8 + 4 * 8 + 8 * 16 };
    swg__stencil model;
    for (int layers = 0; layers <= 3; layers += 3) {
        swg__text blob;
        swg__text_init(&blob, ctx);
        causal_blob(&blob, light, layers);
        assert_null(causal_open(ctx, ctx->isa, blob.data, blob.length, &model));
        assert_true((model.net != NULL) == (layers > 0));
        swg__causal_close(ctx, &model);
        refuse(ctx, &blob, CAUSAL_BODY + 56, CAUSAL_C_MAX + 1, "stencil parameters are too short or their classes impossible");
        refuse(ctx, &blob, CAUSAL_BODY + 57, 128, "stencil parameters are too short or their classes impossible");
        refuse(ctx, &blob, CAUSAL_BODY + 60, 128, "bucket above 127");
        for (size_t n = SWG__BLOB_HEAD; n + (layers ? 0 : 3) < blob.length; n++) { /* truncated everywhere */
            uint8_t *cut = malloc(n ? n : 1);
            memcpy(cut, blob.data, n);
            assert_non_null(causal_open(ctx, ctx->isa, cut, n, &model));
            free(cut);
        }
        if (layers) {
            refuse(ctx, &blob, 4, SWG__KIND_STENCIL, "stencil parameters have the wrong length");
            refuse(ctx, &blob, CAUSAL_NET, 0, "number of layers of a network is impossible");
            refuse(ctx, &blob, CAUSAL_NET, 9, "number of layers of a network is impossible");
            refuse(ctx, &blob, CAUSAL_NET, 2, "activations of a network are in the wrong place");
            refuse(ctx, &blob, LAYER, 27, "padding of a network is not zero");
            refuse(ctx, &blob, SECOND, 13, "padding of a network is not zero");
            refuse(ctx, &blob, LAYER + 1, 5, "layer of a network is empty or wider than 1024");
            refuse(ctx, &blob, LAYER + 4, 25, "shift, activation or zero point of a network is impossible");
            refuse(ctx, &blob, LAYER + 6, 1, "shift, activation or zero point of a network is impossible");
            refuse(ctx, &blob, LAYER + 5, 0, "activations of a network are in the wrong place");
            refuse(ctx, &blob, LAST + 4, 1, "activation or shift of a causal network is impossible");
            refuse(ctx, &blob, LAYER + 8, 0x7FFFFFFF, "accumulator of a network could overflow");
            /* weights of the last layer's first output add up to less than 255 * 8 * 30: the rest must hold 16 */
            int64_t size = 0;
            for (int i = 0; i < 8; i++)
                size += abs((int8_t)blob.data[LAST + 8 + 8 + i]);
            refuse(ctx, &blob, LAST + 8, (uint32_t)(INT32_MAX - 255 * size - 15), "accumulator of a network could overflow");
            swg__store32((uint8_t *)blob.data + LAST + 8, (uint32_t)(INT32_MAX - 255 * size - 16));
            assert_null(causal_open(ctx, ctx->isa, blob.data, blob.length, &model));
            swg__causal_close(ctx, &model);
        }
        swg__text_free(&blob);
    }
    assert_int_equal(swg_context_bytes(ctx), 0);
}

/* ---- whole files ---- */

static swg_codec_model *model_set(swg_context *ctx) {
    static const int width[] = {28, 8, 4, 2};
    swg_codec_model *set;
    swg__text blob;
    swg__text_init(&blob, ctx);
    causal_blob(&blob, width, 3);
    assert_ok(ctx, swg_codec_model_new(ctx, &set));
    assert_null(swg__model_add(set, (const uint8_t *)blob.data, blob.length, NULL, 0, true));
    swg__text_free(&blob);
    return set;
}

#define ONLY_MLP (~(1u << SWG_MODE_MLP))

/* The network's chunks keep every promise; the bytes are those of every instruction set and number of threads; a box reads alike. */
static void whole_files(void **state) {
    swg_context *ctx = *state, *threads;
    static float x[40 * 33 * 50], part[7 * 20 * 11], all[40 * 33 * 50];
    const swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {40, 33, 50}, .data = x};
    const int64_t from[4] = {9, 11, 30}, count[4] = {7, 20, 11};
    swg_codec_model *set = model_set(ctx), *other;
    swg_codec_opts o = {.bound = SWG_BOUND_ABS, .value = 0.1, .chunk = {16, 16, 16}, .model = set, .without = ONLY_MLP};
    swg_codec_buffer one, two;
    swg_codec_stats stats;
    swg_swz *swz;
    fill_smooth(&a, x, 3);
    round_trip(ctx, &a, &o, &stats);
    assert_int_equal(stats.mode_chunks[SWG_MODE_MLP], stats.chunks);
    assert_int_equal(stats.chunks, 3 * 3 * 4);
    assert_ok(ctx, swg_codec_compress(ctx, &a, &o, &one, NULL));
    for (int isa = 0; isa < (int)ctx->isa; isa++) {
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 3, .isa = swg__isa_name((swg__isa)isa)}, &threads), SWG_OK);
        other = model_set(threads);
        o.model = other;
        assert_ok(threads, swg_codec_compress(threads, &a, &o, &two, NULL));
        assert_int_equal(one.bytes, two.bytes);
        assert_memory_equal(one.data, two.data, one.bytes);
        swg_codec_buffer_free(threads, &two);
        swg_codec_model_free(threads, other);
        swg_context_close(threads);
    }
    assert_ok(ctx, swg_swz_open_memory(ctx, one.data, one.bytes, &swz));
    assert_ok(ctx, swg_swz_read(swz, 0, all, sizeof all));
    assert_ok(ctx, swg_swz_read_box(swz, 0, from, count, part, sizeof part));
    for (int z = 0; z < 7; z++)
        for (int y = 0; y < 20; y++)
            assert_memory_equal(part + (z * 20 + y) * 11, all + ((z + 9) * 33 + y + 11) * 50 + 30, 11 * sizeof *part);
    swg_swz_close(swz);
    swg_codec_buffer_free(ctx, &one);
    swg_codec_model_free(ctx, set);
}

/* A model that does not suit the data leaves no trace in the file. */
static void misfit_costs_nothing(void **state) {
    swg_context *ctx = *state;
    static float x[30 * 40 * 30];
    const swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {30, 40, 30}, .data = x};
    swg_codec_model *set = model_set(ctx);
    swg_codec_opts o = {.bound = SWG_BOUND_REL, .value = 1e-4};
    swg_codec_buffer with, without;
    fill_smooth(&a, x, 4);
    assert_ok(ctx, swg_codec_compress(ctx, &a, &o, &without, NULL));
    o.model = set;
    assert_ok(ctx, swg_codec_compress(ctx, &a, &o, &with, NULL));
    assert_int_equal(with.bytes, without.bytes);
    assert_memory_equal(with.data, without.data, with.bytes);
    swg_codec_buffer_free(ctx, &with);
    swg_codec_buffer_free(ctx, &without);
    swg_codec_model_free(ctx, set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(published_features, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(published_sums, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(same_bits_everywhere, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(reports_far_levels, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(whole_files, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(misfit_costs_nothing, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(malformed_models, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
