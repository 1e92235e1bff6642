/* make_h5.c - writes the small HDF5 files that tests of the command need: make_h5 KIND PATH.
 * In: a name of the table below. Out: one file. No binary of that sort has to be kept in the repository.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "swage/data.h"

enum { MOST = 64, OCTANT = 343, VALUES = MOST * OCTANT };

typedef struct kind {
    const char *name, *help, *dataset;
    int ndim;
    int64_t dims[4];
    swg_element element;
    int planted; /* index of a value that is not finite; 0: none */
    double plant;
} kind;

static const kind kinds[] = {
    {"octants", "64 blocks of 7^3", "U_CHI", 4, {64, 7, 7, 7}, SWG_ELEMENT_F32, 0, 0},
    {"wide", "the same in f64", "U_CHI", 4, {64, 7, 7, 7}, SWG_ELEMENT_F64, 0, 0},
    {"few", "8 blocks of 7^3", "U_CHI", 4, {8, 7, 7, 7}, SWG_ELEMENT_F32, 0, 0},
    {"small", "blocks of 4^3, too small for the networks", "U_CHI", 4, {64, 4, 4, 4}, SWG_ELEMENT_F32, 0, 0},
    {"nan", "a NaN in block 17", "U_CHI", 4, {64, 7, 7, 7}, SWG_ELEMENT_F32, 17 * OCTANT + 171, (double)NAN},
    {"inf", "an infinity in block 9", "U_CHI", 4, {64, 7, 7, 7}, SWG_ELEMENT_F32, 9 * OCTANT + 171, (double)INFINITY},
    {"constant", "all blocks constant", "U_CHI", 4, {64, 7, 7, 7}, SWG_ELEMENT_F32, 0, 0},
    {"zero", "all blocks zero", "U_CHI", 4, {64, 7, 7, 7}, SWG_ELEMENT_F32, 0, 0},
    {"denormal", "all values subnormal", "U_CHI", 4, {64, 7, 7, 7}, SWG_ELEMENT_F32, 0, 0},
    {"mesh", "no dataset with three or four axes", "mesh/level", 1, {64}, SWG_ELEMENT_I32, 0, 0},
    {"other", "a variable that U_* does not name", "rho", 4, {64, 7, 7, 7}, SWG_ELEMENT_F32, 0, 0},
    {"plane", "two axes where four are needed", "U_CHI", 2, {64, 343}, SWG_ELEMENT_F32, 0, 0},
    {"integers", "integers where floats are needed", "U_CHI", 4, {8, 7, 7, 7}, SWG_ELEMENT_I32, 0, 0},
    {"empty", "no blocks", "U_CHI", 4, {0, 7, 7, 7}, SWG_ELEMENT_F32, 0, 0},
};

static double value_of(const kind *k, int i) {
    if (k->planted && i == k->planted)
        return k->plant;
    if (strcmp(k->name, "constant") == 0)
        return i / OCTANT;
    if (strcmp(k->name, "zero") == 0)
        return 0;
    double wave = sin(0.05 * i) * cos(0.011 * i);
    return strcmp(k->name, "denormal") == 0 ? 1e-41 * wave : 1 + 0.5 * wave;
}

static swg_status write_kind(swg_context *ctx, const kind *k, const char *path) {
    static float narrow[VALUES];
    static double wide[VALUES];
    static int32_t whole[VALUES];
    swg_sink *sink;
    for (int i = 0; i < VALUES; i++) {
        wide[i] = value_of(k, i);
        narrow[i] = (float)wide[i];
        whole[i] = i % 9;
    }
    swg_status status = swg_sink_open(ctx, path, &sink);
    if (status != SWG_OK)
        return status;
    const void *data = k->element == SWG_ELEMENT_F64 ? (const void *)wide : k->element == SWG_ELEMENT_I32 ? (const void *)whole : narrow;
    status = swg_sink_put(sink, k->dataset, k->element, k->ndim, k->dims, data, NULL);
    if (status == SWG_OK)
        return swg_sink_commit(sink);
    swg_sink_abort(sink);
    return status;
}

int main(int argc, char **argv) {
    const kind *found = NULL;
    swg_context *ctx;
    for (size_t i = 0; argc == 3 && i < sizeof kinds / sizeof *kinds; i++)
        found = strcmp(argv[1], kinds[i].name) == 0 ? &kinds[i] : found;
    if (!found) {
        fprintf(stderr, "usage: make_h5 KIND PATH\n");
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
            fprintf(stderr, "  %-10s %s\n", kinds[i].name, kinds[i].help);
        return 2;
    }
    if (swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK)
        return 1;
    swg_status status = write_kind(ctx, found, argv[2]);
    if (status != SWG_OK)
        fprintf(stderr, "make_h5: %s\n", swg_context_message(ctx));
    swg_context_close(ctx);
    return status != SWG_OK;
}
