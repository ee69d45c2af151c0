"""What was published about the two releases: sizes, splits, files, licence, papers.

Sources: sizes and splits recomputed from the published lists of v1 and the
metadata parquets of v2 (the tests do it again); checksums of v1 as torchgeo
verifies them, of v2 from hashes.txt of kai-tub/bigearthnet-pipeline; licence
and papers from https://bigearth.net.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bigearth_xr.errors import MetadataError, SelectionError
from bigearth_xr.spelling import check_choice, did_you_mean

__all__ = [
    "COUNTRIES",
    "LICENSE",
    "SEASONS",
    "SPLITS",
    "V1_FILES",
    "V2_FILES",
    "Part",
    "PublishedFile",
    "Release",
    "ReleaseFacts",
    "named_releases",
    "normalize_split",
    "release",
    "season_of",
]

Release = Literal["v1", "v2"]
"""``"v1"`` is BigEarthNet-MM (2021), ``"v2"`` is reBEN (2024)."""

Split = Literal["train", "validation", "test"]

Season = Literal["winter", "spring", "summer", "autumn"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
"""The official splits, in the order of their codes in the store."""

SEASONS: tuple[Season, ...] = ("winter", "spring", "summer", "autumn")
"""Meteorological seasons from December on, in the order of their codes in the store."""

COUNTRIES = (
    "Austria",
    "Belgium",
    "Finland",
    "Ireland",
    "Kosovo",
    "Lithuania",
    "Luxembourg",
    "Portugal",
    "Serbia",
    "Switzerland",
)
"""The ten countries, in the order of their codes in the store."""

LICENSE = "CDLA-Permissive-1.0"
"""SPDX identifier of the licence of both releases."""

_SPLIT_ALIASES = {"validation": "val"}


def _by_split(*pairs: int) -> Mapping[Split, int]:
    """Name the numbers of a table that is ordered like ``SPLITS``."""
    return dict(zip(SPLITS, pairs, strict=True))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A paper to cite."""

    title: str
    """Title of the paper."""

    doi: str
    """Digital object identifier, without ``https://doi.org/``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFacts:
    """The published numbers of one release."""

    release: Release
    """Which release."""

    title: str
    """Name in the literature."""

    pairs: int
    """Pairs of a Sentinel-1 and a Sentinel-2 patch."""

    products: int
    """Sentinel-2 L1C products that the patches were cut from."""

    tiles: int
    """MGRS tiles of these products."""

    split_pairs: Mapping[Split, int]
    """Recommended pairs by split."""

    country_pairs: Mapping[str, int]
    """Recommended pairs by country."""

    snow_pairs: int
    """Pairs listed with seasonal snow."""

    cloud_pairs: int
    """Pairs listed with cloud or shadow; none of them is listed with snow."""

    unlabelled_pairs: int
    """Pairs without any of the 19 classes, a few of them also snowy or cloudy."""

    files: tuple[PublishedFile, ...]
    """The files to download."""

    citation: Citation
    """The paper that introduced the release."""

    @property
    def recommended_pairs(self) -> int:
        """Pairs recommended for training and evaluation, over all splits."""
        return sum(self.split_pairs.values())

    @property
    def excluded_pairs(self) -> int:
        """Pairs that are not recommended: snow, cloud, shadow or no label."""
        return self.pairs - self.recommended_pairs


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


def _by_country(*pairs: int) -> Mapping[str, int]:
    """Name the numbers of a table that is ordered like ``COUNTRIES``."""
    return dict(zip(COUNTRIES, pairs, strict=True))


_V1 = ReleaseFacts(
    release="v1",
    title="BigEarthNet-MM",
    pairs=590_326,
    products=125,
    tiles=56,
    split_pairs=_by_split(269_695, 123_723, 125_866),
    country_pairs=_by_country(44_240, 11_556, 174_943, 49_197, 1_586, 55_513, 3_344, 99_174, 74_791, 4_940),
    snow_pairs=61_707,
    cloud_pairs=9_280,
    unlabelled_pairs=57,
    files=V1_FILES,
    citation=Citation(
        title=(
            "BigEarthNet-MM: A Large Scale Multi-Modal Multi-Label Benchmark Archive "
            "for Remote Sensing Image Classification and Retrieval"
        ),
        doi="10.1109/MGRS.2021.3089174",
    ),
)

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

_V2 = ReleaseFacts(
    release="v2",
    title="reBEN",
    pairs=549_488,
    products=115,
    tiles=54,
    split_pairs=_by_split(237_871, 122_342, 119_825),
    country_pairs=_by_country(43_797, 11_196, 155_227, 48_326, 1_616, 48_365, 3_460, 89_792, 73_385, 4_874),
    snow_pairs=60_773,
    cloud_pairs=8_677,
    unlabelled_pairs=0,
    files=V2_FILES,
    citation=Citation(
        title="reBEN: Refined BigEarthNet Dataset for Remote Sensing Image Analysis",
        doi="10.48550/arXiv.2407.03653",
    ),
)

RELEASES: Mapping[Release, ReleaseFacts] = {"v1": _V1, "v2": _V2}
"""Both releases by name."""


def release(name: Release) -> ReleaseFacts:
    """Look up what was published about a release.

    Raises
    ------
    SelectionError
        There is no such release.

    Examples
    --------
    >>> release("v2").recommended_pairs
    480038
    """
    check_choice("release", name, RELEASES, SelectionError)
    return RELEASES[name]


def named_releases(patches: Iterable[str]) -> set[Release | None]:
    """Tell the releases of patches from their ids: only those of v2 hold a processing baseline.

    Returns
    -------
    set
        Those that there are; None for names that are not ids of patches.
    """
    return {None if name[:2] != "S2" else "v2" if "_N" in name else "v1" for name in patches}


def normalize_split(name: str) -> Split:
    """Turn any of the spellings in use into ours.

    Raises
    ------
    SelectionError
        There is no such split.

    Examples
    --------
    >>> normalize_split("val")
    'validation'
    """
    for split in SPLITS:
        if name.lower() in (split, _SPLIT_ALIASES.get(split)):
            return split
    raise SelectionError(f"there is no split {name!r}; known are {', '.join(SPLITS)}{did_you_mean(name, SPLITS)}")


def season_of(month: int) -> Season:
    """Tell the meteorological season of a month.

    Parameters
    ----------
    month
        1 = January … 12 = December.

    Raises
    ------
    MetadataError
        There is no such month.

    Examples
    --------
    >>> season_of(12), season_of(3)
    ('winter', 'spring')
    """
    return SEASONS[season_codes(month)[()]]


def season_codes(months: ArrayLike) -> NDArray[np.uint8]:
    """Tell the meteorological seasons of many months.

    Parameters
    ----------
    months
        Integers of any shape; 1 = January … 12 = December.

    Returns
    -------
    NDArray[np.uint8]
        Same shape; positions in ``SEASONS``.

    Raises
    ------
    MetadataError
        There is no such month.

    Examples
    --------
    >>> season_codes([1, 6, 9, 12])
    array([0, 2, 3, 0], dtype=uint8)
    """
    number = np.asarray(months)
    strange = number[(number < 1) | (number > 12)]
    if strange.size:
        raise MetadataError(f"month {strange.flat[0]} does not exist; expected 1 to 12")
    codes: NDArray[np.uint8] = (number % 12 // 3).astype(np.uint8)
    return codes
