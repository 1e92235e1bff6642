# make_audio.py - small audio files of every kind that is read, and some that must be refused: the inputs of test_audio.c and the corpus of fuzz_audio.
# WAV, RF64 and W64 byte by byte with the standard library, FLAC and OGG by libsndfile. Usage: python3 make_audio.py FOLDER
# Number of b bits of channel c at sample i: ((7919 i + 3571 c) 2^(b-16) + (b > 16 ? 37 i : 0)) mod 2^b - 2^(b-1); floats ((37 i + 11 c) mod 201 - 100) / 64;
# OGG: sin(2 pi 440 i / rate) / 2 in channel 0, half as loud in channel 1. N samples each, unless the name says otherwise.
# SPDX-License-Identifier: Apache-2.0
import ctypes, ctypes.util, math, os, struct, sys

N, RATE = 50, 8000
out = sys.argv[1]


def save(name, data):
    with open(os.path.join(out, name), "wb") as f:
        f.write(data)


def integer(b, c, i):
    return (((7919 * i + 3571 * c) << b >> 16) + (37 * i if b > 16 else 0)) % (1 << b) - (1 << b - 1)


def real(c, i): return ((37 * i + 11 * c) % 201 - 100) / 64


def packed(b, c, i): return bytes([integer(8, c, i) + 128]) if b == 8 else (integer(b, c, i) % (1 << b)).to_bytes(b // 8, "little")


def samples(bits, channels, n=N): return b"".join(packed(bits, c, i) for i in range(n) for c in range(channels))
def floats(kind, channels, n=N): return b"".join(struct.pack("<" + kind, real(c, i)) for i in range(n) for c in range(channels))


def chunk(name, data, size=None): return name + struct.pack("<I", len(data) if size is None else size) + data + b"\0" * (len(data) % 2)


def fmt(tag, bits, channels, rate=RATE, tail=b""):
    frame = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, bits) + tail)


def wav(data, tag=1, bits=16, channels=1, rate=RATE, size=None, extra=b"", tail=b""):
    body = b"WAVE" + extra + fmt(tag, bits, channels, rate, tail) + chunk(b"data", data, size)
    return b"RIFF" + struct.pack("<I", len(body)) + body


GUID = bytes.fromhex("000000001000800000aa00389b71")  # of WAVE_FORMAT_EXTENSIBLE, behind the tag


def extensible(bits, channels, mask): return struct.pack("<HHIH", 22, bits, mask, 1) + GUID


save("wav_u8.wav", wav(samples(8, 1), bits=8))
save("wav_16.wav", wav(samples(16, 2), channels=2))
save("wav_24.wav", wav(samples(24, 2), bits=24, channels=2))
save("wav_24_odd.wav", wav(samples(24, 1, 7), bits=24))
save("wav_32.wav", wav(samples(32, 2), bits=32, channels=2))
save("wav_f32.wav", wav(floats("f", 2), 3, 32, 2))
save("wav_f64.wav", wav(floats("d", 1), 3, 64, 1))
save("wav_chunks.wav", wav(samples(16, 2), channels=2, extra=chunk(b"LIST", b"INFOIART" + struct.pack("<I", 5) + b"Some\0\0") + chunk(b"odd ", b"abc")))
for n in (3, 4, 5, 6):
    save("wav_%dch.wav" % n, wav(samples(16, n), 0xFFFE, 16, n, tail=extensible(16, n, (1 << n) - 1)))
save("wav_7ch.wav", wav(samples(16, 7), 0xFFFE, 16, 7, tail=extensible(16, 7, 127)))
save("wav_empty.wav", wav(b""))
save("wav_one.wav", wav(samples(16, 1, 1)))
save("wav_piped.wav", wav(samples(16, 2), channels=2, size=0xFFFFFFFF))
save("wav_192k.wav", wav(samples(16, 1), rate=192000))


def rf64(data, channels, shown):
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 0, shown, shown // (2 * channels), 0))
    return b"RF64" + struct.pack("<I", 0xFFFFFFFF) + b"WAVE" + ds64 + fmt(1, 16, channels) + b"data" + struct.pack("<I", 0xFFFFFFFF) + data


save("rf64.wav", rf64(samples(16, 2), 2, 4 * N))
save("bad_rf64_cut.wav", rf64(samples(16, 2), 2, 400 * N))


def w64_chunk(name, data):
    tail = bytes.fromhex("f3acd3118cd100c04f8edb8a")
    return name + tail + struct.pack("<Q", 24 + len(data)) + data + b"\0" * (-len(data) % 8)


def w64(data, channels):
    body = b"wave" + bytes.fromhex("f3acd3118cd100c04f8edb8a") + w64_chunk(b"fmt ", struct.pack("<HHIIHH", 1, channels, RATE, RATE * 2 * channels, 2 * channels, 16))
    body += w64_chunk(b"data", data)
    return b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000") + struct.pack("<Q", 24 + len(body)) + body


save("w64.w64", w64(samples(16, 2), 2))
save("bad_w64_cut.w64", w64(samples(16, 2), 2)[:-60])

# ---- refused ----
whole = wav(samples(16, 2), channels=2)
save("bad_cut.wav", whole[:-20])
save("bad_cut_head.wav", whole[:30])
save("bad_nan.wav", wav(floats("f", 2)[:8 * 31 + 4] + struct.pack("<f", math.nan) + floats("f", 2)[8 * 32:], 3, 32, 2))
save("bad_inf.wav", wav(struct.pack("<f", -math.inf), 3, 32, 1))
save("bad_large.wav", wav(struct.pack("<ff", 1, 10001), 3, 32, 1))
save("bad_ulaw.wav", wav(bytes(range(N)), 7, 8, 1))
save("bad_channels.wav", wav(bytes(2 * 65), 1, 16, 65))
save("bad_rate.wav", wav(samples(16, 1), rate=0))
save("bad_chunk_size.wav", wav(samples(16, 1), extra=b"LIST\xf0\xff\xff\xff"))
save("bad_big_endian.wav", b"RIFX" + whole[4:])
save("bad_empty.wav", b"")
save("bad_stem.mp4", struct.pack(">I", 24) + b"ftypisom\0\0\2\0isommp41")
save("bad_mp3.mp3", b"ID3\4\0\0\0\0\0\n" + bytes(10) + b"\xff\xfb\x90\x64" + bytes(40))
save("bad_aiff.aiff", b"FORM\0\0\0\4AIFF" + bytes(20))
save("bad_kind.wav", b"this is no audio, whatever its name says about it")

# ---- libsndfile ----
lib = ctypes.CDLL(ctypes.util.find_library("sndfile"))


class Info(ctypes.Structure):
    _fields_ = [("frames", ctypes.c_int64), ("samplerate", ctypes.c_int), ("channels", ctypes.c_int), ("format", ctypes.c_int),
                ("sections", ctypes.c_int), ("seekable", ctypes.c_int)]


lib.sf_open.restype = ctypes.c_void_p
lib.sf_open.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(Info)]
lib.sf_writef_int.argtypes = lib.sf_writef_float.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
lib.sf_writef_int.restype = lib.sf_writef_float.restype = ctypes.c_int64
lib.sf_close.argtypes = [ctypes.c_void_p]


def encode(name, kind, channels, n, values, write, rate=RATE):
    info = Info(0, rate, channels, kind, 0, 0)
    f = lib.sf_open(os.path.join(out, name).encode(), 0x20, ctypes.byref(info))
    assert f, name
    assert getattr(lib, write)(f, values, n) == n
    lib.sf_close(f)
    return open(os.path.join(out, name), "rb").read()


FLAC, OGG, VORBIS, OPUS = 0x170000, 0x200000, 0x60, 0x64
for bits, sub in ((16, 2), (24, 3)):
    flat = [integer(bits, c, i) << 32 - bits for i in range(N) for c in range(2)]
    flac = encode("flac_%d.flac" % bits, FLAC | sub, 2, N, (ctypes.c_int * len(flat))(*flat), "sf_writef_int")
save("bad_flac_cut.flac", flac[:-60])
save("bad_flac_byte.flac", flac[:-90] + bytes([flac[-90] ^ 0x55]) + flac[-89:])
save("flac_tag.flac", b"ID3\4\0\0\0\0\0\n" + bytes(10) + flac)
at = flac.index(b"fLaC") + 8 + 13  # the number of samples: 36 bits from the lower half of this byte on
save("bad_flac_length.flac", flac[:at] + bytes([flac[at] & 0xf0, 0, 0, 0, 0]) + flac[at + 5:])
save("bad_flac_long.flac", flac[:at] + bytes([flac[at] | 0x0f]) + flac[at + 1:])
n = 1500
tone = [math.sin(2 * math.pi * 440 * i / RATE) / (2 + 2 * c) for i in range(n) for c in range(2)]
ogg = encode("ogg.ogg", OGG | VORBIS, 2, n, (ctypes.c_float * len(tone))(*tone), "sf_writef_float")
save("bad_ogg_cut.ogg", ogg[:-100])
save("bad_ogg_byte.ogg", ogg[:-100] + bytes([ogg[-100] ^ 0x55]) + ogg[-99:])
encode("bad_opus.ogg", OGG | OPUS, 1, 480, (ctypes.c_float * 480)(*tone[:480]), "sf_writef_float", 48000)
