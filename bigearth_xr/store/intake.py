"""What happens to patches between the store and a batch: absent ones refused, checksums verified, bytes decoded."""

import ctypes
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import ChecksumError
from bigearth_xr.store import codec
from bigearth_xr.store.codec import CRC_BYTES, are_sound, checked
from bigearth_xr.store.crew import Crew
from bigearth_xr.store.mapping import copy_bytes
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

    def where(self, which: NDArray[np.intp]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Addresses of these bytes, and how many each has, shape ``(patch,)`` both."""

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


def decode(store: Store, array: PixelArray, patches: Patches, targets: NDArray[np.uint64], crew: Crew) -> None:
    """Decode patches into memory that is there, a share of them in every thread.

    Parameters
    ----------
    store, array, patches
        What was looked up.
    targets
        Address of each patch's first pixel, shape ``(patch,)``. Missing reference maps are filled in.
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
    >>> pixels = np.zeros((2, 800), np.uint16)
    >>> decode(store, store.array("s2_60m"), patches, np.uint64([row.ctypes.data for row in pixels]), Crew(1))
    >>> bool((pixels > 0).all())
    True
    """
    there = patches.there
    for target in targets[~there].tolist():
        # All ones: 65535, of a map that a stored patch lacks.
        ctypes.memset(target, 0xFF, array.patch_bytes)
    which = np.flatnonzero(there)
    decode_share = _unpack if store.profile == "compact" else _copy

    def failures_of(share: slice) -> list[tuple[int, ChecksumError]]:
        mine = which[share]
        return [
            (int(patches.wanted.rows[place]), ChecksumError(f"{_file(store, array, patches, place)}: {reason}"))
            for place, reason in decode_share(array, patches, mine, targets[mine])
        ]

    _refuse(store, [failure for share in crew.map(failures_of, crew.shares(which.size)) for failure in share])


def _unpack(
    array: PixelArray, patches: Patches, which: NDArray[np.intp], targets: NDArray[np.uint64]
) -> list[tuple[int, str]]:
    """Decompress some patches; return those that do not decompress, and why."""
    from bigearth_xr.device.unpacking import unpack

    starts, lengths = patches.where(which)
    sizes = {"patch_bytes": array.patch_bytes, "itemsize": array.itemsize}
    failures = []
    for nth in np.flatnonzero(~unpack(starts, lengths - CRC_BYTES, targets, **sizes)).tolist():
        # Blosc itself knows what another writer may have made of them, or says what is wrong.
        (chunk,) = patches.chunks(which[nth : nth + 1])
        memory = (ctypes.c_uint8 * array.patch_bytes).from_address(int(targets[nth]))
        try:
            codec.unpack(chunk[:-CRC_BYTES], np.ctypeslib.as_array(memory))
        except ChecksumError as error:
            failures.append((int(which[nth]), str(error)))
    return failures


def _copy(
    array: PixelArray, patches: Patches, which: NDArray[np.intp], targets: NDArray[np.uint64]
) -> list[tuple[int, str]]:
    """Copy some patches that are not packed; return those of another length, and which."""
    starts, lengths = patches.where(which)
    found = lengths - CRC_BYTES
    fits = found == array.patch_bytes
    copy_bytes(targets[fits], starts[fits], array.patch_bytes)
    return [
        (int(which[nth]), f"{found[nth]} bytes, expected {array.patch_bytes}") for nth in np.flatnonzero(~fits).tolist()
    ]


def _refuse(store: Store, failures: Sequence[tuple[int, ChecksumError]]) -> None:
    if failures:
        raise named(failures[0][1], store, [row for row, _ in failures])


def _file(store: Store, array: PixelArray, patches: Patches, place: int) -> str:
    return f"{store.place}/{shard_key(array, int(patches.wanted.shard[place]))}"
