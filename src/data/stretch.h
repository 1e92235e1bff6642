/* stretch.h - time stretch and pitch shift of a piece of sound, by a phase vocoder.
 * In: samples (channels, count of input) with what lies before and behind them. Out: (channels, count), so many times as fast, so many semitones higher.
 *
 * Frames of 2048 samples under Hann windows. An output frame every 512 samples takes its magnitudes from the input frame that lies there in time, and the
 * phase of each peak goes on from the frame before by what the input's phase does in the 512 samples before that frame: two transforms of the input, no
 * arc tangent, and exact for a steady sine (Puckette, "Phase-locked vocoder", 1995). All bins between two valleys turn with their peak (Laroche and Dolson,
 * "Improved phase vocoder time-scale modification of audio", 1999, identity phase locking), and both channels turn alike, so that what is in the
 * middle stays there. Pitch: stretched by 2^(n/12) and read faster by as much, with a windowed sine quotient.
 * Not linear: where peaks lie depends on the sound, so a sum's result is not the sum of results.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_STRETCH_H
#define SWAGE_DATA_STRETCH_H

#include "base.h"

enum { SWG__STRETCH_MARGIN = 4608 };    /* samples of input that are read before the first and behind the last */

typedef struct swg__stretch swg__stretch;

/* Tables; used by any number of threads. channels: 1 or 2. */
swg_status swg__stretch_open(swg_context *ctx, int channels, swg__stretch **out);
void swg__stretch_close(swg__stretch *stretch); /* NULL is allowed */

/* Samples of input that `count` of output stand for: ceil(count * speed). */
int64_t swg__stretch_input(double speed, int64_t count);
/* x: channel c at x + c * (MARGIN + input + MARGIN), its first sample MARGIN in. out (channels, count). speed: 0.5 to 2; semitones: -12 to 12, and
 * 2^(semitones/12) / speed in 0.75 to 1.35: else SWG_EINVAL. Speed 1 without semitones gives x to rounding. Safe from several threads; SWG_ENOMEM. */
swg_status swg__stretch_run(const swg__stretch *stretch, double speed, double semitones, const float *x, int64_t count, float *out);

#endif
