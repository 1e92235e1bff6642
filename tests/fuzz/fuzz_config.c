/* fuzz_config.c - hostile YAML and override strings: an error or a configuration that survives its own round trip.
 * In: YAML, then (behind a line "%%") one override per line.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "swage/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { MOST = 16 };

/* Saved settings must open again to the same text. */
static void check_round_trip(swg_context *ctx, swg_config *config) {
    const char *text, *again;
    swg_config *copy;
    if (swg_config_yaml(config, &text) != SWG_OK || swg_config_open_text(ctx, text, "saved", NULL, &copy) != SWG_OK
        || swg_config_yaml(copy, &again) != SWG_OK || strcmp(text, again) != 0)
        abort();
    swg_config_close(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    swg_context *ctx;
    const char *overrides[MOST];
    swg_config_opts opts = {.overrides = overrides};
    char *text = malloc(bytes + 1);
    if (!text || swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK)
        abort();
    memcpy(text, data, bytes);
    text[bytes] = 0;
    char *rest = strstr(text, "\n%%\n");
    if (rest) {
        *rest = 0;
        for (char *line = strtok(rest + 4, "\n"); line && opts.override_count < MOST; line = strtok(NULL, "\n"))
            overrides[opts.override_count++] = line;
    }
    swg_config *config;
    if (swg_config_open_text(ctx, text, "fuzz", &opts, &config) == SWG_OK)
        check_round_trip(ctx, config);
    swg_config_close(config);
    if (swg_context_bytes(ctx) != 0)
        abort();
    swg_context_close(ctx);
    free(text);
    return 0;
}
