"""HTML and SVG as values: text is escaped unless it is markup already."""

from collections.abc import Iterable
from html import escape

__all__ = ["Markup", "element", "join", "section"]

_VOID = {"img", "meta"}
"""Elements that never hold anything."""


class Markup(str):
    """Text that is HTML already.

    Any operation on it gives a plain ``str`` again, which will be escaped: what was not
    made by `element` or `join` cannot slip through.
    """

    __slots__ = ()


def element(tag: str, /, *children: str, **attributes: object) -> Markup:
    """Build an element.

    Parameters
    ----------
    tag
        Name of the element.
    children
        What it holds; escaped, but for `Markup`.
    attributes
        By name, ``_`` for ``-`` and at the end of Python's own words: ``class_``,
        ``stroke_width``. Left out where None; numbers lose needless digits.

    Returns
    -------
    Markup
        The element.

    Examples
    --------
    >>> element("p", "a < b ", element("b", "c"), class_="note", title=None)
    '<p class="note">a &lt; b <b>c</b></p>'
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Markup(f"<{tag}{written}>")
    return Markup(f"<{tag}{written}>{join(children)}</{tag}>")


def join(parts: Iterable[str]) -> Markup:
    """Put elements and texts one after another.

    Examples
    --------
    >>> join(["1 & ", element("b", "2")])
    '1 &amp; <b>2</b>'
    """
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))


def section(title: str, *content: str) -> Markup:
    """Put content under a title.

    Examples
    --------
    >>> section("Where", "there")
    '<section><h2>Where</h2>there</section>'
    """
    return element("section", element("h2", title), *content)


def _text(value: object) -> str:
    """Write an attribute; a hundredth of a pixel is beyond any eye."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
