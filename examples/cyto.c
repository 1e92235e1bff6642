/* cyto.c - segments made-up spheres from arrays in memory, through the calls that mirror the Python tools of the field: load a default experiment,
 * override keys, train, predict. In: a folder for the run, model.spatial_dims (2 or 3, default 2). Out: Dice on images it has not seen. Exit status 0:
 * above 0.9 after 100 steps of batches of 8.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "swage/swage.h"

enum { IMAGES = 40, SIDE = 48, DEPTH = 16, SPHERES = 5 };

/* A linear congruential generator is random enough for spheres. */
static double uniform(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / (1 << 24);
}

/* One image of bright, blurred spheres in noise, and its mask. */
static void draw(uint32_t *state, int depth, float *image, float *mask) {
    double sphere[SPHERES][4];
    for (int s = 0; s < SPHERES; s++) {
        for (int i = 0; i < 3; i++)
            sphere[s][i] = uniform(state) * (i ? SIDE : depth);
        sphere[s][3] = 4 + 4 * uniform(state);
    }
    for (int z = 0; z < depth; z++)
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++, image++, mask++) {
                double gap = 1e9;
                for (int s = 0; s < SPHERES; s++) {
                    const double dz = depth > 1 ? z - sphere[s][0] : 0, dy = y - sphere[s][1], dx = x - sphere[s][2];
                    gap = fmin(gap, sqrt(dz * dz + dy * dy + dx * dx) - sphere[s][3]);
                }
                *mask = gap <= 0;
                *image = (float)(100 / (1 + exp(gap)) + 60 * uniform(state));
            }
}

static double dice(const float *a, const float *b, int64_t count) {
    double both = 0, sum = 0;
    for (int64_t i = 0; i < count; i++) {
        both += a[i] > .5f && b[i] > .5f;
        sum += (a[i] > .5f) + (b[i] > .5f);
    }
    return sum > 0 ? 2 * both / sum : 1;
}

static void fail(swg_context *ctx) {
    fprintf(stderr, "cyto: %s\n", swg_context_message(ctx));
    exit(1);
}

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : "cyto-example";
    const int axes = argc > 2 ? atoi(argv[2]) : 2, depth = axes == 3 ? DEPTH : 1, unseen = 4;
    const int64_t voxels = (int64_t)depth * SIDE * SIDE;
    float *images = malloc((size_t)(IMAGES + unseen) * (size_t)voxels * sizeof *images), *masks = malloc((size_t)(IMAGES + unseen) * (size_t)voxels * sizeof *masks);
    uint32_t state = 1;
    swg_context *ctx;
    swg_experiment *e;
    if (!images || !masks || swg_context_open(NULL, &ctx) != SWG_OK)
        return 1;
    for (int i = 0; i < IMAGES + unseen; i++)
        draw(&state, depth, images + i * voxels, masks + i * voxels);

    const char *changes[] = {
        axes == 3 ? "model.spatial_dims=3" : "model.spatial_dims=2", axes == 3 ? "data.patch=[16,32,32]" : "data.patch=[32,32]",
        "data.source=raw normalise", "data.target=[seg]", "data.augment=flip", "data.batch_size=8", "data.crops=8", "optimizer.lr=5e-3",
        "trainer.max_steps=100", "early_stopping.enabled=false", "predict.overlap=0.25"};
    if (swg_experiment_default(ctx, "cyto/segmentation", folder, changes, sizeof changes / sizeof *changes, &e) != SWG_OK)
        fail(ctx);

    /* IMAGES rows of one channel: the batch axis is said, not guessed. The last four are for validation. */
    const swg_train_array arrays[] = {
        {.column = "raw", .split = "train", .values = images, .element = SWG_ELEMENT_F32, .layout = "BZYX", .ndim = 4, .dims = {IMAGES - 4, depth, SIDE, SIDE}},
        {.column = "raw", .split = "valid", .values = images + (IMAGES - 4) * voxels, .element = SWG_ELEMENT_F32, .layout = "BZYX", .ndim = 4, .dims = {4, depth, SIDE, SIDE}},
        {.column = "seg", .split = "train", .values = masks, .element = SWG_ELEMENT_F32, .layout = "BZYX", .ndim = 4, .dims = {IMAGES - 4, depth, SIDE, SIDE}},
        {.column = "seg", .split = "valid", .values = masks + (IMAGES - 4) * voxels, .element = SWG_ELEMENT_F32, .layout = "BZYX", .ndim = 4, .dims = {4, depth, SIDE, SIDE}}};
    swg_train_result trained;
    if (swg_experiment_train(e, arrays, 4, NULL, &trained) != SWG_OK)
        fail(ctx);
    printf("%lld steps in %.1f s, run folder %s\n", (long long)trained.steps, trained.seconds, trained.run_dir);

    double sum = 0;
    for (int i = IMAGES; i < IMAGES + unseen; i++) {
        swg_prediction p;
        if (swg_experiment_predict(e, (int64_t[]){1, depth, SIDE, SIDE}, images + i * voxels, NULL, &p) != SWG_OK)
            fail(ctx);
        sum += dice(p.values[0], masks + i * voxels, voxels);
        swg_prediction_free(ctx, &p);
    }
    printf("Dice of %d images it has not seen: %.4f\n", unseen, sum / unseen);
    swg_experiment_close(e);
    swg_context_close(ctx);
    free(images);
    free(masks);
    return sum / unseen > 0.9 ? 0 : 1;
}
