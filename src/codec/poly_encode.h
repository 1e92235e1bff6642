/* poly_encode.h - the coder of mode P: leaves and trees (poly_leaf.c), patches and streams (poly_encode.c), octants (poly_octants.c).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_POLY_ENCODE_H
#define SWAGE_CODEC_POLY_ENCODE_H

#include "poly_train.h"

/* Symbols in the order of the stream: bucket, or SWG__POLY_SIDE + side symbol, whose code is chosen once all are known. */
enum { SWG__POLY_SIDE = 128 };
typedef struct swg__poly_script {
    int64_t *e;
    uint8_t *code;
    int64_t count, capacity;
    int64_t first;   /* room for so many to begin with */
    bool failed;
} swg__poly_script;

typedef struct swg__poly_coder {
    const swg__chunk *chunk;
    swg__poly_scales *scales;
    swg__poly_orders *orders;
    swg__poly_script script;
    swg__poly_counts *counts;    /* of what is said; NULL: not wanted */
    swg__outliers outliers;      /* positions on the canvas */
    double worst;                /* largest error accepted */
    double *canvas;              /* decoded levels */
    double *value, *level;       /* of the patch at hand, dense: as stored; on the fine grid, never NaN */
    double *spare;               /* (depth + 1, patch) decoded levels of a box while its halves are tried */
    double *x, *p, *best, *work, *typed; /* boxes */
    double *c;                   /* coefficients, in the order of the stream, like q */
    int32_t *q, *best_q;
    bool brief;                  /* ways that estimates (poly_plan.c) call hopeless are not tried */
    double spread, rate;         /* what estimates of errors and of coefficients are multiplied by, by experience */
    uint32_t *near;
} swg__poly_coder;

/* A patch on its way: extents of the whole, canvas, what predicts it. */
typedef struct swg__poly_job {
    int n[3];
    swg__poly_canvas canvas;
    int64_t at;                  /* of the canvas' first node, from the start of all levels */
    swg__poly_source source;
} swg__poly_job;

void swg__poly_say(swg__poly_coder *coder, int code, int64_t e);

/* Codes box n at `offset` of the job's patch as a leaf or a tree, whichever is shorter: appends to the script, writes decoded levels,
 * moves `before` on. Returns bits. */
double swg__poly_box(swg__poly_coder *coder, const swg__poly_job *job, const int n[3], const int offset[3], int depth, swg__poly_before *before);

/* Fills value and level from the chunk: node (z, y, x) of an n box is at first + z step[0] + y step[1] + x. */
void swg__poly_load(swg__poly_coder *coder, int64_t first, const int64_t step[2], const int n[3], const int at[3], const int whole[3]);

/* How the next eight octants join to a cube of 2 edge - 1 nodes that share their faces. hint: shapes to try first. False: they do not. */
bool swg__poly_join(const swg__chunk *chunk, int64_t octant, const uint8_t (*hint)[8], int hints, uint8_t corner[8]);

/* Low-order coefficients of a patch, by which likely mirror images are found. */
typedef struct swg__poly_mark {
    double c[10], size;
} swg__poly_mark;
void swg__poly_mark_make(swg__poly_coder *coder, const int n[3], swg__poly_mark *mark);

/* The patch most like this one among those before it of the same size; 0 if none is worth a try, else how far back. */
int64_t swg__poly_likeness(const swg__poly_mark *marks, const swg__poly_patch *patches, int64_t count, int *flip);

/* A mirror symmetry of the chunk's slices; flips 0 if there is none. */
void swg__poly_find_mirror(const swg__chunk *chunk, swg__poly_mirror *mirror);

#endif
