/* narrow.inc.h - attention of heads of 4, 8, 16 and 32 columns. A lane is a query, so neither largest scores nor sums cross lanes, and keys
 * and values are broadcast. Scores are in powers of two. Where |q| |k| bounds them, they are exponentiated as they are, else under the largest
 * so far. Several keys go through each stage side by side, because one key's chain of dependent operations is longer than the processor looks
 * ahead. In bf16, where there is a DOT, it makes scores of pairs of columns, and sums of pairs of keys whose exponentials are rounded to bf16
 * first. Needs softmax.inc.h.
 * SPDX-License-Identifier: Apache-2.0 */

enum {
    NARROW_MOST = 32,                   /* columns of a head */
    NARROW_COLUMNS = VL == 16 ? 16 : 8, /* sums of as many stay in registers */
    NARROW_KEYS = 64,                   /* scores of as many keys by VL queries stay in the first cache; sums are made of their sums */
    TOGETHER = VL == 16 ? 8 : VL == 1 ? 2 : 4,
    TOGETHER_WIDE = VL == 1 ? 4 : 8,    /* of heads whose queries do not stay in registers anyway */
    FUSED_WORDS = 2 * TOGETHER
};
static const float narrow_bound = 40.f;         /* 2^40 and 2^-40 leave room for values of any sensible size */
static const float narrow_word_bound = 30.f;    /* what EXP2_PAIR takes */

/* 2^x is 2^floor(x) times the polynomial of what is left; 0 far below -126, NaN stays. An instruction set that has both sets them. */
#ifndef EXP2_FRACTION
INLINE vf exp2_floor(vf x) { /* or one below a whole x */
    const float magic = 12582912.f;     /* 1.5 * 2^23: rounds to the nearest integer */
    vf n = x - .5f + magic;
    return n - magic;
}
INLINE vf exp2_scale(vf p, vf n) {
    vf scale = n + 12583039.f;          /* 127 in the low bits: the exponent */
    vu k;
    memcpy(&k, &scale, sizeof k);
    k <<= 23;
    memcpy(&scale, &k, sizeof k);
    return p * scale;
}
#endif

/* x becomes 2^x; coarse: to 1e-4, plus half a unit of bf16, so that cutting rounds. tools/fit_exp2.py */
INLINE void exp2_together(const bool coarse, const int count, vf *x) {
    vf f[TOGETHER_WIDE], p[TOGETHER_WIDE];
#ifdef EXP2_FRACTION
    UNROLLED for (int g = 0; g < count; g++)
        f[g] = EXP2_FRACTION(x[g]);
#else
    UNROLLED for (int g = 0; g < count; g++) {
        vf limited = LARGER(splat(-126.5f), x[g]);
        x[g] = exp2_floor(limited);
        f[g] = limited - x[g];
    }
#endif
    if (coarse) {
        UNROLLED for (int g = 0; g < count; g++)
            p[g] = f[g] * 7.7067049880e-2f + 2.2764498261e-1f;
    } else {
        UNROLLED for (int g = 0; g < count; g++)
            p[g] = f[g] * 1.8671301927e-3f + 9.0170300625e-3f;
        UNROLLED for (int g = 0; g < count; g++)
            p[g] = p[g] * f[g] + 5.5799913289e-2f;
        UNROLLED for (int g = 0; g < count; g++)
            p[g] = p[g] * f[g] + 2.4016445010e-1f;
    }
    UNROLLED for (int g = 0; g < count; g++)
        p[g] = p[g] * f[g] + (coarse ? 6.9511678835e-1f : 6.9315131181e-1f);
    UNROLLED for (int g = 0; g < count; g++)
        p[g] = p[g] * f[g] + (coarse ? 1.00390625f : 1.f);
#ifdef EXP2_FRACTION
    UNROLLED for (int g = 0; g < count; g++)
        x[g] = EXP2_SCALE(p[g], x[g]);
#else
    UNROLLED for (int g = 0; g < count; g++)
        x[g] = exp2_scale(p[g], x[g]);
#endif
}

#ifdef DOT
enum { HAS_DOT = 1 };
#define DOT_ONES(acc, a)                         \
    do {                                         \
        const vu ones_ = (vu){0} + 0x3f803f80u;  \
        DOT(acc, a, ones_);                      \
    } while (0)
#else
enum { HAS_DOT = 0 };
#define DOT_WORD(acc, a, word) (void)(word)
#define DOT_ONES(acc, a) (void)(a)
#define PAIR_CUT(first, second) (first)
#define EXP2_PAIR(first, second) (first)
#endif
/* EXP2_PAIR: of what lies in the low 16 bits of two vectors, 512 (x + 95), words of 2^(x - 32) in bf16, for |x| <= 30. The exponent is there then,
 * and of the mantissa only 2^f - 1 - f is missing: of 64 cells, from a table (tools/fit_exp2.py). Relative error .7 %, .19 % RMS; rounding
 * to bf16 alone has .39 % and .17 %. */
enum { PAIR_UNITS = 512, PAIR_LOWER = 32 };
static const float pair_offset = 12582912.f + (127 - 32) * 512; /* 1.5 * 2^23: an integer in the low bits */

/* ---- packing ---- */

/* The largest |x| of each column. */
INLINE void narrow_most_of(const bool half, float *most, const void *x, int64_t row, int64_t rows, int64_t columns) {
    for (int64_t c = 0; c < columns; c += VL) {
        const int64_t width = columns - c < VL ? columns - c : VL;
        vf largest = {0};
        for (int64_t r = 0; r < rows; r++) {
            vf y = load_numbers(half, x, r * row + c, width);
            largest = LARGER(LARGER(y, -y), largest);
        }
        store_up_to(most + c, largest, width);
    }
}
static void attention_narrow_most(float *most, const void *x, bool half, int64_t row, int64_t rows, int64_t columns) {
    if (half)
        narrow_most_of(true, most, x, row, rows, columns);
    else
        narrow_most_of(false, most, x, row, rows, columns);
}

INLINE float narrow_read(const bool half, const bool round, const void *x, int64_t i) {
    if (half)
        return swg__f32_of_bf16(((const swg__bf16 *)x)[i]);
    return round ? swg__f32_of_bf16(swg__bf16_of(((const float *)x)[i])) : ((const float *)x)[i];
}
INLINE uint32_t narrow_bits(const bool half, const void *x, int64_t i) {
    return half ? ((const swg__bf16 *)x)[i] : swg__bf16_of(((const float *)x)[i]);
}

INLINE void narrow_pack_of(const int d, const bool half, const bool words, const swg__narrow_keys *t) {
    const int64_t size = half ? 2 : 4;
    const char *k = t->k, *v = t->v;
    for (int64_t j = 0; j < t->keys; j++, k += t->k_row * size, v += t->v_row * size) {
        const char *next = v + t->v_row * size;
        if (!words) {
            float *to = t->packed_k + j * d;
            INDEPENDENT for (int c = 0; c < d; c++)
                to[c] = narrow_read(half, t->round, k, c);
            to = t->packed_v + j * d;
            INDEPENDENT for (int c = 0; c < d; c++)
                to[c] = narrow_read(half, t->round, v, c);
            continue;
        }
        if (half) {
            memcpy(t->packed_k + j * (d / 2), k, (size_t)d * 2);
        } else {
            uint32_t *to = (uint32_t *)t->packed_k + j * (d / 2);
            INDEPENDENT for (int c = 0; c < d / 2; c++)
                to[c] = narrow_bits(half, k, 2 * c) | narrow_bits(half, k, 2 * c + 1) << 16;
        }
        uint32_t *to = (uint32_t *)t->packed_v + j / 2 * d;
        if (j % 2 == 0 && j + 1 < t->keys)
            INDEPENDENT for (int c = 0; c < d; c++)
                to[c] = narrow_bits(half, v, c) | narrow_bits(half, next, c) << 16;
        else if (j % 2 == 0)
            for (int c = 0; c < d; c++)
                to[c] = narrow_bits(half, v, c);
    }
}

#define NARROW_WIDTHS(X) \
    X(4)                 \
    X(8)                 \
    X(16)                \
    X(32)

static void attention_narrow_pack(const swg__narrow_keys *t) {
#define PACK_WIDTH(width)                                \
    if (t->d == width && HAS_DOT && t->words && t->half) \
        narrow_pack_of(width, true, true, t);            \
    else if (t->d == width && HAS_DOT && t->words)       \
        narrow_pack_of(width, false, true, t);           \
    else if (t->d == width && t->half)                   \
        narrow_pack_of(width, true, false, t);           \
    else if (t->d == width)                              \
        narrow_pack_of(width, false, false, t);
    NARROW_WIDTHS(PACK_WIDTH)
}

/* ---- a vector of queries ---- */

/* q: scaled, or words and then scores times `scale` plus `offset`. */
typedef struct narrow_queries { vf q[NARROW_MOST], scale, offset; } narrow_queries;

INLINE void narrow_scores(const int d, const bool words, const int count, vf *s, const narrow_queries *q, const float *k) {
    const int steps = words ? d / 2 : d;
    UNROLLED for (int g = 0; g < count; g++) {
        s[g] = (vf){0};
        if (!words)
            s[g] = q->q[0] * k[g * steps];
    }
    UNROLLED for (int c = words ? 0 : 1; c < steps; c++) {
        vf x = q->q[c];
        if (steps > 16)
            STAY(x);
        UNROLLED for (int g = 0; g < count; g++) {
            if (words)
                DOT_WORD(s[g], x, ((const vu_word *)k)[g * steps + c]);
            else
                s[g] += x * k[g * steps + c];
        }
    }
    if (words)
        UNROLLED for (int g = 0; g < count; g++)
            s[g] = s[g] * q->scale + q->offset;
}

INLINE vf first_of_pairs(vf x) {
    vu bits;
    memcpy(&bits, &x, sizeof bits);
    return as_float(bits & 0xffffu);
}

/* 2^(s - base) of a group; words: in bf16, in pairs, in the first half of s, and lower by 2^32 where s is not under a base. */
INLINE void narrow_exponentials(const bool words, const bool under, const int count, vf *s, vf base) {
    if (words && !under) {
        UNROLLED for (int g = 0; g < count; g += 2) {
            vf both = EXP2_PAIR(s[g], s[g + 1 < count ? g + 1 : g]);
            s[g / 2] = g + 1 < count ? both : first_of_pairs(both);
        }
        return;
    }
    if (under)
        UNROLLED for (int g = 0; g < count; g++)
            s[g] -= base;
    exp2_together(words, count, s);
    if (words)
        UNROLLED for (int g = 0; g < count; g += 2)
            s[g / 2] = PAIR_CUT(s[g], g + 1 < count ? s[g + 1] : (vf){0});
}

/* Adds weighted values, and the weights, of `steps` keys, or pairs of them. */
INLINE void narrow_add(const int d, const int columns, const bool words, const bool weights, const int steps, vf *sum, vf *y, const vf *w,
                       const float *v) {
    UNROLLED for (int g = 0; g < steps; g++) {
        if (weights && words)
            DOT_ONES(*sum, w[g]);
        else if (weights)
            *sum += w[g];
        UNROLLED for (int c = 0; c < columns; c++) {
            if (words)
                DOT_WORD(y[c], w[g], ((const vu_word *)v)[g * d + c]);
            else
                y[c] += w[g] * v[g * d + c];
        }
    }
}

/* A group of keys of heads of 4 columns, all at once. */
INLINE void narrow_fused(const bool words, const int count, vf *sum, vf *y, const narrow_queries *q, const swg__narrow *a, int64_t j) {
    vf s[FUSED_WORDS];
    narrow_scores(4, words, count, s, q, a->k + j * (words ? 2 : 4));
    narrow_exponentials(words, false, count, s, (vf){0});
    narrow_add(4, 4, words, true, words ? (count + 1) / 2 : count, sum, y, s, a->v + (words ? j / 2 : j) * 4);
}

/* Of wider ones: weights of a group into the buffer, at j or, in pairs, at j / 2: from its scores there, `under` a base, or from its keys. */
INLINE void narrow_weights(const int d, const bool words, const bool under, const int count, vf *buffer, const narrow_queries *q,
                           const swg__narrow *a, int64_t first, int64_t j, vf base) {
    vf s[TOGETHER_WIDE];
    if (under)
        UNROLLED for (int g = 0; g < count; g++)
            s[g] = buffer[j + g];
    else
        narrow_scores(d, words, count, s, q, a->k + (first + j) * (words ? d / 2 : d));
    narrow_exponentials(words, under, count, s, base);
    const int steps = words ? (count + 1) / 2 : count;
    vf *to = buffer + (words ? j / 2 : j);
    UNROLLED for (int g = 0; g < steps; g++)
        to[g] = s[g];
}

/* Of `columns`, and the weights' sum. */
INLINE void narrow_values(const int d, const int columns, const bool words, const bool weights, vf *sum, vf *y, const vf *buffer, const float *v,
                          int64_t steps) {
    vf part[NARROW_COLUMNS];
    UNROLLED for (int c = 0; c < columns; c++)
        part[c] = (vf){0};
    for (int64_t j = 0; j < steps; j++) {
        vf w = buffer[j];
        STAY(w);
        narrow_add(d, columns, words, weights, 1, sum, part, &w, v + j * d);
    }
    UNROLLED for (int c = 0; c < columns; c++)
        y[c] += part[c];
}

/* Runs WORK(count, j) over the keys of a block: whole groups, then what is left in twos, which pairs are made of, then in ones. */
#define FOR_GROUPS(group, keys, WORK)              \
    do {                                           \
        int64_t j_ = 0;                            \
        for (; j_ + (group) <= (keys); j_ += group) \
            WORK(group, j_);                       \
        for (; j_ + 2 <= (keys); j_ += 2)          \
            WORK(2, j_);                           \
        if (j_ < (keys))                           \
            WORK(1, j_);                           \
    } while (0)

/* Adds the mask to a block's scores; returns the largest, or `high`. */
INLINE vf narrow_largest(const swg__narrow *a, vf *buffer, vf high, int64_t i, int64_t first, int64_t keys) {
    const float *mask = a->mask;
    for (int64_t j = 0; j < keys; j++) {
        if (mask && a->mask_turned)
            buffer[j] += *(const vf *)(mask + (first + j) * a->stride + i) * 1.44269504f;
        else if (mask)
            buffer[j] += mask[first + j] * 1.44269504f;
        high = LARGER(buffer[j], high);
    }
    return high;
}

/* Queries [i, i + VL). Sums are made of blocks of keys, each from zero. */
INLINE void narrow_rows(const int d, const bool words, const swg__narrow *a, int64_t i) {
    const float factor = a->scale * 1.44269504f, limit = words ? narrow_word_bound : narrow_bound;
    const int fused = words ? FUSED_WORDS : TOGETHER, group = d < 16 ? TOGETHER : TOGETHER_WIDE;
    narrow_queries q; /* not cleared: that would cost more than a short row */
    vf y[NARROW_MOST], sum = {0}, most, bound = {0}, buffer[NARROW_KEYS];
    float lane[VL];
    bool direct = !a->mask;
    for (int c = 0; c < (words ? d / 2 : d); c++) {
        vf x = *(const vf *)(a->q + c * a->stride + i);
        if (words) {
            vu bits;
            memcpy(&bits, &x, sizeof bits);
            vf low = as_float(bits << 16) * (factor * a->most[2 * c]), high = as_float(bits & 0xffff0000u) * (factor * a->most[2 * c + 1]);
            bound += LARGER(low, -low) + LARGER(high, -high);
            q.q[c] = x;
        } else {
            q.q[c] = x * factor;
            bound += LARGER(q.q[c], -q.q[c]) * a->most[c];
        }
    }
    memcpy(lane, &bound, sizeof lane);
    for (int l = 0; l < VL; l++)
        direct = direct && lane[l] <= limit; /* NaN is not */
    q.scale = splat(words && direct ? factor * PAIR_UNITS : factor);
    q.offset = splat(words && direct ? pair_offset : 0.f);
    most = splat(!direct ? -__builtin_inff() : words ? PAIR_LOWER : 0.f);
    for (int c = 0; c < d; c++)
        y[c] = (vf){0};
    for (int64_t first = 0; first < a->keys; first += NARROW_KEYS) {
        const int64_t keys = a->keys - first < NARROW_KEYS ? a->keys - first : NARROW_KEYS;
        vf part = {0}, base = {0};
        if (direct && d == 4) {
            vf of[4];
            UNROLLED for (int c = 0; c < 4; c++)
                of[c] = (vf){0};
#define FUSED(count, j) narrow_fused(words, count, &part, of, &q, a, first + (j))
            FOR_GROUPS(fused, keys, FUSED);
            UNROLLED for (int c = 0; c < 4; c++)
                y[c] += of[c];
            sum += part;
            continue;
        }
        if (direct) {
#define WEIGHTS(count, j) narrow_weights(d, words, false, count, buffer, &q, a, first, j, base)
            FOR_GROUPS(group, keys, WEIGHTS);
        } else {
#define SCORES(count, j) narrow_scores(d, words, count, buffer + (j), &q, a->k + (first + (j)) * (words ? d / 2 : d))
            FOR_GROUPS(group, keys, SCORES);
            vf high = narrow_largest(a, buffer, most, i, first, keys), keep;
            base = KEEP(high, high > -__builtin_inff());
            keep = most - base;
            exp2_together(false, 1, &keep);
            most = high;
            sum *= keep;
            for (int c = 0; c < d; c++)
                y[c] *= keep;
#define WEIGHTS_UNDER(count, j) narrow_weights(d, words, true, count, buffer, &q, a, first, j, base)
            FOR_GROUPS(group, keys, WEIGHTS_UNDER);
        }
        const float *v = a->v + (words ? first / 2 : first) * d;
        const int64_t steps = words ? (keys + 1) / 2 : keys;
        narrow_values(d, d < NARROW_COLUMNS ? d : NARROW_COLUMNS, words, true, &part, y, buffer, v, steps);
        for (int c = NARROW_COLUMNS; c < d; c += NARROW_COLUMNS)
            narrow_values(d, NARROW_COLUMNS, words, false, &part, y + c, buffer, v + c, steps);
        sum += part;
    }
    vf inverse = 1.f / (sum + KEEP(splat(1.f), sum == 0));
    for (int c = 0; c < d; c++)
        *(vf *)(a->y + c * a->stride + i) = y[c] * inverse;
    if (!a->lse)
        return;
    float high[VL], total[VL];
    memcpy(high, &most, sizeof high);
    memcpy(total, &sum, sizeof total);
    INDEPENDENT for (int l = 0; l < VL; l++)
        a->lse[i + l] = high[l] * .693147181f + fn_log(total[l]);
}

static void attention_narrow(const swg__narrow *a) {
#define ROWS_OF_WIDTH(width)                                       \
    for (int64_t i = 0; i < a->stride && a->d == width; i += VL) { \
        if (HAS_DOT && a->words)                                   \
            narrow_rows(width, true, a, i);                        \
        else                                                       \
            narrow_rows(width, false, a, i);                       \
    }
    NARROW_WIDTHS(ROWS_OF_WIDTH)
}
