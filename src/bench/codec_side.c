/* codec_side.c - one array through Swage and through each peer, in turn, same bytes, same bound, one judge.
 * In: an array in the shared memory. Out: a cell.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "bench/codec.h"

#define SCRIPT SWG__PEERS_FOLDER "hdf5plugin/bench.py"

static const struct { const char *key, *name; } peers[SWG__CODEC_PEERS] = {
    {"sz3", "SZ3"}, {"sperr", "SPERR"}, {"zfp", "zfp"}, {"zfp-equal", "zfp, equal error"}};

const char *swg__codec_peer_name(int peer) { return peers[peer].name; }

/* ---- repetitions ---- */

enum { REPS_MOST = 64 };
static int least_reps(const swg__codec_bench *b, bool timed) { return b->opts.quick || !timed ? 1 : 3; }
static double least_seconds(const swg__codec_bench *b, bool timed) { return b->opts.quick || !timed ? 0 : .1; }

typedef struct watch {
    bool wall;              /* of several threads; of one thread its processor time counts, which other work on the machine does not stretch */
    double samples[REPS_MOST], spent, begin;
    int count;
} watch;

static double now(const watch *w) {
    struct timespec t;
    if (w->wall)
        return swg__bench_clock_ns();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void start(watch *w) { w->begin = now(w); }

static void stop(watch *w) {
    double ns = now(w) - w->begin;
    w->samples[w->count++] = ns;
    w->spent += ns;
}

static bool enough(const swg__codec_bench *b, const watch *w, bool timed) {
    return w->count == REPS_MOST || (w->count >= least_reps(b, timed) && w->spent >= least_seconds(b, timed) * 1e9);
}

static double median(watch *w) {
    swg__times times;
    swg__times_of(w->samples, w->count, &times);
    return times.median_ns;
}

/* ---- judge ---- */

static swg_status judge(swg__codec_bench *b, const swg_codec_array *array, double bound, swg__codec_result *r) {
    swg_codec_gap gap;
    SWG__TRY(swg_codec_compare(b->ctx, array, b->memory + b->half, bound, &gap));
    r->violations = gap.violations;
    r->max_ratio = bound > 0 ? gap.max_abs_error / bound : 0;
    r->psnr_db = gap.psnr_db;
    return SWG_OK;
}

/* ---- ours ---- */

static swg_status ours(swg__codec_bench *b, const swg_codec_array *array, const swg__codec_how *how, swg__codec_cell *cell) {
    swg_context *ctx = how->team ? how->team->ctx : b->team.ctx;
    swg_codec_buffer out = {0};
    swg_codec_stats stats;
    swg_swz *opened = NULL;
    watch compress = {.wall = how->team != NULL}, decompress = {.wall = how->team != NULL};
    swg__codec_result *r = &cell->ours;
    swg_status status = SWG_OK;
    while (status == SWG_OK && !enough(b, &compress, how->timed)) {
        swg_codec_buffer_free(ctx, &out);
        start(&compress);
        status = swg_codec_compress(ctx, array, &how->opts, &out, &stats);
        stop(&compress);
    }
    const swg_swz *file = how->file;
    if (status == SWG_OK && !file) {
        status = swg_swz_open_memory(ctx, out.data, out.bytes, &opened);
        file = opened;
    }
    while (status == SWG_OK && !enough(b, &decompress, how->timed)) {
        start(&decompress);
        status = swg_swz_read(file, how->member, b->memory + b->half, (size_t)cell->raw);
        stop(&decompress);
    }
    if (status == SWG_OK) {
        r->bytes = opened ? (int64_t)out.bytes : swg_swz_member(file, how->member)->bytes_stored + how->shared_bytes;
        r->compress_ns = median(&compress);
        r->decompress_ns = median(&decompress);
        cell->bound_abs = swg_swz_member(file, how->member)->eb_abs;
        cell->only_mlp = stats.chunks > 0 && stats.mode_chunks[SWG_MODE_MLP] == stats.chunks;
        status = judge(b, array, cell->bound_abs, r);
    } else {
        status = swg__fail(b->ctx, status, "%s: %s", cell->data, swg_context_message(ctx));
    }
    swg_swz_close(opened);
    swg_codec_buffer_free(ctx, &out);
    return status;
}

/* ---- peers ---- */

/* The process that answers for all of them; a new one where the last has ended. */
static bool start_peers(swg__codec_bench *b) {
    char fd[16];
    const char *python = swg__talk_python(SCRIPT);
    if (!python) {
        snprintf(b->peer_version, sizeof b->peer_version, "absent");
        snprintf(b->peer_options, sizeof b->peer_options, "SZ3, SPERR and zfp were left out: they need " SCRIPT " and " SWG__PEERS_PYTHON ", or "
                 "SWAGE_PEER_PYTHON (`make bench-codec`)");
        return false;
    }
    snprintf(fd, sizeof fd, "%d", b->fd);
    const char *arguments[] = {python, SCRIPT, "--serve", "--data-fd", fd, NULL};
    cJSON *about = swg__talk_start(&b->talk, arguments, &b->cpus) ? swg__talk_hear(&b->talk, b->opts.stop) : NULL;
    const char *version = cJSON_GetStringValue(cJSON_GetObjectItem(about, "version")), *options = cJSON_GetStringValue(cJSON_GetObjectItem(about, "options"));
    snprintf(b->peer_version, sizeof b->peer_version, "%s", version ? version : "failed");
    snprintf(b->peer_options, sizeof b->peer_options, "%s", options ? options : SCRIPT " did not start; see its message");
    cJSON_Delete(about);
    if (!version)
        swg__talk_end(&b->talk);
    return version != NULL;
}

swg_status swg__codec_peers_open(swg__codec_bench *b) {
    void *place;
    snprintf(b->peer_version, sizeof b->peer_version, "not asked");
    SWG__TRY(swg__codec_room(b, 64, &place)); /* the descriptor that the process inherits */
    if (b->opts.peers)
        start_peers(b);
    return SWG_OK;
}

static double number(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItem(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static cJSON *request_of(const swg__codec_bench *b, int peer, const swg_codec_array *array, const swg__codec_how *how, double bound) {
    cJSON *root = cJSON_CreateObject(), *dims = cJSON_AddArrayToObject(root, "dims");
    bool chunked = how->opts.chunk[0] > 0;
    cJSON *chunk = chunked ? cJSON_AddArrayToObject(root, "chunk") : NULL;
    cJSON_AddStringToObject(root, "peer", peers[peer].key);
    cJSON_AddStringToObject(root, "type", array->type == SWG_ELEMENT_F64 ? "f64" : "f32");
    for (int i = 0; i < array->ndim; i++) {
        cJSON_AddItemToArray(dims, cJSON_CreateNumber((double)array->dims[i]));
        if (chunk)
            cJSON_AddItemToArray(chunk, cJSON_CreateNumber((double)how->opts.chunk[i]));
    }
    cJSON_AddBoolToObject(root, "blocks", array->layout == SWG_CODEC_BLOCKS);
    cJSON_AddNumberToObject(root, "bound", bound);
    cJSON_AddNumberToObject(root, "memory", (double)b->memory_bytes);
    cJSON_AddNumberToObject(root, "offset", (double)b->half);
    cJSON_AddNumberToObject(root, "reps", least_reps(b, how->timed));
    cJSON_AddNumberToObject(root, "seconds", 2 * least_seconds(b, how->timed));
    return root;
}

static swg_status ask(swg__codec_bench *b, int peer, const swg_codec_array *array, const swg__codec_how *how, swg__codec_cell *cell) {
    swg__codec_result *r = &cell->peers[peer];
    if (b->talk.fd < 0 && !start_peers(b))
        return SWG_OK;
    cJSON *request = request_of(b, peer, array, how, cell->bound_abs);
    char *line = cJSON_PrintUnformatted(request);
    swg__text message;
    swg__text_init(&message, b->ctx);
    swg__text_printf(&message, "%s\n", line ? line : "");
    cJSON_free(line);
    cJSON_Delete(request);
    cJSON *answer = !message.failed && swg__talk_say(&b->talk, message.data) ? swg__talk_hear(&b->talk, b->opts.stop) : NULL;
    swg__text_free(&message);
    const char *error = cJSON_GetStringValue(cJSON_GetObjectItem(answer, "error")), *layout = cJSON_GetStringValue(cJSON_GetObjectItem(answer, "layout"));
    snprintf(r->failure, sizeof r->failure, "%s", !answer ? "its process ended" : error ? error : "");
    snprintf(r->layout, sizeof r->layout, "%s", layout ? layout : "");
    r->compress_ns = number(answer, "compress_ns");
    r->decompress_ns = number(answer, "decompress_ns");
    int64_t bytes = (int64_t)number(answer, "bytes");
    cJSON_Delete(answer);
    if (!answer)
        swg__talk_end(&b->talk);
    r->bytes = *r->failure ? 0 : bytes;
    return r->bytes ? judge(b, array, cell->bound_abs, r) : SWG_OK;
}

/* ---- a cell ---- */

swg_status swg__codec_measure(swg__codec_bench *b, const swg_codec_array *array, const swg__codec_how *how, swg__codec_cell cell) {
    if (b->opts.stop && *b->opts.stop)
        return swg__fail(b->ctx, SWG_EINTERRUPTED, "bench: interrupted");
    if (b->cell_count == b->cell_room) {
        int64_t room = b->cell_room ? 2 * b->cell_room : 64;
        swg__codec_cell *more = swg__grow(b->ctx, b->cells, (size_t)room * sizeof *more);
        if (!more)
            return swg__fail_memory(b->ctx, (size_t)room * sizeof *more, "cells");
        b->cells = more;
        b->cell_room = room;
    }
    if (b->opts.progress) {
        char text[128];
        snprintf(text, sizeof text, "%s: %s %s %g", swg__codec_table_name((int)cell.table), cell.data, cell.variant, cell.bound);
        b->opts.progress(b->opts.user, text);
    }
    cell.values = 1;
    for (int i = 0; i < array->ndim; i++)
        cell.values *= array->dims[i];
    cell.raw = cell.values * swg_element_bytes(array->type);
    SWG__TRY(ours(b, array, how, &cell));
    int asked = cell.table == SWG__CODEC_FIELDS ? SWG__CODEC_PEERS : SWG__CODEC_ZFP_EQUAL;
    for (int p = 0; p < asked && b->opts.peers && !how->no_peers && cell.bound_abs > 0 && strcmp(b->peer_version, "absent") != 0; p++)
        SWG__TRY(ask(b, p, array, how, &cell));
    b->cells[b->cell_count++] = cell;
    return SWG_OK;
}
