/* test_random_graphs.c - proves, on a few hundred random graphs: fusion changes nothing in f64; f32 kernels agree with the f64
 * reference; no value is read before it was written in the same run; 1 thread = 3 threads, bit for bit; gradients agree with
 * central differences; the fused update is that of the plain graph; plans in bf16 keep all this, to their rounding;
 * a failed allocation is reported and leaks nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <math.h>
#include "plan/replay.h"
#include "swage/nn.h"

enum { POOL = 96, OUTPUTS = 5, LONGEST = 40 };

enum { SHARE = TESTING_RACES ? 12 : TESTING_SLOW ? 8 : 1 }; /* one in so many graphs is looked at */

/* ---- the generator: the same seed gives the same graph, whatever the element type ---- */

typedef struct maker {
    swg_graph *g;
    uint64_t seed;
    bool trainable;         /* leaves are parameters, every operation has a gradient */
    bool smooth;            /* no kinks: the f32 gradient is near the f64 one */
    bool casts;             /* every third value is cast to bf16 */
    int64_t most;           /* elements of a value */
    swg_value pool[POOL];
    double bound[POOL];     /* no element is larger; kept below 2, so that nothing overflows */
    int count, leaves;
    swg_value leaf[POOL];
    bool network;           /* trainable; some leaves are inputs, and there are blocks, dropout and batch norm */
    int given, depth, layers;
    swg_value input[POOL];
} maker;

static int64_t below(maker *m, int64_t n) { /* splitmix64 */
    uint64_t z = m->seed += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (int64_t)((z ^ z >> 31) >> 1) % n;
}

/* Adds a value whose elements are at most `bound` in size, scaled down if that is more than 2. */
static void keep(maker *m, swg_value v, double bound) {
    if (v && bound > 2)
        v = swg_affine(m->g, v, 2 / bound, 0);
    if (!v || m->count == POOL)
        return;
    m->pool[m->count] = m->casts && m->count % 3 == 1 ? swg_cast(m->g, v, SWG_BF16) : v;
    m->bound[m->count++] = bound > 2 ? 2 : bound;
}

static swg_value fresh_leaf(maker *m, int ndim, const int64_t *shape) {
    char name[24];
    snprintf(name, sizeof name, "leaf%d", m->leaves);
    if (m->leaves == POOL)
        return SWG_NONE;
    if (m->network && m->leaves && m->given < POOL && below(m, 2)) {
        snprintf(name, sizeof name, "input%d", m->given);
        swg_value v = swg_input(m->g, name, ndim, shape);
        if (v)
            m->input[m->given++] = v;
        return v;
    }
    swg_value v = m->trainable ? swg_param(m->g, name, ndim, shape, (swg_init){.bound = 1}) : swg_input(m->g, name, ndim, shape);
    if (v)
        m->leaf[m->leaves++] = v;
    return v;
}

/* An entry of the pool, the latest more often than others: chains are what fusion works on. */
static int any(maker *m) { return m->count - 1 - (int)(below(m, 2) ? 0 : below(m, m->count)); }

static int64_t elements_of(int ndim, const int64_t *shape) {
    int64_t n = 1;
    for (int i = 0; i < ndim; i++)
        n *= shape[i];
    return n;
}

static bool broadcasts(const maker *m, swg_value a, swg_value b) {
    int na = swg_ndim(m->g, a), nb = swg_ndim(m->g, b), most = na > nb ? na : nb;
    const int64_t *sa = swg_shape(m->g, a), *sb = swg_shape(m->g, b);
    int64_t n = 1;
    for (int i = 1; i <= most; i++) {
        int64_t x = i <= na ? sa[na - i] : 1, y = i <= nb ? sb[nb - i] : 1;
        if (x != y && x != 1 && y != 1)
            return false;
        n *= x > y ? x : y;
    }
    return n <= m->most;
}

/* A partner for an element-wise operation: from the pool if one fits, else a fresh leaf over some of the axes. */
static int partner(maker *m, swg_value a) {
    for (int tries = 0; tries < 6; tries++) {
        int j = (int)below(m, m->count);
        if (broadcasts(m, a, m->pool[j]))
            return j;
    }
    int ndim = swg_ndim(m->g, a), own = 1 + (int)below(m, ndim);
    int64_t shape[SWG_MAX_DIMS];
    for (int i = 0; i < own; i++)
        shape[i] = below(m, 3) ? swg_shape(m->g, a)[ndim - own + i] : 1;
    keep(m, fresh_leaf(m, own, shape), 1);
    return m->count - 1;
}

static void unary(maker *m, int i) {
    swg_graph *g = m->g;
    swg_value x = m->pool[i], positive = swg_affine(g, swg_square(g, x), 1, .5); /* for what must stay away from 0 */
    double b = m->bound[i];
    switch (below(m, m->smooth ? 15 : 19)) {
    case 0: keep(m, swg_neg(g, x), b); break;
    case 1: keep(m, swg_square(g, x), b * b); break;
    case 2: keep(m, swg_sqrt(g, positive), sqrt(b * b + .5)); break;
    case 3: keep(m, swg_rsqrt(g, positive), 1.42); break;
    case 4: keep(m, swg_reciprocal(g, positive), 2); break;
    case 5: keep(m, swg_exp(g, x), exp(b)); break;
    case 6: keep(m, swg_log(g, positive), 1.6); break;
    case 7: keep(m, swg_log1p(g, swg_square(g, x)), 1.7); break;
    case 8: keep(m, swg_gelu(g, x), b); break;
    case 9: keep(m, swg_silu(g, x), b); break;
    case 10: keep(m, swg_tanh(g, x), 1); break;
    case 11: keep(m, swg_sigmoid(g, x), 1); break;
    case 12: keep(m, swg_softplus(g, x), b + .7); break;
    case 13: keep(m, swg_affine(g, swg_affine(g, x, -1.5, 0), .7, 0), 1.05 * b); break;
    case 14: keep(m, swg_mul(g, swg_constant(g, .75), swg_affine(g, x, 1, .25)), .75 * b + .2); break;
    case 15: keep(m, swg_abs(g, x), b); break;
    case 16: keep(m, swg_relu(g, x), b); break;
    case 17: keep(m, swg_clamp(g, x, -.71, .93), .93); break;
    default: keep(m, swg_relu(g, swg_sub(g, swg_relu(g, x), swg_abs(g, x))), b); break;
    }
}

static void binary(maker *m, int i) {
    swg_graph *g = m->g;
    int j = partner(m, m->pool[i]);
    swg_value a = m->pool[i], b = m->pool[j];
    if (below(m, 2)) {
        swg_value kept = a;
        a = b;
        b = kept;
    }
    double sum = m->bound[i] + m->bound[j], product = m->bound[i] * m->bound[j], largest = fmax(m->bound[i], m->bound[j]);
    if (!broadcasts(m, a, b))
        return; /* the pool is full */
    switch (below(m, m->smooth ? 5 : 8)) {
    case 0: keep(m, swg_add(g, a, b), sum); break;
    case 1: keep(m, swg_sub(g, a, b), sum); break;
    case 2: keep(m, swg_mul(g, a, b), product); break;
    case 3: keep(m, swg_div(g, a, swg_affine(g, swg_square(g, b), 1, .5)), 4); break;
    case 4: keep(m, swg_add(g, swg_mul(g, a, b), swg_tanh(g, a)), product + 1); break;
    case 5: keep(m, swg_max(g, a, b), largest); break;
    case 6: keep(m, swg_min(g, a, b), largest); break;
    default: { /* the condition is exact in both precisions: it looks at a leaf */
        swg_value mask = swg_greater(g, swg_detach(g, m->leaf[below(m, m->leaves)]), swg_constant(g, .125));
        if (broadcasts(m, mask, a) && broadcasts(m, mask, b) && broadcasts(m, swg_add(g, mask, a), b))
            keep(m, swg_where(g, mask, a, b), largest);
    }
    }
}

static void contraction(maker *m, int i) {
    swg_graph *g = m->g;
    swg_value a = m->pool[i];
    int ndim = swg_ndim(g, a);
    if (ndim < 2)
        return;
    const int64_t *s = swg_shape(g, a);
    int64_t rows = s[ndim - 2], columns = s[ndim - 1], all = elements_of(ndim, s);
    bool trans_a = below(m, 3) == 0, trans_b = below(m, 2), self = below(m, 3) == 0;
    int64_t k = trans_a ? rows : columns, left = trans_a ? columns : rows, n = 1 + below(m, 40);
    if (self) { /* a a^T or a^T a */
        if (all / columns / rows * left * left <= m->most)
            keep(m, swg_affine(g, swg_matmul(g, a, a, &(swg_matmul_opts){.trans_a = trans_a, .trans_b = !trans_a}), 1 / (double)k, 0),
                 m->bound[i] * m->bound[i]);
        return;
    }
    if (all / k * n > m->most)
        return;
    int64_t shape[SWG_MAX_DIMS];
    bool shared = ndim == 2 || (!trans_a && below(m, 2));
    memcpy(shape, s, (size_t)ndim * sizeof *shape);
    shape[ndim - 2] = trans_b ? n : k;
    shape[ndim - 1] = trans_b ? k : n;
    swg_value b = fresh_leaf(m, shared ? 2 : ndim, shared ? shape + ndim - 2 : shape);
    if (!b)
        return;
    swg_value y = swg_matmul(g, a, b, &(swg_matmul_opts){.trans_a = trans_a, .trans_b = trans_b});
    double bound = (double)k * m->bound[i];
    if (below(m, 2)) {
        swg_value bias = fresh_leaf(m, 1, &n);
        y = swg_add(g, y, bias);
        bound++;
        if (!m->smooth && below(m, 2))
            y = swg_relu(g, y);
    }
    keep(m, y, bound);
}

static void over_axes(maker *m, int i) {
    swg_graph *g = m->g;
    swg_value x = m->pool[i];
    int ndim = swg_ndim(g, x), axis = (int)below(m, ndim);
    uint32_t axes = (uint32_t)below(m, 1 << ndim);
    double b = m->bound[i];
    int64_t reduced = 1;
    for (int j = 0; j < ndim; j++)
        reduced *= axes == 0 || axes >> j & 1 ? swg_shape(g, x)[j] : 1;
    switch (below(m, m->smooth ? 4 : 7)) {
    case 0: keep(m, swg_sum(g, x, axes), b * (double)reduced); break;
    case 1: keep(m, swg_mean(g, x, axes), b); break;
    case 2: keep(m, swg_softmax(g, x), 1); break;
    case 3: keep(m, swg_log_softmax(g, x), 2 * b + log((double)swg_shape(g, x)[ndim - 1])); break;
    case 4: keep(m, swg_reduce_max(g, x, axes), b); break;
    case 5: keep(m, swg_sort(g, x, axis), b); break;
    default: { /* ranks of a leaf: the same in both precisions */
        swg_value v = m->leaf[below(m, m->leaves)];
        axis = (int)below(m, swg_ndim(g, v));
        keep(m, swg_take_along(g, v, swg_argsort(g, v, axis), axis), 1);
    }
    }
}

static void movement(maker *m, int i) {
    swg_graph *g = m->g;
    swg_value x = m->pool[i];
    int ndim = swg_ndim(g, x), axis = (int)below(m, ndim), axes[SWG_MAX_DIMS];
    int64_t shape[SWG_MAX_DIMS], a[SWG_MAX_DIMS], b[SWG_MAX_DIMS], all = swg_elements(g, x);
    memcpy(shape, swg_shape(g, x), (size_t)ndim * sizeof *shape);
    switch (below(m, 7)) {
    case 0: /* two neighbouring axes become one, or one of even extent two */
        if (ndim > 1 && axis > 0) {
            shape[axis - 1] *= shape[axis];
            memmove(shape + axis, shape + axis + 1, (size_t)(ndim - 1 - axis) * sizeof *shape);
            keep(m, swg_reshape(g, x, ndim - 1, shape), m->bound[i]);
        } else if (shape[0] % 2 == 0 && ndim < 4) {
            int64_t split[SWG_MAX_DIMS] = {2, shape[0] / 2};
            memcpy(split + 2, shape + 1, (size_t)(ndim - 1) * sizeof *shape);
            keep(m, swg_reshape(g, x, ndim + 1, split), m->bound[i]);
        } else {
            keep(m, swg_reshape(g, x, 1, (int64_t[]){-1}), m->bound[i]);
        }
        break;
    case 1:
        for (int j = 0; j < ndim; j++)
            axes[j] = j;
        for (int j = ndim - 1; j > 0; j--) {
            int other = (int)below(m, j + 1), kept = axes[j];
            axes[j] = axes[other];
            axes[other] = kept;
        }
        keep(m, swg_permute(g, x, axes), m->bound[i]);
        break;
    case 2: { /* a new axis in front, and axes of extent 1 widened */
        int64_t wide[SWG_MAX_DIMS];
        int front = ndim < 4 ? (int)below(m, 2) : 0;
        wide[0] = 1 + below(m, 3);
        for (int j = 0; j < ndim; j++)
            wide[j + front] = shape[j] == 1 && below(m, 2) ? 1 + below(m, 9) : shape[j];
        if (elements_of(ndim + front, wide) <= m->most)
            keep(m, swg_expand(g, x, ndim + front, wide), m->bound[i]);
        break;
    }
    case 3:
        for (int j = 0; j < ndim; j++) {
            a[j] = below(m, shape[j]);
            b[j] = 1 + below(m, shape[j] - a[j]);
        }
        keep(m, swg_slice(g, x, a, b), m->bound[i]);
        break;
    case 4:
        for (int j = 0; j < ndim; j++) {
            a[j] = below(m, 3);
            b[j] = below(m, 2);
            shape[j] += a[j] + b[j];
        }
        if (elements_of(ndim, shape) <= m->most)
            keep(m, swg_pad(g, x, a, b), m->bound[i]);
        break;
    default: { /* with a part of itself and something of equal shape */
        memset(a, 0, sizeof a);
        memcpy(b, shape, sizeof b);
        b[axis] = 1 + below(m, shape[axis]);
        if (2 * all + b[axis] * all / shape[axis] <= m->most) {
            swg_value part = swg_slice(g, x, a, b), parts[3] = {part, x, swg_tanh(g, x)};
            keep(m, swg_concat(g, parts, 2 + (int)below(m, 2), axis), fmax(1, m->bound[i]));
        }
    }
    }
}

/* What only networks have. */
static void layer(maker *m) {
    char name[24];
    int i = any(m);
    swg_value x = m->pool[i];
    snprintf(name, sizeof name, "layer%d", m->layers++);
    switch (below(m, 6)) {
    case 0:
    case 1:
        if (m->depth < 3) {
            swg_block_begin(m->g);
            m->depth++;
        }
        break;
    case 2:
        if (m->depth > 0) {
            swg_block_end(m->g);
            m->depth--;
        }
        break;
    case 3: keep(m, swg_dropout(m->g, x, .25, name), 1.34 * m->bound[i]); break;
    default:
        if (swg_ndim(m->g, x) > 1 && swg_elements(m->g, x) > swg_shape(m->g, x)[1])
            keep(m, swg_batch_norm(m->g, swg_add(m->g, x, swg_random_normal(m->g, name, swg_ndim(m->g, x), swg_shape(m->g, x))), name, NULL), 8);
        break;
    }
}

/* Builds a graph; returns the number of its outputs. */
static int build(maker *m, swg_value outputs[OUTPUTS]) {
    static const int64_t rows[] = {1, 3, 7, 48, 49, 97, 130};
    for (int i = 0; i < 2; i++) {
        int ndim = 1 + (int)below(m, 4);
        int64_t shape[SWG_MAX_DIMS];
        do
            for (int j = 0; j < ndim; j++)
                shape[j] = j == 0 && ndim < 3 ? rows[below(m, m->most < 1000 ? 3 : 7)] : 1 + below(m, ndim < 3 ? 40 : 7);
        while (elements_of(ndim, shape) > m->most / 2);
        keep(m, fresh_leaf(m, ndim, shape), 1);
    }
    if (!m->trainable)
        keep(m, swg_random_normal(m->g, "noise", 2, (int64_t[]){5, 7}), 6);
    static void (*const kinds[10])(maker *, int) = {unary,  unary,       unary,       binary,    binary,
                                                    binary, contraction, contraction, over_axes, movement};
    int64_t steps = 4 + below(m, LONGEST - 4);
    for (int step = 0; step < steps && swg_graph_status(m->g) == SWG_OK; step++) {
        kinds[below(m, 10)](m, any(m));
        if (m->network)
            layer(m);
    }
    if (swg_graph_status(m->g) != SWG_OK)
        return 0;
    int count = 1 + (int)below(m, OUTPUTS - 1);
    for (int i = 0; i < count; i++)
        outputs[i] = m->pool[i ? below(m, m->count) : m->count - 1];
    return count;
}

/* One number that depends on every value nobody reads, and so on all others; each element has a weight of its own. */
static swg_value loss_of(maker *m) {
    uint8_t read[4096] = {0};
    swg_value loss = SWG_NONE;
    assert_true(m->g->count < 4096);
    for (int64_t v = 1; v < m->g->count; v++)
        for (int i = 0; i < m->g->nodes[v].inputs; i++)
            read[m->g->nodes[v].in[i]] = m->g->nodes[v].op != SWG__DETACH; /* a parameter must reach the loss */
    for (int i = 0; i < m->count; i++) {
        char name[24];
        swg_value v = m->pool[i];
        if (read[v] && i < m->count - 1)
            continue;
        snprintf(name, sizeof name, "weight%d", i);
        swg_value weight = swg_random_uniform(m->g, name, swg_ndim(m->g, v), swg_shape(m->g, v));
        swg_value part = swg_reshape(m->g, swg_mean(m->g, swg_mul(m->g, v, weight), 0), 1, (int64_t[]){1});
        loss = loss ? swg_add(m->g, loss, part) : part;
    }
    return loss;
}

/* ---- one graph, planned and run ---- */

typedef struct setup {
    uint64_t seed;
    swg_dtype dtype;
    int threads;
    bool no_fusion, frozen, bound, bf16, casts;
    swg_plan_mode mode;
    bool train, smooth;     /* gradients of all parameters are outputs too */
    bool update;            /* and the update runs */
    bool network;
    swg_recompute recompute;
    int64_t most;
    testing_allocator *memory;
} setup;

typedef struct job {
    swg_context *ctx;
    maker m;
    swg_plan *plan;
    swg_weights *weights;
    swg_value outputs[OUTPUTS + POOL + 1], hyper, *gradients;
    int count;              /* outputs; the loss is the last */
    void *inputs[POOL];     /* bound: the test's own memory */
} job;

static double leaf_value(uint64_t seed, int leaf, int64_t i) {
    maker m = {.seed = seed ^ (uint64_t)leaf << 40 ^ (uint64_t)i << 8};
    return (double)below(&m, 1 << 20) * 0x1p-19 - 1; /* exact in f32 */
}

static void put(void *data, swg_dtype dtype, int64_t i, double value) {
    if (dtype == SWG_F64)
        ((double *)data)[i] = value;
    else
        ((float *)data)[i] = (float)value;
}

static double get(const void *data, swg_dtype dtype, int64_t i) {
    if (dtype == SWG_I32)
        return ((const int32_t *)data)[i];
    if (dtype == SWG_BF16)
        return (double)swg__f32_of_bf16(((const swg__bf16 *)data)[i]);
    return dtype == SWG_F64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

static swg_status fill_inputs(job *j, const setup *s) {
    for (int i = 0; i < j->m.given; i++) {
        void *data = swg_plan_data(j->plan, j->m.input[i]);
        for (int64_t e = 0; data && e < swg_elements(j->m.g, j->m.input[i]); e++)
            put(data, s->dtype, e, leaf_value(s->seed, POOL + i, e));
    }
    for (int i = 0; i < j->m.leaves && !s->train; i++) {
        int64_t n = swg_elements(j->m.g, j->m.leaf[i]);
        void *data = swg_plan_data(j->plan, j->m.leaf[i]);
        if (s->bound) {
            data = j->inputs[i] = malloc((size_t)n * 8);
            SWG__TRY(swg_plan_bind(j->plan, j->m.leaf[i], data));
        }
        for (int64_t e = 0; data && e < n; e++) /* NULL: no output depends on it */
            put(data, s->dtype, e, leaf_value(s->seed, i, e));
    }
    return SWG_OK;
}

static swg_status open_job(job *j, const setup *s) {
    *j = (job){.m = {.seed = s->seed, .trainable = s->train, .smooth = s->smooth, .casts = s->bf16 || s->casts, .most = s->most,
                     .network = s->network}};
    swg_context_opts opts = {.threads = s->threads};
    if (s->memory)
        opts.allocator = (swg_allocator){testing_alloc, testing_release, s->memory};
    SWG__TRY(swg_context_open(&opts, &j->ctx));
    SWG__TRY(swg_graph_create(j->ctx, &(swg_graph_opts){.dtype = s->dtype}, &j->m.g));
    j->count = build(&j->m, j->outputs);
    swg_value loss = loss_of(&j->m);
    SWG__TRY(swg_graph_status(j->m.g));
    if (s->update) {
        j->hyper = swg_input(j->m.g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
        j->outputs[j->count++] = swg_adam(j->m.g, loss, j->hyper, &(swg_adam_opts){.clip = true, .decoupled = s->seed & 1});
    } else if (s->train) {
        j->gradients = j->outputs + j->count;
        SWG__TRY(swg_gradients(j->m.g, loss, j->m.leaf, j->m.leaves, j->gradients));
        j->count += j->m.leaves;
    }
    j->outputs[j->count++] = loss;
    SWG__TRY(swg_plan_make(j->m.g, &(swg_plan_opts){.outputs = j->outputs, .output_count = j->count, .no_fusion = s->no_fusion, .bf16 = s->bf16,
                                                    .frozen = s->frozen && !j->hyper, .bind_inputs = s->bound, .mode = s->mode,
                                                    .recompute = s->recompute}, &j->plan));
    SWG__TRY(swg_weights_create(j->m.g, j->hyper != SWG_NONE, &j->weights));
    swg_weights_init(j->weights, s->seed);
    SWG__TRY(swg_plan_open(j->plan, j->weights, NULL));
    for (int i = 0; j->plan->replay && i < j->plan->replay->region_count; i++)
        j->plan->replay->regions[i].inline_run = false; /* small graphs: threads meet in every region */
    return fill_inputs(j, s);
}

static void close_job(job *j) {
    swg_plan_destroy(j->plan);
    swg_weights_destroy(j->weights);
    swg_graph_destroy(j->m.g);
    for (int i = 0; i < POOL; i++)
        free(j->inputs[i]);
    if (j->ctx)
        assert_int_equal(swg_context_bytes(j->ctx), 0);
    swg_context_close(j->ctx);
}

static void open_or_fail(job *j, const setup *s) {
    if (open_job(j, s) != SWG_OK)
        fail_msg("graph %llu: %s", (unsigned long long)s->seed, swg_context_message(j->ctx));
}

/* The buffer a value lies in, -1: in none. */
static int written_to(const swg_plan *plan, swg_value v) {
    const swg__location *where = &plan->where[swg__base_of(plan->g, v)];
    return where->kind == SWG__IN_BUFFER ? where->buffer : -1;
}

/* Everything a run may not rely on becomes NaN (or index -1): all buffers but inputs and what frozen steps made. A row panel lies in
 * the buffer of its group. */
static void poison(const swg_plan *plan) {
    for (int b = 0; b < plan->buffer_count; b++) {
        const swg__buffer *buffer = &plan->buffers[b];
        bool kept = buffer->category == SWG__CAT_IO || buffer->panel;
        for (int i = 0; i < plan->step_count; i++)
            kept = kept || (plan->steps[i].frozen && (plan->steps[i].scratch == b || written_to(plan, plan->steps[i].node) == b));
        if (!kept)
            memset(plan->block + buffer->life.offset, 0xFF, (size_t)buffer->life.bytes);
    }
}

static void run(job *j, uint32_t step) {
    if (j->hyper) {
        double b1 = pow(.9, step), b2 = pow(.99, step);
        swg_hyper_adam(&(swg_adam_hyper){.lr = .01, .beta1 = .9, .beta2 = .99, .eps = 1e-3, .weight_decay = .1, .clip_norm = .01,
                                         .grad_scale = 1}, &b1, &b2, j->m.g->dtype, swg_plan_data(j->plan, j->hyper));
    }
    poison(j->plan);
    assert_ok(j->ctx, swg_plan_run(j->plan, 9, step));
}

/* Bits of all outputs and of the weights. */
static uint32_t hash_of(job *j) {
    uint32_t hash = swg__crc32c(0, j->weights->value, (size_t)j->weights->span * swg__dtype_size(j->m.g->dtype));
    for (int i = 0; i < j->count; i++) {
        const swg__node *n = &j->m.g->nodes[j->outputs[i]];
        hash = swg__crc32c(hash, swg_plan_data(j->plan, j->outputs[i]), (size_t)swg__node_bytes(n));
    }
    return hash;
}

static double largest(const void *data, swg_dtype type, int64_t n) {
    double most = 0;
    assert_non_null(data);
    for (int64_t e = 0; e < n; e++)
        most = fmax(most, fabs(get(data, type, e)));
    return most;
}

static void compare_tensors(const setup *s, const char *what, int number, int64_t n, const void *a, swg_dtype a_type, const void *b,
                            swg_dtype b_type, double tolerance, double floor) {
    double most = largest(b, b_type, n) + floor;
    assert_non_null(a);
    for (int64_t e = 0; e < n; e++)
        if (!(fabs(get(a, a_type, e) - get(b, b_type, e)) <= tolerance * most))
            fail_msg("graph %llu, %s %d: element %lld of %lld is %.17g, expected %.17g (scale %.3g)", (unsigned long long)s->seed, what,
                     number, (long long)e, (long long)n, get(a, a_type, e), get(b, b_type, e), most);
}

/* Outputs (and weights, which updates change) of `a` against those of `b`, relative to the largest element of each, or of all
 * by a hundredth: a gradient of nothing but cancelled terms has their rounding errors. */
static void compare(const setup *s, job *a, job *b, double tolerance) {
    double floor = 0;
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < b->count; i++)
        floor = fmax(floor, .01 * largest(swg_plan_data(b->plan, b->outputs[i]), swg_value_dtype(b->m.g, b->outputs[i]),
                                          swg_elements(b->m.g, b->outputs[i])));
    for (int i = 0; i < a->count; i++)
        compare_tensors(s, "output", i, swg_elements(a->m.g, a->outputs[i]), swg_plan_data(a->plan, a->outputs[i]),
                        swg_value_dtype(a->m.g, a->outputs[i]), swg_plan_data(b->plan, b->outputs[i]),
                        swg_value_dtype(b->m.g, b->outputs[i]), tolerance, floor);
    for (int i = 0; i < swg_weights_count(a->weights); i++)
        compare_tensors(s, "parameter", i, swg__shape_elements(swg_weights_ndim(a->weights, i), swg_weights_shape(a->weights, i)),
                        swg_weights_value(a->weights, i), a->m.g->dtype, swg_weights_value(b->weights, i), b->m.g->dtype, tolerance, floor);
}

static setup variant(const setup *s, swg_dtype dtype, int threads, bool no_fusion) {
    setup v = *s;
    v.dtype = dtype;
    v.threads = threads;
    v.no_fusion = no_fusion;
    return v;
}

/* All promises that hold between plans of one graph. f32_tolerance 0: kinks may lie between the two precisions. */
static void check(const setup *s, double f32_tolerance) {
    job truth, fused, single, plain;
    setup of_truth = variant(s, SWG_F64, 1, true), of_fused = variant(s, SWG_F64, 1, false), of_single = variant(s, SWG_F32, 1, false),
          of_plain = variant(s, SWG_F32, 1, true);
    open_or_fail(&truth, &of_truth);
    open_or_fail(&fused, &of_fused);
    open_or_fail(&single, &of_single);
    open_or_fail(&plain, &of_plain);
    uint32_t bits[2] = {0, 0};
    for (uint32_t step = 0; step < 2; step++) {
        run(&truth, step);
        run(&fused, step);
        run(&single, step);
        run(&plain, step);
        compare(s, &fused, &truth, 1e-12);
        if (f32_tolerance > 0) {
            compare(s, &single, &truth, f32_tolerance);
            compare(s, &plain, &truth, f32_tolerance);
        }
        bits[step] = hash_of(&single);
    }
    close_job(&truth);
    close_job(&fused);
    close_job(&plain);
    if (!single.hyper) { /* a run has no memory of the last one */
        run(&single, 0);
        assert_int_equal(hash_of(&single), bits[0]);
    }
    close_job(&single);
    /* Threads, weights packed once, inputs in the caller's memory, steps in regions change no bit. */
    static const char *const kinds[3] = {"3 threads", "frozen weights, bound inputs", "regions on 3 threads"};
    for (int kind = 0; kind < 3; kind++) {
        job other;
        setup of_other = variant(s, SWG_F32, kind == 1 ? 1 : 3, false);
        of_other.frozen = of_other.bound = kind == 1 && !s->update;
        of_other.mode = kind == 2 ? SWG_PLAN_REDUCE_OVERHEAD : SWG_PLAN_DEFAULT;
        open_or_fail(&other, &of_other);
        for (uint32_t step = 0; step < 2; step++) {
            run(&other, step);
            if (hash_of(&other) != bits[step])
                fail_msg("graph %llu: other bits with %s", (unsigned long long)s->seed, kinds[kind]);
        }
        close_job(&other);
    }
}

static void values(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 600 / SHARE; seed++)
        check(&(setup){.seed = seed, .most = 5000}, 2e-5);
}

static void gradients_of_smooth_graphs(void **state) {
    (void)state;
    for (uint64_t seed = 1001; seed <= 1000 + 200 / SHARE; seed++)
        check(&(setup){.seed = seed, .most = 3000, .train = true, .smooth = true}, 1e-4);
}

static void gradients_of_any_graph(void **state) {
    (void)state;
    for (uint64_t seed = 2001; seed <= 2000 + 200 / SHARE; seed++)
        check(&(setup){.seed = seed, .most = 3000, .train = true}, 0);
}

static void updates(void **state) {
    (void)state;
    for (uint64_t seed = 3001; seed <= 3000 + 200 / SHARE; seed++) {
        setup s = {.seed = seed, .most = 2000, .train = true, .update = true}, of_update = variant(&s, SWG_F64, 1, false),
              of_gradients = of_update;
        job update, gradients;
        check(&s, 0);
        of_gradients.update = false;
        open_or_fail(&update, &of_update);
        open_or_fail(&gradients, &of_gradients);
        run(&update, 0);
        run(&gradients, 0);
        for (int i = 0; i < gradients.m.leaves; i++)
            compare_tensors(&s, "gradient", i, swg_elements(gradients.m.g, gradients.m.leaf[i]), swg_weights_gradient(update.weights, i),
                            SWG_F64, swg_plan_data(gradients.plan, gradients.gradients[i]), SWG_F64, 1e-12, 1e-6);
        close_job(&update);
        close_job(&gradients);
    }
}

/* Policies of recomputation give the same bits: outputs, weights and running statistics. */
static void recomputation(void **state) {
    (void)state;
    static const swg_recompute policies[] = {{.policy = SWG_RECOMPUTE_OFF}, {.policy = SWG_RECOMPUTE_FREE}, {.policy = SWG_RECOMPUTE_ATTENTION},
                                             {.policy = SWG_RECOMPUTE_BLOCKS}, {.policy = SWG_RECOMPUTE_SEGMENTS, .segments = 3},
                                             {.policy = SWG_RECOMPUTE_SEGMENTS, .segments = 1},
                                             {.policy = SWG_RECOMPUTE_BUDGET, .budget_share = .93}};
    enum { POLICIES = sizeof policies / sizeof policies[0], RUNS = 3 };
    int changed[POLICIES] = {0}, refused = 0;
    for (uint64_t seed = 6001; seed <= 6000 + 120 / SHARE; seed++) {
        uint32_t bits[RUNS] = {0};
        int steps = 0;
        for (int p = 0; p < POLICIES; p++) {
            setup s = {.seed = seed, .most = 3000, .train = true, .network = true, .update = true, .threads = 1 + p % 3,
                       .dtype = seed % 4 ? SWG_F32 : SWG_F64, .no_fusion = seed % 5 == 0, .recompute = policies[p]};
            job j;
            swg_status status = open_job(&j, &s);
            if (status == SWG_EINVAL && policies[p].policy == SWG_RECOMPUTE_BUDGET) {
                assert_non_null(strstr(swg_context_message(j.ctx), "the least possible peak is"));
                refused++;
                close_job(&j);
                continue;
            }
            assert_ok(j.ctx, status);
            steps = p ? steps : swg_plan_steps(j.plan);
            changed[p] += swg_plan_steps(j.plan) > steps;
            for (uint32_t step = 0; step < RUNS; step++) {
                run(&j, step);
                uint32_t own = swg__crc32c(hash_of(&j), j.weights->state, (size_t)j.weights->state_span * swg__dtype_size(s.dtype));
                bits[step] = p ? bits[step] : own;
                if (own != bits[step])
                    fail_msg("graph %llu: other bits with recomputation %d in step %u", (unsigned long long)seed, p, (unsigned)step);
            }
            close_job(&j);
        }
    }
    for (int p = 1; p < POLICIES; p++)
        if (!changed[p])
            fail_msg("recomputation %d changed no plan", p);
    assert_true(refused < 120 / SHARE);
}

static int narrow_values(const swg_plan *plan) {
    int count = 0;
    for (int i = 0; i < plan->step_count; i++)
        count += plan->steps[i].call.node->dtype == SWG_BF16;
    return count;
}

/* Activations in bf16: near the f64 truth, and the same bits with 3 threads, with inputs elsewhere and in a second run. */
static int check_bf16(const setup *s, double tolerance) {
    job truth, fused, plain, other;
    setup of_truth = variant(s, SWG_F64, 1, true), of_fused = variant(s, SWG_F32, 1, false), of_plain = variant(s, SWG_F32, 1, true),
          of_other = variant(s, SWG_F32, 3, false);
    of_truth.casts = true;
    of_fused.bf16 = of_plain.bf16 = of_other.bf16 = true;
    of_other.bound = !s->update;
    open_or_fail(&truth, &of_truth);
    open_or_fail(&fused, &of_fused);
    open_or_fail(&plain, &of_plain);
    open_or_fail(&other, &of_other);
    uint32_t first = 0;
    for (uint32_t step = 0; step < 2; step++) {
        run(&truth, step);
        run(&fused, step);
        run(&plain, step);
        run(&other, step);
        if (tolerance > 0) {
            compare(s, &fused, &truth, tolerance);
            compare(s, &plain, &truth, tolerance);
        }
        if (hash_of(&fused) != hash_of(&other))
            fail_msg("graph %llu in bf16: other bits with 3 threads, bound inputs", (unsigned long long)s->seed);
        first = step ? first : hash_of(&fused);
    }
    if (!fused.hyper) {
        run(&fused, 0);
        assert_int_equal(hash_of(&fused), first);
    }
    int count = narrow_values(fused.plan);
    close_job(&truth);
    close_job(&fused);
    close_job(&plain);
    close_job(&other);
    return count;
}

static void bf16(void **state) {
    (void)state;
    int smooth = 0, any = 0, updated = 0;
    for (uint64_t seed = 1001; seed <= 1000 + 200 / SHARE; seed++)
        smooth += check_bf16(&(setup){.seed = seed, .most = 3000, .train = true, .smooth = true}, .1);
    for (uint64_t seed = 2001; seed <= 2000 + 200 / SHARE; seed++)
        any += check_bf16(&(setup){.seed = seed, .most = 3000, .train = true}, 0);
    for (uint64_t seed = 3001; seed <= 3000 + 100 / SHARE; seed++)
        updated += check_bf16(&(setup){.seed = seed, .most = 2000, .train = true, .update = true}, 0);
    if (smooth < 100 / SHARE || any < 100 / SHARE || updated < 50 / SHARE)
        fail_msg("%d, %d and %d values in bf16: the graphs do not test it", smooth, any, updated);
}

static void central_differences(void **state) {
    (void)state;
    for (uint64_t seed = 4001; seed <= 4000 + 150 / SHARE; seed++) {
        setup s = {.seed = seed, .dtype = SWG_F64, .threads = 1, .most = 200, .train = true};
        job j;
        open_or_fail(&j, &s);
        run(&j, 0);
        const double *loss = swg_plan_data(j.plan, j.outputs[j.count - 1]), h = 1e-5;
        for (int p = 0; p < j.m.leaves; p++) {
            double *w = swg_weights_value(j.weights, p);
            int64_t n = swg_elements(j.m.g, j.m.leaf[p]);
            for (int64_t e = below(&j.m, n); e < n; e += 1 + n / 4) {
                double kept = w[e], side[2], gradient;
                for (int k = 0; k < 2; k++) {
                    w[e] = kept + (k ? -h : h);
                    run(&j, 0);
                    side[k] = *loss;
                }
                w[e] = kept;
                run(&j, 0);
                gradient = get(swg_plan_data(j.plan, j.gradients[p]), SWG_F64, e);
                double numeric = (side[0] - side[1]) / (2 * h);
                if (!(fabs(gradient - numeric) <= 1e-8 + 1e-6 * fabs(numeric)))
                    fail_msg("graph %llu: d loss / d leaf%d[%lld] = %.12g, central difference %.12g", (unsigned long long)seed, p,
                             (long long)e, gradient, numeric);
            }
        }
        close_job(&j);
    }
}

static void out_of_memory(void **state) {
    (void)state;
    for (uint64_t seed = 5001; seed <= 5006; seed++)
        for (int64_t n = 0;; n++) {
            testing_allocator memory = {.fail_at = n};
            setup s = {.seed = seed, .threads = 2, .most = 300, .train = seed & 1, .update = seed & 2, .bf16 = seed > 5003, .memory = &memory,
                       .mode = seed & 1 ? SWG_PLAN_REDUCE_OVERHEAD : SWG_PLAN_DEFAULT};
            job j;
            swg_status status = open_job(&j, &s);
            if (status != SWG_OK && status != SWG_ENOMEM)
                fail_msg("graph %llu, allocation %lld failing: %s", (unsigned long long)seed, (long long)n, swg_status_name(status));
            if (status == SWG_OK)
                run(&j, 0);
            close_job(&j);
            assert_int_equal(memory.live, 0);
            if (status == SWG_OK && memory.calls <= n)
                break;
            assert_true(n < 5000);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(gradients_of_smooth_graphs),
        cmocka_unit_test(gradients_of_any_graph),
        cmocka_unit_test(updates),
        cmocka_unit_test(recomputation),
        cmocka_unit_test(bf16),
        cmocka_unit_test(central_differences),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
