/* separation.c - SDR, SI-SDR, SIR and SAR of separated sources, without filters; medians; the score of a whole song.
 * In: references and estimates, (channels, samples) f32. Out: dB, NAN where there is no figure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "separation.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *key, *title;
} figures[] = {
#define X(name, key, title, meaning) {key, title},
    SWG_SEPARATION_TABLE(X)
#undef X
};
static const char *const views[] = {
#define X(name, key, meaning) key,
    SWG_SCORE_TABLE(X)
#undef X
};

const char *swg_separation_key(swg_separation_figure figure) {
    return (unsigned)figure < SWG_SEPARATION_FIGURES ? figures[figure].key : NULL;
}

const char *swg_separation_title(swg_separation_figure figure) {
    return (unsigned)figure < SWG_SEPARATION_FIGURES ? figures[figure].title : NULL;
}

const char *swg_score_key(swg_score_view view) { return (unsigned)view < SWG_SCORE_VIEWS ? views[view] : NULL; }

double swg__decibels(double part, double rest, double floor) {
    if (part == 0 && rest == 0)
        return (double)NAN;
    if (rest == 0)
        return (double)INFINITY;
    const double ratio = part / rest;
    return ratio < floor ? 10 * log10(floor) : 10 * log10(ratio); /* log10 0 is -INFINITY */
}

bool swg__silent(const float *signal, int channels, int64_t stride, int64_t first, int64_t count) {
    for (int c = 0; c < channels; c++)
        for (int64_t i = 0; i < count; i++)
            if (signal[c * stride + first + i] != 0)
                return false;
    return true;
}

static swg_status check_finite(swg_context *ctx, const char *what, int source, int channels, int64_t samples, int64_t stride, const float *x) {
    for (int c = 0; c < channels; c++)
        for (int64_t i = 0; i < samples; i++)
            if (!isfinite(x[c * stride + i]))
                return swg__fail(ctx, SWG_ENONFINITE, "%s %d, channel %d, sample %lld: %g", what, source, c, (long long)i, (double)x[c * stride + i]);
    return SWG_OK;
}

static swg_status check_counts(swg_context *ctx, int sources, int channels, int64_t samples) {
    if (sources < 1 || sources > SWG_SEPARATION_SOURCES || channels < 1 || channels > SWG_SEPARATION_CHANNELS)
        return swg__fail(ctx, SWG_EINVAL, "%d sources of %d channels; at most %d of %d", sources, channels, SWG_SEPARATION_SOURCES, SWG_SEPARATION_CHANNELS);
    return samples > 0 ? SWG_OK : swg__fail(ctx, SWG_ESHAPE, "signals of %lld samples", (long long)samples);
}

swg_status swg__check_signals(swg_context *ctx, int sources, int channels, int64_t samples, const float *const *reference, const float *const *estimate) {
    SWG__TRY(check_counts(ctx, sources, channels, samples));
    for (int s = 0; s < sources; s++) {
        SWG__TRY(check_finite(ctx, "reference", s, channels, samples, samples, reference[s]));
        if (estimate)
            SWG__TRY(check_finite(ctx, "estimate", s, channels, samples, samples, estimate[s]));
    }
    return SWG_OK;
}

/* ---- one stretch ---- */

typedef struct stretch {
    int sources, channels, target;
    int64_t samples, stride;        /* of references and estimate */
    const float *const *reference;
    const float *estimate;
    int64_t first;                  /* sample of the signals where the stretch begins */
    double floor;
} stretch;

static const float *channel_of(const stretch *s, const float *signal, int channel) { return signal + channel * s->stride + s->first; }

static double product(const stretch *s, const float *a, const float *b) {
    double sum = 0;
    for (int c = 0; c < s->channels; c++) {
        const float *x = channel_of(s, a, c), *y = channel_of(s, b, c);
        for (int64_t i = 0; i < s->samples; i++)
            sum += (double)x[i] * (double)y[i];
    }
    return sum;
}

static double sdr(const stretch *s) {
    double part = 0, rest = 0;
    for (int c = 0; c < s->channels; c++) {
        const float *x = channel_of(s, s->reference[s->target], c), *y = channel_of(s, s->estimate, c);
        for (int64_t i = 0; i < s->samples; i++) {
            const double error = (double)y[i] - (double)x[i];
            part += (double)x[i] * (double)x[i];
            rest += error * error;
        }
    }
    return swg__decibels(part, rest, s->floor);
}

static double mean(const float *x, int64_t samples) {
    double sum = 0;
    for (int64_t i = 0; i < samples; i++)
        sum += (double)x[i];
    return sum / (double)samples;
}

static double si_sdr(const stretch *s) {
    double means[SWG_SEPARATION_CHANNELS][2], cross = 0, energy = 0, part = 0, rest = 0;
    for (int c = 0; c < s->channels; c++) {
        const float *x = channel_of(s, s->reference[s->target], c), *y = channel_of(s, s->estimate, c);
        means[c][0] = mean(x, s->samples);
        means[c][1] = mean(y, s->samples);
        for (int64_t i = 0; i < s->samples; i++) {
            cross += ((double)x[i] - means[c][0]) * ((double)y[i] - means[c][1]);
            energy += ((double)x[i] - means[c][0]) * ((double)x[i] - means[c][0]);
        }
    }
    if (energy == 0)
        return (double)NAN;
    const double scale = cross / energy;
    for (int c = 0; c < s->channels; c++) {
        const float *x = channel_of(s, s->reference[s->target], c), *y = channel_of(s, s->estimate, c);
        for (int64_t i = 0; i < s->samples; i++) {
            const double fitted = scale * ((double)x[i] - means[c][0]), error = fitted - ((double)y[i] - means[c][1]);
            part += fitted * fitted;
            rest += error * error;
        }
    }
    return swg__decibels(part, rest, s->floor);
}

/* SIR and SAR from the estimate's part in each source, sample by sample. */
static void simple_ratios(const stretch *s, double *sir, double *sar) {
    const float *source[SWG_SEPARATION_SOURCES];
    double scale[SWG_SEPARATION_SOURCES], own = 0, between = 0, all = 0, rest = 0;
    int sounding = 0, target = 0;
    for (int k = 0; k < s->sources; k++) {
        const double energy = product(s, s->reference[k], s->reference[k]);
        if (energy == 0)
            continue;
        target = k == s->target ? sounding : target;
        scale[sounding] = product(s, s->estimate, s->reference[k]) / energy;
        source[sounding++] = s->reference[k];
    }
    for (int c = 0; c < s->channels; c++)
        for (int64_t i = 0; i < s->samples; i++) {
            const double mine = scale[target] * (double)channel_of(s, source[target], c)[i];
            double others = 0;
            for (int k = 0; k < sounding; k++)
                others += k == target ? 0 : scale[k] * (double)channel_of(s, source[k], c)[i];
            const double sum = mine + others, artifact = (double)channel_of(s, s->estimate, c)[i] - sum;
            own += mine * mine;
            between += others * others;
            all += sum * sum;
            rest += artifact * artifact;
        }
    *sir = sounding > 1 ? swg__decibels(own, between, s->floor) : (double)NAN;
    *sar = swg__decibels(all, rest, s->floor);
}

static void measure(const stretch *s, swg_separation *out) {
    for (int i = 0; i < SWG_SEPARATION_FIGURES; i++)
        out->db[i] = (double)NAN;
    if (swg__silent(s->reference[s->target], s->channels, s->stride, s->first, s->samples))
        return;
    out->db[SWG_SEPARATION_SDR] = sdr(s);
    out->db[SWG_SEPARATION_SI_SDR] = si_sdr(s);
    simple_ratios(s, &out->db[SWG_SEPARATION_SIR], &out->db[SWG_SEPARATION_SAR]);
}

swg_status swg_separation_measure(swg_context *ctx, int sources, int channels, int64_t samples, int64_t stride, const float *const *reference, int target,
                                  const float *estimate, double floor, swg_separation *out) {
    SWG__TRY(check_counts(ctx, sources, channels, samples));
    if (target < 0 || target >= sources || stride < samples || !(floor >= 0))
        return swg__fail(ctx, SWG_EINVAL, "source %d of %d, %lld samples in channels of %lld, floor %g", target, sources, (long long)samples, (long long)stride, floor);
    for (int s = 0; s < sources; s++)
        SWG__TRY(check_finite(ctx, "reference", s, channels, samples, stride, reference[s]));
    SWG__TRY(check_finite(ctx, "estimate", target, channels, samples, stride, estimate));
    measure(&(stretch){.sources = sources, .channels = channels, .target = target, .samples = samples, .stride = stride, .reference = reference,
                       .estimate = estimate, .floor = floor}, out);
    return SWG_OK;
}

/* ---- a song ---- */

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double swg_decibel_median(double *db, int64_t count) {
    int64_t used = 0;
    for (int64_t i = 0; i < count; i++)
        if (!isnan(db[i]))
            db[used++] = db[i];
    if (!used)
        return (double)NAN;
    qsort(db, (size_t)used, sizeof *db, by_value);
    const double low = db[(used - 1) / 2], high = db[used / 2];
    return low == high || isinf(low) ? low : .5 * low + .5 * high; /* -INFINITY beside +INFINITY is -INFINITY */
}

/* Windows of one source: figures (windows) every `step`. room: `windows` doubles. */
static void summarise(const swg_separation *found, int64_t windows, double *room, swg_score_value *out) {
    for (int f = 0; f < SWG_SEPARATION_FIGURES; f++) {
        out[f] = (swg_score_value){.windows = windows};
        for (int64_t w = 0; w < windows; w++) {
            room[w] = found[w].db[f];
            out[f].absent += isnan(room[w]);
            out[f].perfect += isinf(room[w]) && room[w] > 0;
        }
        out[f].db = swg_decibel_median(room, windows);
    }
}

typedef struct song {
    stretch s;                      /* target, first and samples are each task's own */
    const float *const *estimate;
    int64_t length, window, windows;
    swg_separation *found;          /* (sources, windows) */
} song;

static void measure_window(void *arg, int64_t task, int worker) {
    (void)worker;
    const song *g = arg;
    stretch s = g->s;
    s.target = (int)(task / g->windows);
    s.estimate = g->estimate[s.target];
    s.first = task % g->windows * g->window;
    s.samples = g->window;
    measure(&s, g->found + task);
}

static swg_status score_view(swg_context *ctx, song *g, int64_t window, const swg_bss_opts *bss, swg_score_view view, swg_source_score *out) {
    g->window = window > 0 && window < g->length ? window : g->length;
    g->windows = g->length / g->window;
    const int sources = g->s.sources;
    const size_t bytes = (size_t)(sources * g->windows) * sizeof *g->found, room_bytes = (size_t)g->windows * sizeof(double);
    g->found = swg__alloc(ctx, bytes);
    double *room = swg__alloc(ctx, room_bytes);
    swg_status status = g->found && room ? SWG_OK : swg__fail_memory(ctx, bytes + room_bytes, "figures of a song");
    if (status == SWG_OK && bss)
        status = swg_bss_eval(ctx, sources, g->s.channels, g->length, g->s.reference, g->estimate, bss, g->found, NULL);
    else if (status == SWG_OK)
        swg__parallel(ctx, sources * g->windows, measure_window, g);
    for (int s = 0; status == SWG_OK && s < sources; s++)
        summarise(g->found + s * g->windows, g->windows, room, out[s].at[view]);
    swg__free(ctx, room);
    swg__free(ctx, g->found);
    return status;
}

swg_status swg_song_score(swg_context *ctx, int sources, int channels, int64_t samples, int64_t rate, const float *const *reference,
                          const float *const *estimate, const swg_score_opts *opts, swg_source_score *out) {
    static const swg_score_opts none;
    const swg_score_opts *o = opts ? opts : &none;
    const double segment = o->segment_seconds > 0 ? o->segment_seconds : 10, window = o->window_seconds > 0 ? o->window_seconds : 1;
    SWG__TRY(swg__check_signals(ctx, sources, channels, samples, reference, estimate));
    if (rate < 1 || !(o->floor >= 0) || !(segment * (double)rate >= 1) || !(window * (double)rate >= 1) || segment > 1e9 || window > 1e9)
        return swg__fail(ctx, SWG_EINVAL, "score of a song: rate %lld Hz, segments of %g s, windows of %g s, floor %g", (long long)rate, segment, window, o->floor);
    song g = {.s = {.sources = sources, .channels = channels, .stride = samples, .reference = reference, .floor = o->floor}, .estimate = estimate, .length = samples};
    const int64_t segment_samples = llround(segment * (double)rate), window_samples = llround(window * (double)rate);
    for (int s = 0; s < sources; s++)
        for (int v = 0; v < SWG_SCORE_VIEWS; v++)
            for (int f = 0; f < SWG_SEPARATION_FIGURES; f++)
                out[s].at[v][f] = (swg_score_value){.db = (double)NAN};
    SWG__TRY(score_view(ctx, &g, 0, NULL, SWG_SCORE_TRACK, out));
    SWG__TRY(score_view(ctx, &g, segment_samples, NULL, SWG_SCORE_SEGMENTS, out));
    SWG__TRY(score_view(ctx, &g, window_samples, NULL, SWG_SCORE_WINDOWS, out));
    if (!o->bss)
        return SWG_OK;
    const swg_bss_opts v3 = {.images = channels > 1, .all_sources = o->all_sources};
    const swg_bss_opts v4 = {.images = true, .window = window_samples, .whole_filters = true, .all_sources = o->all_sources};
    SWG__TRY(score_view(ctx, &g, 0, &v3, SWG_SCORE_BSS3, out));
    return score_view(ctx, &g, window_samples, &v4, SWG_SCORE_BSS4, out);
}

/* ---- text ---- */

const char *swg_decibel_text(double db, char *text, int64_t capacity) {
    if (isnan(db) || isinf(db))
        snprintf(text, (size_t)capacity, "%s", isnan(db) ? "n/a" : db > 0 ? "inf" : "-inf");
    else
        snprintf(text, (size_t)capacity, "%.2f", db);
    return text;
}

static void add_decibels(cJSON *object, const char *key, double db) {
    if (isnan(db))
        cJSON_AddNullToObject(object, key);
    else if (isinf(db))
        cJSON_AddStringToObject(object, key, db > 0 ? "inf" : "-inf");
    else
        cJSON_AddNumberToObject(object, key, db);
}

static void add_score(cJSON *object, const swg_source_score *score) {
    for (int v = 0; v < SWG_SCORE_VIEWS; v++) {
        const swg_score_value *at = score->at[v];
        if (!at[SWG_SEPARATION_SDR].windows)
            continue;
        cJSON *view = cJSON_AddObjectToObject(object, views[v]);
        cJSON_AddNumberToObject(view, "windows", (double)at[SWG_SEPARATION_SDR].windows);
        cJSON_AddNumberToObject(view, "absent", (double)at[SWG_SEPARATION_SDR].absent);
        cJSON_AddNumberToObject(view, "perfect", (double)at[SWG_SEPARATION_SDR].perfect);
        for (int f = 0; f < SWG_SEPARATION_FIGURES; f++)
            if (f != SWG_SEPARATION_SI_SDR && f != SWG_SEPARATION_ISR)
                add_decibels(view, figures[f].key, at[f].db);
            else if ((f == SWG_SEPARATION_ISR) == (v == SWG_SCORE_BSS3 || v == SWG_SCORE_BSS4))
                add_decibels(view, figures[f].key, at[f].db);
    }
}

int64_t swg_song_score_json(int sources, const char *const *names, const swg_source_score *scores, char *text, int64_t capacity) {
    cJSON *root = cJSON_CreateObject();
    for (int s = 0; s < sources; s++)
        add_score(cJSON_AddObjectToObject(root, names[s]), &scores[s]);
    char *line = cJSON_PrintUnformatted(root);
    const int64_t length = line ? (int64_t)strlen(line) : 0;
    if (capacity > 0)
        snprintf(text, (size_t)capacity, "%s", line ? line : "");
    cJSON_free(line);
    cJSON_Delete(root);
    return length;
}
