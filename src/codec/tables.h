/* tables.h - the 256 static symbol tables of the entropy coder (docs/format.md, "Tables").
 * Table t < 252 holds bucket t / 9 at phase t % 9; tables 252..255 serve buckets >= 28, whose low bits go raw.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_TABLES_H
#define SWAGE_CODEC_TABLES_H

#include <stdint.h>

enum { SWG__ESCAPE = 31, SWG__BUCKETS = 64, SWG__WIDE_BUCKETS = 128 };

extern const uint16_t swg__frequency[256][32];
extern const uint16_t swg__start[256][32];
extern const uint16_t swg__cost[256][32];

/* Mode W-MLP: 1 / (1 + m/256) in its features; the scale of a bucket in 1/256. */
extern const uint32_t swg__reciprocal[256];
extern const int64_t swg__scale[SWG__WIDE_BUCKETS];

#endif
