"""A finished run tells a person in a few lines what it did; done.json keeps every figure."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from megatron_speech.artifacts.facts.training import RunSummary
from megatron_speech.progress import PART_OF_EXAMPLE
from megatron_speech.training.run import pretrain
from megatron_speech.training.summary import lines_at_the_end
from tests.toy_runs import make_config, make_sources


def test_the_end_of_a_run_is_told_in_short_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(tmp_path / "run", make_sources(tmp_path), steps=2)
    pretrain(config, world=(0, 1))
    log = (config.folder / "logs/rank_0.log").read_text()
    done = json.loads((config.folder / "done.json").read_text())
    last = json.loads((config.folder / "metrics.jsonl").read_text().splitlines()[-1])["loss_by_modality"]
    lines = [line.split(" INFO ", 1)[1] for line in log[log.index(" rank 0 INFO done: ") :].splitlines()]
    targets = f"{done['tokens']['text']} text and {done['tokens']['speech']} speech targets"
    assert re.fullmatch(
        rf"done: 2 steps, 256 tokens \({targets}\); 0:\d\d:\d\d since this start, .* tokens/s", lines[0]
    )
    assert lines[1:] == [
        f"loss of the last step: text {last['text']:.3f}, speech {last['speech']:.3f}",
        f"held-out loss of text: text {done['validation']['text']['text']:.3f}",
        f"checkpoint: {config.folder}/checkpoints/step_2; all figures: {config.folder}/done.json",
        f"next: megatron-speech convert_to_hf --checkpoint {config.folder} --vocabulary VOCABULARY --output HF_FOLDER",
    ]
    # Inside an example, which exports the run itself, the advice is absent.
    monkeypatch.setenv(PART_OF_EXAMPLE, "1")
    run: Any = SimpleNamespace(config=config, plan=SimpleNamespace(seq_length=32))
    *_, end = lines_at_the_end(run, RunSummary.from_json(done), seconds=1)
    assert end.startswith(f"checkpoint: {config.folder}")
    held_out = [line for line in log.splitlines() if "held-out loss of" in line and ": step 2: " in line]
    assert all("{" not in line for line in held_out) and "validation {" not in log
    assert {"plan", "validation_targets", "tokens_by_source"} <= done.keys()
