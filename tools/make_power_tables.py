#!/usr/bin/env python3
"""make_power_tables.py - writes src/codec/power_tables.c: the powers of two behind point-wise relative bounds (docs/format.md).
In: nothing. Out: the C source on stdout; exits 1 if the CRC32C of the two tables is not the one of the format.
SPDX-License-Identifier: Apache-2.0"""
import struct
import sys
from decimal import ROUND_FLOOR, Decimal, getcontext

from make_codec_tables import crc32c

POWER_CRC = 0x14B6B064


def powers(divisor):
    """floor(2^62 * 2^(i / divisor)) for i < 256"""
    return [int((Decimal(2) ** (Decimal(62) + Decimal(i) / divisor)).to_integral_value(ROUND_FLOOR)) for i in range(256)]


def print_table(name, comment, table):
    print(f"\n/* {comment} */\nconst uint64_t {name}[256] = {{")
    for i in range(0, 256, 4):
        print("    " + ", ".join(f"0x{v:016x}" for v in table[i:i + 4]) + ",")
    print("};")


def main():
    getcontext().prec = 80
    coarse, fine = powers(256), powers(65536)
    crc = crc32c(struct.pack("<512Q", *coarse, *fine))
    if crc != POWER_CRC:
        print(f"CRC32C of the powers is {crc:08x}, the format says {POWER_CRC:08x}", file=sys.stderr)
        return 1
    print("/* power_tables.c - powers of two in Q62 for point-wise relative bounds.\n"
          " * Written by tools/make_power_tables.py; do not edit. Part of the file format: version 1 never changes them.\n"
          " * SPDX-License-Identifier: Apache-2.0 */\n#include \"powers.h\"")
    print_table("swg__power_coarse", "floor(2^62 * 2^(i / 256))", coarse)
    print_table("swg__power_fine", "floor(2^62 * 2^(i / 65536))", fine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
