/* interp_coder.h - the encoder of mode G: its state, and the parts that other files have.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_INTERP_CODER_H
#define SWAGE_CODEC_INTERP_CODER_H

#include "interp_field.h"

enum { SWG__INTERP_CONTEXTS = 3 * 128 };
enum { SWG__INTERP_SAMPLES = 4096 };         /* of a pass, for its weights */

typedef struct swg__interp_coder {
    swg__interp_field f;
    swg__interp model;
    double inverse, reach;                   /* value -> fine level; largest |level| */
    void *residual;                          /* (count) in stream order, of the field's width */
    uint16_t *context;                       /* (count), of anchors not used */
    int64_t done, anchors;
    swg__outliers outliers;
    double worst;                            /* error */
    double *x;                               /* (block) values of targets */
    double (*d)[SWG__INTERP_SAMPLES];        /* samples: differences of features, then the target, less the first feature */
    int64_t samples;
} swg__interp_coder;

/* The level that is nearest to a value, unrounded; NaN: out of reach. */
static inline double swg__interp_level_of(const swg__interp_coder *c, int64_t at) {
    const swg__grid *grid = &c->f.chunk->grid;
    const double level = (swg__load_value(grid->type, c->f.chunk->values, at) - grid->base) * c->inverse;
    return fabs(level) <= c->reach ? level : NAN;
}

/* A float grid with sub-grid bits. */
bool swg__interp_possible(const swg__chunk *chunk);

/* Predictor of a pass, chosen on a sample of it: kind and weights in the model, and in *p. */
void swg__interp_train(swg__interp_coder *c, swg__interp_pass *p, int index);

/* Axes worth interpolating along: not those whose neighbours say far less than those of the best axis. */
int swg__interp_choose_axes(const swg__interp_coder *c);
/* Levels until the anchors are one along the longest of the axes. */
int swg__interp_levels_for(const swg__chunk *chunk, int axes);

/* All residuals of a chunk, and its parameters. SWG_ENOMEM; close in any case. */
swg_status swg__interp_code(const swg__chunk *chunk, swg__interp_coder *c);
void swg__interp_coder_close(swg__interp_coder *c);

#endif
