# Memory and time of a training step of TFSWA-UNet in PyTorch, beside `swage plan tfswa/unet --input ... --measure --threads 1`.
#     python bench/peers/pytorch/tfswa_memory.py --input 1x2x129x259
# Each row in a process of its own: growth of the resident set from before the model is made to the peak of two steps (forward, L1 loss of masked input,
# backward, AdamW), after a small one; processor time of the second, on one thread. blocks: torch.utils.checkpoint around every block.
# SPDX-License-Identifier: Apache-2.0

import argparse
import multiprocessing
import re
import time

ROWS = [("naive", False), ("sdpa", False), ("naive", True), ("sdpa", True)]


def status(field):
    with open("/proc/self/status") as file:
        return int(re.search(field + r":\s+(\d+)", file.read()).group(1)) * 1024


def step(torch, model, optimiser, x):
    optimiser.zero_grad(set_to_none=True)
    (model(x) * x).sub(x * 0.5).abs().mean().backward()
    optimiser.step()


def measure(shape, attention, blocks, answer):
    import torch
    from torch.utils.checkpoint import checkpoint

    import tfswa

    def make():
        model = tfswa.TFSWAUNet(attention=attention, **tfswa.UNET)
        for module in model.modules():
            if blocks and isinstance(module, tfswa.Block):
                plain = module.forward
                module.forward = lambda x, skip=None, plain=plain: checkpoint(plain, x, skip, use_reentrant=False)
        return model, torch.optim.AdamW(model.parameters(), lr=1e-5)

    torch.set_num_threads(1)
    model, optimiser = make()
    step(torch, model, optimiser, torch.randn(1, 2, 16, 16))
    del model, optimiser
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    base = status("VmRSS")
    model, optimiser = make()
    x = torch.randn(*shape)
    for _ in range(2):
        begin = time.process_time()
        step(torch, model, optimiser, x)
        seconds = time.process_time() - begin
    answer.send((status("VmHWM") - base, seconds))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--input", default="1x2x129x259")
    shape = [int(extent) for extent in parser.parse_args().input.split("x")]
    print(f"{'attention':10} {'checkpoint':10} {'peak MiB':>10} {'step s':>8}")
    for attention, blocks in ROWS:
        here, there = multiprocessing.Pipe(False)
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(shape, attention, blocks, there))
        process.start()
        there.close()
        try:
            peak, seconds = here.recv()
            print(f"{attention:10} {'blocks' if blocks else 'none':10} {peak / 1048576:10.1f} {seconds:8.2f}", flush=True)
        except EOFError:
            print(f"{attention:10} {'blocks' if blocks else 'none':10} ended early (out of memory?)")
        process.join()
