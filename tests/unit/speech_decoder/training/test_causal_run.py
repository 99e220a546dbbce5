"""Training a causal decoder: both stages learn, a killed run goes on to the same bits, and mistakes are named."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.config.stages.causal_decoder import FlowConfig, PriorConfig, SpeakingConfig
from megatron_speech.config.stages.train_causal_decoder import (
    NO_PART_OF_RESULT,
    DecoderSourceConfig,
    TrainCausalDecoderConfig,
)
from megatron_speech.speech_decoder.causal_mel import CausalMel
from megatron_speech.speech_decoder.training import sources
from megatron_speech.speech_decoder.training.causal_run import train_causal_decoder
from megatron_speech.speech_decoder.training.clips import Clip, ClipReader
from megatron_speech.speech_decoder.training.losses import step_of
from megatron_speech.speech_decoder.training.step import Trainer
from tests.unit.speech_decoder.training.toys import CODES, write_language, write_tokenizer

PRIOR = PriorConfig(token_channels=32, token_layers=2, frame_channels=16, frame_layers=1, dropout=0.1)
FLOW = FlowConfig(channels=24, layers=3)


def prior_of(world: Path, output: Path, **changes: Any) -> TrainCausalDecoderConfig:
    """A training of a small prior on the toy language."""
    source = DecoderSourceConfig(audio=world / "audio", codes=world / "codes")
    settings: dict[str, Any] = {
        "stage": "prior",
        "sources": {"toy": source},
        "validation": {"heard": source},
        "prior": PRIOR,
        "flow": FLOW,
        "steps": 6,
        "batch_seconds": 8.0,
        "learning_rate": 5e-3,
        "warmup_steps": 2,
        "dtype": "float32",
        "checkpoint_every_steps": 2,
        "validation_utterances": 4,
    }
    return TrainCausalDecoderConfig(output=output, tokenizer=world / "tokenizer", **{**settings, **changes})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_language(folder)
    return folder


@pytest.fixture(scope="module")
def prior(world: Path) -> Path:
    """A trained prior."""
    train_causal_decoder(prior_of(world, world / "prior", steps=200, validate_every_steps=20))
    return world / "prior"


def flow_of(world: Path, prior: Path, output: Path, **changes: Any) -> TrainCausalDecoderConfig:
    return prior_of(world, output, **{"stage": "flow", "start_from": prior, "default_steps": 4, **changes})


def interrupt(monkeypatch: pytest.MonkeyPatch, step: int, action: Any) -> None:
    """Do `action` when `step` steps are done."""
    advance = Trainer.advance

    def interrupted(self: Trainer, *args: Any) -> Any:
        if self.step == step:
            action()
        return advance(self, *args)

    monkeypatch.setattr(Trainer, "advance", interrupted)


def fail() -> None:
    raise RuntimeError("killed")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_the_prior_learns_the_language_and_its_voices(prior: Path) -> None:
    facts = read_manifest(prior).facts
    first, last = facts["validation"][0]["heard"], facts["validation"][-1]["heard"]
    assert facts["validation"][-1]["step"] == 200 and last["l1"] < 0.9 * first["l1"]
    assert facts["voices"] == ["hibari", "other"] and facts["stage"] == "prior" and facts["dtype"] == "float32"
    assert facts["losses"][-1]["loss"] < 0.6 * facts["losses"][0]["loss"]
    net = CausalMel.load(prior)
    assert net.shape.flow is None and net.shape.steps == 0
    assert not net.voices.weight[0].any() and net.mel_std.min() > 0.5
    # The toy's voices sound alike; what the network was told of them differs all the same.
    assert not torch.equal(net.voices.weight[1], net.voices.weight[2])


def test_the_flow_learns_what_a_fixed_prior_leaves(world: Path, prior: Path, tmp_path: Path) -> None:
    config = flow_of(world, prior, tmp_path / "flow", steps=120, clip_seconds=0.5, micro_batch_seconds=2.0)
    train_causal_decoder(config)
    facts = read_manifest(config.output).facts
    # A direction of zero has the loss of noise and residual together: 2.
    assert facts["losses"][0]["loss"] > 1.8 and facts["losses"][-1]["loss"] < 1.6
    before, after = weights(prior), weights(config.output)
    kept = [name for name in before if name != "residual_std"]
    assert kept and all(torch.equal(before[name], after[name]) for name in kept)
    assert not torch.equal(before["residual_std"], after["residual_std"])
    net = CausalMel.load(config.output)
    codes = torch.arange(10) % CODES
    assert net.shape.steps == 4
    assert not torch.equal(net.decode(codes, SpeakingConfig()), net.decode(codes, SpeakingConfig(steps=0)))


@pytest.mark.parametrize("stage", ["prior", "flow"])
@pytest.mark.parametrize("step", [1, 4])
def test_a_killed_run_goes_on_to_the_same_bits(
    world: Path, prior: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, step: int
) -> None:
    clips = {"clip_seconds": 0.5, "micro_batch_seconds": 2.0, "dtype": "bfloat16"}
    make = (
        (lambda out: prior_of(world, out, **clips))
        if stage == "prior"
        else (lambda out: flow_of(world, prior, out, **clips))
    )
    whole, broken = make(tmp_path / "whole"), make(tmp_path / "broken")
    train_causal_decoder(whole)
    with monkeypatch.context() as patch:
        interrupt(patch, step, fail)
        with pytest.raises(RuntimeError, match="killed"):
            train_causal_decoder(broken)
    other: dict[str, Any] = {
        "read_threads": 1,
        "log_every_steps": 3,
        "checkpoint_every_steps": 1,
        "max_quarantined_share": 0.5,
    }
    assert other.keys() == NO_PART_OF_RESULT.keys()
    train_causal_decoder(replace(broken, **other))
    train_causal_decoder(broken)  # is made, whatever they say
    expected, found = weights(whole.output), weights(broken.output)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    for key in ("losses", "epochs", "validation"):
        assert read_manifest(whole.output).facts[key] == read_manifest(broken.output).facts[key]
    assert not (broken.output / "work").exists()


def test_a_signal_saves_the_step_and_leaves_without_an_error(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = prior_of(world, tmp_path / "out", checkpoint_every_steps=100)
    with monkeypatch.context() as patch:
        interrupt(patch, 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
        train_causal_decoder(config)
    checkpoints = tmp_path / "out.partial" / "work" / "checkpoints"
    assert [path.name for path in checkpoints.iterdir()] == ["step_3"]
    with pytest.raises(ValueError, match=r"out\.partial was begun with config\.learning_rate: 0\.005 -> 0\.002"):
        train_causal_decoder(replace(config, learning_rate=2e-3))
    train_causal_decoder(config)
    assert config.output.is_dir()


def test_micro_batches_change_nothing_but_rounding(world: Path, tmp_path: Path) -> None:
    exact = replace(PRIOR, dropout=0.0)
    one = prior_of(world, tmp_path / "one", prior=exact, steps=3)
    many = replace(one, output=tmp_path / "many", micro_batch_seconds=1.0)
    for config in (one, many):
        train_causal_decoder(config)
    expected, found = weights(one.output), weights(many.output)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


def test_an_utterance_without_codes_is_listed_and_left_out(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = sources.read_documents
    monkeypatch.setattr(sources, "read_documents", lambda folder: (each for each in read(folder) if each.key != "u3"))
    config = prior_of(world, tmp_path / "out", steps=1, validation={}, max_quarantined_share=0.2)
    train_causal_decoder(config)
    assert read_manifest(config.output).facts["quarantined"] == {"toy": {"without codes": 1}}
    listed = [json.loads(line) for line in (config.output / "quarantine.jsonl").read_text().splitlines()]
    assert [each["key"] for each in listed] == ["u3"] and "has no codes in" in listed[0]["message"]


def test_voices_choose_the_utterances(world: Path, tmp_path: Path) -> None:
    config = prior_of(world, tmp_path / "out", steps=1, voices=("other",), validation={})
    train_causal_decoder(config)
    facts = read_manifest(config.output).facts
    assert facts["voices"] == ["other"] and facts["epochs"]["toy"] >= 1


def test_a_new_voice_is_added_to_a_trained_prior(world: Path, tmp_path: Path) -> None:
    first = prior_of(world, tmp_path / "first", steps=1, voices=("hibari",), validation={})
    second = replace(first, output=tmp_path / "second", start_from=first.output, voices=("other",), steps=2)
    train_causal_decoder(first)
    train_causal_decoder(second)
    net = CausalMel.load(second.output)
    assert net.shape.voices == ("hibari", "other")
    before, after = weights(first.output), weights(second.output)
    assert torch.equal(before["mel_std"], after["mel_std"])
    drift = {name: float((after[name] - before[name]).abs().max()) for name in ("prior.to_mel.weight",)}
    assert all(0 < value < 0.02 for value in drift.values()), drift
    flow = flow_of(world, first.output, tmp_path / "flow", voices=("other",))
    with pytest.raises(ValueError, match=r"has no voice other; train its prior on this voice first"):
        train_causal_decoder(flow)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"voices": ("nobody",)}, r"holds no usable utterance; check that voices=\['nobody'\] stand in its metadata"),
        ({"clip_seconds": 0.1}, r"clip_seconds=0\.1 must lie in 0\.2 to 1e\+06"),
        ({"stage": "flow"}, "stage=flow needs a trained prior; give its folder as start_from"),
        ({"sources": {}}, "sources: none has a weight above 0; name the speech to learn from"),
        ({"learning_rate": 0.0}, "learning_rate=0"),
        ({"steps": 0}, "steps=0 must lie in 1"),
        ({"drop_voice": 1.5}, r"drop_voice=1\.5 must lie in 0 to 1"),
    ],
)
def test_a_mistake_is_named_and_leaves_nothing(
    world: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train_causal_decoder(prior_of(world, tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()


def test_codes_of_another_tokenizer_are_refused(world: Path, prior: Path, tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "stranger", fingerprint="another")
    config = prior_of(world, tmp_path / "out")
    with pytest.raises(ValueError, match=r"toy: codes=.* were made by speech tokenizer toy, not by tokenizer="):
        train_causal_decoder(replace(config, tokenizer=tmp_path / "stranger"))


def test_a_student_learns_the_long_steps_of_its_teacher(world: Path, prior: Path, tmp_path: Path) -> None:
    teacher = flow_of(world, prior, tmp_path / "flow", steps=60, validation={})
    student = replace(teacher, output=tmp_path / "student", stage="student", start_from=teacher.output)
    student = replace(student, default_steps=None, steps=60, teacher_steps=4)
    train_causal_decoder(teacher)
    train_causal_decoder(student)
    facts = read_manifest(student.output).facts
    assert facts["losses"][-1]["loss"] < 0.7 * facts["losses"][0]["loss"]
    before, net = CausalMel.load(teacher.output), CausalMel.load(student.output)
    assert net.shape.spans and net.shape.steps == 2 and not before.shape.spans
    # One step of the student is nearer to four of its teacher than one step of the teacher is.
    codes = torch.arange(30) % CODES
    goal = before.decode(codes, SpeakingConfig(steps=4, temperature=1.0))
    one = SpeakingConfig(steps=1, temperature=1.0)
    assert (net.decode(codes, one) - goal).square().mean() < 0.8 * (before.decode(codes, one) - goal).square().mean()
    for folder, stage, message in (
        (student.output, "student", "is a student; give the folder of its teacher"),
        (student.output, "flow", "is a student; give the folder of its teacher"),
        (prior, "student", "has no flow; train its flow first"),
    ):
        with pytest.raises(ValueError, match=message):
            train_causal_decoder(replace(student, output=tmp_path / "no", stage=stage, start_from=folder))


def test_a_student_takes_the_steps_of_three_schedules() -> None:
    steps = {step_of(number / 1200) for number in range(1200)}
    assert steps == {(0, 1), (0, 0.5), (0.5, 0.5), (0, 0.25), (0.25, 0.25), (0.5, 0.25), (0.75, 0.25)}


def test_validation_tells_what_an_error_hides(
    world: Path, prior: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original has an error of 0 and ratios of 1; its mean over time has no movement and no contrast."""
    made = {}
    for name, change in (("same", lambda mel: mel), ("mean", lambda mel: mel.mean(dim=0).expand_as(mel))):
        with monkeypatch.context() as patch:
            read = ClipReader.read

            def noting(self: ClipReader, *args: Any, change: Any = change, read: Any = read, **settings: Any) -> Any:
                clip = read(self, *args, **settings)
                monkeypatch.setattr(CausalMel, "decode", lambda *_: change(clip.mel_TM))
                return clip

            patch.setattr(ClipReader, "read", noting)
            config = prior_of(world, tmp_path / name, steps=1, start_from=prior)
            train_causal_decoder(config)
        made[name] = read_manifest(config.output).facts["validation"][-1]["heard"]
    assert made["same"] == {"l1": 0.0, "delta_variance": 1.0, "band_contrast": 1.0}
    assert made["mean"]["l1"] > 0.5 and made["mean"]["delta_variance"] == made["mean"]["band_contrast"] == 0.0


def test_noise_and_choices_belong_to_the_clip(world: Path, prior: Path) -> None:
    """Equal whoever reads it, and another at every step."""
    clips = [Clip(codes_N=torch.zeros(1), mel_TM=torch.zeros(50, 80), key=key) for key in (1, 1, 2)]
    assert np.array_equal(clips[0].draws, clips[1].draws) and not np.array_equal(clips[0].draws, clips[2].draws)
    assert torch.equal(clips[0].noise(), clips[1].noise()) and not torch.equal(clips[0].noise(), clips[2].noise())
