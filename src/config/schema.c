/* schema.c - the table of all settings, their aliases and the groups of recipe files.
 * In: nothing. Out: constant tables; check.c holds values against them, and help is printed from them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "config/schema.h"

const swg__config_key swg__config_table[] = {
    {"run.dir", SWG__STRING, "runs", "", "", "folder that holds the run folders"},
    {"run.name", SWG__STRING, "null", "", "", "name of the run folder; null: recipe, date and time"},
    {"resume", SWG__STRING, "none", "", "", "none, auto (go on where the run folder stopped), or the path of a checkpoint"},

    {"data.path", SWG__STRING, "null", "", "", "family swae: HDF5 file, or folder whose *.h5 and *.hdf5 are read in order of name; kan: image folder, CSV with a column Image, list or image; cyto: CSV with columns of paths, folder of train.csv, valid.csv ..., folder of stacks, or a stack; tfswa: folder of songs, each a folder of stems"},
    {"data.vars", SWG__STRING_LIST, "[\"U_*\"]", "", "", "variables to take, with * and ?"},
    {"data.layout", SWG__CHOICE, "auto", "", "auto vars blocks grid", "how variables lie in the files"},
    {"data.block", SWG__CHOICE, "center", "", "center tile full", "which values of a 7x7x7 block are taken"},
    {"data.norm", SWG__CHOICE, "pos_log", "",
     "pos_log block_scale scaleitup pos_log_std minmax zscore robust asinh symlog adaptive none", "normalisation before the network"},
    {"data.constant", SWG__CHOICE, "bypass", "", "bypass include", "blocks whose values are all equal: stored exactly, or trained on"},
    {"data.nonfinite", SWG__CHOICE, "error", "", "error raw zero", "NaN or infinity: stop; raw: store such blocks as they are (swae); zero: replace and count them (images)"},
    {"data.missing", SWG__CHOICE, "error", "", "error skip", "variable that some of the files lack"},
    {"data.split", SWG__CHOICE, "random", "", "random by-file by-time by-group",
     "what is held back for validation and test; by-group keeps all images of one data.group together"},
    {"data.test_from", SWG__FLOAT, "null", "time", "[-1e300,1e300]",
     "samples of this time or later are the test part; data.split then divides the earlier ones into training and validation"},
    {"data.batch_size", SWG__INT, "256; model.family=kan:auto; model.family=cyto:1; model.family=tfswa:1", "samples", "[1,16777216] auto", "blocks or images per micro-batch; auto: the largest that fits"},
    {"data.batch_multiple", SWG__INT, "null", "samples", "[1,65536]", "batch_size=auto: only multiples of this; null: powers of two"},
    {"data.workers", SWG__INT, "auto", "threads", "[0,64] auto",
     "threads that read ahead; 0: batches are read between steps; auto: 0 for blocks, which are in memory, 1 for images, half of the processors (2 to 8) for stacks, 1 for songs. Results do not depend on it"},
    {"data.prefetch", SWG__INT, "2", "batches", "[1,64]", "batches read ahead per worker; their memory is allocated before the run"},
    {"data.persistent_workers", SWG__BOOL, "true", "", "", "published name: loader threads always stay for the whole run, and rest between epochs"},
    {"data.augment", SWG__STRING, "none", "", "",
     "training samples, anew every epoch: none; flip: mirrored along each axis with probability 1/2; images also rot90, stain, as in flip,rot90,stain; songs stretch, pitch, gain, fmask, tmask, mixup, remix, or all (but remix)"},
    {"data.drop_last", SWG__BOOL, "false", "", "", "leave out the last, shorter batch of an epoch (other samples each epoch)"},
    {"data.column", SWG__STRING, "Image", "", "", "column of a CSV that holds the paths"},
    {"data.size", SWG__CHOICE, "error", "", "error crop resize tile",
     "images larger than a tile: stop; a window, random in training; scaled; cut into all their tiles"},
    {"data.tile", SWG__INT, "128", "pixels", "[8,16384]", "side of what the network sees; divisible by 8"},
    {"data.overlap", SWG__INT, "0", "pixels", "[0,16383]", "of neighbouring tiles, data.size=tile"},
    {"data.small", SWG__CHOICE, "error", "", "error pad", "images smaller than a tile: stop, or reflect them at their high end"},
    {"data.scale", SWG__FLOAT, "null", "", "(0,1e30]", "value = stored number times this; null: 1/255 of 8 bits, 1/65535 of 16, floats as they are"},
    {"data.unreadable", SWG__CHOICE, "error", "", "error skip", "images that cannot be read: stop, or name and leave out"},
    {"data.group", SWG__STRING, "null", "", "", "data.split=by-group: column of the CSV, or folder, whose images stay together (a patient, a slide)"},
    {"data.cache", SWG__CHOICE, "memory", "", "memory disk none", "images: held in memory, computed once and kept on disk (cyto), or read again for every batch"},
    {"data.cache_dir", SWG__STRING, "null", "", "", "cyto: folder of what was computed; null: none, for data.cache=disk .swage-cache beside data.path"},
    {"data.cache_bytes", SWG__INT, "null", "bytes", "[1,1125899906842624]", "cyto, tfswa: most memory for images or songs that are kept; null: half of what the system would give"},
    {"data.source", SWG__STRING, "raw normalise", "", "", "what the network sees: column, then channel=, z=, zoom=, normalise, ...: docs/cyto.md, Data"},
    {"data.target", SWG__STRING_LIST, "null", "", "", "what it is to predict, one text per head, as data.source; mae has none"},
    {"data.labels", SWG__STRING, "null", "", "", "eval: label images that predicted objects are scored against, as data.target"},
    {"data.patch", SWG__INT_LIST, "null", "voxels", "[1,4096]", "extents of a training patch, z y x or y x; null: 16 32 32, 64 64, of mae and iwm 16 16 16, 16 16"},
    {"data.z", SWG__INT, "38", "planes", "[0,1048575]", "model.spatial_dims=2: the plane taken of a stack with several, where the key's text does not say"},
    {"data.crops", SWG__INT, "1", "", "[1,1048576]", "patches of an image per epoch"},
    {"data.pad", SWG__CHOICE, "none", "", "none reflect zero", "images smaller than the patch: an error, or padded to it"},

    {"data.stems", SWG__STRING_LIST, "null", "", "", "tfswa: stems to separate, names of files; \"other\" with fewer than all: the sum of the rest; null: vocals, and other for model.out=4, "
     "vocals drums bass other for 8"},
    {"data.rate", SWG__INT, "44100", "Hz", "[1000,768000]", "tfswa: samples a second that the network is made for"},
    {"data.resample", SWG__BOOL, "false", "", "", "tfswa: files of other rates are resampled; false: an error"},
    {"data.channels", SWG__INT, "null", "", "[1,2]", "tfswa: 1: songs as the mean of their channels; 2: stereo, mono songs twice; null: model.in / 2"},
    {"data.segment", SWG__INT, "132300", "samples", "[1,1073741824]", "tfswa: length of a training sample"},
    {"data.segments_per_track", SWG__INT, "10", "", "[1,1048576]", "tfswa: training samples of a song per epoch"},
    {"data.mixture", SWG__CHOICE, "sum", "", "sum file", "tfswa: the mixture is the sum of the stems; or the file beside them, which is compared with the sum"},
    {"data.trim", SWG__BOOL, "false", "", "", "tfswa: stems of different lengths are cut to the shortest; false: an error"},
    {"data.min_mean_abs", SWG__FLOAT, "1e-3", "", "[0,1]", "tfswa: training samples quieter than this are drawn again, up to ten times"},
    {"data.valid_list", SWG__STRING_LIST, "null", "", "", "tfswa: songs held back for validation; null: data.valid_fraction of them, drawn by trainer.seed"},
    {"data.valid_fraction", SWG__FLOAT, "0.14", "", "[0,1)", "tfswa: of the songs that are not test, at least one; 0: no validation"},
    {"data.leave_out", SWG__STRING_LIST, "null", "", "", "tfswa: songs that are the test part and neither trained nor validated on"},
    {"data.n_fft", SWG__INT, "2048", "samples", "[2,1048576]", "tfswa: frame of the short-time Fourier transform"},
    {"data.hop", SWG__INT, "512", "samples", "[1,1048576]", "tfswa: samples from frame to frame"},

    {"task", SWG__CHOICE, "denoise", "", "denoise autoencode", "family kan: restore clean images from noisy ones, or images from themselves"},
    {"noise.name", SWG__CHOICE, "rect+gauss; task=autoencode:none", "", "none gauss rect rect+gauss poisson saltpepper",
     "noise on the input: normal numbers, a black rectangle that grows over the epochs, both, counts, black and white pixels"},
    {"noise.sigma", SWG__FLOAT, "0.2", "", "[0,1e3]", "gauss: standard deviation; values are in [0,1]"},
    {"noise.peak", SWG__FLOAT, "30", "counts", "(0,1e9]", "poisson: counts at value 1"},
    {"noise.amount", SWG__FLOAT, "0.05", "", "[0,1]", "saltpepper: share of pixels"},
    {"noise.clip", SWG__BOOL, "false", "", "", "cut noisy values to [0,1]"},
    {"split.rng", SWG__CHOICE, "numpy-legacy", "", "numpy-legacy philox", "generator of the random split; numpy-legacy is the published one"},

    {"model.family", SWG__CHOICE, "swae", "", "swae kan cyto tfswa",
     "swae: autoencoders of simulation blocks; kan: autoencoders of images with Kolmogorov-Arnold layers; cyto: networks of microscopy; tfswa: separation of music"},
    {"model.name", SWG__CHOICE, "mlp; model.family=kan:dae; model.family=cyto:unet; model.family=tfswa:unet", "", "mlp gmlp conv conv-opt conv7 dae dae-plain dae-opt unet gan mae iwm ijepa vit-unet small",
     "network. swae: linear layers, gated linear units, convolutions as published, without batch norm, and for 7x7x7 blocks. kan: dae as published, dae-opt, dae-plain without KAN layers"},
    {"model.hidden", SWG__INT_LIST, "[512]", "", "[1,65536]", "widths of the encoder's hidden layers, of its GLU blocks, or channels of its stages; the decoder mirrors them"},
    {"model.act", SWG__CHOICE, "gelu", "", "gelu relu silu tanh gdn",
     "activation after every layer or stage but the last; gdn: divisive normalisation, its inverse in the decoder"},
    {"model.latent", SWG__INT, "16", "", "[1,65536]", "numbers per block after encoding"},
    {"model.latent_quant", SWG__CHOICE, "none", "", "none int8",
     "int8: latents are codes -127 to 127 times one scale per vector, in training, too, with straight-through gradients"},
    {"model.channels", SWG__INT_LIST, "[384, 128, 64, 16]", "", "[1,65536]", "dae: channels at 1/2, 1/4 and 1/8 of the side, and of z"},
    {"model.bias", SWG__BOOL, "true; model.name=dae-opt:false", "", "", "dae: biases in convolutions that a batch norm follows"},
    {"model.eca", SWG__BOOL, "false; model.name=dae-opt:true", "", "", "dae: channel attention after the KAN layers of encoder and decoder"},
    {"model.dropout", SWG__FLOAT, "0; model.name=dae-opt:0.1", "", "[0,1)", "dae: share of channels dropped after the KAN layers of encoder and decoder"},
    {"model.residual", SWG__BOOL, "false; model.name=dae-opt:true", "", "", "dae: the decoder adds the encoder's features, too; z alone does not decode then"},
    {"model.bam_norm", SWG__CHOICE, "batch", "", "batch eval", "attention: statistics of the batch, or the running ones, which also serve a batch of one"},
    {"model.spatial_dims", SWG__INT, "3", "", "[2,3]", "images or volumes"},
    {"model.filters", SWG__INT_LIST, "[16, 32, 64]", "", "[1,4096]", "unet, gan: channels per level; every level after the first halves the extents"},
    {"model.heads", SWG__STRING_LIST, "null", "", "",
     "unet: a head per data.target, as \"seg loss=dice_ce weight=1\"; null: named as the columns, with loss.name"},
    {"model.head.act", SWG__CHOICE, "none", "", "none tanh", "gan: last activation of the generator"},
    {"model.head.kind", SWG__CHOICE, "published", "", "published subpixel",
     "gan: one channel enlarged, then convolved; or all features to voxels, added to the source enlarged"},
    {"model.scale", SWG__INT, "4", "", "[1,16]", "gan: extents of the target over those of the source"},
    {"model.discriminator", SWG__INT_LIST, "[1, 16, 1]", "", "[1,1024] #3", "gan: strided layers, filters and scales of the patch discriminator"},
    {"model.patch", SWG__INT, "2", "voxels", "[1,64]", "mae, iwm, vit-unet: side of a token"},
    {"model.dim", SWG__INT, "16", "", "[1,4096]", "mae, iwm, vit-unet: embedding of a token"},
    {"model.depth", SWG__INT, "2; model.name=iwm:1; model.name=ijepa:1", "", "[1,64]", "mae, iwm, vit-unet: blocks of the encoder"},
    {"model.mask_ratio", SWG__FLOAT, "0.75", "", "(0,1)", "mae: share of tokens that are masked"},
    {"model.context", SWG__INT, "0", "voxels", "[0,64]", "mae: what a token sees around itself"},
    {"model.crossmae", SWG__BOOL, "true", "", "", "mae: decoder by cross-attention; false: by self-attention over all tokens"},
    {"model.weigher", SWG__CHOICE, "all", "", "all published", "mae: which block outputs the decoder sees; published: input and all but the last"},
    {"model.decoder_dim", SWG__INT, "192", "", "[1,4096]", "mae: width of the decoder"},
    {"model.domains", SWG__STRING_LIST, "[\"SEC61B\"]", "", "", "iwm: names of the target domains, each with an embedding"},
    {"model.teacher_momentum", SWG__FLOAT, "0.998", "", "[0,1]", "iwm: share of the old teacher in the first epoch; goes to 1 in the last"},
    {"model.encoder_from", SWG__STRING, "null", "", "", "vit-unet: run or checkpoint of family cyto, name mae, whose encoder training begins with"},

    {"model.in", SWG__INT, "2", "channels", "[2,4]", "tfswa: 2: mono, 4: stereo; real and imaginary parts of each channel's spectrum"},
    {"model.out", SWG__INT, "null", "channels", "[2,64]", "tfswa: two for each stem; null: as data.stems has it, or 2"},
    {"model.depths", SWG__INT_LIST, "[2, 2, 6, 2]; model.name=small:[1, 1, 1, 1]", "blocks", "[1,64]", "tfswa: of the encoder's stages, which the decoder mirrors, then of the bottleneck"},
    {"model.dims", SWG__INT_LIST, "[32, 64, 128, 256]; model.name=small:[16, 32, 64, 128]", "channels", "[1,8192]", "tfswa: of the stages"},
    {"model.window", SWG__INT, "8; model.name=small:4", "bins", "[1,64]", "tfswa: side of an attention window"},
    {"model.shift", SWG__INT, "4; model.name=small:2", "bins", "[0,63]", "tfswa: of the windows in every second block of a stage"},
    {"model.attention_heads", SWG__INT, "8; model.name=small:4", "", "[1,1024]", "tfswa: heads of each attention"},
    {"model.mlp_ratio", SWG__INT, "4; model.name=small:2", "", "[1,64]", "tfswa: hidden width of the linear layers after an attention, over the stage's"},
    {"model.mask", SWG__CHOICE, "sigmoid", "", "sigmoid published complex",
     "tfswa: a mask in (0, 1) per channel; as published, which cannot silence a bin; a complex factor"},
    {"model.window_mask", SWG__CHOICE, "false", "", "false shift all", "tfswa: shifted windows do not look across the edge; nor at padding; false: as published"},
    {"model.attn", SWG__CHOICE, "tiled", "", "tiled !naive", "tfswa: published name: attention never stores a matrix of scores"},
    {"model.axes", SWG__STRING_LIST, "[\"f\", \"t\"]", "", "", "tfswa: names of the axes behind the channels: frequency, time"},

    {"kan.grid_size", SWG__INT, "3; model.name=dae-opt:5", "intervals", "[1,64]", "KAN layers of encoder and decoder: intervals of the grid"},
    {"kan.spline_order", SWG__INT, "2; model.name=dae-opt:3", "", "[1,7]", "order of their splines"},
    {"kan.low", SWG__FLOAT, "-1", "", "[-1e6,1e6]", "start of the grid"},
    {"kan.high", SWG__FLOAT, "1", "", "[-1e6,1e6]", "its end; outside, splines fade to 0"},
    {"kan.base", SWG__CHOICE, "silu-then-conv; model.name=dae-opt:conv-then-silu", "", "silu-then-conv conv-then-silu", "order of the base branch"},
    {"kan.scaler", SWG__CHOICE, "edge; model.name=dae-opt:channel", "", "edge channel none", "factors of the splines: per edge, per output channel, none"},
    {"kan.init", SWG__CHOICE, "noise-fit; model.name=dae-opt:kaiming", "", "noise-fit kaiming", "first coefficients: splines through noise, or uniform numbers"},
    {"kan.scale_base", SWG__FLOAT, "1", "", "(0,1e6]", "noise-fit: a larger one gives smaller base weights"},
    {"kan.scale_spline", SWG__FLOAT, "1", "", "(0,1e6]", "noise-fit: size of the first coefficients where there is no scaler"},
    {"kan.update_every", SWG__INT, "null", "steps", "[1,1000000000]", "move the knots to where the data lie, every so many steps; null: never"},
    {"gradient_checkpointing", SWG__STRING, "none", "", "",
     "what backward computes again to save memory: none (what comes cheaply), off, free, attention, blocks (or true), kan, segments:N, budget:60%"},
    {"memory.budget", SWG__STRING, "null", "", "",
     "largest memory of a training run: 2GiB, or 60% of the default plan's; met by recomputation, or by the batch if that is auto"},

    {"codec.models", SWG__STRING_LIST, "null", "", "",
     "train models of the error-bounded codec in place of a network: stencil, law, ... (`swage train codec/NAME`); null: the network of model.*"},
    {"codec.bound", SWG__STRING, "rel:1e-4", "", "", "bound that codec models are trained for, as compress -e takes it; they serve bounds within a factor of 2"},
    {"codec.seconds", SWG__FLOAT, "null", "s", "(0,1e6]",
     "time for each kind of codec model and variable; null: a number of steps, and then the models depend on data and trainer.seed only"},

    {"loss.name", SWG__CHOICE, "mse; model.family=tfswa:mag", "", "mse log relative robust mse+ssim dice_ce bce mae mag wave",
     "swae: mse, log, relative or robust, and the sliced-Wasserstein term; kan: mse or mse+ssim; cyto: dice_ce, bce, mse or mae; tfswa: mag or wave, mean "
     "absolute difference of magnitudes or of samples"},
    {"loss.ssim", SWG__FLOAT, "0.1", "", "[0,1e6]", "mse+ssim: weight of 1 - SSIM"},
    {"loss.mrstft", SWG__FLOAT, "0", "", "[0,1e6]", "tfswa: weight of the multi-resolution loss of spectra, 2048, 1024 and 512 samples"},
    {"loss.adversarial", SWG__FLOAT, "1", "", "[0,1e6]", "gan: weight of what the discriminator says of the fake"},
    {"loss.features", SWG__FLOAT, "10", "", "[0,1e6]", "gan: weight of the difference of the discriminator's features"},
    {"loss.pixels", SWG__FLOAT, "100", "", "[0,1e6]", "gan: weight of the mean square error"},
    {"loss.kan", SWG__FLOAT, "0", "", "[0,1e6]", "weight of the KAN regularisation, magnitude plus entropy of the coefficients"},
    {"loss.kan_curriculum", SWG__BOOL, "false", "", "", "raise that weight from 0 in the first epoch to loss.kan in the last"},
    {"loss.kind", SWG__CHOICE, "logcosh", "", "logcosh huber mae", "form of the robust loss"},
    {"loss.lambda", SWG__FLOAT, "1.0; model.name=gmlp:1.2; model.name=conv:0.9; model.name=conv-opt:0.9; model.name=conv7:10; loss.name=log:0.1", "",
     "[0,1e6]", "weight of the sliced-Wasserstein term"},
    {"loss.directions", SWG__INT, "50", "", "[1,65536]", "random directions of the sliced-Wasserstein term"},
    {"loss.log", SWG__BOOL, "true", "", "", "log loss: take logarithms of the two terms"},
    {"loss.scale", SWG__FLOAT, "1000", "", "(0,1e12]", "log loss: factor before the logarithm"},

    {"trainer.max_epochs", SWG__INT, "80; model.family=cyto:100; model.family=tfswa:300", "epochs", "[1,1000000]", "passes over the training blocks"},
    {"trainer.min_epochs", SWG__INT, "1", "epochs", "[0,1000000]", "early stopping ends no run before so many"},
    {"trainer.max_steps", SWG__INT, "null", "steps", "[1,1000000000000]", "stop after so many optimiser steps; null: no such limit"},
    {"trainer.precision", SWG__CHOICE, "32", "", "32 f32>32 bf16-mixed bf16>bf16-mixed 16 fp16>16 16-mixed>16 !64 !f64 !tf32 !tf32-emulate",
     "training step: 32, or activations and products in bf16 with weights, sums, statistics and losses in f32; 16 has no path on a processor: 32 is used"},
    {"trainer.seed", SWG__INT, "42; model.family=cyto:12345", "", "[0,9223372036854775807]", "seed of weights, shuffles, directions and the random split"},
    {"trainer.threads", SWG__INT, "auto", "threads", "[1,4096] auto", "auto: as many as the machine allows; results do not depend on it"},
    {"trainer.accelerator", SWG__CHOICE, "auto", "", "auto cpu gpu cuda>gpu", "where a run computes; gpu: this build has none, the run says so and uses the processor"},
    {"trainer.devices", SWG__STRING, "auto", "", "", "auto, cpu or 0: this machine; a list as 0,1 is for data-parallel runs, which this build cannot do yet"},
    {"trainer.clip_norm", SWG__FLOAT, "1.0; model.family=cyto:0", "", "[0,1e12]", "largest norm of all gradients together; 0: no clipping"},
    {"trainer.gradient_clip_algorithm", SWG__CHOICE, "norm", "", "norm !value", "published name: how trainer.clip_norm (gradient_clip_val) cuts"},
    {"trainer.accumulate", SWG__INT, "1", "batches", "[1,1000000]", "micro-batches whose gradients are added up for one optimiser step"},
    {"trainer.accumulate_by", SWG__CHOICE, "samples", "", "samples batches", "what a micro-batch counts: its blocks, or each the same"},
    {"trainer.log_every", SWG__INT, "50", "steps", "[1,1000000000]", "distance of log lines"},
    {"trainer.eval_every", SWG__INT, "10; model.family=cyto:1; model.family=tfswa:1", "epochs", "[1,1000000]", "distance of full evaluations of the reconstruction"},
    {"trainer.check_val_every_n_epoch", SWG__INT, "1", "epochs", "[1,1000000]", "distance of validations; the last epoch has one, too"},
    {"trainer.limit_train_batches", SWG__INT, "null", "batches", "[1,1000000000]", "an epoch ends after so many; null: after all samples"},
    {"trainer.limit_val_batches", SWG__INT, "null", "batches", "[1,1000000000]", "a validation looks at the first so many; null: at all samples"},
    {"trainer.check_finite", SWG__BOOL, "true", "", "", "stop when the validation loss is NaN, or after ten skipped steps in a row"},
    {"trainer.nonfinite", SWG__CHOICE, "stop", "", "stop skip", "batch whose loss is NaN or infinite"},
    {"trainer.detect_anomaly", SWG__BOOL, "false", "", "", "look for the first value of a step that is not finite, and name its layer when the run stops; slower"},
    {"trainer.deterministic", SWG__BOOL, "true", "", "", "published name: a run is always deterministic, on any number of threads"},

    {"early_stopping.enabled", SWG__BOOL, "true", "", "", "stop when the validation loss no longer falls"},
    {"early_stopping.patience", SWG__INT, "40; model.family=cyto:100; model.family=tfswa:100", "validations", "[1,1000000]", "validations without improvement before the stop"},
    {"early_stopping.min_delta", SWG__FLOAT, "1e-4; model.family=cyto:0; model.family=tfswa:0", "", "[0,1e6]", "smallest fall that counts as improvement"},
    {"checkpoint.every", SWG__INT, "20; model.family=cyto:100", "epochs", "[1,1000000]", "distance of the kept checkpoints"},
    {"checkpoint.save_top_k", SWG__INT, "1", "", "[0,8]",
     "how many of the best checkpoints are kept: best, and with more than one the k best as top-EPOCH; 0: only last"},

    {"image_saver.enabled", SWG__BOOL, "true", "", "", "families with pictures of samples write them into the run folder when training ends"},
    {"image_saver.every", SWG__INT, "null", "epochs", "[1,1000000]", "and every so many epochs, of the best checkpoint so far"},

    {"logger.name", SWG__CHOICE, "csv", "", "csv tensorboard all none", "csv: metrics.csv; tensorboard: event files; log.jsonl is always written"},

    {"profiler.name", SWG__CHOICE, "none", "", "none time memory",
     "time: record training steps and write trace.json and profile.html; memory: write what lives at the peak of a step, planned and measured, to memory.html"},
    {"profiler.wait", SWG__INT, "1", "steps", "[0,1000000]", "of a cycle: steps that are not looked at"},
    {"profiler.warmup", SWG__INT, "1", "steps", "[0,1000000]", "then steps that are recorded and forgotten again"},
    {"profiler.active", SWG__INT, "3", "steps", "[1,1000]", "then steps that are kept"},
    {"profiler.repeat", SWG__INT, "2", "cycles", "[1,1000]", "such cycles"},
    {"profiler.top", SWG__INT, "15", "rows", "[1,100000]", "of each table"},

    {"optimizer.name", SWG__CHOICE, "adam", "", "adam adam_fused adamw adamw_fused sgd", "*_fused: in one pass over the parameters whatever performance.fused_optimizer says"},
    {"optimizer.lr", SWG__FLOAT, "2e-4", "", "(0,1e3]", "learning rate"},
    {"optimizer.betas", SWG__FLOAT_LIST, "[0.9, 0.999]", "", "[0,1) #2", "decay of the first and second moment"},
    {"optimizer.eps", SWG__FLOAT, "1e-8", "", "(0,1]", "added to the root of the second moment"},
    {"optimizer.weight_decay", SWG__FLOAT, "0; optimizer.name=adamw:0.01; optimizer.name=adamw_fused:0.01", "", "[0,1e3]",
     "decoupled for adamw, added to the gradient for adam and sgd"},
    {"optimizer.amsgrad", SWG__BOOL, "false", "", "", "adam, adamw: divide by the largest second moment so far"},
    {"optimizer.momentum", SWG__FLOAT, "0.9", "", "[0,1)", "sgd: momentum; 0 keeps no moment"},
    {"optimizer.nesterov", SWG__BOOL, "false", "", "", "sgd: Nesterov's form of the momentum"},
    {"optimizer.groups", SWG__STRING_LIST, "null", "", "",
     "parameters with a learning rate factor or weight decay of their own: [\"*.bias wd=0\", \"encoder.* lr=0.1\"]; the first that fits holds"},
    {"ema.momentum", SWG__FLOAT, "null", "", "[0,1]", "keep a running average of the weights: share of the old one, e.g. 0.998; null: no average"},
    {"ema.course", SWG__CHOICE, "ramp", "", "ramp constant", "ramp: from ema.momentum in the first epoch towards 1 in the last"},
    {"ema.validate", SWG__BOOL, "false", "", "", "validate, choose the best and open as a model the average in place of the weights"},
    {"scheduler.name", SWG__CHOICE, "step", "", "none step exponential cosine plateau onecycle", "course of the learning rate"},
    {"scheduler.step", SWG__INT, "30", "counts", "[1,1000000000]", "step: counts between two reductions"},
    {"scheduler.gamma", SWG__FLOAT, "0.5; scheduler.name=exponential:0.995; scheduler.name=plateau:0.7", "", "(0,1]",
     "step, exponential, plateau: factor of a reduction"},
    {"scheduler.min_lr", SWG__FLOAT, "0; scheduler.name=plateau:1e-5", "", "[0,1e3]", "cosine: learning rate at the end; plateau: the least"},
    {"scheduler.patience", SWG__INT, "2", "validations", "[0,1000000]", "plateau: validations in a row that may be no better"},
    {"scheduler.cooldown", SWG__INT, "0", "validations", "[0,1000000]", "plateau: validations after a reduction that do not count"},
    {"scheduler.threshold", SWG__FLOAT, "1e-4", "", "[0,1)", "plateau: relative fall of the validation loss that counts as better"},
    {"scheduler.pct_start", SWG__FLOAT, "0.1", "", "[0,1]", "onecycle: share of the run on the way up to optimizer.lr"},
    {"scheduler.cycle_momentum", SWG__BOOL, "true", "", "", "onecycle: move beta1, or the momentum of sgd, 0.95 to 0.85 to 0.95"},
    {"scheduler.warmup", SWG__INT, "0", "counts", "[0,1000000000]", "counts of linear rise at the start, with any schedule"},
    {"scheduler.interval", SWG__CHOICE, "epoch; scheduler.name=cosine:step", "", "epoch step", "what a count is; plateau counts epochs only"},

    {"performance.mode", SWG__CHOICE, "default", "", "default reduce-overhead max-autotune",
     "how a step runs: default; with as few calls to the threads as can be, which stay awake; that, and kernels run as measured on this machine. Results "
     "are the same, bit for bit"},
    {"performance.isa", SWG__CHOICE, "auto", "", "auto"
#define ISA(id, name, fast, like, int8) " " #name
#include "isa.def"
#undef ISA
     , "instruction set; auto: the best of this machine"},
    {"performance.provider", SWG__CHOICE, "swage", "", "swage onednn", "whose matrix kernels run"},
    {"performance.fusion", SWG__BOOL, "true", "", "", "fuse element-wise operations into the contractions"},
    {"performance.channels_last", SWG__BOOL, "true", "", "", "keep activations channels-last between convolutions; false: a permute on either side"},
    {"performance.fused_optimizer", SWG__BOOL, "true", "", "", "adam, adamw: the whole update in one pass over the parameters; false: a pass per quantity"},
    {"performance.tune_seconds", SWG__FLOAT, "20", "s", "(0,86400]", "max-autotune: most time to measure a batch size; what is known costs nothing"},
    {"performance.autotune", SWG__BOOL, "null", "", "", "published name: true: kernels run as measured, as in mode max-autotune; false: as the heuristics say"},
    {"performance.tf32", SWG__BOOL, "null", "", "", "published name: TF32 of a GPU; a processor has none, f32 products stay f32"},
    {"performance.matmul_precision", SWG__CHOICE, "null", "", "highest high medium", "published name: highest, high: f32; medium: bf16, as trainer.precision=bf16-mixed"},
    {"performance.compile.enabled", SWG__BOOL, "null", "", "", "published name: true: performance.fusion, and compile.mode as performance.mode; false: neither"},
    {"performance.compile.mode", SWG__CHOICE, "null", "", "default reduce-overhead max-autotune", "published name: performance.mode, where compile.enabled is true"},
    {"performance.compile.fullgraph", SWG__BOOL, "null", "", "", "published name: a plan is always of the whole step"},
    {"performance.compile.dynamic", SWG__BOOL, "null", "", "", "published name: plans have fixed shapes, one per batch size"},
    {"performance.cuda_graphs.enabled", SWG__BOOL, "null", "", "", "published name: record the calls of a step once and replay them, as in mode reduce-overhead"},
    {"performance.cuda_graphs.warmup_iterations", SWG__INT, "null", "steps", "[0,1000]", "published name: a plan needs no warm-up before it is recorded"},
    {"performance.gradient_checkpointing.enabled", SWG__BOOL, "null", "", "", "published name: true: gradient_checkpointing=segments"},
    {"performance.gradient_checkpointing.checkpoint_segments", SWG__INT, "null", "segments", "[1,1000000]", "published name: their number; null: the root of the number of operations"},

    {"inference.precision", SWG__CHOICE, "f32", "", "f32 32>f32 bf16 int8 fp8 fp8-activations",
     "arithmetic of a model that is opened to be used: f32; bf16; int8 weights and activations; fp8 weights; fp8 weights and activations (emulated)"},
    {"inference.keep_f32", SWG__STRING_LIST, "null", "", "", "inference.precision: layers that stay f32, with * and ?: [\"decoder.fc2\"]"},

    {"metric.floor", SWG__CHOICE, "none", "", "none published", "tfswa, eval: ratios below 1e-10 count as 1e-10, as published; none: silence has no figure"},

    {"predict.input", SWG__STRING, "null", "", "", "image, or folder, CSV or list of images"},
    {"predict.output", SWG__STRING, "null", "", "", "image to write, .png or .tif; of several images the folder"},
    {"predict.latent", SWG__STRING, "null", "", "", ".npy file for the latents; of several images the folder"},
    {"predict.overlap", SWG__FLOAT, "0.25; model.family=cyto:0", "", "[0,1)", "share of a tile that neighbouring tiles have in common, for images larger than a tile"},
    {"predict.blend", SWG__CHOICE, "gaussian", "", "gaussian constant", "weight of a tile: largest in its middle, or the same everywhere"},
    {"predict.batch", SWG__INT, "4; model.family=cyto:1", "tiles", "[1,65536]", "tiles at a time; results do not depend on it"},
    {"predict.roi", SWG__INT_LIST, "null", "voxels", "[0,65536]", "cyto: extents of a window, z y x or y x; 0: the whole axis; null: the training patch"},
    {"predict.box", SWG__INT_LIST, "null", "voxels", "[0,1000000000] #6", "cyto: z0 z1 y0 y1 x0 x1; windows outside are left out"},
    {"predict.type", SWG__CHOICE, "auto", "", "auto u8 u16 f32", "cyto: numbers of the files; auto: u8 for masks and targets in [-1, 1], else f32"},
    {"predict.scale", SWG__CHOICE, "fixed", "", "fixed minmax", "cyto: [0, 1] or [-1, 1] to the range of integers, or each image from its least to its largest value"},
    {"predict.threshold", SWG__FLOAT, "null", "", "[-1e30,1e30]", "cyto: values above it become the largest of the type, others 0"},
    {"predict.instances", SWG__BOOL, "false", "", "", "cyto: label images of the objects in predicted masks, by watershed"},
    {"predict.min_size", SWG__INT, "0", "voxels", "[0,1000000000]", "cyto, objects: smaller ones are removed"},
    {"predict.min_depth", SWG__FLOAT, "0.75", "voxels", "[0,1e6]", "cyto, objects: depth of the neck of the distance transform that separates two"},
    {"predict.existing", SWG__CHOICE, "auto", "", "auto error skip replace", "outputs that are there: auto skips them in folders and stops for single files"},

    {"paths.*", SWG__STRING, "null", "", "", "names of your own, for use as ${paths.NAME}"},
};
const int64_t swg__config_table_size = (int64_t)(sizeof swg__config_table / sizeof *swg__config_table);

const swg__config_alias swg__config_aliases[] = {
    {"trainer.epochs", "trainer.max_epochs"},
    {"num_workers", "data.workers"},
    {"data.num_workers", "data.workers"},
    {"persistent_workers", "data.persistent_workers"},
    {"compile_model", "performance.compile.enabled"},
    {"compile_mode", "performance.compile.mode"},
    {"model.compile_model", "performance.compile.enabled"},
    {"model.compile_mode", "performance.compile.mode"},
    {"model.channels_last", "performance.channels_last"},
    {"model.gradient_checkpointing", "performance.gradient_checkpointing.enabled"},
    {"cudnn_benchmark", "performance.autotune"},
    {"autotune", "performance.autotune"},
    {"performance.cudnn_benchmark", "performance.autotune"},
    {"trainer.gradient_clip_val", "trainer.clip_norm"},
    {"trainer.accumulate_grad_batches", "trainer.accumulate"},
    {"trainer.log_every_n_steps", "trainer.log_every"},
    {"seed", "trainer.seed"},
    {"remat", "gradient_checkpointing"},
    {"memory", "memory.budget"},
    {"experiment_name", "run.name"},
    {"channels_last", "performance.channels_last"},
    {"loss", "loss.name"},
    {"noise", "noise.name"},
    {"input", "predict.input"},
    {"output", "predict.output"},
    {"latent", "predict.latent"},
    {"sw_batch_size", "predict.batch"},
    {"model.inference_args.sw_batch_size", "predict.batch"},
    {"model.inference_args.overlap", "predict.overlap"},
    {"model.inference_args.mode", "predict.blend"},
    {"inference_args.sw_batch_size", "predict.batch"},
    {"inference_args.overlap", "predict.overlap"},
    {"inference_args.mode", "predict.blend"},
    {"model.inference_args.roi_size", "predict.roi"},
    {"inference_args.roi_size", "predict.roi"},
    {"bound", "codec.bound"},
    {"scheduler", "scheduler.name"},
};
const int64_t swg__config_alias_count = (int64_t)(sizeof swg__config_aliases / sizeof *swg__config_aliases);

static const swg__config_owner owners[] = {
    {"swae", "data.vars data.layout data.block data.norm data.constant data.missing data.test_from model.hidden model.act model.latent model.latent_quant "
             "codec.* loss.kind loss.lambda loss.directions loss.log loss.scale"},
    {"kan", "data.column data.size data.tile data.overlap data.small data.scale data.unreadable data.group data.cache task noise.* model.channels "
            "model.bias model.eca model.dropout model.residual model.bam_norm kan.* loss.ssim loss.kan loss.kan_curriculum predict.*"},
    {"tfswa", "data.cache data.cache_bytes data.stems data.rate data.channels data.resample data.segment data.segments_per_track data.mixture data.trim data.min_mean_abs data.valid_list data.valid_fraction "
              "data.leave_out data.n_fft data.hop model.in model.out model.depths model.dims model.window model.shift model.attention_heads model.mlp_ratio model.mask "
              "model.window_mask model.attn model.axes loss.mrstft metric.*"},
    {"cyto", "data.cache data.cache_dir data.cache_bytes data.source data.target data.labels data.patch data.z data.crops data.pad model.spatial_dims model.filters model.heads model.head.* "
             "model.scale model.discriminator model.patch model.dim model.depth model.mask_ratio model.context model.crossmae model.weigher "
             "model.decoder_dim model.domains model.teacher_momentum model.encoder_from model.dropout loss.adversarial loss.features loss.pixels predict.*"},
};

static bool owns(const swg__config_owner *owner, const char *key) {
    for (const char *p = owner->keys; *p; p += strcspn(p, " "), p += *p == ' ') {
        size_t length = strcspn(p, " ");
        bool all = p[length - 1] == '*';
        if (strncmp(key, p, length - all) == 0 && (all || !key[length]))
            return true;
    }
    return false;
}

bool swg__config_owners(const char *key, char *out, size_t capacity) {
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < sizeof owners / sizeof *owners && used < capacity; i++)
        if (owns(&owners[i], key))
            used += (size_t)snprintf(out + used, capacity - used, "%s%s", used ? ", " : "", owners[i].family);
    return used > 0;
}

bool swg__config_belongs(const char *key, const char *family) {
    bool owned = false;
    for (size_t i = 0; i < sizeof owners / sizeof *owners; i++) {
        if (!owns(&owners[i], key))
            continue;
        if (strcmp(owners[i].family, family) == 0)
            return true;
        owned = true;
    }
    return !owned;
}

const char *const swg__config_groups[] = {"experiment", "model", "data", "trainer", "performance", "optimizer", "logger",
                                          "callbacks", "recipe", "debug", "paths", NULL};

bool swg__config_is_group(const char *name) {
    for (const char *const *group = swg__config_groups; *group; group++)
        if (strcmp(*group, name) == 0)
            return true;
    return false;
}

/* As "name ". */
static bool is_among(const char *group, const char *names) {
    size_t length = strlen(group);
    for (const char *p = strstr(names, group); p; p = strstr(p + 1, group))
        if ((p == names || p[-1] == ' ') && p[length] == ' ')
            return true;
    return false;
}

const char *swg__config_group_package(const char *group) {
    return is_among(group, "experiment callbacks performance recipe debug ") ? "" : group;
}

bool swg__config_group_is_last(const char *group) { return is_among(group, "performance optimizer callbacks logger debug "); }

const swg__config_key *swg__config_row(const char *key) {
    for (int64_t i = 0; i < swg__config_table_size; i++) {
        const char *name = swg__config_table[i].key;
        size_t length = strlen(name);
        if (name[length - 1] == '*') {
            if (strncmp(name, key, length - 1) == 0 && key[length - 1] && !strchr(key + length - 1, '.'))
                return &swg__config_table[i];
        } else if (strcmp(name, key) == 0) {
            return &swg__config_table[i];
        }
    }
    return NULL;
}
