/* provider.h - other people's arithmetic behind our kernel interface.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_PROVIDER_H
#define SWAGE_PROVIDER_H

#include "swage/status.h"

struct swg_plan;

/* Lets the named provider take over the steps it supports; NULL or "swage" changes nothing.
 * SWG_EUNSUPPORTED: unknown, or not in this build. */
swg_status swg__provider_adopt(struct swg_plan *plan, const char *name);
/* Frees what the provider holds for a plan. */
void swg__provider_release(struct swg_plan *plan);
/* "oneDNN 2.6.3", or NULL where it is not built in or cannot be loaded. */
const char *swg__provider_version(void);

#endif
