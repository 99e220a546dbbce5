"""What the README tells people to type exists, and every tool explains itself without importing torch."""

import re
import shlex
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


def commands() -> list[str]:
    """Lines of the README's shell code blocks, continuation lines joined, comments dropped."""
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```(?:bash|sh|shell)\n(.*?)```", readme, flags=re.DOTALL)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line.removeprefix("$ ") for line in lines if line and not line.startswith("#")]


@pytest.mark.skipif(not (ROOT / "README.md").is_file(), reason="this checkout has no README.md")
def test_every_command_of_the_readme_names_files_that_exist():
    assert commands(), "the README shows no command"
    for command in commands():
        for word in shlex.split(command):
            if re.fullmatch(r"(\./)?(tools|examples|tests|slurm)/[\w./-]+", word):
                assert (ROOT / word).exists(), f"README: `{command}` names {word}, which does not exist"
            if match := re.fullmatch(r"megatron_speech(\.\w+)+", word):
                path = ROOT / match[0].replace(".", "/")
                assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), f"README: `{command}`"


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_help_works_without_torch(tool):
    shown = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(tool)], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert shown.returncode == 0, shown.stderr
    assert "--config" in shown.stdout and len(shown.stdout) > 200
