/* performance.h - the published set-up of performance (setup_gpu_optimizations and what stands beside it), with an answer for each wish: what is in force
 * here, and why the rest is not. docs/cyto.md, "Published names", has the other calls and what they are called here.
 *
 *     swg_config_open(ctx, "cyto/segmentation", NULL, &config);
 *     swg_performance_setup(config, NULL, &now);               as published: everything on
 *     swg_train(ctx, config, NULL, NULL);
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_PERFORMANCE_H
#define SWAGE_PERFORMANCE_H

#include "swage/config.h"

typedef struct swg_performance_opts {
    bool autotune;                      /* cudnn_benchmark */
    bool tf32;
    const char *matmul_precision;       /* "highest", "high", "medium"; NULL: highest */
    bool channels_last;
} swg_performance_opts;

/* What is in force; each with its reason. */
typedef struct swg_performance {
    bool autotune, tf32, channels_last;
    char matmul_precision[16];          /* "highest": f32; "medium": bf16 */
    const char *gpu;                    /* its name; NULL: none is used */
    int workers;                        /* swg_optimal_workers */
    char why_autotune[96], why_tf32[96], why_matmul_precision[96], why_channels_last[96], why_gpu[96];
} swg_performance;

/* Sets performance.autotune, .tf32, .matmul_precision and .channels_last of the configuration, and says what of it acts on this machine. A training run
 * prints the same, with numbers, for every key. opts NULL: autotune, tf32, high, channels_last, as published.
 * SWG_EUSAGE: matmul_precision is none of the words. */
swg_status swg_performance_setup(swg_config *config, const swg_performance_opts *opts, swg_performance *out);

/* Loader threads for images: half of the processors this process may use, 2 at least, 8 at most. */
int swg_optimal_workers(void);

#endif
