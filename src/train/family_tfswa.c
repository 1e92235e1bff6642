/* family_tfswa.c - separation of music by masks of spectrograms: settings, graph, songs and SDR.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "swage/separation.h"
#include "train/recipe.h"
#include "train/run.h"

/* ---- settings ---- */

static swg_status read_list(swg_context *ctx, swg_config *c, const char *key, int64_t count, int64_t *out) {
    if (swg_config_count(c, key) != count)
        return swg__fail(ctx, SWG_EUSAGE, "%s: %lld numbers for %lld stages of model.depths", key, (long long)swg_config_count(c, key), (long long)count);
    for (int64_t i = 0; i < count; i++)
        out[i] = swg_config_int_at(c, key, i);
    return SWG_OK;
}

/* Names of stems are those of files, columns of logs and parameters of nothing. */
static swg_status add_stem(swg_context *ctx, swg__recipe_tfswa *t, const char *name) {
    const size_t length = name ? strlen(name) : 0;
    if (!length || length >= sizeof t->stem[0] || *name == '.' || strpbrk(name, "/,\t") || *name == ' ' || name[length - 1] == ' ') /* lists are joined by commas */
        return swg__fail(ctx, SWG_EUSAGE, "data.stems: \"%s\" is no name of a stem", name ? name : "");
    if (strcmp(name, "mixture") == 0)
        return swg__fail(ctx, SWG_EUSAGE, "data.stems: the mixture is what stems are separated from");
    for (int i = 0; i < t->stems; i++)
        if (strcmp(t->stem[i], name) == 0)
            return swg__fail(ctx, SWG_EUSAGE, "data.stems: %s stands twice", name);
    if (t->stems == SWG__STEMS_MOST)
        return swg__fail(ctx, SWG_EUSAGE, "data.stems: more than %d", SWG__STEMS_MOST);
    snprintf(t->stem[t->stems++], sizeof t->stem[0], "%s", name);
    return SWG_OK;
}

static swg_status read_stems(swg_context *ctx, swg_config *c, swg__recipe_tfswa *t) {
    static const char *const one[] = {"vocals", NULL}, *const two[] = {"vocals", "other", NULL}, *const four[] = {"vocals", "drums", "bass", "other", NULL};
    const int64_t out = swg_config_has(c, "model.out") ? swg_config_int(c, "model.out") : 0;
    if (swg_config_has(c, "data.stems")) {
        for (int64_t i = 0; i < swg_config_count(c, "data.stems"); i++)
            SWG__TRY(add_stem(ctx, t, swg_config_string_at(c, "data.stems", i)));
        if (!t->stems)
            return swg__fail(ctx, SWG_EUSAGE, "data.stems is empty");
        if (out && out != 2 * t->stems)
            return swg__fail(ctx, SWG_EUSAGE, "model.out=%lld: %d stems have %d channels, two each", (long long)out, t->stems, 2 * t->stems);
        return SWG_OK;
    }
    const char *const *names = !out || out == 2 ? one : out == 4 ? two : out == 8 ? four : NULL;
    if (!names)
        return swg__fail(ctx, SWG_EUSAGE, "model.out=%lld: say data.stems=[...], half as many names", (long long)out);
    for (; *names; names++)
        SWG__TRY(add_stem(ctx, t, *names));
    return SWG_OK;
}

static swg_status read_network(swg_context *ctx, swg_config *c, swg__recipe_tfswa *t) {
    swg_tfswa *n = &t->network;
    *n = swg_tfswa_unet();
    const int64_t stages = swg_config_count(c, "model.depths");
    if (stages < 2 || stages > SWG_TFSWA_STAGES)
        return swg__fail(ctx, SWG_EUSAGE, "model.depths: %lld stages, expected 2 to %d", (long long)stages, SWG_TFSWA_STAGES);
    n->stages = (int)stages;
    SWG__TRY(read_list(ctx, c, "model.depths", stages, n->depths));
    SWG__TRY(read_list(ctx, c, "model.dims", stages, n->dims));
    n->in = swg_config_int(c, "model.in");
    n->out = 2 * t->stems;
    n->window = swg_config_int(c, "model.window");
    n->shift = swg_config_int(c, "model.shift");
    n->heads = swg_config_int(c, "model.attention_heads");
    n->mlp_ratio = swg_config_int(c, "model.mlp_ratio");
    n->mask = swg_config_is(c, "model.mask", "published") ? SWG_TFSWA_PUBLISHED : swg_config_is(c, "model.mask", "complex") ? SWG_TFSWA_COMPLEX : SWG_TFSWA_SIGMOID;
    n->window_mask = swg_config_is(c, "model.window_mask", "shift") ? SWG_TFSWA_WINDOW_SHIFT
                   : swg_config_is(c, "model.window_mask", "all")   ? SWG_TFSWA_WINDOW_ALL
                                                                    : SWG_TFSWA_WINDOW_NONE;
    if (n->in != 2 && n->in != 4)
        return swg__fail(ctx, SWG_EUSAGE, "model.in=%lld: 2 for mono, 4 for stereo", (long long)n->in);
    if (n->shift >= n->window)
        return swg__fail(ctx, SWG_EUSAGE, "model.shift=%lld: expected less than model.window=%lld", (long long)n->shift, (long long)n->window);
    for (int i = 0; i < n->stages; i++)
        if (n->dims[i] % n->heads)
            return swg__fail(ctx, SWG_EUSAGE, "model.dims: %lld channels do not divide into model.attention_heads=%lld", (long long)n->dims[i], (long long)n->heads);
    return SWG_OK;
}

static int64_t bins(const swg__recipe_tfswa *t) { return t->n_fft / 2 + 1; }
int64_t swg__tfswa_frames(const swg__recipe_tfswa *t, int64_t samples) { return (samples > t->n_fft / 2 ? samples : t->n_fft / 2 + 1) / t->hop + 1; }

static swg_status read_settings(swg_context *ctx, swg_config *c, swg__recipe *r) {
    swg__recipe_tfswa *t = &r->tfswa;
    const char *name = swg_config_string(c, "model.name");
    if (!name || (strcmp(name, "unet") != 0 && strcmp(name, "small") != 0))
        return swg__fail(ctx, SWG_EUSAGE, "model.name=%s: family tfswa has unet and small", name ? name : "");
    if (swg_config_count(c, "model.axes") != 2 || strcmp(swg_config_string_at(c, "model.axes", 0), "f") != 0 || strcmp(swg_config_string_at(c, "model.axes", 1), "t") != 0)
        return swg__fail(ctx, SWG_EUSAGE, "model.axes: the axes behind the channels are [f, t], frequency and time, and nothing else");
    for (size_t i = 0; i < 2; i++) {
        static const char *const splits[] = {"data.split", "split.rng"};
        if (strcmp(swg_config_origin(c, splits[i]), "command line") == 0)
            return swg__fail(ctx, SWG_EUSAGE, "%s: parts of family tfswa are whole songs: data.leave_out, data.valid_list or data.valid_fraction, or folders train/ and "
                             "test/", splits[i]);
    }
    t->rate = swg_config_int(c, "data.rate");
    t->segment = swg_config_int(c, "data.segment");
    t->n_fft = swg_config_int(c, "data.n_fft");
    t->hop = swg_config_int(c, "data.hop");
    t->wave = swg_config_is(c, "loss.name", "wave");
    t->mrstft = swg_config_float(c, "loss.mrstft");
    SWG__TRY(swg_config_status(c));
    const char *augment = swg_config_string(c, "data.augment");
    t->masks = augment && (strstr(augment, "mask") || strstr(augment, "all"));
    if (!t->wave && !swg_config_is(c, "loss.name", "mag"))
        return swg__fail(ctx, SWG_EUSAGE, "loss.name=%s: family tfswa has mag and wave", swg_config_string(c, "loss.name"));
    if (t->hop > t->n_fft / 2)
        return swg__fail(ctx, SWG_EUSAGE, "data.hop=%lld: frames of data.n_fft=%lld must overlap by half or more to be inverted", (long long)t->hop, (long long)t->n_fft);
    SWG__TRY(read_stems(ctx, c, t));
    SWG__TRY(read_network(ctx, c, t));
    t->channels = swg_config_has(c, "data.channels") ? (int)swg_config_int(c, "data.channels") : (int)t->network.in / 2;
    const int64_t least = (int64_t)1 << (t->network.stages - 1);
    if (bins(t) < least || swg__tfswa_frames(t, t->segment) < least)
        return swg__fail(ctx, SWG_EUSAGE, "data.segment=%lld: a spectrum of %lld bins and %lld frames; %d stages need %lld of each", (long long)t->segment,
                         (long long)bins(t), (long long)swg__tfswa_frames(t, t->segment), t->network.stages, (long long)least);
    return swg_config_status(c);
}

/* ---- shapes: the mixture, the stems, masks of the network's input along frequency and time ---- */

static int64_t wave_values(const swg__recipe_tfswa *t) { return t->channels * t->segment; }
static int64_t sample_values(const swg__recipe *r) {
    const swg__recipe_tfswa *t = &r->tfswa;
    return (1 + t->stems) * wave_values(t) + bins(t) + swg__tfswa_frames(t, t->segment);
}
static int64_t least_batch(const swg__recipe *r) {
    (void)r;
    return 1;
}

/* A spectrum (batch, in, frequency, time): the transform and the segment that give it. */
static swg_status set_input(swg_context *ctx, swg_config *c, const swg__recipe *r, int ndim, const int64_t *shape) {
    const int64_t n_fft = ndim == 4 ? 2 * (shape[2] - 1) : 0, most = n_fft / 4 > 1 ? n_fft / 4 : 1, hop = r->tfswa.hop < most ? r->tfswa.hop : most;
    const int64_t segment = ndim == 4 ? (shape[3] - 1) * hop : 0;
    if (ndim != 4 || (shape[1] != 2 && shape[1] != 4))
        return swg__fail(ctx, SWG_EUSAGE, "input: expected (batch, 2 or 4, frequency, time): mono or stereo spectra, real and imaginary parts");
    if (segment <= n_fft / 2)
        return swg__fail(ctx, SWG_EUSAGE, "input: %lld frames of %lld bins: expected more than %lld, data.hop=%lld apart", (long long)shape[3], (long long)shape[2],
                         (long long)(n_fft / 2 / hop + 1), (long long)hop);
    const struct { const char *key; int64_t value; } settings[] = {{"model.in", shape[1]}, {"data.n_fft", n_fft}, {"data.hop", hop}, {"data.segment", segment}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char text[32];
        snprintf(text, sizeof text, "%lld", (long long)settings[i].value);
        SWG__TRY(swg_config_set(c, settings[i].key, text, "input"));
    }
    return SWG_OK;
}

/* ---- graphs ---- */

static swg_stft_opts stft_of(const swg__recipe_tfswa *t) { return (swg_stft_opts){.n = t->n_fft, .hop = t->hop}; }

/* Spectrum of the mixture to those of the stems; masks: factors of the network's input, or SWG_NONE. */
static swg_value separated(const swg__recipe_tfswa *t, swg_graph *g, swg_value mixture, swg_value along_f, swg_value along_t) {
    swg_value x = swg_tfswa_input(g, &t->network, mixture);
    if (along_f != SWG_NONE)
        x = swg_mul(g, swg_mul(g, x, along_f), along_t);
    return swg_tfswa_apply(g, &t->network, swg_tfswa_net(g, &t->network, x), mixture);
}

swg_value swg__tfswa_stems(const swg__recipe_tfswa *t, swg_graph *g, swg_value wave) {
    const swg_stft_opts stft = stft_of(t);
    return swg_tfswa_waves(g, separated(t, g, swg_stft(g, wave, &stft), SWG_NONE, SWG_NONE), swg_shape(g, wave)[2], &stft);
}

static void add_term(swg__step_graph *s, const char *name, swg_value v, bool shown) {
    s->term_name[s->terms] = name;
    s->term_shown[s->terms] = shown;
    s->term[s->terms++] = v;
}

/* Inputs: mixture (B, c, N), stems (B, S, c, N), frequency mask (B, 1, F, 1), time mask (B, 1, 1, T). Output: stems as separated (B, S, c, N). */
static void build(const swg__recipe *r, int64_t batch, bool training, swg__step_graph *s) {
    const swg__recipe_tfswa *t = &r->tfswa;
    const int64_t c = t->channels, n = t->segment, frames = swg__tfswa_frames(t, n);
    const swg_stft_opts stft = stft_of(t);
    swg_graph *g = s->g;
    s->in[0] = swg_input(g, "mixture", 3, (int64_t[]){batch, c, n});
    s->in[1] = swg_input(g, "stems", 4, (int64_t[]){batch, t->stems, c, n});
    s->in[2] = swg_input(g, "mask_f", 4, (int64_t[]){batch, 1, bins(t), 1});
    s->in[3] = swg_input(g, "mask_t", 4, (int64_t[]){batch, 1, 1, frames});
    s->inputs = 4;
    const bool masked = training && t->masks;
    swg_value mixture = swg_stft(g, s->in[0], &stft);
    swg_value spectra = separated(t, g, mixture, masked ? s->in[2] : SWG_NONE, masked ? s->in[3] : SWG_NONE);
    swg_value target = swg_reshape(g, s->in[1], 3, (int64_t[]){batch * t->stems, c, n}), wave = SWG_NONE;
    if (t->wave || t->mrstft > 0 || !training) {
        s->out[0] = swg_tfswa_waves(g, spectra, n, &stft);
        wave = swg_reshape(g, s->out[0], 3, (int64_t[]){batch * t->stems, c, n});
        s->outputs = training ? 0 : 1;
    }
    if (!t->wave || !training) {
        swg_value wanted = swg_reshape(g, swg_stft(g, target, &stft), 5, (int64_t[]){batch, t->stems, 2 * c, bins(t), frames});
        swg_value mag = swg_loss_mae(g, swg_tfswa_magnitudes(g, spectra), swg_tfswa_magnitudes(g, wanted));
        add_term(s, "mag", mag, t->mrstft > 0);
        s->loss = mag;
    }
    if (t->wave || !training) {
        swg_value difference = swg_loss_mae(g, wave, target);
        add_term(s, "wave", difference, t->mrstft > 0);
        s->loss = t->wave ? difference : s->loss;
    }
    if (t->mrstft > 0) {
        swg_value spectral = swg_loss_mrstft(g, wave, target, NULL, 0);
        add_term(s, "mrstft", spectral, true);
        s->loss = swg_add(g, s->loss, swg_mul(g, spectral, swg_constant(g, t->mrstft)));
    }
}

static void network(const swg__recipe *r, swg_graph *g) {
    const swg__recipe_tfswa *t = &r->tfswa;
    swg_tfswa_net(g, &t->network, swg_input(g, "x", 4, (int64_t[]){1, t->network.in, bins(t), swg__tfswa_frames(t, t->segment)}));
}

static void apply(const swg__recipe *r, swg_graph *g, swg_value x, swg_value out[SWG__STEP_OUTPUTS]) {
    out[0] = swg_tfswa_net(g, &r->tfswa.network, x);
}

static swg_status layers(swg_context *ctx, const swg__recipe *r, swg_layers *out) {
    const swg__recipe_tfswa *t = &r->tfswa;
    return swg_tfswa_layers(ctx, &t->network, (int64_t[]){1, t->network.in, bins(t), swg__tfswa_frames(t, t->segment)}, out);
}

static void describe(const swg__recipe *r, char *out, size_t capacity) {
    const swg__recipe_tfswa *t = &r->tfswa;
    int64_t blocks = 0;
    for (int i = 0; i < t->network.stages; i++)
        blocks += t->network.depths[i] * (i + 1 < t->network.stages ? 2 : 1);
    int used = snprintf(out, capacity, "TFSWA-UNet, %lld blocks of attention along frequency, time and in %lldx%lld windows, spectrum %lldx%lld (%.2f s, %s), ",
                        (long long)blocks, (long long)t->network.window, (long long)t->network.window, (long long)bins(t),
                        (long long)swg__tfswa_frames(t, t->segment), (double)t->segment / (double)t->rate, t->channels == 1 ? "mono" : "stereo");
    for (int i = 0; i < t->stems && used > 0 && (size_t)used < capacity; i++)
        used += snprintf(out + used, capacity - (size_t)used, "%s%s", i ? "+" : "", t->stem[i]);
}

/* ---- data ---- */

typedef struct songs {
    swg__stems *stems;
    const swg__recipe *recipe;
} songs;

static void note(void *user, const char *text) { swg__run_note(user, "%s", text); }

swg_status swg__tfswa_songs(swg_context *ctx, swg_config *c, const swg__recipe *r, swg__tfswa_lists *lists, swg__stems_opts *out) {
    const swg__recipe_tfswa *t = &r->tfswa;
    const double share = swg_config_float(c, "data.valid_fraction"), silent = swg_config_float(c, "data.min_mean_abs");
    if (!swg_config_has(c, "data.path"))
        return swg__fail(ctx, SWG_EUSAGE, "data.path is not set; say data.path=FOLDER, with a folder of stems for each song");
    size_t used = 0;
    for (int i = 0; i < t->stems; i++)
        used += (size_t)snprintf(lists->stems + used, sizeof lists->stems - used, "%s%s", i ? "," : "", t->stem[i]);
    if (swg_config_has(c, "data.leave_out"))
        SWG__TRY(swg__recipe_join(ctx, c, "data.leave_out", lists->leave_out, sizeof lists->leave_out));
    if (swg_config_has(c, "data.valid_list"))
        SWG__TRY(swg__recipe_join(ctx, c, "data.valid_list", lists->valid, sizeof lists->valid));
    *out = (swg__stems_opts){
        .path = swg_config_string(c, "data.path"), .stems = lists->stems, .channels = t->channels, .rate = t->rate,
        .resample = swg_config_bool(c, "data.resample"), .trim = swg_config_bool(c, "data.trim"), .mixture = swg_config_string(c, "data.mixture"),
        .segment = t->segment, .per_track = swg_config_int(c, "data.segments_per_track"), .min_mean_abs = silent > 0 ? silent : -1,
        .augment = swg_config_string(c, "data.augment"), .n_fft = t->n_fft, .hop = t->hop, .leave_out = lists->leave_out[0] ? lists->leave_out : NULL,
        .valid_list = lists->valid[0] ? lists->valid : NULL, .valid_fraction = share > 0 ? share : -1, .split_seed = r->seed,
        .cache = swg_config_string(c, "data.cache"), .cache_bytes = swg_config_has(c, "data.cache_bytes") ? swg_config_int(c, "data.cache_bytes") : 0};
    return swg_config_status(c);
}

static void close_data(swg__run *run, swg__dataset *data) {
    songs *own = data->own;
    if (own)
        swg__stems_close(own->stems);
    swg__free(run->ctx, own);
    swg__free(run->ctx, data->note);
    *data = (swg__dataset){0};
}

static swg_status open_data(swg__run *run, swg__dataset *out) {
    swg_context *ctx = run->ctx;
    swg__tfswa_lists *lists = swg__calloc(ctx, 1, sizeof *lists);
    songs *own = out->own = swg__calloc(ctx, 1, sizeof *own);
    swg__stems_opts opts;
    swg_status status = own && lists ? SWG_OK : swg__fail_memory(ctx, sizeof *own + sizeof *lists, "a data set");
    if (status == SWG_OK)
        status = swg__tfswa_songs(ctx, run->config, &run->recipe, lists, &opts);
    if (status == SWG_OK) {
        own->recipe = &run->recipe;
        opts.note = note;
        opts.note_user = run;
        status = swg__stems_open(ctx, &opts, &own->stems);
    }
    swg__free(ctx, lists);
    SWG__TRY(status);
    swg__run_note(run, "%s", swg__stems_summary(own->stems));
    out->split = swg__stems_split(own->stems);
    snprintf(out->digest, sizeof out->digest, "%s", swg__stems_digest(own->stems));
    out->note = swg__strdup(ctx, "{\"songs\":{}}"); /* the configuration says all that inference must know */
    return out->note ? SWG_OK : swg__fail_memory(ctx, 16, "a data set");
}

static swg_status fetch(const swg__dataset *data, const swg__draw *draw, const int64_t *indices, int64_t count, float *out, char *message,
                        size_t capacity) {
    const songs *own = data->own;
    const swg__recipe_tfswa *t = &own->recipe->tfswa;
    swg__stems_batch batch = {.mixture = out};
    batch.stems = batch.mixture + count * wave_values(t);
    batch.bins = batch.stems + count * t->stems * wave_values(t);
    batch.frames = batch.bins + count * bins(t);
    return swg__stems_fetch(own->stems, indices, count, &(swg__stems_draw){.training = draw->training, .seed = draw->seed, .epoch = (uint32_t)draw->epoch},
                            &batch, message, capacity);
}

static void log_data(swg__run *run) {
    const songs *own = run->data.own;
    swg__run_log_text(&run->log, "songs", swg__stems_summary(own->stems));
}

/* ---- figures: of every validation segment and stem; the median over segments, then the mean over stems ---- */

enum { SDR, SI_SDR, MIXTURE, KINDS };
typedef struct judge {
    float *batch;               /* as fetched */
    double *db[KINDS];          /* (stems, segments) */
    int64_t segments, most;
} judge;

static swg_status judge_open(swg__run *run, void **out) {
    judge *j = *out = swg__calloc(run->ctx, 1, sizeof *j);
    const int64_t bytes = swg__run_batch_bytes(&run->recipe, swg__run_largest_batch(run));
    if (!j)
        return swg__fail_memory(run->ctx, sizeof *j, "figures");
    j->most = swg__run_validated(run);
    j->batch = swg__alloc(run->ctx, (size_t)bytes);
    for (int k = 0; k < KINDS; k++)
        j->db[k] = swg__calloc(run->ctx, (size_t)(j->most * run->recipe.tfswa.stems) + 1, sizeof *j->db[k]);
    return j->batch && j->db[SDR] && j->db[SI_SDR] && j->db[MIXTURE] ? SWG_OK : swg__fail_memory(run->ctx, (size_t)bytes, "songs to be judged");
}

static swg_status judge_add(swg__run *run, void *arg, swg_plan *plan, const swg__step_graph *s, const int64_t *indices, int64_t count) {
    judge *j = arg;
    const swg__recipe_tfswa *t = &run->recipe.tfswa;
    const int64_t values = wave_values(t);
    const float *separated_stems = swg_plan_data(plan, s->out[0]);
    char message[256] = "";
    swg_status status = fetch(&run->data, &(swg__draw){.seed = run->recipe.seed}, indices, count, j->batch, message, sizeof message);
    if (status != SWG_OK)
        return swg__fail(run->ctx, status, "%s", message);
    const float *mixtures = j->batch, *stems = mixtures + count * values;
    for (int64_t i = 0; i < count && j->segments < j->most; i++, j->segments++)
        for (int k = 0; k < t->stems; k++) {
            const float *reference = stems + (i * t->stems + k) * values;
            const int64_t at = k * j->most + j->segments;
            swg_separation measured, mixed;
            SWG__TRY(swg_separation_measure(run->ctx, 1, t->channels, t->segment, t->segment, &reference, 0, separated_stems + (i * t->stems + k) * values, 0, &measured));
            SWG__TRY(swg_separation_measure(run->ctx, 1, t->channels, t->segment, t->segment, &reference, 0, mixtures + i * values, 0, &mixed));
            j->db[SDR][at] = measured.db[SWG_SEPARATION_SDR];
            j->db[SI_SDR][at] = measured.db[SWG_SEPARATION_SI_SDR];
            j->db[MIXTURE][at] = mixed.db[SWG_SEPARATION_SDR];
        }
    return SWG_OK;
}

static double mean_of_medians(double *db, int stems, int64_t segments, int64_t stride) {
    double sum = 0;
    int there = 0;
    for (int k = 0; k < stems; k++) {
        const double median = swg_decibel_median(db + k * stride, segments);
        if (!isnan(median)) {
            sum += median;
            there++;
        }
    }
    return there ? sum / there : NAN;
}

static void judge_end(swg__run *run, void *arg, swg_status status, double *figures) {
    judge *j = arg;
    for (int k = 0; j && k < KINDS; k++) {
        if (status == SWG_OK)
            figures[k] = mean_of_medians(j->db[k], run->recipe.tfswa.stems, j->segments, j->most);
        swg__free(run->ctx, j->db[k]);
    }
    if (j)
        swg__free(run->ctx, j->batch);
    swg__free(run->ctx, j);
}

const swg__family swg__family_tfswa = {
    .name = "tfswa", .sample = "segment", .samples = "segments",
    .read = read_settings, .least_batch = least_batch, .sample_values = sample_values, .set_input = set_input,
    .build = build, .network = network, .apply = apply, .layers = layers, .describe = describe,
    .open = open_data, .close = close_data, .fetch = fetch, .log_data = log_data,
    .figures = {"sdr_db", "si_sdr_db", "mixture_sdr_db"}, /* as judge_end fills them in */
    .judge_open = judge_open, .judge_add = judge_add, .judge_end = judge_end,
};
