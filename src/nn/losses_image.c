/* losses_image.c - losses of images by their structure.
 * Source: Wang et al. 2004, Image quality assessment (SSIM); kan.md, sections 4 and 6.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "nn/losses.h"

enum { TAPS = 11 };
static const double SIGMA = 1.5, C1 = .01 * .01, C2 = .03 * .03; /* values lie in [0, 1] */

/* (n, n - 10): column j holds the window in rows j to j + 10. */
static swg_value windows(swg_graph *g, int64_t n) {
    double taps[TAPS], sum = 0;
    int64_t valid = n - TAPS + 1;
    double *band = swg__calloc(g->ctx, (size_t)(n * valid), sizeof *band);
    if (!band)
        return swg__graph_fail(g, SWG_ENOMEM, "out of memory for windows along %lld positions", (long long)n);
    for (int t = 0; t < TAPS; t++)
        sum += taps[t] = exp(-.5 * pow((t - TAPS / 2) / SIGMA, 2));
    for (int64_t j = 0; j < valid; j++)
        for (int t = 0; t < TAPS; t++)
            band[(j + t) * valid + j] = taps[t] / sum;
    swg_value v = swg_constant_array(g, 2, (int64_t[]){n, valid}, band);
    swg__free(g->ctx, band);
    return v;
}

/* Means of x (images, h, w) under all windows inside, (images, w - 10, h - 10): two products with bands cost less here than two convolutions
 * of one channel, and a percent of the network whose loss it is. */
static swg_value blurred(swg_graph *g, swg_value x, swg_value along_h, swg_value along_w) {
    return swg_matmul(g, swg_permute(g, swg_matmul(g, x, along_w, NULL), (int[]){0, 2, 1}), along_h, NULL);
}

static swg_value ssim(swg_graph *g, swg_value y, swg_value x) {
    if (!swg__loss_takes(g, "ssim loss", y, x))
        return SWG_NONE;
    const int64_t *shape = swg_shape(g, x);
    char text[96];
    if (swg_ndim(g, x) != 4 || shape[2] < TAPS || shape[3] < TAPS)
        return swg__graph_fail(g, SWG_ESHAPE, "ssim loss: images %s; expected (N, C, H, W) of %d x %d or more",
                               swg__shape_text(&g->nodes[x], text, sizeof text), TAPS, TAPS);
    const int64_t flat[3] = {shape[0] * shape[1], shape[2], shape[3]};
    swg_value h = windows(g, flat[1]), w = flat[2] == flat[1] ? h : windows(g, flat[2]);
    swg_value a = swg_reshape(g, y, 3, flat), b = swg_reshape(g, x, 3, flat);
    swg_value mean_a = blurred(g, a, h, w), mean_b = blurred(g, b, h, w);
    swg_value squares = blurred(g, swg_add(g, swg_square(g, a), swg_square(g, b)), h, w), product = blurred(g, swg_mul(g, a, b), h, w);
    swg_value means = swg_mul(g, mean_a, mean_b), mean_squares = swg_add(g, swg_square(g, mean_a), swg_square(g, mean_b));
    swg_value covariance = swg_sub(g, product, means), variances = swg_sub(g, squares, mean_squares);
    swg_value top = swg_mul(g, swg_affine(g, means, 2, C1), swg_affine(g, covariance, 2, C2));
    swg_value bottom = swg_mul(g, swg_affine(g, mean_squares, 1, C1), swg_affine(g, variances, 1, C2));
    return swg_affine(g, swg__loss_mean(g, swg_div(g, top, bottom)), -1, 1);
}

/* ---- all of a loss in f32 ---- */

SWG__PRECISE(swg_loss_ssim, (swg_graph *g, swg_value y, swg_value x), ssim(g, y, x))
