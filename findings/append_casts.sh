#!/bin/sh
# xarray 2026.9.0 with zarr 3.1.6: `to_zarr(append_dim=…)` and `to_zarr(region=…)` write floats into an array of uint16.
# Seen: NaN becomes 0, -1.7 becomes 65534 and 70000 becomes 4464; nothing is raised. Texts that are too long are refused.
# Why it matters: masked or resampled Sentinel-2 (`where`, bilinear) appended to digital numbers is wrong without a word,
# and the missing pixel is a dark one.
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
stored = xr.Dataset({"s2": ("patch", np.array([1, 2, 3], "uint16"))})
masked = xr.Dataset({"s2": ("patch", np.array([np.nan, -1.7, 70000.0]))})
stored.to_zarr("appended.zarr")
masked.to_zarr("appended.zarr", append_dim="patch")
stored.to_zarr("region.zarr")
masked.to_zarr("region.zarr", region={"patch": slice(0, 3)})
appended = xr.open_zarr("appended.zarr").s2.values.tolist()
region = xr.open_zarr("region.zarr").s2.values.tolist()
print(appended, region)
assert appended == [1, 2, 3, 0, 65534, 4464]
assert region == [0, 65534, 4464]
PYTHON
