# TFSWA-UNet in plain PyTorch, as the specification describes it (tfswa.md, section 3): 15,404,834 parameters, named as Swage's.
# Tensors are (batch, channel, frequency, time). attention: "sdpa" (one operator) or "naive" (scores and probabilities are tensors).
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from torch import nn
from torch.nn import functional as F

UNET = {"depths": (2, 2, 6, 2), "dims": (32, 64, 128, 256), "window": 8, "shift": 4, "heads": 8, "mlp_ratio": 4}
SMALL = {"depths": (1, 1, 1, 1), "dims": (16, 32, 64, 128), "window": 4, "shift": 2, "heads": 4, "mlp_ratio": 2}


class Unit(nn.Module):
    """x + MHSA(LN(x)), then y + MLP(LN(y)), of sequences (batch, length, dim). mask: (batch, length, length), true where a key is seen."""

    def __init__(self, dim, heads, mlp_ratio, attention):
        super().__init__()
        self.heads, self.attention = heads, attention
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, mlp_ratio * dim), nn.Linear(mlp_ratio * dim, dim)

    def mhsa(self, x, mask):
        batch, length, dim = x.shape
        q, k, v = self.qkv(x).reshape(batch, length, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        seen = None if mask is None else mask[:, None]
        if self.attention == "sdpa":
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        else:
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
            if seen is not None:
                scores = scores.masked_fill(~seen, -1e30)  # a row that sees nothing stays finite; nobody sees it either
            y = scores.softmax(-1) @ v
        return self.proj(y.transpose(1, 2).reshape(batch, length, dim))

    def forward(self, x, mask=None):
        x = x + self.mhsa(self.norm1(x), mask)
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


def regions(extent, window, shift):
    """Of the positions of an axis after the roll: (0, extent - window), (extent - window, extent - shift), the rest."""
    position = torch.arange(extent)
    return (position >= extent - window).long() + (position >= extent - shift).long()


class Block(nn.Module):
    def __init__(self, dim, window, shift, heads, mlp_ratio, window_mask, attention):
        super().__init__()
        self.window_size, self.shift, self.window_mask = window, shift, window_mask
        self.conv_in, self.norm_in = nn.Conv2d(dim, dim, 1), nn.BatchNorm2d(dim)
        self.attn_f, self.attn_t, self.window = (Unit(dim, heads, mlp_ratio, attention) for _ in range(3))
        self.conv_out, self.norm_out = nn.Conv2d(3 * dim, dim, 1), nn.BatchNorm2d(dim)

    def split(self, x):
        """(B, F, T, C) to (B windows, tokens, C)."""
        b, f, t, c = x.shape
        w = self.window_size
        return x.reshape(b, f // w, w, t // w, w, c).transpose(2, 3).reshape(-1, w * w, c)

    def seen(self, f, t, padded_f, padded_t):
        """(windows, tokens, tokens), or None where all is."""
        pads = self.window_mask == "all" and (padded_f > f or padded_t > t)
        if self.window_mask is None or (not self.shift and not pads):
            return None
        region = torch.zeros(padded_f, padded_t, dtype=torch.long)
        if self.shift:
            a, b = (regions(n, self.window_size, self.shift) for n in (padded_f, padded_t))
            region = 3 * a[:, None] + b[None]
        real = torch.ones(padded_f, padded_t, dtype=torch.bool)
        if pads:
            real[f:], real[:, t:] = False, False
            real = torch.roll(real, (-self.shift, -self.shift), (0, 1))
        region, real = self.split(region[None, :, :, None])[..., 0], self.split(real[None, :, :, None])[..., 0]
        return (region[:, :, None] == region[:, None]) & real[:, None]

    def windows(self, x):
        b, f, t, c = x.shape
        w, s = self.window_size, self.shift
        x = F.pad(x, (0, 0, 0, -t % w, 0, -f % w))
        padded_f, padded_t = x.shape[1:3]
        if s:
            x = torch.roll(x, (-s, -s), (1, 2))
        seen = self.seen(f, t, padded_f, padded_t)
        x = self.window(self.split(x), None if seen is None else seen.repeat(b, 1, 1).to(x.device))
        x = x.reshape(b, padded_f // w, padded_t // w, w, w, c).transpose(2, 3).reshape(b, padded_f, padded_t, c)
        if s:
            x = torch.roll(x, (s, s), (1, 2))
        return x[:, :f, :t]

    def forward(self, x, skip=None):
        y = self.norm_in(self.conv_in(x)).permute(0, 2, 3, 1)
        b, f, t, c = y.shape
        along_f = self.attn_f(y.transpose(1, 2).reshape(b * t, f, c)).reshape(b, t, f, c).transpose(1, 2)
        along_t = self.attn_t(y.reshape(b * f, t, c)).reshape(b, f, t, c)
        y = torch.cat((along_f, along_t, self.windows(y)), -1).permute(0, 3, 1, 2)
        y = F.gelu(self.norm_out(self.conv_out(y))) + x
        return y if skip is None else y + skip


class Stage(nn.Module):
    def __init__(self, depth, *rest, shift, **options):
        super().__init__()
        for k in range(depth):
            self.add_module(f"block{k}", Block(*rest, shift=shift if k % 2 else 0, **options))

    def forward(self, x, skip=None):
        for k, block in enumerate(self.children()):
            x = block(x, skip if k == 0 else None)
        return x


class Layer(nn.Module):
    """Convolution, batch norm, GELU."""

    def __init__(self, conv):
        super().__init__()
        self.conv, self.norm = conv, nn.BatchNorm2d(conv.out_channels)

    def forward(self, x):
        return F.gelu(self.norm(self.conv(x)))


class TFSWAUNet(nn.Module):
    """(B, inputs, F, T) to (B, outputs, F, T), F and T from 2^(stages - 1). mask: "sigmoid", "published" or "complex" (no final sigmoid)."""

    def __init__(self, inputs=2, outputs=2, mask="sigmoid", window_mask=None, attention="sdpa", depths=(), dims=(), **options):
        super().__init__()
        self.mask, last = mask, len(dims) - 1
        options |= {"window_mask": window_mask, "attention": attention}
        self.stem = Layer(nn.Conv2d(inputs, dims[0], 7, padding=3))
        for i in range(last):
            self.add_module(f"enc{i}", Stage(depths[i], dims[i], **options))
            self.add_module(f"down{i}", Layer(nn.Conv2d(dims[i], dims[i + 1], 4, 2, 1)))
        self.bottleneck = Stage(depths[last], dims[last], **options)
        for i in reversed(range(last)):
            self.add_module(f"up{i}", Layer(nn.ConvTranspose2d(dims[i + 1], dims[i], 4, 2, 1)))
            self.add_module(f"dec{i}", Stage(depths[i], dims[i], **options))
        self.head, self.output = Layer(nn.Conv2d(dims[0], dims[0], 3, padding=1)), nn.Conv2d(dims[0], outputs, 1)
        self.last = last
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x):
        x, skips = self.stem(x), []
        for i in range(self.last):
            skips.append(self.get_submodule(f"enc{i}")(x))
            x = self.get_submodule(f"down{i}")(skips[i])
        x = self.bottleneck(x)
        for i in reversed(range(self.last)):
            x = self.get_submodule(f"up{i}")(x)
            if x.shape != skips[i].shape:
                x = F.interpolate(x, size=skips[i].shape[2:], mode="bilinear", align_corners=False)
            x = self.get_submodule(f"dec{i}")(x, skips[i])
        x = self.output(self.head(x))
        return x if self.mask == "complex" else torch.sigmoid(x)


def network_input(mixture, inputs):
    """A complex mixture (B, c, F, T) as the network sees it: Re of all channels, then Im."""
    x = mixture.mean(1, keepdim=True) if inputs == 2 else mixture.expand(-1, 2, -1, -1)
    return torch.cat((x.real, x.imag), 1)


def apply_mask(o, mixture, mask):
    """Complex spectra of the stems (B, stems, c, F, T) of a complex mixture (B, c, F, T)."""
    b, out, f, t = o.shape
    o, channels = o.reshape(b, out // 2, 2, f, t), mixture.shape[1]
    if mask == "complex":
        return torch.complex(o[:, :, :1], o[:, :, 1:]) * mixture[:, None]
    if mask == "published":
        m = torch.sigmoid(torch.sqrt(o.square().sum(2, keepdim=True) + 1e-8))
        return (m * mixture.mean(1, keepdim=True)[:, None]).expand(-1, -1, channels, -1, -1)
    return (o if channels == 2 else o.mean(2, keepdim=True)) * mixture[:, None]
