/* fuzz_volume_key.c - hostile texts of keys: an error, or a key whose text gives the same key again.
 * In: a file's bytes. Out: nothing; a difference, a leak or a read outside ends the program.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "data/volumes_inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    swg_context *ctx;
    swg__volume_key key, again;
    swg__pick pick;
    char text[1024];
    if (swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK)
        abort();
    char *input = malloc(bytes + 1);
    if (!input)
        abort();
    memcpy(input, data, bytes);
    input[bytes] = 0;
    if (swg__volume_key_parse(ctx, "fuzz", input, &key) == SWG_OK) {
        if (swg__volume_key_text(&key, text, sizeof text) >= (int)sizeof text || swg__volume_key_parse(ctx, "again", text, &again) != SWG_OK ||
            memcmp(&key, &again, sizeof key) != 0)
            abort();
    }
    if (swg__pick_parse(input, true, &pick) && pick.kind == SWG__PICK_RANGE && pick.first > pick.last)
        abort();
    free(input);
    if (swg_context_bytes(ctx) != 0)
        abort();
    swg_context_close(ctx);
    return 0;
}
