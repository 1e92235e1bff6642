/* tfswa.c - the network of TFSWA-UNet: stages of blocks that attend along frequency, along time and in windows side by side.
 * Source: tfswa.md, section 3. Inside, values are channels-last; what works token by token sees them as rows (tokens, channels), so that a plan
 * runs such steps panel by panel.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/tfswa.h"
#include <math.h>
#include "ir/ir.h"

static const double linear_deviation = .02, linear_limit = 2;
/* Stands for -inf where scores are stored: a row that sees nothing stays finite, as every other row does not see it. */
static const double far = -1e30;

enum { BATCH, CHANNEL, FREQUENCY, TIME, AXES };

/* What the values of a stage are, and the model. */
typedef struct stage {
    const swg_tfswa *m;
    int64_t n, f, t, c;         /* values are (n, f, t, c) */
} stage;

static int64_t tokens_of(const stage *s) { return s->n * s->f * s->t; }
static swg_value rows(swg_graph *g, const stage *s, swg_value x) { return swg_reshape(g, x, 2, (int64_t[]){tokens_of(s), s->c}); }
static swg_value grid(swg_graph *g, const stage *s, swg_value x) { return swg_reshape(g, x, 4, (int64_t[]){s->n, s->f, s->t, s->c}); }

static void push_number(swg_graph *g, const char *name, int number) {
    char text[32];
    snprintf(text, sizeof text, "%s%d", name, number);
    swg_scope_push(g, text);
}

/* A scope that is a block for recomputation. */
static void begin(swg_graph *g, const char *name) {
    swg_scope_push(g, name);
    swg_block_begin(g);
}

static void begin_numbered(swg_graph *g, const char *name, int number) {
    push_number(g, name, number);
    swg_block_begin(g);
}

static swg_value end(swg_graph *g, swg_value x) {
    swg_block_end(g);
    swg_scope_pop(g);
    return x;
}

/* ---- layers ---- */

/* x W^T, of rows. */
static swg_value product(swg_graph *g, swg_value x, swg_value weight) { return swg_matmul(g, x, weight, &(swg_matmul_opts){.trans_b = true}); }

static swg_value linear_weight(swg_graph *g, int64_t n, int64_t k) {
    return swg_param(g, "weight", 2, (int64_t[]){n, k}, (swg_init){.deviation = linear_deviation, .limit = linear_limit});
}

static swg_value linear(swg_graph *g, swg_value x, int64_t k, int64_t n, const char *name) {
    swg_scope_push(g, name);
    swg_value y = product(g, x, linear_weight(g, n, k));
    y = swg_add(g, y, swg_param(g, "bias", 1, &n, (swg_init){0}));
    swg_scope_pop(g);
    return y;
}

/* (a, b, kernel, kernel), Kaiming-normal by a times the taps: the fan-out as PyTorch counts it, which for a transposed convolution is of what goes in. */
static swg_value conv_weight(swg_graph *g, int64_t a, int64_t b, int64_t kernel) {
    return swg_param(g, "weight", 4, (int64_t[]){a, b, kernel, kernel}, (swg_init){.deviation = sqrt(2 / (double)(a * kernel * kernel))});
}

static swg_value conv_bias(swg_graph *g, int64_t channels) { return swg_param(g, "bias", 1, &channels, (swg_init){0}); }

/* x: (n, f, t, c). */
static swg_value conv(swg_graph *g, swg_value x, int64_t c, int64_t channels, int64_t kernel, int64_t stride, const char *name) {
    const int64_t padding = (kernel - 1) / 2;
    const swg_conv_opts opts = {.stride = {stride, stride}, .padding = {padding, padding}, .channels_last = true};
    swg_scope_push(g, name);
    swg_value weight = conv_weight(g, channels, c, kernel);
    x = swg_convolution(g, x, weight, conv_bias(g, channels), &opts);
    swg_scope_pop(g);
    return x;
}

static swg_value conv_transpose(swg_graph *g, swg_value x, int64_t c, int64_t channels, const char *name) {
    const swg_conv_opts opts = {.stride = {2, 2}, .padding = {1, 1}, .channels_last = true};
    swg_scope_push(g, name);
    swg_value weight = conv_weight(g, c, channels, 4);
    x = swg_convolution_transpose(g, x, weight, conv_bias(g, channels), &opts);
    swg_scope_pop(g);
    return x;
}

/* A 1-wide convolution of `parts` of width c side by side, of rows: products of each with its columns of the weights, added. */
static swg_value pointwise(swg_graph *g, const swg_value *x, int parts, int64_t c, const char *name) {
    swg_value y = SWG_NONE;
    swg_scope_push(g, name);
    swg_value weight = swg_reshape(g, conv_weight(g, c, parts * c, 1), 2, (int64_t[]){c, parts * c}), bias = conv_bias(g, c);
    for (int i = 0; i < parts; i++) {
        swg_value part = product(g, x[i], parts == 1 ? weight : swg_slice(g, weight, (int64_t[]){0, i * c}, (int64_t[]){c, c}));
        y = i ? swg_add(g, y, part) : part;
    }
    y = swg_add(g, y, bias);
    swg_scope_pop(g);
    return y;
}

/* Of rows or of (n, f, t, c). */
static swg_value batch_norm(swg_graph *g, swg_value x, const char *name) { return swg_batch_norm(g, x, name, &(swg_norm_opts){.channel_axis = -1}); }

/* ---- windows ---- */

/* What is padded, rolled and cut. */
typedef struct windows {
    int64_t extent[2];          /* padded */
    int64_t window[2], shift[2];
    int64_t real[2];
    bool rolls, pads;
} windows;

static windows windows_of(const stage *s, bool shifted) {
    windows w = {.real = {s->f, s->t}, .rolls = shifted && s->m->shift > 0};
    for (int i = 0; i < 2; i++) {
        w.window[i] = s->m->window;
        w.shift[i] = w.rolls ? s->m->shift : 0;
        w.extent[i] = (w.real[i] + w.window[i] - 1) / w.window[i] * w.window[i];
        w.pads = w.pads || w.extent[i] > w.real[i];
    }
    return w;
}

static int64_t window_count(const windows *w) { return w->extent[0] / w->window[0] * (w->extent[1] / w->window[1]); }

/* Windows differ in what is masked only by whether they are the last, the last but one, or any other along each axis: padding and shift are shorter
 * than a window. */
enum { KINDS = 3 };
static int kind_of(int64_t window, int64_t count) { return (int)(count - 1 - window < KINDS - 1 ? count - 1 - window : KINDS - 1); }

/* Region along an axis of position `at` of a window of this kind, after the roll; *padding: nothing was there before padding. */
static int region_of(const windows *w, int axis, int kind, int64_t at, bool *padding) {
    const int64_t before_end = (kind + 1) * w->window[axis] - at, end = w->extent[axis]; /* the position is end - before_end */
    const int64_t from = (end - before_end + w->shift[axis]) % end;                       /* where it was before the roll */
    *padding = *padding || (kind < KINDS - 1 && from >= w->real[axis]);
    if (!w->rolls || before_end > w->window[axis])
        return 0;
    return before_end > w->shift[axis] ? 1 : 2;
}

/* (9, tokens squared): for each kind of window 0 where a token (row) sees another (column), else `masked`. */
static swg_value mask_table(swg_graph *g, const windows *w, bool pads, double masked) {
    const int64_t length = w->window[0] * w->window[1], count = KINDS * KINDS;
    double *table = swg__calloc(g->ctx, (size_t)(count * length * length), sizeof *table);
    int *region = swg__calloc(g->ctx, (size_t)length, sizeof *region);
    bool *padding = swg__calloc(g->ctx, (size_t)length, sizeof *padding);
    swg_value v = SWG_NONE;
    if (!table || !region || !padding)
        swg__graph_fail(g, SWG_ENOMEM, "out of memory for window masks");
    for (int64_t k = 0; g->status == SWG_OK && k < count; k++) {
        for (int64_t p = 0; p < length; p++) {
            padding[p] = false;
            region[p] = 3 * region_of(w, 0, (int)(k / KINDS), p / w->window[1], &padding[p]);
            region[p] += region_of(w, 1, (int)(k % KINDS), p % w->window[1], &padding[p]);
        }
        for (int64_t p = 0; p < length; p++)
            for (int64_t q = 0; q < length; q++)
                table[(k * length + p) * length + q] = region[p] != region[q] || (pads && padding[q]) ? masked : 0;
    }
    if (g->status == SWG_OK)
        v = swg_constant_array(g, 2, (int64_t[]){count, length * length}, table);
    swg__free(g->ctx, table);
    swg__free(g->ctx, region);
    swg__free(g->ctx, padding);
    return v;
}

/* (n windows, 1, tokens, tokens), or SWG_NONE where every token sees all of its window. */
static swg_value window_mask(swg_graph *g, const stage *s, const windows *w) {
    const bool pads = w->pads && s->m->window_mask == SWG_TFSWA_WINDOW_ALL;
    if (s->m->window_mask == SWG_TFSWA_WINDOW_NONE || (!w->rolls && !pads))
        return SWG_NONE;
    const int64_t down = w->extent[0] / w->window[0], across = w->extent[1] / w->window[1], count = s->n * down * across;
    const int64_t length = w->window[0] * w->window[1];
    int32_t *kind = swg__calloc(g->ctx, (size_t)count, sizeof *kind);
    if (!kind)
        return swg__graph_fail(g, SWG_ENOMEM, "out of memory for %lld windows", (long long)count);
    for (int64_t i = 0; i < count; i++)
        kind[i] = KINDS * kind_of(i / across % down, down) + kind_of(i % across, across);
    swg_value index = swg_constant_index(g, 1, &count, kind);
    swg__free(g->ctx, kind);
    swg_value mask = swg_gather(g, mask_table(g, w, pads, s->m->naive ? far : -INFINITY), index, 0);
    return swg_reshape(g, mask, 4, (int64_t[]){count, 1, length, length});
}

/* ---- attention ---- */

/* q, k, v: (batch, length, heads d). Stores its scores. */
static swg_value attend_naively(swg_graph *g, swg_value q, swg_value k, swg_value v, swg_value mask, int64_t heads) {
    if (!q)
        return SWG_NONE;
    const int64_t batch = swg_shape(g, q)[0], length = swg_shape(g, q)[1], c = swg_shape(g, q)[2], d = c / heads;
    swg_value x[3] = {q, k, v};
    for (int i = 0; i < 3; i++)
        x[i] = swg_permute(g, swg_reshape(g, x[i], 4, (int64_t[]){batch, length, heads, d}), (int[]){0, 2, 1, 3});
    swg_value scores = swg_affine(g, swg_matmul(g, x[0], x[1], &(swg_matmul_opts){.trans_b = true}), 1 / sqrt((double)d), 0);
    if (mask)
        scores = swg_add(g, scores, mask);
    swg_value y = swg_matmul(g, swg_softmax(g, scores), x[2], NULL);
    return swg_reshape(g, swg_permute(g, y, (int[]){0, 2, 1, 3}), 3, (int64_t[]){batch, length, c});
}

/* Attention unit of sequences of `length` rows: x + MHSA(LN(x)), then y + MLP(LN(y)). x: (tokens, c). */
static swg_value unit(swg_graph *g, const stage *s, swg_value x, int64_t tokens, int64_t length, swg_value mask, const char *name) {
    const int64_t c = s->c;
    swg_value part[3];
    begin(g, name);
    swg_value h = swg_layer_norm(g, x, 1, "norm1", NULL);
    swg_scope_push(g, "qkv");
    swg_value weight = linear_weight(g, 3 * c, c);
    for (int i = 0; i < 3; i++) /* slicing weights costs less than slicing what they project */
        part[i] = swg_reshape(g, product(g, h, swg_slice(g, weight, (int64_t[]){i * c, 0}, (int64_t[]){c, c})), 3, (int64_t[]){tokens / length, length, c});
    swg_scope_pop(g);
    swg_scope_push(g, "attention");
    h = s->m->naive ? attend_naively(g, part[0], part[1], part[2], mask, s->m->heads)
                    : swg_attention(g, part[0], part[1], part[2], mask, &(swg_attention_opts){.heads = s->m->heads});
    swg_scope_pop(g);
    x = swg_add(g, linear(g, swg_reshape(g, h, 2, (int64_t[]){tokens, c}), c, c, "proj"), x);
    h = swg_gelu(g, linear(g, swg_layer_norm(g, x, 1, "norm2", NULL), c, s->m->mlp_ratio * c, "fc1"));
    x = swg_add(g, linear(g, h, s->m->mlp_ratio * c, c, "fc2"), x);
    return end(g, x);
}

/* All branches take and give rows in the order (n, f, t). */

static swg_value along_frequency(swg_graph *g, const stage *s, swg_value y) {
    const int swap[4] = {0, 2, 1, 3};
    const stage turned = {.m = s->m, .n = s->n, .f = s->t, .t = s->f, .c = s->c};
    y = rows(g, s, swg_permute(g, grid(g, s, y), swap));
    y = unit(g, s, y, tokens_of(s), s->f, SWG_NONE, "attn_f");
    return rows(g, s, swg_permute(g, grid(g, &turned, y), swap));
}

static swg_value along_time(swg_graph *g, const stage *s, swg_value y) { return unit(g, s, y, tokens_of(s), s->t, SWG_NONE, "attn_t"); }

static swg_value in_windows(swg_graph *g, const stage *s, swg_value y, bool shifted) {
    const windows w = windows_of(s, shifted);
    const int64_t length = w.window[0] * w.window[1], tokens = s->n * window_count(&w) * length;
    const int64_t after[4] = {0, w.extent[0] - s->f, w.extent[1] - s->t, 0}, none[4] = {0}, *shift = w.rolls ? w.shift : NULL;
    swg_scope_push(g, "split");
    y = grid(g, s, y);
    y = swg_window_partition(g, w.pads ? swg_pad(g, y, none, after) : y, w.window, shift);
    y = swg_reshape(g, y, 2, (int64_t[]){tokens, s->c});
    swg_scope_pop(g);
    y = unit(g, s, y, tokens, length, window_mask(g, s, &w), "window");
    swg_scope_push(g, "merge");
    y = swg_window_merge(g, swg_reshape(g, y, 3, (int64_t[]){-1, length, s->c}), 2, w.extent, w.window, shift);
    if (w.pads)
        y = swg_slice(g, y, none, (int64_t[]){s->n, s->f, s->t, s->c});
    swg_scope_pop(g);
    return rows(g, s, y);
}

/* GELU(BN(conv(a, b, w))) + x + skip of the branches of y = BN(conv(x)). x: rows; skip: rows or SWG_NONE. */
static swg_value block(swg_graph *g, const stage *s, swg_value x, swg_value skip, int number) {
    begin_numbered(g, "block", number);
    swg_value y = batch_norm(g, pointwise(g, &x, 1, s->c, "conv_in"), "norm_in");
    swg_value parts[3] = {along_frequency(g, s, y), along_time(g, s, y), in_windows(g, s, y, number % 2 == 1)};
    y = swg_gelu(g, batch_norm(g, pointwise(g, parts, 3, s->c, "conv_out"), "norm_out"));
    y = swg_add(g, y, x);
    if (skip)
        y = swg_add(g, y, skip);
    return end(g, y);
}

/* ---- the network ---- */

/* Of (n, f, t, c); skip alike. */
static swg_value blocks(swg_graph *g, const stage *s, swg_value x, swg_value skip, int64_t depth) {
    x = rows(g, s, x);
    for (int64_t k = 0; k < depth; k++)
        x = block(g, s, x, k == 0 && skip ? rows(g, s, skip) : SWG_NONE, (int)k);
    return grid(g, s, x);
}

static swg_value active(swg_graph *g, swg_value x) { return swg_gelu(g, batch_norm(g, x, "norm")); }

static swg_value stem(swg_graph *g, const stage *s, swg_value x) {
    begin(g, "stem");
    return end(g, active(g, conv(g, swg_permute(g, x, (int[]){0, 2, 3, 1}), s->m->in, s->c, 7, 1, "conv")));
}

static swg_value down(swg_graph *g, const stage *from, const stage *to, swg_value x, int level) {
    begin_numbered(g, "down", level);
    return end(g, active(g, conv(g, x, from->c, to->c, 4, 2, "conv")));
}

static swg_value up(swg_graph *g, const stage *from, const stage *to, swg_value x, int level) {
    begin_numbered(g, "up", level);
    x = active(g, conv_transpose(g, x, from->c, to->c, "conv"));
    if (to->f != 2 * from->f || to->t != 2 * from->t)
        x = swg_resize(g, x, (int64_t[]){to->f, to->t}, &(swg_resize_opts){.channels_last = true});
    return end(g, x);
}

static swg_value head(swg_graph *g, const stage *s, swg_value x) {
    begin(g, "head");
    x = end(g, active(g, conv(g, x, s->c, s->c, 3, 1, "conv")));
    x = conv(g, x, s->c, s->m->out, 1, 1, "output");
    x = swg_permute(g, x, (int[]){0, 3, 1, 2});
    return s->m->mask == SWG_TFSWA_COMPLEX ? x : swg_sigmoid(g, x);
}

/* ---- checks ---- */

static bool model_fits(swg_graph *g, const swg_tfswa *m) {
    if (m->stages < 2 || m->stages > SWG_TFSWA_STAGES)
        swg__graph_fail(g, SWG_EINVAL, "tfswa: %d stages, expected 2 to %d", m->stages, SWG_TFSWA_STAGES);
    else if (m->in < 1 || m->out < 1)
        swg__graph_fail(g, SWG_EINVAL, "tfswa: %lld channels in and %lld out, expected 1 or more", (long long)m->in, (long long)m->out);
    else if (m->window < 1 || m->window > 64 || m->shift < 0 || m->shift >= m->window)
        swg__graph_fail(g, SWG_EINVAL, "tfswa: window %lld with shift %lld, expected a window of 1 to 64 and a shift below it", (long long)m->window,
                        (long long)m->shift);
    else if (m->heads < 1 || m->mlp_ratio < 1)
        swg__graph_fail(g, SWG_EINVAL, "tfswa: %lld heads, mlp_ratio %lld, expected 1 or more", (long long)m->heads, (long long)m->mlp_ratio);
    else if ((unsigned)m->mask > SWG_TFSWA_COMPLEX || (unsigned)m->window_mask > SWG_TFSWA_WINDOW_ALL)
        swg__graph_fail(g, SWG_EINVAL, "tfswa: mask %d, window mask %d: there is no such kind", (int)m->mask, (int)m->window_mask);
    for (int i = 0; g->status == SWG_OK && i < m->stages; i++)
        if (m->depths[i] < 1 || m->depths[i] > INT16_MAX || m->dims[i] < 1 || m->dims[i] % m->heads)
            swg__graph_fail(g, SWG_EINVAL, "tfswa: %lld blocks of %lld channels at stage %d, expected 1 or more blocks and channels that %lld heads divide",
                            (long long)m->depths[i], (long long)m->dims[i], i, (long long)m->heads);
    return g->status == SWG_OK;
}

static bool takes(swg_graph *g, const swg_tfswa *m, swg_value x) {
    char text[224];
    const int64_t least = (int64_t)1 << (m->stages - 1);
    if (swg_ndim(g, x) != AXES || swg_shape(g, x)[CHANNEL] != m->in)
        swg__graph_fail(g, SWG_ESHAPE, "tfswa: input %s, expected (batch, %lld, frequency, time)", swg__value_text(g, x, text, sizeof text),
                        (long long)m->in);
    for (int axis = FREQUENCY; g->status == SWG_OK && axis <= TIME; axis++)
        if (swg_shape(g, x)[axis] < least)
            swg__graph_fail(g, SWG_ESHAPE, "tfswa: extent %lld along axis %s, expected %lld or more, as %d stages halve it %d times",
                            (long long)swg_shape(g, x)[axis], swg_tfswa_axis(axis), (long long)least, m->stages, m->stages - 1);
    return g->status == SWG_OK;
}

/* ---- public ---- */

swg_tfswa swg_tfswa_unet(void) {
    return (swg_tfswa){.stages = 4, .depths = {2, 2, 6, 2}, .dims = {32, 64, 128, 256}, .in = 2, .out = 2, .window = 8, .shift = 4, .heads = 8, .mlp_ratio = 4};
}

swg_tfswa swg_tfswa_small(void) {
    return (swg_tfswa){.stages = 4, .depths = {1, 1, 1, 1}, .dims = {16, 32, 64, 128}, .in = 2, .out = 2, .window = 4, .shift = 2, .heads = 4, .mlp_ratio = 2};
}

const char *swg_tfswa_axis(int axis) {
    static const char *const names[AXES] = {"batch", "channel", "frequency", "time"};
    return axis >= 0 && axis < AXES ? names[axis] : NULL;
}

swg_value swg_tfswa_net(swg_graph *g, const swg_tfswa *m, swg_value x) {
    stage s[SWG_TFSWA_STAGES];
    swg_value skip[SWG_TFSWA_STAGES];
    if (!swg__check(g, "tfswa", x) || !model_fits(g, m) || !takes(g, m, x))
        return SWG_NONE;
    const int64_t *shape = swg_shape(g, x);
    for (int i = 0; i < m->stages; i++)
        s[i] = (stage){m, shape[BATCH], shape[FREQUENCY] >> i, shape[TIME] >> i, m->dims[i]};
    const int last = m->stages - 1;
    x = stem(g, &s[0], x);
    for (int i = 0; i < last; i++) {
        push_number(g, "enc", i);
        skip[i] = blocks(g, &s[i], x, SWG_NONE, m->depths[i]);
        swg_scope_pop(g);
        x = down(g, &s[i], &s[i + 1], skip[i], i);
    }
    swg_scope_push(g, "bottleneck");
    x = blocks(g, &s[last], x, SWG_NONE, m->depths[last]);
    swg_scope_pop(g);
    for (int i = last - 1; i >= 0; i--) {
        x = up(g, &s[i + 1], &s[i], x, i);
        push_number(g, "dec", i);
        x = blocks(g, &s[i], x, skip[i], m->depths[i]);
        swg_scope_pop(g);
    }
    return head(g, &s[0], x);
}

swg_status swg_tfswa_layers(swg_context *ctx, const swg_tfswa *model, const int64_t shape[4], swg_layers *out) {
    swg_graph *g;
    *out = (swg_layers){0};
    SWG__TRY(swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g));
    swg_value y = swg_tfswa_net(g, model, swg_input(g, "x", AXES, shape));
    swg_status status = swg_graph_status(g);
    if (status == SWG_OK)
        status = swg_layers_of(g, &y, 1, out);
    swg_graph_destroy(g);
    return status;
}
