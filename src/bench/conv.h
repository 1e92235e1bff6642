/* conv.h (internal) - rows that time one convolution.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_BENCH_CONV_H
#define SWAGE_BENCH_CONV_H

#include "bench/bench.h"

/* Appends the workloads; returns how many. */
int swg__bench_conv_list(swg__workload *out);
/* One row; failures of the row itself go into row->failure. */
swg_status swg__bench_conv(swg__bench *b, swg__team *team, swg__row *row);
/* "conv_weights 64x5x5x5 64-128 k3 s1" */
void swg__bench_conv_shape(const swg__workload *work, char *out, size_t capacity);

#endif
