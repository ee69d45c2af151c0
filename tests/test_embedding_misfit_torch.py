"""A model and bands that do not fit are told in our words, with the bands; what is not finite is 0 to a model too."""

from pathlib import Path

import numpy as np
import pytest
import torch
from echoless import PAIRS, write_echoless
from loading import loader_of
from torch import nn

import bigearth_xr as bex
from bigearth_xr.bands import BANDS
from bigearth_xr.errors import DeviceError, EmbeddingError
from bigearth_xr.learn import SCNN

NAMES = ", ".join(band.name for band in BANDS)


class Centred(nn.Module):
    """Subtracts a mean of three bands before anything else: no module says how many it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images - self.mean).mean((2, 3))


class Failing(nn.Module):
    """Fails for a reason of its own."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("the disk is full")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of six pairs of which three have radar pixels without echo."""
    return write_echoless(tmp_path_factory.mktemp("store"), "fast")


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1)),
        nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1)),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)),
        SCNN(bands=3, labels=19),
    ],
    ids=["convolution", "norm", "linear", "ours"],
)
def test_a_model_of_three_bands_is_told_of_fourteen(store: Path, model: nn.Module) -> None:
    with pytest.raises(EmbeddingError, match=f"takes 3 bands and does not fit the 14 .* given: {NAMES}; name"):
        bex.embed(bex.open(store), model, name="odd", nonfinite="zero")
    assert bex.embed(bex.open(store), model, name="right", bands="rgb", overwrite=True).shape[0] == PAIRS


def test_a_model_that_does_not_say_what_it_takes_is_told_too(store: Path) -> None:
    with pytest.raises(EmbeddingError, match=f"the model does not fit the 14 .*: {NAMES}; .*It says: The size"):
        bex.embed(bex.open(store), Centred(), name="odd", nonfinite="zero")


def test_other_failures_are_left_as_they_are_and_say_with_what(store: Path) -> None:
    with pytest.raises(RuntimeError, match="the disk is full") as caught:
        bex.embed(bex.open(store), Failing(), name="odd", bands=["B04", "VV"])
    assert caught.value.__notes__ == ["the model was called on images of shape (6, 2, 120, 120): B04, VV"]


def test_our_network_says_what_it_takes() -> None:
    network = SCNN(bands=3, labels=19)
    with pytest.raises(EmbeddingError, match=r"takes 3 bands, and the images are of shape \(2, 14, 120, 120\)"):
        network(torch.zeros(2, 14, 120, 120))


def test_our_network_names_the_bands_of_an_array(store: Path) -> None:
    images = bex.open(store).ben.image(["B04", "B08"]).ben.normalize().compute().ben.to_torch()
    with pytest.raises(EmbeddingError, match=r"shape \(6, 2, 120, 120\): B04, B08, expected"):
        SCNN(bands=3, labels=19)(images)


def test_a_device_that_is_none_is_told(store: Path) -> None:
    with pytest.raises(DeviceError, match=r"device is 'cpuu', expected 'auto', 'cpu', .*; did you mean 'cpu'"):
        bex.embed(bex.open(store), Centred(), name="odd", bands="rgb", device="cpuu")


def test_a_model_sees_what_loaders_give(store: Path) -> None:
    ds = bex.open(store)
    model = nn.Sequential(nn.AvgPool2d(120), nn.Flatten())
    found = bex.embed(ds, model, name="pooled", bands=["B8A", "VV", "VH"], nonfinite="zero")
    loader = loader_of(ds, bands=["B8A", "VV", "VH"], nonfinite="zero", shuffle=False, batch_size=PAIRS)
    (batch,) = loader
    np.testing.assert_allclose(found, batch.image.mean((2, 3)), rtol=1e-4, atol=1e-5)
    assert found.attrs["nonfinite_pixels"] == loader.nonfinite > 0
