# PyTorch side of `swage bench cyto`: training steps and inference of the microscopy networks, eager, f32 or bf16 autocast, as they are or channels-last.
# In: requests, a JSON object per line (--serve, --memory). Out: a JSON line each. See ../README.md.
# SPDX-License-Identifier: Apache-2.0

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import common  # noqa: E402

args = common.works_options("PyTorch side of swage bench cyto")
common.pin(args, "pytorch/cyto_bench.py")

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from cyto_networks import LAYERS, DynUNet  # noqa: E402

signal.signal(signal.SIGINT, signal.SIG_IGN)  # `swage bench` ends us when it is interrupted
torch.set_num_threads(args.threads)
torch.set_num_interop_threads(1)

class Superres(nn.Module):
    def __init__(self, axes):
        super().__init__()
        conv, _, norm = LAYERS[axes]
        self.unet, self.mode = DynUNet(axes), "trilinear" if axes == 3 else "bilinear"
        self.c1, self.c2 = conv(1, 1, 3, 1, 1, bias=False), conv(1, 1, 3, 1, 1, bias=False)
        self.n1, self.n2, self.out = norm(1), norm(1), conv(1, 1, 1)

    def forward(self, x):
        x = F.interpolate(self.unet(x), scale_factor=4, mode=self.mode, align_corners=True)
        y = self.n2(self.c2(F.leaky_relu(self.n1(self.c1(x)), 0.01)))
        return self.out(F.leaky_relu(y + x, 0.01))


class Discriminator(nn.Module):
    def __init__(self, axes):
        super().__init__()
        conv, _, norm = LAYERS[axes]
        self.parts = nn.ModuleList([nn.Sequential(conv(2, 16, 4, 2, 1), nn.LeakyReLU(0.2)),
                                    nn.Sequential(conv(16, 32, 4, 1, 1), norm(32), nn.LeakyReLU(0.2)), conv(32, 1, 4, 1, 1)])

    def forward(self, source, image):
        x, features = torch.cat((F.interpolate(source, image.shape[2:], mode="nearest"), image), 1), []
        for part in self.parts:
            features.append(x := part(x))
        return features


def dice_ce(y, t):
    axes, s = tuple(range(2, y.ndim)), torch.sigmoid(y)
    dice = 1 - (2 * (s * t).sum(axes) + 1e-5) / (s.sum(axes) + t.sum(axes) + 1e-5)
    return dice.mean() + F.binary_cross_entropy_with_logits(y, t)


class Pair(nn.Module):
    """Generator and discriminator."""

    def __init__(self, axes):
        super().__init__()
        self.generator, self.discriminator = Superres(axes), Discriminator(axes)


def adam(parameters, betas=(0.9, 0.999)):
    return torch.optim.Adam(parameters, lr=1e-4, betas=betas, weight_decay=1e-4, fused=True)


class Work:
    """A call, ready. Keeps what an eager program keeps between two calls: parameters, optimiser state, the input."""

    def __init__(self, experiment, form, training, bf16, shape, **_):
        torch.manual_seed(42)
        axes, self.training, self.bf16 = len(shape) - 2, training, bf16
        self.gan, self.loss = experiment == "gan_superres", dice_ce if experiment == "segmentation" else F.mse_loss
        self.model = (Pair(axes) if self.gan and training else Superres(axes) if self.gan else DynUNet(axes)).train(training)
        self.x = torch.rand(shape)
        self.target = (torch.rand([*shape[:2], *[4 * n for n in shape[2:]]] if self.gan else shape) > 0.5).float()
        if form == "channels-last":
            memory_format = torch.channels_last if axes == 2 else torch.channels_last_3d
            self.model = self.model.to(memory_format=memory_format)
            self.x, self.target = (v.contiguous(memory_format=memory_format) for v in (self.x, self.target))
        if training and self.gan:
            self.optimisers = [adam(m.parameters(), (0.5, 0.999)) for m in (self.model.generator, self.model.discriminator)]
        elif training:
            self.optimisers = [adam(self.model.parameters())]

    def autocast(self):
        return torch.autocast("cpu", torch.bfloat16, enabled=self.bf16)

    def adversarial(self):
        """The published order: one pass, the generator's step, then the discriminator's with a loss from before it."""
        with self.autocast():
            fake = self.model.generator(self.x)
            real, detached, seen = (self.model.discriminator(self.x, v) for v in (self.target, fake.detach(), fake))
        one = lambda y, to: F.binary_cross_entropy_with_logits(y.float(), torch.full_like(y, to, dtype=torch.float32))  # noqa: E731
        loss_d = (one(real[-1], 1) + one(detached[-1], 0)) / 2
        matching = sum(F.l1_loss(b.float(), a.detach().float()) for a, b in zip(real, seen))
        loss_g = one(seen[-1], 1) + 10 * matching + 100 * F.mse_loss(fake.float(), self.target)
        for model, optimiser, loss in ((self.model.generator, self.optimisers[0], loss_g), (self.model.discriminator, self.optimisers[1], loss_d)):
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            for p, g in zip(model.parameters(), gradients):
                p.grad = g
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def __call__(self):
        if self.training and self.gan:
            return self.adversarial()
        if not self.training:
            with torch.inference_mode(), self.autocast():
                return self.model(self.x)
        with self.autocast():
            y = self.model(self.x)
        self.loss(y.float(), self.target).backward()
        self.optimisers[0].step()
        self.optimisers[0].zero_grad(set_to_none=True)


def small(request):
    return {**request, "shape": [*request["shape"][:2], *[8] * (len(request["shape"]) - 2)]}


if __name__ == "__main__":
    about = {"version": torch.__version__, "options": f"CPU, {torch.backends.cpu.get_cpu_capability()}, eager, {args.threads} threads"}
    common.serve_works(args, about, Work, small)
