/* sound.h - what is used of libsndfile, and the checks of a file's head that it leaves out.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_AUDIO_SOUND_H
#define SWAGE_AUDIO_SOUND_H

#include "stream.h"
#include "swage/audio.h"

typedef enum swg__sound_kind { SWG__SOUND_WAV, SWG__SOUND_FLAC, SWG__SOUND_VORBIS } swg__sound_kind;

/* Tells the kind by the first bytes and sees whether the file is as long as its head says. SWG_EFORMAT: another kind; SWG_ECORRUPT: cut short. */
swg_status swg__sound_check(swg_context *ctx, const char *name, swg__stream *stream, swg__sound_kind *kind);

typedef struct swg__sound swg__sound;

/* The stream must stay where it is. Fills in the file_* parts of the info, bits and floating. */
swg_status swg__sound_open(swg_context *ctx, const char *name, swg__stream *stream, swg__sound **out, swg_audio_info *info);
/* Samples (count, channels) as floats; fewer than asked for: the file ends or is damaged, swg__sound_error() says how. */
int64_t swg__sound_read(swg__sound *sound, int64_t count, float *out);
bool swg__sound_seek(swg__sound *sound, int64_t at);
const char *swg__sound_error(swg__sound *sound);    /* "" : none */
void swg__sound_close(swg__sound *sound);           /* NULL is allowed */

/* Is FLAC written here? */
bool swg__sound_writes(void);
/* A FLAC file of 24 bits, from byte `origin` of the descriptor's file; numbers (count, channels) in the upper 24 of 32 bits. */
swg_status swg__flac_open(swg_context *ctx, const char *name, int fd, int64_t origin, int64_t rate, int channels, swg__sound **out);
swg_status swg__flac_write(swg__sound *sound, const int32_t *numbers, int64_t count);
swg_status swg__flac_end(swg__sound *sound, int64_t *bytes); /* writes what is left and closes, whatever the status; bytes of the FLAC file */

#endif
