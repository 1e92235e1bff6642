/* volumes_inside.h - what a data set of stacks holds: shared by opening, preparing, caching and fetching.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_VOLUMES_INSIDE_H
#define SWAGE_DATA_VOLUMES_INSIDE_H

#include <stdatomic.h>
#include "data/image_list.h"
#include "data/volumes.h"

/* ---- keys: volumes_key.c ---- */

/* "3", "2:5" (both ends included), "all", and "max" where `maximum`. False: none of these. */
bool swg__pick_parse(const char *text, bool maximum, swg__pick *out);
/* The options that decide what a prepared image holds: the key without column and scale. Returns the length, like snprintf. */
int swg__volume_prefix_text(const swg__volume_key *key, char *out, size_t capacity);

/* ---- prepared images ---- */

/* What was met while preparing: repeated by every opening, whether the image came from the cache or not. */
typedef struct swg__volume_facts {
    int64_t nonfinite;          /* values that became 0 */
    int64_t constant;           /* channels that are constant though they were to be scaled */
    int64_t empty;              /* 1: no value is above 0: a mask without an object */
    int64_t frames;             /* of the file */
} swg__volume_facts;

/* One prepared image: a file (or array), one frame of it, and what is done to it. */
typedef struct swg__volume_entry {
    const char *path;                   /* file; of an array its name, for messages */
    const swg__volume_array *array;     /* NULL: a file */
    int64_t array_row;                  /* along its axis B */
    swg__volume_key key;                /* with channel, t and z of the row; t is one frame */
    swg__pick y, x;                     /* of the row */
    bool first_frame;                   /* nobody said which frame */
    bool on_disk;                       /* the file is there */
    char *identity;                     /* the file's real path, size and time of change */
    char *text;                         /* all that the values depend on beside the file */
    char *cache_path;                   /* NULL: no cache on disk */
    int64_t dims[4];                    /* C, Z, Y, X when prepared */
    swg__volume_facts facts;            /* once read or found in the cache */
    bool wanted;                        /* prepared on opening */
    bool keep;                          /* and kept: in memory, or */
    bool mapped;                        /* mapped from the cache */
    const float *values;                /* kept: in memory, or mapped */
    struct swg__volume_map *map;        /* of `values`; NULL: in memory */
    bool remade;                        /* its file of the cache was damaged */
    swg_status status;
    char *message;
} swg__volume_entry;

typedef struct swg__volume_item {
    swg__volumes_item about;
    int64_t row;                        /* index into rows */
    swg__volume_entry *entry[1 + SWG__VOLUME_TARGETS];
} swg__volume_item;

enum { SWG__AUGMENT_HISTOGRAM = 1, SWG__AUGMENT_SD = 2, SWG__AUGMENT_GAMMA = 4, SWG__AUGMENT_MIRROR = 8, SWG__AUGMENT_TURN = 16 };
enum { SWG__PAD_NONE, SWG__PAD_REFLECT, SWG__PAD_ZERO };
enum { SWG__CACHE_MEMORY, SWG__CACHE_DISK, SWG__CACHE_NONE };

struct swg__volumes {
    swg_context *ctx;
    swg__arena arena;
    swg__volumes_use use;
    int dims;
    int64_t plane;                      /* of stacks in 2-D; -1: not told */
    int keys;
    swg__volume_key key[1 + SWG__VOLUME_TARGETS];
    int64_t channels[1 + SWG__VOLUME_TARGETS];
    int64_t patch[3], crops;            /* patch 0: none */
    int pad, cache;
    bool zero_nonfinite;
    unsigned augment;
    const char *augment_text, *cache_dir;
    bool drawn, together;               /* parts by chance, not by the table; all rows are one part */
    struct swg__volume_row *rows;       /* volumes_table.c */
    int64_t row_count;
    swg__volume_entry *entries;
    int64_t entry_count;
    swg__volume_item *items;
    int64_t item_count, count;
    swg_split split;
    char *summary, *json;
    char digest[65];
    int64_t bytes, mapped;
    atomic_int_fast64_t *reads;         /* counted by threads that see the data set as constant */
};

/* Of a key along z, y or x. */
static inline int64_t swg__volume_scale(const swg__volumes *volumes, int key, int axis) {
    return axis == 0 && volumes->dims == 2 ? 1 : volumes->key[key].scale;
}

/* ---- the table: volumes_table.c ---- */

/* One row: where its images are and what is taken of them. Strings are in the arena of the data set, or the caller's. */
typedef struct swg__volume_row {
    const char *table;                  /* "" for arrays and for images without a table */
    int64_t number, line;               /* from 1; line 0: there is none */
    const char *path[1 + SWG__VOLUME_TARGETS];
    const swg__volume_array *array[1 + SWG__VOLUME_TARGETS];
    int64_t array_row[1 + SWG__VOLUME_TARGETS];
    const char *channel;                /* of keys without one that read the source's column; NULL: none */
    swg__pick t, z, y, x;
    int part;                           /* -1: to be split */
} swg__volume_row;

/* Lists volumes->rows from opts->path or opts->arrays, with their parts; what `use` does not want is left out. */
swg_status swg__volumes_list(swg__volumes *volumes, const swg__volumes_opts *opts);
/* "train.csv: row 3 (line 4), column \"raw\": ", or "" for images without a table. */
void swg__volumes_place(const swg__volumes *volumes, const swg__volume_row *row, int key, char *out, size_t capacity);

/* ---- preparing: volumes_prepare.c ---- */

/* Frames in the file of a row's key. */
swg_status swg__volume_frames(const swg__volumes *volumes, const swg__volume_entry *entry, int64_t *out);
/* Fills in entry->dims from the head of the file. */
swg_status swg__volume_probe(const swg__volumes *volumes, swg__volume_entry *entry);
/* Reads and transforms: *out (dims) is the caller's, with swg__free. Fills in facts. Counts a read. */
swg_status swg__volume_prepare(const swg__volumes *volumes, const swg__volume_entry *entry, float **out, swg__volume_facts *facts);

/* ---- the cache on disk: volumes_cache.c ---- */

/* What a file of the cache says of itself. */
typedef struct swg__volume_head {
    int64_t dims[4];
    swg__volume_facts facts;
    int64_t offset;                     /* of the values */
    uint32_t checksum;                  /* CRC-32C of the values */
    const char *text;                   /* not terminated */
    size_t text_bytes;
} swg__volume_head;

/* Reads the head of a file of `file_bytes`, of which the first `bytes` are at data. NULL: it is sound; else what is wrong with it. */
const char *swg__volume_head_parse(const uint8_t *data, size_t bytes, int64_t file_bytes, swg__volume_head *out);
enum { SWG__VOLUME_HEAD_MOST = 1 << 16 }; /* bytes of a head */

/* Fills in identity and on_disk. */
swg_status swg__volume_identify(swg__volumes *volumes, swg__volume_entry *entry);
/* Name of the cache's file for an entry: hash of identity and text. Into the arena. */
swg_status swg__volume_cache_name(swg__volumes *volumes, swg__volume_entry *entry);
/* Dims and facts from the cache. False: there is no sound file. */
bool swg__volume_cache_probe(const swg__volumes *volumes, swg__volume_entry *entry);

/* Values from the cache, checked: mapped if entry->mapped says so, else read into memory (*map NULL). False: there is no sound file; *damaged: there is a
 * damaged one. */
typedef struct swg__volume_map {
    void *base;
    size_t bytes;
} swg__volume_map;
bool swg__volume_cache_load(const swg__volumes *volumes, const swg__volume_entry *entry, const float **values, swg__volume_map **map,
                            swg__volume_facts *facts, bool *damaged);
swg_status swg__volume_cache_store(const swg__volumes *volumes, const swg__volume_entry *entry, const float *values, const swg__volume_facts *facts);
void swg__volume_unload(const swg__volumes *volumes, const float *values, swg__volume_map *map);

/* Values of an entry that is not kept: from the cache, or prepared now and stored there. `damaged` may be NULL. */
swg_status swg__volume_load(const swg__volumes *volumes, const swg__volume_entry *entry, const float **values, swg__volume_map **map,
                            swg__volume_facts *facts, bool *damaged);

#endif
