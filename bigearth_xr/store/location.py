"""Where a store lies: a folder, or a prefix of object storage, and what the two have in common.

A key names bytes below a location, ``/`` between its parts, as ``s1/c/7/0/0/0``. A location holds nothing open and is
cheap to pickle, so that stores travel to other processes.
"""

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from os import PathLike, fspath
from os.path import expanduser
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import StoreAccessError, StoreError
from bigearth_xr.spelling import did_you_mean
from bigearth_xr.store.objects import OPTIONS, Options, client_of, explaining

if TYPE_CHECKING:
    from obstore.store import S3Store
    from zarr.storage import StoreLike

__all__ = ["Address", "Found", "LocalLocation", "Location", "ObjectLocation", "StorageOptions", "location_of", "put"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is known of bytes before they are read."""

    size: int
    """How many there are."""

    version: Hashable
    """Another one after every change."""


class Location(Protocol):
    """A folder, or a prefix of object storage; text of it is what its owner called it, never with credentials."""

    def __hash__(self) -> int: ...

    @property
    def local(self) -> Path | None:
        """The folder; None where it is none."""

    @property
    def address(self) -> str:
        """How another process would call it: an absolute path, or a URL."""

    @property
    def name(self) -> str:
        """The last part of its path."""

    @property
    def parent(self) -> "Location":
        """The location that it is in."""

    def __truediv__(self, key: str) -> "Location":
        """The location below it, e.g. one array's."""

    def find(self, key: str) -> Found | None:
        """Look whether a key is there, and in which version."""

    def read(self, key: str) -> bytes:
        """Read everything under a key; FileNotFoundError without one."""

    def read_ranges(self, key: str, ranges: NDArray[np.integer]) -> Iterator[bytes]:
        """Read parts of what is under a key: offset and length each, shape ``(n, 2)``, within its size."""

    def scratch_file(self, key: str) -> Path:
        """Name a local file to write, from which `adopt` is cheap."""

    def scratch_folder(self) -> Path:
        """Name a local folder to fill, from which `adopt_all` is cheap; not there yet, or empty."""

    def adopt(self, key: str, file: Path) -> None:
        """Move a local file to a key, in place of what is there: readers see the old bytes or the new ones."""

    def adopt_all(self, folder: Path) -> None:
        """Move a folder of a whole store to this location, which is free; its root ``zarr.json`` arrives last."""

    def delete(self, key: str) -> None:
        """Delete everything under a key and below; nothing happens without any."""

    def keys(self, below: str = "") -> Iterator[str]:
        """List all keys below one, sorted."""

    def children(self, below: str = "") -> list[str]:
        """List the names directly below a key, sorted; those of files and of folders. None are below a file."""

    def used_bytes(self) -> int:
        """Count the bytes that everything here takes."""

    def zarr(self) -> "StoreLike":
        """What zarr-python opens."""

    def explaining(self, key: str = "") -> AbstractContextManager[None]:
        """Say in words what goes wrong with the location while zarr-python works on it."""


@dataclass(frozen=True)
class LocalLocation:
    """A folder."""

    path: Path
    """The folder, as its owner called it."""

    def __str__(self) -> str:
        return str(self.path)

    def __truediv__(self, key: str) -> "LocalLocation":
        return LocalLocation(self.path / key)

    @property
    def local(self) -> Path:
        """The folder."""
        return self.path

    @property
    def address(self) -> str:
        """The absolute path."""
        return str(self.path.resolve())

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @property
    def parent(self) -> "LocalLocation":
        """The folder that it is in."""
        return LocalLocation(self.path.parent)

    def find(self, key: str) -> Found | None:
        """Tell a version by inode, time of change and size."""
        try:
            # No Path of it: this is asked before every read.
            status = os.stat(os.path.join(self.path, key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Found(size=status.st_size, version=(status.st_ino, status.st_mtime_ns))

    def read(self, key: str) -> bytes:
        """Read a file."""
        return (self.path / key).read_bytes()

    def read_ranges(self, key: str, ranges: NDArray[np.integer]) -> Iterator[bytes]:
        """Read each part when it is asked for, in the order given."""
        file = os.open(os.path.join(self.path, key), os.O_RDONLY)
        try:
            for offset, length in ranges.tolist():
                yield os.pread(file, length, offset)
        finally:
            os.close(file)

    def scratch_file(self, key: str) -> Path:
        """A file beside the one to be, with a name of its own: another process may be writing to the same key."""
        path = self.path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.with_name(f"{path.name}.{secrets.token_hex(8)}.partial")

    def scratch_folder(self) -> Path:
        """A folder beside this one; what was left there by a run that was killed is removed."""
        folder = self.path.with_suffix(".new")
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def adopt(self, key: str, file: Path) -> None:
        """Rename the file."""
        path = self.path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, path)

    def adopt_all(self, folder: Path) -> None:
        """Rename the folder."""
        folder.replace(self.path)

    def delete(self, key: str) -> None:
        """Delete a file, or a folder with what is in it."""
        path = self.path / key
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def keys(self, below: str = "") -> Iterator[str]:
        """List files in all folders below."""
        paths = (path for path in (self.path / below).rglob("*") if path.is_file())
        return iter(sorted(path.relative_to(self.path).as_posix() for path in paths))

    def children(self, below: str = "") -> list[str]:
        """List one folder."""
        try:
            return sorted(os.listdir(self.path / below))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def used_bytes(self) -> int:
        """Count blocks, not lengths: holes of absent patches take none."""
        return sum(file.stat().st_blocks * 512 for file in self.path.rglob("*") if file.is_file())

    def zarr(self) -> "StoreLike":
        """The path itself."""
        return self.path

    def explaining(self, key: str = "") -> AbstractContextManager[None]:
        """Python's own errors name the file."""
        return nullcontext()


def put(location: Location, key: str, data: bytes) -> None:
    """Write bytes to a key, all of them or none."""
    file = location.scratch_file(key)
    file.write_bytes(data)
    location.adopt(key, file)


_BATCH = 128
"""Parts asked for at once: 15 MB of the largest patches."""


@dataclass(frozen=True)
class ObjectLocation:
    """A prefix of a bucket.

    Examples
    --------
    >>> location = ObjectLocation("mine", "data/ben.zarr")
    >>> str(location / "s1"), location.name, str(location.parent)
    ('s3://mine/data/ben.zarr/s1', 'ben.zarr', 's3://mine/data')
    """

    bucket: str
    """Name of the bucket."""

    prefix: str
    """Path in the bucket, without slashes around it."""

    options: Options = field(default=(), repr=False)
    """What was given with the location, by the names of `OPTIONS`; never shown, as credentials may be among it."""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def __truediv__(self, key: str) -> "ObjectLocation":
        return ObjectLocation(self.bucket, f"{self.prefix}/{key}".strip("/"), self.options)

    @property
    def local(self) -> None:
        """Not a folder."""
        return

    @property
    def address(self) -> str:
        """The URL."""
        return str(self)

    @property
    def name(self) -> str:
        """The last part of the prefix."""
        return PurePosixPath(self.prefix).name

    @property
    def parent(self) -> "ObjectLocation":
        """The prefix, or bucket, that it is in."""
        return ObjectLocation(self.bucket, self.prefix.rpartition("/")[0], self.options)

    def find(self, key: str) -> Found | None:
        """Tell a version by ETag."""
        import obstore

        try:
            with self.explaining(key):
                head = obstore.head(self._client, key)
        except FileNotFoundError:
            return None
        return Found(size=head["size"], version=head["e_tag"] or head["last_modified"])

    def read(self, key: str) -> bytes:
        """Read an object."""
        import obstore

        with self.explaining(key):
            return bytes(obstore.get(self._client, key).bytes())

    def read_ranges(self, key: str, ranges: NDArray[np.integer]) -> Iterator[bytes]:
        """Read parts many at a time: those that lie near each other by one request, others side by side."""
        import obstore

        for start in range(0, len(ranges), _BATCH):
            offsets, lengths = ranges[start : start + _BATCH].T.tolist()
            with self.explaining(key):
                parts = obstore.get_ranges(self._client, key, starts=offsets, lengths=lengths)
            yield from map(bytes, parts)

    def scratch_file(self, key: str) -> Path:
        """A temporary file; `adopt` removes it."""
        handle, path = tempfile.mkstemp(prefix="bigearth-")
        os.close(handle)
        return Path(path)

    def scratch_folder(self) -> Path:
        """A temporary folder; `adopt_all` removes it."""
        return Path(tempfile.mkdtemp(prefix="bigearth-"))

    def adopt(self, key: str, file: Path) -> None:
        """Upload the file, a large one in parts, and remove it here."""
        import obstore

        try:
            with self.explaining(key):
                obstore.put(self._client, key, file)
        except FileNotFoundError:
            raise StoreAccessError(f"{self / key}: nothing can be written here; check bucket and endpoint") from None
        file.unlink()

    def adopt_all(self, folder: Path) -> None:
        """Upload every file, the root document last: it is what makes a store."""
        paths = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda p: p == folder / "zarr.json")
        for path in paths:
            self.adopt(path.relative_to(folder).as_posix(), path)
        shutil.rmtree(folder)

    def delete(self, key: str) -> None:
        """Delete an object, and those below it."""
        import obstore

        keys = [key, *self.keys(key)]
        with self.explaining(key):
            obstore.delete(self._client, keys)

    def keys(self, below: str = "") -> Iterator[str]:
        """List objects, as many as there are."""
        return iter(sorted(str(entry["path"]) for entry in self._list(below)))

    def children(self, below: str = "") -> list[str]:
        """List objects and common prefixes of one level."""
        import obstore

        with self.explaining(below):
            listed = obstore.list_with_delimiter(self._client, below or None)
        paths = [*listed["common_prefixes"], *(entry["path"] for entry in listed["objects"])]
        return sorted(PurePosixPath(path).name for path in paths)

    def used_bytes(self) -> int:
        """Count the objects' lengths: holes are bytes here."""
        return sum(entry["size"] for entry in self._list(""))

    def zarr(self) -> "StoreLike":
        """zarr-python's store over the same client."""
        from zarr.storage import ObjectStore

        return ObjectStore(self._client)

    def explaining(self, key: str = "") -> AbstractContextManager[None]:
        """Turn what obstore raises into what to do about it."""
        return explaining(str(self / key), self.bucket)

    def _list(self, below: str) -> Iterator[Any]:
        import obstore

        with self.explaining(below):
            yield from obstore.list(self._client, below or None).collect()

    @property
    def _client(self) -> "S3Store":
        return client_of(self.bucket, self.prefix, self.options)


Address: TypeAlias = str | PathLike[str] | Location
"""What names a store: its folder, ``s3://bucket/prefix``, or the location itself."""

StorageOptions: TypeAlias = Mapping[str, str | bool]
"""What an object storage needs to know, by the names of `bigearth_xr.store.objects.OPTIONS`."""

_OTHER_SPELLINGS = {
    "anon": "skip_signature",
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "client_kwargs": "endpoint",
    "endpoint_url": "endpoint",
    "key": "access_key_id",
    "secret": "secret_access_key",
    "token": "session_token",
}
"""How s3fs and boto3 call them; there is one spelling here, and it is offered."""


def location_of(address: Address, storage_options: StorageOptions | None = None) -> Location:
    """Tell the location that is meant; nothing is read.

    Parameters
    ----------
    address
        A path, ``file:///…``, or ``s3://bucket/prefix``. A `Location` is given back.
    storage_options
        Of S3: ``endpoint``, ``region``, ``access_key_id``, ``secret_access_key``, ``session_token``,
        ``skip_signature``, ``virtual_hosted_style_request``. What is not given is taken from the environment, as
        ``AWS_ENDPOINT_URL``, ``AWS_REGION``, ``AWS_ACCESS_KEY_ID``.

    Raises
    ------
    StoreError
        If the address is of another kind, or holds credentials, or an option has another name.

    Examples
    --------
    >>> location_of("data/ben.zarr").local.name
    'ben.zarr'
    >>> str(location_of("s3://mine/ben.zarr/", {"region": "eu-central-1"}))
    's3://mine/ben.zarr'
    """
    if isinstance(address, LocalLocation | ObjectLocation):
        return address
    text = fspath(address) if isinstance(address, str | PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise StoreError(f"{address!r} names no store; expected a path, as 'ben.zarr', or s3://bucket/ben.zarr")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/", text)
    if scheme is None or scheme[1] == "file":
        return _local(text, scheme is not None, storage_options)
    if isinstance(address, PathLike):
        raise StoreError(f"{text}: a Path takes the second slash out of an address; give it as text")
    url = urlsplit(text)
    if url.username or url.password:
        raise StoreError(
            f"{url.scheme}://…@{url.hostname}{url.path}: an address holds no credentials, as it is shown and kept; "
            "give them as storage_options, or in the environment"
        )
    if url.scheme != "s3" or not url.netloc:
        raise StoreError(f"{text}: no place for a store; expected a path or s3://bucket/prefix; copy it to one of them")
    if not url.path.strip("/"):
        raise StoreError(f"{text}: names a bucket alone; expected a path in it too, as s3://{url.netloc}/ben.zarr")
    return ObjectLocation(url.netloc, re.sub("/+", "/", url.path).strip("/"), _checked(storage_options or {}))


def _local(text: str, is_url: bool, storage_options: StorageOptions | None) -> LocalLocation:
    if storage_options:
        raise StoreError(f"{text}: a folder takes no storage_options; leave them out, or give an address on s3://")
    # From now on the same folder, wherever this process or the one that unpickles it works.
    path = Path(unquote(urlsplit(text).path) if is_url else expanduser(text)).absolute()
    if path.name in ("", ".."):
        path = path.resolve()  # its table, which lies beside it, is called after it
    if not path.name:
        raise StoreError(f"{text}: names no folder, as its root has none; give the path of one, as ben.zarr")
    return LocalLocation(path)


def _checked(options: StorageOptions) -> Options:
    """Options as texts, in one order; names of other libraries are refused with ours."""
    for name in options:
        if name not in OPTIONS:
            ours = _OTHER_SPELLINGS.get(name)
            hint = f"; did you mean {ours!r}?" if ours else did_you_mean(name, OPTIONS)
            raise StoreError(f"unknown storage option {name!r}; expected some of {', '.join(OPTIONS)}{hint}")
    texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in options.items()}
    return tuple(sorted(texts.items()))
