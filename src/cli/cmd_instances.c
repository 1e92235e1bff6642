/* cmd_instances.c - `swage instances`: a probability or an image into numbered objects.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "cli/cli.h"
#include "swage/instances.h"
#include "swage/stack.h"

static const cli_option options[] = {
    {"output", 'o', "LABELS.tif", "label image: 0 is background; 16 bits up to 65535 objects, then 32"},
    {"threshold", 0, "T", "foreground is above T (default .5): up to 1 a share of the range of 8 or 16 bits, else as stored; otsu: by the histogram"},
    {"blur", 0, "S", "sigma of a Gaussian on the image before the threshold, against noise (default: 0)"},
    {"invert", 0, NULL, "foreground is below the threshold: dark objects"},
    {"channel", 0, "N", "channel of the input, from 0 (default: 0)"},
    {"time", 0, "N", "time of the input, from 0 (default: 0)"},
    {"layout", 0, "AXES", "axes as they lie in the file, where it does not say: ZCYX"},
    {"spacing", 0, "Z,Y,X", "size of a voxel (default: what the file says, else 1,1,1); lengths below are in sizes along x"},
    {"neighbours", 0, "KIND", "all (default: 26, in a plane 8) or faces (6, 4)"},
    {"whole", 0, NULL, "connected parts are objects: no watershed"},
    {"smooth", 0, "S", "sigma of the Gaussian on the distance to the background (default: 1)"},
    {"depth", 0, "H", "a part is split at maxima of the distance that stand H above the neck between them (default: .5)"},
    {"distance", 0, "D", "and that are D or more apart (default: 0)"},
    {"min-size", 0, "N", "objects of fewer voxels are removed (default: 0)"},
    {"keep-holes", 0, NULL, "holes are not filled"},
    {"reference", 0, "LABELS", "label image to compare with: average precision, Dice, error of the count"},
    CLI_THREADS, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

typedef struct work {
    cli *c;
    swg_instances_opts opts;
    bool invert;
    swg_stack_info about;           /* strings not used after the file is closed */
    int64_t extent[3], voxels;
    float *values;
    uint32_t *labels;
    swg_instances_result result;
    swg_instance_score score;
    double seconds;
} work;

/* A number of an option; left as it is where it is not given. */
static swg_status number(cli *c, const char *name, double low, double *value) {
    const char *text = cli_value(c, name);
    if (!text)
        return SWG_OK;
    char *end;
    const double given = strtod(text, &end);
    if (!*text || *end || !isfinite(given) || given < low)
        return cli_fail(c, SWG_EUSAGE, "--%s %s: not a number%s", name, text, low > -INFINITY ? " of 0 or more" : "");
    *value = given;
    return SWG_OK;
}

/* Sizes of a voxel, into lengths along x. */
static swg_status read_spacing(work *w) {
    const char *text = cli_value(w->c, "spacing");
    double s[3];
    memcpy(s, w->about.size_um, sizeof s);
    if (text && (sscanf(text, "%lf,%lf,%lf%*c", &s[0], &s[1], &s[2]) != 3 || !(s[0] > 0) || !(s[1] > 0) || !(s[2] > 0)))
        return cli_fail(w->c, SWG_EUSAGE, "--spacing %s: three lengths above 0, along z, y and x", text);
    for (int a = 0; a < 3; a++)
        w->opts.spacing[a] = s[a] > 0 && s[2] > 0 ? s[a] / s[2] : 1;
    return SWG_OK;
}

static swg_status read_options(work *w) {
    cli *c = w->c;
    const char *threshold = cli_value(c, "threshold"), *neighbours = cli_value(c, "neighbours");
    swg_instances_defaults(&w->opts);
    w->opts.otsu = threshold && strcmp(threshold, "otsu") == 0;
    if (!w->opts.otsu)
        SWG__TRY(number(c, "threshold", -INFINITY, &w->opts.threshold));
    if (neighbours && strcmp(neighbours, "all") != 0 && strcmp(neighbours, "faces") != 0)
        return cli_fail(c, SWG_EUSAGE, "--neighbours %s: all or faces", neighbours);
    w->opts.neighbours = neighbours && strcmp(neighbours, "faces") == 0 ? SWG_NEIGHBOURS_FACES : SWG_NEIGHBOURS_ALL;
    w->opts.whole = cli_flag(c, "whole");
    w->opts.keep_holes = cli_flag(c, "keep-holes");
    w->invert = cli_flag(c, "invert");
    SWG__TRY(number(c, "blur", 0, &w->opts.blur));
    SWG__TRY(number(c, "smooth", 0, &w->opts.smooth));
    SWG__TRY(number(c, "depth", 0, &w->opts.min_depth));
    SWG__TRY(number(c, "distance", 0, &w->opts.min_distance));
    return cli_integer(c, "min-size", 0, INT32_MAX, &w->opts.min_voxels);
}

static swg_status open_stack(work *w, const char *path, swg_stack **out) {
    const swg_stack_opts opts = {.layout = cli_value(w->c, "layout")};
    return swg_stack_open(w->c->ctx, path, &opts, out);
}

static swg_status read_values(work *w, swg_stack *stack) {
    int64_t channel = 0, time = 0;
    w->about = *swg_stack_about(stack);
    SWG__TRY(cli_integer(w->c, "channel", 0, w->about.c - 1, &channel));
    SWG__TRY(cli_integer(w->c, "time", 0, w->about.t - 1, &time));
    const int channels[1] = {(int)channel};
    const swg_stack_box box = {.t = time, .channels = channels, .channel_count = 1};
    w->voxels = 1;
    const int64_t extent[3] = {w->about.z, w->about.y, w->about.x};
    memcpy(w->extent, extent, sizeof extent);
    for (int a = 0; a < 3; a++)
        if (swg__mul_overflow(w->voxels, extent[a], &w->voxels) || w->voxels >= UINT32_MAX)
            return cli_fail(w->c, SWG_ESHAPE, "%s: %lld x %lld x %lld voxels; 2^32 - 2 at most", w->c->positional[0], (long long)extent[0],
                            (long long)extent[1], (long long)extent[2]);
    w->values = swg__alloc(w->c->ctx, (size_t)w->voxels * sizeof *w->values);
    w->labels = swg__alloc(w->c->ctx, (size_t)w->voxels * sizeof *w->labels);
    if (!w->values || !w->labels)
        return swg__fail_memory(w->c->ctx, 2 * (size_t)w->voxels * sizeof *w->values, w->c->positional[0]);
    return swg_stack_read(stack, &box, w->values);
}

static swg_status find(work *w) {
    swg_stack *stack = NULL;
    swg_status status = open_stack(w, w->c->positional[0], &stack);
    if (status == SWG_OK)
        status = read_values(w, stack);
    swg_stack_close(stack);
    SWG__TRY(status);
    SWG__TRY(read_spacing(w));
    if (!w->opts.otsu && w->opts.threshold <= 1 && (w->about.element == SWG_ELEMENT_U8 || w->about.element == SWG_ELEMENT_U16))
        w->opts.threshold *= w->about.element == SWG_ELEMENT_U8 ? 255 : 65535;
    if (w->invert)
        for (int64_t i = 0; i < w->voxels; i++)
            w->values[i] = -w->values[i];
    w->opts.threshold = w->invert ? -w->opts.threshold : w->opts.threshold;
    const int64_t begin = swg__now_ns();
    SWG__TRY(swg_instances_find(w->c->ctx, w->extent, w->values, &w->opts, w->labels, &w->result));
    w->seconds = (double)(swg__now_ns() - begin) * 1e-9;
    w->result.threshold = w->invert ? -w->result.threshold : w->result.threshold;
    return SWG_OK;
}

/* Plane by plane; `narrow` has room for one of 16 bits. */
static swg_status append_planes(const work *w, swg_stack_writer *out, uint16_t *narrow) {
    const int64_t plane = w->extent[1] * w->extent[2];
    for (int64_t z = 0; z < w->extent[0]; z++) {
        const uint32_t *labels = w->labels + z * plane;
        for (int64_t i = 0; i < plane && narrow; i++)
            narrow[i] = (uint16_t)labels[i];
        SWG__TRY(swg_stack_append(out, narrow ? (const void *)narrow : labels, 1));
    }
    return SWG_OK;
}

static swg_status write_labels(const work *w, const char *path) {
    const bool wide = w->result.objects > UINT16_MAX;
    swg_stack_write_opts opts = {.element = wide ? SWG_ELEMENT_U32 : SWG_ELEMENT_U16, .deflate = true};
    swg_stack_writer *out = NULL;
    memcpy(opts.size_um, w->about.size_um, sizeof opts.size_um);
    const size_t bytes = (size_t)(w->extent[1] * w->extent[2]) * sizeof(uint16_t);
    uint16_t *narrow = wide ? NULL : swg__alloc(w->c->ctx, bytes);
    swg_status status = wide || narrow ? swg_stack_create(w->c->ctx, path, 1, 1, w->extent[0], w->extent[1], w->extent[2], &opts, &out)
                                       : swg__fail_memory(w->c->ctx, bytes, path);
    if (status == SWG_OK) {
        status = append_planes(w, out, narrow);
        if (status == SWG_OK)
            status = swg_stack_finish(out);
        else
            swg_stack_abort(out);
    }
    swg__free(w->c->ctx, narrow);
    return status;
}

static swg_status compare(work *w, const char *path) {
    swg_stack *stack = NULL;
    swg_status status = open_stack(w, path, &stack);
    int32_t *reference = status == SWG_OK ? swg__alloc(w->c->ctx, (size_t)w->voxels * sizeof *reference) : NULL;
    if (status == SWG_OK && !reference)
        status = swg__fail_memory(w->c->ctx, (size_t)w->voxels * sizeof *reference, path);
    if (status == SWG_OK) {
        const swg_stack_info *i = swg_stack_about(stack);
        if (i->z != w->extent[0] || i->y != w->extent[1] || i->x != w->extent[2])
            status = cli_fail(w->c, SWG_ESHAPE, "%s: %lld x %lld x %lld voxels, but the image has %lld x %lld x %lld", path, (long long)i->z, (long long)i->y,
                              (long long)i->x, (long long)w->extent[0], (long long)w->extent[1], (long long)w->extent[2]);
    }
    const int first[1] = {0};
    const swg_stack_box box = {.channels = first, .channel_count = 1};
    if (status == SWG_OK)
        status = swg_stack_read_labels(stack, &box, reference);
    if (status == SWG_OK) /* 0 .. 2^31 - 1 */
        status = swg_instance_score_add(w->c->ctx, &w->score, w->voxels, (const uint32_t *)reference, w->labels);
    swg__free(w->c->ctx, reference);
    swg_stack_close(stack);
    return status;
}

static void print_json(const work *w, const char *output) {
    char clean[4096];
    const swg_instances_result *r = &w->result;
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "input", cli_clean(w->c->positional[0], clean, sizeof clean));
    if (output)
        cJSON_AddStringToObject(root, "output", cli_clean(output, clean, sizeof clean));
    const struct { const char *key; double value; } numbers[] = {
        {"z", (double)w->extent[0]}, {"y", (double)w->extent[1]}, {"x", (double)w->extent[2]}, {"threshold", r->threshold},
        {"objects", (double)r->objects}, {"removed", (double)r->removed}, {"foreground", (double)r->foreground}, {"filled", (double)r->filled},
        {"seconds", w->seconds}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        cJSON_AddNumberToObject(root, numbers[i].key, numbers[i].value);
    if (w->score.images) {
        const swg_instance_score *s = &w->score;
        double ap[SWG_AP_LEVELS];
        cJSON *o = cJSON_AddObjectToObject(root, "reference");
        for (int level = 0; level < SWG_AP_LEVELS; level++)
            ap[level] = swg_instance_ap(s, level);
        cJSON_AddNumberToObject(o, "objects", (double)s->reference);
        cJSON_AddNumberToObject(o, "matched", (double)s->matched[0]);
        cJSON_AddItemToObject(o, "ap", cJSON_CreateDoubleArray(ap, SWG_AP_LEVELS));
        cJSON_AddNumberToObject(o, "ap_mean", swg_instance_map(s));
        cJSON_AddNumberToObject(o, "dice", swg_instance_dice(s));
        cJSON_AddNumberToObject(o, "iou", swg_instance_iou(s));
        cJSON_AddNumberToObject(o, "count_bias", swg_instance_count_bias(s));
    }
    char *text = cJSON_Print(root);
    puts(text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

static void print_text(const work *w, const char *output) {
    const swg_instances_result *r = &w->result;
    const swg_instance_score *s = &w->score;
    printf("%lld objects in %lld x %lld x %lld voxels, %.1f %% foreground above %g", (long long)r->objects, (long long)w->extent[0], (long long)w->extent[1],
           (long long)w->extent[2], 100 * (double)r->foreground / (double)w->voxels, r->threshold);
    if (r->removed)
        printf("; %lld smaller ones removed", (long long)r->removed);
    printf("%s\n", r->foreground ? "" : ": --threshold otsu takes one from the image");
    if (s->images)
        printf("reference: %lld objects, %lld of them found; AP@.5 %.3f, AP@.75 %.3f, mean AP@.5:.95 %.3f, Dice %.4f, IoU %.4f\n", (long long)s->reference,
               (long long)s->matched[0], swg_instance_ap(s, 0), swg_instance_ap(s, 5), swg_instance_map(s), swg_instance_dice(s), swg_instance_iou(s));
    if (output)
        printf("wrote %s\n", output);
}

static swg_status run(cli *c) {
    work w = {.c = c};
    const char *output = cli_value(c, "output"), *reference = cli_value(c, "reference");
    swg_status status = read_options(&w);
    if (status == SWG_OK)
        status = find(&w);
    if (status == SWG_OK && reference)
        status = compare(&w, reference);
    if (status == SWG_OK && output)
        status = write_labels(&w, output);
    if (status == SWG_OK && cli_flag(c, "json"))
        print_json(&w, output);
    else if (status == SWG_OK)
        print_text(&w, output);
    swg__free(c->ctx, w.labels);
    swg__free(c->ctx, w.values);
    return status;
}

const cli_command cli_cmd_instances = {
    .name = "instances",
    .usage = "INPUT [-o LABELS.tif]",
    .help = "number the objects in a probability or an image",
    .details = "Threshold, holes, distance to the background, watershed from its maxima. TIFF, PNG, NPY or HDF5 (file.h5:/name), planes or volumes.\n"
               "  swage instances nuclei.tif -o labels.tif --threshold .5 --min-size 20\n"
               "  swage instances raw.png --threshold otsu --reference labels.png",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run,
};
