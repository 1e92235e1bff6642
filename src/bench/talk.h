/* talk.h (internal) - a peer's process: a line to it, a line of JSON back.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_BENCH_TALK_H
#define SWAGE_BENCH_TALK_H

#include "bench/bench.h"

typedef struct swg__talk {
    pid_t pid;
    int fd;                 /* both ways; -1: not running */
    swg__text line;         /* what was read and not used yet */
} swg__talk;

void swg__talk_init(swg__talk *t, swg_context *ctx);
/* Starts arguments[0] (searched in PATH) on `cpus`; file descriptors without close-on-exec stay open in it. False: no process. */
bool swg__talk_start(swg__talk *t, const char *const *arguments, const cpu_set_t *cpus);
bool swg__talk_say(const swg__talk *t, const char *line);
/* The next line as JSON; NULL: it ended, said something else, nothing for 15 minutes, or *stop was raised. */
struct cJSON *swg__talk_hear(swg__talk *t, const volatile sig_atomic_t *stop);
void swg__talk_end(swg__talk *t);   /* may be started again */
void swg__talk_free(swg__talk *t);

/* The interpreter of the scripts under bench/peers: $SWAGE_PEER_PYTHON, or that of the virtual environment there. NULL: there is none, or no
 * `script`. */
const char *swg__talk_python(const char *script);
#define SWG__PEERS_FOLDER "bench/peers/"
#define SWG__PEERS_PYTHON SWG__PEERS_FOLDER ".venv/bin/python3"

#endif
