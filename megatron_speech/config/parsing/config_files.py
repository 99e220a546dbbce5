"""Finds the file of `--config`: a path, or the name of an example that ships with the package.

Examples are the YAML files below ``megatron_speech/examples.d``, a link to ``examples``. A value without an ending may
name one: by its folder, ``miniature/pretrain``, or alone where no other folder has the name, ``paper``. A file at the
path itself comes first.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from megatron_speech.config.parsing.near_path import did_you_mean

EXAMPLES = Path(__file__).parents[2] / "examples.d"
_ENDING = ".yaml"


def config_file(given: str) -> Path:
    """Path of the file that `given` names. FileNotFoundError or ValueError tells the nearest name, or the remedy."""
    path = Path(given)
    if given and path.is_file():
        return path
    if not given or path.exists() or path.suffix or path.is_absolute() or given.startswith("."):
        fault = "is a folder; give a YAML file" if given and path.is_dir() else f"no such file; {did_you_mean(path)}"
        raise FileNotFoundError(f"--config {given or chr(39) * 2}: {fault}")
    names = example_names()
    found = [name for name in names if given in (name, name.rpartition("/")[2])]
    if len(found) > 1:
        raise ValueError(f"--config {given}: {len(found)} examples have this name; choose {' or '.join(found)}")
    if not found:
        near = difflib.get_close_matches(given, [*names, *(name.rpartition("/")[2] for name in names)], n=1)
        hint = f"did you mean {near[0]!r}?" if near else "correct the path"
        raise FileNotFoundError(f"--config {given}: no such file, and no example of this name; {hint}")
    return EXAMPLES / f"{found[0]}{_ENDING}"


def example_names() -> list[str]:
    """Names of all examples, as in "miniature/pretrain"."""
    return sorted(str(path.relative_to(EXAMPLES).with_suffix("")) for path in EXAMPLES.glob(f"*/*{_ENDING}"))
