/* none.c - stands in for the provider where oneDNN is not built in.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "plan/plan.h"
#include "provider/provider.h"

swg_status swg__provider_open(struct swg_plan *plan, const char *name) {
    if (!name || strcmp(name, "swage") == 0)
        return SWG_OK;
    return swg__fail(plan->ctx, SWG_EUNSUPPORTED, "provider \"%s\" is not in this build", name);
}

/* No plan of this build has a provider: what follows is never reached. */
const swg__kernel swg__kernel_provided = {.name = "none"}, swg__kernel_provided_pack = {.name = "none"};

void swg__provider_release(struct swg_plan *plan) { (void)plan; }

bool swg__provider_takes(const struct swg_plan *plan, swg_value v) {
    (void)plan, (void)v;
    return false;
}

swg_status swg__provider_prepare(struct swg_plan *plan, swg_value v, bool frozen, int64_t *bytes, bool *reorders) {
    (void)v, (void)frozen, (void)bytes, (void)reorders;
    return swg__fail(plan->ctx, SWG_EUNSUPPORTED, "no provider in this build");
}

const void *swg__provider_layout(const struct swg_plan *plan, swg_value v) {
    (void)plan, (void)v;
    return NULL;
}

bool swg__provider_version(char *out, int capacity) {
    (void)out, (void)capacity;
    return false;
}
