# Makes cyto_unet.safetensors and cyto_gan.safetensors: dynamic U-Nets and super-resolution GANs of cyto.md, sections 3.1, 3.2 and 4, in plain PyTorch.
# In: nothing but seed 42 (streams in README.md). Out: the files, in the folder of this script: results, losses, all gradients and ten steps
# per case; GANs in the published order of updates, by two optimisers.
# SPDX-License-Identifier: Apache-2.0

import math
import os

import numpy as np
import torch
import torch.nn.functional as F

import oracle
import philox
from make_swae_nets import stride_of

SEED, STEPS, MARGIN = 42, 10, 5e-6
CONV = {2: (F.conv2d, F.conv_transpose2d, F.avg_pool2d, "bilinear"), 3: (F.conv3d, F.conv_transpose3d, F.avg_pool3d, "trilinear")}


class Parameters(dict):
    """Made on first use: 1 +- 0.3 where norms have weights, biases +- 0.2, other weights +- 1/sqrt(elements per index of the first axis)."""

    def __init__(self, case):
        super().__init__()
        self.case = case

    def get(self, name, *shape):
        if name not in self:
            one = len(shape) == 1 and name.endswith("weight")
            bound = 0.3 if one else 0.2 if len(shape) == 1 else 1 / math.sqrt(math.prod(shape[1:]))
            u = np.float32(2) * philox.uniform(SEED, f"golden:{name}", 0, shape).astype(np.float32) - np.float32(1)
            self[name] = oracle.f64(np.float32(one) + np.float32(bound) * u).requires_grad_()
        return self[name]


def normalised(p, name, x, affine=True):
    axes, wide = list(range(2, x.dim())), (1, x.shape[1], *[1] * (x.dim() - 2))
    x = (x - x.mean(axes, keepdim=True)) / (x.var(axes, correction=0, keepdim=True) + 1e-5).sqrt()
    return x * p.get(f"{name}.weight", wide[1]).reshape(wide) + p.get(f"{name}.bias", wide[1]).reshape(wide) if affine else x


def convolved(p, name, x, n, kernel, stride=1, padding=None, bias=False):
    d = x.dim() - 2
    w = p.get(f"{name}.weight", n, x.shape[1], *[kernel] * d)
    return CONV[d][0](x, w, p.get(f"{name}.bias", n) if bias else None, stride=stride, padding=kernel // 2 if padding is None else padding)


margins = []  # of leaky ReLUs: the value closest to 0


def leaky(x, slope):
    margins.append(x.detach().abs().min().item())
    return F.leaky_relu(x, slope)


def clear_stream(name, forward):
    """The first of "<name>0", "<name>1", ... with which no value stands so close to the kink of a leaky ReLU that float32 may take the other side: one
    that does changes gradients of small images by a part in a thousand."""
    for number in range(100):
        margins.clear()
        with torch.no_grad():
            forward(f"{name}{number}")
        if min(margins) > MARGIN:
            return f"{name}{number}"
    raise SystemExit(f"no stream {name}0 to {name}99 keeps all values {MARGIN} away from 0")


def block(p, name, x, n, stride, residual, affine=True):
    def unit(number, v, kernel, s):
        return normalised(p, f"{name}.norm{number}", convolved(p, f"{name}.conv{number}", v, n, kernel, s), affine)

    y = unit(2, leaky(unit(1, x, 3, stride), 0.01), 3, 1)
    if residual:
        y = y + (x if x.shape[1] == n and stride == 1 else unit(3, x, 1, stride))
    return leaky(y, 0.01)


def unet(p, x, scope="", filters=(16, 32, 64), strides=(1, 2, 2), residual=True):
    last, skips = len(filters) - 1, []
    for level, (n, stride) in enumerate(zip(filters, strides)):
        name = "input" if level == 0 else "bottleneck" if level == last else f"down{level}"
        x = block(p, scope + name, x, n, stride, residual)
        skips.append(x)
    for level in reversed(range(last)):
        k, name = strides[level + 1], f"{scope}up{last - level}"
        w = p.get(f"{name}.deconv.weight", x.shape[1], filters[level], *[k] * (x.dim() - 2))
        x = CONV[x.dim() - 2][1](x, w, stride=k)
        x = block(p, f"{name}.block", torch.cat((x, skips[level]), 1), filters[level], 1, False)
    return x


# ---- losses ----

def dice(y, t):
    s, axes = torch.sigmoid(y), list(range(2, y.dim()))
    return (1 - (2 * (s * t).sum(axes) + 1e-5) / ((s + t).sum(axes) + 1e-5)).mean()


def cross_entropy(y, t):
    return F.binary_cross_entropy_with_logits(y, t) if y.shape[1] == 1 else F.cross_entropy(y, t)


def segmentation(y, t):
    return [dice(y, t), cross_entropy(y, t)]


# ---- U-Nets ----

def drawn(name, shape, mask=False):
    """Images in [0, 1); masks where that is above 0.6; of several channels one of them everywhere."""
    u = philox.uniform(SEED, f"golden:{name}", 0, shape)
    if not mask:
        return oracle.f64(u)
    return oracle.f64(u > 0.6) if shape[1] == 1 else oracle.f64(np.arange(shape[1]).reshape(1, -1, *[1] * (len(shape) - 2)) == u.argmax(1)[:, None])


def samples(key, value, tensors, metadata):
    flat, stride = value.detach().numpy().reshape(-1), stride_of(value.numel())
    tensors[key] = flat[::stride].astype(np.float32)
    metadata[f"stride.{key}"] = str(stride)


def gradients(case, p, tensors, metadata):
    for key, value in p.items():
        samples(f"{case}.grad.{key}", value.grad, tensors, metadata)
        tensors[f"{case}.gradnorm.{key}"] = value.grad.norm()


def make_unet(case, shape, options, heads, tensors, metadata):
    """heads: name, channels, loss; no name: "output"."""
    p = Parameters(case)
    stream = metadata[f"{case}.x"] = clear_stream("x", lambda name: unet(p, drawn(name, shape), **options))
    x = drawn(stream, shape)
    targets = [drawn(f"target{i}", (shape[0], n, *shape[2:]), loss is segmentation) for i, (_, n, loss) in enumerate(heads)]
    curve, optimiser = [], None
    for step in range(STEPS):
        features = unet(p, x, **options)
        results = [convolved(p, f"heads.{name}" if name else "output", features, n, 1, bias=True) for name, n, _ in heads]
        terms = [term for y, t, (_, _, loss) in zip(results, targets, heads) for term in loss(y, t)]
        total = sum(terms)
        optimiser = optimiser or torch.optim.Adam(p.values(), lr=3e-4, weight_decay=1e-4)
        optimiser.zero_grad()
        total.backward()
        curve.append([*(t.item() for t in terms), total.item()])
        if step == 0:
            for i, y in enumerate(results):
                samples(f"{case}.result{i}", y, tensors, metadata)
            gradients(case, p, tensors, metadata)
        optimiser.step()
    tensors[f"{case}.curve"] = np.array(curve)
    metadata[f"{case}.parameters"] = str(sum(v.numel() for v in p.values()))
    print(f"  {case}: {metadata[f'{case}.parameters']} parameters; loss", *(f"{c[-1]:.6f}" for c in curve))


# ---- GANs ----

def generator(p, x, factor):
    y = convolved(p, "generator.output", unet(p, x, "generator."), 1, 1, bias=True)
    y = F.interpolate(y, size=[factor * n for n in y.shape[2:]], mode=CONV[y.dim() - 2][3], align_corners=True)
    y = block(p, "generator.head.res", y, y.shape[1], 1, True, affine=False)
    return convolved(p, "generator.head.out", y, y.shape[1], 1, bias=True)


def discriminator(p, source, image, scales, layers, filters):
    """Per scale, what every convolution makes."""
    results = []
    for scale in range(scales):
        y, features = torch.cat((F.interpolate(source, size=image.shape[2:], mode="nearest"), image), 1), []
        for i in range(layers + 2):
            n = 1 if i > layers else filters * 2 ** min(i, 3)
            y = convolved(p, f"discriminator.scale{scale}.conv{i}", y, n, 4, 2 if i < layers else 1, padding=1, bias=True)
            y = normalised(p, "", y, affine=False) if 0 < i <= layers else y
            y = leaky(y, 0.2) if i <= layers else y
            features.append(y)
        results.append(features)
        pool = CONV[image.dim() - 2][2]
        source, image = (pool(v, 3, stride=2, padding=1, count_include_pad=False) for v in (source, image))
    return results


def judged(scores, label):
    return sum(F.binary_cross_entropy_with_logits(s[-1], torch.full_like(s[-1], label)) for s in scores) / len(scores)


def make_gan(case, shape, target_shape, factor, options, tensors, metadata):
    pg, pd = Parameters(case), Parameters(case)
    target = 2 * drawn("target", target_shape) - 1

    def forward(source):
        fake = generator(pg, source, factor)
        common = tuple(slice(0, min(a, b)) for a, b in zip(fake.shape, target.shape))
        image, wanted = fake[common], target[common]
        return fake, image, wanted, discriminator(pd, source, wanted, **options), discriminator(pd, source, image, **options)

    stream = metadata[f"{case}.source"] = clear_stream("source", lambda name: forward(drawn(name, shape, True)))
    source = drawn(stream, shape, True)
    curve, optimisers = [], None
    for step in range(STEPS):
        fake, image, wanted, real, generated = forward(source)
        detached = discriminator(pd, source, image.detach(), **options)
        terms = {"real": judged(real, 1.0), "fake": judged(detached, 0.0), "adversarial": judged(generated, 1.0),
                 "matching": sum(F.l1_loss(b, a.detach()) for r, s in zip(real, generated) for a, b in zip(r, s)) / len(real),
                 "reconstruction": F.mse_loss(image, wanted)}
        loss_d = (terms["real"] + terms["fake"]) / 2
        loss_g = terms["adversarial"] + 10 * terms["matching"] + 100 * terms["reconstruction"]
        optimisers = optimisers or [torch.optim.Adam(p.values(), lr=lr, betas=(0.5, 0.999), weight_decay=1e-4) for p, lr in ((pg, 1e-4), (pd, 2e-4))]
        for optimiser, loss in zip(optimisers, (loss_g, loss_d)):  # the second clears what the first left in the discriminator
            optimiser.zero_grad()
            loss.backward()
            if step == 0:
                gradients(case, pg if loss is loss_g else pd, tensors, metadata)
            optimiser.step()
        curve.append([*(t.item() for t in terms.values()), loss_g.item(), loss_d.item()])
        if step == 0:
            samples(f"{case}.fake", fake, tensors, metadata)
    tensors[f"{case}.curve"] = np.array(curve)
    metadata[f"{case}.parameters"] = ",".join(str(sum(v.numel() for v in p.values())) for p in (pg, pd))
    print(f"  {case}: {metadata[f'{case}.parameters']} parameters; losses", *(f"{c[-2]:.4f}/{c[-1]:.4f}" for c in curve))


def write(name, cases, make):
    tensors, metadata = {}, {"script": os.path.basename(__file__), "torch": torch.__version__, "seed": str(SEED), "cases": ",".join(c[0] for c in cases)}
    for case in cases:
        make(*case, tensors, metadata)
    oracle.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.safetensors"), tensors, metadata)


if __name__ == "__main__":
    philox.self_check()
    oracle.self_check()
    write("cyto_unet", [
        ("volume", (1, 1, 8, 16, 16), {}, [("", 1, segmentation)]),
        ("plane", (2, 1, 32, 32), {}, [("", 1, lambda y, t: [oracle.mse(y, t)])]),
        ("heads", (2, 2, 16, 24), {"filters": (4, 6, 8, 10), "strides": (1, 2, 1, 2)},
         [("nuclei", 1, segmentation), ("dye", 2, lambda y, t: [oracle.mse(y, t)])]),
        ("plain", (2, 1, 6, 6, 6), {"filters": (6, 8), "strides": (1, 3), "residual": False}, [("", 3, segmentation)]),
    ], make_unet)
    write("cyto_gan", [
        ("published", (1, 1, 4, 8, 8), (1, 1, 16, 32, 32), 4, {"scales": 1, "layers": 1, "filters": 16}),
        ("scales", (2, 1, 12, 16), (2, 1, 50, 60), 4, {"scales": 2, "layers": 2, "filters": 4}),
    ], make_gan)
