/* insitu.h (internal) - how much of its memory a coder has used; for tests and benchmarks.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_INSITU_H
#define SWAGE_CODEC_INSITU_H

#include "region.h"
#include "swage/insitu.h"

/* peak and refused of the region. A coder that is refused memory stores the items as they are: larger, never wrong. */
const swg__region *swg__insitu_region(const swg_insitu *coder);

#endif
