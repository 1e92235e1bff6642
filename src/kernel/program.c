/* program.c - element-wise tile programs: chains of operations over runs of 512 elements that stay in L1.
 * In: broadcast inputs. Out: one contiguous result. Any range of flat elements can be computed alone.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "kernel/kernel.h"

enum { TILE = 512 };

/* The result's shape is split into outer axes and an inner run in which every input is either contiguous or constant. */
typedef struct layout {
    swg__program program;
    int64_t inner;
    int outer_axes;
    int64_t extent[SWG_MAX_DIMS];                               /* of the outer axes */
    int64_t stride[SWG__PROGRAM_INPUTS][SWG_MAX_DIMS];
    bool constant[SWG__PROGRAM_INPUTS];
    /* Short inner runs are taken several at a time: an input that repeats itself with every `period` elements (a bias, statistics per
     * channel) is laid out once for a whole tile. */
    int64_t period;
    bool repeats[SWG__PROGRAM_INPUTS];
    bool plain;                                                 /* every input contiguous with the result */
    bool narrow_out;                                            /* bf16, rounded from a tile */
} layout;

/* Strides of an input over the result's axes; 0 where it broadcasts. */
static void strides_of(const swg__node *in, const swg__node *out, int64_t stride[SWG_MAX_DIMS]) {
    int64_t step = 1;
    for (int axis = out->ndim - 1; axis >= 0; axis--) {
        int own = axis - (out->ndim - in->ndim);
        int64_t extent = own >= 0 ? in->shape[own] : 1;
        stride[axis] = extent == 1 ? 0 : step;
        step *= extent;
    }
}

/* Outer axes along which all inputs move in step count as one: a place is found with fewer divisions. */
static void gather_outer(layout *l, const swg__node *n, int axes) {
    for (int axis = 0; axis < axes; axis++) {
        int last = l->outer_axes - 1;
        bool joins = last >= 0;
        for (int i = 0; i < n->inputs; i++)
            joins = joins && l->stride[i][last] == l->stride[i][axis] * n->shape[axis];
        last += !joins;
        l->extent[last] = (joins ? l->extent[last] : 1) * n->shape[axis];
        for (int i = 0; i < n->inputs; i++)
            l->stride[i][last] = l->stride[i][axis];
        l->outer_axes = last + 1;
    }
}

static const void *program_prepare(swg__arena *arena, const swg__call *call) {
    const swg__node *n = call->node;
    layout *l = swg__arena_alloc(arena, sizeof *l);
    if (!l)
        return NULL;
    swg__program_of(n, &l->program);
    int64_t stride[SWG__PROGRAM_INPUTS][SWG_MAX_DIMS];
    for (int i = 0; i < n->inputs; i++)
        strides_of(&call->g->nodes[n->in[i]], n, stride[i]);
    /* Grow the inner run from the last axis while every input keeps its kind; axes of extent 1 fit any kind. */
    bool known[SWG__PROGRAM_INPUTS] = {false};
    l->inner = 1;
    int axis = n->ndim - 1;
    for (; axis >= 0; axis--) {
        bool fits = true;
        for (int i = 0; fits && i < n->inputs && n->shape[axis] > 1; i++) {
            bool constant = stride[i][axis] == 0;
            fits = known[i] ? constant == l->constant[i] && (constant || stride[i][axis] == l->inner) : true;
        }
        if (!fits)
            break;
        for (int i = 0; i < n->inputs && n->shape[axis] > 1; i++) {
            known[i] = true;
            l->constant[i] = stride[i][axis] == 0;
        }
        l->inner *= n->shape[axis];
    }
    l->plain = axis < 0;
    l->period = l->inner;
    l->narrow_out = n->dtype == SWG_BF16;
    for (int i = 0; i < n->inputs; i++) {
        memcpy(l->stride[i], stride[i], sizeof stride[i]);
        l->constant[i] = l->constant[i] || !known[i]; /* all extents 1 */
        l->plain = l->plain && !l->constant[i];
        l->repeats[i] = l->constant[i];
        known[i] = false;
    }
    for (; axis >= 0 && l->period <= TILE / 2; axis--) {
        bool fits = true;
        for (int i = 0; fits && i < n->inputs && n->shape[axis] > 1; i++) {
            bool still = stride[i][axis] == 0;
            fits = still ? !known[i] || l->repeats[i] : !l->constant[i] && stride[i][axis] == l->inner && (!known[i] || !l->repeats[i]);
        }
        if (!fits)
            break;
        for (int i = 0; i < n->inputs && n->shape[axis] > 1; i++) {
            known[i] = true;
            l->repeats[i] = stride[i][axis] == 0;
        }
        l->inner *= n->shape[axis];
    }
    gather_outer(l, n, axis + 1);
    return l;
}

static int64_t program_units(const swg__call *call) { return call->node->ndim ? call->node->shape[0] : 1; }

static int64_t row_elements(const swg__node *n) { return swg__shape_elements(n->ndim, n->shape) / (n->ndim ? n->shape[0] : 1); }

static int64_t program_grain(const swg__call *call) { /* about 16k elements per task */
    int64_t rows = (16 << 10) / row_elements(call->node);
    return rows < 1 ? 1 : rows;
}

static int64_t outer_offset(const layout *l, int input, int64_t outer) {
    int64_t offset = 0;
    for (int axis = l->outer_axes - 1; axis >= 0; axis--) {
        offset += outer % l->extent[axis] * l->stride[input][axis];
        outer /= l->extent[axis];
    }
    return offset;
}

/* n elements from element `at` of the result. */
static void run_code(const swg__call *call, const layout *l, const float **reg, float (*tiles)[TILE], int64_t at, int64_t n) {
    const swg__program *p = &l->program;
    float wide[TILE] __attribute__((aligned(64)));
    for (int i = 0; i < p->length; i++) {
        const swg__instruction *c = &p->code[i];
        float *to = i < p->length - 1 ? tiles[c->out - p->inputs] : l->narrow_out ? wide : (float *)call->out + at;
        call->isa->ew[c->op](to, reg[c->in[0]], reg[c->in[1]], reg[c->in[2]], n, (float)c->f[0], (float)c->f[1]);
        reg[c->out] = to;
    }
    if (l->narrow_out)
        call->isa->round_bf16((swg__bf16 *)call->out + at, wide, n);
}

/* An input for a tile: `first` is the element at which this broadcast copy of it begins. */
static void splat_input(const swg__call *call, const layout *l, int r, int64_t first, int64_t most, float *to) {
    float room[TILE];
    int64_t n = l->constant[r] ? 1 : l->period;
    const float *in = swg__floats(call, r, first, n, room);
    for (int64_t j = 0; l->constant[r] && j < most; j++)
        to[j] = *in;
    for (int64_t j = 0; !l->constant[r] && j < most; j += n)
        memcpy(to + j, in, (size_t)n * sizeof *in);
}

static void program_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const layout *l = call->layout;
    const int inputs = l->program.inputs;
    int64_t row = row_elements(call->node), first = begin * row, last = end * row;
    float tiles[SWG__PROGRAM_TILES][TILE] __attribute__((aligned(64)));
    float room[SWG__PROGRAM_INPUTS][TILE] __attribute__((aligned(64)));     /* what broadcasts or is bf16 */
    const float *reg[SWG__PROGRAM_INPUTS + SWG__PROGRAM_TILES] = {0};
    if (l->plain) {
        for (int64_t i = first; i < last; i += TILE) {
            int64_t n = swg__min64(TILE, last - i);
            for (int r = 0; r < inputs; r++)
                reg[r] = swg__floats(call, r, i, n, room[r]);
            run_code(call, l, reg, tiles, i, n);
        }
        return;
    }
    int64_t base[SWG__PROGRAM_INPUTS], outer_of_base = -1, most = l->inner > l->period ? TILE / l->period * l->period : TILE;
    most = swg__min64(most, l->inner);
    for (int64_t i = first; i < last;) {
        int64_t outer = i / l->inner, at = i % l->inner, n = swg__min64(swg__min64(most, l->inner - at), last - i);
        for (int r = 0; r < inputs; r++) {
            if (outer != outer_of_base) {
                base[r] = outer_offset(l, r, outer);
                if (l->repeats[r])
                    splat_input(call, l, r, base[r], most, room[r]);
            }
            reg[r] = l->repeats[r] ? room[r] : swg__floats(call, r, base[r] + at, n, room[r]);
        }
        outer_of_base = outer;
        run_code(call, l, reg, tiles, i, n);
        i += n;
    }
}

const swg__kernel swg__kernel_program = {.name = "program", .units = program_units, .grain = program_grain, .run = program_run,
                                         .prepare = program_prepare, .rows = true};
