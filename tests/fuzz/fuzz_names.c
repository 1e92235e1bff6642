/* fuzz_names.c - hostile lists of tracks and stems, by commas and by lines: names without separators, which are read again as they are.
 * In: a text's bytes. Out: nothing; a difference, a leak or a read outside ends the program.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "data/stems_inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void split(swg_context *ctx, const char *text, char separator) {
    swg__arena arena;
    swg__names names, again;
    swg__text joined;
    swg__arena_init(&arena, ctx);
    swg__text_init(&joined, ctx);
    if (swg__stems_names(&arena, text, separator, &names) != SWG_OK)
        abort();
    for (int64_t i = 0; i < names.count; i++) {
        if (!*names.name[i] || strchr(names.name[i], separator))
            abort();
        swg__text_printf(&joined, "%s%c", names.name[i], separator);
    }
    if (swg__stems_names(&arena, joined.data ? joined.data : "", separator, &again) != SWG_OK || again.count > names.count)
        abort();
    for (int64_t i = 0; separator == ',' && i < names.count; i++) /* of a line a second carriage return goes, too */
        if (again.count != names.count || strcmp(again.name[i], names.name[i]) != 0)
            abort();
    swg__text_free(&joined);
    swg__arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    swg_context *ctx;
    if (swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK)
        abort();
    char *text = malloc(bytes + 1);
    if (!text)
        abort();
    if (bytes)
        memcpy(text, data, bytes);
    text[bytes] = 0;
    split(ctx, text, ',');
    split(ctx, text, '\n');
    free(text);
    if (swg_context_bytes(ctx))
        abort();
    swg_context_close(ctx);
    return 0;
}
