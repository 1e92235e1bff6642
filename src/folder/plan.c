/* plan.c - cuts arrays into pieces and gathers them into batches; the shell around a block; the identity of a model.
 * In: a list of arrays and the rules of cutting. Out: what is read and computed together, and memory for it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "folder/folder.h"

static const char *const shells[] = {[SWG__SHELL_TILE] = "tile", [SWG__SHELL_KEEP] = "keep", [SWG__SHELL_NONE] = "none"};

swg_status swg__shell_parse(swg_context *ctx, const char *word, swg__shell *out) {
    for (int i = SWG__SHELL_TILE; i <= SWG__SHELL_NONE; i++)
        if (strcmp(word ? word : "tile", shells[i]) == 0) {
            *out = (swg__shell)i;
            return SWG_OK;
        }
    return swg__fail(ctx, SWG_EUSAGE, "shell %s: expected tile, keep or none", word);
}

const char *swg__shell_name(swg__shell shell) { return shells[shell]; }

const char *swg__base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- the shell ---- */

int64_t swg__shell_values(const swg__job *job, const swg_array *array) {
    if (array->ndim != 4 || job->shell != SWG__SHELL_KEEP)
        return 0;
    return array->dims[1] * array->dims[2] * array->dims[3] - job->volume;
}

/* Calls for each value outside the middle block: its index in the item. */
static int64_t next_outside(int64_t at, int64_t n, int64_t edge) {
    const int64_t first = (n - edge) / 2, last = first + edge;
    for (; at < n * n * n; at++) {
        int64_t z = at / (n * n), y = at / n % n, x = at % n;
        if (z < first || z >= last || y < first || y >= last || x < first || x >= last)
            break;
    }
    return at;
}

static double value_at(swg_element element, const void *values, int64_t i) {
    return element == SWG_ELEMENT_F32 ? (double)((const float *)values)[i] : ((const double *)values)[i];
}

static void set_value(swg_element element, void *values, int64_t i, double value) {
    if (element == SWG_ELEMENT_F32)
        ((float *)values)[i] = (float)value;
    else
        ((double *)values)[i] = value;
}

void swg__shell_take(const swg__job *job, const swg_array *array, const void *item, swg_element to, void *shell) {
    int64_t n = array->dims[1], at = 0;
    for (int64_t i = 0; i < swg__shell_values(job, array); i++, at++) {
        at = next_outside(at, n, job->rules.edge);
        set_value(to, shell, i, value_at(array->element, item, at));
    }
}

void swg__shell_give(const swg__job *job, const swg_array *array, swg_element from, const void *shell, swg_element to, void *item) {
    int64_t n = array->dims[1], at = 0;
    for (int64_t i = 0; i < swg__shell_values(job, array); i++, at++) {
        at = next_outside(at, n, job->rules.edge);
        set_value(to, item, at, value_at(from, shell, i));
    }
}

void swg__convert(swg_element from, const void *in, swg_element to, void *out, int64_t count) {
    if (from == to)
        memcpy(out, in, (size_t)(count * swg_element_bytes(from)));
    else
        for (int64_t i = 0; i < count; i++)
            set_value(to, out, i, value_at(from, in, i));
}

/* ---- pieces and batches ---- */

typedef struct plan {
    swg__job *job;
    int64_t piece_capacity, batch_capacity;
    swg__batch batch;           /* being filled */
} plan;

static swg_status close_batch(plan *p) {
    swg__job *job = p->job;
    if (!p->batch.pieces)
        return SWG_OK;
    if (job->batch_count == p->batch_capacity) {
        p->batch_capacity = 2 * p->batch_capacity + 16;
        swg__batch *grown = swg__grow(job->ctx, job->batches, (size_t)p->batch_capacity * sizeof *grown);
        if (!grown)
            return swg__fail_memory(job->ctx, (size_t)p->batch_capacity * sizeof *grown, "the list of batches");
        job->batches = grown;
    }
    job->batches[job->batch_count++] = p->batch;
    job->most_blocks = p->batch.blocks > job->most_blocks ? p->batch.blocks : job->most_blocks;
    job->most_bytes = p->batch.bytes > job->most_bytes ? p->batch.bytes : job->most_bytes;
    p->batch = (swg__batch){.first = job->piece_count};
    return SWG_OK;
}

static swg_status add_piece(plan *p, int64_t index, int64_t first, int64_t rows) {
    swg__job *job = p->job;
    const swg_array *array = job->arrays[index];
    if (job->piece_count == p->piece_capacity) {
        p->piece_capacity = 2 * p->piece_capacity + 64;
        swg__piece *grown = swg__grow(job->ctx, job->pieces, (size_t)p->piece_capacity * sizeof *grown);
        if (!grown)
            return swg__fail_memory(job->ctx, (size_t)p->piece_capacity * sizeof *grown, "the list of pieces");
        job->pieces = grown;
    }
    swg__piece *piece = &job->pieces[job->piece_count++];
    *piece = (swg__piece){.array = index, .first = first, .rows = rows, .block = p->batch.blocks, .at = p->batch.bytes};
    int64_t dims[4];
    memcpy(dims, array->dims, sizeof dims);
    dims[0] = rows;
    SWG__TRY(swg_blocks_plan(job->ctx, array->ndim, dims, job->rules.cut, job->rules.edge, &piece->blocks));
    int64_t bytes = array->count / array->dims[0] * rows * swg_element_bytes(array->element);
    p->batch.blocks += piece->blocks.count;
    p->batch.bytes += (bytes + 63) / 64 * 64;
    p->batch.pieces++;
    job->total += piece->blocks.count;
    return SWG_OK;
}

/* Pieces of one array: as much as the batch has room for, but at least an item or a layer of blocks. */
static swg_status cut_array(plan *p, int64_t index) {
    swg__job *job = p->job;
    const swg_array *array = job->arrays[index];
    swg_blocks blocks;
    SWG__TRY(swg__block_plan(job->ctx, array, &job->rules, &blocks));
    bool grid = array->ndim == 3;
    const int64_t unit_rows = grid ? job->rules.edge : 1, unit_blocks = blocks.tiles[1] * blocks.tiles[2] * (grid ? 1 : blocks.tiles[0]);
    for (int64_t first = 0; first < array->dims[0];) {
        int64_t room = (job->opts.batch - p->batch.blocks) / unit_blocks;
        if (room < 1 && p->batch.pieces) {
            SWG__TRY(close_batch(p));
            continue;
        }
        int64_t rows = (room < 1 ? 1 : room) * unit_rows, left = array->dims[0] - first;
        SWG__TRY(add_piece(p, index, first, rows < left ? rows : left));
        first += rows;
    }
    return SWG_OK;
}

/* var_data holds items of one shape only. */
static swg_status check_items(swg__job *job) {
    const swg_array *example = NULL;
    job->data_element = SWG_ELEMENT_F32;
    for (int64_t v = 0; v < job->variable_count; v++)
        job->variables[v].element = SWG_ELEMENT_F32;
    for (int64_t a = 0; a < job->array_count; a++) {
        const swg_array *array = job->arrays[a];
        swg__folder_variable *v = &job->variables[array->variable_index];
        if (array->element == SWG_ELEMENT_F64)
            v->element = SWG_ELEMENT_F64;
        if (array->ndim != 4)
            continue;
        if (array->element == SWG_ELEMENT_F64)
            job->data_element = SWG_ELEMENT_F64;
        if (example && example->dims[1] != array->dims[1])
            return swg__fail(job->ctx, SWG_ESHAPE, "mixed shapes: blocks of \"%s\" in %s have %lld values per axis, those of \"%s\" in %s %lld; encode the "
                             "files apart", example->variable, example->file, (long long)example->dims[1], array->variable, array->file,
                             (long long)array->dims[1]);
        example = array;
        v->items += array->dims[0];
        v->item = array->dims[1];
        job->layout_rows = v->items > job->layout_rows ? v->items : job->layout_rows;
    }
    job->item = example ? example->dims[1] : 0;
    return SWG_OK;
}

static swg_status allocate(swg__job *job) {
    swg_context *ctx = job->ctx;
    size_t blocks = (size_t)job->most_blocks, pieces = 1;
    for (int64_t b = 0; b < job->batch_count; b++)
        pieces = (size_t)job->batches[b].pieces > pieces ? (size_t)job->batches[b].pieces : pieces;
    job->piece_of = swg__alloc(ctx, blocks * sizeof *job->piece_of);
    job->dense = swg__alloc(ctx, blocks * sizeof *job->dense);
    job->side = swg__calloc(ctx, blocks, sizeof *job->side);
    job->x = swg__alloc(ctx, blocks * (size_t)job->volume * sizeof *job->x);
    job->z = swg__alloc(ctx, blocks * (size_t)job->latent * sizeof *job->z);
    job->shells = swg__calloc(ctx, pieces, sizeof *job->shells);
    job->rows = swg__calloc(ctx, pieces, sizeof *job->rows);
    job->targets = swg__calloc(ctx, (size_t)job->array_count, sizeof *job->targets);
    if (!job->opts.latents_only)
        job->blocks = swg__alloc(ctx, blocks * (size_t)job->volume * sizeof(double));
    if (!job->piece_of || !job->dense || !job->side || !job->x || !job->z || !job->shells || !job->rows || !job->targets ||
        (!job->opts.latents_only && !job->blocks))
        return swg__fail_memory(ctx, blocks * (size_t)job->volume * 12, "a batch of blocks");
    return SWG_OK;
}

void swg__job_sides(swg__job *job) {
    const swg_swae *network = swg_model_network(job->model);
    const swg_norm *norm = swg_model_norm(job->model);
    job->volume = network->input;
    job->latent = network->latent;
    int64_t side_bytes = swg_norm_side_bytes(norm, SWG_ELEMENT_F32);
    job->has_offset = side_bytes >= (int64_t)sizeof(float);
    job->has_exponent = side_bytes % (int64_t)sizeof(float) != 0;
}

swg_status swg__job_plan(swg__job *job) {
    swg__job_sides(job);
    if (!job->opts.batch)
        job->opts.batch = SWG_FOLDER_BATCH;
    SWG__TRY(check_items(job));
    plan p = {.job = job};
    for (int64_t a = 0; a < job->array_count; a++)
        SWG__TRY(cut_array(&p, a));
    SWG__TRY(close_batch(&p));
    return allocate(job);
}

void swg__job_release(swg__job *job) {
    swg_context *ctx = job->ctx;
    for (int64_t v = 0; job->variables && v < job->variable_count; v++)
        swg_compare_close(job->variables[v].compare);
    void *const all[] = {job->pieces, job->batches, job->piece_of, job->dense, job->side, job->x, job->z, job->blocks, (void *)job->shells, job->rows,
                         job->targets, job->variables, (void *)job->arrays};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        swg__free(ctx, all[i]);
}

/* ---- identity of a model ---- */

static void hex_of(const uint8_t digest[32], char hex[SWG__HASH_CHARS]) {
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

static void add_tensor(swg__text *text, const char *name, int ndim, const int64_t *shape, const void *values) {
    char hex[SWG__HASH_CHARS];
    uint8_t digest[32];
    size_t count = 1;
    swg__text_puts(text, name);
    for (int i = 0; i < ndim; i++) {
        swg__text_printf(text, " %lld", (long long)shape[i]);
        count *= (size_t)shape[i];
    }
    swg__sha256(values, count * sizeof(float), digest);
    hex_of(digest, hex);
    swg__text_printf(text, " %s\n", hex);
}

swg_status swg__model_hash(swg_context *ctx, swg_model *model, char hex[SWG__HASH_CHARS]) {
    swg_weights *w = swg_model_weights(model);
    const swg_norm *norm = swg_model_norm(model);
    int64_t length = swg_norm_json(norm, NULL, 0);
    char *json = length >= 0 ? swg__alloc(ctx, (size_t)length + 1) : NULL;
    swg__text text;
    swg__text_init(&text, ctx);
    if (json) {
        swg_norm_json(norm, json, length + 1);
        swg__text_printf(&text, "edge %lld latent %lld norm %s\n", (long long)swg_model_edge(model), (long long)swg_model_network(model)->latent, json);
        for (int i = 0; i < swg_weights_count(w); i++)
            add_tensor(&text, swg_weights_name(w, i), swg_weights_ndim(w, i), swg_weights_shape(w, i), swg_weights_value(w, i));
        for (int i = 0; i < swg_weights_states(w); i++)
            add_tensor(&text, swg_weights_state_name(w, i), swg_weights_state_ndim(w, i), swg_weights_state_shape(w, i), swg_weights_state(w, i));
    }
    bool good = json && !text.failed;
    if (good) {
        uint8_t digest[32];
        swg__sha256(text.data, text.length, digest);
        hex_of(digest, hex);
    }
    swg__text_free(&text);
    swg__free(ctx, json);
    return good ? SWG_OK : swg__fail_memory(ctx, 0, "the hash of a model");
}

void swg__model_arch(swg_model *model, char *text, size_t capacity) {
    static const char *const keys[] = {"model.name", "model.hidden", "model.act"};
    size_t used = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *value = swg_config_text(swg_model_config(model), keys[i]);
        int n = value ? snprintf(text + used, capacity - used, "%s%s", i ? " " : "swae/", value) : 0;
        if (n > 0 && used + (size_t)n < capacity)
            used += (size_t)n;
    }
    text[used] = 0;
}
