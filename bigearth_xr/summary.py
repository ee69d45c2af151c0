"""What a Dataset of patches holds, in a few lines, for the eye."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import xarray as xr

from bigearth_xr.backend.origin import stored_source
from bigearth_xr.releases import Release, named_releases, release

__all__ = ["summarize"]

_PIXELS = ("s2", "s1", "reference_map")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Release, counts and size."""

    title: str
    """What the Dataset is, in a line."""

    facts: Mapping[str, str]
    """Everything else, by name."""

    def as_text(self) -> str:
        """Lay out for a terminal."""
        width = max(map(len, self.facts))
        return "\n".join([self.title, *(f"  {name:<{width}}  {text}" for name, text in self.facts.items())])

    def as_html(self) -> str:
        """Lay out for a notebook; colours are the notebook's own, light or dark."""
        cell = '<td style="text-align:left;padding:1px 12px 1px 0">'
        rows = "".join(
            f"<tr>{cell}{escape(name)}</td>{cell}{escape(text)}</td></tr>" for name, text in self.facts.items()
        )
        return f"<div><b>{escape(self.title)}</b><table>{rows}</table></div>"


def summarize(ds: xr.Dataset) -> Summary:
    """Count what a Dataset holds; reads coordinates, no pixel."""
    identity = json.loads(ds.attrs.get("bigearth", "{}"))
    patches = ds.sizes.get("patch", 1)
    facts = {"pixels": _pixels(ds)}
    for name in ("split", "country", "season"):
        if name in ds.coords:
            facts[name] = _counts(ds[name])
    if "listed" in ds.coords and "recommended" in ds.coords:
        facts["recommended"] = f"{int(ds['recommended'].sum()):,} of {int(ds['listed'].sum()):,} listed"
    if "s2_time" in ds.coords and ds["s2_time"].size:
        first, last = ds["s2_time"].values.min(), ds["s2_time"].values.max()
        facts["Sentinel-2"] = f"{str(first)[:10]} to {str(last)[:10]}"
    if "label" in ds.dims:
        facts["labels"] = f"{ds.sizes['label']} classes"
    if "store" in identity:
        facts["store"] = _store(ds, identity["store"])
    title = f"{_release(ds, identity.get('release'))}, {patches:,} patch{'es' * (patches != 1)}"
    return Summary(title=title, facts=facts)


def _release(ds: xr.Dataset, said: Release | None) -> str:
    """Name the release, or both with the patches of each: attributes of two Datasets together are those of one."""
    ids = map(str, ds["patch"].values.ravel().tolist()) if "patch" in ds.coords else ()
    counts = Counter(named for name in ids for named in named_releases([name]) if named is not None)
    if len(counts) < 2 and (said is None or not {*counts} - {said}):
        return f"{ds.attrs.get('title', 'Dataset')}{f' ({said})' if said else ''}"
    if len(counts) == 1:  # the attributes are of other patches
        return "".join(f"{release(name).title} ({name})" for name in counts)
    return " and ".join(f"{release(name).title} ({name}) {counts[name]:,}" for name in sorted(counts))


def _store(ds: xr.Dataset, said: str) -> str:
    """Where the pixels are; of those that are not a store's own any more attributes name but one origin."""
    sources = [stored_source(ds[name]) for name in _PIXELS if name in ds]
    places = sorted({pixels.store.location.address for pixels in sources if pixels is not None})
    if None in sources:
        return f"{said}, and maybe others: some pixels were loaded, joined or computed with since"
    return " and ".join(places) or said


def _pixels(ds: xr.Dataset) -> str:
    pixels = [name for name in _PIXELS if name in ds]
    size_mb = sum(ds[name].nbytes for name in pixels) / 1e6
    parts = [
        f"{ds.sizes[dim]} {dim}s"
        for dim, text in (("band", "s2"), ("polarization", "s1"))
        if text in ds and dim in ds.dims
    ]
    maps = ["reference maps"] if "reference_map" in ds else []
    size = f"{size_mb / 1e3:,.1f} GB" if size_mb >= 1e3 else f"{size_mb:.1f} MB"
    return f"{size} at 10 m: {', '.join([*parts, *maps])}"


def _counts(texts: xr.DataArray) -> str:
    found = Counter(str(text) or "unknown" for text in texts.values.ravel())
    return ", ".join(f"{text} {count:,}" for text, count in found.most_common())
