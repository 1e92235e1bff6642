/* attention.inc.h - what attention does to a tile of scores between two products.
 * SPDX-License-Identifier: Apache-2.0 */

enum { SCORE_LANES = 32 };

/* Online softmax (Milakov and Gimelshein 2018): scores become exponentials under the row's largest so far; `keep` is what sums made
 * under the one before are worth now. A row that has seen nothing but -inf keeps sum 0. */
static void attention_softmax(const swg__scores *t, float *most, float *sum, float *keep) {
    for (int64_t r = 0; r < t->rows; r++) {
        float *s = t->s + r * t->stride;
        const float *mask = t->mask ? t->mask + r * t->mask_stride : NULL;
        float lane[SCORE_LANES];
        int64_t j = 0, whole = t->columns / SCORE_LANES * SCORE_LANES;
        for (int l = 0; l < SCORE_LANES; l++)
            lane[l] = -__builtin_inff();
        for (; j < whole; j += SCORE_LANES)
            for (int l = 0; l < SCORE_LANES; l++) {
                float x = s[j + l] * t->scale + (mask ? mask[j + l] : 0.f);
                s[j + l] = x;
                lane[l] = x > lane[l] ? x : lane[l];
            }
        for (int64_t l = 0; j + l < t->columns; l++) {
            float x = s[j + l] * t->scale + (mask ? mask[j + l] : 0.f);
            s[j + l] = x;
            lane[l] = x > lane[l] ? x : lane[l];
        }
        float before = most[r], now = before, under;
        for (int l = 0; l < SCORE_LANES; l++)
            now = lane[l] > now ? lane[l] : now;
        under = now == -__builtin_inff() ? 0.f : now;
        for (int l = 0; l < SCORE_LANES; l++)
            lane[l] = 0;
        for (j = 0; j < whole; j += SCORE_LANES)
            for (int l = 0; l < SCORE_LANES; l++) {
                float e = fn_exp(s[j + l] - under);
                s[j + l] = e;
                lane[l] += e;
            }
        for (int64_t l = 0; j + l < t->columns; l++) {
            float e = fn_exp(s[j + l] - under);
            s[j + l] = e;
            lane[l] += e;
        }
        for (int half = SCORE_LANES / 2; half > 0; half /= 2)
            for (int l = 0; l < half; l++)
                lane[l] += lane[l + half];
        keep[r] = before == -__builtin_inff() ? 0.f : fn_exp(before - under);
        sum[r] = sum[r] * keep[r] + lane[0];
        most[r] = now;
    }
}

/* Probabilities from scores and log-sums. */
static void attention_probabilities(const swg__scores *t, const float *lse, int64_t lse_stride) {
    for (int64_t r = 0; r < t->rows; r++) {
        float *s = t->s + r * t->stride, under = lse[r * lse_stride];
        const float *mask = t->mask ? t->mask + r * t->mask_stride : NULL;
        under = under == -__builtin_inff() ? __builtin_inff() : under; /* a row that sees nothing: 0 */
        if (mask)
            for (int64_t j = 0; j < t->columns; j++)
                s[j] = fn_exp(s[j] * t->scale + mask[j] - under);
        else
            for (int64_t j = 0; j < t->columns; j++)
                s[j] = fn_exp(s[j] * t->scale - under);
    }
}

/* ds = p (dp - shared) factor, over dp. */
static void attention_slopes(float *dp, const swg__scores *p, const float *shared, float factor) {
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t j = 0; j < p->columns; j++)
            dp[r * p->stride + j] = p->s[r * p->stride + j] * (dp[r * p->stride + j] - shared[r]) * factor;
}
