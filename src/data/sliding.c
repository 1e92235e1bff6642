/* sliding.c - cuts windows out of a band of each image, runs them in batches and blends what comes back.
 * In: images by slabs. Out: results by slabs. Memory: one band of input and one of sums, however long the images.
 *
 * Two walks go over the same windows: one cuts, the other, at most a batch behind, adds. Each has one image in hand.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/sliding.h"
#include <math.h>
#include <string.h>
#include "data/transform.h"

enum { Z, Y, X, AXES };

/* ---- one axis ---- */

static int64_t interval(int64_t n, int64_t window, double overlap) {
    if (n == window)
        return window;
    int64_t step = (int64_t)((double)window * (1 - overlap));
    return step < 1 ? 1 : step;
}

int64_t swg__windows_count(int64_t n, int64_t window, double overlap) {
    if (n <= window)
        return 1;
    int64_t step = interval(n, window, overlap);
    return (n - window + step - 1) / step + 1;
}

int64_t swg__windows_start(int64_t n, int64_t window, double overlap, int64_t k) {
    if (n <= window)
        return 0;
    int64_t start = k * interval(n, window, overlap);
    return start < n - window ? start : n - window;
}

void swg__windows_gaussian(int64_t window, double *out) {
    double centre = (double)(window - 1) / 2, sigma = 0.125 * (double)window;
    for (int64_t i = 0; i < window; i++) {
        double d = ((double)i - centre) / sigma;
        out[i] = exp(-0.5 * d * d);
    }
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t ratio_of(const swg__sliding_head *h, int axis) { return h->ratio[axis] ? h->ratio[axis] : 1; }

/* ---- an image's windows ---- */

/* The windows of one image, and one of them. */
typedef struct walk {
    const swg__sliding *s;
    int64_t image, extent[AXES];
    int64_t first[AXES], end[AXES];     /* windows along each axis that are not skipped */
    int along;                          /* axis of the bands */
    int64_t band;                       /* voxels along it that a group of windows covers, at most */
    int64_t k[AXES], index, count;
} walk;

static int64_t start_of(const walk *w, int axis, int64_t k) {
    const int64_t n = w->extent[axis], roi = w->s->roi[axis];
    return n < roi ? w->s->pad == SWG__PAD_ZERO ? -((roi - n) / 2) : 0 : swg__windows_start(n, roi, w->s->overlap, k);
}

static void clip_to_box(walk *w, int axis) {
    const int64_t *box = w->s->box[axis], roi = w->s->roi[axis];
    while (w->first[axis] < w->end[axis] && start_of(w, axis, w->first[axis]) + roi <= box[0])
        w->first[axis]++;
    while (w->end[axis] > w->first[axis] && start_of(w, axis, w->end[axis] - 1) >= box[1])
        w->end[axis]--;
}

static int64_t steps_of(const swg__sliding *s) { return s->steps ? s->steps : 1; }

static void begin_walk(walk *w, const swg__sliding *s, int64_t image, const int64_t extent[AXES]) {
    *w = (walk){.s = s, .image = image, .count = 1};
    memcpy(w->extent, extent, sizeof w->extent);
    for (int a = 0; a < AXES; a++) {
        w->end[a] = swg__windows_count(extent[a], s->roi[a], s->overlap);
        if (s->boxed)
            clip_to_box(w, a);
        w->k[a] = w->first[a];
        w->count *= w->end[a] - w->first[a];
    }
    const bool longer[AXES] = {extent[Z] > s->roi[Z], extent[Y] > s->roi[Y], extent[X] > s->roi[X]};
    w->along = s->along ? s->along - 1 : longer[Z] ? Z : longer[Y] ? Y : longer[X] ? X : Z;
    const int64_t step = interval(extent[w->along], s->roi[w->along], s->overlap), steps = least(steps_of(s), w->end[w->along]);
    w->band = least(extent[w->along], s->roi[w->along] + (steps - 1) * step);
}

/* Windows of the same group share a band: `steps` of them along the axis. */
static int64_t group_first(const walk *w) {
    const int64_t first = w->first[w->along], steps = steps_of(w->s);
    return first + (w->k[w->along] - first) / steps * steps;
}
static int64_t group_end(const walk *w) { return least(group_first(w) + steps_of(w->s), w->end[w->along]); }

/* Voxels along the axis that a group covers. */
static int64_t group_low(const walk *w) { return most(start_of(w, w->along, group_first(w)), 0); }
static int64_t group_high(const walk *w) {
    return least(start_of(w, w->along, group_end(w) - 1) + w->s->roi[w->along], w->extent[w->along]);
}

static bool group_begins(const walk *w) {
    for (int a = w->along + 1; a < AXES; a++)
        if (w->k[a] != w->first[a])
            return false;
    return w->k[w->along] == group_first(w);
}

static bool group_is_last_window(const walk *w) {
    for (int a = w->along + 1; a < AXES; a++)
        if (w->k[a] + 1 != w->end[a])
            return false;
    return w->k[w->along] + 1 == group_end(w);
}

static bool next_window(walk *w) {
    w->index++;
    for (int a = X; a >= 0; a--) {
        if (++w->k[a] < w->end[a])
            return true;
        w->k[a] = w->first[a];
    }
    return false;
}

static int64_t before(const walk *w) { return w->along == Z ? 1 : w->along == Y ? w->extent[Z] : w->extent[Z] * w->extent[Y]; }
static int64_t plane(const walk *w) { return w->extent[Z] * w->extent[Y] * w->extent[X] / w->extent[w->along]; }

typedef struct span3 {
    int64_t n[AXES];
} span3;

/* Extents of what is in memory of an image (head NULL) or of a head's sums. */
static span3 held_by(const walk *w, const swg__sliding_head *head) {
    span3 e;
    for (int a = 0; a < AXES; a++)
        e.n[a] = (a == w->along ? w->band : w->extent[a]) * (head ? ratio_of(head, a) : 1);
    return e;
}

int64_t swg__sliding_windows(const swg__sliding *s, const int64_t extent[3]) {
    walk w;
    begin_walk(&w, s, 0, extent);
    return w.count;
}

/* ---- memory ---- */

typedef struct buffer {
    void *data;
    int64_t bytes;
} buffer;

enum { IN, WINDOWS, SLAB, SUM0, BUFFERS = SUM0 + SWG__SLIDING_HEADS };

typedef struct slider {
    const swg__sliding *s;
    swg_context *ctx;
    buffer buffers[BUFFERS];    /* IN (channels, ..band..) f32; WINDOWS (batch, channels, roi); SLAB f32, read or to be written; sums (head channels,
                                   ..band..) f64: a thousand windows may meet in a voxel */
    walk cut, add;
    int64_t in_low, in_high;    /* voxels along the axis that IN holds */
    int64_t sum_low;            /* the first that the sums hold */
    int64_t batch, pending, done, images;
    swg__sliding_window *at;    /* (batch) */
    double *weight[SWG__SLIDING_HEADS][AXES];   /* of a window, (ratio roi) */
    double *total[SWG__SLIDING_HEADS][AXES];    /* sums of it over the windows of the image in hand, (ratio extent), of the bands' axis (ratio band): their
                                                   product is the weight of a voxel */
    bool adding;                /* `add` has an image */
} slider;

static int64_t window_values(const swg__sliding *s) { return s->roi[Z] * s->roi[Y] * s->roi[X]; }
static span3 window_of(const swg__sliding *s) { return (span3){{s->roi[Z], s->roi[Y], s->roi[X]}}; }
static int64_t growth(const swg__sliding_head *h) { return ratio_of(h, Z) * ratio_of(h, Y) * ratio_of(h, X); }

/* What each buffer needs for this image. */
static void demand(const walk *w, int64_t bytes[BUFFERS]) {
    const swg__sliding *s = w->s;
    const int64_t band = w->band * plane(w);
    memset(bytes, 0, BUFFERS * sizeof *bytes);
    bytes[IN] = bytes[SLAB] = s->channels * band * (int64_t)sizeof(float);
    bytes[WINDOWS] = most(s->batch, 1) * s->channels * window_values(s) * (int64_t)sizeof(float);
    for (int h = 0; h < s->heads; h++) {
        const int64_t values = s->head[h].channels * band * growth(&s->head[h]);
        bytes[SUM0 + h] = values * (int64_t)sizeof(double);
        bytes[SLAB] = most(bytes[SLAB], values * (int64_t)sizeof(float));
    }
}

/* Of one line of doubles for each head and axis. */
static int64_t line_bytes(const swg__sliding *s, span3 e) {
    int64_t values = 0;
    for (int h = 0; h < s->heads; h++)
        for (int a = 0; a < AXES; a++)
            values += ratio_of(&s->head[h], a) * e.n[a];
    return values * (int64_t)sizeof(double);
}

int64_t swg__sliding_bytes(const swg__sliding *s, int64_t images, const int64_t *extents) {
    int64_t largest[BUFFERS] = {0}, lines = 0, bytes[BUFFERS], all = 0;
    walk w;
    for (int64_t i = 0; i < images; i++) {
        begin_walk(&w, s, i, extents + i * AXES);
        demand(&w, bytes);
        for (int b = 0; b < BUFFERS; b++)
            largest[b] = most(largest[b], bytes[b]);
        lines = most(lines, line_bytes(s, held_by(&w, NULL)));
    }
    for (int b = 0; b < BUFFERS; b++)
        all += largest[b];
    return all + lines + line_bytes(s, window_of(s)) + most(s->batch, 1) * (int64_t)sizeof(swg__sliding_window);
}

/* Contents are lost. */
static swg_status make_room(slider *t, int which, int64_t bytes) {
    buffer *b = &t->buffers[which];
    if (bytes <= b->bytes)
        return SWG_OK;
    swg__free(t->ctx, b->data);
    b->data = swg__alloc(t->ctx, (size_t)bytes);
    b->bytes = b->data ? bytes : 0;
    return b->data ? SWG_OK : swg__fail_memory(t->ctx, (size_t)bytes, "a band of an image");
}

/* Moves the contents of a band of `band` slabs down by `gone`; what is behind them is 0 then, if `clear`. */
static void shift_band(char *data, int64_t outer, int64_t band, int64_t slab_bytes, int64_t gone, bool clear) {
    for (int64_t o = 0; o < outer; o++) {
        char *block = data + o * band * slab_bytes;
        memmove(block, block + gone * slab_bytes, (size_t)((band - gone) * slab_bytes));
        if (clear)
            memset(block + (band - gone) * slab_bytes, 0, (size_t)(gone * slab_bytes));
    }
}

/* Copies `count` slabs between a tight array and a band from slab `at` on. */
static void into_band(float *band_data, int64_t outer, int64_t band, int64_t slab, int64_t at, int64_t count, const float *from) {
    for (int64_t o = 0; o < outer; o++)
        memcpy(band_data + (o * band + at) * slab, from + o * count * slab, (size_t)(count * slab) * sizeof *from);
}

/* ---- cutting ---- */

static swg_status begin_cut(slider *t, int64_t image) {
    const swg__sliding *s = t->s;
    int64_t extent[AXES] = {0}, bytes[BUFFERS], values = 8 * (int64_t)sizeof(double);
    SWG__TRY(s->begin(s->user, image, extent));
    for (int a = 0; a < AXES; a++)
        if (extent[a] < 1 || swg__mul_overflow(values, most(extent[a], s->roi[a]), &values))
            return swg__fail(t->ctx, SWG_ESHAPE, "image %lld: %lld x %lld x %lld voxels", (long long)image + 1, (long long)extent[Z],
                             (long long)extent[Y], (long long)extent[X]);
    for (int h = -1; h < s->heads; h++) {
        int64_t all = values;
        if (swg__mul_overflow(all, h < 0 ? s->channels : s->head[h].channels, &all) || (h >= 0 && swg__mul_overflow(all, growth(&s->head[h]), &all)))
            return swg__fail(t->ctx, SWG_ESHAPE, "image %lld: the result has more voxels than can be counted", (long long)image + 1);
    }
    begin_walk(&t->cut, s, image, extent);
    if (t->cut.count < 1)
        return swg__fail(t->ctx, SWG_EINVAL, "image %lld of %lld x %lld x %lld voxels: the box meets none of its windows", (long long)image + 1,
                         (long long)extent[Z], (long long)extent[Y], (long long)extent[X]);
    for (int a = 0; a < t->cut.along; a++)
        if (t->cut.end[a] - t->cut.first[a] > 1)
            return swg__fail(t->ctx, SWG_EINVAL, "image %lld: bands along axis %d, but axis %d has several windows", (long long)image + 1,
                             t->cut.along + 1, a + 1);
    t->in_low = t->in_high = group_low(&t->cut);
    demand(&t->cut, bytes);
    SWG__TRY(make_room(t, IN, bytes[IN]));
    return make_room(t, SLAB, bytes[SLAB]);
}

/* Reads what the group needs and IN does not have. */
static swg_status fill_band(slider *t) {
    const walk *w = &t->cut;
    const int64_t slab = plane(w) / before(w), outer = t->s->channels * before(w), low = group_low(w), high = group_high(w);
    float *in = t->buffers[IN].data, *fresh = t->buffers[SLAB].data;
    shift_band((char *)in, outer, w->band, slab * (int64_t)sizeof *in, low - t->in_low, false);
    t->in_low = low;
    if (high > t->in_high) {
        int64_t start[AXES] = {0}, count[AXES];
        memcpy(count, w->extent, sizeof count);
        start[w->along] = t->in_high;
        count[w->along] = high - t->in_high;
        SWG__TRY(t->s->read(t->s->user, w->image, start, count, fresh));
        into_band(in, outer, w->band, slab, t->in_high - low, high - t->in_high, fresh);
        t->in_high = high;
    }
    return SWG_OK;
}

/* The voxel of the image that stands at p, which may be outside; -1: zero. */
static int64_t source_of(const swg__sliding *s, int64_t p, int64_t n) {
    if (p >= 0 && p < n)
        return p;
    return s->pad == SWG__PAD_ZERO ? -1 : s->pad == SWG__PAD_REFLECT ? swg__reflect(p, n) : p < 0 ? 0 : n - 1;
}

static void cut_row(const swg__sliding *s, const float *row, int64_t start, int64_t n, float *to) {
    const int64_t low = most(0, -start), high = least(s->roi[X], n - start);
    for (int64_t i = 0; i < low; i++)
        to[i] = 0;
    memcpy(to + low, row + start + low, (size_t)(high - low) * sizeof *to);
    for (int64_t i = high; i < s->roi[X]; i++) {
        int64_t p = source_of(s, start + i, n);
        to[i] = p < 0 ? 0 : row[p];
    }
}

static void cut_window(const slider *t, const int64_t start[AXES], float *to) {
    const swg__sliding *s = t->s;
    const walk *w = &t->cut;
    const float *in = t->buffers[IN].data;
    const int64_t off = w->along == X ? t->in_low : 0;
    const span3 held = held_by(w, NULL);
    for (int c = 0; c < s->channels; c++)
        for (int64_t z = 0; z < s->roi[Z]; z++)
            for (int64_t y = 0; y < s->roi[Y]; y++, to += s->roi[X]) {
                int64_t at[] = {source_of(s, start[Z] + z, w->extent[Z]), source_of(s, start[Y] + y, w->extent[Y])};
                if (at[Z] < 0 || at[Y] < 0) {
                    memset(to, 0, (size_t)s->roi[X] * sizeof *to);
                    continue;
                }
                if (w->along != X)
                    at[w->along] -= t->in_low;
                cut_row(s, in + ((c * held.n[Z] + at[Z]) * held.n[Y] + at[Y]) * held.n[X], start[X] - off, w->extent[X] - off, to);
            }
}

/* The window that the walk stands at joins the batch. */
static swg_status take_window(slider *t) {
    const swg__sliding *s = t->s;
    swg__sliding_window *at = &t->at[t->pending];
    if (group_begins(&t->cut))
        SWG__TRY(fill_band(t));
    *at = (swg__sliding_window){.image = t->cut.image, .index = t->cut.index, .count = t->cut.count};
    memcpy(at->extent, t->cut.extent, sizeof at->extent);
    for (int a = 0; a < AXES; a++)
        at->start[a] = start_of(&t->cut, a, t->cut.k[a]);
    cut_window(t, at->start, (float *)t->buffers[WINDOWS].data + t->pending * s->channels * window_values(s));
    t->pending++;
    return SWG_OK;
}

/* ---- adding ---- */

static void free_lines(slider *t, double *lines[SWG__SLIDING_HEADS][AXES]) {
    for (int h = 0; h < SWG__SLIDING_HEADS; h++)
        for (int a = 0; a < AXES; a++) {
            swg__free(t->ctx, lines[h][a]);
            lines[h][a] = NULL;
        }
}

/* A line for each head and axis. */
static swg_status make_lines(slider *t, double *lines[SWG__SLIDING_HEADS][AXES], span3 e) {
    free_lines(t, lines);
    for (int h = 0; h < t->s->heads; h++)
        for (int a = 0; a < AXES; a++) {
            lines[h][a] = swg__alloc(t->ctx, (size_t)(e.n[a] * ratio_of(&t->s->head[h], a)) * sizeof(double));
            if (!lines[h][a])
                return swg__fail_memory(t->ctx, (size_t)line_bytes(t->s, e), "the weights of windows");
        }
    return SWG_OK;
}

/* The floor is one per axis: one of the product would make all weights equal along an image's border, and a seam. A head's weights are the nearest
 * of the window's. */
static swg_status weigh_windows(slider *t) {
    const swg__sliding *s = t->s;
    SWG__TRY(make_lines(t, t->weight, window_of(s)));
    for (int a = 0; a < AXES; a++) {
        double *line = swg__alloc(t->ctx, (size_t)s->roi[a] * sizeof *line);
        if (!line)
            return swg__fail_memory(t->ctx, (size_t)s->roi[a] * sizeof *line, "the weights of windows");
        swg__windows_gaussian(s->roi[a], line);
        for (int h = 0; h < s->heads; h++)
            for (int64_t i = 0, ratio = ratio_of(&s->head[h], a); i < s->roi[a] * ratio; i++)
                t->weight[h][a][i] = s->constant ? 1 : fmax(line[i / ratio], 1e-3);
        swg__free(t->ctx, line);
    }
    return SWG_OK;
}

/* Sums of the weights of the image's windows at low .. high - 1 of an axis. Windows stand on a grid, so their sum at a voxel is the product of three. */
static void weigh_axis(slider *t, int axis, int64_t low, int64_t high) {
    const walk *w = &t->add;
    for (int h = 0; h < t->s->heads; h++) {
        const int64_t ratio = ratio_of(&t->s->head[h], axis);
        double *total = t->total[h][axis];
        memset(total, 0, (size_t)((high - low) * ratio) * sizeof *total);
        for (int64_t k = w->first[axis]; k < w->end[axis]; k++) {
            const int64_t start = start_of(w, axis, k), from = most(start, low), to = least(start + t->s->roi[axis], high);
            for (int64_t i = from * ratio; i < to * ratio; i++)
                total[i - low * ratio] += t->weight[h][axis][i - start * ratio];
        }
    }
}

/* Slabs low .. high - 1 of the image, `slab` of them to a head's call, from `values`. */
static swg_status hand_over(slider *t, int h, int64_t low, int64_t high, const float *values) {
    const walk *w = &t->add;
    const swg__sliding_head *head = &t->s->head[h];
    int64_t start[AXES] = {0}, count[AXES];
    for (int a = 0; a < AXES; a++)
        count[a] = w->extent[a] * ratio_of(head, a);
    start[w->along] = low * ratio_of(head, w->along);
    count[w->along] = (high - low) * ratio_of(head, w->along);
    return t->s->write(t->s->user, w->image, h, start, count, values);
}

/* What no window covers: zeros, a band at a time. */
static swg_status write_nothing(slider *t, int64_t low, int64_t high) {
    const int64_t band = t->add.band;
    for (int64_t from = low; from < high; from += band)
        for (int h = 0; h < t->s->heads; h++) {
            memset(t->buffers[SLAB].data, 0, (size_t)t->buffers[SLAB].bytes);
            SWG__TRY(hand_over(t, h, from, least(high, from + band), t->buffers[SLAB].data));
        }
    return SWG_OK;
}

/* Slabs low .. high - 1 of the image are final: from the front of a head's sums, divided, to SLAB. */
static void divide(const slider *t, int h, int64_t low, int64_t high) {
    const walk *w = &t->add;
    const swg__sliding_head *head = &t->s->head[h];
    const double *sum = t->buffers[SUM0 + h].data;
    float *to = t->buffers[SLAB].data;
    const span3 held = held_by(w, head);
    int64_t count[AXES];
    memcpy(count, held.n, sizeof count);
    count[w->along] = (high - low) * ratio_of(head, w->along);
    for (int c = 0; c < head->channels; c++)
        for (int64_t z = 0; z < count[Z]; z++)
            for (int64_t y = 0; y < count[Y]; y++, to += count[X]) {
                const double *row = sum + ((c * held.n[Z] + z) * held.n[Y] + y) * held.n[X], *across = t->total[h][X];
                const double weight = t->total[h][Z][z] * t->total[h][Y][y];
                for (int64_t x = 0; x < count[X]; x++) {
                    const double all = weight * across[x];
                    to[x] = all > 0 ? (float)(row[x] / all) : 0;
                }
            }
}

static swg_status finish_slabs(slider *t, int64_t high) {
    const walk *w = &t->add;
    weigh_axis(t, w->along, t->sum_low, high);
    for (int h = 0; h < t->s->heads; h++) {
        const swg__sliding_head *head = &t->s->head[h];
        const span3 held = held_by(w, head);
        int64_t slab = 1, outer = head->channels;
        for (int a = 0; a < AXES; a++)
            *(a < w->along ? &outer : &slab) *= a == w->along ? 1 : held.n[a];
        divide(t, h, t->sum_low, high);
        SWG__TRY(hand_over(t, h, t->sum_low, high, t->buffers[SLAB].data));
        shift_band(t->buffers[SUM0 + h].data, outer, held.n[w->along], slab * (int64_t)sizeof(double), (high - t->sum_low) * ratio_of(head, w->along), true);
    }
    t->sum_low = high;
    return SWG_OK;
}

static swg_status begin_add(slider *t, const swg__sliding_window *at) {
    int64_t bytes[BUFFERS];
    begin_walk(&t->add, t->s, at->image, at->extent);
    t->adding = true;
    t->sum_low = group_low(&t->add);
    demand(&t->add, bytes);
    for (int b = SLAB; b < BUFFERS; b++)
        SWG__TRY(make_room(t, b, bytes[b]));
    for (int h = 0; h < t->s->heads; h++)
        memset(t->buffers[SUM0 + h].data, 0, (size_t)bytes[SUM0 + h]);
    SWG__TRY(make_lines(t, t->total, held_by(&t->add, NULL)));
    for (int a = 0; a < AXES; a++)
        if (a != t->add.along)
            weigh_axis(t, a, 0, at->extent[a]);
    return write_nothing(t, 0, t->sum_low);
}

static void add_window(slider *t, int h, const int64_t start[AXES], const float *from) {
    const swg__sliding *s = t->s;
    const swg__sliding_head *head = &s->head[h];
    const walk *w = &t->add;
    double *const sum = t->buffers[SUM0 + h].data, *const *weight = t->weight[h];
    const span3 held = held_by(w, head);
    int64_t low[AXES], high[AXES], roi[AXES], to[AXES];
    for (int a = 0; a < AXES; a++) {
        const int64_t ratio = ratio_of(head, a), off = start[a] - (a == w->along ? t->sum_low : 0);
        roi[a] = s->roi[a] * ratio;
        low[a] = most(0, -start[a]) * ratio;
        high[a] = least(s->roi[a], w->extent[a] - start[a]) * ratio;
        to[a] = off * ratio;
    }
    const int64_t columns = high[X] - low[X];
    const double *across = weight[X] + low[X];
    for (int c = 0; c < head->channels; c++)
        for (int64_t z = low[Z]; z < high[Z]; z++)
            for (int64_t y = low[Y]; y < high[Y]; y++) {
                const float *row = from + ((c * roi[Z] + z) * roi[Y] + y) * roi[X] + low[X];
                double *into = sum + ((c * held.n[Z] + to[Z] + z) * held.n[Y] + to[Y] + y) * held.n[X] + to[X] + low[X];
                const double down = weight[Z][z] * weight[Y][y];
                for (int64_t x = 0; x < columns; x++)
                    into[x] += down * across[x] * (double)row[x];
            }
}

/* Results of the i-th window of the batch. */
static swg_status add_results(slider *t, int64_t i, const float *const *out) {
    const swg__sliding *s = t->s;
    const swg__sliding_window *at = &t->at[i];
    if (!t->adding)
        SWG__TRY(begin_add(t, at));
    for (int h = 0; h < s->heads; h++)
        add_window(t, h, at->start, out[h] + i * s->head[h].channels * window_values(s) * growth(&s->head[h]));
    walk *w = &t->add;
    const bool group_done = group_is_last_window(w);
    const int64_t covered = group_high(w);
    if (next_window(w))
        return group_done ? finish_slabs(t, group_low(w)) : SWG_OK;
    t->adding = false;
    SWG__TRY(finish_slabs(t, covered));
    SWG__TRY(write_nothing(t, covered, w->extent[w->along]));
    t->images++;
    return s->finish ? s->finish(s->user, at->image) : SWG_OK;
}

/* ---- all of it ---- */

static swg_status run_batch(slider *t) {
    const swg__sliding *s = t->s;
    const float *out[SWG__SLIDING_HEADS] = {0};
    if (s->stop && *s->stop)
        return swg__fail(t->ctx, SWG_EINTERRUPTED, "stopped after %lld windows; %lld of %lld images are whole", (long long)t->done, (long long)t->images,
                         (long long)s->images);
    SWG__TRY(s->run(s->user, t->pending, t->at, t->buffers[WINDOWS].data, out));
    for (int64_t i = 0; i < t->pending; i++)
        SWG__TRY(add_results(t, i, out));
    t->done += t->pending;
    t->pending = 0;
    if (s->progress)
        s->progress(s->user, t->done);
    return SWG_OK;
}

static swg_status run_images(slider *t) {
    for (int64_t image = 0; image < t->s->images; image++) {
        SWG__TRY(begin_cut(t, image));
        do {
            SWG__TRY(take_window(t));
            if (t->pending == t->batch)
                SWG__TRY(run_batch(t));
        } while (next_window(&t->cut));
    }
    return t->pending ? run_batch(t) : SWG_OK;
}

static swg_status check(swg_context *ctx, const swg__sliding *s) {
    int64_t values = 8 * (int64_t)sizeof(double) * most(s->batch, 1);
    bool good = s->channels > 0 && s->overlap >= 0 && s->overlap < 1 && s->batch >= 0 && s->steps >= 0 && s->along >= 0 && s->along <= AXES &&
                s->heads >= 0 && s->heads <= SWG__SLIDING_HEADS && s->images >= 0 && !swg__mul_overflow(values, most(s->channels, 1), &values);
    for (int a = 0; a < AXES && good; a++)
        good = s->roi[a] > 0 && !swg__mul_overflow(values, s->roi[a], &values);
    for (int h = 0; h < s->heads && good; h++)
        good = s->head[h].channels > 0 && s->head[h].ratio[Z] >= 0 && s->head[h].ratio[Y] >= 0 && s->head[h].ratio[X] >= 0;
    return good ? SWG_OK : swg__fail(ctx, SWG_EINVAL, "sliding windows of %lld x %lld x %lld, overlap %g, %lld at a time: not possible", (long long)s->roi[Z],
                                     (long long)s->roi[Y], (long long)s->roi[X], s->overlap, (long long)s->batch);
}

swg_status swg__sliding_run(swg_context *ctx, const swg__sliding *s) {
    slider t = {.s = s, .ctx = ctx, .batch = most(s->batch, 1)};
    swg_status status = check(ctx, s);
    if (status == SWG_OK && !(t.at = swg__alloc(ctx, (size_t)t.batch * sizeof *t.at)))
        status = swg__fail_memory(ctx, (size_t)t.batch * sizeof *t.at, "a batch of windows");
    if (status == SWG_OK)
        status = make_room(&t, WINDOWS, t.batch * s->channels * window_values(s) * (int64_t)sizeof(float));
    if (status == SWG_OK)
        status = weigh_windows(&t);
    if (status == SWG_OK)
        status = run_images(&t);
    for (int b = 0; b < BUFFERS; b++)
        swg__free(ctx, t.buffers[b].data);
    free_lines(&t, t.weight);
    free_lines(&t, t.total);
    swg__free(ctx, t.at);
    return status;
}
