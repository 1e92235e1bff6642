/* stems.c - opens a data set of stems: options, tracks, samples, parts, a digest of all.
 * In: a folder and rules. Out: segments to be fetched.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "data/stems_inside.h"

void swg__stems_tell(const swg__stems_opts *opts, const char *format, ...) {
    char text[1200];
    va_list args;
    if (!opts->note)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    opts->note(opts->note_user, text);
}

/* ---- options ---- */

/* Index of `word` in a list of words with blanks between; -1: not there. */
static int find_word(const char *word, const char *words) {
    for (int i = 0; *words; i++) {
        const size_t length = strcspn(words, " ");
        if (strlen(word) == length && memcmp(word, words, length) == 0)
            return i;
        words += length + (words[length] == ' ');
    }
    return -1;
}

static swg_status choose(swg_context *ctx, const char *key, const char *word, const char *words, bool *second) {
    const int at = word ? find_word(word, words) : 0;
    *second = at == 1;
    return at >= 0 ? SWG_OK : swg__fail(ctx, SWG_EINVAL, "%s=%s: expected one of: %s", key, word, words);
}

static swg_status read_augment(swg__stems *s, const char *list) {
    swg__names words;
    SWG__TRY(swg__stems_names(&s->arena, list ? list : "", ',', &words));
    for (int64_t i = 0; i < words.count; i++) {
        const char *word = words.name[i];
        const int at = find_word(word, SWG__STEMS_AUGMENT_WORDS);
        if (strcmp(word, "all") == 0)
            s->augment |= SWG__STEMS_REMIX - 1;
        else if (at >= 0)
            s->augment |= 1u << at;
        else if (strcmp(word, "none") != 0)
            return swg__fail(s->ctx, SWG_EINVAL, "data.augment=%s: expected none, all, or of: %s", word, SWG__STEMS_AUGMENT_WORDS);
    }
    return SWG_OK;
}

static int stem_index(const char *const *names, int64_t count, const char *name) {
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

/* Which stems are handed out, which files there are, and which file belongs to which stem. */
static swg_status read_stems(swg__stems *s, const char *list) {
    static const char *const usual[] = {"vocals", "drums", "bass", "other"};
    swg__names stems;
    list = list ? list : "vocals,other";
    SWG__TRY(swg__stems_names(&s->arena, list, ',', &stems));
    if (!stems.count)
        return swg__fail(s->ctx, SWG_EINVAL, "data.stems: names no stem");
    if (stems.count > SWG__STEMS_MOST)
        return swg__fail(s->ctx, SWG_EINVAL, "data.stems=%s: more than %d stems", list, SWG__STEMS_MOST);
    for (int i = 0; i < stems.count; i++) { /* handed out in the order of the list */
        const char *word = stems.name[i];
        if (strcmp(word, "mixture") == 0 || strchr(word, '/') || stem_index(stems.name, i, word) >= 0)
            return swg__fail(s->ctx, SWG_EINVAL, "data.stems=%s: %s is %s", list, word, strcmp(word, "mixture") == 0 ? "what the stems add up to" :
                             strchr(word, '/') ? "no name of a stem" : "listed twice");
        s->file_name[s->files] = word;
        s->file_group[s->files++] = i;
    }
    s->stems = s->groups = (int)stems.count;
    const int other = stem_index(stems.name, stems.count, "other");
    for (int i = 0; i < 4; i++) {
        if (stem_index(stems.name, stems.count, usual[i]) >= 0)
            continue;
        s->groups = other < 0 ? s->stems + 1 : s->stems;
        s->file_name[s->files] = usual[i];
        s->file_group[s->files++] = other < 0 ? s->stems : other;
    }
    return SWG_OK;
}

static swg_status read_opts(swg__stems *s, const swg__stems_opts *opts) {
    swg_context *ctx = s->ctx;
    bool none, file;
    const int64_t n_fft = opts->n_fft ? opts->n_fft : 2048, hop = opts->hop ? opts->hop : 512;
    s->use = opts->use;
    s->channels = opts->channels ? opts->channels : 2;
    s->rate = opts->rate ? opts->rate : 44100;
    s->segment = opts->segment ? opts->segment : 132300;
    s->per_track = opts->per_track ? opts->per_track : 10;
    s->min_mean_abs = opts->min_mean_abs == 0 ? 1e-3 : opts->min_mean_abs;
    s->resample = opts->resample;
    s->trim = opts->trim;
    SWG__TRY(choose(ctx, "data.mixture", opts->mixture, SWG__STEMS_MIXTURE_WORDS, &file));
    SWG__TRY(choose(ctx, "data.cache", opts->cache, SWG__STEMS_CACHE_WORDS, &none));
    s->sum = !file;
    s->cached = !none;
    if (s->channels < 1 || s->channels > 2)
        return swg__fail(ctx, SWG_EINVAL, "data.channels=%d: expected 1 or 2", s->channels);
    if (s->rate < 1000 || s->rate > 1000000)
        return swg__fail(ctx, SWG_EINVAL, "data.rate=%lld: expected 1000 to 1000000 Hz", (long long)s->rate);
    if (s->segment < 1 || s->segment > 1 << 30)
        return swg__fail(ctx, SWG_EINVAL, "data.segment=%lld: expected 1 to %d samples", (long long)s->segment, 1 << 30);
    if (s->per_track < 1 || s->per_track > 1 << 24)
        return swg__fail(ctx, SWG_EINVAL, "data.segments_per_track=%lld: expected 1 to %d", (long long)s->per_track, 1 << 24);
    if (opts->valid_fraction >= 1 || opts->valid_fraction != opts->valid_fraction)
        return swg__fail(ctx, SWG_EINVAL, "data.valid_fraction=%g: expected less than 1", opts->valid_fraction);
    if (n_fft < 2 || n_fft > 1 << 24 || hop < 1 || hop > n_fft)
        return swg__fail(ctx, SWG_EINVAL, "n_fft %lld, hop %lld: expected 2 to %d, and a hop of 1 to n_fft", (long long)n_fft, (long long)hop, 1 << 24);
    s->bins = n_fft / 2 + 1;
    s->frames = (s->segment > n_fft / 2 ? s->segment : n_fft / 2 + 1) / hop + 1;
    SWG__TRY(read_augment(s, opts->augment));
    return read_stems(s, opts->stems);
}

/* ---- samples ---- */

static swg_status make_samples(swg__stems *s) {
    int64_t count[SWG_PARTS] = {0};
    s->order = swg__arena_alloc(&s->arena, (size_t)s->item_count * sizeof *s->order);
    if (!s->order)
        return swg__fail_memory(s->ctx, (size_t)s->item_count * sizeof *s->order, "the list of tracks");
    for (int64_t i = 0; i < s->item_count; i++) {
        swg__stems_track *t = &s->items[i].about;
        if (t->part == SWG_TRAIN)
            s->order[s->training++] = i;
        t->first_sample = s->count;
        t->samples = t->part == SWG_TRAIN ? s->per_track : (t->frames + s->segment - 1) / s->segment;
        s->count += t->samples;
        count[t->part] += t->samples;
    }
    if (!(s->split.indices[0] = swg__alloc(s->ctx, (size_t)s->count * sizeof(int64_t)))) /* one allocation for the three lists */
        return swg__fail_memory(s->ctx, (size_t)s->count * sizeof(int64_t), "the list of samples");
    s->split.indices[SWG_VAL] = s->split.indices[SWG_TRAIN] + count[SWG_TRAIN];
    s->split.indices[SWG_TEST] = s->split.indices[SWG_VAL] + count[SWG_VAL];
    for (int64_t i = 0; i < s->item_count; i++) {
        const swg__stems_track *t = &s->items[i].about;
        for (int64_t k = 0; k < t->samples; k++)
            s->split.indices[t->part][s->split.count[t->part]++] = t->first_sample + k;
    }
    return SWG_OK;
}

/* "split: whole tracks (train 5; val 1: A; test 1: B)" */
static swg_status describe_split(swg__stems *s) {
    static const char *const part_name[SWG_PARTS] = {"train", "val", "test"};
    swg__text text;
    swg__text_init(&text, s->ctx);
    swg__text_puts(&text, "split: whole tracks (");
    for (int part = 0; part < SWG_PARTS; part++) {
        int64_t count = 0, named = 0;
        for (int64_t i = 0; i < s->item_count; i++)
            count += s->items[i].about.part == part;
        swg__text_printf(&text, "%s%s %lld", part ? "; " : "", part_name[part], (long long)count);
        for (int64_t i = 0; part != SWG_TRAIN && i < s->item_count; i++)
            if (s->items[i].about.part == part)
                swg__text_printf(&text, "%s%s", named++ ? ", " : ": ", s->items[i].about.name);
    }
    swg__text_puts(&text, ")");
    s->split.description = text.data;
    return text.failed ? swg__fail_memory(s->ctx, 0, "the description of a split") : SWG_OK;
}

/* ---- digest and summary ---- */

static swg_status make_digest(swg__stems *s) {
    swg__text text;
    swg__text_init(&text, s->ctx);
    swg__text_printf(&text, "stems channels %d rate %lld segment %lld per_track %lld sum %d trim %d min %a augment %u bins %lld frames %lld\n", s->channels,
                     (long long)s->rate, (long long)s->segment, (long long)s->per_track, s->sum, s->trim, s->min_mean_abs, s->augment, (long long)s->bins,
                     (long long)s->frames);
    for (int f = 0; f < s->files; f++)
        swg__text_printf(&text, "%d %zu %s\n", s->file_group[f], strlen(s->file_name[f]), s->file_name[f]);
    for (int64_t i = 0; i < s->item_count; i++) { /* lengths keep the ends of names apart */
        const swg__stems_item *item = &s->items[i];
        swg__text_printf(&text, "%zu %s %d %lld %d %08x\n", strlen(item->about.name), item->about.name, item->about.part, (long long)item->about.frames,
                         item->read, (unsigned)item->crc);
    }
    uint8_t digest[32];
    const bool failed = text.failed;
    if (!failed)
        swg__sha256(text.data, text.length, digest);
    swg__text_free(&text);
    if (failed)
        return swg__fail_memory(s->ctx, 0, "the digest of a data set");
    for (int i = 0; i < 32; i++)
        snprintf(s->digest + 2 * i, 3, "%02x", digest[i]);
    return SWG_OK;
}

static swg_status make_summary(swg__stems *s) {
    int64_t frames = 0;
    for (int64_t i = 0; i < s->item_count; i++)
        frames += s->items[i].about.frames;
    const double seconds = (double)frames / (double)s->rate;
    swg__text text;
    swg__text_init(&text, s->ctx);
    swg__text_printf(&text, "%lld track%s, %d:%02d min at %lld Hz, %d channel%s, stem%s ", (long long)s->item_count, s->item_count == 1 ? "" : "s",
                     (int)(seconds / 60), (int)fmod(seconds, 60), (long long)s->rate, s->channels, s->channels == 1 ? "" : "s", s->stems == 1 ? "" : "s");
    for (int i = 0; i < s->stems; i++)
        swg__text_printf(&text, "%s%s", i == 0 ? "" : i + 1 < s->stems ? ", " : " and ", s->file_name[i]);
    swg__text_printf(&text, "; segments of %lld samples (%.3f s, %lld frames)", (long long)s->segment, (double)s->segment / (double)s->rate,
                     (long long)s->frames);
    if (s->bytes)
        swg__text_printf(&text, "; %.3g MB in memory", (double)s->bytes * 1e-6);
    s->summary = text.data;
    return text.failed ? swg__fail_memory(s->ctx, 0, "the summary of a data set") : SWG_OK;
}

/* ---- public ---- */

static swg_status fill(swg__stems *s, const swg__stems_opts *opts) {
    SWG__TRY(read_opts(s, opts));
    SWG__TRY(swg__stems_list(s, opts));
    SWG__TRY(swg__stems_scan(s, opts));
    SWG__TRY(make_samples(s));
    SWG__TRY(describe_split(s));
    if (s->augment & (SWG__STEMS_STRETCH | SWG__STEMS_PITCH))
        SWG__TRY(swg__stretch_open(s->ctx, s->channels, &s->stretch));
    SWG__TRY(make_digest(s));
    return make_summary(s);
}

swg_status swg__stems_open(swg_context *ctx, const swg__stems_opts *opts, swg__stems **out) {
    *out = NULL;
    swg__stems *s = swg__calloc(ctx, 1, sizeof *s);
    if (!s)
        return swg__fail_memory(ctx, sizeof *s, "a data set of stems");
    s->ctx = ctx;
    swg__arena_init(&s->arena, ctx);
    const swg_status status = fill(s, opts);
    if (status != SWG_OK) {
        swg__stems_close(s);
        return status;
    }
    *out = s;
    return SWG_OK;
}

void swg__stems_close(swg__stems *s) {
    if (!s)
        return;
    for (int64_t i = 0; i < s->item_count; i++) {
        swg__stems_item *item = &s->items[i];
        for (int g = 0; g < s->groups; g++) {
            swg__free(s->ctx, item->group[g].narrow);
            swg__free(s->ctx, item->group[g].wide);
        }
        swg__free(s->ctx, item->mix.narrow);
        swg__free(s->ctx, item->mix.wide);
        swg__free(s->ctx, item->message);
    }
    swg__free(s->ctx, s->items);
    swg__free(s->ctx, s->summary);
    swg_split_free(s->ctx, &s->split);
    swg__stretch_close(s->stretch);
    swg__arena_free(&s->arena);
    swg__free(s->ctx, s);
}

int swg__stems_number(const swg__stems *stems) { return stems->stems; }
const char *swg__stems_name(const swg__stems *stems, int stem) { return stem >= 0 && stem < stems->stems ? stems->file_name[stem] : NULL; }
int swg__stems_channels(const swg__stems *stems) { return stems->channels; }
int64_t swg__stems_rate(const swg__stems *stems) { return stems->rate; }
int64_t swg__stems_segment(const swg__stems *stems) { return stems->segment; }
int64_t swg__stems_bins(const swg__stems *stems) { return stems->bins; }
int64_t swg__stems_frames(const swg__stems *stems) { return stems->frames; }
int64_t swg__stems_tracks(const swg__stems *stems) { return stems->item_count; }
int64_t swg__stems_count(const swg__stems *stems) { return stems->count; }
const swg_split *swg__stems_split(const swg__stems *stems) { return &stems->split; }
const char *swg__stems_summary(const swg__stems *stems) { return stems->summary; }
const char *swg__stems_digest(const swg__stems *stems) { return stems->digest; }
int64_t swg__stems_bytes(const swg__stems *stems) { return stems->bytes; }

const swg__stems_track *swg__stems_track_at(const swg__stems *stems, int64_t track) {
    return track >= 0 && track < stems->item_count ? &stems->items[track].about : NULL;
}

int64_t swg__stems_track_of(const swg__stems *stems, int64_t sample) {
    int64_t low = 0, high = stems->item_count;
    if (sample < 0 || sample >= stems->count)
        return -1;
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        *(stems->items[middle].about.first_sample <= sample ? &low : &high) = middle;
    }
    return low;
}
