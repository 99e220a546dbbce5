"""Files of a run folder that are damaged or gone: one line that names the file and says truly what to do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from megatron_speech.artifacts.facts.training import RunSummary
from megatron_speech.checkpoint.folder import list_checkpoints
from megatron_speech.checkpoint.origin import origin_of
from megatron_speech.config.run.training import CheckpointConfig, LoggingConfig, PretrainConfig
from megatron_speech.training.metrics import HeldOut
from megatron_speech.training.run import pretrain
from megatron_speech.training.run_folder import (
    checkpoint_to_resume,
    prepare,
    read_done,
    read_plan,
    require_same_settings,
    write_done,
)
from megatron_speech.training.validation import validation_plans
from tests.kept import kept_record
from tests.toy_runs import VOCABULARY, make_config, make_sources

DAMAGE = {
    "empty": b"",
    "garbage": b"\xff\x00\x01",
    "another form": b"3\n",
    "another object": b"{}\n",
    "nested": b"[" * 99999,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> PretrainConfig:
    folder = tmp_path_factory.mktemp("made")
    return make_config(folder / "run", make_sources(folder))


@pytest.fixture
def config(made: PretrainConfig, tmp_path: Path) -> PretrainConfig:
    """A run folder as rank 0 prepares it."""
    config = replace(made, folder=tmp_path / "run")
    prepare(config, plan=validation_plans(config, vocabulary=VOCABULARY)["text"], consumed=0)
    return config


@pytest.mark.parametrize("damage", [*DAMAGE, "truncated", "deleted"])
def test_the_settings_of_a_finished_run(config: PretrainConfig, damage: str) -> None:
    path = config.folder / "config.yaml"
    require_same_settings(config)
    if damage == "deleted":
        path.unlink()
    else:
        path.write_bytes(DAMAGE.get(damage, path.read_bytes()[: path.stat().st_size // 3]))
    with pytest.raises(
        (ValueError, FileNotFoundError), match=r"config\.yaml.*; restore it .*or choose another"
    ) as caught:
        require_same_settings(config)
    assert "\n" not in str(caught.value)


def test_the_settings_are_never_half_written(config: PretrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    before = (config.folder / "config.yaml").read_bytes()
    monkeypatch.setattr("megatron_speech.training.run_folder.rename_synced", killed)
    plan = validation_plans(config, vocabulary=VOCABULARY)["text"]
    with pytest.raises(KeyboardInterrupt):
        prepare(replace(config, train=replace(config.train, seed=9)), plan=plan, consumed=0)
    assert (config.folder / "config.yaml").read_bytes() == before


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_summary_and_the_note_of_what_was_saved(config: PretrainConfig, damage: str) -> None:
    write_done(config.folder, RunSummary.from_json(kept_record("done")))
    (config.folder / "done.json").write_bytes(DAMAGE[damage])
    with pytest.raises(ValueError, match=r"done\.json is damaged: .*; remove it, and the run goes on from its newest"):
        read_done(config.folder)
    (config.folder / "saved.json").write_bytes(DAMAGE[damage])
    with pytest.raises(ValueError, match=r"saved\.json is damaged: .*; bring it back, or remove .* to start"):
        checkpoint_to_resume(config.folder, CheckpointConfig(resume="if_present"))


@pytest.mark.parametrize("damage", [*DAMAGE, "truncated"])
def test_the_plan(config: PretrainConfig, damage: str) -> None:
    path, plan = config.folder / "plan.json", validation_plans(config, vocabulary=VOCABULARY)["text"]
    assert read_plan(config.folder, plan.fingerprint) == plan
    path.write_bytes(DAMAGE.get(damage, path.read_bytes()[:-20]))
    with pytest.raises(ValueError, match=r"plan\.json is damaged: .*; restore it from a copy, or give this run"):
        read_plan(config.folder, plan.fingerprint)
    with pytest.raises(ValueError, match=r"plan\.json is damaged: .*; restore it from a copy, or remove it"):
        prepare(config, plan=plan, consumed=4)
    path.unlink()  # as told
    prepare(config, plan=plan, consumed=4)
    assert read_plan(config.folder, plan.fingerprint) == plan


def test_a_plan_with_a_flipped_bit(config: PretrainConfig) -> None:
    path, plan = config.folder / "plan.json", validation_plans(config, vocabulary=VOCABULARY)["text"]
    content = path.read_bytes()
    for bit in range(0, 8 * len(content), 7):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            found = read_plan(config.folder, plan.fingerprint)
        except (ValueError, FileNotFoundError) as error:
            assert "plan" in str(error)
        else:
            assert found.fingerprint == plan.fingerprint


@pytest.mark.parametrize("link", [False, True])
def test_a_file_in_the_place_of_a_checkpoint_does_not_end_a_run(
    made: PretrainConfig, tmp_path: Path, link: bool
) -> None:
    config = replace(made, folder=tmp_path / "run", checkpoint=CheckpointConfig(every_steps=3, resume="if_present"))
    checkpoints = config.folder / "checkpoints"
    checkpoints.mkdir(parents=True)
    for step in (6, 99):
        stray = checkpoints / f"step_{step}"
        stray.symlink_to(tmp_path / "nowhere") if link else stray.touch()
    pretrain(config, world=(0, 1))
    assert json.loads((config.folder / "done.json").read_text())["steps"] == 8
    log = (config.folder / "logs" / "rank_0.log").read_text()
    assert "step_99 is not a checkpoint folder: ignored" in log and (checkpoints / "step_6").is_dir()


BAD_ORIGINS = {
    "base text": b'{"base": "x", "sources": {}}',
    "no sources": b'{"base": null, "sources": null}',
    "a bare source": b'{"base": {}, "sources": {"a": {}}}',
}


@pytest.mark.parametrize("damage", [*DAMAGE, *BAD_ORIGINS])
def test_the_origin(config: PretrainConfig, damage: str) -> None:
    plan = validation_plans(config, vocabulary=VOCABULARY)["text"]
    path = config.folder / "origin.json"
    before = path.read_bytes()
    path.write_bytes((DAMAGE | BAD_ORIGINS)[damage])
    for read in (lambda: prepare(config, plan=plan, consumed=4), lambda: origin_of(config.folder / "checkpoints/x")):
        with pytest.raises(ValueError, match=r"origin\.json is damaged: .*; restore it from a copy, or remove it"):
            read()
    path.unlink()  # as told
    prepare(config, plan=plan, consumed=4)
    assert path.read_bytes() == before


def test_a_summary_written_again_leaves_one_validation_of_the_last_step(made: PretrainConfig, tmp_path: Path) -> None:
    logging = LoggingConfig(validation_rows=4, validate_every_steps=1)
    config = replace(
        made,
        folder=tmp_path / "run",
        logging=logging,
        checkpoint=CheckpointConfig(every_steps=2, resume="if_present"),
    )
    pretrain(config, world=(0, 1))
    done, log = ((config.folder / name).read_text() for name in ("done.json", "validation.jsonl"))
    steps = [json.loads(line)["step"] for line in log.splitlines()]
    assert steps == list(range(1, steps[-1] + 1))
    for _ in range(3):
        (config.folder / "done.json").unlink()
        pretrain(config, world=(0, 1))
        assert json.loads((config.folder / "done.json").read_text())["validation"] == json.loads(done)["validation"]
        assert (config.folder / "validation.jsonl").read_text() == log
    assert not list(config.folder.glob("*.damaged.jsonl"))


def test_weights_that_are_saved_and_score_no_number_are_named(
    made: PretrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(made, folder=tmp_path / "run", checkpoint=CheckpointConfig(every_steps=2, resume="if_present"))
    pretrain(config, world=(0, 1))
    (config.folder / "done.json").unlink()
    before, last = list_checkpoints(config.folder / "checkpoints")[-2:]
    nothing = HeldOut(losses={"text": {"text": float("nan")}}, targets={}, rows={})
    monkeypatch.setattr("megatron_speech.training.validation.Validation.run", lambda *_: nothing)
    said = rf"held-out loss of text is not finite, and {last} holds its weights: remove it; go on from the newest "
    with pytest.raises(FloatingPointError, match=rf"{said}checkpoint before it, {before}, with a lower optimizer\.lr"):
        pretrain(config, world=(0, 1))


@pytest.mark.parametrize("name", ["metrics.jsonl", "validation.jsonl"])
def test_a_log_that_is_a_link_to_nothing_is_named(made: PretrainConfig, tmp_path: Path, name: str) -> None:
    config = replace(made, folder=tmp_path / "run")
    config.folder.mkdir()
    (config.folder / name).symlink_to("/gone/log")
    with pytest.raises(ValueError, match=rf"{name} is a link to /gone/log, where no file is; mend the link, or remove"):
        pretrain(config, world=(0, 1))


@pytest.mark.parametrize("swapped", [False, True])
def test_a_checkpoint_under_the_name_of_another_step_is_not_resumed(
    made: PretrainConfig, tmp_path: Path, swapped: bool
) -> None:
    checkpoint = CheckpointConfig(every_steps=2, resume="if_present")
    config = replace(made, folder=tmp_path / "run", checkpoint=checkpoint, train=replace(made.train, stop_at_step=4))
    pretrain(config, world=(0, 1))
    second, fourth, ninth = (tmp_path / "run" / "checkpoints" / f"step_{step}" for step in (2, 4, 9))
    fourth.rename(ninth)
    if swapped:
        second.rename(fourth)
        ninth.rename(second)
    wrong, held = (fourth, 2) if swapped else (ninth, 4)
    with pytest.raises(ValueError, match=f"{wrong.name} holds the checkpoint of step {held}: it was renamed") as error:
        pretrain(replace(config, train=replace(config.train, stop_at_step=None)), world=(0, 1))
    assert "\n" not in str(error.value)
