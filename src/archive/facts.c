/* facts.c - the texts around a compression: facts stored with each member, names of sources, the bound as users write it; hooks.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "archive/archive.h"

void swg__facts_write(const swg_array *array, swg__text *out) {
    swg__text_printf(out, "layout=%s;endian=%s", swg_layout_name(array->layout), array->big_endian ? "big" : "little");
    if (array->layout == SWG_LAYOUT_VARS)
        swg__text_printf(out, ";row=%lld", (long long)array->row);
    if (array->has_time)
        swg__text_printf(out, ";time=%a", array->time);
    if (array->fill)
        swg__text_printf(out, ";fill=%s:%llx", array->fill, (unsigned long long)array->fill_bits);
    swg__text_printf(out, ";path=%s", array->path); /* last: a path may hold any character */
}

/* "layout=" of key=value; NULL if another word starts here. */
static const char *value_of(const char *word, const char *key) {
    size_t length = strlen(key);
    return strncmp(word, key, length) == 0 ? word + length : NULL;
}

static bool is_word(const char *text, const char *word) {
    size_t length = strlen(word);
    return strncmp(text, word, length) == 0 && (text[length] == ';' || !text[length]);
}

void swg__facts_read(const char *text, swg__member_facts *out) {
    static const swg_layout layouts[] = {SWG_LAYOUT_VARS, SWG_LAYOUT_BLOCKS, SWG_LAYOUT_GRID};
    *out = (swg__member_facts){.layout = SWG_LAYOUT_GRID, .path = ""};
    for (const char *p = text, *v; *p; p += strcspn(p, ";"), p += *p == ';') {
        if ((v = value_of(p, "path="))) {
            out->path = v;
            return;
        }
        if ((v = value_of(p, "layout="))) {
            for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++)
                if (is_word(v, swg_layout_name(layouts[i])))
                    out->layout = layouts[i];
        } else if ((v = value_of(p, "endian="))) {
            out->big_endian = is_word(v, "big");
        } else if ((v = value_of(p, "row="))) {
            out->row = strtoll(v, NULL, 10);
        } else if ((v = value_of(p, "time="))) {
            out->has_time = true;
            out->time = strtod(v, NULL);
        } else if ((v = value_of(p, "fill="))) {
            static const char *const names[] = {"_FillValue", "missing_value"};
            for (int i = 0; i < 2; i++) {
                const char *bits = value_of(v, names[i]);
                if (bits && *bits == ':') {
                    out->fill = names[i];
                    out->fill_bits = strtoull(bits + 1, NULL, 16);
                }
            }
        }
    }
}

const char *swg__relative_source(const char *root, const char *file) {
    size_t length = strlen(root);
    while (length && root[length - 1] == '/')
        length--;
    if (strncmp(root, file, length) == 0 && file[length] == '/')
        return file + length + strspn(file + length, "/");
    const char *slash = strrchr(file, '/');
    return slash ? slash + 1 : file;
}

swg_codec_array swg__codec_array_of(const swg_array *array, const void *data) {
    swg_codec_array a = {.type = array->element, .layout = array->layout == SWG_LAYOUT_GRID ? SWG_CODEC_GRID : SWG_CODEC_BLOCKS,
                         .ndim = array->ndim, .data = data};
    memcpy(a.dims, array->dims, sizeof a.dims);
    return a;
}

/* ---- hooks ---- */

bool swg__archive_stopped(const swg_archive_hooks *hooks) { return hooks && hooks->stop && *hooks->stop; }

void swg__archive_progress(const swg_archive_hooks *hooks, int64_t done, int64_t total, const char *source, const char *variable) {
    if (hooks && hooks->progress)
        hooks->progress(hooks->user, done, total, source, variable);
}

/* ---- bound ---- */

swg_status swg_bound_parse(swg_context *ctx, const char *text, swg_bound_mode *mode, double *value) {
    static const struct { const char *prefix; swg_bound_mode mode; } table[] = {
        {"abs:", SWG_BOUND_ABS}, {"rel:", SWG_BOUND_REL}, {"pw:", SWG_BOUND_PW_REL}, {"psnr:", SWG_BOUND_PSNR}, {"ratio:", SWG_BOUND_RATIO}};
    *value = 0;
    *mode = SWG_BOUND_LOSSLESS;
    if (strcmp(text, "lossless") == 0)
        return SWG_OK;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const char *number = value_of(text, table[i].prefix);
        if (!number)
            continue;
        char *end;
        double v = strtod(number, &end);
        if (end == number || *end || !(v > 0) || isinf(v))
            return swg__fail(ctx, SWG_EUSAGE, "bound \"%s\": expected a number above 0 behind %s", text, table[i].prefix);
        *mode = table[i].mode;
        *value = v;
        return SWG_OK;
    }
    return swg__fail(ctx, SWG_EUSAGE, "bound \"%s\": expected abs:NUMBER (in the data's units), rel:NUMBER (of the value range), pw:NUMBER (of each value), "
                                     "psnr:DECIBELS, ratio:NUMBER or lossless", text);
}
