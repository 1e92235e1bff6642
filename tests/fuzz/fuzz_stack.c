/* fuzz_stack.c - hostile TIFF, PNG and NPY stacks: an error, or boxes that can be read twice with the same numbers.
 * In: a file's bytes; the last one chooses a layout. Out: nothing; crashes, leaks and reads outside are caught by the sanitiser.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "swage/stack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { MOST = 1 << 16 };

static void read_twice(swg_stack *stack) {
    static float once[MOST], again[MOST];
    static int32_t labels[MOST];
    const swg_stack_info *info = swg_stack_about(stack);
    const int last = (int)info->c - 1, channels[] = {last, 0, last / 2};
    swg_stack_box box = {.t = info->t - 1, .channels = channels, .channel_count = 3, .z = info->z > 3 ? info->z - 3 : 0, .y = info->y > 40 ? 9 : 0, .x = info->x / 2};
    if (swg_stack_settle(stack, &box) != SWG_OK)
        abort();
    box.h = box.h < 40 ? box.h : 40;
    box.w = box.w < 40 ? box.w : 40;
    if (3 * box.d * box.h * box.w > MOST)
        abort();
    swg_status first = swg_stack_read(stack, &box, once);
    (void)swg_stack_read(stack, &(swg_stack_box){.channels = channels, .channel_count = 1, .d = 1, .h = 1, .w = 1}, again);
    swg_status second = swg_stack_read(stack, &box, again);
    if (first == SWG_OK && second == SWG_OK && memcmp(once, again, (size_t)(3 * box.d * box.h * box.w) * sizeof *once) != 0)
        abort();
    (void)swg_stack_read_labels(stack, &box, labels);
    for (int64_t c = -1; c <= info->c && c < 64; c++)
        if (swg_stack_channel(stack, c) && !swg_stack_channel(stack, c)[0])
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char *const layouts[] = {NULL, "ZYX", "CYX", "TCZYX", "YXC", "ZC2YX", "T2CYX"};
    swg_context *ctx;
    if (swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK)
        abort();
    const uint8_t choice = bytes ? data[bytes - 1] : 0;
    for (int i = 0; i < 2; i++) {
        swg_stack *stack;
        swg_stack_opts opts = {.max_bytes = 1 << 20, .nonfinite = "zero", .layout = layouts[i ? 1 + choice % 6 : 0]};
        if (swg_stack_open_memory(ctx, data, (int64_t)bytes, "fuzz", &opts, &stack) == SWG_OK)
            read_twice(stack);
        swg_stack_close(stack);
    }
    if (swg_context_bytes(ctx) != 0)
        abort();
    swg_context_close(ctx);
    return 0;
}
