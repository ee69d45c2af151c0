"""What an archive holds, as far as it matters to a store: patches, lists, labels, and the table they make."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc

from bigearth_xr.archive import Archive, PixelSource, survey_archive, tell_release
from bigearth_xr.archive.scan import Scan, release_of_list, scan
from bigearth_xr.archive.streams import is_address
from bigearth_xr.errors import MetadataError
from bigearth_xr.ingestion.request import Request
from bigearth_xr.progress import Progress
from bigearth_xr.releases import Release
from bigearth_xr.store.schema import PixelArray, pixel_arrays
from bigearth_xr.table import FoundLabels, from_archive, read_labels
from bigearth_xr.table.lists import find_lists, read_lists
from bigearth_xr.table.lists_v1 import V1_PAIRS

__all__ = ["list_folders", "read_inner_lists"]


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

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.location import location_of
    >>> archive = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=3)
    >>> request = Request(archive=(str(archive),), store=location_of("ben.zarr"), metadata=(), sensors=("s1", "s2"),
    ...                   bands=("B02", "VV"), rows="found", profile=None)
    >>> read_named_lists(request).release
    'v2'
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
    """Find the patches of a source and make the table of them.

    Parameters
    ----------
    source
        The archive.
    request
        What is wanted of it.
    lists
        What is known already; without, lists inside the archive are used.
    progress
        Shows the reading of JSONs.
    """
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
    """Read the lists that lie anywhere in an archive: the parquets of v2, or the one folder of v1's CSVs.

    Parameters
    ----------
    source
        The archive.
    release
        The release whose lists are wanted.
    files
        Those of its lists that are there, as `scan` found them.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.archive import open_archive
    >>> archive = open_archive(bex.testing.write_archive(getfixture("tmp_path") / "ben.tar", pairs=3, container="tar"))
    >>> len(read_inner_lists(archive.source, "v2", archive.metadata_files).columns["patch"])
    3
    """
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
