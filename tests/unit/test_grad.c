/* test_grad.c - proves: the gradient rule of every differentiable operation and loss agrees with central differences in f64;
 * an operation without a gradient is refused when the graph is built, named with its scope.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <math.h>
#include "ir/ir.h"
#include "swage/nn.h"
#include "swage/plan.h"

enum { MOST = 3 };

/* A case builds one result from up to three parameters (a, b, c) of the shapes below. */
typedef struct grad_case {
    const char *name;
    int op;                     /* the op this case is the check of, -1: a composition */
    int shape[MOST][4];         /* extents, 0 ends; an empty first extent: no such parameter */
    double low, high;           /* values are drawn in between, away from kinks by construction */
    swg_value (*build)(swg_graph *g, const swg_value *p);
} grad_case;

#define CASE(name) static swg_value build_##name(swg_graph *g, const swg_value *p)
#define A p[0]
#define B p[1]
CASE(neg) { return swg_neg(g, A); }
CASE(abs) { return swg_abs(g, A); }
CASE(square) { return swg_square(g, A); }
CASE(sqrt) { return swg_sqrt(g, A); }
CASE(rsqrt) { return swg_rsqrt(g, A); }
CASE(reciprocal) { return swg_reciprocal(g, A); }
CASE(exp) { return swg_exp(g, A); }
CASE(log) { return swg_log(g, A); }
CASE(log1p) { return swg_log1p(g, A); }
CASE(relu) { return swg_relu(g, A); }
CASE(gelu) { return swg_gelu(g, A); }
CASE(silu) { return swg_silu(g, A); }
CASE(tanh) { return swg_tanh(g, A); }
CASE(sigmoid) { return swg_sigmoid(g, A); }
CASE(softplus) { return swg_softplus(g, A); }
CASE(affine) { return swg_affine(g, A, -1.5, .25); }
CASE(cast) { return swg_square(g, swg__append(g, SWG__CAST, g->dtype, swg_ndim(g, A), swg_shape(g, A), 1, p, NULL)); } /* f64 to f64 */
CASE(clamp) { return swg_clamp(g, A, -.6, .7); }
CASE(add) { return swg_add(g, A, B); }
CASE(sub) { return swg_sub(g, A, B); }
CASE(mul) { return swg_mul(g, A, B); }
CASE(div) { return swg_div(g, A, B); }
CASE(max) { return swg_max(g, A, B); }
CASE(min) { return swg_min(g, A, B); }
CASE(gate) { return swg_add(g, swg__ew(g, SWG__GATE, 0, 0, 2, A, swg_detach(g, B), 0), B); }
CASE(where) { return swg_where(g, swg_greater(g, swg_detach(g, A), swg_constant(g, 0)), A, B); }
CASE(reshape) { return swg_square(g, swg_reshape(g, A, 2, (int64_t[]){-1, 6})); }
CASE(permute) { return swg_square(g, swg_permute(g, A, (int[]){2, 0, 1})); }
CASE(expand) { return swg_square(g, swg_expand(g, A, 3, (int64_t[]){4, 3, 5})); }
CASE(slice) { return swg_square(g, swg_slice(g, A, (int64_t[]){1, 0, 2}, (int64_t[]){2, 3, 1})); }
CASE(pad) { return swg_square(g, swg_pad(g, A, (int64_t[]){1, 0, 2}, (int64_t[]){0, 3, 1})); }
CASE(concat) { return swg_square(g, swg_concat(g, p, 2, 1)); }
CASE(sum) { return swg_square(g, swg_sum(g, A, 1u << 1)); }
CASE(sum_split) { return swg_square(g, swg_sum(g, A, 1u << 0 | 1u << 2)); }
CASE(mean_all) { return swg_square(g, swg_mean(g, A, 0)); }
CASE(reduce_max) { return swg_square(g, swg_reduce_max(g, A, 1u << 2)); }
CASE(softmax) { return swg_square(g, swg_softmax(g, A)); }
CASE(log_softmax) { return swg_square(g, swg_log_softmax(g, A)); }
CASE(take_along) { return swg_square(g, swg_sort(g, A, 0)); }
CASE(put_along) { return swg_square(g, swg__put_along(g, A, swg_argsort(g, A, 1), 1)); }
CASE(matmul) { return swg_square(g, swg__matmul(g, A, B, false, false)); }
CASE(matmul_nt) { return swg_square(g, swg__matmul(g, A, B, false, true)); }
CASE(matmul_tn) { return swg_square(g, swg__matmul(g, A, B, true, false)); }
CASE(matmul_tt) { return swg_square(g, swg__matmul(g, A, B, true, true)); }
CASE(matmul_batched) { return swg_square(g, swg__matmul(g, A, B, false, true)); }
CASE(matmul_shared) { return swg_square(g, swg__matmul(g, A, B, false, false)); }
CASE(linear_relu) {
    return swg_square(g, swg_relu(g, swg_add(g, swg__matmul(g, A, B, false, true), p[2])));
}
/* Convolutions; parameters of at most four axes, so some are shaped here. */
static swg_value shaped(swg_graph *g, swg_value x, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e) {
    return swg_reshape(g, x, 5, (int64_t[]){a, b, c, d, e});
}
CASE(conv) {
    return swg_square(g, swg_convolution(g, A, B, p[2], &(swg_conv_opts){.stride = {2, 1}, .padding = {1, 2}, .dilation = {1, 2}, .groups = 2}));
}
CASE(conv_transpose) {
    return swg_square(g, swg_convolution_transpose(g, A, B, p[2], &(swg_conv_opts){.stride = {2, 3}, .padding = {1, 0},
                      .dilation = {2, 1}, .output_padding = {1, 1}, .groups = 2}));
}
CASE(conv_weights) { /* from (2, 7, 3) and (2, 4, 5) to weights (5, 3, 3) */
    swg__attr attr = {.stride = {1, 1, 2}, .dilation = {1, 1, 1}, .before = {0, 0, 1}, .groups = 1};
    return swg_square(g, swg__append(g, SWG__CONV_WEIGHTS, SWG_F64, 3, (int64_t[]){5, 3, 3}, 2, p, &attr));
}
CASE(conv3) {
    swg_value y = swg_convolution(g, shaped(g, A, 2, 2, 3, 2, 4), shaped(g, B, 3, 2, 2, 1, 3), SWG_NONE, &(swg_conv_opts){.padding = {1, 0, 1}});
    return swg_square(g, swg_convolution_transpose(g, swg_relu(g, y), shaped(g, p[2], 3, 1, 2, 2, 2), SWG_NONE,
                                                   &(swg_conv_opts){.stride = {2, 2, 2}}));
}
CASE(conv1_last) { return swg_square(g, swg_convolution(g, A, B, p[2], &(swg_conv_opts){.padding = {2}, .channels_last = true})); }
CASE(mse) { return swg_loss_mse(g, A, B); }
CASE(mae) { return swg_loss_mae(g, A, B); }
CASE(huber) { return swg_loss_huber(g, A, B, .4); }
CASE(logcosh) { return swg_loss_logcosh(g, A, B); }
CASE(relative) { return swg_loss_relative(g, A, swg_random_uniform(g, "target", 2, (int64_t[]){3, 5})); }
CASE(log_loss) { return swg_loss_log(g, swg_loss_mse(g, A, B), 1000); }
CASE(sliced_wasserstein) { return swg_loss_sliced_wasserstein(g, A, 6); }
/* activations, dropout */
CASE(leaky_relu) { return swg_leaky_relu(g, A, .2); }
CASE(elu) { return swg_elu(g, A, 1.3); }
CASE(elu_one) { return swg_elu(g, A, 1); }
CASE(elu_below) { return swg_elu(g, A, -.7); }
CASE(gelu_tanh) { return swg_gelu_tanh(g, A); }
CASE(hard_swish) { return swg_hard_swish(g, A); }
CASE(dropout) { return swg_square(g, swg_dropout(g, swg_square(g, A), .4, "drop")); }
CASE(drop_channels) { return swg_square(g, swg_drop_channels(g, swg_square(g, A), .4, "channels")); }
CASE(ssim) { return swg_loss_ssim(g, A, B); }
CASE(bam) { return swg_square(g, swg_bam(g, A, &(swg_bam_opts){.reduction = 2, .dilation = 2}, "bam")); }
CASE(bam_frozen) { return swg_square(g, swg_bam(g, A, &(swg_bam_opts){.frozen = true}, "bam")); }
CASE(eca) { return swg_square(g, swg_eca(g, A, "eca")); }
CASE(drop_path) { return swg_square(g, swg_drop_path(g, A, .4, "path")); }
/* normalisation: shapes of batch, instance and layer norm in both layouts, and axes no kernel has a form for */
static swg_value normalised(swg_graph *g, swg_value x, uint32_t axes, swg_value gamma, swg_value beta) {
    swg_moments m = swg_norm_moments(g, x, axes);
    return swg_square(g, swg_norm_apply(g, x, m.mean, swg_rsqrt(g, swg_affine(g, m.variance, 1, 1e-2)), gamma, beta));
}
CASE(norm_stats) {
    swg_moments m = swg_norm_moments(g, A, 1u << 0 | 1u << 2);
    return swg_add(g, swg_square(g, m.mean), swg_mul(g, m.variance, m.mean));
}
CASE(norm_last) { return normalised(g, A, 1u << 2, B, p[2]); }
CASE(norm_first) { return normalised(g, A, 1u << 0, SWG_NONE, SWG_NONE); }
CASE(norm_outer) { return normalised(g, A, 1u << 0 | 1u << 2, swg_reshape(g, B, 3, (int64_t[]){1, 3, 1}), swg_reshape(g, p[2], 3, (int64_t[]){1, 3, 1})); }
CASE(norm_middle) { return normalised(g, A, 1u << 1, B, p[2]); }
CASE(norm_odd) { return normalised(g, A, 1u << 1 | 1u << 3, B, SWG_NONE); }
CASE(norm_by_itself) { return swg_square(g, swg_norm_apply(g, A, B, B, p[2], swg_mul(g, A, p[2]))); }
CASE(batch_norm) { return swg_square(g, swg_batch_norm(g, A, "bn", NULL)); }
CASE(instance_norm) { return swg_square(g, swg_instance_norm(g, A, "in", &(swg_norm_opts){.affine = SWG_AFFINE_ON, .channel_axis = -1})); }
CASE(group_norm) { return swg_square(g, swg_group_norm(g, A, 2, "gn", NULL)); }
CASE(group_norm_last) { return swg_square(g, swg_group_norm(g, A, 2, "gn", &(swg_norm_opts){.channel_axis = -1})); }
CASE(layer_norm_plain) { return swg_square(g, swg_layer_norm(g, A, 1, "ln", &(swg_norm_opts){.affine = SWG_AFFINE_OFF})); }
CASE(layer_norm_weight) { return swg_square(g, swg__layer_norm(g, A, B, SWG_NONE, 1, 1e-2)); }
CASE(layer_norm_given) { return swg_square(g, swg__layer_norm(g, A, B, p[2], 2, 1e-2)); }
CASE(layer_norm_all) { return swg_square(g, swg_layer_norm(g, A, 2, "ln", NULL)); }
CASE(layer_norm) { return swg_square(g, swg_layer_norm(g, A, 2, "ln", NULL)); }
/* gather, roll, windows, pooling, resize */
static const int32_t picked[] = {2, 0, 2, 1, 0}, picked_rows[] = {0, 2, 1, 1};
CASE(gather) { return swg_square(g, swg_gather(g, A, swg_constant_index(g, 1, (int64_t[]){5}, picked), 1)); }
CASE(gather_rows) { return swg_square(g, swg_gather(g, A, swg_constant_index(g, 2, (int64_t[]){2, 2}, picked_rows), 1)); }
CASE(scatter) { return swg_square(g, swg_scatter_add(g, A, swg_constant_index(g, 1, (int64_t[]){5}, picked), 1, 4)); }
CASE(roll) { return swg_square(g, swg_roll(g, A, (int64_t[]){1, 0, -6})); }
CASE(windows) {
    const int64_t window[] = {2, 2}, shift[] = {1, 1};
    return swg_square(g, swg_window_partition(g, A, window, shift));
}
CASE(max_pool) { return swg_square(g, swg_max_pool(g, A, &(swg_pool_opts){.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 1}})); }
CASE(adaptive_max_pool) { return swg_square(g, swg_adaptive_max_pool(g, A, (int64_t[]){3}, true)); }
CASE(avg_pool) { return swg_square(g, swg_avg_pool(g, A, &(swg_pool_opts){.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 1}, .channels_last = true})); }
CASE(resize) { return swg_square(g, swg_resize(g, A, (int64_t[]){5, 3}, NULL)); }
CASE(resize_nearest) { return swg_square(g, swg_resize(g, A, (int64_t[]){5, 3}, &(swg_resize_opts){.nearest = true, .channels_last = true})); }
/* losses of classes, GDN */
CASE(bce) { return swg_loss_bce_logits(g, A, B); }
CASE(dice) { return swg_loss_dice(g, A, B, 0); }
CASE(ce_soft) { return swg_loss_cross_entropy(g, A, B, &(swg_cross_entropy_opts){.weight = p[2]}); }
CASE(ce_class) {
    swg_value target = swg_constant_array(g, 2, (int64_t[]){2, 3}, (double[]){0, 3, -100, 2, 1, 1});
    return swg_loss_cross_entropy(g, A, target, &(swg_cross_entropy_opts){.channel_axis = -1, .weight = B});
}
CASE(gdn) { return swg_square(g, swg_gdn(g, A, "gdn", false, 0)); }
CASE(igdn) { return swg_square(g, swg_gdn(g, A, "gdn", true, -1)); }
/* attention: log-sums get a gradient of their own, masks are learned ones */
CASE(attention) { return swg_square(g, swg_attention(g, A, B, p[2], SWG_NONE, NULL)); }
CASE(attention_packed) {
    swg__attr attr = {.f = {.7}};
    return swg_square(g, swg__append(g, SWG__ATTENTION, SWG_F64, 4, (int64_t[]){1, 2, 3, 3}, 3, p, &attr));
}
CASE(attention_heads) { return swg_square(g, swg_attention(g, A, B, B, SWG_NONE, &(swg_attention_opts){.heads = 2, .scale = .8})); }
CASE(attention_mask) { return swg_square(g, swg_attention(g, A, A, B, p[2], NULL)); }
CASE(multihead_self) {
    swg_value mask = swg_reshape(g, p[1], 4, (int64_t[]){1, 2, 3, 3});
    return swg_square(g, swg_multihead_attention(g, A, SWG_NONE, 2, &(swg_multihead_opts){.mask = mask}, "self"));
}
CASE(multihead_cross) { return swg_square(g, swg_multihead_attention(g, A, B, 2, NULL, "cross")); }
/* short-time Fourier transform */
CASE(stft) { return swg_square(g, swg_stft(g, A, &(swg_stft_opts){.n = 8, .hop = 3, .window = 6})); }
CASE(stft_odd) { return swg_square(g, swg_stft(g, A, &(swg_stft_opts){.n = 9, .hop = 2})); }
CASE(istft) { return swg_square(g, swg_istft(g, A, 0, &(swg_stft_opts){.n = 6, .hop = 2})); }
CASE(istft_cut) { return swg_square(g, swg_istft(g, A, 7, &(swg_stft_opts){.n = 7, .hop = 2})); }
CASE(mrstft) { return swg_loss_mrstft(g, A, B, (swg_stft_opts[]){{8, 3, 6}, {5, 2, 5}}, 2); }
/* splines; knots are numbers, here from a parameter's shape only */
static swg_value some_knots(swg_graph *g, int64_t count) {
    swg_value all = swg_constant(g, -1.5);
    for (int64_t i = 1; i < count; i++)
        all = swg_concat(g, (swg_value[]){all, swg_constant(g, -1.5 + .3 * (double)i + .01 * (double)(i * i))}, 2, 0);
    return all;
}
CASE(spline) { return swg_square(g, swg_spline_basis(g, A, NULL)); }
CASE(spline_planes) { return swg_square(g, swg_spline_basis(g, A, &(swg_spline_opts){.silu = true, .planes = true})); }
CASE(kan_linear) { return swg_square(g, swg_kan_linear(g, A, 2, &(swg_kan_opts){.intervals = 3, .order = 2}, "kan")); }
CASE(kan_conv) {
    return swg_square(g, swg_kan_conv(g, A, 2, 3, &(swg_kan_opts){.intervals = 3, .order = 2, .scaler = SWG_KAN_CHANNEL, .conv_then_silu = true},
                                      &(swg_conv_opts){.padding = {1, 2}, .stride = {1, 2}}, "kan"));
}
CASE(spline_2) { return swg_square(g, swg_spline_basis(g, A, &(swg_spline_opts){.intervals = 3, .order = 2, .low = -.7, .high = .8})); }
CASE(spline_5) { return swg_square(g, swg_spline_basis(g, A, &(swg_spline_opts){.order = 5})); }
CASE(spline_knots) { return swg_square(g, swg_spline_basis(g, A, &(swg_spline_opts){.knots = some_knots(g, 10)})); }

/* other knots for each of four columns */
CASE(spline_rows) {
    double knots[4 * 11];
    for (int i = 0; i < 4 * 11; i++)
        knots[i] = -1.7 + .1 * (i / 11) + (.3 + .02 * (i / 11)) * (i % 11) + .015 * (i % 3);
    return swg_square(g, swg_spline_basis(g, A, &(swg_spline_opts){.knots = swg_constant_array(g, 2, (int64_t[]){4, 11}, knots), .silu = true,
                                                                   .planes = true}));
}

static const grad_case cases[] = {
#define X(name, op) {#name, SWG__##op
    X(neg, NEG), {{3, 5}}, -1, 1, build_neg},
    X(abs, ABS), {{3, 5}}, -1, 1, build_abs},
    X(square, SQUARE), {{3, 5}}, -1, 1, build_square},
    X(sqrt, SQRT), {{3, 5}}, .2, 2, build_sqrt},
    X(rsqrt, RSQRT), {{3, 5}}, .2, 2, build_rsqrt},
    X(reciprocal, RECIP), {{3, 5}}, .3, 2, build_reciprocal},
    X(exp, EXP), {{3, 5}}, -1, 1, build_exp},
    X(log, LOG), {{3, 5}}, .2, 2, build_log},
    X(log1p, LOG1P), {{3, 5}}, -.5, 2, build_log1p},
    X(relu, RELU), {{3, 5}}, -1, 1, build_relu},
    X(gelu, GELU), {{3, 5}}, -3, 3, build_gelu},
    X(tanh, TANH), {{3, 5}}, -2, 2, build_tanh},
    X(sigmoid, SIGMOID), {{3, 5}}, -3, 3, build_sigmoid},
    X(softplus, SOFTPLUS), {{3, 5}}, -3, 3, build_softplus},
    X(affine, AFFINE), {{3, 5}}, -1, 1, build_affine},
    X(cast, CAST), {{3, 5}}, -1, 1, build_cast},
    X(clamp, CLAMP), {{3, 5}}, -1, 1, build_clamp},
    X(add, ADD), {{2, 3, 5}, {3, 1}}, -1, 1, build_add},
    X(sub, SUB), {{5}, {2, 3, 5}}, -1, 1, build_sub},
    X(mul, MUL), {{2, 3, 5}, {3, 1}}, -1, 1, build_mul},
    X(div, DIV), {{2, 1, 5}, {3, 1}}, .5, 2, build_div},
    X(max, MAX), {{2, 3, 5}, {5}}, -1, 1, build_max},
    X(min, MIN), {{2, 3, 5}, {5}}, -1, 1, build_min},
    X(gate, GATE), {{3, 5}, {3, 5}}, -1, 1, build_gate},
    X(where, WHERE), {{3, 5}, {3, 5}}, -1, 1, build_where},
    X(reshape, RESHAPE), {{2, 3, 4}}, -1, 1, build_reshape},
    X(permute, PERMUTE), {{2, 3, 4}}, -1, 1, build_permute},
    X(expand, EXPAND), {{3, 1}}, -1, 1, build_expand},
    X(slice, SLICE), {{3, 3, 4}}, -1, 1, build_slice},
    X(pad, PAD), {{3, 3, 2}}, -1, 1, build_pad},
    X(concat, CONCAT), {{2, 3, 2}, {2, 1, 2}}, -1, 1, build_concat},
    X(sum, SUM), {{2, 3, 4}}, -1, 1, build_sum},
    X(reduce_max, REDUCE_MAX), {{2, 3, 4}}, -1, 1, build_reduce_max},
    X(softmax, SOFTMAX), {{2, 3, 4}}, -1, 1, build_softmax},
    X(log_softmax, LOG_SOFTMAX), {{2, 3, 4}}, -1, 1, build_log_softmax},
    X(take_along, TAKE), {{7, 3}}, -1, 1, build_take_along},
    X(put_along, PUT), {{3, 7}}, -1, 1, build_put_along},
    X(matmul, MATMUL), {{3, 4}, {4, 5}}, -1, 1, build_matmul},
    X(conv, CONV), {{2, 4, 5, 6}, {6, 2, 3, 3}, {6}}, -1, 1, build_conv},
    X(conv_transpose, CONV_TRANSPOSE), {{2, 4, 3, 2}, {4, 3, 2, 3}, {6}}, -1, 1, build_conv_transpose},
    X(conv_weights, CONV_WEIGHTS), {{2, 7, 3}, {2, 4, 5}}, -1, 1, build_conv_weights},
    X(leaky_relu, LEAKY_RELU), {{3, 5}}, -1, 1, build_leaky_relu},
    X(elu, ELU), {{3, 5}}, -2, 1, build_elu},
    X(dropout, DROPOUT), {{5, 7}}, -1, 1, build_dropout},
    X(norm_stats, NORM_STATS), {{3, 2, 4}}, -1, 1, build_norm_stats},
    X(layer_norm, LAYER_NORM), {{3, 2, 5}, {2, 5}, {2, 5}}, -1, 1, build_layer_norm_given},
    X(norm_apply, NORM_APPLY), {{3, 2, 4}, {4}, {4}}, -1, 1, build_norm_last},
    X(gather, GATHER), {{2, 3, 2}}, -1, 1, build_gather},
    X(scatter, SCATTER), {{2, 5, 2}}, -1, 1, build_scatter},
    X(roll, ROLL), {{3, 2, 5}}, -1, 1, build_roll},
    X(resize, RESAMPLE), {{2, 2, 3, 4}}, -1, 1, build_resize},
    X(attention, ATTENTION), {{2, 2, 3, 4}, {2, 2, 5, 4}, {2, 2, 5, 3}}, -1, 1, build_attention},
    X(stft, STFT), {{2, 2, 17}}, -1, 1, build_stft},
    X(istft, ISTFT), {{1, 4, 4, 5}}, -1, 1, build_istft},
    X(spline, SPLINE), {{3, 7}}, -2.4, 2.4, build_spline},
#undef X
    {"gather per leading index", -1, {{2, 3, 2}}, -1, 1, build_gather_rows},
    {"window partition", -1, {{2, 4, 4, 2}}, -1, 1, build_windows},
    {"max pool", -1, {{2, 2, 4, 3}}, -1, 1, build_max_pool},
    {"adaptive max pool", -1, {{2, 7, 3}}, -1, 1, build_adaptive_max_pool},
    {"average pool", -1, {{2, 4, 3, 2}}, -1, 1, build_avg_pool},
    {"bce with logits", -1, {{3, 5}, {3, 5}}, -1, 1, build_bce},
    {"dice", -1, {{2, 3, 4}, {2, 3, 4}}, .1, 1, build_dice},
    {"cross entropy, soft", -1, {{2, 4, 3}, {2, 4, 3}, {4}}, .1, 1, build_ce_soft},
    {"cross entropy, classes last", -1, {{2, 3, 4}, {4}}, .1, 1, build_ce_class},
    {"gdn", -1, {{2, 3, 4}}, -1, 1, build_gdn},
    {"inverse gdn, channels last", -1, {{3, 4}}, -1, 1, build_igdn},
    {"resize, nearest", -1, {{2, 3, 4, 2}}, -1, 1, build_resize_nearest},
    {"spline planes with SiLU", -1, {{3, 5}}, -2.4, 2.4, build_spline_planes},
    {"KAN linear", -1, {{3, 4}}, -1.6, 1.6, build_kan_linear},
    {"KAN convolution", -1, {{1, 2, 4, 3}}, -1.6, 1.6, build_kan_conv},
    {"spline of order 2", -1, {{21}}, -1.6, 1.6, build_spline_2},
    {"spline of order 5", -1, {{13}}, -3, 3, build_spline_5},
    {"spline, knots given", -1, {{25}}, -1.6, 2, build_spline_knots},
    {"spline planes, knots of each column", -1, {{6, 4}}, -1.9, 2.1, build_spline_rows},
    {"stft of odd length, a short signal", -1, {{1, 1, 3}}, -1, 1, build_stft_odd},
    {"istft, cut", -1, {{1, 2, 4, 4}}, -1, 1, build_istft_cut},
    {"mrstft loss", -1, {{1, 2, 9}, {1, 2, 9}}, -1, 1, build_mrstft},
    {"attention, log-sums", -1, {{1, 2, 3, 4}, {1, 2, 5, 4}, {1, 2, 5, 2}}, -1, 1, build_attention_packed},
    {"attention, heads side by side", -1, {{2, 3, 6}, {2, 4, 6}}, -1, 1, build_attention_heads},
    {"attention, mask", -1, {{2, 2, 3, 4}, {2, 2, 3, 2}, {2, 2, 3, 3}}, -1, 1, build_attention_mask},
    {"attention, shared mask", -1, {{2, 2, 3, 4}, {2, 2, 3, 2}, {1, 1, 1, 3}}, -1, 1, build_attention_mask},
    {"multi-head self-attention", -1, {{2, 3, 4}, {2, 9}}, -1, 1, build_multihead_self},
    {"multi-head cross-attention", -1, {{2, 3, 4}, {2, 4, 6}}, -1, 1, build_multihead_cross},
    {"norm over the first axis", -1, {{5, 3}}, -1, 1, build_norm_first},
    {"norm over first and last", -1, {{4, 3, 2}, {3}, {3}}, -1, 1, build_norm_outer},
    {"norm over the middle", -1, {{2, 4, 3}, {3}, {3}}, -1, 1, build_norm_middle},
    {"norm over split axes", -1, {{2, 3, 2, 3}, {3}}, -1, 1, build_norm_odd},
    {"norm, statistics given", -1, {{3, 4}, {3, 1}, {4}}, .3, 1, build_norm_by_itself},
    {"batch norm", -1, {{3, 2, 2, 2}}, -1, 1, build_batch_norm},
    {"instance norm, channels last", -1, {{2, 4, 3}}, -1, 1, build_instance_norm},
    {"group norm", -1, {{2, 4, 3}}, -1, 1, build_group_norm},
    {"group norm, channels last", -1, {{2, 3, 4}}, -1, 1, build_group_norm_last},
    {"layer norm without weights", -1, {{3, 2, 5}}, -1, 1, build_layer_norm_plain},
    {"layer norm without bias", -1, {{3, 2, 5}, {5}}, -1, 1, build_layer_norm_weight},
    {"layer norm over all", -1, {{3, 4}}, -1, 1, build_layer_norm_all},
    {"layer norm over two axes", -1, {{3, 2, 3}}, -1, 1, build_layer_norm},
    {"elu, alpha 1", -1, {{3, 5}}, -2, 1, build_elu_one},
    {"elu, alpha -0.7", -1, {{3, 5}}, -2, 1, build_elu_below},
    {"gelu_tanh", -1, {{3, 5}}, -3, 3, build_gelu_tanh},
    {"hard_swish", -1, {{3, 5}}, -4, 4, build_hard_swish},
    {"drop path", -1, {{6, 3}}, -1, 1, build_drop_path},
    {"drop channels", -1, {{3, 4, 5}}, -1, 1, build_drop_channels},
    {"ssim loss", -1, {{1, 2, 11, 12}, {1, 2, 11, 12}}, 0, 1, build_ssim},
    {"bam", -1, {{3, 4, 3, 2}}, -1, 1, build_bam},
    {"bam, frozen", -1, {{1, 3, 4, 2}}, -1, 1, build_bam_frozen},
    {"eca", -1, {{2, 6, 3}}, -1, 1, build_eca},
    {"silu", -1, {{3, 5}}, -3, 3, build_silu},
    {"sum over split axes", -1, {{2, 3, 4}}, -1, 1, build_sum_split},
    {"mean of all", -1, {{2, 3, 4}}, -1, 1, build_mean_all},
    {"matmul a b^T", -1, {{3, 4}, {5, 4}}, -1, 1, build_matmul_nt},
    {"matmul a^T b", -1, {{4, 3}, {4, 5}}, -1, 1, build_matmul_tn},
    {"matmul a^T b^T", -1, {{4, 3}, {5, 4}}, -1, 1, build_matmul_tt},
    {"matmul batched", -1, {{2, 3, 4}, {2, 5, 4}}, -1, 1, build_matmul_batched},
    {"matmul shared b", -1, {{2, 3, 4}, {4, 5}}, -1, 1, build_matmul_shared},
    {"linear, relu", -1, {{3, 4}, {5, 4}, {5}}, -1, 1, build_linear_relu},
    {"conv in three dimensions", -1, {{2, 2, 6, 4}, {3, 2, 2, 3}, {3, 8}}, -1, 1, build_conv3},
    {"conv channels-last", -1, {{2, 5, 3}, {4, 3, 3}, {4}}, -1, 1, build_conv1_last},
    {"mse", -1, {{3, 5}, {3, 5}}, -1, 1, build_mse},
    {"mae", -1, {{3, 5}, {3, 5}}, -1, 1, build_mae},
    {"huber", -1, {{3, 5}, {3, 5}}, -1, 1, build_huber},
    {"logcosh", -1, {{3, 5}, {3, 5}}, -1, 1, build_logcosh},
    {"relative", -1, {{3, 5}}, .3, 1, build_relative},
    {"log loss", -1, {{3, 5}, {3, 5}}, -1, 1, build_log_loss},
    {"sliced-Wasserstein", -1, {{9, 4}}, -1, 1, build_sliced_wasserstein},
};

/* The weighted sum of a case's result, so that every element has a gradient of its own. */
static swg_value scalar_of(swg_graph *g, const grad_case *c, swg_value *params, int *count) {
    static const char *const names[MOST] = {"a", "b", "c"};
    *count = 0;
    for (int i = 0; i < MOST && c->shape[i][0]; i++) {
        int64_t shape[4];
        int ndim = 0;
        for (; ndim < 4 && c->shape[i][ndim]; ndim++)
            shape[ndim] = c->shape[i][ndim];
        params[i] = swg_param(g, names[i], ndim, shape, (swg_init){.bound = 1});
        (*count)++;
    }
    swg_value y = c->build(g, params);
    swg_value weight = swg_random_uniform(g, "weight", swg_ndim(g, y), swg_shape(g, y));
    return swg_reshape(g, swg_sum(g, swg_mul(g, y, weight), 0), 1, (int64_t[]){1});
}

static void check(swg_context *ctx, const grad_case *c, bool no_fusion) {
    swg_graph *g;
    swg_value params[MOST], grads[MOST], outputs[MOST + 1];
    int count;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = SWG_F64}, &g));
    outputs[0] = scalar_of(g, c, params, &count);
    assert_ok(ctx, swg_graph_status(g));
    swg_status status = swg_gradients(g, outputs[0], params, count, grads);
    if (status != SWG_OK)
        fail_msg("%s: %s", c->name, swg_context_message(ctx));
    for (int i = 0; i < count; i++)
        outputs[i + 1] = grads[i];
    swg_plan *plan, *forward;
    swg_weights *weights;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = count + 1, .no_fusion = no_fusion}, &plan));
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 1, .no_fusion = no_fusion}, &forward));
    assert_ok(ctx, swg_weights_create(g, false, &weights));
    swg_weights_init(weights, 7);
    for (int i = 0; i < count; i++) {
        double *w = swg_weights_value(weights, i);
        for (int64_t e = 0; e < swg_elements(g, params[i]); e++)
            w[e] = c->low + (c->high - c->low) * .5 * (w[e] + 1);
    }
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    assert_ok(ctx, swg_plan_open(forward, weights, NULL));
    assert_ok(ctx, swg_plan_run(plan, 3, 5));
    for (int i = 0; i < count; i++) {
        double *w = swg_weights_value(weights, i);
        const double *gradient = swg_plan_data(plan, grads[i]), h = 1e-6;
        for (int64_t e = 0; e < swg_elements(g, params[i]); e++) {
            double kept = w[e], side[2];
            for (int s = 0; s < 2; s++) {
                w[e] = kept + (s ? -h : h);
                assert_ok(ctx, swg_plan_run(forward, 3, 5));
                side[s] = *(double *)swg_plan_data(forward, outputs[0]);
            }
            w[e] = kept;
            double numeric = (side[0] - side[1]) / (2 * h);
            if (!(fabs(gradient[e] - numeric) <= 1e-8 + 1e-6 * fabs(numeric)))
                fail_msg("%s: d loss / d %s[%lld] = %.12g, central difference %.12g", c->name, swg_weights_name(weights, i),
                         (long long)e, gradient[e], numeric);
        }
    }
    swg_plan_destroy(plan);
    swg_plan_destroy(forward);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
}

static void central_difference(void **state) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check(*state, &cases[i], true);
        check(*state, &cases[i], false);
    }
}

/* No rule without a check: every op whose row in op.def names a rule other than zero and none has a case. */
static void every_rule_is_checked(void **state) {
    (void)state;
    static const struct { const char *text, *rule; } table[] = {
#define OP(id, text, class, inputs, gradient, kernel, reference, bf16) [SWG__##id] = {text, #gradient},
#include "ir/op.def"
#undef OP
    };
    for (int op = 0; op < SWG__OP_COUNT; op++) {
        if (strcmp(table[op].rule, "zero") == 0 || strcmp(table[op].rule, "none") == 0)
            continue;
        bool found = false;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0] && !found; i++)
            found = cases[i].op == op;
        if (!found)
            fail_msg("op %s has gradient rule %s but no case here", table[op].text, table[op].rule);
    }
}

static void refused(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value w = swg_param(g, "w", 2, (int64_t[]){3, 4}, (swg_init){.bound = 1}), gradient;
    swg_scope_push(g, "encoder");
    swg_scope_push(g, "block2");
    swg_value odd = swg__ew(g, SWG__DGELU, 0, 0, 1, w, 0, 0);
    swg_scope_pop(g);
    swg_scope_pop(g);
    swg_value loss = swg_sum(g, odd, 0);
    assert_int_equal(swg_gradients(g, loss, &w, 1, &gradient), SWG_EGRAD);
    assert_non_null(strstr(swg_context_message(ctx), "encoder/block2"));
    assert_non_null(strstr(swg_context_message(ctx), "dgelu"));
    swg_graph_destroy(g);
    /* A parameter that does not reach the loss is a mistake, not a zero. */
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    w = swg_param(g, "used", 1, (int64_t[]){3}, (swg_init){.bound = 1});
    swg_value lone = swg_param(g, "lone", 1, (int64_t[]){3}, (swg_init){.bound = 1});
    loss = swg_sum(g, swg_square(g, w), 0);
    assert_int_equal(swg_gradients(g, loss, &lone, 1, &gradient), SWG_EGRAD);
    assert_non_null(strstr(swg_context_message(ctx), "lone"));
    swg_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(central_difference, testing_open, testing_close),
        cmocka_unit_test(every_rule_is_checked),
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
