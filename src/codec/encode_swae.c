/* encode_swae.c - mode B-SWAE on the chunks of a group: sampled, then tried in full where the sample says that it pays.
 * In: chunks with their plain forms, an autoencoder. Out: one more form of those that it makes shorter.
 * SPDX-License-Identifier: Apache-2.0 */
#include "encoding.h"
#include "mask.h"
#include "tiles.h"

enum {
    GROUP_TILES = 1 << 16,    /* tiles whose blocks are held at a time */
    SAMPLE_EVERY = 16         /* every so many tiles are tried before a chunk is given to the network */
};

/* Tiles of the chunks of a group in two arrays, so that the float encoder gets them in large calls. */
typedef struct batch {
    swg__tile_set *set;       /* of each chunk; count 0: none */
    float *blocks, *latents;
    int64_t count;            /* tiles */
} batch;

/* The work on a group. */
typedef struct network {
    swg__encoding *job;
    batch sample, all;        /* sample: a few tiles of every chunk; all: of the chunks where those promise a gain */
    bool *wanted;
} network;

/* Tiles of a chunk, 0 where mode B is not allowed. */
static int64_t tiles_of(const swg__encoding *j, int64_t index) {
    swg__chunk chunk = {0};
    swg__tiling tiling;
    int64_t origin[4];
    swg__layout_chunk(&j->out->layout, &j->out->header, index, origin, chunk.extent);
    chunk.count = chunk.extent[0] * chunk.extent[1] * chunk.extent[2] * chunk.extent[3];
    swg__tiling_make(&chunk, j->swae->net.edge, &tiling);
    return swg__tiling_allowed(&tiling, chunk.count) ? tiling.count : 0;
}

/* Room for tiles first, first + step, ... of the chunks for which `wanted` (NULL: all) is set. */
static swg_status open_batch(const swg__encoding *j, const bool *wanted, int64_t every, batch *out) {
    const swg__net *net = &j->swae->net;
    const size_t values = (size_t)net->edge * (size_t)net->edge * (size_t)net->edge;
    out->set = swg__calloc(j->ctx, (size_t)j->chunks, sizeof *out->set);
    if (!out->set)
        return swg__fail_memory(j->ctx, (size_t)j->chunks * sizeof *out->set, "tiles");
    for (int64_t i = 0; i < j->chunks; i++) {
        int64_t tiles = wanted && !wanted[i] ? 0 : tiles_of(j, swg__encoding_chunk(j, i));
        swg__tile_set *s = &out->set[i];
        s->step = tiles > every * 8 ? every : 1;
        s->first = s->step / 2;
        s->count = tiles ? (tiles - s->first + s->step - 1) / s->step : 0;
        out->count += s->count;
    }
    out->blocks = swg__alloc(j->ctx, (size_t)out->count * values * sizeof *out->blocks);
    out->latents = swg__alloc(j->ctx, (size_t)out->count * (size_t)net->latents * sizeof *out->latents);
    if (!out->blocks || !out->latents)
        return swg__fail_memory(j->ctx, (size_t)out->count * values * sizeof *out->blocks, "tiles");
    int64_t at = 0;
    for (int64_t i = 0; i < j->chunks; i++) {
        out->set[i].blocks = out->blocks + (size_t)at * values;
        out->set[i].latents = out->latents + at * net->latents;
        at += out->set[i].count;
    }
    return SWG_OK;
}

static void close_batch(swg_context *ctx, batch *b) {
    swg__free(ctx, b->latents);
    swg__free(ctx, b->blocks);
    swg__free(ctx, b->set);
}

/* Float encoder on a batch, in calls of bounded size. */
static swg_status run_encoder(const swg__swae *model, const batch *b) {
    const int64_t values = (int64_t)model->net.edge * model->net.edge * model->net.edge;
    for (int64_t i = 0; i < b->count; i += GROUP_TILES) {
        int64_t n = b->count - i < GROUP_TILES ? b->count - i : GROUP_TILES;
        pthread_mutex_lock(model->lock);
        swg_status status = model->encode(model->user, n, b->blocks + i * values, b->latents + i * model->net.latents);
        pthread_mutex_unlock(model->lock);
        SWG__TRY(status);
    }
    return SWG_OK;
}

static void estimate_network(void *arg, int64_t task, int worker) {
    (void)worker;
    const network *n = arg;
    const swg__encoding *j = n->job;
    const swg__coded *coded = &j->out->chunk[swg__encoding_chunk(j, task)];
    if (!n->sample.set[task].count || coded->plain.head.mode == SWG__MODE_C)
        return;
    swg__chunk chunk;
    int64_t bytes = 0;
    swg_status status = swg__encoding_open(j, swg__encoding_chunk(j, task), &chunk);
    if (status == SWG_OK)
        status = swg__tiles_estimate(&chunk, j->swae, &n->sample.set[task], &bytes);
    n->wanted[task] = status == SWG_OK && (double)bytes < 0.98 * (double)coded->plain.record.length;
    swg__chunk_drop(&chunk);
    j->status[task] = status;
}

static void normalise(const swg__encoding *j, const batch *b, int64_t task) {
    if (!b->set[task].count)
        return;
    swg__chunk chunk;
    swg__tiling tiling;
    j->status[task] = swg__encoding_open(j, swg__encoding_chunk(j, task), &chunk);
    if (j->status[task] == SWG_OK) {
        swg__tiling_make(&chunk, j->swae->net.edge, &tiling);
        swg__tiles_normalise(&chunk, &tiling, &b->set[task]);
    }
    swg__chunk_drop(&chunk);
}

static void normalise_sample(void *arg, int64_t task, int worker) {
    (void)worker;
    normalise(((network *)arg)->job, &((network *)arg)->sample, task);
}

static void normalise_all(void *arg, int64_t task, int worker) {
    (void)worker;
    normalise(((network *)arg)->job, &((network *)arg)->all, task);
}

static void code_network(void *arg, int64_t task, int worker) {
    (void)worker;
    const network *n = arg;
    const swg__encoding *j = n->job;
    int64_t index = swg__encoding_chunk(j, task);
    if (!n->all.set[task].count)
        return;
    swg__chunk chunk;
    swg__draft draft;
    swg__draft_init(&draft, j->ctx);
    swg_status status = swg__encoding_open(j, index, &chunk);
    if (status == SWG_OK)
        status = swg__tiles_encode(&chunk, j->swae, &n->all.set[task], &draft);
    if (status == SWG_OK)
        status = swg__mask_write(&chunk, chunk.mask, &draft);
    if (status == SWG_OK && (int64_t)swg__draft_bytes(&draft) < swg__coded_limit(&j->out->chunk[index]))
        status = swg__encoding_add(j, &chunk, index, j->swae_blob, &draft);
    swg__draft_free(&draft);
    swg__chunk_drop(&chunk);
    j->status[task] = status;
}

static swg_status run(network *n) {
    swg__encoding *j = n->job;
    n->wanted = swg__calloc(j->ctx, (size_t)j->chunks, sizeof *n->wanted);
    if (!n->wanted)
        return swg__fail_memory(j->ctx, (size_t)j->chunks * sizeof *n->wanted, "a group of chunks");
    SWG__TRY(open_batch(j, NULL, SAMPLE_EVERY, &n->sample));
    SWG__TRY(swg__encoding_step(j, normalise_sample, n));
    SWG__TRY(run_encoder(j->swae, &n->sample));
    SWG__TRY(swg__encoding_step(j, estimate_network, n));
    SWG__TRY(open_batch(j, n->wanted, 1, &n->all));
    SWG__TRY(swg__encoding_step(j, normalise_all, n));
    SWG__TRY(run_encoder(j->swae, &n->all));
    return swg__encoding_step(j, code_network, n);
}

swg_status swg__swae_code(swg__encoding *j) {
    network n = {.job = j};
    swg_status status = run(&n);
    close_batch(j->ctx, &n.all);
    close_batch(j->ctx, &n.sample);
    swg__free(j->ctx, n.wanted);
    return status;
}

int64_t swg__swae_group(const swg__encoding *j, int64_t most) {
    int64_t tiles = 0, chunks = 0;
    for (; chunks < most && tiles < GROUP_TILES; chunks++)
        tiles += tiles_of(j, swg__encoding_chunk(j, chunks));
    return chunks;
}
