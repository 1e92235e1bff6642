#!/bin/sh
# bench_kan.sh - proves: `swage bench kan` times the forms of a KAN convolution with and without a peer, takes a peer's times, memory and errors in,
# compares with what is published, judges its targets only where it can, writes JSON with the stable keys, and ends when it is interrupted.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
set -u
swage=$1
source=$2
json=$(dirname "$swage")/json
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
fail() { echo "$*"; cat "$work/out" "$work/err"; failures=$((failures + 1)); }
# run STATUS ARGUMENTS...
run() {
    status=$1
    shift
    "$swage" bench kan "$@" >"$work/out" 2>"$work/err"
    got=$?
    [ $got = "$status" ] || fail "swage bench kan $*: exit $got, expected $status"
}
holds() { grep -qE -- "$1" "$work/$2" || fail "$2 does not hold: $1"; }
positive() { "$json" "$work/r.json" "rows.$1.$2" | grep -qE '^[0-9.e+]+$' && [ "$("$json" "$work/r.json" "rows.$1.$2")" != 0 ] || fail "row $1: $2 is not a positive number"; }
cd "$source" || exit 1
small="--works layer --channels 3 --size 6 --grid 3 --order 2 --quick --threads 1"

# Nobody beside us.
export SWAGE_PEER_PYTHON="$work/no-such-file"
run 0 $small --batch-sizes 1,2 --output "$work/r.json"
holds '^PyTorch: absent; needs' out
holds '^ +1  swage naive +[0-9.]+ us' out
holds '^ +2  swage once bf16 +[0-9.]+ us' out
holds 'forward: times faster .*not judged$' out
grep -q '^ *2  swage naive' "$work/out" && fail "a naive layer is timed in the first batch only"
[ "$("$json" "$work/r.json" schema kind layer.channels layer.grid peer.version rows | tr '\n' ' ')" = '1 kan 3 3 absent 18 ' ] || fail "r.json is another run"
i=0
while [ $i -lt 18 ]; do
    for key in median_ns min_ns reps samples_per_s peak_bytes_planned peak_bytes_measured parameters; do positive $i $key; done
    i=$((i + 1))
done
[ "$("$json" "$work/r.json" rows.0.side rows.0.pass rows.0.parameters rows.1.side rows.1.parameters rows.3.side rows.3.parameters | tr '\n' ' ')" = \
    'swage naive forward 567 swage patches 567 swage optimised 489 ' ] || fail "other rows or counts of parameters"

# One that answers, and cannot do one of the forms.
cat >"$work/peer" <<'PEER'
#!/bin/sh
echo '{"version":"9.9","options":"ABACUS"}'
while read -r line; do
    case $line in
    *'"memory"'*'"optimised"'*) echo '{"error":"no fingers left"}' ;;
    *'"memory"'*) echo '{"bytes":1000000000000}' ;;
    *'"open"'*) echo '{"cold_ns":5,"error_found":0.5,"parameters":7}' ;;
    *'"run"'*) echo '{"ns":3600000000000}' ;;
    *) echo '{}' ;;
    esac
done
PEER
chmod +x "$work/peer"
SWAGE_PEER_PYTHON="$work/peer" run 0 $small --forms once,optimised --batch-sizes 2 -o "$work/r.json"
holds '^PyTorch: 9.9; ABACUS' out
holds '^ +2  PyTorch published +3.6e\+06 ms .* 1.00' out
holds '^ +2  PyTorch optimised +no fingers left' out
holds 'layer, forward: times faster .*reached, .*and the goal' out
holds 'layer, forward\+backward: times less memory .*reached, ' out
holds 'kan/dae, training step: times faster, f32 .*not judged' out
[ "$("$json" "$work/r.json" rows.0.side rows.0.published rows.0.speedup rows.5.failure targets.0.verdict | tr '\n' ' ')" = \
    'PyTorch published true 1 no fingers left reached ' ] || fail "the peer's numbers are not in the JSON"

# One that ends in the middle, and one that does not start.
printf '#!/bin/sh\necho "{\\"version\\":\\"9.9\\",\\"options\\":\\"\\"}"\nread -r line\n' >"$work/peer"
SWAGE_PEER_PYTHON="$work/peer" run 0 $small --forms once --batch-sizes 2
holds 'PyTorch published +its process ended' out
holds 'swage once +[0-9.]+ us' out
printf '#!/bin/sh\nexit 1\n' >"$work/peer"
SWAGE_PEER_PYTHON="$work/peer" run 0 $small --forms once --batch-sizes 2
holds '^PyTorch: failed; .*did not start' out

run 2 --forms twice
holds "expected a list of naive, patches, once, optimised, or all" err
run 2 --works kan/dae,kan/none
run 2 --batch-sizes 0
run 2 --order 4
run 2 --against onnxruntime
run 2 --image 100
run 2 some.key=1
"$swage" bench mlp-b1 --grid 3 >"$work/out" 2>"$work/err" && fail "--grid is of kan only"
holds 'goes with `swage bench kan`' err

# A peer that takes its time is not waited for once we are interrupted.
printf '#!/bin/sh\necho started >"%s/started"\nexec sleep 600\n' "$work" >"$work/peer"
SWAGE_PEER_PYTHON="$work/peer" "$swage" bench kan $small >"$work/out" 2>"$work/err" &
pid=$!
while [ ! -f "$work/started" ]; do sleep 0.05; done
kill -TERM $pid
wait $pid
got=$?
[ $got = 130 ] || [ $got = 143 ] || [ $got = 1 ] || fail "interrupted: exit $got"
holds 'interrupted' err
[ $failures = 0 ]
