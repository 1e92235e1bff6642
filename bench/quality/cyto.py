"""cyto.py - what the networks of family cyto reach on real microscopy: `swage train` beside a baseline without a network and beside PyTorch.

In: the folder `microscopy` of the project's data, a built `swage`; with --torch a Python that has PyTorch (the one that runs this). Out: a table as
Markdown per work, and figures.json in --work.
  segmentation  DSB2018, fluorescence, 2-D: the split of otsu.py (an image is for testing if its id's first byte is a multiple of 5). `swage train` and the
                same network in PyTorch train side by side for --minutes, a thread each; both predictions become objects by `swage instances`.
  labelfree     the fluorescence of a volume from transmitted light, 3-D: four folds of columns of x, so that every voxel is predicted by a network that did
                not see it, nor 8 columns beside it; the published network's prediction comes with the data and was trained on other volumes.
  superres      DSB2018 at a quarter of its size to full size, 2-D: the GAN as published, its generator with the mean square error alone, and that with
                model.head.kind=subpixel, beside linear interpolation.
  mae           masked autoencoder on the images of DSB2018, without labels; then masks from 4 labelled images, the encoder trained before or from scratch, as many epochs.
  iwm           image world model between two channels of BBBC022: embeddings, their rank, and what a linear probe reads from them.
    python3 bench/quality/cyto.py segmentation --swage build/swage --data microscopy --work DIR --minutes 10
Needs numpy and scikit-image, for segmentation with --torch PyTorch.
SPDX-License-Identifier: Apache-2.0
"""
import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
from skimage import io

HERE = os.path.dirname(os.path.abspath(__file__))


# ---- swage ----

def swage(a, *words, minutes=None, quiet=True):
    """Runs a command; with `minutes` it is asked to stop then, as by Ctrl-C."""
    p = subprocess.Popen([a.swage, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT if quiet else None, text=True)
    try:
        out, _ = p.communicate(timeout=minutes and 60 * minutes)
    except subprocess.TimeoutExpired:
        p.send_signal(signal.SIGINT)
        out, _ = p.communicate()
    if p.returncode not in (0, 130) and not minutes:
        sys.exit(f"swage {' '.join(words)}\n{out}")
    return out


def evaluate(a, run, *words):
    return json.loads(subprocess.run([a.swage, "eval", run, "--json", *words], check=True, capture_output=True, text=True).stdout)


def fresh(a, name):
    folder = os.path.join(a.work, name)
    if os.path.exists(folder):
        subprocess.run(["rm", "-rf", folder], check=True)
    return folder


def write_csv(path, head, rows):
    with open(path, "w", encoding="utf-8") as f:
        w = csv.writer(f)
        w.writerow(head)
        w.writerows(rows)


def epochs_of(run):
    with open(os.path.join(run, "metrics.csv"), encoding="utf-8") as f:
        return sum(1 for _ in f) - 1


def table(title, head, rows):
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    sys.stdout.flush()


# ---- the nuclei ----

def nuclei(a):
    folder = os.path.join(a.data, "dsb2018")
    with open(os.path.join(folder, "index_dev.tsv"), encoding="utf-8") as f:
        for row in csv.DictReader(f, delimiter="\t"):
            paths = [os.path.join(folder, name, row["id"] + ".png") for name in ("images", "labels")]
            if row["kind"] != "fluo" or not all(map(os.path.exists, paths)):
                continue
            first, second = int(row["id"][:2], 16), int(row["id"][2:4], 16)
            yield *paths, "test" if first % 5 == 0 else "valid" if first % 5 == 1 and second % 3 == 0 else "train"


def nuclei_table(a):
    path = os.path.join(a.work, "nuclei.csv")
    write_csv(path, ["image", "label", "split"], nuclei(a))
    return path


NUCLEI = ["model.spatial_dims=2", "data.source=image channel=0 normalise", "data.pad=reflect", "trainer.threads=1", "optimizer.lr=3e-3"]
INFERENCE = ["predict.overlap=0.5", "sw_batch_size=4"]


def segmentation(a):
    path, run = nuclei_table(a), fresh(a, "segmentation")
    words = ["train", "cyto/segmentation", f"data.path={path}", *NUCLEI, 'data.target=["label binary"]', "data.patch=[128,128]", "data.batch_size=8",
             "data.augment=flip,turn", "trainer.max_epochs=100000", f"run.dir={a.work}", "run.name=segmentation", f"trainer.precision={a.precision}"]
    peer = None
    if a.torch:
        torch_work = os.path.join(a.work, "torch")
        os.makedirs(torch_work, exist_ok=True)
        peer = subprocess.Popen([sys.executable, os.path.join(HERE, "cyto_torch.py"), path, torch_work, str(a.minutes), a.precision])
    swage(a, *words, minutes=a.minutes)
    rows = []
    e = evaluate(a, run, "data.labels=label", "predict.min_size=20", *INFERENCE)["heads"][0]
    cells = lambda name, epochs, e: [name, epochs, *(f"{e[k]:.3f}" for k in ("ap50", "ap50_95", "dice")), f"{e['count_error']:.2f}", f"{e['count_bias']:+.2f}"]
    rows.append(cells("`swage train`", str(epochs_of(run)), e))
    results = {"swage": {k: v for k, v in e.items() if k != "rows"}, "swage_epochs": epochs_of(run)}
    if peer:
        if peer.wait():
            sys.exit("PyTorch failed")
        t = evaluate_torch(a, os.path.join(a.work, "torch"))
        rows.append(cells("the same network in PyTorch", str(t["epochs"]), t))
        results["torch"] = t
    table(f"Nuclei, {a.minutes:g} minutes of training on one thread each, {a.precision}", ["", "epochs", "AP@.5", "AP", "Dice", "count error", "bias"], rows)
    return results


def evaluate_torch(a, folder):
    """Its probability images through the same steps to objects."""
    names = ("ap50", "ap50_95", "dice", "count_error", "count_bias")
    sums = {k: [] for k in names}
    for image, labels, split in nuclei(a):
        if split != "test":
            continue
        probability = os.path.join(folder, os.path.basename(image)[:-4] + ".tif")
        out = json.loads(subprocess.run([a.swage, "instances", probability, "--threshold", "0.5", "--min-size", "20", "--json", "--reference", labels],
                                        capture_output=True, text=True, check=True).stdout)
        r = out["reference"]
        for k, v in zip(names, (r["ap"][0], r["ap_mean"], r["dice"], abs(r["count_bias"]), r["count_bias"])):
            sums[k].append(v)
    with open(os.path.join(folder, "epochs.txt"), encoding="utf-8") as f:
        return {**{k: float(np.mean(v)) for k, v in sums.items()}, "epochs": int(f.read())}


# ---- label-free ----

def psnr(truth, made):
    return 20 * np.log10(np.ptp(truth)) - 10 * np.log10(np.mean((truth - made) ** 2))


def labelfree(a):
    """Columns of x in four folds, 32 each; 8 columns beside them are not trained on."""
    folder = os.path.join(a.data, "labelfree")
    light, dye, published = (io.imread(os.path.join(folder, f"fnet_{name}.tif")).astype(np.float32) for name in ("light", "nuc", "prediction"))
    work = os.path.join(a.work, "labelfree-data")
    os.makedirs(work, exist_ok=True)
    made, width = np.zeros_like(dye), dye.shape[2] // 4
    epochs = []
    for fold in range(4):
        low, high = fold * width, (fold + 1) * width
        rows = []
        for k, (first, last) in enumerate(((0, low - 8), (high + 8, dye.shape[2]))):
            if last - first < 32:
                continue
            names = [os.path.join(work, f"{name}-{fold}-{k}.npy") for name in ("light", "dye")]
            np.save(names[0], light[:, :, first:last])
            np.save(names[1], dye[:, :, first:last])
            rows.append([*names, "train"])
        held = [os.path.join(work, f"{name}-{fold}-held.npy") for name in ("light", "dye")]
        np.save(held[0], light[:, :, low:high])
        np.save(held[1], dye[:, :, low:high])
        write_csv(os.path.join(work, f"{fold}.csv"), ["light", "dye", "split"], rows + [rows[0][:2] + ["valid"]])
        run = fresh(a, f"labelfree-{fold}")
        swage(a, "train", "cyto/labelfree", f"data.path={work}/{fold}.csv", "data.source=light layout=ZYX normalise", 'data.target=["dye layout=ZYX normalise"]',
              "data.patch=[32,32,32]", "data.crops=64", "data.batch_size=2", "data.augment=flip,turn", "optimizer.lr=2e-3", "trainer.max_epochs=100000", "trainer.threads=1", f"trainer.precision={a.precision}",
              f"run.dir={a.work}", f"run.name=labelfree-{fold}", minutes=a.minutes / 4)
        epochs.append(epochs_of(run))
        out = fresh(a, f"labelfree-out-{fold}")
        swage(a, "predict", os.path.join(run, "ckpt", "last.safetensors"), f"input={held[0]}", f"output={out}", "predict.overlap=0.5", "predict.type=f32")
        seen = np.concatenate([np.load(row[1]).ravel() for row in rows]) # back to the dye's units by what was trained on
        made[:, :, low:high] = io.imread(os.path.join(out, "dye", f"light-{fold}-held.tif")) * seen.std() + seen.mean()
    rows, results = [], {"epochs": epochs}
    for name, image in (("published network", published), ("`swage train`, four folds", made)):
        x, y = image.astype(np.float64).ravel(), dye.astype(np.float64).ravel()
        fitted = ((x - x.mean()) * np.cov(x, y)[0, 1] / x.var() + y.mean()).reshape(dye.shape)
        r = np.corrcoef(image.ravel(), dye.ravel())[0, 1]
        rows.append([name, f"{r:.4f}", f"{psnr(dye, image):.2f}", f"{psnr(dye, fitted):.2f}"])
        results[name] = {"pearson": float(r), "psnr_db": float(psnr(dye, image)), "psnr_fitted_db": float(psnr(dye, fitted))}
    table(f"Fluorescence from transmitted light, {a.minutes:g} minutes of training on one thread over four folds", ["", "Pearson r", "PSNR dB", "PSNR dB after the best linear fit"], rows)
    return results


# ---- super-resolution ----

def superres(a):
    from skimage.metrics import structural_similarity
    from skimage.transform import resize
    path, rows, results = nuclei_table(a), [], {}
    source, target = "image channel=0 zoom=0.25 percentile=0.01:99.99", "image channel=0 percentile=0.01:99.99 scale=4"
    common = [f"data.path={path}", "model.spatial_dims=2", f"data.source={source}", f'data.target=["{target}"]', "data.patch=[32,32]", "data.batch_size=8", "data.pad=reflect",
              "data.augment=flip,turn", "optimizer.lr=2e-3", "trainer.max_epochs=100000", "trainer.threads=1", f"trainer.precision={a.precision}", f"run.dir={a.work}"]
    alone = ["loss.features=0", "loss.adversarial=0"]
    for short, name, words in (("gan", "GAN, as published", []), ("mse", "mean square error alone", alone),
                               ("subpixel", "that, `model.head.kind=subpixel`", alone + ["model.head.kind=subpixel"])):
        run = fresh(a, "superres-" + short)
        swage(a, "train", "cyto/gan_superres", *common, *words, f"run.name={os.path.basename(run)}", minutes=a.minutes / 3)
        e = evaluate(a, run, "predict.overlap=0.5", "sw_batch_size=4")["heads"][0]
        results[name] = {k: v for k, v in e.items() if k != "rows"} | {"epochs": epochs_of(run)}
        rows.append([f"`cyto/gan_superres`, {name}", str(epochs_of(run)), f"{e['psnr_db']:.2f}", f"{e['ssim']:.4f}", f"{e['pearson']:.4f}"])
    figures = []
    for image, _, split in nuclei(a):
        if split != "test":
            continue
        x = io.imread(image)[..., 0].astype(np.float64)
        low, high = np.percentile(x, (0.01, 99.99))
        full = np.clip((x - low) / (high - low) * 2 - 1, -1, 1)
        n = [s // 4 for s in x.shape]
        edges = [[(o * s // m, -(-(o + 1) * s // m)) for o in range(m)] for s, m in zip(x.shape, n)]
        small = np.array([[x[y0:y1, x0:x1].mean() for x0, x1 in edges[1]] for y0, y1 in edges[0]])
        low, high = np.percentile(small, (0.01, 99.99))
        small = np.clip((small - low) / (high - low) * 2 - 1, -1, 1)
        truth = full[:4 * n[0], :4 * n[1]]
        made = resize(small, truth.shape, order=1, mode="edge", anti_aliasing=False)
        span = np.ptp(truth)
        figures.append((psnr(truth, made), structural_similarity(truth, made, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=span),
                        np.corrcoef(truth.ravel(), made.ravel())[0, 1]))
    mean = np.mean(figures, 0)
    results["linear"] = dict(zip(("psnr_db", "ssim", "pearson"), map(float, mean)))
    rows.insert(0, ["linear interpolation", "", f"{mean[0]:.2f}", f"{mean[1]:.4f}", f"{mean[2]:.4f}"])
    table(f"Nuclei at four times the resolution, {a.minutes / 3:.2g} minutes of training on one thread each", ["", "epochs", "PSNR dB", "SSIM", "r"], rows)
    return results


# ---- masked autoencoder, and few labels ----

FEW_EPOCHS = 60
VIT = ["data.patch=[64,64]", "model.patch=4", "model.dim=64", "model.depth=4"]


def mae(a):
    path = nuclei_table(a)
    pairs = [r for r in nuclei(a)]
    few = [r for r in pairs if r[2] == "train"][::72][:4]
    small = os.path.join(a.work, "few.csv")
    write_csv(small, ["image", "label", "split"], few + [r for r in pairs if r[2] != "train"])
    run = fresh(a, "mae")
    common = ["model.spatial_dims=2", "data.source=image channel=0 normalise", "data.pad=reflect", "trainer.threads=1", *VIT, f"trainer.precision={a.precision}", f"run.dir={a.work}",
              "data.augment=flip,turn"]
    swage(a, "train", "cyto/mae", f"data.path={path}", *common, "data.batch_size=16", "data.crops=4", "optimizer.lr=2e-3", "scheduler.name=exponential", "scheduler.gamma=0.99", "trainer.max_epochs=100000",
          "run.name=mae", minutes=a.minutes / 2)
    e = evaluate(a, run)
    results, rows = {"mae": {k: e[k] for k in ("loss", "psnr_db", "pearson") if k in e} | {"epochs": epochs_of(run)}}, []
    for name, words in (("from scratch", []), ("encoder of the masked autoencoder", [f"model.encoder_from={run}"])):
        fine = fresh(a, "few-" + name.split()[0])
        swage(a, "train", "cyto/vit_segmentation", f"data.path={small}", *common, *words, 'data.target=["label binary"]', "data.batch_size=8", "data.crops=16", "optimizer.lr=2e-3",
              f"trainer.max_epochs={FEW_EPOCHS}", f"run.name={os.path.basename(fine)}")
        f = evaluate(a, fine, f"data.path={path}", "data.labels=label", "predict.min_size=20", *INFERENCE)["heads"][0]
        results[name] = {k: v for k, v in f.items() if k != "rows"} | {"epochs": epochs_of(fine)}
        rows.append([name, str(epochs_of(fine)), f"{f['dice']:.4f}", f"{f['ap50']:.4f}", f"{f['count_error']:.2f}"])
    table(f"Masks from 4 labelled images (masked autoencoder before: {results['mae']['epochs']} epochs without labels, masked error {e['loss']:.4f} of a variance of 1)",
          ["encoder", "epochs", "Dice", "AP@.5", "count error"], rows)
    return results


# ---- image world model ----

def iwm(a):
    """Channels 0 and 1 of BBBC022, quarters of the picture; the probe reads the mean of a third channel in tiles, from the left half to the right."""
    image = io.imread(os.path.join(a.data, "multichannel", "bbbc022_A02_s9_3ch.tif")).astype(np.float32)
    image = image if image.shape[0] == 3 else np.moveaxis(image, -1, 0)
    image = (image - image.mean((1, 2), keepdims=True)) / image.std((1, 2), keepdims=True)
    work = os.path.join(a.work, "iwm-data")
    os.makedirs(os.path.join(work, "tiles"), exist_ok=True)
    half = image.shape[2] // 2
    np.save(os.path.join(work, "left.npy"), image[:, :, :half])
    np.save(os.path.join(work, "right.npy"), image[:, :, half:])
    write_csv(os.path.join(work, "iwm.csv"), ["raw", "split"], [["left.npy", "train"], ["left.npy", "valid"], ["right.npy", "test"]])
    results, rows, side = {}, [], 32
    common = ["model.spatial_dims=2", "data.source=raw channel=0 layout=CYX", 'data.target=["raw channel=1 layout=CYX"]', f"data.patch=[{side},{side}]", "model.patch=4", "model.dim=32",
              "model.depth=2", "data.crops=256", "data.batch_size=32", "trainer.threads=1", f"run.dir={a.work}"]
    tiles, truth, part = [], [], []
    for y in range(0, image.shape[1] - side + 1, side):
        for x in range(0, image.shape[2] - side + 1, side):
            if x < half < x + side:
                continue
            np.save(os.path.join(work, "tiles", f"t{len(tiles):04d}.npy"), image[:, y:y + side, x:x + side])
            tiles.append(image[0, y:y + side, x:x + side])
            truth.append([image[c, y:y + side, x:x + side].mean() for c in (1, 2)])
            part.append(x + side <= half)
    truth, part = np.array(truth), np.array(part)

    def probe(features):
        """R^2 of ridge regression, fitted on the left half, on the right half."""
        mean, sd = features[part].mean(0), features[part].std(0) + 1e-9
        f = np.c_[(features - mean) / sd, np.ones(len(features))]
        w = np.linalg.solve(f[part].T @ f[part] + np.eye(f.shape[1]), f[part].T @ truth[part])
        rest = truth[~part] - f[~part] @ w
        return 1 - (rest ** 2).sum(0) / ((truth[~part] - truth[~part].mean(0)) ** 2).sum(0)

    def embed(run):
        out = fresh(a, os.path.basename(run) + "-out")
        swage(a, "predict", run, f"input={work}/tiles", f"output={out}", "data.source=raw channel=0 layout=CYX")
        with open(os.path.join(out, "embeddings.csv"), encoding="utf-8") as f:
            found = sorted(list(csv.reader(f))[1:])
        return np.array([[float(v) for v in row[1:]] for row in found])

    raw = np.array([[t.mean(), t.std()] for t in tiles])
    rows.append(["mean and deviation of the tile", "", "", *(f"{v:.3f}" for v in probe(raw))])
    for name, steps in (("untrained encoder", 1), ("image world model", 100000)):
        run = fresh(a, "iwm-" + name.split()[0])
        words = ["trainer.max_epochs=200", f"trainer.max_steps={steps}", f"run.name={os.path.basename(run)}"] + (["optimizer.lr=1e-9"] if steps == 1 else [])
        swage(a, "train", "cyto/iwm", f"data.path={work}/iwm.csv", *common, *words, minutes=a.minutes)
        e = evaluate(a, run)
        r = probe(np.c_[embed(run), raw])
        results[name] = {"rank": e["rank"], "loss": e["loss"], "probe": [float(v) for v in r], "epochs": epochs_of(run)}
        rows.append([name + ", beside those", f"{e['loss']:.4f}", f"{e['rank']:.2f} of 32", *(f"{v:.3f}" for v in r)])
    table("Embeddings of tiles of 32x32, one channel seen", ["features", "loss", "rank", "R^2 of the target channel's mean", "R^2 of a third channel's mean"], rows)
    return results


WORKS = {"segmentation": segmentation, "labelfree": labelfree, "superres": superres, "mae": mae, "iwm": iwm}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("works", nargs="+", choices=list(WORKS))
    parser.add_argument("--swage", required=True)
    parser.add_argument("--data", required=True, help="the folder microscopy")
    parser.add_argument("--work", required=True, help="folder for runs and figures.json")
    parser.add_argument("--minutes", type=float, default=10, help="of training for each network (default: 10)")
    parser.add_argument("--precision", default="bf16-mixed", choices=["32", "bf16-mixed"])
    parser.add_argument("--torch", action="store_true", help="segmentation: also the same network in PyTorch")
    a = parser.parse_args()
    a.swage, a.data, a.work = map(os.path.abspath, (a.swage, a.data, a.work))
    os.makedirs(a.work, exist_ok=True)
    path = os.path.join(a.work, "figures.json")
    for name in a.works:
        begin = time.time()
        results = WORKS[name](a)
        every = json.load(open(path, encoding="utf-8")) if os.path.exists(path) else {}
        every[name] = {**results, "minutes": a.minutes, "seconds": time.time() - begin, "version": swage(a, "--version").splitlines()[0]}
        with open(path, "w", encoding="utf-8") as f:
            json.dump(every, f, indent=1)


if __name__ == "__main__":
    main()
