/* without_arg.c - `--without LIST` of compress and bench codec: every mode that may be left out, by its name, and parts of mode poly.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "base.h"
#include "cli/cli.h"
#include "swage/codec.h"

/* Constant and stored chunks are always allowed: they are what holds the promise on size. */
static bool optional(int mode) { return mode != SWG_MODE_CONSTANT && mode != SWG_MODE_LEVEL && mode != SWG_MODE_STORED; }

swg_status cli_without(cli *c, uint32_t *bits) {
    enum { PARTS = 2 };
    const char *names[SWG_MODE_COUNT + PARTS] = {"faces", "mirrors"}, *list = cli_value(c, "without");
    uint32_t bit_of[SWG_MODE_COUNT + PARTS] = {SWG_WITHOUT_FACES, SWG_WITHOUT_MIRRORS};
    size_t count = PARTS;
    *bits = 0;
    for (int m = 0; m < SWG_MODE_COUNT; m++)
        if (optional(m)) {
            bit_of[count] = 1u << m;
            names[count++] = swg_codec_mode_name((swg_codec_mode)m);
        }
    for (const char *p = list; p && *p;) {
        size_t length = strcspn(p, ",");
        uint32_t bit = 0;
        for (size_t i = 0; i < count; i++)
            if (strlen(names[i]) == length && strncmp(names[i], p, length) == 0)
                bit = bit_of[i];
        if (!bit) {
            char word[32], near[64], all[160] = "";
            for (size_t i = 0; i < count; i++)
                snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", names[i]);
            snprintf(word, sizeof word, "%.*s", (int)length, p);
            return cli_fail(c, SWG_EUSAGE, "--without %s: expected a list of %s%s", list, all, swg__did_you_mean(word, names, count, near, sizeof near));
        }
        *bits |= bit;
        p += length + (p[length] == ',');
    }
    return SWG_OK;
}
