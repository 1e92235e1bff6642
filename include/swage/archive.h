/* archive.h - files in, files out: HDF5 data to one .swz with a guaranteed bound, back to HDF5, and the proof in between.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_ARCHIVE_H
#define SWAGE_ARCHIVE_H

#include <signal.h>
#include "swage/codec.h"
#include "swage/data.h"
#include "swage/model.h"

/* progress is called before each array; `done` counts up to `total`, which is twice the arrays where they are checked after writing.
 * stop not 0 ends the work before the next array with SWG_EINTERRUPTED and nothing half-written. */
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
    swg_source_opts source;
    uint32_t without;               /* modes not tried, bits 1 << SWG_MODE_... */
    bool no_check;                  /* do not restore and compare after writing */
} swg_archive_opts;

/* Compresses every array of an HDF5 file or folder into the collection `path`, restores each and compares; only then the file gets
 * its name. Lossless or within the bound whatever the arrays hold. Datasets, their layout, byte order and time are kept, other
 * attributes are not.
 * report: receives the figures (free it), NULL after a failure; may be NULL
 * SWG_EBOUND: the check failed (the report is filled all the same). SWG_EINVAL: the model was trained with another normalisation,
 * the output is a folder or an input. SWG_ENOTFOUND: no folder for the output. Whatever swg_source_open and the codec return. */
swg_status swg_archive_compress(swg_context *ctx, const char *input, const char *path, const swg_archive_opts *opts,
                                const swg_archive_hooks *hooks, swg_archive_report **report);

/* Restores a .swz: one HDF5 file per source under `folder` (made if it is not there), datasets, layout, byte order and time as they
 * were. A file that cannot be restored whole is not written; those before it are.
 * replace: take the place of files that stand there already; without it they are refused (SWG_EINVAL), as they may be originals.
 * SWG_EFORMAT: a source that would lie outside the folder. SWG_ECORRUPT. SWG_EIO. */
swg_status swg_archive_restore(swg_context *ctx, const char *path, const char *folder, bool replace, const swg_archive_hooks *hooks,
                               swg_archive_report **report);

/* Checks a .swz: checksums, streams and stored audit; with `original` (HDF5 file or folder, NULL none) every value against it. A
 * .swz of one file may be compared with one file of another name.
 * SWG_EBOUND: values outside the bound (the report is filled all the same). SWG_ECORRUPT. SWG_ESHAPE, SWG_ENOTFOUND: `original`
 * has another array, or none, of that name. SWG_EINVAL: the .swz names no file and several hold the variable. */
swg_status swg_archive_verify(swg_context *ctx, const char *path, const char *original, const swg_archive_hooks *hooks,
                              swg_archive_report **report);

/* The bound as users write it: "abs:1e-6", "rel:1e-4", "pw:1e-3", "psnr:80", "ratio:20", "lossless". SWG_EUSAGE with what is allowed. */
swg_status swg_bound_parse(swg_context *ctx, const char *text, swg_bound_mode *mode, double *value);

/* An HTML page: what was compressed and how well, per-variable table, share of modes, slices (original, restored, error) of up to
 * `slices` variables, and the training curve.
 * original: as in verify, NULL: no slices
 * run: run folder or checkpoint in one, NULL: no curve. One without log.jsonl is mentioned on the page
 * report: of swg_archive_compress or swg_archive_verify on the same file */
swg_status swg_archive_html(swg_context *ctx, const char *html, const char *path, const char *original, const char *run,
                            const swg_archive_report *report, int slices);

#endif
