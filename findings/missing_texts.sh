#!/bin/sh
# xarray 2026.9.0 with zarr 3.1.6: `to_zarr` writes a missing text, None, as "".
# Seen: "a", "" and None read back as "a", "" and "": what nobody has said cannot be told from what was said to be empty.
# Why it matters: joined lists of patches keep their gaps as None only until they are saved; `isnull` then finds nobody.
# Exits 1 once that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet xarray==2026.9.0 zarr==3.1.6 numpy==2.4.6 pandas==3.1.1 dask==2026.8.0
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
assert int(back.isnull().sum()) == 0
PYTHON
