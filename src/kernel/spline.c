/* spline.c - B-spline bases and the gradient through them: in closed form on a uniform grid up to order 3, else by the recursion.
 * In: numbers x and knots. Out: per number SiLU(x) if asked for and all its bases, of which order + 1 are not 0; or the sum of slopes
 * times gradients. Only NaN gives NaN; infinities lie outside the grid.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "ir/spline.h"
#include "kernel/kernel.h"

enum { CLOSED = 3, MOST = SWG__SPLINE_ORDER + 1 };

/* Bases first..first + order of x; false where all are 0 (x is outside of the knots). */
typedef struct local { int64_t first; float w[MOST]; } local;

/* kan.md, section 3.1. u: place in the interval. */
static void closed_values(int order, float u, float *w) {
    float v = 1 - u;
    if (order == 1) {
        w[0] = v;
        w[1] = u;
    } else if (order == 2) {
        w[0] = .5f * v * v;
        w[1] = .5f + u * v;
        w[2] = .5f * u * u;
    } else {
        w[0] = v * v * v * (1 / 6.f);
        w[1] = (4 + u * u * (3 * u - 6)) * (1 / 6.f);
        w[2] = (4 + v * v * (3 * v - 6)) * (1 / 6.f);
        w[3] = u * u * u * (1 / 6.f);
    }
}

static void closed_slopes(int order, float u, float scale, float *w) {
    float v = 1 - u;
    if (order == 1) {
        w[0] = -scale;
        w[1] = scale;
    } else if (order == 2) {
        w[0] = -v * scale;
        w[1] = (v - u) * scale;
        w[2] = u * scale;
    } else {
        w[0] = -.5f * v * v * scale;
        w[1] = .5f * u * (3 * u - 4) * scale;
        w[2] = -.5f * v * (3 * v - 4) * scale;
        w[3] = .5f * u * u * scale;
    }
}

/* One column of the table of given knots (isa.h), whose rows are `columns` apart; NULL: a uniform grid. */
static float knot_at(const swg__spline *s, const float *knots, int64_t i) {
    return knots ? knots[i * s->columns] : (float)(s->low + (double)(i - s->order) * s->step);
}

/* 1 / (t_(i+k) - t_i) */
static float inverse_span(const swg__spline *s, const float *knots, int k, int64_t i) {
    return knots ? knots[swg__spline_row(s->knots, k, i) * s->columns] : (float)(1 / (k * s->step));
}

/* Interval of given knots that holds x, -1: none. */
static int64_t interval_of(const swg__spline *s, const float *knots, float x) {
    int64_t low = 0, high = s->knots - 1;
    if (!(x >= knot_at(s, knots, low) && x < knot_at(s, knots, high)))
        return -1;
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (x >= knot_at(s, knots, middle))
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Cox and de Boor from the one basis of order 0 that is 1, up to `order` or, for slopes, one less and then their differences. Bases that
 * would need knots beyond the ends stay 0: nobody reads them. */
static void recursion(const swg__spline *s, const float *knots, int64_t interval, float x, bool slopes, float *w) {
    int64_t last = s->bases + s->order; /* knot */
    for (int j = 0; j <= s->order; j++)
        w[j] = 0;
    w[s->order] = 1;
    for (int k = 1; k <= s->order; k++)
        for (int64_t j = s->order - k; j <= s->order; j++) {
            int64_t i = interval - s->order + j;
            float right = j < s->order ? w[j + 1] : 0, sum = 0;
            if (i >= 0 && i + k <= last && w[j] != 0) {
                float inverse = inverse_span(s, knots, k, i);
                sum += slopes && k == s->order ? (float)k * inverse * w[j] : (x - knot_at(s, knots, i)) * inverse * w[j];
            }
            if (i >= -1 && i + k + 1 <= last && right != 0) {
                float inverse = inverse_span(s, knots, k, i + 1);
                sum += slopes && k == s->order ? -(float)k * inverse * right : (knot_at(s, knots, i + k + 1) - x) * inverse * right;
            }
            w[j] = sum;
        }
}

static bool bases_of(const swg__spline *s, const float *knots, float x, bool slopes, local *out) {
    int64_t interval = -1;
    float place = (float)((double)(x - (float)s->low) / s->step) + (float)s->order;
    if (knots)
        interval = interval_of(s, knots, x);
    else if (place >= 0 && place < (float)(s->bases + s->order))
        interval = (int64_t)place;
    if (interval < 0)
        return false;
    out->first = interval - s->order;
    if (knots || s->order > CLOSED)
        recursion(s, knots, interval, x, slopes, out->w);
    else if (slopes)
        closed_slopes(s->order, place - (float)interval, (float)(1 / s->step), out->w);
    else
        closed_values(s->order, place - (float)interval, out->w);
    return true;
}

static int64_t units(const swg__call *call) {
    swg__spline s = swg__spline_of(call->g, call->node);
    return s.values / s.run;
}

static int64_t grain(const swg__call *call) {
    int64_t units_of_task = 2048 / swg__spline_of(call->g, call->node).run;
    return units_of_task < 1 ? 1 : units_of_task;
}

/* Whole vectors of neighbours have a kernel of their own. */
static bool vectors(const swg__spline *s) { return s->run > 1 && s->order <= CLOSED; }

static swg__spline_grid grid_of(const swg__spline *s, const float *table) {
    return (swg__spline_grid){.n = s->run, .bases = s->bases, .order = s->order, .silu = s->silu, .low = (float)s->low,
                              .inverse_step = (float)(1 / s->step), .table = table};
}

/* Knots of number e of x. */
static const float *column(const swg__spline *s, const float *table, int64_t e) { return table ? table + e % s->columns : NULL; }

static float sigmoid(float x) { return 1 / (1 + expf(-x)); }

/* A unit is a number, or the neighbours of a run. */
static void values_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    swg__spline s = swg__spline_of(call->g, call->node);
    const float *table = s.knots ? call->in[1] : NULL;
    swg__spline_grid grid = grid_of(&s, table);
    for (int64_t unit = begin; unit < end; unit++) {
        const float *x = (const float *)call->in[0] + unit * s.run;
        float *out = (float *)call->out + unit * s.run * (s.bases + s.silu);
        if (vectors(&s)) {
            call->isa->spline_values(out, x, &grid);
            continue;
        }
        for (int64_t e = 0; e < s.run; e++) {
            float *to = out + e;
            local b;
            if (s.silu) {
                *to = x[e] == -INFINITY ? 0 : x[e] * sigmoid(x[e]);
                to += s.run;
            }
            for (int64_t i = 0; i < s.bases; i++)
                to[i * s.run] = x[e] != x[e] ? x[e] : 0;
            if (bases_of(&s, column(&s, table, unit * s.run + e), x[e], false, &b))
                for (int j = 0; j <= s.order; j++)
                    if (b.first + j >= 0 && b.first + j < s.bases)
                        to[(b.first + j) * s.run] = b.w[j];
        }
    }
}

const swg__kernel swg__kernel_spline = {.name = "spline", .units = units, .grain = grain, .run = values_run};

static void slopes_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    swg__spline s = swg__spline_of(call->g, call->node);
    const float *table = s.knots ? call->in[2] : NULL;
    swg__spline_grid grid = grid_of(&s, table);
    for (int64_t unit = begin; unit < end; unit++) {
        const float *x = (const float *)call->in[0] + unit * s.run, *dy = (const float *)call->in[1] + unit * s.run * (s.bases + s.silu);
        float *out = (float *)call->out + unit * s.run;
        if (vectors(&s)) {
            call->isa->spline_slopes(out, x, dy, &grid);
            continue;
        }
        for (int64_t e = 0; e < s.run; e++) {
            const float *by = dy + e;
            float sum = x[e] != x[e] ? x[e] : 0, gate = sigmoid(x[e]);
            local b;
            if (s.silu) {
                sum += gate == 0 ? 0 : gate * (1 + (gate == 1 ? 0 : x[e] * (1 - gate))) * *by;
                by += s.run;
            }
            if (bases_of(&s, column(&s, table, unit * s.run + e), x[e], true, &b))
                for (int j = 0; j <= s.order; j++)
                    if (b.first + j >= 0 && b.first + j < s.bases)
                        sum += b.w[j] * by[(b.first + j) * s.run];
            out[e] = sum;
        }
    }
}

const swg__kernel swg__kernel_spline_grad = {.name = "spline_grad", .units = units, .grain = grain, .run = slopes_run};
