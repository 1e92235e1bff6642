/* test_evaluate.c - proves: the figures of an evaluation are those of a plain loop over the original arrays; constant, raw and failed blocks
 * and padding are left out and counted; parts are those of the training run and asked for in vain on other data; bytes and ratios are
 * those of the format; a model that does not fit is refused; bits do not depend on threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "training.h"
#include "swage/evaluate.h"

enum { VALUES = 125 };

static swg_model *open_run(swg_context *ctx, scratch *s, const char *name) {
    swg_model *model;
    assert_ok(ctx, swg_model_open(ctx, in_run(s->folder, name, ""), &model));
    return model;
}

/* The model's configuration with changes. */
static swg_config *changed(swg_context *ctx, swg_model *model, const char *const *overrides) {
    const char *yaml;
    swg_config *config;
    int count = 0;
    while (overrides[count])
        count++;
    assert_ok(ctx, swg_config_yaml(swg_model_config(model), &yaml));
    assert_ok(ctx, swg_config_open_text(ctx, yaml, "test", &(swg_config_opts){.overrides = overrides, .override_count = count}, &config));
    return config;
}

static swg_status evaluate(swg_context *ctx, swg_model *model, const char *const *overrides, const char *part, swg_evaluation *e) {
    swg_config *config = overrides ? changed(ctx, model, overrides) : NULL;
    swg_status status = swg_evaluate(ctx, model, config, &(swg_evaluate_opts){.part = part}, e);
    swg_config_close(config);
    return status;
}

static double value(const swg_metrics *m, swg_metric metric) {
    assert_true(m->has[metric]);
    return m->value[metric];
}

/* ---- against a plain loop ---- */

typedef struct plain {
    double n, square, largest, x_sum, y_sum, xx, yy, xy, min, max;
} plain;

static void plain_add(plain *p, double x, double y) {
    p->min = p->n == 0 || x < p->min ? x : p->min;
    p->max = p->n == 0 || x > p->max ? x : p->max;
    p->n++;
    p->square += (y - x) * (y - x);
    p->largest = fmax(p->largest, fabs(y - x));
    p->x_sum += x;
    p->y_sum += y;
    p->xx += x * x;
    p->yy += y * y;
    p->xy += x * y;
}

static void assert_plain(const plain *p, const swg_metrics *m) {
    double mse = p->square / p->n, cov = p->xy - p->x_sum * p->y_sum / p->n;
    assert_close(value(m, SWG_METRIC_VALUES), p->n, 0, 0);
    assert_close(value(m, SWG_METRIC_MSE), mse, 0, 1e-10);
    assert_close(value(m, SWG_METRIC_MAX_ABS_ERROR), p->largest, 0, 0);
    assert_close(value(m, SWG_METRIC_PSNR_DB), 20 * log10(p->max - p->min) - 10 * log10(mse), 1e-9, 0);
    assert_close(value(m, SWG_METRIC_CORRELATION), cov / sqrt((p->xx - p->x_sum * p->x_sum / p->n) * (p->yy - p->y_sum * p->y_sum / p->n)), 1e-8, 0);
}

/* One block by hand: x as stored -> network -> back, with the stored minimum (pos_log). */
static void reconstruct(swg_context *ctx, swg_model *model, bool wide, const double *x, double *y, float *in, float *out) {
    double least = INFINITY;
    float latent[16];
    for (int i = 0; i < VALUES; i++)
        least = fmin(least, x[i]);
    for (int i = 0; i < VALUES; i++)
        in[i] = (float)log(x[i] - least + 1e-6);
    assert_ok(ctx, swg_model_encode(model, 1, in, latent));
    assert_ok(ctx, swg_model_decode(model, 1, latent, out));
    for (int i = 0; i < VALUES; i++) {
        y[i] = exp((double)out[i]) - 1e-6 + least;
        y[i] = wide ? y[i] : (double)(float)y[i];
    }
}

static void figures_are_those_of_a_plain_loop(void **state) {
    swg_context *ctx = *state;
    for (int wide = 0; wide < 2; wide++) {
        scratch s;
        scratch_open(&s);
        octants o = {.count = 150, .variables = 2, .constant_every = 9, .element = wide ? SWG_ELEMENT_F64 : SWG_ELEMENT_F32};
        write_octants(ctx, scratch_path(&s, "a.h5"), &o);
        assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), NULL, NULL, NULL));
        swg_model *model = open_run(ctx, &s, "run");
        swg_evaluation e;
        assert_ok(ctx, swg_evaluate(ctx, model, NULL, NULL, &e));
        assert_int_equal(e.count, 3);
        assert_int_equal(e.files, 1);
        assert_int_equal(e.arrays, 2);
        assert_non_null(strstr(e.split, "all samples"));
        plain total = {0}, total_normalised = {0};
        for (int v = 0; v < 2; v++) {
            plain original = {0}, normalised = {0};
            for (int b = 0; b < o.count; b++) {
                double x[VALUES], y[VALUES];
                float in[VALUES], out[VALUES];
                if (b % 9 == 0)
                    continue;
                for (int i = 0; i < VALUES; i++) {
                    x[i] = octant_value(v, b, ((i / 25 + 1) * 7 + i / 5 % 5 + 1) * 7 + i % 5 + 1);
                    x[i] = wide ? x[i] : (double)(float)x[i];
                }
                reconstruct(ctx, model, wide, x, y, in, out);
                for (int i = 0; i < VALUES; i++) {
                    plain_add(&original, x[i], y[i]);
                    plain_add(&total, x[i], y[i]);
                    plain_add(&normalised, (double)in[i], (double)out[i]);
                    plain_add(&total_normalised, (double)in[i], (double)out[i]);
                }
            }
            assert_string_equal(e.rows[v].variable, octant_names[v]);
            assert_plain(&original, &e.rows[v].original);
            assert_plain(&normalised, &e.rows[v].normalised);
            assert_int_equal(e.rows[v].blocks, 150);
            assert_close(value(&e.rows[v].original, SWG_METRIC_CONSTANT_BLOCKS), 17, 0, 0);
            assert_true(e.rows[v].original.has[SWG_METRIC_RELATIVE_P99]);
            assert_true(e.rows[v].normalised.has[SWG_METRIC_RELATIVE_P99]);
        }
        assert_string_equal(e.rows[2].variable, "all");
        assert_plain(&total, &e.rows[2].original);
        assert_plain(&total_normalised, &e.rows[2].normalised);
        /* Bytes: 133 normal blocks of each variable with 4 latents and a minimum, 17 constants, flags of entropy H. */
        int64_t element = wide ? 8 : 4, p = 133, q = 17;
        double bits = (double)p * log2(150.0 / (double)p) + (double)q * log2(150.0 / (double)q);
        assert_int_equal(e.rows[0].bytes_in, 150 * VALUES * element);
        assert_int_equal(e.rows[0].latent_bytes, p * 4 * 4);
        assert_int_equal(e.rows[0].side_bytes, p * element + q * element + (int64_t)ceil(bits / 8));
        assert_int_equal(e.rows[0].raw_bytes, 0);
        assert_close(e.rows[0].ratio_latent, (double)(VALUES * element) / 16, 0, 1e-15);
        assert_close(e.rows[0].ratio, (double)e.rows[0].bytes_in / (double)(e.rows[0].latent_bytes + e.rows[0].side_bytes), 0, 1e-15);
        swg_evaluation_free(ctx, &e);
        swg_model_close(model);
        remove_tree(in_run(s.folder, "run", ""));
        scratch_close(&s, ctx, 1);
    }
}

/* Ratios of the specification for a block of 500 bytes and 16 latents: 7.8125 alone, 7.353 with the minimum. */
static void ratios_of_the_specification(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &(octants){.count = 40, .variables = 1});
    static const struct { const char *norm; double ratio; } cases[] = {{"data.norm=pos_log", 500. / 68}, {"data.norm=scaleitup", 500. / 69}, {"data.norm=none", 500. / 64}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), MORE("model.latent=16", "trainer.epochs=1", cases[i].norm), NULL, NULL));
        swg_model *model = open_run(ctx, &s, "run");
        swg_evaluation e;
        assert_ok(ctx, evaluate(ctx, model, NULL, NULL, &e));
        assert_close(e.rows[1].ratio_latent, 7.8125, 0, 1e-12);
        assert_close(e.rows[1].ratio, cases[i].ratio, 0, 1e-12);
        swg_evaluation_free(ctx, &e);
        swg_model_close(model);
        remove_tree(in_run(s.folder, "run", ""));
    }
    scratch_close(&s, ctx, 1);
}

/* ---- grids ---- */

static double grid_value(int64_t i) { return (double)(float)(2 + sin(0.3 * (double)i) + 1e-5 * (double)i); }

static void write_grid(swg_context *ctx, const char *path, const char *name, const int64_t dims[3]) {
    int64_t count = dims[0] * dims[1] * dims[2];
    float *values = swg__alloc(ctx, (size_t)count * sizeof *values);
    swg_sink *sink;
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)grid_value(i);
    assert_ok(ctx, swg_sink_open(ctx, path, &sink));
    assert_ok(ctx, swg_sink_put(sink, name, SWG_ELEMENT_F32, 3, dims, values, NULL));
    assert_ok(ctx, swg_sink_commit(sink));
    swg__free(ctx, values);
}

/* Every value of a tiled grid once, by hand. */
static plain plain_grid(swg_context *ctx, swg_model *model, const int64_t dims[3]) {
    plain p = {0};
    float in[VALUES], out[VALUES];
    double x[VALUES], y[VALUES];
    for (int64_t z = 0; z < dims[0]; z += 5)
        for (int64_t r = 0; r < dims[1]; r += 5)
            for (int64_t c = 0; c < dims[2]; c += 5) {
                for (int i = 0; i < VALUES; i++) {
                    int64_t at[3] = {z + i / 25, r + i / 5 % 5, c + i % 5};
                    for (int axis = 0; axis < 3; axis++)
                        at[axis] = at[axis] < dims[axis] ? at[axis] : dims[axis] - 1;
                    x[i] = grid_value((at[0] * dims[1] + at[1]) * dims[2] + at[2]);
                }
                reconstruct(ctx, model, false, x, y, in, out);
                for (int i = 0; i < VALUES; i++)
                    if (z + i / 25 < dims[0] && r + i / 5 % 5 < dims[1] && c + i % 5 < dims[2])
                        plain_add(&p, x[i], y[i]);
            }
    return p;
}

/* The second grid has more blocks than a batch. */
static void padding_is_not_compared(void **state) {
    swg_context *ctx = *state;
    static const struct { int64_t dims[3], blocks; } grids[] = {{{7, 5, 11}, 2 * 1 * 3}, {{83, 78, 80}, 17 * 16 * 16}};
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &(octants){.count = 40, .variables = 1});
    assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), NULL, NULL, NULL));
    swg_model *model = open_run(ctx, &s, "run");
    for (size_t k = 0; k < sizeof grids / sizeof *grids; k++) {
        const int64_t *dims = grids[k].dims, count = dims[0] * dims[1] * dims[2];
        swg_evaluation e;
        char path[400];
        write_grid(ctx, scratch_path(&s, "g.h5"), "U_CHI", dims);
        snprintf(path, sizeof path, "data.path=%s", scratch_path(&s, "g.h5"));
        assert_ok(ctx, evaluate(ctx, model, MORE(path), NULL, &e));
        const swg_evaluation_row *row = &e.rows[0];
        plain p = plain_grid(ctx, model, dims);
        assert_plain(&p, &row->original);
        assert_int_equal(row->blocks, grids[k].blocks);
        assert_close(value(&row->original, SWG_METRIC_VALUES), (double)count, 0, 0);
        assert_close(value(&row->normalised, SWG_METRIC_VALUES), (double)count, 0, 0);
        assert_int_equal(row->bytes_in, count * 4);
        assert_int_equal(row->latent_bytes, grids[k].blocks * 4 * 4);
        swg_evaluation_free(ctx, &e);
    }
    swg_model_close(model);
    remove_tree(in_run(s.folder, "run", ""));
    scratch_close(&s, ctx, 2);
}

/* ---- parts ---- */

static void parts_are_those_of_the_run(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    char path[400];
    mkdir(scratch_path(&s, "d"), 0777);
    for (int t = 1; t <= 4; t++) {
        char name[16];
        snprintf(name, sizeof name, "d/%d.h5", t);
        write_octants(ctx, scratch_path(&s, name), &(octants){.count = 30, .variables = 2, .time = t, .constant_every = 7});
    }
    static const char *const parts[] = {"train", "val", "test", "all"};
    static const char *const splits[] = {"data.split=random", "data.split=by-time", "split.rng=philox"};
    for (size_t k = 0; k < sizeof splits / sizeof *splits; k++) {
        assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "d"), MORE(splits[k]), NULL, NULL));
        swg_model *model = open_run(ctx, &s, "run");
        swg_evaluation e[4];
        double blocks[4], values[4], square[4];
        for (int i = 0; i < 4; i++) {
            assert_ok(ctx, evaluate(ctx, model, NULL, parts[i], &e[i]));
            const swg_evaluation_row *all = &e[i].rows[e[i].count - 1];
            blocks[i] = (double)all->blocks;
            values[i] = value(&all->original, SWG_METRIC_VALUES);
            square[i] = value(&all->original, SWG_METRIC_MSE) * values[i];
            if (i < 3)
                assert_non_null(strstr(e[i].split, k == 1 ? "split: by-time (train t = " : "split: random"));
        }
        /* Disjoint, and together all. */
        assert_close(blocks[0] + blocks[1] + blocks[2], blocks[3], 0, 0);
        assert_close(values[0] + values[1] + values[2], values[3], 0, 0);
        assert_close(square[0] + square[1] + square[2], square[3], 0, 1e-12);
        /* As many as the run used. */
        static const char *const keys[] = {"blocks_train", "blocks_val", "blocks_test"};
        for (int i = 0; i < 3; i++) {
            double used = logged(ctx, in_run(s.folder, "run", "log.jsonl"), "start", 0, keys[i]);
            assert_close(values[i], used * VALUES, 0, 0);
        }
        for (int i = 0; i < 4; i++)
            swg_evaluation_free(ctx, &e[i]);
        /* The same data elsewhere are the same data; a file more makes others of them. */
        swg_evaluation other;
        assert_int_equal(rename(in_run(s.folder, "d", ""), in_run(s.folder, "elsewhere", "")), 0);
        snprintf(path, sizeof path, "data.path=%s/elsewhere", s.folder);
        assert_ok(ctx, evaluate(ctx, model, MORE(path), "test", &other));
        swg_evaluation_free(ctx, &other);
        write_octants(ctx, in_run(s.folder, "elsewhere", "5.h5"), &(octants){.count = 30, .variables = 2, .time = 5});
        assert_int_equal(evaluate(ctx, model, MORE(path), "test", &other), SWG_EINVAL);
        assert_message(ctx, "the data are not those", "test part", "--part all");
        assert_ok(ctx, evaluate(ctx, model, MORE(path), "all", &other));
        swg_evaluation_free(ctx, &other);
        assert_int_equal(evaluate(ctx, model, MORE(path, "data.vars=U_K"), "val", &other), SWG_EINVAL);
        assert_null(other.rows);
        assert_int_equal(remove(in_run(s.folder, "elsewhere", "5.h5")), 0);
        assert_int_equal(rename(in_run(s.folder, "elsewhere", ""), in_run(s.folder, "d", "")), 0);
        assert_int_equal(evaluate(ctx, model, NULL, "half", &other), SWG_EUSAGE);
        assert_message(ctx, "expected all, train, val or test");
        swg_model_close(model);
        remove_tree(in_run(s.folder, "run", ""));
    }
    remove_tree(in_run(s.folder, "d", ""));
    scratch_close(&s, ctx, 0);
}

/* ---- odd blocks ---- */

static void odd_blocks(double *values, int variable, int octant) {
    for (int i = 0; i < OCTANT; i++)
        if (variable == 1 && octant % 5 == 1)
            values[i] = i == 171 ? (octant % 2 ? NAN : INFINITY) : values[i];
        else if (octant % 5 == 2)
            values[i] = 0;
        else if (octant % 5 == 3)
            values[i] = 1e-42 * (1 + i % 3);
}

static void odd_blocks_are_counted(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &(octants){.count = 40, .variables = 2});
    write_octants(ctx, scratch_path(&s, "odd.h5"), &(octants){.count = 40, .variables = 2, .change = odd_blocks});
    assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), NULL, NULL, NULL));
    swg_model *model = open_run(ctx, &s, "run");
    swg_evaluation e;
    char path[400];
    snprintf(path, sizeof path, "data.path=%s", scratch_path(&s, "odd.h5"));
    assert_int_equal(evaluate(ctx, model, MORE(path), NULL, &e), SWG_ENONFINITE);
    assert_message(ctx, "odd.h5", "U_K", "block 1 ", "1 NaN", "data.nonfinite=raw");
    assert_ok(ctx, evaluate(ctx, model, MORE(path, "data.nonfinite=raw"), NULL, &e));
    assert_close(value(&e.rows[1].original, SWG_METRIC_RAW_BLOCKS), 8, 0, 0);
    assert_close(value(&e.rows[1].original, SWG_METRIC_CONSTANT_BLOCKS), 8, 0, 0);
    assert_close(value(&e.rows[1].original, SWG_METRIC_VALUES), 24 * VALUES, 0, 0);
    assert_close(value(&e.rows[2].original, SWG_METRIC_RAW_BLOCKS), 8, 0, 0);
    assert_int_equal(e.rows[1].raw_bytes, 8 * 500);
    assert_int_equal(e.rows[2].failed_blocks, 0);
    for (int64_t i = 0; i < e.count; i++)
        for (int m = 0; m < SWG_METRICS; m++)
            assert_true(!e.rows[i].original.has[m] || !isnan(e.rows[i].original.value[m]));
    swg_evaluation_free(ctx, &e);
    assert_ok(ctx, evaluate(ctx, model, MORE(path, "data.nonfinite=raw", "data.constant=include"), NULL, &e));
    assert_close(value(&e.rows[1].original, SWG_METRIC_CONSTANT_BLOCKS), 0, 0, 0);
    assert_close(value(&e.rows[1].original, SWG_METRIC_VALUES), 32 * VALUES, 0, 0);
    swg_evaluation_free(ctx, &e);
    swg_model_close(model);
    remove_tree(in_run(s.folder, "run", ""));
    scratch_close(&s, ctx, 2);
}

/* A network whose last bias is huge reconstructs infinity: counted as failed and raw, compared with nothing. */
static void infinite_reconstructions_are_counted(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &(octants){.count = 40, .variables = 1, .constant_every = 8});
    assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), NULL, NULL, NULL));
    swg_model *model = open_run(ctx, &s, "run");
    swg_weights *w = swg_model_weights(model);
    for (int i = 0; i < swg_weights_count(w); i++)
        if (strcmp(swg_weights_name(w, i), "decoder.fc2.bias") == 0)
            ((float *)swg_weights_value(w, i))[60] = 1e4f;
    swg_evaluation e;
    assert_ok(ctx, swg_evaluate(ctx, model, NULL, NULL, &e));
    assert_int_equal(e.rows[0].failed_blocks, 35);
    assert_close(value(&e.rows[0].original, SWG_METRIC_RAW_BLOCKS), 35, 0, 0);
    assert_close(value(&e.rows[0].original, SWG_METRIC_VALUES), 0, 0, 0);
    assert_false(e.rows[0].original.has[SWG_METRIC_MSE]);
    assert_int_equal(e.rows[0].latent_bytes, 0);
    assert_int_equal(e.rows[0].raw_bytes, 35 * 500);
    assert_close(e.rows[0].ratio_latent, 0, 0, 0);
    swg_evaluation_free(ctx, &e);
    swg_model_close(model);
    remove_tree(in_run(s.folder, "run", ""));
    scratch_close(&s, ctx, 1);
}

/* ---- models that do not fit ---- */

static void refuses_what_does_not_fit(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    static float values[4000];
    for (int i = 0; i < 4000; i++)
        values[i] = (float)i;
    write_octants(ctx, scratch_path(&s, "a.h5"), &(octants){.count = 40, .variables = 2});
    swg_sink *sink;
    assert_ok(ctx, swg_sink_open(ctx, scratch_path(&s, "small.h5"), &sink));
    assert_ok(ctx, swg_sink_put(sink, "U_CHI", SWG_ELEMENT_F32, 4, (int64_t[]){20, 4, 4, 4}, values, NULL));
    assert_ok(ctx, swg_sink_commit(sink));
    assert_ok(ctx, swg_sink_open(ctx, scratch_path(&s, "five.h5"), &sink));
    assert_ok(ctx, swg_sink_put(sink, "U_ALPHA", SWG_ELEMENT_F32, 4, (int64_t[]){20, 5, 5, 5}, values, NULL));
    assert_ok(ctx, swg_sink_commit(sink));
    char small[400], five[400];
    snprintf(small, sizeof small, "data.path=%s", scratch_path(&s, "small.h5"));
    snprintf(five, sizeof five, "data.path=%s", scratch_path(&s, "five.h5"));
    swg_evaluation e;
    /* 5^3 network, 4^3 data. */
    assert_ok(ctx, train(ctx, s.folder, "center", scratch_path(&s, "a.h5"), MORE("data.norm=adaptive"), NULL, NULL));
    swg_model *model = open_run(ctx, &s, "center");
    assert_int_equal(evaluate(ctx, model, MORE(small), NULL, &e), SWG_ESHAPE);
    assert_message(ctx, "small.h5", "U_CHI", "4 values per axis", "model's 5");
    assert_null(e.rows);
    /* A normaliser with a parameter per variable has none for this one. */
    assert_int_equal(evaluate(ctx, model, MORE(five), NULL, &e), SWG_ENOTFOUND);
    assert_message(ctx, "U_ALPHA", "adaptive", "fitted without it", "data.vars");
    swg_model_close(model);
    /* 7^3 network, 5^3 data. */
    assert_ok(ctx, train(ctx, s.folder, "full", scratch_path(&s, "a.h5"), MORE("data.block=full"), NULL, NULL));
    model = open_run(ctx, &s, "full");
    assert_int_equal(evaluate(ctx, model, MORE(five), NULL, &e), SWG_ESHAPE);
    assert_message(ctx, "five.h5", "U_ALPHA", "5 values per axis", "model takes 7");
    assert_int_equal(evaluate(ctx, model, MORE("data.path=nowhere.h5"), NULL, &e), SWG_ENOTFOUND);
    assert_ok(ctx, evaluate(ctx, model, NULL, NULL, &e));
    assert_close(value(&e.rows[0].original, SWG_METRIC_VALUES), 40 * OCTANT, 0, 0);
    swg_evaluation_free(ctx, &e);
    swg_model_close(model);
    remove_tree(in_run(s.folder, "center", ""));
    remove_tree(in_run(s.folder, "full", ""));
    scratch_close(&s, ctx, 3);
}

/* ---- threads, batches, CSV, memory ---- */

static void count_progress(void *user, int64_t done, int64_t total) {
    int64_t *last = user;
    assert_true(done > last[0] && done <= total);
    last[0] = done;
    last[1] = total;
}

static void threads_do_not_matter(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &(octants){.count = 250, .variables = 3});
    assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), MORE("trainer.epochs=1"), NULL, NULL));
    swg_metrics first = {0};
    for (int threads = 1; threads <= 3; threads++) {
        swg_context *own;
        assert_ok(ctx, swg_context_open(&(swg_context_opts){.threads = threads}, &own));
        swg_model *model = open_run(own, &s, "run");
        swg_evaluation e;
        int64_t seen[2] = {0};
        assert_ok(own, swg_evaluate(own, model, NULL, &(swg_evaluate_opts){.progress = count_progress, .user = seen}, &e));
        assert_int_equal(seen[0], 750);
        assert_int_equal(seen[1], 750);
        if (threads == 1)
            first = e.rows[3].original;
        for (int m = 0; m < SWG_METRICS; m++)
            assert_memory_equal(&first.value[m], &e.rows[3].original.value[m], sizeof(double));
        swg_evaluation_free(own, &e);
        swg_model_close(model);
        assert_int_equal(swg_context_bytes(own), 0);
        swg_context_close(own);
    }
    remove_tree(in_run(s.folder, "run", ""));
    scratch_close(&s, ctx, 1);
}

static void writes_csv(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &(octants){.count = 40, .variables = 2});
    assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), MORE("trainer.epochs=1"), NULL, NULL));
    swg_model *model = open_run(ctx, &s, "run");
    swg_evaluation e;
    assert_ok(ctx, swg_evaluate(ctx, model, NULL, NULL, &e));
    assert_ok(ctx, swg_evaluation_write_csv(ctx, &e, scratch_path(&s, "e.csv")));
    uint8_t *text;
    size_t bytes;
    assert_ok(ctx, swg__file_read(ctx, scratch_path(&s, "e.csv"), &text, &bytes));
    int lines = 0, commas = -1;
    for (char *line = (char *)text; *line; line = strchr(line, '\n') + 1, lines++) {
        int found = 0;
        for (char *p = line; *p != '\n'; p++)
            found += *p == ',';
        commas = lines ? commas : found;
        assert_int_equal(found, commas);
        if (lines == 0)
            assert_non_null(strstr(line, "variable,scale,blocks,"));
        if (lines == 1) {
            char want[64];
            assert_int_equal(strncmp(line, "U_CHI,original,40,0,20000,", 26), 0);
            snprintf(want, sizeof want, ",%.17g,", e.rows[0].original.value[SWG_METRIC_MSE]);
            assert_non_null(strstr(line, want));
        }
    }
    assert_int_equal(lines, 1 + 2 * 3);
    swg__free(ctx, text);
    static const struct { const char *name, *field; } names[] = {{"a,b", "\"a,b\""}, {"a\"b", "\"a\"\"b\""}, {"a\nb", "\"a\nb\""}, {"\r", "\"\r\""}, {"a b", "a b"}};
    char *variable = e.rows[0].variable;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[8], want[32];
        snprintf(name, sizeof name, "%s", names[i].name);
        e.rows[0].variable = name;
        assert_ok(ctx, swg_evaluation_write_csv(ctx, &e, scratch_path(&s, "e.csv")));
        assert_ok(ctx, swg__file_read(ctx, scratch_path(&s, "e.csv"), &text, &bytes));
        snprintf(want, sizeof want, "\n%s,original,40,0,", names[i].field);
        assert_non_null(strstr((char *)text, want));
        snprintf(want, sizeof want, "\n%s,normalised,40,0,", names[i].field);
        assert_non_null(strstr((char *)text, want));
        swg__free(ctx, text);
    }
    e.rows[0].variable = variable;
    assert_int_equal(swg_evaluation_write_csv(ctx, &e, scratch_path(&s, "none/e.csv")), SWG_ENOTFOUND);
    swg_evaluation_free(ctx, &e);
    swg_model_close(model);
    remove_tree(in_run(s.folder, "run", ""));
    scratch_close(&s, ctx, 2);
}

static void out_of_memory(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &(octants){.count = 20, .variables = 2});
    assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), MORE("trainer.epochs=1", "model.hidden=[4]"), NULL, NULL));
    bool done = false;
    for (int64_t n = 0; !done; n++) {
        testing_allocator allocator = {.fail_at = -1};
        swg_context *own;
        assert_ok(ctx, swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &allocator}}, &own));
        swg_model *model = open_run(own, &s, "run");
        int64_t before = allocator.calls;
        allocator.fail_at = before + n;
        swg_evaluation e;
        swg_status status = swg_evaluate(own, model, NULL, &(swg_evaluate_opts){.part = "train"}, &e);
        if (status == SWG_OK)
            status = swg_evaluation_write_csv(own, &e, scratch_path(&s, "e.csv"));
        done = allocator.calls <= before + n;
        assert_int_equal(status, done ? SWG_OK : SWG_ENOMEM);
        swg_evaluation_free(own, &e);
        swg_model_close(model);
        assert_int_equal(swg_context_bytes(own), 0);
        swg_context_close(own);
        assert_int_equal(allocator.live, 0);
    }
    remove_tree(in_run(s.folder, "run", ""));
    scratch_close(&s, ctx, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(figures_are_those_of_a_plain_loop, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(ratios_of_the_specification, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(padding_is_not_compared, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(parts_are_those_of_the_run, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(odd_blocks_are_counted, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(infinite_reconstructions_are_counted, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refuses_what_does_not_fit, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(threads_do_not_matter, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(writes_csv, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(out_of_memory, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
