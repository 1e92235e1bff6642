/* yaml.c - YAML text to a tree of nodes, by libyaml's events, and scalars back to YAML.
 * In: text. Out: a tree with file and line of every value. Tags, several documents and keys that are not plain names are refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>
#include "config/tree.h"

typedef struct anchor {
    const char *name;
    swg__node *node;
    struct anchor *next;
} anchor;

typedef struct reader {
    swg__tree *tree;
    swg__node place;      /* file, and line of the event in hand */
    swg__node *root;
    swg__node *open;      /* innermost list or map that is not closed yet */
    char *key;            /* of the value that comes next in `open`; NULL: a key comes next */
    anchor *anchors;
} reader;

static swg_status refuse(reader *r, const char *what) {
    char where[256];
    swg__node_place(&r->place, where, sizeof where);
    return swg__fail(r->tree->ctx, SWG_EUSAGE, "%s %s", what, where);
}

/* ---- references inside flow lists and maps ----
 * `{path: ${paths.data}/run1}` is not YAML, but it is how recipes are written. Punctuation inside ${...} is lifted into the
 * private-use block U+E000..U+E07F before libyaml sees the text, and lowered in the scalars it returns; lines stay as they are. */

/* Length of the reference at text ("${" to the matching "}" on the same line, no quotes within), 0 if there is none. */
static size_t reference_length(const char *text, const char *end) {
    int open = 0;
    if (end - text < 2 || text[0] != '$' || text[1] != '{')
        return 0;
    for (const char *p = text + 1; p < end && *p != '\n' && *p != '"' && *p != '\''; p++) {
        open += (*p == '{') - (*p == '}');
        if (open == 0)
            return (size_t)(p - text) + 1;
    }
    return 0;
}

static void lift(swg__text *out, const char *text, size_t bytes) {
    const char *end = text + bytes, *from = text, *p = text;
    while (p < end) {
        size_t length = reference_length(p, end);
        if (!length) {
            p++;
            continue;
        }
        swg__text_add(out, from, (size_t)(p - from));
        for (from = p + length; p < from; p++) {
            unsigned char c = (unsigned char)*p;
            char lifted[3] = {(char)0xEE, (char)(0x80 + (c >> 6)), (char)(0x80 + (c & 63))};
            if (c < 128 && ispunct(c))
                swg__text_add(out, lifted, 3);
            else
                swg__text_add(out, p, 1);
        }
    }
    swg__text_add(out, from, (size_t)(end - from));
}

static bool is_lifted(const char *p, size_t left) {
    return left >= 3 && (unsigned char)p[0] == 0xEE && ((unsigned char)p[1] & 0xFE) == 0x80;
}

bool swg__yaml_reserved(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (is_lifted(text + i, bytes - i))
            return true;
    return false;
}

static size_t lower(char *text, size_t length) {
    size_t used = 0;
    for (size_t i = 0; i < length; used++) {
        char c = text[i];
        if (is_lifted(text + i, length - i)) {
            c = (char)(((text[i + 1] & 1) << 6) | (text[i + 2] & 63));
            i += 2;
        }
        text[used] = c;
        i++;
    }
    return used;
}

/* ---- events ---- */

/* Makes the node for a value that starts now, in the open list or map or as the root. */
static swg__node *add(reader *r, swg__node_kind kind, swg_status *status) {
    swg__node *node = swg__node_add(r->tree, r->open, kind, r->key, &r->place, status);
    r->key = NULL;
    if (node && !r->root)
        r->root = node;
    return node;
}

static swg_status remember(reader *r, const yaml_char_t *name, swg__node *node) {
    if (!name)
        return SWG_OK;
    anchor *a = swg__arena_alloc(&r->tree->arena, sizeof *a);
    char *own = a ? swg__arena_strdup(&r->tree->arena, (const char *)name) : NULL;
    if (!own)
        return swg__fail_memory(r->tree->ctx, sizeof *a, "an anchor");
    *a = (anchor){own, node, r->anchors};
    r->anchors = a;
    return SWG_OK;
}

static swg_status on_key(reader *r, const yaml_event_t *event) {
    char what[192];
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    if (event->data.scalar.anchor)
        return refuse(r, "anchor on a key");
    bool merge = strcmp(text, "<<") == 0 && event->data.scalar.plain_implicit;
    bool plain = length > 0 && length < 128 && strlen(text) == length;
    for (size_t i = 0; plain && i < length; i++)
        plain = isalnum((unsigned char)text[i]) || strchr("_-/ ", text[i]); /* "override /trainer" is a key of `defaults` */
    if (!plain && !merge) {
        snprintf(what, sizeof what, "'%.64s': not a name for a key%s", text,
                 strchr(text, '.') ? ", which has no dots in a file: nest maps instead" : "");
        return refuse(r, what);
    }
    if (swg__node_child(r->open, text)) {
        snprintf(what, sizeof what, "'%.64s' is given twice, again", text);
        return refuse(r, what);
    }
    if (!(r->key = swg__arena_strdup(&r->tree->arena, text)))
        return swg__fail_memory(r->tree->ctx, length, "a key");
    return SWG_OK;
}

static swg_status on_scalar(reader *r, const yaml_event_t *event) {
    if (event->data.scalar.tag)
        return refuse(r, "tags (!) are not allowed,");
    if (r->open && r->open->kind == SWG__NODE_MAP && !r->key)
        return on_key(r, event);
    swg_status status = SWG_OK;
    swg__node *node = add(r, SWG__NODE_SCALAR, &status);
    if (!node)
        return status;
    size_t length = lower((char *)event->data.scalar.value, event->data.scalar.length);
    SWG__TRY(swg__node_set_text(r->tree, node, (const char *)event->data.scalar.value, length, !event->data.scalar.plain_implicit));
    return remember(r, event->data.scalar.anchor, node);
}

static swg_status on_open(reader *r, swg__node_kind kind, const yaml_char_t *name, const yaml_char_t *tag) {
    swg_status status = SWG_OK;
    if (tag)
        return refuse(r, "tags (!) are not allowed,");
    if (r->open && r->open->kind == SWG__NODE_MAP && !r->key)
        return refuse(r, "a list or map cannot be a key,");
    swg__node *node = add(r, kind, &status);
    if (!node)
        return status;
    r->open = node;
    return remember(r, name, node);
}

static swg_status on_alias(reader *r, const char *name) {
    char what[128];
    anchor *a = r->anchors;
    while (a && strcmp(a->name, name) != 0)
        a = a->next;
    snprintf(what, sizeof what, "*%.64s: no such anchor before it,", name);
    if (!a)
        return refuse(r, what);
    for (swg__node *node = r->open; node; node = node->parent)
        if (node == a->node)
            return refuse(r, "alias to the value that holds it,");
    if (r->open && r->open->kind == SWG__NODE_MAP && !r->key)
        return refuse(r, "an alias cannot be a key,");
    swg_status status = SWG_OK;
    swg__node *node = add(r, a->node->kind, &status);
    return node ? swg__node_copy(r->tree, node, a->node, true) : status;
}

/* Moves the values of `from` that `map` does not have to its end. */
static swg_status take_over(reader *r, swg__node *map, swg__node *from) {
    if (from->kind != SWG__NODE_MAP)
        return refuse(r, "<<: needs a map or a list of maps,");
    for (swg__node *child = from->first, *next; child; child = next) {
        next = child->next;
        if (swg__node_child(map, child->key))
            continue;
        swg__node_unlink(child);
        child->parent = map;
        *(map->last ? &map->last->next : &map->first) = child;
        map->last = child;
    }
    return SWG_OK;
}

/* Merge key: what the map says itself wins, then the earlier of the merged maps. */
static swg_status on_close(reader *r) {
    swg__node *closed = r->open, *merged = swg__node_child(closed, "<<");
    r->open = closed->parent;
    if (!merged)
        return SWG_OK;
    swg__node_unlink(merged);
    if (merged->kind != SWG__NODE_LIST)
        return take_over(r, closed, merged);
    for (swg__node *item = merged->first; item; item = item->next)
        SWG__TRY(take_over(r, closed, item));
    return SWG_OK;
}

static swg_status on_event(reader *r, const yaml_event_t *event) {
    if (r->place.line)
        r->place.line = (int)event->start_mark.line + 1;
    switch (event->type) {
    case YAML_SCALAR_EVENT: return on_scalar(r, event);
    case YAML_ALIAS_EVENT: return on_alias(r, (const char *)event->data.alias.anchor);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(r, SWG__NODE_LIST, event->data.sequence_start.anchor, event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return on_open(r, SWG__NODE_MAP, event->data.mapping_start.anchor, event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: return on_close(r);
    case YAML_DOCUMENT_START_EVENT: return r->root ? refuse(r, "a second document (---)") : SWG_OK;
    default: return SWG_OK;
    }
}

static swg_status parse_failed(reader *r, const yaml_parser_t *parser) {
    char what[256];
    if (parser->error == YAML_MEMORY_ERROR)
        return swg__fail_memory(r->tree->ctx, 0, "the YAML parser");
    size_t line = parser->error == YAML_READER_ERROR ? parser->mark.line : parser->problem_mark.line;
    if (r->place.line)
        r->place.line = (int)line + 1;
    snprintf(what, sizeof what, "not YAML: %s,", parser->problem ? parser->problem : "unreadable");
    return refuse(r, what);
}

swg_status swg__yaml_parse(swg__tree *tree, const char *text, size_t bytes, const swg__node *place, swg__node **root) {
    reader r = {.tree = tree, .place = *place};
    *root = NULL;
    if (bytes > SWG__CONFIG_MAX_FILE)
        return refuse(&r, "more than 1 MiB of YAML");
    if (swg__yaml_reserved(text, bytes))
        return refuse(&r, "characters of the private-use block U+E000..U+E07F");
    swg__text lifted;
    swg__text_init(&lifted, tree->ctx);
    lift(&lifted, text, bytes);
    yaml_parser_t parser;
    if (lifted.failed || !yaml_parser_initialize(&parser)) {
        swg__text_free(&lifted);
        return swg__fail_memory(tree->ctx, bytes, "the YAML parser");
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)lifted.data, lifted.length);
    swg_status status = SWG_OK;
    for (bool done = false; status == SWG_OK && !done;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            status = parse_failed(&r, &parser);
            break;
        }
        done = event.type == YAML_STREAM_END_EVENT;
        status = on_event(&r, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    swg__text_free(&lifted);
    if (status == SWG_OK && !r.root)
        r.root = swg__node_add(tree, NULL, SWG__NODE_MAP, NULL, place, &status);
    *root = r.root;
    return status;
}

/* ---- back to YAML ---- */

/* True if the text, written plain, reads back as text anywhere (also in a flow list). */
static bool plain_is_safe(const char *text) {
    static const char *const taken[] = {"true", "false", "yes", "no", "on", "off", "null", "nan", "inf", "y", "n"};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (strcasecmp(text, taken[i]) == 0)
            return false;
    if (!isalpha((unsigned char)*text) && *text != '/' && *text != '_')
        return false;
    for (const char *p = text; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("_-./+*", *p))
            return false;
    return true;
}

void swg__yaml_scalar(swg__text *out, const char *text) {
    if (plain_is_safe(text)) {
        swg__text_puts(out, text);
        return;
    }
    swg__text_puts(out, "\"");
    const char *end = text + strlen(text);
    for (const char *p = text, *from = p; p < end; from = p) {
        int32_t point = swg__utf8_next(&p, end);
        if (point == '"' || point == '\\')
            swg__text_printf(out, "\\%c", (char)point);
        else if (point < 32 || (point >= 127 && point < 0xA0) || point == 0x2028 || point == 0x2029 || point == 0xFEFF || point >= 0xFFFE)
            swg__text_printf(out, "\\U%08X", (unsigned)point); /* what a YAML reader folds, refuses or drops */
        else
            swg__text_add(out, from, (size_t)(p - from));
    }
    swg__text_puts(out, "\"");
}
