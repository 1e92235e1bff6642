/* element.h - the element types of stored arrays, with the codes of the container format; 3 is reserved for half precision.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_ELEMENT_H
#define SWAGE_ELEMENT_H

/* Code, constant, name, bytes. */
#define SWG_ELEMENT_TABLE(X)                                                                                         \
    X(1, F32, "f32", 4) X(2, F64, "f64", 8) X(4, I8, "i8", 1) X(5, U8, "u8", 1) X(6, I16, "i16", 2)                 \
    X(7, U16, "u16", 2) X(8, I32, "i32", 4) X(9, U32, "u32", 4) X(10, I64, "i64", 8) X(11, U64, "u64", 8)

typedef enum swg_element {
#define X(code, constant, name, bytes) SWG_ELEMENT_##constant = code,
    SWG_ELEMENT_TABLE(X)
#undef X
} swg_element;

/* "f32", ...; "?" for a value outside the enum. Bytes of one element, 0 outside the enum. */
const char *swg_element_name(swg_element element);
int swg_element_bytes(swg_element element);

#endif
