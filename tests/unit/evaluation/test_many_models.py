"""Many models are evaluated task by task: checkpoints as their exports, in any jobs, and nothing twice."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from megatron_speech.artifacts.facts.checkpoint import CheckpointState
from megatron_speech.checkpoint import folder as folders
from megatron_speech.checkpoint.hf_import import convert_from_hf
from megatron_speech.config.run.evaluation import SpokenCorpusConfig
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.convert import ConvertFromHfConfig
from megatron_speech.config.stages.evaluate import EvaluateConfig, HeldOutConfig
from megatron_speech.config.stages.spread import SpreadConfig
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.evaluation.evaluated_model import EvaluatedModel
from megatron_speech.evaluation.harness import evaluate
from megatron_speech.evaluation.many_models import evaluate_models, parts_of, results_by_model
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.vocabulary import Vocabulary
from tests.toy_evaluations import CODES, write_cloze
from tests.toy_text_models import export, text_model

MODELS = ("pretrain-step_2", "pretrain-step_4", "hf")
FILES = ("evaluation.json", "items.jsonl", "protocol.json")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two checkpoints, the export of the second, and items."""
    folder = tmp_path_factory.mktemp("many")
    text_model(folder / "text", "llama", tied=True, max_position_embeddings=128)
    ours = folder / "vocabulary"
    build_vocabulary(BuildVocabularyConfig(output=ours, text=str(folder / "text"), codebook_size=CODES))
    for step, seed in ((2, 5), (4, 6)):
        checkpoint = folder / "pretrain" / "checkpoints" / f"step_{step}"
        convert_from_hf(ConvertFromHfConfig(model=folder / "text", vocabulary=ours, output=checkpoint, seed=seed))
        _say_trained(checkpoint, step)
    export(folder, folder / "pretrain" / "checkpoints" / "step_4")
    write_cloze(folder, items=8, fingerprint="")
    vocabulary = Vocabulary.load(ours)
    draw = np.random.default_rng(0)
    documents = [TokenDocument(key=f"d{n}", tokens=draw.integers(1, 60, 20).astype(np.int32)) for n in range(4)]
    write_documents(folder / "held_out", documents, vocabulary=vocabulary, name="text")
    (folder / "held_out" / "manifest.json").write_text('{"kind": "documents", "facts": {}}')
    return folder


def _say_trained(checkpoint: Path, step: int) -> None:
    """Make imported weights a checkpoint of a run, which has read `step` times 100 text and 10 speech targets."""
    state = CheckpointState(step=step, consumed_samples=step, text_tokens=100 * step, speech_tokens=10 * step)
    model, vocabulary = folders.read_model_config(checkpoint), folders.read_vocabulary(checkpoint)
    (checkpoint / "manifest.json").unlink(missing_ok=True)
    folders.write_facts(checkpoint, model=model, vocabulary=vocabulary, state=state)
    files = [path for path in checkpoint.iterdir() if path.name != folders.CHECKSUMS]
    folders.write_checksums(checkpoint, folders.checksums(sorted(files)))


def settings(world: Path, output: Path, **changes) -> EvaluateConfig:
    values = {
        "models": [world / "pretrain", world / "hf"],
        "vocabulary": world / "vocabulary",
        "output": output,
        "cloze": SpokenCorpusConfig(texts=world / "cloze.jsonl", codes=world / "codes"),
        "held_out": HeldOutConfig(sources={"text": world / "held_out"}),
        "resamples": 100,
        **changes,
    }
    return EvaluateConfig(**values)


@pytest.fixture(scope="module")
def made(world: Path, tmp_path_factory: pytest.TempPathFactory) -> EvaluateConfig:
    """Settings whose output is made."""
    config = settings(world, tmp_path_factory.mktemp("made") / "all")
    evaluate_models(config)
    return config


@pytest.fixture
def unloadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a model is an error."""

    def refuse(*_, **__):
        raise AssertionError("a model is loaded")

    monkeypatch.setattr(EvaluatedModel, "load", refuse)


def test_every_model_has_every_task(made: EvaluateConfig) -> None:
    found = sorted(path.parent.relative_to(made.output).as_posix() for path in made.output.rglob("manifest.json"))
    assert found == sorted(f"{model}/{task}" for model in MODELS for task in ("cloze", "held_out"))
    assert [path.name for path in made.output.iterdir() if "export" in path.name] == []
    assert {model: sorted(results) for model, results in results_by_model(made)} == {
        model: ["cloze", "held_out"] for model in MODELS
    }


def test_a_checkpoint_scores_as_its_export_to_the_byte(made: EvaluateConfig) -> None:
    first, checkpoint, exported = (made.output / model / "cloze" / "items.jsonl" for model in MODELS)
    assert checkpoint.read_bytes() == exported.read_bytes() != first.read_bytes()


def test_what_a_model_was_trained_on_is_noted(made: EvaluateConfig) -> None:
    trained = [
        json.loads((made.output / model / "cloze" / "evaluation.json").read_text())["trained"] for model in MODELS
    ]
    second = {"step": 4, "tokens": {"text": 400, "speech": 40}}
    assert trained == [{"step": 2, "tokens": {"text": 200, "speech": 20}}, second, second]


def test_one_checkpoint_is_evaluated_like_a_folder_of_hugging_face(world: Path, tmp_path: Path) -> None:
    for name, model in (("run", world / "pretrain"), ("hf", world / "hf")):
        one = settings(world, tmp_path / name, models=[], model=model, vocabulary=world / "vocabulary")
        evaluate(one)
    assert (tmp_path / "run" / "items.jsonl").read_bytes() == (tmp_path / "hf" / "items.jsonl").read_bytes()


def test_jobs_in_any_order_make_the_same_bytes(world: Path, tmp_path: Path, made: EvaluateConfig) -> None:
    config = settings(world, tmp_path / "all")
    for job in (2, 0, 3, 1):
        if job == 3:
            with pytest.raises(ValueError, match="are not made; run the same command again"):
                evaluate_models(dataclasses.replace(config, run=SpreadConfig(part="finish")))
        evaluate_models(dataclasses.replace(config, run=SpreadConfig(part="tasks", job=job, jobs=4)))
    evaluate_models(dataclasses.replace(config, run=SpreadConfig(part="finish")))
    for part, other in zip(parts_of(config), parts_of(made), strict=True):
        for name in FILES:
            assert (part.output / name).read_bytes() == (other.output / name).read_bytes()


def test_what_is_done_is_skipped_wherever_it_lies(
    world: Path, tmp_path: Path, made: EvaluateConfig, unloadable: None
) -> None:
    evaluate_models(made)
    elsewhere = Path(shutil.copytree(world, tmp_path / "moved", dirs_exist_ok=True))
    shutil.copytree(made.output, tmp_path / "all")
    evaluate_models(settings(elsewhere, tmp_path / "all"))


def test_a_list_grows_by_models_and_tasks(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    load = EvaluatedModel.load
    monkeypatch.setattr(EvaluatedModel, "load", lambda self, **given: loaded.append(self.name) or load(self, **given))
    config = settings(world, tmp_path / "all", models=[world / "hf"], held_out=HeldOutConfig())
    evaluate_models(config)
    evaluate_models(dataclasses.replace(config, models=[world / "hf", world / "pretrain"]))
    evaluate_models(settings(world, tmp_path / "all", models=[world / "hf"]))
    assert loaded == ["hf", "pretrain-step_2", "pretrain-step_4", "hf"]


def test_scores_of_something_else_are_refused(
    world: Path, tmp_path: Path, made: EvaluateConfig, unloadable: None
) -> None:
    shutil.copytree(made.output, tmp_path / "all")
    config = settings(world, tmp_path / "all")
    fewer = dataclasses.replace(config, cloze=dataclasses.replace(config.cloze, max_items=2))
    with pytest.raises(ValueError, match=r"pretrain-step_2/cloze was made with .*max_items"):
        evaluate_models(fewer)
    with pytest.raises(ValueError, match=r"was made with .*resamples"):
        evaluate_models(dataclasses.replace(config, resamples=200))
    with pytest.raises(ValueError, match=r"scored by another protocol \(.*template"):
        evaluate_models(dataclasses.replace(config, held_out=dataclasses.replace(config.held_out, max_tokens=9)))
    other = Path(shutil.copytree(world / "pretrain" / "checkpoints" / "step_2", tmp_path / "pretrain-step_4"))
    with pytest.raises(ValueError, match=r"pretrain-step_4/cloze scores other weights"):
        evaluate_models(dataclasses.replace(config, models=[other]))


def test_mistakes_are_named(world: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"vocabulary is missing: .*pretrain"):
        parts_of(settings(world, tmp_path, vocabulary=None))
    (tmp_path / "begun" / "checkpoints").mkdir(parents=True)
    with pytest.raises(ValueError, match="begun holds no complete checkpoint yet"):
        parts_of(settings(world, tmp_path, models=[tmp_path / "begun"]))
    twin = Path(shutil.copytree(world / "hf", tmp_path / "twin" / "hf"))
    with pytest.raises(ValueError, match="would both be 'hf' in output"):
        parts_of(settings(world, tmp_path, models=[world / "hf", twin]))
    with pytest.raises(ValueError, match=r"model is missing: name one model, or a list as models"):
        settings(world, tmp_path, models=[])
    with pytest.raises(ValueError, match=r"model is missing.*not both"):
        settings(world, tmp_path, model=world / "hf")
    with pytest.raises(ValueError, match=r"run\.part=tasks: one model is scored by one job"):
        settings(world, tmp_path, models=[], model=world / "hf", run=SpreadConfig(part="tasks"))
