"""The notebooks run from top to bottom, in a kernel where warnings are errors, and show what they say."""

import base64
from pathlib import Path

import nbformat
import numpy as np
import pytest
from conftest import ROOT
from imagecodecs import png_decode
from nbclient import NotebookClient

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))

STRICT = "import warnings; warnings.simplefilter('error')"
"""Run before the first cell; not part of what is committed."""


def outputs_of(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    return [
        output["data"][kind]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if kind in output.get("data", {})
    ]


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(STRICT))
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_committed_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


def test_from_open_to_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIGEARTH_ARCHIVE", raising=False)
    notebook = executed(ROOT / "examples" / "analysis.ipynb", tmp_path)
    shown = "\n".join(outputs_of(notebook, "text/plain"))
    assert "6 patches, 5 clear, 5 used" in shown
    html = "\n".join(outputs_of(notebook, "text/html"))
    assert "BigEarthNet-MM (v1), 6 patches" in html
    figures = [png_decode(base64.b64decode(picture)) for picture in outputs_of(notebook, "image/png")]
    assert len(figures) == 6
    for figure in figures:
        assert np.unique(figure.reshape(-1, figure.shape[-1]), axis=0).shape[0] > 50
