/* h5swage.c - the two symbols by which HDF5 finds the filter in libh5swage.so.
 * SPDX-License-Identifier: Apache-2.0 */
#include <H5PLextern.h>
#include "data/h5_filter.h"

H5PL_type_t H5PLget_plugin_type(void) { return H5PL_TYPE_FILTER; }

const void *H5PLget_plugin_info(void) { return &swg__h5_filter; }
