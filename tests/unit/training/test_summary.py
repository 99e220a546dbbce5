"""A finished run tells a person in a few lines what it did; done.json keeps every figure."""

from __future__ import annotations

import json
import re
from pathlib import Path

from megatron_speech.training.run import pretrain
from tests.toy_runs import make_config, make_sources


def test_the_end_of_a_run_is_told_in_short_lines(tmp_path: Path) -> None:
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
    assert {"plan", "validation_targets", "tokens_by_source"} <= done.keys()
