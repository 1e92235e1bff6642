/* pictures.h - patches of the validation part as a network of family cyto sees and answers them, as PNG files.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TRAIN_PICTURES_H
#define SWAGE_TRAIN_PICTURES_H

#include "data/volumes.h"
#include "swage/model.h"
#include "train/run.h"

/* FOLDER/samples.png, a row per patch, up to eight: the middle plane of source, first target and prediction (mae: the patch, what was visible, the patch
 * filled in), each stretched to its own range; and the rows one by one in sample-N.png. The folder is made. SWG_EUNSUPPORTED without libpng. */
swg_status swg__patch_pictures(swg__run *run, const swg__volumes *volumes, swg_model *model, const char *folder);

#endif
