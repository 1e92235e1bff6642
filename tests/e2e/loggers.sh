#!/bin/sh
# loggers.sh - proves: logger=csv, tensorboard, all and none write what they say; event files hold what metrics.csv does, as TensorBoard itself reads them
# (where it is installed), also after a kill and a resume; limits of batches, validations every few epochs and callbacks act.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"
common="data.path=$source/samples/bssn model.hidden=[16] data.batch_size=64 trainer.eval_every=2"
train() { # train NAME ARGUMENTS...: a small run
    run=$1
    shift
    "$swage" train swae/mlp $common run.name="$run" -q "$@" >out 2>err || { fail "train $run $*"; cat err; }
}
events() { ls "runs/$1/tensorboard" 2>/dev/null | wc -l; }
rows() { grep -c . "runs/$1/metrics.csv"; }

train csv trainer.limit_train_batches=3 trainer.limit_val_batches=1 trainer.max_epochs=2
check [ "$(rows csv) $(events csv)" = "3 0" ]
check grep -q '"phase":"train","epoch":1,"step":6,' runs/csv/log.jsonl
train none logger=none trainer.limit_train_batches=3 trainer.max_epochs=1
check [ ! -e runs/none/metrics.csv ]
check [ "$(events none)" = 0 ]
check [ -s runs/none/log.jsonl ]
train tb logger=tensorboard trainer.limit_train_batches=3 trainer.max_epochs=1
check [ ! -e runs/tb/metrics.csv ]
check [ "$(events tb)" = 1 ]

# Validations every second epoch and after the last; limits do not change which samples there are.
train every trainer.check_val_every_n_epoch=2 trainer.limit_train_batches=2 trainer.limit_val_batches=2 trainer.max_epochs=5
check [ "$(grep -c '"phase":"val"' runs/every/log.jsonl)" = 3 ]
check [ "$(awk -F, 'NR > 1 && $6 == "" { n++ } END { print n + 0 }' runs/every/metrics.csv)" = 2 ]

# callbacks=none: nothing but the last checkpoint; min_epochs holds early stopping back.
train bare callbacks=none trainer.limit_train_batches=2 trainer.limit_val_batches=1 trainer.max_epochs=2
check [ "$(ls runs/bare/ckpt)" = last.safetensors ]
stop="early_stopping.patience=1 early_stopping.min_delta=1000 trainer.limit_train_batches=1 trainer.limit_val_batches=1 trainer.max_epochs=9"
train soon $stop
train later $stop trainer.min_epochs=5
check [ "$(rows soon) $(rows later)" = "3 6" ]

# One run as a whole, one that was stopped in the middle of an epoch and one that was killed go to the same numbers.
whole="logger=all trainer.max_epochs=4 trainer.log_every=1000000"
train whole $whole
"$swage" train swae/mlp $common run.name=cut $whole -q >out 2>err &
job=$!
for i in $(seq 400); do
    [ -s runs/cut/metrics.csv ] && [ "$(rows cut)" -gt 2 ] && break
    sleep 0.005
done
kill -9 $job 2>/dev/null
wait $job 2>/dev/null
train cut $whole resume=auto
check [ "$(rows cut)" = 5 ]
check [ "$(events cut)" = 2 ]
train cut $whole resume=auto trainer.max_epochs=5 # one more
check [ "$(events cut)" = 3 ]

python=${SWAGE_PYTHON:-python3}
if "$python" -c 'import tensorboard' 2>/dev/null; then
    for run in whole cut; do
        "$python" "$source/tests/tools/check_events.py" runs/$run 0 >out 2>&1 || { fail "TensorBoard on runs/$run"; tail -5 out; }
        tail -1 out
    done
    if "$swage" --version | grep -q "libpng [0-9]" && "$swage" --version | grep -q "libtiff [0-9]"; then
        "$swage" train kan/dae data.path="$source/samples/histology" data.tile=32 data.size=crop model.channels='[8, 8, 8, 4]' run.name=kan logger=all \
            data.batch_size=4 trainer.max_epochs=2 trainer.limit_train_batches=1 trainer.limit_val_batches=1 image_saver.every=1 -q >out 2>err || { fail "kan"; cat err; }
        "$python" "$source/tests/tools/check_events.py" runs/kan 2 >out 2>&1 || { fail "TensorBoard on runs/kan"; tail -5 out; }
        tail -1 out
    fi
else
    echo "loggers.sh: $python has no tensorboard: its reading was not tried (SWAGE_PYTHON names one)"
fi
[ $failures = 0 ]
