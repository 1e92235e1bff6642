# Times the rows of `swage bench` in ONNX Runtime's CPU provider, f32: models made here with onnx.helper, results held against float64.
# In: options, see --help. Out: JSON, see ../README.md.
# SPDX-License-Identifier: Apache-2.0

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import common  # noqa: E402

args = common.options("ONNX Runtime side of swage bench")
CORES = common.pin(args, "onnxruntime/bench.py")

import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402
import torch  # noqa: E402  the float64 truth
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import workloads  # noqa: E402
from workloads import agree  # noqa: E402

torch.set_num_threads(args.threads)
OPSET, IR = 20, 9


class Net:
    """A graph that grows: add() gives the name of its result."""

    def __init__(self):
        self.nodes, self.weights = [], []

    def add(self, op, *inputs, domain="", outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, domain=domain, **attributes))
        return names[0]

    def weight(self, array):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.array(array, order="C"), name))
        return name

    def model(self, inputs, result):
        x = [helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, a.shape) for i, a in enumerate(inputs)]
        graph = helper.make_graph(self.nodes, "row", x, [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)], self.weights)
        sets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=sets, ir_version=IR).SerializeToString()


# ---- the rows ----


def conv(net, name, w):
    what = workloads.CONVOLUTIONS[name][0] if name in workloads.CONVOLUTIONS else "transposed"
    if what == "weights":
        return None
    d = w[0].ndim - 2
    if what == "forward":
        return net.add("Conv", "x0", net.weight(w[0]), pads=[1] * 2 * d)
    if what == "data":
        return net.add("ConvTranspose", "x0", net.weight(w[0]), pads=[1] * 2 * d)
    _, _, _, _, _, stride, padding, more = workloads.TRANSPOSED[name]
    return net.add("ConvTranspose", "x0", net.weight(w[0]), strides=[stride] * d, pads=[padding] * 2 * d, output_padding=[more] * d)


def linear(net, x, w, b=None):
    y = net.add("MatMul", x, net.weight(w.T))
    return y if b is None else net.add("Add", y, net.weight(b))


def window_block(net, w):
    d, heads = 96, 6
    h = net.add("LayerNormalization", "x0", net.weight(w[0]), net.weight(w[1]))
    q, k, v = (linear(net, h, part) for part in np.split(w[2], 3))
    h = net.add("MultiHeadAttention", q, k, v, domain="com.microsoft", num_heads=heads, scale=(d // heads) ** -0.5)
    x = net.add("Add", "x0", linear(net, h, w[3], w[4]))
    h = net.add("LayerNormalization", x, net.weight(w[5]), net.weight(w[6]))
    h = net.add("Gelu", linear(net, h, w[7], w[8]))
    return net.add("Add", x, linear(net, h, w[9], w[10]))


def group_norm(net, w):
    """Split into 8 groups, normalised, put together again: opset 20 has no form for it that the CPU runs faster."""
    n = net.add("Reshape", "x0", net.weight(np.array([0, 8, -1], np.int64)))
    n = net.add("InstanceNormalization", n, net.weight(np.ones(8, np.float32)), net.weight(np.zeros(8, np.float32)))
    n = net.add("Reshape", n, net.weight(np.array([8, 64, 64, 64], np.int64)))
    n = net.add("Mul", n, net.weight(w[0].reshape(64, 1, 1)))
    return net.add("Add", n, net.weight(w[1].reshape(64, 1, 1)))


def stft(net, w):
    window = torch.hann_window(2048).numpy()
    pads = net.weight(np.array([0, 1024, 0, 1024], np.int64))
    x = net.add("Pad", "x0", pads, mode="reflect")
    y = net.add("STFT", x, net.weight(np.array(512, np.int64)), net.weight(window), net.weight(np.array(2048, np.int64)))
    return net.add("Transpose", y, perm=[0, 2, 1, 3])


def attend(net, w, d=4):
    q, k, v = (net.add("Reshape", net.add("Transpose", f"x{i}", perm=[0, 2, 1, 3]), net.weight(np.array([0, 0, -1], np.int64))) for i in range(3))
    y = net.add("MultiHeadAttention", q, k, v, domain="com.microsoft", num_heads=8)
    y = net.add("Reshape", y, net.weight(np.array([0, 0, 8, d], np.int64)))
    return net.add("Transpose", y, perm=[0, 2, 1, 3])


LAYERS = {
    "win": window_block,
    "layer-norm": lambda net, w: net.add("LayerNormalization", "x0", net.weight(w[0]), net.weight(w[1])),
    "instance-norm": lambda net, w: net.add("InstanceNormalization", "x0", net.weight(w[0]), net.weight(w[1])),
    "group-norm": group_norm,
    "gelu": lambda net, w: net.add("Gelu", "x0"),
    "softmax": lambda net, w: net.add("Softmax", "x0", axis=-1),
    "resize": lambda net, w: net.add("Resize", "x0", "", "", net.weight(np.array([8, 64, 128, 128], np.int64)), mode="linear"),
    "pool-max": lambda net, w: net.add("MaxPool", "x0", kernel_shape=[2] * 3, strides=[2] * 3),
    "pool-avg": lambda net, w: net.add("AveragePool", "x0", kernel_shape=[2] * 3, strides=[2] * 3),
    "transpose": lambda net, w: net.add("Transpose", "x0", perm=[0, 3, 1, 2]),
    **{f"att-{tokens}": lambda net, w, d=d: attend(net, w, d) for tokens, d in ((1025, 4), (259, 4), (64, 4), (512, 8), (256, 16), (128, 32))},
    "stft": stft,
}


def network(net, name, w):
    """w: weight and bias of every linear layer, both halves; no activation behind the last of each."""
    x, half = "x0", len(w) // 4
    for i in range(2 * half):
        x = net.add("Gemm", x, net.weight(w[2 * i]), net.weight(w[2 * i + 1]), transB=1)
        if i % half != half - 1:
            x = net.add("Gelu" if workloads.NETWORKS[name][0] == "gelu" else "Relu", x)
    return x


def network_work(name, batch):
    activation, widths = workloads.NETWORKS[name]
    widths, parameters = widths + widths[::-1][1:], []
    for a, b in zip(widths, widths[1:]):
        parameters += [workloads.random(b, a, scale=a**-0.5), workloads.random(b, scale=a**-0.5)]

    def run(i, p):
        x, half = i[0], len(p) // 4
        act = torch.nn.functional.gelu if activation == "gelu" else torch.relu
        for layer in range(2 * half):
            x = torch.nn.functional.linear(x, p[2 * layer], p[2 * layer + 1])
            x = act(x) if layer % half != half - 1 else x
        return x

    return workloads.Work(run, [workloads.random(batch, 125)], parameters)


def express(name):
    """The work and its model; None where it has no form in ONNX's operators."""
    found, net = re.fullmatch(r"(mlp1?)-b(\d+)", name), Net()
    work = network_work(found[1], int(found[2])) if found else workloads.work_of(name)
    if work is None:
        return None
    w = [p.numpy() for p in work.parameters]
    if found:
        result = network(net, found[1], w)
    elif name.startswith("matmul"):
        result = net.add("Gemm", "x0", net.weight(w[0]), transB=1)
    elif name in workloads.CONVOLUTIONS or name in workloads.TRANSPOSED:
        result = conv(net, name, w)
    else:
        result = LAYERS[name](net, w) if name in LAYERS else None
    inputs = [i.numpy() for i in work.inputs]
    if result and name in workloads.CONVOLUTIONS:
        inputs = inputs[:1]
    return (work, inputs, net.model(inputs, result)) if result else None


# ---- timing ----


def prepare(work, inputs, model, spinning):
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = args.threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    if args.threads > 1 and not args.no_pin:  # the caller is the first thread; torch has bound it to the first core
        options.add_session_config_entry("session.intra_op_thread_affinities", ";".join(str(c + 1) for c in CORES[1:]))
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    values = [ort.OrtValue.ortvalue_from_numpy(i) for i in inputs]
    for i, value in enumerate(values):
        binding.bind_ortvalue_input(f"x{i}", value)
    binding.bind_output(session.get_outputs()[0].name)

    def call():
        session.run_with_iobinding(binding)

    def check():
        n = work.check or None
        with torch.no_grad():
            truth = work.run([t.double()[:n] for t in work.inputs], [p.double() for p in work.parameters])
        agree("result", torch.from_numpy(binding.copy_outputs_to_cpu()[0])[:n], truth, max(work.tolerance, 2e-5))

    return call, check


def rows_of(name, dtype):
    if dtype != "f32":
        return []
    made = express(name)
    ways = [("1 thread", True)] if args.threads == 1 else [("spinning", True), ("not spinning", False)]
    return [common.attempt(args, name, dtype, way, lambda: prepare(*made, spinning)) for way, spinning in ways] if made else []


if __name__ == "__main__":
    about = {"peer": "onnxruntime", "version": ort.__version__,
             "options": f"CPU provider, all optimisations, opset {OPSET}, {args.threads} intra-op thread{'s' if args.threads > 1 else ''}, "
                        f"{'not ' if args.no_pin else ''}pinned"}
    sys.exit(common.main(args, about, workloads.NAMES, rows_of))
