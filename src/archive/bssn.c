/* bssn.c - two things that hold of every BSSN evolution, before and after compression.
 * In: files with U_SYMGT0..5 (conformal metric xx xy xz yy yz zz) and U_SYMAT0..5 (conformal extrinsic curvature, the same order).
 * Out: max |det - 1| and max |trace|. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "archive/quality.h"

enum { PARTS = 12 };

/* Members of a source that hold the parts; false if one is missing or has another shape. */
static bool find_parts(const swg_swz *swz, const char *source, int64_t member[PARTS]) {
    char name[16];
    for (int i = 0; i < PARTS; i++) {
        snprintf(name, sizeof name, "U_SYM%s%d", i < 6 ? "GT" : "AT", i % 6);
        member[i] = swg_swz_find(swz, source, name);
        if (member[i] < 0)
            return false;
        const swg_swz_info *first = swg_swz_member(swz, member[0]), *info = swg_swz_member(swz, member[i]);
        if (info->type != first->type || memcmp(info->dims, first->dims, sizeof info->dims) != 0 || info->ndim != first->ndim)
            return false;
    }
    return true;
}

static double part_at(swg_element element, const char *data, int64_t values, int part, int64_t i) {
    int64_t at = part * values + i;
    return element == SWG_ELEMENT_F64 ? ((const double *)(const void *)data)[at] : (double)((const float *)(const void *)data)[at];
}

static void check(swg_element element, const char *data, int64_t values, double *det, double *trace) {
    *det = *trace = 0;
    for (int64_t i = 0; i < values; i++) {
        double v[PARTS];
        for (int k = 0; k < PARTS; k++)
            v[k] = part_at(element, data, values, k, i);
        double xx = v[0], xy = v[1], xz = v[2], yy = v[3], yz = v[4], zz = v[5];
        /* Cofactors of the symmetric matrix; its inverse is them over the determinant. */
        double cxx = yy * zz - yz * yz, cxy = xz * yz - xy * zz, cxz = xy * yz - xz * yy;
        double cyy = xx * zz - xz * xz, cyz = xy * xz - xx * yz, czz = xx * yy - xy * xy;
        double d = xx * cxx + xy * cxy + xz * cxz;
        double t = (cxx * v[6] + cyy * v[9] + czz * v[11] + 2 * (cxy * v[7] + cxz * v[8] + cyz * v[10])) / d;
        *det = fmax(*det, fabs(d - 1));
        *trace = fmax(*trace, fabs(t));
    }
}

static swg_status check_source(swg_context *ctx, const swg_swz *swz, const int64_t member[PARTS], swg_source *source, const char *original,
                               swg__bssn_check *out) {
    const swg_swz_info *first = swg_swz_member(swz, member[0]);
    size_t bytes = (size_t)first->bytes_raw;
    char *data = swg__alloc(ctx, PARTS * bytes);
    int64_t from = 0, index;
    if (!data)
        return swg__fail_memory(ctx, PARTS * bytes, "the metric");
    swg_status status = SWG_OK;
    for (int restored = 0; restored < 2 && status == SWG_OK; restored++) {
        for (int i = 0; i < PARTS && status == SWG_OK; i++) {
            void *part = data + (size_t)i * bytes;
            if (restored) {
                status = swg_swz_read(swz, member[i], part, bytes);
                continue;
            }
            status = swg__original_find(ctx, swz, swg_swz_member(swz, member[i]), source, original, &from, &index);
            if (status == SWG_OK && swg_source_array(source, index)->count * swg_element_bytes(swg_source_array(source, index)->element) != (int64_t)bytes)
                status = swg__fail(ctx, SWG_ESHAPE, "\"%s\" has another type or shape than its original", swg_swz_member(swz, member[i])->name);
            if (status == SWG_OK)
                status = swg_source_read(source, index, part);
        }
        if (status == SWG_OK)
            check(first->type, data, first->values, &out->det[restored], &out->trace[restored]);
    }
    out->source = first->source;
    swg__free(ctx, data);
    return status;
}

swg_status swg__bssn_checks(swg_context *ctx, const swg_swz *swz, swg_source *source, const char *original, swg__bssn_check **checks, int64_t *count) {
    int64_t member[PARTS], members = swg_swz_count(swz);
    *count = 0;
    *checks = swg__calloc(ctx, (size_t)(members / PARTS + 1), sizeof **checks);
    if (!*checks)
        return swg__fail_memory(ctx, (size_t)(members / PARTS + 1) * sizeof **checks, "checks");
    swg_status status = SWG_OK;
    for (int64_t i = 0; i < members && status == SWG_OK; i++) {
        const char *name = swg_swz_member(swz, i)->source;
        if (strcmp(swg_swz_member(swz, i)->name, "U_SYMGT0") == 0 && find_parts(swz, name, member)) {
            status = check_source(ctx, swz, member, source, original, &(*checks)[*count]);
            *count += status == SWG_OK;
        }
    }
    return status;
}
