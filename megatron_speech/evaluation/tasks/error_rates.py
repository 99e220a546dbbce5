"""What recognition and synthesis share: lines of data sets, and word and character error rates of the answers.

Both sides pass through the normaliser of the language. Every line with a word counts: all words of one that could not
be asked, or that got no answer, are errors. Lines without a word after normalisation have no rate and are counted.

    wer, cer             errors of all lines over words, or characters, of all lines
    wer_of_lines, ...    mean of the rates of lines, as seed-tts-eval has it; short lines count as much as long ones

Chinese has character error rates only.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.data_sets.items import Item
from megatron_speech.evaluation.data_sets.table import read_items
from megatron_speech.evaluation.normalizers import NORMALIZERS
from megatron_speech.evaluation.scripts import SCRIPTS, ScriptLanguage, in_other_script
from megatron_speech.evaluation.tasks.generation import TOO_LONG
from megatron_speech.evaluation.tasks.interface import Record, Written
from megatron_speech.evaluation.tasks.likelihood import SpokenText
from megatron_speech.evaluation.tasks.spoken_items import passage_bytes
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.metrics.word_errors import utterance_edits

NORMALIZER: dict[ScriptLanguage, str] = {"en": "english", "zh": "chinese"}
"""Normaliser of each language."""
_RATES = {"wer": ("word_edits", "words"), "cer": ("character_edits", "characters")}


@dataclass(frozen=True, kw_only=True)
class Line:
    """A text, spoken or to be said."""

    data_set: str
    id: str
    subset: str
    spoken: SpokenText
    defect: str | None
    """Why it cannot be asked."""


def read_lines(
    sets: Mapping[str, DataSetConfig], max_items: int | None, line_of: Callable[[str, Item], Line]
) -> list[Line]:
    """At most `max_items` lines of each set; `line_of` makes one of an item. Raises as `read_items` and `line_of`."""
    return [line_of(name, item) for name, of in sets.items() for item in islice(read_items(of), max_items)]


def require_language(language: str, *, key: str) -> None:
    """Raise ValueError for a language without a normaliser; `key` is that of the task."""
    if language not in SCRIPTS:
        raise ValueError(f"{key}.language={language} is unknown; the languages are {', '.join(SCRIPTS)}")


def prompt_hash(lines: Sequence[Line]) -> str:
    """Hash of all lines, for a protocol."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line.data_set}\0{line.id}\0{line.defect}\0".encode() + passage_bytes(line.spoken))
    return digest.hexdigest()


def line_records(
    lines: Sequence[Line],
    answers: Iterator[tuple[Written, str]],
    *,
    pair: str,
    language: ScriptLanguage,
) -> list[Record]:
    """One record per line; `answers` hold the answer to every line without a defect, with its text."""
    records: list[Record] = []
    for line in lines:
        record: Record = {"task": line.data_set, "pair": pair, "item": line.id, "subset": line.subset}
        record |= {"reference": line.spoken.text, "answer": "", "reason": line.defect}
        if line.defect is None:
            answer, text = next(answers)
            reason = answer.reason if answer == TOO_LONG else _reason(text, language)
            record |= {"answer": text, "ended": answer.reason == "stop", "reason": reason}
        records.append(record | _edits(record["reference"], record["answer"], language))
    return records


def _reason(text: str, language: ScriptLanguage) -> str | None:
    if not text:
        return "no answer"
    return "other script" if in_other_script(text, language) else None


def _edits(reference: str, answer: str, language: ScriptLanguage) -> Record:
    """Edits and sizes of a line; nothing for one without a word."""
    normalizer = NORMALIZERS[NORMALIZER[language]]
    if not normalizer(reference):
        return {}
    edits = utterance_edits([reference], [answer], normalizer=normalizer)
    return {name: int(getattr(edits, name)[0]) for names in _RATES.values() for name in names}


def rates_by_set(
    sets: Sequence[str], records: Sequence[Record], bootstrap: Bootstrap, *, language: ScriptLanguage
) -> dict[str, Any]:
    """Error rates by set and subset, with the number of lines and reasons of answers that are wrong as a whole."""
    results: dict[str, Any] = {}
    for name in sets:
        own = [record for record in records if record["task"] == name]
        measured = [record for record in own if "words" in record]
        results[name] = _rates(measured, bootstrap, language)
        if len(subsets := sorted({record["subset"] for record in measured})) > 1:
            parts = {part: [each for each in measured if each["subset"] == part] for part in subsets}
            results[name]["subsets"] = {part: _rates(each, bootstrap, language) for part, each in parts.items()}
        reasons = Counter(record["reason"] for record in own if record["reason"])
        results[name] |= {"items": len(own), "without_words": len(own) - len(measured)}
        results[name] |= {"wrong": dict(sorted(reasons.items()))}
    return results | {"normalizer": NORMALIZER[language]}


def _rates(records: Sequence[Record], bootstrap: Bootstrap, language: ScriptLanguage) -> dict[str, Any]:
    rates: dict[str, Any] = {}
    for rate, (edits, size) in _RATES.items():
        if records and (rate, language) != ("wer", "zh"):
            made, sizes = ([record[key] for record in records] for key in (edits, size))
            rates[rate] = bootstrap.ratio(made, sizes).rounded().to_json()
            of_lines = [each / total for each, total in zip(made, sizes, strict=True)]
            rates[f"{rate}_of_lines"] = bootstrap.mean(of_lines).rounded().to_json()
    return rates
