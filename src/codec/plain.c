/* plain.c - the competition between the modes that need no network: constant, stencil, byte planes, stored.
 * In: one chunk. Out: the shortest draft; mode R0 where nothing is shorter.
 * SPDX-License-Identifier: Apache-2.0 */
#include "block.h"
#include "encode.h"
#include "estimate.h"
#include "interp.h"
#include "poly.h"
#include "raw.h"
#include "relative.h"
#include "split.h"
#include "stencil.h"

/* The first `count` values as they are, fill values and all. */
static swg_status put_values(const swg__chunk *chunk, int64_t count, swg__draft *draft) {
    int bytes = swg_element_bytes(chunk->grid.type);
    swg__text *out = &draft->stream[SWG__PARAM];
    swg__put(out, swg__original(chunk), (size_t)count * (size_t)bytes);
    if (out->failed)
        return swg__fail_memory(chunk->ctx, (size_t)count * (size_t)bytes, "a stored chunk");
    swg__copy_values(out->data, swg__original(chunk), count, bytes);
    return SWG_OK;
}

static void replace(swg__draft *best, swg__draft *other, bool better) {
    swg__draft loser = better ? *best : *other;
    if (better)
        *best = *other;
    swg__draft_free(&loser);
}

enum { SMALL = 1 << 13 }; /* values; of fewer, samples say too little and coding costs little */

/* Isolated blocks by each other's statistics, if that is shorter than what the draft holds (*coded) or `stored` bytes. */
static swg_status try_blocks(const swg__chunk *chunk, uint32_t without, size_t stored, swg__draft *draft, bool *coded) {
    const int64_t shortest = (int64_t)(*coded && swg__draft_bytes(draft) < stored ? swg__draft_bytes(draft) : stored);
    swg__draft blocks;
    bool better = false;
    if (without >> SWG_MODE_BLOCKS & 1)
        return SWG_OK;
    swg__draft_init(&blocks, chunk->ctx);
    swg_status status = swg__block_encode(chunk, NULL, shortest, &blocks, &better);
    better = status == SWG_OK && better && (!*coded || swg__draft_bytes(&blocks) < swg__draft_bytes(draft));
    replace(draft, &blocks, better);
    *coded = *coded || better;
    return status;
}

/* The shortest of the modes that predict; *coded false: none is shorter than `stored` bytes. */
static swg_status compete(const swg__chunk *chunk, swg__choice choice, size_t stored, swg__draft *draft, bool *any) {
    const uint32_t slow = 1u << SWG_MODE_POLY | 1u << SWG_MODE_INTERPOLATION | 1u << SWG_MODE_BLOCKS;
    const uint32_t without = choice.without | (choice.effort < SWG__EFFORT_SAMPLE ? slow : 0);
    if (choice.effort < SWG__EFFORT_MOST && chunk->count > SMALL)
        return swg__compete_sampled(chunk, without, stored, draft, any);
    const size_t raw = (size_t)chunk->count * (size_t)swg_element_bytes(chunk->grid.type);
    const void *values = chunk->values;
    const int64_t rows = chunk->count / chunk->extent[3];
    const bool try_stencil = !(without >> SWG_MODE_STENCIL & 1), try_planes = !(without >> SWG_MODE_PLANES & 1);
    const bool try_poly = !(without >> SWG_MODE_POLY & 1), try_interp = !(without >> SWG_MODE_INTERPOLATION & 1);
    int64_t estimate = try_planes ? swg__planes_estimate(chunk->grid.type, values, rows, chunk->extent[3]) : INT64_MAX, smooth = INT64_MAX, loose = INT64_MAX;
    swg_status status = try_poly ? swg__poly_estimate(chunk, &swg__poly_built_in, without, &smooth) : SWG_OK;
    if (status == SWG_OK && try_interp)
        status = swg__interp_estimate(chunk, &loose);
    /* The stencil's own estimate need not be coded out where it is clearly worse than another's. */
    int64_t limit = estimate < (int64_t)raw ? estimate + estimate / 16 : (int64_t)raw;
    limit = smooth < limit ? smooth + smooth / 4 : limit;
    limit = loose < limit - limit / 4 ? loose + loose / 4 : limit;
    bool coded = false;
    if (status == SWG_OK && try_stencil)
        status = swg__stencil_encode(chunk, limit, draft, &coded);
    /* A sample of patches says too much where there are mirror images. */
    int64_t shortest = (int64_t)(coded && swg__draft_bytes(draft) < stored ? swg__draft_bytes(draft) : stored);
    if (status == SWG_OK && smooth < 3 * shortest) {
        swg__draft poly;
        bool better = false;
        swg__draft_init(&poly, chunk->ctx);
        status = swg__poly_encode(chunk, &swg__poly_built_in, without, shortest, &poly, &better);
        better = status == SWG_OK && better && (!coded || swg__draft_bytes(&poly) < swg__draft_bytes(draft));
        replace(draft, &poly, better);
        coded = coded || better;
    }
    if (status == SWG_OK)
        status = try_blocks(chunk, without, stored, draft, &coded);
    shortest = (int64_t)(coded && swg__draft_bytes(draft) < stored ? swg__draft_bytes(draft) : stored);
    /* A small part of a chunk has more borders: it promises too little by about a tenth. */
    if (status == SWG_OK && loose - loose / 10 < shortest + 1000) {
        swg__draft interp;
        bool better = false;
        swg__draft_init(&interp, chunk->ctx);
        status = swg__interp_encode(chunk, &interp, &better);
        better = status == SWG_OK && better && (!coded || swg__draft_bytes(&interp) < swg__draft_bytes(draft));
        replace(draft, &interp, better);
        coded = coded || better;
    }
    if (status == SWG_OK && estimate < (int64_t)(coded && swg__draft_bytes(draft) < stored ? swg__draft_bytes(draft) : stored)) {
        swg__draft planes;
        swg__draft_init(&planes, chunk->ctx);
        status = swg__planes_encode(chunk->ctx, chunk->grid.type, values, rows, chunk->extent[3], &planes);
        bool better = status == SWG_OK && (!coded || swg__draft_bytes(&planes) < swg__draft_bytes(draft));
        replace(draft, &planes, better);
        coded = coded || better;
    }
    *any = coded;
    return status;
}

/* The competition on the indices of a point-wise relative bound. */
static swg_status compete_relative(const swg__chunk *chunk, swg__choice choice, size_t stored, swg__draft *draft, bool *coded) {
    swg__relative relative;
    swg_status status = swg__relative_open(chunk, &relative);
    if (status == SWG_OK)
        status = compete(&relative.inner, choice, stored, draft, coded);
    if (status == SWG_OK && *coded)
        status = swg__relative_finish(chunk, &relative, draft);
    swg__relative_close(&relative);
    return status;
}

/* Splits of a lossless chunk against what is there already. */
static swg_status compete_split(const swg__chunk *chunk, uint32_t without, swg__draft *draft, bool *coded) {
    static const int shifts[2] = {SWG__SPLIT_LEAST, SWG__SPLIT_MOST};
    swg_status status = SWG_OK;
    for (int i = 0; i < 2 && status == SWG_OK && !(without >> SWG_MODE_STENCIL & 1); i++) {
        swg__split split;
        swg__draft other;
        bool done = false;
        swg__draft_init(&other, chunk->ctx);
        status = swg__split_open(chunk, shifts[i], &split);
        if (status == SWG_OK)
            status = swg__stencil_encode(&split.inner, chunk->count * 8, &other, &done);
        if (status == SWG_OK && done)
            status = swg__split_finish(chunk, &split, &other);
        bool better = status == SWG_OK && done && (!*coded || swg__draft_bytes(&other) < swg__draft_bytes(draft));
        replace(draft, &other, better);
        *coded = *coded || better;
        i += split.shift >= SWG__SPLIT_MOST; /* the other one would be the same */
        swg__split_close(&split);
    }
    return status;
}

swg_status swg__plain_encode(const swg__chunk *chunk, swg__choice choice, swg__draft *draft) {
    const size_t bytes = (size_t)swg_element_bytes(chunk->grid.type), raw = (size_t)chunk->count * bytes;
    const size_t stored = (SWG__RECORD_HEAD + 8 + raw + 3) / 4 * 4 + 4;
    const uint8_t *values = swg__original(chunk);
    bool coded = false;
    swg__draft_init(draft, chunk->ctx);
    if (memcmp(values, values + bytes, raw - bytes) == 0) {
        draft->head.mode = SWG__MODE_C;
        return put_values(chunk, 1, draft);
    }
    swg_status status = chunk->grid.pw_h ? compete_relative(chunk, choice, stored, draft, &coded)
                                         : compete(chunk, choice, stored, draft, &coded);
    if (status == SWG_OK && swg__splits(chunk))
        status = compete_split(chunk, choice.without, draft, &coded);
    if (status == SWG_OK && coded && !chunk->grid.pw_h)
        status = swg__mask_write(chunk, chunk->mask, draft);
    if (status == SWG_OK && (!coded || swg__draft_bytes(draft) >= stored)) {
        swg__draft_free(draft);
        swg__draft_init(draft, chunk->ctx);
        draft->head.mode = SWG__MODE_R;
        status = put_values(chunk, chunk->count, draft);
    }
    return status;
}
