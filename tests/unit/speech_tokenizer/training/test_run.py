"""A training as a whole: interrupted anywhere it gives the same bits, and what cannot be meant is refused by name."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from megatron_speech.artifacts.facts.speech_tokenizer import CurvePoint
from megatron_speech.artifacts.files import file_xxh3
from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.audio.quarantine import read_quarantine
from megatron_speech.audio.shards import AudioRecord
from megatron_speech.config.stages.train_speech_tokenizer import NO_PART_OF_RESULT, AugmentConfig, SpeechSourceConfig
from megatron_speech.speech_tokenizer.model import TextSide, load_config
from megatron_speech.speech_tokenizer.training import sources, states
from megatron_speech.speech_tokenizer.training.checkpoint import RunState
from megatron_speech.speech_tokenizer.training.order import Cursor
from megatron_speech.speech_tokenizer.training.ranks import joined
from megatron_speech.speech_tokenizer.training.run import train_speech_tokenizer, training_inputs
from megatron_speech.speech_tokenizer.training.schedule import Curve, learning_rate
from megatron_speech.speech_tokenizer.training.step import Trainer
from megatron_speech.speech_tokenizer.training.validation import Validation
from tests.toys import write_audio
from tests.unit.speech_tokenizer.toys import noise
from tests.unit.speech_tokenizer.training.toys import make_world, training, weights

AUGMENTED = {
    "cache_states": False,
    "unfreeze_at_step": None,
    "augment": AugmentConfig(noise_probability=0.5, time_masks=1, frequency_masks=1),
    "precision": "bf16",
    "micro_batch_seconds": 2.0,
}
SETTINGS = {"kept states, then unfrozen": {}, "augmented, bf16, accumulated": AUGMENTED}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


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
    work, scan, compute = tmp_path / "out.partial" / "work", sources.scan_shard, states.compute_part
    scanned: list[str] = []

    def signalled_scan(shard: Any, **settings: Any) -> Any:
        assert (tmp_path / "out.lock").exists()
        scanned.append(f"{shard.path.parent.name}/{shard.path.name}")
        os.kill(os.getpid(), signal.SIGUSR1)
        return scan(shard, **settings)

    def signalled_compute(*args: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        compute(*args)

    monkeypatch.setattr(sources, "scan_shard", signalled_scan)
    train_speech_tokenizer(config)
    assert len(scanned) == 1 and not (work / "states").exists()
    train_speech_tokenizer(config)
    assert len(scanned) == len(set(scanned)) == 2  # another one, and not the first again
    monkeypatch.setattr(sources, "scan_shard", scan)
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


def test_validation_leaves_out_what_is_too_long(world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The judge's silence leaves 28 of 30 s; found when training begins, not when it first validates."""
    records = [AudioRecord(key=f"u{n}", waveform=noise(16000 * n, 0), text="word") for n in (29, 1, 28)]
    audio = write_audio(tmp_path / "audio", records)
    config = training(world, tmp_path / "out", validation={"words": audio}, validation_utterances=2)
    text = TextSide(config.whisper, 259)
    with joined(0, 1, None):
        validation = Validation(config, text, 30 * 16000)
        assert [record.key for record in validation.sets["words"]] == ["u1", "u28"]
        assert "validation.words: 1 utterances above 28 s left out" in caplog.text
        with pytest.raises(ValueError, match=r"validation\.words=.*: no utterance of -1 s or less"):
            Validation(config, text, 16000)


def faulty(folder: Path, *, good: int) -> Path:
    """Good words, and one utterance of every fault that shows in the audio or beside it."""
    records = [AudioRecord(key=f"g{n}", waveform=noise(8000, n), text="word") for n in range(good)]
    records += [
        AudioRecord(key="hush", waveform=noise(8000, 0) * 1e-3, text="word"),
        AudioRecord(key="mute", waveform=noise(8000, 0), text=" \n"),
        AudioRecord(key="hole", waveform=noise(8000, 0), text="word"),
    ]
    write_audio(folder, records, per_shard=1)
    path, hole = folder / "manifest.json", folder / f"audio-{good + 2:06d}.tar"
    data = hole.read_bytes()
    begin = data.index(b"fLaC")
    hole.chmod(0o644)
    hole.write_bytes(data[: begin + 200] + bytes(400) + data[begin + 600 :])
    manifest = json.loads(path.read_text())
    manifest["facts"]["shards"][-1]["xxh3"] = file_xxh3(hole)
    path.write_text(json.dumps(manifest))
    return folder


def test_what_cannot_be_learnt_from_is_left_out_named_and_counted(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd = {"odd": SpeechSourceConfig(audio=faulty(tmp_path / "audio", good=6))}
    config = training(world, tmp_path / "out", sources=odd, steps=1, max_quarantined_share=0.4, seed=3)
    strict = dataclasses.replace(config, max_quarantined_share=0.3)
    with pytest.raises(ValueError, match=r"3 of 9 utterances are unusable \(.*\), more than max_quarantined_share=0.3"):
        train_speech_tokenizer(strict)
    caplog.set_level(logging.INFO)
    train_speech_tokenizer(config)
    reasons = {"hush": "silent", "mute": "no text", "hole": "not audio"}
    facts = read_manifest(config.output).facts
    assert facts["quarantined"] == {"odd": dict.fromkeys(sorted(reasons.values()), 1)}
    listed = read_quarantine(config.output / "quarantine.jsonl")
    assert {bad.key: bad.reason for bad in listed} == reasons and all(bad.message in caplog.text for bad in listed)
    assert f"{config.output}: written, 1 steps" in caplog.messages[-1]
    # Every number of the codebook says what it is counted over.
    size, frames = config.bottleneck.codebook_size, facts["kmeans_frames"]
    assert f"codebook: {size} codes placed by k-means of {frames:,} frames, of whose variance" in caplog.text
    assert re.search(rf"\(running average of the codebook\), \d+ of {size} codes unused in the last step,", caplog.text)


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


def test_one_silent_clip_stops_nothing_and_silence_is_an_option(world: Path, tmp_path: Path) -> None:
    records = [AudioRecord(key=f"u{n}", waveform=noise(8000, n) * 1e-4, text="word") for n in range(3)]
    hush = {"hush": SpeechSourceConfig(audio=write_audio(tmp_path / "audio", records))}
    config = training(world, tmp_path / "out", sources=hush, steps=1)
    with pytest.raises(ValueError, match=r"3 of 3 utterances are unusable \(silent 3\)"):
        train_speech_tokenizer(config)
    with joined(0, 1, None):
        heard = dataclasses.replace(config, silence_peak_dbfs=None)
        shape = load_config(config.whisper)
        found = sources.open_sources(heard, TextSide(config.whisper, shape.vocab_size), shape, tmp_path / "work")
    assert len(found[0].index) == 3 and not found[0].quarantined


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


@pytest.mark.parametrize(
    ("text", "seconds", "message"),
    [
        (" \n", 1, ":odd: its transcript is empty; transcribe it or leave it out"),
        ("word " * 20, 1, r":odd: 100 text tokens, Whisper's decoder writes 61; cut it"),
        ("word", 31, r":odd: lasts 31 s, longer than the 30 s .*; cut it"),
    ],
)
def test_what_cannot_be_learnt_is_named_before_the_first_step(
    world: Path, tmp_path: Path, text: str, seconds: int, message: str
) -> None:
    audio = write_audio(tmp_path / "audio", [AudioRecord(key="odd", waveform=noise(16000 * seconds, 0), text=text)])
    with pytest.raises(ValueError, match=message):
        train_speech_tokenizer(training(world, tmp_path / "out", sources={"odd": SpeechSourceConfig(audio=audio)}))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augment": AugmentConfig(time_masks=2)}, "cache_states=true computes them once; set cache_states=false"),
        ({"sources": {}}, "sources: none has a weight above 0"),
        ({"micro_batch_seconds": 0.0}, "micro_batch_seconds=0.0 must lie in 0.001 to"),
        ({"learning_rate": float("nan")}, "learning_rate=nan must lie in"),
        ({"dropout": 1.0}, r"dropout=1.0 must lie in \[0, 1\)"),
    ],
)
def test_impossible_settings_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        training(tmp_path, tmp_path / "out", **changes)


def test_learning_rate_warms_up_and_falls(tmp_path: Path) -> None:
    config = training(tmp_path, tmp_path / "out", steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == rates[9] == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True) and 0.05 < rates[-1] < 0.06


def test_the_curve_is_means_of_consecutive_steps() -> None:
    curve = Curve(250, [])
    for step in range(1, 251):
        curve.add(step, cross_entropy=float(step), commitment=step / 8)
    assert len(curve.points) == 84
    assert curve.rounded()[0] == CurvePoint(step=3, cross_entropy=2.0, commitment=0.25)
    assert curve.rounded()[-1] == CurvePoint(step=250, cross_entropy=250.0, commitment=31.25)


PROGRESS = (
    '{"step": 2, "cursor": {"stretch": 1, "batch": 3}, "drawn": {"a": 4}, "restarted": 1, "start": %s, "curve": '
    '[{"step": 1, "cross_entropy": 0.5, "commitment": 0.0}], "error_rates": [{"step": 1, "heldout": 0.5}], '
    '"error_rates_without_bottleneck": {"heldout": 0.25}}'
)


@pytest.mark.parametrize("start", ["{}", '{"kmeans_frames": 7, "kmeans_residual": 0.25, "kmeans_perplexity": 3.5}'])
def test_the_progress_of_a_run_is_written_again_with_the_same_bytes(start: str) -> None:
    state = RunState.from_json(json.loads(PROGRESS % start))
    assert state.curve == [CurvePoint(step=1, cross_entropy=0.5, commitment=0.0)]
    assert state.cursor == Cursor(stretch=1, batch=3)
    assert state.start.kmeans_frames == json.loads(start).get("kmeans_frames")
    assert json.dumps(state.to_json()) == PROGRESS % start
