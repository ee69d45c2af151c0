"""Models and training; needs torch (extra ``torch``)."""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from bigearth_xr.errors import EmbeddingError

__all__ = ["SCNN", "fit"]

_DECAY, _DECAY_OF_SQUARES, _EPSILON = 0.9, 0.999, 1e-8
"""Of Adam, as Kingma and Ba recommend (arXiv 1412.6980)."""


class SCNN(nn.Module):
    """Three convolutions, one dense layer, one classifier.

    Convolutions of 5 × 5, 5 × 5 and 3 × 3 with 32, 32 and 64 filters, zero padding, max-pooling between them, as in
    Sumbul et al., "BigEarthNet: A Large-Scale Benchmark Archive for Remote Sensing Image Understanding", IGARSS 2019.
    What the paper leaves open (pooling of 4 × 4 before the dense layer, 128 features, ReLU) is ours.

    Parameters
    ----------
    bands
        Bands of the input.
    labels
        Classes to tell apart.
    features
        Length of the vector before the classifier, which `embed` gives.

    Examples
    --------
    >>> import torch
    >>> model = SCNN(bands=4, labels=19)
    >>> images = torch.zeros(2, 4, 120, 120)
    >>> model(images).shape, model.embed(images).shape
    (torch.Size([2, 19]), torch.Size([2, 128]))
    """

    def __init__(self, *, bands: int, labels: int, features: int = 128) -> None:
        super().__init__()
        self.bands = bands
        self.body = nn.Sequential(
            nn.Conv2d(bands, 32, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 32, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, features),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(features, labels)

    def embed(self, images: Tensor) -> Tensor:
        """Describe images, shape ``(batch, band, y, x)``, by feature vectors, shape ``(batch, feature)``.

        Raises
        ------
        EmbeddingError
            If the images have another number of bands than the network was made for.
        """
        if images.ndim != 4 or images.shape[1] != self.bands:
            named = ", ".join(getattr(getattr(images, "ben", None), "bands", ()))
            raise EmbeddingError(
                f"this S-CNN takes {self.bands} bands, and the images are of shape {tuple(images.shape)}"
                f"{f': {named}' if named else ''}, expected (batch, {self.bands}, y, x); give it the bands that it was "
                "made for, or make one for these: SCNN(bands=…)"
            )
        return cast(Tensor, self.body(images))

    def forward(self, images: Tensor) -> Tensor:
        """Score each label of each image: logits, shape ``(batch, label)``."""
        return cast(Tensor, self.classifier(self.embed(images)))


def fit(
    model: nn.Module,
    images: Callable[[int], Tensor],
    labels: Tensor,
    *,
    epochs: int = 20,
    learning_rate: float = 1e-3,
) -> list[float]:
    """Train a model on all images at once, epoch by epoch.

    Parameters
    ----------
    model
        Gives logits, shape ``(batch, label)``; trained in place, and left in evaluation mode.
    images
        Gives the images of an epoch, shape ``(batch, band, y, x)``, float32: the place for augmentation.
    labels
        Truth, shape ``(batch, label)``.
    epochs
        Steps, of one batch each.
    learning_rate
        Of Adam, constant, as in the protocol of BigEarthNet-MM (arXiv 2105.07921).

    Returns
    -------
    list of float
        Binary cross-entropy of every epoch, before its step.

    Examples
    --------
    >>> images, labels = torch.rand(4, 2, 20, 20), torch.eye(4)
    >>> losses = fit(SCNN(bands=2, labels=4), lambda epoch: images, labels, epochs=5)
    >>> len(losses)
    5
    """
    step = _adam(list(model.parameters()), learning_rate)
    criterion = nn.BCEWithLogitsLoss()
    losses = []
    model.train()
    for epoch in range(epochs):
        loss = criterion(model(images(epoch)), labels.float())
        model.zero_grad()
        loss.backward()
        step(epoch)
        losses.append(loss.item())
    model.eval()
    return losses


def _adam(parameters: Sequence[nn.Parameter], learning_rate: float) -> Callable[[int], None]:
    """Adam, written out: torch's own loads torch's compiler, which takes longer than a moment's training."""
    means, squares = ([torch.zeros_like(parameter) for parameter in parameters] for _ in range(2))

    @torch.no_grad()
    def step(epoch: int) -> None:
        for parameter, mean, square in zip(parameters, means, squares, strict=True):
            assert parameter.grad is not None
            mean.lerp_(parameter.grad, 1 - _DECAY)
            square.lerp_(parameter.grad**2, 1 - _DECAY_OF_SQUARES)
            spread = (square / (1 - _DECAY_OF_SQUARES ** (epoch + 1))).sqrt()
            parameter.sub_(learning_rate * mean / (1 - _DECAY ** (epoch + 1)) / (spread + _EPSILON))

    return step
