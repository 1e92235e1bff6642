/* cyto_testing.h - small images in memory and small runs of family cyto on them, for its tests.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CYTO_TESTING_H
#define SWAGE_CYTO_TESTING_H

#include "swage/experiment.h"
#include "training.h"

/* Images of waves, their masks, and finer images of the same: (CELLS, 1, DEPTH, SIDE, SIDE) and twice as fine along y and x. The last two validate. */
enum { CELLS = 6, DEPTH = 8, SIDE = 24, VOXELS = DEPTH * SIDE * SIDE };

typedef struct cells {
    float *raw, *seg, *fine;
    swg_train_array arrays[6];
} cells;

static inline float cell_value(int image, double z, double y, double x) {
    return (float)(sin(0.5 * x + image) * cos(0.4 * y - 0.7 * image) + 0.3 * sin(0.9 * z + 0.2 * x));
}

static inline swg_train_array cell_array(const char *column, const float *values, bool train, int depth, int side) {
    const int first = train ? 0 : CELLS - 2;
    return (swg_train_array){.column = column, .split = train ? "train" : "valid", .values = values + (int64_t)first * depth * side * side, .element = SWG_ELEMENT_F32,
                             .layout = "BZYX", .ndim = 4, .dims = {train ? CELLS - 2 : 2, depth, side, side}};
}

/* depth 1: for 2-D. */
static inline void cells_open(cells *c, int depth) {
    c->raw = malloc(CELLS * VOXELS * sizeof(float));
    c->seg = malloc(CELLS * VOXELS * sizeof(float));
    c->fine = malloc(CELLS * VOXELS * 4 * sizeof(float));
    float *raw = c->raw, *seg = c->seg, *fine = c->fine;
    for (int i = 0; i < CELLS; i++)
        for (int z = 0; z < depth; z++) {
            for (int y = 0; y < SIDE; y++)
                for (int x = 0; x < SIDE; x++) {
                    *raw = cell_value(i, z, y, x);
                    *seg++ = *raw++ > 0.2f;
                }
            for (int y = 0; y < 2 * SIDE; y++)
                for (int x = 0; x < 2 * SIDE; x++)
                    *fine++ = cell_value(i, z, y / 2., x / 2.);
        }
    for (int i = 0; i < 2; i++) {
        c->arrays[i] = cell_array("raw", c->raw, i == 0, depth, SIDE);
        c->arrays[2 + i] = cell_array("seg", c->seg, i == 0, depth, SIDE);
        c->arrays[4 + i] = cell_array("fine", c->fine, i == 0, depth, 2 * SIDE);
    }
}

static inline void cells_close(cells *c) {
    free(c->raw);
    free(c->seg);
    free(c->fine);
}

/* An experiment on them, 2-D unless `settings` say otherwise. */
typedef struct cyto_case { const char *recipe, *settings[5]; } cyto_case;

static const cyto_case cyto_unet = {"cyto/segmentation", {"data.source=raw normalise", "data.target=[seg]", "data.patch=[16,16]"}};
static const cyto_case cyto_gan = {"cyto/gan_superres", {"data.source=seg", "data.target=[fine percentile=0.01:99.99 scale=2]", "model.scale=2", "data.patch=[12,12]"}};
static const cyto_case cyto_mae = {"cyto/mae", {"data.source=raw normalise", "data.patch=[16,16]"}};
static const cyto_case cyto_iwm = {"cyto/iwm", {"data.source=raw normalise", "data.target=[seg]", "data.patch=[16,16]"}};
static const cyto_case *const cyto_cases[] = {&cyto_unet, &cyto_gan, &cyto_mae, &cyto_iwm};
enum { CYTO_CASES = sizeof cyto_cases / sizeof *cyto_cases };

/* The recipe with the case's settings, then `more`. */
static inline swg_status open_cyto(swg_context *ctx, const cyto_case *k, const char *folder, const char *name, const char *const *more, swg_config **config) {
    char dir[2][400];
    const char *all[MAX_OVERRIDES] = {"model.spatial_dims=2", "trainer.log_every=1", "trainer.max_epochs=2", "data.batch_size=2", "checkpoint.every=2", "resume=auto"};
    int count = 6;
    snprintf(dir[0], sizeof dir[0], "run.dir=%s", folder);
    snprintf(dir[1], sizeof dir[1], "run.name=%s", name);
    all[count++] = dir[0];
    all[count++] = dir[1];
    for (int i = 0; i < 5 && k->settings[i]; i++)
        all[count++] = k->settings[i];
    for (; more && *more; more++)
        all[count++] = *more;
    return swg_config_open(ctx, k->recipe, &(swg_config_opts){.overrides = all, .override_count = count}, config);
}

static inline swg_status train_cyto(swg_context *ctx, const cyto_case *k, const cells *c, const char *folder, const char *name, const char *const *more,
                                    const swg_train_hooks *hooks, swg_train_result *result) {
    swg_config *config;
    swg_train_result ignored;
    swg_status status = open_cyto(ctx, k, folder, name, more, &config);
    if (status == SWG_OK)
        status = swg_train_arrays(ctx, config, c->arrays, 6, hooks, result ? result : &ignored);
    swg_config_close(config);
    return status;
}

#endif
