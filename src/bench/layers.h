/* layers.h (internal) - rows that time a layer or a block of them, forward alone, with its gradients, or a whole training step.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_BENCH_LAYERS_H
#define SWAGE_BENCH_LAYERS_H

#include "bench/bench.h"

enum { SWG__BENCH_LAYERS = 96 };    /* at most */

/* Appends the workloads; returns how many. */
int swg__bench_layer_list(swg__workload *out);
/* One row; failures of the row itself go into row->failure. */
swg_status swg__bench_layer(swg__bench *b, swg__team *team, swg__row *row);
const char *swg__bench_layer_shape(const swg__workload *work);

#endif
