#!/usr/bin/env python3
"""make_codec_tables.py - writes src/codec/tables.c: the 256 static tables of the entropy coder (docs/format.md, "Tables") and two
of mode W-MLP. In: nothing. Out: the C source on stdout; exits 1 if a CRC32C is not the one of the format.
SPDX-License-Identifier: Apache-2.0"""
import math
import struct
import sys

TABLES, SYMBOLS, TOTAL, ESCAPE = 256, 32, 1 << 15, 31
FREQUENCY_CRC, RECIPROCAL_CRC, SCALE_CRC = 0x892D6D55, 0xEC2435A0, 0xBB521D69


def logistic(z):
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def between(lo, hi):
    """F(hi) - F(lo) without cancellation in the upper tail."""
    return logistic(-lo) - logistic(-hi) if lo > 0 else logistic(hi) - logistic(lo)


def scale_and_phase(t):
    return (2 ** ((t // 9 - 20) / 4), (t % 9) / 16) if t < 252 else (2 * 2 ** ((t - 252) / 4), 0)


def frequencies(t):
    s, phase = scale_and_phase(t)
    row = [1 + math.floor(32736 * between((h - 0.5 - phase) / s, (h + 0.5 - phase) / s)) for h in range(-15, 16)]
    tails = logistic((-15.5 - phase) / s) + logistic(-(15.5 - phase) / s)
    row.append(1 + math.floor(32736 * tails))
    row[15] += TOTAL - sum(row)
    return row


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def print_table(name, comment, rows):
    print(f"\n/* {comment} */\nconst uint16_t {name}[{TABLES}][{SYMBOLS}] = {{")
    for row in rows:
        print("    {" + ", ".join(str(v) for v in row[:16]) + ",\n     " + ", ".join(str(v) for v in row[16:]) + "},")
    print("};")


def scale(b):
    """round(256 * 2^((b - 20) / 4)), exactly: fourth root of 2^(b + 12), half up."""
    root = math.isqrt(math.isqrt(2 ** (b + 12)))
    return root + (2 ** (b + 12) * 16 >= (2 * root + 1) ** 4)


def print_numbers(name, kind, comment, numbers):
    print(f"\n/* {comment} */\nconst {kind} {name}[{len(numbers)}] = {{")
    for i in range(0, len(numbers), 8):
        print("    " + ", ".join(str(v) for v in numbers[i:i + 8]) + ",")
    print("};")


def main():
    rows = [frequencies(t) for t in range(TABLES)]
    reciprocals = [(2 * 110592 * 256 + 256 + m) // (2 * (256 + m)) for m in range(256)]
    scales = [scale(b) for b in range(128)]
    for what, data, right in (("frequencies", b"".join(struct.pack("<32H", *row) for row in rows), FREQUENCY_CRC),
                              ("reciprocals", struct.pack("<256I", *reciprocals), RECIPROCAL_CRC),
                              ("scales", struct.pack("<128Q", *scales), SCALE_CRC)):
        if crc32c(data) != right:
            print(f"CRC32C of the {what} is {crc32c(data):08x}, the format says {right:08x}", file=sys.stderr)
            return 1
    starts = [[sum(row[:i]) for i in range(SYMBOLS)] for row in rows]
    costs = [[round(256 * (15 - math.log2(f))) for f in row] for row in rows]
    print("/* tables.c - the 256 static symbol tables of the entropy coder: frequencies, their sums, code lengths; two of mode W-MLP.\n"
          " * Written by tools/make_codec_tables.py; do not edit. Part of the file format: version 1 never changes them.\n"
          " * SPDX-License-Identifier: Apache-2.0 */\n#include \"tables.h\"")
    print_table("swg__frequency", "Out of 32768; symbol i < 31 is h = i - 15, symbol 31 is the escape.", rows)
    print_table("swg__start", "Sum of the frequencies of the symbols before this one.", starts)
    print_table("swg__cost", "Code length in 1/256 bit; the encoder's choices only.", costs)
    print_numbers("swg__reciprocal", "uint32_t", "Mode W-MLP: round(110592 * 256 / (256 + m)).", reciprocals)
    print_numbers("swg__scale", "int64_t", "Mode W-MLP: scale of a bucket, round(256 * 2^((b - 20) / 4)).", scales)
    return 0


if __name__ == "__main__":
    sys.exit(main())
