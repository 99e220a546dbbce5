"""Choices of data sets by likelihood: which of two passages is right? Written, spoken, or one after the other.

    tasks:
      choices:
        sets:
          salmon: {layout: salmon, folder: salmon_benchmark}
        speech_tokenizer: speech_tokenizer

Layouts are those of `likelihood`. A candidate that holds its context, as joined recordings do, follows the beginning of
a document alone. Log-probabilities are kept by token, so that every score of `metrics/likelihood_scores.py` can be
computed later without the model; `score` decides the credit. An item whose recording cannot be read counts as wrong.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.data_sets.encoding import PassageEncoder
from megatron_speech.evaluation.data_sets.items import ChoiceItem, Item
from megatron_speech.evaluation.data_sets.table import read_items
from megatron_speech.evaluation.tasks.interface import Answers, Record, Request, Scorer, ScoringProtocol
from megatron_speech.evaluation.tasks.likelihood import PAIRS, TEMPLATE, SpokenText, request_of, scored_ids
from megatron_speech.evaluation.tasks.spoken_items import passage_bytes, passage_encoder, passage_of
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.metrics.intervals import mean_interval
from megatron_speech.metrics.likelihood_scores import SCORES, CandidateScores, credit_of
from megatron_speech.vocabulary import BEGIN_OF_AUDIO, Modality, Vocabulary

KEY = "tasks.choices"
Pair = tuple[Modality, Modality]
CONTEXT, ALONE = " context", " alone"
"""Endings of the names of groups: contexts, and candidates without a context."""
DECIMALS = 7
"""Of log-probabilities in records."""


@dataclass(frozen=True, kw_only=True)
class EncodedChoice:
    """A choice as the model reads it."""

    data_set: str
    id: str
    subset: str
    context: SpokenText | None
    candidates: tuple[SpokenText, ...]
    right: int
    seconds: tuple[float | None, ...]
    """Speech of each candidate."""
    defect: str | None
    """Why a recording has no codes."""

    def offers(self, pair: Pair) -> bool:
        """Whether it has the texts, or should have the recordings, of a modality pair."""
        given, asked = pair
        if self.context is None:
            return given == asked and all(self._is(candidate, asked) for candidate in self.candidates)
        return self._is(self.context, given) and all(self._is(candidate, asked) for candidate in self.candidates)

    def is_whole(self, pair: Pair) -> bool:
        """Whether no recording that the pair needs is defective."""
        return self.defect is None or "speech" not in pair

    def sizes(self, place: int, asked: Modality) -> dict[str, Any]:
        """Text of a candidate, and seconds of its speech where that is asked."""
        return {
            "text": self.candidates[place].text or None,
            "seconds": self.seconds[place] if asked == "speech" else None,
        }

    def _is(self, passage: SpokenText, modality: Modality) -> bool:
        return bool(passage.text) if modality == "text" else passage.codes is not None or self.defect is not None


@dataclass(frozen=True, kw_only=True)
class ChoicesTask:
    """All choices of `sets`, in all modality pairs that they offer."""

    sets: dict[str, DataSetConfig]
    """Data sets of choices, by the name under which they are reported."""
    speech_tokenizer: Path | None = None
    """Folder of the model's speech tokenizer; needed for recordings."""
    cache: Path | None = None
    """Folder that keeps the codes of recordings; null encodes them anew."""
    score: str = "per_token"
    """Score that decides the credit."""
    max_items: int | None = None
    """Use only the first max_items items of each set; null uses all."""
    lists_records: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise ValueError(f"tasks.choices.score={self.score} is unknown; the scores are {', '.join(SCORES)}")
        if self.max_items is not None and self.max_items < 1:
            raise ValueError(f"tasks.choices.max_items={self.max_items} must be at least 1; null takes all")

    @property
    def inputs(self) -> list[Path]:
        """See `EvaluationTask`, as for the methods below."""
        own = [self.speech_tokenizer] if self.speech_tokenizer else []
        return [*own, *(data_set.folder for data_set in self.sets.values())]

    def protocol(self, items: Sequence[EncodedChoice]) -> ScoringProtocol:
        """Its prompt is the hash of all items, as they are asked."""
        digest = hashlib.sha256()
        for item in items:
            parts = [*([item.context] if item.context else []), *item.candidates]
            digest.update(f"{item.data_set}\0{item.id}\0{item.right}\0{item.defect}\0".encode())
            digest.update(b"".join(map(passage_bytes, parts)))
        chance = dict.fromkeys(self.sets, 0.5)
        return ScoringProtocol(chance=chance, template=TEMPLATE, score=self.score, prompt=digest.hexdigest())

    def items(self, vocabulary: Vocabulary) -> list[EncodedChoice]:
        """Choices with the codes of their recordings. Raises ValueError that names a defective file or setting."""
        encoder = passage_encoder(self.speech_tokenizer, self.cache, vocabulary, key=f"{KEY}.speech_tokenizer")
        items = [
            _encoded(name, item, encoder)
            for name, data_set in self.sets.items()
            for item in itertools.islice(read_items(data_set), self.max_items)
        ]
        for item in items:
            self._require_score(item)
        return items

    def _require_score(self, item: EncodedChoice) -> None:
        """Raise ValueError if an item has not what the score needs, before any is asked."""
        for pair in PAIRS:
            if item.offers(pair) and item.is_whole(pair):
                alone = [0.0] if item.context else None
                record = {"context": [], "right": item.right}
                sizes = [{"tokens": [0.0], "alone": alone, **item.sizes(place, pair[1])} for place in range(2)]
                if credit_of_record(record | {"candidates": sizes}, self.score) is None:
                    raise ValueError(
                        f"tasks.choices.score={self.score}: item {item.id!r} of {item.data_set} has not what it needs "
                        f"({'->'.join(pair)}); per_token always has"
                    )

    def requests(self, items: Sequence[EncodedChoice], model: Scorer) -> Iterator[tuple[str, list[Request]]]:
        """Three groups per modality pair: candidates, their contexts, and candidates without a context."""
        for pair in PAIRS:
            name = "->".join(pair)
            asked = [item for item in items if item.offers(pair) and item.is_whole(pair)]
            choices = [[_request(model, item, candidate, pair) for candidate in item.candidates] for item in asked]
            with_context = [requests for item, requests in zip(asked, choices, strict=True) if item.context]
            begin = _beginning(model.vocabulary, pair[1])
            groups = {
                name: [request for requests in choices for request in requests],
                name + CONTEXT: [(ids[:1], ids[1:]) for (ids, _), *_ in with_context],
                name + ALONE: [(begin, scored) for requests in with_context for _, scored in requests],
            }
            yield from ((group, requests) for group, requests in groups.items() if requests)

    def records(self, items: Sequence[EncodedChoice], answers: Answers) -> list[Record]:
        """One record per item and modality pair, with the log-probabilities of all tokens."""
        records: list[Record] = []
        for pair in PAIRS:
            name = "->".join(pair)
            scored, contexts, alone = (iter(answers.get(name + part, ())) for part in ("", CONTEXT, ALONE))
            for item in items:
                if item.offers(pair):
                    record = {"task": item.data_set, "pair": name, "item": item.id, "subset": item.subset}
                    own: Record = {"reason": item.defect}
                    if item.is_whole(pair):
                        own = _answered(item, pair, scored, contexts, alone)
                    records.append(record | own | {"credit": credit_of_record(own, self.score)})
        return records

    def results(
        self, items: Sequence[EncodedChoice], records: Sequence[Record], bootstrap: Bootstrap
    ) -> dict[str, Any]:
        """Accuracy by set, modality pair and score, by subset for the score that decides, and reasons of defects."""
        grouped: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
        for record in records:
            grouped[record["task"], record["pair"]].append(record)
        results: dict[str, Any] = {name: {} for name in self.sets}
        for (name, pair), group in grouped.items():
            results[name][pair] = _accuracies(group, bootstrap)
        for name in self.sets:
            defects = Counter(item.defect for item in items if item.data_set == name and item.defect)
            results[name] |= {
                "items": sum(item.data_set == name for item in items),
                "defects": dict(sorted(defects.items())),
            }
        return results | {"chance": 0.5, "score": self.score}


def _answered(
    item: EncodedChoice,
    pair: Pair,
    scored: Iterator[np.ndarray],
    contexts: Iterator[np.ndarray],
    alone: Iterator[np.ndarray],
) -> Record:
    """What the model says of an item: log-probabilities, with the sizes of its candidates."""
    return {
        "right": item.right,
        "context": _rounded(next(contexts)) if item.context else [],
        "candidates": [
            {
                "tokens": _rounded(next(scored)),
                "alone": _rounded(next(alone)) if item.context else None,
                **item.sizes(place, pair[1]),
            }
            for place in range(len(item.candidates))
        ],
    }


def credit_of_record(record: Record, score: str) -> float | None:
    """Credit of a record of `ChoicesTask` by any score; None if it has not what the score needs."""
    if "reason" in record:
        return 0.0
    candidates = [CandidateScores(context=record["context"], **candidate) for candidate in record["candidates"]]
    return credit_of(candidates, record["right"], score)


def _accuracies(records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Any]:
    """Accuracy of every score that is known for all records, and of every subset."""

    def estimate(credits: Sequence[float]) -> dict[str, Any]:
        return mean_interval(credits, seed=bootstrap.seed, resamples=bootstrap.resamples).rounded().to_json()

    accuracies: dict[str, Any] = {}
    for score in SCORES:
        credits = [credit_of_record(record, score) for record in records]
        known = [credit for credit in credits if credit is not None]
        if len(known) == len(credits):
            accuracies[score] = estimate(known)
    subsets = sorted({record["subset"] for record in records} - {""})
    by_subset = {name: [each["credit"] for each in records if each["subset"] == name] for name in subsets}
    return accuracies | (
        {"subsets": {name: estimate(credits) for name, credits in by_subset.items()}} if subsets else {}
    )


def _encoded(name: str, item: Item, encoder: PassageEncoder | None) -> EncodedChoice:
    if not isinstance(item, ChoiceItem) or len(item.candidates) != 2:
        raise ValueError(f"tasks.choices.sets.{name}: item {item.id!r} is no choice between two; name another layout")
    passages = [*([item.context] if item.context else []), *item.candidates]
    found = [passage_of(passage, encoder, name=name, key=KEY) for passage in passages]
    parts = [part for part, _ in found]
    rate = encoder.facts.frame_rate if encoder else 1.0
    candidates = tuple(parts[-2:])
    return EncodedChoice(
        data_set=name,
        id=item.id,
        subset=item.subset,
        context=parts[0] if item.context else None,
        candidates=candidates,
        right=item.right,
        seconds=tuple(None if part.codes is None else len(part.codes) / rate for part in candidates),
        defect=next((defect for _, defect in found if defect), None),
    )


def _request(model: Scorer, item: EncodedChoice, candidate: SpokenText, pair: Pair) -> Request:
    if item.context is not None:
        return request_of(model, item.context, candidate, pair)
    return _beginning(model.vocabulary, pair[1]), scored_ids(model, candidate, pair[1])


def _beginning(vocabulary: Vocabulary, asked: Modality) -> list[int]:
    """The beginning of a document that consists of a candidate alone."""
    begin = list(vocabulary.begin_of_document) or [vocabulary.end_of_document]
    return [*begin, *([vocabulary.special_id(BEGIN_OF_AUDIO)] if asked == "speech" else [])]


def _rounded(log_probabilities: np.ndarray) -> list[float]:
    return [round(float(value), DECIMALS) for value in log_probabilities]
