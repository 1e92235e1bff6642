/* watch.c - looks at what each step of a run wrote, for values that are not finite.
 * In: a plan. Out: the first step that wrote an infinity, and the first that wrote NaN.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "bf16.h"
#include "plan/plan.h"
#include "swage/profile.h"

void swg_plan_watch(swg_plan *plan, swg_anomaly *anomaly) { plan->watch = anomaly; }

static double value_at(const void *data, int dtype, int64_t i) {
    if (dtype == SWG_BF16)
        return (double)swg__f32_of_bf16(((const swg__bf16 *)data)[i]);
    return dtype == SWG_F64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

static void note(swg_anomaly_at *at, const swg__node *n, int64_t bad, int64_t elements) {
    if (at->found)
        return;
    *at = (swg_anomaly_at){.found = true, .backward = n->backward != 0, .op = swg__ops[n->op].text, .bad = bad, .elements = elements};
    snprintf(at->scope, sizeof at->scope, "%s", n->name ? n->name : "");
}

void swg__plan_look(swg_plan *plan, int first, int count) {
    for (int i = first; i < first + count; i++) {
        const swg__step *s = &plan->steps[i];
        const swg__node *n = s->call.node;
        const bool floats = n->dtype == SWG_F32 || n->dtype == SWG_F64 || n->dtype == SWG_BF16;
        if (s->packs || s->frozen || s->writes_panel || !s->call.out || !floats || n->op == SWG__UPDATE)
            continue;
        int64_t elements = 1, infinite = 0, none = 0;
        for (int d = 0; d < n->ndim; d++)
            elements *= n->shape[d];
        for (int64_t k = 0; k < elements; k++) {
            const double value = value_at(s->call.out, n->dtype, k);
            infinite += isinf(value);
            none += isnan(value);
        }
        if (infinite)
            note(&plan->watch->infinite, n, infinite, elements);
        if (none)
            note(&plan->watch->nan, n, none, elements);
    }
}
