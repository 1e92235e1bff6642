/* record.h - what a run writes beside its log: metrics.csv and event files of TensorBoard, per epoch; perf.json, how fast it went and in what memory; the best
 * checkpoints.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TRAIN_RECORD_H
#define SWAGE_TRAIN_RECORD_H

#include "train/run.h"

/* Mean losses of a pass. */
typedef struct swg__losses { double loss, term[SWG__STEP_TERMS]; } swg__losses;

/* Opens the loggers of the recipe. metrics.csv of the run folder with its header and the rows of epochs that came before r->state.epoch; later rows,
 * and one that a kill cut short, are dropped; rows with other columns keep what they share with today's. tensorboard/: a new event file, which takes
 * back what earlier ones say about steps behind r->state.step. */
swg_status swg__record_open(swg__run *r);
/* The numbers of epoch r->state.epoch, in one write each. val, figures (of the family): NULL where there was no validation, no evaluation. */
swg_status swg__record_epoch(swg__run *r, const swg__losses *train, const swg__losses *val, const double *figures);
/* Pictures of RUN/samples into the event file, if there is one. */
swg_status swg__record_pictures(swg__run *r);

/* Adds the epoch that is running to the sums of this sitting, before its validation; once per epoch. */
void swg__record_speed(swg__run *r);
/* perf.json, of this sitting; r->result is filled. Nothing where no step was made. */
swg_status swg__record_perf(swg__run *r);

/* After an epoch (r->state.epoch is the next): where checkpoint.save_top_k is more than 1, keeps this one as ckpt/top-EPOCH if it is among
 * the k with the least validation loss; the earlier of equals stays. Call swg__record_tidy when ckpt/last knows of it. */
swg_status swg__record_top(swg__run *r, double val_loss);
/* Removes checkpoints top-EPOCH of epochs done that are no longer among the best. */
swg_status swg__record_tidy(swg__run *r);

#endif
