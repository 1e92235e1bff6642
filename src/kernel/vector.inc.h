/* vector.inc.h - vectors of VL floats or words, what keeps them in registers, and lists of tile heights: what every text of tiles begins with.
 * SPDX-License-Identifier: Apache-2.0 */

#if !defined(__OPTIMIZE__)
#define UNROLLED /* gcc warns of loops that it drops anyway */
#elif defined(__clang__)
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 32")
#endif
#define INLINE static inline __attribute__((always_inline))

#if VL == 1
typedef float vf;
typedef uint32_t __attribute__((may_alias)) vu;
typedef uint16_t __attribute__((may_alias)) vh;
typedef int32_t vi;
#define KEEP(x, condition) ((condition) ? (x) : 0.f)
#define DROP(x, condition) ((condition) ? 0.f : (x))
#else
typedef float vf __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef uint32_t vu __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef uint16_t vh __attribute__((vector_size(VL * 2), aligned(2), may_alias));
#define KEEP(x, condition) ((vf)((vi)(x) & (condition)))
#define DROP(x, condition) ((vf)((vi)(x) & ~(condition)))
#endif

/* Empty assembly, because compilers do not leave well alone. gcc 12 rotates accumulators through register moves, and turns three
 * row pointers and a stride into twelve offsets of which some lie on the stack: STAY and READ_LATER keep values where they are.
 * clang 14 keeps the accumulators on the stack if it recognises a memset in their first zeros: OPAQUE hides what is in them. */
#if defined(__AVX512F__)
#define VECTOR_REGISTER "v"
#elif defined(__x86_64__)
#define VECTOR_REGISTER "x"
#else
#define VECTOR_REGISTER "w"
#endif
#if defined(__clang__)
#define STAY(x) (void)(x)
#define STAY_POINTER(p) (void)(p)
#define OPAQUE(x) __asm__("" : "+" VECTOR_REGISTER(x))
#else
#define STAY(x) __asm__("" : "+" VECTOR_REGISTER(x))
#define STAY_POINTER(p) __asm__("" : "+r"(p))
#define OPAQUE(x) (void)(x)
#endif
#if defined(__FMA__) && !defined(__clang__)
#define READ_LATER(x) __asm__ volatile("" : : VECTOR_REGISTER(x))
#else
#define READ_LATER(x) (void)(x) /* without FMA a product has a register of its own */
#endif

/* First n lanes; an instruction set with masked access sets these itself. */
#ifndef LOAD_PART
INLINE vf load_part(const float *p, int64_t n) {
    float lane[VL] = {0};
    for (int64_t j = 0; j < n; j++)
        lane[j] = p[j];
    return *(const vf *)lane;
}
INLINE void store_part(float *p, vf x, int64_t n) {
    float lane[VL];
    memcpy(lane, &x, sizeof x);
    for (int64_t j = 0; j < n; j++)
        p[j] = lane[j];
}
#define LOAD_PART(p, n) load_part(p, n)
#define STORE_PART(p, x, n) store_part(p, x, n)
#endif

/* X(rows, v) for every height up to `most`, itself a macro. */
#define TILES_TO_4(X, v) X(1, v) X(2, v) X(3, v) X(4, v)
#define TILES_TO_6(X, v) TILES_TO_4(X, v) X(5, v) X(6, v)
#define TILES_TO_8(X, v) TILES_TO_6(X, v) X(7, v) X(8, v)
#define TILES_TO_12(X, v) TILES_TO_8(X, v) X(9, v) X(10, v) X(11, v) X(12, v)
#define TILES_TO_16(X, v) TILES_TO_12(X, v) X(13, v) X(14, v) X(15, v) X(16, v)
#define TILES_TO2(most) TILES_TO_##most
#define TILES_TO(most) TILES_TO2(most)
