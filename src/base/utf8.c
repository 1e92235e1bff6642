/* utf8.c - strict UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
 * In: bytes. Out: code points.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base.h"

int32_t swg__utf8_next(const char **text, const char *end) {
    static const int32_t smallest[4] = {0, 0x80, 0x800, 0x10000};
    const unsigned char *p = (const unsigned char *)*text;
    if (*text >= end)
        return -1;
    int more = *p < 0x80 ? 0 : (*p & 0xE0) == 0xC0 ? 1 : (*p & 0xF0) == 0xE0 ? 2 : (*p & 0xF8) == 0xF0 ? 3 : -1;
    if (more < 0 || more >= end - *text)
        return -1;
    int32_t point = more ? *p & (0x3F >> more) : *p;
    for (int i = 1; i <= more; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return -1;
        point = point << 6 | (p[i] & 0x3F);
    }
    if (point < smallest[more] || (point >= 0xD800 && point < 0xE000) || point > 0x10FFFF)
        return -1;
    *text += more + 1;
    return point;
}

bool swg__utf8_valid(const char *text, size_t bytes) {
    const char *end = text + bytes;
    while (text < end)
        if (swg__utf8_next(&text, end) < 0)
            return false;
    return true;
}
