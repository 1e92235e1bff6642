/* test_codec_interp.c - proves mode G: the known answers of the predictors, the bound on every small shape with special values and masks,
 * the same bits on every instruction set and from a second decoder written from docs/format.md, and a named refusal of every damage.
 * SPDX-License-Identifier: Apache-2.0 */
#include "codec/interp_field.h"
#include "codec_testing.h"
#include "context.h"

static void known_predictions(void **state) {
    (void)state;
    static const int64_t cubic[][5] = {{0, 16, 32, 48, 24}, {1, 2, 4, 9, 3}, {-5, -7, -7, -20, -6}, {0, 0, 1, 0, 1}};
    for (int i = 0; i < 4; i++) {
        const int64_t *p = cubic[i], g[2] = {4 * (p[1] + p[2]), 4 * (p[0] + p[3])};
        int16_t w[SWG__INTERP_FEATURES - 1];
        swg__interp_built_in(SWG__INTERP_CUBIC, 1, 2, w);
        assert_int_equal(swg__interp_predict(g, 2, w), p[4]);
        swg__interp_built_in(SWG__INTERP_LINEAR, 1, 2, w);
        assert_int_equal(swg__interp_predict(g, 2, w), (p[1] + p[2] + 1) >> 1);
    }
    /* A plane is met exactly from two and three axes, whatever the kind. */
    const int64_t flat[10] = {8 * 77, 8 * 77, 8 * 77, 8 * 77, 8 * 77, 8 * 77, 8 * 77, 8 * 77, 8 * 77, 8 * 77};
    for (int odd = 1; odd <= 3; odd++)
        for (int kind = 0; kind < 2; kind++) {
            int16_t w[SWG__INTERP_FEATURES - 1];
            swg__interp_built_in(kind, odd, odd == 3 ? 10 : 2 * odd, w);
            assert_int_equal(swg__interp_predict(flat, odd == 3 ? 10 : 2 * odd, w), 77);
        }
    /* Nothing overflows at the ends of what may stand in a file. */
    const int64_t far[2] = {8 * SWG__LEVEL_LIMIT, -8 * SWG__LEVEL_LIMIT};
    const int16_t heavy[1] = {-32768};
    assert_int_equal(swg__interp_predict(far, 2, heavy), SWG__LEVEL_LIMIT);
}

/* ---- a chunk with what it holds ---- */

typedef struct sample {
    swg__chunk chunk;
    uint8_t mask[3 * 9 * 9 * 9];
    double values[3 * 9 * 9 * 9], restored[3 * 9 * 9 * 9];
} sample;

static void make_sample(swg_context *ctx, swg_element type, const int64_t extent[4], double eb, uint64_t seed, sample *s) {
    s->chunk = (swg__chunk){.ctx = ctx, .kernels = swg__codec_kernels_for(ctx->isa), .values = s->values};
    swg_codec_array a = {.type = type, .ndim = 4, .data = s->values};
    memcpy(a.dims, extent, sizeof a.dims);
    memcpy(s->chunk.extent, extent, sizeof a.dims);
    s->chunk.count = array_values(&a);
    fill_smooth(&a, s->values, seed);
    double least, most;
    bool any;
    int64_t nan;
    swg__range(ctx, type, s->values, s->chunk.count, &s->chunk.fill, &least, &most, &any, &nan);
    assert_ok(ctx, swg__grid_resolve(ctx, &a, s->chunk.count, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = eb}, &s->chunk.fill, least,
                                     most, &s->chunk.grid));
}

static void set_value(sample *s, int64_t at, double value) {
    if (s->chunk.grid.type == SWG_ELEMENT_F32)
        ((float *)s->values)[at] = (float)value;
    else
        s->values[at] = value;
}

/* Codes, writes, parses. The caller frees text. */
static void code(sample *s, swg__text *text, swg__record *record) {
    swg_context *ctx = s->chunk.ctx;
    swg__draft draft;
    bool coded;
    swg__draft_init(&draft, ctx);
    assert_ok(ctx, swg__interp_encode(&s->chunk, &draft, &coded));
    assert_true(coded);
    draft.head.n_values = (uint32_t)s->chunk.count;
    swg__text_init(text, ctx);
    assert_ok(ctx, swg__draft_write(&draft, ctx, text));
    const char *why = swg__record_parse((const uint8_t *)text->data, text->length, (uint32_t)s->chunk.count, 0, record);
    if (why)
        fail_msg("%s", why);
    swg__draft_free(&draft);
}

static void decode(const sample *s, const swg__record *record, void *out) {
    swg__chunk chunk = s->chunk;
    chunk.values = out;
    const char *why = swg__interp_decode(&chunk, record);
    if (!why && record->stream[SWG__OUTLIERS].data)
        why = swg__outliers_read(&chunk, record->stream[SWG__OUTLIERS]);
    if (why)
        fail_msg("%s", why);
}

static void check(const sample *s, const void *restored) {
    for (int64_t i = 0; i < s->chunk.count; i++) {
        double x = swg__load_value(s->chunk.grid.type, s->values, i), y = swg__load_value(s->chunk.grid.type, restored, i);
        if (s->chunk.mask && s->chunk.mask[i])
            continue;
        if (!(swg__accept(y, x, s->chunk.grid.eb) || (!isfinite(x) && (x == y || (isnan(x) && isnan(y))))))
            fail_msg("value %lld of %lld x %lld x %lld x %lld: %.17g became %.17g, bound %g", (long long)i, (long long)s->chunk.extent[0],
                     (long long)s->chunk.extent[1], (long long)s->chunk.extent[2], (long long)s->chunk.extent[3], x, y, s->chunk.grid.eb);
    }
}

/* ---- the second decoder: one point at a time, straight from the page ---- */

typedef struct second {
    const sample *s;
    swg__interp m;
    swg__rans in;
    int64_t u[3 * 9 * 9 * 9], size[3 * 9 * 9 * 9];
} second;

static int64_t place_of(const second *d, int64_t w, const int64_t at[3]) {
    const int64_t *e = d->s->chunk.extent;
    return ((w * e[1] + at[0]) * e[2] + at[1]) * e[3] + at[2];
}

/* The point `offset` strides from the target, inside the grid. */
static int64_t tap_of(const second *d, int64_t w, const int64_t at[3], const int offset[3], int64_t stride) {
    int64_t to[3];
    for (int a = 0; a < 3; a++) {
        to[a] = at[a] + offset[a] * stride;
        while (to[a] >= d->s->chunk.extent[a + 1])
            to[a] -= 2 * stride;
        while (to[a] < 0)
            to[a] += 2 * stride;
    }
    return place_of(d, w, to);
}

static void second_point(second *d, int64_t w, const int64_t at[3], const swg__interp_level *level, int pass, int odd, int64_t stride) {
    int64_t g[SWG__INTERP_FEATURES], around = 0, taps = 0, n = 0, difference = 0;
    for (int group = 0; group < 5; group++)
        for (int a = 0; a < 3; a++)
            for (int b = 0; b < 3; b++) {
                /* sizes of the offsets along the three axes, 0 none */
                int size[3] = {0, 0, 0};
                bool odd_a = odd >> a & 1, odd_b = odd >> b & 1, there = false;
                if (group < 2 && a == b && odd_a) {
                    size[a] = group ? 3 : 1;
                    there = true;
                } else if (group == 2 && odd_a && !odd_b && (d->m.axes >> b & 1)) {
                    size[a] = 1;
                    size[b] = 2;
                    there = true;
                } else if (group == 3 && a < b && odd_a && odd_b) {
                    size[a] = size[b] = 1;
                    there = true;
                } else if (group == 4 && odd == 7 && a == 0 && b == 0) {
                    size[0] = size[1] = size[2] = 1;
                    there = true;
                }
                if (!there)
                    continue;
                int64_t sum = 0, count = 0;
                for (int z = -size[0]; z <= size[0]; z += size[0] ? 2 * size[0] : 1)
                    for (int y = -size[1]; y <= size[1]; y += size[1] ? 2 * size[1] : 1)
                        for (int x = -size[2]; x <= size[2]; x += size[2] ? 2 * size[2] : 1, count++) {
                            int64_t tap = tap_of(d, w, at, (int[]){z, y, x}, stride);
                            sum += d->u[tap];
                            around += d->size[tap];
                        }
                g[n++] = 8 / count * sum;
                taps += count;
            }
    int16_t weights[SWG__INTERP_FEATURES - 1];
    swg__interp_built_in(level->kind[pass], (odd & 1) + (odd >> 1 & 1) + (odd >> 2), (int)n, weights);
    int64_t sum = 0;
    for (int64_t i = 1; i < n; i++) {
        int64_t gap = g[i] - g[0], limit = (int64_t)1 << 30;
        gap = gap > limit ? limit : gap < -limit ? -limit : gap;
        sum += gap * (level->kind[pass] == SWG__INTERP_LEARNED ? level->w[pass][i - 1] : weights[i - 1]);
        difference += gap < 0 ? -gap : gap;
    }
    int64_t p = (8192 * g[0] + sum + 32768) >> 16, alpha = (65536 + 4 * (n - 1)) / (8 * (n - 1)), beta = (196608 + taps / 2) / taps;
    int64_t s = 27 + (27 * (alpha * difference + beta * around) >> (18 - level->t)), at_u = place_of(d, w, at), k = 0;
    int e = 0;
    while (s >> (e + 1))
        e++;
    int64_t c = 4 * (e - 4) + ((s >> (e - 2)) - 4);
    int r = around == 0 ? 0 : 10 * around < 48 * taps ? 1 : 2;
    if (!(d->s->chunk.mask && d->s->chunk.mask[at_u]))
        swg__codec_kernels_scalar.residuals(&d->in, &d->m.bucket[c < 127 ? c : 127][r], NULL, 1, &k);
    d->u[at_u] = p + (16 >> level->t) * k;
    k = (k < 0 ? -k : k) * (16 >> level->t);
    d->size[at_u] = k < 65535 ? k : 65535;
}

/* All points of the grid with that stride whose coordinates are odd multiples along `odd`, even along the other axes of the model. */
static void second_pass(second *d, int64_t stride, int odd, int level, int pass) {
    const int64_t *e = d->s->chunk.extent;
    int64_t anchor = 0; /* the one before */
    if (level >= 0 && (odd & ~d->m.axes))
        return;
    for (int64_t w = 0; w < e[0]; w++)
        for (int64_t at[3] = {0, 0, 0}; at[0] < e[1]; at[0]++)
            for (at[1] = 0; at[1] < e[2]; at[1]++)
                for (at[2] = 0; at[2] < e[3]; at[2]++) {
                    bool mine = true;
                    for (int a = 0; a < 3; a++)
                        if (d->m.axes >> a & 1)
                            mine = mine && at[a] % stride == 0 && (level < 0 || (at[a] / stride & 1) == (odd >> a & 1));
                    if (!mine)
                        continue;
                    if (level >= 0) {
                        second_point(d, w, at, &d->m.level[level], pass, odd, stride);
                        continue;
                    }
                    int64_t k = 0, here = place_of(d, w, at);
                    if (!(d->s->chunk.mask && d->s->chunk.mask[here]))
                        swg__codec_kernels_scalar.residuals(&d->in, &d->m.anchor_bucket, NULL, 1, &k);
                    anchor += 16 * k;
                    d->u[here] = anchor;
                }
}

static void decode_second(const sample *s, const swg__record *record, void *out) {
    static const int order[7] = {1, 2, 4, 3, 5, 6, 7};
    static second d;
    memset(&d, 0, sizeof d);
    d.s = s;
    assert_null(swg__interp_read(record->stream[SWG__PARAM], &d.m));
    assert_null(swg__rans_open(&d.in, record->head.lanes_log2, record->stream[SWG__RANS].data, record->stream[SWG__RANS].bytes,
                               record->stream[SWG__RAW].data, record->stream[SWG__RAW].bytes));
    second_pass(&d, (int64_t)1 << d.m.levels, 0, -1, 0);
    for (int l = 0; l < d.m.levels; l++)
        for (int i = 0; i < 7; i++)
            second_pass(&d, (int64_t)1 << (d.m.levels - 1 - l), order[i], l, i);
    assert_null(swg__rans_finish(&d.in));
    swg__chunk chunk = s->chunk;
    chunk.values = out;
    assert_null(swg__levels_store(&chunk, 4, d.u, 0, chunk.count));
    if (record->stream[SWG__OUTLIERS].data)
        assert_null(swg__outliers_read(&chunk, record->stream[SWG__OUTLIERS]));
}

/* Every shape up to 9 along each axis, both types, specials at changing places, some with masks. */
static void every_small_shape(void **state) {
    swg_context *ctx = *state;
    static sample s;
    static double again[3 * 9 * 9 * 9];
    for (int i = 0; i < 729; i++)
        for (int type = 0; type < 2; type++) {
            const int64_t extent[4] = {1 + i % 3, 1 + i / 81, 1 + i / 9 % 9, 1 + i % 9};
            make_sample(ctx, type ? SWG_ELEMENT_F64 : SWG_ELEMENT_F32, extent, i % 2 ? 0.5 : 0.003, (uint64_t)i + 1, &s);
            size_t bytes = (size_t)s.chunk.count * (type ? 8 : 4);
            if (i % 5 == 2) {
                set_value(&s, i % s.chunk.count, NAN);
                set_value(&s, i * 7 % s.chunk.count, -INFINITY);
                set_value(&s, i * 5 % s.chunk.count, 1e30);
            }
            for (int64_t j = 0; j < s.chunk.count; j++)
                s.mask[j] = j % 11 < i % 11;
            s.chunk.mask = i % 3 ? NULL : s.mask;
            swg__text text;
            swg__record record;
            code(&s, &text, &record);
            decode(&s, &record, s.restored);
            check(&s, s.restored);
            decode_second(&s, &record, again);
            if (memcmp(again, s.restored, bytes) != 0)
                fail_msg("the second decoder differs for %lld x %lld x %lld x %lld", (long long)extent[0], (long long)extent[1],
                         (long long)extent[2], (long long)extent[3]);
            swg__text_free(&text);
        }
}

/* Learned weights, several levels, all instruction sets, through the whole codec. */
static void whole_arrays(void **state) {
    swg_context *ctx = *state;
    enum { N = 40 * 45 * 50 };
    static float data[N], first[N], other[N];
    const uint32_t only = ~(1u << SWG_MODE_INTERPOLATION);
    for (int ndim = 1; ndim <= 4; ndim++) {
        swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = ndim, .dims = {N, 1, 1, 1}, .data = data};
        static const int64_t dims[4][4] = {{N, 0, 0, 0}, {200, 450, 0, 0}, {40, 45, 50, 0}, {5, 8, 45, 50}};
        memcpy(a.dims, dims[ndim - 1], sizeof a.dims);
        fill_smooth(&a, data, 3);
        swg_codec_stats s;
        size_t bytes = round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_REL, .value = 1e-3, .without = only}, &s);
        assert_int_equal(s.mode_chunks[SWG_MODE_INTERPOLATION], s.chunks);
        if (bytes > N * 4 / 8)
            fail_msg("%d smooth values in %d dimensions became %zu bytes", N, ndim, bytes);
        swg_codec_buffer out;
        assert_ok(ctx, swg_codec_compress(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_REL, .value = 1e-3, .without = only}, &out, NULL));
        const swg__isa best = ctx->isa;
        for (int isa = 0; isa <= (int)best; isa++) {
            swg_swz *swz;
            ctx->isa = (swg__isa)isa;
            assert_ok(ctx, swg_swz_open_memory(ctx, out.data, out.bytes, &swz));
            assert_ok(ctx, swg_swz_read(swz, 0, isa ? other : first, sizeof first));
            swg_swz_close(swz);
            if (isa)
                assert_memory_equal(first, other, sizeof first);
        }
        ctx->isa = best;
        swg_codec_buffer_free(ctx, &out);
    }
}

/* ---- kernels ---- */

enum { ROWS = 3, LONGEST = 37, PITCH = LONGEST + 4, CELLS = ROWS * PITCH + 64 };

/* Every instruction set gives the bits of the plain one, whichever of the three predictors can say something, up to the ends of what they
 * may be given. */
static void kernels_agree(void **state) {
    swg_context *ctx = *state;
    static int32_t u[SWG__INTERP_TAPS][CELLS];
    static int64_t wide[SWG__INTERP_TAPS][CELLS];
    static uint16_t size[SWG__INTERP_TAPS][CELLS];
    uint64_t seed = 3;
    int narrow_held = 0, middle_held = 0, middle_failed = 0;
    for (int round = 0; round < 600; round++) {
        const int axes = 1 + round % 7, index = (int)(noise(&seed) % SWG__INTERP_PASSES), bits = (int)(noise(&seed) % 27);
        const int64_t n = 1 + (int64_t)(noise(&seed) % LONGEST), rows = 1 + (int64_t)(noise(&seed) % ROWS);
        const int64_t extent[4] = {1, 9, 9, 9}; /* only to open a pass: the levels are ours */
        if (swg__interp_odd[index] & ~axes)
            continue;
        swg__chunk chunk = {.ctx = ctx, .kernels = &swg__codec_kernels_scalar, .count = 729};
        memcpy(chunk.extent, extent, sizeof extent);
        swg__interp_field f;
        swg__interp_pass p;
        swg__interp model = {.levels = 1, .axes = axes, .level[0] = {.t = (uint8_t)(round % 4)}};
        model.level[0].kind[index] = (uint8_t)(round % 3);
        for (int i = 0; i < SWG__INTERP_FEATURES - 1; i++)
            model.level[0].w[index][i] = (int16_t)(round % 9 == 2 ? (noise(&seed) & 1 ? 28000 : -28000) : (int)(noise(&seed) % 16384) - 8192);
        assert_ok(ctx, swg__interp_field_open(&f, &chunk, axes, 1, false));
        assert_true(swg__interp_pass_open(&f, &model, index, &p));
        for (int j = 0; j < SWG__INTERP_TAPS; j++) {
            for (int i = 0; i < CELLS; i++) {
                const int64_t most = (int64_t)1 << bits, v = (int64_t)(noise(&seed) % (uint64_t)(2 * most + 1)) - most;
                u[j][i] = (int32_t)(round % 5 ? v : v < 0 ? -most : most);
                wide[j][i] = u[j][i];
                size[j][i] = (uint16_t)(noise(&seed) % 4 ? 0 : noise(&seed) % (round % 7 ? 40 : 65536));
            }
            p.taps.size[j] = size[j];
        }
        static int64_t expected[CELLS];
        static int32_t guess[CELLS];
        static uint16_t expected_context[CELLS], context[CELLS];
        for (int j = 0; j < SWG__INTERP_TAPS; j++)
            p.taps.u[j] = wide[j];
        swg__codec_kernels_scalar.interp_wide(&p.taps, rows, n, PITCH, expected, expected_context);
        bool within = true;
        for (int64_t i = 0; i < rows * n; i++)
            within = within && expected[i] >= -SWG__INTERP_NARROW && expected[i] < SWG__INTERP_NARROW;
        for (int j = 0; j < SWG__INTERP_TAPS; j++)
            p.taps.u[j] = u[j];
        int held[2] = {0, 0};
        for (int isa = 0; isa <= (int)ctx->isa; isa++)
            for (int kind = 0; kind < 2; kind++) {
                const swg__codec_kernels *k = swg__codec_kernels_for((swg__isa)isa);
                memset(context, 0, sizeof context);
                const bool ok = (kind ? k->interp_middle : k->interp_narrow)(&p.taps, rows, n, PITCH, guess, context);
                held[kind] += ok;
                if (kind && ok != within)
                    fail_msg("round %d, set %d: the middle kernel says %d of predictions that are %s", round, isa, ok, within ? "held" : "too large");
                for (int64_t i = 0; ok && i < rows * n; i++)
                    if (guess[i] != expected[i] || context[i] != expected_context[i])
                        fail_msg("round %d, set %d, kernel %d, target %lld of %lld x %lld: %d, context %d; expected %lld, %d", round, isa, kind, (long long)i,
                                 (long long)rows, (long long)n, guess[i], context[i], (long long)expected[i], expected_context[i]);
            }
        assert_true(held[0] == 0 || held[0] == (int)ctx->isa + 1); /* all alike */
        narrow_held += held[0] > 0;
        middle_held += held[1] > 0;
        middle_failed += held[1] == 0;
        swg__interp_field_close(&f);
    }
    assert_true(narrow_held > 20 && middle_held > narrow_held && middle_failed > 0); /* each was tried both ways */
}

/* Levels and sizes from residuals, and residuals from values: the same on every instruction set, and what the format says. */
static void targets_agree(void **state) {
    swg_context *ctx = *state;
    static sample s;
    uint64_t seed = 5;
    for (int round = 0; round < 400; round++) {
        const int64_t n = 1 + (int64_t)(noise(&seed) % LONGEST), extent[4] = {1, 1, 1, LONGEST};
        const int shift = 1 + round % 4, bits = round % 28;
        int64_t e[LONGEST + SWG__INTERP_SLACK] = {0};
        int32_t guess[LONGEST + SWG__INTERP_SLACK] = {0}, u[LONGEST], again[LONGEST], k[LONGEST + SWG__INTERP_SLACK], other[LONGEST + SWG__INTERP_SLACK];
        uint16_t size[LONGEST], size_again[LONGEST];
        bool fits = true;
        for (int64_t i = 0; i < n; i++) {
            guess[i] = (int32_t)(noise(&seed) % (2 << 24)) - (1 << 24);
            e[i] = (int64_t)(noise(&seed) >> (64 - bits - 1)) * (noise(&seed) & 1 ? 1 : -1);
            e[i] = round == 27 && i == 0 ? ((int64_t)1 << 46) + 5 : e[i]; /* whose low word looks harmless */
            const int64_t level = guess[i] + e[i] * (1 << shift);
            fits = fits && level >= -SWG__INTERP_NARROW && level < SWG__INTERP_NARROW;
        }
        for (int isa = 0; isa <= (int)ctx->isa; isa++) {
            const bool ok = swg__codec_kernels_for((swg__isa)isa)->interp_place(guess, e, n, shift, u, size);
            if (ok != fits)
                fail_msg("round %d, set %d: levels %s, said %d", round, isa, fits ? "fit" : "do not fit", ok);
            for (int64_t i = 0; ok && i < n; i++) {
                assert_int_equal(u[i], guess[i] + e[i] * (1 << shift));
                assert_int_equal(size[i], swg__interp_size(e[i], 4 - shift));
            }
        }
        make_sample(ctx, round & 1 ? SWG_ELEMENT_F64 : SWG_ELEMENT_F32, extent, round % 3 ? 0.01 : 3, (uint64_t)round + 1, &s);
        double x[LONGEST], worst[2] = {0, 0};
        const double step = swg__grid_step(&s.chunk.grid, 4);
        for (int64_t i = 0; i < n; i++) {
            x[i] = swg__load_value(s.chunk.grid.type, s.values, i);
            guess[i] = (int32_t)rint((x[i] - s.chunk.grid.base) / step) + (int32_t)(noise(&seed) % 4096) - 2048 - 1000;
        }
        if (round % 10 == 9)
            x[noise(&seed) % (uint64_t)n] = round % 20 == 9 ? NAN : 1e30;
        for (int isa = 0; isa <= (int)ctx->isa; isa++) {
            const bool ok = swg__codec_kernels_for((swg__isa)isa)->interp_code(x, guess, n, &s.chunk.grid, 1000, shift, isa ? other : k, isa ? again : u,
                                                                               isa ? size_again : size, &worst[isa != 0]);
            assert_true(ok == (round % 10 != 9));
            for (int64_t i = 0; ok && i < n; i++) {
                const int64_t level = 1000 + guess[i] + (int64_t)k[i] * (1 << shift);
                assert_true(fabs((double)level - (x[i] - s.chunk.grid.base) / step) <= (1 << shift) / 2 + 0.01);
                assert_int_equal(u[i], level - 1000);
                assert_int_equal(size[i], swg__interp_size(k[i], 4 - shift));
            }
            if (isa && ok) {
                assert_memory_equal(other, k, (size_t)n * sizeof *k);
                assert_memory_equal(again, u, (size_t)n * sizeof *u);
                assert_memory_equal(size_again, size, (size_t)n * sizeof *size);
                assert_true(worst[1] == worst[0] && worst[0] <= s.chunk.grid.eb);
            }
        }
    }
}

/* Levels that 32 bits do not hold, or only relative to the first: the second decoder agrees. */
static void far_levels(void **state) {
    swg_context *ctx = *state;
    static sample s;
    static double again[3 * 9 * 9 * 9];
    const int64_t extent[4] = {2, 7, 8, 9};
    for (int i = 0; i < 4; i++) {
        make_sample(ctx, SWG_ELEMENT_F64, extent, i & 1 ? 1e-9 : 1e-7, 9, &s);
        for (int64_t j = 0; j < s.chunk.count; j++)
            s.values[j] += i & 2 ? 0 : 1000;
        s.chunk.mask = NULL;
        swg__text text;
        swg__record record;
        code(&s, &text, &record);
        decode(&s, &record, s.restored);
        check(&s, s.restored);
        decode_second(&s, &record, again);
        assert_memory_equal(again, s.restored, (size_t)s.chunk.count * 8);
        swg__text_free(&text);
    }
}

/* ---- damage ---- */

static void expect(const uint8_t *param, size_t bytes, const char *reason) {
    swg__interp m;
    const char *why = swg__interp_read((swg__span){param, bytes}, &m);
    if (!why || !strstr(why, reason))
        fail_msg("expected '%s', found '%s'", reason, why ? why : "nothing wrong");
}

static void malformed_parameters(void **state) {
    (void)state;
    /* two levels along y and x; one learned pass of two weights; two classes */
    static const uint8_t good[] = {2, 6, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 3, 0, 2, 1, 0, 0, 0, 0, 0, 16, 0, 240, 7, 8, 0, 0, 1, 2, 3, 4, 5, 6};
    swg__interp m;
    const char *why = swg__interp_read((swg__span){good, sizeof good}, &m);
    if (why)
        fail_msg("%s", why);
    assert_true(m.level[1].t == 3 && m.level[1].kind[1] == SWG__INTERP_LEARNED && m.level[1].w[1][1] == -4096 && m.bucket[8][2] == 6);
    static const struct { int at, value; const char *reason; } bad[] = {
        {0, 0, "levels or axes"}, {0, 7, "levels or axes"}, {1, 0, "levels or axes"}, {1, 8, "levels or axes"}, {2, 128, "bucket above 127"},
        {4, 4, "residual step"}, {12, 255, "residual step"}, {6, 3, "predictor of an interpolation is unknown"},
        {5, 1, "stands where nothing is predicted"}, {13, 2, "stands where nothing is predicted"}, {24, 9, "classes impossible"}, {25, 128, "classes impossible"},
        {25, 9, "wrong length"}, {28, 128, "bucket above 127"}, {15, 2, "wrong length"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t copy[sizeof good];
        memcpy(copy, good, sizeof good);
        copy[bad[i].at] = (uint8_t)bad[i].value;
        expect(copy, sizeof copy, bad[i].reason);
    }
    for (size_t n = 0; n < sizeof good; n++) { /* too short: whichever is missed first */
        uint8_t *copy = malloc(n ? n : 1);
        memcpy(copy, good, n);
        assert_non_null(swg__interp_read((swg__span){copy, n}, &m));
        free(copy);
    }
    uint8_t longer[sizeof good + 4] = {0};
    memcpy(longer, good, sizeof good);
    expect(longer, sizeof longer, "wrong length");
    uint8_t heavy[4 + 8 + 2 * 9 + 4 + 4] = {1, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2};
    for (int i = 0; i < 9; i++) {
        heavy[12 + 2 * i] = 0xFF;
        heavy[13 + 2 * i] = 0x7F;
    }
    expect(heavy, sizeof heavy, "weights of an interpolation are too large");
}

static void malformed_records(void **state) {
    swg_context *ctx = *state;
    static sample s;
    const int64_t extent[4] = {1, 9, 9, 9};
    make_sample(ctx, SWG_ELEMENT_F32, extent, 1e-3, 5, &s);
    swg__text text;
    swg__record record, bad;
    code(&s, &text, &record);
    swg__chunk chunk = s.chunk;
    chunk.values = s.restored;
    bad = record;
    bad.head.flags = 0;
    assert_ptr_equal(swg__interp_decode(&chunk, &bad), swg__why_unsupported);
    bad = record;
    bad.head.sub_shift = 0;
    assert_non_null(strstr(swg__interp_decode(&chunk, &bad), "sub-grid"));
    bad = record;
    bad.stream[SWG__RANS].data = NULL;
    assert_non_null(strstr(swg__interp_decode(&chunk, &bad), "missing"));
    bad = record;
    bad.stream[SWG__RANS].bytes -= 2;
    assert_non_null(strstr(swg__interp_decode(&chunk, &bad), "exhausted"));
    uint8_t *copy = malloc(record.stream[SWG__RANS].bytes + 2);
    memcpy(copy, record.stream[SWG__RANS].data, record.stream[SWG__RANS].bytes);
    memset(copy + record.stream[SWG__RANS].bytes, 0, 2);
    bad.stream[SWG__RANS] = (swg__span){copy, record.stream[SWG__RANS].bytes + 2};
    assert_non_null(strstr(swg__interp_decode(&chunk, &bad), "left over"));
    free(copy);
    swg__chunk whole = chunk;
    whole.grid.step = 0;
    assert_non_null(strstr(swg__interp_decode(&whole, &record), "float grid"));
    whole = chunk;
    whole.grid.type = SWG_ELEMENT_I32;
    assert_non_null(strstr(swg__interp_decode(&whole, &record), "float grid"));
    swg__text_free(&text);
    /* Levels that run away: one anchor of 2^46. */
    const int64_t line[4] = {1, 1, 1, 2};
    make_sample(ctx, SWG_ELEMENT_F64, line, 1e-3, 5, &s);
    static const uint8_t param[] = {1, 4, 127, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0};
    swg__symbols symbols;
    swg__draft draft;
    swg__draft_init(&draft, ctx);
    assert_ok(ctx, swg__symbols_open(&symbols, ctx, 2));
    swg__residual_put(&symbols, 127, 0, (int64_t)1 << 42);
    swg__residual_put(&symbols, 0, 0, 0);
    swg__bits_finish(&symbols.bits);
    assert_ok(ctx, swg__rans_encode(symbols.code, 2, 0, ctx, &draft.stream[SWG__RANS]));
    bad = (swg__record){.head = {.mode = SWG__MODE_G, .sub_shift = 4, .flags = SWG__FLAG_LOCAL}};
    bad.stream[SWG__PARAM] = (swg__span){param, sizeof param};
    bad.stream[SWG__RANS] = (swg__span){(const uint8_t *)draft.stream[SWG__RANS].data, draft.stream[SWG__RANS].length};
    bad.stream[SWG__RAW] = (swg__span){(const uint8_t *)symbols.raw.data, symbols.raw.length};
    chunk = s.chunk;
    chunk.values = s.restored;
    assert_non_null(strstr(swg__interp_decode(&chunk, &bad), "level beyond 2^45"));
    swg__symbols_close(&symbols);
    swg__draft_free(&draft);
}

/* What a decoder takes follows from the values of a chunk: axes of extent 1 in PARAM, along which there is nothing between, took eight times as much. */
static void flat_axes(void **state) {
    swg_context *ctx = *state;
    static sample s;
    const int64_t n = 1 << 18;
    float *x = malloc((size_t)n * sizeof *x), *back = malloc((size_t)n * sizeof *back);
    swg__text text;
    swg__record record;
    make_sample(ctx, SWG_ELEMENT_F32, (const int64_t[4]){9, 9, 9, 3}, 0.01, 3, &s);
    for (int64_t i = 0; i < n; i++)
        x[i] = ((const float *)(const void *)s.values)[i % 2187];
    s.chunk.extent[0] = s.chunk.count = n;
    s.chunk.extent[1] = s.chunk.extent[2] = s.chunk.extent[3] = 1;
    s.chunk.values = x;
    code(&s, &text, &record);
    uint8_t param[1024];
    assert_true(record.stream[SWG__PARAM].bytes < sizeof param);
    memcpy(param, record.stream[SWG__PARAM].data, record.stream[SWG__PARAM].bytes);
    param[1] = 7;
    record.stream[SWG__PARAM].data = param;
    swg_context_peak_rss_reset(ctx);
    decode(&s, &record, back);
    assert_true(swg_context_peak_rss_growth(ctx) < (int64_t)40 << 20);
    for (int64_t i = 0; i < n; i++)
        assert_true(fabsf(back[i] - x[i]) < 0.01f);
    swg__text_free(&text);
    free(back);
    free(x);
}

/* What the mode cannot code it leaves to others. */
static void integers_and_lossless(void **state) {
    swg_context *ctx = *state;
    static sample s;
    const int64_t extent[4] = {1, 5, 5, 5};
    swg__draft draft;
    bool coded = true;
    int64_t bytes;
    make_sample(ctx, SWG_ELEMENT_I32, extent, 5, 5, &s);
    swg__draft_init(&draft, ctx);
    assert_ok(ctx, swg__interp_encode(&s.chunk, &draft, &coded));
    assert_false(coded);
    assert_ok(ctx, swg__interp_estimate(&s.chunk, &bytes));
    assert_true(bytes == INT64_MAX);
    make_sample(ctx, SWG_ELEMENT_F32, extent, 0, 5, &s);
    assert_ok(ctx, swg__interp_encode(&s.chunk, &draft, &coded));
    assert_false(coded);
    swg__draft_free(&draft);
}

/* A field with waves of many lengths in all directions, like turbulence: the amplitude falls with the wave number. */
static void fill_waves(swg_codec_array *a, float *data, uint64_t seed) {
    enum { WAVES = 60 };
    double k[WAVES][5];
    for (int w = 0; w < WAVES; w++) {
        const double length = 3 * pow(1.07, w);
        double norm = 0;
        for (int i = 0; i < 4; i++)
            k[w][i] = (double)(noise(&seed) >> 40) / 0x1p24 - 0.5;
        for (int i = 0; i < 3; i++)
            norm += k[w][i] * k[w][i];
        for (int i = 0; i < 3; i++)
            k[w][i] *= 6.283185 / length / sqrt(norm);
        k[w][4] = pow(length, 0.9);
    }
    for (int64_t z = 0, i = 0; z < a->dims[0]; z++)
        for (int64_t y = 0; y < a->dims[1]; y++)
            for (int64_t x = 0; x < a->dims[2]; x++, i++) {
                double v = 0;
                for (int w = 0; w < WAVES; w++)
                    v += k[w][4] * sin(k[w][0] * (double)z + k[w][1] * (double)y + k[w][2] * (double)x + 6.283185 * k[w][3]);
                data[i] = (float)v;
            }
}

/* The estimate is within 10 % of what is then written, for chunks of several shapes. */
static void estimates(void **state) {
    swg_context *ctx = *state;
    enum { N = 64 * 48 * 40 };
    static float data[N];
    static const int64_t shape[4][3] = {{64, 48, 40}, {40, 64, 48}, {24, 64, 80}, {1, 320, 384}};
    for (int i = 0; i < 12; i++) {
        swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {shape[i % 4][0], shape[i % 4][1], shape[i % 4][2]}, .data = data};
        swg__chunk chunk = {.ctx = ctx, .kernels = swg__codec_kernels_for(ctx->isa), .values = data, .count = N,
                            .extent = {1, a.dims[0], a.dims[1], a.dims[2]}};
        const double bound[3] = {1e-2, 1e-3, 1e-4};
        double least, most;
        bool any, coded;
        int64_t nan, bytes;
        swg__draft draft;
        fill_waves(&a, data, (uint64_t)i / 4 + 1);
        swg__range(ctx, a.type, data, N, &chunk.fill, &least, &most, &any, &nan);
        assert_ok(ctx, swg__grid_resolve(ctx, &a, N, &(swg_codec_opts){.bound = SWG_BOUND_REL, .value = bound[i / 4]}, &chunk.fill, least, most, &chunk.grid));
        swg__draft_init(&draft, ctx);
        assert_ok(ctx, swg__interp_encode(&chunk, &draft, &coded));
        assert_ok(ctx, swg__interp_estimate(&chunk, &bytes));
        const double ratio = (double)bytes / (double)swg__draft_bytes(&draft);
        if (!coded || !(ratio > 0.9 && ratio < 1.1))
            fail_msg("%lld x %lld x %lld at rel %g: %lld bytes expected, %zu found", (long long)a.dims[0], (long long)a.dims[1], (long long)a.dims[2],
                     bound[i / 4], (long long)bytes, swg__draft_bytes(&draft));
        swg__draft_free(&draft);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_predictions),
        cmocka_unit_test_setup_teardown(every_small_shape, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(whole_arrays, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(kernels_agree, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(targets_agree, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(far_levels, testing_open, testing_close),
        cmocka_unit_test(malformed_parameters),
        cmocka_unit_test_setup_teardown(malformed_records, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(flat_axes, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(integers_and_lossless, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(estimates, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
