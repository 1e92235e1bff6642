/* stack_ome.c - OME-XML in the first page of a TIFF: order and extents of the axes, which page is which plane, voxel size, channel names.
 * In: the text. Out: the planes of its first image. Schema: OME 2016-06 and older ones back to 2008, whose names are the same.
 * The scanner knows elements, attributes, comments and character references: no entities of the document's own, so nothing can expand.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "data/stack_format.h"

/* ---- XML ---- */

typedef enum xml_kind { XML_END, XML_OPEN, XML_EMPTY, XML_CLOSE, XML_BAD } xml_kind;

typedef struct xml {
    const char *at;
    xml_kind kind;
    const char *name, *name_end;    /* without the prefix of its namespace */
    const char *attributes, *attributes_end;
    const char *text, *text_end;    /* before this tag */
} xml;

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* Behind the next `word`, NULL if there is none. */
static const char *behind(const char *text, const char *word) {
    const char *found = strstr(text, word);
    return found ? found + strlen(word) : NULL;
}

/* End of the tag that begins at p: its '>', quotes passed over. NULL: none. */
static const char *tag_end(const char *p) {
    for (; *p && *p != '>'; p++)
        if ((*p == '"' || *p == '\'') && !(p = strchr(p + 1, *p)))
            return NULL;
    return *p ? p : NULL;
}

/* The next tag. */
static xml_kind xml_next(xml *x) {
    x->text = x->at;
    for (;;) {
        const char *open = strchr(x->at, '<');
        x->text_end = open ? open : x->at + strlen(x->at);
        if (!open)
            return x->kind = XML_END;
        x->at = strncmp(open, "<?", 2) == 0 ? behind(open, "?>") : strncmp(open, "<!--", 4) == 0 ? behind(open, "-->")
              : strncmp(open, "<![CDATA[", 9) == 0 ? behind(open, "]]>") : open;
        if (!x->at || strncmp(x->at, "<!D", 3) == 0)
            return x->kind = XML_BAD;
        if (x->at == open)
            break;
    }
    const char *start = x->at + 1, *end = tag_end(start);
    if (!end)
        return x->kind = XML_BAD;
    x->kind = *start == '/' ? XML_CLOSE : end[-1] == '/' ? XML_EMPTY : XML_OPEN;
    x->name = start + (x->kind == XML_CLOSE);
    x->attributes_end = end - (x->kind == XML_EMPTY);
    for (x->name_end = x->name; x->name_end < x->attributes_end && !blank(*x->name_end); x->name_end++)
        if (*x->name_end == ':')
            x->name = x->name_end + 1;
    x->attributes = x->name_end;
    x->at = end + 1;
    return x->kind;
}

static bool named(const xml *x, const char *name) { return (size_t)(x->name_end - x->name) == strlen(name) && memcmp(x->name, name, strlen(name)) == 0; }

static size_t put_code_point(uint32_t c, char out[4]) {
    if (c < 0x80)
        return out[0] = (char)c, 1;
    if (c < 0x800)
        return out[0] = (char)(0xc0 | c >> 6), out[1] = (char)(0x80 | (c & 63)), 2;
    if (c < 0x10000)
        return out[0] = (char)(0xe0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 63)), out[2] = (char)(0x80 | (c & 63)), 3;
    return out[0] = (char)(0xf0 | c >> 18), out[1] = (char)(0x80 | (c >> 12 & 63)), out[2] = (char)(0x80 | (c >> 6 & 63)), out[3] = (char)(0x80 | (c & 63)), 4;
}

/* One character or reference at *p to out; bytes written. What is no known reference stays as it is. */
static size_t decode(const char **p, const char *end, char out[4]) {
    static const struct {
        const char *word;
        char is;
    } known[] = {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}};
    for (size_t i = 0; **p == '&' && i < sizeof known / sizeof *known; i++) {
        size_t n = strlen(known[i].word);
        if ((size_t)(end - *p) >= n && memcmp(*p, known[i].word, n) == 0) {
            *p += n;
            *out = known[i].is;
            return 1;
        }
    }
    if (end - *p > 3 && (*p)[0] == '&' && (*p)[1] == '#') {
        const bool hex = (*p)[2] == 'x';
        char *stop;
        unsigned long c = strtoul(*p + 2 + hex, &stop, hex ? 16 : 10);
        if (stop < end && *stop == ';' && c > 0 && c < 0x110000) {
            *p = stop + 1;
            return put_code_point((uint32_t)c, out);
        }
    }
    *out = *(*p)++;
    return 1;
}

/* The value of an attribute, references resolved, cut to the capacity; false: it is not there. */
static bool attribute(const xml *x, const char *name, char *out, size_t capacity) {
    for (const char *p = x->attributes; p < x->attributes_end;) {
        while (p < x->attributes_end && blank(*p))
            p++;
        const char *start = p;
        while (p < x->attributes_end && *p != '=' && !blank(*p))
            p++;
        const size_t length = (size_t)(p - start);
        while (p < x->attributes_end && *p != '"' && *p != '\'')
            p++;
        const char *end = p < x->attributes_end ? memchr(p + 1, *p, (size_t)(x->attributes_end - p - 1)) : NULL;
        if (!end)
            return false;
        p++;
        if (length == strlen(name) && memcmp(start, name, length) == 0) {
            size_t used = 0;
            while (p < end) {
                char bytes[4];
                size_t n = decode(&p, end, bytes);
                if (used + n >= capacity)
                    break;
                memcpy(out + used, bytes, n);
                used += n;
            }
            out[used] = 0;
            return true;
        }
        p = end + 1;
    }
    return false;
}

bool swg__is_ome(const char *text) {
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    while (blank(*text))
        text++;
    xml x = {.at = text};
    return *text == '<' && xml_next(&x) == XML_OPEN && named(&x, "OME");
}

/* ---- the first image ---- */

/* A TiffData element. */
typedef struct tiff_data {
    int64_t ifd, t, c, z, count;
    bool has_ifd, has_count, other_name; /* other_name: FileName is not that of this file */
    const char *uuid;                    /* text of its UUID; NULL: none */
    size_t uuid_length;
} tiff_data;

typedef struct ome {
    swg_stack *stack;
    swg__planes *out;
    int64_t x, y, t, c, z;
    char order[8], uuid[128];            /* of the file */
    bool found;                          /* a Pixels element */
    tiff_data *data;
    int64_t count, capacity;
    char **names;                        /* of channels, on the arena */
    int64_t channels, names_capacity;
} ome;

static swg_status wrong(const ome *o, const char *what) { return swg__fail(o->stack->ctx, SWG_ECORRUPT, "%s: OME-XML: %s", o->stack->name, what); }

/* An attribute that is a whole number of at least `least`; as it was if it is not there. */
static swg_status whole(const ome *o, const xml *x, const char *name, int64_t least, int64_t *out, bool *found) {
    char word[32], *end, what[96];
    if (found)
        *found = false;
    if (!attribute(x, name, word, sizeof word))
        return SWG_OK;
    long long value = strtoll(word, &end, 10);
    if (end == word || *end || value < least || value > INT32_MAX) {
        snprintf(what, sizeof what, "%s is \"%s\"", name, word);
        return wrong(o, what);
    }
    *out = value;
    if (found)
        *found = true;
    return SWG_OK;
}

/* A length or a time in our unit; 0 if it is not told. unit_name: the attribute; without it `standard` is the unit. */
static double measure(const xml *x, const char *name, const char *unit_name, double standard, double (*of_unit)(const char *)) {
    char word[64], unit[32];
    double value = attribute(x, name, word, sizeof word) ? strtod(word, NULL) : 0;
    double size = attribute(x, unit_name, unit, sizeof unit) ? of_unit(unit) : standard;
    return isfinite(value) && value > 0 ? value * size : 0;
}

static swg_status take_pixels(ome *o, const xml *x) {
    o->found = true;
    SWG__TRY(whole(o, x, "SizeX", 1, &o->x, NULL));
    SWG__TRY(whole(o, x, "SizeY", 1, &o->y, NULL));
    SWG__TRY(whole(o, x, "SizeZ", 1, &o->z, NULL));
    SWG__TRY(whole(o, x, "SizeC", 1, &o->c, NULL));
    SWG__TRY(whole(o, x, "SizeT", 1, &o->t, NULL));
    if (!attribute(x, "DimensionOrder", o->order, sizeof o->order) || strlen(o->order) != 5 || strncmp(o->order, "XY", 2) != 0 ||
        !strchr(o->order + 2, 'Z') || !strchr(o->order + 2, 'C') || !strchr(o->order + 2, 'T'))
        return wrong(o, "DimensionOrder is not XY and then Z, C and T");
    o->out->size_um[0] = measure(x, "PhysicalSizeZ", "PhysicalSizeZUnit", 1, swg__unit_um);
    o->out->size_um[1] = measure(x, "PhysicalSizeY", "PhysicalSizeYUnit", 1, swg__unit_um);
    o->out->size_um[2] = measure(x, "PhysicalSizeX", "PhysicalSizeXUnit", 1, swg__unit_um);
    o->out->interval_s = measure(x, "TimeIncrement", "TimeIncrementUnit", 1, swg__unit_s);
    return SWG_OK;
}

static swg_status take_channel(ome *o, const xml *x) {
    char name[256];
    swg__arena *arena = &o->stack->arena;
    if (o->channels == o->names_capacity) {
        const int64_t larger = o->names_capacity ? 2 * o->names_capacity : 8;
        char **names = swg__arena_alloc(arena, (size_t)larger * sizeof *names);
        if (!names)
            return swg__fail_memory(o->stack->ctx, (size_t)larger * sizeof *names, o->stack->name);
        if (o->channels)
            memcpy(names, o->names, (size_t)o->channels * sizeof *names);
        o->names = names;
        o->names_capacity = larger;
    }
    char **at = &o->names[o->channels++];
    if (attribute(x, "Name", name, sizeof name) && *name && !(*at = swg__arena_strdup(arena, name)))
        return swg__fail_memory(o->stack->ctx, strlen(name), o->stack->name);
    return SWG_OK;
}

static swg_status take_data(ome *o, const xml *x) {
    if (o->count == o->capacity) {
        const int64_t larger = o->capacity ? 2 * o->capacity : 64;
        tiff_data *grown = swg__grow(o->stack->ctx, o->data, (size_t)larger * sizeof *grown);
        if (!grown)
            return swg__fail_memory(o->stack->ctx, (size_t)larger * sizeof *grown, o->stack->name);
        o->data = grown;
        o->capacity = larger;
    }
    tiff_data *d = &o->data[o->count++];
    *d = (tiff_data){0};
    SWG__TRY(whole(o, x, "IFD", 0, &d->ifd, &d->has_ifd));
    SWG__TRY(whole(o, x, "FirstT", 0, &d->t, NULL));
    SWG__TRY(whole(o, x, "FirstC", 0, &d->c, NULL));
    SWG__TRY(whole(o, x, "FirstZ", 0, &d->z, NULL));
    return whole(o, x, "PlaneCount", 0, &d->count, &d->has_count);
}

static void take_file_name(const ome *o, const xml *x) {
    char name[512];
    const char *slash = strrchr(o->stack->name, '/');
    if (attribute(x, "FileName", name, sizeof name))
        o->data[o->count - 1].other_name = strcmp(name, slash ? slash + 1 : o->stack->name) != 0;
}

static void take_uuid(const ome *o, const char *text, const char *end) {
    while (text < end && blank(*text))
        text++;
    while (text < end && blank(end[-1]))
        end--;
    o->data[o->count - 1].uuid = text;
    o->data[o->count - 1].uuid_length = (size_t)(end - text);
}

/* OME / Image / Pixels / Channel, TiffData / UUID. */
static swg_status scan(ome *o, const char *text) {
    xml x = {.at = text};
    enum { OME = 1, IMAGE, PIXELS, PART, UUID };
    bool here = false, pixels = false, data = false; /* inside the first Image, its first Pixels, a TiffData of it */
    o->out->images = 0;
    int64_t depth = 0;
    while (xml_next(&x) != XML_END && x.kind != XML_BAD && (x.kind != XML_CLOSE || depth > 0)) {
        if (x.kind == XML_CLOSE) {
            if (depth == UUID && data && named(&x, "UUID"))
                take_uuid(o, x.text, x.text_end);
            here = here && depth != IMAGE;
            pixels = pixels && depth != PIXELS;
            data = data && depth != PART;
            depth--;
            continue;
        }
        const int64_t level = depth + 1;
        depth += x.kind == XML_OPEN;
        if (level == OME && !attribute(&x, "UUID", o->uuid, sizeof o->uuid))
            *o->uuid = 0;
        if (level == IMAGE && named(&x, "Image"))
            here = o->out->images++ == 0 && x.kind == XML_OPEN;
        if (level == PIXELS && here && !o->found && named(&x, "Pixels")) {
            pixels = x.kind == XML_OPEN;
            SWG__TRY(take_pixels(o, &x));
        }
        if (level == PART && pixels && named(&x, "Channel"))
            SWG__TRY(take_channel(o, &x));
        if (level == PART && pixels && named(&x, "TiffData")) {
            data = x.kind == XML_OPEN;
            SWG__TRY(take_data(o, &x));
        }
        if (level == UUID && data && named(&x, "UUID"))
            take_file_name(o, &x);
    }
    return x.kind == XML_END && depth == 0 ? SWG_OK : wrong(o, "cut short or not well formed");
}

/* ---- which page is which plane ---- */

static bool same_uuid(const tiff_data *a, const tiff_data *b) {
    return a->uuid && b->uuid && a->uuid_length == b->uuid_length && memcmp(a->uuid, b->uuid, a->uuid_length) == 0;
}

/* Files of a set name each other by UUID; a file by itself may have been renamed, and is meant if all of its planes have one UUID. */
static bool elsewhere(const ome *o, const tiff_data *d, bool alone) {
    if (alone)
        return false;
    if (d->uuid && *o->uuid)
        return d->uuid_length != strlen(o->uuid) || memcmp(d->uuid, o->uuid, d->uuid_length) != 0;
    return d->other_name;
}

/* Place of plane k of the axes' order, slowest first, as (t C + c) Z + z. */
static int64_t place(const swg__axes *axes, int64_t k) {
    int64_t at[3] = {0}; /* t, c, z */
    for (int i = axes->count - 1; i >= 0; i--) {
        at[strchr("TCZ", axes->letter[i]) - "TCZ"] = k % axes->extent[i];
        k /= axes->extent[i];
    }
    return (at[0] * swg__axes_extent(axes, 'C') + at[1]) * swg__axes_extent(axes, 'Z') + at[2];
}

/* The number of plane (t, c, z) in the axes' order: the inverse. */
static int64_t number(const swg__axes *axes, int64_t t, int64_t c, int64_t z) {
    int64_t k = 0;
    for (int i = 0; i < axes->count; i++)
        k = k * axes->extent[i] + (axes->letter[i] == 'T' ? t : axes->letter[i] == 'C' ? c : z);
    return k;
}

static swg_status map_pages(const ome *o, const swg__page_facts *facts, int64_t planes, bool *plain) {
    const swg__axes *axes = &o->out->axes;
    int64_t steps = 0;
    bool alone = o->count > 0 && o->data[0].uuid;
    for (int64_t i = 1; i < o->count && alone; i++)
        alone = same_uuid(&o->data[0], &o->data[i]);
    for (int64_t i = 0; i < o->count; i++) {
        const tiff_data *d = &o->data[i];
        const int64_t c = d->c % facts->samples ? d->c : d->c / facts->samples; /* counted in samples by most writers */
        if (d->t >= swg__axes_extent(axes, 'T') || c >= swg__axes_extent(axes, 'C') || d->z >= swg__axes_extent(axes, 'Z'))
            return wrong(o, "a TiffData element begins outside the image");
        const int64_t first = number(axes, d->t, c, d->z), rest = planes - first;
        int64_t count = d->has_count ? d->count : d->has_ifd ? 1 : rest;
        const bool other = elsewhere(o, d, alone);
        if (count > rest || (steps += count) > 4 * planes)
            return wrong(o, "TiffData elements hold more planes than the image");
        if (!other && count > facts->pages - d->ifd)
            return swg__fail(o->stack->ctx, SWG_ECORRUPT, "%s: OME-XML tells of page %lld, the file has %lld", o->stack->name,
                             (long long)(d->ifd + count - 1), (long long)facts->pages);
        for (int64_t k = 0; !other && k < count; k++)
            o->out->page[place(axes, first + k)] = (int32_t)(d->ifd + k);
    }
    *plain = true;
    for (int64_t k = 0; k < planes; k++) {
        const int32_t page = o->out->page[place(axes, k)];
        o->out->missing += page < 0;
        *plain = *plain && page == k;
    }
    return SWG_OK;
}

static swg_status settle_pages(const ome *o, const swg__page_facts *facts) {
    swg__planes *out = o->out;
    swg_context *ctx = o->stack->ctx;
    int64_t planes = 1;
    bool fits = true, plain = false;
    for (int i = 0; i < 3; i++) {
        const char letter = o->order[4 - i];
        const int64_t extent = letter == 'T' ? o->t : letter == 'Z' ? o->z : o->c / facts->samples;
        fits = fits && !swg__mul_overflow(planes, extent, &planes);
        out->axes.letter[i] = letter;
        out->axes.extent[i] = extent;
    }
    out->axes.count = 3;
    if (!fits || planes / 64 > facts->pages || (!o->count && planes > facts->pages))
        return swg__fail(ctx, SWG_ECORRUPT, "%s: OME-XML tells of %lld times, %lld channels and %lld slices, the file has %lld pages", o->stack->name, (long long)o->t,
                         (long long)o->c, (long long)o->z, (long long)facts->pages);
    if (!o->count)
        return SWG_OK;
    if (!(out->page = swg__alloc(ctx, (size_t)planes * sizeof *out->page)))
        return swg__fail_memory(ctx, (size_t)planes * sizeof *out->page, o->stack->name);
    for (int64_t k = 0; k < planes; k++)
        out->page[k] = -1;
    SWG__TRY(map_pages(o, facts, planes, &plain));
    if (out->missing == planes)
        return swg__fail(ctx, SWG_EFORMAT, "%s: OME-XML says that all planes are in other files", o->stack->name);
    if (plain) {
        swg__free(ctx, out->page);
        out->page = NULL;
    }
    return SWG_OK;
}

static swg_status settle(ome *o, const char *text, const swg__page_facts *facts) {
    char what[160];
    SWG__TRY(scan(o, text));
    if (!o->found)
        return swg__fail(o->stack->ctx, SWG_EFORMAT, "%s: its OME-XML does not describe an image; say the axes by layout, as TC3ZYX", o->stack->name);
    if (o->x != facts->width || o->y != facts->height) {
        snprintf(what, sizeof what, "an image of %lld x %lld pixels, the pages have %lld x %lld", (long long)o->x, (long long)o->y, (long long)facts->width,
                 (long long)facts->height);
        return wrong(o, what);
    }
    if (o->c % facts->samples) {
        snprintf(what, sizeof what, "%lld channels in pixels of %d numbers", (long long)o->c, facts->samples);
        return wrong(o, what);
    }
    o->out->channels = o->names;
    o->out->channel_count = o->channels;
    return settle_pages(o, facts);
}

swg_status swg__planes_of_ome(swg_stack *stack, const char *text, const swg__page_facts *facts, swg__planes *out) {
    ome o = {.stack = stack, .out = out, .t = 1, .c = 1, .z = 1};
    out->order_from = "OME-XML";
    out->copies_count = true;
    swg_status status = settle(&o, text, facts);
    swg__free(stack->ctx, o.data);
    return status;
}
