/* npy.c - the head of NumPy's format 1.0: magic, u16 length, a dictionary, padded with blanks to a multiple of 64.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/npy.h"

void swg__npy_head(swg_element type, int ndim, const int64_t *dims, swg__text *out) {
    static const char kinds[] = {[SWG_ELEMENT_F32] = 'f', [SWG_ELEMENT_F64] = 'f', [SWG_ELEMENT_I8] = 'i', [SWG_ELEMENT_U8] = 'u',
                                 [SWG_ELEMENT_I16] = 'i', [SWG_ELEMENT_U16] = 'u', [SWG_ELEMENT_I32] = 'i', [SWG_ELEMENT_U32] = 'u',
                                 [SWG_ELEMENT_I64] = 'i', [SWG_ELEMENT_U64] = 'u'};
    const uint16_t probe = 1;
    const char order = swg_element_bytes(type) == 1 ? '|' : *(const uint8_t *)&probe ? '<' : '>';
    swg__text_add(out, "\x93NUMPY\1\0\0\0", 10);
    swg__text_printf(out, "{'descr': '%c%c%d', 'fortran_order': False, 'shape': (", order, kinds[type], swg_element_bytes(type));
    for (int i = 0; i < ndim; i++)
        swg__text_printf(out, "%lld%s", (long long)dims[i], ndim == 1 ? "," : i + 1 < ndim ? ", " : "");
    swg__text_puts(out, "), }");
    while (!out->failed && out->length % 64 != 63)
        swg__text_puts(out, " ");
    swg__text_puts(out, "\n");
    if (!out->failed) {
        out->data[8] = (char)((out->length - 10) & 255);
        out->data[9] = (char)((out->length - 10) >> 8);
    }
}
