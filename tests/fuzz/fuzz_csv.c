/* fuzz_csv.c - hostile CSV text: an error, or a table whose every cell survives being written and read again.
 * In: a file's bytes. Out: nothing; a difference, a leak or a read outside ends the program.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "data/image_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void quote(swg__text *text, const char *cell, bool last) {
    swg__text_puts(text, "\"");
    for (; *cell; cell++) {
        if (*cell == '"')
            swg__text_puts(text, "\"");
        swg__text_add(text, cell, 1);
    }
    swg__text_puts(text, last ? "\"\n" : "\",");
}

static void write_again(swg_context *ctx, const swg__table *table) {
    swg__table again;
    swg__text text;
    swg__text_init(&text, ctx);
    for (int64_t r = -1; r < table->rows; r++)
        for (int64_t c = 0; c < table->columns; c++)
            quote(&text, r < 0 ? table->header[c] : table->cells[r * table->columns + c], c + 1 == table->columns);
    if (swg__table_parse(ctx, text.data, text.length, "again", &again) != SWG_OK || again.rows != table->rows || again.columns != table->columns)
        abort();
    for (int64_t i = 0; i < table->rows * table->columns; i++)
        if (strcmp(table->cells[i], again.cells[i]) != 0)
            abort();
    swg__table_free(&again);
    swg__text_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    swg_context *ctx;
    swg__table table;
    if (swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK)
        abort();
    if (swg__table_parse(ctx, (const char *)data, bytes, "fuzz", &table) == SWG_OK) {
        write_again(ctx, &table);
        swg__table_free(&table);
    }
    if (swg_context_bytes(ctx) != 0)
        abort();
    swg_context_close(ctx);
    return 0;
}
