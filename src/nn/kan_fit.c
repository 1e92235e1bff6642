/* kan_fit.c - B-splines in f64, coefficients through given numbers, and least squares after a change of the grid.
 * In: knots, a batch of inputs. Out: coefficients. Everything in one order: the same bits for any number of threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "nn/kan.h"
#include "plan/plan.h"
#include "swage/nn.h"

void swg__kan_grid(int64_t intervals, int order, double low, double high, double *knots) {
    for (int64_t i = 0; i <= intervals + 2 * order; i++)
        knots[i] = low + (double)(i - order) * (high - low) / (double)intervals;
}

/* Interval of the knots that holds x, -1: none. */
static int64_t interval_of(const double *knots, int64_t count, double x) {
    int64_t low = 0, high = count - 1;
    if (!(x >= knots[low] && x < knots[high]))
        return -1;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (x >= knots[middle])
            low = middle;
        else
            high = middle;
    }
    return low;
}

bool swg__kan_bases(const double *knots, int64_t count, int order, double x, int64_t *first, double *w) {
    int64_t interval = interval_of(knots, count, x);
    *first = interval - order;
    for (int j = 0; j <= order; j++)
        w[j] = j == order;
    for (int k = 1; interval >= 0 && k <= order; k++)
        for (int j = order - k; j <= order; j++) {
            int64_t i = *first + j;
            double sum = 0, right = j < order ? w[j + 1] : 0;
            if (i >= 0 && i + k < count && w[j] != 0)
                sum += (x - knots[i]) / fmax(knots[i + k] - knots[i], 1e-8) * w[j];
            if (i >= -1 && i + k + 1 < count && right != 0)
                sum += (knots[i + k + 1] - x) / fmax(knots[i + k + 1] - knots[i + 1], 1e-8) * right;
            w[j] = sum;
        }
    return interval >= 0;
}

/* ---- the start ---- */

/* Cholesky factor of a (n, n), positive definite and 0 beyond `band` places from the diagonal, in its lower half. */
static void factor(double *a, int64_t n, int64_t band) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i > band ? i - band : 0; j <= i; j++) {
            double sum = a[i * n + j];
            for (int64_t k = i > band ? i - band : 0; k < j; k++)
                sum -= a[i * n + k] * a[j * n + k];
            a[i * n + j] = i == j ? sqrt(sum) : sum / a[j * n + j];
        }
}

/* x = (L L^T)^-1 x, n numbers. */
static void substitute(const double *l, int64_t n, int64_t band, double *x) {
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = i > band ? i - band : 0; k < i; k++)
            x[i] -= l[i * n + k] * x[k];
        x[i] /= l[i * n + i];
    }
    for (int64_t i = n; i-- > 0;) {
        for (int64_t k = i + 1; k < n && k <= i + band; k++)
            x[i] -= l[k * n + i] * x[k];
        x[i] /= l[i * n + i];
    }
}

swg_status swg__kan_noise_map(swg_context *ctx, int64_t intervals, int order, double low, double high, double scale, double **out) {
    enum { FINEST = 4096 };
    int64_t bases = intervals + order, n = intervals + 1, knots = intervals + 2 * order + 1;
    *out = NULL;
    if (intervals > FINEST)
        return swg__fail(ctx, SWG_EINVAL, "kan: a grid of %lld intervals is too fine to start from noise, which goes up to %d", (long long)intervals,
                         FINEST);
    double *square = swg__calloc(ctx, (size_t)(n * n + knots), sizeof *square), *map = swg__calloc(ctx, (size_t)(bases * n), sizeof *map);
    if (!square || !map) {
        swg__free(ctx, square);
        swg__free(ctx, map);
        return swg__fail_memory(ctx, (size_t)(n * n) * sizeof *square, "the start of splines");
    }
    /* map: A transposed, row by row replaced by the solution; a point touches bases r - order .. r + order. */
    double *grid = square + n * n, w[SWG__SPLINE_ORDER + 1];
    swg__kan_grid(intervals, order, low, high, grid);
    for (int64_t r = 0; r < n; r++) {
        int64_t first;
        bool any = swg__kan_bases(grid, knots, order, grid[order + r], &first, w);
        for (int j = 0; any && j <= order; j++)
            if (first + j >= 0 && first + j < bases)
                map[(first + j) * n + r] = w[j];
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i > order ? i - order : 0; j <= i; j++)
            for (int64_t k = 0; k < bases; k++)
                square[i * n + j] += map[k * n + i] * map[k * n + j];
    factor(square, n, order);
    for (int64_t j = 0; j < bases; j++) {
        substitute(square, n, order, map + j * n);
        for (int64_t r = 0; r < n; r++)
            map[j * n + r] *= scale;
    }
    swg__free(ctx, square);
    *out = map;
    return SWG_OK;
}

/* ---- a grid that follows its inputs (kan.md, section 4) ---- */

static const double uniform_share = .02, margin = .01, least_scaler = 1e-8;
static const double least_weight = 1e-12; /* of a direction of coefficients beside the largest, in squares: what f32 cannot carry */

enum { SWEEPS = 60 };

/* Turns columns p and q of a (n, n). */
static void turn(double *a, int64_t n, int64_t p, int64_t q, double c, double s) {
    for (int64_t i = 0; i < n; i++) {
        double x = a[i * n + p], y = a[i * n + q];
        a[i * n + p] = c * x - s * y;
        a[i * n + q] = s * x + c * y;
    }
}

static double dot(const double *a, int64_t n, int64_t p, int64_t q) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i * n + p] * a[i * n + q];
    return sum;
}

/* Moore-Penrose inverse of a symmetric a (n, n) without negative eigenvalues, by one-sided Jacobi (Hestenes 1958); eigenvalues up to `cut`
 * times the largest are 0. a is overwritten; v: room for n * n numbers. */
static void pseudo_inverse(double *a, int64_t n, double cut, double *v, double *out) {
    double most = 0;
    for (int64_t i = 0; i < n * n; i++) {
        v[i] = i / n == i % n;
        out[i] = 0;
        most = fmax(most, fabs(a[i])); /* no more than n times below the largest eigenvalue */
    }
    bool again = true;
    for (int sweep = 0; again && sweep < SWEEPS; sweep++) {
        again = false;
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) {
                double alpha = dot(a, n, p, p), beta = dot(a, n, q, q), gamma = dot(a, n, p, q);
                if (sqrt(fmin(alpha, beta)) <= 1e-15 * most || fabs(gamma) <= 1e-15 * sqrt(alpha * beta))
                    continue; /* noise, or at right angles */
                double zeta = (beta - alpha) / (2 * gamma), t = copysign(1, zeta) / (fabs(zeta) + hypot(1, zeta)), c = 1 / sqrt(1 + t * t);
                turn(a, n, p, q, c, c * t);
                turn(v, n, p, q, c, c * t);
                again = true;
            }
    }
    most = 0; /* now the columns of a are eigenvectors, their lengths eigenvalues */
    for (int64_t j = 0; j < n; j++)
        most = fmax(most, sqrt(dot(a, n, j, j)));
    for (int64_t j = 0; j < n; j++) {
        double square = dot(a, n, j, j);
        for (int64_t i = 0; sqrt(square) > most * cut && i < n; i++)
            for (int64_t k = 0; k < n; k++)
                out[i * n + k] += v[i * n + j] * a[k * n + j] / square;
    }
}

typedef struct update {
    swg_weights *w;
    swg_context *ctx;
    const void *x;
    int64_t rows, features, outputs, taps, bases, intervals, knots;
    int order;
    void *c, *s, *t;                /* coefficients, scalers or NULL, knots in the weights */
    bool edge;                      /* a scaler per edge, else per result */
    char *room;                     /* per worker */
    int64_t worker_bytes;
    double *moves;                  /* per feature: the matrix that makes new coefficients, (bases, bases) */
    struct feature { bool moves; int64_t rescaled, skipped; double change, size; } *done;   /* per feature; the last two are sums of squares */
} update;

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Knots for sorted values; false: they are all one, or what the weights hold would not ascend. */
static bool new_knots(const update *u, const double *sorted, int64_t n, double *knots) {
    if (n == 0 || sorted[0] == sorted[n - 1])
        return false;
    double step = (sorted[n - 1] - sorted[0] + 2 * margin) / (double)u->intervals, *grid = knots + u->order;
    for (int64_t k = 0; k <= u->intervals; k++)
        grid[k] = uniform_share * (sorted[0] - margin + (double)k * step) + (1 - uniform_share) * sorted[k * (n - 1) / u->intervals];
    for (int64_t k = 1; k <= u->order; k++) {
        grid[-k] = grid[0] - (double)k * step;
        grid[u->intervals + k] = grid[u->intervals] + (double)k * step;
    }
    for (int64_t i = 0; i < u->knots; i++) {
        knots[i] = u->w->dtype == SWG_F32 ? (double)(float)knots[i] : knots[i];
        if (!isfinite(knots[i]) || (i > 0 && !(knots[i] > knots[i - 1])))
            return false;
    }
    return true;
}

/* The bases of one grid that are not 0 at some number: `count` of them from `first`, their values from w[skip]. */
typedef struct some { int64_t first; int skip, count; double w[SWG__SPLINE_ORDER + 1]; } some;

static some bases_at(const update *u, const double *knots, double x) {
    some b = {0};
    int64_t first;
    if (!swg__kan_bases(knots, u->knots, u->order, x, &first, b.w))
        return b;
    b.skip = first < 0 ? (int)-first : 0;
    b.first = first + b.skip;
    b.count = (int)swg__min64(u->order + 1 - b.skip, u->bases - b.first);
    return b;
}

/* Adds the products of bases a and b to a matrix whose rows are `stride` apart. */
static void add_products(double *to, int64_t stride, const some *a, const some *b) {
    for (int i = 0; i < a->count; i++)
        for (int j = 0; j < b->count; j++)
            to[(a->first + i) * stride + b->first + j] += a->w[a->skip + i] * b->w[b->skip + j];
}

/* gram (2 bases, 2 bases): products of all bases on both grids, new ones first, summed over the values. */
static void products(const update *u, const double *values, int64_t n, const double *fresh, const double *old, double *gram) {
    int64_t half = u->bases, side = 2 * half;
    memset(gram, 0, (size_t)(side * side) * sizeof *gram);
    for (int64_t r = 0; r < n; r++) {
        some now = bases_at(u, fresh, values[r]), then = bases_at(u, old, values[r]);
        add_products(gram, side, &now, &now);
        add_products(gram + half, side, &now, &then);
        add_products(gram + half * side + half, side, &then, &then);
    }
    for (int64_t i = 0; i < half; i++)
        for (int64_t j = 0; j < half; j++)
            gram[(half + j) * side + i] = gram[i * side + half + j];
}

/* move (bases, bases) = pinv(A^T A) A^T B: coefficients on the new grid of the curve that is nearest on the values to one on the old. */
static void solve(const update *u, const double *gram, double *work, double *move) {
    int64_t n = u->bases;
    double *square = work, *inverse = work + n * n, *room = work + 2 * n * n;
    for (int64_t i = 0; i < n * n; i++)
        square[i] = gram[i / n * 2 * n + i % n];
    pseudo_inverse(square, n, least_weight, room, inverse);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < n; k++)
                sum += inverse[i * n + k] * gram[k * 2 * n + n + j];
            move[i * n + j] = sum;
        }
}

static double scaler(const update *u, int64_t o, int64_t in) {
    int64_t edges = u->features * u->taps;
    return u->s ? swg__load(u->s, u->w->dtype, u->edge ? o * edges + in : o) : 1;
}

/* New coefficients of one edge; with a scaler next to 0, as if it were 1. both: room for 2 bases: s c on the new grid, -s c on the old one. */
static void refit(const update *u, int64_t o, int64_t in, const double *move, double *both) {
    int64_t n = u->bases, at = (o * u->features * u->taps + in) * n;
    double s = scaler(u, o, in);
    bool tiny = fabs(s) < least_scaler;
    for (int64_t i = 0; i < n; i++)
        both[n + i] = swg__load(u->c, u->w->dtype, at + i);
    for (int64_t i = 0; i < n; i++) {
        double sum = move ? 0 : both[n + i];
        for (int64_t j = 0; move && j < n; j++)
            sum += move[i * n + j] * both[n + j];
        swg__store(u->c, u->w->dtype, at + i, tiny ? s * sum : sum);
        both[i] = (tiny ? 1 : s) * swg__load(u->c, u->w->dtype, at + i);
    }
    for (int64_t i = 0; i < n; i++)
        both[n + i] *= -s;
}

static double form(const double *gram, const double *v, int64_t n, int64_t first, int64_t end) {
    double sum = 0;
    for (int64_t i = first; i < end; i++)
        for (int64_t j = first; j < end; j++)
            sum += v[i] * gram[i * n + j] * v[j];
    return fmax(sum, 0);
}

/* A task is a feature: what it writes no other reads. */
static void update_feature(void *arg, int64_t f, int worker) {
    const update *u = arg;
    struct feature *done = &u->done[f];
    int64_t n = 0, twice = 2 * u->bases;
    double *values = (double *)(u->room + worker * u->worker_bytes), *fresh = values + u->rows, *old = fresh + u->knots;
    double *gram = old + u->knots, *work = gram + twice * twice, *both = work + twice * twice, *move = u->moves + f * u->bases * u->bases;
    for (int64_t r = 0; r < u->rows; r++) {
        double value = swg__load(u->x, u->w->dtype, r * u->features + f);
        if (isfinite(value))
            values[n++] = value;
    }
    done->skipped = u->rows - n;
    qsort(values, (size_t)n, sizeof *values, ascending);
    if (!(done->moves = new_knots(u, values, n, fresh)))
        return;
    for (int64_t i = 0; i < u->knots; i++) {
        old[i] = swg__load(u->t, u->w->dtype, f * u->knots + i);
        swg__store(u->t, u->w->dtype, f * u->knots + i, fresh[i]);
    }
    products(u, values, n, fresh, old, gram);
    solve(u, gram, work, move);
    for (int64_t o = 0; o < u->outputs; o++)
        for (int64_t in = f * u->taps; in < (f + 1) * u->taps; in++) {
            refit(u, o, in, move, both);
            done->change += form(gram, both, twice, 0, twice) / (double)n;
            done->size += form(gram, both, twice, u->bases, twice) / (double)n;
            if (u->s && u->edge && fabs(scaler(u, o, in)) < least_scaler) {
                swg__store(u->s, u->w->dtype, o * u->features * u->taps + in, 1);
                done->rescaled++;
            }
        }
}

/* Scalers per result, after all features: what kept its grid takes its scaler into the coefficients. */
static int64_t rescale_results(const update *u, double *both) {
    int64_t rescaled = 0;
    for (int64_t o = 0; u->s && !u->edge && o < u->outputs; o++) {
        if (!(fabs(scaler(u, o, 0)) < least_scaler))
            continue;
        for (int64_t in = 0; in < u->features * u->taps; in++)
            if (!u->done[in / u->taps].moves)
                refit(u, o, in, NULL, both);
        swg__store(u->s, u->w->dtype, o, 1);
        rescaled++;
    }
    return rescaled;
}

/* Is `name` that of `part` of the layer? */
static bool part_of(const char *name, const char *layer, const char *part) {
    size_t length = strlen(layer);
    if (length == 0)
        return strcmp(name, part) == 0;
    return strncmp(name, layer, length) == 0 && name[length] == '.' && strcmp(name + length + 1, part) == 0;
}

/* Finds the layer; NULL or what is wrong with it. */
static const char *find_layer(update *u, const char *layer) {
    swg_weights *w = u->w;
    const struct swg__weight *knots = NULL, *c = NULL, *s = NULL;
    for (int i = 0; i < w->state_count; i++)
        if (part_of(w->states[i].name, layer, "knots")) {
            knots = &w->states[i];
            u->t = swg_weights_state(w, i);
        }
    for (int i = 0; i < w->count; i++) {
        if (part_of(w->items[i].name, layer, "spline_weight")) {
            c = &w->items[i];
            u->c = swg_weights_value(w, i);
        } else if (part_of(w->items[i].name, layer, "spline_scaler")) {
            s = &w->items[i];
            u->s = swg_weights_value(w, i);
        }
    }
    if (!c)
        return "there is no such layer with splines";
    if (!knots)
        return "the grid of the layer is not adaptive";
    if (knots->shape[0] != u->features)
        return "the layer has another number of features";
    u->outputs = c->shape[0];
    u->taps = c->shape[1] / u->features;
    u->bases = c->shape[2];
    u->knots = knots->shape[1];
    u->order = (int)(u->knots - u->bases - 1);
    u->intervals = u->bases - u->order;
    u->edge = s && s->ndim == 2;
    return NULL;
}

swg_status swg_kan_update_grid(swg_weights *weights, const char *layer, const void *x, int64_t rows, int64_t features, swg_kan_update *report) {
    update u = {.w = weights, .ctx = weights->ctx, .x = x, .rows = rows, .features = features};
    if (!layer || !x || rows < 1 || features < 1)
        return swg__fail(u.ctx, SWG_EINVAL, "kan grid: %lld rows of %lld inputs for layer \"%s\"", (long long)rows, (long long)features,
                         layer ? layer : "");
    const char *wrong = find_layer(&u, layer);
    if (wrong)
        return swg__fail(u.ctx, SWG_EINVAL, "kan grid: layer \"%s\", %lld features: %s", layer, (long long)features, wrong);
    int64_t square = u.bases * u.bases, numbers = rows + 2 * u.knots + 8 * square + 2 * u.bases;
    int workers = swg_context_threads(u.ctx);
    u.worker_bytes = (numbers * (int64_t)sizeof(double) + 63) / 64 * 64;
    u.room = swg__calloc(u.ctx, (size_t)workers, (size_t)u.worker_bytes);
    u.moves = swg__calloc(u.ctx, (size_t)(features * square), sizeof *u.moves);
    u.done = swg__calloc(u.ctx, (size_t)features, sizeof *u.done);
    swg_status status = u.room && u.moves && u.done ? SWG_OK : swg__fail_memory(u.ctx, (size_t)workers * (size_t)u.worker_bytes, "a change of grids");
    if (status == SWG_OK) {
        swg__parallel(u.ctx, features, update_feature, &u);
        swg_kan_update sum = {0};
        for (int64_t f = 0; f < features; f++) {
            sum.moved += u.done[f].moves;
            sum.rescaled += u.done[f].rescaled;
            sum.skipped += u.done[f].skipped;
            sum.change += u.done[f].change;
            sum.size += u.done[f].size;
        }
        sum.kept = features - sum.moved;
        if (sum.moved) {
            double edges = (double)(sum.moved * u.taps * u.outputs);
            sum.rescaled += rescale_results(&u, (double *)u.room);
            sum.change = sqrt(sum.change / edges);
            sum.size = sqrt(sum.size / edges);
        }
        if (report)
            *report = sum;
    }
    swg__free(u.ctx, u.done);
    swg__free(u.ctx, u.moves);
    swg__free(u.ctx, u.room);
    return status;
}
