/* diagram.h - boxes and arrows of a network's drawing, placed on a grid.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_REPORT_DIAGRAM_H
#define SWAGE_REPORT_DIAGRAM_H

#include "base.h"
#include "swage/diagram.h"

enum { SWG__LABEL_LINES = 3 };

/* One box: a layer and what was written into it. */
typedef struct swg__box {
    const swg_layer *row;
    char line[SWG__LABEL_LINES][96];    /* name and kind; shape; parameters, "" for none */
    char group[96];                     /* inner scope: "encoder/stage1"; "" outside of any */
    int64_t column, lane, rank;         /* column: outermost scope; lane: across, rank: down, within the column */
    int64_t last;                       /* rank of the last reader in the column; its own if there is none */
} swg__box;

typedef struct swg__arrow { int64_t from, to; } swg__arrow;

typedef struct swg__diagram {
    swg_context *ctx;
    int64_t boxes, arrows, columns;
    swg__box *box;
    swg__arrow *arrow;
    const char **column_name;           /* "" for what stands in no scope; each may end at '/' */
    int64_t *column_lanes, *column_ranks;
    swg__arena arena;
} swg__diagram;

swg_status swg__diagram_make(swg_context *ctx, const swg_layers *layers, swg__diagram *out);
void swg__diagram_free(swg__diagram *d);
/* "4743825" -> "4,743,825". */
void swg__diagram_number(char *out, size_t capacity, int64_t value);
/* Bytes of a name up to its first '/'. */
size_t swg__diagram_top(const char *name);

#endif
