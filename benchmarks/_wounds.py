"""Ways to damage one file of a store: a bit flipped, the end cut off, all of it gone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks._specimen import Specimen
from bigearth_xr.store.shard import INDEX_BYTES

__all__ = ["Wound", "wounds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wound:
    """What happens to one file."""

    file: str
    """Path of the file, beside the store."""

    kind: str
    """What kind of file it is."""

    how: str
    """``"flip"``, ``"cut"`` or ``"deletion"``."""

    at: int = 0
    """Bit that is flipped, or bytes that are left."""

    def inflict(self, place: Path) -> None:
        """Do it to the file below a folder."""
        path = place / self.file
        if self.how == "deletion":
            path.unlink()
            return
        data = bytearray(path.read_bytes())
        if self.how == "cut":
            data = data[: self.at]
        else:
            data[self.at // 8] ^= 1 << self.at % 8
        path.write_bytes(data)


def wounds(specimen: Specimen, *, flips: int, cuts: int, seed: int = 0) -> Iterator[Wound]:
    """Damage files of each kind so many times, taking turns, and delete every file once."""
    rng = np.random.default_rng(seed)
    for kind in sorted(set(specimen.files.values())):
        files = [file for file, its_kind in specimen.files.items() if its_kind == kind]
        for file in _in_turn(files, flips):
            yield Wound(file=file, kind=kind, how="flip", at=_bit(specimen.content(file), kind, rng))
        for turn, file in enumerate(_in_turn(files, cuts)):
            yield Wound(file=file, kind=kind, how="cut", at=_length(len(specimen.content(file)), turn, rng))
        for file in files:
            yield Wound(file=file, kind=kind, how="deletion")


def _in_turn(files: Sequence[str], times: int) -> Iterator[str]:
    """Every file at least once."""
    yield from (files[turn % len(files)] for turn in range(max(times, len(files)) if times else 0))


def _bit(data: bytes, kind: str, rng: np.random.Generator) -> int:
    """Anywhere; of a shard every other time in what is used of its index, else that would hardly ever be met."""
    if kind.startswith("shard") and rng.random() < 0.5:
        used = 5 * 16 if rng.random() < 0.7 else INDEX_BYTES
        first = len(data) - INDEX_BYTES
        return int(rng.integers(8 * first, 8 * (first + used)))
    return int(rng.integers(8 * len(data)))


def _length(size: int, turn: int, rng: np.random.Generator) -> int:
    """Nothing, all but the last byte, half, then anything."""
    return (0, size - 1, size // 2)[turn] if turn < 3 else int(rng.integers(size))
