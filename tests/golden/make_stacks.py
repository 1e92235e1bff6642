# make_stacks.py - small stacks of every kind that is read, and some that must be refused: the inputs of test_stack.c and the corpus of fuzz_stack.
# Usage: python3 make_stacks.py FOLDER, with tifffile and Pillow. tifffile draws UUIDs for OME files, so these differ from run to run.
# Voxel (t, c, z, y, x): v = 5077 t + 1723 c + 631 z + 37 y + 11 x + 3; u8 v mod 256, u16 7 v mod 65536, i8 v mod 256 - 128, i16 v - 1000, i32 1000 v - 5000000,
# u32 v + 16777217, f32 and f64 v / 8 - 100, f16 v mod 1024 / 8.
# SPDX-License-Identifier: Apache-2.0
import os, struct, sys
import numpy as np, tifffile
from PIL import Image

out = sys.argv[1]
H, W = 5, 7


def path(name): return os.path.join(out, name)


def v(t, c, z, h=H, w=W):
    i = np.indices((t, c, z, h, w))
    return 5077 * i[0] + 1723 * i[1] + 631 * i[2] + 37 * i[3] + 11 * i[4] + 3


def voxels(kind, t=1, c=1, z=1, h=H, w=W):
    n = v(t, c, z, h, w)
    return {"u1": lambda: n % 256, "u2": lambda: 7 * n % 65536, "i1": lambda: n % 256 - 128, "i2": lambda: n - 1000, "i4": lambda: 1000 * n - 5000000,
            "u4": lambda: n + 16777217, "f4": lambda: n / 8 - 100, "f8": lambda: n / 8 - 100, "f2": lambda: n % 1024 / 8}[kind]().astype(kind)


def order(a, axes): return np.ascontiguousarray(a.transpose(["TCZYX".index(x) for x in axes]))


def tiff(name, a, **more): tifffile.imwrite(path(name), a, **{"metadata": None, "software": False, "photometric": "minisblack", **more})


def raw(name): return open(path(name), "rb").read()


def save(name, data):
    with open(path(name), "wb") as f:
        f.write(data)


# ---- OME-TIFF ----

for axes in ("TCZYX", "TZCYX", "CZTYX", "ZTCYX"):
    tiff(f"ome_{axes.lower()}.tif", order(voxels("u2", 2, 3, 4), axes), ome=True,
         metadata={"axes": axes, "PhysicalSizeX": .25, "PhysicalSizeY": .5, "PhysicalSizeZ": 2., "TimeIncrement": 1.5,
                   "Channel": {"Name": ["DNA", "a < b & \"c\"", "µ-tubule"]}})
tiff("ome_big_tiles.tif", voxels("u2", 1, 2, 2, 20, 19)[0], ome=True, bigtiff=True, tile=(16, 16),
     compression="zlib", metadata={"axes": "CZYX"})
tiff("ome_rgb.tif", np.moveaxis(voxels("u1", 1, 3, 2)[0], 0, -1), ome=True, photometric="rgb", metadata={"axes": "ZYXS"})


def ome(pixels, c, z, inside, t=1, root="", more="", order="XYZCT"):
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- > --><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"{root}>'
            f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="{order}" Type="uint8" SizeX="{W}" SizeY="{H}" SizeC="{c}" SizeZ="{z}" SizeT="{t}"{pixels}>'
            f'{inside}</Pixels></Image>{more}</OME>').encode()


backwards = "".join(f'<TiffData FirstC="{k // 2}" FirstZ="{k % 2}" IFD="{3 - k}"/>' for k in range(4))
pages = voxels("u1", 1, 2, 2)[0].reshape(4, H, W)
tiff("ome_mapped.tif", pages[::-1].copy(), description=ome(' PhysicalSizeX="65" PhysicalSizeXUnit="nm" TimeIncrement="2" TimeIncrementUnit="min"', 2, 2,
     '<Channel Name="&#181;&amp;&#xB5;"/><Channel/>' + backwards))
tiff("ome_prefix.tif", pages, description=ome("", 2, 2, "<TiffData/>").replace(b"<", b"<ome:").replace(b"<ome:/", b"</ome:").replace(b"<ome:?", b"<?").replace(b"<ome:!", b"<!").replace(b"xmlns=", b"xmlns:ome="))
files = "".join(f'<TiffData FirstC="{c}" IFD="0" PlaneCount="2"><UUID FileName="{n}.tif"> urn:uuid:{n} </UUID></TiffData>' for c, n in enumerate("ab"))
tiff("ome_missing.tif", pages[:2], description=ome("", 2, 2, files, root=' UUID="urn:uuid:a"'))
renamed = '<TiffData FirstZ="1" PlaneCount="1"><UUID FileName="old.tif">urn:uuid:a</UUID></TiffData><TiffData IFD="1"><UUID FileName="old.tif">urn:uuid:a</UUID></TiffData>'
tiff("ome_renamed.tif", pages[1::-1].copy(), description=ome("", 1, 2, renamed))
second = f'<Image ID="Image:1"><Pixels DimensionOrder="XYZCT" SizeX="{W}" SizeY="{H}" SizeC="1" SizeZ="2" SizeT="1"><TiffData IFD="2"/></Pixels></Image>'
tiff("ome_two_images.tif", pages, description=ome("", 1, 2, '<TiffData IFD="0" PlaneCount="2"/>', more=second))
tiff("bad_ome_size.tif", pages, description=ome("", 2, 2, "").replace(b'SizeX="7"', b'SizeX="8"'))
tiff("bad_ome_many.tif", pages, description=ome("", 2, 20, ""))
tiff("bad_ome_ifd.tif", pages, description=ome("", 2, 2, '<TiffData IFD="3" PlaneCount="4"/>'))
tiff("bad_ome_first.tif", pages, description=ome("", 2, 2, '<TiffData FirstZ="2"/>'))
tiff("bad_ome_number.tif", pages, description=ome("", 2, 2, "").replace(b'SizeZ="2"', b'SizeZ="-2"'))
tiff("bad_ome_order.tif", pages, description=ome("", 2, 2, "", order="XYZZT"))
tiff("bad_ome_cut.tif", pages, description=ome("", 2, 2, "")[:-12])
tiff("bad_ome_none.tif", pages, description=b'<?xml version="1.0"?><OME><BinaryOnly MetadataFile="a.ome"/></OME>')
tiff("bad_ome_elsewhere.tif", pages, description=ome("", 1, 2, files.replace('FirstC="1"', 'FirstZ="1"').replace('PlaneCount="2"', ""), root=' UUID="urn:uuid:c"'))

# ---- ImageJ: times, slices, channels ----

hyper = order(voxels("u2", 2, 3, 2), "TZCYX")
tiff("imagej_hyper.tif", hyper, imagej=True, byteorder=">", resolution=(4, 2), metadata={"axes": "TZCYX", "unit": "um", "spacing": 1.5, "finterval": 10.})
tiff("imagej_f32.tif", voxels("f4", 1, 1, 3)[0, 0], imagej=True, metadata={"axes": "ZYX"})
tiff("imagej_rgb.tif", np.moveaxis(voxels("u1", 1, 3, 2)[0], 0, -1), imagej=True, photometric="rgb", metadata={"axes": "ZYXS"})


def one_directory(data):
    """Ends the chain behind the first directory: the planes after the first lie behind it, as ImageJ writes files above 4 GB."""
    order = "<" if data[:2] == b"II" else ">"
    ifd, = struct.unpack(order + "I", data[4:8])
    n, = struct.unpack(order + "H", data[ifd:ifd + 2])
    at = ifd + 2 + 12 * n
    return data[:at] + b"\0\0\0\0" + data[at + 4:]


save("imagej_one_ifd.tif", one_directory(raw("imagej_hyper.tif")))
whole = raw("imagej_one_ifd.tif")
with tifffile.TiffFile(path("imagej_hyper.tif")) as f:
    save("bad_imagej_cut.tif", whole[:f.pages[0].dataoffsets[0] + hyper.nbytes - 1])
tiff("bad_imagej_images.tif", pages, description="ImageJ=1.53f\nimages=4\nchannels=3\n")
tiff("bad_imagej_pages.tif", pages, compression="zlib", description="ImageJ=1.53f\nimages=8\nslices=8\n")
tiff("bad_imagej_number.tif", pages, description="ImageJ=1.53f\nimages=4\nslices=x4\n")

# ---- tifffile's own description, and none ----

tiff("shaped_zyx_be.tif", voxels("u2", 1, 1, 3)[0, 0], metadata={}, byteorder=">")
tiff("shaped_axes.tif", voxels("i2", 1, 2, 3)[0], metadata={"axes": "CZYX"}, compression="zlib")
tiff("shaped_4d.tif", voxels("u1", 1, 2, 3)[0], metadata={})
tiff("shaped_truncated.tif", voxels("u2", 1, 2, 3)[0], metadata={"axes": "CZYX"}, truncate=True)
tiff("shaped_samples.tif", np.moveaxis(voxels("u2", 1, 3, 2)[0], 0, -1), metadata={}, photometric="rgb", compression="zlib", predictor=True)
tiff("bad_shaped.tif", voxels("u1", 1, 1, 3)[0, 0], description='{"shape": [4, 5, 7]}')
for kind in ("i1", "i4", "f4", "f8", "u4"):
    tiff(f"pages_{kind}.tif", voxels(kind, 1, 1, 3)[0, 0], photometric="minisblack")
tiff("planes.tif", voxels("u1", 1, 3, 2)[0].transpose(1, 0, 2, 3), photometric="rgb", planarconfig="separate", compression="zlib")
tiff("samples_tiles.tif", np.moveaxis(voxels("u2", 1, 4, 2, 18, 17)[0], 0, -1), photometric="minisblack", planarconfig="contig", tile=(16, 16), compression="zlib")
tiff("rgba.tif", np.moveaxis(voxels("u1", 1, 4, 1)[0, :, 0], 0, -1), photometric="rgb", extrasamples=["unassalpha"])
tiff("palette.tif", voxels("u1", 1, 1, 2)[0, 0], photometric="palette", colormap=np.arange(768, dtype="u2").reshape(3, 256))
nan = voxels("f4", 1, 1, 2)
nan[0, 0, 1, 2, 3], nan[0, 0, 1, 4, 6] = np.nan, np.inf
tiff("nan.tif", nan[0, 0])
beyond = voxels("f8", 1, 1, 1)
beyond[0, 0, 0, 1, 1] = 1e300
tiff("beyond.tif", beyond[0, 0])
with tifffile.TiffWriter(path("copies.tif")) as f:
    for z in range(2):
        f.write(voxels("u1", 1, 1, 2)[0, 0, z], metadata=None, software=False)
        f.write(np.zeros((2, 3), "u1"), metadata=None, software=False, subfiletype=1)
with tifffile.TiffWriter(path("bad_mixed.tif")) as f:
    f.write(voxels("u1")[0, 0, 0], metadata=None, software=False)
    f.write(np.zeros((2, 3), "u1"), metadata=None, software=False)
for packing in ("tiff_lzw", "packbits"):
    images = [Image.fromarray(p) for p in voxels("u1", 1, 1, 3)[0, 0]]
    images[0].save(path(f"pages_{packing[-8:].replace('tiff_', '')}.tif"), save_all=True, append_images=images[1:], compression=packing)

plain = raw("pages_u4.tif")


def chain(data):
    """Places of the words that lead from one directory to the next."""
    at, found = struct.unpack("<I", data[4:8])[0], []
    while at:
        at += 2 + 12 * struct.unpack("<H", data[at:at + 2])[0]
        found.append(at)
        at, = struct.unpack("<I", data[at:at + 4])
    return found


def patch(data, at, value): return data[:at] + struct.pack("<I", value) + data[at + 4:]


save("bad_loop.tif", patch(plain, chain(plain)[-1], struct.unpack("<I", plain[chain(plain)[0]:chain(plain)[0] + 4])[0]))
save("bad_chain.tif", patch(plain, chain(plain)[-1], len(plain) + 8))
save("bad_cut.tif", plain[:-60])
damaged = raw("shaped_axes.tif")
with tifffile.TiffFile(path("shaped_axes.tif")) as f:
    at = f.pages[4].dataoffsets[0]
save("bad_deflate.tif", damaged[:at + 4] + b"\xff\xff\xff" + damaged[at + 7:])

# ---- NPY ----


def npy(name, a, version=(1, 0)):
    with open(path(name), "wb") as f:
        np.lib.format.write_array(f, a, version)


npy("yx_u1.npy", voxels("u1")[0, 0, 0])
npy("czyx_f4_be.npy", voxels("f4", 1, 2, 3)[0].astype(">f4"))
npy("zyx_u2.npy", voxels("u2", 1, 1, 3)[0, 0], (2, 0))
npy("yxc_u1.npy", np.ascontiguousarray(np.moveaxis(voxels("u1", 1, 3)[0, :, 0], 0, -1)))
npy("tczyx_i4.npy", voxels("i4", 2, 3, 2), (3, 0))
npy("czyx_u4.npy", voxels("u4", 1, 2, 2)[0])
npy("czyx_i8.npy", voxels("i4", 1, 1, 2)[0].astype("i8"))
npy("czyx_f2.npy", voxels("f2", 1, 2, 2)[0])
npy("czyx_f8.npy", voxels("f8", 1, 2, 2)[0])
npy("yx_bool.npy", voxels("u1")[0, 0, 0] % 2 == 1)
npy("yx_labels.npy", np.array([[0, 65536, 16777217], [2147483647, 1, 2]], "u4"))
npy("yx_bad_labels.npy", np.array([[0, 1], [-1, 2]], "i4"))
npy("yx_bad_float_labels.npy", np.array([[0, 1], [1.5, 2]], "f4"))
npy("bad_fortran.npy", np.asfortranarray(voxels("u1")[0, 0, 0]))
npy("bad_complex.npy", np.zeros((2, 2), "c8"))
npy("bad_rank.npy", np.zeros(3, "u1"))
npy("bad_empty.npy", np.zeros((0, 3), "u1"))
good = raw("yx_u1.npy")
save("bad_cut.npy", good[:-1])
save("bad_head.npy", good[:40])
save("bad_shape.npy", good.replace(b"(5, 7)", b"(5, x)"))
save("bad_large.npy", good.replace(b"(5, 7), }    ", b"(5, 700000), }")[:200])

# ---- PNG ----

Image.fromarray(voxels("u2")[0, 0, 0]).save(path("grey16.png"))
Image.fromarray(np.moveaxis(voxels("u1", 1, 4)[0, :, 0], 0, -1).copy(), "RGBA").save(path("rgba8.png"))
indices = Image.fromarray(voxels("u1")[0, 0, 0] % 16, "P")
indices.putpalette([i for i in range(255, 255 - 48, -1)])
indices.save(path("palette4.png"), bits=4)
save("bad_text.tif", b"no image\n")
save("bad_nothing.tif", b"")
