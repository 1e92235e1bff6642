/* ref_norm.c - the slow truth of statistics, their gradient sums and states.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "kernel/ref.h"

/* Place of an element among those kept by a reduction over `axes`. */
static int64_t kept_at(const swg__node *x, const int64_t *index, uint32_t axes) {
    int64_t at = 0;
    for (int i = 0; i < x->ndim; i++)
        if (!(axes >> i & 1))
            at = at * x->shape[i] + index[i];
    return at;
}

void swg__ref_norm_stats(const swg__call *call) {
    const swg__node *n = call->node, *in = &call->g->nodes[n->in[0]];
    int64_t all = swg__shape_elements(in->ndim, in->shape), kept = n->shape[1], count = all / kept, index[SWG_MAX_DIMS];
    const double *x = call->in[0];
    double *mean = call->out, *variance = mean + kept;
    memset(mean, 0, (size_t)(2 * kept) * sizeof *mean);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < all; i++) {
            swg__ref_unravel(in, i, index);
            int64_t at = kept_at(in, index, n->attr.axes);
            if (pass == 0)
                mean[at] += x[i] / (double)count;
            else
                variance[at] += (x[i] - mean[at]) * (x[i] - mean[at]) / (double)count;
        }
}

void swg__ref_norm_sums(const swg__call *call) {
    const swg__node *n = call->node, *x = &call->g->nodes[n->in[1]];
    int64_t all = swg__shape_elements(x->ndim, x->shape), kept = n->shape[1], index[SWG_MAX_DIMS];
    double *out = call->out;
    memset(out, 0, (size_t)(2 * kept) * sizeof *out);
    for (int64_t i = 0; i < all; i++) {
        double in[5] = {0, 0, 0, 0, 1};
        swg__ref_unravel(x, i, index);
        for (int j = 0; j < n->inputs; j++)
            in[j] = ((const double *)call->in[j])[swg__ref_ravel(&call->g->nodes[n->in[j]], x->ndim, index)];
        int64_t at = kept_at(x, index, n->attr.axes);
        out[at] += in[0] * in[4];
        out[kept + at] += in[0] * in[4] * (in[1] - in[2]) * in[3];
    }
}

void swg__ref_assign(const swg__call *call) {
    bool assigns = call->node->op == SWG__ASSIGN;
    if (!assigns || call->node->inputs < 3 || isfinite(*(const double *)call->in[2]))
        memcpy(call->out, call->in[assigns], (size_t)swg__node_bytes(call->node));
}

/* A row of layer norm: its number of elements, mean and 1 / sqrt(variance + eps). */
typedef struct row { int64_t n; double mean, rstd; } row;
static row row_of(const swg__call *call, int64_t r) {
    const swg__node *x = &call->g->nodes[call->node->in[0]];
    int first = call->node->attr.axis;
    row s = {.n = swg__shape_elements(x->ndim - first, x->shape + first)};
    const double *from = (const double *)call->in[0] + r * s.n;
    double squares = 0;
    for (int64_t i = 0; i < s.n; i++)
        s.mean += from[i] / (double)s.n;
    for (int64_t i = 0; i < s.n; i++)
        squares += (from[i] - s.mean) * (from[i] - s.mean) / (double)s.n;
    s.rstd = 1 / sqrt(squares + call->node->attr.f[0]);
    return s;
}

void swg__ref_layer_norm(const swg__call *call) {
    int64_t all = swg__shape_elements(call->node->ndim, call->node->shape), n = row_of(call, 0).n;
    const double *x = call->in[0], *gamma = call->node->inputs > 1 ? call->in[1] : NULL, *beta = call->node->inputs > 2 ? call->in[2] : NULL;
    for (int64_t r = 0; r < all / n; r++) {
        row s = row_of(call, r);
        for (int64_t i = 0; i < n; i++)
            ((double *)call->out)[r * n + i] = (x[r * n + i] - s.mean) * s.rstd * (gamma ? gamma[i] : 1) + (beta ? beta[i] : 0);
    }
}

void swg__ref_layer_norm_grad(const swg__call *call) {
    int64_t all = swg__shape_elements(call->node->ndim, call->node->shape), n = row_of(call, 0).n;
    const double *x = call->in[0], *dy = call->in[1], *gamma = call->node->inputs > 2 ? call->in[2] : NULL;
    for (int64_t r = 0; r < all / n; r++) {
        row s = row_of(call, r);
        double first = 0, second = 0;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t i = 0; i < n; i++) {
                double d = dy[r * n + i] * (gamma ? gamma[i] : 1), hat = (x[r * n + i] - s.mean) * s.rstd;
                if (pass)
                    ((double *)call->out)[r * n + i] = s.rstd * (d - (first + hat * second) / (double)n);
                first += pass ? 0 : d;
                second += pass ? 0 : d * hat;
            }
    }
}

void swg__ref_layer_norm_sums(const swg__call *call) {
    const swg__node *in = &call->g->nodes[call->node->in[0]];
    int64_t n = call->node->shape[1], rows = swg__shape_elements(in->ndim, in->shape) / n;
    const double *x = call->in[0], *dy = call->in[1];
    double *out = call->out;
    memset(out, 0, (size_t)(2 * n) * sizeof *out);
    for (int64_t r = 0; r < rows; r++) {
        row s = row_of(call, r);
        for (int64_t i = 0; i < n; i++) {
            out[i] += dy[r * n + i];
            out[n + i] += dy[r * n + i] * (x[r * n + i] - s.mean) * s.rstd;
        }
    }
}
