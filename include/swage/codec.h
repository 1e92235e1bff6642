/* codec.h - error-bounded compression of arrays to .swz streams, collections of them, and reading them back.
 *
 *     swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {64, 64, 64}, .data = values};
 *     swg_codec_buffer out = {0};
 *     swg_codec_compress(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 1e-6}, &out, NULL);
 *
 *     swg_swz *file = NULL;
 *     swg_swz_open_memory(ctx, out.data, out.bytes, &file);
 *     swg_swz_read(file, 0, restored, sizeof restored);
 *     swg_swz_close(file);
 *     swg_codec_buffer_free(ctx, &out);
 *
 * Whatever the array holds (NaN, infinities, noise), the result is inside the bound and at most 1 KiB larger than the array
 * (arrays over 2^27 values: 80 bytes more for each further 2^24). The bytes depend on the array, the options, the model and
 * the version of the library, never on the number of threads. The format is in docs/format.md.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_H
#define SWAGE_CODEC_H

#include <signal.h>
#include <stdbool.h>
#include "swage/context.h"
#include "swage/element.h"

/* ---- what is compressed ---- */

typedef enum swg_codec_layout {
    SWG_CODEC_GRID,   /* neighbours in the array are neighbours in space */
    SWG_CODEC_BLOCKS  /* (N, n, n, n), 3 <= n <= 9: isolated blocks, block i says nothing of block i + 1 */
} swg_codec_layout;

typedef struct swg_codec_array {
    swg_element type;
    swg_codec_layout layout;
    int ndim;            /* 1..4 */
    int64_t dims[4];     /* slowest first, each >= 1, product <= 2^56 */
    const void *data;    /* C order, this machine's byte order; borrowed for the call */
} swg_codec_array;

/* ---- how ---- */

typedef enum swg_bound_mode {
    SWG_BOUND_LOSSLESS,  /* every bit comes back, NaN payloads and the sign of zero included */
    SWG_BOUND_ABS,       /* |restored - original| <= value */
    SWG_BOUND_REL,       /* |restored - original| <= value * (largest - smallest finite value of the whole array) */
    SWG_BOUND_PW_REL,    /* |restored - original| <= value * |original|, 0 < value < 0.5; zeros keep their sign. f32 and f64 only */
    SWG_BOUND_PSNR,      /* value: decibels that the whole array must reach, 20 log10(range / root mean square error); the largest
                            absolute bound that does is searched for */
    SWG_BOUND_RATIO      /* value: bytes_in / bytes_out to reach; the smallest absolute bound that does is searched for. Streams say
                            SWG_BOUND_ABS and the bound found */
} swg_bound_mode;

/* Values that stand for "no data": returned bit for bit, and without influence on range, bound, neighbours or PSNR. */
typedef enum swg_fill_mode {
    SWG_FILL_AUTO,       /* NaNs, if the array has any */
    SWG_FILL_VALUE,      /* the bit pattern fill_bits */
    SWG_FILL_ABOVE,      /* NaN and |x| >= fill_threshold */
    SWG_FILL_NONE        /* every value is data; NaN and infinities still come back as they were */
} swg_fill_mode;

typedef struct swg_codec_model swg_codec_model;

/* Zero is the default everywhere: lossless, chunks chosen, no network. */
typedef struct swg_codec_opts {
    swg_bound_mode bound;
    double value;                 /* of the bound: see there; > 0, finite. Errors of 0 mean lossless */
    swg_fill_mode fill;
    uint64_t fill_bits;           /* SWG_FILL_VALUE: the value's bytes, as swg_fill_bits makes them */
    double fill_threshold;        /* SWG_FILL_ABOVE: > 0 */
    bool has_range;               /* SWG_BOUND_REL: take the range below (of a whole series, say) instead of the array's own */
    double range_min, range_max;  /* in the array's units */
    int64_t chunk[4];             /* values per axis of one chunk, slowest first; all 0: chosen. Product <= 2^24. Noise that would
                                     grow by more than 1 KiB is cut into fewer chunks */
    bool keep_chunk;              /* cut as `chunk` says even then: 80 bytes more for each chunk of noise */
    const swg_codec_model *model; /* candidates at effort 5 and above, NULL none; cost nothing where they do not fit */
    uint32_t without;             /* modes not tried, bits 1 << SWG_MODE_...; constant and stored always are */
    int effort;                   /* 0: 5. 1: constant, stencil, planes, stored; no models. 5: every mode, of each chunk the one that a sample of it
                                     favours. 9: every mode on all of each chunk, the shortest stays. Others: as the next one below.
                                     Never a matter of what can be read */
    const char *name;             /* UTF-8, stored in the header; NULL none */
    const char *attributes;       /* UTF-8, stored in the header; NULL none. name + attributes <= 60,000 bytes */
    uint64_t user_tag;            /* free, stored */
} swg_codec_opts;

typedef enum swg_codec_mode { /* what a chunk was coded as */
    SWG_MODE_CONSTANT,  /* all values bit-identical */
    SWG_MODE_LEVEL,     /* all values on one grid point */
    SWG_MODE_STENCIL,   /* least-squares causal stencil (W-LS) */
    SWG_MODE_NETWORK,   /* autoencoder latents + residual (B-SWAE) */
    SWG_MODE_PLANES,    /* byte planes, entropy-coded */
    SWG_MODE_STORED,    /* as it stands */
    SWG_MODE_POLY,      /* boxes of orthogonal polynomials (P) */
    SWG_MODE_INTERPOLATION, /* between points of coarser grids, closed loop (G) */
    SWG_MODE_MLP,       /* a model's stencil, corrected by its small network (W-MLP) */
    SWG_MODE_BLOCKS,    /* isolated blocks, each value by kriging from those before it (B-causal) */
    SWG_MODE_COUNT
} swg_codec_mode;

/* Parts of the polynomial mode that opts.without may leave out. */
enum {
    SWG_WITHOUT_FACES = 1 << 16,   /* octants that share faces are one patch */
    SWG_WITHOUT_MIRRORS = 1 << 17  /* patches are predicted from mirror images */
};

const char *swg_codec_mode_name(swg_codec_mode mode); /* "constant" ...; "?" for an unknown one */

typedef struct swg_codec_stats {
    int64_t values, chunks;
    int64_t bytes_in, bytes_out;           /* the array; the stream (in a collection: this member, without the shared network) */
    int64_t mode_chunks[SWG_MODE_COUNT];
    int64_t outliers;                      /* values stored verbatim inside lossy chunks */
    int64_t filled;                        /* fill values that took no part in the coding */
    double psnr_db;                        /* reached, SWG_BOUND_PSNR only; infinity without error */
    double eb_abs, step;                   /* bound and grid step in the array's units; 0: coded without loss */
    double range_min, range_max;           /* smallest and largest finite value; 0 if none */
    double max_ratio;                      /* largest error / eb_abs over all chunks, rounded up; 0 without loss */
} swg_codec_stats;

/* A number as an array of this type holds it, for swg_codec_opts.fill_bits. False: the type cannot hold it. */
bool swg_fill_bits(swg_element type, double number, uint64_t *bits);
double swg_fill_number(swg_element type, uint64_t bits); /* and back; integers beyond 2^53 are rounded */

typedef struct swg_codec_buffer {
    uint8_t *data;
    size_t bytes;
} swg_codec_buffer;

/* Compresses an array into fresh memory.
 * array: what to compress
 * opts: NULL is lossless
 * out: receives the stream; free with swg_codec_buffer_free. Empty after a failure
 * stats: may be NULL
 * SWG_EINVAL: bound negative, NaN or infinite, chunk or text too large. SWG_ESHAPE: no values, bad dims. SWG_EDTYPE.
 * SWG_EDTYPE also: a point-wise relative bound of integers. SWG_ENOMEM. Whatever the network's encode function returns. */
swg_status swg_codec_compress(swg_context *ctx, const swg_codec_array *array, const swg_codec_opts *opts, swg_codec_buffer *out,
                              swg_codec_stats *stats);
void swg_codec_buffer_free(swg_context *ctx, swg_codec_buffer *buffer);

/* The same into a file, which has its name only when it is complete. Also SWG_EIO, SWG_ENOTFOUND (no such folder). */
swg_status swg_codec_compress_file(swg_context *ctx, const swg_codec_array *array, const swg_codec_opts *opts, const char *path,
                                   swg_codec_stats *stats);

/* ---- many arrays in one file, one copy of the network ---- */

typedef struct swg_codec_writer swg_codec_writer;

/* Opens a collection. model: of every member, NULL none; opts.model of the members is not used. Borrowed until commit. */
swg_status swg_codec_writer_open(swg_context *ctx, const char *path, const swg_codec_model *model, swg_codec_writer **out);

/* Compresses an array as the next member.
 * source: where it came from, a relative path, say; UTF-8, at most 65,535 bytes
 * opts.name: name of the variable, at most 65,535 bytes. (source, name) must be unique
 * stats: of this member, with the network if that makes it shorter; may be NULL. Members that the network shortens are held in
 *     memory until together they save more than its size; if they never do, they are stored without it and are a little longer
 * Readers list members in the order of their places in the file, which may differ from the order of adding.
 * After a failure the collection is as before; add more, commit or abort. */
swg_status swg_codec_writer_add(swg_codec_writer *writer, const char *source, const swg_codec_array *array,
                                const swg_codec_opts *opts, swg_codec_stats *stats);

/* Writes directory and footer, gives the file its name, frees the writer (also when it fails).
 * bytes_out: of the whole file, network included; may be NULL */
swg_status swg_codec_writer_commit(swg_codec_writer *writer, int64_t *bytes_out);
void swg_codec_writer_abort(swg_codec_writer *writer); /* nothing is left behind; NULL is allowed */

/* ---- a series that grows: steps are added to the first axis ---- */

typedef struct swg_codec_appender swg_codec_appender;

/* Opens a stream for more steps, or makes one.
 * path: one process appends at a time. Where nothing stands there, the file appears with the first chunk row or flush
 * step: type, layout, ndim and dims[1..] of a step; dims[0] and data are not read. A step of (nz, ny, nx) values is ndim 4 with
 *     dims {0, nz, ny, nx}. NULL: as the file has it
 * opts: of a new file all but `model`. SWG_BOUND_REL needs has_range, with the range of the whole series. For SWG_BOUND_ABS a range makes
 *     the stream shorter; without it values beyond eight times the largest of the first put are stored verbatim. chunk[0]: steps coded
 *     together, held in memory until they are complete; default as many as make 2^18 values (2^12 where ndim is 4), at most 64, of
 *     blocks any number.
 *     Of an existing file the bound must be the same; NULL: as the file has it
 * SWG_ENOTFOUND: no file and no step or opts. SWG_ESHAPE, SWG_EINVAL: the file holds something else. SWG_ECORRUPT: it was cut off, see
 * swg_swz_recover. SWG_EUNSUPPORTED: a network. */
swg_status swg_codec_append_open(swg_context *ctx, const char *path, const swg_codec_array *step, const swg_codec_opts *opts,
                                 swg_codec_appender **out);
int64_t swg_codec_append_steps(const swg_codec_appender *appender); /* flushed or not */

/* Adds steps; data: (steps, dims[1..]) values, C order. Complete chunk rows are coded and written at once. After a failure only flush, which
 * fails too, and abort are left; the file is valid up to its last flush. */
swg_status swg_codec_append_put(swg_codec_appender *appender, const void *data, int64_t steps);

/* From now on the file holds all steps, whatever happens to the process or the machine. Costs the coding of the unfinished chunk row, which
 * is written again when it is complete, and 24 bytes per chunk of the file for a new index: old copies stay in the file as dead bytes. */
swg_status swg_codec_append_flush(swg_codec_appender *appender);

/* Flushes and frees (also when it fails). */
swg_status swg_codec_append_close(swg_codec_appender *appender);
/* Drops what was not flushed and frees. NULL is allowed. */
void swg_codec_append_abort(swg_codec_appender *appender);

/* ---- the network ---- */

typedef enum swg_codec_activation { SWG_CODEC_NONE, SWG_CODEC_RELU, SWG_CODEC_GELU } swg_codec_activation;

typedef struct swg_codec_layer {
    int in, out;                     /* 1..1024 */
    swg_codec_activation activation; /* of the outputs; SWG_CODEC_NONE for the last layer, and only there */
    const float *weight;             /* (out, in) */
    const float *bias;               /* (out) */
} swg_codec_layer;

/* An autoencoder for blocks of edge^3 values. Blocks are normalised as y = (x - mean) / 2^E with E the smallest integer for
 * which |y| <= 1: the network must have been trained on such blocks. */
typedef struct swg_codec_network {
    int edge;                        /* 3..9 */
    int latents;                     /* 1..64 */
    int layer_count;                 /* of the decoder, 1..8 */
    swg_codec_layer layers[8];       /* latents -> ... -> edge^3 */
    /* Float encoder. blocks: (count, edge^3) normalised; latents: (count, latents). Called by one thread at a time, with
     * counts up to 65,536; equal blocks must give equal latents whatever the count. */
    swg_status (*encode)(void *user, int64_t count, const float *blocks, float *latents);
    void *user;
} swg_codec_network;

typedef struct swg_codec_model_report {
    double rms;             /* of the sample blocks themselves */
    double rms_error_float; /* of the float decoder on unquantised latents */
    double rms_error;       /* of the integer decoder on quantised latents: what the codec uses */
    double latent_bits;     /* estimated code length of one block's latents */
    size_t blob_bytes;      /* what the model adds to a file */
} swg_codec_model_report;

/* Quantises the decoder half of a network: int8 weights, int8 latents, calibrated on the sample.
 * sample: (count, edge^3) normalised blocks, count >= 1; a few thousand are enough
 * model: keeps a copy of the weights and the encode function with its user pointer; free with swg_codec_model_free
 * report: may be NULL
 * SWG_ESHAPE: layers do not chain. SWG_ENONFINITE: a weight, block or latent is NaN or infinite. SWG_EINVAL. SWG_ENOMEM. */
swg_status swg_codec_model_make(swg_context *ctx, const swg_codec_network *network, const float *sample, int64_t count,
                                swg_codec_model **model, swg_codec_model_report *report);
void swg_codec_model_free(swg_context *ctx, swg_codec_model *model);

/* ---- sets of models ---- */

/* An empty set, of up to 64 models. Of each array those are candidates that were trained for a variable of its name (opts.name), or for any,
 * and at a bound within a factor of 2; each chunk takes the best of them if that is by more than half a per cent shorter, and only models that save more than their own size
 * go into the file. */
swg_status swg_codec_model_new(swg_context *ctx, swg_codec_model **model);

/* What training needs beside the arrays. Zero is the default everywhere. */
typedef struct swg_codec_fit_opts {
    const char *kinds;          /* names with commas between them, as swg_codec_trainer lists them; NULL: all that take seconds */
    uint64_t seed;
    double seconds;             /* of one kind; 0: a number of steps instead, and then the models depend on arrays and seed only */
    void (*progress)(void *user, double done, double bits); /* of the kind at work; done: 0..1, bits: per value at present, NaN unknown */
    void *user;
    const volatile sig_atomic_t *stop; /* not 0 ends the work with SWG_EINTERRUPTED; NULL: never */
} swg_codec_fit_opts;

/* Trains models on arrays of one variable, earlier steps of a series, say, and adds them to a set.
 * bound: the bound they are for, resolved array by array, name of the variable (NULL: any), fill values; no target
 * Kinds that are not for such arrays are left out; so are arrays that would be coded without loss.
 * SWG_EINVAL: an unknown kind, more than 64 models. SWG_EINTERRUPTED: the set has what was ready. SWG_ENOMEM, and what is wrong with an array. */
swg_status swg_codec_fit(swg_context *ctx, const swg_codec_array *arrays, int64_t count, const swg_codec_opts *bound,
                         const swg_codec_fit_opts *opts, swg_codec_model *model);

/* Kinds that can be trained, in the order of the table; one name may stand there twice. NULL behind the last. */
const char *swg_codec_trainer(int index, const char **help);

/* A set as a file (.swm), with names and bounds; it has its name only when it is complete. Encoders of autoencoders stay behind: such a model
 * only decodes when it comes back. SWG_EFORMAT, SWG_EUNSUPPORTED, SWG_ECORRUPT: not a file to trust. SWG_EIO, SWG_ENOTFOUND, SWG_ENOMEM. */
swg_status swg_codec_model_save(swg_context *ctx, const swg_codec_model *model, const char *path);
swg_status swg_codec_model_load(swg_context *ctx, const char *path, swg_codec_model **out);

/* What model `index` of 0 .. count - 1 is; the texts are owned by the set. */
typedef struct swg_codec_model_info {
    const char *kind;           /* "stencil", "autoencoder" ...; "?" of a newer version */
    const char *name;           /* of the variable; "": any */
    double bound;               /* relative bound it was trained at; 0: any */
    size_t bytes;               /* of the blob */
} swg_codec_model_info;
int swg_codec_model_count(const swg_codec_model *model);
void swg_codec_model_describe(const swg_codec_model *model, int index, swg_codec_model_info *info);

/* The blob as it stands in files, owned by the set, and its SHA-256 (may be NULL). */
const uint8_t *swg_codec_model_blob(const swg_codec_model *model, int index, size_t *bytes, uint8_t sha256[32]);

/* ---- reading ---- */

typedef struct swg_swz swg_swz;

typedef struct swg_swz_info {
    const char *source;         /* of a collection's member, "" else; owned by the swg_swz, like the next two */
    const char *name;           /* "" if none was stored */
    const char *attributes;
    swg_element type;
    swg_codec_layout layout;
    int ndim;
    int64_t dims[4], chunk[4];  /* unused axes are 1 */
    int64_t values, chunks;
    int64_t bytes_raw, bytes_stored;
    int64_t mode_chunks[SWG_MODE_COUNT];
    swg_bound_mode bound;
    double value;               /* as the user gave it */
    double eb_abs, step, base;  /* eb_abs of SWG_BOUND_PW_REL: the bound as a fraction of each value */
    double range_min, range_max;
    double max_ratio;           /* largest stored error / eb_abs */
    swg_fill_mode fill;         /* SWG_FILL_NONE, _VALUE or _ABOVE */
    uint64_t fill_bits;
    double fill_threshold;
    double psnr_db;             /* reached, SWG_BOUND_PSNR only; else 0 */
    uint64_t user_tag;
} swg_swz_info;

/* Opens a stream or a collection: all headers, tables and models are checked, no chunk is read yet.
 * path: kept open until close; what is read of it later is the records of the chunks asked for. data: borrowed until close.
 * SWG_EFORMAT: not a .swz. SWG_ECORRUPT: damaged. SWG_EUNSUPPORTED: made by a newer version. SWG_ENOMEM, SWG_EIO. */
swg_status swg_swz_open(swg_context *ctx, const char *path, swg_swz **out);
swg_status swg_swz_open_memory(swg_context *ctx, const void *data, size_t bytes, swg_swz **out);
void swg_swz_close(swg_swz *swz); /* NULL is allowed */

/* As swg_swz_open, but of a file that was interrupted while it grew: what it held at its last valid footer.
 * dropped: bytes behind that footer, 0 of an undamaged file. SWG_ECORRUPT: there is no valid footer. */
swg_status swg_swz_open_last(swg_context *ctx, const char *path, swg_swz **out, int64_t *dropped);
/* Cuts the file itself back to its last valid footer. dropped: bytes that went; may be NULL. */
swg_status swg_swz_recover(swg_context *ctx, const char *path, int64_t *dropped);

/* Members: 1 for a plain stream, 0 or more for a collection. */
int64_t swg_swz_count(const swg_swz *swz);
const swg_swz_info *swg_swz_member(const swg_swz *swz, int64_t member);
/* Index of the member with this name (and source, unless NULL), -1 if there is none. */
int64_t swg_swz_find(const swg_swz *swz, const char *source, const char *name);

/* Bytes of the models in the file: count, and of all members but the models, headers included. */
int64_t swg_swz_model_bytes(const swg_swz *swz);

/* Bytes taken from the file (or memory) since it was opened: headers, tables, models, and the records of all chunks read. */
int64_t swg_swz_bytes_read(const swg_swz *swz);

/* Decompresses a member.
 * out: info.bytes_raw bytes, C order, this machine's byte order; bytes: its size, checked
 * SWG_ECORRUPT names the first damaged chunk and the reason; damaged chunks are zero, all others are restored. */
swg_status swg_swz_read(const swg_swz *swz, int64_t member, void *out, size_t bytes);

/* Decompresses several members, the chunks of all of them in parallel: of many small ones each is one chunk.
 * out: of each member info.bytes_raw bytes
 * damaged: receives of each member whether a chunk was damaged; may be NULL. Then, and of what the status says, as swg_swz_read. */
swg_status swg_swz_read_many(const swg_swz *swz, int64_t count, const int64_t *members, void *const *out, bool *damaged);

/* Decompresses one chunk (row-major number over the chunk grid) into a dense box.
 * origin, extent: receive the chunk's place, slowest first, unused axes 0 and 1; may be NULL
 * out: product of the extents values; bytes: its size. On failure it is zeroed. */
swg_status swg_swz_read_chunk(const swg_swz *swz, int64_t member, int64_t chunk, void *out, size_t bytes, int64_t origin[4],
                              int64_t extent[4]);

/* Decompresses a box; only the chunks that it touches are read.
 * origin, extent: of the box, slowest axis first, as many as the member has axes; both NULL: everything
 * out: product of the extents values, C order; bytes: its size. SWG_EINVAL: empty or not inside. Damage is as in swg_swz_read. */
swg_status swg_swz_read_box(const swg_swz *swz, int64_t member, const int64_t *origin, const int64_t *extent, void *out, size_t bytes);

/* How a chunk was coded; bytes: of its record, may be NULL. SWG_MODE_COUNT: by a mode this version does not know, or never written. */
swg_codec_mode swg_swz_chunk_mode(const swg_swz *swz, int64_t member, int64_t chunk, int64_t *bytes);

/* Decodes everything and throws it away: checksums, streams, and the stored audit (error / bound of each chunk <= 1). */
swg_status swg_swz_verify(const swg_swz *swz, int64_t member);

typedef struct swg_codec_gap {
    int64_t values;
    int64_t finite;        /* finite values of the original that are no fill */
    int64_t filled;        /* fill values; swg_codec_audit only */
    int64_t violations;    /* |b - a| > eb in exact arithmetic, or not finite and not bit-identical */
    int64_t first;         /* index of the first violation, -1 none */
    double max_abs_error;  /* over pairs of finite values */
    double max_ratio;      /* largest error / bound, of a point-wise relative one the bound of that value; 0 without a bound */
    double rmse;
    double psnr_db;        /* 20 log10(range of a / rmse); infinity without error */
} swg_codec_gap;

/* Compares an array with its restored copy.
 * restored: same type and dims as `original`
 * eb_abs: absolute bound, 0: only bit-identical values pass */
swg_status swg_codec_compare(swg_context *ctx, const swg_codec_array *original, const void *restored, double eb_abs,
                             swg_codec_gap *gap);

/* The same by the rules a stream was written under: info->bound, info->eb_abs, its fill values (which must be bit-identical and
 * count for no other figure); psnr_db by info's range. */
swg_status swg_codec_audit(swg_context *ctx, const swg_codec_array *original, const void *restored, const swg_swz_info *info,
                           swg_codec_gap *gap);

#endif
