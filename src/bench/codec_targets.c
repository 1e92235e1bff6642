/* codec_targets.c - means over cells, and the codec's targets with what was measured.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "bench/codec.h"

static bool is_star(const swg__codec_cell *cell) {
    const swg__codec_field *field;
    for (int i = 0; (field = swg__codec_field_at(i)); i++)
        if (field->star && strcmp(field->name, cell->data) == 0)
            return true;
    return false;
}

/* Bytes of what ours is compared with; 0: it has none. */
static double other_bytes(const swg__codec_cell *cell, int peer) {
    if (peer == -2)
        return (double)cell->raw;
    if (peer >= 0)
        return (double)cell->peers[peer].bytes;
    return cell->peers[0].bytes && cell->peers[1].bytes ? fmin((double)cell->peers[0].bytes, (double)cell->peers[1].bytes) : 0;
}

double swg__codec_mean(const swg__codec_bench *b, swg__codec_table table, int peer, double low, double high, bool star, double *least) {
    double sum = 0, smallest = INFINITY;
    int64_t count = 0;
    for (int64_t i = 0; i < b->cell_count; i++) {
        const swg__codec_cell *cell = &b->cells[i];
        if (cell->table != table || cell->extra || cell->bound < low * .999 || cell->bound > high * 1.001 || (!star && is_star(cell)))
            continue;
        double other = other_bytes(cell, peer);
        if (!(other > 0))
            return 0;
        sum += log(other / (double)cell->ours.bytes);
        smallest = fmin(smallest, other / (double)cell->ours.bytes);
        count++;
    }
    if (least)
        *least = count ? smallest : 0;
    return count ? exp(sum / (double)count) : 0;
}

int64_t swg__codec_violations(const swg__codec_bench *b, int peer, double *worst) {
    int64_t count = 0;
    *worst = 0;
    for (int64_t i = 0; i < b->cell_count; i++) {
        const swg__codec_cell *cell = &b->cells[i];
        const swg__codec_result *r = peer < 0 ? &cell->ours : &cell->peers[peer];
        count += r->violations;
        *worst = fmax(*worst, r->bytes ? r->max_ratio : 0);
        for (int m = 0; m < SWG__CODEC_MODELS && peer < 0; m++) {
            count += cell->trained[m].violations;
            *worst = fmax(*worst, cell->trained[m].max_ratio);
        }
    }
    return count;
}

/* ---- targets ---- */

static swg__codec_target *add(swg__codec_bench *b, const char *id, const char *what) {
    swg__codec_target *t = &b->targets[b->target_count++];
    *t = (swg__codec_target){.verdict = SWG__CODEC_UNKNOWN};
    snprintf(t->id, sizeof t->id, "%s", id);
    snprintf(t->what, sizeof t->what, "%s", what);
    return t;
}

static void decide(swg__codec_target *t, bool known, bool reached) {
    t->verdict = !known ? SWG__CODEC_UNKNOWN : reached ? SWG__CODEC_REACHED : SWG__CODEC_MISSED;
}

/* Why a target that needs a table and peers cannot be judged; NULL: it can. */
static const char *missing(const swg__codec_bench *b, swg__codec_table table, double mean) {
    if (!(b->opts.tables & 1u << table))
        return "table not asked for";
    if (b->standin[table])
        return "needs the data, not the samples";
    return mean > 0 ? NULL : "needs the peers";
}

static void judge_fields(swg__codec_bench *b) {
    swg__codec_target *t = add(b, "1", "fields, 1e-3 to 1e-5, geometric means: >= 1.3x SZ3, >= 1.1x SPERR, >= 1.0x SPERR without TOV");
    double sz3 = swg__codec_mean(b, SWG__CODEC_FIELDS, 0, 1e-5, 1e-3, true, NULL), sperr = swg__codec_mean(b, SWG__CODEC_FIELDS, 1, 1e-5, 1e-3, true, NULL);
    double bare = swg__codec_mean(b, SWG__CODEC_FIELDS, 1, 1e-5, 1e-3, false, NULL);
    const char *why = missing(b, SWG__CODEC_FIELDS, fmin(sz3, sperr));
    decide(t, !why, sz3 >= 1.3 && sperr >= 1.1 && bare >= 1);
    if (why)
        snprintf(t->measured, sizeof t->measured, "%s", why);
    else
        snprintf(t->measured, sizeof t->measured, "%.3f, %.3f, %.3f; at 1e-2 without TOV %.3f of SPERR", sz3, sperr, bare,
                 swg__codec_mean(b, SWG__CODEC_FIELDS, 1, 1e-2, 1e-2, false, NULL));
}

/* The mean over a peer for arrays of a series with a model of the other half. counted: each array pays for a whole model. */
static double trained_mean(const swg__codec_bench *b, swg__codec_table table, int which, int peer, double low, double high, bool counted) {
    double sum = 0;
    int64_t count = 0;
    for (int64_t i = 0; i < b->cell_count; i++) {
        const swg__codec_cell *c = &b->cells[i];
        if (c->table != table || c->extra || c->bound < low * .999 || c->bound > high * 1.001)
            continue;
        if (!c->trained[which].bytes || !c->peers[peer].bytes)
            return 0;
        sum += log((double)c->peers[peer].bytes / (double)(c->trained[which].bytes + (counted ? c->model_bytes[which] : 0)));
        count++;
    }
    return count ? exp(sum / (double)count) : 0;
}

static void judge_learned(swg__codec_bench *b) {
    enum { SPERR = 1, LIGHT = 0, DEEP = 1 };
    swg__codec_target *t = add(b, "2", "28-64-32-2 learned on one half of a field, other half, 1e-3: >= 1.5x SPERR");
    const swg__codec_table table = SWG__CODEC_LEARNED;
    double mean = trained_mean(b, table, DEEP, SPERR, 1e-3, 1e-3, false);
    const char *why = b->opts.without >> SWG_MODE_MLP & 1 ? "mode mlp was left out" : missing(b, table, mean);
    decide(t, !why && !b->opts.quick, mean >= 1.5);
    if (why)
        snprintf(t->measured, sizeof t->measured, "%s", why);
    else
        snprintf(t->measured, sizeof t->measured, "%.3f, with the network's bytes %.3f; 28-16-8-2 %.3f; without a model %.3f%s", mean,
                 trained_mean(b, table, DEEP, SPERR, 1e-3, 1e-3, true), trained_mean(b, table, LIGHT, SPERR, 1e-3, 1e-3, false),
                 swg__codec_mean(b, table, SPERR, 1e-3, 1e-3, true, NULL), b->opts.quick ? "; --quick trains too briefly to judge" : "");
}

static void judge_blocks(swg__codec_bench *b) {
    swg__codec_target *t = add(b, "3", "isolated 5^3 blocks, 1e-2 and 1e-3: >= 1.3x the best layout of SZ3");
    double mean = swg__codec_mean(b, SWG__CODEC_BLOCKS, 0, 1e-3, 1e-2, true, NULL);
    const char *why = missing(b, SWG__CODEC_BLOCKS, mean);
    decide(t, !why, mean >= 1.3);
    if (why)
        snprintf(t->measured, sizeof t->measured, "%s", why);
    else
        snprintf(t->measured, sizeof t->measured, "%.3f, all bytes counted; with 1e-4 %.3f; with a model of the other half that a series shares %.3f", mean,
                 swg__codec_mean(b, SWG__CODEC_BLOCKS, 0, 1e-4, 1e-2, true, NULL),
                 trained_mean(b, SWG__CODEC_BLOCKS, 0, 0, 1e-3, 1e-2, false));
}

static void judge_octants(swg__codec_bench *b) {
    swg__codec_target *t = add(b, "3a", "BSSN octants, 24 variables, 1e-3 to 1e-5: >= 3.3x the best layout of SZ3, >= 8x SPERR and zfp");
    double mean[3];
    for (int p = 0; p < 3; p++)
        mean[p] = swg__codec_mean(b, SWG__CODEC_OCTANTS, p, 1e-5, 1e-3, true, NULL);
    const char *why = missing(b, SWG__CODEC_OCTANTS, fmin(mean[0], fmin(mean[1], mean[2])));
    decide(t, !why, mean[0] >= 3.3 && mean[1] >= 8 && mean[2] >= 8);
    if (why)
        snprintf(t->measured, sizeof t->measured, "%s", why);
    else
        snprintf(t->measured, sizeof t->measured, "%.3f, %.3f, %.3f", mean[0], mean[1], mean[2]);
}

static void judge_uniform(swg__codec_bench *b) {
    static const double each[] = {1e-3, 1e-4, 1e-5};
    swg__codec_target *t = add(b, "3b", "BSSN uniform grid: >= 1.3x the better of SZ3 and SPERR at each bound, >= 1.0x in every cell");
    double mean[3], least;
    double all = swg__codec_mean(b, SWG__CODEC_UNIFORM, -1, 1e-5, 1e-3, true, &least);
    const char *why = missing(b, SWG__CODEC_UNIFORM, all);
    bool reached = least >= 1;
    for (int k = 0; k < 3; k++) {
        mean[k] = swg__codec_mean(b, SWG__CODEC_UNIFORM, -1, each[k], each[k], true, NULL);
        reached = reached && mean[k] >= 1.3;
    }
    decide(t, !why, reached);
    if (why)
        snprintf(t->measured, sizeof t->measured, "%s", why);
    else
        snprintf(t->measured, sizeof t->measured, "%.3f, %.3f, %.3f at 1e-3, 1e-4, 1e-5; least %.3f", mean[0], mean[1], mean[2], least);
}

static void judge_chunks(swg__codec_bench *b) {
    swg__codec_target *t = add(b, "4", "32^3 chunks instead of one: <= 4 % more");
    double worst = 0;
    size_t used = 0;
    for (int64_t i = 0; i + 1 < b->cell_count; i++) {
        const swg__codec_cell *whole = &b->cells[i], *cut = &b->cells[i + 1];
        if (whole->table != SWG__CODEC_CHUNKS || cut->table != SWG__CODEC_CHUNKS || whole->bound != cut->bound)
            continue;
        double more = 100 * ((double)cut->ours.bytes / (double)whole->ours.bytes - 1);
        worst = fmax(worst, more);
        used += (size_t)snprintf(t->measured + used, sizeof t->measured - used, "%s%+.2f %%", used ? ", " : "", more);
    }
    const char *why = missing(b, SWG__CODEC_CHUNKS, 1);
    decide(t, !why && used, worst <= 4);
    if (why)
        snprintf(t->measured, sizeof t->measured, "%s", why);
}

static double mb_per_s(const swg__codec_cell *cell, double ns) { return ns > 0 ? (double)cell->raw * 1e3 / ns : 0; }

/* One row of the table of speeds; least: MB/s both ways. */
static void judge_speed(swg__codec_bench *b, const char *id, const char *variant, double least, swg_codec_mode mode) {
    char what[160];
    snprintf(what, sizeof what, "%s, f32, 64^3 chunks, one core, >= 256 MB in memory: >= %.0f MB/s both ways", variant, least);
    swg__codec_target *t = add(b, id, what);
    const char *why = missing(b, SWG__CODEC_SPEED, 1);
    snprintf(t->measured, sizeof t->measured, "%s", why ? why : "left out, or of no use for this array");
    for (int64_t i = 0; !why && i < b->cell_count; i++) {
        const swg__codec_cell *cell = &b->cells[i];
        if (cell->table != SWG__CODEC_SPEED || strcmp(cell->variant, variant) != 0)
            continue;
        double up = mb_per_s(cell, cell->ours.compress_ns), down = mb_per_s(cell, cell->ours.decompress_ns);
        bool large = cell->raw >= 256000000, right = mode != SWG_MODE_MLP || cell->only_mlp;
        decide(t, large && right, up >= least && down >= least);
        snprintf(t->measured, sizeof t->measured, "%.0f / %.0f MB/s on %.0f MB%s", up, down, (double)cell->raw * 1e-6,
                 !right ? ": not every chunk took the network" : large ? "" : ": too little to judge");
    }
}

static void judge_bound(swg__codec_bench *b) {
    swg__codec_target *t = add(b, "6", "values outside the bound: 0 (in this run; the exhaustive sweep is `make test-slow`)");
    double worst;
    int64_t count = swg__codec_violations(b, -1, &worst);
    decide(t, b->cell_count > 0, count == 0);
    snprintf(t->measured, sizeof t->measured, "%lld; largest error / bound %.6f", (long long)count, worst);
}

static void judge_edges(swg__codec_bench *b) {
    swg__codec_target *t = add(b, "7", "a network trained on other data (BSSN) on all fields at 1e-3: total <= +1 %");
    double more = b->misfit_without > 0 ? 100 * (b->misfit_with / b->misfit_without - 1) : 0;
    decide(t, b->misfit_without > 0 && !b->standin[SWG__CODEC_FIELDS], more <= 1);
    if (b->misfit_without > 0)
        snprintf(t->measured, sizeof t->measured, "%+.3f %%", more);
    else
        snprintf(t->measured, sizeof t->measured, "needs -m and a BSSN table");
    t = add(b, "8", "a file of one f32 <= 516 bytes; noise: <= 80 bytes per chunk and 512 per file");
    decide(t, true, b->one_value_bytes <= 516 && b->noise_excess <= 80);
    snprintf(t->measured, sizeof t->measured, "%lld bytes; %+lld per chunk", (long long)b->one_value_bytes, (long long)b->noise_excess);
}

void swg__codec_judge(swg__codec_bench *b) {
    b->target_count = 0;
    judge_fields(b);
    judge_learned(b);
    judge_blocks(b);
    judge_octants(b);
    judge_uniform(b);
    judge_chunks(b);
    judge_speed(b, "5", "stencil alone", 150, SWG_MODE_STENCIL);
    judge_speed(b, "5a", "mlp 28-16-8-2 alone", 120, SWG_MODE_MLP);
    judge_speed(b, "5b", "mlp 28-64-32-2 alone", 50, SWG_MODE_MLP);
    judge_speed(b, "5c", "all modes", 150, SWG_MODE_COUNT); /* at the effort of the run: by default 5 */
    judge_bound(b);
    judge_edges(b);
}
