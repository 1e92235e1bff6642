/* interp_fit.c - what the encoder of mode G learns from samples: along which axes, and the weights of each pass.
 * In: restored levels and values. Out: axes, kinds, weights in Q13.
 * SPDX-License-Identifier: Apache-2.0 */
#include "interp_coder.h"

enum { LEARN_FROM = 256, WEIGHTS = SWG__INTERP_FEATURES - 1, SAMPLES = SWG__INTERP_SAMPLES, LEAST = 512 };

/* Solves a x = b for a symmetric positive definite a of order n; false: it is not. */
static bool solve(double a[WEIGHTS][WEIGHTS], int n, double *b) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            double sum = a[i][j];
            for (int k = 0; k < j; k++)
                sum -= a[i][k] * a[j][k];
            if (i == j && !(sum > 0))
                return false;
            a[i][j] = i == j ? sqrt(sum) : sum / a[j][j];
        }
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < i; k++)
            b[i] -= a[i][k] * b[k];
        b[i] /= a[i][i];
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++)
            b[i] -= a[k][i] * b[k];
        b[i] /= a[i][i];
    }
    return true;
}

/* Sum of the taps of feature i at every apart-th point, in eighths of fine levels. */
static void sample_feature(const swg__interp_pass *p, int i, int64_t apart, int64_t n, double *out) {
    const swg__interp_taps *t = &p->taps;
    const double scale = (double)(1 << t->scale[i]);
    for (int64_t x = 0; x < n; x++)
        out[x] = 0;
    for (int j = t->first[i]; j < t->first[i + 1]; j++) {
        const int32_t *u = t->u[j];
        if (p->f->wide || apart > 1)
            for (int64_t x = 0; x < n; x++)
                out[x] += scale * (double)swg__interp_get(u, p->f->wide, x * apart);
        else
            for (int64_t x = 0; x < n; x++)
                out[x] += scale * (double)u[x];
    }
}

/* Every apart-th target of a row as samples: differences of the features to the first, and that of the value itself. Those without a level are
 * left out. */
static void sample_row(swg__interp_coder *c, const swg__interp_pass *p, int64_t place, int64_t step, int64_t apart) {
    const int64_t n = (p->count[2] + apart - 1) / apart, start = c->samples;
    const int features = p->shape.features;
    const uint8_t *mask = c->f.chunk->mask;
    double *first = c->x, *target = c->d[features - 1] + start;
    sample_feature(p, 0, apart, n, first);
    for (int i = 1; i < features; i++) {
        double *d = c->d[i - 1] + start;
        sample_feature(p, i, apart, n, d);
        for (int64_t x = 0; x < n; x++) {
            const double v = d[x] - first[x];
            d[x] = v > 0x1p30 ? 0x1p30 : v < -0x1p30 ? -0x1p30 : v;
        }
    }
    for (int64_t x = 0; x < n; x++)
        target[x] = 8 * (swg__interp_level_of(c, place + x * apart * step) - (double)c->f.first) - first[x];
    for (int64_t x = 0; x < n; x++)
        if (!isnan(target[x]) && !(mask && mask[place + x * apart * step])) {
            if (c->samples < start + x)
                for (int i = 0; i < features; i++)
                    c->d[i][c->samples] = c->d[i][start + x];
            c->samples++;
        }
}

/* Rows spread over the pass by multiples of the golden ratio: no grid of samples falls in step with the data. At most a quarter of the points
 * where that is enough. */
static void take_sample(swg__interp_coder *c, swg__interp_pass *p) {
    const int64_t n = p->count[2], per_slice = p->count[0] * p->count[1], rows = c->f.chunk->extent[0] * per_slice;
    const int64_t quarter = rows * n / 4, most = quarter < LEAST ? LEAST : quarter > SAMPLES ? SAMPLES : quarter;
    const int64_t apart = n / SAMPLES + 1, wanted = most / ((n + apart - 1) / apart), take = rows < wanted ? rows : wanted > 0 ? wanted : 1;
    uint64_t turn = 0x8000000000000000u;
    c->samples = 0;
    for (int64_t i = 0; i < take; i++, turn += 0x9E3779B97F4A7C15u) {
        const int64_t r = take < rows ? (int64_t)((turn >> 32) * (uint64_t)rows >> 32) : i;
        const int64_t w = r / per_slice, z = r % per_slice / p->count[1], y = r % p->count[1];
        int64_t step, place = swg__interp_place(p, w, z, y, &step);
        swg__interp_point(p, w, z, y);
        sample_row(c, p, place, step, apart);
    }
}

/* Least squares, each sample weighted by 1 / (mean difference + a quarter step)^2. False: nothing learned. */
static bool learn(const swg__interp_coder *c, int n, int16_t *w) {
    enum { PART = 256 };
    double a[WEIGHTS][WEIGHTS] = {{0}}, b[WEIGHTS] = {0}, trace = 0, sum = 0;
    for (int64_t from = 0; from < c->samples; from += PART) {
        const int64_t count = c->samples - from < PART ? c->samples - from : PART;
        double weight[PART] = {0}, weighed[PART];
        for (int j = 0; j < n; j++)
            for (int64_t i = 0; i < count; i++)
                weight[i] += fabs(c->d[j][from + i]);
        for (int64_t i = 0; i < count; i++) {
            const double mean = 0.125 * weight[i] / n + SWG__INTERP_FINE / 4;
            weight[i] = 1 / (64 * mean * mean);
        }
        for (int j = 0; j < n; j++) {
            const double *d = c->d[j] + from;
            for (int64_t i = 0; i < count; i++)
                weighed[i] = weight[i] * d[i];
            for (int k = 0; k <= j; k++)
                a[j][k] += c->f.chunk->kernels->dot(weighed, c->d[k] + from, count);
            b[j] += c->f.chunk->kernels->dot(weighed, c->d[n] + from, count);
        }
    }
    for (int j = 0; j < n; j++)
        trace += a[j][j];
    for (int j = 0; j < n; j++)
        a[j][j] += 1e-4 * trace / n;
    if (!(trace > 0) || !solve(a, n, b))
        return false;
    for (int j = 0; j < n; j++) {
        if (!(fabs(b[j]) < 3.999))
            return false;
        w[j] = (int16_t)rint(b[j] * 8192);
        sum += fabs((double)w[j]);
    }
    return sum <= 262143;
}

/* About the bits that the residuals of a sample take, times 256: log2(1 + |e|), its mantissa linear. */
static int64_t sample_cost(const swg__interp_coder *c, const swg__interp_pass *p, const int16_t *w) {
    enum { PART = 256 };
    const double step = 0.125 / (SWG__INTERP_FINE >> p->t);
    const int n = p->shape.features - 1;
    int64_t cost = 0;
    for (int64_t from = 0; from < c->samples; from += PART) {
        const int64_t count = c->samples - from < PART ? c->samples - from : PART;
        double rest[PART];
        for (int64_t i = 0; i < count; i++)
            rest[i] = c->d[n][from + i];
        for (int j = 0; j < n; j++) {
            const double weight = w[j] * 0x1p-13;
            const double *d = c->d[j] + from;
            for (int64_t i = 0; i < count; i++)
                rest[i] -= weight * d[i];
        }
        for (int64_t i = 0; i < count; i++) {
            const double v = fabs((rest[i] * step + 0x1.8p52) - 0x1.8p52) + 1;
            uint64_t bits;
            memcpy(&bits, &v, sizeof bits);
            cost += (int64_t)(bits >> 44) - 256 * 1023;
        }
    }
    return cost;
}

void swg__interp_train(swg__interp_coder *c, swg__interp_pass *p, int index) {
    swg__interp_level *l = &c->model.level[c->f.level];
    const int64_t points = c->f.chunk->extent[0] * p->count[0] * p->count[1] * p->count[2];
    const int features = p->shape.features;
    int16_t w[WEIGHTS];
    take_sample(c, p);
    l->kind[index] = SWG__INTERP_LINEAR;
    swg__interp_built_in(SWG__INTERP_LINEAR, p->shape.odd, features, w);
    int64_t best = sample_cost(c, p, w);
    swg__interp_built_in(SWG__INTERP_CUBIC, p->shape.odd, features, w);
    int64_t cost = sample_cost(c, p, w);
    if (cost < best) {
        best = cost;
        l->kind[index] = SWG__INTERP_CUBIC;
        swg__interp_weigh(p, w);
    }
    if (points < LEARN_FROM || c->samples < LEARN_FROM / 2 || !learn(c, features - 1, w))
        return;
    cost = sample_cost(c, p, w) + (int64_t)(256.0 * 16 * (features - 1) * (double)c->samples / (double)points);
    if (cost < best) {
        l->kind[index] = SWG__INTERP_LEARNED;
        memcpy(l->w[index], w, sizeof w);
        swg__interp_weigh(p, w);
    }
}

/* Mean size of what lies between a value and the mean of its neighbours along each axis, on a sample, in fine steps; 0 of axes too short. */
static void roughness(const swg__interp_coder *c, double out[3]) {
    const swg__chunk *chunk = c->f.chunk;
    const int64_t stride[3] = {chunk->extent[2] * chunk->extent[3], chunk->extent[3], 1};
    const int64_t every = chunk->count / 4096 + 1;
    for (int a = 0; a < 3; a++) {
        const int64_t n = chunk->extent[a + 1], s = stride[a];
        double sum = 0;
        int64_t count = 0;
        for (int64_t i = 0; n >= 3 && i < chunk->count; i += every) {
            int64_t x = i / s % n;
            if (x < 1 || x + 1 >= n)
                continue;
            double e = swg__interp_level_of(c, i) - 0.5 * (swg__interp_level_of(c, i - s) + swg__interp_level_of(c, i + s));
            if (!isnan(e)) {
                sum += fabs(e);
                count++;
            }
        }
        out[a] = count ? sum / (double)count : 0;
    }
}

int swg__interp_choose_axes(const swg__interp_coder *c) {
    const int64_t *extent = c->f.chunk->extent;
    double rough[3], least = INFINITY;
    int axes = 0;
    roughness(c, rough);
    for (int a = 0; a < 3; a++)
        if (extent[a + 1] >= 3 && rough[a] < least)
            least = rough[a];
    for (int a = 0; a < 3; a++)
        if (extent[a + 1] >= 2 && (least == INFINITY || rough[a] <= 8 * least + SWG__INTERP_FINE / 2))
            axes |= 1 << a;
    return axes ? axes : 4;
}

int swg__interp_levels_for(const swg__chunk *chunk, int axes) {
    int64_t longest = 1;
    int levels = 1;
    for (int a = 0; a < 3; a++)
        if ((axes >> a & 1) && chunk->extent[a + 1] > longest)
            longest = chunk->extent[a + 1];
    while (levels < SWG__INTERP_LEVELS && (int64_t)1 << levels < longest)
        levels++;
    return levels;
}
