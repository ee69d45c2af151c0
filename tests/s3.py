"""A server that speaks S3, and its objects."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import obstore
from obstore.store import S3Store

from bigearth_xr.store.open import Store

PAIRS = 12
"""In the stores of the fixtures."""

BUCKET = f"patches-{os.getpid()}"
"""Of this process alone: two ingests on one machine into one address, of whatever server, keep each other away."""


@contextmanager
def serving_s3(log: Path) -> Iterator[str]:
    """Address of a server of our own, on a port that was free, with one bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as server:
        try:
            yield _answering(f"http://127.0.0.1:{port}", server)
        finally:
            server.terminate()


def _answering(endpoint: str, server: "subprocess.Popen[bytes]") -> str:
    """Wait until the server is up; then make the bucket."""
    for _ in range(300):
        assert server.poll() is None, "the server ended"
        try:
            put(f"{endpoint}/{BUCKET}")
        except URLError:
            time.sleep(0.1)
        else:
            return endpoint
    raise TimeoutError("the server does not answer")


def put(address: str, data: bytes = b"", method: str = "PUT") -> None:
    headers = {"Content-Type": "application/octet-stream"}
    with urlopen(Request(address, data=data, method=method, headers=headers)) as answer:
        answer.read()


def bucket(s3: dict[str, str]) -> S3Store:
    return S3Store(BUCKET, client_options={"allow_http": True}, **s3)  # type: ignore[arg-type]  # names of ours


def keys_of(client: S3Store, below: str) -> list[str]:
    return [entry["path"] for entry in obstore.list(client, below).collect()]


def every_key(store: Store) -> list[str]:
    return list(store.location.keys())


def key_of(address: str, key: str) -> str:
    return f"{address.removeprefix(f's3://{BUCKET}/')}/{key}"


def change(s3: dict[str, str], key: str, change: Callable[[bytearray], Any]) -> None:
    """Replace an object by one that differs."""
    data = bytearray(bytes(obstore.get(bucket(s3), key).bytes()))
    change(data)
    obstore.put(bucket(s3), key, bytes(data))
