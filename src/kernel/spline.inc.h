/* spline.inc.h - B-splines of VL numbers at a time. On a uniform grid basis j is one symmetric bump around its middle, a difference of
 * truncated powers; on knots of their own all bases come from the recursion of Cox and de Boor, from left to right. Nothing is searched.
 * Needs tile.inc.h and softmax.inc.h.
 * SPDX-License-Identifier: Apache-2.0 */

/* With d the distance to the middle in intervals, a = max((p + 1) / 2 - d, 0) and b = max((p - 1) / 2 - d, 0), the B-spline of order
 * p is a, (a^2 - 3 b^2) / 2, (a^3 - 4 b^3) / 6 for p = 1, 2, 3. NaN stays NaN. */
INLINE vf above(float edge, vf d) { return LARGER(splat(0), edge - d); }

INLINE vf magnitude(vf x) {
    vi bits;
    memcpy(&bits, &x, sizeof x);
    bits &= 0x7fffffff;
    memcpy(&x, &bits, sizeof x);
    return x;
}

INLINE vf bump(const int order, vf t) {
    vf d = magnitude(t), a = above(.5f * (float)(order + 1), d), b = above(.5f * (float)(order - 1), d);
    if (order == 1)
        return a;
    if (order == 2)
        return .5f * (a * a - 3.f * (b * b));
    return (1 / 6.f) * (a * a * a - 4.f * (b * b * b));
}

/* d bump / dt; at a corner of the first order the slope to the right. */
INLINE vf bump_slope(const int order, vf t) {
    if (order == 1)
        return KEEP(splat(1.f), t >= -1) - KEEP(splat(2.f), t >= 0) + KEEP(splat(1.f), t >= 1);
    vf d = magnitude(t), a = above(.5f * (float)(order + 1), d), b = above(.5f * (float)(order - 1), d);
    vf slope = a - 3.f * b;
    if (order == 3)
        slope = .5f * (a * a - 4.f * (b * b));
    vi bits, sign;
    memcpy(&bits, &slope, sizeof slope);
    memcpy(&sign, &t, sizeof t);
    bits ^= ~sign & INT32_MIN; /* falls where t is not negative */
    memcpy(&slope, &bits, sizeof slope);
    return slope;
}

/* 1 / (1 + exp(-x)) */
INLINE vf gate_of(vf x) {
    vf e = exp_down(-magnitude(x)), low = KEEP(e, x < 0), high = DROP(splat(1.f), x < 0);
    return (low + high) / (1.f + e);
}

/* SiLU(v) */
INLINE vf silu_of(vf v) {
    v = LARGER(splat(-100.f), v); /* -inf would meet 0 */
    return v * gate_of(v);
}

/* SiLU'(v) */
INLINE vf silu_slope(vf v) {
    v = LARGER(splat(-100.f), v);
    vf gate = gate_of(v), rest = KEEP(v * (1.f - gate), v < 100);
    return gate * (1.f + rest);
}

INLINE void grid_values_of(const int order, float *out, const float *x, const swg__spline_grid *g) {
    for (int64_t i = 0; i < g->n; i += VL) {
        const int64_t width = g->n - i;
        vf v = load_up_to(x + i, width), t = (v - g->low) * g->inverse_step + .5f * (float)(order - 1);
        float *to = out + i;
        if (g->silu) {
            store_up_to(to, silu_of(v), width);
            to += g->n;
        }
        for (int64_t j = 0; j < g->bases; j++, t -= 1.f, to += g->n)
            store_up_to(to, bump(order, t), width);
    }
}

INLINE void grid_slopes_of(const int order, float *dx, const float *x, const float *dy, const swg__spline_grid *g) {
    for (int64_t i = 0; i < g->n; i += VL) {
        const int64_t width = g->n - i;
        vf v = load_up_to(x + i, width), t = (v - g->low) * g->inverse_step + .5f * (float)(order - 1), sum = {0}, by_silu = {0};
        const float *by = dy + i;
        if (g->silu) {
            by_silu = silu_slope(v) * load_up_to(by, width);
            by += g->n;
        }
        for (int64_t j = 0; j < g->bases; j++, t -= 1.f, by += g->n)
            sum += bump_slope(order, t) * load_up_to(by, width);
        sum = sum * g->inverse_step + by_silu;
        store_up_to(dx + i, sum + KEEP(v, v != v), width); /* NaN gives NaN in every order */
    }
}

/* The triangle of the recursion for one vector of numbers, one basis of order 0 after the other. */
typedef struct knot_walk {
    const float *table;
    int64_t n, knots, width;
    vf x, inside;           /* inside: cut to the range of the knots, so that infinities times 0 do not become NaN */
    vf next;                /* knot m + 1 */
    vf kept[4];             /* [k]: basis m - k of order k - 1 over the span of its knots */
} knot_walk;

INLINE vf table_row(const knot_walk *w, int64_t row) { return load_up_to(w->table + row * w->n, w->width); }

INLINE knot_walk walk_from(const float *table, const swg__spline_grid *g, vf x, const int order, int64_t width) {
    knot_walk w = {.table = table, .n = g->n, .knots = g->bases + order + 1, .width = width, .x = x};
    w.next = table_row(&w, 0);
    w.inside = LARGER(w.next, -LARGER(-table_row(&w, w.knots - 1), -x));
    return w;
}

/* Order 0 basis m enters. Basis m - order, or its slope; of no meaning as long as m < order. */
INLINE vf walk_on(knot_walk *w, const int order, bool slope, int64_t m) {
    vf low = w->next;
    w->next = table_row(w, m + 1);
    vf b = KEEP(splat(1.f), (w->x >= low) & (w->x < w->next)), right = w->inside - w->next;
    UNROLLED for (int k = 1; k <= order; k++) {
        if (m - k + 1 < 0)
            break;
        vf left = w->kept[k];
        b *= table_row(w, swg__spline_row(w->knots, k, m - k + 1));
        w->kept[k] = b;
        if (m - k < 0)
            break;
        b = slope && k == order ? (float)k * (left - b) : (w->inside - table_row(w, m - k)) * left - right * b;
    }
    return b;
}

INLINE void knots_values_of(const int order, float *out, const float *x, const swg__spline_grid *g) {
    for (int64_t i = 0; i < g->n; i += VL) {
        const int64_t width = g->n - i;
        vf v = load_up_to(x + i, width), nan = KEEP(v, v != v);
        float *to = out + i;
        if (g->silu) {
            store_up_to(to, silu_of(v), width);
            to += g->n;
        }
        knot_walk w = walk_from(g->table + i, g, v, order, width);
        for (int64_t m = 0; m < g->bases + order; m++) {
            vf b = walk_on(&w, order, false, m);
            if (m < order)
                continue;
            store_up_to(to, b + nan, width);
            to += g->n;
        }
    }
}

INLINE void knots_slopes_of(const int order, float *dx, const float *x, const float *dy, const swg__spline_grid *g) {
    for (int64_t i = 0; i < g->n; i += VL) {
        const int64_t width = g->n - i;
        vf v = load_up_to(x + i, width), sum = KEEP(v, v != v);
        const float *by = dy + i;
        if (g->silu) {
            sum += silu_slope(v) * load_up_to(by, width);
            by += g->n;
        }
        knot_walk w = walk_from(g->table + i, g, v, order, width);
        for (int64_t m = 0; m < g->bases + order; m++) {
            vf b = walk_on(&w, order, true, m);
            if (m < order)
                continue;
            sum += b * load_up_to(by, width);
            by += g->n;
        }
        store_up_to(dx + i, sum, width);
    }
}

#define OF_ORDER(kind, order)                                                                                        \
    static void kind##_values_##order(float *out, const float *x, const swg__spline_grid *g) {                       \
        kind##_values_of(order, out, x, g);                                                                          \
    }                                                                                                                \
    static void kind##_slopes_##order(float *dx, const float *x, const float *dy, const swg__spline_grid *g) {       \
        kind##_slopes_of(order, dx, x, dy, g);                                                                       \
    }
OF_ORDER(grid, 1)
OF_ORDER(grid, 2)
OF_ORDER(grid, 3)
OF_ORDER(knots, 1)
OF_ORDER(knots, 2)
OF_ORDER(knots, 3)
#undef OF_ORDER

static void spline_values(float *out, const float *x, const swg__spline_grid *g) {
    void (*const of[2][3])(float *, const float *, const swg__spline_grid *) = {{grid_values_1, grid_values_2, grid_values_3},
                                                                                {knots_values_1, knots_values_2, knots_values_3}};
    of[g->table != NULL][g->order - 1](out, x, g);
}

static void spline_slopes(float *dx, const float *x, const float *dy, const swg__spline_grid *g) {
    void (*const of[2][3])(float *, const float *, const float *, const swg__spline_grid *) = {{grid_slopes_1, grid_slopes_2, grid_slopes_3},
                                                                                               {knots_slopes_1, knots_slopes_2, knots_slopes_3}};
    of[g->table != NULL][g->order - 1](dx, x, dy, g);
}
