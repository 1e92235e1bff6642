/* noise.h - noise and augmentation of training images, each a function of a key alone.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_NOISE_H
#define SWAGE_DATA_NOISE_H

#include "base.h"

typedef enum swg__noise_kind {
    SWG__NOISE_NONE, SWG__NOISE_GAUSS, SWG__NOISE_RECT, SWG__NOISE_RECT_GAUSS, SWG__NOISE_POISSON, SWG__NOISE_SALT_PEPPER
} swg__noise_kind;

/* The words of configuration key `noise`, for a schema: "none gauss rect rect+gauss poisson saltpepper". */
#define SWG__NOISE_WORDS "none gauss rect rect+gauss poisson saltpepper"
/* Those of data.augment, a comma list: "flip rot90 stain"; "" or "none": none. */
#define SWG__AUGMENT_WORDS "flip rot90 stain"

typedef struct swg__noise {
    swg__noise_kind kind;   /* noise */
    double sigma;           /* noise.sigma, gauss: standard deviation */
    double peak;            /* noise.peak, poisson: counts at value 1 */
    double amount;          /* noise.amount, saltpepper: share of pixels that become black or white */
    bool clip;              /* noise.clip: to [0,1] afterwards */
} swg__noise;

#define SWG__NOISE_STANDARD .sigma = .2, .peak = 30, .amount = .05 /* for initialisers; 0 means 0 */

/* SWG_EINVAL: an unknown word; the message lists them. NULL is none. */
swg_status swg__noise_parse(swg_context *ctx, const char *word, swg__noise_kind *out);
const char *swg__noise_name(swg__noise_kind kind);
/* SWG_EINVAL: sigma, peak or amount out of range (negative, peak 0, amount above 1). */
swg_status swg__noise_check(swg_context *ctx, const swg__noise *noise);

enum { SWG__AUGMENT_FLIP = 1, SWG__AUGMENT_ROT90 = 2, SWG__AUGMENT_STAIN = 4 };
swg_status swg__augment_parse(swg_context *ctx, const char *words, unsigned *out);

/* A 64-bit key for one sample of one epoch: what is drawn depends on it alone. */
uint64_t swg__noise_key(uint64_t seed, uint64_t sample, uint32_t epoch);

/* Adds noise to image (channels, height, width) in place. progress: epoch / (epochs - 1), 0..1; the upper side of a rectangle is
 * (30 + 20 progress) % of the shorter side, the lower 10 %. rect+gauss: the rectangle first, the normal numbers everywhere. */
void swg__noise_apply(swg_context *ctx, const swg__noise *noise, uint64_t key, double progress, int channels, int64_t height, int64_t width,
                      float *image);

/* The rectangle that swg__noise_apply would set to 0. */
typedef struct swg__rectangle { int64_t y, x, height, width; } swg__rectangle;
swg__rectangle swg__noise_rectangle(uint64_t key, double progress, int64_t height, int64_t width);

/* Flips, quarter turns and stain gains drawn from the key, in place. image: (channels, side, side) */
void swg__augment_apply(unsigned augment, uint64_t key, int channels, int64_t side, float *image);

#endif
