#!/bin/sh
# pyarrow 26.0.1: `compute.sum` of uint16 widens to uint64, `compute.cumulative_sum` stays uint16 and wraps.
# Seen: three times 60,000 sum to 180,000, and the running sum is 60,000, 54,464, 48,928; NumPy's cumsum widens.
# Why it matters: running counts of patches, or of bytes, over a small integer column of the table are wrong past 65,535.
# `cumulative_sum_checked` raises; a cast to int64 first is right.
# Exits 1 once that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile pyarrow==26.0.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import pyarrow as pa
import pyarrow.compute as pc

counts = pa.array([60_000] * 3, pa.uint16())
running = pc.cumulative_sum(counts)
print(pc.sum(counts), running.type, running.to_pylist())
assert pc.sum(counts).as_py() == 180_000
assert running.to_pylist() == [60_000, 54_464, 48_928]
assert pc.cumulative_sum(counts.cast("int64")).to_pylist() == [60_000, 120_000, 180_000]
PYTHON
