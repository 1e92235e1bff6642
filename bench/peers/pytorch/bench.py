# Times the rows of `swage bench` in PyTorch on the CPU: products, convolutions, layers, KAN, the SWAE networks, AdamW.
# In: options, see --help. Out: JSON, see ../README.md.
# SPDX-License-Identifier: Apache-2.0

import copy
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import common  # noqa: E402

args = common.options("PyTorch side of swage bench")
common.pin(args, "pytorch/bench.py")

import torch  # noqa: E402
from torch import nn  # noqa: E402

import networks  # noqa: E402
import workloads  # noqa: E402
from workloads import agree  # noqa: E402

torch.set_num_threads(args.threads)
torch.set_num_interop_threads(1)
MODE = args.compile or "eager"
DIRECTIONS, TRAIN_BATCH = 50, 256


def compiled(function):
    if not args.compile:
        return function
    torch.compiler.reset()  # or one shape after the other would turn into a dynamic one
    return torch.compile(function, mode=None if args.compile == "default" else args.compile, dynamic=False)


# ---- rows of workloads.py ----


def laid_out(tensors, channels_last):
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return [t.to(memory_format=formats[t.ndim]) if channels_last and t.ndim in formats else t for t in tensors]


def cast(tensors, dtype):
    return [t.to(torch.bfloat16) if dtype == "bf16" else t.clone() for t in tensors]


def prepare(work, run, dtype, channels_last):
    """The call, and its check against float64."""
    inputs, parameters = (laid_out(cast(t, dtype), channels_last) for t in (work.inputs, work.parameters))
    tolerance = 3e-2 if dtype == "bf16" else work.tolerance
    fast = compiled(run)
    training = work.mode != "forward"
    if training:
        for t in (*inputs, *parameters):
            t.requires_grad_()
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, fused=True) if work.mode == "step" else None
    dy = None
    if work.mode == "gradients":
        dy = laid_out([work.gradient().to(inputs[0].dtype)], channels_last)[0]

    def call():
        if not training:
            with torch.inference_mode():
                return fast(inputs, parameters)
        for t in (*inputs, *parameters):
            t.grad = None
        y = fast(inputs, parameters)
        if optimiser:
            y.square().mean().backward()
            optimiser.step()
        else:
            y.backward(dy)
        return y

    def check():
        exact = [[t.detach().double().requires_grad_(training) for t in ts] for ts in (inputs, parameters)]
        whole = not work.check or work.mode == "gradients"
        if work.mode == "step":  # before it moved on
            found = run([i.detach()[: work.check] for i in inputs], [p.detach() for p in parameters])
        else:
            found = call()
        if not whole:
            exact[0] = [t.detach()[: work.check] for t in exact[0]]
        truth = work.run(*exact)
        agree("result", found if whole else found[: work.check], truth, tolerance)
        if work.mode == "gradients":
            truth.backward(dy.double())
            for t, e in zip((*inputs, *parameters), (*exact[0], *exact[1])):
                agree("gradient", t.grad, e.grad, max(tolerance, 1e-4) if dtype == "f32" else 1e-1)

    return call, check


def table_rows(name, dtype):
    work, rows = workloads.work_of(name), []
    forms = {"": work.run, **({} if args.compile and "basis once" not in work.forms else work.forms)}
    for form, run in forms.items():
        for last in ([True] if args.compile else [False, True]) if work.channels_last else [False]:
            kind = f"{MODE} channels-last" if last else MODE
            alternative = form not in ("", "basis once")
            rows.append(common.attempt(args, name, dtype, f"{kind} {form}" if alternative else kind,
                                       lambda: prepare(work, run, dtype, last), "" if alternative else form))
    return rows


# ---- the networks ----


def total_loss(model, x, theta, prior):
    """mse + sliced-Wasserstein. theta: (l, k) normals, normalised here. prior: (m, k)."""
    z, y = model(x)
    z = z.to(x.dtype)
    theta = theta / theta.norm(dim=1, keepdim=True)
    gap = (z @ theta.T).sort(dim=0).values - (prior @ theta.T).sort(dim=0).values
    return nn.functional.mse_loss(y.to(x.dtype), x) + gap.square().mean()


def mixed(dtype):
    return torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16")


def inference(name, batch, dtype):
    """Encode and decode, one call."""
    model = networks.network(name).eval()
    x = torch.randn(batch, 125)
    exact = copy.deepcopy(model).double()
    if dtype == "bf16":
        model, x = model.bfloat16(), x.bfloat16()
    run = compiled(model)

    def call():
        with torch.inference_mode():
            return run(x)

    def check():
        with torch.no_grad():
            truth = exact(x.double())
        for what, f, e in zip(("latents", "reconstruction"), call(), truth):
            agree(what, f, e, 5e-2 if dtype == "bf16" else 1e-5)

    return call, check


def training(name, dtype, way):
    """One step: draw, forward, loss, backward, clip to norm 1, fused Adam. bf16: autocast, weights stay f32."""
    model = networks.network(name, "padded" in way)
    if "channels-last" in way:
        model = model.to(memory_format=torch.channels_last_3d)
    x = torch.rand(TRAIN_BATCH, workloads.inputs_of(name)) * 2 - 1
    loss_of = compiled(total_loss)
    parameters = list(model.parameters())
    optimiser = torch.optim.Adam(parameters, lr=2e-4, fused=True)

    def draw():
        return torch.randn(DIRECTIONS, workloads.LATENT), torch.randn(TRAIN_BATCH, workloads.LATENT)

    def call():
        with mixed(dtype):
            loss = loss_of(model, x, *draw())
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def check():
        exact, draws = copy.deepcopy(model).double(), draw()
        with mixed(dtype):
            loss = loss_of(model, x, *draws)
        loss.backward()
        total_loss(exact, x.double(), *(d.double() for d in draws)).backward()
        # Ranks that swap change single elements; a batch norm magnifies what is rounded.
        tolerance = {"f32": 5e-2, "bf16": 5e-1}[dtype] if name in workloads.CONVOLUTIONAL else {"f32": 1e-2, "bf16": 3e-1}[dtype]
        least = 2e-2 * max(e.grad.abs().max() for e in exact.parameters())  # biases before a batch norm have none but rounding
        for p, e in zip(model.parameters(), exact.parameters()):
            agree("gradient", p.grad, e.grad, tolerance, least)
        optimiser.zero_grad(set_to_none=True)

    return call, check


def adamw(kind, size):
    """Update of one span."""

    def build(dtype):
        span = nn.Parameter(start.to(dtype))
        span.grad = gradient.to(dtype)
        return span, torch.optim.AdamW([span], lr=1e-3, fused=kind == "fused", foreach=kind == "foreach")

    start, gradient = torch.randn(size), torch.randn(size)

    def check():
        (span, optimiser), (exact, reference) = build(torch.float32), build(torch.float64)
        for _ in range(3):
            optimiser.step()
            reference.step()
        agree("AdamW", span.detach(), exact.detach(), 1e-5)

    return build(torch.float32)[1].step, check


def rows_of(name, dtype):
    torch.manual_seed(42)
    network = re.fullmatch(r"(mlp1?|conv(?:-opt|7)?)(-train)?-b(\d+)", name)
    update = re.fullmatch(r"adamw-(\d+)", name)
    if network:
        if not network[2]:
            return [common.attempt(args, name, dtype, MODE, lambda: inference(network[1], int(network[3]), dtype))]
        ways = ["", " channels-last", " padded"][: 3 if dtype == "bf16" else 2] if network[1] in workloads.CONVOLUTIONAL else [""]
        return [common.attempt(args, name, dtype, MODE + way, lambda: training(network[1], dtype, way)) for way in ways]
    if update and dtype == "f32" and not args.compile:
        return [common.attempt(args, name, dtype, kind, lambda: adamw(kind, int(update[1]))) for kind in ("fused", "foreach")]
    return table_rows(name, dtype) if workloads.work_of(name) else []


if __name__ == "__main__":
    about = {"peer": "pytorch", "version": torch.__version__,
             "options": f"CPU, {torch.backends.cpu.get_cpu_capability()}, {MODE}, {'pinned' if not args.no_pin else 'not pinned'}, oneDNN "
                        f"{'on' if torch.backends.mkldnn.is_available() else 'off'}"}
    sys.exit(common.main(args, about, workloads.NAMES, rows_of))
