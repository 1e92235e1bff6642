/* onednn_conv.c - one convolution by oneDNN, f32 or bf16, for the benchmarks: primitive made once, all tensors in the formats it prefers,
 * what goes in and comes out reordered outside of what is timed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <string.h>
#include "context.h"
#include "provider/provider.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define LIBRARY "libdnnl.so." TEXT(DNNL_VERSION_MAJOR)

#define FUNCTIONS(X)                                                                                                     \
    X(dnnl_engine_create) X(dnnl_engine_destroy) X(dnnl_stream_create) X(dnnl_stream_destroy) X(dnnl_stream_wait)        \
    X(dnnl_memory_desc_init_by_tag) X(dnnl_primitive_desc_create) X(dnnl_primitive_desc_destroy)                         \
    X(dnnl_primitive_desc_query_md) X(dnnl_reorder_primitive_desc_create) X(dnnl_primitive_create)                       \
    X(dnnl_primitive_destroy) X(dnnl_primitive_execute) X(dnnl_memory_create) X(dnnl_memory_destroy)                     \
    X(dnnl_convolution_forward_desc_init) X(dnnl_convolution_backward_data_desc_init)                                    \
    X(dnnl_convolution_backward_weights_desc_init)

typedef struct library {
#define X(name) __typeof__(&name) name;
    FUNCTIONS(X)
#undef X
    void (*set_threads)(int);
    int (*most_threads)(void);
} library;

enum { X_SIDE, W_SIDE, Y_SIDE, TENSORS };

struct swg__provided_conv {
    swg_context *ctx;
    void *handle;
    library lib;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t plain[TENSORS];
    dnnl_memory_t memory[TENSORS];      /* in its own formats */
    int arg[TENSORS], result;
    dnnl_memory_desc_t own_result;
};

static bool load(struct swg__provided_conv *p) {
    p->handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    void *symbol;
#define X(name)                                            \
    if (!p->handle || !(symbol = dlsym(p->handle, #name))) \
        return false;                                      \
    memcpy(&p->lib.name, &symbol, sizeof symbol);
    FUNCTIONS(X)
#undef X
    symbol = dlsym(p->handle, "omp_set_num_threads");
    memcpy(&p->lib.set_threads, &symbol, sizeof symbol);
    symbol = dlsym(p->handle, "omp_get_max_threads");
    memcpy(&p->lib.most_threads, &symbol, sizeof symbol);
    return true;
}

/* OpenMP's thread count belongs to the calling thread: set for our calls, put back afterwards. */
static int threads_set(const struct swg__provided_conv *p, int threads) {
    int before = p->lib.most_threads ? p->lib.most_threads() : 0;
    if (p->lib.set_threads && threads)
        p->lib.set_threads(threads);
    return before;
}

/* Between caller's memory in plain format and ours. */
static dnnl_status_t reorder(struct swg__provided_conv *p, int tensor, const dnnl_memory_desc_t *own, void *data, bool in) {
    const library *lib = &p->lib;
    dnnl_memory_t plain = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t primitive = NULL;
    const dnnl_memory_desc_t *from = in ? &p->plain[tensor] : own, *to = in ? own : &p->plain[tensor];
    dnnl_status_t status = lib->dnnl_memory_create(&plain, &p->plain[tensor], p->engine, data);
    if (status == dnnl_success)
        status = lib->dnnl_reorder_primitive_desc_create(&pd, from, p->engine, to, p->engine, NULL);
    if (status == dnnl_success)
        status = lib->dnnl_primitive_create(&primitive, pd);
    if (status == dnnl_success) {
        const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, in ? plain : p->memory[tensor]}, {DNNL_ARG_TO, in ? p->memory[tensor] : plain}};
        status = lib->dnnl_primitive_execute(primitive, p->stream, 2, args);
        lib->dnnl_stream_wait(p->stream);
    }
    if (primitive)
        lib->dnnl_primitive_destroy(primitive);
    if (pd)
        lib->dnnl_primitive_desc_destroy(pd);
    if (plain)
        lib->dnnl_memory_destroy(plain);
    return status;
}

/* Descriptors of the operation and of the forward convolution it belongs to. */
static dnnl_status_t describe(struct swg__provided_conv *p, swg__op op, const swg__conv *c, bool bf16, dnnl_convolution_desc_t *forward,
                              dnnl_convolution_desc_t *own) {
    const dnnl_dims_t dims[TENSORS] = {{c->batch, c->in_channels, c->in[0], c->in[1], c->in[2]},
                                       {c->out_channels, c->in_channels, c->kernel[0], c->kernel[1], c->kernel[2]},
                                       {c->batch, c->out_channels, c->out[0], c->out[1], c->out[2]}};
    const dnnl_format_tag_t tags[TENSORS] = {dnnl_ndhwc, dnnl_oidhw, dnnl_ndhwc};
    dnnl_memory_desc_t any[TENSORS];
    dnnl_dims_t after = {0}, before = {0}, stride = {0};
    dnnl_status_t status = dnnl_success;
    for (int axis = 0; axis < 3; axis++) {
        stride[axis] = c->stride[axis];
        before[axis] = c->before[axis];
        after[axis] = (c->out[axis] - 1) * c->stride[axis] + c->kernel[axis] - c->in[axis] - c->before[axis];
    }
    for (int i = 0; i < TENSORS && status == dnnl_success; i++) {
        status = p->lib.dnnl_memory_desc_init_by_tag(&p->plain[i], 5, dims[i], dnnl_f32, tags[i]);
        if (status == dnnl_success)
            status = p->lib.dnnl_memory_desc_init_by_tag(&any[i], 5, dims[i], bf16 ? dnnl_bf16 : dnnl_f32, dnnl_format_tag_any);
    }
    if (status == dnnl_success)
        status = p->lib.dnnl_convolution_forward_desc_init(forward, dnnl_forward_training, dnnl_convolution_direct, &any[X_SIDE],
                                                           &any[W_SIDE], NULL, &any[Y_SIDE], stride, before, after);
    *own = *forward;
    if (status == dnnl_success && op == SWG__CONV_TRANSPOSE)
        status = p->lib.dnnl_convolution_backward_data_desc_init(own, dnnl_convolution_direct, &any[X_SIDE], &any[W_SIDE], &any[Y_SIDE],
                                                                 stride, before, after);
    if (status == dnnl_success && op == SWG__CONV_WEIGHTS) /* f32 whatever the operands are */
        status = p->lib.dnnl_memory_desc_init_by_tag(&any[W_SIDE], 5, dims[W_SIDE], dnnl_f32, dnnl_format_tag_any);
    if (status == dnnl_success && op == SWG__CONV_WEIGHTS)
        status = p->lib.dnnl_convolution_backward_weights_desc_init(own, dnnl_convolution_direct, &any[X_SIDE], &any[W_SIDE], NULL,
                                                                    &any[Y_SIDE], stride, before, after);
    return status;
}

static dnnl_status_t create(struct swg__provided_conv *p, swg__op op, const swg__conv *c, bool bf16, const float *a, const float *b) {
    static const struct { dnnl_query_t query[TENSORS]; int arg[TENSORS], result; } roles[3] = {
        {{dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md}, {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST}, Y_SIDE},
        {{dnnl_query_diff_src_md, dnnl_query_weights_md, dnnl_query_diff_dst_md},
         {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST}, X_SIDE},
        {{dnnl_query_src_md, dnnl_query_diff_weights_md, dnnl_query_diff_dst_md},
         {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST}, W_SIDE}};
    const int role = op == SWG__CONV ? 0 : op == SWG__CONV_TRANSPOSE ? 1 : 2;
    const library *lib = &p->lib;
    dnnl_convolution_desc_t forward, own;
    dnnl_primitive_desc_t hint = NULL, pd = NULL;
    dnnl_status_t status = describe(p, op, c, bf16, &forward, &own);
    if (status == dnnl_success && role != 0)
        status = lib->dnnl_primitive_desc_create(&hint, &forward, NULL, p->engine, NULL);
    if (status == dnnl_success)
        status = lib->dnnl_primitive_desc_create(&pd, &own, NULL, p->engine, hint);
    if (status == dnnl_success)
        status = lib->dnnl_primitive_create(&p->primitive, pd);
    p->result = roles[role].result;
    const float *next = a; /* the operands in order: Y comes first only where it is alone with W */
    for (int k = 0; k < TENSORS && status == dnnl_success; k++) {
        int i = role == 1 ? TENSORS - 1 - k : k;
        const dnnl_memory_desc_t *md = lib->dnnl_primitive_desc_query_md(pd, roles[role].query[i], 0);
        p->arg[i] = roles[role].arg[i];
        status = lib->dnnl_memory_create(&p->memory[i], md, p->engine, DNNL_MEMORY_ALLOCATE);
        if (i == p->result)
            p->own_result = *md;
        if (status == dnnl_success && i != p->result) {
            void *data; /* its interface has no const */
            memcpy(&data, &next, sizeof data);
            status = reorder(p, i, md, data, true);
            next = b;
        }
    }
    if (pd)
        lib->dnnl_primitive_desc_destroy(pd);
    if (hint)
        lib->dnnl_primitive_desc_destroy(hint);
    return status;
}

swg_status swg__provided_conv_open(swg_context *ctx, swg__op op, const swg__conv *c, bool bf16, const float *a, const float *b,
                                   struct swg__provided_conv **out) {
    *out = swg__calloc(ctx, 1, sizeof **out);
    struct swg__provided_conv *p = *out;
    if (!p)
        return swg__fail_memory(ctx, sizeof *p, "oneDNN");
    p->ctx = ctx;
    if (!load(p))
        return swg__fail(ctx, SWG_EUNSUPPORTED, "cannot load " LIBRARY);
    int before = threads_set(p, ctx->threads);
    dnnl_status_t status = p->lib.dnnl_engine_create(&p->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = p->lib.dnnl_stream_create(&p->stream, p->engine, dnnl_stream_default_flags);
    if (status == dnnl_success)
        status = create(p, op, c, bf16, a, b);
    threads_set(p, before);
    return status == dnnl_success ? SWG_OK : swg__fail(ctx, SWG_EUNSUPPORTED, "oneDNN refused a convolution with status %d", (int)status);
}

void swg__provided_conv_run(void *conv) {
    struct swg__provided_conv *p = conv;
    dnnl_exec_arg_t args[TENSORS];
    for (int i = 0; i < TENSORS; i++)
        args[i] = (dnnl_exec_arg_t){p->arg[i], p->memory[i]};
    int before = threads_set(p, p->ctx->threads);
    p->lib.dnnl_primitive_execute(p->primitive, p->stream, TENSORS, args);
    p->lib.dnnl_stream_wait(p->stream);
    threads_set(p, before);
}

swg_status swg__provided_conv_read(struct swg__provided_conv *p, float *out) {
    return reorder(p, p->result, &p->own_result, out, false) == dnnl_success
               ? SWG_OK : swg__fail(p->ctx, SWG_EUNSUPPORTED, "oneDNN refused to reorder its result");
}

void swg__provided_conv_close(struct swg__provided_conv *p) {
    if (!p)
        return;
    for (int i = 0; i < TENSORS; i++)
        if (p->memory[i])
            p->lib.dnnl_memory_destroy(p->memory[i]);
    if (p->primitive)
        p->lib.dnnl_primitive_destroy(p->primitive);
    if (p->stream)
        p->lib.dnnl_stream_destroy(p->stream);
    if (p->engine)
        p->lib.dnnl_engine_destroy(p->engine);
    if (p->handle)
        dlclose(p->handle);
    swg__free(p->ctx, p);
}
