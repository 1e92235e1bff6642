/* build_stft.c - builders and shape rules of the short-time Fourier transform and its inverse.
 * In: values of a graph. Out: a new value; on error the graph latches the first message.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "stft.h"

double swg__stft_window(const swg__stft *s, int64_t i) {
    int64_t at = i - (s->n - s->window) / 2;
    return at < 0 || at >= s->window ? 0 : .5 - .5 * cos(6.283185307179586477 * (double)at / (double)s->window);
}

double swg__stft_envelope(const swg__stft *s, int64_t at) {
    int64_t place = at + s->n / 2, first = place < s->n ? 0 : (place - s->n) / s->hop + 1;
    double sum = 0;
    for (int64_t frame = first; frame < s->frames && frame * s->hop <= place; frame++) {
        double w = swg__stft_window(s, place - frame * s->hop);
        sum += w * w;
    }
    return fmax(sum, 1e-11);
}

/* Defaults filled in; false if nonsense. */
static bool read_opts(swg_graph *g, const char *what, const swg_stft_opts *opts, swg__attr *attr) {
    static const swg_stft_opts none = {0};
    opts = opts ? opts : &none;
    int64_t n = opts->n ? opts->n : 2048, hop = opts->hop ? opts->hop : n / 4, window = opts->window ? opts->window : n;
    if (n < 2 || n > INT32_MAX || hop < 1 || hop > n || window < 1 || window > n)
        return swg__graph_fail(g, SWG_EINVAL, "%s: n %lld, hop %lld, window %lld; expected 2 or more, and hop and window from 1 to n", what,
                               (long long)n, (long long)hop, (long long)window), false;
    *attr = (swg__attr){.stride = {(int32_t)n}, .dilation = {(int32_t)hop}, .before = {(int32_t)window}};
    return true;
}

swg_value swg_stft(swg_graph *g, swg_value x, const swg_stft_opts *opts) {
    swg__attr attr;
    char text[96];
    if (!swg__check(g, "stft", x) || !read_opts(g, "stft", opts, &attr))
        return SWG_NONE;
    if (swg_ndim(g, x) != 3)
        return swg__graph_fail(g, SWG_ESHAPE, "stft: signal %s; expected (batch, channels, samples)",
                               swg__shape_text(&g->nodes[x], text, sizeof text));
    int64_t n = attr.stride[0], least = n / 2 + 1, samples = swg_shape(g, x)[2];
    if (samples < least) /* what is reflected must be there */
        x = swg_pad(g, x, (int64_t[]){0, 0, 0}, (int64_t[]){0, 0, least - samples});
    const int64_t *shape = swg_shape(g, x);
    return x ? swg__append(g, SWG__STFT, g->dtype, 4, (int64_t[]){shape[0], 2 * shape[1], least, shape[2] / attr.dilation[0] + 1}, 1, &x, &attr) : x;
}

swg_value swg_istft(swg_graph *g, swg_value s, int64_t samples, const swg_stft_opts *opts) {
    swg__attr attr;
    char text[96];
    if (!swg__check(g, "istft", s) || !read_opts(g, "istft", opts, &attr))
        return SWG_NONE;
    const swg__node *node = &g->nodes[s];
    int64_t n = attr.stride[0], hop = attr.dilation[0];
    if (node->ndim != 4 || node->shape[1] % 2 || node->shape[2] != n / 2 + 1)
        return swg__graph_fail(g, SWG_ESHAPE, "istft: spectrum %s; expected (batch, 2 channels, %lld, frames) for n %lld",
                               swg__shape_text(node, text, sizeof text), (long long)(n / 2 + 1), (long long)n);
    int64_t most = (node->shape[3] - 1) * hop + (n + 1) / 2;
    samples = samples ? samples : (node->shape[3] - 1) * hop;
    if (samples < 1 || samples > most)
        return swg__graph_fail(g, SWG_ESHAPE, "istft: %lld samples of %lld frames, hop %lld; expected 1 to %lld", (long long)samples,
                               (long long)node->shape[3], (long long)hop, (long long)most);
    attr.trans_a = true;
    return swg__append(g, SWG__ISTFT, g->dtype, 3, (int64_t[]){node->shape[0], node->shape[1] / 2, samples}, 1, &s, &attr);
}
