/* causal_fit.c - trains mode W-MLP on the first half of a raw field and measures it on the second: exact code lengths per value, computed
 * by a second implementation of the integer network; the stencil alone with the same weights and buckets.
 * causal_fit FILE f32|f64 NZ,NY,NX REL H1,H2 [STEPS [SEED [THREADS]]]
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include "codec/causal_train.h"
#include "codec/encode.h"
#include "../causal_reference.h"

static void say(void *user, double done, double bits) {
    (void)user;
    fprintf(stderr, "\r%3.0f %%: %.4f bits per value%s", 100 * done, bits, done < 1 ? "" : "\n");
}

/* Code length of the second half. */
static swg_status measure(swg_context *ctx, const swg_codec_array *array, const swg_codec_opts *opts, const uint8_t *blob, reference_length *length) {
    swg__header header;
    swg__layout layout;
    const reference_model model = reference_open(blob);
    swg_status status = swg__encode_look(ctx, array, opts, &header, &layout);
    length->model = &model;
    for (int64_t i = 0; i < layout.count && status == SWG_OK; i++) {
        swg__chunk chunk;
        status = swg__chunk_take(ctx, array->data, &header, &layout, i, &chunk);
        if (status == SWG_OK)
            status = swg__stencil_rows(&chunk, 0, 1, reference_row, length);
        swg__chunk_drop(&chunk);
    }
    length->model = NULL;
    return status;
}

int main(int argc, char **argv) {
    long long nz, ny, nx;
    int hidden[2];
    if (argc < 6 || sscanf(argv[3], "%lld,%lld,%lld", &nz, &ny, &nx) != 3 || sscanf(argv[5], "%d,%d", &hidden[0], &hidden[1]) != 2) {
        fprintf(stderr, "usage: causal_fit FILE f32|f64 NZ,NY,NX REL H1,H2 [STEPS [SEED [THREADS]]]\n");
        return 2;
    }
    swg__causal_plan plan = hidden[0] > 16 ? swg__causal_deep : swg__causal_light;
    plan.hidden[0] = hidden[0];
    plan.hidden[1] = hidden[1];
    plan.steps = argc > 6 && atoll(argv[6]) ? atoll(argv[6]) : plan.steps;
    const swg__fit_opts fit = {.seed = argc > 7 ? strtoull(argv[7], NULL, 10) : 0, .progress = say};
    const swg_context_opts here = {.threads = argc > 8 ? atoi(argv[8]) : 1};
    swg_context *ctx;
    swg_element type = argv[2][1] == '3' ? SWG_ELEMENT_F32 : SWG_ELEMENT_F64;
    if (swg_context_open(&here, &ctx) != SWG_OK)
        return 1;
    uint8_t *data;
    size_t bytes, width = (size_t)swg_element_bytes(type), slab = (size_t)(ny * nx) * width;
    if (swg__file_read(ctx, argv[1], &data, &bytes) != SWG_OK || bytes != (size_t)nz * slab) {
        fprintf(stderr, "%s: not the size it should have\n", argv[1]);
        return 1;
    }
    swg_codec_opts opts = {.bound = SWG_BOUND_REL, .value = strtod(argv[4], NULL), .has_range = true, .range_min = INFINITY, .range_max = -INFINITY};
    for (int64_t i = 0; i < nz * ny * nx; i++) {
        double v = swg__load_value(type, data, i);
        opts.range_min = v < opts.range_min ? v : opts.range_min;
        opts.range_max = v > opts.range_max ? v : opts.range_max;
    }
    swg_codec_array past = {.type = type, .ndim = 3, .dims = {nz / 2, ny, nx}, .data = data};
    swg_codec_array future = {.type = type, .ndim = 3, .dims = {nz - nz / 2, ny, nx}, .data = data + (size_t)(nz / 2) * slab};
    swg__text blob;
    swg__causal_report r;
    swg__text_init(&blob, ctx);
    int64_t begin = swg__now_ns();
    swg_status status = swg__fit_causal_plan(ctx, &past, 1, &opts, &fit, &plan, &blob, &r);
    double seconds = (double)(swg__now_ns() - begin) / 1e9;
    if (status != SWG_OK) {
        fprintf(stderr, "%s\n", swg_context_message(ctx));
        return 1;
    }
    uint8_t digest[32] = {0};
    swg__sha256(blob.data, blob.length, digest);
    printf("%s rel %s %s: %lld points, %lld steps, %.1f s, %zu bytes, SHA-256 %02x%02x%02x%02x...\n", argv[1], argv[4], argv[5], (long long)r.points,
           (long long)r.steps, seconds, blob.length, digest[0], digest[1], digest[2], digest[3]);
    printf("  bits per value, stencil -> network: trained on %.3f -> %.3f, held out %.3f -> %.3f", r.stencil_bits[0], r.network_bits[0],
           r.stencil_bits[1], r.network_bits[1]);
    reference_length length[2] = {{.network = false}, {.network = true}};
    for (int i = 0; i < 2 && blob.length && status == SWG_OK; i++)
        status = measure(ctx, &future, &opts, (const uint8_t *)blob.data, &length[i]);
    if (blob.length)
        printf(", second half %.3f -> %.3f, its interior %.3f -> %.3f", length[0].bits / (double)length[0].points,
               length[1].bits / (double)length[1].points, length[0].inner_bits / (double)length[0].inner_points,
               length[1].inner_bits / (double)length[1].inner_points);
    printf("\n");
    swg__text_free(&blob);
    swg__free(ctx, data);
    swg_context_close(ctx);
    return status != SWG_OK;
}
