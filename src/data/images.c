/* images.c - opens a data set of images: reads its list and every image once, splits by image or group, cuts tiles.
 * In: paths and rules. Out: samples, parts, a digest of both.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "data/images_inside.h"

/* ---- words and numbers ---- */

/* Index of `word` among the space-separated `words`; NULL is the first. */
static swg_status choose(swg_context *ctx, const char *key, const char *word, const char *words, int *out) {
    *out = 0;
    if (!word)
        return SWG_OK;
    for (const char *at = words; *at; (*out)++) {
        size_t length = strcspn(at, " ");
        if (strlen(word) == length && memcmp(at, word, length) == 0)
            return SWG_OK;
        at += length + (at[length] == ' ');
    }
    return swg__fail(ctx, SWG_EINVAL, "%s=%s: expected one of: %s", key, word, words);
}

static swg_status read_opts(swg__images *images, const swg__images_opts *opts, bool *skip) {
    swg_context *ctx = images->ctx;
    int mode, small, unreadable, nonfinite, cache, split;
    SWG__TRY(choose(ctx, "data.size", opts->size, SWG__IMAGES_SIZE_WORDS, &mode));
    SWG__TRY(choose(ctx, "data.small", opts->small, SWG__IMAGES_SMALL_WORDS, &small));
    SWG__TRY(choose(ctx, "data.unreadable", opts->unreadable, SWG__IMAGES_UNREADABLE_WORDS, &unreadable));
    SWG__TRY(choose(ctx, "data.nonfinite", opts->nonfinite, SWG__IMAGES_NONFINITE_WORDS, &nonfinite));
    SWG__TRY(choose(ctx, "data.cache", opts->cache, SWG__IMAGES_CACHE_WORDS, &cache));
    SWG__TRY(choose(ctx, "data.split", opts->split.mode, SWG__IMAGES_SPLIT_WORDS, &split));
    images->mode = (swg__images_mode)mode;
    images->pad = small == 1;
    images->cached = cache == 0;
    *skip = unreadable == 1;
    images->tile = opts->tile ? opts->tile : 128;
    images->overlap = opts->overlap;
    images->reading = (swg_image_opts){.channels = opts->channels ? opts->channels : 3, .scale = opts->scale, .nonfinite = opts->nonfinite};
    if (!opts->path)
        return swg__fail(ctx, SWG_EINVAL, "data.path is not given");
    if (images->tile < 1 || images->tile > 1 << 15)
        return swg__fail(ctx, SWG_EINVAL, "data.tile=%lld: expected 1 to 32768", (long long)images->tile);
    if (images->overlap < 0 || images->overlap >= images->tile)
        return swg__fail(ctx, SWG_EINVAL, "data.overlap=%lld: expected 0 to %lld, less than the tile", (long long)images->overlap, (long long)images->tile - 1);
    if (opts->channels < 0 || opts->channels > 256)
        return swg__fail(ctx, SWG_EINVAL, "images of %d channels: expected 1 to 256", opts->channels);
    if (split == 1 && !opts->group)
        return swg__fail(ctx, SWG_EINVAL, "data.split=by-group needs data.group: a column of the CSV, or \"folder\" for a folder of images");
    return SWG_OK;
}

/* ---- the list ---- */

static swg_status find_group(swg__images *images, const swg__images_opts *opts) {
    const swg__table *table = &images->list.table;
    images->group_column = -1;
    if (!opts->group)
        return SWG_OK;
    images->group_column = (int)swg__table_column(table, opts->group);
    if (images->group_column >= 0)
        return SWG_OK;
    char near[80];
    swg__did_you_mean(opts->group, table->header, (size_t)table->columns, near, sizeof near);
    return swg__fail(images->ctx, SWG_ENOTFOUND, "%s: data.group=%s: there is no such column%s%s", opts->path, opts->group,
                     images->list.folder ? "; a folder of images has \"folder\" only, a CSV has more" : "", near);
}

static swg_status list_items(swg__images *images) {
    const swg__image_list *list = &images->list;
    images->items = swg__calloc(images->ctx, (size_t)list->count, sizeof *images->items);
    if (!images->items)
        return swg__fail_memory(images->ctx, (size_t)list->count * sizeof *images->items, "the list of images");
    images->item_count = list->count;
    for (int64_t i = 0; i < list->count; i++) {
        const char *const *cells = list->table.cells + i * list->table.columns;
        images->items[i].file = (swg__images_file){.name = list->name[i], .path = list->path[i], .row = i,
                                                   .label = list->label_column >= 0 ? cells[list->label_column] : NULL,
                                                   .group = images->group_column >= 0 ? cells[images->group_column] : NULL};
    }
    return SWG_OK;
}

/* ---- reading every image once ---- */

struct reading {
    swg__images *images;
    struct outcome {
        swg_status status;
        bool rejected;          /* readable, but against the rules of the data set */
        char *message;          /* NULL where memory for it is lacking, too */
        swg_image_info info;
    } *outcomes;
};

/* Whether a readable image fits data.size, data.tile and data.small. */
static swg_status check_size(const swg__images *images, const swg__images_file *file) {
    const long long w = (long long)file->width, h = (long long)file->height, tile = (long long)images->tile;
    if (images->mode == SWG__IMAGES_EXACT && (w != tile || h != tile))
        return swg__fail(images->ctx, SWG_EINVAL, "%s: %lld x %lld pixels; %lld x %lld are expected (data.tile): data.size=crop, resize or tile takes "
                         "images of other sizes", file->path, w, h, tile, tile);
    if ((images->mode == SWG__IMAGES_CROP || images->mode == SWG__IMAGES_TILE) && !images->pad && (w < tile || h < tile))
        return swg__fail(images->ctx, SWG_EINVAL, "%s: %lld x %lld pixels are less than a tile of %lld x %lld (data.tile): data.small=pad reflects what "
                         "is missing, data.size=resize stretches it", file->path, w, h, tile, tile);
    return SWG_OK;
}

/* Pixels into memory, or past it where they are not kept: what cannot be read is known before training starts. */
static swg_status read_pixels(const swg__images *images, swg__images_item *item, swg_image *image) {
    const int64_t height = item->file.height, width = item->file.width;
    const int64_t row_bytes = width * images->reading.channels * swg_element_bytes(item->element);
    const int64_t band = images->cached ? height : (1 << 20) / row_bytes < 1 ? 1 : (1 << 20) / row_bytes < height ? (1 << 20) / row_bytes : height;
    int64_t bytes;
    if (swg__mul_overflow(band, row_bytes, &bytes))
        return swg__fail(images->ctx, SWG_ESHAPE, "%s: is too large to address", item->file.path);
    void *pixels = swg__alloc(images->ctx, (size_t)bytes);
    if (!pixels)
        return swg__fail(images->ctx, SWG_ENOMEM, "%s: no memory for %lld bytes of pixels; data.cache=none reads images again whenever they are used",
                         item->file.path, (long long)bytes);
    swg_status status = SWG_OK;
    for (int64_t y = 0; status == SWG_OK && y < height; y += band)
        status = swg_image_read_stored(image, y, 0, height - y < band ? height - y : band, width, pixels);
    if (status == SWG_OK && images->cached)
        item->pixels = pixels;
    else
        swg__free(images->ctx, pixels);
    return status;
}

static swg_status read_item(const swg__images *images, swg__images_item *item, struct outcome *outcome) {
    swg_image *image;
    SWG__TRY(swg_image_open(images->ctx, item->file.path, &images->reading, &image));
    const swg_image_info *info = swg_image_about(image);
    item->file.height = info->height;
    item->file.width = info->width;
    item->element = info->element;
    swg_status status = check_size(images, &item->file);
    outcome->rejected = status != SWG_OK;
    if (status == SWG_OK)
        status = read_pixels(images, item, image);
    outcome->info = *info;
    swg_image_close(image);
    return status;
}

static void read_task(void *arg, int64_t task, int worker) {
    (void)worker;
    struct reading *reading = arg;
    struct outcome *outcome = &reading->outcomes[task];
    outcome->status = read_item(reading->images, &reading->images->items[task], outcome);
    if (outcome->status != SWG_OK)
        outcome->message = swg__strdup(reading->images->ctx, swg__own_message());
}

static bool unreadable(const struct outcome *outcome) {
    switch (outcome->status) {
    case SWG_EIO: case SWG_ENOTFOUND: case SWG_EFORMAT: case SWG_ECORRUPT: case SWG_EUNSUPPORTED: case SWG_EDTYPE: case SWG_ESHAPE:
        return !outcome->rejected;
    default:
        return false;
    }
}

/* "index.csv: row 3 (line 4): tiles/x.png: damaged ..."; images of a folder have no row. */
static void place(const swg__images *images, const char *path, int64_t i, const struct outcome *outcome, char *text, size_t capacity) {
    const swg__image_list *list = &images->list;
    const char *message = outcome->message ? outcome->message : "out of memory";
    if (list->folder || !list->table.line)
        snprintf(text, capacity, "%s", message);
    else
        snprintf(text, capacity, "%s: row %lld (line %lld): %s", path, (long long)i + 1, (long long)list->table.line[i], message);
}

static void tell(const swg__images_opts *opts, const char *format, ...) SWG__PRINTF(2, 3);
static void tell(const swg__images_opts *opts, const char *format, ...) {
    char text[1200];
    va_list args;
    if (!opts->note)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    opts->note(opts->note_user, text);
}

/* What happened to many images, in a line each. */
static void tell_findings(const struct reading *reading, const swg__images_opts *opts) {
    int64_t alpha = 0, grey = 0, pages = 0, nonfinite = 0, nonfinite_images = 0, outside = 0;
    const struct outcome *first_pages = NULL;
    const char *first_path = "";
    for (int64_t i = 0; i < reading->images->item_count; i++) {
        const struct outcome *o = &reading->outcomes[i];
        if (o->status != SWG_OK)
            continue;
        alpha += o->info.alpha_dropped;
        grey += o->info.grey_repeated;
        nonfinite += o->info.nonfinite;
        nonfinite_images += o->info.nonfinite > 0;
        outside += o->info.outside;
        if (o->info.pages > 1 && !pages++) {
            first_pages = o;
            first_path = reading->images->items[i].file.path;
        }
    }
    if (alpha)
        tell(opts, "%lld image%s: the alpha channel is left out", (long long)alpha, alpha == 1 ? "" : "s");
    if (grey)
        tell(opts, "%lld grey image%s: repeated in three channels", (long long)grey, grey == 1 ? "" : "s");
    if (pages)
        tell(opts, "%lld file%s of several images: the first of each is read (%s holds %lld)", (long long)pages, pages == 1 ? "" : "s", first_path,
             (long long)first_pages->info.pages);
    if (nonfinite)
        tell(opts, "%lld values that are not finite became 0, in %lld image%s (data.nonfinite=zero)", (long long)nonfinite, (long long)nonfinite_images,
             nonfinite_images == 1 ? "" : "s");
    if (outside)
        tell(opts, "%lld float values are outside [0,1] after data.scale=%g", (long long)outside, opts->scale);
}

/* Takes skipped images out of the list, or fails with the first image that failed. */
static swg_status settle(struct reading *reading, const swg__images_opts *opts, bool skip) {
    swg__images *images = reading->images;
    char text[1100];
    int64_t kept = 0;
    swg_status status = SWG_OK;
    for (int64_t i = 0; i < images->item_count; i++) {
        const struct outcome *outcome = &reading->outcomes[i];
        if (outcome->status == SWG_OK)
            continue;
        place(images, opts->path, i, outcome, text, sizeof text);
        if (skip && unreadable(outcome)) {
            images->skipped++;
            tell(opts, "skipped: %s", text);
        } else if (status == SWG_OK) {
            status = swg__fail(images->ctx, outcome->status, "%s%s", text,
                               unreadable(outcome) && images->item_count > 1 ? "; data.unreadable=skip leaves such files out" : "");
        }
    }
    if (status == SWG_OK)
        tell_findings(reading, opts);
    for (int64_t i = 0; status == SWG_OK && i < images->item_count; i++)
        if (reading->outcomes[i].status == SWG_OK)
            images->items[kept++] = images->items[i];
    if (status == SWG_OK && !kept)
        status = swg__fail(images->ctx, SWG_EIO, "%s: none of its %lld images can be read", opts->path, (long long)images->item_count);
    if (status == SWG_OK)
        images->item_count = kept;
    return status;
}

static swg_status read_all(swg__images *images, const swg__images_opts *opts, bool skip) {
    struct reading reading = {.images = images, .outcomes = swg__calloc(images->ctx, (size_t)images->item_count, sizeof *reading.outcomes)};
    const int64_t count = images->item_count;
    if (!reading.outcomes)
        return swg__fail_memory(images->ctx, (size_t)count * sizeof *reading.outcomes, "the list of images");
    swg__parallel(images->ctx, count, read_task, &reading);
    swg_status status = settle(&reading, opts, skip);
    for (int64_t i = 0; i < count; i++)
        swg__free(images->ctx, reading.outcomes[i].message);
    swg__free(images->ctx, reading.outcomes);
    for (int64_t i = 0; i < images->item_count; i++) {
        const swg__images_item *item = &images->items[i];
        images->bytes += item->pixels ? item->file.height * item->file.width * images->reading.channels * swg_element_bytes(item->element) : 0;
    }
    return status;
}

/* ---- samples ---- */

/* Tiles along an axis of n pixels, the last flush with its end. */
static int64_t tiles_along(const swg__images *images, int64_t n) {
    const int64_t step = images->tile - images->overlap;
    return n <= images->tile ? 1 : (n - images->tile + step - 1) / step + 1;
}

static int64_t tile_start(const swg__images *images, int64_t n, int64_t i) {
    const int64_t start = i * (images->tile - images->overlap), last = n > images->tile ? n - images->tile : 0;
    return start < last ? start : last;
}

static swg_status list_samples(swg__images *images) {
    images->count = 0;
    for (int64_t i = 0; i < images->item_count; i++) {
        swg__images_item *item = &images->items[i];
        const bool tiled = images->mode == SWG__IMAGES_TILE;
        item->first_sample = images->count;
        item->file.samples = tiled ? tiles_along(images, item->file.height) * tiles_along(images, item->file.width) : 1;
        images->count += item->file.samples;
    }
    images->samples = swg__calloc(images->ctx, (size_t)images->count, sizeof *images->samples);
    if (!images->samples)
        return swg__fail_memory(images->ctx, (size_t)images->count * sizeof *images->samples, "the list of samples");
    for (int64_t i = 0; i < images->item_count; i++) {
        const swg__images_item *item = &images->items[i];
        const int64_t across = tiles_along(images, item->file.width);
        for (int64_t t = 0; t < item->file.samples; t++)
            images->samples[item->first_sample + t] = (swg__images_sample){.image = (int32_t)i, .y = tile_start(images, item->file.height, t / across),
                                                                           .x = tile_start(images, item->file.width, t % across)};
    }
    return SWG_OK;
}

/* ---- split ---- */

struct member {
    const char *group;
    int32_t image, leader;      /* leader: first image of the group */
};

static int by_group(const void *a, const void *b) {
    const struct member *x = a, *y = b;
    int order = strcmp(x->group, y->group);
    return order ? order : (x->image > y->image) - (x->image < y->image);
}

/* units[i].file = number of image i's group, in order of first appearance. */
static swg_status number_groups(const swg__images *images, const swg__images_opts *opts, swg_sample *units) {
    const int64_t count = images->item_count;
    for (int64_t i = 0; i < count; i++)
        if (!*images->items[i].file.group)
            return swg__fail(images->ctx, SWG_EFORMAT, "%s: row %lld (line %lld) has an empty cell in column \"%s\" (data.group)", opts->path,
                             (long long)images->items[i].file.row + 1, (long long)images->list.table.line[images->items[i].file.row], opts->group);
    struct member *members = swg__alloc(images->ctx, (size_t)count * sizeof *members);
    if (!members)
        return swg__fail_memory(images->ctx, (size_t)count * sizeof *members, "the groups of images");
    for (int64_t i = 0; i < count; i++)
        members[i] = (struct member){.group = images->items[i].file.group, .image = (int32_t)i};
    qsort(members, (size_t)count, sizeof *members, by_group);
    for (int64_t m = 0; m < count; m++) {
        members[m].leader = m && strcmp(members[m].group, members[m - 1].group) == 0 ? members[m - 1].leader : members[m].image;
        units[members[m].image].file = members[m].leader;
    }
    int32_t groups = 0;
    for (int64_t i = 0; i < count; i++) /* a leader comes before its followers */
        units[i].file = units[i].file == i ? groups++ : units[units[i].file].file;
    swg__free(images->ctx, members);
    return SWG_OK;
}

/* Lists of images become lists of their samples. */
static swg_status expand(swg__images *images, const swg_split *of_images) {
    swg_split *split = &images->split;
    int64_t used = 0;
    split->indices[0] = swg__alloc(images->ctx, (size_t)images->count * sizeof(int64_t));
    split->description = swg__strdup(images->ctx, of_images->description);
    if (!split->indices[0] || !split->description)
        return swg__fail_memory(images->ctx, (size_t)images->count * sizeof(int64_t), "the split");
    for (int part = 0; part < SWG_PARTS; part++) {
        split->indices[part] = split->indices[0] + used;
        for (int64_t i = 0; i < of_images->count[part]; i++) {
            const swg__images_item *item = &images->items[of_images->indices[part][i]];
            for (int64_t t = 0; t < item->file.samples; t++) {
                images->samples[item->first_sample + t].part = part;
                split->indices[0][used++] = item->first_sample + t;
            }
        }
        split->count[part] = split->indices[0] + used - split->indices[part];
    }
    return SWG_OK;
}

static swg_status split_images(swg__images *images, const swg__images_opts *opts) {
    const int64_t count = images->item_count;
    swg_split of_images = {0};
    swg_sample *units = swg__calloc(images->ctx, (size_t)count, sizeof *units);
    if (!units)
        return swg__fail_memory(images->ctx, (size_t)count * sizeof *units, "the split");
    swg_split_opts rules = opts->split;
    rules.images = true;
    rules.group = opts->group;
    rules.has_test_from = false;
    if (rules.train == 0 && rules.val == 0) {
        rules.train = .8;
        rules.val = .1;
    }
    const bool grouped = rules.mode && strcmp(rules.mode, "by-group") == 0;
    swg_status status = grouped ? number_groups(images, opts, units) : SWG_OK;
    if (status == SWG_OK)
        status = swg_split_make(images->ctx, units, count, &rules, &of_images);
    if (status == SWG_OK)
        status = expand(images, &of_images);
    swg_split_free(images->ctx, &of_images);
    swg__free(images->ctx, units);
    return status;
}

static swg_status no_split(swg__images *images) {
    swg_split *split = &images->split;
    split->indices[0] = swg__alloc(images->ctx, (size_t)images->count * sizeof(int64_t));
    split->description = swg__strdup(images->ctx, "split: none (all samples)");
    if (!split->indices[0] || !split->description)
        return swg__fail_memory(images->ctx, (size_t)images->count * sizeof(int64_t), "the list of samples");
    split->indices[1] = split->indices[2] = split->indices[0];
    split->count[SWG_TEST] = images->count;
    for (int64_t i = 0; i < images->count; i++) {
        split->indices[0][i] = i;
        images->samples[i].part = SWG_TEST;
    }
    return SWG_OK;
}

/* ---- digest and summary ---- */

static swg_status make_digest(swg__images *images, const swg__images_opts *opts) {
    const swg_split_opts *split = &opts->split;
    swg__text text;
    swg__text_init(&text, images->ctx);
    swg__text_printf(&text, "images size %d tile %lld overlap %lld pad %d channels %d scale %a nonfinite %s\n", (int)images->mode, (long long)images->tile,
                     (long long)images->overlap, images->pad, images->reading.channels, opts->scale, opts->nonfinite ? opts->nonfinite : "error");
    swg__text_printf(&text, "split %s rng %s seed %llu train %a val %a group %s\n", opts->no_split ? "none" : split->mode ? split->mode : "random",
                     split->rng ? split->rng : "numpy-legacy", (unsigned long long)split->seed, split->train, split->val, opts->group ? opts->group : "");
    for (int64_t i = 0; i < images->item_count; i++) {
        const swg__images_item *item = &images->items[i];
        const char *const fields[] = {item->file.name, item->file.label ? item->file.label : "", item->file.group ? item->file.group : ""};
        swg__text_printf(&text, "%lld %lld %s", (long long)item->file.height, (long long)item->file.width, swg_element_name(item->element));
        for (int f = 0; f < 3; f++) /* lengths keep the ends of names apart */
            swg__text_printf(&text, " %zu %s", strlen(fields[f]), fields[f]);
        swg__text_puts(&text, "\n");
    }
    const bool failed = text.failed;
    uint8_t digest[32];
    if (!failed)
        swg__sha256(text.data, text.length, digest);
    swg__text_free(&text);
    if (failed)
        return swg__fail_memory(images->ctx, 0, "the digest of a data set");
    for (int i = 0; i < 32; i++)
        snprintf(images->digest + 2 * i, 3, "%02x", digest[i]);
    return SWG_OK;
}

static swg_status make_summary(swg__images *images) {
    const swg__images_file *first = &images->items[0].file;
    int64_t low_h = first->height, low_w = first->width, high_h = low_h, high_w = low_w, of_type[3] = {0};
    for (int64_t i = 0; i < images->item_count; i++) {
        const swg__images_item *item = &images->items[i];
        low_h = item->file.height < low_h ? item->file.height : low_h;
        low_w = item->file.width < low_w ? item->file.width : low_w;
        high_h = item->file.height > high_h ? item->file.height : high_h;
        high_w = item->file.width > high_w ? item->file.width : high_w;
        of_type[item->element == SWG_ELEMENT_U8 ? 0 : item->element == SWG_ELEMENT_U16 ? 1 : 2]++;
    }
    swg__text text;
    swg__text_init(&text, images->ctx);
    swg__text_printf(&text, "%lld image%s of %lldx%lld", (long long)images->item_count, images->item_count == 1 ? "" : "s", (long long)low_w, (long long)low_h);
    if (low_w != high_w || low_h != high_h)
        swg__text_printf(&text, " to %lldx%lld", (long long)high_w, (long long)high_h);
    for (int t = 0; t < 3; t++)
        if (of_type[t])
            swg__text_printf(&text, ", %s", (const char *[]){"u8", "u16", "f32"}[t]);
    swg__text_printf(&text, "; %lld samples of %dx%lldx%lld", (long long)images->count, images->reading.channels, (long long)images->tile,
                     (long long)images->tile);
    if (images->skipped)
        swg__text_printf(&text, "; %lld skipped", (long long)images->skipped);
    images->summary = text.data;
    return text.failed ? swg__fail_memory(images->ctx, 0, "the summary of a data set") : SWG_OK;
}

/* ---- public ---- */

static swg_status fill(swg__images *images, const swg__images_opts *opts) {
    bool skip;
    SWG__TRY(read_opts(images, opts, &skip));
    SWG__TRY(swg__image_list_read(images->ctx, opts->path, opts->column, &images->list));
    SWG__TRY(find_group(images, opts));
    SWG__TRY(list_items(images));
    SWG__TRY(read_all(images, opts, skip));
    SWG__TRY(list_samples(images));
    SWG__TRY(opts->no_split ? no_split(images) : split_images(images, opts));
    SWG__TRY(make_digest(images, opts));
    return make_summary(images);
}

swg_status swg__images_open(swg_context *ctx, const swg__images_opts *opts, swg__images **out) {
    *out = NULL;
    swg__images *images = swg__calloc(ctx, 1, sizeof *images);
    if (!images)
        return swg__fail_memory(ctx, sizeof *images, "a data set of images");
    images->ctx = ctx;
    swg_status status = fill(images, opts);
    if (status != SWG_OK) {
        swg__images_close(images);
        return status;
    }
    *out = images;
    return SWG_OK;
}

void swg__images_close(swg__images *images) {
    if (!images)
        return;
    for (int64_t i = 0; i < images->item_count; i++)
        swg__free(images->ctx, images->items[i].pixels);
    swg__free(images->ctx, images->items);
    swg__free(images->ctx, images->samples);
    swg__free(images->ctx, images->summary);
    swg_split_free(images->ctx, &images->split);
    swg__image_list_free(&images->list);
    swg__free(images->ctx, images);
}

int64_t swg__images_count(const swg__images *images) { return images->count; }
int64_t swg__images_files(const swg__images *images) { return images->item_count; }
int64_t swg__images_skipped(const swg__images *images) { return images->skipped; }
int64_t swg__images_tile(const swg__images *images) { return images->tile; }
int swg__images_channels(const swg__images *images) { return images->reading.channels; }
int64_t swg__images_bytes(const swg__images *images) { return images->bytes; }
const swg__image_list *swg__images_list(const swg__images *images) { return &images->list; }
const swg_split *swg__images_split(const swg__images *images) { return &images->split; }
const char *swg__images_summary(const swg__images *images) { return images->summary; }
const char *swg__images_digest(const swg__images *images) { return images->digest; }

const swg__images_sample *swg__images_sample_at(const swg__images *images, int64_t sample) {
    return sample >= 0 && sample < images->count ? &images->samples[sample] : NULL;
}

const swg__images_file *swg__images_file_at(const swg__images *images, int64_t image) {
    return image >= 0 && image < images->item_count ? &images->items[image].file : NULL;
}
