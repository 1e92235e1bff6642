/* stems_speed.c - CPU time of one training sample of a folder of songs, for each augmentation, from memory and from files, as a table in Markdown.
 * stems_speed FOLDER [SAMPLES]
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "data/stems.h"

static double cpu_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Mean and largest of CPU times: half of the samples are augmented. */
static swg_status measure(swg_context *ctx, const swg__stems_opts *opts, int64_t samples, double *mean, double *most) {
    swg__stems *set;
    swg_status status = swg__stems_open(ctx, opts, &set);
    if (status != SWG_OK)
        return status;
    const int64_t values = swg__stems_channels(set) * swg__stems_segment(set);
    float *x = malloc((size_t)((1 + swg__stems_number(set)) * values) * sizeof *x);
    char message[300];
    for (int64_t i = 0; x && status == SWG_OK && i < samples; i++) {
        const double start = cpu_ms();
        status = swg__stems_fetch(set, &(int64_t){i % swg__stems_split(set)->count[SWG_TRAIN]}, 1, &(swg__stems_draw){.training = true, .epoch = (uint32_t)i},
                                  &(swg__stems_batch){.mixture = x, .stems = x + values}, message, sizeof message);
        const double took = cpu_ms() - start;
        *mean += took / (double)samples;
        *most = took > *most ? took : *most;
    }
    free(x);
    swg__stems_close(set);
    return status;
}

int main(int argc, char **argv) {
    static const char *const works[] = {"none", "gain,fmask,tmask", "mixup", "remix", "stretch", "pitch", "all"};
    const int64_t samples = argc > 2 ? atoll(argv[2]) : 100;
    swg_context *ctx;
    if (argc < 2 || samples < 1 || swg_context_open(NULL, &ctx) != SWG_OK) {
        fprintf(stderr, "stems_speed FOLDER [SAMPLES]\n");
        return 2;
    }
    swg_status status = SWG_OK;
    printf("| data.augment | in memory: mean, most | from files: mean, most |\n|---|---|---|\n");
    for (size_t w = 0; w < sizeof works / sizeof *works && status == SWG_OK; w++) {
        double mean[2] = {0}, most[2] = {0};
        for (int k = 0; k < 2 && status == SWG_OK; k++)
            status = measure(ctx, &(swg__stems_opts){.path = argv[1], .augment = works[w], .valid_fraction = -1, .cache = k ? "none" : "memory"}, samples,
                             &mean[k], &most[k]);
        if (status == SWG_OK)
            printf("| `%s` | %.1f, %.1f ms | %.1f, %.1f ms |\n", works[w], mean[0], most[0], mean[1], most[1]);
    }
    if (status != SWG_OK)
        fprintf(stderr, "stems_speed: %s\n", swg_context_message(ctx));
    swg_context_close(ctx);
    return status != SWG_OK;
}
