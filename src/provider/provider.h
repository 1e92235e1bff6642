/* provider.h - other people's arithmetic behind our kernel interface. A provider takes contraction steps of a plan as whole
 * products: no row panels, no packing of ours.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_PROVIDER_H
#define SWAGE_PROVIDER_H

#include "ir/conv.h"
#include "kernel/kernel.h"

struct swg_plan;

/* Opens the named provider for a plan, plan->provider; NULL or "swage" opens none.
 * SWG_EUNSUPPORTED: unknown, not in this build, or its library cannot be loaded. */
swg_status swg__provider_open(struct swg_plan *plan, const char *name);
void swg__provider_release(struct swg_plan *plan);

/* Will the plan's provider compute this node? */
bool swg__provider_takes(const struct swg_plan *plan, swg_value v);
/* Creates what computes node v. bytes: memory the steps need as `scratch`; reorders: whether swg__kernel_provided_pack must
 * fill it when the plan is opened or refreshed, which only a `frozen` second operand asks for. */
swg_status swg__provider_prepare(struct swg_plan *plan, swg_value v, bool frozen, int64_t *bytes, bool *reorders);
/* The `layout` of node v's calls. */
const void *swg__provider_layout(const struct swg_plan *plan, swg_value v);
extern const swg__kernel swg__kernel_provided, swg__kernel_provided_pack;

/* One convolution for the benchmarks, operands channels-last and (O, I, taps) as in ir/conv.h, groups 1. Its own formats are filled
 * when it is opened, in bf16 if asked for, the weights' gradient excepted; `read` gives the result of the last run. Run's argument is
 * what open made. */
struct swg__provided_conv;
swg_status swg__provided_conv_open(swg_context *ctx, swg__op op, const swg__conv *c, bool bf16, const float *a, const float *b,
                                   struct swg__provided_conv **out);
void swg__provided_conv_run(void *conv);
swg_status swg__provided_conv_read(struct swg__provided_conv *conv, float *out);
void swg__provided_conv_close(struct swg__provided_conv *conv);

/* "oneDNN 2.6.3" as loaded; false where it is not built in or cannot be loaded. */
bool swg__provider_version(char *out, int capacity);

#endif
