/* stack_out.c - `swage info FILE.tif`: what a stack of images is, in a few lines or as JSON.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <string.h>
#include <strings.h>
#include "base.h"
#include "cli/stack_out.h"
#include "swage/stack.h"

bool cli_names_stack(const char *path) {
    static const char *const endings[] = {".tif", ".tiff", ".png", ".npy"};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return strstr(path, ":/") != NULL;
}

static void add_known(cJSON *object, const char *key, double value) {
    if (value > 0)
        cJSON_AddNumberToObject(object, key, value);
    else
        cJSON_AddNullToObject(object, key);
}

static void print_json(const swg_stack *stack, const char *path) {
    const swg_stack_info *i = swg_stack_about(stack);
    char name[4096];
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "file", cli_clean(path, name, sizeof name));
    cJSON_AddStringToObject(root, "format", i->format);
    cJSON_AddStringToObject(root, "compression", cli_clean(i->compression, name, sizeof name));
    cJSON_AddStringToObject(root, "type", swg_element_name(i->element));
    cJSON_AddStringToObject(root, "axes", i->order);
    cJSON_AddStringToObject(root, "axes_from", i->order_from);
    cJSON *extents = cJSON_AddObjectToObject(root, "extents");
    cJSON_AddNumberToObject(extents, "t", (double)i->t);
    cJSON_AddNumberToObject(extents, "c", (double)i->c);
    cJSON_AddNumberToObject(extents, "z", (double)i->z);
    cJSON_AddNumberToObject(extents, "y", (double)i->y);
    cJSON_AddNumberToObject(extents, "x", (double)i->x);
    cJSON *size = cJSON_AddObjectToObject(root, "voxel_um");
    add_known(size, "z", i->size_um[0]);
    add_known(size, "y", i->size_um[1]);
    add_known(size, "x", i->size_um[2]);
    add_known(root, "interval_s", i->interval_s);
    cJSON *channels = cJSON_AddArrayToObject(root, "channels");
    for (int64_t c = 0; c < i->c; c++) {
        const char *given = swg_stack_channel(stack, c);
        cJSON_AddItemToArray(channels, given ? cJSON_CreateString(cli_clean(given, name, sizeof name)) : cJSON_CreateNull());
    }
    cJSON_AddBoolToObject(root, "big_endian", i->big_endian);
    cJSON_AddBoolToObject(root, "tiled", i->tiled);
    cJSON_AddNumberToObject(root, "pages", (double)i->pages);
    cJSON_AddNumberToObject(root, "images_left_out", (double)i->images_left_out);
    cJSON_AddNumberToObject(root, "planes_missing", (double)i->planes_missing);
    cJSON_AddBoolToObject(root, "alpha_left_out", i->alpha_dropped);
    cJSON_AddBoolToObject(root, "palette_indices", i->palette);
    char *text = cJSON_Print(root);
    puts(text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

/* Nothing where no channel has a name. */
static void print_channels(const swg_stack *stack) {
    char name[256];
    bool first = true;
    for (int64_t c = 0; c < swg_stack_about(stack)->c; c++) {
        const char *given = swg_stack_channel(stack, c);
        if (given)
            printf("%s  %lld %s\n", first ? "channels  " : "          ", (long long)c, cli_clean(given, name, sizeof name));
        first = first && !given;
    }
}

static void print_voxel(const swg_stack_info *i) {
    char size[3][32];
    if (!(i->size_um[0] > 0 || i->size_um[1] > 0 || i->size_um[2] > 0 || i->interval_s > 0))
        return;
    for (int a = 0; a < 3; a++)
        snprintf(size[a], sizeof size[a], i->size_um[a] > 0 ? "%.6g" : "?", i->size_um[a]);
    printf("voxel       %s x %s x %s um (z, y, x)", size[0], size[1], size[2]);
    if (i->interval_s > 0)
        printf(", %.6g s from one time to the next", i->interval_s);
    printf("\n");
}

/* Who says what the axes are, in words. */
static const char *told(const char *order_from) {
    static const char *const words[][2] = {{"pages", "not told: pages are taken as z"}, {"rank", "not told: by the number of axes"}, {"layout", "by --layout"},
                                           {"image", "one image"}, {"OME-XML", "by OME-XML"}, {"ImageJ", "by ImageJ's description"}, {"tifffile", "by tifffile's description"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i][0], order_from) == 0)
            return words[i][1];
    return order_from;
}

static void print_text(const swg_stack *stack, const char *path) {
    const swg_stack_info *i = swg_stack_about(stack);
    char name[4096];
    printf("stack       %s\n", cli_clean(path, name, sizeof name));
    printf("extents     T %lld, C %lld, Z %lld, Y %lld, X %lld of %s\n", (long long)i->t, (long long)i->c, (long long)i->z, (long long)i->y, (long long)i->x,
           swg_element_name(i->element));
    printf("axes        %s, %s\n", i->order, told(i->order_from));
    printf("stored      %s, compression %s%s%s", i->format, cli_clean(i->compression, name, sizeof name), i->tiled ? ", in tiles" : "", i->big_endian ? ", big-endian" : "");
    if (i->pages > 1)
        printf(", %lld pages", (long long)i->pages);
    printf("\n");
    print_voxel(i);
    print_channels(stack);
    if (i->alpha_dropped)
        printf("note: an alpha channel is left out\n");
    if (i->palette)
        printf("note: its colours are a palette; the numbers are the indices\n");
    if (i->images_left_out)
        printf("note: %lld further image%s or smaller cop%s left out\n", (long long)i->images_left_out, i->images_left_out == 1 ? "" : "s",
               i->images_left_out == 1 ? "y is" : "ies are");
    if (i->planes_missing)
        printf("note: %lld planes are in other files\n", (long long)i->planes_missing);
}

swg_status cli_show_stack(cli *c, const char *path) {
    swg_stack *stack;
    SWG__TRY(swg_stack_open(c->ctx, path, &(swg_stack_opts){.layout = cli_value(c, "layout")}, &stack));
    if (cli_flag(c, "json"))
        print_json(stack, path);
    else
        print_text(stack, path);
    swg_stack_close(stack);
    return SWG_OK;
}
