"""Questions of data sets, written and spoken, which the model answers in its own words: in text, in speech, or in both.

The page of evaluation has the layouts and the settings. An answer that is empty, or mostly in another script than that
of `language`, counts as wrong with its reason. So do questions whose recording is defective, and those that do not fit
into the model.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from megatron_speech.evaluation.tasks.generation import (
    reason_of,
    seed_of,
    speech_decoding,
    speech_settings,
    text_decoding,
    text_settings,
    thoughts_decoding,
    thoughts_settings,
)
from megatron_speech.evaluation.tasks.hearing import recognizer_name, require_hearing, sound_name
from megatron_speech.evaluation.tasks.interface import Prompt, Record, Scorer, ScoringProtocol, Written
from megatron_speech.evaluation.tasks.likelihood import TEMPLATE
from megatron_speech.evaluation.tasks.questions.answers import read_answers
from megatron_speech.evaluation.tasks.questions.items import AskedQuestion, asked_question, with_missing_texts
from megatron_speech.evaluation.tasks.questions.scores import accuracies, credit_of_answer, related_parts
from megatron_speech.evaluation.tasks.questions.settings import QuestionsSettings
from megatron_speech.evaluation.tasks.questions.ways import Manner, Way, question_prompt
from megatron_speech.evaluation.tasks.spoken_items import passage_bytes
from megatron_speech.inference.slot import AnswerSettings
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class QuestionsTask(QuestionsSettings):
    """All questions of `sets`, asked in text and speech as far as they are there."""

    def protocol(self, items: Sequence[AskedQuestion]) -> ScoringProtocol:
        """See `GenerationTask`, as for the methods below. Its prompt hashes all items, with the text around them."""
        digest = hashlib.sha256(f"{self.before}\0{self.after}\0".encode())
        for item in items:
            accepted = "\0".join(item.answers)
            digest.update(f"{item.data_set}\0{item.id}\0{item.defect}\0{accepted}\0".encode())
            digest.update(passage_bytes(item.question))
        return ScoringProtocol(
            template=TEMPLATE,
            score=f"accuracy of answers in {self.language}",
            prompt=digest.hexdigest(),
            decoding="; ".join(map(self._decoding, self.answers)),
            matcher=self.matcher,
            recognizer=recognizer_name(self) if self.hears else None,
            sound=sound_name(self.sound) if self.hears else None,
        )

    def _decoding(self, asked: Manner) -> str:
        """How answers of a manner are generated, for the protocol."""
        if asked == "text":
            return f"{text_decoding(self.max_text_tokens)}, until {list(self.until)!r}"
        if asked == "speech":
            return speech_decoding(self.max_speech_tokens, self.sampling, seed=self.seed)
        sampled = thoughts_decoding(sum(self.limits.values()), self.sampling, seed=self.seed)
        return f"{sampled}, turns {':'.join(map(str, self.ratio))}{' in bounds' if self.enclosed else ''}"

    def items(self, vocabulary: Vocabulary) -> list[AskedQuestion]:
        """Questions with the codes of their recordings. Raises ValueError that names a defective file or setting."""
        encoder = self.encoder(vocabulary)
        if self.hears:
            require_hearing(self, vocabulary, **self.limits)
        of_sets: defaultdict[str, list[AskedQuestion]] = defaultdict(list)
        for name, read in self.read():
            of_sets[name].append(asked_question(name, read, encoder))
        return [item for own in of_sets.values() for item in with_missing_texts(own)]

    def prompts(self, items: Sequence[AskedQuestion], model: Scorer) -> Iterator[tuple[str, list[Prompt]]]:
        """A group per way to ask."""
        for way in self.ways:
            if asked := [item for item in items if item.offers(way.given) and item.is_whole(way.given)]:
                settings = self._answer_settings(way, model)
                yield way.name, [self._prompt(item, way, settings, model) for item in asked]

    def _answer_settings(self, way: Way, model: Scorer) -> AnswerSettings:
        if way.asked == "text":
            return text_settings(model, max_new_tokens=self.max_text_tokens, language=way.language)
        if way.asked == "speech":
            return speech_settings(model, max_new_tokens=self.max_speech_tokens, sampling=self.sampling)
        most = sum(self.limits.values())
        return thoughts_settings(model, max_new_tokens=most, sampling=self.sampling, language=way.language)

    def _prompt(self, item: AskedQuestion, way: Way, settings: AnswerSettings, model: Scorer) -> Prompt:
        seed = seed_of(self.seed, item.data_set, item.id, way.name)
        ids = question_prompt(model, item.question, way, before=self.before, after=self.after)
        return ids, replace(settings, seed=seed)

    def records(
        self, items: Sequence[AskedQuestion], answers: Mapping[str, Sequence[Written]], model: Scorer
    ) -> list[Record]:
        """One record per item, way, part and recogniser, with the texts of question and answer."""
        records: list[Record] = []
        for way in self.ways:
            written = answers.get(way.name, ())
            for part in read_answers(way, written, self, model):
                given = iter(zip(written, part.texts, part.notes, strict=True))
                for item in (item for item in items if item.offers(way.given)):
                    record: Record = {"task": item.data_set, "pair": part.pair}
                    record |= {"item": item.id, "subset": item.subset, "question": item.question.text}
                    if item.is_whole(way.given):
                        answer, text, notes = next(given)
                        record |= {"answer": text, "ended": answer.reason == "stop"}
                        record |= {"reason": reason_of(answer, text, self.language), **notes}
                    else:
                        record["reason"] = item.reason(way.given)
                    records.append(record | self._judged(record | {"accepted": list(item.answers)}))
        return records

    def _judged(self, record: Record) -> Record:
        """Accepted answers and credit, for a record that can be judged."""
        if not record["accepted"]:
            return {}
        return {"accepted": record["accepted"], "credit": credit_of_answer(record, self.matcher)}

    def results(
        self, items: Sequence[AskedQuestion], records: Sequence[Record], bootstrap: Bootstrap
    ) -> dict[str, Any]:
        """Accuracy by set, way and matcher, by subset for the matcher that decides, and reasons of wrong answers."""
        results: dict[str, Any] = {}
        for name in self.sets:
            by_pair: defaultdict[str, list[Record]] = defaultdict(list)
            for record in records:
                if record["task"] == name:
                    by_pair[record["pair"]].append(record)
            results[name] = {pair: accuracies(group, bootstrap) for pair, group in by_pair.items()}
            for way in self.ways:
                for pair, key, found in related_parts(way, by_pair, bootstrap):
                    results[name][pair][key] = found
            own = [item for item in items if item.data_set == name]
            results[name] |= {"items": len(own), "without_accepted": sum(not item.answers for item in own)}
        return results | {"matcher": self.matcher}
