/* ref.c - the slow truth: every operation in f64, one plain loop each, libm functions, no blocking and no threads.
 * It runs f64 graphs (gradient checks) and is what the f32 kernels are compared with. Clarity over everything.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "bf16.h"
#include "kernel/ref.h"
#include "philox.h"

static double scalar(int op, double a, double b, double c, const double f[2]) {
    switch (op) {
    case SWG__NEG: return -a;
    case SWG__ABS: return fabs(a);
    case SWG__SIGN: return (a > 0) - (a < 0);
    case SWG__SQUARE: return a * a;
    case SWG__SQRT: return sqrt(a);
    case SWG__RSQRT: return 1 / sqrt(a);
    case SWG__RECIP: return 1 / a;
    case SWG__EXP: return exp(a);
    case SWG__LOG: return log(a);
    case SWG__LOG1P: return log1p(a);
    case SWG__RELU: return a <= 0 ? 0 : a;
    case SWG__GELU: return a * .5 * erfc(-a * M_SQRT1_2);
    case SWG__DGELU: return .5 * erfc(-a * M_SQRT1_2) + a * exp(-a * a / 2) * .39894228040143267794;
    case SWG__TANH: return tanh(a);
    case SWG__SIGMOID: return 1 / (1 + exp(-a));
    case SWG__LEAKY_RELU: return a > 0 ? a : f[0] * a;
    case SWG__ELU: return a > 0 ? a : f[0] * expm1(a);
    case SWG__SOFTPLUS: return fmax(a, 0) + log1p(exp(-fabs(a)));
    case SWG__AFFINE: return f[0] * a + f[1];
    case SWG__CLAMP: return a < f[0] ? f[0] : a > f[1] ? f[1] : a;
    case SWG__INSIDE: return a >= f[0] && a <= f[1];
    case SWG__DETACH:
    case SWG__CAST: return a; /* an f64 graph has one type */
    case SWG__ADD: return a + b;
    case SWG__SUB: return a - b;
    case SWG__MUL: return a * b;
    case SWG__DIV: return a / b;
    case SWG__MAX: return a >= b || isnan(a) ? a : b;
    case SWG__MIN: return a <= b || isnan(a) ? a : b;
    case SWG__GREATER: return a > b;
    case SWG__EQUAL: return a == b;
    case SWG__GATE: return b > 0 ? a : 0;
    case SWG__ROUND: return nearbyint(a);
    case SWG__NARROW: return (double)swg__f32_of_bf16(swg__bf16_of((float)a));
    case SWG__WHERE: return a != 0 ? b : c;
    default: return NAN;
    }
}

/* Multi-index of flat element i. */
void swg__ref_unravel(const swg__node *n, int64_t i, int64_t index[SWG_MAX_DIMS]) {
    for (int axis = n->ndim - 1; axis >= 0; axis--) {
        index[axis] = i % n->shape[axis];
        i /= n->shape[axis];
    }
}

/* Flat element of `in` that broadcasts to `index` of a result with `ndim` axes. */
int64_t swg__ref_ravel(const swg__node *in, int ndim, const int64_t index[SWG_MAX_DIMS]) {
    int64_t flat = 0;
    for (int axis = 0; axis < in->ndim; axis++)
        flat = flat * in->shape[axis] + (in->shape[axis] == 1 ? 0 : index[axis + ndim - in->ndim]);
    return flat;
}

void swg__ref_elementwise(const swg__call *call) {
    const swg__node *n = call->node;
    double *out = call->out;
    int64_t elements = swg__shape_elements(n->ndim, n->shape), index[SWG_MAX_DIMS];
    swg__program program;
    swg__program_of(n, &program);
    for (int64_t i = 0; i < elements; i++) {
        double reg[SWG__PROGRAM_INPUTS + SWG__PROGRAM_TILES] = {0}, result = 0;
        swg__ref_unravel(n, i, index);
        for (int j = 0; j < n->inputs; j++)
            reg[j] = ((const double *)call->in[j])[swg__ref_ravel(&call->g->nodes[n->in[j]], n->ndim, index)];
        for (int s = 0; s < program.length; s++) {
            const swg__instruction *c = &program.code[s];
            reg[c->out] = result = scalar(c->op, reg[c->in[0]], reg[c->in[1]], reg[c->in[2]], c->f);
        }
        out[i] = result;
    }
}

void swg__ref_matmul(const swg__call *call) {
    const swg__node *n = call->node, *a = &call->g->nodes[n->in[0]];
    int64_t rows = n->shape[n->ndim - 2], columns = n->shape[n->ndim - 1], k = a->shape[a->ndim - (n->attr.trans_a ? 2 : 1)];
    int64_t batch = swg__shape_elements(n->ndim - 2, n->shape);
    int extra = 2;
    const double *bias = n->attr.bias ? call->in[extra++] : NULL, *gate = n->attr.gate ? call->in[extra] : NULL;
    for (int64_t g = 0; g < batch; g++)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++) {
                const double *x = (const double *)call->in[0] + g * rows * k, *y = (const double *)call->in[1] + g * columns * k;
                double sum = 0;
                for (int64_t l = 0; l < k; l++)
                    sum += (n->attr.trans_a ? x[l * rows + i] : x[i * k + l]) * (n->attr.trans_b ? y[j * k + l] : y[l * columns + j]);
                sum += bias ? bias[j] : 0; /* last, as the fast kernels do: fused or not, the bits are the same */
                int64_t at = (g * rows + i) * columns + j;
                if ((n->attr.relu && sum <= 0) || (gate && !(gate[at] > 0)))
                    sum = 0;
                ((double *)call->out)[at] = sum;
            }
}

void swg__ref_reduce(const swg__call *call) {
    const swg__node *n = call->node, *in = &call->g->nodes[n->in[0]];
    int64_t elements = swg__shape_elements(n->ndim, n->shape), all = swg__shape_elements(in->ndim, in->shape), index[SWG_MAX_DIMS];
    double *out = call->out;
    const double *x = call->in[0];
    bool is_sum = n->op == SWG__SUM;
    for (int64_t i = 0; i < elements; i++)
        out[i] = is_sum ? 0 : -INFINITY;
    for (int64_t i = 0; i < all; i++) {
        swg__ref_unravel(in, i, index);
        double *to = &out[swg__ref_ravel(n, in->ndim, index)];
        *to = is_sum ? *to + x[i] : x[i] > *to || x[i] != x[i] ? x[i] : *to;
    }
    for (int64_t i = 0; i < elements && is_sum; i++)
        out[i] *= n->attr.f[0];
}

void swg__ref_softmax(const swg__call *call) {
    const swg__node *n = call->node;
    int64_t last = n->shape[n->ndim - 1], rows = swg__shape_elements(n->ndim, n->shape) / last;
    for (int64_t r = 0; r < rows; r++) {
        const double *x = (const double *)call->in[0] + r * last;
        double *y = (double *)call->out + r * last, most = x[0], total = 0;
        for (int64_t i = 1; i < last; i++)
            most = fmax(most, x[i]);
        for (int64_t i = 0; i < last; i++)
            total += exp(x[i] - most);
        for (int64_t i = 0; i < last; i++)
            y[i] = n->op == SWG__SOFTMAX ? exp(x[i] - most) / total : x[i] - most - log(total);
    }
}

void swg__ref_move(const swg__call *call) {
    const swg__node *n = call->node;
    double *out = call->out;
    int64_t elements = swg__shape_elements(n->ndim, n->shape), index[SWG_MAX_DIMS];
    for (int64_t i = 0; i < elements; i++) {
        swg__ref_unravel(n, i, index);
        int source = 0;
        bool inside = true;
        if (n->op == SWG__PERMUTE) {
            int64_t from[SWG_MAX_DIMS];
            for (int axis = 0; axis < n->ndim; axis++)
                from[n->attr.begin[axis]] = index[axis];
            memcpy(index, from, sizeof from);
        } else if (n->op == SWG__SLICE) {
            for (int axis = 0; axis < n->ndim; axis++)
                index[axis] += n->attr.begin[axis];
        } else if (n->op == SWG__PAD) {
            for (int axis = 0; axis < n->ndim; axis++) {
                index[axis] -= n->attr.begin[axis];
                inside = inside && index[axis] >= 0 && index[axis] < call->g->nodes[n->in[0]].shape[axis];
            }
        } else if (n->op == SWG__CONCAT) {
            int64_t *at = &index[n->attr.axis], extent;
            while (*at >= (extent = call->g->nodes[n->in[source]].shape[n->attr.axis])) {
                *at -= extent;
                source++;
            }
        }
        out[i] = inside ? ((const double *)call->in[source])[swg__ref_ravel(&call->g->nodes[n->in[source]], n->ndim, index)] : 0;
    }
}

/* Flat element with the index along `axis` replaced. */
static int64_t replaced(const swg__node *n, int64_t i, int axis, int64_t at) {
    int64_t index[SWG_MAX_DIMS];
    swg__ref_unravel(n, i, index);
    index[axis] = at;
    return swg__ref_ravel(n, n->ndim, index);
}

/* Rank of each element by counting: quadratic, and beyond doubt. */
void swg__ref_argsort(const swg__call *call) {
    const swg__node *n = call->node;
    const double *x = call->in[0];
    int64_t elements = swg__shape_elements(n->ndim, n->shape), extent = n->shape[n->attr.axis], index[SWG_MAX_DIMS];
    for (int64_t i = 0; i < elements; i++) {
        swg__ref_unravel(n, i, index);
        int64_t own = index[n->attr.axis], rank = 0;
        for (int64_t j = 0; j < extent; j++) {
            double other = x[replaced(n, i, n->attr.axis, j)];
            rank += other < x[i] || (isnan(x[i]) && !isnan(other)) || ((other == x[i] || (isnan(other) && isnan(x[i]))) && j < own);
        }
        ((int32_t *)call->out)[replaced(n, i, n->attr.axis, rank)] = (int32_t)own;
    }
}

void swg__ref_along(const swg__call *call) {
    const swg__node *n = call->node;
    int64_t elements = swg__shape_elements(n->ndim, n->shape);
    const double *x = call->in[0];
    double *out = call->out;
    for (int64_t i = 0; i < elements; i++) {
        int64_t there = replaced(n, i, n->attr.axis, ((const int32_t *)call->in[1])[i]);
        if (n->op == SWG__TAKE)
            out[i] = x[there];
        else
            out[there] = x[i];
    }
}

void swg__ref_random(const swg__call *call) {
    int64_t elements = swg__shape_elements(call->node->ndim, call->node->shape);
    double *out = call->out;
    for (int64_t i = 0; i < elements; i++) {
        swg__philox_words w = swg__philox(call->seed, (uint64_t)i / 4, call->step, call->node->attr.stream);
        int word = (int)(i % 4);
        if (call->node->op == SWG__UNIFORM) {
            out[i] = (double)swg__uniform(w.w[word]);
            continue;
        }
        double u1 = ((double)(w.w[word & 2] >> 8) + 1) * 0x1p-24, u2 = (double)(w.w[(word & 2) + 1] >> 8) * 0x1p-24;
        double radius = sqrt(-2 * log(u1)), angle = 2 * M_PI * u2;
        out[i] = radius * (word & 1 ? sin(angle) : cos(angle));
    }
}

/* ---- one kernel that runs them all, as a single unit ---- */

static int64_t single(const swg__call *call) {
    (void)call;
    return 1;
}

void swg__ref_none(const swg__call *call) { (void)call; }

static void (*const references[SWG__OP_COUNT])(const swg__call *) = {
#define OP(id, text, class, inputs, gradient, kernel, reference, bf16) [SWG__##id] = swg__ref_##reference,
#include "ir/op.def"
#undef OP
};

static void run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)begin, (void)end, (void)worker;
    references[call->node->op](call);
}

const swg__kernel swg__kernel_reference = {.name = "reference", .units = single, .grain = single, .run = run};
