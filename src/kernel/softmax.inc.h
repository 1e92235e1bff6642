/* softmax.inc.h - softmax of rows, and what attention does to a tile of scores between two products: VL rows at a time, whose largest
 * scores and sums meet in one vector. Needs tile.inc.h and vmath.inc.h.
 * SPDX-License-Identifier: Apache-2.0 */

/* Lane by lane the larger of the two; b where one is NaN. An instruction set that has it sets it itself. */
#ifndef LARGER
INLINE vf larger(vf a, vf b) {
    float x[VL], y[VL];
    memcpy(x, &a, sizeof a);
    memcpy(y, &b, sizeof b);
    for (int j = 0; j < VL; j++)
        y[j] = x[j] > y[j] ? x[j] : y[j];
    memcpy(&b, y, sizeof b);
    return b;
}
#define LARGER(a, b) larger(a, b)
#endif

INLINE vf splat(float x) { return x - (vf){0}; }

/* exp(x) for x <= 88, 0 below -87.7; NaN stays. exp_reduced of vmath.inc.h with one factor 2^k. */
INLINE vf exp_down(vf x) {
    const float magic = 12582912.f; /* 1.5 * 2^23: rounds to the nearest integer */
    vu k;
    x = LARGER(splat(-88.f), x);
    vf n = x * 1.44269504f + magic, scale;
    memcpy(&k, &n, sizeof k);
    k = (k - (0x4B400000u - 127)) << 23; /* of NaN anything */
    memcpy(&scale, &k, sizeof k);
    n -= magic;
    vf r = x - n * 0.693359375f;
    r += n * 2.12194440e-4f;
    vf p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return (p * (r * r) + r + 1.f) * scale;
}

/* Up to VL numbers; the missing ones -inf. */
INLINE vf load_low(const float *p, int64_t width) {
    if (width >= VL)
        return *(const vf *)p;
    float lane[VL];
    for (int64_t j = 0; j < VL; j++)
        lane[j] = j < width ? p[j] : -__builtin_inff();
    return *(const vf *)lane;
}

/* Element r: the largest, or the sum, of vector r. */
INLINE vf fold_rows(const bool largest, vf x[VL]) {
    transpose(x);
    UNROLLED for (int half = VL / 2; half > 0; half /= 2)
        UNROLLED for (int j = 0; j < half; j++) {
            if (largest)
                x[j] = LARGER(x[j], x[j + half]);
            else
                x[j] += x[j + half];
        }
    return x[0];
}

/* ---- rows by themselves ---- */

enum { SUM_CHUNK = 256 * VL };  /* elements that are summed in f32 */

static void softmax(float *out, const float *x, int64_t n, bool log) {
    vf high = splat(-__builtin_inff());
    float lane[VL], most = -__builtin_inff();
    double total = 0;
    int64_t whole = n - n % VL;
    for (int64_t i = 0; i < whole; i += VL)
        high = LARGER(*(const vf *)(x + i), high);
    if (whole < n)
        high = LARGER(load_low(x + whole, n - whole), high);
    memcpy(lane, &high, sizeof high);
    for (int j = 0; j < VL; j++)
        most = lane[j] > most ? lane[j] : most;
    for (int64_t c = 0; c < n; c += SUM_CHUNK) {
        vf sum = {0};
        for (int64_t i = c; i < n && i < c + SUM_CHUNK; i += VL) {
            vf e = exp_down(load_low(x + i, n - i) - most);
            sum += e;
            if (!log)
                store_up_to(out + i, e, n - i);
        }
        memcpy(lane, &sum, sizeof sum);
        for (int j = 0; j < VL; j++)
            total += (double)lane[j];
    }
    const float shift = most + fn_log((float)total), scale = (float)(1 / total);
    if (log)
        INDEPENDENT for (int64_t i = 0; i < n; i++)
            out[i] = x[i] - shift;
    else
        INDEPENDENT for (int64_t i = 0; i < n; i++)
            out[i] *= scale;
}

/* ---- tiles of attention scores ---- */

/* Scores [j, j + VL) of row r, scaled and masked; `width` < VL: the last ones, -inf behind them. */
INLINE vf score_at(const swg__scores *t, const bool masked, int64_t r, int64_t j, int64_t width) {
    vf x = load_up_to(t->s + r * t->stride + j, width) * t->scale;
    if (masked)
        x += load_up_to(t->mask + r * t->mask_stride + j, width);
    return width >= VL ? x : load_low((const float *)&x, width);
}

/* Calls WORK(x, j, width) with the scores of row r. */
#define FOR_SCORES(t, masked, r, WORK)                                                 \
    do {                                                                               \
        int64_t j_ = 0;                                                                \
        for (; j_ + VL <= (t)->columns; j_ += VL)                                      \
            WORK(score_at(t, masked, r, j_, VL), j_, VL);                              \
        if (j_ < (t)->columns)                                                         \
            WORK(score_at(t, masked, r, j_, (t)->columns - j_), j_, (t)->columns - j_); \
    } while (0)

/* Online softmax (Milakov and Gimelshein 2018): scores become exponentials under the row's largest so far; `keep` is what sums made
 * under the one before are worth now. A row that has seen nothing but -inf keeps sum 0. */
INLINE void softmax_rows(const swg__scores *t, const bool masked, int64_t r0, float *most, float *sum, float *keep) {
    const int64_t rows = t->rows - r0 < VL ? t->rows - r0 : VL;
    vf high[VL], total[VL];
    float under[VL];
    for (int64_t r = rows; r < VL; r++)
        high[r] = total[r] = (vf){0};
    for (int64_t r = 0; r < rows; r++) {
        vf largest = splat(-__builtin_inff());
#define KEEP_LARGEST(x, j, width) largest = LARGER(x, largest)
        FOR_SCORES(t, masked, r0 + r, KEEP_LARGEST);
        high[r] = largest;
    }
    vf before = load_up_to(most + r0, rows), now = LARGER(fold_rows(true, high), before);
    vf base = KEEP(now, now > -__builtin_inff()), kept = exp_down(before - base);
    memcpy(under, &base, sizeof base);
    for (int64_t r = 0; r < rows; r++) {
        float *to = t->s + (r0 + r) * t->stride;
        vf all = {0};
#define EXPONENTIATE(x, j, width)          \
    do {                                   \
        vf e_ = exp_down((x)-under[r]);    \
        store_up_to(to + (j), e_, width);  \
        all += e_;                         \
    } while (0)
        FOR_SCORES(t, masked, r0 + r, EXPONENTIATE);
        total[r] = all;
    }
    store_up_to(keep + r0, kept, rows);
    store_up_to(sum + r0, load_up_to(sum + r0, rows) * kept + fold_rows(false, total), rows);
    store_up_to(most + r0, now, rows);
}

static void attention_softmax(const swg__scores *t, float *most, float *sum, float *keep) {
    for (int64_t r = 0; r < t->rows; r += VL)
        if (t->mask)
            softmax_rows(t, true, r, most, sum, keep);
        else
            softmax_rows(t, false, r, most, sum, keep);
}

/* Sums of weighted values under the largest score become means; log-sums of the scores, lse NULL: not wanted. */
static void attention_means(float *y, float *lse, int64_t stride, int64_t rows, int64_t columns, const float *most, const float *sum) {
    for (int64_t r0 = 0; r0 < rows; r0 += VL) {
        float inverse[VL], log[VL];
        const int64_t count = rows - r0 < VL ? rows - r0 : VL;
        for (int64_t r = 0; r < count; r++) {
            inverse[r] = sum[r0 + r] == 0.f ? 1.f : 1.f / sum[r0 + r];
            log[r] = most[r0 + r] + fn_log(sum[r0 + r]);
        }
        for (int64_t r = 0; r < count; r++) {
            float *to = y + (r0 + r) * stride;
            for (int64_t c = 0; c < columns; c += VL)
                store_up_to(to + c, load_up_to(to + c, columns - c) * inverse[r], columns - c);
            if (lse)
                lse[(r0 + r) * stride] = log[r];
        }
    }
}

/* Probabilities from scores and log-sums. */
static void attention_probabilities(const swg__scores *t, const float *lse, int64_t lse_stride) {
    for (int64_t r = 0; r < t->rows; r++) {
        float under = lse[r * lse_stride];
        under = under == -__builtin_inff() ? __builtin_inff() : under; /* a row that sees nothing: 0 */
        float *to = t->s + r * t->stride;
#define PROBABILITY(x, j, width) store_up_to(to + (j), exp_down((x)-under), width)
        if (t->mask)
            FOR_SCORES(t, true, r, PROBABILITY);
        else
            FOR_SCORES(t, false, r, PROBABILITY);
    }
}

/* ds = p (dp - shared) factor, over dp. */
static void attention_slopes(float *dp, const swg__scores *p, const float *shared, float factor) {
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t j = 0; j < p->columns; j++)
            dp[r * p->stride + j] = p->s[r * p->stride + j] * (dp[r * p->stride + j] - shared[r]) * factor;
}
