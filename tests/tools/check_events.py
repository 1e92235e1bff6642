# check_events.py - reads a run's event files as TensorBoard does and compares every scalar with metrics.csv: same steps, same values in f32, no step
# twice. Arguments: run folder, least number of pictures. Needs tensorboard.
# SPDX-License-Identifier: Apache-2.0
import csv
import math
import os
import sys

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

run, pictures = sys.argv[1], int(sys.argv[2])
events = EventAccumulator(os.path.join(run, "tensorboard"), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
events.Reload()
with open(os.path.join(run, "metrics.csv"), newline="") as file:
    rows = list(csv.DictReader(file))
tags = set(events.Tags()["scalars"])


def column_of(tag):
    """train/loss -> train_loss; quality/psnr_db -> psnr_db; perf/x -> x."""
    for name in (tag.replace("/", "_", 1), tag.split("/", 1)[-1]):
        if name in rows[0]:
            return name
    raise SystemExit(f"{tag}: no column of metrics.csv")


compared = 0
columns = {"step"}
for tag in sorted(tags):
    column = column_of(tag)
    columns.add(column)
    here = {e.step: e.value for e in events.Scalars(tag)}
    if len(here) != len(events.Scalars(tag)):
        raise SystemExit(f"{tag}: a step is there twice: {[e.step for e in events.Scalars(tag)]}")
    there = {int(row["step"]): float(row[column]) for row in rows if row[column] != ""}
    if set(here) != set(there):
        raise SystemExit(f"{tag}: steps {sorted(here)}, expected {sorted(there)}")
    for step, value in there.items():
        close = np.float32(value) == np.float32(here[step]) or abs(value - here[step]) <= 2e-7 * abs(value)
        if not (close or (math.isnan(value) and math.isnan(here[step]))):
            raise SystemExit(f"{tag} at {step}: {here[step]}, expected {value}")
        compared += 1
missing = {name for name in rows[0] if any(row[name] != "" for row in rows)} - columns
if missing:
    raise SystemExit(f"columns without a tag: {sorted(missing)}")

images = events.Tags()["images"]
for tag in images:
    steps = [e.step for e in events.Images(tag)]
    if len(set(steps)) != len(steps):
        raise SystemExit(f"{tag}: a step is there twice: {steps}")
    picture = events.Images(tag)[-1]
    if picture.encoded_image_string[1:4] != b"PNG" or picture.width < 1 or picture.height < 1:
        raise SystemExit(f"{tag}: no PNG")
if len(images) < pictures:
    raise SystemExit(f"{len(images)} pictures, expected {pictures} at least")
config = tensor_util.make_ndarray(events.Tensors("config")[0].tensor_proto).item().decode()
with open(os.path.join(run, "config.yaml")) as file:
    first = file.read().split("\n")[0]
if first not in config:
    raise SystemExit("the text `config` is not config.yaml")
print(f"{compared} values of {len(tags)} tags, {len(images)} pictures: as in metrics.csv")
