"""Damage of a checkpoint is the same one line on every rank, and is found before any rank parses anything."""

from __future__ import annotations

import dataclasses
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from megatron_speech.config.run.training import PretrainConfig
from tests.ranks import run_ranks
from tests.toy_runs import make_config, make_sources

FILES = (".metadata", "common.pt", "metadata.json", "model.json", "vocabulary.json", "state.json", "__1_0.distcp")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> PretrainConfig:
    """A run of two ranks with a checkpoint of step 1."""
    folder = tmp_path_factory.mktemp("made")
    made = make_config(folder / "run", make_sources(folder), train={"stop_at_step": 1})
    run_ranks(_train, 2, made)
    return made


def test_a_flipped_bit_of_any_file_is_named_on_every_rank(config: PretrainConfig, tmp_path: Path) -> None:
    draw = random.Random(0)
    for name in FILES:
        folder = tmp_path / name / "step_1"
        shutil.copytree(config.folder / "checkpoints" / "step_1", folder)
        content = bytearray((folder / name).read_bytes())
        at = draw.randrange(8 * len(content))
        content[at // 8] ^= 1 << at % 8
        (folder / name).write_bytes(content)
    run_ranks(_refuse, 2, config, tmp_path)


def test_a_lost_file_is_named_on_every_rank_of_a_run_that_goes_on(config: PretrainConfig, tmp_path: Path) -> None:
    for name in (*FILES, "checksums.json"):
        shutil.copytree(config.folder, tmp_path / name)
        (tmp_path / name / "checkpoints" / "step_1" / name).unlink()
        checkpoint = dataclasses.replace(config.checkpoint, resume="required")
        again = dataclasses.replace(config, folder=tmp_path / name, checkpoint=checkpoint)
        run_ranks(_refuse_to_go_on, 2, again, name)


def _train(rank: int, world_size: int, init_method: str, config: PretrainConfig) -> None:
    from megatron_speech.training.run import pretrain

    pretrain(config, world=(rank, world_size), init_method=init_method)


def _refuse(rank: int, world_size: int, init_method: str, config: PretrainConfig, damaged: Path) -> None:
    from megatron_speech.checkpoint.distributed.save_load import load_model
    from megatron_speech.parallel import groups
    from megatron_speech.parallel.layout import ParallelLayout
    from tests.toy_runs import VOCABULARY

    layout = ParallelLayout.of(config.parallel, world_size=world_size)
    groups.initialize(layout, seed=1, rank=rank, init_method=init_method)
    for name in FILES:
        with pytest.raises(ValueError, match=rf"step_1/{name} does not match its checksum"):
            load_model(damaged / name / "step_1", [], model=config.model, vocabulary=VOCABULARY)
    groups.shutdown()


def _refuse_to_go_on(*args: Any) -> None:
    *ranks, config, name = args
    with pytest.raises(FileNotFoundError, match=rf"step_1 has lost {name}.*; restore it from a copy, or move"):
        _train(*ranks, config)
