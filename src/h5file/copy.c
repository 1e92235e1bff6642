/* copy.c - groups, links, attributes, references and untouched datasets from one HDF5 file into a new one.
 * In: two open files and the objects of the first. Out: the same objects in the second.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "h5file/h5file.h"

swg_status swg__h5_copy_fail(const swg__h5_copier *c, const char *what, const char *object) {
    char text[500];
    snprintf(text, sizeof text, "cannot %s \"%.300s\"", what, object);
    return swg__h5_fail(c->ctx, SWG_EIO, c->to_path, text);
}

/* ---- references: addresses in the old file become those of the objects of the same name in the new one ---- */

static bool holds_references(hid_t type) { return H5Tdetect_class(type, H5T_REFERENCE) > 0; }

static bool translate_one(const swg__h5_copier *c, hid_t type, void *value) {
    static const hdset_reg_ref_t nothing;
    char name[4096];
    bool region = H5Tequal(type, H5T_STD_REF_DSETREG) > 0;
    if (!region && H5Tequal(type, H5T_STD_REF_OBJ) <= 0)
        return false; /* of a kind that came with HDF5 1.12 */
    H5R_type_t kind = region ? H5R_DATASET_REGION : H5R_OBJECT;
    if (memcmp(value, &nothing, region ? sizeof nothing : sizeof(hobj_ref_t)) == 0)
        return true;
    ssize_t length = H5Rget_name(c->from, kind, value, name, sizeof name);
    hid_t space = region && length > 0 ? H5Rget_region(c->from, kind, value) : H5I_INVALID_HID;
    memset(value, 0, region ? sizeof nothing : sizeof(hobj_ref_t)); /* an object without a name cannot be referred to */
    bool good = length <= 0 || (length < (ssize_t)sizeof name && H5Rcreate(value, c->to, name, kind, space) >= 0);
    if (space >= 0)
        H5Sclose(space);
    return good;
}

/* One value of any type that holds references somewhere. The depth is that of the type. */
static bool translate(const swg__h5_copier *c, hid_t type, void *value) {
    H5T_class_t class = H5Tget_class(type);
    bool good = true;
    if (class == H5T_REFERENCE)
        return translate_one(c, type, value);
    if (class == H5T_COMPOUND) {
        int members = H5Tget_nmembers(type);
        for (int m = 0; m < members && good; m++) {
            hid_t member = H5Tget_member_type(type, (unsigned)m);
            good = member >= 0 && (!holds_references(member) || translate(c, member, (char *)value + H5Tget_member_offset(type, (unsigned)m)));
            if (member >= 0)
                H5Tclose(member);
        }
        return good;
    }
    if (class != H5T_ARRAY && class != H5T_VLEN)
        return true;
    hid_t base = H5Tget_super(type);
    hvl_t *list = value;
    size_t bytes = base >= 0 ? H5Tget_size(base) : 0, count = class == H5T_VLEN ? list->len : bytes ? H5Tget_size(type) / bytes : 0;
    char *at = class == H5T_VLEN ? list->p : value;
    good = base >= 0;
    for (size_t i = 0; i < count && good; i++)
        good = translate(c, base, at + i * bytes);
    if (base >= 0)
        H5Tclose(base);
    return good;
}

static bool translate_all(const swg__h5_copier *c, hid_t type, char *values, hssize_t count) {
    bool good = true;
    for (hssize_t i = 0; i < count && good; i++)
        good = translate(c, type, values + (size_t)i * H5Tget_size(type));
    return good;
}

/* ---- attributes ---- */

typedef struct attributes {
    const swg__h5_copier *c;
    const char *object;
    hid_t to;
    bool references;     /* this time the values of those with references, else all others */
    swg_status status;
} attributes;

/* With references: first an empty one in its place, which keeps the order; its values when all objects are there. */
static swg_status copy_value(const attributes *a, hid_t from, const char *name, hid_t type, hid_t space, bool references) {
    const swg__h5_copier *c = a->c;
    hssize_t count = H5Sget_simple_extent_npoints(space);
    size_t bytes = (size_t)(count > 0 ? count : 0) * H5Tget_size(type);
    char *values = swg__calloc(c->ctx, bytes ? bytes : 1, 1);
    if (!values)
        return swg__fail_memory(c->ctx, bytes, name);
    hid_t list = H5Aget_create_plist(from), to = -1;
    bool good = list >= 0, read = false;
    if (good && bytes && references == a->references)
        good = read = H5Aread(from, type, values) >= 0;
    good = good && (!a->references || translate_all(c, type, values, count));
    if (good)
        to = a->references ? H5Aopen(a->to, name, H5P_DEFAULT) : H5Acreate2(a->to, name, type, space, list, H5P_DEFAULT);
    good = good && to >= 0 && (!bytes || H5Awrite(to, type, values) >= 0);
    swg_status status = good ? SWG_OK : swg__h5_copy_fail(c, "copy an attribute of", a->object);
    if (to >= 0)
        H5Aclose(to);
    if (list >= 0)
        H5Pclose(list);
    if (read)
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, values);
    swg__free(c->ctx, values);
    return status;
}

static herr_t visit_attribute(hid_t object, const char *name, const H5A_info_t *info, void *data) {
    (void)info;
    attributes *a = data;
    hid_t from = H5Aopen(object, name, H5P_DEFAULT), stored = from >= 0 ? H5Aget_type(from) : -1, space = from >= 0 ? H5Aget_space(from) : -1;
    hid_t type = stored >= 0 ? H5Tcopy(stored) : -1; /* a named type belongs to the old file */
    if (type < 0 || space < 0) {
        a->status = swg__h5_copy_fail(a->c, "copy an attribute of", a->object);
    } else {
        bool references = holds_references(type);
        if (references || !a->references)
            a->status = copy_value(a, from, name, type, space, references);
    }
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    if (stored >= 0)
        H5Tclose(stored);
    if (from >= 0)
        H5Aclose(from);
    return a->status == SWG_OK ? 0 : -1;
}

static swg_status copy_attributes(const swg__h5_copier *c, int64_t index, bool references) {
    const swg__h5_item *item = &c->tree->items[index];
    attributes a = {.c = c, .object = item->path, .references = references, .status = SWG_OK};
    hid_t from = H5Oopen(c->from, item->path, H5P_DEFAULT);
    a.to = from >= 0 ? H5Oopen(c->to, item->path, H5P_DEFAULT) : -1;
    if (a.to < 0 || (H5Aiterate2(from, H5_INDEX_CRT_ORDER, H5_ITER_INC, NULL, visit_attribute, &a) < 0 && a.status == SWG_OK &&
                     H5Aiterate2(from, H5_INDEX_NAME, H5_ITER_INC, NULL, visit_attribute, &a) < 0 && a.status == SWG_OK))
        a.status = swg__h5_copy_fail(c, "copy attributes of", item->path);
    if (a.to >= 0)
        H5Oclose(a.to);
    if (from >= 0)
        H5Oclose(from);
    return a.status;
}

swg_status swg__h5_copy_attributes(const swg__h5_copier *c, int64_t index) { return copy_attributes(c, index, false); }

/* ---- objects and links ---- */

/* Creation list of a group, or of a file with such a root (class H5P_GROUP_CREATE, H5P_FILE_CREATE). Made anew: the one HDF5 gives for a
 * large group also names the place of its links in the old file. -1 after a failure. */
static hid_t group_list(hid_t file, const char *path, hid_t class) {
    unsigned links = 0, order = 0, compact = 0, dense = 0;
    hid_t group = H5Gopen2(file, path, H5P_DEFAULT), old = group >= 0 ? H5Gget_create_plist(group) : -1, list = H5Pcreate(class);
    bool good = old >= 0 && list >= 0 && H5Pset_obj_track_times(list, false) >= 0 &&
                H5Pget_link_creation_order(old, &links) >= 0 && H5Pset_link_creation_order(list, links) >= 0 &&
                H5Pget_link_phase_change(old, &compact, &dense) >= 0 && H5Pset_link_phase_change(list, compact, dense) >= 0 &&
                H5Pget_attr_creation_order(old, &order) >= 0 && H5Pset_attr_creation_order(list, order) >= 0 &&
                H5Pget_attr_phase_change(old, &compact, &dense) >= 0 && H5Pset_attr_phase_change(list, compact, dense) >= 0;
    if (old >= 0)
        H5Pclose(old);
    if (group >= 0)
        H5Gclose(group);
    if (!good && list >= 0) {
        H5Pclose(list);
        list = -1;
    }
    return list;
}

static swg_status make_group(const swg__h5_copier *c, const char *path) {
    hid_t list = group_list(c->from, path, H5P_GROUP_CREATE), to = list >= 0 ? H5Gcreate2(c->to, path, H5P_DEFAULT, list, H5P_DEFAULT) : -1;
    swg_status status = to >= 0 ? SWG_OK : swg__h5_copy_fail(c, "make group", path);
    if (to >= 0)
        H5Gclose(to);
    if (list >= 0)
        H5Pclose(list);
    return status;
}

static herr_t is_reference(hid_t object, const char *name, const H5A_info_t *info, void *data) {
    (void)info;
    (void)data;
    hid_t item = H5Aopen(object, name, H5P_DEFAULT), type = item >= 0 ? H5Aget_type(item) : -1;
    herr_t found = type >= 0 && holds_references(type);
    if (type >= 0)
        H5Tclose(type);
    if (item >= 0)
        H5Aclose(item);
    return found;
}

/* Are its attributes left to copy_attributes? HDF5 would copy references as they are; all else it copies without a new time of
 * modification. */
static bool leaves_attributes(const swg__h5_copier *c, const char *path) {
    hid_t object = H5Oopen(c->from, path, H5P_DEFAULT);
    bool found = object >= 0 && H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, NULL, is_reference, NULL) > 0;
    if (object >= 0)
        H5Oclose(object);
    return found;
}

/* A dataset or a named type with its data. Types that datasets share stay shared where they come first. */
static swg_status copy_object(const swg__h5_copier *c, const swg__h5_item *item, bool whole) {
    hid_t list = H5Pcreate(H5P_OBJECT_COPY);
    unsigned how = (whole ? 0 : H5O_COPY_WITHOUT_ATTR_FLAG) | (item->kind == SWG__H5_DATASET ? H5O_COPY_MERGE_COMMITTED_DTYPE_FLAG : 0);
    bool good = list >= 0 && H5Pset_copy_object(list, how) >= 0 && H5Ocopy(c->from, item->path, c->to, item->path, list, H5P_DEFAULT) >= 0;
    swg_status status = good ? SWG_OK : swg__h5_copy_fail(c, "copy", item->path);
    if (list >= 0)
        H5Pclose(list);
    return status;
}

static swg_status copy_link(const swg__h5_copier *c, const swg__h5_item *item) {
    H5L_info_t info;
    const char *file, *object;
    if (H5Lget_info(c->from, item->path, &info, H5P_DEFAULT) < 0)
        return swg__h5_copy_fail(c, "read link", item->path);
    char *value = swg__calloc(c->ctx, info.u.val_size + 1, 1);
    if (!value)
        return swg__fail_memory(c->ctx, info.u.val_size + 1, item->path);
    bool good = H5Lget_val(c->from, item->path, value, info.u.val_size, H5P_DEFAULT) >= 0;
    if (good && item->kind == SWG__H5_SOFT)
        good = H5Lcreate_soft(value, c->to, item->path, H5P_DEFAULT, H5P_DEFAULT) >= 0;
    else if (good)
        good = H5Lunpack_elink_val(value, info.u.val_size, NULL, &file, &object) >= 0 &&
               H5Lcreate_external(file, object, c->to, item->path, H5P_DEFAULT, H5P_DEFAULT) >= 0;
    swg_status status = good ? SWG_OK : swg__h5_copy_fail(c, "copy link", item->path);
    swg__free(c->ctx, value);
    return status;
}

swg_status swg__h5_copy_item(const swg__h5_copier *c, int64_t index) {
    const swg__h5_item *item = &c->tree->items[index];
    switch (item->kind) {
    case SWG__H5_GROUP:
        if (index) /* the root is there */
            SWG__TRY(make_group(c, item->path));
        return swg__h5_copy_attributes(c, index);
    case SWG__H5_DATASET:
    case SWG__H5_TYPE: {
        bool own = leaves_attributes(c, item->path);
        SWG__TRY(copy_object(c, item, !own));
        return own ? swg__h5_copy_attributes(c, index) : SWG_OK;
    }
    case SWG__H5_AGAIN:
        if (H5Lcreate_hard(c->to, c->tree->items[item->first].path, c->to, item->path, H5P_DEFAULT, H5P_DEFAULT) < 0)
            return swg__h5_copy_fail(c, "make link", item->path);
        return SWG_OK;
    case SWG__H5_SOFT:
    case SWG__H5_EXTERNAL:
        return copy_link(c, item);
    case SWG__H5_OTHER:
        break;
    }
    return swg__fail(c->ctx, SWG_EUNSUPPORTED, "%s: \"%s\" is a link or object of a kind that cannot be copied", c->from_path, item->path);
}

/* ---- references ---- */

/* A dataset of references: HDF5 copies it as zeros. */
static swg_status copy_reference_data(const swg__h5_copier *c, const char *path) {
    hid_t from = H5Dopen2(c->from, path, H5P_DEFAULT), stored = from >= 0 ? H5Dget_type(from) : -1;
    hid_t space = from >= 0 ? H5Dget_space(from) : -1, to = -1;
    swg_status status = SWG_OK;
    if (stored < 0 || space < 0) {
        status = swg__h5_copy_fail(c, "read", path);
    } else if (holds_references(stored) && H5Sget_simple_extent_npoints(space) > 0) {
        hid_t type = H5Tcopy(stored);
        hssize_t count = H5Sget_simple_extent_npoints(space);
        size_t bytes = (size_t)count * H5Tget_size(type);
        char *values = swg__calloc(c->ctx, bytes, 1);
        if (!values)
            status = swg__fail_memory(c->ctx, bytes, path);
        bool read = values && H5Dread(from, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0;
        if (values && (!read || !translate_all(c, type, values, count) || (to = H5Dopen2(c->to, path, H5P_DEFAULT)) < 0 ||
                       H5Dwrite(to, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0))
            status = swg__h5_copy_fail(c, "copy the references in", path);
        if (read)
            H5Dvlen_reclaim(type, space, H5P_DEFAULT, values);
        swg__free(c->ctx, values);
        H5Tclose(type);
    }
    if (to >= 0)
        H5Dclose(to);
    if (space >= 0)
        H5Sclose(space);
    if (stored >= 0)
        H5Tclose(stored);
    if (from >= 0)
        H5Dclose(from);
    return status;
}

swg_status swg__h5_copy_references(const swg__h5_copier *c) {
    for (int64_t i = 0; i < c->tree->count; i++) {
        const swg__h5_item *item = &c->tree->items[i];
        if (item->kind > SWG__H5_TYPE)
            continue;
        if (item->kind == SWG__H5_DATASET && !item->is_array)
            SWG__TRY(copy_reference_data(c, item->path));
        SWG__TRY(copy_attributes(c, i, true));
    }
    return SWG_OK;
}

/* ---- creation lists ---- */

static bool copy_fill(hid_t old, hid_t fresh, swg_element type) {
    H5D_fill_value_t defined;
    uint64_t value = 0;
    hid_t native = swg__h5_native(type);
    if (H5Pfill_value_defined(old, &defined) < 0 || defined != H5D_FILL_VALUE_USER_DEFINED)
        return true;
    return H5Pget_fill_value(old, native, &value) >= 0 && H5Pset_fill_value(fresh, native, &value) >= 0;
}

hid_t swg__h5_list_like(hid_t old, const swg__h5_array *array, const hsize_t *chunk) {
    unsigned order = 0, compact = 0, dense = 0;
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    bool good = list >= 0 && H5Pset_chunk(list, array->rank, chunk) >= 0 && H5Pset_obj_track_times(list, false) >= 0 && copy_fill(old, list, array->type) &&
                H5Pget_attr_creation_order(old, &order) >= 0 && H5Pset_attr_creation_order(list, order) >= 0 &&
                H5Pget_attr_phase_change(old, &compact, &dense) >= 0 && H5Pset_attr_phase_change(list, compact, dense) >= 0;
    if (!good && list >= 0) {
        H5Pclose(list);
        list = -1;
    }
    return list;
}

swg_status swg__h5_copy_open(swg__h5_copier *c, swg_sink **sink) {
    swg__h5 session;
    swg__h5_enter(&session);
    hid_t list = group_list(c->from, "/", H5P_FILE_CREATE);
    swg_status status = list >= 0 ? SWG_OK : swg__h5_copy_fail(c, "start", c->to_path);
    swg__h5_leave(&session);
    if (status == SWG_OK)
        status = swg__sink_open_direct(c->ctx, c->to_path, list, sink);
    swg__h5_enter(&session);
    if (list >= 0)
        H5Pclose(list);
    swg__h5_leave(&session);
    if (status == SWG_OK)
        c->to = (*sink)->handle;
    return status;
}
