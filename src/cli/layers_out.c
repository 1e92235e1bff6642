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

/* "  (encoder 1, decoder 2)", where a network has those halves. */
static void print_halves(int64_t encoder, int64_t decoder, const char *note) {
    if (encoder || decoder)
        printf("  (encoder %lld, decoder %lld%s)", (long long)encoder, (long long)decoder, note);
    printf("\n");
}

void cli_print_work(const swg_layers *layers, const char *sample) {
    const swg_layer e = swg_layers_below(layers, halves[0]), d = swg_layers_below(layers, halves[1]), *all = &layers->total;
    char title[32];
    snprintf(title, sizeof title, "FLOP / %s", sample);
    printf("%-20s  %14lld", "parameters", (long long)all->parameters);
    print_halves(e.parameters, d.parameters, "");
    printf("%-20s  %14lld", title, 2 * (long long)all->macs);
    print_halves(2 * e.macs, 2 * d.macs, "");
    if (all->macs_by_output != all->macs) {
        printf("  by output position  %14lld  (", 2 * (long long)all->macs_by_output);
        if (d.macs_by_output)
            printf("decoder %lld: ", 2 * (long long)d.macs_by_output);
        printf("a transposed convolution as it is often published)\n");
    }
    if (all->macs_run != all->macs) {
        printf("  without padding     %14lld", 2 * (long long)all->macs_run);
        print_halves(2 * e.macs_run, 2 * d.macs_run, ": what is computed");
    }
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
