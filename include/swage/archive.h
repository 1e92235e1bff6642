/* archive.h - files in, files out: HDF5 data to one .swz with a guaranteed bound, back to HDF5, and the proof in between.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_ARCHIVE_H
#define SWAGE_ARCHIVE_H

#include <signal.h>
#include "swage/codec.h"
#include "swage/data.h"
#include "swage/model.h"

/* progress is called before each array, by one thread at a time, not always the same; `done` counts up to `total`, which is twice the arrays where they are checked after writing.
 * stop not 0 ends the work before the next array with SWG_EINTERRUPTED; no output is half-written under its name. */
typedef struct swg_archive_hooks {
    void (*progress)(void *user, int64_t done, int64_t total, const char *source, const char *variable);
    const volatile sig_atomic_t *stop;
    void *user;
} swg_archive_hooks;

/* Figures of one array, and, added up, of a variable or of everything. Errors are of the restored values against the originals. */
typedef struct swg_archive_row {
    const char *source, *variable;  /* source NULL: all files */
    int64_t arrays, values;
    int64_t finite;                 /* values that are no fill, neither NaN nor infinite; 0 before a comparison */
    int64_t filled;                 /* fill values; 0 before a comparison */
    int64_t bytes_in, bytes_out;    /* bytes_out: all members of the row; the network is counted in the total */
    double bound;                   /* absolute, in the variable's units, or a fraction of each value (pw); of several arrays the
                                       largest; 0: lossless */
    double max_abs_error;
    double max_ratio;               /* largest error / bound of any array; 0 without a bound */
    int64_t violations;             /* values outside their array's bound */
    double psnr_db;                 /* of the pooled range; NaN where the range is 0, infinite without error */
    double range_min, range_max, square_sum; /* what psnr_db is made of, over the finite values */
    double compress_s, decompress_s;
    int64_t mode_chunks[SWG_MODE_COUNT];
} swg_archive_row;

typedef struct swg_archive_report {
    swg_context *ctx;
    int64_t count;                  /* arrays, in file order */
    swg_archive_row *rows;
    int64_t variable_count;         /* variables, in order of first appearance */
    swg_archive_row *variables;
    swg_archive_row total;
    int64_t model_bytes, file_bytes;
    int64_t model_saved;            /* bytes that chunks are shorter by for the models in the file; after a compression */
    char *names;                    /* storage of the names */
} swg_archive_report;
void swg_archive_report_free(swg_archive_report *report); /* NULL is allowed */

typedef struct swg_archive_opts {
    swg_bound_mode bound;
    double value;                   /* of the bound */
    const char *fill;               /* a number: values equal to it are fill; "none": all are data; NULL: what the attribute _FillValue
                                       or missing_value of a dataset says, and NaNs */
    double fill_above;              /* > 0: NaN and |x| >= fill_above are fill, whatever the attributes say */
    swg_model *model;               /* trained with data.norm=block_scale; NULL: no network */
    const swg_codec_model *models;  /* in place of a network: a set of codec models; NULL none */
    const char *train;              /* kinds of codec models to train on the arrays themselves first, "" all; NULL none. Not with the two above */
    swg_source_opts source;
    uint32_t without;               /* modes not tried, bits 1 << SWG_MODE_... */
    bool no_check;                  /* do not restore and compare after writing */
    bool has_range;                 /* SWG_BOUND_REL: of the range below, in the data's units, instead of each array's own */
    double range_min, range_max;
    int jobs;                       /* arrays worked on at the same time; 0: as many as keep the threads busy, and large ones alone */
    bool as_before;                 /* swg_archive_append: the bound is that of the stream, which must be there */
} swg_archive_opts;

/* Compresses every array of an HDF5 file or folder into the collection `path`, restores each and compares; only then the file gets
 * its name. Until then it is PATH.partial with a journal beside it; after an interruption, or a failure other than of writing, both stay, and
 * the same call goes on where they end, to the same bytes. A call with other options or changed inputs begins anew.
 * Lossless or within the bound whatever the arrays hold. Datasets, their layout, byte order and time are kept, other
 * attributes are not.
 * report: receives the figures (free it), NULL after a failure; may be NULL
 * SWG_EBOUND: the check failed (the report is filled all the same). SWG_EINVAL: the model was trained with another normalisation,
 * the output is a folder or an input. SWG_ENOTFOUND: no folder for the output. Whatever swg_source_open and the codec return. */
swg_status swg_archive_compress(swg_context *ctx, const char *input, const char *path, const swg_archive_opts *opts,
                                const swg_archive_hooks *hooks, swg_archive_report **report);

/* An HDF5 file into one that reads the same through the filter 32789 (docs/hdf5.md): datasets of floats of 4 KiB or more whose name or path
 * matches opts->source.vars (NULL: all) are stored within the bound, integers without loss, dimension scales and everything else as they
 * are, with groups, links, attributes and references. Each array is restored and compared; only then the file gets its name.
 * The rows of the report name paths of datasets. SWG_ENOTFOUND: nothing to compress. Otherwise as swg_archive_compress. */
swg_status swg_archive_compress_hdf5(swg_context *ctx, const char *input, const char *path, const swg_archive_opts *opts,
                                     const swg_archive_hooks *hooks, swg_archive_report **report);

/* Restores a .swz: one HDF5 file per source under `folder` (made if it is not there), datasets, layout, byte order and time as they
 * were. A file that cannot be restored whole is not written; those before it are.
 * Of an HDF5 file with filtered datasets: a file of its name under `folder` in which these are chunked without the filter.
 * replace: take the place of files that stand there already; without it they are refused (SWG_EINVAL), as they may be originals.
 * SWG_EFORMAT: a source that would lie outside the folder. SWG_ECORRUPT. SWG_EIO. */
swg_status swg_archive_restore(swg_context *ctx, const char *path, const char *folder, bool replace, const swg_archive_hooks *hooks,
                               swg_archive_report **report);

typedef struct swg_archive_damage {
    int64_t bytes;                  /* behind the last valid footer, not looked at */
    int64_t arrays;                 /* with damaged chunks, which are zero in what was restored */
} swg_archive_damage;

/* As swg_archive_restore, with what is left of a damaged file: what it held at its last valid footer, zeros for damaged chunks (a
 * warning names each array). damage tells how much is missing. */
swg_status swg_archive_salvage(swg_context *ctx, const char *path, const char *folder, bool replace, const swg_archive_hooks *hooks,
                               swg_archive_damage *damage, swg_archive_report **report);

typedef struct swg_archive_growth {
    int64_t streams;                /* written to */
    int64_t steps_added, steps;     /* over all streams; steps: what they hold now */
    int64_t bytes_in;               /* of the steps added */
    int64_t bytes_added, bytes;     /* of the streams */
} swg_archive_growth;

/* Adds the arrays of an HDF5 file, or of a folder's files in order, to growing streams (swg_codec_append_open): a grid is one step of an
 * array (steps, nz, ny, nx), blocks are added to the blocks that are there. Steps are restored and compared unless no_check.
 * path: a .swz of one variable, made where there is none; or a folder (made if it ends in /): VARIABLE.swz for each
 * opts: of an existing stream bound and range must be the same, or as_before. Without source.vars: the variable the stream holds
 * growth: may be NULL. Of each stream all steps of the call are added or none.
 * SWG_EINVAL: several variables for one file, a relative bound of a new stream without a range. SWG_EUNSUPPORTED: a network. */
swg_status swg_archive_append(swg_context *ctx, const char *input, const char *path, const swg_archive_opts *opts, const swg_archive_hooks *hooks,
                              swg_archive_growth *growth);

typedef struct swg_archive_subset {
    int64_t arrays, values, bytes;  /* written */
    int64_t bytes_read;             /* of the .swz */
} swg_archive_subset;

/* Restores parts of members; only the chunks they touch are read.
 * spec: "U_CHI[10:20,:,5],U_GT*[...,0]": names with * and ?, or SOURCE:NAME; in brackets what Python takes for a NumPy array (negative
 *     numbers, "...", axes left out), but no steps. An index takes the axis away; without any axis left HDF5 gets one of length 1
 * output: by its ending HDF5 (.h5, .hdf5), NumPy (.npy) or bytes in this machine's order (.raw, .bin; the last three hold one array).
 *     In HDF5 datasets have their names, below that of their file where several are in play, an attribute `origin` and their `time`
 * replace: as in swg_archive_restore. out: may be NULL
 * SWG_EUSAGE: the spec, with where and why. SWG_ENOTFOUND: no such variable. Whatever swg_swz_read_box returns. */
swg_status swg_archive_slice(swg_context *ctx, const char *path, const char *spec, const char *output, bool replace, swg_archive_subset *out);

/* Checks a .swz, or the filtered datasets of an HDF5 file: checksums, streams and stored audit; with `original` (HDF5 file or folder, NULL none) every value against it. A
 * .swz of one file may be compared with one file of another name.
 * SWG_EBOUND: values outside the bound (the report is filled all the same). SWG_ECORRUPT. SWG_ESHAPE, SWG_ENOTFOUND: `original`
 * has another array, or none, of that name. SWG_EINVAL: the .swz names no file and several hold the variable. */
swg_status swg_archive_verify(swg_context *ctx, const char *path, const char *original, const swg_archive_hooks *hooks,
                              swg_archive_report **report);

/* The bound as users write it: "abs:1e-6", "rel:1e-4", "pw:1e-3", "psnr:80", "ratio:20", "lossless". SWG_EUSAGE with what is allowed. */
swg_status swg_bound_parse(swg_context *ctx, const char *text, swg_bound_mode *mode, double *value);

/* A report: what was compressed and how well, per-variable table, share of modes; of up to `slices` variables slices (original, restored,
 * error), the error's histogram, correlation, gradients and spectrum, the mode of each chunk, a rate-distortion curve; of BSSN data two
 * constraints before and after; the training curve. JSON beside it (docs/cli.md).
 * where: a page, NAME.html, with NAME.json; or a folder (made), with report.html, report.json and VARIABLE.vti of shown grids
 * original: as in verify, NULL: nothing that needs values
 * run: run folder or checkpoint in one, NULL: no curve. One without log.jsonl is mentioned on the page
 * report: of swg_archive_compress or swg_archive_verify on the same file */
swg_status swg_archive_html(swg_context *ctx, const char *where, const char *path, const char *original, const char *run,
                            const swg_archive_report *report, int slices);

/* ---- codec models of a series ---- */

typedef struct swg_archive_training_row {
    const char *variable;           /* owned by the training */
    int64_t trained, tested;        /* arrays */
    bool held_out;                  /* those tested were not trained on */
    int64_t values;                 /* tested */
    int64_t bytes_without, bytes_with; /* of the tested arrays, each a stream of its own, models not counted */
    int64_t model_bytes;            /* of the variable's models */
    double seconds;                 /* of training */
} swg_archive_training_row;

typedef struct swg_archive_training {
    swg_context *ctx;
    int64_t count;                  /* variables */
    swg_archive_training_row *rows;
    char *names;
} swg_archive_training;
void swg_archive_training_free(swg_archive_training *training); /* NULL is allowed */

typedef struct swg_archive_train_opts {
    const char *kinds;              /* as swg_codec_fit_opts has them */
    uint64_t seed;
    double seconds;                 /* of each kind and variable; 0: a number of steps */
    const char *save;               /* path the set is saved to after each variable; NULL: nowhere */
} swg_archive_train_opts;

/* What -m names: a run folder with model.swm or a .swm file gives *models, any other run folder or checkpoint *network; the other one is NULL. */
swg_status swg_archive_open_models(swg_context *ctx, const char *path, swg_codec_model **models, swg_model **network);

/* Trains codec models of every variable and adds them to a set. Of each variable with more than one array the last quarter, by time, is
 * held out and compressed with and without the models; variables that the set has models of already are left alone.
 * opts: bound, range, fill, without, source count. training: may be NULL. SWG_EINTERRUPTED: what was ready is in the set, and saved. */
swg_status swg_archive_train(swg_context *ctx, const char *input, const swg_archive_opts *opts, const swg_archive_train_opts *how,
                             const swg_archive_hooks *hooks, swg_codec_model *model, swg_archive_training **training);

#endif
