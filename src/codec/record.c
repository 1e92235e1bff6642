/* record.c - writes and checks chunk records.
 * In: streams. Out: one record, its length a multiple of 4, its last word the CRC32C of the rest; and back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

const char swg__why_memory[] = "out of memory";
const char swg__why_io[] = "cannot be read: it has shrunk, or its disk failed";
const char swg__why_unsupported[] = "uses a mode or flag this version does not support";

void swg__draft_init(swg__draft *draft, swg_context *ctx) {
    *draft = (swg__draft){.head.model_ref = SWG__NO_MODEL};
    for (int k = 0; k < SWG__STREAM_KINDS; k++)
        swg__text_init(&draft->stream[k], ctx);
}

void swg__draft_free(swg__draft *draft) {
    for (int k = 0; k < SWG__STREAM_KINDS; k++)
        if (draft->stream[k].ctx)
            swg__text_free(&draft->stream[k]);
}

size_t swg__draft_bytes(const swg__draft *draft) {
    size_t bytes = SWG__RECORD_HEAD;
    for (int k = 1; k < SWG__STREAM_KINDS; k++)
        bytes += draft->stream[k].length ? 8 + draft->stream[k].length : 0;
    return (bytes + 3) / 4 * 4 + 4;
}

swg_status swg__draft_write(swg__draft *draft, swg_context *ctx, swg__text *out) {
    swg__record_head *head = &draft->head;
    size_t start = out->length;
    uint32_t streams = 0;
    for (int k = 1; k < SWG__STREAM_KINDS; k++)
        streams += draft->stream[k].length != 0;
    head->record_bytes = (uint32_t)swg__draft_bytes(draft);
    swg__put(out, "SWCK", 4);
    swg__put32(out, head->record_bytes);
    swg__put64(out, head->chunk_index);
    swg__put32(out, head->n_values);
    swg__put8(out, head->mode);
    swg__put8(out, head->submode);
    swg__put8(out, head->sub_shift);
    swg__put8(out, head->lanes_log2);
    swg__put16(out, head->model_ref);
    swg__put16(out, head->flags);
    uint8_t ratio[4];
    swg__store_f32(ratio, head->max_ratio);
    swg__put(out, ratio, 4);
    swg__put16(out, streams);
    swg__put16(out, 0);
    for (unsigned k = 1; k < SWG__STREAM_KINDS; k++)
        if (draft->stream[k].length) {
            swg__put32(out, k);
            swg__put32(out, (uint32_t)draft->stream[k].length);
        }
    for (int k = 1; k < SWG__STREAM_KINDS; k++)
        if (draft->stream[k].length)
            swg__put(out, draft->stream[k].data, draft->stream[k].length);
    swg__put_padding(out, start);
    if (out->failed)
        return swg__fail_memory(ctx, head->record_bytes, "a chunk record");
    head->crc = swg__crc32c(0, out->data + start, out->length - start);
    swg__put32(out, head->crc);
    return out->failed ? swg__fail_memory(ctx, head->record_bytes, "a chunk record") : SWG_OK;
}

void swg__record_number(uint8_t *record, size_t bytes, uint64_t chunk_index) {
    swg__store64(record + 8, chunk_index);
    swg__store32(record + bytes - 4, swg__crc32c(0, record, bytes - 4));
}

uint32_t swg__record_refer(uint8_t *record, size_t bytes, uint16_t model_ref) {
    swg__store16(record + 24, model_ref);
    uint32_t crc = swg__crc32c(0, record, bytes - 4);
    swg__store32(record + bytes - 4, crc);
    return crc;
}

/* Submodes of each mode, and how many of them this version decodes: bit i is submode i. */
static const struct { uint8_t known, decoded; } submodes[] = {
    [SWG__MODE_C] = {3, 3}, [SWG__MODE_W] = {3, 3}, [SWG__MODE_G] = {1, 1}, [SWG__MODE_B] = {7, 5},
    [SWG__MODE_T] = {1, 0}, [SWG__MODE_R] = {7, 3}, [SWG__MODE_P] = {1, 1},
};

const char *swg__record_parse(const uint8_t *data, size_t bytes, uint32_t n_values, uint64_t chunk_index, swg__record *record) {
    *record = (swg__record){0};
    swg__record_head *head = &record->head;
    if (bytes < SWG__RECORD_HEAD + 4 || (bytes & 3) || bytes > 0x7FFFFFFC)
        return "record length is impossible";
    if (memcmp(data, "SWCK", 4) != 0)
        return "record does not begin with SWCK";
    if (swg__load32(data + bytes - 4) != swg__crc32c(0, data, bytes - 4))
        return "checksum is wrong";
    swg__cursor in = {.at = data + 4, .end = data + bytes - 4};
    head->record_bytes = swg__take32(&in);
    head->chunk_index = swg__take64(&in);
    head->n_values = swg__take32(&in);
    head->mode = (uint8_t)swg__take8(&in);
    head->submode = (uint8_t)swg__take8(&in);
    head->sub_shift = (uint8_t)swg__take8(&in);
    head->lanes_log2 = (uint8_t)swg__take8(&in);
    head->model_ref = (uint16_t)swg__take16(&in);
    head->flags = (uint16_t)swg__take16(&in);
    head->max_ratio = swg__load_f32(swg__take(&in, 4));
    uint32_t streams = swg__take16(&in);
    (void)swg__take16(&in);
    head->crc = swg__load32(data + bytes - 4);
    if (head->record_bytes != bytes)
        return "record length differs from the index";
    if (head->chunk_index != chunk_index)
        return "record belongs to another chunk";
    if (head->n_values != n_values)
        return "number of values differs from the header";
    if (head->mode >= sizeof submodes / sizeof submodes[0] || head->submode > 7 || !(submodes[head->mode].known >> head->submode & 1))
        return "mode or submode is unknown";
    if ((head->sub_shift != 0 && head->sub_shift != 4) ||
        (head->lanes_log2 != 0 && head->lanes_log2 != 2 && head->lanes_log2 != 3 && head->lanes_log2 != 5))
        return "sub-grid shift or number of lanes is impossible";
    if (head->flags & ~255u)
        return "flags are unknown";
    if (!(head->max_ratio >= 0 && head->max_ratio <= 1))
        return "stored error exceeds the bound";
    if (streams < 1 || streams > SWG__STREAMS || swg__left(&in) < 8 * (size_t)streams)
        return "number of streams is impossible";
    const uint8_t *directory = swg__take(&in, 8 * (size_t)streams);
    uint32_t previous = 0;
    for (uint32_t i = 0; i < streams; i++) {
        uint32_t kind = directory[8 * i], length = swg__load32(directory + 8 * i + 4);
        if (kind <= previous || kind >= SWG__STREAM_KINDS)
            return "stream kinds are repeated, unordered or unknown";
        previous = kind;
        record->stream[kind] = (swg__span){swg__take(&in, length), length};
        if (in.bad)
            return "stream passes the end of its record";
    }
    if (swg__left(&in) > 3)
        return "streams do not fill the record";
    if (!(submodes[head->mode].decoded >> head->submode & 1) || (head->flags & SWG__FLAG_ROWSIG))
        return swg__why_unsupported;
    if (!(head->flags & SWG__FLAG_OUTLIERS) != !record->stream[SWG__OUTLIERS].data)
        return "outlier flag and stream disagree";
    if (!(head->flags & (SWG__FLAG_MASK | SWG__FLAG_ZERO_MASK)) != !record->stream[SWG__MASK].data)
        return "mask flags and stream disagree";
    if (!(head->flags & SWG__FLAG_SIGN) != !record->stream[SWG__SIGN].data)
        return "sign flag and stream disagree";
    if (!(head->flags & SWG__FLAG_LOW) != !record->stream[SWG__LOW].data)
        return "flag of low words and stream disagree";
    return NULL;
}

swg_codec_mode swg__mode_of(uint8_t mode, uint8_t submode) {
    static const struct { uint8_t mode, submode; } codes[SWG_MODE_COUNT] = {
        [SWG_MODE_CONSTANT] = {SWG__MODE_C, 0}, [SWG_MODE_LEVEL] = {SWG__MODE_C, 1},  [SWG_MODE_STENCIL] = {SWG__MODE_W, 0},
        [SWG_MODE_NETWORK] = {SWG__MODE_B, 2},  [SWG_MODE_PLANES] = {SWG__MODE_R, 1}, [SWG_MODE_STORED] = {SWG__MODE_R, 0},
        [SWG_MODE_POLY] = {SWG__MODE_P, 0},        [SWG_MODE_INTERPOLATION] = {SWG__MODE_G, 0},
        [SWG_MODE_MLP] = {SWG__MODE_W, 1},
        [SWG_MODE_BLOCKS] = {SWG__MODE_B, 0},
    };
    int i = 0;
    while (i < SWG_MODE_COUNT && (codes[i].mode != mode || codes[i].submode != submode))
        i++;
    return (swg_codec_mode)i;
}
