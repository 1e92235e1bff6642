#!/bin/sh
# train_codec.sh - proves: `swage train codec/...` leaves models that `compress -m` takes for other steps and `decompress` needs no more; stopping
# and going on; `compress --train`; wrong use is refused. Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"
cp "$source"/samples/bssn/bbh_q1_uniform_32_t*.h5 . || exit 1
mkdir early
mv bbh_q1_uniform_32_t1.h5 bbh_q1_uniform_32_t3.h5 early
vars="data.vars=[U_SYM*,U_B*]"

# Earlier steps, another one, without the run folder.
expect 0 "bits without" train codec/law data.path=early $vars bound=rel:1e-3 run.dir=runs run.name=law
for f in model.swm config.yaml report.json; do
    [ -s "runs/law/$f" ] || fail "runs/law/$f is missing"
done
grep -q '"held_out":	true' runs/law/report.json || fail "nothing was held out"
expect 0 "bytes in" compress bbh_q1_uniform_32_t5.h5 -e rel:1e-3 --vars 'U_SYM*,U_B*' -o plain.swz
expect 0 "of these models" compress bbh_q1_uniform_32_t5.h5 -e rel:1e-3 --vars 'U_SYM*,U_B*' -m runs/law -o with.swz
[ "$(wc -c <with.swz)" -lt "$(wc -c <plain.swz)" ] || fail "with models $(wc -c <with.swz) bytes, without $(wc -c <plain.swz)"
expect 0 "bytes in" compress bbh_q1_uniform_32_t5.h5 -e rel:1e-3 --vars 'U_SYM*,U_B*' -m runs/law/model.swm --threads 1 -o one.swz
cmp with.swz one.swz || fail "the file depends on the number of threads"
mv runs gone
expect 0 "18 arrays" decompress with.swz -o restored
expect 0 "0 values outside" verify with.swz bbh_q1_uniform_32_t5.h5
mv gone runs

expect 0 "law of the polynomial mode" info runs/law
expect 0 '"variable":	"U_SYMGT0"' info runs/law/model.swm --json

# A bound they were not trained for: as without.
expect 0 "bytes in" compress bbh_q1_uniform_32_t5.h5 -e rel:1e-5 --vars U_CHI -o p4.swz
expect 0 "bytes in" compress bbh_q1_uniform_32_t5.h5 -e rel:1e-5 --vars U_CHI -m runs/law -o w4.swz
cmp p4.swz w4.swz || fail "models of another bound were used"

# The same command again is refused, and goes on with resume=auto: what is there stays.
expect 1 "holds models already" train codec/law data.path=early $vars bound=rel:1e-3 run.dir=runs run.name=law
before=$(cksum <runs/law/model.swm)
expect 0 "run folder" train codec/law data.path=early $vars bound=rel:1e-3 run.dir=runs run.name=law resume=auto
[ "$before" = "$(cksum <runs/law/model.swm)" ] || fail "resume=auto changed the models"
expect 0 '"bits_per_value_with"' train runs/law run.name=again --json
cmp runs/law/model.swm runs/again/model.swm || fail "the same recipe gave other models"

# Trained on the file itself.
expect 0 "which save" compress early -e rel:1e-3 --train=law -o own.swz
expect 0 "0 values outside" verify own.swz early
expect 0 '"model_saved_bytes":	' compress early -e rel:1e-3 --train=stencil,law --vars U_CHI,U_K --json -o own2.swz
expect 0 "0 values outside" compress --hdf5 bbh_q1_uniform_32_t5.h5 -e rel:1e-3 --train=law -o own.h5

# Causal networks, at most five seconds for each variable; on a busy machine that may be too little for one of the two to win its chunk.
expect 0 "run folder" train codec/causal data.path=early 'data.vars=[U_SYMAT0,U_CHI]' bound=rel:1e-6 codec.seconds=5 run.dir=runs run.name=net
expect 0 "mlp " compress bbh_q1_uniform_32_t5.h5 -e rel:1e-6 --vars U_SYMAT0,U_CHI -m runs/net --without poly,interpolation -o net.swz
mv runs gone
expect 0 "0 values outside" verify net.swz bbh_q1_uniform_32_t5.h5
mv gone runs

# Wrong use.
expect 1 "is no kind of codec model; there are: " compress early -e rel:1e-3 --train=kriging -o x.swz
expect 2 "exclude each other" compress early -e rel:1e-3 --train -m runs/law -o x.swz
expect 2 "data.path: not set" train codec/stencil
expect 2 "abs:NUMBER or rel:NUMBER" train codec/stencil data.path=early bound=psnr:60 run.dir=runs
{ head -c 100 runs/law/model.swm; echo; } >bad.swm
expect 1 "checksum" compress early -e rel:1e-3 -m bad.swm -o x.swz
[ ! -e x.swz ] || fail "a refused command left a file"
[ $failures = 0 ]
