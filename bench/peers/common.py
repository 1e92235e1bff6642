# What every peer script shares: options, pinning, the timing protocol, and answering `swage bench` row by row.
# In: command line, or workloads on standard input (--serve). Out: JSON on standard output; messages go to standard error.
# SPDX-License-Identifier: Apache-2.0

import argparse
import ctypes
import fnmatch
import gc
import json
import os
import statistics
import sys
import time


def options(description):
    parser = argparse.ArgumentParser(description=description + "; protocol: bench/peers/README.md")
    parser.add_argument("--threads", type=int, default=1, help="threads, each pinned to a core of its own (default 1)")
    parser.add_argument("--compile", nargs="?", const="default", choices=("default", "max-autotune"), metavar="MODE",
                        help="PyTorch: compiled, MODE default or max-autotune, in place of eager")
    parser.add_argument("--no-pin", action="store_true", help="leave threads where the system puts them")
    parser.add_argument("--only", nargs="*", default=["*"], metavar="ROW", help="names or patterns of rows, as in swage bench")
    parser.add_argument("--dtype", default="f32", choices=("f32", "bf16"), help="arithmetic of --only rows (default f32)")
    parser.add_argument("--quick", action="store_true", help="20 repetitions, no minimum time: does it run, not how fast")
    parser.add_argument("--unchecked", action="store_true", help="by hand: times also of what computes something else")
    parser.add_argument("--serve", action="store_true", help="for `swage bench`: a line 'ROW DTYPE' in, a JSON line out, until the input ends")
    return parser.parse_args()


def pin(args, who):
    """Before the thread libraries are loaded: they read these once."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(args.threads)
    cores = sorted(os.sched_getaffinity(0))[: args.threads]
    if len(cores) < args.threads and not args.no_pin:
        sys.exit(f"{who}: --threads {args.threads}: this process may use {len(cores)} cores; use fewer, or --no-pin")
    if not args.no_pin:
        os.environ["OMP_PLACES"], os.environ["OMP_PROC_BIND"] = ",".join(f"{{{c}}}" for c in cores), "true"
    return cores


def clock():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


def measure(call, quick):
    """Warm-up, repetitions and statistics as in docs/benchmarks.md; times in ns."""

    def timed(loops):
        begin = clock()
        for _ in range(loops):
            call()
        return (clock() - begin) / loops

    warm_at_least, warm_at_most, at_least, at_most = (0, 0.1e9, 0, 1e9) if quick else (0.2e9, 3e9, 0.5e9, 10e9)
    begin, before, loops = clock(), None, 1
    while True:
        batch = statistics.fmean(timed(loops) for _ in range(5))
        loops = 1 if batch >= 20e3 else int(-(-20e3 // batch))
        steady = before is not None and abs(batch - before) < 0.02 * before
        before, spent = batch, clock() - begin
        if (steady and spent >= warm_at_least) or spent >= warm_at_most:
            break

    times, begin = [], clock()
    while (len(times) < 20 or clock() - begin < at_least) and clock() - begin < at_most:
        times.append(timed(loops))
    times.sort()
    median, quarter = statistics.median(times), len(times) // 4
    return {"median_ns": round(median, 1), "min_ns": round(times[0], 1), "p95_ns": round(times[int(0.95 * (len(times) - 1))], 1),
            "spread": round((times[-1 - quarter] - times[quarter]) / median, 4), "reps": len(times), "loops": loops}


def attempt(args, workload, dtype, variant, prepare, form=""):
    """prepare() returns the call and a check of its result. A wrong result, or an exception, has a message in place of times.

    cold_ms is building, compiling and the first call; the check stands between that and the timing.
    """
    row = {"workload": workload, "dtype": dtype, "threads": args.threads, "variant": variant, "form": form}
    try:
        begin = clock()
        call, check = prepare()
        call()
        cold = clock() - begin
        if not args.unchecked:
            check()
        row.update(measure(call, args.quick), cold_ms=round(cold / 1e6, 3))
        print(f"{workload:20} {dtype:5} {form:12} {variant:24} median {row['median_ns'] / 1e3:11.2f} us", file=sys.stderr)
    except Exception as error:  # whatever goes wrong in the peer belongs into the report
        row["error"] = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        print(f"{workload:20} {dtype:5} {form:12} {variant:24} {row['error'][:160]}", file=sys.stderr)
    return row


def main(args, about, names, rows_of):
    """about: peer, version, options. rows_of(workload, dtype): rows, [] where the peer cannot express the work."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not get between the lines of the answer
    if args.serve:
        print(json.dumps(about), file=out, flush=True)
        for line in sys.stdin:
            print(json.dumps({"rows": rows_of(*line.split())}), file=out, flush=True)
        return 0
    rows = [row for name in names if any(fnmatch.fnmatchcase(name, p) for p in args.only) for row in rows_of(name, args.dtype)]
    print(json.dumps({**about, "rows": rows}, indent=1), file=out, flush=True)
    return 1 if any("error" in row for row in rows) else 0


# ---- works: a peer that makes things ready under numbers and runs them call by call (`swage bench kan`, `swage bench cyto`) ----


def works_options(description):
    parser = argparse.ArgumentParser(description=description + "; protocol: bench/peers/README.md")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-pin", action="store_true")
    parser.add_argument("--serve", action="store_true", help="open, run, close")
    parser.add_argument("--memory", action="store_true", help="memory: growth of the resident set of a fork")
    return parser.parse_args()


def status_bytes(key):
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(key))


def memory(make, small, request):
    """Growth of the resident set from before a work is made to the peak of two calls (one, if it takes 5 s), in a fork that has run a small one before."""
    make(**small(request))()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")  # the peak is the present size
    before = status_bytes("VmRSS:")
    work, begin = make(**request), clock()
    work()
    if clock() - begin < 5e9:  # what takes longer has its peak at once
        work()
    return {"bytes": status_bytes("VmHWM:") - before}


def failure_of(error):
    return {"error": " ".join(f"{type(error).__name__}: {error}".split())[:250]}


def in_fork(function, *arguments):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = function(*arguments)
        except Exception as error:  # whatever goes wrong belongs into the report
            answer = failure_of(error)
        os.write(write, json.dumps(answer).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as f:
        text = f.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else {"error": "the measuring process ended early; out of memory?"}


def serve_works(args, about, make, small, found=lambda request: 0):
    """make(**request): a call with a `model`. small(request): a request like it that is over at once. found(request): a checked error."""
    ready, out = {}, os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not get between the lines of the answer

    def now():  # as src/bench/turns.c: processor time of one thread, wall time of several
        return time.process_time_ns() if args.threads == 1 else clock()

    def answer_to(request):
        what, number = request.pop("do"), request.pop("id")
        if what == "memory":
            return in_fork(memory, make, small, request)
        if what == "close":
            ready.pop(number, None)
            gc.collect()
            return {}
        begin = now()
        if what == "open":
            error = found(request)
            ready[number] = make(**request)
            return {"cold_ns": now() - begin, "error_found": error, "parameters": sum(p.numel() for p in ready[number].model.parameters())}
        ready[number]()
        return {"ns": now() - begin}

    print(json.dumps(about), file=out, flush=True)
    for line in sys.stdin:
        try:
            answer = answer_to(json.loads(line))
        except Exception as error:
            answer = failure_of(error)
        print(json.dumps(answer), file=out, flush=True)
