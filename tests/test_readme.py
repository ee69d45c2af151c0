"""The README's first page: what it shows runs as it stands, one block after the other."""

import re
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import rasterio

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # of the affine that rioxarray uses
def test_a_store_a_patch_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    first, second, *_ = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(first, names)
    assert names["ndvi"].dims == ("patch", "y", "x")
    exec(second, names)
    one = names["one"]
    with rasterio.open("patch.tif") as file:
        assert file.descriptions == tuple(one.band.values)
        np.testing.assert_array_equal(file.read(), one)
    plt.close("all")
