#!/bin/sh
# bench_codec.sh - proves: `swage bench codec` measures fields it is given and the samples where there are none, and says so; asks a peer and judges
# what that restored with our own checker; goes on without it, with an error, after its end; judges no target it cannot; keeps every value inside
# the bound. tools/put-block.sh replaces its block and nothing else. Arguments: path of swage, source folder.
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
    "$swage" bench codec "$@" >"$work/out" 2>"$work/err"
    got=$?
    [ $got = "$status" ] || fail "swage bench codec $*: exit $got, expected $status"
}
holds() { grep -qE -- "$1" "$work/$2" || fail "$2 does not hold: $1"; }
at() { "$json" "$work/r.json" "$1"; }
cd "$source" || exit 1
export SWAGE_PEER_PYTHON=/nonexistent/python3

# A field of our own under a known name: 15 x 100 x 100 f32, noise of two bytes.
mkdir -p "$work/data/fields"
head -c 4000000 "$swage" | od -An -v -t u1 -w4 | awk '{ printf "%c%c", 65 + $1 % 8, 66 }' | head -c 600000 >"$work/data/fields/um_hybrid_theta_15x100x100.f32"
run 0 --data "$work/data" --tables fields --quick --against hdf5plugin -o "$work/r.json"
holds '^UM theta +[0-9.]+ / [0-9.]+ / [0-9.]+ / [0-9.]+$' out
holds '^peers: hdf5plugin absent; SZ3, SPERR and zfp were left out' out
holds '^1 .* not judged, needs the peers$' out
holds '^6 .* reached, 0;' out
holds '^8 .* reached, [0-9]+ bytes; ' out
[ "$(at rows.0.table | tr -d \") $(at rows.0.swage.violations)" = "fields 0" ] || fail "r.json: $(at rows.0.table)"
run 1 --data "$work/data" --tables fields --quick -o "$work/none/r.json"

# Nothing there: samples. Every way of coding that can be left out has a row.
run 0 --data "$work/none" --tables octants,blocks --quick --markdown --without network
holds '^The data are absent' out
holds '^\| U_SYMAT5 \| [0-9.]+ / [0-9.]+ / [0-9.]+ \|$' out
holds '^\| without stencil \| [0-9.]+ \| [0-9.]+ \|$' out
holds '3a\. .*\*\*not judged\*\*, needs the data' out

# Second halves with networks of the first, and the speed of both networks. Too little data for a network to pay: what is left is its share of a series.
run 0 --data "$work/none" --tables learned,speed --quick -o "$work/r.json"
holds '^1e-03 +Swage, no model +mlp 28-16-8-2 +mlp 28-64-32-2$' out
holds '^U_CHI +0\.[0-9]+ +0\.[0-9]+ +0\.[0-9]+$' out
holds '^U_CHI, model counted +0\.[0-9]+ +0\.[0-9]+$' out
holds '^The data are absent.*sample' out
holds 'its bytes are not counted but in the rows that say so' out
holds '^2 .* not judged, needs the data' out
holds '^5a .* not judged, needs the data' out
holds '^5b .* >= 50 MB/s both ways: not judged, needs the data' out
[ "$(at rows.0.table | tr -d \") $(at rows.0.values) $(at 'rows.0.mlp 28-16-8-2.violations')" = "learned 16384 0" ] || fail "r.json: $(at rows.0)"
run 0 --data "$work/none" --tables learned --quick --without mlp
holds '^1e-03 +Swage$' out
holds '^2 .* not judged, mode mlp was left out' out

# A peer that copies (its bytes are what it says), one that restores something else, one that ends, one that refuses.
cat >"$work/peer" <<'PEER'
#!/bin/sh
echo '{"version":"9.9","options":"ABACUS"}'
while read -r line; do
    offset=$(echo "$line" | sed 's/.*"offset":\([0-9]*\).*/\1/')
    case $line in
    *'"peer":"sz3"'*) dd if=/proc/self/fd/$4 of=/proc/self/fd/$4 bs=64 count=$((offset / 64)) seek=$((offset / 64)) conv=notrunc 2>/dev/null
        echo '{"bytes":1000,"layout":"N","compress_ns":1e6,"decompress_ns":1e6}' ;;
    *'"peer":"sperr"'*) dd if=/dev/zero of=/proc/self/fd/$4 bs=64 count=$((offset / 64)) seek=$((offset / 64)) conv=notrunc 2>/dev/null
        echo '{"bytes":2000,"compress_ns":1e6,"decompress_ns":1e6}' ;;
    *) [ -e "$0.once" ] && echo '{"error":"no fingers left"}' || { touch "$0.once"; exit 0; } ;;
    esac
done
PEER
chmod +x "$work/peer"
export SWAGE_PEER_PYTHON="$work/peer"
run 0 --data "$work/data" --tables fields,chunks --quick --against all -o "$work/r.json"
holds '^UM theta .* 600 / 600 / 600 / 600 +300 v / 300 v / 300 v / 300 v +failed / failed / failed / failed +failed / failed / failed / failed$' out
holds '^SZ3 +0 +0 ' out
holds '^SPERR +[1-9][0-9]+ ' out
[ "$(at rows.1.zfp.failure)" = "no fingers left" ] || fail "the peer's refusal is not in the JSON"
[ "$(at rows.0.zfp.failure)" = "its process ended" ] || fail "the peer's end is not in the JSON"

run 2 --tables fields,colours
holds 'expected a list of fields' err
run 2 --against pytorch
run 2 --without nothing
holds 'expected a list of' err
run 2 extra
"$swage" bench mlp-b16 --tables fields >"$work/out" 2>"$work/err" && fail "--tables is taken for rows"
holds 'goes with `swage bench codec`' err

printf 'a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb\n' >"$work/page"
printf 'new & \\1\n' >"$work/block"
for twice in 1 2; do sh tools/put-block.sh "$work/page" x "$work/block" || fail "put-block.sh"; done
[ "$(tr '\n' ' ' <"$work/page")" = 'a <!-- x:begin --> new & \1 <!-- x:end --> b ' ] || fail "put-block.sh: $(cat "$work/page")"
sh tools/put-block.sh "$work/page" y "$work/block" >"$work/out" && fail "put-block.sh takes any name"
[ $failures = 0 ]
