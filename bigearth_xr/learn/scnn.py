"""S-CNN, the small network of the paper that introduced BigEarthNet (IGARSS 2019)."""

from typing import cast

from torch import Tensor, nn

from bigearth_xr.errors import EmbeddingError

__all__ = ["SCNN"]


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
