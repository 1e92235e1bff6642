/* writer.h - the writer of base.h on a file that survives an interruption.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_BASE_WRITER_H
#define SWAGE_BASE_WRITER_H

#include "base.h"

/* A writer on the file itself, without a temporary name: what it holds behind `offset` goes, writing continues there. Commit gives no new
 * name, abort leaves the file. */
swg_status swg__writer_continue(swg__writer *writer, swg_context *ctx, const char *path, uint64_t offset);
swg_status swg__writer_flush(swg__writer *writer); /* to the system, not to the disk */

#endif
