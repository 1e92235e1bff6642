/* status.h - the one error type of Swage: every call that can fail returns a swg_status.
 * The message that goes with it (what, where, what to do) is kept in the context: swg_context_message().
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_STATUS_H
#define SWAGE_STATUS_H

/* One table: code, name, text. Names and texts cannot drift from the enum. */
#define SWG_STATUS_TABLE(X)                                                     \
    X(0, OK, "ok")                                                              \
    X(1, EINVAL, "invalid argument")                                            \
    X(2, ESHAPE, "shapes do not fit")                                           \
    X(3, EDTYPE, "element type not supported here")                             \
    X(4, ENOMEM, "out of memory")                                               \
    X(5, EIO, "input or output failed")                                         \
    X(6, ENOTFOUND, "not found")                                                \
    X(7, EFORMAT, "not in the expected format")                                 \
    X(8, ECORRUPT, "data are damaged")                                          \
    X(9, EUNSUPPORTED, "not supported by this build or version")                \
    X(10, EGRAD, "operation without a gradient")                                \
    X(11, ENONFINITE, "NaN or infinity where a number is needed")               \
    X(12, EBOUND, "error bound violated")                                       \
    X(13, EINTERRUPTED, "interrupted")                                          \
    X(14, EUSAGE, "wrong use of the command line or the configuration")

typedef enum swg_status {
#define X(code, name, text) SWG_##name = code,
    SWG_STATUS_TABLE(X)
#undef X
} swg_status;

/* Name ("SWG_ESHAPE") and text ("shapes do not fit") of a status. Never NULL, static storage. */
const char *swg_status_name(swg_status status);
const char *swg_status_text(swg_status status);

#endif
