/* stack_png.c - a PNG as a stack of one plane: its channels as stored, palettes as indices.
 * In: a stream. Out: u8 or u16 numbers.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "data/stack_format.h"

static swg_status open_png(swg_stack *stack) {
    swg_image *image;
    swg__stream stream = stack->stream;
    stack->stream = (swg__stream){.fd = -1}; /* the image has it now */
    SWG__TRY(swg__image_open_stored(stack->ctx, stack->name, stream, stack->max_bytes, &image));
    stack->state = image;
    swg_stack_info *info = &stack->info;
    info->format = "PNG";
    info->compression = "deflate";
    info->big_endian = true;
    info->element = image->info.element;
    info->alpha_dropped = image->info.alpha_dropped;
    info->palette = image->palette;
    stack->together = image->colours;
    swg__axes axes = {0};
    if (stack->layout) {
        SWG__TRY(swg__axes_of_array(stack->ctx, stack->name, stack->layout, image->colours > 1 ? 3 : 2,
                                    (int64_t[]){image->info.height, image->info.width, image->colours}, &axes, &info->order_from));
        if (axes.letter[0] != 'Y')
            return swg__fail(stack->ctx, SWG_EINVAL, "%s: layout=%s: a PNG is YX, or YXC", stack->name, stack->layout);
        return swg__stack_take_axes(stack, &axes, info->order_from);
    }
    axes = (swg__axes){.count = image->colours > 1 ? 3 : 2, .letter = "YXS", .extent = {image->info.height, image->info.width, image->colours}};
    return swg__stack_take_axes(stack, &axes, "image");
}

static swg_status read_png(swg_stack *stack, const swg_stack_box *box, void *out) {
    swg_image *image = stack->state;
    const size_t plane = (size_t)(box->h * box->w) * (size_t)swg_element_bytes(stack->info.element);
    const size_t bytes = plane * (size_t)image->colours;
    uint8_t *all = swg__alloc(stack->ctx, bytes);
    if (!all)
        return swg__fail_memory(stack->ctx, bytes, stack->name);
    swg_status status = swg_image_read_stored(image, box->y, box->x, box->h, box->w, all);
    for (int i = 0; status == SWG_OK && i < box->channel_count; i++)
        memcpy((uint8_t *)out + (size_t)i * plane, all + (size_t)box->channels[i] * plane, plane);
    swg__free(stack->ctx, all);
    return status;
}

static void close_png(swg_stack *stack) { swg_image_close(stack->state); }

const swg__stack_format swg__stack_png = {.open = open_png, .read = read_png, .close = close_png};
