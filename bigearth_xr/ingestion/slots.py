"""Where the pixels of a stream go before all of it was seen: a slot for every patch that may come."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["Slots"]

_COLUMNS = ("patch", "s1_name", "epsg", "ulx", "uly")


@dataclass(frozen=True)
class Slots:
    """Patches in the order of their slots.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> archive = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=3)
    >>> slots = Slots.of_table(bex.table.from_lists(archive))
    >>> len(slots), len(slots.numbers)
    (3, 6)
    """

    table: pa.Table
    """Rows in the order of the slots: ``patch``, ``s1_name``, ``epsg``, ``ulx`` and ``uly``."""

    @classmethod
    def of_table(cls, table: pa.Table) -> "Slots":
        """Give every row of a table a slot."""
        return cls(table.select(_COLUMNS))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Slot by the name of either half."""
        numbers = {name: slot for slot, name in enumerate(self.table["s1_name"].to_pylist()) if name}
        return numbers | {name: slot for slot, name in enumerate(self.table["patch"].to_pylist())}

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """EPSG code, easting and northing in metres of the upper left corner, shape ``(slot, 3)``."""
        return np.stack([self.table[name].to_numpy().astype(np.int64) for name in _COLUMNS[2:]], axis=1)

    @cached_property
    def identity(self) -> str:
        """Digest of which patch has which slot."""
        return hashlib.sha256("\n".join(self.table["patch"].to_pylist()).encode()).hexdigest()

    def name(self, slot: int) -> str:
        """Find the patch id of a slot."""
        return str(self.table["patch"][slot].as_py())

    def forget_numbers(self) -> None:
        """Free `numbers`, 400 bytes a patch, until somebody asks again."""
        self.__dict__.pop("numbers", None)

    def of(self, patches: pa.ChunkedArray) -> NDArray[np.intp]:
        """Find the slots of patches, shape ``(patch,)``; -1 where one has none."""
        found = pc.index_in(patches.combine_chunks(), self.table["patch"].combine_chunks())
        slots: NDArray[np.intp] = found.fill_null(-1).to_numpy().astype(np.intp)
        return slots

    def and_more(self, table: pa.Table) -> "Slots":
        """Add slots for the patches of a table that have none yet."""
        new = table.filter(pa.array(self.of(table["patch"]) < 0))
        return Slots(pa.concat_tables([self.table, new.select(_COLUMNS)]).combine_chunks())
