/* interp_field.h - what both directions of mode G share: the levels of a chunk, laid out so that a pass reads and writes dense rows, and
 * the predictions of a pass.
 * A level of stride h sees the points at multiples of h along the axes. They lie apart by which of their coordinates are odd multiples: eight
 * phases of rows, so that the targets of a pass are one phase and each tap is a row of one phase, shifted by whole points.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_INTERP_FIELD_H
#define SWAGE_CODEC_INTERP_FIELD_H

#include "interp.h"

enum { SWG__INTERP_FINE = 16 };              /* fine levels in a step of the main grid */
enum { SWG__INTERP_BLOCK = 4096 };           /* targets worked on together, where a row is not longer */

/* Which axes are odd in the passes of a level: bit 0 z, 1 y, 2 x. */
extern const uint8_t swg__interp_odd[SWG__INTERP_PASSES];

/* Points of one feature relative to the target, in strides of the level; feature i has points first[i] .. first[i + 1] - 1. */
typedef struct swg__interp_shape {
    int odd;                                    /* axes on which targets are odd */
    int features, first[SWG__INTERP_FEATURES + 1];
    int8_t tap[SWG__INTERP_TAPS][3];
} swg__interp_shape;

/* axes: interpolated along; odd: of these, those on which the targets are odd. */
void swg__interp_shape_of(int axes, int odd, swg__interp_shape *s);

typedef struct swg__interp_field {
    const swg__chunk *chunk;
    int axes, levels, level;        /* level at hand, 0 the coarsest; levels: all done */
    bool wide;                      /* levels are int64, else int32 relative to `first` */
    int64_t first;
    int64_t stride;                 /* of the level at hand */
    int64_t even[3], odd[3];        /* points of a phase along each axis; 0 odd ones along the others */
    int64_t pitch, rows;            /* elements from row to row; rows of a phase */
    int64_t start[8];               /* element where the first row of a phase begins, by its odd axes */
    void *u;                        /* levels (phases, w, z, y, pitch) */
    uint16_t *size;                 /* |e| of the same points in fine steps, saturated */
    void *u_store[2];
    uint16_t *size_store[2];
    /* scratch of a block; the caller may use it */
    void *guess;                    /* int32 or int64 */
    uint16_t *context;              /* 3 c + r */
    int64_t block;                  /* room, SWG__INTERP_SLACK not counted */
} swg__interp_field;

/* axes and levels of the model; wide as wished. SWG_ENOMEM; close in any case. */
swg_status swg__interp_field_open(swg__interp_field *f, const swg__chunk *chunk, int axes, int levels, bool wide);
void swg__interp_field_close(swg__interp_field *f);

/* Phase 0 of the first level is the anchors: this completes a row of them, or of the targets of a pass. at: as swg__interp_row gives it. */
void swg__interp_pad(swg__interp_field *f, int odd, int64_t at);
/* Element where a row of a phase begins. */
static inline int64_t swg__interp_row(const swg__interp_field *f, int odd, int64_t w, int64_t z, int64_t y) {
    return f->start[odd] + ((w * f->even[0] + z) * f->even[1] + y) * f->pitch;
}

/* All passes of a level are done: its points become phase 0 of the next. */
void swg__interp_refine(swg__interp_field *f);
/* All levels are done: stores the values of the chunk. NULL or the reason. */
const char *swg__interp_store(swg__interp_field *f);

/* A pass at the level at hand. */
typedef struct swg__interp_pass {
    const swg__interp_field *f;
    int odd;
    int64_t count[3];               /* targets along each axis */
    int t;                          /* residual step 16 >> t */
    swg__interp_shape shape;
    struct { int64_t start; int8_t z, y; } from[SWG__INTERP_TAPS]; /* of each tap: its phase, shifted along x; rows beside the target's */
    swg__interp_taps taps;          /* all but the pointers */
    bool rough;                     /* differences do not fit the narrow kernel */
} swg__interp_pass;

/* False: no targets. Weights are those of the level: call swg__interp_weigh if they change. */
bool swg__interp_pass_open(const swg__interp_field *f, const swg__interp *model, int index, swg__interp_pass *p);
void swg__interp_weigh(swg__interp_pass *p, const int16_t *w);

/* Fills in the taps' pointers for the rows of y on: clamped for this row, good for others where none leaves the chunk. */
void swg__interp_point(swg__interp_pass *p, int64_t w, int64_t z, int64_t y);
/* Guesses and contexts of `rows` rows from y on. False: a level is beyond what the field holds; all must be done again in a wide one. */
bool swg__interp_predict_rows(swg__interp_pass *p, int64_t w, int64_t z, int64_t y, int64_t rows);
/* Rows of a block. */
static inline int64_t swg__interp_block_rows(const swg__interp_pass *p) {
    return p->count[2] < SWG__INTERP_BLOCK ? SWG__INTERP_BLOCK / p->count[2] : 1;
}
/* Where in the chunk row (w, z, y) of the targets begins; the next ones are *step apart. */
int64_t swg__interp_place(const swg__interp_pass *p, int64_t w, int64_t z, int64_t y, int64_t *step);

/* Elements of a field or of its scratch, of either width. */
static inline int64_t swg__interp_get(const void *a, bool wide, int64_t i) { return wide ? ((const int64_t *)a)[i] : ((const int32_t *)a)[i]; }
static inline void swg__interp_set(void *a, bool wide, int64_t i, int64_t v) {
    if (wide)
        ((int64_t *)a)[i] = v;
    else
        ((int32_t *)a)[i] = (int32_t)v;
}
static inline bool swg__interp_fits(bool wide, int64_t v) {
    const int64_t most = wide ? SWG__LEVEL_LIMIT : SWG__INTERP_NARROW;
    return v >= -most && v <= most;
}
/* |e| in fine steps, saturated. */
static inline uint16_t swg__interp_size(int64_t e, int t) {
    const int64_t size = (e < 0 ? -e : e) * (SWG__INTERP_FINE >> t);
    return (uint16_t)(size < 65535 ? size : 65535);
}

#endif
