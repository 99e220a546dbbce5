"""GeoQA: which of four capitals of a region belongs to a country? Questions are written or spoken, and so are answers.

Groups of countries answer the paper's question. For "written_only" countries, training data state the capital in
writing but never in speech; the country's name occurs in other speech. A right answer to such a spoken question shows
knowledge that crossed over from text. Other countries are in the group "spoken". Further groups, such as invented towns
instead of countries, are scored apart.

The score of a capital is the sum of the log-likelihoods of its tokens: the probability of the complete answer. A mean
per token would favour long names, whose later pieces follow from the first. Spoken readings of a question are averaged
before resampling, because countries are the independent items. Chance is 0.25. Answers are scored as speech, too, if
there are codes of the candidates.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from megatron_speech.config.stages.evaluate import GeoQaConfig
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

FORMS: tuple[Modality, ...] = ("text", "speech")
"""Modalities of a question, and of an answer."""

SCORE = "log-likelihood in sum"


@dataclass(frozen=True)
class Question:
    """The question about a country, its spoken readings, and candidate capitals; the first candidate is right."""

    country: str
    group: str
    written: SpokenText
    readings: dict[str, SpokenText]
    candidates: list[SpokenText]


def read_questions(config: GeoQaConfig, vocabulary: Vocabulary) -> list[Question]:
    """At most `max_items` questions with at least one spoken reading.

    Raises ValueError if there is none, or if a question is malformed.
    """
    readings: defaultdict[str, dict[str, SpokenText]] = defaultdict(dict)
    for (country, reading), codes in codes_by(config.codes, vocabulary, "country", "reading").items():
        readings[country][str(reading)] = SpokenText("", codes)
    answers: dict[str, np.ndarray] = {}
    if config.answers is not None:
        answers = {str(answer): codes for (answer,), codes in codes_by(config.answers, vocabulary, "answer").items()}
    questions = list(itertools.islice(_questions(config, readings, answers), config.max_items))
    if not questions:
        raise ValueError(f"geo_qa.codes={config.codes} holds no question of {config.texts}; encode its audio first")
    return questions


def _questions(
    config: GeoQaConfig, readings: dict[str, dict[str, SpokenText]], answers: dict[str, np.ndarray]
) -> Iterator[Question]:
    for document in read_jsonl(config.texts):
        question = _question(config, document, readings, answers)
        if question.readings:
            yield question


def _question(
    config: GeoQaConfig,
    document: TextDocument,
    readings: dict[str, dict[str, SpokenText]],
    answers: dict[str, np.ndarray],
) -> Question:
    meta = document.metadata
    group, answer, candidates, country = (meta.get(key) for key in ("group", "answer", "candidates", "country"))
    names = [answer, *(name for name in candidates if name != answer)] if isinstance(candidates, list) else []
    if not (isinstance(group, str) and group) or len(set(names)) != 4 or sorted(names) != sorted(candidates or []):
        raise ValueError(
            f"{config.texts}: question {document.id!r} needs the name of a group and four different candidates "
            "with the answer among them; build the corpus again"
        )
    spoken = readings.get(str(country), {})
    unheard = [name for name in names if config.answers is not None and name not in answers]
    if unheard and spoken:
        raise ValueError(
            f"geo_qa.answers={config.answers} lacks {unheard[0]!r}, a candidate of question {document.id!r}; "
            "encode it, or leave geo_qa.answers out"
        )
    written = SpokenText(document.text)
    return Question(str(country), group, written, spoken, [SpokenText(name, answers.get(name)) for name in names])


@dataclass(frozen=True)
class GeoQaTask:
    """Every question in writing, and in all its spoken readings; every answer in writing, and in speech if it can."""

    settings: GeoQaConfig
    lists_records: ClassVar[bool] = True

    @property
    def inputs(self) -> list[Path]:
        """See `EvaluationTask`, as for the methods below."""
        spoken = [self.settings.answers] if self.settings.answers is not None else []
        return [self.settings.texts, self.settings.codes, *spoken]

    @property
    def pairs(self) -> list[tuple[Modality, Modality]]:
        """Modalities of questions and answers, answers in writing first."""
        asked = FORMS if self.settings.answers is not None else FORMS[:1]
        return [(given, answered) for answered in asked for given in FORMS]

    def items(self, vocabulary: Vocabulary) -> list[Question]:
        """Questions with codes of the speech tokenizer of `vocabulary`. Raises ValueError naming a defective file."""
        return read_questions(self.settings, vocabulary)

    def protocol(self, items: Sequence[Question]) -> ScoringProtocol:
        """Says how questions are scored."""
        return ScoringProtocol(chance={"GeoQA": 0.25}, template=TEMPLATE, score=SCORE)

    def requests(self, items: Sequence[Question], model: Scorer) -> Iterator[tuple[str, list[Request]]]:
        """Requests grouped by modality pair."""
        for given, answered in self.pairs:
            choices = [
                Choice(context, question.candidates) for question in items for _, context in _contexts(question, given)
            ]
            yield f"{given}->{answered}", choice_requests(model, choices, (given, answered))

    def records(self, items: Sequence[Question], answers: Answers) -> list[Record]:
        """One record per pair of modalities, for each written question and each spoken reading."""
        records: list[Record] = []
        for given, answered in self.pairs:
            pair = f"{given}->{answered}"
            asked = [(question, reading) for question in items for reading, _ in _contexts(question, given)]
            counts = [len(question.candidates) for question, _ in asked]
            scores = choice_scores(counts, answers[pair], per="continuation")
            for (question, reading), row in zip(asked, scores, strict=True):
                record = {"task": "GeoQA", "pair": pair, "item": question.country, "reading": reading}
                record["group"] = question.group
                records.append(record | {"true": row[0], "false": row[1:], "credit": credit(row)})
        return records

    def results(self, items: Sequence[Question], records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Any]:
        """Accuracy by modality pair (such as "speech->text") and group of countries."""
        credits: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        for record in records:
            credits[record["pair"], record["item"]].append(record["credit"])
        results: dict[str, Any] = {"chance": 0.25, "score": SCORE}
        for given, answered in self.pairs:
            pair = f"{given}->{answered}"
            means: defaultdict[str, list[float]] = defaultdict(list)
            for question in items:
                means[question.group].append(_mean(credits[pair, question.country]))
            results[pair] = {name: accuracy(members, bootstrap).rounded().to_json() for name, members in means.items()}
        return results


def _contexts(question: Question, given: Modality) -> list[tuple[str, SpokenText]]:
    """The question with the name of each reading: the written one, or all spoken ones."""
    return [("written", question.written)] if given == "text" else list(question.readings.items())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
