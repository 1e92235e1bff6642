# cyto_vit.sh - proves on made-up cells: a world model stopped and resumed ends with the bits of one that was not, teacher
# included; in two micro-batches per update its teacher moves once, as in one batch; both learn; an autoencoder's encoder starts a segmentation.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"

check "$swage" example cells --images 4 --extent 64,96,96 >out
set -- data.path=cells data.crops=8 run.dir=runs -q

# Tensors of a checkpoint: what follows 8 bytes of length and the header (which holds times).
tensors() { tail -c "+$((9 + $(od -An -tu8 -N8 "$1")))" "$1"; }
# column NAME RUN ROW: a number of metrics.csv; row 2 is the first epoch.
column() { awk -F, -v name="$1" -v row="$3" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i } NR == row { print $c }' "runs/$2/metrics.csv"; }
below() { awk -v a="$1" -v b="$2" -v part="$3" 'BEGIN { exit !(a + 0 > 0 && a < b * part) }' || fail "$4: $1 is not below $3 of $2"; }

check "$swage" train cyto/iwm "$@" data.batch_size=4 trainer.max_epochs=6 run.name=whole
check "$swage" train cyto/iwm "$@" data.batch_size=4 trainer.max_epochs=6 run.name=parts trainer.max_steps=8
check "$swage" train cyto/iwm "$@" data.batch_size=4 trainer.max_epochs=6 run.name=parts resume=auto
check grep -qa state.teacher.patch.weight runs/whole/ckpt/last.safetensors
for run in whole parts; do
    tensors runs/$run/ckpt/last.safetensors >$run.bits
done
check cmp whole.bits parts.bits

check "$swage" train cyto/iwm "$@" data.batch_size=2 trainer.accumulate=2 trainer.max_epochs=6 run.name=micro
for row in 2 7; do
    awk -v a="$(column val_loss whole $row)" -v b="$(column val_loss micro $row)" 'BEGIN { d = (a - b) / a; exit !(a + 0 > 0 && d < 1e-5 && d > -1e-5) }' ||
        fail "epoch $row: validation loss $(column val_loss whole $row), of two micro-batches $(column val_loss micro $row)"
done
below "$(column val_loss whole 7)" "$(column val_loss whole 2)" .95 "world model"
expect 0 "1 written" predict runs/whole predict.input=cells/raw-0.tif predict.output=rows
check [ "$(wc -l <rows/embeddings.csv)" = 2 ]

check "$swage" train cyto/mae "$@" data.batch_size=4 trainer.max_epochs=6 optimizer.lr=3e-3 model.decoder_dim=48 run.name=mae
below "$(column train_loss mae 7)" "$(column train_loss mae 2)" .95 "autoencoder"
check "$swage" train cyto/vit_segmentation "$@" data.patch=[16,16,16] data.batch_size=4 trainer.max_epochs=1 model.encoder_from=runs/mae run.name=seg
expect 1 "not a masked autoencoder" train cyto/vit_segmentation "$@" data.patch=[16,16,16] model.encoder_from=runs/whole run.name=other
[ $failures = 0 ]
