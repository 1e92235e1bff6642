/* test_codec_stencil.c - proves: mode W computes what its definition says, with weights of its own and with models. A second decoder, written from the definition with
 * plain loops (border rule point by point, fronts by sorting, tables by linear search), must agree with the library's on every
 * shape; features and sums have the published values on every instruction set.
 * SPDX-License-Identifier: Apache-2.0 */
#include "codec/stencil.h"
#include "codec_causal.h"
#include "codec_testing.h"
#include "context.h"

/* ---- the definition, slowly ---- */

static int64_t slow_tap(const int64_t *u, const int64_t n[3], int64_t z, int64_t y, int64_t x, int k) {
    int64_t zz = z + swg__tap_offset[k][0], yy = y + swg__tap_offset[k][1], xx = x + swg__tap_offset[k][2];
    zz = zz < 0 ? 0 : zz;
    yy = yy < 0 ? 0 : yy >= n[1] ? n[1] - 1 : yy;
    xx = xx < 0 ? 0 : xx >= n[2] ? n[2] - 1 : xx;
    if ((zz * n[1] + yy) * n[2] + xx >= (z * n[1] + y) * n[2] + x) {
        zz = z;
        yy = y;
        xx = x;
        if (x > 0)
            xx--;
        else if (y > 0)
            yy--;
        else if (z > 0)
            zz--;
        else
            return 0;
    }
    return u[(zz * n[1] + yy) * n[2] + xx];
}

typedef struct slow_stream {
    uint32_t state[32], lanes, next;
    const uint8_t *word, *raw;
    size_t bit;
} slow_stream;

static uint64_t slow_bits(slow_stream *s, int n) {
    uint64_t v = 0;
    for (int i = 0; i < n; i++, s->bit++)
        v = v << 1 | (s->raw[s->bit / 8] >> (7 - s->bit % 8) & 1);
    return v;
}

static int64_t slow_residual(slow_stream *s, int b, int phase) {
    int table = b < 28 ? 9 * b + abs(phase) : 252 + (b & 3), symbol = 0;
    uint32_t *x = &s->state[s->next++ % s->lanes], slot = *x & 32767, start = 0;
    while (slot >= start + swg__frequency[table][symbol])
        start += swg__frequency[table][symbol++];
    *x = swg__frequency[table][symbol] * (*x >> 15) + slot - start;
    if (*x < 65536) {
        *x = *x << 16 | swg__load16(s->word);
        s->word += 2;
    }
    int64_t h = symbol - 15;
    if (symbol == 31) {
        bool negative = slow_bits(s, 1);
        int zeros = 0;
        while (!slow_bits(s, 1))
            zeros++;
        h = (int64_t)(((uint64_t)1 << (zeros + 2)) + slow_bits(s, zeros + 2)) + 12;
        h = negative ? -h : h;
    }
    if (b < 28)
        return phase < 0 ? -h : h;
    int n = (b - 28) / 4 + 1;
    return h * ((int64_t)1 << n) + (int64_t)slow_bits(s, n) - ((int64_t)1 << (n - 1));
}

static int64_t floor_shift(int64_t v, int shift) {
    int64_t unit = (int64_t)1 << shift;
    return v >= 0 ? v / unit : -((-v + unit - 1) / unit);
}

/* Features, network and what its sums mean: the correction of mu, and *b. net: NET of the model. */
static int64_t slow_network(const uint8_t *net, const int64_t d[SWG__TAPS], int64_t size, int log, int m, int c, bool wide, int *b) {
    int64_t x[1024] = {0}, y[1024] = {0}, g = (2 * 110592 * 256 + 256 + m) / (2 * (256 + m));
    for (int k = 1; k < SWG__TAPS; k++)
        x[k - 1] = floor_shift(d[k] * g + ((int64_t)1 << (log + 5)), log + 6);
    x[27] = 2 * c - 64;
    for (int k = 0; k < SWG__FEATURES; k++)
        x[k] = x[k] < -127 ? -127 : x[k] > 127 ? 127 : x[k];
    int layers = size ? net[0] : 0;
    const uint8_t *at = net + 4;
    for (int l = 0; l < layers; l++) {
        int in = swg__load16(at), out = swg__load16(at + 2), shift = at[4], row = (in + 3) / 4 * 4;
        for (int j = 0; j < out; j++) {
            int64_t sum = (int32_t)swg__load32(at + 8 + 4 * j), v;
            for (int i = 0; i < in; i++)
                sum += x[i] * (int8_t)at[8 + 4 * out + j * row + i];
            v = floor_shift(sum + ((int64_t)1 << shift) / 2, shift);
            y[j] = l == layers - 1 ? sum : v < 0 ? 0 : v > 255 ? 255 : v;
        }
        memcpy(x, y, sizeof x);
        at += 8 + 4 * out + out * row;
    }
    int64_t o = floor_shift(x[0] + 16, 5), bucket = floor_shift(2048 * *b + 4 * x[1] + 1024, 11), most = wide ? 127 : 63;
    o = o < -512 ? -512 : o > 511 ? 511 : o;
    *b = (int)(bucket < 0 ? 0 : bucket > most ? most : bucket);
    return floor_shift(o * (int64_t)floor(256 * pow(2, (*b - 20) / 4.0) + 0.5) + 512, 10);
}

/* Levels of a record of mode W, from its definition. blob: the record's model, NULL if it has none. */
static void slow_decode(const swg__record *record, const uint8_t *blob, const int64_t extent[4], int64_t *u) {
    swg__stencil model;
    bool wide = record->head.flags & SWG__FLAG_WIDE;
    swg__span param = record->stream[SWG__PARAM];
    if (blob)
        param = (swg__span){blob + CAUSAL_BODY, CAUSAL_NET - CAUSAL_BODY};
    assert_null(swg__stencil_read(param, wide, &model));
    slow_stream s = {.lanes = 1u << record->head.lanes_log2, .raw = record->stream[SWG__RAW].data};
    const uint8_t *rans = record->stream[SWG__RANS].data;
    for (uint32_t i = 0; i < s.lanes; i++)
        s.state[i] = swg__load32(rans + 4 * i);
    s.word = rans + 4 * s.lanes;
    const int64_t *n = extent + 1, slice = n[0] * n[1] * n[2], limit = wide ? (int64_t)1 << 30 : 8191, least = wide ? -limit : -8192;
    int64_t *e = calloc((size_t)slice, sizeof *e);
    for (int64_t w = 0; w < extent[0]; w++, u += slice)
        for (int64_t t = 0; t <= n[2] - 1 + 3 * (n[1] - 1) + 7 * (n[0] - 1); t++)
            for (int64_t z = 0; z < n[0]; z++)
                for (int64_t y = 0; y < n[1]; y++) {
                    int64_t x = t - 7 * z - 3 * y, at = (z * n[1] + y) * n[2] + x;
                    if (x < 0 || x >= n[2])
                        continue;
                    int64_t anchor = slow_tap(u, n, z, y, x, 0), sum = 0, size = 0, d[SWG__TAPS];
                    for (int k = 1; k < SWG__TAPS; k++) {
                        d[k] = slow_tap(u, n, z, y, x, k) - anchor;
                        d[k] = d[k] < least ? least : d[k] > limit ? limit : d[k];
                        sum += model.w[k] * d[k];
                        size += llabs(d[k]);
                    }
                    size = 4 * size + 27;
                    int log = 0, most = wide ? 127 : 63;
                    while (size >> (log + 1))
                        log++;
                    int64_t m = (int64_t)((double)(size - ((int64_t)1 << log)) * 256 / (double)((int64_t)1 << log));
                    int c = 4 * (log - 4) + (int)(m / 64);
                    c = c > most ? most : c;
                    int r = x == 0 ? 2 : e[at - 1] == 0 ? 0 : llabs(e[at - 1]) == 1 ? 1 : 2;
                    int b = model.bucket[c][r];
                    int64_t mu = floor_shift(sum + 256, 9);
                    if (blob && record->head.submode == 1) /* of the first point of a slice the network says nothing */
                        mu += slow_network(blob + CAUSAL_NET, d, at ? size : 0, log, (int)m, c, wide, &b);
                    int64_t p = floor_shift(mu + 8, 4);
                    e[at] = slow_residual(&s, b, (int)(mu - 16 * p));
                    u[at] = anchor + p + e[at];
                }
    free(e);
}

/* ---- against the library ---- */

static swg__chunk make_chunk(swg_context *ctx, swg__isa isa, swg_element type, double step, const int64_t extent[4], void *values) {
    swg__chunk c = {.ctx = ctx, .kernels = swg__codec_kernels_for(isa), .values = values};
    c.grid = (swg__grid){.type = type, .eb = step / 2, .step = step, .sig = step > 0 ? 24 : 0, .reach = 0x1p28, .fine = true};
    c.count = 1;
    for (int i = 0; i < 4; i++) {
        c.extent[i] = extent[i];
        c.count *= extent[i];
    }
    return c;
}

/* Codes the chunk, decodes it by both decoders and by every instruction set; every one codes it alike. blob: the model to code it with,
 * NULL: weights of its own. */
static void both_decoders_of(swg_context *ctx, swg_element type, double step, const int64_t extent[4], void *values, bool wide,
                             const swg__text *blob) {
    swg__chunk c = make_chunk(ctx, ctx->isa, type, step, extent, values);
    swg__draft draft;
    swg__text out;
    swg__record record;
    bool coded;
    swg__stencil model = {0};
    swg__stencil_plan *plan = NULL;
    if (blob)
        assert_null(causal_open(ctx, ctx->isa, blob->data, blob->length, &model));
    swg__draft_init(&draft, ctx);
    assert_ok(ctx, blob ? swg__stencil_encode_trained(&c, &model, &plan, &draft, &coded) : swg__stencil_encode(&c, INT64_MAX, &draft, &coded));
    assert_true(coded);
    if (draft.head.mode == SWG__MODE_W) {
        assert_int_equal((draft.head.flags & SWG__FLAG_LOCAL) == 0, blob != NULL);
        assert_int_equal(draft.head.submode, model.net != NULL);
        size_t size = (size_t)swg_element_bytes(type), bytes = (size_t)c.count * size;
        assert_int_equal((draft.head.flags & SWG__FLAG_WIDE) != 0, wide);
        draft.head.n_values = (uint32_t)c.count;
        swg__text_init(&out, ctx);
        assert_ok(ctx, swg__draft_write(&draft, ctx, &out));
        assert_null(swg__record_parse((uint8_t *)out.data, out.length, (uint32_t)c.count, 0, &record));
        int64_t *u = calloc((size_t)c.count, sizeof *u);
        void *slow = calloc((size_t)c.count, size), *fast = calloc((size_t)c.count, size);
        slow_decode(&record, blob ? (const uint8_t *)blob->data : NULL, extent, u);
        c.values = slow;
        assert_null(swg__levels_store(&c, 0, u, 0, c.count));
        if (record.stream[SWG__OUTLIERS].data)
            assert_null(swg__outliers_read(&c, record.stream[SWG__OUTLIERS]));
        for (int isa = 0; isa <= (int)ctx->isa; isa++) {
            swg__chunk d = make_chunk(ctx, (swg__isa)isa, type, step, extent, fast);
            swg__stencil other = {0};
            memset(fast, 0x77, bytes);
            if (blob)
                assert_null(causal_open(ctx, (swg__isa)isa, blob->data, blob->length, &other));
            const char *why = swg__stencil_decode(&d, blob ? &other : NULL, &record);
            if (why)
                fail_msg("%lldx%lldx%lldx%lld: %s", (long long)extent[0], (long long)extent[1], (long long)extent[2], (long long)extent[3], why);
            if (record.stream[SWG__OUTLIERS].data)
                assert_null(swg__outliers_read(&d, record.stream[SWG__OUTLIERS]));
            assert_memory_equal(slow, fast, bytes);
            if (blob) {
                swg__draft again;
                swg__stencil_plan *other_plan = NULL;
                d.values = values;
                swg__draft_init(&again, ctx);
                assert_ok(ctx, swg__stencil_encode_trained(&d, &other, &other_plan, &again, &coded));
                for (int k = 1; k < SWG__STREAM_KINDS; k++) {
                    assert_int_equal(again.stream[k].length, draft.stream[k].length);
                    if (again.stream[k].length)
                        assert_memory_equal(again.stream[k].data, draft.stream[k].data, draft.stream[k].length);
                }
                swg__stencil_plan_close(other_plan);
                swg__draft_free(&again);
                swg__causal_close(ctx, &other);
            }
        }
        if (step == 0)
            assert_memory_equal(values, fast, bytes);
        if (blob) {
            assert_string_equal(swg__stencil_decode(&c, NULL, &record), "weights are neither in the record nor in a model");
            record.head.submode ^= 1;
            assert_string_equal(swg__stencil_decode(&c, &model, &record), "chunk and model disagree about a network");
        }
        free(fast);
        free(slow);
        free(u);
        swg__text_free(&out);
    }
    swg__stencil_plan_close(plan);
    swg__draft_free(&draft);
    swg__causal_close(ctx, &model);
}

static void both_decoders(swg_context *ctx, swg_element type, double step, const int64_t extent[4], void *values, bool wide) {
    static const int light[] = {28, 16, 8, 2}, odd[] = {28, 5, 2};
    static const struct { const int *width; int layers; } models[] = {{light, 3}, {odd, 2}, {NULL, 0}};
    both_decoders_of(ctx, type, step, extent, values, wide, NULL);
    for (int i = 0; i < 3; i++) {
        swg__text blob;
        swg__text_init(&blob, ctx);
        causal_blob(&blob, models[i].width, models[i].layers);
        both_decoders_of(ctx, type, step, extent, values, wide, &blob);
        swg__text_free(&blob);
    }
}

static void shapes(void **state) {
    swg_context *ctx = *state;
    static const int64_t extents[][4] = {
        {1, 1, 1, 2},  {1, 1, 1, 37}, {1, 1, 2, 1},  {1, 1, 9, 1},   {1, 5, 1, 1},  {1, 1, 2, 2},  {1, 2, 3, 4},    {1, 3, 4, 5}, {1, 7, 7, 7},
        {3, 7, 7, 7},  {1, 1, 20, 30}, {1, 4, 1, 50}, {2, 5, 3, 1},  {1, 9, 8, 3},  {1, 6, 40, 41}, {1, 12, 13, 70}, {1, 2, 2, 2}, {4, 1, 1, 3},
        {1, 20, 2, 19}, {1, 33, 1, 2}, {1, 1, 1, 257}, {1, 1, 3, 600},
        {1, 500, 1, 1}, {2, 40, 3, 4}, {1, 30, 10, 12}, {1, 25, 12, 9}}; /* of the last, planes take turns: 4, 4, 8, 8 are kept */
    static float x[20000];
    for (size_t i = 0; i < sizeof extents / sizeof extents[0]; i++) {
        uint64_t seed = 17 + i;
        const int64_t *n = extents[i];
        for (int64_t at = 0; at < n[0] * n[1] * n[2] * n[3]; at++)
            x[at] = (float)(20 * sin(0.21 * (double)(at % n[3])) + 13 * cos(0.1 * (double)(at / n[3] % n[2])) + 0.2 * (double)(noise(&seed) >> 40) / 0x1p24);
        both_decoders(ctx, SWG_ELEMENT_F32, 0.25, n, x, false);
        both_decoders(ctx, SWG_ELEMENT_F32, 0.015625, n, x, false);
        if (n[0] * n[1] * n[2] * n[3] > 40)
            both_decoders(ctx, SWG_ELEMENT_F32, 0, n, x, true);
    }
}

/* What a decoder takes follows from the values of a chunk, not from its shape: 2^19 planes of one point took 335 MB. */
static void long_chunk(void **state) {
    swg_context *ctx = *state;
    static const int64_t n[4] = {1, 1 << 19, 1, 1};
    float *x = malloc((size_t)n[1] * sizeof *x), *back = malloc((size_t)n[1] * sizeof *back);
    swg__draft draft;
    swg__text out;
    swg__record record;
    bool coded;
    for (int64_t i = 0; i < n[1]; i++)
        x[i] = 0.25f * (float)(i % 1000);
    swg__chunk c = make_chunk(ctx, ctx->isa, SWG_ELEMENT_F32, 0.25, n, x);
    swg__draft_init(&draft, ctx);
    swg__text_init(&out, ctx);
    assert_ok(ctx, swg__stencil_encode(&c, INT64_MAX, &draft, &coded));
    assert_true(coded);
    draft.head.n_values = (uint32_t)c.count;
    assert_ok(ctx, swg__draft_write(&draft, ctx, &out));
    swg__draft_free(&draft);
    assert_null(swg__record_parse((uint8_t *)out.data, out.length, (uint32_t)c.count, 0, &record));
    c.values = back;
    swg_context_peak_rss_reset(ctx);
    assert_null(swg__stencil_decode(&c, NULL, &record));
    assert_true(swg_context_peak_rss_growth(ctx) < (int64_t)64 << 20);
    assert_memory_equal(back, x, (size_t)n[1] * sizeof *x);
    swg__text_free(&out);
    free(back);
    free(x);
}

/* Jumps that saturate, specials, and levels far apart. */
static void extremes(void **state) {
    swg_context *ctx = *state;
    static const int64_t n[4] = {1, 4, 9, 11};
    float x[396];
    uint64_t seed = 99;
    for (int i = 0; i < 396; i++)
        x[i] = i % 50 == 49 ? 3e6f : (float)(noise(&seed) % 100);
    both_decoders(ctx, SWG_ELEMENT_F32, 0.25, n, x, true);
    for (int i = 0; i < 396; i++) {
        uint32_t bits = (uint32_t)noise(&seed);
        memcpy(&x[i], &bits, sizeof bits);
    }
    both_decoders(ctx, SWG_ELEMENT_F32, 0, n, x, true);
    for (int i = 0; i < 396; i++)
        x[i] = i % 3 ? NAN : (float)(i % 7);
    both_decoders(ctx, SWG_ELEMENT_F32, 0.25, n, x, false);
    int64_t whole[396];
    for (int i = 0; i < 396; i++)
        whole[i] = (int64_t)(noise(&seed) >> 20) - ((int64_t)1 << 43);
    both_decoders(ctx, SWG_ELEMENT_I64, 0, n, whole, true);
    int16_t shorts[396];
    for (int i = 0; i < 396; i++)
        shorts[i] = (int16_t)noise(&seed);
    both_decoders(ctx, SWG_ELEMENT_I16, 0, n, shorts, true);
    for (int i = 0; i < 396; i++)
        shorts[i] = (int16_t)(noise(&seed) % 300);
    both_decoders(ctx, SWG_ELEMENT_I16, 7, n, shorts, false);
    for (int i = 0; i < 396; i++)
        whole[i] = ((int64_t)1 << 32) + i % 3; /* the first level's low word says nothing of its size */
    both_decoders(ctx, SWG_ELEMENT_I64, 0, n, whole, false);
}

/* The border rule: what the taps of given points read in a 4 x 4 x 4 chunk. */
static void border_rule(void **state) {
    (void)state;
    static const int64_t n[3] = {4, 4, 4};
    int64_t u[64];
    for (int i = 0; i < 64; i++)
        u[i] = i;
#define AT(z, y, x) (16 * (z) + 4 * (y) + (x))
    static const int taps[7] = {0, 3, 12, 14, 24, 26, 27};
    static const int at113[7] = {AT(1, 1, 2), AT(0, 1, 3), AT(0, 1, 3), AT(0, 1, 3), AT(1, 0, 3), AT(1, 0, 3), AT(1, 1, 1)};
    for (int i = 0; i < 7; i++) {
        assert_int_equal(slow_tap(u, n, 1, 1, 3, taps[i]), at113[i]);
        assert_int_equal(slow_tap(u, n, 0, 1, 0, taps[i]), taps[i] == 26 ? AT(0, 0, 2) : AT(0, 0, 0));
        assert_int_equal(slow_tap(u, n, 0, 0, 0, taps[i]), 0);
    }
}

/* Differences 1..27 to an anchor of 0 through the kernels: S, class and sums as published. */
static void features(void **state) {
    swg_context *ctx = *state;
    static const struct { int d[6], last, first; int s, c; } known[] = {
        {{0}, 0, 0, 27, 2}, {{1}, 0, 0, 31, 3}, {{-1}, 0, 0, 31, 3}, {{3, -2, 5, -7, 11, -13}, 0, 0, 191, 13}};
    int32_t w[SWG__TAPS];
    for (int k = 1; k < SWG__TAPS; k++)
        w[k] = (97 * (k - 1) + 13) % 401 - 200;
    for (int isa = 0; isa <= (int)ctx->isa; isa++) {
        const swg__codec_kernels *kernels = swg__codec_kernels_for((swg__isa)isa);
        for (int64_t n = 1; n < 40; n++) {
            int32_t cells[SWG__TAPS][40 + SWG__TAP_SLACK] = {{0}};
            int64_t sums[40], sizes[40];
            const int32_t *tap[SWG__TAPS];
            for (int k = 0; k < SWG__TAPS; k++)
                tap[k] = cells[k];
            for (size_t i = 0; i < 4; i++) {
                for (int k = 1; k < SWG__TAPS; k++)
                    for (int j = 0; j < n; j++)
                        cells[k][j] = k <= 6 ? known[i].d[k - 1] : 0;
                assert_false(kernels->stencil_narrow(tap, w, n, sums, sizes));
                assert_int_equal(sizes[n - 1], known[i].s);
                assert_int_equal(swg__activity_class(sizes[n - 1], false), known[i].c);
            }
            for (int k = 1; k < SWG__TAPS; k++)
                for (int j = 0; j < n; j++)
                    cells[k][j] = k - 14;
            assert_false(kernels->stencil_narrow(tap, w, n, sums, sizes));
            assert_int_equal(sizes[n - 1], 755);
            assert_int_equal(swg__activity_class(755, false), 21);
            assert_int_equal(sums[n - 1], 2095);
            assert_int_equal((sums[n - 1] + 256) >> 9, 4);
            for (int k = 1; k < SWG__TAPS; k++)
                for (int j = 0; j < n; j++)
                    cells[k][j] = 8191;
            assert_false(kernels->stencil_narrow(tap, w, n, sums, sizes));
            assert_int_equal(sizes[n - 1], 884655);
            assert_int_equal(swg__activity_class(884655, false), 62);
            cells[13][n] = -8193; /* behind the end: not looked at */
            assert_false(kernels->stencil_narrow(tap, w, n, sums, sizes));
            cells[13][n - 1] = -8193;
            assert_true(kernels->stencil_narrow(tap, w, n, sums, sizes));
            int64_t wide[SWG__TAPS][40], wide_sums[40], wide_sizes[40]; /* the other two kernels agree where both may be used */
            const int64_t *wide_tap[SWG__TAPS];
            uint64_t seed = (uint64_t)n;
            for (int k = 0; k < SWG__TAPS; k++) {
                wide_tap[k] = wide[k];
                for (int j = 0; j < n; j++)
                    wide[k][j] = cells[k][j] = (int32_t)(noise(&seed) % (1 << 30)) - (1 << 29);
            }
            kernels->stencil_middle(tap, w, n, sums, sizes);
            kernels->stencil_wide(wide_tap, w, -((int64_t)1 << 30), (int64_t)1 << 30, n, wide_sums, wide_sizes);
            assert_memory_equal(sums, wide_sums, (size_t)n * sizeof *sums);
            assert_memory_equal(sizes, wide_sizes, (size_t)n * sizeof *sizes);
        }
    }
    static const struct { int v, r; } rounding[] = {{255, 0}, {256, 1}, {-256, 0}, {-257, -1}, {767, 1}, {768, 2}, {-768, -1}, {-769, -2}};
    for (int i = 0; i < 8; i++)
        assert_int_equal((rounding[i].v + 256) >> 9, rounding[i].r);
}

static const char *parameters(uint8_t *data, size_t bytes) {
    swg__stencil model;
    return swg__stencil_read((swg__span){data, bytes}, false, &model);
}

static void malformed_parameters(void **state) {
    swg_context *ctx = *state;
    swg__stencil model = {.c_min = 3, .c_max = 9};
    swg__text out;
    swg__text_init(&out, ctx);
    swg__stencil_write(&model, &out);
    uint8_t *p = (uint8_t *)out.data;
    assert_null(parameters(p, out.length));
    for (size_t n = 0; n < out.length; n++)
        if (n + 3 < out.length)
            assert_non_null(parameters(p, n));
    p[60] = 128;
    assert_string_equal(parameters(p, out.length), "bucket above 127");
    p[60] = 0;
    p[56] = 10;
    assert_string_equal(parameters(p, out.length), "stencil parameters are too short or their classes impossible");
    p[56] = 3;
    for (int k = 0; k < 27; k++)
        swg__store16(p + 2 * k, 0x7FFF);
    assert_string_equal(parameters(p, out.length), "stencil weights are too large");
    swg__text_free(&out);
}

/* A linear relation between taps is found exactly. */
static void least_squares(void **state) {
    swg_context *ctx = *state;
    enum { COUNT = 500, N = SWG__TAPS - 1 };
    static double d[COUNT * N], target[COUNT];
    static uint8_t mark[COUNT];
    const swg__codec_kernels *k0 = swg__codec_kernels_for(ctx->isa);
    swg__training t = {.d = d, .target = target, .mark = mark, .count = COUNT};
    int32_t w[SWG__TAPS];
    uint64_t seed = 4;
    for (int i = 0; i < COUNT; i++) {
        for (int k = 0; k < N; k++)
            d[i * N + k] = (double)(int64_t)(noise(&seed) % 41) - 20;
        target[i] = 0.5 * d[i * N + 11] - 0.25 * d[i * N + 22] + 1.125 * d[i * N + 26];
    }
    assert_ok(ctx, swg__stencil_weights(ctx, k0, &t, w));
    for (int k = 1; k < SWG__TAPS; k++)
        assert_in_range(w[k] + 40000, 40000 + (k == 12 ? 4096 : k == 23 ? -2048 : k == 27 ? 9216 : 0) - 1,
                        40000 + (k == 12 ? 4096 : k == 23 ? -2048 : k == 27 ? 9216 : 0) + 1);
    t.count = 0;
    assert_ok(ctx, swg__stencil_weights(ctx, k0, &t, w));
    t.count = COUNT;
    for (int k = 0; k < SWG__TAPS; k++)
        assert_int_equal(w[k], 0);
    for (int isa = 0; isa <= (int)ctx->isa; isa++) { /* the sums have the same bits everywhere */
        double sums[2][SWG__TAPS][SWG__SUM_WIDTH] = {{{0}}};
        k0->normal_sums(d, target, mark, COUNT, sums[0]);
        swg__codec_kernels_for((swg__isa)isa)->normal_sums(d, target, mark, COUNT, sums[1]);
        for (int i = 1; i < SWG__TAPS; i++) /* what lies above the diagonal is nobody's */
            assert_memory_equal(sums[0][i], sums[1][i], (size_t)(i + 1) * sizeof(double));
    }
    mark[7] = SWG__SAMPLE_BORDER; /* a sample that does not count */
    target[7] = 1e9;
    assert_ok(ctx, swg__stencil_weights(ctx, k0, &t, w));
    assert_in_range(w[12], 4095, 4097);
    for (int i = 0; i < COUNT; i++) /* weights that would overflow the accumulators */
        target[i] = 1e6 * d[i * N];
    assert_ok(ctx, swg__stencil_weights(ctx, k0, &t, w));
    int64_t sum = 0;
    for (int k = 1; k < SWG__TAPS; k++)
        sum += abs(w[k]);
    assert_true(sum <= 262143);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(border_rule, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(features, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(shapes, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(long_chunk, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(extremes, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(malformed_parameters, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(least_squares, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
