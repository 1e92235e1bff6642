/* peak.inc.h - what the benchmarks measure the machine with: FMAs in registers, and streams through memory.
 * In: rounds, or arrays. Out: FLOP done; the streams are counted by their caller.
 * SPDX-License-Identifier: Apache-2.0 */

/* Keeps the compiler from folding independent operations, and from turning a copy into a call. */
#if defined(__AVX512F__)
#define HIDE(x) __asm__ volatile("" : "+v"(x))
#elif defined(__x86_64__)
#define HIDE(x) __asm__ volatile("" : "+x"(x))
#else
#define HIDE(x) __asm__ volatile("" : "+m"(x))
#endif

/* The ceiling of the micro-kernel: as many independent accumulators as its tile has, nothing but FMAs. */
static __attribute__((noinline)) double peak_f32(int64_t rounds) {
    const vf zero = {0};
    vf acc[MR][2], a = zero + 1.0000001f, b = zero + 1e-9f;
    UNROLLED for (int i = 0; i < MR; i++)
        acc[i][0] = acc[i][1] = zero + (float)i;
    for (int64_t k = 0; k < rounds; k++) {
        UNROLLED for (int i = 0; i < MR; i++) {
            acc[i][0] = acc[i][0] * a + b;
            acc[i][1] = acc[i][1] * a + b;
            HIDE(acc[i][0]);
            HIDE(acc[i][1]);
        }
    }
    vf total = zero;
    UNROLLED for (int i = 0; i < MR; i++)
        total += acc[i][0] + acc[i][1];
    volatile float sink = *(const float *)&total;
    (void)sink;
    return (double)rounds * MR * 2 * VL * 2;
}

#ifdef DOT
/* The same for dot products of pairs. */
static __attribute__((noinline)) double peak_bf16(int64_t rounds) {
    const vf zero = {0};
    vf acc[MR][2];
    vu a = (vu){0} + 0x3f803f80u, b = (vu){0} + 0x30003000u; /* 1 and 2^-31 */
    UNROLLED for (int i = 0; i < MR; i++)
        acc[i][0] = acc[i][1] = zero + (float)i;
    for (int64_t k = 0; k < rounds; k++) {
        UNROLLED for (int i = 0; i < MR; i++) {
            DOT(acc[i][0], a, b);
            DOT(acc[i][1], a, b);
            HIDE(acc[i][0]);
            HIDE(acc[i][1]);
        }
    }
    vf total = zero;
    UNROLLED for (int i = 0; i < MR; i++)
        total += acc[i][0] + acc[i][1];
    volatile float sink = *(const float *)&total;
    (void)sink;
    return (double)rounds * MR * 2 * VL * 4;
}
#endif

enum { STREAMS = 8 }; /* vectors per round; n is a multiple of STREAMS * VL */

static __attribute__((noinline)) void stream_read(const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i += STREAMS * VL)
        UNROLLED for (int j = 0; j < STREAMS; j++) {
            vf v = *(const vf *)(x + i + j * VL);
            HIDE(v);
        }
}

static __attribute__((noinline)) void stream_copy(float *restrict to, const float *restrict from, int64_t n) {
    for (int64_t i = 0; i < n; i += STREAMS * VL)
        UNROLLED for (int j = 0; j < STREAMS; j++) {
            vf v = *(const vf *)(from + i + j * VL);
            HIDE(v);
            *(vf *)(to + i + j * VL) = v;
        }
}

/* In place, as an optimiser does: every line is read, changed and written back. */
static __attribute__((noinline)) void stream_scale(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i += STREAMS * VL)
        UNROLLED for (int j = 0; j < STREAMS; j++)
            *(vf *)(x + i + j * VL) *= 1.0000001f;
}
