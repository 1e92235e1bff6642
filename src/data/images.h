/* images.h - a data set of images: listed, split, held in memory as stored, handed out as float tiles with noise.
 * In: an index (CSV, folder, list). Out: batches (count, channels, tile, tile) f32, noisy and clean.
 * The order of use: swg__images_open, then per batch swg__images_fetch from any thread. What is fetched depends on the sample and the draw alone:
 * not on the batch, the thread or the order.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_IMAGES_H
#define SWAGE_DATA_IMAGES_H

#include "data/image_list.h"
#include "data/noise.h"
#include "swage/data.h"
#include "swage/image.h"

/* Words of the configuration keys, for a schema. */
#define SWG__IMAGES_SIZE_WORDS "error crop resize tile"     /* data.size */
#define SWG__IMAGES_SMALL_WORDS "error pad"                 /* data.small */
#define SWG__IMAGES_UNREADABLE_WORDS "error skip"           /* data.unreadable */
#define SWG__IMAGES_NONFINITE_WORDS "error zero"            /* data.nonfinite */
#define SWG__IMAGES_CACHE_WORDS "memory none"               /* data.cache */
#define SWG__IMAGES_SPLIT_WORDS "random by-group"           /* data.split */

/* Something the user should read: an image skipped and why, alpha dropped. The library never prints. Called on the opener's thread. */
typedef void (*swg__images_note_fn)(void *user, const char *text);

/* Zero or NULL is the default everywhere; words are those of the keys named. */
typedef struct swg__images_opts {
    const char *path;          /* data.path: CSV, folder, .txt list or one image */
    const char *column;        /* data.column: of the CSV with the paths; NULL: "Image" */
    const char *size;          /* data.size: "error" (default): every image must be tile x tile; "crop": a random window in training, the
                                  centre else; "resize": bilinear, half-pixel centres; "tile": all tiles of a grid, each a sample of its own */
    int64_t tile;              /* data.tile: side of what is handed out; 0: 128 */
    int64_t overlap;           /* data.overlap: of neighbouring tiles, 0..tile-1; the last tile of a row or column is flush with the edge */
    const char *small;         /* data.small: an image smaller than the tile: "error" (default) or "pad": reflected at its high end */
    int channels;              /* data.channels; 0: 3 */
    double scale;              /* data.scale; 0: as swg_image_opts says */
    const char *nonfinite;     /* data.nonfinite: "error" (default) or "zero" */
    const char *unreadable;    /* data.unreadable: "error" (default) or "skip": left out, named by a note, counted */
    const char *group;         /* data.group: column of the CSV, or "folder" for a folder; NULL none. split.mode by-group needs it */
    const char *cache;         /* data.cache: "memory" (default): pixels are held as u8, u16 or f32; "none": read again at every fetch */
    swg_split_opts split;      /* mode "random" (default) or "by-group"; train and val both 0: .8 and .1; by image, never by tile */
    bool no_split;             /* every sample is a test sample; for evaluation */
    swg__images_note_fn note;  /* may be NULL */
    void *note_user;
} swg__images_opts;

typedef struct swg__images swg__images;

/* One sample: an image, or a tile of one. */
typedef struct swg__images_sample {
    int32_t image;
    int32_t part;              /* SWG_TRAIN, ... */
    int64_t y, x;              /* high corner of the tile (data.size=tile), else 0 */
} swg__images_sample;

/* One image. Strings belong to the data set. */
typedef struct swg__images_file {
    const char *name, *path;   /* as in the index; as opened */
    const char *label, *group; /* NULL: none */
    int64_t row;               /* in the index, from 0: cells of swg__images_list()->table */
    int64_t height, width;
    int64_t samples;           /* tiles, or 1 */
} swg__images_file;

/* Reads the index, opens every image (in parallel), splits. The failure names row and path. Digest and parts do not depend on the number of threads.
 * SWG_EINVAL: a word or number out of range, an image that is not of the size (with the keys that would take it), a part that would be
 * empty. Otherwise as swg__image_list_read and swg_image_open. */
swg_status swg__images_open(swg_context *ctx, const swg__images_opts *opts, swg__images **out);
void swg__images_close(swg__images *images); /* NULL is allowed */

int64_t swg__images_count(const swg__images *images);      /* samples */
int64_t swg__images_files(const swg__images *images);      /* images, without skipped ones */
int64_t swg__images_skipped(const swg__images *images);
int64_t swg__images_tile(const swg__images *images);
int swg__images_channels(const swg__images *images);
int64_t swg__images_bytes(const swg__images *images);      /* of pixels held in memory */
const swg__images_sample *swg__images_sample_at(const swg__images *images, int64_t sample); /* NULL outside */
const swg__images_file *swg__images_file_at(const swg__images *images, int64_t image);      /* NULL outside */
const swg__image_list *swg__images_list(const swg__images *images);
/* Lists of samples; description is the line of the report: "split: random by image (...)" or "split: by-group slide (train 8 groups, ...)". */
const swg_split *swg__images_split(const swg__images *images);
/* One line: "12 images of 128x128, u8, 3 channels; 12 samples". */
const char *swg__images_summary(const swg__images *images);
/* SHA-256 (64 hex digits) of all that samples and parts depend on: name, size, channels, type, label and group of every image, the way of cutting, and mode, generator,
 * seed and fractions of the split. Pixels and folders are left out. */
const char *swg__images_digest(const swg__images *images);

/* How a batch is drawn. */
typedef struct swg__images_draw {
    bool training;             /* crop at random, augment, noise anew each epoch; else centre crop, no augmentation, and noise of (seed, sample)
                                  alone with progress 1, so that epochs compare */
    uint64_t seed;
    uint32_t epoch;
    double progress;           /* epoch / (epochs - 1), 0 if there is one epoch: the upper side of rectangles */
    swg__noise noise;
    unsigned augment;          /* SWG__AUGMENT_... */
} swg__images_draw;

/* Samples indices[0..count-1] into noisy and clean, each (count, channels, tile, tile); either may be NULL. Safe from several threads. A failure's
 * text goes into message. SWG_EINVAL: an index out of range. With data.cache=none also what reading gives. */
swg_status swg__images_fetch(const swg__images *images, const int64_t *indices, int64_t count, const swg__images_draw *draw, float *noisy,
                             float *clean, char *message, size_t capacity);

#endif
