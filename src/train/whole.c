/* whole.c - whole images through a network by windows that are batched across images.
 * In: an opened model, prepared images. Out: results in slabs, or embeddings.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/whole.h"
#include <string.h>
#include "train/apply.h"
#include "train/recipe.h"

/* One image that is open. */
typedef struct image {
    int64_t k;                  /* -1: the place is free */
    swg__volume volume;
    double *sum;                /* of embeddings */
    int64_t windows;            /* seen of them */
} image;

typedef struct pass {
    swg__whole *w;
    int64_t first;              /* item of sliding image 0 */
    int heads;
    swg__whole_head head[SWG__STEP_OUTPUTS];
    swg__apply apply;
    image *open;
    int64_t places, width, done;
} pass;

int swg__whole_heads(const swg_model *model, swg__whole_head *out) {
    const swg__recipe_cyto *c = &swg__model_recipe(model)->cyto;
    if (c->network == SWG__CYTO_GAN) {
        out[0] = (swg__whole_head){.name = "superres", .channels = (int)c->unet.out, .scale = c->gan.generator.factor, .signed_unit = c->target[0].percentile};
        return 1;
    }
    for (int i = 0; i < c->heads; i++)
        out[i] = (swg__whole_head){.name = c->head[i].name, .channels = (int)c->head[i].channels, .scale = 1,
                                   .mask = c->head[i].loss == SWG__CYTO_DICE_CE || c->head[i].loss == SWG__CYTO_BCE,
                                   .signed_unit = c->target[i].percentile};
    return c->heads;
}

swg_status swg__whole_windows(swg_context *ctx, swg_config *config, int64_t roi[3], bool *boxed, int64_t box[3][2]) {
    const int axes = (int)swg_config_int(config, "model.spatial_dims");
    *boxed = swg_config_has(config, "predict.box");
    for (int i = 0; i < 3 && *boxed; i++) {
        for (int end = 0; end < 2; end++)
            box[i][end] = swg_config_int_at(config, "predict.box", 2 * i + end);
        if (box[i][0] >= box[i][1])
            return swg__fail(ctx, SWG_EUSAGE, "predict.box: %lld to %lld along %c is empty; the second is behind the last voxel", (long long)box[i][0],
                             (long long)box[i][1], "zyx"[i]);
    }
    for (int i = 0; i < 3; i++)
        roi[i] = 0;
    if (!swg_config_has(config, "predict.roi"))
        return swg_config_status(config);
    if (swg_config_count(config, "predict.roi") != axes)
        return swg__fail(ctx, SWG_EUSAGE, "predict.roi: %lld extents; model.spatial_dims=%d has %d", (long long)swg_config_count(config, "predict.roi"), axes, axes);
    for (int i = 0; i < axes; i++) {
        int64_t extent = swg_config_int_at(config, "predict.roi", i);
        roi[3 - axes + i] = extent ? extent : -1;
    }
    return swg_config_status(config);
}

/* ---- images ---- */

static image *place_of(pass *p, int64_t k) {
    for (int64_t i = 0; i < p->places; i++)
        if (p->open[i].k == k)
            return &p->open[i];
    return NULL;
}

static swg_status begin(void *user, int64_t number, int64_t extent[3]) {
    pass *p = user;
    const int64_t k = p->first + number;
    image *at = place_of(p, -1);
    if (!at)
        return swg__fail(p->w->ctx, SWG_EINVAL, "more images are open than were announced");
    SWG__TRY(swg__volumes_whole(p->w->volumes, p->w->items[k], 0, &at->volume));
    at->k = k;
    at->windows = 0;
    if (at->sum)
        memset(at->sum, 0, (size_t)p->width * sizeof *at->sum);
    memcpy(extent, at->volume.dims + 1, 3 * sizeof *extent);
    return SWG_OK;
}

static swg_status read_box(void *user, int64_t number, const int64_t start[3], const int64_t count[3], float *out) {
    pass *p = user;
    const swg__volume *v = &place_of(p, p->first + number)->volume;
    const int64_t *d = v->dims;
    for (int64_t c = 0; c < d[0]; c++)
        for (int64_t z = 0; z < count[0]; z++)
            for (int64_t y = 0; y < count[1]; y++, out += count[2])
                memcpy(out, v->values + ((c * d[1] + start[0] + z) * d[2] + start[1] + y) * d[3] + start[2], (size_t)count[2] * sizeof *out);
    return SWG_OK;
}

/* A window's embedding goes to its image; the last one ends it. */
static swg_status add_embeddings(pass *p, int64_t count, const swg__sliding_window *at, const float *rows) {
    for (int64_t n = 0; n < count; n++, rows += p->width) {
        image *i = place_of(p, p->first + at[n].image);
        for (int64_t v = 0; v < p->width; v++)
            i->sum[v] += (double)rows[v];
        if (++i->windows < at[n].count)
            continue;
        for (int64_t v = 0; v < p->width; v++)
            i->sum[v] /= (double)i->windows;
        SWG__TRY(p->w->embedding(p->w->user, i->k, i->sum, p->width));
    }
    return SWG_OK;
}

static swg_status run_windows(void *user, int64_t count, const swg__sliding_window *at, const float *windows, const float **out) {
    pass *p = user;
    SWG__TRY(swg__apply_run(&p->apply, count, windows));
    if (!p->heads)
        return add_embeddings(p, count, at, swg__apply_result(&p->apply, 0));
    for (int h = 0; h < p->heads; h++)
        out[h] = swg__apply_result(&p->apply, h);
    return SWG_OK;
}

static swg_status write_box(void *user, int64_t number, int head, const int64_t start[3], const int64_t count[3], const float *values) {
    pass *p = user;
    return p->w->write(p->w->user, p->first + number, head, start, count, values);
}

static void release(pass *p, image *i) {
    swg__volumes_release(p->w->volumes, &i->volume);
    i->volume = (swg__volume){0};
    i->k = -1;
}

static swg_status finish(void *user, int64_t number) {
    pass *p = user;
    const int64_t k = p->first + number;
    release(p, place_of(p, k));
    return p->w->finish ? p->w->finish(p->w->user, k) : SWG_OK;
}

static void show(void *user, int64_t done) {
    pass *p = user;
    p->w->progress(p->w->progress_user, p->done + done, p->w->windows);
}

/* ---- a pass over images with one extent of windows ---- */

static int64_t multiple_of(const swg__recipe_cyto *c) {
    return c->network == SWG__CYTO_UNET || c->network == SWG__CYTO_GAN ? (int64_t)1 << (c->unet.levels - 1) : 0;
}

/* Windows for an image; *padded: an axis is taken whole and extended. */
static swg_status settle_roi(const swg__whole *w, const int64_t extent[3], int64_t roi[3], bool *padded) {
    const swg__recipe_cyto *c = &swg__model_recipe(w->model)->cyto;
    const int64_t multiple = multiple_of(c);
    *padded = false;
    for (int i = 0; i < 3; i++) {
        const bool spatial = i >= 3 - c->axes;
        roi[i] = w->roi[i] > 0 ? w->roi[i] : spatial && multiple ? (extent[i] + multiple - 1) / multiple * multiple : spatial ? c->patch[i] : 1;
        *padded = *padded || (spatial && w->roi[i] == 0 && multiple);
        if (!multiple && roi[i] != c->patch[i])
            return swg__fail(w->ctx, SWG_EUSAGE, "predict.roi: windows of %lld; this network takes its patch of %lld alone", (long long)roi[i], (long long)c->patch[i]);
        if (spatial && multiple && roi[i] % multiple)
            return swg__fail(w->ctx, SWG_EUSAGE, "predict.roi: %lld does not divide by %lld, which the network needs", (long long)roi[i], (long long)multiple);
    }
    return SWG_OK;
}

static void describe_pass(pass *p, const int64_t roi[3], bool padded, int64_t images, swg__sliding *s) {
    const swg__whole *w = p->w;
    *s = (swg__sliding){.channels = (int)swg__model_recipe(w->model)->cyto.channels, .roi = {roi[0], roi[1], roi[2]}, .overlap = w->overlap, .constant = w->constant,
                        .pad = padded ? SWG__PAD_REPLICATE : SWG__PAD_ZERO, .batch = w->batch, .heads = p->heads, .along = 1, .boxed = w->boxed, .images = images, .begin = begin, .read = read_box,
                        .run = run_windows, .write = write_box, .finish = finish, .progress = w->progress ? show : NULL, .stop = w->stop, .user = p};
    const int axes = swg__model_recipe(w->model)->cyto.axes;
    memcpy(s->box, w->box, sizeof s->box);
    for (int h = 0; h < p->heads; h++) {
        s->head[h].channels = p->head[h].channels;
        for (int i = 0; i < 3; i++)
            s->head[h].ratio[i] = i < 3 - axes ? 1 : p->head[h].scale;
    }
}

static swg_status open_places(pass *p) {
    p->places = p->w->batch + 1;
    p->open = swg__calloc(p->w->ctx, (size_t)p->places, sizeof *p->open);
    for (int64_t i = 0; p->open && i < p->places; i++) {
        p->open[i].k = -1;
        if (!p->heads && !(p->open[i].sum = swg__calloc(p->w->ctx, (size_t)p->width, sizeof(double))))
            return swg__fail_memory(p->w->ctx, (size_t)p->width * sizeof(double), "embeddings");
    }
    return p->open ? SWG_OK : swg__fail_memory(p->w->ctx, (size_t)p->places * sizeof *p->open, "images");
}

static void close_places(pass *p) {
    for (int64_t i = 0; p->open && i < p->places; i++) {
        if (p->open[i].k >= 0)
            release(p, &p->open[i]);
        swg__free(p->w->ctx, p->open[i].sum);
    }
    swg__free(p->w->ctx, p->open);
    p->open = NULL;
}

/* Extents of an image, which must have the network's channels. */
static swg_status extent_of(const swg__whole *w, int64_t k, int64_t extent[3]) {
    const int64_t wanted = swg__model_recipe(w->model)->cyto.channels;
    int64_t dims[4];
    SWG__TRY(swg__volumes_extent(w->volumes, w->items[k], 0, dims));
    if (dims[0] != wanted)
        return swg__fail(w->ctx, SWG_EINVAL, "%s: %lld channels; the network takes %lld: say which in data.source, as channel=0",
                         swg__volumes_item_at(w->volumes, w->items[k])->path, (long long)dims[0], (long long)wanted);
    memcpy(extent, dims + 1, 3 * sizeof *extent);
    return SWG_OK;
}

/* Items first .. first + count - 1, whose windows have these extents. */
static swg_status run_pass(pass *p, int64_t count, const int64_t roi[3], bool padded) {
    swg__whole *w = p->w;
    const swg__recipe_cyto *c = &swg__model_recipe(w->model)->cyto;
    int64_t shape[5] = {w->batch, c->channels}, (*extents)[3] = swg__calloc(w->ctx, (size_t)count, sizeof *extents);
    swg__sliding s;
    memcpy(shape + 2, roi + 3 - c->axes, (size_t)c->axes * sizeof *shape);
    swg_status status = extents ? SWG_OK : swg__fail_memory(w->ctx, (size_t)count * sizeof *extents, "extents of images");
    for (int64_t i = 0; i < count && status == SWG_OK; i++)
        status = extent_of(w, p->first + i, extents[i]);
    if (status == SWG_OK)
        status = swg__apply_open(w->model, 2 + c->axes, shape, p->heads ? p->heads : 1, &p->apply);
    p->width = p->apply.values[0];
    if (status == SWG_OK)
        status = open_places(p);
    describe_pass(p, roi, padded, count, &s);
    if (status == SWG_OK) {
        const int64_t bytes = swg__apply_bytes(&p->apply) + swg__sliding_bytes(&s, count, *extents);
        w->planned_bytes = bytes > w->planned_bytes ? bytes : w->planned_bytes;
        status = swg__sliding_run(w->ctx, &s);
    }
    for (int64_t i = 0; i < count && status == SWG_OK; i++)
        p->done += swg__sliding_windows(&s, extents[i]);
    close_places(p);
    swg__apply_close(&p->apply);
    swg__free(w->ctx, extents);
    return status;
}

static bool same(const int64_t a[3], const int64_t b[3]) { return a[0] == b[0] && a[1] == b[1] && a[2] == b[2]; }

swg_status swg__whole_run(swg__whole *w) {
    pass p = {.w = w};
    int64_t roi[3], next[3], extent[3];
    bool padded;
    p.heads = swg__whole_heads(w->model, p.head);
    w->batch = w->batch > 0 ? w->batch : 1;
    w->windows = w->planned_bytes = 0;
    for (int64_t k = 0; k < w->count; k++) {
        swg__sliding s;
        SWG__TRY(extent_of(w, k, extent));
        SWG__TRY(settle_roi(w, extent, roi, &padded));
        describe_pass(&p, roi, padded, 1, &s);
        w->windows += swg__sliding_windows(&s, extent);
    }
    for (p.first = 0; p.first < w->count;) {
        int64_t count = 1;
        SWG__TRY(extent_of(w, p.first, extent));
        SWG__TRY(settle_roi(w, extent, roi, &padded));
        for (; p.first + count < w->count; count++) { /* images in a row with the same windows go together */
            bool other;
            SWG__TRY(extent_of(w, p.first + count, extent));
            SWG__TRY(settle_roi(w, extent, next, &other));
            if (!same(roi, next))
                break;
        }
        SWG__TRY(run_pass(&p, count, roi, padded));
        p.first += count;
    }
    return SWG_OK;
}
