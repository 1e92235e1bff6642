#!/bin/sh
# train_resume.sh - proves on real data: a training run killed at random moments and resumed ends with the bits of one that was not, in
# its checkpoints and in its log; Ctrl-C saves and exits 130, SIGTERM and SIGUSR1 save and exit 0 with a line that says how to go on.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
set -u
swage=$1
source=$2
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 $pid 2>/dev/null; rm -rf "$work"' EXIT
failures=0
check() { "$@" || { echo "failed: $*"; failures=$((failures + 1)); }; }

# start NAME: trains in the background; an epoch has 328 steps. `exec` makes $! the command itself.
start() {
    (exec "$swage" train swae/mlp data.path="$source/samples/bssn" data.batch_size=64 trainer.epochs=5 trainer.eval_every=2 trainer.log_every=20 \
        checkpoint.every=3 scheduler=cosine optimizer=adamw run.dir="$work" run.name="$1" resume=auto --threads 2 -q 2>"$work/$1.err") &
    pid=$!
}
# finish: waits for it; leaves its exit status in $status.
finish() {
    wait $pid 2>/dev/null
    status=$?
    pid=
}
# whole_run NAME: starts it and lets it come to its end.
whole_run() {
    start "$1"
    finish
    [ $status = 0 ] || { cat "$work/$1.err"; failures=$((failures + 1)); }
}

# Tensors of a checkpoint: what follows 8 bytes of length and the header (which holds times).
tensors() { tail -c "+$((9 + $(od -An -tu8 -N8 "$1")))" "$1"; }
# The log without times and without the lines of resumed sittings.
log_of() { grep -v '"phase":"resume"' "$1/log.jsonl" | sed -E 's/"(t|seconds|samples_per_s|data_ms)":[-+0-9.e]+,?//g'; }
same_run() {
    for file in last best epoch-0003; do
        tensors "$work/whole/ckpt/$file.safetensors" >"$work/a"
        tensors "$work/$1/ckpt/$file.safetensors" >"$work/b"
        check [ -s "$work/a" ]
        check cmp "$work/a" "$work/b"
    done
    log_of "$work/whole" >"$work/a"
    log_of "$work/$1" >"$work/b"
    check cmp "$work/a" "$work/b"
}

# logged NAME LINES: waits until the log holds so many lines of steps (one in 20 steps).
logged() {
    for i in $(seq 2000); do
        [ -s "$work/$1/log.jsonl" ] && [ "$(grep -c '"phase":"step"' "$work/$1/log.jsonl")" -ge "$2" ] && return
        sleep 0.005
    done
}
random() { echo $(($(od -An -tu2 -N2 /dev/urandom) % $1)); }

whole_run whole
check [ "$(grep -c '"phase":"val"' "$work/whole/log.jsonl")" = 5 ]

# Killed six times on its way through 82 lines, at random moments.
for round in 1 2 3 4 5 6; do
    lines=$((12 * round - $(random 12))) delay=$(random 10)
    start killed
    logged killed $lines
    sleep "$(printf 0.%03d "$delay")"
    kill -9 $pid
    finish
    echo "killed $delay ms after line $lines"
    check [ $status = 137 ]
done
whole_run killed
same_run killed

# Signals: the first lets the step end, saves and leaves.
signal() {
    start stopped
    logged stopped "$3"
    kill "-$1" $pid
    finish
    [ $status = "$2" ] || { echo "$1: exit $status, expected $2"; cat "$work/stopped.err"; failures=$((failures + 1)); }
    check grep -q "saved.*resume=auto" "$work/stopped.err"
}
signal INT 130 "$(random 20)"
signal TERM 0 "$((20 + $(random 20)))"
signal USR1 0 "$((40 + $(random 20)))"
whole_run stopped
same_run stopped

# All is done: going on is nothing to do, and changes nothing.
cp "$work/stopped/ckpt/last.safetensors" "$work/before.safetensors"
whole_run stopped
tensors "$work/before.safetensors" >"$work/a"
tensors "$work/stopped/ckpt/last.safetensors" >"$work/b"
check cmp "$work/a" "$work/b"

[ $failures = 0 ]
