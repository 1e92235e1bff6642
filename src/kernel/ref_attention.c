/* ref_attention.c - the slow truth of attention and its gradients.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "ir/attention.h"
#include "kernel/ref.h"

static int64_t at(swg__heads t, int64_t b, int64_t h, int64_t i) { return b * t.batch + h * t.head + i * t.row; }

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static double score(const swg__call *call, const swg__attention *a, int mask, int64_t b, int64_t h, int64_t i, int64_t j) {
    double s = a->scale * dot((const double *)call->in[0] + at(a->q, b, h, i), (const double *)call->in[1] + at(a->k, b, h, j), a->d);
    return a->masked ? s + ((const double *)call->in[mask])[at(a->mask, b, h, i) + j] : s;
}

void swg__ref_attention(const swg__call *call) {
    swg__attention a = swg__attention_of(call->g, call->node);
    for (int64_t b = 0; b < a.batch; b++)
        for (int64_t h = 0; h < a.heads; h++)
            for (int64_t i = 0; i < a.n; i++) {
                double most = -INFINITY, sum = 0, *y = (double *)call->out + at(a.y, b, h, i);
                for (int64_t j = 0; j < a.m; j++)
                    most = fmax(most, score(call, &a, 3, b, h, i, j));
                memset(y, 0, (size_t)a.dv * sizeof *y);
                for (int64_t j = 0; j < a.m && most != -INFINITY; j++) { /* a row that sees nothing stays 0 */
                    double p = exp(score(call, &a, 3, b, h, i, j) - most);
                    const double *v = (const double *)call->in[2] + at(a.v, b, h, j);
                    sum += p;
                    for (int64_t c = 0; c < a.dv; c++)
                        y[c] += p * v[c];
                }
                for (int64_t c = 0; c < a.dv && sum != 0; c++)
                    y[c] /= sum;
                ((double *)call->out)[b * a.y.batch + h * a.lse_head + i * a.y.row + a.lse_first] = most + log(sum);
            }
}

/* Adds to dq, dk, dv of one pair of rows, or to the mask's gradient. */
void swg__ref_attention_grad(const swg__call *call) {
    swg__attention a = swg__attention_of(call->g, call->node);
    bool of_mask = call->node->op == SWG__ATTENTION_MASK_GRAD;
    int64_t all = swg__attention_grads(&a);
    double *out = call->out;
    memset(out, 0, (size_t)swg__node_bytes(call->node));
    for (int64_t b = 0; b < a.batch; b++)
        for (int64_t h = 0; h < a.heads; h++)
            for (int64_t i = 0; i < a.n; i++) {
                const double *q = (const double *)call->in[0] + at(a.q, b, h, i), *y = (const double *)call->in[3] + at(a.y, b, h, i);
                const double *dy = (const double *)call->in[4] + at(a.y, b, h, i);
                int64_t lse_at = b * a.y.batch + h * a.lse_head + i * a.y.row + a.lse_first;
                double lse = ((const double *)call->in[3])[lse_at], shared = dot(y, dy, a.dv) - ((const double *)call->in[4])[lse_at];
                for (int64_t j = 0; j < a.m && lse != -INFINITY; j++) {
                    const double *k = (const double *)call->in[1] + at(a.k, b, h, j), *v = (const double *)call->in[2] + at(a.v, b, h, j);
                    double p = exp(score(call, &a, 5, b, h, i, j) - lse), ds = p * (dot(dy, v, a.dv) - shared);
                    if (of_mask) {
                        out[at(a.mask, b, h, i) + j] += ds;
                        continue;
                    }
                    double *dq = out + b * all + h * a.q.head + i * a.q.row;
                    double *dk = out + b * all + swg__attention_k_first(&a) + h * a.k.head + j * a.k.row;
                    double *dv = out + b * all + swg__attention_v_first(&a) + h * a.v.head + j * a.v.row;
                    for (int64_t c = 0; c < a.d; c++) {
                        dq[c] += a.scale * ds * k[c];
                        dk[c] += a.scale * ds * q[c];
                    }
                    for (int64_t c = 0; c < a.dv; c++)
                        dv[c] += p * dy[c];
                }
            }
}
