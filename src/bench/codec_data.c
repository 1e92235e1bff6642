/* codec_data.c - arrays for `swage bench codec`: raw fields, their isolated blocks, a large one made of a small one.
 * In: files. Out: arrays in memory that the peers' process sees too.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "bench/codec.h"
#include "philox.h"

/* Dimensions z, y, x (the first may be time); data/fields/README.md has where they come from. */
static const swg__codec_field fields[] = {
    {"vorticity", "sperr_vorticity_41x128x128.f32", SWG_ELEMENT_F32, {41, 128, 128}, false, false},
    {"wmag", "sperr_wmag_91x91x91.f32", SWG_ELEMENT_F32, {91, 91, 91}, false, false},
    {"HadCM3", "hadcm3_e1_airtemp_240x37x49.f32", SWG_ELEMENT_F32, {240, 37, 49}, false, false},
    {"ERA z", "eraint_z_6x241x480.f32", SWG_ELEMENT_F32, {6, 241, 480}, false, false},
    {"ERA u", "eraint_u_6x241x480.f32", SWG_ELEMENT_F32, {6, 241, 480}, false, false},
    {"TOV rho", "et_tov_rho_rl2_40x40x40.f64", SWG_ELEMENT_F64, {40, 40, 40}, false, true},
    {"FEMM Bz", "femm_Bz_47x47x47.f64", SWG_ELEMENT_F64, {47, 47, 47}, false, false},
    {"UM theta", "um_hybrid_theta_15x100x100.f32", SWG_ELEMENT_F32, {15, 100, 100}, true, false},
};

const swg__codec_field *swg__codec_field_at(int i) { return i < (int)(sizeof fields / sizeof *fields) ? &fields[i] : NULL; }

/* ---- memory that a child process inherits ---- */

swg_status swg__codec_room(swg__codec_bench *b, int64_t bytes, void **place) {
    int64_t half = (bytes + 63) / 64 * 64, all = 2 * half;
    if (b->fd < 0)
        b->fd = memfd_create("swage-bench-codec", 0);
    if (b->fd < 0)
        return swg__fail(b->ctx, SWG_EIO, "bench: no memory to share with other processes");
    if (all > b->memory_bytes) {
        if (b->memory)
            munmap(b->memory, (size_t)b->memory_bytes);
        b->memory = NULL;
        b->memory_bytes = 0;
        void *map = ftruncate(b->fd, all) == 0 ? mmap(NULL, (size_t)all, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd, 0) : MAP_FAILED;
        if (map == MAP_FAILED)
            return swg__fail_memory(b->ctx, (size_t)all, "arrays of the codec's benchmark");
        b->memory = map;
        b->memory_bytes = all;
    }
    b->half = half;
    *place = b->memory;
    return SWG_OK;
}

void swg__codec_room_free(swg__codec_bench *b) {
    if (b->memory)
        munmap(b->memory, (size_t)b->memory_bytes);
    if (b->fd >= 0)
        close(b->fd);
    b->memory = NULL;
    b->fd = -1;
}

/* ---- fields ---- */

swg_status swg__codec_field_read(swg__codec_bench *b, const swg__codec_field *field, swg_codec_array *array) {
    char path[4096];
    uint8_t *data;
    size_t bytes;
    int64_t expected = field->dims[0] * field->dims[1] * field->dims[2] * swg_element_bytes(field->type);
    snprintf(path, sizeof path, "%.3900s/fields/%s", b->opts.data ? b->opts.data : "", field->file);
    SWG__TRY(swg__file_read(b->ctx, path, &data, &bytes));
    void *place = NULL;
    swg_status status = (int64_t)bytes == expected ? swg__codec_room(b, expected, &place)
                                                   : swg__fail(b->ctx, SWG_EFORMAT, "%s: %zu bytes; expected %lld", path, bytes, (long long)expected);
    if (status == SWG_OK) {
        memcpy(place, data, bytes);
        *array = (swg_codec_array){.type = field->type, .ndim = 3, .dims = {field->dims[0], field->dims[1], field->dims[2]}, .data = place};
    }
    swg__free(b->ctx, data);
    return status;
}

static double at(const swg_codec_array *a, int64_t i) {
    return a->type == SWG_ELEMENT_F64 ? ((const double *)a->data)[i] : (double)((const float *)a->data)[i];
}

static int64_t count_of(const swg_codec_array *a) {
    int64_t count = 1;
    for (int i = 0; i < a->ndim; i++)
        count *= a->dims[i];
    return count;
}

double swg__codec_range(const swg_codec_array *array) {
    double low = INFINITY, high = -INFINITY;
    for (int64_t i = 0, n = count_of(array); i < n; i++) {
        double x = at(array, i);
        low = isfinite(x) ? fmin(low, x) : low;
        high = isfinite(x) ? fmax(high, x) : high;
    }
    return high > low ? high - low : 0;
}

/* ---- made of fields ---- */

/* The array's values in memory of their own, so that something else can be put in their place. */
static swg_status set_aside(swg__codec_bench *b, swg_codec_array *array, void **copy) {
    size_t bytes = (size_t)(count_of(array) * swg_element_bytes(array->type));
    *copy = swg__alloc(b->ctx, bytes);
    if (!*copy)
        return swg__fail_memory(b->ctx, bytes, "a field");
    memcpy(*copy, array->data, bytes);
    array->data = *copy;
    return SWG_OK;
}

/* Blocks first .. last - 1 of an order, one behind the other. */
static void copy_blocks(const swg_codec_array *array, int64_t edge, const int64_t *order, int64_t first, int64_t last, char *to) {
    const int64_t ny = array->dims[1] / edge, nx = array->dims[2] / edge;
    const size_t size = (size_t)swg_element_bytes(array->type), line = (size_t)edge * size;
    for (int64_t i = first; i < last; i++) {
        int64_t z = order[i] / (ny * nx) * edge, y = order[i] / nx % ny * edge, x = order[i] % nx * edge;
        for (int64_t k = 0; k < edge; k++)
            for (int64_t j = 0; j < edge; j++, to += line)
                memcpy(to, (const char *)array->data + (size_t)(((z + k) * array->dims[1] + y + j) * array->dims[2] + x) * size, line);
    }
}

swg_status swg__codec_cut_blocks(swg__codec_bench *b, swg_codec_array *array, int64_t edge, void **other) {
    const int64_t nz = array->dims[0] / edge, ny = array->dims[1] / edge, nx = array->dims[2] / edge, all = nz * ny * nx, taken = all / 2;
    const size_t block = (size_t)(edge * edge * edge * swg_element_bytes(array->type));
    void *copy = NULL, *place;
    *other = NULL;
    int64_t *order = swg__alloc(b->ctx, (size_t)all * sizeof *order);
    swg_status status = order && taken ? set_aside(b, array, &copy) : swg__fail(b->ctx, SWG_ESHAPE, "bench: a field too small for blocks");
    if (status == SWG_OK)
        status = swg__codec_room(b, taken * (int64_t)block, &place);
    if (status == SWG_OK) {
        *other = swg__alloc(b->ctx, (size_t)taken * block);
        status = *other ? SWG_OK : swg__fail_memory(b->ctx, (size_t)taken * block, "blocks");
    }
    if (status == SWG_OK) {
        for (int64_t i = 0; i < all; i++)
            order[i] = i;
        swg__shuffle(5, 0, order, all);
        copy_blocks(array, edge, order, 0, taken, place);
        copy_blocks(array, edge, order, taken, 2 * taken, *other);
        *array = (swg_codec_array){.type = array->type, .layout = SWG_CODEC_BLOCKS, .ndim = 4, .dims = {taken, edge, edge, edge}, .data = place};
    }
    swg__free(b->ctx, copy);
    swg__free(b->ctx, order);
    return status;
}

swg_status swg__codec_cut_halves(swg__codec_bench *b, swg_codec_array *array, swg_codec_array *other, void **memory) {
    const int64_t first = array->dims[0] / 2;
    const size_t all = (size_t)(count_of(array) * swg_element_bytes(array->type)), before = all / (size_t)array->dims[0] * (size_t)first;
    *memory = NULL;
    if (!first)
        return swg__fail(b->ctx, SWG_ESHAPE, "bench: a field of one plane has no halves");
    *other = *array;
    SWG__TRY(set_aside(b, other, memory));
    memmove(b->memory, b->memory + before, all - before);
    other->dims[0] = first;
    array->dims[0] -= first;
    return SWG_OK;
}

/* There and back: 0 1 2 1 0 1 ... */
static int64_t mirror(int64_t i, int64_t n) {
    int64_t period = n > 1 ? 2 * n - 2 : 1, r = i % period;
    return r < n ? r : period - r;
}

swg_status swg__codec_spread(swg__codec_bench *b, swg_codec_array *array, const int64_t dims[3]) {
    const int64_t *from = array->dims;
    void *copy = NULL, *place;
    swg_status status = set_aside(b, array, &copy);
    if (status == SWG_OK)
        status = swg__codec_room(b, dims[0] * dims[1] * dims[2] * (int64_t)sizeof(float), &place);
    float *to = status == SWG_OK ? place : NULL;
    for (int64_t z = 0; to && z < dims[0]; z++)
        for (int64_t y = 0; y < dims[1]; y++)
            for (int64_t x = 0; x < dims[2]; x++) {
                /* A scale that varies slowly over the whole: mirrored tiles differ in every bit, gradients keep their size. */
                double scale = 1 + 1e-2 * sin(7e-3 * (double)x + 5e-3 * (double)y + 3e-3 * (double)z);
                int64_t i = (mirror(z, from[0]) * from[1] + mirror(y, from[1])) * from[2] + mirror(x, from[2]);
                *to++ = (float)(scale * at(array, i));
            }
    if (status == SWG_OK)
        *array = (swg_codec_array){.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {dims[0], dims[1], dims[2]}, .data = place};
    swg__free(b->ctx, copy);
    return status;
}
