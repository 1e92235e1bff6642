/* folder.h (internal) - what the folder job is made of: arrays cut into pieces, pieces gathered into batches, stages over a batch.
 * A piece is a run of items of a block array, or a run of layers of a grid; its blocks follow each other in the array.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_FOLDER_PARTS_H
#define SWAGE_FOLDER_PARTS_H

#include "data/pack.h"
#include "data/prepare.h"
#include "swage/folder.h"

enum { SWG__FOLDER_FORMAT = 1, SWG__HASH_CHARS = 65 };

typedef enum swg__shell { SWG__SHELL_TILE, SWG__SHELL_KEEP, SWG__SHELL_NONE } swg__shell;

typedef struct swg__piece {
    int64_t array;
    int64_t first, rows;        /* along the array's first axis: items, or planes */
    int64_t block;              /* first block in the batch */
    int64_t at;                 /* of its values in the batch's bytes */
    swg_blocks blocks;          /* of the piece alone */
} swg__piece;

typedef struct swg__batch {
    int64_t first, pieces;      /* in the list of pieces */
    int64_t blocks, bytes;      /* bytes: of the values, as they lie in memory */
} swg__batch;

typedef struct swg__folder_variable {
    const char *name;
    swg_element element;        /* the widest of its arrays */
    int64_t norm;               /* variable of the normaliser */
    int64_t items, item;        /* of its block arrays: how many, values per axis; 0: none */
    int64_t latents, offset, exponent, flag, constant, raw, shell;  /* columns of the encoded file; -1: none */
    int64_t recon;              /* column of var_data; -1: none */
    swg_compare *compare;       /* NULL: nothing is compared */
    swg_folder_row row;
} swg__folder_variable;

/* Where the reconstruction of an array goes. */
typedef struct swg__folder_target {
    int64_t column;             /* -1: not opened yet */
    swg_element element;
} swg__folder_target;

typedef struct swg__job {
    swg_context *ctx;
    swg_model *model;
    swg_folder_opts opts;
    swg_folder_hooks hooks;
    swg__block_rules rules;
    swg__shell shell;
    int64_t volume, latent;
    bool has_offset, has_exponent;          /* what the normaliser keeps per block */
    const swg_array *const *arrays;         /* owned by the source, or the reader */
    int64_t array_count;
    swg__folder_variable *variables;
    int64_t variable_count;
    /* plan */
    swg__piece *pieces;
    swg__batch *batches;
    int64_t piece_count, batch_count;
    int64_t total, most_blocks, most_bytes; /* blocks in all; of the largest batch */
    /* the batch at hand */
    const swg__batch *batch;
    const char *values;                     /* encode: as read */
    int64_t *piece_of;                      /* block -> piece */
    int64_t *dense;                         /* block -> row of x and z, -1: none */
    int64_t normal;                         /* rows of x and z */
    swg_side *side;
    float *x, *z;                           /* (blocks, volume), (blocks, latent) */
    char *blocks;                           /* (blocks, volume) restored, each in its array's element type, 8 bytes a value apart */
    const char **shells;                    /* per piece of the batch: values outside its blocks, in the variable's element type */
    int64_t *rows;                          /* per piece of the batch: first row in the column of the reconstruction */
    /* reconstruction */
    swg_sink *sink;
    swg__packer *packer;                    /* NULL: none is written */
    swg__folder_target *targets;            /* per array */
    swg_element data_element;               /* of var_data */
    int64_t item;                           /* values per axis of an item, 0: no block array */
    int64_t layout_rows;                    /* of var_data: the most items of a variable */
    swg_folder_report *report;
    int64_t began_ns, stream_ns;
} swg__job;

/* ---- plan.c ---- */

swg_status swg__shell_parse(swg_context *ctx, const char *word, swg__shell *out);
const char *swg__shell_name(swg__shell shell);
/* Reads everything of job->model and job->opts; arrays and variables must be there. Makes the plan and allocates what a batch needs. */
swg_status swg__job_plan(swg__job *job);
/* The model's part of that alone: sizes of blocks, latents and side information. */
void swg__job_sides(swg__job *job);
void swg__job_release(swg__job *job);
/* Values of one item outside its blocks with shell "keep"; 0 where nothing is left out. */
int64_t swg__shell_values(const swg__job *job, const swg_array *array);
/* Copies them from an item, in C order, or back into one; `from` and `to` may differ in type. */
void swg__shell_take(const swg__job *job, const swg_array *array, const void *item, swg_element to, void *shell);
void swg__shell_give(const swg__job *job, const swg_array *array, swg_element from, const void *shell, swg_element to, void *item);
void swg__convert(swg_element from, const void *in, swg_element to, void *out, int64_t count);
/* The path with no folder in front. */
const char *swg__base_name(const char *path);
/* SHA-256 over names, shapes and values of weights and states, and the normaliser: the same for every copy of a network. */
swg_status swg__model_hash(swg_context *ctx, swg_model *model, char hex[SWG__HASH_CHARS]);
/* One line about the network: "mlp [512, 256] relu". */
void swg__model_arch(swg_model *model, char *text, size_t capacity);

/* ---- restore.c: from latents to all_variables_reconstructed.h5 ---- */

/* Starts the file and its columns. */
swg_status swg__restore_open(swg__job *job, const char *path);
/* Decodes the batch (z, side, dense; raw blocks lie in job->blocks already) and puts its items and layers into the columns. originals: look at
 * job->values where a reconstruction is not finite, keep that block raw, and compare. */
swg_status swg__restore_batch(swg__job *job, bool originals);
/* Attributes, and the name. */
swg_status swg__restore_commit(swg__job *job, const char *source_folder, const char *hash);
void swg__restore_close(swg__job *job);

/* ---- report.c ---- */

swg_status swg__folder_report_open(swg__job *job);
/* Adds the batch to the rows of its variables: blocks of each kind and what they take. side and piece_of must be final. */
void swg__folder_count(swg__job *job);
/* Fills all rows, sums and means in the last one, sizes of the files that are there; may be called again. */
void swg__folder_report_finish(swg__job *job);
/* Notes how much the context holds now. */
void swg__job_memory(swg__job *job);
bool swg__job_stopped(const swg__job *job);
swg_status swg__job_interrupted(swg__job *job);

#endif
