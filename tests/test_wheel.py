"""The wheel, installed as a user would, runs the README's first example."""

import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.wheel


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=cwd)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel that would be published."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT)
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the programs of a clean environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    pip = folder / "bin" / "pip"
    constraints = ROOT / "constraints.txt"
    run(pip, "install", "--quiet", "--constraint", constraints, f"{wheel}[sample]")
    return folder / "bin"


def test_wheel_holds_the_package_its_types_and_its_kernel(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"bigearth_stac", "bigearth_xr", "bigearth_xr-0.1.0.dist-info"}
    assert {"bigearth_xr/py.typed", "bigearth_xr/device/fused.cu"} <= {*names}
    beside = (
        path for path in (ROOT / "bigearth_xr" / "report").rglob("*.*") if path.suffix in (".css", ".html", ".json")
    )
    assert {path.relative_to(ROOT).as_posix() for path in beside} <= {*names}


def test_readme_example_runs(scripts: Path, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = re.search(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    assert example, "README.md has no ```python block"
    script = tmp_path / "example.py"
    # Workers that are spawned import the script again.
    script.write_text(example[1])
    run(scripts / "python", script, cwd=tmp_path)


def test_command_line_starts(scripts: Path, tmp_path: Path) -> None:
    run(scripts / "bigearth", "--help", cwd=tmp_path)
