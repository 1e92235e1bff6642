/* estimate.c - efforts below the highest: each mode's length from a sample of the chunk, then the most promising one is coded; another
 * one only where that came out longer than the other promised.
 * In: one chunk. Out: a draft. The choice depends on the chunk alone.
 * SPDX-License-Identifier: Apache-2.0 */
#include "block.h"
#include "estimate.h"
#include "interp.h"
#include "poly.h"
#include "raw.h"
#include "stencil.h"

enum { ABOUT = 500 }; /* bytes by which estimates of nearly nothing differ */
enum { STENCIL, POLY, INTERP, PLANES, CANDIDATES };

typedef struct candidate {
    int64_t bytes;     /* estimated; INT64_MAX: out of the race */
    bool coded;        /* was tried */
} candidate;

typedef struct contest {
    const swg__chunk *chunk;
    uint32_t without;
    size_t stored;
    swg__stencil_plan *plan;
    swg__poly_sample sample;
    double saving;     /* by mirror images, which no sample tells */
    candidate candidate[CANDIDATES];
} contest;

static bool tries(const contest *c, int mode) { return !(c->without >> mode & 1); }

/* What a candidate may come to at best, by the experience with its estimates. */
static double hope(const contest *c, int which) {
    const double bytes = (double)c->candidate[which].bytes;
    return which == POLY ? 0.95 * bytes / c->saving : which == INTERP ? bytes * 0.85 : bytes;
}

/* ---- estimates ---- */

static int64_t least_of(const contest *c) {
    int64_t least = (int64_t)c->stored;
    for (int i = 0; i < CANDIDATES; i++)
        least = c->candidate[i].bytes < least ? c->candidate[i].bytes : least;
    return least;
}

/* A guess from so many values; *doubt: what part of it 1.5 times its standard error is. */
static swg_status guess_poly(contest *c, int64_t values, double *bytes, double *doubt) {
    swg__poly_sample *s = &c->sample;
    *bytes = INFINITY;
    *doubt = 0;
    if (!tries(c, SWG_MODE_POLY))
        return SWG_OK;
    SWG__TRY(swg__poly_guess(c->chunk, c->without, values, s));
    if (!s->pieces)
        return SWG_OK;
    *bytes = s->bits / 8 * (double)c->chunk->count / (double)s->values + 100;
    const double n = (double)s->pieces, mean = s->per_value / n;
    if (s->values < c->chunk->count)
        *doubt = n > 1 ? 1.5 * sqrt(fmax(s->squares / n - mean * mean, 0) / (n - 1)) / mean : 1;
    return SWG_OK;
}

/* The middle of the chunk as a chunk of its own, at most `edge` values along each axis, and slices to fill it up. */
static swg_status open_part(const swg__chunk *chunk, int64_t edge, swg__chunk *part) {
    const size_t size = (size_t)swg_element_bytes(chunk->grid.type);
    int64_t origin[4], room = edge * edge * edge;
    *part = *chunk;
    for (int a = 3; a >= 0; a--) {
        const int64_t most = a && edge < room ? edge : room;
        part->extent[a] = chunk->extent[a] < most ? chunk->extent[a] : most;
        origin[a] = (chunk->extent[a] - part->extent[a]) / 2;
        room = room / part->extent[a] > 1 ? room / part->extent[a] : 1;
    }
    part->count = part->extent[0] * part->extent[1] * part->extent[2] * part->extent[3];
    char *to = swg__alloc(chunk->ctx, (size_t)part->count * size);
    part->values = to;
    part->mask = NULL; /* substitutes are as good as values here */
    part->original = NULL;
    part->masked = 0;
    if (!to)
        return swg__fail_memory(chunk->ctx, (size_t)part->count * size, "a sample");
    for (int64_t w = 0; w < part->extent[0]; w++)
        for (int64_t z = 0; z < part->extent[1]; z++)
            for (int64_t y = 0; y < part->extent[2]; y++, to += (size_t)part->extent[3] * size) {
                const int64_t at = (((origin[0] + w) * chunk->extent[1] + origin[1] + z) * chunk->extent[2] + origin[2] + y) * chunk->extent[3] + origin[3];
                memcpy(to, (const char *)chunk->values + (size_t)at * size, (size_t)part->extent[3] * size);
            }
    return SWG_OK;
}

/* Bytes of the chunk where its part takes so many; `fixed` do not grow. */
static double scaled(const swg__chunk *chunk, const swg__chunk *part, int64_t bytes, int fixed) {
    return bytes == INT64_MAX ? INFINITY : fmax((double)(bytes - fixed), 0) * (double)chunk->count / (double)part->count + fixed;
}

/* Bytes of stencil and interpolation from the middle of the chunk alone; infinite where not tried. */
static swg_status guess_middle(const contest *c, double *stencil, double *interp) {
    enum { EDGE = 16, STENCIL_FIXED = 140, INTERP_FIXED = 300 }; /* weights and buckets */
    swg__chunk part;
    swg__stencil_plan *plan = NULL;
    int64_t w = INT64_MAX, g = INT64_MAX;
    swg_status status = open_part(c->chunk, EDGE, &part);
    if (status == SWG_OK && tries(c, SWG_MODE_STENCIL))
        status = swg__stencil_plan_open(&part, SWG__STENCIL_GLANCE, &plan, &w);
    swg__stencil_plan_close(plan);
    if (status == SWG_OK && tries(c, SWG_MODE_INTERPOLATION))
        status = swg__interp_estimate(&part, &g);
    *stencil = scaled(c->chunk, &part, w, STENCIL_FIXED);
    *interp = scaled(c->chunk, &part, g, INTERP_FIXED);
    swg__free(c->chunk->ctx, part.values);
    return status;
}

static swg_status estimate(contest *c) {
    const swg__chunk *chunk = c->chunk;
    const int64_t rows = chunk->count / chunk->extent[3];
    const double count = (double)chunk->count;
    double poly, doubt, stencil = INFINITY, interp = INFINITY;
    candidate *k = c->candidate;
    if (tries(c, SWG_MODE_PLANES))
        k[PLANES].bytes = swg__planes_estimate(chunk->grid.type, chunk->values, rows, chunk->extent[3]);
    SWG__TRY(guess_poly(c, chunk->count / 16, &poly, &doubt));
    if (chunk->count > 1 << 16)
        SWG__TRY(guess_middle(c, &stencil, &interp));
    if (tries(c, SWG_MODE_STENCIL) && (stencil == INFINITY || stencil < 2.5 * poly))
        SWG__TRY(swg__stencil_plan_open(chunk, SWG__STENCIL_SAMPLES, &c->plan, &k[STENCIL].bytes));
    const double least = c->plan ? (double)least_of(c) : fmin((double)least_of(c), stencil);
    for (int share = 8; share > 2 && poly * (1 - doubt) < least && poly * (1 + doubt) > 0.7 * least; share /= 2)
        SWG__TRY(guess_poly(c, chunk->count / share, &poly, &doubt));
    k[POLY].bytes = poly < 0x1p60 ? (int64_t)poly : INT64_MAX;
    double share = 0;
    if (k[POLY].bytes < INT64_MAX && poly > least / 3)
        SWG__TRY(swg__poly_mirrored(chunk, c->without, &share));
    c->saving = swg__poly_octants(chunk->extent) ? (share > 0.25 ? 3 : 1) : 1 / (1 - 0.95 * share);
    if (share > 0 && hope(c, POLY) > 0.9 * least) /* a promise of less is not worth the time */
        c->saving = 1;
    /* The middle has more borders than the whole, which costs the interpolation most. */
    const bool slices = chunk->extent[1] * chunk->extent[2] * chunk->extent[3] < 4096;
    const bool behind = !slices && interp > 1.35 * stencil && stencil > 0.3 * (double)k[STENCIL].bytes, far_behind = interp < INFINITY && 3 * poly < interp;
    const bool noise = k[STENCIL].bytes < INT64_MAX && least >= 0.25 * count && poly >= 1.05 * least;
    if (tries(c, SWG_MODE_INTERPOLATION) && least > 64 && (slices || !(noise || behind)) && !far_behind)
        SWG__TRY(swg__interp_estimate(chunk, &k[INTERP].bytes));
    return SWG_OK;
}

/* ---- coding ---- */

static swg_status code(contest *c, int which, int64_t limit, swg__draft *draft, bool *coded) {
    const swg__chunk *chunk = c->chunk;
    *coded = false;
    switch (which) {
    case STENCIL: return swg__stencil_plan_code(c->plan, draft, coded);
    case POLY: return swg__poly_encode(chunk, &swg__poly_built_in, c->without, limit, draft, coded);
    case INTERP: return swg__interp_encode(chunk, draft, coded);
    default: *coded = true; return swg__planes_encode(chunk->ctx, chunk->grid.type, chunk->values, chunk->count / chunk->extent[3], chunk->extent[3], draft);
    }
}

swg_status swg__compete_sampled(const swg__chunk *chunk, uint32_t without, size_t stored, swg__draft *draft, bool *any) {
    contest c = {.chunk = chunk, .without = without | SWG__WITHOUT_TRIALS, .stored = stored, .saving = 1};
    *any = false;
    for (int i = 0; i < CANDIDATES; i++)
        c.candidate[i].bytes = INT64_MAX;
    swg_status status = estimate(&c);
    int64_t best = least_of(&c) + least_of(&c) / 4;
    best = best < (int64_t)stored ? best : (int64_t)stored;
    const bool smooth = c.candidate[POLY].bytes < c.candidate[STENCIL].bytes / 4 * 3;
    if (status == SWG_OK && tries(&c, SWG_MODE_BLOCKS) && !smooth) /* has no estimate, but gives up early */
        status = swg__block_encode(chunk, NULL, best, draft, any);
    best = *any && swg__draft_bytes(draft) < stored ? (int64_t)swg__draft_bytes(draft) : (int64_t)stored;
    for (int round = 0; round < CANDIDATES && status == SWG_OK; round++) {
        int next = -1;
        for (int i = 0; i < CANDIDATES; i++)
            if (!c.candidate[i].coded && c.candidate[i].bytes < INT64_MAX && (next < 0 || hope(&c, i) < hope(&c, next)))
                next = i;
        if (next < 0 || hope(&c, next) * 1.01 >= (double)best)
            break;
        swg__draft other;
        bool coded;
        swg__draft_init(&other, chunk->ctx);
        int64_t limit = best; /* what the stencil promises is as good as done, but for an error of the estimate */
        const candidate *sure = &c.candidate[STENCIL];
        if (next == POLY && !sure->coded && sure->bytes < limit - limit / 16 - ABOUT)
            limit = sure->bytes + sure->bytes / 16 + ABOUT;
        status = code(&c, next, limit, &other, &coded);
        c.candidate[next].coded = true;
        bool better = status == SWG_OK && coded && (!*any || swg__draft_bytes(&other) < swg__draft_bytes(draft));
        swg__draft loser = better ? *draft : other;
        if (better)
            *draft = other;
        swg__draft_free(&loser);
        *any = *any || better;
        best = *any && (int64_t)swg__draft_bytes(draft) < best ? (int64_t)swg__draft_bytes(draft) : best;
    }
    swg__stencil_plan_close(c.plan);
    return status;
}
