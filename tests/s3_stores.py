"""Fixtures of stores on object storage, which only the tests of it ask for."""

from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from s3 import BUCKET, PAIRS, bucket, keys_of, serving_s3

import bigearth_xr as bex
from bigearth_xr.store.codec import PROFILES, ProfileName


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server of our own that speaks S3."""
    with serving_s3(tmp_path_factory.mktemp("s3") / "log") as address:
        yield address


@pytest.fixture(scope="session")
def s3(endpoint: str) -> dict[str, str]:
    """Storage options of that server."""
    return {"endpoint": endpoint, "region": "us-east-1", "access_key_id": "me", "secret_access_key": "sesame"}


@pytest.fixture(scope="session")
def uploaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive that is ingested there."""
    return bex.testing.write_archive(tmp_path_factory.mktemp("archive") / "v2", pairs=PAIRS)


@pytest.fixture(scope="session", params=PROFILES)
def profile(request: pytest.FixtureRequest) -> ProfileName:
    """Each profile in turn."""
    found: ProfileName = request.param
    return found


@pytest.fixture(scope="session")
def local(uploaded: Path, profile: ProfileName, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of that archive in a folder."""
    path = tmp_path_factory.mktemp("local") / "ben.zarr"
    bex.ingest(uploaded, path, profile=profile)
    return path


@pytest.fixture(scope="session")
def remote(uploaded: Path, profile: ProfileName, s3: dict[str, str]) -> str:
    """A store on S3, ingested there; no test changes it."""
    address = f"s3://{BUCKET}/{profile}/ben.zarr"
    report = bex.ingest(uploaded, address, profile=profile, storage_options=s3)
    assert (report.stored, report.complete, report.failures) == (PAIRS, True, ())
    return address


@pytest.fixture
def own_remote(remote: str, s3: dict[str, str], request: pytest.FixtureRequest) -> str:
    """A copy of it, of one test."""
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    client, before = bucket(s3), remote.removeprefix(f"s3://{BUCKET}/").removesuffix("/ben.zarr")
    for key in keys_of(client, before):
        obstore.copy(client, key, f"{name}/{key.removeprefix(f'{before}/')}")
    return f"s3://{BUCKET}/{name}/ben.zarr"
