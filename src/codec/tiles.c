/* tiles.c - mode B-SWAE, both ways.
 * In: dense values, latents. Out: PARAM, LATENT, LRAW, RANS, RAW, OUTLIERS of a record; and back (docs/format.md, "Mode B-SWAE").
 * SPDX-License-Identifier: Apache-2.0 */
#include "bucket.h"
#include "tiles.h"

enum { BLOCK = 9 * 9 * 9, EXPONENTS = 40, SIDE = 4 }; /* side symbols of a tile: mean, count, exponent, bucket */

void swg__tiling_make(const swg__chunk *chunk, int n, swg__tiling *tiling) {
    *tiling = (swg__tiling){.n = n, .per_slice = 1};
    for (int i = 0; i < 3; i++) {
        tiling->per_axis[i] = (chunk->extent[i + 1] + n - 1) / n;
        tiling->per_slice *= tiling->per_axis[i];
    }
    tiling->count = tiling->per_slice * chunk->extent[0];
}

bool swg__tiling_allowed(const swg__tiling *tiling, int64_t values) {
    return tiling->count * tiling->n * tiling->n * tiling->n <= 8 * values + 4096;
}

/* Where a tile lies: its first value in the chunk and its extents. */
static int64_t place(const swg__chunk *chunk, const swg__tiling *t, int64_t tile, int64_t extent[3]) {
    int64_t at = tile / t->per_slice, rest = tile % t->per_slice;
    int64_t corner[3] = {rest / (t->per_axis[1] * t->per_axis[2]), rest / t->per_axis[2] % t->per_axis[1], rest % t->per_axis[2]};
    for (int i = 0; i < 3; i++) {
        int64_t left = chunk->extent[i + 1] - corner[i] * t->n;
        extent[i] = left < t->n ? left : t->n;
        at = at * chunk->extent[i + 1] + corner[i] * t->n;
    }
    return at;
}

/* ---- encoder ---- */

/* One tile on the fine grid (steps of 1/16). Values the grid cannot hold take the mean. */
typedef struct tile {
    double x[BLOCK], level[BLOCK]; /* values in the array's units; levels, unrounded */
    bool inside[BLOCK];            /* carries a symbol; false: copied from the last plane */
    double mean;                   /* main-grid steps, whole */
    int exponent;                  /* largest |level - 16 mean| <= 2^exponent */
    double deviation;              /* that largest */
} tile;

static void load_tile(const swg__chunk *chunk, const swg__tiling *t, int64_t index, tile *out) {
    const swg__grid *grid = &chunk->grid;
    const double inverse = 1 / swg__grid_step(grid, 4), reach = grid->reach * 16;
    int64_t extent[3], at = place(chunk, t, index, extent), n = 0;
    double sum = 0;
    int64_t good = 0;
    for (int64_t z = 0; z < t->n; z++)
        for (int64_t y = 0; y < t->n; y++)
            for (int64_t x = 0; x < t->n; x++, n++) {
                int64_t zz = z < extent[0] ? z : extent[0] - 1, yy = y < extent[1] ? y : extent[1] - 1, xx = x < extent[2] ? x : extent[2] - 1;
                out->x[n] = swg__load_value(grid->type, chunk->values, at + (zz * chunk->extent[2] + yy) * chunk->extent[3] + xx);
                out->level[n] = (out->x[n] - grid->base) * inverse;
                out->inside[n] = zz == z && yy == y && xx == x;
                bool reached = fabs(out->level[n]) <= reach;
                out->level[n] = reached ? out->level[n] : NAN;
                if (reached) {
                    sum += out->level[n];
                    good++;
                }
            }
    out->mean = good ? rint(sum / (double)good / 16) : 0;
    out->deviation = 0;
    for (int64_t i = 0; i < n; i++) {
        out->level[i] = isnan(out->level[i]) ? 16 * out->mean : out->level[i];
        double size = fabs(out->level[i] - 16 * out->mean);
        out->deviation = size > out->deviation ? size : out->deviation;
    }
    out->exponent = 0;
    while (out->exponent < EXPONENTS && out->deviation > ldexp(1, out->exponent))
        out->exponent++;
}

void swg__tiles_normalise(const swg__chunk *chunk, const swg__tiling *tiling, const swg__tile_set *set) {
    const int64_t values = (int64_t)tiling->n * tiling->n * tiling->n;
    tile t;
    for (int64_t i = 0; i < set->count; i++) {
        load_tile(chunk, tiling, set->first + i * set->step, &t);
        double scale = ldexp(1, -t.exponent);
        for (int64_t j = 0; j < values; j++)
            set->blocks[i * values + j] = (float)((t.level[j] - 16 * t.mean) * scale);
    }
}

/* What is decided for a tile. */
typedef struct choice {
    int64_t mean;
    int count, exponent, bucket; /* count of latents: 0 or all */
    uint32_t cost;               /* of residuals and latents, 1/256 bit */
} choice;

/* Residuals k of a tile against predictions; the best bucket and its cost. */
static uint32_t price(const tile *t, const double *prediction, int64_t values, double *k, int *bucket) {
    uint32_t histogram[SWG__HISTOGRAM(1)] = {0};
    uint64_t cost;
    for (int64_t i = 0; i < values; i++)
        k[i] = rint((t->level[i] - prediction[i]) * 0.0625);
    for (int64_t i = 0; i < values; i++)
        if (t->inside[i])
            swg__histogram_add(histogram, 1, 0, (int64_t)k[i], 1);
    *bucket = swg__bucket_best(histogram, 1, SWG__WIDE_BUCKETS - 1, &cost);
    return cost > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)cost;
}

/* Predictions from the network's outputs: 16 mean + ((o 2^E + 128) >> 8), within the limit of levels. The decoder's rule. */
static inline int64_t predicted(int64_t mean, int exponent, int32_t o) {
    int64_t p = 16 * mean + ((o * ((int64_t)1 << exponent) + 128) >> 8);
    return p > SWG__LEVEL_LIMIT ? SWG__LEVEL_LIMIT : p < -SWG__LEVEL_LIMIT ? -SWG__LEVEL_LIMIT : p;
}

/* Scratch for running tiles through the network. */
typedef struct runner {
    const swg__chunk *chunk;
    const swg__swae *model;
    swg__tiling tiling;
    int64_t values;
    int8_t *codes;    /* (SWG__NET_ROWS, latents) */
    int32_t *o;       /* (SWG__NET_ROWS, values) */
    void *scratch;
    tile *tile;
    double *k[2], *prediction;
} runner;

static swg_status runner_open(runner *r, const swg__chunk *chunk, const swg__swae *model) {
    *r = (runner){.chunk = chunk, .model = model};
    swg__tiling_make(chunk, model->net.edge, &r->tiling);
    r->values = (int64_t)r->tiling.n * r->tiling.n * r->tiling.n;
    r->codes = swg__alloc(chunk->ctx, (size_t)SWG__NET_ROWS * (size_t)model->net.latents);
    r->o = swg__alloc(chunk->ctx, SWG__NET_ROWS * (size_t)r->values * sizeof *r->o);
    r->scratch = swg__alloc(chunk->ctx, SWG__NET_SCRATCH);
    r->tile = swg__alloc(chunk->ctx, sizeof *r->tile);
    r->prediction = swg__alloc(chunk->ctx, 3 * BLOCK * sizeof *r->prediction);
    if (!r->codes || !r->o || !r->scratch || !r->tile || !r->prediction)
        return swg__fail_memory(chunk->ctx, SWG__NET_SCRATCH, "the network");
    r->k[0] = r->prediction + BLOCK;
    r->k[1] = r->k[0] + BLOCK;
    return SWG_OK;
}

static void runner_close(runner *r) {
    swg__free(r->chunk->ctx, r->prediction);
    swg__free(r->chunk->ctx, r->tile);
    swg__free(r->chunk->ctx, r->scratch);
    swg__free(r->chunk->ctx, r->o);
    swg__free(r->chunk->ctx, r->codes);
}

/* Loads a tile and chooses between mean only and network. codes, o: of this tile. On return r->prediction and the k returned are
 * those of the choice. */
static double *choose(runner *r, int64_t index, const int8_t *codes, const int32_t *o, choice *out) {
    const swg__net *net = &r->model->net;
    tile *t = r->tile;
    load_tile(r->chunk, &r->tiling, index, t);
    *out = (choice){.mean = (int64_t)t->mean};
    for (int64_t i = 0; i < r->values; i++)
        r->prediction[i] = 16 * t->mean;
    out->cost = price(t, r->prediction, r->values, r->k[0], &out->bucket);
    int exponent = t->exponent + r->model->exponent_offset, bucket;
    if (t->deviation <= 8 || exponent > EXPONENTS)
        return r->k[0];
    uint32_t latents = 0;
    for (int j = 0; j < net->latents; j++)
        latents += swg__residual_cost(net->bucket[j], 0, codes[j]);
    if (latents >= out->cost)
        return r->k[0];
    for (int64_t i = 0; i < r->values; i++)
        r->prediction[i] = (double)predicted(out->mean, exponent, o[i]);
    uint32_t cost = price(t, r->prediction, r->values, r->k[1], &bucket) + latents;
    if (cost < out->cost) {
        *out = (choice){out->mean, net->latents, exponent, bucket, cost};
        return r->k[1];
    }
    for (int64_t i = 0; i < r->values; i++)
        r->prediction[i] = 16 * t->mean;
    return r->k[0];
}

swg_status swg__tiles_estimate(const swg__chunk *chunk, const swg__swae *model, const swg__tile_set *set, int64_t *bytes) {
    runner r;
    swg_status status = runner_open(&r, chunk, model);
    double cost = 0;
    for (int64_t i = 0; i < set->count && status == SWG_OK; i += SWG__NET_ROWS) {
        int64_t rows = set->count - i < SWG__NET_ROWS ? set->count - i : SWG__NET_ROWS;
        swg__swae_codes(model, rows, set->latents + i * model->net.latents, r.codes);
        swg__net_run(&model->net, chunk->kernels, r.codes, rows, r.scratch, r.o);
        for (int64_t j = 0; j < rows; j++) {
            choice c;
            (void)choose(&r, set->first + (i + j) * set->step, r.codes + j * model->net.latents, r.o + j * r.values, &c);
            cost += c.cost + 256 * 14; /* mean, count, exponent, bucket: about 14 bits */
        }
    }
    *bytes = (int64_t)(cost / 2048 * (double)r.tiling.count / (double)(set->count ? set->count : 1)) + 100;
    runner_close(&r);
    return status;
}

/* Accepts or replaces the residuals of a tile; k is changed to what is coded. Outliers code 0. */
static void verify_tile(runner *r, int64_t index, double *k, swg__outliers *outliers, double *worst) {
    const swg__grid *grid = &r->chunk->grid;
    const tile *t = r->tile;
    int64_t extent[3], at = place(r->chunk, &r->tiling, index, extent);
    const int n = r->tiling.n;
    for (int64_t i = 0; i < r->values; i++) {
        if (!t->inside[i]) {
            k[i] = 0;
            continue;
        }
        bool usable, good = fabs(k[i]) < 0x1p30;
        double error = 0;
        int64_t p = (int64_t)r->prediction[i], u = good ? p + 16 * (int64_t)k[i] : p;
        double value = swg__typed_value(grid, 4, u, &usable);
        error = fabs(value - t->x[i]);
        if (!(good && usable && error < grid->eb)) { /* the common case needs no search */
            good = good && swg__level_find(grid, 4, 16, t->x[i], &u, &error);
            k[i] = good ? (double)((u - p) / 16) : 0;
        }
        if (good && (u > SWG__LEVEL_LIMIT || u < -SWG__LEVEL_LIMIT)) {
            good = false;
            k[i] = 0;
        }
        if (good) {
            *worst = error > *worst ? error : *worst;
        } else {
            int64_t x = i % n, y = i / n % n, z = i / (n * n);
            swg__outlier_add(outliers, at + (z * r->chunk->extent[2] + y) * r->chunk->extent[3] + x);
        }
    }
}

/* Bucket for a sequence of small numbers. */
static uint8_t bucket_of(const int64_t *v, int64_t count, int64_t step) {
    uint32_t histogram[SWG__HISTOGRAM(1)] = {0};
    for (int64_t i = 0; i < count; i++)
        swg__histogram_add(histogram, 1, 0, v[i * step], 1);
    return (uint8_t)swg__bucket_best(histogram, 1, SWG__WIDE_BUCKETS - 1, NULL);
}

/* Side symbols and latents of all tiles, block after block. */
static swg_status write_latents(const swg__chunk *chunk, const swg__net *net, const swg__tiling *tiling, const choice *tiles,
                                const int8_t *codes, swg__symbols *symbols, swg__draft *draft) {
    int64_t *side = swg__alloc(chunk->ctx, (size_t)tiling->count * SIDE * sizeof *side), before[SIDE] = {0};
    if (!side)
        return swg__fail_memory(chunk->ctx, (size_t)tiling->count * SIDE * sizeof *side, "tiles");
    for (int64_t i = 0; i < tiling->count; i++) {
        int64_t now[SIDE] = {tiles[i].mean, tiles[i].count, tiles[i].count ? tiles[i].exponent : before[2], tiles[i].bucket};
        for (int s = 0; s < SIDE; s++) {
            side[i * SIDE + s] = now[s] - before[s];
            before[s] = now[s];
        }
    }
    swg__text *param = &draft->stream[SWG__PARAM];
    uint8_t bucket[SIDE];
    swg__put32(param, (uint32_t)tiling->count);
    for (int s = 0; s < SIDE; s++) {
        bucket[s] = bucket_of(side + s, tiling->count, SIDE);
        swg__put8(param, bucket[s]);
    }
    for (int64_t i = 0; i < tiling->count; i++) {
        for (int s = 0; s < SIDE; s++)
            swg__residual_put(symbols, bucket[s], 0, side[i * SIDE + s]);
        for (int j = 0; j < tiles[i].count; j++)
            swg__residual_put(symbols, net->bucket[j], 0, codes[i * net->latents + j]);
    }
    swg__bits_finish(&symbols->bits);
    swg__free(chunk->ctx, side);
    return param->failed || symbols->raw.failed ? swg__fail_memory(chunk->ctx, symbols->raw.length, "latents") : SWG_OK;
}

/* Tiles that have a value at position (z, y, x) of the block, in order; returns their number. */
static int64_t tiles_at(const uint8_t *extents, int64_t count, int64_t z, int64_t y, int64_t x, uint32_t *list) {
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++) {
        list[n] = (uint32_t)i;
        n += (extents[3 * i] > z) & (extents[3 * i + 1] > y) & (extents[3 * i + 2] > x);
    }
    return n;
}

static swg_status finish_streams(const swg__chunk *chunk, swg__symbols *residuals, swg__symbols *latents, swg__draft *draft) {
    swg__bits_finish(&residuals->bits);
    int64_t bytes = swg__rans_estimate(residuals->code, residuals->count) + swg__rans_estimate(latents->code, latents->count) +
                    (int64_t)(residuals->raw.length + latents->raw.length);
    draft->head.lanes_log2 = (uint8_t)swg__lanes_for(bytes / 2); /* two streams, two sets of states */
    SWG__TRY(swg__rans_encode(residuals->code, residuals->count, draft->head.lanes_log2, chunk->ctx, &draft->stream[SWG__RANS]));
    SWG__TRY(swg__rans_encode(latents->code, latents->count, draft->head.lanes_log2, chunk->ctx, &draft->stream[SWG__LATENT]));
    if (residuals->raw.length)
        swg__put(&draft->stream[SWG__RAW], residuals->raw.data, residuals->raw.length);
    if (latents->raw.length)
        swg__put(&draft->stream[SWG__LRAW], latents->raw.data, latents->raw.length);
    for (int k = 1; k < SWG__STREAM_KINDS; k++)
        if (draft->stream[k].failed || residuals->raw.failed)
            return swg__fail_memory(chunk->ctx, draft->stream[k].length, "a chunk");
    return SWG_OK;
}

swg_status swg__tiles_encode(const swg__chunk *chunk, const swg__swae *model, const swg__tile_set *set, swg__draft *draft) {
    const swg__net *net = &model->net;
    runner r;
    swg_status status = runner_open(&r, chunk, model);
    const int64_t count = r.tiling.count, values = r.values;
    swg__symbols residuals = {0}, latents = {0};
    swg__outliers outliers = {.ctx = chunk->ctx};
    choice *tiles = swg__alloc(chunk->ctx, (size_t)count * sizeof *tiles);
    int8_t *codes = swg__alloc(chunk->ctx, (size_t)count * (size_t)net->latents);
    int32_t *k = swg__alloc(chunk->ctx, (size_t)count * (size_t)values * sizeof *k); /* position-major */
    uint8_t *extents = swg__alloc(chunk->ctx, 3 * (size_t)count);
    uint32_t *list = swg__alloc(chunk->ctx, ((size_t)count + 1) * sizeof *list);
    if (status == SWG_OK && !(tiles && codes && k && extents && list))
        status = swg__fail_memory(chunk->ctx, (size_t)count * (size_t)values * sizeof *k, "tiles");
    if (status == SWG_OK)
        status = swg__symbols_open(&residuals, chunk->ctx, chunk->count);
    if (status == SWG_OK)
        status = swg__symbols_open(&latents, chunk->ctx, count * (SIDE + net->latents));
    double worst = 0;
    for (int64_t i = 0; i < count && status == SWG_OK; i += SWG__NET_ROWS) {
        int64_t rows = count - i < SWG__NET_ROWS ? count - i : SWG__NET_ROWS;
        swg__swae_codes(model, rows, set->latents + i * net->latents, codes + i * net->latents);
        swg__net_run(net, chunk->kernels, codes + i * net->latents, rows, r.scratch, r.o);
        for (int64_t j = i; j < i + rows; j++) {
            double *chosen = choose(&r, j, codes + j * net->latents, r.o + (j - i) * values, &tiles[j]);
            int64_t extent[3];
            (void)place(chunk, &r.tiling, j, extent);
            for (int a = 0; a < 3; a++)
                extents[3 * j + a] = (uint8_t)extent[a];
            verify_tile(&r, j, chosen, &outliers, &worst);
            for (int64_t v = 0; v < values; v++)
                k[v * count + j] = (int32_t)chosen[v];
        }
    }
    if (status == SWG_OK)
        status = write_latents(chunk, net, &r.tiling, tiles, codes, &latents, draft);
    const int64_t n = r.tiling.n;
    for (int64_t v = 0; v < values && status == SWG_OK; v++) {
        int64_t there = tiles_at(extents, count, v / (n * n), v / n % n, v % n, list);
        for (int64_t i = 0; i < there; i++)
            swg__residual_put(&residuals, tiles[list[i]].bucket, 0, k[v * count + list[i]]);
    }
    if (status == SWG_OK)
        status = finish_streams(chunk, &residuals, &latents, draft);
    draft->head.mode = SWG__MODE_B;
    draft->head.submode = 2;
    draft->head.sub_shift = 4;
    draft->head.max_ratio = swg__ratio_up(worst, chunk->grid.eb);
    if (status == SWG_OK)
        status = swg__outliers_write(&outliers, chunk, draft);
    swg__outliers_free(&outliers);
    swg__symbols_close(&latents);
    swg__symbols_close(&residuals);
    swg__free(chunk->ctx, list);
    swg__free(chunk->ctx, extents);
    swg__free(chunk->ctx, k);
    swg__free(chunk->ctx, codes);
    swg__free(chunk->ctx, tiles);
    runner_close(&r);
    return status;
}

/* ---- decoder ---- */

typedef struct decoder {
    const swg__chunk *chunk;
    const swg__net *net;
    swg__tiling tiling;
    int64_t values;
    int64_t *mean, *base;        /* of each tile; base: its first value in the chunk */
    uint8_t *bucket, *exponent, *extents;
    bool *networked;
    int8_t *codes;               /* (count, latents) */
    int32_t *o;                  /* position-major: (values, count) */
} decoder;

static const char *read_latents(decoder *d, const swg__record *record) {
    const swg__span param = record->stream[SWG__PARAM], *stream = record->stream;
    const int64_t count = d->tiling.count;
    if (param.bytes != 8 || swg__load32(param.data) != (uint64_t)count)
        return "number of tiles is impossible";
    swg__rans in;
    const char *why = swg__rans_open(&in, record->head.lanes_log2, stream[SWG__LATENT].data, stream[SWG__LATENT].bytes,
                                     stream[SWG__LRAW].data, stream[SWG__LRAW].bytes);
    for (int s = 0; s < SIDE && !why; s++)
        why = param.data[4 + s] > 127 ? "bucket above 127" : NULL;
    if (why)
        return why;
    int64_t now[SIDE] = {0}, e[SWG__NET_LATENTS];
    for (int64_t i = 0; i < count; i++) {
        d->chunk->kernels->residuals(&in, param.data + 4, NULL, SIDE, e);
        for (int s = 0; s < SIDE; s++)
            now[s] += e[s];
        if (now[0] > SWG__LEVEL_LIMIT / 16 || now[0] < -SWG__LEVEL_LIMIT / 16 || now[1] < 0 || now[1] > d->net->latents || now[2] < 0 ||
            now[2] > EXPONENTS || now[3] < 0 || now[3] > 127)
            return "mean, latents, exponent or bucket of a tile is impossible";
        int8_t *code = d->codes + i * d->net->latents;
        d->chunk->kernels->residuals(&in, d->net->bucket, NULL, now[1], e);
        for (int j = 0; j < d->net->latents; j++) {
            int64_t c = j < now[1] ? e[j] : 0;
            if (c < -128 || c > 127)
                return "latent is not an int8";
            code[j] = (int8_t)c;
        }
        d->mean[i] = now[0];
        d->networked[i] = now[1] > 0;
        d->exponent[i] = (uint8_t)now[2];
        d->bucket[i] = (uint8_t)now[3];
    }
    return swg__rans_finish(&in);
}

/* Runs the network on the tiles that have latents; all others predict their mean. */
static const char *predict_tiles(decoder *d) {
    swg_context *ctx = d->chunk->ctx;
    const int64_t count = d->tiling.count, latents = d->net->latents;
    void *scratch = swg__alloc(ctx, SWG__NET_SCRATCH);
    int32_t *o = swg__alloc(ctx, SWG__NET_ROWS * (size_t)d->values * sizeof *o);
    int8_t *codes = swg__alloc(ctx, (size_t)(SWG__NET_ROWS * latents));
    const char *why = scratch && o && codes ? NULL : swg__why_memory;
    memset(d->o, 0, (size_t)(count * d->values) * sizeof *d->o);
    for (int64_t i = 0; i < count && !why;) {
        int64_t which[SWG__NET_ROWS], rows = 0;
        for (; i < count && rows < SWG__NET_ROWS; i++)
            if (d->networked[i]) {
                memcpy(codes + rows * latents, d->codes + i * latents, (size_t)latents);
                which[rows++] = i;
            }
        if (rows)
            swg__net_run(d->net, d->chunk->kernels, codes, rows, scratch, o);
        for (int64_t v = 0; v < d->values; v++)
            for (int64_t r = 0; r < rows; r++)
                d->o[v * count + which[r]] = o[r * d->values + v];
    }
    swg__free(ctx, codes);
    swg__free(ctx, o);
    swg__free(ctx, scratch);
    return why;
}

/* Residuals position by position, levels to their places. */
static const char *read_residuals(decoder *d, const swg__record *record, int64_t *u) {
    swg_context *ctx = d->chunk->ctx;
    const int64_t count = d->tiling.count, n = d->tiling.n;
    const swg__span *stream = record->stream;
    swg__rans in;
    const char *why = swg__rans_open(&in, record->head.lanes_log2, stream[SWG__RANS].data, stream[SWG__RANS].bytes,
                                     stream[SWG__RAW].data, stream[SWG__RAW].bytes);
    if (why)
        return why;
    uint32_t *list = swg__alloc(ctx, ((size_t)count + 1) * sizeof *list);
    uint8_t *bucket = swg__alloc(ctx, (size_t)count);
    int64_t *e = swg__alloc(ctx, (size_t)count * sizeof *e);
    why = list && bucket && e ? NULL : swg__why_memory;
    for (int64_t v = 0; v < d->values && !why; v++) {
        int64_t z = v / (n * n), y = v / n % n, x = v % n, offset = (z * d->chunk->extent[2] + y) * d->chunk->extent[3] + x;
        int64_t there = tiles_at(d->extents, count, z, y, x, list);
        const int32_t *o = d->o + v * count;
        for (int64_t i = 0; i < there; i++)
            bucket[i] = d->bucket[list[i]];
        d->chunk->kernels->residuals(&in, bucket, NULL, there, e);
        for (int64_t i = 0; i < there; i++) {
            uint32_t t = list[i];
            u[d->base[t] + offset] = predicted(d->mean[t], d->networked[t] ? d->exponent[t] : 0, o[t]) + 16 * e[i];
        }
    }
    swg__free(ctx, e);
    swg__free(ctx, bucket);
    swg__free(ctx, list);
    return why ? why : swg__rans_finish(&in);
}

const char *swg__tiles_decode(const swg__chunk *chunk, const swg__net *net, const swg__record *record) {
    decoder d = {.chunk = chunk, .net = net, .values = (int64_t)net->edge * net->edge * net->edge};
    if (!record->stream[SWG__PARAM].data || !record->stream[SWG__RANS].data || !record->stream[SWG__LATENT].data)
        return "streams of mode B are missing";
    if (!swg__is_float(chunk->grid.type) || chunk->grid.step == 0 || record->head.sub_shift != 4)
        return "mode B needs a float grid with sub-grid bits";
    swg__tiling_make(chunk, net->edge, &d.tiling);
    if (!swg__tiling_allowed(&d.tiling, chunk->count))
        return "tiles are mostly empty";
    const size_t count = (size_t)d.tiling.count;
    swg_context *ctx = chunk->ctx;
    d.mean = swg__alloc(ctx, 2 * count * sizeof *d.mean);
    d.bucket = swg__alloc(ctx, 5 * count);
    d.networked = swg__alloc(ctx, count * sizeof *d.networked);
    d.codes = swg__alloc(ctx, count * (size_t)net->latents);
    d.o = swg__alloc(ctx, count * (size_t)d.values * sizeof *d.o);
    int64_t *u = swg__alloc(ctx, (size_t)chunk->count * sizeof *u);
    const char *why = d.mean && d.bucket && d.networked && d.codes && d.o && u ? NULL : swg__why_memory;
    if (!why) {
        d.base = d.mean + count;
        d.exponent = d.bucket + count;
        d.extents = d.bucket + 2 * count;
        for (size_t i = 0; i < count; i++) {
            int64_t extent[3];
            d.base[i] = place(chunk, &d.tiling, (int64_t)i, extent);
            for (int a = 0; a < 3; a++)
                d.extents[3 * i + (size_t)a] = (uint8_t)extent[a];
        }
        why = read_latents(&d, record);
    }
    if (!why)
        why = predict_tiles(&d);
    if (!why)
        why = read_residuals(&d, record, u);
    if (!why)
        why = swg__levels_store(chunk, 4, u, 0, chunk->count);
    swg__free(ctx, u);
    swg__free(ctx, d.o);
    swg__free(ctx, d.codes);
    swg__free(ctx, d.networked);
    swg__free(ctx, d.bucket);
    swg__free(ctx, d.mean);
    return why;
}
