"""The notebooks run from top to bottom, in a kernel where warnings are errors, and show what they say."""

import base64
import json
from pathlib import Path

import nbformat
import numpy as np
import pytest
import rasterio
from conftest import ROOT
from imagecodecs import png_decode
from nbclient import NotebookClient

import bigearth_xr as bex

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))

STRICT = "import warnings; warnings.simplefilter('error')"
"""Run before the first cell; not part of what is committed."""

PROBE = """
import json
pixel = on_ground[30, 70]
print(json.dumps([str(archive), pixel.patch.item(), pixel.x.item(), pixel.y.item(), pixel.item()]))
"""
"""Run after the last: a pixel of the NDVI map, as the notebook has it."""


def outputs_of(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    return [
        output["data"][kind]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if kind in output.get("data", {})
    ]


def figures_of(notebook: nbformat.NotebookNode) -> list[np.ndarray]:
    return [np.asarray(png_decode(base64.b64decode(png))) for png in outputs_of(notebook, "image/png")]


def colors_in(figure: np.ndarray) -> int:
    return len(np.unique(figure.reshape(-1, figure.shape[-1]), axis=0))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a notebook runs, and leaves what it writes."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def executed(path: Path, folder: Path, *, probe: str = "") -> nbformat.NotebookNode:
    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)
    notebook.cells = [nbformat.v4.new_code_cell(STRICT), *notebook.cells, nbformat.v4.new_code_cell(probe)]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_committed_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_no_notebook_needs_torch(path: Path) -> None:
    code = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert "torch" not in "\n".join(code)


def test_from_open_to_plot(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIGEARTH_ARCHIVE", raising=False)
    notebook = executed(ROOT / "examples" / "analysis.ipynb", folder, probe=PROBE)
    assert "6 patches, 5 clear, 5 used" in "\n".join(outputs_of(notebook, "text/plain"))
    assert "BigEarthNet-MM (v1), 6 patches" in "\n".join(outputs_of(notebook, "text/html"))
    figures = figures_of(notebook)
    assert len(figures) == 6
    assert min(map(colors_in, figures)) > 50

    archive, patch, easting, northing, ndvi = json.loads(notebook.cells[-1].outputs[0]["text"])
    nir, red = (_read_at(archive, f"{patch}_{band}.tif", easting, northing) for band in ("B08", "B04"))
    assert ndvi == pytest.approx((nir - red) / (nir + red), rel=1e-6)


def _read_at(archive: str, name: str, easting: float, northing: float) -> float:
    """What rasterio finds at a place on the ground."""
    [path] = Path(archive).rglob(name)
    with rasterio.open(path) as band:
        [[value]] = band.sample([(easting, northing)])
    return float(value)


def test_from_open_to_plot_of_an_archive_of_v2(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = bex.testing.write_archive(folder / "mine", pairs=8, version="v2")
    monkeypatch.setenv("BIGEARTH_ARCHIVE", str(archive))
    notebook = executed(ROOT / "examples" / "analysis.ipynb", folder)
    assert "reBEN (v2), 8 patches" in "\n".join(outputs_of(notebook, "text/html"))
    assert len(figures_of(notebook)) == 6
