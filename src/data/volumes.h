/* volumes.h - a data set of image stacks with channels: listed in a table, split, prepared once per file, handed out as random patches.
 * In: a table (CSV, folder, one image) or arrays, and a text per key that says what is read and how it becomes f32. Out: patches
 * (count, channels, Z, Y, X) of a source and its targets, cut at one place, augmented; or whole images.
 * The order of use: swg__volumes_open, then per batch swg__volumes_fetch from any thread, or per image swg__volumes_whole and
 * swg__volumes_release. A patch depends on (seed, epoch, sample) alone: not on the batch, the thread or the order.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_VOLUMES_H
#define SWAGE_DATA_VOLUMES_H

#include "base.h"
#include "swage/data.h"
#include "swage/element.h"

/* ---- keys ---- */

enum {
    SWG__VOLUME_TARGETS = 8,    /* at most */
    SWG__VOLUME_CHANNELS = 16,  /* of one key */
    SWG__VOLUME_WORD = 64       /* bytes of a column name, a list of channels, a layout, with the terminator */
};

/* What is taken of an axis: one position, a range (both ends included), everything, or the maximum over it (z only). */
typedef enum swg__pick_kind { SWG__PICK_DEFAULT, SWG__PICK_RANGE, SWG__PICK_ALL, SWG__PICK_MAX } swg__pick_kind;
typedef struct swg__pick {
    swg__pick_kind kind;        /* DEFAULT: t: frame 0; z: all planes in 3-D, the only plane in 2-D */
    int64_t first, last;        /* of a range; equal for one position */
} swg__pick;

/* One key: data.source, or an entry of data.target. The prefix (all but `scale`) is applied in the order of these fields. */
typedef struct swg__volume_key {
    char column[SWG__VOLUME_WORD];  /* of the table */
    char layout[SWG__VOLUME_WORD];  /* layout=: axes of a file that does not say, as "ZYX" or "TCZYX"; "" : as the file says */
    char channel[SWG__VOLUME_WORD]; /* channel=: "5", "3+6", names of the file joined by '+', "mean" of all; "": all */
    swg__pick t, z;                 /* t=, z=: "3", "2:5", "all"; z also "max" */
    bool binary;                    /* binary: values above 0 become 1: masks of label images */
    bool labels;                    /* labels: values are ids of objects; resampled by the nearest; no id above 2^24 */
    int zoom_axes;                  /* zoom=: 0 none; 1: one factor for all axes (2-D: y and x); 3: one each */
    double zoom[3];                 /* z, y, x: above 0, at most 1; by area, output floor(zoom n) */
    int64_t resize[3];              /* resize=: extents z, y, x; by area where it shrinks, linear between pixel centres where it grows; 0: none */
    bool normalise;                 /* normalise: (x - mean)/sd per channel, population sd, 0 -> 1 */
    bool percentile;                /* percentile=lo:hi: to [-1,1] between these percentiles of each channel, clipped */
    double low, high;
    bool threshold;                 /* threshold=F: x >= F -> 1, else unchanged */
    double level;
    int64_t scale;                  /* scale=K: patches start and extend K times as far as those of scale 1; default 1; 2-D: y and x */
} swg__volume_key;

/* Parses "raw channel=5 zoom=0.25 normalise". `what` is the configuration key, for messages.
 * SWG_EINVAL: no column, an unknown option (the nearest is named), a bad or repeated value, options that exclude each other
 * (normalise and percentile; zoom and resize; labels and anything that changes values). */
swg_status swg__volume_key_parse(swg_context *ctx, const char *what, const char *text, swg__volume_key *out);
/* The key as text that parses to the same key: options in their order, defaults left out. Returns the length, like snprintf. */
int swg__volume_key_text(const swg__volume_key *key, char *out, size_t capacity);

/* ---- the data set ---- */

#define SWG__VOLUMES_NONFINITE_WORDS "error zero"       /* data.nonfinite */
#define SWG__VOLUMES_PAD_WORDS "none reflect zero"      /* data.pad */
#define SWG__VOLUMES_CACHE_WORDS "memory disk none"     /* data.cache */
#define SWG__VOLUMES_AUGMENT_WORDS "histogram std gamma flip turn" /* data.augment, a comma list; "" or "none": none */

/* What the data set is opened for. */
typedef enum swg__volumes_use {
    SWG__VOLUMES_TRAIN,         /* parts train, val and test; training and validation are prepared on opening */
    SWG__VOLUMES_EVAL,          /* the test part of the same split; nothing is prepared ahead */
    SWG__VOLUMES_ALL,           /* every part there is, none need be; nothing is prepared ahead. One or two images without a split are a test part */
    SWG__VOLUMES_PREDICT        /* every row (of predict.csv where the path is a folder of tables); targets are not read; nothing is prepared ahead */
} swg__volumes_use;

/* An array in place of files. Values must outlive the data set; the rest is copied. */
typedef struct swg__volume_array {
    const char *column;         /* keys of this column read it; arrays of one column follow each other as rows */
    const char *split;          /* "train", "valid" or "test"; NULL (then for all): split at random */
    const void *values;         /* C order, native bytes */
    swg_element element;        /* any */
    const char *layout;         /* NULL: "CZYX" (2-D and three axes: "CYX"); else the axes of `dims`, slowest first, each of B C Z Y X at most once, Y and X
                                   always: "BCZYX", "ZYXC", "YX". B counts rows */
    int ndim;
    int64_t dims[6];
} swg__volume_array;

/* Something the user should read: the split, a constant image, how far preparation has come. Called on the opener's thread. */
typedef void (*swg__volumes_note_fn)(void *user, const char *text);

/* Zero or NULL is the default everywhere. */
typedef struct swg__volumes_opts {
    swg__volumes_use use;
    const char *path;           /* data.path: a folder with train.csv, valid.csv, test.csv, predict.csv; a CSV; a folder of images or one image: every
                                   key reads it then, whatever its column */
    const char *results;        /* a folder whose files are left out where the path is a folder of images; NULL: none */
    const swg__volume_array *arrays; /* instead of path */
    int64_t array_count;
    const char *source;         /* data.source: text of a key */
    const char *const *targets; /* data.target: texts; a text equal to the source's shares its memory */
    int target_count;
    int dims;                   /* model.spatial_dims: 2 or 3; 0: 3 */
    bool has_plane;             /* 2-D: `plane` is taken of stacks with several where the key has no z= */
    int64_t plane;              /* data.z */
    int64_t patch[3];           /* data.patch: extents z, y, x at scale 1 (2-D: z is 1 or 0); all 0: whole images only */
    int64_t crops;              /* data.crops: samples per image and epoch; 0: 1 */
    const char *pad;            /* data.pad: images smaller than the patch: "none" (default): an error; "reflect", "zero": extended at their high ends */
    const char *nonfinite;      /* data.nonfinite: "error" (default); "zero": NaN and infinity become 0 and are counted */
    const char *augment;        /* data.augment: of SWG__VOLUMES_AUGMENT_WORDS; flip and turn change every key alike, the others the source */
    const char *cache;          /* data.cache: where prepared images are kept: "memory" (default), "disk": mapped from files, "none":
                                   prepared again at every use, which is slow */
    const char *cache_dir;      /* data.cache_dir: folder of prepared images, made if missing; with "memory" too: the next opening reads no image.
                                   NULL: none; with "disk" .swage-cache in the folder of `path`. Not for arrays */
    int64_t cache_bytes;        /* data.cache_bytes: most memory; 0: half of what the system would give. What is beyond is mapped from cache_dir, or
                                   prepared again at every use where there is none */
    uint64_t split_seed;        /* for tables without a split; 0: 12345 */
    swg__volumes_note_fn note;  /* may be NULL */
    void *note_user;
} swg__volumes_opts;

typedef struct swg__volumes swg__volumes;

/* One image: a row of the table, or one frame of a row with several. Strings belong to the data set. */
typedef struct swg__volumes_item {
    const char *table;          /* file of the table, "" for arrays */
    const char *path;           /* the source's file, "array 3" for arrays */
    const char *stem;           /* name for outputs: the source's file without folder and ending, "_t4" behind it where a row has several frames;
                                   no two items share one */
    int64_t row;                /* in its table, from 1; as messages count */
    int64_t frame;              /* 0 where there is no time */
    int part;                   /* SWG_TRAIN, SWG_VAL, SWG_TEST; PREDICT: SWG_TEST */
} swg__volumes_item;

/* Reads the table, splits, prepares what training needs, in parallel, with a note every few seconds. The same bits for any number of threads.
 * Every failure that is about a row names table, row and column.
 * SWG_EINVAL: an option or key; a 2-D experiment on stacks without a plane; an image smaller than the patch; extents of source and target that
 * do not agree: floor(extent / scale) must be the same for all keys and axes. SWG_ENOTFOUND: no such file, column or channel (the message says
 * how many there are). SWG_EFORMAT: an empty table, an unknown word in column `split`, Parquet. SWG_ENONFINITE: file and count. Else what
 * swg_stack_open gives. */
swg_status swg__volumes_open(swg_context *ctx, const swg__volumes_opts *opts, swg__volumes **out);
void swg__volumes_close(swg__volumes *volumes); /* NULL is allowed */

int swg__volumes_keys(const swg__volumes *volumes);                     /* 1 + targets; with PREDICT 1. Key 0 is the source */
const swg__volume_key *swg__volumes_key(const swg__volumes *volumes, int key);
int64_t swg__volumes_channels(const swg__volumes *volumes, int key);    /* the same for all images */
/* Extents z, y, x of what is fetched for a key: the patch times the key's scale (2-D: z is 1). */
void swg__volumes_patch(const swg__volumes *volumes, int key, int64_t out[3]);
int64_t swg__volumes_values(const swg__volumes *volumes, int key);      /* channels times patch: f32 numbers of one sample */
int64_t swg__volumes_items(const swg__volumes *volumes);
const swg__volumes_item *swg__volumes_item_at(const swg__volumes *volumes, int64_t item); /* NULL outside */
int64_t swg__volumes_count(const swg__volumes *volumes);                /* samples: items times crops; sample i is of item i / crops */
/* Lists of samples; the description is the line of the report: "split: by table (train 8, val 2, test 2 images)". */
const swg_split *swg__volumes_split(const swg__volumes *volumes);
/* One line: "12 images of 65x624x924, source 1 channel, target 1 channel; patches 16x32x32; 12 samples". */
const char *swg__volumes_summary(const swg__volumes *volumes);
/* SHA-256 (64 hex digits) of all that samples and parts depend on: keys, patch, crops, padding, augmentation, names, extents and parts of the rows. Pixels,
 * folders and the cache are left out. */
const char *swg__volumes_digest(const swg__volumes *volumes);
/* {"keys": [...], "dims": 3, "patch": [16, 32, 32]}: what prediction must know, for a checkpoint. */
const char *swg__volumes_json(const swg__volumes *volumes);
int64_t swg__volumes_bytes(const swg__volumes *volumes);                /* of prepared images in memory */
int64_t swg__volumes_mapped(const swg__volumes *volumes);               /* of prepared images mapped from disk */
int64_t swg__volumes_reads(const swg__volumes *volumes);                /* images whose pixels were read so far; the others came from the cache */

/* ---- patches ---- */

typedef struct swg__volumes_draw {
    bool training;              /* crop anew each epoch and augment; else crops of (seed, sample) alone and no augmentation, so that epochs compare */
    uint64_t seed;
    uint32_t epoch;
} swg__volumes_draw;

/* Samples indices[0..count-1]: out[key] (count, channels, z, y, x) f32 for each key, or NULL for one that is not wanted. A crop starts
 * anywhere in [0, extent - patch], the last position included. Safe from several threads; calls no swg__parallel. A failure's text goes into
 * message. SWG_EINVAL: an index out of range, no patch. Otherwise as swg__volumes_whole. */
swg_status swg__volumes_fetch(const swg__volumes *volumes, const int64_t *indices, int64_t count, const swg__volumes_draw *draw, float *const *out,
                              char *message, size_t capacity);
/* Where the crop of a sample starts at scale 1 (z, y, x), for tests and pictures. */
swg_status swg__volumes_start(const swg__volumes *volumes, int64_t sample, const swg__volumes_draw *draw, int64_t out[3]);

/* ---- whole images ---- */

typedef struct swg__volume {
    const float *values;        /* (C, Z, Y, X) after the prefix of the key, not padded */
    int64_t dims[4];            /* C, Z, Y, X */
    struct swg__volume_map *map; /* these two are internal */
    bool loaded;
} swg__volume;

/* Extents of a whole image of a key, without reading its pixels. SWG_EINVAL: item or key out of range. */
swg_status swg__volumes_extent(const swg__volumes *volumes, int64_t item, int key, int64_t dims[4]);
/* A prepared image: from memory, mapped, or prepared now. To be given back with swg__volumes_release, before the data set is closed. Safe from
 * several threads. The message of a failure is the context's and swg__own_message(). */
swg_status swg__volumes_whole(const swg__volumes *volumes, int64_t item, int key, swg__volume *out);
void swg__volumes_release(const swg__volumes *volumes, swg__volume *volume);

#endif
