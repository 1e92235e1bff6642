/* collection.h - many streams in one file with one copy of the network (docs/format.md, "Collection").
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_COLLECTION_H
#define SWAGE_CODEC_COLLECTION_H

#include "container.h"
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

#endif
