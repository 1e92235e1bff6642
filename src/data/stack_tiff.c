/* stack_tiff.c - the pages of a TIFF or BigTIFF as planes of a stack.
 * In: a stream. Out: stored numbers of boxes. The chain of directories is walked once, when the file is opened; afterwards libtiff goes
 * straight to the directory of a plane.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "data/stack_format.h"

#if SWG_HAVE_TIFF
#include "data/tiff_file.h"

enum { MOST_ENTRIES = 4096, HEAD_BYTES = 512 }; /* entries of a directory; most directories fit into HEAD_BYTES */

typedef struct tiff_stack {
    swg__tiff file;
    int64_t *offset;            /* of the directories (pages) that are planes, in the order of the file */
    int64_t pages;
    int64_t at;                 /* page whose directory is at hand; -1: none */
    int64_t run_at;             /* where its numbers begin, if they are one uncompressed run, which needs no libtiff; -1: they are not */
    int64_t step[3];            /* in pages, from one t, c, z to the next */
    int32_t *page;              /* instead of steps: see swg__planes; NULL: none */
    int64_t behind_at, behind_bytes; /* where planes without directories begin, and bytes of each; 0: they have directories */
    /* what all pages must be like */
    int64_t width, height;
    swg_element element;
    int samples, colours;
} tiff_stack;

/* ---- the chain of directories ---- */

typedef struct chain {
    swg_stack *stack;
    bool big, swap;
    uint8_t *block;             /* of one directory */
    int64_t *offset, count, capacity;
    uint8_t *copy;              /* (capacity): a smaller copy or a mask */
    int64_t copies;
    uint64_t width, height;     /* of the first page */
    int64_t odd;                /* first page of another size, copies apart; -1: none */
} chain;

/* Facts of a directory that need no libtiff. */
typedef struct directory {
    bool copy;
    uint64_t width, height;
    int64_t next;               /* 0: none */
} directory;

static uint64_t number_at(const chain *c, const uint8_t *p, int bytes) {
    uint64_t value = 0;
    const uint16_t one = 1;
    const bool big_endian = c->swap == (*(const uint8_t *)&one == 1);
    for (int i = 0; i < bytes; i++)
        value = value << 8 | p[big_endian ? i : bytes - 1 - i];
    return value;
}

static bool read_at(const chain *c, int64_t offset, void *to, int64_t bytes) {
    swg__stream stream = c->stack->stream;
    stream.at = offset;
    return offset >= 0 && offset <= stream.size && swg__stream_read(&stream, to, bytes) == bytes;
}

static swg_status broken(const chain *c) {
    return swg__fail(c->stack->ctx, SWG_ECORRUPT, "%s: damaged or cut short: the chain of pages breaks behind page %lld", c->stack->name, (long long)c->count);
}

/* The number of an entry of type SHORT, LONG or LONG8; 0 for another. */
static uint64_t entry_number(const chain *c, const uint8_t *entry) {
    const uint64_t type = number_at(c, entry + 2, 2);
    return number_at(c, entry + (c->big ? 12 : 8), type == TIFF_SHORT ? 2 : type == TIFF_LONG ? 4 : type == TIFF_LONG8 && c->big ? 8 : 0);
}

static swg_status read_directory(chain *c, int64_t offset, directory *out) {
    const int count_bytes = c->big ? 8 : 2, entry_bytes = c->big ? 20 : 12, word = c->big ? 8 : 4;
    const int64_t left = c->stack->stream.size - offset;
    if (offset < 8 || left < count_bytes + word)
        return broken(c);
    int64_t got = left < HEAD_BYTES ? left : HEAD_BYTES;
    if (!read_at(c, offset, c->block, got))
        return broken(c);
    const uint64_t entries = number_at(c, c->block, count_bytes);
    if (entries > MOST_ENTRIES)
        return broken(c);
    const int64_t bytes = count_bytes + (int64_t)entries * entry_bytes + word;
    if (bytes > left || (bytes > got && !read_at(c, offset, c->block, bytes)))
        return broken(c);
    for (uint64_t i = 0; i < entries; i++) {
        const uint8_t *entry = c->block + count_bytes + i * (uint64_t)entry_bytes;
        const uint64_t tag = number_at(c, entry, 2);
        if (tag == TIFFTAG_SUBFILETYPE)
            out->copy = entry_number(c, entry) & (FILETYPE_REDUCEDIMAGE | FILETYPE_MASK);
        else if (tag == TIFFTAG_IMAGEWIDTH || tag == TIFFTAG_IMAGELENGTH)
            *(tag == TIFFTAG_IMAGEWIDTH ? &out->width : &out->height) = entry_number(c, entry);
    }
    const uint64_t to = number_at(c, c->block + bytes - word, word);
    out->next = to <= INT64_MAX ? (int64_t)to : -1;
    return SWG_OK;
}

static swg_status keep_directory(chain *c, int64_t offset, const directory *d) {
    swg_context *ctx = c->stack->ctx;
    if (c->count == c->capacity) {
        const int64_t larger = c->capacity ? 2 * c->capacity : 64;
        if (larger > INT32_MAX || larger * 9 > c->stack->max_bytes)
            return swg__fail(ctx, SWG_ESHAPE, "%s: %lld pages are more than are read", c->stack->name, (long long)c->count);
        int64_t *offsets = swg__grow(ctx, c->offset, (size_t)larger * sizeof *offsets);
        c->offset = offsets ? offsets : c->offset;
        uint8_t *copies = offsets ? swg__grow(ctx, c->copy, (size_t)larger) : NULL;
        c->copy = copies ? copies : c->copy;
        if (!copies)
            return swg__fail_memory(ctx, (size_t)larger * 9, c->stack->name);
        c->capacity = larger;
    }
    if (c->count == 0) {
        c->width = d->width;
        c->height = d->height;
    } else if (c->odd < 0 && !d->copy && (d->width != c->width || d->height != c->height)) {
        c->odd = c->count;
    }
    c->offset[c->count] = offset;
    c->copy[c->count++] = d->copy;
    c->copies += d->copy;
    return SWG_OK;
}

/* Brent's way to see that a chain bites its tail: the offset kept is renewed after 1, 2, 4, ... steps. */
static swg_status walk(chain *c) {
    uint8_t head[16];
    c->block = swg__alloc(c->stack->ctx, 8 + MOST_ENTRIES * 20 + 8);
    if (!c->block)
        return swg__fail_memory(c->stack->ctx, MOST_ENTRIES * 20, c->stack->name);
    if (!read_at(c, 0, head, 8))
        return broken(c);
    c->swap = (head[0] == 'M') == (*(const uint8_t *)&(uint16_t){1} == 1);
    c->big = head[2] == 43 || head[3] == 43;
    if (c->big && !read_at(c, 0, head, 16))
        return broken(c);
    int64_t offset = (int64_t)number_at(c, c->big ? head + 8 : head + 4, c->big ? 8 : 4), kept = 0, renew = 1;
    do {
        directory d = {0};
        SWG__TRY(read_directory(c, offset, &d));
        SWG__TRY(keep_directory(c, offset, &d));
        if (c->count == renew) {
            kept = offset;
            renew *= 2;
        }
        offset = d.next;
        if (offset == kept)
            return swg__fail(c->stack->ctx, SWG_ECORRUPT, "%s: damaged: its pages lead back to one of them", c->stack->name);
    } while (offset);
    return SWG_OK;
}

/* ---- opening ---- */

static const char *compression_name(uint16_t compression, swg_stack *stack) {
    static const struct {
        uint16_t code;
        const char *name;
    } known[] = {{COMPRESSION_NONE, "none"}, {COMPRESSION_ADOBE_DEFLATE, "deflate"}, {COMPRESSION_DEFLATE, "deflate"}, {COMPRESSION_LZW, "lzw"},
                 {COMPRESSION_PACKBITS, "packbits"}, {COMPRESSION_JPEG, "jpeg"}, {COMPRESSION_LZMA, "lzma"}, {COMPRESSION_ZSTD, "zstd"}};
    char number[16];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].code == compression)
            return known[i].name;
    snprintf(number, sizeof number, "%d", compression);
    return swg__arena_strdup(&stack->arena, number);
}

/* One run of uncompressed strips: where it begins, -1 if it is none. */
static int64_t one_run(swg__tiff *t) {
    uint16_t order;
    TIFFGetFieldDefaulted(t->tiff, TIFFTAG_FILLORDER, &order);
    if (t->compression != COMPRESSION_NONE || t->tiled || t->separate || order != FILLORDER_MSB2LSB)
        return -1;
    const uint64_t begin = TIFFGetStrileOffset(t->tiff, 0), strip = (uint64_t)t->strip_rows * t->piece_bytes;
    const uint32_t strips = TIFFNumberOfStrips(t->tiff);
    for (uint32_t i = 1; i < strips; i++)
        if (TIFFGetStrileOffset(t->tiff, i) != begin + i * strip)
            return -1;
    return begin > 0 && begin <= INT64_MAX ? (int64_t)begin : -1;
}

static swg_status settle_first(swg_stack *stack, tiff_stack *t, swg__page_facts *facts) {
    swg__tiff *file = &t->file;
    int64_t row;
    SWG__TRY(swg__tiff_describe(file));
    if (file->width < 1 || file->height < 1)
        return swg__fail(stack->ctx, SWG_ESHAPE, "%s: %lld x %lld pixels: the image is empty", stack->name, (long long)file->width, (long long)file->height);
    if (swg__mul_overflow(file->width, (int64_t)file->samples * swg_element_bytes(file->element), &row) || row > stack->max_bytes)
        return swg__fail(stack->ctx, SWG_ESHAPE, "%s: rows of %lld pixels are more than %lld bytes", stack->name, (long long)file->width, (long long)stack->max_bytes);
    SWG__TRY(swg__tiff_prepare(file));
    t->width = facts->width = file->width;
    t->height = facts->height = file->height;
    t->samples = facts->samples = file->samples;
    t->colours = facts->colours = file->colours;
    t->element = file->element;
    t->run_at = one_run(file);
    facts->plain = t->run_at >= 0;
    TIFFGetField(file->tiff, TIFFTAG_XRESOLUTION, &facts->x_resolution);
    TIFFGetField(file->tiff, TIFFTAG_YRESOLUTION, &facts->y_resolution);
    swg_stack_info *info = &stack->info;
    info->element = file->element;
    info->compression = compression_name(file->compression, stack);
    info->tiled = file->tiled;
    info->alpha_dropped = file->colours < file->samples;
    info->palette = file->photometric == PHOTOMETRIC_PALETTE;
    stack->together = file->colours;
    stack->band_y = file->tiled ? file->tile_height : 1;
    return info->compression ? SWG_OK : swg__fail_memory(stack->ctx, 16, stack->name);
}

/* Planes that lie behind the first: are they all there? */
static swg_status settle_behind(swg_stack *stack, tiff_stack *t, int64_t planes) {
    int64_t bytes, end;
    t->behind_at = t->run_at;
    t->behind_bytes = t->height * t->width * t->samples * swg_element_bytes(t->element);
    if (swg__mul_overflow(planes, t->behind_bytes, &bytes) || __builtin_add_overflow(bytes, t->behind_at, &end) || end > stack->stream.size)
        return swg__fail(stack->ctx, SWG_ECORRUPT, "%s: damaged or cut short: %lld planes do not fit into %lld bytes", stack->name, (long long)planes,
                         (long long)stack->stream.size);
    return SWG_OK;
}

static void steps_of(const swg__axes *axes, int64_t step[3]) {
    int64_t pages = 1;
    step[0] = step[1] = step[2] = 0;
    for (int i = axes->count - 1; i >= 0; i--) {
        step[strchr("TCZ", axes->letter[i]) - "TCZ"] = pages;
        pages *= axes->extent[i];
    }
}

static void add_axis(swg__axes *axes, char letter, int64_t extent) {
    axes->letter[axes->count] = letter;
    axes->extent[axes->count++] = extent;
}

static swg_status settle_names(swg_stack *stack, const tiff_stack *t, const swg__planes *planes) {
    bool told = false;
    for (int64_t c = 0; c < planes->channel_count; c++)
        told = told || planes->channels[c];
    if (!told)
        return SWG_OK;
    if (!swg__stack_names(stack))
        return swg__fail_memory(stack->ctx, (size_t)stack->info.c * sizeof(char *), stack->name);
    for (int64_t c = 0; c < stack->info.c && c / t->colours < planes->channel_count; c++)
        stack->channels[c] = planes->channels[c / t->colours];
    return SWG_OK;
}

static swg_status settle_planes(swg_stack *stack, tiff_stack *t, const swg__planes *planes) {
    swg_stack_info *info = &stack->info;
    swg__axes axes = planes->axes;
    int64_t count = 1;
    for (int i = 0; i < axes.count; i++)
        count *= axes.extent[i];
    steps_of(&axes, t->step);
    if (planes->behind)
        SWG__TRY(settle_behind(stack, t, count));
    if (t->colours > 1 && t->file.separate)
        add_axis(&axes, 'S', t->colours);
    add_axis(&axes, 'Y', t->height);
    add_axis(&axes, 'X', t->width);
    if (t->colours > 1 && !t->file.separate)
        add_axis(&axes, 'S', t->colours);
    SWG__TRY(swg__stack_take_axes(stack, &axes, planes->order_from));
    info->planes_missing = planes->missing;
    info->images_left_out += planes->images - 1;
    memcpy(info->size_um, planes->size_um, sizeof info->size_um);
    info->interval_s = planes->interval_s;
    return settle_names(stack, t, planes);
}

static swg_status settle(swg_stack *stack, tiff_stack *t, chain *c) {
    swg__page_facts facts = {.pages = c->count, .copies = c->copies};
    swg__planes planes = {0};
    char *text = NULL;
    t->file = (swg__tiff){.ctx = stack->ctx, .name = stack->name, .stream = &stack->stream, .max_bytes = stack->max_bytes};
    SWG__TRY(swg__tiff_open(&t->file));
    SWG__TRY(settle_first(stack, t, &facts));
    TIFFGetField(t->file.tiff, TIFFTAG_IMAGEDESCRIPTION, &text);
    swg_status status = swg__planes_settle(stack, text, &facts, &planes);
    t->page = planes.page; /* ours from here on */
    SWG__TRY(status);
    if (!planes.copies_count && c->odd >= 0) /* OME-XML may leave pages out */
        return swg__fail(stack->ctx, SWG_ESHAPE, "%s: page %lld has another size than the first: not one stack", stack->name, (long long)c->odd);
    if (!planes.copies_count && c->copies) { /* pages are numbered without them */
        t->pages = 0;
        for (int64_t i = 0; i < c->count; i++)
            if (!c->copy[i])
                t->offset[t->pages++] = t->offset[i];
        t->at = c->copy[0] ? -1 : 0;
        stack->info.images_left_out = c->copies;
    }
    return settle_planes(stack, t, &planes);
}

static swg_status open_tiff(swg_stack *stack) {
    tiff_stack *t = swg__calloc(stack->ctx, 1, sizeof *t);
    if (!t)
        return swg__fail_memory(stack->ctx, sizeof *t, stack->name);
    t->file.ctx = stack->ctx;
    t->file.file.fd = -1;
    stack->state = t;
    chain c = {.stack = stack, .odd = -1};
    swg_status status = walk(&c);
    t->offset = c.offset;
    t->pages = stack->info.pages = c.count;
    stack->info.format = c.big ? "BigTIFF" : "TIFF";
    stack->info.big_endian = c.swap == (*(const uint8_t *)&(uint16_t){1} == 1);
    if (status == SWG_OK)
        status = settle(stack, t, &c);
    swg__free(stack->ctx, c.block);
    swg__free(stack->ctx, c.copy);
    return status;
}

static void close_tiff(swg_stack *stack) {
    tiff_stack *t = stack->state;
    swg__tiff_close(&t->file);
    swg__free(stack->ctx, t->offset);
    swg__free(stack->ctx, t->page);
    swg__free(stack->ctx, t);
}

/* ---- reading ---- */

static swg_status go_to_page(swg_stack *stack, tiff_stack *t, int64_t page) {
    swg__tiff *file = &t->file;
    if (page == t->at)
        return SWG_OK;
    t->at = -1;
    *file->reason = 0;
    if (TIFFSetSubDirectory(file->tiff, (uint64_t)t->offset[page]) != 1)
        return swg__tiff_damaged(file);
    SWG__TRY(swg__tiff_describe(file));
    if (file->width != t->width || file->height != t->height || file->samples != t->samples || file->colours != t->colours || file->element != t->element)
        return swg__fail(stack->ctx, SWG_ESHAPE, "%s: page %lld has %lld x %lld pixels of %d %s, the first %lld x %lld of %d %s: not one stack", stack->name,
                         (long long)page, (long long)file->width, (long long)file->height, file->colours, swg_element_name(file->element),
                         (long long)t->width, (long long)t->height, t->colours, swg_element_name(t->element));
    SWG__TRY(swg__tiff_prepare(file));
    t->run_at = one_run(file);
    t->at = page;
    return SWG_OK;
}

typedef struct window {
    const tiff_stack *t;
    const swg_stack_box *box;
    uint8_t *out;               /* (channels, d, h, w), at the plane at hand */
} window;

/* Wanted samples of n pixels. */
static void take_pixels(void *user, const uint8_t *pixels, int sample, int64_t row, int64_t column, int64_t n) {
    const window *o = user;
    const swg_stack_box *box = o->box;
    const bool separate = o->t->file.separate;
    const int bytes = swg_element_bytes(o->t->element);
    for (int i = 0; i < box->channel_count; i++) {
        const int wanted = box->channels[i] % o->t->colours;
        if (separate && wanted != sample)
            continue;
        uint8_t *to = o->out + ((i * box->d * box->h + row) * box->w + column) * bytes;
        swg__image_planes(bytes, pixels + (separate ? 0 : wanted * bytes), n, swg__tiff_together(&o->t->file), 1, to, 0);
    }
}

/* `count` numbers at an offset of the file. */
static swg_status read_numbers(swg_stack *stack, tiff_stack *t, int64_t offset, int64_t count, uint8_t *to) {
    const int bytes = swg_element_bytes(t->element);
    stack->stream.at = offset;
    *t->file.reason = 0;
    if (swg__stream_read(&stack->stream, to, count * bytes) != count * bytes)
        return swg__tiff_damaged(&t->file);
    if (TIFFIsByteSwapped(t->file.tiff))
        swg__swap_bytes(to, count, bytes);
    return SWG_OK;
}

/* Rows of an uncompressed plane that begins at `at`. */
static swg_status read_run(swg_stack *stack, tiff_stack *t, int64_t at, window *o) {
    const swg_stack_box *box = o->box;
    const int64_t pixel = (int64_t)swg_element_bytes(t->element) * t->samples, row = t->width * pixel;
    at += box->y * row + box->x * pixel;
    if (t->samples == 1 && box->channel_count == 1 && box->w == t->width)
        return read_numbers(stack, t, at, box->h * box->w, o->out);
    for (int64_t r = 0; r < box->h; r++) {
        SWG__TRY(read_numbers(stack, t, at + r * row, box->w * t->samples, t->file.scratch));
        take_pixels(o, t->file.scratch, 0, r, 0, box->w);
    }
    return SWG_OK;
}

static swg_status read_tiff(swg_stack *stack, const swg_stack_box *box, void *out) {
    tiff_stack *t = stack->state;
    const swg_stack_info *info = &stack->info;
    const int64_t c = box->channels[0] / t->colours, plane_bytes = box->h * box->w * swg_element_bytes(t->element);
    int planes[64]; /* as many as stack.c wants together */
    for (int i = 0; i < box->channel_count; i++)
        planes[i] = box->channels[i] % t->colours;
    for (int64_t z = box->z; z < box->z + box->d; z++) {
        window o = {.t = t, .box = box, .out = (uint8_t *)out + (z - box->z) * plane_bytes};
        const int64_t page = t->page ? t->page[(box->t * (info->c / t->colours) + c) * info->z + z] : box->t * t->step[0] + c * t->step[1] + z * t->step[2];
        if (page < 0)
            return swg__fail(stack->ctx, SWG_ENOTFOUND, "%s: OME-XML says that time %lld, channel %lld, z %lld is in another file", stack->name,
                             (long long)box->t, (long long)box->channels[0], (long long)z);
        if (!t->behind_bytes)
            SWG__TRY(go_to_page(stack, t, page));
        if (t->behind_bytes)
            SWG__TRY(read_run(stack, t, t->behind_at + page * t->behind_bytes, &o));
        else if (t->run_at >= 0)
            SWG__TRY(read_run(stack, t, t->run_at, &o));
        else
            SWG__TRY(swg__tiff_window(&t->file, box->y, box->x, box->h, box->w, planes, box->channel_count, take_pixels, &o));
    }
    return SWG_OK;
}

const swg__stack_format swg__stack_tiff = {.open = open_tiff, .read = read_tiff, .close = close_tiff};

#else

static swg_status open_tiff(swg_stack *stack) { return swg__image_missing(stack->ctx, stack->name, "libtiff"); }
const swg__stack_format swg__stack_tiff = {.open = open_tiff};

#endif
