"""Every figure in the documentation is one that was measured, or names its source."""

import json
import re
from pathlib import Path

import pytest
from conftest import ROOT

RESULTS = ROOT / "benchmarks" / "results"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

NUMBER = r"\d[\d,]*(?:\.\d+)?"
# <!-- figure: NAME#dotted.key -->value        <!-- fact: source -->value
MARKED = re.compile(rf"<!-- (?P<kind>figure|fact): (?P<where>[^>]+?) -->\s*\**(?P<value>{NUMBER})?")
UNIT = r"""(?:
    (?:x|×|times)\ (?:as|faster|slower|smaller|larger|bigger|less|fewer|more)\b
  | (?:[kM]\ )?(?:pairs?|patch(?:es)?|samples?|images?|files?|items?|rows?|tiles?|req(?:uests)?)
        \ ?(?:/|per\b)\ ?(?:CPU-?\ ?)?s(?:ec(?:ond)?s?)?\b
  | (?:[kKMGT]i?)?B(?:/|\ per\ )s(?:econd)?\b
  | [kKMGT]i?B\b
  | (?:n|µ|μ|u|m)s\b
  | (?:milli|micro|nano)?seconds?\b
  | s\b
  | minutes?\b
)"""
MEASURED = re.compile(rf"(?<![\w.]){NUMBER}\**\s?{UNIT}", re.VERBOSE)


def figure(where: str, results: Path) -> float:
    """Read the figure that a comment points to, ``NAME#dotted.key``."""
    name, _, key = where.partition("#")
    value = json.loads((results / f"{name}.json").read_text())["figures"]
    for part in key.split("."):
        value = value[part]
    return float(value)


def wrong_figures(text: str, results: Path) -> list[str]:
    """List the marked figures that are not what was measured."""
    wrong = []
    for match in MARKED.finditer(text):
        if match["value"] is None:
            wrong.append(f"{match[0]}: no number follows")
        elif match["kind"] == "figure":
            shown = match["value"].replace(",", "")
            decimals = len(shown.partition(".")[2])
            measured = figure(match["where"], results)
            if f"{measured:.{decimals}f}" != shown:
                wrong.append(f"{match[0]}: measured {measured}")
    return wrong


def unmarked_figures(text: str) -> list[str]:
    """List what reads like a measurement and has no comment before it."""
    return [match[0] for match in MEASURED.finditer(MARKED.sub("", text))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_figures_are_what_was_measured(page: Path) -> None:
    assert wrong_figures(page.read_text(encoding="utf-8"), RESULTS) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_figure_without_its_source(page: Path) -> None:
    assert unmarked_figures(page.read_text(encoding="utf-8")) == []


def test_results_say_when_and_of_what() -> None:
    for path in RESULTS.glob("*.json"):
        result = json.loads(path.read_text())
        assert set(result) == {"benchmark", "commit", "date", "machine", "figures"}
        assert result["benchmark"] == path.stem


@pytest.fixture
def results(tmp_path: Path) -> Path:
    figures = {"speedup": 12.34, "reader": {"pairs_per_s": 13811.6}}
    (tmp_path / "read.json").write_text(json.dumps({"figures": figures}))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("<!-- figure: read#speedup -->12.3 x faster", 0),
        ("<!-- figure: read#speedup -->**12** x faster", 0),
        ("<!-- figure: read#reader.pairs_per_s -->13,812 pairs/s", 0),
        ("<!-- fact: the paper -->59 GB", 0),
        ("<!-- figure: read#speedup -->12.4 x faster", 1),
        ("<!-- figure: read#speedup -->much faster", 1),
    ],
)
def test_a_marked_figure_is_compared(text: str, wrong: int, results: Path) -> None:
    assert len(wrong_figures(text, results)) == wrong
    assert unmarked_figures(text) == []


def test_a_figure_of_no_result_is_an_error(results: Path) -> None:
    with pytest.raises(KeyError, match="latency"):
        wrong_figures("<!-- figure: read#latency -->3 ms", results)


@pytest.mark.parametrize(
    "text",
    [
        "12 x faster",
        "3.5 × smaller",
        "**9** times as fast",
        "13,800 pairs per CPU-second",
        "13.8 k pairs/CPU-s",
        "900 patches/s",
        "in 28 µs",
        "in 2 minutes",
        "75 ms",
        "220 MB/s",
        "66 GiB",
    ],
)
def test_an_unmarked_figure_is_found(text: str) -> None:
    assert unmarked_figures(text)


@pytest.mark.parametrize(
    "text",
    [
        "120 × 120 pixels",
        "12 bands",
        "120 x 120",
        "20 m",
        "590,326 pairs",
        "v1.0",
        "S2",
    ],
)
def test_a_plain_number_is_no_figure(text: str) -> None:
    assert unmarked_figures(text) == []
