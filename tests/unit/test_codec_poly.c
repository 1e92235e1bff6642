/* test_codec_poly.c - proves: mode P keeps the bound on grids and octants of every shape and type, the transforms and whole streams
 * are the same bits on every instruction set, a second decoder written from docs/format.md restores the same levels, shared faces and
 * mirror images are found and pay, malformed parameters are refused by name.
 * SPDX-License-Identifier: Apache-2.0 */
#include "codec/encode.h"
#include "codec/poly.h"
#include "codec/poly_train.h"
#include "codec_testing.h"
#include "context.h"

/* ---- fields ---- */

static double wave(double z, double y, double x) { return sin(0.21 * x + 0.3) * cos(0.17 * y - 0.2) + 0.7 * cos(0.13 * z + 0.05 * x); }

static void put_value(swg_element type, void *data, int64_t i, double v) {
    if (type == SWG_ELEMENT_F32)
        ((float *)data)[i] = (float)v;
    else
        ((double *)data)[i] = v;
}

/* Path of a cube whose neighbours share a face, as a Hilbert curve takes them; and z-order. */
static const uint8_t hilbert[8] = {0, 1, 3, 2, 6, 7, 5, 4}, morton[8] = {0, 1, 2, 3, 4, 5, 6, 7};

/* Octants of a smooth field: cubes of eight in the given order, each followed by `singles` of another scale. `mirror`: every second
 * cube is the image of the one before, reversed along y and x, negated. */
static int64_t fill_octants(swg_element type, void *data, int n, int cubes, int singles, const uint8_t order[8], bool mirror) {
    int64_t at = 0, octants = 0;
    for (int c = 0; c < cubes; c++) {
        for (int o = 0; o < 8 + singles; o++, octants++)
            for (int z = 0; z < n; z++)
                for (int y = 0; y < n; y++)
                    for (int x = 0; x < n; x++) {
                        double scale = o < 8 ? 1 : 0.4;
                        int corner = o < 8 ? order[o] : 8 + o;
                        double zz = z + (corner >> 2 & 1) * (n - 1), yy = y + (corner >> 1 & 1) * (n - 1), xx = x + (corner & 1) * (n - 1);
                        bool image = mirror && c % 2 && o < 8;
                        double cz = 3.1 * (mirror ? c / 2 : c) + (o < 8 ? 0 : 40 + 9 * o);
                        put_value(type, data, at++, (image ? -1 : 1) * wave(scale * zz + cz, scale * (image ? 2 * n - 2 - yy : yy), scale * (image ? 2 * n - 2 - xx : xx)));
                    }
    }
    return octants;
}

static const uint32_t only_poly = 1u << SWG_MODE_STENCIL | 1u << SWG_MODE_PLANES | 1u << SWG_MODE_INTERPOLATION;

/* ---- transforms ---- */

/* Rounds to nearest, ties to even. */
static int64_t nearest_shift(int64_t v, int shift) {
    int64_t floor = v >> shift, rest = v - floor * ((int64_t)1 << shift), half = (int64_t)1 << (shift - 1);
    return floor + (rest > half || (rest == half && (floor & 1)));
}

/* The synthesis from docs/format.md. c: (n0, n1, n2) */
static void slow_synthesis(const int64_t *c, const int n[3], int64_t *h) {
    const int16_t *b[3];
    for (int a = 0; a < 3; a++)
        b[a] = swg__poly_basis + swg__poly_start(n[a]);
    int64_t f[17 * 17 * 17], g[17 * 17 * 17];
    for (int i = 0; i < n[0]; i++)
        for (int j = 0; j < n[1]; j++)
            for (int x = 0; x < n[2]; x++) {
                int64_t sum = 0;
                for (int k = 0; k < n[2]; k++)
                    sum += c[(i * n[1] + j) * n[2] + k] * b[2][k * n[2] + x];
                f[(i * n[1] + j) * n[2] + x] = nearest_shift(sum, 14);
            }
    for (int i = 0; i < n[0]; i++)
        for (int y = 0; y < n[1]; y++)
            for (int x = 0; x < n[2]; x++) {
                int64_t sum = 0;
                for (int j = 0; j < n[1]; j++)
                    sum += f[(i * n[1] + j) * n[2] + x] * b[1][j * n[1] + y];
                g[(i * n[1] + y) * n[2] + x] = nearest_shift(sum, 14);
            }
    for (int z = 0; z < n[0]; z++)
        for (int y = 0; y < n[1]; y++)
            for (int x = 0; x < n[2]; x++) {
                int64_t sum = 0;
                for (int i = 0; i < n[0]; i++)
                    sum += g[(i * n[1] + y) * n[2] + x] * b[0][i * n[0] + z];
                h[(z * n[1] + y) * n[2] + x] = nearest_shift(sum, 18);
            }
}

static void transforms_exact(void **state) {
    swg_context *ctx = *state;
    static const int sizes[][3] = {{1, 1, 1}, {1, 1, 16}, {1, 9, 16}, {3, 3, 3}, {7, 7, 7}, {13, 13, 13}, {16, 16, 16}, {17, 17, 17}, {5, 12, 8}};
    double *boxes = malloc(5 * SWG__POLY_BOX * sizeof *boxes), *c = boxes, *out = c + SWG__POLY_BOX, *work = out + SWG__POLY_BOX;
    double *first = work + SWG__POLY_BOX, *back = first + SWG__POLY_BOX;
    int64_t *slow = malloc(2 * 17 * 17 * 17 * sizeof *slow), *h = slow + 17 * 17 * 17;
    uint64_t seed = 5;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int extreme = 0; extreme < 2; extreme++) {
            const int *n = sizes[s], row = swg__poly_row(n[2]), box = n[0] * n[1] * row;
            int degree = extreme ? 3 : 24, degrees = n[0] + n[1] + n[2] - 3;
            degree = degree < degrees ? degree : degrees;
            memset(c, 0, (size_t)box * sizeof *c);
            for (int i = 0; i < n[0]; i++)
                for (int j = 0; j < n[1]; j++)
                    for (int k = 0; k < n[2]; k++) {
                        int64_t v = (int64_t)(noise(&seed) % 4096) - 2048;
                        v = i + j + k > degree ? 0 : extreme ? v * (1 << 22) : v;
                        c[(i * n[1] + j) * row + k] = (double)v;
                        slow[(i * n[1] + j) * n[2] + k] = v;
                    }
            slow_synthesis(slow, n, h);
            for (int isa = 0; isa <= (int)ctx->isa; isa++) {
                const swg__codec_kernels *kernels = swg__codec_kernels_for((swg__isa)isa);
                kernels->poly_synthesis(c, n, degree, out, work);
                for (int r = 0; r < n[0] * n[1]; r++)
                    for (int x = 0; x < row; x++)
                        assert_true(out[r * row + x] == (x < n[2] ? (double)h[r * n[2] + x] : 0));
                kernels->poly_analysis(out, n, isa ? back : first, work);
                if (isa)
                    assert_memory_equal(back, first, (size_t)box * sizeof *back);
            }
            double scale = extreme ? 0x1p33 : 4096; /* analysis undoes synthesis, but for the rounding to whole levels */
            for (int i = 0; i < box; i++)
                assert_true(fabs(first[i] * 16 - c[i]) <= 16 * 40 + scale * 1e-12);
        }
    free(slow);
    free(boxes);
}

/* ---- round trips ---- */

static void grids(void **state) {
    swg_context *ctx = *state;
    static const int64_t shapes[][4] = {{1, 1, 1, 300}, {1, 1, 70, 50}, {1, 20, 33, 17}, {1, 16, 16, 16}, {2, 9, 31, 40}, {1, 1, 1, 64}, {1, 65, 3, 5}, {3, 5, 5, 4}};
    static const double bounds[] = {1e-2, 1e-4, 1e-7};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int t = 0; t < 2; t++)
            for (int b = 0; b < 3; b++) {
                swg_codec_array a = {.type = t ? SWG_ELEMENT_F64 : SWG_ELEMENT_F32, .ndim = 4, .dims = {shapes[s][0], shapes[s][1], shapes[s][2], shapes[s][3]}};
                int64_t n = array_values(&a), at = 0;
                void *data = malloc((size_t)n * 8);
                for (int64_t w = 0; w < a.dims[0]; w++)
                    for (int64_t z = 0; z < a.dims[1]; z++)
                        for (int64_t y = 0; y < a.dims[2]; y++)
                            for (int64_t x = 0; x < a.dims[3]; x++)
                                put_value(a.type, data, at++, wave((double)(z + 5 * w), (double)y, (double)x));
                a.data = data;
                swg_codec_stats stats;
                (void)round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_REL, .value = bounds[b], .without = only_poly}, &stats);
                if (b < 2)
                    assert_int_equal(stats.mode_chunks[SWG_MODE_POLY], stats.chunks);
                free(data);
            }
}

static void odd_values(void **state) {
    swg_context *ctx = *state;
    enum { N = 24 };
    for (int t = 0; t < 2; t++)
        for (int kind = 0; kind < 5; kind++) {
            swg_codec_array a = {.type = t ? SWG_ELEMENT_F64 : SWG_ELEMENT_F32, .ndim = 3, .dims = {N, N, N}};
            void *data = malloc(N * N * N * 8);
            uint64_t seed = 3;
            for (int i = 0; i < N * N * N; i++) {
                double v = wave(i / N / N, i / N % N, i % N);
                uint64_t r = noise(&seed) % 997;
                v = kind == 0 && r < 3 ? NAN : kind == 1 && r < 3 ? (r ? INFINITY : 1e30) : kind == 2 ? 1e5 + 1e-2 * v : kind == 3 && r == 0 ? 1e-42 : v;
                v = kind == 4 && i < N * N * 16 ? NAN : v; /* whole patches of it */
                put_value(a.type, data, i, v);
            }
            a.data = data;
            swg_codec_stats stats;
            (void)round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = kind == 2 ? 1e-2 : 1e-4, .without = only_poly}, &stats);
            if (kind == 0 || kind == 3)
                assert_int_equal(stats.mode_chunks[SWG_MODE_POLY], 1);
            free(data);
        }
}

static size_t octant_bytes(swg_context *ctx, swg_element type, int n, int cubes, int singles, const uint8_t order[8], bool mirror, double eb, uint32_t without) {
    int64_t octants = cubes * (8 + singles);
    void *data = malloc((size_t)(octants * n * n * n) * 8);
    assert_int_equal(fill_octants(type, data, n, cubes, singles, order, mirror), octants);
    swg_codec_array a = {.type = type, .layout = SWG_CODEC_BLOCKS, .ndim = 4, .dims = {octants, n, n, n}, .data = data};
    swg_codec_stats stats;
    size_t bytes = round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = eb, .without = only_poly | without}, &stats);
    assert_int_equal(stats.mode_chunks[SWG_MODE_POLY], stats.chunks);
    if (octants > 9) { /* a value apart in a face that two octants share, another in one only */
        put_value(type, data, (n * n * n) * 3 + 5, 77);
        put_value(type, data, n * n * n - 1, NAN);
        (void)round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = eb, .without = only_poly | without}, NULL);
    }
    free(data);
    return bytes;
}

static void octants(void **state) {
    swg_context *ctx = *state;
    for (int n = 3; n <= 9; n++)
        for (int t = 0; t < 2; t++)
            (void)octant_bytes(ctx, t ? SWG_ELEMENT_F64 : SWG_ELEMENT_F32, n, 3, n % 3, n % 2 ? hilbert : morton, false, n < 6 ? 1e-3 : 1e-5, 0);
    (void)octant_bytes(ctx, SWG_ELEMENT_F32, 7, 1, 0, hilbert, false, 1e-4, 0);
}

static void common_values_pay(void **state) {
    swg_context *ctx = *state;
    size_t joined = octant_bytes(ctx, SWG_ELEMENT_F32, 7, 12, 0, hilbert, false, 1e-5, 0);
    size_t single = octant_bytes(ctx, SWG_ELEMENT_F32, 7, 12, 0, hilbert, false, 1e-5, SWG_WITHOUT_FACES);
    assert_true(joined < single * 8 / 10);
    size_t mirrored = octant_bytes(ctx, SWG_ELEMENT_F32, 7, 24, 0, hilbert, true, 1e-5, 0);
    size_t plain = octant_bytes(ctx, SWG_ELEMENT_F32, 7, 24, 0, hilbert, true, 1e-5, SWG_WITHOUT_MIRRORS);
    assert_true(mirrored < joined * 13 / 10 && mirrored < plain * 8 / 10); /* half of the cubes are images of the other half */
}

/* A grid with a mirror symmetry: its second half costs next to nothing. */
static void mirrored_grid(void **state) {
    swg_context *ctx = *state;
    enum { Z = 16, Y = 48, X = 64 };
    float *data = malloc(2 * Z * Y * X * sizeof *data);
    size_t bytes[2];
    for (int odd = 0; odd < 2; odd++)
        for (int symmetric = 0; symmetric < 2; symmetric++) {
            for (int i = 0; i < Z * Y * X; i++) {
                int z = i / X / Y, y = i / X % Y, x = i % X;
                bool high = symmetric && y > (Y - odd) / 2;
                data[i] = (float)((high && odd ? -1 : 1) * wave(7 * z, 5 * (high ? Y - odd - y : y), 6 * (high ? X - 1 - x : x)));
            }
            swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {Z, Y, X}, .data = data};
            bytes[symmetric] = round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 1e-6, .without = only_poly}, NULL);
            if (symmetric && bytes[1] >= bytes[0] * 85 / 100)
                fail_msg("odd %d: %zu bytes with a mirror, %zu without", odd, bytes[1], bytes[0]);
        }
    free(data);
}

/* ---- the same bytes everywhere, and a second decoder ---- */

/* Reader of a rANS stream, from docs/format.md. */
typedef struct reader {
    uint32_t state[32], lanes, lane;
    const uint8_t *word, *raw;
    int bit;
} reader;

static int64_t bits(reader *r, int count) {
    int64_t v = 0;
    for (int i = 0; i < count; i++, r->bit++)
        v = 2 * v + (r->raw[r->bit / 8] >> (7 - r->bit % 8) & 1);
    return v;
}

static int64_t residual(reader *r, int bucket, int phase) {
    int table = bucket < 28 ? 9 * bucket + phase : 252 + (bucket & 3), symbol = 31;
    uint32_t x = r->state[r->lane], slot = x & 32767;
    while (swg__start[table][symbol] > slot)
        symbol--;
    x = swg__frequency[table][symbol] * (x >> 15) + slot - swg__start[table][symbol];
    if (x < 65536) {
        x = x << 16 | swg__load16(r->word);
        r->word += 2;
    }
    r->state[r->lane] = x;
    r->lane = (r->lane + 1) % r->lanes;
    int64_t h = symbol - 15;
    if (symbol == 31) {
        int64_t sign = bits(r, 1), zeros = 0;
        while (!bits(r, 1))
            zeros++;
        int64_t v = ((int64_t)1 << (zeros + 2)) + bits(r, (int)zeros + 2);
        h = sign ? -(v + 12) : v + 12;
    }
    if (bucket < 28)
        return h;
    int low = (bucket - 28) / 4 + 1;
    return h * ((int64_t)1 << low) + bits(r, low) - ((int64_t)1 << (low - 1));
}

typedef struct second {
    reader in;
    const uint8_t *code;
    int64_t mean, top[2], spacing, fix;
} second;

static int64_t side(second *s, int k) { return k < 3 ? residual(&s->in, s->code[k] / 9, s->code[k] % 9) : residual(&s->in, s->code[k], 0); }

/* u, reference: the whole patch of edges e; the box is n at `at`. */
static void second_box(second *s, int64_t *u, const int64_t *reference, const int e[3], const int at[3], const int n[3], int depth) {
    if (depth < 2 && n[0] * n[1] * n[2] >= 256 && side(s, 2)) {
        for (int c = 0; c < 8; c++) {
            int m[3], from[3];
            bool there = true;
            for (int a = 0; a < 3; a++) {
                int half = n[a] >= 4 ? (n[a] + 1) / 2 : n[a], high = c >> (2 - a) & 1;
                from[a] = at[a] + (high ? half : 0);
                m[a] = high ? n[a] - half : half;
                there = there && m[a] > 0;
            }
            if (there)
                second_box(s, u, reference, e, from, m, depth + 1);
        }
        return;
    }
    static const int steps[12] = {90, 128, 181, 256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096};
    static int64_t q[17][17][17], c[17 * 17 * 17], h[17 * 17 * 17];
    const int kind = reference != NULL;
    int64_t top = s->top[kind] += side(s, 9), mean = kind ? 0 : s->mean;
    if (top > 0)
        mean += side(s, kind ? 8 : 7);
    if (top > 1)
        s->spacing += side(s, 10);
    memset(q, 0, sizeof q);
    for (int degree = 1; degree < top; degree++)
        for (int i = 0; i < n[0] && i <= degree; i++)
            for (int j = 0; j < n[1] && i + j <= degree; j++) {
                int k = degree - i - j;
                if (k >= n[2])
                    continue;
#define Q(a, b, d) ((a) < 0 || (b) < 0 || (d) < 0 ? 0 : llabs(q[a][b][d]))
                int64_t near = 2 * (Q(i - 1, j, k) + Q(i, j - 1, k) + Q(i, j, k - 1)) + Q(i - 2, j, k) + Q(i, j - 2, k) + Q(i, j, k - 2) +
                               Q(i - 1, j - 1, k) + Q(i - 1, j, k - 1) + Q(i, j - 1, k - 1);
                int log = 0, m = (int)(near < 2 ? near : 0), a = (i > 0) + (j > 0) + (k > 0), d = degree < 8 ? degree : 8;
                while (near >> (log + 1))
                    log++;
                if (near >= 2)
                    m = 1 + 2 * log + (int)(near >> (log - 1) & 1);
                int64_t b = top - 1 - degree < 3 ? top - 1 - degree : 3;
                int bucket = swg__poly_built_in.base[m < 31 ? m : 31][3 * b + a - 1] + (m > 31 ? 2 * (m - 31) : 0) + swg__poly_built_in.shift[d - 1][a - 1];
                q[i][j][k] = residual(&s->in, bucket < 0 ? 0 : bucket > 127 ? 127 : bucket, 0);
            }
    for (int i = 0; i < n[0]; i++)
        for (int j = 0; j < n[1]; j++)
            for (int k = 0; k < n[2]; k++)
                c[(i * n[1] + j) * n[2] + k] = q[i][j][k] * steps[s->spacing];
    slow_synthesis(c, n, h);
    s->fix += side(s, 11);
    for (int z = 0; z < n[0]; z++)
        for (int y = 0; y < n[1]; y++)
            for (int x = 0; x < n[2]; x++) {
                int64_t to = ((z + at[0]) * e[1] + y + at[1]) * e[2] + x + at[2];
                u[to] = mean + h[(z * n[1] + y) * n[2] + x] + (kind ? reference[to] : 0) + (s->fix ? 16 * residual(&s->in, (int)s->fix + 2, 0) : 0);
            }
    if (!kind)
        s->mean = mean;
}

/* Octants of one record, without outliers, as f32. */
static void second_decoder(const swg__record *record, const swg__grid *grid, int64_t octants, int n, float *out) {
    enum { PATCHES = 64, NODES = 17 * 17 * 17 };
    const uint8_t *param = record->stream[SWG__PARAM].data;
    second s = {.in = {.lanes = 1u << record->head.lanes_log2, .word = record->stream[SWG__RANS].data, .raw = record->stream[SWG__RAW].data}, .code = param + 1, .spacing = 3};
    assert_int_equal(param[0], SWG__POLY_OCTANTS | SWG__POLY_MIRROR);
    for (uint32_t i = 0; i < s.in.lanes; i++, s.in.word += 4)
        s.in.state[i] = swg__load32(s.in.word);
    int64_t *u = calloc(PATCHES * NODES, sizeof *u), *reference = malloc(NODES * sizeof *reference), back = 0, flip = 0;
    int edge[PATCHES], patch = 0, known = 0;
    uint8_t list[9][8];
    for (int64_t o = 0; o < octants; patch++) {
        assert_true(patch < PATCHES);
        int group = octants - o >= 8 ? (int)side(&s, 0) : 0;
        uint8_t corner[8] = {0};
        if (group) {
            int which = (int)side(&s, 3);
            for (int c = 0; c < 8; c++)
                corner[c] = which < known ? list[which][c] : (uint8_t)side(&s, 4);
            if (which == known) {
                known += known < 8;
                which = known - 1;
            }
            memmove(list[1], list[0], (size_t)which * 8);
            memcpy(list[0], corner, 8);
        }
        const int e = edge[patch] = group ? 2 * n - 1 : n, all[3] = {e, e, e}, zero[3] = {0, 0, 0};
        bool refers = patch > 0 && side(&s, 1);
        if (refers) {
            back += side(&s, 5);
            flip += side(&s, 6);
            assert_int_equal(edge[patch - back], e);
            const int64_t *from = u + (patch - back) * NODES;
            for (int z = 0; z < e; z++)
                for (int y = 0; y < e; y++)
                    for (int x = 0; x < e; x++) {
                        int64_t v = from[((flip & 4 ? e - 1 - z : z) * e + (flip & 2 ? e - 1 - y : y)) * e + (flip & 1 ? e - 1 - x : x)];
                        reference[(z * e + y) * e + x] = flip & 8 ? -v : v;
                    }
        }
        second_box(&s, u + patch * NODES, refers ? reference : NULL, all, zero, all, 0);
        for (int c = 0; c < (group ? 8 : 1); c++, o++)
            for (int z = 0; z < n; z++)
                for (int y = 0; y < n; y++)
                    for (int x = 0; x < n; x++) {
                        int64_t at = ((z + (corner[c] >> 2) * (n - 1)) * e + y + (corner[c] >> 1 & 1) * (n - 1)) * e + x + (corner[c] & 1) * (n - 1);
                        out[((o * n + z) * n + y) * n + x] = (float)(grid->base + (double)u[patch * NODES + at] * (grid->step / 16));
                    }
    }
    for (uint32_t i = 0; i < s.in.lanes; i++)
        assert_int_equal(s.in.state[i], 65536);
    free(reference);
    free(u);
}

static void same_bytes_everywhere(void **state) {
    swg_context *ctx = *state;
    enum { EDGE = 7, CUBES = 9, OCTANTS = CUBES * 10, VALUES = OCTANTS * EDGE * EDGE * EDGE };
    float *data = malloc(VALUES * sizeof *data), *one = malloc(VALUES * sizeof *one), *other = malloc(VALUES * sizeof *other);
    (void)fill_octants(SWG_ELEMENT_F32, data, EDGE, CUBES, 2, hilbert, true);
    uint64_t seed = 9;
    for (int i = 0; i < VALUES / 5; i++) /* some patches with corrections, halves and all */
        data[i] += i % 343 > 171 ? (float)((double)(noise(&seed) >> 40) / 0x1p24 * 0.02) : 0;
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .layout = SWG_CODEC_BLOCKS, .ndim = 4, .dims = {OCTANTS, EDGE, EDGE, EDGE}, .data = data};
    const swg_codec_opts opts = {.bound = SWG_BOUND_ABS, .value = 1e-4, .without = only_poly};
    const swg__isa best = ctx->isa;
    swg_codec_buffer first = {0};
    for (int isa = 0; isa <= (int)best; isa++) {
        swg_codec_buffer out;
        ctx->isa = (swg__isa)isa;
        assert_ok(ctx, swg_codec_compress(ctx, &a, &opts, &out, NULL));
        swg_swz *swz;
        assert_ok(ctx, swg_swz_open_memory(ctx, out.data, out.bytes, &swz));
        assert_ok(ctx, swg_swz_read(swz, 0, isa ? other : one, VALUES * sizeof *one));
        swg_swz_close(swz);
        if (isa) {
            assert_int_equal(out.bytes, first.bytes);
            assert_memory_equal(out.data, first.data, out.bytes);
            assert_memory_equal(other, one, VALUES * sizeof *one);
            swg_codec_buffer_free(ctx, &out);
        } else {
            first = out;
        }
    }
    ctx->isa = best;
    swg__header header;
    swg__record record;
    swg_status status;
    assert_null(swg__header_parse(first.data, first.bytes, &header, &status));
    uint32_t length = swg__load32(first.data + header.header_bytes + 4);
    assert_null(swg__record_parse(first.data + header.header_bytes, length, VALUES, 0, &record));
    assert_int_equal(record.head.mode, SWG__MODE_P);
    second_decoder(&record, &header.grid, OCTANTS, EDGE, other);
    swg__chunk chunk = {.grid = header.grid, .extent = {OCTANTS, EDGE, EDGE, EDGE}, .count = VALUES, .values = other};
    chunk.grid.type = SWG_ELEMENT_F32;
    if (record.stream[SWG__OUTLIERS].data)
        assert_null(swg__outliers_read(&chunk, record.stream[SWG__OUTLIERS]));
    assert_memory_equal(other, one, VALUES * sizeof *one);
    swg_codec_buffer_free(ctx, &first);
    free(other);
    free(one);
    free(data);
}

/* ---- constants, refusals, fitting ---- */

static void known_answers(void **state) {
    (void)state;
    static const int16_t three[9] = {9459, 9459, 9459, -11585, 0, 11585, 6689, -13377, 6689}; /* 1/sqrt 3, 1/sqrt 2, 1/sqrt 6 */
    assert_memory_equal(swg__poly_basis + swg__poly_start(3), three, sizeof three);
    uint8_t bytes[2 * 17 * 18 * 35 / 6];
    for (int i = 0; i < 17 * 18 * 35 / 6; i++)
        swg__store16(bytes + 2 * i, (uint16_t)swg__poly_basis[i]);
    assert_int_equal(swg__crc32c(0, bytes, sizeof bytes), 0x04B974FB);
    static const int classes[] = {0, 1, 3, 4, 5, 5, 6, 6, 7};
    for (uint32_t i = 0; i < 9; i++)
        assert_int_equal(swg__poly_magnitude(i), classes[i]);
    assert_true(swg__poly_magnitude(2u * SWG__POLY_SUM) < 64); /* the largest neighbourhood there is */
    for (int64_t e = 1; e < 200; e++) /* pieces: none empty, none larger than 16, and the way back */
        for (int64_t i = 0; i < swg__poly_pieces(e); i++)
            for (int64_t x = swg__poly_piece_start(e, i); x < swg__poly_piece_start(e, i + 1); x++) {
                assert_int_equal(swg__poly_piece_of(e, x), i);
                assert_true(swg__poly_piece_start(e, i + 1) - swg__poly_piece_start(e, i) <= 16);
            }
}

static void refusals(void **state) {
    swg_context *ctx = *state;
    enum { N = 20 };
    float *data = malloc(N * N * N * sizeof *data);
    for (int i = 0; i < N * N * N; i++)
        data[i] = (float)wave(i / N / N, i / N % N, i % N);
    swg__chunk chunk = {.ctx = ctx, .kernels = swg__codec_kernels_for(ctx->isa), .extent = {1, N, N, N}, .count = N * N * N, .values = data,
                        .grid = {.type = SWG_ELEMENT_F32, .eb = 1e-3, .step = 0x1p-9, .sig = 12, .fine = true, .reach = 1e6}};
    static const struct { int at; uint8_t value; const char *why; } cases[] = {
        {0, 4, "flags of mode P are unknown"}, {0, 2, "octants must be (m, n, n, n) with n in 3..9"}, {0, 1, "a mirror of mode P is impossible"},
        {1, 252, "a code of mode P is impossible"}, {5, 128, "a code of mode P is impossible"}, {-1, 0, "parameters of mode P have the wrong length"},
    };
    swg__draft draft;
    bool coded;
    swg__draft_init(&draft, ctx);
    assert_ok(ctx, swg__poly_encode(&chunk, &swg__poly_built_in, 0, 1 << 20, &draft, &coded));
    assert_true(coded);
    draft.head.n_values = N * N * N;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        swg__draft copy;
        swg__text file;
        swg__record record;
        swg__draft_init(&copy, ctx);
        swg__text_init(&file, ctx);
        copy.head = draft.head;
        for (int k = 1; k < SWG__STREAM_KINDS; k++)
            if (draft.stream[k].length)
                swg__put(&copy.stream[k], draft.stream[k].data, draft.stream[k].length);
        if (cases[i].at < 0)
            swg__put8(&copy.stream[SWG__PARAM], 0);
        else
            copy.stream[SWG__PARAM].data[cases[i].at] = (char)cases[i].value;
        assert_ok(ctx, swg__draft_write(&copy, ctx, &file));
        assert_null(swg__record_parse((const uint8_t *)file.data, file.length, N * N * N, 0, &record));
        const char *why = swg__poly_decode(&chunk, &swg__poly_built_in, &record);
        if (!why || strcmp(why, cases[i].why) != 0)
            fail_msg("byte %d = %u: expected \"%s\", found \"%s\"", cases[i].at, cases[i].value, cases[i].why, why ? why : "accepted");
        swg__text_free(&file);
        swg__draft_free(&copy);
    }
    swg__draft_free(&draft);
    free(data);
}

/* Fitting to a field never makes its coefficients longer, and finds its way back from a bad law. */
static void fitting(void **state) {
    swg_context *ctx = *state;
    enum { N = 48 };
    float *data = malloc(N * N * N * sizeof *data);
    for (int i = 0; i < N * N * N; i++)
        data[i] = (float)wave(3 * (i / N / N), 3 * (i / N % N), 3 * (i % N));
    swg__chunk chunk = {.ctx = ctx, .kernels = swg__codec_kernels_for(ctx->isa), .extent = {1, N, N, N}, .count = N * N * N, .values = data,
                        .grid = {.type = SWG_ELEMENT_F32, .eb = 1e-3, .step = 0x1p-9, .sig = 12, .fine = true, .reach = 1e6}};
    swg__poly_counts *counts = calloc(1, sizeof *counts);
    swg__poly_law good = swg__poly_built_in, bad = swg__poly_built_in;
    double bits[2], again[2];
    for (int m = 0; m < SWG__POLY_MAGNITUDES; m++)
        memset(bad.base[m], 40, sizeof bad.base[m]);
    assert_ok(ctx, swg__poly_count(&chunk, &good, counts));
    swg__poly_fit(counts, &good, bits);
    assert_true(bits[1] <= bits[0] && bits[1] > 0);
    swg__poly_fit(counts, &bad, again);
    assert_true(again[0] > bits[0] && again[1] < bits[0]);
    free(counts);
    free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(known_answers, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(transforms_exact, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(grids, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(odd_values, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(octants, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(common_values_pay, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(mirrored_grid, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(same_bytes_everywhere, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refusals, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(fitting, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
