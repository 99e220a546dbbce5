"""A dry run tells what a training will do, and each mistake that its start would tell, and touches nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.config.run.training import CheckpointConfig, PretrainConfig
from megatron_speech.training.dry_run import dry_run
from megatron_speech.training.run import pretrain
from tests.toy_runs import MODEL, make_base, make_config, make_sources

SPLIT = ParallelConfig(pipeline_model_parallel_size=2, use_distributed_optimizer=True)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_sources(tmp_path_factory.mktemp("sources"))


def test_it_says_layout_parameters_data_steps_and_memory(tmp_path: Path, sources: dict[str, Any]) -> None:
    config = make_config(tmp_path / "run", sources, steps=3, parallel=SPLIT, precision=PrecisionConfig(dtype="float32"))
    text = "\n".join(dry_run(config, world_size=4))
    assert "layout: tensor 1 x pipeline 2 x context 1 = 2, data 2, world 4 + distributed optimizer" in text
    assert "(128 rows), of it speech rows 1,920" in text  # 60 rows of 32
    assert "steps: 3 of 4 rows, 384 tokens; 2 micro-batches of 1 rows per rank" in text
    assert "held-out source text: 4 rows are scored" in text
    assert [line.split()[0] for line in text.splitlines() if line.startswith(("text ", "paired "))] == [
        "text",
        "paired",
    ]
    assert text.endswith(f"dry run: no mistake found; {config.folder} is untouched")
    assert not config.folder.exists()


def _with_model(config: PretrainConfig, **changes: Any) -> PretrainConfig:
    return dataclasses.replace(config, model=dataclasses.replace(config.model, **changes))


def _other_rows(config: PretrainConfig, tmp_path: Path) -> PretrainConfig:
    return dataclasses.replace(config, data=dataclasses.replace(config.data, seq_length=16))


def _no_source(config: PretrainConfig, tmp_path: Path) -> PretrainConfig:
    gone = dataclasses.replace(config.data.sources["text"], folder=tmp_path / "gone")
    return dataclasses.replace(config, data=dataclasses.replace(config.data, sources={"text": gone}))


def _uneven_batch(config: PretrainConfig, tmp_path: Path) -> PretrainConfig:
    return dataclasses.replace(config, parallel=ParallelConfig(pipeline_model_parallel_size=2))


def _no_base(config: PretrainConfig, tmp_path: Path) -> PretrainConfig:
    return _with_model(config, base=str(tmp_path / "nowhere"))


def _other_base(config: PretrainConfig, tmp_path: Path) -> PretrainConfig:
    return _with_model(config, base=make_base(tmp_path / "base", dataclasses.replace(MODEL, num_layers=1)))


def _nothing_to_resume(config: PretrainConfig, tmp_path: Path) -> PretrainConfig:
    return dataclasses.replace(config, checkpoint=CheckpointConfig(resume="required"))


def _folder_of_a_tool(config: PretrainConfig, tmp_path: Path) -> PretrainConfig:
    return dataclasses.replace(config, folder=Path(config.data.sources["text"].folder))


@pytest.mark.parametrize(
    "spoil",
    [_other_rows, _no_source, _uneven_batch, _no_base, _other_base, _nothing_to_resume, _folder_of_a_tool],
    ids=lambda spoil: spoil.__name__,
)
def test_a_mistake_is_told_in_the_words_of_the_training(
    tmp_path: Path, sources: dict[str, Any], spoil: Callable[[PretrainConfig, Path], PretrainConfig]
) -> None:
    config = spoil(make_config(tmp_path / "run", sources, steps=2), tmp_path)
    with pytest.raises((ValueError, OSError)) as told:
        list(dry_run(config, world_size=1))
    with pytest.raises((ValueError, OSError)) as meant:
        pretrain(config, world=(0, 1))
    assert str(told.value) == str(meant.value)


def test_damaged_weights_are_found(tmp_path: Path, sources: dict[str, Any]) -> None:
    base = make_base(tmp_path / "base", MODEL)
    config = _with_model(make_config(tmp_path / "run", sources, steps=2), base=base)
    assert f"weights: {base}" in list(dry_run(config, world_size=1))
    Path(base, "weights").write_bytes(b"weighty")
    with pytest.raises(ValueError, match=r"base/weights does not match"):
        list(dry_run(config, world_size=1))
