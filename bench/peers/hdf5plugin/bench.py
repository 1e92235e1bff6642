# Compresses and restores arrays with SZ3, SPERR and zfp, the HDF5 filters of hdf5plugin, for `swage bench codec`.
# In: a line of JSON per request on standard input; the array in the memory of file descriptor --data-fd. Out: a line of JSON, and the
# restored array behind the original in the same memory, so that one checker judges everybody. See ../README.md.
# SPDX-License-Identifier: Apache-2.0

import argparse
import json
import math
import mmap
import os
import statistics
import sys
import time

import h5py
import hdf5plugin
import numpy as np

# The bound is absolute. SPERR's filter takes the first dimension for the fastest one; `swap` hands them over in the right order, which
# takes vorticity at 1e-2 from 11.3 : 1 to 29.2 : 1, the figure of SPERR's own program.
FILTERS = {
    "sz3": lambda bound: hdf5plugin.SZ3(absolute=bound),
    "sperr": lambda bound: hdf5plugin.Sperr(absolute=bound, swap=True),
    "zfp": lambda bound: hdf5plugin.Zfp(accuracy=bound),
    "none": lambda bound: {},  # what the path through HDF5 costs by itself
}


def layouts(blocks):
    """Ways to show (N, n, n, n) blocks to a compressor of fields: name, and the axes' order and lengths."""
    count, n = blocks.shape[:2]
    grids = [((0, 1, 2, 3), (count, n, n, n), "N,n,n,n"), ((0, 1, 2, 3), (count * n, n, n), "Nn,n,n"), ((0, 1, 2, 3), (count, n, n * n), "N,n,nn"),
             ((0, 1, 2, 3), (count, n**3), "N,nnn"), ((1, 2, 3, 0), (n**3, count), "nnn,N"), ((1, 2, 3, 0), (n, n, n, count), "n,n,n,N"),
             ((1, 0, 2, 3), (n, count, n * n), "n,N,nn")]
    side = math.isqrt(count)
    if side > 1 and side * side == count:
        grids.append(((0, 1, 2, 3), (side, side * n, n * n), "s,sn,nn"))
    return grids


def run(array, chunks, filters):
    """Through a file in memory, without a cache. Bytes of the chunks, seconds of processor time of writing and reading, what was read."""
    with h5py.File("memory.h5", "w", driver="core", backing_store=False, block_size=max(1 << 20, array.nbytes // 4), rdcc_nbytes=0) as f:
        dataset = f.create_dataset("d", array.shape, array.dtype, chunks=chunks or array.shape, **filters)
        begin = time.thread_time()
        dataset.write_direct(array)
        f.flush()
        written = time.thread_time()
        restored = np.empty_like(array)
        touched = time.thread_time()
        dataset.read_direct(restored)
        return dataset.id.get_storage_size(), written - begin, time.thread_time() - touched, restored


def equal_error(array, chunks, bound):
    """The largest tolerance, bound times a power of two, whose true error is still inside the bound; zfp rounds tolerances to such."""
    for power in range(5, 0, -1):
        restored = run(array, chunks, FILTERS["zfp"](bound * 2**power))[3]
        if np.abs(restored.astype("f8") - array.astype("f8")).max() <= bound:
            return bound * 2**power
    return bound


def answer(request, memory):
    dims, dtype = request["dims"], np.dtype({"f32": "<f4", "f64": "<f8"}[request["type"]])
    values = math.prod(dims)
    original = np.frombuffer(memory, dtype, values).reshape(dims)
    target = np.frombuffer(memory, dtype, values, request["offset"]).reshape(dims)
    chunks, peer, bound = tuple(request.get("chunk") or ()) or None, request["peer"], request["bound"]
    if peer == "zfp-equal":
        peer, bound = "zfp", equal_error(original, chunks, bound)
    filters = FILTERS[peer](bound)
    ways = layouts(original) if request.get("blocks") else [(tuple(range(len(dims))), tuple(dims), "")]
    best, refusal = None, "no layout"
    for axes, shape, name in ways:
        array = np.ascontiguousarray(original.transpose(axes)).reshape(shape)
        try:
            size = run(array, chunks, filters)[0] if len(ways) > 1 else 0
        except (OSError, ValueError, RuntimeError) as error:
            refusal = " ".join(str(error).split())[:160]
            continue
        if best is None or size < best[0]:
            best = (size, array, axes, name)
    if best is None:
        return {"error": refusal}
    _, array, axes, name = best
    compress, decompress, begin = [], [], time.thread_time()
    while len(compress) < request["reps"] or (time.thread_time() - begin < request["seconds"] and len(compress) < 1000):
        size, c, d, restored = run(array, chunks, filters)
        compress.append(c)
        decompress.append(d)
    target[...] = restored.reshape([dims[a] for a in axes]).transpose(np.argsort(axes))
    return {"bytes": int(size), "layout": name, "compress_ns": statistics.median(compress) * 1e9, "decompress_ns": statistics.median(decompress) * 1e9,
            "reps": len(compress)}


def main():
    parser = argparse.ArgumentParser(description="SZ3, SPERR and zfp for `swage bench codec`")
    parser.add_argument("--serve", action="store_true", required=True, help="answer requests until the input ends")
    parser.add_argument("--data-fd", type=int, required=True, help="file descriptor of the memory that holds the arrays")
    args = parser.parse_args()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not get between the lines of the answer
    about = {"peer": "hdf5plugin", "version": hdf5plugin.version,
             "options": f"SZ3, SPERR and zfp filters, h5py {h5py.__version__}, HDF5 {h5py.version.hdf5_version}, file in memory, no chunk cache"}
    print(json.dumps(about), file=out, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            # Mapped anew each time: the memory grows, and arrays that libraries keep must not hold an old mapping open.
            memory = mmap.mmap(args.data_fd, request["memory"])
            reply = answer(request, memory)
        except Exception as error:  # whatever goes wrong in the peer belongs into the report
            reply = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:160]}
        print(json.dumps(reply), file=out, flush=True)


main()
