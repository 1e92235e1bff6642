/* volumes_key.c - the text of a key, "raw channel=5 zoom=0.25 normalise": read and written.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "data/volumes_inside.h"

/* ---- values ---- */

struct reading {
    swg_context *ctx;
    const char *what, *text;    /* configuration key; its text, for messages */
    const char *value;          /* of the option at hand */
    const char *name;
};

static swg_status bad(const struct reading *r, const char *expected) {
    return swg__fail(r->ctx, SWG_EINVAL, "%s \"%s\": %s=%s: expected %s", r->what, r->text, r->name, r->value, expected);
}

/* A whole number 0..2^40 at *at, which moves on. */
static bool take_integer(const char **at, int64_t *out) {
    int64_t value = 0;
    const char *p = *at;
    while (*p >= '0' && *p <= '9' && value < (int64_t)1 << 40)
        value = 10 * value + (*p++ - '0');
    if (p == *at || (*p >= '0' && *p <= '9'))
        return false;
    *at = p;
    *out = value;
    return true;
}

/* A finite number at *at, which moves on. */
static bool take_number(const char **at, double *out) {
    char *end;
    if (!strchr("+-.0123456789", **at) || !**at || (**at == '0' && ((*at)[1] == 'x' || (*at)[1] == 'X'))) /* "0x.5" would be hexadecimal */
        return false;
    *out = strtod(*at, &end);
    const bool taken = end != *at && isfinite(*out);
    *at = end;
    return taken;
}

bool swg__pick_parse(const char *text, bool maximum, swg__pick *out) {
    *out = (swg__pick){0};
    if (strcmp(text, "all") == 0)
        out->kind = SWG__PICK_ALL;
    else if (maximum && strcmp(text, "max") == 0)
        out->kind = SWG__PICK_MAX;
    else {
        out->kind = SWG__PICK_RANGE;
        if (!take_integer(&text, &out->first))
            return false;
        out->last = out->first;
        if (*text == ':' && (text++, !take_integer(&text, &out->last)))
            return false;
        return !*text && out->first <= out->last;
    }
    return true;
}

static swg_status copy_word(const struct reading *r, char out[SWG__VOLUME_WORD]) {
    if (!*r->value || strlen(r->value) >= SWG__VOLUME_WORD)
        return bad(r, "1 to 63 bytes");
    snprintf(out, SWG__VOLUME_WORD, "%s", r->value);
    return SWG_OK;
}

static swg_status set_channel(const struct reading *r, swg__volume_key *key) {
    int parts = 1;
    SWG__TRY(copy_word(r, key->channel));
    for (const char *p = key->channel; *p; p++) {
        parts += *p == '+';
        if (*p == '+' && (p == key->channel || !p[1] || p[1] == '+'))
            return bad(r, "a number, a name, several joined by '+', or mean");
    }
    return parts <= SWG__VOLUME_CHANNELS ? SWG_OK : bad(r, "16 channels at most");
}

static swg_status set_layout(const struct reading *r, swg__volume_key *key) {
    SWG__TRY(copy_word(r, key->layout));
    for (const char *p = key->layout; *p; p++)
        if (!strchr("TBCZYX0123456789", *p))
            return bad(r, "axes as they lie in the file, slowest first, of T C Z Y X, such as ZCYX");
    return SWG_OK;
}

static swg_status set_t(const struct reading *r, swg__volume_key *key) {
    return swg__pick_parse(r->value, false, &key->t) ? SWG_OK : bad(r, "a frame (4), a range with both ends (0:9) or all");
}

static swg_status set_z(const struct reading *r, swg__volume_key *key) {
    return swg__pick_parse(r->value, true, &key->z) ? SWG_OK : bad(r, "a plane (38), a range with both ends (4:20), all, or max (the projection)");
}

static swg_status set_zoom(const struct reading *r, swg__volume_key *key) {
    static const char expected[] = "a factor above 0 and at most 1, for all axes (0.25) or for z, y and x (1x0.5x0.5)";
    const char *at = r->value;
    int count = 0;
    bool good = true;
    do {
        good = take_number(&at, &key->zoom[count]) && key->zoom[count] > 0 && key->zoom[count] <= 1;
        count++;
    } while (good && count < 3 && *at == 'x' && at++);
    if (!good || *at || count == 2)
        return bad(r, expected);
    if (count == 1)
        key->zoom[1] = key->zoom[2] = key->zoom[0];
    key->zoom_axes = count;
    return SWG_OK;
}

static swg_status set_resize(const struct reading *r, swg__volume_key *key) {
    const char *at = r->value;
    for (int i = 0; i < 3; i++)
        if (!take_integer(&at, &key->resize[i]) || key->resize[i] < 1 || key->resize[i] > 1 << 20 || *at != (i < 2 ? 'x' : 0))
            return bad(r, "extents z, y and x, such as 32x256x256");
        else
            at++;
    return SWG_OK;
}

static swg_status set_percentile(const struct reading *r, swg__volume_key *key) {
    const char *at = r->value;
    if (!take_number(&at, &key->low) || *at != ':' || (at++, !take_number(&at, &key->high)) || *at || !(key->low >= 0 && key->low < key->high && key->high <= 100))
        return bad(r, "two percentiles, the lower first, such as 0.01:99.99");
    key->percentile = true;
    return SWG_OK;
}

static swg_status set_threshold(const struct reading *r, swg__volume_key *key) {
    const char *at = r->value;
    if (!take_number(&at, &key->level) || *at)
        return bad(r, "a number");
    key->threshold = true;
    return SWG_OK;
}

static swg_status set_scale(const struct reading *r, swg__volume_key *key) {
    const char *at = r->value;
    if (!take_integer(&at, &key->scale) || *at || key->scale < 1 || key->scale > 64)
        return bad(r, "a factor, 1 to 64");
    return SWG_OK;
}

static swg_status set_binary(const struct reading *r, swg__volume_key *key) { (void)r; key->binary = true; return SWG_OK; }
static swg_status set_labels(const struct reading *r, swg__volume_key *key) { (void)r; key->labels = true; return SWG_OK; }
static swg_status set_normalise(const struct reading *r, swg__volume_key *key) { (void)r; key->normalise = true; return SWG_OK; }

static const struct option {
    const char *name;
    bool valued;
    swg_status (*set)(const struct reading *r, swg__volume_key *key);
} options[] = {{"layout", true, set_layout}, {"channel", true, set_channel}, {"t", true, set_t}, {"z", true, set_z}, {"binary", false, set_binary},
               {"labels", false, set_labels}, {"zoom", true, set_zoom}, {"resize", true, set_resize}, {"normalise", false, set_normalise},
               {"percentile", true, set_percentile}, {"threshold", true, set_threshold}, {"scale", true, set_scale}};
enum { OPTIONS = sizeof options / sizeof *options };

/* ---- words ---- */

static swg_status set_option(struct reading *r, char *word, unsigned *seen, swg__volume_key *key) {
    char *equals = strchr(word, '=');
    int found = -1;
    if (equals)
        *equals = 0;
    r->name = word;
    r->value = equals ? equals + 1 : "";
    if (strcmp(word, "normalize") == 0)
        r->name = "normalise";
    for (int i = 0; i < OPTIONS; i++)
        if (strcmp(r->name, options[i].name) == 0)
            found = i;
    if (found < 0) {
        const char *names[OPTIONS];
        char near[80];
        for (int i = 0; i < OPTIONS; i++)
            names[i] = options[i].name;
        swg__did_you_mean(word, names, OPTIONS, near, sizeof near);
        return swg__fail(r->ctx, SWG_EINVAL, "%s \"%s\": unknown option \"%s\"%s; there are layout= channel= t= z= binary labels zoom= resize= normalise percentile= "
                         "threshold= scale=", r->what, r->text, word, near);
    }
    if (options[found].valued && !equals)
        return swg__fail(r->ctx, SWG_EINVAL, "%s \"%s\": %s needs a value: %s=...", r->what, r->text, word, word);
    if (!options[found].valued && equals)
        return swg__fail(r->ctx, SWG_EINVAL, "%s \"%s\": %s takes no value", r->what, r->text, word);
    if (*seen >> found & 1)
        return swg__fail(r->ctx, SWG_EINVAL, "%s \"%s\": %s is given twice", r->what, r->text, word);
    *seen |= 1u << found;
    return options[found].set(r, key);
}

static swg_status check_together(const struct reading *r, const swg__volume_key *key) {
    const bool resampled = key->zoom_axes > 0, values = key->binary || key->normalise || key->percentile || key->threshold;
    const char *pair = key->normalise && key->percentile ? "normalise and percentile=" : resampled && key->resize[0] ? "zoom= and resize="
                       : key->labels && values ? "labels and what changes values (binary, normalise, percentile=, threshold=)"
                       : key->labels && strcmp(key->channel, "mean") == 0 ? "labels and channel=mean" : NULL;
    return pair ? swg__fail(r->ctx, SWG_EINVAL, "%s \"%s\": %s exclude each other", r->what, r->text, pair) : SWG_OK;
}

/* The first word, which may be quoted, into key->column; *at moves behind it. */
static swg_status take_column(const struct reading *r, char **at, swg__volume_key *key) {
    char *begin = *at, *end;
    const bool quoted = *begin == '"';
    begin += quoted;
    end = begin + strcspn(begin, quoted ? "\"" : " \t\r\n");
    if (quoted && *end != '"')
        return swg__fail(r->ctx, SWG_EINVAL, "%s \"%s\": a quote is left open", r->what, r->text);
    if (end == begin)
        return swg__fail(r->ctx, SWG_EINVAL, "%s \"%s\": begins with the name of a column, such as \"raw normalise\"", r->what, r->text);
    if (end - begin >= SWG__VOLUME_WORD)
        return swg__fail(r->ctx, SWG_EINVAL, "%s \"%s\": the name of a column has 63 bytes at most", r->what, r->text);
    if (!quoted && memchr(begin, '=', (size_t)(end - begin)))
        return swg__fail(r->ctx, SWG_EINVAL, "%s \"%s\": the first word names a column of the table; %.*s is an option", r->what, r->text, (int)(end - begin), begin);
    snprintf(key->column, sizeof key->column, "%.*s", (int)(end - begin), begin);
    *at = end + quoted;
    if (**at && !strchr(" \t\r\n", **at))
        return swg__fail(r->ctx, SWG_EINVAL, "%s \"%s\": a space is missing behind the column", r->what, r->text);
    return SWG_OK;
}

static swg_status take_words(struct reading *r, char *at, swg__volume_key *key) {
    unsigned seen = 0;
    at += strspn(at, " \t\r\n");
    SWG__TRY(take_column(r, &at, key));
    for (;;) {
        at += strspn(at, " \t\r\n");
        if (!*at)
            return check_together(r, key);
        char *end = at + strcspn(at, " \t\r\n"), *next = *end ? end + 1 : end;
        *end = 0;
        SWG__TRY(set_option(r, at, &seen, key));
        at = next;
    }
}

swg_status swg__volume_key_parse(swg_context *ctx, const char *what, const char *text, swg__volume_key *out) {
    struct reading r = {.ctx = ctx, .what = what, .text = text ? text : ""};
    *out = (swg__volume_key){.scale = 1};
    char *copy = swg__strdup(ctx, r.text);
    if (!copy)
        return swg__fail_memory(ctx, strlen(r.text), what);
    swg_status status = take_words(&r, copy, out);
    swg__free(ctx, copy);
    return status;
}

/* ---- back to text ---- */

struct writing {
    char *out;
    size_t capacity, used;
};

static void put(struct writing *w, const char *format, ...) SWG__PRINTF(2, 3);
static void put(struct writing *w, const char *format, ...) {
    va_list args;
    const size_t room = w->used < w->capacity ? w->capacity - w->used : 0;
    va_start(args, format);
    const int length = vsnprintf(room ? w->out + w->used : NULL, room, format, args);
    va_end(args);
    w->used += length > 0 ? (size_t)length : 0;
}

/* The fewest digits that give the number back. */
static void put_number(struct writing *w, const char *before, double value) {
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    put(w, "%s%s", before, text);
}

static void put_pick(struct writing *w, const char *name, const swg__pick *pick) {
    if (pick->kind == SWG__PICK_ALL || pick->kind == SWG__PICK_MAX)
        put(w, " %s=%s", name, pick->kind == SWG__PICK_ALL ? "all" : "max");
    else if (pick->kind == SWG__PICK_RANGE && pick->first == pick->last)
        put(w, " %s=%lld", name, (long long)pick->first);
    else if (pick->kind == SWG__PICK_RANGE)
        put(w, " %s=%lld:%lld", name, (long long)pick->first, (long long)pick->last);
}

/* Everything between the column and the scale. */
static void put_prefix(struct writing *w, const swg__volume_key *key) {
    if (*key->layout)
        put(w, " layout=%s", key->layout);
    if (*key->channel)
        put(w, " channel=%s", key->channel);
    put_pick(w, "t", &key->t);
    put_pick(w, "z", &key->z);
    put(w, "%s%s", key->binary ? " binary" : "", key->labels ? " labels" : "");
    for (int i = 0; i < key->zoom_axes; i++)
        put_number(w, i ? "x" : " zoom=", key->zoom[i]);
    if (key->resize[0])
        put(w, " resize=%lldx%lldx%lld", (long long)key->resize[0], (long long)key->resize[1], (long long)key->resize[2]);
    if (key->normalise)
        put(w, " normalise");
    if (key->percentile) {
        put_number(w, " percentile=", key->low);
        put_number(w, ":", key->high);
    }
    if (key->threshold)
        put_number(w, " threshold=", key->level);
}

int swg__volume_key_text(const swg__volume_key *key, char *out, size_t capacity) {
    struct writing w = {.out = out, .capacity = capacity};
    const bool quote = strpbrk(key->column, " \t\r\n=") != NULL;
    put(&w, quote ? "\"%s\"" : "%s", key->column);
    put_prefix(&w, key);
    if (key->scale != 1)
        put(&w, " scale=%lld", (long long)key->scale);
    return (int)w.used;
}

int swg__volume_prefix_text(const swg__volume_key *key, char *out, size_t capacity) {
    struct writing w = {.out = out, .capacity = capacity};
    if (capacity)
        *out = 0;
    put_prefix(&w, key);
    return (int)w.used;
}
