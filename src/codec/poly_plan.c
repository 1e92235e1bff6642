/* poly_plan.c - mode P below the highest effort: what a box would take, by estimate, so that hopeless ways need not be tried.
 * In: coefficients of a box. Out: bits. Errors add up as squares, as the basis is orthonormal: what the
 * corrections take follows from the coefficients that are left out and from those that are rounded.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "poly_leaf.h"

/* Bits of one correction where the error is normal with variance 2^(i / 2) (fine steps squared). */
static const double correction_bits[] = {
    0.0000, 0.0000, 0.0000, 0.0000, 0.0010, 0.0098, 0.0476, 0.1439, 0.3125, 0.5377, 0.7854, 1.0238, 1.2412, 1.4479, 1.6582,
    1.8775, 2.1048, 2.3384, 2.5765, 2.8180, 3.0620, 3.3076, 3.5546, 3.8024, 4.0508};

static double correction(double variance) {
    enum { LAST = sizeof correction_bits / sizeof *correction_bits - 1 };
    if (!(variance > 2))
        return 0;
    int exponent;
    const double mantissa = frexp(variance, &exponent), at = 2 * (exponent - 2 + 2 * mantissa); /* linear between octaves */
    if (at >= LAST)
        return correction_bits[LAST] + 0.25 * (at - LAST);
    const int i = (int)at;
    return correction_bits[i] + (at - i) * (correction_bits[i + 1] - correction_bits[i]);
}

/* About the bits of `count` coefficients whose magnitudes sum up to `sum`: each is geometric and has a sign. */
static double shell_bits(double count, double sum) {
    if (sum == 0)
        return 0.08 * count;
    const double mean = sum / count;
    return count * ((1 + mean) * log2(1 + mean) - mean * log2(mean)) * (mean < 1 ? 0.85 + 0.15 * mean : 1) + (mean < 1 ? sum : count);
}

/* Bits of a leaf at a step with its best degree. */
double swg__poly_guess_step(const swg__poly_leaf *l, int step, int *top) {
    const swg__poly_coder *coder = l->coder;
    const double inverse = 16.0 / swg__poly_step[step], nodes = (double)l->nodes;
    const int before = l->before->top[l->refers];
    double error = l->tail[1], bits = 0, best = correction(coder->spread * error / nodes) * nodes + abs(1 - before) * 0.7;
    *top = 1;
    const int most = l->sum * inverse < SWG__POLY_SUM / 2 ? l->order->most : 0; /* coefficients too large: none */
    for (int degree = 1; degree <= most && l->reach[degree] * inverse > 0.55; degree++) {
        const int first = l->order->first[degree], count = l->order->first[degree + 1] - first;
        double sum = 0, rest = l->tail[degree] - l->tail[degree + 1];
        if (l->largest[degree] * inverse > 0.55) {
            coder->chunk->kernels->poly_weigh(coder->c + first, count, inverse, &sum, &rest);
            rest *= swg__poly_step[step] * (1.0 / 256) * swg__poly_step[step];
        }
        error += rest - (l->tail[degree] - l->tail[degree + 1]);
        bits += coder->rate * shell_bits(count, sum);
        double all = bits + correction(coder->spread * error / nodes) * nodes + abs(degree + 1 - before) * 0.7;
        if (sum > 0 && all < best) {
            best = all;
            *top = degree + 1;
        }
    }
    return best + l->mean_bits + 6 + (step == l->before->step ? 1 : 2.5);
}

double swg__poly_guess_leaf(const swg__poly_leaf *l, int *top) {
    const int step = l->before->step;
    int other;
    double best = swg__poly_guess_step(l, step, top), bits;
    bool up = false;
    for (int s = step + 1; s < SWG__POLY_STEPS && (bits = swg__poly_guess_step(l, s, &other)) < best; s++) {
        best = bits;
        *top = other;
        up = true;
    }
    for (int s = step - 1; !up && s >= 0 && (bits = swg__poly_guess_step(l, s, &other)) < best; s--) {
        best = bits;
        *top = other;
    }
    return best;
}
