/* h5file.h - a whole HDF5 file taken apart into objects and put together again, its large arrays compressed or restored on the way.
 * Everything here is called between swg__h5_enter and swg__h5_leave unless it says otherwise.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_H5FILE_H
#define SWAGE_H5FILE_H

#include "archive/archive.h"
#include "codec/filter.h"
#include "data/hdf5.h"
#include "data/listing.h"
#include "data/sink.h"

/* ---- walk.c: the objects of a file ---- */

typedef enum swg__h5_kind {
    SWG__H5_GROUP, SWG__H5_DATASET, SWG__H5_TYPE, /* hard links to objects met for the first time */
    SWG__H5_AGAIN,                                /* a hard link to an object met before */
    SWG__H5_SOFT, SWG__H5_EXTERNAL,
    SWG__H5_OTHER                                 /* links and objects of kinds this version cannot copy */
} swg__h5_kind;

/* A dataset that the codec could take: chunked or contiguous, of numbers. */
typedef struct swg__h5_array {
    swg_element type;
    bool big_endian;
    int rank;
    int64_t dims[SWG__FILTER_AXES], chunk[SWG__FILTER_AXES]; /* as stored; chunk 0: contiguous */
    int64_t values;
    bool filtered, alone;    /* the filter is in its pipeline; nothing else is */
    bool scale;              /* a dimension scale: what axes are read by */
    bool has_fill;           /* an attribute names a fill value: */
    uint64_t fill_bits;
} swg__h5_array;

typedef struct swg__h5_item {
    const char *path;        /* "/" first */
    swg__h5_kind kind;
    int64_t first;           /* SWG__H5_AGAIN: the item that has the object */
    bool is_array;           /* a dataset, and `array` describes it */
    swg__h5_array array;
    bool taken;              /* by the job, which sets it */
} swg__h5_item;

typedef struct swg__h5_tree {
    swg__arena arena;
    swg__h5_item *items;     /* every group before what it holds; links in the order the file keeps */
    int64_t count, capacity;
} swg__h5_tree;

swg_status swg__h5_walk(swg_context *ctx, const char *path, hid_t file, swg__h5_tree *tree);
void swg__h5_tree_free(swg__h5_tree *tree);

/* Is the path a file that begins like HDF5? Any time. */
bool swg__h5_is_file(const char *path);
/* Opens for reading. */
swg_status swg__h5_open_file(swg_context *ctx, const char *path, hid_t *file);

/* ---- copy.c: everything but the arrays that a job takes ---- */

typedef struct swg__h5_copier {
    swg_context *ctx;
    const char *from_path, *to_path;
    hid_t from, to;
    const swg__h5_tree *tree;
} swg__h5_copier;

/* Makes item `index`, not taken, in the new file: groups and links, and objects with their data; and, of these and of taken datasets
 * once they are made, the attributes; those that hold references are empty yet. */
swg_status swg__h5_copy_item(const swg__h5_copier *c, int64_t index);
swg_status swg__h5_copy_attributes(const swg__h5_copier *c, int64_t index);
/* When all objects are there: values of attributes and datasets that hold references to objects or regions, which are named anew. */
swg_status swg__h5_copy_references(const swg__h5_copier *c);
/* SWG_EIO with HDF5's reason. */
swg_status swg__h5_copy_fail(const swg__h5_copier *c, const char *what, const char *object);

/* Starts the new file, whose root keeps the orders of the old one; c->to is set. Outside enter and leave. */
swg_status swg__h5_copy_open(swg__h5_copier *c, swg_sink **sink);

/* Creation list of a taken dataset: what the old one says of fill value and attributes. -1 after a failure. */
hid_t swg__h5_list_like(hid_t old, const swg__h5_array *array, const hsize_t *chunk);

/* ---- pieces.c: arrays, bricks (chunks one behind the other, full size), filtered datasets. Any time unless said ---- */

typedef struct swg__h5_cut {
    int64_t chunk[SWG__FILTER_AXES], count[SWG__FILTER_AXES]; /* extents; chunks per axis */
    int64_t chunks, chunk_values;
    swg__header shape;       /* of one chunk: type, extents without unit axes, layout */
} swg__h5_cut;

/* Cuts as the chunk says, or chooses (chunk NULL): the stored chunks where they are neither small nor large, else the codec's. */
swg_status swg__h5_cut_make(swg_context *ctx, const swg__h5_array *array, const int64_t *chunk, swg__h5_cut *cut);
/* Array to bricks; positions outside the array repeat its edge. */
void swg__h5_gather(swg_context *ctx, const swg__h5_array *array, const swg__h5_cut *cut, const void *values, void *bricks);
/* Index of a chunk's first value along each axis. */
void swg__h5_origin(const swg__h5_array *array, const swg__h5_cut *cut, int64_t chunk, hsize_t *origin);

/* Values of any dataset, native, through HDF5. Inside enter and leave. */
swg_status swg__h5_read_plain(swg_context *ctx, const char *path, hid_t file, const char *dataset, swg_element type, void *values);

/* What a filtered dataset says of itself. */
typedef struct swg__h5_facts {
    swg_swz_info info;                    /* bound, eb_abs and fill values */
    double max_ratio;
    int64_t stored;                       /* bytes of its chunks */
    int64_t mode_chunks[SWG_MODE_COUNT];  /* of records; of none where other filters stand behind ours */
    int64_t model_bytes;
} swg__h5_facts;

/* Values of a filtered dataset, native: chunks are read one by one and decoded by all threads. values NULL: only checked.
 * Outside enter and leave. SWG_ECORRUPT names dataset and chunk. */
swg_status swg__h5_read_filtered(swg_context *ctx, const char *path, hid_t file, const char *dataset, const swg__h5_array *array, void *values,
                                 swg__h5_facts *facts);

/* ---- restore.c ---- */

/* Refused before any work: no folder for the file, a folder in its place, the input in its place. */
swg_status swg__h5_check_output(swg_context *ctx, const char *path, const char *input);

/* A report with a row for each taken item, named and sized. */
swg_status swg__h5_report_open(swg_context *ctx, const swg__h5_tree *tree, const char *path, swg_archive_report **out);

/* Every filtered dataset of the tree that is taken, of `path` against the plain ones of the same name in `original` (NULL: only checksums,
 * streams and audit). Fills the rows; SWG_EBOUND if a value is outside its bound. Outside enter and leave. */
swg_status swg__h5_check(swg_context *ctx, const char *path, const char *original, const swg__h5_tree *tree, const swg_archive_hooks *hooks, int64_t done,
                         swg_archive_report *report);

/* swg_archive_restore and swg_archive_verify for a file that swg__h5_is_file. */
swg_status swg__h5_restore(swg_context *ctx, const char *path, const char *folder, bool replace, const swg_archive_hooks *hooks,
                           swg_archive_report **report);
swg_status swg__h5_verify(swg_context *ctx, const char *path, const char *original, const swg_archive_hooks *hooks, swg_archive_report **report);

#endif
