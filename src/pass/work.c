/* work.c - what all passes do to the graph they rewrite: count readers, replace a value by another.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "pass/pass.h"

void swg__work_count(swg__work *w) {
    memset(w->readers, 0, (size_t)w->g->count * sizeof *w->readers);
    for (int i = 0; i < w->output_count; i++)
        w->readers[w->outputs[i]]++;
    for (int64_t v = w->g->count - 1; v > 0; v--)
        for (int j = 0; w->readers[v] && j < w->g->nodes[v].inputs; j++)
            w->readers[w->g->nodes[v].in[j]]++;
}

void swg__work_replace(swg__work *w, swg_value from, swg_value to) {
    for (int64_t v = from + 1; v < w->g->count; v++)
        for (int j = 0; j < w->g->nodes[v].inputs; j++)
            if (w->g->nodes[v].in[j] == from)
                w->g->nodes[v].in[j] = to;
    for (int i = 0; i < w->output_count; i++)
        if (w->outputs[i] == from)
            w->outputs[i] = to;
}
