/* collection.h - many streams in one file with one copy of the models (docs/format.md, "Collection").
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_COLLECTION_H
#define SWAGE_CODEC_COLLECTION_H

#include "encode.h"
#include "input.h"

enum { SWG__COLLECTION_HEAD = 16, SWG__COLLECTION_FOOTER = 64 };

typedef struct swg__directory {
    uint64_t count;
    swg__piece section;      /* DIRY */
    swg__span entries;       /* its payload behind the count */
    swg__piece models;       /* MODL section, frame included; data NULL: none */
    uint64_t members_end;    /* members lie between the head and this offset */
    uint64_t previous_end;   /* of the member parsed last */
} swg__directory;

typedef struct swg__directory_entry {
    uint64_t offset, bytes;
    swg__span source, name;
} swg__directory_entry;

bool swg__is_collection(const uint8_t *data, size_t bytes);
/* Head, footer and frame of the directory; the models' frame is checked by who parses it. Close in any case. */
const char *swg__directory_open(swg__input *input, swg__directory *directory, swg_status *status);
void swg__directory_close(swg__input *input, swg__directory *directory);
const char *swg__directory_next(swg__cursor *in, swg__directory *directory, swg__directory_entry *entry);

/* ---- writing in steps that survive the process ---- */

/* A writer on `path` itself, with a journal of the members that are complete. What both hold of the job `key` is kept, the rest goes; then the
 * same calls in the same order give the bytes that they would have given without the interruption. Abort leaves both files, commit completes
 * `path`; the caller removes the journal. SWG_EIO: another process is at work on it. */
swg_status swg__codec_writer_resume(swg_context *ctx, const char *path, const char *journal, const swg_codec_model *model, uint64_t key,
                                    swg_codec_writer **out);
/* Members that are complete in the file. */
int64_t swg__codec_writer_count(const swg_codec_writer *writer);
/* As swg_codec_writer_commit. saved: bytes that the members written are shorter by for the models, whose own are not counted; may be NULL. */
swg_status swg__codec_writer_finish(swg_codec_writer *writer, int64_t *bytes_out, int64_t *saved);
bool swg__codec_writer_broken(const swg_codec_writer *writer); /* a write failed */
bool swg__codec_writer_has(const swg_codec_writer *writer, const char *source, const char *name, double *seconds);
/* As swg_codec_writer_add, of an array that is coded already; it may take the coding over and leave *coded empty. */
swg_status swg__codec_writer_put(swg_codec_writer *writer, const char *source, const char *name, swg__encoded *coded, double seconds, swg_codec_stats *stats);

#endif
