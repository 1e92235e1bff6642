"""check_vti.py - reads .vti files with VTK's own reader and compares them with arrays of an HDF5 grid.

In: check_vti.py FILE.vti [FILE.h5 DATASET]. Out: exit status 0, or the first difference. 77 where VTK is not installed.
SPDX-License-Identifier: Apache-2.0"""
import sys

try:
    import numpy
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOXML import vtkXMLImageDataReader
except ImportError as error:
    print(f"check_vti.py: skipped: {error}")
    sys.exit(77)

reader = vtkXMLImageDataReader()
reader.SetFileName(sys.argv[1])
if not reader.CanReadFile(sys.argv[1]):
    sys.exit(f"{sys.argv[1]}: VTK cannot read it")
reader.Update()
image = reader.GetOutput()
shape = image.GetDimensions()
assert image.GetSpacing() == (1, 1, 1) and image.GetOrigin() == (0, 0, 0), (image.GetSpacing(), image.GetOrigin())
points = image.GetPointData()
names = [points.GetArrayName(i) for i in range(points.GetNumberOfArrays())]
variable = names[0]
assert names == [variable, variable + "_recon", "Variable_Normalized_LogPos"], names
volumes = [vtk_to_numpy(points.GetArray(i)).reshape(shape, order="F") for i in range(3)]
assert all(v.dtype == numpy.float32 for v in volumes)
print(sys.argv[1], shape, [f"{numpy.nanmin(v):.4g}..{numpy.nanmax(v):.4g}" for v in volumes])
if len(sys.argv) > 2:
    import h5py

    with h5py.File(sys.argv[2]) as file:
        original = file[sys.argv[3]][...].astype(numpy.float32)
    assert original.shape == shape, (original.shape, shape)
    assert numpy.array_equal(original, volumes[0]), "the values are not those of the file, axis for axis"
    assert not numpy.array_equal(volumes[1], volumes[0]) and numpy.isfinite(volumes[1]).all()
