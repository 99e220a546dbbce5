"""The speech tokenizer trained by two ranks is the one that a single process trains; so is one that changes worlds."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist

from megatron_speech.audio.index import AudioIndex
from megatron_speech.audio.shards import AudioRecord
from megatron_speech.config.stages.train_speech_tokenizer import SpeechSourceConfig, TrainSpeechTokenizerConfig
from megatron_speech.parallel.agree import on_every_rank
from megatron_speech.speech_tokenizer.training.run import train_speech_tokenizer
from megatron_speech.speech_tokenizer.training.step import Trainer
from megatron_speech.speech_training import ranks
from megatron_speech.speech_training.order import Cursor, StepBatch, parts_of
from megatron_speech.speech_training.ranks import joined
from tests.ranks import run_ranks
from tests.toys import write_audio
from tests.unit.speech_tokenizer.toys import noise
from tests.unit.speech_tokenizer.training.toys import make_world, training, weights

# Batches of 6 s hold up to 9 clips; of 1 s, only one: the second rank has no clip, and no frame to restart codes with.
BATCH_SECONDS = [6.0, 1.0]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


def exact(world: Path, output: Path, **changes: object) -> TrainSpeechTokenizerConfig:
    """Three steps without dropout, which draws by rank; the front learns from the second, a restart follows it."""
    settings = {"steps": 3, "dropout": 0.0, "learning_rate": 1e-5, "unfreeze_at_step": 1, "checkpoint_every_steps": 1}
    return training(world, output, **{**settings, **changes})


@pytest.mark.parametrize("batch_seconds", BATCH_SECONDS)
def test_two_ranks_train_the_weights_of_one(world: Path, tmp_path: Path, batch_seconds: float) -> None:
    alone = exact(world, tmp_path / "alone", batch_seconds=batch_seconds)
    shared = dataclasses.replace(alone, output=tmp_path / "shared")
    run_ranks(_train_noting_gradients, 1, alone, tmp_path / "alone.pt")
    run_ranks(_train_noting_gradients, 2, shared, tmp_path / "shared.pt")
    # Adam hides the scale of a gradient: so gradients first, every step's.
    theirs, ours = (torch.load(tmp_path / name, weights_only=True) for name in ("alone.pt", "shared.pt"))
    assert len(theirs) == len(ours) == 3 and len(theirs[0]) < len(theirs[1]) == len(theirs[2])
    for step, gradients in enumerate(theirs):
        assert gradients.keys() == ours[step].keys()
        largest = max(float(gradient.abs().max()) for gradient in gradients.values())
        for name, gradient in gradients.items():
            torch.testing.assert_close(ours[step][name], gradient, rtol=1e-5, atol=1e-6 * largest)
    expected, found = weights(alone.output), weights(shared.output)
    assert expected.keys() == found.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-6, atol=1e-6)
    before = weights(world / "whisper")
    for name in ("model.encoder.conv1.weight", "model.encoder.layers.2.fc1.weight"):
        assert (found[name] - before[name]).abs().max() > 1.5e-5


def test_a_run_of_two_ranks_goes_on_to_the_same_bits(world: Path, tmp_path: Path) -> None:
    whole = exact(world, tmp_path / "whole", dropout=0.1)
    broken = dataclasses.replace(whole, output=tmp_path / "broken")
    run_ranks(_train, 2, whole)
    with pytest.raises(AssertionError, match="killed"):
        run_ranks(_killed, 2, broken)
    run_ranks(_train, 2, broken)
    expected, found = weights(whole.output), weights(broken.output)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_run_goes_on_in_another_world(world: Path, tmp_path: Path) -> None:
    alone, moved = exact(world, tmp_path / "alone"), exact(world, tmp_path / "moved")
    train_speech_tokenizer(alone)
    with pytest.raises(AssertionError, match="killed"):
        run_ranks(_killed, 2, moved)
    train_speech_tokenizer(moved)
    expected, found = weights(alone.output), weights(moved.output)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-6, atol=1e-6)


def test_an_utterance_that_one_rank_cannot_read_stops_both(world: Path, tmp_path: Path) -> None:
    records = [AudioRecord(key=f"u{n}", waveform=noise(16000, n), text="alpha") for n in range(40)]
    audio = write_audio(tmp_path / "audio", records)
    config = exact(
        world,
        tmp_path / "out",
        sources={"noise": SpeechSourceConfig(audio=audio)},
        cache_states=False,
        unfreeze_at_step=None,
    )
    run_ranks(_one_cannot_read, 2, config)


def test_a_rank_that_hangs_in_a_step_ends_it_and_one_that_works_alone_does_not() -> None:
    run_ranks(_one_hangs, 2)


def _one_hangs(rank: int, world_size: int, init_method: str) -> None:
    """Rank 1 does not enter the step: rank 0 gives it up, while rank 1 waits for as long outside."""
    ranks.STEP_PATIENCE = timedelta(seconds=0.5)
    with joined(rank, world_size, init_method) as steps:
        if rank == 0:
            with pytest.raises(RuntimeError, match=r"[Tt]imed? ?out"):
                dist.all_reduce(torch.ones(1), group=steps)
        assert on_every_rank(lambda: rank) == rank


def _train(rank: int, world_size: int, init_method: str, config: TrainSpeechTokenizerConfig) -> None:
    train_speech_tokenizer(config, world=(rank, world_size), init_method=init_method)


def _train_noting_gradients(
    rank: int, world_size: int, init_method: str, config: TrainSpeechTokenizerConfig, path: Path
) -> None:
    """Train; rank 0 writes the gradients of every step, as they are after the ranks' parts were added up."""
    update, noted = Trainer.update, []

    def noting(self: Trainer) -> float:
        named = self.model.named_parameters()
        noted.append({name: p.grad.clone().contiguous() for name, p in named if p.grad is not None})
        return update(self)

    Trainer.update = noting
    _train(rank, world_size, init_method, config)
    if rank == 0:
        torch.save(noted, path)


def _killed(rank: int, world_size: int, init_method: str, config: TrainSpeechTokenizerConfig) -> None:
    """Both ranks die after two steps."""
    advance = Trainer.advance

    def dying(self: Trainer, *args: object, **kwargs: object) -> object:
        if self.step == 2:
            raise RuntimeError("killed")
        return advance(self, *args, **kwargs)

    Trainer.advance = dying
    _train(rank, world_size, init_method, config)


def _one_cannot_read(rank: int, world_size: int, init_method: str, config: TrainSpeechTokenizerConfig) -> None:
    if rank == 1:

        def broken(self: AudioIndex, number: int) -> str:
            raise ValueError("utterance u3: not readable")

        AudioIndex.text = broken
    expected = "utterance u3: not readable" if rank == 1 else "step 0: another rank could not read its speech"
    with pytest.raises(ValueError, match=expected):
        _train(rank, world_size, init_method, config)


def test_a_batch_of_one_clip_leaves_the_second_rank_without() -> None:
    """What the test of two ranks with 1 s per batch relies on."""
    one = np.ones(1, np.int64)
    batch = StepBatch(sources=one, utterances=one, samples=one, after=Cursor())
    assert parts_of(batch, world_size=2, micro_batch_seconds=None) == [[[0]], [[]]]
