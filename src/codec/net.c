/* net.c - parses, checks and runs the integer network.
 * In: a blob (docs/format.md, "NET"), int8 latents. Out: int32 predictions. No sum can overflow once a blob is accepted.
 * SPDX-License-Identifier: Apache-2.0 */
#include "net.h"
#include "record.h"

void swg__net_free(swg__net *net) {
    for (int i = 0; i < SWG__NET_LAYERS && net->ctx; i++) {
        swg__free(net->ctx, net->layer[i].weight);
        swg__free(net->ctx, net->layer[i].bias);
    }
    *net = (swg__net){0};
}

/* One layer; zero_point: of its inputs. *next: zero point of its outputs. */
static const char *parse_layer(swg_context *ctx, swg__cursor *in, int zero_point, swg__net_layer *layer, int *next) {
    layer->in = (int)swg__take16(in);
    layer->out = (int)swg__take16(in);
    layer->shift = (int)swg__take8(in);
    layer->activation = (int)swg__take8(in);
    *next = (int)swg__take16(in);
    if (in->bad || layer->in < 1 || layer->in > SWG__NET_WIDTH || layer->out < 1 || layer->out > SWG__NET_WIDTH)
        return "layer of a network is empty or wider than 1024";
    if (layer->shift > 24 || layer->activation > SWG__NET_TABLE || *next > (layer->activation == SWG__NET_TABLE ? 255 : 0))
        return "shift, activation or zero point of a network is impossible";
    if (layer->activation == SWG__NET_TABLE) {
        const uint8_t *table = swg__take(in, 256);
        if (table)
            memcpy(layer->table, table, 256);
    }
    int row = (layer->in + 3) / 4 * 4;
    const uint8_t *bias = swg__take(in, 4 * (size_t)layer->out), *weight = swg__take(in, (size_t)layer->out * (size_t)row);
    if (!weight)
        return "network ends inside a layer";
    layer->stride = (layer->in + SWG__NET_PAD - 1) / SWG__NET_PAD * SWG__NET_PAD;
    layer->weight = swg__calloc(ctx, (size_t)layer->out * (size_t)layer->stride, sizeof *layer->weight);
    layer->bias = swg__alloc(ctx, (size_t)layer->out * sizeof *layer->bias);
    if (!layer->weight || !layer->bias)
        return swg__why_memory;
    for (int j = 0; j < layer->out; j++) {
        int64_t size = 0, sum = 0, b = (int32_t)swg__load32(bias + 4 * j);
        for (int i = 0; i < row; i++) {
            int w = (int8_t)weight[j * row + i];
            if (i >= layer->in && w)
                return "padding of a network is not zero";
            if (i < layer->in)
                layer->weight[j * layer->stride + i] = (int16_t)w;
            sum += w;
            size += w < 0 ? -w : w;
        }
        if (255 * size + (b < 0 ? -b : b) >= (int64_t)1 << 31)
            return "accumulator of a network could overflow";
        layer->bias[j] = (int32_t)(b - zero_point * sum);
    }
    return NULL;
}

const char *swg__net_layers(swg_context *ctx, swg__cursor *in, int inputs, int outputs, swg__net *net) {
    int layers = (int)swg__take8(in), width = inputs, zero_point = 0;
    (void)swg__take(in, 3);
    net->ctx = ctx;
    const char *why = in->bad || layers < 1 || layers > SWG__NET_LAYERS ? "number of layers of a network is impossible" : NULL;
    for (int i = 0; !why && i < layers; i++) {
        swg__net_layer *layer = &net->layer[i];
        why = parse_layer(ctx, in, zero_point, layer, &zero_point);
        if (!why && layer->in != width)
            why = "layers of a network do not chain";
        if (!why && (layer->activation == SWG__NET_NONE) != (i == layers - 1))
            why = "activations of a network are in the wrong place";
        width = layer->out;
    }
    if (!why && (width != outputs || swg__left(in) > 3))
        why = "network does not fill its block or its blob";
    net->layers = why ? 0 : layers;
    if (why)
        swg__net_free(net);
    return why;
}

const char *swg__net_parse(swg_context *ctx, const uint8_t *blob, size_t bytes, swg__net *net) {
    *net = (swg__net){.ctx = ctx};
    swg__cursor in = {.at = blob, .end = blob + bytes};
    uint32_t magic = swg__take32(&in), kind = swg__take16(&in);
    (void)swg__take16(&in);
    uint32_t length = swg__take32(&in), flags = swg__take32(&in);
    net->edge = (int)swg__take8(&in);
    (void)swg__take8(&in);
    net->latents = (int)swg__take16(&in);
    if (in.bad || magic != 0x444D5753 || kind != SWG__KIND_SWAE || length != bytes || flags)
        return "head of a network is malformed";
    if (net->edge < 3 || net->edge > 9 || net->latents < 1 || net->latents > SWG__NET_LATENTS)
        return "edge or number of latents of a network is impossible";
    const uint8_t *bucket = swg__take(&in, ((size_t)net->latents + 3) / 4 * 4);
    for (int i = 0; bucket && i < net->latents; i++) {
        if (bucket[i] > 127)
            return "bucket above 127";
        net->bucket[i] = bucket[i];
    }
    return in.bad ? "head of a network is malformed" : swg__net_layers(ctx, &in, net->latents, net->edge * net->edge * net->edge, net);
}

/* Sums to the next layer's inputs. */
static void activate(const swg__net_layer *layer, const int32_t *sums, int64_t rows, int64_t stride, int16_t *out) {
    for (int64_t r = 0; r < rows; r++) {
        const int32_t *in = sums + r * layer->out;
        int16_t *h = out + r * stride;
        if (layer->activation == SWG__NET_RELU)
            for (int j = 0; j < layer->out; j++) {
                int32_t v = swg__rounded_shift(in[j], layer->shift);
                h[j] = (int16_t)(v < 0 ? 0 : v > 255 ? 255 : v);
            }
        else
            for (int j = 0; j < layer->out; j++) {
                int32_t v = swg__rounded_shift(in[j], layer->shift);
                h[j] = layer->table[(v < -128 ? -128 : v > 127 ? 127 : v) + 128];
            }
        memset(h + layer->out, 0, (size_t)(stride - layer->out) * sizeof *h);
    }
}

void swg__net_sums(const swg__net *net, int layers, const swg__codec_kernels *kernels, const int8_t *codes, int64_t rows, void *scratch,
                   int32_t *sums) {
    int16_t *x = scratch, *next = x + SWG__NET_ROWS * SWG__NET_WIDTH;
    int32_t *y = (int32_t *)(void *)(next + SWG__NET_ROWS * SWG__NET_WIDTH);
    memset(x, 0, (size_t)(rows * net->layer[0].stride) * sizeof *x);
    for (int64_t r = 0; r < rows; r++)
        for (int j = 0; j < net->latents; j++)
            x[r * net->layer[0].stride + j] = codes[r * net->latents + j];
    for (int i = 0; i < layers; i++) {
        const swg__net_layer *layer = &net->layer[i];
        bool last = i == layers - 1;
        kernels->linear(x, rows, layer->stride, layer->weight, layer->bias, layer->out, last ? sums : y);
        if (!last) {
            activate(layer, y, rows, net->layer[i + 1].stride, next);
            int16_t *swap = x;
            x = next;
            next = swap;
        }
    }
}

void swg__net_run(const swg__net *net, const swg__codec_kernels *kernels, const int8_t *codes, int64_t rows, void *scratch, int32_t *o) {
    const swg__net_layer *last = &net->layer[net->layers - 1];
    const int32_t most = 1 << 20;
    swg__net_sums(net, net->layers, kernels, codes, rows, scratch, o);
    for (int64_t i = 0; i < rows * last->out; i++) {
        int32_t v = swg__rounded_shift(o[i], last->shift);
        o[i] = v < -most ? -most : v > most ? most : v;
    }
}
