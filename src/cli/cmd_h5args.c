/* cmd_h5args.c - `swage h5args`: the filter's parameters as h5repack and h5py take them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "cli/cli.h"
#include "codec/filter.h"
#include "h5file/doctor.h"
#include "swage/archive.h"

static const cli_option options[] = {
    {"abs", 0, "NUMBER", "largest error, in the data's units"},
    {"rel", 0, "NUMBER", "largest error as a fraction of the value range of the dataset; needs --range"},
    {"pw", 0, "NUMBER", "largest error relative to each value"},
    {"psnr", 0, "DB", "peak signal-to-noise ratio; needs --range"},
    {"lossless", 0, NULL, "every bit comes back"},
    {"range", 0, "NUMBER", "largest minus smallest value of the whole dataset: the filter sees one chunk at a time"},
    {"effort", 0, "N", "1 (fast) to 9 (small); default 5"},
    {"dataset", 0, "PATH", "dataset of the h5repack line (default: all)"},
    CLI_JSON,
    {NULL, 0, NULL, NULL},
};

/* Exactly one of the bounds; "abs 1e-3" and "rel 1e-3" are different words. */
static swg_status read_bound(cli *c, swg_codec_opts *opts) {
    static const char *const names[] = {"abs", "rel", "pw", "psnr", "lossless"};
    const char *chosen = NULL, *range = cli_value(c, "range");
    char text[128], *end;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (cli_flag(c, names[i])) {
            if (chosen)
                return cli_fail(c, SWG_EUSAGE, "--%s and --%s: give one bound", chosen, names[i]);
            chosen = names[i];
        }
    if (!chosen)
        return cli_fail(c, SWG_EUSAGE, "say how large an error may be: --abs NUMBER, --rel NUMBER --range NUMBER, or --lossless");
    if (strcmp(chosen, "lossless") == 0)
        snprintf(text, sizeof text, "lossless");
    else
        snprintf(text, sizeof text, "%s:%.100s", chosen, cli_value(c, chosen));
    SWG__TRY(swg_bound_parse(c->ctx, text, &opts->bound, &opts->value));
    if (range) {
        opts->range_max = strtod(range, &end);
        opts->has_range = opts->range_max > 0;
        if (*end || end == range || !opts->has_range || isinf(opts->range_max))
            return cli_fail(c, SWG_EUSAGE, "--range %s: expected a number above 0", range);
    }
    return SWG_OK;
}

/* As set_local would: what it refuses is refused here, before a file is written. */
static swg_status check_words(cli *c, const uint32_t *words) {
    static const int64_t dims[1] = {1 << 16};
    swg__filter_shape shape = {.type = SWG_ELEMENT_F32, .rank = 1, .dims = dims, .chunk = dims};
    uint32_t resolved[SWG__FILTER_SEEN];
    size_t written;
    return swg__filter_resolve(c->ctx, words, SWG__FILTER_USER_WORDS, SWG__FILTER_USER_WORDS, &shape, resolved, &written);
}

static swg_status run(cli *c) {
    swg_codec_opts opts = {0};
    int64_t effort = 5;
    uint32_t words[SWG__FILTER_USER_WORDS];
    char list[128] = "", tuple[160] = "", folder[4096];
    const char *dataset = cli_value(c, "dataset");
    SWG__TRY(read_bound(c, &opts));
    SWG__TRY(cli_integer(c, "effort", 1, 9, &effort));
    swg__filter_user_write(&opts, (int)effort, words);
    SWG__TRY(check_words(c, words));
    for (int i = 0; i < SWG__FILTER_USER_WORDS; i++) {
        snprintf(list + strlen(list), sizeof list - strlen(list), ",%u", words[i]);
        snprintf(tuple + strlen(tuple), sizeof tuple - strlen(tuple), "%s%u", i ? ", " : "", words[i]);
    }
    (void)swg__plugin_folder(folder, sizeof folder);
    if (cli_flag(c, "json")) {
        cJSON *root = cJSON_CreateObject(), *array = cJSON_AddArrayToObject(root, "cd_values");
        for (int i = 0; i < SWG__FILTER_USER_WORDS; i++)
            cJSON_AddItemToArray(array, cJSON_CreateNumber(words[i]));
        cJSON_AddNumberToObject(root, "filter", SWG__FILTER_ID);
        cJSON_AddStringToObject(root, "plugin_path", folder);
        char *text = cJSON_Print(root);
        puts(text ? text : "{}");
        cJSON_free(text);
        cJSON_Delete(root);
        return SWG_OK;
    }
    printf("export HDF5_PLUGIN_PATH=%s\n", folder);
    printf("h5repack -f %s%sUD=%d,0,%d%s IN.h5 OUT.h5\n", dataset ? dataset : "", dataset ? ":" : "", SWG__FILTER_ID, SWG__FILTER_USER_WORDS, list);
    printf("f.create_dataset(\"name\", data=x, chunks=True, compression=%d, compression_opts=(%s))\n", SWG__FILTER_ID, tuple);
    return SWG_OK;
}

const cli_command cli_cmd_h5args = {
    .name = "h5args",
    .usage = "--abs NUMBER | --rel NUMBER --range NUMBER | --lossless",
    .help = "print the filter's parameters for h5repack and h5py",
    .details = "  swage h5args --abs 1e-3 --dataset U_CHI",
    .options = options,
    .run = run,
};
