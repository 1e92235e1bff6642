/* poly_encode.c - mode P: cuts a chunk into patches, finds what mirrors what, lays down the streams.
 * In: dense values. Out: PARAM, RANS, RAW and OUTLIERS of a record (docs/format.md, "Mode P").
 * SPDX-License-Identifier: Apache-2.0 */
#include "poly_leaf.h"

enum { SAMPLE_EVERY = 8, LEAST_VALUES = 64 };
#define NEARLY 2  /* bounds that mirror images may differ by and still be of use */
#define CLEAR 1.2 /* estimates of a patch this far apart are believed */

/* ---- the coder's memory ---- */

static void coder_close(swg__poly_coder *c) {
    swg_context *ctx = c->chunk->ctx;
    swg__free(ctx, c->script.e);
    swg__free(ctx, c->script.code);
    swg__outliers_free(&c->outliers);
    swg__free(ctx, c->canvas);
    swg__free(ctx, c->value);
    swg__free(ctx, c->near);
    swg__free(ctx, c->scales);
    swg__free(ctx, c->orders);
}

static swg_status coder_open(swg__poly_coder *c, const swg__chunk *chunk, const swg__poly_law *law, uint32_t without) {
    enum { BOXES = 8 + SWG__POLY_DEPTH, COUNTS = 3 };
    swg_context *ctx = chunk->ctx;
    *c = (swg__poly_coder){.chunk = chunk, .outliers = {.ctx = ctx}, .brief = without & SWG__WITHOUT_TRIALS, .spread = 1, .rate = 1};
    c->canvas = swg__alloc(ctx, (size_t)chunk->count * sizeof *c->canvas);
    c->value = swg__alloc(ctx, (size_t)BOXES * SWG__POLY_BOX * sizeof *c->value);
    c->near = swg__alloc(ctx, (size_t)COUNTS * SWG__POLY_BOX * sizeof *c->near);
    c->scales = swg__alloc(ctx, sizeof *c->scales);
    c->orders = swg__calloc(ctx, 1, sizeof *c->orders);
    if (!c->canvas || !c->value || !c->near || !c->scales || !c->orders) {
        coder_close(c);
        return swg__fail_memory(ctx, (size_t)chunk->count * sizeof *c->canvas, "levels");
    }
    swg__poly_scales_make(law, c->scales);
    double **boxes[] = {&c->level, &c->x, &c->c, &c->p, &c->best, &c->work, &c->typed, &c->spare};
    for (size_t i = 0; i < sizeof boxes / sizeof boxes[0]; i++)
        *boxes[i] = c->value + (i + 1) * SWG__POLY_BOX;
    c->q = (int32_t *)(void *)(c->near + SWG__POLY_BOX);
    c->best_q = c->q + SWG__POLY_BOX;
    return SWG_OK;
}

/* ---- patches ---- */

void swg__poly_load(swg__poly_coder *coder, int64_t first, const int64_t step[2], const int n[3], const int at[3], const int whole[3]) {
    const swg__grid *grid = &coder->chunk->grid;
    const double inverse = 1 / swg__grid_step(grid, 4), reach = grid->reach * 16;
    for (int z = 0; z < n[0]; z++)
        for (int y = 0; y < n[1]; y++) {
            const int64_t from = first + z * step[0] + y * step[1];
            const int to = ((z + at[0]) * whole[1] + y + at[1]) * whole[2] + at[2];
            double *value = coder->value + to, *level = coder->level + to;
            if (grid->type == SWG_ELEMENT_F32)
                for (int x = 0; x < n[2]; x++)
                    value[x] = (double)((const float *)coder->chunk->values)[from + x];
            else
                memcpy(value, (const double *)coder->chunk->values + from, (size_t)n[2] * sizeof *value);
            int beyond = 0;
            for (int x = 0; x < n[2]; x++) {
                level[x] = (value[x] - grid->base) * inverse;
                beyond |= !(fabs(level[x]) <= reach);
            }
            if (beyond) /* these become outliers: a neighbour's level disturbs least */
                for (int x = 0; x < n[2]; x++)
                    if (!(fabs(level[x]) <= reach))
                        level[x] = x ? level[x - 1] : y ? level[-whole[2]] : z ? level[-whole[1] * whole[2]] : 0;
        }
}

static const int origin[3] = {0, 0, 0};

/* How the estimates of a patch with and without its reference compare: below 1 the reference helps. */
static double compare_source(swg__poly_coder *coder, const swg__poly_job *job, const swg__poly_before *before) {
    swg__poly_job alone = *job;
    swg__poly_leaf l;
    int top;
    alone.source.first = NULL;
    swg__poly_leaf_open(coder, job, job->n, origin, before, &l);
    const double referred = swg__poly_guess_leaf(&l, &top);
    swg__poly_leaf_open(coder, &alone, job->n, origin, before, &l);
    return referred / swg__poly_guess_leaf(&l, &top);
}

/* The patch with and without its reference; what is shorter stays. Returns bits. */
static double code_patch(swg__poly_coder *coder, swg__poly_job *job, int64_t back, int64_t *last_back, int flip, int *last_flip, bool ask, swg__poly_before *before) {
    swg__poly_script *s = &coder->script;
    const swg__poly_source source = job->source;
    const int64_t start = s->count, outliers = coder->outliers.count;
    const swg__poly_before entry = *before;
    const double worst = coder->worst;
    double referred = INFINITY;
    const double likely = source.first && coder->brief ? compare_source(coder, job, before) : 1;
    if (source.first && likely < CLEAR) {
        swg__poly_say(coder, SWG__POLY_SIDE + SWG__POLY_REFER, 1);
        if (back) {
            swg__poly_say(coder, SWG__POLY_SIDE + SWG__POLY_BACK, back - *last_back);
            swg__poly_say(coder, SWG__POLY_SIDE + SWG__POLY_FLIP, flip - *last_flip);
        }
        referred = swg__poly_box(coder, job, job->n, origin, 0, before) + (back ? 6 : 1);
        if (referred < 24 || likely < 1 / CLEAR) { /* nothing to gain any more */
            *last_back = back;
            *last_flip = flip;
            return referred;
        }
    }
    s->count = start;
    coder->outliers.count = outliers;
    coder->worst = worst;
    *before = entry;
    job->source.first = NULL;
    if (ask)
        swg__poly_say(coder, SWG__POLY_SIDE + SWG__POLY_REFER, 0);
    double alone = swg__poly_box(coder, job, job->n, origin, 0, before) + (ask ? 1 : 0);
    if (alone <= referred || s->failed)
        return alone;
    s->count = start; /* once more, the shorter way */
    coder->outliers.count = outliers;
    coder->worst = worst;
    *before = entry;
    job->source = source;
    swg__poly_say(coder, SWG__POLY_SIDE + SWG__POLY_REFER, 1);
    if (back) {
        swg__poly_say(coder, SWG__POLY_SIDE + SWG__POLY_BACK, back - *last_back);
        swg__poly_say(coder, SWG__POLY_SIDE + SWG__POLY_FLIP, flip - *last_flip);
        *last_back = back;
        *last_flip = flip;
    }
    return swg__poly_box(coder, job, job->n, origin, 0, before) + (back ? 6 : 1);
}

/* Loads piece `number` of a grid, in the decoder's order. Returns its slice. */
static int64_t open_piece(swg__poly_coder *coder, int64_t number, int64_t corner[3], swg__poly_job *job) {
    const int64_t *extent = coder->chunk->extent, step[2] = {extent[2] * extent[3], extent[3]};
    for (int a = 2; a >= 0; a--) {
        const int64_t pieces = swg__poly_pieces(extent[a + 1]), i = number % pieces;
        number /= pieces;
        corner[a] = swg__poly_piece_start(extent[a + 1], i);
        job->n[a] = (int)(swg__poly_piece_start(extent[a + 1], i + 1) - corner[a]);
    }
    job->at = ((number * extent[1] + corner[0]) * extent[2] + corner[1]) * extent[3] + corner[2];
    job->canvas = (swg__poly_canvas){coder->canvas + job->at, {step[0], step[1], 1}};
    job->source = (swg__poly_source){0};
    swg__poly_load(coder, job->at, step, job->n, origin, job->n);
    return number;
}

/* Piece `number`. mirror: NULL: by itself. Returns bits. */
static double code_piece(swg__poly_coder *coder, const swg__poly_mirror *mirror, int64_t number, swg__poly_before *before, int64_t *values) {
    int64_t corner[3], back = 0;
    int flip = 0;
    swg__poly_job job;
    const int64_t w = open_piece(coder, number, corner, &job);
    if (mirror)
        job.source = swg__poly_image(mirror, coder->chunk->extent, w, corner, job.n, coder->canvas);
    *values += (int64_t)job.n[0] * job.n[1] * job.n[2];
    return code_patch(coder, &job, 0, &back, 0, &flip, job.source.first != NULL, before);
}

/* Whether a brief coder may give up: the limit is far away from what these bits for so many values lead to. Mirror images come late. */
static bool hopeless(const swg__poly_coder *coder, double bits, double limit, int64_t values, bool mirrors) {
    enum { LITTLE = 2000 }; /* bytes that say nothing yet */
    const double count = (double)coder->chunk->count, done = (double)values;
    return coder->brief && 8 * done > count && bits > 8 * LITTLE && bits * count > (mirrors ? 5 : 1.2) * limit * done;
}

/* Every piece of a grid, or every `every`-th. Returns bits, more than `limit` if it gave up there. */
static double code_grid(swg__poly_coder *coder, const swg__poly_mirror *mirror, int64_t every, double limit, int64_t *values) {
    const int64_t *extent = coder->chunk->extent;
    const int64_t all = extent[0] * swg__poly_pieces(extent[1]) * swg__poly_pieces(extent[2]) * swg__poly_pieces(extent[3]);
    swg__poly_before before = {.step = SWG__POLY_FIRST_STEP};
    double bits = 0;
    *values = 0;
    for (int64_t number = 0; number < all && bits <= limit && !hopeless(coder, bits, limit, *values, mirror->flips != 0); number += every)
        bits += code_piece(coder, every == 1 ? mirror : NULL, number, &before, values);
    return hopeless(coder, bits, limit, *values, mirror->flips != 0) ? INFINITY : bits;
}

/* Shapes of the groups so far, latest first: the decoder's list. */
typedef struct shapes {
    uint8_t corner[8][8];
    int count;
} shapes;

static void say_shape(swg__poly_coder *coder, shapes *s, const uint8_t corner[8]) {
    int which = 0;
    while (which < s->count && memcmp(s->corner[which], corner, 8) != 0)
        which++;
    swg__poly_say(coder, SWG__POLY_SIDE + SWG__POLY_SHAPE, which);
    if (which == s->count) {
        for (int c = 0; c < 8; c++)
            swg__poly_say(coder, SWG__POLY_SIDE + SWG__POLY_CORNER, corner[c]);
        s->count += s->count < 8;
        which = s->count - 1;
    }
    memmove(s->corner[1], s->corner[0], (size_t)which * 8);
    memcpy(s->corner[0], corner, 8);
}

/* Octants, joined where they can be. patches, marks: room for all octants. */
static double code_octants(swg__poly_coder *coder, bool joins, bool refers, int64_t every, double limit, swg__poly_patch *patches, swg__poly_mark *marks,
                           int64_t *count, int64_t *values) {
    const swg__chunk *chunk = coder->chunk;
    const int64_t octants = chunk->extent[0], n = chunk->extent[3], volume = n * n * n, step[2] = {n * n, n};
    swg__poly_before before = {.step = SWG__POLY_FIRST_STEP};
    shapes seen = {0};
    double bits = 0;
    int64_t start = 0, last_back = 0, number = 0;
    int last_flip = 0;
    *count = *values = 0;
    for (int64_t at = 0; at < octants && bits <= limit && !hopeless(coder, bits, limit, *values, refers);) {
        swg__poly_patch *p = &patches[*count];
        *p = (swg__poly_patch){.octant = at, .start = start, .count = 1, .edge = (int)n};
        bool group = joins && octants - at >= 8 && swg__poly_join(chunk, at, (const uint8_t (*)[8])seen.corner, seen.count, p->corner);
        if (group) {
            p->count = 8;
            p->edge = (int)(2 * n - 1);
        }
        at += p->count;
        if (number++ % every)
            continue;
        if (octants - p->octant >= 8)
            swg__poly_say(coder, SWG__POLY_SIDE + SWG__POLY_GROUP, group);
        if (group)
            say_shape(coder, &seen, p->corner);
        const int m[3] = {p->edge, p->edge, p->edge}, one[3] = {(int)n, (int)n, (int)n};
        for (int c = 0; c < p->count; c++) {
            const int apart = (int)n - 1, to[3] = {(p->corner[c] >> 2) * apart, (p->corner[c] >> 1 & 1) * apart, (p->corner[c] & 1) * apart};
            swg__poly_load(coder, (p->octant + c) * volume, step, one, to, m);
        }
        swg__poly_job job = {.n = {m[0], m[1], m[2]}, .at = start, .canvas = {coder->canvas + start, {(int64_t)p->edge * p->edge, p->edge, 1}}};
        int64_t back = 0;
        int flip = 0;
        if (refers) {
            swg__poly_mark_make(coder, m, &marks[*count]);
            back = swg__poly_likeness(marks, patches, *count, &flip);
            if (back)
                job.source = swg__poly_turned(coder->canvas + patches[*count - back].start, p->edge, flip & 7, flip >> 3);
        }
        bits += code_patch(coder, &job, back, &last_back, flip, &last_flip, refers && *count > 0, &before) + (group ? 4 : 1);
        start += (int64_t)p->edge * p->edge * p->edge;
        *values += p->count * volume;
        ++*count;
    }
    return hopeless(coder, bits, limit, *values, refers) ? INFINITY : bits;
}

void swg__poly_find_mirror(const swg__chunk *chunk, swg__poly_mirror *mirror) {
    enum { POINTS = 256, OFF = 3 };
    const int64_t *extent = chunk->extent;
    double best = 0.1; /* of the variance; patches decide one by one */
    *mirror = (swg__poly_mirror){0};
    for (int trial = 1; trial < 8 * OFF * OFF * OFF; trial++) {
        int flips = trial & 7, off[3] = {trial / 8 % OFF, trial / 8 / OFF % OFF, trial / 8 / OFF / OFF};
        swg__poly_mirror m = {.flips = flips};
        bool sensible = flips != 0;
        for (int a = 0; a < 3; a++) {
            bool flip = flips >> (2 - a) & 1;
            m.centre[a] = flip ? extent[a + 1] + off[a] - 2 : 0;
            sensible = sensible && (flip ? extent[a + 1] >= 2 * SWG__POLY_PIECE : off[a] == 0);
        }
        double same = 0, opposite = 0, sum = 0, squares = 0;
        int points = 0;
        uint32_t state = 1;
        for (int i = 0; i < POINTS && sensible; i++) {
            int64_t at = 0, image = 0;
            bool inside = true;
            for (int a = 0; a < 4; a++) {
                state = state * 1664525u + 1013904223u;
                int64_t x = (int64_t)((uint64_t)(state >> 8) * (uint64_t)extent[a] >> 24);
                int64_t y = a && flips >> (3 - a) & 1 ? m.centre[a - 1] - x : x;
                inside = inside && y >= 0 && y < extent[a];
                at = at * extent[a] + x;
                image = image * extent[a] + y;
            }
            if (!inside)
                continue;
            double u = swg__load_value(chunk->grid.type, chunk->values, at), v = swg__load_value(chunk->grid.type, chunk->values, image);
            if (!isfinite(u) || !isfinite(v))
                continue;
            same += (u - v) * (u - v);
            opposite += (u + v) * (u + v);
            sum += u;
            squares += u * u;
            if (++points == POINTS / 8 && fmin(same, opposite) > 0.5 * (squares - sum * sum / points)) /* far from it */
                sensible = false;
        }
        double variance = points ? squares - sum * sum / points : 0;
        m.negative = opposite < same;
        double share = (m.negative ? opposite : same) / variance;
        if (points >= POINTS / 2 && variance > 0 && share < best) {
            best = share;
            m.gap = sqrt((m.negative ? opposite : same) / points);
            *mirror = m;
        }
    }
}

/* ---- streams ---- */

/* The code of each side symbol that makes this chunk's shortest. */
static swg_status choose_codes(swg_context *ctx, const swg__poly_script *s, uint8_t code[SWG__POLY_SYMBOLS]) {
    double magnitude[SWG__POLY_SYMBOLS] = {0};
    int64_t seen[SWG__POLY_SYMBOLS] = {0}, first[SWG__POLY_SYMBOLS + 1] = {0}, at[SWG__POLY_SYMBOLS];
    for (int64_t i = 0; i < s->count; i++)
        if (s->code[i] >= SWG__POLY_SIDE) {
            magnitude[s->code[i] - SWG__POLY_SIDE] += fabs((double)s->e[i]);
            seen[s->code[i] - SWG__POLY_SIDE]++;
        }
    for (int k = 0; k < SWG__POLY_SYMBOLS; k++) {
        at[k] = first[k];
        first[k + 1] = first[k] + seen[k];
    }
    int64_t *e = swg__alloc(ctx, ((size_t)first[SWG__POLY_SYMBOLS] + 1) * sizeof *e); /* sorted by symbol */
    if (!e)
        return swg__fail_memory(ctx, (size_t)first[SWG__POLY_SYMBOLS] * sizeof *e, "side symbols");
    for (int64_t i = 0; i < s->count; i++)
        if (s->code[i] >= SWG__POLY_SIDE)
            e[at[s->code[i] - SWG__POLY_SIDE]++] = s->e[i];
    for (int k = 0; k < SWG__POLY_SYMBOLS; k++) {
        double best = INFINITY;
        code[k] = 0;
        if (!seen[k])
            continue;
        for (int t = 0; t < 252 && k < SWG__POLY_FLAGS; t++) {
            double bits = ((double)seen[k] - magnitude[k]) * swg__cost[t][15] + magnitude[k] * swg__cost[t][16];
            if (bits < best) {
                best = bits;
                code[k] = (uint8_t)t;
            }
        }
        int centre = swg__bucket_for(magnitude[k] / (double)seen[k], SWG__WIDE_BUCKETS - 1);
        for (int b = centre < 6 ? 0 : centre - 6; b <= centre + 4 && b < SWG__WIDE_BUCKETS && k >= SWG__POLY_FLAGS; b++) {
            double bits = 0;
            for (int64_t i = first[k]; i < first[k + 1]; i++)
                bits += swg__residual_cost(b, 0, e[i]);
            if (bits < best) {
                best = bits;
                code[k] = (uint8_t)b;
            }
        }
    }
    swg__free(ctx, e);
    return SWG_OK;
}

static swg_status lay_down(swg__poly_coder *coder, int flags, const swg__poly_mirror *mirror, swg__draft *draft) {
    const swg__poly_script *s = &coder->script;
    swg_context *ctx = coder->chunk->ctx;
    swg__text *param = &draft->stream[SWG__PARAM];
    uint8_t code[SWG__POLY_SYMBOLS];
    swg__symbols symbols;
    SWG__TRY(choose_codes(ctx, s, code));
    swg__put8(param, (unsigned)flags);
    swg__put(param, code, sizeof code);
    if (flags == SWG__POLY_MIRROR) {
        swg__put8(param, (unsigned)(mirror->flips | mirror->negative << 3));
        for (int a = 0; a < 3; a++)
            swg__put32(param, (uint32_t)mirror->centre[a]);
    }
    swg_status status = swg__symbols_open(&symbols, ctx, s->count);
    for (int64_t i = 0; i < s->count && status == SWG_OK; i++) {
        int side = s->code[i] - SWG__POLY_SIDE;
        if (side < 0)
            swg__residual_put(&symbols, s->code[i], 0, s->e[i]);
        else if (side < SWG__POLY_FLAGS)
            swg__residual_put(&symbols, code[side] / 9, code[side] % 9, s->e[i]);
        else
            swg__residual_put(&symbols, code[side], 0, s->e[i]);
    }
    if (status == SWG_OK) {
        swg__bits_finish(&symbols.bits);
        status = swg__symbols_write(coder->chunk, &symbols, 0, draft);
    }
    swg__symbols_close(&symbols);
    return status;
}

/* Outliers from the canvas to all places of the chunk that share the node. */
static swg_status place_outliers(swg__poly_coder *coder, const swg__poly_patch *patches, int64_t count, swg__draft *draft) {
    swg__outliers places = {.ctx = coder->chunk->ctx};
    const int64_t n = coder->chunk->extent[3];
    if (!patches || !coder->outliers.count)
        return swg__outliers_write(&coder->outliers, coder->chunk, draft);
    for (int64_t i = 0; i < coder->outliers.count; i++) {
        int64_t low = 0, high = count - 1, at = coder->outliers.position[i];
        while (low < high) {
            int64_t middle = (low + high + 1) / 2;
            low = patches[middle].start <= at ? middle : low;
            high = patches[middle].start <= at ? high : middle - 1;
        }
        const swg__poly_patch *p = &patches[low];
        const int64_t e = p->edge, node = at - p->start, where[3] = {node / (e * e), node / e % e, node % e};
        for (int c = 0; c < p->count; c++) {
            int64_t local = 0;
            bool inside = true;
            for (int a = 0; a < 3; a++) {
                int64_t x = where[a] - (p->corner[c] >> (2 - a) & 1) * (n - 1);
                inside = inside && x >= 0 && x < n;
                local = local * n + x;
            }
            if (inside)
                swg__outlier_add(&places, (p->octant + c) * n * n * n + local);
        }
    }
    places.failed |= coder->outliers.failed;
    swg_status status = swg__outliers_write(&places, coder->chunk, draft);
    swg__outliers_free(&places);
    return status;
}

static bool possible(const swg__chunk *chunk) {
    return swg__is_float(chunk->grid.type) && chunk->grid.step > 0 && chunk->grid.fine && chunk->count >= LEAST_VALUES;
}

/* The whole chunk or a sample; *bits of what was coded, *values of it. */
static swg_status code_chunk(const swg__chunk *chunk, const swg__poly_law *law, uint32_t without, int64_t every, double limit, swg__poly_counts *counts,
                             swg__draft *draft, double *bits, int64_t *values) {
    const bool octants = swg__poly_octants(chunk->extent) && chunk->extent[0] > 1, refers = every == 1 && !(without & SWG_WITHOUT_MIRRORS);
    swg__poly_mirror mirror = {0};
    swg__poly_coder coder;
    swg__poly_patch *patches = NULL;
    swg__poly_mark *marks = NULL;
    int64_t count = 0;
    SWG__TRY(coder_open(&coder, chunk, law, without));
    swg_status status = SWG_OK;
    coder.counts = counts;
    coder.script.first = every == 1 && draft ? chunk->count : 0; /* corrections of all values; pages never used cost nothing */
    if (octants) {
        patches = swg__alloc(chunk->ctx, (size_t)chunk->extent[0] * sizeof *patches);
        marks = swg__alloc(chunk->ctx, (size_t)chunk->extent[0] * sizeof *marks);
        if (!patches || !marks)
            status = swg__fail_memory(chunk->ctx, (size_t)chunk->extent[0] * sizeof *marks, "octants");
    } else if (refers) {
        swg__poly_find_mirror(chunk, &mirror);
    }
    if (status == SWG_OK && octants)
        *bits = code_octants(&coder, !(without & SWG_WITHOUT_FACES), refers, every, limit, patches, marks, &count, values);
    else if (status == SWG_OK)
        *bits = code_grid(&coder, &mirror, every, limit, values);
    if (status == SWG_OK && coder.outliers.failed)
        status = swg__fail_memory(chunk->ctx, (size_t)coder.outliers.capacity * 8, "outliers");
    if (status == SWG_OK && coder.script.failed)
        status = swg__fail_memory(chunk->ctx, (size_t)coder.script.capacity * 9, "symbols");
    if (status == SWG_OK && draft && *bits <= limit) {
        draft->head.mode = SWG__MODE_P;
        draft->head.sub_shift = 4;
        draft->head.model_ref = SWG__NO_MODEL;
        draft->head.max_ratio = swg__ratio_up(coder.worst, chunk->grid.eb);
        status = lay_down(&coder, octants ? SWG__POLY_OCTANTS | (refers ? SWG__POLY_MIRROR : 0) : mirror.flips ? SWG__POLY_MIRROR : 0, &mirror, draft);
        if (status == SWG_OK)
            status = place_outliers(&coder, patches, count, draft);
    }
    swg__free(chunk->ctx, marks);
    swg__free(chunk->ctx, patches);
    coder_close(&coder);
    return status;
}

swg_status swg__poly_estimate(const swg__chunk *chunk, const swg__poly_law *law, uint32_t without, int64_t *bytes) {
    double bits = 0;
    int64_t values = 0;
    *bytes = INT64_MAX;
    if (!possible(chunk))
        return SWG_OK;
    SWG__TRY(code_chunk(chunk, law, without, chunk->count > 1 << 16 ? SAMPLE_EVERY : 2, INFINITY, NULL, NULL, &bits, &values));
    *bytes = values ? (int64_t)(bits / 8 * (double)chunk->count / (double)values) + 100 : INT64_MAX;
    return SWG_OK;
}

/* Loads octant `at`, or the first group of eight that begins there or shortly behind it. Returns values. */
static int64_t open_octants(swg__poly_coder *coder, bool joins, int64_t at, swg__poly_job *job) {
    const swg__chunk *chunk = coder->chunk;
    const int64_t octants = chunk->extent[0], n = chunk->extent[3], volume = n * n * n, step[2] = {n * n, n};
    swg__poly_patch p = {.count = 1, .edge = (int)n};
    for (int64_t i = at; joins && i < at + 8 && i + 8 <= octants && p.count == 1; i++)
        if (swg__poly_join(chunk, i, NULL, 0, p.corner)) {
            p.count = 8;
            p.edge = (int)(2 * n - 1);
            at = i;
        }
    const int m[3] = {p.edge, p.edge, p.edge}, one[3] = {(int)n, (int)n, (int)n};
    for (int c = 0; c < p.count; c++) {
        const int apart = (int)n - 1, to[3] = {(p.corner[c] >> 2) * apart, (p.corner[c] >> 1 & 1) * apart, (p.corner[c] & 1) * apart};
        swg__poly_load(coder, (at + c) * volume, step, one, to, m);
    }
    *job = (swg__poly_job){.n = {m[0], m[1], m[2]}, .canvas = {coder->canvas, {(int64_t)p.edge * p.edge, p.edge, 1}}};
    return p.count * volume;
}

/* Bits of a job as one leaf. */
static double guess(swg__poly_coder *coder, const swg__poly_job *job, const swg__poly_before *before) {
    swg__poly_leaf l;
    int top;
    swg__poly_leaf_open(coder, job, job->n, origin, before, &l);
    return swg__poly_guess_leaf(&l, &top);
}

swg_status swg__poly_guess(const swg__chunk *chunk, uint32_t without, int64_t values, swg__poly_sample *sample) {
    swg__poly_coder coder;
    if (!possible(chunk))
        return SWG_OK;
    const int64_t *extent = chunk->extent;
    const bool octants = swg__poly_octants(extent) && extent[0] > 1;
    int64_t all = extent[0];
    for (int a = 0; a < 3 && !octants; a++)
        all *= swg__poly_pieces(extent[a + 1]);
    SWG__TRY(coder_open(&coder, chunk, &swg__poly_built_in, without | SWG__WITHOUT_TRIALS));
    const swg__poly_before before = {.step = SWG__POLY_FIRST_STEP};
    while (sample->values < values && sample->pieces < all) {
        /* Multiples of the golden section spread evenly, however many there are. */
        const double place = 0.5 + 0.6180339887498949 * (double)sample->pieces++;
        const int64_t piece = (int64_t)((place - floor(place)) * (double)all);
        int64_t corner[3];
        swg__poly_job job;
        int64_t count;
        if (octants) {
            count = open_octants(&coder, !(without & SWG_WITHOUT_FACES), piece, &job);
        } else {
            (void)open_piece(&coder, piece, corner, &job);
            count = (int64_t)job.n[0] * job.n[1] * job.n[2];
        }
        const double bits = guess(&coder, &job, &before), each = bits / (double)count;
        sample->values += count;
        sample->bits += bits;
        sample->per_value += each;
        sample->squares += each * each;
    }
    coder_close(&coder);
    return SWG_OK;
}

/* Part of the octants that look like images of others before them. */
static swg_status like_others(const swg__chunk *chunk, double *share) {
    enum { EVERY = 8 };
    const int64_t octants = chunk->extent[0], n = chunk->extent[3], step[2] = {n * n, n};
    const int m[3] = {(int)n, (int)n, (int)n};
    swg__poly_coder coder;
    SWG__TRY(coder_open(&coder, chunk, &swg__poly_built_in, 0));
    swg__poly_patch *patches = swg__calloc(chunk->ctx, (size_t)octants, sizeof *patches);
    swg__poly_mark *marks = swg__alloc(chunk->ctx, (size_t)octants * sizeof *marks);
    int64_t hits = 0;
    for (int64_t i = 0; patches && marks && i < octants; i++) {
        int flip;
        patches[i].edge = (int)n;
        swg__poly_load(&coder, i * n * n * n, step, m, origin, m);
        swg__poly_mark_make(&coder, m, &marks[i]);
        hits += i % EVERY == 0 && swg__poly_likeness(marks, patches, i, &flip) > 0;
    }
    *share = (double)(EVERY * hits) / (double)octants;
    swg_status status = patches && marks ? SWG_OK : swg__fail_memory(chunk->ctx, (size_t)octants * sizeof *marks, "octants");
    swg__free(chunk->ctx, marks);
    swg__free(chunk->ctx, patches);
    coder_close(&coder);
    return status;
}

/* Part of the pieces whose images come before them. */
static double imaged(const swg__chunk *chunk, const swg__poly_mirror *mirror) {
    const int64_t *extent = chunk->extent;
    const double place = 0;
    int64_t pieces = 0, images = 0;
    for (int64_t z = 0; z < swg__poly_pieces(extent[1]); z++)
        for (int64_t y = 0; y < swg__poly_pieces(extent[2]); y++)
            for (int64_t x = 0; x < swg__poly_pieces(extent[3]); x++, pieces++) {
                const int64_t piece[3] = {z, y, x};
                int64_t corner[3];
                int n[3];
                for (int a = 0; a < 3; a++) {
                    corner[a] = swg__poly_piece_start(extent[a + 1], piece[a]);
                    n[a] = (int)(swg__poly_piece_start(extent[a + 1], piece[a] + 1) - corner[a]);
                }
                images += swg__poly_image(mirror, extent, 0, corner, n, &place).first != NULL;
            }
    return (double)images / (double)pieces;
}

swg_status swg__poly_mirrored(const swg__chunk *chunk, uint32_t without, double *share) {
    swg__poly_mirror mirror = {0};
    *share = 0;
    if (without & SWG_WITHOUT_MIRRORS || !possible(chunk))
        return SWG_OK;
    if (swg__poly_octants(chunk->extent) && chunk->extent[0] > 1)
        return like_others(chunk, share);
    swg__poly_find_mirror(chunk, &mirror);
    /* An image restored within the bound needs nothing more where the symmetry is exact; else it often misses by a little. */
    if (mirror.flips && mirror.gap < NEARLY * chunk->grid.eb)
        *share = imaged(chunk, &mirror) * (mirror.gap < 0.05 * chunk->grid.eb ? 1 : 0.5);
    return SWG_OK;
}

swg_status swg__poly_encode(const swg__chunk *chunk, const swg__poly_law *law, uint32_t without, int64_t limit, swg__draft *draft, bool *coded) {
    double bits = 0;
    int64_t values = 0;
    *coded = false;
    if (!possible(chunk))
        return SWG_OK;
    SWG__TRY(code_chunk(chunk, law, without, 1, 8 * (double)limit, NULL, draft, &bits, &values));
    *coded = bits <= 8 * (double)limit;
    return SWG_OK;
}

swg_status swg__poly_count(const swg__chunk *chunk, const swg__poly_law *law, swg__poly_counts *counts) {
    double bits;
    int64_t values;
    return possible(chunk) ? code_chunk(chunk, law, 0, 1, INFINITY, counts, NULL, &bits, &values) : SWG_OK;
}
