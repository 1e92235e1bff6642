/* test_codec_file.c - proves: a file has the bytes of the published example; every malformed input of the specification is refused
 * with its reason; a file cut anywhere or with any bit changed is detected and never gives wrong values in silence.
 * SPDX-License-Identifier: Apache-2.0 */
#include "codec/container.h"
#include "codec/encode.h"
#include "codec_testing.h"

static swg_codec_buffer compress(swg_context *ctx, const swg_codec_array *a, const swg_codec_opts *o) {
    swg_codec_buffer out;
    assert_ok(ctx, swg_codec_compress(ctx, a, o, &out, NULL));
    return out;
}

static void worked_example(void **state) {
    swg_context *ctx = *state;
    static const float ones[4] = {1, 1, 1, 1};
    static const uint8_t sha[32] = {0xd9, 0xc3, 0x66, 0x85, 0x00, 0x13, 0x81, 0xbc, 0xfa, 0xba, 0x9d, 0xaa, 0xd1, 0x05, 0xf0, 0xb9,
                                    0xd3, 0xe9, 0x8a, 0xd8, 0x61, 0xe8, 0x06, 0xa2, 0xa5, 0xcf, 0x6c, 0xbb, 0xd5, 0xe1, 0x21, 0x2a};
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {4}, .data = ones};
    swg_codec_buffer out = compress(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 1e-3});
    uint8_t digest[32];
    assert_int_equal(out.bytes, 364);
    swg__sha256(out.data, out.bytes, digest);
    assert_memory_equal(digest, sha, 32);
    assert_int_equal(round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 1e-3}, NULL), 364);
    swg_codec_buffer_free(ctx, &out);
}

/* ---- malformed files ---- */

/* A small file with several chunks, and what a test may do to it. Layout: header, records, INDX, footer. */
typedef struct sample {
    uint8_t data[8192];
    size_t bytes;
    size_t record, record_bytes, index, footer;
} sample;

static void make_sample_of(swg_context *ctx, swg_element type, swg_codec_opts o, sample *s) {
    static double x[6 * 7 * 8];
    swg_codec_array a = {.type = type, .ndim = 3, .dims = {6, 7, 8}, .data = x};
    fill_smooth(&a, x, 1);
    for (int i = 0; i < 6 * 7 * 8 && o.bound == SWG_BOUND_PW_REL; i++)
        ((float *)(void *)x)[i] -= 25; /* both signs in every chunk */
    for (int i = 0; i < 6 * 7 * 8 && type == SWG_ELEMENT_F64; i++)
        x[i] = (double)(float)x[i]; /* without zeros at its end a chunk this small is stored */
    if (type == SWG_ELEMENT_F32)
        ((float *)(void *)x)[100] = INFINITY;
    o.chunk[0] = 3;
    o.chunk[1] = 7;
    o.chunk[2] = 8;
    swg_codec_buffer out = compress(ctx, &a, &o);
    assert_true(out.bytes <= sizeof s->data);
    memcpy(s->data, out.data, out.bytes);
    s->bytes = out.bytes;
    swg_codec_buffer_free(ctx, &out);
    s->record = swg__load32(s->data + 12);
    s->record_bytes = swg__load32(s->data + s->record + 4);
    s->footer = s->bytes - 64;
    s->index = (size_t)swg__load64(s->data + s->footer + 8);
}

static void make_sample(swg_context *ctx, swg_codec_opts o, sample *s) { make_sample_of(ctx, SWG_ELEMENT_F32, o, s); }

/* Makes the checksums right again, so that the reader sees the damage behind them. */
static void fix_crc(sample *s) {
    size_t header = swg__load32(s->data + 12);
    if (header >= 196 && header <= s->bytes)
        swg__store32(s->data + header - 4, swg__crc32c(0, s->data, header - 4));
    uint32_t crc = swg__crc32c(0, s->data + s->record, s->record_bytes - 4);
    swg__store32(s->data + s->record + s->record_bytes - 4, crc);
    swg__store32(s->data + s->index + 16 + 8 + 20, crc);
    swg__store32(s->data + s->footer - 4, swg__crc32c(0, s->data + s->index, s->footer - 4 - s->index));
    swg__store32(s->data + s->footer + 56, swg__crc32c(0, s->data + s->footer, 56));
}

/* Opens and reads; the failure's status, and its message in the context. */
static swg_status read_all(swg_context *ctx, const uint8_t *data, size_t bytes) {
    swg_swz *swz;
    double values[6 * 7 * 8];
    swg_status status = swg_swz_open_memory(ctx, data, bytes, &swz);
    if (status != SWG_OK) {
        assert_null(swz);
        return status;
    }
    const swg_swz_info *info = swg_swz_member(swz, 0);
    status = swg_swz_read(swz, 0, values, (size_t)info->bytes_raw <= sizeof values ? (size_t)info->bytes_raw : sizeof values);
    swg_swz_close(swz);
    return status;
}

typedef struct change {
    const char *what;     /* name of the damage */
    char where;           /* h header, r record, i index, f footer */
    int offset, width;    /* 1, 2, 4, 8 bytes */
    uint64_t value;
    swg_status status;
    const char *reason;   /* part of the message */
} change;

static const change changes[] = {
    {"wrong magic", 'h', 0, 4, 0x11111111, SWG_EFORMAT, "is not a .swz"},
    {"text mode damage", 'h', 4, 1, 0x0A, SWG_EFORMAT, "text mode"},
    {"eighth bit lost", 'h', 0, 1, 0x09, SWG_EFORMAT, "text mode"},
    {"version 2", 'h', 8, 2, 2, SWG_EUNSUPPORTED, "newer swage"},
    {"header_bytes 192", 'h', 12, 4, 192, SWG_ECORRUPT, "header length"},
    {"header_bytes beyond the file", 'h', 12, 4, 60000, SWG_ECORRUPT, "header length"},
    {"header_bytes 65540", 'h', 12, 4, 65540, SWG_ECORRUPT, "header length"},
    {"unknown incompatible flag", 'h', 16, 4, 1u << 20, SWG_EUNSUPPORTED, "feature"},
    {"trained tables", 'h', 16, 4, 4, SWG_EUNSUPPORTED, "feature"},
    {"models of a collection that is not there", 'h', 16, 4, 8, SWG_ECORRUPT, "enclosing collection"},
    {"dtype 0", 'h', 24, 1, 0, SWG_ECORRUPT, "element type"},
    {"dtype 3", 'h', 24, 1, 3, SWG_ECORRUPT, "element type"},
    {"dtype 12", 'h', 24, 1, 12, SWG_ECORRUPT, "element type"},
    {"ndim 0", 'h', 25, 1, 0, SWG_ECORRUPT, "dimensions"},
    {"ndim 5", 'h', 25, 1, 5, SWG_ECORRUPT, "dimensions"},
    {"ndim 2 with three extents", 'h', 25, 1, 2, SWG_ECORRUPT, "dimension is 0 or too large"},
    {"bound mode 5", 'h', 26, 1, 5, SWG_ECORRUPT, "bound mode"},
    {"bound mode 3 without its grid", 'h', 26, 1, 3, SWG_ECORRUPT, "point-wise relative"},
    {"a logarithmic grid in bound mode 1", 'h', 128, 8, 3172517977, SWG_ECORRUPT, "point-wise relative"},
    {"lossless with a bound", 'h', 26, 1, 0, SWG_ECORRUPT, "lossless stream has a bound"},
    {"layout 2", 'h', 27, 1, 2, SWG_ECORRUPT, "layout"},
    {"blocks that are no cubes", 'h', 27, 1, 1, SWG_ECORRUPT, "cubes"},
    {"axis map with an axis twice", 'h', 28, 1, 0, SWG_ECORRUPT, "axis map"},
    {"fill mode 3", 'h', 29, 1, 3, SWG_ECORRUPT, "fill mode"},
    {"fill mode 2 without a threshold", 'h', 29, 1, 2, SWG_ECORRUPT, "fill threshold"},
    {"fill threshold NaN", 'h', 144, 8, 0x7FF8000000000000, SWG_ECORRUPT, "fill threshold"},
    {"fill value of 33 bits", 'h', 136, 8, (uint64_t)1 << 32, SWG_ECORRUPT, "more bits than its type"},
    {"sig 11", 'h', 31, 1, 11, SWG_ECORRUPT, "significant bits"},
    {"sig 25", 'h', 31, 1, 25, SWG_ECORRUPT, "significant bits"},
    {"dim 0", 'h', 32, 8, 0, SWG_ECORRUPT, "dimension is 0"},
    {"dim 2^48 + 1", 'h', 32, 8, ((uint64_t)1 << 48) + 1, SWG_ECORRUPT, "dimension is 0 or too large"},
    {"dim 2^64 - 1", 'h', 32, 8, UINT64_MAX, SWG_ECORRUPT, "dimension is 0 or too large"},
    {"chunk 0", 'h', 64, 4, 0, SWG_ECORRUPT, "chunk is empty"},
    {"chunk above dim", 'h', 64, 4, 7, SWG_ECORRUPT, "chunk is empty or larger"},
    {"value NaN", 'h', 80, 8, 0x7FF8000000000000, SWG_ECORRUPT, "bound is not a number"},
    {"eb NaN", 'h', 88, 8, 0x7FF8000000000000, SWG_ECORRUPT, "not a finite number"},
    {"eb negative", 'h', 88, 8, 0xBFF0000000000000, SWG_ECORRUPT, "not a finite number"},
    {"step 0", 'h', 96, 8, 0, SWG_ECORRUPT, "bound and step"},
    {"step negative", 'h', 96, 8, 0xBFF0000000000000, SWG_ECORRUPT, "not a finite number"},
    {"step NaN", 'h', 96, 8, 0x7FF8000000000000, SWG_ECORRUPT, "not a finite number"},
    {"step infinite", 'h', 96, 8, 0x7FF0000000000000, SWG_ECORRUPT, "not a finite number"},
    {"step with too many bits", 'h', 96, 8, 0x3FF0000000000001, SWG_ECORRUPT, "too many significant bits"},
    {"base infinite", 'h', 104, 8, 0x7FF0000000000000, SWG_ECORRUPT, "not a finite number"},
    {"other number of chunks", 'h', 152, 8, 3, SWG_ECORRUPT, "number of chunks"},
    {"65 models", 'h', 168, 4, 65, SWG_ECORRUPT, "64 models"},
    {"models in the header", 'h', 168, 4, 1, SWG_ECORRUPT, "models"},
    {"footer magic", 'f', 0, 1, 0, SWG_ECORRUPT, "no footer"},
    {"end magic", 'f', 60, 1, 0, SWG_ECORRUPT, "no footer"},
    {"footer length", 'f', 4, 4, 60, SWG_ECORRUPT, "no footer"},
    {"index behind the footer", 'f', 8, 8, 1 << 20, SWG_ECORRUPT, "index is outside"},
    {"index inside the header", 'f', 8, 8, 100, SWG_ECORRUPT, "wrong place"},
    {"index length", 'f', 16, 8, 70, SWG_ECORRUPT, "wrong place or length"},
    {"index length of 2^64 - 1", 'f', 16, 8, UINT64_MAX, SWG_ECORRUPT, "index is outside"},
    {"footer counts other chunks", 'f', 24, 8, 5, SWG_ECORRUPT, "number of chunks"},
    {"footer has another axis", 'f', 32, 8, 5, SWG_ECORRUPT, "first axis"},
    {"footer loop", 'f', 40, 8, 1 << 20, SWG_ECORRUPT, "footer points forward"},
    {"file length", 'f', 48, 8, 77, SWG_ECORRUPT, "length differs"},
    {"index tag", 'i', 0, 1, 'X', SWG_ECORRUPT, "section is not where"},
    {"index version", 'i', 4, 4, 1, SWG_ECORRUPT, "unknown version"},
    {"index payload length", 'i', 8, 8, 1000, SWG_ECORRUPT, "wrong length"},
    {"index count", 'i', 16, 8, 3, SWG_ECORRUPT, "counts other chunks"},
    {"record inside the header", 'i', 24, 8, 100, SWG_ECORRUPT, "index points"},
    {"record past the end", 'i', 24, 8, 1 << 20, SWG_ECORRUPT, "index points"},
    {"record of 36 bytes", 'i', 32, 4, 36, SWG_ECORRUPT, "index points"},
    {"record longer than the file", 'i', 32, 4, 1 << 20, SWG_ECORRUPT, "index points"},
    {"records backwards", 'i', 48, 8, 196, SWG_ECORRUPT, "backwards"},
    {"records overlap", 'i', 48, 8, 200, SWG_ECORRUPT, "backwards"},
    {"index has another mode", 'i', 36, 1, 0, SWG_ECORRUPT, "differs from its index"},
    {"index error above the bound", 'i', 40, 4, 0x40000000, SWG_ECORRUPT, "larger than the bound"},
    {"index error NaN", 'i', 40, 4, 0x7FC00000, SWG_ECORRUPT, "larger than the bound"},
    {"record magic", 'r', 0, 1, 0, SWG_ECORRUPT, "SWCK"},
    {"record length", 'r', 4, 4, 100, SWG_ECORRUPT, "record length"},
    {"duplicate chunk", 'r', 8, 8, 1, SWG_ECORRUPT, "another chunk"},
    {"number of values", 'r', 16, 4, 167, SWG_ECORRUPT, "number of values"},
    {"mode 7", 'r', 20, 1, 7, SWG_ECORRUPT, "mode or submode"},
    {"submode 3", 'r', 21, 1, 3, SWG_ECORRUPT, "mode or submode"},
    {"sub_shift 1", 'r', 22, 1, 1, SWG_ECORRUPT, "sub-grid shift"},
    {"lanes_log2 1", 'r', 23, 1, 1, SWG_ECORRUPT, "number of lanes"},
    {"lanes_log2 4", 'r', 23, 1, 4, SWG_ECORRUPT, "number of lanes"},
    {"flags", 'r', 26, 2, 0x8000, SWG_ECORRUPT, "flags are unknown"},
    {"error above the bound", 'r', 28, 4, 0x3F800001, SWG_ECORRUPT, "exceeds the bound"},
    {"no streams", 'r', 32, 2, 0, SWG_ECORRUPT, "number of streams"},
    {"nine streams", 'r', 32, 2, 9, SWG_ECORRUPT, "number of streams"},
    {"stream kind repeated", 'r', 44, 1, 1, SWG_ECORRUPT, "stream kinds"},
    {"stream kind 0", 'r', 36, 1, 0, SWG_ECORRUPT, "stream kinds"},
    {"stream kind 9", 'r', 36, 1, 9, SWG_ECORRUPT, "stream kinds"},
    {"stream too long", 'r', 40, 4, 1 << 20, SWG_ECORRUPT, "passes the end"},
    {"stream too short", 'r', 40, 4, 8, SWG_ECORRUPT, "do not fill"},
};

static void patch(uint8_t *at, int width, uint64_t value) {
    for (int i = 0; i < width; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static void malformed_list(void **state) {
    swg_context *ctx = *state;
    sample good, bad;
    make_sample(ctx, (swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 0.05}, &good);
    assert_int_equal(read_all(ctx, good.data, good.bytes), SWG_OK);
    bad = good;
    fix_crc(&bad);
    assert_memory_equal(good.data, bad.data, good.bytes); /* the repair itself changes nothing */
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        const change *c = &changes[i];
        bad = good;
        size_t base = c->where == 'r' ? good.record : c->where == 'i' ? good.index : c->where == 'f' ? good.footer : 0;
        patch(bad.data + base + c->offset, c->width, c->value);
        fix_crc(&bad);
        swg_status status = read_all(ctx, bad.data, bad.bytes);
        if (status != c->status || !strstr(swg_context_message(ctx), c->reason))
            fail_msg("%s: %s: %s; expected %s with \"%s\"", c->what, swg_status_name(status), swg_context_message(ctx),
                     swg_status_name(c->status), c->reason);
    }
    bad = good;
    swg__store64(bad.data + 40, (uint64_t)1 << 48);
    swg__store64(bad.data + 48, (uint64_t)1 << 48);
    fix_crc(&bad);
    assert_int_equal(read_all(ctx, bad.data, bad.bytes), SWG_ECORRUPT);
    assert_non_null(strstr(swg_context_message(ctx), "too many values"));
    assert_int_equal(read_all(ctx, good.data, 0), SWG_EFORMAT);
    assert_non_null(strstr(swg_context_message(ctx), "empty"));
    assert_int_equal(read_all(ctx, (const uint8_t *)"GIF89a..", 8), SWG_EFORMAT);
}

/* Modes this version does not decode are refused politely. */
static void newer_modes(void **state) {
    swg_context *ctx = *state;
    sample good, bad;
    make_sample(ctx, (swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 0.05}, &good);
    static const uint8_t modes[][2] = {{SWG__MODE_B, 1}, {SWG__MODE_T, 0}, {SWG__MODE_R, 2}};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        bad = good;
        memcpy(bad.data + good.record + 20, modes[i], 2);
        memcpy(bad.data + good.index + 36, modes[i], 2);
        fix_crc(&bad);
        assert_int_equal(read_all(ctx, bad.data, bad.bytes), SWG_EUNSUPPORTED);
        assert_non_null(strstr(swg_context_message(ctx), "chunk 0: uses a mode or flag this version does not support"));
    }
}

/* Payloads of the streams: constants, outliers, planes. Offsets inside the record are found through its directory. */
static uint8_t *find_stream(sample *s, int kind, uint32_t *bytes) {
    uint32_t streams = swg__load16(s->data + s->record + 32), at = 36 + 8 * streams;
    for (uint32_t i = 0; i < streams; i++) {
        const uint8_t *entry = s->data + s->record + 36 + 8 * i;
        *bytes = swg__load32(entry + 4);
        if (entry[0] == kind)
            return s->data + s->record + at;
        at += *bytes;
    }
    return NULL;
}

static void expect(swg_context *ctx, sample *s, const char *reason) {
    fix_crc(s);
    swg_status status = read_all(ctx, s->data, s->bytes);
    if (status != SWG_ECORRUPT || !strstr(swg_context_message(ctx), reason))
        fail_msg("expected \"%s\", got %s: %s", reason, swg_status_name(status), swg_context_message(ctx));
}

/* Masks, signs, low words: a byte of a stream or of the head changed, named damage by named damage. */
typedef struct stream_change {
    const char *what;
    int stream, offset;   /* stream 0: the record's flags (offset 26 in record, 38 in index), -1: the header */
    int width;
    uint64_t value;
    const char *reason;
} stream_change;

static void try_changes(swg_context *ctx, const sample *good, const stream_change *changes_made, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const stream_change *c = &changes_made[i];
        sample bad = *good;
        uint32_t bytes = 0;
        uint8_t *stream = c->stream > 0 ? find_stream(&bad, c->stream, &bytes) : bad.data;
        if (!stream || (c->stream > 0 && c->offset >= (int)bytes))
            fail_msg("%s: stream %d has %u bytes", c->what, c->stream, bytes);
        if (c->stream == 0) {
            patch(bad.data + bad.record + 26, 2, c->value);
            patch(bad.data + bad.index + 38, 2, c->value);
        } else {
            patch(stream + (c->offset < 0 ? (int)bytes + c->offset : c->offset), c->width, c->value);
        }
        fix_crc(&bad);
        swg_status status = read_all(ctx, bad.data, bad.bytes);
        if (status != SWG_ECORRUPT || !strstr(swg_context_message(ctx), c->reason))
            fail_msg("%s: expected \"%s\", got %s: %s", c->what, c->reason, swg_status_name(status), swg_context_message(ctx));
    }
}
#define TRY(good, ...) \
    try_changes(ctx, &(good), (const stream_change[]){__VA_ARGS__}, sizeof(const stream_change[]){__VA_ARGS__} / sizeof(stream_change))

static void malformed_masks(void **state) {
    swg_context *ctx = *state;
    sample good;
    make_sample(ctx, (swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 0.05, .fill = SWG_FILL_VALUE, .fill_bits = 0x7f800000}, &good);
    assert_int_equal(read_all(ctx, good.data, good.bytes), SWG_OK);
    uint16_t flags = swg__load16(good.data + good.record + 26);
    uint32_t bytes = 0;
    assert_memory_equal(find_stream(&good, SWG__MASK, &bytes), ((uint8_t[]){1, 100, 1, 67}), 4);
    TRY(good, {"no kind", SWG__MASK, 0, 1, 0, "kinds of mask"}, {"another kind", SWG__MASK, 0, 1, 2, "kinds of mask"},
        {"unknown kind", SWG__MASK, 0, 1, 65, "kinds of mask"}, {"runs too long", SWG__MASK, 1, 1, 101, "runs of a mask"},
        {"runs too short", SWG__MASK, 3, 1, 66, "runs of a mask"}, {"an empty run", SWG__MASK, 2, 1, 0, "runs of a mask"},
        {"runs end early", SWG__MASK, 2, 1, 68, "left over behind a mask"}, {"a run that is too large", SWG__MASK, 1, 2, 0x7FFF, "runs of a mask"},
        {"no mask flag", 0, 0, 0, (uint64_t)(flags & ~SWG__FLAG_MASK), "mask flags"},
        {"zeros of an absolute bound", 0, 0, 0, (uint64_t)flags ^ SWG__FLAG_ZERO_MASK ^ SWG__FLAG_MASK, "kinds of mask"},
        {"no fill in the header", -1, 29, 1, 0, "array that has none"});

    make_sample(ctx, (swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 0.05, .fill = SWG_FILL_ABOVE, .fill_threshold = 20}, &good);
    uint8_t *mask = find_stream(&good, SWG__MASK, &bytes);
    assert_true(mask && bytes > 40); /* values of their own */
    TRY(good, {"a value less", SWG__MASK, 1, 1, (uint64_t)mask[1] + 1, "mask"}, {"other threshold", -1, 144, 8, 0, "fill threshold"},
        {"unused bits of the head", SWG__MASK, 0, 1, 0x41, "kinds of mask"});

    make_sample(ctx, (swg_codec_opts){.bound = SWG_BOUND_PW_REL, .value = 1e-4}, &good);
    flags = swg__load16(good.data + good.record + 26);
    assert_true(flags & SWG__FLAG_SIGN);
    assert_non_null(find_stream(&good, SWG__SIGN, &bytes));
    TRY(good, {"unknown form of signs", SWG__SIGN, 0, 1, 4, "signs are missing or of an unknown form"}, {"one sign for all", SWG__SIGN, 0, 1, 0, "signs are too few or too many"},
        {"other form", SWG__SIGN, 0, 1, (uint64_t)(find_stream(&good, SWG__SIGN, &bytes)[0] == 2 ? 3 : 2), "signs"},
        {"no sign flag", 0, 0, 0, (uint64_t)(flags & ~SWG__FLAG_SIGN), "sign flag"}, {"zero mask that is not there", 0, 0, 0, (uint64_t)flags | SWG__FLAG_ZERO_MASK, "mask flags"},
        {"spacing 0", -1, 128, 8, 0, "point-wise relative"}, {"spacing beyond 2^41", -1, 128, 8, (uint64_t)1 << 42, "point-wise relative"},
        {"fraction 0.5", -1, 88, 8, 0x3FE0000000000000, "point-wise relative"}, {"a step as well", -1, 96, 8, 0x3FF0000000000000, "point-wise relative"},
        {"significant bits", -1, 31, 1, 12, "significant bits"}, {"of integers", -1, 24, 1, SWG_ELEMENT_I32, "point-wise relative"},
        {"another bound mode", -1, 26, 1, 1, "point-wise relative"}, {"indices beyond f64", -1, 128, 8, (uint64_t)1 << 41, "index is beyond"});

    make_sample_of(ctx, SWG_ELEMENT_F64, (swg_codec_opts){.without = 1u << SWG_MODE_PLANES}, &good);
    flags = swg__load16(good.data + good.record + 26);
    assert_true(flags & SWG__FLAG_LOW);
    TRY(good, {"no low bits", SWG__LOW, 0, 1, 0, "number of low bits"}, {"63 low bits", SWG__LOW, 0, 1, 63, "number of low bits"},
        {"a plane less", SWG__LOW, 0, 1, 9, "left over behind the low words"}, {"a plane more", SWG__LOW, 0, 1, 62, "byte planes are too short"},
        {"method of a plane", SWG__LOW, 1, 1, 7, "method of a byte plane"}, {"no flag", 0, 0, 0, (uint64_t)(flags & ~SWG__FLAG_LOW), "flag of low words"},
        {"of f32", -1, 24, 1, SWG_ELEMENT_F32, "low words of an array"});
}

static void malformed_streams(void **state) {
    swg_context *ctx = *state;
    sample good, bad;
    uint32_t bytes;
    make_sample(ctx, (swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 0.05}, &good);
    bad = good;
    uint8_t *outliers = find_stream(&bad, SWG__OUTLIERS, &bytes);
    assert_non_null(outliers);
    assert_int_equal(swg__load32(outliers), 1);
    swg__store32(outliers, 169);
    expect(ctx, &bad, "number of outliers");
    swg__store32(outliers, 0);
    expect(ctx, &bad, "number of outliers");
    swg__store32(outliers, 1);
    bad.data[bad.record + 26] &= (uint8_t)~SWG__FLAG_OUTLIERS;
    bad.data[bad.index + 38] &= (uint8_t)~SWG__FLAG_OUTLIERS;
    expect(ctx, &bad, "outlier flag and stream disagree");
    bad = good;
    outliers = find_stream(&bad, SWG__OUTLIERS, &bytes);
    outliers[4] = 0xFF;
    expect(ctx, &bad, "outlier is malformed");
    bad = good;
    uint8_t *rans = find_stream(&bad, SWG__RANS, &bytes);
    swg__store32(rans, 0xFFFF);
    expect(ctx, &bad, "rANS state below 2^16");
    bad = good;
    rans = find_stream(&bad, SWG__RANS, &bytes);
    rans[1] ^= 0x40;
    fix_crc(&bad);
    assert_int_equal(read_all(ctx, bad.data, bad.bytes), SWG_ECORRUPT);

    make_sample(ctx, (swg_codec_opts){.bound = SWG_BOUND_LOSSLESS}, &good);
    assert_true(good.data[good.record + 20] == SWG__MODE_R && good.data[good.record + 21] == 1);
    bad = good;
    uint8_t *planes = find_stream(&bad, SWG__PARAM, &bytes);
    planes[0] = 2;
    expect(ctx, &bad, "method of a byte plane");
    bad = good;
    planes = find_stream(&bad, SWG__PARAM, &bytes);
    swg__store32(planes + 1, 1 << 20);
    expect(ctx, &bad, "byte planes are too short");
    bad = good;
    planes = find_stream(&bad, SWG__PARAM, &bytes);
    assert_int_equal(planes[0], 1);
    planes[5 + 1 + 3] = planes[5 + 1];
    expect(ctx, &bad, "table of a byte plane");

    float small[168];
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {3, 7, 8}, .data = small};
    for (int i = 0; i < 168; i++)
        small[i] = (float)(i % 9);
    swg_codec_buffer out = compress(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 100});
    memcpy(bad.data, out.data, out.bytes);
    bad.bytes = out.bytes;
    swg_codec_buffer_free(ctx, &out);
    bad.record = 196;
    bad.record_bytes = swg__load32(bad.data + 200);
    bad.footer = bad.bytes - 64;
    bad.index = (size_t)swg__load64(bad.data + bad.footer + 8);
    assert_int_equal(bad.data[196 + 21], 1); /* C1 */
    uint8_t *level = find_stream(&bad, SWG__PARAM, &bytes);
    swg__store64(level, (uint64_t)1 << 46);
    expect(ctx, &bad, "level beyond 2^45");
}

static void extensions(void **state) {
    swg_context *ctx = *state;
    static const float x[4] = {1, 2, 3, 4};
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {4}, .data = x};
    swg_codec_buffer out = compress(ctx, &a, &(swg_codec_opts){.name = "U_CHI", .attributes = "time=5", .user_tag = 77});
    swg_swz *swz;
    assert_ok(ctx, swg_swz_open_memory(ctx, out.data, out.bytes, &swz));
    assert_string_equal(swg_swz_member(swz, 0)->name, "U_CHI");
    assert_string_equal(swg_swz_member(swz, 0)->attributes, "time=5");
    assert_string_equal(swg_swz_member(swz, 0)->source, "");
    assert_int_equal(swg_swz_member(swz, 0)->user_tag, 77);
    assert_null(swg_swz_member(swz, 1));
    assert_int_equal(swg_swz_find(swz, NULL, "U_CHI"), 0);
    assert_int_equal(swg_swz_find(swz, NULL, "U_PSI"), -1);
    swg_swz_close(swz);
    uint32_t header = swg__load32(out.data + 12);
    swg__store32(out.data + 196, 4000); /* length of the name */
    swg__store32(out.data + header - 4, swg__crc32c(0, out.data, header - 4));
    assert_int_equal(swg_swz_open_memory(ctx, out.data, out.bytes, &swz), SWG_ECORRUPT);
    assert_non_null(strstr(swg_context_message(ctx), "extension passes the end of the header"));
    swg__store32(out.data + 196, 5);
    swg__store16(out.data + 192, 900); /* unknown, may be ignored */
    swg__store32(out.data + header - 4, swg__crc32c(0, out.data, header - 4));
    assert_ok(ctx, swg_swz_open_memory(ctx, out.data, out.bytes, &swz));
    assert_string_equal(swg_swz_member(swz, 0)->name, "");
    swg_swz_close(swz);
    swg__store16(out.data + 194, 1); /* must be understood */
    swg__store32(out.data + header - 4, swg__crc32c(0, out.data, header - 4));
    assert_int_equal(swg_swz_open_memory(ctx, out.data, out.bytes, &swz), SWG_EUNSUPPORTED);
    swg_codec_buffer_free(ctx, &out);
}

/* ---- damage of every place ---- */

static void cut_anywhere(void **state) {
    swg_context *ctx = *state;
    sample good;
    make_sample(ctx, (swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 0.05, .name = "x"}, &good);
    for (size_t n = 0; n < good.bytes; n++) {
        uint8_t *cut = malloc(n ? n : 1); /* so that a read past the end is seen by the sanitiser */
        memcpy(cut, good.data, n);
        assert_int_not_equal(read_all(ctx, cut, n), SWG_OK);
        free(cut);
    }
}

/* Whatever bit is changed: a failure, or the very values that were stored. */
static void any_bit(void **state) {
    swg_context *ctx = *state;
    static const swg_codec_opts opts[] = {{.bound = SWG_BOUND_ABS, .value = 0.05, .name = "x"}, {.bound = SWG_BOUND_LOSSLESS}, {.bound = SWG_BOUND_ABS, .value = 1e-7}};
    for (size_t i = 0; i < sizeof opts / sizeof opts[0]; i++) {
        sample good;
        float wanted[336], found[336];
        swg_swz *swz;
        make_sample(ctx, opts[i], &good);
        assert_ok(ctx, swg_swz_open_memory(ctx, good.data, good.bytes, &swz));
        assert_ok(ctx, swg_swz_read(swz, 0, wanted, sizeof wanted));
        swg_swz_close(swz);
        int64_t detected = 0;
        for (size_t bit = 0; bit < 8 * good.bytes; bit++) {
            good.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (swg_swz_open_memory(ctx, good.data, good.bytes, &swz) != SWG_OK) {
                detected++;
            } else {
                memset(found, 0x55, sizeof found);
                if (swg_swz_read(swz, 0, found, sizeof found) != SWG_OK) {
                    detected++;
                    for (size_t v = 0; v < 336; v++) /* damaged chunks are zero, the others right */
                        if (memcmp(&found[v], &wanted[v], 4) != 0 && found[v] != 0)
                            fail_msg("bit %zu: value %zu is %g, not %g and not 0", bit, v, (double)found[v], (double)wanted[v]);
                } else {
                    assert_memory_equal(found, wanted, sizeof found);
                }
                swg_swz_close(swz);
            }
            good.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_int_equal(detected, 8 * good.bytes);
    }
}

static void damaged_chunk_is_named(void **state) {
    swg_context *ctx = *state;
    sample good;
    float values[336], rest[168];
    int64_t origin[4], extent[4];
    swg_swz *swz;
    make_sample(ctx, (swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 0.05, .name = "U_CHI"}, &good);
    good.data[good.record + good.record_bytes + 60] ^= 1;
    assert_ok(ctx, swg_swz_open_memory(ctx, good.data, good.bytes, &swz));
    memset(values, 0x55, sizeof values);
    assert_int_equal(swg_swz_read(swz, 0, values, sizeof values), SWG_ECORRUPT);
    assert_string_equal(swg_context_message(ctx), "U_CHI chunk 1: checksum is wrong");
    assert_int_equal(swg_swz_verify(swz, 0), SWG_ECORRUPT);
    assert_true(values[0] != 0);
    for (int i = 168; i < 336; i++)
        assert_true(values[i] == 0);
    assert_ok(ctx, swg_swz_read_chunk(swz, 0, 0, rest, sizeof rest, origin, extent));
    assert_memory_equal(rest, values, sizeof rest);
    assert_true(origin[0] == 0 && extent[0] == 3 && extent[1] == 7 && extent[2] == 8 && extent[3] == 1);
    memset(rest, 0x55, sizeof rest);
    assert_int_equal(swg_swz_read_chunk(swz, 0, 1, rest, sizeof rest, origin, extent), SWG_ECORRUPT);
    assert_true(origin[0] == 3 && rest[5] == 0);
    assert_int_equal(swg_swz_read_chunk(swz, 0, 2, rest, sizeof rest, NULL, NULL), SWG_EINVAL);
    assert_int_equal(swg_swz_read_chunk(swz, 0, 0, rest, 5, NULL, NULL), SWG_ESHAPE);
    assert_int_equal(swg_swz_read(swz, 0, values, 5), SWG_ESHAPE);
    assert_int_equal(swg_swz_read(swz, 1, values, sizeof values), SWG_EINVAL);
    swg_swz_close(swz);
}

/* A file as a growing writer leaves it: first axis in the footer, one chunk never written. */
static void growing_and_sparse(void **state) {
    swg_context *ctx = *state;
    sample s;
    float values[336];
    swg_swz *swz;
    make_sample(ctx, (swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 0.05}, &s);
    swg__store32(s.data + 20, SWG__COMPAT_RANGE | SWG__COMPAT_APPEND);
    swg__store64(s.data + 32, 0);
    swg__store64(s.data + 152, 0);
    memset(s.data + s.index + 24, 0, 24);
    size_t header = swg__load32(s.data + 12);
    swg__store32(s.data + header - 4, swg__crc32c(0, s.data, header - 4));
    swg__store32(s.data + s.footer - 4, swg__crc32c(0, s.data + s.index, s.footer - 4 - s.index));
    assert_ok(ctx, swg_swz_open_memory(ctx, s.data, s.bytes, &swz));
    assert_int_equal(swg_swz_member(swz, 0)->dims[0], 6);
    assert_ok(ctx, swg_swz_read(swz, 0, values, sizeof values));
    for (int i = 0; i < 168; i++)
        assert_true(values[i] == 0);
    assert_true(values[170] != 0);
    swg_swz_close(swz);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(worked_example, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(malformed_list, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(newer_modes, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(malformed_masks, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(malformed_streams, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(extensions, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(cut_anywhere, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(any_bit, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(damaged_chunk_is_named, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(growing_and_sparse, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
