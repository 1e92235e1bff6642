/* samples.c - tiles through a model, and clean | noisy | decoded as PNG.
 * In: an open data set, a model. Out: tensors, pictures.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/samples.h"
#include <string.h>
#include "swage/image.h"
#include "train/apply.h"

/* ---- through the model ---- */

static swg_status choose(swg__run *run, int64_t most, swg__sample_set *s) {
    static const struct { int part; const char *name; } parts[] = {{SWG_VAL, "validation"}, {SWG_TEST, "test"}, {SWG_TRAIN, "training"}};
    const swg_split *split = run->data.split;
    size_t i = 0;
    while (i < 2 && !split->count[parts[i].part])
        i++;
    int64_t there = split->count[parts[i].part];
    s->part = parts[i].name;
    s->count = there < most ? there : most;
    if (s->count < 1)
        return swg__fail(run->ctx, SWG_EINVAL, "the data set has no samples to draw");
    s->index = swg__calloc(run->ctx, (size_t)s->count, sizeof *s->index);
    for (int64_t k = 0; s->index && k < s->count; k++)
        s->index[k] = split->indices[parts[i].part][k * there / s->count];
    return s->index ? SWG_OK : swg__fail_memory(run->ctx, (size_t)s->count * sizeof *s->index, "a list of samples");
}

static swg_status reserve(swg_context *ctx, const swg__apply *a, swg__sample_set *s) {
    s->channels = a->shape[1];
    s->height = a->shape[2];
    s->width = a->shape[3];
    s->z_channels = a->dims[1][0];
    s->z_height = a->dims[1][1];
    s->z_width = a->dims[1][2];
    size_t tile = (size_t)(s->channels * s->height * s->width), latent = (size_t)a->values[1], n = (size_t)s->count;
    s->noisy = swg__calloc(ctx, n * tile, sizeof(float));
    s->clean = swg__calloc(ctx, n * tile, sizeof(float));
    s->decoded = swg__calloc(ctx, n * tile, sizeof(float));
    s->z = swg__calloc(ctx, n * latent, sizeof(float));
    return s->noisy && s->clean && s->decoded && s->z ? SWG_OK : swg__fail_memory(ctx, n * (3 * tile + latent) * sizeof(float), "pictures of samples");
}

static swg_status infer(swg__run *run, swg__apply *a, float *pair, swg__sample_set *s) {
    const swg__draw draw = {.seed = run->recipe.seed};
    const int64_t tile = s->channels * s->height * s->width;
    char message[256] = "";
    for (int64_t i = 0; i < s->count; i++) {
        swg_status status = run->recipe.family->fetch(&run->data, &draw, &s->index[i], 1, pair, message, sizeof message);
        if (status != SWG_OK)
            return swg__fail(run->ctx, status, "%s", message);
        SWG__TRY(swg__apply_run(a, 1, pair));
        memcpy(s->noisy + i * tile, pair, (size_t)tile * sizeof *pair);
        memcpy(s->clean + i * tile, pair + tile, (size_t)tile * sizeof *pair);
        memcpy(s->decoded + i * tile, swg__apply_result(a, 0), (size_t)tile * sizeof *pair);
        memcpy(s->z + i * a->values[1], swg__apply_result(a, 1), (size_t)a->values[1] * sizeof *pair);
    }
    return SWG_OK;
}

swg_status swg__sample_set_make(swg__run *run, swg_model *model, int64_t most, swg__sample_set *out) {
    const int64_t side = run->recipe.kan.tile, shape[4] = {1, run->recipe.kan.network.image, side, side};
    const size_t bytes = (size_t)run->recipe.family->sample_values(&run->recipe) * sizeof(float);
    swg__apply a;
    *out = (swg__sample_set){0};
    SWG__TRY(choose(run, most, out));
    float *pair = swg__alloc(run->ctx, bytes);
    swg_status status = swg__apply_open(model, 4, shape, 2, &a);
    if (status == SWG_OK)
        status = pair ? reserve(run->ctx, &a, out) : swg__fail_memory(run->ctx, bytes, "a sample");
    if (status == SWG_OK)
        status = infer(run, &a, pair, out);
    swg__apply_close(&a);
    swg__free(run->ctx, pair);
    return status;
}

void swg__sample_set_free(swg_context *ctx, swg__sample_set *s) {
    swg__free(ctx, s->noisy);
    swg__free(ctx, s->clean);
    swg__free(ctx, s->decoded);
    swg__free(ctx, s->z);
    swg__free(ctx, s->index);
    *s = (swg__sample_set){0};
}

/* ---- pictures ---- */

enum { GAP = 4, ACROSS = 3 }; /* pixels of white between tiles, tiles in a row */

/* Samples first .. first + rows - 1 below each other, (channels, height, width) of the whole. */
static void compose(const swg__sample_set *s, int64_t first, int64_t rows, int64_t height, int64_t width, float *out) {
    const float *const kinds[ACROSS] = {s->clean, s->noisy, s->decoded};
    const int64_t plane = s->height * s->width;
    for (int64_t i = 0; i < s->channels * height * width; i++)
        out[i] = 1;
    for (int64_t r = 0; r < rows; r++)
        for (int k = 0; k < ACROSS; k++)
            for (int64_t c = 0; c < s->channels; c++)
                for (int64_t y = 0; y < s->height; y++)
                    memcpy(out + (c * height + r * (s->height + GAP) + y) * width + k * (s->width + GAP),
                           kinds[k] + ((first + r) * s->channels + c) * plane + y * s->width, (size_t)s->width * sizeof *out);
}

static swg_status write_rows(swg_context *ctx, const swg__sample_set *s, int64_t first, int64_t rows, const char *path, const swg__written *written) {
    const int64_t height = rows * (s->height + GAP) - GAP, width = ACROSS * (s->width + GAP) - GAP;
    float *sheet = swg__calloc(ctx, (size_t)(s->channels * height * width), sizeof *sheet);
    if (!sheet)
        return swg__fail_memory(ctx, (size_t)(s->channels * height * width) * sizeof *sheet, path);
    compose(s, first, rows, height, width, sheet);
    swg_status status = swg_image_write(ctx, path, (int)s->channels, height, width, sheet, NULL);
    swg__free(ctx, sheet);
    return status == SWG_OK && written ? written->add(written->user, path) : status;
}

swg_status swg__sample_set_write(swg_context *ctx, const swg__sample_set *s, const char *folder, const swg__written *written) {
    char path[4200];
    SWG__TRY(swg__make_folders(ctx, folder));
    snprintf(path, sizeof path, "%s/samples.png", folder);
    SWG__TRY(write_rows(ctx, s, 0, s->count, path, written));
    for (int64_t i = 0; i < s->count; i++) {
        snprintf(path, sizeof path, "%s/sample-%lld.png", folder, (long long)i + 1);
        SWG__TRY(write_rows(ctx, s, i, 1, path, written));
    }
    return SWG_OK;
}
