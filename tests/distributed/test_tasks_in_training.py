"""A training asks evaluation tasks: the numbers of `evaluate`, the same in every layout, and no bit of it changes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from megatron_speech.config.run.evaluation import SpokenCorpusConfig, TrainingEvaluationConfig
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.config.run.training import LoggingConfig, PretrainConfig
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.convert import ConvertToHfConfig
from megatron_speech.config.stages.evaluate import EvaluateConfig
from megatron_speech.evaluation.during_training import read_tasks
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.vocabulary import Vocabulary
from tests.ranks import run_ranks
from tests.toy_evaluations import CODES, write_cloze
from tests.toy_runs import MODEL, make_config, make_sources, read_history, resuming

VIRTUAL = {"pipeline_model_parallel_size": 2, "virtual_pipeline_model_parallel_size": 2}
LAYOUTS: list[tuple[int, dict[str, Any]]] = [
    (2, {}),
    (2, {"tensor_model_parallel_size": 2, "sequence_parallel": True}),
    (2, {"pipeline_model_parallel_size": 2}),
    (2, VIRTUAL),
    (2, {"context_parallel_size": 2}),
]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> PretrainConfig:
    """A run of four steps that asks cloze items twice."""
    folder = tmp_path_factory.mktemp("asked")
    build_vocabulary(BuildVocabularyConfig(output=folder / "vocabulary", text="bytes", codebook_size=CODES))
    write_cloze(folder, items=12, fingerprint="")
    vocabulary = Vocabulary.load(folder / "vocabulary")
    return make_config(
        folder / "run",
        make_sources(folder, vocabulary=vocabulary),
        steps=4,
        # Dropout draws random numbers, so a validation that drew some would change the training.
        model=dataclasses.replace(MODEL, num_layers=4, init_method_std=0.3, megatron={"hidden_dropout": 0.1}),
        precision=PrecisionConfig(dtype="float32"),
        logging=LoggingConfig(validation_rows=4, validate_every_steps=2),
        evaluation=TrainingEvaluationConfig(
            vocabulary=folder / "vocabulary",
            cloze=SpokenCorpusConfig(texts=folder / "cloze.jsonl", codes=folder / "codes"),
            resamples=100,
        ),
    )


@pytest.fixture(scope="module")
def trained(asked: PretrainConfig) -> Path:
    """The finished run folder."""
    run_ranks(_train, 1, asked, timeout=600)
    return asked.folder


@pytest.fixture(scope="module")
def truth(asked: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one rank finds with initial weights."""
    path = tmp_path_factory.mktemp("truth") / "found.json"
    run_ranks(_ask, 1, asked, path, timeout=600)
    return json.loads(path.read_text())


@pytest.mark.parametrize(("world_size", "layout"), LAYOUTS)
def test_every_layout_finds_the_same(
    tmp_path: Path, asked: PretrainConfig, truth: dict[str, Any], world_size: int, layout: dict[str, Any]
) -> None:
    assert {0.0, 1.0}.isdisjoint(pair["value"] for pair in truth["cloze"]["WikiTopicCloze"].values())
    other = dataclasses.replace(asked, parallel=ParallelConfig(**layout))
    run_ranks(_ask, world_size, other, tmp_path / "found.json", timeout=600)
    assert json.loads((tmp_path / "found.json").read_text()) == truth


def test_asking_changes_no_bit_of_the_training(tmp_path: Path, asked: PretrainConfig, trained: Path) -> None:
    alone = dataclasses.replace(asked, folder=tmp_path / "run", evaluation=None)
    run_ranks(_train, 1, alone, timeout=600)
    assert read_history(alone) == read_history(asked)
    before, after = (json.loads((each / "done.json").read_text()) for each in (alone.folder, trained))
    assert {**before, "tokens_per_s": 0} == {**after, "tokens_per_s": 0}
    for name in ("validation.jsonl",):
        plain, with_tasks = (_lines(each / name) for each in (alone.folder, trained))
        assert [{**line, "tasks": None, "trained_tokens": None} for line in plain] == [
            {**line, "tasks": None, "trained_tokens": None} for line in with_tasks
        ]
        assert not any("tasks" in line for line in plain)


def test_the_number_is_that_of_evaluate(tmp_path: Path, asked: PretrainConfig, trained: Path) -> None:
    from megatron_speech.checkpoint.hf_export import convert_to_hf
    from megatron_speech.evaluation.harness import evaluate

    assert asked.evaluation is not None
    hf, output = tmp_path / "hf", tmp_path / "evaluation"
    convert_to_hf(ConvertToHfConfig(checkpoint=trained, vocabulary=asked.evaluation.vocabulary, output=hf))
    evaluate(EvaluateConfig(model=hf, output=output, cloze=asked.evaluation.cloze, resamples=100))
    after = _lines(trained / "validation.jsonl")[-1]
    assert json.loads((output / "evaluation.json").read_text())["cloze"] == after["tasks"]["cloze"]
    assert after["trained_tokens"] == sum(read_history(asked)[-1]["tokens"].values())


def test_tensorboard_has_accuracy_against_tokens(asked: PretrainConfig, trained: Path) -> None:
    board = EventAccumulator(str(trained / "tensorboard" / "by_tokens")).Reload()
    lines = _lines(trained / "validation.jsonl")
    assert [line["step"] for line in lines] == [2, 4]
    for pair in ("text->text", "speech->speech"):
        points = [(event.step, event.value) for event in board.Scalars(f"cloze/WikiTopicCloze/{pair}")]
        expected = [line["tasks"]["cloze"]["WikiTopicCloze"][pair]["value"] for line in lines]
        assert [step for step, _ in points] == [line["trained_tokens"] for line in lines]
        assert [value for _, value in points] == pytest.approx(expected)


def test_a_resumed_run_asks_on(tmp_path: Path, asked: PretrainConfig, trained: Path) -> None:
    halted = dataclasses.replace(asked, folder=tmp_path / "run", train=dataclasses.replace(asked.train, stop_at_step=3))
    run_ranks(_train, 1, halted, timeout=600)
    on = resuming(dataclasses.replace(halted, train=asked.train))
    run_ranks(_train, 1, on, timeout=600)
    assert _lines(on.folder / "validation.jsonl") == _lines(trained / "validation.jsonl")
    board = EventAccumulator(str(on.folder / "tensorboard" / "by_tokens")).Reload()
    assert len(board.Scalars("cloze/WikiTopicCloze/text->text")) == 2


def test_what_cannot_be_asked_is_named(tmp_path: Path, asked: PretrainConfig) -> None:
    assert asked.evaluation is not None
    vocabulary = Vocabulary.load(asked.evaluation.vocabulary)
    writing = dataclasses.replace(
        asked.evaluation, tasks={"questions": {"sets": {}, "answers": ["text"], "speech_tokenizer": None}}
    )
    with pytest.raises(ValueError, match=r"evaluation\.tasks\.questions.*does not write"):
        read_tasks(writing, vocabulary)
    with pytest.raises(ValueError, match=r"evaluation\.tasks\.riddles: no such"):
        read_tasks(dataclasses.replace(asked.evaluation, tasks={"riddles": {}}), vocabulary)
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "other", text="bytes", codebook_size=CODES + 1))
    with pytest.raises(ValueError, match=r"evaluation\.vocabulary=.*other"):
        read_tasks(dataclasses.replace(asked.evaluation, vocabulary=tmp_path / "other"), vocabulary)
    from megatron_speech.training.questions import tasks_of

    short = dataclasses.replace(asked, data=dataclasses.replace(asked.data, seq_length=8))
    with pytest.raises(ValueError, match=r"evaluation\.cloze: an item has \d+ tokens, data\.seq_length=8"):
        tasks_of(short, vocabulary, read_tasks)


def test_a_dry_run_says_what_is_asked(tmp_path: Path, asked: PretrainConfig) -> None:
    from megatron_speech.training.dry_run import dry_run

    lines = list(dry_run(dataclasses.replace(asked, folder=tmp_path / "run"), world_size=1, read_tasks=read_tasks))
    assert f"evaluation task cloze: {12 * 3 * 4} continuations are scored at every validation" in lines


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _train(rank: int, world_size: int, init_method: str, config: PretrainConfig) -> None:
    from megatron_speech.training.run import pretrain

    pretrain(config, world=(rank, world_size), init_method=init_method, read_tasks=read_tasks)


def _ask(rank: int, world_size: int, init_method: str, config: PretrainConfig, path: Path) -> None:
    from megatron_speech.training.engine import build_engine
    from megatron_speech.training.questions import Questions
    from megatron_speech.training.validation import Validation

    layout = ParallelLayout.of(config.parallel, world_size=world_size)
    groups.initialize(layout, seed=1, rank=rank, init_method=init_method)
    assert config.evaluation is not None
    vocabulary = Vocabulary.load(config.evaluation.vocabulary)
    engine = build_engine(config, vocabulary=vocabulary, load_base=False)
    questions = Questions.read(config, vocabulary, read_tasks)
    found = Validation.of({}, config=config, layout=layout, questions=questions).run(engine)
    if rank == 0:
        path.write_text(json.dumps(found.tasks))
    else:
        assert found.tasks == {}
    groups.shutdown()
