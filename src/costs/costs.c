/* costs.c - the link cost model of costs.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/costs.h"

const swg_link *swg_links(int *count) {
    static const swg_link links[] = {{"NVLink 4", 200},           {"NVLink 3", 100},        {"PCIe 4 x16", 32},    {"InfiniBand 200 Gbit", 25},
                                     {"Ethernet 40 Gbit", 5},     {"Ethernet 10 Gbit", 1.25}, {"Ethernet 1 Gbit", .125}};
    *count = sizeof links / sizeof links[0];
    return links;
}

const swg_device *swg_device_published(void) {
    static const swg_device device = {"A100, as published", 19.5e12, 312e12, 280e12, 1.6e12};
    return &device;
}

const swg_device *swg_device_corrected(void) {
    static const swg_device device = {"A100", 19.5e12, 624e12, 0, 1.6e12};
    return &device;
}

/* Microseconds for bytes at GB/s. */
static double transfer(const swg_cost *c, double bytes, double speed) { return bytes / (speed * (c->gigabits ? 125. : 1000.)); }

double swg_cost_raw(const swg_cost *c, double speed) { return transfer(c, c->block_bytes, speed); }

double swg_cost_encoded(const swg_cost *c, double speed) {
    return c->memory + c->compute + c->launch + transfer(c, c->sent_bytes, speed);
}

/* block / s = sent / s + fixed, for s. */
double swg_cost_break_even(const swg_cost *c) {
    double fixed = c->memory + c->compute + c->launch, saved = c->block_bytes - c->sent_bytes;
    return saved > 0 && fixed > 0 ? transfer(c, saved, 1) / fixed : 0;
}
