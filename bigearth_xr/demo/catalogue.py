"""The STAC catalogue of a release, built and searched as a user of the command line would."""

import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

import xarray as xr

from bigearth_xr.errors import BigEarthError
from bigearth_xr.report import Catalogue

__all__ = ["CatalogueBuild"]

_COMMANDS = """
import sys
from bigearth_stac.cli import main
for line in sys.stdin:
    sys.argv[1:] = line.rstrip("\\n").split("\\t")
    try:
        main()
    except SystemExit as done:
        if done.code:
            raise
"""
"""Carries out commands, one a line, in one process: starting it costs as much as a search."""


class CatalogueBuild:
    """A catalogue that a process of its own builds and searches, while this one goes on.

    The catalogue's package stands beside this one and is not imported: it is run, as from a terminal.

    Parameters
    ----------
    folder
        Where the catalogue is written to.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> store = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3)
    >>> with CatalogueBuild(getfixture("tmp_path") / "catalogue") as catalogue:
    ...     catalogue.start(store)
    ...     catalogue.search(bex.open(store).isel(patch=0))
    ...     catalogue.result().items
    3
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._searched = ""

    def __enter__(self) -> "CatalogueBuild":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if self._process is not None:
            if kind is not None:
                self._process.kill()
            self._process.communicate()

    def start(self, source: Path) -> None:
        """Catalogue a store or the published lists; nothing where pystac is not installed."""
        if find_spec("pystac") is None:
            return
        self._process = subprocess.Popen(
            [sys.executable, "-c", _COMMANDS],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._run("build", str(source), "--out", str(self._folder))

    def search(self, near: xr.Dataset) -> None:
        """Search it, once it is there, for what was seen near a patch that month."""
        lon, lat = near.lon.item(), near.lat.item()
        bbox = f"{lon - 0.05:.3f},{lat - 0.03:.3f},{lon + 0.05:.3f},{lat + 0.03:.3f}"
        month = str(near.s2_time.values)[:7]
        self._searched = f"patches near {near.patch.item()} in {near.s2_time.dt.strftime('%B %Y').item()}"
        self._run("search", str(self._folder), f"--bbox={bbox}", "--datetime", month, "--out", str(self._found))

    def result(self) -> Catalogue | None:
        """Wait for what was found; None where it was not started.

        Raises
        ------
        BigEarthError
            If building or searching failed.
        """
        if self._process is None:
            return None
        import pyarrow.parquet as pq
        import pystac

        _, said = self._process.communicate()
        if self._process.returncode:
            raise BigEarthError(f"bigearth-stac failed for {self._folder}: {said.strip()}")
        items = list(pystac.ItemCollection.from_file(str(self._found)))
        return Catalogue(
            items=pq.read_metadata(self._folder / "items.parquet").num_rows,
            search=self._searched,
            found=tuple(
                (item.id, item.properties.get("bigearth:country", ""), str(item.datetime)[:10]) for item in items
            ),
        )

    @property
    def _found(self) -> Path:
        return self._folder / "found.json"

    def _run(self, *arguments: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError):  # it failed, which `result` tells
                self._process.stdin.write("\t".join(arguments) + "\n")
                self._process.stdin.flush()
