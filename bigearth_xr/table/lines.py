"""Text lists: lines, and the patches that each of them names, whatever stands around the names.

People save lists with other separators, other columns, headers, indexes, paths and quotes. A patch's name is told from
all that by its form alone, so no dialect has to be known.
"""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr.errors import MetadataError

__all__ = [
    "Lines",
    "Pairs",
    "canonical",
    "find_names",
    "find_rows",
    "read_lines",
    "read_text",
    "refuse_line",
    "rows_of",
]

_PLACE = r"_(?:90|[0-8]?\d)_(?:90|[0-8]?\d)"
_FORMS = {
    "s2": rf"S2[AB]_MSIL2A_\d{{8}}T\d{{5,6}}{_PLACE}",
    "s1": rf"S1[AB]_IW_GRDH_1SDV_\d{{8}}T\d{{6}}_\d{{2}}[A-Z]{{3}}{_PLACE}",
    "v2": rf"S2[AB]_MSIL2A_\d{{8}}T\d{{6}}_N\d{{4}}_R\d{{3}}_T\d{{2}}[A-Z]{{3}}{_PLACE}",
}
"""Forms of the names: Sentinel-2 in v1, Sentinel-1, Sentinel-2 in v2."""

_BEFORE, _AFTER = r"(?:^|[^0-9A-Za-z_])", r"(?:[^0-9A-Za-z_]|_[A-Za-z]|$)"
# A header names columns; what begins like a patch's name and goes on otherwise is a damaged name.
_LIKE_A_NAME = r"S[12][A-D]_"
_EXPECTED = (
    "expected a name such as S2A_MSIL2A_20170613T101031_0_45, or that of its Sentinel-1 patch, one patch a line; "
    "correct the line or take it out"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The lines of one list."""

    source: Path
    """Its file, for messages."""

    texts: pa.Array
    """What stands on each line, without blanks, quotes and separators at its ends; line n is at n - 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """The pairs that lists speak of."""

    source: Path
    """The file that names them, for messages."""

    patch: pa.Array
    """Names of the Sentinel-2 patches, each once."""

    s1_name: pa.Array
    """Names of their partners, each once."""


def read_text(path: Path) -> bytes:
    """Read a text file, compressed or not, as UTF-8 without a byte order mark.

    Raises
    ------
    MetadataError
        If it does not decompress, or is no text.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "train.csv"
    >>> _ = path.write_bytes("Österreich".encode("utf-16"))
    >>> read_text(path).decode()
    'Österreich'
    """
    try:
        with pa.input_stream(path) as stream:
            data: bytes = stream.read()
    except (OSError, pa.ArrowInvalid) as error:
        raise MetadataError(f"{path}: cannot be read ({error}); copy the list again") from None
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            data = data.decode("utf-16").encode()
        data = data.removeprefix(codecs.BOM_UTF8)
        # Arrow would take any bytes for text, and fail in the midst of something else.
        if not data.isascii():
            data.decode()
    except UnicodeDecodeError as error:
        raise MetadataError(
            f"{path}: no text in UTF-8 (byte {error.start:,} is 0x{data[error.start]:02x}); save the list as plain CSV"
        ) from None
    return data


def read_lines(path: Path) -> Lines:
    r"""Read the lines of a text file, with whatever line ends it has.

    Raises
    ------
    MetadataError
        If it is no text.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "train.csv"
    >>> _ = path.write_bytes(b"\xef\xbb\xbfpatch;\r\n\r\n a ;b; \n")
    >>> read_lines(path).texts.to_pylist()
    ['patch', '', 'a ;b']
    """
    data = read_text(path)
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
    bounds = np.concatenate([[0], ends, [len(data)] * (not data.endswith(b"\n") and bool(data))]).astype(np.int32)
    lines = pa.StringArray.from_buffers(len(bounds) - 1, pa.py_buffer(bounds), pa.py_buffer(data))
    return Lines(source=path, texts=pc.ascii_trim(lines, characters=" \t\r\n\"',;|"))


def find_names(lines: pa.Array, form: str) -> pa.Array:
    """Find the name on each line that has one of this form; null where there is none.

    Parameters
    ----------
    lines
        Texts.
    form
        ``"s2"`` (v1), ``"s1"`` or ``"v2"``.

    Examples
    --------
    >>> lines = pa.array(["7,BigEarthNet-v1.0/S2B_MSIL2A_20170924T93020_69_24/", "name"])
    >>> find_names(lines, "s2").to_pylist()
    ['S2B_MSIL2A_20170924T93020_69_24', None]
    """
    # Flattened, the field is null where the whole is; taken by its name it is not.
    (names,) = pc.extract_regex(lines, f"{_BEFORE}(?P<name>{_FORMS[form]}){_AFTER}").flatten()
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


def refuse_line(lines: Lines, row: int, what: str) -> NoReturn:
    """Refuse one line, counted from 0, of a list.

    Raises
    ------
    MetadataError
        Always.

    Examples
    --------
    >>> lines = Lines(source=Path("train.csv"), texts=pa.array(["S2A"]))
    >>> refuse_line(lines, 0, "names no patch; expected one")
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.MetadataError: train.csv, line 1: 'S2A' names no patch; expected one
    """
    text = lines.texts[row].as_py()
    raise MetadataError(f"{lines.source}, line {row + 1}: {text if len(text) < 200 else text[:200] + '…'!r} {what}")


def rows_of(lines: Lines) -> NDArray[np.int64]:
    """Give the lines that are to be read: neither blank, nor a header.

    Examples
    --------
    >>> rows_of(Lines(source=Path("train.csv"), texts=pa.array(["", "name", "", "S2A_MSIL2A_20170905T95032_4_5"])))
    array([3])
    """
    filled = np.flatnonzero(np.asarray(pc.not_equal(lines.texts, "")))
    if filled.size:
        first = lines.texts[int(filled[0])].as_py()
        if not pc.match_substring_regex(pa.scalar(first), _LIKE_A_NAME).as_py():
            filled = filled[1:]
    return filled


def find_rows(lists: Sequence[Lines], pairs: Pairs) -> list[NDArray[np.int64]]:
    """Tell which pair each line names.

    Parameters
    ----------
    lists
        The lists of v1 names.
    pairs
        The pairs.

    Returns
    -------
    list of numpy.ndarray
        Of each list, for each of its lines, the position of its pair; -1 where it names none of these pairs.

    Raises
    ------
    MetadataError
        If a line names no patch, or two, or one of the other release.

    Examples
    --------
    >>> s2, s1 = "S2A_MSIL2A_20170617T113321_4_55", "S1A_IW_GRDH_1SDV_20170617T064724_29UPU_4_55"
    >>> pairs = Pairs(source=Path("pairs.csv"), patch=pa.array([s2]), s1_name=pa.array([s1]))
    >>> find_rows([Lines(source=Path("train.csv"), texts=pa.array([s2, "", f"3;{s1}"]))], pairs)
    [array([ 0, -1,  0])]
    """
    # One table of hashes for all of them: it costs more than what is looked up.
    found = pc.index_in(pa.concat_arrays([lines.texts for lines in lists]), pairs.patch).fill_null(-1)
    ends = np.cumsum([len(lines.texts) for lines in lists])
    rows = [part.astype(np.int64) for part in np.split(np.asarray(found), ends[:-1])]
    for lines, known in zip(lists, rows, strict=True):
        filled = rows_of(lines)
        odd = filled[known[filled] < 0]
        if odd.size:
            known[odd] = _find_odd(lines, odd, pairs)
    return rows


def _find_odd(lines: Lines, odd: NDArray[np.int64], pairs: Pairs) -> NDArray[np.int64]:
    """Tell the pairs of lines that are no name of one as it is."""
    texts = lines.texts.take(pa.array(odd))
    s2, s1 = find_names(texts, "s2"), find_names(texts, "s1")
    _refuse_other_release(lines, odd, texts, s2)
    nameless = np.asarray(pc.and_(pc.is_null(s2), pc.is_null(s1)))
    if nameless.any():
        refuse_line(lines, int(odd[nameless.argmax()]), f"names no patch; {_EXPECTED}")
    _refuse_several(lines, odd, texts, {"s2": s2, "s1": s1})
    by_s2, by_s1 = _look_up(s2, pairs.patch), _look_up(s1, pairs.s1_name)
    apart = np.asarray(pc.and_(pc.is_valid(s2), pc.is_valid(s1))) & (by_s2 != by_s1)
    if apart.any():
        refuse_line(
            lines,
            int(odd[apart.argmax()]),
            f"names two patches that are no pair in {pairs.source}; correct either list",
        )
    return np.maximum(by_s2, by_s1)


def _look_up(names: pa.Array, known: pa.Array) -> NDArray[np.int64]:
    """Give positions of names, however they write their zeros; -1 where a name is not known, or null."""
    rows: NDArray[np.int64] = np.asarray(pc.index_in(names, known, skip_nulls=True).fill_null(-1)).astype(np.int64)
    rest = np.flatnonzero((rows < 0) & np.asarray(pc.is_valid(names)))
    if rest.size:
        found = pc.index_in(canonical(names.take(pa.array(rest))), canonical(known))
        rows[rest] = np.asarray(found.fill_null(-1))
    return rows


def _refuse_other_release(lines: Lines, odd: NDArray[np.int64], texts: pa.Array, s2: pa.Array) -> None:
    """Refuse a name of v2 without that in v1: the other release's lists say other things of the same pairs."""
    suspects = np.flatnonzero(np.asarray(pc.and_(pc.is_null(s2), pc.match_substring(texts, "_MSIL2A_"))))
    if suspects.size:
        of_v2 = np.asarray(pc.is_valid(find_names(texts.take(pa.array(suspects)), "v2")))
        if of_v2.any():
            refuse_line(lines, int(odd[suspects[of_v2.argmax()]]), "names a patch of v2; give the lists of v1")


def _refuse_several(lines: Lines, odd: NDArray[np.int64], texts: pa.Array, firsts: dict[str, pa.Array]) -> None:
    """Refuse a line with two names of one form, as where a whole list was saved as one line."""
    for form, first in firsts.items():
        mark = "_MSIL2A_" if form == "s2" else "_GRDH_"
        suspects = pa.array(np.flatnonzero(np.asarray(pc.greater(pc.count_substring(texts, mark), 1))))
        if not len(suspects):
            continue
        (last,) = pc.extract_regex(texts.take(suspects), f"^.*{_BEFORE}(?P<name>{_FORMS[form]}){_AFTER}").flatten()
        differs = np.asarray(pc.not_equal(last, first.take(suspects)).fill_null(False))
        if differs.any():
            row = suspects[int(differs.argmax())].as_py()
            refuse_line(lines, int(odd[row]), f"names several patches; {_EXPECTED}")
