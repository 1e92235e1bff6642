# Prints how far float32 PyTorch is from the float64 vectors of the networks: what a tolerance must allow.
# In: nothing; repeats make_swae_mlp.py in both precisions. Out: the figures quoted in README.md.
# SPDX-License-Identifier: Apache-2.0

import torch

import make_swae_mlp as golden
import oracle
import philox


def run(name, dtype):
    """Ten steps. Returns (curve, norms, first gradients, parameters), all widened to float64."""
    _, activation, widths = golden.NETWORKS[name]
    parameters = {k: p.detach().to(dtype).requires_grad_() for k, p in golden.init_parameters(widths).items()}
    x = oracle.f64(philox.normal(golden.SEED, "golden:x", 0, (golden.M, widths[0]))).to(dtype)
    optimiser = torch.optim.Adam(parameters.values(), lr=2e-4)
    curve, norms, first = [], [], None
    for step in range(golden.STEPS):
        z, y = golden.forward(parameters, golden.ACTIVATIONS[activation], len(widths) - 1, x)
        theta, prior = (t.to(dtype) for t in golden.draws(step, widths[-1]))
        mse, sw = oracle.mse(y, x), oracle.sliced_wasserstein(z, theta, prior)
        total = mse + golden.LAMBDA * sw
        optimiser.zero_grad()
        total.backward()
        curve.append([mse.item(), sw.item(), total.item()])
        first = first or {k: p.grad.double() for k, p in parameters.items()}
        norms.append(torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0).item())
        optimiser.step()
    curve, norms = (torch.tensor(v, dtype=torch.float64) for v in (curve, norms))
    return curve, norms, first, {k: p.detach().double() for k, p in parameters.items()}


def closest_pair(name):
    """The two closest projections of step 0, and what swapping their ranks does to the encoder's gradients."""
    _, activation, widths = golden.NETWORKS[name]
    parameters = golden.init_parameters(widths)
    x = oracle.f64(philox.normal(golden.SEED, "golden:x", 0, (golden.M, widths[0])))
    z, _ = golden.forward(parameters, golden.ACTIVATIONS[activation], len(widths) - 1, x)
    theta, prior = golden.draws(0, widths[-1])
    a, p = (z @ theta.T).detach(), (prior @ theta.T).sort(dim=0).values
    a_sorted, row = a.sort(dim=0)
    gap = a_sorted.diff(dim=0)
    r, l = divmod(gap.argmin().item(), golden.L)
    rank = a.argsort(dim=0).argsort(dim=0)
    swapped = rank.clone()
    swapped[row[r, l], l], swapped[row[r + 1, l], l] = r + 1, r
    encoder = [p for k, p in parameters.items() if k.startswith("encoder")]
    before, after = (torch.autograd.grad(z, encoder, 2 / a.numel() * (a - p.gather(0, k)) @ theta, retain_graph=True)
                     for k in (rank, swapped))
    change = max(((g - h).abs().max() / g.abs().max()).item() for g, h in zip(before, after))
    return gap[r, l].item(), l, row[r, l].item(), row[r + 1, l].item(), change


if __name__ == "__main__":
    for network in golden.NETWORKS:
        (c64, n64, g64, p64), (c32, n32, g32, p32) = run(network, torch.float64), run(network, torch.float32)
        grad = max(((g32[k] - g).abs().max() / g.abs().max()).item() for k, g in g64.items())
        param = max((p32[k] - p).abs().max().item() for k, p in p64.items())
        curve, norm = (c32 / c64 - 1).abs().max().item(), (n32 / n64 - 1).abs().max().item()
        print(f"{network}: curve {curve:.1e} relative, grad_norm {norm:.1e} relative, "
              f"grad {grad:.1e} of the largest element, param10 {param:.1e} absolute")
        print("  closest projections {:.1e} apart (direction {}, rows {} and {}); swapped, "
              "encoder gradients change by {:.1e} of the largest element".format(*closest_pair(network)))
