/* relative.c - point-wise relative bounds: values to indices of powers and back.
 * In: floats. Out: i64 indices, masks, signs; and back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "powers.h"
#include "relative.h"

swg_status swg__relative_open(const swg__chunk *chunk, swg__relative *r) {
    const swg__grid *grid = &chunk->grid;
    const size_t count = (size_t)chunk->count;
    const double least = grid->type == SWG_ELEMENT_F32 ? (double)FLT_MIN : DBL_MIN;
    int64_t *k = swg__alloc(chunk->ctx, count * sizeof *k), known = -1;
    uint8_t *mask = k ? swg__calloc(chunk->ctx, count, 1) : NULL;
    *r = (swg__relative){.inner = *chunk, .outliers = {.ctx = chunk->ctx}};
    r->inner.grid = (swg__grid){.type = SWG_ELEMENT_I64};
    r->inner.fill = (swg__fill){.mode = SWG_FILL_NONE};
    r->inner.values = k;
    r->inner.original = NULL;
    r->inner.mask = mask;
    r->inner.masked = 0;
    if (!mask)
        return swg__fail_memory(chunk->ctx, count * sizeof *k, "indices");
    for (int64_t i = 0; i < chunk->count; i++) {
        double x = swg__load_value(grid->type, chunk->values, i), ratio = 0;
        mask[i] = chunk->mask && chunk->mask[i] ? SWG__MASK_FILL : x == 0 ? SWG__MASK_ZERO : 0;
        r->inner.masked += mask[i] != 0;
        k[i] = known < 0 ? 0 : k[known];
        if (mask[i])
            continue;
        if (!(isfinite(x) && fabs(x) >= least && swg__power_find(grid, x, &k[i], &ratio))) {
            swg__outlier_add(&r->outliers, i);
            continue;
        }
        for (int64_t before = 0; known < 0 && before < i; before++)
            k[before] = k[i];
        known = i;
        r->worst = ratio > r->worst ? ratio : r->worst;
    }
    if (!r->inner.masked) {
        swg__free(chunk->ctx, mask);
        r->inner.mask = NULL;
    }
    return SWG_OK;
}

void swg__relative_close(swg__relative *r) {
    swg__outliers_free(&r->outliers);
    swg__free(r->inner.ctx, (void *)(uintptr_t)r->inner.mask);
    swg__free(r->inner.ctx, r->inner.values);
}

swg_status swg__relative_finish(const swg__chunk *chunk, swg__relative *r, swg__draft *draft) {
    draft->head.max_ratio = swg__ratio_up(r->worst, 1);
    SWG__TRY(swg__mask_write(chunk, r->inner.mask, draft));
    SWG__TRY(swg__signs_write(chunk, r->inner.mask, draft));
    return swg__outliers_write(&r->outliers, chunk, draft);
}

const char *swg__relative_store(const swg__chunk *chunk, const uint8_t *mask, const int64_t *k, swg__span signs) {
    const swg__grid *grid = &chunk->grid;
    const int64_t most = SWG__POWER_REACH / (int64_t)grid->pw_h;
    for (int64_t i = 0; i < chunk->count; i++) {
        double size = 0;
        if (!(mask && mask[i])) {
            if (k[i] > most || k[i] < -most)
                return "index is beyond every number";
            size = swg__power(grid->pw_h, k[i]);
        }
        if (grid->type == SWG_ELEMENT_F32)
            ((float *)chunk->values)[i] = (float)size;
        else
            ((double *)chunk->values)[i] = size;
    }
    return swg__signs_apply(chunk, mask, signs);
}
