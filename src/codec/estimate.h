/* estimate.h - the competition between modes decided on samples.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_ESTIMATE_H
#define SWAGE_CODEC_ESTIMATE_H

#include "chunk.h"

/* The mode that a sample of the chunk favours, coded. without: SWG_WITHOUT_... and mode bits. stored: bytes of the chunk as it stands;
 * *any false: nothing shorter was found. draft: empty before. */
swg_status swg__compete_sampled(const swg__chunk *chunk, uint32_t without, size_t stored, swg__draft *draft, bool *any);

#endif
