/* test_sliding.c - proves: places, number and weights of windows are those of the specification; images of two and three axes through windows that
 * change nothing come back, whatever the overlap, the padding and the size; results have the same bits for every batch, band and number of threads,
 * also where a batch holds windows of two images; what windows disagree on is their weighted mean; heads of a finer grid; boxes; what is taken was
 * planned; blending leaves no step.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/sliding.h"
#include "scratch.h"
#include <math.h>

static void places(void **state) {
    (void)state;
    static const struct { int64_t n, window; double overlap; int64_t count, start[4]; } cases[] = {
        {70, 32, .25, 3, {0, 24, 38}}, {70, 32, 0, 3, {0, 32, 38}}, {40, 16, .5, 4, {0, 8, 16, 24}}, {33, 32, .9, 2, {0, 1}}, {20, 32, .25, 1, {0}},
        {32, 32, .25, 1, {0}},         {1, 8, 0, 1, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(swg__windows_count(cases[i].n, cases[i].window, cases[i].overlap), cases[i].count);
        for (int64_t k = 0; k < cases[i].count; k++)
            assert_int_equal(swg__windows_start(cases[i].n, cases[i].window, cases[i].overlap, k), cases[i].start[k]);
    }
}

static void weights(void **state) {
    (void)state;
    static const double four[] = {0.0111089965382, 0.606530659713}, eight[] = {0.00218749111818, 0.0439369336234, 0.324652467358, 0.882496902585};
    double w[8];
    swg__windows_gaussian(4, w);
    for (int i = 0; i < 4; i++)
        assert_close(w[i], four[i < 2 ? i : 3 - i], 1e-11, 0);
    swg__windows_gaussian(8, w);
    for (int i = 0; i < 8; i++)
        assert_close(w[i], eight[i < 4 ? i : 7 - i], 1e-11, 0);
}

/* Windows of 16 x 32 x 32: the raw product of three lines. */
static void weights_of_volumes(void **state) {
    (void)state;
    double z[16], x[32], least = 1, most = 0;
    int64_t small = 0;
    swg__windows_gaussian(16, z);
    swg__windows_gaussian(32, x);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 32; j++)
            for (int k = 0; k < 32; k++) {
                const double w = z[i] * x[j] * x[k];
                least = fmin(least, w);
                most = fmax(most, w);
                small += w < 1e-3;
            }
    assert_close(least, 2.66172904872e-10, 0, 1e-11);
    assert_close(most, .954206665969, 0, 1e-11);
    assert_int_equal(small, 9544);
    const swg__sliding s = {.roi = {16, 32, 32}, .overlap = .25};
    assert_int_equal(swg__sliding_windows(&s, (int64_t[]){40, 100, 100}), 48);
}

/* ---- images ---- */

enum { IMAGES = 8, HEADS = 3 };

/* A queue of images, (channels, z, y, x) each, and a "network" that gives of each head's channel c the input's channel c mod channels, each voxel
 * repeated `ratio` times. */
typedef struct queue {
    swg_context *ctx;
    int64_t images, extent[IMAGES][3];
    swg__sliding s;
    float *in[IMAGES], *out[IMAGES][HEADS], *result[HEADS];
    bool shade;                     /* windows add a ramp of their own along x: 0 on the left, 1 on the right */
    int64_t begun, finished, windows, index, calls, largest_read;
    int64_t taken;                  /* most bytes seen in use, where ctx is set */
    int64_t read[IMAGES], written[IMAGES][HEADS];   /* voxels (of one channel) */
} queue;

static int64_t ratio_of(const queue *q, int h, int a) { return q->s.head[h].ratio[a] ? q->s.head[h].ratio[a] : 1; }
static int64_t voxels(const int64_t e[3]) { return e[0] * e[1] * e[2]; }
static float value_at(int64_t k, int64_t c, int64_t z, int64_t y, int64_t x) {
    return (float)((k * 37 + c * 131 + z * 29 + y * 17 + x * 7) % 64) / 64 + .25f;
}

static swg_status begin(void *user, int64_t image, int64_t extent[3]) {
    queue *q = user;
    assert_int_equal(image, q->begun);
    q->begun++;
    memcpy(extent, q->extent[image], 3 * sizeof *extent);
    return SWG_OK;
}

static swg_status read_box(void *user, int64_t image, const int64_t start[3], const int64_t count[3], float *out) {
    queue *q = user;
    const int64_t *e = q->extent[image];
    for (int a = 0; a < 3; a++)
        assert_true(start[a] >= 0 && count[a] > 0 && start[a] + count[a] <= e[a]);
    for (int64_t c = 0; c < q->s.channels; c++)
        for (int64_t z = 0; z < count[0]; z++)
            for (int64_t y = 0; y < count[1]; y++, out += count[2])
                memcpy(out, q->in[image] + ((c * e[0] + start[0] + z) * e[1] + start[1] + y) * e[2] + start[2], (size_t)count[2] * sizeof *out);
    q->read[image] += voxels(count);
    q->largest_read = voxels(count) > q->largest_read ? voxels(count) : q->largest_read;
    return SWG_OK;
}

static swg_status run_windows(void *user, int64_t count, const swg__sliding_window *at, const float *windows, const float **out) {
    queue *q = user;
    const int64_t *roi = q->s.roi, n = voxels(roi);
    assert_true(count <= (q->s.batch ? q->s.batch : 1));
    for (int64_t i = 0; i < count; i++) {
        assert_true(at[i].image >= q->finished && at[i].image < q->begun);
        assert_int_equal(at[i].index, q->index);
        assert_int_equal(at[i].count, swg__sliding_windows(&q->s, q->extent[at[i].image]));
        q->index = at[i].index + 1 < at[i].count ? at[i].index + 1 : 0;
    }
    for (int h = 0; h < q->s.heads; h++) {
        const int64_t rz = ratio_of(q, h, 0), ry = ratio_of(q, h, 1), rx = ratio_of(q, h, 2);
        float *to = q->result[h];
        for (int64_t i = 0; i < count; i++)
            for (int64_t c = 0; c < q->s.head[h].channels; c++)
                for (int64_t z = 0; z < roi[0] * rz; z++)
                    for (int64_t y = 0; y < roi[1] * ry; y++)
                        for (int64_t x = 0; x < roi[2] * rx; x++)
                            *to++ = windows[(i * q->s.channels + c % q->s.channels) * n + (z / rz * roi[1] + y / ry) * roi[2] + x / rx] +
                                    (q->shade ? (float)x / (float)(roi[2] * rx - 1) : 0);
        out[h] = q->result[h];
    }
    q->windows += count;
    q->calls++;
    return SWG_OK;
}

static swg_status write_box(void *user, int64_t image, int head, const int64_t start[3], const int64_t count[3], const float *values) {
    queue *q = user;
    int64_t e[3];
    assert_int_equal(image, q->finished); /* one after the other */
    if (q->ctx && (int64_t)swg_context_bytes(q->ctx) > q->taken)
        q->taken = (int64_t)swg_context_bytes(q->ctx);
    for (int a = 0; a < 3; a++) {
        e[a] = q->extent[image][a] * ratio_of(q, head, a);
        assert_true(start[a] >= 0 && count[a] > 0 && start[a] + count[a] <= e[a]);
    }
    assert_int_equal((start[0] * e[1] + start[1]) * e[2] + start[2] > 0, q->written[image][head] > 0);
    for (int64_t c = 0; c < q->s.head[head].channels; c++)
        for (int64_t z = 0; z < count[0]; z++)
            for (int64_t y = 0; y < count[1]; y++, values += count[2])
                memcpy(q->out[image][head] + ((c * e[0] + start[0] + z) * e[1] + start[1] + y) * e[2] + start[2], values, (size_t)count[2] * sizeof *values);
    q->written[image][head] += voxels(count);
    return SWG_OK;
}

static swg_status finish(void *user, int64_t image) {
    queue *q = user;
    assert_int_equal(image, q->finished);
    q->finished++;
    return SWG_OK;
}

static void open_queue(queue *q) {
    q->s.begin = begin;
    q->s.read = read_box;
    q->s.run = run_windows;
    q->s.write = write_box;
    q->s.finish = finish;
    q->s.images = q->images;
    q->s.user = q;
    for (int h = 0; h < q->s.heads; h++) {
        const int64_t more = ratio_of(q, h, 0) * ratio_of(q, h, 1) * ratio_of(q, h, 2);
        q->result[h] = calloc((size_t)(64 * q->s.head[h].channels * voxels(q->s.roi) * more), sizeof(float));
        assert_non_null(q->result[h]);
        for (int64_t k = 0; k < q->images; k++)
            assert_non_null(q->out[k][h] = calloc((size_t)(q->s.head[h].channels * voxels(q->extent[k]) * more), sizeof(float)));
    }
    for (int64_t k = 0; k < q->images; k++) {
        const int64_t *e = q->extent[k];
        float *to = q->in[k] = calloc((size_t)(q->s.channels * voxels(e)), sizeof(float));
        assert_non_null(to);
        for (int64_t c = 0; c < q->s.channels; c++)
            for (int64_t z = 0; z < e[0]; z++)
                for (int64_t y = 0; y < e[1]; y++)
                    for (int64_t x = 0; x < e[2]; x++)
                        *to++ = value_at(k, c, z, y, x);
    }
}

static void close_queue(queue *q) {
    for (int64_t k = 0; k < q->images; k++) {
        free(q->in[k]);
        for (int h = 0; h < q->s.heads; h++)
            free(q->out[k][h]);
    }
    for (int h = 0; h < q->s.heads; h++)
        free(q->result[h]);
}

/* Runs it and checks that all was read, run, written and finished. */
static void slide(swg_context *ctx, queue *q) {
    int64_t windows = 0;
    q->begun = q->finished = q->windows = q->index = q->calls = q->largest_read = 0;
    memset(q->read, 0, sizeof q->read);
    memset(q->written, 0, sizeof q->written);
    for (int64_t k = 0; k < q->images; k++)
        for (int h = 0; h < q->s.heads; h++) /* what is not written is seen */
            for (int64_t i = 0, n = q->s.head[h].channels * voxels(q->extent[k]) * ratio_of(q, h, 0) * ratio_of(q, h, 1) * ratio_of(q, h, 2); i < n; i++)
                q->out[k][h][i] = -9;
    assert_ok(ctx, swg__sliding_run(ctx, &q->s));
    assert_int_equal(q->begun, q->images);
    assert_int_equal(q->finished, q->images);
    for (int64_t k = 0; k < q->images; k++) {
        windows += swg__sliding_windows(&q->s, q->extent[k]);
        assert_true(q->s.boxed || q->read[k] == voxels(q->extent[k]));
        for (int h = 0; h < q->s.heads; h++)
            assert_int_equal(q->written[k][h], voxels(q->extent[k]) * ratio_of(q, h, 0) * ratio_of(q, h, 1) * ratio_of(q, h, 2));
    }
    const int64_t batch = q->s.batch ? q->s.batch : 1;
    assert_int_equal(q->windows, windows);
    assert_int_equal(q->calls, (windows + batch - 1) / batch); /* full batches, across images */
}

/* Each voxel of each head is the input's within 1e-6, or 0 where `uncovered`. */
static void expect_input(const queue *q, int64_t k, int h) {
    const int64_t *e = q->extent[k], rz = ratio_of(q, h, 0), ry = ratio_of(q, h, 1), rx = ratio_of(q, h, 2);
    const float *got = q->out[k][h];
    for (int64_t c = 0; c < q->s.head[h].channels; c++)
        for (int64_t z = 0; z < e[0] * rz; z++)
            for (int64_t y = 0; y < e[1] * ry; y++)
                for (int64_t x = 0; x < e[2] * rx; x++)
                    assert_close(*got++, value_at(k, c % q->s.channels, z / rz, y / ry, x / rx), 1e-6, 0);
}

static void unchanged(void **state) {
    swg_context *ctx = *state;
    static const struct { int64_t extent[3], roi[3]; int in, out; } sizes[] = {
        {{1, 70, 33}, {1, 16, 16}, 3, 3}, {{1, 16, 16}, {1, 16, 16}, 1, 1}, {{1, 5, 40}, {1, 8, 16}, 2, 5}, {{1, 1, 1}, {1, 8, 8}, 1, 2},
        {{1, 31, 7}, {1, 16, 8}, 3, 1},   {{20, 18, 23}, {8, 8, 8}, 1, 1},  {{5, 30, 9}, {8, 16, 8}, 2, 2}, {{4, 6, 50}, {8, 8, 16}, 1, 1},
        {{33, 3, 2}, {4, 8, 8}, 1, 2},    {{9, 8, 8}, {8, 8, 8}, 1, 1},
    };
    static const double overlaps[] = {0, .25, .5, .9};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int pad = 0; pad < 3; pad++) {
            queue q = {.images = 1, .s = {.channels = sizes[i].in, .heads = 1, .head = {{.channels = sizes[i].out}}, .pad = (swg__sliding_pad)pad}};
            memcpy(q.extent[0], sizes[i].extent, sizeof q.extent[0]);
            memcpy(q.s.roi, sizes[i].roi, sizeof q.s.roi);
            open_queue(&q);
            for (int o = 0; o < 4; o++)
                for (int constant = 0; constant < 2; constant++) {
                    q.s.overlap = overlaps[o];
                    q.s.constant = constant;
                    q.s.batch = 0;
                    slide(ctx, &q);
                    expect_input(&q, 0, 0);
                    const size_t bytes = (size_t)(sizes[i].out * voxels(sizes[i].extent)) * sizeof(float);
                    float *alone = malloc(bytes);
                    memcpy(alone, q.out[0][0], bytes);
                    q.s.batch = 7; /* several windows at a time, bands of several steps: the same bits */
                    q.s.steps = 2;
                    slide(ctx, &q);
                    assert_memory_equal(alone, q.out[0][0], bytes);
                    q.s.steps = 0;
                    free(alone);
                }
            close_queue(&q);
        }
}

/* Weight of a head's voxel i of a window along an axis. */
static double weight_at(int64_t roi, int64_t ratio, int64_t i) {
    double line[16];
    swg__windows_gaussian(roi, line);
    return fmax(line[i / ratio], 1e-3);
}

/* Sum of w p by sum of w at a voxel, over all windows; the network adds its ramp along x. */
static double blended_at(const queue *q, int h, const int64_t at[3]) {
    const int64_t *e = q->extent[0], *roi = q->s.roi;
    double sum = 0, weights = 0;
    for (int64_t kz = 0; kz < swg__windows_count(e[0], roi[0], q->s.overlap); kz++)
        for (int64_t ky = 0; ky < swg__windows_count(e[1], roi[1], q->s.overlap); ky++)
            for (int64_t kx = 0; kx < swg__windows_count(e[2], roi[2], q->s.overlap); kx++) {
                const int64_t k[3] = {kz, ky, kx};
                double w = 1;
                int64_t in[3];
                for (int a = 0; a < 3; a++) {
                    const int64_t r = ratio_of(q, h, a), front = e[a] < roi[a] ? (roi[a] - e[a]) / 2 : 0;
                    in[a] = at[a] - (swg__windows_start(e[a], roi[a], q->s.overlap, k[a]) - front) * r;
                    w *= in[a] >= 0 && in[a] < roi[a] * r ? weight_at(roi[a], r, in[a]) : 0;
                }
                const int64_t rx = ratio_of(q, h, 2);
                sum += w * (double)in[2] / (double)(roi[2] * rx - 1);
                weights += w;
            }
    return sum / weights + (double)value_at(0, 0, at[0] / ratio_of(q, h, 0), at[1] / ratio_of(q, h, 1), at[2] / ratio_of(q, h, 2));
}

static void weighted(void **state) {
    swg_context *ctx = *state;
    queue q = {.images = 1, .extent = {{11, 5, 19}}, .shade = true,
               .s = {.channels = 1, .roi = {4, 8, 8}, .overlap = .6, .batch = 5, .heads = 2, .head = {{.channels = 1}, {1, {1, 1, 2}}}}};
    open_queue(&q);
    slide(ctx, &q);
    for (int h = 0; h < 2; h++) {
        const float *got = q.out[0][h];
        for (int64_t z = 0; z < 11; z++)
            for (int64_t y = 0; y < 5; y++)
                for (int64_t x = 0; x < 19 * (h + 1); x++)
                    assert_close(*got++, blended_at(&q, h, (int64_t[]){z, y, x}), 2e-7, 0);
    }
    close_queue(&q);
}

/* Five images of all shapes, three heads of other grids; every batch and number of threads gives the same bits, and takes no more than was planned. */
static void queues(void **state) {
    (void)state;
    static const int64_t extents[5][3] = {{20, 18, 23}, {8, 8, 8}, {3, 30, 8}, {11, 8, 40}, {8, 20, 9}};
    static const struct { int64_t batch, steps; int threads, along; } ways[] = {{1, 1, 1, 0}, {2, 1, 2, 0}, {5, 3, 1, 0}, {64, 1, 2, 0}, {3, 1000, 1, 0}, {4, 1, 1, 1}};
    float *first[5][HEADS] = {0};
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        swg_context *ctx;
        assert_ok(NULL, swg_context_open(&(swg_context_opts){.threads = ways[w].threads}, &ctx));
        queue q = {.images = 5, .shade = true,
                   .s = {.channels = 2, .roi = {8, 8, 8}, .overlap = .4, .batch = ways[w].batch, .steps = ways[w].steps, .along = ways[w].along, .heads = HEADS,
                         .head = {{.channels = 2}, {1, {1, 2, 3}}, {3, {2, 1, 1}}}}};
        memcpy(q.extent, extents, sizeof extents);
        open_queue(&q);
        q.ctx = ctx;
        slide(ctx, &q);
        assert_true(q.taken > 0 && q.taken <= swg__sliding_bytes(&q.s, 5, q.extent[0]));
        for (int64_t k = 0; k < 5; k++)
            for (int h = 0; h < HEADS; h++) {
                const size_t bytes = (size_t)(q.s.head[h].channels * voxels(q.extent[k]) * ratio_of(&q, h, 0) * ratio_of(&q, h, 1) * ratio_of(&q, h, 2)) * sizeof(float);
                if (w == 0)
                    assert_non_null(first[k][h] = malloc(bytes));
                if (w == 0)
                    memcpy(first[k][h], q.out[k][h], bytes);
                assert_memory_equal(first[k][h], q.out[k][h], bytes);
            }
        q.shade = false;
        slide(ctx, &q);
        for (int64_t k = 0; k < 5; k++)
            for (int h = 0; h < HEADS; h++)
                expect_input(&q, k, h);
        close_queue(&q);
        swg_context_close(ctx);
    }
    for (int k = 0; k < 5; k++)
        for (int h = 0; h < HEADS; h++)
            free(first[k][h]);
}

/* Memory does not grow along the axis of the bands, and a band is no thicker than a window and its steps. */
static void bands(void **state) {
    swg_context *ctx = *state;
    queue q = {.images = 1, .extent = {{64, 12, 9}}, .s = {.channels = 1, .roi = {8, 8, 8}, .overlap = .5, .heads = 1, .head = {{.channels = 1}}}};
    const int64_t longer[3] = {64000, 12, 9}, planned = swg__sliding_bytes(&q.s, 1, q.extent[0]);
    assert_int_equal(swg__sliding_bytes(&q.s, 1, longer), planned);
    open_queue(&q);
    slide(ctx, &q);
    assert_int_equal(q.largest_read, 8 * 12 * 9);
    q.s.steps = 3;
    assert_true(swg__sliding_bytes(&q.s, 1, q.extent[0]) > planned);
    slide(ctx, &q);
    assert_int_equal(q.largest_read, 16 * 12 * 9);
    close_queue(&q);
}

/* A box: only windows that meet it are run, the rest is 0. */
static void boxes(void **state) {
    swg_context *ctx = *state;
    for (int along = 0; along < 3; along++) {
        queue q = {.images = 1, .s = {.channels = 1, .roi = {4, 4, 4}, .batch = 3, .heads = 1, .head = {{1, {1, 2, 1}}}, .boxed = true}};
        const int64_t extent[3] = {along == 0 ? 20 : 4, along == 2 ? 4 : 20, 20}, *e = q.extent[0];
        memcpy(q.extent[0], extent, sizeof extent);
        for (int a = 0; a < 3; a++) {
            q.s.box[a][0] = extent[a] == 4 ? -3 : 9;
            q.s.box[a][1] = extent[a] == 4 ? 99 : 13;
        }
        open_queue(&q);
        slide(ctx, &q);
        assert_int_equal(q.windows, along == 0 ? 8 : along == 1 ? 4 : 2);
        for (int64_t z = 0; z < e[0]; z++)
            for (int64_t y = 0; y < e[1] * 2; y++)
                for (int64_t x = 0; x < e[2]; x++) { /* windows 8..11 and 12..15 */
                    const bool inside = (e[0] == 4 || (z >= 8 && z < 16)) && (e[1] == 4 || (y >= 16 && y < 32)) && x >= 8 && x < 16;
                    assert_close(q.out[0][0][(z * e[1] * 2 + y) * e[2] + x], inside ? value_at(0, 0, z, y / 2, x) : 0, 1e-6, 0);
                }
        q.s.box[2][0] = q.s.box[2][1] = 30;
        q.begun = q.finished = q.index = 0;
        assert_int_equal(swg__sliding_run(ctx, &q.s), SWG_EINVAL);
        close_queue(&q);
    }
}

/* Zeros, the floor half of them in front; reflection and repetition at the high end. */
static const float *seen;
static swg_status look(void *user, int64_t count, const swg__sliding_window *at, const float *windows, const float **out) {
    (void)out;
    (void)user;
    assert_int_equal(count, 1);
    assert_int_equal(at->extent[2], 3);
    assert_memory_equal(windows, seen, 6 * sizeof *windows);
    return SWG_OK;
}

static void padding(void **state) {
    swg_context *ctx = *state;
    static const float of[3][6] = {{0, 1, 2, 3, 0, 0}, {1, 2, 3, 2, 1, 2}, {1, 2, 3, 3, 3, 3}};
    for (int pad = 0; pad < 3; pad++) {
        queue q = {.images = 1, .extent = {{1, 1, 3}}, .s = {.channels = 1, .roi = {1, 1, 6}, .pad = (swg__sliding_pad)pad}};
        open_queue(&q);
        for (int i = 0; i < 3; i++)
            q.in[0][i] = (float)i + 1;
        q.s.run = look;
        seen = of[pad];
        assert_ok(ctx, swg__sliding_run(ctx, &q.s)); /* without a head nothing is written */
        assert_int_equal(q.finished, 1);
        close_queue(&q);
    }
}

/* Neighbouring windows that disagree by 1 where they meet: cut off they make a step of that height, blended it is spread over the overlap. */
static void seams(void **state) {
    swg_context *ctx = *state;
    queue q = {.images = 1, .extent = {{2, 32, 112}}, .shade = true,
               .s = {.channels = 1, .roi = {2, 32, 32}, .batch = 4, .heads = 1, .head = {{.channels = 1}}}};
    double step[2] = {0};
    open_queue(&q);
    for (int blended = 0; blended < 2; blended++) {
        q.s.overlap = blended ? .5 : 0;
        slide(ctx, &q);
        for (int64_t i = 0; i < 2 * 32 * 112; i++)
            if (i % 112) {
                const float *at = q.out[0][0] + i, *was = q.in[0] + i;
                step[blended] = fmax(step[blended], fabs((double)(at[0] - was[0]) - (double)(at[-1] - was[-1])));
            }
    }
    assert_true(step[0] > .9 && step[1] < .2);
    close_queue(&q);
}

static volatile sig_atomic_t stopped;
static void stop_late(void *user, int64_t done) {
    (void)user;
    stopped = done >= 12;
}

static void stopping(void **state) {
    swg_context *ctx = *state;
    queue q = {.images = 2, .extent = {{1, 20, 20}, {1, 20, 20}},
               .s = {.channels = 1, .roi = {1, 8, 8}, .batch = 1, .heads = 1, .head = {{.channels = 1}}, .stop = &stopped, .progress = stop_late}};
    open_queue(&q);
    stopped = 0;
    assert_int_equal(swg__sliding_run(ctx, &q.s), SWG_EINTERRUPTED); /* 9 windows each */
    assert_true(q.finished == 1 && q.windows == 12);
    assert_non_null(strstr(swg_context_message(ctx), "1 of 2 images"));
    close_queue(&q);
}

static void refused(void **state) {
    swg_context *ctx = *state;
    queue q = {.images = 1, .extent = {{4, 20, 20}}, .s = {.channels = 1, .roi = {1, 8, 8}, .heads = 1, .head = {{.channels = 1}}, .along = 2}};
    open_queue(&q);
    assert_int_equal(swg__sliding_run(ctx, &q.s), SWG_EINVAL); /* bands along y, but several windows along z */
    q.s.along = 0;
    q.begun = 0;
    q.extent[0][1] = 0;
    assert_int_equal(swg__sliding_run(ctx, &q.s), SWG_ESHAPE);
    q.begun = 0;
    q.extent[0][1] = q.extent[0][2] = INT64_C(1) << 40;
    assert_int_equal(swg__sliding_run(ctx, &q.s), SWG_ESHAPE);
    q.s.overlap = 1;
    assert_int_equal(swg__sliding_run(ctx, &q.s), SWG_EINVAL);
    q.extent[0][1] = q.extent[0][2] = 20;
    close_queue(&q);
}

/* Whatever allocation fails: a status, and nothing is left. */
static void without_memory(void **state) {
    (void)state;
    testing_allocator a = {.fail_at = -1};
    swg_status status = SWG_ENOMEM;
    for (int64_t fail = 0; status == SWG_ENOMEM && fail < 64; fail++) {
        swg_context *ctx;
        a.fail_at = -1;
        assert_ok(NULL, swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &a}}, &ctx));
        queue q = {.images = 2, .extent = {{1, 9, 9}, {4, 12, 9}}, .s = {.channels = 1, .roi = {1, 8, 8}, .heads = 1, .head = {{.channels = 1}}}};
        open_queue(&q);
        const int64_t live = a.live;
        a.fail_at = a.calls + fail;
        status = swg__sliding_run(ctx, &q.s);
        assert_true(status == SWG_ENOMEM || (status == SWG_OK && fail > 8));
        assert_int_equal(a.live, live);
        close_queue(&q);
        swg_context_close(ctx);
    }
    assert_int_equal(status, SWG_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places),
        cmocka_unit_test(weights),
        cmocka_unit_test(weights_of_volumes),
        cmocka_unit_test_setup_teardown(unchanged, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(weighted, testing_open, testing_close),
        cmocka_unit_test(queues),
        cmocka_unit_test_setup_teardown(bands, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(boxes, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(padding, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(seams, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(stopping, testing_open, testing_close),
        cmocka_unit_test(without_memory),
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
