/* recipe.h - from configuration keys to the structures the graph, the data layer and the optimiser take.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TRAIN_RECIPE_H
#define SWAGE_TRAIN_RECIPE_H

#include "swage/train.h"
#include "data/images.h"
#include "data/stems.h"
#include "data/volumes.h"
#include "swage/cyto.h"
#include "swage/cyto_vit.h"
#include "swage/kan.h"
#include "swage/tfswa.h"
#include "train/family.h"
#include "train/optimiser.h"
#include "train/schedule.h"

enum { SWG__EDGE_CENTER = 5, SWG__EDGE_FULL = 7 };

/* Settings of family swae. */
typedef struct swg__recipe_swae {
    swg_swae network;
    swg_swae_loss loss;
    int64_t edge;
    bool mirror;                    /* data.augment=flip */
} swg__recipe_swae;

/* Settings of family kan. */
typedef struct swg__recipe_kan {
    swg_kan_dae network;
    swg__noise noise;
    unsigned augment;
    int64_t tile;                   /* side of what the network sees */
    double ssim;                    /* weight of 1 - SSIM in the loss; 0: none */
    double regular;                 /* of the regularisation; curriculum: reached in the last epoch */
    bool curriculum;
    int64_t update_every;           /* steps between updates of the grids; 0: never */
} swg__recipe_kan;

/* Settings of family cyto. */
typedef enum swg__cyto_network { SWG__CYTO_UNET, SWG__CYTO_GAN, SWG__CYTO_MAE, SWG__CYTO_IWM, SWG__CYTO_VIT_UNET } swg__cyto_network;
typedef enum swg__cyto_loss { SWG__CYTO_DICE_CE, SWG__CYTO_BCE, SWG__CYTO_MSE, SWG__CYTO_MAE_LOSS } swg__cyto_loss;
enum { SWG__CYTO_HEADS = 4 };
typedef struct swg__cyto_head {
    char name[32], term[40];        /* term: of its loss in the log, "loss_NAME" */
    swg__cyto_loss loss;
    double weight;                  /* in the sum of losses */
    int64_t channels;
} swg__cyto_head;
typedef struct swg__recipe_cyto {
    swg__cyto_network network;
    int axes;                       /* spatial: 2 or 3 */
    int64_t patch[3];               /* z y x of the source; in 2-D z is 1 */
    swg__volume_key source, target[SWG__CYTO_HEADS];
    int64_t channels;               /* of the source */
    int targets, heads;             /* heads: of unet and vit-unet, each with its target; elsewhere 0 */
    swg__cyto_head head[SWG__CYTO_HEADS];
    swg_dynunet unet;
    swg_gan gan;
    swg_gan_weights gan_weights;
    swg_mae mae;                    /* of vit-unet, too */
    swg_iwm iwm;
    double teacher_momentum;        /* in the first epoch */
    char encoder_from[512];         /* "": nowhere */
} swg__recipe_cyto;

/* Settings of family tfswa. */
typedef struct swg__recipe_tfswa {
    swg_tfswa network;
    int stems, channels;            /* channels: 1 or 2, of all signals */
    char stem[SWG__STEMS_MOST][32];
    int64_t rate, segment;          /* Hz; samples of a training sample */
    int64_t n_fft, hop;
    bool wave;                      /* loss.name=wave; else mag */
    double mrstft;                  /* weight; 0: none */
    bool masks;                     /* augmentation hides bins or frames */
} swg__recipe_tfswa;

/* profiler.*: what a run looks at itself. */
typedef struct swg__recipe_profiler {
    bool time, memory;
    int64_t wait, warmup, active, repeat; /* steps of a cycle, cycles */
    int top;                        /* rows of a table */
} swg__recipe_profiler;

typedef struct swg__recipe {
    const swg__family *family;      /* whose settings below hold */
    swg__recipe_swae swae;
    swg__recipe_kan kan;
    swg__recipe_cyto cyto;
    swg__recipe_tfswa tfswa;
    swg__optimiser optimiser;
    swg__schedule schedule;
    bool schedule_by_step;
    int64_t batch;                  /* 0: auto */
    int64_t min_epochs, max_epochs, max_steps;  /* max_steps 0: no limit */
    int64_t train_batches, val_batches; /* of an epoch, of a validation; 0: all */
    int64_t validate_every;         /* epochs */
    int64_t log_every, eval_every, keep_every;
    int64_t accumulate;             /* micro-batches per step */
    bool accumulate_by_batches;     /* each counts the same, whatever its size */
    bool drop_last;
    int save_top;                   /* best checkpoints kept */
    int workers, prefetch;          /* threads that read ahead, batches each */
    uint64_t seed;
    bool fusion, channels_last, fused_optimiser, check_finite, skip_nonfinite, detect_anomaly;
    bool csv, tensorboard;          /* loggers */
    bool pictures;                  /* at the end, and every pictures_every epochs if that is not 0 */
    int64_t pictures_every;
    swg__recipe_profiler profiler;
    swg_plan_mode mode;
    double tune_seconds;            /* of max-autotune, per batch size */
    bool bf16;                      /* of the training step and the validation; a checkpoint that is opened computes as `inference` says */
    const char *provider;
    int inference;                  /* swg_inference: of plans with frozen weights */
    char keep_f32[512];             /* patterns with commas between */
    swg_recompute recompute;
    swg_recompute budget;           /* memory.budget; policy SWG_RECOMPUTE_DEFAULT: none */
    int64_t batch_multiple;         /* 0: powers of two */
    swg__early_stop early;
} swg__recipe;

/* Of an opened model: its recipe; the text its checkpoint keeps as "norm". */
const swg__recipe *swg__model_recipe(const swg_model *model);
const char *swg__model_note(const swg_model *model);
swg_context *swg__model_context(const swg_model *model);

/* "32" or "bf16-mixed". */
const char *swg__recipe_precision(const swg__recipe *recipe);
swg_status swg__recipe_read(swg_context *ctx, swg_config *config, swg__recipe *out);
/* performance.c: performance.* and trainer.precision, where the published names, if they are set, rule over ours. */
swg_status swg__recipe_performance(swg_config *config, swg__recipe *out);
/* What gradient_checkpointing says, or performance.gradient_checkpointing.* where that is set: "segments:4". */
void swg__recipe_recompute(swg_config *config, char *out, size_t capacity);
/* Options of the sample set of family swae; strings belong to the config. */
void swg__recipe_samples(swg_config *config, const swg__recipe *recipe, swg_samples_opts *out);
/* Opens what data.path, vars, layout and missing say. SWG_EUSAGE: no path. Errors as swg_source_open. */
swg_status swg__recipe_source(swg_context *ctx, swg_config *config, swg_source **out);
/* The same with another path. */
swg_status swg__recipe_source_at(swg_context *ctx, swg_config *config, const char *path, swg_source **out);

/* Names of the KAN layers in the weights, in the order of swg_kan_dae.kan, and of their share of values outside of the grid in the log. */
typedef struct swg__kan_layer { const char *layer, *outside; } swg__kan_layer;
extern const swg__kan_layer swg__kan_layers[SWG_KAN_DAE_LAYERS];

/* The images data.path and so on name; how a batch of them is drawn. Family kan. */
void swg__kan_images(swg_config *config, const swg__recipe *recipe, swg__images_opts *out);
void swg__kan_draw(const swg__recipe *recipe, const swg__draw *draw, swg__images_draw *out);

/* The data set of family cyto as configured. Texts belong to the config; targets has room for SWG__CYTO_HEADS. */
swg_status swg__cyto_volumes(swg_context *ctx, swg_config *config, const swg__recipe *recipe, const char **targets, swg__volumes_opts *out);
swg_status swg__cyto_path(swg_context *ctx, const swg__volumes_opts *opts);     /* SWG_EUSAGE: data.path is not set */

/* Family tfswa: frames of so many samples; the network in use on a wave (B, channels, samples): the stems (B, stems, channels, samples). */
int64_t swg__tfswa_frames(const swg__recipe_tfswa *recipe, int64_t samples);
swg_value swg__tfswa_stems(const swg__recipe_tfswa *recipe, swg_graph *g, swg_value wave);
/* Its songs as configured; lists holds texts of out. SWG_EUSAGE: data.path is not set. */
typedef struct swg__tfswa_lists { char stems[512], leave_out[8192], valid[8192]; } swg__tfswa_lists;
swg_status swg__tfswa_songs(swg_context *ctx, swg_config *config, const swg__recipe *recipe, swg__tfswa_lists *lists, swg__stems_opts *out);

/* A list of texts with commas between. SWG_EUSAGE: too long. */
swg_status swg__recipe_join(swg_context *ctx, swg_config *config, const char *key, char *out, size_t capacity);

/* How the recipe's plans are made; frozen: for inference. */
swg_plan_opts swg__recipe_plan_opts(const swg__recipe *recipe, const swg_value *outputs, int output_count, bool frozen);

/* Graph of one training step or of a validation pass over `batch` samples. */
swg_status swg__step_graph_build(swg_context *ctx, const swg__recipe *recipe, int64_t batch, bool training, swg__step_graph *out);

#endif
