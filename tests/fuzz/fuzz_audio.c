/* fuzz_audio.c - hostile audio files: an error, or samples that can be read twice with the same numbers.
 * In: a file's bytes. Out: nothing; crashes, leaks and reads outside are caught by the sanitiser.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "swage/audio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* libsndfile 1.2.0 does not release what it holds of a Vorbis head that turns out to be damaged. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:vorbis_info_init\nleak:vorbis_synthesis_headerin\n"; }

enum { MOST = 1 << 14 };

static void read_twice(swg_audio *audio) {
    static float once[MOST], again[MOST];
    const swg_audio_info *info = swg_audio_about(audio);
    const int64_t count = MOST / info->channels, from = info->samples > 2 * count ? count : info->samples / 2;
    int64_t got, got_again, ignored;
    swg_status first = swg_audio_seek(audio, from);
    if (first == SWG_OK)
        first = swg_audio_read(audio, count, once, count, &got);
    (void)swg_audio_read(audio, count, again, count, &ignored);
    swg_status second = swg_audio_seek(audio, from);
    if (second == SWG_OK)
        second = swg_audio_read(audio, count, again, count, &got_again);
    if (first != SWG_OK || second != SWG_OK)
        return;
    if (got != got_again || got > info->samples - from)
        abort();
    for (int c = 0; c < info->channels && strcmp(info->format, "WAV") == 0 && !info->resampled; c++)
        if (memcmp(once + c * count, again + c * count, (size_t)got * sizeof *once) != 0)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    swg_context *ctx;
    if (swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK)
        abort();
    swg_audio *audio;
    const int way = bytes ? data[bytes - 1] % 6 : 0;
    const swg_audio_opts opts = {.channels = way % 3, .downmix = way % 3 ? SWG_DOWNMIX_MEAN : SWG_DOWNMIX_REFUSE, .rate = way > 3 ? 11025 : 0, .resample = true};
    if (swg_audio_open_memory(ctx, data, (int64_t)bytes, "fuzz", &opts, &audio) == SWG_OK)
        read_twice(audio);
    swg_audio_close(audio);
    if (swg_context_bytes(ctx) != 0)
        abort();
    swg_context_close(ctx);
    return 0;
}
