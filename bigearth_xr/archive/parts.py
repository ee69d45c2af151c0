"""The parts that a file was split into: which belong together, in what order, and which is missing.

``split`` counts them with letters (``aa``, ``ab``), with digits (``-d``) or in hexadecimal (``-x``); other programs
call them ``.part1`` or ``.001``. Only read one behind the other do they make up the file.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from bigearth_xr.archive.bytestream import ByteSource
from bigearth_xr.archive.source import Refusal
from bigearth_xr.errors import ArchiveError, ArchiveNotFoundError

_WHOLE = r"(?i:.+?\.(?:tar(?:\.(?:gz|zst|bz2|xz))?|tgz|tzst|tbz2|txz))"
_OF_A_TAR = re.compile(rf"(?P<stem>(?P<whole>{_WHOLE})[._-]?(?:part)?[._-]?)(?P<suffix>[a-z]+|[0-9a-f]+)")
_OF_ANYTHING = re.compile(r"(?P<stem>.*?)(?P<suffix>[0-9]+|[a-z]{2})")

_LETTERS, _DIGITS, _HEXADECIMAL = "abcdefghijklmnopqrstuvwxyz", "0123456789", "0123456789abcdef"
_MOST_NAMED = 5
_MOST_MISSING = 1000
_LONGEST_COUNT = 4


@dataclass(frozen=True, slots=True)
class Parts:
    """A file in parts, all that there are, none missing between them.

    Examples
    --------
    >>> parts = Parts(("ben/S2.tar.gzaa", "ben/S2.tar.gzab"))
    >>> str(parts), parts.next
    ('ben/S2.tar.gzaa to S2.tar.gzab', 'ben/S2.tar.gzac')
    """

    places: tuple[str, ...]
    """Paths or addresses, in order."""

    def __str__(self) -> str:
        first, last = self.places[0], self.places[-1]
        return first if first == last else f"{first} to {_take_apart(last)[1]}"

    @property
    def next(self) -> str:
        """What the part behind the last one would be called."""
        folder, name, query = _take_apart(self.places[-1])
        names = [_parse(_take_apart(place)[1]) for place in self.places]
        suffixes = [parsed.suffix for parsed in names if parsed is not None]
        stem = name[: len(name) - len(suffixes[-1])]
        return f"{folder}{stem}{_following(suffixes[-1], '', _alphabet(suffixes))}{query}"

    @property
    def is_local(self) -> bool:
        """Whether none of them is on a server."""
        return not any("://" in place for place in self.places)

    def explain(self, refusal: Refusal, chain: "Chain | None" = None) -> Refusal:
        """Say of what ended early, or is damaged, which part that may be because of."""
        last, behind = (_take_apart(place)[1] for place in (self.places[-1], self.next))
        if refusal.kind == "truncated":
            why = f"{behind}, which would follow {last}, is missing, or {last} is not complete"
        elif refusal.kind == "damaged" and chain is not None:
            why = f"{_take_apart(chain.name)[1]}, or a part before it, is damaged or not complete"
        else:
            return refusal
        return Refusal(member=refusal.member, kind=refusal.kind, message=f"{why}: {refusal.message}")


class Chain:
    """Bytes of one source behind the other, each opened when the one before has ended."""

    def __init__(self, sources: Iterator[tuple[str, ByteSource]]) -> None:
        self.name = ""
        """What was opened last."""
        self._sources = sources
        self._open: ByteSource | None = None

    def read(self, size: int, /) -> bytes:
        """Give up to `size` bytes of one source; none at the end of the last."""
        while True:
            data = self._open.read(size) if self._open is not None else None
            if data:
                return data
            self.close()
            following = next(self._sources, None)
            if following is None:
                return b""
            self.name, self._open = following

    def close(self) -> None:
        """Close what is open."""
        if self._open is not None:
            self._open.close()
            self._open = None


@dataclass(frozen=True, slots=True)
class _Name:
    """A name that may be that of a part."""

    stem: str
    """All that the names of its siblings have in common with it."""

    suffix: str
    """What counts."""

    whole: str | None
    """What the whole file was called, where that has the name of a tar."""

    @property
    def is_certain(self) -> bool:
        """Whether what follows the name of a tar counts parts, and is not another ending, such as ``asc`` or a date."""
        if self.suffix.isdigit():
            return len(self.suffix) <= _LONGEST_COUNT
        if len(self.suffix) > 2:
            return self.suffix.startswith("aa")
        return self.stem == self.whole or self.suffix.startswith("a")


@dataclass(slots=True)
class _Group:
    """Places whose names are alike but for what counts."""

    places: dict[str, str] = field(default_factory=dict)
    """Place by suffix."""

    whole: str | None = None
    is_certain: bool = False

    def is_split(self, is_tar: Callable[[str], bool]) -> bool:
        """Tell whether these are parts of a tar; names that only look so are those of something else."""
        if self.whole is not None:
            return self.is_certain
        first = next((self.places[suffix] for suffix in self.places if set(suffix) in ({"a"}, {"0"})), None)
        first = first or next((self.places[suffix] for suffix in self.places if suffix.lstrip("0") == "1"), None)
        return first is not None and len(self.places) > 1 and is_tar(first)


def siblings(path: str) -> list[str]:
    """Find the files in the folder of a part whose names differ from its own only in what counts, itself among them."""
    folder, name, _ = _take_apart(path)
    parsed = _parse(name)
    if parsed is None:
        return [path]
    with os.scandir(folder or ".") as entries:
        names = sorted(entry.name for entry in entries if entry.is_file())
    alike = ((name, _parse(name)) for name in names)
    return [f"{folder}{name}" for name, other in alike if other is not None and other.stem == parsed.stem]


def find_parts(places: Iterable[str], is_tar: Callable[[str], bool]) -> tuple[list[Parts], list[str]]:
    """Put parts together.

    Parameters
    ----------
    places
        Paths and addresses, in any order.
    is_tar
        Tells whether a file begins as a tar, compressed or not.

    Returns
    -------
    tuple
        Files in parts, and the places that are not parts.

    Raises
    ------
    ArchiveNotFoundError
        If a part is missing before or between others.
    ArchiveError
        If a part is shorter than the others; if one file is there in parts of two kinds.

    Examples
    --------
    >>> find_parts(["S1.tar", "S2.tar.gzab", "S2.tar.gzaa"], lambda path: not path.endswith("ab"))
    ([Parts(places=('S2.tar.gzaa', 'S2.tar.gzab'))], ['S1.tar'])
    """
    groups: dict[tuple[str, str], _Group] = defaultdict(_Group)
    once = list(dict.fromkeys(places))
    for place in once:
        folder, name, _ = _take_apart(place)
        parsed = _parse(name)
        if parsed is not None:
            group = groups[folder, parsed.stem]
            group.places[parsed.suffix] = place
            group.whole = parsed.whole
            group.is_certain = group.is_certain or parsed.is_certain
    found: list[Parts] = []
    for group in _joined(groups):
        if group.is_split(is_tar):
            found += _put_together(group, is_tar)
    _check_kinds(found)
    taken = {place for parts in found for place in parts.places}
    return found, [place for place in once if place not in taken]


def _take_apart(place: str) -> tuple[str, str, str]:
    """Split a path or address into folder, name, and what an address has behind a question mark."""
    path, mark, query = place.partition("?") if "://" in place else (place, "", "")
    folder, slash, name = path.rpartition("/")
    return folder + slash, name, mark + query


def _parse(name: str) -> _Name | None:
    """Take the name of a part apart; None of what cannot be one."""
    if re.fullmatch(_WHOLE, name):
        return None
    match = _OF_A_TAR.fullmatch(name)
    if match is not None:
        return _Name(match["stem"], match["suffix"], match["whole"])
    match = _OF_ANYTHING.fullmatch(name)
    return None if match is None else _Name(match["stem"], match["suffix"], None)


def _joined(groups: dict[tuple[str, str], _Group]) -> Iterator[_Group]:
    """Put groups of one name in several folders together, unless they have parts of one number."""
    by_stem: dict[str, list[_Group]] = defaultdict(list)
    for (_, stem), group in groups.items():
        by_stem[stem].append(group)
    for alike in by_stem.values():
        counts = Counter(suffix for group in alike for suffix in group.places)
        if len(alike) == 1 or max(counts.values()) > 1 or alike[0].whole is None:
            yield from alike
        else:
            places = {suffix: place for group in alike for suffix, place in group.places.items()}
            yield _Group(places, alike[0].whole, any(group.is_certain for group in alike))


def _put_together(group: _Group, is_tar: Callable[[str], bool]) -> list[Parts]:
    """Bring parts in order, and refuse them if one is missing; none of tars that are whole, each by itself."""
    suffixes = sorted(group.places, key=lambda suffix: (len(suffix), suffix))
    parts = Parts(tuple(group.places[suffix] for suffix in suffixes))
    if parts.is_local and _are_whole(parts, suffixes[0], is_tar):
        return []
    missing = _missing(suffixes)
    if missing:
        raise ArchiveNotFoundError(_tell_missing(parts, suffixes, missing))
    if parts.is_local:
        _check_sizes(parts)
    return [parts]


def _tell_missing(parts: Parts, suffixes: list[str], missing: list[str]) -> str:
    folder, name, _ = _take_apart(parts.places[0])
    stem = name[: len(name) - len(suffixes[0])]
    lost, there = (_listed([f"{stem}{suffix}" for suffix in some]) for some in (missing, suffixes))
    where = f" in {folder.rstrip('/')}" if folder else ""
    is_lost, is_there = ("is" if len(some) == 1 else "are" for some in (missing, suffixes))
    return (
        f"{lost} {is_lost} missing{where}, where {there} {is_there}; "
        "only all parts together are an archive: download or copy the rest beside them"
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return f"{', '.join(names[:_MOST_NAMED])}{more}"


def _are_whole(parts: Parts, first: str, is_tar: Callable[[str], bool]) -> bool:
    """Tell whether these are tars by themselves: each begins as one, and where that is chance, ends as one."""
    if len(parts.places) == 1 and (first.strip("0") in ("", "1") or set(first) == {"a"}):
        return False
    return all(map(is_tar, parts.places)) and all(map(_ends_as_tar, parts.places))


def _ends_as_tar(path: str) -> bool:
    """Tell whether a plain tar ends with the zeros that mark its end; of a compressed one nothing is known."""
    with open(path, "rb") as file:
        if file.read(4)[:2] in (b"\x1f\x8b", b"BZ", b"\x28\xb5", b"\xfd7") or file.seek(0, os.SEEK_END) < 1024:
            return True
        file.seek(-1024, os.SEEK_END)
        return not any(file.read())


def _check_sizes(parts: Parts) -> None:
    """Refuse a part that is shorter than those around it: all but the last are of one size."""
    if len(parts.places) < 3:
        return
    sizes = [os.stat(place).st_size for place in parts.places[:-1]]
    usual, times = Counter(sizes).most_common(1)[0]
    if times < 2:
        return
    for place, size in zip(parts.places, sizes, strict=False):
        if size < usual:
            raise ArchiveError(
                f"{place} has {size:,} bytes, other parts have {usual:,}: it is not complete; download or copy it again"
            )


def _check_kinds(found: list[Parts]) -> None:
    """Refuse a file that is there in two sets of parts."""
    seen: dict[str, Parts] = {}
    for parts in found:
        whole = whole_of(parts)
        if whole is not None and seen.setdefault(whole, parts) != parts:
            raise ArchiveError(
                f"{seen[whole]} and {parts} are both parts of {whole}; expected one set, move the other elsewhere"
            )


def whole_of(parts: Parts) -> str | None:
    """Say where the file would be that was split, where its name is known.

    Examples
    --------
    >>> whole_of(Parts(("ben/S2.tar.gz.part1",)))
    'ben/S2.tar.gz'
    """
    folder, name, query = _take_apart(parts.places[0])
    parsed = _parse(name)
    return None if parsed is None or parsed.whole is None else f"{folder}{parsed.whole}{query}"


def _missing(suffixes: list[str]) -> list[str]:
    """Count from the first part to the last, and give those that are passed over."""
    alphabet = _alphabet(suffixes)
    missing: list[str] = []
    expected = alphabet[0] * len(suffixes[0])
    if alphabet[0] == "0" and suffixes[0] != expected:
        # Some count from 0, some from 1.
        expected = "1".zfill(len(suffixes[0]) if suffixes[0].startswith("0") else 1)
    before = ""
    for suffix in suffixes:
        expected = _following(before, suffix, alphabet) if before else expected
        while expected != suffix and len(missing) < _MOST_MISSING:
            missing.append(expected)
            expected = _following(expected, suffix, alphabet)
        before = suffix
    return missing


def _alphabet(suffixes: Iterable[str]) -> str:
    """Tell what is counted with."""
    text = "".join(suffixes)
    return _LETTERS if text.isalpha() else _DIGITS if text.isdigit() else _HEXADECIMAL


def _following(suffix: str, target: str, alphabet: str) -> str:
    """Count on by one, towards another part; without one, as split does by itself."""
    first, before_last, last = alphabet[0], alphabet[-2], alphabet[-1]
    half, is_odd = divmod(len(suffix), 2)
    # Before they run out, split makes suffixes longer by two: yz, zaaa, …, zyzz, zzaaaa.
    is_wider = len(target) == len(suffix) + 2 or not target
    if not is_odd and suffix == last * (half - 1) + before_last + last * half and is_wider:
        return last * half + first * (half + 2)
    head = suffix.rstrip(last)
    if not head:
        return "1" + "0" * len(suffix) if first == "0" else first * (len(suffix) + 1)
    return head[:-1] + alphabet[alphabet.index(head[-1]) + 1] + first * (len(suffix) - len(head))
