/* target.c - searches the absolute bound that meets a target of quality or size.
 * In: an array, a target. Out: coded chunks of the best bound found; what it reaches is measured, not estimated.
 * SPDX-License-Identifier: Apache-2.0 */
#include "target.h"

enum { SAMPLE_CHUNKS = 8, SAMPLE_MOST = 64, ROUNDS = 12, PASSES = 8, LAST_PASSES = 40 };

typedef struct search {
    swg_context *ctx;
    const swg__request *request;
    const swg__header *header; /* prepared */
    swg__encoded best;         /* the coding kept; chunk NULL: none yet */
    double best_eb, best_f;
    double width;              /* range_max - range_min */
} search;

/* Codes every stride-th chunk with an absolute bound. *f: how far the figure is above its target, in dB or nepers of the ratio. With
 * stride 1 the coding is kept if it is better than the one kept before: targets met before missed ones, then the nearest. */
static swg_status try_bound(search *s, double eb, int64_t stride, double *f) {
    swg__request request = *s->request;
    const bool psnr = request.opts.bound == SWG_BOUND_PSNR;
    const double target = request.opts.value;
    swg__encoded trial = {.ctx = s->ctx, .header = *s->header, .name = request.opts.name, .attributes = request.opts.attributes,
                          .model = request.opts.model};
    request.opts.bound = eb > 0 ? SWG_BOUND_ABS : SWG_BOUND_LOSSLESS;
    request.opts.value = eb;
    request.stride = stride;
    request.measure = psnr;
    SWG__TRY(swg__encode_try(s->ctx, &request, &trial));
    trial.header.bound = psnr ? SWG_BOUND_PSNR : request.opts.bound;
    trial.header.value = psnr ? target : eb;
    *f = psnr ? swg__encoded_psnr(&trial, s->width) - target : log(swg__encoded_ratio(&trial) / target);
    bool better = stride == 1 && (!s->best.chunk || (*f >= 0 ? s->best_f < 0 || *f < s->best_f : s->best_f < *f));
    if (better) {
        swg__encoded_free(&s->best);
        s->best = trial;
        s->best_eb = eb;
        s->best_f = *f;
    } else {
        swg__encoded_free(&trial);
    }
    return SWG_OK;
}

static int64_t sample_stride(const search *s) {
    swg__layout layout;
    if (!swg__layout_make(s->header, &layout) || layout.count < 2 * SAMPLE_CHUNKS)
        return 1;
    return layout.count / SAMPLE_CHUNKS < SAMPLE_MOST ? layout.count / SAMPLE_CHUNKS : SAMPLE_MOST;
}

static bool near(double f, bool psnr) { return psnr ? f >= 0 && f < 0.05 : f >= 0 && f < 0.01; }

/* Between a bound on either side of the target, in the logarithm of the bound: Illinois steps on every stride-th chunk.
 * low, high: f(low) and f(high) have different signs; on return *eb is close to the target. */
static swg_status close_in(search *s, int64_t stride, double low, double f_low, double high, double f_high, double *eb) {
    const bool psnr = s->request->opts.bound == SWG_BOUND_PSNR, rises = f_high > f_low;
    double a = log(low), b = log(high), f;
    for (int i = 0, side = 0; i < ROUNDS && b - a > 1e-4; i++) {
        double x = a + (b - a) * f_low / (f_low - f_high), margin = 0.02 * (b - a);
        x = isfinite(x) ? fmin(fmax(x, a + margin), b - margin) : (a + b) / 2;
        *eb = exp(x);
        SWG__TRY(try_bound(s, *eb, stride, &f));
        if (near(f, psnr))
            break;
        if ((f > 0) == rises) {
            b = x;
            f_high = f;
            f_low = side == 1 ? f_low / 2 : f_low;
            side = 1;
        } else {
            a = x;
            f_low = f;
            f_high = side == 2 ? f_high / 2 : f_high;
            side = 2;
        }
    }
    return SWG_OK;
}

/* The sample misjudges: whole arrays until the target is met, closely if that takes few passes. slope: of f against log(eb) */
static swg_status settle(search *s, double eb, double slope) {
    const bool psnr = s->request->opts.bound == SWG_BOUND_PSNR;
    double f, before_eb = 0, before_f = 0;
    for (int pass = 0; pass < LAST_PASSES && eb > 0; pass++) {
        SWG__TRY(try_bound(s, eb, 1, &f));
        if (near(f, psnr) || (s->best_f >= 0 && pass + 1 >= PASSES) || !isfinite(f))
            break;
        if (before_eb > 0 && before_eb != eb) {
            double seen = (f - before_f) / (log(eb) - log(before_eb));
            slope = isfinite(seen) && seen / slope > 0.2 && seen / slope < 5 ? seen : slope;
        }
        before_eb = eb;
        before_f = f;
        double move = ((psnr ? 0.02 : 0.004) - f) / slope; /* aim a little above the target */
        move = f < 0 ? (slope > 0 ? fmax(move, 0.002 * (pass + 1)) : fmin(move, -0.002 * (pass + 1))) : move;
        double next = fmin(eb * exp(fmin(fmax(move, -2), 2)), s->width);
        if (next == eb)
            break;
        eb = next;
    }
    return SWG_OK;
}

static swg_status find(search *s) {
    const swg__request *r = s->request;
    const bool psnr = r->opts.bound == SWG_BOUND_PSNR;
    const int64_t stride = sample_stride(s);
    double f, f_other, eb;
    if (!(s->width > 0) || !isfinite(s->width))
        return try_bound(s, 0, 1, &f);
    if (psnr) {
        eb = sqrt(3) * s->width * pow(10, -r->opts.value / 20); /* right where errors are uniform */
        eb = fmin(eb, s->width);
        SWG__TRY(try_bound(s, eb, stride, &f));
        for (int i = 0; stride > 1 && i < 6 && isfinite(f) && !near(f, true) && eb < s->width; i++) {
            eb = fmin(eb * pow(10, fmin(fmax(f - 0.02, -40), 40) / 20), s->width);
            SWG__TRY(try_bound(s, eb, stride, &f));
        }
        return settle(s, isfinite(f) ? eb : s->width, -20 / log(10));
    }
    SWG__TRY(try_bound(s, 0, stride, &f)); /* without any loss? */
    if (f >= 0 && stride > 1)
        SWG__TRY(try_bound(s, 0, 1, &f));
    if (f >= 0)
        return SWG_OK;
    SWG__TRY(try_bound(s, s->width, stride, &f_other)); /* with nothing but one level? */
    if (f_other < 0)
        return settle(s, s->width, 0.3);
    eb = s->width;
    double low = s->width * 0x1p-44;
    SWG__TRY(try_bound(s, low, stride, &f));
    if (f < 0)
        SWG__TRY(close_in(s, stride, low, f, s->width, f_other, &eb));
    else
        eb = low;
    return s->best.chunk && near(s->best_f, false) ? SWG_OK : settle(s, stride == 1 && s->best_f >= 0 ? s->best_eb : eb, 0.3);
}

swg_status swg__target_encode(swg_context *ctx, const swg__request *request, swg__encoded *out) {
    if (!(request->opts.value > 0) || !isfinite(request->opts.value)) {
        swg__encoded_free(out);
        return swg__fail(ctx, SWG_EINVAL, "a target of %g is not a number above 0", request->opts.value);
    }
    search s = {.ctx = ctx, .request = request, .header = &out->header};
    s.width = request->most - request->least;
    swg_status status = find(&s);
    if (status != SWG_OK) {
        swg__encoded_free(&s.best);
        swg__encoded_free(out);
        return status;
    }
    *out = s.best;
    return SWG_OK;
}
