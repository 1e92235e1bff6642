/* make_h5.c - writes small HDF5 files of known content for the end-to-end tests.
 * In: make_h5 FILE [time=T] [vars=A,B] [deflate=LEVEL] NAME:TYPE:DIMS:PATTERN ... [fill=NAME:ATTRIBUTE:VALUE]   Out: FILE.
 *   TYPE f32, f64, i8 ... u64, and with "be" behind it big endian; fill writes an attribute of a dataset; DIMS 32x32x32 (0 is allowed); PATTERN one of the table below; vars writes the list of names;
 *   deflate holds for what follows (chunked and shuffled).
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "swage/data.h"

enum { AXES = 8, NAMES = 64 };

/* Value i of a row of `nx`; r: 64 random bits of this value. */
typedef double (*pattern_fn)(int64_t i, int64_t nx, uint64_t r);

static double wave(int64_t i, int64_t nx, uint64_t r) {
    (void)r;
    double x = (double)(i % nx), y = (double)(i / nx);
    return 1 + 0.5 * sin(0.21 * x) * cos(0.13 * y) + 1e-3 * sin(1.7 * x + 0.4 * y);
}
static double noise(int64_t i, int64_t nx, uint64_t r) {
    (void)i, (void)nx;
    return (double)(int64_t)r * 0x1p-63;
}
static double zero(int64_t i, int64_t nx, uint64_t r) {
    (void)i, (void)nx, (void)r;
    return 0;
}
static double constant(int64_t i, int64_t nx, uint64_t r) {
    (void)i, (void)nx, (void)r;
    return -7.25;
}
static double nan_only(int64_t i, int64_t nx, uint64_t r) {
    (void)i, (void)nx, (void)r;
    return NAN;
}
static double inf_only(int64_t i, int64_t nx, uint64_t r) {
    (void)nx, (void)r;
    return i % 2 ? INFINITY : -INFINITY;
}
static double denormal(int64_t i, int64_t nx, uint64_t r) {
    (void)i, (void)nx;
    return (double)(int64_t)(r >> 44) * 0x1p-149; /* subnormal as f32 */
}
static double one_nan(int64_t i, int64_t nx, uint64_t r) { return i == nx + 1 ? NAN : wave(i, nx, r); }
static double ocean(int64_t i, int64_t nx, uint64_t r) { /* a sea in tenths with islands of -99 */
    double x = (double)(i % nx) - 9, y = (double)(i / nx % 40) - 12;
    return x * x + y * y < 60 || i % 501 == 0 ? -99 : 40 * wave(i, nx, r) + (double)(r >> 62);
}
static double mixed(int64_t i, int64_t nx, uint64_t r) {
    static const double special[] = {NAN, INFINITY, -INFINITY, -0.0, 0x1p-149, -0x1.8p-140, 3e38, -3e38, 1e-300};
    return r % 29 < sizeof special / sizeof special[0] ? special[r % 29] : wave(i, nx, r);
}

static const struct { const char *name; pattern_fn fn; } patterns[] = {
    {"wave", wave}, {"noise", noise}, {"zero", zero}, {"constant", constant}, {"nan", nan_only}, {"inf", inf_only},
    {"denormal", denormal}, {"ocean", ocean}, {"one_nan", one_nan}, {"mixed", mixed}, {"bits", NULL}}; /* bits: random bits, whatever they mean */

static const struct { const char *name; swg_element element; bool big; } types[] = {
    {"f32", SWG_ELEMENT_F32, false}, {"f64", SWG_ELEMENT_F64, false}, {"f32be", SWG_ELEMENT_F32, true},
    {"f64be", SWG_ELEMENT_F64, true},
    {"i8", SWG_ELEMENT_I8, false},   {"u8", SWG_ELEMENT_U8, false},       {"i16", SWG_ELEMENT_I16, false}, {"u16", SWG_ELEMENT_U16, false},
    {"i32", SWG_ELEMENT_I32, false}, {"u32", SWG_ELEMENT_U32, false},     {"i64", SWG_ELEMENT_I64, false}, {"u64", SWG_ELEMENT_U64, false},
    {"i16be", SWG_ELEMENT_I16, true}, {"i32be", SWG_ELEMENT_I32, true},   {"u64be", SWG_ELEMENT_U64, true}};

static void fail(const char *what, const char *where) {
    fprintf(stderr, "make_h5: %s: %s\n", what, where);
    exit(1);
}

static void check(swg_context *ctx, swg_status status) {
    if (status != SWG_OK)
        fail(swg_status_name(status), swg_context_message(ctx));
}

/* splitmix64: the same file from the same command line, everywhere */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static void put(swg_context *ctx, swg_sink *sink, int deflate, char *spec) {
    char copy[512], *part[4] = {copy};
    snprintf(copy, sizeof copy, "%s", spec);
    for (int i = 1; i < 4; i++) {
        if (!(part[i] = strchr(part[i - 1], ':')))
            fail("expected NAME:TYPE:DIMS:PATTERN", spec);
        *part[i]++ = 0;
    }
    size_t t = 0, p = 0;
    while (t < sizeof types / sizeof types[0] && strcmp(types[t].name, part[1]) != 0)
        t++;
    while (p < sizeof patterns / sizeof patterns[0] && strcmp(patterns[p].name, part[3]) != 0)
        p++;
    if (t == sizeof types / sizeof types[0] || p == sizeof patterns / sizeof patterns[0])
        fail("unknown type or pattern", spec);
    int64_t dims[AXES], count = 1;
    int ndim = 0;
    for (char *d = part[2]; ndim < AXES; d++) {
        dims[ndim] = strtoll(d, &d, 10);
        count *= dims[ndim++];
        if (*d != 'x')
            break;
    }
    size_t bytes = (size_t)swg_element_bytes(types[t].element);
    char *data = malloc((size_t)count * bytes + 1);
    if (!data)
        fail("out of memory", spec);
    uint64_t state = 1;
    for (const char *c = spec; *c; c++)
        state = state * 31 + (uint8_t)*c;
    for (int64_t i = 0; i < count; i++) {
        uint64_t r = next_random(&state);
        double v = patterns[p].fn ? patterns[p].fn(i, dims[ndim - 1], r) : 0;
        float f = (float)v;
        int64_t n = patterns[p].fn == noise ? (int64_t)(r >> 40) : (int64_t)v; /* its low bytes: little-endian machines only */
        const void *from = types[t].element == SWG_ELEMENT_F64 ? (const void *)&v : types[t].element == SWG_ELEMENT_F32 ? (const void *)&f : &n;
        memcpy(data + (size_t)i * bytes, patterns[p].fn ? from : (const void *)&r, bytes);
    }
    check(ctx, swg_sink_put(sink, part[0], types[t].element, ndim, dims, data, &(swg_sink_opts){.big_endian = types[t].big, .deflate = deflate}));
    free(data);
}

/* NAME:ATTRIBUTE:VALUE */
static void put_fill(swg_context *ctx, swg_sink *sink, char *spec) {
    char *attribute = strchr(spec, ':'), *value = attribute ? strchr(attribute + 1, ':') : NULL;
    if (!value)
        fail("expected fill=NAME:ATTRIBUTE:VALUE", spec);
    *attribute++ = *value++ = 0;
    check(ctx, swg_sink_number(sink, spec, attribute, strtod(value, NULL)));
}

static void put_names(swg_context *ctx, swg_sink *sink, char *list) {
    const char *names[NAMES];
    int64_t count = 0;
    for (char *word = strtok(list, ","); word && count < NAMES; word = strtok(NULL, ","))
        names[count++] = word;
    check(ctx, swg_sink_put_names(sink, "vars", names, count));
}

int main(int argc, char **argv) {
    swg_context *ctx;
    swg_sink *sink;
    int deflate = 0;
    if (argc < 2)
        fail("usage", "make_h5 FILE [time=T] [vars=A,B] NAME:TYPE:DIMS:PATTERN ...");
    if (swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK)
        fail("no context", argv[1]);
    check(ctx, swg_sink_open(ctx, argv[1], &sink));
    for (int i = 2; i < argc; i++) {
        if (strncmp(argv[i], "time=", 5) == 0)
            check(ctx, swg_sink_number(sink, "/", "time", strtod(argv[i] + 5, NULL)));
        else if (strncmp(argv[i], "deflate=", 8) == 0)
            deflate = (int)strtol(argv[i] + 8, NULL, 10);
        else if (strncmp(argv[i], "vars=", 5) == 0)
            put_names(ctx, sink, argv[i] + 5);
        else if (strncmp(argv[i], "fill=", 5) == 0)
            put_fill(ctx, sink, argv[i] + 5);
        else
            put(ctx, sink, deflate, argv[i]);
    }
    check(ctx, swg_sink_commit(sink));
    swg_context_close(ctx);
    return 0;
}
