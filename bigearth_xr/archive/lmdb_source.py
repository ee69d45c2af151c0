"""An archive converted to an LMDB of safetensors, as rico-hdl writes it and ConfigILM reads it.

A key is the name of a patch and its value holds the bands, bit for bit; the key of a reference map ends in
``_reference_map``. What the conversion dropped, the place on the ground, is restored from the names.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive.lmdb_file import Mdb, Value, is_mdb, open_mdb
from bigearth_xr.archive.names import REFERENCE_MAP, S1Name, S2Name, recognize
from bigearth_xr.archive.source import Data, Encoding, Folder, Refusal
from bigearth_xr.bands import BANDS, Band
from bigearth_xr.errors import ArchiveError, ArchiveNotFoundError, PatchError

_FILE = "data.mdb"

_MAPS = "Reference_Maps"

_MAP_TENSOR = "Data"

_DTYPES = {"uint16": "U16", "float32": "F32"}

# A patch has 160 kB; with all bands enlarged it has less than 1 MB.
_MOST_BYTES = 1 << 24

_HEAD = 4080

_CONVERT_AGAIN = "copy the LMDB again, convert the archive again, or remove the key"

_MOST_HEADER = 65_536
"""Bytes of the longest header that is read, its size included; one of all bands has 824."""

_SIZE = 8

_BYTES = {"U8": 1, "I8": 1, "BOOL": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4}

_BYTES |= {"U64": 8, "I64": 8, "F64": 8}


def is_lmdb(path: Path) -> bool:
    """Tell whether a path is an LMDB environment: a folder that has a ``data.mdb``, or such a file."""
    return (path / _FILE).is_file() or is_mdb(path)


@dataclass(frozen=True, slots=True)
class LmdbSource:
    """The patches of an LMDB, each key shown as a folder of which every tensor is a file.

    Nothing is locked or written and no file stays open: it can be pickled, and used after a fork. Values that were
    pickled, as older converters did, are refused: to read a pickle is to run it.
    """

    encoding: ClassVar[Encoding] = "safetensors"

    root: Path
    """The environment: a folder, or the file that would lie in it."""

    _refused: list[Refusal] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def file(self) -> Path:
        """The file of the environment."""
        return self.root if self.root.is_file() else self.root / _FILE

    def folders(self) -> Iterator[Folder]:
        """Walk all keys, in their order, and read which tensors each has; lists beside the file come first."""
        if not self.file.is_file():
            raise ArchiveNotFoundError(f"there is no LMDB at {self.file}; give the folder that has a {_FILE}")
        self._refused.clear()
        if self.root.is_dir():
            yield Folder(path="", files=tuple(sorted(path.name for path in self.root.iterdir() if path.is_file())))
        try:
            with open_mdb(self.file) as mdb:
                yield from self._folders_in(mdb)
        except OSError as error:
            raise ArchiveError(
                f"{self.file} cannot be read as an LMDB: {error}; copy it again and completely, or convert the "
                "archive again"
            ) from error

    def refusals(self) -> Sequence[Refusal]:
        """Keys that are not names of patches."""
        return self._refused

    def read(self, path: str) -> bytes:
        """Read the value that holds a tensor, or a file beside that of the environment."""
        folder, _, file = path.rpartition("/")
        if not folder:
            return (self.root / file).read_bytes()
        (data,) = self.read_files(folder, [file])
        if isinstance(data, OSError):
            raise data
        return bytes(data)

    def read_files(self, folder: str, files: Sequence[str]) -> list[Data | OSError]:
        """Read the value of a key, once for all of its tensors."""
        data: Data | OSError
        try:
            with open_mdb(self.file) as mdb:
                data = _read_value(mdb, _key(folder))
        except OSError as error:
            return [error for _ in files]
        try:
            tensors = find_tensors(data, len(data))
        # `decode_tensor` says what is wrong with it.
        except ValueError:
            return [data for _ in files]
        names = [_tensor(folder, file) for file in files]
        return [data if name in tensors else FileNotFoundError(f"there is no tensor {name}") for name in names]

    def locate(self, path: str) -> str:
        """Name file, key and tensor."""
        folder, _, file = path.rpartition("/")
        if not path or (not folder and recognize(path) is None):
            return str(self.root / path) if path else str(self.file)
        if folder in ("", _MAPS):
            return f"{self.file}: key {_key(path).decode()}"
        return f"{self.file}: key {_key(folder).decode()}, tensor {_tensor(folder, file)}"

    def only(self, folders: Collection[str]) -> "LmdbSource":
        """One that has not refused anything yet; it knows no key before it is asked."""
        return LmdbSource(self.root)

    def _folders_in(self, mdb: Mdb) -> Iterator[Folder]:
        is_first = True
        for key, value in mdb.items():
            folder, name = _recognize(key)
            if name is None:
                self._refuse(key)
                continue
            head = _read_head(mdb, value)
            if is_first and _is_pickle(head):
                raise ArchiveError(
                    f"{self.file} holds pickled patches, as bigearthnet_encoder wrote them for v1; to read a pickle "
                    "is to run it, so they are refused: give the archive that they were made from"
                )
            is_first = False
            yield Folder(path=folder, files=_files(folder, name, head, value))

    def _refuse(self, key: bytes) -> None:
        name = key[:80].decode(errors="backslashreplace")
        message = (
            f"{self.file}: key {name!r} is not the name of a patch or a reference map, and is not read; if it is one, "
            "convert the archive again"
        )
        self._refused.append(Refusal(member=name, kind="refused", message=message))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One array of a value, not yet read."""

    dtype: str
    """Type as safetensors spells it, e.g. ``"U16"``; little-endian."""

    shape: tuple[int, ...]
    """Length of each dimension, row by row."""

    offset: int
    """Its first byte in the value."""


def decode_tensor(
    data: Data, *, band: Band, epsg: int, ulx: int, uly: int, where: Callable[[], str]
) -> NDArray[np.generic]:
    """Take a band from the value of a key, which does not say where on the ground it lies.

    Takes what `bigearth_xr.archive.tiff.decode_band` takes.
    """
    try:
        tensors = find_tensors(data, len(data))
        # Some keep the map among the bands, under its own name.
        tensor = tensors[band.name if band.name in tensors or band.name != REFERENCE_MAP else _MAP_TENSOR]
    except (KeyError, ValueError) as error:
        reason = "it was pickled, which is never read" if _is_pickle(data) else error
        raise PatchError(f"{where()} is not safetensors: {reason}; {_CONVERT_AGAIN}") from error
    found, expected = (tensor.dtype, tensor.shape), (_DTYPES[band.dtype], (band.size, band.size))
    if found != expected:
        raise PatchError(f"{where()}: dtype and shape are {found}, expected {expected}; {_CONVERT_AGAIN}")
    dtype = np.dtype(band.dtype).newbyteorder("<")
    return np.frombuffer(data, dtype, count=band.size**2, offset=tensor.offset).reshape(tensor.shape)


def find_tensors(data: Data, size: int) -> Mapping[str, Tensor]:
    """Tell which tensors a value holds.

    Parameters
    ----------
    data
        The value, or at least its header.
    size
        Bytes of the whole value, which the tensors have to fill.

    Raises
    ------
    ValueError
        If the header is damaged, or does not fit the value.

    Examples
    --------
    >>> header = b'{"VV": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}}'
    >>> data = len(header).to_bytes(8, "little") + header + bytes(8)
    >>> find_tensors(data, len(data))
    {'VV': Tensor(dtype='F32', shape=(1, 2), offset=73)}
    """
    length = int.from_bytes(data[:_SIZE], "little")
    if size < _SIZE or length > min(size, _MOST_HEADER) - _SIZE:
        raise ValueError(f"its header should have {length:,} bytes, the value has {size:,}")
    if len(data) < _SIZE + length:
        raise ValueError(f"its header should have {length:,} bytes, {len(data) - _SIZE:,} of them are there")
    tensors, end = _parse_header(bytes(data[_SIZE : _SIZE + length]))
    if end != size:
        raise ValueError(f"its header tells of {end:,} bytes, the value has {size:,}")
    return tensors


def _is_pickle(data: Data) -> bool:
    """Tell whether bytes begin as a pickle does; as safetensors, their header would be larger than any.

    Examples
    --------
    >>> import pickle
    >>> _is_pickle(pickle.dumps([0] * 10)), _is_pickle(bytes([128, 4, 0, 0, 0, 0, 0, 0]))
    (True, False)
    """
    return len(data) > _SIZE and data[0] == 0x80 and data[1] in range(2, 6) and any(data[3:_SIZE])


def _recognize(key: bytes) -> tuple[str, S1Name | S2Name | None]:
    """Say which folder a key stands for, and of which patch it is; None for what is not a key of an archive."""
    text = key.decode(errors="backslashreplace")
    patch = text.removesuffix(f"_{REFERENCE_MAP}")
    name = recognize(patch)
    if patch == text:
        return text, name
    return f"{_MAPS}/{patch}", None if isinstance(name, S1Name) else name


def _key(folder: str) -> bytes:
    """Which key a folder stands for."""
    patch = folder.removeprefix(f"{_MAPS}/")
    return (folder if patch == folder else f"{patch}_{REFERENCE_MAP}").encode()


def _tensor(folder: str, file: str) -> str:
    """Which tensor a file stands for."""
    if folder.startswith(_MAPS):
        return _MAP_TENSOR
    return file.removeprefix(f"{folder}_").removesuffix(".tif")


def _files(folder: str, name: S1Name | S2Name, head: Data, value: Value) -> tuple[str, ...]:
    """Name the files of a folder: its tensors, or all that it should have where its header cannot be read."""
    if folder.startswith(_MAPS):
        return (f"{name.name}_{REFERENCE_MAP}.tif",)
    try:
        tensors: Collection[str] = find_tensors(head, value.size)
    # The reader of the patch meets the same error, and reports it.
    except ValueError:
        tensors = [band.name for band in BANDS if band.sensor == ("s1" if isinstance(name, S1Name) else "s2")]
    return tuple(sorted(f"{name.name}_{tensor}.tif" for tensor in tensors))


def _read_head(mdb: Mdb, value: Value) -> Data:
    """Read the header of a value, seldom more; nothing where it cannot be read."""
    try:
        head = mdb.read(value, _HEAD)
        is_whole = int.from_bytes(head[:8], "little") <= len(head) - 8
        return head if is_whole else mdb.read(value, _MOST_HEADER)
    except OSError:
        return b""


def _read_value(mdb: Mdb, key: bytes) -> Data:
    value = mdb.find(key)
    if value is None:
        raise FileNotFoundError("there is no such key")
    if value.size > _MOST_BYTES:
        raise OSError(f"it should have {value.size:,} bytes, a patch has less than {_MOST_BYTES:,}")
    return mdb.read(value)


@lru_cache(maxsize=64)
def _parse_header(header: bytes) -> tuple[Mapping[str, Tensor], int]:
    """Parse a header; gives the end of the value too."""
    try:
        found = json.loads(header, object_pairs_hook=_once)
        if not isinstance(found, dict):
            raise ValueError(f"it is a {type(found).__name__}, expected an object")
        entries = {name: _parse_entry(name, entry) for name, entry in found.items() if name != "__metadata__"}
    # Brackets within brackets within brackets end the parser.
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its header is damaged ({error})") from error
    start = end = _SIZE + len(header)
    tensors = {}
    for name, (dtype, shape, (first, last)) in sorted(entries.items(), key=lambda item: item[1][2]):
        if start + first != end or last - first != prod(shape) * _BYTES[dtype]:
            raise ValueError(
                f"its header is damaged (tensor {name}, {dtype} {list(shape)}, should lie at {[first, last]})"
            )
        tensors[name] = Tensor(dtype=dtype, shape=shape, offset=end)
        end = start + last
    return tensors, end


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that says two things of one name."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _parse_entry(name: str, entry: object) -> tuple[str, tuple[int, ...], tuple[int, int]]:
    """Type, shape and offsets of one tensor."""
    if not isinstance(entry, dict):
        raise ValueError(f"tensor {name} is {entry!r}, expected an object")
    dtype, shape, offsets = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    sizes, places = _sizes(shape), _sizes(offsets)
    if not isinstance(dtype, str) or dtype not in _BYTES or sizes is None or places is None or len(places) != 2:
        raise ValueError(f"tensor {name} is {entry!r}, expected a known dtype, a shape and two data_offsets")
    return dtype, sizes, (places[0], places[1])


def _sizes(values: object) -> tuple[int, ...] | None:
    """Whole numbers as they are; None for anything else."""
    # JSON as Python reads it has NaN and true, which is an int too.
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value < 2**48 for value in values):
        return None
    return tuple(values)
