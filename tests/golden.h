/* golden.h - reads the vectors of tests/golden for the tests that compare Swage with PyTorch.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_GOLDEN_H
#define SWAGE_GOLDEN_H

#include <math.h>
#include "swage/graph.h"
#include "swage/safetensors.h"
#include "testing.h"

static inline swg_safetensors *golden_open(swg_context *ctx, const char *name) {
    char path[512];
    swg_safetensors *file;
    snprintf(path, sizeof path, SWG_SOURCE_DIR "/tests/golden/%s", name);
    assert_ok(ctx, swg_safetensors_open(ctx, path, &file));
    return file;
}

/* Tensor "<name>.<field>", or NULL. */
static inline const swg_tensor *golden_find(const swg_safetensors *file, const char *name, const char *field) {
    char path[256];
    snprintf(path, sizeof path, "%s.%s", name, field);
    return swg_safetensors_find(file, path);
}

static inline const swg_tensor *golden_get(const swg_safetensors *file, const char *name) {
    const swg_tensor *t = swg_safetensors_find(file, name);
    if (!t)
        fail_msg("the file has no tensor \"%s\"", name);
    return t;
}

static inline double golden_at(const swg_tensor *t, int64_t i) {
    return t->dtype == SWG_STORED_F64 ? ((const double *)t->data)[i] : (double)((const float *)t->data)[i];
}

static inline int64_t golden_count(const swg_tensor *t) { return t->bytes / swg_stored_bytes(t->dtype); }

static inline double golden_largest(const swg_tensor *t) {
    double most = 0;
    for (int64_t i = 0; i < golden_count(t); i++)
        most = fmax(most, fabs(golden_at(t, i)));
    return most;
}

/* Element of a plan's or the weights' memory in a graph of type `dtype`. */
static inline double element(const void *data, swg_dtype dtype, int64_t i) {
    return dtype == SWG_F64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

static inline void set_element(void *data, swg_dtype dtype, int64_t i, double value) {
    if (dtype == SWG_F64)
        ((double *)data)[i] = value;
    else
        ((float *)data)[i] = (float)value;
}

static inline void fill(void *data, swg_dtype dtype, const swg_tensor *t) {
    assert_non_null(data);
    for (int64_t i = 0; i < golden_count(t); i++)
        set_element(data, dtype, i, golden_at(t, i));
}

/* The next name of a list with commas between (the note "cases"); false at its end. */
static inline bool golden_next(const char **list, char name[64]) {
    assert_non_null(*list);
    size_t length = strcspn(*list, ",");
    assert_true(length < 64);
    memcpy(name, *list, length);
    name[length] = 0;
    *list += length + ((*list)[length] == ',');
    return length > 0;
}

/* Every element within `tolerance` of the largest. `what`: of which case. */
static inline void golden_near(const char *name, const char *what, const swg_tensor *want, const void *got, swg_dtype dtype, double tolerance) {
    double largest = golden_largest(want);
    assert_non_null(got);
    for (int64_t i = 0; i < golden_count(want); i++)
        if (!(fabs(element(got, dtype, i) - golden_at(want, i)) <= tolerance * largest + 1e-16))
            fail_msg("%s, %s, %s: element %lld is %.17g, expected %.17g", name, dtype == SWG_F64 ? "f64" : "f32", what, (long long)i,
                     element(got, dtype, i), golden_at(want, i));
}

/* Every element within `tolerance` of itself, and of the largest or 1, whichever is less; of 1 where all should be 0. */
static inline void golden_close(const char *name, const char *what, const swg_tensor *want, const void *got, swg_dtype dtype, double tolerance) {
    double largest = golden_largest(want), floor = largest > 0 ? fmin(1, largest) : 1;
    assert_non_null(got);
    for (int64_t i = 0; i < golden_count(want); i++) {
        double a = element(got, dtype, i), b = golden_at(want, i);
        if (!(fabs(a - b) <= tolerance * (fabs(b) + floor)))
            fail_msg("%s, %s, %s: element %lld is %.17g, expected %.17g (relative %.3g)", name, dtype == SWG_F64 ? "f64" : "f32", what,
                     (long long)i, a, b, fabs(a - b) / (fabs(b) + floor));
    }
}

#endif
