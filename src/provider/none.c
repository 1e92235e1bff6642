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

swg_status swg__provided_conv_open(swg_context *ctx, swg__op op, const swg__conv *c, bool bf16, const float *a, const float *b,
                                   struct swg__provided_conv **out) {
    (void)op, (void)c, (void)bf16, (void)a, (void)b;
    *out = NULL;
    return swg__fail(ctx, SWG_EUNSUPPORTED, "no provider in this build");
}

void swg__provided_conv_run(void *conv) { (void)conv; }

swg_status swg__provided_conv_read(struct swg__provided_conv *conv, float *out) {
    (void)conv, (void)out;
    return SWG_EUNSUPPORTED;
}

void swg__provided_conv_close(struct swg__provided_conv *conv) { (void)conv; }

bool swg__provider_version(char *out, int capacity) {
    (void)out, (void)capacity;
    return false;
}
