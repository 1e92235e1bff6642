/* profiling.h - a recipe's step under the profiler: by itself for `swage profile`, and inside of a run that says profiler.name.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TRAIN_PROFILING_H
#define SWAGE_TRAIN_PROFILING_H

#include "profile/profile.h"
#include "train/trial.h"

/* ---- by itself ---- */

typedef struct swg__profile_opts {
    bool inference;
    int64_t steps;
    const volatile sig_atomic_t *stop;
} swg__profile_opts;

/* Opens a trial, warms up, records opts->steps steps, measures the machine. SWG_EINTERRUPTED: *opts->stop was raised. Free *out, then close *trial, also
 * after a failure. */
swg_status swg__profile_trial(swg_context *ctx, swg_config *config, const char *recipe, const swg__profile_opts *opts, swg__trial *trial,
                              swg__profiled *out);

/* ---- inside of a run: training steps of a full batch, counted from the first of this sitting ---- */

/* Makes room as the recipe says; nothing where it says no profiler. To be closed also after a failure. */
swg_status swg__run_profile_open(swg__run *run);
void swg__run_profile_close(swg__run *run);
/* Around each micro-batch of a training step: before its batch is waited for, when it has come, after the plan has run. */
void swg__run_profile_begin(swg__run *run, const swg__stage *stage);
void swg__run_profile_ready(swg__run *run);
void swg__run_profile_end(swg__run *run);
/* At the end: trace.json and profile.html, or memory.html and memory.json, into the run folder, and a note of what they say. */
swg_status swg__run_profile_write(swg__run *run);

#endif
