# bench_common.sh - what the tests of `swage bench SUBJECT` share; sourced first, with the path of swage and the source folder as arguments. Runs in the
# source folder, where peers' scripts are; files go to $work.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"
json=$tools/json
cd "$source" || exit 1

fail() {
    echo "FAILED: $*"
    cat "$work/out" "$work/err"
    failures=$((failures + 1))
}
# run STATUS ARGUMENTS...: of swage bench
run() {
    status=$1
    shift
    "$swage" bench "$@" >"$work/out" 2>"$work/err"
    got=$?
    [ $got = "$status" ] || fail "swage bench $*: exit $got, expected $status"
}
holds() { grep -qE -- "$1" "$work/$2" || fail "$2 does not hold: $1"; }
value() { "$json" "$work/r.json" "$@"; }
positive() { value "$1" | grep -qE '^[0-9.e+-]+$' && [ "$(value "$1")" != 0 ] || fail "$1 is not a positive number"; }
# peer PATTERN: a peer that answers every request but those that fit the pattern of the shell's case
peer() {
    cat >"$work/peer" <<PEER
#!/bin/sh
echo '{"version":"9.9","options":"ABACUS"}'
while read -r line; do
    case \$line in
    $1) echo '{"error":"no fingers left"}' ;;
    *'"memory"'*) echo '{"bytes":1000000000000}' ;;
    *'"open"'*) echo '{"cold_ns":5,"error_found":0.5,"parameters":7}' ;;
    *'"run"'*) echo '{"ns":3600000000000}' ;;
    *) echo '{}' ;;
    esac
done
PEER
    chmod +x "$work/peer"
}
# interrupts ARGUMENTS...: swage bench ends while a peer takes its time
interrupts() {
    printf '#!/bin/sh\necho started >"%s/started"\nexec sleep 600\n' "$work" >"$work/peer"
    chmod +x "$work/peer"
    SWAGE_PEER_PYTHON="$work/peer" "$swage" bench "$@" >"$work/out" 2>"$work/err" &
    pid=$!
    while [ ! -f "$work/started" ]; do sleep 0.05; done
    kill -TERM $pid
    wait $pid
    got=$?
    [ $got = 130 ] || [ $got = 143 ] || [ $got = 1 ] || fail "interrupted: exit $got"
    holds 'interrupted' err
}
