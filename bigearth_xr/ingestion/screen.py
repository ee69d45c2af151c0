"""``bigearth ingest`` on the terminal: what was left out, and why."""

from collections.abc import Iterator

from rich.markup import escape

from bigearth_xr.ingestion.report import IngestReport

__all__ = ["left_out_lines"]

_COLORS = {"quarantined": "red", "truncated": "red", "damaged": "red", "refused": "red"}


def left_out_lines(report: IngestReport, most: int = 20) -> Iterator[str]:
    """Lay out what gave no row, or lacks something, by kind, name and reason: a table in rich's markup.

    Its lines are as long as they are: names are to be copied, and a narrow terminal breaks them itself.

    Parameters
    ----------
    report
        Of an ingest.
    most
        Lines at most; another one says how many there are more.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> archive = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=2)
    >>> _ = sorted(archive.rglob("*_B05.tif"))[0].write_bytes(b"")
    >>> for line in left_out_lines(bex.ingest(archive, getfixture("tmp_path") / "ben.zarr")):
    ...     print(line[:77].rstrip())
    [bold]what         patch                                              why[/]
    [red]quarantined[/]  S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_68_76  band
    """
    shown, rest = report.left_out[:most], len(report.left_out) - most
    widths = [max(map(len, column)) for column in zip(("what", "patch"), *(line[:2] for line in shown), strict=True)]
    yield f"[bold]{'what':<{widths[0]}}  {'patch':<{widths[1]}}  why[/]"
    for kind, name, reason in shown:
        color, gap = _COLORS.get(kind, "yellow"), " " * (widths[0] - len(kind))
        yield f"[{color}]{kind}[/]{gap}  {escape(name):<{widths[1]}}  {escape(_in_short(reason))}"
    if rest > 0:
        yield f"… and {rest:,} more; --report FILE writes all"


def _in_short(reason: str) -> str:
    """A reason without the place, which the name tells, and without what to do, which is the same for all."""
    problem = reason.rpartition("; ")[0] or reason
    return problem.partition(" is not used: ")[2] or problem
