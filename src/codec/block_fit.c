/* block_fit.c - the variogram of mode B-causal from blocks of a chunk.
 * In: chunks of blocks on a grid. Out: a table and its unit.
 * SPDX-License-Identifier: Apache-2.0 */
#include "block.h"
#include "fit.h"

enum { MOST = SWG__BLOCK_MOST * SWG__BLOCK_MOST * SWG__BLOCK_MOST };

swg_status swg__block_sums_open(swg_context *ctx, int edge, swg__block_sums *s) {
    const size_t n = (size_t)edge * (size_t)edge * (size_t)edge;
    *s = (swg__block_sums){.ctx = ctx, .edge = edge, .moment = swg__calloc(ctx, n * n, sizeof(double))};
    return s->moment ? SWG_OK : swg__fail_memory(ctx, n * n * sizeof(double), "a variogram");
}

void swg__block_sums_close(swg__block_sums *s) {
    if (s->ctx)
        swg__free(s->ctx, s->moment);
    *s = (swg__block_sums){0};
}

/* Levels of a block less their mean, unrounded; false: some are out of reach. */
static bool load_block(const swg__chunk *chunk, int64_t block, int n, double *x) {
    const swg__grid *grid = &chunk->grid;
    const double inverse = 1 / grid->step;
    double sum = 0;
    bool good = true;
    for (int i = 0; i < n; i++) {
        x[i] = (swg__load_value(grid->type, chunk->values, block * n + i) - grid->base) * inverse;
        good = good && fabs(x[i]) <= grid->reach;
        sum += x[i];
    }
    for (int i = 0; i < n; i++)
        x[i] -= sum / n;
    return good;
}

swg_status swg__block_sums_add(swg__block_sums *s, const swg__chunk *chunk, int64_t most) {
    enum { GROUP = 4 };
    const int n = s->edge * s->edge * s->edge;
    const int64_t blocks = chunk->extent[0], every = blocks > most ? blocks / most : 1;
    double (*x)[MOST] = swg__alloc(s->ctx, GROUP * sizeof *x);
    if (!x)
        return swg__fail_memory(s->ctx, GROUP * sizeof *x, "blocks");
    for (int64_t b = every / 2; b < blocks; b += GROUP * every) {
        double weight[GROUP] = {0};
        memset(x, 0, GROUP * sizeof *x);
        for (int64_t g = 0; g < GROUP && b + g * every < blocks; g++) {
            if (!load_block(chunk, b + g * every, n, x[g])) {
                memset(x[g], 0, sizeof x[g]);
                continue;
            }
            double size = 0;
            for (int i = 0; i < n; i++)
                size += fabs(x[g][i]);
            weight[g] = 1 / (size / n + .25);
            s->weight += weight[g];
        }
        for (int i = 0; i < n; i++) {
            const double a = weight[0] * x[0][i], c = weight[1] * x[1][i], d = weight[2] * x[2][i], e = weight[3] * x[3][i];
            double *row = s->moment + (int64_t)i * n;
            for (int j = 0; j <= i; j++)
                row[j] += a * x[0][j] + c * x[1][j] + d * x[2][j] + e * x[3][j];
        }
    }
    swg__free(s->ctx, x);
    return SWG_OK;
}

static double half_square(const swg__block_sums *s, int i, int j) {
    const int64_t n = (int64_t)s->edge * s->edge * s->edge;
    double v = 0.5 * (s->moment[i * n + i] + s->moment[j * n + j]) - (i > j ? s->moment[i * n + j] : s->moment[j * n + i]);
    return s->weight > 0 && v > 0 ? v / s->weight : 0;
}

swg_status swg__block_sums_table(const swg__block_sums *s, bool pairs, swg__variogram *v, double *unit) {
    const int n = s->edge * s->edge * s->edge;
    *unit = 0;
    SWG__TRY(swg__variogram_open(s->ctx, s->edge, pairs, v));
    double *sum = swg__calloc(s->ctx, 2 * (size_t)v->count, sizeof *sum), *seen = sum ? sum + v->count : NULL, most = 0;
    if (!sum) {
        swg__variogram_close(v);
        return swg__fail_memory(s->ctx, 2 * (size_t)v->count * sizeof *sum, "a variogram");
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) {
            int64_t entry = swg__variogram_entry(s->edge, pairs, i, j);
            sum[entry] += half_square(s, i, j);
            seen[entry]++;
        }
    for (int64_t i = 0; i < v->count; i++)
        sum[i] = seen[i] > 0 ? sum[i] / seen[i] : 0;
    swg_status status = pairs ? SWG_OK : swg__variogram_repair(s->ctx, s->edge, sum);
    for (int64_t i = 0; i < v->count; i++)
        most = sum[i] > most ? sum[i] : most;
    *unit = most / ((1 << 24) - 1);
    for (int64_t i = 0; i < v->count && most > 0; i++)
        v->gamma[i] = swg__variogram_wide(swg__variogram_short(sum[i] / *unit));
    swg__free(s->ctx, sum);
    if (status != SWG_OK)
        swg__variogram_close(v);
    return status;
}

double swg__block_sums_unit(const swg__block_sums *s, const swg__variogram *v) {
    const int n = s->edge * s->edge * s->edge, step[3] = {s->edge * s->edge, s->edge, 1};
    double here = 0, there = 0;
    for (int i = 0; i < n; i++)
        for (int a = 0; a < 3; a++)
            if (i / step[a] % s->edge > 0) { /* neighbours along an axis */
                here += half_square(s, i, i - step[a]);
                there += swg__variogram_at(v, i, i - step[a]);
            }
    return there > 0 ? here / there : 0;
}

/* ---- as a trained model ---- */

static swg_status fit_table(swg_context *ctx, const swg_codec_array *arrays, int64_t count, const swg_codec_opts *bound, const swg__fit_opts *opts, bool pairs,
                            swg__text *blob) {
    enum { LESSON_VALUES = 1 << 22 };
    swg__lessons lessons;
    swg__block_sums sums = {0};
    swg__variogram table = {0};
    double unit = 0;
    swg_status status = swg__lessons_open(ctx, arrays, count, bound, LESSON_VALUES, &lessons);
    for (int64_t i = 0; i < lessons.count && status == SWG_OK; i++) {
        swg__chunk chunk;
        status = swg__lessons_take(&lessons, i, &chunk);
        const int edge = status == SWG_OK ? swg__block_edge(&chunk) : 0;
        if (edge && !sums.edge)
            status = swg__block_sums_open(ctx, edge, &sums);
        if (status == SWG_OK && edge && edge == sums.edge)
            status = swg__block_sums_add(&sums, &chunk, chunk.extent[0]);
        swg__chunk_drop(&chunk);
        if (status == SWG_OK)
            status = swg__fit_tick(ctx, opts, (double)(i + 1) / (double)lessons.count, NAN);
    }
    if (status == SWG_OK && sums.edge)
        status = swg__block_sums_table(&sums, pairs, &table, &unit);
    if (status == SWG_OK && unit > 0) {
        swg__blob_begin(blob, SWG__KIND_BLOCK_CAUSAL);
        swg__variogram_write(&table, blob);
        swg__blob_end(blob);
    }
    swg__variogram_close(&table);
    swg__block_sums_close(&sums);
    swg__lessons_close(&lessons);
    return status;
}

swg_status swg__fit_block_causal(swg_context *ctx, const swg_codec_array *arrays, int64_t count, const swg_codec_opts *bound, const swg__fit_opts *opts,
                                 swg__text *blob) {
    return fit_table(ctx, arrays, count, bound, opts, false, blob);
}

/* For fields whose values know where in their block they are: those cut out of the same places again and again. */
swg_status swg__fit_block_pairs(swg_context *ctx, const swg_codec_array *arrays, int64_t count, const swg_codec_opts *bound, const swg__fit_opts *opts,
                                swg__text *blob) {
    return fit_table(ctx, arrays, count, bound, opts, true, blob);
}

const char *swg__block_causal_parse(swg_context *ctx, const uint8_t *blob, size_t bytes, void *parsed) {
    swg__cursor in = {.at = blob + SWG__BLOB_HEAD, .end = blob + bytes};
    const char *why = swg__variogram_read(ctx, &in, parsed);
    if (!why && swg__left(&in) > 3) {
        swg__variogram_close(parsed);
        why = "bytes left over behind a variogram";
    }
    return why;
}

void swg__block_causal_close(swg_context *ctx, void *parsed) {
    (void)ctx;
    swg__variogram_close(parsed);
}

swg_status swg__block_causal_encode(const swg__chunk *chunk, const void *parsed, const swg__trial *trial, swg__draft *draft, bool *coded) {
    return swg__block_encode(chunk, parsed, trial->limit, draft, coded);
}

const char *swg__block_causal_decode(const swg__chunk *chunk, const void *parsed, const swg__record *record) { return swg__block_decode(chunk, parsed, record); }
