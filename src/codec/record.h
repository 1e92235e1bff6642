/* record.h - the chunk record `SWCK`: fixed head, stream directory, streams, CRC (docs/format.md, "Chunk record").
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_RECORD_H
#define SWAGE_CODEC_RECORD_H

#include "bytes.h"
#include "swage/codec.h"

enum { SWG__MODE_C, SWG__MODE_W, SWG__MODE_G, SWG__MODE_B, SWG__MODE_T, SWG__MODE_R, SWG__MODE_P };
enum { SWG__PARAM = 1, SWG__RANS, SWG__RAW, SWG__LATENT, SWG__LRAW, SWG__MASK, SWG__OUTLIERS, SWG__SIGN, SWG__LOW, SWG__STREAM_KINDS };
enum { SWG__STREAMS = 8 }; /* of one record */
enum {
    SWG__FLAG_MASK = 1,
    SWG__FLAG_OUTLIERS = 2,
    SWG__FLAG_WIDE = 4,
    SWG__FLAG_SIGN = 8,
    SWG__FLAG_ROWSIG = 16,
    SWG__FLAG_LOCAL = 32, /* weights in PARAM */
    SWG__FLAG_ZERO_MASK = 64,
    SWG__FLAG_LOW = 128    /* the mode coded high words */
};
enum { SWG__RECORD_HEAD = 36, SWG__NO_MODEL = 0xFFFF };

typedef struct swg__record_head {
    uint64_t chunk_index;
    uint32_t record_bytes, n_values;
    uint8_t mode, submode, sub_shift, lanes_log2;
    uint16_t model_ref, flags;
    float max_ratio;
    uint32_t crc;
} swg__record_head;

/* ---- writing ---- */

/* One coded candidate of a chunk. Streams of length 0 are not written. */
typedef struct swg__draft {
    swg__record_head head;
    swg__text stream[SWG__STREAM_KINDS];
    int64_t outliers;
} swg__draft;

void swg__draft_init(swg__draft *draft, swg_context *ctx);
void swg__draft_free(swg__draft *draft);
size_t swg__draft_bytes(const swg__draft *draft);            /* of the whole record */
swg_status swg__draft_write(swg__draft *draft, swg_context *ctx, swg__text *out); /* fills in record_bytes and crc */

/* Gives a finished record another chunk_index. */
void swg__record_number(uint8_t *record, size_t bytes, uint64_t chunk_index);

/* Gives a finished record another model_ref. Returns its new CRC. */
uint32_t swg__record_refer(uint8_t *record, size_t bytes, uint16_t model_ref);

/* ---- reading ---- */

typedef struct swg__span {
    const uint8_t *data;
    size_t bytes;
} swg__span;

typedef struct swg__record {
    swg__record_head head;
    swg__span stream[SWG__STREAM_KINDS]; /* data NULL: not there */
} swg__record;

/* Why a chunk could not be decoded: a constant text; these are told apart from damage by their address. */
extern const char swg__why_memory[], swg__why_io[], swg__why_unsupported[];

/* Head, directory and CRC of a record that must fill `bytes` bytes and hold n_values values. NULL or the reason. */
const char *swg__record_parse(const uint8_t *data, size_t bytes, uint32_t n_values, uint64_t chunk_index, swg__record *record);

/* Public name of a mode; SWG_MODE_COUNT if this version has none. */
swg_codec_mode swg__mode_of(uint8_t mode, uint8_t submode);

#endif
