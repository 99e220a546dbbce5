"""The arrows between rooms: a planted import against each is caught, no circle exists, and nothing grows too large."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

import megatron_speech

PACKAGE = Path(megatron_speech.__file__).parent
ROOT = PACKAGE.parent
MOST_FILES, MOST_LINES, MOST_LINES_OF_FUNCTION = 24, 330, 50
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# One module each for what torch-free rooms offer.
TORCH_FREE = ("parallel.layout", "planning.parameters", "artifacts.tasks", "platform.private_names", "corpus.records")


def layer_contracts() -> dict[str, list[list[str]]]:
    """Layers of every contract of layers, top first, by the package that holds them; a layer lists its rooms."""
    settings: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {
        contract["containers"][0]: [layer.split(" | ") for layer in contract["layers"]]
        for contract in settings["contracts"]
        if contract["type"] == "layers"
    }


def forbidden_arrows() -> dict[str, str]:
    """To every room one that it must not import: of the layer above, or its neighbour in the topmost layer."""
    arrows = {}
    for holder, layers in layer_contracts().items():
        for index, rooms in enumerate(layers):
            for room in rooms:
                others = layers[index - 1] if index else [each for each in rooms if each != room]
                arrows |= {f"{holder}.{room}": f"{holder}.{other}" for other in others[:1]}
    return arrows


def copied(folder: Path) -> Path:
    """A copy of the package with its contracts."""
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "400"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


def test_a_forbidden_import_planted_in_each_room_is_caught(tmp_path: Path) -> None:
    folder, arrows = copied(tmp_path), forbidden_arrows()
    top = layer_contracts()[PACKAGE.name][0]
    free = {*top} if len(top) == 1 else set()  # one room alone at the top may import every other
    assert {f"{PACKAGE.name}.{room}" for room in _rooms() - free} <= set(arrows)
    assert lint(folder).returncode == 0
    for room, other in arrows.items():
        path = folder / room.replace(".", "/")
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        source.write_text(f"{source.read_text()}\nimport {other}\n")
    done = lint(folder)
    assert done.returncode == 1
    assert [arrow for arrow in arrows.items() if f"{' -> '.join(arrow)} " not in done.stdout] == []


def test_a_room_that_no_layer_names_is_caught(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (folder / PACKAGE.name / "attic.py").write_text('"""Forgotten."""\n')
    done = lint(folder)
    assert done.returncode == 1 and "megatron_speech.attic" in done.stdout


def test_no_circle_between_rooms() -> None:
    arrows: dict[str, set[str]] = {room: set() for room in _rooms()}
    for path, node in _nodes(ast.Import, ast.ImportFrom):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        arrows.setdefault(room, set()).update(_imported_rooms(node) - {room, "__init__"})
    arrows.pop("__init__", None)  # the version, which all may read
    TopologicalSorter(arrows).prepare()  # raises CycleError


def test_nothing_grows_too_large() -> None:
    files = list(PACKAGE.rglob("*.py"))
    sizes = Counter(path.parent for path in files)
    crowded = {str(folder): count for folder, count in sizes.items() if count > MOST_FILES}
    long = {str(path): count for path in files if (count := len(path.read_text().splitlines())) > MOST_LINES}
    functions = {
        f"{path}:{node.lineno} {node.name}": size
        for path, node in _nodes(*FUNCTIONS)
        if (size := node.end_lineno - node.lineno + 1) > MOST_LINES_OF_FUNCTION
    }
    assert (crowded, long, functions) == ({}, {}, {})


def test_rooms_that_import_megatron_core_install_its_stand_in_first() -> None:
    bare = []
    for path, node in _nodes(ast.Import, ast.ImportFrom):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        if node.col_offset == 0 and any(name.split(".")[0] == "megatron" for name in names):
            folders = [folder for folder in path.parents if PACKAGE in (folder, *folder.parents)]
            if not any("standin.install()" in (folder / "__init__.py").read_text() for folder in folders):
                bare.append(f"{path}:{node.lineno}")
    assert bare == []


@pytest.mark.parametrize("module", TORCH_FREE)
def test_torch_free_rooms_are_imported_without_torch(module: str) -> None:
    code = f"import sys, megatron_speech.{module}; print(sorted({{'torch', 'megatron'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "[]\n"


def _rooms() -> set[str]:
    """Folders and modules of the package that are rooms."""
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    return folders | {path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__"}


def _nodes(*kinds: type[Any]) -> Iterator[tuple[Path, Any]]:
    """Every node of these kinds in the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, kinds):
                yield path, node


def _imported_rooms(node: ast.Import | ast.ImportFrom) -> set[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    return {name.split(".")[1] for name in names if name.startswith(f"{PACKAGE.name}.")} & _rooms()
