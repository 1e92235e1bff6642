"""kan.py - trains kan/dae and kan/dae-plain on histology tiles and prints what docs/kan.md publishes: how well tiles of groups that training never saw are
restored, beside the noisy input and non-local means on the very same numbers.

In: the folder `histology` of the project's data, a built `swage`. Out: tables as Markdown.
Training: dsb2018_he images of kind he_tissue and the crops of slide CMU-1. Test: kind he_white, and the three tiles of other slides.
Runs that are complete are not repeated, interrupted ones go on.
    python3 bench/quality/kan.py --swage build/swage --data histology --runs runs > tables.md
Needs numpy and scikit-image (non-local means; its SSIM checks ours).
SPDX-License-Identifier: Apache-2.0
"""
import argparse
import csv
import json
import os
import subprocess
import sys

import numpy as np
import skimage
from skimage.metrics import structural_similarity
from skimage.restoration import denoise_nl_means

NETWORKS = ["dae", "dae-plain"]
NOISES = [("rect+gauss", "0.2"), ("gauss", "0.2")]
DATA = ["data.size=tile", "data.group=group"]


def write_lists(arguments):
    """train.csv and test.csv in the folder of runs: columns Image, group."""
    lists = {"train": [], "test": []}
    tissue = os.path.join(arguments.data, "dsb2018_he")
    with open(os.path.join(tissue, "index_dev.tsv"), encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            part = "test" if row["kind"] == "he_white" else "train"
            lists[part].append((os.path.join(tissue, "images", row["id"] + ".png"), row["kind"]))
    for part, folder, group in (("train", "slides/png", "cmu1"), ("test", "tiles", None)):
        place = os.path.join(arguments.data, folder)
        for name in sorted(os.listdir(place)):
            if name.endswith(".png"):
                lists[part].append((os.path.join(place, name), group or "other slides"))
    os.makedirs(arguments.runs, exist_ok=True)
    for part, rows in lists.items():
        with open(os.path.join(arguments.runs, part + ".csv"), "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["Image", "group"])
            writer.writerows((os.path.abspath(path), group) for path, group in rows)


def swage(arguments, *words):
    """The JSON a command prints."""
    out = subprocess.run([arguments.swage, *words, "--threads", str(arguments.threads), "--json"], check=True, stdout=subprocess.PIPE).stdout
    return json.loads(out)


def train(arguments, network):
    """The record of the finished run."""
    print("training", network, file=sys.stderr)
    path = os.path.join(arguments.runs, network, "result.json")
    if not os.path.exists(path):
        record = swage(arguments, "train", f"kan/{network}", f"data.path={arguments.runs}/train.csv", *DATA, f"run.dir={arguments.runs}",
                       f"run.name={network}", "resume=auto", *arguments.set)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(record, file)
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def evaluate(arguments, network, noise, sigma):
    """Figures per group, and the folder with the arrays."""
    folder = os.path.join(arguments.runs, f"{network}-{noise}")
    record = swage(arguments, "eval", os.path.join(arguments.runs, network), f"data.path={arguments.runs}/test.csv", *DATA, f"noise={noise}",
                   f"noise.sigma={sigma}", "-o", folder, "--arrays")
    return record, folder


def figures(clean, image):
    """PSNR of all values and mean SSIM, as Swage defines them."""
    image = np.clip(image, 0, 1)
    mse = float(np.mean((clean.astype(np.float64) - image) ** 2))
    ssim = np.mean([structural_similarity(c.astype(np.float64), i.astype(np.float64), channel_axis=0, gaussian_weights=True, sigma=1.5,
                                          use_sample_covariance=False, data_range=1.0, win_size=11) for c, i in zip(clean, image)])
    return -10 * np.log10(mse), float(ssim)


def non_local_means(noisy, sigma, h):
    """Of every tile; sigma is told."""
    return np.stack([denoise_nl_means(np.clip(t, 0, 1), patch_size=5, patch_distance=6, h=h * sigma, sigma=sigma, fast_mode=True, channel_axis=0)
                     for t in noisy])


def groups_of(record):
    """Name and slice of tiles of every group: the list of images is sorted by group."""
    first, out = 0, []
    for row in record["groups"]:
        if row["group"] != "all":
            out.append((row["group"], slice(first, first + row["tiles"])))
            first += row["tiles"]
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swage", default="build/swage")
    parser.add_argument("--data", required=True)
    parser.add_argument("--runs", default="build/quality-kan")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--set", action="append", default=[], help="further settings of the training runs: key=value")
    arguments = parser.parse_args()
    write_lists(arguments)
    runs = {network: train(arguments, network) for network in NETWORKS}
    print("| network | epochs | steps | best validation MSE | training time |\n|---|---|---|---|---|")
    for network, record in runs.items():
        print(f"| `kan/{network}` | {record['epochs']} | {record['steps']} | {record['best_loss']:.5f} | {record['seconds'] / 60:.0f} min |")
    for noise, sigma in NOISES:
        records = {network: evaluate(arguments, network, noise, sigma) for network in NETWORKS}
        first, folder = records[NETWORKS[0]]
        clean, noisy = (np.load(os.path.join(folder, name + ".npy")) for name in ("clean", "noisy"))
        restored = {h: non_local_means(noisy, float(sigma), h) for h in (0.6, 0.8, 1.0)}
        best = max(restored, key=lambda h: figures(clean, restored[h])[0])
        print(f"\nNoise `{noise}`, sigma {sigma}: PSNR in dB, SSIM\n\n| group | tiles | noisy | non-local means, h = {best} sigma |",
              " | ".join(f"`kan/{n}`" for n in NETWORKS), "|\n|" + "---|" * (4 + len(NETWORKS)))
        for name, part in groups_of(first) + [("all", slice(None))]:
            rows = {n: next(r for r in records[n][0]["groups"] if r["group"] == name) for n in NETWORKS}
            own = rows[NETWORKS[0]]
            check = figures(clean[part], noisy[part])
            if abs(check[0] - own["noisy"]["psnr_db"]) > 1e-3 or abs(check[1] - own["noisy"]["ssim"]) > 1e-4:
                sys.exit(f"{name}: scikit-image has {check}, swage {own['noisy']}")
            psnr, ssim = figures(clean[part], restored[best][part])
            print(f"| {name} | {own['tiles']} | {own['noisy']['psnr_db']:.2f}, {own['noisy']['ssim']:.3f} | {psnr:.2f}, {ssim:.3f} |",
                  " | ".join(f"{r['restored']['psnr_db']:.2f}, {r['restored']['ssim']:.3f}" for r in rows.values()), "|")
    print(f"\nscikit-image {skimage.__version__}; h chosen on the test tiles, in its favour. SSIM and PSNR of the noisy tiles agree with scikit-image's.")


if __name__ == "__main__":
    main()
