/* read.c - chunks, boxes and members of an open .swz, decoded in parallel. Of a file only the records asked for are read; damaged chunks
 * are zero and named.
 * SPDX-License-Identifier: Apache-2.0 */
#include "context.h"
#include "filter.h"
#include "swz.h"

/* Decodes chunk `index` of a member into chunk->values, zeroed on failure. extent and count are set by the caller. */
static const char *decode_chunk(const swg_swz *swz, const swg__member *m, int64_t index, const swg__chunk *chunk) {
    swg__index_entry e;
    swg__record record;
    swg__piece piece;
    const size_t bytes = (size_t)chunk->count * (size_t)swg_element_bytes(chunk->grid.type);
    swg__index_read(m->index.data, index, &e);
    if (e.offset == 0 && e.record_bytes == 0) { /* a chunk never written: fill values, or zeros */
        swg__bits_store(chunk->grid.type, chunk->values, 0, chunk->fill.bits);
        swg__repeat_first(chunk);
        return NULL;
    }
    const char *why = swg__input_take(swz->input, m->offset + e.offset, e.record_bytes, &piece);
    if (!why)
        why = swg__record_parse(piece.span.data, piece.span.bytes, (uint32_t)chunk->count, (uint64_t)index, &record);
    if (!why && (record.head.crc != e.crc || record.head.mode != e.mode || record.head.submode != e.submode ||
                 record.head.flags != e.flags || memcmp(&record.head.max_ratio, &e.max_ratio, sizeof e.max_ratio) != 0))
        why = "record differs from its index entry";
    if (!why && record.head.model_ref != SWG__NO_MODEL && record.head.model_ref >= m->header.n_models)
        why = "model is not in the file"; /* nor one of those of the collection that its header counts */
    if (!why)
        why = swg__record_decode(chunk, m->own ? m->own : m->header.incompat & SWG__INCOMPAT_ENCLOSED ? swz->shared : NULL, &record);
    swg__piece_free(swz->input, &piece);
    if (why)
        memset(chunk->values, 0, bytes);
    return why;
}

static void open_chunk(const swg_swz *swz, const swg__member *m, int64_t index, int64_t origin[4], swg__chunk *chunk) {
    *chunk = (swg__chunk){.ctx = swz->ctx, .kernels = swg__codec_kernels_for(swz->ctx->isa), .grid = m->header.grid,
                          .fill = m->header.fill};
    swg__layout_chunk(&m->layout, &m->header, index, origin, chunk->extent);
    chunk->count = chunk->extent[0] * chunk->extent[1] * chunk->extent[2] * chunk->extent[3];
}

/* A part of the dataset, by coder axis, and the chunks it touches. */
typedef struct box {
    int64_t origin[4], extent[4], stride[4]; /* stride: of each axis in the box's own C order, in values */
    int64_t first[4], chunks[4];             /* places in the chunk grid */
    int64_t count;                           /* chunks */
    size_t bytes;
} box;

/* origin, extent: by dataset axis; NULL: everything. False: not inside the dataset. */
static bool box_make(const swg__member *m, const int64_t *origin, const int64_t *extent, box *b) {
    const swg__layout *l = &m->layout;
    const int unused = 4 - m->header.ndim;
    int64_t stride = 1;
    *b = (box){.count = 1};
    for (int axis = 3; axis >= 0; axis--) /* by dataset axis, last fastest */
        for (int i = 0; i < 4; i++) {
            if ((m->header.axis_map >> 2 * i & 3) != axis)
                continue;
            bool given = origin && axis >= unused;
            b->origin[i] = given ? origin[axis - unused] : 0;
            b->extent[i] = given ? extent[axis - unused] : l->dims[i];
            if (b->origin[i] < 0 || b->extent[i] < 1 || b->origin[i] > l->dims[i] - b->extent[i])
                return false;
            b->stride[i] = stride;
            stride *= b->extent[i];
            b->first[i] = b->origin[i] / l->chunk[i];
            b->chunks[i] = (b->origin[i] + b->extent[i] - 1) / l->chunk[i] - b->first[i] + 1;
            b->count *= b->chunks[i];
        }
    b->bytes = (size_t)stride * (size_t)swg_element_bytes(m->header.type);
    return true;
}

/* Number of the task-th chunk of a box in the chunk grid of its dataset. */
static int64_t box_chunk(const swg__member *m, const box *b, int64_t task) {
    int64_t number = 0, step = 1;
    for (int axis = 3; axis >= 0; axis--)
        for (int i = 0; i < 4; i++)
            if ((m->header.axis_map >> 2 * i & 3) == axis) {
                number += (b->first[i] + task % b->chunks[i]) * step;
                task /= b->chunks[i];
                step *= m->layout.chunks[i];
            }
    return number;
}

/* What of a dense chunk lies inside the box, to its place there. */
static void scatter(const box *b, const int64_t origin[4], const swg__chunk *chunk, char *out) {
    const size_t bytes = (size_t)swg_element_bytes(chunk->grid.type);
    int64_t low[4], high[4];
    for (int i = 0; i < 4; i++) {
        low[i] = origin[i] > b->origin[i] ? origin[i] : b->origin[i];
        high[i] = origin[i] + chunk->extent[i] < b->origin[i] + b->extent[i] ? origin[i] + chunk->extent[i] : b->origin[i] + b->extent[i];
    }
    for (int64_t w = low[0]; w < high[0]; w++)
        for (int64_t z = low[1]; z < high[1]; z++)
            for (int64_t y = low[2]; y < high[2]; y++) {
                const char *from = (const char *)chunk->values + (size_t)((((w - origin[0]) * chunk->extent[1] + z - origin[1]) * chunk->extent[2] +
                                                                           y - origin[2]) * chunk->extent[3] + low[3] - origin[3]) * bytes;
                int64_t at = (w - b->origin[0]) * b->stride[0] + (z - b->origin[1]) * b->stride[1] + (y - b->origin[2]) * b->stride[2] +
                             (low[3] - b->origin[3]) * b->stride[3];
                if (b->stride[3] == 1) {
                    memcpy(out + (size_t)at * bytes, from, (size_t)(high[3] - low[3]) * bytes);
                    continue;
                }
                for (int64_t x = low[3]; x < high[3]; x++, from += bytes, at += b->stride[3])
                    memcpy(out + (size_t)at * bytes, from, bytes);
            }
}

/* A box of a member and where it goes. */
typedef struct part {
    const swg__member *m;
    box box;
    char *out;               /* NULL: check only */
    int64_t first;           /* number of its first chunk among those of all parts */
} part;

typedef struct read_job {
    const swg_swz *swz;
    part *part;
    int64_t parts, chunks;
    const char **why;        /* of each chunk */
} read_job;

static const part *part_of(const read_job *job, int64_t task) {
    int64_t low = 0, high = job->parts;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (job->part[middle].first <= task)
            low = middle;
        else
            high = middle;
    }
    return &job->part[low];
}

static void read_one(void *arg, int64_t task, int worker) {
    (void)worker;
    read_job *job = arg;
    const part *p = part_of(job, task);
    swg__chunk chunk;
    int64_t origin[4], index = box_chunk(p->m, &p->box, task - p->first);
    open_chunk(job->swz, p->m, index, origin, &chunk);
    chunk.values = swg__alloc(job->swz->ctx, (size_t)chunk.count * (size_t)swg_element_bytes(chunk.grid.type));
    if (!chunk.values) {
        job->why[task] = swg__why_memory;
        return;
    }
    job->why[task] = decode_chunk(job->swz, p->m, index, &chunk);
    if (p->out)
        scatter(&p->box, origin, &chunk, p->out);
    swg__free(job->swz->ctx, chunk.values);
}

static swg_status fail_chunk(const swg_swz *swz, const swg__member *m, int64_t index, const char *why) {
    swg_status status = why == swg__why_memory ? SWG_ENOMEM : why == swg__why_io ? SWG_EIO :
                        why == swg__why_unsupported ? SWG_EUNSUPPORTED : SWG_ECORRUPT;
    return swg__fail(swz->ctx, status, "%s%s%s%schunk %lld: %s", m->source, *m->source ? " " : "", m->name, *m->name ? " " : "", (long long)index, why);
}

/* Chunks of all parts in parallel. damaged: of each part whether a chunk could not be decoded; may be NULL. */
static swg_status read_parts(const swg_swz *swz, part *parts, int64_t count, bool *damaged) {
    read_job job = {.swz = swz, .part = parts, .parts = count};
    for (int64_t i = 0; i < count; i++) {
        parts[i].first = job.chunks;
        job.chunks += parts[i].box.count;
    }
    job.why = swg__calloc(swz->ctx, (size_t)job.chunks, sizeof *job.why);
    if (!job.why)
        return swg__fail_memory(swz->ctx, (size_t)job.chunks * sizeof *job.why, "chunks");
    swg__parallel(swz->ctx, job.chunks, read_one, &job);
    swg_status status = SWG_OK;
    for (int64_t i = 0; i < count; i++) {
        bool whole = true;
        for (int64_t k = 0; k < parts[i].box.count; k++) {
            const char *why = job.why[parts[i].first + k];
            if (why && status == SWG_OK)
                status = fail_chunk(swz, parts[i].m, box_chunk(parts[i].m, &parts[i].box, k), why);
            whole = whole && !why;
        }
        if (damaged)
            damaged[i] = !whole;
    }
    swg__free(swz->ctx, job.why);
    return status;
}

static swg_status check_member(const swg_swz *swz, int64_t index) {
    if (index >= 0 && index < swz->count)
        return SWG_OK;
    return swg__fail(swz->ctx, SWG_EINVAL, "member %lld of %lld does not exist", (long long)index, (long long)swz->count);
}

swg_status swg_swz_read_box(const swg_swz *swz, int64_t index, const int64_t *origin, const int64_t *extent, void *out, size_t bytes) {
    SWG__TRY(check_member(swz, index));
    part p = {.m = &swz->members[index], .out = out};
    if (!box_make(p.m, origin, extent, &p.box))
        return swg__fail(swz->ctx, SWG_EINVAL, "the box is empty or not inside \"%s\"", p.m->name);
    if (bytes != p.box.bytes)
        return swg__fail(swz->ctx, SWG_ESHAPE, "%zu bytes given for a box of %zu", bytes, p.box.bytes);
    return read_parts(swz, &p, 1, NULL);
}

swg_status swg_swz_read(const swg_swz *swz, int64_t index, void *out, size_t bytes) {
    return swg_swz_read_box(swz, index, NULL, NULL, out, bytes);
}

swg_status swg_swz_read_many(const swg_swz *swz, int64_t count, const int64_t *members, void *const *out, bool *damaged) {
    for (int64_t i = 0; i < count; i++)
        SWG__TRY(check_member(swz, members[i]));
    if (count < 1)
        return SWG_OK;
    part *parts = swg__calloc(swz->ctx, (size_t)count, sizeof *parts);
    if (!parts)
        return swg__fail_memory(swz->ctx, (size_t)count * sizeof *parts, "members");
    for (int64_t i = 0; i < count; i++) {
        parts[i] = (part){.m = &swz->members[members[i]], .out = out[i]};
        (void)box_make(parts[i].m, NULL, NULL, &parts[i].box);
    }
    swg_status status = read_parts(swz, parts, count, damaged);
    swg__free(swz->ctx, parts);
    return status;
}

swg_status swg_swz_verify(const swg_swz *swz, int64_t index) {
    SWG__TRY(check_member(swz, index));
    part p = {.m = &swz->members[index]};
    (void)box_make(p.m, NULL, NULL, &p.box);
    return read_parts(swz, &p, 1, NULL);
}

swg_status swg_swz_read_chunk(const swg_swz *swz, int64_t index, int64_t number, void *out, size_t bytes, int64_t origin[4],
                              int64_t extent[4]) {
    SWG__TRY(check_member(swz, index));
    const swg__member *m = &swz->members[index];
    if (number < 0 || number >= m->layout.count)
        return swg__fail(swz->ctx, SWG_EINVAL, "chunk %lld of %lld does not exist", (long long)number, (long long)m->layout.count);
    swg__chunk chunk;
    int64_t from[4], corner[4] = {0, 0, 0, 0}, extents[4] = {1, 1, 1, 1};
    open_chunk(swz, m, number, from, &chunk);
    for (int i = 0; i < 4; i++) {
        int axis = (m->header.axis_map >> 2 * i & 3) - (4 - m->header.ndim);
        if (axis >= 0) {
            corner[axis] = from[i];
            extents[axis] = chunk.extent[i];
        }
    }
    if (origin)
        memcpy(origin, corner, sizeof corner);
    if (extent)
        memcpy(extent, extents, sizeof extents);
    return swg_swz_read_box(swz, index, corner, extents, out, bytes);
}

const char *swg__decode_alone(swg_context *ctx, const swg__header *header, const swg__layout *layout, const swg_codec_model *m, swg__span bytes,
                              void *out) {
    static const int64_t corner[4] = {0, 0, 0, 0};
    const size_t size = (size_t)layout->values * (size_t)swg_element_bytes(header->type);
    const swg__member whole = {.header = *header, .layout = *layout};
    box all;
    swg__chunk chunk = {.ctx = ctx, .kernels = swg__codec_kernels_for(ctx->isa), .grid = header->grid, .fill = header->fill, .count = layout->values};
    swg__record record;
    memcpy(chunk.extent, layout->dims, sizeof chunk.extent);
    memset(out, 0, size);
    const char *why = swg__record_parse(bytes.data, bytes.bytes, (uint32_t)chunk.count, 0, &record);
    if (why)
        return why;
    bool direct = header->axis_map == SWG__IDENTITY_MAP;
    chunk.values = direct ? out : swg__alloc(ctx, size);
    if (!chunk.values)
        return swg__why_memory;
    why = swg__record_decode(&chunk, m, &record);
    if (direct) {
        if (why)
            memset(out, 0, size);
        return why;
    }
    if (!why && box_make(&whole, NULL, NULL, &all))
        scatter(&all, corner, &chunk, out);
    swg__free(ctx, chunk.values);
    return why;
}
