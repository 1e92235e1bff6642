/* tiles.c - validation tiles through the model: side by side, and their latents channel by channel.
 * In: a model and its data. Out: samples/ of PNG, z-N.svg, z.csv.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "plot/plot.h"
#include "swage/image.h"
#include "swage/quality.h"

/* ---- samples ---- */

static swg_status wrote(void *user, const char *path) { return swg__plot_wrote(user, path); }

static swg_status judge(const swg__plot *p, int64_t tile, const float *images, swg_image_quality *q) {
    const swg__sample_set *s = &p->set;
    const int64_t at = tile * s->channels * s->height * s->width;
    *q = (swg_image_quality){0};
    const swg_quality_opts opts = {.channels = (int)s->channels, .extent = {1, s->height, s->width}, .range = 1, .clip = true};
    return swg_image_quality_add(p->ctx, q, s->clean + at, images + at, &opts);
}

/* PSNR and SSIM of each tile, noisy and decoded. */
static swg_status tabulate(swg__plot *p) {
    static const char *const header[] = {"tile", "noisy PSNR dB", "noisy SSIM", "decoded PSNR dB", "decoded SSIM"};
    enum { COLUMNS = 5, CELL = 32 };
    const int64_t rows = p->set.count;
    char(*text)[CELL] = swg__calloc(p->ctx, (size_t)(rows * COLUMNS), CELL);
    const char **cells = swg__calloc(p->ctx, (size_t)(rows * COLUMNS), sizeof *cells);
    swg_status status = text && cells ? SWG_OK : swg__fail_memory(p->ctx, (size_t)(rows * COLUMNS) * CELL, "a table");
    for (int64_t i = 0; i < rows && status == SWG_OK; i++) {
        const float *const images[2] = {p->set.noisy, p->set.decoded};
        snprintf(text[i * COLUMNS], CELL, "%lld", (long long)i + 1);
        for (int k = 0; k < 2 && status == SWG_OK; k++) {
            swg_image_quality q;
            status = judge(p, i, images[k], &q);
            snprintf(text[i * COLUMNS + 1 + 2 * k], CELL, "%.2f", swg_image_psnr_db(&q));
            double ssim = swg_image_ssim(&q);
            snprintf(text[i * COLUMNS + 2 + 2 * k], CELL, isnan(ssim) ? "n/a" : "%.4f", ssim);
        }
    }
    for (int64_t i = 0; status == SWG_OK && i < rows * COLUMNS; i++)
        cells[i] = text[i];
    if (status == SWG_OK)
        swg_report_table(p->page, &(swg_table){"Against the clean tile, decoded clipped to [0,1]", COLUMNS, rows, header, cells});
    swg__free(p->ctx, cells);
    swg__free(p->ctx, text);
    return status;
}

swg_status swg__plot_samples(swg__plot *p) {
    char folder[2048], sheet[2100], caption[200];
    SWG__TRY(swg__plot_tiles(p));
    swg__plot_path(p, "samples", folder);
    SWG__TRY(swg__sample_set_write(p->ctx, &p->set, folder, &(swg__written){wrote, p}));
    snprintf(sheet, sizeof sheet, "%s/samples.png", folder);
    snprintf(caption, sizeof caption, "%lld %s tiles: clean, noisy input, decoded; noise as in validation", (long long)p->set.count, p->set.part);
    swg_report_heading(p->page, "Reconstructions");
    swg_report_png(p->page, caption, sheet);
    return tabulate(p);
}

/* ---- z ---- */

enum { DRAWN = 2, ACROSS = 8 };

/* Largest number of columns up to ACROSS that fills all rows. */
static int64_t columns_for(int64_t channels) {
    int64_t columns = channels < ACROSS ? channels : ACROSS;
    while (channels % columns)
        columns--;
    return columns;
}

/* Channels of one tile's z; a slice has row 0 at the bottom, an image at the top. */
static swg_status draw_z(swg__plot *p, int64_t tile) {
    const swg__sample_set *s = &p->set;
    const int64_t plane = s->z_height * s->z_width, columns = columns_for(s->z_channels);
    float *turned = swg__calloc(p->ctx, (size_t)(s->z_channels * plane), sizeof *turned);
    swg_report_slice *slices = swg__calloc(p->ctx, (size_t)s->z_channels, sizeof *slices);
    char(*titles)[32] = swg__calloc(p->ctx, (size_t)s->z_channels, 32), caption[120], file[64], path[2048];
    swg_status status = turned && slices && titles ? SWG_OK : swg__fail_memory(p->ctx, (size_t)(s->z_channels * plane) * sizeof *turned, "pictures of z");
    for (int64_t c = 0; c < s->z_channels && status == SWG_OK; c++) {
        for (int64_t y = 0; y < s->z_height; y++)
            memcpy(turned + c * plane + (s->z_height - 1 - y) * s->z_width, s->z + (tile * s->z_channels + c) * plane + y * s->z_width,
                   (size_t)s->z_width * sizeof *turned);
        snprintf(titles[c], sizeof titles[c], "channel %lld", (long long)c);
        slices[c] = (swg_report_slice){.title = titles[c], .rows = s->z_height, .columns = s->z_width, .values = turned + c * plane, .diverging = true};
    }
    snprintf(caption, sizeof caption, "z of %s tile %lld", s->part, (long long)tile + 1);
    snprintf(file, sizeof file, "z-%lld.svg", (long long)tile + 1);
    swg__plot_path(p, file, path);
    if (status == SWG_OK) {
        swg_report_slices(p->page, caption, slices, s->z_channels);
        status = swg_figure_write(p->ctx, path, caption, slices, s->z_channels / columns, columns);
    }
    swg__free(p->ctx, titles);
    swg__free(p->ctx, slices);
    swg__free(p->ctx, turned);
    return status == SWG_OK ? swg__plot_wrote(p, path) : status;
}

/* Mean and sd of a channel over all tiles of the set. */
static void moments(const swg__sample_set *s, int64_t channel, double *mean, double *sd) {
    const int64_t plane = s->z_height * s->z_width;
    double sum = 0, square = 0, n = (double)(s->count * plane);
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < s->count * plane; i++) {
            double z = (double)s->z[(i / plane * s->z_channels + channel) * plane + i % plane];
            sum += pass ? 0 : z;
            square += pass ? (z - *mean) * (z - *mean) : 0;
        }
        *mean = sum / n;
    }
    *sd = sqrt(square / n);
}

static swg_status tabulate_z(swg__plot *p) {
    static const char *const header[] = {"channel", "mean", "sd"};
    enum { COLUMNS = 3, CELL = 32 };
    const int64_t rows = p->set.z_channels;
    char(*text)[CELL] = swg__calloc(p->ctx, (size_t)(rows * COLUMNS), CELL), caption[120], path[2048];
    const char **cells = swg__calloc(p->ctx, (size_t)(rows * COLUMNS), sizeof *cells);
    swg__text csv;
    swg__text_init(&csv, p->ctx);
    swg__text_puts(&csv, "channel,mean,sd\n");
    swg_status status = text && cells ? SWG_OK : swg__fail_memory(p->ctx, (size_t)(rows * COLUMNS) * CELL, "a table");
    for (int64_t c = 0; c < rows && status == SWG_OK; c++) {
        double mean = 0, sd;
        moments(&p->set, c, &mean, &sd);
        snprintf(text[c * COLUMNS], CELL, "%lld", (long long)c);
        snprintf(text[c * COLUMNS + 1], CELL, "%.5g", mean);
        snprintf(text[c * COLUMNS + 2], CELL, "%.5g", sd);
        for (int k = 0; k < COLUMNS; k++)
            cells[c * COLUMNS + k] = text[c * COLUMNS + k];
        swg__text_printf(&csv, "%lld,%.9g,%.9g\n", (long long)c, mean, sd);
    }
    snprintf(caption, sizeof caption, "Channels of z over %lld %s tiles of %lld x %lld numbers", (long long)p->set.count, p->set.part,
             (long long)p->set.z_height, (long long)p->set.z_width);
    swg__plot_path(p, "z.csv", path);
    if (status == SWG_OK) {
        swg_report_table(p->page, &(swg_table){caption, COLUMNS, rows, header, cells});
        status = csv.failed ? swg__fail_memory(p->ctx, csv.length, path) : swg__file_write(p->ctx, path, csv.data, csv.length);
    }
    swg__text_free(&csv);
    swg__free(p->ctx, cells);
    swg__free(p->ctx, text);
    return status == SWG_OK ? swg__plot_wrote(p, path) : status;
}

swg_status swg__plot_latents(swg__plot *p) {
    SWG__TRY(swg__plot_tiles(p));
    swg_report_heading(p->page, "Latents");
    for (int64_t i = 0; i < DRAWN && i < p->set.count; i++)
        SWG__TRY(draw_z(p, i));
    return tabulate_z(p);
}
