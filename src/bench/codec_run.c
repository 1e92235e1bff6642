/* codec_run.c - the tables of `swage bench codec`, one after the other.
 * In: fields and BSSN files, or the samples in their place. Out: cells, means without single modes, sizes at the edges.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "archive/archive.h"
#include "bench/codec.h"
#include "codec/model.h"
#include "philox.h"

static const double bounds[SWG__CODEC_EFFORTS][5] = { /* fractions of the range; 0 ends a list */
    [SWG__CODEC_FIELDS] = {1e-2, 1e-3, 1e-4, 1e-5}, [SWG__CODEC_BLOCKS] = {1e-2, 1e-3, 1e-4},  [SWG__CODEC_CHUNKS] = {1e-2, 1e-3, 1e-4},
    [SWG__CODEC_OCTANTS] = {1e-3, 1e-4, 1e-5},      [SWG__CODEC_UNIFORM] = {1e-3, 1e-4, 1e-5},
};
static const char *const table_names[SWG__CODEC_TABLES] = {"fields", "blocks", "chunks", "octants", "uniform", "efforts", "learned", "speed"};
static const char *const block_fields[] = {"vorticity", "wmag", "HadCM3"};
static const char *const bssn_files[SWG__CODEC_TABLES][2] = { /* of the data; of the samples */
    [SWG__CODEC_OCTANTS] = {"bssn/q1_blocks_t5.h5", "bssn/bbh_q1_blocks_64_t5.h5"},
    [SWG__CODEC_UNIFORM] = {"bssn/q1_uniform_96x64x32_t5.h5", "bssn/bbh_q1_uniform_32_t5.h5"},
};

const char *swg__codec_table_name(int table) { return table < SWG__CODEC_TABLES ? table_names[table] : NULL; }

bool swg__codec_optional(int mode) { return mode != SWG_MODE_CONSTANT && mode != SWG_MODE_LEVEL && mode != SWG_MODE_STORED; }

/* What lives while a benchmark runs. */
typedef struct run {
    swg__codec_bench *b;
    swg_model *model;
    swg_codec_model *set;       /* of -m; or ... */
    swg_codec_model *predictor; /* ... this one made of `model` for the table at work. NULL none */
    char folder[96];            /* for files that are made, "" none */
} run;

/* A failure of work done in the one-thread context, told in the caller's. */
static swg_status pass(const swg__codec_bench *b, swg_status status) {
    return status == SWG_OK ? status : swg__fail(b->ctx, status, "bench codec: %s", swg_context_message(b->team.ctx));
}

/* ---- every array of a table, in the shared memory ---- */

typedef struct input {
    swg_codec_array array;
    const char *name;
    double range;           /* of the whole field; 0: the array's own */
    bool extra;
    void *other;            /* the other half of the blocks, of the same extents; NULL: these are no blocks */
    const char *variant;    /* NULL: "" */
} input;
typedef swg_status (*visit_fn)(run *r, const input *in, void *arg);

static const char *find_file(const run *r, swg__codec_table table, char *out, size_t capacity) {
    const swg__codec_opts *o = &r->b->opts;
    snprintf(out, capacity, "%.3900s/%s", o->data ? o->data : "", bssn_files[table][0]);
    bool there = o->data && swg__exists(out);
    if (!there)
        snprintf(out, capacity, "%.3900s/%s", o->samples ? o->samples : "", bssn_files[table][1]);
    r->b->standin[table] = !there;
    return there || (o->samples && swg__exists(out)) ? out : NULL;
}

static swg_status open_file(run *r, swg__codec_table table, swg_source **source) {
    char path[4096];
    *source = NULL;
    if (!find_file(r, table, path, sizeof path))
        return swg__fail(r->b->ctx, SWG_ENOTFOUND, "bench codec: there is neither %s nor the sample %s; say where with --data DIR", bssn_files[table][0],
                         bssn_files[table][1]);
    return pass(r->b, swg_source_open(r->b->team.ctx, path, NULL, source));
}

/* list: patterns of variables with commas between, NULL for all. */
static swg_status each_variable(run *r, swg__codec_table table, const char *list, visit_fn visit, void *arg) {
    swg_source *source;
    SWG__TRY(open_file(r, table, &source));
    swg_status status = SWG_OK;
    for (int64_t i = 0; i < swg_source_count(source) && status == SWG_OK; i++) {
        const swg_array *a = swg_source_array(source, i);
        void *place = NULL;
        if (list && !strstr(list, a->variable))
            continue;
        status = swg__codec_room(r->b, a->count * swg_element_bytes(a->element), &place);
        if (status == SWG_OK)
            status = pass(r->b, swg_source_read(source, i, place));
        const input in = {.array = swg__codec_array_of(a, place), .name = a->variable};
        if (status == SWG_OK)
            status = visit(r, &in, arg);
    }
    swg_source_close(source);
    return status;
}

static bool has_field(const run *r, const swg__codec_field *field) {
    char path[4096];
    snprintf(path, sizeof path, "%.3900s/fields/%s", r->b->opts.data ? r->b->opts.data : "", field->file);
    return r->b->opts.data && swg__exists(path);
}

static bool in_blocks(const char *name) {
    for (size_t i = 0; i < sizeof block_fields / sizeof *block_fields; i++)
        if (strcmp(block_fields[i], name) == 0)
            return true;
    return false;
}

enum { BLOCK_EDGE = 5, LARGER_EDGE = 7 }; /* the larger ones are shown only */
#define QUICK_SECONDS 0.25 /* of training */
#define SPEED_SECONDS 5   /* the same where only the speed of the network counts */

/* Visits the field in `in` as blocks of an edge. */
static swg_status as_blocks(run *r, const input *in, int64_t edge, visit_fn visit, void *arg) {
    input blocks = *in;
    blocks.range = swg__codec_range(&in->array);
    blocks.extra = edge != BLOCK_EDGE;
    blocks.variant = blocks.extra ? "7^3" : NULL;
    swg_status status = swg__codec_cut_blocks(r->b, &blocks.array, edge, &blocks.other);
    if (status == SWG_OK)
        status = visit(r, &blocks, arg);
    swg__free(r->b->ctx, blocks.other);
    return status;
}

typedef struct cut { visit_fn visit; void *arg; } cut;

static swg_status visit_cut(run *r, const input *in, void *arg) {
    const cut *c = arg;
    return as_blocks(r, in, BLOCK_EDGE, c->visit, c->arg);
}

static swg_status each_field(run *r, swg__codec_table table, visit_fn visit, void *arg) {
    const swg__codec_field *field;
    int seen = 0;
    for (int i = 0; (field = swg__codec_field_at(i)); i++) {
        input in = {.name = field->name, .extra = field->extra};
        if (!has_field(r, field) || ((table == SWG__CODEC_BLOCKS || table == SWG__CODEC_LEARNED) && !in_blocks(field->name)))
            continue;
        SWG__TRY(swg__codec_field_read(r->b, field, &in.array));
        seen++;
        if (table != SWG__CODEC_BLOCKS) {
            SWG__TRY(visit(r, &in, arg));
            continue;
        }
        SWG__TRY(as_blocks(r, &in, BLOCK_EDGE, visit, arg));
        SWG__TRY(swg__codec_field_read(r->b, field, &in.array)); /* its place was taken by the blocks */
        SWG__TRY(as_blocks(r, &in, LARGER_EDGE, visit, arg));
    }
    r->b->standin[table] = !seen;
    if (seen)
        return SWG_OK;
    /* Nothing there: three smooth and three rougher variables of the sample grid. */
    cut c = {visit, arg};
    bool was = r->b->standin[SWG__CODEC_UNIFORM];
    swg_status status = each_variable(r, SWG__CODEC_UNIFORM, "U_ALPHA,U_CHI,U_BETA1,U_GT0,U_SYMGT1,U_SYMAT0",
                                      table == SWG__CODEC_BLOCKS ? visit_cut : visit, table == SWG__CODEC_BLOCKS ? (void *)&c : arg);
    r->b->standin[SWG__CODEC_UNIFORM] = was;
    return status;
}

static swg_status each_input(run *r, swg__codec_table table, visit_fn visit, void *arg) {
    return bssn_files[table][0] ? each_variable(r, table, NULL, visit, arg) : each_field(r, table, visit, arg);
}

static swg_codec_opts opts_of(const run *r, const input *in, double bound, uint32_t without) {
    return (swg_codec_opts){.bound = SWG_BOUND_REL, .value = bound, .has_range = in->range > 0, .range_max = in->range,
                            .without = without | r->b->opts.without, .effort = r->b->opts.effort, .name = in->name, .model = r->set};
}

/* ---- files of all variables, as `swage compress` makes them ---- */

typedef struct bundle {
    swg__codec_table table;
    double bound;
    uint32_t without;
    swg_codec_writer *writer;
    swg_swz *file;
    int64_t shared;             /* bytes of the file that belong to no array, divided evenly */
} bundle;

static swg_status add_to_bundle(run *r, const input *in, void *arg) {
    bundle *u = arg;
    swg_codec_opts opts = opts_of(r, in, u->bound, u->without);
    return pass(r->b, swg_codec_writer_add(u->writer, "t5", &in->array, &opts, NULL));
}

static swg_status make_bundle(run *r, bundle *u) {
    char path[160];
    int64_t bytes = 0, members = 0;
    snprintf(path, sizeof path, "%s/bundle.swz", r->folder);
    SWG__TRY(pass(r->b, swg_codec_writer_open(r->b->team.ctx, path, r->predictor, &u->writer)));
    swg_status status = each_variable(r, u->table, NULL, add_to_bundle, u);
    if (status != SWG_OK) {
        swg_codec_writer_abort(u->writer);
        return status;
    }
    status = pass(r->b, swg_codec_writer_commit(u->writer, &bytes));
    if (status == SWG_OK)
        status = pass(r->b, swg_swz_open(r->b->team.ctx, path, &u->file));
    unlink(path);
    for (int64_t i = 0; status == SWG_OK && i < swg_swz_count(u->file); i++)
        members += swg_swz_member(u->file, i)->bytes_stored;
    if (status == SWG_OK) {
        u->shared = (bytes - members + swg_swz_count(u->file) - 1) / swg_swz_count(u->file);
        r->b->training_bytes = swg_swz_model_bytes(u->file);
    }
    return status;
}

/* The network of -m, made ready on the file of a table. */
static swg_status open_predictor(run *r, swg__codec_table table) {
    swg_source *source = NULL;
    if (!r->model)
        return SWG_OK;
    swg_codec_model_free(r->b->team.ctx, r->predictor);
    r->predictor = NULL;
    swg_status status = open_file(r, table, &source);
    if (status == SWG_OK)
        status = pass(r->b, swg__archive_predictor(r->b->team.ctx, r->model, source, &r->predictor));
    swg_source_close(source);
    return status;
}

/* ---- tables of ratios ---- */

typedef struct table_run { swg__codec_table table; bundle bundles[4]; } table_run;

/* Trains on `other` and completes the last cell. */
static swg_status fit_series(run *r, const swg_codec_array *array, const swg_codec_array *other, const swg_codec_opts *opts, const swg_codec_opts *fit_opts,
                             const char *kind, double seconds, int which) {
    swg_codec_model *model;
    swg_status status = swg__codec_fit(r->b, other, fit_opts, kind, seconds, &model);
    if (status == SWG_OK)
        status = swg__codec_series(r->b, array, opts, model, r->folder, &r->b->cells[r->b->cell_count - 1], which);
    swg_codec_model_free(r->b->team.ctx, model);
    return status;
}

static swg_status measure_input(run *r, const input *in, void *arg) {
    const table_run *t = arg;
    for (int k = 0; bounds[t->table][k] > 0; k++) {
        const bundle *u = &t->bundles[k];
        swg__codec_cell cell = {.table = t->table, .bound = bounds[t->table][k], .extra = in->extra};
        swg__codec_how how = {.opts = opts_of(r, in, cell.bound, 0), .file = u->file, .shared_bytes = u->shared, .timed = true};
        how.opts.model = u->file ? r->predictor : r->set;
        how.member = u->file ? swg_swz_find(u->file, NULL, in->name) : 0;
        snprintf(cell.data, sizeof cell.data, "%s", in->name);
        snprintf(cell.variant, sizeof cell.variant, "%s", in->variant ? in->variant : "");
        SWG__TRY(swg__codec_measure(r->b, &in->array, &how, cell));
        if (in->other && !(r->b->opts.without >> SWG_MODE_BLOCKS & 1)) {
            swg_codec_array other = in->array;
            other.data = in->other;
            SWG__TRY(fit_series(r, &in->array, &other, &how.opts, &how.opts, "blocks", 0, 0));
        }
    }
    return SWG_OK;
}

static swg_status run_table(run *r, swg__codec_table table) {
    table_run t = {.table = table};
    swg_status status = SWG_OK;
    if (bssn_files[table][0]) {
        status = open_predictor(r, table);
        for (int k = 0; bounds[table][k] > 0 && status == SWG_OK; k++) {
            t.bundles[k] = (bundle){.table = table, .bound = bounds[table][k]};
            status = make_bundle(r, &t.bundles[k]);
        }
    }
    if (status == SWG_OK)
        status = each_input(r, table, measure_input, &t);
    for (size_t k = 0; k < sizeof t.bundles / sizeof *t.bundles; k++)
        swg_swz_close(t.bundles[k].file);
    return status;
}

/* One chunk, then chunks of 32^3, of the first field: 32 planes of vorticity. */
static swg_status chunk_input(run *r, const input *in, void *arg) {
    int64_t small[4] = {0};
    bool *done = arg;
    input cropped = *in;
    if (*done)
        return SWG_OK;
    *done = true;
    cropped.array.dims[0] = in->array.dims[0] < 32 ? in->array.dims[0] : 32; /* the first planes are the first bytes */
    for (int i = 0; i < 3; i++)
        small[i] = cropped.array.dims[i] < 32 ? cropped.array.dims[i] : 32;
    for (int k = 0; bounds[SWG__CODEC_CHUNKS][k] > 0; k++)
        for (int cut_up = 0; cut_up < 2; cut_up++) {
            swg__codec_cell cell = {.table = SWG__CODEC_CHUNKS, .bound = bounds[SWG__CODEC_CHUNKS][k]};
            swg__codec_how how = {.opts = opts_of(r, &cropped, cell.bound, 0)};
            memcpy(how.opts.chunk, cut_up ? small : cropped.array.dims, sizeof how.opts.chunk);
            snprintf(cell.data, sizeof cell.data, "%s", in->name);
            snprintf(cell.variant, sizeof cell.variant, cut_up ? "32^3" : "whole");
            SWG__TRY(swg__codec_measure(r->b, &cropped.array, &how, cell));
        }
    return SWG_OK;
}

static swg_status run_chunks(run *r) {
    bool done = false;
    SWG__TRY(each_field(r, SWG__CODEC_FIELDS, chunk_input, &done));
    r->b->standin[SWG__CODEC_CHUNKS] = r->b->standin[SWG__CODEC_FIELDS];
    return SWG_OK;
}

/* ---- efforts: every field and variable by itself at 1, 5 and 9 ---- */

static swg_status effort_input(run *r, const input *in, void *arg) {
    static const int efforts[] = {1, 5, 9};
    const swg__codec_table *like = arg;
    for (int k = 0; bounds[*like][k] > 0; k++)
        for (size_t e = 0; e < sizeof efforts / sizeof *efforts; e++) {
            swg__codec_cell cell = {.table = SWG__CODEC_EFFORTS, .effort = efforts[e], .bound = bounds[*like][k], .extra = in->extra};
            swg__codec_how how = {.opts = opts_of(r, in, cell.bound, 0), .timed = true, .no_peers = true};
            how.opts.model = NULL; /* not those of -m: speeds are of modes */
            how.opts.effort = cell.effort;
            snprintf(cell.data, sizeof cell.data, "%s", in->name);
            snprintf(cell.variant, sizeof cell.variant, "%s", *like == SWG__CODEC_FIELDS ? "" : table_names[*like]);
            SWG__TRY(swg__codec_measure(r->b, &in->array, &how, cell));
        }
    return SWG_OK;
}

static swg_status run_efforts(run *r) {
    static const swg__codec_table like[] = {SWG__CODEC_FIELDS, SWG__CODEC_BLOCKS, SWG__CODEC_OCTANTS, SWG__CODEC_UNIFORM};
    for (size_t i = 0; i < sizeof like / sizeof *like; i++) {
        swg__codec_table table = like[i];
        SWG__TRY(each_input(r, table, effort_input, &table));
        r->b->standin[SWG__CODEC_EFFORTS] |= r->b->standin[table];
    }
    return SWG_OK;
}

/* ---- learned: the second half of a field with networks of the first ---- */

static swg_status learned_halves(run *r, const input *half, const swg_codec_array *first, double bound) {
    const bool all = bound == 1e-3; /* the deep network only at the bound that is judged */
    swg__codec_cell cell = {.table = SWG__CODEC_LEARNED, .bound = bound};
    swg__codec_how how = {.opts = opts_of(r, half, bound, 0)};
    swg_codec_opts fit_opts = how.opts;
    if (!all && r->b->opts.quick)
        return SWG_OK;
    memcpy(how.opts.chunk, half->array.dims, sizeof how.opts.chunk); /* one chunk, as the peers have */
    memcpy(fit_opts.chunk, first->dims, sizeof fit_opts.chunk);
    snprintf(cell.data, sizeof cell.data, "%s", half->name);
    SWG__TRY(swg__codec_measure(r->b, &half->array, &how, cell));
    for (int m = 0; m < (all ? SWG__CODEC_MODELS : 1) && !(r->b->opts.without >> SWG_MODE_MLP & 1); m++)
        SWG__TRY(fit_series(r, &half->array, first, &how.opts, &fit_opts, swg__codec_causal[m], r->b->opts.quick ? QUICK_SECONDS : 0, m));
    return SWG_OK;
}

static swg_status learned_input(run *r, const input *in, void *arg) {
    (void)arg;
    static const double at[] = {1e-2, 1e-3, 1e-4};
    input half = *in;
    swg_codec_array first;
    void *memory;
    half.range = swg__codec_range(&in->array);
    swg_status status = swg__codec_cut_halves(r->b, &half.array, &first, &memory);
    for (size_t k = 0; k < sizeof at / sizeof *at && status == SWG_OK; k++)
        status = learned_halves(r, &half, &first, at[k]);
    swg__free(r->b->ctx, memory);
    return status;
}

/* ---- speed ---- */

static swg_status speed_of(run *r, const input *in, const char *variant, const swg_codec_model *model, swg__team *team, uint32_t without, bool beside) {
    swg__codec_cell cell = {.table = SWG__CODEC_SPEED, .bound = 1e-3};
    swg__codec_how how = {.opts = opts_of(r, in, 1e-3, without), .team = team, .timed = true, .no_peers = !beside};
    how.opts.model = model; /* nor here */
    how.opts.chunk[0] = how.opts.chunk[1] = how.opts.chunk[2] = r->b->opts.quick ? 32 : 64;
    snprintf(cell.data, sizeof cell.data, "%s", in->name);
    snprintf(cell.variant, sizeof cell.variant, "%s", variant);
    return swg__codec_measure(r->b, &in->array, &how, cell);
}

static swg_status speed_input(run *r, const input *in, void *arg) {
    static const int64_t full[3] = {256, 512, 512}, brief[3] = {32, 64, 128};
    bool *done = arg;
    input large = *in;
    swg__team all = {.ctx = NULL};
    swg_codec_model *model[SWG__CODEC_MODELS] = {NULL};
    uint32_t every = 0;
    char name[SWG__CODEC_NAME];
    swg_status status = SWG_OK;
    if (*done)
        return SWG_OK;
    *done = true;
    for (int m = 0; m < SWG_MODE_COUNT; m++)
        every |= swg__codec_optional(m) ? 1u << m : 0;
    swg_codec_opts fit_opts = opts_of(r, in, 1e-3, 0);
    for (int m = 0; m < SWG__CODEC_MODELS && status == SWG_OK && !(r->b->opts.without >> SWG_MODE_MLP & 1); m++)
        status = swg__codec_fit(r->b, &in->array, &fit_opts, swg__codec_causal[m], r->b->opts.quick ? QUICK_SECONDS : SPEED_SECONDS, &model[m]);
    if (status == SWG_OK)
        status = swg__codec_spread(r->b, &large.array, r->b->opts.quick ? brief : full);
    if (status == SWG_OK)
        status = speed_of(r, &large, "all modes", NULL, NULL, 0, true);
    for (int m = 0; m < SWG_MODE_COUNT && status == SWG_OK; m++) {
        if (!swg__codec_optional(m) || r->b->opts.without >> m & 1 || m == SWG_MODE_NETWORK || m == SWG_MODE_BLOCKS) /* not for this array */
            continue;
        for (int k = 0; k < (m == SWG_MODE_MLP ? SWG__CODEC_MODELS : 1) && status == SWG_OK; k++) {
            if (m == SWG_MODE_MLP && !swg_codec_model_count(model[k])) /* of no use for this array */
                continue;
            if (m == SWG_MODE_MLP)
                snprintf(name, sizeof name, "%s alone", swg__codec_trained_name(SWG__CODEC_LEARNED, k));
            else
                snprintf(name, sizeof name, "%s alone", swg_codec_mode_name((swg_codec_mode)m));
            status = speed_of(r, &large, name, m == SWG_MODE_MLP ? model[k] : NULL, NULL, every & ~(1u << m), false);
        }
    }
    for (int m = 0; m < SWG__CODEC_MODELS; m++)
        swg_codec_model_free(r->b->team.ctx, model[m]);
    if (status != SWG_OK || r->b->machine.allowed < 2)
        return status;
    SWG__TRY(swg__team_open(&all, r->b->machine.allowed, &r->b->cpus));
    snprintf(name, sizeof name, "all modes, %d threads", r->b->machine.allowed);
    status = speed_of(r, &large, name, NULL, &all, 0, false);
    swg__team_close(&all);
    return status;
}

static swg_status run_speed(run *r) {
    bool done = false;
    SWG__TRY(each_field(r, SWG__CODEC_FIELDS, speed_input, &done));
    r->b->standin[SWG__CODEC_SPEED] = r->b->standin[SWG__CODEC_FIELDS];
    return SWG_OK;
}

/* ---- modes left out, one at a time ---- */

static const double without_bounds[] = {1e-3, 1e-4};
enum { WITHOUT_BOUNDS = sizeof without_bounds / sizeof *without_bounds };

typedef struct mean { uint32_t without; double sum; int64_t count; } mean;

static swg_status add_to_mean(run *r, const input *in, void *arg) {
    mean *m = arg;
    int64_t raw = swg_element_bytes(in->array.type);
    for (int i = 0; i < in->array.ndim; i++)
        raw *= in->array.dims[i];
    for (int k = 0; k < WITHOUT_BOUNDS && !in->extra; k++) {
        swg_codec_opts opts = opts_of(r, in, without_bounds[k], m->without);
        swg_codec_buffer out = {0};
        SWG__TRY(pass(r->b, swg_codec_compress(r->b->team.ctx, &in->array, &opts, &out, NULL)));
        m->sum += log((double)raw / (double)out.bytes);
        m->count++;
        swg_codec_buffer_free(r->b->team.ctx, &out);
    }
    return SWG_OK;
}

static swg_status bundle_mean(run *r, swg__codec_table table, mean *m) {
    for (int k = 0; k < WITHOUT_BOUNDS; k++) {
        bundle u = {.table = table, .bound = without_bounds[k], .without = m->without};
        SWG__TRY(make_bundle(r, &u));
        for (int64_t i = 0; i < swg_swz_count(u.file); i++, m->count++)
            m->sum += log((double)swg_swz_member(u.file, i)->bytes_raw / (double)(swg_swz_member(u.file, i)->bytes_stored + u.shared));
        swg_swz_close(u.file);
    }
    return SWG_OK;
}

static swg_status without_row(run *r, int mode) {
    swg__codec_bench *b = r->b;
    swg__codec_without *row = &b->without[b->without_count];
    *row = (swg__codec_without){.mode = mode};
    for (int table = 0; table < SWG__CODEC_EFFORTS; table++) {
        mean m = {.without = mode < 0 ? 0 : 1u << mode};
        if (!(b->opts.tables & 1u << table) || table == SWG__CODEC_CHUNKS)
            continue;
        if (b->opts.stop && *b->opts.stop)
            return swg__fail(b->ctx, SWG_EINTERRUPTED, "bench: interrupted");
        if (b->opts.progress) {
            char text[96];
            snprintf(text, sizeof text, "without %s: %s", mode < 0 ? "nothing" : swg_codec_mode_name((swg_codec_mode)mode), table_names[table]);
            b->opts.progress(b->opts.user, text);
        }
        if (bssn_files[table][0]) {
            SWG__TRY(open_predictor(r, (swg__codec_table)table));
            SWG__TRY(bundle_mean(r, (swg__codec_table)table, &m));
        } else {
            SWG__TRY(each_field(r, (swg__codec_table)table, add_to_mean, &m));
        }
        row->ratio[table] = m.count ? exp(m.sum / (double)m.count) : 0;
    }
    b->without_count++;
    return SWG_OK;
}

static swg_status run_without(run *r) {
    SWG__TRY(without_row(r, -1));
    for (int m = 0; m < SWG_MODE_COUNT; m++)
        if (swg__codec_optional(m) && !(r->b->opts.without >> m & 1) && (m != SWG_MODE_NETWORK || r->b->opts.model))
            SWG__TRY(without_row(r, m));
    return SWG_OK;
}

/* ---- edges: a network that was trained on something else, one value, noise ---- */

static swg_status misfit_input(run *r, const input *in, void *arg) {
    double *bytes = arg;
    for (int with = 0; with < 2; with++) {
        swg_codec_opts opts = opts_of(r, in, 1e-3, 0);
        swg_codec_buffer out = {0};
        opts.model = with ? r->predictor : NULL;
        SWG__TRY(pass(r->b, swg_codec_compress(r->b->team.ctx, &in->array, &opts, &out, NULL)));
        bytes[with] += (double)out.bytes;
        swg_codec_buffer_free(r->b->team.ctx, &out);
    }
    return SWG_OK;
}

/* The models of a set as candidates for every variable and bound. Encoders of autoencoders are not taken over. */
static swg_status for_everything(run *r, const swg_codec_model *set, swg_codec_model **out) {
    SWG__TRY(swg__model_new(r->b->team.ctx, out));
    const char *why = NULL;
    for (int i = 0; i < swg_codec_model_count(set) && !why; i++) {
        size_t bytes;
        const uint8_t *blob = swg_codec_model_blob(set, i, &bytes, NULL);
        why = swg__model_add(*out, blob, bytes, NULL, 0, true);
    }
    if (!why)
        return SWG_OK;
    swg_codec_model_free(r->b->team.ctx, *out);
    *out = NULL;
    return swg__fail(r->b->team.ctx, SWG_ENOMEM, "a model: %s", why);
}

static swg_status run_edges(run *r) {
    enum { NOISE = 1 << 20 };
    swg__codec_bench *b = r->b;
    const float one = 1.5f;
    double bytes[2] = {0, 0};
    void *noise = NULL;
    swg_codec_array array = {.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {1}, .data = &one};
    swg_codec_opts opts = {.bound = SWG_BOUND_ABS, .value = 1e-3};
    swg_codec_buffer out = {0};
    swg_codec_stats stats;
    SWG__TRY(pass(b, swg_codec_compress(b->team.ctx, &array, &opts, &out, &stats)));
    b->one_value_bytes = (int64_t)out.bytes;
    swg_codec_buffer_free(b->team.ctx, &out);
    SWG__TRY(swg__codec_room(b, NOISE * 4, &noise));
    for (int64_t i = 0; i < NOISE / 4; i++) {
        swg__philox_words words = swg__philox(1, (uint64_t)i, 0, 0);
        memcpy((char *)noise + 16 * i, &words, 16);
    }
    array = (swg_codec_array){.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {NOISE}, .data = noise};
    SWG__TRY(pass(b, swg_codec_compress(b->team.ctx, &array, &opts, &out, &stats)));
    b->noise_excess = ((int64_t)out.bytes - 512 - NOISE * 4 + stats.chunks - 1) / stats.chunks;
    swg_codec_buffer_free(b->team.ctx, &out);
    if (r->predictor) {
        swg_codec_model *given = r->predictor;
        if (r->set)
            SWG__TRY(pass(b, for_everything(r, given, &r->predictor)));
        swg_status status = each_field(r, SWG__CODEC_FIELDS, misfit_input, bytes);
        if (r->set)
            swg_codec_model_free(b->team.ctx, r->predictor);
        r->predictor = given;
        SWG__TRY(status);
    }
    b->misfit_without = bytes[0];
    b->misfit_with = bytes[1];
    return SWG_OK;
}

/* ---- all ---- */

static swg_status run_all(run *r) {
    swg__codec_bench *b = r->b;
    unsigned wanted = b->opts.tables;
    if (b->opts.model)
        SWG__TRY(pass(b, swg_archive_open_models(b->team.ctx, b->opts.model, &r->set, &r->model)));
    r->predictor = r->set;
    if (!mkdtemp(r->folder)) {
        r->folder[0] = 0;
        return swg__fail(b->ctx, SWG_EIO, "bench codec: no folder for temporary files");
    }
    for (int table = 0; table < SWG__CODEC_EFFORTS; table++)
        if (wanted & 1u << table)
            SWG__TRY(table == SWG__CODEC_CHUNKS ? run_chunks(r) : run_table(r, (swg__codec_table)table));
    if (wanted & ((1u << SWG__CODEC_EFFORTS) - 1))
        SWG__TRY(run_without(r));
    SWG__TRY(run_edges(r));
    if (wanted & 1u << SWG__CODEC_EFFORTS)
        SWG__TRY(run_efforts(r));
    if (wanted & 1u << SWG__CODEC_LEARNED)
        SWG__TRY(each_field(r, SWG__CODEC_LEARNED, learned_input, NULL));
    return wanted & 1u << SWG__CODEC_SPEED ? run_speed(r) : SWG_OK; /* last: it needs the most memory */
}

swg_status swg__codec_bench_run(swg_context *ctx, const swg__codec_opts *opts, swg__codec_bench *b) {
    const char *tmp = getenv("TMPDIR");
    run r = {.b = b};
    *b = (swg__codec_bench){.ctx = ctx, .opts = *opts, .fd = -1};
    if (!b->opts.tables)
        b->opts.tables = (1u << SWG__CODEC_TABLES) - 1;
    swg__talk_init(&b->talk, ctx);
    if (sched_getaffinity(0, sizeof b->cpus, &b->cpus) != 0)
        return swg__fail(ctx, SWG_EIO, "bench: cannot read the affinity mask");
    swg__machine_look(&b->machine);
    SWG__TRY(swg__team_open(&b->team, 1, &b->cpus));
    snprintf(r.folder, sizeof r.folder, "%.70s/swage-bench-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    swg_status status = swg__codec_peers_open(b);
    if (status == SWG_OK)
        status = run_all(&r);
    b->machine.load_after = swg__machine_load();
    swg__talk_free(&b->talk);
    swg__codec_room_free(b);
    if (r.folder[0])
        rmdir(r.folder);
    swg_codec_model_free(b->team.ctx, r.set ? r.set : r.predictor);
    swg_model_close(r.model);
    swg__team_close(&b->team);
    sched_setaffinity(0, sizeof b->cpus, &b->cpus);
    if (status == SWG_OK)
        swg__codec_judge(b);
    return status;
}

void swg__codec_bench_free(swg__codec_bench *b) {
    swg__free(b->ctx, b->cells);
    b->cells = NULL;
    b->cell_count = 0;
}
