/* report.h (internal) - what the parts of a report share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_REPORT_PARTS_H
#define SWAGE_REPORT_PARTS_H

#include "base.h"
#include "swage/report.h"

enum { SWG__COLOURS = 8 }; /* series colours s0..s7 of the style sheet */

struct swg_report {
    swg_context *ctx;
    char *title;
    swg__text body;
    swg_status status; /* first failure; the message is in the context */
};

/* Appends text with markup characters escaped and control characters as spaces; NULL is empty. */
void swg__html_escape(swg__text *out, const char *text);
/* The text between an opening and a closing piece of markup; nothing at all if text is NULL. */
void swg__html_wrap(swg__text *out, const char *open, const char *text, const char *close);

typedef struct swg__palette {
    uint8_t rgb[256][3];
} swg__palette;

/* Appends a data URI of a PNG with a palette; index 255 is transparent. rows from top to bottom. */
void swg__png_uri(swg__text *out, const uint8_t *indices, int64_t rows, int64_t columns, const swg__palette *palette);

#endif
