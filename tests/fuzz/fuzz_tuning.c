/* fuzz_tuning.c - the file of measured choices: any bytes give whole records in their ranges, or none.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "plan/tune.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    swg_context *ctx;
    int64_t damaged;
    if (swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK)
        return 0;
    swg_tuning t = {.ctx = ctx};
    if (swg__tuning_parse(&t, (const char *)data, bytes, &damaged) != SWG_OK || damaged < -1 || t.count > SWG__TUNE_RECORDS)
        abort();
    for (int64_t i = 0; i < t.count; i++) {
        swg_tune_row row;
        const swg__choice *c = &t.records[i].choice;
        swg_tuning_at(&t, i, &row);
        for (const char *p = row.label; *p; p++)
            if (*p < ' ' || *p > '~')
                abort();
        if (c->panel_rows < 0 || c->variant < 0 || c->shift < SWG__TUNE_SHIFT_LEAST || c->shift > SWG__TUNE_ONE_TASK || !*row.choice)
            abort();
    }
    swg__free(ctx, t.records);
    if (swg_context_bytes(ctx))
        abort();
    swg_context_close(ctx);
    return 0;
}
