"""Let streams pass by, side by side, from one end to the other."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import takewhile
from pathlib import Path
from threading import Event

from bigearth_xr.archive import PixelSource
from bigearth_xr.archive.containers import Container, name_containers
from bigearth_xr.archive.joined import JoinedSource
from bigearth_xr.archive.pipe import Pipe
from bigearth_xr.archive.source import Refusal
from bigearth_xr.archive.stream_index import StreamIndex
from bigearth_xr.archive.tar_member import Member
from bigearth_xr.errors import DamagedError
from bigearth_xr.ingestion.arrivals import Arrivals, take_in
from bigearth_xr.ingestion.members import open_members
from bigearth_xr.progress import Progress

__all__ = ["forget_jsons", "pass_by"]


def pass_by(containers: Sequence[Container], arrivals: Arrivals | None, progress: Progress) -> PixelSource:
    """Go through containers at the same time, each in a thread.

    Parameters
    ----------
    containers
        What to go through. What comes through a pipe is kept, but for patches that are taken in.
    arrivals
        What to do with pixels; None to let them pass. What arrived is noted even if a stream fails.
    progress
        Shows how far each is.

    Returns
    -------
    PixelSource
        All that was seen, but for pixels.

    Raises
    ------
    OSError
        If the disk is full.
    DownloadError
        If a server gives up.
    DamagedError
        If compressed data are damaged.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_archive(getfixture("tmp_path") / "ben.tar.gz", pairs=1, container="tar.gz")
    >>> with Progress() as progress:
    ...     source = pass_by([str(path)], None, progress)
    >>> next(folder.path for folder in source.folders() if "metadata.parquet" in folder.files)
    'ben.tar.gz'
    """
    indexes = [StreamIndex(str(container)) for container in containers]
    is_over = Event()
    try:
        with ThreadPoolExecutor(len(indexes), thread_name_prefix="stream") as pool:
            try:
                passing = [
                    pool.submit(_pass_one, container, index, arrivals, progress, is_over)
                    for container, index in zip(containers, indexes, strict=True)
                ]
                for one in as_completed(passing):
                    one.result()
            finally:
                # Where one fails, or somebody presses Ctrl-C, the others stop at their next file.
                is_over.set()
    finally:
        if arrivals is not None:
            arrivals.staging.close()
            arrivals.staging.checkpoint()
            arrivals.slots.forget_numbers()
    _refuse_damaged(indexes)
    names = name_containers(containers)
    return JoinedSource(tuple(sorted(zip(names, indexes, strict=True), key=lambda part: part[0])))


def forget_jsons(passed: PixelSource) -> None:
    """Let go of the JSONs that passed by, once the labels have been read from them.

    Examples
    --------
    >>> forget_jsons(JoinedSource((("ben.tar.gz", StreamIndex("ben.tar.gz")),)))
    """
    if isinstance(passed, JoinedSource):
        for _, part in passed.parts:
            if isinstance(part, StreamIndex):
                part.forget_jsons()


def _refuse_damaged(indexes: Sequence[StreamIndex]) -> None:
    """Refuse containers whose compressed data are damaged; what came from others is kept."""
    damaged = [refusal.message for index in indexes for refusal in index.refusals() if refusal.kind == "damaged"]
    if damaged:
        raise DamagedError(
            "\n".join((*damaged, "nothing of it is stored, as its pixels may be wrong from any place on"))
        )


def _pass_one(
    container: Container, index: StreamIndex, arrivals: Arrivals | None, progress: Progress, is_over: Event
) -> None:
    """Go through one container until it ends, or all are to."""
    with open_members(container, progress.say) as passage:
        advance = progress.steps(Path(index.name).name, passage.size)
        shown = 0

        def show() -> None:
            nonlocal shown
            now = passage.position()
            if now != shown:
                advance(now - shown)
                shown = now

        members: Iterator[Member | Refusal] = takewhile(lambda _: not is_over.is_set(), passage.members)
        if isinstance(container, Pipe):
            members = container.keep(members, lambda name: arrivals is None or not arrivals.expects(name))
        take_in(members, index, arrivals, show)
