#!/bin/sh
# scikit-learn 1.9.1: `max_error` subtracts in the type that it is given; `mean_absolute_error` does not.
# Seen: of uint16 truth 1 and prediction 3 the mean error is 2.0, and the largest 65534: larger than any error there is.
# Why it matters: predicted reflectances, or counts, kept as digital numbers are scored wrong by one of two sister functions.
# Exits 1 once that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile scikit-learn==1.9.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from sklearn.metrics import max_error, mean_absolute_error

truth, predicted = np.array([1, 5], "uint16"), np.array([3, 5], "uint16")
found = float(mean_absolute_error(truth, predicted)), float(max_error(truth, predicted))
print(found)
assert found == (1.0, 65534.0)
PYTHON
