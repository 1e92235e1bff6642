/* safetensors.h (internal) - what reader and writer share: checksums of tensors and of the header.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_EXPORT_SAFETENSORS_H
#define SWAGE_EXPORT_SAFETENSORS_H

#include "base.h"
#include "swage/safetensors.h"

#define SWG__CRC_KEY "swage.crc"
enum { SWG__HEADER_MOST = 100000000 };  /* bytes of JSON; the limit of the format's own library */

typedef struct swg__note {
    const char *key, *value;
} swg__note;

/* The text kept as "swage.crc": one line "xxxxxxxx name" per tensor with the CRC32C of its bytes, in file order, then one line
 * "xxxxxxxx" over all names, types, shapes and the other metadata. */
void swg__safetensors_crc(swg__text *out, const swg_tensor *tensors, int64_t tensor_count, const swg__note *notes, int64_t note_count);

#endif
