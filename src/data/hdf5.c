/* hdf5.c - the door to libhdf5: lock, silence, reasons of failure, element types.
 * In: HDF5 handles. Out: our types and messages.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>
#include "h5_filter.h"
#include "hdf5.h"

/* The one mutable global of the library: libhdf5 as distributions build it is not thread safe, and two contexts may run in two threads. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void swg__h5_enter(swg__h5 *session) {
    pthread_mutex_lock(&lock);
    H5open();
    H5Zregister(&swg__h5_filter); /* again, if somebody took it out: our own readers need no plug-in */
    H5Eget_auto2(H5E_DEFAULT, &session->printer, &session->printer_data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void swg__h5_leave(const swg__h5 *session) {
    H5Eset_auto2(H5E_DEFAULT, session->printer, session->printer_data);
    pthread_mutex_unlock(&lock);
}

struct reason {
    char *text;
    size_t capacity;
};

static herr_t keep_reason(unsigned depth, const H5E_error2_t *error, void *data) {
    (void)depth;
    struct reason *reason = data;
    if (error->desc && *error->desc)
        snprintf(reason->text, reason->capacity, "%s", error->desc);
    return 0;
}

void swg__h5_reason(char *text, size_t capacity) {
    snprintf(text, capacity, "unknown reason");
    struct reason reason = {text, capacity};
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, keep_reason, &reason); /* the last one visited is where it began */
    H5Eclear2(H5E_DEFAULT);
}

swg_status swg__h5_fail(swg_context *ctx, swg_status status, const char *file, const char *what) {
    char reason[300];
    swg__h5_reason(reason, sizeof reason);
    return swg__fail(ctx, status, "%s: %s: %s", file, what, reason);
}

hid_t swg__h5_native(swg_element element) {
    switch (element) {
    case SWG_ELEMENT_F32: return H5T_NATIVE_FLOAT;
    case SWG_ELEMENT_F64: return H5T_NATIVE_DOUBLE;
    case SWG_ELEMENT_I8: return H5T_NATIVE_INT8;
    case SWG_ELEMENT_U8: return H5T_NATIVE_UINT8;
    case SWG_ELEMENT_I16: return H5T_NATIVE_INT16;
    case SWG_ELEMENT_U16: return H5T_NATIVE_UINT16;
    case SWG_ELEMENT_I32: return H5T_NATIVE_INT32;
    case SWG_ELEMENT_U32: return H5T_NATIVE_UINT32;
    case SWG_ELEMENT_I64: return H5T_NATIVE_INT64;
    case SWG_ELEMENT_U64: return H5T_NATIVE_UINT64;
    }
    return H5I_INVALID_HID;
}

hid_t swg__h5_stored(swg_element element, bool big_endian) {
    switch (element) {
    case SWG_ELEMENT_F32: return big_endian ? H5T_IEEE_F32BE : H5T_IEEE_F32LE;
    case SWG_ELEMENT_F64: return big_endian ? H5T_IEEE_F64BE : H5T_IEEE_F64LE;
    case SWG_ELEMENT_I8: return H5T_STD_I8LE;
    case SWG_ELEMENT_U8: return H5T_STD_U8LE;
    case SWG_ELEMENT_I16: return big_endian ? H5T_STD_I16BE : H5T_STD_I16LE;
    case SWG_ELEMENT_U16: return big_endian ? H5T_STD_U16BE : H5T_STD_U16LE;
    case SWG_ELEMENT_U32: return big_endian ? H5T_STD_U32BE : H5T_STD_U32LE;
    case SWG_ELEMENT_I32: return big_endian ? H5T_STD_I32BE : H5T_STD_I32LE;
    case SWG_ELEMENT_U64: return big_endian ? H5T_STD_U64BE : H5T_STD_U64LE;
    case SWG_ELEMENT_I64: return big_endian ? H5T_STD_I64BE : H5T_STD_I64LE;
    }
    return H5I_INVALID_HID;
}

static bool one_of(hid_t type, const swg_element *tried, int count, swg_element *element, bool *big_endian) {
    for (int i = 0; i < 2 * count; i++) {
        if (H5Tequal(type, swg__h5_stored(tried[i / 2], i % 2)) > 0) {
            *element = tried[i / 2];
            *big_endian = i % 2;
            return true;
        }
    }
    return false;
}

bool swg__h5_element(hid_t type, swg_element *element, bool *big_endian) {
    static const swg_element tried[] = {SWG_ELEMENT_F32, SWG_ELEMENT_F64};
    return one_of(type, tried, 2, element, big_endian);
}

bool swg__h5_integer(hid_t type, swg_element *element, bool *big_endian) {
    static const swg_element tried[] = {SWG_ELEMENT_I8,  SWG_ELEMENT_U8,  SWG_ELEMENT_I16, SWG_ELEMENT_U16,
                                        SWG_ELEMENT_I32, SWG_ELEMENT_U32, SWG_ELEMENT_I64, SWG_ELEMENT_U64};
    return one_of(type, tried, 8, element, big_endian);
}

const char *swg_layout_name(swg_layout layout) {
    static const char *const names[] = {"vars", "blocks", "grid"};
    return layout >= SWG_LAYOUT_VARS && layout <= SWG_LAYOUT_GRID ? names[layout] : "?";
}
