"""``bigearth download`` on the terminal."""

from rich.filesize import decimal as in_bytes
from rich.table import Table

from bigearth_xr.download.report import DownloadReport

__all__ = ["outcome_table"]

_COLORS = {"fetched": "green", "kept": "cyan", "failed": "red"}


def outcome_table(report: DownloadReport) -> Table:
    """Lay out what became of each file.

    Examples
    --------
    >>> from pathlib import Path
    >>> from bigearth_xr.download.report import FileOutcome
    >>> outcome = FileOutcome(name="x", state="fetched", size=5_000_000, fetched_bytes=5_000_000, seconds=2.0)
    >>> table = outcome_table(DownloadReport(release="v2", folder=Path("v2"), files=(outcome,)))
    >>> [next(iter(column.cells)) for column in table.columns]
    ['x', '[green]fetched[/]', '5.0 MB', '5.0 MB', '2 s', '2.5 MB/s']
    """
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
