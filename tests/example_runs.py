"""The examples in a root of their own, with a python that only notes what it is asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Runs the examples' runner for real; of a tool it keeps the words, says something, and makes the output folder of some.
PYTHON = f"""#!{sys.executable}
import os, pathlib, sys
assert sys.argv[1:3] == ["-m", "megatron_speech.commands"], sys.argv
tool, *words = sys.argv[3:]
if tool == "run":
    sys.executable, sys.argv = sys.argv[0], ["megatron-speech", tool, *words]
    sys.path.insert(0, "{ROOT}")
    from megatron_speech.commands.main import main
    main()
    sys.exit()
if tool == "launch":
    assert words[:2] == ["--standalone", "--nproc-per-node"], words
    tool, *words = words[3:]
with open(os.environ["COMMANDS"], "a") as file:
    file.write("\\t".join([tool, *words]) + "\\n")
print("this is", tool)
print("threads:", os.environ.get("OMP_NUM_THREADS"), file=sys.stderr)
if os.environ["FAIL"] and os.environ["FAIL"] in " ".join([tool, *words]):
    sys.exit("no luck")
if tool in ("train_speech_tokenizer", "tokenizer_report", "round_trip") and "--output" in words:
    output = pathlib.Path(words[len(words) - 1 - words[::-1].index("--output") + 1])
    output.mkdir(parents=True, exist_ok=tool == "round_trip")
    (output / "manifest.json").write_text("{{}}")
"""


def make_root(folder: Path) -> Path:
    """A root with the examples, an installer that does nothing, and that python."""
    root = folder / "root"
    shutil.copytree(ROOT / "examples", root / "examples", ignore=shutil.ignore_patterns("*.png", "__pycache__"))
    for path, text in (("tools/install.sh", "#!/bin/bash\n"), (".venv/bin/python", PYTHON)):
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text(text)
        (root / path).chmod(0o755)
    return root


def run(
    root: Path, example: str, *words: str, fail: str = ""
) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """What run.sh of the example says, and the commands that it ran."""
    commands = root / "commands"
    commands.write_text("")
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "OMP_NUM_THREADS")}
    done = subprocess.run(
        ["bash", str(root / "examples" / example / "run.sh"), *words],
        env={**environment, "COMMANDS": str(commands), "FAIL": fail},
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done, [line.split("\t") for line in commands.read_text().splitlines()]
