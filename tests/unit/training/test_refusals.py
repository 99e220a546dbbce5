"""A run that lost its checkpoints, or is done with other settings, says so before it writes anything."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from megatron_speech.config.parsing.parse import dump_yaml
from megatron_speech.config.run.data import DataConfig, SourceConfig
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.config.run.training import CheckpointConfig, LoggingConfig, OptimizerConfig, TrainConfig
from megatron_speech.training import run_folder
from megatron_speech.vocabulary import Vocabulary
from tests.toy_runs import SEQ_LENGTH, VOCABULARY, make_config, make_sources


@pytest.mark.parametrize("resume", ["if_present", "never", "required"])
def test_lost_checkpoints_are_no_start_from_step_0(tmp_path: Path, resume: str) -> None:
    run_folder.note_saved(tmp_path, 40)
    with pytest.raises(FileNotFoundError, match=r"checkpoints holds no complete checkpoint"):
        run_folder.checkpoint_to_resume(tmp_path, CheckpointConfig(resume=resume))


def test_a_run_that_died_before_its_first_checkpoint_starts_again(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    assert run_folder.checkpoint_to_resume(tmp_path, CheckpointConfig(resume="if_present")) is None


def test_a_finished_run_refuses_other_settings(tmp_path: Path) -> None:
    config = make_config(tmp_path / "run", make_sources(tmp_path))
    config.folder.mkdir()
    dump_yaml(config, config.folder / "config.yaml")
    run_folder.require_same_settings(config)
    run_folder.require_same_settings(
        dataclasses.replace(config, train=dataclasses.replace(config.train, stop_at_step=3))
    )
    other = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, lr=0.5))
    with pytest.raises(ValueError, match=r"optimizer\.lr=0\.01, this run says 0\.5"):
        run_folder.require_same_settings(other)


def test_a_refused_start_leaves_the_folder_alone(tmp_path: Path) -> None:
    from megatron_speech.training.run import pretrain

    config = make_config(tmp_path / "run", make_sources(tmp_path))
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, base=str(tmp_path / "nowhere")))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        pretrain(config, world=(0, 1))
    assert not (config.folder / "config.yaml").exists()


ON_GPUS: dict[str, dict[str, Any]] = {
    "gradient_accumulation_fusion": {"parallel": ParallelConfig(gradient_accumulation_fusion=True)},
    "fp8": {"precision": PrecisionConfig(fp8="hybrid")},
}


@pytest.mark.parametrize("key", ON_GPUS)
def test_what_the_machine_lacks_is_refused_before_anything_is_written(tmp_path: Path, key: str) -> None:
    from megatron_speech.training.run import pretrain

    if torch.cuda.is_available():
        pytest.skip("the refusal is for machines without a GPU")
    config = dataclasses.replace(make_config(tmp_path / "run", make_sources(tmp_path)), **ON_GPUS[key])
    with pytest.raises(ValueError, match=rf"{key}=.* needs .*GPU"):
        pretrain(config, world=(0, 2))  # refused before the other rank is waited for
    assert not config.folder.exists()


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (OptimizerConfig, {"lr": -1.0}),
        (OptimizerConfig, {"lr": float("nan")}),
        (OptimizerConfig, {"lr_warmup_fraction": 3.0}),
        (TrainConfig, {"stop_at_step": 0}),
        (CheckpointConfig, {"keep_last": 0}),
        (CheckpointConfig, {"every_steps": 0}),
        (LoggingConfig, {"every_steps": 0}),
        (LoggingConfig, {"validation_rows": -1}),
    ],
)
def test_nonsense_numbers_are_refused(schema: type, values: dict[str, float]) -> None:
    (name,) = values
    with pytest.raises(ValueError, match=rf"\.{name}="):
        schema(**values)


def test_a_rate_cannot_decay_upwards() -> None:
    with pytest.raises(ValueError, match=r"optimizer\.min_lr=6e-05 exceeds optimizer\.lr=6e-06, from which it decays"):
        OptimizerConfig(lr=6e-6, min_lr=6e-5)
    OptimizerConfig(lr=6e-6, min_lr=6e-6)
    OptimizerConfig(lr=1e-6, lr_decay_style="constant")


def test_sources_of_two_vocabularies_are_refused_by_name_and_key(tmp_path: Path) -> None:
    from megatron_speech.training.run import shared_vocabulary

    config = make_config(tmp_path / "run", make_sources(tmp_path))
    path = config.data.sources["paired"].folder / "vocabulary.json"
    dataclasses.replace(Vocabulary.load(path), speech_fingerprint="another tokenizer").save(path)
    with pytest.raises(ValueError, match=r"data\.sources\.paired\.folder=.* speech_fingerprint=another tokenize"):
        shared_vocabulary(config.data)


def test_a_wrong_held_out_source_is_named_by_its_own_key_before_the_model_is_built(tmp_path: Path) -> None:
    from megatron_speech.training.run import pretrain, shared_vocabulary
    from megatron_speech.training.validation import validation_plans

    sources = make_sources(tmp_path)
    config = make_config(tmp_path / "run", sources)
    longer = dataclasses.replace(config.data, seq_length=2 * SEQ_LENGTH)
    with pytest.raises(ValueError, match=r"^data\.validation\.text\.folder=.* was packed with seq_length=32"):
        validation_plans(dataclasses.replace(config, data=longer), vocabulary=VOCABULARY)
        pretrain(dataclasses.replace(config, data=longer), world=(0, 2))  # before the other rank is waited for
    for name in ("shards.json", "vocabulary.json"):
        (sources["text"].folder / name).unlink()
        data = dataclasses.replace(config.data, sources={"paired": sources["paired"]})
        with pytest.raises(FileNotFoundError, match=r"^data\.validation\.text\.folder=.* holds no "):
            shared_vocabulary(data)
            validation_plans(config, vocabulary=VOCABULARY)


@pytest.mark.parametrize("section", ["sources", "validation"])
def test_a_negative_weight_is_named_by_its_key(section: str) -> None:
    with pytest.raises(ValueError, match=rf"data\.{section}\.text\.weight=-1 must not be negative"):
        DataConfig(**{section: {"text": SourceConfig(folder=Path("x"), task="text", weight=-1)}})
