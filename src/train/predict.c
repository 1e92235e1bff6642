/* predict.c - whole images through a network by tiles: from files or memory, by bands of rows.
 * In: an opened model, an image. Out: the image the network makes of it, and its latents.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/predict.h"
#include <string.h>
#include <strings.h>
#include "data/npy.h"
#include "data/sliding.h"
#include "swage/image.h"
#include "train/apply.h"
#include "train/recipe.h"

enum { TILES_AT_ONCE = 4, MULTIPLE = 8, DECODED = 0, LATENT = 1 };

/* Where the image comes from and its result goes; either side is a file or memory. */
typedef struct job {
    swg_context *ctx;
    const swg_predict_opts *opts;
    swg__apply apply;
    int64_t tile, height, width;
    int channels;
    int64_t tiles;
    swg_image *image;
    swg_image_writer *writer;
    swg__writer latents;
    bool latents_open;
    const float *x;
    float *y, *z;
    int64_t outside;                /* values beyond [0,1] so far */
} job;

static swg_status begin_image(void *user, int64_t image, int64_t extent[3]) {
    const job *j = user;
    (void)image;
    extent[0] = 1;
    extent[1] = j->height;
    extent[2] = j->width;
    return SWG_OK;
}

static swg_status read_rows(void *user, int64_t image, const int64_t start[3], const int64_t count[3], float *rows) {
    job *j = user;
    const int64_t values = count[1] * j->width;
    (void)image;
    if (j->image) {
        const bool floats = swg_image_about(j->image)->element == SWG_ELEMENT_F32;
        SWG__TRY(swg_image_read_rows(j->image, start[1], count[1], rows));
        for (int64_t i = 0; i < j->channels * values && floats; i++)
            j->outside += rows[i] < 0 || rows[i] > 1;
        return SWG_OK;
    }
    for (int c = 0; c < j->channels; c++)
        memcpy(rows + c * values, j->x + (c * j->height + start[1]) * j->width, (size_t)values * sizeof *rows);
    return SWG_OK;
}

static swg_status write_rows(void *user, int64_t image, int head, const int64_t start[3], const int64_t count[3], const float *rows) {
    job *j = user;
    const int64_t values = count[1] * j->width;
    (void)image, (void)head;
    for (int c = 0; c < j->channels && j->y; c++)
        memcpy(j->y + (c * j->height + start[1]) * j->width, rows + c * values, (size_t)values * sizeof *rows);
    return j->writer ? swg_image_append(j->writer, rows, count[1]) : SWG_OK;
}

static swg_status run_tiles(void *user, int64_t count, const swg__sliding_window *at, const float *tiles, const float **out) {
    job *j = user;
    SWG__TRY(swg__apply_run(&j->apply, count, tiles));
    const float *z = swg__apply_result(&j->apply, LATENT);
    const size_t bytes = (size_t)(count * j->apply.values[LATENT]) * sizeof *z;
    if (j->z)
        memcpy(j->z + at->index * j->apply.values[LATENT], z, bytes);
    *out = swg__apply_result(&j->apply, DECODED);
    return j->latents_open ? swg__writer_write(&j->latents, z, bytes) : SWG_OK;
}

static void show_progress(void *user, int64_t done) {
    const job *j = user;
    j->opts->progress(j->opts->user, done, j->tiles);
}

static int64_t side_of(int64_t n, int64_t tile) {
    int64_t padded = (n + MULTIPLE - 1) / MULTIPLE * MULTIPLE;
    return padded < tile ? padded : tile;
}

static swg_status open_latents(job *j, const swg_predict_result *r) {
    swg__text head;
    if (!j->opts->latent)
        return SWG_OK;
    const int64_t dims[4] = {r->tiles, r->z[0], r->z[1], r->z[2]};
    const bool one = r->tiles == 1;
    swg__text_init(&head, j->ctx);
    swg__npy_head(SWG_ELEMENT_F32, one ? 3 : 4, dims + one, &head);
    swg_status status = head.failed ? swg__fail_memory(j->ctx, 128, j->opts->latent) : swg__writer_open(&j->latents, j->ctx, j->opts->latent);
    j->latents_open = status == SWG_OK;
    if (status == SWG_OK)
        status = swg__writer_write(&j->latents, head.data, head.length);
    swg__text_free(&head);
    return status;
}

static swg_status check_opts(swg_context *ctx, const swg_predict_opts *o) {
    if (!(o->overlap >= 0 && o->overlap < 1))
        return swg__fail(ctx, SWG_EINVAL, "overlap %g: a share of a tile, 0 <= overlap < 1", o->overlap);
    if (o->batch < 0 || o->batch > 65536)
        return swg__fail(ctx, SWG_EINVAL, "%lld tiles at a time: expected 1 to 65536", (long long)o->batch);
    return SWG_OK;
}

static swg_status run_job(job *j, swg_model *model, swg_predict_result *r) {
    const int64_t begin = swg__now_ns(), batch = j->opts->batch ? j->opts->batch : TILES_AT_ONCE;
    const int64_t extent[3] = {1, j->height, j->width};
    swg__sliding s = {.channels = j->channels, .roi = {1, side_of(j->height, j->tile), side_of(j->width, j->tile)}, .overlap = j->opts->overlap,
                      .constant = j->opts->constant, .pad = SWG__PAD_REFLECT, .along = 2, .heads = 1, .head = {{.channels = j->channels}}, .images = 1,
                      .begin = begin_image, .read = read_rows, .run = run_tiles, .write = write_rows, .progress = j->opts->progress ? show_progress : NULL,
                      .stop = j->opts->stop, .user = j};
    j->tiles = swg__sliding_windows(&s, extent);
    *r = (swg_predict_result){.height = j->height, .width = j->width, .tiles = j->tiles, .tile_height = s.roi[1], .tile_width = s.roi[2],
                              .tiles_down = swg__windows_count(j->height, s.roi[1], s.overlap),
                              .tiles_across = swg__windows_count(j->width, s.roi[2], s.overlap)};
    s.batch = batch < j->tiles ? batch : j->tiles;
    SWG__TRY(swg__apply_open(model, 4, (int64_t[]){s.batch, j->channels, s.roi[1], s.roi[2]}, 2, &j->apply));
    memcpy(r->z, j->apply.dims[LATENT], sizeof r->z);
    r->planned_bytes = swg__apply_bytes(&j->apply) + swg__sliding_bytes(&s, 1, extent);
    SWG__TRY(open_latents(j, r));
    SWG__TRY(swg__sliding_run(j->ctx, &s));
    const swg_image_info *info = j->image ? swg_image_about(j->image) : NULL;
    r->outside = j->outside;
    r->nonfinite = info ? info->nonfinite : 0;
    r->alpha_dropped = info && info->alpha_dropped;
    if (j->opts->note && r->alpha_dropped)
        j->opts->note(j->opts->user, "the alpha channel of the input is left out");
    if (j->opts->note && r->nonfinite)
        j->opts->note(j->opts->user, "NaN or infinity in the input: replaced by 0");
    r->seconds = (double)(swg__now_ns() - begin) * 1e-9;
    return SWG_OK;
}

/* Ends what is open; files get their names only if all went well. */
static swg_status close_job(job *j, swg_status status) {
    if (j->writer && status == SWG_OK)
        status = swg_image_finish(j->writer);
    else
        swg_image_abort(j->writer);
    if (j->latents_open && status == SWG_OK)
        status = swg__writer_commit(&j->latents);
    else if (j->latents_open)
        swg__writer_abort(&j->latents);
    swg__apply_close(&j->apply);
    swg_image_close(j->image);
    return status;
}

static void begin_job(job *j, swg_context *ctx, swg_model *model, const swg_predict_opts *opts) {
    static const swg_predict_opts none = {0};
    const swg__recipe *r = swg__model_recipe(model);
    *j = (job){.ctx = ctx, .opts = opts ? opts : &none, .tile = r->kan.tile, .channels = (int)r->kan.network.image};
}

/* Bits of the result: those of the input. */
static int bits_of(const swg_image_info *info) {
    return info->element == SWG_ELEMENT_U8 ? 8 : info->element == SWG_ELEMENT_U16 ? 16 : 32;
}

static bool ends_in(const char *text, const char *ending) {
    size_t length = strlen(text), n = strlen(ending);
    return length > n && strcasecmp(text + length - n, ending) == 0;
}

static swg_status open_files(job *j, swg_model *model, const char *input, const char *output) {
    swg_config *c = swg_model_config(model);
    const double trained = swg_config_has(c, "data.scale") ? swg_config_float(c, "data.scale") : 0;
    const swg_image_opts in = {.channels = j->channels, .scale = j->opts->scale > 0 ? j->opts->scale : trained,
                               .nonfinite = j->opts->nonfinite ? j->opts->nonfinite : swg_config_string(c, "data.nonfinite")};
    SWG__TRY(swg_image_open(j->ctx, input, &in, &j->image));
    const swg_image_info *info = swg_image_about(j->image);
    j->height = info->height;
    j->width = info->width;
    if (!output)
        return SWG_OK;
    int bits = bits_of(info);
    const swg_image_write_opts out = {.bits = bits == 32 && ends_in(output, ".png") ? 16 : bits};
    return swg_image_create(j->ctx, output, j->channels, j->height, j->width, &out, &j->writer);
}

swg_status swg_predict_file(swg_context *ctx, swg_model *model, const char *input, const char *output, const swg_predict_opts *opts,
                            swg_predict_result *result) {
    job j;
    swg_predict_result ignored;
    begin_job(&j, ctx, model, opts);
    SWG__TRY(check_opts(ctx, j.opts));
    if (!swg__model_recipe(model)->family->apply)
        return swg__fail(ctx, SWG_EUNSUPPORTED, "%s: a network of family %s; predict takes networks of images", swg_model_path(model),
                         swg_model_family(model));
    swg_status status = open_files(&j, model, input, output);
    if (status == SWG_OK)
        status = run_job(&j, model, result ? result : &ignored);
    return close_job(&j, status);
}

swg_status swg_predict_array(swg_context *ctx, swg_model *model, int64_t height, int64_t width, const float *x, float *y, float *z,
                             const swg_predict_opts *opts, swg_predict_result *result) {
    job j;
    swg_predict_result ignored;
    begin_job(&j, ctx, model, opts);
    SWG__TRY(check_opts(ctx, j.opts));
    if (height < 1 || width < 1 || !x)
        return swg__fail(ctx, SWG_EINVAL, "an image of %lld x %lld", (long long)height, (long long)width);
    j.height = height;
    j.width = width;
    j.x = x;
    j.y = y;
    j.z = z;
    return close_job(&j, run_job(&j, model, result ? result : &ignored));
}
