"""Show on a terminal what of a release is here."""

from rich.table import Table

from bigearth_xr.verification.completeness import Completeness

__all__ = ["tally_table"]


def tally_table(found: Completeness) -> Table:
    """Lay out the counts of a store beside the published ones, and those of the lists that were given.

    Examples
    --------
    >>> tally_table(Completeness(tallies=(), lacking=(), unlisted=(), complete=True)).row_count
    0
    """
    has_lists = any(tally.listed is not None for tally in found.tallies)
    table = Table("pairs", box=None, pad_edge=False)
    for heading in ("published", *(["listed"] if has_lists else []), "rows", "stored"):
        table.add_column(heading, justify="right")
    for tally in found.tallies:
        listed = [f"{tally.listed:,}"] if tally.listed is not None else []
        # Splits and countries are parts of the recommended pairs.
        name = tally.name if tally.group == "release" else f"  {tally.name}"
        table.add_row(name, f"{tally.published:,}", *listed, f"{tally.rows:,}", f"{tally.stored:,}")
    return table
