/* test_codec_blocks.c - proves mode B-causal: order and weights against known answers and against elimination in f64, tables that come back,
 * the bound for every edge with special values and masks, the same bits on every instruction set and from a second decoder written from
 * docs/format.md, trained tables, a named refusal of every damage.
 * SPDX-License-Identifier: Apache-2.0 */
#include "codec/block.h"
#include "codec_testing.h"
#include "context.h"

enum { ROOM = 520 * 27 };

/* ---- tables ---- */

static void entries(void **state) {
    swg_context *ctx = *state;
    for (int edge = 3; edge <= 9; edge++)
        for (int pairs = 0; pairs < 2; pairs++) {
            const int n = edge * edge * edge;
            swg__variogram v, back;
            swg__text text;
            assert_ok(ctx, swg__variogram_open(ctx, edge, pairs, &v));
            for (int a = 0; a < n; a++)
                for (int b = 0; b < a; b++) {
                    int64_t entry = swg__variogram_entry(edge, pairs, a, b);
                    assert_true(entry >= 0 && entry < v.count && entry == swg__variogram_entry(edge, pairs, b, a));
                    v.gamma[entry]++;
                }
            for (int64_t i = 0; i < v.count; i++) { /* a displacement d is that of prod(edge - |d|) pairs; some of no pair at all */
                if (pairs)
                    assert_int_equal(v.gamma[i], 1);
                v.gamma[i] = swg__variogram_wide((uint32_t)(i * 7919 % SWG__VARIOGRAM_CODES));
            }
            swg__text_init(&text, ctx);
            swg__variogram_write(&v, &text);
            swg__cursor in = {.at = (const uint8_t *)text.data, .end = (const uint8_t *)text.data + text.length};
            assert_null(swg__variogram_read(ctx, &in, &back));
            assert_int_equal(swg__left(&in), 0);
            assert_memory_equal(back.gamma, v.gamma, (size_t)v.count * sizeof *v.gamma);
            swg__variogram_close(&back);
            swg__variogram_close(&v);
            swg__text_free(&text);
        }
    for (uint32_t h = 1; h < SWG__VARIOGRAM_CODES; h++) {
        assert_true(swg__variogram_wide(h) > swg__variogram_wide(h - 1));
        assert_int_equal(swg__variogram_short(swg__variogram_wide(h)), h);
    }
    assert_int_equal(swg__variogram_wide(SWG__VARIOGRAM_CODES - 1), 8191 << 11);
    assert_int_equal(swg__variogram_short(1e30), SWG__VARIOGRAM_CODES - 1);
    assert_int_equal(swg__variogram_short(-1), 0);
}

/* ---- plans ---- */

static const int order[27] = {0, 2, 6, 18, 8, 20, 24, 26, 1, 3, 5, 7, 9, 11, 15, 17, 19, 21, 23, 25, 4, 10, 12, 14, 16, 22, 13};

static void known_plans(void **state) {
    swg_context *ctx = *state;
    swg__variogram v;
    swg__block_plan plan;
    assert_ok(ctx, swg__variogram_open(ctx, 3, false, &v));
    for (int64_t i = 0; i < v.count; i++) /* values that have nothing in common: the best guess is the mean of all known ones */
        v.gamma[i] = 1 << 20;
    assert_ok(ctx, swg__block_plan_open(&v, 64, &plan));
    for (int r = 0; r < 27; r++) {
        assert_int_equal(plan.rank[r].position, order[r]);
        assert_int_equal(plan.rank[r].taps, r);
        int sum = 0;
        for (int k = 0; k < r; k++) {
            assert_in_range(plan.rank[r].weight[k] + 8192, 8192 + 8192 / r - 30, 8192 + 8192 / r + 30);
            sum += plan.rank[r].weight[k];
        }
        assert_int_equal(sum, r ? 8192 : 0);
    }
    /* sigma^2 of rank 1: 2 gamma + noise = 2^21 + 1 times the noise of 1/12: s = sqrt(0.3 * 2^21 / 12) = 229 = 2^(31.4 / 4); bucket 51 */
    assert_in_range(plan.rank[1].bucket, 50, 51);
    /* the activity of rank 2 looks at rank 1 alone: 64 * 0.55 / 2^(31 / 4), Q13 */
    assert_int_equal(plan.rank[2].near, 1);
    assert_in_range(plan.rank[2].share[0], 1200, 1700);
    swg__block_plan_close(&plan);
    for (int64_t i = 0; i < v.count; i++) /* one value everywhere: any weights do, and nothing may go wrong */
        v.gamma[i] = 0;
    for (int scale = 0; scale < SWG__BLOCK_SCALES; scale += 191) {
        assert_ok(ctx, swg__block_plan_open(&v, scale, &plan));
        assert_in_range(plan.rank[26].bucket, 0, 20);
        swg__block_plan_close(&plan);
    }
    swg__variogram_close(&v);
}

/* A table that is no variogram, made so that rank 7 takes the root of 2^63 - 1684367956, whose next square is beyond 63 bits. Weights by the
 * rule of docs/format.md in Python's integers. */
static void largest_root(void **state) {
    swg_context *ctx = *state;
    static const int32_t known[7] = {-3901, -96, -96, 4095, 4095, 4095, 0};
    static const struct { uint8_t a, b; uint32_t gamma; } entry[] = {
        {1, 0, 0}, {2, 0, 0}, {2, 1, 0}, {3, 0, 49152}, {3, 1, 49152}, {3, 2, 49152}, {4, 0, 49152}, {4, 1, 49152}, {4, 2, 49152}, {4, 3, 98304},
        {5, 0, 49152}, {5, 1, 49152}, {5, 2, 49152}, {5, 3, 98304}, {5, 4, 98304}, {6, 0, 49152}, {6, 1, 0}, {6, 2, 0}, {6, 3, 0}, {6, 4, 100080}, {6, 5, 98192}};
    swg__variogram v;
    swg__block_plan plan;
    assert_ok(ctx, swg__variogram_open(ctx, 3, true, &v));
    for (int64_t i = 0; i < v.count; i++)
        v.gamma[i] = 1 << 23;
    for (size_t i = 0; i < sizeof entry / sizeof entry[0]; i++)
        v.gamma[swg__variogram_entry(3, true, order[entry[i].a], order[entry[i].b])] = entry[i].gamma;
    assert_ok(ctx, swg__block_plan_open(&v, 0, &plan));
    assert_int_equal(plan.rank[7].taps, 7);
    for (int k = 0; k < 7; k++) {
        assert_int_equal(plan.rank[7].tap[k], k);
        assert_int_equal(plan.rank[7].weight[k], known[k]);
    }
    assert_int_equal(plan.rank[7].bucket, 89);
    swg__block_plan_close(&plan);
    swg__variogram_close(&v);
}

/* Kriging weights by Gauss-Jordan elimination: half squares between taps with the noise, a Lagrange multiplier for the sum. */
static void eliminate(const swg__variogram *v, const swg__block_plan *plan, const swg__block_rank *rank, double noise, double *w) {
    static double a[SWG__BLOCK_TAPS + 1][SWG__BLOCK_TAPS + 2];
    const int m = rank->taps;
    for (int i = 0; i <= m; i++)
        for (int j = 0; j <= m + 1; j++) {
            int p = i < m ? plan->rank[rank->tap[i]].position : -1, q = j < m ? plan->rank[rank->tap[j]].position : j == m ? -1 : rank->position;
            a[i][j] = p < 0 && q < 0 ? 0 : p < 0 || q < 0 ? 1 : -(double)swg__variogram_at(v, p, q) + (i == j ? noise : 0);
        }
    for (int i = 0; i <= m; i++) {
        int best = i;
        for (int k = i; k <= m; k++)
            best = fabs(a[k][i]) > fabs(a[best][i]) ? k : best;
        for (int j = 0; j <= m + 1; j++) {
            double t = a[i][j];
            a[i][j] = a[best][j];
            a[best][j] = t;
        }
        for (int k = 0; k <= m; k++)
            for (int j = m + 1; k != i && j >= i; j--)
                a[k][j] -= a[k][i] / a[i][i] * a[i][j];
    }
    for (int i = 0; i < m; i++)
        w[i] = a[i][m + 1] / a[i][i];
}

static void weights_of_fields(void **state) {
    swg_context *ctx = *state;
    for (int edge = 3; edge <= 6; edge++)
        for (int law = 0; law < 2; law++) { /* gamma ~ |d|, and a smoother one, both of real fields */
            swg__variogram v;
            swg__block_plan plan;
            const int n = edge * edge * edge;
            assert_ok(ctx, swg__variogram_open(ctx, edge, false, &v));
            for (int a = 0; a < n; a++)
                for (int b = 0; b < a; b++) {
                    double z = a / (edge * edge) - b / (edge * edge), y = a / edge % edge - b / edge % edge, x = a % edge - b % edge;
                    double d = z * z + y * y + 1.5 * x * x;
                    v.gamma[swg__variogram_entry(edge, false, a, b)] = swg__variogram_wide(swg__variogram_short(law ? 6e5 * (1 - exp(-d / 20)) : 2e5 * sqrt(d)));
                }
            assert_ok(ctx, swg__block_plan_open(&v, 64 + 4 * 9, &plan)); /* the noise is 2^9 */
            for (int r = 1; r < n; r++) {
                double w[SWG__BLOCK_TAPS];
                eliminate(&v, &plan, &plan.rank[r], 512, w);
                for (int k = 0; k < plan.rank[r].taps; k++)
                    if (fabs(w[k] * 8192 - plan.rank[r].weight[k]) > 8 + 8 * fabs(w[k]))
                        fail_msg("edge %d, law %d, rank %d: weight %d is %d, not %.2f", edge, law, r, k, (int)plan.rank[r].weight[k], w[k] * 8192);
            }
            swg__block_plan_close(&plan);
            swg__variogram_close(&v);
        }
}

/* ---- a chunk ---- */

typedef struct sample {
    swg__chunk chunk;
    uint8_t mask[ROOM];
    double values[ROOM], restored[ROOM];
} sample;

static void make_sample(swg_context *ctx, swg_element type, int64_t edge, int64_t blocks, double eb, uint64_t seed, sample *s) {
    s->chunk = (swg__chunk){.ctx = ctx, .kernels = swg__codec_kernels_for(ctx->isa), .values = s->values, .extent = {blocks, edge, edge, edge}};
    swg_codec_array a = {.type = type, .ndim = 4, .dims = {blocks, edge, edge, edge}, .data = s->values};
    s->chunk.count = array_values(&a);
    assert_true(s->chunk.count <= ROOM);
    fill_smooth(&a, s->values, seed);
    double least, most;
    bool any;
    int64_t nan;
    swg__range(ctx, type, s->values, s->chunk.count, &s->chunk.fill, &least, &most, &any, &nan);
    assert_ok(ctx, swg__grid_resolve(ctx, &a, s->chunk.count, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = eb}, &s->chunk.fill, least, most, &s->chunk.grid));
}

static void set_value(sample *s, int64_t at, double value) {
    if (s->chunk.grid.type == SWG_ELEMENT_F32)
        ((float *)s->values)[at] = (float)value;
    else
        s->values[at] = value;
}

/* Codes, writes, parses. The caller frees text. */
static void code(sample *s, const swg__variogram *trained, swg__text *text, swg__record *record) {
    swg_context *ctx = s->chunk.ctx;
    swg__draft draft;
    bool coded;
    swg__draft_init(&draft, ctx);
    assert_ok(ctx, swg__block_encode(&s->chunk, trained, (int64_t)1 << 40, &draft, &coded));
    assert_true(coded);
    draft.head.n_values = (uint32_t)s->chunk.count;
    draft.head.model_ref = trained ? 0 : SWG__NO_MODEL;
    swg__text_init(text, ctx);
    assert_ok(ctx, swg__draft_write(&draft, ctx, text));
    const char *why = swg__record_parse((const uint8_t *)text->data, text->length, (uint32_t)s->chunk.count, 0, record);
    if (why)
        fail_msg("%s", why);
    swg__draft_free(&draft);
}

static const char *decode(const sample *s, const swg__variogram *trained, const swg__record *record, void *out) {
    swg__chunk chunk = s->chunk;
    chunk.values = out;
    const char *why = swg__block_decode(&chunk, trained, record);
    return !why && record->stream[SWG__OUTLIERS].data ? swg__outliers_read(&chunk, record->stream[SWG__OUTLIERS]) : why;
}

static void check(const sample *s, const void *restored) {
    for (int64_t i = 0; i < s->chunk.count; i++) {
        double x = swg__load_value(s->chunk.grid.type, s->values, i), y = swg__load_value(s->chunk.grid.type, restored, i);
        if (!(s->chunk.mask && s->chunk.mask[i]) && !(swg__accept(y, x, s->chunk.grid.eb) || (!isfinite(x) && (x == y || (isnan(x) && isnan(y))))))
            fail_msg("value %lld of %lld blocks of %lld^3: %.17g became %.17g, bound %g", (long long)i, (long long)s->chunk.extent[0],
                     (long long)s->chunk.extent[3], x, y, s->chunk.grid.eb);
    }
}

/* ---- the second decoder: one symbol at a time, from the page; weights and buckets from the plan, which has tests of its own ---- */

static int64_t nearest_even(int64_t sum) { /* sum / 2^13 */
    int64_t q = sum >> 13, rest = sum & 8191;
    q += rest > 4096 || (rest == 4096 && (q & 1));
    return q > 1 << 25 ? 1 << 25 : q < -(1 << 25) ? -(1 << 25) : q;
}

static void decode_second(const sample *s, const swg__record *record, void *out) {
    static int64_t u[ROOM], v[256][729], size[256][729];
    const uint8_t *param = record->stream[SWG__PARAM].data, *end = param + record->stream[SWG__PARAM].bytes;
    const int first_bucket = param[0], scale = param[1], low = param[2], high = param[3];
    const int8_t *of = (const int8_t *)param + 4, *pass = of + high - low + 1;
    swg__variogram table;
    swg__block_plan plan;
    swg__rans in;
    swg__cursor rest = {.at = (const uint8_t *)pass + 12, .end = end};
    assert_null(swg__variogram_read(s->chunk.ctx, &rest, &table));
    assert_ok(s->chunk.ctx, swg__block_plan_open(&table, scale, &plan));
    assert_null(swg__rans_open(&in, record->head.lanes_log2, record->stream[SWG__RANS].data, record->stream[SWG__RANS].bytes, record->stream[SWG__RAW].data,
                               record->stream[SWG__RAW].bytes));
    int64_t first[256], before = 0;
    for (int64_t from = 0; from < s->chunk.extent[0]; from += 256) {
        const int64_t blocks = s->chunk.extent[0] - from < 256 ? s->chunk.extent[0] - from : 256;
        for (int r = 0; r < plan.count; r++)
            for (int64_t i = 0; i < blocks; i++) {
                const swg__block_rank *rank = &plan.rank[r];
                uint8_t bucket = (uint8_t)first_bucket;
                int64_t p = 0, activity = 64, e;
                if (r) {
                    int64_t sum = 0, sizes = 0;
                    for (int k = 0; k < rank->taps; k++)
                        sum += rank->weight[k] * v[i][rank->tap[k]];
                    for (int k = 0; k < rank->near; k++)
                        sizes += rank->share[k] * size[i][rank->close[k]];
                    p = nearest_even(sum);
                    activity = rank->near ? nearest_even(sizes) : 64;
                    int64_t t = activity + 8;
                    int o = 0, c;
                    while (t >> (o + 1))
                        o++;
                    c = 4 * (o - 3) + (int)((t >> (o - 2)) - 4);
                    c = c > 63 ? 63 : c;
                    int b = rank->bucket + pass[rank->pass] + of[(c < low ? low : c > high ? high : c) - low];
                    bucket = (uint8_t)(b < 0 ? 0 : b > 127 ? 127 : b);
                }
                swg__codec_kernels_scalar.residuals(&in, &bucket, NULL, 1, &e);
                if (!r) {
                    before += e;
                    first[i] = 16 * before;
                    v[i][0] = 0;
                } else {
                    v[i][r] = p + 16 * e;
                    size[i][r] = e < 0 ? -e : e;
                    size[i][r] = size[i][r] < 65535 ? size[i][r] : 65535;
                }
                u[(from + i) * plan.count + rank->position] = first[i] + v[i][r];
            }
    }
    assert_null(swg__rans_finish(&in));
    swg__chunk chunk = s->chunk;
    chunk.values = out;
    assert_null(swg__levels_store(&chunk, 4, u, 0, chunk.count));
    if (record->stream[SWG__OUTLIERS].data)
        assert_null(swg__outliers_read(&chunk, record->stream[SWG__OUTLIERS]));
    swg__block_plan_close(&plan);
    swg__variogram_close(&table);
}

static void every_edge(void **state) {
    swg_context *ctx = *state;
    static sample s;
    static double again[ROOM];
    const swg__isa best = ctx->isa;
    int round = 0;
    for (int64_t edge = 3; edge <= 9; edge++)
        for (int kind = TESTING_SLOW ? (int)edge % 2 : 0; kind < 5; kind += TESTING_SLOW ? 2 : 1, round++) {
            static const int64_t few[5] = {8, 9, 11, 17, 19};
            const int64_t blocks = edge == 3 ? (int64_t[]){8, 255, 256, 257, 520}[kind] : few[kind] * 729 / (edge * edge * edge);
            make_sample(ctx, kind % 2 ? SWG_ELEMENT_F64 : SWG_ELEMENT_F32, edge, blocks < ROOM / (edge * edge * edge) ? blocks : ROOM / (edge * edge * edge),
                        kind == 4 ? 1e-6 : kind % 3 ? 0.5 : 0.003, (uint64_t)round + 1, &s);
            if (kind > 1) {
                set_value(&s, round % s.chunk.count, NAN);
                set_value(&s, round * 7 % s.chunk.count, -INFINITY);
                set_value(&s, round * 5 % s.chunk.count, 1e30);
                set_value(&s, 0, 5e5); /* far from its block */
            }
            for (int64_t j = 0; j < s.chunk.count; j++)
                s.mask[j] = (j * j + round) % 11 < 3;
            s.chunk.mask = kind == 3 ? s.mask : NULL;
            swg__text text;
            swg__record record;
            code(&s, NULL, &text, &record);
            memset(s.restored, 0, sizeof s.restored);
            for (int isa = 0; isa <= (int)best; isa++) {
                s.chunk.kernels = swg__codec_kernels_for((swg__isa)isa);
                memset(again, 0, sizeof again);
                assert_null(decode(&s, NULL, &record, isa ? again : s.restored));
                if (isa)
                    assert_memory_equal(again, s.restored, sizeof again);
                else
                    check(&s, s.restored);
            }
            decode_second(&s, &record, again);
            assert_memory_equal(again, s.restored, (size_t)s.chunk.count * (size_t)swg_element_bytes(s.chunk.grid.type));
            for (int isa = 0; isa <= (int)best && edge <= 4; isa++) { /* the same bytes, too */
                swg__text other;
                swg__record unused;
                s.chunk.kernels = swg__codec_kernels_for((swg__isa)isa);
                code(&s, NULL, &other, &unused);
                assert_int_equal(other.length, text.length);
                assert_memory_equal(other.data, text.data, text.length);
                swg__text_free(&other);
            }
            swg__text_free(&text);
        }
    ctx->isa = best;
}

/* ---- real and rough blocks through the whole codec ---- */

/* Rough surfaces: sums of waves of all lengths with random phases, other in every block. */
static void fill_waves(float *x, int64_t blocks, int edge, uint64_t seed) {
    for (int64_t b = 0; b < blocks; b++) {
        double k[12][4];
        for (int i = 0; i < 12; i++) {
            for (int a = 0; a < 3; a++)
                k[i][a] = ((double)(noise(&seed) >> 40) / 0x1p24 - 0.5) * (1 + i) * 0.35;
            k[i][3] = 6.2832 * (double)(noise(&seed) >> 40) / 0x1p24;
        }
        for (int p = 0; p < edge * edge * edge; p++) {
            double v = 0;
            for (int i = 0; i < 12; i++)
                v += sin(k[i][0] * (p / (edge * edge)) + k[i][1] * (p / edge % edge) + k[i][2] * (p % edge) + k[i][3]) / (1 + i);
            *x++ = (float)v;
        }
    }
}

static void whole_arrays(void **state) {
    swg_context *ctx = *state;
    enum { N = 1500 };
    const uint32_t only = ~(1u << SWG_MODE_BLOCKS);
    float *x = malloc((size_t)N * 125 * sizeof *x);
    fill_waves(x, N, 5, 7);
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .layout = SWG_CODEC_BLOCKS, .ndim = 4, .dims = {N, 5, 5, 5}, .data = x};
    for (int i = 0; i < 2; i++) {
        const double bound = i ? 1e-3 : 1e-2;
        swg_codec_stats s, others, usual;
        size_t bytes = round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_REL, .value = bound, .without = only}, &s);
        size_t without = round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_REL, .value = bound, .without = 1u << SWG_MODE_BLOCKS}, &others);
        size_t all = round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_REL, .value = bound}, &usual);
        assert_int_equal(s.mode_chunks[SWG_MODE_BLOCKS], s.chunks);
        assert_int_equal(others.mode_chunks[SWG_MODE_BLOCKS], 0);
        assert_int_equal(usual.mode_chunks[SWG_MODE_BLOCKS], usual.chunks);
        assert_int_equal(all, bytes);
        if (bytes * 10 > without * 9)
            fail_msg("rel %g: %zu bytes, %zu in other modes", bound, bytes, without);
    }
    free(x);
}

/* A table of all pairs serves arrays that come later, in any order of size, and is not taken where it does not fit. */
static void trained_tables(void **state) {
    swg_context *ctx = *state;
    enum { N = 4000 };
    float *x = malloc((size_t)2 * N * 27 * sizeof *x);
    fill_waves(x, 2 * N, 3, 3);
    swg_codec_array past = {.type = SWG_ELEMENT_F32, .layout = SWG_CODEC_BLOCKS, .ndim = 4, .dims = {N, 3, 3, 3}, .data = x}, now = past;
    swg_codec_opts o = {.bound = SWG_BOUND_REL, .value = 1e-3, .name = "w"};
    swg_codec_model *model = NULL;
    now.data = x + (size_t)N * 27;
    for (size_t i = 0; i < (size_t)N * 27; i++) /* the unit of a table does not matter */
        x[(size_t)N * 27 + i] *= 8;
    assert_ok(ctx, swg_codec_model_new(ctx, &model));
    assert_ok(ctx, swg_codec_fit(ctx, &past, 1, &o, &(swg_codec_fit_opts){.kinds = "blocks"}, model));
    assert_int_equal(swg_codec_model_count(model), 2); /* displacements, pairs */
    size_t bytes;
    const uint8_t *blob = swg_codec_model_blob(model, 1, &bytes, NULL);
    swg__variogram v;
    assert_null(swg__block_causal_parse(ctx, blob, bytes, &v));
    assert_int_equal(v.edge, 3);
    assert_int_equal(v.count, 351);

    static sample s;
    swg__text with, without;
    swg__record record, own;
    s.chunk = (swg__chunk){.ctx = ctx, .kernels = swg__codec_kernels_for(ctx->isa), .values = s.values, .extent = {500, 3, 3, 3}, .count = 500 * 27};
    memcpy(s.values, now.data, (size_t)s.chunk.count * sizeof(float));
    assert_ok(ctx, swg__grid_resolve(ctx, &now, s.chunk.count, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 0.02}, &s.chunk.fill, -20, 20, &s.chunk.grid));
    code(&s, &v, &with, &record);
    code(&s, NULL, &without, &own);
    assert_true(with.length < without.length);
    assert_null(decode(&s, &v, &record, s.restored));
    check(&s, s.restored);
    assert_non_null(strstr(decode(&s, NULL, &record, s.restored), "model is not in the file"));
    swg__variogram other;
    assert_ok(ctx, swg__variogram_open(ctx, 4, false, &other));
    assert_non_null(strstr(decode(&s, &other, &record, s.restored), "not of these blocks"));
    swg__draft draft;
    bool coded = true;
    swg__draft_init(&draft, ctx);
    assert_ok(ctx, swg__block_encode(&s.chunk, &other, (int64_t)1 << 40, &draft, &coded));
    assert_false(coded);
    assert_ok(ctx, swg__block_encode(&s.chunk, NULL, 1000, &draft, &coded)); /* far more than 1000 bytes */
    assert_false(coded);
    swg__draft_free(&draft);
    swg__variogram_close(&other);
    swg__text_free(&with);
    swg__text_free(&without);
    swg__block_causal_close(ctx, &v);

    for (size_t cut = 16; cut < bytes; cut += 37)
        assert_non_null(swg__block_causal_parse(ctx, blob, cut, &v));
    uint8_t *bad = malloc(bytes + 4);
    memcpy(bad, blob, bytes);
    assert_non_null(strstr(swg__block_causal_parse(ctx, bad, bytes + 4, &v), "bytes left over"));
    bad[17] = 2;
    assert_non_null(strstr(swg__block_causal_parse(ctx, bad, bytes, &v), "edge or form"));
    bad[17] = 1;
    bad[16] = 10;
    assert_non_null(strstr(swg__block_causal_parse(ctx, bad, bytes, &v), "edge or form"));
    bad[16] = 3;
    bad[21] = 0xFF;
    assert_non_null(strstr(swg__block_causal_parse(ctx, bad, bytes, &v), "2^24 or more"));
    free(bad);

    o.model = model; /* in a file of its own */
    (void)round_trip(ctx, &now, &o, NULL);
    swg_codec_model_free(ctx, model);
    free(x);
}

/* ---- damage ---- */

static void malformed_records(void **state) {
    swg_context *ctx = *state;
    static sample s;
    static double out[ROOM];
    swg__text text;
    swg__record good;
    make_sample(ctx, SWG_ELEMENT_F32, 3, 40, 0.003, 5, &s);
    code(&s, NULL, &text, &good);
    uint8_t param[1024];
    const size_t bytes = good.stream[SWG__PARAM].bytes;
    assert_true(bytes < sizeof param);
    const size_t table = 4 + (size_t)(good.stream[SWG__PARAM].data[3] - good.stream[SWG__PARAM].data[2]) + 1 + 12;
    const struct { size_t at; int value; const char *reason; } bad[] = {
        {0, 128, "impossible"}, {1, 192, "impossible"}, {2, 64, "impossible"}, {3, 64, "impossible"}, {table, 2, "edge or form"}, {table + 1, 2, "edge or form"},
        {table, 4, "cut short"}, {table + 1, 1, "cut short"}, {table + 5, 0xFF, "2^24 or more"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        swg__record record = good;
        memcpy(param, good.stream[SWG__PARAM].data, bytes);
        param[bad[i].at] = (uint8_t)bad[i].value;
        record.stream[SWG__PARAM].data = param;
        const char *why = decode(&s, NULL, &record, out);
        if (!why || !strstr(why, bad[i].reason))
            fail_msg("expected '%s', found '%s'", bad[i].reason, why ? why : "nothing wrong");
    }
    for (size_t cut = 0; cut < bytes; cut += cut < 40 ? 1 : 29) {
        swg__record record = good;
        record.stream[SWG__PARAM].bytes = cut;
        assert_non_null(decode(&s, NULL, &record, out));
    }
    swg__variogram trained;
    assert_ok(ctx, swg__variogram_open(ctx, 3, false, &trained));
    swg__record record = good;
    record.stream[SWG__PARAM] = (swg__span){0};
    record.head.flags &= (uint16_t)~SWG__FLAG_LOCAL;
    assert_string_equal(decode(&s, &trained, &record, out), "streams of mode B are missing");
    swg__variogram_close(&trained);
    record = good;
    record.stream[SWG__RANS].bytes -= 2;
    assert_non_null(decode(&s, NULL, &record, out));
    record = good;
    record.stream[SWG__RANS].data = NULL;
    assert_non_null(strstr(decode(&s, NULL, &record, out), "missing"));
    record = good;
    record.head.sub_shift = 0;
    assert_non_null(strstr(decode(&s, NULL, &record, out), "float grid"));
    record = good;
    record.head.flags &= (uint16_t)~SWG__FLAG_LOCAL;
    assert_non_null(strstr(decode(&s, NULL, &record, out), "model is not in the file"));
    swg__chunk flat = s.chunk;
    flat.values = out;
    flat.extent[0] = 120;
    flat.extent[1] = 1;
    assert_non_null(strstr(swg__block_decode(&flat, NULL, &good), "needs blocks"));
    /* Any bytes at all may stand in a table; whatever the weights, it ends. */
    uint64_t seed = 11;
    for (int i = 0; i < 300; i++) {
        record = good;
        memcpy(param, good.stream[SWG__PARAM].data, bytes);
        param[1] = (uint8_t)(noise(&seed) % SWG__BLOCK_SCALES);
        for (size_t j = table + 4; j < bytes; j++) /* the second byte of an entry decides on its size */
            param[j] = (uint8_t)(noise(&seed) % ((j - table) % 2 ? 0xD0 : 256));
        record.stream[SWG__PARAM].data = param;
        (void)decode(&s, NULL, &record, out);
    }
    swg__text_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(entries, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(known_plans, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(largest_root, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(weights_of_fields, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(every_edge, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(whole_arrays, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(trained_tables, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(malformed_records, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
