# PyTorch side of `swage bench kan`: opens KAN convolutions and networks, runs them once per request, and measures their memory in forks.
# In: requests, a JSON object per line (--serve, --memory). Out: a JSON line each. See ../README.md.
# SPDX-License-Identifier: Apache-2.0

import argparse
import copy
import ctypes
import gc
import json
import os
import re
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import common  # noqa: E402

parser = argparse.ArgumentParser(description="PyTorch side of swage bench kan; protocol: bench/peers/README.md")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--no-pin", action="store_true")
parser.add_argument("--serve", action="store_true", help="open, run, close")
parser.add_argument("--memory", action="store_true", help="memory: growth of the resident set of a fork")
args = parser.parse_args()
common.pin(args, "pytorch/kan_bench.py")

import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import kan  # noqa: E402
from workloads import agree  # noqa: E402

signal.signal(signal.SIGINT, signal.SIG_IGN)  # `swage bench` ends us when it is interrupted
torch.set_num_threads(args.threads)
torch.set_num_interop_threads(1)
LAYERS = {"naive": kan.NaiveKanConv2d, "patches": kan.KanConv2d, "once": kan.OnceKanConv2d, "optimised": kan.OptimizedKanConv2d}


def layer(form, channels, grid, order):
    return LAYERS[form](channels, channels, 3, grid, order)


def check(form, channels, grid, order):
    """Largest gap of a small layer in f32 to the float64 truth: of the published layer where it is the same function."""
    torch.manual_seed(1)
    own, x = layer(form, min(channels, 8), grid, order), torch.rand(1, min(channels, 8), 8, 8) * 3 - 1.5
    exact = copy.deepcopy(own).double() if form == "optimised" else layer("patches", min(channels, 8), grid, order).double()
    if form in ("patches", "once"):
        exact.load_state_dict(copy.deepcopy(own).double().state_dict())
    elif form == "naive":
        for name in ("base", "spline", "scaler"):
            pairs = [getattr(p, name).detach().double() for p in own.pairs]
            getattr(exact.linear, name).data.copy_(torch.cat(pairs).view_as(getattr(exact.linear, name)))
    with torch.no_grad():
        found, truth = own(x), exact(x.double())
    agree(form, found, truth, 1e-5)
    return ((found.double() - truth).abs().max() / truth.abs().max()).item()


class Work:
    """A call, ready. Keeps what an eager program keeps between two calls: parameters, optimiser state, the input."""

    def __init__(self, work, form, training, bf16, batch, channels, size, grid, order, **_):
        torch.manual_seed(42)
        form, last = re.fullmatch(r"(\w+)( channels-last)?", form).groups()
        self.training, self.bf16, self.network = training, bf16, work != "layer"
        if self.network:
            self.model = kan.DAE(LAYERS[form], work == "kan/dae-opt", twice=True).train(training)
            self.x = torch.rand(batch, 3, size, size)
            self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=2e-4, betas=(0.9, 0.95), weight_decay=1e-4, fused=True)
        else:
            self.model = layer(form, channels, grid, order)
            self.x = torch.rand(batch, channels, size, size) * 3 - 1.5
            self.dy = torch.rand_like(self.x) * 2 - 1
            self.x.requires_grad_(training)
        if last:
            self.model = self.model.to(memory_format=torch.channels_last)
            self.x = self.x.contiguous(memory_format=torch.channels_last)

    def __call__(self):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            if not self.training:
                with torch.inference_mode():
                    return self.model(self.x)
            y = self.model(self.x)
            loss = F.mse_loss(y[1].float(), self.x) if self.network else None
        if self.network:
            loss.backward()
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
        else:
            y.backward(self.dy.to(y.dtype))
            self.model.zero_grad(set_to_none=True)
            self.x.grad = None


def status_bytes(key):
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(key))


def memory(request):
    """Growth of the resident set from before the model is made to the peak of two calls, in a fork that has run a small one before."""
    small = {**request, "batch": 2, "size": min(request["size"], 16), "channels": min(request["channels"], 8)}
    Work(**small)()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")  # the peak is the present size
    before = status_bytes("VmRSS:")
    work = Work(**request)
    work()
    work()
    return {"bytes": status_bytes("VmHWM:") - before}


def in_fork(request):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = memory(request)
        except Exception as error:  # whatever goes wrong belongs into the report
            answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:250]}
        os.write(write, json.dumps(answer).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as f:
        text = f.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else {"error": "the measuring process ended early; out of memory?"}


ready = {}


def now():
    """As src/bench/kan.c: processor time of one thread, wall time of several."""
    return time.process_time_ns() if args.threads == 1 else common.clock()


def answer_to(request):
    what, number = request.pop("do"), request.pop("id")
    if what == "memory":
        return in_fork(request)
    if what == "close":
        ready.pop(number, None)
        gc.collect()
        return {}
    begin = now()
    if what == "open":
        found = 0 if request["work"] != "layer" else check(request["form"], request["channels"], request["grid"], request["order"])
        ready[number] = Work(**request)
        return {"cold_ns": now() - begin, "error_found": found, "parameters": sum(p.numel() for p in ready[number].model.parameters())}
    ready[number]()
    return {"ns": now() - begin}


def main():
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not get between the lines of the answer
    about = {"version": torch.__version__, "options": f"CPU, {torch.backends.cpu.get_cpu_capability()}, eager, {args.threads} threads"}
    print(json.dumps(about), file=out, flush=True)
    for line in sys.stdin:
        try:
            answer = answer_to(json.loads(line))
        except Exception as error:
            answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:250]}
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
