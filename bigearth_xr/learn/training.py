"""Train a model in memory: for trials and lessons, not for the whole archive."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

__all__ = ["fit"]

_DECAY, _DECAY_OF_SQUARES, _EPSILON = 0.9, 0.999, 1e-8
"""Of Adam, as Kingma and Ba recommend (arXiv 1412.6980)."""


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
    >>> from bigearth_xr.learn.scnn import SCNN
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
