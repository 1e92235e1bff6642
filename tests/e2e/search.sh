#!/bin/sh
# search.sh - proves: every combination of settings is trained and measured once, at the same time or one by one; an interrupted search goes
# on, a wider one adds only what is new; a run that fails is told and does not stop the others; the Slurm scripts do the same work.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"
json=$tools/json
equal() { [ "$1" = "$2" ] || fail "$3: $1, expected $2"; }
data=$source/samples/bssn/bbh_q1_blocks_64_t5.h5
small="data.path=$data data.vars=U_CHI epochs=1 model.hidden=[16]"

# ---- two by two, at the same time ----
expect 0 "4 of 4 runs finished" search swae/mlp $small latent=2,4 lr=1e-4,1e-3 -o s -j 2 --threads 2
equal "$(wc -l <s/search.csv | tr -d ' ')" 5 "lines of the CSV"
equal "$("$json" s/search.json runs)" 4 "runs in the JSON"
for key in run settings done front_ratio front_speed psnr_db bits_per_value encode_blocks_s decode_blocks_s psnr_norm_db mse val_loss parameters macs epochs train_s threads; do
    "$json" s/search.json runs.3.$key >/dev/null || fail "no $key"
done
equal "$("$json" s/search.json runs.1.settings)" "model.latent=2 optimizer.lr=1e-3" "settings of run 1"
equal "$("$json" s/search.json runs.3.parameters)" $((125 * 16 + 16 + 16 * 4 + 4 + 4 * 16 + 16 + 16 * 125 + 125)) "parameters of run 3"
equal "$("$json" s/search.json runs.0.threads)" 1 "threads of a run"
holds() { awk "BEGIN { exit !($1) }" || fail "$1"; }
holds "$("$json" s/search.json runs.0.bits_per_value) < $("$json" s/search.json runs.2.bits_per_value)"
check grep -q "<svg" s/search.html
check grep -q "Quality against speed" s/search.html
# On each front stands somebody, and the best run stands on both ends.
check grep -q ',1,[01],' s/search.csv

# ---- nothing twice ----
stamp() { cat s/runs/*/log.jsonl | wc -c; }
before=$(stamp)
expect 0 "4 of 4 runs finished" search swae/mlp $small latent=2,4 lr=1e-4,1e-3 -o s
equal "$(stamp)" "$before" "bytes logged by a search that was finished"
"$swage" search swae/mlp lr=1e-3,5e-4,1e-4 $small latent=4,8 -o s --collect >out
check grep -q "2 of 6 runs finished" out
expect 0 "2 of 2 runs finished" search swae/mlp $small latent=4,8 lr=1e-4 -o s
equal "$(ls s/runs | grep -c -v log)" 5 "folders after a wider search"
expect 0 "2 of 2 runs finished" search swae/mlp $small latent=4,8 lr=1e-4 -o s --part test
equal "$(ls s/runs/*/result-test.json | wc -l | tr -d ' ')" 2 "runs measured on another part"
"$swage" search swae/mlp $small latent=4,8 lr=1e-4 -o s --json >j.json && equal "$("$json" j.json runs)" 2 "runs as JSON"

# ---- depth and width ----
expect 0 "6 of 6 runs finished" search swae/mlp-deep data.path="$data" data.vars=U_CHI epochs=1 width=16,8 depth=shallow,baseline,3 -o d -j 2
equal "$("$json" d/search.json runs.0.parameters)" $((125 * 16 + 16 + 16 * 16 + 16 + 16 * 16 + 16 + 16 * 125 + 125)) "parameters of a shallow one"
expect 0 "1 of 1 runs" search swae/mlp-deep data.path="$data" data.vars=U_CHI epochs=1 depth=deep 'model.hidden=[8, 4]' -o d2
check grep -q 'hidden: \[8, 4, 2\]' d2/runs/*/config.yaml
expect 0 "4 of 6 combinations are left out" search swae/mlp $small latent=2,2 lr=1e-4,1e-4,1e-3 -o twice --slurm
check grep -q -- '--array=0-1%' twice/slurm/search.sbatch

# ---- Slurm, as a job of the array sees it ----
expect 0 "sh l/slurm/submit.sh" search swae/mlp $small latent=2,3 -o l --slurm -j 7 --threads 3
check grep -qx -- '#SBATCH --cpus-per-task=3' l/slurm/search.sbatch
check grep -qF -- '--array=0-1%7' l/slurm/search.sbatch
for script in search.sbatch collect.sbatch submit.sh; do
    check sh -n l/slurm/$script
done
for task in 1 0; do
    SWAGE=$swage SLURM_ARRAY_TASK_ID=$task SLURM_CPUS_PER_TASK=1 sh l/slurm/search.sbatch >out 2>err || fail "job $task of the array: $(cat err)"
done
SWAGE=$swage sh l/slurm/collect.sbatch >out
check grep -q "2 of 2 runs finished" out
[ "$(ls recipes 2>/dev/null)" = "" ] || fail "something was written elsewhere"
expect 0 "2 runs" search swae/mlp $small latent=2,3 -o "a b%j" --slurm
check grep -qxF '#SBATCH --output="a b%%j/slurm/%A_%a.log"' "a b%j/slurm/search.sbatch"
check grep -qxF '#SBATCH --output="a b%%j/slurm/collect.log"' "a b%j/slurm/collect.sbatch"
SWAGE=$swage sh "a b%j/slurm/collect.sbatch" >out 2>err || fail "the table of a folder with a space: $(cat err)"
check grep -q "0 of 2 runs finished" out
for bad in 'q"q' "q'q" 'q
q'; do
    expect 2 "Slurm takes no folder" search swae/mlp $small latent=2,3 -o "$bad" --slurm
    check [ ! -e "$bad" ]
done

# ---- the sample jobs ----
for job in train encode; do
    env SWAGE="$swage" DATA="$data" NAME=job MODEL=runs/job SETTINGS="data.vars=U_CHI trainer.epochs=1 model.hidden=[16]" sh "$source/recipes/slurm/$job.sbatch" >out 2>err ||
        fail "$job.sbatch: $(cat err)"
done
check test -s encoded/*/all_variables_encoded.h5

# ---- a run that fails; an interrupt ----
expect 1 "1 of 2 runs failed; the first one says why in f/runs" search swae/mlp epochs=1 model.hidden=[16] "data.path=$data,nowhere.h5" data.vars=U_CHI -o f
check grep -q "nowhere.h5" f/runs/*.log
equal "$("$json" f/search.json runs.0.done runs.1.done | tr '\n' ' ')" "true false " "what is done"
# As Ctrl-C of a terminal does it: the signal goes to the whole group.
setsid "$swage" search swae/mlp data.path="$data" epochs=4000 latent=2,3 -o i -j 2 >out 2>err &
pid=$!
tries=0
while [ "$(ls -d i/runs/*/ckpt 2>/dev/null | wc -l)" -lt 2 ] && [ $tries -lt 200 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -INT -$pid
wait $pid
equal $? 130 "exit status of an interrupted search"
check grep -q "the same command goes on where it stopped" err
equal "$(ls i/runs/*/ckpt/last.safetensors | wc -l | tr -d ' ')" 2 "checkpoints of interrupted runs"
equal "$(grep -l "; saved" i/runs/*.log | wc -l | tr -d ' ')" 2 "logs of interrupted runs that say they saved"

# ---- wrong use ----
expect 2 "unknown key" search swae/mlp latnet=1,2 data.path="$data" -o w
expect 2 "model.latent" search swae/mlp latent=1,0 data.path="$data" -o w
expect 2 "an empty value" search swae/mlp latent=1,,2 data.path="$data" -o w
expect 2 "depth=9" search swae/mlp depth=9 data.path="$data" -o w
expect 2 "width=none" search swae/mlp width=none data.path="$data" -o w
expect 2 "expected val, test, train or all" search swae/mlp latent=1,2 --part half -o w
expect 2 "--only 2: not an integer from 0 to 1" search swae/mlp latent=1,2 --only 2 -o w
expect 2 "more than 10000 combinations" search swae/mlp latent=1,2,3,4,5,6,7,8,9,10,11 batch=1,2,3,4,5,6,7,8,9,10,11 lr=1e-1,1e-2,1e-3,1e-4,1e-5,1e-6,1e-7,1e-8,1e-9,2e-1 lambda=1,2,3,4,5,6,7,8,9,10 -o w
check [ ! -e w ]

[ $failures = 0 ]
