# PyTorch side of `swage bench tfswa`: inference and training steps of TFSWA-UNet, eager, f32 or bf16 autocast; and, with --export, the network as an
# ONNX file for ../onnxruntime/tfswa_bench.py.
# In: requests, a JSON object per line (--serve, --memory). Out: a JSON line each. See ../README.md.
# SPDX-License-Identifier: Apache-2.0

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import common  # noqa: E402

EXPORT = sys.argv[1:2] == ["--export"]  # FILE NET N,C,F,T FORM
if not EXPORT:
    args = common.works_options("PyTorch side of swage bench tfswa")
    common.pin(args, "pytorch/tfswa_bench.py")

import torch  # noqa: E402
from torch import nn  # noqa: E402

import tfswa  # noqa: E402

NETS = {"unet": tfswa.UNET, "small": tfswa.SMALL}
SCORES = 1 << 26  # of a chunk of sequences: 256 MiB
CHUNK = 16  # sequences, as published


def network(net, channels, attention="sdpa"):
    torch.manual_seed(42)
    return tfswa.TFSWAUNet(inputs=channels, outputs=channels, attention=attention, **NETS[net])


def chunk(model):
    """Attention as published: stored scores, 16 sequences at a time."""
    for module in model.modules():
        if isinstance(module, tfswa.Unit):
            module.attention, whole = "naive", module.mhsa
            module.mhsa = lambda x, mask, whole=whole: torch.cat([whole(part, mask) for part in x.split(CHUNK)])
    return model


class Work:
    """A call, ready. Keeps what an eager program keeps between two calls: parameters, optimiser state, the input."""

    def __init__(self, net, form, training, bf16, shape, **_):
        self.training, self.bf16 = training, bf16
        self.model = network(net, shape[1]).train(training)
        if form == "chunks":
            chunk(self.model)
        self.x = torch.rand(shape) * 2 - 1
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-5, weight_decay=1e-4, fused=True) if training else None

    def __call__(self):
        if not self.training:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                return self.model(self.x)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            y = self.model(self.x)
        (y.float() - self.x).abs().mean().backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)


def small(request):
    return {**request, "shape": [1, request["shape"][1], 16, 16]}


# ---- the network as an ONNX file: weights as they start, batch norms as they are in use ----


class Attention(torch.autograd.Function):
    """q, k, v: (batch, length, heads d) to the same. What is written into the file, not what is computed."""

    @staticmethod
    def forward(ctx, q, k, v, heads, fused, batch, length, dim):
        return q + k + v

    @staticmethod
    def symbolic(g, q, k, v, heads, fused, batch, length, dim):
        constant = lambda *numbers: g.op("Constant", value_t=torch.tensor(numbers))  # noqa: E731
        scale = (dim // heads) ** -0.5
        if fused:
            return g.op("com.microsoft::MultiHeadAttention", q, k, v, num_heads_i=heads, scale_f=scale).setType(q.type())
        q, k, v = (g.op("Transpose", g.op("Reshape", x, constant(batch, length, heads, dim // heads)), perm_i=perm)
                   for x, perm in ((q, [0, 2, 1, 3]), (k, [0, 2, 3, 1]), (v, [0, 2, 1, 3])))
        q = g.op("Mul", q, g.op("Constant", value_t=torch.tensor(scale)))
        each, parts = max(1, SCORES // (heads * length * length)), []
        for first in range(0, batch, each):
            a, b, c = (g.op("Slice", x, constant(first), constant(min(first + each, batch)), constant(0)) for x in (q, k, v))
            parts.append(g.op("MatMul", g.op("Softmax", g.op("MatMul", a, b), axis_i=-1), c))
        y = parts[0] if len(parts) == 1 else g.op("Concat", *parts, axis_i=0)
        return g.op("Reshape", g.op("Transpose", y, perm_i=[0, 2, 1, 3]), constant(batch, length, dim)).setType(q.type())


def export(file, net, shape, form):
    model = network(net, shape[1]).eval()
    for module in model.modules():
        if isinstance(module, tfswa.Unit):
            def mhsa(x, mask, unit=module):
                q, k, v = (nn.functional.linear(x, w) for w in unit.qkv.weight.chunk(3))
                return unit.proj(Attention.apply(q, k, v, unit.heads, form == "fused", *(int(n) for n in q.shape)))
            module.mhsa = mhsa
    with torch.inference_mode(), torch.jit.optimized_execution(False):
        torch.onnx.export(model, (torch.zeros(shape),), file, opset_version=17, dynamo=False, input_names=["x"], output_names=["y"])
    print(sum(p.numel() for p in model.parameters()))


if __name__ == "__main__":
    if EXPORT:
        export(sys.argv[2], sys.argv[3], [int(n) for n in sys.argv[4].split(",")], sys.argv[5])
        sys.exit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # `swage bench` ends us when it is interrupted
    torch.set_num_threads(args.threads)
    torch.set_num_interop_threads(1)
    about = {"version": torch.__version__, "options": f"CPU, {torch.backends.cpu.get_cpu_capability()}, eager, {args.threads} threads"}
    common.serve_works(args, about, Work, small)
