"""A store on object storage: S3, or whatever speaks its protocol."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import DependencyError, StoreAccessError
from bigearth_xr.store.place import Found

if TYPE_CHECKING:
    from obstore.store import S3Store
    from zarr.storage import StoreLike

__all__ = ["OPTIONS", "ObjectPlace"]

OPTIONS = {
    "endpoint": "where requests go, e.g. ``https://minio.example:9000``; AWS by default",
    "region": "region of the bucket",
    "access_key_id": "name of the key that signs requests",
    "secret_access_key": "that key",
    "session_token": "belongs to keys that expire",
    "skip_signature": "``true`` reads a public bucket without any key",
    "virtual_hosted_style_request": "``true`` puts the bucket into the host name",
}
"""Everything that can be told of a place on S3; what is not told is taken from the environment (``AWS_…``)."""

_ENDPOINTS = "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"

_PATIENCE = {"max_retries": 6, "retry_timeout": timedelta(seconds=60)}
"""A server that is busy is asked again; one that is not there is given up within seconds."""

_BATCH = 128
"""Parts asked for at once: 15 MB of the largest patches."""


@dataclass(frozen=True)
class ObjectPlace:
    """A prefix of a bucket.

    Examples
    --------
    >>> place = ObjectPlace("mine", "data/ben.zarr")
    >>> str(place / "s1"), place.name, str(place.parent)
    ('s3://mine/data/ben.zarr/s1', 'ben.zarr', 's3://mine/data')
    """

    bucket: str
    """Name of the bucket."""

    prefix: str
    """Path in the bucket, without slashes around it."""

    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """What was told of the place, by the names of `OPTIONS`; credentials may be among it, so it is never shown."""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def __truediv__(self, key: str) -> "ObjectPlace":
        return ObjectPlace(self.bucket, f"{self.prefix}/{key}".strip("/"), self.options)

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
    def parent(self) -> "ObjectPlace":
        """The prefix, or bucket, that it is in."""
        return ObjectPlace(self.bucket, self.prefix.rpartition("/")[0], self.options)

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
        return _explaining(self, key)

    def _list(self, below: str) -> Iterator[Any]:
        import obstore

        with self.explaining(below):
            yield from obstore.list(self._client, below or None).collect()

    @property
    def _client(self) -> "S3Store":
        environment = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
        _refuse_after_fork(self)
        return _connected(self, environment)


@lru_cache(maxsize=64)
def _connected(place: ObjectPlace, environment: tuple[tuple[str, str], ...]) -> "S3Store":
    """Make a client; one of each place is kept, with the connections that it has open."""
    store = _obstore(place).store.S3Store
    options: dict[str, Any] = dict(place.options)
    endpoint = options.get("endpoint") or next((found for name in _ENDPOINTS if (found := os.environ.get(name))), "")
    if endpoint:
        options["endpoint"] = endpoint
    # Whoever writes http:// means it; obstore wants to be told twice.
    clients = {"allow_http": endpoint.startswith("http://")}
    with place.explaining():
        client: S3Store = store(
            place.bucket, prefix=place.prefix or None, client_options=clients, retry_config=_PATIENCE, **options
        )
    return client


def _obstore(place: ObjectPlace) -> Any:
    try:
        import obstore.store
    except ImportError:
        raise DependencyError(
            f"{place}: object storage needs obstore, which is not installed: pip install 'bigearth-xr[s3]'"
        ) from None
    return obstore


_used_by: set[int] = set()
"""Processes, of this one and those it was forked from, that have made a client."""


def _refuse_after_fork(place: ObjectPlace) -> None:
    """Refuse what would wait forever: threads that move the bytes do not survive a fork."""
    _used_by.add(os.getpid())
    if len(_used_by) > 1:
        raise StoreAccessError(
            f"{place}: this process was forked from one that had reached object storage before, and cannot reach it "
            "itself; start processes by 'spawn' or 'forkserver', as multiprocessing calls them"
        )


@contextmanager
def _explaining(place: ObjectPlace, key: str) -> Iterator[None]:
    exceptions = _obstore(place).exceptions
    where = place / key
    try:
        yield
    except (FileNotFoundError, exceptions.BaseError) as error:
        text = str(error)
        if "NoSuchBucket" in text:
            raise StoreAccessError(
                f"{where}: there is no bucket {place.bucket!r}; check its name and the endpoint, or make it first"
            ) from None
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f"{where}: no such object") from None
        raise StoreAccessError(f"{where}: {_reason(error, text)}") from None


def _reason(error: BaseException, text: str) -> str:
    """What an error means to whoever gave the address."""
    code = re.search(r"<Code>(\w+)</Code>", text)
    said = code[1] if code else text.partition("\n")[0]
    if type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError"):
        return (
            f"access was refused ({said}); check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or access_key_id and "
            "secret_access_key in storage_options, and what they permit"
        )
    if "/latest/api/token" in text:  # where a machine of AWS would have found some
        return (
            "no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give access_key_id and "
            "secret_access_key, for a public bucket skip_signature, as storage_options"
        )
    return f"object storage did not answer as expected ({said}); check endpoint, region and network"
