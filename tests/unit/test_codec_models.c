/* test_codec_models.c - proves: models are trained, travel in files and collections only where they pay, are matched by name and bound, come back
 * from files, cost nothing where they do not fit, are refused where damaged; small chunks share a stencil by themselves.
 * SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>
#include "codec/encode.h"
#include "codec/fit.h"
#include "codec_testing.h"
#include "context.h"

enum { EDGE = 48, VALUES = EDGE * EDGE * EDGE, CHUNK = 12 };

/* Autoregressive noise: each value from its three neighbours before, weights that sum to nearly 1, so a stencil knows it best. */
static void fill_rough(float *x, const double a[3], uint64_t seed) {
    for (int64_t i = 0; i < VALUES; i++) {
        int64_t px = i % EDGE, py = i / EDGE % EDGE, pz = i / EDGE / EDGE;
        double v = (double)(int64_t)(noise(&seed) >> 32) / 0x1p32 - 0.5;
        v += px ? a[0] * (double)x[i - 1] : 0;
        v += py ? a[1] * (double)x[i - EDGE] : 0;
        v += pz ? a[2] * (double)x[i - EDGE * EDGE] : 0;
        x[i] = (float)v;
    }
}

static const double kinds[3][3] = {{0.6, 0.3, 0.05}, {0.1, 0.1, 0.75}, {0.98, 0.01, 0}};

static swg_codec_array grid(const float *x) {
    return (swg_codec_array){.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {EDGE, EDGE, EDGE}, .data = x};
}

static swg_codec_opts options(double relative, const char *name) {
    return (swg_codec_opts){.bound = SWG_BOUND_REL, .value = relative, .chunk = {CHUNK, CHUNK, CHUNK}, .name = name};
}

/* A smooth field in which mode P wins, other at every seed. */
static void fill_waves(float *x, uint64_t seed) {
    double p[6];
    for (int i = 0; i < 6; i++)
        p[i] = (double)(noise(&seed) >> 40) / 0x1p24;
    for (int64_t i = 0; i < VALUES; i++) {
        double a = (double)(i % EDGE) / EDGE, b = (double)(i / EDGE % EDGE) / EDGE, c = (double)(i / EDGE / EDGE) / EDGE;
        x[i] = (float)(sin(9 * a + 6 * p[0]) * cos(7 * b + 6 * p[1]) + sin(11 * c + 5 * a * b + 6 * p[2]) + 0.2 * cos(31 * (p[3] * a + p[4] * b + p[5] * c)));
    }
}

static swg_codec_model *train(swg_context *ctx, const float *x, const swg_codec_opts *o, const char *list, swg_codec_model *into) {
    swg_codec_array a = grid(x);
    swg_codec_model *model = into;
    if (!model)
        assert_ok(ctx, swg_codec_model_new(ctx, &model));
    assert_ok(ctx, swg_codec_fit(ctx, &a, 1, o, &(swg_codec_fit_opts){.kinds = list}, model));
    return model;
}

/* Bytes and models of a stream; everything is restored inside the bound. */
static size_t size_of_stream(swg_context *ctx, const float *x, const swg_codec_opts *o, uint32_t *models) {
    swg_codec_array a = grid(x);
    swg_codec_buffer out;
    size_t bytes = round_trip(ctx, &a, o, NULL);
    assert_ok(ctx, swg_codec_compress(ctx, &a, o, &out, NULL));
    *models = swg__load32(out.data + 168);
    swg_codec_buffer_free(ctx, &out);
    return bytes;
}

static void trained_on_another_step(void **state) {
    swg_context *ctx = *state;
    float *x = malloc(VALUES * sizeof *x), *y = malloc(VALUES * sizeof *y);
    fill_rough(x, kinds[0], 1);
    fill_rough(y, kinds[0], 2);
    swg_codec_opts o = options(5e-3, "u");
    swg_codec_model *model = train(ctx, x, &o, "stencil", NULL);
    assert_int_equal(swg_codec_model_count(model), 1);
    swg_codec_model_info info;
    swg_codec_model_describe(model, 0, &info);
    assert_string_equal(info.kind, "stencil");
    assert_string_equal(info.name, "u");
    assert_true(fabs(info.bound / 5e-3 - 1) < 1e-6);
    uint32_t models;
    o.keep_chunk = true;
    swg_codec_opts alone = o;
    alone.without = 1u << SWG_MODE_STENCIL;
    (void)size_of_stream(ctx, y, &alone, &models);
    assert_int_equal(models, 0);
    o.model = model;
    size_t with = size_of_stream(ctx, y, &o, &models);
    assert_int_equal(models, 1);
    /* 64 chunks of 1,728 values: their own parameters are more than a tenth of them */
    swg_codec_array a = grid(y);
    swg__encoded coded;
    assert_ok(ctx, swg__encode_array(ctx, &a, &o, model, &coded));
    assert_true((double)with < 0.95 * (double)coded.bytes);
    for (int64_t i = 0; i < coded.layout.count; i++)
        for (int k = 0; k < coded.chunk[i].others; k++)
            assert_true((double)coded.chunk[i].other[k].record.length < 0.995 * (double)coded.chunk[i].plain.record.length);
    swg__encoded_free(&coded);
    swg_codec_model_free(ctx, model);
    free(y);
    free(x);
}

/* Names, bounds, opts.without decide who is a candidate. */
static void candidates(void **state) {
    swg_context *ctx = *state;
    float *x = malloc(VALUES * sizeof *x);
    int found[SWG__MODELS];
    fill_rough(x, kinds[0], 3);
    swg_codec_opts o = options(1e-3, "u");
    swg_codec_model *model = train(ctx, x, &o, "stencil", NULL);
    o.name = NULL;
    model = train(ctx, x, &o, "stencil", model);
    o.value = 1e-2;
    o.name = "v";
    model = train(ctx, x, &o, "stencil", model);
    assert_int_equal(swg_codec_model_count(model), 3);
    assert_int_equal(swg__model_candidates(model, "u", 1e-3, 0, found), 2);
    assert_int_equal(found[0], 0);
    assert_int_equal(found[1], 1);
    assert_int_equal(swg__model_candidates(model, "v", 1e-3, 0, found), 1);
    assert_int_equal(found[0], 1);
    assert_int_equal(swg__model_candidates(model, NULL, 1.9e-3, 0, found), 1);
    assert_int_equal(swg__model_candidates(model, "u", 2.1e-3, 0, found), 0);
    assert_int_equal(swg__model_candidates(model, "u", 0.51e-3, 0, found), 2);
    assert_int_equal(swg__model_candidates(model, "u", 0.49e-3, 0, found), 0);
    assert_int_equal(swg__model_candidates(model, "v", 6e-3, 0, found), 1);
    assert_int_equal(found[0], 2);
    assert_int_equal(swg__model_candidates(model, "v", 0, 0, found), 2);
    assert_int_equal(swg__model_candidates(model, "u", 1e-3, 1u << SWG_MODE_STENCIL, found), 0);
    o = options(1e-3, "w");
    o.model = model;
    o.without = 1u << SWG_MODE_STENCIL;
    uint32_t models;
    (void)size_of_stream(ctx, x, &o, &models);
    assert_int_equal(models, 0);
    swg_codec_model_free(ctx, model);
    free(x);
}

/* Every field with models of every other one: never more than one per cent longer (target 7 of the specification). */
static void misfits_cost_nothing(void **state) {
    swg_context *ctx = *state;
    enum { FIELDS = 4, STEP = TESTING_SLOW ? 3 : 1 }; /* at least a rough one and a smooth one */
    float *x[FIELDS];
    swg_codec_model *model[FIELDS];
    swg_codec_opts o = options(1e-3, NULL);
    for (int f = 0; f < FIELDS; f += STEP) {
        x[f] = malloc(VALUES * sizeof **x);
        if (f < 3)
            fill_rough(x[f], kinds[f], (uint64_t)f + 10);
        else
            fill_waves(x[f], 5);
        model[f] = train(ctx, x[f], &o, "stencil,law", NULL);
    }
    for (int f = 0; f < FIELDS; f += STEP) {
        uint32_t models;
        o.model = NULL;
        size_t without = size_of_stream(ctx, x[f], &o, &models);
        for (int g = 0; g < FIELDS; g += STEP) {
            o.model = model[g];
            size_t with = size_of_stream(ctx, x[f], &o, &models);
            if ((double)with > 1.01 * (double)without)
                fail_msg("field %d with models of field %d: %zu bytes, %zu without", f, g, with, without);
        }
    }
    for (int f = 0; f < FIELDS; f += STEP) {
        swg_codec_model_free(ctx, model[f]);
        free(x[f]);
    }
}

static void law_for_a_smooth_field(void **state) {
    swg_context *ctx = *state;
    float *x = malloc(VALUES * sizeof *x);
    fill_waves(x, 1);
    swg_codec_opts o = options(1e-4, NULL);
    o.without = 1u << SWG_MODE_STENCIL | 1u << SWG_MODE_INTERPOLATION | 1u << SWG_MODE_PLANES;
    swg_codec_model *model = train(ctx, x, &o, "law", NULL);
    assert_int_equal(swg_codec_model_count(model), 1);
    uint32_t models;
    size_t without = size_of_stream(ctx, x, &o, &models);
    fill_waves(x, 2);
    without = size_of_stream(ctx, x, &o, &models);
    o.model = model;
    size_t with = size_of_stream(ctx, x, &o, &models);
    assert_int_equal(models, 1);
    assert_true(with < without);
    o.effort = 9; /* all choices made anew under the law, not only said again */
    size_t thorough = size_of_stream(ctx, x, &o, &models);
    if ((double)with > 1.02 * (double)thorough)
        fail_msg("%zu bytes with a law at the usual effort, %zu at the highest", with, thorough);
    o.effort = 0;
    for (int i = 0; i < VALUES; i += 7919)
        x[i] = NAN;
    (void)size_of_stream(ctx, x, &o, &models); /* masks go along */
    assert_int_equal(models, 1);
    swg_codec_model_free(ctx, model);
    free(x);
}

/* A set of three of which one pays: the file holds that one; bytes do not depend on threads or instruction set. */
static void only_what_pays(void **state) {
    swg_context *ctx = *state, *one;
    float *x = malloc(VALUES * sizeof *x);
    swg_codec_opts o = options(5e-3, NULL);
    fill_rough(x, kinds[1], 20);
    swg_codec_model *model = train(ctx, x, &o, "stencil,law", NULL);
    fill_rough(x, kinds[0], 21);
    model = train(ctx, x, &o, "stencil", model);
    fill_rough(x, kinds[0], 22);
    o.model = model;
    uint32_t models;
    (void)size_of_stream(ctx, x, &o, &models);
    assert_int_equal(models, 1);
    swg_codec_array a = grid(x);
    swg_codec_buffer many, few;
    assert_ok(ctx, swg_codec_compress(ctx, &a, &o, &many, NULL));
    assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1}, &one), SWG_OK);
    one->isa = (swg__isa)0;
    swg_codec_model *again = NULL;
    fill_rough(x, kinds[1], 20);
    swg_codec_opts fit = options(5e-3, NULL);
    again = train(one, x, &fit, "stencil,law", NULL);
    fill_rough(x, kinds[0], 21);
    again = train(one, x, &fit, "stencil", again);
    assert_int_equal(swg_codec_model_count(again), swg_codec_model_count(model));
    for (int i = 0; i < swg_codec_model_count(model); i++) {
        uint8_t sha[2][32];
        size_t bytes;
        (void)swg_codec_model_blob(model, i, &bytes, sha[0]);
        (void)swg_codec_model_blob(again, i, &bytes, sha[1]);
        assert_memory_equal(sha[0], sha[1], 32);
    }
    fill_rough(x, kinds[0], 22);
    o.model = again;
    assert_ok(one, swg_codec_compress(one, &a, &o, &few, NULL));
    assert_int_equal(few.bytes, many.bytes);
    assert_memory_equal(few.data, many.data, few.bytes);
    swg_codec_buffer_free(one, &few);
    swg_codec_buffer_free(ctx, &many);
    swg_codec_model_free(one, again);
    swg_context_close(one);
    swg_codec_model_free(ctx, model);
    free(x);
}

/* The same CRC over a changed MODL section of a stream. */
static void repair(uint8_t *data) {
    uint64_t at = swg__load64(data + 160), bytes = swg__load64(data + at + 8);
    swg__store32(data + at + 16 + bytes, swg__crc32c(0, data + at, 16 + bytes));
}

static void damaged_models(void **state) {
    swg_context *ctx = *state;
    float *x = malloc(VALUES * sizeof *x);
    fill_rough(x, kinds[0], 30);
    swg_codec_opts o = options(5e-3, NULL);
    swg_codec_model *model = train(ctx, x, &o, "stencil", NULL);
    o.model = model;
    swg_codec_array a = grid(x);
    swg_codec_buffer out;
    swg_swz *swz;
    assert_ok(ctx, swg_codec_compress(ctx, &a, &o, &out, NULL));
    const uint64_t modl = swg__load64(out.data + 160);
    assert_true(modl > 0);
    static const struct { int at, flip; const char *why; } cases[] = {
        {16, 1, "number of models"},          /* count */
        {20, 1, "hash or kind"},              /* SHA-256 */
        {52, 1, "hash or kind"},              /* kind beside the blob */
        {54, 1, "version of a model"},
        {56, 64, "model passes the end"},     /* its length */
        {60 + 20, 1, "hash or kind"},         /* a weight */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t *byte = out.data + modl + cases[i].at;
        *byte ^= (uint8_t)cases[i].flip;
        repair(out.data);
        assert_int_equal(swg_swz_open_memory(ctx, out.data, out.bytes, &swz), SWG_ECORRUPT);
        if (!strstr(swg_context_message(ctx), cases[i].why))
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, swg_context_message(ctx), cases[i].why);
        *byte ^= (uint8_t)cases[i].flip;
    }
    repair(out.data);
    /* A chunk that refers to a model that is not there. */
    assert_ok(ctx, swg_swz_open_memory(ctx, out.data, out.bytes, &swz));
    int64_t bytes;
    assert_int_equal(swg_swz_chunk_mode(swz, 0, 0, &bytes), SWG_MODE_STENCIL);
    swg_swz_close(swz);
    uint8_t *record = out.data + modl + 20 + swg__load64(out.data + modl + 8);
    assert_memory_equal(record, "SWCK", 4);
    float *back = malloc(VALUES * sizeof *back);
    for (uint16_t ref = 1; ref < 3; ref++) {
        uint32_t crc = swg__record_refer(record, (size_t)bytes, ref == 2 ? SWG__NO_MODEL : ref);
        uint64_t index = swg__load64(out.data + out.bytes - 64 + 8), length = swg__load64(out.data + out.bytes - 64 + 16);
        swg__store32(out.data + index + 16 + 8 + 20, crc);
        swg__store32(out.data + index + length - 4, swg__crc32c(0, out.data + index, (size_t)length - 4));
        assert_ok(ctx, swg_swz_open_memory(ctx, out.data, out.bytes, &swz));
        assert_int_equal(swg_swz_read(swz, 0, back, VALUES * sizeof *back), SWG_ECORRUPT);
        assert_non_null(strstr(swg_context_message(ctx), ref == 1 ? "model is not in the file" : "parameters are missing"));
        swg_swz_close(swz);
    }
    free(back);
    swg_codec_buffer_free(ctx, &out);
    swg_codec_model_free(ctx, model);
    free(x);
}

/* Blobs that are no models of their kind. */
static void malformed_blobs(void **state) {
    swg_context *ctx = *state;
    swg_codec_model *set;
    assert_ok(ctx, swg_codec_model_new(ctx, &set));
    swg__text blob;
    for (int kind = 0; kind < 12; kind++)
        for (int body = 0; body < 520; body += kind == SWG__KIND_LAW ? 1 : 52) {
            swg__text_init(&blob, ctx);
            swg__blob_begin(&blob, kind);
            for (int i = 0; i < body; i++)
                swg__put8(&blob, 0xF0);
            swg__blob_end(&blob);
            const char *why = swg__model_add(set, (const uint8_t *)blob.data, blob.length, NULL, 0, true);
            if (swg__kind_of((uint32_t)kind))
                assert_non_null(why);
            else if (set->count < 60)
                assert_null(why); /* of a newer version: kept, never run */
            swg__text_free(&blob);
            if (set->count > 50) {
                swg_codec_model_free(ctx, set);
                assert_ok(ctx, swg_codec_model_new(ctx, &set));
            }
        }
    swg_codec_model_free(ctx, set);
}

static void sets_as_files(void **state) {
    swg_context *ctx = *state;
    char folder[] = "/tmp/swage_models_XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.swm", folder);
    float *x = malloc(VALUES * sizeof *x);
    fill_waves(x, 7);
    swg_codec_opts o = options(1e-4, "name with blanks");
    swg_codec_model *model = train(ctx, x, &o, "stencil,law", NULL), *back;
    fill_rough(x, kinds[2], 8);
    o.name = NULL;
    model = train(ctx, x, &o, "stencil", model);
    assert_ok(ctx, swg_codec_model_save(ctx, model, path));
    assert_ok(ctx, swg_codec_model_load(ctx, path, &back));
    assert_int_equal(swg_codec_model_count(back), swg_codec_model_count(model));
    assert_true(swg_codec_model_count(model) >= 2);
    for (int i = 0; i < swg_codec_model_count(model); i++) {
        swg_codec_model_info a, b;
        size_t bytes[2];
        uint8_t sha[2][32];
        swg_codec_model_describe(model, i, &a);
        swg_codec_model_describe(back, i, &b);
        assert_string_equal(a.name, b.name);
        assert_string_equal(a.kind, b.kind);
        assert_true(a.bound == b.bound);
        const uint8_t *p = swg_codec_model_blob(model, i, &bytes[0], sha[0]), *q = swg_codec_model_blob(back, i, &bytes[1], sha[1]);
        assert_int_equal(bytes[0], bytes[1]);
        assert_memory_equal(p, q, bytes[0]);
        assert_memory_equal(sha[0], sha[1], 32);
    }
    swg_codec_model_free(ctx, back);
    uint8_t *data;
    size_t bytes;
    assert_ok(ctx, swg__file_read(ctx, path, &data, &bytes));
    for (size_t i = 0; i < bytes; i += 7) { /* every byte is under the checksum */
        data[i] ^= 16;
        assert_int_not_equal(swg__model_read(ctx, data, bytes, path, &back), SWG_OK);
        assert_null(back);
        data[i] ^= 16;
    }
    for (size_t cut = 0; cut < bytes; cut += 13)
        assert_int_not_equal(swg__model_read(ctx, data, cut, path, &back), SWG_OK);
    swg__free(ctx, data);
    assert_int_equal(swg_codec_model_load(ctx, "/nonexistent/a.swm", &back), SWG_ENOTFOUND);
    swg_codec_model_free(ctx, model);
    free(x);
    remove(path);
    assert_int_equal(rmdir(folder), 0);
}

/* Members share models; each is in the file once, and only those that pay. */
/* Members that say they refer to the first model only: those that use the second are refused. */
static void models_beyond_the_header(swg_context *ctx, const char *path) {
    enum { N_MODELS = 168 };
    uint8_t *d;
    size_t bytes;
    swg_swz *swz;
    float *back = malloc(VALUES * sizeof *back);
    int64_t refused = 0;
    assert_ok(ctx, swg__file_read(ctx, path, &d, &bytes));
    for (size_t i = 16; i + 196 < bytes; i++)
        if (memcmp(d + i, "\x89SWZ\r\n\x1A\n", 8) == 0 && swg__load32(d + i + N_MODELS) > 1) {
            const size_t header = swg__load32(d + i + 12);
            swg__store32(d + i + N_MODELS, 1);
            swg__store32(d + i + header - 4, swg__crc32c(0, d + i, header - 4));
        }
    assert_ok(ctx, swg_swz_open_memory(ctx, d, bytes, &swz));
    for (int64_t m = 0; m < swg_swz_count(swz); m++) {
        const swg_status status = swg_swz_read(swz, m, back, VALUES * sizeof *back);
        if (status == SWG_OK)
            continue;
        assert_int_equal(status, SWG_ECORRUPT);
        assert_non_null(strstr(swg_context_message(ctx), ": model is not in the file"));
        refused++;
    }
    assert_int_equal(refused, swg_swz_count(swz) / 2);
    swg_swz_close(swz);
    swg__free(ctx, d);
    free(back);
}

static void collections_share(void **state) {
    swg_context *ctx = *state;
    char folder[] = "/tmp/swage_models_XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.swz", folder);
    float *x = malloc(VALUES * sizeof *x), *back = malloc(VALUES * sizeof *back);
    swg_codec_model *model = NULL;
    swg_codec_writer *w;
    static const char *const names[3] = {"u", "v", "w"};
    for (int f = 0; f < 3; f++) {
        swg_codec_opts o = options(5e-3, names[f]);
        fill_rough(x, kinds[f], (uint64_t)f + 40);
        model = train(ctx, x, &o, "stencil", model);
    }
    int64_t total[2];
    for (int with = 0; with < 2; with++) {
        assert_ok(ctx, swg_codec_writer_open(ctx, path, with ? model : NULL, &w));
        for (int i = 0; i < 6; i++) {
            char source[16];
            swg_codec_stats stats;
            snprintf(source, sizeof source, "t%d", i / 2);
            swg_codec_opts o = options(5e-3, names[i % 2]); /* w is never there */
            swg_codec_array a = grid(x);
            fill_rough(x, kinds[i % 2], (uint64_t)i + 50);
            assert_ok(ctx, swg_codec_writer_add(w, source, &a, &o, &stats));
        }
        assert_ok(ctx, swg_codec_writer_commit(w, &total[with]));
    }
    assert_true(total[1] < total[0]);
    swg_swz *swz;
    assert_ok(ctx, swg_swz_open(ctx, path, &swz));
    assert_int_equal(swg_swz_count(swz), 6);
    size_t u, v;
    (void)swg_codec_model_blob(model, 0, &u, NULL);
    (void)swg_codec_model_blob(model, 1, &v, NULL);
    assert_int_equal(swg_swz_model_bytes(swz), 24 + 2 * 40 + (int64_t)(u + v));
    for (int i = 0; i < 6; i++) {
        char source[16];
        snprintf(source, sizeof source, "t%d", i / 2);
        int64_t m = swg_swz_find(swz, source, names[i % 2]);
        assert_true(m >= 0);
        swg_codec_array a = grid(x);
        swg_codec_gap gap;
        fill_rough(x, kinds[i % 2], (uint64_t)i + 50);
        assert_ok(ctx, swg_swz_read(swz, m, back, VALUES * sizeof *back));
        assert_ok(ctx, swg_codec_audit(ctx, &a, back, swg_swz_member(swz, m), &gap));
        assert_int_equal(gap.violations, 0);
    }
    swg_swz_close(swz);
    models_beyond_the_header(ctx, path);
    swg_codec_model_free(ctx, model);
    free(back);
    free(x);
    remove(path);
    assert_int_equal(rmdir(folder), 0);
}

/* Without any training from outside: many small chunks share a stencil, few or large ones do not. */
static void small_chunks_share_a_stencil(void **state) {
    swg_context *ctx = *state;
    float *x = malloc(VALUES * sizeof *x);
    uint32_t models;
    fill_rough(x, kinds[0], 60);
    swg_codec_opts o = options(5e-3, NULL);
    size_t shared = size_of_stream(ctx, x, &o, &models);
    assert_int_equal(models, 1);
    swg_codec_array a = grid(x);
    swg__encoded coded;
    assert_ok(ctx, swg__encode_array(ctx, &a, &o, NULL, &coded));
    assert_true((double)shared < 0.95 * (double)coded.bytes);
    swg__encoded_free(&coded);
    o.effort = 1; /* fast: no models, neither of its own nor given */
    (void)size_of_stream(ctx, x, &o, &models);
    assert_int_equal(models, 0);
    swg_codec_model *given = train(ctx, x, &o, "stencil", NULL);
    o.model = given;
    (void)size_of_stream(ctx, x, &o, &models);
    assert_int_equal(models, 0);
    o.effort = 5;
    (void)size_of_stream(ctx, x, &o, &models);
    assert_int_equal(models, 1);
    swg_codec_model_free(ctx, given);
    o.model = NULL;
    memset(o.chunk, 0, sizeof o.chunk);
    (void)size_of_stream(ctx, x, &o, &models);
    assert_int_equal(models, 0);
    free(x);
}

static void refused_and_stopped(void **state) {
    swg_context *ctx = *state;
    float *x = malloc(VALUES * sizeof *x);
    fill_rough(x, kinds[0], 70);
    swg_codec_array a = grid(x);
    swg_codec_opts o = options(1e-3, NULL);
    swg_codec_model *model;
    volatile sig_atomic_t stop = 1;
    assert_ok(ctx, swg_codec_model_new(ctx, &model));
    assert_int_equal(swg_codec_fit(ctx, &a, 1, &o, &(swg_codec_fit_opts){.kinds = "stencil,kriging"}, model), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(ctx), "kriging"));
    assert_int_equal(swg_codec_fit(ctx, &a, 1, &o, &(swg_codec_fit_opts){.stop = &stop, .kinds = "stencil"}, model), SWG_EINTERRUPTED);
    assert_int_equal(swg_codec_model_count(model), 0);
    o.bound = SWG_BOUND_RATIO;
    assert_int_equal(swg_codec_fit(ctx, &a, 1, &o, NULL, model), SWG_EINVAL);
    o = (swg_codec_opts){0}; /* lossless: nothing to train */
    assert_ok(ctx, swg_codec_fit(ctx, &a, 1, &o, &(swg_codec_fit_opts){.kinds = "stencil,law"}, model));
    assert_int_equal(swg_codec_model_count(model), 0);
    swg_codec_model_free(ctx, model);
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(trained_on_another_step, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(candidates, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(misfits_cost_nothing, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(law_for_a_smooth_field, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(only_what_pays, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(damaged_models, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(malformed_blobs, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(sets_as_files, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(collections_share, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(small_chunks_share_a_stencil, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refused_and_stopped, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
