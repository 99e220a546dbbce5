"""A training as a whole: interrupted anywhere it gives the same bits, and its settings do what they say."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.config.stages.train_speech_tokenizer import NO_PART_OF_RESULT, AugmentConfig
from megatron_speech.speech_tokenizer.training import states
from megatron_speech.speech_tokenizer.training.run import train_speech_tokenizer, training_inputs
from megatron_speech.speech_tokenizer.training.step import Trainer
from megatron_speech.speech_training import scan as source_scan
from tests.unit.speech_tokenizer.training.toys import training, weights

AUGMENTED = {
    "cache_states": False,
    "unfreeze_at_step": None,
    "augment": AugmentConfig(noise_probability=0.5, time_masks=1, frequency_masks=1),
    "precision": "bf16",
    "micro_batch_seconds": 2.0,
}
SETTINGS = {"kept states, then unfrozen": {}, "augmented, bf16, accumulated": AUGMENTED}


@pytest.fixture(scope="module", params=SETTINGS)
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    return SETTINGS[request.param]


@pytest.fixture(scope="module")
def whole(world: Path, settings: dict[str, Any]) -> Path:
    """The run that nothing interrupts."""
    output = world / f"whole-{settings.get('precision', 'float32')}"
    train_speech_tokenizer(
        training(world, output, validation={"words": world / "audio"}, validation_utterances=4, **settings)
    )
    return output


def interrupt(monkeypatch: pytest.MonkeyPatch, step: int, action: Any) -> None:
    """Do `action` when `step` steps are done."""
    advance = Trainer.advance

    def interrupted(self: Trainer, *args: Any, **kwargs: Any) -> Any:
        if self.step == step:
            action()
        return advance(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "advance", interrupted)


def fail() -> None:
    raise RuntimeError("killed")


@pytest.mark.parametrize("step", [2, 3, 5])
def test_a_killed_run_goes_on_to_the_same_bits(
    world: Path, settings: dict[str, Any], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    config = training(
        world, tmp_path / "broken", validation={"words": world / "audio"}, validation_utterances=4, **settings
    )
    with monkeypatch.context() as patch:
        interrupt(patch, step, fail)
        with pytest.raises(RuntimeError, match="killed"):
            train_speech_tokenizer(config)
    checkpoints = sorted(path.name for path in (tmp_path / "broken.partial" / "work" / "checkpoints").iterdir())
    assert checkpoints[-1] == f"step_{step // 2 * 2}"
    other = {"read_threads": 1, "log_every_steps": 3, "checkpoint_every_steps": 1, "max_quarantined_share": 0.5}
    assert other.keys() == NO_PART_OF_RESULT.keys()
    train_speech_tokenizer(dataclasses.replace(config, **other))
    train_speech_tokenizer(config)  # is made, whatever they say
    expected, found = weights(whole), weights(config.output)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected), f"killed after {step} steps"
    for key in ("curve", "epochs", "codes_restarted", "error_rates", "error_rates_without_bottleneck"):
        assert read_manifest(whole).facts[key] == read_manifest(config.output).facts[key]
    assert not (config.output / "work").exists()


def test_a_signal_saves_the_step_and_leaves_without_an_error(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = training(world, tmp_path / "signalled", steps=5, checkpoint_every_steps=100)
    with monkeypatch.context() as patch:
        interrupt(patch, 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
        train_speech_tokenizer(config)
    assert not config.output.exists()
    work = tmp_path / "signalled.partial" / "work"
    assert [path.name for path in (work / "checkpoints").iterdir()] == ["step_3"]
    changed = dataclasses.replace(config, learning_rate=2e-3)
    with pytest.raises(ValueError, match=r"signalled\.partial was begun with config\.learning_rate: 0\.001 -> 0\.002"):
        train_speech_tokenizer(changed)
    train_speech_tokenizer(config)
    with pytest.raises(ValueError, match=r"made with other settings \(learning_rate"):
        train_speech_tokenizer(changed)


def test_a_signal_before_the_first_step_keeps_what_is_done(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scans by shard, states by part, under a lock; a changed setting does not delete them."""
    config = training(world, tmp_path / "out", steps=1)
    work, scan, compute = tmp_path / "out.partial" / "work", source_scan.scan_shard, states.compute_part
    scanned: list[str] = []

    def signalled_scan(shard: Any, **settings: Any) -> Any:
        assert (tmp_path / "out.lock").exists()
        scanned.append(f"{shard.path.parent.name}/{shard.path.name}")
        os.kill(os.getpid(), signal.SIGUSR1)
        return scan(shard, **settings)

    def signalled_compute(*args: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        compute(*args)

    monkeypatch.setattr(source_scan, "scan_shard", signalled_scan)
    train_speech_tokenizer(config)
    assert len(scanned) == 1 and not (work / "states").exists()
    train_speech_tokenizer(config)
    assert len(scanned) == len(set(scanned)) == 2  # another one, and not the first again
    monkeypatch.setattr(source_scan, "scan_shard", scan)
    monkeypatch.setattr(states, "compute_part", signalled_compute)
    train_speech_tokenizer(config)
    assert len(list((work / "states").iterdir())) == 1 and not (work / "checkpoints").exists()
    with pytest.raises(ValueError, match=r"was begun with config\.learning_rate"):
        train_speech_tokenizer(dataclasses.replace(config, learning_rate=0.5))
    assert len(list((work / "states").iterdir())) == 1
    monkeypatch.setattr(states, "compute_part", compute)
    train_speech_tokenizer(config)
    assert config.output.exists() and not (tmp_path / "out.lock").exists()


def test_text_files_are_among_the_inputs(world: Path, tmp_path: Path) -> None:
    names = {path.name for path in training_inputs(training(world, tmp_path / "out"))}
    assert {"tokenizer.json", "generation_config.json", "config.json", "model.safetensors"} <= names


def test_a_step_computes_gradients_of_convolutions_as_float32_on_a_gpu_too(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backward, allowed = torch.Tensor.backward, []

    def noting(self: torch.Tensor) -> None:
        allowed.append(torch.backends.cudnn.allow_tf32)
        backward(self)

    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.Tensor, "backward", noting)
    train_speech_tokenizer(training(world, tmp_path / "out", steps=2))
    assert allowed == [False, False] and torch.backends.cudnn.allow_tf32


def test_a_damaged_checkpoint_is_named(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = training(world, tmp_path / "damaged", unfreeze_at_step=None)
    with monkeypatch.context() as patch:
        interrupt(patch, 4, fail)
        with pytest.raises(RuntimeError, match="killed"):
            train_speech_tokenizer(config)
    path = tmp_path / "damaged.partial" / "work" / "checkpoints" / "step_4" / "optimizer.pt"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"step_4/optimizer\.pt does not match its checksum.* or move .*step_4 away"):
        train_speech_tokenizer(config)


def test_weights_that_are_not_finite_are_not_saved(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = training(world, tmp_path / "diverged", unfreeze_at_step=None)
    advance = Trainer.advance

    def spoilt(self: Trainer, *args: Any, **kwargs: Any) -> Any:
        result = advance(self, *args, **kwargs)
        if self.step == 4:
            next(self.model.parameters()).data.view(-1)[0] = torch.nan
        return result

    monkeypatch.setattr(Trainer, "advance", spoilt)
    with pytest.raises(FloatingPointError, match=r"^step 4: after its update .* is not finite, and nothing of it was"):
        train_speech_tokenizer(config)
    checkpoints = tmp_path / "diverged.partial" / "work" / "checkpoints"
    assert [path.name for path in checkpoints.iterdir()] == ["step_2"]


def test_the_manifest_and_tensorboard_tell_what_happened(whole: Path) -> None:
    facts = read_manifest(whole).facts
    assert (
        facts["steps"] == 7 and facts["checkpoint"] == "last" and [p["step"] for p in facts["curve"]] == [*range(1, 8)]
    )
    assert [rates["step"] for rates in facts["error_rates"]] == [7] and "words" in facts["error_rates"][0]
    assert facts["error_rates_without_bottleneck"].keys() == {"words"}
    # 3 machine transcripts of 40 to 1 of 64.
    assert facts["epochs"]["machine"] / facts["epochs"]["supervised"] == pytest.approx(3 * 64 / 40, rel=0.6)
    events = EventAccumulator(str(whole / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {"cross_entropy", "commitment", "learning_rate", "word_error_rate/words", "speech_per_second"} <= tags
    assert {f"codebook/{name}" for name in ("perplexity", "usage", "dead", "restarted")} <= tags


def test_parts_of_a_batch_give_the_weights_of_the_whole(world: Path, tmp_path: Path) -> None:
    settings = {"steps": 3, "dropout": 0.0, "learning_rate": 1e-4, "unfreeze_at_step": 0}
    train_speech_tokenizer(training(world, tmp_path / "whole", **settings))
    train_speech_tokenizer(training(world, tmp_path / "parts", micro_batch_seconds=1.5, **settings))
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-6, atol=1e-6, msg=name)


def test_kept_states_teach_what_computed_ones_do(world: Path, tmp_path: Path) -> None:
    settings = {"steps": 3, "dropout": 0.0, "unfreeze_at_step": None}
    for name, cached in (("kept", True), ("computed", False)):
        train_speech_tokenizer(training(world, tmp_path / name, cache_states=cached, **settings))
    kept, computed = (read_manifest(tmp_path / name).facts["curve"] for name in ("kept", "computed"))
    for mine, theirs in zip(kept, computed, strict=True):
        assert mine["cross_entropy"] == pytest.approx(theirs["cross_entropy"], rel=1e-2)


def test_layers_before_the_codebook_learn_at_their_own_rate(world: Path, tmp_path: Path) -> None:
    settings = {"steps": 2, "unfreeze_at_step": 0, "warmup_steps": 0, "front_learning_rate_scale": 0.0}
    train_speech_tokenizer(training(world, tmp_path / "still", **settings))
    before, after = weights(world / "whisper"), weights(tmp_path / "still")
    for name in ("conv1.weight", "layers.0.fc1.weight", "layers.1.fc1.weight"):
        assert torch.equal(before[f"model.encoder.{name}"], after[f"model.encoder.{name}"])
    assert not torch.equal(before["model.encoder.layers.2.fc1.weight"], after["model.encoder.layers.2.fc1.weight"])


def test_a_tokenizer_is_trained_further_with_its_codebook(world: Path, whole: Path, tmp_path: Path) -> None:
    config = training(world, tmp_path / "further", whisper=whole, steps=1, learning_rate=1e-9)
    train_speech_tokenizer(config)
    before, after = weights(whole), weights(config.output)
    name = "model.encoder.codebook.weight"
    assert (
        torch.cdist(before[name], after[name]).diagonal().max() < 0.5 * torch.cdist(before[name], before[name]).mean()
    )
    assert "kmeans_frames" not in read_manifest(config.output).facts
    other = dataclasses.replace(config.bottleneck, codebook_size=64)
    with pytest.raises(ValueError, match="has quantize_vocab_size=32, bottleneck says 64; make them equal"):
        train_speech_tokenizer(dataclasses.replace(config, output=tmp_path / "other", bottleneck=other))
    values = json.loads((whole / "config.json").read_text())
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    (encoder / "config.json").write_text(json.dumps({**values, "quantize_encoder_only": True}))
    (encoder / "model.safetensors").symlink_to(whole / "model.safetensors")
    with pytest.raises(ValueError, match="holds its encoder only"):
        train_speech_tokenizer(dataclasses.replace(config, output=tmp_path / "other", whisper=encoder))
