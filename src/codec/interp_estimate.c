/* interp_estimate.c - what mode G would need for a chunk, from a small part of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "interp_coder.h"

swg_status swg__interp_estimate(const swg__chunk *chunk, int64_t *bytes) {
    enum { EDGE = 24, PART = EDGE * EDGE * EDGE };
    *bytes = INT64_MAX;
    if (!swg__interp_possible(chunk))
        return SWG_OK;
    /* A box in the middle with as many values as a cube of that edge, or all the axes have. */
    swg__chunk part = *chunk;
    const size_t size = (size_t)swg_element_bytes(chunk->grid.type);
    int64_t rest = PART, origin[4];
    part.count = 1;
    for (int left = 4; left; left--) { /* shortest axis first: what it does not use is left to the others */
        int a = -1;
        for (int i = 0; i < 4; i++)
            if (part.extent[i] > 0 && (a < 0 || part.extent[i] < part.extent[a]))
                a = i;
        int64_t room = (int64_t)floor(pow((double)rest, 1.0 / left) + 0.5);
        origin[a] = chunk->extent[a] > room ? room : chunk->extent[a];
        rest = rest / origin[a] > 1 ? rest / origin[a] : 1;
        part.extent[a] = 0;
    }
    for (int a = 0; a < 4; a++) {
        part.extent[a] = origin[a];
        part.count *= origin[a];
        origin[a] = (chunk->extent[a] - origin[a]) / 2;
    }
    char *values = swg__alloc(chunk->ctx, (size_t)part.count * size), *to = values;
    if (!values)
        return swg__fail_memory(chunk->ctx, (size_t)part.count * size, "a sample");
    for (int64_t w = 0; w < part.extent[0]; w++)
        for (int64_t z = 0; z < part.extent[1]; z++)
            for (int64_t y = 0; y < part.extent[2]; y++, to += (size_t)part.extent[3] * size) {
                int64_t at = (((origin[0] + w) * chunk->extent[1] + origin[1] + z) * chunk->extent[2] + origin[2] + y) * chunk->extent[3] + origin[3];
                memcpy(to, (const char *)chunk->values + (size_t)at * size, (size_t)part.extent[3] * size);
            }
    part.values = values;
    part.mask = NULL; /* substitutes are as good as values here */
    part.masked = 0;
    swg__interp_coder c;
    swg_status status = swg__interp_code(&part, &c);
    uint64_t cost = 0;
    for (int64_t i = c.anchors; status == SWG_OK && i < c.done; i++)
        cost += swg__residual_cost(c.model.bucket[c.context[i] / 3][c.context[i] % 3], 0, swg__interp_get(c.residual, c.f.wide, i));
    *bytes = (int64_t)((double)cost / 2048 * (double)chunk->count / (double)part.count) + 5 * c.outliers.count + 300;
    swg__interp_coder_close(&c);
    swg__free(chunk->ctx, values);
    return status;
}
