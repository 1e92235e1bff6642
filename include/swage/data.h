/* data.h - from HDF5 files to training samples and back: sources, sinks, blocks, normalisation, splits, samples.
 * The order of this page is the order of a run: open a source, cut blocks, normalise, split, gather batches, write results.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_H
#define SWAGE_DATA_H

#include <stdbool.h>
#include <stdint.h>
#include "swage/context.h"
#include "swage/element.h"

/* ---- layouts ---- */

/* What an array means. vars: one row of `var_data`; with blocks, its dims are (blocks, n, n, n), n in 3..9. grid: (nz, ny, nx). */
typedef enum swg_layout { SWG_LAYOUT_VARS, SWG_LAYOUT_BLOCKS, SWG_LAYOUT_GRID } swg_layout;

const char *swg_layout_name(swg_layout layout);

/* ---- sources: the arrays of a file or a folder ---- */

typedef struct swg_source swg_source;

typedef struct swg_source_opts {
    const char *layout;  /* "auto" (default), "vars", "blocks" or "grid" */
    const char *vars;    /* comma list of globs over variable names; default "U_*" */
    const char *missing; /* "error" (default) or "skip": a variable that some of the files lack */
    bool any;            /* also take, as grids, what is named by another pattern than "*" and is an array of 1, 2 or 4 axes or of
                            integers: for those who copy, not for those who train */
} swg_source_opts;

/* One array: one variable of one file. All pointers belong to the source. */
typedef struct swg_array {
    const char *file;     /* path as opened */
    const char *path;     /* dataset inside the file, without the leading slash */
    const char *variable; /* last part of `path`, or the entry of `vars` */
    swg_layout layout;
    swg_element element;  /* as stored in the file; f32 or f64 without swg_source_opts.any */
    bool big_endian;      /* byte order in the file; swg_source_read delivers the native one */
    bool has_time;
    int ndim;             /* 3 (grid) or 4 (vars, blocks); with `any` 1 to 4 */
    int64_t dims[4];
    int64_t count;        /* values: product of dims */
    double time;          /* attribute `time` of the dataset, else of the file; 0 without has_time */
    int64_t file_index;   /* into the sorted list of files */
    int64_t variable_index;
    int64_t row;          /* vars: index into the first axis of var_data */
    const char *fill;     /* attribute that names a fill value, "_FillValue" or "missing_value"; NULL none */
    uint64_t fill_bits;   /* that value as the array's type holds it, in the low bytes */
} swg_array;

/* Opens an HDF5 file, or the *.h5 and *.hdf5 files of a folder sorted by bytes, and lists its arrays file by file, in a file by
 * dataset path (vars: in the order of `vars`). No values are read. opts may be NULL.
 * A pattern "*" takes every array of three or four axes and leaves the others alone (mesh, time axes); any other pattern says
 * that what it matches is a variable, so a match of another rank or type is an error.
 * SWG_ENOTFOUND: no such file, empty folder, a pattern that matches nothing, a variable missing in one file. SWG_EFORMAT: not
 * HDF5, no usable array, two layouts in one file, duplicate names. SWG_ESHAPE: wrong rank, unequal block axes, empty array.
 * SWG_EDTYPE: neither f32 nor f64. SWG_EINVAL: unknown option. On failure *out is NULL. */
swg_status swg_source_open(swg_context *ctx, const char *path, const swg_source_opts *opts, swg_source **out);
void swg_source_close(swg_source *source); /* NULL is allowed */

int64_t swg_source_count(const swg_source *source);
const swg_array *swg_source_array(const swg_source *source, int64_t index); /* NULL outside 0..count-1 */
int64_t swg_source_files(const swg_source *source);
const char *swg_source_file(const swg_source *source, int64_t index);
/* Variables in order of first appearance. */
int64_t swg_source_variables(const swg_source *source);
const char *swg_source_variable(const swg_source *source, int64_t index);

/* Reads array `index` into `buffer` (array->count elements of array->element, native byte order, C order).
 * SWG_EIO: unreadable, or changed since it was opened. */
swg_status swg_source_read(swg_source *source, int64_t index, void *buffer);

/* ---- sinks: a new HDF5 file, there whole or not at all ---- */

typedef struct swg_sink swg_sink;

typedef struct swg_sink_opts {
    int deflate;     /* 0: contiguous; 1..9: chunked, shuffled, deflated */
    bool big_endian; /* byte order in the file */
} swg_sink_opts;

/* Starts a file. Its bytes stay in memory (HDF5's own, not the context's) until the commit. SWG_ENOTFOUND, SWG_EIO: `path` cannot be
 * created. */
swg_status swg_sink_open(swg_context *ctx, const char *path, swg_sink **out);
/* Writes one dataset, groups on its path included. dims: ndim extents, 1..8 axes, zero allowed. opts may be NULL.
 * SWG_EINVAL: ndim, an extent or a deflate level out of range. SWG_EIO: HDF5 refuses, for example because the name is taken. */
swg_status swg_sink_put(swg_sink *sink, const char *dataset, swg_element element, int ndim, const int64_t *dims, const void *data,
                        const swg_sink_opts *opts);
/* A 1-D dataset of byte strings, as `vars` is. */
swg_status swg_sink_put_names(swg_sink *sink, const char *dataset, const char *const *names, int64_t count);
/* Attributes of a dataset, of a group (made if it is not there) or of the file ("/"). */
swg_status swg_sink_text(swg_sink *sink, const char *object, const char *name, const char *text);
swg_status swg_sink_number(swg_sink *sink, const char *object, const char *name, double value);
swg_status swg_sink_integers(swg_sink *sink, const char *object, const char *name, const int64_t *values, int64_t count);
/* Writes, syncs and names the file; the sink is gone afterwards, whatever the status. SWG_EIO: disk full. */
swg_status swg_sink_commit(swg_sink *sink);
/* Drops the file. NULL is allowed. */
void swg_sink_abort(swg_sink *sink);

/* ---- blocks: arrays cut into cubes ---- */

enum { SWG_EDGE_MAX = 16 };

/* How a 7^3 item becomes blocks; a grid is always tiled.
 * center: one block from the middle. tile: the last plane is repeated to a multiple of the edge, blocks in z-major order.
 * full: the item itself, edge = n. */
typedef enum swg_cut { SWG_CUT_CENTER, SWG_CUT_TILE, SWG_CUT_FULL } swg_cut;

/* A plan of cutting: items x (nz, ny, nx) values into items x (bz, by, bx) blocks of edge^3. Plain data, nothing to free. */
typedef struct swg_blocks {
    int64_t items;     /* 1 for a grid */
    int64_t extent[3]; /* nz, ny, nx of one item */
    int64_t start;     /* first index taken on each axis (center) */
    int64_t tiles[3];  /* blocks per item along z, y, x */
    int64_t edge;
    int64_t count;     /* blocks in all */
} swg_blocks;

/* "center", "tile" or "full"; NULL is "center". SWG_EINVAL for another word. */
swg_status swg_cut_parse(swg_context *ctx, const char *word, swg_cut *out);
/* dims: (n, s, s, s) for ndim 4, (nz, ny, nx) for ndim 3. edge: 2..SWG_EDGE_MAX.
 * SWG_ESHAPE: an item smaller than the edge with `center`, or unequal to it with `full`. */
swg_status swg_blocks_plan(swg_context *ctx, int ndim, const int64_t *dims, swg_cut cut, int64_t edge, swg_blocks *out);
/* Number of values of block `index` that lie inside its item: extent[0] * extent[1] * extent[2], the first of each axis. The rest is
 * padding. */
int64_t swg_blocks_inside(const swg_blocks *blocks, int64_t index, int64_t extent[3]);
/* Copies blocks first .. first + count - 1 of `values` into `out` (count, edge, edge, edge). */
void swg_blocks_cut(const swg_blocks *blocks, swg_element element, const void *values, int64_t first, int64_t count, void *out);
/* The inverse: writes each value of the blocks that lies inside its item; padding is dropped, what `center` left out stays. */
void swg_blocks_join(const swg_blocks *blocks, swg_element element, const void *in, int64_t first, int64_t count, void *values);

/* ---- normalisation ---- */

/* Fate of a block. */
enum { SWG_BLOCK_NORMAL = 0, SWG_BLOCK_CONSTANT = 1, SWG_BLOCK_RAW = 2 };

/* What the decoder must know about one block. */
typedef struct swg_side {
    double offset;    /* block minimum or mean, a number of the input's precision (block_scale: f32); the value if constant */
    int32_t exponent; /* scaleitup: of 10; block_scale: of 2; -128..127 */
    int32_t flag;     /* SWG_BLOCK_... */
} swg_side;

typedef struct swg_norm swg_norm;

/* A normaliser by name: pos_log, block_scale, scaleitup, pos_log_std, minmax, zscore, robust, asinh, symlog, adaptive, none; NULL
 * is pos_log. variables: names its per-variable parameters belong to. Those that have global parameters
 * (swg_norm_needs_fit) must be fitted or read from JSON before use. SWG_EINVAL: unknown name; the message lists them. */
swg_status swg_norm_open(swg_context *ctx, const char *name, const char *const *variables, int64_t count, swg_norm **out);
void swg_norm_close(swg_norm *norm); /* NULL is allowed */
const char *swg_norm_name(const swg_norm *norm);
bool swg_norm_needs_fit(const swg_norm *norm);
/* Index of a variable for the calls below; one that the normaliser does not know gives -1 if the normaliser has a
 * parameter per variable, else 0. */
int64_t swg_norm_variable(const swg_norm *norm, const char *name);
/* Bytes of side information per normal block of f32 or f64 input (offset and exponent, the flag not counted). */
int64_t swg_norm_side_bytes(const swg_norm *norm, swg_element element);

/* Finite block x (count values, at most SWG_EDGE_MAX^3) to y (f32), in f64 inside. Fills side->offset and exponent; side->flag becomes SWG_BLOCK_RAW and y
 * all zeros if any y is not finite, SWG_BLOCK_NORMAL otherwise. */
void swg_norm_forward(const swg_norm *norm, int64_t variable, swg_element element, const void *x, int64_t count, swg_side *side, float *y);
/* Back to x, rounded once to `element`. Reads offset and exponent of side. */
void swg_norm_inverse(const swg_norm *norm, int64_t variable, const swg_side *side, const float *y, int64_t count, swg_element element,
                      void *x);

/* The normaliser as JSON, for a checkpoint. Writes at most `capacity` bytes with the terminator and returns the length of the whole
 * text without it (like snprintf); -1 when out of memory. */
int64_t swg_norm_json(const swg_norm *norm, char *text, int64_t capacity);
/* SWG_EFORMAT: not such a text. */
swg_status swg_norm_from_json(swg_context *ctx, const char *text, swg_norm **out);

/* ---- splits ---- */

enum { SWG_TRAIN, SWG_VAL, SWG_TEST, SWG_PARTS };

typedef struct swg_split_opts {
    const char *mode;  /* "random" (default), "by-file", "by-time", or for images "by-group": `file` of a sample is its group then */
    const char *rng;   /* "numpy-legacy" (default, as published) or "philox" */
    uint64_t seed;     /* as published: 42. numpy-legacy takes 32 bits */
    double train, val; /* fractions; both 0: 0.80 and 0.15. The rest is the test part */
    bool has_test_from; /* samples of time test_from or later are the test part, whatever the fractions; the mode splits the earlier */
    double test_from;   /* ones into training and validation, train : val */
    bool images;        /* the samples are whole images, not neighbouring blocks: the description says so, and a part whose fraction is
                           not 0 gets one image or group at least where there are as many */
    const char *group;  /* by-group: what the groups are, for the description: "slide" */
} swg_split_opts;

/* One block of the data set. */
typedef struct swg_sample {
    int64_t block;            /* index among the blocks cut from its array */
    int32_t array;            /* index in the source */
    int32_t file, variable;   /* indices in the source */
    int32_t part;             /* SWG_TRAIN, ... */
    double time;              /* NaN if unknown */
    swg_side side;
} swg_sample;

/* Lists of sample indices, disjoint, covering 0..count-1. random: in drawn order. by-time and by-file: in sample order. */
typedef struct swg_split {
    int64_t count[SWG_PARTS];
    int64_t *indices[SWG_PARTS];
    char *description;        /* the line every report begins with: "split: random (test blocks are neighbours of ...)" */
} swg_split;

/* Splits `count` samples (file and time are read, nothing written). by-time cuts between two times only, so no time is in two parts;
 * by-file likewise with files. Free with swg_split_free.
 * opts NULL: the published split, seed 42.
 * SWG_EINVAL: unknown word, bad fractions, a sample without time, or a part that would be empty though its fraction is not 0. */
swg_status swg_split_make(swg_context *ctx, const swg_sample *samples, int64_t count, const swg_split_opts *opts, swg_split *out);
void swg_split_free(swg_context *ctx, swg_split *split);

/* ---- samples: the data set in memory ---- */

typedef struct swg_samples swg_samples;

typedef struct swg_samples_opts {
    const char *cut;        /* "center" (default), "tile", "full" */
    int64_t edge;           /* 0: 5 */
    const char *norm;       /* NULL: "pos_log" */
    const char *constant;   /* "bypass" (default): flag 1, not trained on; "include": as any block */
    const char *nonfinite;  /* "error" (default) or "raw": flag 2, not trained on */
    swg_split_opts split;
    const swg_norm *fitted; /* use these parameters (of a checkpoint) and neither `norm` nor the training part; must outlive the samples */
    bool no_split;          /* every sample is a test sample; for evaluation */
} swg_samples_opts;

/* Samples, and bytes that swg_samples_open will hold at most, without reading a value. */
swg_status swg_samples_plan(swg_context *ctx, const swg_source *source, const swg_samples_opts *opts, int64_t *samples, int64_t *bytes);

/* Reads all arrays, cuts, marks constant and non-finite blocks, splits, fits the normaliser on the training part, normalises.
 * The source may be closed afterwards. Same bits for any number of threads. opts may be NULL.
 * SWG_ENONFINITE names file, variable and block. SWG_EINVAL: a part without a usable sample. */
swg_status swg_samples_open(swg_context *ctx, swg_source *source, const swg_samples_opts *opts, swg_samples **out);
void swg_samples_close(swg_samples *samples); /* NULL is allowed */

int64_t swg_samples_count(const swg_samples *samples);
int64_t swg_samples_edge(const swg_samples *samples);
int64_t swg_samples_flagged(const swg_samples *samples, int flag); /* number of samples with this flag */
const swg_sample *swg_samples_list(const swg_samples *samples);    /* (count) */
const float *swg_samples_values(const swg_samples *samples);       /* (count, edge^3); zeros where flagged */
const swg_norm *swg_samples_norm(const swg_samples *samples);
/* The split without flagged samples. */
const swg_split *swg_samples_split(const swg_samples *samples);

/* Copies samples indices[0..count-1] into out (count, edge^3). SWG_EINVAL: an index out of range. */
swg_status swg_samples_gather(const swg_samples *samples, const int64_t *indices, int64_t count, float *out);

#endif
