/* swz.h - what the rest of the codec may know of an open stream.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_SWZ_H
#define SWAGE_CODEC_SWZ_H

#include "container.h"
#include "input.h"
#include "model.h"

/* Opens what the input holds and takes the input over, also when it fails. path: for messages. */
swg_status swg__swz_open(swg_context *ctx, swg__input *input, const char *path, swg_swz **out);

/* Header and index payload of a member, owned by the swz. */
const swg__header *swg__swz_header(const swg_swz *swz, int64_t member, const uint8_t **index);

/* Bytes of the file from its start to the end of its last valid footer. */
uint64_t swg__swz_end(const swg_swz *swz);

/* A record into chunk->values. model: what model_ref is a number in, NULL none. NULL or the reason; the values are then undefined. */
const char *swg__record_decode(const swg__chunk *chunk, const swg_codec_model *model, const swg__record *record);

#endif
