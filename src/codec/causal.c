/* causal.c - models of mode W-MLP: checked, packed for an instruction set; the inputs of one point.
 * SPDX-License-Identifier: Apache-2.0 */
#include "causal.h"
#include "context.h"
#include "record.h"
#include "stencil.h"

#if SWG_X86
#define ISA(id, name, fast, like, int8) extern const swg__causal_kernels swg__causal_kernels_##int8;
#include "isa.def"
#undef ISA
#else
extern const swg__causal_kernels swg__causal_kernels_scalar;
#endif

const swg__causal_kernels *swg__causal_kernels_for(swg__isa isa) {
#if SWG_X86
    static const swg__causal_kernels *const tables[SWG__ISA_COUNT] = {
#define ISA(id, name, fast, like, int8) [SWG__##id] = &swg__causal_kernels_##int8,
#include "isa.def"
#undef ISA
    };
    return tables[isa];
#else
    (void)isa;
    return &swg__causal_kernels_scalar;
#endif
}

void swg__causal_features(const int64_t d[SWG__TAPS], int64_t size, bool wide, int8_t x[SWG__FEATURES]) {
    int e = 63 - __builtin_clzll((uint64_t)size), m = (int)(e < 8 ? size << (8 - e) : size >> (e - 8)) & 255;
    for (int k = 1; k < SWG__TAPS; k++) {
        int64_t v = (d[k] * swg__reciprocal[m] + ((int64_t)1 << (e + 5))) >> (e + 6);
        x[k - 1] = (int8_t)(v < -127 ? -127 : v > 127 ? 127 : v);
    }
    int c = 2 * swg__activity_class(size, wide) - 64;
    x[SWG__FEATURES - 1] = (int8_t)(c > 127 ? 127 : c);
}

void swg__causal_lay(const swg__causal *net, const int8_t features[SWG__FEATURES], uint32_t *x, int64_t stride) {
    if (net->kernels->inputs == 4)
        for (int k = 0; k < SWG__FEATURES; k += 4, x += stride)
            *x = (uint32_t)(features[k] + 128) | (uint32_t)(features[k + 1] + 128) << 8 | (uint32_t)(features[k + 2] + 128) << 16 |
                 (uint32_t)(features[k + 3] + 128) << 24;
    else
        for (int k = 0; k < SWG__FEATURES; k += 2, x += stride)
            *x = (uint32_t)(uint16_t)features[k] | (uint32_t)(uint16_t)features[k + 1] << 16;
}

static int up4(int n) { return (n + 3) / 4 * 4; }

/* Word `step` of the weights of an output: those of a NET's layer, zero behind its ends. */
static uint32_t weight_word(const swg__net_layer *l, int output, int step, int inputs) {
    uint32_t word = 0;
    for (int i = 0; i < inputs && output < l->out; i++) {
        int at = step * inputs + i, w = at < l->in ? l->weight[output * l->stride + at] : 0;
        word |= inputs == 4 ? (uint32_t)(uint8_t)w << (8 * i) : (uint32_t)(uint16_t)w << (16 * i);
    }
    return word;
}

static const char *pack(swg_context *ctx, const swg__net *net, swg__causal **packed) {
    const swg__causal_kernels *k = swg__causal_kernels_for(ctx->isa);
    size_t words = 0;
    *packed = NULL;
    for (int i = 0; i < net->layers; i++)
        words += (size_t)up4(net->layer[i].out) * (size_t)(up4(net->layer[i].in) / k->inputs + 1);
    swg__causal *out = swg__alloc(ctx, sizeof *out + words * sizeof(uint32_t));
    if (!out)
        return swg__why_memory;
    *out = (swg__causal){.kernels = k, .layers = net->layers};
    uint32_t *at = (uint32_t *)(out + 1);
    for (int i = 0; i < net->layers; i++) {
        const swg__net_layer *l = &net->layer[i];
        const bool last = i == net->layers - 1;
        swg__causal_layer *to = &out->layer[i];
        *to = (swg__causal_layer){.words = up4(l->in) / k->inputs, .groups = up4(l->out) / 4, .shift = l->shift, .weight = at};
        out->widest = to->words > out->widest ? to->words : out->widest;
        for (int g = 0; g < to->groups; g++)
            for (int s = 0; s < to->words; s++)
                for (int o = 0; o < 4; o++)
                    *at++ = weight_word(l, 4 * g + o, s, k->inputs);
        to->bias = (const int32_t *)at;
        for (int o = 0; o < 4 * to->groups; o++) {
            int64_t bias = o < l->out ? l->bias[o] : 0, sum = 0;
            for (int j = 0; j < l->in && o < l->out; j++)
                sum += l->weight[o * l->stride + j];
            bias += l->shift && !last ? (int64_t)1 << (l->shift - 1) : 0;
            bias -= i == 0 && k->inputs == 4 ? 128 * sum : 0;
            *at++ = (uint32_t)bias; /* may wrap: so do the sums, whose true values fit */
        }
    }
    *packed = out;
    return NULL;
}

/* Whether half of 2^shift, and of the last layer's 2^5, may be added to any sum: then nothing overflows. */
static bool room_to_round(const swg__net *net) {
    for (int i = 0; i < net->layers; i++) {
        const swg__net_layer *l = &net->layer[i];
        const int64_t half = i == net->layers - 1 ? 16 : l->shift ? (int64_t)1 << (l->shift - 1) : 0;
        for (int o = 0; o < l->out; o++) {
            int64_t size = l->bias[o] < 0 ? -(int64_t)l->bias[o] : l->bias[o];
            for (const int16_t *w = l->weight + o * l->stride; w < l->weight + o * l->stride + l->in; w++)
                size += 255 * (*w < 0 ? -*w : *w);
            if (size + half >= (int64_t)1 << 31)
                return false;
        }
    }
    return true;
}

static const char *parse_network(swg_context *ctx, swg__cursor *in, swg__causal **packed) {
    swg__net *net = swg__calloc(ctx, 1, sizeof *net);
    const char *why = net ? swg__net_layers(ctx, in, SWG__FEATURES, 2, net) : swg__why_memory;
    for (int i = 0; !why && i < net->layers; i++)
        if (net->layer[i].activation == SWG__NET_TABLE || (net->layer[i].activation == SWG__NET_NONE && net->layer[i].shift))
            why = "activation or shift of a causal network is impossible";
    if (!why && !room_to_round(net))
        why = "accumulator of a network could overflow";
    if (!why)
        why = pack(ctx, net, packed);
    if (net)
        swg__net_free(net);
    swg__free(ctx, net);
    return why;
}

const char *swg__causal_parse(swg_context *ctx, const uint8_t *blob, size_t bytes, void *parsed) {
    enum { WEIGHTS = 2 * SWG__TAPS };
    swg__stencil *model = parsed;
    swg__cursor in = {.at = blob + SWG__BLOB_HEAD, .end = blob + bytes};
    if (swg__left(&in) < WEIGHTS + 4)
        return "stencil parameters are too short or their classes impossible";
    const size_t least = in.at[WEIGHTS], most = in.at[WEIGHTS + 1];
    const size_t table = most >= least ? (WEIGHTS + 4 + 3 * (most - least + 1) + 3) / 4 * 4 : WEIGHTS + 4;
    const swg__span body = {in.at, table < swg__left(&in) ? table : swg__left(&in)};
    const char *why = swg__stencil_read(body, false, model);
    (void)swg__take(&in, body.bytes);
    return why ? why : parse_network(ctx, &in, &model->net);
}

void swg__causal_close(swg_context *ctx, void *parsed) { swg__free(ctx, ((swg__stencil *)parsed)->net); }
