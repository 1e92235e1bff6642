/* features.c - the foreign libraries of this build and their versions, from their headers, so that none is initialised.
 * In: nothing. Out: a constant table.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <hdf5.h>
#include "swage/features.h"
#if SWG_HAVE_SOXR
#include <soxr.h>
#endif
#if SWG_HAVE_ONEDNN
#include <oneapi/dnnl/dnnl_version.h>
#endif

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define VERSION(a, b, c) TEXT(a) "." TEXT(b) "." TEXT(c)

static const swg_feature features[] = {
    {"HDF5", VERSION(H5_VERS_MAJOR, H5_VERS_MINOR, H5_VERS_RELEASE)},
    {"libyaml", SWG_YAML_VERSION},
    {"cJSON", VERSION(CJSON_VERSION_MAJOR, CJSON_VERSION_MINOR, CJSON_VERSION_PATCH)},
#if SWG_HAVE_PNG
    {"libpng", SWG_PNG_VERSION},
#else
    {"libpng", NULL},
#endif
#if SWG_HAVE_TIFF
    {"libtiff", SWG_TIFF_VERSION},
#else
    {"libtiff", NULL},
#endif
#if SWG_HAVE_SNDFILE
    {"libsndfile", SWG_SNDFILE_VERSION},
#else
    {"libsndfile", NULL},
#endif
#if SWG_HAVE_SOXR
    {"libsoxr", SOXR_THIS_VERSION_STR},
#else
    {"libsoxr", NULL},
#endif
#if SWG_HAVE_ONEDNN
    {"oneDNN", VERSION(DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, DNNL_VERSION_PATCH)},
#else
    {"oneDNN", NULL},
#endif
};

const swg_feature *swg_feature_at(int64_t index) {
    return index >= 0 && index < (int64_t)(sizeof features / sizeof *features) ? &features[index] : NULL;
}
