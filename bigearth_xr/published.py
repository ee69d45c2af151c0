"""The files of the two releases, where to find them, and their checksums.

Sources: checksums of v1 as torchgeo verifies them, of v2 from hashes.txt of kai-tub/bigearthnet-pipeline.
"""

from dataclasses import dataclass
from typing import Literal

__all__ = ["V1_FILES", "V2_FILES", "Part", "PublishedFile"]

Part = Literal["s1", "s2", "maps", "metadata"]
"""What a file holds: the patches of a sensor, reference maps, or the lists of labels and splits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """One file of a release, as its publisher offers it."""

    name: str
    """File name."""

    part: Part
    """What it holds."""

    address: str
    """Where to download it."""

    md5: str
    """Checksum, hexadecimal."""


def _zenodo(record: int, name: str, part: Part, md5: str) -> PublishedFile:
    """Name a file of a Zenodo record."""
    address = f"https://zenodo.org/records/{record}/files/{name}"
    return PublishedFile(name=name, part=part, address=address, md5=md5)


def _split_list(name: str, md5: str) -> PublishedFile:
    """Name a split list of v1, at the commit whose checksums are known."""
    folder = (
        "https://git.tu-berlin.de/rsim/BigEarthNet-MM_19-classes_models/-/raw/"
        "9a5be07346ab0884b2d9517475c27ef9db9b5104/splits"
    )
    return PublishedFile(name=name, part="metadata", address=f"{folder}/{name}?inline=false", md5=md5)


V1_FILES: tuple[PublishedFile, ...] = (
    _zenodo(12687186, "BigEarthNet-S1-v1.0.tar.gz", "s1", "94ced73440dea8c7b9645ee738c5a172"),
    _zenodo(12687186, "BigEarthNet-S2-v1.0.tar.gz", "s2", "5a64e9ce38deb036a435a7b59494924c"),
    _split_list("train.csv", "623e501b38ab7b12fe44f0083c00986d"),
    _split_list("val.csv", "22efe8ed9cbd71fa10742ff7df2b7978"),
    _split_list("test.csv", "697fb90677e30571b9ac7699b7e5b432"),
)
"""v1: one archive a sensor, and the official splits."""

V2_FILES: tuple[PublishedFile, ...] = (
    _zenodo(10891137, "BigEarthNet-S1.tar.zst", "s1", "a55eaa2cdf6a917e296bd6601ec1e348"),
    _zenodo(10891137, "BigEarthNet-S2.tar.zst", "s2", "2245ed2d1a93f6ce637d839bc856396e"),
    _zenodo(10891137, "Reference_Maps.tar.zst", "maps", "95d85a222fa983faddcac51a19f28917"),
    _zenodo(10891137, "metadata.parquet", "metadata", "55687065e77b6d0b0f1ff604a6e7b49c"),
    _zenodo(
        10891137,
        "metadata_for_patches_with_snow_cloud_or_shadow.parquet",
        "metadata",
        "fe31856f4986d446c9468b59d6387c91",
    ),
)
"""v2: one archive a sensor, one of reference maps, and two parquets of metadata."""
