#!/bin/sh
# cli_frame.sh - proves: help, version, exit statuses and messages of the command, and `swage config` from end to end.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
set -u
swage=$1
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# expect STATUS TEXT ARGUMENTS...: exit status, and the text in stdout or stderr.
expect() {
    status=$1 text=$2
    shift 2
    "$swage" "$@" >"$work/out" 2>"$work/err"
    got=$?
    if [ $got != "$status" ] || ! cat "$work/out" "$work/err" | grep -qF -- "$text"; then
        echo "swage $*: exit $got, expected $status with: $text"
        cat "$work/out" "$work/err"
        failures=$((failures + 1))
    fi
}
check() { "$@" || { echo "failed: $*"; failures=$((failures + 1)); }; }

expect 0 "usage: swage COMMAND" --help
expect 0 "print the settings a recipe comes to" -h
expect 2 "usage: swage COMMAND"
expect 0 "HDF5 " --version
expect 0 "instruction set " --version
expect 2 "swage: 'confg' is not a command; did you mean config?" confg
expect 2 "swage: --hepl: unknown option" --hepl
expect 0 "usage: swage config RECIPE" config --help
expect 0 "optimizer.lr: number, (0,1e3], default 2e-4" config -h
expect 2 "did you mean --yaml?" config swae/mlp --yml
expect 2 "one argument too many" config swae/mlp swae/mlp
expect 2 "which recipe?" config
expect 2 "swage: recipe 'swae/mpl' on the command line: not found; did you mean swae/mlp?" config swae/mpl
expect 2 "swage: optimizer.lr_rate: unknown key on the command line; did you mean optimizer.lr?" config swae/mlp optimizer.lr_rate=1
expect 1 "not supported by this build yet" config swae/mlp trainer.precision=tf32
expect 1 "No such file" config "$work/none.yaml"
expect 0 "swae/mlp-deep" config --list
expect 0 "scheduler.step: integer" config --keys 'scheduler.*'
expect 0 "# recipes/optimizer/adam.yaml:2" config swae/mlp
expect 0 "# command line" config swae/mlp trainer.epochs=5
expect 0 "# groups: model=swae_mlp, data=swae, trainer=default, performance=max, optimizer=adam, logger=none, callbacks=default, recipe=none, debug=none" config swae/mlp performance=max
expect 0 "model=swae_mlp_deep" config swae/mlp-deep
expect 0 '"debug":	"profile"' config swae/mlp debug=profile --json
check [ "$("$swage" config swae/mlp trainer.epochs=5 | grep '^trainer.max_epochs: 5 ' | wc -l)" = 1 ]

# The resolved text opens again to itself, from a file and from a run folder.
mkdir "$work/run"
check "$swage" config swae/mlp-deep data.path="/a b" data.vars='[U_CHI, "*"]' --yaml >"$work/run/config.yaml"
check "$swage" config "$work/run" --yaml >"$work/again.yaml"
check cmp "$work/run/config.yaml" "$work/again.yaml"
check "$swage" config "$work/again.yaml" --yaml >"$work/third.yaml"
check cmp "$work/again.yaml" "$work/third.yaml"

# Differences between two.
"$swage" config swae/mlp data.path=/x --diff swae/mlp-deep >"$work/diff"
printf 'data.path: /x  # there: null\nmodel.hidden: [512]  # there: [512, 256]\nmodel.act: gelu  # there: relu\n' >"$work/expected"
check cmp "$work/diff" "$work/expected"

# A recipes folder of the user's comes first; the source tree's own recipes give the same as the built-in ones.
mkdir -p "$work/mine/model"
echo "hidden: [9]" >"$work/mine/model/swae_mlp.yaml"
expect 0 "model.hidden: [9]" config swae/mlp --recipes "$work/mine"
"$swage" config swae/mlp-deep --yaml >"$work/a"
"$swage" config swae/mlp-deep --yaml --recipes "$source/recipes" >"$work/b"
"$swage" config "$source/recipes/experiment/swae/mlp-deep.yaml" --yaml >"$work/c"
check cmp "$work/a" "$work/b"
check cmp "$work/a" "$work/c"

# The table of operations: every row of op.def but the first, each with a gradient or a word for none.
rows=$(grep -c '^OP(' "$source/src/ir/op.def")
check [ "$("$swage" ops | wc -l)" = "$rows" ]
expect 0 "matmul             contraction      2  matmul           f32 bf16 f64  matmul               -" ops
expect 0 "reshape            view             1  reshape          -             -                    -" ops
expect 2 "did you mean matmul?" ops matmull
check [ "$("$swage" ops --json | grep -c '"op":')" = $((rows - 1)) ]

# JSON parses, where there is something to parse it with.
if command -v python3 >/dev/null; then
    "$swage" config swae/mlp --json | python3 -c '
import json, sys
s = json.load(sys.stdin)["settings"]
assert s["optimizer.lr"] == {"value": "2e-4", "origin": "recipes/optimizer/adam.yaml:2"}, s["optimizer.lr"]
assert s["data.path"]["value"] == "null"' || { echo "config --json"; failures=$((failures + 1)); }
fi

# Output that cannot be written is a failure.
if [ -c /dev/full ]; then
    "$swage" config swae/mlp >/dev/full 2>"$work/err"
    check [ $? = 1 ]
    check grep -qF "swage: cannot write the output" "$work/err"
fi

[ $failures = 0 ]
