/* blocks.c - cuts arrays into cubes and puts them together again.
 * In: (n, s, s, s) or (nz, ny, nx) values. Out: (count, edge, edge, edge), z-major, x fastest.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "prepare.h"

static const char *const cut_names[] = {[SWG_CUT_CENTER] = "center", [SWG_CUT_TILE] = "tile", [SWG_CUT_FULL] = "full"};

swg_status swg_cut_parse(swg_context *ctx, const char *word, swg_cut *out) {
    *out = SWG_CUT_CENTER;
    for (int i = SWG_CUT_CENTER; word && i <= SWG_CUT_FULL; i++) {
        if (strcmp(word, cut_names[i]) == 0) {
            *out = (swg_cut)i;
            return SWG_OK;
        }
    }
    return word ? swg__fail(ctx, SWG_EINVAL, "data.block=%s: expected center, tile or full", word) : SWG_OK;
}

swg_status swg_blocks_plan(swg_context *ctx, int ndim, const int64_t *dims, swg_cut cut, int64_t edge, swg_blocks *out) {
    *out = (swg_blocks){.items = 1, .edge = edge};
    if (edge < 2 || edge > SWG_EDGE_MAX)
        return swg__fail(ctx, SWG_EINVAL, "blocks of edge %lld: expected 2 to %d", (long long)edge, SWG_EDGE_MAX);
    if (ndim != 3 && ndim != 4)
        return swg__fail(ctx, SWG_ESHAPE, "an array of %d axes cannot be cut into blocks; expected 3 (grid) or 4 (blocks)", ndim);
    for (int i = 0; i < ndim; i++)
        if (dims[i] < 1)
            return swg__fail(ctx, SWG_ESHAPE, "axis %d of an array to be cut has %lld values", i, (long long)dims[i]);
    memcpy(out->extent, dims + ndim - 3, sizeof out->extent);
    if (ndim == 4)
        out->items = dims[0];
    bool tile = ndim == 3 || cut == SWG_CUT_TILE;
    for (int i = 0; i < 3; i++) {
        int64_t extent = out->extent[i];
        if (!tile && cut == SWG_CUT_CENTER && extent < edge)
            return swg__fail(ctx, SWG_ESHAPE, "data.block=center: blocks of %lld values per axis are smaller than the model's %lld", (long long)extent,
                             (long long)edge);
        if (!tile && cut == SWG_CUT_FULL && extent != edge)
            return swg__fail(ctx, SWG_ESHAPE, "data.block=full: blocks have %lld values per axis, the model takes %lld; use center or tile",
                             (long long)extent, (long long)edge);
        out->tiles[i] = tile ? (extent - 1) / edge + 1 : 1;
    }
    out->start = tile || cut == SWG_CUT_FULL ? 0 : (out->extent[0] - edge) / 2;
    int64_t per_item, values;
    if (swg__mul_overflow(out->tiles[0], out->tiles[1], &per_item) || swg__mul_overflow(per_item, out->tiles[2], &per_item) ||
        swg__mul_overflow(per_item, out->items, &out->count) || swg__mul_overflow(out->count, edge * edge * edge * 8, &values))
        return swg__fail(ctx, SWG_ESHAPE, "the blocks of an array are too many to address");
    return SWG_OK;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* First value of block `index` on each axis, and the item it belongs to. */
static int64_t origin_of(const swg_blocks *blocks, int64_t index, int64_t origin[3]) {
    for (int axis = 2; axis >= 0; axis--) {
        origin[axis] = blocks->start + index % blocks->tiles[axis] * blocks->edge;
        index /= blocks->tiles[axis];
    }
    return index;
}

int64_t swg_blocks_inside(const swg_blocks *blocks, int64_t index, int64_t extent[3]) {
    int64_t origin[3];
    origin_of(blocks, index, origin);
    for (int axis = 0; axis < 3; axis++)
        extent[axis] = least(blocks->edge, blocks->extent[axis] - origin[axis]);
    return extent[0] * extent[1] * extent[2];
}

/* A row of a block. The usual lengths are known to the compiler: calls for 20 bytes each would cost more than the bytes. */
static inline void copy_row(char *to, const char *from, size_t bytes) {
    switch (bytes) {
    case 20: memcpy(to, from, 20); break;
    case 28: memcpy(to, from, 28); break;
    case 40: memcpy(to, from, 40); break;
    default: memcpy(to, from, bytes);
    }
}

void swg_blocks_cut(const swg_blocks *blocks, swg_element element, const void *values, int64_t first, int64_t count, void *out) {
    const size_t bytes = (size_t)swg_element_bytes(element);
    const int64_t edge = blocks->edge, nz = blocks->extent[0], ny = blocks->extent[1], nx = blocks->extent[2];
    char *to = out;
    for (int64_t b = first; b < first + count; b++) {
        int64_t origin[3];
        const char *item = (const char *)values + (size_t)(origin_of(blocks, b, origin) * nz * ny * nx) * bytes;
        const size_t inside = (size_t)least(edge, nx - origin[2]);
        for (int64_t z = 0; z < edge; z++) {
            for (int64_t y = 0; y < edge; y++) {
                int64_t row = least(origin[0] + z, nz - 1) * ny + least(origin[1] + y, ny - 1);
                copy_row(to, item + (size_t)(row * nx + origin[2]) * bytes, inside * bytes);
                for (size_t x = inside; x < (size_t)edge; x++) /* replicate the last plane */
                    memcpy(to + x * bytes, to + (inside - 1) * bytes, bytes);
                to += (size_t)edge * bytes;
            }
        }
    }
}

void swg_blocks_join(const swg_blocks *blocks, swg_element element, const void *in, int64_t first, int64_t count, void *values) {
    const size_t bytes = (size_t)swg_element_bytes(element);
    const int64_t edge = blocks->edge, nz = blocks->extent[0], ny = blocks->extent[1], nx = blocks->extent[2];
    const char *from = in;
    for (int64_t b = first; b < first + count; b++) {
        int64_t origin[3];
        char *item = (char *)values + (size_t)(origin_of(blocks, b, origin) * nz * ny * nx) * bytes;
        for (int64_t z = 0; z < least(edge, nz - origin[0]); z++)
            for (int64_t y = 0; y < least(edge, ny - origin[1]); y++)
                copy_row(item + (size_t)(((origin[0] + z) * ny + origin[1] + y) * nx + origin[2]) * bytes,
                         from + (size_t)((z * edge + y) * edge) * bytes, (size_t)least(edge, nx - origin[2]) * bytes);
        from += (size_t)(edge * edge * edge) * bytes;
    }
}

static void swap_values(float *a, float *b) {
    float kept = *a;
    *a = *b;
    *b = kept;
}

void swg__block_mirror(float *block, int64_t edge, unsigned axes) {
    const int64_t stride[3] = {edge * edge, edge, 1};
    for (int axis = 0; axis < 3; axis++) {
        const int64_t along = stride[axis], u = stride[(axis + 1) % 3], v = stride[(axis + 2) % 3];
        for (int64_t i = 0; axes >> axis & 1 && i < edge * edge; i++) {
            float *line = block + i / edge * u + i % edge * v;
            for (int64_t low = 0, high = edge - 1; low < high; low++, high--)
                swap_values(line + low * along, line + high * along);
        }
    }
}
