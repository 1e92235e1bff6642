/* separation.h - how well the sources of a mixture were separated: SDR, SI-SDR, SIR, SAR, BSSEval; and what ideal masks would reach.
 *
 * Signals are f32 and planar, (channels, samples): channel c of a signal begins at signal + c * samples. `reference` and `estimate` are arrays of
 * `sources` such signals, in the same order. All sums are f64; nothing depends on the number of threads. Figures are in dB:
 *
 *   NAN         n/a: there is no figure. The target is silent (all samples 0), or both signals are; SIR where all other sources are silent; SI-SDR and
 *               SAR where the estimate has no part in the target, or in any source, and is silent. Not part of a median, but counted.
 *   +INFINITY   the error is zero: a perfect estimate
 *   -INFINITY   nothing of the target is in the estimate (not with a floor)
 *
 * Text prints them as "n/a", "inf" and "-inf"; JSON as null, "inf" and "-inf" (swg_metrics_json does the same), so that it stays JSON.
 * Common failures: SWG_EINVAL: counts or options that cannot be; SWG_ENONFINITE: NaN or infinity in a signal, named; SWG_ENOMEM.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_SEPARATION_H
#define SWAGE_SEPARATION_H

#include <stdbool.h>
#include <stdint.h>
#include "swage/context.h"

enum {
    SWG_SEPARATION_SOURCES = 16,        /* most of one track */
    SWG_SEPARATION_CHANNELS = 8
};

/* s reference, s^ estimate, <a,b> = sum of a b over channels and samples, |a|^2 = <a,a>. Constant, key in JSON, name, meaning. */
#define SWG_SEPARATION_TABLE(X)                                                                                                                     \
    X(SDR, "sdr", "SDR", "source to distortion: |s|^2 / |s^ - s|^2")                                                                                \
    X(SI_SDR, "si_sdr", "SI-SDR", "the same after both lost their means (of each channel) and s was scaled to fit: |a s|^2 / |a s - s^|^2, a = <s^,s> / |s|^2") \
    X(ISR, "isr", "ISR", "image to spatial distortion, of BSSEval")                                                                                 \
    X(SIR, "sir", "SIR", "source to interference: |p_target|^2 / |sum of the other p|^2, p_k = <s^,s_k> / |s_k|^2 s_k")                              \
    X(SAR, "sar", "SAR", "sources to artifacts: |sum of all p|^2 / |s^ - sum of all p|^2")

typedef enum swg_separation_figure {
#define X(name, key, title, meaning) SWG_SEPARATION_##name,
    SWG_SEPARATION_TABLE(X)
#undef X
    SWG_SEPARATION_FIGURES
} swg_separation_figure;

const char *swg_separation_key(swg_separation_figure figure);       /* "si_sdr"; NULL outside the enum */
const char *swg_separation_title(swg_separation_figure figure);     /* "SI-SDR" */

/* Figures of one source over one stretch of time. NAN also for what was not asked for. */
typedef struct swg_separation {
    double db[SWG_SEPARATION_FIGURES];
} swg_separation;

/* ---- figures without filters ---- */

/* SDR, SI-SDR, SIR and SAR of the estimate of one source. The sources' projections are not orthogonalised, as published: correlated sources count
 * twice. floor > 0: ratios below it become it (1e-10: -100 dB, the published code's); 0: none. The signals' channels lie `stride` samples apart. */
swg_status swg_separation_measure(swg_context *ctx, int sources, int channels, int64_t samples, int64_t stride, const float *const *reference, int target,
                                  const float *estimate, double floor, swg_separation *out);

/* ---- BSSEval (Vincent, Gribonval, Fevotte 2006; Vincent et al. 2007) ---- */

typedef struct swg_bss_opts {
    int taps;               /* of the allowed distortion filters; 0: 512 */
    bool images;            /* figures of images: distortion of the target by a filter counts as an error (ISR); else it is allowed, as bss_eval_sources has it */
    int64_t window, hop;    /* samples; window 0: the whole. As many windows as fit, at least one, the rest is left out; hop 0: window */
    bool whole_filters;     /* one set of filters from the whole signals (v4, museval); else filters of each window (v3) */
    bool permute;           /* estimates are in any order: take the one with the largest mean SIR, of each window */
    bool all_sources;       /* a window in which a reference or an estimate is silent counts for no source (mir_eval, museval); else silent references
                               are left out, and are n/a themselves */
} swg_bss_opts;

/* Windows of `samples` samples. */
int64_t swg_bss_windows(int64_t samples, const swg_bss_opts *opts);

/* out: (sources, windows), SI-SDR is NAN. order: (sources, windows) or NULL: the estimate taken for each source.
 * An estimate is projected on the span of the references' channels delayed by 0 .. taps - 1 samples: least squares of taps * sources * channels unknowns per
 * estimated channel, normal equations from correlations, by Cholesky; what depends on references before it (up to 1e-12 of its energy) is left out, so that
 * mono in two channels, equal and silent references are no special cases. With m unknowns: m^2 8 bytes, m^3 / 3 multiply-adds per filter set.
 * SWG_ESHAPE: no sample; more than 16384 unknowns; permute with more than 8 sources. */
swg_status swg_bss_eval(swg_context *ctx, int sources, int channels, int64_t samples, const float *const *reference, const float *const *estimate,
                        const swg_bss_opts *opts, swg_separation *out, int *order);

/* ---- a whole song ---- */

/* Constant, key in JSON, meaning. Windows do not overlap; there are as many as fit, at least one, and a rest is in `track` only. */
#define SWG_SCORE_TABLE(X)                                                                                           \
    X(TRACK, "track", "over the whole song")                                                                         \
    X(SEGMENTS, "segments", "median over segments (10 s)")                                                           \
    X(WINDOWS, "windows", "median over windows (1 s)")                                                               \
    X(BSS3, "bss_v3", "BSSEval v3 over the whole song: filters allowed, images where there are several channels")    \
    X(BSS4, "bss_v4", "BSSEval v4: filters of the whole song, images, median over windows (1 s)")

typedef enum swg_score_view {
#define X(name, key, meaning) SWG_SCORE_##name,
    SWG_SCORE_TABLE(X)
#undef X
    SWG_SCORE_VIEWS
} swg_score_view;

const char *swg_score_key(swg_score_view view);

/* A median and what it is of. */
typedef struct swg_score_value {
    double db;              /* median of the windows that have a figure; NAN: none has */
    int64_t windows;        /* all of them; 0: not computed */
    int64_t absent;         /* of them n/a */
    int64_t perfect;        /* of them +INFINITY */
} swg_score_value;

typedef struct swg_source_score {
    swg_score_value at[SWG_SCORE_VIEWS][SWG_SEPARATION_FIGURES];
} swg_source_score;

/* Zero is the default. */
typedef struct swg_score_opts {
    double segment_seconds, window_seconds;     /* 0: 10 and 1 */
    double floor;                               /* of ratios, as in swg_separation_measure: metric.floor=published is 1e-10 */
    bool bss;                                   /* BSSEval too: seconds per song, and for four stereo stems 134 MB */
    bool all_sources;                           /* of swg_bss_opts */
} swg_score_opts;

/* All figures of one song in memory: out holds `sources` scores. rate in Hz. opts may be NULL. */
swg_status swg_song_score(swg_context *ctx, int sources, int channels, int64_t samples, int64_t rate, const float *const *reference,
                          const float *const *estimate, const swg_score_opts *opts, swg_source_score *out);

/* {"vocals":{"track":{"sdr":5.1,...},"segments":{"windows":3,"absent":0,"perfect":0,"sdr":...},...},...}: one line without line break. Views that were not
 * computed are left out; absent and perfect are those of SDR. Like snprintf: at most `capacity` bytes are written, the length of all is returned. */
int64_t swg_song_score_json(int sources, const char *const *names, const swg_source_score *scores, char *text, int64_t capacity);
/* "12.34", "n/a", "inf" or "-inf"; returns text. */
const char *swg_decibel_text(double db, char *text, int64_t capacity);
/* Median of `count` figures as a track's: NAN left out. Sorts them. */
double swg_decibel_median(double *db, int64_t count);

/* ---- what masks could reach at best ---- */

typedef enum swg_ideal_mask {
    SWG_MASK_MIXTURE,       /* 1 for every source: the mixture as the estimate of each */
    SWG_MASK_RATIO,         /* |S|^p / sum of |S_k|^p: the ideal ratio mask; 1 / sources where all are 0 */
    SWG_MASK_PHASE,         /* Re(S / X) cut to [0, 1]: the best real mask in that range (phase sensitive); what a sigmoid can reach */
    SWG_MASK_COMPLEX,       /* S / X, shortened to magnitude 1 where it is longer */
    SWG_MASKS
} swg_ideal_mask;

typedef struct swg_ideal_opts {
    swg_ideal_mask mask;
    int64_t n_fft, hop;     /* 0: 2048 and n_fft / 4; n_fft a power of two, 16 to 65536; hop divides it, at most half of it */
    double power;           /* p of the ratio; 0: 1 */
} swg_ideal_opts;

/* Masks made from the references themselves, applied to the spectrogram of the mixture, channel by channel: estimate[k] (channels, samples), one signal per
 * source, may not overlap the others. mixture NULL: the sum of the references. STFT as specified for this family: periodic Hann, centred, reflected.
 * opts may be NULL: ratio. SWG_ESHAPE: no sample. */
swg_status swg_ideal_estimates(swg_context *ctx, int sources, int channels, int64_t samples, const float *const *reference, const float *mixture,
                               const swg_ideal_opts *opts, float *const *estimate);

#endif
