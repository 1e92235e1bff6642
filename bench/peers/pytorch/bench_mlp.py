# Times swae/mlp and swae/mlp-deep (forward, training step) and the AdamW update in PyTorch on the CPU.
# In: options, see --help. Out: one JSON object on standard output; messages go to standard error.
# SPDX-License-Identifier: Apache-2.0

import argparse
import copy
import json
import os
import statistics
import sys
import time

BATCHES, TRAIN_BATCH, DIRECTIONS, ADAMW_SIZE = (1, 16, 256, 4096), 256, 50, 400_013
NETWORKS = {"mlp1": ("gelu", (125, 512, 16)), "mlp": ("relu", (125, 512, 256, 16))}


def options():
    parser = argparse.ArgumentParser(description="PyTorch side of the SWAE MLP rows; protocol: README.md")
    parser.add_argument("--threads", type=int, default=1, help="threads, each pinned to a core of its own (default 1)")
    parser.add_argument("--compile", nargs="?", const="default", choices=("default", "max-autotune"), metavar="MODE",
                        help="add rows of torch.compile; MODE default or max-autotune")
    parser.add_argument("--freeze", action="store_true", help="with --compile: constant-fold and pack inference weights")
    parser.add_argument("--foreach", action="store_true", help="add a row of the foreach AdamW")
    parser.add_argument("--no-pin", action="store_true", help="leave threads where the system puts them")
    parser.add_argument("--only", default="", metavar="TEXT", help="only workloads whose id contains TEXT")
    parser.add_argument("--quick", action="store_true", help="20 repetitions, no minimum time: does it run, not how fast")
    return parser.parse_args()


args = options()
# The thread library reads these once, when torch is loaded.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(args.threads)
if not args.no_pin:
    cores = sorted(os.sched_getaffinity(0))[: args.threads]
    if len(cores) < args.threads:
        sys.exit(f"bench_mlp: --threads {args.threads}: this process may use {len(cores)} cores; use fewer, or --no-pin")
    os.environ["OMP_PLACES"], os.environ["OMP_PROC_BIND"] = ",".join(f"{{{c}}}" for c in cores), "true"
if args.freeze:
    os.environ["TORCHINDUCTOR_FREEZING"] = "1"

import torch  # noqa: E402
from torch import nn  # noqa: E402

torch.set_num_threads(args.threads)
torch.set_num_interop_threads(1)


def clock():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


def measure(call):
    """Warm-up, repetitions and statistics as in section 1 of the benchmarking specification; times in ns.

    Warm-up: batches of 5 repetitions until two in a row differ by less than 2 % (and 0.2 s have passed), at most 3 s.
    Then at least 20 repetitions and 0.5 s, at most 10 s. A call under 20 us is timed in loops of 20 us.
    """

    def timed(loops):
        begin = clock()
        for _ in range(loops):
            call()
        return (clock() - begin) / loops

    warm_at_least, warm_at_most, at_least, at_most = (0, 0, 0, 10e9) if args.quick else (0.2e9, 3e9, 0.5e9, 10e9)
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
    median = statistics.median(times)
    quarter = len(times) // 4
    return {"median_ns": round(median, 1), "min_ns": round(times[0], 1), "p95_ns": round(times[int(0.95 * (len(times) - 1))], 1),
            "spread": round((times[-1 - quarter] - times[quarter]) / median, 4), "reps": len(times), "loops": loops}


class Autoencoder(nn.Module):
    """Activation after every linear layer but the last of each half. x: (m, 125) -> latents (m, 16), reconstruction (m, 125)."""

    def __init__(self, activation, widths):
        super().__init__()

        def half(w):
            layers = []
            for a, b in zip(w, w[1:]):
                layers += [nn.Linear(a, b), nn.GELU() if activation == "gelu" else nn.ReLU()]
            return nn.Sequential(*layers[:-1])

        self.encoder, self.decoder = half(widths), half(widths[::-1])

    def forward(self, x):
        z = self.encoder(x)
        return z, self.decoder(z)


def total_loss(model, x, theta, prior):
    """mse + sliced-Wasserstein. theta: (l, k) normals, normalised here. prior: (m, k)."""
    z, y = model(x)
    theta = theta / theta.norm(dim=1, keepdim=True)
    gap = (z @ theta.T).sort(dim=0).values - (prior @ theta.T).sort(dim=0).values
    return nn.functional.mse_loss(y, x) + gap.square().mean()


def agree(what, found, expected, tolerance=1e-5):
    """A wrong result has no time."""
    error = ((found.double() - expected).abs().max() / expected.abs().max()).item()
    if not error < tolerance:
        raise RuntimeError(f"{what}: {error:.1e} from the float64 result, at most {tolerance:.0e} allowed")


class Report:
    def __init__(self):
        self.rows, self.failures = [], []

    def wanted(self, workload):
        return args.only in workload

    def row(self, workload, variant, prepare):
        """prepare() returns the call and a check of its result; an exception in either becomes a failure, not a row.

        cold_ms is building, compiling and the first call; the check stands between that and the timing.
        """
        if not self.wanted(workload):
            return
        torch.manual_seed(42)
        try:
            begin = clock()
            call, check = prepare()
            call()
            cold = clock() - begin
            check()
            times = {**measure(call), "cold_ms": round(cold / 1e6, 3)}
        except Exception as error:  # whatever goes wrong in the peer belongs into the report
            message = f"{type(error).__name__}: {error}"[:500]
            self.failures.append({"workload": workload, "variant": variant, "error": message})
            print(f"{workload:16} {variant:22} {message.splitlines()[0]}", file=sys.stderr)
            return
        self.rows.append({"workload": workload, "dtype": "f32", "threads": args.threads, "variant": variant,
                          "hot": True, **times})
        print(f"{workload:16} {variant:22} median {times['median_ns'] / 1e3:11.2f} us   min {times['min_ns'] / 1e3:11.2f} us",
              file=sys.stderr)


def compiled(function, mode):
    torch.compiler.reset()  # or one batch size after the other would turn into a dynamic shape
    return torch.compile(function, mode=None if mode == "default" else mode, dynamic=False)


def inference(name, batch, mode):
    """Encode and decode, one call."""
    model = Autoencoder(*NETWORKS[name]).eval()
    x = torch.randn(batch, 125)
    run = compiled(model, mode) if mode else model

    def call():
        with torch.inference_mode():
            return run(x)

    def check():
        with torch.no_grad():
            exact = copy.deepcopy(model).double()(x.double())
        for what, f, e in zip(("latents", "reconstruction"), call(), exact):
            agree(what, f, e)

    return call, check


def training(name, mode):
    """One step: draw, forward, loss, backward, clip to norm 1, fused Adam."""
    model = Autoencoder(*NETWORKS[name])
    x = torch.randn(TRAIN_BATCH, 125)
    loss_of = compiled(total_loss, mode) if mode else total_loss
    parameters = list(model.parameters())
    latent = NETWORKS[name][1][-1]

    optimiser = torch.optim.Adam(parameters, lr=2e-4, fused=True)

    def draw():
        return torch.randn(DIRECTIONS, latent), torch.randn(TRAIN_BATCH, latent)

    def call():
        loss_of(model, x, *draw()).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def check():
        exact, draws = copy.deepcopy(model).double(), draw()
        loss_of(model, x, *draws).backward()
        total_loss(exact, x.double(), *(d.double() for d in draws)).backward()
        for p, e in zip(parameters, exact.parameters()):
            agree("gradient", p.grad, e.grad, 1e-2)  # ranks that swap in float32 change single elements
        optimiser.zero_grad(set_to_none=True)

    return call, check


def adamw(kind):
    """Update of one span of 400,013 parameters."""

    def build(dtype):
        span = nn.Parameter(start.to(dtype))
        span.grad = gradient.to(dtype)
        return span, torch.optim.AdamW([span], lr=1e-3, fused=kind == "fused", foreach=kind == "foreach")

    start, gradient = torch.randn(ADAMW_SIZE), torch.randn(ADAMW_SIZE)

    def check():
        (span, optimiser), (exact, reference) = build(torch.float32), build(torch.float64)
        for _ in range(3):
            optimiser.step()
            reference.step()
        agree("AdamW", span.detach(), exact.detach())

    return build(torch.float32)[1].step, check


def main():
    report = Report()
    load_before = os.getloadavg()[0]
    for mode in [None, args.compile] if args.compile else [None]:
        variant = "eager" if mode is None else f"compile-{mode}" + ("-freeze" if args.freeze else "")
        for name in NETWORKS:
            for batch in BATCHES:
                report.row(f"{name}-b{batch}", variant, lambda: inference(name, batch, mode))
            report.row(f"{name}-train-b{TRAIN_BATCH}", variant, lambda: training(name, mode))
    for kind in ("fused", "foreach") if args.foreach else ("fused",):
        report.row(f"adamw-{ADAMW_SIZE}", kind, lambda: adamw(kind))

    print(json.dumps({
        "peer": "pytorch", "version": torch.__version__,
        "options": {"threads": args.threads, "pinned": not args.no_pin, "compile": args.compile, "freeze": args.freeze,
                    "quick": args.quick, "cpu_capability": torch.backends.cpu.get_cpu_capability(),
                    "load_before": load_before, "load_after": os.getloadavg()[0]},
        "rows": report.rows, "failures": report.failures,
    }, indent=1))
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
