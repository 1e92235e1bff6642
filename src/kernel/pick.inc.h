/* pick.inc.h - the place of the largest value of a window, channel by channel; elements taken by index. Needs softmax.inc.h.
 * SPDX-License-Identifier: Apache-2.0 */

/* from[index[j]] for each lane. An instruction set that has it sets it itself. */
#ifndef GATHER
INLINE vf gather_lanes(const float *from, vi index) {
    int32_t at[VL];
    float x[VL];
    vf y;
    memcpy(at, &index, sizeof index);
    for (int j = 0; j < VL; j++)
        x[j] = from[at[j]];
    memcpy(&y, x, sizeof y);
    return y;
}
#define GATHER(from, index) gather_lanes(from, index)
#endif

#if VL == 4
static const vi lane_numbers = {0, 1, 2, 3};
#elif VL == 8
static const vi lane_numbers = {0, 1, 2, 3, 4, 5, 6, 7};
#elif VL == 16
static const vi lane_numbers = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#endif

/* VL channels, of which `width` are there. */
INLINE void largest_of_channels(int32_t *index, const float *x, const swg__window *w, int64_t width) {
    vf most = {0};
    vi place = {0};
    most -= __builtin_inff();
    place += (int32_t)((w->first[0] * w->in[1] + w->first[1]) * w->in[2] + w->first[2]);
    for (int64_t i = w->first[0]; i < w->end[0]; i++)
        for (int64_t j = w->first[1]; j < w->end[1]; j++)
            for (int64_t k = w->first[2]; k < w->end[2]; k++) {
                const int64_t at = (i * w->in[1] + j) * w->in[2] + k;
                vf v = load_up_to(x + at * w->channels, width);
                vi more = (vi)(v > most) | ((vi)(v != v) & (vi)(most == most)); /* NaN is more than anything, and stays */
#if VL == 1
                most = more ? v : most;
                place = more ? (int32_t)at : place;
#else
                most = (vf)(((vi)v & more) | ((vi)most & ~more));
                place = ((int32_t)at & more) | (place & ~more);
#endif
            }
    if (width >= VL)
        memcpy(index, &place, sizeof place);
    else
        memcpy(index, &place, (size_t)width * sizeof *index);
}

static void largest_of(int32_t *index, const float *x, const swg__window *w) {
    for (int64_t c = 0; c < w->channels; c += VL)
        if (w->channels - c >= VL)
            largest_of_channels(index + c, x + c, w, VL);
        else
            largest_of_channels(index + c, x + c, w, w->channels - c);
}

static void pick(float *restrict to, const float *restrict from, int64_t stride, int64_t rows, const int32_t *restrict index, int64_t n) {
    int64_t c = 0;
    for (; c + VL <= n && rows <= INT32_MAX / stride; c += VL) {
        vi k;
        memcpy(&k, index + c, sizeof k);
        vi inside = (vi)(k >= 0) & (vi)(k < (int32_t)rows);
#if VL == 1
        to[c] = inside ? from[k * stride + c] : __builtin_nanf("");
#else
        vf v = GATHER(from + c, (k & inside) * (int32_t)stride + lane_numbers);
        *(vf *)(to + c) = (vf)(((vi)v & inside) | ((vi)splat(__builtin_nanf("")) & ~inside));
#endif
    }
    for (; c < n; c++) {
        const bool inside = index[c] >= 0 && index[c] < rows;
        to[c] = inside ? from[index[c] * stride + c] : __builtin_nanf("");
    }
}
