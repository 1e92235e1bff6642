/* folder.h - the folder job: every block of every file through a trained network, in order, in bounded memory; and back.
 * The ratio is fixed and the error is what it is: where a bound is needed, see archive.h.
 *
 *     swg_model_open(ctx, "runs/demo", &model);
 *     swg_folder_encode(ctx, model, NULL, "data/", "out/", NULL, NULL, &report);
 *     printf("%s: %lld bytes\n", report->encoded, (long long)report->encoded_bytes);
 *     swg_folder_report_free(report);
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_FOLDER_H
#define SWAGE_FOLDER_H

#include <signal.h>
#include "swage/metrics.h"
#include "swage/model.h"

enum { SWG_FOLDER_BATCH = 16384 };

typedef struct swg_folder_opts {
    const char *shell;      /* what becomes of an item larger than a block: "tile" (default): blocks all over it; "keep": the block in its
                             * middle, all other values as they are; "none": only the block in the middle */
    bool latents_only;      /* encode: no reconstruction, and so no errors in the report */
    int deflate;            /* level 1..9; 0: fast */
    int64_t batch;          /* blocks that are at work together; 0: SWG_FOLDER_BATCH */
    const char *stamp;      /* folder made under `out`; NULL: date and time */
} swg_folder_opts;

typedef struct swg_folder_hooks {
    void (*progress)(void *user, int64_t done, int64_t total);  /* blocks, after each batch */
    const volatile sig_atomic_t *stop;                          /* not 0: leave nothing, return SWG_EINTERRUPTED */
    void *user;
} swg_folder_hooks;

/* Of one variable, or of all. */
typedef struct swg_folder_row {
    char *variable;             /* "all" in the last row */
    int64_t arrays, blocks, constant_blocks, raw_blocks;
    int64_t failed_blocks;      /* of the raw ones, those without a finite reconstruction */
    int64_t bytes_in;           /* arrays as stored */
    int64_t latent_bytes;       /* latents of normal blocks, f32, before deflation */
    int64_t side_bytes;         /* minima, exponents and constants, likewise */
    int64_t flag_bytes;         /* one byte per block, before deflation */
    int64_t kept_bytes;         /* raw blocks, and values outside the blocks with shell "keep" */
    int64_t normal_bytes;       /* what normal blocks take in the source's element type */
    bool compared;
    swg_metrics metrics;        /* original units, normal blocks; the row "all": means over the variables of mse, psnr_db, mae, relative_mean */
} swg_folder_row;

typedef struct swg_folder_report {
    int64_t count;              /* rows: one per variable, and the last one over all */
    swg_folder_row *rows;
    char folder[1024];          /* that was made */
    char encoded[1100], reconstructed[1100];    /* files; "": none */
    int64_t encoded_bytes, reconstructed_bytes; /* their sizes on disk */
    int64_t files, arrays;      /* files: those with an array of the job */
    int64_t buffer_bytes;       /* most that the context held: batches, rows on their way out, the reader's ring, weights and plans */
    int64_t peak_bytes;         /* growth of the process's peak resident set during the job; -1 where unknown */
    double seconds;             /* all of it, setting up included */
    double stream_s;            /* from the first batch asked for to the last one packed */
    double wait_s, normalise_s, network_s, restore_s, pack_s; /* of stream_s: waiting for the reader, and the stages */
} swg_folder_report;

/* Encodes an HDF5 file or all of a folder into out/<stamp>/all_variables_encoded.h5, and its reconstruction into
 * all_variables_reconstructed.h5 beside it; docs/folder.md describes both. Every block of every file in the order of swg_source_open. A thread reads
 * ahead while the others normalise, compute and pack; memory does not depend on the size of the files (but holds one layer of blocks of a grid).
 * Each file appears whole or not at all. The bytes depend on data, network and options, not on threads.
 * config: whose data.vars, layout, missing, constant and nonfinite count; NULL: the model's own. opts and hooks may be NULL.
 * SWG_EUSAGE: unknown shell. SWG_ESHAPE: items of different shapes; blocks the network does not fit. SWG_ENONFINITE: names file, variable and
 * block. SWG_EINTERRUPTED; other errors as swg_source_open and swg_sink_open. On failure *report is NULL. */
swg_status swg_folder_encode(swg_context *ctx, swg_model *model, swg_config *config, const char *path, const char *out, const swg_folder_opts *opts,
                             const swg_folder_hooks *hooks, swg_folder_report **report);

/* Decodes all_variables_encoded.h5 into out/all_variables_reconstructed.h5 (no folder of its own): the values that swg_folder_encode wrote, bit for
 * bit; with the same deflate and batch, which are what counts of opts, also the same file. SWG_EINVAL: another model than the one that
 * encoded it. SWG_EFORMAT, SWG_ECORRUPT: not such a file, damaged. */
swg_status swg_folder_reconstruct(swg_context *ctx, swg_model *model, const char *encoded, const char *out, const swg_folder_opts *opts,
                                  const swg_folder_hooks *hooks, swg_folder_report **report);

void swg_folder_report_free(swg_context *ctx, swg_folder_report *report); /* NULL is allowed */

#endif
