"""Train a model in memory: for trials and lessons, not for the whole archive."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["fit"]


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
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    criterion = nn.BCEWithLogitsLoss()
    losses = []
    model.train()
    for epoch in range(epochs):
        loss = criterion(model(images(epoch)), labels.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    return losses
