/* npy.h - NumPy's array files.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_NPY_H
#define SWAGE_DATA_NPY_H

#include "base.h"
#include "swage/element.h"

/* The head of format 1.0 for an array in C order and native byte order; its values follow it in the file. Check out->failed. */
void swg__npy_head(swg_element type, int ndim, const int64_t *dims, swg__text *out);

#endif
