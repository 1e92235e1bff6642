/* ref_stft.c - the slow truth of the short-time Fourier transform and its inverse: sums of cosines and sines.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "ir/stft.h"
#include "kernel/ref.h"

/* Both are one matrix, read by rows or by columns: of sample `at` in frame t, bin k and its real or imaginary part. */
void swg__ref_stft(const swg__call *call) {
    swg__stft s = swg__stft_of(call->g, call->node);
    const double *in = call->in[0];
    double *out = call->out;
    memset(out, 0, (size_t)swg__node_bytes(call->node));
    for (int64_t signal = 0; signal < s.batch * s.channels; signal++)
        for (int64_t t = 0; t < s.frames; t++)
            for (int64_t i = 0; i < s.n; i++) {
                int64_t at = swg__stft_at(&s, t, i), b = signal / s.channels, c = signal % s.channels;
                if (at < 0)
                    continue;
                double weight = swg__stft_window(&s, i) / (s.inverse ? swg__stft_envelope(&s, at) : 1);
                for (int64_t part = 0; part < 2; part++)
                    for (int64_t k = 0; k < s.bins; k++) {
                        double angle = 6.283185307179586477 * (double)(i * k % s.n) / (double)s.n;
                        bool twice = k > 0 && 2 * k != s.n; /* bins above the middle mirror those below */
                        double basis = (part ? (twice ? -sin(angle) : 0) : cos(angle)) * (s.inverse ? (twice ? 2. : 1.) / (double)s.n : 1);
                        int64_t bin = (((b * 2 + part) * s.channels + c) * s.bins + k) * s.frames + t;
                        if (s.to_signal)
                            out[signal * s.samples + at] += weight * basis * in[bin];
                        else
                            out[bin] += weight * basis * in[signal * s.samples + at];
                    }
            }
}
