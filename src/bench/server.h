/* server.h (internal) - a peer that makes work ready under numbers and runs it call by call, and another process of it that forks to measure memory.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_BENCH_SERVER_H
#define SWAGE_BENCH_SERVER_H

#include "bench/talk.h"

enum { SWG__SERVER_MESSAGE = 300 };

typedef struct swg__server {
    swg_context *ctx;
    swg__talk talk, memory;
    const volatile sig_atomic_t *stop;
    char version[48], options[200]; /* version "absent", "failed" or real */
} swg__server;

/* What a piece of work is to the peer. */
typedef struct swg__served { double cold_ns, parameters, error; int64_t measured_bytes; } swg__served;

/* A script under bench/peers; without Python, and where it fails, version and options say so. To be closed, and freed, in any case. */
void swg__server_open(swg__server *s, swg_context *ctx, const char *script, const cpu_set_t *cpus, int threads, const volatile sig_atomic_t *stop);
void swg__server_close(swg__server *s);
bool swg__server_there(const swg__server *s);
/* Makes work ready under a number and measures its memory. fields: of the request, `"batch":2,...`. A message in failure: it cannot. */
void swg__server_prepare(swg__server *s, int number, const char *fields, swg__served *out, char failure[SWG__SERVER_MESSAGE]);
/* One call; its time in ns by the peer's own clock, 0: it failed. */
double swg__server_call(swg__server *s, int number, char failure[SWG__SERVER_MESSAGE]);
void swg__server_release(swg__server *s, int number);

#endif
