/* stems.h - a data set of songs kept as stems: a folder per track with a mixture and its stems, split by whole tracks, handed out as segments.
 * In: a folder and rules. Out: f32 segments, planar: mixture (count, channels, samples) and stems (count, stems, channels, samples), with the
 * masks that hide bins and frames from the network's input.
 * The order of use: swg__stems_open, then per batch swg__stems_fetch from any thread, or swg__stems_read for whole tracks. A sample depends on
 * (seed, epoch, sample) alone: not on the batch, the thread, the order, or on whether its track is held in memory (of resampled tracks: to 1e-5).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_STEMS_H
#define SWAGE_DATA_STEMS_H

#include "base.h"
#include "swage/data.h"

enum { SWG__STEMS_MOST = 8 };                   /* stems that are trained */

/* Words of the configuration keys, for a schema. */
#define SWG__STEMS_MIXTURE_WORDS "sum file"     /* data.mixture */
#define SWG__STEMS_CACHE_WORDS "memory none"    /* data.cache */
/* data.augment, a comma list; "" or "none": none; "all": all but remix. Each happens with a chance of a half. */
#define SWG__STEMS_AUGMENT_WORDS "stretch pitch gain fmask tmask mixup remix"

/* What the data set is opened for. */
typedef enum swg__stems_use {
    SWG__STEMS_TRAIN,           /* parts train, val and test as the options say; tracks of the first two are read once on opening, and kept */
    SWG__STEMS_EVAL,            /* the test part of the same split, or every track where the options name none; only heads of files are read on opening */
    SWG__STEMS_ALL              /* every track is a test track; only heads of files are read on opening */
} swg__stems_use;

/* Something the user should read: a warning, how far reading has come. Called on the opener's thread. */
typedef void (*swg__stems_note_fn)(void *user, const char *text);

/* Zero or NULL is the default everywhere. Lists are separated by commas; a list of tracks may instead be the path of a text file with a name per line
 * (for names with commas; empty lines and lines that begin with # are skipped). */
typedef struct swg__stems_opts {
    swg__stems_use use;
    const char *path;           /* data.path: a folder of tracks; a folder with train/ and test/ of them (MUSDB18); or one track */
    const char *stems;          /* data.stems: NULL: "vocals,other". `other` is the sum of every stem not listed (of vocals, drums, bass, other) */
    int channels;               /* 1: the mean of both; 0: 2: mono files are duplicated, with a warning */
    int64_t rate;               /* data.rate; 0: 44100 Hz */
    bool resample;              /* data.resample: files of another rate are resampled; else they are an error */
    bool trim;                  /* data.trim: files of a track are cut to the shortest; else other lengths are an error */
    const char *mixture;        /* data.mixture: "sum" (default): of all stems; a mixture file is not needed, and only compared with the sum; "file": the
                                   mixture file. Augmentations that change stems always make the mixture anew as their sum */
    int64_t segment;            /* data.segment: samples of what is handed out; 0: 132300 (3 s at 44.1 kHz) */
    int64_t per_track;          /* data.segments_per_track: training samples per track and epoch; 0: 10 */
    double min_mean_abs;        /* data.min_mean_abs: training segments whose mixture has a smaller mean |x| are drawn again up to 10 times, then used;
                                   0: 1e-3; negative: never drawn again */
    const char *augment;        /* data.augment: of SWG__STEMS_AUGMENT_WORDS */
    int64_t n_fft, hop;         /* of the STFT that the masks are for; 0: 2048 and 512 */
    const char *leave_out;      /* data.leave_out: tracks kept out of training: the test part (beside those of test/) */
    const char *valid_list;     /* data.valid_list: tracks of the validation part; NULL: valid_fraction of the rest, drawn */
    double valid_fraction;      /* data.valid_fraction: of the tracks that are not test; at least one where there are two; 0: 0.14; negative: no validation
                                   part */
    uint64_t split_seed;        /* data.split_seed: of the shuffle of the sorted names; 0: 42 */
    const char *cache;          /* data.cache: "memory" (default): tracks are decoded once and kept, as 16-bit numbers where these are exact, else as f32;
                                   what is beyond cache_bytes is read from its files at every use. "none": all is */
    int64_t cache_bytes;        /* data.cache_bytes: 0: half of what the system would give */
    swg__stems_note_fn note;    /* may be NULL */
    void *note_user;
} swg__stems_opts;

typedef struct swg__stems swg__stems;

/* One track. Strings belong to the data set. */
typedef struct swg__stems_track {
    const char *name;           /* of its folder; no two tracks of a part share one */
    const char *path;           /* folder */
    int part;                   /* SWG_TRAIN, SWG_VAL, SWG_TEST */
    int64_t frames;             /* samples per channel, after resampling and trimming */
    bool cached;                /* held in memory */
    double sum_error;           /* ||mixture file - sum of stems|| / ||mixture file||, infinite where only the file is silent; NaN: not compared, as there is
                                   none that fits, or nothing was read on opening */
    int64_t first_sample, samples; /* its samples of the data set */
} swg__stems_track;

/* Lists the tracks (folders, names sorted by bytes; other files, hidden names and symbolic links to folders are left alone), splits them, and reads every file
 * of training and validation once, in parallel, with a note every few seconds: what is wrong is known before training starts. Same bits for any
 * number of threads.
 * Every failure names the file.
 * SWG_EINVAL: an option; another sample rate; stems of different lengths (they are printed); no track to train on; a listed track that is not there.
 * SWG_ENOTFOUND: no such folder, no track in it, a missing stem. SWG_ESHAPE: more than two channels; a file without samples. SWG_ENONFINITE: NaN,
 * infinity or |x| > 1e4, with file and sample index. SWG_EUNSUPPORTED: stem containers (*.stem.mp4), built without libsndfile. Else what
 * swg_audio_open and swg_audio_read give. */
swg_status swg__stems_open(swg_context *ctx, const swg__stems_opts *opts, swg__stems **out);
void swg__stems_close(swg__stems *stems); /* NULL is allowed */

int swg__stems_number(const swg__stems *stems);                 /* stems handed out */
const char *swg__stems_name(const swg__stems *stems, int stem); /* "vocals"; NULL outside */
int swg__stems_channels(const swg__stems *stems);
int64_t swg__stems_rate(const swg__stems *stems);
int64_t swg__stems_segment(const swg__stems *stems);            /* samples of a segment */
int64_t swg__stems_bins(const swg__stems *stems);               /* F: n_fft/2 + 1 */
int64_t swg__stems_frames(const swg__stems *stems);             /* T: floor(segment / hop) + 1 */
int64_t swg__stems_tracks(const swg__stems *stems);
const swg__stems_track *swg__stems_track_at(const swg__stems *stems, int64_t track); /* NULL outside; those of train/ first, by name */
int64_t swg__stems_count(const swg__stems *stems);              /* samples: per_track of a training track, the covering segments of another */
int64_t swg__stems_track_of(const swg__stems *stems, int64_t sample); /* -1 outside */
/* Lists of samples; the description is the line of the report with the names of validation and test tracks. */
const swg_split *swg__stems_split(const swg__stems *stems);
/* One line: "7 tracks, 3:52 min at 44100 Hz, 2 channels, stems vocals and other; segments of 132300 samples (3.000 s, 259 frames); 31 MB in memory". */
const char *swg__stems_summary(const swg__stems *stems);
/* SHA-256 (64 hex digits) of all that samples and parts depend on: options, names, lengths, parts and, where files were read on opening, the
 * CRC-32C of what they decode to. Folders and the cache are left out. */
const char *swg__stems_digest(const swg__stems *stems);
int64_t swg__stems_bytes(const swg__stems *stems);              /* of decoded tracks in memory */

/* How a batch is drawn. */
typedef struct swg__stems_draw {
    bool training;              /* training tracks: starts drawn anew each epoch, uniform, and augmentation. Else: the samples of a training track start evenly
                                   spread, the first at 0 and the last flush with the end. Samples of other tracks are always the same:
                                   k * segment, the last flush with the end; so they cover the track and no sample of it is left out */
    uint64_t seed;
    uint32_t epoch;
} swg__stems_draw;

/* Where the samples go; NULL for what is not wanted. n samples each: */
typedef struct swg__stems_batch {
    float *mixture;             /* (n, channels, segment) */
    float *stems;               /* (n, stems, channels, segment) */
    float *bins;                /* (n, F) 1, or 0 where the network's input is hidden; all ones without augmentation */
    float *frames;              /* (n, T) the same */
} swg__stems_batch;

/* Samples indices[0..count-1]. What lies beyond the end of a short track is 0. Safe from several threads; calls no swg__parallel. A failure's text goes into
 * message. SWG_EINVAL: an index out of range. SWG_ENONFINITE and what reading gives: for tracks that are not in memory. SWG_ENOMEM. */
swg_status swg__stems_fetch(const swg__stems *stems, const int64_t *indices, int64_t count, const swg__stems_draw *draw, const swg__stems_batch *out,
                            char *message, size_t capacity);
/* Samples start .. start + count - 1 of a track, 0 outside it: mixture (channels, count) and stems (stems, channels, count); either may be NULL. No
 * augmentation. Safe from several threads; the message of a failure is the context's and swg__own_message(). */
swg_status swg__stems_read(const swg__stems *stems, int64_t track, int64_t start, int64_t count, float *mixture, float *out);

/* What was drawn for a sample, for tests and logs. */
typedef struct swg__stems_drawn {
    int64_t track, start;       /* of the segment */
    int redrawn;                /* times that it was drawn again because it was silent */
    bool silent;                /* and used all the same */
    double speed;               /* time stretch: so many times as fast; 1: none */
    double semitones;           /* 0: none */
    float gain[SWG__STEMS_MOST + 1]; /* of each stem, then of what no stem holds; 1: none */
    int64_t bins_first, bins_count, frames_first, frames_count; /* hidden; count 0: none */
    int64_t mixed_track, mixed_start; /* mixup; -1: none */
    double mixed;               /* weight of this sample, 1 - mixed that of the other */
    int64_t from[SWG__STEMS_MOST + 1], from_start[SWG__STEMS_MOST + 1]; /* remix: track and start of each stem; else the segment's own */
} swg__stems_drawn;
swg_status swg__stems_drawn_of(const swg__stems *stems, int64_t sample, const swg__stems_draw *draw, swg__stems_drawn *out);

#endif
