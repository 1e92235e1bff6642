/* measure.c - the protocol: warm-up until steady, five rounds in which the sides take turns, order statistics.
 * In: calls. Out: times per call in ns.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <time.h>
#include "measure/measure.h"

enum { ROUNDS = 5, SAMPLES_OF_ROUND = 8192, WARM_BATCH = 5, REPS_OF_ROUND = 4, SHORT_NS = 20000 };

/* Limits in ns: warm-up at least and at most, all rounds together at least and at most. */
typedef struct pace { double warm_least, warm_most, least, most; } pace;
static const pace full = {.2e9, 3e9, .5e9, 10e9}, brief = {0, .1e9, .06e9, 1e9};

double swg__bench_clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

double swg__work_clock_ns(int threads) {
    struct timespec t;
    if (threads > 1)
        return swg__bench_clock_ns();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

const char *swg__work_clock_name(int threads) { return threads > 1 ? "wall time" : "processor time"; }

static void settle(int64_t ns) {
    if (ns > 0)
        nanosleep(&(struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000}, NULL);
}

static void begin_turn(const swg__side *side, int count) {
    settle(count > 1 ? side->settle_ns : 0);
    if (side->turn)
        side->turn(side->arg, true);
}

static void end_turn(const swg__side *side) {
    if (side->turn)
        side->turn(side->arg, false);
}

static double timed(const swg__side *side, int64_t loops) {
    double begin = swg__bench_clock_ns();
    for (int64_t i = 0; i < loops; i++)
        side->call(side->arg);
    return (swg__bench_clock_ns() - begin) / (double)loops;
}

/* Returns how many calls make one sample. */
static int64_t warm_up(const swg__side *side, const pace *p) {
    double begin = swg__bench_clock_ns(), before = 0;
    for (int64_t loops = 1;;) {
        double mean = 0;
        for (int i = 0; i < WARM_BATCH; i++)
            mean += timed(side, loops) / WARM_BATCH;
        loops = mean >= SHORT_NS ? 1 : (int64_t)ceil(SHORT_NS / fmax(mean, 1));
        bool steady = fabs(mean - before) < .02 * before;
        double spent = swg__bench_clock_ns() - begin;
        if ((steady && spent >= p->warm_least) || spent >= p->warm_most)
            return loops;
        before = mean;
    }
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double swg__median(double *values, int64_t n) {
    qsort(values, (size_t)n, sizeof *values, ascending);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

void swg__times_of(double *sample, int64_t n, swg__times *t) {
    double sum = 0, squares = 0;
    t->median_ns = swg__median(sample, n);
    for (int64_t i = 0; i < n; i++)
        sum += sample[i];
    t->mean_ns = sum / (double)n;
    for (int64_t i = 0; i < n; i++)
        squares += (sample[i] - t->mean_ns) * (sample[i] - t->mean_ns);
    t->std_ns = sqrt(squares / (double)n);
    t->min_ns = sample[0];
    t->p95_ns = sample[(int64_t)(.95 * (double)(n - 1))];
    t->p99_ns = sample[(int64_t)(.99 * (double)(n - 1))];
    t->spread = (sample[n - 1 - n / 4] - sample[n / 4]) / t->median_ns;
    t->reps = n;
}

swg_status swg__measure(swg_context *ctx, const swg__side *sides, int count, bool quick, swg__times *times, swg__ratio *ratio) {
    const pace *p = quick ? &brief : &full;
    const size_t most = (size_t)count * ROUNDS * SAMPLES_OF_ROUND;
    double *samples = swg__alloc(ctx, most * sizeof *samples), round_median[2][ROUNDS];
    if (!samples)
        return swg__fail_memory(ctx, most * sizeof *samples, "times");
    int64_t used[2] = {0};
    for (int s = 0; s < count; s++) {
        begin_turn(&sides[s], count);
        times[s].loops = warm_up(&sides[s], p);
        end_turn(&sides[s]);
    }
    for (int round = 0; round < ROUNDS; round++)
        for (int s = 0; s < count; s++) {
            double *sample = samples + (int64_t)s * ROUNDS * SAMPLES_OF_ROUND + used[s], sorted[SAMPLES_OF_ROUND];
            int64_t n = 0;
            begin_turn(&sides[s], count);
            timed(&sides[s], times[s].loops); /* back into the caches */
            double begin = swg__bench_clock_ns(), spent = 0;
            while (n < SAMPLES_OF_ROUND && (n < REPS_OF_ROUND || spent < p->least / ROUNDS) && spent < p->most / ROUNDS) {
                sample[n++] = timed(&sides[s], times[s].loops);
                spent = swg__bench_clock_ns() - begin;
            }
            end_turn(&sides[s]);
            for (int64_t i = 0; i < n; i++)
                sorted[i] = sample[i];
            round_median[s][round] = swg__median(sorted, n);
            used[s] += n;
        }
    for (int s = 0; s < count; s++)
        swg__times_of(samples + (int64_t)s * ROUNDS * SAMPLES_OF_ROUND, used[s], &times[s]);
    if (count == 2 && ratio) {
        double ratios[ROUNDS];
        for (int round = 0; round < ROUNDS; round++)
            ratios[round] = round_median[1][round] / round_median[0][round];
        const double median = swg__median(ratios, ROUNDS);
        *ratio = (swg__ratio){.median = median, .low = ratios[0], .high = ratios[ROUNDS - 1]};
    }
    swg__free(ctx, samples);
    return SWG_OK;
}
