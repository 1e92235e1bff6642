/* golden_net.h - networks whose golden vectors hold samples: weights and images drawn from streams "golden:<name>", results and gradients compared.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_GOLDEN_NET_H
#define SWAGE_GOLDEN_NET_H

#include "golden.h"
#include "philox.h"
#include "swage/plan.h"

enum { GOLDEN_SEED = 42 };

/* Uniform in [0, 1). */
static inline float golden_drawn(uint32_t stream, int64_t i) { return swg__uniform(swg__philox(GOLDEN_SEED, (uint64_t)i / 4, 0, stream).w[i % 4]); }

static inline uint32_t golden_stream(const char *name) {
    char text[256];
    snprintf(text, sizeof text, "golden:%s", name);
    return swg__fnv1a(text);
}

static inline bool golden_ends(const char *name, const char *with) {
    size_t length = strlen(name), tail = strlen(with);
    return length >= tail && strcmp(name + length - tail, with) == 0;
}

static inline int64_t golden_elements(const swg_weights *w, int parameter) {
    int64_t count = 1;
    for (int d = 0; d < swg_weights_ndim(w, parameter); d++)
        count *= swg_weights_shape(w, parameter)[d];
    return count;
}

/* 1 +- 0.3 for weights of norms and `spline_scaler`, biases +- 0.2, other weights +- 1/sqrt(elements per index of the first axis). */
static inline void golden_draw_weights(swg_weights *w, swg_dtype dtype) {
    for (int p = 0; p < swg_weights_count(w); p++) {
        const char *name = swg_weights_name(w, p);
        int ndim = swg_weights_ndim(w, p);
        int64_t count = golden_elements(w, p);
        bool one = golden_ends(name, "spline_scaler") || (ndim == 1 && golden_ends(name, "weight"));
        double bound = one ? .3 : ndim == 1 ? .2 : 1 / sqrt((double)(count / swg_weights_shape(w, p)[0]));
        uint32_t stream = golden_stream(name);
        for (int64_t i = 0; i < count; i++)
            set_element(swg_weights_value(w, p), dtype, i, (double)((float)one + (float)bound * (2 * golden_drawn(stream, i) - 1)));
    }
}

static inline const char *golden_key(char out[256], const char *prefix, const char *name) {
    assert_in_range(snprintf(out, 256, "%s.%s", prefix, name), 1, 255);
    return out;
}

/* The samples of `key` against `got`. */
static inline void golden_compare(const swg_safetensors *file, const char *key, const void *got, swg_dtype dtype, double allowed) {
    char note[256];
    const swg_tensor *want = golden_get(file, key);
    const char *text = swg_safetensors_note(file, golden_key(note, "stride", key));
    int64_t stride = text ? strtoll(text, NULL, 10) : 1;
    assert_non_null(got);
    for (int64_t i = 0; i < golden_count(want); i++) {
        double a = element(got, dtype, i * stride), b = golden_at(want, i);
        if (!(fabs(a - b) <= allowed))
            fail_msg("%s, %s: element %lld is %.12g, expected %.12g (gap %.3g, allowed %.3g)", key, dtype == SWG_F64 ? "f64" : "f32",
                     (long long)(i * stride), a, b, fabs(a - b), allowed);
    }
}

/* "<prefix><kind>.<name>", which `key` receives. */
static inline const swg_tensor *golden_gradient(const swg_safetensors *file, char key[256], const char *prefix, const char *kind, const char *name) {
    assert_in_range(snprintf(key, 256, "%s%s.%s", prefix, kind, name), 1, 255);
    return golden_get(file, key);
}

/* Every gradient as a part of its largest, but at least of a thousandth of the network's, and its norm. A bias in front of a norm has the gradient
 * 0: what is left there is rounding of terms as large as its weight's gradient, which comes before it. `prefix`: "<prefix>grad.<name>". */
static inline void golden_compare_gradients(swg_weights *w, const swg_safetensors *file, const char *prefix, swg_dtype dtype, double allowed) {
    double scale = 0, least = 0;
    char key[256];
    for (int i = 0; i < swg_weights_count(w); i++)
        least = fmax(least, 1e-3 * golden_largest(golden_gradient(file, key, prefix, "grad", swg_weights_name(w, i))));
    for (int i = 0; i < swg_weights_count(w); i++) {
        const char *name = swg_weights_name(w, i);
        double largest = golden_largest(golden_gradient(file, key, prefix, "grad", name)), squares = 0;
        scale = golden_ends(name, ".bias") ? fmax(scale, largest) : fmax(least, largest);
        golden_compare(file, key, swg_weights_gradient(w, i), dtype, allowed * scale);
        for (int64_t e = 0; e < golden_elements(w, i); e++)
            squares += pow(element(swg_weights_gradient(w, i), dtype, e), 2);
        assert_close(sqrt(squares), golden_at(golden_gradient(file, key, prefix, "gradnorm", name), 0),
                     allowed * scale * sqrt((double)golden_elements(w, i)), allowed);
    }
}

#endif
