/* cmd_costs.c - `swage costs`: does it pay to encode a block before it is sent? Published numbers, their correction, this machine.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "cli/cli.h"
#include "cli/layers_out.h"
#include "swage/costs.h"
#include "swage/report.h"
#include "swage/train.h"

static const cli_option options[] = {
    {"batch", 'b', "N", "blocks per call (default: 4096)"},
    {"precision", 0, "TYPE", "of the model columns: f32, int8 or fp8 (default: f32)"},
    {"latent-bytes", 0, "N", "bytes sent for a block (default: 4 per latent and 4 for the block's minimum; 8-bit types: 1 per latent and 4)"},
    {"launch", 0, "US", "microseconds to start a kernel, in the corrected column (default: 4)"},
    {"no-measure", 0, NULL, "leave out this machine"},
    {"report", 0, "FILE", "also write an HTML page with the break-even chart"},
    CLI_RECIPES, CLI_THREADS, CLI_ISA, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

enum { WARM_UP = 5, RUNS = 10, COLUMNS = 3 };

/* Columns of the table: as published; corrected; this machine. */
typedef struct costs {
    const char *recipe, *precision;
    int64_t batch, latent_bytes;
    double launch_us;
    swg_train_plan plan;
    swg_layers layers;
    int launches;
    double encode_us, decode_us;        /* of a block, measured; 0: not measured */
    swg_cost column[COLUMNS];
    int columns;
} costs;

static const char *const column_names[COLUMNS] = {"published", "corrected", "this machine"};

/* ---- measuring ---- */

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Median time of a run in microseconds per block. */
static swg_status time_plan(swg_plan *plan, int64_t batch, double *us) {
    double times[RUNS];
    for (int i = -WARM_UP; i < RUNS; i++) {
        int64_t start = swg__now_ns();
        SWG__TRY(swg_plan_run(plan, 0, 0));
        if (i >= 0)
            times[i] = (double)(swg__now_ns() - start) * 1e-3;
    }
    qsort(times, RUNS, sizeof *times, compare);
    *us = (times[RUNS / 2 - 1] + times[RUNS / 2]) / 2 / (double)batch;
    return SWG_OK;
}

/* One side of the network, with weights as a training run starts with. Also counts its steps. */
static swg_status measure_side(cli *c, costs *k, bool decoder, double *us) {
    const swg_swae *network = &k->plan.network;
    swg_graph *g;
    SWG__TRY(swg_graph_create(c->ctx, &(swg_graph_opts){.inference = true}, &g));
    swg_value x = swg_input(g, "x", 2, (int64_t[]){k->batch, decoder ? network->latent : network->input});
    swg_value y = decoder ? swg_swae_decode(g, x, network) : swg_swae_encode(g, x, network);
    swg_plan *plan = NULL;
    swg_weights *weights = NULL;
    swg_status status = swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1, .frozen = true}, &plan);
    if (status == SWG_OK)
        k->launches += swg_plan_steps(plan);
    if (status == SWG_OK && !cli_flag(c, "no-measure")) {
        status = swg_weights_create(g, false, &weights);
        if (status == SWG_OK) {
            swg_weights_init(weights, 42);
            status = swg_plan_open(plan, weights, NULL);
        }
        for (int64_t i = 0; status == SWG_OK && i < swg_elements(g, x); i++)
            ((float *)swg_plan_data(plan, x))[i] = (float)(i % 251) / 251.f - .5f;
        if (status == SWG_OK)
            status = time_plan(plan, k->batch, us);
    }
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
    return status;
}

/* ---- the model ---- */

static void fill_columns(costs *k) {
    bool eight = strcmp(k->precision, "f32") != 0, fp8 = strcmp(k->precision, "fp8") == 0;
    const swg_device *published = swg_device_published(), *real = swg_device_corrected();
    double flop = 2 * (double)k->plan.macs_per_block, published_flop = 2 * (double)k->plan.macs_by_output, block = 4 * (double)k->plan.network.input;
    double published_rate = fp8 ? published->fp8 : eight ? published->int8 : published->f32;
    k->column[0] = (swg_cost){.block_bytes = block, .sent_bytes = (double)k->plan.network.latent, .compute = published_flop / published_rate * 1e6,
                              .memory = 2 * block / published->memory * 1e6, .gigabits = true};
    k->column[1] = (swg_cost){.block_bytes = block, .sent_bytes = (double)k->latent_bytes,
                              .compute = flop / (eight ? real->int8 : real->f32) * 1e6, .memory = 2 * block / real->memory * 1e6,
                              .launch = k->launch_us * k->launches / (double)k->batch};
    k->column[2] = (swg_cost){.block_bytes = block, .sent_bytes = (double)k->latent_bytes, .compute = k->encode_us + k->decode_us};
    k->columns = k->encode_us > 0 ? 3 : 2;
}

/* ---- output ---- */

static void print_text(const costs *k) {
    int count;
    const swg_link *links = swg_links(&count);
    cli_print_layers(&k->layers);
    cli_print_work(&k->layers, "block");
    printf("\n%s: %lld FLOP per block to encode and decode, %lld bytes become %lld, batch %lld\n", k->recipe,
           2 * (long long)k->plan.macs_per_block, 4 * (long long)k->plan.network.input, (long long)k->latent_bytes, (long long)k->batch);
    printf("published: GB/s taken for Gbit/s, 1 byte per latent in every type, no cost of starting kernels, %s of %s\n", k->precision,
           swg_device_published()->name);
    printf("corrected: %s of %s at its data sheet's peak, %d kernels of %g us per batch%s\n", k->precision, swg_device_corrected()->name, k->launches,
           k->launch_us, strcmp(k->precision, "fp8") == 0 ? "; it has no fp8 unit, so int8" : "");
    if (k->columns > 2)
        printf("this machine: encode %.3f, decode %.3f us per block, f32, measured (median of %d)\n", k->encode_us, k->decode_us, RUNS);
    printf("\nmicroseconds per block         as it is                 encoded, sent, decoded\n");
    printf("%-20s %9s %10s %10s %12s %12s", "link", "GB/s", "published", "corrected", "published", "corrected");
    printf(k->columns > 2 ? " %13s %8s\n" : "\n", "this machine", "gain");
    for (int i = 0; i < count; i++) {
        double raw = swg_cost_raw(&k->column[1], links[i].speed);
        printf("%-20s %9.4g %10.4f %10.4f", links[i].name, links[i].speed, swg_cost_raw(&k->column[0], links[i].speed), raw);
        for (int j = 0; j < k->columns; j++)
            printf(" %12.4f", swg_cost_encoded(&k->column[j], links[i].speed));
        if (k->columns > 2)
            printf("  %7.2fx", raw / swg_cost_encoded(&k->column[2], links[i].speed));
        printf("\n");
    }
    printf("\nencoding pays below (GB/s)");
    for (int j = 0; j < k->columns; j++)
        printf("%s %s %.4g", j ? "," : "", column_names[j], swg_cost_break_even(&k->column[j]));
    printf("\n");
}

static void print_json(const costs *k) {
    int count;
    const swg_link *links = swg_links(&count);
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "recipe", k->recipe);
    cJSON_AddStringToObject(root, "precision", k->precision);
    cJSON_AddNumberToObject(root, "flop", 2 * (double)k->plan.macs_per_block);
    cJSON_AddNumberToObject(root, "block_bytes", k->column[1].block_bytes);
    cJSON_AddNumberToObject(root, "sent_bytes", (double)k->latent_bytes);
    cJSON_AddNumberToObject(root, "batch", (double)k->batch);
    cJSON_AddNumberToObject(root, "kernels", k->launches);
    if (k->columns > 2) {
        cJSON_AddNumberToObject(root, "encode_us", k->encode_us);
        cJSON_AddNumberToObject(root, "decode_us", k->decode_us);
    }
    cli_json_layers(root, &k->layers);
    static const char *const keys[COLUMNS] = {"published", "corrected", "measured"};
    cJSON *pays = cJSON_AddObjectToObject(root, "break_even_gb_s"), *rows = cJSON_AddArrayToObject(root, "links");
    for (int j = 0; j < k->columns; j++)
        cJSON_AddNumberToObject(pays, keys[j], swg_cost_break_even(&k->column[j]));
    for (int i = 0; i < count; i++) {
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "link", links[i].name);
        cJSON_AddNumberToObject(row, "gb_s", links[i].speed);
        cJSON *raw = cJSON_AddObjectToObject(row, "raw_us"), *encoded = cJSON_AddObjectToObject(row, "encoded_us");
        for (int j = 0; j < k->columns; j++) {
            cJSON_AddNumberToObject(raw, keys[j], swg_cost_raw(&k->column[j], links[i].speed));
            cJSON_AddNumberToObject(encoded, keys[j], swg_cost_encoded(&k->column[j], links[i].speed));
        }
        cJSON_AddItemToArray(rows, row);
    }
    char *text = cJSON_Print(root);
    puts(text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

/* FLOP per layer, each way of counting. */
static swg_status add_layers(cli *c, swg_report *page, const swg_layers *layers) {
    enum { COUNTS = 4, COLUMNS_OF_LAYER = 1 + COUNTS, DIGITS = 24 };
    static const char *const header[COLUMNS_OF_LAYER] = {"layer", "parameters", "FLOP", "FLOP by output position", "FLOP computed"};
    const size_t most = (size_t)layers->count + 1;
    char (*digits)[DIGITS] = swg__calloc(c->ctx, most * COUNTS, sizeof *digits);
    const char **cells = swg__calloc(c->ctx, most * COLUMNS_OF_LAYER, sizeof *cells);
    swg_table table = {.caption = "work per block", .columns = COLUMNS_OF_LAYER, .header = header, .cells = cells};
    for (size_t i = 0; digits && cells && i < most; i++) {
        const swg_layer *row = i + 1 < most ? &layers->rows[i] : &layers->total;
        const int64_t counts[COUNTS] = {row->parameters, 2 * row->macs, 2 * row->macs_by_output, 2 * row->macs_run};
        if (!row->parameters && !row->macs)
            continue;
        cells[table.rows * COLUMNS_OF_LAYER] = i + 1 < most ? row->name : "all";
        for (int j = 0; j < COUNTS; j++) {
            char *text = digits[table.rows * COUNTS + j];
            snprintf(text, DIGITS, "%lld", (long long)counts[j]);
            cells[table.rows * COLUMNS_OF_LAYER + 1 + j] = text;
        }
        table.rows++;
    }
    swg_status status = digits && cells ? SWG_OK : swg__fail_memory(c->ctx, most * COUNTS * DIGITS, "the table of layers");
    if (status == SWG_OK)
        swg_report_table(page, &table);
    swg__free(c->ctx, cells);
    swg__free(c->ctx, digits);
    return status;
}

/* Link speed against time, where the lines cross encoding stops to pay. */
static swg_status write_report(cli *c, const costs *k, const char *path) {
    enum { POINTS = 161 };
    double speed[POINTS], y[4][POINTS];
    for (int i = 0; i < POINTS; i++) {
        speed[i] = .01 * pow(10, i * 5. / (POINTS - 1));
        y[0][i] = swg_cost_raw(&k->column[1], speed[i]);
        for (int j = 0; j < k->columns; j++)
            y[1 + j][i] = swg_cost_encoded(&k->column[j], speed[i]);
    }
    const swg_series series[] = {{"as it is", POINTS, speed, y[0]}, {"encoded, as published", POINTS, speed, y[1]},
                                 {"encoded, corrected", POINTS, speed, y[2]}, {"encoded, this machine", POINTS, speed, y[3]}};
    swg_report *page;
    char title[160], text[320];
    snprintf(title, sizeof title, "swage costs: %s", k->recipe);
    SWG__TRY(swg_report_open(c->ctx, title, &page));
    swg_report_paragraph(page, "Time to move one block over a link: as it is, or encoded, sent and decoded. Encoding pays left of where its line "
                               "meets that of the block as it is.");
    swg_report_chart(page, &(swg_chart){.title = "break-even", .x_label = "link, GB/s", .y_label = "microseconds per block", .log_x = true,
                                        .log_y = true, .count = 1 + k->columns, .series = series});
    for (int j = 0; j < k->columns; j++) {
        double pays = swg_cost_break_even(&k->column[j]);
        if (pays > 0)
            snprintf(text, sizeof text, "%s: encoding pays below %.4g GB/s%s.", column_names[j], pays,
                     k->column[j].gigabits ? " (of its own, mistaken unit)" : "");
        else
            snprintf(text, sizeof text, "%s: encoding never pays.", column_names[j]);
        swg_report_paragraph(page, text);
    }
    swg_status status = add_layers(c, page, &k->layers);
    if (status == SWG_OK)
        status = swg_report_write(page, path);
    swg_report_close(page);
    return status;
}

static swg_status run(cli *c) {
    costs k = {.recipe = c->positional[0], .precision = cli_value(c, "precision"), .batch = 4096, .launch_us = 4};
    k.precision = k.precision ? k.precision : "f32";
    if (strcmp(k.precision, "f32") != 0 && strcmp(k.precision, "int8") != 0 && strcmp(k.precision, "fp8") != 0)
        return cli_fail(c, SWG_EUSAGE, "--precision %s: there are f32, int8 and fp8", k.precision);
    SWG__TRY(cli_integer(c, "batch", 1, 1 << 24, &k.batch));
    SWG__TRY(cli_integer(c, "latent-bytes", 1, 1 << 20, &k.latent_bytes));
    if (cli_value(c, "launch")) {
        char *end;
        k.launch_us = strtod(cli_value(c, "launch"), &end);
        if (*end || !(k.launch_us >= 0 && k.launch_us <= 1e6))
            return cli_fail(c, SWG_EUSAGE, "--launch %s: microseconds from 0 to 1e6", cli_value(c, "launch"));
    }
    swg_config *config;
    SWG__TRY(cli_open_config(c, 0, &config));
    swg_status status = swg_train_plan_of(c->ctx, config, k.batch, &k.plan);
    swg_config_close(config);
    SWG__TRY(status);
    if (strcmp(k.plan.family, "swae") != 0)
        return cli_fail(c, SWG_EUNSUPPORTED, "%s: a network of family %s; costs are of networks that encode and decode blocks, family swae", k.recipe, k.plan.family);
    if (!k.latent_bytes)
        k.latent_bytes = k.plan.network.latent * (strcmp(k.precision, "f32") == 0 ? 4 : 1) + 4;
    SWG__TRY(swg_swae_layers(c->ctx, &k.plan.network, &k.layers));
    status = measure_side(c, &k, false, &k.encode_us);
    if (status == SWG_OK)
        status = measure_side(c, &k, true, &k.decode_us);
    fill_columns(&k);
    if (status == SWG_OK && cli_value(c, "report"))
        status = write_report(c, &k, cli_value(c, "report"));
    if (status == SWG_OK && cli_flag(c, "json"))
        print_json(&k);
    else if (status == SWG_OK)
        print_text(&k);
    swg_layers_free(c->ctx, &k.layers);
    return status;
}

const cli_command cli_cmd_costs = {
    .name = "costs",
    .usage = "RECIPE [key=value ...]",
    .help = "print when it pays to encode blocks before they are sent over a link",
    .details = "FLOP of every layer, then three columns: the published table, the same with its units and sizes corrected, and this machine's own\n"
               "encoding and decoding time. No data are needed.\n"
               "  swage costs swae/mlp-deep --report costs.html",
    .options = options,
    .least = 1,
    .most = 1,
    .overrides = true,
    .keys = "model.*",
    .run = run,
};
