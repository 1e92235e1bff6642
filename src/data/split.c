/* split.c - which samples train, validate and test.
 * In: file and time of every sample, a mode and a seed. Out: three lists of indices and the line that describes them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "philox.h"
#include "split.h"

/* ---- the legacy generator of NumPy, for splits as published ---- */

enum { MT_WORDS = 624, MT_SHIFT = 397 };

typedef struct mt19937 {
    uint32_t state[MT_WORDS];
    int next;
} mt19937;

static void mt_seed(mt19937 *mt, uint32_t seed) {
    mt->state[0] = seed;
    for (uint32_t i = 1; i < MT_WORDS; i++)
        mt->state[i] = 1812433253u * (mt->state[i - 1] ^ mt->state[i - 1] >> 30) + i;
    mt->next = MT_WORDS;
}

static void mt_renew(mt19937 *mt) {
    for (int i = 0; i < MT_WORDS; i++) {
        uint32_t y = (mt->state[i] & 0x80000000u) | (mt->state[(i + 1) % MT_WORDS] & 0x7fffffffu);
        mt->state[i] = mt->state[(i + MT_SHIFT) % MT_WORDS] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    mt->next = 0;
}

static uint32_t mt_draw(mt19937 *mt) {
    if (mt->next == MT_WORDS)
        mt_renew(mt);
    uint32_t y = mt->state[mt->next++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

void swg__mt19937_words(uint32_t seed, uint32_t *words, int64_t count) {
    mt19937 mt;
    mt_seed(&mt, seed);
    for (int64_t i = 0; i < count; i++)
        words[i] = mt_draw(&mt);
}

void swg__shuffle_legacy(uint32_t seed, int64_t *order, int64_t n) {
    mt19937 mt;
    mt_seed(&mt, seed);
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    for (int64_t i = n - 1; i >= 1; i--) {
        uint32_t mask = (uint32_t)i, j;
        for (int shift = 1; shift < 32; shift *= 2)
            mask |= mask >> shift;
        do
            j = mt_draw(&mt) & mask;
        while (j > i);
        int64_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

/* ---- modes ---- */

static const char *const part_names[SWG_PARTS] = {"train", "val", "test"};

struct split {
    swg_context *ctx;
    const swg_sample *samples;
    int64_t count;
    bool philox;
    uint64_t seed;
    double fraction[SWG_PARTS];
    int64_t *group;      /* per sample: index of its file or time, where groups are cut */
    bool images;         /* samples are images; each part gets one unit at least */
    const char *groups;  /* NULL, or what the units of by-group are */
    bool held;           /* the test part was set aside before: `samples` are the others */
    swg_split *out;
};

static void shuffle(const struct split *s, int64_t *order, int64_t n) {
    if (s->philox)
        swg__shuffle(s->seed, 0, order, n);
    else
        swg__shuffle_legacy((uint32_t)s->seed, order, n);
}

/* floor(0.80 n), floor(0.15 n), the rest. */
static void sizes_of(const struct split *s, int64_t n, int64_t size[SWG_PARTS]) {
    size[SWG_TRAIN] = (int64_t)floor(s->fraction[SWG_TRAIN] * (double)n);
    size[SWG_VAL] = (int64_t)floor(s->fraction[SWG_VAL] * (double)n);
    if (size[SWG_TRAIN] > n)
        size[SWG_TRAIN] = n;
    if (size[SWG_VAL] > n - size[SWG_TRAIN])
        size[SWG_VAL] = n - size[SWG_TRAIN];
    if (s->fraction[SWG_TEST] == 0) /* no test part: what rounding leaves over is for validation, or training */
        size[s->fraction[SWG_VAL] > 0 ? SWG_VAL : SWG_TRAIN] += n - size[SWG_TRAIN] - size[SWG_VAL];
    size[SWG_TEST] = n - size[SWG_TRAIN] - size[SWG_VAL];
    for (int part = 0; s->images && part < SWG_PARTS; part++) {
        int largest = size[SWG_TRAIN] >= size[SWG_VAL] && size[SWG_TRAIN] >= size[SWG_TEST] ? SWG_TRAIN : size[SWG_VAL] >= size[SWG_TEST] ? SWG_VAL : SWG_TEST;
        if (size[part] == 0 && s->fraction[part] > 0 && size[largest] > 1) {
            size[part]++;
            size[largest]--;
        }
    }
}

static swg_status split_random(struct split *s, swg__text *line) {
    shuffle(s, s->out->indices[0], s->count);
    sizes_of(s, s->count, s->out->count);
    swg__text_puts(line, s->images ? "split: random by image (images of one slide or patient may be in several parts; data.split=by-group keeps them "
                                     "together)"
                         : s->held ? "random" : "split: random (test blocks are neighbours of training blocks)");
    return SWG_OK;
}

/* Lists the samples part by part, in their own order, where part_of[group] says which part. */
static void list_by_group(struct split *s, const int *part_of) {
    int64_t used = 0;
    for (int part = 0; part < SWG_PARTS; part++) {
        int64_t first = used;
        for (int64_t i = 0; i < s->count; i++)
            if (part_of[s->group[i]] == part)
                s->out->indices[0][used++] = i;
        s->out->count[part] = used - first;
    }
}

static swg_status split_by_file(struct split *s, swg__text *line) {
    int64_t ids = 0, files = 0, size[SWG_PARTS];
    for (int64_t i = 0; i < s->count; i++)
        ids = s->samples[i].file >= ids ? s->samples[i].file + 1 : ids;
    int *part_of = swg__calloc(s->ctx, (size_t)ids, sizeof *part_of);
    int64_t *order = swg__calloc(s->ctx, (size_t)ids, sizeof *order), *number = swg__calloc(s->ctx, (size_t)ids, sizeof *number);
    swg_status status = SWG_OK;
    if (!part_of || !order || !number) {
        status = swg__fail_memory(s->ctx, (size_t)ids * sizeof *order, "the split by file");
    } else {
        for (int64_t i = 0; i < s->count; i++) /* files that have samples, 1, 2, ... */
            if (!number[s->samples[i].file])
                number[s->samples[i].file] = -1;
        for (int64_t id = 0; id < ids; id++)
            number[id] = number[id] ? files++ : -1;
        for (int64_t i = 0; i < s->count; i++)
            s->group[i] = number[s->samples[i].file];
        shuffle(s, order, files);
        sizes_of(s, files, size);
        for (int64_t i = 0; i < files; i++)
            part_of[order[i]] = i < size[SWG_TRAIN] ? SWG_TRAIN : i < size[SWG_TRAIN] + size[SWG_VAL] ? SWG_VAL : SWG_TEST;
        list_by_group(s, part_of);
        swg__text_printf(line, "%s%s%s (train %lld %s, val %lld", s->held ? "" : "split: ", s->groups ? "by-group " : "by-file",
                         s->groups ? s->groups : "", (long long)size[SWG_TRAIN], s->groups ? "groups" : "files", (long long)size[SWG_VAL]);
        if (!s->held)
            swg__text_printf(line, ", test %lld", (long long)size[SWG_TEST]);
        swg__text_puts(line, ")");
    }
    swg__free(s->ctx, number);
    swg__free(s->ctx, order);
    swg__free(s->ctx, part_of);
    return status;
}

struct moment {
    double time;
    int64_t samples;
};

static int by_time(const void *a, const void *b) {
    double x = ((const struct moment *)a)->time, y = ((const struct moment *)b)->time;
    return (x > y) - (x < y);
}

/* Distinct times, sorted, with the number of samples at each. Runs of equal times are joined first: arrays share theirs. */
static int64_t collect_times(const struct split *s, struct moment *times) {
    int64_t runs = 0, distinct = 0;
    for (int64_t i = 0; i < s->count; i++) {
        if (runs == 0 || times[runs - 1].time != s->samples[i].time)
            times[runs++] = (struct moment){s->samples[i].time, 0};
        times[runs - 1].samples++;
    }
    qsort(times, (size_t)runs, sizeof *times, by_time);
    for (int64_t i = 0; i < runs; i++) {
        if (distinct && times[distinct - 1].time == times[i].time)
            times[distinct - 1].samples += times[i].samples;
        else
            times[distinct++] = times[i];
    }
    return distinct;
}

/* Number of leading times, low..high, whose samples come nearest to `wanted`. */
static int64_t nearest_cut(const struct moment *times, int64_t low, int64_t high, double wanted) {
    int64_t best = low, total = 0;
    double gap = INFINITY;
    for (int64_t i = 0; i <= high; i++) {
        if (i >= low && fabs((double)total - wanted) < gap) {
            gap = fabs((double)total - wanted);
            best = i;
        }
        total += i < high ? times[i].samples : 0;
    }
    return best;
}

static swg_status cut_times(struct split *s, const struct moment *times, int64_t count, swg__text *line) {
    int needed = 0, part_of[3] = {SWG_TRAIN, SWG_VAL, SWG_TEST};
    bool wanted[SWG_PARTS];
    for (int part = 0; part < SWG_PARTS; part++)
        needed += wanted[part] = s->fraction[part] > 0;
    if (count < needed)
        return swg__fail(s->ctx, SWG_EINVAL, "data.split=by-time: %d parts need as many different times, the data have %lld; use data.split=random or "
                         "add files of other times", needed, (long long)count);
    double total = (double)s->count;
    int64_t cut[2];
    cut[0] = wanted[SWG_VAL] || wanted[SWG_TEST] ? nearest_cut(times, wanted[SWG_TRAIN], count - wanted[SWG_VAL] - wanted[SWG_TEST],
                                                               s->fraction[SWG_TRAIN] * total) : count;
    cut[1] = wanted[SWG_TEST] ? nearest_cut(times, cut[0] + wanted[SWG_VAL], count - 1,
                                            (s->fraction[SWG_TRAIN] + s->fraction[SWG_VAL]) * total) : count;
    for (int64_t i = 0; i < s->count; i++) {
        double t = s->samples[i].time;
        s->group[i] = cut[0] > 0 && t <= times[cut[0] - 1].time ? SWG_TRAIN : cut[1] > 0 && t <= times[cut[1] - 1].time ? SWG_VAL : SWG_TEST;
    }
    list_by_group(s, part_of);
    swg__text_puts(line, s->held ? "by-time (" : "split: by-time (");
    for (int part = 0; part < SWG_PARTS; part++) {
        int64_t first = part ? cut[part - 1] : 0, end = part < 2 ? cut[part] : count;
        if (first < end)
            swg__text_printf(line, "%s%s t = %g..%g", part ? ", " : "", part_names[part], times[first].time, times[end - 1].time);
    }
    swg__text_puts(line, ")");
    return SWG_OK;
}

static swg_status need_times(const struct split *s, const char *who) {
    for (int64_t i = 0; i < s->count; i++)
        if (!isfinite(s->samples[i].time))
            return swg__fail(s->ctx, SWG_EINVAL, "%s: sample %lld has no time; give file or dataset an attribute \"time\", or use "
                             "data.split=random", who, (long long)i);
    return SWG_OK;
}

static swg_status split_by_time(struct split *s, swg__text *line) {
    SWG__TRY(need_times(s, "data.split=by-time"));
    struct moment *times = swg__calloc(s->ctx, (size_t)s->count, sizeof *times);
    if (!times)
        return swg__fail_memory(s->ctx, (size_t)s->count * sizeof *times, "the split by time");
    swg_status status = cut_times(s, times, collect_times(s, times), line);
    swg__free(s->ctx, times);
    return status;
}

/* The units are files, or groups in their place. */
static swg_status split_by_group(struct split *s, swg__text *line) { return split_by_file(s, line); }

static const struct {
    const char *name;
    swg_status (*make)(struct split *s, swg__text *line);
} modes[] = {{"random", split_random}, {"by-file", split_by_file}, {"by-time", split_by_time}, {"by-group", split_by_group}};

/* Splits the samples before time `from` into training and validation; the others are the test part. */
static swg_status hold_back(struct split *s, double from, int mode, swg__text *line) {
    SWG__TRY(need_times(s, "data.test_from"));
    const swg_sample *all = s->samples;
    const int64_t count = s->count;
    int64_t early = 0, late = 0, *place = swg__calloc(s->ctx, (size_t)count, sizeof *place);
    swg_sample *kept = swg__alloc(s->ctx, (size_t)count * sizeof *kept);
    swg_status status = kept && place ? SWG_OK : swg__fail_memory(s->ctx, (size_t)count * sizeof *kept, "the split by time");
    double first = INFINITY, last = -INFINITY;
    for (int64_t i = 0; status == SWG_OK && i < count; i++) {
        if (all[i].time < from) {
            place[early] = i;
            kept[early++] = all[i];
        } else {
            first = fmin(first, all[i].time);
            last = fmax(last, all[i].time);
            place[count - ++late] = i;
        }
    }
    if (status == SWG_OK && (!early || !late))
        status = swg__fail(s->ctx, SWG_EINVAL, "data.test_from=%g: %s sample is of that time or later", from, early ? "no" : "every");
    if (status == SWG_OK) {
        swg__text_printf(line, "split: test t = %g..%g; train and val of earlier times, ", first, last);
        double rest = s->fraction[SWG_TRAIN] + s->fraction[SWG_VAL];
        s->fraction[SWG_TRAIN] /= rest;
        s->fraction[SWG_VAL] /= rest;
        s->fraction[SWG_TEST] = 0;
        s->held = true;
        s->samples = kept;
        s->count = early;
        status = modes[mode].make(s, line);
        s->samples = all;
        s->count = count;
        int64_t *indices = s->out->indices[0];
        for (int64_t i = 0; i < early; i++)
            indices[i] = place[indices[i]];
        for (int64_t i = early; i < count; i++) /* the late ones were written from the end */
            indices[i] = place[count - 1 - (i - early)];
        s->out->count[SWG_TEST] = late;
    }
    swg__free(s->ctx, kept);
    swg__free(s->ctx, place);
    return status;
}

/* ---- public ---- */

static swg_status read_opts(struct split *s, const swg_split_opts *opts, int *mode) {
    const char *word = opts->mode ? opts->mode : modes[0].name;
    *mode = -1;
    s->images = opts->images;
    for (int i = 0; i < (int)(sizeof modes / sizeof *modes); i++)
        if (strcmp(word, modes[i].name) == 0)
            *mode = i;
    if (*mode < 0)
        return swg__fail(s->ctx, SWG_EINVAL, "data.split=%s: expected random, by-file, by-time or by-group", word);
    bool grouped = modes[*mode].make == split_by_group;
    if (s->images ? *mode && !grouped : grouped)
        return swg__fail(s->ctx, SWG_EINVAL, "data.split=%s: is for %s", word, s->images ? "simulation data; images take random or by-group" : "images");
    if (grouped)
        s->groups = opts->group ? opts->group : "group";
    const char *rng = opts->rng ? opts->rng : "numpy-legacy";
    s->philox = strcmp(rng, "philox") == 0;
    if (!s->philox && strcmp(rng, "numpy-legacy") != 0)
        return swg__fail(s->ctx, SWG_EINVAL, "split.rng=%s: expected numpy-legacy or philox", rng);
    s->seed = opts->seed;
    if (!s->philox && (s->seed > UINT32_MAX || s->count > UINT32_MAX))
        return swg__fail(s->ctx, SWG_EINVAL, "split.rng=numpy-legacy: seed and number of samples must fit 32 bits; use split.rng=philox");
    bool given = opts->train != 0 || opts->val != 0;
    s->fraction[SWG_TRAIN] = given ? opts->train : 0.80;
    s->fraction[SWG_VAL] = given ? opts->val : 0.15;
    double sum = s->fraction[SWG_TRAIN] + s->fraction[SWG_VAL];
    if (!(s->fraction[SWG_TRAIN] >= 0 && s->fraction[SWG_VAL] >= 0 && sum <= 1 + 1e-12))
        return swg__fail(s->ctx, SWG_EINVAL, "split fractions train %g, val %g: each must be 0 or more and their sum at most 1",
                         s->fraction[SWG_TRAIN], s->fraction[SWG_VAL]);
    s->fraction[SWG_TEST] = sum < 1 - 1e-12 ? 1 - sum : 0;
    return SWG_OK;
}

static swg_status make(struct split *s, const swg_split_opts *opts, swg__text *line) {
    int mode;
    SWG__TRY(read_opts(s, opts, &mode));
    if (s->count < 1)
        return swg__fail(s->ctx, SWG_EINVAL, "split: there are no samples");
    s->group = swg__calloc(s->ctx, (size_t)s->count, sizeof *s->group);
    int64_t *indices = swg__calloc(s->ctx, (size_t)s->count, sizeof *indices);
    s->out->indices[0] = indices;
    if (!s->group || !indices)
        return swg__fail_memory(s->ctx, (size_t)s->count * sizeof *indices, "the split");
    SWG__TRY(opts->has_test_from ? hold_back(s, opts->test_from, mode, line) : modes[mode].make(s, line));
    for (int part = 0; part < SWG_PARTS; part++) {
        s->out->indices[part] = indices;
        indices += s->out->count[part];
        if (s->out->count[part] == 0 && s->fraction[part] > 0)
            return swg__fail(s->ctx, SWG_EINVAL, "data.split=%s: the %s part is empty (%lld %s, fraction %g); %s",
                             modes[mode].name, part_names[part], (long long)s->count, s->images ? "images" : "samples", s->fraction[part],
                             s->images ? "three images or groups at least, one for each part" : "use more data or other fractions");
    }
    if (line->failed)
        return swg__fail_memory(s->ctx, 0, "the description of the split");
    return SWG_OK;
}

swg_status swg_split_make(swg_context *ctx, const swg_sample *samples, int64_t count, const swg_split_opts *opts, swg_split *out) {
    *out = (swg_split){0};
    struct split s = {.ctx = ctx, .samples = samples, .count = count, .out = out};
    swg__text line;
    swg__text_init(&line, ctx);
    swg_status status = make(&s, opts ? opts : &(swg_split_opts){.seed = 42}, &line);
    swg__free(ctx, s.group);
    out->description = line.data;
    if (status != SWG_OK)
        swg_split_free(ctx, out);
    return status;
}

void swg_split_free(swg_context *ctx, swg_split *split) {
    swg__free(ctx, split->indices[0]); /* one allocation for the three lists */
    swg__free(ctx, split->description);
    *split = (swg_split){0};
}
