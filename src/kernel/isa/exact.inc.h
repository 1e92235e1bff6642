/* exact.inc.h - kernels compiled without contraction: same source, same operations, same bits on every instruction set.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "kernel/isa.h"
#include "kernel/vmath.inc.h"

/* sin and cos of 2 pi u, u in [0, 1): quarter turn q and r in [-1/4, 1/4] half-turns, Taylor to 1e-9. */
static inline __attribute__((always_inline)) void sincos_turn(float u, float *s, float *c) {
    float t = 4.f * u + 12582912.f;
    uint32_t q = bits_of(t) & 3u;
    float r = (4.f * u - (t - 12582912.f)) * 1.57079637f, z = r * r;
    float si = r + r * z * (-0.16666667f + z * (8.3333310e-3f + z * (-1.9840874e-4f + z * 2.7525562e-6f)));
    float co = 1.f + z * (-0.5f + z * (4.1666668e-2f + z * (-1.3888397e-3f + z * 2.4760495e-5f)));
    float sv = q & 1u ? co : si, cv = q & 1u ? si : co;
    *s = q & 2u ? -sv : sv;
    *c = (q + 1u) & 2u ? -cv : cv;
}

/* Box-Muller: words (0, 1) and (2, 3) of each Philox block give two normals each, cosine first. */
static void normal(float *restrict out, const uint32_t *restrict words, int64_t quads) {
    for (int64_t i = 0; i < 2 * quads; i++) {
        float u1 = (float)(int32_t)((words[2 * i] >> 8) + 1u) * 0x1p-24f, u2 = (float)(int32_t)(words[2 * i + 1] >> 8) * 0x1p-24f;
        float radius = __builtin_sqrtf(-2.f * fn_log(u1)), s, c;
        sincos_turn(u2, &s, &c);
        out[2 * i] = radius * c;
        out[2 * i + 1] = radius * s;
    }
}

#define SWG_NAME2(isa) swg__exact_table_##isa
#define SWG_NAME(isa) SWG_NAME2(isa)
extern const swg__exact_table SWG_NAME(SWG_ISA);
const swg__exact_table SWG_NAME(SWG_ISA) = {.normal = normal};
