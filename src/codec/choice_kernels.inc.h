/* choice_kernels.inc.h - mode W's way from sums to buckets, phases and predictions, where levels are not wide; part of kernels.inc.h.
 * lookup(table, index): table[index] of 64 u16, in every lane, index 0..63; may read one u16 behind the table.
 * SPDX-License-Identifier: Apache-2.0 */

static inline vi32 lanes(int32_t v) { return v - (vi32){0}; }
static inline vi32 select32(vi32 mask, vi32 yes, vi32 no) { return (mask & yes) | (~mask & no); }
static inline vi32 within(vi32 v, int32_t least, int32_t most) {
    v = select32(v < least, lanes(least), v);
    return select32(v > most, lanes(most), v);
}
static inline vi32 load_sums(const int64_t *p) {
    int32_t v[LANES32];
    for (int j = 0; j < LANES32; j++)
        v[j] = (int32_t)p[j];
    return load_i32(v);
}

static void stencil_gather(const int32_t *const tap[SWG__TAPS], int64_t n, int32_t *to, int64_t stride) {
    for (int k = 0; k < SWG__TAPS; k++, to += stride)
        for (int64_t i = 0; i < n; i += LANES32) {
            const vi32 v = load_i32(tap[k] + i);
            memcpy(to + i, &v, sizeof v);
        }
}

/* Activity class of S < 2^24, which is exact as f32: the exponent and the two bits behind the leading one. */
static inline vi32 activity_classes(vi32 s) {
    typedef float vf __attribute__((vector_size(8 * LANES)));
    return within(((vi32)__builtin_convertvector(s, vf) >> 21) - (4 * 127 + 16), 0, 63);
}

/* What the network's sums make of buckets and of mu (swg__causal_apply). */
static inline vi32 network_bucket(vi32 bucket, vi32 sum1) {
    return within((2048 * bucket + 4 * within(sum1, -(1 << 18), 1 << 18) + 1024) >> 11, 0, 63);
}
static inline vi32 network_shift(const swg__choice_tables *t, vi32 bucket, vi32 sum0) {
    vi32 scale = lookup(t->scale[0], bucket) | lookup(t->scale[1], bucket) << 16;
    return (within((sum0 >> 5) + (sum0 >> 4 & 1), -512, 511) * scale + 512) >> 10;
}

static void stencil_choices(const swg__choice_tables *t, const int64_t *accumulator, const int64_t *activity, const int32_t *sum0,
                            const int32_t *sum1, const int32_t *u, int64_t n, int64_t stride, int32_t *e, uint16_t *context, uint8_t *next) {
    for (int64_t i = 0; i < n; i += LANES32) {
        const vi32 mean = (load_sums(accumulator + i) + 256) >> 9, c = activity_classes(load_sums(activity + i));
        const vi32 step = (vi32)((vu32)load_i32(u + i) - (vu32)load_i32(u + i - 1));
        for (int r = 0; r < 3; r++) {
            vi32 bucket = lookup(t->bucket[r], c), mu = mean;
            if (sum0) {
                bucket = network_bucket(bucket, load_i32(sum1 + i));
                mu += network_shift(t, bucket, load_i32(sum0 + i));
            }
            vi32 half = (mu + 8) >> 4, residual = (vi32)((vu32)step - (vu32)half);
            vi32 word = bucket | (mu - 16 * half + 8) << 7, class = -(residual != 0) - ((vu32)residual + 1 > 2);
            vi16 narrow = __builtin_convertvector(word, vi16);
            vi8 small = __builtin_convertvector(class, vi8);
            memcpy(e + r * stride + i, &residual, sizeof residual);
            memcpy(context + r * stride + i, &narrow, sizeof narrow);
            memcpy(next + r * stride + i, &small, sizeof small);
        }
    }
}

static void stencil_guesses(const swg__choice_tables *t, const int64_t *accumulator, const int64_t *activity, const int32_t *sum0,
                            const int32_t *sum1, const uint8_t *before, int64_t n, uint8_t *bucket, int8_t *phase, int64_t *guess) {
    for (int64_t i = 0; i < n; i += LANES32) {
        const vi32 c = activity_classes(load_sums(activity + i));
        vi8 classes;
        memcpy(&classes, before + i, sizeof classes);
        const vi32 r = __builtin_convertvector(classes, vi32);
        vi32 b = select32(r == 0, lookup(t->bucket[0], c), select32(r == 1, lookup(t->bucket[1], c), lookup(t->bucket[2], c)));
        vi32 mu = (load_sums(accumulator + i) + 256) >> 9;
        if (sum0) {
            b = network_bucket(b, load_i32(sum1 + i));
            mu += network_shift(t, b, load_i32(sum0 + i));
        }
        const vi32 half = (mu + 8) >> 4;
        vi8 small = __builtin_convertvector(b, vi8);
        memcpy(bucket + i, &small, sizeof small);
        small = __builtin_convertvector(mu - 16 * half, vi8);
        memcpy(phase + i, &small, sizeof small);
        for (int j = 0; j < LANES32; j++)
            guess[i + j] += half[j];
    }
}
