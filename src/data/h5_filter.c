/* h5_filter.c - the filter as HDF5 calls it: can_apply, set_local, one chunk either way.
 * In: HDF5 handles and chunks. Out: resolved parameters, records, values; 0 and a line on the HDF5 error stack after a failure.
 *
 * A process may hold several copies of libhdf5 (h5py brings its own), so none is linked: the functions are those of the library that
 * calls us, found by the return address. Nothing is kept between calls; any thread may call.
 * SPDX-License-Identifier: Apache-2.0 */
#include "h5_filter.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "codec/filter.h"

/* ---- the library that calls ---- */

#define H5_FUNCTIONS(X)                                                                                                               \
    X(herr_t, H5Pget_filter_by_id2, (hid_t, H5Z_filter_t, unsigned *, size_t *, unsigned *, size_t, char *, unsigned *))              \
    X(herr_t, H5Pmodify_filter, (hid_t, H5Z_filter_t, unsigned, size_t, const unsigned *))                                            \
    X(int, H5Pget_chunk, (hid_t, int, hsize_t *))                                                                                     \
    X(htri_t, H5Tequal, (hid_t, hid_t))                                                                                               \
    X(int, H5Sget_simple_extent_dims, (hid_t, hsize_t *, hsize_t *))                                                                  \
    X(void *, H5allocate_memory, (size_t, hbool_t))                                                                                   \
    X(herr_t, H5free_memory, (void *))                                                                                                \
    X(herr_t, H5Epush2, (hid_t, const char *, const char *, unsigned, hid_t, hid_t, hid_t, const char *, ...))

typedef struct caller {
    void *library;
#define X(result, name, arguments) result(*name) arguments;
    H5_FUNCTIONS(X)
#undef X
} caller;

/* A handle that HDF5 keeps in a variable: a datatype, an error class. */
static hid_t constant(const caller *h5, const char *name) {
    const hid_t *at = dlsym(h5->library, name);
    return at ? *at : H5I_INVALID_HID;
}

static bool find_function(void *library, const char *name, void *pointer) {
    void *symbol = dlsym(library, name);
    memcpy(pointer, &symbol, sizeof symbol); /* ISO C has no conversion from an object's to a function's address */
    return symbol != NULL;
}

/* address: in the caller's code. False: not an HDF5 library of version 1.10 or later, or one whose symbols are hidden. */
static bool find_caller(caller *h5, const void *address) {
    Dl_info info;
    unsigned major = 0, minor = 0, release = 0;
    herr_t (*version)(unsigned *, unsigned *, unsigned *);
    *h5 = (caller){0};
    if (!dladdr(address, &info) || !info.dli_fname)
        return false;
    h5->library = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    void *own = h5->library ? dlsym(h5->library, "H5Pmodify_filter") : NULL;
    /* HDF5 inside the program itself, or linked to it: then its variables may have moved into the program, which is searched first. */
    if (!own || own == dlsym(RTLD_DEFAULT, "H5Pmodify_filter")) {
        if (h5->library)
            dlclose(h5->library);
        h5->library = dlopen(NULL, RTLD_LAZY);
    }
    bool good = h5->library && find_function(h5->library, "H5get_libversion", &version);
#define X(result, name, arguments) good = good && find_function(h5->library, #name, &h5->name);
    H5_FUNCTIONS(X)
#undef X
    if (good && version(&major, &minor, &release) >= 0 && (major > 1 || minor >= 10)) /* before, handles were shorter */
        return true;
    if (h5->library)
        dlclose(h5->library);
    h5->library = NULL;
    return false;
}

static void leave_caller(caller *h5) {
    if (h5->library)
        dlclose(h5->library); /* only our count: the library is in use */
}

/* The last thing before a return: other calls clear the stack. */
static void push(const caller *h5, const char *function, const char *minor, const char *message) {
    if (h5->library)
        h5->H5Epush2(H5E_DEFAULT, "swage", function, 0, constant(h5, "H5E_ERR_CLS_g"), constant(h5, "H5E_PLINE_g"), constant(h5, minor),
                     "swage filter: %s", message);
}

/* ---- what HDF5 says of a dataset ---- */

static const struct { const char *name; swg_element type; bool big_endian; } types[] = {
    {"H5T_IEEE_F32LE_g", SWG_ELEMENT_F32, false}, {"H5T_IEEE_F32BE_g", SWG_ELEMENT_F32, true}, {"H5T_IEEE_F64LE_g", SWG_ELEMENT_F64, false},
    {"H5T_IEEE_F64BE_g", SWG_ELEMENT_F64, true},  {"H5T_STD_I8LE_g", SWG_ELEMENT_I8, false},   {"H5T_STD_I8BE_g", SWG_ELEMENT_I8, false},
    {"H5T_STD_U8LE_g", SWG_ELEMENT_U8, false},    {"H5T_STD_U8BE_g", SWG_ELEMENT_U8, false},   {"H5T_STD_I16LE_g", SWG_ELEMENT_I16, false},
    {"H5T_STD_I16BE_g", SWG_ELEMENT_I16, true},   {"H5T_STD_U16LE_g", SWG_ELEMENT_U16, false}, {"H5T_STD_U16BE_g", SWG_ELEMENT_U16, true},
    {"H5T_STD_I32LE_g", SWG_ELEMENT_I32, false},  {"H5T_STD_I32BE_g", SWG_ELEMENT_I32, true},  {"H5T_STD_U32LE_g", SWG_ELEMENT_U32, false},
    {"H5T_STD_U32BE_g", SWG_ELEMENT_U32, true},   {"H5T_STD_I64LE_g", SWG_ELEMENT_I64, false}, {"H5T_STD_I64BE_g", SWG_ELEMENT_I64, true},
    {"H5T_STD_U64LE_g", SWG_ELEMENT_U64, false},  {"H5T_STD_U64BE_g", SWG_ELEMENT_U64, true},
};

typedef struct described {
    swg__filter_shape shape;
    int64_t dims[SWG__FILTER_AXES], chunk[SWG__FILTER_AXES];
} described;

/* NULL or what is missing. */
static const char *describe(const caller *h5, hid_t list, hid_t type, hid_t space, described *out) {
    hsize_t dims[SWG__FILTER_AXES] = {0}, chunk[SWG__FILTER_AXES] = {0};
    *out = (described){0};
    for (size_t i = 0; i < sizeof types / sizeof *types && !out->shape.type; i++)
        if (h5->H5Tequal(type, constant(h5, types[i].name)) > 0) {
            out->shape.type = types[i].type;
            out->shape.big_endian = types[i].big_endian;
        }
    if (!out->shape.type)
        return "only f32, f64 and integers of 8 to 64 bits can be compressed, not this type";
    out->shape.rank = h5->H5Pget_chunk(list, SWG__FILTER_AXES, chunk);
    if (out->shape.rank < 1 || out->shape.rank > SWG__FILTER_AXES)
        return "the dataset is not chunked";
    int rank = h5->H5Sget_simple_extent_dims(space, dims, NULL);
    for (int i = 0; i < out->shape.rank; i++) {
        out->dims[i] = dims[i] > INT64_MAX ? INT64_MAX : (int64_t)dims[i];
        out->chunk[i] = chunk[i] > INT64_MAX ? INT64_MAX : (int64_t)chunk[i];
    }
    out->shape.chunk = out->chunk;
    out->shape.dims = rank == out->shape.rank ? out->dims : NULL;
    return NULL;
}

/* ---- callbacks ---- */

static htri_t can_apply(hid_t list, hid_t type, hid_t space) {
    caller h5;
    described d;
    swg__header header = {0};
    swg_context *ctx;
    if (!find_caller(&h5, __builtin_return_address(0)))
        return 0;
    const char *why = describe(&h5, list, type, space, &d);
    htri_t answer = -1;
    if (why) {
        push(&h5, "can_apply", "H5E_CANAPPLY_g", why);
        answer = 0;
    } else if (swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) == SWG_OK) {
        answer = swg__filter_geometry(ctx, &d.shape, &header) == SWG_OK;
        if (!answer)
            push(&h5, "can_apply", "H5E_CANAPPLY_g", swg_context_message(ctx));
        swg_context_close(ctx);
    }
    leave_caller(&h5);
    return answer;
}

static swg_status resolve(swg_context *ctx, const caller *h5, hid_t list, hid_t type, hid_t space) {
    described d;
    uint32_t words[SWG__FILTER_SEEN], resolved[SWG__FILTER_SEEN];
    unsigned flags = 0;
    size_t count = SWG__FILTER_SEEN, written = 0;
    const char *why = describe(h5, list, type, space, &d);
    if (!why && h5->H5Pget_filter_by_id2(list, SWG__FILTER_ID, &flags, &count, words, 0, NULL, NULL) < 0)
        why = "the filter's parameters cannot be read";
    if (why)
        return swg__fail(ctx, SWG_EINVAL, "%s", why);
    SWG__TRY(swg__filter_resolve(ctx, words, count < SWG__FILTER_SEEN ? count : SWG__FILTER_SEEN, count, &d.shape, resolved, &written));
    if (written && h5->H5Pmodify_filter(list, SWG__FILTER_ID, flags, written, resolved) < 0)
        return swg__fail(ctx, SWG_EIO, "HDF5 does not take the filter's parameters");
    return SWG_OK;
}

static herr_t set_local(hid_t list, hid_t type, hid_t space) {
    caller h5;
    swg_context *ctx;
    if (!find_caller(&h5, __builtin_return_address(0)))
        return -1;
    herr_t result = -1;
    if (swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) == SWG_OK) {
        if (resolve(ctx, &h5, list, type, space) == SWG_OK)
            result = 0;
        else
            push(&h5, "set_local", "H5E_SETLOCAL_g", swg_context_message(ctx));
        swg_context_close(ctx);
    }
    leave_caller(&h5);
    return result;
}

/* Memory that HDF5 will free. */
static void *take_memory(const caller *h5, size_t bytes) { return h5->library ? h5->H5allocate_memory(bytes, false) : malloc(bytes); }

static void drop_memory(const caller *h5, void *memory) {
    if (h5->library)
        h5->H5free_memory(memory);
    else
        free(memory);
}

/* *fresh: the result, *bytes long. */
static swg_status run(swg_context *ctx, const caller *h5, bool reverse, const swg__filter *f, const void *data, size_t given, void **fresh, size_t *bytes) {
    swg__text record;
    if (reverse) {
        *bytes = swg__filter_chunk_bytes(f);
        if (!(*fresh = take_memory(h5, *bytes)))
            return swg__fail_memory(ctx, *bytes, "a chunk");
        return swg__filter_decode(ctx, f, data, given, *fresh, *bytes);
    }
    swg__text_init(&record, ctx);
    swg_status status = swg__filter_encode(ctx, f, data, given, &record);
    if (status == SWG_OK && !(*fresh = take_memory(h5, *bytes = record.length)))
        status = swg__fail_memory(ctx, *bytes, "a chunk record");
    if (status == SWG_OK)
        memcpy(*fresh, record.data, *bytes);
    swg__text_free(&record);
    return status;
}

static size_t filter(unsigned flags, size_t count, const unsigned words[], size_t given, size_t *capacity, void **buffer) {
    caller h5;
    swg_context *ctx;
    swg__filter f;
    void *fresh = NULL;
    size_t bytes = 0;
    bool found = find_caller(&h5, __builtin_return_address(0));
    if (swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK) {
        push(&h5, "filter", "H5E_CANTFILTER_g", "out of memory");
        leave_caller(&h5);
        return 0;
    }
    swg_status status = swg__filter_open(ctx, words, count, &f);
    if (status == SWG_OK) {
        status = run(ctx, &h5, (flags & H5Z_FLAG_REVERSE) != 0, &f, *buffer, given, &fresh, &bytes);
        swg__filter_close(ctx, &f);
    }
    if (status == SWG_OK) {
        drop_memory(&h5, *buffer);
        *buffer = fresh;
        *capacity = bytes;
    } else {
        if (fresh)
            drop_memory(&h5, fresh);
        bytes = 0;
        if (found)
            push(&h5, "filter", "H5E_CANTFILTER_g", swg_context_message(ctx));
    }
    swg_context_close(ctx);
    leave_caller(&h5);
    return bytes;
}

const H5Z_class2_t swg__h5_filter = {
    .version = H5Z_CLASS_T_VERS,
    .id = SWG__FILTER_ID,
    .encoder_present = 1,
    .decoder_present = 1,
    .name = "swage: error-bounded compression (plug-in libh5swage)",
    .can_apply = can_apply,
    .set_local = set_local,
    .filter = filter,
};
