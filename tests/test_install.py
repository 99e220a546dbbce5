"""tools/install.sh with a pip that only says what pip would: progress, the next step, and nothing to do twice."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PIP = """#!/usr/bin/env bash
echo "  Installing build dependencies: started"
echo "  Installing build dependencies: finished with status 'done'"
for number in {1..15}; do echo "Collecting package$number>=1 (from megatron-speech)"; done
for number in {16..20}; do echo "Processing /wheels/package$number-1-py3-none-any.whl (from megatron-speech)"; done
echo "  Downloading large.whl (190.2 MB)"
echo "  Downloading small.whl (12 kB)"
echo "Installing collected packages: package1, package2"
exit ${PIP_STATUS:-0}
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("pyproject.toml", "tools/constraints.txt", "tools/install.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("pip", "python"):
        (tmp_path / ".venv" / "bin" / name).write_text(PIP)
        (tmp_path / ".venv" / "bin" / name).chmod(0o755)
    (tmp_path / "python3.11").symlink_to("/bin/true")
    return tmp_path


def install(checkout: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": str(checkout / "python3.11"), **variables}
    command = ["bash", str(checkout / "tools" / "install.sh")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_it_says_what_it_does_how_far_it_is_and_what_is_next(checkout: Path) -> None:
    done = install(checkout)
    first, *progress, last = done.stdout.splitlines()
    number = sum("==" in line for line in (ROOT / "tools" / "constraints.txt").open())
    assert (done.returncode, done.stderr) == (0, "")
    assert first.startswith(f"installing about {number} packages, at the tested versions, into {checkout}/.venv")
    assert progress == [
        f"  10 of about {number} packages found",
        f"  20 of about {number} packages found",
        "  downloading large.whl (190.2 MB)",
        "  unpacking them: this takes minutes",
    ]
    assert last == "done; next: .venv/bin/megatron-speech doctor"
    assert install(checkout).stdout == f"{checkout}/.venv: already installed\n"


def test_what_pip_could_not_install_is_not_done(checkout: Path) -> None:
    done = install(checkout, PIP_STATUS="1")
    assert done.returncode == 1 and "done" not in done.stdout
    assert "installing" in install(checkout).stdout
