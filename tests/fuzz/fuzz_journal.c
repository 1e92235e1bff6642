/* fuzz_journal.c - libFuzzer target: any bytes as the journal of an interrupted collection. Byte 0 odd: head and checksums are repaired first.
 * Finds crashes, leaks, and reads outside the journal or the file; whatever is left must take one more member and be completed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "codec/collection.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64], path[96], journal[96];
enum { KEY = 7 };

static void clean_up(void) {
    unlink(path);
    unlink(journal);
    rmdir(folder);
}

static swg_context *open_once(void) {
    static swg_context *ctx;
    if (ctx)
        return ctx;
    if (swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK)
        abort();
    strcpy(folder, access("/dev/shm", W_OK) == 0 ? "/dev/shm/swage-fuzz-XXXXXX" : "/tmp/swage-fuzz-XXXXXX");
    if (!mkdtemp(folder))
        abort();
    snprintf(path, sizeof path, "%s/x.swz", folder);
    snprintf(journal, sizeof journal, "%s/x.journal", folder);
    atexit(clean_up);
    return ctx;
}

static void repair(uint8_t *d, size_t size) {
    if (size < 24)
        return;
    memcpy(d, "SWGJ\2\0\0\0", 8);
    swg__store64(d + 8, KEY);
    swg__store32(d + 20, swg__crc32c(0, d, 20));
    for (size_t at = 24; at + 8 <= size && swg__load32(d + at) <= size - at - 8; at += 8 + swg__load32(d + at))
        swg__store32(d + at + 4, swg__crc32c(0, d + at + 8, swg__load32(d + at)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t zeros[400];
    static const float values[8] = {1, 2, 3, 4, 5, 6, 7, 9};
    swg_context *ctx = open_once();
    swg_codec_writer *w;
    if (size < 1)
        return 0;
    uint8_t *copy = malloc(size), file[16 + sizeof zeros] = {0x89, 'S', 'W', 'C', '\r', '\n', 0x1A, '\n', 1};
    memcpy(copy, data + 1, size - 1);
    if (data[0] & 1)
        repair(copy, size - 1);
    swg__store32(file + 12, swg__crc32c(0, file, 12));
    if (swg__file_write(ctx, path, file, sizeof file) != SWG_OK || swg__file_write(ctx, journal, copy, size - 1) != SWG_OK)
        abort();
    free(copy);
    if (swg__codec_writer_resume(ctx, path, journal, NULL, KEY, &w) != SWG_OK)
        abort(); /* whatever is wrong with it is dropped */
    const swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {8}, .data = values};
    if (swg_codec_writer_add(w, "one", &a, &(swg_codec_opts){.name = "more"}, NULL) != SWG_OK || swg_codec_writer_commit(w, NULL) != SWG_OK)
        abort();
    if (swg_context_bytes(ctx) != 0)
        abort();
    return 0;
}
