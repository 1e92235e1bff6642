# ONNX Runtime side of `swage bench tfswa`: inference of TFSWA-UNet in f32, the network exported from PyTorch by another process. Forms: "fused" (one
# com.microsoft.MultiHeadAttention per unit) and "chunks" (products, softmax, products, as many sequences at a time as give 256 MiB of scores).
# In: requests, a JSON object per line (--serve, --memory). Out: a JSON line each. See ../README.md.
# SPDX-License-Identifier: Apache-2.0

import os
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
import common  # noqa: E402

args = common.works_options("ONNX Runtime side of swage bench tfswa")
common.pin(args, "onnxruntime/tfswa_bench.py")

import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402

signal.signal(signal.SIGINT, signal.SIG_IGN)  # `swage bench` ends us when it is interrupted


class Counted:
    """As many parameters as the network that was exported."""

    def __init__(self, count):
        self.count = count

    def parameters(self):
        return [self]

    def numel(self):
        return self.count


class Work:
    """A call, ready."""

    def __init__(self, net, form, training, bf16, shape, **_):
        if training or bf16:
            raise ValueError("inference in f32 only")
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "net.onnx")
            command = [sys.executable, os.path.join(HERE, "../pytorch/tfswa_bench.py"), "--export", file, net, ",".join(map(str, shape)), form]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError("export: " + (done.stderr.strip().splitlines() or ["no message"])[-1])
            options = ort.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = args.threads, 1
            self.session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.model = Counted(int(done.stdout.split()[-1]))
        self.x = np.random.default_rng(42).uniform(-1, 1, shape).astype(np.float32)

    def __call__(self):
        return self.session.run(None, {"x": self.x})


def small(request):
    return {**request, "shape": [1, request["shape"][1], 16, 16]}


if __name__ == "__main__":
    common.serve_works(args, {"version": ort.__version__, "options": f"CPU provider, {args.threads} threads"}, Work, small)
