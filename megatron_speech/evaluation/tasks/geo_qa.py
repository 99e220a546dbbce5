"""GeoQA: the capital of a country, asked in writing and aloud, among four capitals of the same region.

The groups carry the question of the paper. "written_only": the capital of the country is stated in writing only in the
training data and never spoken, though the country's name is heard in other sentences; a spoken question about it can
only be answered by knowledge that crossed over from text. "spoken": the other countries. Answers are written.

The score of a capital is its log-likelihood in sum: candidates are complete answers, and the probability of a name is
the product over its tokens. Per token, a long name whose later pieces follow from its first would beat a short one.
The readings of a country (voices, speeds) are averaged first: countries are the independent items. Chance is 0.25.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from megatron_speech.config.stages.evaluate import SpokenCorpusConfig
from megatron_speech.corpus.records import TextDocument, read_jsonl
from megatron_speech.evaluation.tasks.interface import Answers, Record, Request, Scorer
from megatron_speech.evaluation.tasks.likelihood import Choice, SpokenText, choice_requests, choice_scores, credit
from megatron_speech.evaluation.tasks.spoken_items import codes_by
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.vocabulary import Modality, Vocabulary

GROUPS = ("written_only", "spoken")
FORMS: tuple[Modality, ...] = ("text", "speech")
"""How a question is asked."""


@dataclass(frozen=True)
class Question:
    """A country's question, its readings aloud, and candidate capitals of which the first is right."""

    country: str
    group: str
    written: SpokenText
    readings: dict[str, SpokenText]
    candidates: list[SpokenText]


def read_questions(config: SpokenCorpusConfig, vocabulary: Vocabulary) -> list[Question]:
    """Questions that are spoken at least once; ValueError if none is or a question is malformed."""
    readings: defaultdict[str, dict[str, SpokenText]] = defaultdict(dict)
    for (country, reading), codes in codes_by(config.codes, vocabulary, "country", "reading").items():
        readings[country][str(reading)] = SpokenText("", codes)
    questions = list(itertools.islice(_questions(config, readings), config.max_items))
    if not questions:
        raise ValueError(f"geo_qa.codes={config.codes} speaks no question of {config.texts}; encode its audio first")
    return questions


def _questions(config: SpokenCorpusConfig, readings: dict[str, dict[str, SpokenText]]) -> Iterator[Question]:
    for document in read_jsonl(config.texts):
        question = _question(config, document, readings)
        if question.readings:
            yield question


def _question(
    config: SpokenCorpusConfig, document: TextDocument, readings: dict[str, dict[str, SpokenText]]
) -> Question:
    meta = document.metadata
    group, answer, candidates, country = (meta.get(key) for key in ("group", "answer", "candidates", "country"))
    names = [answer, *(name for name in candidates if name != answer)] if isinstance(candidates, list) else []
    if group not in GROUPS or len(set(names)) != 4 or sorted(names) != sorted(candidates or []):
        raise ValueError(
            f"{config.texts}: question {document.id!r} needs a group of {GROUPS} and four different candidates "
            "with the answer among them; build the corpus again"
        )
    spoken = readings.get(str(country), {})
    return Question(str(country), group, SpokenText(document.text), spoken, [SpokenText(name) for name in names])


@dataclass(frozen=True)
class GeoQaTask:
    """Every question in writing, and in all its readings aloud."""

    settings: SpokenCorpusConfig
    lists_records: ClassVar[bool] = True

    @property
    def inputs(self) -> list[Path]:
        """See `EvaluationTask`, as for the methods below."""
        return [self.settings.texts, self.settings.codes]

    def items(self, vocabulary: Vocabulary) -> list[Question]:
        """The questions in the ids of `vocabulary`; ValueError names what is wrong with the files."""
        return read_questions(self.settings, vocabulary)

    def requests(self, items: Sequence[Question], model: Scorer) -> Iterator[tuple[str, list[Request]]]:
        """Requests by the name of their group; see `EvaluationTask`."""
        for given in FORMS:
            choices = [
                Choice(context, question.candidates) for question in items for _, context in _contexts(question, given)
            ]
            yield f"{given}->text", choice_requests(model, choices, (given, "text"))

    def records(self, items: Sequence[Question], answers: Answers) -> list[Record]:
        """One record per question in writing, and one per reading aloud."""
        records: list[Record] = []
        for given in FORMS:
            asked = [(question, reading) for question in items for reading, _ in _contexts(question, given)]
            counts = [len(question.candidates) for question, _ in asked]
            scores = choice_scores(counts, answers[f"{given}->text"], per="continuation")
            for (question, reading), row in zip(asked, scores, strict=True):
                record = {"task": "GeoQA", "pair": f"{given}->text", "item": question.country, "reading": reading}
                records.append(record | {"true": row[0], "false": row[1:], "credit": credit(row)})
        return records

    def results(self, items: Sequence[Question], records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Any]:
        """Accuracy by form of the question ("text->text", "speech->text") and group."""
        credits: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        for record in records:
            credits[record["pair"], record["item"]].append(record["credit"])
        results: dict[str, Any] = {"chance": 0.25, "score": "log-likelihood in sum"}
        for pair in [f"{given}->text" for given in FORMS]:
            means = [(question.group, _mean(credits[pair, question.country])) for question in items]
            results[pair] = {
                group: bootstrap.mean(members).rounded().to_json()
                for group in GROUPS
                if (members := [mean for each, mean in means if each == group])
            }
        return results


def _contexts(question: Question, given: Modality) -> list[tuple[str, SpokenText]]:
    """The question as asked: once in writing, or in every reading."""
    return [("written", question.written)] if given == "text" else list(question.readings.items())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
