"""A patch is read whole, or the failure says which file is wrong and how."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from archives import at

from bigearth_xr.archive import Archive, PatchFiles, open_archive, read_patch
from bigearth_xr.errors import PatchError
from bigearth_xr.testing import encode_tiff

Change: TypeAlias = Callable[[Path, PatchFiles], object]


def broken(archive: Archive, change: Change) -> tuple[Archive, PatchFiles, str]:
    """Change the file of band B05 and read the patch."""
    patch = archive.patches[0]
    file = archive.root / patch.files["B05"]
    change(file, patch)
    return archive, patch, f"^{patch.patch}: band B05 \\({file}\\)"


def write(file: Path, patch: PatchFiles, **changes: Any) -> None:
    place: dict[str, Any] = {"epsg": patch.epsg, "ulx": patch.ulx, "uly": patch.uly}
    pixels = changes.pop("pixels", np.zeros((60, 60), "uint16"))
    file.write_bytes(encode_tiff(pixels, **place | changes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file, _: file.unlink(), "is missing; unpack or download the archive again, or ask for other bands"),
        (lambda file, _: (file.unlink(), file.mkdir()), r"cannot be read \(.*\); check the file system"),
        (lambda file, _: file.write_bytes(b""), "is empty"),
        (lambda file, _: file.write_bytes(file.read_bytes()[:50]), "is not a readable GeoTIFF"),
        (lambda file, _: file.write_bytes(file.read_bytes()[:-9]), "is cut short: it has [0-9,]+ bytes"),
        (
            lambda file, patch: write(file, patch, pixels=np.zeros((20, 20), "uint16")),
            r"shape is \(20, 20\), expected \(60, 60\)",
        ),
        (
            lambda file, patch: write(file, patch, pixels=np.zeros((60, 60), "float32")),
            "dtype is float32, expected uint16",
        ),
        (
            lambda file, patch: write(file, patch, epsg=32601),
            "coordinate reference system is EPSG:32601, expected EPSG:32633",
        ),
        (lambda file, patch: write(file, patch, ulx=0), r"upper left corner is \(0\.0, "),
    ],
)
def test_a_broken_band_is_named_with_its_patch_and_file(v2: Path, change: Change, message: str) -> None:
    archive, patch, where = broken(open_archive(v2), change)
    with pytest.raises(PatchError, match=f"{where}:? {message}"):
        read_patch(archive, patch)
    # The other patches are none the worse for it.
    for other in archive.patches[1:]:
        read_patch(archive, other)


def test_a_broken_reference_map_is_named(v2: Path) -> None:
    archive = open_archive(v2)
    patch = archive.patches[0]
    at(v2, patch.reference_map).write_bytes(b"II*\0")
    with pytest.raises(PatchError, match=r"band reference_map \(.*_reference_map.tif\) is not a readable"):
        read_patch(archive, patch)


def test_a_patch_without_a_reference_map_is_read_without_it(v2: Path) -> None:
    patch = open_archive(v2).patches[0]
    shutil.rmtree(at(v2, patch.reference_map).parent)
    archive = open_archive(v2)
    assert archive.has_reference_maps
    assert archive.problems == ()
    assert read_patch(archive, archive.patches[0]).reference_map is None
    assert read_patch(archive, archive.patches[1]).reference_map is not None


def test_a_v1_patch_with_a_malformed_json_is_refused(v1: Path) -> None:
    archive = open_archive(v1)
    at(v1, archive.patches[0].s2_json).write_text("{}{}")
    with pytest.raises(PatchError, match="is not valid JSON"):
        read_patch(archive, archive.patches[0])
