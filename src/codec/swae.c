/* swae.c - quantises the decoder half of an autoencoder to int8 and writes it as a blob.
 * In: float layers, sample blocks. Out: swg_codec_model: int8 weights, shifts and tables chosen on the sample, latent steps.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "context.h"
#include "model.h"
#include "record.h"
#include "swae.h"

enum { CALIBRATION = 512 };

/* Everything the quantisation needs at hand. rows: calibration blocks. */
typedef struct maker {
    swg_context *ctx;
    const swg_codec_network *network;
    const swg__codec_kernels *kernels;
    swg__swae *model;
    int64_t rows;
    int values;               /* edge^3 */
    float *blocks, *latents;  /* (rows, values), (rows, latents) */
    float *quantised;         /* (rows, latents) as the integer decoder sees them */
    int8_t *codes;
    float *x, *y;             /* (rows, SWG__NET_WIDTH) activations of the float decoder */
    float *transposed;        /* (in, out) weights of one layer */
    int32_t *sums;            /* (rows, SWG__NET_WIDTH) */
    void *scratch;
} maker;

static float activation(swg_codec_activation kind, float v) {
    if (kind == SWG_CODEC_GELU)
        return 0.5f * v * (1 + erff(v * 0.70710678f));
    return kind == SWG_CODEC_RELU && v < 0 ? 0 : v;
}

/* Float decoder on the calibration rows; returns the rms error against the blocks. */
static double float_error(maker *m, const float *latents) {
    const swg_codec_network *n = m->network;
    memcpy(m->x, latents, (size_t)m->rows * (size_t)n->latents * sizeof *m->x);
    for (int l = 0; l < n->layer_count; l++) {
        const swg_codec_layer *layer = &n->layers[l];
        for (int j = 0; j < layer->out; j++)
            for (int i = 0; i < layer->in; i++)
                m->transposed[i * layer->out + j] = layer->weight[j * layer->in + i];
        for (int64_t r = 0; r < m->rows; r++) {
            float *out = m->y + r * layer->out;
            memcpy(out, layer->bias, (size_t)layer->out * sizeof *out);
            for (int i = 0; i < layer->in; i++) {
                float v = m->x[r * layer->in + i];
                const float *w = m->transposed + i * layer->out;
                for (int j = 0; j < layer->out; j++)
                    out[j] += v * w[j];
            }
            for (int j = 0; j < layer->out; j++)
                out[j] = activation(layer->activation, out[j]);
        }
        float *swap = m->x;
        m->x = m->y;
        m->y = swap;
    }
    double sum = 0;
    for (int64_t i = 0; i < m->rows * m->values; i++)
        sum += ((double)m->x[i] - (double)m->blocks[i]) * ((double)m->x[i] - (double)m->blocks[i]);
    return sqrt(sum / (double)(m->rows * m->values));
}

void swg__swae_codes(const swg__swae *model, int64_t count, const float *latents, int8_t *codes) {
    for (int64_t r = 0; r < count; r++)
        for (int j = 0; j < model->net.latents; j++) {
            float v = rintf((latents[r * model->net.latents + j] - model->centre[j]) * model->inverse_step[j]);
            codes[r * model->net.latents + j] = (int8_t)(v > 127 ? 127 : v > -127 ? v : -127); /* NaN gives -127 */
        }
}

/* Steps of the latents: a fraction of their deviation, the one with the shortest latents + residual (codec.md 9: 1/4 to 1/128). */
static void choose_latent_steps(maker *m) {
    swg__swae *model = m->model;
    const int k = m->network->latents;
    double deviation[SWG__NET_LATENTS], best = INFINITY, best_divisor = 4;
    for (int j = 0; j < k; j++) {
        double sum = 0, squares = 0;
        for (int64_t r = 0; r < m->rows; r++) {
            sum += (double)m->latents[r * k + j];
            squares += (double)m->latents[r * k + j] * (double)m->latents[r * k + j];
        }
        double mean = sum / (double)m->rows, variance = squares / (double)m->rows - mean * mean;
        model->centre[j] = (float)mean;
        deviation[j] = variance > 1e-12 * (mean * mean + 1e-30) ? sqrt(variance) : 0;
    }
    for (int pass = 0; pass < 2; pass++)
        for (double divisor = 2; divisor <= 32; divisor *= 2) {
            double used = pass ? best_divisor : divisor;
            for (int j = 0; j < k; j++)
                model->inverse_step[j] = deviation[j] > 0 ? (float)(used / deviation[j]) : 1;
            swg__swae_codes(model, m->rows, m->latents, m->codes);
            for (int64_t i = 0; i < m->rows * k; i++)
                m->quantised[i] = model->centre[i % k] + (float)m->codes[i] / model->inverse_step[i % k];
            if (pass)
                return;
            double bits = k * log2(divisor) + m->values * log2(float_error(m, m->quantised) + 1e-12);
            if (bits < best) {
                best = bits;
                best_divisor = divisor;
            }
        }
}

/* One layer of the blob under construction. */
typedef struct draft_layer {
    int shift, zero_point;
    double out_scale; /* integer outputs per unit */
    uint8_t table[256];
} draft_layer;

/* Squared error of an activation's integer form with this shift, over the calibration sums. Fills table and out_scale. */
static double activation_error(const maker *m, swg_codec_activation kind, int out, double sum_scale, int shift, draft_layer *draft) {
    double unit = ldexp(1, shift) / sum_scale, error = 0; /* of an index */
    draft->shift = shift;
    draft->zero_point = 0;
    draft->out_scale = 1 / unit;
    if (kind == SWG_CODEC_GELU) {
        double top = 0, bottom = 0;
        for (int i = -128; i < 128; i++) {
            double v = (double)activation(kind, (float)(i * unit));
            top = v > top ? v : top;
            bottom = v < bottom ? v : bottom;
        }
        draft->out_scale = 255 / (top - bottom);
        draft->zero_point = (int)rint(-bottom * draft->out_scale);
        draft->zero_point = draft->zero_point > 255 ? 255 : draft->zero_point;
        for (int i = -128; i < 128; i++) {
            double q = rint((double)activation(kind, (float)(i * unit)) * draft->out_scale) + draft->zero_point;
            draft->table[i + 128] = (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
        }
    }
    for (int64_t i = 0; i < m->rows * out; i++) {
        int32_t v = swg__rounded_shift(m->sums[i], shift);
        double wanted = (double)activation(kind, (float)(m->sums[i] / sum_scale)), got;
        if (kind == SWG_CODEC_GELU)
            got = (draft->table[(v < -128 ? -128 : v > 127 ? 127 : v) + 128] - draft->zero_point) / draft->out_scale;
        else
            got = (v < 0 ? 0 : v > 255 ? 255 : v) / draft->out_scale;
        error += (wanted - got) * (wanted - got);
    }
    return error;
}

/* Appends a finished layer. The decoder folds the zero point of the inputs into its biases; the file has them unfolded. */
static void put_layer(const swg__net_layer *l, int in_zero_point, int out_zero_point, swg__text *out) {
    swg__put16(out, (uint32_t)l->in);
    swg__put16(out, (uint32_t)l->out);
    swg__put8(out, (unsigned)l->shift);
    swg__put8(out, (unsigned)l->activation);
    swg__put16(out, (uint32_t)out_zero_point);
    if (l->activation == SWG__NET_TABLE)
        swg__put(out, l->table, 256);
    for (int j = 0; j < l->out; j++) {
        int64_t sum = 0;
        for (int i = 0; i < l->in; i++)
            sum += l->weight[j * l->stride + i];
        swg__put32(out, (uint32_t)(l->bias[j] + in_zero_point * sum));
    }
    for (int j = 0; j < l->out; j++)
        for (int i = 0; i < (l->in + 3) / 4 * 4; i++)
            swg__put8(out, i < l->in ? (unsigned)l->weight[j * l->stride + i] & 255 : 0);
}

/* Head of the blob up to the layers, in place of whatever is there. */
static void put_head(const maker *m, const uint8_t bucket[SWG__NET_LATENTS], int layers, swg__text *out) {
    swg__blob_begin(out, SWG__KIND_SWAE);
    swg__put8(out, (unsigned)m->network->edge);
    swg__put8(out, 0);
    swg__put16(out, (uint32_t)m->network->latents);
    for (int j = 0; j < (m->network->latents + 3) / 4 * 4; j++)
        swg__put8(out, j < m->network->latents ? bucket[j] : 0);
    swg__put8(out, (unsigned)layers);
    swg__put8(out, 0);
    swg__put16(out, 0);
}

/* Integer sums of the first `layers` layers on the calibration rows, by the decoder itself. */
static void calibrate(maker *m, const swg__net *net, int layers) {
    for (int64_t r = 0; r < m->rows; r += SWG__NET_ROWS) {
        int64_t n = m->rows - r < SWG__NET_ROWS ? m->rows - r : SWG__NET_ROWS;
        swg__net_sums(net, layers, m->kernels, m->codes + r * net->latents, n, m->scratch, m->sums + r * net->layer[layers - 1].out);
    }
}

/* Integer weights and biases of a layer. weight, bias: as the integer inputs see them; the sums are `scale` per unit. */
static swg_status attach(const maker *m, const swg_codec_layer *layer, const double *weight, const double *bias, double scale,
                         int in_zero_point, swg__net_layer *l) {
    static const int kinds[] = {[SWG_CODEC_NONE] = SWG__NET_NONE, [SWG_CODEC_RELU] = SWG__NET_RELU, [SWG_CODEC_GELU] = SWG__NET_TABLE};
    l->in = layer->in;
    l->out = layer->out;
    l->activation = kinds[layer->activation];
    l->stride = (l->in + SWG__NET_PAD - 1) / SWG__NET_PAD * SWG__NET_PAD;
    l->weight = swg__calloc(m->ctx, (size_t)l->out * (size_t)l->stride, sizeof *l->weight);
    l->bias = swg__alloc(m->ctx, (size_t)l->out * sizeof *l->bias);
    if (!l->weight || !l->bias)
        return swg__fail_memory(m->ctx, (size_t)l->out * (size_t)l->stride * 2, "a network");
    for (int j = 0; j < l->out; j++) {
        int64_t sum = 0;
        for (int i = 0; i < l->in; i++) {
            l->weight[j * l->stride + i] = (int16_t)rint(weight[j * l->in + i] * scale);
            sum += l->weight[j * l->stride + i];
        }
        double b = rint(bias[j] * scale);
        if (!(fabs(b) < 0x1p30))
            return swg__fail(m->ctx, SWG_EINVAL, "a bias of %g is too large for the integer decoder", bias[j]);
        l->bias[j] = (int32_t)((int64_t)b - in_zero_point * sum);
    }
    return SWG_OK;
}

/* Quantises all layers into `out`. */
static swg_status quantise_layers(maker *m, double *weight, double *bias, swg__text *out) {
    const swg_codec_network *n = m->network;
    swg__net net = {.ctx = m->ctx, .edge = n->edge, .latents = n->latents};
    swg_status status = SWG_OK;
    double in_scale = 1; /* integer inputs per unit; the latents' steps are folded into the first layer */
    int zero_point = 0;
    for (int l = 0; l < n->layer_count && status == SWG_OK; l++) {
        const swg_codec_layer *layer = &n->layers[l];
        draft_layer draft = {0};
        double largest = 1e-30;
        for (int j = 0; j < layer->out; j++) {
            bias[j] = (double)layer->bias[j];
            for (int i = 0; i < layer->in; i++) {
                double w = (double)layer->weight[j * layer->in + i];
                if (l == 0) {
                    bias[j] += w * (double)m->model->centre[i];
                    w /= (double)m->model->inverse_step[i];
                }
                weight[j * layer->in + i] = w / in_scale;
                largest = fabs(w / in_scale) > largest ? fabs(w / in_scale) : largest;
            }
        }
        int exponent = (int)floor(log2(127.49 / largest)); /* int8 weights with a power of two as scale */
        exponent = exponent > 32 ? 32 : exponent;
        swg__net_layer *l8 = &net.layer[l];
        if (layer->activation == SWG_CODEC_NONE) {
            /* o = 256 y: the scale must be 2^(8 + shift); what is missing goes into the block's exponent. */
            int shift = exponent - 8;
            m->model->exponent_offset = shift < 0 ? -shift : 0;
            l8->shift = shift < 0 ? 0 : shift;
            status = attach(m, layer, weight, bias, ldexp(1, exponent), zero_point, l8);
        } else {
            double scale = ldexp(1, exponent), best = INFINITY;
            draft_layer candidate = {0};
            status = attach(m, layer, weight, bias, scale, zero_point, l8);
            if (status == SWG_OK)
                calibrate(m, &net, l + 1);
            for (int shift = 0; shift <= 20 && status == SWG_OK; shift++) {
                double error = activation_error(m, layer->activation, layer->out, scale, shift, &candidate);
                if (error < best) {
                    best = error;
                    draft = candidate;
                }
            }
            l8->shift = draft.shift;
            memcpy(l8->table, draft.table, sizeof draft.table);
        }
        if (status == SWG_OK)
            put_layer(l8, zero_point, draft.zero_point, out);
        in_scale = draft.out_scale;
        zero_point = draft.zero_point;
    }
    swg__net_free(&net);
    return status;
}

/* Error of the finished integer decoder, in units of the blocks. */
static double integer_error(maker *m) {
    double sum = 0, unit = ldexp(1, m->model->exponent_offset - 8);
    for (int64_t r = 0; r < m->rows; r += SWG__NET_ROWS) {
        int64_t n = m->rows - r < SWG__NET_ROWS ? m->rows - r : SWG__NET_ROWS;
        swg__net_run(&m->model->net, m->kernels, m->codes + r * m->network->latents, n, m->scratch, m->sums);
        for (int64_t i = 0; i < n * m->values; i++) {
            double gap = m->sums[i] * unit - (double)m->blocks[r * m->values + i];
            sum += gap * gap;
        }
    }
    return sqrt(sum / (double)(m->rows * m->values));
}

/* Scale bucket of each latent; returns the estimated bits of one block's latents. */
static double latent_buckets(const maker *m, uint8_t bucket[SWG__NET_LATENTS]) {
    const int k = m->network->latents;
    uint64_t cost = 0;
    for (int j = 0; j < k; j++) {
        double sum = 0;
        for (int64_t r = 0; r < m->rows; r++)
            sum += abs(m->codes[r * k + j]);
        bucket[j] = (uint8_t)swg__bucket_for(sum / (double)m->rows, 127);
        for (int64_t r = 0; r < m->rows; r++)
            cost += swg__residual_cost(bucket[j], 0, m->codes[r * k + j]);
    }
    return (double)cost / 256 / (double)m->rows;
}

static swg_status check_network(swg_context *ctx, const swg_codec_network *n, int64_t count) {
    if (!n || !n->encode || count < 1)
        return swg__fail(ctx, SWG_EINVAL, "a codec network needs an encode function and at least one sample block");
    if (n->edge < 3 || n->edge > 9 || n->latents < 1 || n->latents > SWG__NET_LATENTS || n->layer_count < 1 ||
        n->layer_count > SWG__NET_LAYERS)
        return swg__fail(ctx, SWG_ESHAPE, "codec network: edge %d, %d latents, %d layers; the format allows 3..9, 1..64, 1..8", n->edge,
                         n->latents, n->layer_count);
    int width = n->latents;
    for (int l = 0; l < n->layer_count; l++) {
        const swg_codec_layer *layer = &n->layers[l];
        if (layer->in != width || layer->out < 1 || layer->out > SWG__NET_WIDTH)
            return swg__fail(ctx, SWG_ESHAPE, "codec network: layer %d is %d -> %d after a width of %d; at most 1024 outputs", l, layer->in,
                             layer->out, width);
        if ((layer->activation == SWG_CODEC_NONE) != (l == n->layer_count - 1))
            return swg__fail(ctx, SWG_EINVAL, "codec network: only the last layer, and it, must be without an activation (layer %d)", l);
        for (int i = 0; i < layer->in * layer->out + layer->out; i++) {
            float v = i < layer->in * layer->out ? layer->weight[i] : layer->bias[i - layer->in * layer->out];
            if (!isfinite(v))
                return swg__fail(ctx, SWG_ENONFINITE, "codec network: layer %d has a weight that is not finite", l);
        }
        width = layer->out;
    }
    if (width != n->edge * n->edge * n->edge)
        return swg__fail(ctx, SWG_ESHAPE, "codec network: the decoder gives %d values, a block of edge %d has %d", width, n->edge,
                         n->edge * n->edge * n->edge);
    return SWG_OK;
}

static swg_status make(maker *m, const float *sample, int64_t count, swg_codec_model *set, swg_codec_model_report *report) {
    const int k = m->network->latents;
    const size_t rows = (size_t)m->rows, wide = rows * SWG__NET_WIDTH;
    double *weight = swg__alloc(m->ctx, SWG__NET_WIDTH * SWG__NET_WIDTH * sizeof *weight), *bias = swg__alloc(m->ctx, SWG__NET_WIDTH * sizeof *bias);
    m->blocks = swg__alloc(m->ctx, rows * (size_t)m->values * sizeof *m->blocks);
    m->latents = swg__alloc(m->ctx, rows * (size_t)k * sizeof *m->latents);
    m->quantised = swg__alloc(m->ctx, rows * (size_t)k * sizeof *m->quantised);
    m->codes = swg__alloc(m->ctx, rows * (size_t)k);
    m->x = swg__alloc(m->ctx, wide * sizeof *m->x);
    m->y = swg__alloc(m->ctx, wide * sizeof *m->y);
    m->transposed = swg__alloc(m->ctx, SWG__NET_WIDTH * SWG__NET_WIDTH * sizeof *m->transposed);
    m->sums = swg__alloc(m->ctx, wide * sizeof *m->sums);
    m->scratch = swg__alloc(m->ctx, SWG__NET_SCRATCH);
    swg_status status = SWG_OK;
    if (!weight || !bias || !m->blocks || !m->latents || !m->quantised || !m->codes || !m->x || !m->y || !m->transposed || !m->sums || !m->scratch)
        status = swg__fail_memory(m->ctx, wide * 12, "the quantisation of a network");
    double squares = 0;
    for (int64_t r = 0; r < m->rows && status == SWG_OK; r++) /* evenly spread over the sample */
        memcpy(m->blocks + r * m->values, sample + r * count / m->rows * m->values, (size_t)m->values * sizeof *m->blocks);
    for (int64_t i = 0; i < m->rows * m->values && status == SWG_OK; i++) {
        squares += (double)m->blocks[i] * (double)m->blocks[i];
        if (!isfinite(m->blocks[i]))
            status = swg__fail(m->ctx, SWG_ENONFINITE, "sample block %lld holds NaN or infinity", (long long)(i / m->values));
    }
    if (status == SWG_OK)
        status = m->network->encode(m->network->user, m->rows, m->blocks, m->latents);
    for (int64_t i = 0; i < m->rows * k && status == SWG_OK; i++)
        if (!isfinite(m->latents[i]))
            status = swg__fail(m->ctx, SWG_ENONFINITE, "the encoder's latent %lld of sample block %lld is not finite", (long long)(i % k),
                               (long long)(i / k));
    swg_codec_model_report found = {.rms = sqrt(squares / (double)(m->rows * m->values))};
    swg__swae *model = m->model;
    swg__text blob;
    swg__text_init(&blob, m->ctx);
    if (status == SWG_OK) {
        uint8_t bucket[SWG__NET_LATENTS] = {0};
        model->net.latents = k; /* for swg__swae_codes, until the blob is parsed */
        found.rms_error_float = float_error(m, m->latents);
        choose_latent_steps(m);
        found.latent_bits = latent_buckets(m, bucket);
        put_head(m, bucket, m->network->layer_count, &blob);
        status = quantise_layers(m, weight, bias, &blob);
    }
    if (status == SWG_OK) {
        swg__blob_end(&blob);
        found.blob_bytes = blob.length;
        const char *why = blob.failed ? swg__why_memory : swg__model_add(set, (const uint8_t *)blob.data, blob.length, NULL, 0, true);
        if (why)
            status = swg__fail(m->ctx, why == swg__why_memory ? SWG_ENOMEM : SWG_EINVAL, "the network cannot be quantised: %s", why);
    }
    if (status == SWG_OK) {
        swg__swae *made = set->blob[0].parsed;
        model->net = made->net;
        *made = *model;
        m->model = made;
        found.rms_error = integer_error(m);
        if (report)
            *report = found;
    }
    swg__text_free(&blob);
    void *const buffers[] = {m->scratch, m->sums, m->transposed, m->y, m->x, m->codes, m->quantised, m->latents, m->blocks, bias, weight};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++)
        swg__free(m->ctx, buffers[i]);
    return status;
}

swg_status swg_codec_model_make(swg_context *ctx, const swg_codec_network *network, const float *sample, int64_t count,
                                swg_codec_model **model, swg_codec_model_report *report) {
    *model = NULL;
    SWG__TRY(check_network(ctx, network, count));
    swg_codec_model *made;
    SWG__TRY(swg__model_new(ctx, &made));
    swg__swae draft = {.encode = network->encode, .user = network->user, .lock = swg__alloc(ctx, sizeof *draft.lock)};
    if (!draft.lock) {
        swg_codec_model_free(ctx, made);
        return swg__fail_memory(ctx, sizeof *draft.lock, "a codec model");
    }
    pthread_mutex_init(draft.lock, NULL);
    maker m = {.ctx = ctx,
               .network = network,
               .kernels = swg__codec_kernels_for(ctx->isa),
               .model = &draft,
               .rows = count < CALIBRATION ? count : CALIBRATION,
               .values = network->edge * network->edge * network->edge};
    swg_status status = make(&m, sample, count, made, report);
    if (m.model == &draft) { /* the set does not have the lock yet */
        pthread_mutex_destroy(draft.lock);
        swg__free(ctx, draft.lock);
    }
    if (status != SWG_OK) {
        swg_codec_model_free(ctx, made);
        return status;
    }
    *model = made;
    return SWG_OK;
}

/* ---- its row in the table of kinds ---- */

const char *swg__swae_parse(swg_context *ctx, const uint8_t *blob, size_t bytes, void *parsed) {
    return swg__net_parse(ctx, blob, bytes, &((swg__swae *)parsed)->net);
}

void swg__swae_close(swg_context *ctx, void *parsed) {
    swg__swae *s = parsed;
    swg__net_free(&s->net);
    if (s->lock)
        pthread_mutex_destroy(s->lock);
    swg__free(ctx, s->lock);
}
