/* journal.h - what of a collection in the making is complete, so that an interrupted job can go on.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_JOURNAL_H
#define SWAGE_CODEC_JOURNAL_H

#include "bytes.h"

/* One member that stands in the file. */
typedef struct swg__journal_entry {
    uint64_t offset, bytes;
    uint32_t crc;            /* CRC32C of its bytes */
    int models;              /* of the collection's list when it was written ... */
    uint8_t model[64];       /* ... and which ones of the set they are */
    double seconds;          /* that coding it took */
    char *source, *name;     /* of the context */
} swg__journal_entry;

typedef struct swg__journal {
    swg_context *ctx;
    char *path;
    int fd;
    uint64_t end;                  /* of the last good entry in the journal */
    swg__journal_entry *entry;     /* read when it was opened */
    int64_t count, capacity;
} swg__journal;

/* Opens or makes a journal. key: of the job; a journal of another job, and what is damaged at the end, is dropped. Entries stand one behind
 * the other from `first`. SWG_EIO: cannot be written, or another process has it. */
swg_status swg__journal_open(swg__journal *journal, swg_context *ctx, const char *path, uint64_t key, uint64_t first);
/* Drops entry `keep` and all behind it. */
swg_status swg__journal_cut(swg__journal *journal, int64_t keep);
/* Writes one more; it is not added to the list. */
swg_status swg__journal_add(swg__journal *journal, const swg__journal_entry *entry);
void swg__journal_close(swg__journal *journal);

#endif
