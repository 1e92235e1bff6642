/* peaks.c - what the machine can do at most: f32 FMAs of every instruction set, dots of bf16, streams through every cache, a fork and join.
 * In: a team. Out: its limits, the best of several tries, because every row is held against them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "measure/measure.h"
#include "kernel/isa.h"

/* Many short tries: on a busy machine some of them fall between the others' turns. */
enum { TRIES = 60, TRIES_DRAM = 12, GUESSES = 5, PIECE = 128, PROBES = 5, TRY_NS = 300000 };

typedef enum stream { READ, COPY, SCALE, STREAMS } stream;

typedef struct task {
    const swg__isa_table *isa;
    int64_t rounds;
    stream stream;
    float *memory;
    int64_t each, n;            /* elements between workers' memory; to stream, in pieces */
} task;

static void fma_rounds(void *arg, int worker) {
    (void)worker;
    const task *t = arg;
    t->isa->peak_f32(t->rounds);
}

static void streams(void *arg, int worker) {
    const task *t = arg;
    float *x = t->memory + worker * t->each;
    for (int64_t i = 0; i < t->rounds; i++)
        switch (t->stream) {
        case READ: t->isa->stream_read(x, t->n); break;
        case COPY: t->isa->stream_copy(x + t->n / 2, x, t->n / 2); break;
        case SCALE: t->isa->stream_scale(x, t->n); break;
        case STREAMS: break;
        }
}

/* Shortest of several tries, ns. */
static double fastest(swg__team *team, void (*fn)(void *, int), task *t, int tries) {
    double best = INFINITY;
    for (int i = 0; i < tries; i++) {
        double begin = swg__bench_clock_ns();
        swg__team_each(team, fn, t);
        best = fmin(best, swg__bench_clock_ns() - begin);
    }
    return best;
}

/* Rounds that take about TRY_NS on this machine. */
static int64_t rounds_for(swg__team *team, void (*fn)(void *, int), task *t) {
    t->rounds = 1;
    for (;;) {
        double took = fastest(team, fn, t, GUESSES);
        if (took >= TRY_NS / 4 || t->rounds > (int64_t)1 << 40)
            return (int64_t)fmax(1, (double)t->rounds * TRY_NS / took);
        t->rounds *= took < TRY_NS / 64 ? 16 : 4;
    }
}

static void dot_rounds(void *arg, int worker) {
    (void)worker;
    const task *t = arg;
    t->isa->peak_bf16(t->rounds);
}

static void measure_dots(swg__team *team) {
    task t = {.isa = swg__isa_table_of(team->isa)};
    if (!t.isa->peak_bf16)
        return;
    t.rounds = rounds_for(team, dot_rounds, &t);
    double flop = (double)t.rounds * t.isa->peak_bf16(1) * team->threads;
    team->limits.bf16 = flop / fastest(team, dot_rounds, &t, TRIES);
}

static void measure_fma(swg__team *team) {
    for (int isa = 0; isa <= (int)swg__isa_best(); isa++) {
        task t = {.isa = swg__isa_table_of((swg__isa)isa)};
        t.rounds = rounds_for(team, fma_rounds, &t);
        double flop = (double)t.rounds * t.isa->peak_f32(1) * team->threads;
        team->limits.f32[isa] = flop / fastest(team, fma_rounds, &t, TRIES);
    }
}

/* Bytes one worker streams through to stay in a level: half of its own caches, a share of the common ones. */
static int64_t stream_bytes(const swg__machine *m, int level, int threads) {
    const int64_t *cache = m->cache_bytes;
    int64_t bytes = cache[SWG__L1] / 2;
    if (level == SWG__L2)
        bytes = cache[SWG__L2] / 2;
    if (level == SWG__L3) /* well beyond L2, well within L3 */
        bytes = (int64_t)sqrt((double)cache[SWG__L2] * (double)cache[SWG__L3] / threads);
    if (level == SWG__DRAM) {
        bytes = 4 * cache[SWG__L3] / threads;
        int64_t most = ((int64_t)1 << 30) / threads;
        bytes = bytes > most ? most : bytes;
    }
    return bytes / (2 * PIECE * 4) * (2 * PIECE * 4);
}

int64_t swg__peaks_bytes(const swg__machine *m, int threads) { return stream_bytes(m, SWG__DRAM, threads) * threads; }

static void measure_streams(swg__team *team, const swg__machine *m, float *spare, int64_t spare_bytes) {
    double *const into[STREAMS] = {team->limits.read, team->limits.copy, team->limits.scale};
    for (int level = 0; level < SWG__LEVELS; level++)
        for (int s = 0; s < STREAMS; s++) {
            int64_t bytes = stream_bytes(m, level, team->threads);
            task t = {.isa = swg__isa_table_of(team->isa), .stream = (stream)s, .memory = spare,
                      .each = spare_bytes / 4 / team->threads / PIECE * PIECE, .n = bytes / 4};
            t.rounds = level == SWG__DRAM ? 1 : rounds_for(team, streams, &t);
            double moved = (double)bytes * (double)t.rounds * team->threads * (s == SCALE ? 2 : 1);
            into[s][level] = moved / fastest(team, streams, &t, level == SWG__DRAM ? TRIES_DRAM : TRIES);
        }
}

static void nothing(void *arg, int64_t number, int worker) { (void)arg, (void)number, (void)worker; }

static void measure_fork_join(swg__team *team) {
    enum { CALLS = 20 };
    double best = INFINITY;
    for (int i = 0; i < TRIES; i++) {
        double begin = swg__bench_clock_ns();
        for (int j = 0; j < CALLS; j++)
            swg__parallel(team->ctx, team->threads, nothing, NULL);
        best = fmin(best, (swg__bench_clock_ns() - begin) / CALLS);
    }
    team->limits.fork_join_ns = best;
}

void swg__peaks_measure(swg__team *team, const swg__machine *machine, float *spare, int64_t spare_bytes) {
    measure_fma(team);
    measure_dots(team);
    measure_streams(team, machine, spare, spare_bytes);
    measure_fork_join(team);
}

double swg__peaks_probe(swg__team *team) {
    const swg__isa_table *isa = swg__isa_table_of(team->isa);
    double rate[PROBES];
    int64_t rounds = (int64_t)(1e6 * team->limits.f32[team->isa] / isa->peak_f32(1)) / team->threads; /* about a millisecond */
    for (int i = 0; i < PROBES; i++) {
        double begin = swg__bench_clock_ns(), flop = isa->peak_f32(rounds < 1 ? 1 : rounds), got = flop / (swg__bench_clock_ns() - begin);
        int j = i;
        for (; j > 0 && rate[j - 1] > got; j--)
            rate[j] = rate[j - 1];
        rate[j] = got;
    }
    return rate[PROBES / 2];
}
