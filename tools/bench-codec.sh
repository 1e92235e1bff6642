#!/bin/sh
# bench-codec.sh - `make bench-codec`: trains a model for the BSSN tables on t = 1 and 3 (once), then runs every table of the codec beside
# SZ3, SPERR and zfp. Arguments: path of swage, folder with the data (fields/, bssn/), further options of `swage bench codec`.
# $RECIPE names what is trained, with settings (default: the law of mode P at 1e-3), RECIPE=none nothing. Output: build/bench-codec/{tables.md,run.json}; the tables also on the terminal.
# SPDX-License-Identifier: Apache-2.0
set -eu
swage=$1
data=$2
shift 2
out=build/bench-codec
mkdir -p "$out/train"

# One environment for all peers; without a network or Python the peers' columns stay empty and the run says why.
if [ -z "${SWAGE_PEER_PYTHON:-}" ]; then
    venv=bench/peers/.venv
    [ -d $venv ] || python3 -m venv $venv || echo "no Python virtual environment: the peers are left out"
    if [ -x $venv/bin/python3 ] && ! $venv/bin/python3 -c 'import hdf5plugin, h5py' 2>/dev/null; then
        $venv/bin/pip install -q -r bench/peers/hdf5plugin/requirements.txt || echo "hdf5plugin cannot be installed: the peers are left out"
    fi
    [ -x $venv/bin/python3 ] && ! $venv/bin/python3 -c 'import hdf5plugin, h5py' 2>/dev/null && SWAGE_PEER_PYTHON=/nonexistent/python3 && export SWAGE_PEER_PYTHON
fi

# Training data: octants of t = 1 and 3; without them the sample grids of those times.
for t in 1 3; do
    file=$data/bssn/q1_blocks_t$t.h5
    [ -f "$file" ] || file=samples/bssn/bbh_q1_uniform_32_t$t.h5
    case $file in /*) ;; *) file=$PWD/$file ;; esac
    ln -sf "$file" "$out/train/t$t.h5"
done
[ -d "$data/bssn" ] && [ -d "$data/fields" ] || echo "$data has no fields/ or no bssn/: the samples take their place, and most targets are not judged (DATA=DIR)"

recipe=${RECIPE:-codec/law bound=rel:1e-3}
if [ "$recipe" != none ]; then
    name=$(echo "$recipe" | tr '/ =:' '----')
    checkpoint=$out/runs/$name
    if [ ! -f "$checkpoint/done" ]; then
        rm -rf "$checkpoint"
        echo "training $recipe on t = 1 and 3"
        "$swage" train $recipe data.path="$out/train" run.dir="$out/runs" run.name="$name" -q
        touch "$checkpoint/done"
    fi
    set -- -m "$checkpoint" "$@"
fi
"$swage" bench codec --against all --data "$data" --markdown --output "$out/run.json" "$@" >"$out/tables.md" || status=$?
cat "$out/tables.md"
exit "${status:-0}"
