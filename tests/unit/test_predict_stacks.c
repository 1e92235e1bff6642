/* test_predict_stacks.c - proves of whole stacks: arrays and files give the same; results do not depend on batches, threads and neighbours; whole axes and small
 * images are padded and cropped as said; files hold what type, scale, threshold and box ask for; objects are those of the masks; what is complete stays, what is not
 * leaves no trace; evaluation counts what prediction gives.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cyto_testing.h"
#include "swage/evaluate.h"
#include "swage/features.h"
#include "swage/stack.h"
#include "volumes_testing.h"

/* Results are TIFF. */
static bool writable(void) {
    const swg_feature *feature;
    for (int64_t i = 0; (feature = swg_feature_at(i)); i++)
        if (feature->version && strcmp(feature->name, "libtiff") == 0)
            return true;
    return false;
}

/* 3-D networks, trained for a moment. Nothing is normalised, so that a padded image is prepared as its inside is. */
static const cyto_case two_heads = {"cyto/segmentation", {"model.spatial_dims=3", "data.patch=[8,16,16]", "data.source=raw layout=CZYX", "data.target=[\"seg\", \"raw\"]",
                                                          "model.heads=[\"mask\", \"dye loss=mse\"]"}};
static const cyto_case finer = {"cyto/gan_superres", {"model.spatial_dims=3", "data.patch=[4,8,8]", "data.source=seg layout=CZYX",
                                                      "data.target=[deep percentile=0.01:99.99 scale=2]", "model.scale=2"}};
static const cyto_case tokens = {"cyto/mae", {"model.spatial_dims=3", "data.patch=[8,16,16]", "data.source=raw layout=CZYX"}};

static swg_model *trained(swg_context *ctx, const cyto_case *k, scratch *s) {
    cells c;
    swg_config *config;
    swg_model *model;
    cells_open(&c, DEPTH);
    float *deep = malloc(CELLS * VOXELS * 8 * sizeof *deep);
    for (int i = 0; i < CELLS * VOXELS * 8; i++)
        deep[i] = c.fine[i / 2];
    swg_train_array arrays[] = {c.arrays[0], c.arrays[1], c.arrays[2], c.arrays[3], c.arrays[0], c.arrays[1]};
    for (int i = 4; i < 6; i++) {
        arrays[i] = cell_array("deep", deep, i == 4, 2 * DEPTH, 2 * SIDE);
    }
    assert_ok(ctx, open_cyto(ctx, k, s->folder, "run", MORE("trainer.max_epochs=1"), &config));
    assert_ok(ctx, swg_train_arrays(ctx, config, arrays, 6, NULL, NULL));
    swg_config_close(config);
    assert_ok(ctx, swg_model_open(ctx, in_run(s->folder, "run", ""), &model));
    free(deep);
    cells_close(&c);
    return model;
}

static float *make_image(const int64_t d[3], int number) {
    float *x = malloc((size_t)(d[0] * d[1] * d[2]) * sizeof *x), *at = x;
    for (int z = 0; z < d[0]; z++)
        for (int y = 0; y < d[1]; y++)
            for (int k = 0; k < d[2]; k++)
                *at++ = cell_value(number, z, y, k);
    return x;
}

/* (d0, d1, d2) inside of (e0, e1, e2) from `start` on: voxel i of the large one is voxel i - start of the small one, the nearest, or 0. */
static float *pad_image(const float *x, const int64_t d[3], const int64_t e[3], const int64_t start[3], bool replicate) {
    float *out = calloc((size_t)(e[0] * e[1] * e[2]), sizeof *out);
    for (int64_t i = 0; i < e[0] * e[1] * e[2]; i++) {
        int64_t at[3] = {i / (e[1] * e[2]) - start[0], i / e[2] % e[1] - start[1], i % e[2] - start[2]};
        bool inside = true;
        for (int a = 0; a < 3; a++) {
            inside = inside && at[a] >= 0 && at[a] < d[a];
            at[a] = at[a] < 0 ? 0 : at[a] >= d[a] ? d[a] - 1 : at[a];
        }
        if (inside || replicate)
            out[i] = x[(at[0] * d[1] + at[1]) * d[2] + at[2]];
    }
    return out;
}

static void predict(swg_context *ctx, swg_model *model, const int64_t d[3], const float *x, const swg_predict_stacks_opts *opts, swg_prediction *out) {
    assert_ok(ctx, swg_predict_stack(ctx, model, (int64_t[]){1, d[0], d[1], d[2]}, x, opts, out));
}

/* A channel of a file as floats. Free with free(). */
static float *read_file(swg_context *ctx, const char *path, swg_element element, const int64_t d[4]) {
    swg_stack *stack;
    float *x = malloc((size_t)(d[0] * d[1] * d[2] * d[3]) * sizeof *x);
    assert_ok(ctx, swg_stack_open(ctx, path, NULL, &stack));
    const swg_stack_info *i = swg_stack_about(stack);
    assert_int_equal(i->element, element);
    assert_true(i->t == 1 && i->c == d[0] && i->z == d[1] && i->y == d[2] && i->x == d[3]);
    assert_ok(ctx, swg_stack_read(stack, &(swg_stack_box){0}, x));
    swg_stack_close(stack);
    return x;
}

static void put_image(swg_context *ctx, scratch *s, const char *name, const int64_t d[3], const float *x) {
    put_npy(ctx, s, name, SWG_ELEMENT_F32, 4, (int64_t[]){1, d[0], d[1], d[2]}, x);
}

/* Files predicted with `opts` under out/; what was there is removed first. */
static void predict_files(swg_context *ctx, swg_model *model, scratch *s, const char *input, const swg_predict_stacks_opts *opts, swg_predict_stacks_result *result) {
    char in[400];
    snprintf(in, sizeof in, "%s", scratch_path(s, input));
    remove_tree(in_run(s->folder, "out", ""));
    assert_ok(ctx, swg_predict_stacks(ctx, model, NULL, in, in_run(s->folder, "out", ""), opts, result));
}

static void files_are_arrays(void **state) {
    swg_context *ctx = *state;
    static const cyto_case *const cases[] = {&two_heads, &finer, &tokens};
    static const int64_t d[3] = {10, 21, 30};
    scratch s;
    if (!writable())
        skip();
    scratch_open(&s);
    float *x = make_image(d, 3);
    for (int k = 0; k < 3; k++) {
        swg_model *model = trained(ctx, cases[k], &s);
        swg_predict_stacks_opts opts = {.overlap = .25, .type = SWG_ELEMENT_F32};
        swg_predict_stacks_result result;
        swg_prediction p;
        const int64_t scale = k == 1 ? 2 : 1;
        put_image(ctx, &s, "a.npy", d, x);
        predict(ctx, model, d, x, &opts, &p);
        predict_files(ctx, model, &s, "a.npy", &opts, &result);
        assert_int_equal(p.heads, 2 - k);
        assert_true(result.images == 1 && result.written == 1 && result.skipped == 0 && result.windows > 1);
        for (int h = 0; h < p.heads; h++) {
            char name[64];
            const int64_t want[4] = {1, scale * d[0], scale * d[1], scale * d[2]};
            assert_memory_equal(p.dims[h], want, sizeof want);
            snprintf(name, sizeof name, "%s/a.tif", p.name[h]);
            float *y = read_file(ctx, in_run(s.folder, "out", name), SWG_ELEMENT_F32, want);
            assert_memory_equal(y, p.values[h], (size_t)(want[1] * want[2] * want[3]) * sizeof *y);
            free(y);
        }
        if (k < 2) {
            assert_string_equal(p.name[0], k ? "superres" : "mask");
        } else { /* one row of the mean over windows and tokens */
            uint8_t *text;
            size_t bytes;
            assert_ok(ctx, swg__file_read(ctx, in_run(s.folder, "out", "embeddings.csv"), &text, &bytes));
            char *at = strstr((char *)text, "\na,");
            assert_non_null(at);
            at += 2;
            assert_int_equal(p.dims[0][0], 16);
            for (int i = 0; i < 16; i++)
                assert_true((float)strtod(at + 1, &at) == p.values[0][i]);
            assert_int_equal(*at, '\n');
            swg__free(ctx, text);
        }
        swg_prediction_free(ctx, &p);
        swg_model_close(model);
        remove_tree(in_run(s.folder, "run", ""));
        remove_tree(in_run(s.folder, "out", ""));
    }
    free(x);
    scratch_close(&s, ctx, 1);
}

/* Windows of several images share batches; each image is what it is alone. */
static void nothing_else_matters(void **state) {
    swg_context *ctx = *state;
    static const int64_t d[3][3] = {{8, 20, 33}, {13, 16, 16}, {5, 40, 11}};
    static const struct { int64_t batch; int threads; } ways[] = {{1, 4}, {3, 1}, {4, 2}, {16, 3}};
    float *x[3], *alone[3];
    scratch s;
    if (!writable())
        skip();
    scratch_open(&s);
    swg_model *model = trained(ctx, &two_heads, &s);
    assert_ok(ctx, swg__make_folders(ctx, scratch_path(&s, "in")));
    for (int i = 0; i < 3; i++) {
        swg_prediction p;
        x[i] = make_image(d[i], i);
        put_image(ctx, &s, (const char *[]){"in/a.npy", "in/b.npy", "in/c.npy"}[i], d[i], x[i]);
        predict(ctx, model, d[i], x[i], &(swg_predict_stacks_opts){.overlap = .5}, &p);
        alone[i] = malloc((size_t)(d[i][0] * d[i][1] * d[i][2]) * sizeof(float));
        memcpy(alone[i], p.values[1], (size_t)(d[i][0] * d[i][1] * d[i][2]) * sizeof(float));
        swg_prediction_free(ctx, &p);
    }
    swg_model_close(model);
    for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
        swg_context *own;
        swg_model *opened;
        assert_ok(ctx, swg_context_open(&(swg_context_opts){.threads = ways[k].threads}, &own));
        assert_ok(own, swg_model_open(own, in_run(s.folder, "run", ""), &opened));
        predict_files(own, opened, &s, "in", &(swg_predict_stacks_opts){.overlap = .5, .batch = ways[k].batch}, NULL);
        for (int i = 0; i < 3; i++) {
            const int64_t dims[4] = {1, d[i][0], d[i][1], d[i][2]};
            float *y = read_file(own, in_run(s.folder, "out", (const char *[]){"dye/a.tif", "dye/b.tif", "dye/c.tif"}[i]), SWG_ELEMENT_F32, dims);
            assert_memory_equal(y, alone[i], (size_t)(d[i][0] * d[i][1] * d[i][2]) * sizeof *y);
            free(y);
        }
        swg_model_close(opened);
        assert_int_equal(swg_context_bytes(own), 0);
        swg_context_close(own);
    }
    for (int i = 0; i < 3; i++) {
        free(x[i]);
        free(alone[i]);
    }
    remove_tree(in_run(s.folder, "run", ""));
    remove_tree(in_run(s.folder, "out", ""));
    remove_tree(in_run(s.folder, "in", ""));
    scratch_close(&s, ctx, 0);
}

/* Both predictions agree where the small image lies in the large one. */
static void assert_inside(const swg_prediction *small, const swg_prediction *large, const int64_t start[3], int64_t scale) {
    for (int h = 0; h < small->heads; h++) {
        const int64_t *d = small->dims[h] + 1, *e = large->dims[h] + 1;
        for (int64_t z = 0; z < d[0]; z++)
            for (int64_t y = 0; y < d[1]; y++)
                assert_memory_equal(small->values[h] + (z * d[1] + y) * d[2],
                                    large->values[h] + ((z + scale * start[0]) * e[1] + y + scale * start[1]) * e[2] + scale * start[2], (size_t)d[2] * sizeof(float));
    }
}

static void pads_and_crops(void **state) {
    swg_context *ctx = *state;
    static const cyto_case *const cases[] = {&two_heads, &finer};
    static const int64_t odd[3] = {7, 22, 17}, even[3] = {8, 24, 20}, none[3] = {0}, thin[3] = {3, 30, 5};
    scratch s;
    scratch_open(&s);
    for (int k = 0; k < 2; k++) {
        swg_model *model = trained(ctx, cases[k], &s);
        const int64_t patch[3] = {k ? 4 : 8, k ? 8 : 16, k ? 8 : 16}, scale = k ? 2 : 1;
        swg_prediction p, q;
        /* whole axes: replicated at the high end to a multiple of 4 */
        float *x = make_image(odd, 1), *large = pad_image(x, odd, even, none, true);
        const swg_predict_stacks_opts whole = {.roi = {-1, -1, -1}};
        predict(ctx, model, odd, x, &whole, &p);
        predict(ctx, model, even, large, &whole, &q);
        assert_inside(&p, &q, none, scale);
        swg_prediction_free(ctx, &p);
        swg_prediction_free(ctx, &q);
        free(x);
        free(large);
        /* axes shorter than a window: zeros, the smaller half in front */
        x = make_image(thin, 2);
        const int64_t grown[3] = {patch[0], 30, patch[2]}, start[3] = {(patch[0] - thin[0]) / 2, 0, (patch[2] - thin[2]) / 2};
        large = pad_image(x, thin, grown, start, false);
        predict(ctx, model, thin, x, &(swg_predict_stacks_opts){.overlap = .5}, &p);
        predict(ctx, model, grown, large, &(swg_predict_stacks_opts){.overlap = .5}, &q);
        assert_inside(&p, &q, start, scale);
        swg_prediction_free(ctx, &p);
        swg_prediction_free(ctx, &q);
        free(x);
        free(large);
        swg_model_close(model);
        remove_tree(in_run(s.folder, "run", ""));
    }
    scratch_close(&s, ctx, 0);
}

/* A box: whole windows that meet it, the rest 0. */
static void boxes(void **state) {
    swg_context *ctx = *state;
    static const int64_t d[3] = {8, 32, 32};
    scratch s;
    scratch_open(&s);
    swg_model *model = trained(ctx, &two_heads, &s);
    float *x = make_image(d, 4);
    swg_prediction all, part;
    predict(ctx, model, d, x, NULL, &all);
    predict(ctx, model, d, x, &(swg_predict_stacks_opts){.boxed = true, .box = {{2, 3}, {3, 9}, {17, 30}}}, &part);
    for (int64_t i = 0; i < 8 * 32 * 32; i++) {
        const bool met = i / 32 % 32 < 16 && i % 32 >= 16;
        assert_true(part.values[0][i] == (met ? all.values[0][i] : 0));
        assert_true(all.values[0][i] > 0 && all.values[0][i] < 1);
    }
    swg_prediction_free(ctx, &all);
    swg_prediction_free(ctx, &part);
    free(x);
    swg_model_close(model);
    remove_tree(in_run(s.folder, "run", ""));
    scratch_close(&s, ctx, 0);
}

/* What a file holds for a prediction. */
static double stored(double v, swg_element type, double low, double high) {
    const double top = type == SWG_ELEMENT_U8 ? 255 : 65535;
    if (type == SWG_ELEMENT_F32)
        return v;
    v = high > low ? (v - low) / (high - low) * top : 0;
    return floor(fmin(fmax(v, 0), top) + .5);
}

static void values_of_files(void **state) {
    swg_context *ctx = *state;
    static const int64_t d[3] = {8, 20, 24};
    static const struct { const cyto_case *k; const char *head; swg_predict_stacks_opts opts; swg_element type; bool minmax, cut; double low, high; } cases[] = {
        {&two_heads, "mask", {.overlap = 0}, SWG_ELEMENT_U8, false, false, 0, 1},
        {&two_heads, "dye", {.overlap = 0}, SWG_ELEMENT_F32, false, false, 0, 1},
        {&two_heads, "mask", {.minmax = true, .type = SWG_ELEMENT_U8}, SWG_ELEMENT_U8, true, false, 0, 0},
        {&two_heads, "dye", {.minmax = true, .type = SWG_ELEMENT_U16}, SWG_ELEMENT_U16, true, false, 0, 0},
        {&two_heads, "mask", {.thresholded = true, .threshold = .5, .type = SWG_ELEMENT_U16}, SWG_ELEMENT_U16, false, true, 0, 1},
        {&two_heads, "dye", {.thresholded = true, .threshold = .01, .type = SWG_ELEMENT_F32}, SWG_ELEMENT_F32, false, true, 0, 1},
        {&finer, "superres", {.overlap = 0}, SWG_ELEMENT_U8, false, false, -1, 1},
        {&finer, "superres", {.type = SWG_ELEMENT_U16}, SWG_ELEMENT_U16, false, false, -1, 1},
    };
    scratch s;
    if (!writable())
        skip();
    scratch_open(&s);
    float *x = make_image(d, 5);
    put_image(ctx, &s, "a.npy", d, x);
    swg_model *model = NULL;
    swg_prediction p = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (i == 0 || cases[i].k != cases[i - 1].k) {
            swg_prediction_free(ctx, &p);
            swg_model_close(model);
            remove_tree(in_run(s.folder, "run", ""));
            model = trained(ctx, cases[i].k, &s);
            predict(ctx, model, d, x, NULL, &p);
        }
        const int h = strcmp(cases[i].head, "dye") == 0;
        const int64_t *dims = p.dims[h], count = dims[1] * dims[2] * dims[3];
        char name[64];
        double low = cases[i].low, high = cases[i].high;
        const float *v = p.values[h];
        for (int64_t k = 0; k < count && cases[i].minmax; k++) {
            low = k && (double)v[k] > low ? low : (double)v[k];
            high = k && (double)v[k] < high ? high : (double)v[k];
        }
        predict_files(ctx, model, &s, "a.npy", &cases[i].opts, NULL);
        snprintf(name, sizeof name, "%s/a.tif", cases[i].head);
        float *y = read_file(ctx, in_run(s.folder, "out", name), cases[i].type, dims);
        int64_t off = 0, ones = 0;
        for (int64_t k = 0; k < count; k++) {
            const double top = cases[i].type == SWG_ELEMENT_F32 ? 1 : cases[i].type == SWG_ELEMENT_U8 ? 255 : 65535;
            const double want = cases[i].cut ? (double)v[k] > cases[i].opts.threshold ? top : 0 : stored((double)v[k], cases[i].type, low, high);
            if (fabs(want - (double)y[k]) > (cases[i].cut || cases[i].type == SWG_ELEMENT_F32 ? 0 : 1))
                fail_msg("case %zu, voxel %lld: %.9g is stored as %g, expected %g", i, (long long)k, (double)v[k], (double)y[k], want);
            off += want != (double)y[k]; /* f32 arithmetic at a half */
            ones += y[k] > 0;
        }
        assert_true(off * 100 <= count);
        assert_true(ones > 0 && (!cases[i].cut || ones < count));
        free(y);
    }
    swg_prediction_free(ctx, &p);
    swg_model_close(model);
    free(x);
    remove_tree(in_run(s.folder, "run", ""));
    remove_tree(in_run(s.folder, "out", ""));
    scratch_close(&s, ctx, 1);
}

/* Labels are those of the mask; evaluation finds the same objects and the same overlap. */
static void objects(void **state) {
    swg_context *ctx = *state;
    static const int64_t d[3] = {8, 20, 24};
    enum { COUNT = 8 * 20 * 24 };
    static uint32_t labels[COUNT];
    static float truth[COUNT], ids[COUNT];
    scratch s;
    if (!writable())
        skip();
    scratch_open(&s);
    swg_model *model = trained(ctx, &two_heads, &s);
    float *x = make_image(d, 6);
    put_image(ctx, &s, "a.npy", d, x);
    swg_prediction p;
    swg_predict_stacks_result result;
    swg_instances_opts how;
    swg_instances_result found;
    swg_overlap overlap = {0};
    predict(ctx, model, d, x, NULL, &p);
    swg_instances_defaults(&how);
    float middle = 0; /* a level that cuts the mask up */
    for (int i = 0; i < COUNT; i++)
        middle += p.values[0][i] / COUNT;
    how.threshold = (double)middle;
    assert_ok(ctx, swg_instances_find(ctx, d, p.values[0], &how, labels, &found));
    assert_true(found.objects > 1);
    predict_files(ctx, model, &s, "a.npy", &(swg_predict_stacks_opts){.instances = &how}, &result);
    assert_int_equal(result.objects, found.objects);
    float *y = read_file(ctx, in_run(s.folder, "out", "mask_instances/a.tif"), SWG_ELEMENT_U16, (int64_t[]){1, d[0], d[1], d[2]});
    for (int i = 0; i < COUNT; i++) {
        assert_true((uint32_t)y[i] == labels[i]);
        truth[i] = x[i] > .2f;
        ids[i] = (float)(labels[i] == 1 ? 70000 : labels[i] == 2 ? 70000 - 65536 : labels[i] ? labels[i] + 100000 : 0); /* apart beyond 16 bits only */
    }
    free(y);
    assert_false(swg__exists(in_run(s.folder, "out", "dye_instances")));
    swg_overlap_add(&overlap, truth, p.values[0], COUNT);
    /* the same by evaluation */
    put_image(ctx, &s, "m.npy", d, truth);
    put_image(ctx, &s, "i.npy", d, ids);
    put_text(ctx, &s, "all.csv", "raw,seg,ids,split\na.npy,m.npy,i.npy,test\n");
    const char *yaml;
    char path[400];
    swg_config *config;
    swg_stack_evaluation e;
    snprintf(path, sizeof path, "data.path=%s/all.csv", s.folder);
    const char *const changes[] = {path, "data.labels=ids labels layout=CZYX", "data.target=[\"seg layout=CZYX\", \"raw layout=CZYX\"]"};
    assert_ok(ctx, swg_config_yaml(swg_model_config(model), &yaml));
    assert_ok(ctx, swg_config_open_text(ctx, yaml, "run", &(swg_config_opts){.overrides = changes, .override_count = 3}, &config));
    assert_ok(ctx, swg_evaluate_stacks(ctx, model, config, &(swg_stack_evaluate_opts){.instances = &how}, &e));
    assert_true(e.images == 1 && e.count == 4 && e.heads == 2 && e.scored[0] && !e.scored[1]);
    assert_close(swg_overlap_dice(&e.rows[0].overlap), swg_overlap_dice(&overlap), 0, 1e-12);
    assert_close(swg_overlap_dice(&e.rows[2].overlap), swg_overlap_dice(&overlap), 0, 1e-12);
    assert_close(swg_instance_ap(&e.rows[0].objects, 0), 1, 0, 0);
    assert_close(swg_instance_count_error(&e.rows[0].objects), 0, 0, 0);
    assert_string_equal(e.rows[2].image, "all");
    double square = 0;
    for (int i = 0; i < COUNT; i++)
        square += pow((double)(p.values[1][i] - x[i]), 2) / COUNT;
    assert_close(swg_image_mse(&e.rows[1].quality), square, 0, 1e-6);
    swg_stack_evaluation_free(ctx, &e);
    swg_config_close(config);
    swg_prediction_free(ctx, &p);
    swg_model_close(model);
    free(x);
    remove_tree(in_run(s.folder, "run", ""));
    remove_tree(in_run(s.folder, "out", ""));
    scratch_close(&s, ctx, 4);
}

static int64_t count_files(swg_context *ctx, const char *folder) {
    char **names;
    size_t count;
    if (!swg__exists(folder))
        return 0;
    assert_ok(ctx, swg__list_folder(ctx, folder, &names, &count));
    swg__list_free(ctx, names, count);
    return (int64_t)count;
}

typedef struct stopper { volatile sig_atomic_t flag; int64_t at; } stopper;

static void stop_at(void *user, int64_t done, int64_t total) {
    stopper *s = user;
    (void)total;
    s->flag = done >= s->at;
}

/* A stop or a bad image in the middle: what was complete stays, and the rest is done by the next call. */
static void half_finished(void **state) {
    swg_context *ctx = *state;
    static const int64_t d[3] = {8, 32, 32};
    static const char *const names[] = {"in/a.npy", "in/b.npy", "in/c.npy"};
    scratch s;
    if (!writable())
        skip();
    scratch_open(&s);
    swg_model *model = trained(ctx, &two_heads, &s);
    char in[128], out[128];
    swg_predict_stacks_result result;
    snprintf(in, sizeof in, "%s/in", s.folder);
    snprintf(out, sizeof out, "%s/out", s.folder);
    assert_ok(ctx, swg__make_folders(ctx, in));
    float *x[3];
    for (int i = 0; i < 3; i++) {
        x[i] = make_image(d, i);
        put_image(ctx, &s, names[i], d, x[i]);
    }
    stopper stop = {.at = 6}; /* four windows each: in the middle of the second */
    swg_predict_stacks_opts opts = {.progress = stop_at, .stop = &stop.flag, .user = &stop};
    assert_int_equal(swg_predict_stacks(ctx, model, NULL, in, out, &opts, &result), SWG_EINTERRUPTED);
    assert_int_equal(result.written, 1);
    assert_int_equal(count_files(ctx, in_run(out, "mask", "")), 1);
    assert_int_equal(count_files(ctx, in_run(out, "dye", "")), 1);
    x[2][77] = NAN;
    put_image(ctx, &s, names[2], d, x[2]);
    assert_int_equal(swg_predict_stacks(ctx, model, NULL, in, out, NULL, &result), SWG_ENONFINITE);
    assert_message(ctx, "c.npy", "data.nonfinite=zero");
    assert_true(result.skipped == 1 && result.written == 1);
    assert_int_equal(count_files(ctx, in_run(out, "mask", "")), 2);
    x[2][77] = 0;
    put_image(ctx, &s, names[2], d, x[2]);
    assert_int_equal(unlink(in_run(out, "dye", "a.tif")), 0); /* one head of an image: the image is done again */
    assert_ok(ctx, swg_predict_stacks(ctx, model, NULL, in, out, NULL, &result));
    assert_true(result.skipped == 1 && result.written == 2 && result.images == 3);
    assert_int_equal(count_files(ctx, in_run(out, "dye", "")), 3);
    assert_ok(ctx, swg_predict_stacks(ctx, model, NULL, in, out, NULL, &result));
    assert_true(result.skipped == 3 && result.written == 0 && result.windows == 0);
    assert_int_equal(swg_predict_stacks(ctx, model, NULL, in, out, &(swg_predict_stacks_opts){.existing = SWG_EXISTING_ERROR}, &result), SWG_EINVAL);
    assert_message(ctx, "stands there already");
    /* wrong options */
    const struct { swg_predict_stacks_opts opts; swg_status status; const char *word; } wrong[] = {
        {{.overlap = 1}, SWG_EINVAL, "overlap 1"},       {{.overlap = NAN}, SWG_EINVAL, "overlap"},
        {{.batch = -1}, SWG_EINVAL, "-1 windows"},       {{.type = SWG_ELEMENT_I32}, SWG_EINVAL, "u8, u16 or f32"},
        {{.type = SWG_ELEMENT_U8}, SWG_EINVAL, "dye"},   {{.roi = {8, 18, 16}}, SWG_EUSAGE, "18 does not divide by 4"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        swg_predict_stacks_opts o = wrong[i].opts;
        o.existing = SWG_EXISTING_REPLACE;
        if (swg_predict_stacks(ctx, model, NULL, in, out, &o, NULL) != wrong[i].status)
            fail_msg("case %zu: %s", i, swg_context_message(ctx));
        assert_message(ctx, wrong[i].word);
    }
    swg_prediction p;
    assert_int_equal(swg_predict_stack(ctx, model, (int64_t[]){2, 8, 32, 16}, x[0], NULL, &p), SWG_EINVAL);
    assert_message(ctx, "channel");
    assert_true(p.heads == 0 && !p.values[0]);
    for (int i = 0; i < 3; i++)
        free(x[i]);
    swg_model_close(model);
    remove_tree(in_run(s.folder, "run", ""));
    remove_tree(in);
    remove_tree(out);
    scratch_close(&s, ctx, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_are_arrays, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(nothing_else_matters, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(pads_and_crops, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(boxes, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(values_of_files, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(objects, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(half_finished, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
