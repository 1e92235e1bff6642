/* vecmath.h - logarithm and exponential of many numbers: within one unit in the last place, the same bits on every machine and
 * instruction set, which the C library does not promise.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_VECMATH_H
#define SWAGE_DATA_VECMATH_H

#include <stdint.h>

/* Which instructions to use: of the name of a context's instruction set. */
typedef enum swg__vec { SWG__VEC_PLAIN, SWG__VEC_AVX2, SWG__VEC_AVX512 } swg__vec;
swg__vec swg__vec_of(const char *isa);

/* y[i] = ln((x[i] - offset) * scale + shift). The argument of the logarithm must be a positive normal number, infinite or NaN. */
void swg__vec_log(swg__vec level, const double *x, double offset, double scale, double shift, int64_t count, double *y);
/* x[i] = (exp(y[i]) - shift) / scale + offset. */
void swg__vec_exp(swg__vec level, const double *y, double offset, double scale, double shift, int64_t count, double *x);

#endif
