"""What happens to patches between the store and a batch: absent ones refused, checksums verified, bytes decoded."""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import ChecksumError
from bigearth_xr.store.codec import CRC_BYTES, are_sound, checked, unpack
from bigearth_xr.store.crew import Crew
from bigearth_xr.store.patches import fill_or_refuse, named, on_read
from bigearth_xr.store.read import Store
from bigearth_xr.store.rows import Wanted
from bigearth_xr.store.schema import PixelArray
from bigearth_xr.store.shard import shard_key

__all__ = ["CHECKS", "Checks", "Patches", "Shards", "decode", "refuse_absent", "verify"]

Checks = Literal["always", "first", "never"]
"""When a patch's checksum is verified: every time, the first time that a process reads it, or not at all."""

CHECKS: tuple[Checks, ...] = ("always", "first", "never")


class Patches(Protocol):
    """Encoded patches of one array, looked up."""

    @property
    def wanted(self) -> Wanted:
        """Which."""

    @property
    def there(self) -> NDArray[np.bool_]:
        """Which are not absent, shape ``(patch,)``."""

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Which were read before, by this process and in this version, shape ``(patch,)``."""

    def chunks(self, which: NDArray[np.intp]) -> list[NDArray[np.uint8]]:
        """The bytes of some of them, checksum included."""

    def will_need(self, which: NDArray[np.intp]) -> None:
        """Have the system read some of them from disk."""

    def note_seen(self, which: NDArray[np.intp]) -> None:
        """Remember that these were read, and are what was written."""


class Shards(Protocol):
    """The shards of one pixel array."""

    @property
    def array(self) -> PixelArray:
        """The array."""

    def look_up(self, wanted: Wanted) -> Patches:
        """Find patches."""


def refuse_absent(store: Store, array: PixelArray, patches: Patches, mapless: NDArray[np.bool_]) -> None:
    """Refuse patches that an array does not hold, but for reference maps that stored patches lack.

    Parameters
    ----------
    store, array, patches
        What was looked up.
    mapless
        Rows that are known to be stored without a map, shape ``(row,)``; grows.

    Raises
    ------
    NotStoredError
        Names the first patch, and how many more there are.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.mapped import MappedShards
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> patches = MappedShards(store, store.array("s1")).look_up(Wanted.of(np.array([2, 0])))
    >>> refuse_absent(store, store.array("s1"), patches, np.zeros(3, bool))
    """
    there = patches.there
    if not there.all():
        absent = patches.wanted.rows[~there]
        unknown = absent[~mapless[absent]]
        if unknown.size:
            # Nothing but maps gets past this.
            fill_or_refuse(store, array, unknown)
            mapless[unknown] = True
    for listener in on_read:
        for row in patches.wanted.rows[there].tolist():
            listener(array.name, row)


def verify(store: Store, arrays: Sequence[PixelArray], found: Sequence[Patches], checks: Checks) -> None:
    """Verify the checksums that are due, those of all arrays before any is complained of.

    Raises
    ------
    ChecksumError
        Names file, row and patch of the first that is damaged, and how many more there are.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.mapped import MappedShards
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> shards, wanted = MappedShards(store, store.array("s1")), Wanted.of(np.array([2, 0]))
    >>> verify(store, [shards.array], [shards.look_up(wanted)], "first")
    >>> shards.look_up(wanted).seen
    array([ True,  True])
    """
    failures: list[tuple[int, ChecksumError]] = []
    for array, patches in zip(arrays, found, strict=True):
        unseen = patches.there & ~patches.seen
        due = np.flatnonzero(patches.there if checks == "always" else unseen)
        if due.size:
            patches.will_need(np.flatnonzero(unseen))
            bad = [] if checks == "never" else _damaged(store, array, patches, due)
            failures += bad
            patches.note_seen(due[~np.isin(patches.wanted.rows[due], [row for row, _ in bad])] if bad else due)
    _refuse(store, failures)


def _damaged(
    store: Store, array: PixelArray, patches: Patches, due: NDArray[np.intp]
) -> list[tuple[int, ChecksumError]]:
    """Rows whose bytes are not those that were written, with what is wrong."""
    chunks = patches.chunks(due)
    failures = []
    for place in np.flatnonzero(~are_sound(chunks)).tolist():
        try:
            checked(chunks[place].tobytes(), where=_file(store, array, patches, due[place]))
        except ChecksumError as error:
            failures.append((int(patches.wanted.rows[due[place]]), error))
    return failures


def decode(store: Store, array: PixelArray, patches: Patches, targets: Sequence[NDArray[np.uint8]], crew: Crew) -> None:
    """Decode patches into memory that is there, a share of them in every thread.

    Parameters
    ----------
    store, array, patches
        What was looked up.
    targets
        One for each patch: one-dimensional, its bytes. Missing reference maps are filled in.
    crew
        Who decodes.

    Raises
    ------
    ChecksumError
        If bytes do not decode to a patch; names file, row and patch of the first, and how many more there are.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.mapped import MappedShards
    >>> from bigearth_xr.store.read import open_store
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3, profile="compact")
    >>> store = open_store(path)
    >>> patches = MappedShards(store, store.array("s2_60m")).look_up(Wanted.of(np.array([2, 0])))
    >>> pixels = np.empty((2, 1600), np.uint8)
    >>> decode(store, store.array("s2_60m"), patches, list(pixels), Crew(1))
    >>> bool((pixels.view(np.uint16) > 0).all())
    True
    """
    there = patches.there
    for place in np.flatnonzero(~there).tolist():
        # All ones: 65535, of a map that a stored patch lacks.
        targets[place][:] = 0xFF
    which = np.flatnonzero(there)
    chunks = patches.chunks(which)

    def decode_share(share: slice) -> list[tuple[int, ChecksumError]]:
        failures = []
        for place, chunk in zip(which[share].tolist(), chunks[share], strict=True):
            try:
                _decode_one(chunk[:-CRC_BYTES], targets[place], store)
            except ChecksumError as error:
                where = _file(store, array, patches, place)
                failures.append((int(patches.wanted.rows[place]), ChecksumError(f"{where}: {error}")))
        return failures

    _refuse(store, [failure for share in crew.map(decode_share, crew.shares(which.size)) for failure in share])


def _decode_one(data: NDArray[np.uint8], target: NDArray[np.uint8], store: Store) -> None:
    if store.profile == "compact":
        unpack(data, target)
    elif data.size == target.size:
        target[:] = data
    else:
        raise ChecksumError(f"{data.size} bytes, expected {target.size}")


def _refuse(store: Store, failures: Sequence[tuple[int, ChecksumError]]) -> None:
    if failures:
        raise named(failures[0][1], store, [row for row, _ in failures])


def _file(store: Store, array: PixelArray, patches: Patches, place: int) -> str:
    return f"{store.place}/{shard_key(array, int(patches.wanted.shard[place]))}"
