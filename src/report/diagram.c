/* diagram.c - places the layers of a network: columns by outermost scope, rows by the longest path, lanes so that arrows run free.
 * In: a table of layers. Out: boxes on a grid, arrows between them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "report/diagram.h"
#include <string.h>

size_t swg__diagram_top(const char *name) { return strchr(name, '/') ? (size_t)(strchr(name, '/') - name) : 0; }

typedef struct maker {
    const swg_layers *layers;
    swg__diagram *d;
    int64_t *box_of;        /* per layer */
    int64_t *readers;       /* per layer: how many */
} maker;

static bool bare(const swg_layer *row) { return !row->parameters && !row->macs && strcmp(row->kind, "input") != 0; }

static const char *last_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Bytes of a row's name that are the scope it stands in: for a layer what comes before its own name, for a function all of it. */
static size_t scope_of(const swg_layer *row) {
    if (bare(row) && strcmp(last_name(row->name), row->kind) != 0)
        return strlen(row->name);
    return last_name(row->name) == row->name ? 0 : (size_t)(last_name(row->name) - row->name) - 1;
}

/* A function in the scope of what it reads, which nobody else reads, is written into that box; so is one of an input. */
static bool follows(const maker *m, const swg_layer *row) {
    if (!bare(row) || row->input_count != 1 || m->readers[row->inputs[0]] != 1)
        return false;
    const swg_layer *from = &m->layers->rows[row->inputs[0]];
    return strcmp(from->kind, "input") == 0 || (scope_of(from) == scope_of(row) && strncmp(from->name, row->name, scope_of(row)) == 0);
}

static void append(char *line, size_t capacity, const char *text) { snprintf(line + strlen(line), capacity - strlen(line), "%s", text); }

static void write_shape(swg__box *box, const swg_layer *row) {
    box->line[1][0] = 0;
    for (int axis = row->ndim > 1; axis < row->ndim; axis++) {
        char number[32];
        snprintf(number, sizeof number, "%s%lld", box->line[1][0] ? " x " : "", (long long)row->shape[axis]);
        append(box->line[1], sizeof box->line[1], number);
    }
}

void swg__diagram_number(char *out, size_t capacity, int64_t value) {
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)value);
    size_t used = 0;
    for (int i = 0; i < length && used + 2 < capacity; i++) {
        if (i && (length - i) % 3 == 0)
            out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = 0;
}

static void label(swg__box *box, const swg_layer *row) {
    char number[48];
    bool alone = bare(row) || strcmp(last_name(row->name), row->kind) == 0;
    snprintf(box->line[0], sizeof box->line[0], "%.40s%s%.40s", alone ? "" : last_name(row->name), alone ? "" : ": ", row->kind);
    if (row->kernel) {
        snprintf(number, sizeof number, row->stride > 1 ? " %lld, stride %lld" : " %lld", (long long)row->kernel, (long long)row->stride);
        append(box->line[0], sizeof box->line[0], number);
    }
    write_shape(box, row);
    if (row->parameters) {
        swg__diagram_number(number, sizeof number, row->parameters);
        snprintf(box->line[2], sizeof box->line[2], "%s parameters", number);
    }
}

/* A box is framed by its scope, if that is two names deep. */
static void find_group(swg__box *box, const swg_layer *row) {
    if (memchr(row->name, '/', scope_of(row)))
        snprintf(box->group, sizeof box->group, "%.*s", (int)scope_of(row), row->name);
}

static void make_boxes(maker *m) {
    swg__diagram *d = m->d;
    for (int64_t i = 0; i < m->layers->count; i++)
        for (int j = 0; j < m->layers->rows[i].input_count; j++)
            m->readers[m->layers->rows[i].inputs[j]]++;
    for (int64_t i = 0; i < m->layers->count; i++) {
        const swg_layer *row = &m->layers->rows[i];
        if (follows(m, row) && row->inputs[0] < i) {
            swg__box *box = &d->box[m->box_of[i] = m->box_of[row->inputs[0]]];
            append(box->line[0], sizeof box->line[0], ", ");
            append(box->line[0], sizeof box->line[0], row->kind);
            write_shape(box, row);
            continue;
        }
        swg__box *box = &d->box[m->box_of[i] = d->boxes++];
        box->row = row;
        label(box, row);
        find_group(box, row);
    }
}

static void make_arrows(maker *m) {
    for (int64_t i = 0; i < m->layers->count; i++)
        for (int j = 0; j < m->layers->rows[i].input_count; j++) {
            int64_t from = m->box_of[m->layers->rows[i].inputs[j]], to = m->box_of[i];
            bool known = from == to;
            for (int64_t k = 0; k < m->d->arrows && !known; k++)
                known = m->d->arrow[k].from == from && m->d->arrow[k].to == to;
            if (!known)
                m->d->arrow[m->d->arrows++] = (swg__arrow){from, to};
        }
}

/* An outermost scope is a column. What stands in none is put where its first neighbour is. */
static void find_columns(swg__diagram *d) {
    for (int64_t b = 0; b < d->boxes; b++) {
        const char *name = d->box[b].row->name;
        size_t length = swg__diagram_top(name);
        bool bare_scope = !length && bare(d->box[b].row) && *name;
        length = bare_scope ? strlen(name) : length;
        d->box[b].column = -1;
        for (int64_t c = 0; c < d->columns && length; c++) {
            const char *other = d->column_name[c];
            size_t top = swg__diagram_top(other) ? swg__diagram_top(other) : strlen(other);
            if (top == length && strncmp(other, name, length) == 0)
                d->box[b].column = c;
        }
        if (length && d->box[b].column < 0)
            d->column_name[d->box[b].column = d->columns++] = name;
    }
    if (!d->columns && d->boxes)
        d->column_name[d->columns++] = "";
    for (int64_t a = 0; a < d->arrows; a++) {
        swg__box *from = &d->box[d->arrow[a].from], *to = &d->box[d->arrow[a].to];
        if (from->column < 0)
            from->column = to->column;
        else if (to->column < 0)
            to->column = from->column;
    }
    for (int64_t b = 0; b < d->boxes; b++)
        d->box[b].column = d->box[b].column < 0 ? 0 : d->box[b].column;
}

static bool same_column(const swg__diagram *d, const swg__arrow *a) { return a->from < a->to && d->box[a->from].column == d->box[a->to].column; }

static void find_ranks(swg__diagram *d) {
    for (int64_t b = 0; b < d->boxes; b++) /* arrows lead from earlier boxes to later ones */
        for (int64_t a = 0; a < d->arrows; a++)
            if (d->arrow[a].to == b && same_column(d, &d->arrow[a]) && d->box[d->arrow[a].from].rank >= d->box[b].rank)
                d->box[b].rank = d->box[d->arrow[a].from].rank + 1;
    for (int64_t b = 0; b < d->boxes; b++) {
        d->box[b].last = d->box[b].rank;
        for (int64_t a = 0; a < d->arrows; a++)
            if (d->arrow[a].from == b && same_column(d, &d->arrow[a]) && d->box[d->arrow[a].to].rank > d->box[b].last)
                d->box[b].last = d->box[d->arrow[a].to].rank;
    }
}

/* A box keeps its lane from its row to the one before its last reader: the arrow runs straight down there. */
static bool lane_is_free(const swg__diagram *d, int64_t b, int64_t lane) {
    const swg__box *box = &d->box[b];
    int64_t last = box->last > box->rank ? box->last - 1 : box->rank;
    for (int64_t i = 0; i < b; i++) {
        const swg__box *other = &d->box[i];
        int64_t other_last = other->last > other->rank ? other->last - 1 : other->rank;
        if (other->column == box->column && other->lane == lane && other->rank <= last && box->rank <= other_last)
            return false;
    }
    return true;
}

static void find_lanes(swg__diagram *d) {
    for (int64_t b = 0; b < d->boxes; b++) {
        swg__box *box = &d->box[b];
        int64_t lane = 0;
        for (int64_t a = 0; a < d->arrows && !lane; a++) /* below its first source, if there is room */
            if (d->arrow[a].to == b && same_column(d, &d->arrow[a]) && lane_is_free(d, b, d->box[d->arrow[a].from].lane))
                lane = d->box[d->arrow[a].from].lane;
        while (!lane_is_free(d, b, lane))
            lane++;
        box->lane = lane;
        if (lane >= d->column_lanes[box->column])
            d->column_lanes[box->column] = lane + 1;
        if (box->rank >= d->column_ranks[box->column])
            d->column_ranks[box->column] = box->rank + 1;
    }
}

static bool allocate(maker *m) {
    size_t rows = (size_t)m->layers->count + 1, arrows = 1;
    for (int64_t i = 0; i < m->layers->count; i++)
        arrows += (size_t)m->layers->rows[i].input_count;
    swg__diagram *d = m->d;
    d->box = swg__arena_alloc(&d->arena, rows * sizeof *d->box);
    d->arrow = swg__arena_alloc(&d->arena, arrows * sizeof *d->arrow);
    d->column_name = swg__arena_alloc(&d->arena, rows * sizeof *d->column_name);
    d->column_lanes = swg__arena_alloc(&d->arena, rows * sizeof *d->column_lanes);
    d->column_ranks = swg__arena_alloc(&d->arena, rows * sizeof *d->column_ranks);
    m->box_of = swg__arena_alloc(&d->arena, rows * sizeof *m->box_of);
    m->readers = swg__arena_alloc(&d->arena, rows * sizeof *m->readers);
    return d->box && d->arrow && d->column_name && d->column_lanes && d->column_ranks && m->box_of && m->readers;
}

swg_status swg__diagram_make(swg_context *ctx, const swg_layers *layers, swg__diagram *out) {
    *out = (swg__diagram){.ctx = ctx};
    maker m = {.layers = layers, .d = out};
    swg__arena_init(&out->arena, ctx);
    if (!allocate(&m)) {
        swg__diagram_free(out);
        return swg__fail_memory(ctx, (size_t)layers->count * sizeof *out->box, "a diagram");
    }
    make_boxes(&m);
    make_arrows(&m);
    find_columns(out);
    find_ranks(out);
    find_lanes(out);
    return SWG_OK;
}

void swg__diagram_free(swg__diagram *d) {
    swg__arena_free(&d->arena);
    *d = (swg__diagram){0};
}
