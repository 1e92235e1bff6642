/* onednn.c - f32 and bf16 products by oneDNN: yardstick of the benchmarks and optional provider of a plan.
 * The library is loaded when the first plan asks for it, so that neither it nor its OpenMP runtime is ever linked. Products run
 * whole, on as many OpenMP threads as the context has; bias and ReLU are its own epilogue, the gate is ours.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <string.h>
#include "plan/plan.h"
#include "provider/provider.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define LIBRARY "libdnnl.so." TEXT(DNNL_VERSION_MAJOR)

#define FUNCTIONS(X)                                                                                                       \
    X(dnnl_version) X(dnnl_engine_create) X(dnnl_engine_destroy) X(dnnl_stream_create) X(dnnl_stream_destroy)              \
    X(dnnl_stream_wait) X(dnnl_memory_desc_init_by_strides) X(dnnl_memory_desc_init_by_tag) X(dnnl_memory_desc_equal)      \
    X(dnnl_memory_desc_get_size) X(dnnl_matmul_desc_init) X(dnnl_primitive_attr_create) X(dnnl_primitive_attr_destroy)     \
    X(dnnl_primitive_attr_set_scratchpad_mode) X(dnnl_primitive_attr_set_post_ops) X(dnnl_post_ops_create)                 \
    X(dnnl_post_ops_destroy) X(dnnl_post_ops_append_eltwise) X(dnnl_primitive_desc_create) X(dnnl_primitive_desc_destroy)  \
    X(dnnl_primitive_desc_query_md) X(dnnl_reorder_primitive_desc_create) X(dnnl_primitive_create) X(dnnl_primitive_destroy) \
    X(dnnl_primitive_execute) X(dnnl_memory_create) X(dnnl_memory_destroy) X(dnnl_memory_set_data_handle)

typedef struct library {
#define X(name) __typeof__(&name) name;
    FUNCTIONS(X)
#undef X
    void (*set_threads)(int);   /* of the OpenMP runtime that oneDNN brings along; NULL: it has none */
    int (*most_threads)(void);
} library;

/* One contraction. The packed second operand lies at the start of the call's scratch, oneDNN's scratchpad behind it. */
typedef struct product {
    const library *lib;
    dnnl_stream_t stream;
    swg_context *ctx;
    dnnl_primitive_t matmul, reorder;
    dnnl_memory_t a, b, b_plain, bias, result, scratchpad;  /* b_plain only with reorder, bias only where there is one */
    size_t packed_bytes, scratchpad_bytes;
} product;

struct swg__provider {
    void *handle;
    library lib;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    product **products;         /* by value of the plan's graph */
};

/* ---- loading ---- */

static void *load(library *lib) {
    void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE); /* its threads outlive every plan */
    if (!handle)
        return NULL;
    void *symbol;
#define X(name)                                     \
    if (!(symbol = dlsym(handle, #name))) {         \
        dlclose(handle);                            \
        return NULL;                                \
    }                                               \
    memcpy(&lib->name, &symbol, sizeof symbol);
    FUNCTIONS(X)
#undef X
    symbol = dlsym(handle, "omp_set_num_threads");
    memcpy(&lib->set_threads, &symbol, sizeof symbol);
    symbol = dlsym(handle, "omp_get_max_threads");
    memcpy(&lib->most_threads, &symbol, sizeof symbol);
    return handle;
}

bool swg__provider_version(char *out, int capacity) {
    library lib;
    void *handle = load(&lib);
    if (!handle)
        return false;
    const dnnl_version_t *version = lib.dnnl_version();
    snprintf(out, (size_t)capacity, "oneDNN %d.%d.%d", version->major, version->minor, version->patch);
    dlclose(handle);
    return true;
}

swg_status swg__provider_open(struct swg_plan *plan, const char *name) {
    if (!name || strcmp(name, "swage") == 0)
        return SWG_OK;
    static const char *const names[] = {"swage", "onednn"};
    char near[64];
    if (strcmp(name, names[1]) != 0)
        return swg__fail(plan->ctx, SWG_EUNSUPPORTED, "provider \"%s\" is unknown; there are swage and onednn%s", name,
                         swg__did_you_mean(name, names, 2, near, sizeof near));
    struct swg__provider *p = plan->provider = swg__calloc(plan->ctx, 1, sizeof *p);
    if (!p || !(p->products = swg__calloc(plan->ctx, (size_t)plan->g->count, sizeof *p->products)))
        return swg__fail_memory(plan->ctx, sizeof *p, "a provider");
    if (!(p->handle = load(&p->lib)))
        return swg__fail(plan->ctx, SWG_EUNSUPPORTED, "provider \"onednn\": cannot load " LIBRARY "; install it or use \"swage\"");
    if (p->lib.dnnl_engine_create(&p->engine, dnnl_cpu, 0) != dnnl_success ||
        p->lib.dnnl_stream_create(&p->stream, p->engine, dnnl_stream_default_flags) != dnnl_success)
        return swg__fail(plan->ctx, SWG_EUNSUPPORTED, "provider \"onednn\": no processor engine");
    return SWG_OK;
}

void swg__provider_release(struct swg_plan *plan) {
    struct swg__provider *p = plan->provider;
    if (!p)
        return;
    for (int64_t v = 0; p->products && v < plan->g->count; v++) {
        product *c = p->products[v];
        if (!c)
            continue;
        dnnl_memory_t memories[] = {c->a, c->b, c->b_plain, c->bias, c->result, c->scratchpad};
        for (size_t i = 0; i < sizeof memories / sizeof *memories; i++)
            if (memories[i])
                p->lib.dnnl_memory_destroy(memories[i]);
        if (c->matmul)
            p->lib.dnnl_primitive_destroy(c->matmul);
        if (c->reorder)
            p->lib.dnnl_primitive_destroy(c->reorder);
        swg__free(plan->ctx, c);
    }
    if (p->stream)
        p->lib.dnnl_stream_destroy(p->stream);
    if (p->engine)
        p->lib.dnnl_engine_destroy(p->engine);
    if (p->handle)
        dlclose(p->handle);
    swg__free(plan->ctx, p->products);
    swg__free(plan->ctx, p);
    plan->provider = NULL;
}

/* ---- preparing ---- */

bool swg__provider_takes(const struct swg_plan *plan, swg_value v) {
    int op = plan->g->nodes[v].op;
    return plan->provider && plan->g->dtype == SWG_F32 && (op == SWG__MATMUL || op == SWG__LINEAR) &&
           plan->g->nodes[plan->g->nodes[v].in[0]].dtype != SWG__CODES &&
           !(plan->g->nodes[v].dtype == SWG_BF16 && plan->g->nodes[v].attr.gate); /* its gate is ours, in f32 */
}

const void *swg__provider_layout(const struct swg_plan *plan, swg_value v) { return plan->provider->products[v]; }

/* OpenMP's thread count belongs to the calling thread: set for our calls, put back for whoever else uses it. */
static int set_threads(const library *lib, int threads) {
    int before = lib->most_threads ? lib->most_threads() : 0;
    if (lib->set_threads && before)
        lib->set_threads(threads);
    return before;
}

static void restore_threads(const library *lib, int before) {
    if (lib->set_threads && before)
        lib->set_threads(before);
}

static dnnl_data_type_t type_of(const swg__node *n) { return n->dtype == SWG_BF16 ? dnnl_bf16 : dnnl_f32; }

/* Rows and columns of a (batched) matrix as stored, or transposed as stored. */
static dnnl_status_t matrix(const library *lib, dnnl_memory_desc_t *desc, int ndim, const swg__node *n, bool transposed) {
    int64_t rows = n->shape[n->ndim - (transposed ? 1 : 2)], columns = n->shape[n->ndim - (transposed ? 2 : 1)];
    int64_t batch = swg__shape_elements(n->ndim - 2, n->shape), row = transposed ? 1 : columns, column = transposed ? rows : 1;
    dnnl_dims_t dims = {batch, rows, columns}, strides = {rows * columns, row, column};
    int skip = ndim == 2;
    return lib->dnnl_memory_desc_init_by_strides(desc, ndim, dims + skip, type_of(n), strides + skip);
}

static dnnl_status_t describe(const library *lib, const swg_graph *g, const swg__node *n, int ndim, bool frozen,
                              dnnl_memory_desc_t *b_plain, dnnl_matmul_desc_t *matmul) {
    const swg__node *b_node = &g->nodes[n->in[1]];
    dnnl_memory_desc_t a, b, bias, result;
    dnnl_dims_t bias_dims = {1, 1, n->shape[n->ndim - 1]};
    dnnl_status_t status = matrix(lib, &a, ndim, &g->nodes[n->in[0]], n->attr.trans_a);
    if (status == dnnl_success)
        status = matrix(lib, b_plain, ndim, b_node, n->attr.trans_b);
    if (status == dnnl_success)
        status = matrix(lib, &result, ndim, n, false);
    b = *b_plain;
    const swg__node *a_node = &g->nodes[n->in[0]]; /* both operands are of one type */
    if (status == dnnl_success && (frozen || a_node->dtype != b_node->dtype))
        status = lib->dnnl_memory_desc_init_by_tag(&b, ndim, b_plain->dims, type_of(a_node), dnnl_format_tag_any);
    if (status == dnnl_success && n->attr.bias)
        status = lib->dnnl_memory_desc_init_by_tag(&bias, ndim, bias_dims + (ndim == 2), dnnl_f32, ndim == 2 ? dnnl_ab : dnnl_abc);
    return status == dnnl_success ? lib->dnnl_matmul_desc_init(matmul, &a, &b, n->attr.bias ? &bias : NULL, &result) : status;
}

static dnnl_status_t attributes(const library *lib, bool relu, dnnl_primitive_attr_t *attr) {
    dnnl_status_t status = lib->dnnl_primitive_attr_create(attr);
    if (status == dnnl_success)
        status = lib->dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    dnnl_post_ops_t post = NULL;
    if (status == dnnl_success && relu && (status = lib->dnnl_post_ops_create(&post)) == dnnl_success) {
        status = lib->dnnl_post_ops_append_eltwise(post, 1.f, dnnl_eltwise_relu, 0.f, 0.f);
        if (status == dnnl_success)
            status = lib->dnnl_primitive_attr_set_post_ops(*attr, post);
        lib->dnnl_post_ops_destroy(post);
    }
    return status;
}

/* The primitive and its memory objects, whose addresses are set before each run. */
static dnnl_status_t create(struct swg__provider *p, product *c, dnnl_primitive_desc_t pd, const dnnl_memory_desc_t *b_plain, bool bias) {
    const library *lib = &p->lib;
    const struct { dnnl_query_t what; dnnl_memory_t *memory; bool wanted; } memories[] = {
        {dnnl_query_src_md, &c->a, true},         {dnnl_query_weights_md, &c->b, true},
        {dnnl_query_dst_md, &c->result, true},    {dnnl_query_scratchpad_md, &c->scratchpad, true},
    };
    dnnl_status_t status = lib->dnnl_primitive_create(&c->matmul, pd);
    for (size_t i = 0; i < sizeof memories / sizeof *memories && status == dnnl_success; i++)
        status = lib->dnnl_memory_create(memories[i].memory, lib->dnnl_primitive_desc_query_md(pd, memories[i].what, 0), p->engine,
                                         DNNL_MEMORY_NONE);
    if (status == dnnl_success && bias)
        status = lib->dnnl_memory_create(&c->bias, lib->dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 1), p->engine,
                                         DNNL_MEMORY_NONE);
    if (status != dnnl_success)
        return status;
    const dnnl_memory_desc_t *b = lib->dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    c->scratchpad_bytes = lib->dnnl_memory_desc_get_size(lib->dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0));
    if (lib->dnnl_memory_desc_equal(b, b_plain))
        return dnnl_success;
    c->packed_bytes = (lib->dnnl_memory_desc_get_size(b) + 63) / 64 * 64;
    dnnl_primitive_desc_t reorder = NULL;
    status = lib->dnnl_reorder_primitive_desc_create(&reorder, b_plain, p->engine, b, p->engine, NULL);
    if (status == dnnl_success) {
        status = lib->dnnl_primitive_create(&c->reorder, reorder);
        lib->dnnl_primitive_desc_destroy(reorder);
    }
    return status == dnnl_success ? lib->dnnl_memory_create(&c->b_plain, b_plain, p->engine, DNNL_MEMORY_NONE) : status;
}

swg_status swg__provider_prepare(struct swg_plan *plan, swg_value v, bool frozen, int64_t *bytes, bool *reorders) {
    struct swg__provider *p = plan->provider;
    const library *lib = &p->lib;
    const swg__node *n = &plan->g->nodes[v];
    product *c = p->products[v] = swg__calloc(plan->ctx, 1, sizeof *c);
    if (!c)
        return swg__fail_memory(plan->ctx, sizeof *c, "a provider's step");
    *c = (product){.lib = lib, .stream = p->stream, .ctx = plan->ctx};
    int before = set_threads(lib, plan->ctx->threads); /* primitives remember the thread count they were made for */
    dnnl_memory_desc_t b_plain;
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status = describe(lib, plan->g, n, n->ndim == 2 ? 2 : 3, frozen, &b_plain, &matmul);
    if (status == dnnl_success)
        status = attributes(lib, n->attr.relu, &attr);
    if (status == dnnl_success)
        status = lib->dnnl_primitive_desc_create(&pd, &matmul, attr, p->engine, NULL);
    if (status == dnnl_success)
        status = create(p, c, pd, &b_plain, n->attr.bias);
    if (pd)
        lib->dnnl_primitive_desc_destroy(pd);
    if (attr)
        lib->dnnl_primitive_attr_destroy(attr);
    restore_threads(lib, before);
    if (status != dnnl_success)
        return swg__fail(plan->ctx, status == dnnl_out_of_memory ? SWG_ENOMEM : SWG_EUNSUPPORTED,
                         "provider \"onednn\" refused %s \"%s\" with status %d", swg__ops[n->op].text, n->name, (int)status);
    *bytes = (int64_t)(c->packed_bytes + c->scratchpad_bytes);
    *reorders = c->reorder != NULL;
    return SWG_OK;
}

/* ---- running ---- */

static int64_t one(const swg__call *call) {
    (void)call;
    return 1;
}

/* oneDNN never writes to its inputs, but its interface has no const. */
static void set_address(const library *lib, dnnl_memory_t memory, const void *address) {
    void *writable;
    memcpy(&writable, &address, sizeof address);
    lib->dnnl_memory_set_data_handle(memory, writable);
}

static void reorder_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)begin, (void)end, (void)worker;
    const product *c = call->layout;
    set_address(c->lib, c->b_plain, call->in[1]);
    set_address(c->lib, c->b, call->scratch);
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, c->b_plain}, {DNNL_ARG_TO, c->b}};
    int before = set_threads(c->lib, c->ctx->threads);
    c->lib->dnnl_primitive_execute(c->reorder, c->stream, 2, args);
    c->lib->dnnl_stream_wait(c->stream);
    restore_threads(c->lib, before);
}

enum { GATE_CHUNK = 16 << 10 };

static void gate_chunk(void *arg, int64_t task, int worker) {
    (void)worker;
    const swg__call *call = arg;
    int64_t at = task * GATE_CHUNK, all = swg__shape_elements(call->node->ndim, call->node->shape);
    float *out = (float *)call->out + at;
    const float *gate = (const float *)call->in[call->node->inputs - 1] + at;
    call->isa->ew[SWG__GATE](out, out, gate, NULL, swg__min64(GATE_CHUNK, all - at), 0, 0);
}

static void product_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)begin, (void)end, (void)worker;
    const product *c = call->layout;
    const library *lib = c->lib;
    set_address(lib, c->a, call->in[0]);
    if (!c->reorder) /* a reordered one was set when it was filled: setting it writes its padding */
        set_address(lib, c->b, call->in[1]);
    set_address(lib, c->result, call->out);
    set_address(lib, c->scratchpad, c->scratchpad_bytes ? (char *)call->scratch + c->packed_bytes : NULL);
    dnnl_exec_arg_t args[5] = {{DNNL_ARG_SRC, c->a}, {DNNL_ARG_WEIGHTS, c->b}, {DNNL_ARG_DST, c->result},
                               {DNNL_ARG_SCRATCHPAD, c->scratchpad}};
    int count = 4;
    if (c->bias) {
        set_address(lib, c->bias, call->in[2]);
        args[count++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, c->bias};
    }
    int before = set_threads(lib, c->ctx->threads);
    lib->dnnl_primitive_execute(c->matmul, c->stream, count, args);
    lib->dnnl_stream_wait(c->stream);
    restore_threads(lib, before);
    if (call->node->attr.gate) {
        swg__call copy = *call;
        swg__parallel(c->ctx, swg__ceil_div(swg__shape_elements(call->node->ndim, call->node->shape), GATE_CHUNK), gate_chunk, &copy);
    }
}

const swg__kernel swg__kernel_provided = {.name = "onednn", .units = one, .grain = one, .run = product_run};
const swg__kernel swg__kernel_provided_pack = {.name = "reorder", .units = one, .grain = one, .run = reorder_run};
