# cyto_keys.sh - proves that images, targets and settings which do not fit a network of family cyto are refused where they are named, in training,
# evaluation and prediction: other channels, another scale, label images as masks, objects of what is no mask, settings of other networks.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"
"$swage" --version | grep -q libtiff || { echo "cyto_keys.sh: this build has no libtiff: skipped"; exit 77; }
check "$swage" example cells --images 4 --extent 16,32,32 >out
set -- data.path=cells run.dir=runs -q trainer.max_epochs=1 model.spatial_dims=2 data.z=8 data.patch=[32,32]
unet="data.source=raw channel=5 normalise"

check "$swage" train cyto/segmentation "$@" "$unet" 'data.target=["seg channel=0+1","raw channel=6 normalise"]' 'model.heads=["masks","dye loss=mse"]' run.name=two
check "$swage" train cyto/labelfree "$@" "$unet" 'data.target=["raw channel=6 normalise"]' run.name=free
check "$swage" train cyto/mae "$@" "$unet" run.name=mae data.patch=[16,16]

# other channels than those of the training
expect 1 '7 channels; the network takes 1' predict runs/two input=cells output=no "data.source=raw normalise"
expect 1 '7 channels; the network takes 1' eval runs/two "data.source=raw normalise"
expect 1 'has 1 channels, expected 2' eval runs/two 'data.target=["seg channel=0","raw channel=6 normalise"]'
expect 1 'data.labels: "seg" has 4 channels, expected 1' eval runs/two "data.labels=seg labels"
expect 0 'AP@.5' eval runs/two "data.labels=nuclei labels"
check "$swage" train cyto/segmentation "$@" "$unet" 'data.target=["raw channel=6 normalise","seg channel=0"]' 'model.heads=["dye loss=mse","masks"]' run.name=second
expect 0 'AP@.5' eval runs/second "data.labels=nuclei labels"

# another scale
expect 2 "data.source: scale=2" train cyto/segmentation "$@" "data.source=raw channel=5 scale=2" 'data.target=["seg channel=0"]' run.name=no
expect 2 "data.target: scale=2; model.name=unet" train cyto/segmentation "$@" "$unet" 'data.target=["seg channel=0 scale=2"]' run.name=no
expect 1 "gives 1024 values a patch, the network takes 256" eval runs/mae "data.source=raw channel=5 scale=2"

# what is no mask
expect 1 '"nuclei" of cells/raw-' train cyto/segmentation "$@" "$unet" 'data.target=["nuclei"]' run.name=labels
check grep -q 'label images need "binary"' err
expect 2 "predict.instances: this network predicts no mask" predict runs/free input=cells output=no predict.instances=true
expect 2 "data.labels: this network predicts no mask" eval runs/free "data.labels=nuclei labels"
expect 2 "data.labels: this network predicts no mask" eval runs/mae "data.labels=nuclei labels"
expect 2 "predict.box: an evaluation compares whole images" eval runs/two "predict.box=[0,1,0,16,0,16]"
check [ ! -e no ]

# settings of other networks
expect 2 "model.mask_ratio: a setting of model.name=mae; it is unet here" train cyto/segmentation "$@" model.mask_ratio=0.5 run.name=no
expect 2 "model.filters: a setting of model.name=unet, gan; it is mae here" train cyto/mae "$@" "model.filters=[8,16]" run.name=no
expect 2 'column "split"' train cyto/mae "$@" data.split=by-group run.name=no
expect 2 "model.domains: 2 names" train cyto/iwm "$@" 'model.domains=["A","B"]' run.name=no
check [ ! -e runs/no ]

# an encoder is taken whole or not at all
vit="data.source=raw channel=5 normalise"
check "$swage" train cyto/vit_segmentation "$@" "$vit" 'data.target=["seg channel=0"]' data.patch=[16,16] model.encoder_from=runs/mae run.name=begun
expect 1 "its encoder is another one" train cyto/vit_segmentation "$@" "$vit" 'data.target=["seg channel=0"]' data.patch=[16,16] model.encoder_from=runs/mae model.dim=32 run.name=wide
expect 1 "its encoder is another one" train cyto/vit_segmentation "$@" "$vit" 'data.target=["seg channel=0"]' model.spatial_dims=3 data.patch=[16,16,16] model.encoder_from=runs/mae run.name=deep

# data of one's own are not written over; an example is made anew
mkdir own && printf 'raw,seg\nmine.tif,mask.tif\n' >own/train.csv
expect 1 "own/train.csv is of other data" example own --images 1 --extent 16,16,16
check [ "$(ls own)" = train.csv ]
check "$swage" example cells --images 4 --extent 16,32,32 >out
expect 1 "costs are of networks that encode and decode blocks" costs cyto/segmentation

# what does not fit into memory is known from the plan
expect 1 "or data.patch, gradient_checkpointing=blocks" train cyto/segmentation data.path=cells "$unet" 'data.target=["seg channel=0"]' data.pad=reflect "data.patch=[2048,2048,2048]" run.name=huge -q

# objects below a threshold that takes none
expect 0 "--threshold otsu takes one from the image" instances cells/raw-0.tif --channel 5
[ $failures = 0 ]
