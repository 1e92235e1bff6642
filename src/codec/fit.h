/* fit.h - training of models: what every kind's trainer gets, and the chunks it learns from.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_FIT_H
#define SWAGE_CODEC_FIT_H

#include <signal.h>
#include "encode.h"

typedef struct swg__fit_opts {
    uint64_t seed;
    double seconds;                     /* 0: as many steps as the kind thinks right, and then the blob depends on data and seed only; else: stop after so long */
    void (*progress)(void *user, double done, double bits); /* done 0..1; bits per value at present, NaN unknown; NULL: none */
    void *user;
    const volatile sig_atomic_t *stop;  /* not 0: return soon, SWG_EINTERRUPTED or the best so far; NULL: never */
} swg__fit_opts;

/* Learns from arrays of one variable (or of several, if it pools), one bound for all, resolved array by array. blob: receives a finished blob (swg__blob_begin .. end),
 * nothing if there is nothing to learn or the kind is not for such arrays. SWG_EINTERRUPTED, SWG_ENOMEM, what is wrong with the arrays. */
typedef swg_status swg__fit_fn(swg_context *ctx, const swg_codec_array *arrays, int64_t count, const swg_codec_opts *bound,
                               const swg__fit_opts *opts, swg__text *blob);

swg__fit_fn swg__fit_stencil, swg__fit_law, swg__fit_causal, swg__fit_causal_deep, swg__fit_block_causal, swg__fit_block_pairs;

/* ---- the table: `swage train codec/NAME` and `swage compress --train=NAME` run all rows of a name ---- */

typedef struct swg__trainer {
    const char *name;
    int kind;
    swg__fit_fn *fit;
    bool pools;                         /* quick, and worth training on several variables together as well */
    bool named;                         /* runs only where it is asked for by its name */
    const char *help;
} swg__trainer;
extern const swg__trainer swg__trainers[];
extern const int swg__trainer_count;
bool swg__trainer_named(const char *list, int trainer); /* list with commas; NULL or empty: all but those with `named` */

/* ---- what there is to learn from ---- */

/* Chunks of the arrays as the encoder would cut them, evenly chosen. */
typedef struct swg__lessons {
    swg_context *ctx;
    struct swg__lesson {
        const swg_codec_array *array;
        swg__header header;
        swg__layout layout;
    } *lesson;                          /* of each array */
    int64_t arrays;
    struct swg__lesson_chunk {
        int64_t lesson, chunk;
    } *chunk;
    int64_t count;                      /* chunks */
    int64_t values;                     /* in all of them */
} swg__lessons;

/* Arrays that would be coded without loss, or point by point, are left out: their count is 0 then. most: values to look at, about; 0: an
 * eighth of the chunks, all if there are few. Close in any case. */
swg_status swg__lessons_open(swg_context *ctx, const swg_codec_array *arrays, int64_t count, const swg_codec_opts *bound, int64_t most, swg__lessons *out);
void swg__lessons_close(swg__lessons *lessons);
/* Lesson i as a chunk; swg__chunk_drop it in any case. */
swg_status swg__lessons_take(const swg__lessons *lessons, int64_t i, swg__chunk *chunk);

/* The bound relative to the value range (mean of the arrays); 0 unknown. */
double swg__lessons_bound(const swg__lessons *lessons);

/* Says how far the fit is; SWG_EINTERRUPTED where it is to stop. */
swg_status swg__fit_tick(swg_context *ctx, const swg__fit_opts *opts, double done, double bits);

#endif
