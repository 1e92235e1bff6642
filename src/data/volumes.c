/* volumes.c - opens a data set of stacks: reads its table, looks into every file, prepares what training needs.
 * In: paths or arrays, and rules. Out: items, samples, parts, a digest of all.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "data/volumes_inside.h"

/* ---- words and numbers ---- */

/* Index of `word` among the space-separated `words`; NULL is the first. */
static swg_status choose(swg_context *ctx, const char *key, const char *word, const char *words, int *out) {
    *out = 0;
    for (const char *at = words; word && *at; (*out)++) {
        const size_t length = strcspn(at, " ");
        if (strlen(word) == length && memcmp(at, word, length) == 0)
            return SWG_OK;
        at += length + (at[length] == ' ');
    }
    return word ? swg__fail(ctx, SWG_EINVAL, "%s=%s: expected one of: %s", key, word, words) : SWG_OK;
}

static swg_status read_augment(swg__volumes *v, const char *words) {
    v->augment = 0;
    if (!words || strcmp(words, "none") == 0)
        return SWG_OK;
    while (*words) {
        char word[24];
        int index;
        const size_t length = strcspn(words, ",");
        snprintf(word, sizeof word, "%.*s", length < sizeof word ? (int)length : (int)sizeof word - 1, words);
        SWG__TRY(choose(v->ctx, "data.augment", word, SWG__VOLUMES_AUGMENT_WORDS, &index));
        v->augment |= 1u << index;
        words += length + (words[length] == ',');
    }
    return SWG_OK;
}

static swg_status read_patch(swg__volumes *v, const swg__volumes_opts *opts) {
    static const char axes[] = "zyx";
    const bool none = !opts->patch[0] && !opts->patch[1] && !opts->patch[2];
    for (int i = 0; i < 3; i++)
        v->patch[i] = none ? 0 : i == 0 && v->dims == 2 ? 1 : opts->patch[i];
    if (v->dims == 2 && opts->patch[0] > 1)
        return swg__fail(v->ctx, SWG_EINVAL, "data.patch: %lld planes in a 2-D experiment", (long long)opts->patch[0]);
    for (int i = 0; !none && i < 3; i++)
        if (v->patch[i] < 1 || v->patch[i] > 1 << 16)
            return swg__fail(v->ctx, SWG_EINVAL, "data.patch: %lld along %c: expected 1 to 65536", (long long)v->patch[i], axes[i]);
    return SWG_OK;
}

/* The folder of the cache: with "disk", ".swage-cache" beside the table if none is given. Arrays are not cached on disk. */
static swg_status choose_folder(swg__volumes *v, const swg__volumes_opts *opts) {
    const char *given = opts->cache_dir, *path = opts->path ? opts->path : "", *slash = strrchr(path, '/');
    char beside[4096];
    if (v->cache == SWG__CACHE_NONE || opts->array_count || (!given && v->cache != SWG__CACHE_DISK))
        return SWG_OK;
    const bool folder = swg__is_folder(path);
    snprintf(beside, sizeof beside, "%.*s%s.swage-cache", folder ? (int)strlen(path) : slash ? (int)(slash - path) + 1 : 0, path, folder ? "/" : "");
    v->cache_dir = swg__arena_strdup(&v->arena, given ? given : beside);
    return v->cache_dir ? swg__make_folders(v->ctx, v->cache_dir) : swg__fail_memory(v->ctx, strlen(path), "the folder of prepared images");
}

static swg_status read_opts(swg__volumes *v, const swg__volumes_opts *opts) {
    int nonfinite;
    v->use = opts->use;
    v->dims = opts->dims ? opts->dims : 3;
    v->plane = opts->has_plane ? opts->plane : -1;
    v->crops = opts->crops ? opts->crops : 1;
    if (v->dims != 2 && v->dims != 3)
        return swg__fail(v->ctx, SWG_EINVAL, "model.spatial_dims=%d: expected 2 or 3", v->dims);
    if (v->crops < 1 || v->crops > 1 << 20)
        return swg__fail(v->ctx, SWG_EINVAL, "data.crops=%lld: expected 1 to 1048576", (long long)v->crops);
    if (opts->target_count < 0 || opts->target_count > SWG__VOLUME_TARGETS)
        return swg__fail(v->ctx, SWG_EINVAL, "data.target: %d keys; %d are the most", opts->target_count, SWG__VOLUME_TARGETS);
    SWG__TRY(read_patch(v, opts));
    SWG__TRY(choose(v->ctx, "data.nonfinite", opts->nonfinite, SWG__VOLUMES_NONFINITE_WORDS, &nonfinite));
    v->zero_nonfinite = nonfinite == 1;
    SWG__TRY(choose(v->ctx, "data.pad", opts->pad, SWG__VOLUMES_PAD_WORDS, &v->pad));
    SWG__TRY(choose(v->ctx, "data.cache", opts->cache, SWG__VOLUMES_CACHE_WORDS, &v->cache));
    SWG__TRY(read_augment(v, opts->augment));
    SWG__TRY(choose_folder(v, opts));
    v->keys = v->use == SWG__VOLUMES_PREDICT ? 1 : 1 + opts->target_count;
    SWG__TRY(swg__volume_key_parse(v->ctx, "data.source", opts->source, &v->key[0]));
    for (int k = 1; k < v->keys; k++)
        SWG__TRY(swg__volume_key_parse(v->ctx, "data.target", opts->targets[k - 1], &v->key[k]));
    return SWG_OK;
}

static void tell(const swg__volumes_opts *opts, const char *format, ...) SWG__PRINTF(2, 3);
static void tell(const swg__volumes_opts *opts, const char *format, ...) {
    char text[1200];
    va_list args;
    if (!opts->note)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    opts->note(opts->note_user, text);
}

/* ---- entries ---- */

/* What a row says of a key, over what the key says. */
static swg__volume_entry entry_of(const swg__volumes *v, const swg__volume_row *row, int k) {
    swg__volume_entry e = {.path = row->path[k], .array = row->array[k], .array_row = row->array_row[k], .key = v->key[k], .y = row->y, .x = row->x};
    if (row->t.kind != SWG__PICK_DEFAULT)
        e.key.t = row->t;
    else if (e.key.t.kind == SWG__PICK_DEFAULT)
        e.key.t = v->key[0].t;
    if (row->z.kind != SWG__PICK_DEFAULT)
        e.key.z = row->z;
    if (row->channel && !*e.key.channel && strcmp(e.key.column, v->key[0].column) == 0)
        snprintf(e.key.channel, sizeof e.key.channel, "%s", row->channel);
    return e;
}

static swg_status place_failure(const swg__volumes *v, const swg__volume_row *row, int key, swg_status status, const char *message) {
    char place[512], text[1024];
    snprintf(text, sizeof text, "%s", message ? message : "out of memory"); /* may be the context's own */
    swg__volumes_place(v, row, key, place, sizeof place);
    return swg__fail(v->ctx, status, "%s%s", place, text);
}

/* Frames of a row: those of its source; a target has as many, or one for all. */
static swg_status count_frames(const swg__volumes *v, const swg__volume_row *row, int64_t first[], int64_t count[]) {
    for (int k = 0; k < v->keys; k++) {
        const swg__volume_entry e = entry_of(v, row, k);
        first[k] = e.key.t.kind == SWG__PICK_RANGE ? e.key.t.first : 0;
        count[k] = e.key.t.kind == SWG__PICK_RANGE ? e.key.t.last - e.key.t.first + 1 : 1;
        swg_status status = e.key.t.kind == SWG__PICK_ALL ? swg__volume_frames(v, &e, &count[k]) : SWG_OK;
        if (status != SWG_OK)
            return place_failure(v, row, k, status, swg__own_message());
        if (count[k] > 1 << 20)
            return place_failure(v, row, k, SWG_EINVAL, "more than 1048576 frames");
        if (count[k] != count[0] && count[k] != 1) {
            char text[160];
            snprintf(text, sizeof text, "%lld frames; the source has %lld", (long long)count[k], (long long)count[0]);
            return place_failure(v, row, k, SWG_EINVAL, text);
        }
    }
    return SWG_OK;
}

static swg_status describe_entry(swg__volumes *v, swg__volume_entry *e) {
    char prefix[1024];
    swg__text text;
    swg__text_init(&text, v->ctx);
    swg__volume_prefix_text(&e->key, prefix, sizeof prefix);
    swg__text_printf(&text, "1 dims=%d plane=%lld nonfinite=%s", v->dims, v->dims == 2 ? (long long)v->plane : -1LL, v->zero_nonfinite ? "zero" : "error");
    if (e->y.kind == SWG__PICK_RANGE)
        swg__text_printf(&text, " y=%lld:%lld", (long long)e->y.first, (long long)e->y.last);
    if (e->x.kind == SWG__PICK_RANGE)
        swg__text_printf(&text, " x=%lld:%lld", (long long)e->x.first, (long long)e->x.last);
    swg__text_puts(&text, prefix);
    e->text = text.failed ? NULL : swg__arena_strdup(&v->arena, text.data);
    swg__text_free(&text);
    return e->text ? SWG_OK : swg__fail_memory(v->ctx, sizeof prefix, "a prepared image");
}

/* The source's file name without folder and endings, "_t4" behind it for one of several frames. */
static const char *stem_of(swg__volumes *v, const swg__volume_row *row, int64_t frame, bool several) {
    char stem[256], name[300], number[32] = "";
    const char *path = row->path[0];
    const char *colon = strrchr(path, ':'), *last = path; /* "a/cells.h5:/raw": slashes behind the colon are of the dataset */
    for (const char *p = path; *p && p != colon; p++)
        last = *p == '/' ? p + 1 : last;
    snprintf(stem, sizeof stem, "%.240s", last);
    if (row->array[0])
        snprintf(stem, sizeof stem, "image_%lld", (long long)row->number);
    static const char *const endings[] = {".tif", ".tiff", ".png", ".npy", ".ome"}; /* .ome last: "a.ome.tif" */
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t length = strlen(stem), tail = strlen(endings[i]);
        if (length > tail && strcasecmp(stem + length - tail, endings[i]) == 0)
            stem[length - tail] = 0;
    }
    if (several)
        snprintf(number, sizeof number, "_t%lld", (long long)frame);
    swg__file_name(stem, name, 256);
    strcat(name, number);
    return swg__arena_strdup(&v->arena, name);
}

static int by_stem(const void *a, const void *b) {
    const swg__volume_item *x = *(swg__volume_item *const *)a, *y = *(swg__volume_item *const *)b;
    const int order = strcmp(x->about.stem, y->about.stem);
    return order ? order : (x > y) - (x < y);
}

/* Items that share a stem get their place in the list behind it, all but the first. */
static swg_status part_stems(swg__volumes *v) {
    swg__volume_item **order = swg__alloc(v->ctx, (size_t)v->item_count * sizeof *order);
    swg_status status = order ? SWG_OK : swg__fail_memory(v->ctx, (size_t)v->item_count * sizeof *order, "the list of images");
    for (bool again = true; status == SWG_OK && again;) {
        again = false;
        for (int64_t i = 0; i < v->item_count; i++)
            order[i] = &v->items[i];
        qsort(order, (size_t)v->item_count, sizeof *order, by_stem);
        const char *kept = order[0]->about.stem;
        for (int64_t i = 1; status == SWG_OK && i < v->item_count; i++) {
            char text[400];
            if (strcmp(kept, order[i]->about.stem) != 0) {
                kept = order[i]->about.stem;
                continue;
            }
            snprintf(text, sizeof text, "%s_%lld", order[i]->about.stem, (long long)(order[i] - v->items) + 1);
            again = true;
            if (!(order[i]->about.stem = swg__arena_strdup(&v->arena, text)))
                status = swg__fail_memory(v->ctx, sizeof text, "the list of images");
        }
    }
    swg__free(v->ctx, order);
    return status;
}

static int compare_entries(const swg__volume_entry *x, const swg__volume_entry *y) {
    int order = strcmp(x->identity, y->identity);
    order = order ? order : (x->array > y->array) - (x->array < y->array);
    order = order ? order : (x->array_row > y->array_row) - (x->array_row < y->array_row);
    return order ? order : strcmp(x->text, y->text);
}

static int by_entry(const void *a, const void *b) {
    const swg__volume_entry *x = *(swg__volume_entry *const *)a, *y = *(swg__volume_entry *const *)b;
    const int order = compare_entries(x, y);
    return order ? order : (x > y) - (x < y);
}

/* What is prepared alike from one file is one entry: mae's target, a file in several rows. */
static swg_status share_entries(swg__volumes *v, swg__volume_entry *all, int64_t count) {
    swg__volume_entry **order = swg__alloc(v->ctx, (size_t)count * sizeof *order);
    int64_t *leader = swg__alloc(v->ctx, (size_t)count * sizeof *leader);
    v->entries = swg__calloc(v->ctx, (size_t)count, sizeof *v->entries);
    swg_status status = order && leader && v->entries ? SWG_OK : swg__fail_memory(v->ctx, (size_t)count * sizeof *v->entries, "the list of images");
    for (int64_t i = 0; status == SWG_OK && i < count; i++)
        order[i] = &all[i];
    if (status == SWG_OK)
        qsort(order, (size_t)count, sizeof *order, by_entry);
    for (int64_t i = 0; status == SWG_OK && i < count; i++) /* the first of equal ones leads */
        leader[order[i] - all] = i && compare_entries(order[i - 1], order[i]) == 0 ? leader[order[i - 1] - all] : order[i] - all;
    for (int64_t i = 0; status == SWG_OK && i < count; i++) {
        if (leader[i] == i) {
            v->entries[v->entry_count] = all[i];
            leader[i] = v->entry_count++;
        } else {
            leader[i] = leader[leader[i]]; /* settled before: it stands before this one */
        }
        v->items[i / v->keys].entry[i % v->keys] = &v->entries[leader[i]];
    }
    swg__free(v->ctx, order);
    swg__free(v->ctx, leader);
    return status;
}

/* Items and their entries; fills all (items x keys), when that is not NULL. */
static swg_status list_items(swg__volumes *v, swg__volume_entry *all) {
    v->item_count = 0;
    for (int64_t r = 0; r < v->row_count; r++) {
        const swg__volume_row *row = &v->rows[r];
        int64_t first[1 + SWG__VOLUME_TARGETS], count[1 + SWG__VOLUME_TARGETS];
        SWG__TRY(count_frames(v, row, first, count));
        for (int64_t f = 0; all && f < count[0]; f++) {
            swg__volume_item *item = &v->items[v->item_count + f];
            item->row = r;
            item->about = (swg__volumes_item){.table = row->table, .path = row->path[0], .row = row->number, .frame = first[0] + f, .part = row->part};
            item->about.stem = stem_of(v, row, first[0] + f, count[0] > 1);
            if (!item->about.stem)
                return swg__fail_memory(v->ctx, strlen(row->path[0]), "the list of images");
            for (int k = 0; k < v->keys; k++) {
                swg__volume_entry *e = &all[(v->item_count + f) * v->keys + k];
                const int64_t frame = first[k] + (count[k] > 1 ? f : 0);
                *e = entry_of(v, row, k);
                e->first_frame = e->key.t.kind == SWG__PICK_DEFAULT;
                e->key.t = (swg__pick){SWG__PICK_RANGE, frame, frame};
                SWG__TRY(describe_entry(v, e));
                SWG__TRY(swg__volume_identify(v, e));
            }
        }
        v->item_count += count[0];
    }
    return SWG_OK;
}

static swg_status make_items(swg__volumes *v) {
    SWG__TRY(list_items(v, NULL)); /* how many */
    const int64_t count = v->item_count * v->keys;
    v->items = swg__calloc(v->ctx, (size_t)v->item_count, sizeof *v->items);
    swg__volume_entry *all = swg__calloc(v->ctx, (size_t)count, sizeof *all);
    swg_status status = v->items && all ? list_items(v, all) : swg__fail_memory(v->ctx, (size_t)count * sizeof *all, "the list of images");
    if (status == SWG_OK)
        status = share_entries(v, all, count);
    swg__free(v->ctx, all);
    return status == SWG_OK ? part_stems(v) : status;
}

/* ---- looking into files ---- */

static void keep_failure(const swg__volumes *v, swg__volume_entry *e, swg_status status) {
    e->status = status;
    if (status != SWG_OK && !e->message)
        e->message = swg__strdup(v->ctx, swg__own_message());
}

static void probe_task(void *arg, int64_t task, int worker) {
    swg__volumes *v = arg;
    swg__volume_entry *e = &v->entries[task];
    (void)worker;
    if (!swg__volume_cache_probe(v, e))
        keep_failure(v, e, swg__volume_probe(v, e));
}

/* The first failure in the order of the table. */
static swg_status first_failure(const swg__volumes *v) {
    for (int64_t i = 0; i < v->item_count; i++)
        for (int k = 0; k < v->keys; k++) {
            const swg__volume_entry *e = v->items[i].entry[k];
            if (e->status != SWG_OK)
                return place_failure(v, &v->rows[v->items[i].row], k, e->status, e->message);
        }
    return SWG_OK;
}

static swg_status probe(swg__volumes *v) {
    for (int64_t i = 0; i < v->entry_count; i++) {
        SWG__TRY(swg__volume_cache_name(v, &v->entries[i]));
        v->entries[i].mapped = v->cache == SWG__CACHE_DISK && v->entries[i].cache_path;
    }
    swg__parallel(v->ctx, v->entry_count, probe_task, v);
    return first_failure(v);
}

/* ---- checks ---- */

static void extents_text(const int64_t dims[4], char out[72]) {
    snprintf(out, 72, "%lldx%lldx%lld", (long long)dims[1], (long long)dims[2], (long long)dims[3]);
}

static swg_status check_item(const swg__volumes *v, const swg__volume_item *item) {
    char found[72], expected[72], text[400];
    const int64_t *base = item->entry[0]->dims;
    extents_text(base, expected);
    for (int k = 0; k < v->keys; k++) {
        const int64_t *dims = item->entry[k]->dims;
        extents_text(dims, found);
        for (int axis = 1; axis < 4; axis++)
            if (dims[axis] / swg__volume_scale(v, k, axis - 1) != base[axis] / swg__volume_scale(v, 0, axis - 1)) {
                snprintf(text, sizeof text, "%s: %s voxels at scale %lld do not go with %s of the source at scale %lld", item->entry[k]->path, found,
                         (long long)v->key[k].scale, expected, (long long)v->key[0].scale);
                return place_failure(v, &v->rows[item->row], k, SWG_EINVAL, text);
            }
        if (dims[0] != v->channels[k]) {
            snprintf(text, sizeof text, "%s: %lld channels; the first image has %lld: channel= says which are wanted", item->entry[k]->path, (long long)dims[0],
                     (long long)v->channels[k]);
            return place_failure(v, &v->rows[item->row], k, SWG_EINVAL, text);
        }
    }
    for (int axis = 0; axis < 3; axis++)
        if (v->use == SWG__VOLUMES_TRAIN && item->about.part != SWG_TEST && v->pad == SWG__PAD_NONE && base[axis + 1] / swg__volume_scale(v, 0, axis) < v->patch[axis]) {
            snprintf(text, sizeof text, "%s: %s voxels%s are less than the patch of %lldx%lldx%lld; data.pad=reflect or zero extends it, a smaller data.patch "
                     "fits", item->entry[0]->path, expected, v->key[0].zoom_axes ? " after zoom" : "", (long long)v->patch[0], (long long)v->patch[1], (long long)v->patch[2]);
            return place_failure(v, &v->rows[item->row], 0, SWG_EINVAL, text);
        }
    return SWG_OK;
}

static swg_status check_items(swg__volumes *v) {
    for (int k = 0; k < v->keys; k++)
        v->channels[k] = v->items[0].entry[k]->dims[0];
    for (int64_t i = 0; i < v->item_count; i++)
        SWG__TRY(check_item(v, &v->items[i]));
    for (int k = 0; v->patch[0] && k < v->keys; k++) {
        int64_t values = v->channels[k];
        for (int axis = 0; axis < 3; axis++)
            if (swg__mul_overflow(values, v->patch[axis] * swg__volume_scale(v, k, axis), &values) || values > (int64_t)1 << 40)
                return swg__fail(v->ctx, SWG_EINVAL, "data.patch: too large");
    }
    return SWG_OK;
}

/* ---- preparing ---- */

static int64_t bytes_of(const swg__volume_entry *e) { return e->dims[0] * e->dims[1] * e->dims[2] * e->dims[3] * (int64_t)sizeof(float); }

struct preparing {
    swg__volumes *v;
    swg__volume_entry **list;
};

static void prepare_task(void *arg, int64_t task, int worker) {
    const struct preparing *p = arg;
    swg__volume_entry *e = p->list[task];
    const float *values;
    struct swg__volume_map *map;
    (void)worker;
    swg_status status = swg__volume_load(p->v, e, &values, &map, &e->facts, &e->remade);
    keep_failure(p->v, e, status);
    if (status != SWG_OK)
        return;
    if (e->keep) {
        e->values = values;
        e->map = map;
    } else {
        swg__volume_unload(p->v, values, map);
    }
}

/* Which entries are prepared now, and which of them are kept. Returns how many. */
static int64_t plan_entries(swg__volumes *v, const swg__volumes_opts *opts, swg__volume_entry **list) {
    const int64_t available = swg__available_bytes();
    int64_t room = opts->cache_bytes ? opts->cache_bytes : available ? available / 2 : INT64_MAX, count = 0, left_out = 0;
    for (int64_t i = 0; v->use == SWG__VOLUMES_TRAIN && i < v->item_count; i++)
        for (int k = 0; k < v->keys && v->items[i].about.part != SWG_TEST; k++) {
            swg__volume_entry *e = v->items[i].entry[k];
            if (e->wanted)
                continue;
            const bool fits = e->mapped || bytes_of(e) <= room;
            e->wanted = true;
            e->mapped = e->mapped || (!fits && e->cache_path);
            e->keep = v->cache != SWG__CACHE_NONE && (fits || e->mapped);
            room -= e->keep && !e->mapped ? bytes_of(e) : 0;
            left_out += v->cache != SWG__CACHE_NONE && !fits;
            list[count++] = e;
        }
    if (left_out)
        tell(opts, "%lld of %lld prepared images do not fit into data.cache_bytes=%lld: they are %s%s", (long long)left_out, (long long)count,
             (long long)(opts->cache_bytes ? opts->cache_bytes : available / 2), v->cache_dir ? "mapped from data.cache_dir" : "prepared again at every use",
             v->cache_dir ? "" : "; data.cache=disk maps them from files");
    return count;
}

static swg_status prepare(swg__volumes *v, const swg__volumes_opts *opts) {
    struct preparing p = {.v = v, .list = swg__alloc(v->ctx, (size_t)v->entry_count * sizeof *p.list)};
    if (!p.list)
        return swg__fail_memory(v->ctx, (size_t)v->entry_count * sizeof *p.list, "the list of images");
    swg__volume_entry **all = p.list;
    const int64_t count = plan_entries(v, opts, all), group = 2 * swg_context_threads(v->ctx);
    swg_status status = SWG_OK;
    int64_t told = swg__now_ns();
    for (int64_t first = 0; status == SWG_OK && first < count; first += group) {
        p.list = all + first;
        swg__parallel(v->ctx, count - first < group ? count - first : group, prepare_task, &p);
        status = first_failure(v);
        if (status == SWG_OK && first + group < count && swg__now_ns() - told > 5000000000) {
            tell(opts, "prepared %lld of %lld images", (long long)(first + group), (long long)count);
            told = swg__now_ns();
        }
    }
    swg__free(v->ctx, all);
    for (int64_t i = 0; i < v->entry_count; i++) {
        const swg__volume_entry *e = &v->entries[i];
        *(e->map ? &v->mapped : &v->bytes) += e->values ? bytes_of(e) : 0;
    }
    return status;
}

/* What was met, a line each. */
static void tell_findings(const swg__volumes *v, const swg__volumes_opts *opts) {
    int64_t nonfinite = 0, nonfinite_files = 0, constant = 0, empty = 0, frames = 0, prepared = 0, remade = 0;
    const char *first_constant = "", *first_frames = "", *first_remade = "";
    for (int64_t i = 0; i < v->entry_count; i++) {
        const swg__volume_entry *e = &v->entries[i];
        if (e->facts.frames > 1 && e->first_frame && !frames++)
            first_frames = e->path;
        if (!e->wanted)
            continue;
        prepared++;
        nonfinite += e->facts.nonfinite;
        nonfinite_files += e->facts.nonfinite > 0;
        if (e->facts.constant && !constant++)
            first_constant = e->path;
        empty += e->facts.empty;
        if (e->remade && !remade++)
            first_remade = e->cache_path;
    }
    if (frames)
        tell(opts, "%lld image%s of several frames: the first is taken (%s); t=all takes all", (long long)frames, frames == 1 ? "" : "s", first_frames);
    if (nonfinite)
        tell(opts, "%lld values that are not finite became 0, in %lld image%s (data.nonfinite=zero)", (long long)nonfinite, (long long)nonfinite_files,
             nonfinite_files == 1 ? "" : "s");
    if (constant)
        tell(opts, "warning: %lld image%s constant: 0 everywhere after normalise, -1 after percentile= (%s)", (long long)constant,
             constant == 1 ? " is" : "s are", first_constant);
    if (empty)
        tell(opts, "%lld of %lld prepared images are masks without an object", (long long)empty, (long long)prepared);
    if (remade)
        tell(opts, "%lld damaged file%s of the cache made again (%s)", (long long)remade, remade == 1 ? "" : "s", first_remade);
}

/* ---- samples and parts ---- */

static swg_status list_parts(swg__volumes *v, const swg__volumes_opts *opts) {
    int64_t used = 0, items[SWG_PARTS] = {0};
    swg__text line;
    if (swg__mul_overflow(v->item_count, v->crops, &v->count) || v->count > (int64_t)1 << 40)
        return swg__fail(v->ctx, SWG_EINVAL, "data.crops=%lld of %lld images: too many samples", (long long)v->crops, (long long)v->item_count);
    int64_t *indices = swg__alloc(v->ctx, (size_t)v->count * sizeof *indices);
    if (!indices)
        return swg__fail_memory(v->ctx, (size_t)v->count * sizeof *indices, "the list of samples");
    for (int part = 0; part < SWG_PARTS; part++) {
        v->split.indices[part] = indices + used;
        for (int64_t i = 0; i < v->item_count; i++) {
            items[part] += v->items[i].about.part == part;
            for (int64_t c = 0; v->items[i].about.part == part && c < v->crops; c++)
                indices[used++] = i * v->crops + c;
        }
        v->split.count[part] = items[part] * v->crops;
    }
    swg__text_init(&line, v->ctx);
    swg__text_puts(&line, v->together ? "split: none (all images)" : v->drawn ? "split: random by row, 80/15/5" : "split: by the table");
    if (v->drawn)
        swg__text_printf(&line, ", seed %llu", (unsigned long long)(opts->split_seed ? opts->split_seed : 12345));
    if (v->use == SWG__VOLUMES_TRAIN || (v->use == SWG__VOLUMES_ALL && !v->together))
        swg__text_printf(&line, " (train %lld, val %lld, test %lld images)", (long long)items[SWG_TRAIN], (long long)items[SWG_VAL], (long long)items[SWG_TEST]);
    else if (v->use == SWG__VOLUMES_EVAL)
        swg__text_printf(&line, " (test %lld images)", (long long)items[SWG_TEST]);
    v->split.description = line.data;
    if (line.failed)
        return swg__fail_memory(v->ctx, 0, "the split");
    if (v->drawn)
        tell(opts, "%s", line.data);
    return SWG_OK;
}

/* ---- digest, summary, JSON ---- */

static swg_status make_digest(swg__volumes *v) {
    char key[1024];
    swg__text text;
    swg__text_init(&text, v->ctx);
    swg__text_printf(&text, "volumes dims %d plane %lld patch %lldx%lldx%lld crops %lld pad %d nonfinite %d augment %u\n", v->dims, (long long)v->plane,
                     (long long)v->patch[0], (long long)v->patch[1], (long long)v->patch[2], (long long)v->crops, v->pad, v->zero_nonfinite, v->augment);
    for (int k = 0; k < v->keys; k++) {
        swg__volume_key_text(&v->key[k], key, sizeof key);
        swg__text_printf(&text, "%s\n", key);
    }
    for (int64_t i = 0; i < v->item_count; i++) {
        const swg__volume_item *item = &v->items[i];
        swg__text_printf(&text, "%d %lld", item->about.part, (long long)item->about.frame);
        for (int k = 0; k < v->keys; k++) {
            const swg__volume_entry *e = item->entry[k];
            const char *slash = strrchr(e->path, '/'), *name = slash ? slash + 1 : e->path;
            swg__text_printf(&text, " %lldx%lldx%lldx%lld %zu %s", (long long)e->dims[0], (long long)e->dims[1], (long long)e->dims[2], (long long)e->dims[3],
                             strlen(name), name); /* lengths keep the ends of names apart */
        }
        swg__text_puts(&text, "\n");
    }
    const bool failed = text.failed;
    uint8_t digest[32];
    if (!failed)
        swg__sha256(text.data, text.length, digest);
    swg__text_free(&text);
    for (int i = 0; !failed && i < 32; i++)
        snprintf(v->digest + 2 * i, 3, "%02x", digest[i]);
    return failed ? swg__fail_memory(v->ctx, 0, "the digest of a data set") : SWG_OK;
}

/* "65x624x924", "624x924" in 2-D. */
static void put_extents(const swg__volumes *v, swg__text *text, const int64_t extents[3]) {
    for (int axis = v->dims == 2; axis < 3; axis++)
        swg__text_printf(text, "%s%lld", axis > (v->dims == 2) ? "x" : "", (long long)extents[axis]);
}

static swg_status make_summary(swg__volumes *v) {
    int64_t low[3], high[3];
    swg__text text;
    memcpy(low, v->items[0].entry[0]->dims + 1, sizeof low);
    memcpy(high, low, sizeof high);
    for (int64_t i = 0; i < v->item_count; i++)
        for (int axis = 0; axis < 3; axis++) {
            const int64_t n = v->items[i].entry[0]->dims[axis + 1];
            low[axis] = n < low[axis] ? n : low[axis];
            high[axis] = n > high[axis] ? n : high[axis];
        }
    swg__text_init(&text, v->ctx);
    swg__text_printf(&text, "%lld image%s of ", (long long)v->item_count, v->item_count == 1 ? "" : "s");
    put_extents(v, &text, low);
    if (memcmp(low, high, sizeof low) != 0) {
        swg__text_puts(&text, " to ");
        put_extents(v, &text, high);
    }
    for (int k = 0; k < v->keys; k++)
        swg__text_printf(&text, "%s%s %lld channel%s", k ? ", " : "; ", v->key[k].column, (long long)v->channels[k], v->channels[k] == 1 ? "" : "s");
    if (v->patch[0]) {
        swg__text_printf(&text, "; %lld samples of ", (long long)v->count);
        put_extents(v, &text, v->patch);
    }
    v->summary = text.data;
    return text.failed ? swg__fail_memory(v->ctx, 0, "the summary of a data set") : SWG_OK;
}

static swg_status make_json(swg__volumes *v) {
    char text[1024];
    cJSON *root = cJSON_CreateObject(), *keys = cJSON_AddArrayToObject(root, "keys");
    bool good = keys != NULL;
    for (int k = 0; good && k < v->keys; k++) {
        swg__volume_key_text(&v->key[k], text, sizeof text);
        good = cJSON_AddItemToArray(keys, cJSON_CreateString(text));
    }
    good = good && cJSON_AddNumberToObject(root, "dims", v->dims) && (v->plane < 0 || cJSON_AddNumberToObject(root, "plane", (double)v->plane)) &&
           cJSON_AddStringToObject(root, "nonfinite", v->zero_nonfinite ? "zero" : "error");
    cJSON *patch = good && v->patch[0] ? cJSON_AddArrayToObject(root, "patch") : NULL;
    for (int axis = v->dims == 2; patch && axis < 3; axis++)
        good = good && cJSON_AddItemToArray(patch, cJSON_CreateNumber((double)v->patch[axis]));
    char *printed = good ? cJSON_PrintUnformatted(root) : NULL;
    v->json = printed ? swg__strdup(v->ctx, printed) : NULL;
    cJSON_free(printed);
    cJSON_Delete(root);
    return v->json ? SWG_OK : swg__fail_memory(v->ctx, 0, "the description of a data set");
}

/* ---- public ---- */

static swg_status fill(swg__volumes *v, const swg__volumes_opts *opts) {
    if (!(v->reads = swg__arena_alloc(&v->arena, sizeof *v->reads)))
        return swg__fail_memory(v->ctx, sizeof *v->reads, "a data set");
    SWG__TRY(read_opts(v, opts));
    SWG__TRY(swg__volumes_list(v, opts));
    SWG__TRY(make_items(v));
    SWG__TRY(probe(v));
    SWG__TRY(check_items(v));
    SWG__TRY(list_parts(v, opts));
    SWG__TRY(prepare(v, opts));
    tell_findings(v, opts);
    SWG__TRY(make_digest(v));
    SWG__TRY(make_json(v));
    return make_summary(v);
}

swg_status swg__volumes_open(swg_context *ctx, const swg__volumes_opts *opts, swg__volumes **out) {
    *out = NULL;
    swg__volumes *volumes = swg__calloc(ctx, 1, sizeof *volumes);
    if (!volumes)
        return swg__fail_memory(ctx, sizeof *volumes, "a data set of stacks");
    volumes->ctx = ctx;
    swg__arena_init(&volumes->arena, ctx);
    swg_status status = fill(volumes, opts);
    if (status != SWG_OK) {
        swg__volumes_close(volumes);
        return status;
    }
    *out = volumes;
    return SWG_OK;
}

void swg__volumes_close(swg__volumes *volumes) {
    if (!volumes)
        return;
    for (int64_t i = 0; i < volumes->entry_count; i++) {
        if (volumes->entries[i].values)
            swg__volume_unload(volumes, volumes->entries[i].values, volumes->entries[i].map);
        swg__free(volumes->ctx, volumes->entries[i].message);
    }
    swg__free(volumes->ctx, volumes->entries);
    swg__free(volumes->ctx, volumes->items);
    swg__free(volumes->ctx, volumes->rows);
    swg__free(volumes->ctx, volumes->summary);
    swg__free(volumes->ctx, volumes->json);
    swg_split_free(volumes->ctx, &volumes->split);
    swg__arena_free(&volumes->arena);
    swg__free(volumes->ctx, volumes);
}

int swg__volumes_keys(const swg__volumes *volumes) { return volumes->keys; }
int64_t swg__volumes_items(const swg__volumes *volumes) { return volumes->item_count; }
int64_t swg__volumes_count(const swg__volumes *volumes) { return volumes->count; }
const swg_split *swg__volumes_split(const swg__volumes *volumes) { return &volumes->split; }
const char *swg__volumes_summary(const swg__volumes *volumes) { return volumes->summary; }
const char *swg__volumes_digest(const swg__volumes *volumes) { return volumes->digest; }
const char *swg__volumes_json(const swg__volumes *volumes) { return volumes->json; }
int64_t swg__volumes_bytes(const swg__volumes *volumes) { return volumes->bytes; }
int64_t swg__volumes_mapped(const swg__volumes *volumes) { return volumes->mapped; }
int64_t swg__volumes_reads(const swg__volumes *volumes) { return atomic_load(volumes->reads); }

const swg__volume_key *swg__volumes_key(const swg__volumes *volumes, int key) { return key >= 0 && key < volumes->keys ? &volumes->key[key] : NULL; }
int64_t swg__volumes_channels(const swg__volumes *volumes, int key) { return key >= 0 && key < volumes->keys ? volumes->channels[key] : 0; }

void swg__volumes_patch(const swg__volumes *volumes, int key, int64_t out[3]) {
    for (int axis = 0; axis < 3; axis++)
        out[axis] = volumes->patch[axis] * swg__volume_scale(volumes, key, axis);
}

int64_t swg__volumes_values(const swg__volumes *volumes, int key) {
    int64_t patch[3];
    swg__volumes_patch(volumes, key, patch);
    return volumes->channels[key] * patch[0] * patch[1] * patch[2];
}

const swg__volumes_item *swg__volumes_item_at(const swg__volumes *volumes, int64_t item) {
    return item >= 0 && item < volumes->item_count ? &volumes->items[item].about : NULL;
}
