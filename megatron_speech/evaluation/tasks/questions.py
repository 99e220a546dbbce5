"""Questions of data sets, written and spoken, which the model answers in its own words, in text or in speech.

    text -> text      question                                             -> answer
    text -> speech    question <|begin_of_audio|>                          -> codes
    speech -> text    <|begin_of_audio|> codes <|end_of_audio|>            -> answer
    speech -> speech  <|begin_of_audio|> codes                             -> codes

The layouts are those of interleaved training. The settings `before` and `after` put text around the question, such as
examples or "Answer:". Text is decoded greedily, speech is sampled and read by the recogniser of the speech tokenizer.

An answer that is empty, or mostly in another script than that of `language`, counts as wrong with its reason. So do
questions whose recording is defective, and those that do not fit into the model. `restricted` asks each question once
more, with tokens of that script only; both scores are given.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.data_sets.encoding import PassageEncoder
from megatron_speech.evaluation.data_sets.items import Item, QuestionItem
from megatron_speech.evaluation.data_sets.table import read_items
from megatron_speech.evaluation.scripts import SCRIPTS, ScriptLanguage, in_other_script
from megatron_speech.evaluation.tasks.generation import (
    TOO_LONG,
    require_positive,
    require_sampling,
    seed_of,
    speech_decoding,
    speech_settings,
    text_decoding,
    text_settings,
)
from megatron_speech.evaluation.tasks.hearing import recognizer_name, require_hearing, texts_heard
from megatron_speech.evaluation.tasks.interface import Prompt, Record, Scorer, ScoringProtocol, Written
from megatron_speech.evaluation.tasks.likelihood import TEMPLATE, SpokenText
from megatron_speech.evaluation.tasks.spoken_items import passage_bytes, passage_encoder, passage_of
from megatron_speech.inference.sampling import Sampling
from megatron_speech.metrics.answer_matching import MATCHERS
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.metrics.intervals import mean_interval
from megatron_speech.sequences.speech_tasks import speech_ids
from megatron_speech.vocabulary import BEGIN_OF_AUDIO, END_OF_AUDIO, Modality, Vocabulary

KEY = "tasks.questions"
GIVEN: tuple[Modality, ...] = ("text", "speech")
OTHER_SCRIPT, NO_ANSWER = "other script", "no answer"
"""Reasons of wrong answers, besides those of recordings and of `TOO_LONG`."""


@dataclass(frozen=True, kw_only=True)
class AskedQuestion:
    """A question as the model reads it."""

    data_set: str
    id: str
    subset: str
    question: SpokenText
    answers: tuple[str, ...]
    """Accepted answers."""
    defect: str | None
    """Why its recording has no codes."""

    def offers(self, given: Modality) -> bool:
        """Whether it is written, or should be spoken."""
        return bool(self.question.text) if given == "text" else self.question.codes is not None or bool(self.defect)

    def is_whole(self, given: Modality) -> bool:
        """Whether it can be asked."""
        return given == "text" or self.defect is None


@dataclass(frozen=True)
class Way:
    """How questions are asked and answered."""

    given: Modality
    asked: Modality
    language: ScriptLanguage | None = None
    """Language to whose script answers are restricted."""

    @property
    def name(self) -> str:
        """Name in records and results."""
        return f"{self.given}->{self.asked}" + (f" restricted to {self.language}" if self.language else "")


@dataclass(frozen=True, kw_only=True)
class QuestionsTask:
    """All questions of `sets`, asked in text and speech as far as they are there."""

    sets: dict[str, DataSetConfig]
    """Data sets of questions, by the name under which they are reported."""
    speech_tokenizer: Path | None = None
    """Folder of the model's speech tokenizer; needed for recordings, and for answers in speech."""
    cache: Path | None = None
    """Folder that keeps the codes of recordings; null encodes them anew."""
    answers: tuple[Modality, ...] = ("text",)
    """Modalities of answers: text, speech, or both, each generated for itself."""
    matcher: str = "words_in_order"
    """Rule that decides whether an answer is right; the scores of all rules are given."""
    language: ScriptLanguage = "en"
    """Language of the answers: en or zh. Answers that are mostly in another script are wrong."""
    restricted: bool = False
    """Ask for every written answer once more, with tokens in the script of `language` only."""
    before: str = ""
    """Text before each question."""
    after: str = ""
    """Text between each question and its answer."""
    until: tuple[str, ...] = ("\n",)
    """Texts that end a written answer, such as the end of its line; they are no part of it."""
    max_text_tokens: int = 40
    """Largest number of tokens of a written answer."""
    max_speech_tokens: int = 200
    """Largest number of tokens of a spoken answer; 200 at 12.5 per second are 16 s."""
    temperature: float = 0.8
    """Temperature of spoken answers; 0 is greedy. Written answers are always greedy."""
    top_p: float = 0.95
    """Nucleus (top-p) of spoken answers."""
    seed: int = 0
    """Seed of spoken answers."""
    max_items: int | None = None
    """Use only the first max_items items of each set; null uses all."""
    batch_size: int = 16
    """Answers that are written at a time. No answer depends on it."""
    lists_records: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.matcher not in MATCHERS:
            raise ValueError(f"{KEY}.matcher={self.matcher} is unknown; the matchers are {', '.join(MATCHERS)}")
        if self.language not in SCRIPTS:
            raise ValueError(f"{KEY}.language={self.language} is unknown; the languages are {', '.join(SCRIPTS)}")
        if not self.answers or len({*self.answers}) < len(self.answers):
            raise ValueError(f"{KEY}.answers={list(self.answers)} must name text, speech or both once; correct it")
        if "" in self.until:
            raise ValueError(
                f"{KEY}.until={list(self.until)} holds an empty text, which would end all answers; drop it"
            )
        require_positive(KEY, max_text_tokens=self.max_text_tokens, max_speech_tokens=self.max_speech_tokens)
        require_positive(KEY, max_items=self.max_items, batch_size=self.batch_size)
        require_sampling(KEY, temperature=self.temperature, top_p=self.top_p)

    @property
    def inputs(self) -> list[Path]:
        """See `GenerationTask`, as for the methods below."""
        own = [self.speech_tokenizer] if self.speech_tokenizer else []
        return [*own, *(data_set.folder for data_set in self.sets.values())]

    @property
    def sampling(self) -> Sampling:
        """How speech is sampled."""
        return Sampling(temperature=self.temperature, top_p=self.top_p)

    @property
    def ways(self) -> list[Way]:
        """All ways to ask."""
        free = [Way(given, asked) for asked in self.answers for given in GIVEN]
        again = [replace(way, language=self.language) for way in free if way.asked == "text" and self.restricted]
        return free + again

    def protocol(self, items: Sequence[AskedQuestion]) -> ScoringProtocol:
        """Its prompt is the hash of all items, with the text around them."""
        digest = hashlib.sha256(f"{self.before}\0{self.after}\0".encode())
        for item in items:
            accepted = "\0".join(item.answers)
            digest.update(f"{item.data_set}\0{item.id}\0{item.defect}\0{accepted}\0".encode())
            digest.update(passage_bytes(item.question))
        ways = {
            "text": f"{text_decoding(self.max_text_tokens)}, until {list(self.until)!r}",
            "speech": speech_decoding(self.max_speech_tokens, self.sampling, seed=self.seed),
        }
        hearing = self.speech_tokenizer if "speech" in self.answers else None
        return ScoringProtocol(
            template=TEMPLATE,
            score=f"accuracy of answers in {self.language}",
            prompt=digest.hexdigest(),
            decoding="; ".join(ways[modality] for modality in self.answers),
            matcher=self.matcher,
            recognizer=recognizer_name(hearing) if hearing else None,
        )

    def items(self, vocabulary: Vocabulary) -> list[AskedQuestion]:
        """Questions with the codes of their recordings. Raises ValueError that names a defective file or setting."""
        encoder = passage_encoder(self.speech_tokenizer, self.cache, vocabulary, key=f"{KEY}.speech_tokenizer")
        if "speech" in self.answers:
            require_hearing(self.speech_tokenizer, max_speech_tokens=self.max_speech_tokens, key=KEY)
        return [
            _encoded(name, item, encoder)
            for name, data_set in self.sets.items()
            for item in itertools.islice(read_items(data_set), self.max_items)
        ]

    def prompts(self, items: Sequence[AskedQuestion], model: Scorer) -> Iterator[tuple[str, list[Prompt]]]:
        """A group per way to ask."""
        for way in self.ways:
            asked = _askable(items, way)
            if not asked:
                continue
            if way.asked == "text":
                settings = text_settings(model, max_new_tokens=self.max_text_tokens, language=way.language)
            else:
                settings = speech_settings(model, max_new_tokens=self.max_speech_tokens, sampling=self.sampling)
            yield (
                way.name,
                [
                    (
                        question_prompt(model, item.question, way, before=self.before, after=self.after),
                        replace(settings, seed=seed_of(self.seed, item.data_set, item.id, way.name)),
                    )
                    for item in asked
                ],
            )

    def records(
        self, items: Sequence[AskedQuestion], answers: Mapping[str, Sequence[Written]], model: Scorer
    ) -> list[Record]:
        """One record per item and way, with the text of the answer."""
        records: list[Record] = []
        for way in self.ways:
            written = answers.get(way.name, ())
            given = iter(zip(written, self._texts(way, written, model), strict=True))
            for item in (item for item in items if item.offers(way.given)):
                record: Record = {"task": item.data_set, "pair": way.name, "item": item.id, "subset": item.subset}
                if item.is_whole(way.given):
                    answer, text = next(given)
                    record |= {"answer": text, "ended": answer.reason == "stop", "reason": self._reason(answer, text)}
                else:
                    record["reason"] = item.defect
                records.append(record | self._judged(record | {"accepted": list(item.answers)}))
        return records

    def _texts(self, way: Way, written: Sequence[Written], model: Scorer) -> list[str]:
        if way.asked == "text":
            return [cut(model.tokenizer.decode(answer.tokens), self.until) for answer in written]
        assert self.speech_tokenizer is not None, "`items` has required it"
        return texts_heard(self.speech_tokenizer, written, model.vocabulary) if written else []

    def _reason(self, answer: Written, text: str) -> str | None:
        """Why an answer is wrong whatever it says."""
        if answer == TOO_LONG:
            return answer.reason
        if not text:
            return NO_ANSWER
        return OTHER_SCRIPT if in_other_script(text, self.language) else None

    def _judged(self, record: Record) -> Record:
        """Accepted answers and credit, for a record that can be judged."""
        if not record["accepted"]:
            return {}
        return {"accepted": record["accepted"], "credit": credit_of_answer(record, self.matcher)}

    def results(
        self, items: Sequence[AskedQuestion], records: Sequence[Record], bootstrap: Bootstrap
    ) -> dict[str, Any]:
        """Accuracy by set, way and matcher, by subset for the matcher that decides, and reasons of wrong answers."""
        grouped: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
        for record in records:
            grouped[record["task"], record["pair"]].append(record)
        results: dict[str, Any] = {name: {} for name in self.sets}
        for (name, way), group in grouped.items():
            results[name][way] = _accuracies(group, bootstrap)
        for name in self.sets:
            own = [item for item in items if item.data_set == name]
            results[name] |= {"items": len(own), "without_accepted": sum(not item.answers for item in own)}
        return results | {"matcher": self.matcher}


def credit_of_answer(record: Record, matcher: str) -> float:
    """Credit of a record by any matcher: 1 if its answer is right, 0 if it is not, or if the record has a reason."""
    return 0.0 if record["reason"] else float(MATCHERS[matcher](record["answer"], record["accepted"]))


def cut(text: str, until: Sequence[str]) -> str:
    """The text before the first of `until`, without spaces around it; leading spaces and line ends do not count."""
    text = text.strip()
    return text[: min((text.index(end) for end in until if end in text), default=len(text))].strip()


def question_prompt(model: Scorer, question: SpokenText, way: Way, *, before: str, after: str) -> list[int]:
    """Ids that lead to an answer. Speech that is answered in speech stays open, unless text comes between."""
    vocabulary, encode = model.vocabulary, model.tokenizer.encode
    begin, end = (vocabulary.special_id(token) for token in (BEGIN_OF_AUDIO, END_OF_AUDIO))
    start = [*vocabulary.begin_of_document]
    answer = [begin] if way.asked == "speech" else []
    if way.given == "text":
        return [*start, *encode(before + question.text + after), *answer]
    assert question.codes is not None, f"no speech of {question.text[:40]!r}"
    speech = speech_ids(question.codes, vocabulary=vocabulary).tolist()
    opened = [*start, *encode(before), begin, *speech]
    return opened if answer and not after else [*opened, end, *encode(after), *answer]


def _askable(items: Sequence[AskedQuestion], way: Way) -> list[AskedQuestion]:
    return [item for item in items if item.offers(way.given) and item.is_whole(way.given)]


def _encoded(name: str, item: Item, encoder: PassageEncoder | None) -> AskedQuestion:
    if not isinstance(item, QuestionItem):
        raise ValueError(f"{KEY}.sets.{name}: item {item.id!r} is no question; name another layout")
    question, defect = passage_of(item.question, encoder, name=name, key=KEY)
    return AskedQuestion(
        data_set=name, id=item.id, subset=item.subset, question=question, answers=item.answers, defect=defect
    )


def _accuracies(records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Any]:
    """Accuracy by every matcher and of every subset; reasons, and the share of answers in another script."""

    def estimate(credits: Sequence[float]) -> dict[str, Any]:
        return mean_interval(credits, seed=bootstrap.seed, resamples=bootstrap.resamples).rounded().to_json()

    judged = [record for record in records if "credit" in record]
    accuracies: dict[str, Any] = {
        name: estimate([credit_of_answer(record, name) for record in judged]) for name in MATCHERS if judged
    }
    if subsets := sorted({record["subset"] for record in judged} - {""}):
        own = {name: [each["credit"] for each in judged if each["subset"] == name] for name in subsets}
        accuracies["subsets"] = {name: estimate(credits) for name, credits in own.items()}
    reasons = Counter(record["reason"] for record in records if record["reason"])
    share = reasons[OTHER_SCRIPT] / len(records)
    return accuracies | {"other_script": round(share, 6), "wrong": dict(sorted(reasons.items()))}
