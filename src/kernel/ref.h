/* ref.h - the slow f64 truth of every operation; a family of operations may keep its references in a file of its own.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_KERNEL_REF_H
#define SWAGE_KERNEL_REF_H

#include "kernel/kernel.h"

#define OP(id, text, class, inputs, gradient, kernel, reference, bf16) void swg__ref_##reference(const swg__call *call);
#include "ir/op.def"
#undef OP

/* Multi-index of flat element i of a node, and the flat element of `in` that broadcasts to an index of `ndim` axes. */
void swg__ref_unravel(const swg__node *n, int64_t i, int64_t index[SWG_MAX_DIMS]);
int64_t swg__ref_ravel(const swg__node *in, int ndim, const int64_t index[SWG_MAX_DIMS]);

#endif
