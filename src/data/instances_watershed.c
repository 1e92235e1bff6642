/* instances_watershed.c - maxima that count, and the flooding of a mask from markers. Connected parts are apart: tasks of their own.
 * In: heights of (Z, Y, X), numbered parts of a mask. Out: seeds, labels.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "data/instances.h"

enum { Z, Y, X, CHUNK = 1 << 14, RADIX = 11, BINS = 1 << RADIX };

/* ---- neighbours ---- */

swg__around swg__around_of(const int64_t extent[3], swg_neighbours neighbours) {
    swg__around a = {0};
    memcpy(a.extent, extent, sizeof a.extent);
    for (int axes = 1; axes <= (neighbours == SWG_NEIGHBOURS_ALL ? 3 : 1); axes++)
        for (int i = 0; i < 27; i++) {
            const int d[3] = {i / 9 - 1, i / 3 % 3 - 1, i % 3 - 1};
            bool inside = true;
            for (int k = 0; k < 3; k++)
                inside &= d[k] == 0 || extent[k] > 1;
            if (!inside || (d[0] != 0) + (d[1] != 0) + (d[2] != 0) != axes)
                continue;
            a.dz[a.count] = (int8_t)d[0];
            a.dy[a.count] = (int8_t)d[1];
            a.dx[a.count] = (int8_t)d[2];
            a.offset[a.count++] = (d[0] * extent[Y] + d[1]) * extent[X] + d[2];
        }
    return a;
}

int swg__around_at(const swg__around *a, uint32_t voxel, uint32_t at[26]) {
    const uint32_t width = (uint32_t)a->extent[X], height = (uint32_t)a->extent[Y];
    const uint32_t x = voxel % width, row = voxel / width, y = row % height, z = row / height;
    if (x > 0 && x + 1 < width && (height == 1 || (y > 0 && y + 1 < height)) && (a->extent[Z] == 1 || (z > 0 && z + 1 < a->extent[Z]))) {
        for (int i = 0; i < a->count; i++)
            at[i] = (uint32_t)((int64_t)voxel + a->offset[i]);
        return a->count;
    }
    int count = 0;
    for (int i = 0; i < a->count; i++) {
        const int64_t p[3] = {(int64_t)z + a->dz[i], (int64_t)y + a->dy[i], (int64_t)x + a->dx[i]};
        if (p[Z] >= 0 && p[Z] < a->extent[Z] && p[Y] >= 0 && p[Y] < a->extent[Y] && p[X] >= 0 && p[X] < a->extent[X])
            at[count++] = (uint32_t)((int64_t)voxel + a->offset[i]);
    }
    return count;
}

/* An order-preserving number of a float; NaN is below all. */
static uint32_t rank_of(float value) {
    uint32_t bits;
    if (value != value)
        return 0;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* Voxels of some parts, grouped: those of group g are voxel[first[g]] .. voxel[first[g + 1] - 1], in the order of voxels. */
typedef struct groups {
    int64_t count;
    uint32_t *of_part;      /* (parts + 1) group of a part, UINT32_MAX: none */
    int64_t *first;         /* (count + 1) */
    uint32_t *voxel;
} groups;

static void close_groups(swg_context *ctx, groups *g) {
    swg__free(ctx, g->of_part);
    swg__free(ctx, g->first);
    swg__free(ctx, g->voxel);
}

/* of_part is set. `member` says which voxels are wanted (NULL: all). */
static swg_status gather(swg_context *ctx, groups *g, int64_t voxels, const uint32_t *parts, const uint32_t *member) {
    g->first = swg__calloc(ctx, (size_t)g->count + 2, sizeof *g->first);
    if (!g->first)
        return swg__fail_memory(ctx, ((size_t)g->count + 2) * sizeof *g->first, "parts of a mask");
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < voxels; i++) {
            const uint32_t group = g->of_part[parts[i]];
            if (group == UINT32_MAX || (member && !member[i]))
                continue;
            if (pass)
                g->voxel[g->first[group + 1]++] = (uint32_t)i;
            else
                g->first[group + 2]++;
        }
        for (int64_t k = 2; k <= g->count + 1 && !pass; k++)
            g->first[k] += g->first[k - 1];
        if (!pass && !(g->voxel = swg__alloc(ctx, (size_t)g->first[g->count + 1] * sizeof *g->voxel)))
            return swg__fail_memory(ctx, (size_t)g->first[g->count + 1] * sizeof *g->voxel, "parts of a mask");
    }
    return SWG_OK;
}

/* ---- seeds ---- */

typedef struct seed_work {
    swg_context *ctx;
    const float *height;
    const uint32_t *parts;
    uint32_t *seeds;        /* while it lasts: 1 + place of a voxel in its group's order, once the water has come down to it */
    uint32_t *tops;         /* (parts + 1) voxels without a higher neighbour */
    uint32_t *top;          /* (parts + 1) one of them */
    swg__around around;
    groups g;
    int64_t extent[3], voxels;
    double spacing[3], min_depth, min_distance;
    _Atomic int failed;
} seed_work;

static bool is_top(const seed_work *w, uint32_t voxel) {
    uint32_t at[26];
    const int count = swg__around_at(&w->around, voxel, at);
    const float height = w->height[voxel];
    for (int i = 0; i < count; i++)
        if (w->parts[at[i]] && w->height[at[i]] > height)
            return false;
    return true;
}

/* seeds = 1 at tops. */
static void find_tops(void *arg, int64_t task, int worker) {
    const seed_work *w = arg;
    const int64_t end = (task + 1) * CHUNK < w->voxels ? (task + 1) * CHUNK : w->voxels;
    (void)worker;
    for (int64_t i = task * CHUNK; i < end; i++)
        w->seeds[i] = w->parts[i] && is_top(w, (uint32_t)i);
}

/* A voxel of a part by falling height, equals in the order of voxels. */
typedef struct ranked {
    uint32_t rank, voxel;
} ranked;

static void sort_small(ranked *r, int64_t count) {
    for (int64_t i = 1; i < count; i++) {
        const ranked it = r[i];
        int64_t at = i;
        for (; at > 0 && r[at - 1].rank < it.rank; at--)
            r[at] = r[at - 1];
        r[at] = it;
    }
}

/* Stable: three passes over digits of the rank. `other` has room for as many. The result is in the array returned. */
static ranked *sort_falling(ranked *r, ranked *other, int64_t count) {
    if (count < 64) {
        sort_small(r, count);
        return r;
    }
    for (int shift = 0; shift < 32; shift += RADIX) {
        int64_t place[BINS] = {0}, sum = 0;
        for (int64_t i = 0; i < count; i++)
            place[~r[i].rank >> shift & (BINS - 1)]++;
        for (int b = 0; b < BINS; b++) {
            const int64_t here = place[b];
            place[b] = sum;
            sum += here;
        }
        for (int64_t i = 0; i < count; i++)
            other[place[~r[i].rank >> shift & (BINS - 1)]++] = r[i];
        ranked *swap = r;
        r = other;
        other = swap;
    }
    return r;
}

static uint32_t lake_of(uint32_t *parent, uint32_t i) {
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

/* The water falls: order[] comes out of it voxel by voxel. Islands that meet become one; the lower one's summit counts if it stands min_depth above
 * the place. An island's root is its summit: the first of its voxels in the order. Sets kept[place] for summits that count. */
static void find_summits(const seed_work *w, const ranked *order, int64_t count, uint32_t *parent, uint8_t *kept) {
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at[26];
        const uint32_t voxel = order[i].voxel;
        const int around = swg__around_at(&w->around, voxel, at);
        parent[i] = i;
        kept[i] = 0;
        for (int k = 0; k < around; k++) {
            const uint32_t place = w->seeds[at[k]];
            if (!place) /* below the water, or outside the part */
                continue;
            uint32_t a = lake_of(parent, place - 1), b = lake_of(parent, i);
            if (a == b)
                continue;
            const uint32_t high = a < b ? a : b, low = a < b ? b : a;
            const double depth = (double)w->height[order[low].voxel] - (double)w->height[voxel];
            kept[low] = depth > 0 && depth >= w->min_depth;
            parent[low] = high;
        }
        w->seeds[voxel] = i + 1;
    }
    kept[0] = 1; /* the highest of all */
}

/* ---- seeds that are far enough from each other: cells as long as the distance, in a table of chains ---- */

typedef struct cells {
    int64_t *head, *next;
    uint64_t mask;
} cells;

static void place_of(const seed_work *w, uint32_t voxel, double p[3]) {
    const int64_t row = voxel / w->extent[X];
    p[X] = (double)(voxel % w->extent[X]) * w->spacing[X];
    p[Y] = (double)(row % w->extent[Y]) * w->spacing[Y];
    p[Z] = (double)(row / w->extent[Y]) * w->spacing[Z];
}

static uint64_t slot_of(const cells *c, const int64_t cell[3]) {
    uint64_t h = 0;
    for (int a = 0; a < 3; a++)
        h = (h ^ (uint64_t)cell[a]) * 0x9E3779B97F4A7C15u;
    return (h ^ h >> 29) & c->mask;
}

/* A seed that was kept is nearer than the distance. */
static bool crowded(const seed_work *w, const cells *c, const ranked *seeds, const double p[3], const int64_t cell[3]) {
    for (int k = 0; k < 27; k++) {
        const int64_t near[3] = {cell[0] + k / 9 - 1, cell[1] + k / 3 % 3 - 1, cell[2] + k % 3 - 1};
        for (int64_t i = c->head[slot_of(c, near)]; i >= 0; i = c->next[i]) {
            double q[3], square = 0;
            place_of(w, seeds[i].voxel, q);
            for (int a = 0; a < 3; a++)
                square += (p[a] - q[a]) * (p[a] - q[a]);
            if (square < w->min_distance * w->min_distance)
                return true;
        }
    }
    return false;
}

/* seeds: by falling height. Returns how many stay, in front. */
static int64_t spread_out(const seed_work *w, ranked *seeds, int64_t count) {
    cells c = {.mask = 1};
    int64_t kept = 0;
    if (count < 2 || !(w->min_distance > 0))
        return count;
    while ((int64_t)c.mask < 2 * count)
        c.mask *= 2;
    c.head = swg__alloc(w->ctx, ((size_t)c.mask + (size_t)count) * sizeof *c.head);
    if (!c.head)
        return -1;
    c.next = c.head + c.mask;
    memset(c.head, -1, (size_t)c.mask * sizeof *c.head);
    c.mask--;
    for (int64_t i = 0; i < count; i++) {
        double p[3];
        int64_t cell[3];
        place_of(w, seeds[i].voxel, p);
        for (int a = 0; a < 3; a++)
            cell[a] = (int64_t)fmin(p[a] / w->min_distance, 1e15);
        if (crowded(w, &c, seeds, p, cell))
            continue;
        const uint64_t slot = slot_of(&c, cell);
        seeds[kept] = seeds[i];
        c.next[kept] = c.head[slot];
        c.head[slot] = kept++;
    }
    swg__free(w->ctx, c.head);
    return kept;
}

/* One part with several tops: its seeds become 1 in `seeds`, all else 0. */
static swg_status seed_part(const seed_work *w, const uint32_t *voxel, int64_t count) {
    ranked *space = swg__alloc(w->ctx, (size_t)count * (2 * sizeof *space + sizeof(uint32_t) + 1));
    if (!space)
        return SWG_ENOMEM;
    uint32_t *parent = (uint32_t *)(space + 2 * count);
    uint8_t *kept = (uint8_t *)(parent + count);
    int64_t seeds = 0;
    for (int64_t i = 0; i < count; i++)
        space[i] = (ranked){rank_of(w->height[voxel[i]]), voxel[i]};
    ranked *order = sort_falling(space, space + count, count);
    find_summits(w, order, count, parent, kept);
    for (int64_t i = 0; i < count; i++) {
        w->seeds[order[i].voxel] = 0;
        if (kept[i])
            order[seeds++] = order[i];
    }
    seeds = spread_out(w, order, seeds);
    for (int64_t i = 0; i < seeds; i++)
        w->seeds[order[i].voxel] = 1;
    swg__free(w->ctx, space);
    return seeds < 0 ? SWG_ENOMEM : SWG_OK;
}

static void seed_parts(void *arg, int64_t task, int worker) {
    seed_work *w = arg;
    (void)worker;
    if (seed_part(w, w->g.voxel + w->g.first[task], w->g.first[task + 1] - w->g.first[task]) != SWG_OK)
        w->failed = 1;
}

/* Parts with one top have their seed; the others become groups. Then `seeds` is cleared, but for the former's. */
static swg_status sort_parts(seed_work *w, int64_t part_count) {
    w->g.of_part = swg__alloc(w->ctx, ((size_t)part_count + 1) * sizeof *w->g.of_part);
    w->tops = swg__calloc(w->ctx, (size_t)part_count + 1, sizeof *w->tops);
    if (!w->g.of_part || !w->tops)
        return swg__fail_memory(w->ctx, 2 * ((size_t)part_count + 1) * sizeof *w->tops, "parts of a mask");
    for (int64_t i = 0; i < w->voxels; i++)
        w->tops[w->parts[i]] += w->seeds[i] && w->tops[w->parts[i]] < 2;
    w->g.of_part[0] = UINT32_MAX;
    for (int64_t p = 1; p <= part_count; p++)
        w->g.of_part[p] = w->tops[p] > 1 ? (uint32_t)w->g.count++ : UINT32_MAX;
    for (int64_t i = 0; i < w->voxels; i++)
        w->seeds[i] = w->seeds[i] && w->tops[w->parts[i]] == 1;
    return gather(w->ctx, &w->g, w->voxels, w->parts, NULL);
}

swg_status swg__seeds(swg_context *ctx, const int64_t extent[3], const double spacing[3], const float *height, const uint32_t *parts, int64_t part_count,
                      swg_neighbours neighbours, double min_depth, double min_distance, uint32_t *seeds, int64_t *count) {
    seed_work w = {.ctx = ctx, .height = height, .parts = parts, .seeds = seeds, .around = swg__around_of(extent, neighbours), .min_depth = min_depth,
                   .min_distance = min_distance};
    SWG__TRY(swg__volume_check(ctx, extent, spacing, &w.voxels));
    if (!(min_depth >= 0) || !(min_distance >= 0))
        return swg__fail(ctx, SWG_EINVAL, "seeds: depth %g and distance %g: expected 0 or more", min_depth, min_distance);
    memcpy(w.extent, extent, sizeof w.extent);
    for (int a = 0; a < 3; a++)
        w.spacing[a] = spacing ? spacing[a] : 1;
    swg__parallel(ctx, (w.voxels + CHUNK - 1) / CHUNK, find_tops, &w);
    swg_status status = sort_parts(&w, part_count);
    if (status == SWG_OK) {
        uint32_t number = 0;
        swg__parallel(ctx, w.g.count, seed_parts, &w);
        for (int64_t i = 0; i < w.voxels; i++)
            if (seeds[i])
                seeds[i] = ++number;
        if (count)
            *count = number;
        status = w.failed ? swg__fail_memory(ctx, (size_t)w.voxels * sizeof(ranked), "seeds") : SWG_OK;
    }
    close_groups(ctx, &w.g);
    swg__free(ctx, w.tops);
    return status;
}

/* ---- flooding: a priority queue of voxels by falling height, equals by age ---- */

typedef struct entry {
    uint64_t key;           /* least first: falling height in the upper half, age in the lower */
    uint32_t voxel;
} entry;

typedef struct heap {
    swg_context *ctx;
    entry *e;
    int64_t count, room;
    uint32_t age;
} heap;

enum { CHILDREN = 4 };

static bool push(heap *h, float height, uint32_t voxel) {
    if (h->count == h->room) {
        const int64_t room = h->room ? 2 * h->room : 256;
        entry *grown = swg__grow(h->ctx, h->e, (size_t)room * sizeof *grown);
        if (!grown)
            return false;
        h->e = grown;
        h->room = room;
    }
    const entry it = {(uint64_t)~rank_of(height) << 32 | h->age++, voxel};
    int64_t at = h->count++;
    while (at > 0) {
        const int64_t up = (at - 1) / CHILDREN;
        if (h->e[up].key <= it.key)
            break;
        h->e[at] = h->e[up];
        at = up;
    }
    h->e[at] = it;
    return true;
}

static uint32_t pop(heap *h) {
    const uint32_t voxel = h->e[0].voxel;
    const entry it = h->e[--h->count];
    int64_t at = 0;
    for (;;) {
        const int64_t first = at * CHILDREN + 1, end = first + CHILDREN < h->count ? first + CHILDREN : h->count;
        int64_t best = first;
        for (int64_t k = first + 1; k < end; k++)
            if (h->e[k].key < h->e[best].key)
                best = k;
        if (first >= h->count || h->e[best].key >= it.key)
            break;
        h->e[at] = h->e[best];
        at = best;
    }
    h->e[at] = it;
    return voxel;
}

typedef struct flood_work {
    swg_context *ctx;
    const float *height;
    const uint32_t *parts;
    uint32_t *labels, *only;    /* only: (parts + 1) the label of a part's markers, 0: none, or several */
    swg__around around;
    groups g;                   /* markers of the parts that have several */
    int64_t voxels;
    _Atomic int failed;
} flood_work;

/* A voxel has its label from the moment a neighbour finds it, and so is in the queue once. */
static bool flood_from(flood_work *w, heap *h, const uint32_t *marker, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (!push(h, w->height[marker[i]], marker[i]))
            return false;
    while (h->count) {
        uint32_t at[26];
        const uint32_t voxel = pop(h), label = w->labels[voxel];
        const int around = swg__around_at(&w->around, voxel, at);
        for (int k = 0; k < around; k++) {
            if (!w->parts[at[k]] || w->labels[at[k]])
                continue;
            w->labels[at[k]] = label;
            if (!push(h, w->height[at[k]], at[k]))
                return false;
        }
    }
    return true;
}

static void flood_parts(void *arg, int64_t task, int worker) {
    flood_work *w = arg;
    heap h = {.ctx = w->ctx};
    (void)worker;
    if (!flood_from(w, &h, w->g.voxel + w->g.first[task], w->g.first[task + 1] - w->g.first[task]))
        w->failed = 1;
    swg__free(w->ctx, h.e);
}

/* Parts whose markers have one label take it whole. */
static void fill_parts(void *arg, int64_t task, int worker) {
    const flood_work *w = arg;
    const int64_t end = (task + 1) * CHUNK < w->voxels ? (task + 1) * CHUNK : w->voxels;
    (void)worker;
    for (int64_t i = task * CHUNK; i < end; i++)
        if (w->g.of_part[w->parts[i]] == UINT32_MAX)
            w->labels[i] = w->only[w->parts[i]];
}

static swg_status sort_markers(flood_work *w, int64_t part_count) {
    w->g.of_part = swg__alloc(w->ctx, ((size_t)part_count + 1) * sizeof *w->g.of_part);
    w->only = swg__calloc(w->ctx, (size_t)part_count + 1, sizeof *w->only);
    if (!w->g.of_part || !w->only)
        return swg__fail_memory(w->ctx, 2 * ((size_t)part_count + 1) * sizeof *w->only, "parts of a mask");
    memset(w->g.of_part, -1, ((size_t)part_count + 1) * sizeof *w->g.of_part);
    for (int64_t i = 0; i < w->voxels; i++) {
        const uint32_t part = w->parts[i], label = w->labels[i];
        if (!part || !label)
            continue;
        if (w->only[part] && w->only[part] != label && w->g.of_part[part] == UINT32_MAX)
            w->g.of_part[part] = (uint32_t)w->g.count++;
        w->only[part] = label;
    }
    return gather(w->ctx, &w->g, w->voxels, w->parts, w->labels);
}

swg_status swg__flood(swg_context *ctx, const int64_t extent[3], const float *height, const uint32_t *parts, int64_t part_count, swg_neighbours neighbours,
                      uint32_t *labels) {
    flood_work w = {.ctx = ctx, .height = height, .parts = parts, .labels = labels, .around = swg__around_of(extent, neighbours)};
    SWG__TRY(swg__volume_check(ctx, extent, NULL, &w.voxels));
    swg_status status = sort_markers(&w, part_count);
    if (status == SWG_OK) {
        swg__parallel(ctx, (w.voxels + CHUNK - 1) / CHUNK, fill_parts, &w);
        swg__parallel(ctx, w.g.count, flood_parts, &w);
        status = w.failed ? swg__fail_memory(ctx, (size_t)w.voxels * sizeof(entry), "the flood") : SWG_OK;
    }
    close_groups(ctx, &w.g);
    swg__free(ctx, w.only);
    return status;
}

/* ---- with a mask ---- */

/* Fresh: the number of each voxel's part. */
static swg_status part_mask(swg_context *ctx, const int64_t extent[3], const uint8_t *mask, swg_neighbours neighbours, uint32_t **parts, int64_t *count) {
    int64_t voxels;
    *parts = NULL;
    SWG__TRY(swg__volume_check(ctx, extent, NULL, &voxels));
    *parts = swg__alloc(ctx, (size_t)voxels * sizeof **parts);
    return *parts ? swg_instances_label(ctx, extent, mask, neighbours, *parts, count)
                  : swg__fail_memory(ctx, (size_t)voxels * sizeof **parts, "the parts of a mask");
}

swg_status swg_instances_seeds(swg_context *ctx, const int64_t extent[3], const double spacing[3], const float *height, const uint8_t *mask,
                               swg_neighbours neighbours, double min_depth, double min_distance, uint32_t *seeds, int64_t *count) {
    uint32_t *parts;
    int64_t part_count;
    swg_status status = part_mask(ctx, extent, mask, neighbours, &parts, &part_count);
    if (status == SWG_OK)
        status = swg__seeds(ctx, extent, spacing, height, parts, part_count, neighbours, min_depth, min_distance, seeds, count);
    swg__free(ctx, parts);
    return status;
}

swg_status swg_instances_flood(swg_context *ctx, const int64_t extent[3], const float *height, const uint8_t *mask, swg_neighbours neighbours,
                               uint32_t *labels) {
    uint32_t *parts;
    int64_t part_count;
    swg_status status = part_mask(ctx, extent, mask, neighbours, &parts, &part_count);
    if (status == SWG_OK)
        status = swg__flood(ctx, extent, height, parts, part_count, neighbours, labels);
    swg__free(ctx, parts);
    return status;
}
