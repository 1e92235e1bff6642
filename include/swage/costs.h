/* costs.h - what it costs to move a block over a link: as it is, or encoded, sent and decoded. Arithmetic only.
 * Source: swae.md, section 8, "Cost model as published", and codec.md, section 9.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_COSTS_H
#define SWAGE_COSTS_H

#include <stdbool.h>

/* A link of `speed` GB/s, 1e9 bytes per second. */
typedef struct swg_link { const char *name; double speed; } swg_link;
/* The links of the published table, fastest first. */
const swg_link *swg_links(int *count);

/* One block's way through a network and over a link. Times in microseconds. */
typedef struct swg_cost {
    double block_bytes, sent_bytes;     /* of a block as it is; of what is sent in its place */
    double compute;                     /* encoder and decoder */
    double memory;                      /* reading and writing the block beside the network */
    double launch;                      /* starting the kernels, this block's share */
    bool gigabits;                      /* as published: GB/s taken for Gbit/s, so links are eight times too slow */
} swg_cost;

double swg_cost_raw(const swg_cost *cost, double speed);        /* the block as it is */
double swg_cost_encoded(const swg_cost *cost, double speed);
/* GB/s below which encoding is faster; 0: never. */
double swg_cost_break_even(const swg_cost *cost);

/* The accelerator of the published table. Operations and bytes per second. */
typedef struct swg_device { const char *name; double f32, int8, fp8, memory; } swg_device;
/* As the documents have it: 312e12 is what it does in bf16, and there is no unit for fp8. */
const swg_device *swg_device_published(void);
/* The same device's data sheet; fp8 is 0: there is no such unit. */
const swg_device *swg_device_corrected(void);

#endif
