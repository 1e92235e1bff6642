/* ref_conv.c - the slow truth of convolutions in f64: every product of the form in ir/conv.h, added where it belongs.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "ir/conv.h"
#include "kernel/ref.h"

/* Element (n, position, channel) of a channels-last tensor. */
static int64_t element(int64_t n, const int64_t extent[3], const int64_t at[3], int64_t channels, int64_t channel) {
    return (((n * extent[0] + at[0]) * extent[1] + at[1]) * extent[2] + at[2]) * channels + channel;
}

/* Adds the products of one output position and one tap. */
static void add_products(const swg__call *call, const swg__conv *c, int64_t n, const int64_t p[3], const int64_t q[3], int64_t t) {
    int64_t wide = c->in_channels / c->groups, narrow = c->out_channels / c->groups;
    double *out = call->out;
    const double *a = call->in[0], *b = call->in[1];
    for (int64_t o = 0; o < c->out_channels; o++)
        for (int64_t i = 0; i < wide; i++) {
            int64_t x = element(n, c->in, q, c->in_channels, o / narrow * wide + i), w = (o * wide + i) * c->taps + t;
            int64_t y = element(n, c->out, p, c->out_channels, o);
            if (call->node->op == SWG__CONV)
                out[y] += a[x] * b[w];
            else if (call->node->op == SWG__CONV_TRANSPOSE)
                out[x] += a[y] * b[w];
            else
                out[w] += a[x] * b[y];
        }
}

static void epilogue(const swg__call *call) {
    const swg__node *n = call->node;
    double *out = call->out;
    int extra = 2;
    const double *bias = n->attr.bias ? call->in[extra++] : NULL, *gate = n->attr.gate ? call->in[extra] : NULL;
    for (int64_t i = 0; i < swg__shape_elements(n->ndim, n->shape); i++) {
        out[i] += bias ? bias[i % n->shape[n->ndim - 1]] : 0;
        if ((n->attr.relu && out[i] <= 0) || (gate && !(gate[i] > 0)))
            out[i] = 0;
    }
}

void swg__ref_conv(const swg__call *call) {
    swg__conv c = swg__conv_of(call->g, call->node);
    memset(call->out, 0, (size_t)swg__node_bytes(call->node));
    int64_t positions = c.out[0] * c.out[1] * c.out[2];
    for (int64_t i = 0; i < c.batch * positions * c.taps; i++) {
        int64_t t = i % c.taps, at = i / c.taps % positions, p[3], q[3];
        const int64_t tap[3] = {t / c.kernel[2] / c.kernel[1], t / c.kernel[2] % c.kernel[1], t % c.kernel[2]};
        bool inside = true;
        for (int axis = 2; axis >= 0; axis--) {
            p[axis] = at % c.out[axis];
            at /= c.out[axis];
            q[axis] = p[axis] * c.stride[axis] + tap[axis] * c.dilation[axis] - c.before[axis];
            inside = inside && q[axis] >= 0 && q[axis] < c.in[axis];
        }
        if (inside)
            add_products(call, &c, i / c.taps / positions, p, q, t);
    }
    if (call->node->op != SWG__CONV_WEIGHTS)
        epilogue(call);
}
