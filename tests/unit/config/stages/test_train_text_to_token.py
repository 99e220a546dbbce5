"""The text-to-token model's training is a run of the common trainer, with this task's choices."""

from pathlib import Path
from typing import Any

import pytest

from megatron_speech.config.parsing.parse import parse_config
from megatron_speech.config.run.training import TrainConfig
from megatron_speech.config.stages.train_text_to_token import FirstPairsConfig, TrainTextToTokenConfig


def _config(*, tokens: int | None = 1000, **settings: Any) -> TrainTextToTokenConfig:
    return TrainTextToTokenConfig(folder=Path("run"), pairs=Path("all"), train=TrainConfig(tokens=tokens), **settings)


def test_short_pairs_come_first_and_the_rest_is_for_all() -> None:
    first = {name: FirstPairsConfig(pairs=Path(name), tokens=tokens) for name, tokens in (("short", 200), ("mid", 300))}
    run = _config(first=first, held_out=Path("held_out")).run
    assert [(stage.name, stage.tokens, list(stage.sources)) for stage in run.data.stages] == [
        ("short", 200, ["short"]), ("mid", 300, ["mid"]), ("pairs", 500, ["pairs"]),
    ]  # fmt: skip
    assert run.train.tokens is None, "the stages say it"
    sources = {**run.data.sources, **run.data.validation}
    assert [str(source.folder) for source in sources.values()] == ["short", "mid", "all", "held_out"]
    assert {(source.task, source.policy.tokens) for source in sources.values()} == {("synthesis", "target")}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tokens": None}, "train.tokens is missing"),
        ({"first": {"short": FirstPairsConfig(pairs=Path("short"), tokens=1000)}}, "leaves nothing for pairs=all"),
        ({"first": {"pairs": FirstPairsConfig(pairs=Path("short"), tokens=10)}}, "that name is taken"),
        ({"seq_length": 4096}, "data.seq_length=4096 exceeds"),
    ],
)
def test_what_cannot_be_is_refused_before_it_starts(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        _config(**settings)


def test_a_setting_replaces_its_default_alone() -> None:
    args = ["--folder", "run", "--pairs", "all", "--train.tokens", "1000", "--model.num_layers", "3"]
    config = parse_config(TrainTextToTokenConfig, description="", args=args)
    assert (config.run.model.num_layers, config.run.model.hidden_size) == (3, 256)
    assert config.run.optimizer.lr == 1e-3
