/* stft.h - extents of a short-time Fourier transform and its adjoint.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_IR_STFT_H
#define SWAGE_IR_STFT_H

#include "ir.h"

typedef struct swg__stft {
    int64_t batch, channels, samples, bins, frames;
    int64_t n, hop, window;     /* window: its samples, in the middle of n */
    bool inverse;               /* the inverse and its adjoint; else the transform and its adjoint */
    bool to_signal;             /* the node is a signal, made of a spectrum */
} swg__stft;

static inline swg__stft swg__stft_of(const swg_graph *g, const swg__node *n) {
    bool to_signal = n->op == SWG__ISTFT;
    const swg__node *x = to_signal ? n : &g->nodes[n->in[0]], *s = to_signal ? &g->nodes[n->in[0]] : n;
    return (swg__stft){.batch = x->shape[0], .channels = x->shape[1], .samples = x->shape[2], .bins = s->shape[2], .frames = s->shape[3],
                       .n = n->attr.stride[0], .hop = n->attr.dilation[0], .window = n->attr.before[0], .inverse = n->attr.trans_a,
                       .to_signal = to_signal};
}

/* Periodic Hann window at sample i of n. */
double swg__stft_window(const swg__stft *s, int64_t i);
/* Sum of squared windows over sample `at` of the signal, at least 1e-11. */
double swg__stft_envelope(const swg__stft *s, int64_t at);
/* Sample of the signal that sample i of a frame is: reflected at the ends, or -1 outside in an inverse. */
static inline int64_t swg__stft_at(const swg__stft *s, int64_t frame, int64_t i) {
    int64_t at = frame * s->hop + i - s->n / 2;
    if (s->inverse)
        return at < s->samples ? at : -1;
    at = at < 0 ? -at : at;
    return at >= s->samples ? 2 * (s->samples - 1) - at : at;
}

#endif
