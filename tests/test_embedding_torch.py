"""Embeddings by torch models: called as they should be, and left as they were."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import bigearth_xr as bex
from bigearth_xr.errors import EmbeddingError
from bigearth_xr.torch.encoder import digest

BANDS = ["B04", "B8A", "VV"]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 6 pairs without embeddings."""
    return bex.testing.write_store(tmp_path_factory.mktemp("store") / "ben.zarr", pairs=6)


@pytest.fixture
def store(untouched: Path, tmp_path: Path) -> Path:
    """A copy of that store, to write in."""
    return Path(shutil.copytree(untouched, tmp_path / "ben.zarr"))


def small_model(seed: int = 0) -> nn.Sequential:
    """Three bands to eight features, with modules that act otherwise while a model is trained."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Dropout()
    )


class Wrapped(nn.Module):
    """A module that makes something else of what a function gives."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: torch.Tensor) -> object:
        return self.function(images)  # type: ignore[operator]


def test_vectors_are_those_of_the_model_on_normalised_images(store: Path) -> None:
    ds, model = bex.open(store), small_model()
    found = bex.embed(ds, model, name="small", bands=BANDS, batch_size=4, device="cpu")
    images = bex.torch.to_tensor(ds.ben.image(BANDS).ben.normalize().compute())
    with torch.no_grad():
        expected = model.eval()(images).flatten(1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_model_is_left_as_it_was(store: Path) -> None:
    model = small_model()
    model[1].eval()  # one module alone, as when its statistics are frozen
    state, modes = digest(model), [module.training for module in model.modules()]
    bex.embed(bex.open(store), model, name="small", bands=BANDS, device="cpu")
    assert [module.training for module in model.modules()] == modes
    assert digest(model) == state
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


def test_model_is_left_as_it_was_even_if_it_fails(store: Path) -> None:
    model = nn.Sequential(nn.Dropout(), Wrapped(lambda images: images.no_such_thing))
    with pytest.raises(AttributeError, match="no_such_thing"):
        bex.embed(bex.open(store), model, name="failing", bands=BANDS)
    assert all(module.training for module in model.modules())
    assert not (store / "embeddings").exists()


def test_model_sees_float32_images_without_gradients(store: Path) -> None:
    seen = []

    def look(images: torch.Tensor) -> torch.Tensor:
        seen.append((images.shape, images.dtype, torch.is_grad_enabled()))
        return images.mean((2, 3))

    bex.embed(bex.open(store), Wrapped(look), name="looking", bands=BANDS, batch_size=4, device="cpu")
    assert seen == [((4, 3, 120, 120), torch.float32, False), ((2, 3, 120, 120), torch.float32, False)]


def test_digest_depends_on_parameters_and_architecture_alone() -> None:
    assert digest(small_model()) == digest(small_model())
    assert digest(small_model()) != digest(small_model(seed=1))
    assert digest(nn.Sequential(nn.ReLU())) != digest(nn.Sequential(nn.GELU()))
    assert digest(Wrapped(len)) == digest(Wrapped(len))


def test_other_weights_under_the_same_name_are_refused(store: Path) -> None:
    ds = bex.open(store)
    first = bex.embed(ds, small_model(), name="small", bands=BANDS)
    with pytest.raises(EmbeddingError, match="made with another model_digest; choose another name"):
        bex.embed(ds, small_model(seed=1), name="small", bands=BANDS)
    second = bex.embed(ds, small_model(seed=1), name="small", bands=BANDS, overwrite=True)
    assert json.loads(first.attrs["bigearth"])["model"] == "torch.nn.modules.container.Sequential"
    assert first.attrs["bigearth"] != second.attrs["bigearth"]


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda images: images, r"shape \(6, 3, 120, 120\) for 6 images, expected \(6, feature\)"),
        (lambda images: images.mean((0, 2, 3)), r"shape \(3,\) for 6 images"),
        (lambda images: images[1:, :, 0, 0], r"shape \(5, 3\) for 6 images"),
        (lambda images: (images, images), "gives a tuple, expected one tensor; wrap it"),
        (lambda images: images.mean((2, 3)) / 0, "no finite vector for 6 patches .* the first of them S2"),
    ],
)
def test_what_is_no_vector_for_each_image_is_refused(function: object, problem: str, store: Path) -> None:
    with pytest.raises(EmbeddingError, match=problem):
        bex.embed(bex.open(store), Wrapped(function), name="odd", bands=BANDS, device="cpu")


def test_half_precision_models_give_float32_vectors(store: Path) -> None:
    model = Wrapped(lambda images: images.mean((2, 3)).bfloat16())
    assert bex.embed(bex.open(store), model, name="half", bands=BANDS).dtype == np.float32


def test_a_model_on_two_devices_is_refused(store: Path) -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1, device="meta"))
    with pytest.raises(EmbeddingError, match="lies on cpu and meta; move it to one device"):
        bex.embed(bex.open(store), model, name="split", bands=BANDS)


@pytest.mark.gpu
def test_model_goes_to_the_gpu_and_comes_back(store: Path) -> None:
    ds, model = bex.open(store), small_model()
    on_gpu = bex.embed(ds, model, name="gpu", bands=BANDS, device="auto")
    on_cpu = bex.embed(ds, model, name="cpu", bands=BANDS, device="cpu")
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-3, atol=1e-3)
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}
