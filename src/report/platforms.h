/* platforms.h - what works on which platform, and what of it this build has on this machine.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_REPORT_PLATFORMS_H
#define SWAGE_REPORT_PLATFORMS_H

#include "base.h"

typedef struct swg__platform_row {
    const char *feature, *linux_x86, *linux_other, *elsewhere; /* elsewhere: macOS and Windows */
    char here[96];
} swg__platform_row;

enum { SWG__PLATFORM_ROWS = 13 };

void swg__platforms(swg_context *ctx, swg__platform_row rows[SWG__PLATFORM_ROWS]);

#endif
