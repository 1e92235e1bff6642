/* features.h - what this build of the library holds, for version lines and reports.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_FEATURES_H
#define SWAGE_FEATURES_H

#include <stdint.h>

typedef struct swg_feature {
    const char *name;       /* "HDF5" */
    const char *version;    /* "1.10.8", as found when the library was built; NULL: not built in */
} swg_feature;

/* The index-th optional or foreign part; NULL beyond the last. Loads nothing, takes no time. */
const swg_feature *swg_feature_at(int64_t index);

#endif
