/* h5_filter.h - the record by which HDF5 knows the filter.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_H5_FILTER_H
#define SWAGE_DATA_H5_FILTER_H

#include <hdf5.h>

extern const H5Z_class2_t swg__h5_filter;

#endif
