/* example.h - data made up for trying things, where there are none of one's own.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_EXAMPLE_H
#define SWAGE_EXAMPLE_H

#include <stdint.h>
#include "swage/context.h"

/* Made up, not measured: cells with round nuclei, for trying the experiments of family cyto without data of one's own. */
typedef struct swg_example_opts {
    int64_t images;             /* 6; of four or more one is for validation and one for testing */
    int64_t extent[3];          /* z y x: 64, 128, 128; each 16 or more */
    uint64_t seed;
} swg_example_opts;
/* Writes FOLDER/raw-N.tif (7 channels u16: blank, membrane, blank, structure, blank, dye of the nucleus, brightfield), FOLDER/seg-N.tif (4 channels u8:
 * nucleus, cell, their boundaries; 1 inside), FOLDER/nuclei-N.tif (u16, an id per nucleus), and train.csv, valid.csv, test.csv, predict.csv with columns raw,
 * seg, nuclei. opts may be NULL. SWG_EINVAL: an option, or tables of other data in FOLDER. Otherwise as swg_stack_create. */
swg_status swg_example_stacks(swg_context *ctx, const char *folder, const swg_example_opts *opts);

/* Made up as well: songs of a voice, drums, a bass and chords, for trying family tfswa. What is 0 has its default. */
typedef struct swg_example_songs_opts {
    int64_t songs;              /* 4 */
    double seconds;             /* of each: 10 */
    int64_t rate;               /* Hz: 44100 */
    uint64_t seed;
} swg_example_songs_opts;
/* Writes FOLDER/song-N/vocals.wav, drums.wav, bass.wav, other.wav and mixture.wav, their sum; stereo, 16 bits. opts may be NULL. SWG_EINVAL: an option, or FOLDER holds other things.
 * Otherwise as swg_audio_write. */
swg_status swg_example_songs(swg_context *ctx, const char *folder, const swg_example_songs_opts *opts);

#endif
