/* tune.h (internal) - choices between ways of running a step that give the same bits, and the set of those that were measured.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_PLAN_TUNE_H
#define SWAGE_PLAN_TUNE_H

#include "base.h"
#include "swage/tune.h"

typedef struct swg__tune_key { uint8_t bytes[16]; } swg__tune_key;

/* Zero is what the heuristics say. */
typedef struct swg__choice {
    int64_t panel_rows;         /* of a group; 0: heuristic */
    int32_t shift;              /* of a step: grain times 2^shift */
    int32_t variant;            /* of a step: kernel->variants */
} swg__choice;

enum { SWG__TUNE_LABEL = 120, SWG__TUNE_RECORDS = 4096, SWG__TUNE_BYTES = 1 << 20, SWG__TUNE_SHIFT_LEAST = -8, SWG__TUNE_ONE_TASK = 40 };

typedef struct swg__tune_record {
    swg__tune_key key;
    swg__choice choice;
    double heuristic_ns, best_ns;
    bool fresh;                 /* not in the file yet */
    char label[SWG__TUNE_LABEL];
} swg__tune_record;

struct swg_tuning {
    swg_context *ctx;
    char *folder, *path;        /* NULL: nowhere to keep it */
    swg__tune_record *records;
    int64_t count, capacity;
    int candidate;              /* while measuring: every step and group takes its candidate of this number; 0: what is known; -1: none */
};

const swg__tune_record *swg__tuning_find(const swg_tuning *t, const swg__tune_key *key);
/* Adds a record, or puts it in the place of the one with its key. */
swg_status swg__tuning_put(swg_tuning *t, const swg__tune_record *record);
/* Adds the records of a file's text that are whole and not there yet. *damaged: lines left out; -1: not a file of this kind. */
swg_status swg__tuning_parse(swg_tuning *t, const char *text, size_t bytes, int64_t *damaged);

#endif
