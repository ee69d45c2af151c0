#!/bin/sh
# xarray 2026.9.0: an empty slice with a negative step of a lazily opened array raises, where NumPy gives no elements.
# Seen: `ds.a.isel(x=slice(2, 9, -1))` has size 0 and prints so; its values raise IndexError: range object index out of
# range. Loaded first, the same line gives an empty array.
# Why it matters: windows that are computed (backwards from an edge) are empty now and then; with chunks or in memory the
# same program runs, and on a store opened without chunks it ends.
# Exits 1 once that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile xarray==2026.9.0 zarr==3.1.6 numpy==2.4.6 pandas==3.1.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import warnings

import numpy as np
import xarray as xr

warnings.simplefilter("ignore")
xr.Dataset({"a": ("x", np.arange(12))}).to_zarr("twelve.zarr")
lazy = xr.open_zarr("twelve.zarr", chunks=None).a
chosen = lazy.isel(x=slice(2, 9, -1))
assert chosen.sizes == {"x": 0}
try:
    chosen.values
except IndexError as error:
    print("IndexError:", error)
    assert "range object index out of range" in str(error)
else:
    raise SystemExit("gives values now")
loaded = lazy.load().isel(x=slice(2, 9, -1)).values
print(loaded.tolist())
assert loaded.size == 0
PYTHON
