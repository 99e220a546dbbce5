"""Which tests run when: a bare pytest leaves out the slow ones, run.sh runs all, and each room has quick ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from fnmatch import filter as filter_names
from pathlib import Path

import pytest

from tests.conftest import SLOW, TESTS, is_slow

ROOT = TESTS.parent
PACKAGE = ROOT / "megatron_speech"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project's settings of pytest with two tests, one of them slow; the other tools of run.sh do nothing."""
    for name in ("pyproject.toml", "tests/conftest.py", "tests/run.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for folder in ("unit/data", "distributed"):
        (tmp_path / "tests" / folder).mkdir(parents=True)
        (tmp_path / "tests" / folder / "test_it.py").write_text("def test_it():\n    pass\n")
    bin_ = tmp_path / ".venv" / "bin"
    bin_.mkdir(parents=True)
    for tool in ("ruff", "mypy", "lint-imports", "shellcheck"):
        script(bin_ / tool, "exit 0")
    script(bin_ / "python", f'exec {sys.executable} "$@"')
    (tmp_path / "tools").mkdir()
    script(tmp_path / "tools" / "install.sh", "exit 0")
    return tmp_path


def script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def folders_run(project: Path, *command: str) -> set[str]:
    """Folders of the tests that `command` runs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run([*command, "-vv"], cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return {str(Path(line.split("::")[0]).parent) for line in done.stdout.splitlines() if line.endswith("%]")}


def quick_files(top: Path) -> list[Path]:
    return [path for path in top.rglob("test_*.py") if not is_slow(path)]


def test_a_bare_pytest_leaves_out_the_slow_tests(project: Path) -> None:
    assert folders_run(project, sys.executable, "-m", "pytest") == {"tests/unit/data"}


def test_a_slow_file_that_is_named_runs(project: Path) -> None:
    pytest_of = (sys.executable, "-m", "pytest")
    assert folders_run(project, *pytest_of, "tests/distributed/test_it.py") == {"tests/distributed"}
    assert folders_run(project, *pytest_of, "tests/distributed/test_it.py::test_it") == {"tests/distributed"}
    assert folders_run(project, *pytest_of, "tests/unit", "tests/distributed") == {"tests/unit/data"}


def test_all_checks_run_every_test(project: Path) -> None:
    assert folders_run(project, "bash", "tests/run.sh") == {"tests/unit/data", "tests/distributed"}
    quick = folders_run(project, "bash", "tests/run.sh", "-m", "not slow")
    assert quick == {"tests/unit/data"}, "arguments of run.sh come last"


def test_what_is_called_slow_exists() -> None:
    files = [path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")]
    assert [slow for slow in SLOW if not filter_names(files, slow)] == []


def test_every_room_has_quick_tests() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    rooms |= {path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__"}
    folders = [path.relative_to(top).parts[0] for top in (TESTS / "unit", TESTS) for path in quick_files(top)]
    tested = {name.removeprefix("test_").removesuffix(".py") for name in folders}
    assert len(rooms) > 20 and rooms - tested == set()
