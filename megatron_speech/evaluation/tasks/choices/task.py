"""Choices of data sets by likelihood: which of two passages is right? Written, spoken, or one after the other.

    tasks:
      choices:
        sets:
          salmon: {layout: salmon, folder: salmon_benchmark}
        speech_tokenizer: speech_tokenizer

Layouts are those of `likelihood`. A candidate that holds its context, as joined recordings do, follows the beginning of
a document alone. Log-probabilities are kept by token, so that every score of `metrics/likelihood_scores.py` can be
computed later without the model; `score` decides the credit. An item counts as wrong where its recording cannot be
read, or where it lacks a text that others of its data set have.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from megatron_speech.evaluation.tasks.choices.items import KEY, EncodedChoice, Pair, encoded_choice, with_missing_texts
from megatron_speech.evaluation.tasks.choices.scores import accuracies, answered_choice, credit_of_record
from megatron_speech.evaluation.tasks.interface import Answers, Record, Request, Scorer, ScoringProtocol
from megatron_speech.evaluation.tasks.likelihood import PAIRS, TEMPLATE, SpokenText, request_of, scored_ids
from megatron_speech.evaluation.tasks.settings import RecordingSettings
from megatron_speech.evaluation.tasks.spoken_items import passage_bytes
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.metrics.likelihood_scores import SCORES
from megatron_speech.vocabulary import BEGIN_OF_AUDIO, Modality, Vocabulary

CONTEXT, ALONE = " context", " alone"
"""Endings of the names of groups: contexts, and candidates without a context."""


@dataclass(frozen=True, kw_only=True)
class ChoicesTask(RecordingSettings):
    """All choices of `sets`, in all modality pairs that they offer."""

    score: str = "per_token"
    """Score that decides the credit."""
    key: ClassVar[str] = KEY

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.score not in SCORES:
            raise ValueError(f"{self.key}.score={self.score} is unknown; the scores are {', '.join(SCORES)}")

    def protocol(self, items: Sequence[EncodedChoice]) -> ScoringProtocol:
        """See `EvaluationTask`, as for the methods below. Its prompt is the hash of all items, as they are asked."""
        digest = hashlib.sha256()
        for item in items:
            parts = [*([item.context] if item.context else []), *item.candidates]
            digest.update(f"{item.data_set}\0{item.id}\0{item.right}\0{item.defect}\0".encode())
            digest.update(b"".join(map(passage_bytes, parts)))
        chance = dict.fromkeys(self.sets, 0.5)
        return ScoringProtocol(chance=chance, template=TEMPLATE, score=self.score, prompt=digest.hexdigest())

    def items(self, vocabulary: Vocabulary) -> list[EncodedChoice]:
        """Choices with the codes of their recordings. Raises ValueError that names a defective file or setting."""
        encoder = self.encoder(vocabulary)
        of_sets: defaultdict[str, list[EncodedChoice]] = defaultdict(list)
        for name, read in self.read():
            of_sets[name].append(encoded_choice(name, read, encoder))
        items = [item for own in of_sets.values() for item in with_missing_texts(own)]
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
                        f"{self.key}.score={self.score}: item {item.id!r} of {item.data_set} has not what it needs "
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
                    own: Record = {"reason": item.reason(pair)}
                    if item.is_whole(pair):
                        own = answered_choice(item, pair, scored, contexts, alone)
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
            results[name][pair] = accuracies(group, bootstrap)
        for name in self.sets:
            own = [item for item in items if item.data_set == name]
            defects = Counter(each for item in own for each in (item.defect, item.unwritten) if each)
            results[name] |= {"items": len(own), "defects": dict(sorted(defects.items()))}
        return results | {"chance": 0.5, "score": self.score}


def _request(model: Scorer, item: EncodedChoice, candidate: SpokenText, pair: Pair) -> Request:
    if item.context is not None:
        return request_of(model, item.context, candidate, pair)
    return _beginning(model.vocabulary, pair[1]), scored_ids(model, candidate, pair[1])


def _beginning(vocabulary: Vocabulary, asked: Modality) -> list[int]:
    """The beginning of a document that consists of a candidate alone."""
    begin = list(vocabulary.begin_of_document) or [vocabulary.end_of_document]
    return [*begin, *([vocabulary.special_id(BEGIN_OF_AUDIO)] if asked == "speech" else [])]
