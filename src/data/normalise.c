/* normalise.c - brings blocks to a scale a network can learn, and back; one row of a table per method.
 * In: blocks of f32 or f64. Out: f32 blocks, side information per block, parameters from the training part.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "normalise.h"
#include "stats.h"
#include "vecmath.h"

/* What a method derives from the block itself. */
enum {
    FROM_MIN = 1,    /* offset = block minimum */
    FROM_MEAN = 2,   /* offset = block mean, rounded to f32 */
    DECIMAL = 4,     /* exponent of 10: brings a small mean magnitude to SMALL */
    BINARY = 8       /* exponent of 2: brings the largest deviation to at most 1 */
};
/* What a method takes from the training part (or from the variable's name). */
enum fit { FIT_NONE, FIT_NAME, FIT_RANGE, FIT_MOMENTS, FIT_LOG_MOMENTS, FIT_ROBUST, FIT_ADAPTIVE };

static const double SMALL = 2.5e-3;            /* scaleitup: target of mean |x| */
static const double ADAPTIVE_FLOOR = 1e-12;

/* The numbers of one block's map. */
struct terms {
    double offset, scale;  /* x is taken as (x - offset) * scale */
    double a, b;           /* y as (y - a) / b afterwards; b = 0 gives 0 */
    double parameter;      /* eps or c */
};

static double scale_forward(double x, const struct terms *t) { return (x - t->offset) * t->scale; }
static double scale_inverse(double y, const struct terms *t) { return y / t->scale + t->offset; }
static double asinh_forward(double x, const struct terms *t) { return asinh(x / t->parameter); }
static double asinh_inverse(double y, const struct terms *t) { return t->parameter * sinh(y); }
static double symlog_forward(double x, const struct terms *t) { return copysign(t->parameter * log1p(fabs(x) / t->parameter), x); }
static double symlog_inverse(double y, const struct terms *t) { return copysign(t->parameter * expm1(fabs(y) / t->parameter), y); }

struct method {
    const char *name;
    unsigned block;
    enum fit fit;
    double parameter;
    double (*forward)(double x, const struct terms *t); /* NULL: the logarithm, many values at a time */
    double (*inverse)(double y, const struct terms *t);
};

static const struct method methods[] = {
    {"pos_log", FROM_MIN, FIT_NONE, 1e-6, NULL, NULL},
    {"block_scale", FROM_MEAN | BINARY, FIT_NONE, 0, scale_forward, scale_inverse},
    {"scaleitup", FROM_MIN | DECIMAL, FIT_NONE, 1e-6, NULL, NULL},
    {"pos_log_std", FROM_MIN, FIT_LOG_MOMENTS, 1e-6, NULL, NULL},
    {"minmax", 0, FIT_RANGE, 0, scale_forward, scale_inverse},
    {"zscore", 0, FIT_MOMENTS, 0, scale_forward, scale_inverse},
    {"robust", 0, FIT_ROBUST, 0, scale_forward, scale_inverse},
    {"asinh", 0, FIT_NAME, 1e-2, asinh_forward, asinh_inverse},
    {"symlog", 0, FIT_NONE, 0.1, symlog_forward, symlog_inverse},
    {"adaptive", FROM_MIN, FIT_ADAPTIVE, 1e-8, NULL, NULL},
    {"none", 0, FIT_NONE, 0, scale_forward, scale_inverse},
};
enum { PIECE = SWG_EDGE_MAX * SWG_EDGE_MAX * SWG_EDGE_MAX };
enum { METHODS = sizeof methods / sizeof *methods };

struct swg_norm {
    swg_context *ctx;
    const struct method *method;
    double a, b;             /* global; 0 and 1 where not used */
    bool fitted;
    swg__vec level;          /* instructions for logarithms */
    int64_t count;           /* variables */
    char **variables;
    double *per_variable;    /* asinh: c; adaptive: k */
    /* only between fit_begin and fit_end */
    swg__moments moments;
    double *store;           /* training values, variable after variable */
    int64_t *store_first, *store_used;
};

/* ---- opening ---- */

static const struct method *find_method(const char *name) {
    for (int i = 0; i < METHODS; i++)
        if (strcmp(methods[i].name, name) == 0)
            return &methods[i];
    return NULL;
}

static bool has_variables(const swg_norm *norm) { return norm->method->fit == FIT_NAME || norm->method->fit == FIT_ADAPTIVE; }

/* The small components of shift and connection need a finer knee (specs: swae 2.5). */
static double asinh_knee(const struct method *method, const char *variable) {
    return strcmp(variable, "U_B2") == 0 || strcmp(variable, "U_GT2") == 0 ? 1e-3 : method->parameter;
}

swg_status swg_norm_open(swg_context *ctx, const char *name, const char *const *variables, int64_t count, swg_norm **out) {
    *out = NULL;
    const struct method *method = find_method(name ? name : methods[0].name);
    if (!method) {
        char list[256] = "";
        size_t used = 0;
        for (int i = 0; i < METHODS; i++)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", methods[i].name);
        return swg__fail(ctx, SWG_EINVAL, "data.norm=%s: expected one of %s", name, list);
    }
    swg_norm *norm = swg__calloc(ctx, 1, sizeof *norm);
    if (!norm)
        return swg__fail_memory(ctx, sizeof *norm, "a normaliser");
    norm->ctx = ctx;
    norm->method = method;
    norm->level = swg__vec_of(swg_context_isa(ctx));
    norm->b = 1;
    norm->fitted = !swg_norm_needs_fit(norm);
    norm->variables = swg__calloc(ctx, (size_t)count, sizeof *norm->variables);
    norm->per_variable = swg__calloc(ctx, (size_t)count, sizeof *norm->per_variable);
    bool ok = norm->variables && norm->per_variable;
    for (int64_t v = 0; ok && v < count; v++) {
        norm->per_variable[v] = method->fit == FIT_NAME ? asinh_knee(method, variables[v]) : 1;
        ok = (norm->variables[v] = swg__strdup(ctx, variables[v])) != NULL;
        norm->count += ok;
    }
    if (!ok) {
        swg_norm_close(norm);
        return swg__fail_memory(ctx, (size_t)count * sizeof(char *), "a normaliser");
    }
    *out = norm;
    return SWG_OK;
}

static void release_fit(swg_norm *norm) {
    swg__free(norm->ctx, norm->store);
    swg__free(norm->ctx, norm->store_first);
    swg__free(norm->ctx, norm->store_used);
    norm->store = NULL;
    norm->store_first = norm->store_used = NULL;
}

void swg_norm_close(swg_norm *norm) {
    if (!norm)
        return;
    release_fit(norm);
    for (int64_t v = 0; v < norm->count; v++)
        swg__free(norm->ctx, norm->variables[v]);
    swg__free(norm->ctx, norm->variables);
    swg__free(norm->ctx, norm->per_variable);
    swg__free(norm->ctx, norm);
}

const char *swg_norm_name(const swg_norm *norm) { return norm->method->name; }

bool swg_norm_needs_fit(const swg_norm *norm) { return norm->method->fit != FIT_NONE && norm->method->fit != FIT_NAME; }

bool swg__norm_fitted(const swg_norm *norm) { return norm->fitted; }

int64_t swg_norm_variable(const swg_norm *norm, const char *name) {
    if (!has_variables(norm))
        return 0;
    for (int64_t v = 0; v < norm->count; v++)
        if (strcmp(norm->variables[v], name) == 0)
            return v;
    return -1;
}

int64_t swg_norm_side_bytes(const swg_norm *norm, swg_element element) {
    unsigned block = norm->method->block;
    int64_t offset = block & FROM_MIN ? swg_element_bytes(element) : block & FROM_MEAN ? (int64_t)sizeof(float) : 0;
    return offset + (block & (DECIMAL | BINARY) ? 1 : 0);
}

/* ---- maps ---- */

/* Smallest e with largest <= 2^e, kept in what a signed byte holds. */
static int32_t binary_exponent(double largest) {
    int e = -128;
    if (largest > 0 && isfinite(largest) && frexp(largest, &e) == 0.5)
        e--;
    return e < -128 ? -128 : e > 127 ? 127 : e;
}

static int32_t decimal_exponent(double mean_magnitude) {
    if (!(mean_magnitude > 0 && mean_magnitude < SMALL))
        return 0;
    double e = log10(SMALL / mean_magnitude);
    return (int32_t)nearbyint(e > 20 ? 20 : e);
}

/* Four running values, so that compilers compare several at a time. */
static double least_of(const double *x, int64_t count) {
    double least[4] = {x[0], x[0], x[0], x[0]};
    int64_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (int l = 0; l < 4; l++)
            least[l] = x[i + l] < least[l] ? x[i + l] : least[l];
    for (; i < count; i++)
        least[0] = x[i] < least[0] ? x[i] : least[0];
    for (int l = 1; l < 4; l++)
        least[0] = least[l] < least[0] ? least[l] : least[0];
    return least[0];
}

static void derive_side(const struct method *method, swg_element element, const double *x, int64_t count, swg_side *side) {
    *side = (swg_side){.flag = SWG_BLOCK_NORMAL};
    if (method->block == 0)
        return;
    double sum = 0, magnitude = 0;
    for (int64_t i = 0; i < count && method->block & (FROM_MEAN | DECIMAL); i++) {
        sum += x[i];
        magnitude += fabs(x[i]);
    }
    if (method->block & FROM_MIN) {
        double least = least_of(x, count);
        side->offset = element == SWG_ELEMENT_F32 ? (float)least : least; /* exact: it is one of the values */
    }
    if (method->block & FROM_MEAN)
        side->offset = (float)(sum / (double)count);
    if (method->block & DECIMAL)
        side->exponent = decimal_exponent(magnitude / (double)count);
    if (method->block & BINARY) {
        double largest = 0;
        for (int64_t i = 0; i < count; i++)
            largest = fabs(x[i] - side->offset) > largest ? fabs(x[i] - side->offset) : largest;
        side->exponent = binary_exponent(largest);
    }
}

static struct terms terms_of(const swg_norm *norm, int64_t variable, const swg_side *side) {
    const struct method *method = norm->method;
    struct terms t = {.offset = side->offset, .scale = 1, .a = norm->a, .b = norm->b, .parameter = method->parameter};
    if (method->fit == FIT_NAME)
        t.parameter = norm->per_variable[variable];
    if (method->fit == FIT_ADAPTIVE)
        t.scale = norm->per_variable[variable];
    if (method->block & DECIMAL)
        t.scale = pow(10, side->exponent);
    if (method->block & BINARY)
        t.scale = ldexp(1, -side->exponent);
    return t;
}

void swg__norm_forward(const swg_norm *norm, int64_t variable, swg_element element, const double *x, int64_t count, swg_side *side, double *y) {
    derive_side(norm->method, element, x, count, side);
    const struct terms t = terms_of(norm, variable, side);
    if (!norm->method->forward) {
        double mapped[PIECE];
        swg__vec_log(norm->level, x, t.offset, t.scale, t.parameter, count, mapped);
        if (t.a == 0 && t.b == 1) {
            memcpy(y, mapped, (size_t)count * sizeof *y);
            return;
        }
        for (int64_t i = 0; i < count; i++)
            y[i] = t.b == 0 ? 0 : (mapped[i] - t.a) / t.b;
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        double mapped = norm->method->forward(x[i], &t);
        y[i] = t.b == 0 ? 0 : (mapped - t.a) / t.b;
    }
}

/* y is overwritten. */
static void restore(const swg_norm *norm, const struct terms *t, double *y, int64_t count, double *x) {
    for (int64_t i = 0; i < count; i++)
        y[i] = y[i] * t->b + t->a;
    if (!norm->method->inverse)
        swg__vec_exp(norm->level, y, t->offset, t->scale, t->parameter, count, x);
    for (int64_t i = 0; norm->method->inverse && i < count; i++)
        x[i] = norm->method->inverse(y[i], t);
}

void swg__norm_inverse(const swg_norm *norm, int64_t variable, const swg_side *side, const double *y, int64_t count, double *x) {
    const struct terms t = terms_of(norm, variable, side);
    double mapped[PIECE];
    memcpy(mapped, y, (size_t)count * sizeof *y);
    restore(norm, &t, mapped, count, x);
}

void swg__norm_forward_f32(const swg_norm *norm, int64_t variable, swg_element element, double *x, int64_t count, swg_side *side, float *y) {
    float odd[8] = {0}; /* x - x is 0 only for finite numbers */
    swg__norm_forward(norm, variable, element, x, count, side, x);
    for (int64_t i = 0; i < count; i++)
        y[i] = (float)x[i];
    int64_t at = 0;
    for (; at + 8 <= count; at += 8)
        for (int l = 0; l < 8; l++)
            odd[l] += y[at + l] - y[at + l];
    for (; at < count; at++)
        odd[0] += y[at] - y[at];
    for (int l = 1; l < 8; l++)
        odd[0] += odd[l];
    if (odd[0] == 0 && isfinite(side->offset))
        return;
    *side = (swg_side){.flag = SWG_BLOCK_RAW};
    memset(y, 0, (size_t)count * sizeof *y);
}

void swg_norm_forward(const swg_norm *norm, int64_t variable, swg_element element, const void *x, int64_t count, swg_side *side, float *y) {
    double block[PIECE];
    for (int64_t i = 0; i < count; i++)
        block[i] = element == SWG_ELEMENT_F32 ? (double)((const float *)x)[i] : ((const double *)x)[i];
    swg__norm_forward_f32(norm, variable, element, block, count, side, y);
}

void swg_norm_inverse(const swg_norm *norm, int64_t variable, const swg_side *side, const float *y, int64_t count, swg_element element,
                      void *x) {
    const struct terms t = terms_of(norm, variable, side);
    double wide[PIECE], back[PIECE], *to = element == SWG_ELEMENT_F32 ? back : x;
    for (int64_t i = 0; i < count; i++)
        wide[i] = (double)y[i];
    restore(norm, &t, wide, count, to);
    for (int64_t i = 0; element == SWG_ELEMENT_F32 && i < count; i++)
        ((float *)x)[i] = (float)back[i];
}

/* ---- fitting ---- */

int64_t swg__norm_fit_bytes(const swg_norm *norm, int64_t values) {
    return norm->method->fit == FIT_ROBUST || norm->method->fit == FIT_ADAPTIVE ? values * (int64_t)sizeof(double) : 0;
}

swg_status swg__norm_fit_begin(swg_norm *norm, const int64_t *values) {
    norm->moments = (swg__moments){0};
    int64_t total = 0;
    for (int64_t v = 0; v < norm->count; v++)
        total += values[v];
    int64_t bytes = swg__norm_fit_bytes(norm, total);
    if (!bytes)
        return SWG_OK;
    norm->store = swg__alloc(norm->ctx, (size_t)bytes);
    norm->store_first = swg__calloc(norm->ctx, (size_t)norm->count + 1, sizeof *norm->store_first);
    norm->store_used = swg__calloc(norm->ctx, (size_t)norm->count, sizeof *norm->store_used);
    if (!norm->store || !norm->store_first || !norm->store_used) {
        release_fit(norm);
        return swg__fail_memory(norm->ctx, (size_t)bytes, "the training values a normaliser is fitted to");
    }
    for (int64_t v = 0; v < norm->count; v++)
        norm->store_first[v + 1] = norm->store_first[v] + values[v];
    return SWG_OK;
}

void swg__norm_fit_add(swg_norm *norm, int64_t variable, const double *blocks, int64_t count, int64_t per_block) {
    double y[PIECE];
    for (int64_t b = 0; b < count; b++) {
        const double *x = blocks + b * per_block;
        if (norm->method->fit == FIT_LOG_MOMENTS) { /* a and b are still 0 and 1: y is the plain logarithm */
            swg_side side;
            swg__norm_forward(norm, variable, SWG_ELEMENT_F64, x, per_block, &side, y);
            x = y;
        }
        norm->moments = swg__moments_merge(norm->moments, swg__moments_of(x, per_block));
        if (norm->store) {
            memcpy(norm->store + norm->store_first[variable] + norm->store_used[variable], x, (size_t)per_block * sizeof *x);
            norm->store_used[variable] += per_block;
        }
    }
}

/* Closes the gaps between the variables' shares of the store. */
static int64_t join_store(swg_norm *norm) {
    int64_t used = 0;
    for (int64_t v = 0; v < norm->count; v++) {
        memmove(norm->store + used, norm->store + norm->store_first[v], (size_t)norm->store_used[v] * sizeof *norm->store);
        used += norm->store_used[v];
    }
    return used;
}

static void warn_zero(swg_norm *norm, const char *what, const char *variable) {
    swg__log(norm->ctx, SWG_LOG_WARNING, "data.norm=%s: %s of %s is zero in the training part", norm->method->name, what, variable);
}

/* 10 over the median magnitude if that is tiny, else over the 95th percentile, so that typical values are of order 1 to 10. */
static double adaptive_scale(double *x, int64_t n) {
    int64_t kept = 0;
    if (n == 0)
        return 0;
    for (int64_t i = 0; i < n; i++)
        x[i] = fabs(x[i]);
    double p95 = swg__quantile(x, n, 0.95);
    for (int64_t i = 0; i < n; i++)
        if (x[i] > ADAPTIVE_FLOOR)
            x[kept++] = x[i];
    if (kept == 0)
        return 0;
    double median = swg__quantile(x, kept, 0.5);
    return 10 / (median < 1e-6 ? median : p95 > 0 ? p95 : median);
}

static void fit_adaptive(swg_norm *norm) {
    for (int64_t v = 0; v < norm->count; v++) {
        double k = adaptive_scale(norm->store + norm->store_first[v], norm->store_used[v]);
        if (k == 0)
            warn_zero(norm, "every value above 1e-12", norm->variables[v]);
        norm->per_variable[v] = k == 0 ? 1 : k;
    }
}

static void fit_robust(swg_norm *norm) {
    int64_t n = join_store(norm);
    double sigma = swg__moments_sd(norm->moments);
    norm->a = swg__quantile(norm->store, n, 0.5);
    norm->b = swg__quantile(norm->store, n, 0.75) - swg__quantile(norm->store, n, 0.25);
    if (norm->b > 0)
        return;
    warn_zero(norm, "the interquartile range", "all variables");
    norm->b = sigma > 0 ? sigma : 1;
}

swg_status swg__norm_fit_end(swg_norm *norm) {
    const swg__moments *m = &norm->moments;
    swg_status status = SWG_OK;
    if (m->count == 0)
        status = swg__fail(norm->ctx, SWG_EINVAL, "data.norm=%s: the training part has no usable block to fit to", norm->method->name);
    switch (status == SWG_OK ? norm->method->fit : FIT_NONE) {
    case FIT_RANGE:
        norm->a = m->min;
        norm->b = m->max - m->min;
        break;
    case FIT_MOMENTS:
    case FIT_LOG_MOMENTS:
        norm->a = m->mean;
        norm->b = swg__moments_sd(*m);
        break;
    case FIT_ROBUST: fit_robust(norm); break;
    case FIT_ADAPTIVE: fit_adaptive(norm); break;
    case FIT_NONE:
    case FIT_NAME: break;
    }
    if (status == SWG_OK && norm->b == 0)
        warn_zero(norm, norm->method->fit == FIT_RANGE ? "the range" : "the deviation", "all variables");
    if (status == SWG_OK && !(isfinite(norm->a) && isfinite(norm->b)))
        status = swg__fail(norm->ctx, SWG_ENONFINITE, "data.norm=%s: the training values are too large to measure (offset %g, scale %g)",
                           norm->method->name, norm->a, norm->b);
    norm->fitted = status == SWG_OK;
    release_fit(norm);
    return status;
}

/* ---- JSON ---- */

/* cJSON would print 15 digits where they are nearly enough; every bit counts here. */
static bool add_number(cJSON *object, const char *key, double value) {
    char number[40];
    snprintf(number, sizeof number, "%.17g", value);
    return cJSON_AddRawToObject(object, key, number) != NULL;
}

int64_t swg_norm_json(const swg_norm *norm, char *text, int64_t capacity) {
    cJSON *root = cJSON_CreateObject(), *variables = NULL;
    bool ok = root && cJSON_AddStringToObject(root, "name", norm->method->name) && add_number(root, "parameter", norm->method->parameter);
    if (swg_norm_needs_fit(norm) && !has_variables(norm))
        ok = ok && add_number(root, "a", norm->a) && add_number(root, "b", norm->b);
    ok = ok && (variables = cJSON_AddObjectToObject(root, "variables")) != NULL;
    for (int64_t v = 0; ok && v < norm->count; v++)
        ok = add_number(variables, norm->variables[v], norm->per_variable[v]);
    char *printed = ok ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    if (!printed)
        return -1;
    int64_t length = (int64_t)strlen(printed);
    if (capacity > 0) {
        int64_t kept = length < capacity ? length : capacity - 1;
        memcpy(text, printed, (size_t)kept);
        text[kept] = 0;
    }
    cJSON_free(printed);
    return length;
}

static swg_status read_json(swg_context *ctx, const cJSON *root, swg_norm **out) {
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(root, "name"), *parameter = cJSON_GetObjectItemCaseSensitive(root, "parameter");
    const cJSON *variables = cJSON_GetObjectItemCaseSensitive(root, "variables");
    const cJSON *a = cJSON_GetObjectItemCaseSensitive(root, "a"), *b = cJSON_GetObjectItemCaseSensitive(root, "b");
    if (!cJSON_IsString(name) || !cJSON_IsNumber(parameter) || !cJSON_IsObject(variables))
        return swg__fail(ctx, SWG_EFORMAT, "normaliser: expected a JSON object with name, parameter and variables");
    const struct method *method = find_method(name->valuestring);
    if (!method || method->parameter != parameter->valuedouble)
        return swg__fail(ctx, SWG_EFORMAT, "normaliser: \"%s\" with parameter %g is not known to this version", name->valuestring,
                         parameter->valuedouble);
    int64_t count = cJSON_GetArraySize(variables), v = 0;
    const char **names = swg__calloc(ctx, (size_t)count, sizeof *names);
    if (!names)
        return swg__fail_memory(ctx, (size_t)count * sizeof *names, "a normaliser");
    const cJSON *item;
    swg_status status = SWG_OK;
    cJSON_ArrayForEach(item, variables) {
        if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble) || !(item->valuedouble > 0))
            status = swg__fail(ctx, SWG_EFORMAT, "normaliser: the parameter of variable \"%s\" is not a positive number", item->string);
        names[v++] = item->string;
    }
    swg_norm *norm = NULL;
    if (status == SWG_OK)
        status = swg_norm_open(ctx, name->valuestring, names, count, &norm);
    swg__free(ctx, names);
    if (status != SWG_OK)
        return status;
    v = 0;
    cJSON_ArrayForEach(item, variables)
        norm->per_variable[v++] = item->valuedouble;
    if (swg_norm_needs_fit(norm) && !has_variables(norm)) {
        if (!cJSON_IsNumber(a) || !cJSON_IsNumber(b) || !isfinite(a->valuedouble) || !isfinite(b->valuedouble) || b->valuedouble < 0) {
            swg_norm_close(norm);
            return swg__fail(ctx, SWG_EFORMAT, "normaliser: \"%s\" needs the numbers a and b", name->valuestring);
        }
        norm->a = a->valuedouble;
        norm->b = b->valuedouble;
    }
    norm->fitted = true;
    *out = norm;
    return SWG_OK;
}

swg_status swg_norm_from_json(swg_context *ctx, const char *text, swg_norm **out) {
    *out = NULL;
    cJSON *root = cJSON_Parse(text);
    if (!root)
        return swg__fail(ctx, SWG_EFORMAT, "normaliser: not JSON");
    swg_status status = read_json(ctx, root, out);
    cJSON_Delete(root);
    return status;
}
