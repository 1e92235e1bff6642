/* none.c - stands in for the provider where oneDNN is not built in.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "plan/plan.h"
#include "provider/provider.h"

swg_status swg__provider_adopt(struct swg_plan *plan, const char *name) {
    if (!name || strcmp(name, "swage") == 0)
        return SWG_OK;
    return swg__fail(plan->ctx, SWG_EUNSUPPORTED, "provider \"%s\" is not in this build", name);
}

void swg__provider_release(struct swg_plan *plan) { (void)plan; }
const char *swg__provider_version(void) { return NULL; }
