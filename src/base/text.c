/* text.c - growing strings, nearest word, shell-style match.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "base.h"

void swg__text_init(swg__text *text, swg_context *ctx) { *text = (swg__text){.ctx = ctx}; }

/* Room for `extra` more bytes and the terminator. */
static bool reserve(swg__text *text, size_t extra) {
    if (text->failed)
        return false;
    if (text->length + extra + 1 <= text->capacity)
        return true;
    size_t capacity = text->capacity ? text->capacity : 256;
    while (capacity < text->length + extra + 1)
        capacity *= 2;
    char *data = swg__grow(text->ctx, text->data, capacity);
    if (!data) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void swg__text_add(swg__text *text, const char *bytes, size_t length) {
    if (!reserve(text, length))
        return;
    if (length) /* bytes may be NULL then */
        memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = 0;
}

void swg__text_puts(swg__text *text, const char *string) { swg__text_add(text, string, strlen(string)); }

void swg__text_printf(swg__text *text, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length >= 0 && reserve(text, (size_t)length)) {
        vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
}

void swg__text_csv(swg__text *text, const char *field) {
    if (!strpbrk(field, ",\"\r\n")) {
        swg__text_puts(text, field);
        return;
    }
    swg__text_puts(text, "\"");
    for (; *field; field++) {
        if (*field == '"')
            swg__text_puts(text, "\"");
        swg__text_add(text, field, 1);
    }
    swg__text_puts(text, "\"");
}

void swg__text_free(swg__text *text) {
    swg__free(text->ctx, text->data);
    *text = (swg__text){.ctx = text->ctx};
}

/* Optimal string alignment distance (insert, delete, replace, swap neighbours); words longer than 63 are cut. */
static int distance(const char *a, const char *b) {
    enum { MOST = 63 };
    int rows[3][MOST + 2];
    int la = (int)strnlen(a, MOST), lb = (int)strnlen(b, MOST);
    int *before = rows[0], *above = rows[1], *row = rows[2];
    for (int j = 0; j <= lb; j++)
        above[j] = j;
    for (int i = 1; i <= la; i++) {
        row[0] = i;
        for (int j = 1; j <= lb; j++) {
            int best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        int *free_row = before;
        before = above;
        above = row;
        row = free_row;
    }
    return above[lb];
}

const char *swg__nearest(const char *word, const char *const *candidates, size_t count) {
    int limit = (int)strlen(word) / 3, smallest;
    smallest = limit < 2 ? 3 : limit + 1;
    const char *found = NULL;
    for (size_t i = 0; i < count; i++) {
        int d = distance(word, candidates[i]);
        if (d < smallest) {
            smallest = d;
            found = candidates[i];
        }
    }
    return found;
}

const char *swg__did_you_mean(const char *word, const char *const *candidates, size_t count, char *out, size_t capacity) {
    const char *near = swg__nearest(word, candidates, count);
    snprintf(out, capacity, "%s%s%s", near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    return out;
}

bool swg__glob(const char *pattern, const char *text) {
    const char *star = NULL, *resume = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            resume = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}
