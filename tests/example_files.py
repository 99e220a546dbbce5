"""The YAML files under examples/, the steps of the examples, and which tool reads which file."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from examples.run import parse
from examples.runner.work import Step

ROOT = Path(__file__).resolve().parents[1]
YAMLS = sorted((ROOT / "examples").rglob("*.yaml"))
CALLS = [
    ["miniature"],
    ["miniature", "--model.base", "scratch"],
    ["interleave", "--miniature", "{made}"],
    ["speech_tokenizer"],
    ["text_to_token", "--tokenizer", "{made}/speech_tokenizer"],
    ["precision", "{made}/packed"],
    ["mixture"],
    ["glm4_9b"],
]


@functools.cache
def steps() -> list[Step]:
    """The steps of all examples; what some of them take from a finished miniature is made up."""
    with tempfile.TemporaryDirectory() as made:
        for name in ("t2t/hf", "speech_tokenizer", "packed/interleaved"):
            Path(made, name).mkdir(parents=True)
            Path(made, name, "manifest.json").write_text("{}")
        return [step for words in CALLS for step in parse([word.format(made=made) for word in words])[0].steps]


def tools_by_yaml() -> dict[Path, str]:
    """Which tool reads which file, by the steps."""
    return {ROOT / step.settings: step.tool for step in steps()}


def overrides(tool: str, path: Path) -> list[str]:
    """Keys that steps add on the command line for every use of the file and that have no default."""
    needed = {"codes.yaml": ["--audio", "audio/train", "--output", "codes/train"], "assets.yaml": ["--set", "ci"]}
    return needed.get(path.name, [])
