/* stems_read.c - the files of a data set of stems: heads, the first reading of all samples, and pieces of tracks from memory or file.
 * In: items with their files. Out: lengths, findings, decoded sound.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "data/stems_inside.h"

enum { PIECE = 1 << 16 };   /* samples that are decoded at a time */

/* ---- heads ---- */

static swg_status open_file(const swg__stems *s, const char *path, swg_audio **out) {
    const swg_audio_opts opts = {.rate = s->rate, .resample = s->resample, .channels = s->channels};
    return swg_audio_open(s->ctx, path, &opts, out);
}

/* Path of file f; the mixture is behind the stems. NULL: none that is used. */
static const char *path_of(const swg__stems *s, const swg__stems_item *item, int f) { return f < s->files ? item->file[f] : s->sum ? NULL : item->mixture; }

static swg_status different_lengths(const swg__stems *s, const swg__stems_item *item, const int64_t *length) {
    swg__text text;
    swg__text_init(&text, s->ctx);
    for (int f = 0; f <= s->files; f++)
        if (path_of(s, item, f))
            swg__text_printf(&text, "%s%s %lld", f ? ", " : "", f < s->files ? s->file_name[f] : "mixture", (long long)length[f]);
    const swg_status status = swg__fail(s->ctx, SWG_EINVAL, "%s: files of different length: %s samples; data.trim=true cuts all to the shortest",
                                        item->about.path, text.failed ? "" : text.data);
    swg__text_free(&text);
    return status;
}

static swg_status read_heads(const swg__stems *s, swg__stems_item *item) {
    int64_t length[SWG__STEMS_FILES + 1] = {0}, least = INT64_MAX, most = 0;
    for (int f = 0; f <= s->files; f++) {
        swg_audio *audio;
        if (!path_of(s, item, f))
            continue;
        SWG__TRY(open_file(s, path_of(s, item, f), &audio));
        const swg_audio_info info = *swg_audio_about(audio);
        swg_audio_close(audio);
        if (info.samples < 1)
            return swg__fail(s->ctx, SWG_ESHAPE, "%s: has no samples", path_of(s, item, f));
        const int bits = info.floating || info.resampled || info.bits == 0 ? 17 : info.bits;
        length[f] = info.samples;
        least = info.samples < least ? info.samples : least;
        most = info.samples > most ? info.samples : most;
        item->bits = bits > item->bits ? bits : item->bits;
        item->repeated += info.repeated;
        item->resampled += info.resampled;
    }
    item->about.frames = least;
    item->cut = most - least;
    if (s->sum && item->mixture) { /* what is wrong with it does no harm */
        swg_audio *mixture = NULL;
        if (open_file(s, item->mixture, &mixture) == SWG_ENOMEM)
            return SWG_ENOMEM;
        item->compared = mixture && swg_audio_about(mixture)->samples == most;
        swg_audio_close(mixture);
    }
    return item->cut && !s->trim ? different_lengths(s, item, length) : SWG_OK;
}

/* ---- all samples ---- */

/* (channels, frames) of a wave, written in order. */
static bool begin_wave(const swg__stems *s, int64_t frames, swg__stems_wave *wave) {
    wave->narrow = swg__alloc(s->ctx, (size_t)(s->channels * frames) * sizeof *wave->narrow);
    return wave->narrow;
}

/* x (count) as k / 32768. False: it is not. */
static bool narrow_exactly(const float *x, int64_t count, int16_t *to) {
    int32_t wrong = 0;
    for (int64_t i = 0; i < count; i++) {
        const float v = x[i] * 32768, inside = v >= -32768 && v <= 32767 ? v : .5f;
        const int32_t k = (int32_t)inside;
        wrong |= (float)k != inside;
        to[i] = (int16_t)k;
    }
    return !wrong;
}

static void widen(const int16_t *x, int64_t count, float *to) {
    for (int64_t i = 0; i < count; i++)
        to[i] = (float)x[i] * (1.f / 32768);
}

/* Samples [at, at + count) of all channels, x with PIECE between channels. */
static bool add_to_wave(const swg__stems *s, int64_t frames, int64_t at, int64_t count, const float *x, swg__stems_wave *wave) {
    bool exact = wave->narrow != NULL;
    for (int c = 0; exact && c < s->channels; c++)
        exact = narrow_exactly(x + c * PIECE, count, wave->narrow + c * frames + at);
    if (exact)
        return true;
    if (!wave->wide) {
        wave->wide = swg__alloc(s->ctx, (size_t)(s->channels * frames) * sizeof *wave->wide);
        if (!wave->wide)
            return false;
        for (int c = 0; c < s->channels; c++)
            widen(wave->narrow + c * frames, at, wave->wide + c * frames);
        swg__free(s->ctx, wave->narrow);
        wave->narrow = NULL;
    }
    for (int c = 0; c < s->channels; c++)
        memcpy(wave->wide + c * frames + at, x + c * PIECE, (size_t)count * sizeof *x);
    return true;
}

static void free_wave(const swg__stems *s, swg__stems_wave *wave) {
    swg__free(s->ctx, wave->narrow);
    swg__free(s->ctx, wave->wide);
    *wave = (swg__stems_wave){0};
}

static void add(float *to, const float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        to[i] += x[i];
}

/* A track that is read through: its open files and a piece of each. */
typedef struct reading {
    const swg__stems *s;
    swg__stems_item *item;
    swg_audio *audio[SWG__STEMS_FILES + 1];
    float *file, *groups, *mixture, *sum;   /* (channels, PIECE); groups (groups, channels, PIECE) */
    double error, power;                    /* of mixture - sum, and of the mixture */
    bool same;                              /* so far, to the bit */
} reading;

/* Piece of one file; *got is false for a mixture that is only to be compared, and cannot be read. */
static swg_status read_file(reading *r, int f, int64_t at, int64_t count, bool *got) {
    const swg__stems *s = r->s;
    const bool idle = f == s->files && s->sum;
    int64_t samples = 0;
    swg_status status = swg_audio_read(r->audio[f], count, r->file, PIECE, &samples);
    if (status == SWG_OK && samples != count)
        status = swg__fail(s->ctx, SWG_ECORRUPT, "%s: ends after %lld of %lld samples", path_of(s, r->item, f), (long long)(at + samples),
                           (long long)r->item->about.frames);
    *got = status == SWG_OK;
    if (*got || !idle || status == SWG_ENOMEM)
        return status;
    swg_audio_close(r->audio[f]);
    r->audio[f] = NULL;
    return SWG_OK;
}

static swg_status read_piece(reading *r, int64_t at, int64_t count) {
    const swg__stems *s = r->s;
    swg__stems_item *item = r->item;
    const int64_t values = s->channels * PIECE;
    memset(r->groups, 0, (size_t)(s->groups * values) * sizeof *r->groups);
    memset(r->mixture, 0, (size_t)values * sizeof *r->mixture);
    for (int f = 0; f <= s->files; f++) {
        bool got = false;
        if (r->audio[f])
            SWG__TRY(read_file(r, f, at, count, &got));
        if (!got)
            continue;
        float *to = f < s->files ? r->groups + s->file_group[f] * values : r->mixture;
        for (int c = 0; c < s->channels; c++) {
            if (path_of(s, item, f))
                item->crc = swg__crc32c(item->crc, r->file + c * PIECE, (size_t)count * sizeof *r->file);
            add(to + c * PIECE, r->file + c * PIECE, count);
        }
    }
    memset(r->sum, 0, (size_t)values * sizeof *r->sum);
    for (int g = 0; g < s->groups; g++)
        add(r->sum, r->groups + g * values, values);
    for (int c = 0; r->audio[s->files] && c < s->channels; c++)
        for (int64_t i = 0; i < count; i++) {
            const float mixture = r->mixture[c * PIECE + i], sum = r->sum[c * PIECE + i];
            const double gap = (double)mixture - (double)sum;
            r->error += gap * gap;
            r->power += (double)mixture * (double)mixture;
            r->same &= mixture == sum;
        }
    bool fits = true;
    for (int g = 0; fits && item->keep && g < s->groups; g++)
        fits = add_to_wave(s, item->about.frames, at, count, r->groups + g * values, &item->group[g]);
    if (fits && item->keep && !s->sum)
        fits = add_to_wave(s, item->about.frames, at, count, r->mixture, &item->mix);
    return fits ? SWG_OK : swg__fail_memory(s->ctx, (size_t)(s->channels * item->about.frames) * sizeof(float), "a track; data.cache=none reads it again at "
                                                                                                         "every use");
}

static swg_status read_track(reading *r) {
    const swg__stems *s = r->s;
    swg__stems_item *item = r->item;
    const int64_t frames = item->about.frames;
    for (int f = 0; f <= s->files; f++)
        if (path_of(s, item, f))
            SWG__TRY(open_file(s, path_of(s, item, f), &r->audio[f]));
    if (item->compared && open_file(s, item->mixture, &r->audio[s->files]) == SWG_ENOMEM)
        return SWG_ENOMEM;
    bool fits = true;
    for (int g = 0; fits && item->keep && g < s->groups; g++)
        fits = begin_wave(s, frames, &item->group[g]);
    if (!fits || (item->keep && !s->sum && !begin_wave(s, frames, &item->mix)))
        return swg__fail_memory(s->ctx, (size_t)(s->channels * frames) * sizeof(int16_t), "a track; data.cache=none reads it again at every use");
    for (int64_t at = 0; at < frames; at += PIECE)
        SWG__TRY(read_piece(r, at, frames - at < PIECE ? frames - at : PIECE));
    item->summed = s->sum || r->same;
    item->about.sum_error = !r->audio[s->files] ? (double)NAN : r->error == 0 ? 0 : r->power > 0 ? sqrt(r->error / r->power) : (double)INFINITY;
    if (item->summed)
        free_wave(s, &item->mix);
    item->whole = item->about.cached = item->keep;
    return SWG_OK;
}

static swg_status read_all(const swg__stems *s, swg__stems_item *item) {
    const int64_t values = s->channels * PIECE;
    reading r = {.s = s, .item = item, .same = true};
    r.file = swg__alloc(s->ctx, (size_t)((s->groups + 3) * values) * sizeof *r.file);
    if (!r.file)
        return swg__fail_memory(s->ctx, (size_t)((s->groups + 3) * values) * sizeof *r.file, "reading a track");
    r.mixture = r.file + values;
    r.sum = r.mixture + values;
    r.groups = r.sum + values;
    const swg_status status = read_track(&r);
    for (int f = 0; f <= s->files; f++)
        swg_audio_close(r.audio[f]);
    swg__free(s->ctx, r.file);
    return status;
}

/* ---- all tracks ---- */

struct scan {
    const swg__stems *s;
    swg__stems_item *items;
    swg_status (*read)(const swg__stems *s, swg__stems_item *item);
};

static void scan_task(void *arg, int64_t task, int worker) {
    (void)worker;
    struct scan *scan = arg;
    swg__stems_item *item = &scan->items[task];
    if (scan->read == read_all && !item->read)
        return;
    item->status = scan->read(scan->s, item);
    if (item->status != SWG_OK)
        item->message = swg__strdup(scan->s->ctx, swg__own_message());
}

static swg_status for_all(swg__stems *s, const swg__stems_opts *opts, swg_status (*read)(const swg__stems *s, swg__stems_item *item)) {
    const int64_t group = 2 * swg_context_threads(s->ctx);
    int64_t told = swg__now_ns();
    for (int64_t first = 0; first < s->item_count; first += group) {
        const int64_t count = s->item_count - first < group ? s->item_count - first : group;
        struct scan scan = {.s = s, .items = s->items + first, .read = read};
        swg__parallel(s->ctx, count, scan_task, &scan);
        for (int64_t i = first; i < first + count; i++)
            if (s->items[i].status != SWG_OK)
                return swg__fail(s->ctx, s->items[i].status, "%s", s->items[i].message ? s->items[i].message : "out of memory");
        if (first + count < s->item_count && swg__now_ns() - told > 5000000000) {
            swg__stems_tell(opts, "read %lld of %lld tracks", (long long)(first + count), (long long)s->item_count);
            told = swg__now_ns();
        }
    }
    return SWG_OK;
}

/* Which tracks are kept, in their order while there is room. */
static void plan_memory(swg__stems *s, const swg__stems_opts *opts) {
    const int64_t available = swg__available_bytes(), most = opts->cache_bytes ? opts->cache_bytes : available ? available / 2 : INT64_MAX;
    int64_t room = most, needed = 0, left_out = 0, wanted = 0;
    for (int64_t i = 0; i < s->item_count; i++) {
        swg__stems_item *item = &s->items[i];
        item->read = s->use == SWG__STEMS_TRAIN && item->about.part != SWG_TEST;
        if (!item->read || !s->cached)
            continue;
        const int64_t bytes = (s->groups + !s->sum) * s->channels * item->about.frames * (item->bits <= 16 ? 2 : 4);
        item->keep = bytes <= room;
        room -= item->keep ? bytes : 0;
        left_out += !item->keep;
        needed += bytes;
        wanted++;
    }
    if (left_out)
        swg__stems_tell(opts, "%lld of %lld tracks do not fit into data.cache_bytes=%lld (all need %lld): they are read from their files at every use",
                        (long long)left_out, (long long)wanted, (long long)most, (long long)needed);
    else if (wanted)
        swg__stems_tell(opts, "decoding %lld track%s into at most %.3g MB", (long long)wanted, wanted == 1 ? "" : "s", (double)needed * 1e-6);
}

/* What was met, a line each. */
static void tell_findings(const swg__stems *s, const swg__stems_opts *opts) {
    int64_t mono = 0, other_rate = 0, cut = 0, cut_tracks = 0, short_tracks = 0;
    const char *first_mono = "", *first_rate = "";
    for (int64_t i = 0; i < s->item_count; i++) {
        const swg__stems_item *item = &s->items[i];
        first_mono = item->repeated && !mono ? item->about.path : first_mono;
        first_rate = item->resampled && !other_rate ? item->about.path : first_rate;
        mono += item->repeated;
        other_rate += item->resampled;
        cut_tracks += item->cut > 0;
        cut = item->cut > cut ? item->cut : cut;
        short_tracks += item->about.frames < s->segment;
        if (item->about.sum_error > 1e-2)
            swg__stems_tell(opts, "warning: %s: the mixture is not the sum of the stems (relative error %.3g); %s", item->about.path,
                            item->about.sum_error, s->sum ? "the sum is taken" : "data.mixture=sum takes the sum");
    }
    if (mono)
        swg__stems_tell(opts, "warning: %lld mono file%s: repeated in two channels (%s)", (long long)mono, mono == 1 ? "" : "s", first_mono);
    if (other_rate)
        swg__stems_tell(opts, "%lld file%s resampled to %lld Hz (%s)", (long long)other_rate, other_rate == 1 ? "" : "s", (long long)s->rate, first_rate);
    if (cut_tracks)
        swg__stems_tell(opts, "%lld track%s cut to the shortest file, by up to %lld samples (data.trim)", (long long)cut_tracks, cut_tracks == 1 ? "" : "s",
                        (long long)cut);
    if (short_tracks)
        swg__stems_tell(opts, "%lld track%s shorter than a segment of %lld samples: zeros follow %s", (long long)short_tracks, short_tracks == 1 ? " is" : "s are",
                        (long long)s->segment, short_tracks == 1 ? "it" : "them");
}

swg_status swg__stems_scan(swg__stems *s, const swg__stems_opts *opts) {
    SWG__TRY(for_all(s, opts, read_heads));
    plan_memory(s, opts);
    SWG__TRY(for_all(s, opts, read_all));
    tell_findings(s, opts);
    for (int64_t i = 0; i < s->item_count; i++)
        for (int g = 0; g <= s->groups; g++) {
            const swg__stems_wave *wave = g < s->groups ? &s->items[i].group[g] : &s->items[i].mix;
            s->bytes += s->channels * s->items[i].about.frames * (wave->narrow ? 2 : wave->wide ? 4 : 0);
        }
    return SWG_OK;
}

/* ---- pieces ---- */

void swg__stems_sum(const swg__stems *s, const float *groups, int64_t count, float *to) {
    const int64_t values = s->channels * count;
    memset(to, 0, (size_t)values * sizeof *to);
    for (int g = 0; g < s->groups; g++)
        add(to, groups + g * values, values);
}

/* What [start, start + count) has of a track: out[ch * count + *skip ...], *length samples from *first. */
static void inside(const swg__stems_item *item, int64_t start, int64_t count, int64_t *first, int64_t *skip, int64_t *length) {
    const int64_t end = start + count < item->about.frames ? start + count : item->about.frames;
    *first = start > 0 ? start : 0;
    *skip = *first - start;
    *length = end > *first ? end - *first : 0;
}

static void from_memory(const swg__stems *s, const swg__stems_item *item, const swg__stems_wave *wave, int64_t start, int64_t count, float *out) {
    int64_t first, skip, length;
    inside(item, start, count, &first, &skip, &length);
    if (length < count)
        memset(out, 0, (size_t)(s->channels * count) * sizeof *out);
    for (int c = 0; length && c < s->channels; c++) {
        const int64_t from = c * item->about.frames + first;
        if (wave->narrow)
            widen(wave->narrow + from, length, out + c * count + skip);
        else
            memcpy(out + c * count + skip, wave->wide + from, (size_t)length * sizeof *out);
    }
}

/* Adds a file's piece to out. */
static swg_status from_file(const swg__stems *s, const swg__stems_item *item, const char *path, int64_t start, int64_t count, float *out) {
    int64_t first, skip, length, got = 0;
    inside(item, start, count, &first, &skip, &length);
    if (!length)
        return SWG_OK;
    swg_audio *audio;
    SWG__TRY(open_file(s, path, &audio));
    float *piece = swg__alloc(s->ctx, (size_t)(s->channels * length) * sizeof *piece);
    swg_status status = piece ? swg_audio_seek(audio, first) : swg__fail_memory(s->ctx, (size_t)(s->channels * length) * sizeof *piece, "a piece of a track");
    if (status == SWG_OK)
        status = swg_audio_read(audio, length, piece, length, &got);
    if (status == SWG_OK && got != length)
        status = swg__fail(s->ctx, SWG_ECORRUPT, "%s: ends after %lld samples: it was longer when it was opened", path, (long long)(first + got));
    for (int c = 0; status == SWG_OK && c < s->channels; c++)
        add(out + c * count + skip, piece + c * length, length);
    swg__free(s->ctx, piece);
    swg_audio_close(audio);
    return status;
}

swg_status swg__stems_cut_group(const swg__stems *s, int64_t track, int group, int64_t start, int64_t count, float *out) {
    const swg__stems_item *item = &s->items[track];
    if (item->whole) {
        from_memory(s, item, group < 0 ? &item->mix : &item->group[group], start, count, out);
        return SWG_OK;
    }
    memset(out, 0, (size_t)(s->channels * count) * sizeof *out);
    for (int f = 0; group >= 0 && f < s->files; f++)
        if (s->file_group[f] == group)
            SWG__TRY(from_file(s, item, item->file[f], start, count, out));
    return group < 0 ? from_file(s, item, item->mixture, start, count, out) : SWG_OK;
}

swg_status swg__stems_cut(const swg__stems *s, int64_t track, int64_t start, int64_t count, float *mixture, float *groups) {
    const swg__stems_item *item = &s->items[track];
    const int64_t values = s->channels * count;
    const bool summed = s->sum || item->summed;
    float *own = NULL;
    if (mixture && summed && !groups && !(groups = own = swg__alloc(s->ctx, (size_t)(s->groups * values) * sizeof *own)))
        return swg__fail_memory(s->ctx, (size_t)(s->groups * values) * sizeof *own, "a piece of a track");
    swg_status status = SWG_OK;
    for (int g = 0; status == SWG_OK && groups && g < s->groups; g++)
        status = swg__stems_cut_group(s, track, g, start, count, groups + g * values);
    if (status == SWG_OK && mixture && summed)
        swg__stems_sum(s, groups, count, mixture);
    else if (status == SWG_OK && mixture)
        status = swg__stems_cut_group(s, track, -1, start, count, mixture);
    swg__free(s->ctx, own);
    return status;
}
