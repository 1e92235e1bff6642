/* replay.c - runs a fuzz target once over every file of its corpus, for builds without libFuzzer.
 * In: files and folders. Out: exit status 0; a failing input ends the program.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int failed(swg_context *ctx, const char *path) {
    fprintf(stderr, "%s: %s\n", path, swg_context_message(ctx));
    return 1;
}

static int replay_file(swg_context *ctx, const char *path) {
    uint8_t *data;
    size_t bytes;
    if (swg__file_read(ctx, path, &data, &bytes) != SWG_OK)
        return failed(ctx, path);
    LLVMFuzzerTestOneInput(data, bytes);
    swg__free(ctx, data);
    return 0;
}

/* Files of a folder (no folders within), or one file. Returns how many ran, -1 on failure. */
static long replay(swg_context *ctx, const char *path) {
    char file[4096], **names;
    size_t count;
    if (!swg__is_folder(path))
        return replay_file(ctx, path) ? -1 : 1;
    if (swg__list_folder(ctx, path, &names, &count) != SWG_OK)
        return failed(ctx, path) ? -1 : 0;
    long done = 0;
    for (size_t i = 0; i < count && done >= 0; i++) {
        snprintf(file, sizeof file, "%s/%s", path, names[i]);
        done = replay_file(ctx, file) ? -1 : done + 1;
    }
    swg__list_free(ctx, names, count);
    return done;
}

int main(int argc, char **argv) {
    swg_context *ctx;
    long total = 0;
    if (swg_context_open(NULL, &ctx) != SWG_OK)
        return 1;
    for (int i = 1; i < argc && total >= 0; i++) {
        long done = replay(ctx, argv[i]);
        total = done < 0 ? -1 : total + done;
    }
    swg_context_close(ctx);
    printf("%ld inputs\n", total);
    return total > 0 ? 0 : 1; /* an empty corpus proves nothing */
}
