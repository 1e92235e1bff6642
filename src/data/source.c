/* source.c - finds the arrays in a file or folder: which layout, which variables, whether every file has them; reads them.
 * In: a path and options. Out: swg_array descriptions and their values.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "listing.h"
#include "source.h"

enum { BLOCK_SIDE_MIN = 3, BLOCK_SIDE_MAX = 9, LIST_TEXT = 600 };
enum { LAYOUT_AUTO = -1 };

struct swg_source {
    swg_context *ctx;
    swg__arena arena;         /* every string and list below */
    const char **files;
    int64_t file_count;
    swg_array *arrays;
    int64_t count, capacity;
    const char **variables;
    int64_t variable_count, variable_capacity;
    char **patterns;
    bool *matched;            /* per pattern */
    int64_t pattern_count;
    int layout;               /* LAYOUT_AUTO or a swg_layout */
    bool skip_missing, any;
    swg__text present;        /* names of all variables seen, for the message of a pattern without a match */
    hid_t handle;             /* the file read last */
    int64_t handle_file;      /* its index, -1 none */
    hid_t dataset;            /* of that file, kept open between parts of an array */
    const char *dataset_path; /* NULL: none is open */
};

/* ---- options ---- */

static swg_status parse_layout(swg_source *source, const char *word) {
    source->layout = LAYOUT_AUTO;
    if (!word || strcmp(word, "auto") == 0)
        return SWG_OK;
    for (int layout = SWG_LAYOUT_VARS; layout <= SWG_LAYOUT_GRID; layout++) {
        if (strcmp(word, swg_layout_name((swg_layout)layout)) == 0) {
            source->layout = layout;
            return SWG_OK;
        }
    }
    return swg__fail(source->ctx, SWG_EINVAL, "data.layout=%s: expected auto, vars, blocks or grid", word);
}

static swg_status parse_patterns(swg_source *source, const char *list) {
    char *copy = swg__arena_strdup(&source->arena, list);
    int64_t commas = 0;
    for (const char *p = list; *p; p++)
        commas += *p == ',';
    source->patterns = swg__arena_alloc(&source->arena, (size_t)(commas + 1) * sizeof *source->patterns);
    source->matched = swg__arena_alloc(&source->arena, (size_t)(commas + 1) * sizeof *source->matched);
    if (!copy || !source->patterns || !source->matched)
        return swg__fail_memory(source->ctx, strlen(list), "data.vars");
    for (char *next = copy; next;) {
        char *word = next;
        next = strchr(word, ',');
        if (next)
            *next++ = 0;
        word += strspn(word, " ");
        size_t length = strlen(word);
        while (length && word[length - 1] == ' ')
            word[--length] = 0;
        if (!length)
            return swg__fail(source->ctx, SWG_EINVAL, "data.vars=\"%s\": an empty pattern; write names or globs separated by commas", list);
        source->patterns[source->pattern_count++] = word;
    }
    return SWG_OK;
}

/* *strict: a pattern that is more than a bare "*" matches, so the array is meant. */
static bool match(const swg_source *source, const char *name, bool *strict) {
    bool any = false;
    *strict = false;
    for (int64_t i = 0; i < source->pattern_count; i++) {
        if (swg__glob(source->patterns[i], name)) {
            any = true;
            *strict |= strcmp(source->patterns[i], "*") != 0;
        }
    }
    return any;
}

static bool ends_with(const char *text, const char *end) {
    size_t a = strlen(text), b = strlen(end);
    return a > b && strcmp(text + a - b, end) == 0;
}

static swg_status list_files(swg_source *source, const char *path) {
    swg_context *ctx = source->ctx;
    char **names = NULL;
    size_t count = 0;
    swg_status status = SWG_OK;
    if (!swg__is_folder(path)) {
        source->files = swg__arena_alloc(&source->arena, sizeof *source->files);
        char *copy = swg__arena_strdup(&source->arena, path);
        if (!source->files || !copy)
            return swg__fail_memory(ctx, strlen(path), path);
        source->files[0] = copy;
        source->file_count = 1;
        return SWG_OK;
    }
    SWG__TRY(swg__list_folder(ctx, path, &names, &count));
    source->files = swg__arena_alloc(&source->arena, (count + 1) * sizeof *source->files);
    if (!source->files)
        status = swg__fail_memory(ctx, count * sizeof *source->files, path);
    for (size_t i = 0; status == SWG_OK && i < count; i++) {
        if (names[i][0] == '.' || !(ends_with(names[i], ".h5") || ends_with(names[i], ".hdf5")))
            continue;
        size_t bytes = strlen(path) + strlen(names[i]) + 2;
        char *file = swg__arena_alloc(&source->arena, bytes);
        if (!file) {
            status = swg__fail_memory(ctx, bytes, path);
            break;
        }
        snprintf(file, bytes, "%s%s%s", path, ends_with(path, "/") ? "" : "/", names[i]);
        source->files[source->file_count++] = file;
    }
    swg__list_free(ctx, names, count);
    if (status == SWG_OK && source->file_count == 0)
        status = swg__fail(ctx, SWG_ENOTFOUND, "%s: the folder holds no *.h5 or *.hdf5 file", path);
    return status;
}

/* ---- the arrays of one file ---- */

static const swg__dataset *find(const swg__listing *listing, const char *path) {
    for (int64_t i = 0; i < listing->count; i++)
        if (strcmp(listing->items[i].path, path) == 0)
            return &listing->items[i];
    return NULL;
}

static bool is_cube(const int64_t *dims) {
    return dims[0] == dims[1] && dims[1] == dims[2] && dims[0] >= BLOCK_SIDE_MIN && dims[0] <= BLOCK_SIDE_MAX;
}

/* Rank and shape fit one of the two layouts with a dataset per variable (an empty array too: it is complained about later). */
/* wide: swg_source_opts.any, and the dataset was named by another pattern than "*". */
static bool fits(const swg__dataset *item, swg_layout layout, bool wide) {
    if (layout == SWG_LAYOUT_GRID)
        return item->rank == 3 || (wide && item->rank >= 1 && item->rank <= 4 && !(item->rank == 4 && is_cube(item->dims + 1)));
    return layout == SWG_LAYOUT_BLOCKS && item->rank == 4 && is_cube(item->dims + 1);
}

static swg_status intern_variable(swg_source *source, const char *name, int64_t *index) {
    for (int64_t i = 0; i < source->variable_count; i++) {
        if (strcmp(source->variables[i], name) == 0) {
            *index = i;
            return SWG_OK;
        }
    }
    if (source->variable_count == source->variable_capacity) {
        int64_t larger = source->variable_capacity ? 2 * source->variable_capacity : 32;
        const char **grown = swg__arena_alloc(&source->arena, (size_t)larger * sizeof *grown);
        if (!grown)
            return swg__fail_memory(source->ctx, (size_t)larger * sizeof *grown, "the list of variables");
        if (source->variable_count)
            memcpy(grown, source->variables, (size_t)source->variable_count * sizeof *grown);
        source->variables = grown;
        source->variable_capacity = larger;
    }
    *index = source->variable_count;
    source->variables[source->variable_count++] = name;
    return SWG_OK;
}

/* Adds an array whose rank and shape are right; type, emptiness and duplicates are checked here. */
static swg_status add_array(swg_source *source, int64_t file_index, const swg__dataset *item, const char *variable, swg_layout layout,
                            int64_t row, bool wide) {
    swg_context *ctx = source->ctx;
    const char *file = source->files[file_index];
    if (!item->is_float && !(wide && item->is_integer))
        return swg__fail(ctx, SWG_EDTYPE, "%s: dataset \"%s\" is %s; only f32 and f64 are read", file, item->path, item->type);
    swg_array array = {.file = file, .path = item->path, .variable = variable, .layout = layout, .element = item->element,
                       .big_endian = item->big_endian, .has_time = item->has_time, .time = item->time, .file_index = file_index, .row = row,
                       .fill = item->fill, .fill_bits = item->fill_bits};
    int skipped = layout == SWG_LAYOUT_VARS; /* the first axis of var_data is the variable */
    array.ndim = item->rank - skipped;
    array.count = 1;
    for (int i = 0; i < array.ndim; i++) {
        array.dims[i] = item->dims[i + skipped];
        if (array.dims[i] == 0) {
            char dims[128];
            swg__dims_describe(item->rank, item->dims, dims, sizeof dims);
            return swg__fail(ctx, SWG_ESHAPE, "%s: dataset \"%s\" %s is empty: %s", file, item->path, dims,
                             layout == SWG_LAYOUT_GRID ? "an axis of 0 values" : "0 blocks");
        }
        if (swg__mul_overflow(array.count, array.dims[i], &array.count) || array.count > INT64_MAX / 8)
            return swg__fail(ctx, SWG_ESHAPE, "%s: dataset \"%s\" is too large to address", file, item->path);
    }
    for (int64_t i = source->count; i-- > 0 && source->arrays[i].file_index == file_index;)
        if (strcmp(source->arrays[i].variable, variable) == 0)
            return swg__fail(ctx, SWG_EFORMAT, "%s: variable \"%s\" is there twice (%s, %s); name one of them in data.vars or rename it", file,
                             variable, source->arrays[i].path, item->path);
    SWG__TRY(intern_variable(source, variable, &array.variable_index));
    for (int64_t i = 0; i < source->pattern_count; i++)
        source->matched[i] |= swg__glob(source->patterns[i], variable);
    if (source->count == source->capacity) {
        int64_t larger = source->capacity ? 2 * source->capacity : 64;
        swg_array *grown = swg__grow(ctx, source->arrays, (size_t)larger * sizeof *grown);
        if (!grown)
            return swg__fail_memory(ctx, (size_t)larger * sizeof *grown, "the list of arrays");
        source->arrays = grown;
        source->capacity = larger;
    }
    source->arrays[source->count++] = array;
    return SWG_OK;
}

static void note_present(swg_source *source, const char *name) {
    swg__text *list = &source->present;
    size_t length = strlen(name);
    for (const char *at = list->data; at && (at = strstr(at, name)); at++)
        if ((at == list->data || at[-1] == ' ') && (at[length] == ',' || at[length] == 0))
            return;
    if (list->length < LIST_TEXT)
        swg__text_printf(list, "%s%s", list->length ? ", " : "", name);
}

static swg_status add_vars(swg_source *source, int64_t file_index, hid_t handle, const swg__dataset *data) {
    swg_context *ctx = source->ctx;
    const char *file = source->files[file_index], **names;
    char dims[128];
    int64_t count;
    swg__dims_describe(data->rank, data->dims, dims, sizeof dims);
    if (data->rank != 5 || !is_cube(data->dims + 2))
        return swg__fail(ctx, SWG_ESHAPE, "%s: dataset \"var_data\" is %s; expected (variables, blocks, n, n, n) with n in %d..%d", file, dims,
                         BLOCK_SIDE_MIN, BLOCK_SIDE_MAX);
    SWG__TRY(swg__h5_strings(ctx, &source->arena, file, handle, "vars", &names, &count));
    if (count != data->dims[0])
        return swg__fail(ctx, SWG_ESHAPE, "%s: dataset \"vars\" names %lld variables but \"var_data\" is %s: %lld", file, (long long)count, dims,
                         (long long)data->dims[0]);
    bool strict;
    for (int64_t i = 0; i < count; i++) {
        if (!*names[i])
            return swg__fail(ctx, SWG_EFORMAT, "%s: entry %lld of \"vars\" is empty", file, (long long)i);
        note_present(source, names[i]);
        if (match(source, names[i], &strict))
            SWG__TRY(add_array(source, file_index, data, names[i], SWG_LAYOUT_VARS, i, source->any && strict));
    }
    return SWG_OK;
}

/* The one layout of a file. */
static swg_status detect(swg_source *source, const char *file, const swg__listing *listing, swg_layout *layout, bool *found) {
    const char *example[3] = {NULL, NULL, NULL};
    bool strict;
    if (find(listing, "vars") && find(listing, "var_data"))
        example[SWG_LAYOUT_VARS] = "var_data";
    for (int64_t i = 0; i < listing->count; i++)
        for (int l = SWG_LAYOUT_BLOCKS; l <= SWG_LAYOUT_GRID; l++)
            if (!example[l] && match(source, listing->items[i].name, &strict) && fits(&listing->items[i], (swg_layout)l, source->any && strict))
                example[l] = listing->items[i].path;
    *found = false;
    for (int l = SWG_LAYOUT_VARS; l <= SWG_LAYOUT_GRID; l++) {
        if (!example[l] || (source->layout != LAYOUT_AUTO && source->layout != l))
            continue;
        if (*found)
            return swg__fail(source->ctx, SWG_EFORMAT,
                             "%s: holds two layouts, %s (dataset \"%s\") and %s (dataset \"%s\"); choose with data.layout=%s or data.layout=%s (compress: --layout)", file,
                             swg_layout_name(*layout), example[*layout], swg_layout_name((swg_layout)l), example[l],
                             swg_layout_name(*layout), swg_layout_name((swg_layout)l));
        *found = true;
        *layout = (swg_layout)l;
    }
    return SWG_OK;
}

/* A dataset that was asked for by name but fits no layout is an error, not something to step over. */
static swg_status refuse_misfit(swg_source *source, const char *file, const swg__dataset *item) {
    char dims[128];
    swg__dims_describe(item->rank, item->dims, dims, sizeof dims);
    if (item->rank == 4)
        return swg__fail(source->ctx, SWG_ESHAPE, "%s: dataset \"%s\" is %s; the last three axes of blocks must be equal and in %d..%d", file,
                         item->path, dims, BLOCK_SIDE_MIN, BLOCK_SIDE_MAX);
    return swg__fail(source->ctx, SWG_ESHAPE, "%s: dataset \"%s\" has %d axes %s; expected 3 (nz, ny, nx) or 4 (blocks, n, n, n)", file,
                     item->path, item->rank, dims);
}

static swg_status add_file(swg_source *source, int64_t file_index, hid_t handle) {
    const char *file = source->files[file_index];
    swg__listing listing;
    SWG__TRY(swg__h5_list(source->ctx, &source->arena, file, handle, &listing));
    swg_layout layout = SWG_LAYOUT_GRID;
    bool found, strict;
    SWG__TRY(detect(source, file, &listing, &layout, &found));
    if (found && layout == SWG_LAYOUT_VARS)
        return add_vars(source, file_index, handle, find(&listing, "var_data"));
    int64_t before = source->count;
    bool usable = false;
    for (int64_t i = 0; i < listing.count; i++) {
        const swg__dataset *item = &listing.items[i];
        bool matched = match(source, item->name, &strict), wide = source->any && strict;
        bool shaped = fits(item, SWG_LAYOUT_BLOCKS, wide) || fits(item, SWG_LAYOUT_GRID, wide);
        usable |= shaped && (item->is_float || wide);
        if (shaped)
            note_present(source, item->name);
        if (!matched)
            continue;
        if (found && fits(item, layout, wide)) {
            SWG__TRY(add_array(source, file_index, item, item->name, layout, 0, wide));
        } else if (!shaped && (strict || item->rank == 4)) {
            return refuse_misfit(source, file, item);
        }
    }
    if (source->count > before || usable || source->skip_missing)
        return SWG_OK; /* a file with other variables only is judged when all files are known */
    char text[LIST_TEXT];
    swg__listing_describe(&listing, text, sizeof text);
    return swg__fail(source->ctx, SWG_EFORMAT, "%s: no usable dataset (vars + var_data, (blocks, n, n, n) or (nz, ny, nx) of f32 or f64); %s", file,
                     text);
}

/* ---- what all files together must satisfy ---- */

static swg_status check_patterns(swg_source *source, const char *path) {
    for (int64_t i = 0; i < source->pattern_count; i++)
        if (!source->matched[i])
            return swg__fail(source->ctx, SWG_ENOTFOUND, "%s: data.vars: nothing matches \"%s\"; present: %s", path, source->patterns[i],
                             source->present.length ? source->present.data : "no array");
    if (source->count == 0)
        return swg__fail(source->ctx, SWG_EFORMAT, "%s: no usable dataset with layout %s", path,
                         source->layout == LAYOUT_AUTO ? "vars, blocks or grid" : swg_layout_name((swg_layout)source->layout));
    return SWG_OK;
}

static swg_status check_missing(swg_source *source) {
    int64_t skipped_files = 0, skipped_variables = 0;
    uint8_t *seen = swg__calloc(source->ctx, (size_t)source->variable_count, (size_t)source->file_count);
    if (!seen)
        return swg__fail_memory(source->ctx, (size_t)source->variable_count * (size_t)source->file_count, "the table of variables and files");
    for (int64_t i = 0; i < source->count; i++)
        seen[source->arrays[i].variable_index * source->file_count + source->arrays[i].file_index] = 1;
    swg_status status = SWG_OK;
    for (int64_t v = 0; status == SWG_OK && v < source->variable_count; v++) {
        int64_t missing = -1;
        for (int64_t f = 0; f < source->file_count; f++) {
            if (!seen[v * source->file_count + f]) {
                missing = missing < 0 ? f : missing;
                skipped_files++;
            }
        }
        skipped_variables += missing >= 0;
        if (missing >= 0 && !source->skip_missing)
            status = swg__fail(source->ctx, SWG_ENOTFOUND, "%s: variable \"%s\" is missing but other files have it; data.missing=skip (compress: --skip-missing) takes the files "
                               "that have it", source->files[missing], source->variables[v]);
    }
    swg__free(source->ctx, seen);
    if (status == SWG_OK && skipped_files)
        swg__log(source->ctx, SWG_LOG_WARNING, "data.missing=skip: %lld of %lld variables are missing in some files (%lld arrays in all)",
                 (long long)skipped_variables, (long long)source->variable_count, (long long)skipped_files);
    return status;
}

/* ---- public ---- */

static swg_status fill(swg_source *source, const char *path, const swg_source_opts *opts) {
    SWG__TRY(parse_layout(source, opts->layout));
    SWG__TRY(parse_patterns(source, opts->vars ? opts->vars : "U_*"));
    if (opts->missing && strcmp(opts->missing, "skip") != 0 && strcmp(opts->missing, "error") != 0)
        return swg__fail(source->ctx, SWG_EINVAL, "data.missing=%s: expected error or skip", opts->missing);
    source->any = opts->any;
    source->skip_missing = opts->missing && strcmp(opts->missing, "skip") == 0;
    SWG__TRY(list_files(source, path));
    for (int64_t i = 0; i < source->file_count; i++) {
        swg__h5 session;
        hid_t handle;
        swg__h5_enter(&session);
        swg_status status = swg__h5_open(source->ctx, source->files[i], &handle);
        if (status == SWG_OK) {
            status = add_file(source, i, handle);
            H5Fclose(handle);
        }
        swg__h5_leave(&session);
        SWG__TRY(status);
    }
    if (source->present.failed)
        return swg__fail_memory(source->ctx, LIST_TEXT, "the list of names");
    SWG__TRY(check_patterns(source, path));
    return check_missing(source);
}

swg_status swg_source_open(swg_context *ctx, const char *path, const swg_source_opts *opts, swg_source **out) {
    *out = NULL;
    if (!path || !*path)
        return swg__fail(ctx, SWG_EINVAL, "data.path is empty; give an HDF5 file or a folder of *.h5 and *.hdf5 files");
    swg_source *source = swg__calloc(ctx, 1, sizeof *source);
    if (!source)
        return swg__fail_memory(ctx, sizeof *source, "a source");
    source->ctx = ctx;
    source->handle_file = -1;
    swg__arena_init(&source->arena, ctx);
    swg__text_init(&source->present, ctx);
    swg_status status = fill(source, path, opts ? opts : &(swg_source_opts){0});
    if (status != SWG_OK) {
        swg_source_close(source);
        return status;
    }
    *out = source;
    return SWG_OK;
}

static void close_dataset(swg_source *source) {
    if (source->dataset_path)
        H5Dclose(source->dataset);
    source->dataset_path = NULL;
}

static void close_handle(swg_source *source) {
    close_dataset(source);
    if (source->handle_file >= 0)
        H5Fclose(source->handle);
    source->handle_file = -1;
}

void swg_source_close(swg_source *source) {
    if (!source)
        return;
    if (source->handle_file >= 0) {
        swg__h5 session;
        swg__h5_enter(&session);
        close_handle(source);
        swg__h5_leave(&session);
    }
    swg__text_free(&source->present);
    swg__free(source->ctx, source->arrays);
    swg__arena_free(&source->arena);
    swg__free(source->ctx, source);
}

int64_t swg_source_count(const swg_source *source) { return source->count; }

const swg_array *swg_source_array(const swg_source *source, int64_t index) {
    return index >= 0 && index < source->count ? &source->arrays[index] : NULL;
}

int64_t swg_source_files(const swg_source *source) { return source->file_count; }

const char *swg_source_file(const swg_source *source, int64_t index) {
    return index >= 0 && index < source->file_count ? source->files[index] : NULL;
}

int64_t swg_source_variables(const swg_source *source) { return source->variable_count; }

const char *swg_source_variable(const swg_source *source, int64_t index) {
    return index >= 0 && index < source->variable_count ? source->variables[index] : NULL;
}

/* ---- reading ---- */

enum { CACHE_MOST = 64 << 20, CACHE_SLOTS = 4099 };

/* Bytes of the inflated chunks that a part touches, wherever it begins; 0 for a contiguous dataset. */
static size_t touched_bytes(hid_t dataset, int rank, const hsize_t *extent, const hsize_t *dims) {
    hid_t list = H5Dget_create_plist(dataset);
    hsize_t chunk[5];
    double bytes = 0;
    if (list >= 0 && H5Pget_layout(list) == H5D_CHUNKED && H5Pget_chunk(list, rank, chunk) == rank) {
        bytes = sizeof(double);
        for (int i = 0; i < rank; i++) {
            hsize_t chunks = (extent[i] - 1) / chunk[i] + 2, all = (dims[i] - 1) / chunk[i] + 1;
            bytes *= (double)(chunks < all ? chunks : all) * (double)chunk[i];
        }
    }
    if (list >= 0)
        H5Pclose(list);
    return bytes < CACHE_MOST ? (size_t)bytes : CACHE_MOST;
}

/* Opens the array's dataset, if it is not the open one, and checks it: a file that was rewritten meanwhile must not overrun the caller's
 * buffer. */
static swg_status open_dataset(swg_source *source, const swg_array *array, int rank, const hsize_t *extent) {
    int skipped = array->layout == SWG_LAYOUT_VARS;
    hsize_t dims[5] = {0};
    if (source->dataset_path == array->path)
        return SWG_OK;
    close_dataset(source);
    hid_t dataset = H5Dopen2(source->handle, array->path, H5P_DEFAULT), space = dataset >= 0 ? H5Dget_space(dataset) : -1;
    bool same = space >= 0 && H5Sget_simple_extent_ndims(space) == rank && H5Sget_simple_extent_dims(space, dims, NULL) == rank;
    for (int i = 0; i < array->ndim; i++)
        same = same && dims[i + skipped] == (hsize_t)array->dims[i];
    same = same && (!skipped || (hsize_t)array->row < dims[0]);
    if (space >= 0)
        H5Sclose(space);
    size_t bytes = same ? touched_bytes(dataset, rank, extent, dims) : 0;
    if (bytes) { /* the room for chunks is given when a dataset is opened */
        hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
        H5Dclose(dataset);
        H5Pset_chunk_cache(access, CACHE_SLOTS, bytes, 1);
        dataset = H5Dopen2(source->handle, array->path, access);
        H5Pclose(access);
        same = dataset >= 0;
    }
    if (!same) {
        if (dataset >= 0)
            H5Dclose(dataset);
        return swg__fail(source->ctx, SWG_EIO, "%s: dataset \"%s\" changed after the file was opened", array->file, array->path);
    }
    source->dataset = dataset;
    source->dataset_path = array->path;
    return SWG_OK;
}

static swg_status read_array(swg_source *source, const swg_array *array, const int64_t *from, const int64_t *count, void *buffer) {
    int skipped = array->layout == SWG_LAYOUT_VARS, rank = array->ndim + skipped;
    hsize_t start[5] = {0}, extent[5] = {0};
    for (int i = 0; i < array->ndim; i++) {
        start[i + skipped] = (hsize_t)from[i];
        extent[i + skipped] = (hsize_t)count[i];
    }
    if (skipped) {
        start[0] = (hsize_t)array->row;
        extent[0] = 1;
    }
    SWG__TRY(open_dataset(source, array, rank, extent));
    char what[400];
    snprintf(what, sizeof what, "cannot read dataset \"%.300s\"", array->path);
    hid_t file_space = H5Dget_space(source->dataset), memory_space = H5Screate_simple(rank, extent, NULL);
    swg_status status = SWG_OK;
    if (file_space < 0 || memory_space < 0 || H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start, NULL, extent, NULL) < 0 ||
        H5Dread(source->dataset, swg__h5_native(array->element), memory_space, file_space, H5P_DEFAULT, buffer) < 0)
        status = swg__h5_fail(source->ctx, SWG_EIO, array->file, what);
    if (memory_space >= 0)
        H5Sclose(memory_space);
    if (file_space >= 0)
        H5Sclose(file_space);
    return status;
}

swg_status swg__source_read_part(swg_source *source, int64_t index, const int64_t *first, const int64_t *extent, void *buffer) {
    const swg_array *array = swg_source_array(source, index);
    if (!array)
        return swg__fail(source->ctx, SWG_EINVAL, "array %lld: the source has %lld", (long long)index, (long long)source->count);
    swg__h5 session;
    swg__h5_enter(&session);
    swg_status status = SWG_OK;
    if (source->handle_file != array->file_index) {
        close_handle(source);
        status = swg__h5_open(source->ctx, array->file, &source->handle);
        if (status == SWG_OK)
            source->handle_file = array->file_index;
    }
    if (status == SWG_OK)
        status = read_array(source, array, first, extent, buffer);
    swg__h5_leave(&session);
    return status;
}

/* Nothing stays open but the file: whoever reads whole arrays may read each many times, and they may have changed. */
swg_status swg_source_read(swg_source *source, int64_t index, void *buffer) {
    static const int64_t zero[4] = {0};
    const swg_array *array = swg_source_array(source, index);
    swg_status status = swg__source_read_part(source, index, zero, array ? array->dims : zero, buffer);
    if (source->dataset_path) {
        swg__h5 session;
        swg__h5_enter(&session);
        close_dataset(source);
        swg__h5_leave(&session);
    }
    return status;
}
