/* losses_audio.c - losses of signals by their spectra.
 * Source: Yamamoto et al. 2020, Parallel WaveGAN (resolutions); tfswa.md, section 4 (terms).
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "nn/losses.h"

/* Below this square a magnitude counts as 1e-18 and passes no gradient back, where the root has none. */
static const double LEAST_POWER = 1e-36, LOG_FLOOR = 1e-5;

swg_value swg_stft_magnitude(swg_graph *g, swg_value s) {
    if (!swg__check(g, "stft magnitude", s))
        return SWG_NONE;
    char text[96];
    int ndim = swg_ndim(g, s);
    if (ndim != 4 || swg_shape(g, s)[1] % 2)
        return swg__graph_fail(g, SWG_ESHAPE, "stft magnitude: spectrum %s; expected (batch, 2 channels, bins, frames)",
                               swg__shape_text(&g->nodes[s], text, sizeof text));
    int64_t size[4], middle = swg_shape(g, s)[1] / 2;
    memcpy(size, swg_shape(g, s), sizeof size);
    size[1] = middle;
    swg_value re = swg_slice(g, s, (int64_t[]){0, 0, 0, 0}, size), im = swg_slice(g, s, (int64_t[]){0, middle, 0, 0}, size);
    swg_value power = swg_add(g, swg_square(g, re), swg_square(g, im));
    return swg_sqrt(g, swg_clamp(g, power, LEAST_POWER, INFINITY));
}

static swg_value mrstft(swg_graph *g, swg_value y, swg_value x, const swg_stft_opts *resolutions, int count) {
    static const swg_stft_opts usual[] = {{2048, 512, 2048}, {1024, 256, 1024}, {512, 128, 512}};
    if (!swg__loss_takes(g, "mrstft loss", y, x))
        return SWG_NONE;
    if (!resolutions) {
        resolutions = usual;
        count = sizeof usual / sizeof usual[0];
    }
    if (count < 1)
        return swg__graph_fail(g, SWG_EINVAL, "mrstft loss: %d resolutions, expected 1 or more", count);
    swg_value sum = SWG_NONE;
    for (int i = 0; i < count; i++) {
        swg_value a = swg_stft_magnitude(g, swg_stft(g, y, &resolutions[i])), b = swg_stft_magnitude(g, swg_stft(g, x, &resolutions[i]));
        swg_value ratio = swg_sub(g, swg_log(g, swg_affine(g, a, 1, LOG_FLOOR)), swg_log(g, swg_affine(g, b, 1, LOG_FLOOR)));
        swg_value term = swg_add(g, swg__loss_mean(g, swg_abs(g, swg_sub(g, a, b))), swg__loss_mean(g, swg_abs(g, ratio)));
        sum = i ? swg_add(g, sum, term) : term;
    }
    return swg_affine(g, sum, 1. / count, 0);
}

/* ---- all of a loss in f32 ---- */

SWG__PRECISE(swg_loss_mrstft, (swg_graph *g, swg_value y, swg_value x, const swg_stft_opts *resolutions, int count),
             mrstft(g, y, x, resolutions, count))
