"""What became of each file of a download."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.filesize import decimal as in_bytes

from bigearth_xr.releases import Release

__all__ = ["DownloadReport", "FileOutcome"]


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
