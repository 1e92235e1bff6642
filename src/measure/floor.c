/* floor.c - the shortest time a piece of work can take on this machine, by what was measured of it in the same run.
 * In: operations, bytes, calls of the pool. Out: ns, and which of the three it is.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "measure/measure.h"

/* The level whose capacity, of all threads together, holds the data. */
static int level_of(const swg__machine *m, double bytes, int threads) {
    for (int level = SWG__L1; level < SWG__DRAM; level++)
        if (bytes <= (double)m->cache_bytes[level] * (level == SWG__L3 ? 1 : threads))
            return level;
    return SWG__DRAM;
}

static double bandwidth(const swg__limits *limits, int level, bool updates) {
    return updates ? limits->scale[level] : fmax(limits->read[level], limits->copy[level]);
}

double swg__floor_of(const swg__machine *machine, const swg__team *team, double peak, const swg__demand *work, const char **by) {
    static const char *const names[] = {"L1", "L2", "L3", "DRAM"};
    const swg__limits *limits = &team->limits;
    int level = level_of(machine, work->working_set_bytes, team->threads);
    double floor = work->flop / peak, moving = work->bytes / bandwidth(limits, level, work->updates);
    double joining = team->threads > 1 ? work->calls * limits->fork_join_ns : 0;
    moving += work->panel_bytes / bandwidth(limits, SWG__L2, false);
    *by = "flop";
    if (moving > floor) {
        floor = moving;
        *by = names[level];
    }
    if (joining > floor) {
        floor = joining;
        *by = "fork-join";
    }
    return floor;
}
