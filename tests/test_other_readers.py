"""What the page on opening says of readers that do not read a store."""

from pathlib import Path

import pytest

import bigearth_xr as bex


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("array", ["s1", "s2_10m", "reference_map"])
def test_gdal_opens_no_pixels(tmp_path: Path, array: str) -> None:
    import rasterio

    store = bex.testing.write_store(tmp_path / "ben.zarr", pairs=1)
    with pytest.raises(rasterio.errors.RasterioIOError):
        rasterio.open(f'ZARR:"{store}":/{array}').close()
