"""Nothing that came out of a damaged compressed stream is kept, and what came from others is."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from holdings import holdings

import bigearth_xr as bex
from bigearth_xr.archive.source import Data
from bigearth_xr.archive.tiff import decode_band
from bigearth_xr.bands import Band
from bigearth_xr.errors import DamagedError
from bigearth_xr.ingestion import stream
from bigearth_xr.store.create import describe
from bigearth_xr.testing import write_archive
from bigearth_xr.testing.container import Container
from bigearth_xr.testing.faults import flipped

PAIRS = 40

streams = pytest.mark.parametrize("container", ["tar.gz", "tar.zst"])


@pytest.fixture
def published(tmp_path: Path, container: Container) -> Path:
    """A file for each sensor and one of maps, with lists beside them."""
    return write_archive(tmp_path / "ben", pairs=PAIRS, container=container, as_published=True)


@pytest.mark.sampled(2)
@streams
@pytest.mark.parametrize("at", [0.02, 0.3, 0.7, -3], ids=lambda at: f"at {at}")
def test_a_flipped_byte_stores_no_wrong_pixel(published: Path, container: Container, tmp_path: Path, at: float) -> None:
    harmed = shutil.copytree(published, tmp_path / "harmed")
    # The last bytes of both formats are checksums: then every pixel has passed by when the damage shows.
    where = (harmed / f"BigEarthNet-S2.{container}").stat().st_size + int(at) if at < 0 else at
    flipped(published / f"BigEarthNet-S2.{container}", harmed / f"BigEarthNet-S2.{container}", at=where)
    with pytest.raises(DamagedError, match=rf"BigEarthNet-S2\.{container} is damaged"):
        bex.ingest(harmed, tmp_path / "ben.zarr")
    assert describe(tmp_path / "ben.zarr")["incomplete"]
    state = bex.open(tmp_path / "ben.zarr", states="all").state
    assert not (state == "stored").any()
    report = bex.ingest(published, tmp_path / "ben.zarr")
    assert (report.complete, report.stored) == (True, PAIRS)
    bex.ingest(published, tmp_path / "fresh.zarr")
    assert holdings(tmp_path / "ben.zarr") == holdings(tmp_path / "fresh.zarr")
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".ingest", ".lock", ".partial")]


@streams
def test_what_came_from_other_streams_need_not_come_again(
    published: Path, container: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harmed = shutil.copytree(published, tmp_path / "harmed")
    flipped(published / f"BigEarthNet-S2.{container}", harmed / f"BigEarthNet-S2.{container}", at=0.5)
    with pytest.raises(DamagedError):
        bex.ingest(harmed, tmp_path / "ben.zarr")
    decoded = set()

    def counting(data: Data, *, band: Band, **place: Any) -> object:
        decoded.add(band.sensor)
        return decode_band(data, band=band, **place)

    monkeypatch.setattr(stream, "decode_band", counting)
    assert bex.ingest(published, tmp_path / "ben.zarr").stored == PAIRS
    assert decoded == {"s2"}
