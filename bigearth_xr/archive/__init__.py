"""The raw archive, read-only: opens either release, reads one patch at a time."""

from bigearth_xr.archive.discover import choose_bands, open_archive, survey_archive, tell_release
from bigearth_xr.archive.names import parse_s1, parse_s2
from bigearth_xr.archive.patch_files import (
    Archive,
    PatchFiles,
    PatchMetadata,
    PatchPixels,
    Problem,
    read_metadata,
    read_patch,
    read_pixels,
)
from bigearth_xr.archive.source import PixelSource

__all__ = [
    "Archive",
    "PatchFiles",
    "PatchMetadata",
    "PatchPixels",
    "PixelSource",
    "Problem",
    "choose_bands",
    "open_archive",
    "parse_s1",
    "parse_s2",
    "read_metadata",
    "read_patch",
    "read_pixels",
    "survey_archive",
    "tell_release",
]
