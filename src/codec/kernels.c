/* kernels.c - which table of inner loops goes with which instruction set.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels.h"

const swg__codec_kernels *swg__codec_kernels_for(swg__isa isa) {
#if SWG_X86
    static const swg__codec_kernels *const tables[SWG__ISA_COUNT] = {
        [SWG__SCALAR] = &swg__codec_kernels_scalar,
        [SWG__SSE2] = &swg__codec_kernels_sse2,
        [SWG__AVX2] = &swg__codec_kernels_avx2,
        [SWG__AVX512] = &swg__codec_kernels_avx512,
        [SWG__AVX512_BF16] = &swg__codec_kernels_avx512,
    };
    return tables[isa];
#else
    (void)isa;
    return &swg__codec_kernels_scalar;
#endif
}
