/* tfevents.h - event files as TensorBoard reads them: records of TFRecord framing, each a serialised tensorflow.Event. Written only.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_REPORT_TFEVENTS_H
#define SWAGE_REPORT_TFEVENTS_H

#include <stdio.h>
#include "base.h"

typedef struct swg__events {
    swg_context *ctx;
    FILE *file;                  /* NULL: closed */
    char *path;
    swg__text values, value, event; /* what is being put together */
    double wall_time;
    int64_t step;
    swg_status status;           /* of the event being put together */
} swg__events;

enum { SWG__EVENTS_NEW = -1 };

/* Starts a file in `folder`, which is made: events.out.tfevents.SECONDS.swage.NUMBER, behind those that are there in the order of names, which is the
 * order TensorBoard reads them in. `from` SWG__EVENTS_NEW: nothing was logged before; else the first step of which what earlier files say no longer
 * holds (a restart of the session, at which readers drop them). wall_time: seconds since 1970. Close it also after a failure. SWG_EIO, SWG_ENOMEM. */
swg_status swg__events_open(swg__events *events, swg_context *ctx, const char *folder, double wall_time, int64_t from);
void swg__events_close(swg__events *events);

/* One event: begin, any number of values with a tag each, end (one write, flushed). A closed writer takes all of them and does nothing. */
void swg__events_begin(swg__events *events, double wall_time, int64_t step);
void swg__events_scalar(swg__events *events, const char *tag, double value);    /* kept as f32 */
void swg__events_text(swg__events *events, const char *tag, const char *markdown);
/* A PNG as its file holds it. SWG_EFORMAT, told by swg__events_end: it is none. */
void swg__events_png(swg__events *events, const char *tag, const uint8_t *png, size_t bytes);
swg_status swg__events_end(swg__events *events);

#endif
