/* prepare.h - one block on its way into a network: listed, cut, judged. Shared by training samples and evaluation.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_PREPARE_H
#define SWAGE_DATA_PREPARE_H

#include "base.h"
#include "swage/data.h"

enum { SWG__BLOCK_VALUES = SWG_EDGE_MAX * SWG_EDGE_MAX * SWG_EDGE_MAX };
enum { SWG__BLOCK_REFUSED = -1 }; /* not finite, and data.nonfinite=error */

/* What the options of a sample set mean. */
typedef struct swg__block_rules {
    swg_cut cut;
    int64_t edge;
    bool include_constant, raw_nonfinite;
} swg__block_rules;

/* Reads cut, edge, constant and nonfinite of the options. SWG_EINVAL: an unknown word. */
swg_status swg__block_rules_read(swg_context *ctx, const swg_samples_opts *opts, swg__block_rules *rules);

/* Blocks of one array; a failure is told with the array's file and variable. */
swg_status swg__block_plan(swg_context *ctx, const swg_array *array, const swg__block_rules *rules, swg_blocks *blocks);

/* Blocks of all arrays together, and the bytes of the largest array. SWG_ESHAPE as swg__block_plan. */
swg_status swg__block_count(swg_context *ctx, const swg_source *source, const swg__block_rules *rules, int64_t *count, int64_t *largest_bytes);
/* One record per block, in the order of the arrays; part and side are left zero. For rules that swg__block_count took. */
void swg__block_list(swg_context *ctx, const swg_source *source, const swg__block_rules *rules, swg_sample *list);

/* Mirrors a block of edge^3 values in place: bit 0 of axes along z, 1 along y, 2 along x. */
void swg__block_mirror(float *block, int64_t edge, unsigned axes);

/* Digest of all that a split depends on: variable, extents, element type, file and time of every array, the rules of cutting, and mode,
 * generator and seed of the split. The same digest means the same parts. Paths are left out: a copy elsewhere is the same data. */
enum { SWG__DIGEST_CHARS = 65 };
swg_status swg__block_digest(swg_context *ctx, const swg_source *source, const swg_samples_opts *opts, char hex[SWG__DIGEST_CHARS]);

/* index[v]: variable v of the source among those of the normaliser (swg_source_variables entries).
 * SWG_ENOTFOUND: a variable that the normaliser was fitted without. */
swg_status swg__block_variables(swg_context *ctx, const swg_source *source, const swg_norm *norm, int64_t *index);

/* ---- one block ---- */

typedef struct swg__block_scan {
    double min, max;          /* of a block without NaN */
    int64_t nans, infinities;
} swg__block_scan;

/* Cuts block b out of the array's values into f64 (edge^3) and looks at them. */
swg__block_scan swg__block_load(const swg_array *array, const swg_blocks *blocks, const void *values, int64_t b, double *block);
/* No NaN and no infinity among f32 or f64 values. */
bool swg__block_finite(swg_element element, const void *values, int64_t count);
/* SWG_BLOCK_NORMAL, _CONSTANT, _RAW or SWG__BLOCK_REFUSED. */
int32_t swg__block_judge(const swg__block_rules *rules, const swg__block_scan *scan);
/* Names file, variable, block and counts. Returns SWG_ENONFINITE. */
swg_status swg__block_refuse(swg_context *ctx, const swg_array *array, int64_t b, const swg__block_scan *scan);

#endif
