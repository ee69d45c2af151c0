"""The STAC catalogue of a release, built and searched as a user of the command line would."""

import subprocess
import sys
from pathlib import Path

import xarray as xr

from bigearth_xr.errors import BigEarthError
from bigearth_xr.report import Catalogue

__all__ = ["build_and_search"]


def build_and_search(source: Path, folder: Path, near: xr.Dataset) -> Catalogue:
    """Catalogue a store or the published lists, and search it with pystac for what was seen near a patch that month.

    The catalogue's package stands beside this one and is not imported: it is run, as from a terminal.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> store = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3)
    >>> build_and_search(store, getfixture("tmp_path") / "catalogue", bex.open(store).isel(patch=0)).items
    3
    """
    import pyarrow.parquet as pq
    import pystac

    lon, lat = near.lon.item(), near.lat.item()
    bbox = f"{lon - 0.05:.3f},{lat - 0.03:.3f},{lon + 0.05:.3f},{lat + 0.03:.3f}"
    month = str(near.s2_time.values)[:7]
    _run("build", str(source), "--out", str(folder))
    found = folder / "found.json"
    _run("search", str(folder), f"--bbox={bbox}", "--datetime", month, "--out", str(found))
    items = list(pystac.ItemCollection.from_file(str(found)))
    return Catalogue(
        items=pq.read_metadata(folder / "items.parquet").num_rows,
        search=f"patches near {near.patch.item()} in {near.s2_time.dt.strftime('%B %Y').item()}",
        found=tuple((item.id, item.properties.get("bigearth:country", ""), str(item.datetime)[:10]) for item in items),
    )


def _run(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bigearth_stac", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BigEarthError(f"bigearth-stac {' '.join(arguments)} failed: {done.stderr.strip()}")
