/* element.c - names, sizes and byte order of the element types.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base.h"
#include "swage/element.h"

const char *swg_element_name(swg_element element) {
    switch (element) {
#define X(code, constant, name, bytes) case SWG_ELEMENT_##constant: return name;
        SWG_ELEMENT_TABLE(X)
#undef X
    }
    return "?";
}

int swg_element_bytes(swg_element element) {
    switch (element) {
#define X(code, constant, name, bytes) case SWG_ELEMENT_##constant: return bytes;
        SWG_ELEMENT_TABLE(X)
#undef X
    }
    return 0;
}

void swg__swap_bytes(void *numbers, int64_t count, int bytes) {
#define SWAP(bits)                                            \
    for (int64_t i = 0; i < count; i++)                       \
        ((uint##bits##_t *)numbers)[i] = __builtin_bswap##bits(((uint##bits##_t *)numbers)[i]);
    if (bytes == 2) {
        SWAP(16)
    } else if (bytes == 4) {
        SWAP(32)
    } else if (bytes == 8) {
        SWAP(64)
    }
#undef SWAP
}
