#!/bin/sh
# hdf5.sh - proves: the commands of docs/hdf5.md work as they stand there; HDF5's own tools and h5py read what swage compress --hdf5 writes,
# within the bound, and the other way round; swage doctor and h5args say what is wrong.
# Arguments: path of swage, source folder. SWAGE_PYTHON: a Python with h5py; without one that part is left out, visibly.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"
PATH=$tools:$PATH
export PATH
unset HDF5_PLUGIN_PATH HDF5_PLUGIN_PRELOAD
value() { "$tools/json" "$@"; }

# An installation elsewhere.
cmake --install "$tools" --prefix "$work/prefix" >log 2>&1 || { cat log; exit 1; }
plugin=$(dirname "$(find prefix -name libh5swage.so)")
check [ -n "$plugin" ]

# doctor: every way it can be wrong has its remedy.
"$work/prefix/bin/swage" doctor >out 2>err && fail "doctor without HDF5_PLUGIN_PATH"
check grep -q "to mend: export HDF5_PLUGIN_PATH=.*hdf5/plugin" out
HDF5_PLUGIN_PATH=$work expect 1 "no libh5swage.so in it" doctor
HDF5_PLUGIN_PATH=/nowhere expect 1 "there is no folder /nowhere" doctor
export HDF5_PLUGIN_PATH="$work/$plugin"
HDF5_PLUGIN_PRELOAD=:: expect 1 "unset HDF5_PLUGIN_PRELOAD" doctor
expect 0 "GPU, TF32, f16, CUDA graphs   no" doctor
expect 0 '"linux_x86_64":' doctor --json
expect 0 "ok    round trip" doctor
expect 0 '"ok":' doctor --json
check [ "$(value out ok)" = true ]
check [ "$(value out checks)" = 6 ]
check [ "$(value out checks.4.ok)" = true ]
value out libraries.HDF5 >/dev/null || fail "no version of HDF5"
mkdir broken
echo "not a library" >broken/libh5swage.so
HDF5_PLUGIN_PATH=$work/broken expect 1 "install swage again" doctor

# h5args: the words of the specification; ambiguous and impossible requests are refused in words.
expect 0 "h5repack -f UD=32789,0,7,1,3539053052,1062232653,5,0,0,0 IN.h5 OUT.h5" h5args --abs 1e-3
expect 0 "compression_opts=(1, 3539053052, 1062232653, 5, 0, 0, 0))" h5args --abs 1e-3
expect 0 "h5repack -f U_CHI:UD=32789,0,7,2," h5args --rel 1e-3 --range 0.5 --dataset U_CHI
expect 0 "export HDF5_PLUGIN_PATH=$work/$plugin" h5args --lossless
expect 1 "the filter sees one chunk at a time" h5args --rel 1e-3
expect 2 "give one bound" h5args --abs 1e-3 --rel 1e-3
expect 2 "say how large an error may be" h5args
expect 2 "expected a number above 0" h5args --abs 1e-3x
expect 2 "--range 0" h5args --rel 1e-3 --range 0
expect 0 "cd_values" h5args --abs 1e-3 --json
check [ "$(value out cd_values.1)" = 3539053052 ]

# The documentation, line by line.
cp "$source"/samples/bssn/*.h5 .
PREFIX=$work/prefix
PATH=$PREFIX/bin:$PATH
mkdir "$PREFIX/lib" 2>/dev/null
[ -d "$PREFIX/lib/hdf5/plugin" ] || { mkdir -p "$PREFIX/lib/hdf5" && ln -s "$work/$plugin" "$PREFIX/lib/hdf5/plugin"; }
commands=0
sed -n 's/^    \$ //p' "$source/docs/hdf5.md" >commands
while IFS= read -r line; do
    commands=$((commands + 1))
    case $line in h5*) command -v "${line%% *}" >/dev/null || { echo "hdf5.sh: no ${line%% *} here: not tried: $line"; continue; } ;; esac
    eval "$line" >log 2>&1 || { fail "docs/hdf5.md: $line"; cat log; }
done <commands
check [ $commands -gt 8 ]
check [ "$(wc -c <small.h5)" -lt 200000 ]
expect 0 "every value is within its bound" verify repacked.h5 bbh_q1_uniform_32_t5.h5
expect 0 "27 arrays" decompress repacked.h5 -o again

# Two ways, one reader: values of h5diff.
if command -v h5diff >/dev/null; then
    h5diff -d 1.01e-6 repacked.h5 bbh_q1_uniform_32_t5.h5 >log 2>&1 || { fail "h5diff repacked.h5"; head -5 log; }
    h5diff small.h5 restored/small.h5 >log 2>&1 || { fail "h5diff small.h5 restored"; head -5 log; }
    h5ls -r small.h5 >a && h5ls -r bbh_q1_uniform_32_t5.h5 >b && check cmp a b
fi
check [ "$(find . -name '*.unchecked*' -o -name '*.tmp*' | wc -l)" = 0 ]

# Refusals and bounds.
expect 2 "say where to write with -o" compress --hdf5 small.h5 -e abs:1e-3
expect 1 "no dataset of numbers" compress --hdf5 small.h5 -e abs:1e-3 -o x.h5 --vars NONE
expect 1 "without a dataset that the swage filter has compressed" verify bbh_q1_uniform_32_t5.h5
expect 0 "U_CHI" compress --hdf5 bbh_q1_blocks_64_t5.h5 -e lossless -o lossless.h5 --threads 1
"$tools/swage" compress --hdf5 bbh_q1_blocks_64_t5.h5 -e lossless -o lossless2.h5 --threads 2 >log 2>&1 || { fail "threads"; cat log; }
check cmp lossless.h5 lossless2.h5
expect 0 "restored to plain" decompress lossless.h5 -o plain
if command -v h5diff >/dev/null; then
    h5diff plain/lossless.h5 bbh_q1_blocks_64_t5.h5 >log 2>&1 || { fail "lossless"; head -5 log; }
fi

# A network inside the parameters, which are then longer than HDF5 shows: every reader has it.
"$swage" train codec/swae-mlp data.path=bbh_q1_blocks_64_t5.h5 model.hidden='[24]' trainer.max_epochs=1 run.dir=runs run.name=a -q >log 2>&1 || { fail "train"; cat log; }
expect 0 "network" compress --hdf5 bbh_q1_blocks_64_t5.h5 -e rel:1e-3 -m runs/a --without stencil,planes,poly,interpolation,blocks -o learned.h5
grep -q "of these models [1-9]" out || { fail "no network was stored"; cat out; }
expect 0 "every value is within its bound" verify learned.h5 bbh_q1_blocks_64_t5.h5
if command -v h5diff >/dev/null; then
    expect 0 "restored to unlearned" decompress learned.h5 -o unlearned
    h5diff learned.h5 unlearned/learned.h5 >log 2>&1 || { fail "h5diff learned.h5"; head -5 log; }
    h5repack learned.h5 copied.h5 >log 2>&1 || { fail "h5repack learned.h5"; cat log; }
    expect 0 "every value is within its bound" verify copied.h5 bbh_q1_blocks_64_t5.h5
fi

# h5py, which brings its own HDF5.
python=${SWAGE_PYTHON:-python3}
if "$python" -c 'import h5py, numpy' 2>/dev/null; then
    sed -n 's/^    >>> //p' "$source/docs/hdf5.md" >snippet.py
    check [ "$(wc -l <snippet.py)" -gt 5 ]
    "$python" snippet.py || fail "the Python of docs/hdf5.md"
    cat >more.py <<'PROGRAM'
import h5py, numpy as np
with h5py.File("small.h5") as f, h5py.File("bbh_q1_uniform_32_t5.h5") as g:
    for name in g:
        if isinstance(g[name], h5py.Dataset) and "32789" in f[name]._filters:
            a, b = g[name][...].astype("f8"), f[name][...].astype("f8")
            assert abs(a - b).max() <= 1e-4 * (a.max() - a.min()), name
x = np.random.default_rng(1).random((50, 40, 30))
for order in "<>":
    for kind in ("f4", "f8", "i2", "u8"):
        y = (x * 1000).astype(order + kind)
        with h5py.File("w.h5", "w") as f:
            f.create_dataset("y", data=y, chunks=(16, 16, 16), compression=32789, compression_opts=(1, 0, 1071644672))  # 0.5
        with h5py.File("w.h5") as f:
            assert f["y"].dtype == y.dtype
            assert abs(f["y"][...].astype("f8") - y.astype("f8")).max() <= 0.5
for bad in ((2, 0, 1071644672), (7,), (1,)):
    try:
        with h5py.File("w.h5", "w") as f:
            f.create_dataset("y", data=x, chunks=True, compression=32789, compression_opts=bad)
        raise SystemExit("%r was taken" % (bad,))
    except (ValueError, OSError) as e:
        assert "swage filter" in str(e), e
PROGRAM
    "$python" more.py || fail "h5py"
else
    echo "hdf5.sh: $python has no h5py: reading and writing with it was not tried (SWAGE_PYTHON names one)"
fi

[ $failures = 0 ]
