#!/bin/sh
# scipy 1.17.1: filters of `scipy.ndimage` give the type that they get, so that a falling edge of uint16 wraps.
# Seen: sobel of columns 5, 3, 1 is 65528, 65520, 65528 where -8, -16, -8 is right; `output="float32"` is right.
# Why it matters: edges and textures of digital numbers are bright wherever the image gets darker.
# Exits 1 once that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile scipy==1.17.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from scipy import ndimage

falling = np.array([[5, 3, 1]] * 3, "uint16")
print(ndimage.sobel(falling)[1], ndimage.sobel(falling, output="float32")[1])
assert ndimage.sobel(falling)[1].tolist() == [65528, 65520, 65528]
assert ndimage.sobel(falling, output="float32")[1].tolist() == [-8, -16, -8]
PYTHON
