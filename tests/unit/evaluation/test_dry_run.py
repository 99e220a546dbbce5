"""Before an evaluation runs, its tokens are known, its time is predicted from a few batches, and nothing is written."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from megatron_speech.commands.main import run
from megatron_speech.commands.table import COMMANDS
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.dry_run import EvaluateCommandConfig
from megatron_speech.config.stages.evaluate import EvaluateConfig, HeldOutConfig
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.evaluation import dry_run
from megatron_speech.evaluation.dry_run import PROBED, TaskCost, cost_table, task_costs
from megatron_speech.evaluation.harness import run_task
from megatron_speech.evaluation.tasks.interface import Answers, Record, Request, ScoringProtocol
from megatron_speech.inference.model import LanguageModel, planned_batches
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.vocabulary import Vocabulary
from tests.toys import byte_vocabulary, tiny_llama, write_model


class ToyTask:
    """Contexts of very different lengths, each with three continuations, in two groups."""

    lists_records: ClassVar[bool] = True
    inputs: ClassVar[list[Path]] = []

    def protocol(self, items: Sequence[int]) -> ScoringProtocol:
        return ScoringProtocol(chance={"toy": 0.5}, template="t", score="s")

    def requests(self, items: Sequence[int], model: Any) -> Iterator[tuple[str, list[Request]]]:
        drawn = random.Random(0)
        for group in ("short", "long"):
            contexts = [drawn.choices(range(200), k=drawn.randint(1, 60 if group == "long" else 6)) for _ in items]
            yield group, [(each, drawn.choices(range(200), k=drawn.randint(1, 9))) for each in contexts for _ in "abc"]

    def items(self, vocabulary: Vocabulary) -> list[int]:
        return list(range(300))

    def records(self, items: Sequence[int], answers: Answers) -> list[Record]:
        return [{"scored": sum(len(each) for group in answers.values() for each in group)}]

    def results(self, items: Sequence[int], records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Any]:
        return records[0]


def test_the_predicted_tokens_are_those_that_are_scored() -> None:
    vocabulary = byte_vocabulary(32)
    network = tiny_llama(vocabulary)
    model = LanguageModel(network=network, tokenizer=TextTokenizer.load("bytes"), vocabulary=vocabulary)
    task, read, padded = ToyTask(), [], []
    items = task.items(vocabulary)
    cost = task_costs(model, {"toy": items}, {"toy": task})["toy"]

    def count(_module: Any, _args: Any, inputs: dict[str, torch.Tensor]) -> None:
        read.append(int(inputs["attention_mask"][:, 0, :, 0].sum()))  # all but padding sees the first token of its row
        padded.append(inputs["input_ids"].numel())

    network.get_decoder().register_forward_pre_hook(count, with_kwargs=True)
    results, _ = run_task(model, task, items, Bootstrap(resamples=100), name="toy")
    assert (cost.read, cost.scored) == (sum(read), results["scored"])
    batches = [batch for _, requests in task.requests(items, model) for batch in planned_batches(requests)]
    assert len(batches) > 3 and [batch.padded for batch in batches] == padded


class CountingModel:
    """Scores nothing; its clock advances with the tokens of a batch."""

    def __init__(self) -> None:
        self.seconds, self.passes = 0.0, 0

    def token_log_probabilities(self, requests: Sequence[Request], *, progress: str | None = None) -> list[np.ndarray]:
        (batch,) = planned_batches(requests)
        self.passes += 1
        self.seconds += batch.padded + batch.scored
        return []


def test_a_few_batches_tell_the_time_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    model, task, items = CountingModel(), ToyTask(), list(range(3000))
    monkeypatch.setattr(dry_run.time, "process_time", lambda: model.seconds)
    cost = task_costs(model, {"toy": items, "none": []}, {"toy": task, "none": task})
    assert [*cost] == ["toy"] and model.passes == PROBED + 1
    batches = [batch for _, requests in task.requests(items, model) for batch in planned_batches(requests)]
    assert len(batches) > 2 * PROBED
    assert cost["toy"].seconds == pytest.approx(sum(batch.padded + batch.scored for batch in batches))


class ToyAnswers(ToyTask):
    """Questions that are answered in at most seven tokens."""

    batch_size: ClassVar[int] = 4
    requests: ClassVar[None] = None

    def protocol(self, items: Sequence[int]) -> ScoringProtocol:
        return ScoringProtocol(template="t", score="s", matcher="every_word")

    def prompts(self, items: Sequence[int], model: Any) -> Iterator[tuple[str, list[Any]]]:
        yield "asked", [([1, 2, 3], SimpleNamespace(max_new_tokens=7)) for _ in items]


def test_of_written_answers_the_prompts_and_the_most_tokens_are_told() -> None:
    model: Any = CountingModel()
    costs = task_costs(model, {"toy": [1, 2]}, {"toy": ToyAnswers()})
    assert costs["toy"] == TaskCost(items=2, accuracy=True, read=6, scored=14, seconds=None) and model.passes == 0
    _, line, *_ = cost_table(costs)
    assert line.split()[-4:] == ["at", "most", "14", "-"]


def test_the_table_tells_what_can_be_seen() -> None:
    costs = {
        "cloze": TaskCost(items=1000, accuracy=True, read=41_000, scored=9_000, seconds=90.0),
        "held_out": TaskCost(items=96, accuracy=False, read=500, scored=400, seconds=30.0),
    }
    lines = [line.split() for line in cost_table(costs)]
    assert lines[1][:6] == ["cloze", "1,000", "4.0", "5.6", "41,000", "9,000"]
    assert lines[2][:6] == ["held_out", "96", "-", "-", "500", "400"]
    assert lines[3] == ["sum:", "2", "min", "of", "CPU", "time,", "predicted", "from", "a", "probe"]


def test_every_set_of_a_task_has_its_own_power() -> None:
    sets = {"few": 4, "many": 1000}
    cost = TaskCost(items=1004, sets=sets, accuracy=True, read=9, scored=3, seconds=1.0)
    _, task, few, many, *_ = (line.split() for line in cost_table({"choices": cost}))
    assert task == ["choices", "1,004", "-", "-", "9", "3", "1", "s"]
    assert few == ["few", "4", "none", "none"] and many == ["many", "1,000", "4.0", "5.6"]


def test_items_are_counted_by_the_set_that_they_name() -> None:
    items: list[Any] = [SimpleNamespace(data_set=name) for name in ("a", "b", "a")]
    cost = task_costs(CountingModel(), {"toy": items}, {"toy": ToyTask()})["toy"]
    assert (cost.items, cost.sets) == (3, {"a": 2, "b": 1})


def test_the_command_prints_it_and_writes_nothing(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = BuildVocabularyConfig(
        output=tmp_path / "vocabulary", text="bytes", codebook_size=32, speech_fingerprint="a"
    )
    build_vocabulary(folder)
    vocabulary = Vocabulary.load(folder.output)
    model = write_model(tmp_path / "hf", folder.output)
    documents = [TokenDocument(key=f"d{end}", tokens=np.arange(end - 4, end, dtype=np.int32)) for end in (5, 10)]
    write_documents(tmp_path / "documents", documents, vocabulary=vocabulary, name="web")
    monkeypatch.setattr(sys, "argv", ["evaluate"])
    words = ["--model", str(model), "--output", str(tmp_path / "out"), "--held_out.sources.web"]
    run(COMMANDS["evaluate"], [*words, str(tmp_path / "documents"), "--dry_run"])
    head, line, *_ = capsys.readouterr().out.splitlines()
    assert head.startswith("task") and line.split()[:6] == ["held_out", "2", "-", "-", "10", "8"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["documents", "hf", "vocabulary"]


def test_the_settings_of_an_evaluation_are_kept_without_the_question_whether_to_run() -> None:
    held_out = HeldOutConfig(sources={"a": Path("a")})
    own = {"model": Path("hf"), "output": Path("out"), "held_out": held_out}
    assert EvaluateCommandConfig(**own, dry_run=True).evaluation == EvaluateConfig(**own)
