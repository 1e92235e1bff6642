/* stems_inside.h - what a data set of stems holds: shared by listing, reading and fetching.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_STEMS_INSIDE_H
#define SWAGE_DATA_STEMS_INSIDE_H

#include "data/stems.h"
#include "data/stretch.h"
#include "swage/audio.h"

enum {
    SWG__STEMS_GROUPS = SWG__STEMS_MOST + 1,    /* the stems handed out, and what no stem holds */
    SWG__STEMS_FILES = SWG__STEMS_MOST + 4      /* of a track, the mixture not counted */
};

enum {
    SWG__STEMS_STRETCH = 1, SWG__STEMS_PITCH = 2, SWG__STEMS_GAIN = 4, SWG__STEMS_BINS = 8, SWG__STEMS_FRAMES = 16, SWG__STEMS_MIXUP = 32,
    SWG__STEMS_REMIX = 64                       /* order of SWG__STEMS_AUGMENT_WORDS */
};

/* Decoded sound (channels, frames) as k / 32768, or as f32 where that is not exact; both NULL: not in memory. */
typedef struct swg__stems_wave {
    int16_t *narrow;
    float *wide;
} swg__stems_wave;

typedef struct swg__stems_item {
    swg__stems_track about;
    const char *file[SWG__STEMS_FILES];         /* paths; in the arena */
    const char *mixture;                        /* NULL: none */
    int test_folder;                            /* 1: in test/ */
    int bits;                                   /* largest of its files; 17: floats, or resampled */
    int repeated, resampled;                    /* files that are mono, of another rate */
    int64_t cut;                                /* samples that data.trim took off the longest */
    bool compared;                              /* with data.mixture=sum: the mixture file can be compared with the sum */
    bool read, keep, summed;                    /* read on opening; into memory; the mixture is the sum of the groups, to the bit */
    bool whole;                                 /* it is all in memory */
    swg__stems_wave group[SWG__STEMS_GROUPS], mix;
    uint32_t crc;
    swg_status status;                          /* of reading; message NULL where there was no memory for it */
    char *message;
} swg__stems_item;

struct swg__stems {
    swg_context *ctx;
    swg__arena arena;
    swg__stems_use use;
    int channels, stems, groups, files;         /* groups: stems, or one more */
    int64_t rate, segment, per_track, bins, frames;
    bool resample, trim, sum, cached;
    unsigned augment;
    double min_mean_abs;
    const char *file_name[SWG__STEMS_FILES];
    int file_group[SWG__STEMS_FILES];
    swg__stems_item *items;
    int64_t item_count, count, bytes;
    int64_t training;                           /* tracks: the first ones of `order` */
    int64_t *order;                             /* training tracks, ascending */
    swg__stretch *stretch;
    swg_split split;
    char *summary;
    char digest[65];
};

void swg__stems_tell(const swg__stems_opts *opts, const char *format, ...) SWG__PRINTF(2, 3);
/* Names of a text, in an arena. */
typedef struct swg__names {
    const char **name;
    int64_t count;
} swg__names;

/* Separator ',': a name between two commas, without the blanks about it. '\n': a line, without the carriage return at its end; not one that begins with
 * '#'. Empty ones do not count. Text up to its zero byte. SWG_ENOMEM. */
swg_status swg__stems_names(swg__arena *arena, const char *text, char separator, swg__names *out);

/* Fills items with the tracks of the folder and their files, and says which part each belongs to. */
swg_status swg__stems_list(swg__stems *s, const swg__stems_opts *opts);
/* Reads the heads of all files and, where tracks are to be read on opening, their samples. */
swg_status swg__stems_scan(swg__stems *s, const swg__stems_opts *opts);
/* Samples [start, start + count) of a track, 0 outside: mixture (channels, count), groups (groups, channels, count); NULL: not wanted. */
swg_status swg__stems_cut(const swg__stems *s, int64_t track, int64_t start, int64_t count, float *mixture, float *groups);
/* One group, or the mixture (group -1), where the sums of groups are not wanted. */
swg_status swg__stems_cut_group(const swg__stems *s, int64_t track, int group, int64_t start, int64_t count, float *out);
/* to (channels, count) = the sum of groups (groups, channels, count), from left to right. */
void swg__stems_sum(const swg__stems *s, const float *groups, int64_t count, float *to);

#endif
