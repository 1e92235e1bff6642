#!/bin/sh
# bench_kan.sh - proves: `swage bench kan` times the forms of a KAN convolution with and without a peer, takes a peer's times, memory and errors in,
# compares with what is published, judges its targets only where it can, writes JSON with the stable keys, and ends when it is interrupted.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/bench_common.sh"
small="--works layer --channels 3 --size 6 --grid 3 --order 2 --quick --threads 1"

# Nobody beside us.
export SWAGE_PEER_PYTHON="$work/no-such-file"
run 0 kan $small --batch-sizes 1,2 --output "$work/r.json"
holds '^PyTorch: absent; needs' out
holds '^ +1  swage naive +[0-9.]+ us' out
holds '^ +2  swage once bf16 +[0-9.]+ us' out
holds 'forward: times faster .*not judged$' out
grep -q '^ *2  swage naive' "$work/out" && fail "a naive layer is timed in the first batch only"
[ "$(value schema kind layer.channels layer.grid peer.version rows | tr '\n' ' ')" = '1 kan 3 3 absent 18 ' ] || fail "r.json is another run"
i=0
while [ $i -lt 18 ]; do
    for key in median_ns min_ns reps samples_per_s peak_bytes_planned peak_bytes_measured parameters; do positive rows.$i.$key; done
    i=$((i + 1))
done
[ "$(value rows.0.side rows.0.pass rows.0.parameters rows.1.side rows.1.parameters rows.3.side rows.3.parameters | tr '\n' ' ')" = \
    'swage naive forward 567 swage patches 567 swage optimised 489 ' ] || fail "other rows or counts of parameters"

# One that answers, and cannot do one of the forms.
peer '*\"memory\"*\"optimised\"*'
SWAGE_PEER_PYTHON="$work/peer" run 0 kan $small --forms once,optimised --batch-sizes 2 -o "$work/r.json"
holds '^PyTorch: 9.9; ABACUS' out
holds '^ +2  PyTorch published +3.6e\+06 ms .* 1.00' out
holds '^ +2  PyTorch optimised +no fingers left' out
holds 'layer, forward: times faster .*reached, .*and the goal' out
holds 'layer, forward\+backward: times less memory .*reached, ' out
holds 'kan/dae, training step: times faster, f32 .*not judged' out
[ "$(value rows.0.side rows.0.published rows.0.speedup rows.5.failure targets.0.verdict | tr '\n' ' ')" = \
    'PyTorch published true 1 no fingers left reached ' ] || fail "the peer's numbers are not in the JSON"

# One that ends in the middle, and one that does not start.
printf '#!/bin/sh\necho "{\\"version\\":\\"9.9\\",\\"options\\":\\"\\"}"\nread -r line\n' >"$work/peer"
SWAGE_PEER_PYTHON="$work/peer" run 0 kan $small --forms once --batch-sizes 2
holds 'PyTorch published +its process ended' out
holds 'swage once +[0-9.]+ us' out
printf '#!/bin/sh\nexit 1\n' >"$work/peer"
SWAGE_PEER_PYTHON="$work/peer" run 0 kan $small --forms once --batch-sizes 2
holds '^PyTorch: failed; .*did not start' out

run 2 kan --forms twice
holds "expected a list of naive, patches, once, optimised, or all" err
run 2 kan --works kan/dae,kan/none
run 2 kan --batch-sizes 0
run 2 kan --order 4
run 2 kan --against onnxruntime
run 2 kan --image 100
run 2 kan some.key=1
"$swage" bench mlp-b1 --grid 3 >"$work/out" 2>"$work/err" && fail "--grid is of kan only"
holds 'goes with `swage bench kan`' err

# A peer that takes its time is not waited for once we are interrupted.
interrupts kan $small
[ $failures = 0 ]
