# PyTorch side of `swage bench kan`: opens KAN convolutions and networks, runs them once per request, and measures their memory in forks.
# In: requests, a JSON object per line (--serve, --memory). Out: a JSON line each. See ../README.md.
# SPDX-License-Identifier: Apache-2.0

import copy
import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import common  # noqa: E402

args = common.works_options("PyTorch side of swage bench kan")
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


def small(request):
    return {**request, "batch": 2, "size": min(request["size"], 16), "channels": min(request["channels"], 8)}


def found(request):
    return 0 if request["work"] != "layer" else check(request["form"], request["channels"], request["grid"], request["order"])


if __name__ == "__main__":
    about = {"version": torch.__version__, "options": f"CPU, {torch.backends.cpu.get_cpu_capability()}, eager, {args.threads} threads"}
    common.serve_works(args, about, Work, small, found)
