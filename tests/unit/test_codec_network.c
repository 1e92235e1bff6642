/* test_codec_network.c - proves: the integer network is exact on every instruction set, also with extreme weights; malformed blobs
 * are refused by name; quantisation keeps a good network good; mode B keeps its promises on grids, clipped tiles, octants and
 * outliers, and costs nothing where the network does not fit.
 * SPDX-License-Identifier: Apache-2.0 */
#include "codec/encode.h"
#include "codec/tiles.h"
#include "codec_testing.h"
#include "context.h"

/* ---- blobs made by hand ---- */

typedef struct hand_layer {
    int in, out, shift, activation, zero_point;
} hand_layer;

/* A blob of the given layers with weights from a generator; extreme: all of them -128 or 127. */
static void hand_blob(swg__text *out, int edge, int latents, const hand_layer *layer, int layers, bool extreme, uint64_t seed) {
    swg__put32(out, 0x444D5753);
    swg__put16(out, SWG__KIND_SWAE);
    swg__put16(out, 0);
    swg__put32(out, 0);
    swg__put32(out, 0);
    swg__put8(out, (unsigned)edge);
    swg__put8(out, 0);
    swg__put16(out, (uint32_t)latents);
    for (int i = 0; i < (latents + 3) / 4 * 4; i++)
        swg__put8(out, i < latents ? 30 : 0);
    swg__put8(out, (unsigned)layers);
    swg__put8(out, 0);
    swg__put16(out, 0);
    for (int l = 0; l < layers; l++) {
        swg__put16(out, (uint32_t)layer[l].in);
        swg__put16(out, (uint32_t)layer[l].out);
        swg__put8(out, (unsigned)layer[l].shift);
        swg__put8(out, (unsigned)layer[l].activation);
        swg__put16(out, (uint32_t)layer[l].zero_point);
        for (int i = 0; layer[l].activation == SWG__NET_TABLE && i < 256; i++)
            swg__put8(out, (unsigned)(noise(&seed) & 255));
        for (int j = 0; j < layer[l].out; j++)
            swg__put32(out, extreme ? (j & 1 ? 0x7C000000u : 0x84000000u) : (uint32_t)(int32_t)((int64_t)(noise(&seed) % 20001) - 10000));
        for (int j = 0; j < layer[l].out; j++)
            for (int i = 0; i < (layer[l].in + 3) / 4 * 4; i++)
                swg__put8(out, i >= layer[l].in ? 0 : extreme ? (i * j % 3 ? 0x80u : 0x7Fu) : (unsigned)(noise(&seed) & 255));
    }
    swg__put_padding(out, 0);
    swg__store32((uint8_t *)out->data + 8, (uint32_t)out->length);
}

/* The network from its definition: 64-bit sums, division by powers of two rounded half up. */
static void slow_run(const uint8_t *blob, const int8_t *codes, int32_t *o) {
    int64_t x[1024], y[1024];
    int latents = swg__load16(blob + 18), zero_point = 0;
    for (int i = 0; i < latents; i++)
        x[i] = codes[i];
    const uint8_t *at = blob + 20 + (latents + 3) / 4 * 4;
    int layers = at[0];
    at += 4;
    for (int l = 0; l < layers; l++) {
        int in = swg__load16(at), out = swg__load16(at + 2), shift = at[4], activation = at[5], next = swg__load16(at + 6);
        const uint8_t *table = at + 8, *bias = table + (activation == SWG__NET_TABLE ? 256 : 0), *w = bias + 4 * out;
        for (int j = 0; j < out; j++) {
            int64_t sum = (int32_t)swg__load32(bias + 4 * j);
            for (int i = 0; i < in; i++)
                sum += (x[i] - zero_point) * (int8_t)w[j * ((in + 3) / 4 * 4) + i];
            assert_true(sum < INT32_MAX && sum > INT32_MIN);
            int64_t unit = (int64_t)1 << shift, v = sum + unit / 2;
            v = v >= 0 ? v / unit : -((-v + unit - 1) / unit);
            if (activation == SWG__NET_RELU)
                v = v < 0 ? 0 : v > 255 ? 255 : v;
            else if (activation == SWG__NET_TABLE)
                v = table[(v < -128 ? -128 : v > 127 ? 127 : v) + 128];
            else
                v = v < -1048576 ? -1048576 : v > 1048576 ? 1048576 : v;
            y[j] = v;
        }
        memcpy(x, y, sizeof x);
        zero_point = next;
        at = w + out * ((in + 3) / 4 * 4);
        if (l == layers - 1)
            for (int j = 0; j < out; j++)
                o[j] = (int32_t)y[j];
    }
}

static void same_bits_everywhere(void **state) {
    swg_context *ctx = *state;
    static const hand_layer shallow[] = {{5, 27, 3, SWG__NET_NONE, 0}};
    static const hand_layer deep[] = {{16, 61, 5, SWG__NET_RELU, 0}, {61, 130, 7, SWG__NET_TABLE, 77}, {130, 33, 6, SWG__NET_RELU, 0}, {33, 125, 4, SWG__NET_NONE, 0}};
    static const hand_layer wide[] = {{64, 1024, 6, SWG__NET_TABLE, 255}, {1024, 125, 0, SWG__NET_NONE, 0}};
    static const struct { const hand_layer *layer; int layers, edge, latents; } nets[] = {{shallow, 1, 3, 5}, {deep, 4, 5, 16}, {wide, 2, 5, 64}};
    int8_t codes[SWG__NET_ROWS * 64];
    int32_t *o = malloc(SWG__NET_ROWS * 125 * sizeof *o), *slow = malloc(125 * sizeof *slow);
    void *scratch = swg__alloc(ctx, SWG__NET_SCRATCH);
    uint64_t seed = 21;
    for (size_t n = 0; n < 3; n++)
        for (int extreme = 0; extreme < 2; extreme++) {
            swg__text blob;
            swg__net net;
            swg__text_init(&blob, ctx);
            hand_blob(&blob, nets[n].edge, nets[n].latents, nets[n].layer, nets[n].layers, extreme, 3 + n);
            assert_null(swg__net_parse(ctx, (uint8_t *)blob.data, blob.length, &net));
            int values = net.edge * net.edge * net.edge;
            for (size_t i = 0; i < sizeof codes; i++)
                codes[i] = (int8_t)(extreme ? (i % 3 ? -128 : 127) : (int)(noise(&seed) & 255) - 128);
            for (int isa = 0; isa <= (int)ctx->isa; isa++)
                for (int64_t rows = 1; rows <= SWG__NET_ROWS; rows += rows < 4 ? 1 : 7) {
                    swg__net_run(&net, swg__codec_kernels_for((swg__isa)isa), codes, rows, scratch, o);
                    for (int64_t r = 0; r < rows; r++) {
                        slow_run((uint8_t *)blob.data, codes + r * net.latents, slow);
                        assert_memory_equal(slow, o + r * values, (size_t)values * sizeof *o);
                    }
                }
            swg__net_free(&net);
            swg__text_free(&blob);
        }
    swg__free(ctx, scratch);
    free(slow);
    free(o);
}

/* The blob with one byte changed (value above 255: with four bytes 7FFFFFFF) must be refused for this reason. */
static void refuse(swg_context *ctx, const swg__text *blob, size_t at, unsigned value, const char *reason) {
    uint8_t *copy = malloc(blob->length);
    swg__net net;
    memcpy(copy, blob->data, blob->length);
    if (value > 255)
        swg__store32(copy + at, 0x7FFFFFFF);
    else
        copy[at] = (uint8_t)value;
    const char *why = swg__net_parse(ctx, copy, blob->length, &net);
    if (!why || strcmp(why, reason) != 0)
        fail_msg("byte %zu = %u: expected \"%s\", found \"%s\"", at, value, reason, why ? why : "accepted");
    free(copy);
}

static void malformed_blobs(void **state) {
    swg_context *ctx = *state;
    static const hand_layer layers[] = {{5, 6, 3, SWG__NET_RELU, 0}, {6, 27, 3, SWG__NET_NONE, 0}};
    swg__text blob;
    swg__net net;
    swg__text_init(&blob, ctx);
    hand_blob(&blob, 3, 5, layers, 2, false, 1);
    assert_null(swg__net_parse(ctx, (uint8_t *)blob.data, blob.length, &net));
    swg__net_free(&net);
    enum { LAYER = 20 + 8 + 4, SECOND = LAYER + 8 + 4 * 6 + 6 * 8 };
    refuse(ctx, &blob, 0, 0, "head of a network is malformed");
    refuse(ctx, &blob, 4, 5, "head of a network is malformed");
    refuse(ctx, &blob, 8, 7, "head of a network is malformed");
    refuse(ctx, &blob, 12, 1, "head of a network is malformed");
    refuse(ctx, &blob, 16, 2, "edge or number of latents of a network is impossible");
    refuse(ctx, &blob, 16, 10, "edge or number of latents of a network is impossible");
    refuse(ctx, &blob, 18, 0, "edge or number of latents of a network is impossible");
    refuse(ctx, &blob, 18, 65, "edge or number of latents of a network is impossible");
    refuse(ctx, &blob, 20, 128, "bucket above 127");
    refuse(ctx, &blob, LAYER - 4, 0, "number of layers of a network is impossible");
    refuse(ctx, &blob, LAYER - 4, 9, "number of layers of a network is impossible");
    refuse(ctx, &blob, LAYER, 0, "layer of a network is empty or wider than 1024");
    refuse(ctx, &blob, LAYER + 1, 5, "layer of a network is empty or wider than 1024");
    refuse(ctx, &blob, LAYER + 4, 25, "shift, activation or zero point of a network is impossible");
    refuse(ctx, &blob, LAYER + 5, 3, "shift, activation or zero point of a network is impossible");
    refuse(ctx, &blob, LAYER + 6, 1, "shift, activation or zero point of a network is impossible");
    refuse(ctx, &blob, LAYER + 5, 0, "activations of a network are in the wrong place");
    refuse(ctx, &blob, SECOND + 5, 1, "activations of a network are in the wrong place");
    refuse(ctx, &blob, LAYER + 8, 256, "accumulator of a network could overflow");
    refuse(ctx, &blob, LAYER + 8 + 24 + 5, 1, "padding of a network is not zero");
    refuse(ctx, &blob, 18, 6, "layers of a network do not chain");
    refuse(ctx, &blob, 16, 4, "network does not fill its block or its blob");
    for (size_t n = 0; n < blob.length; n++) { /* truncated everywhere, the length field corrected */
        uint8_t *cut = malloc(n ? n : 1);
        memcpy(cut, blob.data, n);
        if (n >= 12)
            swg__store32(cut + 8, (uint32_t)n);
        assert_non_null(swg__net_parse(ctx, cut, n, &net));
        free(cut);
    }
    swg__text_free(&blob);
}

/* ---- quantisation ---- */

static void quantises_well(void **state) {
    swg_context *ctx = *state;
    static const swg_codec_activation kinds[] = {SWG_CODEC_RELU, SWG_CODEC_GELU};
    float *sample = cosine_sample(5, 700, 9);
    for (int i = 0; i < 2; i++) {
        cosine_network n;
        swg_codec_network network;
        swg_codec_model *model, *again;
        swg_codec_model_report report, second;
        size_t bytes, bytes2;
        uint8_t sha[32], digest[32];
        cosine_open(&n, 5, 16, kinds[i], &network);
        assert_ok(ctx, swg_codec_model_make(ctx, &network, sample, 700, &model, &report));
        const uint8_t *blob = swg_codec_model_blob(model, 0, &bytes, sha);
        swg__sha256(blob, bytes, digest);
        assert_memory_equal(sha, digest, 32);
        assert_int_equal(bytes, report.blob_bytes);
        assert_true(report.rms > 0.3 && report.rms_error_float < 0.1 * report.rms);
        if (!(report.rms_error < 1.5 * report.rms_error_float + 0.02 * report.rms))
            fail_msg("activation %d: rms %g, float error %g, integer error %g", i, report.rms, report.rms_error_float, report.rms_error);
        assert_true(report.latent_bits > 16 && report.latent_bits < 16 * 8);
        assert_ok(ctx, swg_codec_model_make(ctx, &network, sample, 700, &again, &second));
        assert_memory_equal(blob, swg_codec_model_blob(again, 0, &bytes2, NULL), bytes);
        /* Weights so large that the last layer cannot be 256 per unit: the block exponent takes the rest. */
        for (int j = 0; j < 125 * 32; j++)
            n.weight[1][j] *= 4096;
        for (int j = 0; j < 2 * 16 * 16; j++)
            n.weight[0][j] /= 4096;
        swg_codec_model *skewed;
        assert_ok(ctx, swg_codec_model_make(ctx, &network, sample, 700, &skewed, &second));
        assert_true(second.rms_error < 2 * report.rms_error + 0.05 * report.rms);
        swg_codec_model_free(ctx, skewed);
        swg_codec_model_free(ctx, again);
        swg_codec_model_free(ctx, model);
        cosine_close(&n);
    }
    free(sample);
}

static void bad_networks(void **state) {
    swg_context *ctx = *state;
    cosine_network n;
    swg_codec_network good, bad;
    swg_codec_model *model;
    float *sample = cosine_sample(3, 8, 9);
    cosine_open(&n, 3, 4, SWG_CODEC_RELU, &good);
    assert_int_equal(swg_codec_model_make(ctx, &good, sample, 0, &model, NULL), SWG_EINVAL);
    bad = good;
    bad.encode = NULL;
    assert_int_equal(swg_codec_model_make(ctx, &bad, sample, 8, &model, NULL), SWG_EINVAL);
    bad = good;
    bad.edge = 4;
    assert_int_equal(swg_codec_model_make(ctx, &bad, sample, 8, &model, NULL), SWG_ESHAPE);
    bad = good;
    bad.layers[1].in = 7;
    assert_int_equal(swg_codec_model_make(ctx, &bad, sample, 8, &model, NULL), SWG_ESHAPE);
    bad = good;
    bad.layers[0].activation = SWG_CODEC_NONE;
    assert_int_equal(swg_codec_model_make(ctx, &bad, sample, 8, &model, NULL), SWG_EINVAL);
    n.weight[1][5] = NAN;
    assert_int_equal(swg_codec_model_make(ctx, &good, sample, 8, &model, NULL), SWG_ENONFINITE);
    n.weight[1][5] = 0;
    n.bias[1][5] = 1e30f;
    assert_int_equal(swg_codec_model_make(ctx, &good, sample, 8, &model, NULL), SWG_EINVAL);
    n.bias[1][5] = 0;
    sample[3] = INFINITY;
    assert_int_equal(swg_codec_model_make(ctx, &good, sample, 8, &model, NULL), SWG_ENONFINITE);
    sample[3] = 0;
    n.fail_at = n.calls;
    assert_int_equal(swg_codec_model_make(ctx, &good, sample, 8, &model, NULL), SWG_EINTERRUPTED);
    assert_null(model);
    cosine_close(&n);
    free(sample);
}

/* ---- mode B ---- */

typedef struct fixture {
    cosine_network net;
    swg_codec_network network;
    swg_codec_model *model;
} fixture;

static void open_fixture(swg_context *ctx, int edge, int latents, fixture *f) {
    float *sample = cosine_sample(edge, 600, 33);
    cosine_open(&f->net, edge, latents, SWG_CODEC_GELU, &f->network);
    assert_ok(ctx, swg_codec_model_make(ctx, &f->network, sample, 600, &f->model, NULL));
    free(sample);
}

static void close_fixture(swg_context *ctx, fixture *f) {
    swg_codec_model_free(ctx, f->model);
    cosine_close(&f->net);
}

/* Isolated smooth blocks: what the network is for. */
static void fill_blocks(float *x, int64_t count, int n, uint64_t seed) {
    for (int64_t b = 0; b < count; b++) {
        double f[3], g[3];
        for (int i = 0; i < 3; i++) {
            f[i] = (double)(noise(&seed) >> 11) / 0x1p53 - 0.5;
            g[i] = (double)(noise(&seed) >> 11) / 0x1p53 * 6;
        }
        for (int i = 0; i < n * n * n; i++)
            *x++ = (float)(sin(f[0] * (i / (n * n)) + g[0]) * cos(f[1] * (i / n % n) + g[1]) + sin(f[2] * (i % n) + g[2]));
    }
}

static void network_wins_and_pays(void **state) {
    swg_context *ctx = *state;
    enum { BLOCKS = 4000 };
    fixture f;
    swg_codec_stats with, without;
    open_fixture(ctx, 5, 16, &f);
    float *x = malloc((size_t)BLOCKS * 125 * sizeof *x);
    fill_blocks(x, BLOCKS, 5, 5);
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .layout = SWG_CODEC_BLOCKS, .ndim = 4, .dims = {BLOCKS, 5, 5, 5}, .data = x};
    swg_codec_opts o = {.bound = SWG_BOUND_REL, .value = 1e-2, .model = f.model, .without = 1u << SWG_MODE_POLY | 1u << SWG_MODE_INTERPOLATION | 1u << SWG_MODE_BLOCKS};
    size_t networked = round_trip(ctx, &a, &o, &with);
    o.model = NULL;
    size_t plain = round_trip(ctx, &a, &o, &without);
    assert_true(with.mode_chunks[SWG_MODE_NETWORK] > 0);
    assert_true(networked < plain);
    assert_true(f.net.blocks / f.net.calls > 100); /* the encoder gets its blocks in large calls */
    free(x);
    close_fixture(ctx, &f);
}

/* A round trip with the network in the file even if it does not pay for itself; returns the chunks that use it. */
static int64_t forced_round_trip(swg_context *ctx, const swg_codec_array *a, double eb, const swg_codec_model *model) {
    const swg_codec_opts o = {.bound = SWG_BOUND_ABS, .value = eb, .model = model, .without = 1u << SWG_MODE_STENCIL | 1u << SWG_MODE_POLY | 1u << SWG_MODE_INTERPOLATION | 1u << SWG_MODE_BLOCKS};
    swg__encoded coded;
    swg_codec_stats stats;
    swg_codec_gap gap;
    swg_swz *swz;
    swg__text out;
    swg__text_init(&out, ctx);
    assert_ok(ctx, swg__encode_array(ctx, a, &o, model, &coded));
    assert_ok(ctx, swg__encoded_write(&coded, (swg__model_use){&(int){0}, 1, false}, &out, &stats));
    assert_ok(ctx, swg_swz_open_memory(ctx, out.data, out.length, &swz));
    const swg_swz_info *info = swg_swz_member(swz, 0);
    void *restored = malloc((size_t)info->bytes_raw);
    assert_ok(ctx, swg_swz_read(swz, 0, restored, (size_t)info->bytes_raw));
    assert_ok(ctx, swg_codec_compare(ctx, a, restored, info->eb_abs, &gap));
    assert_int_equal(gap.violations, 0);
    for (int isa = 0; isa < (int)ctx->isa; isa++) { /* the same bytes everywhere, both ways */
        swg__isa best = ctx->isa;
        void *again = malloc((size_t)info->bytes_raw);
        swg_codec_buffer one, two;
        assert_ok(ctx, swg_codec_compress(ctx, a, &o, &one, NULL));
        ctx->isa = (swg__isa)isa;
        assert_ok(ctx, swg_swz_read(swz, 0, again, (size_t)info->bytes_raw));
        assert_ok(ctx, swg_codec_compress(ctx, a, &o, &two, NULL));
        ctx->isa = best;
        assert_memory_equal(again, restored, (size_t)info->bytes_raw);
        assert_int_equal(one.bytes, two.bytes);
        assert_memory_equal(one.data, two.data, one.bytes);
        swg_codec_buffer_free(ctx, &two);
        swg_codec_buffer_free(ctx, &one);
        free(again);
    }
    free(restored);
    swg_swz_close(swz);
    swg__text_free(&out);
    swg__encoded_free(&coded);
    return stats.mode_chunks[SWG_MODE_NETWORK];
}

/* One chunk through mode B and back, by every instruction set; every value inside the bound. */
static void chunk_round_trip(swg_context *ctx, swg_codec_model *set_of_one, const int64_t extent[4], swg_element type, void *values, double eb) {
    const size_t size = (size_t)swg_element_bytes(type);
    swg__chunk c = {.ctx = ctx, .kernels = swg__codec_kernels_for(ctx->isa), .values = values, .count = 1};
    c.grid = (swg__grid){.type = type, .eb = eb, .step = swg__short_step(eb, 18), .sig = 18, .fine = true, .reach = 0x1p28};
    for (int i = 0; i < 4; i++) {
        c.extent[i] = extent[i];
        c.count *= extent[i];
    }
    const swg__swae *model = set_of_one->blob[0].parsed;
    swg__tiling tiling;
    swg__tiling_make(&c, model->net.edge, &tiling);
    assert_true(swg__tiling_allowed(&tiling, c.count));
    int64_t cube = tiling.n * tiling.n * tiling.n;
    swg__tile_set set = {.count = tiling.count, .step = 1};
    set.blocks = malloc((size_t)(tiling.count * cube) * sizeof(float));
    set.latents = malloc((size_t)(tiling.count * model->net.latents) * sizeof(float));
    swg__tiles_normalise(&c, &tiling, &set);
    for (int64_t i = 0; i < tiling.count * cube; i++)
        assert_true(fabsf(set.blocks[i]) <= 1);
    assert_int_equal(model->encode(model->user, tiling.count, set.blocks, set.latents), SWG_OK);
    swg__draft draft;
    swg__text out;
    swg__record record;
    swg__draft_init(&draft, ctx);
    swg__text_init(&out, ctx);
    assert_ok(ctx, swg__tiles_encode(&c, model, &set, &draft));
    draft.head.n_values = (uint32_t)c.count;
    assert_ok(ctx, swg__draft_write(&draft, ctx, &out));
    assert_null(swg__record_parse((uint8_t *)out.data, out.length, (uint32_t)c.count, 0, &record));
    uint8_t *first = malloc((size_t)c.count * size), *back = malloc((size_t)c.count * size);
    for (int isa = 0; isa <= (int)ctx->isa; isa++) {
        swg__chunk d = c;
        d.kernels = swg__codec_kernels_for((swg__isa)isa);
        d.values = isa ? back : first;
        const char *why = swg__tiles_decode(&d, &model->net, &record);
        if (why)
            fail_msg("%lldx%lldx%lldx%lld: %s", (long long)extent[0], (long long)extent[1], (long long)extent[2], (long long)extent[3], why);
        if (record.stream[SWG__OUTLIERS].data)
            assert_null(swg__outliers_read(&d, record.stream[SWG__OUTLIERS]));
        if (isa)
            assert_memory_equal(first, back, (size_t)c.count * size);
    }
    swg_codec_array a = {.type = type, .ndim = 4, .data = values};
    memcpy(a.dims, extent, sizeof a.dims);
    swg_codec_gap gap;
    assert_ok(ctx, swg_codec_compare(ctx, &a, first, eb, &gap));
    if (gap.violations)
        fail_msg("%lld violations, first %lld", (long long)gap.violations, (long long)gap.first);
    assert_true(gap.max_abs_error <= (double)record.head.max_ratio * eb);
    free(back);
    free(first);
    swg__text_free(&out);
    swg__draft_free(&draft);
    free(set.latents);
    free(set.blocks);
}

/* Clipped tiles, octants of another edge, slices, thin chunks; values the tiles cannot hold; both float types, bounds from
 * larger than the data to a grid at the end of its bits. */
static void tiles_of_every_shape(void **state) {
    swg_context *ctx = *state;
    static const int64_t extents[][4] = {{1, 23, 17, 31}, {1, 3, 3, 3}, {40, 7, 7, 7}, {3, 10, 11, 12}, {1, 1, 30, 41}, {9, 5, 5, 5}, {1, 70, 4, 6}, {1, 1, 1, 20}, {1, 2, 2, 2}};
    static const double bounds[] = {100, 1, 1e-2, 1e-4, 3e-6};
    float *x = malloc((size_t)20000 * sizeof *x);
    double *y = malloc((size_t)20000 * sizeof *y);
    uint64_t seed = 8;
    for (int edge = 3; edge <= 5; edge += 2) {
        fixture f;
        open_fixture(ctx, edge, 6, &f);
        for (size_t i = 0; i < sizeof extents / sizeof extents[0]; i++)
            for (int odd = 0; odd < 2; odd++) {
                swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 4};
                memcpy(a.dims, extents[i], sizeof a.dims);
                int64_t n = array_values(&a);
                fill_smooth(&a, x, i + 1);
                static const float specials[] = {NAN, INFINITY, -INFINITY, 1e38f, -0.0f, 1e-42f};
                for (int j = 0; odd && j < 12; j++)
                    x[noise(&seed) % (uint64_t)n] = specials[j % 6];
                for (int64_t j = 0; j < n; j++)
                    y[j] = (double)x[j];
                for (size_t b = 0; b < sizeof bounds / sizeof bounds[0]; b++) {
                    chunk_round_trip(ctx, f.model, extents[i], SWG_ELEMENT_F32, x, bounds[b]);
                    chunk_round_trip(ctx, f.model, extents[i], SWG_ELEMENT_F64, y, bounds[b]);
                }
            }
        close_fixture(ctx, &f);
    }
    free(y);
    free(x);
}

static void whole_files(void **state) {
    swg_context *ctx = *state;
    fixture f;
    open_fixture(ctx, 5, 16, &f);
    float *x = malloc((size_t)600 * 343 * sizeof *x);
    fill_blocks(x, 600, 5, 9);
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .layout = SWG_CODEC_BLOCKS, .ndim = 4, .dims = {600, 5, 5, 5}, .data = x};
    assert_true(forced_round_trip(ctx, &a, 1e-2, f.model) > 0);
    fill_blocks(x, 600, 7, 10);
    a = (swg_codec_array){.type = SWG_ELEMENT_F32, .layout = SWG_CODEC_BLOCKS, .ndim = 4, .dims = {600, 7, 7, 7}, .data = x};
    assert_true(forced_round_trip(ctx, &a, 1e-2, f.model) > 0);
    a = (swg_codec_array){.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {30, 50, 70}, .data = x};
    fill_smooth(&a, x, 3);
    assert_true(forced_round_trip(ctx, &a, 1e-3, f.model) > 0);
    free(x);
    close_fixture(ctx, &f);
}

static void misfit_costs_nothing(void **state) {
    swg_context *ctx = *state;
    fixture f;
    open_fixture(ctx, 5, 16, &f);
    enum { N = 40 * 40 * 40 };
    float *x = malloc(N * sizeof *x);
    uint64_t seed = 2;
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {40, 40, 40}, .data = x, .layout = SWG_CODEC_GRID};
    for (int i = 0; i < N; i++)
        x[i] = (float)(noise(&seed) >> 40);
    for (double r = 1e-2; r > 1e-9; r /= 1000) {
        swg_codec_opts o = {.bound = SWG_BOUND_REL, .value = r, .chunk = {40, 40, 40}};
        size_t plain = round_trip(ctx, &a, &o, NULL);
        o.model = f.model;
        assert_true(round_trip(ctx, &a, &o, NULL) <= plain);
    }
    f.net.fail_at = f.net.calls;
    swg_codec_buffer out;
    assert_int_equal(swg_codec_compress(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_REL, .value = 1e-2, .model = f.model}, &out, NULL),
                     SWG_EINTERRUPTED);
    assert_null(out.data);
    free(x);
    close_fixture(ctx, &f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(same_bits_everywhere, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(malformed_blobs, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(quantises_well, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(bad_networks, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(network_wins_and_pays, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(tiles_of_every_shape, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(whole_files, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(misfit_costs_nothing, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
