"""A torch model as a plain function of arrays: evaluated, without gradients, and left as it was found."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from bigearth_xr.errors import EmbeddingError
from bigearth_xr.torch.engine import named_device
from bigearth_xr.torch.tensor import from_tensor, to_tensor

__all__ = ["Encode", "digest", "evaluating"]

Encode = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From images, shape ``(patch, band, y, x)``, to vectors, shape ``(patch, feature)``; both on the host."""


@contextmanager
def evaluating(model: torch.nn.Module, device: str, bands: Sequence[str] = ()) -> Iterator[Encode]:
    """Put a model to work on a device; afterwards it is back on its own, every module in its former mode.

    Parameters
    ----------
    model
        Called on float32 images, shape ``(patch, band, y, x)``; gives vectors, shape ``(patch, feature)`` or
        ``(patch, feature, 1, 1)``.
    device
        ``"auto"`` is a GPU where torch has one, else the CPU; or a device of torch's, as ``"cuda:1"``.
    bands
        Names of the bands of the images, for errors.

    Yields
    ------
    Encode
        The model as a function of NumPy arrays.

    Raises
    ------
    EmbeddingError
        If the model lies on several devices, does not take these bands, or does not give a vector for each image.
    DeviceError
        If there is no such device.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Dropout())
    >>> with evaluating(model, "cpu") as encode:
    ...     encode(np.ones((1, 2, 8, 8), np.float32))
    array([[1., 1.]], dtype=float32)
    >>> model.training
    True
    """
    home = _device_of(model)
    modes = {module: module.training for module in model.modules()}
    target = named_device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    try:
        model.eval().to(target)
        yield partial(_encode, model, target, tuple(bands))
    finally:
        for module, training in modes.items():
            module.training = training
        model.to(home)


def digest(model: torch.nn.Module) -> str:
    """Identify a model by its architecture, as it prints itself, and every parameter and buffer.

    Code that neither shows in ``repr(model)`` nor in its state, as the body of ``forward``, does not count.

    Returns
    -------
    str
        SHA-256, hexadecimal; the same in every process and on every device.
    """
    # An address in memory, as a function prints it, is another in every process.
    sha = hashlib.sha256(re.sub(r" at 0x[0-9a-f]+", "", repr(model)).encode())
    for name, value in sorted(model.state_dict().items()):
        sha.update(f"{name} {getattr(value, 'dtype', '')} {getattr(value, 'shape', '')}".encode())
        if isinstance(value, torch.Tensor):
            sha.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        else:
            sha.update(repr(value).encode())
    return sha.hexdigest()


def _device_of(model: torch.nn.Module) -> torch.device:
    devices = sorted({str(tensor.device) for tensor in chain(model.parameters(), model.buffers())})
    if len(devices) > 1:
        raise EmbeddingError(f"the model lies on {' and '.join(devices)}; move it to one device: model.to(device)")
    return torch.device(devices[0] if devices else "cpu")


def _misfit(model: torch.nn.Module, bands: tuple[str, ...], error: Exception) -> str:
    """Say that a model takes other bands than these, if that is what an error is about; else nothing."""
    # Whatever a model does with images first, torch's message has the number of bands that it was given.
    kind = RuntimeError if not isinstance(error, EmbeddingError) else EmbeddingError
    about_bands = isinstance(error, kind) and re.search(rf"(?<!\d){len(bands)}(?!\d)", str(error))
    if not about_bands or isinstance(error, torch.cuda.OutOfMemoryError):
        return ""
    takes = next((size for module in model.modules() if (size := _input_size(module)) is not None), None)
    if takes == len(bands):
        return ""
    first = "" if takes is None else f" takes {takes} bands and"
    return (
        f"the model{first} does not fit the {len(bands)} that it is given: {', '.join(bands)}; name those that it "
        "takes, in its order, as bands=['B04', 'B03', 'B02'] or bands='rgb'. It says: "
        f"{str(error).splitlines()[0]}"
    )


def _input_size(module: torch.nn.Module) -> int | None:
    """How many bands a module takes, if it says so; those of torch are asked in the order in which they were made."""
    names = ("in_channels", "num_features", "in_features")
    return next((size for name in names if isinstance(size := getattr(module, name, None), int) and size > 0), None)


@torch.no_grad()
def _encode(
    model: torch.nn.Module, device: torch.device, bands: tuple[str, ...], images: NDArray[np.float32]
) -> NDArray[np.float32]:
    try:
        output = model(to_tensor(images).to(device))
    except Exception as error:
        if misfit := _misfit(model, bands, error):
            raise EmbeddingError(misfit) from error
        error.add_note(f"the model was called on images of shape {images.shape}: {', '.join(bands)}")
        raise
    if not isinstance(output, torch.Tensor):
        raise EmbeddingError(
            f"the model gives a {type(output).__name__}, expected one tensor; wrap it in a module that picks it"
        )
    vectors = output.flatten(1) if output.shape[2:] == (1, 1) else output
    if vectors.ndim != 2 or len(vectors) != len(images):
        raise EmbeddingError(
            f"the model gives a tensor of shape {tuple(output.shape)} for {len(images)} images, expected "
            f"({len(images)}, feature) or ({len(images)}, feature, 1, 1); pool it over y and x in the model"
        )
    return np.asarray(from_tensor(vectors.float().cpu()))
