"""What a model is given of the patches, and what it makes of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
import xarray as xr

from bigearth_xr.errors import SelectionError
from bigearth_xr.report.axis import number
from bigearth_xr.report.curve import draw_curve
from bigearth_xr.report.gallery import draw_labels
from bigearth_xr.report.markup import Markup, element, join, section
from bigearth_xr.report.views import draw_picture, draw_views, read_picture, stored_stretch

__all__ = ["Learned", "Neighbourhood", "draw_learned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbourhood:
    """A patch, and those whose embeddings are nearest to its own."""

    query: str
    """Patch id."""

    found: tuple[str, ...]
    """Patch ids, nearest first."""

    distances: tuple[float, ...]
    """Distance of each from the query, in the same order."""

    def __post_init__(self) -> None:
        """Refuse a patch without a distance."""
        if len(self.found) != len(self.distances):
            raise SelectionError(
                f"{self.query}: {len(self.distances)} distances of {len(self.found)} patches found, expected one for "
                "each; pass both as the search gives them"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Learned:
    """What a report tells of models: their input, a training, and a search."""

    images: xr.DataArray
    """Pixels as stored of every patch that is shown, in memory, shape ``(patch, band, y, x)``, coordinates ``patch``
    and ``band``; digital numbers, where 10 000 is a reflectance of 1, or dB."""

    labels: Mapping[str, tuple[str, ...]]
    """Names of the 19 classes by patch id."""

    normalised: xr.DataArray
    """A few patches as a model is given them, shape ``(patch, band, y, x)``, float32, standard deviations."""

    augmented: xr.DataArray
    """The same patches and bands, augmented; shape and units as normalised."""

    augmentation: str
    """What was done to them, in words."""

    embedding: str
    """What made the vectors, and how far apart they are measured, in words."""

    losses: tuple[float, ...]
    """Loss of each epoch; empty where nothing was trained."""

    neighbourhoods: tuple[Neighbourhood, ...]
    """Searches to show."""

    scores: Mapping[str, tuple[float, float]]
    """By metric: the value, and what a search that finds at random would have."""

    def __post_init__(self) -> None:
        """Refuse patches to show without their pixels."""
        shown = {patch for one in self.neighbourhoods for patch in (one.query, *one.found)}
        missing = sorted((shown | set(self.normalised["patch"].values)) - set(self.images["patch"].values))
        if missing:
            raise SelectionError(
                f"images lacks {len(missing)} of the patches to show, the first of them {missing[0]}; expected pixels "
                "of every patch of normalised and neighbourhoods: select them by these ids"
            )
        for dim in ("patch", "band"):
            if not np.array_equal(self.normalised[dim].values, self.augmented[dim].values):
                raise SelectionError(
                    f"normalised and augmented differ along {dim!r}, expected the same patches and bands; augment what "
                    "was normalised"
                )


def draw_learned(learned: Learned, cards: Mapping[str, str] = MappingProxyType({})) -> Markup:
    """Draw the sections on models, of each what there is to draw.

    Parameters
    ----------
    learned
        What to tell.
    cards
        Names of the elements that show more of a patch, by patch id.

    Examples
    --------
    >>> on = {"patch": ["a"], "band": ["B08"]}
    >>> pixels = xr.DataArray(np.zeros((1, 1, 4, 4), np.float32), coords=on, dims=("patch", "band", "y", "x"))
    >>> arrays = {"images": pixels, "normalised": pixels, "augmented": pixels}
    >>> nothing = {"labels": {}, "augmentation": "", "embedding": "", "losses": (), "neighbourhoods": (), "scores": {}}
    >>> draw_learned(Learned(**arrays, **nothing)).count("<section")
    1
    """
    sections = []
    if learned.normalised.sizes["patch"]:
        views = draw_views(learned.images, learned.normalised, learned.augmented, learned.augmentation)
        sections.append(section("As a model sees them", views))
    if learned.losses:
        sections.append(section("Trained for a moment", _tell_losses(learned.losses), draw_curve(learned.losses)))
    if learned.neighbourhoods or learned.scores:
        told = element("p", learned.embedding, ". ", element("b", _tell_worth(learned)))
        rows = map(partial(_draw_neighbourhood, learned, cards), learned.neighbourhoods)
        searches = element("div", *rows)
        sections.append(section("Nearest patches", told, _explain(learned), searches, _draw_scores(learned.scores)))
    return join(sections)


def _tell_losses(losses: Sequence[float]) -> Markup:
    """Say how the loss went, and what that is worth."""
    return element(
        "p",
        f"Loss by epoch, from {number(losses[0], 3)} to {number(losses[-1], 3)}. Where it falls, a model can be "
        "trained on these arrays; of so few patches it learns little but these patches.",
    )


def _tell_worth(learned: Learned) -> str:
    """Say what a search among these patches is worth."""
    if learned.scores:
        return "So few patches prove nothing about its quality."
    return (
        f"Among {learned.images.sizes['patch']} patches something is always nearest: this shows how a search is read, "
        "and says nothing of how well it finds. There are no scores of so few."
    )


def _explain(learned: Learned) -> Markup:
    """Say how to read the rows."""
    notes = {
        "Row": "a patch, then those whose vectors are nearest to its own, nearest first, each with its distance",
        "Labels": "emphasised where the patch searched for bears them too",
        "Pictures": stored_stretch(learned.images),
    }
    told = (element("div", element("dt", name), element("dd", note)) for name, note in notes.items())
    return element("dl", *told, class_="notes")


def _draw_neighbourhood(learned: Learned, cards: Mapping[str, str], one: Neighbourhood) -> Markup:
    """Draw a patch beside those found for it."""
    draw = partial(_draw_patch, learned, cards)
    wanted = learned.labels.get(one.query)
    found = (
        element(
            "li",
            draw(patch),
            _tell_found(distance, wanted, learned.labels.get(patch)),
            draw_labels(learned.labels.get(patch), shared=wanted or ()),
        )
        for patch, distance in zip(one.found, one.distances, strict=True)
    )
    query = element("div", draw(one.query), element("p", one.query, class_="id"), draw_labels(wanted), class_="query")
    return element("div", query, element("ol", *found), class_="search")


def _draw_patch(learned: Learned, cards: Mapping[str, str], patch: str) -> Markup:
    """Draw a patch; a click leads to what else is known of it."""
    picture = draw_picture(read_picture(learned.images, patch), patch)
    return element("a", picture, href=f"#{cards[patch]}") if patch in cards else picture


def _tell_found(distance: float, wanted: Sequence[str] | None, borne: Sequence[str] | None) -> Markup:
    """Tell how far away a patch is, and how many labels it has in common."""
    told = ""
    if wanted and borne is not None:
        told = f" · {len({*wanted} & {*borne})} of {len(wanted)} labels"
    return element("p", element("b", number(distance, 3)), told, class_="distance")


def _draw_scores(scores: Mapping[str, tuple[float, float]]) -> Markup:
    """Write each score beside its random floor."""
    if not scores:
        return Markup("")
    names = ("Score", "Found by distance", "Found at random")
    head = element("tr", *(element("th", name) for name in names))
    rows = (
        element(
            "tr",
            element("th", name, scope="row"),
            *(element("td", number(score, 3), class_="share", style=f"--share:{score:.3f}") for score in pair),
        )
        for name, pair in scores.items()
    )
    return element("table", element("thead", head), element("tbody", *rows), class_="scores")
