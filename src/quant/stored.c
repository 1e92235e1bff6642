/* stored.c - weights of 8 and 16 bits in files, from f32 and back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "quant/stored.h"
#include <math.h>
#include <string.h>
#include "base.h"
#include "bf16.h"
#include "swage/quantise.h"

bool swg__stored_code(swg_stored dtype) { return dtype == SWG_STORED_I8 || dtype == SWG_STORED_F8_E4M3 || dtype == SWG_STORED_BF16; }

swg_stored swg__stored_type(swg_inference inference) {
    switch (inference) {
    case SWG_INFERENCE_INT8: return SWG_STORED_I8;
    case SWG_INFERENCE_FP8:
    case SWG_INFERENCE_FP8_ACTIVATIONS: return SWG_STORED_F8_E4M3;
    case SWG_INFERENCE_BF16: return SWG_STORED_BF16;
    default: return SWG_STORED_F32;
    }
}

float swg__stored_value(swg_stored dtype, const void *codes, int64_t i, float scale) {
    switch (dtype) {
    case SWG_STORED_I8: return scale * (float)((const int8_t *)codes)[i];
    case SWG_STORED_F8_E4M3: return scale * swg_e4m3_value(((const uint8_t *)codes)[i]);
    default: return swg__f32_of_bf16(((const swg__bf16 *)codes)[i]);
    }
}

/* Slices along an axis: `outer` runs of `inner` neighbours each. */
typedef struct slices { int64_t outer, channels, inner; } slices;
static slices slices_of(int ndim, const int64_t *shape, int axis) {
    slices s = {1, shape[axis], 1};
    for (int i = 0; i < ndim; i++)
        *(i < axis ? &s.outer : &s.inner) *= i == axis ? 1 : shape[i];
    return s;
}

static float scale_for(swg_stored dtype, float most) {
    if (dtype == SWG_STORED_I8)
        return swg_symmetric_scale(most);
    float scale = most / 448.f;
    return scale > 0 ? scale : 1.f;
}

void swg__stored_encode(swg_stored dtype, int ndim, const int64_t *shape, int axis, const float *w, void *codes, float *scale) {
    slices s = slices_of(ndim, shape, axis);
    for (int64_t c = 0; c < s.channels; c++) {
        float most = 0;
        for (int64_t o = 0; o < s.outer && dtype != SWG_STORED_BF16; o++)
            for (int64_t i = 0; i < s.inner; i++)
                most = fmaxf(most, fabsf(w[(o * s.channels + c) * s.inner + i]));
        float own = scale_for(dtype, most);
        if (scale)
            scale[c] = own;
        for (int64_t o = 0; o < s.outer; o++)
            for (int64_t i = 0, at = (o * s.channels + c) * s.inner; i < s.inner; i++) {
                if (dtype == SWG_STORED_I8)
                    ((int8_t *)codes)[at + i] = (int8_t)swg_code_of(w[at + i], (swg_affine_code){own, 0}, -127, 127);
                else if (dtype == SWG_STORED_F8_E4M3)
                    ((uint8_t *)codes)[at + i] = swg_e4m3_of(w[at + i] / own, true);
                else
                    ((swg__bf16 *)codes)[at + i] = swg__bf16_of(w[at + i]);
            }
    }
}

/* The axis along which scales vary; -1: their shape does not fit that of the codes. */
static int axis_of(const swg_tensor *t, const swg_tensor *scale) {
    int axis = t->ndim ? 0 : -1; /* of scales that do not vary */
    bool fits = scale->dtype == SWG_STORED_F32 && scale->ndim == t->ndim, found = false;
    for (int i = 0; fits && i < t->ndim; i++) {
        if (scale->shape[i] == 1)
            continue;
        fits = scale->shape[i] == t->shape[i] && !found;
        found = true;
        axis = i;
    }
    return fits ? axis : -1;
}

swg_status swg__stored_decode(swg_context *ctx, const swg_safetensors *file, const char *path, const swg_tensor *t, float *out) {
    char name[600];
    const swg_tensor *scale = NULL;
    int axis = 0;
    if (t->dtype != SWG_STORED_BF16) {
        const char *dot = strchr(t->name, '.');
        snprintf(name, sizeof name, "scale.%s", dot ? dot + 1 : t->name);
        scale = swg_safetensors_find(file, name);
        if (!scale || (axis = axis_of(t, scale)) < 0)
            return swg__fail(ctx, SWG_ESHAPE, "%s: tensor \"%s\" holds codes, and \"%s\" %s", path, t->name, name,
                             scale ? "has another shape or type than their scales" : "is missing");
    }
    const float one = 1, *scales = scale ? scale->data : &one;
    slices s = t->ndim ? slices_of(t->ndim, t->shape, axis) : (slices){1, 1, 1};
    bool shared = !scale || scale->bytes == sizeof(float);
    for (int64_t c = 0; c < s.channels; c++)
        if (!(scales[shared ? 0 : c] > 0 && isfinite(scales[shared ? 0 : c])))
            return swg__fail(ctx, SWG_ECORRUPT, "%s: tensor \"%s\": scale %lld is not a positive number", path, t->name, (long long)c);
    for (int64_t i = 0; i < s.outer * s.channels * s.inner; i++) {
        out[i] = swg__stored_value(t->dtype, t->data, i, scales[shared ? 0 : i / s.inner % s.channels]);
        if (!isfinite(out[i]))
            return swg__fail(ctx, SWG_ECORRUPT, "%s: tensor \"%s\": value %lld is not finite", path, t->name, (long long)i);
    }
    return SWG_OK;
}
