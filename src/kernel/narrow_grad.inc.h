/* narrow_grad.inc.h - gradients of attention of heads of 4 and 8 columns; wider ones fill the contraction's tiles. A lane is a query, as in narrow.inc.h, which this needs: a tile of keys
 * meets all queries, whose gradients stay in registers; those of keys and values are one sum per lane until all queries have passed.
 * SPDX-License-Identifier: Apache-2.0 */

enum { SLOPES_TOGETHER = VL == 16 ? 4 : 2, SLOPE_SUMS = 512 }; /* sums of a tile: half of the first cache at 16 lanes */

/* Probabilities and slopes of a group of keys, from key j on; mask: a row for all queries, or of each. */
INLINE void narrow_slopes(const int d, const bool masked, const int count, vf *p, vf *slope, const vf *q, const vf *dy, vf under, vf shared,
                          const swg__narrow_grad *a, int64_t i, int64_t j) {
    const float *k = a->k + j * d, *v = a->v + j * d;
    UNROLLED for (int g = 0; g < count; g++)
        p[g] = q[0] * k[g * d] - under;
    UNROLLED for (int c = 1; c < d; c++)
        UNROLLED for (int g = 0; g < count; g++)
            p[g] += q[c] * k[g * d + c];
    if (masked)
        UNROLLED for (int g = 0; g < count; g++)
            p[g] += (a->mask_turned ? *(const vf *)(a->mask + (j + g) * a->stride + i) : splat(a->mask[j + g])) * 1.44269504f;
    exp2_together(false, count, p);
    UNROLLED for (int g = 0; g < count; g++)
        slope[g] = dy[0] * v[g * d] - shared;
    UNROLLED for (int c = 1; c < d; c++)
        UNROLLED for (int g = 0; g < count; g++)
            slope[g] += dy[c] * v[g * d + c];
    UNROLLED for (int g = 0; g < count; g++)
        slope[g] *= p[g];
}

INLINE void narrow_slope_sums(const int d, const bool masked, const int count, vf *dq, vf *sums, const vf *q, const vf *dy, vf under, vf shared,
                              const swg__narrow_grad *a, int64_t i, int64_t j) {
    vf p[SLOPES_TOGETHER], slope[SLOPES_TOGETHER];
    const float *k = a->k + j * d;
    narrow_slopes(d, masked, count, p, slope, q, dy, under, shared, a, i, j);
    STAY_POINTER(k); /* or gcc keeps the broadcast keys, on the stack */
    UNROLLED for (int g = 0; g < count; g++)
        UNROLLED for (int c = 0; c < d; c++) {
            dq[c] += slope[g] * k[g * d + c];
            sums[g * 2 * d + c] += slope[g] * q[c];
            sums[g * 2 * d + d + c] += p[g] * dy[c];
        }
}

/* Sums over lanes: those of dk, then those of dv of each key; q was scaled. */
INLINE void narrow_fold(const int d, const swg__narrow_grad *a, vf *sums, int64_t first, int64_t keys) {
    float *folded = (float *)sums; /* behind what is still to be folded */
    for (int64_t s = 0; s < keys * 2 * d; s += VL) {
        vf x[VL], y;
        for (int l = 0; l < VL; l++)
            x[l] = sums[s + l];
        y = fold_rows(false, x);
        *(vf *)(folded + s) = y;
    }
    for (int64_t j = 0; j < keys; j++) {
        float *dk = a->dk + (first + j) * a->dk_row, *dv = a->dv + (first + j) * a->dv_row;
        const float *from = folded + j * 2 * d;
        for (int c = 0; c < d; c++)
            dk[c] = from[c] * .693147181f;
        for (int c = 0; c < d; c++)
            dv[c] = from[d + c];
    }
}

INLINE void narrow_grad_of(const int d, const bool masked, const swg__narrow_grad *of) {
    const swg__narrow_grad copy = *of, *a = &copy; /* which no store can change */
    const int64_t tile = SLOPE_SUMS / (2 * d);
    vf sums[SLOPE_SUMS + VL]; /* folding takes VL of them at a time */
    for (int64_t first = 0; first < a->keys; first += tile) {
        const int64_t keys = a->keys - first < tile ? a->keys - first : tile;
        for (int64_t s = 0; s < keys * 2 * d + VL; s++)
            sums[s] = (vf){0};
        for (int64_t i = 0; i < a->stride; i += VL) {
            vf q[8], dy[8], dq[8], under = *(const vf *)(a->lse + i) * 1.44269504f, shared = {0};
            under = DROP(under, under == -__builtin_inff()) + KEEP(splat(__builtin_inff()), under == -__builtin_inff()); /* sees nothing: 0 */
            for (int c = 0; c < d; c++) {
                q[c] = *(const vf *)(a->q + c * a->stride + i) * (a->scale * 1.44269504f);
                dy[c] = *(const vf *)(a->dy + c * a->stride + i);
                shared += dy[c] * *(const vf *)(a->y + c * a->stride + i);
                dq[c] = (vf){0};
            }
            shared -= *(const vf *)(a->dlse + i);
            int64_t j = 0;
            for (; j + SLOPES_TOGETHER <= keys; j += SLOPES_TOGETHER)
                narrow_slope_sums(d, masked, SLOPES_TOGETHER, dq, sums + j * 2 * d, q, dy, under, shared, a, i, first + j);
            for (; j < keys; j++)
                narrow_slope_sums(d, masked, 1, dq, sums + j * 2 * d, q, dy, under, shared, a, i, first + j);
            for (int c = 0; c < d; c++) {
                float *to = a->dq + c * a->stride + i;
                vf before = {0};
                if (first > 0)
                    before = *(const vf *)to;
                *(vf *)to = before + dq[c] * a->scale;
            }
        }
        narrow_fold(d, a, sums, first, keys);
    }
}

static void attention_narrow_grad(const swg__narrow_grad *a) {
    if (a->d == 4 && !a->mask)
        narrow_grad_of(4, false, a);
    else if (a->d == 4)
        narrow_grad_of(4, true, a);
    else if (!a->mask)
        narrow_grad_of(8, false, a);
    else
        narrow_grad_of(8, true, a);
}
