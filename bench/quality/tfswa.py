"""tfswa.py - how well networks of family tfswa separate songs, and what masks could reach at best.

In: a folder of songs (folders of vocals, drums, bass, other), a built `swage`. Out: tables as Markdown per work.
  bounds   no training: SDR of the mixture as the estimate, of ideal ratio masks, of the best real mask in [0, 1] (what a sigmoid head can reach) and of a
           complex mask of magnitude at most 1, per song and stem, at 2048, 1024 and 4096 samples (`swage score --bounds`).
  folds    leave one out: for each song a network is trained on the others (data.leave_out) and scored on it (`swage eval`), beside mixture and ideal ratio mask.
  overfit  one song, trained on and scored: what the network can learn at all.
Each run has --epochs, or --minutes and is then asked to stop, as by Ctrl-C. Runs that are complete are not repeated; with --epochs interrupted ones go on.
    python3 bench/quality/tfswa.py folds --swage build/swage --data songs --work DIR --epochs 20 --set data.stems=[vocals,drums,bass,other] --set model.out=8
Needs nothing beside Python.
SPDX-License-Identifier: Apache-2.0
"""
import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time

SIZES = [2048, 1024, 4096]
ORDER = ["vocals", "drums", "bass", "other"]
BOUNDS = [("mixture", "mixture"), ("ratio", "ratio mask"), ("ratio2", "of energies"), ("phase", "real"), ("complex", "complex")]


# ---- swage ----

def swage(a, *words, minutes=None, log=None):
    """Runs a command; with `minutes` it is asked to stop then. What it says goes to the file `log`."""
    p = subprocess.Popen([a.swage, *words], stdout=log, stderr=subprocess.STDOUT)
    try:
        p.wait(timeout=minutes and 60 * minutes)
    except subprocess.TimeoutExpired:
        p.send_signal(signal.SIGINT)
        p.wait()
    except KeyboardInterrupt:
        p.wait()
        raise
    if p.returncode not in (0, 130) and not minutes:
        sys.exit(f"swage {' '.join(words)}: exit status {p.returncode}; {log.name if log else ''}")


def output(a, *words):
    return subprocess.run([a.swage, *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def kept(a, name, *words):
    """What a command prints, from the file where it has been asked before."""
    path = os.path.join(a.work, name)
    if not os.path.exists(path):
        text = output(a, *words)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    with open(path, encoding="utf-8") as file:
        return file.read()


def songs_of(a):
    names = sorted(n for n in os.listdir(a.data) if os.path.isdir(os.path.join(a.data, n)))
    if a.songs:
        names = [n for n in names if n in a.songs]
    if not names:
        sys.exit(f"{a.data}: no songs")
    return names


def train(a, name, *words):
    """The run folder of a finished training, and its seconds in all."""
    run, record = os.path.join(a.work, name), os.path.join(a.work, name + ".seconds")
    if not os.path.exists(record):
        print("training", name, file=sys.stderr)
        limit = [] if a.minutes else [f"trainer.max_epochs={a.epochs}"]
        begin = time.monotonic()
        with open(os.path.join(a.work, name + ".log"), "a", encoding="utf-8") as log:
            swage(a, "train", a.recipe, f"data.path={a.data}", f"run.dir={a.work}", f"run.name={name}", "resume=auto", *limit, *words, *a.set,
                  minutes=a.minutes, log=log)
        if not os.path.exists(os.path.join(run, "ckpt", "last.safetensors")):
            sys.exit(f"{name}: nothing was trained; {name}.log says why")
        with open(record, "w", encoding="utf-8") as file:
            file.write(f"{time.monotonic() - begin:.0f}\n")
    with open(record, encoding="utf-8") as file:
        return run, float(file.read())


def evaluate(a, run, part):
    """{song: {stem: {"separated": ..., "mixture": ..., "ratio_mask": ...}}}"""
    record = json.loads(kept(a, f"{os.path.basename(run)}.{part}.json", "eval", run, "--part", part, "--json"))
    return {s["song"]: s["stems"] for s in record["songs"]}


def steps_of(run):
    """Steps and epochs of a run, of the records it keeps."""
    with open(os.path.join(run, "metrics.csv"), encoding="utf-8") as file:
        rows = [line.rstrip("\n").split(",") for line in file]
    last = dict(zip(rows[0], rows[-1])) if len(rows) > 1 else {}
    return last.get("step", "?"), len(rows) - 1


# ---- tables ----

def number(db):
    return "n/a" if db is None else db if isinstance(db, str) else f"{db:.2f}"


def middle(values):
    values = [v for v in values if isinstance(v, float)]
    return number(statistics.median(values)) if values else "n/a"


def table(head, rows):
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    sys.stdout.flush()


def stems_in(scores):
    found = {stem for song in scores.values() for stem in song}
    return [s for s in ORDER if s in found] + sorted(found - set(ORDER))


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return f"{names[0] if names else 'unknown processor'}, {len(os.sched_getaffinity(0))} processors"


# ---- the works ----

def bounds(a):
    """Of four stems each; the real and the complex mask of a stem do not depend on what the others are."""
    scores = {}
    for size in SIZES:
        for line in kept(a, f"bounds-{size}.jsonl", "score", a.data, "--bounds", "--json", "--n-fft", str(size)).splitlines():
            record = json.loads(line)
            if record["song"] in songs_of(a):
                scores.setdefault(record["song"], {})[size] = record

    def sdr(song, size, key, stem):
        return scores[song][size][key].get(stem, {}).get("track", {}).get("sdr")

    stems = stems_in({s: r[SIZES[0]]["mixture"] for s, r in scores.items()})
    first = SIZES[0]
    print(f"SDR in dB of whole songs; ideal masks, windows of {first} samples, hop {first // 4}. Real: the best in [0, 1]; complex: of magnitude at most 1. "
          "n/a: the stem is silent.")
    rows = [[song if stem == stems[0] else "", stem, *(number(sdr(song, first, key, stem)) for key, _ in BOUNDS)] for song in scores for stem in stems]
    for stem in stems:
        rows.append(["median" if stem == stems[0] else "", stem, *(middle(sdr(song, first, key, stem) for song in scores) for key, _ in BOUNDS)])
    table(["song", "stem", *(title for _, title in BOUNDS)], rows)
    print("\nThe same with other windows, medians over the songs.")
    table(["window", "stem", *(title for _, title in BOUNDS[1:])],
          [[str(size) if stem == stems[0] else "", stem, *(middle(sdr(song, size, key, stem) for song in scores) for key, _ in BOUNDS[1:])]
           for size in sorted(SIZES) for stem in stems])


FIGURES = [("SDR", "track", "sdr"), ("SI-SDR", "track", "si_sdr"), ("SIR", "track", "sir"), ("SAR", "track", "sar"), ("10 s", "segments", "sdr"), ("1 s", "windows", "sdr")]

PEERS = [("mixture", "sdr"), ("mixture", "si_sdr"), ("ratio_mask", "sdr")]  # a quiet estimate has an SDR above 0, so SI-SDR too


def scores_table(scores):
    """Figures of the network, of the mixture and of the ideal ratio mask, per song and stem; then medians."""
    def figures(values):
        return [values(*["separated", view, key]) for _, view, key in FIGURES] + [values(n, "track", k) for n, k in PEERS]

    stems, rows = stems_in(scores), []
    for song, parts in scores.items():
        for stem in stems:
            if stem in parts:
                rows.append([song if stem == stems[0] else "", stem, *figures(lambda n, view, key: number(parts[stem][n][view][key]))])
    if len(scores) > 1:
        for stem in stems:
            rows.append(["**median**" if stem == stems[0] else "", stem,
                         *figures(lambda n, view, key: middle(p[stem][n][view][key] for p in scores.values() if stem in p))])
    table(["song", "stem", *(title for title, _, _ in FIGURES), "mixture: SDR", "SI-SDR", "ideal ratio mask: SDR"], rows)


def told(a, count, seconds, runs):
    steps = ", ".join(f"{s} steps" for s in sorted({steps_of(r)[0] for r in runs}))
    limit = f"{a.minutes:g} minutes" if a.minutes else f"{a.epochs} epochs"
    print(f"`swage train {a.recipe} {' '.join(a.set)}`, {limit} each ({steps}), {count}: {seconds / 60:.0f} min in all on {machine()}. dB, of whole songs; "
          "10 s and 1 s: medians of SDR over such windows. n/a: the stem is silent.")


def folds(a):
    names, runs, scores, seconds = songs_of(a), [], {}, 0.0
    others = [n for n in sorted(os.listdir(a.data)) if os.path.isdir(os.path.join(a.data, n)) and n not in names]
    for name in names:
        run, took = train(a, f"fold-{name}", f"data.leave_out=[{','.join([name] + others)}]" if a.only else f"data.leave_out=[{name}]")
        runs.append(run)
        seconds += took
        scores[name] = evaluate(a, run, "test")[name]
    told(a, f"{len(names)} trainings", seconds, runs)
    scores_table(scores)


def overfit(a):
    everything = sorted(n for n in os.listdir(a.data) if os.path.isdir(os.path.join(a.data, n)))
    names = a.songs or everything[:1]
    scores, runs, seconds = {}, [], 0.0
    for name in names:
        run, took = train(a, f"overfit-{name}", f"data.leave_out=[{','.join(n for n in everything if n != name)}]", "data.valid_fraction=0")
        runs.append(run)
        seconds += took
        scores[name] = evaluate(a, run, "train")[name]
    told(a, f"{len(names)} song{'s' if len(names) > 1 else ''}, trained on and scored", seconds, runs)
    scores_table(scores)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["bounds", "folds", "overfit"])
    parser.add_argument("--swage", default="build/swage")
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", default="build/quality-tfswa")
    parser.add_argument("--recipe", default="tfswa/small")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--minutes", type=float, help="of each training, instead of epochs")
    parser.add_argument("--songs", nargs="+", help="only these (default: all; overfit: the first)")
    parser.add_argument("--only", action="store_true", help="folds: train on --songs alone, too")
    parser.add_argument("--set", action="append", default=[], help="further settings of the training runs: key=value")
    a = parser.parse_args()
    a.data, a.work = os.path.abspath(a.data), os.path.abspath(a.work)
    os.makedirs(a.work, exist_ok=True)
    {"bounds": bounds, "folds": folds, "overfit": overfit}[a.part](a)


if __name__ == "__main__":
    main()
