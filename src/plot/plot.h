/* plot.h (internal) - what the pictures of a run share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_PLOT_PARTS_H
#define SWAGE_PLOT_PARTS_H

#include "data/image_list.h"
#include "swage/plot.h"
#include "swage/report.h"
#include "train/samples.h"

typedef struct swg__plot {
    swg_context *ctx;
    const swg_plot_opts *opts;
    char run[1024], folder[1024];       /* the run's folder; where pictures go */
    swg_model *model;
    swg_train_hooks hooks;
    swg__run data;                      /* its samples, once they are needed */
    swg__sample_set set;                /* tiles through the model; count 0: not made yet */
    swg__table metrics;                 /* rows 0: there is none */
    int64_t row;                        /* of the model's epoch in it, or the last; -1: none */
    swg_report *page;
    swg_plot_files *files;
} swg__plot;

/* "FOLDER/name". */
void swg__plot_path(const swg__plot *p, const char *name, char out[2048]);
/* Adds a path to the list of files. */
swg_status swg__plot_wrote(swg__plot *p, const char *path);
void swg__plot_note(const swg__plot *p, const char *format, ...) SWG__PRINTF(2, 3);

/* Cell of metrics.csv; NaN where it is empty, or there is no such column or row. */
double swg__plot_cell(const swg__plot *p, int64_t row, const char *column);
/* Fills p->set, once. */
swg_status swg__plot_tiles(swg__plot *p);

/* One per row of SWG_PLOT_TABLE: files, and a section of the page. */
swg_status swg__plot_curves(swg__plot *p);
swg_status swg__plot_splines(swg__plot *p);
swg_status swg__plot_samples(swg__plot *p);
swg_status swg__plot_latents(swg__plot *p);
/* Head of the page: conditions of the run and its figures. */
swg_status swg__plot_head(swg__plot *p);

#endif
