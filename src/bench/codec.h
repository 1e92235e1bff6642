/* codec.h (internal) - `swage bench codec`: the codec's tables, with real bytes and checked values, beside SZ3, SPERR and zfp.
 * Data, protocol and targets: docs/codec.md.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_BENCH_CODEC_H
#define SWAGE_BENCH_CODEC_H

#include "bench/talk.h"
#include "swage/archive.h"

/* SZ3, SPERR, zfp; of whole fields also zfp with the largest tolerance that keeps the bound, as its errors are far below what it is given. */
enum { SWG__CODEC_ZFP_EQUAL = 3, SWG__CODEC_PEERS = 4, SWG__CODEC_NAME = 32, SWG__CODEC_MODELS = 2 };

typedef enum swg__codec_table {
    SWG__CODEC_FIELDS,   /* whole fields */
    SWG__CODEC_BLOCKS,   /* isolated 5^3 blocks of fields, shuffled, half of them */
    SWG__CODEC_CHUNKS,   /* one chunk against 32^3 chunks */
    SWG__CODEC_OCTANTS,  /* BSSN, (N, 7, 7, 7), a file of all variables */
    SWG__CODEC_UNIFORM,  /* BSSN, uniform grid, a file of all variables */
    SWG__CODEC_EFFORTS,  /* fields and BSSN files at efforts 1, 5, 9 */
    SWG__CODEC_LEARNED,  /* second halves of fields, causal networks trained on the first; one chunk */
    SWG__CODEC_SPEED,    /* a large array in memory */
    SWG__CODEC_TABLES
} swg__codec_table;

/* What one compressor made of one array. */
typedef struct swg__codec_result {
    char failure[176];      /* "": it has a result */
    char layout[16];        /* of a peer's best order of axes; "" if there was only one */
    int64_t bytes;          /* 0: not run. Everything a reader needs; of a file of several arrays with an equal share of what they have in common */
    int64_t violations;     /* values outside the bound, in exact arithmetic */
    double max_ratio;       /* largest error / bound */
    double psnr_db;
    double compress_ns, decompress_ns; /* medians; processor time of one thread, clock time of several */
} swg__codec_result;

typedef struct swg__codec_cell {
    swg__codec_table table;
    char data[SWG__CODEC_NAME];    /* "vorticity", "U_CHI" */
    char variant[SWG__CODEC_NAME]; /* "", "32^3", "stencil alone, 2 threads" */
    int effort;             /* of SWG__CODEC_EFFORTS, else 0 */
    double bound;           /* fraction of the range of the whole field */
    double bound_abs;
    int64_t values, raw;
    bool extra;             /* shown, but outside the means: not one of the specified fields */
    swg__codec_result ours, peers[SWG__CODEC_PEERS];
    swg__codec_result trained[SWG__CODEC_MODELS]; /* one array of a series with a model of the other half, whose bytes are not counted */
    int64_t model_bytes[SWG__CODEC_MODELS];       /* of that model in the series' file */
    bool only_mlp;          /* every chunk of ours is coded by a causal network */
} swg__codec_cell;

/* One mode left out: geometric mean of the ratios of a table. */
typedef struct swg__codec_without {
    int mode;               /* -1: none left out */
    double ratio[SWG__CODEC_EFFORTS];
} swg__codec_without;

typedef enum swg__codec_verdict { SWG__CODEC_REACHED, SWG__CODEC_MISSED, SWG__CODEC_UNKNOWN } swg__codec_verdict;

typedef struct swg__codec_target {
    char id[8], what[160], measured[160];
    swg__codec_verdict verdict;
} swg__codec_target;

typedef struct swg__codec_opts {
    const char *data;       /* folder with fields/ and bssn/ */
    const char *samples;    /* folder with bssn/, used for what `data` lacks */
    const char *model;      /* run folder or checkpoint for the BSSN tables, NULL none */
    bool peers, quick;
    unsigned tables;        /* bits 1 << SWG__CODEC_...; 0: all */
    uint32_t without;       /* modes never tried */
    int effort;             /* 0: the default one */
    const volatile sig_atomic_t *stop;
    void (*progress)(void *user, const char *text); /* may be NULL */
    void *user;
} swg__codec_opts;

enum { SWG__CODEC_TARGETS = 16 };

typedef struct swg__codec_bench {
    swg_context *ctx;       /* messages and memory */
    swg__codec_opts opts;
    swg__machine machine;
    cpu_set_t cpus;
    swg__team team;         /* one thread */
    swg__codec_cell *cells;
    int64_t cell_count, cell_room;
    swg__codec_without without[SWG_MODE_COUNT + 1];
    int without_count;
    swg__codec_target targets[SWG__CODEC_TARGETS];
    int target_count;
    bool standin[SWG__CODEC_TABLES]; /* made with samples, because the data are absent */
    int64_t training_bytes; /* of the model, shared by the arrays of a file */
    double misfit_with, misfit_without; /* bytes of all fields with a model trained on other data, and without */
    int64_t one_value_bytes, noise_excess; /* file of one f32; bytes over the raw size of noise, per chunk */
    /* shared with the peers' process: the original, then the restored array */
    int fd;
    char *memory;
    int64_t memory_bytes, half;  /* half: offset of the restored array */
    char peer_version[48], peer_options[160];
    swg__talk talk;
} swg__codec_bench;

/* ---- codec_data.c ---- */

/* Room for an array of `bytes` and its restored copy; returns the array's place. */
swg_status swg__codec_room(swg__codec_bench *b, int64_t bytes, void **place);
void swg__codec_room_free(swg__codec_bench *b);

typedef struct swg__codec_field {
    const char *name, *file;
    swg_element type;
    int64_t dims[3];
    bool extra, star;       /* star: the TOV field, with and without which means are printed */
} swg__codec_field;
const swg__codec_field *swg__codec_field_at(int i); /* NULL behind the last */
/* Reads a field into the shared memory. SWG_ENOTFOUND: not there. */
swg_status swg__codec_field_read(swg__codec_bench *b, const swg__codec_field *field, swg_codec_array *array);
/* From an array in the shared memory to half of its n^3 blocks, shuffled, in its place. other: receives the other half, in memory to be freed. */
swg_status swg__codec_cut_blocks(swg__codec_bench *b, swg_codec_array *array, int64_t edge, void **other);
/* From an array in the shared memory to its second half along the first axis, in its place; other: the first half, in memory to be freed. */
swg_status swg__codec_cut_halves(swg__codec_bench *b, swg_codec_array *array, swg_codec_array *other, void **memory);
/* To an array of f32 with the given extents, in its place: mirrored tiles, each scaled by a little so that none repeats another. */
swg_status swg__codec_spread(swg__codec_bench *b, swg_codec_array *array, const int64_t dims[3]);
double swg__codec_range(const swg_codec_array *array);

/* ---- codec_side.c: one cell ---- */

typedef struct swg__codec_how {
    swg_codec_opts opts;    /* bound, chunk, model, without */
    swg__team *team;        /* NULL: one thread */
    const swg_swz *file;    /* the array is already a member of this file; NULL: compress it */
    int64_t member, shared_bytes;
    bool timed, no_peers;
} swg__codec_how;

/* Adds a cell for the array in the shared memory. */
swg_status swg__codec_measure(swg__codec_bench *b, const swg_codec_array *array, const swg__codec_how *how, swg__codec_cell cell);
swg_status swg__codec_peers_open(swg__codec_bench *b);
const char *swg__codec_peer_name(int peer);

/* ---- codec_trained.c ---- */

/* A model of these kinds (as swg_codec_fit takes them) for arrays like this one, to be freed; empty if the kind is of no use. seconds: 0 for the
 * number of steps that the kind thinks right. opts.name must be set. */
swg_status swg__codec_fit(swg__codec_bench *b, const swg_codec_array *array, const swg_codec_opts *opts, const char *kinds, double seconds, swg_codec_model **model);
/* Fills in cell->trained[which]: one array of a long series whose file holds the model once. folder: for a file that is made and removed. */
swg_status swg__codec_series(swg__codec_bench *b, const swg_codec_array *array, const swg_codec_opts *opts, const swg_codec_model *model, const char *folder,
                             swg__codec_cell *cell, int which);
/* "causal" ...: kinds of the table of learned halves and of speeds. */
extern const char *const swg__codec_causal[SWG__CODEC_MODELS];
/* Column of a table; NULL: its cells have no such model. */
const char *swg__codec_trained_name(swg__codec_table table, int which);

/* ---- codec_run.c ---- */

/* SWG_EINTERRUPTED; SWG_ENOTFOUND: neither data nor samples. */
swg_status swg__codec_bench_run(swg_context *ctx, const swg__codec_opts *opts, swg__codec_bench *out);
void swg__codec_bench_free(swg__codec_bench *b);
const char *swg__codec_table_name(int table);   /* "fields" ...; NULL behind the last */
/* Modes that can be left out: lossy ways of coding and byte planes. */
bool swg__codec_optional(int mode);

/* ---- codec_targets.c ---- */

void swg__codec_judge(swg__codec_bench *b);
/* Geometric mean of (bytes of the peer / ours) over cells of a table with bound in low..high; 0 if a cell has no such peer result. peer -1: the
 * better of SZ3 and SPERR; -2: raw bytes, that is the ratio itself. least: the smallest, may be NULL. star: count the TOV field. */
double swg__codec_mean(const swg__codec_bench *b, swg__codec_table table, int peer, double low, double high, bool star, double *least);
int64_t swg__codec_violations(const swg__codec_bench *b, int peer, double *worst); /* peer -1: ours */

/* ---- codec_report.c ---- */

void swg__codec_print(const swg__codec_bench *b, bool markdown, swg__text *text);
char *swg__codec_json(const swg__codec_bench *b);

#endif
