"""Requests to object storage: S3, or whatever speaks its protocol."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bigearth_xr import former
from bigearth_xr.errors import DependencyError, StoreAccessError

if TYPE_CHECKING:
    from obstore.store import S3Store


OPTIONS = {
    "endpoint": "where requests go, e.g. ``https://minio.example:9000``; AWS by default",
    "region": "region of the bucket",
    "access_key_id": "name of the key that signs requests",
    "secret_access_key": "that key",
    "session_token": "belongs to keys that expire",
    "skip_signature": "``true`` reads a public bucket without any key",
    "virtual_hosted_style_request": "``true`` puts the bucket into the host name",
}
"""Everything that can be said of a location on S3; what is not said is taken from the environment (``AWS_…``)."""

Options = tuple[tuple[str, str], ...]
"""Names and values, sorted."""

_ENDPOINTS = "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"

_RETRIES = {"max_retries": 6, "retry_timeout": timedelta(seconds=60)}
"""A server that is busy is asked again; one that is not there is given up within seconds."""


def client_of(bucket: str, prefix: str, options: Options) -> "S3Store":
    """Give the client of a prefix of a bucket: one of each is kept, with the connections that it has open.

    Parameters
    ----------
    bucket, prefix
        Where, without slashes around them.
    options
        Values by the names of `OPTIONS`.

    Raises
    ------
    StoreAccessError
        After a fork, or if the options contradict each other.
    """
    environment = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
    _refuse_after_fork(f"s3://{bucket}/{prefix}")
    return _connected(bucket, prefix, options, environment)


@contextmanager
def explaining(where: str, bucket: str) -> Iterator[None]:
    """Turn what obstore raises at an address into what to do about it."""
    exceptions = _obstore(where).exceptions
    try:
        yield
    except (FileNotFoundError, exceptions.BaseError) as error:
        text = str(error)
        if "NoSuchBucket" in text:
            raise StoreAccessError(
                f"{where}: there is no bucket {bucket!r}; check its name and the endpoint, or make it first"
            ) from None
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f"{where}: no such object") from None
        raise StoreAccessError(f"{where}: {_reason(error, text)}") from None


@lru_cache(maxsize=64)
def _connected(bucket: str, prefix: str, options: Options, environment: Options) -> "S3Store":
    where = f"s3://{bucket}/{prefix}".rstrip("/")
    store = _obstore(where).store.S3Store
    given: dict[str, Any] = dict(options)
    endpoint = given.get("endpoint") or next((found for name in _ENDPOINTS if (found := os.environ.get(name))), "")
    if endpoint:
        given["endpoint"] = endpoint
    # http:// is asked for on purpose; obstore needs a second option to allow it.
    clients = {"allow_http": endpoint.startswith("http://")}
    with explaining(where, bucket):
        client: S3Store = store(bucket, prefix=prefix or None, client_options=clients, retry_config=_RETRIES, **given)
    return client


def _obstore(where: str) -> Any:
    try:
        import obstore.store
    except ImportError:
        raise DependencyError(
            f"{where}: object storage needs obstore, which is not installed: pip install 'bigearth-xr[s3]'"
        ) from None
    return obstore


_used_by: set[int] = set()
"""Processes, of this one and those it was forked from, that have made a client."""


def _refuse_after_fork(where: str) -> None:
    """Refuse what would wait forever: threads that move the bytes do not survive a fork."""
    _used_by.add(os.getpid())
    if len(_used_by) > 1:
        raise StoreAccessError(
            f"{where}: this process was forked from one that had reached object storage before, and cannot reach it "
            "itself; start processes by 'spawn' or 'forkserver', as multiprocessing calls them"
        )


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


def __getattr__(name: str) -> object:
    return former.find_moved(__name__, name)
