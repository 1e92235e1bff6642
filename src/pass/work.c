/* work.c - what all passes do to the graph they rewrite: count readers, replace a value by another, say what they did.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
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

void swg__explain(swg_graph *g, const char *format, ...) {
    char line[320];
    va_list args;
    if (!g->explain)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    swg__text_puts(g->explain, line);
    swg__text_puts(g->explain, "\n");
}

int64_t swg__count_live(const swg_graph *g, const swg_value *outputs, int output_count, swg__op op) {
    uint8_t *live = swg__calloc(g->ctx, (size_t)g->count, 1);
    int64_t count = 0;
    for (int i = 0; live && i < output_count; i++)
        live[outputs[i]] = 1;
    for (int64_t v = g->count - 1; live && v > 0; v--) {
        for (int j = 0; live[v] && j < g->nodes[v].inputs; j++)
            live[g->nodes[v].in[j]] = 1;
        count += live[v] && g->nodes[v].op == op;
    }
    swg__free(g->ctx, live);
    return live ? count : -1;
}
