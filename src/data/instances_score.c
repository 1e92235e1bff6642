/* instances_score.c - objects against those of a reference: matches by overlap, count errors.
 * In: pairs of label images. Out: sums.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include "data/instances.h"

/* Two labels and the voxels that have both; 0 is background. */
typedef struct pair {
    uint32_t reference, found;
    int64_t voxels, reference_voxels, found_voxels;
} pair;

/* Pairs in an open-addressed table, at most half full; voxels 0: free. */
typedef struct table {
    swg_context *ctx;
    pair *slots;
    int64_t room, count;
} table;

static pair *slot_of(const table *t, uint32_t reference, uint32_t found) {
    uint64_t h = ((uint64_t)reference << 32 | found) * 0x9E3779B97F4A7C15u;
    int64_t at = (int64_t)((h ^ h >> 31) & (uint64_t)(t->room - 1));
    while (t->slots[at].voxels && (t->slots[at].reference != reference || t->slots[at].found != found))
        at = (at + 1) & (t->room - 1);
    return &t->slots[at];
}

static bool grow(table *t) {
    const table old = *t;
    t->room = old.room ? 2 * old.room : 1024;
    t->slots = swg__calloc(t->ctx, (size_t)t->room, sizeof *t->slots);
    if (!t->slots) {
        *t = old;
        return false;
    }
    for (int64_t i = 0; i < old.room; i++)
        if (old.slots[i].voxels)
            *slot_of(t, old.slots[i].reference, old.slots[i].found) = old.slots[i];
    swg__free(t->ctx, old.slots);
    return true;
}

static bool count_pair(table *t, uint32_t reference, uint32_t found, int64_t voxels) {
    if (2 * (t->count + 1) > t->room && !grow(t))
        return false;
    pair *p = slot_of(t, reference, found);
    t->count += p->voxels == 0;
    p->reference = reference;
    p->found = found;
    p->voxels += voxels;
    return true;
}

static bool count_pairs(table *t, int64_t voxels, const uint32_t *reference, const uint32_t *found) {
    for (int64_t i = 0, end; i < voxels; i = end) { /* runs of the same pair */
        for (end = i + 1; end < voxels && reference[end] == reference[i] && found[end] == found[i];)
            end++;
        if (!count_pair(t, reference[i], found[i], end - i))
            return false;
    }
    return true;
}

static int by_reference(const void *a, const void *b) {
    const pair *p = a, *q = b;
    return (p->reference > q->reference) - (p->reference < q->reference);
}

static int by_found(const void *a, const void *b) {
    const pair *p = a, *q = b;
    return (p->found > q->found) - (p->found < q->found);
}

/* Sizes of whole objects, and how many there are. */
static void measure(pair *p, int64_t count, int64_t *references, int64_t *founds) {
    *references = *founds = 0;
    for (int side = 0; side < 2; side++) {
        qsort(p, (size_t)count, sizeof *p, side ? by_found : by_reference);
        for (int64_t i = 0, end; i < count; i = end) {
            int64_t sum = 0;
            for (end = i; end < count && (side ? p[end].found == p[i].found : p[end].reference == p[i].reference); end++)
                sum += p[end].voxels;
            for (int64_t k = i; k < end; k++)
                *(side ? &p[k].found_voxels : &p[k].reference_voxels) = sum;
            *(side ? founds : references) += (side ? p[i].found : p[i].reference) != 0;
        }
    }
}

static void add_pairs(swg_instance_score *s, pair *p, int64_t count) {
    int64_t references, founds, matched[SWG_AP_LEVELS] = {0}, both = 0, in_reference = 0, in_found = 0;
    measure(p, count, &references, &founds);
    for (int64_t i = 0; i < count; i++) {
        in_reference += p[i].reference ? p[i].voxels : 0;
        in_found += p[i].found ? p[i].voxels : 0;
        if (!p[i].reference || !p[i].found)
            continue;
        both += p[i].voxels;
        for (int level = 0; level < SWG_AP_LEVELS; level++) /* IoU > .5 + .05 level, in whole numbers */
            matched[level] += 20 * p[i].voxels > (10 + level) * (p[i].reference_voxels + p[i].found_voxels - p[i].voxels);
    }
    s->images++;
    s->reference += references;
    s->found += founds;
    for (int level = 0; level < SWG_AP_LEVELS; level++) {
        const int64_t all = references + founds - matched[level]; /* TP + FP + FN */
        s->matched[level] += matched[level];
        s->precision[level] += all ? (double)matched[level] / (double)all : 1;
    }
    s->excess += (double)(founds - references);
    s->miscount += fabs((double)(founds - references));
    const int64_t either = in_reference + in_found - both;
    s->dice += either ? 2 * (double)both / (double)(in_reference + in_found) : 1;
    s->iou += either ? (double)both / (double)either : 1;
}

swg_status swg_instance_score_add(swg_context *ctx, swg_instance_score *sums, int64_t voxels, const uint32_t *reference, const uint32_t *found) {
    table t = {.ctx = ctx};
    int64_t count = 0;
    if (voxels < 1)
        return swg__fail(ctx, SWG_ESHAPE, "labels of %lld voxels", (long long)voxels);
    swg_status status = count_pairs(&t, voxels, reference, found) ? SWG_OK : swg__fail_memory(ctx, 2 * (size_t)t.room * sizeof(pair), "pairs of objects");
    for (int64_t i = 0; i < t.room && status == SWG_OK; i++)
        if (t.slots[i].voxels)
            t.slots[count++] = t.slots[i];
    if (status == SWG_OK)
        add_pairs(sums, t.slots, count);
    swg__free(ctx, t.slots);
    return status;
}

void swg_instance_score_join(swg_instance_score *sums, const swg_instance_score *other) {
    sums->images += other->images;
    sums->reference += other->reference;
    sums->found += other->found;
    for (int level = 0; level < SWG_AP_LEVELS; level++) {
        sums->matched[level] += other->matched[level];
        sums->precision[level] += other->precision[level];
    }
    sums->excess += other->excess;
    sums->miscount += other->miscount;
    sums->dice += other->dice;
    sums->iou += other->iou;
}

static double mean(const swg_instance_score *s, double sum) { return s->images ? sum / (double)s->images : NAN; }

double swg_instance_ap(const swg_instance_score *s, int level) { return level < 0 || level >= SWG_AP_LEVELS ? NAN : mean(s, s->precision[level]); }

double swg_instance_map(const swg_instance_score *s) {
    double sum = 0;
    for (int level = 0; level < SWG_AP_LEVELS; level++)
        sum += s->precision[level];
    return mean(s, sum / SWG_AP_LEVELS);
}

double swg_instance_count_bias(const swg_instance_score *s) { return mean(s, s->excess); }
double swg_instance_count_error(const swg_instance_score *s) { return mean(s, s->miscount); }
double swg_instance_dice(const swg_instance_score *s) { return mean(s, s->dice); }
double swg_instance_iou(const swg_instance_score *s) { return mean(s, s->iou); }
