/* law.c - trained scales of mode P: fitted by counting, 408 bytes in a blob.
 * In: chunks. Out: u8 base[32][12], i8 shift[8][3] (docs/format.md, "Models"); and mode P with them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "fit.h"
#include "kinds.h"
#include "law.h"
#include "poly_train.h"

enum { LESSON_VALUES = 1 << 22, ROUNDS = 2, BODY = sizeof(swg__poly_law) };
#define LAW_GAIN 0.85 /* what a law leaves of mode P at best, by experience */
_Static_assert(BODY == 408, "no padding");

swg_status swg__fit_law(swg_context *ctx, const swg_codec_array *arrays, int64_t count, const swg_codec_opts *bound, const swg__fit_opts *opts,
                        swg__text *blob) {
    swg__lessons lessons;
    swg__poly_law law = swg__poly_built_in;
    swg__poly_counts *counts = swg__calloc(ctx, 1, sizeof *counts);
    double bits[2] = {0, 0};
    swg_status status = swg__lessons_open(ctx, arrays, count, bound, LESSON_VALUES, &lessons);
    if (!counts && status == SWG_OK)
        status = swg__fail_memory(ctx, sizeof *counts, "a law");
    for (int round = 0; round < ROUNDS && status == SWG_OK; round++) { /* what is coded depends on the law, a little */
        memset(counts, 0, sizeof *counts);
        for (int64_t i = 0; i < lessons.count && status == SWG_OK; i++) {
            swg__chunk chunk;
            status = swg__lessons_take(&lessons, i, &chunk);
            if (status == SWG_OK)
                status = swg__poly_count(&chunk, &law, counts);
            swg__chunk_drop(&chunk);
            if (status == SWG_OK)
                status = swg__fit_tick(ctx, opts, ((double)round + (double)(i + 1) / (double)lessons.count) / ROUNDS, NAN);
        }
        if (status == SWG_OK)
            swg__poly_fit(counts, &law, bits);
    }
    if (status == SWG_OK && bits[0] > 0) {
        swg__blob_begin(blob, SWG__KIND_LAW);
        swg__put(blob, &law, sizeof law);
        swg__blob_end(blob);
    }
    swg__lessons_close(&lessons);
    swg__free(ctx, counts);
    return status;
}

const char *swg__law_parse(swg_context *ctx, const uint8_t *blob, size_t bytes, void *parsed) {
    (void)ctx;
    swg__poly_law *law = parsed;
    if (bytes != SWG__BLOB_HEAD + BODY)
        return "law has the wrong length";
    memcpy(law, blob + SWG__BLOB_HEAD, sizeof *law);
    for (int m = 0; m < SWG__POLY_MAGNITUDES; m++)
        for (int p = 0; p < SWG__POLY_PLACES; p++)
            if (law->base[m][p] > 127)
                return "scale of a law is above 127";
    for (int d = 0; d < SWG__POLY_DEGREES; d++)
        for (int a = 0; a < SWG__POLY_AXES; a++)
            if (law->shift[d][a] < -64 || law->shift[d][a] > 64)
                return "shift of a law is beyond 64";
    return NULL;
}

/* Whether mode P, which lost without a model, may win with this law. */
static swg_status hopeful(const swg__chunk *chunk, const swg__poly_law *law, const swg__trial *trial, bool *yes) {
    swg__poly_sample sample = {0};
    int64_t bytes;
    *yes = false;
    SWG__TRY(swg__poly_guess(chunk, trial->without, chunk->count / 32, &sample));
    if (!sample.pieces || LAW_GAIN * sample.bits / 8 * (double)chunk->count > (double)trial->limit * (double)sample.values)
        return SWG_OK;
    SWG__TRY(swg__poly_estimate(chunk, law, trial->without, &bytes));
    *yes = bytes < trial->limit + trial->limit / 16;
    return SWG_OK;
}

swg_status swg__law_encode(const swg__chunk *chunk, const void *parsed, const swg__trial *trial, swg__draft *draft, bool *coded) {
    const uint32_t without = trial->without;
    int64_t estimate, usual;
    bool wanted;
    *coded = false;
    if (without & SWG__WITHOUT_TRIALS && trial->plain->head.mode == SWG__MODE_P) /* the same choices: what the law is worth is in the scales */
        return swg__poly_recode(chunk, trial->plain, &swg__poly_built_in, parsed, draft, coded);
    if (without & SWG__WITHOUT_TRIALS) {
        SWG__TRY(hopeful(chunk, parsed, trial, &wanted));
        return wanted ? swg__poly_encode(chunk, parsed, without, trial->limit, draft, coded) : SWG_OK;
    }
    SWG__TRY(swg__poly_estimate(chunk, &swg__poly_built_in, without, &usual));
    if (usual >= 3 * trial->limit) /* a sample of patches says too much where there are mirror images */
        return SWG_OK;
    SWG__TRY(swg__poly_estimate(chunk, parsed, without, &estimate));
    return estimate < usual ? swg__poly_encode(chunk, parsed, without, trial->limit, draft, coded) : SWG_OK;
}

const char *swg__law_decode(const swg__chunk *chunk, const void *parsed, const swg__record *record) {
    return record->stream[SWG__PARAM].data ? swg__poly_decode(chunk, parsed, record) : "parameters are missing";
}
