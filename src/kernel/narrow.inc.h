/* narrow.inc.h - attention of heads of 4 or 8 columns. A tile of the contraction would be nearly empty there; instead a lane is a query,
 * so that nothing is packed and neither largest scores nor sums cross lanes. Needs softmax.inc.h.
 * SPDX-License-Identifier: Apache-2.0 */

enum { NARROW_KEYS = 64 };  /* scores of as many keys by VL queries stay in the first cache */

/* Column c of up to VL rows, times scale. */
INLINE vf column_of(const float *x, int64_t stride, int64_t rows, float scale) {
    float lane[VL] = {0};
    vf y;
    for (int64_t l = 0; l < rows; l++)
        lane[l] = x[l * stride] * scale;
    memcpy(&y, lane, sizeof y);
    return y;
}

/* Up to VL queries from row i on; d as a constant keeps q and y in registers. */
INLINE void narrow_rows(const int d, const bool masked, const swg__narrow *a, int64_t i, int64_t rows) {
    vf q[8], y[8], most = splat(-__builtin_inff()), sum = {0}, s[NARROW_KEYS];
    for (int c = 0; c < d; c++) {
        q[c] = column_of(a->q + i * a->q_row + c, a->q_row, rows, a->scale);
        y[c] = (vf){0};
    }
    for (int64_t j = 0; j < a->keys; j += NARROW_KEYS) {
        const int64_t keys = a->keys - j < NARROW_KEYS ? a->keys - j : NARROW_KEYS;
        vf high = most;
        for (int64_t t = 0; t < keys; t++) {
            const float *k = a->k + (j + t) * a->k_row;
            vf x = q[0] * k[0];
            UNROLLED for (int c = 1; c < d; c++)
                x += q[c] * k[c];
            if (masked)
                x += a->mask[j + t];
            s[t] = x;
            high = LARGER(x, high);
        }
        vf base = KEEP(high, high > -__builtin_inff()), keep = exp_down(most - base);
        most = high;
        sum *= keep;
        UNROLLED for (int c = 0; c < d; c++)
            y[c] *= keep;
        for (int64_t t = 0; t < keys; t++) {
            const float *v = a->v + (j + t) * a->v_row;
            vf e = exp_down(s[t] - base);
            sum += e;
            UNROLLED for (int c = 0; c < d; c++)
                y[c] += e * v[c];
        }
    }
    vf inverse = 1.f / (sum + KEEP(splat(1.f), sum == 0));
    float lane[8][VL], high[VL], total[VL];
    for (int c = 0; c < d; c++) {
        y[c] *= inverse;
        memcpy(lane[c], &y[c], sizeof y[c]);
    }
    memcpy(high, &most, sizeof most);
    memcpy(total, &sum, sizeof sum);
    for (int64_t l = 0; l < rows; l++) {
        for (int c = 0; c < d; c++)
            a->y[(i + l) * a->y_row + c] = lane[c][l];
        a->lse[(i + l) * a->y_row] = high[l] + fn_log(total[l]);
    }
}

static void attention_narrow(const swg__narrow *a) {
    for (int64_t i = 0; i < a->rows; i += VL) {
        const int64_t rows = a->rows - i < VL ? a->rows - i : VL;
        if (a->d == 4 && !a->mask)
            narrow_rows(4, false, a, i, rows);
        else if (a->d == 4)
            narrow_rows(4, true, a, i, rows);
        else if (!a->mask)
            narrow_rows(8, false, a, i, rows);
        else
            narrow_rows(8, true, a, i, rows);
    }
}
