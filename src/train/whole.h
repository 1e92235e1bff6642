/* whole.h - prepared images of a data set, whole, through a trained network by windows: what prediction and evaluation share. Family cyto.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TRAIN_WHOLE_H
#define SWAGE_TRAIN_WHOLE_H

#include <signal.h>
#include "data/sliding.h"
#include "data/volumes.h"
#include "swage/config.h"
#include "swage/model.h"

/* What a network gives for an image. */
typedef struct swg__whole_head {
    const char *name;           /* of the recipe, which must live */
    int channels;
    int64_t scale;              /* of y and x, and of z in 3-D, over the image's */
    bool mask;                  /* probabilities in [0, 1] */
    bool signed_unit;           /* trained on targets in [-1, 1] */
} swg__whole_head;

typedef struct swg__whole {
    swg_context *ctx;
    swg_model *model;
    const swg__volumes *volumes;    /* key 0 is what the network sees */
    const int64_t *items;           /* (count) */
    int64_t count;
    double overlap;
    bool constant;
    int64_t batch;                  /* windows at a time */
    int64_t roi[3];                 /* of a window, z y x; 0: the whole axis, extended by replication to what the network divides by */
    bool boxed;                     /* windows that do not meet `box`, z y x, first voxel and the one behind the last, are left out */
    int64_t box[3][2];
    /* The k-th item of the list: results of head h, (channels, count...) from `start` of the whole, in order along one axis. */
    swg_status (*write)(void *user, int64_t k, int head, const int64_t start[3], const int64_t count[3], const float *values);
    /* Networks of tokens, which have no heads: the mean of the windows' embeddings. */
    swg_status (*embedding)(void *user, int64_t k, const double *values, int64_t width);
    swg_status (*finish)(void *user, int64_t k);
    void *user;
    void (*progress)(void *user, int64_t done, int64_t total);                  /* windows; NULL: none */
    void *progress_user;
    const volatile sig_atomic_t *stop;
    int64_t windows, planned_bytes;     /* filled in: of all items; network, bands and windows */
} swg__whole;

/* Heads of a model; returns how many, 0 for networks of tokens, which give embeddings. out has room for SWG__STEP_OUTPUTS. */
int swg__whole_heads(const swg_model *model, swg__whole_head *out);
/* predict.roi, extents z y x, or y x of two axes, and predict.box of a configuration, as swg_predict_stacks_opts has them. SWG_EUSAGE. */
swg_status swg__whole_windows(swg_context *ctx, swg_config *config, int64_t roi[3], bool *boxed, int64_t box[3][2]);
/* Results depend on neither batch nor threads. Images are those of family cyto. SWG_EUSAGE: roi that the network does not divide. Errors as
 * swg__sliding_run, swg__volumes_whole, swg__apply_open. */
swg_status swg__whole_run(swg__whole *w);

#endif
