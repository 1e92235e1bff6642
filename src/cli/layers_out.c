/* layers_out.c - parameters and work of a network, by half and by layer, as text and as JSON.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/layers_out.h"
#include <string.h>

static const char *const halves[2] = {"encoder", "decoder"};

static const char *shape_text(const swg_layer *row, char *out, size_t capacity) {
    *out = 0;
    for (int axis = 1; axis < row->ndim; axis++)
        snprintf(out + strlen(out), capacity - strlen(out), "%s%lld", axis > 1 ? "x" : "", (long long)row->shape[axis]);
    return out;
}

void cli_print_work(const swg_layers *layers) {
    const swg_layer e = swg_layers_below(layers, halves[0]), d = swg_layers_below(layers, halves[1]), *all = &layers->total;
    printf("parameters            %14lld  (encoder %lld, decoder %lld)\n", (long long)all->parameters, (long long)e.parameters, (long long)d.parameters);
    printf("FLOP / block          %14lld  (encoder %lld, decoder %lld)\n", 2 * (long long)all->macs, 2 * (long long)e.macs, 2 * (long long)d.macs);
    if (all->macs_by_output != all->macs)
        printf("  by output position  %14lld  (decoder %lld: a transposed convolution as it is often published)\n", 2 * (long long)all->macs_by_output,
               2 * (long long)d.macs_by_output);
    if (all->macs_run != all->macs)
        printf("  without padding     %14lld  (encoder %lld, decoder %lld: what is computed)\n", 2 * (long long)all->macs_run,
               2 * (long long)e.macs_run, 2 * (long long)d.macs_run);
}

void cli_print_layers(const swg_layers *layers) {
    printf("%-24s %-10s %14s %12s %14s %14s %14s\n", "layer", "kind", "result", "parameters", "FLOP", "by output", "computed");
    for (int64_t i = 0; i < layers->count; i++) {
        const swg_layer *row = &layers->rows[i];
        char shape[96];
        if (row->parameters || row->macs)
            printf("%-24s %-10s %14s %12lld %14lld %14lld %14lld\n", row->name, row->kind, shape_text(row, shape, sizeof shape),
                   (long long)row->parameters, 2 * (long long)row->macs, 2 * (long long)row->macs_by_output, 2 * (long long)row->macs_run);
    }
}

static void add_counts(cJSON *object, const swg_layer *row) {
    cJSON_AddNumberToObject(object, "parameters", (double)row->parameters);
    cJSON_AddNumberToObject(object, "macs", (double)row->macs);
    cJSON_AddNumberToObject(object, "macs_by_output", (double)row->macs_by_output);
    cJSON_AddNumberToObject(object, "macs_computed", (double)row->macs_run);
}

void cli_json_layers(cJSON *root, const swg_layers *layers) {
    add_counts(root, &layers->total);
    for (int half = 0; half < 2; half++) {
        const swg_layer sum = swg_layers_below(layers, halves[half]);
        add_counts(cJSON_AddObjectToObject(root, halves[half]), &sum);
    }
    cJSON *list = cJSON_AddArrayToObject(root, "layers");
    for (int64_t i = 0; i < layers->count; i++) {
        const swg_layer *row = &layers->rows[i];
        if (!row->parameters && !row->macs)
            continue;
        cJSON *one = cJSON_CreateObject(), *shape;
        cJSON_AddStringToObject(one, "name", row->name);
        cJSON_AddStringToObject(one, "kind", row->kind);
        shape = cJSON_AddArrayToObject(one, "shape");
        for (int axis = 1; axis < row->ndim; axis++)
            cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)row->shape[axis]));
        add_counts(one, row);
        cJSON_AddItemToArray(list, one);
    }
}
