/* prepare.c - lists the blocks of a source, cuts one and judges it.
 * In: arrays and the rules of a recipe. Out: records, f64 blocks and their flags.
 * SPDX-License-Identifier: Apache-2.0 */
#include "prepare.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static swg_status parse_choice(swg_context *ctx, const char *key, const char *word, const char *standard, const char *other, bool *is_other) {
    *is_other = word && strcmp(word, other) == 0;
    if (!word || *is_other || strcmp(word, standard) == 0)
        return SWG_OK;
    return swg__fail(ctx, SWG_EINVAL, "%s=%s: expected %s or %s", key, word, standard, other);
}

swg_status swg__block_rules_read(swg_context *ctx, const swg_samples_opts *opts, swg__block_rules *rules) {
    rules->edge = opts->edge ? opts->edge : 5;
    SWG__TRY(swg_cut_parse(ctx, opts->cut, &rules->cut));
    SWG__TRY(parse_choice(ctx, "data.constant", opts->constant, "bypass", "include", &rules->include_constant));
    return parse_choice(ctx, "data.nonfinite", opts->nonfinite, "error", "raw", &rules->raw_nonfinite);
}

swg_status swg__block_plan(swg_context *ctx, const swg_array *array, const swg__block_rules *rules, swg_blocks *blocks) {
    swg_status status = swg_blocks_plan(ctx, array->ndim, array->dims, rules->cut, rules->edge, blocks);
    if (status == SWG_OK)
        return SWG_OK;
    char reason[400];
    snprintf(reason, sizeof reason, "%.390s", swg_context_message(ctx));
    return swg__fail(ctx, status, "%s: variable \"%s\": %s", array->file, array->variable, reason);
}

/* ---- all arrays ---- */

swg_status swg__block_count(swg_context *ctx, const swg_source *source, const swg__block_rules *rules, int64_t *count, int64_t *largest_bytes) {
    *count = *largest_bytes = 0;
    for (int64_t a = 0; a < swg_source_count(source); a++) {
        const swg_array *array = swg_source_array(source, a);
        swg_blocks blocks;
        SWG__TRY(swg__block_plan(ctx, array, rules, &blocks));
        int64_t bytes = array->count * swg_element_bytes(array->element);
        *largest_bytes = bytes > *largest_bytes ? bytes : *largest_bytes;
        *count += blocks.count;
    }
    int64_t bytes;
    if (swg__mul_overflow(*count, rules->edge * rules->edge * rules->edge * (int64_t)sizeof(float), &bytes))
        return swg__fail(ctx, SWG_ESHAPE, "the data set is too large to address");
    return SWG_OK;
}

void swg__block_list(swg_context *ctx, const swg_source *source, const swg__block_rules *rules, swg_sample *list) {
    for (int64_t a = 0; a < swg_source_count(source); a++) {
        const swg_array *array = swg_source_array(source, a);
        swg_blocks blocks;
        (void)swg__block_plan(ctx, array, rules, &blocks); /* counted before, so it cannot fail now */
        for (int64_t b = 0; b < blocks.count; b++)
            *list++ = (swg_sample){.block = b, .array = (int32_t)a, .file = (int32_t)array->file_index,
                                   .variable = (int32_t)array->variable_index, .time = array->has_time ? array->time : NAN};
    }
}

swg_status swg__block_digest(swg_context *ctx, const swg_source *source, const swg_samples_opts *opts, char hex[SWG__DIGEST_CHARS]) {
    const swg_split_opts *split = &opts->split;
    swg__block_rules rules;
    swg__text text;
    SWG__TRY(swg__block_rules_read(ctx, opts, &rules));
    swg__text_init(&text, ctx);
    swg__text_printf(&text, "cut %d edge %lld split %s rng %s seed %llu train %a val %a\n", (int)rules.cut, (long long)rules.edge,
                     split->mode ? split->mode : "random", split->rng ? split->rng : "numpy-legacy", (unsigned long long)split->seed,
                     split->train, split->val);
    if (split->has_test_from)
        swg__text_printf(&text, "test from %a\n", split->test_from);
    for (int64_t a = 0; a < swg_source_count(source); a++) {
        const swg_array *array = swg_source_array(source, a);
        swg__text_printf(&text, "%lld %s %s %s", (long long)array->file_index, array->variable, swg_layout_name(array->layout),
                         swg_element_name(array->element));
        for (int i = 0; i < array->ndim; i++)
            swg__text_printf(&text, " %lld", (long long)array->dims[i]);
        swg__text_printf(&text, " %a\n", array->has_time ? array->time : -INFINITY);
    }
    bool failed = text.failed;
    uint8_t digest[32];
    if (!failed)
        swg__sha256(text.data, text.length, digest);
    swg__text_free(&text);
    if (failed)
        return swg__fail_memory(ctx, 0, "the digest of a data set");
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return SWG_OK;
}

swg_status swg__block_variables(swg_context *ctx, const swg_source *source, const swg_norm *norm, int64_t *index) {
    for (int64_t v = 0; v < swg_source_variables(source); v++) {
        const char *name = swg_source_variable(source, v);
        if ((index[v] = swg_norm_variable(norm, name)) < 0)
            return swg__fail(ctx, SWG_ENOTFOUND, "variable \"%s\": the normaliser %s of the model was fitted without it; train with it or leave it "
                             "out of data.vars", name, swg_norm_name(norm));
    }
    return SWG_OK;
}

/* ---- one block ---- */

/* Eight running values, so that compilers compare several numbers at a time. A NaN is never less nor greater, so it is looked for by
 * the sum of x - x, which is 0 only for finite numbers. */
#define SCAN(type, name)                                                                                   \
    static bool name(const type *x, int64_t count, double *min, double *max) {                             \
        type low[8], high[8], odd[8] = {0};                                                                \
        for (int l = 0; l < 8; l++)                                                                        \
            low[l] = high[l] = x[0];                                                                       \
        int64_t i = 0;                                                                                     \
        for (; i + 8 <= count; i += 8)                                                                     \
            for (int l = 0; l < 8; l++) {                                                                  \
                type v = x[i + l];                                                                         \
                low[l] = v < low[l] ? v : low[l];                                                          \
                high[l] = v > high[l] ? v : high[l];                                                       \
                odd[l] += v - v;                                                                           \
            }                                                                                              \
        for (; i < count; i++) {                                                                           \
            low[0] = x[i] < low[0] ? x[i] : low[0];                                                        \
            high[0] = x[i] > high[0] ? x[i] : high[0];                                                     \
            odd[0] += x[i] - x[i];                                                                         \
        }                                                                                                  \
        for (int l = 1; l < 8; l++) {                                                                      \
            low[0] = low[l] < low[0] ? low[l] : low[0];                                                    \
            high[0] = high[l] > high[0] ? high[l] : high[0];                                               \
            odd[0] += odd[l];                                                                              \
        }                                                                                                  \
        *min = (double)low[0];                                                                             \
        *max = (double)high[0];                                                                            \
        return odd[0] == 0;                                                                                \
    }
SCAN(float, scan_f32)
SCAN(double, scan_f64)

swg__block_scan swg__block_load(const swg_array *array, const swg_blocks *blocks, const void *values, int64_t b, double *block) {
    const int64_t volume = blocks->edge * blocks->edge * blocks->edge;
    swg__block_scan scan = {0};
    bool finite;
    if (array->element == SWG_ELEMENT_F64) {
        swg_blocks_cut(blocks, SWG_ELEMENT_F64, values, b, 1, block);
        finite = scan_f64(block, volume, &scan.min, &scan.max);
    } else {
        float narrow[SWG__BLOCK_VALUES];
        swg_blocks_cut(blocks, SWG_ELEMENT_F32, values, b, 1, narrow);
        finite = scan_f32(narrow, volume, &scan.min, &scan.max);
        for (int64_t i = 0; i < volume; i++)
            block[i] = (double)narrow[i];
    }
    for (int64_t i = 0; i < volume && !finite; i++) {
        scan.nans += isnan(block[i]) != 0;
        scan.infinities += isinf(block[i]) != 0;
    }
    return scan;
}

bool swg__block_finite(swg_element element, const void *values, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(element == SWG_ELEMENT_F32 ? (double)((const float *)values)[i] : ((const double *)values)[i]))
            return false;
    return true;
}

int32_t swg__block_judge(const swg__block_rules *rules, const swg__block_scan *scan) {
    if (scan->nans || scan->infinities)
        return rules->raw_nonfinite ? SWG_BLOCK_RAW : SWG__BLOCK_REFUSED;
    return scan->min == scan->max && !rules->include_constant ? SWG_BLOCK_CONSTANT : SWG_BLOCK_NORMAL;
}

swg_status swg__block_refuse(swg_context *ctx, const swg_array *array, int64_t b, const swg__block_scan *scan) {
    return swg__fail(ctx, SWG_ENONFINITE,
                     "%s: variable \"%s\": block %lld holds %lld values that are not finite (%lld NaN, %lld infinite); data.nonfinite=raw stores "
                     "such blocks as they are", array->file, array->variable, (long long)b, (long long)(scan->nans + scan->infinities),
                     (long long)scan->nans, (long long)scan->infinities);
}
