/* block_causal.c - mode B-causal, both ways. Groups of up to 256 blocks are coded rank by rank: the blocks are the lanes.
 * In: dense values, a variogram (its own or a trained one). Out: PARAM, RANS, RAW, OUTLIERS of a record; and back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "block.h"

enum { LANES = SWG__BLOCK_LANES, MOST_SIZE = 65535, EXPECTED = 64, LEAST_BLOCKS = 8, SLOW_EDGE = 6 };

/* One group, rank-major rows of LANES: levels less the block's first, magnitudes of residuals. */
typedef struct group {
    int32_t *v, *size;
    int64_t first[LANES];
    int32_t guess[LANES], activity[LANES];
} group;

static bool group_open(swg_context *ctx, int count, group *g) {
    g->v = swg__calloc(ctx, 2 * (size_t)count * LANES, sizeof *g->v);
    g->size = g->v ? g->v + count * LANES : NULL;
    return g->v != NULL;
}

/* Predictions of a rank, and its activities: 64 where residuals around were as large as the model expects. lanes: a multiple of 8. */
static void predict(const swg__codec_kernels *kernels, const swg__block_rank *rank, group *g, int64_t lanes) {
    const int32_t *row[SWG__BLOCK_TAPS];
    for (int i = 0; i < rank->taps; i++)
        row[i] = g->v + (int64_t)rank->tap[i] * LANES;
    kernels->block_sums(row, rank->weight, rank->taps, lanes, g->guess);
    for (int i = 0; i < rank->near; i++)
        row[i] = g->size + (int64_t)rank->close[i] * LANES;
    kernels->block_sums(row, rank->share, rank->near, lanes, g->activity);
    for (int64_t i = 0; i < lanes && !rank->near; i++)
        g->activity[i] = EXPECTED;
}

/* Quarter octaves of the activity + 8. */
static inline int class_of(int32_t activity) {
    uint32_t s = (uint32_t)activity + 8;
    int e = 31 - __builtin_clz(s), c = 4 * (e - 3) + (int)(s >> (e - 2) & 3);
    return c < SWG__BLOCK_CLASSES ? c : SWG__BLOCK_CLASSES - 1;
}

static inline uint8_t bucket_of(int base, int offset) {
    int b = base + offset;
    return (uint8_t)(b < 0 ? 0 : b > 127 ? 127 : b);
}

int swg__block_edge(const swg__chunk *chunk) {
    const int64_t n = chunk->extent[3];
    return swg__is_float(chunk->grid.type) && chunk->grid.step > 0 && chunk->extent[1] == n && chunk->extent[2] == n &&
                   n >= SWG__BLOCK_LEAST && n <= SWG__BLOCK_MOST ? (int)n : 0;
}

/* ---- encoder ---- */

typedef struct coder {
    const swg__chunk *chunk;
    const swg__block_plan *plan;
    group group;
    double *x;                 /* (count, LANES) values of the group */
    int32_t *e;                /* (count, LANES) residuals */
    uint8_t *activity;         /* (count, LANES) classes */
    double u[LANES];
    int64_t before;            /* first level of the block before, main steps */
    int64_t first[LANES];      /* residuals of the first values */
    swg__outliers outliers;
    double worst;
} coder;

static swg_status coder_open(const swg__chunk *chunk, const swg__block_plan *plan, coder *c) {
    const size_t cells = (size_t)plan->count * LANES;
    *c = (coder){.chunk = chunk, .plan = plan, .outliers = {.ctx = chunk->ctx}};
    c->x = swg__alloc(chunk->ctx, cells * sizeof *c->x);
    c->e = swg__alloc(chunk->ctx, cells * sizeof *c->e);
    c->activity = swg__alloc(chunk->ctx, cells);
    return c->x && c->e && c->activity && group_open(chunk->ctx, plan->count, &c->group) ? SWG_OK : swg__fail_memory(chunk->ctx, cells * 16, "blocks");
}

static void coder_close(coder *c) {
    swg__outliers_free(&c->outliers);
    swg__free(c->chunk->ctx, c->group.v);
    swg__free(c->chunk->ctx, c->activity);
    swg__free(c->chunk->ctx, c->e);
    swg__free(c->chunk->ctx, c->x);
}

/* Block numbers of the lanes: from, from + every, ... The spare lanes repeat the last block. */
static void load_group(coder *c, int64_t from, int64_t every, int64_t blocks, int64_t lanes) {
    const swg__grid *grid = &c->chunk->grid;
    for (int r = 0; r < c->plan->count; r++) {
        double *row = c->x + r * LANES;
        for (int64_t i = 0; i < lanes; i++)
            row[i] = swg__load_value(grid->type, c->chunk->values, (from + (i < blocks ? i : blocks - 1) * every) * c->plan->count + c->plan->rank[r].position);
    }
}

static bool masked(const coder *c, int64_t position) { return c->chunk->mask && c->chunk->mask[position]; }

/* The nearest acceptable level that is a multiple of 16 away from u. */
static bool settle(coder *c, double x, int64_t *u) {
    const swg__grid *grid = &c->chunk->grid;
    double error = 0;
    bool usable, good = fabs((double)*u) <= 16 * grid->reach;
    if (!good)
        return false;
    double value = swg__typed_value(grid, 4, *u, &usable);
    error = fabs(value - x);
    if (!(usable && error < grid->eb))
        good = swg__level_find(grid, 4, 16, x, u, &error);
    if (good)
        c->worst = error > c->worst ? error : c->worst;
    return good;
}

static void first_levels(coder *c, int64_t from, int64_t every, int64_t blocks, int64_t lanes) {
    const swg__grid *grid = &c->chunk->grid;
    for (int64_t i = 0; i < blocks; i++) {
        const int64_t position = (from + i * every) * c->plan->count;
        double t = (c->x[i] - grid->base) / grid->step;
        int64_t u = fabs(t) <= grid->reach ? 16 * (int64_t)rint(t) : 16 * c->before;
        bool good = !masked(c, position) && fabs(t) <= grid->reach && settle(c, c->x[i], &u);
        if (!good && !masked(c, position))
            swg__outlier_add(&c->outliers, position);
        int64_t q = good ? u / 16 : c->before;
        c->first[i] = q - c->before;
        c->group.first[i] = 16 * q;
        c->before = q;
    }
    for (int64_t i = blocks; i < lanes; i++)
        c->group.first[i] = c->group.first[blocks - 1];
}

/* Levels of a rank one by one. */
static void slow_rank(coder *c, int r, int64_t from, int64_t every, int64_t blocks) {
    const swg__grid *grid = &c->chunk->grid;
    const double inverse = 1 / swg__grid_step(grid, 4);
    for (int64_t i = 0; i < blocks; i++) {
        const int64_t position = (from + i * every) * c->plan->count + c->plan->rank[r].position, p = c->group.first[i] + c->group.guess[i];
        const double x = c->x[r * LANES + i], k = rint(((x - grid->base) * inverse - (double)p) * 0.0625);
        int64_t u = fabs(k) < SWG__BLOCK_REACH ? p + 16 * (int64_t)k : p;
        bool hidden = masked(c, position), good = !hidden && fabs(k) < SWG__BLOCK_REACH && settle(c, x, &u);
        good = good && u - c->group.first[i] <= SWG__BLOCK_REACH && u - c->group.first[i] >= -SWG__BLOCK_REACH;
        if (!good && !hidden)
            swg__outlier_add(&c->outliers, position);
        c->e[r * LANES + i] = good ? (int32_t)((u - p) / 16) : 0;
    }
}

/* Residuals and classes of a group. Blocks from, from + every, ... */
static void code_group(coder *c, int64_t from, int64_t every, int64_t blocks) {
    const swg__grid *grid = &c->chunk->grid;
    const swg__codec_kernels *kernels = c->chunk->kernels;
    const int64_t lanes = (blocks + 7) & ~7;
    const double inverse = 1 / swg__grid_step(grid, 4), base = grid->base;
    group *g = &c->group;
    load_group(c, from, every, blocks, lanes);
    first_levels(c, from, every, blocks, lanes);
    for (int r = 1; r < c->plan->count; r++) {
        const double *x = c->x + r * LANES;
        int32_t *e = c->e + r * LANES, *v = g->v + r * LANES, *size = g->size + r * LANES;
        int32_t beyond = 0;
        predict(kernels, &c->plan->rank[r], g, lanes);
        for (int64_t i = 0; i < lanes; i++) {
            double p = (double)g->first[i] + g->guess[i], k = ((x[i] - base) * inverse - p) * 0.0625 + 0x1.8p52 - 0x1.8p52;
            k = fabs(k) < 0x1p22 ? k : 0; /* NaN too */
            e[i] = (int32_t)k;
            v[i] = g->guess[i] + 16 * e[i];
            c->u[i] = p + 16 * k;
            beyond |= (v[i] > SWG__BLOCK_REACH) | (v[i] < -SWG__BLOCK_REACH);
        }
        double worst = c->worst;
        if (!c->chunk->mask && !beyond && kernels->poly_check(x, c->u, lanes, grid, &worst)) {
            c->worst = worst;
        } else {
            slow_rank(c, r, from, every, blocks);
            for (int64_t i = blocks; i < lanes; i++)
                e[i] = 0;
            for (int64_t i = 0; i < lanes; i++)
                v[i] = g->guess[i] + 16 * e[i];
        }
        for (int64_t i = 0; i < lanes; i++) {
            int32_t s = e[i] < 0 ? -e[i] : e[i];
            size[i] = s < MOST_SIZE ? s : MOST_SIZE;
        }
        for (int64_t i = 0; i < blocks; i++)
            c->activity[r * LANES + i] = (uint8_t)class_of(g->activity[i]);
    }
}

/* ---- offsets of buckets: what a class adds to the model's own bucket ---- */

typedef struct offsets {
    int low, high;             /* classes stored; others take the nearest end */
    int8_t of[SWG__BLOCK_CLASSES];
    int8_t pass[SWG__BLOCK_PASSES];
} offsets;

static void spread(offsets *o) {
    for (int c = 0; c < SWG__BLOCK_CLASSES; c++)
        o->of[c] = o->of[c < o->low ? o->low : c > o->high ? o->high : c];
}

/* What is added in each pass, on top of the offsets of classes. Returns what it saves in 1/256 bit. */
static uint64_t fit_passes(const coder *c, int64_t blocks, offsets *o) {
    enum { AROUND = 3, TRIES = 2 * AROUND + 1 };
    uint64_t cost[SWG__BLOCK_PASSES][TRIES] = {{0}}, saved = 0;
    for (int r = 1; r < c->plan->count; r++) {
        const swg__block_rank *rank = &c->plan->rank[r];
        for (int64_t i = 0; i < blocks; i++) {
            int base = rank->bucket + o->of[c->activity[r * LANES + i]] - AROUND;
            for (int j = 0; j < TRIES; j++)
                cost[rank->pass][j] += swg__residual_cost(bucket_of(base, j), 0, c->e[r * LANES + i]);
        }
    }
    for (int p = 0; p < SWG__BLOCK_PASSES; p++) {
        int best = AROUND;
        for (int j = 0; j < TRIES; j++)
            best = cost[p][j] < cost[p][best] ? j : best;
        o->pass[p] = (int8_t)(best - AROUND);
        saved += cost[p][AROUND] - cost[p][best];
    }
    return saved;
}

/* Best offsets for the blocks 0, every, ... by exact code length; at most one group. Returns their length in 1/256 bit. */
static uint64_t fit_offsets(coder *c, int64_t every, int64_t blocks, offsets *o) {
    enum { AROUND = 4, TRIES = 2 * AROUND + 1 };
    uint64_t cost[SWG__BLOCK_CLASSES][TRIES] = {{0}}, all = 0;
    double sum[SWG__BLOCK_CLASSES] = {0}, inverse[128];
    int64_t seen[SWG__BLOCK_CLASSES] = {0}, steps = 0;
    int start[SWG__BLOCK_CLASSES];
    code_group(c, 0, every, blocks);
    for (int b = 0; b < 128; b++)
        inverse[b] = exp2((20 - b) * 0.25);
    for (int64_t i = 1; i < blocks; i++)
        steps += c->first[i] < 0 ? -c->first[i] : c->first[i];
    for (int64_t i = 1; i < blocks; i++)
        all += swg__residual_cost(swg__bucket_for((double)steps / (double)(blocks - 1), 127), 0, c->first[i]);
    for (int r = 1; r < c->plan->count; r++)
        for (int64_t i = 0; i < blocks; i++) {
            int class = c->activity[r * LANES + i];
            sum[class] += fabs((double)c->e[r * LANES + i]) * inverse[c->plan->rank[r].bucket];
            seen[class]++;
        }
    o->low = SWG__BLOCK_CLASSES;
    o->high = 0;
    for (int class = 0; class < SWG__BLOCK_CLASSES; class++) {
        start[class] = seen[class] ? swg__bucket_for(sum[class] / (double)seen[class], 127) - 20 - AROUND : 0;
        o->low = seen[class] && class < o->low ? class : o->low;
        o->high = seen[class] ? class : o->high;
    }
    if (o->low > o->high)
        o->low = o->high = 0;
    for (int r = 1; r < c->plan->count; r++)
        for (int64_t i = 0; i < blocks; i++) {
            int class = c->activity[r * LANES + i];
            for (int j = 0; j < TRIES; j++)
                cost[class][j] += swg__residual_cost(bucket_of(c->plan->rank[r].bucket, start[class] + j), 0, c->e[r * LANES + i]);
        }
    for (int class = o->low; class <= o->high; class++) {
        int best = AROUND;
        for (int j = 0; j < TRIES; j++)
            best = cost[class][j] < cost[class][best] ? j : best;
        o->of[class] = (int8_t)(seen[class] ? start[class] + best : class > o->low ? o->of[class - 1] : 0);
        all += cost[class][best];
    }
    spread(o);
    return all - fit_passes(c, blocks, o);
}

/* ---- record ---- */

static void write_param(const swg__variogram *own, int scale, int first, const offsets *o, swg__text *out) {
    swg__put8(out, (unsigned)first);
    swg__put8(out, (unsigned)scale);
    swg__put8(out, (unsigned)o->low);
    swg__put8(out, (unsigned)o->high);
    for (int c = o->low; c <= o->high; c++)
        swg__put8(out, (unsigned)o->of[c] & 255);
    for (int p = 0; p < SWG__BLOCK_PASSES; p++)
        swg__put8(out, (unsigned)o->pass[p] & 255);
    if (own)
        swg__variogram_write(own, out);
}

static swg_status finish(coder *c, swg__symbols *symbols, swg__draft *draft) {
    draft->head.mode = SWG__MODE_B;
    draft->head.submode = 0;
    draft->head.sub_shift = 4;
    draft->head.max_ratio = swg__ratio_up(c->worst, c->chunk->grid.eb);
    swg__bits_finish(&symbols->bits);
    SWG__TRY(swg__symbols_write(c->chunk, symbols, (int64_t)symbols->raw.length, draft));
    return swg__outliers_write(&c->outliers, c->chunk, draft);
}

static void emit_group(const coder *c, const offsets *o, int first, int64_t blocks, swg__symbols *out) {
    for (int64_t i = 0; i < blocks; i++)
        swg__residual_put(out, first, 0, c->first[i]);
    for (int r = 1; r < c->plan->count; r++) {
        const int32_t *e = c->e + r * LANES;
        const uint8_t *activity = c->activity + r * LANES;
        uint8_t bucket[SWG__BLOCK_CLASSES];
        for (int k = 0; k < SWG__BLOCK_CLASSES; k++)
            bucket[k] = bucket_of(c->plan->rank[r].bucket + o->pass[c->plan->rank[r].pass], o->of[k]);
        for (int64_t i = 0; i < blocks; i++)
            swg__residual_put(out, bucket[activity[i]], 0, e[i]);
    }
}

/* Bucket for the differences of first values. */
static int first_bucket(const swg__chunk *chunk, int64_t blocks) {
    const swg__grid *grid = &chunk->grid;
    const int64_t n = chunk->extent[3] * chunk->extent[3] * chunk->extent[3];
    double before = 0, sum = 0;
    for (int64_t i = 0; i < blocks; i++) {
        double t = (swg__load_value(grid->type, chunk->values, i * n) - grid->base) / grid->step;
        t = fabs(t) <= grid->reach ? t : before;
        sum += fabs(t - before);
        before = t;
    }
    return swg__bucket_for(sum / (double)blocks, SWG__WIDE_BUCKETS - 1);
}

/* draft NULL: only whether it is worth while. */
static swg_status code_all(const swg__chunk *chunk, const swg__variogram *table, bool own, int scale, int64_t limit, swg__draft *draft, bool *coded) {
    const int64_t blocks = chunk->extent[0], sample = blocks < LANES ? blocks : LANES;
    swg__block_plan plan;
    swg__symbols symbols = {0};
    offsets o = {0};
    coder *c = swg__alloc(chunk->ctx, sizeof *c);
    if (!c)
        return swg__fail_memory(chunk->ctx, sizeof *c, "blocks");
    *c = (coder){.chunk = chunk};
    swg_status status = swg__block_plan_open(table, scale, &plan);
    if (status == SWG_OK)
        status = coder_open(chunk, &plan, c);
    if (status == SWG_OK) {
        double bytes = (double)fit_offsets(c, blocks / sample, sample, &o) / 2048 * (double)blocks / (double)sample + (own ? 2 * (double)table->count : 0);
        *coded = bytes < (double)limit * 1.05 + 64;
        c->outliers.count = 0;
        c->before = 0;
        c->worst = 0;
    }
    if (status == SWG_OK && *coded && draft) {
        const int first = first_bucket(chunk, blocks);
        status = swg__symbols_open(&symbols, chunk->ctx, chunk->count);
        for (int64_t at = 0; at < blocks && status == SWG_OK; at += LANES) {
            int64_t n = blocks - at < LANES ? blocks - at : LANES;
            code_group(c, at, 1, n);
            emit_group(c, &o, first, n, &symbols);
        }
        if (status == SWG_OK) {
            write_param(own ? table : NULL, scale, first, &o, &draft->stream[SWG__PARAM]);
            draft->head.flags |= own ? SWG__FLAG_LOCAL : 0;
            status = finish(c, &symbols, draft);
        }
        swg__symbols_close(&symbols);
    }
    coder_close(c);
    swg__block_plan_close(&plan);
    swg__free(chunk->ctx, c);
    return status;
}

/* What one step of the grid's noise is in units of a table whose unit is `unit` squared steps. */
static int scale_for(double unit) {
    double scale = rint(64 + 4 * log2(1 / (12 * unit)));
    return scale > 0 ? (scale < SWG__BLOCK_SCALES - 1 ? (int)scale : SWG__BLOCK_SCALES - 1) : 0;
}

/* The chunk's own table; *unit 0: nothing to gain. Making displacements agree takes long in large blocks, so first those ask that need not agree:
 * all pairs of positions, which know these very blocks better than any displacements will. */
static swg_status own_table(const swg__chunk *chunk, const swg__block_sums *sums, int64_t limit, swg__variogram *own, double *unit) {
    bool hopeful = true;
    if (sums->edge >= SLOW_EDGE) {
        swg_status status = swg__block_sums_table(sums, true, own, unit);
        if (status == SWG_OK && *unit > 0)
            status = code_all(chunk, own, false, scale_for(*unit), limit, NULL, &hopeful);
        swg__variogram_close(own);
        *unit = 0;
        SWG__TRY(status);
    }
    return hopeful ? swg__block_sums_table(sums, false, own, unit) : SWG_OK;
}

swg_status swg__block_encode(const swg__chunk *chunk, const swg__variogram *trained, int64_t limit, swg__draft *draft, bool *coded) {
    const int edge = swg__block_edge(chunk);
    swg__block_sums sums;
    swg__variogram own = {0};
    double unit = 0;
    *coded = false;
    if (limit < chunk->count / 32) /* a quarter of a bit per value: a symbol for each of them is too much */
        return SWG_OK;
    if (!edge || !chunk->grid.fine || (trained ? trained->edge != edge : chunk->extent[0] < LEAST_BLOCKS))
        return SWG_OK;
    swg_status status = swg__block_sums_open(chunk->ctx, edge, &sums);
    if (status == SWG_OK)
        status = swg__block_sums_add(&sums, chunk, trained ? SWG__BLOCK_SAMPLE / 4 : SWG__BLOCK_SAMPLE);
    if (status == SWG_OK && trained)
        unit = swg__block_sums_unit(&sums, trained);
    else if (status == SWG_OK)
        status = own_table(chunk, &sums, limit, &own, &unit);
    if (status == SWG_OK && unit > 0)
        status = code_all(chunk, trained ? trained : &own, !trained, scale_for(unit), limit, draft, coded);
    swg__variogram_close(&own);
    swg__block_sums_close(&sums);
    return status;
}

/* ---- decoder ---- */

typedef struct reader {
    const swg__chunk *chunk;
    swg__block_plan plan;
    group group;
    offsets offsets;
    int first, scale;          /* bucket of first values; noise */
    int64_t *e, *u;            /* LANES; a group's levels, block by block */
} reader;

static const char *read_param(reader *d, const swg__variogram *trained, const swg__record *record) {
    const int edge = swg__block_edge(d->chunk);
    swg__cursor in = {.at = record->stream[SWG__PARAM].data, .end = record->stream[SWG__PARAM].data + record->stream[SWG__PARAM].bytes};
    swg__variogram own = {0};
    d->first = (int)swg__take8(&in);
    d->scale = (int)swg__take8(&in);
    d->offsets.low = (int)swg__take8(&in);
    d->offsets.high = (int)swg__take8(&in);
    if (in.bad || d->first > 127 || d->scale >= SWG__BLOCK_SCALES || d->offsets.low > d->offsets.high || d->offsets.high >= SWG__BLOCK_CLASSES)
        return "bucket, scale or classes of blocks are impossible";
    for (int c = d->offsets.low; c <= d->offsets.high; c++)
        d->offsets.of[c] = (int8_t)swg__take8(&in);
    for (int p = 0; p < SWG__BLOCK_PASSES; p++)
        d->offsets.pass[p] = (int8_t)swg__take8(&in);
    spread(&d->offsets);
    const bool local = record->head.flags & SWG__FLAG_LOCAL;
    const char *why = in.bad ? "offsets of blocks are cut short" : !local && !trained ? "model is not in the file" : NULL;
    if (!why && local)
        why = swg__variogram_read(d->chunk->ctx, &in, &own);
    if (!why && (swg__left(&in) || (local ? own.edge : trained->edge) != edge))
        why = "variogram is not of these blocks";
    if (!why && swg__block_plan_open(local ? &own : trained, d->scale, &d->plan) != SWG_OK)
        why = swg__why_memory;
    swg__variogram_close(&own);
    return why;
}

/* One group: first levels, then rank by rank. NULL or the reason. */
static const char *read_group(reader *d, swg__rans *in, int64_t *before, int64_t blocks) {
    const swg__codec_kernels *kernels = d->chunk->kernels;
    const int64_t lanes = (blocks + 7) & ~7;
    const int count = d->plan.count;
    uint8_t bucket[LANES], choice[SWG__BLOCK_CLASSES];
    group *g = &d->group;
    memset(bucket, d->first, sizeof bucket);
    kernels->residuals(in, bucket, NULL, blocks, d->e);
    for (int64_t i = 0; i < blocks; i++) {
        *before += d->e[i];
        if (*before > SWG__LEVEL_LIMIT / 16 || *before < -SWG__LEVEL_LIMIT / 16)
            return "level beyond 2^45";
        g->first[i] = 16 * *before;
    }
    for (int r = 1; r < count; r++) {
        int32_t *v = g->v + r * LANES, *size = g->size + r * LANES, beyond = 0;
        predict(kernels, &d->plan.rank[r], g, lanes);
        for (int c = 0; c < SWG__BLOCK_CLASSES; c++)
            choice[c] = bucket_of(d->plan.rank[r].bucket + d->offsets.pass[d->plan.rank[r].pass], d->offsets.of[c]);
        for (int64_t i = 0; i < blocks; i++)
            bucket[i] = choice[class_of(g->activity[i])];
        kernels->residuals(in, bucket, NULL, blocks, d->e);
        for (int64_t i = 0; i < blocks; i++) {
            int64_t e = d->e[i], s = e < 0 ? -e : e, level = g->guess[i] + 16 * e;
            beyond |= (level > SWG__BLOCK_REACH) | (level < -SWG__BLOCK_REACH);
            v[i] = (int32_t)level;
            size[i] = s < MOST_SIZE ? (int32_t)s : MOST_SIZE;
        }
        if (beyond)
            return "level of a block is too far from its first";
    }
    for (int r = 0; r < count; r++)
        for (int64_t i = 0; i < blocks; i++)
            d->u[i * count + d->plan.rank[r].position] = g->first[i] + g->v[r * LANES + i];
    return NULL;
}

const char *swg__block_decode(const swg__chunk *chunk, const swg__variogram *trained, const swg__record *record) {
    reader *d = swg__calloc(chunk->ctx, 1, sizeof *d);
    swg__rans in;
    int64_t before = 0;
    if (!d)
        return swg__why_memory;
    d->chunk = chunk;
    const char *why = !record->stream[SWG__RANS].data || !record->stream[SWG__PARAM].data ? "streams of mode B are missing"
                      : !swg__block_edge(chunk) || record->head.sub_shift != 4 ? "mode B-causal needs blocks on a float grid with sub-grid bits" : NULL;
    if (!why)
        why = read_param(d, trained, record);
    if (!why)
        why = swg__rans_open(&in, record->head.lanes_log2, record->stream[SWG__RANS].data, record->stream[SWG__RANS].bytes, record->stream[SWG__RAW].data,
                             record->stream[SWG__RAW].bytes);
    if (!why) {
        d->e = swg__alloc(chunk->ctx, LANES * sizeof *d->e);
        d->u = swg__alloc(chunk->ctx, (size_t)d->plan.count * LANES * sizeof *d->u);
        why = d->e && d->u && group_open(chunk->ctx, d->plan.count, &d->group) ? NULL : swg__why_memory;
    }
    for (int64_t at = 0; at < chunk->extent[0] && !why; at += LANES) {
        int64_t n = chunk->extent[0] - at < LANES ? chunk->extent[0] - at : LANES;
        why = read_group(d, &in, &before, n);
        if (!why)
            why = swg__levels_store(chunk, 4, d->u, at * d->plan.count, n * d->plan.count);
    }
    if (!why)
        why = swg__rans_finish(&in);
    swg__free(chunk->ctx, d->group.v);
    swg__free(chunk->ctx, d->u);
    swg__free(chunk->ctx, d->e);
    swg__block_plan_close(&d->plan);
    swg__free(chunk->ctx, d);
    return why;
}
