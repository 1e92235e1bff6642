/* safetensors.h - named tensors and text in one file: 8 bytes of length, a JSON header, the values. Little endian, row-major.
 * Written atomically and with the same bytes for the same content; read with every field of the header checked.
 *
 *     swg_safetensors_writer *w;
 *     swg_safetensors_writer_open(ctx, &(swg_safetensors_opts){.crc = true}, &w);
 *     swg_safetensors_writer_add(w, "fc1.weight", SWG_STORED_F32, 2, (int64_t[]){512, 125}, weight);
 *     swg_safetensors_writer_note(w, "swage.family", "swae");
 *     swg_safetensors_writer_write(w, "model.safetensors");
 *     swg_safetensors_writer_close(w);
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_SAFETENSORS_H
#define SWAGE_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "swage/context.h"

/* Name in the file and bytes of an element. */
#define SWG_STORED_TABLE(X)                                                                      \
    X(F64, 8) X(F32, 4) X(F16, 2) X(BF16, 2) X(F8_E4M3, 1) X(F8_E5M2, 1) X(I64, 8) X(I32, 4)     \
    X(I16, 2) X(I8, 1) X(U8, 1) X(BOOL, 1)

typedef enum swg_stored {
#define X(name, bytes) SWG_STORED_##name,
    SWG_STORED_TABLE(X)
#undef X
    SWG_STORED_COUNT
} swg_stored;

const char *swg_stored_name(swg_stored dtype);              /* "F32"; "?" for a number that is none */
int64_t swg_stored_bytes(swg_stored dtype);                 /* of one element; 0 for a number that is none */

enum { SWG_SAFETENSORS_MAX_DIMS = 8 };

/* One tensor of an open file; lives as long as the file is open. */
typedef struct swg_tensor {
    const char *name;
    swg_stored dtype;
    int ndim;                                               /* 0: one number */
    int64_t shape[SWG_SAFETENSORS_MAX_DIMS];
    int64_t bytes;
    const void *data;                                       /* aligned to its elements */
} swg_tensor;

/* ---- reading ---- */

typedef struct swg_safetensors swg_safetensors;

/* Loads a file. SWG_ENOTFOUND, SWG_EIO: it cannot be read. SWG_EFORMAT: not a safetensors file, or its header breaks the format
 * (the message says where). SWG_ECORRUPT: the header does not fit the data, e.g. the file is cut off. SWG_EUNSUPPORTED: element
 * type or number of dimensions not known here. SWG_ENOMEM. On failure *out is NULL. */
swg_status swg_safetensors_open(swg_context *ctx, const char *path, swg_safetensors **out);
/* The same for bytes in memory, which must stay as long as the result is open. `name` stands for the path in messages. */
swg_status swg_safetensors_open_memory(swg_context *ctx, const void *data, size_t bytes, const char *name, swg_safetensors **out);
void swg_safetensors_close(swg_safetensors *file);          /* NULL is allowed */

int64_t swg_safetensors_count(const swg_safetensors *file);
const swg_tensor *swg_safetensors_at(const swg_safetensors *file, int64_t index);          /* in file order; NULL: beyond the end */
const swg_tensor *swg_safetensors_find(const swg_safetensors *file, const char *name);     /* NULL: none */
const char *swg_safetensors_note(const swg_safetensors *file, const char *key);            /* metadata; NULL: none */

/* Compares all values, names, shapes and metadata with the checksums kept by the writer (metadata "swage.crc", CRC32C).
 * SWG_ECORRUPT: names the tensor. SWG_ENOTFOUND: the file has no checksums. */
swg_status swg_safetensors_check(const swg_safetensors *file);

/* ---- writing ---- */

typedef struct swg_safetensors_writer swg_safetensors_writer;

/* Zero is the default everywhere. */
typedef struct swg_safetensors_opts {
    bool crc;               /* keep checksums for swg_safetensors_check */
    bool keep_order;        /* tensors in the order they were added; default: larger elements first, then by name */
    int64_t align;          /* where the values begin: a multiple of this many bytes, a multiple of 8; 0: 64 */
} swg_safetensors_opts;

/* opts may be NULL. SWG_EINVAL: align. SWG_ENOMEM. */
swg_status swg_safetensors_writer_open(swg_context *ctx, const swg_safetensors_opts *opts, swg_safetensors_writer **out);
/* Adds a tensor. Name and shape are copied, data is not: it must stay until the last write.
 * SWG_EINVAL: name not UTF-8 or given before, dtype, ndim; SWG_ESHAPE: negative extent, more bytes than an int64_t holds. */
swg_status swg_safetensors_writer_add(swg_safetensors_writer *w, const char *name, swg_stored dtype, int ndim, const int64_t *shape,
                                      const void *data);
/* Adds metadata; both are copied. Kept in the order given. SWG_EINVAL: not UTF-8, or the key was given before. */
swg_status swg_safetensors_writer_note(swg_safetensors_writer *w, const char *key, const char *value);
/* Writes the file: a temporary one beside it, fsync, rename. After a failure `path` is what it was before. May be called again. */
swg_status swg_safetensors_writer_write(swg_safetensors_writer *w, const char *path);
void swg_safetensors_writer_close(swg_safetensors_writer *w);      /* NULL is allowed */

#endif
