/* test_tfswa.c - proves: TFSWA-UNet has the shapes, parameters and multiply-adds of tfswa.md, section 3.1, row by row; its parts give the numbers
 * of section 10; weights start as promised; masks of one give back the mixture, of zero silence; what does not fit is refused by name, and running out
 * of memory leaves nothing behind.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "golden_net.h"
#include "swage/tfswa.h"

static swg_layers layers_of(swg_context *ctx, const swg_tfswa *m, int64_t f, int64_t t) {
    swg_layers l;
    assert_ok(ctx, swg_tfswa_layers(ctx, m, (int64_t[]){1, m->in, f, t}, &l));
    return l;
}

static const swg_layer *last_below(const swg_layers *layers, const char *scope) {
    const swg_layer *last = NULL;
    size_t length = strlen(scope);
    for (int64_t i = 0; i < layers->count; i++)
        if (strncmp(layers->rows[i].name, scope, length) == 0 && (layers->rows[i].name[length] == '/' || !layers->rows[i].name[length]))
            last = &layers->rows[i];
    return last;
}

/* ---- the tables of section 3.1 ---- */

static const struct row { const char *part; int64_t channels, f, t, parameters; } rows[] = {
    {"stem", 32, 1025, 259, 3232},     {"enc0", 32, 1025, 259, 84224},  {"down0", 64, 512, 129, 32960},  {"enc1", 64, 512, 129, 332288},
    {"down1", 128, 256, 64, 131456},   {"enc2", 128, 256, 64, 3959808}, {"down2", 256, 128, 32, 525056}, {"bottleneck", 256, 128, 32, 5261312},
    {"up2", 128, 256, 64, 524672},     {"dec2", 128, 256, 64, 3959808}, {"up1", 64, 512, 129, 131264},   {"dec1", 64, 512, 129, 332288},
    {"up0", 32, 1025, 259, 32864},     {"dec0", 32, 1025, 259, 84224},  {"head", 32, 1025, 259, 9312},   {"output", 2, 1025, 259, 66},
};

static void every_row(void **state) {
    swg_context *ctx = *state;
    const swg_tfswa m = swg_tfswa_unet();
    swg_layers l = layers_of(ctx, &m, 1025, 259);
    int64_t parameters = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *want = &rows[i];
        const swg_layer *last = last_below(&l, want->part);
        assert_non_null(last);
        assert_int_equal(swg_layers_below(&l, want->part).parameters, want->parameters);
        const int64_t elements = want->channels * want->f * want->t;
        int64_t found = 1;
        for (int d = 0; d < last->ndim; d++)
            found *= last->shape[d];
        assert_int_equal(found, elements);
        parameters += want->parameters;
    }
    assert_int_equal(parameters, 15404834);
    assert_int_equal(l.total.parameters, 15404834);
    swg_layers_free(ctx, &l);
}


static const char *const units[] = {"attn_f", "attn_t", "window"};

static void every_block(void **state) {
    static const struct { const char *block; int64_t in, unit, out, block_parameters; } blocks[] = {
        {"enc0/block0", 1120, 12608, 3168, 42112}, {"enc1/block1", 4288, 49792, 12480, 166144},
        {"dec2/block5", 16768, 197888, 49536, 659968}, {"bottleneck/block1", 66304, 788992, 197376, 2630656},
    };
    swg_context *ctx = *state;
    const swg_tfswa m = swg_tfswa_unet();
    swg_layers l = layers_of(ctx, &m, 64, 64);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        char scope[64];
        int64_t ends[2] = {0};
        for (int out = 0; out < 2; out++)
            for (int norm = 0; norm < 2; norm++) {
                snprintf(scope, sizeof scope, "%s/%s_%s", blocks[i].block, norm ? "norm" : "conv", out ? "out" : "in");
                ends[out] += swg_layers_below(&l, scope).parameters;
            }
        assert_int_equal(ends[0], blocks[i].in);
        assert_int_equal(ends[1], blocks[i].out);
        for (int u = 0; u < 3; u++) {
            snprintf(scope, sizeof scope, "%s/%s", blocks[i].block, units[u]);
            assert_int_equal(swg_layers_below(&l, scope).parameters, blocks[i].unit);
        }
        assert_int_equal(swg_layers_below(&l, blocks[i].block).parameters, blocks[i].block_parameters);
    }
    int count = 0, attentions = 0, convolutions = 0;
    for (int64_t i = 0; i < l.count; i++) {
        const char *kind = l.rows[i].kind;
        count += golden_ends(l.rows[i].name, "/conv_in");
        attentions += strcmp(kind, "attention") == 0;
        convolutions += strcmp(kind, "conv") == 0;
        assert_true(strcmp(kind, "reshape") != 0); /* another shape of a layer is none */
    }
    assert_int_equal(count, 22);
    assert_int_equal(attentions, 3 * 22);
    assert_int_equal(convolutions, 2 * 22 + 1 + 3 + 2); /* 1-wide ones of rows, too */
    swg_layers_free(ctx, &l);
}

/* The columns of the table of multiply-adds. */
typedef enum column { STEM, RESAMPLE, HEAD, POINTWISE, ATTN_F, ATTN_T, WINDOW, COLUMNS } table_column;

static bool starts(const char *name, const char *with) { return strncmp(name, with, strlen(with)) == 0; }

static table_column column_of(const char *name) {
    for (int u = 0; u < 3; u++) {
        const char *at = strstr(name, units[u]);
        if (at && at > name && at[-1] == '/')
            return (table_column)(ATTN_F + u);
    }
    return starts(name, "stem") ? STEM : starts(name, "head") || starts(name, "output") ? HEAD : starts(name, "down") || starts(name, "up") ? RESAMPLE : POINTWISE;
}

static void multiply_adds(void **state) {
    static const struct { int64_t f, t, column[COLUMNS], total; } rows_of[] = { /* columns in millions */
        {1025, 259, {833, 12918, 2464, 23710, 171528, 96451, 82414}, 390317956480},
        {256, 512, {411, 6442, 1216, 11811, 47849, 60264, 40400}, 168392916992},
        {513, 259, {417, 6459, 1233, 11857, 60705, 48241, 41276}, 170188103040},
        {64, 64, {13, 201, 38, 369, 1204, 1204, 1262}, 4292345856},
    };
    swg_context *ctx = *state;
    const swg_tfswa m = swg_tfswa_unet();
    for (size_t i = 0; i < sizeof rows_of / sizeof *rows_of; i++) {
        swg_layers l = layers_of(ctx, &m, rows_of[i].f, rows_of[i].t);
        int64_t column[COLUMNS] = {0};
        for (int64_t r = 0; r < l.count; r++)
            column[column_of(l.rows[r].name)] += l.rows[r].macs;
        for (int c = 0; c < COLUMNS; c++)
            assert_int_equal((column[c] + 500000) / 1000000, rows_of[i].column[c]);
        assert_int_equal(l.total.macs, rows_of[i].total);
        if (i == 0) /* 1032 x 264 tokens in windows of 64 */
            assert_int_equal(last_below(&l, "enc0/block0/window/fc1")->shape[0], 1032 * 264);
        swg_layers_free(ctx, &l);
    }
    assert_int_equal(1032 * 264 / 64, 4257);
}

static int64_t parameters_of(swg_context *ctx, const swg_tfswa *m, int64_t *states) {
    swg_graph *g;
    swg_weights *w;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_tfswa_net(g, m, swg_input(g, "x", 4, (int64_t[]){2, m->in, 8, 8}));
    assert_ok(ctx, swg_weights_create(g, false, &w));
    int64_t count = swg_graph_parameters(g);
    *states = 0;
    for (int s = 0; s < swg_weights_states(w); s++)
        *states += swg_weights_state_shape(w, s)[0];
    swg_weights_destroy(w);
    swg_graph_destroy(g);
    return count;
}

static void counts(void **state) {
    swg_tfswa unet = swg_tfswa_unet(), small = swg_tfswa_small();
    int64_t states;
    assert_int_equal(parameters_of(*state, &unet, &states), 15404834);
    assert_int_equal(states, 11200);
    unet.in = unet.out = 4;
    assert_int_equal(parameters_of(*state, &unet, &states), 15408036);
    assert_int_equal(parameters_of(*state, &small, &states), 1119442);
    small.mlp_ratio = 4;
    assert_int_equal(parameters_of(*state, &small, &states), 1447186);
    static const char *const names[] = {"batch", "channel", "frequency", "time"};
    for (int i = 0; i < 4; i++)
        assert_string_equal(swg_tfswa_axis(i), names[i]);
    assert_null(swg_tfswa_axis(4));
    assert_null(swg_tfswa_axis(-1));
}

/* ---- how weights start ---- */

static void start(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_weights *w;
    const swg_tfswa m = swg_tfswa_small();
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_tfswa_net(g, &m, swg_input(g, "x", 4, (int64_t[]){1, 2, 16, 16}));
    assert_ok(ctx, swg_weights_create(g, false, &w));
    swg_weights_init(w, 7);
    int convolutions = 0, linears = 0;
    for (int p = 0; p < swg_weights_count(w); p++) {
        const char *name = swg_weights_name(w, p);
        const int64_t *shape = swg_weights_shape(w, p), n = golden_elements(w, p);
        const float *v = swg_weights_value(w, p);
        if (swg_weights_ndim(w, p) == 1) {
            const float want = golden_ends(name, "weight");
            for (int64_t i = 0; i < n; i++)
                if (v[i] != want)
                    fail_msg("%s starts with %g", name, (double)v[i]);
            continue;
        }
        const bool conv = swg_weights_ndim(w, p) == 4;
        convolutions += conv;
        linears += !conv;
        /* a normal cut at two deviations has 0.8796 of its deviation left. Axis 0 is Cout, of transposed convolutions Cin */
        const double want = conv ? sqrt(2. / (double)(shape[0] * shape[2] * shape[3])) : .02 * .87962566;
        double sum = 0, squares = 0, most = 0;
        for (int64_t i = 0; i < n; i++) {
            sum += (double)v[i];
            squares += (double)v[i] * (double)v[i];
            most = fmax(most, fabs((double)v[i]));
        }
        assert_close(sum / (double)n, 0, 5 * want / sqrt((double)n), 0);
        assert_close(sqrt(squares / (double)n), want, 5 * want / sqrt(2 * (double)n), 0);
        if (!conv && most > .04)
            fail_msg("%s: %g lies beyond two deviations", name, most);
    }
    assert_int_equal(convolutions, 1 + 3 + 3 + 2 + 2 * 7);
    assert_int_equal(linears, 7 * 3 * 4);
    swg_weights_destroy(w);
    swg_graph_destroy(g);
}

/* ---- numbers of section 10 ---- */

/* Values of `count` constants-only results in f64, one after another in `got`. */
static void evaluate(swg_context *ctx, swg_graph *g, const swg_value *results, int count, swg_weights *w, double *got) {
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = results, .output_count = count}, &plan));
    assert_ok(ctx, swg_plan_open(plan, w, NULL));
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    for (int i = 0; i < count; i++) {
        memcpy(got, swg_plan_data(plan, results[i]), (size_t)swg_elements(g, results[i]) * sizeof *got);
        got += swg_elements(g, results[i]);
    }
    swg_plan_destroy(plan);
}

static void near_all(const double *got, const double *want, int count) {
    for (int i = 0; i < count; i++)
        assert_close(got[i], want[i], 1e-12, 1e-11);
}

static swg_graph *graph64(swg_context *ctx) {
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = SWG_F64}, &g));
    return g;
}

static swg_value array(swg_graph *g, int ndim, const int64_t *shape, const double *values) { return swg_constant_array(g, ndim, shape, values); }

static const double tokens[12] = {.1, .2, -.3, .4, -.5, .6, .7, -.8, .9, -1, .11, .12};

static void attention_numbers(void **state) {
    swg_context *ctx = *state;
    swg_graph *g = graph64(ctx);
    swg_weights *w;
    double got[12 + 18];
    swg_value x = array(g, 3, (int64_t[]){1, 3, 4}, tokens), y = swg_multihead_attention(g, x, SWG_NONE, 2, NULL, "mhsa");
    assert_ok(ctx, swg_weights_create(g, false, &w));
    double *qkv = swg_weights_value(w, 0), *bias = swg_weights_value(w, 1), *proj = swg_weights_value(w, 2), *proj_bias = swg_weights_value(w, 3);
    for (int i = 0; i < 12; i++)
        for (int j = 0; j < 4; j++)
            qkv[4 * i + j] = ((7 * i + 3 * j) % 11 - 5) / 10.;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            proj[4 * i + j] = ((5 * i + 2 * j) % 9 - 4) / 10.;
    memset(bias, 0, 12 * sizeof *bias);
    memcpy(proj_bias, (double[]){.01, -.02, .03, -.04}, 4 * sizeof *proj_bias);
    /* the probabilities: what values that are rows of the identity become */
    double q[2][6], k[2][6], one[18] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1};
    for (int h = 0; h < 2; h++)
        for (int n = 0; n < 3; n++)
            for (int d = 0; d < 2; d++) {
                q[h][2 * n + d] = k[h][2 * n + d] = 0;
                for (int c = 0; c < 4; c++) {
                    q[h][2 * n + d] += tokens[4 * n + c] * qkv[4 * (2 * h + d) + c];
                    k[h][2 * n + d] += tokens[4 * n + c] * qkv[4 * (4 + 2 * h + d) + c];
                }
            }
    swg_value p = swg_attention(g, array(g, 4, (int64_t[]){1, 2, 3, 2}, q[0]), array(g, 4, (int64_t[]){1, 2, 3, 2}, k[0]),
                                array(g, 4, (int64_t[]){1, 2, 3, 3}, one), SWG_NONE, NULL);
    evaluate(ctx, g, (swg_value[]){y, p}, 2, w, got);
    near_all(got, (double[]){0.0227584823159, -0.0645320413133, 0.0401504292257, -0.0871400944035, 0.00749947820177, 0.0318391458128, 0.00823627153979,
                             -0.00742406084923, 0.000653343389048, -0.0364412899633, 0.0314178409266, -0.0456767924257}, 12);
    near_all(got + 12, (double[]){0.316825723637, 0.370047917549, 0.313126358815}, 3);
    near_all(got + 12 + 9, (double[]){0.335396936574, 0.384113390335, 0.280489673091}, 3);
    swg_weights_destroy(w);
    swg_graph_destroy(g);
}

static void other_numbers(void **state) {
    swg_context *ctx = *state;
    swg_graph *g = graph64(ctx);
    double got[12 + 5 + 4 + 64];
    swg_value x = array(g, 2, (int64_t[]){3, 4}, tokens);
    const int64_t window[2] = {2, 2}, shift[2] = {1, 1}, extent[2] = {4, 4};
    const swg_value results[] = {
        swg_layer_norm(g, x, 1, "norm", &(swg_norm_opts){.affine = SWG_AFFINE_OFF}),
        swg_resize(g, array(g, 3, (int64_t[]){1, 4, 1}, (double[]){1, 2, 4, 8}), (int64_t[]){5}, &(swg_resize_opts){.channels_last = true}),
        swg_convolution_transpose(g, array(g, 3, (int64_t[]){1, 2, 1}, (double[]){1, 2}), array(g, 3, (int64_t[]){1, 1, 4}, (double[]){1, 10, 100, 1000}), SWG_NONE,
                                  &(swg_conv_opts){.stride = {2}, .padding = {1}, .channels_last = true}),
        swg_window_mask(g, 2, extent, window, shift, -1),
    };
    evaluate(ctx, g, results, 4, NULL, got);
    near_all(got, (double[]){0, 0.392202102044, -1.56880840818, 1.17660630613}, 4);
    near_all(got + 12, (double[]){1, 1.7, 3, 5.2, 8}, 5);
    near_all(got + 17, (double[]){10, 102, 1020, 200}, 4);
    for (int i = 0; i < 4; i++) {
        int masked = 0;
        for (int pair = 0; pair < 16; pair++)
            masked += got[21 + 16 * i + pair] != 0;
        assert_int_equal(masked, ((int[]){0, 8, 8, 12})[i]);
    }
    swg_graph_destroy(g);
}

/* Masks of one pixel: o (1, 2 stems, 1, 1) and a mixture of `channels`, Re first. */
static void masked(swg_context *ctx, swg_tfswa_mask mask, int stems, const double *o, int channels, const double *mixture, const double *want) {
    swg_graph *g = graph64(ctx);
    swg_tfswa m = swg_tfswa_small();
    m.mask = mask;
    double got[16];
    swg_value y = swg_tfswa_apply(g, &m, array(g, 4, (int64_t[]){1, 2 * stems, 1, 1}, o), array(g, 4, (int64_t[]){1, 2 * channels, 1, 1}, mixture));
    assert_ok(ctx, swg_graph_status(g));
    const int64_t shape[5] = {1, stems, 2 * channels, 1, 1};
    assert_memory_equal(swg_shape(g, y), shape, sizeof shape);
    evaluate(ctx, g, &y, 1, NULL, got);
    near_all(got, want, stems * 2 * channels);
    swg_graph_destroy(g);
}

static void mask_numbers(void **state) {
    swg_context *ctx = *state;
    const double mono[] = {3, -4}, stereo[] = {3, 5, -4, 2}, o[] = {.25, .75, .5, 1};
    /* stereo: its own mask for each channel; mono: the mean of both */
    masked(ctx, SWG_TFSWA_SIGMOID, 2, o, 2, stereo, (double[]){.75, 3.75, -1, 1.5, 1.5, 5, -2, 2});
    masked(ctx, SWG_TFSWA_SIGMOID, 2, o, 1, mono, (double[]){1.5, -2, 2.25, -3});
    /* (.25 + .75i) times each channel */
    masked(ctx, SWG_TFSWA_COMPLEX, 1, o, 2, stereo, (double[]){3.75, -.25, 1.25, 4.25});
    masked(ctx, SWG_TFSWA_COMPLEX, 1, o, 1, mono, (double[]){3.75, 1.25});
    /* of the mean of the channels, (4, -1) */
    const double at[3] = {0.500025, 0.669761550891, 0.804429683063};
    for (int i = 0; i < 3; i++) {
        const double level[2] = {i * .5, i * .5};
        masked(ctx, SWG_TFSWA_PUBLISHED, 1, level, 1, (double[]){1, 0}, (double[]){at[i], 0});
        masked(ctx, SWG_TFSWA_PUBLISHED, 1, level, 2, stereo, (double[]){4 * at[i], 4 * at[i], -at[i], -at[i]});
    }
}

static void inputs(void **state) {
    swg_context *ctx = *state;
    swg_graph *g = graph64(ctx);
    swg_tfswa two = swg_tfswa_small(), four = swg_tfswa_small();
    four.in = 4;
    swg_value mono = array(g, 4, (int64_t[]){1, 2, 1, 1}, (double[]){3, -4}), stereo = array(g, 4, (int64_t[]){1, 4, 1, 1}, (double[]){3, 5, -4, 2});
    const swg_value results[] = {swg_tfswa_input(g, &two, mono), swg_tfswa_input(g, &two, stereo), swg_tfswa_input(g, &four, mono), swg_tfswa_input(g, &four, stereo)};
    double got[12];
    evaluate(ctx, g, results, 4, NULL, got);
    near_all(got, (double[]){3, -4, 4, -1, 3, 3, -4, -4, 3, 5, -4, 2}, 12);
    swg_graph_destroy(g);
}

/* ---- masks on sound ---- */

static double masked_wave(swg_context *ctx, swg_tfswa_mask mask, int64_t channels, double left, double right, double expected) {
    enum { SAMPLES = 3000 };
    swg_tfswa m = swg_tfswa_small();
    swg_graph *g;
    swg_plan *plan;
    const swg_stft_opts transform = {.n = 256};
    m.mask = mask;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 3, (int64_t[]){2, channels, SAMPLES}), spectrum = swg_stft(g, x, &transform);
    const int64_t *s = swg_shape(g, spectrum), half[4] = {s[0], 1, s[2], s[3]}, size[4] = {s[0], 4, s[2], s[3]};
    swg_value l = swg_expand(g, swg_constant(g, left), 4, half), r = swg_expand(g, swg_constant(g, right), 4, half);
    swg_value o = swg_concat(g, (swg_value[]){l, r, l, r}, 4, 1);
    assert_memory_equal(swg_shape(g, o), size, sizeof size);
    swg_value waves = swg_tfswa_waves(g, swg_tfswa_apply(g, &m, o, spectrum), SAMPLES, &transform);
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &waves, .output_count = 1}, &plan));
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    float *in = swg_plan_data(plan, x);
    for (int64_t i = 0; i < 2 * channels * SAMPLES; i++)
        in[i] = (float)(.5 * sin(.05 * (double)i) + .3 * cos(.31 * (double)(i % 977)));
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    const float *out = swg_plan_data(plan, waves);
    double worst = 0;
    for (int64_t n = 0; n < 2; n++)
        for (int64_t stem = 0; stem < 2; stem++)
            for (int64_t i = 0; i < channels * SAMPLES; i++)
                worst = fmax(worst, fabs((double)out[(2 * n + stem) * channels * SAMPLES + i] - expected * (double)in[n * channels * SAMPLES + i]));
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
    return worst;
}

static void masks_on_sound(void **state) {
    for (int64_t channels = 1; channels <= 2; channels++) {
        assert_close(masked_wave(*state, SWG_TFSWA_SIGMOID, channels, 1, 1, 1), 0, 1e-6, 0);
        assert_close(masked_wave(*state, SWG_TFSWA_COMPLEX, channels, 1, 0, 1), 0, 1e-6, 0);
        assert_close(masked_wave(*state, SWG_TFSWA_SIGMOID, channels, 0, 0, 0), 0, 0, 0);
        assert_close(masked_wave(*state, SWG_TFSWA_COMPLEX, channels, 0, 0, 0), 0, 0, 0);
    }
    assert_close(masked_wave(*state, SWG_TFSWA_PUBLISHED, 1, 0, 0, .500025), 0, 1e-6, 0); /* it cannot be silent */
}

/* ---- what is refused ---- */

static void refused(void **state) {
    static const struct { const char *word; swg_status status; int64_t shape[4]; swg_tfswa change; } cases[] = {
        {"frequency", SWG_ESHAPE, {1, 2, 7, 8}, {0}},        {"time", SWG_ESHAPE, {1, 2, 8, 7}, {0}},
        {"expected (batch, 2,", SWG_ESHAPE, {1, 4, 8, 8}, {0}},
        {"1 stages", SWG_EINVAL, {1, 2, 8, 8}, {.stages = 1}},      {"7 stages", SWG_EINVAL, {1, 2, 8, 8}, {.stages = 7}},
        {"3 heads divide", SWG_EINVAL, {1, 2, 8, 8}, {.heads = 3}}, {"-1 heads", SWG_EINVAL, {1, 2, 8, 8}, {.heads = -1}},
        {"shift 8", SWG_EINVAL, {1, 2, 8, 8}, {.shift = 8}},        {"window -8", SWG_EINVAL, {1, 2, 8, 8}, {.window = -8}},
        {"mlp_ratio -1", SWG_EINVAL, {1, 2, 8, 8}, {.mlp_ratio = -1}}, {"-1 blocks", SWG_EINVAL, {1, 2, 8, 8}, {.depths = {-1}}},
        {"mask 9", SWG_EINVAL, {1, 2, 8, 8}, {.mask = (swg_tfswa_mask)9}}, {"window mask 9", SWG_EINVAL, {1, 2, 8, 8}, {.window_mask = (swg_tfswa_window_mask)9}},
        {"-1 out", SWG_EINVAL, {1, 2, 8, 8}, {.out = -1}},
    };
    swg_context *ctx = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        swg_graph *g;
        swg_tfswa m = swg_tfswa_unet();
        const swg_tfswa *c = &cases[i].change;
        m.stages = c->stages ? c->stages : m.stages;
        m.heads = c->heads ? c->heads : m.heads;
        m.shift = c->shift ? c->shift : m.shift;
        m.window = c->window ? c->window : m.window;
        m.mlp_ratio = c->mlp_ratio ? c->mlp_ratio : m.mlp_ratio;
        m.depths[0] = c->depths[0] ? c->depths[0] : m.depths[0];
        m.mask = c->mask;
        m.window_mask = c->window_mask;
        m.out = c->out ? c->out : m.out;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        assert_int_equal(swg_tfswa_net(g, &m, swg_input(g, "x", 4, cases[i].shape)), SWG_NONE);
        assert_int_equal(swg_graph_status(g), cases[i].status);
        if (!strstr(swg_context_message(ctx), cases[i].word))
            fail_msg("\"%s\" does not say \"%s\"", swg_context_message(ctx), cases[i].word);
        swg_graph_destroy(g);
    }
}

static void refused_masks(void **state) {
    static const struct { const char *word; int64_t o[4], mixture[4]; } cases[] = {
        {"one or two channels", {1, 2, 8, 8}, {1, 6, 8, 8}}, {"one or two channels", {1, 2, 8, 8}, {1, 3, 8, 8}}, {"2 stems", {1, 3, 8, 8}, {1, 4, 8, 8}},
        {"2 stems", {2, 2, 8, 8}, {1, 4, 8, 8}},             {"2 stems", {1, 2, 9, 8}, {1, 4, 8, 8}},             {"2 stems", {1, 2, 8, 9}, {1, 4, 8, 8}},
    };
    swg_context *ctx = *state;
    const swg_tfswa m = swg_tfswa_unet();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        swg_graph *g;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        assert_int_equal(swg_tfswa_apply(g, &m, swg_input(g, "o", 4, cases[i].o), swg_input(g, "mixture", 4, cases[i].mixture)), SWG_NONE);
        assert_int_equal(swg_graph_status(g), SWG_ESHAPE);
        if (!strstr(swg_context_message(ctx), cases[i].word))
            fail_msg("\"%s\" does not say \"%s\"", swg_context_message(ctx), cases[i].word);
        swg_graph_destroy(g);
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g)); /* (batch, stems, 2 channels, ...) */
        assert_int_equal(swg_tfswa_waves(g, swg_input(g, "s", 4, cases[i].o), 0, NULL), SWG_NONE);
        assert_int_equal(swg_graph_status(g), SWG_ESHAPE);
        swg_graph_destroy(g);
    }
    swg_graph *g;
    swg_tfswa odd = m;
    odd.in = 3;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    assert_int_equal(swg_tfswa_input(g, &odd, swg_input(g, "mixture", 4, (int64_t[]){1, 2, 8, 8})), SWG_NONE);
    assert_int_equal(swg_graph_status(g), SWG_EINVAL);
    swg_graph_destroy(g);
}

static void out_of_memory(void **state) {
    (void)state;
    swg_tfswa m = {.stages = 2, .depths = {2, 1}, .dims = {4, 4}, .in = 2, .out = 2, .window = 2, .shift = 1, .heads = 2, .mlp_ratio = 1,
                   .window_mask = SWG_TFSWA_WINDOW_ALL};
    bool whole = false;
    for (int64_t fail_at = 0; !whole; fail_at++) {
        testing_allocator t = {.fail_at = fail_at};
        swg_context *ctx = NULL;
        swg_graph *g = NULL;
        swg_layers l = {0};
        assert_true(fail_at < 100000);
        if (swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &t}}, &ctx) != SWG_OK)
            continue;
        if (swg_graph_create(ctx, NULL, &g) == SWG_OK) {
            swg_tfswa_net(g, &m, swg_input(g, "x", 4, (int64_t[]){2, 2, 5, 3}));
            swg_status status = swg_graph_status(g);
            if (status == SWG_OK)
                status = swg_tfswa_layers(ctx, &m, (int64_t[]){1, 2, 5, 3}, &l);
            assert_true(status == SWG_OK || status == SWG_ENOMEM);
            whole = status == SWG_OK;
        }
        swg_layers_free(ctx, &l);
        swg_graph_destroy(g);
        swg_context_close(ctx);
        assert_int_equal(t.live, 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, testing_open, testing_close)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_row), TEST(every_block), TEST(multiply_adds), TEST(counts), TEST(start), TEST(attention_numbers), TEST(other_numbers), TEST(mask_numbers),
        TEST(inputs), TEST(masks_on_sound), TEST(refused), TEST(refused_masks), cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
