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
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from megatron_speech.config.stages.evaluate import SpokenCorpusConfig
from megatron_speech.corpus.records import TextDocument, read_jsonl
from megatron_speech.evaluation.tasks.likelihood import Choice, Scorer, SpokenText, credit, score
from megatron_speech.evaluation.tasks.spoken_items import codes_by
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.vocabulary import Modality, Vocabulary

GROUPS = ("written_only", "spoken")


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


def run_geo_qa(
    model: Scorer, questions: list[Question], bootstrap: Bootstrap
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Accuracy by form of the question ("text->text", "speech->text") and group, and one record per reading."""
    results: dict[str, Any] = {"chance": 0.25, "score": "log-likelihood in sum"}
    records: list[dict[str, Any]] = []
    for given in ("text", "speech"):
        asked = [
            (question, reading, Choice(context, question.candidates))
            for question in questions
            for reading, context in _contexts(question, given)
        ]
        pair: tuple[Modality, Modality] = (given, "text")
        credits: defaultdict[str, list[float]] = defaultdict(list)
        for (question, reading, _), row in zip(
            asked, score(model, [choice for *_, choice in asked], pair, per="continuation"), strict=True
        ):
            credits[question.country].append(credit(row))
            record = {"task": "GeoQA", "pair": f"{given}->text", "item": question.country, "reading": reading}
            records.append(record | {"true": row[0], "false": row[1:], "credit": credits[question.country][-1]})
        results[f"{given}->text"] = {
            group: bootstrap.mean([sum(credits[q.country]) / len(credits[q.country]) for q in members]).rounded()
            for group in GROUPS
            if (members := [question for question in questions if question.group == group])
        }
    return results, records


def _contexts(question: Question, given: Modality) -> list[tuple[str, SpokenText]]:
    """The question as asked: once in writing, or in every reading."""
    return [("written", question.written)] if given == "text" else list(question.readings.items())
