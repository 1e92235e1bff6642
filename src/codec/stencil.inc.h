/* stencil.inc.h - mode W on one type of level, included twice by stencil.c.
 * LEVEL: int32_t (levels of a chunk span less than SHORT_SPAN) or int64_t. LEVEL_MOST: largest |level - first|.
 * NAME(x): suffix. FAST_CHOICES(model): whether the kernels for levels that are not wide may be used; GATHER_RUN(tap, n, f, at): then. DIFFERENCE, ROW_SUMS(tap, n, b, i, least, most, outside): arithmetic and kernel.
 * SPDX-License-Identifier: Apache-2.0 */

/* ---- encoder: all levels of a slice are known; rows padded by two copies of their end values ---- */

typedef struct NAME(field) {
    int64_t nz, ny, nx, stride;
    LEVEL *data;
    int64_t inner[SWG__TAPS]; /* where the taps of a point lie whose row is two away from all borders */
} NAME(field);

static LEVEL *NAME(row)(const NAME(field) *f, int64_t z, int64_t y) { return f->data + (z * f->ny + y) * f->stride + 2; }

/* Masked values have the level of their anchor; only the very first of a slice has one of its own. number: of the row in its slice. */
static void NAME(mask_row)(const NAME(field) *f, LEVEL *u, const uint8_t *mask, int64_t number) {
    for (int64_t x = number == 0; x < f->nx; x++)
        if (mask[x])
            u[x] = x ? u[x - 1] : number % f->ny ? u[-f->stride] : u[-f->ny * f->stride];
}

/* Taps of the points x >= 1 of a row (first false) or of its x = 0 (first true), as pointers to be indexed by x.
 * False: the very first point of the slice, which has no neighbours. */
static bool NAME(taps)(const NAME(field) *f, int64_t z, int64_t y, bool first, const LEVEL *tap[SWG__TAPS]) {
    const LEVEL *anchor = NAME(row)(f, z, y) - 1;
    if (first)
        anchor = y ? NAME(row)(f, z, y - 1) : z ? NAME(row)(f, z - 1, 0) : NULL;
    if (z >= 2 && y >= 2 && y + 2 < f->ny) {
        const LEVEL *row = NAME(row)(f, z, y);
        for (int k = 0; k < SWG__TAPS; k++)
            tap[k] = row + f->inner[k];
        if (first) /* the two in its own row */
            tap[0] = tap[SWG__TAPS - 1] = anchor;
        return true;
    }
    for (int k = 0; k < SWG__TAPS; k++) {
        int64_t zz = z + swg__tap_offset[k][0], yy = y + swg__tap_offset[k][1], dx = swg__tap_offset[k][2];
        zz = zz < 0 ? 0 : zz;
        yy = yy < 0 ? 0 : yy >= f->ny ? f->ny - 1 : yy;
        bool before = zz < z || yy < y || (yy == y && dx < 0 && !first);
        tap[k] = before ? NAME(row)(f, zz, yy) + dx : anchor;
    }
    return anchor != NULL;
}

/* Sums of one point into place i of a batch. */
static void NAME(point)(const LEVEL *const tap[SWG__TAPS], int64_t x, const swg__stencil *model, const batch *b, int64_t i, bool *outside) {
    const int64_t least = model->wide ? -WIDE_LIMIT : -8192, most = model->wide ? WIDE_LIMIT : 8191;
    int64_t total = 0, activity = 0, anchor = tap[0][x], d[SWG__TAPS];
    for (int k = 1; k < SWG__TAPS; k++) {
        d[k] = DIFFERENCE(tap[k][x], anchor);
        *outside |= d[k] < least || d[k] > most;
        d[k] = d[k] < least ? least : d[k] > most ? most : d[k];
        total += model->w[k] * d[k];
        activity += d[k] < 0 ? -d[k] : d[k];
    }
    b->sums[i] = total;
    b->sizes[i] = 4 * activity + 27;
    if (model->net)
        lay_features(model, d, b, i);
}

/* The same of n points in a row of memory. Returns whether a difference was out of range. */
static bool NAME(run)(const swg__chunk *chunk, const LEVEL *const tap[SWG__TAPS], const swg__stencil *model, int64_t n, const batch *b,
                      int64_t i) {
    bool outside = false;
    if (model->net && (model->wide || sizeof(LEVEL) == 8)) { /* rare: no kernel of its own */
        for (int64_t x = 0; x < n; x++)
            NAME(point)(tap, x, model, b, i + x, &outside);
        return outside;
    }
    ROW_SUMS(tap, n, b, i, model->wide ? -WIDE_LIMIT : -8192, model->wide ? WIDE_LIMIT : 8191, outside);
    return outside;
}

/* predict_row's points x >= 1, with vectors. before: class of the residual at x = 0. mask: of the row. */
static void NAME(choose)(const swg__chunk *chunk, const LEVEL *row, const uint8_t *mask, int64_t nx, int before, const batch *b, LEVEL *e,
                         uint16_t *context) {
    const int64_t most = CHOICES, stride = CHOICES + SLACK;
    int32_t *const residual = b->residual;
    uint16_t *const word = (uint16_t *)(residual + 3 * stride);
    uint8_t *const next = (uint8_t *)(word + 3 * stride);
    for (int64_t x = 1; x < nx; x += most) {
        const int64_t n = nx - x < most ? nx - x : most;
        chunk->kernels->stencil_choices(&b->tables, b->sums + x, b->sizes + x, b->sum0 ? b->sum0 + x : NULL, b->sum1 ? b->sum1 + x : NULL,
                                        (const int32_t *)(const void *)(row + x), n, stride, residual, word, next);
        for (int64_t i = 0; i < n; i++) {
            const int64_t at = before * stride + i;
            e[x + i] = residual[at];
            context[x + i] = word[at];
            before = next[at];
            if (mask && mask[x + i]) {
                context[x + i] = NO_SYMBOL;
                before = 2;
            }
        }
    }
}

/* Residuals and contexts (bucket + 128 * (phase + 8), NO_SYMBOL where masked) of a row. first: level of the slice's first value.
 * Returns whether a difference was out of range. mask: of the slice, or NULL; the first value has a symbol in any case. */
static bool NAME(predict_row)(const swg__chunk *chunk, const NAME(field) *f, const swg__stencil *model, const uint8_t *mask, int64_t first,
                              int64_t z, int64_t y, const batch *b, LEVEL *e, uint16_t *context) {
    const int64_t at = (z * f->ny + y) * f->nx;
    const LEVEL *tap[SWG__TAPS], *row = NAME(row)(f, z, y);
    LEVEL anchor = 0;
    bool outside = false;
    if (NAME(taps)(f, z, y, true, tap)) {
        outside |= NAME(run)(chunk, tap, model, 1, b, 0);
        anchor = tap[0][0];
    } else {
        no_neighbours(model, b);
    }
    if (f->nx > 1) {
        NAME(taps)(f, z, y, false, tap);
        for (int k = 0; k < SWG__TAPS; k++)
            tap[k]++;
        outside |= NAME(run)(chunk, tap, model, f->nx - 1, b, 1);
    }
    run_network(model, b, f->nx, at == 0);
    int before = 2;
    int64_t x = 0;
    const int64_t stop = FAST_CHOICES(model) ? 1 : f->nx;
    for (; x < stop; x++) {
        int bucket;
        int64_t mu = predict_place(model, b, x, before, &bucket), half = (mu + 8) >> 4, residual = DIFFERENCE(row[x], anchor) - half;
        e[x] = (LEVEL)residual;
        before = residual_class(at + x ? residual : first);
        anchor = row[x];
        context[x] = (uint16_t)(bucket | (int)(mu - 16 * half + 8) << 7);
        if (mask && at + x && mask[at + x]) {
            context[x] = NO_SYMBOL;
            before = 2;
        }
    }
    if (x < f->nx)
        NAME(choose)(chunk, row, mask ? mask + at : NULL, f->nx, before, b, e, context);
    return outside;
}

/* All rows of a slice. */
static bool NAME(predict)(const swg__chunk *chunk, const NAME(field) *f, const swg__stencil *model, const uint8_t *mask, int64_t first,
                          const batch *b, LEVEL *e, uint16_t *context) {
    bool outside = false;
    for (int64_t z = 0; z < f->nz; z++)
        for (int64_t y = 0; y < f->ny; y++) {
            const int64_t at = (z * f->ny + y) * f->nx;
            outside |= NAME(predict_row)(chunk, f, model, mask, first, z, y, b, e + at, context + at);
        }
    return outside;
}

/* Code length in 1/256 bit of every step-th row of a slice; e, context: of one row. *values: adds how many are in them. */
static uint64_t NAME(sample_cost)(const swg__chunk *chunk, const NAME(field) *f, const swg__stencil *model, const uint8_t *mask,
                                  int64_t first, int64_t step, const batch *b, LEVEL *e, uint16_t *context, int64_t *values) {
    uint64_t cost = 0;
    for (int64_t r = step / 2; r < f->nz * f->ny; r += step, *values += f->nx) {
        (void)NAME(predict_row)(chunk, f, model, mask, first, r / f->ny, r % f->ny, b, e, context);
        for (int64_t x = 0; x < f->nx; x++)
            if (context[x] != NO_SYMBOL)
                cost += swg__residual_cost(context[x] & 127, (context[x] >> 7) - 8, r + x ? e[x] : first);
    }
    return cost;
}

/* Appends the residuals of a slice in the order of the wavefront t = x + 3y + 7z, ties by z, then y. */
static void NAME(emit)(const NAME(field) *f, const LEVEL *e, const uint16_t *context, int64_t first, swg__symbols *out) {
    const int64_t nx = f->nx, ny = f->ny, count = (nx - 1) + 3 * (ny - 1) + 7 * (f->nz - 1) + 1;
    for (int64_t t = 0; t < count; t++)
        for (int64_t z = first_at_least(t - (nx - 1) - 3 * (ny - 1), 7); z < f->nz && 7 * z <= t; z++) {
            int64_t s = t - 7 * z, y = first_at_least(s - (nx - 1), 3), last = s / 3 < ny - 1 ? s / 3 : ny - 1;
            int64_t at = (z * ny + y) * nx + s - 3 * y;
            for (; y <= last; y++, at += nx - 3)
                if (context[at] != NO_SYMBOL)
                    swg__residual_put(out, context[at] & 127, (context[at] >> 7) - 8, at ? e[at] : first);
        }
}

/* Whether any tap of a point holds the level of a masked value, which says nothing of its neighbours. mask: of the slice. */
static bool NAME(near_mask)(const NAME(field) *f, const uint8_t *mask, int64_t z, int64_t y, int64_t x) {
    unsigned any = 0;
    for (int k = 0; k < SWG__TAPS; k++) {
        int64_t zz = z + swg__tap_offset[k][0], yy = y + swg__tap_offset[k][1], xx = x + swg__tap_offset[k][2];
        if (zz >= 0 && yy >= 0 && yy < f->ny && xx >= 0 && xx < f->nx)
            any |= mask[(zz * f->ny + yy) * f->nx + xx];
    }
    return any != 0;
}

/* Differences of the points x .. x + n - 1 of a row (counted over all slices) to their anchors: d (n, 27), target, mark. mask: of the
 * chunk, or NULL. mark: RUN_START, and BORDER where taps are stand-ins because the plane, row or point before is missing or masked; the
 * very first point of a slice has no anchor and counts as masked. */
static void NAME(sample_row)(const NAME(field) *f, const uint8_t *mask, int64_t slice_step, int64_t r, int64_t x, int64_t n, double *d,
                             double *target, uint8_t *mark) {
    NAME(field) slice = *f;
    const LEVEL *tap[SWG__TAPS];
    const int64_t z = r / f->ny % f->nz, y = r % f->ny;
    slice.data += r / (f->nz * f->ny) * slice_step;
    for (int64_t i = 0; i < n;) {
        const bool anchored = NAME(taps)(&slice, z, y, x + i == 0, tap);
        const int64_t m = x + i == 0 ? 1 : n - i; /* they lie in a row of memory */
        const LEVEL *own = NAME(row)(&slice, z, y) + x + i, *anchor = anchored ? tap[0] + x + i : NULL;
        for (int k = 1; k < SWG__TAPS; k++)
            for (int64_t j = 0; j < m; j++)
                d[(i + j) * (SWG__TAPS - 1) + k - 1] = anchored ? (double)DIFFERENCE(tap[k][x + i + j], anchor[j]) : 0;
        for (int64_t j = 0; j < m; j++, i++) {
            target[i] = anchored ? (double)DIFFERENCE(own[j], anchor[j]) : 0;
            mark[i] = (uint8_t)((i == 0 ? RUN_START : 0) | (x + i == 0 || (z == 0 && f->nz > 4) || (y == 0 && f->ny > 4) ? BORDER : 0));
            if (!anchored || (mask && mask[r * f->nx + x + i]))
                mark[i] |= BORDER | SWG__SAMPLE_MASKED;
            else if (mask && NAME(near_mask)(&slice, mask + r / (f->nz * f->ny) * (f->nz * f->ny * f->nx), z, y, x + i))
                mark[i] |= BORDER;
        }
    }
}

/* Up to `most` sampled points: one run of consecutive x in each of some rows. Returns count. */
static int64_t NAME(sample)(const NAME(field) *f, const uint8_t *mask, int64_t slices, int64_t slice_step, int64_t most, double *d,
                            double *target, uint8_t *mark) {
    if (f->nx < 2)
        return 0;
    int64_t length = f->nx - 1 < SAMPLE_RUN ? f->nx - 1 : SAMPLE_RUN, rows = slices * f->nz * f->ny, wanted = most / length;
    int64_t step = rows > wanted ? (rows + wanted - 1) / wanted : 1, count = 0;
    for (int64_t r = step / 2; r < rows; r += step, count += length)
        NAME(sample_row)(f, mask, slice_step, r, 1 + (int64_t)((uint64_t)r * 2654435761u % (uint64_t)(f->nx - length)), length,
                         d + count * (SWG__TAPS - 1), target + count, mark + count);
    return count;
}

/* ---- decoder: the points of a front are computed together, so they lie together: per plane z a ring of RING fronts of the
 *      plane's own time s = x + 3y, in each the values by y; borders are copies two deep. The oldest value read is 17 back.
 *      Planes take turns, too: few of a long chunk are under way at a time. ---- */

typedef struct NAME(rings) {
    int64_t nz, ny, nx, width; /* width = ny + 4 */
    int64_t turn;              /* plane z lies at z & turn */
    LEVEL *data;
    int64_t inner[RING][SWG__TAPS], top[RING][SWG__TAPS]; /* tap offsets by phase of s: planes z > 0, plane 0 */
} NAME(rings);

static LEVEL *NAME(cell)(const NAME(rings) *r, int64_t z, int64_t y, int64_t x) {
    return r->data + ((z & r->turn) * RING + ((x + 3 * y) & (RING - 1))) * r->width + y + 2;
}

static void NAME(offsets)(NAME(rings) *r) {
    for (int64_t s = 0; s < RING; s++)
        for (int k = 0; k < SWG__TAPS; k++) {
            int64_t dz = swg__tap_offset[k][0], dy = swg__tap_offset[k][1], dx = swg__tap_offset[k][2];
            r->inner[s][k] = ((s + dx + 3 * dy) & (RING - 1)) * r->width + dy + 2;
            if (dz < 0 && (dy > 0 || (dy == 0 && dx >= 0))) {
                dy = 0;
                dx = -1;
            }
            r->top[s][k] = ((s + dx + 3 * dy) & (RING - 1)) * r->width + dy + 2;
        }
}

/* Taps of one point on the border of its plane, by the rule itself. False: the first point. */
static bool NAME(border_taps)(const NAME(rings) *r, int64_t z, int64_t y, int64_t x, const LEVEL *tap[SWG__TAPS]) {
    const LEVEL *anchor = x ? NAME(cell)(r, z, y, x - 1) : y ? NAME(cell)(r, z, y - 1, 0) : z ? NAME(cell)(r, z - 1, 0, 0) : NULL;
    for (int k = 0; k < SWG__TAPS; k++) {
        int64_t zz = z + swg__tap_offset[k][0], yy = y + swg__tap_offset[k][1], xx = x + swg__tap_offset[k][2];
        zz = zz < 0 ? 0 : zz;
        yy = yy < 0 ? 0 : yy >= r->ny ? r->ny - 1 : yy;
        xx = xx < 0 ? 0 : xx >= r->nx ? r->nx - 1 : xx;
        bool before = zz < z || yy < y || (yy == y && xx < x);
        tap[k] = before ? NAME(cell)(r, zz, yy, xx) : anchor;
    }
    return anchor != NULL;
}

/* Stores a value, and its copies beyond the border if it lies on one. */
static void NAME(place)(const NAME(rings) *r, int64_t z, int64_t y, int64_t x, LEVEL value) {
    int64_t y0 = y == 0 ? -2 : y, y1 = y == r->ny - 1 ? r->ny + 1 : y, x0 = x == 0 ? -2 : x, x1 = x == r->nx - 1 ? r->nx + 1 : x;
    for (int64_t yy = y0; yy <= y1; yy++)
        for (int64_t xx = x0; xx <= x1; xx++)
            *NAME(cell)(r, z, yy, xx) = value;
}

/* Sums and anchors of n points in a row of memory, from place `at` of the front on; gathered first if there are few. *waiting: first
 * place whose sums are still to come. Returns whether a difference was out of range. */
static bool NAME(front_run)(const swg__chunk *chunk, const LEVEL *const tap[SWG__TAPS], const swg__stencil *model, int64_t n, const fronts *f,
                            int64_t at, int64_t *waiting) {
    bool outside = false;
    for (int64_t i = 0; i < n; i++)
        f->guess[at + i] = tap[0][i];
    if (FAST_CHOICES(model) && at + n - *waiting <= GATHER) {
        GATHER_RUN(tap, n, f, at - *waiting);
        return false;
    }
    if (FAST_CHOICES(model))
        outside = sum_gathered(chunk, model, f, *waiting, at);
    *waiting = at;
    if (FAST_CHOICES(model) && n <= GATHER / 2) {
        GATHER_RUN(tap, n, f, 0);
        return outside;
    }
    *waiting = at + n;
    return NAME(run)(chunk, tap, model, n, &f->points, at) || outside;
}

/* The points (y0..y1, z) of a front, y rising; s = t - 7z. */
static bool NAME(front_plane)(const swg__chunk *chunk, const NAME(rings) *r, const swg__stencil *model, int64_t z, int64_t s,
                              int64_t y0, int64_t y1, const fronts *at, int64_t n, int64_t *waiting) {
    const LEVEL *tap[SWG__TAPS];
    bool outside = false;
    for (int64_t y = y0; y <= y1;) {
        if (y == 0 || s == 3 * y) { /* y = 0 or x = 0 */
            if (NAME(border_taps)(r, z, y, s - 3 * y, tap)) {
                outside |= NAME(front_run)(chunk, tap, model, 1, at, n, waiting);
            } else {
                at->guess[0] = 0;
                no_neighbours(model, &at->points);
                *waiting = 1;
            }
            n++;
            y++;
            continue;
        }
        int64_t last = s == 3 * y1 ? y1 - 1 : y1, length = last - y + 1;
        const int64_t *offset = z ? r->inner[s & (RING - 1)] : r->top[s & (RING - 1)];
        const LEVEL *plane[3]; /* z, z - 1, z - 2 */
        for (int64_t d = 0; d < 3; d++)
            plane[d] = r->data + (z < d ? 0 : (z - d) & r->turn) * RING * r->width + y;
        for (int k = 0; k < SWG__TAPS; k++)
            tap[k] = plane[-swg__tap_offset[k][0]] + offset[k];
        outside |= NAME(front_run)(chunk, tap, model, length, at, n, waiting);
        n += length;
        y = last + 1;
    }
    return outside;
}

/* Decodes one slice. u: (nz, ny, nx) levels less *first. before: (nz, ny) scratch. mask: of the slice, or NULL. NULL, the reason, or
 * `beyond`. */
static const char *NAME(decode_slice)(const swg__chunk *chunk, NAME(rings) *r, const swg__stencil *model, const uint8_t *mask, swg__rans *in,
                                      const fronts *f, uint8_t *before, LEVEL *u, int64_t *first) {
    const int64_t nx = r->nx, ny = r->ny, nz = r->nz, last = (nx - 1) + 3 * (ny - 1) + 7 * (nz - 1);
    memset(before, 2, (size_t)(nz * ny));
    for (int64_t t = 0; t <= last; t++) {
        const int64_t z0 = first_at_least(t - (nx - 1) - 3 * (ny - 1), 7), z1 = t / 7 < nz - 1 ? t / 7 : nz - 1;
        const uint8_t *const skip = t ? mask : NULL;
        int64_t n = 0, waiting = 0;
        bool outside = false;
        for (int64_t z = z0; z <= z1; z++) {
            int64_t s = t - 7 * z, y0 = first_at_least(s - (nx - 1), 3), y1 = s / 3 < ny - 1 ? s / 3 : ny - 1;
            outside |= NAME(front_plane)(chunk, r, model, z, s, y0, y1, f, n, &waiting);
            n += y1 - y0 + 1;
        }
        if (FAST_CHOICES(model))
            outside |= sum_gathered(chunk, model, f, waiting, n);
        if (outside && sizeof(LEVEL) == 4)
            return beyond; /* 64-bit levels saturate as the format says */
        run_network(model, &f->points, n, t == 0);
        n = 0;
        for (int64_t z = z0; z <= z1; z++) {
            int64_t s = t - 7 * z, y0 = first_at_least(s - (nx - 1), 3), y1 = s / 3 < ny - 1 ? s / 3 : ny - 1;
            memcpy(f->before + n, before + z * ny + y0, (size_t)(y1 - y0 + 1));
            for (int64_t y = y0; skip && y <= y1; y++)
                f->masked[n + y - y0] = skip[(z * ny + y) * nx + s - 3 * y];
            n += y1 - y0 + 1;
        }
        if (skip)
            memcpy(f->e, f->guess, (size_t)n * sizeof *f->e);
        if (FAST_CHOICES(model))
            chunk->kernels->stencil_guesses(&f->points.tables, f->points.sums, f->points.sizes, f->points.sum0, f->points.sum1, f->before, n,
                                            f->bucket, f->phase, f->guess);
        else
            for (int64_t i = 0; i < n; i++) {
                int bucket;
                int64_t mu = predict_place(model, &f->points, i, f->before[i], &bucket), half = (mu + 8) >> 4;
                f->bucket[i] = (uint8_t)bucket;
                f->phase[i] = (int8_t)(mu - 16 * half);
                f->guess[i] += half;
            }
        int64_t symbols = skip ? leave_masked(f, n) : n;
        chunk->kernels->residuals(in, f->bucket, f->phase, symbols, f->e);
        for (int64_t i = n - 1; i >= 0 && skip; i--)
            f->e[i] = f->masked[i] ? 0 : f->e[--symbols];
        if (t == 0) {
            *first = f->e[0];
            f->e[0] = 0;
        }
        n = 0;
        for (int64_t z = z0; z <= z1; z++) {
            int64_t s = t - 7 * z, y0 = first_at_least(s - (nx - 1), 3), y1 = s / 3 < ny - 1 ? s / 3 : ny - 1;
            LEVEL *out = u + (z * ny + y0) * nx + s - 3 * y0, *cell = NAME(cell)(r, z, y0, s - 3 * y0);
            for (int64_t y = y0; y <= y1; y++, n++, cell++, out += nx - 3) {
                int64_t e = f->e[n], value = f->guess[n] + e;
                if (value > LEVEL_MOST || value < -LEVEL_MOST)
                    return beyond;
                *out = *cell = (LEVEL)value;
                before[z * ny + y] = (uint8_t)(skip && f->masked[n] ? 2 : residual_class(e));
            }
            if (t == 0)
                before[0] = (uint8_t)residual_class(*first);
            const int64_t border[4] = {0, ny - 1, s / 3, (s - (nx - 1)) / 3}; /* y = 0, its last, x = 0, its last */
            for (int k = 0; k < 4; k++) {
                int64_t y = border[k], x = s - 3 * y;
                if (y >= y0 && y <= y1 && (k < 2 || x == 0 || x == nx - 1))
                    NAME(place)(r, z, y, x, *NAME(cell)(r, z, y, x));
            }
        }
    }
    return NULL;
}
