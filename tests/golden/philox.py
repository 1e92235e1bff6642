# Counter-based random numbers: Philox 4x32-10 addressed by (seed, stream, step, element), in NumPy.
# In: a seed, a stream name "kind:path", a step, a shape. Out: arrays; as a script, checks itself.
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np

MUL0, MUL1 = 0xD2511F53, 0xCD9E8D57  # Salmon et al. 2011, table 2
BUMP0, BUMP1 = 0x9E3779B9, 0xBB67AE85
MASK = 0xFFFFFFFF


def philox(counter, key):
    """Ten rounds. counter: four words, each an int or an array; key: two ints. Returns four uint32 arrays."""
    c0, c1, c2, c3 = (np.asarray(c, dtype=np.uint64) for c in counter)
    k0, k1 = int(key[0]), int(key[1])
    shift, mask = np.uint64(32), np.uint64(MASK)
    for _ in range(10):
        p0, p1 = c0 * np.uint64(MUL0), c2 * np.uint64(MUL1)
        c0, c1, c2, c3 = (p1 >> shift) ^ c1 ^ np.uint64(k0), p1 & mask, (p0 >> shift) ^ c3 ^ np.uint64(k1), p0 & mask
        k0, k1 = (k0 + BUMP0) & MASK, (k1 + BUMP1) & MASK
    return tuple(c.astype(np.uint32) for c in (c0, c1, c2, c3))


def stream_id(name):
    """FNV-1a, 32 bits, of the stream's name."""
    h = 0x811C9DC5
    for byte in name.encode():
        h = ((h ^ byte) * 0x01000193) & MASK
    return h


def blocks(seed, stream, step, first, count):
    """Blocks first..first+count-1 of a stream: (count, 4) uint32. Element e is word e%4 of block e//4."""
    b = np.arange(first, first + count, dtype=np.uint64)
    counter = (b & np.uint64(MASK), b >> np.uint64(32), step & MASK, stream_id(stream))
    words = philox(counter, (seed & MASK, seed >> 32))
    return np.stack([np.broadcast_to(w, b.shape) for w in words], axis=1)


def uniform(seed, stream, step, shape):
    """[0,1) with 24 bits; float64, every value exact in float32 too."""
    n = math.prod(shape)
    w = blocks(seed, stream, step, 0, -(-n // 4)).reshape(-1)[:n]
    return ((w >> 8) * 2.0**-24).reshape(shape)


def normal(seed, stream, step, shape):
    """Standard normals by Box-Muller in float64: words (0,1) make elements 0 (cos) and 1 (sin), (2,3) make 2 and 3.

    The C library's log, cos and sin are used one value at a time: NumPy's vector versions differ between CPUs.
    """
    n = math.prod(shape)
    w = blocks(seed, stream, step, 0, -(-n // 4)).reshape(-1, 2) >> 8
    out = np.empty(w.shape)
    for i, (a, b) in enumerate(w.tolist()):
        r = math.sqrt(-2.0 * math.log((a + 1) * 2.0**-24))
        t = 2.0 * math.pi * (b * 2.0**-24)
        out[i] = r * math.cos(t), r * math.sin(t)
    return out.reshape(-1)[:n].reshape(shape)


def shuffle(seed, epoch, n):
    """Fisher-Yates permutation of n from stream "shuffle"; draw n-1-i is 64 bits, low word first."""
    order = list(range(n))
    w = blocks(seed, "shuffle", epoch, 0, n // 2 + 1).reshape(-1, 2).tolist()
    for i in range(n - 1, 0, -1):
        low, high = w[n - 1 - i]
        j = ((high << 32 | low) * (i + 1)) >> 64
        order[i], order[j] = order[j], order[i]
    return order


def self_check():
    """The known answers of the specification; raises with both values at the first that differs."""

    def same(what, found, expected):
        if found != expected:
            raise SystemExit(f"philox: {what}: found {found}, expected {expected}")

    def hexes(words):
        return " ".join(f"{int(w):08x}" for w in words)

    pi = ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0))
    same("zeros", hexes(philox((0,) * 4, (0, 0))), "6627e8d5 e169c58d bc57ac4c 9b00dbd8")
    same("ones", hexes(philox((MASK,) * 4, (MASK, MASK))), "408f276d 41c83b0e a20bc7c6 6d5451fd")
    same("pi", hexes(philox(*pi)), "d16cfe09 94fdcceb 5001e420 24126ea1")

    init, drop = "init:encoder.fc1.weight", "dropout:encoder.drop1"
    same("streams", hexes(map(stream_id, ("shuffle", init, drop))), "790c294e 05ca27d5 a6833ba8")
    same("init block", hexes(blocks(42, init, 0, 0, 1)[0]), "31a0cc0b 0bcb32ee 43f96e50 02488af4")
    same("dropout block", hexes(blocks(42, drop, 5, 0, 1)[0]), "f20ba46e 554c8427 dc1a871b 8aaf2944")
    same("uniform", uniform(42, init, 0, (4,)).tolist(),
         [0.19385981559753418, 0.04606926441192627, 0.2655247449874878, 0.008919358253479004])
    same("dropout threshold", math.floor(0.1 * 2**32), 429496729)

    same("shuffle 42/0", shuffle(42, 0, 10), [6, 8, 4, 1, 7, 3, 2, 0, 9, 5])
    same("shuffle 42/1", shuffle(42, 1, 10), [6, 2, 4, 9, 5, 0, 3, 8, 7, 1])
    same("shuffle 7/0", shuffle(7, 0, 10), [2, 0, 5, 4, 8, 9, 3, 6, 7, 1])

    # No published answer for normals: moments, one pair from its words, and a block beyond 2^32.
    z = normal(42, "golden:x", 0, (64, 125))
    same("normal moments", (abs(z.mean()) < 0.04, abs(z.std() - 1) < 0.03), (True, True))
    a, b = (blocks(42, "golden:x", 0, 2, 1)[0][2:] >> 8).tolist()  # words (2,3) of block 2: elements 10 and 11
    (r, t), (cos, sin) = (math.sqrt(-2 * math.log((a + 1) / 2**24)), math.tau * b / 2**24), z.reshape(-1)[10:12]
    same("normal pair", (abs(cos - r * math.cos(t)) < 1e-15, abs(sin - r * math.sin(t)) < 1e-15), (True, True))
    same("high block", hexes(blocks(42, init, 0, 2**32, 1)[0]),
         hexes(philox((0, 1, 0, stream_id(init)), (42, 0))))


if __name__ == "__main__":
    self_check()
    print("philox: all known answers agree")
