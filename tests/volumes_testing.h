/* volumes_testing.h - small stacks on disk and in memory, and the notes of a data set, for its tests.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_VOLUMES_TESTING_H
#define SWAGE_VOLUMES_TESTING_H

#include <math.h>
#include "data/npy.h"
#include "data/volumes.h"
#include "scratch.h"

/* What a voxel of these stacks holds: its place. Exact in f32 for extents below 100 and few channels. */
static inline float place_value(int64_t c, int64_t z, int64_t y, int64_t x) { return (float)(c * 1000000 + z * 10000 + y * 100 + x); }

/* Free with free(). dims: C, Z, Y, X; step: the place is divided by it, as in an image of higher resolution. */
static inline float *make_places(const int64_t dims[4]) {
    float *values = malloc((size_t)(dims[0] * dims[1] * dims[2] * dims[3]) * sizeof *values), *v = values;
    assert_non_null(values);
    for (int64_t c = 0; c < dims[0]; c++)
        for (int64_t z = 0; z < dims[1]; z++)
            for (int64_t y = 0; y < dims[2]; y++)
                for (int64_t x = 0; x < dims[3]; x++)
                    *v++ = place_value(c, z, y, x);
    return values;
}

static inline swg__volume_array array_of(const char *column, const float *values, const int64_t dims[4]) {
    return (swg__volume_array){.column = column, .values = values, .element = SWG_ELEMENT_F32, .ndim = 4, .dims = {dims[0], dims[1], dims[2], dims[3]}};
}

/* An .npy file of the folder. */
static inline void put_npy(swg_context *ctx, scratch *s, const char *name, swg_element element, int ndim, const int64_t *dims, const void *values) {
    swg__text text;
    int64_t count = 1;
    for (int i = 0; i < ndim; i++)
        count *= dims[i];
    swg__text_init(&text, ctx);
    swg__npy_head(element, ndim, dims, &text);
    swg__text_add(&text, values, (size_t)(count * swg_element_bytes(element)));
    assert_false(text.failed);
    assert_ok(ctx, swg__file_write(ctx, scratch_path(s, name), text.data, text.length));
    swg__text_free(&text);
}

/* A stack of f32 places. */
static inline void put_places(swg_context *ctx, scratch *s, const char *name, int64_t c, int64_t z, int64_t y, int64_t x) {
    const int64_t dims[] = {c, z, y, x};
    float *values = make_places(dims);
    put_npy(ctx, s, name, SWG_ELEMENT_F32, 4, dims, values);
    free(values);
}

static inline void put_text(swg_context *ctx, scratch *s, const char *name, const char *text) {
    assert_ok(ctx, swg__file_write(ctx, scratch_path(s, name), text, strlen(text)));
}

/* Notes, one after another. */
typedef struct notes {
    char text[4096];
} notes;

static inline void take_note(void *user, const char *text) {
    notes *n = user;
    snprintf(n->text + strlen(n->text), sizeof n->text - strlen(n->text), "%s\n", text);
}

#define assert_note(n, word)                                          \
    do {                                                              \
        if (!strstr((n).text, (word)))                                \
            fail_msg("\"%s\" is not in the notes: %s", (word), (n).text); \
    } while (0)

#endif
