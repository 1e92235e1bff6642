/* cmd_doctor.c - `swage doctor`: does HDF5 find the filter, does it work, and what to do if not; what works on which platform, and here.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include "cli/cli.h"
#include "h5file/doctor.h"
#include "report/platforms.h"
#include "swage/features.h"

static const cli_option options[] = {
    CLI_JSON,
    {NULL, 0, NULL, NULL},
};

static void add_platforms(const swg__platform_row *rows, cJSON *to) {
    for (int i = 0; i < SWG__PLATFORM_ROWS; i++) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "feature", rows[i].feature);
        cJSON_AddStringToObject(o, "linux_x86_64", rows[i].linux_x86);
        cJSON_AddStringToObject(o, "linux_other", rows[i].linux_other);
        cJSON_AddStringToObject(o, "macos_windows", rows[i].elsewhere);
        cJSON_AddStringToObject(o, "here", rows[i].here);
        cJSON_AddItemToArray(to, o);
    }
}

static void print_json(const swg__finding *f, const swg__platform_row *rows, bool good) {
    char text[4700];
    cJSON *root = cJSON_CreateObject(), *checks, *libraries;
    cJSON_AddBoolToObject(root, "ok", good);
    checks = cJSON_AddArrayToObject(root, "checks");
    for (int i = 0; i < SWG__DOCTOR_CHECKS; i++) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "check", f[i].name);
        cJSON_AddBoolToObject(o, "ok", f[i].good);
        cJSON_AddStringToObject(o, "found", cli_clean(f[i].found, text, sizeof text));
        cJSON_AddStringToObject(o, "mend", cli_clean(f[i].mend, text, sizeof text));
        cJSON_AddItemToArray(checks, o);
    }
    add_platforms(rows, cJSON_AddArrayToObject(root, "platforms"));
    libraries = cJSON_AddObjectToObject(root, "libraries");
    const swg_feature *feature;
    for (int64_t i = 0; (feature = swg_feature_at(i)); i++)
        cJSON_AddStringToObject(libraries, feature->name, feature->version ? feature->version : "absent");
    char *printed = cJSON_Print(root);
    puts(printed ? printed : "{}");
    cJSON_free(printed);
    cJSON_Delete(root);
}

static void print_text(const swg__finding *f, const swg__platform_row *rows) {
    char text[4700];
    for (int i = 0; i < SWG__DOCTOR_CHECKS; i++) {
        printf("%-4s  %-18s %s\n", f[i].good ? "ok" : "FAIL", f[i].name, cli_clean(f[i].found, text, sizeof text));
        if (!f[i].good)
            printf("      %-18s to mend: %s\n", "", cli_clean(f[i].mend, text, sizeof text));
    }
    printf("\n%-29s %-27s %-20s %-16s %s\n", "", "Linux, x86-64", "Linux, other", "macOS, Windows", "here");
    for (int i = 0; i < SWG__PLATFORM_ROWS; i++)
        printf("%-29s %-27s %-20s %-16s %s\n", rows[i].feature, rows[i].linux_x86, rows[i].linux_other, rows[i].elsewhere, rows[i].here);
    const swg_feature *feature;
    printf("\nlibraries:");
    for (int64_t i = 0; (feature = swg_feature_at(i)); i++)
        printf("%s %s %s", i ? "," : "", feature->name, feature->version ? feature->version : "absent");
    printf("\n");
}

static swg_status run(cli *c) {
    swg__finding findings[SWG__DOCTOR_CHECKS];
    swg__platform_row rows[SWG__PLATFORM_ROWS];
    swg__platforms(c->ctx, rows);
    SWG__TRY(swg__doctor(c->ctx, findings));
    int wrong = 0;
    for (int i = 0; i < SWG__DOCTOR_CHECKS; i++)
        wrong += !findings[i].good;
    if (cli_flag(c, "json"))
        print_json(findings, rows, wrong == 0);
    else
        print_text(findings, rows);
    return wrong ? cli_fail(c, SWG_ENOTFOUND, "%d of %d checks failed", wrong, (int)SWG__DOCTOR_CHECKS) : SWG_OK;
}

const cli_command cli_cmd_doctor = {
    .name = "doctor",
    .usage = "[--json]",
    .help = "check that HDF5 programs find the filter; say what works on which platform, and here",
    .details = "Exit status 1 if something is missing; the output says what to do.",
    .options = options,
    .run = run,
};
