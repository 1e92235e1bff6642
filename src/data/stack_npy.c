/* stack_npy.c - NumPy's array files as stacks: format 1 to 3, C order, bool, integers and floats of either byte order.
 * In: a stream. Out: stored numbers of boxes, read from their place.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "data/stack_format.h"

enum { MOST_HEAD = 1 << 16 };

typedef struct npy_file {
    int64_t data_at;
    int64_t step[5];            /* in numbers, from one t, c, z, y, x to the next */
    int bytes;                  /* of a number */
    bool swap;
} npy_file;

static swg_status wrong(swg_stack *stack, const char *what) { return swg__fail(stack->ctx, SWG_ECORRUPT, "%s: damaged: %s", stack->name, what); }

/* Behind the colon of a key of the dictionary, NULL if there is none. */
static const char *value_of(const char *head, const char *key) {
    const char *at = strstr(head, key);
    at = at ? at + strlen(key) : NULL;
    while (at && *at == ' ')
        at++;
    return at && *at == ':' ? at + 1 + strspn(at + 1, " ") : NULL;
}

static swg_status settle_type(swg_stack *stack, npy_file *f, const char *descr) {
    static const struct {
        const char *code;
        swg_element element;
    } known[] = {{"u1", SWG_ELEMENT_U8},  {"b1", SWG_ELEMENT_U8},  {"i1", SWG_ELEMENT_I8},  {"u2", SWG_ELEMENT_U16}, {"i2", SWG_ELEMENT_I16}, {"u4", SWG_ELEMENT_U32},
                 {"i4", SWG_ELEMENT_I32}, {"u8", SWG_ELEMENT_U64}, {"i8", SWG_ELEMENT_I64}, {"f2", SWG_ELEMENT_F32}, {"f4", SWG_ELEMENT_F32}, {"f8", SWG_ELEMENT_F64}};
    if (!descr || *descr != '\'' || !strchr("<>|=", descr[1]) || !descr[1])
        return wrong(stack, "the type of its numbers is not told as \"<f4\" or the like");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strncmp(descr + 2, known[i].code, 2) != 0 || descr[4] != '\'')
            continue;
        stack->info.element = known[i].element;
        stack->half = strcmp(known[i].code, "f2") == 0;
        f->bytes = stack->half ? 2 : swg_element_bytes(known[i].element);
        const bool native_big = *(const uint8_t *)&(uint16_t){1} == 0;
        stack->info.big_endian = descr[1] == '>' || (descr[1] != '<' && native_big);
        f->swap = f->bytes > 1 && stack->info.big_endian != native_big;
        return SWG_OK;
    }
    return swg__fail(stack->ctx, SWG_EDTYPE, "%s: numbers of type %.5s are not read", stack->name, descr);
}

/* "(3, 4)" to extents. */
static int read_shape(const char *at, int64_t dims[SWG__AXES_MAX]) {
    int ndim = 0;
    if (!at || *at++ != '(')
        return -1;
    for (;;) {
        at += strspn(at, " ,");
        if (*at == ')')
            return ndim;
        char *end;
        long long extent = strtoll(at, &end, 10);
        if (end == at || ndim == SWG__AXES_MAX || extent < 0 || extent > INT32_MAX)
            return -1;
        dims[ndim++] = extent;
        at = end;
    }
}

static swg_status settle_axes(swg_stack *stack, npy_file *f, int ndim, const int64_t *dims) {
    swg__axes axes;
    const char *from;
    int64_t numbers = 1, bytes;
    SWG__TRY(swg__axes_of_array(stack->ctx, stack->name, stack->layout, ndim, dims, &axes, &from));
    SWG__TRY(swg__stack_take_axes(stack, &axes, from));
    for (int i = axes.count - 1; i >= 0; i--) {
        f->step[strchr("TCZYX", axes.letter[i]) - "TCZYX"] = numbers;
        numbers *= axes.extent[i];
    }
    bytes = numbers * f->bytes; /* take_axes has seen that it fits */
    if (bytes > stack->stream.size - f->data_at)
        return swg__fail(stack->ctx, SWG_ECORRUPT, "%s: damaged or cut short: %lld bytes of numbers, %lld are expected", stack->name,
                         (long long)(stack->stream.size - f->data_at), (long long)bytes);
    if (stack->info.x > stack->max_bytes / (f->step[4] * f->bytes))
        return swg__fail(stack->ctx, SWG_ESHAPE, "%s: rows of %lld pixels are more than %lld bytes", stack->name, (long long)stack->info.x, (long long)stack->max_bytes);
    stack->together = (int)f->step[4]; /* channels behind X */
    return SWG_OK;
}

static swg_status read_head(swg_stack *stack, npy_file *f, char *head) {
    uint8_t fixed[12];
    if (swg__stream_read(&stack->stream, fixed, 12) != 12)
        return wrong(stack, "the head ends too early");
    const bool wide = fixed[6] >= 2;
    const int64_t length = wide ? (int64_t)fixed[8] | (int64_t)fixed[9] << 8 | (int64_t)fixed[10] << 16 | (int64_t)fixed[11] << 24 : fixed[8] | fixed[9] << 8;
    if (fixed[6] < 1 || fixed[6] > 3)
        return swg__fail(stack->ctx, SWG_EUNSUPPORTED, "%s: NPY format %d is not read", stack->name, fixed[6]);
    stack->stream.at = wide ? 12 : 10;
    if (length >= MOST_HEAD || swg__stream_read(&stack->stream, head, length) != length)
        return wrong(stack, "the head ends too early");
    head[length] = 0;
    f->data_at = stack->stream.at;
    const char *fortran = value_of(head, "'fortran_order'");
    int64_t dims[SWG__AXES_MAX];
    const int ndim = read_shape(value_of(head, "'shape'"), dims);
    SWG__TRY(settle_type(stack, f, value_of(head, "'descr'")));
    if (!fortran || ndim < 0)
        return wrong(stack, "its order or shape is not told");
    if (strncmp(fortran, "False", 5) != 0)
        return swg__fail(stack->ctx, SWG_EUNSUPPORTED, "%s: an array in Fortran order; save it with numpy.ascontiguousarray", stack->name);
    return settle_axes(stack, f, ndim, dims);
}

static swg_status open_npy(swg_stack *stack) {
    npy_file *f = swg__calloc(stack->ctx, 1, sizeof *f);
    char *head = swg__alloc(stack->ctx, MOST_HEAD);
    stack->state = f;
    stack->info.format = "NPY";
    swg_status status = f && head ? read_head(stack, f, head) : swg__fail_memory(stack->ctx, MOST_HEAD, stack->name);
    swg__free(stack->ctx, head);
    return status;
}

static swg_status read_span(swg_stack *stack, const npy_file *f, int64_t first, int64_t count, void *to) {
    stack->stream.at = f->data_at + first * f->bytes;
    if (swg__stream_read(&stack->stream, to, count * f->bytes) != count * f->bytes)
        return swg__fail(stack->ctx, SWG_ECORRUPT, "%s: cut short while it was read", stack->name);
    if (f->swap)
        swg__swap_bytes(to, count, f->bytes);
    return SWG_OK;
}

/* Channels behind X: rows of pixels, taken apart. */
static swg_status read_pixels(swg_stack *stack, const npy_file *f, const swg_stack_box *box, uint8_t *out) {
    const int64_t samples = f->step[4], plane = box->d * box->h * box->w;
    uint8_t *row = swg__alloc(stack->ctx, (size_t)(box->w * samples * f->bytes));
    swg_status status = row ? SWG_OK : swg__fail_memory(stack->ctx, (size_t)(box->w * samples * f->bytes), stack->name);
    for (int64_t i = 0; status == SWG_OK && i < box->d * box->h; i++) {
        const int64_t z = box->z + i / box->h, y = box->y + i % box->h;
        status = read_span(stack, f, box->t * f->step[0] + z * f->step[2] + y * f->step[3] + box->x * samples, box->w * samples, row);
        for (int c = 0; status == SWG_OK && c < box->channel_count; c++)
            swg__image_planes(f->bytes, row + box->channels[c] * f->bytes, box->w, (int)samples, 1, out + (c * plane + i * box->w) * f->bytes, 0);
    }
    swg__free(stack->ctx, row);
    return status;
}

static swg_status read_npy(swg_stack *stack, const swg_stack_box *box, void *out) {
    const npy_file *f = stack->state;
    if (f->step[4] > 1)
        return read_pixels(stack, f, box, out);
    const bool whole = box->w == stack->info.x; /* then rows lie behind each other */
    uint8_t *to = out;
    for (int c = 0; c < box->channel_count; c++)
        for (int64_t z = box->z; z < box->z + box->d; z++)
            for (int64_t y = box->y; y < box->y + box->h; y += whole ? box->h : 1) {
                const int64_t first = box->t * f->step[0] + box->channels[c] * f->step[1] + z * f->step[2] + y * f->step[3] + box->x;
                const int64_t count = whole ? box->h * box->w : box->w;
                SWG__TRY(read_span(stack, f, first, count, to));
                to += count * f->bytes;
            }
    return SWG_OK;
}

static void close_npy(swg_stack *stack) { swg__free(stack->ctx, stack->state); }

const swg__stack_format swg__stack_npy = {.open = open_npy, .read = read_npy, .close = close_npy};
