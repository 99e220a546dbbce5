"""GeoQA: which of four capitals of a region belongs to a country? Questions are written or spoken, answers written.

Countries form two groups, which answer the paper's question. For "written_only" countries, training data state the
capital in writing but never in speech; the country's name occurs in other speech. A right answer to such a spoken
question shows knowledge that crossed over from text. All other countries are in the group "spoken".

The score of a capital is the sum of the log-likelihoods of its tokens: the probability of the complete answer. A mean
per token would favour long names, whose later pieces follow from the first. Spoken readings of a question are averaged
before resampling, because countries are the independent items. Chance is 0.25.
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
from megatron_speech.evaluation.tasks.interface import Answers, Record, Request, Scorer, ScoringProtocol
from megatron_speech.evaluation.tasks.likelihood import (
    TEMPLATE,
    Choice,
    SpokenText,
    choice_requests,
    choice_scores,
    credit,
)
from megatron_speech.evaluation.tasks.spoken_items import codes_by
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.metrics.intervals import accuracy
from megatron_speech.vocabulary import Modality, Vocabulary

GROUPS = ("written_only", "spoken")
FORMS: tuple[Modality, ...] = ("text", "speech")
"""Modalities of a question."""

SCORE = "log-likelihood in sum"


@dataclass(frozen=True)
class Question:
    """The question about a country, its spoken readings, and candidate capitals; the first candidate is right."""

    country: str
    group: str
    written: SpokenText
    readings: dict[str, SpokenText]
    candidates: list[SpokenText]


def read_questions(config: SpokenCorpusConfig, vocabulary: Vocabulary) -> list[Question]:
    """At most `max_items` questions with at least one spoken reading.

    Raises ValueError if there is none, or if a question is malformed.
    """
    readings: defaultdict[str, dict[str, SpokenText]] = defaultdict(dict)
    for (country, reading), codes in codes_by(config.codes, vocabulary, "country", "reading").items():
        readings[country][str(reading)] = SpokenText("", codes)
    questions = list(itertools.islice(_questions(config, readings), config.max_items))
    if not questions:
        raise ValueError(f"geo_qa.codes={config.codes} holds no question of {config.texts}; encode its audio first")
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
    """Every question in writing, and in all its spoken readings."""

    settings: SpokenCorpusConfig
    lists_records: ClassVar[bool] = True

    @property
    def inputs(self) -> list[Path]:
        """See `EvaluationTask`, as for the methods below."""
        return [self.settings.texts, self.settings.codes]

    def items(self, vocabulary: Vocabulary) -> list[Question]:
        """Questions with codes of the speech tokenizer of `vocabulary`. Raises ValueError naming a defective file."""
        return read_questions(self.settings, vocabulary)

    def protocol(self, items: Sequence[Question]) -> ScoringProtocol:
        """Says how questions are scored."""
        return ScoringProtocol(chance={"GeoQA": 0.25}, template=TEMPLATE, score=SCORE)

    def requests(self, items: Sequence[Question], model: Scorer) -> Iterator[tuple[str, list[Request]]]:
        """Requests grouped by modality pair."""
        for given in FORMS:
            choices = [
                Choice(context, question.candidates) for question in items for _, context in _contexts(question, given)
            ]
            yield f"{given}->text", choice_requests(model, choices, (given, "text"))

    def records(self, items: Sequence[Question], answers: Answers) -> list[Record]:
        """One record per written question and per spoken reading."""
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
        """Accuracy by modality pair ("text->text", "speech->text") and group of countries."""
        credits: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        for record in records:
            credits[record["pair"], record["item"]].append(record["credit"])
        results: dict[str, Any] = {"chance": 0.25, "score": SCORE}
        for pair in [f"{given}->text" for given in FORMS]:
            means = [(question.group, _mean(credits[pair, question.country])) for question in items]
            results[pair] = {
                group: accuracy(members, bootstrap).rounded().to_json()
                for group in GROUPS
                if (members := [mean for each, mean in means if each == group])
            }
        return results


def _contexts(question: Question, given: Modality) -> list[tuple[str, SpokenText]]:
    """The question with the name of each reading: the written one, or all spoken ones."""
    return [("written", question.written)] if given == "text" else list(question.readings.items())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
