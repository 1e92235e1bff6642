/* element.c - names and sizes of the element types.
 * SPDX-License-Identifier: Apache-2.0 */
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
