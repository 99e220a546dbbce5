"""Every tool explains itself without importing torch."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = sorted((ROOT / "tools").glob("*.py"))
# An import hook that refuses torch: --help must work without heavy imports.
WITHOUT_TORCH = """
import sys, runpy
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "megatron", "transformers"}:
            raise ImportError(f"{name} must not be imported before the command line is parsed")
sys.meta_path.insert(0, Refuse())
script = sys.argv[1]
sys.argv = [script, "--help"]
runpy.run_path(script, run_name="__main__")
"""


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_help_works_without_torch(tool):
    shown = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(tool)], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert shown.returncode == 0, shown.stderr
    assert "--config" in shown.stdout and len(shown.stdout) > 200
