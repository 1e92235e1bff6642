/* body.inc.h - what every instruction set's file includes after setting SWG_ISA, VL and MR: all kernel texts and the table.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "kernel/isa.h"

#include "kernel/tile.inc.h"
#include "kernel/pack_bf16.inc.h"
#include "kernel/conv.inc.h"
#include "kernel/vmath.inc.h"
#include "kernel/elementwise.inc.h"
#include "kernel/bf16.inc.h"
#include "kernel/optim.inc.h"
#include "kernel/peak.inc.h"
#include "kernel/layer_norm.inc.h"
#include "kernel/norm.inc.h"
#include "kernel/turn.inc.h"
#include "kernel/dropout.inc.h"
#include "kernel/softmax.inc.h"
#include "kernel/narrow.inc.h"
#include "kernel/narrow_grad.inc.h"
#include "kernel/spline.inc.h"
#include "kernel/pick.inc.h"
#include "kernel/fft.inc.h"
#include "kernel/gram.inc.h"

#define SWG_NAME2(isa) swg__isa_table_##isa
#define SWG_NAME(isa) SWG_NAME2(isa)
extern const swg__isa_table SWG_NAME(SWG_ISA);
const swg__isa_table SWG_NAME(SWG_ISA) = {
    .mr = MR,
    .nr = NR,
    .vl = VL,
    .gemm = gemm,
    .pack = pack,
    .pack_taps = pack_taps,
    .gemm_bf16 = gemm_bf16,
    .pack_bf16 = pack_bf16,
    .pack_taps_bf16 = pack_taps_bf16,
    .pair_rows = pair_rows,
    .round_bf16 = round_bf16,
    .widen = widen,
    .sum = sum,
    .sum_squares = sum_squares,
    .column_sum = column_sum,
    .softmax = softmax,
    .adam = adam,
    .adam_pass = adam_pass,
    .sgd = sgd,
    .accumulate = accumulate,
    .blend = blend,
    .sort_network = sort_network,
    .run_moments = run_moments,
    .run_products = run_products,
    .column_moments = column_moments,
    .column_products = column_products,
    .add_scaled = add_scaled,
    .largest_of = largest_of,
    .pick = pick,
    .turn = turn,
    .turn_bf16 = turn_bf16,
    .layer_norm = layer_norm,
    .layer_norm_grad = layer_norm_grad,
    .layer_norm_sums = layer_norm_sums,
    .dropout = dropout,
    .attention_softmax = attention_softmax,
    .attention_narrow_most = attention_narrow_most,
    .attention_narrow_pack = attention_narrow_pack,
    .attention_narrow = attention_narrow,
    .attention_narrow_grad = attention_narrow_grad,
    .attention_means = attention_means,
    .attention_probabilities = attention_probabilities,
    .attention_slopes = attention_slopes,
    .fft_pass = fft_pass,
    .take_products = take_products,
    .spline_values = spline_values,
    .spline_slopes = spline_slopes,
    .peak_f32 = peak_f32,
#ifdef DOT
    .peak_bf16 = peak_bf16,
#endif
    .stream_read = stream_read,
    .stream_copy = stream_copy,
    .stream_scale = stream_scale,
    .ew = {
#define EW(id, expression) [SWG__##id] = ew_##id,
#include "kernel/elementwise.def"
#undef EW
    },
};
