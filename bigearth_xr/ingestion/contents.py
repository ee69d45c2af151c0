"""What is asked of an archive, and what it holds: patches, lists, labels, and the table that they make."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bigearth_xr.archive import Archive, PixelSource, survey_archive, tell_release
from bigearth_xr.archive.containers import expand
from bigearth_xr.archive.scan import Scan, release_of_list, scan
from bigearth_xr.archive.streams import is_address
from bigearth_xr.bands import Sensor
from bigearth_xr.errors import ArchiveNotFoundError, MetadataError, SelectionError, StoreError
from bigearth_xr.progress import Progress
from bigearth_xr.releases import Release
from bigearth_xr.spelling import check_choice
from bigearth_xr.store.codec import PROFILES, ProfileName
from bigearth_xr.store.location import Location
from bigearth_xr.store.schema import PixelArray, pixel_arrays
from bigearth_xr.table import FoundLabels, from_archive, read_labels, read_lists
from bigearth_xr.table.assembly import Rows
from bigearth_xr.table.lists import find_lists
from bigearth_xr.table.lists_v1 import V1_PAIRS

__all__ = ["check_count", "list_folders", "name_of", "read_inner_lists", "texts_of"]

_MOST_NAMED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller asked `ingest` for."""

    archive: tuple[str, ...]
    """Folders, tars, their parts, LMDBs, addresses or ``-`` that together are the archive, at least one."""

    store: Location
    """Where the store is, or is to be."""

    metadata: tuple[Path, ...]
    """Lists named by the caller; none for those inside the archive."""

    sensors: tuple[Sensor, ...]
    """Sensors to store."""

    bands: tuple[str, ...]
    """Bands to store."""

    rows: Rows
    """Whether listed pairs that were not found get rows too."""

    profile: ProfileName | None
    """How to encode pixels; None for the store's own, or `fast`."""

    @property
    def name(self) -> str:
        """What the archive is called in messages."""
        return name_of(self.archive)

    def pixel_arrays(self, *, reference_map: bool = False) -> tuple[PixelArray, ...]:
        """The arrays of the bands that are to be stored, with or without that of the reference maps."""
        return pixel_arrays(self.bands, reference_map=reference_map)


def name_of(archive: Sequence[str]) -> str:
    """Name an archive by its paths, as many as a line holds.

    Examples
    --------
    >>> name_of(["S1.tar", "S2.tar"]), name_of([f"S2.tar.gza{letter}" for letter in "abcdef"])
    ('S1.tar, S2.tar', 'S2.tar.gzaa, S2.tar.gzab, S2.tar.gzac and 3 more')
    """
    few = archive if len(archive) <= _MOST_NAMED else archive[: _MOST_NAMED - 1]
    more = f" and {len(archive) - len(few):,} more" if len(few) < len(archive) else ""
    return f"{', '.join(few)}{more}"


def texts_of(places: object, name: str) -> tuple[str, ...]:
    """Take paths or addresses, one or several, as texts; ``~`` is the home folder, a pattern all that it matches.

    Examples
    --------
    >>> texts_of("ben-v2", "archive"), texts_of([Path("S1.tar"), "S2.tar"], "archive")
    (('ben-v2',), ('S1.tar', 'S2.tar'))
    """
    several = (places,) if isinstance(places, str | bytes | PathLike) or not isinstance(places, Iterable) else places
    texts: list[str] = []
    for place in several:
        text = fspath(place) if isinstance(place, PathLike) else place
        if not isinstance(text, str) or not text or "\0" in text:
            raise SelectionError(f"{name} is {place!r}, expected a path or an address, or several of them")
        texts += expand(text)
    return tuple(texts)


def check_count(name: str, number: object) -> None:
    """Refuse what is not a number of things."""
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
        raise SelectionError(f"{name} is {number!r}, expected a whole number, at least 1")


def check_request(request: Request) -> None:
    """Refuse what no archive can make sense of, before anything is read."""
    check_choice("rows", request.rows, get_args(Rows), SelectionError)
    check_choice("profile", request.profile, (*PROFILES, None), StoreError)
    if not request.archive:
        raise ArchiveNotFoundError("no archive was given; give a folder, a tar or an address")
    if request.store.local is not None:
        _check_folder(request, request.store.local.resolve())


def _check_folder(request: Request, store: Path) -> None:
    """Refuse a folder that cannot be made, or would make the archive another one."""
    for folder in store.parents:
        if folder.is_file():
            raise StoreError(
                f"{request.store}: {folder} is a file, so no store can be made below; choose another place"
            )
    for one in request.archive:
        if not is_address(one) and store.is_relative_to(Path(one).resolve()):
            raise StoreError(
                f"{request.store}: lies in the archive {one}, which an ingest leaves as it is; choose a place outside"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """What the published lists say."""

    place: str
    """Where they are, for messages."""

    release: Release
    """The release whose they are."""

    columns: Mapping[str, pa.Array]
    """Arrays of one length by column name, as `bigearth_xr.table.assemble` takes them."""

    def pairs_of(self, found: Scan) -> dict[str, str]:
        """Sentinel-1 name by patch id, of the pairs of which a half was found."""
        columns = [self.columns[name] for name in ("patch", "s1_name")]
        halves = [
            pc.is_in(column, pa.array(names, pa.string()))
            for column, names in zip(columns, (found.s2, found.s1), strict=True)
        ]
        wanted = pc.or_(*halves)
        return dict(zip(*(column.filter(wanted).to_pylist() for column in columns), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """An archive, read but for its pixels."""

    archive: Archive
    """Its patches and problems."""

    lists: Lists | None
    """What the lists say, where there are any."""

    labels: FoundLabels
    """What its JSONs say."""

    table: pa.Table
    """A row for each patch that the store is to have room for."""

    @property
    def is_cut_short(self) -> bool:
        """Whether a container ended early, so that there may be more patches than were found."""
        return _is_cut_short(self.archive)

    @property
    def unlisted(self) -> int:
        """Patches that the lists do not mention; 0 without lists."""
        if self.lists is None:
            return 0
        patches = pa.array([patch.patch for patch in self.archive.patches], pa.string())
        return len(patches) - int(pc.sum(pc.is_in(self.lists.columns["patch"], patches)).as_py() or 0)

    @property
    def arrays(self) -> tuple[PixelArray, ...]:
        """The arrays that the store is to have."""
        return pixel_arrays(self.archive.bands, reference_map=self.archive.has_reference_maps)


def read_named_lists(request: Request) -> Lists | None:
    """Read the lists that the caller named, or those at the top of a folder of the archive, or in its ``lists``.

    Where lists are among the archive's paths, as by a pattern, those in their folder are read.
    """
    folders = (folder / below for folder in list_folders(request.archive) for below in ("", "lists"))
    places = request.metadata or tuple(folder for folder in folders if folder.is_dir() and find_lists(folder))[:1]
    if not places:
        return None
    release, columns = read_lists(places)
    return Lists(place=str(places[0]), release=release, columns=columns)


def list_folders(archive: Iterable[str]) -> Iterator[Path]:
    """Give the folders among the paths of an archive, and those of the lists among them.

    Examples
    --------
    >>> list(list_folders(["https://example.org/S2.tar", "ben-v2", "ben-v2/metadata.parquet"]))
    [PosixPath('ben-v2'), PosixPath('ben-v2')]
    """
    for path in (Path(one) for one in archive if not is_address(one)):
        yield path.parent if release_of_list(path.name) else path


def read_contents(source: PixelSource, request: Request, lists: Lists | None, progress: Progress) -> Contents:
    """Find the patches of a source and make the table of them; without given lists, with those inside the archive."""
    found = scan(source)
    release = tell_release(found, request.name)
    if lists is None:
        lists = read_inner_lists(source, release, found.metadata_files[release])
    archive = survey_archive(
        source,
        name=request.name,
        sensors=request.sensors,
        bands=request.bands,
        pairs={} if lists is None else lists.pairs_of(found),
        found=found,
    )
    del found  # of a whole release 200 MB
    if lists is not None and lists.release != archive.release:
        raise MetadataError(
            f"{lists.place}: lists of {lists.release}, but {request.name} is an archive of {archive.release}; give the "
            "metadata of its own release"
        )
    labels = read_labels(archive, lambda patches: progress.over(patches, "metadata"))
    is_cut_short = _is_cut_short(archive)
    # Of an archive that goes on, not all patches were seen: those that are listed get their rows now.
    rows = request.rows if not is_cut_short else "listed"
    table = from_archive(archive, None if lists is None else lists.columns, rows=rows, labels=labels)
    return Contents(archive=archive, lists=lists, labels=labels, table=table)


def _is_cut_short(archive: Archive) -> bool:
    return any(problem.kind in ("truncated", "damaged") for problem in archive.problems)


def read_inner_lists(source: PixelSource, release: Release, files: Sequence[str]) -> Lists | None:
    """Read the lists that lie anywhere in an archive: the parquets of v2, or the one folder of v1's CSVs."""
    if release == "v1":
        folders = sorted({file.rpartition("/")[0] for file in files if V1_PAIRS in file})[:1]
        files = [file for file in files if file.rpartition("/")[0] in folders]
    if not files:
        return None
    with TemporaryDirectory() as folder:
        # Arrow reads files, and an archive need not be made of any.
        for file in files:
            (Path(folder) / PurePosixPath(file).name).write_bytes(source.read(file))
        try:
            release, columns = read_lists([Path(folder)], release)
        except MetadataError as error:
            places = source.locate(files[0].rpartition("/")[0])
            raise MetadataError(str(error).replace(folder, places)) from None
    return Lists(place=source.locate(files[0]), release=release, columns=columns)
