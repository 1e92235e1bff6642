/* family_cyto.c - networks of microscopy: settings, graphs, patches of stacks with channels, figures of a validation.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "data/volumes.h"
#include "swage/quality.h"
#include "train/pictures.h"
#include "train/run.h"

/* ---- settings ---- */

static const struct { const char *name; swg__cyto_network network; } networks[] = {
    {"unet", SWG__CYTO_UNET}, {"gan", SWG__CYTO_GAN}, {"mae", SWG__CYTO_MAE}, {"iwm", SWG__CYTO_IWM}, {"ijepa", SWG__CYTO_IWM},
    {"vit-unet", SWG__CYTO_VIT_UNET}};
static const struct { const char *name; swg__cyto_loss loss; } loss_names[] = {
    {"dice_ce", SWG__CYTO_DICE_CE}, {"bce", SWG__CYTO_BCE}, {"mse", SWG__CYTO_MSE}, {"mae", SWG__CYTO_MAE_LOSS}};

static bool of_masks(swg__cyto_loss loss) { return loss == SWG__CYTO_DICE_CE || loss == SWG__CYTO_BCE; }
static bool of_tokens(const swg__recipe_cyto *c) { return c->network == SWG__CYTO_MAE || c->network == SWG__CYTO_IWM || c->network == SWG__CYTO_VIT_UNET; }
static int needed_targets(const swg__recipe_cyto *c) { return c->network == SWG__CYTO_MAE ? 0 : 1; }

static swg_status find_loss(swg_context *ctx, const char *key, const char *name, swg__cyto_loss *out) {
    for (size_t i = 0; i < sizeof loss_names / sizeof *loss_names; i++)
        if (strcmp(loss_names[i].name, name) == 0) {
            *out = loss_names[i].loss;
            return SWG_OK;
        }
    return swg__fail(ctx, SWG_EUSAGE, "%s: \"%.40s\" is no loss of family cyto: dice_ce, bce, mse or mae", key, name);
}

/* Channels a key delivers: "3+6" has two. A key that names none is of one, which the data must have. */
static int64_t channels_of(const swg__volume_key *key) {
    int64_t count = 1;
    for (const char *p = key->channel; *p; p++)
        count += *p == '+';
    return count;
}

static swg_status read_keys(swg_context *ctx, swg_config *c, swg__recipe_cyto *o) {
    int64_t count = swg_config_has(c, "data.target") ? swg_config_count(c, "data.target") : 0;
    SWG__TRY(swg__volume_key_parse(ctx, "data.source", swg_config_string(c, "data.source"), &o->source));
    o->channels = channels_of(&o->source);
    if (count > SWG__CYTO_HEADS)
        return swg__fail(ctx, SWG_EUSAGE, "data.target: %lld keys, there can be %d", (long long)count, SWG__CYTO_HEADS);
    for (o->targets = 0; o->targets < count; o->targets++)
        SWG__TRY(swg__volume_key_parse(ctx, "data.target", swg_config_string_at(c, "data.target", o->targets), &o->target[o->targets]));
    if (o->source.scale != 1)
        return swg__fail(ctx, SWG_EUSAGE, "data.source: scale=%lld; patches are counted in the source, whose scale is 1", (long long)o->source.scale);
    for (int i = 0; i < o->targets && o->network != SWG__CYTO_GAN; i++)
        if (o->target[i].scale != 1)
            return swg__fail(ctx, SWG_EUSAGE, "data.target: scale=%lld; model.name=%s predicts at its source's scale, model.name=gan at a finer one",
                             (long long)o->target[i].scale, swg_config_string(c, "model.name"));
    if (o->targets < needed_targets(o))
        return swg__fail(ctx, SWG_EUSAGE, "data.target is not set; say what the network is to predict, as data.target='[\"seg channel=0\"]'");
    if (o->network != SWG__CYTO_UNET && o->network != SWG__CYTO_VIT_UNET && o->targets > needed_targets(o))
        return swg__fail(ctx, SWG_EUSAGE, "data.target: %d keys; model.name=%s takes %d", o->targets, swg_config_string(c, "model.name"), needed_targets(o));
    return SWG_OK;
}

/* Names of heads are those of parameters, columns of logs and folders. */
static const char name_characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

/* "seg loss=dice_ce weight=0.5" */
static swg_status read_head(swg_context *ctx, const char *text, swg__cyto_head *head) {
    char copy[256], *save = NULL;
    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy)
        return swg__fail(ctx, SWG_EUSAGE, "model.heads: an entry is longer than %zu characters", sizeof copy - 1);
    const char *name = strtok_r(copy, " ", &save);
    if (!name || name[strspn(name, name_characters)] || strlen(name) >= sizeof head->name)
        return swg__fail(ctx, SWG_EUSAGE, "model.heads: \"%s\" begins with no name of letters, digits, _ and -; say it as \"seg loss=dice_ce weight=1\"", text);
    snprintf(head->name, sizeof head->name, "%s", name);
    for (const char *word; (word = strtok_r(NULL, " ", &save));) {
        char *end = "x";
        if (strncmp(word, "loss=", 5) == 0) {
            SWG__TRY(find_loss(ctx, "model.heads", word + 5, &head->loss));
            continue;
        }
        if (strncmp(word, "weight=", 7) == 0)
            head->weight = strtod(word + 7, &end);
        if (*end || !(head->weight >= 0 && head->weight <= 1e6))
            return swg__fail(ctx, SWG_EUSAGE, "model.heads: \"%s\" in \"%s\" is neither loss=NAME nor weight=NUMBER from 0 to 1e6", word, text);
    }
    return SWG_OK;
}

static bool is_taken(const swg__recipe_cyto *o, const char *name) {
    for (int i = 0; i < o->heads; i++)
        if (strcmp(o->head[i].name, name) == 0)
            return true;
    return false;
}

/* A head's name where the configuration gives none: that of the column, numbered if it is taken. */
static void name_head(const swg__recipe_cyto *o, const char *column, char *out, size_t capacity) {
    char name[24];
    snprintf(name, sizeof name, "%.23s", column);
    for (char *p = name; *p; p++)
        *p = strchr(name_characters, *p) ? *p : '_';
    snprintf(out, capacity, "%s", name);
    for (int i = 2; is_taken(o, out); i++)
        snprintf(out, capacity, "%s%d", name, i & 255);
}

/* One per target. */
static swg_status read_heads(swg_context *ctx, swg_config *c, swg__recipe_cyto *o) {
    const bool named = swg_config_has(c, "model.heads");
    swg__cyto_loss loss = SWG__CYTO_MSE;
    SWG__TRY(find_loss(ctx, "loss.name", swg_config_string(c, "loss.name"), &loss));
    if (named && swg_config_count(c, "model.heads") != o->targets)
        return swg__fail(ctx, SWG_EUSAGE, "model.heads: %lld heads for %d of data.target", (long long)swg_config_count(c, "model.heads"), o->targets);
    for (o->heads = 0; o->heads < o->targets; o->heads++) {
        swg__cyto_head head = {.loss = loss, .weight = 1, .channels = channels_of(&o->target[o->heads])};
        if (named)
            SWG__TRY(read_head(ctx, swg_config_string_at(c, "model.heads", o->heads), &head));
        else
            name_head(o, o->target[o->heads].column, head.name, sizeof head.name);
        if (is_taken(o, head.name))
            return swg__fail(ctx, SWG_EUSAGE, "model.heads: two are called %s", head.name);
        snprintf(head.term, sizeof head.term, "loss_%s", head.name);
        o->head[o->heads] = head;
    }
    return SWG_OK;
}

static swg_status read_patch(swg_context *ctx, swg_config *c, swg__recipe_cyto *o) {
    static const int64_t conv[2][3] = {{1, 64, 64}, {16, 32, 32}}, tokens[2][3] = {{1, 16, 16}, {16, 16, 16}};
    memcpy(o->patch, (of_tokens(o) ? tokens : conv)[o->axes - 2], sizeof o->patch);
    if (!swg_config_has(c, "data.patch"))
        return SWG_OK;
    const int64_t count = swg_config_count(c, "data.patch");
    if (count != o->axes)
        return swg__fail(ctx, SWG_EUSAGE, "data.patch: %lld extents; model.spatial_dims=%d has %d, %s", (long long)count, o->axes, o->axes,
                         o->axes == 2 ? "y x" : "z y x");
    for (int i = 0; i < o->axes; i++)
        o->patch[3 - o->axes + i] = swg_config_int_at(c, "data.patch", i);
    return SWG_OK;
}

static swg_status read_unet(swg_context *ctx, swg_config *c, swg__recipe_cyto *o) {
    swg_dynunet *u = &o->unet;
    u->levels = (int)swg_config_count(c, "model.filters");
    if (u->levels < 2 || u->levels > SWG_DYNUNET_LEVELS)
        return swg__fail(ctx, SWG_EUSAGE, "model.filters: %d levels, expected 2 to %d", u->levels, SWG_DYNUNET_LEVELS);
    for (int i = 0; i < u->levels; i++)
        u->filters[i] = swg_config_int_at(c, "model.filters", i);
    u->dropout = swg_config_float(c, "model.dropout");
    const int64_t multiple = (int64_t)1 << (u->levels - 1);
    for (int i = 3 - o->axes; i < 3; i++)
        if (o->patch[i] % multiple)
            return swg__fail(ctx, SWG_EUSAGE, "data.patch: %lld does not divide by %lld, which %d levels of model.filters need", (long long)o->patch[i],
                             (long long)multiple, u->levels);
    return SWG_OK;
}

static swg_status read_gan(swg_context *ctx, swg_config *c, swg__recipe_cyto *o) {
    o->gan_weights = (swg_gan_weights){swg_config_float(c, "loss.adversarial"), swg_config_float(c, "loss.features"), swg_config_float(c, "loss.pixels")};
    o->unet.out = channels_of(&o->target[0]);
    o->gan = (swg_gan){.generator = {.unet = o->unet, .factor = swg_config_int(c, "model.scale"),
                                     .act = swg_config_is(c, "model.head.act", "tanh") ? SWG_ACT_TANH : SWG_ACT_NONE,
                                     .subpixel = swg_config_is(c, "model.head.kind", "subpixel")},
                       .discriminator = {.layers = (int)swg_config_int_at(c, "model.discriminator", 0), .filters = swg_config_int_at(c, "model.discriminator", 1),
                                         .scales = (int)swg_config_int_at(c, "model.discriminator", 2)}};
    if (o->target[0].scale != o->gan.generator.factor)
        return swg__fail(ctx, SWG_EUSAGE, "data.target says scale=%lld and model.scale is %lld; they must be the same", (long long)o->target[0].scale,
                         (long long)o->gan.generator.factor);
    return SWG_OK;
}

static swg_status read_vit(swg_context *ctx, swg_config *c, swg__recipe_cyto *o) {
    swg_vit vit = {.dims = o->axes, .patch = swg_config_int(c, "model.patch"), .width = swg_config_int(c, "model.dim"),
                   .depth = (int)swg_config_int(c, "model.depth"), .heads = 1};
    memcpy(vit.extent, o->patch + 3 - o->axes, (size_t)o->axes * sizeof *vit.extent);
    if (vit.depth > SWG_VIT_DEPTH)
        return swg__fail(ctx, SWG_EUSAGE, "model.depth=%d: there can be %d blocks", vit.depth, SWG_VIT_DEPTH);
    if (!swg_vit_tokens(&vit))
        return swg__fail(ctx, SWG_EUSAGE, "data.patch: an extent that model.patch=%lld does not divide", (long long)vit.patch);
    if (o->channels != 1)
        return swg__fail(ctx, SWG_EUSAGE, "data.source has %lld channels; the transformers take one", (long long)o->channels);
    if (o->network == SWG__CYTO_IWM) {
        o->iwm = swg_iwm_published(o->axes, swg_config_is(c, "model.name", "ijepa"));
        o->iwm.vit = vit;
        if (o->iwm.domains)
            o->iwm.domains = swg_config_count(c, "model.domains");
        if (o->iwm.domains > 1) /* no column says which image is of which */
            return swg__fail(ctx, SWG_EUSAGE, "model.domains: %lld names; a run trains one domain", (long long)o->iwm.domains);
        o->teacher_momentum = swg_config_float(c, "model.teacher_momentum");
        return SWG_OK;
    }
    o->mae = swg_mae_published(o->axes);
    o->mae.vit = vit;
    o->mae.mask_ratio = swg_config_float(c, "model.mask_ratio");
    o->mae.context = swg_config_int(c, "model.context");
    o->mae.plain = !swg_config_bool(c, "model.crossmae");
    o->mae.weigher_published = swg_config_is(c, "model.weigher", "published");
    o->mae.decoder_width = swg_config_int(c, "model.decoder_dim");
    const char *from = swg_config_has(c, "model.encoder_from") ? swg_config_string(c, "model.encoder_from") : "";
    if (*from && o->network != SWG__CYTO_VIT_UNET)
        return swg__fail(ctx, SWG_EUSAGE, "model.encoder_from is for model.name=vit-unet");
    if (snprintf(o->encoder_from, sizeof o->encoder_from, "%s", from) >= (int)sizeof o->encoder_from)
        return swg__fail(ctx, SWG_EUSAGE, "model.encoder_from: the path is too long");
    return swg_mae_visible(&o->mae) ? SWG_OK : swg__fail(ctx, SWG_EUSAGE, "model.mask_ratio=%g leaves no token visible", o->mae.mask_ratio);
}

/* A setting of other networks is refused where it was typed; files hold the values of all. */
static swg_status refuse_others(swg_context *ctx, swg_config *c, swg__cyto_network network) {
    enum { UNET = 1 << SWG__CYTO_UNET, GAN = 1 << SWG__CYTO_GAN, MAE = 1 << SWG__CYTO_MAE, IWM = 1 << SWG__CYTO_IWM, VIT = 1 << SWG__CYTO_VIT_UNET };
    static const struct { const char *key; int networks; const char *names; } settings[] = {
        {"model.filters", UNET | GAN, "unet, gan"}, {"model.dropout", UNET | GAN, "unet, gan"}, {"model.heads", UNET | VIT, "unet, vit-unet"},
        {"model.head.act", GAN, "gan"}, {"model.scale", GAN, "gan"}, {"model.discriminator", GAN, "gan"}, {"loss.adversarial", GAN, "gan"},
        {"loss.features", GAN, "gan"}, {"loss.pixels", GAN, "gan"}, {"model.patch", MAE | IWM | VIT, "mae, iwm, vit-unet"},
        {"model.dim", MAE | IWM | VIT, "mae, iwm, vit-unet"}, {"model.depth", MAE | IWM | VIT, "mae, iwm, vit-unet"}, {"model.mask_ratio", MAE, "mae"},
        {"model.context", MAE | VIT, "mae, vit-unet"}, {"model.weigher", MAE | VIT, "mae, vit-unet"}, {"model.crossmae", MAE, "mae"},
        {"model.decoder_dim", MAE, "mae"}, {"model.domains", IWM, "iwm"}, {"model.teacher_momentum", IWM, "iwm, ijepa"}, {"loss.name", UNET | VIT, "unet, vit-unet"}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (!(settings[i].networks & 1 << network) && strcmp(swg_config_origin(c, settings[i].key), "command line") == 0)
            return swg__fail(ctx, SWG_EUSAGE, "%s: a setting of model.name=%s; it is %s here", settings[i].key, settings[i].names, swg_config_string(c, "model.name"));
    for (size_t i = 0; i < 2; i++) {
        static const char *const splits[] = {"data.split", "split.rng"};
        if (strcmp(swg_config_origin(c, splits[i]), "command line") == 0)
            return swg__fail(ctx, SWG_EUSAGE, "%s: parts of family cyto are those of the table, its column \"split\" or train.csv, valid.csv and test.csv", splits[i]);
    }
    return SWG_OK;
}

static swg_status read_settings(swg_context *ctx, swg_config *c, swg__recipe *r) {
    swg__recipe_cyto *o = &r->cyto;
    const char *name = swg_config_string(c, "model.name");
    size_t i = 0;
    while (i < sizeof networks / sizeof *networks && !(name && strcmp(name, networks[i].name) == 0))
        i++;
    if (i == sizeof networks / sizeof *networks)
        return swg__fail(ctx, SWG_EUSAGE, "model.name=%s: family cyto has unet, gan, mae, iwm, ijepa and vit-unet", name ? name : "");
    o->network = networks[i].network;
    o->axes = (int)swg_config_int(c, "model.spatial_dims");
    SWG__TRY(swg_config_status(c));
    SWG__TRY(refuse_others(ctx, c, o->network));
    SWG__TRY(read_keys(ctx, c, o));
    SWG__TRY(read_patch(ctx, c, o));
    if (of_tokens(o))
        SWG__TRY(read_vit(ctx, c, o));
    else
        SWG__TRY(read_unet(ctx, c, o));
    if (o->network == SWG__CYTO_GAN)
        SWG__TRY(read_gan(ctx, c, o));
    if (o->network == SWG__CYTO_UNET || o->network == SWG__CYTO_VIT_UNET)
        SWG__TRY(read_heads(ctx, c, o));
    if (o->network == SWG__CYTO_VIT_UNET && o->heads != 1)
        return swg__fail(ctx, SWG_EUSAGE, "data.target: %d keys; model.name=vit-unet has one head", o->heads);
    return swg_config_status(c);
}

/* ---- shapes ---- */

static int64_t product(const int64_t extent[3]) { return extent[0] * extent[1] * extent[2]; }
static int64_t source_values(const swg__recipe_cyto *c) { return c->channels * product(c->patch); }

/* Extents of what belongs to a target. */
static void target_patch(const swg__recipe_cyto *c, int target, int64_t out[3]) {
    const int64_t scale = c->target[target].scale > 1 ? c->target[target].scale : 1;
    for (int i = 0; i < 3; i++)
        out[i] = c->patch[i] * (i < 3 - c->axes ? 1 : scale);
}

static int64_t target_values(const swg__recipe_cyto *c, int target) {
    int64_t extent[3];
    target_patch(c, target, extent);
    return channels_of(&c->target[target]) * product(extent);
}

/* Tokens whose order is an input of the step; 0: none. */
static int64_t scores(const swg__recipe_cyto *c) {
    return c->network == SWG__CYTO_MAE ? swg_vit_tokens(&c->mae.vit) : c->network == SWG__CYTO_IWM ? swg_vit_tokens(&c->iwm.vit) : 0;
}

static int64_t sample_values(const swg__recipe *r) {
    int64_t values = source_values(&r->cyto) + scores(&r->cyto);
    for (int i = 0; i < r->cyto.targets; i++)
        values += target_values(&r->cyto, i);
    return values;
}

static swg_status set_input(swg_context *ctx, swg_config *c, const swg__recipe *r, int ndim, const int64_t *shape) {
    const swg__recipe_cyto *o = &r->cyto;
    char text[80];
    if (ndim != 2 + o->axes || shape[1] != o->channels)
        return swg__fail(ctx, SWG_EUSAGE, "input: expected (batch, %lld, %s): data.source has %lld channels, model.spatial_dims is %d", (long long)o->channels,
                         o->axes == 2 ? "y, x" : "z, y, x", (long long)o->channels, o->axes);
    int used = snprintf(text, sizeof text, "[%lld", (long long)shape[2]);
    for (int i = 3; i < ndim; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, ", %lld", (long long)shape[i]);
    snprintf(text + used, sizeof text - (size_t)used, "]");
    return swg_config_set(c, "data.patch", text, "input");
}

static int64_t least_batch(const swg__recipe *r) {
    (void)r;
    return 1;
}

/* ---- graphs ---- */

static swg_value input(swg_graph *g, const char *name, int64_t batch, int64_t channels, int axes, const int64_t extent[3]) {
    int64_t shape[5] = {batch, channels};
    memcpy(shape + 2, extent + 3 - axes, (size_t)axes * sizeof *shape);
    return swg_input(g, name, 2 + axes, shape);
}

static void add_term(swg__step_graph *s, const char *name, swg_value v, bool shown) {
    s->term_name[s->terms] = name;
    s->term_shown[s->terms] = shown;
    s->term[s->terms++] = v;
}

/* What a head's logits stand for. */
static swg_value activated(swg_graph *g, const swg__cyto_head *head, swg_value y) { return of_masks(head->loss) ? swg_sigmoid(g, y) : y; }

/* Results of the heads, before their activation. */
static void head_values(swg_graph *g, const swg__recipe_cyto *c, swg_value x, swg_value *out) {
    swg_cyto_head heads[SWG__CYTO_HEADS];
    if (c->network == SWG__CYTO_VIT_UNET) {
        out[0] = swg_mae_segment(g, x, &c->mae, c->mae.vit.width, c->head[0].channels);
        return;
    }
    for (int i = 0; i < c->heads; i++)
        heads[i] = (swg_cyto_head){c->head[i].name, c->head[i].channels};
    swg_dynunet_heads(g, x, &c->unet, heads, c->heads, out);
}

static void build_heads(const swg__recipe_cyto *c, swg__step_graph *s) {
    swg_graph *g = s->g;
    swg_value y[SWG__CYTO_HEADS], total = SWG_NONE;
    head_values(g, c, s->in[0], y);
    for (int i = 0; i < c->heads; i++) {
        const swg__cyto_head *head = &c->head[i];
        swg_dice_ce_terms terms;
        swg_value target = s->in[1 + i], loss;
        switch (head->loss) {
        case SWG__CYTO_DICE_CE: loss = swg_loss_dice_ce(g, y[i], target, &terms); break;
        case SWG__CYTO_BCE: loss = swg_loss_bce_logits(g, y[i], target); break;
        case SWG__CYTO_MSE: loss = swg_loss_mse(g, y[i], target); break;
        default: loss = swg_loss_mae(g, y[i], target); break;
        }
        if (c->heads > 1) {
            add_term(s, head->term, loss, true);
        } else if (head->loss == SWG__CYTO_DICE_CE) {
            add_term(s, "dice_loss", terms.dice, true);
            add_term(s, "ce", terms.ce, true);
        }
        if (head->weight != 1)
            loss = swg_affine(g, loss, head->weight, 0);
        total = total == SWG_NONE ? loss : swg_add(g, total, loss);
        s->out[i] = activated(g, head, y[i]);
    }
    s->outputs = c->heads;
    s->loss = total;
}

static void build_gan(const swg__recipe_cyto *c, bool training, swg__step_graph *s) {
    swg_gan gan = c->gan;
    swg_gan_losses losses;
    gan.weights = &c->gan_weights;
    swg_value fake = swg_gan_apply(s->g, s->in[0], s->in[1], &gan, &losses), target = s->in[1];
    s->loss = training ? losses.total : losses.generator;
    add_term(s, "generator_loss", losses.generator, true);
    add_term(s, "discriminator_loss", losses.discriminator, true);
    if (losses.adversarial != SWG_NONE && c->gan_weights.adversarial > 0)
        add_term(s, "adversarial", losses.adversarial, false);
    if (c->gan_weights.matching > 0)
        add_term(s, "features", losses.matching, false);
    add_term(s, "mse", losses.reconstruction, false);
    swg_crop_common(s->g, &fake, &target);
    s->out[0] = fake;
    s->outputs = 1;
}

/* The teacher's momentum, {1}; after the first micro-batch of an update 1, so that it moves once per update. */
static swg_value teacher_momentum(const swg__recipe *r, swg__step_graph *s) {
    swg_graph *g = s->g;
    s->control = swg_input(g, "momentum", 1, (int64_t[]){1});
    if (!r->optimiser.update.accumulate)
        return s->control;
    swg_value first = swg_slice(g, s->hyper, (int64_t[]){0, SWG_HYPER_FIRST}, (int64_t[]){1, 1});
    return swg_affine(g, swg_mul(g, swg_affine(g, s->control, 1, -1), swg_reshape(g, first, 1, (int64_t[]){1})), 1, 1);
}

static void build(const swg__recipe *r, int64_t batch, bool training, swg__step_graph *s) {
    static const char *const names[SWG__CYTO_HEADS] = {"target", "target2", "target3", "target4"};
    const swg__recipe_cyto *c = &r->cyto;
    swg_mae_result mae;
    swg_iwm_result iwm;
    s->in[s->inputs++] = input(s->g, "x", batch, c->channels, c->axes, c->patch);
    for (int i = 0; i < c->targets; i++) {
        int64_t extent[3];
        target_patch(c, i, extent);
        s->in[s->inputs++] = input(s->g, names[i], batch, channels_of(&c->target[i]), c->axes, extent);
    }
    if (scores(c))
        s->in[s->inputs++] = swg_input(s->g, "scores", 2, (int64_t[]){batch, scores(c)});
    switch (c->network) {
    case SWG__CYTO_GAN: build_gan(c, training, s); break;
    case SWG__CYTO_MAE:
        swg_mae_apply(s->g, s->in[0], s->in[1], &c->mae, &mae);
        s->loss = mae.loss;
        s->out[0] = mae.filled;
        s->out[1] = mae.mask;
        s->outputs = 2;
        break;
    case SWG__CYTO_IWM:
        swg_iwm_apply(s->g, s->in[0], s->in[1], s->in[2], SWG_NONE, training ? teacher_momentum(r, s) : SWG_NONE, &c->iwm, &iwm);
        s->loss = iwm.loss;
        s->out[0] = iwm.teacher; /* what collapses where all embeddings become one */
        s->outputs = 1;
        break;
    default: build_heads(c, s); break;
    }
}

static void control(const swg__recipe *r, const swg__draw *draw, float *values) {
    const double m = r->cyto.teacher_momentum;
    values[0] = (float)(m + (1 - m) * (double)draw->epoch / (double)(draw->epochs > 0 ? draw->epochs : 1));
}

/* The network in use: masks and images; embeddings (N, width) of the transformers. */
static void apply(const swg__recipe *r, swg_graph *g, swg_value x, swg_value out[SWG__STEP_OUTPUTS]) {
    const swg__recipe_cyto *c = &r->cyto;
    swg_value y[SWG__CYTO_HEADS];
    swg_gan gan = c->gan;
    switch (c->network) {
    case SWG__CYTO_GAN:
        gan.weights = &c->gan_weights;
        out[0] = swg_gan_apply(g, x, SWG_NONE, &gan, NULL);
        break;
    case SWG__CYTO_MAE: /* the encoder's parameters stand first in those of the whole network */
        out[0] = swg_reshape(g, swg_mean(g, swg_mae_encode(g, x, &c->mae), 1u << 1), 2, (int64_t[]){-1, c->mae.vit.width});
        break;
    case SWG__CYTO_IWM: out[0] = swg_iwm_embed(g, x, &c->iwm); break;
    default:
        head_values(g, c, x, y);
        for (int i = 0; i < c->heads; i++)
            out[i] = activated(g, &c->head[i], y[i]);
        break;
    }
}

static void network(const swg__recipe *r, swg_graph *g) {
    const swg__recipe_cyto *c = &r->cyto;
    swg_value out[SWG__STEP_OUTPUTS];
    swg__step_graph step = {.g = g};
    if (scores(c))
        build(r, 1, false, &step);
    else
        apply(r, g, input(g, "x", 1, c->channels, c->axes, c->patch), out);
}

static swg_status layers(swg_context *ctx, const swg__recipe *r, swg_layers *out) {
    const swg__recipe_cyto *c = &r->cyto;
    swg_cyto_head heads[SWG__CYTO_HEADS];
    int64_t shape[5] = {1, c->channels};
    memcpy(shape + 2, c->patch + 3 - c->axes, (size_t)c->axes * sizeof *shape);
    switch (c->network) {
    case SWG__CYTO_GAN: return swg_gan_layers(ctx, &c->gan, 2 + c->axes, shape, out, NULL);
    case SWG__CYTO_IWM: return swg_iwm_layers(ctx, &c->iwm, 1, out);
    case SWG__CYTO_MAE: return swg_mae_layers(ctx, &c->mae, 1, out);
    case SWG__CYTO_VIT_UNET: {
        swg_graph *g;
        swg_value y;
        SWG__TRY(swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g));
        head_values(g, c, input(g, "x", 1, c->channels, c->axes, c->patch), &y);
        swg_status status = swg_layers_of(g, &y, 1, out);
        swg_graph_destroy(g);
        return status;
    }
    default:
        for (int i = 0; i < c->heads; i++)
            heads[i] = (swg_cyto_head){c->head[i].name, c->head[i].channels};
        return swg_dynunet_layers(ctx, &c->unet, heads, c->heads, 2 + c->axes, shape, out);
    }
}

static void describe(const swg__recipe *r, char *out, size_t capacity) {
    const swg__recipe_cyto *c = &r->cyto;
    char patch[64], channels[32] = "";
    static const char *const titles[] = {"dynamic U-Net", "super-resolution GAN", "masked autoencoder", "image world model", "transformer U-Net"};
    if (c->axes == 3)
        snprintf(patch, sizeof patch, "%lldx%lldx%lld", (long long)c->patch[0], (long long)c->patch[1], (long long)c->patch[2]);
    else
        snprintf(patch, sizeof patch, "%lldx%lld", (long long)c->patch[1], (long long)c->patch[2]);
    if (c->channels > 1)
        snprintf(channels, sizeof channels, ", %lld channels", (long long)c->channels);
    snprintf(out, capacity, "%s, patches of %s%s", c->network == SWG__CYTO_IWM && !c->iwm.domains ? "I-JEPA" : titles[c->network], patch, channels);
    for (int i = 0; i < c->heads && c->heads > 1; i++)
        snprintf(out + strlen(out), capacity - strlen(out), "%s%s", i ? " " : ", heads ", c->head[i].name);
}

/* ---- data ---- */

typedef struct patches {
    swg__volumes *volumes;
    int64_t crops;              /* samples of an image */
    const swg__recipe *recipe;
} patches;

static void note(void *user, const char *text) { swg__run_note(user, "%s", text); }

swg_status swg__cyto_volumes(swg_context *ctx, swg_config *c, const swg__recipe *r, const char **targets, swg__volumes_opts *out) {
    const swg__recipe_cyto *o = &r->cyto;
    const char *augment = swg_config_string(c, "data.augment");
    *out = (swg__volumes_opts){.source = swg_config_string(c, "data.source"), .targets = targets, .target_count = o->targets, .dims = o->axes,
                               .patch = {o->patch[0], o->patch[1], o->patch[2]}, .has_plane = true, .plane = swg_config_int(c, "data.z"), .crops = swg_config_int(c, "data.crops"),
                               .pad = swg_config_string(c, "data.pad"), .nonfinite = swg_config_string(c, "data.nonfinite"),
                               .augment = augment && strcmp(augment, "none") != 0 ? augment : NULL, .cache = swg_config_string(c, "data.cache"),
                               .cache_dir = swg_config_has(c, "data.cache_dir") ? swg_config_string(c, "data.cache_dir") : NULL,
                               .cache_bytes = swg_config_has(c, "data.cache_bytes") ? swg_config_int(c, "data.cache_bytes") : 0,
                               .path = swg_config_has(c, "data.path") ? swg_config_string(c, "data.path") : NULL};
    for (int i = 0; i < o->targets; i++)
        targets[i] = swg_config_string_at(c, "data.target", i);
    (void)ctx;
    return swg_config_status(c);
}

swg_status swg__cyto_path(swg_context *ctx, const swg__volumes_opts *opts) {
    if (opts->path)
        return SWG_OK;
    return swg__fail(ctx, SWG_EUSAGE, "data.path is not set; say data.path=CSV, or a folder of train.csv, valid.csv and so on, or of stacks");
}

static swg_status check_channels(swg_context *ctx, const swg__recipe_cyto *c, const swg__volumes *v) {
    for (int key = 0; key < swg__volumes_keys(v); key++) {
        const int64_t values = key ? target_values(c, key - 1) : source_values(c); /* of an evaluation with keys of its own */
        const int64_t there = swg__volumes_channels(v, key), wanted = channels_of(swg__volumes_key(v, key));
        if (there != wanted)
            return swg__fail(ctx, SWG_EINVAL, "%s %d: \"%s\" has %lld channels; say which, as channel=0 or channel=0+1", key ? "data.target" : "data.source",
                             key, swg__volumes_key(v, key)->column, (long long)there);
        if (swg__volumes_values(v, key) != values)
            return swg__fail(ctx, SWG_ESHAPE, "%s %d: \"%s\" gives %lld values a patch, the network takes %lld", key ? "data.target" : "data.source", key,
                             swg__volumes_key(v, key)->column, (long long)swg__volumes_values(v, key), (long long)values);
    }
    return SWG_OK;
}

static void close_data(swg__run *run, swg__dataset *data) {
    patches *own = data->own;
    if (own)
        swg__volumes_close(own->volumes);
    swg__free(run->ctx, own);
    swg__free(run->ctx, data->note);
    *data = (swg__dataset){0};
}

static swg_status open_volumes(swg__run *run, swg__volumes_opts *opts, swg__volumes **out) {
    if (!run->arrays) {
        SWG__TRY(swg__cyto_path(run->ctx, opts));
        return swg__volumes_open(run->ctx, opts, out);
    }
    swg__volume_array *arrays = swg__calloc(run->ctx, (size_t)run->array_count, sizeof *arrays);
    if (!arrays)
        return swg__fail_memory(run->ctx, (size_t)run->array_count * sizeof *arrays, "a list of arrays");
    for (int i = 0; i < run->array_count; i++) {
        const swg_train_array *a = &run->arrays[i];
        arrays[i] = (swg__volume_array){.column = a->column, .split = a->split, .values = a->values, .element = a->element, .layout = a->layout, .ndim = a->ndim};
        memcpy(arrays[i].dims, a->dims, sizeof a->dims);
    }
    opts->arrays = arrays;
    opts->array_count = run->array_count;
    opts->path = NULL;
    swg_status status = swg__volumes_open(run->ctx, opts, out);
    swg__free(run->ctx, arrays);
    return status;
}

static swg_status open_data(swg__run *run, swg__dataset *out) {
    const char *targets[SWG__CYTO_HEADS];
    swg_context *ctx = run->ctx;
    swg__volumes_opts opts;
    patches *own = out->own = swg__calloc(ctx, 1, sizeof *own);
    if (!own)
        return swg__fail_memory(ctx, sizeof *own, "a data set");
    own->recipe = &run->recipe;
    SWG__TRY(swg__cyto_volumes(ctx, run->config, &run->recipe, targets, &opts));
    opts.note = note;
    opts.note_user = run;
    SWG__TRY(open_volumes(run, &opts, &own->volumes));
    own->crops = opts.crops;
    SWG__TRY(check_channels(ctx, &run->recipe.cyto, own->volumes));
    swg__run_note(run, "%s", swg__volumes_summary(own->volumes));
    out->split = swg__volumes_split(own->volumes);
    snprintf(out->digest, sizeof out->digest, "%s", swg__volumes_digest(own->volumes));
    out->note = swg__strdup(ctx, swg__volumes_json(own->volumes));
    return out->note ? SWG_OK : swg__fail_memory(ctx, 256, "a data set");
}

/* The order of tokens of each sample. */
static swg_status draw_scores(const swg__recipe *r, const swg__draw *draw, const int64_t *indices, int64_t count, float *out) {
    const swg__recipe_cyto *c = &r->cyto;
    const int64_t tokens = scores(c);
    const uint64_t seed = draw->training ? draw->seed : ~draw->seed;
    const uint32_t epoch = draw->training ? (uint32_t)draw->epoch : 0;
    for (int64_t i = 0; i < count; i++)
        if (c->network == SWG__CYTO_MAE)
            swg_mae_scores(seed, epoch, (uint32_t)indices[i], tokens, out + i * tokens);
        else
            SWG__TRY(swg_iwm_block_mask(NULL, &c->iwm, seed, epoch, (uint32_t)indices[i], out + i * tokens));
    return SWG_OK;
}

/* Losses of masks have no meaning outside [0, 1]: label images need `binary`. */
static swg_status check_mask(const patches *own, int head, const int64_t *indices, int64_t count, const float *values, char *message, size_t capacity) {
    const int64_t n = target_values(&own->recipe->cyto, head);
    for (int64_t i = 0; i < count * n; i++)
        if (!(values[i] >= -1e-3f && values[i] <= 1.001f)) {
            const swg__volumes_item *item = swg__volumes_item_at(own->volumes, indices[i / n] / own->crops);
            snprintf(message, capacity, "data.target \"%s\" of %s: %g is no mask, which is 0 to 1; label images need \"binary\", images another loss.name",
                     swg__volumes_key(own->volumes, 1 + head)->column, item->path, (double)values[i]);
            return SWG_EINVAL;
        }
    return SWG_OK;
}

static swg_status fetch(const swg__dataset *data, const swg__draw *draw, const int64_t *indices, int64_t count, float *out, char *message,
                        size_t capacity) {
    const patches *own = data->own;
    const swg__recipe_cyto *c = &own->recipe->cyto;
    float *at[1 + SWG__CYTO_HEADS];
    at[0] = out;
    out += count * source_values(c);
    for (int i = 0; i < c->targets; i++) {
        at[1 + i] = out;
        out += count * target_values(c, i);
    }
    const swg__volumes_draw how = {.training = draw->training, .seed = draw->seed, .epoch = (uint32_t)draw->epoch};
    SWG__TRY(swg__volumes_fetch(own->volumes, indices, count, &how, at, message, capacity));
    for (int i = 0; i < c->heads; i++)
        if (of_masks(c->head[i].loss))
            SWG__TRY(check_mask(own, i, indices, count, at[1 + i], message, capacity));
    return scores(c) ? draw_scores(own->recipe, draw, indices, count, out) : SWG_OK;
}

static void log_data(swg__run *run) {
    const patches *own = run->data.own;
    swg__run_log_text(&run->log, "volumes", swg__volumes_summary(own->volumes));
}

/* ---- figures ---- */

enum { DICE, IOU, MSE, MAE, PEARSON, PSNR, SSIM, RANK };

/* Of the first head; of embeddings their spread. */
typedef struct judge {
    swg_overlap overlap;
    swg_image_quality quality;
    float *batch;               /* what was fetched */
    double *moments;            /* sum, and sum of products, of embeddings: (width), (width, width) */
    int64_t width, rows;
} judge;

static void free_judge(swg__run *run, judge *j) {
    if (!j)
        return;
    swg__free(run->ctx, j->batch);
    swg__free(run->ctx, j->moments);
    swg__free(run->ctx, j);
}

static swg_status judge_open(swg__run *run, void **out) {
    const int64_t bytes = swg__run_batch_bytes(&run->recipe, swg__run_largest_batch(run)), width = run->recipe.cyto.iwm.vit.width;
    judge *j = *out = swg__calloc(run->ctx, 1, sizeof *j);
    if (j) {
        j->batch = swg__alloc(run->ctx, (size_t)bytes);
        j->width = run->recipe.cyto.network == SWG__CYTO_IWM ? width : 0;
        j->moments = swg__calloc(run->ctx, (size_t)(j->width * (j->width + 1) + 1), sizeof *j->moments);
    }
    return j && j->batch && j->moments ? SWG_OK : swg__fail_memory(run->ctx, (size_t)bytes, "patches to be judged");
}

static void add_embeddings(judge *j, const float *rows, int64_t count) {
    double *sum = j->moments, *products = sum + j->width;
    for (int64_t n = 0; n < count; n++, rows += j->width)
        for (int64_t a = 0; a < j->width; a++) {
            sum[a] += (double)rows[a];
            for (int64_t b = 0; b < j->width; b++)
                products[a * j->width + b] += (double)rows[a] * (double)rows[b];
        }
    j->rows += count;
}

/* What a prediction is compared with, and whether it is a mask. */
static const float *truth_of(const swg__recipe_cyto *c, const float *batch, int64_t count, bool *mask) {
    *mask = c->heads > 0 && of_masks(c->head[0].loss);
    return c->network == SWG__CYTO_MAE ? batch : batch + count * source_values(c);
}

static swg_status judge_add(swg__run *run, void *arg, swg_plan *plan, const swg__step_graph *s, const int64_t *indices, int64_t count) {
    judge *j = arg;
    const swg__recipe_cyto *c = &run->recipe.cyto;
    const int64_t *shape = swg_shape(s->g, s->out[0]);
    const int64_t values = swg_elements(s->g, s->out[0]) / shape[0];
    const float *made = swg_plan_data(plan, s->out[0]);
    char message[256] = "";
    bool mask;
    if (c->network == SWG__CYTO_IWM) {
        add_embeddings(j, made, count * values / j->width);
        return SWG_OK;
    }
    if (fetch(&run->data, &(swg__draw){.seed = run->recipe.seed}, indices, count, j->batch, message, sizeof message) != SWG_OK)
        return swg__fail(run->ctx, SWG_EIO, "%s", message);
    const float *truth = truth_of(c, j->batch, count, &mask);
    swg_quality_opts opts = {.channels = (int)shape[1], .extent = {c->axes == 3 ? shape[2] : 1, shape[c->axes], shape[c->axes + 1]}, .fit_taps = true};
    for (int64_t i = 0; i < count; i++) {
        if (mask)
            swg_overlap_add(&j->overlap, truth + i * values, made + i * values, values);
        SWG__TRY(swg_image_quality_add(run->ctx, &j->quality, truth + i * values, made + i * values, &opts));
    }
    return SWG_OK;
}

/* Numbers of directions that the embeddings spread over: (sum of eigenvalues)^2 / sum of their squares of the covariance, 1 where all lie on a line. */
static double effective_rank(const judge *j) {
    const double *sum = j->moments, *products = sum + j->width, n = (double)j->rows;
    double trace = 0, square = 0;
    for (int64_t a = 0; a < j->width; a++)
        for (int64_t b = 0; b < j->width; b++) {
            const double c = products[a * j->width + b] / n - sum[a] / n * (sum[b] / n);
            trace += a == b ? c : 0;
            square += c * c;
        }
    return square > 0 ? trace * trace / square : NAN;
}

static void judge_end(swg__run *run, void *arg, swg_status status, double *figures) {
    judge *j = arg;
    if (status == SWG_OK) {
        const swg_image_quality *q = &j->quality;
        const bool images = run->recipe.cyto.network != SWG__CYTO_IWM;
        const double values[] = {[DICE] = swg_overlap_dice(&j->overlap), [IOU] = swg_overlap_iou(&j->overlap), [MSE] = images ? swg_image_mse(q) : NAN,
                                 [MAE] = images ? swg_image_mae(q) : NAN, [PEARSON] = swg_image_pearson(q), [PSNR] = swg_image_psnr_mean_db(q),
                                 [SSIM] = swg_image_ssim(q), [RANK] = images ? NAN : effective_rank(j)};
        memcpy(figures, values, sizeof values);
    }
    free_judge(run, j);
}

/* ---- a trained encoder to begin with ---- */

static int find_array(swg_weights *in, swg_weights *other, int array) {
    const size_t bytes = (size_t)swg_weights_ndim(other, array) * sizeof(int64_t);
    for (int i = 0; i < swg_weights_count(in); i++)
        if (strcmp(swg_weights_name(in, i), swg_weights_name(other, array)) == 0 && swg_weights_ndim(in, i) == swg_weights_ndim(other, array) &&
            memcmp(swg_weights_shape(in, i), swg_weights_shape(other, array), bytes) == 0)
            return i;
    return -1;
}

/* All of the encoder but its positions, of which patches of other extents have others, is taken or nothing is. */
static swg_status check_encoder(swg__run *run, const char *from, swg_weights *trained, int *of) {
    *of = 0;
    for (int i = 0; i < swg_weights_count(run->weights); i++) {
        const char *name = swg_weights_name(run->weights, i);
        if (strncmp(name, "encoder.", 8) != 0)
            continue;
        ++*of;
        if (strncmp(name, "encoder.position", 16) != 0 && find_array(trained, run->weights, i) < 0)
            return swg__fail(run->ctx, SWG_ESHAPE, "model.encoder_from=%s: its encoder is another one: no %s of this extent; model.spatial_dims, .patch, .dim, .depth and "
                             ".context must be those of its training", from, name);
    }
    return SWG_OK;
}

static swg_status start(swg__run *run) {
    const char *from = run->recipe.cyto.encoder_from;
    swg_model *model;
    int taken = 0, of = 0;
    if (!*from)
        return SWG_OK;
    SWG__TRY(swg_model_open_as(run->ctx, from, "cyto", &model));
    swg_status status = SWG_OK;
    if (swg__model_recipe(model)->cyto.network != SWG__CYTO_MAE)
        status = swg__fail(run->ctx, SWG_EUNSUPPORTED, "model.encoder_from=%s: not a masked autoencoder (model.name=mae)", from);
    if (status == SWG_OK)
        status = check_encoder(run, from, swg_model_weights(model), &of);
    if (status == SWG_OK) {
        swg__weights_take(swg_model_weights(model), "encoder.", run->weights, &taken);
        swg__run_note(run, "encoder: %d arrays of weights taken from %s%s", taken, swg_model_path(model), taken < of ? "; positions of patches of these extents start anew" : "");
    }
    swg_model_close(model);
    return status;
}

/* Anew in every sitting that made a step. */
static swg_status pictures(swg__run *run) {
    const patches *own = run->data.own;
    char folder[1100];
    swg_model *model;
    snprintf(folder, sizeof folder, "%s/samples", run->dir);
    if ((!run->sitting_steps && swg__exists(folder)) || run->recipe.cyto.network == SWG__CYTO_IWM)
        return SWG_OK;
    SWG__TRY(swg_model_open(run->ctx, run->dir, &model));
    swg_status status = swg__patch_pictures(run, own->volumes, model, folder);
    swg_model_close(model);
    return status;
}

const swg__family swg__family_cyto = {
    .name = "cyto", .sample = "patch", .samples = "patches",
    .read = read_settings, .least_batch = least_batch, .sample_values = sample_values, .set_input = set_input,
    .build = build, .network = network, .apply = apply, .layers = layers, .describe = describe,
    .open = open_data, .close = close_data, .fetch = fetch, .log_data = log_data, .control = control, .start = start,
    .figures = {[DICE] = "dice", [IOU] = "iou", [MSE] = "mse", [MAE] = "mae", [PEARSON] = "pearson", [PSNR] = "psnr_db", [SSIM] = "ssim",
                [RANK] = "rank"},
    .judge_open = judge_open, .judge_add = judge_add, .judge_end = judge_end, .pictures = pictures,
};
