/* tfswa_mask.c - around the network of TFSWA-UNet: what it sees of a mixture, and what its masks make of one.
 * Source: tfswa.md, sections 2.3 and 3.2.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "ir/ir.h"
#include "swage/tfswa.h"

/* Added to the squares of a published mask. */
static const double published_floor = 1e-8;

/* (B, 2 c, F, T) with c 1 or 2, and what it is. */
typedef struct spectrum {
    swg_value x;        /* (B, 1, 2, c, F, T) */
    int64_t n, c, f, t;
} spectrum;

static bool spectrum_of(swg_graph *g, const char *what, swg_value mixture, spectrum *s) {
    char text[224];
    if (!swg__check(g, what, mixture))
        return false;
    const int64_t *shape = swg_shape(g, mixture);
    if (swg_ndim(g, mixture) != 4 || (shape[1] != 2 && shape[1] != 4)) {
        swg__graph_fail(g, SWG_ESHAPE, "%s: mixture %s, expected the spectrum of one or two channels, (batch, 2 or 4, frequency, time)", what,
                        swg__value_text(g, mixture, text, sizeof text));
        return false;
    }
    *s = (spectrum){.n = shape[0], .c = shape[1] / 2, .f = shape[2], .t = shape[3]};
    s->x = swg_reshape(g, mixture, 6, (int64_t[]){s->n, 1, 2, s->c, s->f, s->t});
    return g->status == SWG_OK;
}

/* Index `at` of axis `axis` of six, which stays with extent 1. */
static swg_value pick(swg_graph *g, swg_value x, int axis, int64_t at) {
    int64_t begin[6] = {0}, extent[6];
    if (!x)
        return x;
    memcpy(extent, swg_shape(g, x), sizeof extent);
    begin[axis] = at;
    extent[axis] = 1;
    return swg_slice(g, x, begin, extent);
}

static swg_value middle(swg_graph *g, swg_value x, int axis) {
    return swg_affine(g, swg_add(g, pick(g, x, axis, 0), pick(g, x, axis, 1)), .5, 0);
}

swg_value swg_tfswa_input(swg_graph *g, const swg_tfswa *m, swg_value mixture) {
    spectrum s;
    if (!spectrum_of(g, "tfswa input", mixture, &s))
        return SWG_NONE;
    if (m->in != 2 && m->in != 4)
        return swg__graph_fail(g, SWG_EINVAL, "tfswa input: a network of %lld channels in, expected 2 or 4", (long long)m->in);
    if (m->in == 2 * s.c)
        return mixture;
    swg_value x = s.c == 2 ? middle(g, s.x, 3) : swg_concat(g, (swg_value[]){s.x, s.x}, 2, 3);
    return swg_reshape(g, x, 4, (int64_t[]){s.n, m->in, s.f, s.t});
}

/* o: (B, stems, 1, 2, F, T); result broadcasts to (B, stems, 2, c, F, T). */

static swg_value sigmoid_mask(swg_graph *g, const spectrum *s, swg_value o) { return swg_mul(g, s->c == 2 ? o : middle(g, o, 3), s->x); }

static swg_value published_mask(swg_graph *g, const spectrum *s, swg_value o) {
    swg_value squares = swg_add(g, swg_square(g, pick(g, o, 3, 0)), swg_square(g, pick(g, o, 3, 1)));
    swg_value mask = swg_sigmoid(g, swg_sqrt(g, swg_affine(g, squares, 1, published_floor)));
    return swg_mul(g, mask, s->c == 2 ? middle(g, s->x, 3) : s->x);
}

static swg_value complex_mask(swg_graph *g, const spectrum *s, swg_value o) {
    swg_value o0 = pick(g, o, 3, 0), o1 = pick(g, o, 3, 1), re = pick(g, s->x, 2, 0), im = pick(g, s->x, 2, 1);
    swg_value parts[2] = {swg_sub(g, swg_mul(g, o0, re), swg_mul(g, o1, im)), swg_add(g, swg_mul(g, o0, im), swg_mul(g, o1, re))};
    return swg_concat(g, parts, 2, 2);
}

static swg_value apply(swg_graph *g, const swg_tfswa *m, swg_value o, swg_value mixture) {
    spectrum s;
    char text[2][224];
    if (!spectrum_of(g, "tfswa mask", mixture, &s) || !swg__check(g, "tfswa mask", o))
        return SWG_NONE;
    const int64_t *shape = swg_shape(g, o);
    if (swg_ndim(g, o) != 4 || shape[1] % 2 || shape[0] != s.n || shape[2] != s.f || shape[3] != s.t)
        return swg__graph_fail(g, SWG_ESHAPE, "tfswa mask: masks %s for the mixture %s, expected (batch, 2 stems, frequency, time)",
                               swg__value_text(g, o, text[0], sizeof text[0]), swg__value_text(g, mixture, text[1], sizeof text[1]));
    const int64_t stems = shape[1] / 2;
    o = swg_reshape(g, o, 6, (int64_t[]){s.n, stems, 1, 2, s.f, s.t});
    swg_value y = m->mask == SWG_TFSWA_COMPLEX ? complex_mask(g, &s, o) : m->mask == SWG_TFSWA_PUBLISHED ? published_mask(g, &s, o) : sigmoid_mask(g, &s, o);
    y = swg_expand(g, y, 6, (int64_t[]){s.n, stems, 2, s.c, s.f, s.t});
    return swg_reshape(g, y, 5, (int64_t[]){s.n, stems, 2 * s.c, s.f, s.t});
}

swg_value swg_tfswa_apply(swg_graph *g, const swg_tfswa *m, swg_value o, swg_value mixture) {
    bool before = swg_graph_precise(g, true);
    swg_value y = apply(g, m, o, mixture);
    swg_graph_precise(g, before);
    return y;
}

/* (B, stems, 2 c, F, T) as (B stems, 2 c, F, T). */
static swg_value flat(swg_graph *g, const char *what, swg_value spectra) {
    char text[224];
    if (!swg__check(g, what, spectra))
        return SWG_NONE;
    const int64_t *shape = swg_shape(g, spectra);
    if (swg_ndim(g, spectra) != 5 || shape[2] % 2)
        return swg__graph_fail(g, SWG_ESHAPE, "%s: %s, expected (batch, stems, 2 channels, frequency, time)", what,
                               swg__value_text(g, spectra, text, sizeof text));
    return swg_reshape(g, spectra, 4, (int64_t[]){shape[0] * shape[1], shape[2], shape[3], shape[4]});
}

swg_value swg_tfswa_waves(swg_graph *g, swg_value spectra, int64_t samples, const swg_stft_opts *opts) {
    swg_value x = swg_istft(g, flat(g, "tfswa waves", spectra), samples, opts);
    if (!x)
        return x;
    const int64_t *shape = swg_shape(g, spectra);
    return swg_reshape(g, x, 4, (int64_t[]){shape[0], shape[1], shape[2] / 2, -1});
}

swg_value swg_tfswa_magnitudes(swg_graph *g, swg_value spectra) {
    swg_value x = swg_stft_magnitude(g, flat(g, "tfswa magnitudes", spectra));
    if (!x)
        return x;
    const int64_t *shape = swg_shape(g, spectra);
    return swg_reshape(g, x, 5, (int64_t[]){shape[0], shape[1], shape[2] / 2, shape[3], shape[4]});
}
