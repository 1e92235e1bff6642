/* kan.c - learns exp(sin(pi a) + b^2) with two Kolmogorov-Arnold layers, 2-5-1, once on fixed grids and once on grids that follow their
 * inputs. In: how many steps (600). Out: per run the error, where the hidden layer's inputs lie, and how far an update of the grids moved
 * the curves. Exit status 0: both runs got below an error of 0.1, the adaptive one with inputs inside of its grid.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "swage/swage.h"

enum { ROWS = 512, HIDDEN = 5, EVERY = 50, STOP = 300 };

typedef struct network {
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    swg_value x, target, hyper, loss;
    swg_kan_parts first, second;
} network;

static swg_status open_network(swg_context *ctx, bool adaptive, network *n) {
    swg_status status = swg_graph_create(ctx, NULL, &n->g);
    if (status != SWG_OK)
        return status;
    swg_graph *g = n->g;
    n->x = swg_input(g, "x", 2, (int64_t[]){ROWS, 2});
    n->target = swg_input(g, "target", 2, (int64_t[]){ROWS, 1});
    n->hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    swg_value h = swg_kan_linear(g, n->x, HIDDEN, &(swg_kan_opts){.adaptive = adaptive, .parts = &n->first}, "first");
    swg_value y = swg_kan_linear(g, h, 1, &(swg_kan_opts){.adaptive = adaptive, .parts = &n->second}, "second");
    n->loss = swg_loss_mse(g, y, n->target);
    swg_value penalty = swg_affine(g, swg_loss_kan(g, NULL, 0, 1, 1, NULL), 1e-5, 0);
    swg_value norm = swg_adam(g, swg_add(g, n->loss, penalty), n->hyper, NULL);
    const swg_value outputs[] = {n->loss, norm, n->first.inputs, n->second.inputs, n->second.outside};
    if ((status = swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 5}, &n->plan)) != SWG_OK ||
        (status = swg_weights_create(g, true, &n->weights)) != SWG_OK)
        return status;
    swg_weights_init(n->weights, 1);
    return swg_plan_open(n->plan, n->weights, NULL);
}

static void close_network(network *n) {
    swg_plan_destroy(n->plan);
    swg_weights_destroy(n->weights);
    swg_graph_destroy(n->g);
}

static double uniform(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return (double)(*seed >> 8) * 0x1p-23 - 1;
}

static swg_status train(network *n, bool adaptive, int steps, double *error, double *outside) {
    uint32_t seed = 7;
    double b1 = 1, b2 = 1, seen = 0;
    int counted = 0;
    swg_status status = SWG_OK;
    float *x = swg_plan_data(n->plan, n->x), *target = swg_plan_data(n->plan, n->target);
    for (int step = 0; step < steps && status == SWG_OK; step++) {
        for (int i = 0; i < ROWS; i++) {
            double a = uniform(&seed), b = uniform(&seed);
            x[2 * i] = (float)a;
            x[2 * i + 1] = (float)b;
            target[i] = (float)exp(sin(3.14159265358979 * a) + b * b);
        }
        swg_hyper_adam(&(swg_adam_hyper){.lr = step < steps / 2 ? .02 : .005, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .grad_scale = 1}, &b1, &b2,
                       SWG_F32, swg_plan_data(n->plan, n->hyper));
        status = swg_plan_run(n->plan, 1, (uint32_t)step);
        if (step >= steps - 20) {
            seen += *(float *)swg_plan_data(n->plan, n->loss);
            counted++;
        }
        *outside = *(float *)swg_plan_data(n->plan, n->second.outside);
        if (!adaptive || step == 0 || step % EVERY != 0 || step > STOP || status != SWG_OK)
            continue;
        swg_kan_update moved;
        status = swg_kan_update_grid(n->weights, "first", swg_plan_data(n->plan, n->first.inputs), ROWS, 2, NULL);
        if (status == SWG_OK)
            status = swg_kan_update_grid(n->weights, "second", swg_plan_data(n->plan, n->second.inputs), ROWS, HIDDEN, &moved);
        if (status == SWG_OK)
            printf("  step %3d: %2.0f %% of the hidden values outside; new grids change curves of size %.2g by %.2g\n", step, 100 * *outside,
                   moved.size, moved.change);
    }
    *error = sqrt(seen / (counted ? counted : 1));
    return status;
}

int main(int argc, char **argv) {
    int steps = argc > 1 ? atoi(argv[1]) : 600;
    double error[2] = {INFINITY, INFINITY}, outside[2] = {1, 1};
    swg_context *ctx;
    if (swg_context_open(NULL, &ctx) != SWG_OK)
        return 1;
    swg_status status = SWG_OK;
    for (int adaptive = 0; adaptive < 2 && status == SWG_OK; adaptive++) {
        network n = {0};
        status = open_network(ctx, adaptive, &n);
        if (status == SWG_OK)
            status = train(&n, adaptive, steps, &error[adaptive], &outside[adaptive]);
        if (status == SWG_OK)
            printf("%s grids: root mean square error %.4f, %2.0f %% of the hidden values outside\n", adaptive ? "moving" : "fixed", error[adaptive],
                   100 * outside[adaptive]);
        close_network(&n);
    }
    if (status != SWG_OK)
        fprintf(stderr, "%s\n", swg_context_message(ctx));
    swg_context_close(ctx);
    return status == SWG_OK && error[0] < .1 && error[1] < .1 && outside[1] < .05 ? 0 : 1;
}
