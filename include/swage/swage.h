/* swage.h - all of the library. Below is a complete program: it describes a network, plans its training step and takes three.
 *
 *     #include <stdio.h>
 *     #include <swage/swage.h>
 *
 *     int main(void) {
 *         // What a program opens once: threads, instruction set, the message of the last failure.
 *         swg_context *ctx = NULL;
 *         swg_graph *g = NULL;
 *         if (swg_context_open(NULL, &ctx) != SWG_OK || swg_graph_create(ctx, NULL, &g) != SWG_OK)
 *             return 1;
 *
 *         // Describe: 64 points (a, b) through 16 hidden units to one number, which is to become a * b. Nothing is computed here, and
 *         // nothing has to be checked: the first error stays in the graph until the plan reports it.
 *         swg_value x = swg_input(g, "x", 2, (int64_t[]){64, 2}), want = swg_input(g, "want", 2, (int64_t[]){64, 1});
 *         swg_value hidden = swg_gelu(g, swg_linear(g, x, 16, "fc1"));
 *         swg_value loss = swg_loss_mse(g, swg_linear(g, hidden, 1, "fc2"), want);
 *
 *         // Gradients of all parameters and their update are part of the same graph.
 *         swg_value hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
 *         swg_value norm = swg_adam(g, loss, hyper, NULL);
 *
 *         // Plan: from here on the order of all work and the place of every number are fixed.
 *         swg_value outputs[] = {loss, norm};
 *         swg_plan *plan = NULL;
 *         swg_weights *weights = NULL;
 *         if (swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 2}, &plan) != SWG_OK ||
 *             swg_weights_create(g, true, &weights) != SWG_OK || swg_plan_open(plan, weights, NULL) != SWG_OK) {
 *             fprintf(stderr, "%s\n", swg_context_message(ctx));
 *             return 1;
 *         }
 *         printf("%lld bytes at the peak\n", (long long)swg_plan_memory_of(plan).peak_bytes);
 *
 *         // Fill the inputs; they keep their values from run to run.
 *         float *points = swg_plan_data(plan, x), *products = swg_plan_data(plan, want);
 *         for (int i = 0; i < 64; i++) {
 *             points[2 * i] = (float)(i % 8) / 4 - 1;
 *             points[2 * i + 1] = (float)(i / 8) / 4 - 1;
 *             products[i] = points[2 * i] * points[2 * i + 1];
 *         }
 *
 *         // Train: a run computes the loss and its gradients, and updates the weights. It allocates nothing.
 *         swg_weights_init(weights, 42);
 *         swg_adam_hyper adam = {.lr = .01, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .grad_scale = 1};
 *         double b1 = 1, b2 = 1;
 *         for (uint32_t step = 0; step < 3; step++) {
 *             swg_hyper_adam(&adam, &b1, &b2, SWG_F32, swg_plan_data(plan, hyper));
 *             if (swg_plan_run(plan, 42, step) != SWG_OK)
 *                 return 1;
 *             const float *value = swg_plan_data(plan, loss);
 *             printf("step %u: loss %.6f\n", (unsigned)step, (double)*value);
 *         }
 *
 *         swg_plan_destroy(plan);
 *         swg_weights_destroy(weights);
 *         swg_graph_destroy(g);
 *         swg_context_close(ctx);
 *         return 0;
 *     }
 *
 *     cc program.c $(pkg-config --cflags --libs swage)
 *
 * How things are done everywhere: a call that can fail returns a swg_status, its message is in the context. Option structs are zero
 * for the defaults and may be NULL where a comment says so; other pointers may not. Who creates destroys, in reverse order; NULL may
 * be destroyed. Sizes and offsets are int64_t. The library never prints, exits or aborts.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_H
#define SWAGE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the ground ---- */
#include "swage/status.h"       /* error codes */
#include "swage/context.h"      /* threads, memory, messages */
#include "swage/features.h"     /* what this build holds */

/* ---- the engine: describe, plan, run ---- */
#include "swage/graph.h"        /* operations and gradients */
#include "swage/nn.h"           /* layers and losses */
#include "swage/quantise.h"     /* numbers of 8 bits */
#include "swage/ops.h"          /* the table of operations */
#include "swage/layers.h"       /* a graph by its layers: parameters, work, shapes */
#include "swage/plan.h"         /* weights, memory, running */
#include "swage/recompute.h"    /* gradient checkpointing by its published names */
#include "swage/inference.h"    /* a network made ready to use, and timed */
#include "swage/tune.h"         /* measured choices between ways of running a step */
#include "swage/profile.h"      /* where the time of a plan goes */
#include "swage/costs.h"        /* does encoding pay before a link? */
#include "swage/swae.h"         /* the published networks */
#include "swage/kan.h"          /* images by Kolmogorov-Arnold layers */
#include "swage/unet.h"         /* a plain U-Net */
#include "swage/cyto.h"         /* microscopy: dynamic U-Net, super-resolution GAN */
#include "swage/cyto_vit.h"     /* images by transformers that learn without labels */
#include "swage/tfswa.h"        /* audio: stems of a mixture by attention on spectrograms */

/* ---- data, training, use ---- */
#include "swage/element.h"      /* types of stored numbers */
#include "swage/data.h"         /* from files to samples and back */
#include "swage/image.h"        /* PNG and TIFF, and how close two images are */
#include "swage/stack.h"        /* microscopy: time, channel, z, y, x */
#include "swage/image.h"        /* PNG and TIFF */
#include "swage/quality.h"      /* how close two images are */
#include "swage/audio.h"        /* songs in and out */
#include "swage/instances.h"    /* objects in images */
#include "swage/metrics.h"      /* errors of a reconstruction */
#include "swage/separation.h"   /* how well sources were separated */
#include "swage/config.h"       /* recipes and settings */
#include "swage/train.h"        /* a whole training run */
#include "swage/performance.h"  /* the published set-up of performance */
#include "swage/model.h"        /* a trained network */
#include "swage/quantise_model.h" /* it with weights of 8 bits */
#include "swage/evaluate.h"     /* its quality */
#include "swage/predict.h"      /* whole images through it, of any size */
#include "swage/separate.h"     /* songs into stems */
#include "swage/experiment.h"   /* recipe, training and prediction in a few calls */
#include "swage/example.h"      /* data made up for trying */
#include "swage/search.h"       /* many trained and compared */
#include "swage/folder.h"       /* a folder of files into latents and back */
#include "swage/safetensors.h"  /* named tensors in a file */

/* ---- compression ---- */
#include "swage/codec.h"        /* arrays within an error bound */
#include "swage/insitu.h"       /* the same between a simulation's own buffers, without allocating */
#include "swage/archive.h"      /* files in, files out */
#include "swage/diagram.h"      /* a network as a drawing */
#include "swage/report.h"       /* a page of tables and pictures */
#include "swage/plot.h"         /* pictures of a training run */

#ifdef __cplusplus
}
#endif

#endif
