/* cmd_ops.c - `swage ops`: the table of operations.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <string.h>
#include "base.h"
#include "cli/cli.h"
#include "swage/ops.h"

static const cli_option options[] = {CLI_JSON, {NULL, 0, NULL, NULL}};

static const char *or_dash(const char *text) { return *text && strcmp(text, "none") != 0 ? text : "-"; }

/* Is this row asked for? */
static bool wanted(const cli *c, const char *name) {
    bool found = c->positional_count == 0;
    for (int i = 0; i < c->positional_count; i++)
        found = found || swg__glob(c->positional[i], name);
    return found;
}

/* Every argument must fit an operation. */
static swg_status check_names(cli *c) {
    const char *names[256];
    char near[64];
    size_t count = 0;
    swg_op_row row;
    while (count < sizeof names / sizeof *names && swg_op_at((int)count, &row))
        names[count++] = row.name;
    for (int i = 0; i < c->positional_count; i++) {
        bool found = false;
        for (size_t k = 0; k < count; k++)
            found = found || swg__glob(c->positional[i], names[k]);
        if (!found)
            return cli_fail(c, SWG_EUSAGE, "%s: no such operation; `swage ops` lists them%s", c->positional[i],
                            swg__did_you_mean(c->positional[i], names, count, near, sizeof near));
    }
    return SWG_OK;
}

static void print_json(const cli *c) {
    cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "ops");
    swg_op_row row;
    for (int i = 0; swg_op_at(i, &row); i++) {
        if (!wanted(c, row.name))
            continue;
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "op", row.name);
        cJSON_AddStringToObject(one, "class", row.kind);
        cJSON_AddNumberToObject(one, "inputs", row.inputs);
        cJSON_AddStringToObject(one, "gradient", row.gradient);
        cJSON_AddStringToObject(one, "dtypes", row.dtypes);
        cJSON_AddStringToObject(one, "kernel", row.kernel);
        cJSON_AddArrayToObject(one, "exporters"); /* formats of graphs: there is none yet */
        cJSON_AddItemToArray(list, one);
    }
    char *text = cJSON_Print(root);
    puts(text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

static swg_status ops(cli *c) {
    swg_op_row row;
    SWG__TRY(check_names(c));
    if (cli_flag(c, "json")) {
        print_json(c);
        return SWG_OK;
    }
    printf("%-18s %-11s %6s  %-16s %-13s %-20s %s\n", "op", "class", "inputs", "gradient", "dtypes", "kernel", "exporters");
    for (int i = 0; swg_op_at(i, &row); i++) {
        char inputs[16];
        if (!wanted(c, row.name))
            continue;
        snprintf(inputs, sizeof inputs, "%d", row.inputs);
        printf("%-18s %-11s %6s  %-16s %-13s %-20s -\n", row.name, row.kind, row.inputs < 0 ? "any" : inputs, row.gradient, or_dash(row.dtypes),
               or_dash(row.kernel));
    }
    return SWG_OK;
}

const cli_command cli_cmd_ops = {
    .name = "ops",
    .usage = "[NAME ...]",
    .help = "print the operations of the engine: class, gradient, element types, kernels",
    .details = "NAME is an operation or a pattern such as 'conv*'; none: all.\n"
               "gradient: the rule's name; zero: nothing flows back; none: refused where a gradient is asked for.\n"
               "dtypes: f32 runs on the kernel family named, bf16 too where activations are kept in it, f64 on the slow reference.\n"
               "exporters: formats a graph can be written in. None is built yet.",
    .options = options,
    .least = 0,
    .most = -1,
    .run = ops,
};
