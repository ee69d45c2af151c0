"""Names of patches: found in lines of text, and taken apart.

A name is a scene, of which there are hundreds, and a place in it, of which there are thousands. Each of these is read
once, and not with each of half a million names.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_LONGEST = 80
_PLACE = r"_(?:90|[0-8]?\d)_(?:90|[0-8]?\d)"

_FORMS = {
    "s2": rf"S2[AB]_MSIL2A_\d{{8}}T\d{{5,6}}{_PLACE}",
    "s1": rf"S1[AB]_IW_GRDH_1SDV_\d{{8}}T\d{{6}}_\d{{2}}[A-Z]{{3}}{_PLACE}",
    "v2": rf"S2[AB]_MSIL2A_\d{{8}}T\d{{6}}_N\d{{4}}_R\d{{3}}_T\d{{2}}[A-Z]{{3}}{_PLACE}",
}
"""Forms of the names: Sentinel-2 in v1, Sentinel-1, Sentinel-2 in v2."""

_BEFORE, _AFTER = r"(?:^|[^0-9A-Za-z_])", r"(?:[^0-9A-Za-z_]|_[A-Za-z]|$)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How names are made."""

    head_length: int
    """Characters before the place."""

    head: str
    """Pattern of those, with a group ``tile``."""

    tail: str
    """Pattern of the rest, with groups ``column`` and ``tile_row``."""


S1_NAMES = Form(
    head_length=38,
    head=r"^S1[AB]_IW_GRDH_1SDV_\d{8}T\d{6}_(?P<tile>\d{2}[A-Z]{3})$",
    tail=r"^_(?P<column>90|[0-8]?\d)_(?P<tile_row>90|[0-8]?\d)$",
)

V2_NAMES = Form(
    head_length=44,
    head=r"^S2[AB]_MSIL2A_\d{8}T\d{6}_N\d{4}_R\d{3}_T(?P<tile>\d{2}[A-Z]{3})$",
    tail=r"^_(?P<column>90|[0-8]\d)_(?P<tile_row>90|[0-8]\d)$",
)


def read_places(names: pa.Array, form: Form) -> dict[str, pa.Array]:
    """Read tile, column and row off names that hold all three.

    Parameters
    ----------
    names
        Strings.
    form
        What they should look like.

    Returns
    -------
    dict
        Arrays ``tile``, ``column`` and ``tile_row``, all null where a name is null or of another form.

    Examples
    --------
    >>> read_places(pa.array(["S1A_IW_GRDH_1SDV_20170613T165043_33UUP_61_9", "S1"]), S1_NAMES)["tile_row"].to_pylist()
    [9, None]
    """
    heads, tails = _cut(names, form.head_length)
    (tile,) = pc.extract_regex(heads.dictionary, form.head).flatten()
    column, tile_row = pc.extract_regex(tails.dictionary, form.tail).flatten()
    found = {"tile": tile.take(heads.indices)}
    found |= {
        name: part.cast(pa.int16()).take(tails.indices) for name, part in (("column", column), ("tile_row", tile_row))
    }
    whole = pc.and_(pc.is_valid(found["tile"]), pc.is_valid(found["column"]))
    return found if pc.all(whole).as_py() else {name: pc.if_else(whole, part, None) for name, part in found.items()}


def are_unique(names: pa.Array, head_length: int) -> bool:
    """Tell whether no name comes twice, of names that have few different heads.

    Examples
    --------
    >>> are_unique(pa.array(["S2A_1_1", "S2A_1_2", "S2A_1_1"]), 3)
    False
    """
    heads, tails = _cut(names, head_length)
    keys: NDArray[np.int64] = np.asarray(heads.indices).astype(np.int64) * len(tails.dictionary)
    keys = np.sort(keys + np.asarray(tails.indices))
    return not (keys[1:] == keys[:-1]).any()


def _cut(names: pa.Array, at: int) -> tuple[pa.DictionaryArray, pa.DictionaryArray]:
    """Cut names in two, each half a code for one of few texts."""
    data = names.cast(pa.binary())
    # Without an end Arrow computes a length below zero.
    halves = (pc.binary_slice(data, start, end) for start, end in ((0, at), (at, _LONGEST)))
    head, tail = (half.cast(pa.string()).dictionary_encode() for half in halves)
    return head, tail


def find_names(lines: pa.Array, form: str, *, last: bool = False) -> pa.Array:
    """Find the name on each line that has one of this form; null where there is none.

    Parameters
    ----------
    lines
        Texts.
    form
        ``"s2"`` (v1), ``"s1"`` or ``"v2"``.
    last
        Whether it is the last such name on the line, instead of the first.

    Examples
    --------
    >>> lines = pa.array(["7,BigEarthNet-v1.0/S2B_MSIL2A_20170924T93020_69_24/", "name"])
    >>> find_names(lines, "s2").to_pylist()
    ['S2B_MSIL2A_20170924T93020_69_24', None]
    """
    # Flattened, the field is null where the whole is; taken by its name it is not.
    (names,) = pc.extract_regex(lines, f"{'^.*' if last else ''}{_BEFORE}(?P<name>{_FORMS[form]}){_AFTER}").flatten()
    return names


def canonical(names: pa.Array) -> pa.Array:
    """Write names as v1 does where it leaves out zeros: one patch has one such name, though v1 is not consistent.

    Examples
    --------
    >>> canonical(pa.array(["S2A_MSIL2A_20170905T095032_04_5"])).to_pylist()
    ['S2A_MSIL2A_20170905T95032_4_5']
    """
    for padded, bare in ((r"L2A_(\d{8})T0(\d{5}_)", r"L2A_\1T\2"), (r"_0(\d_\d+)$", r"_\1"), (r"_0(\d)$", r"_\1")):
        names = pc.replace_substring_regex(names, padded, bare)
    return names
