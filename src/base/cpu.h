/* cpu.h - which instruction sets this machine and its system really offer, and how many processors we may use.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CPU_H
#define SWAGE_CPU_H

typedef enum swg__isa {
#define ISA(id, name, fast, like, int8) SWG__##id,
#include "isa.def"
#undef ISA
    SWG__ISA_COUNT
} swg__isa;

swg__isa swg__isa_best(void);                 /* by cpuid and xgetbv */
const char *swg__isa_name(swg__isa isa);
int swg__isa_find(const char *name);          /* -1: unknown */
int swg__cpu_count(void);                     /* affinity mask and cgroup quota; at least 1 */
void swg__cpu_brand(char *out, int capacity); /* processor's own name, "unknown" elsewhere */

#endif
