/* block_plan.c - from a table of variances to order, neighbours, weights and scales of mode B-causal.
 * In: variogram, noise of the grid. Out: swg__block_plan. Integers only, so encoder and decoder agree on every machine.
 * SPDX-License-Identifier: Apache-2.0 */
#include "block.h"

enum { TAPS = SWG__BLOCK_TAPS, Q13 = 1 << 13 };

/* ---- tables ---- */

int64_t swg__variogram_count(int edge, bool pairs) {
    const int64_t n3 = (int64_t)edge * edge * edge, span = 2 * edge - 1;
    return pairs ? n3 * (n3 - 1) / 2 : (span * span * span - 1) / 2;
}

int64_t swg__variogram_entry(int edge, bool pairs, int a, int b) {
    int low = a < b ? a : b, high = a < b ? b : a, span = 2 * edge - 1;
    if (pairs)
        return (int64_t)high * (high - 1) / 2 + low;
    /* raster order makes the difference lexicographically positive */
    int dz = high / (edge * edge) - low / (edge * edge), dy = high / edge % edge - low / edge % edge, dx = high % edge - low % edge;
    return ((int64_t)dz * span + dy) * span + dx - 1;
}

swg_status swg__variogram_open(swg_context *ctx, int edge, bool pairs, swg__variogram *v) {
    *v = (swg__variogram){.ctx = ctx, .edge = edge, .pairs = pairs, .count = swg__variogram_count(edge, pairs)};
    v->gamma = swg__calloc(ctx, (size_t)v->count, sizeof *v->gamma);
    return v->gamma ? SWG_OK : swg__fail_memory(ctx, (size_t)v->count * sizeof *v->gamma, "a variogram");
}

void swg__variogram_close(swg__variogram *v) {
    if (v->ctx)
        swg__free(v->ctx, v->gamma);
    *v = (swg__variogram){0};
}

uint32_t swg__variogram_short(double v) {
    uint32_t h = 0;
    if (v < 4096)
        return (uint32_t)rint(v > 0 ? v : 0); /* 4096 is right, too */
    while (ldexp(8192, (int)h) <= v)
        h++;
    h = ((h + 1) << 12) + (uint32_t)rint(ldexp(v, -(int)h)) - 4096; /* a mantissa of 8192 is the next power */
    return h < SWG__VARIOGRAM_CODES ? h : SWG__VARIOGRAM_CODES - 1;
}

void swg__variogram_write(const swg__variogram *v, swg__text *out) {
    swg__put8(out, (unsigned)v->edge);
    swg__put8(out, v->pairs);
    swg__put16(out, 0);
    for (int64_t i = 0; i < v->count; i++)
        swg__put16(out, swg__variogram_short(v->gamma[i]));
}

const char *swg__variogram_read(swg_context *ctx, swg__cursor *in, swg__variogram *v) {
    uint32_t edge = swg__take8(in), pairs = swg__take8(in);
    (void)swg__take16(in);
    *v = (swg__variogram){0};
    if (in->bad || edge < SWG__BLOCK_LEAST || edge > SWG__BLOCK_MOST || pairs > 1)
        return "edge or form of a variogram is impossible";
    const uint8_t *at = swg__take(in, 2 * (size_t)swg__variogram_count((int)edge, pairs));
    if (in->bad)
        return "variogram is cut short";
    if (swg__variogram_open(ctx, (int)edge, pairs, v) != SWG_OK)
        return swg__why_memory;
    bool large = false;
    for (int64_t i = 0; i < v->count; i++) {
        uint32_t h = swg__load16(at + 2 * i);
        large = large || h >= SWG__VARIOGRAM_CODES;
        v->gamma[i] = large ? 0 : swg__variogram_wide(h);
    }
    if (large)
        swg__variogram_close(v);
    return large ? "entry of a variogram is 2^24 or more" : NULL;
}

/* ---- order ---- */

/* Coarse grids first: a position's level is that of its finest coordinate (trailing zeros; 0 counts 3); inside a level those with fewer such
 * coordinates, then raster order. */
static int order_key(int position, int edge) {
    int at[3] = {position / (edge * edge), position / edge % edge, position % edge}, level = 3, fine = 0;
    for (int i = 0; i < 3; i++) {
        int zeros = at[i] == 0 ? 3 : __builtin_ctz((unsigned)at[i]);
        fine = zeros < level ? 1 : fine + (zeros == level);
        level = zeros < level ? zeros : level;
    }
    return (3 - level) * 4 + fine;
}

static void make_order(swg__block_plan *plan) {
    int next = 0;
    for (int key = 0; key < 16; key++)
        for (int p = 0; p < plan->count; p++)
            if (order_key(p, plan->edge) == key)
                plan->rank[next++] = (swg__block_rank){.position = (int16_t)p, .pass = (uint8_t)((key >> 2) * 3 + (key & 3) - 1)};
}

/* ---- neighbours ---- */

/* The `most` ranks before `rank` with the smallest distances, nearest first, ties in coding order. */
static int nearest(const int64_t *distance, int rank, int most, int16_t *list) {
    int n = 0;
    for (int j = 0; j < rank; j++) {
        int at = n < most ? n++ : most;
        if (at == most) {
            if (distance[j] >= distance[list[most - 1]])
                continue;
            at = most - 1;
        }
        for (; at > 0 && distance[list[at - 1]] > distance[j]; at--)
            list[at] = list[at - 1];
        list[at] = (int16_t)j;
    }
    return n;
}

static int64_t squared(int a, int b, int edge) {
    int dz = a / (edge * edge) - b / (edge * edge), dy = a / edge % edge - b / edge % edge, dx = a % edge - b % edge;
    return dz * dz + dy * dy + dx * dx;
}

/* ---- kriging: least squares of differences to the nearest neighbour, by Cholesky in fixed point ---- */

static int64_t limited(int64_t v, int64_t most) { return v > most ? most : v < -most ? -most : v; }

static int64_t root(int64_t v) {
    uint64_t r = (uint64_t)sqrt((double)v), square = (uint64_t)v; /* a guess: what follows makes it the floor whatever sqrt returned */
    while (r * r > square)
        r--;
    while ((r + 1) * (r + 1) <= square) /* at most (2^31.5 + 1)^2, beyond 63 bits but not 64 */
        r++;
    return (int64_t)r;
}

/* Sums wrap: for tables that are no variogram the result means nothing, but it is the same everywhere. */
static int64_t less_product(int64_t sum, int64_t a, int64_t b) { return (int64_t)((uint64_t)sum - (uint64_t)a * (uint64_t)b); }

/* Quarter octaves: 4 log2(v) rounded down; v > 0 */
static int quarters(uint64_t v) {
    int e = 63 - __builtin_clzll(v);
    return 4 * e + (int)((e >= 2 ? v >> (e - 2) : v << (2 - e)) & 3);
}

typedef struct equations {
    uint32_t *gamma;                       /* (count, count) by rank */
    int64_t count;
    int64_t noise;                         /* of the grid, in 2^-16 units of the table */
    int64_t l[TAPS][TAPS], y[TAPS], w[TAPS]; /* L in Q30, y in Q30, w in Q20 */
} equations;

static int64_t gamma_of(const equations *s, int a, int b) { return (int64_t)s->gamma[a * s->count + b] << 16; }

/* Weights of a rank's taps and its bucket. */
static void solve(equations *s, int rank, swg__block_rank *out) {
    const int anchor = out->tap[0], m = out->taps - 1;
    const int16_t *tap = out->tap + 1;
    const int64_t own = 2 * gamma_of(s, rank, anchor) + s->noise;
    int64_t largest = own;
    for (int j = 0; j < m; j++) {
        int64_t d = 2 * gamma_of(s, tap[j], anchor) + 2 * s->noise;
        largest = d > largest ? d : largest;
    }
    const int shift = 60 - (63 - __builtin_clzll((uint64_t)largest)); /* the largest variance is in 2^60..2^61 */
    const int64_t ridge = (int64_t)1 << 40;
    for (int j = 0; j < m; j++) {
        for (int k = 0; k <= j; k++) {
            int64_t c = gamma_of(s, tap[j], anchor) + gamma_of(s, tap[k], anchor) - gamma_of(s, tap[j], tap[k]) + s->noise + (j == k ? s->noise : 0);
            c = limited(c, largest) * ((int64_t)1 << shift) + (j == k ? ridge : 0);
            for (int i = 0; i < k; i++)
                c = less_product(c, s->l[j][i], s->l[k][i]);
            if (k < j)
                s->l[j][k] = s->l[k][k] ? limited(c / s->l[k][k], INT32_MAX) : 0;
            else
                s->l[j][j] = c < (int64_t)1 << 34 ? 0 : root(c); /* says nothing new */
        }
        int64_t c = limited(gamma_of(s, tap[j], anchor) + gamma_of(s, rank, anchor) - gamma_of(s, rank, tap[j]) + s->noise, largest) * ((int64_t)1 << shift);
        for (int i = 0; i < j; i++)
            c = less_product(c, s->l[j][i], s->y[i]);
        s->y[j] = s->l[j][j] ? limited(c / s->l[j][j], INT32_MAX) : 0;
    }
    int64_t left = own * ((int64_t)1 << shift), least = (s->noise << shift) / 16, sum = 0, size = 0;
    for (int j = 0; j < m; j++)
        left = less_product(left, s->y[j], s->y[j]);
    left = left > least ? left : least;
    left = left > (1 << 20) ? left : 1 << 20;
    for (int j = m - 1; j >= 0; j--) {
        int64_t c = s->y[j] * (1 << 20);
        for (int k = j + 1; k < m; k++)
            c = less_product(c, s->l[k][j], s->w[k]);
        s->w[j] = s->l[j][j] ? limited(c / s->l[j][j], 1 << 26) : 0;
        out->weight[j + 1] = (int32_t)((s->w[j] + 64) >> 7);
        sum += out->weight[j + 1];
        size += out->weight[j + 1] < 0 ? -out->weight[j + 1] : out->weight[j + 1];
    }
    out->weight[0] = (int32_t)(Q13 - sum);
    if (size + (out->weight[0] < 0 ? -out->weight[0] : out->weight[0]) > 1 << 18) {
        out->taps = 1;
        out->weight[0] = Q13;
    }
    /* Scale s of a logistic law of standard deviation sigma: s^2 = 0.3 sigma^2, and the noise is 1/12 of a squared step. */
    int bucket = 20 + ((quarters((uint64_t)left) - quarters((uint64_t)s->noise << shift) - 21) >> 1);
    out->bucket = (uint8_t)(bucket < 0 ? 0 : bucket > 127 ? 127 : bucket);
}

/* Shares of the residuals around in the activity: 1 / (squared distance * scale), so that 64 is what the model expects. */
static void make_shares(const swg__block_plan *plan, swg__block_rank *out, const int64_t *distance) {
    static const int32_t quarter[4] = {32768, 27554, 23170, 19484}; /* 2^(15 - i/4) */
    int64_t share[SWG__BLOCK_NEAR], sum = 0;
    for (int i = 0; i < out->near; i++) {
        share[i] = (1 << 20) / distance[out->close[i]];
        sum += share[i];
    }
    for (int i = 0; i < out->near; i++) {
        int b = plan->rank[out->close[i]].bucket - 20; /* 64 * 0.55 / 2^(b/4), Q13 */
        int64_t inverse = b >= 0 ? ((int64_t)quarter[b & 3] * 9) >> (b >> 2) : ((int64_t)quarter[b & 3] * 9) << -(b >> 2);
        int64_t v = share[i] * inverse / sum;
        out->share[i] = (int32_t)(v < 1 << 22 ? v : 1 << 22);
    }
}

swg_status swg__block_plan_open(const swg__variogram *v, int scale, swg__block_plan *plan) {
    static const int64_t quarter[4] = {65536, 77936, 92682, 110218}; /* 2^(16 + i/4) */
    *plan = (swg__block_plan){.ctx = v->ctx, .edge = v->edge, .count = v->edge * v->edge * v->edge};
    equations *s = swg__calloc(v->ctx, 1, sizeof *s);
    const size_t cells = (size_t)plan->count * (size_t)plan->count;
    uint32_t *gamma = swg__alloc(v->ctx, cells * sizeof *gamma);
    int64_t *distance = swg__alloc(v->ctx, (size_t)plan->count * sizeof *distance);
    plan->rank = swg__calloc(v->ctx, (size_t)plan->count, sizeof *plan->rank);
    if (!s || !gamma || !distance || !plan->rank) {
        swg__free(v->ctx, distance);
        swg__free(v->ctx, gamma);
        swg__free(v->ctx, s);
        swg__block_plan_close(plan);
        return swg__fail_memory(v->ctx, cells * sizeof *gamma, "predictors of blocks");
    }
    make_order(plan);
    for (int a = 0; a < plan->count; a++)
        for (int b = 0; b <= a; b++)
            gamma[a * plan->count + b] = gamma[b * plan->count + a] = swg__variogram_at(v, plan->rank[a].position, plan->rank[b].position);
    s->gamma = gamma;
    s->count = plan->count;
    s->noise = scale < 64 ? quarter[scale & 3] >> (16 - scale / 4) : quarter[scale & 3] << (scale / 4 - 16);
    s->noise = s->noise > 1 ? s->noise : 1;
    for (int r = 1; r < plan->count; r++) {
        swg__block_rank *rank = &plan->rank[r];
        for (int j = 0; j < r; j++)
            distance[j] = gamma[r * plan->count + j];
        rank->taps = (uint8_t)nearest(distance, r, TAPS, rank->tap);
        solve(s, r, rank);
        for (int j = 0; j < r; j++)
            distance[j] = j ? squared(rank->position, plan->rank[j].position, v->edge) : INT64_MAX;
        rank->near = (uint8_t)nearest(distance, r, SWG__BLOCK_NEAR, rank->close);
        while (rank->near && rank->close[rank->near - 1] == 0) /* the first value has no residual of this kind */
            rank->near--;
        make_shares(plan, rank, distance);
    }
    swg__free(v->ctx, distance);
    swg__free(v->ctx, gamma);
    swg__free(v->ctx, s);
    return SWG_OK;
}

void swg__block_plan_close(swg__block_plan *plan) {
    if (plan->ctx)
        swg__free(plan->ctx, plan->rank);
    *plan = (swg__block_plan){0};
}
