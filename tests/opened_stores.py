"""Fixtures of opened stores, which only the tests of readers ask for."""

from pathlib import Path

import pytest

from bigearth_xr.store import encoded
from bigearth_xr.store.open import Store, open_store


@pytest.fixture
def opened(store: Path) -> Store:
    return open_store(store)


@pytest.fixture
def damaged(own: Path) -> Store:
    """A store of one test's own."""
    return open_store(own)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change of a file is noticed at once."""
    monkeypatch.setattr(encoded, "LOOK_AGAIN_S", -1.0)
