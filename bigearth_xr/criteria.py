"""Names that patches are chosen by: the same for a Dataset and for STAC, so that both refuse the same mistakes."""

from collections.abc import Iterable, Sequence

import numpy as np

from bigearth_xr import releases
from bigearth_xr.errors import SelectionError
from bigearth_xr.labels import CLASSES_43, label_names
from bigearth_xr.spelling import did_you_mean

__all__ = ["Texts", "checked_names", "label_hint", "listed_names"]

Texts = str | Iterable[str]
"""A name, or several."""

_PUBLISHED = {"country": releases.COUNTRIES, "season": releases.SEASONS}

_EXAMPLES = {
    "split": ["train", "validation"],
    "country": ["Austria", "Ireland"],
    "season": ["spring", "summer"],
    "tile": ["29UPU", "33UUP"],
    "ids": ["S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57"],
    "any_label": ["Pastures", "Arable land"],
    "all_labels": ["Pastures", "Arable land"],
}


def listed_names(criterion: str, texts: object) -> list[str]:
    """List the names given for a criterion, one by one.

    Parameters
    ----------
    criterion
        Its keyword, for the message.
    texts
        A name, several, or an array of them.

    Raises
    ------
    SelectionError
        Something else than names is among them.

    Examples
    --------
    >>> listed_names("country", "Austria"), listed_names("tile", np.array(["29UPU", "33UUP"]))
    (['Austria'], ['29UPU', '33UUP'])
    """
    if hasattr(texts, "__array__") and not isinstance(texts, str):
        texts = np.asarray(texts).ravel().tolist()
    given = list(texts) if isinstance(texts, Iterable) and not isinstance(texts, str) else [texts]
    names = [name for name in given if isinstance(name, str)]
    if len(names) < len(given):
        raise SelectionError(f"{criterion} is {texts!r}, expected a name or several, e.g. {_EXAMPLES[criterion]}")
    return names


def checked_names(criterion: str, names: Iterable[str], existing: Iterable[str]) -> list[str]:
    """Refuse names that can never be there.

    Parameters
    ----------
    criterion
        ``"split"``, which any spelling in use names; ``"country"``, ``"season"``, of which the published ones are
        known; or ``"tile"``.
    names
        Those asked for.
    existing
        Those that occur, for a criterion of which no list was published.

    Returns
    -------
    list[str]
        As the table spells them.

    Raises
    ------
    SelectionError
        There is no such name; the message names the nearest.

    Examples
    --------
    >>> checked_names("split", ["val"], ())
    ['validation']
    """
    if criterion == "split":
        return [releases.normalize_split(name) for name in names]
    known = _PUBLISHED.get(criterion) or tuple(sorted(set(existing) - {""}))
    checked = list(names)
    for name in checked:
        if name not in known:
            raise SelectionError(
                f"there is no {criterion} {name!r}; known are {', '.join(known)}{did_you_mean(name, known)}"
            )
    return checked


def label_hint(name: str, known: Sequence[str]) -> str:
    """Say what a label that is not known might be, as a part of an error message.

    Parameters
    ----------
    name
        What was asked for.
    known
        The labels that there are.

    Returns
    -------
    str
        What it counts as in the other nomenclature, or the nearest spelling, or ``""``.

    Examples
    --------
    >>> label_hint("Olive groves", label_names(19))
    "; it is one of the 43 classes, and counts as 'Permanent crops' among the 19"
    >>> label_hint("pastures", label_names(19))
    "; did you mean 'Pastures'?"
    """
    groups = {label.name: label.group for label in CLASSES_43}
    if name in groups:
        counts = f"counts as {groups[name]!r}" if groups[name] else "counts as none"
        return f"; it is one of the 43 classes, and {counts} among the 19"
    if name in label_names(19):
        members = ", ".join(repr(member) for member, group in groups.items() if group == name)
        return f"; it is one of the 19 classes, and stands for {members} among the 43"
    return did_you_mean(name, known) or did_you_mean(name, (*label_names(19), *groups))
