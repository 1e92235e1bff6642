/* kernels.c - which table of inner loops goes with which instruction set.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels.h"

const swg__codec_kernels *swg__codec_kernels_for(swg__isa isa) {
#if SWG_X86
    static const swg__codec_kernels *const tables[SWG__ISA_COUNT] = {
#define ISA(id, name, fast, like, int8) [SWG__##id] = &swg__codec_kernels_##like,
#include "isa.def"
#undef ISA
    };
    return tables[isa];
#else
    (void)isa;
    return &swg__codec_kernels_scalar;
#endif
}
