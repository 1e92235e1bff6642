/* archive.h (internal) - what compress, restore and verify share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_ARCHIVE_INTERNAL_H
#define SWAGE_ARCHIVE_INTERNAL_H

#include "base.h"
#include "swage/archive.h"
#include "swage/report.h"

/* ---- facts.c ---- */

/* Text stored with each member, so that a file can be restored as it was: "layout=grid;time=0x1.4p+2;path=U_CHI". */
typedef struct swg__member_facts {
    swg_layout layout;
    const char *path;      /* of the dataset; points into the text read, "" if it has none */
    bool has_time, big_endian;
    double time;
    int64_t row;           /* vars: place in `var_data` */
    const char *fill;      /* attribute with the fill value; NULL none */
    uint64_t fill_bits;
} swg__member_facts;
void swg__facts_write(const swg_array *array, swg__text *out);
/* Whatever the text says: what it does not say is grid, little endian, no time, no path, row 0. */
void swg__facts_read(const char *text, swg__member_facts *out);

/* The part of an array's file path that is kept: below `root`, or the file's name. */
const char *swg__relative_source(const char *root, const char *file);

/* What of an array is fill: as asked for, else as its attribute says (NULL: it has none), else NaNs. Sets fill, fill_bits, fill_threshold. */
swg_status swg__archive_fill(swg_context *ctx, const char *variable, swg_element element, const uint64_t *attribute, const swg_archive_opts *opts,
                             swg_codec_opts *codec);

bool swg__archive_stopped(const swg_archive_hooks *hooks);
void swg__archive_progress(const swg_archive_hooks *hooks, int64_t done, int64_t total, const char *source, const char *variable);

swg_codec_array swg__codec_array_of(const swg_array *array, const void *data);

/* ---- report.c ---- */

/* Empty rows; `names` bytes of r->names for their texts; file_bytes of `path`. */
swg_status swg__report_alloc(swg_context *ctx, const char *path, int64_t count, size_t names, swg_archive_report **out);
/* A row per member, with what is stored in the file: sizes, bounds, the encoder's own audit. */
swg_status swg__report_open(swg_context *ctx, const char *path, const swg_swz *swz, swg_archive_report **out);
/* Puts a comparison into a row. */
void swg__row_compare(swg_archive_row *row, const swg_codec_gap *gap, const swg_swz_info *info);
/* Adds up variables and total from the rows. */
void swg__report_sum(swg_archive_report *report);

/* ---- verify.c ---- */

/* Opens the arrays of `original` that a .swz holds. */
swg_status swg__originals_open(swg_context *ctx, const swg_swz *swz, const char *original, swg_source **out);
/* The array a member was made from. *from: where to look first; moves on, so that members in file order are found at once. */
swg_status swg__original_find(swg_context *ctx, const swg_swz *swz, const swg_swz_info *info, const swg_source *source, const char *root,
                              int64_t *from, int64_t *index);

typedef struct swg__check {
    swg_source *source;       /* originals; NULL: none */
    const char *root;         /* what the source was opened with */
    const double *compress_s; /* of each array of the source; NULL: unknown */
    bool headers_only;        /* fill the report from what is stored, decode nothing */
    int64_t done;             /* arrays already counted in progress */
    int64_t jobs;             /* as in swg_archive_opts */
    const swg_archive_hooks *hooks;
} swg__check;
/* SWG_EBOUND with a report, as swg_archive_verify. */
swg_status swg__archive_check(swg_context *ctx, const char *path, const swg__check *how, swg_archive_report **report);

/* ---- batch.c ---- */

/* How many of the next `left` arrays (values and bytes of each) to work on side by side, at least 1. jobs: at most so many; 0: as many as
 * keep the threads busy, and large arrays alone. Together they hold at most 256 MiB. */
int64_t swg__batch_count(swg_context *ctx, int64_t jobs, int64_t left, const int64_t *values, const int64_t *bytes);
/* fn for 0..count-1; seconds: what each task says it took, on return shares of the time that all took together. */
void swg__batch_run(swg_context *ctx, int64_t count, swg__task_fn fn, void *arg, double *seconds);

/* ---- predictor.c ---- */

/* From a trained network to the codec's integer predictor, calibrated on blocks of `source`; NULL if those are all constant. */
swg_status swg__archive_predictor(swg_context *ctx, swg_model *model, swg_source *source, swg_codec_model **out);

/* ---- train.c ---- */

/* As swg_archive_train, of an open source. training: NULL, or rows by variable; without it nothing is held out or tested. */
swg_status swg__archive_learn(swg_context *ctx, swg_source *source, const swg_archive_opts *opts, const swg_archive_train_opts *how,
                              const swg_archive_hooks *hooks, swg_codec_model *model, swg_archive_training *training);

/* The models that options ask for: those given, trained on the source, or made of a network. *model is not NULL only if it is `own`, to be freed. */
swg_status swg__archive_models(swg_context *ctx, swg_source *source, const swg_archive_opts *opts, const swg_archive_hooks *hooks,
                               swg_codec_model **own, const swg_codec_model **model);

/* ---- slices.c ---- */

struct cJSON;

/* Where pictures and figures of single variables go. */
typedef struct swg__gallery {
    swg_report *page;
    struct cJSON *list;       /* of objects, one per variable shown */
    const swg_swz *swz;
    const char *original;     /* what the source was opened with */
    swg_model *model;         /* NULL: none */
    const char *folder;       /* for volumes; NULL: none are written */
} swg__gallery;
/* Up to `most` variables, evenly chosen. source: the originals. */
swg_status swg__html_slices(swg_context *ctx, const swg__gallery *gallery, swg_source *source, const swg_archive_report *r, int most);

#endif
