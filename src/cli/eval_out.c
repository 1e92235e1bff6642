/* eval_out.c - what forms of `swage eval` share: cells of a table, and where results go.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/eval_out.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

const char *cli_figure(double value, const char *format, char out[24]) {
    if (isnan(value))
        return "n/a";
    if (isinf(value))
        return "inf";
    snprintf(out, 24, format, value);
    return out;
}

void cli_add_figure(cJSON *object, const char *key, double value) {
    if (isfinite(value))
        cJSON_AddNumberToObject(object, key, value);
    else if (isinf(value))
        cJSON_AddStringToObject(object, key, "inf");
    else
        cJSON_AddNullToObject(object, key);
}

static swg_status write_csv(cli *c, const cli_evaluation *e, const char *path) {
    swg__text text;
    swg__text_init(&text, c->ctx);
    e->csv(e->figures, &text);
    swg_status status = text.failed ? cli_fail(c, SWG_ENOMEM, "out of memory") : swg__file_write(c->ctx, path, text.data, text.length);
    swg__text_free(&text);
    return status;
}

static swg_status give(cli *c, const cli_evaluation *e) {
    const char *folder = cli_value(c, "output"), *csv = cli_value(c, "csv");
    char path[4096];
    if (!e->json)
        return cli_fail(c, SWG_ENOMEM, "out of memory");
    if (csv)
        SWG__TRY(write_csv(c, e, csv));
    if (folder) {
        SWG__TRY(swg__make_folders(c->ctx, folder));
        snprintf(path, sizeof path, "%s/metrics.csv", folder);
        SWG__TRY(write_csv(c, e, path));
        snprintf(path, sizeof path, "%s/metrics.json", folder);
        SWG__TRY(swg__file_write(c->ctx, path, e->json, strlen(e->json)));
    }
    if (cli_flag(c, "json"))
        puts(e->json);
    else
        e->print(e->figures);
    return SWG_OK;
}

swg_status cli_give_evaluation(cli *c, cli_evaluation *e) {
    swg_status status = give(c, e);
    cJSON_free(e->json);
    e->json = NULL;
    return status;
}
