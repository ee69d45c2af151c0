"""The store's own record of what it holds: which rows are stored, and which of them have a reference map."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import StoreAccessError
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import read_column
from bigearth_xr.store.schema import STATES, STORED
from bigearth_xr.verification.report import Finding

__all__ = ["Record", "read_record"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Record:
    """What a store says that it holds."""

    state: NDArray[np.uint8]
    """State of each row, shape ``(patch,)``; absent where it is not known."""

    mapped: NDArray[np.bool_]
    """Whether each row has a reference map, shape ``(patch,)``; False where it is not known."""

    is_known: bool
    """Whether the states could be read."""

    are_maps_known: bool
    """Whether it could be read which rows have maps; True of a store without maps."""

    findings: tuple[Finding, ...]
    """What is wrong with the record itself."""

    @property
    def stored(self) -> NDArray[np.bool_]:
        """Rows recorded as stored, shape ``(patch,)``."""
        stored: NDArray[np.bool_] = self.state == STORED
        return stored


def read_record(store: Store) -> Record:
    """Read what a store says that it holds, even if part of that cannot be read.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.open import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> record = read_record(store)
    >>> record.state, record.mapped, record.is_known
    (array([1, 1], dtype=uint8), array([ True,  True]), True)
    """
    failures = list(_check(store))
    failed = {finding.file for finding in failures}
    has_maps = "has_reference_map" in store.columns
    mapped = has_maps and "has_reference_map" not in failed
    return Record(
        state=np.zeros(store.rows, np.uint8) if "state" in failed else read_column(store, "state").copy(),
        mapped=read_column(store, "has_reference_map").copy() if mapped else np.zeros(store.rows, bool),
        is_known="state" not in failed,
        are_maps_known=mapped or not has_maps,
        findings=tuple(failures),
    )


def _check(store: Store) -> Iterator[Finding]:
    """Say which part of the record cannot be read, or holds what it cannot."""
    for name in ("state", "has_reference_map"):
        if name in store.columns:
            reason = _reason(store, name)
            if reason:
                message = (
                    f"{store.location / name}: {reason}; repair it from the indexes with --against ARCHIVE --repair"
                )
                yield Finding(kind="state", file=name, message=message)


def _reason(store: Store, name: str) -> str | None:
    try:
        values: NDArray[Any] = read_column(store, name)
    except StoreAccessError:
        raise
    except Exception as error:  # damaged bytes raise whatever their codec raises
        return f"cannot be read ({error})"
    if values.shape != (store.rows,):
        return f"has shape {values.shape}, expected ({store.rows},)"
    if name == "state" and (values >= len(STATES)).any():
        return f"holds {values.max()}, expected 0 to {len(STATES) - 1}"
    return None
