"""Lists the YAML files under examples/, the steps of the examples, and the tool that reads each file."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from megatron_speech.commands.table import COMMANDS
from megatron_speech.config.parsing.config_files import config_file
from megatron_speech.examples.run import parse
from megatron_speech.examples.runner.work import Step
from megatron_speech.examples.steps.own_data import EVALUATION_SETS, FILES

ROOT = Path(__file__).resolve().parents[1]
YAMLS = sorted((ROOT / "examples").rglob("*.yaml"))
CALLS = [
    ["miniature"],
    ["miniature", "--model.base", "scratch"],
    ["own_data", "--data", "{made}/data"],
    ["claim"],
    ["interleave", "--miniature", "{made}"],
    ["speech_tokenizer"],
    ["text_to_token", "--tokenizer", "{made}/speech_tokenizer"],
    ["precision", "{made}/packed"],
    ["mixture"],
    ["own_data", "--data", "{made}/data", "--base", "{made}/base"],
    ["glm4_9b", "--list"],
]


@functools.cache
def steps() -> list[Step]:
    """The steps of all examples; what they take from a finished miniature, or from the user, is made up."""
    with tempfile.TemporaryDirectory() as made:
        sets = [f"evaluation/{name}{part}.jsonl" for name in EVALUATION_SETS for part in ("", "_recordings")]
        for name in ("base/config.json", *(f"data/{name}" for name in (*FILES, *sets))):
            Path(made, name).parent.mkdir(parents=True, exist_ok=True)
            Path(made, name).touch()
        for name in ("t2t/hf", "speech_tokenizer", "packed/interleaved"):
            Path(made, name).mkdir(parents=True)
            Path(made, name, "manifest.json").write_text("{}")
        return [step for words in CALLS for step in parse([word.format(made=made) for word in words])[0].steps]


@functools.cache
def tools_by_yaml() -> dict[Path, str]:
    """Which tool reads which file: by the steps, else by the file's name, which begins with the tool's."""
    own = (ROOT / "examples" / "own_data").glob("*.yaml")
    named = {path: max((name for name in COMMANDS if path.stem.startswith(name)), key=len, default="") for path in own}
    return {**named, **{file_of(step): step.tool for step in steps()}}


def file_of(step: Step) -> Path:
    """The file of a step; a path begins at the root."""
    return ROOT / step.settings if step.settings.endswith(".yaml") else config_file(step.settings).resolve()


def overrides(tool: str, path: Path) -> list[str]:
    """Required keys that are not in the file, because steps always give them on the command line."""
    needed = {
        "codes.yaml": ["--audio", "audio/train", "--output", "codes/train"],
        "assets.yaml": ["--set", "ci"],
        "plan.yaml": ["--config", str(path.with_name("pretrain.yaml"))],
        "plan_run.yaml": ["--config", str(path.with_name("pretrain.yaml"))],
        "plan_parameters.yaml": ["--config", str(path.with_name("pretrain.yaml"))],
    }
    return needed.get(path.name, [])
