/* container.h - headers, framed sections, footers: everything of a .swz but the chunk records (docs/format.md).
 * Parsers work on memory, check every length before use, allocate nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_CONTAINER_H
#define SWAGE_CODEC_CONTAINER_H

#include "bytes.h"
#include "chunk.h"

enum {
    SWG__HEADER_BYTES = 196,
    SWG__FOOTER_BYTES = 64,
    SWG__FRAME_BYTES = 20,     /* of a section, around its payload */
    SWG__INDEX_ENTRY = 24,
    SWG__MODELS = 64,
    SWG__BLOB_BYTES = 16 << 20,
    SWG__TEXT_BYTES = 60000    /* name and attributes together */
};
#define SWG__CHUNK_VALUES ((int64_t)1 << 24)
#define SWG__MOST_VALUES ((int64_t)1 << 56)

enum { /* incompatible flags */
    SWG__INCOMPAT_ZSTD = 1,
    SWG__INCOMPAT_MODE_T = 2,
    SWG__INCOMPAT_TABLES = 4,
    SWG__INCOMPAT_ENCLOSED = 8 /* models come from the enclosing collection */
};
enum { SWG__COMPAT_RANGE = 1, SWG__COMPAT_APPEND = 2 };
enum { SWG__IDENTITY_MAP = 0xE4 };

typedef struct swg__header {
    uint32_t header_bytes, incompat, compat;
    swg_element type;
    swg_bound_mode bound;
    swg_codec_layout layout;
    uint8_t ndim, axis_map, source_order;
    int64_t dims[4], chunk[4];   /* unused axes 1 */
    double value, range_min, range_max;
    double psnr;                 /* reached; written with SWG_BOUND_PSNR only */
    swg__fill fill;
    swg__grid grid;
    uint64_t n_chunks, off_models, user_tag;
    uint32_t n_models, encoder_id;
    swg__span name, attributes;  /* of the extensions; data NULL: none */
} swg__header;

/* How the dataset is cut. */
typedef struct swg__layout {
    int64_t dims[4], chunk[4], chunks[4]; /* by coder axis w z y x */
    int64_t stride[4];                    /* of each coder axis in the dataset, in values */
    int64_t values, count;                /* count: chunks */
} swg__layout;

/* False: an axis map that is no permutation, a product that overflows. */
bool swg__layout_make(const swg__header *header, swg__layout *layout);
/* Extents and first value (in the dataset) of a chunk; chunks are numbered row-major in the dataset's axes. */
void swg__layout_chunk(const swg__layout *layout, const swg__header *header, int64_t chunk, int64_t origin[4], int64_t extent[4]);

void swg__header_write(const swg__header *header, const char *name, const char *attributes, swg__text *out);

/* NULL or the reason; *status tells damage, another format and a newer version apart. */
const char *swg__header_parse(const uint8_t *data, size_t bytes, swg__header *header, swg_status *status);

/* Bound, step, base and significant bits of header->grid. NULL or the reason. */
const char *swg__grid_check(const swg__header *header);

/* Frame around a payload: begin writes tag and length, end the checksum of everything since. */
void swg__section_begin(swg__text *out, const char tag[4], uint64_t payload_bytes);
void swg__section_end(swg__text *out, size_t start);
/* The payload of the section that starts at data, NULL with a reason if it is damaged or has another tag. */
const char *swg__section_parse(const uint8_t *data, size_t bytes, const char tag[4], swg__span *payload);

typedef struct swg__footer {
    uint64_t off_index, index_bytes, n_chunks, dims0, prev_footer, file_bytes;
} swg__footer;
void swg__footer_write(const swg__footer *footer, swg__text *out);
/* at: the last SWG__FOOTER_BYTES bytes of a stream of file_bytes bytes. */
const char *swg__footer_parse(const uint8_t *at, uint64_t file_bytes, swg__footer *footer);

typedef struct swg__index_entry {
    uint64_t offset;
    uint32_t record_bytes, crc;
    uint8_t mode, submode;
    uint16_t flags;
    float max_ratio;
} swg__index_entry;
void swg__index_write(const swg__index_entry *entry, swg__text *out);
void swg__index_read(const uint8_t *payload, int64_t chunk, swg__index_entry *entry);

#endif
