/* test_kernel.c - proves: every f32 kernel, on every instruction set of this machine and at odd sizes, agrees with the f64
 * reference (ref.c) of the same graph and has the same bits on any number of threads; random numbers have the same bits on every instruction set.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <math.h>
#include "plan/plan.h"
#include "swage/nn.h"
#include "swage/quantise.h"
#include "swage/plan.h"

typedef struct kernel_case {
    const char *name;
    int64_t shape[3][4];    /* inputs; an empty first extent ends */
    double low, high;       /* inputs lie in between */
    double relative;        /* tolerance, of the value and of the largest value of the result times 1e-7 */
    swg_value (*build)(swg_graph *g, const swg_value *in);
} kernel_case;

#define CASE(name, expr) \
    static swg_value build_##name(swg_graph *g, const swg_value *in) { return (expr); }
#define A in[0]
#define B in[1]
#define C in[2]
CASE(exp, swg_exp(g, A))
CASE(log, swg_log(g, A))
CASE(log1p, swg_log1p(g, A))
CASE(gelu, swg_gelu(g, A))
CASE(dgelu, swg__ew(g, SWG__DGELU, 0, 0, 1, A, 0, 0))
CASE(tanh, swg_tanh(g, A))
CASE(sigmoid, swg_sigmoid(g, A))
CASE(softplus, swg_softplus(g, A))
CASE(sqrt, swg_sqrt(g, A))
CASE(rsqrt, swg_rsqrt(g, A))
CASE(recip, swg_reciprocal(g, A))
CASE(simple, swg_add(g, swg_abs(g, swg_detach(g, swg_neg(g, A))), swg_mul(g, swg_sign(g, A), swg_square(g, swg_clamp(g, A, -.5, .75)))))
CASE(inside, swg__ew(g, SWG__INSIDE, -.5, .5, 1, A, 0, 0))
/* The second is of ties. */
CASE(round, swg_add(g, swg_round(g, A), swg_round(g, swg_affine(g, swg_round(g, A), .5, 0))))
CASE(narrow, swg__ew(g, SWG__NARROW, 0, 0, 1, A, 0, 0))
CASE(equal, swg__ew(g, SWG__EQUAL, 0, 0, 2, A, swg_relu(g, A), 0))
CASE(binary, swg_div(g, swg_sub(g, swg_max(g, A, B), swg_mul(g, A, B)), swg_affine(g, swg_min(g, A, B), 1, 4)))
CASE(where, swg_where(g, swg_greater(g, A, B), A, swg_affine(g, B, -2, 1)))
CASE(gate, swg__ew(g, SWG__GATE, 0, 0, 2, A, B, 0))
CASE(matmul_nn, swg__matmul(g, A, B, false, false))
CASE(matmul_nt, swg__matmul(g, A, B, false, true))
CASE(matmul_tn, swg__matmul(g, A, B, true, false))
CASE(matmul_tt, swg__matmul(g, A, B, true, true))
CASE(linear, swg_relu(g, swg_add(g, swg__matmul(g, A, B, false, true), C)))
CASE(gated, swg__ew(g, SWG__GATE, 0, 0, 2, swg__matmul(g, A, B, false, false), C, 0))
CASE(chain, swg_gelu(g, swg__matmul(g, swg_gelu(g, swg__matmul(g, A, B, false, true)), B, false, false)))
CASE(conv1, swg_relu(g, swg_convolution(g, A, B, C, &(swg_conv_opts){.padding = {2}, .dilation = {2}})))
CASE(conv2, swg_convolution(g, A, B, SWG_NONE, &(swg_conv_opts){.stride = {1, 2}, .padding = {1, 1}, .groups = 2}))
CASE(conv_weights, swg__append(g, SWG__CONV_WEIGHTS, g->dtype, 3, (int64_t[]){35, 7, 3}, 2, in,
        &(swg__attr){.stride = {1, 1, 2}, .dilation = {1, 1, 1}, .before = {0, 0, 1}, .groups = 1}))
CASE(deconv2, swg_convolution_transpose(g, A, B, C, &(swg_conv_opts){.stride = {2, 2}, .padding = {1, 1}, .output_padding = {1, 0}}))
CASE(sum_all, swg_sum(g, A, 0))
CASE(sum_rows, swg_mean(g, A, 2))
CASE(sum_columns, swg_sum(g, A, 1))
CASE(sum_middle, swg_sum(g, A, 2))
CASE(max_middle, swg_reduce_max(g, A, 2))
CASE(max_rows, swg_reduce_max(g, A, 4))
CASE(softmax, swg_softmax(g, A))
CASE(log_softmax, swg_log_softmax(g, A))
CASE(moves, swg_concat(g, (swg_value[]){swg_permute(g, swg_pad(g, A, (int64_t[]){1, 0, 2}, (int64_t[]){0, 1, 3}), (int[]){2, 0, 1}),
        swg_expand(g, swg_slice(g, swg_permute(g, A, (int[]){2, 0, 1}), (int64_t[]){1, 1, 0}, (int64_t[]){1, 1, 1}), 3,
                   (int64_t[]){swg_shape(g, A)[2] + 5, swg_shape(g, A)[0] + 1, swg_shape(g, A)[1] + 1})}, 2, 1))
CASE(turn, swg_permute(g, swg_permute(g, A, (int[]){0, 2, 3, 1}), (int[]){3, 0, 2, 1}))
CASE(sort, swg_sort(g, A, 0))
CASE(put, swg__put_along(g, A, swg_argsort(g, A, 0), 0))
CASE(sort_last, swg_sort(g, A, 1))
CASE(normal, swg_add(g, swg_random_normal(g, "n", 1, swg_shape(g, A)), A))
CASE(uniform, swg_add(g, swg_random_uniform(g, "u", 1, swg_shape(g, A)), A))
/* activations, dropout */
CASE(cast, swg_mul(g, swg_cast(g, swg_affine(g, swg_cast(g, A, SWG_BF16), 2, 0), SWG_BF16), B))
CASE(leaky_relu, swg_leaky_relu(g, A, .1))
CASE(elu, swg_elu(g, A, 1.25))
CASE(gelu_tanh, swg_gelu_tanh(g, A))
CASE(hard_swish, swg_hard_swish(g, A))
CASE(dropout, swg_dropout(g, A, .3, "drop"))
CASE(dropout_panels, swg_gelu(g, swg_dropout(g, swg_gelu(g, swg__matmul(g, A, B, false, true)), .3, "drop")))
/* 8-bit codes: what they stand for; and products of them, which unfused are products of that */
static swg_value coded(swg_graph *g, const swg_value *in, bool turned, bool relu) {
    swg_value rows = swg_quantise_dequantise(g, in[0], SWG_CODE_U8, SWG_CODE_ROWS), w = swg_quantise_dequantise(g, in[1], SWG_CODE_S8, turned ? 0 : 1);
    swg_value y = swg__matmul(g, rows, w, false, turned);
    y = in[2] ? swg_add(g, y, in[2]) : y;
    return relu ? swg_relu(g, y) : y;
}
CASE(codes_u8, swg_quantise_dequantise(g, A, SWG_CODE_U8, SWG_CODE_ROWS))
CASE(codes_s8, swg_quantise_dequantise(g, A, SWG_CODE_S8, 1))
CASE(codes_e4m3, swg_quantise_dequantise(g, A, SWG_CODE_E4M3, 0))
CASE(codes_e5m2, swg_quantise_dequantise(g, A, SWG_CODE_E5M2, 2))
CASE(int8_nt, coded(g, in, true, true))
CASE(int8_nn, coded(g, in, false, false))
CASE(int8_chain, coded(g, (swg_value[]){coded(g, in, true, true), B, 0}, false, false))
static swg_value coded_conv(swg_graph *g, const swg_value *in, bool transposed, const swg_conv_opts *opts) { /* channels last, as plans have them */
    swg_conv_opts last = *opts;
    last.channels_last = true;
    swg_value x = swg_quantise_dequantise(g, in[0], SWG_CODE_U8, 0), w = swg_quantise_dequantise(g, in[1], SWG_CODE_S8, transposed);
    return (transposed ? swg_convolution_transpose : swg_convolution)(g, x, w, in[2], &last);
}
CASE(int8_conv, swg_relu(g, coded_conv(g, in, false, &(swg_conv_opts){.padding = {1, 1}})))
CASE(int8_conv_stride, coded_conv(g, in, false, &(swg_conv_opts){.stride = {2, 1}, .padding = {2, 1}, .dilation = {1, 2}, .groups = 2}))
CASE(int8_deconv, coded_conv(g, in, true, &(swg_conv_opts){.stride = {2, 2}, .padding = {1, 1}, .output_padding = {1, 0}}))
/* normalisation: moments one above the other, forward, and the sums of the gradients with respect to gamma, mean and rstd */
static swg_value moments_of(swg_graph *g, swg_value x, uint32_t axes) {
    swg_moments m = swg_norm_moments(g, x, axes);
    return swg_concat(g, (swg_value[]){m.mean, m.variance}, 2, 0);
}
static swg_value normed(swg_graph *g, swg_value x, uint32_t axes, swg_value gamma) {
    swg_moments m = swg_norm_moments(g, x, axes);
    return swg_relu(g, swg_norm_apply(g, x, m.mean, swg_rsqrt(g, swg_affine(g, m.variance, 1, 1e-5)), gamma, gamma));
}
static swg_value sums_of(swg_graph *g, const swg_value *in, uint32_t axes, uint32_t stat_axes, bool weighted) {
    swg_moments m = swg_norm_moments(g, in[1], stat_axes);
    swg_value rstd = swg_rsqrt(g, swg_affine(g, m.variance, 1, 1e-5));
    return swg__norm_sums(g, (swg_value[]){in[0], in[1], m.mean, rstd, in[2]}, weighted ? 5 : 4, axes, axes != stat_axes);
}
CASE(moments_rows, moments_of(g, A, 4))
CASE(moments_columns, moments_of(g, A, 2))
CASE(moments_outer, moments_of(g, A, 5))
CASE(moments_far, moments_of(g, swg_affine(g, A, 1, 1000), 5))
CASE(norm_rows, normed(g, A, 4, B))
CASE(norm_columns, normed(g, A, 3, B))
CASE(norm_outer, normed(g, A, 5, swg_reshape(g, B, 3, (int64_t[]){1, -1, 1})))
CASE(sums_rows, sums_of(g, in, 4, 4, true))
CASE(sums_columns, sums_of(g, in, 2, 2, false))
CASE(sums_outer, sums_of(g, in, 5, 5, false))
CASE(sums_by_row, sums_of(g, in, 3, 4, false))
/* rows of a, then dx, dgamma and dbeta */
static swg_value layer_normed(swg_graph *g, const swg_value *in, int dims) {
    const swg_value of[3] = {in[0], in[1], in[2]};
    int count = in[2] ? 3 : in[1] ? 2 : 1;
    swg_value y = swg__layer_norm(g, in[0], in[1], in[2], dims, 1e-5), parts[4] = {swg_reshape(g, y, 1, (int64_t[]){-1})};
    if (swg_gradients(g, swg_sum(g, swg_mul(g, y, swg_affine(g, y, .5, 1)), 0), of, count, parts + 1) != SWG_OK)
        return SWG_NONE;
    for (int i = 0; i < count; i++)
        parts[1 + i] = swg_reshape(g, parts[1 + i], 1, (int64_t[]){-1});
    return swg_concat(g, parts, 1 + count, 0);
}
CASE(layer_norm_1, layer_normed(g, in, 1))
CASE(layer_norm_2, layer_normed(g, in, 2))
CASE(layer_norm_far, swg__layer_norm(g, swg_affine(g, A, 1, 32), B, C, 1, 1e-5))
CASE(layer_norm_panels, swg_gelu(g, swg__matmul(g, swg__layer_norm(g, swg__matmul(g, A, B, false, true), SWG_NONE, SWG_NONE, 1, 1e-5), B, false, false)))
/* gather, roll, pooling, resize, and the transposed maps of their gradients */
static swg_value with_gradient(swg_graph *g, swg_value x, swg_value y) { /* sums of squares of y, and the gradient, below each other */
    swg_value loss = swg_sum(g, swg_square(g, y), 0), dx = SWG_NONE;
    if (swg_gradients(g, loss, &x, 1, &dx) != SWG_OK)
        return SWG_NONE;
    swg_value parts[2] = {swg_reshape(g, y, 1, (int64_t[]){-1}), swg_reshape(g, dx, 1, (int64_t[]){-1})};
    return swg_concat(g, parts, 2, 0);
}
static swg_value sorted_gather(swg_graph *g, swg_value x, swg_value noise) { /* the first 20 of a permutation per sample, as in MAE */
    swg_value order = swg_argsort(g, noise, 1);
    return with_gradient(g, x, swg_gather(g, x, swg_slice(g, order, (int64_t[]){0, 0}, (int64_t[]){swg_shape(g, order)[0], 20}), 1));
}
CASE(gather, sorted_gather(g, A, B))
CASE(roll, swg_roll(g, A, (int64_t[]){2, -3, 70, 1}))
CASE(max_pool, with_gradient(g, A, swg_max_pool(g, A, &(swg_pool_opts){.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 1}})))
CASE(max_pool_last, with_gradient(g, A, swg_max_pool(g, A, &(swg_pool_opts){.kernel = {3, 2}, .channels_last = true})))
CASE(avg_pool, with_gradient(g, A, swg_avg_pool(g, A, &(swg_pool_opts){.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 1}, .exclude_padding = true})))
CASE(avg_pool_last, with_gradient(g, A, swg_avg_pool(g, A, &(swg_pool_opts){.kernel = {3, 2}, .channels_last = true})))
CASE(resize, with_gradient(g, A, swg_resize(g, A, (int64_t[]){13, 5}, NULL)))
CASE(resize_last, with_gradient(g, A, swg_resize(g, A, (int64_t[]){13, 5}, &(swg_resize_opts){.channels_last = true, .align_corners = true})))
CASE(adaptive_last, with_gradient(g, A, swg_adaptive_avg_pool(g, A, (int64_t[]){3, 4}, true)))
/* attention: result and log-sums, gradients of q, k, v of all, and of a mask. a: (2, n, 3 d), b: (2, m, 3 d), c: the mask */
static swg_value attended(swg_graph *g, const swg_value *in, int64_t heads) {
    swg_value v = swg_affine(g, in[1], -1.5, .1), mask = in[2] ? in[2] : SWG_NONE;
    return swg_attention(g, in[0], in[1], v, mask, &(swg_attention_opts){.heads = heads});
}
static swg_value attention_slopes(swg_graph *g, const swg_value *in, int64_t heads, int which) {
    swg_value y = attended(g, in, heads), grads[3];
    swg_value loss = swg_sum(g, swg_mul(g, y, swg_affine(g, y, .5, 1)), 0);
    return swg_gradients(g, loss, in, which + 1, grads) == SWG_OK ? grads[which] : SWG_NONE;
}
CASE(attention, attended(g, in, 3))
CASE(attention_4d, attended(g, in, 0))
CASE(attention_dq, attention_slopes(g, in, 3, 0))
CASE(attention_dk, attention_slopes(g, in, 3, 1))
CASE(attention_dk_4d, attention_slopes(g, in, 0, 1))
CASE(attention_dmask, attention_slopes(g, in, 3, 2))
/* short-time Fourier transform, and the gradient of each */
CASE(stft, swg_stft(g, A, &(swg_stft_opts){.n = 64, .hop = 16}))
CASE(stft_480, swg_stft(g, A, &(swg_stft_opts){.n = 480, .hop = 100, .window = 400}))
CASE(stft_odd, swg_stft(g, A, &(swg_stft_opts){.n = 77, .hop = 10}))
CASE(istft, swg_istft(g, A, 0, &(swg_stft_opts){.n = 64, .hop = 16}))
CASE(istft_odd, swg_istft(g, A, 201, &(swg_stft_opts){.n = 26, .hop = 5}))
static swg_value squares_slope(swg_graph *g, swg_value x, swg_value y) {
    swg_value slope = SWG_NONE;
    return swg_gradients(g, swg_sum(g, swg_square(g, y), 0), &x, 1, &slope) == SWG_OK ? slope : SWG_NONE;
}
CASE(stft_slope, squares_slope(g, A, swg_stft(g, A, &(swg_stft_opts){.n = 96, .hop = 30})))
CASE(istft_slope, squares_slope(g, A, swg_istft(g, A, 0, &(swg_stft_opts){.n = 64, .hop = 16})))
/* splines and their slopes; given knots are b, sorted */
static swg_value splines(swg_graph *g, const swg_value *in, int64_t order) {
    swg_spline_opts opts = {.intervals = 6, .order = order, .knots = in[1] ? swg_sort(g, in[1], 0) : SWG_NONE};
    return swg_spline_basis(g, in[0], &opts);
}
CASE(spline_1, splines(g, in, 1))
CASE(spline_2, splines(g, in, 2))
CASE(spline_3, splines(g, in, 3))
CASE(spline_4, splines(g, in, 4))
CASE(slopes_2, squares_slope(g, A, splines(g, in, 2)))
CASE(slopes_3, squares_slope(g, A, splines(g, in, 3)))
CASE(slopes_5, squares_slope(g, A, splines(g, in, 5)))

/* planes with SiLU, and the slopes through them */
static swg_value spline_planes(swg_graph *g, const swg_value *in, int64_t order) {
    swg_spline_opts opts = {.intervals = 5, .order = order, .silu = true, .planes = true};
    return with_gradient(g, in[0], swg_spline_basis(g, in[0], &opts));
}
CASE(planes_1, spline_planes(g, in, 1))
CASE(planes_2, spline_planes(g, in, 2))
CASE(planes_3, spline_planes(g, in, 3))
CASE(planes_4, spline_planes(g, in, 4))

/* the same on knots of each column, (columns, knots): b moves them a little */
static swg_value spline_knots(swg_graph *g, const swg_value *in, int64_t order, bool planes) {
    double ramp[16];
    int64_t knots = swg_shape(g, in[1])[1];
    for (int64_t i = 0; i < knots; i++)
        ramp[i] = -2 + .36 * (double)i;
    swg_spline_opts opts = {.order = order, .silu = planes, .planes = planes};
    opts.knots = swg_add(g, swg_affine(g, in[1], .06, 0), swg_constant_array(g, 1, &knots, ramp));
    return with_gradient(g, in[0], swg_spline_basis(g, in[0], &opts));
}
CASE(knots_1, spline_knots(g, in, 1, true))
CASE(knots_2, spline_knots(g, in, 2, true))
CASE(knots_3, spline_knots(g, in, 3, true))
CASE(knots_4, spline_knots(g, in, 4, true))
CASE(knots_last, spline_knots(g, in, 3, false))

static const kernel_case cases[] = {
    {"exp", {{1003}}, -87, 88, 4e-7, build_exp},
    {"log", {{1003}}, 1e-30, 3, 4e-7, build_log},
    {"log1p", {{1003}}, -.99, 5, 6e-7, build_log1p},
    {"gelu", {{4003}}, -9, 9, 2e-6, build_gelu},
    {"dgelu", {{4003}}, -6, 6, 4e-6, build_dgelu},
    {"tanh", {{1003}}, -6, 6, 5e-7, build_tanh},
    {"sigmoid", {{1003}}, -20, 20, 6e-7, build_sigmoid},
    {"softplus", {{1003}}, -20, 20, 8e-7, build_softplus},
    {"sqrt", {{97}}, 0, 5, 2e-7, build_sqrt},
    {"rsqrt", {{97}}, .01, 5, 3e-7, build_rsqrt},
    {"reciprocal", {{97}}, .01, 5, 2e-7, build_recip},
    {"simple", {{3, 37}}, -1, 1, 3e-7, build_simple},
    {"inside", {{97}}, -1, 1, 0, build_inside},
    {"narrow", {{203}}, -9, 9, 0, build_narrow},
    {"round", {{203}}, -9, 9, 0, build_round},
    {"round_large", {{97}}, -8e6, 8e6, 0, build_round},
    {"equal", {{97}}, -1, 1, 0, build_equal},
    {"binary", {{3, 5, 37}, {5, 1}}, -1, 1, 1e-6, build_binary},
    {"binary, rows", {{70, 33}, {33}}, -1, 1, 1e-6, build_binary},
    {"binary, long inner", {{2, 1500}, {2, 1}}, -1, 1, 1e-6, build_binary},
    {"where", {{7, 1}, {1, 41}}, -1, 1, 3e-7, build_where},
    {"gate", {{64, 65}, {64, 65}}, -1, 1, 0, build_gate},
    {"matmul 1x1x1", {{1, 1}, {1, 1}}, -1, 1, 1e-6, build_matmul_nn},
    {"matmul 13x7x33", {{13, 7}, {7, 33}}, -1, 1, 2e-6, build_matmul_nn},
    {"matmul 256x125x512", {{256, 125}, {512, 125}}, -1, 1, 4e-6, build_matmul_nt},
    {"matmul 37x512x16", {{37, 512}, {16, 512}}, -1, 1, 8e-6, build_matmul_nt},
    {"matmul 50x16x31", {{50, 16}, {16, 31}}, -1, 1, 2e-6, build_matmul_nn},
    {"matmul tn 65x100x47", {{100, 65}, {100, 47}}, -1, 1, 4e-6, build_matmul_tn},
    {"matmul tn 100x600x47", {{600, 100}, {600, 47}}, -1, 1, 8e-6, build_matmul_tn},
    {"matmul tn 1x700x33", {{700, 1}, {700, 33}}, -1, 1, 8e-6, build_matmul_tn},
    {"matmul tt 61x700x70", {{700, 61}, {70, 700}}, -1, 1, 8e-6, build_matmul_tt},
    {"matmul tn 100x600x47, k in shares", {{600, 100}, {600, 47}}, -1, 1, 8e-6, build_matmul_tn},
    {"matmul tn 1x2700x33, k in shares", {{2700, 1}, {2700, 33}}, -1, 1, 2e-5, build_matmul_tn},
    {"matmul tn 97x530x64, k in shares", {{530, 97}, {530, 64}}, -1, 1, 8e-6, build_matmul_tn},
    {"matmul tt 19x40x70", {{40, 19}, {70, 40}}, -1, 1, 4e-6, build_matmul_tt},
    {"matmul batched 3x17x9x21", {{3, 17, 9}, {3, 9, 21}}, -1, 1, 2e-6, build_matmul_nn},
    {"matmul batched nt", {{3, 17, 9}, {3, 40, 9}}, -1, 1, 2e-6, build_matmul_nt},
    {"matmul batched tn", {{3, 9, 17}, {3, 9, 33}}, -1, 1, 2e-6, build_matmul_tn},
    {"linear 29x31x45", {{29, 31}, {45, 31}, {45}}, -1, 1, 2e-6, build_linear},
    {"linear 96x64x64", {{96, 64}, {64, 64}, {64}}, -1, 1, 2e-6, build_linear},
    {"gated 29x31x45", {{29, 31}, {31, 45}, {29, 45}}, -1, 1, 2e-6, build_gated},
    {"gated 48x32x64", {{48, 32}, {32, 64}, {48, 64}}, -1, 1, 2e-6, build_gated},
    {"codes u8", {{7, 5, 37}}, -1, 3, 2e-7, build_codes_u8},
    {"codes s8", {{7, 5, 37}}, -1, 3, 2e-7, build_codes_s8},
    {"codes e4m3", {{7, 5, 37}}, -1, 3, 2e-7, build_codes_e4m3},
    {"codes e5m2", {{7, 5, 37}}, -1, 3, 2e-7, build_codes_e5m2},
    {"int8 1x1x1", {{1, 1}, {1, 1}, {1}}, -1, 1, 1e-6, build_int8_nt},
    {"int8 64x125x512", {{64, 125}, {512, 125}, {512}}, -1, 1, 4e-6, build_int8_nt},
    {"int8 37x512x16", {{37, 512}, {16, 512}, {16}}, -1, 1, 8e-6, build_int8_nt},
    {"int8 2x70x131", {{2, 70}, {70, 131}, {131}}, -1, 1, 2e-6, build_int8_nn},
    {"int8 53x33x29", {{53, 33}, {33, 29}}, -1, 1, 2e-6, build_int8_nn},
    {"int8 conv, many channels", {{9, 5, 4, 32}, {40, 32, 3, 3}, {40}}, -1, 1, 8e-6, build_int8_conv},
    {"int8 conv, few channels", {{2, 9, 21, 3}, {5, 3, 3, 3}, {5}}, -1, 2, 8e-6, build_int8_conv},
    {"int8 conv, steps and groups", {{3, 7, 8, 6}, {10, 3, 3, 3}, {10}}, -1, 1, 8e-6, build_int8_conv_stride},
    {"int8 deconv", {{5, 3, 4, 16}, {16, 33, 3, 3}, {33}}, -1, 1, 8e-6, build_int8_deconv},
    {"int8 deconv, one result", {{17, 3, 4, 6}, {6, 1, 3, 3}, {1}}, -1, 1, 8e-6, build_int8_deconv},
    /* A code that falls to the other side makes a difference of a code. */
    {"int8 in row panels", {{101, 31}, {31, 31}}, -1, 1, 5e-2, build_int8_chain},
    {"chain in row panels", {{101, 31}, {45, 31}}, -1, 1, 8e-6, build_chain},
    {"conv 1-D", {{2, 5, 40}, {19, 5, 3}, {19}}, -1, 1, 2e-6, build_conv1},
    {"conv 2-D in groups", {{3, 6, 9, 14}, {34, 3, 3, 3}}, -1, 1, 2e-6, build_conv2},
    {"conv weights", {{2, 30, 7}, {2, 15, 35}}, -1, 1, 2e-6, build_conv_weights},
    {"conv transposed 2-D", {{2, 7, 5, 6}, {7, 33, 3, 4}, {33}}, -1, 1, 2e-6, build_deconv2},
    {"sum of all, 10007", {{10007}}, -1, 1, 2e-6, build_sum_all},
    {"sum of rows", {{23, 5003}}, -1, 1, 2e-6, build_sum_rows},
    {"sum of columns", {{301, 37}}, -1, 1, 4e-6, build_sum_columns},
    {"sum of columns, wide", {{19, 300}}, -1, 1, 2e-6, build_sum_columns},
    {"sum of the middle", {{3, 41, 35}}, -1, 1, 2e-6, build_sum_middle},
    {"max of the middle", {{3, 41, 35}}, -1, 1, 0, build_max_middle},
    {"max of rows", {{3, 4, 35}}, -1, 1, 0, build_max_rows},
    {"softmax", {{5, 7, 33}}, -9, 9, 2e-6, build_softmax},
    {"log_softmax", {{5, 7, 33}}, -9, 9, 2e-6, build_log_softmax},
    {"moves", {{3, 4, 5}}, -1, 1, 0, build_moves},
    {"moves, wide", {{3, 37, 40}}, -1, 1, 0, build_moves},
    {"channels to the end, and axes swapped", {{3, 37, 2, 5}}, -1, 1, 0, build_turn},
    {"channels to the end, 64 of 16", {{2, 64, 4, 4}}, -1, 1, 0, build_turn},
    {"sort 1", {{1, 9}}, -1, 1, 0, build_sort},
    {"sort 2", {{2, 9}}, -1, 1, 0, build_sort},
    {"sort 77", {{77, 13}}, -1, 1, 0, build_sort},
    {"sort 256", {{256, 50}}, -1, 1, 0, build_sort},
    {"sort 1500", {{1500, 3}}, -1, 1, 0, build_sort},
    {"sort last axis", {{4, 99}}, -1, 1, 0, build_sort_last},
    {"put along", {{77, 13}}, -1, 1, 0, build_put},
    {"normal", {{1021}}, 0, 0, 2e-6, build_normal},
    {"uniform", {{1021}}, 0, 0, 0, build_uniform},
    {"cast", {{7, 333}, {7, 1}}, -1, 1, 2e-2, build_cast},
    {"leaky_relu", {{97}}, -1, 1, 2e-7, build_leaky_relu},
    {"elu", {{4003}}, -20, 3, 4e-7, build_elu},
    {"elu near 0", {{997}}, -1e-4, 1e-4, 2e-7, build_elu},
    {"gelu_tanh", {{4003}}, -6, 6, 4e-6, build_gelu_tanh},
    {"hard_swish", {{997}}, -4, 4, 4e-7, build_hard_swish},
    {"dropout", {{7, 333}}, .5, 1, 2e-7, build_dropout},
    {"dropout, long rows", {{3, 20001}}, .5, 1, 2e-7, build_dropout},
    {"dropout in row panels", {{301, 31}, {45, 31}}, -1, 1, 8e-6, build_dropout_panels},
    {"moments of rows", {{3, 5, 777}}, -1, 2, 4e-7, build_moments_rows},
    {"moments of long rows", {{2, 1, 9001}}, -1, 2, 4e-7, build_moments_rows},
    {"moments of columns", {{3, 300, 37}}, -1, 2, 2e-6, build_moments_columns},
    {"moments of many rows", {{2, 4001, 33}}, -1, 2, 2e-6, build_moments_columns},
    {"moments of channels", {{5, 7, 125}}, -1, 2, 4e-7, build_moments_outer},
    {"moments far from 0", {{5, 7, 4100}}, -1, 1, 4e-7, build_moments_far},
    {"norm of rows", {{3, 5, 96}, {96}}, -1, 2, 3e-6, build_norm_rows},
    {"norm of columns", {{30, 7, 40}, {40}}, -1, 2, 3e-6, build_norm_columns},
    {"norm of channels last, 3 samples", {{3, 50, 7}, {7}}, -1, 2, 3e-6, build_norm_columns},
    {"binary, many short runs", {{3, 41, 5}, {5}}, -1, 1, 1e-6, build_binary},
    {"binary, short runs per sample", {{3, 41, 37}, {3, 1, 37}}, -1, 1, 1e-6, build_binary},
    {"binary, runs of one", {{33, 41, 1}, {33, 1, 1}}, -1, 1, 1e-6, build_binary},
    {"norm of channels", {{4, 6, 125}, {6}}, -1, 2, 3e-6, build_norm_outer},
    {"norm sums of rows", {{3, 5, 97}, {3, 5, 97}, {97}}, -1, 1, 3e-6, build_sums_rows},
    {"norm sums of columns", {{3, 2500, 37}, {3, 2500, 37}}, -1, 1, 8e-6, build_sums_columns},
    {"norm sums of channels", {{5, 7, 125}, {5, 7, 125}}, -1, 1, 3e-6, build_sums_outer},
    {"norm sums by row", {{30, 9, 70}, {30, 9, 70}}, -1, 1, 3e-6, build_sums_by_row},
    {"layer norm", {{301, 96}, {96}, {96}}, -1, 2, 4e-6, build_layer_norm_1},
    {"layer norm of odd rows", {{3, 5, 77}, {77}}, -1, 2, 4e-6, build_layer_norm_1},
    {"layer norm, no weights", {{70, 7}}, -1, 2, 1e-5, build_layer_norm_1},
    {"layer norm of long rows", {{3, 5, 9001}, {5, 9001}, {5, 9001}}, -1, 2, 8e-6, build_layer_norm_2},
    {"layer norm far from 0", {{30, 257}, {257}, {257}}, -1, 1, 3e-5, build_layer_norm_far},
    {"layer norm in row panels", {{101, 31}, {45, 31}}, -1, 1, 8e-6, build_layer_norm_panels},
    {"gather and scatter", {{3, 50, 9}, {3, 50}}, -1, 1, 0, build_gather},
    {"gather and scatter, wide", {{2, 50, 133}, {2, 50}}, -1, 1, 0, build_gather},
    {"roll", {{3, 4, 65, 5}}, -1, 1, 0, build_roll},
    {"max pool", {{2, 3, 17, 9}}, -1, 1, 4e-7, build_max_pool},
    {"max pool, channels last", {{2, 17, 9, 67}}, -1, 1, 4e-7, build_max_pool_last},
    {"average pool", {{2, 3, 17, 9}}, -1, 1, 1e-6, build_avg_pool},
    {"average pool, channels last", {{2, 17, 9, 67}}, -1, 1, 1e-6, build_avg_pool_last},
    {"resize", {{2, 3, 7, 9}}, -1, 1, 2e-6, build_resize},
    {"resize, channels last", {{2, 7, 9, 35}}, -1, 1, 2e-6, build_resize_last},
    {"adaptive average pool", {{2, 7, 9, 35}}, -1, 1, 2e-6, build_adaptive_last},
    {"stft", {{2, 2, 700}}, -1, 1, 2e-6, build_stft},
    {"stft of 480, window 400", {{1, 2, 1001}}, -1, 1, 2e-6, build_stft_480},
    {"stft of 77", {{1, 1, 400}}, -1, 1, 4e-6, build_stft_odd},
    {"istft", {{2, 4, 33, 37}}, -1, 1, 2e-6, build_istft},
    {"istft of 26, 201 samples", {{1, 2, 14, 39}}, -1, 1, 4e-6, build_istft_odd},
    {"stft, gradient", {{2, 1, 500}}, -1, 1, 4e-6, build_stft_slope},
    {"istft, gradient", {{1, 2, 33, 20}}, -1, 1, 4e-6, build_istft_slope},
    {"spline of order 1", {{7, 301}}, -2, 2, 4e-6, build_spline_1},
    {"spline of order 2", {{7, 301}}, -2, 2, 4e-6, build_spline_2},
    {"spline of order 3", {{7, 901}}, -2.5, 2.5, 4e-6, build_spline_3},
    {"spline of order 4", {{7, 301}}, -2.5, 2.5, 4e-6, build_spline_4},
    {"spline, knots given", {{7, 301}, {12}}, -1, 1, 4e-5, build_spline_3},
    {"spline slopes, order 2", {{7, 301}}, -2, 2, 8e-6, build_slopes_2},
    {"spline slopes, order 3", {{7, 301}}, -2, 2, 8e-6, build_slopes_3},
    {"spline slopes, order 5", {{7, 301}}, -2, 2, 2e-5, build_slopes_5},
    {"spline slopes, knots given", {{7, 301}, {12}}, -1, 1, 2e-4, build_slopes_3},
    {"spline planes of order 1", {{31, 37}}, -2.5, 2.5, 8e-6, build_planes_1},
    {"spline planes of order 2", {{31, 37}}, -2.5, 2.5, 8e-6, build_planes_2},
    {"spline planes of order 3", {{31, 64}}, -2.5, 2.5, 8e-6, build_planes_3},
    {"spline planes of order 3, narrow", {{31, 3}}, -2.5, 2.5, 8e-6, build_planes_3},
    {"spline planes of order 4", {{31, 5}}, -2.5, 2.5, 2e-5, build_planes_4},
    {"spline planes on knots, order 1", {{31, 37}, {37, 12}}, -2.5, 2.5, 8e-6, build_knots_1},
    {"spline planes on knots, order 2", {{31, 37}, {37, 9}}, -2.5, 2.5, 8e-6, build_knots_2},
    {"spline planes on knots, order 3", {{31, 64}, {64, 12}}, -2.5, 2.5, 8e-6, build_knots_3},
    {"spline planes on knots, narrow", {{31, 3}, {3, 8}}, -2.5, 2.5, 8e-6, build_knots_3},
    {"spline planes on knots, order 4", {{31, 5}, {5, 12}}, -2.5, 2.5, 2e-5, build_knots_4},
    {"spline on knots of each column", {{31, 7}, {7, 12}}, -2.5, 2.5, 8e-6, build_knots_last},
    {"attention of windows", {{2, 64, 48}, {2, 64, 48}, {2, 3, 64, 64}}, -2, 2, 4e-6, build_attention},
    {"attention 250x300", {{2, 250, 15}, {2, 300, 15}}, -2, 2, 4e-6, build_attention},
    {"attention, shared mask", {{2, 205, 39}, {2, 131, 39}, {1, 1, 1, 131}}, -2, 2, 4e-6, build_attention},
    {"attention of heads of 4", {{2, 250, 12}, {2, 300, 12}}, -2, 2, 4e-6, build_attention},
    {"attention of heads of 8, masked", {{2, 70, 24}, {2, 131, 24}, {1, 1, 1, 131}}, -2, 2, 4e-6, build_attention},
    {"attention of heads of 4, full mask", {{2, 70, 12}, {2, 65, 12}, {1, 3, 70, 65}}, -2, 2, 4e-6, build_attention},
    {"attention of heads of 4, dq", {{2, 100, 12}, {2, 131, 12}}, -2, 2, 8e-6, build_attention_dq},
    {"attention of one row", {{1, 2, 1, 70}, {1, 2, 1, 70}}, -2, 2, 4e-6, build_attention_4d},
    {"attention 33x129x33", {{3, 1, 33, 33}, {3, 1, 129, 33}, {3, 1, 1, 129}}, -2, 2, 4e-6, build_attention_4d},
    {"attention, dq", {{2, 100, 39}, {2, 131, 39}, {1, 3, 100, 131}}, -2, 2, 8e-6, build_attention_dq},
    {"attention, dk", {{2, 100, 39}, {2, 131, 39}}, -2, 2, 8e-6, build_attention_dk},
    {"attention, dk 4-D", {{2, 3, 49, 33}, {2, 3, 64, 33}}, -2, 2, 8e-6, build_attention_dk_4d},
    {"attention, mask", {{2, 100, 39}, {2, 131, 39}, {1, 3, 100, 131}}, -2, 2, 8e-6, build_attention_dmask},
    {"attention, mask of a row", {{2, 100, 39}, {2, 131, 39}, {2, 1, 1, 131}}, -2, 2, 8e-6, build_attention_dmask},
};

/* Inputs exact in f32, from a small generator of the test's own. */
static double value_at(const kernel_case *c, int input, int64_t i, bool narrow) {
    uint32_t h = (uint32_t)i * 2654435761u + (uint32_t)input * 40503u + 12345u;
    h ^= h >> 15;
    h *= 0x2c1b3c6du;
    h ^= h >> 12;
    float value = (float)(c->low + (c->high - c->low) * (double)(h >> 8) * 0x1p-24);
    return (double)(narrow ? swg__f32_of_bf16(swg__bf16_of(value)) : value);
}

static bool compared[SWG__OP_COUNT]; /* in f32, by some case */

/* What lies in bf16: nothing, the inputs, or all that the autocast list allows. */
typedef enum kept { WIDE, INPUTS, ALL } kept;

/* Runs a case; returns the result's elements as f64 in fresh memory. */
static double *result_of(swg_context *ctx, const kernel_case *c, swg_dtype dtype, bool no_fusion, kept narrow, int64_t *n) {
    swg_graph *g;
    swg_value in[3] = {0}, read[3] = {0}, y;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
    for (int i = 0; i < 3 && c->shape[i][0]; i++) {
        static const char *const names[] = {"a", "b", "c"};
        int ndim = 0;
        while (ndim < 4 && c->shape[i][ndim])
            ndim++;
        in[i] = swg_input(g, names[i], ndim, c->shape[i]);
        read[i] = narrow ? swg_cast(g, in[i], SWG_BF16) : in[i];
    }
    y = swg_cast(g, narrow == ALL ? swg_cast(g, c->build(g, read), SWG_BF16) : c->build(g, read), SWG_F32);
    swg_plan *plan;
    if (swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1, .no_fusion = no_fusion, .bf16 = narrow == ALL}, &plan) != SWG_OK)
        fail_msg("%s: %s", c->name, swg_context_message(ctx));
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    for (int i = 0; i < 3 && in[i]; i++)
        for (int64_t e = 0; e < swg_elements(g, in[i]); e++) {
            if (dtype == SWG_F64)
                ((double *)swg_plan_data(plan, in[i]))[e] = value_at(c, i, e, narrow);
            else
                ((float *)swg_plan_data(plan, in[i]))[e] = (float)value_at(c, i, e, narrow);
        }
    assert_ok(ctx, swg_plan_run(plan, 11, 2));
    for (int64_t v = 1; v < plan->g->count; v++)
        compared[plan->g->nodes[v].op] |= dtype == SWG_F32;
    *n = swg_elements(g, y);
    double *out = malloc((size_t)*n * sizeof *out);
    for (int64_t e = 0; e < *n; e++)
        out[e] = dtype == SWG_F64 ? ((double *)swg_plan_data(plan, y))[e] : (double)((float *)swg_plan_data(plan, y))[e];
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
    return out;
}

/* One case on one instruction set beside the reference. */
static void compare_one(const kernel_case *c, kept narrow, swg__isa isa, bool unfused, const double *truth, int64_t n) {
    /* Attention rounds its probabilities too; test_bf16 looks closer. */
    double relative = narrow == ALL || (narrow && strncmp(c->name, "attention", 9) == 0) ? .05 : c->relative, share = narrow == ALL ? .5 : .1; /* of the largest */
    double most = 0;
    int64_t m;
    swg_context *ctx;
    assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 2, .isa = swg__isa_name(isa)}, &ctx), SWG_OK);
    double *got = result_of(ctx, c, SWG_F32, unfused, narrow, &m);
    assert_int_equal(n, m);
    for (int64_t e = 0; e < n; e++)
        most = fmax(most, fabs(truth[e]));
    for (int64_t e = 0; e < n; e++)
        if (!(fabs(got[e] - truth[e]) <= relative * (fabs(truth[e]) + share * most)))
            fail_msg("%s, %s%s%s: element %lld is %.9g, reference %.17g", swg__isa_name(isa), c->name, unfused ? ", unfused" : "",
                     narrow == ALL ? ", all in bf16" : narrow ? ", bf16" : "", (long long)e, got[e], truth[e]);
    free(got);
    assert_int_equal(swg_context_bytes(ctx), 0);
    swg_context_close(ctx);
}

static void compare_all(kept narrow) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        swg_context *ctx;
        int64_t n;
        if (narrow == ALL && strstr(cases[i].name, "far"))
            continue; /* no digits are left there */
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 2}, &ctx), SWG_OK);
        double *truth = result_of(ctx, &cases[i], SWG_F64, true, narrow, &n);
        swg_context_close(ctx);
        for (int isa = 0; isa <= (int)swg__isa_best(); isa++)
            for (int unfused = 0; unfused < 2; unfused++)
                if (!TESTING_SLOW || narrow == WIDE || (isa + unfused + (int)i) % 2 == 0) /* each set with either, over the cases */
                    compare_one(&cases[i], narrow, (swg__isa)isa, unfused, truth, n);
        free(truth);
    }
}

/* Every case on one thread and on three: the same bits. */
static void threads_do_not_matter(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const kernel_case *c = &cases[i];
        double *got[2];
        int64_t n = 0;
        for (int k = 0; k < 2; k++) {
            swg_context *ctx;
            assert_int_equal(swg_context_open(&(swg_context_opts){.threads = k ? 3 : 1}, &ctx), SWG_OK);
            got[k] = result_of(ctx, c, SWG_F32, false, false, &n);
            swg_context_close(ctx);
        }
        if (memcmp(got[0], got[1], (size_t)n * sizeof **got) != 0)
            fail_msg("%s: three threads give other bits than one", c->name);
        free(got[0]);
        free(got[1]);
    }
}

static void against_reference(void **state) {
    (void)state;
    compare_all(WIDE);
}

/* The same from inputs that lie in bf16: kernels that read it round nothing, and what has no such kernel gets casts. */
static void from_bf16(void **state) {
    (void)state;
    compare_all(INPUTS);
}

/* Results in bf16 too, and what lies between. */
static void all_in_bf16(void **state) {
    (void)state;
    compare_all(ALL);
}

/* No kernel without a case; the update is compared in test_update and test_golden_ops, and plans read detached values through. */
static void every_operation_is_compared(void **state) {
    (void)state;
    static const struct { const char *text; bool computes; } table[] = {
#define OP(id, text, class, inputs, gradient, kernel, reference, bf16) [SWG__##id] = {text, SWG__##class != SWG__LEAF && SWG__##class != SWG__VIEW},
#include "ir/op.def"
#undef OP
    };
    for (int op = 0; op < SWG__OP_COUNT; op++)
        if (table[op].computes && swg__ops[op].class != SWG__OPTIM && op != SWG__DETACH && !compared[op])
            fail_msg("op %s has a kernel but no case here", table[op].text);
}

/* Single elements against libm, relative to the value itself: no hiding behind the largest. */
static void functions(void **state) {
    (void)state;
    static const struct { int op; double low, high, relative; } table[] = {
        {SWG__EXP, -87, 88, 3e-7}, {SWG__LOG, 1e-37, 1e30, 3e-7}, {SWG__TANH, -9, 9, 4e-7}, {SWG__SIGMOID, -80, 80, 4e-7},
        {SWG__SOFTPLUS, -60, 80, 8e-7}, {SWG__GELU, -12, 12, 4e-6}, {SWG__LOG1P, -.9, 1e6, 4e-7},
    };
    for (int isa = 0; isa <= (int)swg__isa_best(); isa++) {
        const swg__isa_table *t = swg__isa_table_of((swg__isa)isa);
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            enum { N = 20000 };
            static float x[N], y[N];
            for (int j = 0; j < N; j++)
                x[j] = (float)(table[i].low + (table[i].high - table[i].low) * j / (N - 1));
            t->ew[table[i].op](y, x, NULL, NULL, N, 0, 0);
            for (int j = 0; j < N; j++) {
                double a = (double)x[j], want = 0;
                switch (table[i].op) {
                case SWG__EXP: want = exp(a); break;
                case SWG__LOG: want = log(a); break;
                case SWG__TANH: want = tanh(a); break;
                case SWG__SIGMOID: want = 1 / (1 + exp(-a)); break;
                case SWG__SOFTPLUS: want = fmax(a, 0) + log1p(exp(-fabs(a))); break;
                case SWG__GELU: want = a * .5 * erfc(-a * M_SQRT1_2); break;
                case SWG__LOG1P: want = log1p(a); break;
                }
                if (!(fabs((double)y[j] - want) <= table[i].relative * fabs(want) + 1e-38))
                    fail_msg("%s %s(%.9g) = %.9g, expected %.17g", swg__isa_name((swg__isa)isa), swg__ops[table[i].op].text, a,
                             (double)y[j], want);
            }
        }
        const float special[6] = {NAN, INFINITY, -INFINITY, 0, -1, 1e-42f};
        float got[6];
        t->ew[SWG__EXP](got, special, NULL, NULL, 6, 0, 0);
        assert_true(isnan(got[0]) && isinf(got[1]) && got[2] == 0 && got[3] == 1);
        t->ew[SWG__LOG](got, special, NULL, NULL, 6, 0, 0);
        assert_true(isnan(got[0]) && isinf(got[1]) && isnan(got[2]) && isinf(got[3]) && got[3] < 0 && isnan(got[4]));
        assert_close((double)got[5], log(1e-42), 0, 1e-5);
        const float zeros[6] = {0}; /* of two numbers, NaN wins on either side */
        t->ew[SWG__MAX](got, special, zeros, NULL, 6, 0, 0);
        assert_true(isnan(got[0]) && isinf(got[1]) && got[2] == 0 && got[4] == 0);
        t->ew[SWG__MIN](got, zeros, special, NULL, 6, 0, 0);
        assert_true(isnan(got[0]) && got[1] == 0 && isinf(got[2]) && got[4] == -1);
        t->ew[SWG__RELU](got, special, NULL, NULL, 6, 0, 0);
        assert_true(isnan(got[0]) && isinf(got[1]) && got[2] == 0);
    }
}

/* Known answers of the specification, swae.md section 10. */
static void gelu_answers(void **state) {
    swg_context *ctx = *state;
    static const double x[6] = {-3, -1, -.5, .5, 1, 3};
    static const double want[6] = {-0.00404969409489, -0.158655253931, -0.154268769363, 0.345731230637, 0.841344746069, 2.99595030591};
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = SWG_F64}, &g));
    swg_value in = swg_input(g, "x", 1, (int64_t[]){6}), y = swg_gelu(g, in);
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1}, &plan));
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    memcpy(swg_plan_data(plan, in), x, sizeof x);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    for (int i = 0; i < 6; i++)
        assert_close(((double *)swg_plan_data(plan, y))[i], want[i], 1e-14, 1e-11);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
}

static void random_bits(void **state) {
    (void)state;
    const kernel_case c = {"normal", {{4099}}, 0, 0, 0, build_normal};
    double *first = NULL;
    for (int isa = 0; isa <= (int)swg__isa_best(); isa++) {
        swg_context *ctx;
        int64_t n;
        assert_int_equal(swg_context_open(&(swg_context_opts){.isa = swg__isa_name((swg__isa)isa)}, &ctx), SWG_OK);
        double *got = result_of(ctx, &c, SWG_F32, false, WIDE, &n);
        if (first)
            assert_memory_equal(got, first, (size_t)n * sizeof *got);
        else
            first = malloc((size_t)n * sizeof *first);
        memcpy(first, got, (size_t)n * sizeof *got);
        free(got);
        swg_context_close(ctx);
    }
    double sum = 0, squares = 0;
    for (int i = 0; i < 4099; i++) {
        sum += first[i];
        squares += first[i] * first[i];
    }
    assert_close(sum / 4099, 0, .05, 0);
    assert_close(squares / 4099, 1, .07, 0);
    free(first);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_reference),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(from_bf16),
        cmocka_unit_test(all_in_bf16),
        cmocka_unit_test(every_operation_is_compared), /* after against_reference, which sees the operations */
        cmocka_unit_test(functions),
        cmocka_unit_test_setup_teardown(gelu_answers, testing_open, testing_close),
        cmocka_unit_test(random_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
