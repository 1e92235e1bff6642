/* separation_masks.c - estimates by ideal masks: what masks on a spectrogram could reach at best.
 * Y. Wang, A. Narayanan, D. Wang, "On training targets for supervised speech separation" (2014): the ratio mask. H. Erdogan et al., "Phase-sensitive
 * and recognition-boosted speech separation" (2015): the phase-sensitive mask.
 * In: references, and the mixture. Out: an estimate of each source. All in f64, piece by piece of time.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "fourier.h"
#include "separation.h"

enum { PIECE = 1 << 16, MOST_SIGNALS = SWG_SEPARATION_SOURCES + 1 };

typedef struct masks {
    swg_ideal_opts o;
    int sources, channels;
    int64_t samples, length;        /* length: with the zeros behind a short signal */
    int64_t pieces, frames;
    const float *const *reference;
    const float *mixture;
    float *const *estimate;
    swg__fourier f;
    double *window;                 /* (n) */
    double *work;                   /* of each worker: spectra (signals, re and im, n), rows of the piece (sources, PIECE), room (2 n) */
    int64_t work_size;
} masks;

/* Signal 0 is the mixture, 1 .. sources the references. */
static double sample_of(const masks *m, int signal, int channel, int64_t at) {
    if (at >= m->samples)
        return 0;
    at += channel * m->samples;
    if (signal || m->mixture)
        return (double)(signal ? m->reference[signal - 1] : m->mixture)[at];
    double sum = 0;
    for (int s = 0; s < m->sources; s++)
        sum += (double)m->reference[s][at];
    return sum;
}

/* Windowed samples of a frame; reflected at the ends. */
static void take_frame(const masks *m, int signal, int channel, int64_t frame, double *to) {
    const int64_t n = m->f.n, first = frame * m->o.hop - n / 2;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = first + i < 0 ? -(first + i) : first + i;
        at = at >= m->length ? 2 * (m->length - 1) - at : at;
        to[i] = m->window[i] * sample_of(m, signal, channel, at);
    }
}

/* Bin x of the mixture and s of a source: its part in the mixture. */
static void mask_bin(const masks *m, const double x[2], const double s[2], double share, double out[2]) {
    const double energy = x[0] * x[0] + x[1] * x[1];
    double re = share, im = 0;
    if (m->o.mask != SWG_MASK_RATIO) {
        re = energy > 0 ? (s[0] * x[0] + s[1] * x[1]) / energy : 0;
        im = energy > 0 ? (s[1] * x[0] - s[0] * x[1]) / energy : 0;
        const double size = m->o.mask == SWG_MASK_COMPLEX ? hypot(re, im) : 1;
        if (m->o.mask == SWG_MASK_PHASE) {
            re = fmin(fmax(re, 0), 1);
            im = 0;
        } else if (size > 1) {
            re /= size;
            im /= size;
        }
    }
    out[0] = re * x[0] - im * x[1];
    out[1] = re * x[1] + im * x[0];
}

/* Bins k and n - k of the masked spectra, two sources a transform: y1 + sqrt(-1) y2. spectra holds the mixture and the sources, two a transform. */
static void mask_bins(const masks *m, double *spectra, int64_t k) {
    const int64_t n = m->f.n, other = (n - k) & (n - 1);
    double bin[MOST_SIGNALS + 1][2], masked[MOST_SIGNALS + 1][2] = {{0}}, size[MOST_SIGNALS] = {0}, all = 0;
    for (int i = 0; i <= m->sources; i += 2)
        swg__fourier_pair(&m->f, spectra + i * n, spectra + (i + 1) * n, k, bin[i], bin[i + 1]);
    for (int s = 0; s < m->sources && m->o.mask == SWG_MASK_RATIO; s++)
        all += size[s] = pow(hypot(bin[s + 1][0], bin[s + 1][1]), m->o.power);
    for (int s = 0; s < m->sources; s++)
        mask_bin(m, bin[0], bin[s + 1], all > 0 ? size[s] / all : 1. / m->sources, masked[s]);
    for (int s = 0; s < m->sources; s += 2) {
        const double *a = masked[s], *b = masked[s + 1];
        double *re = spectra + s * n, *im = re + n;
        re[k] = a[0] - b[1];
        im[k] = a[1] + b[0];
        re[other] = a[0] + b[1];
        im[other] = b[0] - a[1];
    }
}

static void add_frame(const masks *m, int channel, int64_t frame, int64_t begin, int64_t end, double *spectra, double *rows) {
    const int64_t n = m->f.n, first = frame * m->o.hop - n / 2;
    double *room = rows + (int64_t)m->sources * PIECE;
    for (int i = 0; i <= m->sources; i += 2) {
        double *re = spectra + i * n, *im = re + n;
        take_frame(m, i, channel, frame, re);
        if (i < m->sources)
            take_frame(m, i + 1, channel, frame, im);
        else
            memset(im, 0, (size_t)n * sizeof *im);
        swg__fourier_run(&m->f, re, im, room);
    }
    for (int64_t k = 0; k <= n / 2; k++)
        mask_bins(m, spectra, k);
    for (int s = 0; s < m->sources; s++) {
        double *re = spectra + (s & ~1) * n;
        if (s % 2 == 0)
            swg__fourier_run(&m->f, re + n, re, room);
        const double *y = re + (s & 1) * n;
        for (int64_t at = first > begin ? first : begin; at < first + n && at < end; at++)
            rows[s * PIECE + at - begin] += m->window[at - first] * y[at - first] / (double)n;
    }
}

/* One piece of one channel: all frames that reach into it, in order. */
static void mask_piece(void *arg, int64_t task, int worker) {
    const masks *m = arg;
    const int channel = (int)(task / m->pieces);
    const int64_t n = m->f.n, hop = m->o.hop, begin = task % m->pieces * PIECE, end = begin + PIECE < m->samples ? begin + PIECE : m->samples;
    double *spectra = m->work + worker * m->work_size, *rows = spectra + 2 * n * ((m->sources + 2) / 2);
    memset(rows, 0, (size_t)m->sources * PIECE * sizeof *rows);
    const int64_t low = begin < n / 2 ? 0 : (begin - n / 2) / hop, high = (end + n / 2) / hop;
    for (int64_t frame = low; frame <= high && frame < m->frames; frame++)
        add_frame(m, channel, frame, begin, end, spectra, rows);
    for (int64_t at = begin; at < end; at++) {
        double weight = 0;
        for (int64_t frame = at < n / 2 ? 0 : (at - n / 2) / hop; frame < m->frames && frame * hop - n / 2 <= at; frame++)
            if (at - frame * hop + n / 2 < n)
                weight += m->window[at - frame * hop + n / 2] * m->window[at - frame * hop + n / 2];
        for (int s = 0; s < m->sources; s++)
            m->estimate[s][channel * m->samples + at] = (float)(rows[s * PIECE + at - begin] / fmax(weight, 1e-11));
    }
}

static void copy_mixture(const masks *m) {
    for (int s = 0; s < m->sources; s++)
        for (int c = 0; c < m->channels; c++)
            for (int64_t i = 0; i < m->samples; i++)
                m->estimate[s][c * m->samples + i] = (float)sample_of(m, 0, c, i);
}

static swg_status run(swg_context *ctx, masks *m) {
    const int64_t n = m->o.n_fft;
    m->length = m->samples > n / 2 ? m->samples : n / 2 + 1;
    m->frames = m->length / m->o.hop + 1;
    m->pieces = (m->samples + PIECE - 1) / PIECE;
    m->work_size = 2 * n * ((m->sources + 2) / 2) + (int64_t)m->sources * PIECE + 2 * n;
    const size_t bytes = (size_t)(m->work_size * swg_context_threads(ctx)) * sizeof(double);
    m->window = swg__alloc(ctx, (size_t)n * sizeof(double));
    m->work = swg__alloc(ctx, bytes);
    if (!m->window || !m->work)
        return swg__fail_memory(ctx, bytes, "ideal masks");
    SWG__TRY(swg__fourier_open(ctx, n, &m->f));
    for (int64_t i = 0; i < n; i++)
        m->window[i] = .5 - .5 * m->f.cosine[i];
    swg__parallel(ctx, m->channels * m->pieces, mask_piece, m);
    return SWG_OK;
}

swg_status swg_ideal_estimates(swg_context *ctx, int sources, int channels, int64_t samples, const float *const *reference, const float *mixture,
                               const swg_ideal_opts *opts, float *const *estimate) {
    static const swg_ideal_opts ratio = {.mask = SWG_MASK_RATIO};
    masks m = {.o = opts ? *opts : ratio, .sources = sources, .channels = channels, .samples = samples, .reference = reference, .mixture = mixture,
               .estimate = estimate};
    SWG__TRY(swg__check_signals(ctx, sources, channels, samples, reference, NULL));
    m.o.n_fft = m.o.n_fft ? m.o.n_fft : 2048;
    m.o.hop = m.o.hop ? m.o.hop : m.o.n_fft / 4;
    m.o.power = m.o.power > 0 ? m.o.power : 1;
    const int64_t n = m.o.n_fft;
    if ((unsigned)m.o.mask >= SWG_MASKS || n < 16 || n > 65536 || (n & (n - 1)) || m.o.hop < 1 || m.o.hop > n / 2 || n % m.o.hop || !isfinite(m.o.power))
        return swg__fail(ctx, SWG_EINVAL, "ideal mask %d: n_fft %lld, hop %lld, power %g", (int)m.o.mask, (long long)n, (long long)m.o.hop, m.o.power);
    if (m.o.mask == SWG_MASK_MIXTURE) {
        copy_mixture(&m);
        return SWG_OK;
    }
    const swg_status status = run(ctx, &m);
    swg__fourier_close(ctx, &m.f);
    swg__free(ctx, m.work);
    swg__free(ctx, m.window);
    return status;
}
