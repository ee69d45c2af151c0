"""An archive that somebody converted to an LMDB of safetensors, as rico-hdl writes it and ConfigILM reads it.

A key is the name of a patch and its value holds the bands, bit for bit; the key of a reference map ends in
``_reference_map``. What the conversion dropped, the place on the ground, is restored from the names.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive.layout import REFERENCE_MAP, S1Name, S2Name, recognize
from bigearth_xr.archive.mdb import Mdb, Value, is_mdb, open_mdb
from bigearth_xr.archive.source import Folder, Refusal
from bigearth_xr.archive.template import Data
from bigearth_xr.archive.tensors import MOST_HEADER, find_tensors, is_pickle
from bigearth_xr.bands import BANDS, Band
from bigearth_xr.errors import ArchiveError, ArchiveNotFoundError, PatchError

__all__ = ["LmdbSource", "is_lmdb"]

_FILE = "data.mdb"
_MAPS = "Reference_Maps"
_MAP_TENSOR = "Data"
_DTYPES = {"uint16": "U16", "float32": "F32"}
# A patch has 160 kB; whoever stored all bands enlarged has less than 1 MB.
_MOST_BYTES = 1 << 24
_HEAD = 4080
_CONVERT_AGAIN = "copy the LMDB again, convert the archive again, or remove the key"


def is_lmdb(path: Path) -> bool:
    """Tell whether a path is an LMDB environment: a folder that has a ``data.mdb``, or such a file.

    Examples
    --------
    >>> is_lmdb(getfixture("tmp_path"))
    False
    """
    return (path / _FILE).is_file() or is_mdb(path)


@dataclass(frozen=True, slots=True)
class LmdbSource:
    """The patches of an LMDB, each key shown as a folder of which every tensor is a file.

    Nothing is locked or written and no file stays open: it can be pickled, and used after a fork. Values that were
    pickled, as older converters did, are refused: to read a pickle is to run it.

    Examples
    --------
    Opened by `bigearth_xr.archive.open_archive`.

    >>> LmdbSource(Path("ben")).locate("S2A_MSIL2A_20170613T101031_87_48/S2A_MSIL2A_20170613T101031_87_48_B02.tif")
    'ben/data.mdb: key S2A_MSIL2A_20170613T101031_87_48, tensor B02'
    """

    has_json: ClassVar[bool] = False

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
        """Keys that are no names of patches."""
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
        # `decode` says what is wrong with it.
        except ValueError:
            return [data for _ in files]
        names = [_tensor(folder, file) for file in files]
        return [data if name in tensors else FileNotFoundError(f"there is no tensor {name}") for name in names]

    def decode(
        self, data: Data, *, band: Band, epsg: int, ulx: int, uly: int, where: Callable[[], str]
    ) -> NDArray[np.generic]:
        """Take a band from its value; what it does not know is where on the ground it lies."""
        try:
            tensors = find_tensors(data, len(data))
            # Some keep the map among the bands, under its own name.
            tensor = tensors[band.name if band.name in tensors or band.name != REFERENCE_MAP else _MAP_TENSOR]
        except (KeyError, ValueError) as error:
            reason = "it was pickled, which is never read" if is_pickle(data) else error
            raise PatchError(f"{where()} is no safetensors: {reason}; {_CONVERT_AGAIN}") from error
        found, expected = (tensor.dtype, tensor.shape), (_DTYPES[band.dtype], (band.size, band.size))
        if found != expected:
            raise PatchError(f"{where()}: dtype and shape are {found}, expected {expected}; {_CONVERT_AGAIN}")
        dtype = np.dtype(band.dtype).newbyteorder("<")
        return np.frombuffer(data, dtype, count=band.size**2, offset=tensor.offset).reshape(tensor.shape)

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
            if is_first and is_pickle(head):
                raise ArchiveError(
                    f"{self.file} holds pickled patches, as bigearthnet_encoder wrote them for v1; to read a pickle "
                    "is to run it, so they are refused: give the archive that they were made from"
                )
            is_first = False
            yield Folder(path=folder, files=_files(folder, name, head, value))

    def _refuse(self, key: bytes) -> None:
        name = key[:80].decode(errors="backslashreplace")
        message = (
            f"{self.file}: key {name!r} is no name of a patch or a reference map, and is not read; if it is one, "
            "convert the archive again"
        )
        self._refused.append(Refusal(member=name, kind="refused", message=message))


def _recognize(key: bytes) -> tuple[str, S1Name | S2Name | None]:
    """Say which folder a key stands for, and of which patch it is; None for what is no key of an archive."""
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
    # Whoever reads the patch meets the same error, and reports it.
    except ValueError:
        tensors = [band.name for band in BANDS if band.sensor == ("s1" if isinstance(name, S1Name) else "s2")]
    return tuple(sorted(f"{name.name}_{tensor}.tif" for tensor in tensors))


def _read_head(mdb: Mdb, value: Value) -> Data:
    """Read the header of a value, seldom more; nothing where it cannot be read."""
    try:
        head = mdb.read(value, _HEAD)
        is_whole = int.from_bytes(head[:8], "little") <= len(head) - 8
        return head if is_whole else mdb.read(value, MOST_HEADER)
    except OSError:
        return b""


def _read_value(mdb: Mdb, key: bytes) -> Data:
    value = mdb.find(key)
    if value is None:
        raise FileNotFoundError("there is no such key")
    if value.size > _MOST_BYTES:
        raise OSError(f"it should have {value.size:,} bytes, a patch has less than {_MOST_BYTES:,}")
    return mdb.read(value)
