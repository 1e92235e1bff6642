/* hdf5.h - the rules for calling libhdf5: one caller at a time, silent, its error stack turned into our message.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_HDF5_H
#define SWAGE_DATA_HDF5_H

#include <hdf5.h>
#include "base.h"
#include "swage/data.h"

/* The error printer of the program around us, kept while we are inside the library. */
typedef struct swg__h5 {
    H5E_auto2_t printer;
    void *printer_data;
} swg__h5;

/* Every use of libhdf5 stands between these two. Not nested. */
void swg__h5_enter(swg__h5 *session);
void swg__h5_leave(const swg__h5 *session);

/* The stack is cleared by the next HDF5 call, so ask before closing anything. Fails with "<file>: <what>: <innermost reason of the HDF5 error stack>". */
swg_status swg__h5_fail(swg_context *ctx, swg_status status, const char *file, const char *what);
/* The innermost reason alone, "unknown reason" if the stack is empty. */
void swg__h5_reason(char *text, size_t capacity);

/* Type in memory (native) or in a file. Both belong to the library: do not close. */
hid_t swg__h5_native(swg_element element);
hid_t swg__h5_stored(swg_element element, bool big_endian);
/* True and *element, *big_endian for IEEE f32 and f64 of either order. */
bool swg__h5_element(hid_t type, swg_element *element, bool *big_endian);
/* The same for integers of 1 to 8 bytes. */
bool swg__h5_integer(hid_t type, swg_element *element, bool *big_endian);

#endif
