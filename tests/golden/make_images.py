# make_images.py - small PNG and TIFF files of every kind that is read, and some that must be refused, byte by byte with the standard
# library: they are the inputs of test_image.c and the corpus of fuzz_image. Usage: python3 make_images.py FOLDER
# Pixel (channel c, row y, column x): u8 (37y + 11x + 71c + 3) mod 256, u16 (3001y + 1117x + 7001c + 5) mod 65536,
# f32 ((37y + 11x + 71c) mod 101) / 100.
# SPDX-License-Identifier: Apache-2.0
import os, struct, sys, zlib

W, H = 7, 5
out = sys.argv[1]


def u8(c, y, x): return (37 * y + 11 * x + 71 * c + 3) % 256
def u16(c, y, x): return (3001 * y + 1117 * x + 7001 * c + 5) % 65536
def f32(c, y, x): return ((37 * y + 11 * x + 71 * c) % 101) / 100


def save(name, data):
    with open(os.path.join(out, name), "wb") as f:
        f.write(data)


# ---- PNG ----

def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(bits, colour, rows, w=W, h=H, interlace=0, extra=b""):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, bits, colour, 0, 0, interlace))
    raw = b"".join(b"\0" + r for r in rows)
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")


def rows8(channels, w=W, h=H, f=u8): return [bytes(f(c, y, x) for x in range(w) for c in range(channels)) for y in range(h)]
def rows16(channels, w=W, h=H): return [b"".join(struct.pack(">H", u16(c, y, x)) for x in range(w) for c in range(channels)) for y in range(h)]


def bit_rows(bits, w=W, h=H):
    rows = []
    for y in range(h):
        number = 0
        for x in range(w):
            number = number << bits | u8(0, y, x) % (1 << bits)
        total = (w * bits + 7) // 8 * 8
        rows.append((number << (total - w * bits)).to_bytes(total // 8, "big"))
    return rows


def adam7(channels):
    rows = []
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        for y in range(y0, H, dy):
            if x0 < W:
                rows.append(bytes(u8(c, y, x) for x in range(x0, W, dx) for c in range(channels)))
    return rows


palette = bytes(u8(c, i, 3) for i in range(256) for c in range(3))  # colour i is pixel (c, i, 3)
save("rgb8.png", png(8, 2, rows8(3)))
save("rgb16.png", png(16, 2, rows16(3)))
save("rgba8.png", png(8, 6, rows8(4)))
save("rgba16.png", png(16, 6, rows16(4)))
save("grey8.png", png(8, 0, rows8(1)))
save("grey16.png", png(16, 0, rows16(1)))
save("greya8.png", png(8, 4, rows8(2)))
for b in (1, 2, 4):
    save(f"grey{b}.png", png(b, 0, bit_rows(b)))
save("palette8.png", png(8, 3, rows8(1), extra=chunk(b"PLTE", palette) + chunk(b"tRNS", b"\0\x80")))
save("palette2.png", png(2, 3, bit_rows(2), extra=chunk(b"PLTE", palette[:12])))
save("interlaced.png", png(8, 2, adam7(3), interlace=1))
save("rgb8_trns.png", png(8, 2, rows8(3), extra=chunk(b"tRNS", struct.pack(">HHH", 3, 74, 145))))
save("one.png", png(8, 2, rows8(3, 1, 1), 1, 1))
save("bad_huge.png", png(8, 2, rows8(3), 0x7fffffff, 0x7fffffff))
save("bad_promise.png", png(8, 2, rows8(3), 20000, 20000))
save("bad_interlaced_promise.png", png(8, 2, rows8(3), 3000, 3000, interlace=1))
good = png(8, 2, rows8(3))
save("bad_cut.png", good[:len(good) - 40])
save("bad_head.png", good[:20])
save("bad_crc.png", good[:29] + bytes([good[29] ^ 1]) + good[30:])
save("bad_zlib.png", good[:50] + bytes([good[50] ^ 0x55]) + good[51:])

# ---- TIFF ----


def lzw(data):
    table, bits, out_bits, text = {bytes([i]): i for i in range(256)}, 9, [], b""

    def put(code): out_bits.append((code, bits))
    put(256)
    size = 258
    for b in data:
        longer = text + bytes([b])
        if longer in table:
            text = longer
            continue
        put(table[text])
        table[longer] = size
        size += 1
        bits = 9 if size < 511 else 10 if size < 1023 else 11 if size < 2047 else 12
        text = bytes([b])
    put(table[text])
    size += 1
    bits = 9 if size < 511 else 10 if size < 1023 else 11 if size < 2047 else 12
    put(257)
    number = total = 0
    for code, n in out_bits:
        number, total = number << n | code, total + n
    pad = -total % 8
    return (number << pad).to_bytes((total + pad) // 8, "big")


PACK = {1: lambda d: d, 5: lzw, 8: lambda d: zlib.compress(d, 9)}
SIZE = {3: 2, 4: 4, 16: 8}


def tiff(pixel, kind, channels=1, w=W, h=H, rows=2, tile=None, compression=1, photometric=1, separate=False, predictor=1, order="<", big=False, tags=(),
         alter=lambda t: t, pages=1):
    """kind: struct letter of a number. rows: per strip. tile: (width, height)."""
    size = struct.calcsize(kind)

    def encode(y0, y1, x0, x1, cs):
        lines = []
        for y in range(y0, y1):
            numbers = [pixel(c, min(y, h - 1), min(x, w - 1)) for x in range(x0, x1) for c in cs]
            if predictor == 2:
                n = len(cs)
                numbers = [v if i < n else (v - numbers[i - n]) % (1 << 8 * size) for i, v in enumerate(numbers)]
            lines.append(struct.pack(order + str(len(numbers)) + kind, *numbers))
        return PACK[compression](b"".join(lines))

    planes = [[c] for c in range(channels)] if separate else [list(range(channels))]
    head_bytes = 16 if big else 8
    data, all_pages = b"", []
    for _ in range(pages):
        pieces = []
        for cs in planes:
            if tile:
                pieces += [encode(y, y + tile[1], x, x + tile[0], cs) for y in range(0, h, tile[1]) for x in range(0, w, tile[0])]
            else:
                pieces += [encode(y, min(y + rows, h), 0, w, cs) for y in range(0, h, rows)]
        offsets = []
        for piece in pieces:
            offsets.append(head_bytes + len(data))
            data += piece + b"\0" * (len(piece) % 2)
        letter = {"B": 1, "H": 1, "h": 2, "b": 2, "f": 3, "d": 3}[kind]
        wide = 16 if big else 4
        t = {256: (4, [w]), 257: (4, [h]), 258: (3, [8 * size] * channels), 259: (3, [compression]), 262: (3, [photometric]), 277: (3, [channels]),
             284: (3, [2 if separate else 1]), 317: (3, [predictor]), 339: (3, [letter] * channels)}
        if tile:
            t.update({322: (4, [tile[0]]), 323: (4, [tile[1]]), 324: (wide, offsets), 325: (4, [len(p) for p in pieces])})
        else:
            t.update({273: (wide, offsets), 278: (4, [rows]), 279: (4, [len(p) for p in pieces])})
        t.update(dict(tags))
        all_pages.append(alter(t))
    place = head_bytes + len(data)
    word, count_word = ("Q", "Q") if big else ("I", "H")
    if big:
        head = struct.pack(order + "2sHHHQ", b"II" if order == "<" else b"MM", 43, 8, 0, place)
    else:
        head = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, place)
    blocks = b""
    for number, t in enumerate(all_pages):
        here = place + len(blocks)
        room = 8 if big else 4
        entry_bytes = len(t) * (20 if big else 12)
        behind = here + struct.calcsize(order + count_word) + entry_bytes + room
        entries, tail = b"", b""
        for tag in sorted(t):
            form, values = t[tag]
            letters = {3: "H", 4: "I", 16: "Q"}[form]
            raw = struct.pack(order + str(len(values)) + letters, *values)
            if len(raw) <= room:
                value = raw + b"\0" * (room - len(raw))
            else:
                value = struct.pack(order + word, behind + len(tail))
                tail += raw + b"\0" * (len(raw) % 2)
            entries += struct.pack(order + "HH" + word, tag, form, len(values)) + value
        following = behind + len(tail) if number + 1 < len(all_pages) else 0
        blocks += struct.pack(order + count_word, len(t)) + entries + struct.pack(order + word, following) + tail
    return head + data + blocks


save("grey8.tif", tiff(u8, "B"))
save("rgb8_lzw.tif", tiff(u8, "B", 3, compression=5, photometric=2, predictor=2))
save("rgb16_deflate_be.tif", tiff(u16, "H", 3, compression=8, photometric=2, order=">"))
save("rgb8_tiled.tif", tiff(u8, "B", 3, w=37, h=20, tile=(16, 16), compression=8, photometric=2))
save("rgb8_planes.tif", tiff(u8, "B", 3, compression=8, photometric=2, separate=True))
save("rgb16_planes_tiled.tif", tiff(u16, "H", 3, w=19, h=18, tile=(16, 16), compression=8, photometric=2, separate=True))
save("grey16_big_tiled.tif", tiff(u16, "H", w=19, h=18, tile=(16, 16), compression=8, big=True))
save("grey16_big_be.tif", tiff(u16, "H", big=True, order=">"))
save("grey_f32.tif", tiff(f32, "f", compression=8))
save("rgb_f32_be.tif", tiff(f32, "f", 3, photometric=2, order=">"))
save("rgba8.tif", tiff(u8, "B", 4, photometric=2, tags={338: (3, [2])}.items()))
save("five16.tif", tiff(u16, "H", 5, tags={338: (3, [0] * 4)}.items()))
save("white8.tif", tiff(u8, "B", photometric=0))
save("palette8.tif", tiff(u8, "B", photometric=3, tags={320: (3, [u16(c, i, 3) for c in range(3) for i in range(256)])}.items()))
save("pages.tif", tiff(u8, "B", pages=3))
save("one.tif", tiff(u16, "H", 1, 1, 1, 1))
nan = float("nan")
save("nan_f32.tif", tiff(lambda c, y, x: nan if (y, x) == (2, 3) else float("inf") if (y, x) == (4, 6) else f32(c, y, x), "f"))
save("outside_f32.tif", tiff(lambda c, y, x: 40 * f32(c, y, x) - 1, "f"))
save("bad_i16.tif", tiff(lambda c, y, x: -y * x, "h"))
save("bad_f64.tif", tiff(f32, "d"))
save("bad_orientation.tif", tiff(u8, "B", tags={274: (3, [6])}.items()))
save("bad_cmyk.tif", tiff(u8, "B", 4, photometric=5))
save("bad_compression.tif", tiff(u8, "B", alter=lambda t: {**t, 259: (3, [34712])}))
save("bad_huge.tif", tiff(u8, "B", alter=lambda t: {**t, **{tag: (4, [0x7fffffff]) for tag in (256, 257, 278)}}))
save("bad_tile.tif", tiff(u8, "B", tile=(16, 16), alter=lambda t: {**t, 322: (4, [1 << 20]), 323: (4, [1 << 20])}))
save("bad_rows.tif", tiff(u8, "B", alter=lambda t: {**t, 257: (4, [9])}))
save("bad_no_size.tif", tiff(u8, "B", alter=lambda t: {k: v for k, v in t.items() if k != 256}))
whole = tiff(u8, "B", 3, compression=8, photometric=2)
save("bad_cut.tif", whole[:len(whole) - 60])
data_first = tiff(u8, "B", 3, compression=8, photometric=2)
save("bad_deflate.tif", data_first[:14] + b"\xff\xff\xff" + data_first[17:])
save("bad_text.png", b"this is not an image\n")
save("bad_empty.png", b"")
save("bad_jpeg.png", b"\xff\xd8\xff\xe0\0\x10JFIF\0")

try:  # as slide scanners write it; the only file that needs a library (Pillow), and the only one with losses
    from PIL import Image
except ImportError:
    print("jpeg.tif: not made, there is no Pillow")
else:
    ramp = Image.new("RGB", (40, 24))
    ramp.putdata([(6 * x, 10 * y, 200 - 2 * x - 3 * y) for y in range(24) for x in range(40)])
    ramp.convert("YCbCr").save(os.path.join(out, "jpeg.tif"), compression="jpeg", quality=95)
