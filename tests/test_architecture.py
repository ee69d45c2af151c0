"""The rules of the source tree: what imports what, how long things are, their names."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT

import bigearth_xr

PACKAGE = ROOT / "bigearth_xr"
MODULES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "stac" / "bigearth_stac").rglob("*.py")])

MAX_MODULE_LINES = 500
MAX_BODY_LINES = 30
MAX_KERNEL_LINES = 35  # compiled: a call in a loop may cost what it would explain

# Who may import these at the top of a module; all else imports them where needed.
TOP_LEVEL_IMPORTERS = {
    "torch": ("torch/", "learn.py", "embedding.py"),
    "cupy": ("device/",),
}
ONLY_IMPORTERS = {"cupy": ("device/",)}

# Spelled in pieces, so that this file does not find itself.
MACHINE_PATHS = tuple(f"/{folder}/" for folder in ("work", "root", "opt"))
TEXTS = (
    *("*.css", "*.cu", "*.html", "*.ipynb", "*.js", "*.json", "*.md", "*.py", "*.toml"),
    *("*.txt", "*.yml", ".gitignore", "Dockerfile", "Makefile", ".ci/run"),
)
NOT_OURS = {"build", "dist", "node_modules", "site"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    """Path below the package, for messages and for the ids of tests."""
    return path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else ROOT / "stac").as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def public_names(tree: ast.Module) -> set[str]:
    """Functions and classes defined in the module whose names are no private ones."""
    kinds = Function | ast.ClassDef
    defined = {node.name for node in tree.body if isinstance(node, kinds)}
    return {name for name in defined if not name.startswith("_")}


def public_functions(tree: ast.Module) -> Iterator[Function]:
    public = public_names(tree)
    functions = (node for node in tree.body if isinstance(node, Function) and node.name in public)
    # An overload has no docstring: that of the function itself counts.
    return (node for node in functions if "overload" not in map(ast.unparse, node.decorator_list))


def names_in_reach(init: Path) -> set[str]:
    """Functions and classes that a package defines or re-exports."""
    tree = tree_of(init)
    package = ".".join(init.parent.relative_to(ROOT).parts)
    imports = (n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom))
    return public_names(tree) | {
        alias.asname or alias.name
        for node in imports
        if node.module != package  # else it is a module that is imported
        for alias in node.names
    }


def is_on_the_surface(path: Path, name: str) -> bool:
    """Whether a package re-exports a function, or users import its module by itself; all else is internal."""
    if path.name == "__init__.py" or (path.parent == PACKAGE and path.stem in bigearth_xr.__all__):
        return True
    root = PACKAGE.parent if path.is_relative_to(PACKAGE) else ROOT / "stac"
    module = ".".join(path.relative_to(root).with_suffix("").parts)
    inits = [folder / "__init__.py" for folder in path.parents if folder != root and folder.is_relative_to(root)]
    imports = (node for init in inits for node in ast.walk(tree_of(init)) if isinstance(node, ast.ImportFrom))
    return any(node.module == module and name in {alias.name for alias in node.names} for node in imports)


def code_lines(function: Function) -> int:
    """Lines of a function's body less its docstring: its signature is a table to look things up in."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or body[-1].lineno) - body[0].lineno + 1 if body else 0


def imported(nodes: Iterator[ast.AST]) -> set[str]:
    """Top-level packages that these nodes import."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk the nodes that run when the module is imported: no function bodies."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if not isinstance(node, Function | ast.Lambda):
            yield node
            yield from at_import(node)


def room_of(module: str) -> str:
    """The package or single module that a module is part of, e.g. ``bigearth_xr.store``."""
    return ".".join(module.split(".")[:2]) if module.startswith("bigearth_xr.") else module.partition(".")[0]


def module_of(path: Path) -> str:
    """A module's dotted name."""
    root = ROOT if path.is_relative_to(PACKAGE) else ROOT / "stac"
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def offered(path: Path) -> list[str]:
    """What a module's ``__all__`` names."""
    assigned = [node for node in tree_of(path).body if isinstance(node, ast.Assign)]
    named = [node.value for node in assigned if ast.unparse(node.targets[0]) == "__all__"]
    return list(ast.literal_eval(named[0])) if named else []


@cache
def homes() -> dict[str, list[str]]:
    """What each module offers."""
    return {module_of(path): offered(path) for path in MODULES}


def texts() -> Iterator[Path]:
    """Yield our text files, wherever they lie in the repository."""
    folders = [ROOT]
    while folders:
        for path in sorted(folders.pop().iterdir()):
            if path.is_dir() and not path.is_symlink():
                ours = path.name == ".ci" or not path.name.startswith(".")
                if ours and path.name not in NOT_OURS:
                    folders.append(path)
            elif any(path.match(pattern) for pattern in TEXTS):
                yield path


def test_data_flows_one_way() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([lint, "--no-cache"], check=False, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_MODULE_LINES


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_fit_a_screen(path: Path) -> None:
    lengths = {f.name: code_lines(f) for f in functions(tree_of(path))}
    most = MAX_KERNEL_LINES if path.parent.name == "kernels" else MAX_BODY_LINES
    assert {n: k for n, k in lengths.items() if k > most} == {}


@pytest.mark.parametrize(
    # A command's docstring is its --help, and its examples are in the docs.
    "path",
    [path for path in MODULES if path.name != "cli.py"],
    ids=name_of,
)
def test_functions_of_the_public_surface_show_an_example(path: Path) -> None:
    silent = [
        function.name
        for function in public_functions(tree_of(path))
        if is_on_the_surface(path, function.name) and ">>>" not in (ast.get_docstring(function) or "")
    ]
    assert silent == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_heavy_libraries_are_imported_where_they_belong(path: Path) -> None:
    tree = tree_of(path)
    for rules, nodes in (
        (TOP_LEVEL_IMPORTERS, at_import(tree)),
        (ONLY_IMPORTERS, ast.walk(tree)),
    ):
        packages = imported(nodes)
        for library, importers in rules.items():
            allowed = name_of(path).startswith(importers)
            assert allowed or library not in packages, f"{library} in {name_of(path)}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_room_takes_of_another_what_that_offers(path: Path) -> None:
    imports = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.ImportFrom)]
    of_others = [
        (str(node.module), alias.name)
        for node in imports
        if node.module in homes() and room_of(node.module) != room_of(module_of(path))
        for alias in node.names
    ]
    assert [
        f"{module}.{name}"
        for module, name in of_others
        if name not in homes()[module] and f"{module}.{name}" not in homes()
    ] == []


def test_no_module_is_called_utils() -> None:
    assert not {path.stem for path in MODULES} & {"common", "helpers", "util", "utils"}


def test_no_module_bears_the_name_of_a_public_function() -> None:
    # `bex.embed` would be the function until the first import of the module.
    for init in PACKAGE.rglob("__init__.py"):
        modules = {path.stem for path in init.parent.iterdir()}
        assert modules & names_in_reach(init) == set(), init.parent.name


def test_nothing_mentions_the_paths_of_one_machine() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in texts()
        if any(place in path.read_text(encoding="utf-8") for place in MACHINE_PATHS)
    }
    assert found == set()
