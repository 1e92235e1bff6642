/* example_stacks.c - made-up cells for trying the microscopy experiments: ellipsoids as nuclei in larger ones as cells, with dye, membrane, spots and a
 * brightfield that knows of both. In: a seed. Out: TIFF stacks and tables.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base.h"
#include "philox.h"
#include "swage/example.h"
#include "swage/stack.h"

enum { RAW = 7, SEG = 4, MEMBRANE = 1, STRUCTURE = 3, DYE = 5, BRIGHTFIELD = 6, CELLS_MOST = 64 };
enum { NUCLEUS, CELL, NUCLEUS_EDGE, CELL_EDGE };
static const double cell_over_nucleus = 1.6, edge = 0.12, voxels_per_cell = 40000;

typedef struct cell { double centre[3], radius[3]; } cell;

typedef struct scene {
    swg_context *ctx;
    const char *folder;
    int64_t number, extent[3];
    uint64_t seed;
    cell cells[CELLS_MOST];
    int count;
} scene;

static double uniform(const scene *s, uint32_t what, uint32_t which) {
    return (double)swg__philox(s->seed, (uint64_t)s->number << 32 | which, 0, what).w[0] * 0x1p-32;
}

/* Cells whose nuclei do not touch. */
static void place_cells(scene *s) {
    const double least = fmin(fmin((double)s->extent[0] * 2, (double)s->extent[1]), (double)s->extent[2]);
    const double wanted = fmin(CELLS_MOST, fmax(2, (double)(s->extent[0] * s->extent[1] * s->extent[2]) / voxels_per_cell));
    s->count = 0;
    for (uint32_t attempt = 0; attempt < 2000 && s->count < (int)wanted; attempt++) {
        cell c;
        bool free = true;
        for (int i = 0; i < 3; i++) {
            c.radius[i] = least * (0.07 + 0.05 * uniform(s, 1, attempt * 8 + (uint32_t)i)) * (i == 0 ? 0.7 : 1);
            c.centre[i] = uniform(s, 2, attempt * 8 + (uint32_t)i) * (double)(s->extent[i] - 1);
        }
        for (int k = 0; k < s->count && free; k++) {
            double gap = 0;
            for (int i = 0; i < 3; i++) {
                const double d = (c.centre[i] - s->cells[k].centre[i]) / (c.radius[i] + s->cells[k].radius[i]);
                gap += d * d;
            }
            free = gap > 1.15 * 1.15;
        }
        if (free)
            s->cells[s->count++] = c;
    }
}

/* Of every voxel of a plane: the nearest cell, and the distance to its centre in its nucleus' radii; no cell: infinity. Distances along z and y are the same
 * for a row. */
static void measure_plane(const scene *s, int64_t z, double *distance, uint8_t *nearest) {
    for (int64_t y = 0; y < s->extent[1]; y++, distance += s->extent[2], nearest += s->extent[2]) {
        for (int64_t x = 0; x < s->extent[2]; x++)
            distance[x] = INFINITY;
        for (int k = 0; k < s->count; k++) {
            const cell *c = &s->cells[k];
            const double dz = ((double)z - c->centre[0]) / c->radius[0], dy = ((double)y - c->centre[1]) / c->radius[1], row = dz * dz + dy * dy;
            for (int64_t x = 0; x < s->extent[2]; x++) {
                const double dx = ((double)x - c->centre[2]) / c->radius[2], d = row + dx * dx;
                nearest[x] = d < distance[x] ? (uint8_t)k : nearest[x];
                distance[x] = d < distance[x] ? d : distance[x];
            }
        }
        for (int64_t x = 0; x < s->extent[2]; x++)
            distance[x] = sqrt(distance[x]);
    }
}

static double smooth_step(double x) { return 1 / (1 + exp(-x)); }

/* Light in a channel at a distance from the nearest nucleus. */
static double light(const scene *s, int channel, const double at[3], double d, int64_t voxel) {
    const double membrane = exp(-pow((d - cell_over_nucleus) / edge, 2)), inside = smooth_step((1 - d) / 0.06);
    double value = 0;
    switch (channel) {
    case MEMBRANE: value = 900 * membrane; break;
    case STRUCTURE: value = d < cell_over_nucleus ? 700 * pow(fabs(sin(at[0] * 1.1) * sin(at[1] * 0.7) * sin(at[2] * 0.9)), 3) * (1 - inside) : 0; break;
    case DYE: value = 1400 * inside * (0.85 + 0.15 * sin(at[1] * 0.5) * cos(at[2] * 0.6)); break;
    case BRIGHTFIELD: value = 1000 + 160 * membrane - 220 * inside + 120 * exp(-pow((d - 1) / edge, 2)); break;
    default: break;
    }
    if (channel == 0 || channel == 2 || channel == 4)
        return 100;
    const double noise = uniform(s, 10 + (uint32_t)channel, (uint32_t)voxel) + uniform(s, 30 + (uint32_t)channel, (uint32_t)voxel) - 1;
    return fmax(0, 100 + value + 60 * noise);
}

static double mask(int channel, double d) {
    switch (channel) {
    case NUCLEUS: return d <= 1;
    case CELL: return d <= cell_over_nucleus;
    case NUCLEUS_EDGE: return fabs(d - 1) <= edge;
    default: return fabs(d - cell_over_nucleus) <= edge;
    }
}

typedef enum kind { KIND_RAW, KIND_SEG, KIND_NUCLEI } kind;
static const struct { const char *name; int channels; swg_element element; } kinds[] = {
    [KIND_RAW] = {"raw", RAW, SWG_ELEMENT_U16}, [KIND_SEG] = {"seg", SEG, SWG_ELEMENT_U8}, [KIND_NUCLEI] = {"nuclei", 1, SWG_ELEMENT_U16}};
static const char *const raw_names[RAW] = {"blank 0", "membrane", "blank 2", "structure", "blank 4", "dye", "brightfield"};

enum { CHANNELS = RAW + SEG + 1 };

/* One image: all channels of all kinds, filled plane by plane on all threads. */
typedef struct drawing {
    const scene *s;
    float *values;              /* (CHANNELS, z, y, x): raw, seg, nuclei */
    double *distance;           /* (threads, y, x) */
    uint8_t *nearest;           /* (threads, y, x) */
} drawing;

static void fill_plane(void *arg, int64_t z, int worker) {
    const drawing *w = arg;
    const scene *s = w->s;
    const int64_t plane = s->extent[1] * s->extent[2], voxels = s->extent[0] * plane;
    double *distance = w->distance + worker * plane;
    uint8_t *nearest = w->nearest + worker * plane;
    measure_plane(s, z, distance, nearest);
    float *out = w->values + z * plane;
    for (int c = 0; c < RAW; c++, out += voxels)
        for (int64_t i = 0; i < plane; i++) {
            const double at[3] = {(double)z, (double)(i / s->extent[2]), (double)(i % s->extent[2])};
            out[i] = (float)light(s, c, at, distance[i], z * plane + i);
        }
    for (int c = 0; c < SEG; c++, out += voxels)
        for (int64_t i = 0; i < plane; i++)
            out[i] = (float)mask(c, distance[i]);
    for (int64_t i = 0; i < plane; i++)
        out[i] = distance[i] <= 1 ? (float)(nearest[i] + 1) : 0;
}

static swg_status write_stack(const scene *s, kind k, const float *values) {
    char path[4096];
    swg_stack_writer *writer;
    snprintf(path, sizeof path, "%s/%s-%lld.tif", s->folder, kinds[k].name, (long long)s->number);
    SWG__TRY(swg_stack_create(s->ctx, path, 1, kinds[k].channels, s->extent[0], s->extent[1], s->extent[2],
                              &(swg_stack_write_opts){.element = kinds[k].element, .deflate = k != KIND_RAW, .size_um = {.29, .108, .108},
                                                      .channel_names = k == KIND_RAW ? raw_names : NULL}, &writer));
    swg_status status = swg_stack_append_f32(writer, values, kinds[k].channels * s->extent[0]);
    if (status == SWG_OK)
        return swg_stack_finish(writer);
    swg_stack_abort(writer);
    return status;
}

static swg_status write_image(const scene *s) {
    const size_t plane = (size_t)(s->extent[1] * s->extent[2]), voxels = plane * (size_t)s->extent[0], threads = (size_t)swg_context_threads(s->ctx);
    drawing w = {.s = s, .values = swg__alloc(s->ctx, CHANNELS * voxels * sizeof(float)), .distance = swg__alloc(s->ctx, threads * plane * sizeof(double)),
                 .nearest = swg__alloc(s->ctx, threads * plane)};
    swg_status status = w.values && w.distance && w.nearest ? SWG_OK : swg__fail_memory(s->ctx, CHANNELS * voxels * sizeof(float), "an image");
    if (status == SWG_OK)
        swg__parallel(s->ctx, s->extent[0], fill_plane, &w);
    const float *values = w.values;
    for (int k = KIND_RAW; k <= KIND_NUCLEI && status == SWG_OK; values += (size_t)kinds[k].channels * voxels, k++)
        status = write_stack(s, (kind)k, values);
    swg__free(s->ctx, w.values);
    swg__free(s->ctx, w.distance);
    swg__free(s->ctx, w.nearest);
    return status;
}

static const char *const tables[] = {"train.csv", "valid.csv", "test.csv", "predict.csv"};
static const char head[] = "raw,seg,nuclei\n", row_begin[] = "raw-";

/* Tables that are there must be of an example, which is made anew: data of one's own are not written over. */
static swg_status check_folder(swg_context *ctx, const char *folder) {
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        char path[4096];
        uint8_t *text = NULL;
        size_t bytes = 0;
        snprintf(path, sizeof path, "%s/%s", folder, tables[i]);
        if (!swg__exists(path))
            continue;
        SWG__TRY(swg__file_read(ctx, path, &text, &bytes));
        const size_t start = sizeof head - 1, begin = sizeof row_begin - 1;
        const bool own = bytes >= start && memcmp(text, head, start) == 0 && (bytes == start || (bytes >= start + begin && memcmp(text + start, row_begin, begin) == 0));
        swg__free(ctx, text);
        if (!own)
            return swg__fail(ctx, SWG_EINVAL, "%s is of other data; choose another folder for an example", path);
    }
    return SWG_OK;
}

/* Rows first .. first + count - 1 as a table. */
static swg_status write_table(swg_context *ctx, const char *folder, int which, int64_t first, int64_t count) {
    char path[4096];
    swg__text text;
    swg__text_init(&text, ctx);
    swg__text_puts(&text, head);
    for (int64_t i = first; i < first + count; i++)
        swg__text_printf(&text, "%s%lld.tif,seg-%lld.tif,nuclei-%lld.tif\n", row_begin, (long long)i, (long long)i, (long long)i);
    snprintf(path, sizeof path, "%s/%s", folder, tables[which]);
    swg_status status = text.failed ? swg__fail_memory(ctx, 4096, "a table") : swg__file_write(ctx, path, text.data, text.length);
    swg__text_free(&text);
    return status;
}

swg_status swg_example_stacks(swg_context *ctx, const char *folder, const swg_example_opts *opts) {
    const swg_example_opts none = {0}, *o = opts ? opts : &none;
    const int64_t images = o->images ? o->images : 6, held = images >= 4 ? 1 : 0;
    scene s = {.ctx = ctx, .folder = folder, .seed = o->seed, .extent = {64, 128, 128}};
    if (images < 1 || images > 100000 || strlen(folder) > 4000)
        return swg__fail(ctx, SWG_EINVAL, "example data: %lld images, expected 1 to 100000", (long long)images);
    for (int i = 0; i < 3; i++) {
        s.extent[i] = o->extent[i] ? o->extent[i] : s.extent[i];
        if (s.extent[i] < 16 || s.extent[i] > 4096)
            return swg__fail(ctx, SWG_EINVAL, "example data: extent %lld, expected 16 to 4096", (long long)s.extent[i]);
    }
    SWG__TRY(check_folder(ctx, folder));
    SWG__TRY(swg__make_folders(ctx, folder));
    for (s.number = 0; s.number < images; s.number++) {
        place_cells(&s);
        SWG__TRY(write_image(&s));
    }
    const int64_t train = images - 2 * held;
    SWG__TRY(write_table(ctx, folder, 0, 0, train));
    SWG__TRY(write_table(ctx, folder, 1, held ? train : 0, held ? 1 : images));
    SWG__TRY(write_table(ctx, folder, 2, held ? train + 1 : 0, held ? 1 : images));
    return write_table(ctx, folder, 3, held ? train : 0, images - (held ? train : 0));
}
