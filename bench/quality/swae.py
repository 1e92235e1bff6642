"""swae.py - trains every network of the family on one set of octants, twice, and prints what docs/swae.md publishes.

In: a folder of HDF5 files with times (one run of a simulation) and a built `swage`. Out: a summary and one table per network, as Markdown.
Each network is trained with its own defaults on
  late     all blocks before a time, tested on that time and later (data.test_from)
  random   the published random split of all blocks
and the normalisations are compared with one network on `late`. Runs that are complete are not repeated, interrupted ones go on.
    python3 bench/quality/swae.py --swage build/swage --data octants --test-from 4 --runs runs > tables.md
Needs only the standard library.
SPDX-License-Identifier: Apache-2.0
"""
import argparse
import json
import os
import subprocess
import sys

NETWORKS = ["mlp", "mlp-deep", "gmlp", "conv-opt", "conv7", "conv"]
# The largest network: an hour more otherwise. Its random run is shorter for the same reason.
SETTINGS = {("conv", "late"): ["trainer.precision=bf16-mixed"], ("conv", "random"): ["trainer.precision=bf16-mixed", "trainer.max_epochs=40"]}
NORMS = ["pos_log", "block_scale", "pos_log_std", "scaleitup", "minmax", "zscore", "robust", "asinh", "symlog", "adaptive"]
NORM_NETWORK = "mlp-deep"
LONG = ["trainer.max_epochs=300", "scheduler=cosine", "optimizer.lr=1e-3"]  # until nothing more comes
LONG_NORMS = {"pos_log": "deep-long", "block_scale": "deep-long-bs"}


def command(arguments, *words):
    return [arguments.swage, *words, "--threads", str(arguments.threads)]


def train(arguments, name, network, settings):
    """The record of the finished run: a complete one is only read, an interrupted one goes on."""
    words = ["train", f"swae/{network}", f"data.path={arguments.data}", f"run.dir={arguments.runs}", f"run.name={name}", "resume=auto", "--json", *settings]
    print("training", name, file=sys.stderr)
    return json.loads(subprocess.run(command(arguments, *words), check=True, stdout=subprocess.PIPE).stdout)


def evaluate(arguments, name):
    """Figures of the test part, from the file beside the run if it is there."""
    path = os.path.join(arguments.runs, name, "test.json")
    if not os.path.exists(path):
        words = ["eval", os.path.join(arguments.runs, name), f"data.path={arguments.data}", "--part", "test", "--percentiles", "--json"]
        text = subprocess.run(command(arguments, *words), check=True, stdout=subprocess.PIPE).stdout
        with open(path + ".part", "wb") as out:
            out.write(text)
        os.replace(path + ".part", path)
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def figure(value, form):
    return "n/a" if value is None else format(value, form)


def summary_row(first, end, e):
    n = e["normalised"]
    mean = [v["psnr_db"] for v in e["variables"] if v["psnr_db"] is not None]
    cells = [first, f"{end['epochs']:.0f}", f"{end['seconds']:.0f}", figure(sum(mean) / len(mean) if mean else None, ".2f"), figure(e["psnr_db"], ".2f"), figure(e["mse"], ".2e"), figure(e["correlation"], ".6f"),
             figure(e["relative_l2"], ".2e"), figure(e["relative_p50"], ".2e"), figure(n["psnr_db"], ".2f"), figure(n["mse"], ".2e"),
             figure(n["correlation"], ".5f"), figure(e["ratio"], ".2f")]
    return "| " + " | ".join(cells) + " |"


SUMMARY = ["", "epochs", "s", "PSNR dB, mean of variables", "PSNR dB", "MSE", "r", "rel. L2", "rel. median", "PSNR dB norm.", "MSE norm.", "r norm.", "ratio"]


def header(words):
    return "| " + " | ".join(words) + " |\n|" + "---|" * len(words)


def variables_table(late, random):
    words = ["variable"]
    for split in ("late", "random"):
        words += [f"{split}: PSNR dB", "MSE", "r", "rel. L2", "rel. mean", "norm. PSNR dB", "norm. MSE", "norm. r", "norm. rel. L2"]
    lines = [header(words)]
    for a, b in zip(late["variables"] + [late], random["variables"] + [random]):
        assert a["variable"] == b["variable"]
        cells = [a["variable"]]
        for e in (a, b):
            n = e["normalised"]
            cells += [figure(e["psnr_db"], ".1f"), figure(e["mse"], ".1e"), figure(e["correlation"], ".5f"), figure(e["relative_l2"], ".1e"),
                      figure(e["relative_mean"], ".1e"), figure(n["psnr_db"], ".1f"), figure(n["mse"], ".1e"), figure(n["correlation"], ".4f"),
                      figure(n["relative_l2"], ".1e")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--swage", default="build/swage")
    parser.add_argument("--data", required=True)
    parser.add_argument("--test-from", type=float, required=True)
    parser.add_argument("--runs", default="runs")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--norms", default=",".join(NORMS))
    arguments = parser.parse_args()
    splits = {"late": [f"data.test_from={arguments.test_from:g}"], "random": []}
    networks = arguments.networks.split(",")
    results, lines = {}, {}
    for network in networks:
        for split, settings in splits.items():
            name = f"{network}-{split}"
            end = train(arguments, name, network, settings + SETTINGS.get((network, split), []))
            results[network, split] = evaluate(arguments, name)
            lines[network, split] = summary_row(f"`swae/{network}`", end, results[network, split])
    for split in splits:
        e = results[networks[0], split]
        print(f"### {split}: {e['split']}\n\n{header(SUMMARY)}")
        print("\n".join(lines[network, split] for network in networks) + "\n")
    print(f"### Normalisations (`swae/{NORM_NETWORK}`, late)\n\n{header(['`data.norm`'] + SUMMARY[1:])}")
    for norm in arguments.norms.split(","):
        name = f"{NORM_NETWORK}-late" if norm == "pos_log" else f"deep-{norm}"
        end = train(arguments, name, NORM_NETWORK, splits["late"] + [f"data.norm={norm}"])
        print(summary_row(f"`{norm}`", end, evaluate(arguments, name)))
    for norm, name in LONG_NORMS.items():
        end = train(arguments, name, NORM_NETWORK, splits["late"] + [f"data.norm={norm}"] + LONG)
        print(summary_row(f"`{norm}`, `{' '.join(LONG)}`", end, evaluate(arguments, name)))
    print()
    for network in networks:
        print(f"#### `swae/{network}`\n\n{variables_table(results[network, 'late'], results[network, 'random'])}\n")


if __name__ == "__main__":
    main()
