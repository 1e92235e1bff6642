/* mask.h - values a mode does not code: fill values, and zeros under point-wise relative bounds; signs (docs/format.md, "Masks").
 * Masks are made and applied outside the modes: those see substitutes and may skip the places chunk->mask names.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_MASK_H
#define SWAGE_CODEC_MASK_H

#include "chunk.h"

/* What chunk->mask holds of a value; 0: it is coded. */
enum { SWG__MASK_FILL = 1, SWG__MASK_ZERO = 2 };

/* ---- encoder ---- */

/* Where chunk->values holds fill: sets chunk->mask and ->masked, moves the values to chunk->original and puts substitutes into
 * chunk->values. Nothing happens without fill. The caller frees both with swg__mask_free. SWG_ENOMEM. */
swg_status swg__mask_open(swg__chunk *chunk, void *values);
void swg__mask_free(swg__chunk *chunk);

/* Appends runs of the two kinds to the MASK stream and sets the flags; nothing if `mask` is NULL or empty. SWG_ENOMEM. */
swg_status swg__mask_write(const swg__chunk *chunk, const uint8_t *mask, swg__draft *draft);

/* Signs of the values that are no fill, the shortest of three forms. SWG_ENOMEM. */
swg_status swg__signs_write(const swg__chunk *chunk, const uint8_t *mask, swg__draft *draft);

/* ---- decoder ---- */

/* Runs to mask (count bytes, zero on entry). *values: what is left behind them. NULL or the reason. */
const char *swg__mask_read(const swg__chunk *chunk, const swg__record *record, uint8_t *mask, swg__span *values);

/* Puts fill values where they belong. values: of swg__mask_read. NULL or the reason. */
const char *swg__mask_apply(const swg__chunk *chunk, const uint8_t *mask, swg__span values);

/* Negates the values that are to be negative. mask may be NULL. NULL or the reason. */
const char *swg__signs_apply(const swg__chunk *chunk, const uint8_t *mask, swg__span signs);

#endif
