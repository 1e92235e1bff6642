/* walk.c - lists the objects of an HDF5 file: groups before what they hold, every object once, further links as links.
 * In: an open file. Out: swg__h5_tree.
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "h5file/h5file.h"

#if H5_VERSION_GE(1, 12, 0)
typedef H5O_info1_t object_info;
typedef H5L_info2_t link_info;
#define iterate_links H5Literate2
#else
typedef H5O_info_t object_info;
typedef H5L_info_t link_info;
#define iterate_links H5Literate
#endif

bool swg__h5_is_file(const char *path) {
    static const uint8_t signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1A, '\n'};
    uint8_t head[8];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is = fd >= 0 && read(fd, head, sizeof head) == (ssize_t)sizeof head && memcmp(head, signature, sizeof head) == 0;
    if (fd >= 0)
        close(fd);
    return is;
}

swg_status swg__h5_open_file(swg_context *ctx, const char *path, hid_t *file) {
    *file = -1;
    if (!swg__exists(path))
        return swg__fail(ctx, SWG_ENOTFOUND, "%s: no such file", path);
    *file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    return *file >= 0 ? SWG_OK : swg__h5_fail(ctx, SWG_EFORMAT, path, "cannot open as HDF5");
}

/* ---- datasets ---- */

static const swg_element elements[] = {
#define X(code, constant, name, bytes) SWG_ELEMENT_##constant,
    SWG_ELEMENT_TABLE(X)
#undef X
};

static bool find_type(hid_t type, swg__h5_array *a) {
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++)
        for (int big = 0; big < 2; big++)
            if (H5Tequal(type, swg__h5_stored(elements[i], big)) > 0) {
                a->type = elements[i];
                a->big_endian = big && swg_element_bytes(elements[i]) > 1;
                return true;
            }
    return false;
}

static bool is_scale(hid_t dataset) {
    char text[32] = "";
    bool is = false;
    if (H5Aexists(dataset, "CLASS") <= 0)
        return false;
    hid_t attribute = H5Aopen(dataset, "CLASS", H5P_DEFAULT), type = attribute >= 0 ? H5Aget_type(attribute) : -1;
    if (type >= 0 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 && H5Tget_size(type) < sizeof text)
        is = H5Aread(attribute, type, text) >= 0 && strncmp(text, "DIMENSION_SCALE", 15) == 0;
    if (type >= 0)
        H5Tclose(type);
    if (attribute >= 0)
        H5Aclose(attribute);
    return is;
}

/* True where the codec could take it: numbers, some values, stored in this file. */
static bool describe(hid_t dataset, swg__h5_array *a) {
    hsize_t dims[H5S_MAX_RANK] = {0}, chunk[H5S_MAX_RANK] = {0};
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset), list = H5Dget_create_plist(dataset);
    bool good = type >= 0 && space >= 0 && list >= 0 && H5Sget_simple_extent_type(space) == H5S_SIMPLE && find_type(type, a);
    a->rank = good ? H5Sget_simple_extent_dims(space, dims, NULL) : 0;
    good = good && a->rank >= 1 && a->rank <= SWG__FILTER_AXES && H5Pget_external_count(list) == 0;
    H5D_layout_t layout = good ? H5Pget_layout(list) : H5D_LAYOUT_ERROR;
    good = good && (layout == H5D_CHUNKED || layout == H5D_CONTIGUOUS || layout == H5D_COMPACT);
    if (good && layout == H5D_CHUNKED)
        good = H5Pget_chunk(list, a->rank, chunk) == a->rank;
    a->values = 1;
    for (int i = 0; good && i < a->rank; i++) {
        a->dims[i] = dims[i] > INT64_MAX ? INT64_MAX : (int64_t)dims[i];
        a->chunk[i] = (int64_t)chunk[i];
        good = !swg__mul_overflow(a->values, a->dims[i], &a->values) && a->values <= INT64_MAX / 8;
    }
    good = good && a->values > 0;
    int filters = good && layout == H5D_CHUNKED ? H5Pget_nfilters(list) : 0;
    for (int i = 0; i < filters; i++) {
        size_t none = 0;
        unsigned flags, config;
        a->filtered |= H5Pget_filter2(list, (unsigned)i, &flags, &none, NULL, 0, NULL, &config) == SWG__FILTER_ID;
    }
    a->alone = a->filtered && filters == 1;
    a->scale = good && is_scale(dataset);
    a->has_fill = good && swg__h5_fill(dataset, a->type, &a->fill_bits);
    if (list >= 0)
        H5Pclose(list);
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    return good;
}

/* ---- links ---- */

/* Objects that several links may name. */
typedef struct known {
    haddr_t address;
    unsigned long file;
    int64_t item;
} known;

typedef struct walker {
    swg_context *ctx;
    const char *path;
    swg__h5_tree *tree;
    const char *group;       /* path of the group walked now, with a slash behind it */
    known *known;
    int64_t known_count, known_capacity;
    swg_status status;
} walker;

static swg__h5_item *add(walker *w, const char *name) {
    swg__h5_tree *t = w->tree;
    size_t bytes = strlen(w->group) + strlen(name) + 1;
    char *path = swg__arena_alloc(&t->arena, bytes);
    if (path && t->count == t->capacity) {
        int64_t larger = t->capacity ? 2 * t->capacity : 64;
        swg__h5_item *grown = swg__grow(w->ctx, t->items, (size_t)larger * sizeof *grown);
        if (grown) {
            t->items = grown;
            t->capacity = larger;
        }
    }
    if (!path || t->count == t->capacity) {
        w->status = swg__fail_memory(w->ctx, bytes, "the objects of a file");
        return NULL;
    }
    snprintf(path, bytes, "%s%s", w->group, name);
    t->items[t->count] = (swg__h5_item){.path = path};
    return &t->items[t->count++];
}

/* The item that has this object; -1: it is met for the first time, and is kept. */
static int64_t meet(walker *w, const object_info *info, int64_t item) {
    for (int64_t i = 0; i < w->known_count; i++)
        if (w->known[i].address == info->addr && w->known[i].file == info->fileno)
            return w->known[i].item;
    if (w->known_count == w->known_capacity) {
        int64_t larger = w->known_capacity ? 2 * w->known_capacity : 16;
        known *grown = swg__arena_alloc(&w->tree->arena, (size_t)larger * sizeof *grown);
        if (!grown) {
            w->status = swg__fail_memory(w->ctx, (size_t)larger * sizeof *grown, "the objects of a file");
            return -1;
        }
        if (w->known_count)
            memcpy(grown, w->known, (size_t)w->known_count * sizeof *grown);
        w->known = grown;
        w->known_capacity = larger;
    }
    w->known[w->known_count++] = (known){info->addr, info->fileno, item};
    return -1;
}

static void add_object(walker *w, hid_t group, const char *name, swg__h5_item *item) {
    object_info info;
    int64_t index = item - w->tree->items;
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    if (object < 0 || H5Oget_info2(object, &info, H5O_INFO_BASIC) < 0) {
        char what[400];
        snprintf(what, sizeof what, "object \"%.300s\" cannot be opened", item->path);
        w->status = swg__h5_fail(w->ctx, SWG_EFORMAT, w->path, what);
    } else {
        int64_t first = info.rc > 1 || index == 0 ? meet(w, &info, index) : -1;
        item->kind = info.type == H5O_TYPE_GROUP ? SWG__H5_GROUP : info.type == H5O_TYPE_DATASET ? SWG__H5_DATASET :
                     info.type == H5O_TYPE_NAMED_DATATYPE ? SWG__H5_TYPE : SWG__H5_OTHER;
        if (first >= 0) {
            item->kind = SWG__H5_AGAIN;
            item->first = first;
        }
        item->is_array = item->kind == SWG__H5_DATASET && describe(object, &item->array);
    }
    if (object >= 0)
        H5Oclose(object);
}

static herr_t visit(hid_t group, const char *name, const link_info *link, void *data) {
    walker *w = data;
    swg__h5_item *item = add(w, name);
    if (!item)
        return -1;
    item->kind = link->type == H5L_TYPE_SOFT ? SWG__H5_SOFT : link->type == H5L_TYPE_EXTERNAL ? SWG__H5_EXTERNAL : SWG__H5_OTHER;
    if (link->type == H5L_TYPE_HARD)
        add_object(w, group, name, item);
    return w->status == SWG_OK ? 0 : -1;
}

static swg_status walk_group(walker *w, hid_t file, int64_t index) {
    const char *path = w->tree->items[index].path;
    hid_t group = H5Gopen2(file, path, H5P_DEFAULT), list = group >= 0 ? H5Gget_create_plist(group) : -1;
    unsigned order = 0;
    char what[400];
    size_t bytes = strlen(path) + 2;
    char *prefix = swg__arena_alloc(&w->tree->arena, bytes);
    snprintf(what, sizeof what, "cannot list group \"%.300s\"", path);
    if (!prefix) {
        w->status = swg__fail_memory(w->ctx, bytes, path);
    } else if (list < 0 || H5Pget_link_creation_order(list, &order) < 0) {
        w->status = swg__h5_fail(w->ctx, SWG_EFORMAT, w->path, what);
    } else {
        snprintf(prefix, bytes, "%s%s", path, index ? "/" : "");
        w->group = prefix;
        if (iterate_links(group, order & H5P_CRT_ORDER_TRACKED ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME, H5_ITER_INC, NULL, visit, w) < 0 && w->status == SWG_OK)
            w->status = swg__h5_fail(w->ctx, SWG_EFORMAT, w->path, what);
    }
    if (list >= 0)
        H5Pclose(list);
    if (group >= 0)
        H5Gclose(group);
    return w->status;
}

swg_status swg__h5_walk(swg_context *ctx, const char *path, hid_t file, swg__h5_tree *tree) {
    walker w = {.ctx = ctx, .path = path, .tree = tree, .group = "", .status = SWG_OK};
    *tree = (swg__h5_tree){0};
    swg__arena_init(&tree->arena, ctx);
    swg__h5_item *root = add(&w, "/");
    if (root)
        add_object(&w, file, "/", root);
    for (int64_t i = 0; i < tree->count && w.status == SWG_OK; i++)
        if (tree->items[i].kind == SWG__H5_GROUP)
            w.status = walk_group(&w, file, i);
    return w.status;
}

void swg__h5_tree_free(swg__h5_tree *tree) {
    if (!tree->arena.ctx)
        return;
    swg__free(tree->arena.ctx, tree->items);
    swg__arena_free(&tree->arena);
    *tree = (swg__h5_tree){0};
}
