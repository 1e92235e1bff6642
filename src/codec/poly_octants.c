/* poly_octants.c - what octants have in common: faces that make eight of them one cube, and likeness of mirrored patches.
 * In: values of a chunk of octants. Out: places in a cube; a reference and how it is turned.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "poly_encode.h"

/* Whether the high face of octant a along an axis (0: z) is the low face of b, value by value. */
static bool share_face(const swg__chunk *chunk, int64_t a, int64_t b, int axis) {
    const int64_t n = chunk->extent[3], stride[3] = {n * n, n, 1}, volume = n * n * n;
    const int64_t u = stride[axis == 0 ? 1 : 0], v = stride[axis == 2 ? 1 : 2];
    const int64_t from = a * volume + (n - 1) * stride[axis], to = b * volume;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            if (!(swg__load_value(chunk->grid.type, chunk->values, from + i * u + j * v) == swg__load_value(chunk->grid.type, chunk->values, to + i * u + j * v)))
                return false;
    return true;
}

static bool fits(const swg__chunk *chunk, int64_t octant, const uint8_t corner[8]) {
    int at[8] = {-1, -1, -1, -1, -1, -1, -1, -1};
    for (int c = 0; c < 8; c++)
        at[corner[c]] = c;
    for (int p = 0; p < 8; p++)
        for (int axis = 0; axis < 3; axis++) {
            int bit = 4 >> axis;
            if (at[p] < 0 || (!(p & bit) && (at[p | bit] < 0 || !share_face(chunk, octant + at[p], octant + at[p | bit], axis))))
                return false;
        }
    return true;
}

/* Places octant c next to one of those before it, within a cube of two. */
static bool place_octant(const swg__chunk *chunk, int64_t octant, int c, int place[8][3]) {
    for (int other = c - 1; other >= 0; other--)
        for (int axis = 0; axis < 3; axis++)
            for (int side = 0; side < 2; side++) {
                int trial[3] = {place[other][0], place[other][1], place[other][2]};
                bool inside = true;
                trial[axis] += side ? 1 : -1;
                for (int i = 0; i < c && inside; i++) {
                    bool same = true;
                    for (int a = 0; a < 3; a++) {
                        inside = inside && abs(trial[a] - place[i][a]) <= 1;
                        same = same && trial[a] == place[i][a];
                    }
                    inside = inside && !same;
                }
                if (inside && share_face(chunk, octant + (side ? other : c), octant + (side ? c : other), axis)) {
                    memcpy(place[c], trial, sizeof trial);
                    return true;
                }
            }
    return false;
}

bool swg__poly_join(const swg__chunk *chunk, int64_t octant, const uint8_t (*hint)[8], int hints, uint8_t corner[8]) {
    for (int h = 0; h < hints; h++)
        if (fits(chunk, octant, hint[h])) {
            memcpy(corner, hint[h], 8);
            return true;
        }
    int place[8][3] = {{0}}, least[3] = {0};
    uint8_t own[8];
    for (int c = 1; c < 8; c++) {
        if (!place_octant(chunk, octant, c, place))
            return false;
        for (int a = 0; a < 3; a++)
            least[a] = place[c][a] < least[a] ? place[c][a] : least[a];
    }
    for (int c = 0; c < 8; c++)
        own[c] = (uint8_t)((place[c][0] - least[0]) << 2 | (place[c][1] - least[1]) << 1 | (place[c][2] - least[2]));
    if (!fits(chunk, octant, own))
        return false;
    memcpy(corner, own, 8);
    return true;
}

/* ---- likeness ---- */

enum { MARKS = 10, WINDOW = 1024 };
static const uint8_t degrees[MARKS][3] = {{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {2, 0, 0}, {0, 2, 0}, {0, 0, 2}, {1, 1, 0}, {1, 0, 1}, {0, 1, 1}};

void swg__poly_mark_make(swg__poly_coder *coder, const int n[3], swg__poly_mark *mark) {
    const int row = swg__poly_row(n[2]);
    for (int r = 0; r < n[0] * n[1]; r++)
        for (int x = 0; x < row; x++)
            coder->x[r * row + x] = x < n[2] ? coder->level[r * n[2] + x] : 0;
    coder->chunk->kernels->poly_analysis(coder->x, n, coder->c, coder->work);
    mark->size = 0;
    for (int i = 0; i < MARKS; i++) {
        mark->c[i] = coder->c[(degrees[i][0] * n[1] + degrees[i][1]) * row + degrees[i][2]];
        mark->size += i ? fabs(mark->c[i]) : 0;
    }
}

/* Sum of differences of all but the mean; the image of a flips the signs of odd degrees along its axes. */
static double difference(const swg__poly_mark *a, const swg__poly_mark *b, int flips, bool negative) {
    double sum = 0;
    for (int i = 1; i < MARKS; i++) {
        int odd = (flips >> 2 & degrees[i][0]) ^ (flips >> 1 & degrees[i][1]) ^ (flips & degrees[i][2]);
        sum += fabs(a->c[i] - ((odd & 1) != negative ? -b->c[i] : b->c[i]));
    }
    return sum;
}

int64_t swg__poly_likeness(const swg__poly_mark *marks, const swg__poly_patch *patches, int64_t count, int *flip) {
    const swg__poly_mark *own = &marks[count];
    double best = 0.3 * own->size;
    int64_t back = 0;
    for (int64_t i = count - 1; i >= 0 && i >= count - WINDOW; i--) {
        if (patches[i].edge != patches[count].edge)
            continue;
        double apart = 0;
        for (int m = 1; m < MARKS && apart < best; m++)
            apart += fabs(fabs(own->c[m]) - fabs(marks[i].c[m]));
        for (int f = 0; f < 16 && apart < best; f++) {
            double d = difference(own, &marks[i], f & 7, f >> 3);
            if (d < best) {
                best = d;
                back = count - i;
                *flip = f;
            }
        }
    }
    return back;
}
