#!/bin/sh
# bench.sh - proves: `swage bench` prints a table or one JSON object with the stable keys, writes it into a file, takes in a peer's
# times, says when a peer is absent or fails, and refuses what it does not know. Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
set -u
swage=$1
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
fail() { echo "$*"; cat "$work/out" "$work/err"; failures=$((failures + 1)); }
# run STATUS ARGUMENTS...
run() {
    status=$1
    shift
    "$swage" bench "$@" >"$work/out" 2>"$work/err"
    got=$?
    [ $got = "$status" ] || fail "swage bench $*: exit $got, expected $status"
}
holds() { grep -qE -- "$1" "$work/$2" || fail "$2 does not hold: $1"; }
cd "$source" || exit 1

run 0 --list
holds '^matmul-4096x125x512$' out
holds '^memory-mlp-b65536$' out
run 2 nothing-of-the-kind
holds 'no row is called "nothing-of-the-kind"' err
run 2 --against abacus
holds 'no such peer; there is pytorch' err

run 0 mlp-b16 --quick --threads 1 --output "$work/r.json"
holds '^1 thread .*scalar [0-9.]+' out
holds '^mlp-b16 +1 +[0-9.]+ us' out
for key in schema machine peaks peers rows workload dtype threads median_ns gops fraction_of_floor peer peer_median_ns; do
    grep -q "\"$key\":" "$work/r.json" || fail "r.json has no $key"
done
run 1 mlp-b16 --quick --threads 1 --output "$work/none/r.json"

# A peer that answers, one that does not, and none at all.
printf '#!/bin/sh\necho '\''{"peer":"pytorch","version":"9.9","options":{"cpu_capability":"ABACUS"},"rows":[
{"workload":"mlp-b16","threads":1,"variant":"slow","median_ns":2000000000.0,"min_ns":1},
{"workload":"mlp-b16","threads":1,"variant":"eager","median_ns":1000000000.0,"min_ns":1}]}'\''\n' >"$work/peer"
printf '#!/bin/sh\necho no module named torch >&2\nexit 1\n' >"$work/broken"
chmod +x "$work/peer" "$work/broken"
SWAGE_PEER_PYTHON="$work/peer" run 0 mlp-b16 --quick --threads 1 --against pytorch
holds 'PyTorch 1.00 s, x [0-9.]+' out
holds '^PyTorch: 9.9; .*ABACUS' out
SWAGE_PEER_PYTHON="$work/broken" run 0 mlp-b16 --quick --threads 1 --against pytorch
holds '^PyTorch: failed' out
SWAGE_PEER_PYTHON="$work/no-such-file" run 0 mlp-b16 --quick --threads 1 --against pytorch
holds '^PyTorch: absent' out
[ $failures = 0 ]
