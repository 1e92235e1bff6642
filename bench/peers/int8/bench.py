# The published autoencoders in 8 bits elsewhere: PyTorch's and ONNX Runtime's dynamic quantisation of linear layers, beside their f32, encode and decode
# together. The same precisions of ours: `swage quantise RUN --compare --batch N --threads T`.
# In: command line (see ../common.py), and networks with --only: swae/mlp swae/mlp-deep swae/conv-opt. Out: JSON on standard output, a table on standard error.
# SPDX-License-Identifier: Apache-2.0

import json
import os
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import common

args = common.options("int8 inference of SWAE networks")
common.pin(args, "int8")

import warnings

warnings.filterwarnings("ignore")
import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

torch.set_num_threads(args.threads)
torch.manual_seed(1)
BATCHES = (1, 256, 65536)


def linears(widths, act):
    layers = []
    for half in (widths, widths[::-1]):
        for i, (k, n) in enumerate(zip(half, half[1:])):
            layers.append(torch.nn.Linear(k, n))
            if i < len(half) - 2:
                layers.append(act())
    return torch.nn.Sequential(*layers)


def conv_opt():
    c, t, relu = torch.nn.Conv3d, torch.nn.ConvTranspose3d, torch.nn.ReLU
    return torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, 5, 5, 5)),
        c(1, 32, 3, 2, 1), relu(), c(32, 64, 3, 2, 1), relu(), c(64, 128, 3, 1, 1), relu(), c(128, 256, 3, 1, 1), relu(),
        torch.nn.Flatten(), torch.nn.Linear(2048, 16), torch.nn.Linear(16, 2048), torch.nn.Unflatten(1, (256, 2, 2, 2)), relu(),
        t(256, 128, 3, 1, 1), relu(), t(128, 64, 3, 1, 1), relu(), t(64, 32, 3, 2, 1), relu(), t(32, 1, 3, 2, 1), torch.nn.Flatten())


NETWORKS = {"swae/mlp": lambda: linears([125, 512, 16], torch.nn.GELU), "swae/mlp-deep": lambda: linears([125, 512, 256, 16], torch.nn.ReLU),
            "swae/conv-opt": conv_opt}


def to_onnx(net, path):
    """Linear layers and activations only: MatMul and Add, Relu, or Gelu of opset 20."""
    nodes, weights, at = [], [], "x"
    for i, layer in enumerate(net):
        out = f"v{i}"
        if isinstance(layer, torch.nn.Linear):
            weights += [numpy_helper.from_array(layer.weight.detach().numpy().T.copy(), f"w{i}"), numpy_helper.from_array(layer.bias.detach().numpy(), f"b{i}")]
            nodes += [helper.make_node("MatMul", [at, f"w{i}"], [f"m{i}"]), helper.make_node("Add", [f"m{i}", f"b{i}"], [out])]
        else:
            nodes.append(helper.make_node("Relu" if isinstance(layer, torch.nn.ReLU) else "Gelu", [at], [out]))
        at = out
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["m", 125])
    graph = helper.make_graph(nodes, "swae", [value("x")], [value(at)], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def measure(call):
    """Median; of the thread's processor time where one thread does it all, as `swage quantise --compare` has it."""
    now, times = time.thread_time_ns if args.threads == 1 else time.monotonic_ns, []
    for n in range(-3, 10000):
        begin = now()
        call()
        if n >= 0:
            times.append(now() - begin)
        if n >= 4 and sum(times) > 0.5e9:
            break
    return {"median_ns": statistics.median(times), "min_ns": min(times), "reps": len(times)}


rows = []


def row(network, batch, peer, precision, call):
    try:
        with torch.inference_mode():
            result = measure(call)
        rows.append({"network": network, "batch": batch, "peer": peer, "precision": precision, "threads": args.threads, **result})
        print(f"{network:14} batch {batch:6}  {peer:12} {precision:5} {result['median_ns'] / 1e3:12.1f} us", file=sys.stderr)
    except Exception as error:  # what a peer refuses is a row, too
        rows.append({"network": network, "batch": batch, "peer": peer, "precision": precision, "error": str(error).splitlines()[0]})
        print(f"{network:14} batch {batch:6}  {peer:12} {precision:5} {rows[-1]['error']}", file=sys.stderr)


wanted = NETWORKS if args.only == ["*"] else {name: NETWORKS[name] for name in args.only}
for name, make in wanted.items():
    net = make().eval()
    small = torch.ao.quantization.quantize_dynamic(net, {torch.nn.Linear}, dtype=torch.qint8)
    sessions = []
    with tempfile.TemporaryDirectory() as folder:
        if name != "swae/conv-opt":  # dynamic quantisation leaves convolutions alone
            exact, codes = os.path.join(folder, "f32.onnx"), os.path.join(folder, "int8.onnx")
            to_onnx(net, exact)
            quantize_dynamic(exact, codes, weight_type=QuantType.QInt8, per_channel=True)
            sessions = [("f32", session(exact)), ("int8", session(codes))]
        for batch in BATCHES:
            if name == "swae/conv-opt" and batch > 256:
                continue
            x = torch.randn(batch, 125)
            row(name, batch, "pytorch", "f32", lambda: net(x))
            row(name, batch, "pytorch", "bf16", lambda: torch.autocast("cpu", torch.bfloat16)(net)(x))
            row(name, batch, "pytorch", "int8", lambda: small(x))
            for precision, s in sessions:
                row(name, batch, "onnxruntime", precision, lambda: s.run(None, {"x": x.numpy()}))
print(json.dumps({"pytorch": torch.__version__, "onnxruntime": onnxruntime.__version__, "rows": rows}))
