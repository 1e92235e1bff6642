/* bf16.inc.h - runs of bf16 to f32.
 * SPDX-License-Identifier: Apache-2.0 */

static void widen(float *restrict to, const swg__bf16 *restrict from, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        to[i] = swg__f32_of_bf16(from[i]);
}
