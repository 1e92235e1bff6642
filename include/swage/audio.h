/* audio.h - songs as float samples, read piece by piece and written without clipping unsaid.
 * Read: WAV (also RF64 and W64), FLAC and OGG Vorbis, by libsndfile; other rates by libsoxr. Both are found when the library is built; without
 * libsndfile files give SWG_EUNSUPPORTED, without libsoxr a change of rate does. WAV is written by Swage itself, FLAC by libsndfile.
 *
 *     swg_audio_open(ctx, "song.flac", &(swg_audio_opts){.rate = 44100, .channels = 2}, &song);
 *     float *x = malloc(sizeof(float) * 2 * 441000);
 *     swg_audio_read(song, 441000, x, 441000, &got);      // x (2, 441000)
 *     swg_audio_close(song);
 *
 * Samples in memory are f32 and planar, (channels, samples), full scale +-1; integers of b bits are k / 2^(b-1). A sample is one instant of all
 * channels everywhere here, also in counts and positions.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_AUDIO_H
#define SWAGE_AUDIO_H

#include <stdbool.h>
#include <stdint.h>
#include "swage/context.h"

enum { SWG_AUDIO_MOST_CHANNELS = 64 };  /* of a file that is read */

/* What becomes of more channels than two are wanted. */
typedef enum swg_audio_downmix {
    SWG_DOWNMIX_REFUSE,     /* SWG_ESHAPE */
    SWG_DOWNMIX_ITU,        /* 3 to 6 channels in the order L R C LFE Ls Rs (of fewer: L R C; L R Ls Rs; L R C Ls Rs), as ITU-R BS.775:
                               L + C/sqrt 2 + Ls/sqrt 2, R + C/sqrt 2 + Rs/sqrt 2, without LFE, divided by the largest sum of weights, so that
                               nothing clips. SWG_ESHAPE: more than 6 */
    SWG_DOWNMIX_MEAN,       /* the mean of all, in each wanted channel */
} swg_audio_downmix;

/* ---- reading ---- */

typedef struct swg_audio swg_audio;

/* What is 0 has its default. */
typedef struct swg_audio_opts {
    int64_t rate;               /* wanted, Hz; 0: that of the file */
    bool resample;              /* a file of another rate is resampled; else SWG_EINVAL that names both */
    int channels;               /* wanted: 0 those of the file; 1 the mean of two; 2: mono is repeated; others must be those of the file */
    swg_audio_downmix downmix;
} swg_audio_opts;

typedef struct swg_audio_info {
    int64_t rate;               /* delivered, Hz */
    int channels;               /* delivered */
    int64_t samples;            /* delivered, per channel; of a resampled file ceil(file_samples * rate / file_rate) */
    int64_t file_rate, file_samples;
    int file_channels;
    int bits;                   /* of a stored number: 8, 16, 24, 32, 64; 0: Vorbis */
    bool floating;              /* stored as floats: no clipping in the file */
    const char *format;         /* "WAV", "FLAC", "OGG Vorbis"; static */
    bool repeated;              /* mono that became two channels: to be told to the user */
    bool resampled, mixed_down;
} swg_audio_info;

/* Opens a file and reads its head; its kind is told by the first bytes. opts may be NULL. Messages begin with the path.
 * SWG_ENOTFOUND: no such file. SWG_EFORMAT: of another kind (MP4 and MP3 with what to do), or empty. SWG_ECORRUPT: damaged, or cut short: fewer bytes than the
 * head says. SWG_EINVAL: of another rate than wanted. SWG_ESHAPE: channels that do not fit. SWG_EUNSUPPORTED: a build without the library that is needed,
 * or a coding that is not read. A file without samples opens; info.samples is 0. */
swg_status swg_audio_open(swg_context *ctx, const char *path, const swg_audio_opts *opts, swg_audio **out);
/* The same for a file in memory, which must outlive the audio; `name` is for messages. */
swg_status swg_audio_open_memory(swg_context *ctx, const void *data, int64_t bytes, const char *name, const swg_audio_opts *opts, swg_audio **out);
void swg_audio_close(swg_audio *audio); /* NULL is allowed */
const swg_audio_info *swg_audio_about(const swg_audio *audio);

/* The next `count` samples into out: channel c begins at out + c * stride, stride >= count. *got < count only at the end; what is behind it is not
 * touched. Memory held: about a megabyte, however long the file.
 * SWG_ECORRUPT: the file ends, or is damaged, before the samples its head promises. SWG_ENONFINITE: NaN, infinity or |x| > 1e4; both name the sample. */
swg_status swg_audio_read(swg_audio *audio, int64_t count, float *out, int64_t stride, int64_t *got);
/* The next read begins at sample `at`, 0 <= at <= samples; SWG_EINVAL: not inside. Of a resampled file a read after a seek equals that of one that runs through
 * to 1e-5 of full scale, not to the bit. */
swg_status swg_audio_seek(swg_audio *audio, int64_t at);

/* A whole file: (channels, samples), to be freed by swg_audio_free. info may be NULL. SWG_ENOMEM beyond what fits. */
swg_status swg_audio_load(swg_context *ctx, const char *path, const swg_audio_opts *opts, float **out, swg_audio_info *info);
void swg_audio_free(swg_context *ctx, float *samples);

/* Names of files of ours in a folder (".wav", ".flac", ".ogg", ".w64", ".rf64", of any case) are told by this. */
bool swg_audio_named(const char *path);

/* ---- writing: there whole or not at all ---- */

typedef struct swg_audio_writer swg_audio_writer;

typedef enum swg_audio_format { SWG_AUDIO_WAV16, SWG_AUDIO_WAV24, SWG_AUDIO_WAV_FLOAT, SWG_AUDIO_FLAC } swg_audio_format; /* FLAC: 24 bits */

typedef struct swg_audio_write_opts {
    swg_audio_format format;
    int64_t rate;               /* of the file, Hz */
    int channels;               /* 1 to 8 */
    int64_t from_rate;          /* of the samples appended; 0: rate. Other: resampled */
    int64_t samples;            /* 0, or the file is to have just so many: cut, or filled with zeros. For resampled files: the song's own number */
} swg_audio_write_opts;

/* Samples go to a temporary file beside `path` as floats; numbers of the final kind are made when the largest of them is known. A WAV file beyond 4 GiB
 * becomes RF64 (EBU Tech 3306), which libsndfile, ffmpeg and audio workstations read.
 * SWG_EUNSUPPORTED: FLAC without libsndfile, another rate without libsoxr. */
swg_status swg_audio_create(swg_context *ctx, const char *path, const swg_audio_write_opts *opts, swg_audio_writer **out);
/* Appends (channels, count), channel c at samples + c * stride. SWG_ENONFINITE names the sample. */
swg_status swg_audio_append(swg_audio_writer *writer, const float *samples, int64_t count, int64_t stride);

typedef struct swg_audio_finished {
    double peak;                /* largest |x| of all files before `gain` */
    double gain;                /* applied so that nothing clips; 1: none was needed, or the format has floats */
    int64_t clipped;            /* numbers, in all files; with `clip` only */
} swg_audio_finished;

/* Writes, syncs and names the files: the stems of one song together. Where a number would lie beyond the range of a format of integers, all files get one
 * gain, so that they still add up to their (quieter) sum; with `clip` such numbers are clipped and counted. Integers are round(x * 2^(b-1)), to
 * even where halfway, without dither: what was read from a file of so many bits is written back as it was. The writers are gone afterwards, whatever
 * the status; files that have their name by then keep it. SWG_EINVAL: formats differ. result may be NULL. */
swg_status swg_audio_finish(swg_audio_writer **writers, int count, bool clip, swg_audio_finished *result);
void swg_audio_abort(swg_audio_writer *writer); /* drops the file; NULL is allowed */
/* A whole file: samples (channels, count). */
swg_status swg_audio_write(swg_context *ctx, const char *path, const swg_audio_write_opts *opts, const float *samples, int64_t count, bool clip,
                           swg_audio_finished *result);

#endif
