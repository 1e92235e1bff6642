/* insitu.h - error-bounded compression between buffers of the caller, inside a running simulation: batches of octants, faces or lines, no
 * file, no threads, and after setup no allocation.
 *
 *     swg_insitu_opts o = {.type = SWG_ELEMENT_F64, .ndim = 2, .dims = {7, 7}, .items = 256, .bound = SWG_BOUND_ABS, .value = 1e-6};
 *     void *memory = malloc(swg_insitu_memory(&o));
 *     swg_insitu *coder;
 *     swg_insitu_open(&o, memory, swg_insitu_memory(&o), &coder);           // one per thread
 *     swg_insitu_compress(coder, faces, 200, message, swg_insitu_worst(&o, 200), &bytes);
 *     MPI_Send(message, (int)bytes, MPI_BYTE, ...);   ...   swg_insitu_decompress(coder, message, bytes, faces, 200);
 *
 * The bound is the codec's: |restored - original| <= bound for every finite value, exactly; NaN and infinities come back bit for bit. A message
 * describes itself (docs/format.md, "In-situ message"); its bytes depend on the values, the options and the version only.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_INSITU_H
#define SWAGE_INSITU_H

#include "swage/codec.h"

typedef struct swg_insitu_opts {
    swg_element type;
    int ndim;                     /* axes of one item: 1 line, 2 face, 3 octant */
    int64_t dims[3];              /* of one item, slowest first */
    int64_t items;                /* most of one call; items * values of an item <= 2^24 */
    swg_bound_mode bound;         /* lossless (0), absolute, or relative to the range below */
    double value;
    double range_min, range_max;  /* SWG_BOUND_REL: of the whole field, the same on all ranks */
    uint32_t without;             /* modes not tried, bits 1 << SWG_MODE_... */
    int effort;                   /* as in swg_codec_opts */
    const char *isa;              /* as in swg_context_opts; NULL: the best one */
} swg_insitu_opts;

typedef struct swg_insitu swg_insitu;

/* Bytes that a coder works in; 0: the options are wrong (swg_insitu_open says which). */
size_t swg_insitu_memory(const swg_insitu_opts *opts);
/* Largest message of `items` items: their bytes and 120 more. */
size_t swg_insitu_worst(const swg_insitu_opts *opts, int64_t items);

/* Makes a coder inside `memory`, which stays the caller's and must outlive it. A coder is used by one thread at a time; any number of coders
 * work side by side. bytes: at least swg_insitu_memory.
 * SWG_EINVAL, SWG_ESHAPE, SWG_EDTYPE: options. SWG_EUNSUPPORTED: a bound this version lacks. SWG_ENOMEM: too few bytes. *out NULL then. */
swg_status swg_insitu_open(const swg_insitu_opts *opts, void *memory, size_t bytes, swg_insitu **out);
void swg_insitu_close(swg_insitu *coder); /* NULL is allowed; the memory may be freed afterwards */

/* Compresses `count` items. items: (count, dims) values, C order, this machine's byte order. out: capacity bytes; *bytes: the message's.
 * SWG_EINVAL: count not in 1..opts.items. SWG_ESHAPE: out is too small; swg_insitu_worst never is. */
swg_status swg_insitu_compress(swg_insitu *coder, const void *items, int64_t count, void *out, size_t capacity, size_t *bytes);

/* Restores a message of exactly `count` items of the coder's type and shape; the bound is the sender's. A damaged message is found (CRC) and
 * leaves zeros; any bytes may be given.
 * SWG_EFORMAT, SWG_ECORRUPT, SWG_EUNSUPPORTED. SWG_ESHAPE: other items than the coder's or another count. */
swg_status swg_insitu_decompress(swg_insitu *coder, const void *message, size_t bytes, void *items, int64_t count);

/* Items of a message, from its first 64 bytes; -1: it is none. */
int64_t swg_insitu_items(const void *message, size_t bytes);

/* What went wrong last with this coder, "" if nothing. */
const char *swg_insitu_message(const swg_insitu *coder);

#endif
