/* resample.c - a stream of samples at another rate.
 * The library is loaded when the first song asks for it, so that the OpenMP runtime it brings along is never linked; it works on one thread.
 * In: planar samples. Out: planar samples.
 * SPDX-License-Identifier: Apache-2.0 */
#include "audio/resample.h"
#include "swage/audio.h"

int64_t swg__resampled_count(int64_t count, int64_t from, int64_t to) {
    int64_t scaled;
    if (swg__mul_overflow(count, to, &scaled) || scaled > INT64_MAX - from)
        return -1;
    return (scaled + from - 1) / from;
}

#if SWG_HAVE_SOXR
#include <dlfcn.h>
#include <soxr.h>
#include <string.h>

enum { MOST_RATIO = 256 };
#define LIBRARY "libsoxr.so.0"
#define FUNCTIONS(X) X(soxr_create) X(soxr_process) X(soxr_clear) X(soxr_delete) X(soxr_io_spec) X(soxr_quality_spec) X(soxr_runtime_spec)

struct swg__resampler {
    swg_context *ctx;
    char *name;
    int channels;
    soxr_t stream;
#define X(name) __typeof__(&name) name;
    FUNCTIONS(X)
#undef X
};

static swg_status load(swg__resampler *r) {
    void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE); /* stays: loaded once */
    void *symbol;
    if (!handle)
        return swg__fail(r->ctx, SWG_EUNSUPPORTED, "%s: resampling needs libsoxr, which cannot be loaded: %s", r->name, dlerror());
#define X(function)                                                                                                       \
    if (!(symbol = dlsym(handle, #function)))                                                                             \
        return swg__fail(r->ctx, SWG_EUNSUPPORTED, "%s: resampling needs a libsoxr that has %s", r->name, #function);      \
    memcpy(&r->function, &symbol, sizeof symbol);
    FUNCTIONS(X)
#undef X
    return SWG_OK;
}

static swg_status create(swg__resampler *r, int64_t from, int64_t to) {
    if (from / to >= MOST_RATIO || to / from >= MOST_RATIO) /* filters and their memory grow with the ratio */
        return swg__fail(r->ctx, SWG_EINVAL, "%s: %lld to %lld Hz: rates up to %d times as high or low are resampled", r->name, (long long)from, (long long)to,
                         MOST_RATIO);
    SWG__TRY(load(r));
    const soxr_io_spec_t io = r->soxr_io_spec(SOXR_FLOAT32_S, SOXR_FLOAT32_S);
    const soxr_quality_spec_t quality = r->soxr_quality_spec(SOXR_VHQ, 0);
    const soxr_runtime_spec_t one_thread = r->soxr_runtime_spec(1);
    soxr_error_t error = NULL;
    r->stream = r->soxr_create((double)from, (double)to, (unsigned)r->channels, &error, &io, &quality, &one_thread);
    if (!r->stream || error)
        return swg__fail(r->ctx, SWG_EUNSUPPORTED, "%s: cannot resample from %lld to %lld Hz: %s", r->name, (long long)from, (long long)to,
                         error ? error : "libsoxr gives no reason");
    return SWG_OK;
}

swg_status swg__resampler_open(swg_context *ctx, const char *name, int64_t from, int64_t to, int channels, swg__resampler **out) {
    *out = NULL;
    swg__resampler *r = swg__calloc(ctx, 1, sizeof *r);
    if (!r)
        return swg__fail_memory(ctx, sizeof *r, name);
    r->ctx = ctx;
    r->channels = channels;
    r->name = swg__strdup(ctx, name);
    swg_status status = r->name ? create(r, from, to) : swg__fail_memory(ctx, strlen(name), name);
    if (status != SWG_OK) {
        swg__resampler_close(r);
        return status;
    }
    *out = r;
    return SWG_OK;
}

swg_status swg__resampler_run(swg__resampler *r, const float *in, int64_t in_stride, int64_t count, int64_t *used, float *out, int64_t out_stride,
                              int64_t room, int64_t *made) {
    const float *from[SWG_AUDIO_MOST_CHANNELS];
    float *to[SWG_AUDIO_MOST_CHANNELS];
    size_t taken = 0, given = 0;
    for (int c = 0; c < r->channels; c++) {
        from[c] = in ? in + c * in_stride : NULL;
        to[c] = out + c * out_stride;
    }
    soxr_error_t error = r->soxr_process(r->stream, in ? (soxr_in_t)from : NULL, (size_t)count, &taken, (soxr_out_t)to, (size_t)room, &given);
    *used = (int64_t)taken;
    *made = (int64_t)given;
    return error ? swg__fail(r->ctx, SWG_ENOMEM, "%s: resampling failed: %s", r->name, error) : SWG_OK;
}

swg_status swg__resampler_clear(swg__resampler *r) {
    soxr_error_t error = r->soxr_clear(r->stream);
    return error ? swg__fail(r->ctx, SWG_ENOMEM, "%s: resampling failed: %s", r->name, error) : SWG_OK;
}

void swg__resampler_close(swg__resampler *r) {
    if (!r)
        return;
    if (r->stream)
        r->soxr_delete(r->stream);
    swg__free(r->ctx, r->name);
    swg__free(r->ctx, r);
}

#else

struct swg__resampler { char none; };

swg_status swg__resampler_open(swg_context *ctx, const char *name, int64_t from, int64_t to, int channels, swg__resampler **out) {
    (void)channels;
    *out = NULL;
    return swg__fail(ctx, SWG_EUNSUPPORTED, "%s: is to be resampled from %lld to %lld Hz, and this build has no libsoxr; install its development package "
                     "and build again", name, (long long)from, (long long)to);
}

swg_status swg__resampler_run(swg__resampler *r, const float *in, int64_t in_stride, int64_t count, int64_t *used, float *out, int64_t out_stride,
                              int64_t room, int64_t *made) {
    (void)r, (void)in, (void)in_stride, (void)count, (void)out, (void)out_stride, (void)room;
    *used = *made = 0;
    return SWG_EUNSUPPORTED;
}

swg_status swg__resampler_clear(swg__resampler *r) { return r ? SWG_EUNSUPPORTED : SWG_OK; }
void swg__resampler_close(swg__resampler *r) { (void)r; }

#endif
