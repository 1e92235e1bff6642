/* stack_copy.c - for the end-to-end tests: reads a stack and writes it again. Usage: stack_copy IN OUT u8|u16|u32|f32 [deflate [LAYOUT]]
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "swage/stack.h"

static swg_status copy(swg_stack *stack, swg_stack_writer *writer) {
    const swg_stack_info *i = swg_stack_about(stack);
    float *plane = malloc((size_t)(i->y * i->x) * sizeof *plane);
    swg_status status = plane ? SWG_OK : SWG_ENOMEM;
    for (int64_t k = 0; status == SWG_OK && k < i->t * i->c * i->z; k++) {
        const int channel = (int)(k / i->z % i->c);
        status = swg_stack_read(stack, &(swg_stack_box){.t = k / (i->z * i->c), .channels = &channel, .channel_count = 1, .z = k % i->z, .d = 1}, plane);
        if (status == SWG_OK)
            status = swg_stack_append_f32(writer, plane, 1);
    }
    free(plane);
    return status;
}

int main(int argc, char **argv) {
    static const swg_element elements[] = {SWG_ELEMENT_U8, SWG_ELEMENT_U16, SWG_ELEMENT_U32, SWG_ELEMENT_F32};
    swg_context *ctx;
    swg_stack *stack = NULL;
    swg_stack_writer *writer = NULL;
    if (argc < 4 || swg_context_open(NULL, &ctx) != SWG_OK)
        return 2;
    swg_stack_write_opts opts = {.deflate = argc > 4 && strcmp(argv[4], "deflate") == 0};
    for (int e = 0; e < 4; e++)
        if (strcmp(argv[3], swg_element_name(elements[e])) == 0)
            opts.element = elements[e];
    swg_status status = swg_stack_open(ctx, argv[1], &(swg_stack_opts){.layout = argc > 5 ? argv[5] : NULL}, &stack);
    if (status == SWG_OK) {
        const swg_stack_info *i = swg_stack_about(stack);
        const char **names = calloc((size_t)i->c, sizeof *names);
        for (int64_t c = 0; names && c < i->c; c++)
            names[c] = swg_stack_channel(stack, c);
        memcpy(opts.size_um, i->size_um, sizeof opts.size_um);
        opts.interval_s = i->interval_s;
        opts.channel_names = names;
        status = swg_stack_create(ctx, argv[2], i->t, i->c, i->z, i->y, i->x, &opts, &writer);
        free(names);
    }
    if (status == SWG_OK && (status = copy(stack, writer)) == SWG_OK)
        status = swg_stack_finish(writer);
    else
        swg_stack_abort(writer);
    swg_stack_close(stack);
    if (status != SWG_OK)
        fprintf(stderr, "stack_copy: %s\n", swg_context_message(ctx));
    swg_context_close(ctx);
    return status == SWG_OK ? 0 : 1;
}
