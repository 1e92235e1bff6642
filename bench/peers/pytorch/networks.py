# The autoencoders of the rows `mlp*` and `conv*` of `swage bench`, in PyTorch.
# In: a row's name of a network. Out: a module, x (m, values of a block) -> latents (m, 16), reconstruction (m, values of a block).
# SPDX-License-Identifier: Apache-2.0

import torch.nn.functional as F
from torch import nn

import workloads

SMALL = 2  # extents at which oneDNN 3.12, in PyTorch 2.13, leaves most taps of a gradient of weights in bf16 unwritten, with padding


class PaddedConv3d(nn.Conv3d):
    """The same, with the padding of small inputs in memory."""

    def forward(self, x):
        if x.shape[-1] > SMALL:
            return super().forward(x)
        return F.conv3d(F.pad(x, (1,) * 6), self.weight, self.bias, self.stride)


class PaddedConvTranspose3d(nn.ConvTranspose3d):
    """The same, with the padding of small inputs cut off afterwards."""

    def forward(self, x):
        if x.shape[-1] > SMALL or self.stride[0] > 1 or self.padding[0] == 0:
            return super().forward(x)
        return F.conv_transpose3d(x, self.weight, self.bias)[:, :, 1:-1, 1:-1, 1:-1]


class Dense(nn.Module):
    """Activation after every linear layer but the last of each half."""

    def __init__(self, activation, widths):
        super().__init__()

        def half(w):
            layers = []
            for a, b in zip(w, w[1:]):
                layers += [nn.Linear(a, b), nn.GELU() if activation == "gelu" else nn.ReLU()]
            return nn.Sequential(*layers[:-1])

        self.encoder, self.decoder = half(widths), half(widths[::-1])

    def forward(self, x):
        z = self.encoder(x)
        return z, self.decoder(z)


class Convolutional(nn.Module):
    """3-D convolutions of 3^3 but for the last of `conv`; batch norm, where there is one, over the batch.

    strides: of the first convolution of each stage. ups: kernel, stride, padding, output padding of each transposed one.
    """

    def __init__(self, padded, edge, per_stage, norm, channels, strides, small, ups):
        super().__init__()
        conv, conv_transpose = (PaddedConv3d, PaddedConvTranspose3d) if padded else (nn.Conv3d, nn.ConvTranspose3d)
        encoder, decoder, c = [], [], 1
        for out, stride in zip(channels, strides):
            for j in range(per_stage):
                encoder.append(conv(c, out, 3, stride if j == 0 else 1, 1))
                c = out
            encoder += [nn.BatchNorm3d(out)] * norm + [nn.ReLU()]
        self.edge, self.small, self.last = edge, small, c
        self.encoder = nn.Sequential(*encoder, nn.Flatten(), nn.Linear(c * small**3, workloads.LATENT))
        for i, (kernel, stride, padding, more) in enumerate(ups):
            out = channels[-2 - i] if i + 1 < len(ups) else 1
            decoder.append(conv_transpose(c, out, kernel, stride, padding, more))
            if i + 1 < len(ups):
                decoder += [nn.BatchNorm3d(out)] * norm + [nn.ReLU()]
            c = out
        self.spread, self.decoder = nn.Linear(workloads.LATENT, self.last * small**3), nn.Sequential(*decoder)

    def forward(self, x):
        z = self.encoder(x.view(-1, 1, self.edge, self.edge, self.edge))
        y = self.decoder(self.spread(z).view(-1, self.last, self.small, self.small, self.small))
        return z, y[:, :, : self.edge, : self.edge, : self.edge].flatten(1)


def network(name, padded=False):
    return Convolutional(padded, **workloads.CONVOLUTIONAL[name]) if name in workloads.CONVOLUTIONAL else Dense(*workloads.NETWORKS[name])
