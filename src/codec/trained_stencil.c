/* trained_stencil.c - one stencil for all chunks of a variable, by least squares on a sample of them.
 * In: chunks. Out: a blob with the parameters of mode W, i16 w[27], u16 0, BTAB (docs/format.md, "Models"); and mode W with them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "context.h"
#include "fit.h"
#include "trained_stencil.h"

enum { POINTS = 1 << 18, POINTS_OF_CHUNK = 1 << 15 };

static swg_status pool_open(swg_context *ctx, swg__training *pool) {
    pool->d = swg__alloc(ctx, (size_t)POINTS * (SWG__TAPS - 1) * sizeof *pool->d);
    pool->target = swg__alloc(ctx, POINTS * sizeof *pool->target);
    pool->mark = swg__alloc(ctx, POINTS);
    pool->point = swg__alloc(ctx, POINTS * sizeof *pool->point);
    return pool->d && pool->target && pool->mark && pool->point ? SWG_OK : swg__fail_memory(ctx, POINTS * SWG__TAPS * sizeof *pool->d, "a training sample");
}

static void pool_add(swg__training *pool, const swg__training *t) {
    memcpy(pool->d + pool->count * (SWG__TAPS - 1), t->d, (size_t)t->count * (SWG__TAPS - 1) * sizeof *t->d);
    memcpy(pool->target + pool->count, t->target, (size_t)t->count * sizeof *t->target);
    memcpy(pool->mark + pool->count, t->mark, (size_t)t->count);
    pool->count += t->count;
}

static swg_status fill(const swg__lessons *lessons, const swg__fit_opts *opts, swg__training *pool) {
    int64_t each = lessons->count ? POINTS / lessons->count : 0;
    each = each < 256 ? 256 : each > POINTS_OF_CHUNK ? POINTS_OF_CHUNK : each;
    swg_status status = SWG_OK;
    for (int64_t i = 0; i < lessons->count && status == SWG_OK && pool->count + each <= POINTS; i++) {
        swg__chunk chunk;
        swg__training t = {0};
        status = swg__lessons_take(lessons, i, &chunk);
        if (status == SWG_OK)
            status = swg__training_open(&chunk, each, &t);
        if (status == SWG_OK && t.count)
            pool_add(pool, &t);
        swg__training_close(lessons->ctx, &t);
        swg__chunk_drop(&chunk);
        if (status == SWG_OK)
            status = swg__fit_tick(lessons->ctx, opts, (double)(i + 1) / (double)lessons->count, NAN);
    }
    return status;
}

swg_status swg__fit_stencil(swg_context *ctx, const swg_codec_array *arrays, int64_t count, const swg_codec_opts *bound, const swg__fit_opts *opts,
                            swg__text *blob) {
    swg__lessons lessons;
    swg__training pool = {0};
    swg__stencil model = {0};
    swg_status status = swg__lessons_open(ctx, arrays, count, bound, 0, &lessons);
    if (status == SWG_OK)
        status = pool_open(ctx, &pool);
    if (status == SWG_OK)
        status = fill(&lessons, opts, &pool);
    if (status == SWG_OK && pool.count) {
        model.wide = swg__training_wide(&pool);
        status = swg__stencil_weights(ctx, swg__codec_kernels_for(ctx->isa), &pool, model.w);
    }
    if (status == SWG_OK && pool.count) {
        uint64_t cost = swg__stencil_buckets(swg__codec_kernels_for(ctx->isa), &pool, lessons.values, &model);
        swg__blob_begin(blob, SWG__KIND_STENCIL);
        swg__stencil_write(&model, blob);
        swg__blob_end(blob);
        status = swg__fit_tick(ctx, opts, 1, (double)cost / 256 / (double)pool.count);
    }
    swg__training_close(ctx, &pool);
    swg__lessons_close(&lessons);
    return status;
}

const char *swg__trained_stencil_parse(swg_context *ctx, const uint8_t *blob, size_t bytes, void *parsed) {
    (void)ctx;
    return swg__stencil_read((swg__span){blob + SWG__BLOB_HEAD, bytes - SWG__BLOB_HEAD}, false, parsed);
}

swg_status swg__trained_stencil_estimate(const swg__chunk *chunk, const void *parsed, const swg__trial *trial, int64_t *bytes) {
    return swg__stencil_estimate_trained(chunk, parsed, trial->plan, bytes);
}

swg_status swg__trained_stencil_encode(const swg__chunk *chunk, const void *parsed, const swg__trial *trial, swg__draft *draft, bool *coded) {
    return swg__stencil_encode_trained(chunk, parsed, trial->plan, draft, coded);
}

const char *swg__trained_stencil_decode(const swg__chunk *chunk, const void *parsed, const swg__record *record) {
    return record->head.flags & SWG__FLAG_LOCAL ? "a chunk has a model and weights of its own" : swg__stencil_decode(chunk, parsed, record);
}
