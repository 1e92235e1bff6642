/* poly.c - mode P: what coder and decoder share, and the decoder.
 * In: PARAM, RANS, RAW of a record. Out: values of the chunk. All numbers are whole: in int64, or in f64 below 2^53, where sums and
 * products are exact in any order, fused or not.
 * SPDX-License-Identifier: Apache-2.0 */
#include "poly.h"

const uint16_t swg__poly_step[SWG__POLY_STEPS] = {90, 128, 181, 256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096};

/* ---- shared ---- */

void swg__poly_scales_make(const swg__poly_law *law, swg__poly_scales *scales) {
    for (int below = 0; below < 4; below++)
        for (int d = 0; d < SWG__POLY_DEGREES; d++)
            for (int axes = 0; axes < SWG__POLY_AXES; axes++)
                for (int m = 0; m < 64; m++)
                    scales->bucket[below][d][axes][m] = (uint8_t)swg__poly_bucket(law, m, d + 1, below, axes + 1);
}

const swg__poly_order *swg__poly_order_of(swg__poly_orders *orders, const int n[3]) {
    for (int i = 0; i < SWG__POLY_ORDERS; i++)
        if (memcmp(orders->order[i].n, n, sizeof orders->order[i].n) == 0)
            return &orders->order[i];
    swg__poly_order *o = &orders->order[orders->next];
    orders->next = (orders->next + 1) % SWG__POLY_ORDERS;
    const int row = swg__poly_row(n[2]), degrees = n[0] + n[1] + n[2] - 3;
    int count = 0;
    memcpy(o->n, n, sizeof o->n);
    o->most = degrees < SWG__POLY_DEGREE ? degrees : SWG__POLY_DEGREE;
    for (int degree = 0; degree <= o->most; degree++) {
        o->first[degree] = (uint16_t)count;
        for (int i = 0; i < n[0] && i <= degree; i++)
            for (int j = 0; j < n[1] && i + j <= degree; j++) {
                const int k = degree - i - j;
                if (k >= n[2])
                    continue;
                const bool z = i + 1 < n[0], y = j + 1 < n[1], x = k + 1 < n[2];
                const bool there[9] = {z, y, x, i + 2 < n[0], j + 2 < n[1], k + 2 < n[2], z && y, z && x, y && x};
                unsigned mask = 0;
                for (int b = 0; b < 9; b++)
                    mask |= (unsigned)there[b] << b;
                o->place[count] = (uint16_t)((i * n[1] + j) * row + k);
                o->near[count] = (uint16_t)mask;
                o->axes[count++] = (uint8_t)((i > 0) + (j > 0) + (k > 0) - (degree > 0));
            }
    }
    o->first[o->most + 1] = (uint16_t)count;
    return o;
}

swg__poly_source swg__poly_image(const swg__poly_mirror *mirror, const int64_t extent[4], int64_t w, const int64_t corner[3],
                                 const int n[3], const double *levels) {
    const int64_t stride[3] = {extent[2] * extent[3], extent[3], 1};
    swg__poly_source s = {.sign = mirror->negative ? -1 : 1};
    int64_t own = 0, image = 0, first = w * extent[1] * stride[0];
    for (int a = 0; a < 3; a++) {
        bool flip = mirror->flips >> (2 - a) & 1;
        int64_t high = flip ? mirror->centre[a] - corner[a] : corner[a] + n[a] - 1, low = high - (n[a] - 1), length = extent[a + 1];
        if (low < 0 || high >= length)
            return s;
        own = own * swg__poly_pieces(length) + swg__poly_piece_of(length, corner[a]);
        image = image * swg__poly_pieces(length) + swg__poly_piece_of(length, high);
        first += (flip ? high : low) * stride[a];
        s.step[a] = flip ? -stride[a] : stride[a];
    }
    if (mirror->flips && image < own)
        s.first = levels + first;
    return s;
}

swg__poly_source swg__poly_turned(const double *level, int edge, int flips, bool negative) {
    const int64_t stride[3] = {(int64_t)edge * edge, edge, 1};
    swg__poly_source s = {.first = level, .sign = negative ? -1 : 1};
    for (int a = 0; a < 3; a++) {
        bool flip = flips >> (2 - a) & 1;
        s.first += flip ? (edge - 1) * stride[a] : 0;
        s.step[a] = flip ? -stride[a] : stride[a];
    }
    return s;
}

/* Levels to values, one row of either type. */
static void store_row(const swg__grid *grid, const double *level, int64_t n, void *values, int64_t first) {
    const double base = grid->base, step = swg__grid_step(grid, 4);
    if (grid->type == SWG_ELEMENT_F32) {
        float *out = (float *)values + first;
        for (int64_t i = 0; i < n; i++)
            out[i] = (float)swg__grid_value(base, step, level[i]);
    } else {
        double *out = (double *)values + first;
        for (int64_t i = 0; i < n; i++)
            out[i] = swg__grid_value(base, step, level[i]);
    }
}

const char *swg__poly_store(const swg__chunk *chunk, const double *levels, const swg__poly_patch *patches, int64_t count) {
    int64_t nodes = patches ? 0 : chunk->count;
    for (int64_t p = 0; p < count; p++)
        nodes += (int64_t)patches[p].edge * patches[p].edge * patches[p].edge;
    int beyond = 0;
    for (int64_t i = 0; i < nodes; i++)
        beyond |= !(fabs(levels[i]) <= (double)SWG__LEVEL_LIMIT);
    if (beyond)
        return "level beyond 2^45";
    if (!patches) {
        store_row(&chunk->grid, levels, nodes, chunk->values, 0);
        return NULL;
    }
    const int n = (int)chunk->extent[3];
    for (int64_t p = 0; p < count; p++)
        for (int c = 0; c < patches[p].count; c++) {
            const int e = patches[p].edge, corner = patches[p].corner[c], apart = n - 1;
            const double *first = levels + patches[p].start + ((corner >> 2) * e * e + (corner >> 1 & 1) * e + (corner & 1)) * apart;
            for (int z = 0; z < n; z++)
                for (int y = 0; y < n; y++)
                    store_row(&chunk->grid, first + (z * e + y) * e, n, chunk->values, (((patches[p].octant + c) * n + z) * n + y) * n);
        }
    return NULL;
}

/* ---- decoder ---- */

typedef struct decoder {
    const swg__chunk *chunk;
    swg__poly_scales *scales;
    swg__poly_orders *orders;
    swg__rans in;
    uint8_t code[SWG__POLY_SYMBOLS];
    swg__poly_before before;
    const char *why;
    double *coefficient, *value, *work;   /* (box) each */
    uint32_t *near;
    swg__poly_scales *other;              /* of a chunk that is said again: those of the other law */
    swg__symbols *again;                  /* NULL: it is decoded */
} decoder;

static const char impossible[] = "a side number of mode P is impossible";

/* Says n residuals again, of one phase. bucket: of each. */
static void repeat(decoder *d, const uint8_t *bucket, int phase, const int64_t *e, int64_t n) {
    swg__symbols *s = d->again;
    if (!s)
        return;
    if (s->count + n > s->capacity) {
        d->why = "more symbols than there is room for";
        return;
    }
    for (int64_t i = 0; i < n; i++)
        swg__residual_put(s, bucket[i], phase, e[i]);
}

/* A side symbol; flags are 0 or 1. */
static int64_t take(decoder *d, int symbol) {
    const bool flag = symbol < SWG__POLY_FLAGS;
    uint8_t bucket = flag ? d->code[symbol] / 9 : d->code[symbol];
    int8_t phase = (int8_t)(flag ? d->code[symbol] % 9 : 0);
    int64_t e;
    d->chunk->kernels->residuals(&d->in, &bucket, &phase, 1, &e);
    if (flag && (e < 0 || e > 1)) {
        d->why = impossible;
        return 0;
    }
    repeat(d, &bucket, phase, &e, 1);
    return e;
}

static int64_t take_within(decoder *d, int symbol, int64_t before, int64_t least, int64_t most) {
    int64_t v = before + take(d, symbol);
    if (v < least || v > most) {
        d->why = impossible;
        return least;
    }
    return v;
}

/* Coefficients of degrees 1..degree into d->coefficient. */
static void take_coefficients(decoder *d, const int n[3], int degree, int step) {
    const size_t box = (size_t)(n[0] * n[1] * swg__poly_row(n[2]));
    const swg__poly_order *order = swg__poly_order_of(d->orders, n);
    uint8_t bucket[SWG__POLY_SHELL];
    int64_t e[SWG__POLY_SHELL], sum = 0;
    memset(d->near, 0, box * sizeof *d->near);
    d->coefficient[0] = 0;
    for (int shell = 1; shell <= degree; shell++) {
        const int first = order->first[shell], count = swg__poly_shell(d->scales, order, d->near, shell, degree, bucket);
        d->chunk->kernels->residuals(&d->in, bucket, NULL, count, e);
        if (d->again) {
            swg__poly_shell(d->other, order, d->near, shell, degree, bucket);
            repeat(d, bucket, 0, e, count);
        }
        for (int i = 0; i < count; i++) {
            d->coefficient[order->place[first + i]] = 0;
            if (!e[i])
                continue;
            int64_t size = e[i] < 0 ? -e[i] : e[i];
            sum += size;
            if (sum > SWG__POLY_SUM) {
                d->why = "coefficients of mode P are too large";
                return;
            }
            d->coefficient[order->place[first + i]] = (double)(e[i] * step);
            swg__poly_spread(order, first + i, (uint32_t)size, d->near);
        }
    }
}

/* One leaf at `offset` of its patch. */
static void take_leaf(decoder *d, const int n[3], const swg__poly_canvas *canvas, const swg__poly_source *source, const int offset[3]) {
    swg__poly_before *b = &d->before;
    const int refers = source->first != NULL, row = swg__poly_row(n[2]), degrees = n[0] + n[1] + n[2] - 3;
    const int top = (int)take_within(d, SWG__POLY_TOP, b->top[refers], 0, 1 + (degrees < SWG__POLY_DEGREE ? degrees : SWG__POLY_DEGREE));
    int64_t mean = refers ? 0 : b->mean;
    if (top)
        mean = take_within(d, refers ? SWG__POLY_GAP : SWG__POLY_MEAN, mean, -SWG__LEVEL_LIMIT, SWG__LEVEL_LIMIT);
    if (top > 1)
        b->step = (int)take_within(d, SWG__POLY_SPACING, b->step, 0, SWG__POLY_STEPS - 1);
    b->top[refers] = top;
    if (d->why)
        return;
    if (top > 1) {
        take_coefficients(d, n, top - 1, swg__poly_step[b->step]);
        if (d->why)
            return;
        if (!d->again)
            d->chunk->kernels->poly_synthesis(d->coefficient, n, top - 1, d->value, d->work);
    }
    b->fix = (int)take_within(d, SWG__POLY_FIX, b->fix, 0, SWG__POLY_FIXES - 1);
    if (!refers)
        b->mean = mean;
    uint8_t bucket[SWG__POLY_EDGE * SWG__POLY_EDGE];
    int64_t e[SWG__POLY_EDGE * SWG__POLY_EDGE];
    memset(bucket, b->fix + 2, sizeof bucket);
    for (int z = 0; z < n[0]; z++) {
        if (b->fix) {
            d->chunk->kernels->residuals(&d->in, bucket, NULL, n[1] * n[2], e);
            repeat(d, bucket, 0, e, n[1] * n[2]);
        }
        if (d->again)
            continue;
        for (int y = 0; y < n[1]; y++) {
            double *out = canvas->level + (z + offset[0]) * canvas->step[0] + (y + offset[1]) * canvas->step[1] + offset[2];
            const double *v = d->value + (z * n[1] + y) * row;
            if (top > 1)
                for (int x = 0; x < n[2]; x++)
                    out[x] = (double)mean + v[x];
            else
                for (int x = 0; x < n[2]; x++)
                    out[x] = (double)mean;
            if (refers) {
                const double *from = source->first + (z + offset[0]) * source->step[0] + (y + offset[1]) * source->step[1] + offset[2] * source->step[2];
                for (int x = 0; x < n[2]; x++)
                    out[x] += source->sign * from[x * source->step[2]];
            }
            if (b->fix)
                for (int x = 0; x < n[2]; x++)
                    out[x] += 16 * (double)e[y * n[2] + x];
            for (int x = 0; x < n[2]; x++) /* what is far outside is refused in the end; meanwhile sums must stay exact */
                out[x] = out[x] > 0x1p48 ? 0x1p48 : out[x] < -0x1p48 ? -0x1p48 : out[x];
        }
    }
}

/* A box and its halves. */
static void take_box(decoder *d, const int n[3], const swg__poly_canvas *canvas, const swg__poly_source *source, const int offset[3], int depth) {
    if (d->why || d->in.bad)
        return;
    if (!swg__poly_divisible(n, depth) || !take(d, SWG__POLY_CUT)) {
        take_leaf(d, n, canvas, source, offset);
        return;
    }
    for (int c = 0; c < 8; c++) {
        int m[3], from[3];
        if (!swg__poly_child(n, c, from, m))
            continue;
        for (int a = 0; a < 3; a++)
            from[a] += offset[a];
        take_box(d, m, canvas, source, from, depth + 1);
    }
}

static const int origin[3] = {0, 0, 0};

static void take_grid(decoder *d, const swg__poly_mirror *mirror, double *levels) {
    const int64_t *extent = d->chunk->extent;
    for (int64_t w = 0; w < extent[0]; w++)
        for (int64_t z = 0; z < swg__poly_pieces(extent[1]); z++)
            for (int64_t y = 0; y < swg__poly_pieces(extent[2]); y++)
                for (int64_t x = 0; x < swg__poly_pieces(extent[3]) && !d->why && !d->in.bad; x++) {
                    const int64_t piece[3] = {z, y, x};
                    int64_t corner[3], at = w;
                    int n[3];
                    for (int a = 0; a < 3; a++) {
                        corner[a] = swg__poly_piece_start(extent[a + 1], piece[a]);
                        n[a] = (int)(swg__poly_piece_start(extent[a + 1], piece[a] + 1) - corner[a]);
                        at = at * extent[a + 1] + corner[a];
                    }
                    swg__poly_source source = swg__poly_image(mirror, extent, w, corner, n, levels);
                    if (source.first && !take(d, SWG__POLY_REFER))
                        source.first = NULL;
                    swg__poly_canvas canvas = {levels + at, {extent[2] * extent[3], extent[3], 1}};
                    take_box(d, n, &canvas, &source, origin, 0);
                }
}

/* Shapes of groups seen in this chunk, latest first. */
typedef struct shapes {
    uint8_t corner[8][8];
    int count;
} shapes;

/* Corners of a group's octants: a shape used before, or a new one. */
static void take_shape(decoder *d, shapes *s, uint8_t corner[8]) {
    int which = (int)take_within(d, SWG__POLY_SHAPE, 0, 0, s->count);
    if (d->why)
        return;
    if (which < s->count) {
        memcpy(corner, s->corner[which], 8);
    } else {
        unsigned used = 0;
        for (int c = 0; c < 8; c++) {
            corner[c] = (uint8_t)take_within(d, SWG__POLY_CORNER, 0, 0, 7);
            used |= 1u << corner[c];
        }
        if (used != 255)
            d->why = "octants of a group lie on each other";
        s->count += s->count < 8;
        which = s->count - 1;
    }
    memmove(s->corner[1], s->corner[0], (size_t)which * 8);
    memcpy(s->corner[0], corner, 8);
}

static void take_octants(decoder *d, bool refers, double *levels, swg__poly_patch *patches, int64_t *count) {
    const int64_t octants = d->chunk->extent[0];
    const int n = (int)d->chunk->extent[3];
    shapes seen = {0};
    int64_t start = 0, back = 0;
    int flip = 0;
    *count = 0;
    for (int64_t at = 0; at < octants && !d->why && !d->in.bad;) {
        swg__poly_patch *p = &patches[*count];
        bool group = octants - at >= 8 && take(d, SWG__POLY_GROUP);
        *p = (swg__poly_patch){.octant = at, .start = start, .count = group ? 8 : 1, .edge = group ? 2 * n - 1 : n};
        if (group)
            take_shape(d, &seen, p->corner);
        swg__poly_source source = {0};
        if (!d->why && refers && *count && take(d, SWG__POLY_REFER)) {
            back = take_within(d, SWG__POLY_BACK, back, 1, *count);
            flip = (int)take_within(d, SWG__POLY_FLIP, flip, 0, 15);
            if (d->why)
                return;
            const swg__poly_patch *other = &patches[*count - back];
            if (other->edge != p->edge) {
                d->why = "a patch refers to one of another size";
                return;
            }
            source = swg__poly_turned(levels + other->start, p->edge, flip & 7, flip >> 3);
        }
        const int m[3] = {p->edge, p->edge, p->edge};
        swg__poly_canvas canvas = {levels + start, {(int64_t)p->edge * p->edge, p->edge, 1}};
        take_box(d, m, &canvas, &source, origin, 0);
        start += (int64_t)p->edge * p->edge * p->edge;
        at += p->count;
        ++*count;
    }
}

static const char *read_param(decoder *d, swg__span param, int *flags, swg__poly_mirror *mirror) {
    swg__cursor in = {.at = param.data, .end = param.data + param.bytes};
    *flags = (int)swg__take8(&in);
    for (int s = 0; s < SWG__POLY_SYMBOLS; s++) {
        d->code[s] = (uint8_t)swg__take8(&in);
        if (d->code[s] > (s < SWG__POLY_FLAGS ? 251 : SWG__WIDE_BUCKETS - 1))
            return "a code of mode P is impossible";
    }
    if (*flags & ~(SWG__POLY_MIRROR | SWG__POLY_OCTANTS))
        return "flags of mode P are unknown";
    if (*flags == SWG__POLY_MIRROR) {
        uint32_t flips = swg__take8(&in);
        mirror->flips = flips & 7;
        mirror->negative = flips >> 3 & 1;
        if (flips > 15 || !mirror->flips)
            return "a mirror of mode P is impossible";
        for (int a = 0; a < 3; a++)
            mirror->centre[a] = swg__take32(&in);
    }
    return in.bad || swg__left(&in) ? "parameters of mode P have the wrong length" : NULL;
}

/* other, again: of a chunk that is said again, or NULL, and then its values are stored. */
static const char *run(const swg__chunk *chunk, const swg__poly_law *law, const swg__record *record, const swg__poly_law *other, swg__symbols *again) {
    const swg__span *stream = record->stream;
    swg_context *ctx = chunk->ctx;
    decoder d = {.chunk = chunk, .before = {.step = SWG__POLY_FIRST_STEP}, .again = again};
    swg__poly_mirror mirror = {0};
    int flags;
    if (!stream[SWG__PARAM].data || !stream[SWG__RANS].data)
        return "streams of mode P are missing";
    if (!swg__is_float(chunk->grid.type) || chunk->grid.step == 0 || record->head.sub_shift != 4)
        return "mode P needs a float grid with sub-grid bits";
    const char *why = read_param(&d, stream[SWG__PARAM], &flags, &mirror);
    const bool octants = flags & SWG__POLY_OCTANTS;
    if (!why && octants && !swg__poly_octants(chunk->extent))
        why = "octants must be (m, n, n, n) with n in 3..9";
    if (!why)
        why = swg__rans_open(&d.in, record->head.lanes_log2, stream[SWG__RANS].data, stream[SWG__RANS].bytes, stream[SWG__RAW].data, stream[SWG__RAW].bytes);
    if (why)
        return why;
    double *levels = swg__alloc(ctx, (size_t)chunk->count * sizeof *levels);
    double *boxes = swg__alloc(ctx, 3 * (size_t)SWG__POLY_BOX * sizeof *boxes);
    d.near = swg__alloc(ctx, SWG__POLY_BOX * sizeof *d.near);
    d.scales = swg__alloc(ctx, 2 * sizeof *d.scales);
    d.orders = swg__calloc(ctx, 1, sizeof *d.orders);
    swg__poly_patch *patches = octants ? swg__alloc(ctx, (size_t)chunk->extent[0] * sizeof *patches) : NULL;
    int64_t count = 0;
    if (!levels || !boxes || !d.near || !d.scales || !d.orders || (octants && !patches)) {
        why = swg__why_memory;
    } else {
        swg__poly_scales_make(law, d.scales);
        d.other = d.scales + 1;
        if (again)
            swg__poly_scales_make(other, d.other);
        d.coefficient = boxes;
        d.value = boxes + SWG__POLY_BOX;
        d.work = boxes + 2 * SWG__POLY_BOX;
        if (octants)
            take_octants(&d, flags & SWG__POLY_MIRROR, levels, patches, &count);
        else
            take_grid(&d, &mirror, levels);
        why = d.in.bad || d.in.raw.bad ? "rANS words exhausted or residual out of range" : d.why ? d.why : swg__rans_finish(&d.in);
    }
    if (!why && !again)
        why = swg__poly_store(chunk, levels, patches, count);
    swg__free(ctx, patches);
    swg__free(ctx, d.orders);
    swg__free(ctx, d.scales);
    swg__free(ctx, d.near);
    swg__free(ctx, boxes);
    swg__free(ctx, levels);
    return why;
}

const char *swg__poly_decode(const swg__chunk *chunk, const swg__poly_law *law, const swg__record *record) { return run(chunk, law, record, NULL, NULL); }

swg_status swg__poly_recode(const swg__chunk *chunk, const swg__record *record, const swg__poly_law *law, const swg__poly_law *other, swg__draft *draft, bool *coded) {
    const swg__span *stream = record->stream;
    swg__symbols symbols;
    *coded = false;
    swg_status status = swg__symbols_open(&symbols, chunk->ctx, 3 * chunk->count + SWG__POLY_SHELL); /* coefficients, corrections, side symbols */
    const char *why = status == SWG_OK ? run(chunk, law, record, other, &symbols) : NULL;
    if (why == swg__why_memory)
        status = swg__fail_memory(chunk->ctx, (size_t)chunk->count * sizeof(double), "levels");
    if (status == SWG_OK && !why) {
        draft->head.mode = SWG__MODE_P;
        draft->head.sub_shift = record->head.sub_shift;
        draft->head.flags = record->head.flags & SWG__FLAG_OUTLIERS;
        draft->head.max_ratio = record->head.max_ratio;
        draft->outliers = stream[SWG__OUTLIERS].data ? swg__load32(stream[SWG__OUTLIERS].data) : 0;
        swg__put(&draft->stream[SWG__PARAM], stream[SWG__PARAM].data, stream[SWG__PARAM].bytes);
        if (draft->outliers)
            swg__put(&draft->stream[SWG__OUTLIERS], stream[SWG__OUTLIERS].data, stream[SWG__OUTLIERS].bytes);
        swg__bits_finish(&symbols.bits);
        status = swg__symbols_write(chunk, &symbols, 0, draft);
        *coded = status == SWG_OK;
    }
    swg__symbols_close(&symbols);
    return status;
}
