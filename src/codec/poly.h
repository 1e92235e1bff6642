/* poly.h - mode P: boxes of the chunk as sums of orthogonal polynomials; closed loop on the fine grid (docs/format.md, "Mode P").
 * A chunk is a list of patches: pieces of the grid, or octants, eight of which join where they share their faces. A patch is one
 * leaf or a tree of them; a leaf is coded as mean, coefficients by total degree, and corrections.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_POLY_H
#define SWAGE_CODEC_POLY_H

#include "chunk.h"

enum {
    SWG__POLY_EDGE = 17,                /* nodes of a leaf per axis, at most */
    SWG__POLY_ROW = 24,                 /* doubles a row may take: rows are padded to a multiple of 8 */
    SWG__POLY_BOX = SWG__POLY_EDGE * SWG__POLY_EDGE * SWG__POLY_ROW,
    SWG__POLY_PIECE = 16,               /* edge of a piece of a grid, at most */
    SWG__POLY_DEGREE = 24,              /* largest total degree */
    SWG__POLY_STEPS = 12, SWG__POLY_FIRST_STEP = 3, /* of a chunk: 2 eb */
    SWG__POLY_SPLIT = 256,              /* values of a box that may be split, at least */
    SWG__POLY_DEPTH = 2,
    SWG__POLY_SHELL = 320,              /* coefficients of one total degree, at most */
    SWG__POLY_FIXES = 126,              /* 0: no corrections; f: bucket f + 2 */
    SWG__POLY_SUM = 1 << 25             /* sum of |q| of a leaf */
};

/* ---- bases ---- */

/* n nodes, 1..17: n x n entries from here on, row i is the polynomial of degree i. */
static inline int swg__poly_start(int n) { return (n - 1) * n * (2 * n - 1) / 6; }
extern const int16_t swg__poly_basis[];     /* values in 2^-14 */
extern const double swg__poly_analysis[];   /* row i: share of each node in coefficient i; the inverse of the rounded basis */
extern const uint16_t swg__poly_step[SWG__POLY_STEPS]; /* in 1/16 fine steps */

static inline int swg__poly_row(int n) { return (n + 7) & ~7; }

/* ---- scales of the coefficients ---- */

/* Scale bucket of a coefficient: base[class of its decoded neighbours][position class] + shift[degree][axes]. */
enum { SWG__POLY_MAGNITUDES = 32, SWG__POLY_PLACES = 12, SWG__POLY_DEGREES = 8, SWG__POLY_AXES = 3 };
typedef struct swg__poly_law {
    uint8_t base[SWG__POLY_MAGNITUDES][SWG__POLY_PLACES];
    int8_t shift[SWG__POLY_DEGREES][SWG__POLY_AXES];
} swg__poly_law;

extern const swg__poly_law swg__poly_built_in;

/* Half octaves of the neighbourhood m: 0, then 1 + 2 floor(log2 m) + its second bit. */
static inline int swg__poly_magnitude(uint32_t m) {
    if (m < 2)
        return (int)m;
    int e = 31 - __builtin_clz(m);
    return 1 + 2 * e + (int)(m >> (e - 1) & 1);
}

/* Place: how far below the leaf's degree (0, 1, 2, more) times the number of axes along which the coefficient varies. */
static inline int swg__poly_bucket(const swg__poly_law *law, int magnitude, int degree, int below, int axes) {
    int place = (below < 3 ? below : 3) * 3 + axes - 1, over = magnitude - (SWG__POLY_MAGNITUDES - 1);
    int b = law->base[over > 0 ? SWG__POLY_MAGNITUDES - 1 : magnitude][place] + 2 * (over > 0 ? over : 0) +
            law->shift[degree < SWG__POLY_DEGREES ? degree - 1 : SWG__POLY_DEGREES - 1][axes - 1];
    return b < 0 ? 0 : b > SWG__WIDE_BUCKETS - 1 ? SWG__WIDE_BUCKETS - 1 : b;
}

/* The same as a table. */
typedef struct swg__poly_scales {
    uint8_t bucket[4][SWG__POLY_DEGREES][SWG__POLY_AXES][64]; /* below, degree - 1, axes - 1, magnitude */
} swg__poly_scales;
void swg__poly_scales_make(const swg__poly_law *law, swg__poly_scales *scales);

/* The coefficients of a box in the order of the stream: by total degree, then by place. */
typedef struct swg__poly_order {
    int n[3];
    int most;                                         /* largest degree */
    uint16_t first[SWG__POLY_DEGREE + 2];             /* of each degree */
    uint16_t place[SWG__POLY_EDGE * SWG__POLY_EDGE * SWG__POLY_EDGE];
    uint16_t near[SWG__POLY_EDGE * SWG__POLY_EDGE * SWG__POLY_EDGE]; /* which of its nine higher neighbours there are */
    uint8_t axes[SWG__POLY_EDGE * SWG__POLY_EDGE * SWG__POLY_EDGE];  /* number of axes along which it varies, less 1 */
} swg__poly_order;

/* Orders of the last few shapes of boxes. Empty when zero. */
enum { SWG__POLY_ORDERS = 8 };
typedef struct swg__poly_orders {
    swg__poly_order order[SWG__POLY_ORDERS];
    int next;
} swg__poly_orders;
const swg__poly_order *swg__poly_order_of(swg__poly_orders *orders, const int n[3]);

/* Buckets of the coefficients of one degree. near: neighbourhood of each coefficient. Returns how many there are. */
static inline int swg__poly_shell(const swg__poly_scales *scales, const swg__poly_order *order, const uint32_t *near, int degree, int most,
                                  uint8_t *bucket) {
    const uint8_t (*row)[64] = scales->bucket[most - degree < 3 ? most - degree : 3][degree < SWG__POLY_DEGREES ? degree - 1 : SWG__POLY_DEGREES - 1];
    const int first = order->first[degree], count = order->first[degree + 1] - first;
    const uint16_t *place = order->place + first;
    const uint8_t *axes = order->axes + first;
    for (int i = 0; i < count; i++)
        bucket[i] = row[axes[i]][swg__poly_magnitude(near[place[i]])];
    return count;
}

/* Adds what the i-th coefficient, of magnitude `size`, means to its higher neighbours. */
static inline void swg__poly_spread(const swg__poly_order *order, int i, uint32_t size, uint32_t *near) {
    const int row = swg__poly_row(order->n[2]), plane = order->n[1] * row, mask = order->near[i];
    const int step[9] = {plane, row, 1, 2 * plane, 2 * row, 2, plane + row, plane + 1, row + 1};
    uint32_t *at = near + order->place[i];
    if (mask == 511) { /* nearly all */
        at[step[0]] += 2 * size;
        at[step[1]] += 2 * size;
        at[step[2]] += 2 * size;
        for (int k = 3; k < 9; k++)
            at[step[k]] += size;
        return;
    }
    for (int k = 0; k < 9; k++)
        if (mask >> k & 1)
            at[step[k]] += k < 3 ? 2 * size : size;
}

/* ---- side symbols ---- */

enum {
    SWG__POLY_GROUP, SWG__POLY_REFER, SWG__POLY_CUT, SWG__POLY_FLAGS,    /* 0 or 1; code: table of the entropy coder */
    SWG__POLY_SHAPE = SWG__POLY_FLAGS, SWG__POLY_CORNER, SWG__POLY_BACK, SWG__POLY_FLIP, SWG__POLY_MEAN, SWG__POLY_GAP,
    SWG__POLY_TOP, SWG__POLY_SPACING, SWG__POLY_FIX, SWG__POLY_SYMBOLS   /* numbers; code: bucket */
};

/* What a leaf's symbols are differences to. */
typedef struct swg__poly_before {
    int64_t mean;
    int top[2];          /* degree + 1; of leaves with a reference: [1] */
    int step, fix;
} swg__poly_before;

enum { SWG__POLY_MIRROR = 1, SWG__POLY_OCTANTS = 2 };  /* flags in PARAM */

/* ---- geometry ---- */

/* Halves of a box: child c (z, y, x in bits 2, 1, 0), false if there is no such child. */
static inline bool swg__poly_child(const int n[3], int c, int offset[3], int m[3]) {
    for (int a = 0; a < 3; a++) {
        int low = n[a] >= 4 ? (n[a] + 1) / 2 : n[a];
        bool high = c >> (2 - a) & 1;
        offset[a] = high ? low : 0;
        m[a] = high ? n[a] - low : low;
    }
    return m[0] > 0 && m[1] > 0 && m[2] > 0;
}
static inline bool swg__poly_divisible(const int n[3], int depth) {
    return depth < SWG__POLY_DEPTH && n[0] * n[1] * n[2] >= SWG__POLY_SPLIT;
}

/* Levels on the fine grid, whole numbers in f64, where a patch lives: first node, and nodes from row to row and plane to plane. */
typedef struct swg__poly_canvas {
    double *level;
    int64_t step[3];
} swg__poly_canvas;

/* Levels that predict a patch: node (z, y, x) is at first + z step[0] + y step[1] + x step[2], times sign. */
typedef struct swg__poly_source {
    const double *first; /* NULL: none */
    int64_t step[3];
    double sign;
} swg__poly_source;

/* Pieces of one axis: start of piece i of `pieces`, and the piece that holds a coordinate. */
static inline int64_t swg__poly_pieces(int64_t extent) { return (extent + SWG__POLY_PIECE - 1) / SWG__POLY_PIECE; }
static inline int64_t swg__poly_piece_start(int64_t extent, int64_t i) { return i * extent / swg__poly_pieces(extent); }
static inline int64_t swg__poly_piece_of(int64_t extent, int64_t at) { return ((at + 1) * swg__poly_pieces(extent) - 1) / extent; }

/* A mirror symmetry of the grid: node index i of a flipped axis corresponds to centre - i. */
typedef struct swg__poly_mirror {
    int flips;            /* bits 2, 1, 0: z, y, x; 0: none */
    bool negative;
    int64_t centre[3];
    double gap;           /* root mean square of the differences; the coder's */
} swg__poly_mirror;

/* Where the mirror image of box `corner`, n of slice w lies, if all of it comes before the box; else first is NULL. */
swg__poly_source swg__poly_image(const swg__poly_mirror *mirror, const int64_t extent[4], int64_t w, const int64_t corner[3],
                                 const int n[3], const double *levels);

/* A patch of octants: 1, or 8 whose places in the cube are `corner` (z, y, x in bits 2, 1, 0). */
typedef struct swg__poly_patch {
    int64_t octant, start;     /* first octant; first level on the canvas */
    int count, edge;           /* octants; nodes per axis */
    uint8_t corner[8];
} swg__poly_patch;

/* Reversed along the axes in `flips` as seen by a reader. */
swg__poly_source swg__poly_turned(const double *level, int edge, int flips, bool negative);

/* ---- the mode ---- */

/* Beside SWG_WITHOUT_FACES and SWG_WITHOUT_MIRRORS: steps, degrees and halves of boxes are estimated instead of tried. */
enum { SWG__WITHOUT_TRIALS = 1 << 18 };

/* without: SWG_WITHOUT_... bits. Codes the chunk if that takes fewer than `limit` bytes; *coded false: it does not, or cannot; the draft is then empty. */
swg_status swg__poly_encode(const swg__chunk *chunk, const swg__poly_law *law, uint32_t without, int64_t limit, swg__draft *draft, bool *coded);

/* The same patches, leaves and numbers under another law. record: of the chunk, under `law`. *coded false: it has more side symbols than most. */
swg_status swg__poly_recode(const swg__chunk *chunk, const swg__record *record, const swg__poly_law *law, const swg__poly_law *other, swg__draft *draft, bool *coded);

/* Bytes it would take, from a sample of its patches; INT64_MAX: the mode is not for this chunk. */
swg_status swg__poly_estimate(const swg__chunk *chunk, const swg__poly_law *law, uint32_t without, int64_t *bytes);

/* A look at single pieces of a chunk until they have so many values: more of them with each call, spread evenly. bits: about what they would take, each by itself and as
 * one leaf. values 0: the mode is not for this chunk. */
typedef struct swg__poly_sample {
    double bits, squares;     /* squares: of the bits per value of the pieces */
    double per_value;         /* their sum */
    int64_t values, pieces;
} swg__poly_sample;
swg_status swg__poly_guess(const swg__chunk *chunk, uint32_t without, int64_t values, swg__poly_sample *sample);

/* Part of the chunk that mirror images may save, of which a sample says nothing. */
swg_status swg__poly_mirrored(const swg__chunk *chunk, uint32_t without, double *share);

/* NULL or the reason. */
const char *swg__poly_decode(const swg__chunk *chunk, const swg__poly_law *law, const swg__record *record);

/* Whether the extents are those of octants: (m, n, n, n), 3 <= n <= 9, m > 1. */
static inline bool swg__poly_octants(const int64_t extent[4]) {
    return extent[1] >= 3 && extent[1] <= 9 && extent[2] == extent[1] && extent[3] == extent[1];
}

/* Levels of the canvas to the chunk's values. NULL, or the reason if one is beyond the limit. */
const char *swg__poly_store(const swg__chunk *chunk, const double *levels, const swg__poly_patch *patches, int64_t count);

#endif
