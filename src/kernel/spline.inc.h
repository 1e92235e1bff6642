/* spline.inc.h - B-splines of VL numbers at a time on a uniform grid: basis j is one symmetric bump around its middle, a difference of
 * truncated powers, so nothing is searched and nothing branches. Needs tile.inc.h and softmax.inc.h.
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

INLINE void spline_values_of(const int order, float *out, const float *x, const swg__spline_grid *g) {
    for (int64_t i = 0; i < g->n; i += VL) {
        const int64_t width = g->n - i;
        vf v = load_up_to(x + i, width), t = (v - g->low) * g->inverse_step + .5f * (float)(order - 1);
        float *to = out + i;
        if (g->silu) {
            v = LARGER(splat(-100.f), v); /* -inf would meet 0 */
            store_up_to(to, v * gate_of(v), width);
            to += g->n;
        }
        for (int64_t j = 0; j < g->bases; j++, t -= 1.f, to += g->n)
            store_up_to(to, bump(order, t), width);
    }
}

INLINE void spline_slopes_of(const int order, float *dx, const float *x, const float *dy, const swg__spline_grid *g) {
    for (int64_t i = 0; i < g->n; i += VL) {
        const int64_t width = g->n - i;
        vf v = load_up_to(x + i, width), t = (v - g->low) * g->inverse_step + .5f * (float)(order - 1), sum = {0}, by_silu = {0};
        const float *by = dy + i;
        if (g->silu) {
            vf u = LARGER(splat(-100.f), v), gate = gate_of(u), rest = KEEP(u * (1.f - gate), u < 100);
            by_silu = gate * (1.f + rest) * load_up_to(by, width);
            by += g->n;
        }
        for (int64_t j = 0; j < g->bases; j++, t -= 1.f, by += g->n)
            sum += bump_slope(order, t) * load_up_to(by, width);
        sum = sum * g->inverse_step + by_silu;
        store_up_to(dx + i, sum + KEEP(v, v != v), width); /* NaN gives NaN in every order */
    }
}

static void spline_values(float *out, const float *x, const swg__spline_grid *g) {
    if (g->order == 1)
        spline_values_of(1, out, x, g);
    else if (g->order == 2)
        spline_values_of(2, out, x, g);
    else
        spline_values_of(3, out, x, g);
}

static void spline_slopes(float *dx, const float *x, const float *dy, const swg__spline_grid *g) {
    if (g->order == 1)
        spline_slopes_of(1, dx, x, dy, g);
    else if (g->order == 2)
        spline_slopes_of(2, dx, x, dy, g);
    else
        spline_slopes_of(3, dx, x, dy, g);
}
