"""docs/architecture.md is true: every module is in a room, every name exists, every file is where it says."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT

PAGE = (ROOT / "docs/architecture.md").read_text()
ROOMS, JOURNEYS, PLACES = (PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0] for title in
                           ("Rooms", "Four journeys", "Where to add"))  # fmt: skip
PACKAGES = {"bigearth_xr": ROOT / "bigearth_xr", "bigearth_stac": ROOT / "stac/bigearth_stac"}


def rows_of(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def files_of_rooms() -> list[str]:
    """Files of the rooms' modules, as the page gives them."""
    files = []
    for room, _, modules in rows_of(ROOMS):
        names = quoted(room)
        if modules:
            folder = "stac/bigearth_stac" if names == ["bigearth_stac"] else f"bigearth_xr/{names[0]}"
            files += [f"{folder}/{module}.py" for module in quoted(modules)]
        else:
            files += [f"bigearth_xr/{name}.py" for name in names]
    return files


def test_every_module_is_in_one_room() -> None:
    there = [
        str(path.relative_to(ROOT))
        for folder in PACKAGES.values()
        for path in folder.rglob("*.py")
        if path.name != "__init__.py"
    ]
    assert sorted(files_of_rooms()) == sorted(there)


@cache
def names_in(path: Path) -> frozenset[str]:
    """Names that a module defines or hands on, and those of its classes' members."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
            if isinstance(node, ast.ClassDef):
                names |= {f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
    return frozenset(names)


NAMES = sorted({name for name in quoted(JOURNEYS) if "." in name} - {"bigearth_xr.open"})  # which is a re-export


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_a_journey_is_defined_there(name: str) -> None:
    parts = name.split(".")
    folder = PACKAGES[parts.pop(0) if parts[0] in PACKAGES else "bigearth_xr"]
    while (folder / parts[0]).is_dir():
        folder /= parts.pop(0)
    module, *rest = parts
    assert ".".join(rest) in names_in(folder / f"{module}.py"), f"{name} is not in {folder / module}.py"


def test_the_journeys_name_enough() -> None:
    assert len(NAMES) > 25


def test_where_to_add_something_exists() -> None:
    files = [file for _, where in rows_of(PLACES) for file in quoted(where)]
    assert len(files) > 30
    assert [file for file in files if not (ROOT / file).exists()] == []
