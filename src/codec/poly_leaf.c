/* poly_leaf.c - mode P: the best coding of a box: step, degree, corrections; whole or in halves.
 * In: levels of a patch, what predicts it. Out: symbols and decoded levels.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "poly_leaf.h"

#define IMPOSSIBLE 1e30
#define ROUNDER 0x1.8p52 /* added and taken away again: rounds |v| < 2^51 half to even */
enum { COSTLY = 10 };  /* degree + 1 */
#define UNLIKELY 1.04 /* estimates this much longer than another one are believed */

/* Room for more symbols; false, and failed, without memory. */
static bool grow(swg__poly_coder *coder, int64_t more) {
    swg__poly_script *s = &coder->script;
    int64_t larger = s->capacity ? s->capacity : s->first > 1 << 14 ? s->first : 1 << 14;
    while (larger < s->count + more)
        larger += larger / 2;
    int64_t *e = swg__grow(coder->chunk->ctx, s->e, (size_t)larger * sizeof *e);
    s->e = e ? e : s->e;
    uint8_t *code = e ? swg__grow(coder->chunk->ctx, s->code, (size_t)larger) : NULL;
    s->code = code ? code : s->code;
    s->capacity = code ? larger : s->capacity;
    s->failed = s->failed || !code;
    return code != NULL;
}

void swg__poly_say(swg__poly_coder *coder, int code, int64_t e) {
    swg__poly_script *s = &coder->script;
    if (s->count == s->capacity && !grow(coder, 1))
        return;
    s->e[s->count] = e;
    s->code[s->count++] = (uint8_t)code;
}

static void say_all(swg__poly_coder *coder, int code, const int64_t *e, int64_t count) {
    swg__poly_script *s = &coder->script;
    if (s->count + count > s->capacity && !grow(coder, count))
        return;
    memcpy(s->e + s->count, e, (size_t)count * sizeof *e);
    memset(s->code + s->count, code, (size_t)count);
    s->count += count;
}

/* ---- one leaf ---- */

static double number_bits(double v) { return 2 + 2 * log2(1 + fabs(v)); }

/* The corrections' class for this many of them and this sum, and what they take. */
static double fix_bits(const swg__poly_leaf *l, double some, double sum, int *fix) {
    enum { LAST = 25 }; /* bucket 27: without raw bits */
    if (some == 0) {
        *fix = 0;
        return 0;
    }
    double best = IMPOSSIBLE, none = (double)l->nodes - some;
    int centre = swg__bucket_for(sum / (double)l->nodes, SWG__WIDE_BUCKETS - 1) - 2;
    *fix = centre;
    if (centre > LAST) /* low bits go raw */
        return (double)l->nodes * (3.2 + log2(sum / (double)l->nodes));
    int from = centre - 3 < 1 ? 1 : centre - 3, to = centre < 4 ? 8 : centre + 3 < LAST ? centre + 3 : LAST;
    for (int f = from; f <= to; f++) {
        const uint16_t *cost = swg__cost[9 * (f + 2)];
        double bits = none * cost[15] + some * cost[16] + (sum - some) * (cost[17] - cost[16]);
        if (bits < best) {
            best = bits;
            *fix = f;
        }
    }
    return best / 256;
}

/* Keeps a candidate whose values stand in coder->p. */
static void consider(swg__poly_leaf *l, double bits, int top, int step) {
    swg__poly_coder *coder = l->coder;
    double some, sum;
    int fix;
    if (bits >= l->best.bits)
        return;
    coder->chunk->kernels->poly_gaps(coder->x, coder->p, l->box, &some, &sum);
    bits += fix_bits(l, some, sum, &fix) + (fix == l->before->fix ? 1 : 3);
    if (bits >= l->best.bits)
        return;
    l->best = (swg__poly_way){bits, top, step, fix};
    double *swap = coder->best;
    coder->best = coder->p;
    coder->p = swap;
    if (top > 1) {
        int32_t *other = coder->best_q;
        coder->best_q = coder->q;
        coder->q = other;
    }
}

/* The same value everywhere, zero behind the rows. */
static void fill(const swg__poly_leaf *l, double v, double *p) {
    for (int r = 0; r < l->n[0] * l->n[1]; r++)
        for (int x = 0; x < l->row; x++)
            p[r * l->row + x] = x < l->n[2] ? v : 0;
}

/* Bits of the coefficients in coder->q up to `degree`; stops above `limit`. */
static double coefficient_bits(const swg__poly_leaf *l, int degree, double limit) {
    swg__poly_coder *coder = l->coder;
    uint8_t bucket[SWG__POLY_SHELL];
    uint64_t cost = 0;
    memset(coder->near, 0, (size_t)l->box * sizeof *coder->near);
    for (int shell = 1; shell <= degree && (double)cost < 256 * limit; shell++) {
        const int first = l->order->first[shell], count = swg__poly_shell(coder->scales, l->order, coder->near, shell, degree, bucket);
        for (int i = 0; i < count; i++) {
            int32_t q = coder->q[first + i];
            if (!q && bucket[i] < 28) { /* most of them */
                cost += swg__cost[9 * bucket[i]][15];
                continue;
            }
            cost += swg__residual_cost(bucket[i], 0, q);
            swg__poly_spread(l->order, first + i, (uint32_t)(q < 0 ? -q : q), coder->near);
        }
    }
    return (double)cost / 256;
}

/* Largest degree below `above` with a coefficient in coder->q that is not 0, and how many of that degree there are. */
static int top_degree(const swg__poly_leaf *l, int above, int *several) {
    for (int degree = above - 1; degree > 0; degree--) {
        *several = 0;
        for (int i = l->order->first[degree]; i < l->order->first[degree + 1]; i++)
            *several += l->coder->q[i] != 0;
        if (*several)
            return degree;
    }
    return 0;
}

/* Prices the coefficients in coder->q at a step. */
static void price(swg__poly_leaf *l, int step, int degree) {
    swg__poly_coder *coder = l->coder;
    double bits = l->mean_bits + 2 + abs(degree + 1 - l->before->top[l->refers]) * 0.7 + (step == l->before->step ? 1 : 2.5);
    if (degree == 0) {
        fill(l, 0, coder->p);
        consider(l, bits, 1, step);
        return;
    }
    bits += coefficient_bits(l, degree, l->best.bits - bits);
    if (bits >= l->best.bits)
        return;
    const double size = swg__poly_step[step];
    for (int i = 0; i < l->order->first[degree + 1]; i++)
        coder->work[l->order->place[i]] = i ? coder->q[i] * size : 0;
    coder->chunk->kernels->poly_synthesis(coder->work, l->n, degree, coder->p, coder->typed);
    consider(l, bits, degree + 1, step);
}

/* A step with all its coefficients, then without sparse top degrees. True if the best choice is now one of these. */
static bool try_step(swg__poly_leaf *l, int step) {
    enum { SPARSE = 3, DROPS = 4 };
    swg__poly_coder *coder = l->coder;
    const double inverse = 16.0 / swg__poly_step[step];
    const double before = l->best.bits;
    int several, degree = l->order->most;
    if (!(l->sum * inverse < SWG__POLY_SUM / 2))
        return false;
    while (degree > 0 && l->largest[degree] * inverse < 0.5)
        degree--;
    coder->chunk->kernels->poly_quantise(coder->c, (l->order->first[degree + 1] + 7) & ~7, inverse, coder->q);
    degree = top_degree(l, degree + 1, &several);
    price(l, step, degree);
    for (int drop = 0; drop < DROPS && degree > 0 && several <= SPARSE; drop++) {
        double reached = l->best.bits;
        if (l->best.top == degree + 1 && l->best.step == step) /* it was taken: go on from a copy */
            memcpy(coder->q, coder->best_q, (size_t)l->order->first[degree + 1] * sizeof *coder->q);
        degree = top_degree(l, degree, &several);
        price(l, step, degree);
        if (l->best.bits >= reached)
            break;
    }
    return l->best.bits < before;
}

enum { LANES = 8 }; /* of sums: their order must not depend on the machine */

static double sum_squares(const double *c, int count) {
    double lane[LANES] = {0}, sum = 0;
    int i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] += c[i + j] * c[i + j];
    for (int j = 0; i + j < count; j++)
        lane[j] += c[i + j] * c[i + j];
    for (int j = 0; j < LANES; j++)
        sum += lane[j];
    return sum;
}

/* Sizes of the coefficients by degree. */
static void measure(swg__poly_leaf *l) {
    const swg__poly_coder *coder = l->coder;
    const uint16_t *first = l->order->first;
    const int most = l->order->most;
    double low = 0;
    for (int degree = 0; degree <= most; degree++) {
        double largest = 0, lane[LANES] = {0};
        for (int i = first[degree]; i < first[degree + 1]; i++) {
            const double size = fabs(coder->c[i]);
            lane[i % LANES] += size;
            largest = size > largest ? size : largest;
        }
        for (int j = 0; j < LANES; j++)
            l->sum += lane[j];
        l->largest[degree] = largest;
        l->tail[degree] = coder->brief ? sum_squares(coder->c + first[degree], first[degree + 1] - first[degree]) : 0;
        low += l->tail[degree];
    }
    l->tail[most + 1] = coder->brief && most < l->n[0] + l->n[1] + l->n[2] - 3 ? fmax(sum_squares(coder->p, l->box) - low, 0) : 0;
    for (int degree = most; degree >= 0; degree--) {
        l->tail[degree] += l->tail[degree + 1];
        l->reach[degree] = degree < most && l->reach[degree + 1] > l->largest[degree] ? l->reach[degree + 1] : l->largest[degree];
    }
}

void swg__poly_leaf_open(swg__poly_coder *coder, const swg__poly_job *job, const int n[3], const int offset[3], const swg__poly_before *before,
                         swg__poly_leaf *l) {
    const swg__poly_source *s = &job->source;
    double total = 0;
    *l = (swg__poly_leaf){.coder = coder, .n = {n[0], n[1], n[2]}, .row = swg__poly_row(n[2]), .before = before, .refers = s->first != NULL,
                          .nodes = (int64_t)n[0] * n[1] * n[2], .best = {.bits = IMPOSSIBLE}};
    l->box = n[0] * n[1] * l->row;
    l->order = swg__poly_order_of(coder->orders, n);
    for (int z = 0; z < l->n[0]; z++)
        for (int y = 0; y < l->n[1]; y++) {
            const double *from = coder->level + ((z + offset[0]) * job->n[1] + y + offset[1]) * job->n[2] + offset[2];
            double *to = coder->x + (z * l->n[1] + y) * l->row;
            for (int x = 0; x < l->row; x++)
                to[x] = x < l->n[2] ? from[x] : 0;
            if (s->first) {
                const double *image = s->first + (z + offset[0]) * s->step[0] + (y + offset[1]) * s->step[1] + offset[2] * s->step[2];
                for (int x = 0; x < l->n[2]; x++)
                    to[x] -= s->sign * image[x * s->step[2]];
            }
            for (int x = 0; x < l->n[2]; x++)
                total += to[x];
        }
    l->mean = rint(total / (double)l->nodes);
    for (int r = 0; r < l->n[0] * l->n[1]; r++)
        for (int x = 0; x < l->n[2]; x++)
            coder->x[r * l->row + x] -= l->mean;
    l->mean_bits = number_bits(l->mean - (l->refers ? 0 : (double)before->mean)) + 2;
    coder->chunk->kernels->poly_analysis(coder->x, l->n, coder->p, coder->work);
    const int used = l->order->first[l->order->most + 1];
    for (int i = 0; i < used; i++)
        coder->c[i] = coder->p[l->order->place[i]];
    for (int i = used; i & 7; i++)
        coder->c[i] = 0;
    measure(l);
}

/* Final levels of the best choice to the canvas, every one checked; corrections into e. */
static void settle(swg__poly_leaf *l, const swg__poly_job *job, const int offset[3], double base, int64_t *e) {
    swg__poly_coder *coder = l->coder;
    const swg__grid *grid = &coder->chunk->grid;
    double *u = coder->p, *x = coder->typed;
    bool usable;
    const double pad = swg__typed_value(grid, 4, 0, &usable);
    int64_t count = 0;
    for (int z = 0; z < l->n[0]; z++)
        for (int y = 0; y < l->n[1]; y++) {
            const int r = (z * l->n[1] + y) * l->row;
            const double *value = coder->value + ((z + offset[0]) * job->n[1] + y + offset[1]) * job->n[2] + offset[2];
            const swg__poly_source *s = &job->source;
            const double *image = s->first ? s->first + (z + offset[0]) * s->step[0] + (y + offset[1]) * s->step[1] + offset[2] * s->step[2] : NULL;
            for (int i = 0; i < l->row; i++) {
                bool inside = i < l->n[2];
                double k = inside && l->best.fix ? (coder->x[r + i] + l->mean - base - coder->best[r + i]) * 0.0625 : 0;
                k = fabs(k) < 0x1p40 ? k + ROUNDER - ROUNDER : 0;
                x[r + i] = inside ? value[i] : pad;
                u[r + i] = inside ? (image ? s->sign * image[i * s->step[2]] : 0) + base + coder->best[r + i] + 16 * k : 0;
                if (inside)
                    e[count++] = (int64_t)k;
            }
        }
    double worst = coder->worst;
    bool good = coder->chunk->kernels->poly_check(x, u, l->box, grid, &worst);
    if (good)
        coder->worst = worst;
    count = 0;
    for (int z = 0; z < l->n[0]; z++)
        for (int y = 0; y < l->n[1]; y++) {
            const int64_t to = (z + offset[0]) * job->canvas.step[0] + (y + offset[1]) * job->canvas.step[1] + offset[2];
            const int r = (z * l->n[1] + y) * l->row;
            for (int i = 0; i < l->n[2]; i++, count++) {
                double error, level = u[r + i];
                if (!good) {
                    int64_t whole = fabs(level) < 0x1p45 ? (int64_t)level : 0, old = whole;
                    bool found = fabs(level) < 0x1p45 && swg__level_find(grid, 4, 16, x[r + i], &whole, &error);
                    if (found && !l->best.fix && whole != old) /* this leaf has no corrections */
                        found = false;
                    if (found) {
                        e[count] += (whole - old) / 16;
                        level = (double)whole;
                        coder->worst = error > coder->worst ? error : coder->worst;
                    } else {
                        swg__outlier_add(&coder->outliers, job->at + to + i);
                        level -= 16 * (double)e[count];
                        e[count] = 0;
                    }
                }
                job->canvas.level[to + i] = level;
            }
        }
}

static void count_one(const swg__poly_leaf *l, int i, int degree, int32_t q) {
    swg__poly_count_one(l->coder->counts, swg__poly_magnitude(l->coder->near[l->order->place[i]]), degree, l->best.top - 1 - degree,
                        l->order->axes[i] + 1, (uint32_t)(q < 0 ? -q : q));
}

/* Symbols of the best choice. */
static void say_leaf(swg__poly_leaf *l, const swg__poly_job *job, const int offset[3], swg__poly_before *before) {
    swg__poly_coder *coder = l->coder;
    uint8_t bucket[SWG__POLY_SHELL];
    int64_t e[SWG__POLY_EDGE * SWG__POLY_EDGE * SWG__POLY_EDGE];
    const swg__poly_way *best = &l->best;
    const double base = best->top ? l->mean : l->refers ? 0 : (double)before->mean;
    settle(l, job, offset, base, e);
    swg__poly_say(coder, SWG__POLY_SIDE + SWG__POLY_TOP, best->top - before->top[l->refers]);
    before->top[l->refers] = best->top;
    if (best->top)
        swg__poly_say(coder, SWG__POLY_SIDE + (l->refers ? SWG__POLY_GAP : SWG__POLY_MEAN), (int64_t)l->mean - (l->refers ? 0 : before->mean));
    if (best->top > 1) {
        swg__poly_say(coder, SWG__POLY_SIDE + SWG__POLY_SPACING, best->step - before->step);
        before->step = best->step;
        memset(coder->near, 0, (size_t)l->box * sizeof *coder->near);
        for (int shell = 1; shell < best->top; shell++) {
            const int first = l->order->first[shell];
            int count = swg__poly_shell(coder->scales, l->order, coder->near, shell, best->top - 1, bucket);
            for (int i = 0; i < count; i++) {
                int32_t q = coder->best_q[first + i];
                swg__poly_say(coder, bucket[i], q);
                if (coder->counts)
                    count_one(l, first + i, shell, q);
                if (q)
                    swg__poly_spread(l->order, first + i, (uint32_t)(q < 0 ? -q : q), coder->near);
            }
        }
    }
    swg__poly_say(coder, SWG__POLY_SIDE + SWG__POLY_FIX, best->fix - before->fix);
    before->fix = best->fix;
    if (best->fix)
        say_all(coder, best->fix + 2, e, l->nodes);
    if (!l->refers)
        before->mean = (int64_t)base;
}

/* What stood there before, if that is near: nothing but corrections. */
static void try_nothing(swg__poly_leaf *l) {
    const double shift = l->mean - (l->refers ? 0 : (double)l->before->mean);
    if (fabs(shift) > 8 * 16)
        return;
    fill(l, -shift, l->coder->p);
    consider(l, 1 + l->before->top[l->refers] * 0.7, 0, l->before->step);
    if (l->best.bits < IMPOSSIBLE) /* kept relative to the base, which is then not the mean */
        for (int i = 0; i < l->box; i++)
            l->coder->best[i] = 0;
}

/* Every step, until it gets no shorter; of brief coders only those that the estimate does not call clearly longer. */
static void search(swg__poly_leaf *l) {
    const int step = l->before->step;
    int top;
    (void)try_step(l, step);
    const bool brief = l->coder->brief && l->best.top >= COSTLY; /* others are tried as fast as guessed */
    const double guess = brief ? swg__poly_guess_step(l, step, &top) : 0;
    bool up = false;
    for (int s = step + 1; s < SWG__POLY_STEPS && !(brief && swg__poly_guess_step(l, s, &top) > UNLIKELY * guess) && try_step(l, s); s++)
        up = true;
    for (int s = step - 1; !up && s >= 0 && !(brief && swg__poly_guess_step(l, s, &top) > UNLIKELY * guess) && try_step(l, s); s--)
        ;
}

static double code_leaf(swg__poly_coder *coder, const swg__poly_job *job, const int n[3], const int offset[3], swg__poly_before *before) {
    swg__poly_leaf l;
    swg__poly_leaf_open(coder, job, n, offset, before, &l);
    try_nothing(&l);
    search(&l);
    if (l.best.bits >= IMPOSSIBLE) { /* cannot happen with finite levels: a mean alone always codes */
        fill(&l, 0, coder->p);
        consider(&l, l.mean_bits, 1, before->step);
    }
    double bits = l.best.bits;
    say_leaf(&l, job, offset, before);
    return bits;
}

/* ---- trees ---- */

static void keep_box(const swg__poly_job *job, const int n[3], const int offset[3], double *spare, bool back) {
    for (int z = 0; z < n[0]; z++)
        for (int y = 0; y < n[1]; y++) {
            double *at = job->canvas.level + (z + offset[0]) * job->canvas.step[0] + (y + offset[1]) * job->canvas.step[1] + offset[2];
            double *other = spare + (z * n[1] + y) * n[2];
            memcpy(back ? at : other, back ? other : at, (size_t)n[2] * sizeof *at);
        }
}

/* Whether the halves of a box may be shorter than its whole, by guesses; they overwrite what stands in the coder of the leaf. */
static bool halving_pays(swg__poly_coder *coder, const swg__poly_job *job, const int n[3], const int offset[3], const swg__poly_before *before) {
    swg__poly_leaf l;
    int top;
    swg__poly_leaf_open(coder, job, n, offset, before, &l);
    const double whole = UNLIKELY * swg__poly_guess_leaf(&l, &top);
    double halves = 0;
    for (int c = 0; c < 8 && halves < whole; c++) {
        int m[3], from[3];
        if (!swg__poly_child(n, c, from, m))
            continue;
        for (int a = 0; a < 3; a++)
            from[a] += offset[a];
        swg__poly_leaf_open(coder, job, m, from, before, &l);
        halves += swg__poly_guess_leaf(&l, &top);
    }
    return halves < whole;
}

double swg__poly_box(swg__poly_coder *coder, const swg__poly_job *job, const int n[3], const int offset[3], int depth, swg__poly_before *before) {
    swg__poly_script *s = &coder->script;
    const bool divisible = swg__poly_divisible(n, depth);
    const int64_t start = s->count, outliers = coder->outliers.count;
    const swg__poly_before entry = *before;
    const double worst = coder->worst;
    if (divisible)
        swg__poly_say(coder, SWG__POLY_SIDE + SWG__POLY_CUT, 0);
    double whole = code_leaf(coder, job, n, offset, before) + (divisible ? 0.5 : 0);
    if (!divisible || before->top[job->source.first != NULL] < SWG__POLY_WORTH_HALVING || s->failed)
        return whole;
    if (coder->brief && !halving_pays(coder, job, n, offset, &entry))
        return whole;
    const int64_t middle = s->count, found = coder->outliers.count;
    const swg__poly_before leaf_before = *before;
    const double leaf_worst = coder->worst;
    double *spare = coder->spare + depth * (int64_t)SWG__POLY_BOX, halves = 0.5;
    keep_box(job, n, offset, spare, false);
    *before = entry;
    coder->worst = worst;
    swg__poly_say(coder, SWG__POLY_SIDE + SWG__POLY_CUT, 1);
    for (int c = 0; c < 8 && halves < whole; c++) {
        int m[3], from[3];
        if (!swg__poly_child(n, c, from, m))
            continue;
        for (int a = 0; a < 3; a++)
            from[a] += offset[a];
        halves += swg__poly_box(coder, job, m, from, depth + 1, before);
    }
    if (s->failed)
        return whole;
    if (halves < whole) {
        int64_t length = s->count - middle, fresh = coder->outliers.count - found;
        memmove(s->e + start, s->e + middle, (size_t)length * sizeof *s->e);
        memmove(s->code + start, s->code + middle, (size_t)length);
        s->count = start + length;
        if (fresh)
            memmove(coder->outliers.position + outliers, coder->outliers.position + found, (size_t)fresh * sizeof *coder->outliers.position);
        coder->outliers.count = outliers + fresh;
        return halves;
    }
    s->count = middle;
    coder->outliers.count = found;
    coder->worst = leaf_worst;
    *before = leaf_before;
    keep_box(job, n, offset, spare, true);
    return whole;
}
