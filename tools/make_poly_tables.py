#!/usr/bin/env python3
"""make_poly_tables.py - writes src/codec/poly_tables.c: the bases of mode P for 1 to 17 nodes (docs/format.md, "Mode P").
In: nothing. Out: the C source on stdout; exits 1 if the CRC32C of the basis is not the one of the format.
SPDX-License-Identifier: Apache-2.0"""
import struct
import sys
from decimal import Decimal, getcontext
from fractions import Fraction

from make_codec_tables import crc32c

EDGE, UNIT = 17, 1 << 14
BASIS_CRC = 0x04B974FB
getcontext().prec = 60


def gram(n):
    """Rows: polynomials of degree 0..n-1, orthogonal on n uniform nodes of -1..1, positive at the last node; exact."""
    nodes = [Fraction(2 * x, n - 1) - 1 if n > 1 else Fraction(0) for x in range(n)]
    rows = []
    for degree in range(n):
        row = [x ** degree for x in nodes]
        for lower in rows:
            share = sum(a * b for a, b in zip(row, lower)) / sum(a * a for a in lower)
            row = [a - share * b for a, b in zip(row, lower)]
        rows.append(row)
    return rows


def quantised(n):
    """The same with norm 1, in units of 2^-14, rounded to nearest."""
    out = []
    for row in gram(n):
        norm = sum(a * a for a in row)
        root = (Decimal(norm.numerator) / Decimal(norm.denominator)).sqrt()
        out.append([int((Decimal(a.numerator) / Decimal(a.denominator) / root * UNIT).to_integral_value()) for a in row])
    return out


def inverse(matrix):
    """Exact inverse by Gauss and Jordan."""
    n = len(matrix)
    rows = [[Fraction(v) for v in row] + [Fraction(int(i == j)) for j in range(n)] for i, row in enumerate(matrix)]
    for c in range(n):
        pivot = next(r for r in range(c, n) if rows[r][c] != 0)
        rows[c], rows[pivot] = rows[pivot], rows[c]
        rows[c] = [v / rows[c][c] for v in rows[c]]
        for r in range(n):
            if r != c and rows[r][c] != 0:
                rows[r] = [a - rows[r][c] * b for a, b in zip(rows[r], rows[c])]
    return [row[n:] for row in rows]


def main():
    basis = [quantised(n) for n in range(1, EDGE + 1)]
    crc = crc32c(b"".join(struct.pack(f"<{n + 1}h", *row) for n, rows in enumerate(basis) for row in rows))
    if crc != BASIS_CRC:
        print(f"CRC32C of the basis is {crc:08x}, the format says {BASIS_CRC:08x}", file=sys.stderr)
        return 1
    print("/* poly_tables.c - discrete Legendre polynomials on 1 to 17 nodes, and the exact inverses of their rounded values.\n"
          " * Written by tools/make_poly_tables.py; do not edit. The basis is part of the file format: version 1 never changes it.\n"
          " * SPDX-License-Identifier: Apache-2.0 */\n#include \"poly.h\"\n")
    print("/* n nodes start at swg__poly_start(n): row of degree i, value at node x, in units of 2^-14 */\nconst int16_t swg__poly_basis[] = {")
    for rows in basis:
        for row in rows:
            print("    " + ", ".join(str(v) for v in row) + ",")
    print("};\n\n/* row i: what node x adds to coefficient i */\nconst double swg__poly_analysis[] = {")
    for rows in basis:
        n = len(rows)
        # values = sum_i c_i row_i / 2^14, hence c = values * inverse(rows) * 2^14
        inv = inverse(rows)
        for i in range(n):
            print("    " + ", ".join(float(inv[x][i] * UNIT).hex() for x in range(n)) + ",")
    print("};")
    return 0


if __name__ == "__main__":
    sys.exit(main())
