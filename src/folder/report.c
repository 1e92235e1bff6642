/* report.c - what a folder job tells: rows per variable, sums and means over all.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include "folder/folder.h"

static const swg_metric averaged[] = {SWG_METRIC_MSE, SWG_METRIC_PSNR_DB, SWG_METRIC_MAE, SWG_METRIC_RELATIVE_MEAN};

/* Files with an array; arrays come file by file. */
static int64_t count_files(const swg__job *job) {
    int64_t files = 0;
    for (int64_t a = 0; a < job->array_count; a++)
        files += a == 0 || strcmp(job->arrays[a]->file, job->arrays[a - 1]->file) != 0;
    return files;
}

swg_status swg__folder_report_open(swg__job *job) {
    swg_folder_report *report = swg__calloc(job->ctx, 1, sizeof *report);
    if (!report)
        return swg__fail_memory(job->ctx, sizeof *report, "a report");
    job->report = report;
    report->rows = swg__calloc(job->ctx, (size_t)job->variable_count + 1, sizeof *report->rows);
    if (!report->rows)
        return swg__fail_memory(job->ctx, (size_t)(job->variable_count + 1) * sizeof *report->rows, "the rows of a report");
    report->arrays = job->array_count;
    report->files = count_files(job);
    for (; report->count <= job->variable_count; report->count++)
        if (!(report->rows[report->count].variable = swg__strdup(job->ctx, report->count < job->variable_count ? job->variables[report->count].name : "all")))
            return swg__fail_memory(job->ctx, 64, "the rows of a report");
    return SWG_OK;
}

static int64_t file_bytes(const char *path) {
    struct stat info;
    return *path && stat(path, &info) == 0 ? (int64_t)info.st_size : 0;
}

void swg__folder_count(swg__job *job) {
    for (int64_t i = 0; i < job->batch->blocks; i++) {
        const swg__piece *piece = &job->pieces[job->piece_of[i]];
        const swg_array *array = job->arrays[piece->array];
        swg__folder_variable *v = &job->variables[array->variable_index];
        const int64_t bytes = swg_element_bytes(v->element);
        v->row.blocks++;
        if (job->side[i].flag == SWG_BLOCK_NORMAL) {
            int64_t extent[3];
            v->row.normal_bytes += swg_blocks_inside(&piece->blocks, i - piece->block, extent) * swg_element_bytes(array->element);
            v->row.side_bytes += (job->has_offset ? bytes : 0) + job->has_exponent;
        } else if (job->side[i].flag == SWG_BLOCK_CONSTANT) {
            v->row.constant_blocks++;
            v->row.side_bytes += bytes;
        } else {
            v->row.raw_blocks++;
            v->row.kept_bytes += job->volume * bytes;
        }
    }
    for (int64_t p = 0; p < job->batch->pieces; p++) {
        const swg__piece *piece = &job->pieces[job->batch->first + p];
        swg__folder_variable *v = &job->variables[job->arrays[piece->array]->variable_index];
        v->row.kept_bytes += piece->rows * swg__shell_values(job, job->arrays[piece->array]) * swg_element_bytes(v->element);
    }
}

/* What blocks of one variable take. */
static void count_bytes(const swg__job *job, swg_folder_row *row) {
    int64_t normal = row->blocks - row->constant_blocks - row->raw_blocks;
    row->latent_bytes = normal * job->latent * (int64_t)sizeof(float);
    row->flag_bytes = row->blocks;
}

static void add_mean(swg_folder_row *all, const swg_folder_row *rows, int64_t count, swg_metric metric) {
    double sum = 0;
    int64_t used = 0;
    for (int64_t i = 0; i < count; i++)
        if (rows[i].compared && rows[i].metrics.has[metric] && isfinite(rows[i].metrics.value[metric])) {
            sum += rows[i].metrics.value[metric];
            used++;
        }
    all->metrics.has[metric] = used > 0;
    all->metrics.value[metric] = used ? sum / (double)used : 0;
}

void swg__folder_report_finish(swg__job *job) {
    swg_folder_report *report = job->report;
    swg_folder_row *all = &report->rows[job->variable_count];
    *all = (swg_folder_row){.variable = all->variable};
    for (int64_t v = 0; v < job->variable_count; v++) {
        swg__folder_variable *variable = &job->variables[v];
        swg_folder_row *row = &report->rows[v];
        char *name = row->variable;
        *row = variable->row;
        row->variable = name;
        count_bytes(job, row);
        if (variable->compare) {
            swg_compare_exclude(variable->compare, row->constant_blocks, row->raw_blocks);
            swg_compare_result(variable->compare, &row->metrics);
            row->compared = true;
        }
        all->arrays += row->arrays;
        all->blocks += row->blocks;
        all->constant_blocks += row->constant_blocks;
        all->raw_blocks += row->raw_blocks;
        all->failed_blocks += row->failed_blocks;
        all->bytes_in += row->bytes_in;
        all->latent_bytes += row->latent_bytes;
        all->side_bytes += row->side_bytes;
        all->flag_bytes += row->flag_bytes;
        all->kept_bytes += row->kept_bytes;
        all->normal_bytes += row->normal_bytes;
        all->compared |= row->compared;
    }
    for (size_t m = 0; m < sizeof averaged / sizeof *averaged; m++)
        add_mean(all, report->rows, job->variable_count, averaged[m]);
    report->peak_bytes = swg_context_peak_rss_growth(job->ctx);
    report->encoded_bytes = file_bytes(report->encoded);
    report->reconstructed_bytes = file_bytes(report->reconstructed);
    report->seconds = (double)(swg__now_ns() - job->began_ns) * 1e-9;
}

void swg__job_memory(swg__job *job) {
    int64_t bytes = (int64_t)swg_context_bytes(job->ctx);
    job->report->buffer_bytes = bytes > job->report->buffer_bytes ? bytes : job->report->buffer_bytes;
}

bool swg__job_stopped(const swg__job *job) { return job->hooks.stop && *job->hooks.stop; }

swg_status swg__job_interrupted(swg__job *job) {
    return swg__fail(job->ctx, SWG_EINTERRUPTED, "interrupted; nothing was left behind");
}

void swg_folder_report_free(swg_context *ctx, swg_folder_report *report) {
    if (!report)
        return;
    for (int64_t i = 0; i < report->count; i++)
        swg__free(ctx, report->rows[i].variable);
    swg__free(ctx, report->rows);
    swg__free(ctx, report);
}
