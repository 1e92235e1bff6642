/* compress.c - an HDF5 file into one that reads the same through the filter: large arrays compressed on all cores and written chunk by
 * chunk, everything else copied, all of it checked before the file gets its name.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "codec/encode.h"
#include "h5file/h5file.h"

enum { LEAST_BYTES = 4096, BATCH_BYTES = 64 << 20, BATCH_ARRAYS = 256 }; /* smaller arrays cost more than they save */

/* One array on its way from the old file into the new one. */
typedef struct piece {
    int64_t item, row;
    swg__h5_cut cut;
    void *values;            /* read, native; freed once it is cut */
    char *bricks;
    swg__encoded coded;
    uint32_t *words;
    size_t word_count;
    int blob[SWG__BLOBS], blobs;   /* models that are in the words */
    double seconds;
    swg_status status;
} piece;

typedef struct compress_job {
    swg_context *ctx;
    const char *input;
    const swg_archive_opts *opts;
    const swg_archive_hooks *hooks;
    swg_codec_model *own;
    const swg_codec_model *model;
    swg__h5_copier copier;
    swg__h5_tree tree;
    swg_sink *sink;
    swg_archive_report *report;
    piece *batch;
    int64_t batch_count, next;  /* arrays at hand; the first of them not yet written */
    int64_t rows, done, total;
} compress_job;

/* ---- which arrays ---- */

/* Names or paths separated by commas, with * and ?. */
static bool wanted(const char *patterns, const char *path) {
    const char *slash = strrchr(path, '/');
    for (const char *p = patterns; *p;) {
        char word[512];
        size_t length = strcspn(p, ",");
        int n = snprintf(word, sizeof word, "%.*s", (int)length, p + strspn(p, " "));
        while (n > 0 && (word[n - 1] == ' ' || word[n - 1] == ','))
            word[--n] = 0;
        if (swg__glob(word, path) || swg__glob(word, path + 1) || (slash && swg__glob(word, slash + 1)))
            return true;
        p += length + (p[length] == ',');
    }
    return false;
}

static int64_t take(compress_job *j) {
    const char *patterns = j->opts->source.vars ? j->opts->source.vars : "*";
    int64_t taken = 0;
    for (int64_t i = 0; i < j->tree.count; i++) { /* by any of its names */
        swg__h5_item *item = &j->tree.items[j->tree.items[i].kind == SWG__H5_AGAIN ? j->tree.items[i].first : i];
        const swg__h5_array *a = &item->array;
        if (!item->taken && item->is_array && !a->filtered && !a->scale && a->values * swg_element_bytes(a->type) >= LEAST_BYTES && wanted(patterns, j->tree.items[i].path)) {
            item->taken = true;
            taken++;
        }
    }
    return taken;
}

/* ---- one array ---- */

static void piece_free(swg_context *ctx, piece *p) {
    swg__encoded_free(&p->coded);
    swg__free(ctx, p->words);
    swg__free(ctx, p->bricks);
    swg__free(ctx, p->values);
    *p = (piece){0};
}

/* The filter's words, with the models that pay and find room there: the largest goes first. */
static swg_status filter_words(compress_job *j, piece *p, const swg__h5_array *a) {
    swg__header h = p->coded.header;
    swg__text section;
    swg__span payload = {0};
    swg__text_init(&section, j->ctx);
    const swg__model_pair models = swg__encoded_models(&p->coded);
    p->blobs = swg__encoded_choose(&p->coded, p->blob);
    while (p->blobs && swg__models_bytes(models, p->blob, p->blobs) - SWG__FRAME_BYTES > SWG__FILTER_MODEL_BYTES) {
        int largest = 0;
        for (int i = 1; i < p->blobs; i++)
            largest = swg__blob_cost(models, p->blob[i]) > swg__blob_cost(models, p->blob[largest]) ? i : largest;
        for (int i = largest; i + 1 < p->blobs; i++)
            p->blob[i] = p->blob[i + 1];
        p->blobs--;
    }
    if (p->blobs) {
        swg__models_write(models, p->blob, p->blobs, &section);
        payload = (swg__span){(const uint8_t *)section.data + SWG__FRAME_BYTES - 4, section.length - SWG__FRAME_BYTES};
    }
    h.ndim = p->cut.shape.ndim;
    h.layout = p->cut.shape.layout;
    h.axis_map = p->cut.shape.axis_map;
    h.source_order = a->big_endian;
    memcpy(h.dims, p->cut.shape.dims, sizeof h.dims);
    p->words = swg__alloc(j->ctx, SWG__FILTER_WORDS * sizeof *p->words);
    if (p->words && !section.failed)
        p->word_count = swg__filter_words(j->ctx, &h, swg__choice_of(0, j->opts->effort).effort, payload, p->words);
    swg__text_free(&section);
    return p->word_count ? SWG_OK : swg__fail_memory(j->ctx, SWG__FILTER_WORDS * sizeof *p->words, "filter parameters");
}

static swg_status encode(compress_job *j, piece *p) {
    const swg__h5_item *item = &j->tree.items[p->item];
    const swg__h5_array *a = &item->array;
    const size_t bytes = (size_t)swg_element_bytes(a->type);
    int64_t before = swg__now_ns(), values;
    if (swg__mul_overflow(p->cut.chunks, p->cut.chunk_values, &values) || values > INT64_MAX / 8)
        return swg__fail(j->ctx, SWG_ESHAPE, "%s: dataset \"%s\" is too large to address", j->input, item->path);
    p->bricks = swg__alloc(j->ctx, (size_t)values * bytes);
    if (!p->bricks)
        return swg__fail_memory(j->ctx, (size_t)values * bytes, item->path);
    swg__h5_gather(j->ctx, a, &p->cut, p->values, p->bricks);
    swg__free(j->ctx, p->values);
    p->values = NULL;
    /* Integers come back exactly: an index that is off by one is no index. */
    const swg__header *s = &p->cut.shape;
    const char *slash = strrchr(item->path, '/');
    swg_codec_opts opts = {.without = j->opts->without, .effort = j->opts->effort, .keep_chunk = true, .name = slash ? slash + 1 : item->path};
    if (swg__is_float(a->type)) {
        opts.bound = j->opts->bound;
        opts.value = j->opts->value;
        opts.has_range = j->opts->has_range;
        opts.range_min = j->opts->range_min;
        opts.range_max = j->opts->range_max;
        SWG__TRY(swg__archive_fill(j->ctx, item->path, a->type, a->has_fill ? &a->fill_bits : NULL, j->opts, &opts));
    }
    swg_codec_array bricks = {.type = a->type, .layout = s->layout, .ndim = s->ndim, .data = p->bricks};
    memcpy(bricks.dims, s->dims, sizeof bricks.dims);
    memcpy(opts.chunk, s->dims, sizeof opts.chunk);
    bricks.dims[0] *= p->cut.chunks; /* chunk behind chunk along the first axis */
    SWG__TRY(swg__encode_array(j->ctx, &bricks, &opts, j->model, &p->coded));
    SWG__TRY(filter_words(j, p, a));
    p->seconds = (double)(swg__now_ns() - before) * 1e-9;
    return SWG_OK;
}

static void encode_task(void *arg, int64_t task, int worker) {
    (void)worker;
    compress_job *j = arg;
    j->batch[task].status = encode(j, &j->batch[task]);
}

static swg_status read_values(compress_job *j, piece *p) {
    const swg__h5_item *item = &j->tree.items[p->item];
    const size_t bytes = (size_t)item->array.values * (size_t)swg_element_bytes(item->array.type);
    SWG__TRY(swg__h5_cut_make(j->ctx, &item->array, NULL, &p->cut));
    p->values = swg__alloc(j->ctx, bytes);
    if (!p->values)
        return swg__fail_memory(j->ctx, bytes, item->path);
    swg__h5 session;
    swg__h5_enter(&session);
    swg_status status = swg__h5_read_plain(j->ctx, j->input, j->copier.from, item->path, item->array.type, p->values);
    swg__h5_leave(&session);
    return status;
}

/* The next arrays from `item` on, together as large as is good for all threads. With a network one after the other: its encoder is not
 * to be called by several threads. */
static swg_status fill_batch(compress_job *j, int64_t item) {
    int64_t bytes = 0;
    j->batch_count = j->next = 0;
    for (; item < j->tree.count && j->batch_count < BATCH_ARRAYS && bytes < BATCH_BYTES; item++) {
        if (!j->tree.items[item].taken)
            continue;
        if (swg__archive_stopped(j->hooks))
            return swg__fail(j->ctx, SWG_EINTERRUPTED, "stopped");
        swg__archive_progress(j->hooks, j->done++, j->total, "", j->tree.items[item].path);
        piece *p = &j->batch[j->batch_count++];
        p->item = item;
        SWG__TRY(read_values(j, p));
        bytes += j->tree.items[item].array.values * swg_element_bytes(j->tree.items[item].array.type);
    }
    if (j->batch_count > 1 && !j->model)
        swg__parallel(j->ctx, j->batch_count, encode_task, j);
    else
        for (int64_t i = 0; i < j->batch_count; i++)
            encode_task(j, i, 0);
    for (int64_t i = 0; i < j->batch_count; i++)
        SWG__TRY(j->batch[i].status);
    return SWG_OK;
}

/* ---- writing ---- */

static void empty_batch(compress_job *j) {
    for (int64_t i = 0; i < j->batch_count; i++)
        piece_free(j->ctx, &j->batch[i]);
    j->batch_count = j->next = 0;
}

static hid_t make_dataset(const compress_job *j, const piece *p) {
    const swg__h5_item *item = &j->tree.items[p->item];
    hsize_t chunk[SWG__FILTER_AXES];
    for (int i = 0; i < item->array.rank; i++)
        chunk[i] = (hsize_t)p->cut.chunk[i];
    hid_t old = H5Dopen2(j->copier.from, item->path, H5P_DEFAULT), was = old >= 0 ? H5Dget_create_plist(old) : -1;
    hid_t space = old >= 0 ? H5Dget_space(old) : -1, list = was >= 0 ? swg__h5_list_like(was, &item->array, chunk) : -1, made = -1;
    if (list >= 0 && space >= 0 && H5Pset_filter(list, SWG__FILTER_ID, H5Z_FLAG_MANDATORY, p->word_count, p->words) >= 0)
        made = H5Dcreate2(j->copier.to, item->path, swg__h5_stored(item->array.type, item->array.big_endian), space, H5P_DEFAULT, list, H5P_DEFAULT);
    if (made < 0)
        (void)swg__h5_copy_fail(&j->copier, "make dataset", item->path);
    hid_t open[] = {list, space, was, old};
    int (*const shut[])(hid_t) = {H5Pclose, H5Sclose, H5Pclose, H5Dclose};
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        if (open[i] >= 0)
            shut[i](open[i]);
    return made;
}

/* Every chunk as its record, or as it stands where that is shorter. */
static swg_status write_chunks(compress_job *j, piece *p, hid_t dataset, swg_archive_row *row) {
    const swg__h5_item *item = &j->tree.items[p->item];
    const int bytes = swg_element_bytes(item->array.type);
    const size_t plain = (size_t)p->cut.chunk_values * (size_t)bytes;
    hsize_t origin[SWG__FILTER_AXES];
    for (int64_t i = 0; i < p->cut.chunks; i++) {
        const swg__form *form = swg__coded_form(&p->coded.chunk[i], &(swg__model_use){p->blob, p->blobs, false});
        const swg__text *record = &form->record;
        const swg__record_head *head = &form->head;
        char *brick = p->bricks + (size_t)i * plain;
        bool stored = record->length >= plain;
        if (stored && item->array.big_endian)
            swg__swap_bytes(brick, p->cut.chunk_values, bytes);
        swg__record_number((uint8_t *)record->data, record->length, 0); /* in HDF5 every chunk is alone */
        swg__h5_origin(&item->array, &p->cut, i, origin);
        if (H5Dwrite_chunk(dataset, H5P_DEFAULT, stored, origin, stored ? plain : record->length, stored ? brick : record->data) < 0)
            return swg__h5_copy_fail(&j->copier, "write to dataset", item->path);
        row->mode_chunks[stored ? SWG_MODE_STORED : swg__mode_of(head->mode, head->submode)]++;
        row->bytes_out += (int64_t)(stored ? plain : record->length);
        j->report->model_saved += stored ? 0 : (int64_t)(p->coded.chunk[i].plain.record.length - record->length);
    }
    return SWG_OK;
}

static swg_status write_array(compress_job *j, piece *p) {
    const swg__header *h = &p->coded.header;
    swg_archive_row *row = &j->report->rows[p->row = j->rows++];
    row->compress_s = p->seconds;
    row->bound = h->grid.eb;
    row->range_min = h->range_min;
    row->range_max = h->range_max;
    row->bytes_out = 4 * (int64_t)p->word_count;
    j->report->model_bytes += 4 * ((int64_t)p->word_count - SWG__FILTER_FIXED_WORDS);
    hid_t dataset = make_dataset(j, p);
    if (dataset < 0)
        return SWG_EIO; /* with a message */
    swg_status status = write_chunks(j, p, dataset, row);
    if (H5Dclose(dataset) < 0 && status == SWG_OK)
        status = swg__h5_copy_fail(&j->copier, "close dataset", j->tree.items[p->item].path);
    return status == SWG_OK ? swg__h5_copy_attributes(&j->copier, p->item) : status;
}

/* One object, in the order of the old file. */
static swg_status write_item(compress_job *j, int64_t i) {
    swg__h5 session;
    if (j->tree.items[i].taken && j->next == j->batch_count) {
        empty_batch(j);
        SWG__TRY(fill_batch(j, i));
    }
    swg__h5_enter(&session);
    swg_status status = j->tree.items[i].taken ? write_array(j, &j->batch[j->next]) : swg__h5_copy_item(&j->copier, i);
    swg__h5_leave(&session);
    if (j->tree.items[i].taken)
        piece_free(j->ctx, &j->batch[j->next++]);
    return status == SWG_OK ? swg__direct_check(j->sink) : status;
}

static swg_status write_all(compress_job *j, const char *path) {
    j->copier.to_path = path;
    SWG__TRY(swg__h5_copy_open(&j->copier, &j->sink));
    swg_status status = SWG_OK;
    for (int64_t i = 0; i < j->tree.count && status == SWG_OK; i++)
        status = write_item(j, i);
    empty_batch(j);
    if (status == SWG_OK) {
        swg__h5 session;
        swg__h5_enter(&session);
        status = swg__h5_copy_references(&j->copier);
        swg__h5_leave(&session);
    }
    if (status == SWG_OK)
        return swg_sink_commit(j->sink);
    swg_sink_abort(j->sink);
    return status;
}

/* ---- the file ---- */

/* A network is calibrated, and models are trained, on the arrays as the other commands read them. */
static swg_status open_models(compress_job *j) {
    swg_source *source;
    swg_source_opts opts = j->opts->source;
    opts.vars = opts.vars ? opts.vars : "*";
    SWG__TRY(swg_source_open(j->ctx, j->input, &opts, &source));
    swg_status status = swg__archive_models(j->ctx, source, j->opts, j->hooks, &j->own, &j->model);
    swg_source_close(source);
    return status;
}

static swg_status run(compress_job *j, const char *path, const char *unchecked) {
    int64_t taken = take(j);
    struct stat file;
    if (taken == 0)
        return swg__fail(j->ctx, SWG_ENOTFOUND, "%s: no dataset of numbers with %d bytes or more matches \"%s\"", j->input, LEAST_BYTES,
                         j->opts->source.vars ? j->opts->source.vars : "*");
    j->total = j->opts->no_check ? taken : 2 * taken;
    SWG__TRY(swg__h5_report_open(j->ctx, &j->tree, j->input, &j->report));
    j->model = j->opts->models;
    if (j->opts->model || j->opts->train)
        SWG__TRY(open_models(j));
    SWG__TRY(write_all(j, unchecked));
    swg_status status = j->opts->no_check ? SWG_OK : swg__h5_check(j->ctx, unchecked, j->input, &j->tree, j->hooks, j->done, j->report);
    if (status == SWG_OK || status == SWG_EBOUND) {
        j->report->file_bytes = stat(unchecked, &file) == 0 ? (int64_t)file.st_size : 0;
        swg__report_sum(j->report);
    }
    return status == SWG_OK ? swg__file_rename(j->ctx, unchecked, path) : status;
}

static swg_status open_input(compress_job *j) {
    swg__h5 session;
    swg__h5_enter(&session);
    swg_status status = swg__h5_open_file(j->ctx, j->input, &j->copier.from);
    if (status == SWG_OK)
        status = swg__h5_walk(j->ctx, j->input, j->copier.from, &j->tree);
    swg__h5_leave(&session);
    return status;
}

static void close_input(compress_job *j) {
    swg__h5 session;
    swg__h5_enter(&session);
    if (j->copier.from >= 0)
        H5Fclose(j->copier.from);
    swg__h5_leave(&session);
    swg__h5_tree_free(&j->tree);
}

swg_status swg_archive_compress_hdf5(swg_context *ctx, const char *input, const char *path, const swg_archive_opts *opts,
                                     const swg_archive_hooks *hooks, swg_archive_report **report) {
    compress_job j = {.ctx = ctx, .input = input, .opts = opts, .hooks = hooks};
    swg__text unchecked;
    if (report)
        *report = NULL;
    j.copier = (swg__h5_copier){.ctx = ctx, .from_path = input, .from = -1, .to = -1, .tree = &j.tree};
    SWG__TRY(swg__h5_check_output(ctx, path, input));
    swg__text_init(&unchecked, ctx);
    swg__text_printf(&unchecked, "%s.%ld.unchecked", path, (long)getpid());
    j.batch = swg__calloc(ctx, BATCH_ARRAYS, sizeof *j.batch);
    swg_status status = unchecked.failed || !j.batch ? swg__fail_memory(ctx, BATCH_ARRAYS * sizeof *j.batch, "arrays") : open_input(&j);
    if (status == SWG_OK)
        status = run(&j, path, unchecked.data);
    if (status == SWG_EINTERRUPTED)
        status = swg__fail(ctx, status, "stopped; nothing was written");
    if (status != SWG_OK && !unchecked.failed)
        unlink(unchecked.data);
    swg_codec_model_free(ctx, j.own);
    close_input(&j);
    swg__free(ctx, j.batch);
    swg__text_free(&unchecked);
    if (report && (status == SWG_OK || status == SWG_EBOUND))
        *report = j.report;
    else
        swg_archive_report_free(j.report);
    return status;
}
