/* cmd_ops.c - `swage ops`: the table of operations.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <string.h>
#include "cli/cli.h"
#include "swage/ops.h"

static const cli_option options[] = {CLI_JSON, {NULL, 0, NULL, NULL}};

static const char *or_dash(const char *text) { return *text && strcmp(text, "none") != 0 ? text : "-"; }

static void print_json(void) {
    cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "ops");
    swg_op_row row;
    for (int i = 0; swg_op_at(i, &row); i++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "op", row.name);
        cJSON_AddStringToObject(one, "class", row.kind);
        cJSON_AddNumberToObject(one, "inputs", row.inputs);
        cJSON_AddStringToObject(one, "gradient", row.gradient);
        cJSON_AddStringToObject(one, "dtypes", row.dtypes);
        cJSON_AddStringToObject(one, "kernel", row.kernel);
        cJSON_AddItemToArray(list, one);
    }
    char *text = cJSON_Print(root);
    puts(text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

static swg_status ops(cli *c) {
    swg_op_row row;
    if (cli_flag(c, "json")) {
        print_json();
        return SWG_OK;
    }
    printf("%-18s %-11s %6s  %-16s %-8s %s\n", "op", "class", "inputs", "gradient", "dtypes", "kernel");
    for (int i = 0; swg_op_at(i, &row); i++) {
        char inputs[16];
        snprintf(inputs, sizeof inputs, "%d", row.inputs);
        printf("%-18s %-11s %6s  %-16s %-8s %s\n", row.name, row.kind, row.inputs < 0 ? "any" : inputs, row.gradient, or_dash(row.dtypes),
               or_dash(row.kernel));
    }
    return SWG_OK;
}

const cli_command cli_cmd_ops = {
    .name = "ops",
    .usage = "",
    .help = "print the operations of the engine: class, gradient, element types, kernels",
    .details = "gradient: the rule's name; zero: nothing flows back; none: refused where a gradient is asked for.\n"
               "dtypes: f32 runs on the kernel family named, bf16 too where activations are kept in it, f64 on the slow reference.",
    .options = options,
    .least = 0,
    .most = 0,
    .run = ops,
};
