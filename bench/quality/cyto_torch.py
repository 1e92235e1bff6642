"""cyto_torch.py - the PyTorch side of cyto.py segmentation: the same network, data, loss, optimiser and time, one thread.

Arguments: CSV (image, label, split), folder for probability images and epochs.txt, minutes, precision (32 or bf16-mixed). The best epoch by the loss
of the validation part predicts, by windows of 128 that overlap by half, blended with the Gaussian weight of `swage predict`.
SPDX-License-Identifier: Apache-2.0
"""
import copy
import csv
import os
import sys
import time

import numpy as np
import torch
from skimage import io

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peers", "pytorch"))
from cyto_networks import DynUNet, dice_ce  # noqa: E402

SIDE, BATCH = 128, 8


def load(path):
    parts = {"train": [], "valid": [], "test": []}
    with open(path, encoding="utf-8") as f:
        for row in csv.DictReader(f):
            x = io.imread(row["image"])[..., 0].astype(np.float32)
            x = (x - x.mean()) / (x.std() or 1)
            parts[row["split"]].append((x, (io.imread(row["label"]) > 0).astype(np.float32), row["image"]))
    return parts


def crop(rng, x, y, augment):
    a, b = (rng.integers(0, s - SIDE + 1) for s in x.shape)
    pair = np.stack((x[a:a + SIDE, b:b + SIDE], y[a:a + SIDE, b:b + SIDE]))
    if augment:
        pair = np.rot90(pair, rng.integers(0, 4), (1, 2))
        for axis in (1, 2):
            if rng.random() < 0.5:
                pair = np.flip(pair, axis)
    return np.ascontiguousarray(pair)


def batch_of(rng, items, augment):
    pairs = torch.from_numpy(np.stack([crop(rng, x, y, augment) for x, y, _ in items]))
    return pairs[:, :1], pairs[:, 1:]


def predict(model, image, autocast):
    starts = []
    for n in image.shape:
        step = SIDE // 2
        starts.append([min(k * step, n - SIDE) for k in range(-(-(n - SIDE) // step) + 1)])
    d = np.arange(SIDE) - (SIDE - 1) / 2
    line = np.maximum(np.exp(-d ** 2 / (2 * (0.125 * SIDE) ** 2)), 1e-3)
    weight = np.outer(line, line)
    total, weights = np.zeros(image.shape), np.zeros(image.shape)
    for y in starts[0]:
        for x in starts[1]:
            window = torch.from_numpy(np.ascontiguousarray(image[y:y + SIDE, x:x + SIDE]))[None, None]
            with torch.no_grad(), autocast():
                p = torch.sigmoid(model(window).float())[0, 0].numpy()
            total[y:y + SIDE, x:x + SIDE] += weight * p
            weights[y:y + SIDE, x:x + SIDE] += weight
    return total / weights


def main():
    path, folder, minutes, precision = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4]
    torch.manual_seed(12345)
    torch.set_num_threads(1)
    rng = np.random.default_rng(12345)
    begin = time.time()
    parts = load(path)
    model = DynUNet(2).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.995)

    def autocast():
        return torch.autocast("cpu", torch.bfloat16, enabled=precision != "32")

    best, best_loss, epochs = None, np.inf, 0
    while time.time() - begin < 60 * minutes:
        order = rng.permutation(len(parts["train"]))
        model.train()
        for k in range(0, len(order), BATCH):
            x, y = batch_of(rng, [parts["train"][i] for i in order[k:k + BATCH]], True)
            optimiser.zero_grad(set_to_none=True)
            with autocast():
                logits = model(x.contiguous(memory_format=torch.channels_last))
            dice_ce(logits.float(), y).backward()
            optimiser.step()
            if time.time() - begin >= 60 * minutes:
                break
        schedule.step()
        model.eval()
        fixed, loss = np.random.default_rng(1), 0.0
        for k in range(0, len(parts["valid"]), BATCH):
            items = parts["valid"][k:k + BATCH]
            x, y = batch_of(fixed, items, False)
            with torch.no_grad(), autocast():
                logits = model(x)
            loss += dice_ce(logits.float(), y).item() * len(items)
        epochs += 1
        if loss < best_loss:
            best, best_loss = copy.deepcopy(model.state_dict()), loss
    model.load_state_dict(best)
    for x, _, name in parts["test"]:
        io.imsave(os.path.join(folder, os.path.basename(name)[:-4] + ".tif"), predict(model, x, autocast).astype(np.float32), check_contrast=False)
    with open(os.path.join(folder, "epochs.txt"), "w", encoding="utf-8") as f:
        f.write(str(epochs))


if __name__ == "__main__":
    main()
