"""The files of a release, one after the other, each through several connections."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from os.path import expanduser
from pathlib import Path
from typing import Literal, get_args

from rich.filesize import decimal as in_bytes
from rich.table import Table

from bigearth_xr.download.connection import RetryPolicy
from bigearth_xr.download.transfer import Transfer, check_md5
from bigearth_xr.errors import DownloadError, SelectionError
from bigearth_xr.progress import ByteProgress, Progress
from bigearth_xr.releases import Part, PublishedFile, Release, release
from bigearth_xr.spelling import did_you_mean

__all__ = ["outcome_table"]

_COLORS = {"fetched": "green", "kept": "cyan", "failed": "red"}


def published_files(name: Release, parts: Iterable[Part] | None = None) -> tuple[PublishedFile, ...]:
    """Name the files of a release that hold these parts; all of them by default.

    Raises
    ------
    SelectionError
        If there is no such release or part, or the release has no such part.

    Examples
    --------
    >>> [file.name for file in published_files("v2", ["s2", "maps"])]
    ['BigEarthNet-S2.tar.zst', 'Reference_Maps.tar.zst']
    """
    files = release(name).files
    wanted = get_args(Part) if parts is None else tuple(parts)
    for part in wanted:
        if part not in get_args(Part):
            known = get_args(Part)
            raise SelectionError(f"there is no part {part!r}; known are {', '.join(known)}{did_you_mean(part, known)}")
        if parts is not None and part not in {file.part for file in files}:
            raise SelectionError(f"release {name} has no {part}; it has {', '.join(sorted({f.part for f in files}))}")
    return tuple(file for file in files if file.part in wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOutcome:
    """What became of one file."""

    name: str
    """File name."""

    state: Literal["fetched", "kept", "failed"]
    """``"kept"`` was there already. Both that and ``"fetched"`` have the published md5."""

    size: int | None
    """Bytes of the file; None if that never became known."""

    fetched_bytes: int = 0
    """Bytes that came over the network now, those fetched twice included."""

    seconds: float = 0.0
    """Time that took, the check of the md5 not included."""

    message: str = ""
    """Why it failed, and what to do."""

    @property
    def rate_mb_s(self) -> float:
        """Megabytes a second."""
        return self.fetched_bytes / 1e6 / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadReport:
    """The account of one download."""

    release: Release
    """Which release."""

    folder: Path
    """Where the files are."""

    files: tuple[FileOutcome, ...]
    """One for each file that was asked for."""

    @property
    def complete(self) -> bool:
        """Whether every file is there, with the published md5."""
        return not self.failures

    @property
    def failures(self) -> tuple[str, ...]:
        """One line for each file that is not there."""
        return tuple(one.message for one in self.files if one.state == "failed")

    def __str__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """Say in a line what was fetched."""
        fetched, kept, failed = (
            sum(one.state == state for one in self.files) for state in ("fetched", "kept", "failed")
        )
        size = in_bytes(sum(one.fetched_bytes for one in self.files))
        return f"{self.folder} ({self.release}): {fetched} files fetched, {kept} there already, {failed} failed; {size}"


def download(
    name: Release,
    folder: str | PathLike[str],
    *,
    parts: Iterable[Part] | None = None,
    source: str | None = None,
    files: Iterable[PublishedFile] | None = None,
    parallel: int = 4,
    retry: RetryPolicy | None = None,
    strict: bool = False,
) -> DownloadReport:
    """Fetch the published files of a release; continues where an earlier run ended, whatever ended it.

    Each file comes through several connections into ``NAME.part``, and gets its name when its md5 is the published
    one. A file that has its name already is only checked. A server that gives no ranges is read as one stream.

    Parameters
    ----------
    name
        ``"v1"`` or ``"v2"``.
    folder
        Where to; made if it is not there.
    parts
        ``"s1"``, ``"s2"``, ``"maps"``, ``"metadata"``: what the files hold; by default all that the release has.
    source
        Address of a folder that has copies of the files, such as a mirror; by default each file's own address.
    files
        Files to fetch instead of those of the release.
    parallel
        Connections at a time.
    retry
        How often and how long to try again.
    strict
        Raise at the end if any file failed.

    Returns
    -------
    DownloadReport
        What became of each file, and why.

    Raises
    ------
    SelectionError
        If there is no such release or part.
    DownloadError
        If the files do not fit on the disk, or, if `strict`, any of them failed.

    Examples
    --------
    >>> file = PublishedFile(name="x", part="maps", address="ftp://example.org/x", md5="0" * 32)
    >>> print(download("v2", getfixture("tmp_path") / "v2", files=[file]).failures[0])
    ftp://example.org/x: No connection adapters were found for 'ftp://example.org/x'
    """
    if parallel < 1:
        raise SelectionError(f"{parallel} connections cannot fetch anything; give 1 or more")
    wanted = published_files(name, parts) if files is None else tuple(files)
    root = Path(expanduser(folder))
    root.mkdir(parents=True, exist_ok=True)
    with ByteProgress() as progress:
        transfers = [
            Transfer(
                file,
                f"{source.rstrip('/')}/{file.name}" if source else file.address,
                root,
                parallel=parallel,
                retry=retry or RetryPolicy(),
                progress=progress,
            )
            for file in wanted
        ]
        report = DownloadReport(release=name, folder=root, files=_run(transfers, root, progress))
    if strict and not report.complete:
        raise DownloadError(f"{len(report.failures)} files could not be fetched:\n" + "\n".join(report.failures))
    return report


def outcome_table(report: DownloadReport) -> Table:
    """Lay out what became of each file."""
    table = Table("file", "state", *("size", "fetched", "time", "rate"), box=None, header_style="bold", pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
        column.no_wrap = True
    table.columns[0].overflow = "fold"
    for one in report.files:
        color = _COLORS[one.state]
        table.add_row(
            one.name,
            f"[{color}]{one.state}[/]",
            "?" if one.size is None else in_bytes(one.size),
            in_bytes(one.fetched_bytes),
            f"{one.seconds:,.0f} s",
            f"{one.rate_mb_s:,.1f} MB/s",
        )
    return table


def _run(transfers: list[Transfer], folder: Path, progress: Progress) -> tuple[FileOutcome, ...]:
    """Look at what is there, then at what the server has, then fetch."""
    outcomes: dict[str, FileOutcome] = {}
    for one in transfers:
        outcome = _look(one, progress)
        if outcome is not None:
            outcomes[one.file.name] = outcome
    due = [one for one in transfers if one.file.name not in outcomes]
    _check_space(due, folder)
    outcomes |= {one.file.name: _fetch(one) for one in due}
    return tuple(outcomes[one.file.name] for one in transfers)


def _look(one: Transfer, progress: Progress) -> FileOutcome | None:
    """Say what became of a file that need not, or cannot, be fetched."""
    try:
        if not one.path.exists():
            one.probe()
            return None
        check_md5(one.path, one.file.md5, progress.steps)
    except DownloadError as error:
        advice = "; it is not ours to overwrite: move it away to fetch the published one" if one.path.exists() else ""
        return FileOutcome(name=one.file.name, state="failed", size=None, message=f"{error}{advice}")
    return FileOutcome(name=one.file.name, state="kept", size=one.path.stat().st_size)


def _check_space(due: list[Transfer], folder: Path) -> None:
    """Refuse to begin what cannot end well."""
    needed, free = sum(one.missing_bytes for one in due), shutil.disk_usage(folder).free
    if needed > free:
        raise DownloadError(
            f"{folder}: {in_bytes(needed)} are to be fetched, {in_bytes(free)} are free; free some, choose fewer parts "
            f"of {', '.join(sorted({one.file.part for one in due}))}, or another folder"
        )


def _fetch(one: Transfer) -> FileOutcome:
    """Fetch a file, and say what became of it."""
    message = ""
    try:
        one.run()
    except DownloadError as error:
        message = str(error)
    except OSError as error:  # of this disk
        message = f"{one.path}: {error.strerror or error}; run it again when that is mended"
    if message and one.resumable:
        message += "; what was fetched is kept, and the next run goes on from there"
    return FileOutcome(
        name=one.file.name,
        state="failed" if message else "fetched",
        size=one.version.size if message else one.path.stat().st_size,
        fetched_bytes=one.fetched_bytes,
        seconds=one.seconds,
        message=message,
    )
