/* make_images.c - images for the end-to-end tests, in the folder it is started in: small.png 37x29, large.png 416x320, tall.png 416x1600, and bad/ with grey, 16-bit,
 * small and broken ones.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "swage/image.h"

static int put(swg_context *ctx, const char *path, int channels, int64_t height, int64_t width, int bits) {
    float *pixels = malloc((size_t)(channels * height * width) * sizeof *pixels);
    if (!pixels)
        return 1;
    const bool twos = bits == 32, nan_inside = bits == 33; /* f32: all outside of [0,1], or one NaN */
    bits = nan_inside ? 32 : bits;
    for (int64_t i = 0; i < channels * height * width; i++) {
        int64_t c = i / (height * width), y = i / width % height, x = i % width;
        pixels[i] = (float)(.5 + .3 * sin((double)(x + 20 * c) / 9) * cos((double)y / 7) + .1 * (double)((x * 7 + y * 13) % 5) / 5);
    }
    for (int64_t i = 0; i < channels * height * width && twos; i++)
        pixels[i] = 2;
    if (nan_inside)
        pixels[width + 3] = NAN;
    swg_status status = swg_image_write(ctx, path, channels, height, width, pixels, &(swg_image_write_opts){.bits = bits});
    free(pixels);
    if (status != SWG_OK)
        fprintf(stderr, "%s\n", swg_context_message(ctx));
    return status != SWG_OK;
}

/* The first bytes of another file. */
static int cut(const char *from, const char *to, size_t bytes) {
    char buffer[4096];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    size_t got = in && out ? fread(buffer, 1, bytes < sizeof buffer ? bytes : sizeof buffer, in) : 0;
    int failed = !got || fwrite(buffer, 1, got, out) != got;
    if (in)
        fclose(in);
    return (out && fclose(out) != 0) || failed;
}

int main(void) {
    swg_context *ctx;
    if (swg_context_open(NULL, &ctx) != SWG_OK)
        return 1;
    mkdir("bad", 0777);
    int failed = put(ctx, "small.png", 3, 29, 37, 8) | put(ctx, "large.png", 3, 320, 416, 8) | put(ctx, "tall.png", 3, 1600, 416, 8) | put(ctx, "float.tif", 3, 200, 150, 32) | put(ctx, "nan.tif", 3, 40, 50, 33) |
                 put(ctx, "bad/grey.png", 1, 140, 150, 8) |
                 put(ctx, "bad/deep.png", 3, 131, 129, 16) | put(ctx, "bad/tiny.png", 3, 20, 20, 8);
    for (int i = 0; i < 12 && !failed; i++) {
        char path[32];
        snprintf(path, sizeof path, "bad/plain%02d.png", i);
        failed = put(ctx, path, 3, 128 + i, 128, 8);
    }
    failed |= cut("large.png", "bad/broken.png", 3000);
    swg_context_close(ctx);
    return failed;
}
