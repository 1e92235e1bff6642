/* separate.h - songs into stems: a network on segments that overlap, in memory that does not grow with the song.
 *
 *     swg_model_open(ctx, "runs/tfswa", &model);
 *     swg_separator_open(model, 0, &separator);
 *     swg_separate_file(ctx, separator, "song.flac", "stems", NULL, &result);     // stems/vocals.wav, stems/other.wav
 *
 * A song of n samples is cut into segments of s samples, hop = s - round(s * overlap) apart: one if n <= s, else ceil((n - s) / hop) + 1, of which the last is
 * shifted back to end at n. A shorter song is filled with zeros and cut again. Where segments overlap, half a Hann window leads from one to the next:
 * sums are divided by the sum of weights (at least 1e-8), so that a network that returns its input returns the song. n samples give n samples.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_SEPARATE_H
#define SWAGE_SEPARATE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include "swage/audio.h"
#include "swage/model.h"

enum { SWG_SEPARATE_STEMS = 16 };

/* What separates one segment; to be filled in by hand, or by swg_separator_open. */
typedef struct swg_separator {
    int64_t rate;               /* Hz */
    int channels;               /* of mixture and stems: 1 or 2 */
    int64_t segment;            /* samples */
    int stems;                  /* 1 to SWG_SEPARATE_STEMS */
    const char *names[SWG_SEPARATE_STEMS];      /* "vocals", "other" */
    int64_t planned_bytes;      /* for the report: of the network's plan, 0 */
    /* mixture: (channels, segment); stems: (stems, channels, segment), to be filled. */
    swg_status (*separate)(void *user, const float *mixture, float *stems);
    void *user;
} swg_separator;

/* A trained network of family tfswa on segments of so many samples (0: 10 s), with the precision of the model, which must stay open.
 * SWG_EUNSUPPORTED: another family. SWG_ESHAPE: a segment too short for the network. */
swg_status swg_separator_open(swg_model *model, int64_t segment, swg_separator **out);
void swg_separator_close(swg_separator *separator); /* NULL is allowed; of swg_separator_open only */

/* Segments of a song of `samples`, and where segment i begins: 4 of 25 s with 10 s and half of it shared. 0 where the song is empty. */
int64_t swg_separate_segments(int64_t samples, int64_t segment, int64_t hop);
int64_t swg_separate_start(int64_t i, int64_t samples, int64_t segment, int64_t hop);

/* What is 0 has its default. */
typedef struct swg_separate_opts {
    double overlap;             /* share of a segment that two have in common; 0: 0.5; negative: none. At most 0.75 */
    bool residual;              /* what the stems leave of the mixture is added to "other"; SWG_EINVAL where there is none */
    /* swg_separate_file only: */
    swg_audio_format format;
    bool clip;                  /* as swg_audio_finish */
    bool resample;              /* a song of another rate is taken to that of the network, its stems are brought back */
    swg_audio_downmix downmix;
    void (*progress)(void *user, int64_t done, int64_t total);  /* samples of the song at the network's rate; NULL: none */
    const volatile sig_atomic_t *stop;          /* NULL, or not 0: SWG_EINTERRUPTED; nothing is written then */
    void *user;
} swg_separate_opts;

typedef struct swg_separate_result {
    swg_audio_info song;        /* what was read, as the file has it: rate and samples of the stems are file_rate and file_samples */
    int channels;               /* of the stems */
    int64_t segments;
    double seconds;             /* of computing, reading and writing */
    double audio_seconds;       /* of the song, by its own rate */
    double peak, gain;          /* as swg_audio_finished */
    int64_t clipped;
} swg_separate_result;

/* Writes FOLDER/<stem>.wav (or .flac) for each stem, all or none; existing files are replaced. A song in mono stands twice before a network of two channels, and gives
 * stems of two; a network of one channel separates each channel of a stereo song by itself. A song without samples gives stems without samples.
 * Errors as swg_audio_open, swg_audio_create; SWG_EINVAL: opts. opts and result may be NULL. */
swg_status swg_separate_file(swg_context *ctx, const swg_separator *separator, const char *song, const char *folder, const swg_separate_opts *opts,
                             swg_separate_result *result);
/* In memory, at the network's rate and channels: mixture (channels, samples); stems (stems, channels, samples). */
swg_status swg_separate_array(swg_context *ctx, const swg_separator *separator, int64_t samples, const float *mixture, float *stems,
                              const swg_separate_opts *opts);

#endif
