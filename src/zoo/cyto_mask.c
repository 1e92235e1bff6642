/* cyto_mask.c - which tokens of a sample are masked: random numbers, and unions of rectangles with a rim given back.
 * In: a seed, an epoch and the number of a sample, and nothing else. Out: a number per token.
 * Source: cyto.md, section 3.4.
 * SPDX-License-Identifier: Apache-2.0 */
#include "zoo/cyto_vit.h"
#include "philox.h"

/* Words of a stream of one sample, one after the other. */
typedef struct words {
    uint64_t seed, block;
    uint32_t epoch, stream;
    int left;
    swg__philox_words now;
} words;

static words open_words(const char *stream, uint64_t seed, uint32_t epoch, uint32_t sample) {
    return (words){.seed = seed, .block = (uint64_t)sample << 32, .epoch = epoch, .stream = swg__fnv1a(stream)};
}

static uint32_t next(words *w) {
    if (!w->left) {
        w->now = swg__philox(w->seed, w->block++, w->epoch, w->stream);
        w->left = 4;
    }
    return w->now.w[4 - w->left--];
}

/* Below n. */
static int64_t below(words *w, int64_t n) { return (int64_t)((uint64_t)next(w) * (uint64_t)n >> 32); }

void swg_mae_scores(uint64_t seed, uint32_t epoch, uint32_t sample, int64_t tokens, float *scores) {
    words w = open_words("mae:scores", seed, epoch, sample);
    for (int64_t i = 0; i < tokens; i++)
        scores[i] = swg__uniform(next(&w));
}

/* ---- rectangles ---- */

enum { SIDE = 4 };  /* of a rectangle of aspect 1 */

/* The grid of tokens: planes of rows of columns; in two dimensions one plane. */
typedef struct grid { int64_t planes, rows, columns; } grid;

static grid grid_of(const swg_vit *vit) {
    const int64_t p = vit->patch, *e = vit->extent;
    return vit->dims == 3 ? (grid){e[0] / p, e[1] / p, e[2] / p} : (grid){1, e[0] / p, e[1] / p};
}

static int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

void swg_iwm_rectangle(const swg_iwm *model, double aspect, int64_t extent[2]) {
    const grid size = grid_of(&model->vit);
    extent[0] = lesser((int64_t)(SIDE / aspect), size.rows);
    extent[1] = lesser((int64_t)(SIDE * aspect), size.columns);
}

/* Adds a rectangle through all planes; returns how many tokens are new. */
static int64_t add_rectangle(const swg_iwm *model, words *w, const grid *size, float *scores) {
    int64_t extent[2], covered = 0;
    swg_iwm_rectangle(model, .5 + (double)swg__uniform(next(w)), extent);
    const int64_t y = below(w, size->rows - extent[0] + 1), x = below(w, size->columns - extent[1] + 1);
    for (int64_t r = 0; r < size->planes * extent[0]; r++) {
        float *row = scores + ((r / extent[0]) * size->rows + y + r % extent[0]) * size->columns + x;
        for (int64_t c = 0; c < extent[1]; c++) {
            covered += row[c] > 0;
            row[c] = 0;
        }
    }
    return covered;
}

/* A target beside context, or at the edge of the image. */
static bool at_boundary(const grid *size, const int64_t at[3], const float *scores, int64_t token, int dims) {
    const int64_t extent[3] = {size->planes, size->rows, size->columns}, step[3] = {size->rows * size->columns, size->columns, 1};
    for (int axis = 3 - dims; axis < 3; axis++)
        if (at[axis] == 0 || at[axis] == extent[axis] - 1 || scores[token - step[axis]] > 0 || scores[token + step[axis]] > 0)
            return true;
    return false;
}

static int64_t find_boundary(const grid *size, const float *scores, int dims, uint16_t *out) {
    int64_t found = 0, token = 0, at[3];
    for (at[0] = 0; at[0] < size->planes; at[0]++)
        for (at[1] = 0; at[1] < size->rows; at[1]++)
            for (at[2] = 0; at[2] < size->columns; at[2]++, token++)
                if (scores[token] == 0 && at_boundary(size, at, scores, token, dims))
                    out[found++] = (uint16_t)token;
    return found;
}

swg_status swg_iwm_block_mask(swg_context *ctx, const swg_iwm *model, uint64_t seed, uint32_t epoch, uint32_t sample, float *scores) {
    const int64_t tokens = swg_vit_tokens(&model->vit), targets = swg_iwm_targets(model);
    uint16_t boundary[SWG_IWM_TOKENS];
    if (tokens > SWG_IWM_TOKENS || targets < 1 || targets >= tokens)
        return swg__fail(ctx, SWG_EINVAL, "block masks: %lld targets of %lld tokens; expected at least one, one token more, and at most %d tokens",
                         (long long)targets, (long long)tokens, SWG_IWM_TOKENS);
    const grid size = grid_of(&model->vit);
    words w = open_words("iwm:mask", seed, epoch, sample);
    int64_t covered = 0;
    for (int64_t i = 0; i < tokens; i++)
        scores[i] = 1;
    while (covered < targets)
        covered += add_rectangle(model, &w, &size, scores);
    while (covered > targets) {
        int64_t found = find_boundary(&size, scores, model->vit.dims, boundary);
        for (; found && covered > targets; covered--) {
            const int64_t pick = below(&w, found);
            scores[boundary[pick]] = 1;
            boundary[pick] = boundary[--found];
        }
    }
    return SWG_OK;
}
