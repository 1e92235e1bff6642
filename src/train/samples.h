/* samples.h - validation tiles as a trained network sees them: clean, with noise, decoded, and their latents; and as PNG files.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TRAIN_SAMPLES_H
#define SWAGE_TRAIN_SAMPLES_H

#include "train/run.h"

typedef struct swg__sample_set {
    int64_t count, channels, height, width;
    int64_t z_channels, z_height, z_width;
    float *noisy, *clean, *decoded;         /* (count, channels, height, width) */
    float *z;                               /* (count, z_channels, z_height, z_width) */
    int64_t *index;                         /* (count): samples of the data set */
    const char *part;                       /* "validation", or "test" or "training" where that is empty */
} swg__sample_set;

/* Up to `most` samples, evenly spread over the validation part, one at a time through the model. The data of the run are open, of family kan;
 * noise as in validation. Free the set also after a failure. */
swg_status swg__sample_set_make(swg__run *run, swg_model *model, int64_t most, swg__sample_set *out);
void swg__sample_set_free(swg_context *ctx, swg__sample_set *set);

/* Called with the path of each file written. */
typedef struct swg__written {
    swg_status (*add)(void *user, const char *path);
    void *user;
} swg__written;

/* samples.png, a row per tile: clean, noisy, decoded; the same one by one in sample-N.png, N from 1. The folder is made. written may be NULL.
 * Errors as swg_image_write, SWG_EUNSUPPORTED without libpng. */
swg_status swg__sample_set_write(swg_context *ctx, const swg__sample_set *set, const char *folder, const swg__written *written);

#endif
