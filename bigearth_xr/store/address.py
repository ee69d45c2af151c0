"""From what a caller writes, a path or a URL, to the place that is meant."""

import re
from collections.abc import Mapping
from os import PathLike, fspath
from os.path import expanduser
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from bigearth_xr.errors import StoreError
from bigearth_xr.spelling import did_you_mean
from bigearth_xr.store.objects import OPTIONS, ObjectPlace
from bigearth_xr.store.place import LocalPlace, Place

__all__ = ["Address", "StorageOptions", "place_of"]

Address: TypeAlias = str | PathLike[str] | Place
"""What names a store: its folder, ``s3://bucket/prefix``, or the place itself."""

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
"""How s3fs and boto3 call them; there is one spelling here, and it is told."""


def place_of(address: Address, storage_options: StorageOptions | None = None) -> Place:
    """Tell the place that is meant; nothing is read.

    Parameters
    ----------
    address
        A path, ``file:///…``, or ``s3://bucket/prefix``. A `Place` is given back.
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
    >>> place_of("data/ben.zarr").local.name
    'ben.zarr'
    >>> str(place_of("s3://mine/ben.zarr/", {"region": "eu-central-1"}))
    's3://mine/ben.zarr'
    """
    if isinstance(address, LocalPlace | ObjectPlace):
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
    return ObjectPlace(url.netloc, re.sub("/+", "/", url.path).strip("/"), _checked(storage_options or {}))


def _local(text: str, is_url: bool, storage_options: StorageOptions | None) -> LocalPlace:
    if storage_options:
        raise StoreError(f"{text}: a folder takes no storage_options; leave them out, or give an address on s3://")
    # From now on the same folder, wherever this process or the one that unpickles it works.
    path = Path(unquote(urlsplit(text).path) if is_url else expanduser(text)).absolute()
    if path.name in ("", ".."):
        path = path.resolve()  # its table, which lies beside it, is called after it
    if not path.name:
        raise StoreError(f"{text}: names no folder, as its root has none; give the path of one, as ben.zarr")
    return LocalPlace(path)


def _checked(options: StorageOptions) -> tuple[tuple[str, str], ...]:
    """Options as texts, in one order; names of other libraries are refused with ours."""
    for name in options:
        if name not in OPTIONS:
            ours = _OTHER_SPELLINGS.get(name)
            hint = f"; did you mean {ours!r}?" if ours else did_you_mean(name, OPTIONS)
            raise StoreError(f"unknown storage option {name!r}; expected some of {', '.join(OPTIONS)}{hint}")
    texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in options.items()}
    return tuple(sorted(texts.items()))
