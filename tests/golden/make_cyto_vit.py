# Makes cyto_mae.safetensors and cyto_iwm.safetensors: masked autoencoders and image world models of cyto.md, sections 3.3 and 3.4, from the
# formulas: blocks by their products and sums, patches by reshaping. In: nothing but seed 42 (streams in README.md). Out: the files, in the folder of
# this script: results, losses, norms, all gradients, the teacher, ten steps of training, of small models that differ in what there is to choose.
# SPDX-License-Identifier: Apache-2.0

import math
import os

import numpy as np
import torch
import torch.nn.functional as F

import oracle
import philox
from make_swae_nets import stride_of

SEED, STEPS, BATCH, PATCH, WIDTH = 42, 10, 3, 2, 16

# As in test_golden_cyto_vit.c. Extents, blocks, heads, fixed positions; of the autoencoder context, plain decoder, published weigher; decoder 24 wide
# with 4 heads. Of the world model: domains.
MAE = {
    "cross": dict(extent=(4, 8, 8), depth=2, heads=1),
    "plain": dict(extent=(4, 8, 8), depth=2, heads=1, plain=True, decoder_depth=2),
    "published": dict(extent=(4, 8, 8), depth=2, heads=1, published=True),
    "flat": dict(extent=(12, 8), depth=3, heads=2, context=1, fixed=True, decoder_depth=2),
}
IWM = {
    "iwm": dict(extent=(4, 8, 8), depth=1, heads=1, domains=2),
    "ijepa": dict(extent=(12, 8), depth=2, heads=2, domains=0, fixed=True),
}


class Vit:
    """Parameters made on first use, by the names of their scopes."""

    def __init__(self, case, extent, depth, heads, fixed=False, **rest):
        self.case, self.extent, self.depth, self.heads, self.fixed = case, extent, depth, heads, fixed
        self.grid = [e // PATCH for e in extent]
        self.tokens = math.prod(self.grid)
        self.parameters, self.scope = {}, ""

    def get(self, name, *shape):
        """1 +- 0.3 where 1 changes nothing, biases +- 0.2, other weights +- 1/sqrt(elements per index of the first axis)."""
        name = self.scope + name
        if name not in self.parameters:
            one = len(shape) == 1 and name.endswith("weight")
            bound = 0.3 if one else 0.2 if len(shape) == 1 else 1 / math.sqrt(math.prod(shape[1:]))
            u = np.float32(2) * philox.uniform(SEED, f"golden:{name}", 0, shape).astype(np.float32) - np.float32(1)
            self.parameters[name] = oracle.f64(np.float32(one) + np.float32(bound) * u).requires_grad_()
        return self.parameters[name]

    def norm(self, name, x):
        d = x.shape[-1]
        y = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
        return y * self.get(f"{name}.weight", d) + self.get(f"{name}.bias", d)

    def linear(self, name, x, n, bias=True):
        y = x @ self.get(f"{name}.weight", n, x.shape[-1]).T
        return y + self.get(f"{name}.bias", n) if bias else y

    def block(self, name, x, heads, context=None):
        d = x.shape[-1]
        h = self.norm(f"{name}.norm1", x)
        if context is None:
            q, k, v = self.linear(f"{name}.attention.qkv", h, 3 * d, False).split(d, -1)
        else:
            q = self.linear(f"{name}.attention.q", h, d, False)
            k, v = self.linear(f"{name}.attention.kv", context, 2 * d, False).split(d, -1)
        q, k, v = (t.reshape(*t.shape[:2], heads, d // heads).transpose(1, 2) for t in (q, k, v))
        a = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(d // heads), -1) @ v
        x = x + self.linear(f"{name}.attention.out", a.transpose(1, 2).reshape(x.shape), d)
        h = self.linear(f"{name}.fc1", self.norm(f"{name}.norm2", x), 4 * d)
        return x + self.linear(f"{name}.fc2", h * (1 + torch.erf(h / math.sqrt(2))) / 2, d)

    def position(self, width, front=0):
        if not self.fixed:
            return self.get("position.weight", front + self.tokens, width)
        dims = len(self.grid)
        columns = 2 * math.ceil(width / (2 * dims))
        table = torch.zeros(front + self.tokens, width, dtype=torch.float64)
        for t, at in enumerate(np.ndindex(*self.grid)):
            for c in range(width):
                axis, k = divmod(c, columns)
                angle = at[axis] / 10000 ** (2 * (k // 2) / columns)
                table[front + t, c] = math.cos(angle) if k % 2 else math.sin(angle)
        return table

    def embed(self, x, context=0):
        dims, k = len(self.grid), PATCH + 2 * context
        conv = F.conv3d if dims == 3 else F.conv2d
        y = conv(x, self.get("patch.weight", WIDTH, 1, *[k] * dims), self.get("patch.bias", WIDTH), stride=PATCH, padding=context)
        return y.flatten(2).transpose(1, 2) + self.position(WIDTH)

    def patches(self, x):
        """(N, 1, spatial) to (N, tokens, voxels), and back."""
        dims = len(self.grid)
        x = x.reshape(len(x), *[n for g in self.grid for n in (g, PATCH)])
        return x.permute(0, *range(1, 2 * dims, 2), *range(2, 2 * dims + 1, 2)).reshape(len(x), self.tokens, -1)

    def image(self, p):
        dims = len(self.grid)
        p = p.reshape(len(p), *self.grid, *[PATCH] * dims)
        return p.permute(0, *[a for i in range(dims) for a in (1 + i, 1 + dims + i)]).reshape(len(p), 1, *self.extent)


def pick(x, index):
    return torch.gather(x, 1, index[..., None].expand(*index.shape, x.shape[2]))


def put(x, index, tokens):
    return torch.zeros(len(x), tokens, x.shape[2], dtype=x.dtype).scatter(1, index[..., None].expand(*x.shape), x)


class Mae(Vit):
    def __init__(self, case, context=0, plain=False, published=False, decoder_depth=1, **rest):
        super().__init__(case, **rest)
        self.context, self.plain, self.published, self.decoder_depth = context, plain, published, decoder_depth

    def forward(self, x, scores):
        visible = int(self.tokens * (1 - 0.75))
        order = torch.argsort(scores, dim=1, stable=True)
        seen, hidden = order[:, :visible], order[:, visible:]
        mask = put(torch.ones(*hidden.shape, 1, dtype=torch.float64), hidden, self.tokens)
        mask = self.image(mask.expand(*mask.shape[:2], PATCH ** len(self.grid)))
        self.scope = "encoder."
        t = pick(self.embed(x * (1 - mask), self.context), seen)
        t = torch.cat((self.get("class_token.weight", 1, WIDTH).expand(len(x), 1, WIDTH), t), 1)
        results = [t]
        for i in range(self.depth):
            results.append(self.block(f"block{i}", results[-1], self.heads))
        weight = self.get("weigher.weight", 1, self.depth)
        first = 0 if self.published else 1
        f = sum(weight[0, i] * self.norm(f"weigher.norm{i}", results[first + i]) for i in range(self.depth)) + self.get("weigher.bias", 1)
        f = self.norm("norm", f)
        self.scope = "decoder."
        f = self.norm("embed_norm", self.linear("embed", f, 24))
        token = self.get("mask_token.weight", 1, 24)
        everywhere = torch.cat((f[:, 1:], token.expand(len(x), hidden.shape[1], 24)), 1)
        everywhere = put(everywhere, order, self.tokens)    # unshuffled
        position = self.position(24, 0 if self.plain else 1)
        if self.plain:
            d = torch.cat((f[:, :1], everywhere + position), 1)
        else:
            everywhere = pick(everywhere + position[1:], order)     # and shuffled again
            context = torch.cat((f[:, :1] + position[0], everywhere[:, :visible]), 1)
            d = everywhere[:, visible:]
        for i in range(self.decoder_depth):
            d = self.block(f"block{i}", d, 4, None if self.plain else context)
        d = self.linear("head", self.norm("norm", d), PATCH ** len(self.grid))
        patches = d[:, 1:] if self.plain else put(d, hidden, self.tokens)
        image = self.image(patches)
        loss = ((image - x) ** 2 * mask).sum() / mask.sum()
        return {"patches": patches, "image": image, "filled": torch.where(mask > 0, image, x), "mask": mask}, loss


class Iwm(Vit):
    def __init__(self, case, domains, **rest):
        super().__init__(case, **rest)
        self.domains, self.teacher = domains, None

    def encode(self, x, index=None):
        t = self.embed(x)
        t = t if index is None else pick(t, index)
        for i in range(self.depth):
            t = self.block(f"block{i}", t, self.heads)
        return self.norm("norm", t)

    def forward(self, source, target, scores, domain, momentum):
        count = int(0.9 * self.tokens)
        order = torch.argsort(scores, dim=1, stable=True)
        targets, context = order[:, :count], order[:, count:]
        self.scope = "encoder."
        c = self.encode(source, context)
        if self.teacher is None:
            self.teacher = {k: v.detach().clone() for k, v in self.parameters.items()}
        for k, v in self.teacher.items():
            self.teacher[k] = v + (1 - momentum) * (self.parameters[k].detach() - v)
        self.scope = "predictor."
        c = self.linear("embed", c, 8)
        if self.domains:
            row = (domain @ self.get("domain.weight", self.domains, 8))[:, None].expand(c.shape)
            c = self.linear("mixer", torch.cat((c, row), 2), 8)
        q = self.position(8)[targets] + self.get("mask_token.weight", 1, 8)
        predicted = self.linear("out", self.norm("norm", self.block("block0", q, 1, c)), WIDTH)
        student, self.parameters, self.scope = self.parameters, self.teacher, "encoder."
        with torch.no_grad():
            teacher = pick(self.encode(target), targets)
        self.parameters = student
        return {"predicted": predicted, "teacher": teacher}, oracle.l1(predicted, teacher)


def samples(key, value, tensors, metadata):
    flat, stride = value.detach().numpy().reshape(-1), stride_of(value.numel())
    tensors[key] = flat[::stride].astype(np.float32)
    metadata[f"stride.{key}"] = str(stride)


def drawn(name, *shape):
    return oracle.f64(philox.uniform(SEED, f"golden:{name}", 0, shape))


def train(case, net, forward, tensors, metadata):
    """Ten steps of AdamW with the norm clipped. forward(step): results, loss."""
    curve, optimiser = [], None
    for step in range(STEPS):
        results, loss = forward(step)
        optimiser = optimiser or torch.optim.AdamW(net.parameters.values(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.05)
        optimiser.zero_grad()
        loss.backward()
        if step == 0:
            for key, value in results.items():
                samples(f"{case}.{key}", value, tensors, metadata)
            for key, p in net.parameters.items():
                g = torch.zeros_like(p) if p.grad is None else p.grad
                samples(f"{case}.grad.{key}", g, tensors, metadata)
                tensors[f"{case}.gradnorm.{key}"] = g.norm()
        norm = torch.nn.utils.clip_grad_norm_(net.parameters.values(), 0.05)
        curve.append([loss.item(), norm.item()])
        optimiser.step()
    tensors[f"{case}.curve"] = np.array(curve)
    metadata[f"{case}.parameters"] = str(sum(p.numel() for p in net.parameters.values()))
    print(f"  {case}: {metadata[f'{case}.parameters']} parameters; loss", *(f"{c[0]:.6f}" for c in curve))


def header():
    return {"script": os.path.basename(__file__), "torch": torch.__version__, "seed": str(SEED), "batch": str(BATCH),
            "optimiser": "adamw lr=1e-3 betas=0.9,0.95 eps=1e-8 decay=0.05 clip=0.05"}


def path(name):
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), name)


def make_mae():
    tensors, metadata = {}, header()
    for case, what in MAE.items():
        net = Mae(case, **what)
        x, scores = drawn("x", BATCH, 1, *net.extent), drawn("scores", BATCH, net.tokens)
        train(case, net, lambda step: net.forward(x, scores), tensors, metadata)
    oracle.save(path("cyto_mae.safetensors"), tensors, metadata)


def make_iwm():
    tensors, metadata = {}, header()
    for case, what in IWM.items():
        net = Iwm(case, **what)
        x, target, scores = (drawn(k, BATCH, *s) for k, s in (("x", (1, *net.extent)), ("target", (1, *net.extent)), ("scores", (net.tokens,))))
        domain = F.one_hot(torch.arange(BATCH) % 2, 2).double() if net.domains else None
        train(case, net, lambda step: net.forward(x, target, scores, domain, 0.9 + 0.01 * step), tensors, metadata)
        for key, value in net.teacher.items():
            samples(f"{case}.teacher.{key[len('encoder.'):]}", value, tensors, metadata)
    oracle.save(path("cyto_iwm.safetensors"), tensors, metadata)


if __name__ == "__main__":
    philox.self_check()
    oracle.self_check()
    make_mae()
    make_iwm()
