#!/bin/sh
# xarray 2026.9.0 with zarr 3.1.6 and NumPy 2.4.6: texts that were saved and opened again are missing where they are "".
# Seen: of "summer", "" and None `isnull` finds one; saved by `to_zarr` (v3) None is "", the texts come back as NumPy's
# StringDType, and `isnull` finds two: also the one that was never missing. `fillna` then overwrites it.
# Why it matters: "" is what a text coordinate of ours says where nobody has told; `dropna`, `fillna`, `count` treat it
# otherwise before and after a save. `StringDType` also refuses `astype(str)`, which texts of objects take.
# Exits 1 once that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile xarray==2026.9.0 zarr==3.1.6 numpy==2.4.6 pandas==3.1.1 dask==2026.8.0
cd "$folder"
venv/bin/python - <<'PYTHON'
import warnings

import numpy as np
import xarray as xr

warnings.simplefilter("ignore")
texts = xr.Dataset({"season": ("patch", np.array(["summer", "", None], object))})
assert int(texts.season.isnull().sum()) == 1
texts.to_zarr("texts.zarr", zarr_format=3)
back = xr.open_zarr("texts.zarr").season.load()
print(back.values.tolist(), int(back.isnull().sum()))
assert back.values.tolist() == ["summer", "", ""]
assert back.isnull().values.tolist() == [False, True, True]
try:
    back.values.astype(str)
except TypeError as error:
    print(error)
else:
    raise AssertionError("astype(str) takes StringDType now")
PYTHON
