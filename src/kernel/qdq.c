/* qdq.c - quantise_dequantise: every slice gets its scale, then each number the value of its code; or the codes themselves, where the plan's
 * products read them (int8.h). In: f32. Out: f32 or codes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "context.h"
#include "kernel/int8.h"
#include "kernel/ref.h"

enum { TASK = 16 << 10 };   /* elements of a task, about */

/* Slices of a channel: `outer` runs of `inner` neighbours. Rows and slices along the first axis are one run each. */
typedef struct view { int64_t outer, channels, inner; } view;

static view view_of(const swg__node *n) {
    int axis = n->attr.axis == SWG_CODE_ROWS ? n->ndim - 2 : n->attr.axis;
    view v = {swg__shape_elements(axis, n->shape), n->shape[axis], swg__shape_elements(n->ndim - axis - 1, n->shape + axis + 1)};
    if (n->attr.axis == SWG_CODE_ROWS) {
        v.channels *= v.outer;
        v.outer = 1;
    }
    return v;
}

/* ---- what a slice's codes stand for ---- */

static swg_affine_code scale_of(int code, float low, float high) {
    float most = -low > high ? -low : high, largest = code == SWG_CODE_E4M3 ? 448.f : 57344.f, scale = most / largest;
    switch (code) {
    case SWG_CODE_U8: return swg_affine_of(low, high, 0, 255);
    case SWG_CODE_S8: return (swg_affine_code){swg_symmetric_scale(most), 0};
    default: return (swg_affine_code){scale > 0 ? scale : 1.f, 0};
    }
}

static double value_of(int code, float x, swg_affine_code a) {
    switch (code) {
    case SWG_CODE_U8: return (double)a.scale * (swg_code_of(x, a, 0, 255) - a.zero);
    case SWG_CODE_S8: return (double)a.scale * swg_code_of(x, a, -127, 127);
    case SWG_CODE_E4M3: return (double)a.scale * (double)swg_e4m3_value(swg_e4m3_of(x / a.scale, true));
    default: return (double)a.scale * (double)swg_e5m2_value(swg_e5m2_of(x / a.scale, true));
    }
}

/* ---- rows: a unit is a row of the first axis ---- */

static int64_t row_units(const swg__call *call) { return call->node->shape[0]; }

static int64_t row_grain(const swg__call *call) {
    int64_t grain = TASK / swg__shape_elements(call->node->ndim - 1, call->node->shape + 1);
    return grain < 1 ? 1 : grain;
}

static void write_codes(const swg__int8_table *t, const swg__codes *c, char *row, const float *x) {
    swg_affine_code *head = (swg_affine_code *)row;
    float low = 0, high = 0;
    int64_t runs = c->positions * c->runs;
    if (!t->range(x, runs * c->channels, &low, &high)) {
        memset(row, 0, (size_t)c->row_bytes);
        *head = (swg_affine_code){NAN, 0}; /* all that is computed from it is NaN */
        return;
    }
    *head = swg_affine_of(low, high, 0, 255);
    row += SWG__CODES_HEAD;
    if (c->channels % SWG__CODES_UNIT == 0) {
        t->encode(row, x, runs * c->channels, *head);
        return;
    }
    for (int64_t i = 0; i < runs; i++)
        t->encode(row + i * c->run_bytes, x + i * c->channels, c->channels, *head);
}

static void write_values(const swg__int8_table *t, int code, int64_t n, float *out, const float *x) {
    float low = 0, high = 0;
    bool whole = t->range(x, n, &low, &high);
    swg_affine_code a = whole ? scale_of(code, low, high) : (swg_affine_code){NAN, 0};
    for (int64_t i = 0; i < n; i++)
        out[i] = whole ? (float)value_of(code, x[i], a) : NAN;
}

static void rows_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const swg__node *n = call->node;
    const swg__int8_table *t = swg__int8_table_of(call->g->ctx->isa);
    const int64_t row = swg__shape_elements(n->ndim - 1, n->shape + 1), inner = view_of(n).inner;
    if (n->dtype == SWG__CODES) {
        const swg__codes c = swg__codes_of(n);
        for (int64_t r = begin; r < end; r++)
            write_codes(t, &c, (char *)call->out + r * c.row_bytes, (const float *)call->in[0] + r * row);
        return;
    }
    for (int64_t at = begin * row; at < end * row; at += inner)
        write_values(t, n->attr.update, inner, (float *)call->out + at, (const float *)call->in[0] + at);
}

const swg__kernel swg__kernel_qdq = {.name = "quantise", .units = row_units, .grain = row_grain, .run = rows_run, .rows = true};

/* ---- channels: a unit is a channel ---- */

static int64_t channel_units(const swg__call *call) { return view_of(call->node).channels; }

static int64_t channel_grain(const swg__call *call) {
    view v = view_of(call->node);
    int64_t grain = TASK / (v.outer * v.inner);
    return grain < 1 ? 1 : grain;
}

static void channels_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const swg__int8_table *t = swg__int8_table_of(call->g->ctx->isa);
    const view v = view_of(call->node);
    const int code = call->node->attr.update;
    const float *x = call->in[0];
    float *out = call->out;
    for (int64_t channel = begin; channel < end; channel++) {
        float low = 0, high = 0;
        bool whole = true;
        for (int64_t o = 0; o < v.outer; o++)
            whole = t->range(x + (o * v.channels + channel) * v.inner, v.inner, &low, &high) && whole;
        swg_affine_code a = whole ? scale_of(code, low, high) : (swg_affine_code){NAN, 0};
        for (int64_t o = 0; o < v.outer; o++)
            for (int64_t i = 0, at = (o * v.channels + channel) * v.inner; i < v.inner; i++)
                out[at + i] = whole ? (float)value_of(code, x[at + i], a) : NAN;
    }
}

const swg__kernel swg__kernel_qdq_channels = {.name = "quantise", .units = channel_units, .grain = channel_grain, .run = channels_run};

/* ---- the truth: codes are what f32 gives, their values f64 ---- */

void swg__ref_qdq(const swg__call *call) {
    const view v = view_of(call->node);
    const double *x = call->in[0];
    double *out = call->out;
    for (int64_t channel = 0; channel < v.channels; channel++) {
        float low = 0, high = 0;
        bool whole = true;
        for (int pass = 0; pass < 2; pass++) {
            swg_affine_code a = scale_of(call->node->attr.update, low, high);
            for (int64_t o = 0; o < v.outer; o++)
                for (int64_t i = 0, at = (o * v.channels + channel) * v.inner; i < v.inner; i++) {
                    float value = (float)x[at + i];
                    whole = whole && isfinite(value);
                    low = value < low ? value : low;
                    high = value > high ? value : high;
                    if (pass)
                        out[at + i] = whole ? value_of(call->node->attr.update, value, a) : NAN;
                }
        }
    }
}
