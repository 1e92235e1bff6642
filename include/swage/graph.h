/* graph.h - describe a computation once; gradients, fusion and memory planning are functions from graph to graph.
 *
 * A graph is a list of nodes. A node is addressed by a swg_value and has an operation, an element type and a shape
 * of up to 6 dimensions, row-major. Nothing is computed and no data are held while a graph is built:
 *
 *     swg_value x = swg_input(g, "x", 2, (int64_t[]){256, 125});
 *     swg_value h = swg_gelu(g, swg_linear(g, x, 512, "fc1"));
 *     swg_value y = swg_linear(g, h, 125, "fc2");
 *     swg_value loss = swg_mean(g, swg_square(g, swg_sub(g, y, x)), 0);
 *
 * Builders never fail on their own: the first error (shapes that do not fit, out of memory) is latched in the graph
 * with the scope path it happened in, later builders return SWG_NONE, and swg_graph_status or swg_plan_make report it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_GRAPH_H
#define SWAGE_GRAPH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "swage/context.h"

typedef uint32_t swg_value;
typedef struct swg_graph swg_graph;

enum { SWG_NONE = 0, SWG_MAX_DIMS = 6 };

typedef enum swg_dtype { SWG_F32, SWG_F64, SWG_I32, SWG_BF16 } swg_dtype; /* BF16: how a plan may keep values of an f32 graph */

typedef struct swg_graph_opts {
    swg_dtype dtype; /* of inputs, parameters and everything computed from them: SWG_F32, or SWG_F64 for tests */
    bool inference;  /* layers build what they do when a model is used: no dropout, running statistics in batch norm */
} swg_graph_opts;

/* opts may be NULL. The graph borrows ctx, which must outlive it. */
swg_status swg_graph_create(swg_context *ctx, const swg_graph_opts *opts, swg_graph **out);
void swg_graph_destroy(swg_graph *g);

/* The first error latched by a builder, its message put into the context again. */
swg_status swg_graph_status(const swg_graph *g);

/* Names of nodes made between push and pop begin with "name/"; pushes nest. */
void swg_scope_push(swg_graph *g, const char *name);
void swg_scope_pop(swg_graph *g);

/* Nodes made between begin and end are a block: what recomputation takes as one (swg_recompute in plan.h), so that of all its values
 * only those read outside stay in memory for the backward pass. Blocks nest; layers and networks of this library mark their own. */
void swg_block_begin(swg_graph *g);
void swg_block_end(swg_graph *g);
/* Whatever a plan's recomputation says: if the backward pass needs v, keep it in memory, or drop it and compute it again. The last word
 * holds. Inputs, parameters, states and reductions cannot be dropped, and are kept without a message. */
void swg_remat_keep(swg_graph *g, swg_value v);
void swg_remat_drop(swg_graph *g, swg_value v);
/* What is built while this is on, and its gradient, is f32 in plans of any precision. Losses turn it on. Returns what it was before. */
bool swg_graph_precise(swg_graph *g, bool on);

/* ---- inspection ---- */

int swg_ndim(const swg_graph *g, swg_value v);
const int64_t *swg_shape(const swg_graph *g, swg_value v);   /* swg_ndim numbers, valid as long as the graph; NULL for SWG_NONE */
int64_t swg_elements(const swg_graph *g, swg_value v);       /* 0 for SWG_NONE */
swg_dtype swg_value_dtype(const swg_graph *g, swg_value v);
int64_t swg_graph_nodes(const swg_graph *g);
int64_t swg_graph_parameters(const swg_graph *g);            /* trainable numbers */
int64_t swg_graph_macs(const swg_graph *g, swg_value v);     /* multiply-adds of all contractions `v` depends on; -1: out of memory */
void swg_graph_print(const swg_graph *g, FILE *file);        /* one line per node */

/* ---- leaves ---- */

/* Filled by the caller through the plan. dtype is the graph's. */
swg_value swg_input(swg_graph *g, const char *name, int ndim, const int64_t *shape);

/* An input of indices (SWG_I32) for swg_gather and swg_scatter_add. */
swg_value swg_input_index(swg_graph *g, const char *name, int ndim, const int64_t *shape);
/* Arrays that never change: masks, position tables. The numbers are copied. */
swg_value swg_constant_array(swg_graph *g, int ndim, const int64_t *shape, const double *values);
swg_value swg_constant_index(swg_graph *g, int ndim, const int64_t *shape, const int32_t *values);

/* How a parameter starts. Random numbers come from stream "init:<scope>/<name>" with '/' written '.', number i from word i % 4 of Philox
 * block i / 4; they are f32. Number i belongs to element i, or with a map of m columns to row i / m of the parameter. */
typedef struct swg_init {
    double bound; /* uniform in [-bound, bound); 0 with value 0 and deviation 0 means zeros */
    double value; /* constant, if bound is 0 */
    bool diagonal; /* the constant stands on the diagonal of two axes, 0 elsewhere */
    double deviation; /* normal, in place of bound */
    double limit; /* of the normal, in deviations, 0.5 or more: numbers beyond are drawn again, 2^32 blocks further each time; 0: none */
    /* Rows of the parameter (along its last axis) are map times random numbers, sums in f64. map: (last extent, columns), copied. */
    const double *map;
    int64_t columns;
} swg_init;
swg_value swg_param(swg_graph *g, const char *name, int ndim, const int64_t *shape, swg_init init);

swg_value swg_constant(swg_graph *g, double value);          /* shape {1}: broadcasts against everything */

/* Numbers a training step carries on to the next beside the parameters: running statistics. Starts as `value` everywhere, keeps its
 * place in the weights (swg_weights_state). Not differentiable. */
swg_value swg_state(swg_graph *g, const char *name, int ndim, const int64_t *shape, double value);
/* The same; every row along the last axis starts as `row`, so many numbers, which are copied. */
swg_value swg_state_rows(swg_graph *g, const char *name, int ndim, const int64_t *shape, const double *row);
/* The same, shaped and started like `param`: swg_weights_init gives both the same bits. For running averages of a parameter that the graph
 * computes with; which no gradient reaches. */
swg_value swg_state_like(swg_graph *g, const char *name, swg_value param);
/* `state` becomes `value` (of the same shape) at the end of a step; whoever reads it in this step sees it as it was. Once per state. */
void swg_state_set(swg_graph *g, swg_value state, swg_value value);
/* A copy of v; a plan that has it as an output also writes every state set so far. swg_update does this by itself, and leaves
 * them alone in a step that it skips. */
swg_value swg_update_states(swg_graph *g, swg_value v);

/* Random numbers as a function of (seed, stream, step, element); seed and step are given to the run.
 * stream names the source, e.g. "sw:theta"; two streams with one hash are an error. Not differentiable. */
swg_value swg_random_uniform(swg_graph *g, const char *stream, int ndim, const int64_t *shape);
swg_value swg_random_normal(swg_graph *g, const char *stream, int ndim, const int64_t *shape);

/* x / (1 - p) where kept, else 0; kept with probability 1 - p, 0 <= p < 1: word element % 4 of Philox block element / 4 of
 * (seed, stream "dropout:<scope>.<name>" with '/' written '.', step) is at least floor(p 2^32). `element` counts through the whole
 * of x, so the mask depends on no thread or tile; backward computes it again. Gives x itself if p is 0 or the graph is for inference. */
swg_value swg_dropout(swg_graph *g, swg_value x, double p, const char *name);
/* The same for whole samples (axis 0), stream "droppath:<scope>.<name>": Huang et al. 2016, as in timm. */
swg_value swg_drop_path(swg_graph *g, swg_value x, double p, const char *name);
/* The same for whole channels of a sample, x (N, C, ...), stream "dropchannel:<scope>.<name>": Tompson et al. 2015, PyTorch's Dropout2d. */
swg_value swg_drop_channels(swg_graph *g, swg_value x, double p, const char *name);

/* ---- element by element; binary operations broadcast as NumPy does ---- */

swg_value swg_neg(swg_graph *g, swg_value x);
swg_value swg_abs(swg_graph *g, swg_value x);
swg_value swg_sign(swg_graph *g, swg_value x);               /* gradient zero */
swg_value swg_square(swg_graph *g, swg_value x);
swg_value swg_sqrt(swg_graph *g, swg_value x);
swg_value swg_rsqrt(swg_graph *g, swg_value x);
swg_value swg_reciprocal(swg_graph *g, swg_value x);
swg_value swg_exp(swg_graph *g, swg_value x);
swg_value swg_log(swg_graph *g, swg_value x);
swg_value swg_log1p(swg_graph *g, swg_value x);
swg_value swg_relu(swg_graph *g, swg_value x);
swg_value swg_gelu(swg_graph *g, swg_value x);               /* x * Phi(x), the erf form */
swg_value swg_silu(swg_graph *g, swg_value x);
swg_value swg_tanh(swg_graph *g, swg_value x);
swg_value swg_sigmoid(swg_graph *g, swg_value x);
swg_value swg_softplus(swg_graph *g, swg_value x);
swg_value swg_leaky_relu(swg_graph *g, swg_value x, double slope);   /* x if x > 0, else slope * x */
swg_value swg_elu(swg_graph *g, swg_value x, double alpha);  /* x if x > 0, else alpha (exp(x) - 1) */
swg_value swg_gelu_tanh(swg_graph *g, swg_value x);          /* x / 2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
swg_value swg_hard_sigmoid(swg_graph *g, swg_value x);       /* clamp(x / 6 + 1/2, 0, 1) */
swg_value swg_hard_swish(swg_graph *g, swg_value x);         /* x hard_sigmoid(x) */
swg_value swg_affine(swg_graph *g, swg_value x, double scale, double shift); /* scale * x + shift */
swg_value swg_clamp(swg_graph *g, swg_value x, double low, double high);
swg_value swg_add(swg_graph *g, swg_value a, swg_value b);
swg_value swg_sub(swg_graph *g, swg_value a, swg_value b);
swg_value swg_mul(swg_graph *g, swg_value a, swg_value b);
swg_value swg_div(swg_graph *g, swg_value a, swg_value b);
swg_value swg_max(swg_graph *g, swg_value a, swg_value b);   /* ties: the gradient goes to a; NaN if either is */
swg_value swg_min(swg_graph *g, swg_value a, swg_value b);
swg_value swg_greater(swg_graph *g, swg_value a, swg_value b);       /* 1 where a > b, else 0; gradient zero */
swg_value swg_where(swg_graph *g, swg_value condition, swg_value a, swg_value b); /* a where condition != 0 */
swg_value swg_round(swg_graph *g, swg_value x);              /* to the nearest integer, ties to even; gradient zero */
swg_value swg_detach(swg_graph *g, swg_value x);             /* x, but no gradient flows back */
/* x in memory as SWG_BF16, rounded to nearest even, or back as SWG_F32; the gradient is cast the other way. Any builder takes
 * values of either type: arithmetic is f32, a contraction of a first operand in bf16 multiplies in bf16. In an f64 graph: x. */
swg_value swg_cast(swg_graph *g, swg_value x, swg_dtype dtype);

/* ---- shape ---- */

swg_value swg_reshape(swg_graph *g, swg_value x, int ndim, const int64_t *shape);   /* one extent may be -1 */
swg_value swg_permute(swg_graph *g, swg_value x, const int *axes);                  /* axes: ndim of x numbers */
swg_value swg_expand(swg_graph *g, swg_value x, int ndim, const int64_t *shape);    /* broadcast, materialised */
swg_value swg_slice(swg_graph *g, swg_value x, const int64_t *begin, const int64_t *extent); /* ndim numbers each; of indices too */
swg_value swg_pad(swg_graph *g, swg_value x, const int64_t *before, const int64_t *after);   /* zeros */
swg_value swg_concat(swg_graph *g, const swg_value *parts, int count, int axis);

/* Element i of the result is element (i - shift) mod extent, for every axis; shift: ndim numbers of either sign. */
swg_value swg_roll(swg_graph *g, swg_value x, const int64_t *shift);
/* Elements of x at `index` along `axis`. index: (m), one selection for all; of the shape of x up to the axis and (m): one per leading
 * index; or like x but for the axis, one per element. An index outside gives NaN. */
swg_value swg_gather(swg_graph *g, swg_value x, swg_value index, int axis);
/* Zeros with extent `extent` along `axis`, to which the slices of x are added at `index` (as of swg_gather, shaped by x), in order
 * of their number: the same bits for any number of threads. What lies outside is left out. */
swg_value swg_scatter_add(swg_graph *g, swg_value x, swg_value index, int axis, int64_t extent);
/* Windows of `window` (one extent per axis 1..ndim-2) of x (N, spatial..., C), which they divide: (N * windows, positions, C).
 * One to three spatial axes. Rolled back by `shift` first, as in Swin (Liu et al. 2021); NULL: not. */
swg_value swg_window_partition(swg_graph *g, swg_value x, const int64_t *window, const int64_t *shift);
/* The inverse: windows back to (N, extent..., C); `extent`: one per spatial axis, `spatial` of them. */
swg_value swg_window_merge(swg_graph *g, swg_value windows, int spatial, const int64_t *extent, const int64_t *window, const int64_t *shift);
/* For attention in shifted windows: (windows, positions, positions), 0 where both positions were neighbours before the shift, else
 * `masked` (say -100). */
swg_value swg_window_mask(swg_graph *g, int spatial, const int64_t *extent, const int64_t *window, const int64_t *shift, double masked);

/* ---- over axes; `axes` is a bit mask (bit i: axis i), 0 means all. Reduced axes stay with extent 1 ---- */

swg_value swg_sum(swg_graph *g, swg_value x, uint32_t axes);
swg_value swg_mean(swg_graph *g, swg_value x, uint32_t axes);
swg_value swg_reduce_max(swg_graph *g, swg_value x, uint32_t axes);  /* ties share the gradient equally */
swg_value swg_softmax(swg_graph *g, swg_value x);                    /* over the last axis */
swg_value swg_log_softmax(swg_graph *g, swg_value x);
swg_value swg_argsort(swg_graph *g, swg_value x, int axis);          /* SWG_I32, ascending, stable; NaN last */
swg_value swg_take_along(swg_graph *g, swg_value x, swg_value index, int axis); /* index: of swg_argsort along axis */
swg_value swg_sort(swg_graph *g, swg_value x, int axis);

/* ---- normalisation: statistics and their application apart, so that either runs with its neighbours ---- */

typedef struct swg_moments { swg_value mean, variance; } swg_moments;
/* Mean and biased variance of x over `axes` (a bit mask, 0: all), in one pass; both keep the reduced axes with extent 1. */
swg_moments swg_norm_moments(swg_graph *g, swg_value x, uint32_t axes);
/* (x - mean) * rstd * gamma + beta, element by element. mean, rstd: alike, with as many axes as x, extent 1 or that of x. gamma and
 * beta broadcast to x; beta, or both, may be SWG_NONE. */
swg_value swg_norm_apply(swg_graph *g, swg_value x, swg_value mean, swg_value rstd, swg_value gamma, swg_value beta);

/* ---- pooling and resize over one to three spatial axes: x is (N, C, spatial...) or, channels_last, (N, spatial..., C) ---- */

typedef struct swg_pool_opts {
    int64_t kernel[3], stride[3], padding[3];   /* per spatial axis, in order; stride 0: the kernel's extent */
    bool channels_last;
    bool exclude_padding;                       /* averages: divide by what lies inside only */
} swg_pool_opts;
/* Extents (in + 2 padding - kernel) / stride + 1, rounded down. Of equal maxima the first gets the gradient; NaN wins. */
swg_value swg_max_pool(swg_graph *g, swg_value x, const swg_pool_opts *opts);
swg_value swg_avg_pool(swg_graph *g, swg_value x, const swg_pool_opts *opts);
/* Window o of n spans floor(o in / n) to ceil((o + 1) in / n). extent: one per spatial axis. */
swg_value swg_adaptive_max_pool(swg_graph *g, swg_value x, const int64_t *extent, bool channels_last);
swg_value swg_adaptive_avg_pool(swg_graph *g, swg_value x, const int64_t *extent, bool channels_last);

typedef struct swg_resize_opts {
    bool nearest;       /* else linear along each axis: bilinear, trilinear */
    bool align_corners; /* linear: first and last elements map onto each other; else edges do, and half an element lies outside */
    bool channels_last;
} swg_resize_opts;
/* Conventions of PyTorch's interpolate with a size. */
swg_value swg_resize(swg_graph *g, swg_value x, const int64_t *extent, const swg_resize_opts *opts);

/* ---- contraction ---- */

typedef struct swg_matmul_opts {
    bool trans_a; /* a is (..., k, m) */
    bool trans_b; /* b is (..., n, k) */
} swg_matmul_opts;
/* a: (..., m, k), b: (..., k, n) or (k, n); result (..., m, n). opts may be NULL. Sums over k run in one fixed order. */
swg_value swg_matmul(swg_graph *g, swg_value a, swg_value b, const swg_matmul_opts *opts);

/* ---- convolution ---- */

/* One number per spatial axis, first axis first. What is 0 has its default. */
typedef struct swg_conv_opts {
    int64_t stride[3], dilation[3];     /* default 1 */
    int64_t padding[3];                 /* zeros on either side */
    int64_t output_padding[3];          /* transposed: positions more at the end, below stride or dilation */
    int64_t groups;                     /* default 1 */
    bool channels_last;                 /* x and the result are (N, spatial..., C); default (N, C, spatial...) */
    bool no_bias;                       /* layers of nn.h: none is made */
    int64_t kernel[3];                  /* layers of nn.h: where not 0, the kernel along this axis */
} swg_conv_opts;
/* Cross-correlation over 1 to 3 spatial axes, as PyTorch's convNd. x: (N, C, spatial...), w: (O, C / groups, kernel...),
 * bias: (O) or SWG_NONE; result (N, O, spatial...) with extents (in + 2 padding - dilation (kernel - 1) - 1) / stride + 1.
 * opts may be NULL. Padding costs nothing: only taps that meet data are computed. */
swg_value swg_convolution(swg_graph *g, swg_value x, swg_value w, swg_value bias, const swg_conv_opts *opts);
/* Its transpose, as PyTorch's conv_transposeNd. w: (C, O / groups, kernel...); extents
 * (in - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1. */
swg_value swg_convolution_transpose(swg_graph *g, swg_value x, swg_value w, swg_value bias, const swg_conv_opts *opts);

/* ---- attention ---- */

typedef struct swg_attention_opts {
    double scale;       /* of the scores; 0: 1 / sqrt(d) */
    int64_t heads;      /* 0: tensors have an axis of heads; else their columns are those of all heads side by side */
} swg_attention_opts;
/* softmax(scale q k^T + mask) v. q: (batch, heads, n, d), k: (batch, heads, m, d), v: (batch, heads, m, dv); result (batch, heads, n,
 * dv). With opts->heads: q (batch, n, heads d), k (batch, m, heads d), v (batch, m, heads dv); result (batch, n, heads dv). mask:
 * (batch or 1, heads or 1, n or 1, m), added to the scores, -inf: not seen; or SWG_NONE. A row that sees nothing gives 0. Memory grows
 * with n and m, never with n m: tiles of scores, made again for the gradient from each row's log-sum (Dao et al. 2022,
 * FlashAttention). opts may be NULL. */
swg_value swg_attention(swg_graph *g, swg_value q, swg_value k, swg_value v, swg_value mask, const swg_attention_opts *opts);

/* ---- short-time Fourier transform ---- */

/* As torch.stft with center, reflection, one-sided bins and a periodic Hann window, not normalised. What is 0 has its default. */
typedef struct swg_stft_opts {
    int64_t n;          /* samples of a frame: 2048 */
    int64_t hop;        /* samples from frame to frame: n / 4 */
    int64_t window;     /* samples of the Hann window, in the middle of the frame: n */
} swg_stft_opts;
/* x: (batch, channels, samples); result (batch, 2 channels, n / 2 + 1, samples / hop + 1): real parts of all channels, then imaginary
 * ones. Signals of n / 2 samples or fewer are extended with zeros to n / 2 + 1. Any n; fast where its prime factors are small. */
swg_value swg_stft(swg_graph *g, swg_value x, const swg_stft_opts *opts);
/* Its inverse, as torch.istft: s: (batch, 2 channels, n / 2 + 1, frames); result (batch, channels, samples); 0 samples: (frames - 1) hop.
 * Frames are windowed, added and divided by the sum of squared windows, at least 1e-11. */
swg_value swg_istft(swg_graph *g, swg_value s, int64_t samples, const swg_stft_opts *opts);

/* ---- splines ---- */

/* What is 0 has its default. */
typedef struct swg_spline_opts {
    int64_t intervals;  /* of the uniform grid: 5 */
    int64_t order;      /* 1 to 7: 3, cubic */
    double low, high;   /* of the grid; both 0: -1, 1 */
    swg_value knots;    /* instead of a grid: (bases + order + 1) ascending numbers, or as many for each element of the last axis of x,
                         * (c, bases + order + 1); no gradient flows to them */
    bool silu;          /* x sigmoid(x) stands in front of the bases, as one more */
    bool planes;        /* the new axis stands before the last one of x, whose elements stay neighbours: (..., bases, c) */
} swg_spline_opts;
/* All B-splines of x (kan.md, section 3.1; de Boor 1972). x: any shape of up to five axes; result: one axis more, of intervals + order
 * bases. They add to 1 inside of the grid and fade to 0 within `order` intervals beyond it. */
swg_value swg_spline_basis(swg_graph *g, swg_value x, const swg_spline_opts *opts);

/* ---- gradients and updates ---- */

/* Appends the backward graph of the scalar `loss` and writes d loss / d params[i] to grads[i]. params: any values made before the
 * loss. SWG_EGRAD names the node and scope of an operation that has no gradient, or the parameter the loss does not depend on. */
swg_status swg_gradients(swg_graph *g, swg_value loss, const swg_value *params, int count, swg_value *grads);

/* All parameters in order of creation. The array belongs to the graph. */
const swg_value *swg_params_of(const swg_graph *g, int *count);

typedef enum swg_update_kind {
    SWG_UPDATE_ADAM,     /* Kingma and Ba 2015; weight decay on the gradient */
    SWG_UPDATE_ADAMW,    /* Loshchilov and Hutter 2019; weight decay on the weight */
    SWG_UPDATE_SGD,      /* weight decay on the gradient */
} swg_update_kind;

typedef struct swg_update_opts {
    swg_update_kind kind;
    bool clip;           /* scale gradients so that their global norm is at most hyper[SWG_HYPER_CLIP] */
    bool amsgrad;        /* adam, adamw: divide by the largest second moment so far (Reddi et al. 2018) */
    bool momentum;       /* sgd: m = momentum * m + g takes the place of g */
    bool nesterov;       /* sgd with momentum: g + momentum * m does (Sutskever et al. 2013) */
    bool accumulate;     /* gradients of several runs are added up before an update, see swg_hyper_micro */
    int groups;          /* rows of hyper, one per parameter group (swg_weights_group); 0: 1 */
} swg_update_opts;

/* What the host sets before each run, as f32 (f64 in an f64 graph). swg_hyper_adam and swg_hyper_sgd fill a row,
 * swg_hyper_micro the last three numbers (plan.h). rate is 1 - beta. CLIP and those behind it are read from row 0 only. */
enum { SWG_HYPER_STEP_SIZE, SWG_HYPER_RSQRT_C2, SWG_HYPER_KEEP, SWG_HYPER_DECAY, SWG_HYPER_RATE1, SWG_HYPER_RATE2, SWG_HYPER_EPS,
       SWG_HYPER_MOMENTUM, SWG_HYPER_CLIP, SWG_HYPER_GRAD_SCALE, SWG_HYPER_WEIGHT, SWG_HYPER_FIRST, SWG_HYPER_LAST, SWG_HYPER_COUNT };

/* Appends gradients, global norm and one fused update over the whole parameter span.
 * hyper: an input of groups x SWG_HYPER_COUNT numbers. Returns the global gradient norm (shape {1}, before clipping);
 * reading it as an output makes the update part of the plan.
 * A loss or norm that is not finite makes the returned norm NaN or infinite and skips the update: weights and moments stay as they were. Outputs that do not depend on the returned
 * value see the weights before the update. One update per graph, and every parameter must influence the loss. */
swg_value swg_update(swg_graph *g, swg_value loss, swg_value hyper, const swg_update_opts *opts);

/* swg_update by Adam or AdamW without the rest. opts may be NULL: Adam, no clipping. */
typedef struct swg_adam_opts {
    bool decoupled;      /* AdamW */
    bool clip;
} swg_adam_opts;
swg_value swg_adam(swg_graph *g, swg_value loss, swg_value hyper, const swg_adam_opts *opts);

#endif
