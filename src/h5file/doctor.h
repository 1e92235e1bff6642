/* doctor.h - does HDF5 on this machine find the filter, and does it work?
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_H5FILE_DOCTOR_H
#define SWAGE_H5FILE_DOCTOR_H

#include "base.h"

enum { SWG__DOCTOR_CHECKS = 6 };

typedef struct swg__finding {
    const char *name;    /* of the check */
    bool good;
    char found[4600];
    char mend[4600];     /* what to do; "" where it is good */
} swg__finding;

/* All checks, in order. Whatever is wrong is in the findings; SWG_ENOMEM only. */
swg_status swg__doctor(swg_context *ctx, swg__finding findings[SWG__DOCTOR_CHECKS]);

/* Folder of libh5swage.so: in HDF5_PLUGIN_PATH, else where this program was installed or built. False: nowhere; *out is then the folder
 * an installation would have put it in. */
bool swg__plugin_folder(char *out, size_t capacity);

#endif
