/* poly_leaf.h - one box of mode P in the coder: what is coded (poly_leaf.c), what is estimated (poly_plan.c).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_POLY_LEAF_H
#define SWAGE_CODEC_POLY_LEAF_H

#include "poly_encode.h"

/* Degree + 1 of a leaf that may gain by halving: measured, smoother ones give up 1 % of what halving gains in all. */
enum { SWG__POLY_WORTH_HALVING = 14 };

/* A way to code a leaf. */
typedef struct swg__poly_way {
    double bits;
    int top, step, fix;
} swg__poly_way;

typedef struct swg__poly_leaf {
    swg__poly_coder *coder;
    int n[3], row, box;
    int64_t nodes;
    double mean;            /* of x, whole; x is without it */
    double mean_bits;
    double sum;             /* of |coefficients| */
    const swg__poly_before *before;
    const swg__poly_order *order;
    int refers;
    double largest[SWG__POLY_DEGREE + 1]; /* |coefficient| of each degree */
    double reach[SWG__POLY_DEGREE + 1];   /* of this and all higher degrees */
    double tail[SWG__POLY_DEGREE + 2];    /* sum of squares of this and all higher degrees */
    swg__poly_way best;
} swg__poly_leaf;

/* Levels less their prediction into coder->x, without their mean; coefficients into coder->c. */
void swg__poly_leaf_open(swg__poly_coder *coder, const swg__poly_job *job, const int n[3], const int offset[3], const swg__poly_before *before,
                         swg__poly_leaf *leaf);

/* About the bits of a leaf at a step with its best degree; with its best step. */
double swg__poly_guess_step(const swg__poly_leaf *leaf, int step, int *top);
double swg__poly_guess_leaf(const swg__poly_leaf *leaf, int *top);

#endif
