/* optim.inc.h - updates of a stretch of the parameter span, one pass each.
 * In: gradients and scalars. Out: weights and moments, in place.
 * SPDX-License-Identifier: Apache-2.0 */

/* Kingma and Ba 2015; decoupled decay: Loshchilov and Hutter 2019; largest second moment: Reddi et al. 2018. */
static void adam_largest(float *restrict w, const float *restrict g, float *restrict m, float *restrict v, float *restrict largest, int64_t n,
                         swg__adam_scalars s, float keep, float decay) {
    for (int64_t i = 0; i < n; i++) {
        float gi = g[i] * s.grad_scale + decay * w[i];
        float first = m[i] + s.rate1 * (gi - m[i]), second = v[i] + s.rate2 * (gi * gi - v[i]);
        float most = second > largest[i] ? second : largest[i];
        m[i] = first;
        v[i] = second;
        largest[i] = most;
        w[i] = w[i] * keep - s.step_size * first / (__builtin_sqrtf(most) * s.rsqrt_c2 + s.eps);
    }
}

/* Reads g, m, v, w; writes m, v, w. */
static void adam(float *restrict w, const float *restrict g, float *restrict m, float *restrict v, float *restrict largest, int64_t n,
                 const swg__adam_scalars *scalars, bool decoupled) {
    const swg__adam_scalars s = *scalars;
    const float keep = decoupled ? s.keep : 1.f, decay = decoupled ? 0.f : s.decay;
    if (largest) {
        adam_largest(w, g, m, v, largest, n, s, keep, decay);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        float gi = g[i] * s.grad_scale + decay * w[i];
        float first = m[i] + s.rate1 * (gi - m[i]), second = v[i] + s.rate2 * (gi * gi - v[i]);
        m[i] = first;
        v[i] = second;
        w[i] = w[i] * keep - s.step_size * first / (__builtin_sqrtf(second) * s.rsqrt_c2 + s.eps);
    }
}

/* One of the four passes that the formula falls into when every quantity has one of its own: gradient, first moment, second moment, weights. */
static void adam_pass(int pass, float *restrict w, float *restrict g, float *restrict m, float *restrict v, float *restrict largest, int64_t n,
                      const swg__adam_scalars *scalars, bool decoupled) {
    const swg__adam_scalars s = *scalars;
    const float keep = decoupled ? s.keep : 1.f, decay = decoupled ? 0.f : s.decay;
    for (int64_t i = 0; i < n && pass == 0; i++)
        g[i] = g[i] * s.grad_scale + decay * w[i];
    for (int64_t i = 0; i < n && pass == 1; i++)
        m[i] += s.rate1 * (g[i] - m[i]);
    for (int64_t i = 0; i < n && pass == 2; i++)
        v[i] += s.rate2 * (g[i] * g[i] - v[i]);
    for (int64_t i = 0; i < n && pass == 3 && largest; i++)
        largest[i] = v[i] > largest[i] ? v[i] : largest[i];
    const float *most = largest ? largest : v;
    for (int64_t i = 0; i < n && pass == 3; i++)
        w[i] = w[i] * keep - s.step_size * m[i] / (__builtin_sqrtf(most[i]) * s.rsqrt_c2 + s.eps);
}

/* Heavy ball, or Nesterov's form of it as Sutskever et al. 2013 write it. */
static void sgd(float *restrict w, const float *restrict g, float *restrict m, int64_t n, const swg__sgd_scalars *scalars, bool nesterov) {
    const swg__sgd_scalars s = *scalars;
    for (int64_t i = 0; i < n && !m; i++)
        w[i] -= s.step_size * (g[i] * s.grad_scale + s.decay * w[i]);
    for (int64_t i = 0; i < n && m; i++) {
        float gi = g[i] * s.grad_scale + s.decay * w[i], first = s.momentum * m[i] + gi;
        m[i] = first;
        w[i] -= s.step_size * (nesterov ? gi + s.momentum * first : first);
    }
}

static void accumulate(float *restrict sum, const float *restrict g, int64_t n, float weight, bool first) {
    for (int64_t i = 0; i < n && first; i++)
        sum[i] = weight * g[i];
    for (int64_t i = 0; i < n && !first; i++)
        sum[i] += weight * g[i];
}

static void blend(float *restrict to, const float *restrict from, int64_t n, float rate) {
    for (int64_t i = 0; i < n; i++)
        to[i] += rate * (from[i] - to[i]);
}
