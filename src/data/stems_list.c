/* stems_list.c - finds the tracks of a data set of stems, their files, and the part each belongs to.
 * In: a folder, lists of names. Out: items in the order of folder and name.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "data/split.h"
#include "data/stems_inside.h"

/* ---- names ---- */

/* The part of `text` up to the separator that is a name; *length 0: none. */
static const char *trim(const char *text, size_t bytes, char separator, size_t *length) {
    const char *end = text + bytes;
    if (separator == '\n') {
        *length = bytes && *text == '#' ? 0 : bytes - (bytes && end[-1] == '\r');
        return text;
    }
    while (text < end && (*text == ' ' || *text == '\t'))
        text++;
    while (end > text && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *length = (size_t)(end - text);
    return text;
}

swg_status swg__stems_names(swg__arena *arena, const char *text, char separator, swg__names *out) {
    size_t most = 1;
    for (const char *p = text; *p; p++)
        most += *p == separator;
    *out = (swg__names){.name = swg__arena_alloc(arena, most * sizeof *out->name)};
    bool fits = out->name;
    for (size_t bytes; fits; text += bytes + 1) {
        const char *end = strchr(text, separator);
        size_t length;
        bytes = end ? (size_t)(end - text) : strlen(text);
        const char *from = trim(text, bytes, separator, &length);
        if (length) {
            char *name = swg__arena_alloc(arena, length + 1);
            fits = name;
            if (name)
                out->name[out->count++] = memcpy(name, from, length);
        }
        if (!end)
            break;
    }
    return fits ? SWG_OK : swg__fail_memory(arena->ctx, most * sizeof *out->name, "a list of names");
}

/* A list of tracks: the text itself, or the file of that name. */
static swg_status read_names(swg__stems *s, const char *key, const char *text, swg__names *out) {
    *out = (swg__names){0};
    if (!text || !*text)
        return SWG_OK;
    struct stat info;
    uint8_t *data = NULL;
    size_t bytes;
    if (stat(text, &info) == 0 && S_ISREG(info.st_mode))
        SWG__TRY(swg__file_read(s->ctx, text, &data, &bytes));
    const swg_status status = swg__stems_names(&s->arena, data ? (const char *)data : text, data ? '\n' : ',', out);
    swg__free(s->ctx, data);
    if (status != SWG_OK || out->count)
        return status;
    return swg__fail(s->ctx, SWG_EINVAL, "%s=%s: names no track", key, text);
}

/* ---- tracks ---- */

struct walk {
    swg__stems *s;
    int64_t capacity;
    int64_t links, others;          /* folders that are none of ours */
    const char *first_other;
};

static const char *join(swg__stems *s, const char *folder, const char *name) {
    const size_t bytes = strlen(folder) + strlen(name) + 2;
    char *path = swg__arena_alloc(&s->arena, bytes);
    if (path)
        snprintf(path, bytes, "%s%s%s", folder, *folder && folder[strlen(folder) - 1] == '/' ? "" : "/", name);
    return path;
}

static swg_status no_memory(swg__stems *s) { return swg__fail_memory(s->ctx, 0, "the list of tracks"); }

/* "vocals.wav" is of "vocals". */
static bool is_of(const char *file, const char *stem) {
    const char *dot = strrchr(file, '.');
    return dot && swg_audio_named(file) && strlen(stem) == (size_t)(dot - file) && memcmp(file, stem, strlen(stem)) == 0;
}

/* Index of the file of a stem among the names; -1: none. SWG_EINVAL: two. */
static swg_status find_file(swg__stems *s, const char *folder, char **list, size_t count, const char *stem, int64_t *out) {
    *out = -1;
    for (size_t i = 0; i < count; i++) {
        if (!is_of(list[i], stem))
            continue;
        if (*out >= 0)
            return swg__fail(s->ctx, SWG_EINVAL, "%s: holds %s and %s: one of them must go", folder, list[*out], list[i]);
        *out = (int64_t)i;
    }
    return SWG_OK;
}

static bool holds_track(const swg__stems *s, char **list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (is_of(list[i], "mixture"))
            return true;
        for (int f = 0; f < s->files; f++)
            if (is_of(list[i], s->file_name[f]))
                return true;
    }
    return false;
}

static swg_status refuse_container(swg__stems *s, const char *folder, char **list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const size_t length = strlen(list[i]);
        if ((length > 9 && strcmp(list[i] + length - 9, ".stem.mp4") == 0) || (length > 9 && strcmp(list[i] + length - 9, ".stem.m4a") == 0))
            return swg__fail(s->ctx, SWG_EUNSUPPORTED, "%s/%s: stem containers are not read. Make a folder of it: ffmpeg -i \"%s\" -map 0:0 mixture.wav "
                             "-map 0:1 drums.wav -map 0:2 bass.wav -map 0:3 other.wav -map 0:4 vocals.wav", folder, list[i], list[i]);
    }
    return SWG_OK;
}

static swg_status add_track(struct walk *w, const char *folder, const char *name, char **list, size_t count, bool test) {
    swg__stems *s = w->s;
    if (s->item_count == w->capacity) {
        const int64_t larger = w->capacity ? 2 * w->capacity : 64;
        swg__stems_item *items = swg__grow(s->ctx, s->items, (size_t)larger * sizeof *items);
        if (!items)
            return no_memory(s);
        s->items = items;
        w->capacity = larger;
    }
    swg__stems_item *item = &s->items[s->item_count];
    *item = (swg__stems_item){.about = {.name = swg__arena_strdup(&s->arena, name), .path = swg__arena_strdup(&s->arena, folder), .sum_error = NAN},
                              .test_folder = test};
    if (!item->about.name || !item->about.path)
        return no_memory(s);
    s->item_count++;
    for (int f = 0; f <= s->files; f++) { /* the mixture last */
        const bool mixture = f == s->files;
        const char *stem = mixture ? "mixture" : s->file_name[f];
        int64_t at;
        SWG__TRY(find_file(s, folder, list, count, stem, &at));
        if (at < 0 && mixture && s->sum)
            break;
        if (at < 0)
            return swg__fail(s->ctx, SWG_ENOTFOUND, "%s/%s.wav (or .flac, .ogg): there is no such file%s", folder, stem,
                             mixture ? "; data.mixture=sum takes the sum of the stems" : ": every stem of a track is needed");
        const char *path = join(s, folder, list[at]);
        if (!path)
            return no_memory(s);
        *(mixture ? &item->mixture : &item->file[f]) = path;
    }
    return SWG_OK;
}

/* One folder that may be a track. */
static swg_status try_track(struct walk *w, const char *folder, const char *name, bool test) {
    char **list;
    size_t count;
    SWG__TRY(swg__list_folder(w->s->ctx, folder, &list, &count));
    swg_status status = SWG_OK;
    if (holds_track(w->s, list, count))
        status = add_track(w, folder, name, list, count, test);
    else if (!(status = refuse_container(w->s, folder, list, count)) && !w->others++)
        status = (w->first_other = swg__arena_strdup(&w->s->arena, folder)) ? SWG_OK : no_memory(w->s);
    swg__list_free(w->s->ctx, list, count);
    return status;
}

/* The folders of a folder. */
static swg_status walk_folder(struct walk *w, const char *folder, bool test) {
    char **list;
    size_t count;
    SWG__TRY(swg__list_folder(w->s->ctx, folder, &list, &count));
    swg_status status = refuse_container(w->s, folder, list, count);
    for (size_t i = 0; status == SWG_OK && i < count; i++) {
        struct stat info;
        const char *path = join(w->s, folder, list[i]);
        if (!path)
            status = no_memory(w->s);
        else if (list[i][0] != '.' && lstat(path, &info) == 0) {
            w->links += S_ISLNK(info.st_mode) && swg__is_folder(path);
            if (S_ISDIR(info.st_mode))
                status = try_track(w, path, list[i], test);
        }
    }
    swg__list_free(w->s->ctx, list, count);
    return status;
}

/* Last part of a path, without slashes behind it. */
static const char *last_part(swg__stems *s, const char *path) {
    char *copy = swg__arena_strdup(&s->arena, path);
    for (size_t n = copy ? strlen(copy) : 0; n > 1 && copy[n - 1] == '/'; n--)
        copy[n - 1] = 0;
    return !copy ? NULL : strrchr(copy, '/') && strrchr(copy, '/')[1] ? strrchr(copy, '/') + 1 : copy;
}

static swg_status is_track(swg__stems *s, const char *folder, bool *out) {
    char **list;
    size_t count;
    SWG__TRY(swg__list_folder(s->ctx, folder, &list, &count));
    *out = holds_track(s, list, count);
    swg__list_free(s->ctx, list, count);
    return SWG_OK;
}

static swg_status find_tracks(struct walk *w, const char *path) {
    swg__stems *s = w->s;
    bool track = false;
    if (!path)
        return swg__fail(s->ctx, SWG_EINVAL, "data.path is not given");
    if (!swg__is_folder(path))
        return swg__fail(s->ctx, SWG_ENOTFOUND, "%s: there is no such folder; data.path takes a folder of tracks, each a folder of stems", path);
    SWG__TRY(is_track(s, path, &track));
    if (track) {
        const char *name = last_part(s, path);
        return name ? try_track(w, path, name, false) : no_memory(s);
    }
    bool layout = false;
    for (int test = 0; test < 2; test++) {
        const char *folder = join(s, path, test ? "test" : "train");
        if (!folder)
            return no_memory(s);
        if (!swg__is_folder(folder))
            continue;
        SWG__TRY(is_track(s, folder, &track)); /* a song of that name */
        if (track)
            continue;
        layout = true;
        SWG__TRY(walk_folder(w, folder, test));
    }
    return layout ? SWG_OK : walk_folder(w, path, false);
}

/* ---- parts ---- */

/* Marks the tracks of a list, of which there must be one each. */
static swg_status mark(swg__stems *s, const char *key, const swg__names *list, int part) {
    for (int64_t n = 0; n < list->count; n++) {
        int64_t at = 0;
        while (at < s->item_count && strcmp(s->items[at].about.name, list->name[n]) != 0)
            at++;
        if (at < s->item_count && part == SWG_VAL && s->items[at].about.part == SWG_TEST)
            return swg__fail(s->ctx, SWG_EINVAL, "%s: %s is a test track", key, list->name[n]);
        if (at < s->item_count) {
            s->items[at].about.part = part;
            continue;
        }
        const char **all = swg__arena_alloc(&s->arena, (size_t)s->item_count * sizeof *all);
        char near[200];
        for (int64_t i = 0; all && i < s->item_count; i++)
            all[i] = s->items[i].about.name;
        return swg__fail(s->ctx, SWG_EINVAL, "%s: there is no track %s%s%s", key, list->name[n],
                         all ? swg__did_you_mean(list->name[n], all, (size_t)s->item_count, near, sizeof near) : "",
                         part == SWG_TEST ? " (of other songs than those of the run: data.leave_out=null)" : "");
    }
    return SWG_OK;
}

/* The last of the shuffled names that are not test tracks are for validation. */
static swg_status draw_validation(swg__stems *s, double fraction, uint32_t seed) {
    int64_t n = 0, *order = swg__alloc(s->ctx, (size_t)(2 * s->item_count) * sizeof *order);
    if (!order)
        return no_memory(s);
    int64_t *free_tracks = order + s->item_count;
    for (int64_t i = 0; i < s->item_count; i++)
        if (s->items[i].about.part == SWG_TRAIN)
            free_tracks[n++] = i;
    int64_t wanted = llround(fraction * (double)n);
    wanted = wanted < 1 ? 1 : wanted;
    wanted = wanted > n - 1 ? n - 1 : wanted;
    swg__shuffle_legacy(seed, order, n);
    for (int64_t i = n - wanted; n && i < n; i++)
        s->items[free_tracks[order[i]]].about.part = SWG_VAL;
    swg__free(s->ctx, order);
    return SWG_OK;
}

static swg_status make_parts(swg__stems *s, const swg__stems_opts *opts) {
    swg__names test, valid;
    int64_t count[SWG_PARTS] = {0};
    SWG__TRY(read_names(s, "data.leave_out", opts->leave_out, &test));
    SWG__TRY(read_names(s, "data.valid_list", opts->valid_list, &valid));
    for (int64_t i = 0; i < s->item_count; i++)
        s->items[i].about.part = s->use == SWG__STEMS_ALL || s->items[i].test_folder ? SWG_TEST : SWG_TRAIN;
    SWG__TRY(mark(s, "data.leave_out", &test, SWG_TEST));
    for (int64_t i = 0; i < s->item_count; i++)
        count[s->items[i].about.part]++;
    if (s->use == SWG__STEMS_EVAL && !count[SWG_TEST])
        for (int64_t i = 0; i < s->item_count; i++)
            s->items[i].about.part = SWG_TEST;
    if (s->use != SWG__STEMS_TRAIN)
        return SWG_OK;
    if (valid.count)
        SWG__TRY(mark(s, "data.valid_list", &valid, SWG_VAL));
    else if (opts->valid_fraction >= 0)
        SWG__TRY(draw_validation(s, opts->valid_fraction > 0 ? opts->valid_fraction : .14, (uint32_t)(opts->split_seed ? opts->split_seed : 42)));
    for (int64_t i = 0; i < s->item_count; i++)
        if (s->items[i].about.part == SWG_TRAIN)
            return SWG_OK;
    return swg__fail(s->ctx, SWG_EINVAL, "%s: of %lld track%s none is left to train on", opts->path, (long long)s->item_count, s->item_count == 1 ? "" : "s");
}

swg_status swg__stems_list(swg__stems *s, const swg__stems_opts *opts) {
    struct walk w = {.s = s};
    SWG__TRY(find_tracks(&w, opts->path));
    if (!s->item_count)
        return swg__fail(s->ctx, SWG_ENOTFOUND, "%s: holds no track: a track is a folder with mixture and stems (vocals, drums, bass, other) as WAV, FLAC or "
                         "OGG%s", opts->path, w.links ? "; symbolic links to folders are not followed" : "");
    if (w.others)
        swg__stems_tell(opts, "%lld folder%s without stems left alone (%s)", (long long)w.others, w.others == 1 ? "" : "s", w.first_other);
    if (w.links)
        swg__stems_tell(opts, "%lld symbolic link%s to folders left alone", (long long)w.links, w.links == 1 ? "" : "s");
    SWG__TRY(make_parts(s, opts));
    if (s->use != SWG__STEMS_EVAL)
        return SWG_OK;
    int64_t kept = 0; /* the others are of no use */
    for (int64_t i = 0; i < s->item_count; i++)
        if (s->items[i].about.part == SWG_TEST)
            s->items[kept++] = s->items[i];
    s->item_count = kept;
    return SWG_OK;
}
