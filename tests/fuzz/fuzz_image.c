/* fuzz_image.c - hostile PNG and TIFF files: an error, or rows that can be read twice with the same numbers.
 * In: a file's bytes. Out: nothing; crashes, leaks and reads outside are caught by the sanitiser.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "swage/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { MOST = 1 << 16 };

static void read_twice(swg_image *image) {
    static float once[MOST], again[MOST];
    const swg_image_info *info = swg_image_about(image);
    int64_t w = info->width < 64 ? info->width : 64, h = info->height < 64 ? info->height : 64;
    int64_t y = info->height - h < 200 ? info->height - h : 200, x = info->width - w;
    if (info->channels * h * w > MOST)
        return;
    swg_status first = swg_image_read_window(image, y, x, h, w, once);
    (void)swg_image_read_window(image, 0, 0, 1, w, again);
    swg_status second = swg_image_read_window(image, y, x, h, w, again);
    if (first == SWG_OK && second == SWG_OK && memcmp(once, again, (size_t)(info->channels * h * w) * sizeof *once) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    swg_context *ctx;
    if (swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK)
        abort();
    swg_image *image;
    swg_image_opts opts = {.max_bytes = 1 << 22, .nonfinite = "zero", .scale = 1, .page = bytes ? data[bytes - 1] % 3 : 0};
    if (swg_image_open_memory(ctx, data, (int64_t)bytes, "fuzz", &opts, &image) == SWG_OK)
        read_twice(image);
    swg_image_close(image);
    if (swg_context_bytes(ctx) != 0)
        abort();
    swg_context_close(ctx);
    return 0;
}
