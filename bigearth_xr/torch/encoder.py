"""A torch model as a plain function of arrays: evaluated, without gradients, and left as it was found."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from bigearth_xr.errors import EmbeddingError
from bigearth_xr.torch.tensor import from_tensor, to_tensor

__all__ = ["Encode", "digest", "evaluating"]

Encode = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From images, shape ``(patch, band, y, x)``, to vectors, shape ``(patch, feature)``; both on the host."""


@contextmanager
def evaluating(model: torch.nn.Module, device: str) -> Iterator[Encode]:
    """Put a model to work on a device; afterwards it is back on its own, every module in its former mode.

    Parameters
    ----------
    model
        Called on float32 images, shape ``(patch, band, y, x)``; gives vectors, shape ``(patch, feature)`` or
        ``(patch, feature, 1, 1)``.
    device
        ``"auto"`` is a GPU where torch has one, else the CPU; or a device of torch's, as ``"cuda:1"``.

    Yields
    ------
    Encode
        The model as a function of NumPy arrays.

    Raises
    ------
    EmbeddingError
        If the model lies on several devices, or does not give a vector for each image.

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
    target = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    try:
        model.eval().to(target)
        yield partial(_encode, model, target)
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

    Examples
    --------
    >>> digest(torch.nn.Linear(2, 2, bias=False)) == digest(torch.nn.Linear(2, 2, bias=False))  # other weights
    False
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


@torch.no_grad()
def _encode(model: torch.nn.Module, device: torch.device, images: NDArray[np.float32]) -> NDArray[np.float32]:
    output = model(to_tensor(images).to(device))
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
