/* cyto_vit.c - tokens of an image, fixed positions and the pre-norm transformer block.
 * SPDX-License-Identifier: Apache-2.0 */
#include "zoo/cyto_vit.h"
#include <math.h>

enum { MLP_RATIO = 4 };
static const double token_deviation = .02, token_limit = 2, norm_eps = 1e-5;

int64_t swg_vit_tokens(const swg_vit *vit) {
    int64_t tokens = 1;
    if ((vit->dims != 2 && vit->dims != 3) || vit->patch < 1)
        return 0;
    for (int i = 0; i < vit->dims; i++)
        if (vit->extent[i] < 1 || vit->extent[i] % vit->patch || swg__mul_overflow(tokens, vit->extent[i] / vit->patch, &tokens))
            return 0;
    return tokens;
}

void swg_vit_positions(const swg_vit *vit, int64_t width, double *out) {
    const int64_t tokens = swg_vit_tokens(vit), columns = 2 * ((width - 1) / (2 * vit->dims) + 1);
    for (int64_t t = 0; t < tokens; t++) {
        int64_t at[3], rest = t;
        for (int axis = vit->dims - 1; axis >= 0; axis--) {
            const int64_t grid = vit->extent[axis] / vit->patch;
            at[axis] = rest % grid;
            rest /= grid;
        }
        for (int64_t c = 0; c < width; c++) {
            const int64_t column = c % columns;
            const double angle = (double)at[c / columns] * pow(10000, -(double)(column / 2 * 2) / (double)columns);
            out[t * width + c] = column % 2 ? cos(angle) : sin(angle);
        }
    }
}

/* ---- weights ---- */

swg_value swg__vit_leaf(swg_graph *g, swg__vit_leaves *l, const char *name, int ndim, const int64_t *shape, swg_init init) {
    if (!l || !l->teacher) {
        swg_value v = swg_param(g, name, ndim, shape, init);
        if (l)
            l->student[l->count++] = v;
        return v;
    }
    swg_value student = l->student[l->count++], state = swg_state_like(g, name, student);
    if (!l->rate)
        return state;
    bool before = swg_graph_precise(g, true);
    swg_value moved = swg_add(g, state, swg_mul(g, l->rate, swg_sub(g, swg_detach(g, student), state)));
    swg_graph_precise(g, before);
    swg_state_set(g, state, moved);
    return moved;
}

static swg_init uniform(int64_t fan_in) { return (swg_init){.bound = 1 / sqrt((double)fan_in)}; }

static swg_value project(swg_graph *g, swg_value x, swg_value weight) { return swg_matmul(g, x, weight, &(swg_matmul_opts){.trans_b = true}); }

static int64_t width_of(const swg_graph *g, swg_value x) { return x ? swg_shape(g, x)[2] : 1; }

swg_value swg__vit_linear(swg_graph *g, swg__vit_leaves *l, swg_value x, int64_t n, const char *name) {
    const int64_t k = width_of(g, x);
    swg_scope_push(g, name);
    swg_value weight = swg__vit_leaf(g, l, "weight", 2, (int64_t[]){n, k}, uniform(k)), bias = swg__vit_leaf(g, l, "bias", 1, &n, uniform(k));
    x = swg_add(g, project(g, x, weight), bias);
    swg_scope_pop(g);
    return x;
}

swg_value swg__vit_norm(swg_graph *g, swg__vit_leaves *l, swg_value x, const char *name) {
    const int64_t width = width_of(g, x);
    swg_scope_push(g, name);
    swg_value gamma = swg__vit_leaf(g, l, "weight", 1, &width, (swg_init){.value = 1}), beta = swg__vit_leaf(g, l, "bias", 1, &width, (swg_init){0});
    x = swg__layer_norm(g, x, gamma, beta, 1, norm_eps);
    swg_scope_pop(g);
    return x;
}

/* `parts` projections of x, whose weights (parts * width, columns of x) stand in one parameter without bias. Slicing weights costs less than
 * slicing what they project. */
static void projections(swg_graph *g, swg__vit_leaves *l, swg_value x, int64_t width, int parts, swg_value *out, const char *name) {
    const int64_t k = width_of(g, x);
    swg_scope_push(g, name);
    swg_value weight = swg__vit_leaf(g, l, "weight", 2, (int64_t[]){parts * width, k}, uniform(k));
    for (int i = 0; i < parts; i++)
        out[i] = project(g, x, parts == 1 ? weight : swg_slice(g, weight, (int64_t[]){i * width, 0}, (int64_t[]){width, k}));
    swg_scope_pop(g);
}

static swg_value attention(swg_graph *g, swg__vit_leaves *l, swg_value x, swg_value context, int64_t heads) {
    const int64_t width = width_of(g, x);
    swg_value part[3];
    swg_scope_push(g, "attention");
    if (context) {
        projections(g, l, x, width, 1, part, "q");
        projections(g, l, context, width, 2, part + 1, "kv");
    } else {
        projections(g, l, x, width, 3, part, "qkv");
    }
    x = swg_attention(g, part[0], part[1], part[2], SWG_NONE, &(swg_attention_opts){.heads = heads});
    x = swg__vit_linear(g, l, x, width, "out");
    swg_scope_pop(g);
    return x;
}

swg_value swg__vit_block(swg_graph *g, swg__vit_leaves *l, swg_value x, swg_value context, int64_t heads, int number) {
    const int64_t width = width_of(g, x);
    char name[24];
    snprintf(name, sizeof name, "block%d", number);
    swg_scope_push(g, name);
    swg_block_begin(g);
    x = swg_add(g, x, attention(g, l, swg__vit_norm(g, l, x, "norm1"), context, heads));
    swg_value h = swg_gelu(g, swg__vit_linear(g, l, swg__vit_norm(g, l, x, "norm2"), MLP_RATIO * width, "fc1"));
    x = swg_add(g, x, swg__vit_linear(g, l, h, width, "fc2"));
    swg_block_end(g);
    swg_scope_pop(g);
    return x;
}

/* ---- tokens ---- */

swg_value swg__vit_token(swg_graph *g, swg__vit_leaves *l, int64_t rows, int64_t width) {
    return swg__vit_leaf(g, l, "weight", 2, (int64_t[]){rows, width}, (swg_init){.deviation = token_deviation, .limit = token_limit});
}

swg_value swg__vit_positions(swg_graph *g, swg__vit_leaves *l, const swg_vit *vit, int64_t rows, int64_t width) {
    if (!vit->fixed_positions)
        return swg__vit_token(g, l, rows, width);
    const int64_t tokens = swg_vit_tokens(vit);
    double *table = swg__calloc(g->ctx, (size_t)(rows * width), sizeof *table);
    if (!table)
        return swg__graph_fail(g, SWG_ENOMEM, "out of memory for a table of positions");
    swg_vit_positions(vit, width, table + (rows - tokens) * width);
    swg_value v = swg_constant_array(g, 2, (int64_t[]){rows, width}, table);
    swg__free(g->ctx, table);
    return v;
}

swg_value swg__vit_tokens(swg_graph *g, swg__vit_leaves *l, swg_value x, const swg_vit *vit, int64_t context) {
    const int64_t n = x ? swg_shape(g, x)[0] : 1, kernel = vit->patch + 2 * context;
    int64_t image[5] = {n}, shape[5] = {vit->width, 1}, taps = 1;
    swg_conv_opts opts = {.channels_last = true};
    for (int i = 0; i < vit->dims; i++) {
        image[1 + i] = vit->extent[i];
        shape[2 + i] = kernel;
        opts.stride[i] = vit->patch;
        opts.padding[i] = context;
        taps *= kernel;
    }
    image[1 + vit->dims] = 1; /* with one channel, channels first are channels last */
    swg_scope_push(g, "patch");
    swg_value weight = swg__vit_leaf(g, l, "weight", 2 + vit->dims, shape, uniform(taps)), bias = swg__vit_leaf(g, l, "bias", 1, &vit->width, uniform(taps));
    x = swg_convolution(g, swg_reshape(g, x, 2 + vit->dims, image), weight, bias, &opts);
    swg_scope_pop(g);
    const int64_t tokens = swg_vit_tokens(vit);
    swg_scope_push(g, "position");
    x = swg_add(g, swg_reshape(g, x, 3, (int64_t[]){n, tokens, vit->width}), swg__vit_positions(g, l, vit, tokens, vit->width));
    swg_scope_pop(g);
    return x;
}

bool swg__vit_check(swg_graph *g, const char *what, swg_value x, const swg_vit *vit) {
    char text[224];
    if (!swg__check(g, what, x))
        return false;
    if (!swg_vit_tokens(vit))
        swg__graph_fail(g, SWG_EINVAL, "%s: %d axes of %lld, %lld, %lld voxels in patches of %lld; expected 2 or 3 axes whose extents the patch divides",
                        what, vit->dims, (long long)vit->extent[0], (long long)vit->extent[1], (long long)vit->extent[2], (long long)vit->patch);
    else if (vit->depth < 1 || vit->depth > SWG_VIT_DEPTH || vit->width < 1 || vit->heads < 1)
        swg__graph_fail(g, SWG_EINVAL, "%s: %d blocks of width %lld with %lld heads; expected 1 to %d blocks, 1 or more of the others", what, vit->depth,
                        (long long)vit->width, (long long)vit->heads, SWG_VIT_DEPTH);
    bool fits = g->status == SWG_OK && swg_ndim(g, x) == 2 + vit->dims && swg_shape(g, x)[1] == 1;
    for (int i = 0; fits && i < vit->dims; i++)
        fits = swg_shape(g, x)[2 + i] == vit->extent[i];
    if (!fits && vit->dims == 3)
        swg__graph_fail(g, SWG_ESHAPE, "%s: images %s, expected (N, 1, %lld, %lld, %lld)", what, swg__value_text(g, x, text, sizeof text),
                        (long long)vit->extent[0], (long long)vit->extent[1], (long long)vit->extent[2]);
    else if (!fits)
        swg__graph_fail(g, SWG_ESHAPE, "%s: images %s, expected (N, 1, %lld, %lld)", what, swg__value_text(g, x, text, sizeof text),
                        (long long)vit->extent[0], (long long)vit->extent[1]);
    return g->status == SWG_OK;
}

bool swg__vit_check_scores(swg_graph *g, const char *what, swg_value x, swg_value scores, int64_t tokens) {
    char text[224];
    if (!swg__check(g, what, scores))
        return false;
    if (swg_ndim(g, scores) != 2 || swg_shape(g, scores)[0] != swg_shape(g, x)[0] || swg_shape(g, scores)[1] != tokens)
        swg__graph_fail(g, SWG_ESHAPE, "%s: scores %s, expected (%lld, %lld)", what, swg__value_text(g, scores, text, sizeof text),
                        (long long)swg_shape(g, x)[0], (long long)tokens);
    return g->status == SWG_OK;
}

swg_value swg__vit_pick(swg_graph *g, swg_value order, int64_t first, int64_t count) {
    return order ? swg_slice(g, order, (int64_t[]){0, first}, (int64_t[]){swg_shape(g, order)[0], count}) : SWG_NONE;
}

swg_value swg__vit_rows(swg_graph *g, swg_value table, swg_value index) {
    if (!table || !index)
        return SWG_NONE;
    const int64_t n = swg_shape(g, index)[0], m = swg_shape(g, index)[1];
    swg_value picked = swg_gather(g, table, swg_reshape(g, index, 1, (int64_t[]){n * m}), 0);
    return swg_reshape(g, picked, 3, (int64_t[]){n, m, swg_shape(g, table)[1]});
}
